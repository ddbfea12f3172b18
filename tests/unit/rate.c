/* Unit tests of the rooms of src/path: round trip, delivery rate, one-way delay, what was received, what is in flight.
 */
#include <errno.h>

#include "base/rng.h"
#include "path/ackset.h"
#include "path/inflight.h"
#include "path/liveness.h"
#include "path/owd.h"
#include "path/rate.h"
#include "path/rtt.h"
#include "tests/unit/test.h"

/* By hand from RFC 9002 5.3. */
static void test_rtt(void **state)
{
    struct rtt r;

    rtt_init(&r, 0);
    assert_int_equal(rtt_get(&r), 333000);
    assert_int_equal(rtt_timeout(&r, 30000), 333000 + 4 * 166500);
    rtt_on_sample(&r, 100000, 0, 25000, SEC);
    assert_int_equal(r.srtt, 100000);
    assert_int_equal(r.rttvar, 50000);
    assert_int_equal(r.min_rtt, 100000);
    /* 140 - 8: error 32, var (3*50+32)/4 = 45.5, srtt (700+132)/8 = 104 */
    rtt_on_sample(&r, 140000, 8000, 25000, SEC);
    assert_int_equal(r.deviation, 45500);
    assert_int_equal(r.srtt, 104000);
    /* A delay that would take it below the minimum is not believed: error 2, (3*45.5+2)/4, (7*104+102)/8 */
    rtt_on_sample(&r, 102000, 8000, 25000, SEC);
    assert_int_equal(r.deviation, 34625);
    assert_int_equal(r.srtt, 103750);
    /* No more than 25 ms of it are: 190 - 25 = 165, error 61.25 */
    rtt_on_sample(&r, 190000, 4000000, 25000, SEC);
    assert_int_equal(r.deviation, (3 * 34625 + 61250) / 4);
    assert_int_equal(rtt_timeout(&r, SEC), SEC);
}

/* The largest deviation of a round trip counts, and is forgotten by quarters. */
static void test_rtt_variation_lasts(void **state)
{
    struct rtt r;

    rtt_init(&r, 0);
    rtt_on_sample(&r, 100000, 0, 0, SEC);
    assert_int_equal(r.rttvar, 50000);
    for (int ms = 1; ms < 100; ms++) /* one round trip of samples without any */
        rtt_on_sample(&r, 100000, 0, 0, SEC + ms * MSEC);
    assert_true(r.deviation < 10);
    assert_int_equal(r.rttvar, 50000);
    /* Its end: the largest was that of the first sample in it, (3*50+0)/4 = 37.5 */
    rtt_on_sample(&r, 100000, 0, 0, SEC + 100 * MSEC);
    assert_int_equal(r.rttvar, 50000 - (50000 - 37500) / 4);
    /* A stall counts at once: error 100, (3*0+100)/4, no more than is known; error 300 more */
    rtt_on_sample(&r, 200000, 0, 0, SEC + 101 * MSEC);
    assert_int_equal(r.rttvar, 46875);
    rtt_on_sample(&r, 412500, 0, 0, SEC + 102 * MSEC);
    assert_true(r.deviation > 90000);
    assert_int_equal(r.rttvar, r.deviation);
}

static void test_rtt_minimum_is_windowed(void **state)
{
    struct rtt r;

    rtt_init(&r, 0);
    rtt_on_sample(&r, 10000, 0, 0, 100 * SEC);
    for (int s = 101; s < 109; s++) {
        rtt_on_sample(&r, 20000, 0, 0, s * SEC);
        assert_int_equal(r.min_rtt, 10000);
        assert_int_equal(r.min_at, 100 * SEC);
    }
    rtt_on_sample(&r, 20000, 0, 0, 110 * SEC);
    assert_int_equal(r.min_rtt, 20000);
    rtt_on_sample(&r, 30000, 0, 0, 500 * SEC); /* a pause: all is old */
    assert_int_equal(r.min_rtt, 30000);
    rtt_set_min(&r, 40000, 500 * SEC);
    assert_int_equal(r.min_rtt, 40000);
    rtt_on_sample(&r, 35000, 0, 0, 501 * SEC);
    assert_int_equal(r.min_rtt, 35000);
}

