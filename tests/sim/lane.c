/* Mode auto in virtual time: which connections are split, what they get by it, and what becomes of those that cannot
 * be.
 *
 *                          +-- uplink 1 --+
 *     application -- node -+              +-- core -- agent -- server
 *                          +-- uplink 2 --+
 *
 * The same pair of applications, with the same TCP, as packets (stripe), split, and as mode auto chooses: what is known
 * of the paths when it does is what a connection before it has measured. Environments are of unequal.c. Over one path
 * bytes are ahead of packets, too, where a queue of 5 ms is short for one flow of a long round trip; mode auto has
 * packets there all the same, since it splits for the sake of a second path. */
#include "sim/connection.h"
#include "tests/sim/sim.h"

#include <errno.h>

#define PORT 40000
#define RUN (8 * SEC)
#define WARM (4 * SEC)
#define NOISE .92 /* of the better one: alike paths go as packets although they are some per cent behind */

static size_t begun(const struct world_end *e)
{
    struct node_split_info info;

    node_split_info(e->node, &info);
    return info.begun;
}

static struct bench make(const char *mode, const char *const params[])
{
    const struct node_options o = { .pool_pkts = 32768 };
    struct bench b = bench_make(1, &o, false, params);
    char rule[64];

    snprintf(rule, sizeof(rule), "default mode %s", mode);
    world_steer(b.node, rule);
    bench_begin(&b);
    return b;
}

/* One connection each way, so that both ends have measured what they send. Free it after the world has ended. */
static struct connection *measure_paths(struct bench *b)
{
    struct connection *c = connection_new(b->node, b->agent, PORT - 1, 6000000, 6000000);

    (void)world_run_until(b->w, connection_done, c, 5 * SEC);
    connection_stop(c);
    world_run_for(b->w, 2 * SEC);
    return c;
}

/* Upwards: the end that begins has CUBIC, as hosts and servers have; Reno, of the one that answers, is for a LAN. */
static double goodput(const char *mode, const char *const params[], bool *ret_split)
{
    struct bench b = make(mode, params);
    struct connection *c, *first = measure_paths(&b);
    uint64_t at_warm;
    size_t before;
    double bps;

    before = begun(b.node);
    c = connection_new(b.node, b.agent, PORT, UINT64_MAX, 0);
    world_run_for(b.w, WARM);
    at_warm = c->side[1].read;
    world_run_for(b.w, RUN - WARM);
    bps = traffic_bps(c->side[1].read - at_warm, RUN - WARM);
    *ret_split = begun(b.node) > before;
    bench_done(&b);
    connection_free(c);
    connection_free(first);
    return bps;
}

static void test_it_chooses_the_better(void **state)
{
    static const struct {
        const char *name, *links[3];
        int split; /* 1: it must be, 0: it must not, -1: either */
    } pairs[] = {
        { "50@20 twice", { "rate=50mbit delay=20ms", "rate=50mbit delay=20ms" }, 0 },
        { "50@20+50@70", { "rate=50mbit delay=20ms", "rate=50mbit delay=70ms" }, 1 },
        { "LTE 40@30+-5 and 25@45+-8, .5 %",
          { "rate=40mbit delay=30ms jitter=5ms loss=0.5%", "rate=25mbit delay=45ms jitter=8ms loss=0.5%" },
          1 },
        { "50@20", { "rate=50mbit delay=20ms" }, 0 },
        { "50@20 twice, 2 %", { "rate=50mbit delay=20ms loss=2%", "rate=50mbit delay=20ms loss=2%" }, 1 },
        { "50@20+-20 twice", { "rate=50mbit delay=20ms jitter=20ms", "rate=50mbit delay=20ms jitter=20ms" }, 1 },
        { "15@15+3.6@50", { "rate=14.67mbit delay=15ms", "rate=3.61mbit delay=50ms" }, 1 },
        { "50@20+12@20", { "rate=50mbit delay=20ms", "rate=12mbit delay=20ms" }, -1 },
        { "50@20+1@20", { "rate=50mbit delay=20ms", "rate=1mbit delay=20ms" }, 0 },
        { "LTE 40@35+-8, LEO 100@50+-25 1 %",
          { "rate=40mbit delay=35ms jitter=8ms", "rate=100mbit delay=50ms jitter=25ms loss=1%" },
          1 },
        { "LTE 40@35, GEO 20@320+-20 .5 %",
          { "rate=40mbit delay=35ms", "rate=20mbit delay=320ms jitter=20ms loss=0.5%" },
          1 },
        { "congested 20@50+-20 and 15@60+-25, 2 %",
          { "rate=20mbit delay=50ms jitter=20ms loss=2%", "rate=15mbit delay=60ms jitter=25ms loss=2%" },
          1 },
    };
    unsigned failed = 0;

    printf("# Mbit/s: as packets, split, and as mode auto chose\n");
    for (size_t i = 0; i < ARRAY_LEN(pairs); i += sim_brief() ? 6 : 1) {
        bool is_split, any;
        bool one = !pairs[i].links[1];
        double packets = goodput("stripe", pairs[i].links, &any), split = goodput("split", pairs[i].links, &any),
               chosen = goodput("auto", pairs[i].links, &is_split);
        bool wrong = chosen < NOISE * (one ? packets : MAX(packets, split)) ||
                     (pairs[i].split >= 0 && is_split != pairs[i].split);

        printf("# %-40s %6.1f %6.1f %6.1f %s%s\n", pairs[i].name, packets / 1e6, split / 1e6, chosen / 1e6,
               is_split ? "split" : "packets", wrong ? " MISSED" : "");
        failed += wrong;
    }
    assert_int_equal(failed, 0);
}

