/* What was found of federations, as a table for people, as JSON, as CSV and as a picture. */
#include "bench/federation.h"

#include <errno.h>
#include <math.h>

static const char *const times[TIME_COUNT] = { "found", "withdrawn", "dead" };
static const char *const time_words[TIME_COUNT] = { "routers come, until a border is used",
                                                    "the last goes, until nobody is used",
                                                    "a border dies, until another is used" };
static const char *const changes[CHANGE_COUNT] = { "first", "last", "other" };
static const char *const change_words[CHANGE_COUNT] = { "a provider's first router", "a provider's last router",
                                                        "one router of several" };

/* What the daemon's full mesh of all gateways would take: as `hawser sim directory` computes it. */
static double mesh_bytes(const struct federation_found *f)
{
    return (double)(f->gateways - 1) * f->mesh_peer_bytes + (double)f->routers * f->mesh_route_bytes;
}

static double border_bytes(const struct federation_found *f)
{
    return f->border_bytes + f->links.at[50] * f->asker_bytes;
}

static void line(const char *name, int decimals, double federation, double mesh)
{
    printf("  %-44s  %12.*f", name, decimals, federation);
    if (isnan(mesh))
        printf("  %12s\n", "-");
    else
        printf("  %12.*f\n", decimals, mesh);
}

static void print(const void *found)
{
    const struct federation_found *f = found;

    printf(
        "%lu operators of %lu gateways in all, %lu routers of %lu providers; seed %lu\n"
        "Code of the daemons: federation, registry, handshakes, certificates, of %lu gateways and all borders that "
        "they "
        "ask.\nModels: what goes on inside a provider, the Earth. Flat mesh: computed from the daemon's, "
        "which takes 256 gateways.\nA gateway's figures are those of the federation alone, beside its own provider's "
        "(hawser sim directory).\n\n",
        f->realms, f->gateways, f->routers, f->providers, f->seed, f->asked);
    printf("  %-44s  %12s  %12s\n", "", "federation", "flat mesh");
    printf("Of a gateway\n");
    line("links, median", 0, f->links.at[50], (double)f->gateways - 1);
    line("services known", 0, f->services, (double)f->routers);
    line("registrations of borders", 0, f->registrations, NAN);
    line("state, KB, median", 0, f->state_bytes.at[50] / 1e3, mesh_bytes(f) / 1e3);
    line("state of a border, as many ask it, KB", 0, border_bytes(f) / 1e3, NAN);
    line("messages/s while nothing changes", 1, f->messages_s, 2. * ((double)f->gateways - 1));
    printf("Messages of a gateway, of one change\n");
    for (unsigned c = 0; c < CHANGE_COUNT; c++)
        line(change_words[c], 2, f->per_change[c], 2);
    printf("Seconds, median and longest\n");
    for (unsigned t = 0; t < TIME_COUNT; t++) {
        line(time_words[t], 2, f->time_s[t].at[50], NAN);
        line("", 2, f->time_s[t].at[DISTRIBUTION_STEPS], NAN);
    }
    printf("The way to the router's gateway, beside that of the nearest\n");
    line("stretch, median", 2, f->stretch.at[50], 1);
    line("stretch, 90 %", 2, f->stretch.at[90], 1);
    line("ms more, 90 %", 1, f->more_ms.at[90], 0);
    line("there, and not found, 1/1000", 2, f->unserved * 1e3, 0);
}

static json_t *distribution_json(const struct distribution *s)
{
    return json_pack("{s:I, s:o, s:o, s:o}", "count", (json_int_t)s->count, "p50", bench_number(s->at[50]), "p90",
                     bench_number(s->at[90]), "most", bench_number(s->at[DISTRIBUTION_STEPS]));
}

