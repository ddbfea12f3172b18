/* A path of which something is known when it begins, over a simulated bottleneck (path_world.h): a short transfer is
 * done a round trip or more earlier, and what was wrong is over after one. */
#include <stdio.h>

#include "path/cc.h"
#include "tests/unit/path_world.h"
#include "tests/unit/test.h"

#define RTT (80 * MSEC)
#define RECORD 1400
#define SHORT_RECORDS ((80 << 10) / RECORD + 1)

/* A world whose path has been probed and has sent nothing else; known_bps 0: nothing is known. */
static struct world begin(enum cc kind, uint64_t link_bps, span known_rtt, uint64_t known_bps)
{
    struct world w = { .congestion = kind, .known = { known_rtt, known_bps } };

    world_init(&w, link_bps, RTT / 2, link_bps / 8 * RTT / SEC, 1);
    world_run(&w, 300 * MSEC);
    assert_int_equal(path_state(w.path[0]), PATH_ACTIVE);
    w.backlog = true;
    return w;
}

/* Until so many records were acknowledged. */
static span time_of(struct world *w, uint64_t records)
{
    uint64_t before = w->acked;
    instant began = w->now;

    while (w->acked < before + records)
        world_run(w, 100);
    return w->now - began;
}

static span short_transfer(enum cc kind, span known_rtt, uint64_t known_bps)
{
    struct world w = begin(kind, 50000000, known_rtt, known_bps);
    span t = time_of(&w, SHORT_RECORDS);

    world_free(&w);
    return t;
}

/* Half of 50 Mbit/s brings the 59 records in 26 ms, and the last of them is acknowledged a round trip later, and what
 * an acknowledgement may wait. Cold, not even a window of 32 does in one: two round trips and what is left of it. */
static void test_a_short_transfer(void **state)
{
    for (int kind = 0; kind < CC_COUNT; kind++) {
        span cold = short_transfer(kind, 0, 0), known = short_transfer(kind, RTT, 50000000);

        printf("# %s: 80 KiB over 50 Mbit/s and 80 ms in %lld ms, known %lld ms\n", cc_get(kind)->name,
               (long long)cold / 1000, (long long)known / 1000);
        assert_true(cold >= RTT + RTT / 2);
        assert_true(known <= RTT + 27 * MSEC + PATH_ACK_DELAY_MAX);
    }
}

/* A tenth of the round trip, or the tenfold and more, is another path: as if nothing had been known. */
static void test_another_path(void **state)
{
    for (int kind = 0; kind < CC_COUNT; kind++) {
        span cold = short_transfer(kind, 0, 0);

        assert_int_equal(short_transfer(kind, RTT * 2 + 10 * MSEC, 50000000), cold);
        assert_int_equal(short_transfer(kind, RTT / 11, 50000000), cold);
    }
}

/* A rate that is far below the path's is no limit: the first window is what it would have been. */
static void test_less_than_there_is(void **state)
{
    for (int kind = 0; kind < CC_COUNT; kind++)
        assert_int_equal(short_transfer(kind, RTT, 100000), short_transfer(kind, 0, 0));
}

/* Five times what there is: in the first round trip half of that is sent, 250 kB, by a window that is paced to 5/4 of
 * its rate in 64 ms; 80 kB pass meanwhile, 100 kB stand in the queue, and 70 kB are lost. After three round trips
 * little tells it from one that began cold. */
static void test_more_than_there_is(void **state)
{
    for (int kind = 0; kind < CC_COUNT; kind++) {
        double share[2];
        uint64_t dropped[2], later[2];

        for (int known = 0; known < 2; known++) {
            struct world w = begin(kind, 10000000, known ? RTT : 0, known ? 50000000 : 0);

            world_run(&w, 3 * RTT);
            dropped[known] = w.link[0].dropped_pkts;
            world_reset_stats(&w);
            world_run(&w, 5 * SEC);
            later[known] = w.link[0].dropped_pkts;
            share[known] = world_utilisation(&w, 5 * SEC);
            world_free(&w);
        }
        printf("# %s: lost in three round trips %llu, cold %llu; in the 5 s after them %llu, cold %llu; carried %.3f, "
               "cold %.3f\n",
               cc_get(kind)->name, (unsigned long long)dropped[1], (unsigned long long)dropped[0],
               (unsigned long long)later[1], (unsigned long long)later[0], share[1], share[0]);
        assert_true(dropped[1] <= 70000 / RECORD + dropped[0] + 8);
        assert_true(share[1] >= .95 * share[0]);
    }
}

/* What nobody tried within a minute is forgotten. */
static void test_it_is_forgotten(void **state)
{
    for (int kind = 0; kind < CC_COUNT; kind++) {
        struct world w = { .congestion = kind, .known = { RTT, 50000000 } };
        struct path_metrics m;

        world_init(&w, 50000000, RTT / 2, 500000, 1);
        world_run(&w, 300 * MSEC);
        path_get_metrics(w.path[0], w.now, &m);
        assert_true(m.window_bytes >= 249000 && m.window_bytes <= 251000);
        world_run(&w, CC_KNOWN_LIFE + PATH_PROBE_IDLE);
        path_get_metrics(w.path[0], w.now, &m);
        assert_true(m.window_bytes <= 32 * 1400 + 20000);
        world_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_short_transfer),   cmocka_unit_test(test_another_path),
        cmocka_unit_test(test_less_than_there_is), cmocka_unit_test(test_more_than_there_is),
        cmocka_unit_test(test_it_is_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
