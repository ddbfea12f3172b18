/* tests/sim/sim.h - worlds that several tests begin with. */
#pragma once

#include <stdio.h>

#include "sim/invariants.h"
#include "tests/unit/test.h"

struct bench {
    struct world *w;
    struct world_end *agent, *node;
    struct traffic *t;
    struct invariants *v;
};

/* One agent, one node with up to 8 uplinks of these parameters (NULL ends the list); not connected. */
static inline struct bench bench_make(uint64_t seed, const struct node_options *options, bool v6,
                                      const char *const params[])
{
    struct world_node_spec spec = { .v6 = v6 };
    struct bench b = { .w = world_new(seed) };

    if (options)
        spec.options = *options;
    while (spec.uplinks < WORLD_UPLINKS_MAX && params[spec.uplinks]) {
        spec.params[spec.uplinks] = params[spec.uplinks];
        spec.uplinks++;
    }
    b.agent = world_agent(b.w, "agent", options, v6);
    b.node = world_node(b.w, "node", b.agent, &spec);
    b.t = traffic_new(b.w);
    b.v = invariants_new(b.w, b.t);
    return b;
}

/* The end of a test: what was found on the way counts. */
static inline void bench_done(struct bench *b)
{
    char error[320];
    bool failed = b->w->failed;

    snprintf(error, sizeof(error), "at %.6f s: %s", (double)(b->w->failed_at - WORLD_START) / SEC, b->w->error);
    world_free(b->w);
    traffic_free(b->t);
    invariants_free(b->v);
    if (failed)
        fail_msg("%s", error);
}

static inline bool both_up(void *ctx)
{
    struct bench *b = ctx;

    return world_is_up(b->node, 0) && world_is_up(b->agent, 0);
}

/* How long it took for both ends to be up; fails the test beyond limit. */
static inline span bench_up(struct bench *b, span limit)
{
    instant began = b->w->now;

    if (!world_run_until(b->w, both_up, b, limit))
        fail_msg("not up after %lld ms: %s", (long long)(b->w->now - began) / 1000, b->w->error);
    return b->w->now - began;
}

/* Connects and lets the paths settle. */
static inline void bench_begin(struct bench *b)
{
    world_connect(b->node);
    bench_up(b, 1 * SEC);
    world_run_for(b->w, 1 * SEC);
}

/* Few seeds are asked for, as under sanitizers: a few cases do. */
static inline bool sim_brief(void)
{
    const char *seeds = getenv("HAWSER_SIM_SEEDS");

    return seeds && strtoul(seeds, NULL, 10) <= 10;
}

/* Two rules. */
static inline void steer_two(struct world_end *e, const char *one, const char *two)
{
    char error[STEER_ERROR_MAX];

    world_steer(e, one);
    e->steer->version++;
    assert_true(steer_table_add_text(e->steer, two, error, sizeof(error)) >= 0);
    steer_table_compile(e->steer);
    node_set_steer(e->node, e->steer, e->world->now);
    world_touch(e);
}

#define PARAMS(...) ((const char *const[]){ __VA_ARGS__, NULL })
