/* What was found of routing tables, as tables for people, as JSON, as CSV and as a picture. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "bench/plot.h"
#include "bench/routing.h"

#define FIGURE_YEARS 5 /* of the paper */

static const char *const groups[GROUPS] = {
    "the paper's figure", "growth g", "pace s", "prefixes that an adopter keeps, f", "aggregates of proxies, X",
};

/* The paper's curves stand first. */
static const struct routing_series *series_of(const struct routing *r, enum routing_group group, size_t nth)
{
    for (size_t i = 0; i < r->series_count; i++) {
        if (r->series[i].group == group && nth-- == 0)
            return &r->series[i];
    }
    return NULL;
}

/* --- for people --- */

static void print_params(const struct routing *r)
{
    printf("How large are routing tables while networks become stub realms? Seed %lu.\n", r->seed);
    printf("N0 = %.0f ASes, P0 = %.0f prefixes, g = %g %% a year, s = %g %% of the ASes in half a year, f = %g, X = "
           "%g.\n",
           r->base.ases, r->base.prefixes, 100 * r->base.growth, 100 * r->base.pace, r->base.kept, r->base.proxies);
}

static void print_figure(const struct routing *r)
{
    const struct routing_series *none = series_of(r, GROUP_FIGURE, 0), *slow = series_of(r, GROUP_FIGURE, 1),
                                *fast = series_of(r, GROUP_FIGURE, 2);

    printf(
        "\nPrefixes in the table, thousands, and what all managers register (%.0f hosts an AS, %.0f bindings a host, "
        "refreshed each %.0f s)\n",
        r->load.hosts, r->load.bindings, r->load.refresh_s);
    printf("  %5s  %13s  %11s  %11s  %18s  %18s\n", "years", none->name, "s = 10 %", "s = 20 %", "M/s at s = 10 %",
           "M/s at s = 20 %");
    for (size_t half = 0; half <= 2 * FIGURE_YEARS; half++) {
        size_t i = half * ROUTING_A_YEAR / 2;
        double t = routing_years(i);

        printf("  %5.1f  %13.1f  %11.1f  %11.1f  %18.3f  %18.3f\n", t, none->points[i].table / 1e3,
               slow->points[i].table / 1e3, fast->points[i].table / 1e3,
               route_registrations(&slow->params, t, r->load.hosts, r->load.bindings, r->load.refresh_s) / 1e6,
               route_registrations(&fast->params, t, r->load.hosts, r->load.bindings, r->load.refresh_s) / 1e6);
    }
    printf("  a manager of one AS: %.1f registrations/s\n", r->load.hosts * r->load.bindings / r->load.refresh_s);
}

/* These are about the paper's own numbers, whatever the options are. */
static void print_misfits(void)
{
    const struct route_params paper = { .ases = 20000, .prefixes = 90000, .growth = .0845, .pace = .2, .kept = 1 };

    printf(
        "\nWhere the paper's numbers do not fit each other\n"
        "  N0 is not printed. 30K prefixes of f = 1 after 5 years of 8.45 %% need N0 = 30000 / %.4f = %.0f; 20000 is "
        "taken.\n"
        "  \"Doubled in 5 years\" would be %.2f %% a year. 8.45 %% is +%.0f %% in 5 years, as the paper says "
        "elsewhere.\n"
        "  At the double pace all have adopted after 2.5 years, when there are %.1fK ASes: so the table is %.1fK, "
        "not 30K,\n"
        "  and grows from there to %.1fK in year 5.\n",
        pow(1.0845, 5), 30000 / pow(1.0845, 5), 100 * route_growth(2, 5), 100 * (pow(1.0845, 5) - 1),
        route_at(&paper, 2.5).ases / 1e3, route_at(&paper, 2.5).table / 1e3, route_at(&paper, 5).table / 1e3);
}

static void print_sensitivity(const struct routing *r)
{
    printf("\nWhat it depends on: one thing changed; thousands of prefixes, and years until half of P0\n");
    printf("  %-34s  %7s  %7s  %7s  %9s\n", "", "1 y", "2.5 y", "5 y", "half");
    for (unsigned g = GROUP_GROWTH; g < GROUPS; g++) {
        const struct routing_series *s;

        printf("  %s\n", groups[g]);
        for (size_t i = 0; (s = series_of(r, (enum routing_group)g, i)); i++) {
            printf("    %-32s  %7.1f  %7.1f  %7.1f  ", s->name, route_at(&s->params, 1).table / 1e3,
                   route_at(&s->params, 2.5).table / 1e3, route_at(&s->params, 5).table / 1e3);
            if (isnan(s->half_years))
                printf("%9s\n", "never");
            else
                printf("%9.1f\n", s->half_years);
        }
    }
}

