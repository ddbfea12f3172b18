/* Unit tests of src/tunnel/tcp: segment by segment, against a client that the test plays by hand.
 *
 * Numbers are the client's and the server's as on the wire: `c` and `s` count from the SYN, which is 0. */
#include "tunnel/tcp.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/tcp_seg.h"
#include "tests/unit/tunnel.h"

#define ISN 0xfffffff0u /* the client's: 16 bytes before it wraps */
#define START (1000 * SEC)
#define MSS 1460u

static uint8_t pattern[300000], whole[PACKET_MAX];

struct world {
    struct tcp_end *e;
    struct tcp_end_options o;
    instant now;
    bool v6, stamps;
    uint32_t iss;      /* the server's */
    uint32_t ts, echo; /* the client's clock; what it heard last */
    uint16_t window;   /* the client's, unscaled */
    struct seg last;
    enum tcp_end_outcome outcome;
};

static void send_raw(struct world *w, const struct seg *s)
{
    static uint8_t pkt[PACKET_MAX];
    size_t len = seg_write(s, pkt);
    struct packet_info info;

    assert_int_equal(packet_parse(pkt, len, &info), 0);
    if (!w->e)
        assert_int_equal(tcp_end_new(&w->o, pkt, &info, w->now, &w->e), 0);
    else
        w->outcome = tcp_end_input(w->e, pkt, &info, NULL, w->now);
}

/* A segment of the client: c, s counted from the SYNs. */
static struct seg make(const struct world *w, uint8_t flags, uint32_t c, uint32_t s, size_t len)
{
    struct seg g = { .v6 = w->v6,
                     .seq = ISN + c,
                     .ack = flags & SEG_ACK ? w->iss + s : 0,
                     .flags = flags,
                     .window = w->window,
                     .data = len > 0 ? pattern + c - 1 : NULL,
                     .len = len };

    if (w->stamps) {
        g.has_ts = true;
        g.ts = w->ts;
        g.ts_echo = w->echo;
    }
    return g;
}

static void say(struct world *w, uint8_t flags, uint32_t c, uint32_t s, size_t len)
{
    struct seg g = make(w, flags, c, s, len);

    send_raw(w, &g);
}

/* The next packet of the server, judged; false: it is silent. */
static bool hear(struct world *w)
{
    struct merged m;

    if (!tcp_end_output(w->e, &m, w->now))
        return false;
    assert_int_equal(slices_gather(m.slices, m.count, whole, sizeof(whole)), m.len);
    if (m.offload.flags == 0)
        judge_packet(whole, m.len);
    w->last = seg_read(whole, m.len);
    if (w->last.has_ts)
        w->echo = w->last.ts;
    return true;
}

/* It says this, and what it acknowledges is c. */
static void expect(struct world *w, uint8_t flags, uint32_t s, uint32_t c, size_t len)
{
    assert_true(hear(w));
    assert_int_equal(w->last.flags, flags);
    assert_int_equal(w->last.seq - w->iss, s);
    if (flags & SEG_ACK)
        assert_int_equal(w->last.ack - ISN, c);
    assert_int_equal(w->last.len, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(w->last.data[i], pattern[s - 1 + i]);
}

static void expect_silence(struct world *w)
{
    if (hear(w))
        fail_msg("it said flags %#x, seq %u, ack %u, %zu bytes", w->last.flags, w->last.seq - w->iss, w->last.ack - ISN,
                 w->last.len);
}

/* Time passes, to its next timer at most. */
static void tick(struct world *w, span d)
{
    w->now += d;
    if (tcp_end_next_expiry(w->e) <= w->now)
        tcp_end_on_expiry(w->e, w->now);
}

static struct seg client_syn(const struct world *w)
{
    struct seg syn = make(w, SEG_SYN, 0, 0, 0);

    syn.mss = w->v6 ? 1440 : MSS;
    syn.scale = 1 + 7;
    syn.sack_permitted = true;
    return syn;
}

static void held(struct world *w)
{
    struct seg syn;

    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 7 + i / 253);
    w->now = START;
    w->window = w->window ? w->window : 1000;
    syn = client_syn(w);
    send_raw(w, &syn);
    assert_int_equal(tcp_end_state(w->e), TCP_END_HELD);
    expect_silence(w);
}

static void accepted(struct world *w)
{
    held(w);
    tcp_end_accept(w->e, w->now);
    assert_true(hear(w));
    w->iss = w->last.seq;
    w->last.seq = 0;
    expect_silence(w);
}

