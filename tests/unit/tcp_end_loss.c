/* Unit tests of src/tunnel/tcp: what is lost, and what a client says of it. */
#include "tests/unit/tcp_client.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sack_recovery),   cmocka_unit_test(test_lost_arrives),
        cmocka_unit_test(test_repetition_lost), cmocka_unit_test(test_tail_probe),
        cmocka_unit_test(test_tail_repaired),   cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_reneging),        cmocka_unit_test(test_sack_lies),
        cmocka_unit_test(test_without_sack),    cmocka_unit_test(test_too_big),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
