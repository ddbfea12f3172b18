/* prog/hawser.c - the one command that people type.
 *
 * The verbs are a table; help, usage and dispatch come from it. Names that are kept for later are a list of their own,
 * so that nobody who tries one is told that it is a typing error, and help does not promise it.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong usage, 3 degraded (status). */
#include "base/text.h"
#include "prog/config.h"
#include "prog/dmux_config.h"
#include "prog/ini_file.h"
#include "prog/realmd_config.h"
#include "prog/verb.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>

static int verb_help(const struct verb *v, int argc, char **argv);
static int verb_version(const struct verb *v, int argc, char **argv);

static const struct verb verbs[] = {
    { "help", "[VERB|config|dmux-config|realmd-config]",
      "what the verbs do; or what a file of hawserd, hawser-dmuxd or hawser-realmd may hold", verb_help, false },
    { "version", "", "the version of this program", verb_version, false },
    { "keygen", "[FILE]", "make a secret key: into FILE, or print it and its public key", verb_keygen, false },
    { "pubkey", "< SECRET", "tell the public key of the secret key on standard input", verb_pubkey, false },
    { "check", "FILE [--json]", "validate a configuration file", verb_check, false },
    { "up", "FILE", "start a tunnel in the background", verb_up, true },
    { "restart", "[NAME] [--manager]", "start it anew, in place: its split connections go on", verb_restart, false },
    { "down", "[NAME]", "stop it", verb_down, false },
    { "status", "[NAME] [--json] [--watch] [--paths-known]", "sessions, paths and what they carry", verb_status,
      false },
    { "why", "DEST[:PORT] [--proto tcp|udp] [--name NAME] [--json]", "which rule and which paths a packet would take",
      verb_why, false },
    { "link", "LINK tier TIER|up|down|signal DBM [--name NAME]", "prefer or leave a link while the tunnel runs",
      verb_link, false },
    { "pipe", "KEY HOST:PORT... | --listen PORT [--key FILE] [--transport LIST] [--verbose]",
      "standard input and output over every way to another host", verb_pipe, false },
    { "send",
      "[--key FILE] [--transport LIST] [--force] [--timeout S] [--quiet] [--json] FILE... PEER-KEY HOST:PORT...",
      "send files over every way to another host", verb_send, false },
    { "recv",
      "[--key FILE] [--port N] {--allow KEY... | --anyone} [--transport LIST] [--force] [--once] [--timeout S] "
      "[--quiet] "
      "[--json] DIR",
      "receive files into a folder", verb_recv, false },
    { "ping", "[--key FILE] [--transport LIST] [--count N] [--interval S] [--json] PEER-KEY HOST:PORT...",
      "the round trip of every way to another host", verb_ping, false },
    { "run",
      "[--key FILE] [--pin ADDRESS[:PORT]=KEY]... [--pins FILE] [--exclude PREFIX]... [--redirect] [--verbose] "
      "-- PROGRAM ARGUMENT...",
      "a program, its TCP connections over every uplink where the other host can", verb_run, false },
    { "id",
      "new FILE [--json] | show FILE [--json] | check CHAIN --root ROOT [--records FILE]... [--at SECONDS] [--json] | "
      "rotate OLD-KEY NEW-KEY CHAIN STATEMENT | "
      "attach KEY CHAIN --manager ADDRESS[:PORT]... --port N|--at ADDRESS:PORT... [--class WORD] [--once] [--json]",
      "keys, and what a chain of records proves of one", verb_id, false },
    { "realm",
      "init DIR NAME [--deployment N] | init DIR --key FILE --chain FILE | "
      "delegate DIR LABEL KEY CHAIN [--bits N] [--days N] | "
      "enrol DIR LEAF.TIER KEY CHAIN [--days N] [--realm-binds] [--serves] | "
      "enrol-many DIR FILE [FOLDER] [--days N] [--realm-binds] [--serves] | "
      "policy DIR [NAME|TAG] [PREFIX=CLASS...] [--days N] | revoke DIR NAME|TAG [--reason WORD] [--out FILE] | "
      "rotate DIR [--out STATEMENT | --chain FILE | STATEMENT [KEY] CHAIN] [--days N] | export DIR [NAME|TAG] FILE | "
      "show DIR | status [SOCKET]; each but enrol-many, export and policy: [--json]",
      "a realm: who belongs to it, under which name", verb_realm, false },
    { "resolve",
      "NAME|TAG {--root FILE --manager ADDRESS[:PORT]... | --config FILE} [--as KEY [--chain FILE]] [--kind KIND] "
      "[--trace] [--json]",
      "where a name is attached, and who says so", verb_resolve, false },
    { "dmux", "up FILE [--json] | down|status|trace|drain|undrain NAME [--json]",
      "a network protocol by the nearest provider, behind an anycast address", verb_dmux, false },
    { "doctor", "[--json]", "what this machine has, and what it lacks", verb_doctor, false },
    { "lab", "list [--json] | run NAME [--seed N] [--json FILE]", "scenarios in network namespaces of this machine",
      verb_lab, false },
    { "bench",
      "list [--json] | discordance --data DIR [--out DIR] [--hosts N] [--seed N] [--json] | "
      "media --data DIR [--scheduler NAME] [--seed N] [--json]",
      "measurements of the design, by data and in virtual time", verb_bench, false },
    { "sim",
      "list [--json] | coordinates [--data DIR] [--gateways N] [--routers N] [--providers N] [--neighbours N] "
      "[--liars N] [--seed N] [--out DIR] [--json] | directory [--gateways N] [--routers N] [--providers N] "
      "[--wants N] [--seed N] [--out DIR] [--json] | federation [--gateways N] [--routers N] [--providers N] "
      "[--realms N] [--asking N] [--seed N] [--out DIR] [--json] | routing [--growth G] [--pace S] [--kept F] "
      "[--proxies X] "
      "[--realms N] [--seed N] [--out DIR] "
      "[--json] | stretch --data DIR [--out DIR] [--runs N] [--seed N] [--json]",
      "simulations of what is larger than a laboratory", verb_sim, false },
};

