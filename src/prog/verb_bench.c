/* prog/verb_bench.c - the measurements and simulations that are programs of their own, listed and run.
 *
 * They are linked with the simulator and so are not part of this command. A program is looked for in $HAWSER_BENCH,
 * else in the build that this program is of, else where the package puts it. It takes over from us: its options are its
 * own, and its exit code is ours. */
#include "base/text.h"
#include "prog/json_client.h"
#include "prog/verb.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define TABLE_MAX 8

struct measurement {
    const char *name, *about;
};

static const struct measurement measurements[] = {
    { "discordance", "how often two objectives of a host with two uplinks choose different paths" },
    { "media", "frames late or lost over recorded cellular links: each alone, both by a session" },
};

static const struct measurement simulations[] = {
    { "coordinates", "how gateways of a protocol demultiplexer choose that measure only a few others" },
    { "directory", "how gateways in numbers that no mesh has find each other, and what that costs" },
    { "federation", "what several operators of gateways cost that send each other's clients on" },
    { "routing", "how large routing tables are while networks become stub realms" },
    { "stretch", "how long paths through a protocol demultiplexer are" },
};

static int list(const struct measurement *table, size_t count, bool as_json)
{
    CLEANUP(cleanup_json) json_t *array = json_array();

    for (size_t i = 0; i < count; i++) {
        const struct measurement *m = &table[i];

        if (as_json)
            json_array_append_new(array, json_pack("{s:s, s:s}", "name", m->name, "about", m->about));
        else
            printf("%-20s %s\n", m->name, m->about);
    }
    if (as_json)
        json_print(array);
    return EXIT_DONE;
}

static int run(const struct verb *v, const char *name, char **argv)
{
    const char *env = getenv("HAWSER_BENCH");
    const char *places[] = { env && *env ? env : HAWSER_BENCH_BUILT, env && *env ? env : HAWSER_BENCH_INSTALLED };
    char path[512];

    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        snprintf(path, sizeof(path), "%s/hawser-%s", places[i], name);
        execv(path, argv);
        if (errno != ENOENT)
            break;
    }
    return verb_fail(v, "%s: %s (HAWSER_BENCH names the folder of the measurements)", path, strerror(errno));
}

static int list_or_run(const struct verb *v, const struct measurement *table, size_t count, int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *names[TABLE_MAX], *near;
    bool as_json = false;
    const struct verb_option options[] = { { "json", NULL, &as_json }, { NULL, NULL, NULL } };

    if (strcmp(what, "list") == 0) {
        int n = verb_options(v, argc - 1, argv + 1, options);

        if (n > 0)
            return verb_misused(v, "found %s, expected nothing after list", argv[2]);
        return n < 0 ? EXIT_USAGE : list(table, count, as_json);
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = table[i].name;
        if (strcmp(what, names[i]) == 0)
            return run(v, what, argv + 1);
    }
    near = text_nearest(what, names, count);
    return verb_misused(v, "found %s, expected list or a %s%s%s%s", *what ? what : "nothing",
                        table == simulations ? "simulation" : "measurement", near ? " (did you mean " : "",
                        near ? near : "", near ? "?)" : "");
}

_Static_assert(ARRAY_LEN(measurements) <= TABLE_MAX && ARRAY_LEN(simulations) <= TABLE_MAX, "names have room");

int verb_bench(const struct verb *v, int argc, char **argv)
{
    return list_or_run(v, measurements, ARRAY_LEN(measurements), argc, argv);
}

int verb_sim(const struct verb *v, int argc, char **argv)
{
    return list_or_run(v, simulations, ARRAY_LEN(simulations), argc, argv);
}
