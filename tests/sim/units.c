/* Application data units over several paths, in virtual time: what is sent with a lifetime, an order, an objective.
 *
 *            +-- uplink 1 --+
 *     node --+              +-- core -- agent
 *            +-- uplink 2 --+
 *
 * Content, order and that nothing comes twice are checked at each unit (sim/media.h). Delays are one way. */
#include "sim/media.h"
#include "tests/sim/sim.h"

#include <errno.h>

#define SEEDS 3

static const struct delivery_options bytes_options = { 0 };

/* 4 Mbit/s at 30 frames a second; each 60th is a key frame, four times as large. */
static const struct media_spec video = {
    .unit = { .lifetime = 150 * MSEC }, .interval = 33333, .bytes = 16000, .key_every = 60, .key_bytes = 64000
};

static struct bench make(uint64_t seed, const char *const params[], const struct session_preferences *p)
{
    struct node_options o = { .delivery = &bytes_options, .pool_pkts = 16384 };
    struct bench b;

    if (p)
        o.preferences = *p;
    b = bench_make(seed, &o, false, params);
    bench_begin(&b);
    return b;
}

struct outcome {
    double bad;
    span delay, delay_max, jitter;
    double copied; /* of what was sent */
};

/* One stream of media upwards. */
static struct outcome play(uint64_t seed, const char *const params[], const struct session_preferences *p,
                           const struct media_spec *spec, span run)
{
    struct bench b = make(seed, params, p);
    struct media *m = media_new(b.node, 0, b.agent, 0, spec);
    struct outcome o;
    struct adu_info i;

    world_run_for(b.w, run);
    media_stop(m);
    world_run_for(b.w, 2 * SEC);
    assert_int_equal(m->error, 0);
    adus_info(session_adus(node_peer_session(b.node->node, 0)), &i);
    o = (struct outcome){ .bad = media_bad(m),
                          .delay_max = m->delay_max,
                          .delay = m->read ? m->delay_sum / m->read : 0,
                          .jitter = m->read ? m->jitter_sum / m->read : 0,
                          .copied = i.cut_bytes ? (double)i.copied_bytes / (double)i.cut_bytes : 0 };
    assert_true(adus_flushed(session_adus(node_peer_session(b.node->node, 0))));
    bench_done(&b);
    media_free(m);
    return o;
}

/* --- ordered, lossy, with a deadline --- */

static void test_deadline(void **state)
{
    /* more: than half of what the better one alone does not bring in time */
    static const struct {
        const char *name, *links[3];
        double more;
    } pairs[] = {
        { "2 % loss", { "rate=10mbit delay=20ms loss=2%", "rate=10mbit delay=40ms loss=2%" }, .002 },
        { "jitter", { "rate=10mbit delay=30ms jitter=30ms", "rate=10mbit delay=50ms jitter=30ms" }, .03 },
        { "too narrow", { "rate=3mbit delay=20ms", "rate=3mbit delay=30ms" }, .002 },
        { "far", { "rate=10mbit delay=20ms loss=3%", "rate=10mbit delay=120ms" }, .002 },
    };

    unsigned missed = 0;

    printf("# late or lost of 4 Mbit/s with a lifetime of 150 ms: first alone, second alone, both; copies\n");
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        double first = 0, second = 0, both = 0, copied = 0;

        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct outcome o = play(seed, pairs[i].links, NULL, &video, 20 * SEC);

            both += o.bad / SEEDS;
            copied = MAX(copied, o.copied);
            first += play(seed, PARAMS(pairs[i].links[0]), NULL, &video, 20 * SEC).bad / SEEDS;
            second += play(seed, PARAMS(pairs[i].links[1]), NULL, &video, 20 * SEC).bad / SEEDS;
        }
        printf("# %-12s %.4f %.4f %.4f %.4f\n", pairs[i].name, first, second, both, copied);
        missed += both > MIN(first, second) / 2 + pairs[i].more;
        assert_true(copied < .06);
    }
    assert_int_equal(missed, 0);
}