/* 10 records of 1250 bytes, one each 10 ms: 1 Mbit/s, whatever happens to the acknowledgements on their way back. */
static void test_rate_on_the_receivers_clock(void **state)
{
    static const span late[] = {
        0, 7000, 0, 0, 93000, 83000, 73000, 63000, 53000, 43000, 33000, 23000, 13000, 3000, 0
    };
    struct rate r;
    struct rate_mark m[15];
    struct rate_sample s;
    unsigned acked = 0;
    uint32_t rx;

    rate_init(&r, 0);
    for (instant now = 0; acked < ARRAY_LEN(m); now += 1000) {
        unsigned i = (unsigned)(now / 10000);

        while (acked < ARRAY_LEN(m) && acked < i && now >= acked * 10000 + 20000 + late[acked]) {
            rx = 0xffffff00 + acked * 10000; /* wraps */
            rate_on_acked(&r, 1250, &m[acked], acked * 10000, &rx, 20000, now, &s);
            if (acked >= 4) {
                assert_in_range(s.bps, 999000, 1001000);
                assert_false(s.app_limited);
            }
            acked++;
        }
        if (now % 10000 == 0 && i < ARRAY_LEN(m))
            rate_on_sent(&r, i == 0, now, &m[i]);
    }
}

static void test_rate_limited_by_the_application(void **state)
{
    struct rate r;
    struct rate_mark a, b;
    struct rate_sample s;
    struct rate_max m;
    const uint32_t rx = 5;

    rate_init(&r, 0);
    rate_on_sent(&r, true, 0, &a);
    rate_on_app_limited(&r, 1000);
    rate_on_acked(&r, 1000, &a, 0, &rx, 1000, 1000, &s);
    assert_true(s.app_limited);
    assert_int_equal(s.bps, 8000000);
    rate_on_sent(&r, true, 5000, &b);
    assert_true(b.app_limited);
    rate_on_acked(&r, 1000, &b, 5000, NULL, 1000, 6000, &s); /* past the mark */
    rate_on_sent(&r, true, 6000, &b);
    assert_false(b.app_limited);
    rate_on_acked(&r, 1000, &b, 6000, NULL, 1000, 6500, &s);
    assert_int_equal(s.bps, 0); /* shorter than a round trip can be: no sample */

    rate_max_init(&m);
    assert_true(rate_max_add(&m, 1000, true));
    assert_true(rate_max_add(&m, 5000, false));
    assert_false(rate_max_add(&m, 4000, true));
    for (int i = 0; i < 50; i++) {
        rate_max_next_round(&m); /* without evidence nothing ages */
        assert_false(rate_max_add(&m, 10, true));
    }
    assert_int_equal(m.bps, 5000);
    for (int i = 0; i < RATE_ROUNDS - 1; i++) {
        rate_max_add(&m, 3000, false);
        assert_int_equal(m.bps, 5000);
        rate_max_next_round(&m);
    }
    rate_max_add(&m, 3000, false);
    rate_max_next_round(&m);
    assert_int_equal(m.bps, 3000);
}

static void test_rate_of_10_gbit(void **state)
{
    struct rate r;
    struct rate_mark m;
    struct rate_sample s;

    rate_init(&r, 0);
    rate_on_sent(&r, true, 0, &m);
    rate_on_acked(&r, (uint64_t)1250 * 1000 * 1000 * 100, &m, 0, NULL, 1, 100 * SEC, &s);
    assert_int_equal(s.bps, (uint64_t)10 * 1000 * 1000 * 1000);
}

static void test_meter(void **state)
{
    struct rate_meter m = { 0 };

    for (instant t = 1000 * SEC; t < 1005 * SEC; t += MSEC)
        rate_meter_add(&m, 125, t); /* 1 Mbit/s */
    assert_in_range(rate_meter_bps(&m, 1005 * SEC - 1), 980000, 1020000);
    assert_in_range(rate_meter_bps(&m, 1005 * SEC + 437500), 450000, 650000);
    assert_int_equal(rate_meter_bps(&m, 1007 * SEC), 0);
    /* Of a time before, without counting up to the newest: on a clock that has run for long this would not end. */
    rate_meter_add(&m, 1000, INT64_C(1) << 61);
    assert_in_range(rate_meter_bps(&m, 0), 8000, 10000);
}

