/* What a session takes where others are: a stream over two paths, and a TCP flow of somebody else's (sim/cross.h).
 *
 *     TCP sender --+
 *                  +-- access link, --- core --+-- uplink 1: delay --+
 *     agent -------+   the bottleneck          +-- uplink 2: delay --+-- node
 *                                              +-- TCP receiver
 *
 * Its queue holds the product of its rate and the first path's round trip. Shares are of what the link carries, bytes
 * of the outer packets, over `run` seconds after a quarter as many. The TCP flow begins within the stream's first
 * second. */
#include "sim/cross.h"
#include "sim/transfer.h"
#include "tests/sim/sim.h"

struct setting {
    double mbit;
    unsigned delay_ms[2]; /* one way, of each path */
};

struct race {
    struct bench b;
    struct transfer *t;
    struct cross *c; /* NULL: none */
    unsigned paths;
};

struct outcome {
    double session, tcp; /* of the link */
};

static const struct delivery_options bytes_options = { 0 };

static struct race race_begin(const struct setting *s, unsigned paths, const struct fairness_options *f,
                              const struct tcp_cc *cc, uint64_t seed)
{
    const struct node_options o = { .delivery = &bytes_options, .pool_pkts = 16384, .fairness = *f };
    unsigned rtt_ms = 2 * s->delay_ms[0];
    const struct cross_options tcp = { .tcp = { .cc = cc, .loss = TCP_LOSS_RACK }, .rest = rtt_ms * MSEC };
    struct race r = { .paths = paths };
    char links[2][32], access[64];

    snprintf(access, sizeof(access), "rate=%.3fmbit queue=%.0f", s->mbit, s->mbit * 1e3 / 8 * rtt_ms);
    for (unsigned i = 0; i < 2; i++)
        snprintf(links[i], sizeof(links[i]), "delay=%ums", s->delay_ms[i]);
    r.b = bench_make(seed, &o, false, PARAMS(links[0], paths > 1 ? links[1] : NULL));
    world_agent_access(r.b.agent, access, 8192);
    bench_begin(&r.b);
    r.t = transfer_new(r.b.agent, 0, r.b.node, 0, UINT64_MAX, false);
    world_run_for(r.b.w, (span)(seed * 137 % 1000) * MSEC);
    r.c = cc ? cross_new(r.b.w, r.b.agent->access, &tcp, seed) : NULL;
    return r;
}

static void race_end(struct race *r)
{
    transfer_stop(r->t);
    bench_done(&r->b);
    transfer_free(r->t);
    cross_free(r->c);
}

static struct outcome carried(const struct race *r)
{
    struct outcome o = { .tcp = r->c ? (double)r->c->wire_bytes : 0 };

    for (unsigned i = 0; i < r->paths; i++)
        o.session += (double)world_uplink(r->b.node, i)->rx_bytes;
    return o;
}

static struct outcome share(struct race *r, const struct setting *s, span run)
{
    struct outcome before = carried(r), after;
    double link = s->mbit * 1e6 / 8 * (double)run / SEC;

    world_run_for(r->b.w, run);
    after = carried(r);
    return (struct outcome){ (after.session - before.session) / link, (after.tcp - before.tcp) / link };
}

static struct outcome compete(const struct setting *s, unsigned paths, const struct fairness_options *f,
                              const struct tcp_cc *cc, span run, uint64_t seed)
{
    struct race r = race_begin(s, paths, f, cc, seed);
    struct outcome o;

    world_run_for(r.b.w, run / 4);
    o = share(&r, s, run);
    race_end(&r);
    printf("# %-11s %-5s %u of %3u+%3u ms, %2.0f Mbit/s, beside %-5s: %.2f and %.2f\n",
           f->mode == FAIRNESS_COUPLED ? "coupled" : "independent", cc_get(f->congestion)->name, paths,
           2 * s->delay_ms[0], 2 * s->delay_ms[1], s->mbit, cc->name, o.session, o.tcp);
    return o;
}

/* --- one bottleneck --- */

#define SEEDS 2
#define SAME_DELAY 4 /* of the settings: so many have two paths of the same round trip */

static const struct setting settings[] = {
    { 5, { 10, 10 } }, { 10, { 20, 20 } }, { 20, { 10, 10 } }, { 20, { 20, 20 } }, { 20, { 20, 40 } },
};

