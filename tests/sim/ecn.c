/* DSCP and ECN through the tunnel: what is seen outside, what a router's mark does inside, and marks of our own queue.
 *
 *     node -- 1 uplink -- core: a router that marks -- agent */
#include "tests/sim/sim.h"
#include "tests/unit/tunnel.h"

#define PACKETS_MAX 4096

struct line {
    struct bench b;
    struct world_watch watch;
    int router_ecn;    /* what the router makes of the outer field of what the node sends; negative: leaves it */
    bool router_clear; /* the router clears the DSCP, as networks do */
    uint8_t outside[PACKETS_MAX]; /* TOS of the node's datagrams that are as long as its packets */
    size_t outside_count;
    uint8_t inside[PACKETS_MAX]; /* TOS of what came out at the agent */
    size_t inside_count;
    uint16_t ports[PACKETS_MAX]; /* and its source port */
    uint16_t pieces_from;        /* datagrams from so many bytes on may be pieces; 0: packets are whole */
};

static bool on_core(void *ctx, struct world_packet *p)
{
    struct line *l = ctx;

    if (!endpoint_equal(&p->dst, &l->b.agent->listen[0]))
        return true;
    if (!l->pieces_from && p->len < 1000 && p->tos != 0) {
        world_fail(l->b.w, "a control record of TOS %u", p->tos);
        return true;
    }
    if (p->len >= 1000 && l->outside_count < PACKETS_MAX)
        l->outside[l->outside_count++] = p->tos;
    if (p->len >= (l->pieces_from ? l->pieces_from : 1000) && l->router_ecn >= 0)
        p->tos = (uint8_t)((p->tos & 0xfc) | l->router_ecn);
    if (l->router_clear)
        p->tos &= 3;
    return true;
}

static bool on_inner(void *ctx, struct world_end *e, const uint8_t *pkt, size_t len)
{
    struct line *l = ctx;
    bool v6 = pkt[0] >> 4 == 6;

    if (e != l->b.agent || len < 900)
        return false;
    if (!v6 && judge_sum(0, pkt, 20) != 0xffff)
        world_fail(l->b.w, "a wrong header checksum came out");
    if (l->inside_count < PACKETS_MAX) {
        l->ports[l->inside_count] = get_be16(pkt + (v6 ? 40 : 20));
        l->inside[l->inside_count++] = v6 ? (uint8_t)(get_be16(pkt) >> 4) : pkt[1];
    }
    return true;
}

static struct line *line_make(const struct node_options *options, const char *params)
{
    struct line *l = calloc(1, sizeof(*l));

    assert_non_null(l);
    l->b = bench_make(1, options, false, PARAMS(params));
    l->router_ecn = -1;
    l->watch = (struct world_watch){ .ctx = l, .core = on_core, .inner = on_inner };
    world_watch_add(l->b.w, &l->watch);
    bench_begin(&l->b);
    l->outside_count = 0; /* the probes of the path's size */
    return l;
}

static void line_done(struct line *l)
{
    bench_done(&l->b);
    free(l);
}

/* A UDP packet of 1,000 bytes from the node to the agent. */
static void put(struct line *l, bool v6, uint16_t port, uint8_t tos)
{
    static const uint8_t payload[1000 - 48];
    struct recipe r = {
        .v6 = v6, .udp = true, .sport = port, .payload = payload, .payload_len = 1000 - (v6 ? 48 : 28)
    };
    uint8_t pkt[1000];
    size_t n = v6 ? 16 : 4, at = v6 ? 8 : 12;

    if (!v6) {
        static const uint8_t more[1000 - 28];

        r.payload = more;
    }
    assert_int_equal(cook(&r, pkt), sizeof(pkt));
    memcpy(pkt + at, l->b.node->inner[v6].bytes, n);
    memcpy(pkt + at + n, l->b.agent->inner[v6].bytes, n);
    if (v6) {
        put_be16(pkt, (uint16_t)(0x6000 | tos << 4));
        put_be16(pkt + 46, 0);
        put_be16(pkt + 46, (uint16_t)~judge_sum(judge_pseudo(pkt, 960), pkt + 40, 960));
    } else {
        pkt[1] = tos;
        put_be16(pkt + 10, 0);
        put_be16(pkt + 10, (uint16_t)~judge_sum(0, pkt, 20));
        put_be16(pkt + 26, 0);
        put_be16(pkt + 26, (uint16_t)~judge_sum(judge_pseudo(pkt, 980), pkt + 20, 980));
    }
    world_packet_in(l->b.node, pkt, sizeof(pkt));
}