static void test_one_way_delay(void **state)
{
    struct owd a = { 0 }, b = { 0 };
    const instant skew = 123456789;
    instant t = 0;

    /* Two paths of 10 and 30 ms, clocks apart; the timestamps wrap every 4.19 s. */
    for (int i = 0; i < 2000; i++, t += 10 * MSEC) {
        owd_on_sample(&a, (uint16_t)(t >> 6), t + skew + 10 * MSEC);
        owd_on_sample(&b, (uint16_t)(t >> 6), t + skew + 30 * MSEC);
        assert_in_range(path_owd_difference(owd_get(&b), owd_get(&a)) + 64, 20 * MSEC, 20 * MSEC + 128);
        assert_true(owd_get(&a) >= -OWD_MODULUS / 2 && owd_get(&a) < OWD_MODULUS / 2);
    }
    assert_true(owd_jitter(&a) <= 64);

    /* Alternating by 16 ms: RFC 3550's estimate goes to 16 ms. */
    for (int i = 0; i < 400; i++, t += 10 * MSEC)
        owd_on_sample(&a, (uint16_t)(t >> 6), t + skew + (i & 1 ? 16 * MSEC : 0));
    assert_in_range(owd_jitter(&a), 15900, 16100);

    assert_int_equal(owd_wrap(OWD_MODULUS / 2), -OWD_MODULUS / 2);
    assert_int_equal(owd_wrap(OWD_MODULUS / 2 - 1), OWD_MODULUS / 2 - 1);
    assert_int_equal(owd_wrap(-OWD_MODULUS / 2 - 1), OWD_MODULUS / 2 - 1);
}

static void test_when_to_acknowledge(void **state)
{
    struct ackset s;
    struct ack a;
    instant t = SEC;
    unsigned acks = 0;

    assert_int_equal(ackset_init(&s, t), 0);
    assert_false(ackset_make(&s, t, &a));
    ackset_add(&s, 0, 100, false, 0, t);
    assert_int_equal(s.due, INSTANT_NEVER); /* an acknowledgement is not acknowledged */
    ackset_add(&s, 1, 100, true, 0, t += SEC);
    assert_int_equal(s.due, t); /* after a pause: at once */
    assert_true(ackset_make(&s, t, &a));
    assert_int_equal(s.due, INSTANT_NEVER);
    ackset_add(&s, 2, 100, true, 0, t += 5 * MSEC);
    assert_int_equal(s.due, t + PATH_ACK_DELAY_MAX);
    ackset_add(&s, 3, 100, true, 0, t += 5 * MSEC);
    assert_int_equal(s.due, t); /* the second */
    ackset_make(&s, t, &a);
    ackset_add(&s, 5, 100, true, 0, t += 5 * MSEC);
    assert_int_equal(s.due, t); /* a gap */
    ackset_make(&s, t, &a);
    ackset_add(&s, 7, 100, true, 0, t += 100);
    assert_int_equal(s.due, t + 900); /* the next, but 1 ms later than the other */
    assert_true(ackset_make(&s, t, &a));
    assert_int_equal(a.ranges_count, 3);
    assert_int_equal(a.rx_pkts, 6);
    assert_int_equal(a.rx_bytes, 600);
    /* Whoever has patience waits from the second on, not from the last. */
    ackset_add(&s, 8, 100, true, MSEC, t += 5 * MSEC);
    ackset_add(&s, 9, 100, true, MSEC, t += 100);
    ackset_add(&s, 10, 100, true, MSEC, t += 100);
    assert_int_equal(s.due, t - 100 + MSEC);
    ackset_make(&s, t += MSEC, &a);

    /* 100 Mbit/s for a second: at most one acknowledgement per 8 records once the rate is known (for 10 ms it is one
     * per 2), none later than 10 ms. */
    for (uint64_t c = 11; c < 11 + 8928; c++) {
        ackset_add(&s, c, 1400, true, 0, t += 112);
        assert_true(s.due <= t + PATH_ACK_DELAY_MAX);
        if (s.due <= t) {
            ackset_make(&s, t, &a);
            acks++;
        }
    }
    assert_in_range(acks, 800, 8928 / 8 + 90 / 2);
    ackset_deinit(&s);
}

