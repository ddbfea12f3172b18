/* prog/verb_lab.c - the scenarios of lab/scenarios, listed and run.
 *
 * They are looked for in $HAWSER_LAB, else in the source tree that this program was built from, else where the package
 * puts them. A scenario is run by bash with --seed and --json as they were given, and its exit code is ours. */
#include "base/text.h"
#include "prog/json_client.h"
#include "prog/verb.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define SCENARIOS_MAX 256

struct scenarios {
    char dir[256]; /* of the lab */
    char names[SCENARIOS_MAX][64];
    size_t count;
};

static int is_scenario(const struct dirent *e)
{
    size_t len = strlen(e->d_name);

    return e->d_name[0] != '.' && len > 3 && len < 64 && strcmp(e->d_name + len - 3, ".sh") == 0;
}

/* EXIT_DONE or an exit code. */
static int find_scenarios(const struct verb *v, struct scenarios *s)
{
    const char *env = getenv("HAWSER_LAB");
    const char *places[] = { env && *env ? env : HAWSER_LAB_SOURCE, env && *env ? env : HAWSER_LAB_INSTALLED };
    struct dirent **entries;
    char path[512];
    int n = -1;

    for (size_t i = 0; i < ARRAY_LEN(places) && n < 0; i++) {
        snprintf(s->dir, sizeof(s->dir), "%s", places[i]);
        snprintf(path, sizeof(path), "%s/scenarios", s->dir);
        n = scandir(path, &entries, is_scenario, alphasort);
    }
    if (n < 0)
        return verb_fail(v, "%s: %s (HAWSER_LAB names the folder of the lab)", path, strerror(errno));
    s->count = 0;
    for (int i = 0; i < n; i++) {
        if (s->count < SCENARIOS_MAX) {
            snprintf(s->names[s->count], sizeof(s->names[0]), "%.*s", (int)strlen(entries[i]->d_name) - 3,
                     entries[i]->d_name);
            s->count++;
        }
        free(entries[i]);
    }
    free(entries);
    return EXIT_DONE;
}

/* The first sentence of a scenario's first comment that is not its #! line; empty when there is none. */
static void first_sentence(const char *path, char *out, size_t size)
{
    FILE *f = fopen(path, "re");
    struct text t;
    char buf[512], *end;
    bool whole = false;

    text_init(&t, out, size);
    while (!whole && f && fgets(buf, sizeof(buf), f) && buf[0] == '#') {
        if (buf[1] != ' ' || strncmp(buf, "# shellcheck", 12) == 0) {
            if (out[0])
                break;
            continue;
        }
        buf[strcspn(buf, "\n")] = '\0';
        end = strstr(buf, ". ");
        if (end)
            end[1] = '\0';
        whole = buf[strlen(buf) - 1] == '.';
        text_add(&t, "%s%s", out[0] ? " " : "", buf + 2);
    }
    if (f)
        fclose(f);
}

static int list(const struct verb *v, bool as_json)
{
    static struct scenarios s;
    CLEANUP(cleanup_json) json_t *array = json_array();
    char path[512], line[512];
    int r = find_scenarios(v, &s);

    if (r != EXIT_DONE)
        return r;
    for (size_t i = 0; i < s.count; i++) {
        snprintf(path, sizeof(path), "%s/scenarios/%s.sh", s.dir, s.names[i]);
        first_sentence(path, line, sizeof(line));
        if (as_json)
            json_array_append_new(array, json_pack("{s:s, s:s}", "name", s.names[i], "about", line));
        else
            printf("%-20s %s\n", s.names[i], line);
    }
    if (as_json)
        json_print(array);
    return EXIT_DONE;
}

static int run(const struct verb *v, const char *name, const char *seed, const char *json)
{
    static struct scenarios s;
    const char *names[SCENARIOS_MAX], *near;
    char path[512];
    const char *args[8] = { "bash" };
    int r = find_scenarios(v, &s);
    size_t i = 0, n = 1;

    if (r != EXIT_DONE)
        return r;
    while (i < s.count && strcmp(s.names[i], name) != 0)
        i++;
    if (i == s.count) {
        for (size_t j = 0; j < s.count; j++)
            names[j] = s.names[j];
        near = text_nearest(name, names, s.count);
        verb_fail(v, "found %s, expected a scenario%s%s%s", name, near ? " (did you mean " : "",
                  near ? near : " of `hawser lab list`", near ? "?)" : "");
        return EXIT_USAGE;
    }
    snprintf(path, sizeof(path), "%s/scenarios/%s.sh", s.dir, name);
    args[n++] = path;
    if (seed) {
        args[n++] = "--seed";
        args[n++] = seed;
    }
    if (json) {
        args[n++] = "--json";
        args[n++] = json;
    }
    execvp("bash", (char *const *)args);
    return verb_fail(v, "bash: %s", strerror(errno));
}

int verb_lab(const struct verb *v, int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *seed = NULL, *json = NULL;
    bool as_json = false;
    const struct verb_option list_options[] = { { "json", NULL, &as_json }, { NULL, NULL, NULL } };
    const struct verb_option run_options[] = { { "seed", &seed, NULL }, { "json", &json, NULL }, { NULL, NULL, NULL } };
    int n;

    if (strcmp(what, "list") == 0) {
        n = verb_options(v, argc - 1, argv + 1, list_options);
        if (n > 0)
            return verb_misused(v, "found %s, expected nothing after list", argv[2]);
        return n < 0 ? EXIT_USAGE : list(v, as_json);
    }
    if (strcmp(what, "run") == 0) {
        n = verb_options(v, argc - 1, argv + 1, run_options);
        if (n >= 0 && n != 1)
            return verb_misused(v, "found %d names, expected one scenario", n);
        if (n == 1 && seed && (!*seed || seed[strspn(seed, "0123456789")] != '\0'))
            return verb_misused(v, "found --seed %s, expected a number", seed);
        return n < 0 ? EXIT_USAGE : run(v, argv[2], seed, json);
    }
    return verb_misused(v, "found %s, expected list or run", *what ? what : "nothing");
}