/* A path goes while frames are on it: how many are lost by it, and how long one took at most. */
static void test_a_path_goes(void **state)
{
    const char *const links[] = { "rate=20mbit delay=20ms", "rate=20mbit delay=20ms", NULL };

    for (unsigned silent = 0; silent < 2; silent++) {
        unsigned bad = 0;
        span longest = 0;

        for (uint64_t seed = 1; seed <= 8; seed++) {
            struct bench b = make(seed, links, NULL);
            struct media *m = media_new(b.node, 0, b.agent, 0, &video);

            world_run_for(b.w, 2 * SEC + (span)(seed * 7919 % 100) * MSEC);
            if (silent)
                world_link(world_uplink(b.node, 0), "blackhole=1");
            else
                world_carrier(world_uplink(b.node, 0), false);
            world_run_for(b.w, 2 * SEC);
            media_stop(m);
            world_run_for(b.w, 1 * SEC);
            bad += m->sent + m->refused - (m->read - m->late);
            longest = MAX(longest, m->delay_max);
            bench_done(&b);
            media_free(m);
        }
        printf("# %s: %u frames bad in 8 runs, the longest took %.1f ms\n", silent ? "silent" : "carrier lost", bad,
               (double)longest / MSEC);
        assert_true(bad <= (silent ? 8 : 0));
    }
}

/* --- lossless --- */

static bool all_read(void *ctx)
{
    const struct media *m = ctx;

    return m->read == m->spec.count;
}

static void test_lossless(void **state)
{
    static const char *const links[][3] = {
        { "rate=20mbit delay=10ms loss=10%", "rate=20mbit delay=30ms loss=10%" },
        { "rate=20mbit delay=10ms dup=10%", "rate=20mbit delay=10ms corrupt=5%" },
        { "rate=20mbit delay=10ms jitter=10ms reorder=1", "rate=5mbit delay=50ms jitter=30ms reorder=1 loss=3%" },
        { "rate=20mbit delay=10ms mtu=1280", "rate=20mbit delay=10ms" },
    };

    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        for (unsigned how = 0; how < 4; how++) {
            const struct media_spec spec = { .unit = { .unordered = how & 1 },
                                             .interval = how & 2 ? 500 : 20 * MSEC,
                                             .bytes = how & 2 ? 400 : 20000,
                                             .key_every = 50,
                                             .key_bytes = how & 2 ? 0 : ADU_LEN_MAX,
                                             .count = how & 2 ? 8000 : 120 };
            struct bench b = make(i + 1, links[i], NULL);
            struct media *m =
                how & 2 ? media_new(b.agent, 0, b.node, 0, &spec) : media_new(b.node, 0, b.agent, 0, &spec);

            if (!world_run_until(b.w, all_read, m, 60 * SEC))
                fail_msg("links %zu, case %u: %u of %u, %u refused: %s", i, how, m->read, spec.count, m->refused,
                         b.w->error);
            assert_int_equal(m->error, 0);
            bench_done(&b);
            media_free(m);
        }
}

/* What is lost is not sent again, and what came is in order. */
static void test_unreliable(void **state)
{
    const struct media_spec spec = {
        .unit = { .unreliable = true }, .interval = 5 * MSEC, .bytes = 1000, .count = 4000
    };
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms loss=5%", "rate=20mbit delay=40ms loss=5%"), NULL);
    struct media *m = media_new(b.node, 0, b.agent, 0, &spec);
    struct adu_info i;

    world_run_for(b.w, 25 * SEC);
    adus_info(session_adus(node_peer_session(b.node->node, 0)), &i);
    assert_int_equal(m->sent, 4000);
    assert_int_equal(i.cut_bytes, 4000 * 1000);
    assert_in_range(i.lost, 4000 * 3 / 100, 4000 * 7 / 100);
    assert_in_range(m->read, 4000 - i.lost, 4000); /* some were only slow */
    bench_done(&b);
    media_free(m);
}

/* What nobody can carry is dropped, whatever its number, and the rest goes on. */
static void test_without_any_path_for_a_while(void **state)
{
    const struct media_spec spec = {
        .unit = { .lifetime = 200 * MSEC }, .interval = 5 * MSEC, .bytes = 500, .count = 8000
    };
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"), NULL);
    struct media *m = media_new(b.node, 0, b.agent, 0, &spec);
    unsigned read;

    world_run_for(b.w, 2 * SEC);
    for (unsigned i = 0; i < 2; i++)
        world_link(world_uplink(b.node, i), "blackhole=1");
    b.v->patience = 600 * SEC;
    world_run_for(b.w, 30 * SEC);
    for (unsigned i = 0; i < 2; i++)
        world_link(world_uplink(b.node, i), "blackhole=0");
    read = m->read;
    assert_in_range(read, 380, 420);
    world_run_for(b.w, 12 * SEC);
    assert_int_equal(m->sent + m->refused, 8000);
    assert_int_equal(m->refused, 0);
    assert_true(m->read > 8000 - 6400 - 400);
    assert_true(adus_flushed(session_adus(node_peer_session(b.node->node, 0))));
    bench_done(&b);
    media_free(m);
}

