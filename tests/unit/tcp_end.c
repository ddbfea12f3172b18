/* Unit tests of src/tunnel/tcp: how a connection begins and ends, what attacks it from aside, and time. */
#include "tests/unit/tcp_client.h"

/* --- handshake --- */

static void test_held_and_accepted(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct world w = { .v6 = v6, .stamps = true, .ts = 5000 };
        struct tcp_end_info info;
        struct seg syn;

        held(&w);
        syn = client_syn(&w);
        send_raw(&w, &syn); /* once more */
        say(&w, SEG_ACK, 1, 1, 0);
        expect_silence(&w);
        assert_int_equal(tcp_end_state(w.e), TCP_END_HELD);
        assert_int_equal(tcp_end_next_expiry(w.e), INSTANT_NEVER);
        tcp_end_accept(w.e, w.now);
        assert_true(hear(&w));
        w.iss = w.last.seq;
        assert_int_equal(w.last.flags, SEG_SYN | SEG_ACK);
        assert_int_equal(w.last.ack, ISN + 1);
        assert_int_equal(w.last.mss, v6 ? 1440 : 1460); /* 1500 less 60 or 40: RFC 6691 */
        assert_int_equal(w.last.scale, 1 + 5);          /* 2^20 >> 5 fits 16 bits, >> 4 does not */
        assert_int_equal(w.last.window, 65535);
        assert_true(w.last.sack_permitted);
        assert_true(w.last.has_ts);
        assert_int_equal(w.last.ts_echo, 5000);
        expect_silence(&w);
        /* The client did not hear it. */
        send_raw(&w, &syn);
        assert_true(hear(&w));
        assert_int_equal(w.last.flags, SEG_SYN | SEG_ACK);
        assert_int_equal(w.last.seq, w.iss);
        tick(&w, 300 * MSEC);
        say(&w, SEG_ACK, 1, 1, 0);
        assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
        tcp_end_info(w.e, &info); /* of which of the two? Karn's rule */
        assert_int_equal(info.srtt, 0);
        done(&w);
    }
}

static void test_nothing_offered(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;
    struct seg syn;

    w.now = START;
    syn = make(&w, SEG_SYN, 0, 0, 0);
    send_raw(&w, &syn);
    tcp_end_accept(w.e, w.now);
    assert_true(hear(&w));
    assert_int_equal(w.last.scale, 0);
    assert_false(w.last.sack_permitted || w.last.has_ts);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.mss, 536); /* RFC 9293 3.7.1 */
    done(&w);
    w = (struct world){ .v6 = true, .now = START };
    syn = make(&w, SEG_SYN, 0, 0, 0);
    send_raw(&w, &syn);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.mss, 1220);
    done(&w);
    w = (struct world){ .now = START };
    syn = make(&w, SEG_SYN, 0, 0, 0);
    syn.mss = 1;
    send_raw(&w, &syn);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.mss, 48);
    done(&w);
    w = (struct world){ .now = START, .window = 1 };
    syn = make(&w, SEG_SYN, 0, 0, 0);
    syn.scale = 1 + 200; /* RFC 7323 2.3: 14 at most */
    send_raw(&w, &syn);
    tcp_end_accept(w.e, w.now);
    assert_true(hear(&w));
    w.iss = w.last.seq;
    say(&w, SEG_ACK, 1, 1, 0);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.peer_window, 1 << 14);
    done(&w);
}

static void test_synack_repeated(void **state)
{
    /* 1 s, doubled: at 1, 3, 7, 15, 31 s; no more after a minute. */
    static const span again[] = { 1, 3, 7, 15, 31 };
    struct world w = { 0 };

    accepted(&w);
    for (size_t i = 0; i < ARRAY_LEN(again); i++) {
        assert_int_equal(tcp_end_next_expiry(w.e), START + again[i] * SEC);
        tick(&w, START + again[i] * SEC - w.now);
        expect(&w, SEG_SYN | SEG_ACK, 0, 1, 0);
        expect_silence(&w);
    }
    tick(&w, START + 60 * SEC - w.now);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSED);
    assert_int_equal(tcp_end_error(w.e), -ETIMEDOUT);
    expect(&w, SEG_RST | SEG_ACK, 1, 1, 0);
    expect_silence(&w);
    done(&w);
}

