/* Unit tests of src/path: whole paths over a simulated bottleneck, see path_world.h. */
#include <errno.h>
#include <malloc.h>

#include "tests/unit/path_world.h"
#include "tests/unit/test.h"

static struct path_metrics metrics(const struct world *w)
{
    struct path_metrics m;

    path_get_metrics(w->path[0], w->now, &m);
    return m;
}

static double queue_mean(const struct world *w)
{
    return w->link[0].queue_sum / (double)MAX(w->link[0].carried_pkts, 1u);
}

/* The two links of the published measurement: 14.67 Mbit/s at 15 ms and 3.61 Mbit/s at 50 ms one way. */
static void test_finds_the_rate(void **state)
{
    static const struct {
        uint64_t bps;
        span one_way;
    } links[] = { { 14670000, 15 * MSEC }, { 3610000, 50 * MSEC }, { 100000000, 5 * MSEC }, { 1000000, 20 * MSEC } };

    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        struct world w = { .backlog = true };
        double rate = (double)links[i].bps;

        world_init(&w, links[i].bps, links[i].one_way, 1 << 20, i);
        world_run(&w, 2 * SEC);
        assert_true((double)metrics(&w).rate_bps > rate * .95);
        assert_true((double)metrics(&w).rate_bps < rate * 1.05);
        assert_false(metrics(&w).rate_is_lower_bound);
        world_reset_stats(&w);
        world_run(&w, 20 * SEC);
        assert_true(world_utilisation(&w, 20 * SEC) > .98);
        /* The bound: a quarter of a round trip, and 3 records. */
        assert_true(queue_mean(&w) < (double)links[i].one_way / 2 + 3 * 1400 * 8e6 / rate);
        assert_int_equal(w.link[0].dropped_pkts, 0);
        world_free(&w);
    }
}

static void test_follows_the_rate(void **state)
{
    struct world w = { .backlog = true };

    world_init(&w, 10000000, 15 * MSEC, 1 << 20, 1);
    world_run(&w, 3 * SEC);
    w.link[0].bps = 2000000;
    world_run(&w, 900 * MSEC);
    world_reset_stats(&w);
    world_run(&w, 100 * MSEC);
    assert_true(metrics(&w).inflight_bytes < 2 * 7500 + 2 * 1400); /* twice 2 Mbit/s x 30 ms, and two records */
    assert_true(w.link[0].queue_peak < 50 * MSEC);
    world_run(&w, 2 * SEC);
    assert_true(metrics(&w).rate_bps > 1900000 && metrics(&w).rate_bps < 2100000);
    world_reset_stats(&w);
    world_run(&w, 5 * SEC);
    assert_true(world_utilisation(&w, 5 * SEC) > .95);
    assert_true(queue_mean(&w) < 30 * MSEC);

    w.link[0].bps = 10000000;
    world_run(&w, 1 * SEC);
    assert_true(metrics(&w).rate_bps > 8000000);
    world_reset_stats(&w);
    world_run(&w, 5 * SEC);
    assert_true(world_utilisation(&w, 5 * SEC) > .95);
    world_free(&w);
}

/* A way whose round trips are twice as long on average as at best: that is no queue of ours, and the path is filled all
 * the same. */
static void test_jitter(void **state)
{
    struct world w = { .backlog = true };

    world_init(&w, 50000000, 20 * MSEC, 4 << 20, 1);
    w.link[0].jitter = w.link[1].jitter = 40 * MSEC;
    world_run(&w, 5 * SEC);
    world_reset_stats(&w);
    world_run(&w, 10 * SEC);
    assert_true(world_utilisation(&w, 10 * SEC) > .85);
    world_free(&w);
}

/* The first window is several times what the path holds: what it loses is not sent again and again, and the rate is
 * found all the same. */
static void test_first_window_too_large(void **state)
{
    struct world w = { .backlog = true };

    world_init(&w, 1000000, 10 * MSEC, 4000, 1);
    world_run(&w, 300 * MSEC);
    assert_true(w.link[0].dropped_pkts < 32 + 8); /* INITIAL_RECORDS of bbr.c, and STARTUP's gain for some rounds */
    world_reset_stats(&w);
    world_run(&w, 700 * MSEC);
    assert_true(world_utilisation(&w, 700 * MSEC) > .9);
    world_free(&w);
}

/* What comes out of order in the first window is not lost. */
static void test_first_window_reordered(void **state)
{
    struct world w = { .backlog = true };

    world_init(&w, 50000000, 20 * MSEC, 1 << 20, 1);
    w.link[0].jitter = 20 * MSEC;
    world_run(&w, 500 * MSEC);
    assert_true(metrics(&w).rate_bps > 40000000);
    world_free(&w);
}

/* The queue that STARTUP has made on a path of 600 ms is seen for a round trip after it has gone. */
static void test_long_path(void **state)
{
    struct world w = { .backlog = true };

    world_init(&w, 10000000, 300 * MSEC, 1 << 20, 1);
    world_run(&w, 6 * SEC);
    world_reset_stats(&w);
    world_run(&w, 3 * SEC);
    assert_true(world_utilisation(&w, 3 * SEC) > .98);
    world_free(&w);
}

