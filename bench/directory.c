/* hawser-directory (`hawser sim directory`): gateways in numbers that no mesh has, by leased bindings of their realm.
 *
 * Theory of operation. Gateways stand on sim/gateways.h: directories, resolvers, the manager, all records and what is
 * said are the code of the daemons; links are a model, and signatures a keyed hash of the same length. Routers of each
 * service stand with gateways that are drawn, and each gateway's clients want some services. Once all of that has come
 * about there is a while in which nothing happens; then routers are withdrawn, registered and flap, gateways die, and
 * services that somebody waits for get their first router. What a full mesh of so many would cost is computed from the
 * daemon's: no mesh is run.
 *
 * Limits: one manager answers for all; several of a realm would share what it is asked, and each have what it has. */
#include "bench/directory.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dmux/mesh_internal.h"
#include "sim/gateways.h"

#define NAME "sim directory"
#define complain(...) bench_complain(NAME, __VA_ARGS__)

#define SEED_MAX 4294967295
#define CHANGES_OF 50 /* of so many routers one, and at least CHANGES_MIN, at once */
#define CHANGES_MIN 40ul
#define WAITED_FOR 20    /* services that have no router at first */
#define ROUTE_BYTES 330. /* dmux/mesh_routes.c */
#define LINKS_MAX MESH_PEERS_MAX
#define STEP (100 * MSEC) /* times are found so exactly */

#define BEGIN (60 * SEC) /* routers register, then clients begin */
#define SETTLE (180 * SEC)
#define REST (60 * SEC)
#define WINDOW (40 * SEC) /* of changes of one kind: what they cost has been sent then */
#define NEARER_MAX (130 * SEC)

struct run {
    struct directory_size *size;
    struct gateways *w;
    struct prng prng;
    unsigned long wants;
    long *wanted;        /* of gateway i: from i * wants on */
    uint32_t *served_by; /* the routers' gateways: of service s those at s, s + services, ... */
};

static void run_for(struct run *r, span s)
{
    gateways_run(r->w, gateways_now(r->w) + s);
}

static size_t any_gateway(struct run *r)
{
    size_t i;

    do
        i = prng_below(&r->prng, r->size->gateways);
    while (gateways_is_dead(r->w, i));
    return i;
}

/* --- the beginning --- */

static void begin(struct run *r)
{
    const struct directory_size *s = r->size;

    for (size_t i = 0; i < s->routers; i++) {
        r->served_by[i] = (uint32_t)prng_below(&r->prng, s->gateways);
        gateways_run(r->w, SEC + BEGIN * (instant)i / (instant)s->routers);
        gateways_router(r->w, r->served_by[i], i % s->services, true);
    }
    for (size_t i = 0; i < s->gateways; i++) {
        gateways_run(r->w, SEC + BEGIN + BEGIN * (instant)i / (instant)s->gateways);
        for (size_t k = 0; k < r->wants; k++) {
            long service = (long)prng_below(&r->prng, s->services);

            r->wanted[i * r->wants + k] = service;
            gateways_want(r->w, i, service);
        }
    }
    for (size_t i = 0; i < WAITED_FOR; i++)
        gateways_want(r->w, i * s->gateways / WAITED_FOR, (long)(s->services + i));
    gateways_run(r->w, SEC + SETTLE);
}

/* --- what is there --- */

static void rest(struct run *r)
{
    const struct gateways_counts before = *gateways_counts(r->w);
    const struct gateways_counts *after = gateways_counts(r->w);
    double per = (double)r->size->gateways * ((double)REST / SEC);

    run_for(r, REST);
    r->size->asks_s = (double)(after->asks - before.asks) / per;
    r->size->tells_s = (double)(after->tells - before.tells) / per;
    r->size->refused_links = (unsigned long)after->refused;
}

static void state(struct run *r, double *values)
{
    struct directory_size *s = r->size;
    struct directory_stats stats;
    struct manager_stats m;
    double entries = 0, pings = 0;

    for (size_t i = 0; i < s->gateways; i++)
        values[i] = (double)gateways_state(r->w, i);
    distribution_of(values, s->gateways, &s->state_bytes);
    for (size_t i = 0; i < s->gateways; i++) {
        values[i] = (double)gateways_links(r->w, i);
        pings += gateways_pings(r->w, i);
    }
    distribution_of(values, s->gateways, &s->links);
    for (size_t i = 0; i < s->gateways; i++) {
        directory_stats_get(gateways_directory(r->w, i), &stats);
        values[i] = stats.owned;
        entries += stats.services;
    }
    distribution_of(values, s->gateways, &s->owned);
    s->entries = entries / (double)s->gateways;
    s->pings_s = pings / (double)s->gateways;
    manager_get_stats(gateways_manager(r->w), &m);
    s->bindings = m.bindings_live;
    s->names = m.names;
    s->bindings_bytes = (double)m.bindings_bytes;
}