static void test_refused(void **state)
{
    /* type and code, ICMP and ICMPv6 (RFC 792, 1812; 4443) */
    static const uint16_t codes[][2] = { [TCP_REFUSED_NET] = { 0x0300, 0x0100 },
                                         [TCP_REFUSED_HOST] = { 0x0301, 0x0103 },
                                         [TCP_REFUSED_PROHIBITED] = { 0x030d, 0x0101 } };

    for (int v6 = 0; v6 < 2; v6++)
        for (enum tcp_refusal why = 0; why < TCP_REFUSAL_COUNT; why++) {
            struct world w = { .v6 = v6 };
            size_t l3 = v6 ? 40 : 20;

            held(&w);
            tcp_end_refuse(w.e, why, NULL);
            assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSED);
            assert_int_equal(tcp_end_error(w.e), -ECONNREFUSED);
            assert_true(hear(&w));
            if (why == TCP_REFUSED) {
                assert_int_equal(w.last.flags, SEG_RST | SEG_ACK);
                assert_int_equal(w.last.seq, 0);
                assert_int_equal(w.last.ack, ISN + 1);
            } else {
                const uint8_t *quote = whole + l3 + 8;

                assert_int_equal(get_be16(whole + l3), codes[why][v6]);
                assert_memory_equal(quote + (v6 ? 8 : 12), whole + (v6 ? 24 : 16), v6 ? 16 : 4); /* the client */
                assert_memory_equal(quote + (v6 ? 24 : 16), whole + (v6 ? 8 : 12), v6 ? 16 : 4);
                assert_int_equal(get_be16(quote + l3), 40000);
                assert_int_equal(get_be16(quote + l3 + 2), 443);
                assert_int_equal(get_be32(quote + l3 + 4), ISN);
            }
            expect_silence(&w);
            tcp_end_accept(w.e, w.now);
            expect_silence(&w);
            done(&w);
        }
}

static void test_client_changes_its_mind(void **state)
{
    struct world w = { 0 };
    struct seg syn;

    held(&w);
    syn = client_syn(&w);
    syn.seq = ISN + 70000;
    syn.mss = 1000;
    send_raw(&w, &syn);
    tcp_end_accept(w.e, w.now);
    assert_true(hear(&w));
    assert_int_equal(w.last.ack, ISN + 70001);
    done(&w);

    w = (struct world){ 0 };
    held(&w);
    say(&w, SEG_RST, 2, 0, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_HELD);
    say(&w, SEG_RST, 1, 0, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSED);
    assert_int_equal(tcp_end_error(w.e), -ECONNRESET);
    expect_silence(&w);
    done(&w);
}

static void test_not_a_beginning(void **state)
{
    static const uint8_t flags[] = { 0,       SEG_ACK, SEG_SYN | SEG_ACK, SEG_SYN | SEG_RST, SEG_SYN | SEG_FIN,
                                     SEG_RST, SEG_FIN };
    struct tcp_end_options o = { 0 };
    struct tcp_end *e = NULL;
    struct packet_info info;
    uint8_t pkt[200];

    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        struct seg s = { .flags = flags[i] };

        assert_int_equal(packet_parse(pkt, seg_write(&s, pkt), &info), 0);
        assert_int_equal(tcp_end_new(&o, pkt, &info, START, &e), -EPROTO);
    }
    for (uint8_t len = 0; len < 6; len++) { /* a length of the MSS that is not 4 */
        struct seg s = { .flags = SEG_SYN, .mss = 1460 };

        assert_int_equal(packet_parse(pkt, seg_write(&s, pkt), &info), 0);
        pkt[41] = len;
        assert_int_equal(tcp_end_new(&o, pkt, &info, START, &e), len == 4 ? 0 : -EPROTO);
    }
    tcp_end_free(e);
}

