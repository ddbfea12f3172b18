/* Unit tests of shared bottleneck detection. Expected values are computed by hand from RFC 8382 sections 3.2 and 4, and
 * stand beside what they are expected of. */
#include "path/sbd.h"
#include "path/path.h"
#include "tests/unit/test.h"

#define START (1000 * SBD_T)

/* --- the receiver --- */

struct receiver {
    struct sbd e;
    instant now; /* the beginning of the next interval */
    span offset; /* of the clocks */
    uint64_t expected, received;
};

static struct receiver make(span offset)
{
    struct receiver r = { .now = START, .offset = offset };

    sbd_init(&r.e);
    return r;
}

/* So many records of one delay, `at` into the interval. */
static void records(struct receiver *r, unsigned count, span delay, span at)
{
    for (unsigned i = 0; i < count; i++) {
        span owd = owd_wrap(delay + r->offset);

        if (r->now + at >= r->e.ends)
            sbd_turn(&r->e, owd, r->expected, r->received, r->now + at);
        sbd_on_sample(&r->e, owd);
        r->expected++;
        r->received++;
    }
}

/* Ends the interval. */
static bool end(struct receiver *r, struct path_summary *ret)
{
    r->now += SBD_T;
    sbd_on_expiry(&r->e, r->expected, r->received, r->now);
    return sbd_take(&r->e, ret);
}

/* An interval of two delays. */
static bool interval(struct receiver *r, unsigned count_a, span a, unsigned count_b, span b, struct path_summary *ret)
{
    records(r, count_a, a, 10 * MSEC);
    records(r, count_b, b, 20 * MSEC);
    return end(r, ret);
}

static int share_of(int64_t part, int64_t whole)
{
    return (int)(part * SUMMARY_ONE / whole);
}

static void check_by_hand(span offset)
{
    struct receiver r = make(offset);
    struct path_summary s;

    assert_false(interval(&r, 5, 10 * MSEC, 5, 20 * MSEC, &s)); /* mean 15: there is nothing to hold it against */
    /* 8 below 15, 2 above; 8 * 5 + 2 * 15 from it */
    assert_true(interval(&r, 8, 10 * MSEC, 2, 30 * MSEC, &s));
    assert_int_equal(s.skew, share_of(6, 10));
    assert_int_equal(s.var_us, 7000);
    assert_int_equal(s.mean_us, (14 * MSEC + offset) & (OWD_MODULUS - 1));
    assert_int_equal(s.number, 1002 & 0xffff);
    /* The long mean is (15 + 14) / 2, that of the interval before 14: 5 below and 5 above; 5 * 0 + 5 * 2 from it */
    assert_true(interval(&r, 5, 14 * MSEC, 5, 16 * MSEC, &s));
    assert_int_equal(s.skew, share_of(6, 20));
    assert_int_equal(s.var_us, (70000 + 10000) / 20);
    assert_int_equal(s.mean_us, (15 * MSEC + offset) & (OWD_MODULUS - 1));
    assert_int_equal(s.number, 1003 & 0xffff);
    assert_false(sbd_take(&r.e, &s)); /* it was taken */
    sbd_deinit(&r.e);
}

static void test_by_hand(void **state)
{
    check_by_hand(0);
    check_by_hand(-3 * SEC);
    check_by_hand(123456789 * MSEC);
}

/* The same where the delays are on both sides of the wrap. */
static void test_wrap(void **state)
{
    for (span at = 8 * MSEC; at <= 32 * MSEC; at += 500 * USEC)
        check_by_hand(OWD_MODULUS / 2 - at);
}

/* What lies half a microsecond beside the mean is beside it. */
static void test_mean_is_finer_than_samples(void **state)
{
    struct receiver r = make(0);
    struct path_summary s;

    interval(&r, 5, 10, 5, 11, &s); /* 10.5 */
    assert_true(interval(&r, 4, 10, 6, 11, &s));
    assert_int_equal(s.skew, share_of(-2, 10));
    sbd_deinit(&r.e);
    r = make(0);
    interval(&r, 5, -10, 5, -11, &s);
    assert_true(interval(&r, 4, -10, 6, -11, &s));
    assert_int_equal(s.skew, share_of(2, 10));
    sbd_deinit(&r.e);
    r = make(0);
    interval(&r, 5, 10, 5, 12, &s); /* 11 */
    assert_true(interval(&r, 4, 11, 6, 12, &s));
    assert_int_equal(s.skew, share_of(-6, 10)); /* what is at the mean does not count */
    sbd_deinit(&r.e);
}

