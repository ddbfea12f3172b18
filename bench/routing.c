/* hawser-routing (`hawser sim routing`): how large are routing tables when networks become stub realms?
 *
 * Theory of operation. Three questions. How many prefixes the default-free zone has while ASes adopt: the equations of
 * bench/route_table.h with the paper's numbers, then with one of them changed at a time, and with the terms that the
 * paper leaves out. The same over ASes one by one: that an AS has 4.5 prefixes is true of hardly any of them, and who
 * adopts first decides. And what realm managers hold in return: registrations, and entries to route by aggregated
 * prefix or by flat identifier (bench/realm_tree.h).
 *
 * Nothing was chosen to meet the paper's figure but N0, which it does not print: f = 1 and 30K prefixes after 5 years
 * say 20,000. The same options give the same bytes.
 *
 * Sources: the multi-granularity multihoming framework, section V.A. */
#include "bench/routing.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "bench/tail.h"

#define NAME "sim routing"
#define complain(...) bench_complain(NAME, __VA_ARGS__)

#define SEED_MAX 4294967295
#define TAIL_MAX 2500 /* prefixes of an AS; chosen: those of a large carrier */
#define REALMS_DEFAULT 1000
#define ENTITIES_MEAN 400   /* of a tier of a realm; chosen: about half a million in all */
#define ENTITIES_MAX 100000 /* of the same; chosen: a carrier */
#define HOSTS 10000         /* of an AS; chosen */
#define BINDINGS 2          /* of a host: two attachments */
#define REFRESH_S 300       /* chosen: a third of a lease of 15 minutes */

const char *const routing_orders[AS_ORDERS] = { "at random", "largest first", "smallest first" };

double routing_years(size_t point)
{
    return (double)point / ROUTING_A_YEAR;
}

/* --- the table of the default-free zone --- */

#define WITH(parameter) offsetof(struct route_params, parameter)

static const struct change {
    enum routing_group group;
    const char *name;
    size_t parameter;
    double value;
} changes[] = {
    { GROUP_FIGURE, "nobody adopts", WITH(pace), 0 },
    { GROUP_FIGURE, "10 % in half a year", WITH(pace), .1 },
    { GROUP_FIGURE, "20 % in half a year", WITH(pace), .2 },
    { GROUP_GROWTH, "g = 0", WITH(growth), 0 },
    { GROUP_GROWTH, "g = 4 % a year", WITH(growth), .04 },
    { GROUP_GROWTH, "g = 8.45 % a year", WITH(growth), .0845 },
    { GROUP_GROWTH, "g = 14.87 %: doubled in 5 years", WITH(growth), .1487 },
    { GROUP_GROWTH, "g = 20 % a year", WITH(growth), .2 },
    { GROUP_PACE, "s = 2.5 % in half a year", WITH(pace), .025 },
    { GROUP_PACE, "s = 5 % in half a year", WITH(pace), .05 },
    { GROUP_PACE, "s = 10 % in half a year", WITH(pace), .1 },
    { GROUP_PACE, "s = 20 % in half a year", WITH(pace), .2 },
    { GROUP_KEPT, "f = 0", WITH(kept), 0 },
    { GROUP_KEPT, "f = .25", WITH(kept), .25 },
    { GROUP_KEPT, "f = .5", WITH(kept), .5 },
    { GROUP_KEPT, "f = 1", WITH(kept), 1 },
    { GROUP_PROXIES, "X = 0", WITH(proxies), 0 },
    { GROUP_PROXIES, "X = 1000", WITH(proxies), 1000 },
    { GROUP_PROXIES, "X = 5000", WITH(proxies), 5000 },
    { GROUP_PROXIES, "X = 20000: one for each AS", WITH(proxies), 20000 },
};
_Static_assert(ARRAY_LEN(changes) <= ROUTING_SERIES_MAX, "room for all");

static void find_series(struct routing *r)
{
    for (r->series_count = 0; r->series_count < ARRAY_LEN(changes); r->series_count++) {
        const struct change *c = &changes[r->series_count];
        struct routing_series *s = &r->series[r->series_count];

        *s = (struct routing_series){ .group = c->group, .params = r->base, .half_years = NAN };
        memcpy((char *)&s->params + c->parameter, &c->value, sizeof(c->value));
        snprintf(s->name, sizeof(s->name), "%s", c->name);
        for (size_t i = 0; i < ROUTING_POINTS; i++)
            s->points[i] = route_at(&s->params, routing_years(i));
        for (unsigned half = 0; half <= 2 * ROUTING_HALF_MAX && isnan(s->half_years); half++) {
            if (route_at(&s->params, half / 2.).table <= s->params.prefixes / 2)
                s->half_years = half / 2.;
        }
    }
}