/* Counters that never come leave ever more ranges, of which what was told is told again for a few only. */
static void test_old_ranges(void **state)
{
    struct ackset s;
    struct ack a = { 0 };
    instant t = SEC;

    assert_int_equal(ackset_init(&s, t), 0);
    for (uint64_t c = 0; c < 100 * 200; c++) {
        if (c % 200 == 0)
            continue;
        ackset_add(&s, c, 100, true, 0, t += MSEC);
        if (c % 2 == 0)
            assert_true(ackset_make(&s, t, &a));
    }
    assert_in_range(a.ranges_count, 4, 12);
    for (unsigned i = 0; i < a.ranges_count; i++) {
        assert_int_equal(a.ranges[i].first, (99 - i) * 200 + 1);
        assert_int_equal(a.ranges[i].last, (99 - i) * 200 + 198 + (i > 0));
    }
    ackset_deinit(&s);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Whatever is received in whatever order is told of within a few acknowledgements, and nothing else is. */
static void test_acknowledges_what_came(void **state)
{
    enum { COUNT = 3000, WINDOW = 400 };
    static struct ackset s;
    bool came[COUNT] = { false }, told[COUNT] = { false };
    uint64_t order[COUNT];
    struct prng p;
    unsigned missing = 0;

    prng_init(&p, 5);
    assert_int_equal(ackset_init(&s, 0), 0);
    for (unsigned i = 0; i < COUNT; i++) /* arrival time above, counter below */
        order[i] = (i + prng_below(&p, WINDOW)) << 32 | i;
    qsort(order, COUNT, sizeof(order[0]), compare);
    for (unsigned i = 0; i < COUNT; i++)
        order[i] &= UINT32_MAX;
    for (unsigned i = 0; i < COUNT; i++) {
        struct ack a;

        if (prng_unit(&p) < .01)
            continue;
        came[order[i]] = true;
        assert_true(ackset_add(&s, order[i], 1, true, 0, i));
        assert_false(ackset_add(&s, order[i], 1, true, 0, i)); /* a duplicate */
        if (i % 4 != 0 || !ackset_make(&s, i, &a))
            continue;
        assert_true(a.ranges_count >= 1 && a.ranges_count <= ACK_RANGES_MAX);
        assert_int_equal(a.ranges[0].last, a.largest);
        for (unsigned k = 0; k < a.ranges_count; k++) {
            assert_true(k == 0 || a.ranges[k].last + 1 < a.ranges[k - 1].first);
            for (uint64_t c = a.ranges[k].first; c <= a.ranges[k].last; c++) {
                assert_true(came[c]);
                told[c] = true;
            }
        }
    }
    for (unsigned i = 0; i < COUNT - WINDOW; i++)
        missing += came[i] && !told[i];
    assert_int_equal(missing, 0);
    ackset_deinit(&s);
}

/* The log against a plain array. */
static void test_inflight_against_array(void **state)
{
    enum { COUNT = 4000 };
    static const uint64_t first = ((uint64_t)1 << 63) - 2000;
    static enum { NONE, OPEN, LOST, ACKED } model[COUNT];
    struct prng p;
    struct rate_mark m = { 0 };

    prng_init(&p, 11);
    for (int round = 0; round < 20; round++) {
        struct inflight f;
        struct inflight_lost lost = { 0 };
        uint64_t next = 0, open = 0, acked = 0, largest = 0;

        memset(model, 0, sizeof(model));
        assert_int_equal(inflight_init(&f, first), 0);
        while (next < COUNT) {
            struct inflight_acked a = { 0 };
            uint64_t from = prng_below(&p, 60), to, expected = 0;

            for (uint64_t n = prng_below(&p, 20); n > 0 && next < COUNT; n--, next++, open++) {
                inflight_push(&f, 100, NULL, true, &m, (instant)next, &lost);
                model[next] = OPEN;
            }
            if (next == 0)
                continue;
            from = next - 1 - MIN(from, next - 1);
            to = from + prng_below(&p, 10);
            to = MIN(to, next - 1);
            for (uint64_t c = from; c <= to; c++)
                if (model[c] == OPEN) {
                    model[c] = ACKED;
                    open--;
                    expected++;
                }
            largest = MAX(largest, to);
            inflight_ack(&f, first + from, first + to, &a);
            assert_int_equal(a.pkts, expected);
            assert_int_equal(a.bytes, expected * 100);
            acked += expected;
            lost = (struct inflight_lost){ 0 };
            inflight_detect(&f, 50, INSTANT_NEVER, (instant)next, &lost);
            expected = 0;
            for (uint64_t c = 0; c + 50 <= largest; c++)
                if (model[c] == OPEN) {
                    model[c] = LOST;
                    open--;
                    expected++;
                }
            assert_int_equal(lost.pkts, expected);
            assert_int_equal(f.open_pkts, open);
            assert_int_equal(f.open_bytes, open * 100);
            inflight_trim(&f, INSTANT_NEVER);
            for (uint64_t c = next; c-- > 0;) /* a lost record that was trimmed is not acknowledged later */
                if (model[c] == LOST)
                    model[c] = NONE;
                else if (c + 100 < largest)
                    break;
            if (inflight_oldest(&f) != INSTANT_NEVER)
                assert_int_equal(model[inflight_oldest(&f)], OPEN);
            for (uint64_t c = f.base - first; c < next; c++)
                if (model[c] == NONE) { /* it is still in the log: late acknowledgements count */
                    struct inflight_acked late = { 0 };

                    inflight_ack(&f, first + c, first + c, &late);
                    assert_int_equal(late.spurious_pkts, 1);
                    model[c] = ACKED;
                }
        }
        assert_true(acked > COUNT / 20);
        inflight_deinit(&f);
    }
}

static void test_inflight_is_bounded(void **state)
{
    struct inflight f;
    struct inflight_lost lost = { 0 };
    struct rate_mark m = { 0 };
    unsigned room = 0;

    assert_int_equal(inflight_init(&f, 0), 0);
    for (unsigned i = 0; i < PATH_INFLIGHT_MAX; i++) {
        room += inflight_has_room(&f);
        inflight_push(&f, 1, NULL, true, &m, i, &lost);
    }
    assert_true(room < PATH_INFLIGHT_MAX && room > PATH_INFLIGHT_MAX - 1000);
    assert_int_equal(lost.pkts, 0);
    inflight_push(&f, 1, NULL, true, &m, 0, &lost);
    assert_int_equal(lost.pkts, 1); /* the oldest */
    assert_int_equal(f.open_pkts, PATH_INFLIGHT_MAX);
    assert_int_equal(inflight_oldest(&f), 1);
    inflight_deinit(&f);
}

/* Data taken for another path while its records are open leaves nothing behind, and nothing to walk through. */
static void test_inflight_taken_then_acknowledged(void **state)
{
    struct inflight_acked acked = { 0 };
    struct inflight_lost lost = { 0 };
    struct rate_mark mark = { 0 };
    struct pbuf_pool pool;
    struct inflight f;

    assert_int_equal(pbuf_pool_init(&pool, 4), 0);
    assert_int_equal(inflight_init(&f, 1), 0);
    for (int i = 0; i < 4; i++) {
        struct pbuf *b = pbuf_take(&pool);

        inflight_push(&f, 100, b, true, &mark, SEC, &lost);
        pbuf_unref(b);
    }
    for (int i = 0; i < 4; i++) {
        struct pbuf *b = inflight_take(&f);

        assert_non_null(b);
        pbuf_unref(b);
    }
    assert_null(inflight_take(&f));
    assert_int_equal(pool.used, 0);
    inflight_ack(&f, 1, 2, &acked);
    inflight_drop_lost_data(&f);
    assert_int_equal(acked.pkts, 2);
    assert_int_equal(f.open_pkts, 2);
    assert_true(f.lowest_data <= f.next);
    inflight_deinit(&f);
    pbuf_pool_deinit(&pool);
}

static void test_names(void **state)
{
    for (int s = 0; s < PATH_STATE_COUNT; s++)
        assert_string_not_equal(path_state_name((enum path_state)s), "unknown");
    for (int w = 0; w < PATH_WHY_COUNT; w++)
        assert_string_not_equal(path_why_name((enum path_why)w), "unknown");
    assert_string_equal(path_state_name(PATH_STATE_COUNT), "unknown");
    assert_string_equal(path_why_name(PATH_WHY_COUNT), "unknown");
}

/* An owner that does not pop events does not hurt: the newest are kept, probes and acknowledgements are merged. */
static void test_events_are_bounded(void **state)
{
    struct liveness l;
    struct path_event e;
    unsigned probes = 0, states = 0;

    liveness_init(&l, 0);
    for (int i = 0; i < 100; i++) {
        liveness_on_link(&l, false, i);
        liveness_on_link(&l, true, i);
        liveness_on_acked(&l, 1, i);
        liveness_on_acked(&l, 1, i);
        liveness_push(&l, (struct path_event){ .type = PATH_EVENT_ACK });
    }
    while (liveness_pop(&l, &e)) {
        probes += e.type == PATH_EVENT_PROBE;
        states += e.type == PATH_EVENT_STATE;
    }
    assert_true(probes <= 1 && states >= LIVENESS_EVENTS - 2 && states <= LIVENESS_EVENTS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rtt),
        cmocka_unit_test(test_rtt_variation_lasts),
        cmocka_unit_test(test_rtt_minimum_is_windowed),
        cmocka_unit_test(test_rate_on_the_receivers_clock),
        cmocka_unit_test(test_rate_limited_by_the_application),
        cmocka_unit_test(test_rate_of_10_gbit),
        cmocka_unit_test(test_meter),
        cmocka_unit_test(test_one_way_delay),
        cmocka_unit_test(test_when_to_acknowledge),
        cmocka_unit_test(test_old_ranges),
        cmocka_unit_test(test_acknowledges_what_came),
        cmocka_unit_test(test_inflight_against_array),
        cmocka_unit_test(test_inflight_is_bounded),
        cmocka_unit_test(test_inflight_taken_then_acknowledged),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_events_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
