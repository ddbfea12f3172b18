/* TCP connections through the split lane (mode split), in virtual time: real packets at both ends, bytes between.
 *
 *                          +-- uplink 1 --+
 *     application -- node -+              +-- core -- agent -- server
 *                          +-- uplink 2 --+
 *
 * Every byte is checked at its place (sim/connection.h). What a connection gets of unequal links: unequal.c. */
#include "session/channel.h"
#include "sim/connection.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdio.h>

#define PORT 40000

static struct bench make_with(uint64_t seed, const struct node_options *o, const char *const params[])
{
    struct bench b = bench_make(seed, o, false, params);

    world_steer(b.node, "default mode split");
    bench_begin(&b);
    return b;
}

static struct bench make(uint64_t seed, const char *const params[])
{
    const struct node_options o = { .pool_pkts = 16384 };

    return make_with(seed, &o, params);
}

static size_t splits(const struct world_end *e)
{
    struct node_split_info info;

    node_split_info(e->node, &info);
    return info.count;
}

static void end(struct bench *b, struct connection *c)
{
    bench_done(b);
    connection_free(c);
}

static void finish(struct bench *b, struct connection *c, span limit)
{
    if (!world_run_until(b->w, connection_done, c, limit))
        fail_msg("%llu bytes up, %llu down after %lld s: %s", (unsigned long long)c->side[1].read,
                 (unsigned long long)c->side[0].read, (long long)(limit / SEC), b->w->error);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(c->side[i].error, 0);
        assert_int_equal(c->side[i].read, c->side[!i].total);
    }
    world_run_for(b->w, 10 * SEC); /* TIME_WAIT */
    assert_int_equal(splits(b->node), 0);
    assert_int_equal(splits(b->agent), 0);
    end(b, c);
}

/* --- that it works --- */

static void test_both_ways(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=10mbit delay=40ms loss=1%"));
    struct connection *c = connection_new(b.node, b.agent, PORT, 3000000, 5000000);

    world_run_for(b.w, 1 * SEC);
    assert_int_equal(splits(b.node), 1);
    assert_int_equal(splits(b.agent), 1);
    assert_int_equal(c->syns, 1);
    assert_in_range(c->connected_at - WORLD_START, 1 * SEC, 2 * SEC);
    finish(&b, c, 60 * SEC);
}

struct seen {
    struct world_watch watch;
    struct bench *b;
    uint64_t bytes[2][256]; /* of datagrams: towards the agent, towards the node; by their TOS */
};

static bool on_core(void *ctx, struct world_packet *p)
{
    struct seen *s = ctx;

    if (p->len >= 500) /* data */
        s->bytes[!endpoint_equal(&p->dst, &s->b->agent->listen[0])][p->tos] += p->len;
    return true;
}

/* Either direction leaves in datagrams of its sender's DSCP, unless that is hidden. */
static void test_dscp(void **state)
{
    for (int hidden = 0; hidden < 2; hidden++) {
        const struct node_options o = { .pool_pkts = 16384, .hide_dscp = hidden };
        struct bench b = make_with(1, &o, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
        struct connection *c = connection_new(b.node, b.agent, PORT, 1000000, 2000000);
        struct seen s = { .b = &b };

        c->tos[0] = 10 << 2;
        c->tos[1] = 46 << 2;
        s.watch = (struct world_watch){ .ctx = &s, .core = on_core };
        world_watch_add(b.w, &s.watch);
        world_run_until(b.w, connection_done, c, 30 * SEC);
        assert_true(s.bytes[0][hidden ? 0 : 10 << 2] >= 1000000);
        assert_true(s.bytes[1][hidden ? 0 : 46 << 2] >= 2000000);
        if (hidden)
            assert_int_equal(s.bytes[0][10 << 2] + s.bytes[1][46 << 2], 0);
        finish(&b, c, 30 * SEC);
    }
}

static void test_one_way_and_nothing(void **state)
{
    static const uint64_t sizes[][2] = { { 0, 2000000 }, { 2000000, 0 }, { 0, 0 }, { 1, 1 } };

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct bench b = make(i + 1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));

        finish(&b, connection_new(b.node, b.agent, PORT, sizes[i][0], sizes[i][1]), 30 * SEC);
    }
}