/* RFC 8382 4.1: 20 intervals count 11 times, those before 10, 9, ... 1 times. The mean is the same in all: 8 of 10 are
 * 1 ms below and 2 are 4 ms above (skewness .6, deviation 1.6 ms), or as many below as above (0, 1 ms). */
static void test_weights(void **state)
{
    struct receiver r = make(0);
    struct path_summary s;

    interval(&r, 5, 9 * MSEC, 5, 11 * MSEC, &s);
    for (unsigned i = 0; i < 10; i++)
        assert_true(interval(&r, 8, 9 * MSEC, 2, 14 * MSEC, &s));
    assert_int_equal(s.skew, share_of(6, 10));
    assert_int_equal(s.var_us, 1600);
    for (unsigned i = 0; i < 20; i++)
        assert_true(interval(&r, 5, 9 * MSEC, 5, 11 * MSEC, &s));
    assert_int_equal(s.skew, share_of(55 * 6, (220 + 55) * 10));
    assert_int_equal(s.var_us, (220 * 1000 + 55 * 1600) / (220 + 55));
    for (unsigned i = 0; i < 9; i++)
        assert_true(interval(&r, 5, 9 * MSEC, 5, 11 * MSEC, &s));
    assert_int_equal(s.skew, share_of(6, (220 + 55) * 10)); /* one is left, with a weight of 1 */
    assert_true(interval(&r, 5, 9 * MSEC, 5, 11 * MSEC, &s));
    assert_int_equal(s.skew, 0);
    assert_int_equal(s.var_us, 1000);
    sbd_deinit(&r.e);
}

/* Of the last 50 intervals, of everything that was to come. */
static void test_loss(void **state)
{
    struct receiver r = make(0);
    struct path_summary s;

    interval(&r, 10, 0, 0, 0, &s);
    interval(&r, 10, 0, 0, 0, &s);
    assert_int_equal(s.loss, 0);
    records(&r, 5, 0, 0);
    r.expected += 10;
    records(&r, 5, 0, MSEC);
    assert_true(end(&r, &s));
    assert_int_equal(s.loss, share_of(10, 40));
    interval(&r, 10, 0, 0, 0, &s);
    assert_int_equal(s.loss, share_of(10, 50));
    r.received += 4; /* of the lost ones some come late */
    interval(&r, 10, 0, 0, 0, &s);
    assert_int_equal(s.loss, share_of(6, 60));
    for (unsigned i = 0; i < 47; i++)
        interval(&r, 10, 0, 0, 0, &s);
    assert_int_equal(s.loss, share_of(6, 510));
    interval(&r, 10, 0, 0, 0, &s);
    assert_int_equal(s.loss, 0); /* what came late was not expected in these 50: more than all is no loss */
    sbd_deinit(&r.e);
}

/* The level of each interval is 0 or 20 ms, ten records. Skewness, deviation, and the interval's mean less the long
 * one, in ms: */
static void test_oscillation(void **state)
{
    struct receiver r = make(0);
    struct path_summary s;

    interval(&r, 10, 20 * MSEC, 0, 0, &s);
    assert_true(interval(&r, 10, 20 * MSEC, 0, 0, &s)); /* 0, 0, 0 */
    assert_int_equal(s.freq, 0);
    assert_true(interval(&r, 10, 0, 0, 0, &s)); /* 10/20, 200/20, -20: the first side */
    assert_int_equal(s.skew, share_of(10, 20));
    assert_int_equal(s.var_us, 10000);
    assert_int_equal(s.freq, 0);
    assert_true(interval(&r, 10, 0, 0, 0, &s)); /* 20/30, 200/30, -13.3: the same */
    assert_int_equal(s.freq, 0);
    assert_true(interval(&r, 10, 20 * MSEC, 0, 0, &s)); /* 10/40, 400/40, 10 > .7 * 10: across, one of four */
    assert_int_equal(s.skew, share_of(10, 40));
    assert_int_equal(s.var_us, 10000);
    assert_int_equal(s.freq, share_of(1, 4));
    assert_true(interval(&r, 10, 20 * MSEC, 0, 0, &s)); /* 0/50, 400/50, 8: the same side */
    assert_int_equal(s.freq, share_of(1, 5));
    assert_true(interval(&r, 10, 10 * MSEC, 0, 0, &s)); /* 10/60, 500/60, 10 - 13.3 > -.7 * 8.3: not by enough */
    assert_int_equal(s.freq, share_of(1, 6));
    sbd_deinit(&r.e);
}

