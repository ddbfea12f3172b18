/* What was found of coordinates, as tables for people, as JSON, as CSV and as a picture. */
#include "bench/coordinates.h"

#include <errno.h>
#include <math.h>

static const char *const names[CHOICE_COUNT] = {
    [CHOICE_FOUR] = "the nearest four by estimate, asked",
    [CHOICE_ESTIMATE] = "the nearest by estimate",
    [CHOICE_ANY] = "any",
};
static const char *const keys[CHOICE_COUNT] = {
    [CHOICE_FOUR] = "four", [CHOICE_ESTIMATE] = "estimate", [CHOICE_ANY] = "any"
};

/* What each gateway sends in a second: a PING and a PONG for each neighbour it asks, and as many for those who ask. */
#define MESH_MESSAGES(f) (2 * ((f)->gateways - 1))
#define MESSAGES 2

static void print(const void *found)
{
    const struct coordinates_found *f = found;

    printf("%lu gateways, %lu routers of %lu providers, %s; seed %lu\n", f->gateways, f->routers, f->providers,
           f->source, f->seed);
    if (f->liars > 0)
        printf("%lu gateways lie; what follows is of the others\n", f->liars);
    printf("\nEstimated round trips between any two, relative error\n  %8s  %8s  %8s  %8s\n", "s", "median", "90 %",
           "99 %");
    for (size_t i = 0; i < COORDINATES_TIMES; i++)
        printf("  %8.0f  %8.3f  %8.3f  %8.3f\n", f->error_s[i], f->error[i].at[50], f->error[i].at[90],
               f->error[i].at[99]);
    printf("\nThe router that is chosen, beside what a full mesh would choose\n  %-36s  %8s  %8s  %8s  %12s\n",
           "stretch", "median", "90 %", "99 %", "90 %, ms more");
    for (size_t i = 0; i < CHOICE_COUNT; i++)
        printf("  %-36s  %8.2f  %8.2f  %8.2f  %12.1f\n", names[i], f->stretch[i].at[50], f->stretch[i].at[90],
               f->stretch[i].at[99], f->more_ms[i].at[90]);
    printf("\nOf a gateway                            links   their state, KB   messages sent a second\n"
           "  full mesh, a PING a second each     %7lu  %16.0f  %23lu\n"
           "  %2lu neighbours, one asked a second   %7lu  %16.0f  %23d\n"
           "  The paper has a full mesh. So has the daemon, of 256 gateways; beyond that, see hawser sim directory.\n",
           f->gateways - 1, (double)(f->gateways - 1) * (double)f->link_bytes / 1e3, MESH_MESSAGES(f), f->neighbours,
           f->neighbours, (double)f->neighbours * (double)f->link_bytes / 1e3, MESSAGES);
}

static json_t *distribution_json(const struct distribution *s)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "p10", bench_number(s->at[10]), "p50", bench_number(s->at[50]), "p90",
                     bench_number(s->at[90]), "p99", bench_number(s->at[99]));
}

static json_t *json_all(const void *found)
{
    const struct coordinates_found *f = found;
    json_t *errors = json_array(), *choices = json_object();

    for (size_t i = 0; i < COORDINATES_TIMES; i++)
        json_array_append_new(errors, json_pack("{s:o, s:o}", "s", bench_number(f->error_s[i]), "relative",
                                                distribution_json(&f->error[i])));
    for (size_t i = 0; i < CHOICE_COUNT; i++)
        json_object_set_new(choices, keys[i],
                            json_pack("{s:o, s:o}", "stretch", distribution_json(&f->stretch[i]), "more_ms",
                                      distribution_json(&f->more_ms[i])));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:o, s:{s:I, s:I}, s:{s:I, s:I}}", "seed",
                     (json_int_t)f->seed, "gateways", (json_int_t)f->gateways, "routers", (json_int_t)f->routers,
                     "providers", (json_int_t)f->providers, "neighbours", (json_int_t)f->neighbours, "liars",
                     (json_int_t)f->liars, "source", f->source, "error", errors, "choice", choices, "full_mesh",
                     "links", (json_int_t)(f->gateways - 1), "messages_per_s", (json_int_t)MESH_MESSAGES(f),
                     "coordinates", "links", (json_int_t)f->neighbours, "messages_per_s", (json_int_t)MESSAGES);
}

static int write_csv(FILE *out, const void *found)
{
    const struct coordinates_found *f = found;

    fputs("what,of,percent,value\n", out);
    for (size_t p = 0; p <= DISTRIBUTION_STEPS; p++) {
        for (size_t i = 0; i < COORDINATES_TIMES; i++)
            fprintf(out, "error,%.0f,%zu,%.6f\n", f->error_s[i], p, f->error[i].at[p]);
        for (size_t i = 0; i < CHOICE_COUNT; i++)
            fprintf(out, "stretch,%s,%zu,%.6f\nmore_ms,%s,%zu,%.6f\n", keys[i], p, f->stretch[i].at[p], keys[i], p,
                    f->more_ms[i].at[p]);
    }
    return 0;
}

#define PANELS 2

struct drawing {
    struct plot_panel panels[PANELS];
    struct plot_point points[COORDINATES_TIMES + CHOICE_COUNT][DISTRIBUTION_STEPS + 1];
    size_t used;
};

static void add(struct drawing *d, size_t panel, const struct distribution *of, const char *name)
{
    struct plot_panel *p = &d->panels[panel];

    p->curves[p->count++] = distribution_curve(of, name, d->points[d->used++]);
}

static int write_picture(FILE *out, const void *found)
{
    const struct coordinates_found *f = found;
    CLEANUP(cleanup_free) struct drawing *d = calloc(1, sizeof(*d));
    char name[PLOT_TEXT_MAX];

    if (!d)
        return -ENOMEM;
    for (size_t i = 0; i < PANELS; i++) {
        struct plot_panel *p = &d->panels[i];

        snprintf(p->title, sizeof(p->title), "%s", i == 0 ? "Estimated round trips" : "The router that is chosen");
        snprintf(p->source, sizeof(p->source), "%lu gateways, %s", f->gateways, f->source);
        p->at = (struct plot_point){ NAN, NAN };
        p->names_low = true;
        p->x = i == 0 ? (struct plot_axis){ .label = "relative error", .max = 1, .parts = 4, .decimals = 2 }
                      : (struct plot_axis){ .label = "stretch", .min = 1, .max = 5, .parts = 4 };
        p->y = (struct plot_axis){ .label = "part", .max = 1, .parts = 5, .decimals = 1 };
    }
    for (size_t i = 1; i < COORDINATES_TIMES; i += 2) {
        snprintf(name, sizeof(name), "after %.0f s", f->error_s[i]);
        add(d, 0, &f->error[i], name);
    }
    for (size_t i = 0; i < CHOICE_COUNT; i++)
        add(d, 1, &f->stretch[i], names[i]);
    plot_write(out, "Do coordinates replace a full mesh?", "Stretch: of what a full mesh of gateways would choose.",
               d->panels, PANELS);
    return 0;
}

const struct bench_report coordinates_report = {
    .print = print,
    .json = json_all,
    .files = { { "coordinates.csv", write_csv }, { "coordinates.svg", write_picture } },
};
