/* What was found of directories, as tables for people, as JSON, as CSV and as a picture. */
#include "bench/directory.h"

#include <errno.h>
#include <math.h>

static const char *const changes[CHANGE_COUNT] = { "registration", "withdrawal", "flap" };
static const char *const times[TIME_COUNT] = { "first", "nearer", "withdrawn", "dead" };
static const char *const words[TIME_COUNT] = { "a first router, until who waits uses it",
                                               "a nearer router, until it is used",
                                               "a router withdrawn, until another is used",
                                               "a gateway dead, until another is used" };

/* What the daemon's full mesh of so many would take: each has a link to each, a PING and a PONG a second in either
 * direction of it, and remembers all routers of the others. */
static double mesh_bytes(const struct directory_found *f, const struct directory_size *s)
{
    return (double)(s->gateways - 1) * f->mesh_peer_bytes + (double)s->routers * f->mesh_route_bytes;
}

static double mesh_messages(const struct directory_size *s)
{
    return 2. * (double)(s->gateways - 1);
}

/* One line of a table: a figure of each size. */
#define LINE(name, format, value)                                                                                      \
    do {                                                                                                               \
        printf("  %-44s", name);                                                                                       \
        for (size_t i_ = 0; i_ < f->count; i_++) {                                                                     \
            const struct directory_size *s = &f->sizes[i_];                                                            \
            printf("  %12" format, value);                                                                             \
        }                                                                                                              \
        putchar('\n');                                                                                                 \
    } while (0)

static void print_times(const struct directory_found *f)
{
    printf("\nSeconds, median and longest\n");
    for (unsigned t = 0; t < TIME_COUNT; t++) {
        LINE(words[t], ".1f", s->time_s[t].at[50]);
        LINE("", ".1f", s->time_s[t].at[DISTRIBUTION_STEPS]);
    }
    printf("\nThe way to the router's gateway, beside that of the nearest: a full mesh measures all, and has 1\n");
    LINE("stretch, median", ".2f", s->stretch.at[50]);
    LINE("stretch, 90 %", ".2f", s->stretch.at[90]);
    LINE("stretch, 99 %", ".2f", s->stretch.at[99]);
    LINE("90 %, ms more", ".1f", s->more_ms.at[90]);
    LINE("wanted, there, and not found, 1/1000", ".2f", s->unserved * 1e3);
}

static void print(const void *found)
{
    const struct directory_found *f = found;

    printf(
        "Gateways that find each other by leased bindings in their realm's manager; seed %lu, each wants %lu services\n"
        "Code of the daemons: directory, resolver, manager, records. Models: links of the mesh, signatures, the "
        "Earth.\nFull mesh: computed from the daemon's, which takes 256 gateways.\n\n",
        f->seed, f->wants);
    LINE("gateways", "lu", s->gateways);
    LINE("routers", "lu", s->routers);
    LINE("providers", "lu", s->services);
    printf("\nOf a gateway\n");
    LINE("state of its directory, KB, median", ".0f", s->state_bytes.at[50] / 1e3);
    LINE("state of its directory, KB, most", ".0f", s->state_bytes.at[DISTRIBUTION_STEPS] / 1e3);
    LINE("  full mesh", ".0f", mesh_bytes(f, s) / 1e3);
    LINE("links, median", ".0f", s->links.at[50]);
    LINE("links, most", ".0f", s->links.at[DISTRIBUTION_STEPS]);
    LINE("  full mesh", "lu", s->gateways - 1);
    LINE("services known, mean", ".1f", s->entries);
    LINE("bindings owned, median", ".0f", s->owned.at[50]);
    LINE("bindings owned, most", ".0f", s->owned.at[DISTRIBUTION_STEPS]);
    printf("\nMessages of a gateway, a second, while nothing changes\n");
    LINE("to others, PING and PONG", ".1f", s->pings_s);
    LINE("  full mesh", ".1f", mesh_messages(s));
    LINE("to managers, questions", ".3f", s->asks_s);
    LINE("to managers, leases", ".3f", s->tells_s);
    printf("\nOf all managers together\n");
    LINE("bindings", "lu", s->bindings);
    LINE("bindings, MB", ".1f", s->bindings_bytes / 1e6);
    LINE("requests a second", ".1f", (s->asks_s + s->tells_s) * (double)s->gateways);
    printf("\nMessages of one change\n");
    for (unsigned c = 0; c < CHANGE_COUNT; c++) {
        printf(" %s\n", changes[c]);
        LINE("to managers", ".1f", s->change[c].manager);
        LINE("to other gateways", ".1f", s->change[c].mesh);
        LINE("  full mesh", ".1f", mesh_messages(s) * (c == CHANGE_FLAP ? 2 : 1));
    }
    print_times(f);
}

static json_t *distribution_json(const struct distribution *s)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o}", "count", (json_int_t)s->count, "p50", bench_number(s->at[50]), "p90",
                     bench_number(s->at[90]), "p99", bench_number(s->at[99]), "most",
                     bench_number(s->at[DISTRIBUTION_STEPS]));
}