/* RFC 6528: another number for other ports, under another key, and 4 us later. */
static void test_initial_number(void **state)
{
    uint32_t iss[4];

    for (int i = 0; i < 4; i++) {
        struct world w = { .now = START + (i == 3 ? 400 : 0), .o = { .key = { i == 1 } } };
        struct seg syn = make(&w, SEG_SYN, 0, 0, 0);
        uint8_t pkt[100];
        struct packet_info info;
        size_t len = seg_write(&syn, pkt);

        if (i == 2)
            put_be16(pkt + 20, 40001);
        assert_int_equal(packet_parse(pkt, len, &info), 0);
        assert_int_equal(tcp_end_new(&w.o, pkt, &info, w.now, &w.e), 0);
        tcp_end_accept(w.e, w.now);
        assert_true(hear(&w));
        iss[i] = w.last.seq;
        done(&w);
    }
    assert_int_not_equal(iss[0], iss[1]);
    assert_int_not_equal(iss[0], iss[2]);
    assert_int_equal(iss[3] - iss[0], 100);
}

/* --- ends --- */

static void test_client_ends_first(void **state)
{
    struct world w = { 0 };

    established(&w);
    say(&w, SEG_ACK | SEG_FIN, 1, 1, 100);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSE_WAIT);
    expect(&w, SEG_ACK, 1, 102, 0);
    read_all(&w, 0, 100);
    assert_true(tcp_end_at_end(w.e) && tcp_end_readable(w.e));
    write_all(&w, 0, 50); /* the other direction goes on */
    expect(&w, SEG_ACK | SEG_PSH, 1, 102, 50);
    tcp_end_finish(w.e);
    assert_int_equal(tcp_end_write(w.e, pattern, 1), -EPIPE);
    expect(&w, SEG_ACK | SEG_PSH | SEG_FIN, 51, 102, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_LAST_ACK);
    assert_false(tcp_end_flushed(w.e));
    say(&w, SEG_ACK, 102, 52, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSED);
    assert_int_equal(tcp_end_error(w.e), 0);
    assert_true(tcp_end_flushed(w.e));
    expect_silence(&w);
    done(&w);
}

static void test_server_ends_first(void **state)
{
    struct world w = { 0 };
    instant until;

    established(&w);
    write_all(&w, 0, 50);
    tcp_end_finish(w.e);
    expect(&w, SEG_ACK | SEG_PSH | SEG_FIN, 1, 1, 50);
    assert_int_equal(tcp_end_state(w.e), TCP_END_FIN_WAIT_1);
    say(&w, SEG_ACK, 1, 51, 0); /* the data alone */
    assert_int_equal(tcp_end_state(w.e), TCP_END_FIN_WAIT_1);
    say(&w, SEG_ACK, 1, 52, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_FIN_WAIT_2);
    say(&w, SEG_ACK, 1, 52, 200); /* half-closed: data still comes */
    tick(&w, 40 * MSEC);
    expect(&w, SEG_ACK, 52, 201, 0);
    read_all(&w, 0, 200);
    say(&w, SEG_ACK | SEG_FIN, 201, 52, 0);
    expect(&w, SEG_ACK, 52, 202, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_TIME_WAIT);
    until = tcp_end_next_expiry(w.e);
    assert_true(until > w.now);
    tick(&w, 1 * SEC);
    say(&w, SEG_ACK | SEG_FIN, 201, 52, 0); /* our acknowledgement was lost: answered, and the time begins anew */
    expect(&w, SEG_ACK, 52, 202, 0);
    while (tcp_end_state(w.e) == TCP_END_TIME_WAIT) {
        assert_true(tcp_end_next_expiry(w.e) > w.now);
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        expect_silence(&w);
    }
    assert_true(w.now >= until + SEC / 2);
    assert_int_equal(tcp_end_error(w.e), 0);
    done(&w);
}

static void test_both_end_at_once(void **state)
{
    struct world w = { 0 };

    established(&w);
    tcp_end_finish(w.e);
    expect(&w, SEG_ACK | SEG_PSH | SEG_FIN, 1, 1, 0);
    say(&w, SEG_ACK | SEG_FIN, 1, 1, 0); /* did not see ours */
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSING);
    expect(&w, SEG_ACK, 2, 2, 0);
    say(&w, SEG_ACK, 2, 2, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_TIME_WAIT);
    done(&w);
}

