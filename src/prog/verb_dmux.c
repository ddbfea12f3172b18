/* prog/verb_dmux.c - dmux: the demultiplexer's daemon, from outside.
 *
 * up checks the file and starts hawser-dmuxd in the background; the other words ask the control socket of a running
 * one. status exits with 3 when a client has no gateway or no router or is not let in, or a router is registered
 * nowhere, so that a script needs no parser. */
#include "prog/dmux_config.h"
#include "prog/json_client.h"
#include "prog/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DMUX_DIR "/run/hawser-dmux"
#define START_WAIT_MS 10000 /* chosen: as hawser up */
#define STEP_MS 20
#define INDENT 4

static bool is_degraded(const json_t *doc)
{
    const char *role = json_text(doc, "role");
    const json_t *registrars = json_object_get(doc, "registrars");

    if (strcmp(role, "client") == 0)
        return strcmp(json_text(doc, "state"), "up") != 0 && strcmp(json_text(doc, "state"), "native") != 0;
    if (strcmp(role, "router") != 0)
        return false;
    for (size_t i = 0; i < json_array_size(registrars); i++) {
        if (strcmp(json_text(json_array_get(registrars, i), "state"), "registered") == 0)
            return false;
    }
    return true;
}

/* indent: spaces before each line. */
static void print_members(const json_t *doc, int indent)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)doc, key, value)
    {
        if (strcmp(key, "ok") == 0)
            continue;
        if (json_is_string(value))
            printf("%*s%s %s\n", indent, "", key, json_string_value(value));
        else if (json_is_integer(value))
            printf("%*s%s %" PRId64 "\n", indent, "", key, (int64_t)json_integer_value(value));
        else if (json_is_real(value))
            printf("%*s%s %.3f\n", indent, "", key, json_real_value(value));
        else if (json_is_boolean(value))
            printf("%*s%s %s\n", indent, "", key, json_is_true(value) ? "yes" : "no");
        else if (json_is_object(value) && json_object_size(value) > 0 && printf("%*s%s:\n", indent, "", key) > 0)
            print_members(value, indent + INDENT);
        else if (json_is_array(value)) {
            for (size_t i = 0; i < json_array_size(value); i++) {
                printf("%*s%s %zu:\n", indent, "", key, i + 1);
                print_members(json_array_get(value, i), indent + INDENT);
            }
        }
    }
}

/* Each hop with its distance, and what is not known. */
static void print_trace(const json_t *doc)
{
    const char *state = json_text(doc, "state"), *why = json_text(json_object_get(doc, "admission"), "why");

    if (strcmp(state, "native") == 0) {
        printf("%s: the local network speaks it by itself\n", json_text(doc, "protocol"));
        if (json_number(doc, "kept") == 0)
            return;
        printf("%" PRId64 " connections from before go on:\n", (int64_t)json_number(doc, "kept"));
    }
    printf("%s %s by %s\n", json_text(doc, "protocol"), state, json_text(doc, "service"));
    if (strcmp(state, "no-gateway") == 0 && *json_text(doc, "unicast"))
        printf("none answers; the last that did:\n");
    if (*json_text(doc, "unicast"))
        printf(" 1  gateway %" PRId64 " (%s)  %.3f ms, sees us as %s\n", (int64_t)json_number(doc, "gateway"),
               json_text(doc, "unicast"), json_number(doc, "rtt_ms"), json_text(doc, "seen_as"));
    if (*json_text(doc, "router") && json_is_true(json_object_get(doc, "elsewhere")))
        printf(" 2  border %s of %s\n 3  router of provider %" PRId64 "  %.3f ms from the gateway%s%s\n",
               json_text(doc, "router"), json_text(doc, "dmux"), (int64_t)json_number(doc, "provider"),
               json_number(doc, "router_rtt_ms"), *json_text(doc, "address") ? ", our address " : "",
               json_text(doc, "address"));
    else if (*json_text(doc, "router"))
        printf(" 2  router %s of provider %" PRId64 "  %.3f ms from the gateway%s%s\n", json_text(doc, "router"),
               (int64_t)json_number(doc, "provider"), json_number(doc, "router_rtt_ms"),
               *json_text(doc, "address") ? ", our address " : "", json_text(doc, "address"));
    if (*why)
        printf("%s\n", why);
}

