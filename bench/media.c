/* hawser-media (`hawser bench media`): a camera's frames over recorded cellular links, each alone and two by a session.
 *
 * Theory of operation. Whole nodes in virtual time (sim/world.h) over links whose rate is a recorded trace (Mahimahi's
 * form). Frames are application data units with a lifetime (session/adu.h: ordered, lossy, with a deadline), sent at a
 * steady pace from the side of the trace's source. For each pair of traces of one direction: how many frames are late
 * or lost over the first alone, over the second alone, and over both. The same data and seed give the same figures.
 *
 * What one link alone cannot carry at all says little, so a share is compared only where the better link alone has one
 * of at least COMPARED, and no more than HOPELESS.
 *
 * Limits: TRACES_MAX traces a direction. */
#include <dirent.h>
#include <errno.h>

#include "bench/args.h"
#include "sim/media.h"

#define NAME "bench media"
#define complain(...) bench_complain(NAME, __VA_ARGS__)
#define TRACES_MAX 16
#define RATE_BPS 4000000 /* of the frames */
#define FRAMES_A_SECOND 30
#define KEY_EVERY 60 /* frames: each is KEY_TIMES as large */
#define KEY_TIMES 4
#define LIFETIME (150 * MSEC) /* ITU-T G.114: the one-way delay that most do not mind */
#define DELAY "25ms"          /* one way; chosen: as measured on LTE when idle */
#define QUEUE "1s"            /* chosen: cellular buffers are that deep */
#define LENGTH (140 * SEC)    /* of the shorter traces */
#define SETTLE (2 * SEC)
#define COMPARED .01
#define HOPELESS .9

struct source {
    char name[64];
    struct link_trace trace;
};

struct options {
    const char *data;
    unsigned long seed;
    const struct scheduler *scheduler; /* NULL: as sessions have it */
    bool json;
};

static const struct delivery_options bytes = { 0 };

/* --- one run --- */

static struct media_spec frames(void)
{
    /* A key frame in KEY_EVERY, so that all together have the rate. */
    size_t mean = RATE_BPS / 8 / FRAMES_A_SECOND, len = mean * KEY_EVERY / (KEY_EVERY + KEY_TIMES - 1);

    return (struct media_spec){ .unit = { .lifetime = LIFETIME },
                                .interval = SEC / FRAMES_A_SECOND,
                                .bytes = len,
                                .key_every = KEY_EVERY,
                                .key_bytes = KEY_TIMES * len };
}

/* The share of frames that are late or lost; negative: the world went wrong, as was said. */
static double play(const struct options *how_to, const struct source *const links[], size_t count, bool down)
{
    struct world *w = world_new(how_to->seed);
    struct node_options o = { .delivery = &bytes, .preferences.scheduler = how_to->scheduler, .pool_pkts = 16384 };
    struct world_node_spec spec = { .options = o, .uplinks = (unsigned)count };
    struct world_end *agent, *node;
    struct media_spec how = frames();
    struct media *m;
    double bad;

    for (size_t i = 0; i < count; i++)
        spec.params[i] = "delay=" DELAY " queue=" QUEUE;
    agent = world_agent(w, "agent", &o, false);
    node = world_node(w, "node", agent, &spec);
    for (unsigned i = 0; i < count; i++) {
        struct world_uplink *u = world_uplink(node, i);

        world_link_trace(down ? &u->down : &u->up, &links[i]->trace);
    }
    world_connect(node);
    world_run_for(w, SETTLE);
    how.count = (unsigned)(LENGTH / how.interval);
    m = down ? media_new(agent, 0, node, 0, &how) : media_new(node, 0, agent, 0, &how);
    world_run_for(w, LENGTH + SETTLE);
    bad = media_bad(m);
    if (w->failed || m->error) {
        complain("%s: %s", links[0]->name, w->failed ? w->error : strerror(-m->error));
        bad = -1;
    }
    world_free(w);
    media_free(m);
    return bad;
}

/* --- data --- */

static void free_sources(struct source *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        link_trace_deinit(&s[i].trace);
}

static int is_down(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');

    return dot && dot > e->d_name && strcmp(dot, ".down") == 0;
}

static int is_up(const struct dirent *e)
{
    const char *dot = strrchr(e->d_name, '.');

    return dot && dot > e->d_name && strcmp(dot, ".up") == 0;
}

/* 0, or negative after saying what is wrong. */
static int load_one(const char *data, const char *name, struct source *ret)
{
    char path[512], error[LINK_ERROR_MAX];

    if (snprintf(path, sizeof(path), "%s/%s", data, name) >= (int)sizeof(path))
        snprintf(error, sizeof(error), "%.200s: the name is too long", data);
    else if (link_trace_load(path, &ret->trace, error) == 0) {
        snprintf(ret->name, sizeof(ret->name), "%.*s", (int)(strrchr(name, '.') - name), name);
        return 0;
    }
    complain("%s", error);
    return -1;
}