/* A record is late by the rate of what is in flight before it, or when it is overdue; while the oldest is not, the rate
 * may just not be known. */
static void test_late(void **state)
{
    const struct path_options o = { .record_bytes = 1500 };
    instant start = 100 * SEC, now = start;
    struct path *p = path_new(&o, now);
    struct path_metrics m;
    struct pbuf_pool pool;
    struct pbuf *sent[20];

    assert_non_null(p);
    assert_int_equal(pbuf_pool_init(&pool, ARRAY_LEN(sent)), 0);
    for (unsigned i = 0; i < ARRAY_LEN(sent); i++) {
        assert_non_null(sent[i] = pbuf_take(&pool));
        sent[i]->tracked = true;
        path_on_sent(p, 1500, sent[i], true, true, now);
        pbuf_unref(sent[i]);
    }
    assert_null(path_late(p, 0, start + 1 * MSEC));
    for (unsigned i = 0; i < 10; i++) { /* 12 ms each: 1 Mbit/s */
        const struct ack a = { .largest = i, .ranges_count = 1, .ranges = { { .first = 0, .last = i } } };
        struct path_ack_result r;

        now = start + 40 * MSEC + i * 12 * MSEC;
        assert_int_equal(path_on_ack(p, &a, now, &r), 0);
        if (i == 0) /* sent 40 ms ago, as the first, and that much and 10 ms more is not late */
            assert_null(path_late(p, 0, now));
    }
    path_get_metrics(p, now, &m);
    for (unsigned ahead = 0; ahead < 10; ahead++) {
        span within = (span)((uint64_t)ahead * 1500 * 8 * SEC / m.rate_bps);

        assert_ptr_equal(path_late(p, within, now), sent[10 + ahead]);
    }
    assert_null(path_late(p, 1 * SEC, now));
    assert_in_range(path_arrival(p), 11 * 1500 * 8 * SEC / m.rate_bps - 1, 11 * 1500 * 8 * SEC / m.rate_bps + 1);
    sent[10]->again = true;
    assert_ptr_equal(path_late(p, 0, now), sent[11]);
    assert_ptr_equal(path_late(p, 1 * SEC, now + 1 * SEC), sent[11]); /* overdue, all of them */
    path_free(p);
    pbuf_pool_deinit(&pool);
}

/* A longer route is not a queue: the rate must survive it. */
static void test_longer_route(void **state)
{
    struct world w = { .backlog = true };

    world_init(&w, 10000000, 10 * MSEC, 1 << 20, 1);
    world_run(&w, 3 * SEC);
    w.link[0].delay = 60 * MSEC;
    world_run(&w, 3 * SEC);
    assert_true(metrics(&w).min_rtt >= 70 * MSEC);
    world_reset_stats(&w);
    world_run(&w, 5 * SEC);
    assert_true(world_utilisation(&w, 5 * SEC) > .95);
    w.link[0].delay = 10 * MSEC;
    world_run(&w, 1 * SEC);
    assert_true(metrics(&w).min_rtt < 25 * MSEC);
    world_free(&w);
}

/* A fall so deep that the first low round still overestimates: the queue that stays must not pass for a longer route.
 */
static void test_deep_fall(void **state)
{
    struct world w = { .backlog = true };

    world_init(&w, 1000000000, 2 * MSEC, 1 << 21, 1);
    world_run(&w, 2 * SEC);
    w.link[0].bps = 100000000;
    world_run(&w, 1 * SEC);
    assert_true(metrics(&w).min_rtt < 4500);
    assert_true(metrics(&w).rate_bps > 95000000 && metrics(&w).rate_bps < 105000000);
    world_reset_stats(&w);
    world_run(&w, 1 * SEC);
    assert_true(world_utilisation(&w, 1 * SEC) > .98);
    assert_true(queue_mean(&w) < 4 * MSEC);
    world_free(&w);
}

/* An owner that wakes up each millisecond only, and receives in batches. */
static void test_coarse_clock(void **state)
{
    static const struct {
        uint64_t bps;
        span one_way;
    } links[] = { { 14670000, 15 * MSEC }, { 300000000, 8 * MSEC }, { 100000000, 1 * MSEC } };

    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        struct world w = { .backlog = true, .tick = MSEC };

        world_init(&w, links[i].bps, links[i].one_way, 1 << 20, i);
        world_run(&w, 2 * SEC);
        world_reset_stats(&w);
        world_run(&w, 10 * SEC);
        assert_true(world_utilisation(&w, 10 * SEC) > .97);
        assert_true(queue_mean(&w) < (double)links[i].one_way + 5 * MSEC);
        assert_int_equal(w.states[PATH_SUSPECTED], 0);
        world_free(&w);
    }
}