static void established(struct world *w)
{
    accepted(w);
    tick(w, 10 * MSEC);
    say(w, SEG_ACK, 1, 1, 0);
    assert_int_equal(tcp_end_state(w->e), TCP_END_ESTABLISHED);
    expect_silence(w);
}

static void done(struct world *w)
{
    tcp_end_free(w->e);
}

static void write_all(struct world *w, size_t from, size_t len)
{
    assert_int_equal(tcp_end_write(w->e, pattern + from, len), len);
}

static void read_all(struct world *w, size_t from, size_t len)
{
    static uint8_t buf[sizeof(pattern)];

    assert_int_equal(tcp_end_read(w->e, buf, sizeof(buf)), len);
    assert_memory_equal(buf, pattern + from, len);
}

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

/* --- data --- */

static void test_delayed_acknowledgement(void **state)
{
    struct world w = { 0 };

    established(&w);
    say(&w, SEG_ACK, 1, 1, 100);
    expect_silence(&w);
    assert_int_equal(tcp_end_next_expiry(w.e), w.now + 40 * MSEC);
    tick(&w, 40 * MSEC);
    expect(&w, SEG_ACK, 1, 101, 0);
    expect_silence(&w);
    say(&w, SEG_ACK, 101, 1, MSS); /* the second of two full ones, at once */
    expect_silence(&w);
    say(&w, SEG_ACK, 101 + MSS, 1, MSS);
    expect(&w, SEG_ACK, 1, 101 + 2 * MSS, 0);
    say(&w, SEG_ACK, 101 + 2 * MSS, 1, 20000); /* a super-packet */
    expect(&w, SEG_ACK, 1, 20101 + 2 * MSS, 0);
    say(&w, SEG_ACK, 20101 + 2 * MSS, 1, 10); /* an answer takes it along */
    write_all(&w, 0, 7);
    expect(&w, SEG_ACK | SEG_PSH, 1, 20111 + 2 * MSS, 7);
    tick(&w, 50 * MSEC);
    done(&w);
}

static void test_reassembly(void **state)
{
    struct world w = { 0 };
    uint8_t other[350];
    struct seg s;

    established(&w);
    say(&w, SEG_ACK, 101, 1, 100); /* 101..201 */
    expect(&w, SEG_ACK, 1, 1, 0);
    assert_int_equal(w.last.blocks, 1);
    assert_int_equal(w.last.block[0][0], ISN + 101);
    assert_int_equal(w.last.block[0][1], ISN + 201);
    say(&w, SEG_ACK, 301, 1, 100); /* 301..401: the newest first */
    expect(&w, SEG_ACK, 1, 1, 0);
    assert_int_equal(w.last.blocks, 2);
    assert_int_equal(w.last.block[0][0], ISN + 301);
    assert_int_equal(w.last.block[1][0], ISN + 101);
    say(&w, SEG_ACK, 101, 1, 50); /* once more: RFC 2883, inside the range that has it */
    expect(&w, SEG_ACK, 1, 1, 0);
    assert_int_equal(w.last.block[0][0], ISN + 101);
    assert_int_equal(w.last.block[0][1], ISN + 151);
    /* Other bytes for what is there already: the first hold. */
    memset(other, 0xee, sizeof(other));
    s = make(&w, SEG_ACK, 151, 1, 100); /* 151..251 */
    memcpy(other + 50, pattern + 200, 50);
    s.data = other;
    send_raw(&w, &s);
    assert_true(hear(&w));
    assert_false(tcp_end_readable(w.e));
    memset(other, 0xee, sizeof(other)); /* over all of it, 1..351, and true in the holes alone */
    memcpy(other, pattern, 100);
    memcpy(other + 250, pattern + 250, 50);
    s = make(&w, SEG_ACK, 1, 1, 350);
    s.data = other;
    send_raw(&w, &s);
    expect(&w, SEG_ACK, 1, 401, 0);
    assert_int_equal(w.last.blocks, 0);
    read_all(&w, 0, 400);
    say(&w, SEG_ACK, 1, 1, 100); /* an old one: said to be known */
    expect(&w, SEG_ACK, 1, 401, 0);
    assert_int_equal(w.last.block[0][0], ISN + 1);
    assert_int_equal(w.last.block[0][1], ISN + 101);
    done(&w);
}

