/* Unit tests of src/tunnel/tcp: the side that opens a connection.
 *
 * The end is the client here, and what tcp_client.h plays by hand is the server: `c` counts the server's numbers, `s`
 * ours, and the addresses are exchanged. */
#include "tests/unit/tcp_client.h"

static const struct endpoint ours[] = { { { ADDR_V4, { 198, 51, 100, 2 } }, 443 },
                                        { { ADDR_V6, { 0x20, 1, 0xd, 0xb8, [15] = 2 } }, 443 } };
static const struct endpoint theirs[] = { { { ADDR_V4, { 192, 0, 2, 1 } }, 40000 },
                                          { { ADDR_V6, { 0x20, 1, 0xd, 0xb8, [15] = 1 } }, 40000 } };

/* Nothing went out yet. */
static void begun(struct world *w)
{
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 7 + i / 253);
    w->now = START;
    w->window = w->window ? w->window : 1000;
    assert_int_equal(tcp_end_connect(&w->o, &ours[w->v6], &theirs[w->v6], w->now, &w->e), 0);
    assert_int_equal(tcp_end_state(w->e), TCP_END_SYN_SENT);
}

static void connecting(struct world *w)
{
    begun(w);
    assert_true(hear(w));
    assert_int_equal(w->last.flags, SEG_SYN);
    w->iss = w->last.seq;
    expect_silence(w);
}

/* With everything that we offer. */
static struct seg server_syn(const struct world *w)
{
    struct seg s = client_syn(w);

    s.flags = SEG_SYN | SEG_ACK;
    s.ack = w->iss + 1;
    return s;
}

static void connected(struct world *w)
{
    struct seg s;

    connecting(w);
    tick(w, 10 * MSEC);
    s = server_syn(w);
    send_raw(w, &s);
    assert_int_equal(tcp_end_state(w->e), TCP_END_ESTABLISHED);
    expect(w, SEG_ACK, 1, 1, 0);
    expect_silence(w);
}

/* --- handshake --- */

static void test_syn(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct world w = { .v6 = v6, .stamps = true, .ts = 5000 };
        struct tcp_end_info info;
        struct seg s;

        connecting(&w);
        assert_int_equal(get_be16(whole + (v6 ? 40 : 20)), 443);
        assert_int_equal(get_be16(whole + (v6 ? 40 : 20) + 2), 40000);
        assert_memory_equal(whole + (v6 ? 24 : 16), theirs[v6].addr.bytes, v6 ? 16 : 4);
        assert_int_equal(w.last.len, 0);
        assert_int_equal(w.last.ack, 0);
        assert_int_equal(w.last.mss, v6 ? 1440 : 1460); /* 1500 less 60 or 40: RFC 6691 */
        assert_int_equal(w.last.scale, 1 + 5);          /* 2^20 >> 5 fits 16 bits, >> 4 does not */
        assert_int_equal(w.last.window, 65535);
        assert_true(w.last.sack_permitted && w.last.has_ts);
        assert_int_equal(w.last.ts_echo, 0); /* RFC 7323 3.2: without ACK it is 0 */
        tick(&w, 30 * MSEC);
        s = server_syn(&w);
        send_raw(&w, &s);
        assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
        expect(&w, SEG_ACK, 1, 1, 0);
        assert_int_equal(w.last.ts_echo, 5000);
        assert_int_equal(w.last.window, (1 << 20) >> 5);
        expect_silence(&w);
        tcp_end_info(w.e, &info);
        assert_true(info.sack && info.timestamps);
        assert_true(endpoint_equal(&info.local, &ours[v6]) && endpoint_equal(&info.peer, &theirs[v6]));
        assert_int_equal(info.mss, (v6 ? 1440 : 1460) - 12);
        assert_int_equal(info.peer_window, 1000); /* of a SYN: not scaled (RFC 7323 2.2) */
        assert_int_equal(info.srtt, 30 * MSEC);   /* RFC 6298 2.2 */
        assert_int_equal(info.rttvar, 15 * MSEC);
        assert_int_equal(info.cwnd, v6 ? 14280 : 14480); /* RFC 6928: ten segments, less than 14600 */
        w.ts++;
        say(&w, SEG_ACK, 1, 1, 0);
        tcp_end_info(w.e, &info);
        assert_int_equal(info.peer_window, 1000 << 7);
        done(&w);
    }
}