/* The stream's end comes after all units. */
static void test_the_end_comes_last(void **state)
{
    const struct media_spec spec = { .interval = 1 * MSEC, .bytes = 20000, .count = 200 };
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms loss=3%", "rate=5mbit delay=90ms"), NULL);
    struct media *m = media_new(b.node, 0, b.agent, 0, &spec);
    const struct delivery *d = node_peer_delivery(b.agent->node, 0);

    world_run_for(b.w, 300 * MSEC);
    session_finish(node_peer_session(b.node->node, 0));
    for (span t = 0; t < 20 * SEC && !delivery_at_end(d); t += 1 * MSEC) {
        assert_true(m->read <= 200);
        world_run_for(b.w, 1 * MSEC);
    }
    assert_true(delivery_at_end(d));
    assert_int_equal(m->read, 200);
    bench_done(&b);
    media_free(m);
}

/* What was lost of the others is told before the end is, so the last one does not wait behind it. */
static void test_the_end_comes_after_what_is_gone(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct bench b = make(seed, PARAMS("rate=20mbit delay=10ms loss=10%", "rate=20mbit delay=30ms loss=10%"), NULL);
        struct session *from = node_peer_session(b.node->node, 0), *to = node_peer_session(b.agent->node, 0);
        struct adus *a = session_adus_for_sending(from);
        const struct adu_spec unreliable = { .unreliable = true }, lossless = { 0 };
        struct adu_received u = { 0 };
        uint8_t data[500] = { 0 };

        for (unsigned i = 0; i < 100; i++)
            assert_int_equal(adus_send(a, data, sizeof(data), &unreliable, b.w->now), 0);
        assert_int_equal(adus_send(a, data, sizeof(data), &lossless, b.w->now), 0);
        session_finish(from);
        world_peer_wake(b.node, 0);
        for (span t = 0; t < 10 * SEC && !delivery_at_end(session_delivery(to)); t += 1 * MSEC)
            world_run_for(b.w, 1 * MSEC);
        assert_true(delivery_at_end(session_delivery(to)));
        assert_false(adus_is_waiting(session_adus(to)));
        while (adus_receive(session_adus(to), data, sizeof(data), &u, b.w->now) >= 0)
            ;
        assert_int_equal(u.number, 100);
        bench_done(&b);
    }
}