/* The nearest of those that serve; INFINITY: nobody does. */
static double least_ms(const struct run *r, size_t gateway, size_t service)
{
    double least = INFINITY;

    for (size_t i = service; i < r->size->routers; i += r->size->services) {
        size_t at = r->served_by[i];

        if (!gateways_is_dead(r->w, at) && gateways_serves(r->w, at, service))
            least = MIN(least, gateways_way_ms(r->w, gateway, at));
    }
    return least;
}

static void stretch(struct run *r, double *values, double *more)
{
    struct directory_size *s = r->size;
    size_t count = 0, unserved = 0;

    for (size_t i = 0; i < s->gateways * r->wants; i++) {
        size_t gateway = i / r->wants, service = (size_t)r->wanted[i];
        size_t chosen = gateways_chosen(r->w, gateway, service);
        double least = least_ms(r, gateway, service);

        if (least == 0 || isinf(least)) /* its own */
            continue;
        if (chosen == SIZE_MAX) {
            unserved++;
            continue;
        }
        values[count] = gateways_way_ms(r->w, gateway, chosen) / least;
        more[count++] = gateways_way_ms(r->w, gateway, chosen) - least;
    }
    s->unserved = (double)unserved / (double)MAX(count + unserved, 1u);
    distribution_of(values, count, &s->stretch);
    distribution_of(more, count, &s->more_ms);
}

/* --- what changes --- */

static void change(struct run *r, enum directory_change which, size_t router)
{
    size_t at = r->served_by[router], service = router % r->size->services;

    if (which != CHANGE_REGISTRATION)
        gateways_router(r->w, at, service, false);
    if (which != CHANGE_WITHDRAWAL)
        gateways_router(r->w, at, service, true);
}

/* Requests to managers in a WINDOW, and what links told. */
static struct gateways_counts window(struct run *r)
{
    const struct gateways_counts before = *gateways_counts(r->w), *now = gateways_counts(r->w);

    run_for(r, WINDOW);
    return (struct gateways_counts){ .asks = now->asks - before.asks,
                                     .tells = now->tells - before.tells,
                                     .news = now->news - before.news };
}

static uint64_t to_manager(const struct gateways_counts *c)
{
    return c->asks + c->tells;
}

/* The same world in which nothing changes, in a process of its own, which has written to fd what managers were sent in
 * each window when it has ended. Its number; negative: it could not be made. */
static pid_t twin(struct run *r, int *ret_fd)
{
    uint64_t sent[CHANGE_COUNT];
    int fds[2];
    pid_t pid = pipe(fds) == 0 ? fork() : -1;

    if (pid == 0) {
        for (size_t k = 0; k < CHANGE_COUNT; k++) {
            const struct gateways_counts c = window(r);

            sent[k] = to_manager(&c);
        }
        _exit(write(fds[1], sent, sizeof(sent)) == sizeof(sent) ? 0 : 1);
    }
    if (pid > 0)
        close(fds[1]);
    *ret_fd = fds[0];
    return pid;
}

/* Beside the same world without them. 0 or -errno. */
static int changes(struct run *r)
{
    static const enum directory_change order[CHANGE_COUNT] = { CHANGE_WITHDRAWAL, CHANGE_REGISTRATION, CHANGE_FLAP };
    const size_t count = MAX(r->size->routers / CHANGES_OF, CHANGES_MIN);
    uint64_t idle[CHANGE_COUNT], busy[CHANGE_COUNT];
    int fd, status;
    pid_t pid;

    fflush(NULL);
    pid = twin(r, &fd);
    if (pid < 0)
        return -errno;
    for (size_t k = 0; k < CHANGE_COUNT; k++) {
        const struct gateways_counts before = *gateways_counts(r->w);
        struct gateways_counts c;

        for (size_t i = 0; i < count; i++)
            change(r, order[k], i * r->size->routers / count);
        c = window(r);
        busy[k] = to_manager(&c);
        r->size->change[order[k]].mesh = (double)(gateways_counts(r->w)->news - before.news) / (double)count;
    }
    if (read(fd, idle, sizeof(idle)) != sizeof(idle))
        idle[0] = UINT64_MAX;
    close(fd);
    if (waitpid(pid, &status, 0) != pid || status != 0 || idle[0] == UINT64_MAX)
        return -EPIPE;
    for (size_t k = 0; k < CHANGE_COUNT; k++)
        r->size->change[order[k]].manager = ((double)busy[k] - (double)idle[k]) / (double)count;
    return 0;
}