static void test_fin_out_of_order(void **state)
{
    struct world w = { 0 };

    established(&w);
    say(&w, SEG_ACK | SEG_FIN, 101, 1, 10); /* ends at 111 */
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    say(&w, SEG_ACK | SEG_FIN, 51, 1, 10); /* another end, below: a lie */
    say(&w, SEG_ACK, 111, 1, 20);          /* behind the end: not there */
    say(&w, SEG_ACK, 1, 1, 100);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSE_WAIT);
    read_all(&w, 0, 110);
    assert_true(tcp_end_at_end(w.e));
    done(&w);

    w = (struct world){ 0 };
    established(&w);
    say(&w, SEG_ACK, 101, 1, 10);
    say(&w, SEG_ACK | SEG_FIN, 51, 1, 10); /* below what has come: no end */
    say(&w, SEG_ACK, 1, 1, 100);
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    read_all(&w, 0, 110);
    say(&w, SEG_ACK | SEG_FIN, 111, 1, 0);
    assert_int_equal(tcp_end_state(w.e), TCP_END_CLOSE_WAIT);
    done(&w);
}

/* 512 pieces are kept, and what comes beyond them is as if it had not. */
static void test_too_many_holes(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;

    established(&w);
    for (uint32_t i = 0; i < 600; i++) {
        say(&w, SEG_ACK, 2 + 2 * i, 1, 1);
        while (hear(&w))
            continue;
    }
    tcp_end_info(w.e, &info);
    assert_int_equal(info.holes, 512);
    assert_int_equal(info.dropped, 88);
    say(&w, SEG_ACK, 1, 1, 1200);
    read_all(&w, 0, 1200);
    done(&w);
}

static void test_urgent_is_data(void **state)
{
    struct world w = { 0 };

    established(&w);
    say(&w, SEG_ACK | SEG_URG, 1, 1, 10);
    read_all(&w, 0, 10);
    done(&w);
}

/* What is not read closes the window; reading opens it, and says so. */
static void test_window_in(void **state)
{
    struct world w = { .o = { .receive_bytes = 65536 } };
    uint32_t c = 1;
    uint8_t buf[40000];

    established(&w);
    while (c < 65537) {
        say(&w, SEG_ACK, c, 1, MIN(65537 - c, MSS));
        c += MIN(65537 - c, MSS);
        while (hear(&w))
            assert_true(((uint32_t)w.last.window << 1) <= 65537 - (w.last.ack - ISN));
    }
    say(&w, SEG_ACK, c, 1, 10); /* into a closed window: asked where it stands */
    expect(&w, SEG_ACK, 1, 65537, 0);
    assert_int_equal(w.last.window, 0);
    assert_int_equal(tcp_end_read(w.e, buf, 100), 100); /* not worth a word */
    expect_silence(&w);
    say(&w, SEG_ACK, c - 1, 1, 0);
    tick(&w, 1 * SEC);
    say(&w, SEG_ACK, c - 1, 1, 0); /* a probe: 100 bytes are no segment */
    assert_true(hear(&w));
    assert_int_equal(w.last.window, 0);
    assert_int_equal(tcp_end_read(w.e, buf, 2820), 2820); /* two segments free */
    expect(&w, SEG_ACK, 1, 65537, 0);
    assert_int_equal(w.last.window, 2920 / 2);
    say(&w, SEG_ACK, c, 1, 5000); /* more than there is room for: what fits */
    expect(&w, SEG_ACK, 1, 65537 + 2920, 0);
    assert_int_equal(w.last.window, 0);
    done(&w);
}

static void test_window_out(void **state)
{
    struct world w = { .window = 10 }; /* 1280 bytes */
    struct tcp_end_info info;
    span waited;

    established(&w);
    write_all(&w, 0, 5000);
    expect(&w, SEG_ACK, 1, 1, 1280); /* less than a segment, but all of the window */
    expect_silence(&w);
    w.window = 0;
    say(&w, SEG_ACK, 1, 1281, 0);
    expect_silence(&w);
    waited = tcp_end_next_expiry(w.e) - w.now;
    for (int i = 0; i < 3; i++) { /* probes: one below, no data, doubled */
        assert_true(waited >= 200 * MSEC);
        tick(&w, waited);
        expect(&w, SEG_ACK, 1280, 1, 0);
        expect_silence(&w);
        say(&w, SEG_ACK, 1, 1281, 0);
        expect_silence(&w);
        assert_int_equal(tcp_end_next_expiry(w.e) - w.now, 2 * waited);
        waited *= 2;
    }
    w.window = 100;
    say(&w, SEG_ACK, 1, 1281, 0);
    expect(&w, SEG_ACK, 1281, 1, MSS);
    expect(&w, SEG_ACK, 1281 + MSS, 1, MSS);
    expect(&w, SEG_ACK | SEG_PSH, 1281 + 2 * MSS, 1, 5000 - 1280 - 2 * MSS);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.resent_packets, 0);
    assert_int_equal(info.probes, 3);
    done(&w);
}