static void test_fin_sent_again(void **state)
{
    struct world w = { 0 };

    established(&w);
    tcp_end_finish(w.e);
    expect(&w, SEG_ACK | SEG_PSH | SEG_FIN, 1, 1, 0);
    expect_silence(&w);
    tick(&w, tcp_end_next_expiry(w.e) - w.now);
    expect(&w, SEG_ACK | SEG_PSH | SEG_FIN, 1, 1, 0);
    done(&w);
}

static void test_new_connection_in_time_wait(void **state)
{
    struct world w = { .stamps = true, .ts = 100 };
    struct seg syn;

    established(&w);
    tcp_end_finish(w.e);
    assert_true(hear(&w));
    say(&w, SEG_ACK | SEG_FIN, 1, 2, 0);
    assert_true(hear(&w));
    assert_int_equal(tcp_end_state(w.e), TCP_END_TIME_WAIT);
    syn = client_syn(&w);
    syn.seq = ISN - 1000; /* below, and no newer timestamp: an old one */
    syn.ts = 99;
    send_raw(&w, &syn);
    assert_int_equal(w.outcome, TCP_END_TAKEN);
    syn.ts = 101;
    send_raw(&w, &syn);
    assert_int_equal(w.outcome, TCP_END_REOPENED);
    done(&w);
}

static void test_abort(void **state)
{
    struct world w = { 0 };
    uint8_t buf[8];

    established(&w);
    write_all(&w, 0, 10);
    assert_true(hear(&w));
    say(&w, SEG_ACK, 1, 1, 5);
    tcp_end_abort(w.e);
    expect(&w, SEG_RST | SEG_ACK, 11, 6, 0);
    expect_silence(&w);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSED);
    assert_int_equal(tcp_end_write(w.e, buf, 1), -ECONNABORTED);
    assert_int_equal(tcp_end_read(w.e, buf, 8), 5); /* what had come is there */
    assert_int_equal(tcp_end_read(w.e, buf, 8), -ECONNABORTED);
    assert_int_equal(tcp_end_next_expiry(w.e), INSTANT_NEVER);
    done(&w);
}

/* --- attacks from aside (RFC 5961) --- */

static void test_reset(void **state)
{
    struct world w = { 0 };

    established(&w);
    say(&w, SEG_RST, 2, 0, 0); /* in the window, not the next number */
    expect(&w, SEG_ACK, 1, 1, 0);
    say(&w, SEG_RST, 2, 0, 0); /* so soon: no answer */
    expect_silence(&w);
    say(&w, SEG_RST, 0, 0, 0); /* below the window, and far above */
    say(&w, SEG_RST, 1u << 21, 0, 0);
    tick(&w, 1 * SEC);
    expect_silence(&w);
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    say(&w, SEG_RST, 1, 0, 0);
    assert_int_equal(tcp_end_error(w.e), -ECONNRESET);
    expect_silence(&w);
    done(&w);
}

static void test_syn_inside(void **state)
{
    struct world w = { 0 };
    struct seg syn;

    established(&w);
    syn = client_syn(&w);
    syn.seq = ISN + 5;
    send_raw(&w, &syn);
    expect(&w, SEG_ACK, 1, 1, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    done(&w);
}

static void test_acknowledgement_of_nothing(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;

    established(&w);
    write_all(&w, 0, 10);
    assert_true(hear(&w));
    say(&w, SEG_ACK, 1, 12, 20); /* one more than was sent: its data is not taken either */
    expect(&w, SEG_ACK, 11, 1, 0);
    say(&w, SEG_ACK, 1, (uint32_t)-200000, 20); /* further back than the greatest window, 128000 */
    tcp_end_info(w.e, &info);
    assert_int_equal(info.acked, 0);
    assert_int_equal(info.received, 0);
    say(&w, SEG_ACK, 1, 0, 20); /* an old one's data counts */
    tcp_end_info(w.e, &info);
    assert_int_equal(info.acked, 0);
    assert_int_equal(info.received, 20);
    done(&w);
}

static void test_broken_options(void **state)
{
    static const uint8_t broken[][4] = {
        { 8, 9, 0, 0 }, { 3, 0, 0, 0 }, { 5, 3, 0, 0 }, { 200, 1, 0, 0 }, { 1, 1, 1, 254 }, { 254, 5, 0, 0 },
    };
    struct world w = { 0 };
    struct tcp_end_info info;

    established(&w);
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct seg s = make(&w, SEG_ACK, 1, 1, 4);
        struct packet_info p;
        uint8_t pkt[200];
        size_t len;

        s.data = broken[i];
        len = seg_write(&s, pkt);
        pkt[32] = 6 << 4; /* what was data is options now */
        seg_set_checksum(pkt, len);
        assert_int_equal(packet_parse(pkt, len, &p), 0);
        assert_int_equal(tcp_end_input(w.e, pkt, &p, NULL, w.now), TCP_END_TAKEN);
        tcp_end_info(w.e, &info);
        assert_int_equal(info.dropped, i + 1);
    }
    expect_silence(&w);
    done(&w);
}

