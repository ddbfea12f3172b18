/* What the reader of one inner TCP flow (CUBIC) sees when one of two equal uplinks goes in its middle; in virtual time.
 *
 *            +-- uplink 1, goes --+
 *     node --+                    +-- core -- agent
 *            +-- uplink 2 --------+
 *
 * The flow goes up or down; the uplink loses its carrier (the node is told, the agent hears of it by the other one) or
 * goes silent. Told is the longest time in which nothing could be read: until all that was on the way has come by the
 * other uplink, and again when the flow learns by a drop that the rate has halved. Kinds of fault differ by when they
 * hit, so the median of some is asked for, and of the longest that it stays within what a drop costs at any time. */
#include "tests/sim/sim.h"

#define SEEDS 12
#define SETTLE (2600 * MSEC) /* the end of slow start, and some of what follows it */
#define AFTER (800 * MSEC)   /* both drops that halve a window of CUBIC */
#define RTT (20 * MSEC)

enum how { CARRIER, SILENT, HOW_COUNT };

static span stall(uint64_t seed, enum how how, bool up, const char *link)
{
    struct bench b = bench_make(seed, NULL, false, PARAMS(link, link));
    struct traffic_flow *f;
    span longest;

    bench_begin(&b);
    f = up ? traffic_window(b.t, b.node, b.agent, 0, NULL) : traffic_window(b.t, b.agent, b.node, 0, NULL);
    world_run_for(b.w, SETTLE + (span)prng_below(&b.w->prng, 200 * MSEC));
    traffic_gap_reset(f);
    if (how == CARRIER)
        world_carrier(world_uplink(b.node, 0), false);
    else
        world_link(world_uplink(b.node, 0), "blackhole=1");
    world_run_for(b.w, AFTER);
    longest = traffic_stall(f);
    traffic_stop(f);
    bench_done(&b);
    return longest;
}

static void test_stalls(void **state)
{
    static const char *const links[] = { "rate=20mbit delay=10ms", "rate=100mbit delay=10ms" };
    static const char *const names[HOW_COUNT] = { "carrier lost", "silent" };
    /* Of the median, up and down: asked for. Silence is told by the lack of acknowledgements. */
    static const span most[HOW_COUNT][2] = { { 30 * MSEC, 30 * MSEC + RTT }, { 150 * MSEC, 150 * MSEC } };

    for (size_t l = 0; l < ARRAY_LEN(links); l++) {
        for (int how = 0; how < HOW_COUNT; how++) {
            for (int down = 0; down < 2; down++) {
                span sorted[SEEDS];

                for (size_t i = 0; i < SEEDS; i++) {
                    span t = stall(i + 1, (enum how)how, !down, links[l]);
                    size_t at = i;

                    for (; at > 0 && sorted[at - 1] > t; at--)
                        sorted[at] = sorted[at - 1];
                    sorted[at] = t;
                }
                printf("# two of %s, %s, %s: nothing read for %.1f ms, at most %.1f (of %d)\n", links[l], names[how],
                       down ? "down" : "up", (double)sorted[SEEDS / 2] / MSEC, (double)sorted[SEEDS - 1] / MSEC, SEEDS);
                assert_true(sorted[SEEDS / 2] <= most[how][down]);
                assert_true(sorted[SEEDS - 1] <= 150 * MSEC);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stalls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