/* The FIN has a place, and that has to be in the window too. */
static void test_fin_outside_window(void **state)
{
    struct world w = { .window = 10 };

    established(&w);
    write_all(&w, 0, 1280);
    tcp_end_finish(w.e);
    expect(&w, SEG_ACK | SEG_PSH, 1, 1, 1280);
    expect_silence(&w);
    say(&w, SEG_ACK, 1, 1281, 0);
    expect(&w, SEG_ACK | SEG_PSH | SEG_FIN, 1281, 1, 0);
    done(&w);
}

/* An older segment that was overtaken says nothing of the window. */
static void test_old_window(void **state)
{
    struct world w = { 0 };

    established(&w);
    say(&w, SEG_ACK, 1, 1, 100);
    w.window = 20; /* 2560 bytes: one segment, and a piece that is none */
    say(&w, SEG_ACK, 101, 1, 0);
    w.window = 1000;
    say(&w, SEG_ACK, 51, 1, 50);
    assert_true(hear(&w));
    write_all(&w, 0, 5000);
    expect(&w, SEG_ACK, 1, 101, MSS);
    expect_silence(&w);
    done(&w);
}

/* A peer that never opens its window but answers is not given up; one that is silent is. */
static void test_closed_window_for_ever(void **state)
{
    struct world w = { .window = 10 };

    established(&w);
    write_all(&w, 0, 2000);
    assert_true(hear(&w));
    w.window = 0;
    say(&w, SEG_ACK, 1, 1281, 0);
    for (int i = 0; i < 20; i++) {
        expect_silence(&w);
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        if (hear(&w))
            say(&w, SEG_ACK, 1, 1281, 0);
    }
    assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    assert_true(w.now > START + 300 * SEC);
    for (int i = 0; i < 10 && tcp_end_state(w.e) == TCP_END_ESTABLISHED; i++) {
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        while (hear(&w))
            continue;
    }
    assert_int_equal(tcp_end_error(w.e), -ETIMEDOUT);
    done(&w);
}

/* The time behind a closed window does not count as silence when something is lost afterwards. */
static void test_loss_after_closed_window(void **state)
{
    struct world w = { .window = 10 };
    struct tcp_end_info info;

    established(&w);
    write_all(&w, 0, 1280);
    assert_true(hear(&w));
    do { /* nothing arrives, until a timeout */
        expect_silence(&w);
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        assert_true(hear(&w));
        tcp_end_info(w.e, &info);
    } while (info.timeouts == 0);
    w.window = 0;
    say(&w, SEG_ACK, 1, 1, 0);
    for (int i = 0; i < 20; i++) {
        expect_silence(&w);
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        if (hear(&w))
            say(&w, SEG_ACK, 1, 1, 0);
    }
    assert_true(w.now > START + 300 * SEC);
    w.window = 10;
    say(&w, SEG_ACK, 1, 1, 0);
    for (int i = 0; i < 3; i++) {
        assert_true(hear(&w));
        assert_true(w.last.len > 0);
        expect_silence(&w);
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        assert_int_equal(tcp_end_state(w.e), TCP_END_ESTABLISHED);
    }
    done(&w);
}

static void test_silly_window(void **state)
{
    struct world w = { .window = 200 };

    established(&w);
    write_all(&w, 0, 40000);
    for (uint32_t i = 0; i < 17; i++) /* of 25600 bytes the last 780 are no segment */
        expect(&w, SEG_ACK, 1 + i * MSS, 1, MSS);
    expect_silence(&w);
    w.window = 1; /* 128 bytes: less than a segment, less than half of the greatest */
    say(&w, SEG_ACK, 1, 17 * MSS + 1, 0);
    expect_silence(&w);
    tick(&w, tcp_end_next_expiry(w.e) - w.now); /* ... until the timer has run out */
    expect(&w, SEG_ACK, 17 * MSS + 1, 1, 128);
    done(&w);
}