static void test_hostile_links(void **state)
{
    static const char *const links[][3] = {
        { "rate=20mbit delay=10ms loss=10%", "rate=20mbit delay=30ms loss=10%" },
        { "rate=20mbit delay=10ms dup=10%", "rate=20mbit delay=10ms corrupt=5%" },
        { "rate=20mbit delay=10ms jitter=10ms reorder=1", "rate=5mbit delay=50ms jitter=30ms reorder=1 loss=3%" },
        { "rate=1mbit delay=300ms queue=20ms", "rate=10mbit delay=10ms queue=5ms" },
        { "rate=20mbit delay=10ms mtu=1280", "rate=20mbit delay=10ms" },
    };

    for (size_t i = 0; i < ARRAY_LEN(links); i++) {
        struct bench b = make(i + 1, links[i]);

        finish(&b, connection_new(b.node, b.agent, PORT, 2000000, 3000000), 60 * SEC);
    }
}

static void test_many(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=10mbit delay=30ms"));
    struct connection *c[40];

    for (unsigned i = 0; i < ARRAY_LEN(c); i++)
        c[i] = connection_new(b.node, b.agent, (uint16_t)(PORT + i), 1000 * i, i % 8 == 0 ? 1000000 : 5000);
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        assert_true(world_run_until(b.w, connection_done, c[i], 60 * SEC));
        assert_int_equal(c[i]->side[0].error, 0);
        assert_int_equal(c[i]->side[0].read, c[i]->side[1].total);
        assert_int_equal(c[i]->side[1].read, c[i]->side[0].total);
    }
    bench_done(&b);
    for (unsigned i = 0; i < ARRAY_LEN(c); i++)
        connection_free(c[i]);
}

/* Two long ones share what there is, beside a flow of packets. */
static void test_fair_among_themselves(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=10mbit delay=20ms"));
    struct connection *c[2];
    double share;

    for (unsigned i = 0; i < 2; i++)
        c[i] = connection_new(b.node, b.agent, (uint16_t)(PORT + i), UINT64_MAX, 0);
    world_run_for(b.w, 10 * SEC);
    share = (double)c[0]->side[1].read / (double)(c[0]->side[1].read + c[1]->side[1].read);
    printf("# of two connections the first has %.2f\n", share);
    assert_true(share > .4 && share < .6);
    bench_done(&b);
    connection_free(c[0]);
    connection_free(c[1]);
}

/* --- what servers, readers and agents do --- */

static void test_refused(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, 1000, 1000);
    struct node_split_info info;

    c->refuses = true;
    assert_true(world_run_until(b.w, connection_done, c, 1 * SEC));
    assert_int_equal(c->side[0].error, -ECONNREFUSED);
    assert_int_equal(c->connected_at, 0);
    world_run_for(b.w, 1 * SEC);
    node_split_info(b.node->node, &info);
    assert_int_equal(info.refused, 1);
    assert_int_equal(info.count, 0);
    assert_int_equal(splits(b.agent), 0);
    end(&b, c);
}

/* What a node may not reach by packets it cannot reach by a channel. */
static void test_what_may_not_be_reached(void **state)
{
    static const char *const modes[] = { "default mode stripe", "default mode split" };
    const struct endpoint metadata = { addr_v4(0xa9fea9fe), 80 }; /* 169.254.169.254 */

    for (size_t m = 0; m < ARRAY_LEN(modes); m++) {
        struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
        struct connection *c;
        uint64_t drops[NODE_DROP_COUNT];
        struct node_split_info info;

        world_steer(b.node, modes[m]);
        world_run_for(b.w, 500 * MSEC);
        c = connection_to(b.node, b.agent, PORT, &metadata, 1000, 1000);
        world_run_for(b.w, 500 * MSEC);
        node_drops(b.agent->node, drops);
        node_split_info(b.node->node, &info);
        assert_int_equal(drops[NODE_DROP_INNER_DEST], 1);
        assert_int_equal(c->syns, 0);
        assert_int_equal(info.refused, m);
        end(&b, c);
    }
}

