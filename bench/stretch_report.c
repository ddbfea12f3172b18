/* What was found of the stretch of paths, as tables for people, as JSON, as CSV and as a picture. */
#include <errno.h>
#include <jansson.h>
#include <math.h>

#include "bench/plot.h"
#include "bench/stretch.h"

static const char *const stretch_metrics[STRETCH_METRICS] = {
    [STRETCH_DMUX] = "client-gateway-router, of client-router",
    [STRETCH_IPVN] = "router-last router-server, of router-server",
    [STRETCH_DMUX_PLAIN] = "dmux, plain Internet behind the router",
    [STRETCH_DMUX_NATIVE] = "dmux, routers to the one nearest the server",
    [STRETCH_DIRECT_PLAIN] = "IPvN without dmux, plain Internet",
    [STRETCH_DIRECT_NATIVE] = "IPvN without dmux, routers",
    [STRETCH_DMUX_FAR] = "the first, of routers 5 ms away or more",
};

/* What the paper has for 100 gateways and 100 routers: median, 90th percentile; and what is asked of ours. */
static const struct {
    enum stretch_metric metric;
    double median, tail;
} paper[] = { { STRETCH_DMUX, 1.0, 1.9 }, { STRETCH_IPVN, 1.0, 1.4 } };
#define ASKED_MEDIAN 1.05
#define ASKED_TAIL 1.9
#define PAPER_G 1 /* places of 100 gateways and 100 routers */
#define PAPER_R 0

#define HUNDRED 4 /* place of 100 routers over measured round trips */

static const struct stretch_spread *at_paper(const struct stretch_found *f, enum stretch_metric m)
{
    return &f->stretch[PAPER_G][PAPER_R][m];
}

/* --- for people --- */

static void print_paper(const struct stretch_found *f)
{
    printf("\n%zu gateways and %zu routers: stretch\n  %-46s  %6s  %6s  %6s  %6s  %s\n", stretch_gateways[PAPER_G],
           stretch_routers[PAPER_R], "", "10 %", "median", "90 %", "99 %", "paper: median, 90 %");
    for (size_t m = 0; m < STRETCH_METRICS; m++) {
        const struct stretch_spread *s = at_paper(f, (enum stretch_metric)m);

        printf("  %-46s  %6.2f  %6.2f  %6.2f  %6.2f  ", stretch_metrics[m], s->at[10], s->at[50], s->at[90], s->at[99]);
        for (size_t i = 0; i < ARRAY_LEN(paper); i++) {
            if (paper[i].metric == (enum stretch_metric)m)
                printf("%.1f, %.1f", paper[i].median, paper[i].tail);
        }
        putchar('\n');
    }
    printf("  That the paper's \"dmux path\" and \"IPvN path\" are the first two is how we read it: its figures are "
           "nearest "
           "to these.\n"
           "  Asked of the first: median <= %.2f (%.2f), 90 %% <= %.1f (%.2f).\n",
           ASKED_MEDIAN, at_paper(f, STRETCH_DMUX)->at[50], ASKED_TAIL, at_paper(f, STRETCH_DMUX)->at[90]);
    if (at_paper(f, STRETCH_DMUX)->at[90] > ASKED_TAIL)
        printf(
            "  Why not: latencies are whole ms and at least 1, so a gateway of the next ISP in a city makes 2 of 1. Of "
            "routers\n  that are %.0f ms away or more, which %.0f %% are, it is %.2f.\n",
            STRETCH_FAR_MS,
            100. * (double)at_paper(f, STRETCH_DMUX_FAR)->count / (double)MAX(at_paper(f, STRETCH_DMUX)->count, 1),
            at_paper(f, STRETCH_DMUX_FAR)->at[90]);
}

