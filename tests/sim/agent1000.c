/* A thousand nodes that are active at one agent with one way out: nobody is left out while
 * there is enough for all.
 *
 *     node 1 -----+
 *        ...      +-- core == 400 Mbit/s, 50 ms of queue == agent
 *     node 1000 --+ */
#include "tests/sim/sim.h"

#define NODES 1000
#define LENGTH (3 * SEC)

static struct world_end *nodes[NODES], *agent;

static bool all_up(void *ctx)
{
    for (unsigned i = 0; i < NODES; i++)
        if (!world_is_up(nodes[i], 0) || !world_is_up(agent, i))
            return false;
    return true;
}

static struct world *crowd(struct traffic **t)
{
    struct world_node_spec spec = {
        .uplinks = 1,
        .params = { "rate=20mbit delay=20ms" },
        .link_packets = 256,
        .options = { .pool_pkts = 256 },
    };
    struct node_options options = { .pool_pkts = 32768 };
    struct world *w = world_new(1);
    char text[32];

    *t = traffic_new(w);
    agent = world_agent(w, "agent", &options, false);
    world_agent_access(agent, "rate=400mbit queue=50ms", 8192);
    for (unsigned i = 0; i < NODES; i++) {
        snprintf(text, sizeof(text), "node%u", i + 1);
        nodes[i] = world_node(w, text, agent, &spec);
        snprintf(text, sizeof(text), "delay=%ums", 5 + (i * 37) % 36); /* 5 to 40 ms */
        world_link(world_uplink(nodes[i], 0), text);
        world_connect(nodes[i]);
    }
    /* 300 us of a tenth of a core each: 3 s of work, and cookies first. */
    assert_true(world_run_until(w, all_up, NULL, 15 * SEC));
    return w;
}

struct shares {
    double least, most, bps; /* of the mean; of all */
    size_t pool_max;
};

static struct shares measure(struct world *w, struct traffic *t)
{
    static uint64_t before[NODES];
    struct shares s = { .least = 1e18 };
    double sum = 0;

    for (unsigned i = 0; i < NODES; i++)
        before[i] = t->flows[i]->received_bytes;
    for (unsigned i = 0; i < 50; i++) {
        world_run_for(w, LENGTH / 50);
        s.pool_max = MAX(s.pool_max, node_pool_used(agent->node));
    }
    for (unsigned i = 0; i < NODES; i++)
        sum += (double)(t->flows[i]->received_bytes - before[i]);
    for (unsigned i = 0; i < NODES; i++) {
        double share = (double)(t->flows[i]->received_bytes - before[i]) / (sum / NODES);

        s.least = MIN(s.least, share);
        s.most = MAX(s.most, share);
    }
    s.bps = sum * 8 / ((double)LENGTH / SEC);
    printf("# %.1f Mbit/s in all; shares %.2f to %.2f of the mean; agent's pool %zu\n", s.bps / 1e6, s.least, s.most,
           s.pool_max);
    return s;
}

/* All are served alike while there is enough for all. */
static void test_active(void **state)
{
    struct traffic *t;
    struct world *w = crowd(&t);
    struct shares s;

    for (unsigned i = 0; i < NODES; i++) {
        traffic_steady(t, agent, nodes[i], 300000, 1000, false);
        world_run_for(w, 33);
    }
    world_run_for(w, 1 * SEC);
    s = measure(w, t);
    assert_true(s.least >= .9);
    assert_true(s.most <= 1.1);
    assert_true(s.bps >= .98 * 300000 * NODES * 948 / 1000); /* less headers and the numbers in each packet */
    assert_true(s.pool_max < 32768 / 2);
    assert_string_equal(w->error, "");
    world_free(w);
    traffic_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_active) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