/* As much as one flow: half the link beside one of TCP. */
static void test_coupled_paths_take_one_share(void **state)
{
    const struct fairness_options olia = { FAIRNESS_COUPLED, CC_OLIA }, lia = { FAIRNESS_COUPLED, CC_LIA };
    const struct tcp_cc *const ccs[] = { &tcp_cc_reno, &tcp_cc_cubic };

    for (size_t c = 0; c < (sim_brief() ? 1 : ARRAY_LEN(ccs)); c++) {
        for (size_t i = 0; i < (sim_brief() ? 1 : ARRAY_LEN(settings)); i++) {
            double mean = 0;

            for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                struct outcome o = compete(&settings[i], 2, &olia, ccs[c], 60 * SEC, seed);

                assert_true(o.session + o.tcp > .95);
                mean += o.session / SEEDS;
            }
            assert_true(mean <= 1.2 * .5);
            assert_true(mean >= .7 * .5); /* and not much less */
        }
        compete(&settings[1], 2, &lia, ccs[c], 60 * SEC, 1); /* to compare */
    }
}

/* As many as they are: two thirds of the link. */
static void test_independent_paths_take_one_each(void **state)
{
    const struct fairness_options cubic = { FAIRNESS_INDEPENDENT, CC_CUBIC }, bbr = { FAIRNESS_INDEPENDENT, CC_BBR };

    for (size_t i = 0; i < (sim_brief() ? 1 : SAME_DELAY); i++) {
        struct outcome o = compete(&settings[i], 2, &cubic, &tcp_cc_cubic, 60 * SEC, 1);

        assert_true(o.session >= .9 * 2 / 3 && o.session <= 1.2 * 2 / 3);
    }
    compete(&settings[1], 2, &bbr, &tcp_cc_cubic, 60 * SEC, 1);
}

static void test_cubic_beside_cubic(void **state)
{
    const struct fairness_options cubic = { FAIRNESS_INDEPENDENT, CC_CUBIC };

    for (size_t i = 0; i < (sim_brief() ? 1 : SAME_DELAY); i++) {
        struct outcome o = compete(&settings[i], 1, &cubic, &tcp_cc_cubic, 120 * SEC, 1);

        assert_true(o.session <= 1.5 * o.tcp && o.tcp <= 1.5 * o.session);
    }
}

/* --- a bottleneck each --- */

static void test_separate_bottlenecks_are_filled(void **state)
{
    static const struct {
        const char *links[3];
        double bps;
    } c[] = {
        { { "rate=10mbit delay=20ms queue=40ms", "rate=10mbit delay=20ms queue=40ms" }, 20e6 },
        { { "rate=20mbit delay=10ms queue=20ms", "rate=10mbit delay=30ms queue=60ms" }, 30e6 },
        { { "rate=20mbit delay=20ms queue=40ms", "rate=4mbit delay=20ms queue=40ms" }, 24e6 },
    };

    for (enum cc kind = CC_OLIA; kind <= CC_LIA; kind++)
        for (size_t i = 0; i < ARRAY_LEN(c); i++) {
            const struct node_options o = { .delivery = &bytes_options,
                                            .pool_pkts = 16384,
                                            .fairness = { FAIRNESS_COUPLED, kind } };
            struct race r = { .b = bench_make(1, &o, false, c[i].links), .paths = 2 };
            double before, of_both;

            bench_begin(&r.b);
            r.t = transfer_new(r.b.agent, 0, r.b.node, 0, UINT64_MAX, false);
            world_run_for(r.b.w, 20 * SEC);
            before = carried(&r).session;
            world_run_for(r.b.w, 60 * SEC);
            of_both = (carried(&r).session - before) * 8 / 60 / c[i].bps;
            printf("# coupled %-4s, %s + %s: %.2f of both\n", cc_get(kind)->name, c[i].links[0], c[i].links[1],
                   of_both);
            assert_true(of_both >= .9);
            race_end(&r);
        }
}

/* --- groups --- */

static void expect_control(const struct race *r, enum cc expected)
{
    struct session_path_info info;

    for (unsigned i = 0; i < r->paths; i++) {
        session_path_info(node_peer_session(r->b.agent->node, 0), i, r->b.w->now, &info);
        assert_int_equal(info.congestion, expected);
    }
}