/* Kept for later versions. */
static const char *const planned[] = { "agent", "forward", "portal", "top", "slice", "publish", "get", "bugreport" };

int verb_fail(const struct verb *v, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "hawser %s: ", v->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return EXIT_FAILED;
}

int verb_misused(const struct verb *v, const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "hawser %s: ", v->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nusage: hawser %s %s\n", v->name, v->usage);
    return EXIT_USAGE;
}

bool verb_has_capability(unsigned capability)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    uint64_t set = 0;

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "CapEff: %" SCNx64, &set) == 1)
            break;
    }
    if (f)
        fclose(f);
    return set >> capability & 1;
}

static const struct verb_option *find_option(const struct verb_option *options, const char *name, size_t len)
{
    const struct verb_option *found = NULL;

    for (; options->name; options++) {
        if (strlen(options->name) == len && memcmp(options->name, name, len) == 0) {
            found = options;
            if (options->flag || !*options->value)
                break;
        }
    }
    return found;
}

int verb_options(const struct verb *v, int argc, char **argv, const struct verb_option *options)
{
    int left = 0;
    bool rest = false;

    for (int i = 1; i < argc; i++) {
        char *arg = argv[i], *equals;
        const struct verb_option *o;

        if (rest || strncmp(arg, "--", 2) != 0) {
            if (!rest && arg[0] == '-' && arg[1] != '\0' && !(arg[1] >= '0' && arg[1] <= '9')) {
                verb_misused(v, "found %s, which is no option", arg);
                return -1;
            }
            argv[1 + left++] = arg;
            continue;
        }
        if (arg[2] == '\0') {
            rest = true;
            continue;
        }
        equals = strchr(arg, '=');
        o = find_option(options, arg + 2, equals ? (size_t)(equals - arg - 2) : strlen(arg + 2));
        if (!o || (o->flag && equals)) {
            verb_misused(v, "found %s, which is no option", arg);
            return -1;
        }
        if (o->flag) {
            *o->flag = true;
        } else if (equals) {
            *o->value = equals + 1;
        } else if (i + 1 < argc) {
            *o->value = argv[++i];
        } else {
            verb_misused(v, "found %s without a value", arg);
            return -1;
        }
    }
    argv[1 + left] = NULL;
    return left;
}

