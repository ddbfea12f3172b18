/* hawser-discordance (`hawser bench discordance`): how often do two objectives of a multihomed host choose different
 * paths?
 *
 * Theory of operation. Figure 2 of Habib, Christin and Chuang, Taking advantage of multihoming with session layer
 * striping (IEEE Global Internet Symposium 2006), again: for each host the discordance ratio (bench/discord.h) of
 * latency and loss (a), jitter and loss (b), latency and jitter (c), and its distribution over hosts. (c) is of real
 * round trips, a file of them (bench/matrix.h); jitter is by what a round trip differs from the one before. No such
 * file has losses, so (a) and (b) are of emulated hosts (bench/hosts.h). Then the first SENSITIVE of these again, each
 * time with one property changed and everything else, draws included, as before: what does discordance come from?
 *
 * Nothing here was chosen to meet the paper's claim, which is printed beside what was found. The same data, seed and
 * number of hosts give the same bytes.
 *
 * Limits: HOSTS_MAX hosts. */
#include "bench/discordance.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>

#include "bench/hosts.h"
#include "bench/matrix.h"

#define NAME "bench discordance"
#define complain(...) bench_complain(NAME, __VA_ARGS__)
#define HOSTS_DEFAULT 1000
#define HOSTS_MAX 100000
#define SENSITIVE 100      /* chosen: each change costs a tenth of the hosts of the default */
#define RESOLUTION_MS 1e-6 /* chosen: far below the 10 us of the file, far above what binary fractions lack */
#define SEED_MAX 4294967295
#define POPULATIONS 2 /* of emulated hosts: the first two of host_changes */

static const struct tolerance of_loss[] = {
    { .eps_ms = 0, .drawn = true },
    { .eps_ms = 1, .drawn = true },
    { .eps_ms = 5, .drawn = true },
    { .eps_ms = 10, .drawn = true },
    { .eps_ms = 5, .eps_lost = 1, .drawn = true },
    { .eps_ms = 5, .eps_lost = 2 },
};

static const struct tolerance of_jitter[] = {
    { .eps_ms = 0, .known_mean = .438, .known_within = .069, .drawn = true },
    { .eps_ms = RESOLUTION_MS },
    { .eps_ms = 1, .known_mean = .080, .known_within = .680, .drawn = true },
    { .eps_ms = 5, .known_mean = .025, .known_within = .905, .drawn = true },
    { .eps_ms = 10, .known_mean = .011, .known_within = .961, .drawn = true },
};

static const struct tolerance of_emulated_jitter[] = {
    { .eps_ms = 0, .drawn = true },
    { .eps_ms = 1, .drawn = true },
    { .eps_ms = 5, .drawn = true },
    { .eps_ms = 10, .drawn = true },
};

static const struct tolerance of_changes[SENSITIVITY_TOLERANCES] = {
    { .eps_ms = 0 },
    { .eps_ms = 5 },
    { .eps_ms = 5, .eps_lost = 1 },
};

/* --- computing --- */

/* The ratios are sorted in place. 0 or -ENOMEM. */
static int spread_init(struct spread *s, double *ratios, size_t count)
{
    s->hosts = discord_sort(ratios, count);
    s->mean = discord_mean(ratios, s->hosts);
    s->within = discord_within(ratios, s->hosts, CLAIM_RATIO);
    s->steps = calloc(MAX(s->hosts, 1), sizeof(*s->steps));
    if (!s->steps)
        return -ENOMEM;
    s->steps_count = discord_steps(ratios, s->hosts, s->steps);
    return 0;
}

static double series_ratio(const struct matrix *m, const struct matrix_series *series, const struct tolerance *e)
{
    struct discord_count c = { 0 };

    for (size_t i = 1; i < series->count; i++) {
        const struct matrix_slice *now = &m->slices[series->first + i], *before = now - 1;
        double jitter[MATRIX_LINES];

        /* A slice that has none before it is no interval. */
        for (size_t l = 0; l < MATRIX_LINES; l++)
            jitter[l] = now->number == before->number + 1 ? fabs(now->rtt_ms[l] - before->rtt_ms[l]) : NAN;
        discord_add(&c, discord_interval(now->rtt_ms, jitter, MATRIX_LINES, e->eps_ms, e->eps_ms));
    }
    return discord_ratio(&c);
}