static void test_application_limits(void **state)
{
    struct world w = { .backlog = true };

    world_init(&w, 10000000, 15 * MSEC, 1 << 20, 1);
    world_run(&w, 3 * SEC);
    w.backlog = false;
    w.interval = 10 * MSEC; /* 1.12 Mbit/s */
    w.next_app = w.now;
    world_run(&w, 20 * SEC);
    assert_true(metrics(&w).rate_bps > 9500000);
    assert_int_equal(path_state(w.path[0]), PATH_ACTIVE);
    world_free(&w);

    w = (struct world){ .interval = 10 * MSEC };
    world_init(&w, 10000000, 15 * MSEC, 1 << 20, 1);
    w.next_app = w.now;
    world_run(&w, 5 * SEC);
    assert_true(metrics(&w).rate_is_lower_bound);
    w.backlog = true; /* what was a trickle becomes a flood: the low estimate must not hold it back */
    world_run(&w, 1 * SEC);
    assert_true(metrics(&w).rate_bps > 9000000);
    assert_false(metrics(&w).rate_is_lower_bound);
    world_free(&w);
}

static void test_random_loss(void **state)
{
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct world w = { .backlog = true };

        world_init(&w, 10000000, 15 * MSEC, 1 << 20, seed);
        w.link[0].loss = .02;
        world_run(&w, 2 * SEC);
        world_reset_stats(&w);
        world_run(&w, 10 * SEC);
        assert_true(world_utilisation(&w, 10 * SEC) > .95);
        assert_true(metrics(&w).loss > .005 && metrics(&w).loss < .05);
        world_free(&w);
    }
}

/* A queue of 12 ms, and one of 40 records (4.5 ms) on a path of 50 ms: probing must not overrun it in each cycle. */
static void test_short_queue(void **state)
{
    static const struct {
        uint64_t bps;
        span one_way;
        size_t queue;
    } links[] = { { 20000000, 20 * MSEC, 30000 }, { 100000000, 25 * MSEC, 40 * 1400 } };

    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        struct world w = { .backlog = true };

        world_init(&w, links[i].bps, links[i].one_way, links[i].queue, 1);
        world_run(&w, 3 * SEC);
        world_reset_stats(&w);
        world_run(&w, 10 * SEC);
        assert_true(world_utilisation(&w, 10 * SEC) > .98);
        assert_true(w.link[0].dropped_pkts * 500 < w.link[0].carried_pkts);
        world_free(&w);
    }
}

/* The first window is 3.6 s worth of this link; the queue it makes must go away. */
static void test_slow_link(void **state)
{
    struct world w = { .backlog = true };

    world_init(&w, 100000, 50 * MSEC, 1 << 20, 1);
    world_run(&w, 6 * SEC);
    world_reset_stats(&w);
    world_run(&w, 20 * SEC);
    assert_true(world_utilisation(&w, 20 * SEC) > .95);
    assert_true(queue_mean(&w) < 4 * 112 * MSEC); /* 4 records, the smallest window */
    world_free(&w);
}

static void test_reordering_is_not_loss(void **state)
{
    static const struct {
        uint64_t bps;
        span one_way, jitter;
        double loss;
    } links[] = { { 40000000, 30 * MSEC, 10 * MSEC, 0 },    /* displaced by 35 records */
                  { 100000000, 50 * MSEC, 25 * MSEC, .01 }, /* by 220 */
                  { 40000000, 25 * MSEC, 10 * MSEC, .005 } };

    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        struct world w = { .backlog = true };

        world_init(&w, links[i].bps, links[i].one_way, 1 << 20, 1);
        w.link[0].jitter = w.link[1].jitter = links[i].jitter;
        w.link[0].loss = w.link[1].loss = links[i].loss;
        world_run(&w, 4 * SEC);
        world_reset_stats(&w);
        world_run(&w, 10 * SEC);
        assert_true(world_utilisation(&w, 10 * SEC) > .95);
        assert_true(metrics(&w).loss < links[i].loss * 2 + .01);
        assert_int_equal(w.states[PATH_SUSPECTED], 0);
        world_free(&w);
    }
}

static void test_pacing(void **state)
{
    struct path_options o = { .record_bytes = 1400, .initial_rtt = 100 * MSEC };
    struct path *p = path_new(&o, SEC);
    instant now = SEC;
    unsigned sent = 0;

    /* 32 records in the first 100 ms, at most two of them back to back. */
    while (now < SEC + 90 * MSEC) {
        unsigned burst = 0;

        for (; path_may_send(p, 1400, now); burst++)
            path_on_sent(p, 1400, NULL, true, true, now);
        assert_true(burst <= 3);
        sent += burst;
        assert_true(path_next_send(p) > now);
        now = path_next_send(p);
    }
    assert_true(sent >= 28 && sent <= 32);
    while (path_may_send(p, 1400, now) || path_next_send(p) != INSTANT_NEVER) {
        now = MAX(now, path_next_send(p));
        path_on_sent(p, 1400, NULL, true, true, now);
        sent++;
    }
    assert_int_equal(sent, 32);
    path_free(p);

    /* A cap is kept exactly over a long time. */
    struct world w = { .backlog = true };

    world_init(&w, 50000000, 5 * MSEC, 1 << 20, 1);
    path_set_rate_cap(w.path[0], 7000000);
    world_run(&w, 1 * SEC);
    world_reset_stats(&w);
    world_run(&w, 10 * SEC);
    assert_true(w.link[0].carried_bytes * 8 > 69800000 && w.link[0].carried_bytes * 8 <= 70030000);
    assert_true(metrics(&w).rate_is_lower_bound);
    world_free(&w);
}

