/* Unit tests of src/tunnel/tcp_cubic.c: the congestion control of an end that connects, against the formulas of RFC
 * 9438, RFC 9406, RFC 4015 and RFC 5681. The server is played by hand (tcp_client.h, as in tcp_end_active.c); it
 * acknowledges each second segment, all at one instant in each round trip. */
#include <math.h>

#include "tests/unit/tcp_client.h"

#define C .4
#define BETA .7
#define ALPHA (3 * (1 - BETA) / (1 + BETA)) /* RFC 9438 4.3 */

/* What was sent, in segments. */
struct bench {
    struct world w;
    span rtt;
    unsigned sent, acked; /* segments of `mss` bytes from the beginning */
    bool quiet;           /* the application writes no more */
    uint32_t mss, sent_ts[20000];
};

static struct tcp_end_info info_of(const struct bench *b)
{
    struct tcp_end_info info;

    tcp_end_info(b->w.e, &info);
    return info;
}

/* In segments. */
static double window(const struct bench *b)
{
    return (double)info_of(b).cwnd / b->mss;
}

static void hear_all(struct bench *b)
{
    while (hear(&b->w)) {
        unsigned at = (unsigned)((b->w.last.seq - b->w.iss - 1) / b->mss);

        if (b->w.last.len == 0)
            continue;
        assert_int_equal(b->w.last.len, b->mss);
        assert_true(at < ARRAY_LEN(b->sent_ts));
        b->sent_ts[at] = b->w.last.ts;
        b->sent = MAX(b->sent, at + 1);
    }
}

static void feed(struct bench *b)
{
    static const uint8_t some[1460 * 64];

    while (!b->quiet && tcp_end_room(b->w.e) >= sizeof(some))
        assert_int_equal(tcp_end_write(b->w.e, some, sizeof(some)), sizeof(some));
}

/* Everything below segment `to` has come; the timestamp that is echoed is as given. */
static void ack_echoing(struct bench *b, unsigned to, uint32_t echo)
{
    b->w.echo = echo;
    b->w.ts++;
    say(&b->w, SEG_ACK, 1, 1 + to * b->mss, 0);
    b->acked = to;
    feed(b);
    hear_all(b);
}

static void ack(struct bench *b, unsigned to)
{
    ack_echoing(b, to, b->sent_ts[b->acked]);
}

/* Segments from..to came above a hole: what is echoed is from before it (RFC 7323 4.3). */
static void sack(struct bench *b, unsigned from, unsigned to)
{
    struct seg s;

    b->w.echo = b->acked > 0 ? b->sent_ts[b->acked - 1] : b->w.echo;
    s = make(&b->w, SEG_ACK, 1, 1 + b->acked * b->mss, 0);
    s.blocks = 1;
    s.block[0][0] = b->w.iss + 1 + from * b->mss;
    s.block[0][1] = b->w.iss + 1 + to * b->mss;
    send_raw(&b->w, &s);
    hear_all(b);
}

static void begin(struct bench *b, bool stamps, span rtt)
{
    static const struct endpoint ours = { { ADDR_V4, { 198, 51, 100, 2 } }, 443 };
    static const struct endpoint theirs = { { ADDR_V4, { 192, 0, 2, 1 } }, 40000 };
    struct seg s;

    *b = (struct bench){ .rtt = rtt, .mss = MSS - (stamps ? 12 : 0) };
    b->w = (struct world){ .now = START, .stamps = stamps, .window = 65535 };
    assert_int_equal(tcp_end_connect(&b->w.o, &ours, &theirs, b->w.now, &b->w.e), 0);
    assert_true(hear(&b->w));
    b->w.iss = b->w.last.seq;
    tick(&b->w, rtt);
    s = client_syn(&b->w);
    s.flags |= SEG_ACK;
    s.ack = b->w.iss + 1;
    send_raw(&b->w, &s);
    say(&b->w, SEG_ACK, 1, 1, 0); /* the window, scaled */
    feed(b);
    hear_all(b);
    assert_string_equal(info_of(b).control, "cubic");
}

