/* hawser-stretch (`hawser sim stretch`): what a path through a protocol demultiplexer costs in length.
 *
 * Theory of operation. Section VI of the IPdmux paper again, on what is public. Its Internet of 22 ISPs and 687 POPs is
 * not; ours is of six ISPs whose latencies Rocketfuel measured and 16 of the Internet Topology Zoo, joined in the
 * cities where they meet (bench/topology.h). For each number of gateways and routers, RUNS draws of both, of a client
 * and of a server (bench/stretch.h). Then five gateways over measured round trips, 50 pairs for each draw of gateways
 * and routers.
 *
 * A job is a number of gateways and routers with a seed of its own, so threads do not change what comes out.
 *
 * Sources: Spring, Mahajan and Wetherall, Measuring ISP topologies with Rocketfuel, 2002; Knight et al., The Internet
 * Topology Zoo, 2011; Zhu et al., NetLatency, 2017. */
#include "bench/stretch.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define NAME "sim stretch"
#define complain(...) bench_complain(NAME, __VA_ARGS__)

#define RUNS_DEFAULT 100000
#define RUNS_MAX 10000000
#define SEED_MAX 4294967295
#define THREADS_MAX 16
#define FIVE 5   /* gateways over measured round trips */
#define PAIRS 50 /* for each draw of them */
#define PLACES (sizeof(places) / sizeof(places[0]))

const size_t stretch_gateways[STRETCH_GATEWAYS] = { 0, 100, 200, 300, 400, 500, 600 };
const size_t stretch_routers[STRETCH_ROUTERS] = { 100, 200, 300, 400, 500, 600 };
const size_t stretch_few[STRETCH_FEW] = { 5, 10, 20, 50, 100, 150, 200, 300, 400 };

/* The 16 of the Zoo: commercial IP networks beyond one country, of 16 to 60 positioned POPs, the latest of their name,
 * by size and then name; without Tinet, which is Rocketfuel's 3257. Larger ones would be most of the Internet. */
static const struct place {
    const char *name;
    bool zoo;
} places[] = {
    { "1221", false },
    { "1239", false },
    { "1755", false },
    { "3257", false },
    { "3967", false },
    { "6461", false },
    { "Abvt", true },
    { "Bandcon", true },
    { "Bellcanada", true },
    { "Bics", true },
    { "BtEurope", true },
    { "BtLatinAmerica", true },
    { "BtNorthAmerica", true },
    { "DeutscheTelekom", true },
    { "Globenet", true },
    { "HiberniaGlobal", true },
    { "Highwinds", true },
    { "HostwayInternational", true },
    { "HurricaneElectric", true },
    { "Iij", true },
    { "Ntt", true },
    { "Packetexchange", true },
};

static const char *const matrices[STRETCH_MATRICES] = { "PlanetLabData_1.txt", "PlanetLabData_9.txt",
                                                        "fleek222_rtt_us.csv" };

struct work {
    const struct topology *topology;
    const struct rtt *measured; /* STRETCH_MATRICES */
    struct stretch_found *found;
    atomic_size_t next;
    atomic_int failed;
};

#define JOBS_DRAWN (STRETCH_GATEWAYS * STRETCH_ROUTERS)
#define JOBS (JOBS_DRAWN + STRETCH_MATRICES * STRETCH_FEW)

/* --- jobs --- */

/* Values of each metric, as they come. */
struct samples {
    float *values[STRETCH_METRICS];
    size_t counts[STRETCH_METRICS];
};

