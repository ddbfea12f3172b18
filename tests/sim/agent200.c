/* One agent and 200 nodes: all come in at once, each with its own addresses, and all are back after a restart.
 *
 *     node 1 --+
 *        ...   +-- core -- agent
 *     node 200-+ */
#include "tests/sim/sim.h"

#define NODES 200

struct crowd {
    struct world *w;
    struct world_end *agent, *nodes[NODES];
    struct traffic *t;
    struct invariants *v;
};

static struct crowd crowd_make(uint64_t seed)
{
    struct world_node_spec spec = {
        .uplinks = 1,
        .params = { "rate=20mbit delay=20ms" },
        .link_packets = 256,
        .options = { .pool_pkts = 512 },
    };
    struct node_options options = { .pool_pkts = 8192 };
    struct crowd c = { .w = world_new(seed) };
    char name[16];

    c.agent = world_agent(c.w, "agent", &options, false);
    for (unsigned i = 0; i < NODES; i++) {
        snprintf(name, sizeof(name), "node%u", i + 1);
        c.nodes[i] = world_node(c.w, name, c.agent, &spec);
        /* Between 5 and 80 ms from the core. */
        snprintf(name, sizeof(name), "delay=%ums", 5 + (i * 37) % 76);
        world_link(world_uplink(c.nodes[i], 0), name);
    }
    c.t = traffic_new(c.w);
    c.v = invariants_new(c.w, c.t);
    return c;
}

static bool all_up(void *ctx)
{
    struct crowd *c = ctx;

    for (unsigned i = 0; i < NODES; i++)
        if (!world_is_up(c->nodes[i], 0) || !world_is_up(c->agent, i))
            return false;
    return true;
}

static span wait_for_all(struct crowd *c, span limit)
{
    instant began = c->w->now;
    unsigned up = 0;

    while (!all_up(c) && c->w->now - began < limit && !c->w->failed)
        world_run_for(c->w, 5 * MSEC);
    for (unsigned i = 0; i < NODES; i++)
        up += world_is_up(c->nodes[i], 0) && world_is_up(c->agent, i);
    printf("# %u of %u are up after %lld ms\n", up, NODES, (long long)(c->w->now - began) / 1000);
    return c->w->now - began;
}

static void test_crowd(void **state)
{
    struct crowd c = crowd_make(1);
    struct config_message m, first;

    for (unsigned i = 0; i < NODES; i++)
        world_connect(c.nodes[i]);
    /* 300 us of a tenth of a core each: 0.6 s of work, and cookies first. */
    assert_true(wait_for_all(&c, 10 * SEC) <= 3 * SEC);
    world_run_for(c.w, 1 * SEC);
    for (unsigned i = 0; i < NODES; i++) {
        assert_true(node_peer_config(c.nodes[i]->node, 0, &m));
        assert_int_equal(m.addresses_count, 2);
        assert_true(addr_equal(&m.addresses[0].addr, &c.nodes[i]->inner[0]));
        assert_true(addr_equal(&m.addresses[1].addr, &c.nodes[i]->inner[1]));
        if (i == 0)
            first = m;
        else
            assert_false(addr_equal(&m.addresses[0].addr, &first.addresses[0].addr));
    }
    for (unsigned i = 0; i < NODES; i++) {
        traffic_steady(c.t, c.nodes[i], c.agent, 100000, 500, false);
        traffic_steady(c.t, c.agent, c.nodes[i], 100000, 500, true);
    }
    /* Through the agent, from one node to another. */
    traffic_steady(c.t, c.nodes[0], c.nodes[NODES - 1], 100000, 500, false);
    world_run_for(c.w, 5 * SEC);
    for (unsigned i = 0; i < c.t->count; i++)
        assert_true(c.t->flows[i]->received > 100);

    world_restart(c.agent);
    assert_true(wait_for_all(&c, 10 * SEC) <= 3 * SEC);
    world_run_for(c.w, 2 * SEC);
    for (unsigned i = 0; i < c.t->count; i++)
        traffic_gap_reset(c.t->flows[i]);
    world_run_for(c.w, 3 * SEC);
    for (unsigned i = 0; i < c.t->count; i++) {
        /* 40 ms apart, and nobody is left out. */
        assert_true(traffic_gap(c.t->flows[i]) < 100 * MSEC);
        traffic_stop(c.t->flows[i]);
    }
    assert_string_equal(c.w->error, "");
    world_free(c.w);
    traffic_free(c.t);
    invariants_free(c.v);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_crowd) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
