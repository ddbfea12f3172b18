/* What goes by two paths, and what else needs the same links: packets of a stripe while twice.c has them copied, those
 * of a rule that says redundant, and units. */
#include "session/internal.h"
#include "sim/media.h"
#include "tests/sim/sim.h"

#include <stdlib.h>

#define UNEQUAL_LOSSY PARAMS("rate=30mbit delay=210ms loss=1%", "rate=2mbit delay=80ms loss=1%")

static const struct tcp_options rack = { &tcp_cc_cubic, TCP_LOSS_RACK };

/* Six downloads by a link of 30 Mbit/s, each packet of which is copied to one of 2: a call of 64 kbit/s, which only the
 * second may carry by its delay or by a rule, goes on beside them for a minute. */
static void call_goes_on(const char *const params[], const char *rule, bool is_twice)
{
    struct bench b = bench_make(1, NULL, false, (const char *const *)params);
    struct session_path_info info;
    struct traffic_flow *call, *f[6];
    bool twice = false;

    world_steer(b.node, rule);
    bench_begin(&b);
    call = traffic_steady(b.t, b.agent, b.node, 64000, 200, false);
    for (unsigned i = 0; i < ARRAY_LEN(f); i++)
        f[i] = traffic_window(b.t, b.agent, b.node, 0, &rack);
    for (unsigned s = 0; s < 60; s++) {
        traffic_gap_reset(call);
        world_run_for(b.w, 1 * SEC);
        session_path_info(node_peer_session(b.agent->node, 0), 0, b.w->now, &info);
        twice |= info.twice;
        assert_true(s < 5 || traffic_gap(call) < 500 * MSEC);
    }
    assert_int_equal(twice, is_twice);
    for (unsigned i = 0; i < ARRAY_LEN(f); i++)
        traffic_stop(f[i]);
    traffic_stop(call);
    world_run_for(b.w, 2 * SEC);
    assert_true(traffic_missing(call) * 50 < call->next_seq);
    bench_done(&b);
}

static void test_call_beside_copies(void **state)
{
    call_goes_on(UNEQUAL_LOSSY, "default mode stripe", true);
    call_goes_on(PARAMS("rate=30mbit delay=90ms loss=1%", "rate=2mbit delay=80ms loss=1%"),
                 "any udp via up2 mode active-standby", true);
    call_goes_on(PARAMS("rate=30mbit delay=40ms", "rate=2mbit delay=10ms"), "any tcp mode redundant", false);
}

/* Packets of a stream of 20 Mbit/s are copied to a link of 2, which a rule keeps a download to: it gets its half. */
static void test_bulk_beside_copies(void **state)
{
    struct bench b = bench_make(1, NULL, false, PARAMS("rate=30mbit delay=40ms", "rate=2mbit delay=10ms"));
    struct traffic_flow *bulk, *f;
    uint64_t before;

    steer_two(b.node, "any tcp via up2 mode active-standby", "any udp mode redundant");
    bench_begin(&b);
    f = traffic_steady(b.t, b.agent, b.node, 20000000, 1200, false);
    bulk = traffic_window(b.t, b.agent, b.node, 0, &rack);
    world_run_for(b.w, 10 * SEC);
    before = bulk->received_bytes;
    world_run_for(b.w, 10 * SEC);
    assert_true(traffic_bps(bulk->received_bytes - before, 10 * SEC) > .8e6);
    traffic_stop(f);
    traffic_stop(bulk);
    world_run_for(b.w, 2 * SEC);
    bench_done(&b);
}

/* What the default's links lose is copied to them; a rule's flow over metered links of another tier is not. */
static void test_copies_where_judged(void **state)
{
    const struct world_node_spec spec = { .uplinks = 4,
                                          .params = { "rate=20mbit delay=50ms jitter=20ms loss=2%",
                                                      "rate=15mbit delay=60ms jitter=25ms loss=2%",
                                                      "rate=20mbit delay=20ms", "rate=20mbit delay=25ms" },
                                          .tiers = { 0, 0, 2, 2 } };
    struct bench b = { .w = world_new(1) };
    struct traffic_flow *f, *u;
    uint64_t before = 0, received = 0;
    bool twice = false;

    b.agent = world_agent(b.w, "agent", NULL, false);
    b.node = world_node(b.w, "node", b.agent, &spec);
    b.t = traffic_new(b.w);
    b.v = invariants_new(b.w, b.t);
    for (unsigned i = 2; i < 4; i++)
        world_uplink(b.node, i)->spec.metered = true;
    world_steer(b.node, "any udp via up3,up4 mode stripe");
    bench_begin(&b);
    for (unsigned i = 2; i < 4; i++)
        world_uplink_tell(world_uplink(b.node, i));
    f = traffic_window(b.t, b.agent, b.node, 0, NULL);
    u = traffic_steady(b.t, b.agent, b.node, 2000000, 1000, false);
    for (unsigned s = 0; s < 20; s++) {
        struct session_path_info info[4];
        uint64_t by, got;

        world_run_for(b.w, 1 * SEC);
        for (unsigned i = 0; i < 4; i++)
            session_path_info(node_peer_session(b.agent->node, 0), i, b.w->now, &info[i]);
        twice |= info[0].twice;
        by = info[2].metrics.tx_bytes + info[3].metrics.tx_bytes - before;
        got = u->received_bytes - received;
        assert_true(s < 2 || by < got * 5 / 4);
        before += by;
        received += got;
    }
    assert_true(twice);
    traffic_stop(f);
    traffic_stop(u);
    world_run_for(b.w, 1 * SEC);
    bench_done(&b);
}