/* RFC 8382 4.2: the same with 9 of 10 at once below the long mean is no bottleneck's, and tells nothing. */
static void test_noise_does_not_oscillate(void **state)
{
    struct receiver r = make(0);
    struct path_summary s;

    interval(&r, 19, 0, 1, 1 * MSEC, &s);
    for (unsigned i = 0; i < 40; i++) {
        assert_true(interval(&r, 19, 0, 1, i % 4 < 2 ? 1 * MSEC : 40 * MSEC, &s));
        assert_true(s.skew > share_of(8, 10));
        assert_int_equal(s.freq, 0);
    }
    sbd_deinit(&r.e);
}

static void test_pauses(void **state)
{
    struct receiver r = make(0);
    struct path_summary s;

    interval(&r, 5, 10 * MSEC, 5, 20 * MSEC, &s);
    assert_true(interval(&r, 8, 10 * MSEC, 2, 30 * MSEC, &s));
    for (unsigned i = 0; i < 20; i++)
        assert_false(end(&r, &s));
    assert_false(interval(&r, SBD_SAMPLES_MIN - 1, 500 * MSEC, 0, 0, &s)); /* too few to count, or to be remembered */
    assert_true(interval(&r, 5, 14 * MSEC, 5, 16 * MSEC, &s));             /* as without the pause */
    assert_int_equal(s.skew, share_of(6, 20));
    assert_int_equal(s.var_us, (70000 + 10000) / 20);
    assert_int_equal(s.number, (1000 + 2 + 21 + 1) & 0xffff);
    /* 30 intervals and more: another time. Nobody needs to have asked meanwhile. */
    r.now += 31 * SBD_T;
    assert_false(interval(&r, 5, 1 * SEC + 10 * MSEC, 5, 1 * SEC + 20 * MSEC, &s));
    assert_true(interval(&r, 8, 1 * SEC + 10 * MSEC, 2, 1 * SEC + 30 * MSEC, &s));
    assert_int_equal(s.skew, share_of(6, 10));
    assert_int_equal(s.var_us, 7000);
    sbd_deinit(&r.e);
}

/* A path tells of records with 16-bit stamps across their wrap, of its losses, and not of acknowledgements. */
static void test_path(void **state)
{
    struct path_options o = { .record_bytes = 1500, .summaries = true };
    instant now = START;
    struct path *p = path_new(&o, now);
    struct path_summary s;
    uint64_t counter = 0;

    assert_non_null(p);
    for (unsigned i = 0; i < 14; i++) { /* 4.9 s: longer than the wrap of 4.2 s */
        for (unsigned j = 0; j < 100; j++) {
            instant at = (now + j * 3 * MSEC) & ~(instant)63;
            span delay = j % 2 ? 64 * 100 : 64 * 300; /* 6.4 and 19.2 ms: mean 12.8 */

            path_on_received(p, counter++, 1500, true, (uint16_t)((at - delay) >> 6), at);
            path_on_received(p, counter++, 60, false, 0, at);
            counter += j == 50;
        }
        now += SBD_T;
        assert_int_equal(path_take_summary(p, now, &s), i > 0);
    }
    assert_int_equal(s.skew, 0);
    assert_int_equal(s.var_us, 6400);
    assert_int_equal(s.mean_us, 12800);
    assert_int_equal(s.loss, share_of(14, 14 * 201)); /* the first of each interval stands at its beginning */
    path_on_migrated(p, now);
    for (unsigned j = 0; j < 100; j++)
        path_on_received(p, counter++, 1500, true, 0, now + j * MSEC);
    assert_false(path_take_summary(p, now + SBD_T, &s)); /* another way: nothing is known of it */
    path_free(p);
}

/* --- the sender --- */

struct sender {
    struct sbd_groups g;
    instant now;
    unsigned interval;
};

static struct sender sender_make(void)
{
    struct sender s = { .now = START };

    sbd_groups_init(&s.g);
    return s;
}

/* Of a queue that is often full. */
static struct path_summary usual(void)
{
    return (struct path_summary){ .skew = 0, .freq = SUMMARY_ONE / 8, .var_us = 5000 };
}

static void tell(struct sender *s, unsigned path, struct path_summary t, double mean_ms)
{
    t.number = (uint16_t)(65520 + s->interval); /* wraps on the way */
    t.mean_us = (uint32_t)((int64_t)(mean_ms * 1000) & (SUMMARY_TIME_WRAP - 1));
    sbd_groups_on_summary(&s->g, path, &t, s->now);
}

static void sort(struct sender *s)
{
    s->now += SBD_T;
    s->interval++;
    sbd_groups_on_expiry(&s->g, s->now);
}