static void print_ases(const struct routing *r)
{
    static const double years[] = { 0, 1, 2.5, 4, 5 };

    printf(
        "\nASes one by one: P(an AS has k or more prefixes) = k^-%.4f, at most %u; %.2f on the average (drawn: %.2f, "
        "%.2f to %.2f)\nThousands of prefixes: mean, smallest to largest of %u sets of ASes\n",
        r->tail_exponent, r->tail_max, r->tail_mean, r->drawn_mean, r->drawn_low, r->drawn_high, ROUTING_DRAWS);
    printf("  %-5s  %8s", "years", "equation");
    for (size_t o = 0; o < AS_ORDERS; o++)
        printf("  %-24s", routing_orders[o]);
    putchar('\n');
    for (size_t y = 0; y < ARRAY_LEN(years); y++) {
        size_t i = (size_t)(years[y] * ROUTING_A_YEAR);

        printf("  %5.1f  %8.1f", years[y], route_at(&r->base, years[y]).table / 1e3);
        for (size_t o = 0; o < AS_ORDERS; o++)
            printf("  %6.1f (%5.1f to %5.1f)%4s", r->ases[o].mean[i] / 1e3, r->ases[o].low[i] / 1e3,
                   r->ases[o].high[i] / 1e3, "");
        putchar('\n');
    }
}

static void print_realms(const struct routing *r)
{
    static const char *const levels[REALM_LEVELS] = { "root /42", "/48", "/52", "/56" };

    printf("\nWhat realm managers hold: %zu realms, %llu entities. Entries beyond a manager's own entities, median and "
           "largest\n",
           r->tree.count, (unsigned long long)r->entities);
    printf("  %-8s  %8s  %19s  %15s  %19s\n", "level", "managers", "own entities", "by prefix", "flat identifiers");
    for (size_t d = 0; d < REALM_LEVELS; d++) {
        const struct routing_level *l = &r->levels[d];

        printf("  %-8s  %8zu  %9llu %9llu  %7llu %7llu  %9llu %9llu\n", levels[d], l->managers,
               (unsigned long long)l->own[0], (unsigned long long)l->own[1], (unsigned long long)l->by_prefix[0],
               (unsigned long long)l->by_prefix[1], (unsigned long long)l->flat[0], (unsigned long long)l->flat[1]);
    }
    printf("  all together: %llu by prefix, %llu flat: %.0f times as many\n", (unsigned long long)r->by_prefix,
           (unsigned long long)r->flat, (double)r->flat / (double)MAX(r->by_prefix, 1));
    printf("  a new entity changes 1 table by prefix, %.2f on the average when flat\n", r->joins_flat);
}

static void print(const void *found)
{
    const struct routing *r = found;

    print_params(r);
    print_figure(r);
    print_misfits();
    print_sensitivity(r);
    print_ases(r);
    print_realms(r);
}

/* --- JSON --- */

static json_t *json_series(const struct routing *r)
{
    json_t *all = json_array();

    for (size_t n = 0; n < r->series_count; n++) {
        const struct routing_series *s = &r->series[n];
        json_t *points = json_array();

        for (size_t i = 0; i < ROUTING_POINTS; i++) {
            double t = routing_years(i),
                   load = route_registrations(&s->params, t, r->load.hosts, r->load.bindings, r->load.refresh_s);

            json_array_append_new(
                points, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "years", bench_number(t), "ases",
                                  bench_number(s->points[i].ases), "prefixes", bench_number(s->points[i].prefixes),
                                  "adopted", bench_number(s->points[i].adopted), "table",
                                  bench_number(s->points[i].table), "registrations", bench_number(load)));
        }
        json_array_append_new(all, json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:o, s:o}", "group", groups[s->group],
                                             "name", s->name, "g", s->params.growth, "s", s->params.pace, "f",
                                             s->params.kept, "x", s->params.proxies, "half_years",
                                             bench_number(s->half_years), "points", points));
    }
    return all;
}

static json_t *json_ases(const struct routing *r)
{
    json_t *orders = json_object();

    for (size_t o = 0; o < AS_ORDERS; o++) {
        json_t *points = json_array();

        for (size_t i = 0; i < ROUTING_POINTS; i++)
            json_array_append_new(points,
                                  json_pack("{s:o, s:o, s:o, s:o}", "years", bench_number(routing_years(i)), "mean",
                                            bench_number(r->ases[o].mean[i]), "low", bench_number(r->ases[o].low[i]),
                                            "high", bench_number(r->ases[o].high[i])));
        json_object_set_new(orders, routing_orders[o], points);
    }
    return json_pack("{s:o, s:I, s:o, s:o, s:I, s:o}", "exponent", bench_number(r->tail_exponent), "max",
                     (json_int_t)r->tail_max, "mean", bench_number(r->tail_mean), "drawn_mean",
                     bench_number(r->drawn_mean), "sets", (json_int_t)ROUTING_DRAWS, "orders", orders);
}

static json_t *json_pair(const uint64_t v[2])
{
    return json_pack("{s:I, s:I}", "median", (json_int_t)v[0], "largest", (json_int_t)v[1]);
}