/* A path that is of no use for what waits has credit, and nobody starves by it. */
static void test_round_robin_with_a_far_path(void **state)
{
    const struct session_preferences p = { .scheduler = scheduler_find("drr") };
    const struct media_spec spec = { .unit = { .lifetime = 60 * MSEC }, .interval = 10 * MSEC, .bytes = 2000 };

    assert_true(play(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=120ms"), &p, &spec, 10 * SEC).bad < .01);
}

static void test_the_peer_begins_anew(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"), NULL);
    struct media *m = media_new(b.node, 0, b.agent, 0, &video);

    world_run_for(b.w, 1 * SEC);
    world_restart(b.agent);
    world_run_for(b.w, 5 * SEC);
    assert_int_equal(m->error, -ECONNRESET);
    bench_done(&b);
    media_free(m);
}

/* --- objectives --- */

/* The share of what was sent that went by the second path. */
static double by_second(const char *const params[], const struct session_preferences *p)
{
    const struct media_spec spec = { .interval = 10 * MSEC, .bytes = 1000 };
    struct bench b = make(1, params, p);
    struct media *m = media_new(b.node, 0, b.agent, 0, &spec);
    struct session_path_info i[2];
    uint64_t before[2];

    world_run_for(b.w, 10 * SEC); /* until the paths are known */
    for (unsigned slot = 0; slot < 2; slot++) {
        session_path_info(node_peer_session(b.node->node, 0), slot, b.w->now, &i[slot]);
        before[slot] = i[slot].metrics.tx_bytes;
    }
    world_run_for(b.w, 20 * SEC);
    for (unsigned slot = 0; slot < 2; slot++)
        session_path_info(node_peer_session(b.node->node, 0), slot, b.w->now, &i[slot]);
    bench_done(&b);
    media_free(m);
    return (double)(i[1].metrics.tx_bytes - before[1]) /
           (double)(i[0].metrics.tx_bytes - before[0] + i[1].metrics.tx_bytes - before[1]);
}

static void test_objectives(void **state)
{
    static const char *const links[] = { "rate=20mbit delay=20ms jitter=20ms loss=3%", "rate=20mbit delay=40ms", NULL };
    static const struct {
        const char *name;
        struct session_preferences p;
        bool second;
    } cases[] = {
        { "none", { .objectives = { OBJECTIVE_NONE } }, false },
        { "latency", { .objectives = { OBJECTIVE_LATENCY } }, false },
        { "jitter", { .objectives = { OBJECTIVE_JITTER } }, true },
        { "loss", { .objectives = { OBJECTIVE_LOSS } }, true },
        { "latency within 50 ms, loss",
          { .objectives = { OBJECTIVE_LATENCY, OBJECTIVE_LOSS }, .latency_tolerance = 50 * MSEC },
          true },
        { "latency, loss", { .objectives = { OBJECTIVE_LATENCY, OBJECTIVE_LOSS } }, false },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double share = by_second(links, &cases[i].p);

        printf("# objectives %s: %.2f by the second path\n", cases[i].name, share);
        assert_true(cases[i].second ? share > .9 : share < .3);
    }
}

/* Frames of 30 kB, shared by rate between a steady path and one whose delay varies by 80 ms: what the second brings is
 * late. A scheduler that shares by rate does not see it; the application does, and says so. Late frames of 10 s each:
 * before it speaks, when three steps have been taken, and a minute and a half later, when it has been content long
 * enough for all of them to be taken back. */
static void feedback(bool of_sent, unsigned late[3])
{
    static const struct media_spec frames = { .unit = { .lifetime = 90 * MSEC }, .interval = 33333, .bytes = 30000 };
    const struct session_preferences by_rate = { .scheduler = scheduler_find("drr") };
    struct bench b = make(1, PARAMS("rate=20mbit delay=20ms", "rate=20mbit delay=20ms jitter=80ms"), &by_rate);
    struct media *m = media_new(b.node, 0, b.agent, 0, &frames);
    struct world_end *who = of_sent ? b.node : b.agent;
    unsigned before;

    world_run_for(b.w, 10 * SEC);
    late[0] = m->late + m->sent - m->read;
    for (unsigned said = 0; said < 50; said++) { /* each frame of five seconds or so */
        session_feedback(node_peer_session(who->node, 0), FEEDBACK_LATE, of_sent, b.w->now);
        world_peer_wake(who, 0);
        world_run_for(b.w, 100 * MSEC);
    }
    before = m->late + m->sent - m->read;
    world_run_for(b.w, 10 * SEC);
    late[1] = m->late + m->sent - m->read - before;
    for (unsigned said = 0; said < 95; said++) {
        session_feedback(node_peer_session(who->node, 0), FEEDBACK_GOOD, of_sent, b.w->now);
        world_peer_wake(who, 0);
        world_run_for(b.w, 1 * SEC);
    }
    before = m->late + m->sent - m->read;
    world_run_for(b.w, 10 * SEC);
    late[2] = m->late + m->sent - m->read - before;
    media_stop(m);
    world_run_for(b.w, 1 * SEC);
    bench_done(&b);
    media_free(m);
}

static void test_feedback(void **state)
{
    for (int of_sent = 0; of_sent < 2; of_sent++) {
        unsigned late[3];

        feedback(of_sent, late);
        printf("# late frames of 300: %u before the %s says so, %u after, %u when it has been content\n", late[0],
               of_sent ? "sender" : "receiver", late[1], late[2]);
        assert_true(late[0] >= 10);
        assert_true(late[1] <= late[0] / 10);
        assert_true(late[2] > late[1]);
    }
}

/* An objective keeps to the path that loses nothing while that keeps up; too slow, and the faster one counts. */
static void test_feedback_too_slow(void **state)
{
    const struct session_preferences lossless = { .objectives = { OBJECTIVE_LOSS } };
    const struct media_spec steady = { .interval = 10 * MSEC, .bytes = 10000 }; /* 8 Mbit/s */
    struct bench b = make(1, PARAMS("rate=10mbit delay=40ms", "rate=20mbit delay=20ms loss=3%"), &lossless);
    struct media *m = media_new(b.node, 0, b.agent, 0, &steady);
    struct session_path_info before, after;
    uint64_t by_second[2];

    for (int said = 0; said < 2; said++) {
        world_run_for(b.w, 5 * SEC);
        session_path_info(node_peer_session(b.node->node, 0), 1, b.w->now, &before);
        world_run_for(b.w, 5 * SEC);
        session_path_info(node_peer_session(b.node->node, 0), 1, b.w->now, &after);
        by_second[said] = after.metrics.tx_bytes - before.metrics.tx_bytes;
        for (unsigned i = 0; i < 3; i++) {
            session_feedback(node_peer_session(b.node->node, 0), FEEDBACK_SLOW, true, b.w->now);
            world_run_for(b.w, 1100 * MSEC);
        }
    }
    printf("# by the second path of 5 s of 8 Mbit/s: %llu bytes, and %llu when it is too slow\n",
           (unsigned long long)by_second[0], (unsigned long long)by_second[1]);
    assert_true(by_second[1] > 2 * by_second[0]);
    media_stop(m);
    world_run_for(b.w, 1 * SEC);
    bench_done(&b);
    media_free(m);
}

/* Sent twice, a frame is late only if both copies are. */
static void test_redundant(void **state)
{
    const struct session_preferences p = { .scheduler = scheduler_find("redundant") };
    const char *const links[] = { "rate=10mbit delay=60ms loss=10%", "rate=10mbit delay=60ms loss=10%", NULL };
    struct media_spec unreliable = { .unit = { .unreliable = true }, .interval = 10 * MSEC, .bytes = 1000 };
    struct outcome once = play(1, links, NULL, &video, 20 * SEC), twice = play(1, links, &p, &video, 20 * SEC);

    printf("# 10 %% loss, round trip 120 ms: %.3f bad, sent twice %.3f\n", once.bad, twice.bad);
    assert_true(once.bad > .1 && twice.bad < once.bad / 2);
    once = play(1, PARAMS("rate=20mbit delay=10ms loss=5%", "rate=20mbit delay=20ms loss=5%"), NULL, &unreliable,
                20 * SEC);
    twice =
        play(1, PARAMS("rate=20mbit delay=10ms loss=5%", "rate=20mbit delay=20ms loss=5%"), &p, &unreliable, 20 * SEC);
    printf("# unreliable, 5 %% loss: %.4f bad, sent twice %.4f\n", once.bad, twice.bad);
    assert_true(once.bad > .03 && twice.bad < .01);
    unreliable.bytes = 4000; /* pieces that one of the paths is too narrow for */
    twice = play(1, PARAMS("rate=20mbit delay=10ms mtu=1280", "rate=20mbit delay=20ms"), &p, &unreliable, 20 * SEC);
    assert_true(twice.bad < .01);
}

/* What the paths of the first choice cannot carry goes by the others. */
static void test_objectives_overflow(void **state)
{
    const struct session_preferences p = { .objectives = { OBJECTIVE_LATENCY } };
    struct outcome o = play(1, PARAMS("rate=3mbit delay=10ms", "rate=10mbit delay=40ms"), &p, &video, 20 * SEC);

    assert_true(o.bad < .01 && o.delay < 60 * MSEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_a_path_goes),
        cmocka_unit_test(test_lossless),
        cmocka_unit_test(test_unreliable),
        cmocka_unit_test(test_without_any_path_for_a_while),
        cmocka_unit_test(test_the_end_comes_last),
        cmocka_unit_test(test_the_end_comes_after_what_is_gone),
        cmocka_unit_test(test_round_robin_with_a_far_path),
        cmocka_unit_test(test_the_peer_begins_anew),
        cmocka_unit_test(test_objectives),
        cmocka_unit_test(test_objectives_overflow),
        cmocka_unit_test(test_feedback),
        cmocka_unit_test(test_feedback_too_slow),
        cmocka_unit_test(test_redundant),
    };
    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