/* Mean delays of queues, in ms, that have nothing in common: of period 2, 4 and 8 with changes whose products add up to
 * nothing. */
static double queue(unsigned which, unsigned i)
{
    static const double levels[3][8] = { { 0, 10, 0, 10, 0, 10, 0, 10 },
                                         { 0, 0, 10, 10, 0, 0, 10, 10 },
                                         { 0, 0, 0, 0, 10, 10, 10, 10 } };
    return levels[which][i % 8];
}

/* Another offset for each path, and at the wrap: the delays of paths are not compared. */
static const double base_ms[SBD_PATHS_MAX] = { 10, 55, -3, 4194, 2097, -2097, 300, 4190 };

static void test_groups(void **state)
{
    static const unsigned of_path[SBD_PATHS_MAX] = { 0, 1, 0, 1, 2, 0, 2, 1 };
    static const uint8_t expected[SBD_PATHS_MAX] = { 1, 2, 1, 2, 5, 1, 5, 2 };
    struct sender s = sender_make();

    for (unsigned i = 0; i < 40; i++) {
        for (unsigned p = 0; p < SBD_PATHS_MAX; p++)
            tell(&s, p, usual(), base_ms[p] + queue(of_path[p], i));
        sort(&s);
        for (unsigned p = 0; p < SBD_PATHS_MAX; p++) /* 12 changes make a group; until then each has its own */
            assert_int_equal(s.g.group[p], i >= 12 ? expected[p] : p + 1);
    }
    assert_true(sbd_groups_overlap(&s.g, 0, 2) == 28 / 40.);
    assert_true(sbd_groups_overlap(&s.g, 2, 0) == 28 / 40.);
    assert_true(sbd_groups_overlap(&s.g, 0, 1) == 0);
}

/* A path that appears late joins after 13 intervals of its own, and is compared over those in which both were there. */
static void test_late_path(void **state)
{
    struct sender s = sender_make();

    for (unsigned i = 0; i < 40; i++) {
        tell(&s, 0, usual(), queue(1, i));
        if (i >= 20)
            tell(&s, 3, usual(), base_ms[3] + queue(1, i));
        sort(&s);
        assert_int_equal(s.g.group[0], 1);
        assert_int_equal(s.g.group[3], i < 20 ? 0 : i < 32 ? 4 : 1);
    }
    assert_true(sbd_groups_overlap(&s.g, 0, 3) == 8 / 20.);
    sbd_groups_forget(&s.g, 3);
    assert_int_equal(s.g.group[3], 0);
    assert_true(sbd_groups_overlap(&s.g, 0, 3) == 0);
    tell(&s, 3, usual(), base_ms[3]);
    sort(&s);
    assert_int_equal(s.g.group[3], 4); /* what the path before had in common with others is not its own */
}

/* Summaries that are lost, come twice, or late: changes are taken over the gap. A pause of 3.5 s ends no group. */
static void test_gaps(void **state)
{
    struct sender s = sender_make();
    struct path_summary old = usual();

    for (unsigned i = 0; i < 100; i++) {
        for (unsigned p = 0; p < 2; p++)
            if (i % 3 != p)
                tell(&s, p, usual(), base_ms[p] + queue(1, i));
        sort(&s);
        /* Both are there every third time, so after 38 intervals thirteen times; at most 17 of 50 are */
        assert_int_equal(s.g.group[1], i >= 38 ? 1 : 2);
    }
    old.number = (uint16_t)(s.g.paths[0].newest.number - 1);
    old.skew = SUMMARY_ONE;
    sbd_groups_on_summary(&s.g, 0, &old, s.now);
    assert_int_equal(s.g.paths[0].newest.skew, 0);
    for (unsigned i = 0; i < 8; i++) { /* the first was told of two intervals ago */
        sort(&s);
        assert_int_equal(s.g.group[1], 1);
    }
    for (unsigned i = 0; i < 3; i++)
        sort(&s);
    assert_int_equal(s.g.group[0], 0);
    assert_int_equal(s.g.group[1], 0);
    assert_true(sbd_groups_overlap(&s.g, 0, 1) == 1); /* while both were known, it was so */
}

/* Runs both for so long with this in the second; its delay changes `ratio` times as much. */
static uint8_t both(struct sender *s, unsigned intervals, struct path_summary second, double ratio)
{
    for (unsigned i = 0; i < intervals; i++) {
        tell(s, 0, usual(), queue(1, s->interval));
        tell(s, 1, second, ratio * queue(1, s->interval));
        sort(s);
    }
    return s->g.group[1];
}

