/* Links that shrink without a word while traffic flows: nothing may fall into a hole for long; in virtual time.
 *
 *            +-- uplink 0: 20 Mbit/s, 15 ms --+
 *     node --+                                +-- core -- agent
 *            +-- uplink 1: 20 Mbit/s, 25 ms --+
 *
 * No ICMP comes from outside, and the inner senders do not react to packet-too-big: they are the worst there are. */
#include "tests/sim/sim.h"

#define L0 "rate=20mbit delay=15ms"
#define L1 "rate=20mbit delay=25ms"
#define GOES_ON (3 * SEC)

static size_t mtu_of(struct bench *b, struct world_end *e, unsigned slot)
{
    struct session_path_info info;

    session_path_info(node_peer_session(e->node, 0), slot, b->w->now, &info);
    return info.used ? info.mtu : 0;
}

static uint64_t drops_of(struct world_end *e, enum session_drop d, instant now)
{
    struct session_info info;

    session_info(node_peer_session(e->node, 0), now, &info);
    return info.drops[d];
}

/* The largest outer packet is found for what the link carries, within 8 bytes (the search's grain), and never above. */
static void test_found(void **state)
{
    static const unsigned mtus[] = { 0, 1500, 1492, 1444, 1400, 1280, 1124, 900, 600 };
    char text[64];

    for (size_t i = 0; i < ARRAY_LEN(mtus); i++) {
        struct bench b;
        size_t want = mtus[i] ? mtus[i] : 1500;

        snprintf(text, sizeof(text), L0 " mtu=%u", mtus[i]);
        b = bench_make(i + 1, NULL, false, PARAMS(text));
        bench_begin(&b);
        world_run_for(b.w, 5 * SEC);
        printf("# link of %u: node %zu, agent %zu\n", mtus[i], mtu_of(&b, b.node, 0), mtu_of(&b, b.agent, 0));
        assert_in_range(mtu_of(&b, b.node, 0), want - 8, want);
        assert_in_range(mtu_of(&b, b.agent, 0), want - 8, want);
        bench_done(&b);
    }
}

struct run {
    struct bench b;
    struct traffic_flow *up, *down, *steady_up, *steady_down, *big_up, *big_down;
};

static void expect_progress(struct run *r, const char *what)
{
    uint64_t up = r->up->received_bytes, down = r->down->received_bytes;
    instant began = r->b.w->now;
    span up_at = -1, down_at = -1;

    traffic_gap_reset(r->steady_up);
    traffic_gap_reset(r->steady_down);
    traffic_gap_reset(r->big_up);
    traffic_gap_reset(r->big_down);
    while (r->b.w->now - began < 5 * SEC && !r->b.w->failed) {
        world_run_for(r->b.w, 10 * MSEC);
        if (up_at < 0 && r->up->received_bytes > up + 200000)
            up_at = r->b.w->now - began;
        if (down_at < 0 && r->down->received_bytes > down + 200000)
            down_at = r->b.w->now - began;
    }
    if (r->b.w->failed)
        fail_msg("%s", r->b.w->error);
    printf("# %-24s 200 kB more up after %lld ms, down %lld ms; silence of steady flows up %lld and %lld ms, "
           "down %lld and %lld ms; mtu node %zu %zu, agent %zu %zu\n",
           what, (long long)up_at / 1000, (long long)down_at / 1000, (long long)traffic_gap(r->steady_up) / 1000,
           (long long)traffic_gap(r->big_up) / 1000, (long long)traffic_gap(r->steady_down) / 1000,
           (long long)traffic_gap(r->big_down) / 1000, mtu_of(&r->b, r->b.node, 0), mtu_of(&r->b, r->b.node, 1),
           mtu_of(&r->b, r->b.agent, 0), mtu_of(&r->b, r->b.agent, 1));
    assert_in_range(up_at, 0, GOES_ON);
    assert_in_range(down_at, 0, GOES_ON);
    assert_true(traffic_gap(r->big_up) <= GOES_ON && traffic_gap(r->big_down) <= GOES_ON);
    assert_true(traffic_gap(r->steady_up) <= GOES_ON && traffic_gap(r->steady_down) <= GOES_ON);
}

static void shrink(const char *const links[], unsigned count, bool v6)
{
    struct run r = { .b = bench_make(7, NULL, v6, links) };

    bench_begin(&r.b);
    r.up = traffic_window(r.b.t, r.b.node, r.b.agent, 0, NULL);
    r.down = traffic_window(r.b.t, r.b.agent, r.b.node, 0, NULL);
    r.steady_up = traffic_steady(r.b.t, r.b.node, r.b.agent, 500000, 1280, true);
    r.steady_down = traffic_steady(r.b.t, r.b.agent, r.b.node, 500000, 1280, true);
    /* 1,244 bytes on the outside: between the two sizes that the links shrink to */
    r.big_up = traffic_steady(r.b.t, r.b.node, r.b.agent, 500000, 1244 - 28 - RECORD_OVERHEAD, false);
    r.big_down = traffic_steady(r.b.t, r.b.agent, r.b.node, 500000, 1244 - 28 - RECORD_OVERHEAD, false);
    world_run_for(r.b.w, 3 * SEC);
    expect_progress(&r, "1500");
    for (unsigned i = 0; i < count; i++)
        world_link(world_uplink(r.b.node, i), "mtu=1280");
    expect_progress(&r, "1280");
    for (unsigned i = 0; i < count; i++)
        world_link(world_uplink(r.b.node, i), "mtu=1124");
    expect_progress(&r, "1124");
    assert_in_range(mtu_of(&r.b, r.b.node, 0), 1124 - 8, 1124);
    assert_in_range(mtu_of(&r.b, r.b.agent, 0), 1124 - 8, 1124);
    for (unsigned i = 0; i < count; i++)
        world_link(world_uplink(r.b.node, i), "mtu=0");
    traffic_stop(r.up);
    traffic_stop(r.down);
    world_run_for(r.b.w, 620 * SEC); /* PMTU_RAISE_MAX */
    assert_int_equal(mtu_of(&r.b, r.b.node, 0), 1500);
    assert_int_equal(mtu_of(&r.b, r.b.agent, 0), 1500);
    assert_int_equal(r.b.t->bad, 0);
    printf("# dropped as too big: node %llu, agent %llu\n",
           (unsigned long long)drops_of(r.b.node, DROP_TOO_BIG, r.b.w->now),
           (unsigned long long)drops_of(r.b.agent, DROP_TOO_BIG, r.b.w->now));
    traffic_stop(r.steady_up);
    traffic_stop(r.steady_down);
    traffic_stop(r.big_up);
    traffic_stop(r.big_down);
    bench_done(&r.b);
}

static void test_one(void **state)
{
    shrink(PARAMS(L0), 1, false);
}

static void test_two(void **state)
{
    shrink(PARAMS(L0, L1), 2, false);
}

/* One of two shrinks: the flow is striped over both, and goes on. */
static void test_one_of_two(void **state)
{
    shrink(PARAMS(L0, L1), 1, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),
        cmocka_unit_test(test_one),
        cmocka_unit_test(test_two),
        cmocka_unit_test(test_one_of_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
