/* UDP that does not pass, or badly: over to TCP, and back (src/node/fallback.c).
 *
 *     node --uplink(s), which lose a share of what goes over UDP-- core -- agent
 *
 * What goes over TCP passes as it is, in order: the links have no loss and no jitter. */
#include "tests/sim/sim.h"

#define LINK "rate=10mbit delay=15ms"

struct view {
    unsigned udp, tcp; /* paths */
    unsigned udp_active, tcp_active;
    unsigned resting; /* UDP paths that carry no data */
};

/* Of one link as an end sees it; link 0: of all. */
static struct view look(const struct bench *b, struct world_end *e, uint32_t link)
{
    struct session *s = node_peer_session(e->node, 0);
    struct session_path_info info;
    struct view v = { 0 };

    for (unsigned i = 0; s && i < SESSION_SLOTS; i++) {
        bool tcp, active;

        session_path_info(s, i, b->w->now, &info);
        if (!info.used || (link && info.at.link != link))
            continue;
        tcp = info.at.transport == TRANSPORT_TCP;
        active = info.metrics.state == PATH_ACTIVE;
        v.udp += !tcp;
        v.tcp += tcp;
        v.udp_active += active && !tcp;
        v.tcp_active += active && tcp;
        v.resting += !tcp && info.tier == TIER_NEVER;
    }
    return v;
}

static struct bench make(uint64_t seed, unsigned uplinks)
{
    struct world_node_spec spec = { .uplinks = uplinks, .params = { LINK, LINK }, .tcp = true };
    struct bench b = { .w = world_new(seed) };

    b.agent = world_agent(b.w, "agent", NULL, false);
    b.node = world_node(b.w, "node", b.agent, &spec);
    b.t = traffic_new(b.w);
    b.v = invariants_new(b.w, b.t);
    return b;
}

static bool link1_over_tcp(void *ctx)
{
    return look(ctx, ((struct bench *)ctx)->node, 1).tcp_active == 1;
}

static bool no_tcp(void *ctx)
{
    struct bench *b = ctx;

    return look(b, b->node, 0).tcp == 0 && look(b, b->agent, 0).tcp == 0;
}

static void set_loss(struct bench *b, unsigned uplink, unsigned percent)
{
    world_uplink(b->node, uplink)->udp_lost_percent = percent;
}

/* No UDP at all from the start: up over TCP once three seconds are over, and data flows. */
static void test_blocked_at_start(void **state)
{
    struct bench b = make(1, 1);
    struct traffic_flow *f;
    span took;

    set_loss(&b, 0, 100);
    world_connect(b.node);
    took = bench_up(&b, 6 * SEC);
    assert_true(took >= 3 * SEC);
    assert_true(world_run_until(b.w, link1_over_tcp, &b, 1 * SEC));
    assert_int_equal(node_fallback(b.node->node, 0, 1), FALLBACK_BLOCKED);
    f = traffic_steady(b.t, b.node, b.agent, 1000000, 1000, false);
    world_run_for(b.w, 5 * SEC);
    assert_true(traffic_missing(f) < 20); /* in flight: 15 ms of 125 packets a second */
    assert_int_equal(look(&b, b.agent, 0).tcp_active, 1);
    assert_int_equal(look(&b, b.agent, 0).udp_active, 0);

    /* It works again: probes find it, and after three good seconds TCP is left. */
    traffic_gap_reset(f);
    set_loss(&b, 0, 0);
    assert_true(world_run_until(b.w, no_tcp, &b, 20 * SEC));
    assert_int_equal(node_fallback(b.node->node, 0, 1), FALLBACK_NONE);
    assert_int_equal(look(&b, b.node, 1).udp_active, 1);
    world_run_for(b.w, 1 * SEC);
    assert_true(traffic_gap(f) < 100 * MSEC); /* nothing stood still for it */
    bench_done(&b);
}

/* A node that has been there knows that UDP does not pass, and is up over TCP in a few round trips; if it passes by
 * now, TCP is left after three seconds. A network of another address is asked anew. */
static void test_blocked_is_remembered(void **state)
{
    struct bench b = make(3, 1);
    struct scoreboard *known = scoreboard_new(8, 0);

    assert_non_null(known);
    b.node->options.scoreboard = known;
    world_restart(b.node);
    set_loss(&b, 0, 100);
    assert_true(bench_up(&b, 6 * SEC) >= 3 * SEC);
    world_run_for(b.w, 3 * SEC);
    world_restart(b.node);
    assert_true(bench_up(&b, 500 * MSEC) > 0);
    assert_int_equal(node_fallback(b.node->node, 0, 1), FALLBACK_BLOCKED);

    set_loss(&b, 0, 0);
    world_restart(b.node);
    bench_up(&b, 500 * MSEC);
    assert_true(world_run_until(b.w, no_tcp, &b, 5 * SEC));
    world_restart(b.node);
    bench_up(&b, 500 * MSEC);
    assert_int_equal(node_fallback(b.node->node, 0, 1), FALLBACK_NONE);

    set_loss(&b, 0, 100);
    world_run_for(b.w, 10 * SEC); /* and is known again */
    world_uplink_move(world_uplink(b.node, 0));
    world_restart(b.node);
    assert_true(bench_up(&b, 6 * SEC) >= 3 * SEC);
    bench_done(&b);
    scoreboard_free(known);
}