/* RFC 6928: min(10 segments, max(2 segments, 14600)). */
static void test_initial_window(void **state)
{
    static const struct {
        uint16_t mtu, mss;
        uint64_t cwnd;
    } cases[] = { { 1500, 1460, 14600 }, { 1500, 536, 5360 }, { 9000, 8960, 17920 }, { 4000, 3960, 14600 } };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct world w = { .o = { .mtu = cases[i].mtu } };
        struct tcp_end_info info;
        struct seg s;

        connecting(&w);
        s = server_syn(&w);
        s.mss = cases[i].mss;
        send_raw(&w, &s);
        tcp_end_info(w.e, &info);
        assert_int_equal(info.mss, cases[i].mss);
        assert_int_equal(info.cwnd, cases[i].cwnd);
        done(&w);
    }
}

/* What the answer does not bring is off. */
static void test_options_that_do_not_come(void **state)
{
    enum { WITH_MSS = 1, WITH_SCALE = 2, WITH_SACK = 4, WITH_STAMPS = 8 };

    for (unsigned with = 0; with < 16; with++) {
        struct world w = { .stamps = with & WITH_STAMPS };
        struct tcp_end_info info;
        struct seg s;

        connecting(&w);
        s = server_syn(&w);
        if (!(with & WITH_MSS))
            s.mss = 0;
        if (!(with & WITH_SCALE))
            s.scale = 0;
        s.sack_permitted = with & WITH_SACK;
        send_raw(&w, &s);
        expect(&w, SEG_ACK, 1, 1, 0);
        assert_int_equal(w.last.has_ts, !!(with & WITH_STAMPS));
        assert_int_equal(w.last.window, with & WITH_SCALE ? (1 << 20) >> 5 : 65535);
        tcp_end_info(w.e, &info);
        assert_int_equal(info.sack, !!(with & WITH_SACK));
        assert_int_equal(info.timestamps, !!(with & WITH_STAMPS));
        assert_int_equal(info.mss, (with & WITH_MSS ? 1460 : 536) - (with & WITH_STAMPS ? 12 : 0));
        say(&w, SEG_ACK, 1, 1, 0);
        tcp_end_info(w.e, &info);
        assert_int_equal(info.peer_window, with & WITH_SCALE ? 1000 << 7 : 1000);
        say(&w, SEG_ACK, 101, 1, 100); /* a hole: with SACK it is told */
        expect(&w, SEG_ACK, 1, 1, 0);
        assert_int_equal(w.last.blocks, !!(with & WITH_SACK));
        done(&w);
    }
}

static void test_syn_repeated(void **state)
{
    /* 1 s, doubled: at 1, 3, 7, 15, 31 s; no more after a minute. */
    static const span again[] = { 1, 3, 7, 15, 31 };
    struct world w = { 0 };

    connecting(&w);
    for (size_t i = 0; i < ARRAY_LEN(again); i++) {
        assert_int_equal(tcp_end_next_expiry(w.e), START + again[i] * SEC);
        tick(&w, START + again[i] * SEC - w.now);
        assert_true(hear(&w));
        assert_int_equal(w.last.flags, SEG_SYN);
        assert_int_equal(w.last.seq, w.iss);
        assert_true(w.last.mss && w.last.scale && w.last.sack_permitted && w.last.has_ts);
        expect_silence(&w);
    }
    assert_int_equal(tcp_end_next_expiry(w.e), START + 60 * SEC);
    tick(&w, START + 60 * SEC - w.now);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSED);
    assert_int_equal(tcp_end_error(w.e), -ETIMEDOUT);
    assert_int_equal(tcp_end_next_expiry(w.e), INSTANT_NEVER);
    expect_silence(&w);
    done(&w);
}