/* Nothing is lost to rounding: 1400 bytes at 9 Gbit/s take 1244.44 ns, and cutting that to 1244 would be seen. */
static void test_pacing_at_9_gbit(void **state)
{
    enum { RECORDS = 6000000 };
    static const uint64_t bps = 9000000000;
    struct path_options o = { .record_bytes = 60000, .initial_rtt = MSEC, .rate_cap_bps = bps };
    struct path *p = path_new(&o, SEC);
    struct path_ack_result r;
    instant now = SEC;
    uint64_t sent = 0;
    double ideal = RECORDS * 1400.0 * 8 / (double)bps * 1e6; /* us */

    while (sent < RECORDS) {
        while (sent < RECORDS && path_may_send(p, 1400, now)) {
            path_on_sent(p, 1400, NULL, true, true, now);
            sent++;
        }
        struct ack a = { .largest = sent - 1, .rx_time_us = (uint32_t)now, .ranges_count = 1 };

        a.ranges[0] = (struct ack_range){ sent - MIN(sent, 60000), sent - 1 };
        assert_int_equal(path_on_ack(p, &a, now + 1, &r), 0);
        now = MAX(now + 1, path_next_send(p));
    }
    assert_true((double)(now - SEC) > ideal - 1000 - 1); /* a quantum of 1 ms ahead at most, */
    assert_true((double)(now - SEC) < ideal + 1000);
    path_free(p);
}

static void test_silence(void **state)
{
    struct world w = { .backlog = true };
    struct path_metrics m;
    instant dead;
    span timeout;

    world_init(&w, 10000000, 15 * MSEC, 1 << 20, 1);
    world_run(&w, 3 * SEC);
    assert_int_equal(path_state(w.path[0]), PATH_ACTIVE);
    m = metrics(&w);
    timeout = MAX(m.srtt + 4 * m.rttvar, PATH_SUSPECT_MIN) + PATH_ACK_DELAY_MAX;
    w.link[0].dead = true; /* what is in the queue still arrives */
    dead = w.now;
    world_run(&w, 1 * SEC);
    assert_int_equal(w.states[PATH_SUSPECTED], 1);
    assert_int_equal(w.states[PATH_DOWN], 1);
    /* 10 ms for the queue that was there, 10 for the estimate's motion since. */
    assert_true(w.state_at[PATH_SUSPECTED] - dead < timeout + 20 * MSEC);
    assert_true(w.state_at[PATH_DOWN] - dead < 3 * timeout + 40 * MSEC);
    assert_true(w.state_at[PATH_DOWN] - w.state_at[PATH_SUSPECTED] >= 2 * (PATH_SUSPECT_MIN + PATH_ACK_DELAY_MAX));
    m = metrics(&w);
    assert_int_equal(m.why, PATH_WHY_PROBES_LOST);
    assert_true(m.inflight_bytes <= 80); /* a probe */
    assert_true(m.loss < .01);
    world_run(&w, 30 * SEC);

    /* Back: found by the next probe, held for 1 s. */
    w.link[0].dead = false;
    dead = w.now;
    world_run(&w, 10 * SEC);
    m = metrics(&w);
    assert_int_equal(m.state, PATH_ACTIVE);
    assert_int_equal(m.why, PATH_WHY_VALIDATED);
    assert_true(w.state_at[PATH_PROBING] - dead < PATH_DOWN_BACKOFF_MAX + 100 * MSEC);
    assert_in_range(w.state_at[PATH_ACTIVE] - w.state_at[PATH_PROBING], 1 * SEC, 1 * SEC + 200 * MSEC);
    assert_true(m.rate_bps > 9500000);
    world_free(&w);
}

static void test_flapping_is_held(void **state)
{
    struct world w = { .backlog = true };
    /* 1 s * 2^k after k other falls within a minute, 30 s at most */
    static const span hold[] = { 1 * SEC, 2 * SEC, 4 * SEC, 8 * SEC, 16 * SEC, 30 * SEC };

    world_init(&w, 10000000, 15 * MSEC, 1 << 20, 1);
    world_run(&w, 1 * SEC);
    for (size_t i = 0; i < ARRAY_LEN(hold); i++) {
        path_on_link(w.path[0], false, w.now);
        assert_int_equal(path_state(w.path[0]), PATH_DOWN);
        world_run(&w, 500 * MSEC);
        path_on_link(w.path[0], true, w.now);
        world_run(&w, hold[i] + 2 * SEC);
        assert_int_equal(path_state(w.path[0]), PATH_ACTIVE);
        assert_in_range(w.state_at[PATH_ACTIVE] - w.state_at[PATH_PROBING], hold[i], hold[i] + 200 * MSEC);
    }
    /* Nothing else to use: on the first reply. */
    path_on_link(w.path[0], false, w.now);
    world_run(&w, 500 * MSEC);
    w.hurry = true;
    path_on_link(w.path[0], true, w.now);
    world_run(&w, 40 * MSEC);
    assert_int_equal(path_state(w.path[0]), PATH_ACTIVE);
    world_free(&w);
}