static void set_groups(struct race *r, unsigned first, unsigned second)
{
    struct session *s = node_peer_session(r->b.agent->node, 0);

    session_set_group(s, 0, first, r->b.w->now);
    session_set_group(s, 1, second, r->b.w->now);
}

/* Paths that enter and leave a group while data flows: nobody sees it in the link. */
static void test_paths_enter_and_leave_a_group(void **state)
{
    static const struct {
        unsigned groups[2];
        enum cc expected;
    } steps[] = { { { 1, 1 }, CC_OLIA }, { { 0, 0 }, CC_BBR }, { { 3, 3 }, CC_OLIA },
                  { { 1, 2 }, CC_OLIA }, { { 0, 0 }, CC_BBR }, { { 5, 5 }, CC_OLIA } };
    const struct fairness_options o = { FAIRNESS_GROUPED, CC_BBR };
    const struct setting s = { 20, { 20, 20 } };
    struct race r = race_begin(&s, 2, &o, NULL, 1);

    world_run_for(r.b.w, 5 * SEC);
    expect_control(&r, CC_BBR);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        uint64_t dropped = r.b.agent->access->dir.counters.dropped[LINK_DROP_QUEUE];
        double at_once, later;

        set_groups(&r, steps[i].groups[0], steps[i].groups[1]);
        expect_control(&r, steps[i].expected);
        at_once = share(&r, &s, 200 * MSEC).session;
        dropped = r.b.agent->access->dir.counters.dropped[LINK_DROP_QUEUE] - dropped;
        later = share(&r, &s, 5 * SEC).session;
        printf("# groups %u, %u: %.2f of the link in .2 s, %llu dropped; %.2f in 5 s\n", steps[i].groups[0],
               steps[i].groups[1], at_once, (unsigned long long)dropped, later);
        assert_true(at_once >= .9 && later >= .9);
        assert_true(dropped <= 4); /* a burst would be a part of a window, which has 70 records */
    }
    race_end(&r);
}

/* In one group as one flow; each in one of its own, as two. */
static void test_groups_are_what_counts(void **state)
{
    const struct fairness_options o = { FAIRNESS_GROUPED, CC_BBR };
    double together = 0, apart = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        for (unsigned second = 1; second <= 2; second++) {
            struct race r = race_begin(&settings[2], 2, &o, &tcp_cc_reno, seed);

            set_groups(&r, 1, second);
            world_run_for(r.b.w, 15 * SEC);
            *(second == 1 ? &together : &apart) += share(&r, &settings[2], 60 * SEC).session / SEEDS;
            race_end(&r);
        }
    printf("# in one group %.2f of the link, in two %.2f\n", together, apart);
    assert_true(together <= 1.2 * .5);
    assert_true(apart >= .9 * 2 / 3);
}

/* Nobody says the groups: they are found. */
static void test_bottlenecks_are_found(void **state)
{
    const struct fairness_options o = { FAIRNESS_AUTO, CC_BBR };
    const struct setting s = { 20, { 20, 20 } };
    struct race r = race_begin(&s, 2, &o, &tcp_cc_reno, 1);
    struct bench b;
    struct transfer *t;
    double together;

    world_run_for(r.b.w, 60 * SEC);
    together = share(&r, &s, 60 * SEC).session;
    printf("# one bottleneck, found: %.2f of the link\n", together);
    assert_true(together <= 1.2 * .5);
    race_end(&r);

    b = bench_make(1, &(struct node_options){ .delivery = &bytes_options, .pool_pkts = 16384, .fairness = o }, false,
                   PARAMS("rate=20mbit delay=20ms queue=40ms", "rate=10mbit delay=20ms queue=40ms"));
    bench_begin(&b);
    t = transfer_new(b.agent, 0, b.node, 0, UINT64_MAX, false);
    world_run_for(b.w, 60 * SEC);
    r = (struct race){ .b = b };
    expect_control(&r, CC_BBR);
    transfer_stop(t);
    bench_done(&b);
    transfer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coupled_paths_take_one_share),
        cmocka_unit_test(test_independent_paths_take_one_each),
        cmocka_unit_test(test_cubic_beside_cubic),
        cmocka_unit_test(test_separate_bottlenecks_are_filled),
        cmocka_unit_test(test_paths_enter_and_leave_a_group),
        cmocka_unit_test(test_groups_are_what_counts),
        cmocka_unit_test(test_bottlenecks_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
