/* hawser-coordinates (`hawser sim coordinates`): gateways in numbers that no mesh has, by their coordinates.
 *
 * Theory of operation. Gateways are at nodes of measured round trips (--data), or of an Earth that is drawn, each
 * behind an access link. Each second each asks one of its neighbours, half of whom are drawn and half the nearest by
 * estimate that it has come across, and takes what it measured by the code of the daemon (dmux/coord.h). Routers are
 * with a gateway each; a gateway chooses among those of a provider by the estimated way to the router's gateway, and
 * that gateway's own distance to it, which is told exactly.
 *
 * The IPdmux paper has a link between any two gateways. The daemon has so too, up to MESH_PEERS_MAX; how those keep
 * links to some only that are more is in bench/directory.c.
 *
 * Limits: a way is the same in both directions and does not change; what is measured is up to 10 % longer. */
#include "bench/coordinates.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "bench/rtt.h"
#include "dmux/mesh_internal.h"
#include "sim/earth.h"

#define NAME "sim coordinates"
#define complain(...) bench_complain(NAME, __VA_ARGS__)

#define GATEWAYS_MAX EARTH_HOSTS_MAX
#define NEIGHBOURS_MAX 64
#define SEED_MAX 4294967295
#define PAIRS 100000 /* whose estimates are looked at, and choices that are made */
#define FILE_IN_DATA "latency/PlanetLabData_1.txt"
#define ROUTER_MS EARTH_ACCESS_MS /* chosen: the mean of a router's way to its gateway */

static const double times_s[COORDINATES_TIMES] = { 0, 5, 10, 30, 60, 120, 300, 600 };

struct gateway_at {
    size_t node;
    struct coord coord;
    uint32_t neighbours[NEIGHBOURS_MAX]; /* first those that were drawn, then the near ones */
};

struct world {
    const struct rtt *measured; /* NULL: none */
    struct gateway_at *gateways;
    struct earth_host *hosts; /* of each gateway */
    uint32_t *router_gateway; /* of each router; a provider's stand in a row */
    double *router_ms;
    double *values; /* PAIRS each */
    double *more;
    struct prng prng;
    struct coordinates_found *found;
};

/* ms; INFINITY: it was not measured. */
static double way_ms(const struct world *w, size_t a, size_t b)
{
    const struct gateway_at *x = &w->gateways[MIN(a, b)], *y = &w->gateways[MAX(a, b)];

    if (!w->measured)
        return earth_way_ms(w->hosts, w->found->seed, a, b);
    return w->measured->ms[x->node * w->measured->count + y->node] + w->hosts[MIN(a, b)].access_ms +
           w->hosts[MAX(a, b)].access_ms;
}

static bool lies(const struct world *w, size_t gateway)
{
    return gateway < w->found->liars;
}

/* Any other than that one. */
static size_t another(struct world *w, size_t than)
{
    size_t i = prng_below(&w->prng, w->found->gateways - 1);

    return i < than ? i : i + 1;
}

static void populate(struct world *w)
{
    struct coordinates_found *f = w->found;

    for (size_t i = 0; i < f->gateways; i++) {
        struct gateway_at *g = &w->gateways[i];

        earth_place(&w->hosts[i], 0, &w->prng);
        g->node = w->measured ? prng_below(&w->prng, w->measured->count) : 0;
        w->hosts[i].access_ms = earth_exponential(&w->prng, EARTH_ACCESS_MS);
        coord_init(&g->coord);
        for (size_t n = 0; n < f->neighbours; n++)
            g->neighbours[n] = (uint32_t)another(w, i);
    }
    for (size_t i = 0; i < f->routers; i++) {
        w->router_gateway[i] = (uint32_t)prng_below(&w->prng, f->gateways);
        w->router_ms[i] = earth_exponential(&w->prng, ROUTER_MS);
    }
}

/* One that it has come across takes the place of the farthest of the near ones. */
static void come_across(struct world *w, size_t gateway)
{
    struct gateway_at *g = &w->gateways[gateway];
    uint32_t other = (uint32_t)another(w, gateway), far = 0;
    size_t place = SIZE_MAX;

    for (size_t n = w->found->neighbours / 2; n < w->found->neighbours; n++) {
        uint32_t us = coord_estimate_us(&g->coord, &w->gateways[g->neighbours[n]].coord);

        if (g->neighbours[n] == other)
            return;
        if (us > far) {
            far = us;
            place = n;
        }
    }
    if (place != SIZE_MAX && coord_estimate_us(&g->coord, &w->gateways[other].coord) < far)
        g->neighbours[place] = other;
}