/* One that carried most of what the session had is held for a quarter of that, and looked for often for a minute. */
static void test_missed(void **state)
{
    struct world w = { .backlog = true };
    static const span hold[] = { 250 * MSEC, 500 * MSEC, 1 * SEC };

    world_init(&w, 10000000, 15 * MSEC, 1 << 20, 1);
    world_run(&w, 1 * SEC);
    for (size_t i = 0; i < ARRAY_LEN(hold); i++) {
        w.link[0].dead = true;
        world_run(&w, 15 * SEC);
        assert_int_equal(path_state(w.path[0]), PATH_DOWN);
        path_set_missed(w.path[0], true);
        world_run(&w, PATH_DOWN_BACKOFF_MIN + 40 * MSEC); /* what is probed now is missed at once */
        w.link[0].dead = false;
        world_run(&w, PATH_DOWN_BACKOFF_MIN + 40 * MSEC);
        assert_int_equal(path_state(w.path[0]), PATH_PROBING);
        world_run(&w, 2 * SEC);
        assert_int_equal(path_state(w.path[0]), PATH_ACTIVE);
        assert_in_range(w.state_at[PATH_ACTIVE] - w.state_at[PATH_PROBING], hold[i], hold[i] + 200 * MSEC);
        path_set_missed(w.path[0], false);
    }
    path_set_missed(w.path[0], true);
    w.link[0].dead = true;
    world_run(&w, 120 * SEC); /* nobody misses anything for ever */
    w.link[0].dead = false;
    world_run(&w, PATH_DOWN_BACKOFF_MIN + 40 * MSEC);
    assert_int_equal(path_state(w.path[0]), PATH_DOWN);
    world_run(&w, PATH_DOWN_BACKOFF_MAX);
    assert_true(path_state(w.path[0]) != PATH_DOWN);
    world_free(&w);
}

static void test_hurry_probes_often(void **state)
{
    struct world w = { .backlog = true, .hurry = true };

    world_init(&w, 10000000, 15 * MSEC, 1 << 20, 1);
    world_run(&w, 1 * SEC);
    w.link[0].dead = true;
    world_run(&w, 20 * SEC);
    assert_int_equal(path_state(w.path[0]), PATH_DOWN);
    w.link[0].dead = false;
    world_run(&w, PATH_DOWN_BACKOFF_MIN + 40 * MSEC);
    assert_int_equal(path_state(w.path[0]), PATH_ACTIVE);
    world_free(&w);
}

static void test_link_and_send_errors(void **state)
{
    struct path_options o = { .record_bytes = 1400, .initial_rtt = 20 * MSEC };
    struct path *p = path_new(&o, SEC);
    struct path_metrics m;
    struct path_event e;
    struct path_ack_result r;
    struct ack a = { .ranges_count = 1 };

    assert_true(path_pop_event(p, &e)); /* a new path asks for a probe */
    assert_int_equal(e.type, PATH_EVENT_PROBE);
    path_on_sent(p, 80, NULL, true, false, SEC);
    assert_int_equal(path_on_ack(p, &a, SEC + 20 * MSEC, &r), 0); /* one reply is enough for it */
    assert_int_equal(path_state(p), PATH_ACTIVE);
    assert_true(path_pop_event(p, &e));
    assert_int_equal(e.type, PATH_EVENT_STATE);
    assert_int_equal(e.old_state, PATH_PROBING);

    path_on_send_error(p, 2 * SEC);
    path_get_metrics(p, 2 * SEC, &m);
    assert_int_equal(m.state, PATH_SUSPECTED);
    assert_int_equal(m.why, PATH_WHY_SEND_ERROR);
    assert_true(path_pop_event(p, &e) && e.type == PATH_EVENT_STATE);
    assert_true(path_pop_event(p, &e) && e.type == PATH_EVENT_PROBE);

    path_on_link(p, false, 2 * SEC);
    path_get_metrics(p, 2 * SEC, &m);
    assert_int_equal(m.state, PATH_DOWN);
    assert_int_equal(m.why, PATH_WHY_LINK_DOWN);
    assert_true(path_pop_event(p, &e) && e.type == PATH_EVENT_STATE && e.old_state == PATH_SUSPECTED);
    assert_true(path_next_expiry(p) == INSTANT_NEVER); /* no probes into a link that is down */
    path_on_link(p, true, 3 * SEC);
    assert_true(path_pop_event(p, &e) && e.type == PATH_EVENT_PROBE);
    assert_int_equal(path_next_expiry(p), 3 * SEC + PATH_DOWN_BACKOFF_MIN);
    path_free(p);
}