static int ask(const struct verb *v, const char *word, const char *name, bool as_json)
{
    CLEANUP(cleanup_json) json_t *doc = NULL;
    bool trace = strcmp(word, "trace") == 0;
    char path[256];
    int r;

    snprintf(path, sizeof(path), strchr(name, '/') ? "%s" : DMUX_DIR "/%s.sock", name);
    r = daemon_call(v, path, json_pack("{s:s}", "verb", trace ? "status" : word), &doc);
    if (r != EXIT_DONE)
        return r;
    if (trace && strcmp(json_text(doc, "role"), "client") != 0)
        return verb_fail(v, "%s is a %s: only clients are served", path, json_text(doc, "role"));
    if (as_json)
        json_print(doc);
    else if (trace)
        print_trace(doc);
    else
        print_members(doc, 0);
    return is_degraded(doc) ? EXIT_DEGRADED : EXIT_DONE;
}

/* The daemon beside this program, else by PATH. */
static _Noreturn void run_daemon(const char *file, const char *log)
{
    char program[4096];
    ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - sizeof("/hawser-dmuxd"));
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

    program[MAX(n, 0)] = '\0';
    if (n > 0)
        memcpy(strrchr(program, '/'), "/hawser-dmuxd", sizeof("/hawser-dmuxd"));
    if (n <= 0 || access(program, X_OK) < 0)
        memcpy(program, "hawser-dmuxd", sizeof("hawser-dmuxd"));
    setsid();
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        _exit(127);
    execlp(program, "hawser-dmuxd", file, (char *)NULL);
    _exit(127);
}

static bool answers(const char *control)
{
    CLEANUP(cleanup_json) json_t *question = json_pack("{s:s}", "verb", "status");
    CLEANUP(cleanup_json) json_t *doc = NULL;

    return daemon_ask(control, question, &doc) == 0;
}

static int say_up(const char *control, bool as_json)
{
    CLEANUP(cleanup_json) json_t *doc = json_pack("{s:b, s:s}", "ok", true, "control", control);

    if (as_json)
        json_print(doc);
    else
        printf("%s\n", control);
    return EXIT_DONE;
}

static int up(const struct verb *v, const char *file, bool as_json)
{
    static char lines[16384];
    struct dmux_config *c = NULL;
    struct text errors;
    char control[DMUX_PATH_MAX], log[DMUX_PATH_MAX + 8];
    int status;
    pid_t pid;

    text_init(&errors, lines, sizeof(lines));
    if (dmux_config_load(file, &errors, &c) < 0) {
        fputs(lines, stderr);
        return verb_fail(v, "nothing was started");
    }
    snprintf(control, sizeof(control), "%s", c->control);
    dmux_config_free(c);
    if (answers(control))
        return verb_fail(v, "it is up already (%s answers)", control);
    snprintf(log, sizeof(log), "%.*s", (int)(strrchr(control, '/') - control), control);
    mkdir(log, 0755);
    snprintf(log, sizeof(log), "%s.log", control);
    pid = fork();
    if (pid == 0)
        run_daemon(file, log);
    if (pid < 0)
        return verb_fail(v, "fork: %s", strerror(errno));
    for (int ms = 0; ms < START_WAIT_MS; ms += STEP_MS) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return verb_fail(v, "hawser-dmuxd ended (its output is in %s)", log);
        if (answers(control))
            return say_up(control, as_json);
        nanosleep(&(struct timespec){ .tv_nsec = STEP_MS * 1000000 }, NULL);
    }
    return verb_fail(v, "hawser-dmuxd did not answer at %s (its output is in %s)", control, log);
}

int verb_dmux(const struct verb *v, int argc, char **argv)
{
    static const char *const words[] = { "status", "trace", "drain", "undrain", "down" };
    bool as_json = false;
    const struct verb_option options[] = { { "json", NULL, &as_json }, { NULL, NULL, NULL } };
    int n = verb_options(v, argc, argv, options);

    if (n < 0)
        return EXIT_USAGE;
    if (n == 0)
        return verb_misused(v, "expected up, down, status, trace, drain or undrain");
    if (n != 2)
        return verb_misused(v, "found %d arguments after %s, expected %s", n - 1, argv[1],
                            strcmp(argv[1], "up") == 0 ? "a file" : "the name of a daemon or its control socket");
    if (strcmp(argv[1], "up") == 0)
        return verb_has_capability(CAP_NET_ADMIN) ? up(v, argv[2], as_json)
                                                  : verb_fail(v, "CAP_NET_ADMIN is missing (run as root)");
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(argv[1], words[i]) == 0)
            return ask(v, strcmp(words[i], "down") == 0 ? "stop" : words[i], argv[2], as_json);
    }
    return verb_misused(v, "found %s, expected up, down, status, trace, drain or undrain", argv[1]);
}