/* Karn: after a repetition only a timestamp tells which SYN was answered. */
static void test_round_trip_of_a_repeated_syn(void **state)
{
    for (int with = 0; with < 4; with++) {
        struct world w = { .stamps = with > 0 };
        struct tcp_end_info info;
        uint32_t first;
        struct seg s;

        connecting(&w);
        first = w.echo;
        tick(&w, 1 * SEC);
        assert_true(hear(&w));
        tick(&w, 50 * MSEC);
        s = server_syn(&w);
        if (with == 2) /* the way takes longer than a second */
            s.ts_echo = first;
        if (with == 3) /* of no SYN of ours */
            s.ts_echo = first - 20;
        send_raw(&w, &s);
        tcp_end_info(w.e, &info);
        assert_int_equal(info.srtt, with == 1 ? 50 * MSEC : with == 2 ? 1050 * MSEC : 0);
        if (with == 0 || with == 3)
            assert_int_equal(info.rto, 3 * SEC); /* RFC 6298 5.7 */
        assert_int_equal(info.cwnd, with > 0 ? 14480 : 14600);
        done(&w);
    }
}

/* RFC 6928 section 2: after more than one repetition one segment (RFC 5681 3.1). */
static void test_window_after_lost_syns(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;
    struct seg s;

    connecting(&w);
    for (int i = 0; i < 2; i++) {
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        assert_true(hear(&w));
    }
    s = server_syn(&w);
    send_raw(&w, &s);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.cwnd, 1460);
    done(&w);
}

static void test_refused(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;
    uint8_t buf[4];

    connecting(&w);
    assert_int_equal(tcp_end_write(w.e, pattern, 10), 10);
    say(&w, SEG_RST, 0, 0, 0);           /* without ACK, of another number, and of none (RFC 9293 3.10.7.3) */
    say(&w, SEG_RST | SEG_ACK, 0, 2, 0); /* never answered: it is a RST */
    say(&w, SEG_RST | SEG_ACK, 0, 0, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_SYN_SENT);
    expect_silence(&w);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.dropped, 3);
    say(&w, SEG_RST | SEG_ACK, 0, 1, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSED);
    assert_int_equal(tcp_end_error(w.e), -ECONNREFUSED);
    assert_int_equal(tcp_end_write(w.e, pattern, 10), -ECONNREFUSED);
    assert_true(tcp_end_readable(w.e));
    assert_int_equal(tcp_end_read(w.e, buf, sizeof(buf)), -ECONNREFUSED);
    expect_silence(&w);
    done(&w);
}

/* RFC 9293 3.10.7.3 and figure 10: what acknowledges another number gets a RST of that number, at most two a second;
 * and the SYN is said again. */
static void test_answer_of_an_older_connection(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;
    struct seg s;

    connecting(&w);
    say(&w, SEG_ACK, 700, 300, 20);
    assert_true(hear(&w));
    assert_int_equal(w.last.flags, SEG_RST);
    assert_int_equal(w.last.seq, w.iss + 300);
    assert_int_equal(w.last.len, 0);
    expect_silence(&w);
    s = server_syn(&w); /* one too many */
    s.ack++;
    send_raw(&w, &s);
    expect_silence(&w); /* so soon */
    tick(&w, 500 * MSEC);
    s.ack -= 2; /* one too few */
    send_raw(&w, &s);
    assert_true(hear(&w));
    assert_int_equal(w.last.flags, SEG_RST);
    assert_int_equal(w.last.seq, w.iss);
    say(&w, SEG_ACK, 1, 1, 0); /* the right number, and no SYN */
    expect_silence(&w);
    assert_int_equal(tcp_end_state(w.e), TCP_END_SYN_SENT);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.dropped, 4);
    tick(&w, 500 * MSEC);
    assert_true(hear(&w));
    assert_int_equal(w.last.flags, SEG_SYN);
    s.ack = w.iss + 1;
    send_raw(&w, &s);
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    expect(&w, SEG_ACK, 1, 1, 0);
    expect_silence(&w);
    done(&w);
}