static int of_matrix(struct spread *ret, const struct matrix *m, const struct tolerance *e)
{
    CLEANUP(cleanup_free) double *ratios = calloc(m->series_count, sizeof(*ratios));

    if (!ratios)
        return -ENOMEM;
    for (size_t i = 0; i < m->series_count; i++)
        ratios[i] = series_ratio(m, &m->series[i], e);
    return spread_init(ret, ratios, m->series_count);
}

static double day_ratio(const struct host_day *day, enum objectives o, const struct tolerance *e)
{
    struct discord_count c = { 0 };

    for (size_t i = 0; i < HOST_INTERVALS; i++) {
        double a[HOST_LINES], b[HOST_LINES];

        for (size_t l = 0; l < HOST_LINES; l++) {
            const struct access_report *r = &day->reports[i][l];

            a[l] = o == JITTER_LOSS ? r->jitter_ms : r->latency_ms;
            b[l] = o == LATENCY_JITTER ? r->jitter_ms : r->lost;
        }
        discord_add(&c, discord_interval(a, b, HOST_LINES, e->eps_ms, o == LATENCY_JITTER ? e->eps_ms : e->eps_lost));
    }
    return discord_ratio(&c);
}

static int of_days(struct spread *ret, const struct host_day *days, size_t count, enum objectives o,
                   const struct tolerance *e)
{
    CLEANUP(cleanup_free) double *ratios = calloc(count, sizeof(*ratios));

    if (!ratios)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        ratios[i] = day_ratio(&days[i], o, e);
    return spread_init(ret, ratios, count);
}

static int tables_fill(struct findings *f, const struct matrix *m, struct host_day *const days[], size_t count)
{
#define OF(tolerances_of) .tolerances = tolerances_of, .count = ARRAY_LEN(tolerances_of)
    const struct table tables[TABLES] = {
        { .objectives = LATENCY_LOSS, .population = EMULATED, OF(of_loss) },
        { .objectives = JITTER_LOSS, .population = EMULATED, OF(of_loss) },
        { .objectives = LATENCY_JITTER, .population = REAL, OF(of_jitter) },
        { .objectives = LATENCY_LOSS, .population = DROP_TAIL, OF(of_loss) },
        { .objectives = JITTER_LOSS, .population = DROP_TAIL, OF(of_loss) },
        { .objectives = LATENCY_JITTER, .population = EMULATED, OF(of_emulated_jitter) },
    };
    int r = 0;

    memcpy(f->tables, tables, sizeof(tables));
    for (size_t i = 0; i < TABLES; i++) {
        struct table *t = &f->tables[i];
        const struct host_day *of = days[t->population == DROP_TAIL ? CHANGE_DROP_TAIL : CHANGE_NONE];

        for (size_t e = 0; e < t->count && r == 0; e++)
            r = t->population == REAL ? of_matrix(&t->rows[e], m, &t->tolerances[e])
                                      : of_days(&t->rows[e], of, count, t->objectives, &t->tolerances[e]);
    }
    return r;
}

/* The part of the intervals in which the lines lost unequally. */
static double part_apart(const struct host_day *days, size_t count)
{
    size_t apart = 0;

    for (size_t h = 0; h < count; h++) {
        for (size_t i = 0; i < HOST_INTERVALS; i++)
            apart += days[h].reports[i][0].lost != days[h].reports[i][1].lost;
    }
    return (double)apart / (double)(count * HOST_INTERVALS);
}

/* days: of the first changes, which are measured for all hosts; those of the others are put into `other`. */
static int sensitivity_fill(struct sensitivity *s, const struct host *hosts, struct host_day *const days[],
                            struct host_day *other, size_t count)
{
    int r = 0;