static void test_super_packets(void **state)
{
    for (int v6 = 0; v6 < 2; v6++) {
        struct world w = { .v6 = v6, .stamps = true, .o = { .offload = true } };
        unsigned mss = v6 ? 1428 : 1448;
        struct merged m;
        struct segment cut;
        size_t got = 0;
        int n;

        established(&w);
        write_all(&w, 0, 65000);
        assert_true(tcp_end_output(w.e, &m, w.now));
        assert_int_equal(m.offload.gso_type, v6 ? OFFLOAD_GSO_TCPV6 : OFFLOAD_GSO_TCPV4);
        assert_int_equal(m.offload.gso_size, mss);
        assert_int_equal(m.offload.flags, OFFLOAD_NEEDS_CSUM);
        assert_int_equal(m.offload.csum_start, v6 ? 40 : 20);
        assert_int_equal(m.offload.csum_offset, 16);
        assert_int_equal(m.offload.hdr_len, v6 ? 72 : 52);
        slices_gather(m.slices, m.count, whole, sizeof(whole));
        assert_int_equal(segment_init(&cut, whole, m.len, &m.offload), 0);
        assert_true(cut.count > 40);
        for (uint8_t pkt[1500]; (n = segment_next(&cut, pkt, sizeof(pkt))) > 0;) {
            struct seg s = seg_read(pkt, (size_t)n);

            judge_packet(pkt, (size_t)n);
            assert_int_equal(s.seq - w.iss - 1, got);
            assert_memory_equal(s.data, pattern + got, s.len);
            got += s.len;
        }
        assert_true(got == 65000 || got % mss == 0);
        done(&w);
    }
}

static void test_ring_grows(void **state)
{
    struct world w = { .o = { .send_bytes = 262144 }, .window = 65535 };
    struct tcp_end_info info;
    size_t sent = 0, written = 100;
    uint32_t acked = 1;

    established(&w);
    write_all(&w, 0, 100);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.buffered_tx, 16384);
    while (sent < 290000) { /* the ring turns while it grows */
        size_t n = (size_t)tcp_end_write(w.e, pattern + written, MIN(sizeof(pattern) - written, 7001));

        written += n;
        while (hear(&w)) {
            assert_memory_equal(w.last.data, pattern + sent, w.last.len);
            sent += w.last.len;
        }
        if (sent - (acked - 1) > 30000 || n == 0) {
            acked = (uint32_t)sent + 1 - (sent < 200000 ? 4000 : 0);
            say(&w, SEG_ACK, 1, acked, 0);
        }
    }
    tcp_end_info(w.e, &info);
    assert_in_range(info.buffered_tx, 32768, 262144);
    say(&w, SEG_ACK, 1, (uint32_t)sent + 1, 0);
    while (hear(&w))
        say(&w, SEG_ACK, 1, (w.last.seq - w.iss) + (uint32_t)w.last.len, 0);
    assert_true(tcp_end_flushed(w.e));
    /* Nothing is kept: the memory goes. */
    tick(&w, 1 * SEC);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.buffered_tx, 0);
    done(&w);
}

static void test_room(void **state)
{
    struct world w = { .o = { .send_bytes = 65536 } };

    established(&w);
    assert_int_equal(tcp_end_room(w.e), 65536);
    assert_int_equal(tcp_end_write(w.e, pattern, 70000), 65536);
    assert_int_equal(tcp_end_write(w.e, pattern, 1), 0);
    while (hear(&w))
        continue;
    say(&w, SEG_ACK, 1, 1001, 0);
    assert_int_equal(tcp_end_room(w.e), 1000);
    done(&w);
}

/* RFC 5681 and 7661: twice as wide after a round trip that filled it, as wide as before after one that did not. */
static void test_congestion_window(void **state)
{
    struct world w = { .window = 5000 };
    struct tcp_end_info info;
    uint32_t s = 1;

    established(&w);
    for (int i = 0; i < 100; i++) {
        write_all(&w, s - 1, 1000);
        assert_true(hear(&w));
        s += 1000;
        tick(&w, 5 * MSEC);
        say(&w, SEG_ACK, 1, s, 0);
    }
    tcp_end_info(w.e, &info);
    assert_int_equal(info.cwnd, 65536);
    write_all(&w, s - 1, 190000);
    while (hear(&w))
        s = w.last.seq - w.iss + (uint32_t)w.last.len;
    tick(&w, 5 * MSEC);
    assert_int_equal(s - 100001, 65536 / MSS * MSS);
    say(&w, SEG_ACK, 1, s, 0);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.cwnd, 65536 + 65536 / MSS * MSS);
    done(&w);
}

/* --- loss --- */

/* Ten segments on the way; every one of `lost` (bits) does not arrive. */
static void ten_segments(struct world *w)
{
    established(w);
    write_all(w, 0, 10 * MSS);
    for (uint32_t i = 0; i < 10; i++)
        expect(w, i < 9 ? SEG_ACK : SEG_ACK | SEG_PSH, 1 + i * MSS, 1, MSS);
    expect_silence(w);
    tick(w, 10 * MSEC);
}