/* Bytes cost on both links: what is lost is sent again, once. */
static void test_metered_goes_once(void **state)
{
    struct bench b =
        bench_make(1, NULL, false, PARAMS("rate=20mbit delay=20ms loss=2%", "rate=20mbit delay=30ms loss=2%"));
    struct session_info info;
    struct traffic_flow *f;

    for (unsigned i = 0; i < 2; i++)
        world_uplink(b.node, i)->spec.metered = true;
    bench_begin(&b);
    for (unsigned i = 0; i < 2; i++)
        world_uplink_tell(world_uplink(b.node, i));
    f = traffic_window(b.t, b.agent, b.node, 0, NULL);
    world_run_for(b.w, 20 * SEC);
    session_info(node_peer_session(b.agent->node, 0), b.w->now, &info);
    assert_true(info.reinjected > 100);
    assert_true(info.duplicated * 20 < info.reinjected); /* beside a path in doubt, perhaps */
    traffic_stop(f);
    world_run_for(b.w, 1 * SEC);
    bench_done(&b);
}

/* One of two links falls silent: units that are not sent again are read on, or are known to be lost. */
static void test_units_when_a_path_goes(void **state)
{
    static const struct delivery_options bytes = { 0 };

    for (unsigned ordered = 0; ordered < 2; ordered++) {
        const struct media_spec spec = {
            .unit = { .unreliable = true, .unordered = !ordered }, .interval = 1 * MSEC, .bytes = 1300, .count = 8000
        };
        struct node_options o = { .delivery = &bytes, .pool_pkts = 16384 };
        struct bench b;
        struct media *m;

        o.preferences.scheduler = scheduler_find("redundant");
        b = bench_make(1, &o, false, PARAMS("rate=40mbit delay=10ms loss=5%", "rate=8mbit delay=20ms"));
        bench_begin(&b);
        m = media_new(b.node, 0, b.agent, 0, &spec);
        world_run_for(b.w, 2 * SEC);
        world_link(world_uplink(b.node, 1), "blackhole=1");
        world_run_for(b.w, 8 * SEC);
        assert_int_equal(m->sent, 8000);
        assert_true(m->read > 8000 * 9 / 10);
        bench_done(&b);
        media_free(m);
    }
}

/* The same of packets: nothing is kept for it, and a session that carries nothing is quiet. */
static void test_packets_when_a_path_goes(void **state)
{
    struct bench b = bench_make(1, NULL, false, PARAMS("rate=20mbit delay=10ms", "rate=6mbit delay=20ms"));
    struct traffic_flow *f;

    world_steer(b.node, "default mode redundant");
    bench_begin(&b);
    f = traffic_steady(b.t, b.node, b.agent, 8000000, 1000, false);
    world_run_for(b.w, 3 * SEC);
    world_link(world_uplink(b.node, 1), "blackhole=1");
    world_run_for(b.w, 3 * SEC);
    traffic_stop(f);
    world_run_for(b.w, 20 * SEC);
    assert_int_equal(node_pool_used(b.node->node), 0);
    assert_true(node_peer_session(b.node->node, 0)->quiet);
    bench_done(&b);
}

/* Copies that wait for too long for a path that carries less than all do not count as sent. */
static void test_copies_that_went(void **state)
{
    struct bench b = bench_make(1, NULL, false, PARAMS("rate=20mbit delay=10ms", "rate=4mbit delay=20ms"));
    struct session *s;
    struct session_info info;
    struct session_path_info path;
    struct traffic_flow *f;
    uint64_t records = 0;

    world_steer(b.node, "default mode redundant");
    bench_begin(&b);
    s = node_peer_session(b.node->node, 0);
    f = traffic_steady(b.t, b.node, b.agent, 8000000, 1000, false);
    world_run_for(b.w, 10 * SEC);
    session_info(s, b.w->now, &info);
    for (unsigned i = 0; i < 2; i++) {
        session_path_info(s, i, b.w->now, &path);
        records += path.metrics.tx_pkts;
    }
    /* beside data there are a few records that keep the session */
    assert_in_range(info.tx_pkts + info.duplicated, records - records / 50, records);
    traffic_stop(f);
    world_run_for(b.w, 1 * SEC);
    bench_done(&b);
}

/* Two links that are too far for sending again, redundant: what one loses the other brings, in its place. */
static void test_far_redundant(void **state)
{
    struct bench b =
        bench_make(1, NULL, false, PARAMS("rate=20mbit delay=110ms loss=2%", "rate=20mbit delay=140ms loss=2%"));
    struct traffic_flow *f;
    uint64_t before;

    world_steer(b.node, "default mode redundant");
    bench_begin(&b);
    f = traffic_window(b.t, b.agent, b.node, 0, &rack);
    world_run_for(b.w, 5 * SEC); /* slow start fills the queues */
    before = f->tcp->tx.retransmits;
    world_run_for(b.w, 25 * SEC);
    assert_true(f->tcp->tx.retransmits - before < 50); /* 4 of 10,000 packets are lost by both: some 15 */
    traffic_stop(f);
    world_run_for(b.w, 1 * SEC);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call_beside_copies),     cmocka_unit_test(test_bulk_beside_copies),
        cmocka_unit_test(test_copies_where_judged),    cmocka_unit_test(test_metered_goes_once),
        cmocka_unit_test(test_units_when_a_path_goes), cmocka_unit_test(test_packets_when_a_path_goes),
        cmocka_unit_test(test_copies_that_went),       cmocka_unit_test(test_far_redundant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