static void test_copied_outside(void **state)
{
    /* Packets of one flow in one moment: each datagram has its own packet's TOS, also where they leave as trains. */
    static const uint8_t sent[] = {
        0, 0, 46 << 2, 46 << 2, 46 << 2, 10 << 2 | 2, 10 << 2 | 2, 10 << 2 | 3, 1, 1, 2, 0
    };
    struct line *l = line_make(NULL, "rate=20mbit delay=10ms");

    for (int v6 = 0; v6 < 2; v6++) {
        l->outside_count = l->inside_count = 0;
        for (size_t i = 0; i < ARRAY_LEN(sent); i++)
            put(l, v6, 1000, sent[i]);
        world_run_for(l->b.w, 1 * SEC);
        assert_int_equal(l->outside_count, ARRAY_LEN(sent));
        assert_memory_equal(l->outside, sent, sizeof(sent));
        assert_int_equal(l->inside_count, ARRAY_LEN(sent));
        assert_memory_equal(l->inside, sent, sizeof(sent));
    }
    /* A network that clears the outer DSCP does not reach the inner one. */
    l->router_clear = true;
    l->inside_count = 0;
    put(l, false, 1000, 46 << 2 | 2);
    world_run_for(l->b.w, 1 * SEC);
    assert_int_equal(l->inside_count, 1);
    assert_int_equal(l->inside[0], 46 << 2 | 2);
    line_done(l);
}

static void test_hidden_outside(void **state)
{
    struct node_options options = { .hide_dscp = true };
    struct line *l = line_make(&options, "rate=20mbit delay=10ms");

    put(l, false, 1000, 46 << 2 | 2);
    put(l, true, 1000, 46 << 2 | 1);
    world_run_for(l->b.w, 1 * SEC);
    assert_int_equal(l->outside_count, 2);
    assert_true((l->outside[0] == 2 && l->outside[1] == 1) || (l->outside[0] == 1 && l->outside[1] == 2));
    assert_int_equal(l->inside_count, 2);
    assert_int_equal(l->inside[0] >> 2, 46);
    assert_int_equal(l->inside[1] >> 2, 46);
    line_done(l);
}

static void test_steering_marks_stay_inside(void **state)
{
    struct line *l = line_make(NULL, "rate=20mbit delay=10ms");
    struct node_mark mark = { .dscp = 3, .mark = 7 };

    node_set_marks(l->b.node->node, &mark, 1);
    put(l, false, 1000, 3 << 2 | 2);
    world_run_for(l->b.w, 1 * SEC);
    assert_int_equal(l->outside_count, 1);
    assert_int_equal(l->outside[0], 2);
    assert_int_equal(l->inside[0], 2);
    line_done(l);
}

