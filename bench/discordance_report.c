/* What was found, as a table for people, as JSON, as CSV and as a picture. */
#include "bench/discordance.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "bench/plot.h"
#include "sim/access.h"

static const char *const objectives_names[OBJECTIVES_COUNT] = { "latency vs loss", "jitter vs loss",
                                                                "latency vs jitter" };

static const char *source_of(const struct table *t)
{
    static const char *const names[] = {
        [REAL] = "series of real round trips",
        [EMULATED] = "emulated hosts",
        [DROP_TAIL] = "emulated hosts, losses by full buffers alone",
    };

    return names[t->population];
}

/* "5 ms, 1 lost" */
static const char *tolerance_text(const struct table *t, const struct tolerance *e, char *buf, size_t size)
{
    const char *unit = e->eps_ms > 0 && e->eps_ms < .001 ? "ns" : "ms";
    double value = e->eps_ms > 0 && e->eps_ms < .001 ? e->eps_ms * 1e6 : e->eps_ms;

    if (t->objectives == LATENCY_JITTER)
        snprintf(buf, size, "%g %s", value, unit);
    else
        snprintf(buf, size, "%g %s, %g %%", value, unit, 100. * e->eps_lost / ACCESS_PROBES);
    return buf;
}

/* --- for people --- */

static void print_table(const struct table *t)
{
    char text[PLOT_TEXT_MAX];

    printf("\n(%c) %s, %zu %s\n", 'a' + (int)t->objectives, objectives_names[t->objectives], t->rows[0].hosts,
           source_of(t));
    printf("  %-14s  %-6s  %-9s  %-8s  %-9s  %s\n", "tolerance", "mean D", "reference", "D <= .1", "reference",
           "paper");
    for (size_t i = 0; i < t->count; i++) {
        const struct tolerance *e = &t->tolerances[i];

        printf("  %-14s  %6.3f  ", tolerance_text(t, e, text, sizeof(text)), t->rows[i].mean);
        if (e->known_mean > 0)
            printf("%9.3f  %7.1f%%  %8.1f%%", e->known_mean, 100 * t->rows[i].within, 100 * e->known_within);
        else
            printf("%9s  %7.1f%%  %9s", "-", 100 * t->rows[i].within, "-");
        printf("  > %.0f%%\n", 100 * CLAIM_PART);
    }
}

static void print_sensitivity(const struct sensitivity *s)
{
    char text[32];

    printf("\nWhat it comes from: %zu of the emulated hosts with one thing changed; mean D, and the hosts of D <= .1.\n"
           "Lost unequally: the intervals in which one line lost more than the other; in all others loss has no "
           "favourite.\n",
           s->hosts);
    printf("  %-32s", "");
    for (size_t o = 0; o < SENSITIVITY_OBJECTIVES; o++)
        printf("  %-*s", SENSITIVITY_TOLERANCES * 13 - 2, objectives_names[o]);
    printf("  lost\n  %-32s", "tolerance");
    for (size_t o = 0; o < SENSITIVITY_OBJECTIVES; o++) {
        for (size_t e = 0; e < SENSITIVITY_TOLERANCES; e++) {
            snprintf(text, sizeof(text), "%g ms, %g%%", s->tolerances[e].eps_ms,
                     100. * s->tolerances[e].eps_lost / ACCESS_PROBES);
            printf("  %-11s", text);
        }
    }
    printf("  unequally\n");
    for (size_t i = 0; i < HOST_CHANGES; i++) {
        printf("  %-32s", s->rows[i].name);
        for (size_t o = 0; o < SENSITIVITY_OBJECTIVES; o++) {
            for (size_t e = 0; e < SENSITIVITY_TOLERANCES; e++)
                printf("  %.3f %4.0f%%", s->rows[i].cells[o][e].mean, 100 * s->rows[i].cells[o][e].within);
        }
        printf("  %8.1f%%\n", 100 * s->rows[i].apart);
    }
}

static void print(const void *found)
{
    const struct findings *f = found;

    printf("How often do two objectives choose different paths? Seed %lu.\n", f->seed);
    printf("D: part of a host's intervals in which no path is within the tolerance of the best in both objectives.\n");
    printf("Tolerance of latency and jitter, of loss. Reference: the same file, computed apart. Paper: its claim.\n");
    for (size_t i = 0; i < TABLES; i++)
        print_table(&f->tables[i]);
    if (f->sensitivity.hosts > 0)
        print_sensitivity(&f->sensitivity);
}

/* --- JSON --- */

static json_t *json_row(const struct tolerance *e, const struct spread *s)
{
    json_t *row =
        json_pack("{s:f, s:f, s:o, s:o}", "eps_ms", e->eps_ms, "eps_loss", (double)e->eps_lost / ACCESS_PROBES, "mean",
                  bench_number(s->mean), "within", bench_number(s->within));

    if (row && e->known_mean > 0)
        json_object_set_new(row, "reference",
                            json_pack("{s:f, s:f}", "mean", e->known_mean, "within", e->known_within));
    return row;
}

static json_t *json_tables(const struct findings *f)
{
    json_t *tables = json_array();

    for (size_t i = 0; i < TABLES; i++) {
        const struct table *t = &f->tables[i];
        const char letter[] = { (char)('a' + (int)t->objectives), '\0' };
        json_t *rows = json_array();

        for (size_t r = 0; r < t->count; r++)
            json_array_append_new(rows, json_row(&t->tolerances[r], &t->rows[r]));
        json_array_append_new(tables, json_pack("{s:s, s:s, s:s, s:I, s:o}", "plot", letter, "objectives",
                                                objectives_names[t->objectives], "source", source_of(t), "hosts",
                                                (json_int_t)t->rows[0].hosts, "rows", rows));
    }
    return tables;
}

