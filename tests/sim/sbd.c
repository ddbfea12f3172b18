/* Shared bottlenecks in virtual time: does a session find out which of its paths wait in one queue, and which do not?
 *
 *             +-- access 1 --+-- trunk 1 --+
 *     node  --+-- access 2 --'             +-- core -- agent
 *             +-- access 3 ----- trunk 2 --+
 *                                  ^
 *                                  others: TCP flows that come and go (sim/cross.h)
 *
 * An application sends all that it can over all paths, or in bursts. Trunks are narrow, accesses are four times as
 * fast, so queues are in the trunks, which are known: whether the session is right is counted over all pairs of paths
 * and all intervals after a time to get going. Precision is the share of pairs said to share a queue that do, recall
 * the share of those that do of which it is said.
 *
 * Environments are drawn from their number: trunks of 5 to 100 Mbit/s with queues of half to twice the product of rate
 * and round trip, accesses of 5 to 80 ms one way, half of them with losses up to .5 %, a third with jitter up to 3 ms.
 * In half of those with several trunks all have one rate, queue and load. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "path/sbd.h"
#include "sim/cross.h"
#include "sim/transfer.h"
#include "tests/sim/sim.h"

#define ENVIRONMENTS 40
#define SEEDS 1
#define WARM (20 * SEC)
#define MEASURED (50 * SBD_T)
#define PATHS_MAX 4
#define FLOWS_MAX 8
#define TRUNK_PACKETS 8192

enum scene { SHARED, SEPARATE, ONE_CONGESTED, MIXED, SCENE_COUNT };

struct environment {
    enum scene scene;
    bool up;     /* from the node to the agent, else down */
    bool bursts; /* of the application */
    unsigned paths, trunks;
    struct {
        unsigned trunk;
        char params[96];
    } path[PATHS_MAX];
    struct {
        char params[96];
        double bps;
        unsigned flows; /* of others; 0: it has only ours */
        span rtt;       /* of others */
        span busy, pause;
    } trunk[PATHS_MAX];
};

static double between(struct prng *p, double low, double high)
{
    return low + prng_unit(p) * (high - low);
}

static double log_between(struct prng *p, double low, double high)
{
    return low * pow(high / low, prng_unit(p));
}

static void draw_trunk(struct environment *e, unsigned i, struct prng *p, double mbit, bool congested)
{
    span rtt = (span)(between(p, 20, 120) * MSEC);

    e->trunk[i].bps = mbit * 1e6;
    e->trunk[i].rtt = rtt;
    e->trunk[i].flows = congested ? 3 + (unsigned)prng_below(p, FLOWS_MAX - 2) : 0;
    e->trunk[i].busy = (span)(between(p, .5, 3) * SEC);
    e->trunk[i].pause = (span)(between(p, .5, 3) * SEC);
    snprintf(e->trunk[i].params, sizeof(e->trunk[i].params), "rate=%.2fmbit delay=1ms queue=%.1fms", mbit,
             between(p, .5, 2) * (double)rtt / MSEC);
}

static void draw_path(struct environment *e, unsigned i, struct prng *p, double mbit)
{
    double delay = log_between(p, 5, 80), loss = prng_below(p, 2) ? between(p, 0, .5) : 0,
           jitter = prng_below(p, 3) == 0 ? between(p, .2, 3) : 0;

    e->path[i].trunk = e->scene == SHARED ? 0 : e->scene == MIXED ? i / 2 : i;
    snprintf(e->path[i].params, sizeof(e->path[i].params), "rate=%.0fmbit delay=%.1fms loss=%.2f%% jitter=%.1fms",
             4 * mbit, delay, loss, MIN(jitter, delay / 4));
}

static struct environment draw(unsigned number, bool others)
{
    struct environment e = { .scene = (enum scene)(number % SCENE_COUNT),
                             .up = number / SCENE_COUNT % 3 == 2,
                             .bursts = number / SCENE_COUNT % 4 == 3 };
    bool alike = number / SCENE_COUNT % 2 == 0 && e.scene != ONE_CONGESTED;
    struct prng p;
    double mbit;

    prng_init(&p, 1000 + number);
    mbit = log_between(&p, 5, 100);
    e.paths = e.scene == ONE_CONGESTED ? 2 : (e.scene == MIXED ? 3 : 2) + (unsigned)prng_below(&p, 2);
    for (unsigned i = 0; i < e.paths; i++)
        draw_path(&e, i, &p, mbit);
    e.trunks = e.path[e.paths - 1].trunk + 1;
    draw_trunk(&e, 0, &p, mbit, others);
    for (unsigned i = 1; i < e.trunks; i++) {
        draw_trunk(&e, i, &p, log_between(&p, 5, 100), others && e.scene != ONE_CONGESTED);
        if (alike)
            e.trunk[i] = e.trunk[0];
    }
    return e;
}

/* Pairs of paths, over all intervals. */
struct verdicts {
    unsigned right, wrong, missed, rightly_apart;
};

static void judge(const struct environment *e, const struct session *s, instant now, struct verdicts *v)
{
    struct session_path_info info[PATHS_MAX];

    for (unsigned i = 0; i < e->paths; i++) {
        session_path_info(s, i, now, &info[i]);
        for (unsigned j = 0; j < i; j++) {
            bool same = e->path[i].trunk == e->path[j].trunk,
                 said = info[i].group > 0 && info[i].group == info[j].group;

            v->right += same && said;
            v->wrong += !same && said;
            v->missed += same && !said;
            v->rightly_apart += !same && !said;
        }
    }
}