static void test_router_marks(void **state)
{
    /* RFC 6040 figure 4, by the bits: [inner][outer]; -1: dropped. */
    static const int want[4][4] = { { 0, 0, 0, -1 }, { 1, 1, 1, 3 }, { 2, 1, 2, 3 }, { 3, 3, 3, 3 } };
    struct line *l = line_make(NULL, "rate=20mbit delay=10ms");
    uint64_t drops[NODE_DROP_COUNT];
    struct session_info info;
    uint64_t dropped = 0;

    for (int v6 = 0; v6 < 2; v6++) {
        for (unsigned inner = 0; inner < 4; inner++) {
            for (int outer = 0; outer < 4; outer++) {
                l->router_ecn = outer;
                l->inside_count = 0;
                put(l, v6, 1000, (uint8_t)(34 << 2 | inner));
                world_run_for(l->b.w, 200 * MSEC);
                assert_int_equal(l->inside_count, want[inner][outer] >= 0);
                if (l->inside_count)
                    assert_int_equal(l->inside[0], 34 << 2 | want[inner][outer]);
                dropped += l->inside_count == 0;
            }
        }
    }
    node_drops(l->b.agent->node, drops);
    assert_int_equal(drops[NODE_DROP_INNER_ECN], 2);
    assert_int_equal(dropped, 2);
    assert_string_equal(node_drop_name(NODE_DROP_INNER_ECN), "inner-ecn");
    /* They came, so nothing was sent again. */
    session_info(node_peer_session(l->b.node->node, 0), l->b.w->now, &info);
    assert_int_equal(info.reinjected, 0);
    line_done(l);
}

/* A packet that goes in pieces comes out as the fragments of RFC 3168 section 5.3: one that is marked marks it. */
static void test_pieces_are_marked(void **state)
{
    struct line *l = line_make(NULL, "rate=20mbit delay=10ms mtu=700");
    struct session_info info;

    l->pieces_from = 400;
    for (int i = 0; i < 10; i++) { /* until the path's size is known */
        put(l, false, 1000, 2);
        world_run_for(l->b.w, 2 * SEC);
    }
    for (int outer = 2; outer < 4; outer++) {
        uint64_t pieces;

        l->router_ecn = outer;
        l->inside_count = 0;
        session_info(node_peer_session(l->b.node->node, 0), l->b.w->now, &info);
        pieces = info.pieces;
        put(l, false, 1000, 34 << 2 | 2);
        world_run_for(l->b.w, 200 * MSEC);
        session_info(node_peer_session(l->b.node->node, 0), l->b.w->now, &info);
        assert_int_equal(info.pieces - pieces, 2);
        assert_int_equal(l->inside_count, 1);
        assert_int_equal(l->inside[0], 34 << 2 | outer);
    }
    line_done(l);
}

static void test_own_queue_marks(void **state)
{
    struct line *l = line_make(NULL, "rate=4mbit delay=10ms");
    struct session_info info;
    size_t marked[2] = { 0 }, came[2] = { 0 };

    /* 6 Mbit/s into 4: port 1000 can hear of congestion, port 1001 cannot. For 3 s. */
    for (int i = 0; i < 1125; i++) {
        put(l, false, 1000, 2);
        put(l, false, 1001, 0);
        world_run_for(l->b.w, 2667);
    }
    world_run_for(l->b.w, 3 * SEC);
    session_info(node_peer_session(l->b.node->node, 0), l->b.w->now, &info);
    for (size_t i = 0; i < l->inside_count; i++) {
        came[l->ports[i] - 1000]++;
        marked[l->ports[i] - 1000] += (l->inside[i] & 3) == 3;
        assert_true(l->ports[i] == 1001 ? l->inside[i] == 0 : l->inside[i] == 2 || l->inside[i] == 3);
    }
    printf("# marked %zu of %zu, the other flow lost %zu\n", marked[0], came[0], 1125 - came[1]);
    /* CoDel speaks 100 ms / sqrt(n) apart, n = 1, 2, ...: about (t / 200 ms)^2 times in a span t, 25 in the first
     * second. */
    assert_true(info.flowq.marked >= 20);
    assert_int_equal(marked[0], info.flowq.marked);
    assert_int_equal(came[0], 1125);
    assert_int_equal(marked[1], 0);
    assert_true(1125 - came[1] >= 20);
    assert_int_equal(info.flowq.dropped_codel, 1125 - came[1]);
    line_done(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copied_outside),
        cmocka_unit_test(test_hidden_outside),
        cmocka_unit_test(test_steering_marks_stay_inside),
        cmocka_unit_test(test_router_marks),
        cmocka_unit_test(test_pieces_are_marked),
        cmocka_unit_test(test_own_queue_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