/* The server answers, and sends, before anything of ours has left: no RST goes to the connection that exists now, and
 * what is echoed is the timestamp of what came last in order (RFC 7323 4.3). */
static void test_answers_in_a_row(void **state)
{
    struct world w = { .stamps = true, .ts = 100 };
    struct seg s;

    connecting(&w);
    say(&w, SEG_ACK, 700, 300, 0);
    s = server_syn(&w);
    s.seq = 1000;
    send_raw(&w, &s);
    w.ts++;
    s = make(&w, SEG_ACK, 1, 1, 10);
    s.seq = 1001;
    send_raw(&w, &s);
    assert_true(hear(&w));
    assert_int_equal(w.last.flags, SEG_ACK);
    assert_int_equal(w.last.ack, 1011);
    assert_int_equal(w.last.ts_echo, 101);
    expect_silence(&w);
    read_all(&w, 0, 10);
    done(&w);
}

static void test_both_open(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;
    struct seg s;

    connecting(&w);
    s = client_syn(&w);
    send_raw(&w, &s);
    assert_int_equal(w.outcome, TCP_END_TAKEN);
    assert_int_equal(tcp_end_state(w.e), TCP_END_SYN_SENT);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.dropped, 1);
    expect_silence(&w);
    done(&w);
}

/* Before the SYN left there is nothing that an answer could be of. */
static void test_answer_before_the_syn(void **state)
{
    struct world w = { 0 };
    uint32_t iss;
    struct seg s;

    connecting(&w);
    iss = w.iss;
    done(&w);
    w = (struct world){ .iss = iss };
    begun(&w); /* at the same instant: the same number */
    s = server_syn(&w);
    send_raw(&w, &s);
    assert_int_equal(tcp_end_state(w.e), TCP_END_SYN_SENT);
    say(&w, SEG_RST | SEG_ACK, 0, 1, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_SYN_SENT);
    done(&w);
}