/* One of two, in the middle of a transfer: the other stays as it is. */
static void test_one_of_two(void **state)
{
    struct bench b = make(2, 2);
    struct traffic_flow *f;
    uint64_t before;

    bench_begin(&b);
    f = traffic_window(b.t, b.agent, b.node, 0, NULL);
    world_run_for(b.w, 3 * SEC);
    assert_int_equal(world_uplink(b.node, 0)->tcp_datagrams, 0);
    set_loss(&b, 0, 100);
    traffic_gap_reset(f);
    assert_true(world_run_until(b.w, link1_over_tcp, &b, 5 * SEC));
    assert_int_equal(look(&b, b.node, 2).tcp, 0);
    assert_int_equal(look(&b, b.node, 2).udp_active, 1);
    assert_true(traffic_gap(f) < 1 * SEC);
    world_run_for(b.w, 3 * SEC);
    before = f->received_bytes;
    world_run_for(b.w, 5 * SEC);
    /* Two links of 10 Mbit/s, one over TCP: more than the other alone can carry. */
    assert_true(traffic_bps(f->received_bytes - before, 5 * SEC) > 12e6);
    set_loss(&b, 0, 0);
    assert_true(world_run_until(b.w, no_tcp, &b, 30 * SEC));
    assert_int_equal(look(&b, b.node, 1).udp_active, 1);
    bench_done(&b);
}

/* More than half is lost: the UDP path lives, and carries nothing while TCP is there. When it is left too early, the
 * next return waits twice as long. */
static void expect_lossy(uint64_t seed, bool both_ways)
{
    struct bench b = make(seed, 1);
    struct traffic_flow *f;

    b.v->patience = INSTANT_NEVER / 2; /* the link looks whole, and is not */
    bench_begin(&b);
    f = traffic_steady(b.t, both_ways ? b.agent : b.node, both_ways ? b.node : b.agent, 1000000, 1000, false);
    world_run_for(b.w, 2 * SEC);
    if (both_ways)
        traffic_steady(b.t, b.node, b.agent, 1000000, 1000, false);
    set_loss(&b, 0, 55);
    assert_true(world_run_until(b.w, link1_over_tcp, &b, 15 * SEC));
    world_run_for(b.w, 2 * SEC);
    traffic_gap_reset(f);
    world_run_for(b.w, 2 * SEC);
    assert_true(traffic_gap(f) < 500 * MSEC);
    set_loss(&b, 0, 0);
    assert_true(world_run_until(b.w, no_tcp, &b, 60 * SEC));
    assert_int_equal(look(&b, b.node, 1).udp_active, 1);
    assert_int_equal(look(&b, b.node, 1).resting, 0);
    bench_done(&b);
}

static void test_lossy(void **state)
{
    expect_lossy(3, false);
}

/* Half of the records are acknowledgements then, whose losses nobody hears of: no share is taken of them. */
static void test_lossy_both_ways(void **state)
{
    for (uint64_t seed = 4; seed <= 8; seed++)
        expect_lossy(seed, true);
}

static void test_only_and_no(void **state)
{
    struct bench b = make(4, 2);
    struct world_uplink *first = world_uplink(b.node, 0), *second = world_uplink(b.node, 1);

    first->spec.tcp = NODE_TCP_ONLY;
    second->spec.tcp = NODE_TCP_NO;
    world_uplink_tell(first);
    world_uplink_tell(second);
    bench_begin(&b);
    world_run_for(b.w, 1 * SEC);
    assert_int_equal(look(&b, b.node, 1).udp, 0);
    assert_int_equal(look(&b, b.node, 1).tcp_active, 1);
    assert_int_equal(look(&b, b.node, 2).udp_active, 1);
    assert_int_equal(node_fallback(b.node->node, 0, 1), FALLBACK_WANTED);
    set_loss(&b, 1, 100);
    world_run_for(b.w, 10 * SEC);
    assert_int_equal(look(&b, b.node, 2).tcp, 0);
    assert_int_equal(second->tcp_datagrams, 0);
    /* The file is read again: as any link. */
    first->spec.tcp = NODE_TCP_AUTO;
    world_uplink_tell(first);
    assert_true(world_run_until(b.w, no_tcp, &b, 5 * SEC));
    assert_int_equal(look(&b, b.node, 1).udp, 1);
    bench_done(&b);
}

/* Without a TCP port nothing changes, however long UDP is away. */
static void test_no_port(void **state)
{
    struct bench b = bench_make(5, NULL, false, PARAMS(LINK));

    bench_begin(&b);
    set_loss(&b, 0, 100);
    world_run_for(b.w, 10 * SEC);
    assert_int_equal(world_uplink(b.node, 0)->tcp_datagrams, 0);
    assert_int_equal(look(&b, b.node, 0).tcp, 0);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocked_at_start), cmocka_unit_test(test_blocked_is_remembered),
        cmocka_unit_test(test_one_of_two),       cmocka_unit_test(test_lossy),
        cmocka_unit_test(test_lossy_both_ways),  cmocka_unit_test(test_only_and_no),
        cmocka_unit_test(test_no_port),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
