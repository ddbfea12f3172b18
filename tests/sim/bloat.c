/* Latency under load on links whose queues hold a second, in virtual time: the lab's scenario `bloat`.
 *
 *            +-- DSL: 20 Mbit/s down, 2 up, 10 ms -----------------+
 *     node --+                                                     +-- core -- agent
 *            +-- LTE: a trace of 4 to 24 down, a third up, 25 ms --+
 *
 * One TCP flow (CUBIC, RACK) for ten seconds, of which the last eight count; beside them a small packet goes each 50 ms
 * in both directions at once, and what the two took together is the round trip of a ping. Looked at is how much longer
 * than those of the idle links 95 of 100 are at most, the middle of several runs, which begin anywhere in the trace.
 * The LTE alone is told only: that its rate has fallen to a third is known once what it no longer carries stands in its
 * queue, where pings that have no other way stand too. */
#include "tests/sim/sim.h"

#define WARM (2 * SEC)
#define RUN (8 * SEC)
#define EVERY (50 * MSEC)
#define PINGS 140 /* in 7 s: the last ones come back */
#define PING_LEN 84
#define RUNS 16
#define PAYLOAD_SHARE (1340.0 / (1340 + 52 + RECORD_OVERHEAD + 28)) /* of the IP bytes of a full record */
#define ADDED_MAX 30.0                                              /* ms */
#define SHARE_MIN .9

enum way { DOWN, UP, WAYS };
enum { DSL = 1, LTE = 2, BOTH = DSL | LTE };

/* As the scenario's: each half second another rate. */
static struct link_trace lte(unsigned divisor)
{
    static const double mbit[] = { 12, 20, 24, 8, 4, 16, 10, 6 };
    struct link_trace t = { .at_ms = test_malloc(8192 * sizeof(*t.at_ms)) };
    double credit = 0;

    for (uint32_t ms = 0; ms < 4000; ms++)
        for (credit += mbit[ms / 500] * 1000 / 8 / LINK_TRACE_MTU / divisor; credit >= 1; credit--)
            t.at_ms[t.count++] = ms;
    t.at_ms[t.count++] = 4000;
    return t;
}

struct pings {
    struct traffic_flow *flow[WAYS];
    span delays[WAYS][PINGS];
};

static void pings_begin(struct pings *p, struct bench *b)
{
    for (enum way way = DOWN; way < WAYS; way++) {
        struct traffic_flow *f =
            traffic_steady(b->t, way == DOWN ? b->agent : b->node, way == DOWN ? b->node : b->agent,
                           PING_LEN * 8 * SEC / EVERY, PING_LEN, false);

        f->delays = p->delays[way];
        f->delays_max = PINGS;
        p->flow[way] = f;
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

/* The 95th percentile of the round trips in ms, of which there are so many at least. No more are sent. */
static double pings_end(struct pings *p, size_t least)
{
    double rtt[PINGS];
    size_t n = 0;

    for (size_t i = 0; i < PINGS; i++)
        if (p->delays[DOWN][i] > 0 && p->delays[UP][i] > 0)
            rtt[n++] = (double)(p->delays[DOWN][i] + p->delays[UP][i]) / MSEC;
    for (enum way way = DOWN; way < WAYS; way++) {
        p->flow[way]->delays_max = 0;
        traffic_stop(p->flow[way]);
    }
    assert_true(n >= least);
    qsort(rtt, n, sizeof(rtt[0]), by_size);
    return rtt[(n * 95 + 99) / 100 - 1];
}

struct outcome {
    double added_ms, mbps;
};

static struct outcome once(unsigned links, enum way way, unsigned run)
{
    const struct tcp_options options = { &tcp_cc_cubic, TCP_LOSS_RACK };
    struct link_trace down = lte(1), up = lte(3);
    struct bench b = bench_make(run + 1, NULL, false, links == BOTH ? PARAMS("", "") : PARAMS(""));
    struct pings idle = { 0 }, loaded = { 0 };
    struct traffic_flow *f;
    struct outcome o;
    uint64_t at_warm;

    if (links & DSL) {
        struct world_uplink *u = world_uplink(b.node, 0);

        world_link_dir(&u->down, "rate=20mbit delay=10ms queue=1s");
        world_link_dir(&u->up, "rate=2mbit delay=10ms queue=1s");
    }
    if (links & LTE) {
        struct world_uplink *u = world_uplink(b.node, links == BOTH);

        world_link_dir(&u->down, "rate=12mbit delay=25ms queue=1s");
        world_link_dir(&u->up, "rate=4mbit delay=25ms queue=1s");
        world_link_trace(&u->down, &down);
        world_link_trace(&u->up, &up);
    }
    bench_begin(&b);
    pings_begin(&idle, &b);
    world_run_for(b.w, 3 * SEC + run * 4 * SEC / RUNS);
    o.added_ms = -pings_end(&idle, 55);
    f = traffic_window(b.t, way == DOWN ? b.agent : b.node, way == DOWN ? b.node : b.agent, 0, &options);
    world_run_for(b.w, WARM);
    at_warm = f->received_bytes;
    pings_begin(&loaded, &b);
    world_run_for(b.w, RUN);
    o.added_ms += pings_end(&loaded, PINGS * 9 / 10);
    o.mbps = traffic_bps(f->received_bytes - at_warm, RUN) / 1e6;
    traffic_stop(f);
    bench_done(&b);
    test_free(down.at_ms);
    test_free(up.at_ms);
    return o;
}

/* The middle of the delays, the mean of the rates. */
static struct outcome runs(unsigned links, enum way way)
{
    const unsigned step = sim_brief() ? 4 : 1;
    double added[RUNS];
    struct outcome r = { 0 };
    size_t n = 0;

    for (unsigned run = 0; run < RUNS; run += step) {
        struct outcome o = once(links, way, run);

        added[n++] = o.added_ms;
        r.mbps += o.mbps;
    }
    qsort(added, n, sizeof(added[0]), by_size);
    r.added_ms = (added[n / 2] + added[(n - 1) / 2]) / 2;
    r.mbps /= (double)n;
    printf("# %-4s %-4s %5.1f ms added, %5.1f at worst, %5.2f Mbit/s\n",
           links == BOTH  ? "both"
           : links == DSL ? "DSL"
                          : "LTE",
           way == DOWN ? "down" : "up", r.added_ms, added[n - 1], r.mbps);
    return r;
}

static bool good(struct outcome o, double mbps)
{
    return o.added_ms <= ADDED_MAX && o.mbps >= SHARE_MIN * mbps;
}

static void test_down(void **state)
{
    struct outcome dsl = runs(DSL, DOWN), cell = runs(LTE, DOWN), both = runs(BOTH, DOWN);

    assert_true(good(dsl, 20 * PAYLOAD_SHARE));
    assert_true(good(both, dsl.mbps + cell.mbps));
}

static void test_up(void **state)
{
    struct outcome dsl = runs(DSL, UP), cell = runs(LTE, UP), both = runs(BOTH, UP);

    assert_true(good(dsl, 2 * PAYLOAD_SHARE));
    assert_true(good(both, dsl.mbps + cell.mbps));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_down),
        cmocka_unit_test(test_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