static void ask(struct world *w, size_t gateway, size_t other)
{
    /* As far away as can be, and sure of it. */
    static const struct coord lie = { .at_us = { 1.9e6, -1.9e6, 1.9e6 }, .height_us = 1e3, .error = COORD_ERROR_MIN };
    const struct rng rng = prng_rng(&w->prng);
    double us = way_ms(w, gateway, other) * 1e3 * (1 + prng_unit(&w->prng) / 10);
    int r;

    if (!(us <= COORD_RTT_MAX_US))
        return;
    r = coord_on_sample(&w->gateways[gateway].coord, lies(w, other) ? &lie : &w->gateways[other].coord,
                        (uint32_t)MAX(us, 1.), &rng);
    assert(r == 0);
    (void)r;
}

static void second(struct world *w, unsigned long number)
{
    for (size_t i = w->found->liars; i < w->found->gateways; i++) {
        ask(w, i, w->gateways[i].neighbours[number % w->found->neighbours]);
        come_across(w, i);
    }
}

static size_t honest(struct world *w)
{
    return w->found->liars + prng_below(&w->prng, w->found->gateways - w->found->liars);
}

static void look_at_errors(struct world *w, struct distribution *ret)
{
    size_t count = 0;

    for (size_t i = 0; i < PAIRS; i++) {
        size_t a = honest(w), b = honest(w);
        double ms = way_ms(w, a, b);

        if (a != b && isfinite(ms) && ms > 0)
            w->values[count++] = fabs(coord_estimate_us(&w->gateways[a].coord, &w->gateways[b].coord) / 1e3 - ms) / ms;
    }
    distribution_of(w->values, count, ret);
}

static double to_router_ms(const struct world *w, size_t gateway, size_t router)
{
    size_t at = w->router_gateway[router];

    return (at == gateway ? 0 : way_ms(w, gateway, at)) + w->router_ms[router];
}

static double to_router_estimate(const struct world *w, size_t gateway, size_t router)
{
    const struct gateway_at *a = &w->gateways[gateway], *b = &w->gateways[w->router_gateway[router]];

    return (a == b ? 0 : coord_estimate_us(&a->coord, &b->coord) / 1e3) + w->router_ms[router];
}

/* The round trip of a gateway to the router that it chooses of those from first to last; the best is *ret_least. */
static double choose_ms(struct world *w, enum coordinates_choice by, size_t gateway, size_t first, size_t last,
                        double *ret_least)
{
    double asked[MESH_NEAREST], estimates[MESH_NEAREST], chosen = INFINITY;
    size_t keep = by == CHOICE_FOUR ? MESH_NEAREST : 1, count = 0;

    *ret_least = INFINITY;
    for (size_t i = first; i < last; i++) {
        double estimate = by == CHOICE_ANY ? prng_unit(&w->prng) : to_router_estimate(w, gateway, i);
        double ms = to_router_ms(w, gateway, i);
        size_t place;

        if (!isfinite(ms))
            continue;
        *ret_least = MIN(*ret_least, ms);
        if (count == keep && estimate >= estimates[count - 1])
            continue;
        for (place = count < keep ? count++ : count - 1; place > 0 && estimates[place - 1] > estimate; place--) {
            estimates[place] = estimates[place - 1];
            asked[place] = asked[place - 1];
        }
        estimates[place] = estimate;
        asked[place] = ms;
    }
    for (size_t i = 0; i < count; i++)
        chosen = MIN(chosen, asked[i]);
    return chosen;
}

static void look_at_choices(struct world *w)
{
    struct coordinates_found *f = w->found;

    for (size_t by = 0; by < CHOICE_COUNT; by++) {
        size_t count = 0;

        for (size_t i = 0; i < PAIRS; i++) {
            size_t provider = prng_below(&w->prng, f->providers);
            double least,
                ms = choose_ms(w, (enum coordinates_choice)by, honest(w), provider * f->routers / f->providers,
                               (provider + 1) * f->routers / f->providers, &least);

            if (!isfinite(ms) || least <= 0)
                continue;
            w->values[count] = ms / least;
            w->more[count++] = ms - least;
        }
        distribution_of(w->values, count, &f->stretch[by]);
        distribution_of(w->more, count, &f->more_ms[by]);
    }
}