static json_t *size_json(const struct directory_found *f, const struct directory_size *s)
{
    json_t *all = json_pack(
        "{s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "gateways",
        (json_int_t)s->gateways, "routers", (json_int_t)s->routers, "providers", (json_int_t)s->services, "state_bytes",
        distribution_json(&s->state_bytes), "links", distribution_json(&s->links), "owned",
        distribution_json(&s->owned), "services", bench_number(s->entries), "pings_per_s", bench_number(s->pings_s),
        "asks_per_s", bench_number(s->asks_s), "tells_per_s", bench_number(s->tells_s), "bindings",
        (json_int_t)s->bindings, "names", (json_int_t)s->names, "refused_links", (json_int_t)s->refused_links,
        "bindings_bytes", bench_number(s->bindings_bytes), "stretch", distribution_json(&s->stretch), "more_ms",
        distribution_json(&s->more_ms), "unserved", bench_number(s->unserved), "virtual_s", bench_number(s->virtual_s));
    json_t *change = json_object(), *time = json_object();

    for (unsigned c = 0; c < CHANGE_COUNT; c++)
        json_object_set_new(change, changes[c],
                            json_pack("{s:o, s:o}", "manager", bench_number(s->change[c].manager), "mesh",
                                      bench_number(s->change[c].mesh)));
    for (unsigned t = 0; t < TIME_COUNT; t++)
        json_object_set_new(time, times[t], distribution_json(&s->time_s[t]));
    json_object_set_new(all, "messages_per_change", change);
    json_object_set_new(all, "time_s", time);
    json_object_set_new(all, "full_mesh",
                        json_pack("{s:o, s:o, s:o}", "links", bench_number((double)s->gateways - 1), "state_bytes",
                                  bench_number(mesh_bytes(f, s)), "messages_per_s", bench_number(mesh_messages(s))));
    return all;
}

static json_t *json_all(const void *found)
{
    const struct directory_found *f = found;
    json_t *sizes = json_array();

    for (size_t i = 0; i < f->count; i++)
        json_array_append_new(sizes, size_json(f, &f->sizes[i]));
    return json_pack("{s:I, s:I, s:o}", "seed", (json_int_t)f->seed, "wants", (json_int_t)f->wants, "sizes", sizes);
}

static int write_csv(FILE *out, const void *found)
{
    const struct directory_found *f = found;

    fputs("gateways,what,percent,value\n", out);
    for (size_t i = 0; i < f->count; i++) {
        const struct directory_size *s = &f->sizes[i];

        for (size_t p = 0; p <= DISTRIBUTION_STEPS; p++) {
            fprintf(out, "%lu,stretch,%zu,%.6f\n%lu,more_ms,%zu,%.6f\n%lu,links,%zu,%.0f\n%lu,state_bytes,%zu,%.0f\n",
                    s->gateways, p, s->stretch.at[p], s->gateways, p, s->more_ms.at[p], s->gateways, p, s->links.at[p],
                    s->gateways, p, s->state_bytes.at[p]);
            for (unsigned t = 0; t < TIME_COUNT; t++)
                fprintf(out, "%lu,%s_s,%zu,%.3f\n", s->gateways, times[t], p, s->time_s[t].at[p]);
        }
    }
    return 0;
}

#define PANELS 2

struct drawing {
    struct plot_panel panels[PANELS];
    struct plot_point points[DIRECTORY_SIZES + TIME_COUNT][DISTRIBUTION_STEPS + 1];
    size_t used;
};

static void add(struct drawing *d, size_t panel, const struct distribution *of, const char *name)
{
    struct plot_panel *p = &d->panels[panel];

    p->curves[p->count++] = distribution_curve(of, name, d->points[d->used++]);
}

static int write_picture(FILE *out, const void *found)
{
    const struct directory_found *f = found;
    const struct directory_size *last = &f->sizes[f->count - 1];
    CLEANUP(cleanup_free) struct drawing *d = calloc(1, sizeof(*d));
    char name[PLOT_TEXT_MAX];

    if (!d)
        return -ENOMEM;
    for (size_t i = 0; i < PANELS; i++) {
        struct plot_panel *p = &d->panels[i];

        snprintf(p->title, sizeof(p->title), "%s", i == 0 ? "The router that is chosen" : "How soon");
        snprintf(p->source, sizeof(p->source), "%lu gateways, %lu routers", last->gateways, last->routers);
        p->at = (struct plot_point){ NAN, NAN };
        p->names_low = true;
        p->x = i == 0 ? (struct plot_axis){ .label = "stretch", .min = 1, .max = 5, .parts = 4 }
                      : (struct plot_axis){ .label = "s", .max = 60, .parts = 4 };
        p->y = (struct plot_axis){ .label = "part", .max = 1, .parts = 5, .decimals = 1 };
    }
    for (size_t i = 0; i < f->count; i++) {
        snprintf(name, sizeof(name), "%lu gateways", f->sizes[i].gateways);
        add(d, 0, &f->sizes[i].stretch, name);
    }
    for (unsigned t = 0; t < TIME_COUNT; t++) {
        if (last->time_s[t].count > 0)
            add(d, 1, &last->time_s[t], times[t]);
    }
    plot_write(out, "Do leased bindings replace a full mesh?",
               "Stretch: of the nearest, which a full mesh of gateways would choose.", d->panels, PANELS);
    return 0;
}

const struct bench_report directory_report = {
    .print = print,
    .json = json_all,
    .files = { { "directory.csv", write_csv }, { "directory.svg", write_picture } },
};
