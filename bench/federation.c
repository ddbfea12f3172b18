/* hawser-federation (`hawser sim federation`): several operators with thousands of gateways, of which
 * a sample asks the others' borders (federation_world.h).
 *
 * Theory of operation. The gateways of the sample find the borders that are near them. Once they have, there is a while
 * in which nothing happens; then providers of network protocols lose all their routers and get them back, single
 * routers go, and borders die. What a flat mesh of all gateways would cost is computed from the daemon's, which takes
 * 256: no mesh is run; nor is what gateways of one provider tell each other (`hawser sim directory`).
 *
 * Limits: all gateways that are not of the sample are borders alone; by symmetry a border is asked by as many as a
 * gateway asks. */
#include "bench/federation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/federation_world.h"
#include "dmux/mesh_internal.h"

#define NAME "sim federation"
#define complain(...) bench_complain(NAME, __VA_ARGS__)

#define SEED_MAX 4294967295
#define ROUTE_BYTES 330. /* dmux/mesh_routes.c */
#define SETTLE (60 * SEC)
#define REST (10 * SEC)
#define WINDOW (4 * SEC)
#define STEP (10 * MSEC) /* times are found so exactly */
#define WAYS 50ul        /* providers that each gateway of the sample looks for */
#define CHANGED 8ul      /* providers that lose all their routers and get them back */
#define LOST 50ul        /* routers that go */

struct run {
    struct federation_found *f;
    struct federation_world *w;
    struct prng prng;
    double *values;
};

/* Of another realm than that of gateway k. */
static size_t any_provider(struct run *r, size_t k)
{
    size_t per = r->f->providers / r->f->realms, provider;

    do
        provider = prng_below(&r->prng, per * r->f->realms);
    while (provider / per == federation_world_realm_of(r->w, k));
    return provider;
}

static void rest(struct run *r)
{
    const struct federation_counts before = *federation_world_counts(r->w);
    const struct federation_counts *after = federation_world_counts(r->w);

    federation_world_run(r->w, REST);
    r->f->messages_s = (double)(after->sent - before.sent + after->received - before.received) / (double)r->f->asked /
                       ((double)REST / SEC);
}

static void state(struct run *r)
{
    struct federation_found *f = r->f;

    for (size_t k = 0; k < f->asked; k++) {
        size_t links, services, registrations;

        federation_world_entries(r->w, k, &links, &services, &registrations);
        r->values[k] = (double)links;
        f->services += (double)services / (double)f->asked;
        f->registrations += (double)registrations / (double)f->asked;
    }
    distribution_of(r->values, f->asked, &f->links);
}

static void stretch(struct run *r)
{
    CLEANUP(cleanup_free) double *more = calloc(r->f->asked * WAYS, sizeof(*more));
    size_t count = 0;

    for (size_t k = 0; more && k < r->f->asked; k++) {
        for (size_t i = 0; i < WAYS; i++) {
            struct federation_way x = federation_world_way(r->w, k, any_provider(r, k));

            r->f->unserved += x.border == SIZE_MAX ? 1. / (double)(r->f->asked * WAYS) : 0;
            if (x.border == SIZE_MAX)
                continue;
            more[count] = x.ms - x.nearest_ms;
            r->values[count++] = x.ms / x.nearest_ms;
        }
    }
    distribution_of(r->values, count, &r->f->stretch);
    distribution_of(more, count, &r->f->more_ms);
}

/* Runs until each gateway of the sample that is concerned uses somebody else than before, or time is over. */
static size_t watch(struct run *r, const size_t *before, size_t provider, span most, double *values)
{
    CLEANUP(cleanup_free) bool *done = calloc(r->f->asked, sizeof(*done));
    instant since = federation_world_now(r->w);
    size_t count = 0;

    while (done && federation_world_now(r->w) < since + most) {
        federation_world_run(r->w, STEP);
        for (size_t k = 0; k < r->f->asked; k++) {
            if (done[k] || before[k] == SIZE_MAX - 1 || federation_world_border(r->w, k, provider) == before[k])
                continue;
            done[k] = true;
            values[count++] = (double)(federation_world_now(r->w) - since) / SEC;
        }
    }
    return count;
}

/* SIZE_MAX - 1: this one is not concerned. */
static void used(struct run *r, size_t provider, size_t *ret)
{
    for (size_t k = 0; k < r->f->asked; k++)
        ret[k] = provider / (r->f->providers / r->f->realms) == federation_world_realm_of(r->w, k)
                     ? SIZE_MAX - 1
                     : federation_world_border(r->w, k, provider);
}

/* A message is a summary or its HEARD. */
static double messages_since(struct run *r, uint64_t summaries, size_t changes)
{
    return 2. * (double)(federation_world_counts(r->w)->summaries - summaries) / (double)(r->f->asked * changes);
}

static void services_go_and_come(struct run *r)
{
    CLEANUP(cleanup_free) size_t *before = calloc(r->f->asked, sizeof(*before));
    size_t each = MIN(CHANGED, r->f->providers), counts[2] = { 0 };
    CLEANUP(cleanup_free) double *found = calloc(r->f->asked * each, sizeof(*found));

    for (size_t there = 0; before && found && there < 2; there++) {
        double *values = there ? found : r->values;
        uint64_t summaries = federation_world_counts(r->w)->summaries;

        for (size_t i = 0; i < each; i++) {
            size_t provider = i * (r->f->providers / each);

            used(r, provider, before);
            federation_world_service(r->w, provider, there);
            counts[there] += watch(r, before, provider, WINDOW, values + counts[there]);
        }
        r->f->per_change[there ? CHANGE_FIRST : CHANGE_LAST] = messages_since(r, summaries, each);
        distribution_of(values, counts[there], &r->f->time_s[there ? TIME_FOUND : TIME_WITHDRAWN]);
    }
}