/* Port 0 is nobody's: such a SYN is a packet like any other, and holds nothing. */
static void test_port_0(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    uint8_t syn[40] = { 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6 };
    struct node_split_info info;

    memcpy(syn + 12, b.node->inner[0].bytes, 4);
    memcpy(syn + 16, b.agent->inner[0].bytes, 4);
    put_be16(syn + 10, csum_finish(csum_add(0, syn, 20)));
    put_be16(syn + 20, PORT);
    syn[32] = 5 << 4;
    syn[33] = TCP_SYN;
    world_packet_in(b.node, syn, sizeof(syn));
    put_be16(syn + 20, 0);
    put_be16(syn + 22, 80);
    world_packet_in(b.node, syn, sizeof(syn));
    world_run_for(b.w, 100 * MSEC);
    node_split_info(b.node->node, &info);
    assert_int_equal(info.begun, 0);
    put_be16(syn + 20, PORT); /* and with both ports it would have been one */
    world_packet_in(b.node, syn, sizeof(syn));
    node_split_info(b.node->node, &info);
    assert_int_equal(info.begun, 1);
    bench_done(&b);
}

/* The SYN is held for as long as the server says nothing, and nothing stays. */
static void test_server_is_silent(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, 1000, 1000);

    c->silent = true;
    world_run_for(b.w, 20 * SEC);
    assert_int_equal(c->connected_at, 0);
    assert_in_range(c->syns, 3, 10);
    world_run_for(b.w, 150 * SEC);
    assert_int_equal(c->connected_at, 0);
    assert_int_not_equal(c->side[0].error, 0);
    world_run_for(b.w, 80 * SEC);
    assert_int_equal(splits(b.node), 0);
    assert_int_equal(splits(b.agent), 0);
    end(&b, c);
}

/* A client that gives up says nothing: its SYN does not come again. */
static void test_client_gives_up(void **state)
{
    /* SYNs come at 0, 1, 3 and 7 s (RFC 6298): the last that was sent before `after`, twice that, and 4 s */
    static const struct {
        span after, gone;
    } rows[] = { { 500 * MSEC, 4 * SEC }, { 1500 * MSEC, 7 * SEC }, { 8 * SEC, 25 * SEC } };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
        struct connection *c = connection_new(b.node, b.agent, PORT, 1000, 1000);

        c->silent = true;
        world_run_for(b.w, rows[i].after);
        connection_stop(c);
        world_run_for(b.w, rows[i].gone - rows[i].after - 50 * MSEC);
        assert_int_equal(splits(b.node), 1);
        assert_int_equal(splits(b.agent), 1);
        world_run_for(b.w, 200 * MSEC);
        assert_int_equal(splits(b.node), 0);
        assert_int_equal(splits(b.agent), 0);
        end(&b, c);
    }
}