static void print_grid(const struct stretch_found *f, enum stretch_metric m)
{
    printf("\n%s: median / 90 %%\n  gateways", stretch_metrics[m]);
    for (size_t r = 0; r < STRETCH_ROUTERS; r++)
        printf("  %4zu routers", stretch_routers[r]);
    putchar('\n');
    for (size_t g = 0; g < STRETCH_GATEWAYS; g++) {
        if (isnan(f->stretch[g][0][m].at[50]))
            continue;
        printf("  %8zu", stretch_gateways[g]);
        for (size_t r = 0; r < STRETCH_ROUTERS; r++)
            printf("  %5.2f /%5.2f", f->stretch[g][r][m].at[50], f->stretch[g][r][m].at[90]);
        putchar('\n');
    }
}

static void print_measured(const struct stretch_found *f)
{
    printf("\nFive gateways over measured round trips: ms more than client-server, median / 90 %%\n"
           "  paper: dmux 43 / 141, IPvN 8 at the median\n");
    for (size_t i = 0; i < STRETCH_MATRICES; i++) {
        printf("  %s, %zu nodes\n  %46s", f->measured[i].name, f->measured[i].nodes, "routers");
        for (size_t n = 0; n < STRETCH_FEW; n++)
            printf("  %11zu", stretch_few[n]);
        putchar('\n');
        for (size_t m = STRETCH_DMUX_PLAIN; m <= STRETCH_DIRECT_NATIVE; m++) {
            printf("  %-46s", stretch_metrics[m]);
            for (size_t n = 0; n < STRETCH_FEW; n++) {
                const struct stretch_spread *s = &f->measured[i].ms[n][m];

                if (s->count > 0)
                    printf("  %5.0f /%4.0f", s->at[50], s->at[90]);
                else
                    printf("  %11s", "-");
            }
            putchar('\n');
        }
    }
}

static void print(const void *found)
{
    const struct stretch_found *f = found;

    printf("How long are paths through a demultiplexer? Seed %lu, %lu runs a point.\n"
           "%zu ISPs, %zu POPs (the paper: 22, 687). Fewest ISPs, nearest exits, anycast likewise; ISPs meet where "
           "both are.\n",
           f->seed, f->runs, f->isps, f->pops);
    print_paper(f);
    for (size_t m = 0; m < STRETCH_DMUX_FAR; m++)
        print_grid(f, (enum stretch_metric)m);
    print_measured(f);
}

/* --- JSON --- */

static json_t *json_spreads(const struct stretch_spread s[STRETCH_METRICS], size_t first, size_t end)
{
    json_t *all = json_object();

    for (size_t m = first; m < end; m++)
        json_object_set_new(all, stretch_metrics[m],
                            json_pack("{s:I, s:o, s:o, s:o, s:o}", "count", (json_int_t)s[m].count, "p10",
                                      bench_number(s[m].at[10]), "p50", bench_number(s[m].at[50]), "p90",
                                      bench_number(s[m].at[90]), "p99", bench_number(s[m].at[99])));
    return all;
}

static json_t *json_all(const void *found)
{
    const struct stretch_found *f = found;
    json_t *points = json_array(), *measured = json_array();

    for (size_t g = 0; g < STRETCH_GATEWAYS; g++) {
        for (size_t r = 0; r < STRETCH_ROUTERS; r++)
            json_array_append_new(points, json_pack("{s:I, s:I, s:o}", "gateways", (json_int_t)stretch_gateways[g],
                                                    "routers", (json_int_t)stretch_routers[r], "stretch",
                                                    json_spreads(f->stretch[g][r], 0, STRETCH_METRICS)));
    }
    for (size_t i = 0; i < STRETCH_MATRICES; i++) {
        for (size_t n = 0; n < STRETCH_FEW; n++)
            json_array_append_new(
                measured, json_pack("{s:s, s:I, s:I, s:o}", "file", f->measured[i].name, "nodes",
                                    (json_int_t)f->measured[i].nodes, "routers", (json_int_t)stretch_few[n], "more_ms",
                                    json_spreads(f->measured[i].ms[n], STRETCH_DMUX_PLAIN, STRETCH_DMUX_FAR)));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:o}", "seed", (json_int_t)f->seed, "runs", (json_int_t)f->runs, "isps",
                     (json_int_t)f->isps, "pops", (json_int_t)f->pops, "points", points, "measured", measured);
}