/* Data and a FIN that stand in the SYN-ACK come again; our acknowledgement says so. */
static void test_data_in_the_answer(void **state)
{
    struct world w = { 0 };
    struct seg s;

    connecting(&w);
    s = server_syn(&w);
    s.flags |= SEG_FIN;
    s.data = pattern;
    s.len = 100;
    send_raw(&w, &s);
    expect(&w, SEG_ACK, 1, 1, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    assert_false(tcp_end_readable(w.e));
    say(&w, SEG_ACK | SEG_FIN, 1, 1, 100);
    expect(&w, SEG_ACK, 1, 102, 0);
    read_all(&w, 0, 100);
    assert_true(tcp_end_at_end(w.e));
    done(&w);
}

/* Our last packet of the handshake was lost: the SYN-ACK comes again and is answered (RFC 5961 section 4). */
static void test_synack_twice(void **state)
{
    struct world w = { 0 };
    struct seg s;

    connected(&w);
    s = server_syn(&w);
    tick(&w, 1 * SEC);
    send_raw(&w, &s);
    expect(&w, SEG_ACK, 1, 1, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    done(&w);
}

static void test_not_connectable(void **state)
{
    struct tcp_end_options o = { 0 };
    struct endpoint none = { .port = 1 }, group = { { ADDR_V4, { 224, 0, 0, 1 } }, 1 }, portless = ours[0];
    struct tcp_end *e = NULL;

    portless.port = 0;
    assert_int_equal(tcp_end_connect(&o, &ours[0], &theirs[1], START, &e), -EINVAL);
    assert_int_equal(tcp_end_connect(&o, &ours[1], &theirs[0], START, &e), -EINVAL);
    assert_int_equal(tcp_end_connect(&o, &none, &none, START, &e), -EINVAL);
    assert_int_equal(tcp_end_connect(&o, &ours[0], &group, START, &e), -EINVAL);
    assert_int_equal(tcp_end_connect(&o, &group, &ours[0], START, &e), -EINVAL);
    assert_int_equal(tcp_end_connect(&o, &ours[0], &portless, START, &e), -EINVAL);
    assert_int_equal(tcp_end_connect(&o, &portless, &theirs[0], START, &e), -EINVAL);
    assert_null(e);
}

static void test_not_held(void **state)
{
    struct world w = { 0 };

    connecting(&w);
    tcp_end_accept(w.e, w.now);
    tcp_end_refuse(w.e, TCP_REFUSED, NULL);
    assert_int_equal(tcp_end_state(w.e), TCP_END_SYN_SENT);
    assert_string_equal(tcp_end_state_name(tcp_end_state(w.e)), "syn-sent");
    assert_string_equal(tcp_end_state_name(TCP_END_CLOSED), "closed");
    expect_silence(&w);
    done(&w);
}

/* --- bytes --- */

static void test_written_early(void **state)
{
    struct world w = { 0 };
    struct seg s;

    begun(&w);
    assert_int_equal(tcp_end_room(w.e), TCP_END_BUFFER_DEFAULT);
    write_all(&w, 0, 100);
    assert_true(hear(&w));
    w.iss = w.last.seq;
    assert_int_equal(w.last.flags, SEG_SYN);
    assert_int_equal(w.last.len, 0); /* nothing with the SYN */
    write_all(&w, 100, 200);
    assert_int_equal(tcp_end_room(w.e), TCP_END_BUFFER_DEFAULT - 300);
    expect_silence(&w);
    tick(&w, 10 * MSEC);
    s = server_syn(&w);
    send_raw(&w, &s);
    expect(&w, SEG_ACK | SEG_PSH, 1, 1, 300); /* it acknowledges as well */
    expect_silence(&w);
    assert_false(tcp_end_flushed(w.e));
    say(&w, SEG_ACK, 1, 301, 0);
    assert_true(tcp_end_flushed(w.e));
    done(&w);
}

static void test_finished_early(void **state)
{
    for (size_t len = 0; len < 100; len += 50) {
        struct world w = { 0 };
        struct seg s;

        begun(&w);
        write_all(&w, 0, len);
        tcp_end_finish(w.e);
        assert_int_equal(tcp_end_write(w.e, pattern, 1), -EPIPE);
        assert_true(hear(&w));
        w.iss = w.last.seq;
        assert_int_equal(w.last.flags, SEG_SYN);
        assert_false(tcp_end_flushed(w.e));
        s = server_syn(&w);
        send_raw(&w, &s);
        expect(&w, SEG_ACK | SEG_PSH | SEG_FIN, 1, 1, len);
        assert_int_equal(tcp_end_state(w.e), TCP_END_FIN_WAIT_1);
        say(&w, SEG_ACK, 1, 2 + (uint32_t)len, 10); /* the other direction goes on */
        assert_int_equal(tcp_end_state(w.e), TCP_END_FIN_WAIT_2);
        read_all(&w, 0, 10);
        say(&w, SEG_ACK | SEG_FIN, 11, 2 + (uint32_t)len, 0);
        expect(&w, SEG_ACK, 2 + (uint32_t)len, 12, 0);
        assert_int_equal(tcp_end_state(w.e), TCP_END_TIME_WAIT);
        done(&w);
    }
}

static void test_data_both_ways(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct world w = { .v6 = v6, .stamps = true, .ts = 100, .window = 1000 };
        uint32_t full = (v6 ? 1440 : 1460) - 12;

        connected(&w);
        write_all(&w, 0, 4000);
        expect(&w, SEG_ACK, 1, 1, 1000); /* what the SYN-ACK's window admits */
        expect_silence(&w);
        w.ts++;
        say(&w, SEG_ACK, 1, 1001, 0); /* and now it is scaled */
        expect(&w, SEG_ACK, 1001, 1, full);
        expect(&w, SEG_ACK, 1001 + full, 1, full);
        expect(&w, SEG_ACK | SEG_PSH, 1001 + 2 * full, 1, 3000 - 2 * full);
        say(&w, SEG_ACK, 1, 4001, 1000);
        say(&w, SEG_ACK, 1001, 4001, 2000);
        expect(&w, SEG_ACK, 4001, 3001, 0);
        read_all(&w, 0, 3000);
        assert_true(tcp_end_flushed(w.e));
        expect_silence(&w);
        done(&w);
    }
}

/* Ten segments and no more until something is acknowledged. */
static void test_first_flight(void **state)
{
    struct world w = { .window = 20000 };
    unsigned count = 0;

    connected(&w);
    write_all(&w, 0, 100000);
    while (hear(&w)) {
        assert_int_equal(w.last.len, MSS);
        count++;
    }
    assert_int_equal(count, 10);
    /* After silence it is that again (RFC 5681 4.1), not what a LAN is trusted with. */
    say(&w, SEG_ACK, 1, 1 + 10 * MSS, 0);
    for (uint32_t acked = 10 * MSS + 1; acked < 100001;) {
        while (hear(&w))
            acked = w.last.seq - w.iss + (uint32_t)w.last.len;
        tick(&w, 10 * MSEC);
        say(&w, SEG_ACK, 1, acked, 0);
    }
    assert_true(tcp_end_flushed(w.e));
    tick(&w, 10 * SEC);
    write_all(&w, 100000, 100000);
    for (count = 0; hear(&w); count++)
        assert_int_equal(w.last.len, MSS);
    assert_int_equal(count, 10);
    done(&w);
}

/* --- ends --- */

static void test_abort(void **state)
{
    struct world w = { 0 };

    for (int sent = 0; sent < 2; sent++) {
        begun(&w);
        if (sent)
            assert_true(hear(&w));
        write_all(&w, 0, 10);
        tcp_end_abort(w.e);
        assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSED);
        assert_int_equal(tcp_end_error(w.e), -ECONNABORTED);
        expect_silence(&w);
        assert_int_equal(tcp_end_next_expiry(w.e), INSTANT_NEVER);
        done(&w);
    }
    connecting(&w);
    say(&w, SEG_ACK, 1, 700, 0); /* and what was due goes too */
    tcp_end_abort(w.e);
    expect_silence(&w);
    done(&w);
    w = (struct world){ 0 };
    connected(&w);
    tcp_end_abort(w.e);
    expect(&w, SEG_RST | SEG_ACK, 1, 1, 0);
    done(&w);
}