/* A reader that reads no more stops the writer, and neither end holds more than it says. */
static void test_backpressure(void **state)
{
    struct bench b = make(1, PARAMS("rate=50mbit delay=10ms", "rate=50mbit delay=10ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, 0, 60000000);
    uint64_t written;

    c->side[0].read_most = 1000000;
    world_run_for(b.w, 10 * SEC);
    written = c->side[1].written;
    printf("# %.1f MB written beyond what was read\n", (double)(written - c->side[0].read) / 1e6);
    /* 4 MiB of each application's own and of the agent's end, 8 of a channel each way out and in, 1 of the node's end.
     */
    assert_true(written - c->side[0].read < 29u << 20);
    world_run_for(b.w, 5 * SEC);
    assert_int_equal(c->side[1].written, written);
    c->side[0].read_most = UINT64_MAX;
    finish(&b, c, 60 * SEC);
}

/* Either application does: the other hears of it, and nothing stays. */
static void test_breaks_off(void **state)
{
    for (unsigned by = 0; by < 2; by++) {
        struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
        struct connection *c = connection_new(b.node, b.agent, PORT, UINT64_MAX, UINT64_MAX);

        world_run_for(b.w, 2 * SEC);
        tcp_end_abort(c->side[by].end);
        world_run_for(b.w, 2 * SEC);
        assert_int_equal(c->side[!by].error, -ECONNRESET);
        assert_int_equal(splits(b.node), 0);
        assert_int_equal(splits(b.agent), 0);
        end(&b, c);
    }
}

static void test_agent_begins_anew(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, UINT64_MAX, UINT64_MAX), *again;

    world_run_for(b.w, 2 * SEC);
    world_restart(b.agent);
    world_run_for(b.w, 5 * SEC);
    assert_int_equal(c->side[0].error, -ECONNRESET);
    assert_int_equal(splits(b.node), 0);
    again = connection_new(b.node, b.agent, PORT + 1, 100000, 100000);
    finish(&b, again, 30 * SEC);
    connection_free(c);
}

/* --- a planned restart --- */

static uint64_t resumed(const struct world_end *e)
{
    struct node_split_info info;

    node_split_info(e->node, &info);
    return info.resumed;
}

/* Either end, again and again, at any moment of a transfer both ways: every byte comes once, on one connection. */
static void test_restart(void **state)
{
    static const char *const links[][3] = {
        { "rate=20mbit delay=10ms", "rate=20mbit delay=10ms" },
        { "rate=20mbit delay=10ms loss=2%", "rate=10mbit delay=40ms jitter=10ms reorder=1 dup=5%" },
    };

    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        for (unsigned which = 1; which < 4; which++) {
            struct bench b = make(10 * i + which, links[i]);
            struct connection *c = connection_new(b.node, b.agent, PORT, 3000000, 4000000);
            span between = 700 * MSEC;

            world_run_for(b.w, 200 * MSEC);
            for (unsigned k = 0; k < 6 && !connection_done(c); k++) {
                struct world_end *e = which == 3 ? (k % 2 ? b.node : b.agent) : which == 2 ? b.node : b.agent;

                assert_int_equal(world_restart_planned(e, NULL), 0);
                assert_int_equal(resumed(e), 1);
                world_run_for(b.w, between += 13 * MSEC);
                assert_int_equal(c->side[0].error, 0);
                assert_int_equal(c->side[1].error, 0);
            }
            assert_int_equal(c->syns, 1);
            finish(&b, c, 60 * SEC);
        }
}

/* While the handshake of the last restart is still under way, and while both ends are. */
static void test_restart_at_once(void **state)
{
    for (span after = 0; after <= 100 * MSEC; after += 7 * MSEC)
        for (unsigned both = 0; both < 2; both++) {
            struct bench b = make((uint64_t)after + 1, PARAMS("rate=20mbit delay=10ms", "rate=10mbit delay=25ms"));
            struct connection *c = connection_new(b.node, b.agent, PORT, 1000000, 1000000);

            world_run_for(b.w, 300 * MSEC);
            assert_int_equal(world_restart_planned(b.agent, NULL), 0);
            world_run_for(b.w, after);
            assert_int_equal(world_restart_planned(both ? b.node : b.agent, NULL), 0);
            world_run_for(b.w, 10 * SEC);
            /* One that had no keys yet could hand nothing over: then it is broken off, never wrong. */
            if (c->side[0].error == 0 && c->side[1].error == 0)
                finish(&b, c, 60 * SEC);
            else
                end(&b, c);
        }
}

/* While it is opened: at the node its SYN is held, at the agent the server is called. It is opened all the same, or
 * reset where the server was reached already, and never left without an answer. */
static void test_restart_while_opening(void **state)
{
    unsigned broken = 0, all = 0;

    for (unsigned which = 1; which < 4; which++)
        for (span after = 0; after <= 70 * MSEC; after += 5 * MSEC) {
            struct bench b = make(which, PARAMS("rate=20mbit delay=10ms", "rate=10mbit delay=25ms"));
            struct connection *c = connection_new(b.node, b.agent, PORT, 200000, 200000);

            world_run_for(b.w, after);
            for (unsigned i = 0; i < 2; i++)
                if (which & 1u << i)
                    assert_int_equal(world_restart_planned(i == 0 ? b.node : b.agent, NULL), 0);
            assert_true(world_run_until(b.w, connection_done, c, 10 * SEC));
            all++;
            if (c->side[0].error == 0) {
                finish(&b, c, 10 * SEC);
                continue;
            }
            assert_int_equal(c->side[0].error, c->connected_at > 0 ? -ECONNRESET : -ECONNREFUSED);
            broken++;
            end(&b, c);
        }
    printf("# opened in spite of a restart: %u of %u\n", all - broken, all);
}

/* The same of a server that is silent until the restart is over. */
static void test_restart_while_calling(void **state)
{
    for (unsigned which = 1; which < 4; which++)
        for (unsigned refuses = 0; refuses < 2; refuses++) {
            struct bench b = make(which, PARAMS("rate=20mbit delay=10ms", "rate=10mbit delay=25ms"));
            struct connection *c = connection_new(b.node, b.agent, PORT, 200000, 200000);

            c->silent = true;
            world_run_for(b.w, 2 * SEC);
            for (unsigned i = 0; i < 2; i++)
                if (which & 1u << i)
                    assert_int_equal(world_restart_planned(i == 0 ? b.node : b.agent, NULL), 0);
            world_run_for(b.w, 1 * SEC);
            c->silent = false;
            c->refuses = refuses;
            assert_true(world_run_until(b.w, connection_done, c, 20 * SEC));
            if (!refuses) {
                finish(&b, c, 20 * SEC);
                continue;
            }
            assert_int_equal(c->side[0].error, -ECONNREFUSED);
            assert_int_equal(c->connected_at, 0);
            end(&b, c);
        }
}

/* A direction that has ended stays so, and the other goes on: whichever it is, and whoever reads slowly. */
static void test_restart_half_closed(void **state)
{
    for (unsigned up = 0; up < 2; up++)
        for (unsigned slow = 0; slow < 2; slow++) {
            struct bench b = make(up + 1, PARAMS("rate=20mbit delay=10ms", "rate=10mbit delay=40ms"));
            struct connection *c = connection_new(b.node, b.agent, PORT, up ? 4000000 : 3000, up ? 3000 : 4000000);

            if (slow)
                c->side[up].read_most = 500000;
            world_run_for(b.w, 1 * SEC);
            assert_true(c->side[!up].at_end);
            assert_int_equal(world_restart_planned(b.agent, NULL), 0);
            assert_int_equal(resumed(b.agent), 1);
            world_run_for(b.w, 2 * SEC);
            c->side[up].read_most = UINT64_MAX;
            assert_int_equal(c->side[up].error, 0);
            finish(&b, c, 60 * SEC);
        }
}

/* At any moment of the end of a short connection: both sides see it end well. */
static void test_restart_at_the_end(void **state)
{
    for (span at = 0; at < 300 * MSEC; at += 3 * MSEC)
        for (unsigned which = 0; which < 2; which++) {
            struct bench b = make((uint64_t)at + 1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=15ms"));
            struct connection *c = connection_new(b.node, b.agent, PORT, 20000, 200000);
            bool was_there;

            world_run_for(b.w, at);
            was_there = c->connected_at > 0;
            assert_int_equal(world_restart_planned(which ? b.node : b.agent, NULL), 0);
            /* One that was not there yet is asked for again, of a server that may have been told already. */
            if (!world_run_until(b.w, connection_done, c, 30 * SEC) && was_there)
                fail_msg("restart of %u after %lld ms: %llu of 20000 up, %llu of 200000 down", which,
                         (long long)(at / MSEC), (unsigned long long)c->side[1].read,
                         (unsigned long long)c->side[0].read);
            if (was_there && c->side[0].error)
                fail_msg("restarted after %lld ms: %d, %d", (long long)(at / MSEC), c->side[0].error, c->side[1].error);
            world_run_for(b.w, 10 * SEC);
            assert_int_equal(splits(b.node), splits(b.agent)); /* nothing is there for one of them alone */
            if (was_there)
                assert_int_equal(splits(b.node), 0);
            end(&b, c);
        }
}

static void other_version(uint8_t *state, size_t *len)
{
    put_be16(state + 4, get_be16(state + 4) + 1);
}

static void cut_short(uint8_t *state, size_t *len)
{
    --*len;
}

/* What another version wrote, and what is broken, is refused whole; then it is as after a crash. */
static void test_restart_refused(void **state)
{
    static const struct {
        void (*change)(uint8_t *, size_t *);
        int error;
    } rows[] = { { other_version, -EPROTONOSUPPORT }, { cut_short, -EPROTO } };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
        struct connection *c = connection_new(b.node, b.agent, PORT, UINT64_MAX, 0), *again;
        struct node_split_info info;

        world_run_for(b.w, 1 * SEC);
        assert_int_equal(world_restart_planned(b.agent, rows[i].change), rows[i].error);
        assert_int_equal(splits(b.agent), 0);
        world_run_for(b.w, 5 * SEC);
        assert_int_equal(c->side[0].error, -ECONNRESET);
        node_split_info(b.node->node, &info);
        assert_int_equal(info.broken, 1);
        again = connection_new(b.node, b.agent, PORT + 1, 100000, 100000);
        finish(&b, again, 30 * SEC);
        connection_free(c);
    }
}

/* Who was restarted is not called back: after a minute nothing is kept any more, and the server hears of it. */
static void test_restart_of_the_lonely(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, UINT64_MAX, 0);

    world_run_for(b.w, 1 * SEC);
    world_stop(b.node);
    assert_int_equal(world_restart_planned(b.agent, NULL), 0);
    assert_int_equal(splits(b.agent), 1);
    world_run_for(b.w, 59 * SEC);
    assert_int_equal(splits(b.agent), 1);
    world_run_for(b.w, 2 * SEC);
    assert_int_equal(splits(b.agent), 0);
    assert_int_equal(c->side[1].error, -ECONNRESET);
    end(&b, c);
}

