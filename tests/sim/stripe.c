/* What several paths together carry, and what is seen of it when one of them goes; in virtual time.
 *
 *            +-- uplink 1 --+
 *     node --+              +-- core -- agent
 *            +-- uplink 2 --+
 *
 * Goodput is that of one inner TCP flow (CUBIC, three duplicates) downwards, payload bits over the last two thirds of
 * the run. The cases A to H are those that were measured with real programs on the reference machine;
 * kernel MPTCP's share is printed beside. */
#include "tests/sim/sim.h"

#define RUN (30 * SEC)
#define WARM (10 * SEC)
#define PAYLOAD_SHARE (1340.0 / (1340 + 40 + RECORD_OVERHEAD + 28)) /* of the IP bytes of a full record */

static double goodput(const char *const params[], span run, span warm)
{
    struct bench b = bench_make(1, NULL, false, params);
    struct traffic_flow *f;
    uint64_t at_warm;
    double bps;

    bench_begin(&b);
    f = traffic_window(b.t, b.agent, b.node, 0, NULL);
    world_run_for(b.w, warm);
    at_warm = f->received_bytes;
    world_run_for(b.w, run - warm);
    bps = traffic_bps(f->received_bytes - at_warm, run - warm);
    if (getenv("HAWSER_SIM_VERBOSE"))
        printf("# %.2f Mbit/s, %llu retransmitted, %llu timeouts, %llu out of order, %llu duplicates, srtt %lld us, "
               "cwnd %.0f\n",
               bps / 1e6, (unsigned long long)f->tcp->tx.retransmits, (unsigned long long)f->tcp->tx.timeouts,
               (unsigned long long)f->tcp->rx.reordered, (unsigned long long)f->duplicates, (long long)f->tcp->tx.srtt,
               f->tcp->tx.cwnd);
    traffic_stop(f);
    bench_done(&b);
    return bps;
}

#define A1 "rate=14.67mbit delay=15ms"
#define A2 "rate=3.61mbit delay=50ms"

static void test_sum_of_two(void **state)
{
    double first = goodput(PARAMS(A1), RUN, WARM), second = goodput(PARAMS(A2), RUN, WARM),
           both = goodput(PARAMS(A1, A2), RUN, WARM);

    printf("# 14.67 Mbit/s of 15 ms carries %.2f, 3.61 Mbit/s of 50 ms %.2f, both %.2f Mbit/s: %.1f %% of the sum\n",
           first / 1e6, second / 1e6, both / 1e6, both / (first + second) * 100);
    assert_true(first > 0.9 * 14.67e6 * PAYLOAD_SHARE && second > 0.9 * 3.61e6 * PAYLOAD_SHARE);
    assert_true(both >= 0.9 * (first + second));
}

static void test_cases(void **state)
{
    static const struct {
        const char *name, *links[3];
        double sum, mptcp;
    } cases[] = {
        { "A 14.67@15+3.61@50", { A1, A2 }, 18.28e6, .93 },
        { "B 100@5+100@5", { "rate=100mbit delay=5ms", "rate=100mbit delay=5ms" }, 200e6, .94 },
        { "C 100@5+20@5", { "rate=100mbit delay=5ms", "rate=20mbit delay=5ms" }, 120e6, .94 },
        { "D 100@10+20@50", { "rate=100mbit delay=10ms", "rate=20mbit delay=50ms" }, 120e6, .88 },
        { "E 50@20+50@40", { "rate=50mbit delay=20ms", "rate=50mbit delay=40ms" }, 100e6, .95 },
        { "F 50@20+50@120", { "rate=50mbit delay=20ms", "rate=50mbit delay=120ms" }, 100e6, .70 },
        { "G 100@20+10@20", { "rate=100mbit delay=20ms", "rate=10mbit delay=20ms" }, 110e6, .94 },
        { "H 300@8+30@40", { "rate=300mbit delay=8ms", "rate=30mbit delay=40ms" }, 330e6, .94 },
    };

    printf("# share of the nominal sum: case, best single, both, kernel MPTCP with cubic as measured\n");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        double best = MAX(goodput(PARAMS(cases[i].links[0]), 24 * SEC, 10 * SEC),
                          goodput(PARAMS(cases[i].links[1]), 24 * SEC, 10 * SEC)),
               both = goodput(cases[i].links, 24 * SEC, 10 * SEC);

        printf("# %-20s %.2f %.2f %.2f%s\n", cases[i].name, best / cases[i].sum, both / cases[i].sum, cases[i].mptcp,
               both < best ? " (slower than the better one)" : "");
    }
}