static json_t *json_sensitivity(const struct sensitivity *s)
{
    json_t *changes = json_array();

    for (size_t i = 0; i < HOST_CHANGES; i++) {
        json_t *change =
            json_pack("{s:s, s:o}", "change", s->rows[i].name, "lost_unequally", bench_number(s->rows[i].apart));

        for (size_t o = 0; o < SENSITIVITY_OBJECTIVES; o++) {
            json_t *rows = json_array();

            for (size_t e = 0; e < SENSITIVITY_TOLERANCES; e++)
                json_array_append_new(rows, json_row(&s->tolerances[e], &s->rows[i].cells[o][e]));
            json_object_set_new(change, objectives_names[o], rows);
        }
        json_array_append_new(changes, change);
    }
    return changes;
}

static json_t *json_all(const void *found)
{
    const struct findings *f = found;

    return json_pack("{s:I, s:{s:f, s:f}, s:o, s:{s:I, s:o}}", "seed", (json_int_t)f->seed, "claim", "ratio",
                     CLAIM_RATIO, "more_than", CLAIM_PART, "tables", json_tables(f), "sensitivity", "hosts",
                     (json_int_t)f->sensitivity.hosts, "changes", json_sensitivity(&f->sensitivity));
}

/* --- files --- */

static void write_steps(FILE *out, const struct table *t)
{
    static const char *const names[] = { [REAL] = "real", [EMULATED] = "emulated", [DROP_TAIL] = "drop-tail" };

    for (size_t i = 0; i < t->count; i++) {
        for (size_t s = 0; s < t->rows[i].steps_count; s++)
            fprintf(out, "%s,%g,%g,%.6f,%.6f\n", names[t->population], t->tolerances[i].eps_ms,
                    (double)t->tolerances[i].eps_lost / ACCESS_PROBES, t->rows[i].steps[s].ratio,
                    t->rows[i].steps[s].part);
    }
}

static int write_objectives(FILE *out, const struct findings *f, enum objectives objectives)
{
    fputs("hosts,eps_ms,eps_loss,ratio,part\n", out);
    for (size_t t = 0; t < TABLES; t++) {
        if (f->tables[t].objectives == objectives)
            write_steps(out, &f->tables[t]);
    }
    return 0;
}

static int write_a(FILE *out, const void *found)
{
    return write_objectives(out, found, LATENCY_LOSS);
}

static int write_b(FILE *out, const void *found)
{
    return write_objectives(out, found, JITTER_LOSS);
}

static int write_c(FILE *out, const void *found)
{
    return write_objectives(out, found, LATENCY_JITTER);
}

/* Appends a row's curve to the panel; its points go to `points`. Returns how many these are. */
static size_t add_curve(struct plot_panel *p, const struct table *t, size_t row, struct plot_point *points)
{
    const struct spread *s = &t->rows[row];
    struct plot_curve *c = &p->curves[p->count];

    if (!t->tolerances[row].drawn || p->count == PLOT_CURVES_MAX)
        return 0;
    for (size_t i = 0; i < s->steps_count; i++)
        points[i] = (struct plot_point){ s->steps[i].ratio, s->steps[i].part };
    tolerance_text(t, &t->tolerances[row], c->name, sizeof(c->name));
    c->points = points;
    c->count = s->steps_count;
    c->stepped = true;
    p->count++;
    return c->count;
}

static int write_picture(FILE *out, const void *found)
{
    const struct findings *f = found;
    static const struct plot_axis parts = { .max = 1, .parts = 5, .decimals = 1 };
    struct plot_panel panels[TABLES] = { 0 };
    CLEANUP(cleanup_free) struct plot_point *points = NULL;
    size_t count = 0, used = 0;
    char about[256];

    for (size_t i = 0; i < TABLES; i++) {
        for (size_t r = 0; r < f->tables[i].count; r++)
            count += f->tables[i].rows[r].steps_count;
    }
    points = calloc(MAX(count, 1), sizeof(*points));
    if (!points)
        return -ENOMEM;
    for (size_t i = 0; i < TABLES; i++) {
        const struct table *t = &f->tables[i];
        struct plot_panel *p = &panels[i];

        snprintf(p->title, sizeof(p->title), "(%c) %s", 'a' + (int)t->objectives, objectives_names[t->objectives]);
        snprintf(p->source, sizeof(p->source), "%zu %s", t->rows[0].hosts, source_of(t));
        p->x = p->y = parts;
        snprintf(p->x.label, sizeof(p->x.label), "discordance ratio of a host");
        snprintf(p->y.label, sizeof(p->y.label), "part of the hosts");
        p->at = (struct plot_point){ CLAIM_RATIO, CLAIM_PART };
        p->names_low = true;
        for (size_t r = 0; r < t->count; r++)
            used += add_curve(p, t, r, points + used);
    }
    snprintf(about, sizeof(about),
             "Discordance ratio: the part of a host's intervals in which no path is good enough for both. Dashed: the "
             "claim, %.0f %% of the hosts at %.1f.",
             CLAIM_PART * 100, CLAIM_RATIO);
    plot_write(out, "Do two objectives choose the same path?", about, panels, TABLES);
    return 0;
}

const struct bench_report findings_report = {
    .print = print,
    .json = json_all,
    .files = { { "discordance-a.csv", write_a },
               { "discordance-b.csv", write_b },
               { "discordance-c.csv", write_c },
               { "discordance.svg", write_picture } },
};