static unsigned others_begin(const struct environment *e, uint64_t seed, struct world *w,
                             struct world_trunk *const trunks[], struct cross *ret[])
{
    unsigned count = 0;

    for (unsigned i = 0; i < e->trunks; i++)
        for (unsigned j = 0; j < e->trunk[i].flows; j++) {
            struct cross_options o = {
                .tcp = { .cc = j % 2 ? &tcp_cc_cubic : &tcp_cc_reno, .loss = TCP_LOSS_RACK },
                .rest = e->trunk[i].rtt * (4 + j % 3) / 4,
                .bytes_mean = (uint64_t)(e->trunk[i].bps / 8 * (double)e->trunk[i].busy / SEC * 2 / e->trunk[i].flows),
                .pause_mean = e->trunk[i].pause,
            };

            ret[count++] = cross_new(w, e->up ? &trunks[i]->up : &trunks[i]->down, &o, seed * 1000 + i * 100 + j);
        }
    return count;
}

static struct verdicts run(const struct environment *e, uint64_t seed)
{
    static const struct delivery_options bytes = { 0 };
    const struct node_options o = { .delivery = &bytes, .pool_pkts = 16384 };
    struct cross *others[PATHS_MAX * FLOWS_MAX];
    const char *params[PATHS_MAX + 1] = { NULL };
    struct world_trunk *trunks[PATHS_MAX];
    struct verdicts v = { 0 };
    struct transfer *t;
    struct session *s;
    struct prng p;
    unsigned count;
    instant begin;
    struct bench b;

    for (unsigned i = 0; i < e->paths; i++)
        params[i] = e->path[i].params;
    prng_init(&p, seed);
    b = bench_make(seed, &o, false, params);
    for (unsigned i = 0; i < e->trunks; i++)
        trunks[i] = world_trunk(b.w, e->trunk[i].params, TRUNK_PACKETS);
    for (unsigned i = 0; i < e->paths; i++)
        world_uplink_behind(world_uplink(b.node, i), trunks[e->path[i].trunk]);
    count = others_begin(e, seed, b.w, trunks, others);
    bench_begin(&b);
    t = e->up ? transfer_new(b.node, 0, b.agent, 0, UINT64_MAX, false)
              : transfer_new(b.agent, 0, b.node, 0, UINT64_MAX, false);
    s = node_peer_session((e->up ? b.node : b.agent)->node, 0);
    begin = b.w->now;
    for (instant turn = 0; b.w->now < begin + WARM + MEASURED && !b.w->failed;) {
        if (e->bursts && b.w->now >= turn) {
            t->paused = !t->paused;
            turn = b.w->now + (span)(between(&p, .3, 3) * SEC);
        }
        world_run_for(b.w, SBD_T);
        if (b.w->now >= begin + WARM)
            judge(e, s, b.w->now, &v);
    }
    transfer_stop(t);
    bench_done(&b);
    transfer_free(t);
    while (count > 0)
        cross_free(others[--count]);
    return v;
}

static void add(struct verdicts *sum, const struct verdicts *v)
{
    sum->right += v->right;
    sum->wrong += v->wrong;
    sum->missed += v->missed;
    sum->rightly_apart += v->rightly_apart;
}

static double of(unsigned part, unsigned rest)
{
    return part + rest > 0 ? (double)part / (part + rest) : 1;
}

static void print(const char *name, const struct verdicts *v)
{
    printf("# %-10s %6u %6u %6u %6u  %.3f %.3f\n", name, v->right, v->wrong, v->missed, v->rightly_apart,
           of(v->right, v->wrong), of(v->right, v->missed));
}

/* Each environment with so many seeds; the sum over all. */
static struct verdicts run_all(bool others, unsigned step, uint64_t seeds)
{
    static const char *const names[SCENE_COUNT] = { "shared", "separate", "one", "mixed" };
    struct verdicts sums[SCENE_COUNT] = { 0 }, all = { 0 }, bursts = { 0 };

    for (unsigned n = 0; n < ENVIRONMENTS; n += step)
        for (uint64_t seed = 1; seed <= seeds; seed++) {
            struct environment e = draw(n, others);
            struct verdicts v = run(&e, seed);

            if (getenv("HAWSER_SIM_VERBOSE")) {
                printf("# %2u, %u: ", n, (unsigned)seed);
                print(names[e.scene], &v);
            }
            add(&sums[e.scene], &v);
            add(&all, &v);
            if (e.bursts)
                add(&bursts, &v);
        }
    printf("# pairs of paths rightly together, wrongly so, missed, rightly apart; precision, recall\n");
    for (unsigned i = 0; i < SCENE_COUNT; i++)
        print(names[i], &sums[i]);
    print("bursts", &bursts);
    print("all", &all);
    return all;
}

/* With all of them 1.000 and .989 are reached. */
static void test_groups(void **state)
{
    struct verdicts v = run_all(true, sim_brief() ? 7 : 1, sim_brief() ? 1 : SEEDS);

    assert_true(of(v.right, v.wrong) >= .98);
    assert_true(of(v.right, v.missed) >= .95);
}

/* Without others there is but our own search for more rate. What is said must be right all the same; how much is missed
 * is for the reader. */
static void test_without_others(void **state)
{
    struct verdicts v = run_all(false, sim_brief() ? 13 : 3, 1);

    assert_true(of(v.right, v.wrong) >= .9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_without_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