/* 0 or -ENOMEM. */
static int find(struct coordinates_found *f, const struct rtt *measured)
{
    CLEANUP(cleanup_free) struct gateway_at *gateways = calloc(f->gateways, sizeof(*gateways));
    CLEANUP(cleanup_free) struct earth_host *hosts = calloc(f->gateways, sizeof(*hosts));
    CLEANUP(cleanup_free) uint32_t *router_gateway = calloc(f->routers, sizeof(*router_gateway));
    CLEANUP(cleanup_free) double *router_ms = calloc(f->routers, sizeof(*router_ms));
    CLEANUP(cleanup_free) double *values = calloc(PAIRS, sizeof(*values)), *more = calloc(PAIRS, sizeof(*more));
    struct world w = { .measured = measured,
                       .gateways = gateways,
                       .hosts = hosts,
                       .router_gateway = router_gateway,
                       .router_ms = router_ms,
                       .values = values,
                       .more = more,
                       .found = f };
    unsigned long now_s = 0;

    if (!gateways || !hosts || !router_gateway || !router_ms || !values || !more)
        return -ENOMEM;
    prng_init(&w.prng, f->seed);
    populate(&w);
    for (size_t i = 0; i < COORDINATES_TIMES; i++) {
        for (; now_s < (unsigned long)times_s[i]; now_s++)
            second(&w, now_s);
        f->error_s[i] = times_s[i];
        look_at_errors(&w, &f->error[i]);
    }
    look_at_choices(&w);
    return 0;
}

/* --- the program --- */

struct options {
    const char *data, *out;
    unsigned long gateways, routers, providers, neighbours, liars, seed;
    bool json;
};

static int misused(void)
{
    fputs("usage: hawser sim coordinates [--data DIR] [--gateways N] [--routers N] [--providers N] [--neighbours N]\n"
          "       [--liars N] [--seed N] [--out DIR] [--json]\n",
          stderr);
    return EXIT_USAGE;
}

/* EXIT_DONE, or EXIT_USAGE after telling what is wrong. */
static int read_options(struct options *o, int argc, char **argv)
{
    const struct bench_option options[] = {
        { "data", .text = &o->data },
        { "gateways", .number = &o->gateways, .low = 2, .high = GATEWAYS_MAX },
        { "routers", .number = &o->routers, .low = 1, .high = 1e6 },
        { "providers", .number = &o->providers, .low = 1, .high = 1e6 },
        { "neighbours", .number = &o->neighbours, .low = 2, .high = NEIGHBOURS_MAX },
        { "liars", .number = &o->liars, .low = 0, .high = GATEWAYS_MAX },
        { "seed", .number = &o->seed, .low = 0, .high = SEED_MAX },
        { "out", .text = &o->out },
        { "json", .flag = &o->json },
        { .name = NULL },
    };

    *o = (struct options){
        .out = ".", .seed = 1, .gateways = 10000, .routers = 100000, .providers = 1000, .neighbours = 32
    };
    if (!bench_options(NAME, options, argc, argv))
        return misused();
    if (o->liars + 2 > o->gateways) {
        complain("found %lu liars of %lu gateways, expected two that do not lie", o->liars, o->gateways);
        return misused();
    }
    if (o->providers > o->routers) {
        complain("found %lu providers of %lu routers, expected no more than routers", o->providers, o->routers);
        return misused();
    }
    return EXIT_DONE;
}

/* 0, or a negative number after telling what is wrong. */
static int load(struct rtt *ret, const char *dir)
{
    CLEANUP(cleanup_free) char *text = NULL;
    char path[512], err[RTT_ERROR_MAX];
    size_t len;
    int r;

    snprintf(path, sizeof(path), "%s/%s", dir, FILE_IN_DATA);
    r = bench_load(path, &text, &len);
    if (r < 0) {
        complain("%s: %s", path, strerror(-r));
        return r;
    }
    r = rtt_parse(ret, text, len, path, err);
    if (r < 0)
        complain("%s", r == -EINVAL ? err : strerror(-r));
    return r;
}

int main(int argc, char **argv)
{
    static struct coordinates_found found;
    struct rtt measured = { 0 };
    struct options o;
    int r = read_options(&o, argc, argv);

    if (r != EXIT_DONE)
        return r;
    found = (struct coordinates_found){ .seed = o.seed,
                                        .gateways = o.gateways,
                                        .routers = o.routers,
                                        .providers = o.providers,
                                        .neighbours = o.neighbours,
                                        .liars = o.liars,
                                        .link_bytes = sizeof(struct peer) };
    snprintf(found.source, sizeof(found.source), "%s", o.data ? FILE_IN_DATA : "an Earth that is drawn");
    r = o.data ? load(&measured, o.data) : 0;
    if (r == 0) {
        r = find(&found, o.data ? &measured : NULL);
        if (r < 0)
            complain("%s", strerror(-r));
    }
    r = r < 0 ? EXIT_FAILED : bench_report(NAME, &coordinates_report, &found, o.out, o.json);
    rtt_deinit(&measured);
    return r;
}