/* 0 or -ENOMEM. */
static int find_ases(struct routing *r)
{
    size_t count = (size_t)ceil(route_at(&r->base, ROUTING_YEARS).ases);

    r->tail_max = TAIL_MAX;
    r->tail_mean = r->base.prefixes / r->base.ases;
    r->tail_exponent = tail_exponent(r->tail_mean, r->tail_max);
    for (unsigned draw = 0; draw < ROUTING_DRAWS; draw++) {
        struct as_set set;
        double mean;

        if (as_set_init(&set, count, r->tail_exponent, r->tail_max, r->seed * ROUTING_DRAWS + draw) < 0)
            return -ENOMEM;
        mean = as_set_at(&set, &r->base, AS_RANDOM, 0).prefixes / r->base.ases;
        r->drawn_mean += mean / ROUTING_DRAWS;
        r->drawn_low = draw > 0 ? MIN(r->drawn_low, mean) : mean;
        r->drawn_high = MAX(r->drawn_high, mean);
        for (unsigned o = 0; o < AS_ORDERS; o++) {
            for (size_t i = 0; i < ROUTING_POINTS; i++) {
                double table = as_set_at(&set, &r->base, (enum as_order)o, routing_years(i)).table;
                struct routing_ases *a = &r->ases[o];

                a->mean[i] += table / ROUTING_DRAWS;
                a->low[i] = draw > 0 ? MIN(a->low[i], table) : table;
                a->high[i] = MAX(a->high[i], table);
            }
        }
        as_set_deinit(&set);
    }
    return 0;
}

/* --- what realm managers hold --- */

static int ascending(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void median_and_largest(uint64_t *values, size_t count, uint64_t ret[2])
{
    qsort(values, count, sizeof(*values), ascending);
    ret[0] = count ? values[(count - 1) / 2] : 0;
    ret[1] = count ? values[count - 1] : 0;
}

/* 0 or -ENOMEM. */
static int find_realms(struct routing *r, size_t realms)
{
    const struct realm_spec spec = { .realms = realms, .mean = ENTITIES_MEAN, .max = ENTITIES_MAX, .seed = r->seed };
    CLEANUP(cleanup_free) uint64_t *values = calloc(realms * 3, sizeof(*values));
    double joins = 0;

    if (!values || realm_tree_draw(&r->tree, &spec) < 0)
        return -ENOMEM;
    realm_tree_count(&r->tree);
    for (unsigned depth = 0; depth < REALM_LEVELS; depth++) {
        struct routing_level *l = &r->levels[depth];

        for (size_t i = 0; i < r->tree.count; i++) {
            const struct realm_node *n = &r->tree.nodes[i];

            if (n->depth != depth)
                continue;
            values[l->managers] = n->own;
            values[realms + l->managers] = n->by_prefix;
            values[2 * realms + l->managers++] = n->flat;
            r->entities += n->own;
            r->by_prefix += n->by_prefix;
            r->flat += n->flat;
            joins += (double)n->own * (1 + depth);
        }
        median_and_largest(values, l->managers, l->own);
        median_and_largest(values + realms, l->managers, l->by_prefix);
        median_and_largest(values + 2 * realms, l->managers, l->flat);
    }
    r->joins_flat = joins / (double)r->entities;
    return 0;
}

/* --- the program --- */

struct options {
    const char *out;
    unsigned long seed, realms;
    struct route_params base;
    bool json;
};

static int misused(void)
{
    fputs("usage: hawser sim routing [--growth G] [--pace S] [--kept F] [--proxies X] [--realms N] [--seed N] "
          "[--out DIR] [--json]\n",
          stderr);
    return EXIT_USAGE;
}

/* EXIT_DONE, or EXIT_USAGE after telling what is wrong. */
static int read_options(struct options *o, int argc, char **argv)
{
    const struct bench_option options[] = {
        { "growth", .real = &o->base.growth, .low = 0, .high = 1 },
        { "pace", .real = &o->base.pace, .low = 0, .high = 1 },
        { "kept", .real = &o->base.kept, .low = 0, .high = 1 },
        { "proxies", .real = &o->base.proxies, .low = 0, .high = 1e9 },
        { "realms", .number = &o->realms, .low = 1, .high = REALMS_MAX },
        { "seed", .number = &o->seed, .low = 0, .high = SEED_MAX },
        { "out", .text = &o->out },
        { "json", .flag = &o->json },
        { .name = NULL },
    };

    *o = (struct options){ .out = ".",
                           .seed = 1,
                           .realms = REALMS_DEFAULT,
                           .base = { .ases = 20000, .prefixes = 90000, .growth = .0845, .pace = .1, .kept = 1 } };
    return bench_options(NAME, options, argc, argv) ? EXIT_DONE : misused();
}

int main(int argc, char **argv)
{
    static struct routing found;
    struct options o;
    int r = read_options(&o, argc, argv);

    if (r != EXIT_DONE)
        return r;
    found.seed = o.seed;
    found.base = o.base;
    found.load = (struct routing_load){ .hosts = HOSTS, .bindings = BINDINGS, .refresh_s = REFRESH_S };
    find_series(&found);
    r = find_ases(&found);
    if (r == 0)
        r = find_realms(&found, o.realms);
    if (r < 0)
        complain("%s", strerror(-r));
    r = r < 0 ? EXIT_FAILED : bench_report(NAME, &routing_report, &found, o.out, o.json);
    realm_tree_deinit(&found.tree);
    return r;
}