static void test_wrong_checksum(void **state)
{
    struct world w = { 0 };
    struct seg s;
    struct packet_info info;
    struct offload owed = { .flags = OFFLOAD_NEEDS_CSUM };
    uint8_t pkt[200];
    size_t len;

    established(&w);
    s = make(&w, SEG_ACK, 1, 1, 10);
    len = seg_write(&s, pkt);
    pkt[36] ^= 1;
    assert_int_equal(packet_parse(pkt, len, &info), 0);
    tcp_end_input(w.e, pkt, &info, NULL, w.now);
    assert_false(tcp_end_readable(w.e));
    tcp_end_input(w.e, pkt, &info, &owed, w.now); /* the device says that it is not there yet */
    assert_true(tcp_end_readable(w.e));
    done(&w);
}

static void test_paws(void **state)
{
    struct world w = { .stamps = true, .ts = 0xfffffff8u };
    struct seg s;

    established(&w);
    w.ts += 10;
    say(&w, SEG_ACK, 1, 1, 10);
    read_all(&w, 0, 10);
    s = make(&w, SEG_ACK, 11, 1, 10);
    s.ts -= 1;
    send_raw(&w, &s);
    assert_false(tcp_end_readable(w.e));
    expect(&w, SEG_ACK, 1, 11, 0);
    assert_int_equal(w.last.ts_echo, 2);
    s.has_ts = false; /* RFC 7323 3.2: silently dropped */
    send_raw(&w, &s);
    assert_false(tcp_end_readable(w.e));
    expect_silence(&w);
    w.ts += 0x70000000u; /* ahead */
    say(&w, SEG_ACK, 11, 1, 10);
    read_all(&w, 10, 10);
    w.ts -= 5; /* behind, until the last is older than 24 days */
    say(&w, SEG_ACK, 21, 1, 10);
    assert_false(tcp_end_readable(w.e));
    w.now += (span)25 * 24 * 3600 * SEC;
    say(&w, SEG_ACK, 21, 1, 10);
    read_all(&w, 20, 10);
    done(&w);
}

/* --- time --- */

static void test_keepalive(void **state)
{
    struct world w = { .o = { .keepalive = 100 * SEC } };

    established(&w);
    assert_int_equal(tcp_end_next_expiry(w.e), w.now + 100 * SEC);
    tick(&w, 100 * SEC);
    expect(&w, SEG_ACK, 0, 1, 0); /* one below: the peer has to answer */
    expect_silence(&w);
    say(&w, SEG_ACK, 1, 1, 0);
    assert_int_equal(tcp_end_next_expiry(w.e), w.now + 100 * SEC);
    for (int i = 0; i < 9; i++) {
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        expect(&w, SEG_ACK, 0, 1, 0);
        expect_silence(&w);
        assert_int_equal(tcp_end_next_expiry(w.e), w.now + 75 * SEC);
    }
    tick(&w, 75 * SEC);
    assert_int_equal(tcp_end_error(w.e), -ETIMEDOUT);
    expect(&w, SEG_RST | SEG_ACK, 1, 1, 0);
    done(&w);
    w = (struct world){ .o = { .keepalive = INSTANT_NEVER } };
    established(&w);
    assert_int_equal(tcp_end_next_expiry(w.e), INSTANT_NEVER);
    done(&w);
    w = (struct world){ 0 };
    established(&w);
    assert_int_equal(tcp_end_next_expiry(w.e), w.now + 7200 * SEC);
    done(&w);
}