/* --- failover --- */

struct gaps {
    span up, down;
    uint64_t lost_up, lost_down;
};

enum how { CARRIER, BLACKHOLE, PLANNED };

static struct gaps failover(uint64_t seed, enum how how, const char *steer)
{
    struct bench b = bench_make(seed, NULL, false, PARAMS("rate=20mbit delay=15ms", "rate=20mbit delay=20ms"));
    struct world_uplink *u = world_uplink(b.node, 0);
    struct traffic_flow *f, *g;
    struct gaps r;

    bench_begin(&b);
    if (steer)
        world_steer(b.node, steer);
    f = traffic_steady(b.t, b.node, b.agent, 2000000, 500, false);
    g = traffic_steady(b.t, b.agent, b.node, 2000000, 500, false);
    world_run_for(b.w, 2 * SEC + (span)prng_below(&b.w->prng, 20 * MSEC));
    traffic_gap_reset(f);
    traffic_gap_reset(g);
    if (how == PLANNED) {
        u->spec.leaving = true;
        world_uplink_tell(u);
        world_run_for(b.w, 500 * MSEC);
    }
    if (how == BLACKHOLE)
        world_link(u, "blackhole=1");
    else
        world_carrier(u, false);
    world_run_for(b.w, 3 * SEC);
    r.up = traffic_gap(f);
    r.down = traffic_gap(g);
    traffic_stop(f);
    traffic_stop(g);
    world_run_for(b.w, 1 * SEC);
    r.lost_up = traffic_missing(f);
    r.lost_down = traffic_missing(g);
    bench_done(&b);
    return r;
}

static struct gaps worst_of(const char *name, enum how how, const char *steer)
{
    struct gaps worst = { 0 };

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct gaps g = failover(seed, how, steer);

        worst.up = MAX(worst.up, g.up);
        worst.down = MAX(worst.down, g.down);
        worst.lost_up = MAX(worst.lost_up, g.lost_up);
        worst.lost_down = MAX(worst.lost_down, g.lost_down);
    }
    printf("# %-22s longest silence up %lld ms, down %lld ms; lost up %llu, down %llu (worst of 20)\n", name,
           (long long)worst.up / 1000, (long long)worst.down / 1000, (unsigned long long)worst.lost_up,
           (unsigned long long)worst.lost_down);
    return worst;
}

static void test_failover(void **state)
{
    struct gaps carrier = worst_of("carrier lost", CARRIER, NULL), silent = worst_of("silent", BLACKHOLE, NULL),
                planned = worst_of("planned", PLANNED, NULL),
                redundant = worst_of("redundant, carrier", CARRIER, "default mode redundant"),
                redundant_silent = worst_of("redundant, silent", BLACKHOLE, "default mode redundant");

    /* The news takes 20 ms of the other path, and data 20 ms back. */
    assert_true(carrier.up <= 50 * MSEC && carrier.down <= 50 * MSEC);
    assert_true(silent.up <= 340 * MSEC && silent.down <= 340 * MSEC);
    assert_int_equal(planned.lost_up + planned.lost_down, 0);
    assert_int_equal(redundant.lost_up + redundant.lost_down, 0);
    assert_int_equal(redundant_silent.lost_up + redundant_silent.lost_down, 0);
}

/* What a link carries is known; then little goes by it, while much waits for another one alone: that says nothing of
 * it. */
static void test_rate_while_others_wait(void **state)
{
    struct bench b = bench_make(1, NULL, false, PARAMS("rate=5mbit delay=20ms", "rate=50mbit delay=30ms"));
    struct session_path_info before, after;
    struct traffic_flow *f;

    steer_two(b.node, "any tcp via up1 mode active-standby", "any udp via up2 mode active-standby");
    bench_begin(&b);
    f = traffic_steady(b.t, b.agent, b.node, 60000000, 1200, false);
    world_run_for(b.w, 5 * SEC);
    traffic_stop(f);
    world_run_for(b.w, 1 * SEC);
    session_path_info(node_peer_session(b.agent->node, 0), 1, b.w->now, &before);
    assert_true(before.metrics.rate_bps > 40e6);
    for (unsigned i = 0; i < 4; i++)
        traffic_window(b.t, b.agent, b.node, 0, NULL);
    traffic_steady(b.t, b.agent, b.node, 2000000, 1000, false);
    world_run_for(b.w, 30 * SEC);
    session_path_info(node_peer_session(b.agent->node, 0), 1, b.w->now, &after);
    assert_true(after.metrics.rate_bps > before.metrics.rate_bps * 9 / 10);
    for (size_t i = 0; i < b.t->count; i++)
        traffic_stop(b.t->flows[i]);
    world_run_for(b.w, 1 * SEC);
    bench_done(&b);
}

