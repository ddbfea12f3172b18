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

void findings_print(const struct findings *f)
{
    printf("How often do two objectives choose different paths? Seed %lu.\n", f->seed);
    printf("D: part of a host's intervals in which no path is within the tolerance of the best in both objectives.\n");
    printf("Tolerance of latency and jitter, of loss. Reference: the same file, computed apart. Paper: its claim.\n");
    for (size_t i = 0; i < TABLES; i++)
        print_table(&f->tables[i]);
    if (f->sensitivity.hosts > 0)
        print_sensitivity(&f->sensitivity);
}

/* --- JSON --- */

/* Of no host: null. */
static json_t *number(double v)
{
    return isnan(v) ? json_null() : json_real(round(v * 1e6) / 1e6);
}

static json_t *json_row(const struct tolerance *e, const struct spread *s)
{
    json_t *row = json_pack("{s:f, s:f, s:o, s:o}", "eps_ms", e->eps_ms, "eps_loss",
                            (double)e->eps_lost / ACCESS_PROBES, "mean", number(s->mean), "within", number(s->within));

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
        json_t *change = json_pack("{s:s, s:o}", "change", s->rows[i].name, "lost_unequally", number(s->rows[i].apart));

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

int findings_print_json(const struct findings *f)
{
    json_t *doc = json_pack("{s:I, s:{s:f, s:f}, s:o, s:{s:I, s:o}}", "seed", (json_int_t)f->seed, "claim", "ratio",
                            CLAIM_RATIO, "more_than", CLAIM_PART, "tables", json_tables(f), "sensitivity", "hosts",
                            (json_int_t)f->sensitivity.hosts, "changes", json_sensitivity(&f->sensitivity));

    int r;

    if (!doc)
        return -ENOMEM;
    errno = 0;
    r = json_dumpf(doc, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) == 0 && putchar('\n') != EOF ? 0 : -1;
    json_decref(doc);
    return r == 0 ? 0 : -(errno ? errno : EIO);
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

static void write_picture(FILE *out, const struct findings *f)
{
    struct plot_panel panels[TABLES] = { 0 };

    for (size_t i = 0; i < TABLES; i++) {
        const struct table *t = &f->tables[i];
        struct plot_panel *p = &panels[i];

        snprintf(p->title, sizeof(p->title), "(%c) %s", 'a' + (int)t->objectives, objectives_names[t->objectives]);
        snprintf(p->source, sizeof(p->source), "%zu %s", t->rows[0].hosts, source_of(t));
        for (size_t r = 0; r < t->count; r++) {
            struct plot_curve *c = &p->curves[p->count];

            if (!t->tolerances[r].drawn || p->count == PLOT_CURVES_MAX)
                continue;
            tolerance_text(t, &t->tolerances[r], c->name, sizeof(c->name));
            c->steps = t->rows[r].steps;
            c->count = t->rows[r].steps_count;
            p->count++;
        }
    }
    plot_write(out, panels, TABLES, CLAIM_RATIO, CLAIM_PART);
}

/* The last word on a file: 0 or -errno. */
static int close_written(FILE *out)
{
    int r = fflush(out) != 0 || ferror(out) ? -(errno ? errno : EIO) : 0;

    return fclose(out) != 0 && r == 0 ? -errno : r;
}

int findings_write(const struct findings *f, const char *dir, char *ret_path, size_t size)
{
    for (size_t i = 0; i <= OBJECTIVES_COUNT; i++) {
        FILE *out;
        int r;

        if (i < OBJECTIVES_COUNT)
            snprintf(ret_path, size, "%s/discordance-%c.csv", dir, 'a' + (int)i);
        else
            snprintf(ret_path, size, "%s/discordance.svg", dir);
        out = fopen(ret_path, "we");
        if (!out)
            return -errno;
        if (i < OBJECTIVES_COUNT) {
            fputs("hosts,eps_ms,eps_loss,ratio,part\n", out);
            for (size_t t = 0; t < TABLES; t++) {
                if (f->tables[t].objectives == (enum objectives)i)
                    write_steps(out, &f->tables[t]);
            }
        } else {
            write_picture(out, f);
        }
        r = close_written(out);
        if (r < 0)
            return r;
    }
    return 0;
}