/* RFC 8382 3.3.1, steps 1 to 4, with our gaps: .2 of oscillation, half of the variation, .6 of skewness, .7 of a loss
 * above .05. */
static void test_steps(void **state)
{
    struct sender s = sender_make();
    struct path_summary t = usual();

    assert_int_equal(both(&s, 20, t, 1), 1);
    t.freq += share_of(19, 100);
    assert_int_equal(both(&s, 1, t, 1), 1);
    t.freq += share_of(2, 100);
    assert_int_equal(both(&s, 1, t, 1), 2);
    t = usual();
    t.var_us = 9900;
    assert_int_equal(both(&s, 1, t, 1), 1);
    t.var_us = 10100;
    assert_int_equal(both(&s, 1, t, 1), 2);
    t = usual();
    t.skew = (int16_t)share_of(-59, 100);
    assert_int_equal(both(&s, 1, t, 1), 1);
    t.skew = (int16_t)share_of(-61, 100);
    assert_int_equal(both(&s, 1, t, 1), 2);
    t = usual();
    t.loss = (uint16_t)share_of(4, 100); /* says nothing */
    assert_int_equal(both(&s, 1, t, 1), 1);
    t.loss = (uint16_t)share_of(6, 100);
    assert_int_equal(both(&s, 1, t, 1), 2);
}

/* c_s .3 and c_h .7, or a loss above .05. */
static void test_bottleneck_is_held(void **state)
{
    struct sender s = sender_make();
    struct path_summary t = usual();

    t.skew = (int16_t)share_of(35, 100);
    assert_int_equal(both(&s, 20, t, 1), 0);
    t.skew = (int16_t)share_of(25, 100);
    assert_int_equal(both(&s, 1, t, 1), 1);
    t.skew = (int16_t)share_of(55, 100);
    assert_int_equal(both(&s, 5, t, 1), 1);
    t.skew = (int16_t)share_of(75, 100);
    assert_int_equal(both(&s, 1, t, 1), 0);
    t.skew = (int16_t)share_of(55, 100);
    assert_int_equal(both(&s, 1, t, 1), 0);
    t.loss = (uint16_t)share_of(6, 100);
    assert_int_equal(both(&s, 1, t, 1), 2);
}

/* Changes r times as large agree by 2 r / (1 + r^2): .75 joins, .6 holds. */
static void test_agreement_is_held(void **state)
{
    struct sender s = sender_make();

    assert_int_equal(both(&s, 40, usual(), .43), 2); /* .726 */
    assert_int_equal(both(&s, 40, usual(), .47), 1); /* .770 */
    assert_int_equal(both(&s, 40, usual(), .35), 1); /* .624 */
    assert_int_equal(both(&s, 40, usual(), .32), 2); /* .581 */
    assert_int_equal(both(&s, 40, usual(), .43), 2);
    assert_int_equal(both(&s, 40, usual(), -1), 2);
    assert_int_equal(both(&s, 40, usual(), 1), 1);
    assert_int_equal(both(&s, 40, usual(), 0), 2); /* a delay that stands still agrees with nothing */
}

/* Clocks that drift by more than any do, 200 us of an interval, and data in some intervals alone: slow queues of 1 ms
 * that have nothing in common stay apart, for what is in both is drift; one stays one; and where there is no queue,
 * there is nothing to have in common. */
static void test_drift(void **state)
{
    struct sender s = sender_make();

    for (unsigned i = 0; i < 60; i++) {
        double drift = .2 * i;

        if (i % 7 != 3 && i % 11 != 5) {
            tell(&s, 0, usual(), drift + .1 * queue(1, i));
            tell(&s, 1, usual(), drift + .1 * queue(2, i));
            tell(&s, 2, usual(), drift + .1 * queue(1, i));
            tell(&s, 3, usual(), drift);
            tell(&s, 4, usual(), drift + .008 * queue(1, i));
            tell(&s, 5, usual(), drift + .008 * queue(1, i)); /* the same 80 us now and then: of the host */
        }
        sort(&s);
        assert_int_equal(s.g.group[1], 2);
        for (unsigned p = 3; p < 6; p++)
            assert_int_equal(s.g.group[p], p + 1);
    }
    assert_int_equal(s.g.group[2], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_mean_is_finer_than_samples),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_loss),
        cmocka_unit_test(test_oscillation),
        cmocka_unit_test(test_noise_does_not_oscillate),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_path),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_late_path),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_bottleneck_is_held),
        cmocka_unit_test(test_agreement_is_held),
        cmocka_unit_test(test_drift),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