/* Nothing is known of their rates yet: split, which is behind nowhere. */
static void test_the_first_connection(void **state)
{
    struct bench b = make("auto", PARAMS("rate=20mbit delay=20ms", "rate=20mbit delay=20ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, 10000, 10000);

    assert_true(world_run_until(b.w, connection_done, c, 10 * SEC));
    assert_int_equal(begun(b.node), 1);
    bench_done(&b);
    connection_free(c);
}

/* The choice says by what it was made. */
static void test_why(void **state)
{
    struct bench b = make("auto", PARAMS("rate=50mbit delay=20ms", "rate=50mbit delay=20ms"));
    struct packet_info info = { .family = ADDR_V4,
                                .proto = PROTO_TCP,
                                .total_len = 1400,
                                .src = b.node->inner[0],
                                .dst = b.agent->inner[0],
                                .sport = 1,
                                .dport = 80 };
    struct connection *first;
    struct node_why why;

    node_explain(b.node->node, &info, &why, b.w->now);
    assert_int_equal(why.lane, NODE_LANE_SPLIT);
    assert_int_equal(why.lane_why.paths, 2);
    assert_int_equal(why.lane_why.slow_bps, 0);
    assert_in_range(why.lane_why.rtt, 40 * MSEC, 41 * MSEC);
    first = measure_paths(&b);
    node_explain(b.node->node, &info, &why, b.w->now);
    assert_int_equal(why.lane, NODE_LANE_ALIKE);
    assert_true(why.lane_why.slow_bps > 40000000 && why.lane_why.fast_bps < 60000000);
    assert_true(why.lane_why.spread < 2 * MSEC && why.lane_why.loss < .001);
    world_carrier(world_uplink(b.node, 1), false);
    world_run_for(b.w, 100 * MSEC);
    node_explain(b.node->node, &info, &why, b.w->now);
    assert_int_equal(why.lane, NODE_LANE_ONE_PATH);
    info.proto = PROTO_UDP;
    node_explain(b.node->node, &info, &why, b.w->now);
    assert_int_equal(why.lane, NODE_LANE_NOT_TCP);
    bench_done(&b);
    connection_free(first);
}

static bool has_connected(void *ctx)
{
    return ((struct connection *)ctx)->connected_at > 0;
}

/* What the agent does not open as a channel may be opened by packets, at once. */
static void refused(void (*deny)(struct bench *b), bool connects)
{
    struct bench b = make("auto", PARAMS("rate=20mbit delay=20ms", "rate=20mbit delay=60ms"));
    struct connection *c;
    instant began;

    deny(&b);
    began = b.w->now;
    c = connection_new(b.node, b.agent, PORT, 20000, 20000);
    assert_int_equal(world_run_until(b.w, has_connected, c, 900 * MSEC), connects);
    if (connects) {
        assert_true(c->connected_at - began < 300 * MSEC); /* three round trips: before a SYN comes again */
        assert_int_equal(c->syns, 1);
        assert_true(world_run_until(b.w, connection_done, c, 10 * SEC));
    }
    bench_done(&b);
    connection_free(c);
}

static void no_room(struct bench *b)
{
    node_close(b->agent->node); /* it begins none any more */
}

static void test_agent_has_no_room(void **state)
{
    refused(no_room, true);
}

/* A server that says no is heard, and not asked again by packets. */
static void test_server_refuses(void **state)
{
    struct bench b = make("auto", PARAMS("rate=20mbit delay=20ms", "rate=20mbit delay=60ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, 1000, 1000);

    c->refuses = true;
    assert_true(world_run_until(b.w, connection_done, c, 1 * SEC));
    assert_int_equal(c->side[0].error, -ECONNREFUSED);
    assert_int_equal(c->syns, 1);
    bench_done(&b);
    connection_free(c);
}

/* Where no packet may go, no channel does, and its SYN as a packet does not either. */
static void test_what_may_not_be_reached(void **state)
{
    struct bench b = make("auto", PARAMS("rate=20mbit delay=20ms", "rate=20mbit delay=60ms"));
    const struct endpoint metadata = { addr_v4(0xa9fea9fe), 80 }; /* 169.254.169.254 */
    struct connection *c = connection_to(b.node, b.agent, PORT, &metadata, 1000, 1000);
    uint64_t drops[NODE_DROP_COUNT];

    world_run_for(b.w, 500 * MSEC);
    node_drops(b.agent->node, drops);
    assert_int_equal(drops[NODE_DROP_INNER_DEST], 2); /* as a channel, then as a packet */
    assert_int_equal(c->syns, 0);
    bench_done(&b);
    connection_free(c);
}

/* The agent is lost before it has answered: the SYN waits as a packet for the session that comes. */
static void test_agent_begins_anew(void **state)
{
    struct bench b = make("auto", PARAMS("rate=20mbit delay=20ms", "rate=20mbit delay=60ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, 20000, 20000);

    world_run_for(b.w, 10 * MSEC);
    assert_int_equal(begun(b.node), 1);
    world_restart(b.agent);
    assert_true(world_run_until(b.w, connection_done, c, 30 * SEC));
    assert_int_equal(c->side[0].error, 0);
    assert_int_equal(c->side[0].read, 20000);
    bench_done(&b);
    connection_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_connection),    cmocka_unit_test(test_why),
        cmocka_unit_test(test_agent_has_no_room),       cmocka_unit_test(test_server_refuses),
        cmocka_unit_test(test_what_may_not_be_reached), cmocka_unit_test(test_agent_begins_anew),
        cmocka_unit_test(test_it_chooses_the_better),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