/* What was out a round trip ago is acknowledged. */
static void round_trip(struct bench *b)
{
    unsigned end = b->sent;

    tick(&b->w, b->rtt);
    while (b->acked < end)
        ack(b, MIN(b->acked + 2, end));
}

/* Slow start, from 10 segments. */
static void double_to(struct bench *b, unsigned segments)
{
    for (unsigned expected = 10; expected < segments; expected *= 2) {
        assert_int_equal(info_of(b).cwnd, expected * b->mss);
        round_trip(b);
    }
    assert_int_equal(info_of(b).cwnd, segments * b->mss);
}

/* The first segment of a flight is lost, and that is repaired: a round trip each. The window before the cut: three
 * segments above the hole tell of it (RFC 5681), and what SACK acknowledges counts. */
static double lose_one(struct bench *b)
{
    unsigned first = b->acked, end = b->sent, repaired;
    uint64_t again = info_of(b).resent_bytes;
    double before = 0, cut;

    tick(&b->w, b->rtt);
    for (unsigned i = first + 1; i < end; i++) {
        if (info_of(b).resent_bytes == again)
            before = window(b);
        assert_true(info_of(b).resent_bytes == again || i > first + 3);
        sack(b, first + 1, i + 1);
    }
    assert_int_equal(info_of(b).resent_bytes, again + b->mss);
    cut = window(b);
    if (cut < BETA * before - .01 || cut > BETA * (before + 1) + .01) /* 4.6 */
        fail_msg("%.2f segments of %.2f after a loss", cut, before);
    assert_true(fabs((double)info_of(b).ssthresh / b->mss - cut) < .01);
    repaired = end;
    end = b->sent;
    tick(&b->w, b->rtt);
    ack(b, repaired);
    while (b->acked < end)
        ack(b, MIN(b->acked + 2, end));
    return cut / BETA;
}

static double curve(double w_max, double k, double t)
{
    return C * pow(t - k, 3) + w_max;
}

/* From here on, for `t`, the window is on the curve: at each instant not ahead of what the curve says of a round trip
 * later, at which growth aims (RFC 9438 4.2, 4.4), nor a round trip behind it. */
static void follow(struct bench *b, double cut, double w_max, span t)
{
    double k = cbrt((w_max - cut) / C), rtt = (double)b->rtt / SEC, at;

    for (instant epoch = b->w.now; b->w.now < epoch + t;) {
        round_trip(b);
        at = (double)(b->w.now - epoch) / SEC;
        if (window(b) < curve(w_max, k, at - rtt) || window(b) > curve(w_max, k, at + rtt) + .01)
            fail_msg("%.2f segments at %.1f s; W_cubic says %.2f to %.2f", window(b), at, curve(w_max, k, at - rtt),
                     curve(w_max, k, at + rtt));
    }
}

/* RFC 9438 4.2 from 83 segments (80, and the three that tell): cut to 58.1, K = cbrt(83 * .3 / .4) = 3.96 s. */
static void test_curve(void **state)
{
    struct bench b;
    double w_max;

    begin(&b, false, 200 * MSEC);
    double_to(&b, 80);
    w_max = lose_one(&b);
    assert_true(fabs(w_max - 83) < .01);
    follow(&b, BETA * w_max, w_max, 7 * SEC);
    done(&b.w);
}

/* RFC 9438 4.7: at the next loss below the latest W_max, that is lowered to (1 + beta) / 2 of the window. After 3.6 s
 * Reno would be beyond the curve. */
static void test_fast_convergence(void **state)
{
    struct bench b;
    double w_max, again;

    begin(&b, false, 200 * MSEC);
    double_to(&b, 80);
    w_max = lose_one(&b);
    round_trip(&b);
    again = lose_one(&b);
    assert_true(again < w_max);
    follow(&b, BETA * again, again * (1 + BETA) / 2, 3400 * MSEC);
    done(&b.w);
}