/* The traces of a direction in the folder. How many, or negative after saying what is wrong. */
static int load(const char *data, bool down, struct source ret[TRACES_MAX])
{
    struct dirent **found;
    int count = scandir(data, &found, down ? is_down : is_up, alphasort), r = 0;

    if (count < 0) {
        complain("%s: %s", data, strerror(errno));
        return -1;
    }
    if (count > TRACES_MAX) {
        complain("%s: found %d traces of a direction, expected at most %d", data, count, TRACES_MAX);
        r = -1;
    }
    for (int i = 0; i < count; i++) {
        if (r == 0)
            r = load_one(data, found[i]->d_name, &ret[i]);
        free(found[i]);
    }
    free(found);
    return r < 0 ? r : count;
}

/* --- the table --- */

struct verdict {
    unsigned rows, compared, reached;
};

static bool row(const struct options *o, const struct source *a, const struct source *b, bool down, struct verdict *v,
                json_t *rows)
{
    const struct source *const both[] = { a, b };
    double first = play(o, &both[0], 1, down), second = play(o, &both[1], 1, down), together = play(o, both, 2, down),
           better = MIN(first, second);
    bool compared = better >= COMPARED && better <= HOPELESS, reached = together <= better / 2;

    if (first < 0 || second < 0 || together < 0)
        return false;
    v->rows++;
    v->compared += compared;
    v->reached += compared && reached;
    if (o->json)
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:f, s:f, s:f}", "direction", down ? "down" : "up",
                                              "first", a->name, "second", b->name, "first_bad", first, "second_bad",
                                              second, "both_bad", together));
    else
        printf("%-5s %-22s %-22s %8.2f %8.2f %8.2f  %s\n", down ? "down" : "up", a->name, b->name, 100 * first,
               100 * second, 100 * together,
               !compared ? "not compared"
               : reached ? "at most half"
                         : "more than half");
    fflush(stdout);
    return true;
}

static int direction(const struct options *o, bool down, struct verdict *v, json_t *rows)
{
    struct source s[TRACES_MAX] = { 0 };
    int count = load(o->data, down, s), r = EXIT_DONE;

    for (int i = 0; i < count && r == EXIT_DONE; i++)
        for (int k = i + 1; k < count && r == EXIT_DONE; k++)
            r = row(o, &s[i], &s[k], down, v, rows) ? EXIT_DONE : EXIT_FAILED;
    free_sources(s, TRACES_MAX);
    return count < 0 ? EXIT_FAILED : r;
}

static int tables(const struct options *o)
{
    json_t *rows = json_array(), *all;
    struct verdict v = { 0 };
    int r;

    if (!o->json)
        printf("Frames late or lost, %%: %.1f Mbit/s, %d a second, lifetime %d ms, seed %lu\n%-5s %-22s %-22s %8s %8s "
               "%8s\n",
               RATE_BPS / 1e6, FRAMES_A_SECOND, (int)(LIFETIME / MSEC), o->seed, "", "first", "second", "first",
               "second", "both");
    r = direction(o, true, &v, rows);
    if (r == EXIT_DONE)
        r = direction(o, false, &v, rows);
    if (r == EXIT_DONE && v.rows == 0) {
        complain("%s: no two traces of one direction, NAME.down or NAME.up", o->data);
        r = EXIT_FAILED;
    }
    if (r == EXIT_DONE && !o->json)
        printf("At most half of the better link's, where that is %.0f %% to %.0f %%: %u of %u\n", 100 * COMPARED,
               100 * HOPELESS, v.reached, v.compared);
    all = json_pack("{s:o, s:i, s:i, s:i}", "rows", rows, "compared", v.compared, "reached", v.reached, "seed",
                    (int)o->seed);
    if (r == EXIT_DONE && o->json) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        printf("\n");
    }
    json_decref(all);
    return r == EXIT_DONE ? bench_printed(NAME, 0) : r;
}

/* --- arguments --- */

static int misused(void)
{
    fputs("usage: hawser bench media --data DIR [--scheduler NAME] [--seed N] [--json]\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct options o = { .seed = 1 };
    const char *scheduler = NULL;
    const struct bench_option options[] = {
        { "data", .text = &o.data },
        { "seed", .number = &o.seed, .low = 0, .high = INT32_MAX },
        { "scheduler", .text = &scheduler },
        { "json", .flag = &o.json },
        { .name = NULL },
    };

    if (!bench_options(NAME, options, argc, argv))
        return misused();
    if (scheduler && !(o.scheduler = scheduler_find(scheduler))) {
        complain("found %s, expected a scheduler: earliest, minrtt, ecf, blest, drr, jitter or redundant", scheduler);
        return misused();
    }
    if (!o.data) {
        complain("found no --data, expected the folder of the traces NAME.down and NAME.up");
        return misused();
    }
    return tables(&o);
}