/* --- files --- */

static void write_row(FILE *out, const struct stretch_spread *s)
{
    static const size_t at[] = { 1, 10, 25, 50, 75, 90, 99 };

    fprintf(out, ",%zu", s->count);
    for (size_t i = 0; i < ARRAY_LEN(at); i++) {
        if (s->count > 0)
            fprintf(out, ",%.3f", s->at[at[i]]);
        else
            fputc(',', out);
    }
    fputc('\n', out);
}

static int write_stretch(FILE *out, const void *found)
{
    const struct stretch_found *f = found;

    fputs("gateways,routers,path,count,p1,p10,p25,p50,p75,p90,p99\n", out);
    for (size_t g = 0; g < STRETCH_GATEWAYS; g++) {
        for (size_t r = 0; r < STRETCH_ROUTERS; r++) {
            for (size_t m = 0; m < STRETCH_METRICS; m++) {
                fprintf(out, "%zu,%zu,\"%s\"", stretch_gateways[g], stretch_routers[r], stretch_metrics[m]);
                write_row(out, &f->stretch[g][r][m]);
            }
        }
    }
    return 0;
}

static int write_latency(FILE *out, const void *found)
{
    const struct stretch_found *f = found;

    fputs("file,routers,path,count,p1,p10,p25,p50,p75,p90,p99\n", out);
    for (size_t i = 0; i < STRETCH_MATRICES; i++) {
        for (size_t n = 0; n < STRETCH_FEW; n++) {
            for (size_t m = STRETCH_DMUX_PLAIN; m <= STRETCH_DIRECT_NATIVE; m++) {
                fprintf(out, "%s,%zu,\"%s\"", f->measured[i].name, stretch_few[n], stretch_metrics[m]);
                write_row(out, &f->measured[i].ms[n][m]);
            }
        }
    }
    return 0;
}

#define PANELS 6 /* two distributions, two grids, two of measured round trips */
#define POINTS (STRETCH_STEPS + 1)

struct drawing {
    struct plot_panel panels[PANELS];
    struct plot_point points[PANELS * PLOT_CURVES_MAX][POINTS];
    size_t used;
};

static struct plot_point *add_curve(struct drawing *d, size_t panel, const char *name, size_t count, bool stepped)
{
    struct plot_curve *c = &d->panels[panel].curves[d->panels[panel].count++];
    struct plot_point *points = d->points[d->used++];

    snprintf(c->name, sizeof(c->name), "%s", name);
    c->points = points;
    c->count = count;
    c->stepped = stepped;
    return points;
}

static void add_distribution(struct drawing *d, size_t panel, const char *name, const struct stretch_spread *s)
{
    struct plot_point *points = add_curve(d, panel, name, s->count > 0 ? POINTS : 0, true);

    for (size_t i = 0; i < POINTS; i++)
        points[i] = (struct plot_point){ s->at[i], (double)i / STRETCH_STEPS };
}

/* By gateways, for the least, a middle and the greatest number of routers: median and 90th percentile. */
static void add_grid(struct drawing *d, size_t panel, const struct stretch_found *f, enum stretch_metric m)
{
    static const size_t routers[] = { 0, 2, 5 };
    char name[PLOT_TEXT_MAX];

    for (size_t i = 0; i < ARRAY_LEN(routers); i++) {
        for (size_t p = 50; p <= 90; p += 40) {
            struct plot_point *points;

            snprintf(name, sizeof(name), "%zu routers, %s", stretch_routers[routers[i]], p == 50 ? "median" : "90 %");
            points = add_curve(d, panel, name, STRETCH_GATEWAYS - 1, false);
            for (size_t g = 1; g < STRETCH_GATEWAYS; g++)
                points[g - 1] = (struct plot_point){ (double)stretch_gateways[g], f->stretch[g][routers[i]][m].at[p] };
        }
    }
}