/* RFC 9438 4.3, where the curve is flatter than Reno: alpha segments a round trip up to the window of before the cut,
 * and one from there. */
static void test_no_slower_than_reno(void **state)
{
    struct bench b;
    double w_max, est;

    begin(&b, false, 10 * MSEC);
    double_to(&b, 20);
    w_max = lose_one(&b);
    est = BETA * w_max;
    for (unsigned i = 0; i < 40; i++) {
        round_trip(&b);
        est += est < w_max ? ALPHA : 1;
        assert_true(curve(w_max, cbrt(w_max * (1 - BETA) / C), .01 * (i + 1)) < est);
        if (fabs(window(&b) - est) > 1) /* a round trip of whole segments is not quite a window */
            fail_msg("%.2f segments after %u round trips instead of %.2f", window(&b), i + 1, est);
    }
    done(&b.w);
}

/* RFC 9406: a round trip that grew by more than 16 ms ends slow start without a loss, at no more than twice the window
 * for the round that finds out and a quarter more for each of five; one that stays does not. */
static void test_hystart(void **state)
{
    struct bench b;
    double found;

    begin(&b, false, 100 * MSEC);
    double_to(&b, 40);
    assert_true(info_of(&b).ssthresh == UINT64_MAX);
    b.rtt = 120 * MSEC;
    round_trip(&b);
    round_trip(&b);
    found = window(&b);
    assert_true(found < 160);
    for (unsigned i = 0; i < 5; i++)
        round_trip(&b);
    assert_true(info_of(&b).ssthresh != UINT64_MAX);
    assert_true(window(&b) <= found * pow(1.25, 5));
    assert_int_equal(info_of(&b).resent_bytes, 0);
    done(&b.w);
}

/* One segment, then slow start up to beta of what it was (RFC 5681 3.1, RFC 9438 4.8), and the curve from its lowest
 * point: K = 0, W_max what slow start reached. */
static void test_timeout(void **state)
{
    struct bench b;
    unsigned rounds = 0;

    begin(&b, false, 200 * MSEC);
    double_to(&b, 80);
    while (info_of(&b).timeouts == 0) {
        tick(&b.w, tcp_end_next_expiry(b.w.e) - b.w.now);
        if (info_of(&b).timeouts == 0)
            hear_all(&b);
    }
    assert_int_equal(info_of(&b).cwnd, b.mss);
    assert_int_equal(info_of(&b).ssthresh, 56 * b.mss);
    hear_all(&b);
    tick(&b.w, tcp_end_next_expiry(b.w.e) - b.w.now);
    assert_int_equal(info_of(&b).timeouts, 2);
    assert_int_equal(info_of(&b).cwnd, b.mss);
    assert_int_equal(info_of(&b).ssthresh, 56 * b.mss); /* not again: it was sent again after a timeout */
    hear_all(&b);
    while (window(&b) < 56) {
        unsigned n = (unsigned)window(&b);

        assert_true(++rounds <= 7); /* 2^6 > 56 */
        tick(&b.w, b.rtt);
        for (unsigned end = b.acked + n; b.acked < end;)
            ack(&b, b.acked + 1);
        assert_true(window(&b) <= MAX(2. * n, 57.));
    }
    assert_true(window(&b) < 57);
    done(&b.w);
}

/* --- what is taken back --- */

enum late { LOST_INDEED, LATE, ONE_LATE, ABOVE_A_HOLE };