/* A channel that is asked for and reset in one breath, before the agent looks. */
static void test_taken_back_at_once(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct session *s = node_peer_session(b.node->node, 0);
    uint8_t open[64], reset[3] = { MESSAGE_CHANNEL_RESET, 0, 7 };
    struct writer w = writer_init(open, sizeof(open));

    channel_open_write(&w, &(struct channel_open){ .channel = 7,
                                                   .from = { { ADDR_V4, { 203, 0, 113, 2 } }, 1000 },
                                                   .to = { { ADDR_V4, { 192, 0, 2, 1 } }, 80 } });
    assert_int_equal(session_send_message(s, open, writer_len(&w), b.w->now), 0);
    assert_int_equal(session_send_message(s, reset, sizeof(reset), b.w->now), 0);
    world_run_for(b.w, 1 * SEC);
    assert_int_equal(session_channels_count(node_peer_session(b.agent->node, 0)), 0);
    assert_int_equal(splits(b.agent), 0);
    bench_done(&b);
}

/* An agent that does not know channels: packets, as before. */
static void test_peer_without_channels(void **state)
{
    const struct node_options o = { .features = FEATURES_KNOWN & ~FEATURE_CHANNELS };
    struct bench b = make_with(1, &o, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, 500000, 500000);

    world_run_for(b.w, 200 * MSEC);
    assert_int_equal(splits(b.node), 0);
    finish(&b, c, 30 * SEC);
}