static void say_sack(struct world *w, uint32_t s, uint32_t from, uint32_t to)
{
    struct seg g = make(w, SEG_ACK, 1, s, 0);

    g.blocks = 1;
    g.block[0][0] = w->iss + from;
    g.block[0][1] = w->iss + to;
    send_raw(w, &g);
}

static void test_sack_recovery(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;
    uint64_t before;

    ten_segments(&w);
    tcp_end_info(w.e, &info);
    before = info.cwnd;
    say_sack(&w, 1, 1 + MSS, 1 + 2 * MSS); /* the first is missing */
    expect_silence(&w);
    say_sack(&w, 1, 1 + MSS, 1 + 3 * MSS);
    expect_silence(&w);
    say_sack(&w, 1, 1 + MSS, 1 + 4 * MSS); /* three above it: lost */
    expect(&w, SEG_ACK, 1, 1, MSS);
    expect_silence(&w);
    tcp_end_info(w.e, &info);
    assert_true(info.cwnd < before);
    assert_int_equal(info.ssthresh, 5 * MSS); /* half of what was in flight */
    assert_int_equal(info.resent_packets, 1);
    tick(&w, 10 * MSEC);
    say(&w, SEG_ACK, 1, 1 + 10 * MSS, 0);
    expect_silence(&w);
    assert_true(tcp_end_flushed(w.e));
    tcp_end_info(w.e, &info);
    assert_int_equal(info.timeouts, 0);
    done(&w);
}

/* What was taken for lost and comes after all is not sent again. */
static void test_lost_arrives(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;

    ten_segments(&w);
    say_sack(&w, 1, 1 + 5 * MSS, 1 + 8 * MSS); /* five are missing; three fit into half of what was in flight */
    for (uint32_t i = 0; i < 3; i++)
        expect(&w, SEG_ACK, 1 + i * MSS, 1, MSS);
    expect_silence(&w);
    say_sack(&w, 1, 1 + 3 * MSS, 1 + 8 * MSS);
    expect_silence(&w);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.in_flight, 5 * MSS);
    say_sack(&w, 1 + 3 * MSS, 1 + 3 * MSS, 1 + 10 * MSS);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.in_flight, 0);
    assert_int_equal(info.resent_packets, 3);
    done(&w);
}

/* Two holes and a lost repetition: the second repetition needs no timeout (RFC 8985 section 2). */
static void test_repetition_lost(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;

    ten_segments(&w);
    say_sack(&w, 1, 1 + 2 * MSS, 1 + 8 * MSS); /* 0 and 1 are missing, 8 and 9 not heard of */
    expect(&w, SEG_ACK, 1, 1, MSS);
    expect(&w, SEG_ACK, 1 + MSS, 1, MSS);
    tick(&w, 10 * MSEC);
    say_sack(&w, 1, 1 + MSS, 1 + 10 * MSS); /* the second repetition came, the first did not */
    while (hear(&w)) {
        assert_int_equal(w.last.seq - w.iss, 1);
        assert_int_equal(w.last.len, MSS);
    }
    tcp_end_info(w.e, &info);
    if (info.resent_packets < 3) { /* within the reordering window: a moment later */
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        expect(&w, SEG_ACK, 1, 1, MSS);
        tcp_end_info(w.e, &info);
    }
    assert_int_equal(info.resent_packets, 3);
    assert_int_equal(info.timeouts, 0);
    assert_int_equal(info.probes, 0);
    done(&w);
}

static void test_tail_probe(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;
    instant due;

    ten_segments(&w); /* round trip: 10 ms, from the handshake */
    tcp_end_info(w.e, &info);
    due = tcp_end_next_expiry(w.e);
    assert_in_range(due - (w.now - 10 * MSEC), 2 * info.srtt + 40 * MSEC, 2 * info.srtt + 60 * MSEC);
    tick(&w, due - w.now);
    expect(&w, SEG_ACK | SEG_PSH, 1 + 9 * MSS, 1, MSS); /* the last one */
    expect_silence(&w);
    tick(&w, 10 * MSEC);
    say_sack(&w, 1 + 6 * MSS, 1 + 9 * MSS, 1 + 10 * MSS); /* which tells that three are missing */
    expect(&w, SEG_ACK, 1 + 6 * MSS, 1, MSS);
    expect(&w, SEG_ACK, 1 + 7 * MSS, 1, MSS);
    expect_silence(&w); /* half of what was in flight: two */
    tick(&w, 10 * MSEC);
    say_sack(&w, 1 + 8 * MSS, 1 + 9 * MSS, 1 + 10 * MSS);
    expect(&w, SEG_ACK, 1 + 8 * MSS, 1, MSS);
    expect_silence(&w);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.timeouts, 0);
    done(&w);
}