    s->hosts = MIN(count, SENSITIVE);
    s->tolerances = of_changes;
    for (size_t i = 0; i < HOST_CHANGES && r == 0; i++) {
        const struct host_day *of = i < POPULATIONS ? days[i] : other;

        s->rows[i].name = host_changes[i].name;
        if (of == other)
            r = hosts_measure(hosts, s->hosts, &host_changes[i], other);
        s->rows[i].apart = r == 0 ? part_apart(of, s->hosts) : 0;
        for (size_t o = 0; o < SENSITIVITY_OBJECTIVES; o++) {
            for (size_t e = 0; e < SENSITIVITY_TOLERANCES && r == 0; e++)
                r = of_days(&s->rows[i].cells[o][e], of, s->hosts, (enum objectives)o, &of_changes[e]);
        }
    }
    return r;
}

static int find(struct findings *f, const struct matrix *m, size_t count)
{
    CLEANUP(cleanup_free) struct host *hosts = calloc(count, sizeof(*hosts));
    CLEANUP(cleanup_free) struct host_day *room = calloc(count * POPULATIONS + SENSITIVE, sizeof(*room));
    struct host_day *days[POPULATIONS];
    int r = hosts && room ? hosts_draw(hosts, count, m, f->seed) : -ENOMEM;

    for (size_t i = 0; i < POPULATIONS && r == 0; i++) {
        days[i] = room + i * count;
        r = hosts_measure(hosts, count, &host_changes[i], days[i]);
    }
    if (r == 0)
        r = tables_fill(f, m, days, count);
    return r == 0 ? sensitivity_fill(&f->sensitivity, hosts, days, room + POPULATIONS * count, count) : r;
}

static void findings_deinit(struct findings *f)
{
    for (size_t i = 0; i < TABLES; i++) {
        for (size_t e = 0; e < TABLE_ROWS_MAX; e++)
            free(f->tables[i].rows[e].steps);
    }
    for (size_t i = 0; i < HOST_CHANGES; i++) {
        for (size_t o = 0; o < SENSITIVITY_OBJECTIVES; o++) {
            for (size_t e = 0; e < SENSITIVITY_TOLERANCES; e++)
                free(f->sensitivity.rows[i].cells[o][e].steps);
        }
    }
}

/* --- the program --- */

struct options {
    const char *data, *out;
    unsigned long hosts, seed;
    bool json;
};

static int misused(void)
{
    fputs("usage: hawser bench discordance --data DIR [--out DIR] [--hosts N] [--seed N] [--json]\n", stderr);
    return EXIT_USAGE;
}

/* EXIT_DONE, or EXIT_USAGE after telling what is wrong. */
static int read_options(struct options *o, int argc, char **argv)
{
    const struct bench_option options[] = {
        { "data", .text = &o->data },
        { "out", .text = &o->out },
        { "hosts", .number = &o->hosts, .low = 1, .high = HOSTS_MAX },
        { "seed", .number = &o->seed, .low = 0, .high = SEED_MAX },
        { "json", .flag = &o->json },
        { .name = NULL },
    };

    *o = (struct options){ .out = ".", .hosts = HOSTS_DEFAULT, .seed = 1 };
    if (!bench_options(NAME, options, argc, argv))
        return misused();
    if (!o->data) {
        complain("found no --data, expected the folder of " MATRIX_FILE ".gz");
        return misused();
    }
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    static struct findings f;
    struct options o;
    struct matrix m;
    char error[MATRIX_ERROR_MAX];
    int r = read_options(&o, argc, argv);

    if (r != EXIT_DONE)
        return r;
    /* The rings of flows that come and go are taken fresh from the kernel, all zero, instead of being cleared. */
    mallopt(M_MMAP_THRESHOLD, 1 << 17);
    if (matrix_load(&m, o.data, error) < 0) {
        complain("%s", error);
        return EXIT_FAILED;
    }
    f.seed = o.seed;
    r = find(&f, &m, o.hosts);
    if (r == -ENODATA)
        complain("%s: no series has round trips of both nodes", o.data);
    else if (r < 0)
        complain("%s", strerror(-r));
    r = r < 0 ? EXIT_FAILED : bench_report(NAME, &findings_report, &f, o.out, o.json);
    findings_deinit(&f);
    matrix_deinit(&m);
    return r;
}