/* A flow of a rule that names two links has room on the first; what waits long is another rule's, for a third link. */
static void test_others_queues(void **state)
{
    static const char *const modes[] = { "priority", "stripe" };

    for (size_t i = sim_brief(); i < ARRAY_LEN(modes); i++) {
        struct bench b = bench_make(
            1, NULL, false, PARAMS("rate=3mbit delay=20ms", "rate=20mbit delay=60ms", "rate=50mbit delay=20ms"));
        struct session_path_info before, after;
        struct traffic_flow *f;
        char rule[80];

        snprintf(rule, sizeof(rule), "any udp via up1,up2 mode %s class bulk", modes[i]);
        steer_two(b.node, "any tcp via up3 mode active-standby", rule);
        bench_begin(&b);
        f = traffic_steady(b.t, b.agent, b.node, 8000000, 1000, false); /* what the links carry is known */
        for (unsigned j = 0; j < 4; j++)
            traffic_window(b.t, b.agent, b.node, 0, NULL);
        world_run_for(b.w, 5 * SEC);
        traffic_stop(f);
        world_run_for(b.w, 2 * SEC);
        session_path_info(node_peer_session(b.agent->node, 0), 1, b.w->now, &before);
        for (unsigned j = 0; j < 5; j++) /* at once, 13 ms of what the first carries; none is a long run */
            f = traffic_steady(b.t, b.agent, b.node, 400000, 1000, false);
        world_run_for(b.w, 5 * SEC);
        session_path_info(node_peer_session(b.agent->node, 0), 1, b.w->now, &after);
        print_message("# %s: %llu bytes of %llu by the second link\n", modes[i],
                      (unsigned long long)(after.metrics.tx_bytes - before.metrics.tx_bytes),
                      (unsigned long long)f->received_bytes);
        assert_true(f->received_bytes > 200000);
        assert_true((after.metrics.tx_bytes - before.metrics.tx_bytes) * 10 < f->received_bytes);
        for (size_t j = 0; j < b.t->count; j++)
            traffic_stop(b.t->flows[j]);
        world_run_for(b.w, 1 * SEC);
        bench_done(&b);
    }
}

/* What a link carries is not known yet while probes alone go by it: that one of them is late does not end the search,
 * and flows are spread over it as well. */
static void test_idle_and_late_is_not_slow(void **state)
{
    for (uint64_t seed = 1; seed <= (sim_brief() ? 1 : 8); seed++) {
        struct bench b =
            bench_make(seed, NULL, false, PARAMS("rate=20mbit delay=20ms", "rate=50mbit delay=100ms jitter=30ms"));
        struct session_path_info before, after;

        steer_two(b.node, "any udp via up1 mode active-standby", "any tcp mode load-balance");
        bench_begin(&b);
        traffic_steady(b.t, b.agent, b.node, 100000, 200, false); /* a call: the other link is probed meanwhile */
        world_run_for(b.w, 20 * SEC);
        session_path_info(node_peer_session(b.agent->node, 0), 1, b.w->now, &before);
        for (unsigned i = 0; i < 16; i++)
            traffic_window(b.t, b.agent, b.node, 0, NULL);
        world_run_for(b.w, 10 * SEC);
        session_path_info(node_peer_session(b.agent->node, 0), 1, b.w->now, &after);
        assert_true(before.metrics.rate_is_sought);
        assert_true(after.metrics.tx_bytes - before.metrics.tx_bytes > 1000000);
        for (size_t i = 0; i < b.t->count; i++)
            traffic_stop(b.t->flows[i]);
        world_run_for(b.w, 1 * SEC);
        bench_done(&b);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum_of_two),    cmocka_unit_test(test_failover),
        cmocka_unit_test(test_cases),         cmocka_unit_test(test_rate_while_others_wait),
        cmocka_unit_test(test_others_queues), cmocka_unit_test(test_idle_and_late_is_not_slow),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