static void routers_go(struct run *r)
{
    uint64_t summaries = federation_world_counts(r->w)->summaries;

    for (size_t i = 0; i < LOST; i++) {
        federation_world_lose_router(r->w, prng_below(&r->prng, r->f->routers));
        federation_world_run(r->w, SEC / 5);
    }
    federation_world_run(r->w, WINDOW);
    r->f->per_change[CHANGE_OTHER] = messages_since(r, summaries, LOST);
}

/* Of each gateway of the sample the border that it uses for some provider. */
static void borders_die(struct run *r)
{
    CLEANUP(cleanup_free) size_t *before = calloc(r->f->asked, sizeof(*before));
    size_t count = 0;

    for (size_t k = 0; before && k < MIN(r->f->asked, CHANGED); k++) {
        size_t provider = any_provider(r, k);

        for (size_t i = 0; i < r->f->asked; i++)
            before[i] = SIZE_MAX - 1;
        before[k] = federation_world_border(r->w, k, provider);
        if (before[k] == SIZE_MAX) {
            continue;
        }
        federation_world_kill(r->w, before[k]);
        count += watch(r, before, provider, WINDOW, r->values + count);
    }
    distribution_of(r->values, count, &r->f->time_s[TIME_DEAD]);
}

static void weigh(struct run *r)
{
    for (size_t k = 0; k < r->f->asked; k++)
        r->values[k] = (double)federation_world_weigh(r->w, k);
    distribution_of(r->values, r->f->asked, &r->f->state_bytes);
    federation_world_weigh_borders(r->w, &r->f->border_bytes, &r->f->asker_bytes);
}

/* 0 or -ENOMEM. */
static int find(struct federation_found *f)
{
    const struct federation_world_options o = { .seed = f->seed,
                                                .gateways = f->gateways,
                                                .routers = f->routers,
                                                .providers = f->providers,
                                                .realms = f->realms,
                                                .asking = f->asked };
    CLEANUP(cleanup_free) double *values = calloc(f->asked * MAX(WAYS, CHANGED), sizeof(*values));
    struct run r = { .f = f, .values = values };

    r.w = values ? federation_world_new(&o) : NULL;
    if (!r.w)
        return -ENOMEM;
    prng_init(&r.prng, f->seed + 1);
    federation_world_run(r.w, SETTLE);
    rest(&r);
    state(&r);
    stretch(&r);
    services_go_and_come(&r);
    routers_go(&r);
    borders_die(&r);
    f->virtual_s = (double)federation_world_now(r.w) / SEC;
    weigh(&r);
    federation_world_free(r.w);
    return 0;
}

/* --- the program --- */

struct options {
    const char *out;
    unsigned long gateways, routers, providers, realms, asked, seed;
    bool json;
};

static int misused(void)
{
    fputs("usage: hawser sim federation [--gateways N] [--routers N] [--providers N] [--realms N] [--asking N] [--seed "
          "N]\n"
          "       [--out DIR] [--json]\n",
          stderr);
    return EXIT_USAGE;
}

/* EXIT_DONE, or EXIT_USAGE after telling what is wrong. */
static int read_options(struct options *o, int argc, char **argv)
{
    const struct bench_option options[] = {
        { "gateways", .number = &o->gateways, .low = 40, .high = 20000 },
        { "routers", .number = &o->routers, .low = 40, .high = 200000 },
        { "providers", .number = &o->providers, .low = 2, .high = 4000 },
        { "realms", .number = &o->realms, .low = 2, .high = FEDERATION_REALMS_MAX + 1 },
        { "asking", .number = &o->asked, .low = 1, .high = 200 },
        { "seed", .number = &o->seed, .low = 0, .high = SEED_MAX },
        { "out", .text = &o->out },
        { "json", .flag = &o->json },
        { .name = NULL },
    };

    *o = (struct options){
        .out = ".", .seed = 1, .gateways = 10000, .routers = 100000, .providers = 1000, .realms = 10, .asked = 8
    };
    if (!bench_options(NAME, options, argc, argv))
        return misused();
    if (o->providers > o->routers || o->providers % o->realms != 0) {
        complain("found %lu providers of %lu routers in %lu realms, expected no more than routers, and as many in each "
                 "realm",
                 o->providers, o->routers, o->realms);
        return misused();
    }
    if (o->asked * 2 > o->gateways) {
        complain("found %lu of %lu gateways asking, expected half of them at most", o->asked, o->gateways);
        return misused();
    }
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    static struct federation_found found;
    struct options o;
    int r = read_options(&o, argc, argv);

    if (r != EXIT_DONE)
        return r;
    found = (struct federation_found){ .seed = o.seed,
                                       .gateways = o.gateways,
                                       .routers = o.routers,
                                       .providers = o.providers,
                                       .realms = o.realms,
                                       .asked = o.asked,
                                       .mesh_peer_bytes = sizeof(struct peer),
                                       .mesh_route_bytes = ROUTE_BYTES };
    r = find(&found);
    if (r < 0)
        complain("%s", strerror(-r));
    return r < 0 ? EXIT_FAILED : bench_report(NAME, &federation_report, &found, o.out, o.json);
}