/* A probe that repaired the loss of the last segment is one, unless the peer says that it had it (RFC 8985 7.4.2). */
static void test_tail_repaired(void **state)
{
    for (int had = 0; had < 2; had++) {
        struct world w = { 0 };
        struct tcp_end_info info;
        struct seg g;

        ten_segments(&w);
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        expect(&w, SEG_ACK | SEG_PSH, 1 + 9 * MSS, 1, MSS);
        tick(&w, 10 * MSEC);
        g = make(&w, SEG_ACK, 1, 1 + 10 * MSS, 0);
        g.blocks = 1;
        g.block[0][0] = w.iss + 1 + 9 * MSS;
        g.block[0][1] = w.iss + 1 + 10 * MSS;
        say(&w, SEG_ACK, 1, 1 + 10 * MSS, 0); /* of either copy */
        tcp_end_info(w.e, &info);
        assert_true(info.cwnd >= 65536);
        if (had)
            send_raw(&w, &g);
        write_all(&w, 10 * MSS, 100);
        assert_true(hear(&w));
        tick(&w, 10 * MSEC);
        say(&w, SEG_ACK, 1, 101 + 10 * MSS, 0);
        tcp_end_info(w.e, &info);
        if (had)
            assert_true(info.cwnd >= 65536);
        else
            assert_int_equal(info.cwnd, 5 * MSS);
        done(&w);
    }
}

static void test_timeouts(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;
    instant last;
    span gap = 0;

    ten_segments(&w);
    tick(&w, tcp_end_next_expiry(w.e) - w.now);
    assert_true(hear(&w)); /* the probe of the tail */
    last = w.now;
    for (int i = 0; i < 5; i++) { /* one segment at a time, twice as late each */
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        expect(&w, SEG_ACK, 1, 1, MSS);
        expect_silence(&w);
        assert_true(i < 2 || w.now - last == 2 * gap);
        gap = w.now - last;
        last = w.now;
    }
    tcp_end_info(w.e, &info);
    assert_int_equal(info.timeouts, 5);
    assert_int_equal(info.cwnd, MSS);
    assert_int_equal(info.srtt, 10 * MSEC);
    tick(&w, 50 * MSEC);
    say(&w, SEG_ACK, 1, 1 + 2 * MSS, 0); /* it is back: slow start over what was in flight */
    tcp_end_info(w.e, &info);
    assert_int_equal(info.srtt, 10 * MSEC); /* of which of the six? */
    expect(&w, SEG_ACK, 1 + 2 * MSS, 1, MSS);
    say(&w, SEG_ACK, 1, 1 + 10 * MSS, 0);
    assert_true(tcp_end_flushed(w.e));
    write_all(&w, 10 * MSS, 100);
    assert_true(hear(&w));
    while (tcp_end_state(w.e) == TCP_END_ESTABLISHED) {
        tick(&w, tcp_end_next_expiry(w.e) - w.now);
        while (tcp_end_state(w.e) == TCP_END_ESTABLISHED && hear(&w))
            continue;
    }
    assert_int_equal(tcp_end_error(w.e), -ETIMEDOUT);
    done(&w);
}

/* What was said by SACK may be taken back (RFC 2018 section 8). */
static void test_reneging(void **state)
{
    struct world w = { 0 };
    uint32_t got = 0;

    ten_segments(&w);
    say_sack(&w, 1, 1, 1 + 10 * MSS); /* all of it, and yet nothing is acknowledged */
    expect_silence(&w);
    assert_true(tcp_end_next_expiry(w.e) < w.now + 2 * SEC);
    tick(&w, tcp_end_next_expiry(w.e) - w.now);
    for (int i = 0; i < 20 && got < 10 * MSS; i++)
        while (hear(&w)) {
            assert_int_equal(w.last.seq - w.iss, 1 + got);
            got += (uint32_t)w.last.len;
            say(&w, SEG_ACK, 1, 1 + got, 0);
        }
    assert_true(tcp_end_flushed(w.e));
    done(&w);
}