/* A rule's links count for bytes as for packets. */
static void test_rule_names_a_link(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct connection *c;
    uint64_t before;

    world_steer(b.node, "default via up1 mode split");
    world_run_for(b.w, 1 * SEC);
    before = world_uplink(b.node, 1)->tx_bytes + world_uplink(b.node, 1)->rx_bytes;
    c = connection_new(b.node, b.agent, PORT, 2000000, 2000000);
    assert_true(world_run_until(b.w, connection_done, c, 30 * SEC));
    before = world_uplink(b.node, 1)->tx_bytes + world_uplink(b.node, 1)->rx_bytes - before;
    printf("# %llu bytes by the other link\n", (unsigned long long)before);
    assert_true(before < 200000);
    end(&b, c);
}

static void same_ports(const char *rule_of_second)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, 10000, 10000), *again;

    assert_true(world_run_until(b.w, connection_done, c, 10 * SEC));
    world_steer(b.node, rule_of_second);
    world_run_for(b.w, 300 * MSEC);
    connection_stop(c);
    again = connection_new(b.node, b.agent, PORT, 20000, 20000);
    world_run_for(b.w, 1 * SEC);
    assert_int_equal(again->side[0].read, 20000);
    finish(&b, again, 10 * SEC);
    connection_free(c);
}

/* At once, so the old connection is in TIME_WAIT at either end of its channel; ... */
static void test_same_ports_again(void **state)
{
    same_ports("default mode split");
}