/* A SYN of the server, in every state that ends one: of no connection that this end could give way to. */
static void test_not_reopened(void **state)
{
    struct world w = { .stamps = true, .ts = 100 };
    struct seg s;

    connected(&w);
    tcp_end_finish(w.e);
    expect(&w, SEG_ACK | SEG_PSH | SEG_FIN, 1, 1, 0);
    say(&w, SEG_ACK | SEG_FIN, 1, 2, 0);
    expect(&w, SEG_ACK, 2, 2, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_TIME_WAIT);
    s = client_syn(&w);
    s.seq += 70000;
    s.ts = 200;
    send_raw(&w, &s);
    assert_int_equal(w.outcome, TCP_END_TAKEN);
    expect(&w, SEG_ACK, 2, 2, 0); /* RFC 5961 section 4 */
    assert_int_equal(tcp_end_state(w.e), TCP_END_TIME_WAIT);
    tick(&w, tcp_end_next_expiry(w.e) - w.now);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSED);
    send_raw(&w, &s);
    assert_int_equal(w.outcome, TCP_END_TAKEN);
    expect_silence(&w);
    done(&w);
}

/* --- what ICMP says (tests/unit/tcp_icmp.c reads the packets) --- */

static void test_unreachable(void **state)
{
    /* The names that connect(2) has for it. */
    static const int errors[] = { [TCP_REFUSED] = -ECONNREFUSED,
                                  [TCP_REFUSED_NET] = -ENETUNREACH,
                                  [TCP_REFUSED_HOST] = -EHOSTUNREACH,
                                  [TCP_REFUSED_PROHIBITED] = -EACCES };

    for (enum tcp_refusal why = 0; why < TCP_REFUSAL_COUNT; why++) {
        struct world w = { 0 };

        connecting(&w);
        tcp_end_on_unreachable(w.e, w.iss + 1, why); /* of other numbers */
        tcp_end_on_unreachable(w.e, w.iss - 1, why);
        assert_int_equal(tcp_end_state(w.e), TCP_END_SYN_SENT);
        tcp_end_on_unreachable(w.e, w.iss, why);
        assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSED);
        assert_int_equal(tcp_end_error(w.e), errors[why]);
        assert_int_equal(tcp_end_next_expiry(w.e), INSTANT_NEVER);
        expect_silence(&w);
        tcp_end_on_unreachable(w.e, w.iss, (why + 1) % TCP_REFUSAL_COUNT);
        assert_int_equal(tcp_end_error(w.e), errors[why]);
        done(&w);
    }
}