static void add_measured(struct drawing *d, size_t panel, const struct stretch_found *f, size_t file)
{
    static const char *const names[] = { "dmux, plain", "dmux, routers", "IPvN, plain", "IPvN, routers" };

    for (size_t m = STRETCH_DMUX_PLAIN; m <= STRETCH_DIRECT_NATIVE; m++)
        add_distribution(d, panel, names[m - STRETCH_DMUX_PLAIN], &f->measured[file].ms[HUNDRED][m]);
}

static int write_picture(FILE *out, const void *found)
{
    const struct stretch_found *f = found;
    static const char *const titles[PANELS] = { "Parts of the path",     "Whole paths",
                                                "client-gateway-router", "Whole path by dmux, plain Internet",
                                                "Measured round trips",  "Measured round trips" };
    CLEANUP(cleanup_free) struct drawing *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    for (size_t i = 0; i < PANELS; i++) {
        struct plot_panel *p = &d->panels[i];

        snprintf(p->title, sizeof(p->title), "%s", titles[i]);
        p->at = (struct plot_point){ NAN, NAN };
        p->names_low = i < 2 || i > 3;
        if (i < 2)
            p->x = (struct plot_axis){ .label = "stretch", .max = 4, .parts = 4 };
        else if (i < 4)
            p->x = (struct plot_axis){ .label = "gateways", .max = 600, .parts = 6 };
        else
            p->x = (struct plot_axis){ .label = "ms more than client-server", .min = -100, .max = 300, .parts = 4 };
        p->y = i == 2 || i == 3
                   ? (struct plot_axis){ .label = "stretch", .min = 1, .max = 3, .parts = 4, .decimals = 1 }
                   : (struct plot_axis){ .label = "part of the runs", .max = 1, .parts = 5, .decimals = 1 };
        if (i < 2)
            snprintf(p->source, sizeof(p->source), "%zu gateways, %zu routers", stretch_gateways[PAPER_G],
                     stretch_routers[PAPER_R]);
        else if (i > 3)
            snprintf(p->source, sizeof(p->source), "%s, 5 gateways, %zu routers", f->measured[i == 4 ? 0 : 2].name,
                     stretch_few[HUNDRED]);
    }
    d->panels[0].at = (struct plot_point){ paper[0].tail, .9 };
    add_distribution(d, 0, "client-gateway-router", at_paper(f, STRETCH_DMUX));
    add_distribution(d, 0, "router-last router-server", at_paper(f, STRETCH_IPVN));
    add_distribution(d, 1, "dmux, plain", at_paper(f, STRETCH_DMUX_PLAIN));
    add_distribution(d, 1, "dmux, routers", at_paper(f, STRETCH_DMUX_NATIVE));
    add_distribution(d, 1, "IPvN, plain", at_paper(f, STRETCH_DIRECT_PLAIN));
    add_distribution(d, 1, "IPvN, routers", at_paper(f, STRETCH_DIRECT_NATIVE));
    add_grid(d, 2, f, STRETCH_DMUX);
    add_grid(d, 3, f, STRETCH_DMUX_PLAIN);
    add_measured(d, 4, f, 0);
    add_measured(d, 5, f, 2);
    plot_write(out, "How long are paths through a demultiplexer?",
               "Stretch: the latency of a path, of the direct one. Dashed: the paper's 90th percentile.", d->panels,
               PANELS);
    return 0;
}

const struct bench_report stretch_report = {
    .print = print,
    .json = json_all,
    .files = { { "stretch.csv", write_stretch }, { "latency.csv", write_latency }, { "stretch.svg", write_picture } },
};