/* 20 segments, of which the first and the eleventh are taken for lost: the window was 23 (lose_one). */
static void play_late(enum late how, bool stamps)
{
    struct bench b;
    uint32_t first_ts[2];
    unsigned first;
    uint64_t before, cut;
    bool late = how == LATE && stamps;

    begin(&b, stamps, 100 * MSEC);
    double_to(&b, 20);
    first = b.acked;
    assert_int_equal(b.sent - first, 20);
    first_ts[0] = b.sent_ts[first];
    first_ts[1] = b.sent_ts[first + 10];
    before = 23 * b.mss;
    cut = (uint64_t)(BETA * (double)before);
    tick(&b.w, b.rtt);
    for (unsigned i = 1; i < 10; i++)
        sack(&b, first + 1, first + i + 1);
    for (unsigned i = 11; i < 20; i++)
        sack(&b, first + 11, first + i + 1);
    assert_true(info_of(&b).cwnd - cut + 1 <= 2);
    assert_int_equal(info_of(&b).resent_bytes, 2 * b.mss);
    if (stamps)
        assert_true(b.sent_ts[first] != first_ts[0] && b.sent_ts[first + 10] != first_ts[1]);
    tick(&b.w, b.rtt);       /* no less than the shortest round trip: only a timestamp tells */
    if (how == ABOVE_A_HOLE) /* the second's copy, and then the first's */
        sack(&b, first + 10, first + 20);
    else
        ack_echoing(&b, first + 10, how != LOST_INDEED ? first_ts[0] : b.sent_ts[first]);
    assert_true(info_of(&b).cwnd - cut + 1 <= 2); /* one of two, or none */
    ack_echoing(&b, first + 20, how == LATE ? first_ts[1] : b.sent_ts[first]);
    if (late) {
        assert_true(info_of(&b).cwnd - before + 1 <= 2);
        assert_true(info_of(&b).ssthresh == UINT64_MAX); /* it is in slow start, as it was */
    } else {
        assert_true(info_of(&b).cwnd - cut + 1 <= 2);
        assert_true(info_of(&b).ssthresh - cut + 1 <= 2);
    }
    done(&b.w);
}

/* RFC 3522: what acknowledges something sent again, and echoes an older timestamp, is of the first copy. */
static void test_needless_cuts_are_undone(void **state)
{
    play_late(LOST_INDEED, true);
    play_late(LATE, true);
    play_late(LATE, false);
    play_late(ONE_LATE, true);
    play_late(ABOVE_A_HOLE, true);
}

/* RFC 5681 4.1: after silence the first window; and from there up to what it was as in slow start, unless there is a
 * loss: then 7/10 of what was tried. */
static void test_silence(void **state)
{
    for (int loses = 0; loses < 2; loses++) {
        struct bench b;
        double before;

        begin(&b, false, 100 * MSEC);
        double_to(&b, 40);
        (void)lose_one(&b); /* 30.1, and the curve: K = cbrt(43 * .3 / .4) = 3.2 s */
        b.quiet = true;
        while (b.acked < b.sent)
            round_trip(&b);
        before = window(&b);
        assert_true(before > 28 && before < 43);
        tick(&b.w, 5 * SEC);
        b.quiet = false;
        feed(&b);
        hear_all(&b);
        assert_int_equal(info_of(&b).cwnd, 10 * b.mss);
        assert_int_equal(b.sent - b.acked, 10);
        if (loses) {
            assert_true(fabs(lose_one(&b) - 13) < .01);
        } else {
            round_trip(&b);
            assert_int_equal(info_of(&b).cwnd, 20 * b.mss);
            round_trip(&b);
            assert_true(fabs(window(&b) - MIN(40, before)) < .01);
            round_trip(&b); /* as before it, and on: W_cubic(K + .5 s) is .05 above W_cubic(K) */
            if (window(&b) < before || window(&b) > before + 1)
                fail_msg("%.2f segments instead of %.2f", window(&b), before);
        }
        done(&b.w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_curve),   cmocka_unit_test(test_fast_convergence),
        cmocka_unit_test(test_hystart), cmocka_unit_test(test_no_slower_than_reno),
        cmocka_unit_test(test_timeout), cmocka_unit_test(test_needless_cuts_are_undone),
        cmocka_unit_test(test_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