/* Somebody whose choice is looked at. */
struct watched {
    size_t gateway, service, which;
    bool comes; /* to that one; else away from it */
    bool done;
};

static bool has_happened(const struct run *r, const struct watched *x)
{
    size_t chosen = gateways_chosen(r->w, x->gateway, x->service);

    return x->comes ? chosen == x->which : chosen != x->which && chosen != SIZE_MAX;
}

/* When each has; those that have not, at the end, do not count. */
static void watch(struct run *r, struct watched *all, size_t count, span most, struct distribution *ret)
{
    double values[WAITED_FOR];
    size_t n = 0;

    for (instant began = gateways_now(r->w); n < count && gateways_now(r->w) < began + most; run_for(r, STEP)) {
        for (size_t i = 0; i < count; i++) {
            if (all[i].done || !has_happened(r, &all[i]))
                continue;
            all[i].done = true;
            values[n++] = (double)(gateways_now(r->w) - began) / SEC;
        }
    }
    distribution_of(values, n, ret);
}

static void first_ones(struct run *r)
{
    struct directory_size *s = r->size;
    struct watched all[WAITED_FOR];

    for (size_t i = 0; i < WAITED_FOR; i++) {
        size_t waits = i * s->gateways / WAITED_FOR, at = waits;

        while (at == waits)
            at = any_gateway(r);
        all[i] = (struct watched){ .gateway = waits, .service = s->services + i, .which = at, .comes = true };
        gateways_router(r->w, at, s->services + i, true);
    }
    watch(r, all, WAITED_FOR, 120 * SEC, &s->time_s[TIME_FIRST]);
}

/* Somebody who wants something that it does not have, and uses another's. */
static struct watched user(struct run *r)
{
    struct watched x = { .which = SIZE_MAX };

    for (size_t tries = 0; x.which == SIZE_MAX && tries < 1000; tries++) {
        x.gateway = any_gateway(r);
        x.service = (size_t)r->wanted[x.gateway * r->wants];
        x.which = gateways_serves(r->w, x.gateway, x.service) ? SIZE_MAX : gateways_chosen(r->w, x.gateway, x.service);
    }
    return x;
}

static void losses(struct run *r, enum directory_time kind)
{
    struct watched all[WAITED_FOR];
    size_t count = 0;

    for (size_t i = 0; i < WAITED_FOR; i++)
        all[i] = user(r);
    for (size_t i = 0; i < WAITED_FOR; i++) {
        if (all[i].which == SIZE_MAX || gateways_is_dead(r->w, all[i].gateway) ||
            gateways_is_dead(r->w, all[i].which) || !gateways_serves(r->w, all[i].which, all[i].service))
            continue;
        if (kind == TIME_DEAD)
            gateways_kill(r->w, all[i].which);
        else
            gateways_router(r->w, all[i].which, all[i].service, false);
        all[count++] = all[i];
    }
    watch(r, all, count, 60 * SEC, &r->size->time_s[kind]);
}

/* A router with the nearest gateway of all. */
static void nearer_ones(struct run *r)
{
    struct watched all[WAITED_FOR];
    size_t count = 0;

    for (size_t i = 0; i < WAITED_FOR; i++) {
        struct watched x = user(r);
        size_t nearest = x.which;

        if (nearest == SIZE_MAX)
            continue;
        for (size_t k = 0; k < r->size->gateways; k++) {
            if (k != x.gateway && !gateways_is_dead(r->w, k) &&
                gateways_way_ms(r->w, x.gateway, k) < gateways_way_ms(r->w, x.gateway, nearest))
                nearest = k;
        }
        if (gateways_serves(r->w, nearest, x.service))
            continue;
        x.which = nearest;
        x.comes = true;
        gateways_router(r->w, nearest, x.service, true);
        all[count++] = x;
    }
    watch(r, all, count, NEARER_MAX, &r->size->time_s[TIME_NEARER]);
}