static void test_sack_lies(void **state)
{
    static const uint32_t lies[][2] = {
        { 1 + 11 * MSS, 1 + 12 * MSS },     /* never sent */
        { 1 + 3 * MSS, 1 + 11 * MSS },      /* in part */
        { 1 + 5 * MSS, 1 + 4 * MSS },       /* backwards */
        { 1 + 5 * MSS, 1 + 5 * MSS },       /* nothing */
        { 0, 1 + 3 * MSS },                 /* from below */
        { 0x80000001u, 0x80000001u + MSS }, /* half a world away */
    };
    struct world w = { 0 };
    struct tcp_end_info info;

    ten_segments(&w);
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        say_sack(&w, 1, lies[i][0], lies[i][1]);
        expect_silence(&w);
    }
    tcp_end_info(w.e, &info);
    assert_int_equal(info.acked, 0);
    assert_int_equal(info.resent_packets, 0);
    assert_int_equal(info.in_flight, 10 * MSS);
    done(&w);
}

static void test_without_sack(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;
    struct seg syn;

    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 7 + i / 253);
    w.now = START;
    w.window = 50000;
    syn = make(&w, SEG_SYN, 0, 0, 0);
    syn.mss = MSS;
    send_raw(&w, &syn);
    tcp_end_accept(w.e, w.now);
    assert_true(hear(&w));
    w.iss = w.last.seq;
    say(&w, SEG_ACK, 1, 1, 0);
    write_all(&w, 0, 10 * MSS);
    while (hear(&w))
        continue;
    for (int i = 0; i < 3; i++) { /* 0 and 4 are missing */
        expect_silence(&w);
        say(&w, SEG_ACK, 1, 1, 0);
    }
    expect(&w, SEG_ACK, 1, 1, MSS);
    expect_silence(&w);
    say(&w, SEG_ACK, 1, 1 + 4 * MSS, 0); /* half way: the next hole (RFC 6582) */
    expect(&w, SEG_ACK, 1 + 4 * MSS, 1, MSS);
    expect_silence(&w);
    say(&w, SEG_ACK, 1, 1 + 10 * MSS, 0);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.resent_packets, 2);
    assert_int_equal(info.timeouts, 0);
    /* It counts ours: three of them for three segments above a hole. */
    say(&w, SEG_ACK, 101, 1 + 10 * MSS, 10);
    say(&w, SEG_ACK, 111, 1 + 10 * MSS, 10);
    say(&w, SEG_ACK, 121, 1 + 10 * MSS, 10);
    for (int i = 0; i < 3; i++)
        expect(&w, SEG_ACK, 1 + 10 * MSS, 1, 0);
    expect_silence(&w);
    done(&w);
}

static void test_too_big(void **state)
{
    struct world w = { 0 };
    struct tcp_end_info info;

    ten_segments(&w);
    tcp_end_on_too_big(w.e, w.iss + 20 * MSS, 1400); /* of nothing that is in flight */
    expect_silence(&w);
    tcp_end_on_too_big(w.e, w.iss + 1, 1600);
    expect_silence(&w);
    tcp_end_on_too_big(w.e, w.iss + 1, 1400);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.mss, 1360);
    expect(&w, SEG_ACK, 1, 1, 1360);
    expect(&w, SEG_ACK, 1361, 1, 1360);
    tcp_end_on_too_big(w.e, w.iss + 1, 68);
    tcp_end_info(w.e, &info);
    assert_int_equal(info.mss, 536);
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
        cmocka_unit_test(test_delayed_acknowledgement),
        cmocka_unit_test(test_reassembly),
        cmocka_unit_test(test_fin_out_of_order),
        cmocka_unit_test(test_too_many_holes),
        cmocka_unit_test(test_urgent_is_data),
        cmocka_unit_test(test_window_in),
        cmocka_unit_test(test_window_out),
        cmocka_unit_test(test_fin_outside_window),
        cmocka_unit_test(test_old_window),
        cmocka_unit_test(test_closed_window_for_ever),
        cmocka_unit_test(test_loss_after_closed_window),
        cmocka_unit_test(test_silly_window),
        cmocka_unit_test(test_super_packets),
        cmocka_unit_test(test_ring_grows),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_congestion_window),
        cmocka_unit_test(test_sack_recovery),
        cmocka_unit_test(test_lost_arrives),
        cmocka_unit_test(test_repetition_lost),
        cmocka_unit_test(test_tail_probe),
        cmocka_unit_test(test_tail_repaired),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_reneging),
        cmocka_unit_test(test_sack_lies),
        cmocka_unit_test(test_without_sack),
        cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_strays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