/* RFC 1122 4.2.3.9, RFC 5461: a connection that exists does not end by it. */
static void test_unreachable_later(void **state)
{
    struct world w = { .window = 20000 };

    connected(&w);
    write_all(&w, 0, 100);
    expect(&w, SEG_ACK | SEG_PSH, 1, 1, 100);
    for (enum tcp_refusal why = 0; why < TCP_REFUSAL_COUNT; why++) {
        tcp_end_on_unreachable(w.e, w.iss, why);
        tcp_end_on_unreachable(w.e, w.iss + 1, why);
    }
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    expect_silence(&w);
    done(&w);

    w = (struct world){ 0 };
    accepted(&w); /* the passive side, in SYN_RECEIVED */
    tcp_end_on_unreachable(w.e, w.iss, TCP_REFUSED);
    assert_int_equal(tcp_end_state(w.e), TCP_END_SYN_RECEIVED);
    done(&w);

    w = (struct world){ 0 };
    connecting(&w);
    done(&w);
    begun(&w); /* at the same instant: the same number, and it was not sent yet */
    tcp_end_on_unreachable(w.e, w.iss, TCP_REFUSED);
    assert_int_equal(tcp_end_state(w.e), TCP_END_SYN_SENT);
    done(&w);
}

static void test_too_big(void **state)
{
    struct world w = { .window = 20000 };

    connecting(&w);
    tcp_end_on_too_big(w.e, w.iss, 600); /* a SYN is not */
    done(&w);
    w = (struct world){ .window = 20000 };
    connected(&w);
    write_all(&w, 0, 2000);
    expect(&w, SEG_ACK, 1, 1, MSS);
    expect(&w, SEG_ACK | SEG_PSH, 1 + MSS, 1, 2000 - MSS);
    tcp_end_on_too_big(w.e, w.iss + 1, 1400);
    expect(&w, SEG_ACK, 1, 1, 1360);
    expect(&w, SEG_ACK | SEG_PSH, 1361, 1, 640);
    done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_syn),
        cmocka_unit_test(test_initial_window),
        cmocka_unit_test(test_options_that_do_not_come),
        cmocka_unit_test(test_syn_repeated),
        cmocka_unit_test(test_round_trip_of_a_repeated_syn),
        cmocka_unit_test(test_window_after_lost_syns),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_answer_of_an_older_connection),
        cmocka_unit_test(test_answers_in_a_row),
        cmocka_unit_test(test_both_open),
        cmocka_unit_test(test_answer_before_the_syn),
        cmocka_unit_test(test_data_in_the_answer),
        cmocka_unit_test(test_synack_twice),
        cmocka_unit_test(test_not_connectable),
        cmocka_unit_test(test_not_held),
        cmocka_unit_test(test_written_early),
        cmocka_unit_test(test_finished_early),
        cmocka_unit_test(test_data_both_ways),
        cmocka_unit_test(test_first_flight),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_not_reopened),
        cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_unreachable_later),
        cmocka_unit_test(test_too_big),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