/* ... and as packets. */
static void test_same_ports_as_packets(void **state)
{
    same_ports("default mode stripe");
}

/* What lives stays what it is, and goes where its new rule says; one that is blocked ends. */
static void test_rules_change(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, UINT64_MAX, UINT64_MAX);
    uint64_t before, after;

    world_run_for(b.w, 2 * SEC);
    world_steer(b.node, "default via up1 mode stripe");
    world_run_for(b.w, 1 * SEC);
    assert_int_equal(splits(b.node), 1);
    before = world_uplink(b.node, 1)->tx_bytes + world_uplink(b.node, 1)->rx_bytes;
    after = c->side[0].read;
    world_run_for(b.w, 2 * SEC);
    before = world_uplink(b.node, 1)->tx_bytes + world_uplink(b.node, 1)->rx_bytes - before;
    after = c->side[0].read - after;
    assert_true(after > 3000000);
    assert_true(before < after / 10);
    world_steer(b.node, "default mode block");
    world_run_for(b.w, 2 * SEC);
    assert_int_equal(c->side[0].error, -ECONNRESET);
    assert_int_equal(splits(b.node), 0);
    assert_int_equal(splits(b.agent), 0);
    end(&b, c);
}

/* --- a path goes --- */

enum fault { CARRIER, SILENT, FAULTS };

static span stall(uint64_t seed, enum fault f, bool up)
{
    struct bench b = make(seed, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct connection *c = connection_new(b.node, b.agent, PORT, up ? 30000000 : 0, up ? 0 : 30000000);
    struct connection_side *reader = &c->side[up];
    span longest;

    world_run_for(b.w, 2 * SEC + (span)(seed * 7919 % 100) * MSEC);
    reader->stall_max = 0;
    if (f == CARRIER)
        world_carrier(world_uplink(b.node, 0), false);
    else
        world_link(world_uplink(b.node, 0), "blackhole=1");
    world_run_for(b.w, 1 * SEC);
    longest = reader->stall_max;
    finish(&b, c, 60 * SEC);
    return longest;
}

static int compare(const void *a, const void *b)
{
    span x = *(const span *)a, y = *(const span *)b;

    return (x > y) - (x < y);
}

static void test_a_path_goes(void **state)
{
    for (enum fault f = 0; f < FAULTS; f++)
        for (unsigned up = 0; up < 2; up++) {
            span s[7];
            size_t n = sim_brief() ? 1 : ARRAY_LEN(s);

            for (size_t i = 0; i < n; i++)
                s[i] = stall(i + 1, f, up);
            qsort(s, n, sizeof(*s), compare);
            printf("# %s, %s: nothing read for %.0f ms, at most %.0f (of %zu)\n",
                   f == CARRIER ? "carrier lost" : "silent", up ? "up" : "down", (double)s[n / 2] / MSEC,
                   (double)s[n - 1] / MSEC, n);
            assert_true(s[n / 2] <= (f == CARRIER ? 50 * MSEC : 320 * MSEC));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_dscp),
        cmocka_unit_test(test_one_way_and_nothing),
        cmocka_unit_test(test_hostile_links),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_fair_among_themselves),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_what_may_not_be_reached),
        cmocka_unit_test(test_port_0),
        cmocka_unit_test(test_server_is_silent),
        cmocka_unit_test(test_client_gives_up),
        cmocka_unit_test(test_backpressure),
        cmocka_unit_test(test_breaks_off),
        cmocka_unit_test(test_agent_begins_anew),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_restart_at_once),
        cmocka_unit_test(test_restart_while_opening),
        cmocka_unit_test(test_restart_while_calling),
        cmocka_unit_test(test_restart_half_closed),
        cmocka_unit_test(test_restart_at_the_end),
        cmocka_unit_test(test_restart_refused),
        cmocka_unit_test(test_restart_of_the_lonely),
        cmocka_unit_test(test_taken_back_at_once),
        cmocka_unit_test(test_peer_without_channels),
        cmocka_unit_test(test_rule_names_a_link),
        cmocka_unit_test(test_same_ports_again),
        cmocka_unit_test(test_same_ports_as_packets),
        cmocka_unit_test(test_rules_change),
        cmocka_unit_test(test_a_path_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