static const struct verb *find_verb(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static void print_help(FILE *out)
{
    fputs(
        "Hawser uses every uplink of this machine at once, and goes on when one is lost.\n\nusage: hawser VERB ...\n\n",
        out);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        fprintf(out, "  %-8s %s\n", verbs[i].name, verbs[i].summary);
    fputs("\n`hawser help VERB` tells how a verb is used. Exit codes: 0 done, 1 failed, 2 usage, 3 degraded.\n", out);
}

static void print_config_help(void)
{
    const char *section = "";
    struct config_key k;

    for (size_t i = 0; config_schema_at(i, &k); i++) {
        if (strcmp(section, k.section) != 0)
            printf("%s[%s]\n", i ? "\n" : "", k.section);
        section = k.section;
        printf("  %-19s %s%s\n", k.key, k.help, k.multiple ? "; may be repeated" : "");
        printf("  %-19s %s", "", k.type);
        if (k.range[0])
            printf(" %s", k.range);
        if (k.unit)
            printf(" %s", k.unit);
        if (k.fallback)
            printf(", default %s", k.fallback);
        putchar('\n');
    }
}

static void print_schema_help(const struct ini_schema *s)
{
    unsigned section = 0;
    struct ini_key k;

    for (size_t i = 0; s->key(i, &k); i++) {
        if (k.section != section)
            printf("%s[%s%s]\n", i ? "\n" : "", s->sections[k.section], s->named >> k.section & 1 ? " NAME" : "");
        section = k.section;
        printf("  %-19s %s%s", k.key, k.help, k.required ? "; required" : "");
        if (k.fallback)
            printf(", default %s", k.fallback);
        putchar('\n');
    }
}

/* The exit code for a word that is no verb. */
static int unknown_verb(const char *name)
{
    const char *names[ARRAY_LEN(verbs)], *near;

    for (size_t i = 0; i < ARRAY_LEN(planned); i++) {
        if (strcmp(planned[i], name) == 0) {
            fprintf(stderr, "hawser %s: not built in this version\n", name);
            return EXIT_USAGE;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
        names[i] = verbs[i].name;
    near = text_nearest(name, names, ARRAY_LEN(names));
    fprintf(stderr, "hawser: found %s, expected a verb%s%s%s\n", name, near ? " (did you mean " : "",
            near ? near : "; `hawser help` lists them", near ? "?)" : "");
    return EXIT_USAGE;
}

static int verb_help(const struct verb *v, int argc, char **argv)
{
    const struct verb *about;

    if (argc < 2) {
        print_help(stdout);
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "config") == 0) {
        print_config_help();
        return EXIT_DONE;
    }
    if (strcmp(argv[1], "dmux-config") == 0 || strcmp(argv[1], "realmd-config") == 0) {
        print_schema_help(argv[1][0] == 'd' ? &dmux_config_schema : &realmd_config_schema);
        return EXIT_DONE;
    }
    about = find_verb(argv[1]);
    if (!about)
        return unknown_verb(argv[1]);
    printf("usage: hawser %s %s\n%s\n", about->name, about->usage, about->summary);
    return EXIT_DONE;
}

static int verb_version(const struct verb *v, int argc, char **argv)
{
    puts("hawser " HAWSER_VERSION);
    return EXIT_DONE;
}

static bool asks_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    const struct verb *v;
    const char *name;
    int r;

    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    name = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0      ? "help"
           : strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 ? "version"
                                                                             : argv[1];
    v = find_verb(name);
    if (!v)
        return unknown_verb(name);
    if (name == argv[1] && asks_help(argc - 1, argv + 1)) {
        printf("usage: hawser %s %s\n%s\n", v->name, v->usage, v->summary);
        return EXIT_DONE;
    }
    if (v->needs_net_admin && !verb_has_capability(CAP_NET_ADMIN))
        return verb_fail(v, "CAP_NET_ADMIN is missing (run as root)");
    r = v->run(v, argc - 1, argv + 1);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "hawser %s: standard output: %s\n", v->name, strerror(errno));
        r = r == EXIT_DONE ? EXIT_FAILED : r;
    }
    return r;
}