/* Probes of an idle path: each 150 ms while others are busy, each 5 s otherwise; of a dead one .25, .5, ... 5 s. */
static void test_probe_times(void **state)
{
    struct path_options o = { .record_bytes = 1400, .initial_rtt = 20 * MSEC };
    struct path *p = path_new(&o, SEC);
    struct path_ack_result r;
    struct path_event e;
    struct ack a = { .ranges_count = 1 };
    instant now = SEC, next;
    span gaps[] = { 250, 500, 1000, 2000, 4000, 5000, 5000 };

    path_on_sent(p, 80, NULL, true, false, now);
    path_on_ack(p, &a, now + 20 * MSEC, &r);
    now += 20 * MSEC;
    path_on_expiry(p, SEC + 100 * MSEC); /* probes of the size are due from now on; nobody sends them here */
    assert_int_equal(path_next_expiry(p), now + PATH_PROBE_IDLE);
    path_set_busy(p, true, now);
    assert_int_equal(path_next_expiry(p), now + PATH_PROBE_BUSY);
    while (path_pop_event(p, &e))
        ;
    now += PATH_PROBE_BUSY;
    path_on_expiry(p, now);
    assert_true(path_pop_event(p, &e) && e.type == PATH_EVENT_PROBE && e.train == 1);
    path_on_sent(p, 80, NULL, true, false, now);
    /* srtt 20, rttvar 10 ms, and the delay of acknowledgements: overdue after 70 */
    assert_int_equal(path_next_expiry(p), now + 70 * MSEC);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(path_state(p), i == 1 ? PATH_ACTIVE : PATH_SUSPECTED);
        now = path_next_expiry(p);
        path_on_expiry(p, now);
    }
    assert_int_equal(path_state(p), PATH_DOWN);
    for (size_t i = 0; i < ARRAY_LEN(gaps); i++) {
        next = path_next_expiry(p);
        assert_int_equal(next - now, gaps[i] * MSEC);
        now = next;
        path_on_expiry(p, now);
    }
    path_free(p);
}

static void test_buffers(void **state)
{
    struct path_options o = { .record_bytes = 1400 };
    struct pbuf_pool pool;
    struct path *p;
    struct path_ack_result r;
    struct pbuf *sent[20], *b;
    struct ack a = { .largest = 15, .ranges_count = 2, .ranges = { { 14, 15 }, { 3, 4 } } };

    assert_int_equal(pbuf_pool_init(&pool, 1000), 0);
    p = path_new(&o, SEC);
    for (int i = 0; i < 20; i++) {
        sent[i] = pbuf_take(&pool);
        path_on_sent(p, 1400, sent[i], true, true, SEC + i * 100);
        pbuf_unref(sent[i]);
    }
    assert_int_equal(pool.used, 20);
    assert_int_equal(path_on_ack(p, &a, SEC + 30 * MSEC, &r), 0);
    assert_int_equal(r.acked_pkts, 4);
    assert_int_equal(r.acked_bytes, 4 * 1400);
    /* RFC 9002 6.1.1: 0..2 and 5..12 are 3 or more below 15; 13 is not */
    assert_int_equal(r.lost_pkts, 11);
    assert_int_equal(r.newest_acked, 15);
    assert_int_equal(pool.used, 16);
    for (int i = 0; i < 11; i++) { /* what was lost may be sent again, the oldest first */
        b = path_take_lost(p);
        assert_ptr_equal(b, sent[i < 3 ? i : i + 2]);
        pbuf_unref(b);
    }
    assert_null(path_take_lost(p));
    assert_int_equal(pool.used, 5);
    for (int i = 0; i < 5; i++) {
        static const int left[] = { 13, 16, 17, 18, 19 };

        b = path_take_inflight(p);
        assert_ptr_equal(b, sent[left[i]]);
        pbuf_unref(b);
    }
    assert_null(path_take_inflight(p));
    assert_int_equal(pool.used, 0);
    path_free(p);

    /* What was in flight when the path went down can still be taken. */
    p = path_new(&o, SEC);
    for (int i = 0; i < 10; i++) {
        sent[i] = pbuf_take(&pool);
        path_on_sent(p, 1400, sent[i], true, true, SEC);
        pbuf_unref(sent[i]);
    }
    path_on_link(p, false, SEC);
    b = path_take_inflight(p);
    assert_ptr_equal(b, sent[0]);
    pbuf_unref(b);
    assert_int_equal(pool.used, 9);
    path_free(p);
    assert_int_equal(pool.used, 0);
    pbuf_pool_deinit(&pool);
}