/* Numbers of both sides wrap: the client's after 16 bytes, ours after some 100000, at a time chosen by its clock. */
static void test_wrap(void **state)
{
    struct world w = { .window = 2000 };
    size_t sent = 0;
    uint32_t iss;

    held(&w);
    tcp_end_accept(w.e, w.now);
    assert_true(hear(&w));
    iss = w.last.seq;
    done(&w);

    w = (struct world){ .window = 2000, .now = START + (instant)(UINT32_MAX - iss - 100000) * 4 };
    {
        struct seg syn = client_syn(&w);

        send_raw(&w, &syn);
    }
    tcp_end_accept(w.e, w.now);
    assert_true(hear(&w));
    w.iss = w.last.seq;
    assert_int_equal(w.iss, UINT32_MAX - 100000);
    say(&w, SEG_ACK, 1, 1, 0);
    for (uint32_t c = 1; c < 100001; c += 1000)
        say(&w, SEG_ACK, c, 1, 1000);
    read_all(&w, 0, 100000);
    assert_int_equal(tcp_end_write(w.e, pattern, 250000), 250000);
    while (sent < 250000) {
        assert_true(hear(&w));
        if (w.last.len == 0)
            continue;
        assert_int_equal(w.last.seq, (uint32_t)(w.iss + 1 + sent));
        assert_memory_equal(w.last.data, pattern + sent, w.last.len);
        sent += w.last.len;
        w.now += MSEC;
        say(&w, SEG_ACK, 100001, 1 + (uint32_t)sent, 0);
    }
    assert_true(tcp_end_flushed(w.e));
    done(&w);
}

static void test_strays(void **state)
{
    uint8_t pkt[200], out[TCP_RESET_MAX];
    struct packet_info info;

    for (int v6 = 0; v6 < 2; v6++) {
        struct seg s = { .v6 = v6, .seq = 1000, .ack = 5000, .flags = SEG_ACK | SEG_FIN, .data = pattern, .len = 10 };
        struct seg got;
        int n;

        assert_int_equal(packet_parse(pkt, seg_write(&s, pkt), &info), 0);
        n = tcp_reset_make(out, sizeof(out), pkt, &info);
        assert_int_equal(n, v6 ? 60 : 40);
        judge_packet(out, (size_t)n);
        got = seg_read(out, (size_t)n);
        assert_int_equal(got.flags, SEG_RST);
        assert_int_equal(got.seq, 5000);
        s.flags = SEG_FIN | SEG_PSH;
        assert_int_equal(packet_parse(pkt, seg_write(&s, pkt), &info), 0);
        n = tcp_reset_make(out, sizeof(out), pkt, &info);
        judge_packet(out, (size_t)n);
        got = seg_read(out, (size_t)n);
        assert_int_equal(got.flags, SEG_RST | SEG_ACK);
        assert_int_equal(got.seq, 0);
        assert_int_equal(got.ack, 1011);
        assert_int_equal(tcp_reset_make(out, 59, pkt, &info), -ENOSPC);
        s.flags = SEG_RST | SEG_ACK;
        assert_int_equal(packet_parse(pkt, seg_write(&s, pkt), &info), 0);
        assert_int_equal(tcp_reset_make(out, sizeof(out), pkt, &info), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_and_accepted),
        cmocka_unit_test(test_nothing_offered),
        cmocka_unit_test(test_synack_repeated),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_client_changes_its_mind),
        cmocka_unit_test(test_not_a_beginning),
        cmocka_unit_test(test_initial_number),
        cmocka_unit_test(test_client_ends_first),
        cmocka_unit_test(test_server_ends_first),
        cmocka_unit_test(test_both_end_at_once),
        cmocka_unit_test(test_fin_sent_again),
        cmocka_unit_test(test_new_connection_in_time_wait),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_syn_inside),
        cmocka_unit_test(test_acknowledgement_of_nothing),
        cmocka_unit_test(test_broken_options),
        cmocka_unit_test(test_wrong_checksum),
        cmocka_unit_test(test_paws),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_strays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