static json_t *json_all(const void *found)
{
    const struct federation_found *f = found;
    json_t *change = json_object(), *time = json_object(), *all;

    for (unsigned c = 0; c < CHANGE_COUNT; c++)
        json_object_set_new(change, changes[c], bench_number(f->per_change[c]));
    for (unsigned t = 0; t < TIME_COUNT; t++)
        json_object_set_new(time, times[t], distribution_json(&f->time_s[t]));
    all = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "seed", (json_int_t)f->seed,
                    "gateways", (json_int_t)f->gateways, "routers", (json_int_t)f->routers, "providers",
                    (json_int_t)f->providers, "realms", (json_int_t)f->realms, "asking", (json_int_t)f->asked, "links",
                    distribution_json(&f->links), "state_bytes", distribution_json(&f->state_bytes), "stretch",
                    distribution_json(&f->stretch), "more_ms", distribution_json(&f->more_ms), "messages_per_change",
                    change, "time_s", time);
    json_object_set_new(all, "services", bench_number(f->services));
    json_object_set_new(all, "registrations", bench_number(f->registrations));
    json_object_set_new(all, "border_bytes", bench_number(border_bytes(f)));
    json_object_set_new(all, "messages_per_s", bench_number(f->messages_s));
    json_object_set_new(all, "unserved", bench_number(f->unserved));
    json_object_set_new(all, "virtual_s", bench_number(f->virtual_s));
    json_object_set_new(all, "flat_mesh",
                        json_pack("{s:o, s:o, s:o}", "links", bench_number((double)f->gateways - 1), "state_bytes",
                                  bench_number(mesh_bytes(f)), "messages_per_s",
                                  bench_number(2. * ((double)f->gateways - 1))));
    return all;
}

static int write_csv(FILE *out, const void *found)
{
    const struct federation_found *f = found;

    fputs("what,percent,value\n", out);
    for (size_t p = 0; p <= DISTRIBUTION_STEPS; p++) {
        fprintf(out, "stretch,%zu,%.6f\nmore_ms,%zu,%.6f\nlinks,%zu,%.0f\n", p, f->stretch.at[p], p, f->more_ms.at[p],
                p, f->links.at[p]);
        for (unsigned t = 0; t < TIME_COUNT; t++)
            fprintf(out, "%s_s,%zu,%.3f\n", times[t], p, f->time_s[t].at[p]);
    }
    return 0;
}

#define PANELS 2

struct drawing {
    struct plot_panel panels[PANELS];
    struct plot_point points[1 + TIME_COUNT][DISTRIBUTION_STEPS + 1];
    size_t used;
};

static void add(struct drawing *d, size_t panel, const struct distribution *of, const char *name)
{
    struct plot_panel *p = &d->panels[panel];

    p->curves[p->count++] = distribution_curve(of, name, d->points[d->used++]);
}

static int write_picture(FILE *out, const void *found)
{
    const struct federation_found *f = found;
    CLEANUP(cleanup_free) struct drawing *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    for (size_t i = 0; i < PANELS; i++) {
        struct plot_panel *p = &d->panels[i];

        snprintf(p->title, sizeof(p->title), "%s", i == 0 ? "The way that is chosen" : "How soon");
        snprintf(p->source, sizeof(p->source), "%lu gateways of %lu providers", f->gateways, f->realms);
        p->at = (struct plot_point){ NAN, NAN };
        p->names_low = true;
        p->x = i == 0 ? (struct plot_axis){ .label = "stretch", .min = 1, .max = 5, .parts = 4 }
                      : (struct plot_axis){ .label = "s", .max = 4, .parts = 4 };
        p->y = (struct plot_axis){ .label = "part", .max = 1, .parts = 5, .decimals = 1 };
    }
    add(d, 0, &f->stretch, "federation");
    for (unsigned t = 0; t < TIME_COUNT; t++) {
        if (f->time_s[t].count > 0)
            add(d, 1, &f->time_s[t], times[t]);
    }
    plot_write(out, "What do two levels cost?", "Stretch: of the nearest of all, which a flat mesh would choose.",
               d->panels, PANELS);
    return 0;
}

const struct bench_report federation_report = {
    .print = print,
    .json = json_all,
    .files = { { "federation.csv", write_csv }, { "federation.svg", write_picture } },
};