/* 0 or -errno. */
static int find(struct directory_found *f, struct directory_size *s)
{
    const struct gateways_options o = { .seed = f->seed,
                                        .gateways = s->gateways,
                                        .services = s->services + WAITED_FOR,
                                        .neighbours = 32,
                                        .samples = 600,
                                        .links_max = LINKS_MAX,
                                        .questions_max = 64 };
    size_t room = MAX(s->gateways * f->wants, s->routers);
    CLEANUP(cleanup_free) double *values = calloc(room, sizeof(*values)), *more = calloc(room, sizeof(*more));
    CLEANUP(cleanup_free) long *wanted = calloc(room, sizeof(*wanted));
    CLEANUP(cleanup_free) uint32_t *served_by = calloc(s->routers, sizeof(*served_by));
    int e;
    struct run r = { .size = s, .wants = f->wants, .wanted = wanted, .served_by = served_by };

    r.w = values && more && wanted && served_by ? gateways_new(&o) : NULL;
    if (!r.w)
        return -ENOMEM;
    prng_init(&r.prng, f->seed + 1);
    begin(&r);
    rest(&r);
    state(&r, values);
    stretch(&r, values, more);
    e = changes(&r);
    if (e == 0) {
        first_ones(&r);
        nearer_ones(&r);
        losses(&r, TIME_WITHDRAWN);
        losses(&r, TIME_DEAD);
    }
    s->virtual_s = (double)gateways_now(r.w) / SEC;
    gateways_free(r.w);
    return e;
}

/* --- the program --- */

struct options {
    const char *out;
    unsigned long gateways, routers, providers, wants, seed;
    bool json;
};

static int misused(void)
{
    fputs(
        "usage: hawser sim directory [--gateways N] [--routers N] [--providers N] [--wants N] [--seed N] [--out DIR]\n"
        "       [--json]\n",
        stderr);
    return EXIT_USAGE;
}

/* EXIT_DONE, or EXIT_USAGE after telling what is wrong. */
static int read_options(struct options *o, int argc, char **argv)
{
    const struct bench_option options[] = {
        { "gateways", .number = &o->gateways, .low = 40, .high = 20000 },
        { "routers", .number = &o->routers, .low = CHANGES_MIN, .high = 200000 },
        { "providers", .number = &o->providers, .low = 1, .high = 10000 },
        { "wants", .number = &o->wants, .low = 1, .high = 16 },
        { "seed", .number = &o->seed, .low = 0, .high = SEED_MAX },
        { "out", .text = &o->out },
        { "json", .flag = &o->json },
        { .name = NULL },
    };

    *o = (struct options){ .out = ".", .seed = 1, .gateways = 10000, .routers = 100000, .providers = 1000, .wants = 2 };
    if (!bench_options(NAME, options, argc, argv))
        return misused();
    if (o->providers > o->routers) {
        complain("found %lu providers of %lu routers, expected no more than routers", o->providers, o->routers);
        return misused();
    }
    return EXIT_DONE;
}

/* The whole, and before it what a mesh could still be, in the same proportions. */
static void sizes_of(const struct options *o, struct directory_found *f)
{
    static const unsigned long smaller[DIRECTORY_SIZES - 1] = { 50, 500 };

    for (size_t i = 0; i < ARRAY_LEN(smaller); i++) {
        if (smaller[i] * 2 > o->gateways)
            continue;
        f->sizes[f->count++] =
            (struct directory_size){ .gateways = smaller[i],
                                     .routers = MAX(smaller[i] * o->routers / o->gateways, CHANGES_MIN),
                                     .services = MAX(smaller[i] * o->providers / o->gateways, 1ul) };
    }
    f->sizes[f->count++] =
        (struct directory_size){ .gateways = o->gateways, .routers = o->routers, .services = o->providers };
}

int main(int argc, char **argv)
{
    static struct directory_found found;
    struct options o;
    int r = read_options(&o, argc, argv);

    if (r != EXIT_DONE)
        return r;
    found = (struct directory_found){
        .seed = o.seed, .wants = o.wants, .mesh_peer_bytes = sizeof(struct peer), .mesh_route_bytes = ROUTE_BYTES
    };
    sizes_of(&o, &found);
    for (size_t i = 0; i < found.count && r == 0; i++)
        r = find(&found, &found.sizes[i]);
    if (r < 0)
        complain("%s", strerror(-r));
    return r < 0 ? EXIT_FAILED : bench_report(NAME, &directory_report, &found, o.out, o.json);
}