static int ascending(const void *a, const void *b)
{
    const float *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void spread(struct stretch_spread *ret, float *values, size_t count)
{
    qsort(values, count, sizeof(*values), ascending);
    ret->count = count;
    for (size_t i = 0; i <= STRETCH_STEPS; i++)
        ret->at[i] = count > 0 ? (double)values[(count - 1) * i / STRETCH_STEPS] : NAN;
}

static void samples_add(struct samples *s, enum stretch_metric metric, double value)
{
    if (!isnan(value))
        s->values[metric][s->counts[metric]++] = (float)value;
}

static void samples_end(struct samples *s, struct stretch_spread ret[STRETCH_METRICS])
{
    for (size_t i = 0; i < STRETCH_METRICS; i++) {
        spread(&ret[i], s->values[i], s->counts[i]);
        s->counts[i] = 0;
    }
}

static void drawn_job(const struct work *w, size_t job, struct samples *s, struct prng *rng)
{
    size_t g = job / STRETCH_ROUTERS, r = job % STRETCH_ROUTERS;
    uint16_t permutation[TOPOLOGY_ISPS_MAX * TOPOLOGY_ISP_POPS_MAX];

    for (size_t i = 0; i < w->topology->pops; i++)
        permutation[i] = (uint16_t)i;
    for (unsigned long run = 0; run < w->found->runs; run++) {
        struct stretch_legs legs;

        if (!stretch_draw(w->topology, permutation, MIN(stretch_gateways[g], w->topology->pops),
                          MIN(stretch_routers[r], w->topology->pops), rng, &legs))
            continue;
        for (size_t m = 0; m < STRETCH_METRICS; m++)
            samples_add(s, (enum stretch_metric)m, stretch_metric(&legs, (enum stretch_metric)m));
    }
    samples_end(s, w->found->stretch[g][r]);
}

static void measured_job(const struct work *w, size_t job, struct samples *s, struct prng *rng)
{
    const struct rtt *m = &w->measured[job / STRETCH_FEW];
    size_t routers = stretch_few[job % STRETCH_FEW];
    uint16_t at[RTT_NODES_MAX], gateways[FIVE];

    for (size_t i = 0; i < m->count; i++)
        at[i] = (uint16_t)i;
    for (unsigned long run = 0; run < w->found->runs && routers + FIVE + 2 <= m->count; run += PAIRS) {
        stretch_choose(at, m->count, FIVE, rng);
        memcpy(gateways, at, sizeof(gateways));
        stretch_choose(at, m->count, routers, rng);
        for (unsigned pair = 0; pair < PAIRS; pair++) {
            size_t client = prng_below(rng, m->count), server = prng_below(rng, m->count);
            struct stretch_legs legs;

            if (client == server || !stretch_measured(m, gateways, FIVE, at, routers, client, server, &legs))
                continue;
            for (size_t k = STRETCH_DMUX_PLAIN; k <= STRETCH_DIRECT_NATIVE; k++)
                samples_add(s, (enum stretch_metric)k, stretch_difference(&legs, (enum stretch_metric)k));
        }
    }
    samples_end(s, w->found->measured[job / STRETCH_FEW].ms[job % STRETCH_FEW]);
}

static void *worker(void *arg)
{
    struct work *w = arg;
    struct samples s = { 0 };
    bool room = true;
    size_t job;

    for (size_t i = 0; i < STRETCH_METRICS; i++) {
        s.values[i] = malloc((w->found->runs + PAIRS) * sizeof(*s.values[i]));
        room = room && s.values[i];
    }
    if (!room)
        atomic_store(&w->failed, -ENOMEM);
    while (room && (job = atomic_fetch_add(&w->next, 1)) < JOBS) {
        struct prng rng;

        prng_init(&rng, w->found->seed * JOBS + job);
        if (job < JOBS_DRAWN)
            drawn_job(w, job, &s, &rng);
        else
            measured_job(w, job - JOBS_DRAWN, &s, &rng);
    }
    for (size_t i = 0; i < STRETCH_METRICS; i++)
        free(s.values[i]);
    return NULL;
}

/* 0 or -ENOMEM. */
static int find(struct stretch_found *found, const struct topology *t, const struct rtt *measured)
{
    struct work w = { .topology = t, .measured = measured, .found = found };
    pthread_t threads[THREADS_MAX];
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int count = 0;

    while (count < CLAMP(cpus, 1, THREADS_MAX) - 1 && pthread_create(&threads[count], NULL, worker, &w) == 0)
        count++;
    worker(&w);
    while (count > 0)
        pthread_join(threads[--count], NULL);
    return atomic_load(&w.failed);
}

/* --- data --- */

static int load(const char *dir, const char *folder, const char *name, const char *suffix, char **ret_text,
                size_t *ret_len, char *path, size_t size)
{
    int r;

    snprintf(path, size, "%s/%s/%s%s", dir, folder, name, suffix);
    r = bench_load(path, ret_text, ret_len);
    if (r < 0)
        complain("%s: %s", path, strerror(-r));
    return r;
}

/* 0, or a negative number after telling what is wrong. */
static int load_topology(struct topology *t, const char *dir)
{
    CLEANUP(cleanup_free) struct topology_isp *isps = calloc(PLACES, sizeof(*isps));
    char path[512], err[TOPOLOGY_ERROR_MAX];
    int r = isps ? 0 : -ENOMEM;

    for (size_t i = 0; i < PLACES && r == 0; i++) {
        CLEANUP(cleanup_free) char *text = NULL;
        size_t len;

        r = load(dir, places[i].zoo ? "topology/topologyzoo/graphml" : "topology/rocketfuel", places[i].name,
                 places[i].zoo ? ".graphml" : ".latencies.intra", &text, &len, path, sizeof(path));
        if (r < 0)
            break;
        r = (places[i].zoo ? topology_read_graphml : topology_read_rocketfuel)(&isps[i], text, len, path, err);
        if (r == -EINVAL)
            complain("%s", err);
        else if (r < 0)
            complain("%s", strerror(-r));
    }
    if (r == 0)
        r = topology_init(t, isps, PLACES);
    for (size_t i = 0; i < PLACES && isps; i++)
        topology_isp_deinit(&isps[i]);
    return r;
}

static int load_measured(struct rtt measured[STRETCH_MATRICES], struct stretch_found *found, const char *dir)
{
    char path[512], err[RTT_ERROR_MAX];
    int r = 0;

    for (size_t i = 0; i < STRETCH_MATRICES && r == 0; i++) {
        CLEANUP(cleanup_free) char *text = NULL;
        size_t len;

        r = load(dir, "latency", matrices[i], "", &text, &len, path, sizeof(path));
        if (r < 0)
            break;
        r = rtt_parse(&measured[i], text, len, path, err);
        if (r < 0)
            complain("%s", r == -EINVAL ? err : strerror(-r));
        snprintf(found->measured[i].name, sizeof(found->measured[i].name), "%s", matrices[i]);
        found->measured[i].nodes = measured[i].count;
    }
    return r;
}

/* --- the program --- */

struct options {
    const char *data, *out;
    unsigned long runs, seed;
    bool json;
};

static int misused(void)
{
    fputs("usage: hawser sim stretch --data DIR [--out DIR] [--runs N] [--seed N] [--json]\n", stderr);
    return EXIT_USAGE;
}

/* EXIT_DONE, or EXIT_USAGE after telling what is wrong. */
static int read_options(struct options *o, int argc, char **argv)
{
    const struct bench_option options[] = {
        { "data", .text = &o->data },
        { "out", .text = &o->out },
        { "runs", .number = &o->runs, .low = 1, .high = RUNS_MAX },
        { "seed", .number = &o->seed, .low = 0, .high = SEED_MAX },
        { "json", .flag = &o->json },
        { .name = NULL },
    };

    *o = (struct options){ .out = ".", .runs = RUNS_DEFAULT, .seed = 1 };
    if (!bench_options(NAME, options, argc, argv))
        return misused();
    if (!o->data) {
        complain("found no --data, expected a folder with topology/ and latency/");
        return misused();
    }
    return EXIT_DONE;
}

int main(int argc, char **argv)
{
    static struct stretch_found found;
    struct rtt measured[STRETCH_MATRICES] = { 0 };
    struct topology t = { 0 };
    struct options o;
    int r = read_options(&o, argc, argv);

    if (r != EXIT_DONE)
        return r;
    found.seed = o.seed;
    found.runs = o.runs;
    r = load_topology(&t, o.data);
    if (r == 0)
        r = load_measured(measured, &found, o.data);
    found.isps = t.isps;
    found.pops = t.pops;
    if (r == 0) {
        r = find(&found, &t, measured);
        if (r < 0)
            complain("%s", strerror(-r));
    }
    r = r < 0 ? EXIT_FAILED : bench_report(NAME, &stretch_report, &found, o.out, o.json);
    topology_deinit(&t);
    for (size_t i = 0; i < STRETCH_MATRICES; i++)
        rtt_deinit(&measured[i]);
    return r;
}