static void test_bad_acks(void **state)
{
    static const uint64_t first = ((uint64_t)1 << 63) - 8;
    struct path_options o = { .record_bytes = 1400, .first_counter = first };
    struct path *p = path_new(&o, SEC);
    struct path_ack_result r = { .acked_pkts = 77 };
    const struct ack bad[] = {
        { .largest = first + 16, .ranges_count = 1, .ranges = { { first + 16, first + 16 } } }, /* not sent yet */
        { .largest = UINT64_MAX, .ranges_count = 1, .ranges = { { first, UINT64_MAX } } },
        { .largest = first - 1, .ranges_count = 1, .ranges = { { first - 1, first - 1 } } }, /* before the first */
        { .largest = first + 3, .ranges_count = 1, .ranges = { { 0, first + 3 } } },
        { .largest = first + 3, .ranges_count = 0 },
        { .largest = first + 3, .ranges_count = ACK_RANGES_MAX + 1 },
        { .largest = first + 3, .ranges_count = 1, .ranges = { { first, first + 4 } } },
        { .largest = first + 3, .ranges_count = 2, .ranges = { { first + 2, first + 3 }, { first, first + 2 } } },
        { .largest = first + 3, .ranges_count = 1, .ranges = { { first + 4, first + 3 } } },
    };
    struct ack good = { .largest = first + 15, .ranges_count = 1, .ranges = { { first, first + 15 } } };
    struct path_metrics m;

    for (int i = 0; i < 16; i++) {
        assert_int_equal(path_next_counter(p), first + (uint64_t)i);
        path_on_sent(p, 1400, NULL, true, true, SEC);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(path_on_ack(p, &bad[i], SEC + 1, &r), -EPROTO);
    assert_int_equal(r.acked_pkts, 77);
    path_get_metrics(p, SEC, &m);
    assert_int_equal(m.inflight_bytes, 16 * 1400);
    assert_int_equal(path_on_ack(p, &good, SEC + 30 * MSEC, &r), 0);
    assert_int_equal(r.acked_pkts, 16);
    assert_int_equal(path_on_ack(p, &good, SEC + 31 * MSEC, &r), 0);
    assert_int_equal(r.acked_pkts, 0);
    path_free(p);
}

/* What acknowledges a record half a minute late, since it had no way before, does not make the path a slow one. */
static void test_held_acknowledgement(void **state)
{
    const struct path_options o = { .record_bytes = 1400 };
    struct path *p = path_new(&o, SEC);
    struct ack a = { .ranges_count = 1 };
    struct path_ack_result r;
    struct path_metrics m;

    path_on_sent(p, 1400, NULL, true, false, SEC);
    assert_int_equal(path_on_ack(p, &a, SEC + 10 * MSEC, &r), 0);
    path_on_sent(p, 1400, NULL, true, false, 2 * SEC);
    a = (struct ack){ .largest = 1, .delay_us = 30 * SEC, .ranges_count = 1, .ranges = { { 0, 1 } } };
    assert_int_equal(path_on_ack(p, &a, 32 * SEC + 10 * MSEC, &r), 0);
    assert_int_equal(r.acked_pkts, 1);
    path_get_metrics(p, 32 * SEC + 10 * MSEC, &m);
    assert_int_equal(m.srtt, 10 * MSEC);
    assert_int_equal(m.rttvar, 5 * MSEC);
    path_free(p);
}

/* Records 0 to 3 and 6 to 9; 4 and 5 are left out. */
static void test_skipped_counters(void **state)
{
    struct path_options o = { .record_bytes = 1400 };
    struct path *p = path_new(&o, SEC);
    struct path_ack_result r = { .acked_pkts = 77 };
    const struct ack bad[] = {
        { .largest = 9, .ranges_count = 1, .ranges = { { 0, 9 } } },
        { .largest = 9, .ranges_count = 1, .ranges = { { 5, 9 } } },
        { .largest = 9, .ranges_count = 2, .ranges = { { 6, 9 }, { 0, 4 } } },
        { .largest = 4, .ranges_count = 1, .ranges = { { 4, 4 } } },
    };
    struct ack good = { .largest = 9, .ranges_count = 2, .ranges = { { 6, 9 }, { 0, 3 } } };
    struct path_metrics m;

    for (int i = 0; i < 8; i++) {
        assert_int_equal(path_next_counter(p), i < 4 ? i : i + 2);
        path_on_sent(p, 1400, NULL, true, true, SEC);
        for (int skip = 0; i == 3 && skip < 2; skip++)
            path_skip_counter(p, SEC);
    }
    path_get_metrics(p, SEC, &m);
    assert_int_equal(m.inflight_bytes, 8 * 1400);
    assert_int_equal(m.tx_pkts, 8);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(path_on_ack(p, &bad[i], SEC + MSEC, &r), -EPROTO);
    assert_int_equal(r.acked_pkts, 77);
    assert_int_equal(path_on_ack(p, &good, SEC + 30 * MSEC, &r), 0);
    assert_int_equal(r.acked_pkts, 8);
    assert_int_equal(r.lost_pkts, 0);
    path_get_metrics(p, SEC + 30 * MSEC, &m);
    assert_int_equal(m.inflight_bytes, 0);
    assert_int_equal(m.lost_pkts, 0);
    path_free(p);
}

/* Whatever the network does: nothing is acknowledged twice, nothing leaks, time moves, and a path that carries
 * something at all stays in use or comes back. */
static void test_storms(void **state)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct prng p;
        struct pbuf_pool pool;
        struct path_metrics m;
        struct pbuf *lost;
        struct world w = {
            .backlog = true, .pool = &pool, .first_counter = ((uint64_t)1 << 63) - 1000, .skew = -77777
        };

        assert_int_equal(pbuf_pool_init(&pool, 4096), 0);
        prng_init(&p, seed);
        world_init(&w, 1000000 + prng_below(&p, 30000000), (span)prng_below(&p, 80 * MSEC),
                   20000 + prng_below(&p, 400000), seed);
        for (int i = 0; i < 12; i++) {
            for (int d = 0; d < 2; d++) {
                w.link[d].loss = prng_unit(&p) < .5 ? 0 : prng_unit(&p) * .3;
                w.link[d].duplicate = prng_unit(&p) < .5 ? 0 : prng_unit(&p) * .2;
                w.link[d].jitter = prng_unit(&p) < .5 ? 0 : (span)prng_below(&p, 40 * MSEC);
                w.link[d].dead = prng_unit(&p) < .1;
            }
            w.link[0].bps = 500000 + prng_below(&p, 30000000);
            world_run(&w, (span)prng_below(&p, 700 * MSEC));
            m = metrics(&w);
            assert_true(w.acked <= w.eliciting_sent);
            assert_true(m.inflight_bytes <= w.eliciting_sent * 1400);
            assert_true(m.loss >= 0 && m.loss <= 1);
            while ((lost = path_take_lost(w.path[0]))) /* as an owner does */
                pbuf_unref(lost);
            assert_true(pool.used <= m.inflight_bytes / 80 + 4096 * (m.state != PATH_ACTIVE));
            if (prng_unit(&p) < .2)
                path_on_migrated(w.path[0], w.now);
        }
        for (int d = 0; d < 2; d++) {
            w.link[d].loss = w.link[d].duplicate = 0;
            w.link[d].jitter = 0;
            w.link[d].dead = false;
        }
        w.hurry = true;
        world_run(&w, 10 * SEC); /* twice the longest back-off */
        assert_int_equal(path_state(w.path[0]), PATH_ACTIVE);
        w.backlog = false;
        world_run(&w, 2 * SEC);
        assert_int_equal(metrics(&w).inflight_bytes, 0);
        while ((lost = path_take_lost(w.path[0])))
            pbuf_unref(lost);
        assert_int_equal(pool.used, 0);
        world_free(&w);
        assert_int_equal(pool.used, 0);
        pbuf_pool_deinit(&pool);
    }
}