static json_t *json_realms(const struct routing *r)
{
    json_t *levels = json_array();

    for (size_t d = 0; d < REALM_LEVELS; d++) {
        const struct routing_level *l = &r->levels[d];

        json_array_append_new(levels, json_pack("{s:I, s:o, s:o, s:o}", "managers", (json_int_t)l->managers, "own",
                                                json_pair(l->own), "by_prefix", json_pair(l->by_prefix), "flat",
                                                json_pair(l->flat)));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "realms", (json_int_t)r->tree.count, "entities",
                     (json_int_t)r->entities, "by_prefix", (json_int_t)r->by_prefix, "flat", (json_int_t)r->flat,
                     "joins_flat", bench_number(r->joins_flat), "levels", levels);
}

static json_t *json_all(const void *found)
{
    const struct routing *r = found;

    return json_pack("{s:I, s:{s:f, s:f, s:f}, s:o, s:o, s:o}", "seed", (json_int_t)r->seed, "load", "hosts",
                     r->load.hosts, "bindings", r->load.bindings, "refresh_s", r->load.refresh_s, "series",
                     json_series(r), "ases", json_ases(r), "realms", json_realms(r));
}

/* --- files --- */

static int write_tables(FILE *out, const void *found)
{
    const struct routing *r = found;

    fputs("group,series,years,prefixes_without,adopted,table\n", out);
    for (size_t n = 0; n < r->series_count; n++) {
        const struct routing_series *s = &r->series[n];

        for (size_t i = 0; i < ROUTING_POINTS; i++)
            fprintf(out, "\"%s\",%s,%g,%.1f,%.3f,%.1f\n", groups[s->group], s->name, routing_years(i),
                    s->points[i].prefixes, s->points[i].adopted, s->points[i].table);
    }
    for (size_t o = 0; o < AS_ORDERS; o++) {
        for (size_t i = 0; i < ROUTING_POINTS; i++)
            fprintf(out, "ASes one by one,%s,%g,,,%.1f\n", routing_orders[o], routing_years(i), r->ases[o].mean[i]);
    }
    return 0;
}

static int write_realms(FILE *out, const void *found)
{
    const struct routing *r = found;

    fputs("realm,bits,parent,own,by_prefix,flat\n", out);
    for (size_t i = 0; i < r->tree.count; i++) {
        const struct realm_node *n = &r->tree.nodes[i];

        fprintf(out, "%u,%u,%u,%llu,%llu,%llu\n", n->range.number, n->range.bits, r->tree.nodes[n->parent].range.number,
                (unsigned long long)n->own, (unsigned long long)n->by_prefix, (unsigned long long)n->flat);
    }
    return 0;
}

#define PANELS (GROUPS + 1) /* the groups, and ASes one by one */

static void add_points(struct plot_panel *p, const char *name, struct plot_point points[ROUTING_POINTS])
{
    struct plot_curve *c = &p->curves[p->count++];

    snprintf(c->name, sizeof(c->name), "%s", name);
    c->points = points;
    c->count = ROUTING_POINTS;
}

static int write_picture(FILE *out, const void *found)
{
    const struct routing *r = found;
    CLEANUP(cleanup_free)
    struct plot_point(*points)[ROUTING_POINTS] = calloc(ROUTING_SERIES_MAX + AS_ORDERS, sizeof(*points));
    struct plot_panel panels[PANELS] = { 0 };

    if (!points)
        return -ENOMEM;
    for (size_t n = 0; n < PANELS; n++) {
        struct plot_panel *p = &panels[n];

        p->x = (struct plot_axis){ .label = "years", .max = ROUTING_YEARS, .parts = ROUTING_YEARS };
        p->y = (struct plot_axis){ .label = "thousands of prefixes", .max = 160, .parts = 8 };
        p->at = (struct plot_point){ NAN, n == GROUP_FIGURE ? 30 : NAN };
        snprintf(p->title, sizeof(p->title), "%s", n < GROUPS ? groups[n] : "ASes one by one");
        if (n == GROUPS)
            snprintf(p->source, sizeof(p->source), "mean of %u sets, who adopts first", ROUTING_DRAWS);
    }
    for (size_t n = 0; n < r->series_count; n++) {
        for (size_t i = 0; i < ROUTING_POINTS; i++)
            points[n][i] = (struct plot_point){ routing_years(i), r->series[n].points[i].table / 1e3 };
        add_points(&panels[r->series[n].group], r->series[n].name, points[n]);
    }
    for (size_t o = 0; o < AS_ORDERS; o++) {
        struct plot_point *at = points[ROUTING_SERIES_MAX + o];

        for (size_t i = 0; i < ROUTING_POINTS; i++)
            at[i] = (struct plot_point){ routing_years(i), r->ases[o].mean[i] / 1e3 };
        add_points(&panels[GROUPS], routing_orders[o], at);
    }
    plot_write(out, "How large is the routing table while networks become stub realms?",
               "Prefixes in the default-free zone. Dashed: the paper's 30K.", panels, PANELS);
    return 0;
}

const struct bench_report routing_report = {
    .print = print,
    .json = json_all,
    .files = { { "routing.csv", write_tables }, { "realms.csv", write_realms }, { "routing.svg", write_picture } },
};