/* Acknowledgements use up none of the pace, and what was paced slowly is not waited for when the rate has risen. */
static void test_pace_is_not_a_debt(void **state)
{
    struct path_options o = { .record_bytes = 1500, .initial_rtt = 10 * MSEC, .rate_cap_bps = 100000 };
    struct path *p = path_new(&o, SEC);
    unsigned n = 0;

    assert_non_null(p);
    for (unsigned i = 0; i < 1000; i++)
        path_on_sent(p, 100, NULL, false, false, SEC);
    assert_true(path_may_send(p, 1500, SEC));
    for (; path_may_send(p, 1500, SEC); n++)
        path_on_sent(p, 1500, NULL, true, true, SEC);
    /* 12,000 bit at 100 kbit/s: 120 ms a record. */
    assert_true(n > 0 && path_next_send(p) >= SEC + n * 120 * MSEC - 1);
    path_set_rate_cap(p, 10000000);
    assert_true(path_next_send(p) <= SEC + n * 2 * MSEC);
    path_free(p);
}

/* Nothing answers for two days: what was sent meanwhile is not kept. */
static void test_dead_for_days(void **state)
{
    const struct path_options o = { .record_bytes = 1400 };
    const struct ack first = { .ranges_count = 1 };
    struct path *p = path_new(&o, SEC);
    struct path_ack_result r;
    struct path_event ev;
    size_t probes = 0, heap = 0;

    path_on_sent(p, 1400, NULL, true, false, SEC);
    assert_int_equal(path_on_ack(p, &first, SEC + 10 * MSEC, &r), 0);
    for (instant now = SEC + 10 * MSEC; now < 2 * 86400 * SEC;) {
        now = MAX(now, path_next_expiry(p));
        path_on_expiry(p, now);
        for (; path_pop_event(p, &ev); probes += ev.type == PATH_EVENT_PROBE) {
            if (ev.type == PATH_EVENT_PROBE)
                path_on_sent(p, 100, NULL, true, false, now);
        }
        if (heap == 0 && now > 3600 * SEC)
            heap = mallinfo2().uordblks + mallinfo2().hblkhd;
    }
    assert_int_equal(path_state(p), PATH_DOWN);
    assert_true(probes > 1000);
    assert_int_equal(mallinfo2().uordblks + mallinfo2().hblkhd, heap);
    path_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_finds_the_rate),
        cmocka_unit_test(test_follows_the_rate),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_first_window_too_large),
        cmocka_unit_test(test_first_window_reordered),
        cmocka_unit_test(test_long_path),
        cmocka_unit_test(test_late),
        cmocka_unit_test(test_longer_route),
        cmocka_unit_test(test_deep_fall),
        cmocka_unit_test(test_coarse_clock),
        cmocka_unit_test(test_application_limits),
        cmocka_unit_test(test_random_loss),
        cmocka_unit_test(test_short_queue),
        cmocka_unit_test(test_slow_link),
        cmocka_unit_test(test_reordering_is_not_loss),
        cmocka_unit_test(test_pacing),
        cmocka_unit_test(test_pacing_at_9_gbit),
        cmocka_unit_test(test_pace_is_not_a_debt),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_flapping_is_held),
        cmocka_unit_test(test_missed),
        cmocka_unit_test(test_hurry_probes_often),
        cmocka_unit_test(test_link_and_send_errors),
        cmocka_unit_test(test_probe_times),
        cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_bad_acks),
        cmocka_unit_test(test_held_acknowledgement),
        cmocka_unit_test(test_skipped_counters),
        cmocka_unit_test(test_storms),
        cmocka_unit_test(test_dead_for_days),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
