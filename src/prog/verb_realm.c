/* prog/verb_realm.c - realm: make one, and say who belongs to it.
 *
 * What is written for others (a chain, a statement, what has ended) are records in a row, nothing secret. */
#include "prog/json_client.h"
#include "prog/realm.h"
#include "prog/verb.h"
#include "sys/clock.h"
#include "sys/store.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <time.h>

#define DAY_S 86400u
#define DELEGATION_DAYS 730 /* chosen: a sub-realm asks again well within a year */
#define ALIAS_DAYS 30       /* chosen: far more than two of the longest leases, which are days */

/* All options of all sub-verbs. */
struct options {
    const char *deployment, *key, *chain, *bits, *days, *reason, *out;
    bool json, realm_binds, serves;
    uint64_t now_s;
};

struct sub {
    const char *name, *usage, *options; /* that it has, each with a space behind it */
    int min, max;                       /* arguments after its name */
    bool signs;
    int (*run)(const struct verb *v, const struct options *o, int argc, char **argv);
};

/* A file of enrolments. */
struct lines {
    char *text;
    struct realm_enrolment *list; /* into it */
    size_t count;
};

static void cleanup_lines(struct lines *l)
{
    free(l->list);
    free(l->text);
}

static void cleanup_realm(struct realm **r)
{
    realm_close(*r);
}

/* A whole number in the range. True, or what is wrong was told. */
static bool number(const struct verb *v, const char *option, const char *text, unsigned long min, unsigned long max,
                   unsigned long *ret)
{
    char *end;
    unsigned long n;

    if (!text)
        return true;
    n = strtoul(text, &end, 10);
    if (end == text || *end || n < min || n > max || text[0] < '0' || text[0] > '9') {
        verb_misused(v, "--%s: found %s, expected %lu to %lu", option, text, min, max);
        return false;
    }
    *ret = n;
    return true;
}

/* Opens for a change; an exit code. */
static int open_realm(const struct verb *v, const char *dir, bool writing, struct realm **ret)
{
    char err[FILE_ERR];

    return realm_open(dir, writing, ret, err) < 0 ? verb_fail(v, "%s", err) : EXIT_DONE;
}

static int read_file(const struct verb *v, const char *path, uint8_t **ret, size_t *ret_len)
{
    char err[FILE_ERR];

    return store_read(path, ret, ret_len, err, sizeof(err)) < 0 ? verb_fail(v, "%s", err) : EXIT_DONE;
}

/* Writes what a call gave; frees it. */
static int write_file(const struct verb *v, const char *path, int got, uint8_t *bytes, size_t len, char err[FILE_ERR])
{
    if (got == 0)
        got = store_write(path, bytes, len, err, FILE_ERR);
    free(bytes);
    return got < 0 ? verb_fail(v, "%s", err) : EXIT_DONE;
}

static int write_chain(const struct verb *v, const struct realm *r, const char *who, const char *path)
{
    char err[FILE_ERR];
    uint8_t *bytes = NULL;
    size_t len = 0;
    int got = realm_chain_of(r, who, &bytes, &len, err);

    return write_file(v, path, got, bytes, len, err);
}

/* A name and its tag. */
static void tell_one(const char *name, const struct tag *tag, bool as_json)
{
    char text[TAG_STRLEN];

    tag_format(tag, text);
    if (as_json) {
        CLEANUP(cleanup_json) json_t *doc = json_pack("{s:o, s:s}", "name", json_words(name), "tag", text);

        json_print(doc);
    } else {
        printf("%s %s\n", name, text);
    }
}

/* The newest that was given a name. */
static void tell(const struct realm *r, bool as_json)
{
    for (size_t i = realm_said_count(r); i-- > 0;) {
        const struct realm_said *s = realm_said_at(r, i);

        if (s->name[0]) {
            tell_one(s->name, &s->subject, as_json);
            return;
        }
    }
}

static int peer_key_of(const struct verb *v, const char *text, struct peer_key *ret)
{
    return peer_key_decode(text, ret) < 0 ? verb_misused(v, "%s: expected a public key", text) : EXIT_DONE;
}

static void tell_self(const struct realm *r, bool as_json)
{
    tell_one(realm_self(r)->name, &realm_self(r)->tag, as_json);
}

static int run_init(const struct verb *v, const struct options *o, int argc, char **argv)
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    uint8_t *chain CLEANUP(cleanup_free) = NULL;
    unsigned long deployment = 0;
    char err[FILE_ERR];
    struct identity id;
    size_t len;
    int got;

    if (!number(v, "deployment", o->deployment, 1, TAG_DEPLOYMENT_MAX, &deployment))
        return EXIT_USAGE;
    if ((argc == 2) == (o->chain || o->key) || !o->chain != !o->key || (o->chain && o->deployment))
        return verb_misused(v, "expected the name of a root, or --key and --chain of a sub-realm");
    if (argc == 2) {
        got = realm_create_root(argv[0], argv[1], (unsigned)deployment, o->now_s, err);
    } else {
        if ((got = read_file(v, o->chain, &chain, &len)) != EXIT_DONE)
            return got;
        got = key_file_read(o->key, &id, err);
        if (got == 0)
            got = realm_create_sub(argv[0], &id, chain, len, o->now_s, err);
        identity_wipe(&id);
    }
    if (got < 0)
        return verb_fail(v, "%s", err);
    got = open_realm(v, argv[0], false, &r);
    if (got == EXIT_DONE)
        tell_self(r, o->json);
    return got;
}

static int run_delegate(const struct verb *v, const struct options *o, int argc, char **argv)
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    unsigned long bits = 0, days = DELEGATION_DAYS;
    struct peer_key key;
    char err[FILE_ERR];
    int got;

    if (!number(v, "days", o->days, 1, 36500, &days) || !number(v, "bits", o->bits, 4, 12, &bits))
        return EXIT_USAGE;
    if (bits % 4 != 0)
        return verb_misused(v, "--bits: found %lu, expected 4, 8 or 12", bits);
    if ((got = peer_key_of(v, argv[2], &key)) != EXIT_DONE || (got = open_realm(v, argv[0], true, &r)) != EXIT_DONE)
        return got;
    if (!bits)
        bits = realm_self(r)->range.bits + 4u;
    if (realm_delegate(r, argv[1], key.ed25519, (unsigned)bits, o->now_s, o->now_s + days * DAY_S, err) < 0)
        return verb_fail(v, "%s", err);
    tell(r, o->json);
    return write_chain(v, r, realm_said_at(r, realm_said_count(r) - 1)->name, argv[3]);
}

static uint8_t enrol_flags(const struct options *o)
{
    return (uint8_t)((o->realm_binds ? RECORD_FLAG_REALM_BINDS : 0) | (o->serves ? RECORD_FLAG_SERVES : 0));
}

static int run_enrol(const struct verb *v, const struct options *o, int argc, char **argv)
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    unsigned long days = 0;
    struct peer_key key;
    char err[FILE_ERR];
    int got;

    if (!number(v, "days", o->days, 1, 36500, &days))
        return EXIT_USAGE;
    if ((got = peer_key_of(v, argv[2], &key)) != EXIT_DONE || (got = open_realm(v, argv[0], true, &r)) != EXIT_DONE)
        return got;
    if (realm_enrol(r, argv[1], &key, enrol_flags(o), o->now_s, days ? o->now_s + days * DAY_S : 0, err) < 0)
        return verb_fail(v, "%s", err);
    tell(r, o->json);
    return write_chain(v, r, realm_said_at(r, realm_said_count(r) - 1)->name, argv[3]);
}

/* Lines of LEAF.TIER and KEY; empty ones and those that begin with # are passed over. An exit code. */
static int read_lines(const struct verb *v, const char *path, struct lines *ret)
{
    char *at, *line, *rest;
    size_t len, size = 0, number = 0;
    uint8_t *bytes = NULL;
    int got = read_file(v, path, &bytes, &len);

    if (got != EXIT_DONE)
        return got;
    ret->text = realloc(bytes, len + 1);
    if (!ret->text) {
        free(bytes);
        return verb_fail(v, "out of memory");
    }
    ret->text[len] = '\0';
    for (at = ret->text; (line = strsep(&at, "\n"));) {
        char *leaf = strtok_r(line, " \t\r", &rest), *key = leaf ? strtok_r(NULL, " \t\r", &rest) : NULL;
        struct realm_enrolment *e;

        number++;
        if (!leaf || leaf[0] == '#')
            continue;
        if (ret->count == size) {
            size = size ? 2 * size : 64;
            e = realloc(ret->list, size * sizeof(*e));
            if (!e)
                return verb_fail(v, "out of memory");
            ret->list = e;
        }
        e = &ret->list[ret->count++];
        *e = (struct realm_enrolment){ .leaf = leaf, .line = number };
        if (!key || strtok_r(NULL, " \t\r", &rest) || peer_key_decode(key, &e->key) < 0)
            return verb_fail(v, "%s:%zu: expected LEAF.TIER and a public key", path, number);
    }
    return EXIT_DONE;
}

/* A chain that can be written again at any time (realm export), so without waiting for the disk. */
static int write_chain_of(const struct verb *v, const struct realm *r, const char *folder, const char *leaf)
{
    char path[PATH_MAX], name[2 * NAME_SIZE], err[FILE_ERR];
    uint8_t *bytes CLEANUP(cleanup_free) = NULL;
    size_t len;
    FILE *f;
    bool ok;

    snprintf(name, sizeof(name), "%s.%s", leaf, realm_self(r)->name);
    if ((size_t)snprintf(path, sizeof(path), "%s/%s.chain", folder, leaf) >= sizeof(path))
        return verb_fail(v, "%s: too long", folder);
    if (realm_chain_of(r, name, &bytes, &len, err) < 0)
        return verb_fail(v, "%s", err);
    f = fopen(path, "we");
    if (!f)
        return verb_fail(v, "%s: %s", path, strerror(errno));
    ok = fwrite(bytes, 1, len, f) == len;
    return fclose(f) == 0 && ok ? EXIT_DONE : verb_fail(v, "%s: %s", path, strerror(errno));
}

static int run_enrol_many(const struct verb *v, const struct options *o, int argc, char **argv)
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    struct lines l CLEANUP(cleanup_lines) = { 0 };
    unsigned long days = 0;
    char err[FILE_ERR];
    int got;

    if (!number(v, "days", o->days, 1, 36500, &days))
        return EXIT_USAGE;
    if ((got = read_lines(v, argv[1], &l)) != EXIT_DONE || (got = open_realm(v, argv[0], true, &r)) != EXIT_DONE)
        return got;
    if (realm_enrol_many(r, l.list, l.count, argv[1], enrol_flags(o), o->now_s, days ? o->now_s + days * DAY_S : 0,
                         err) < 0)
        return verb_fail(v, "%s", err);
    for (size_t i = 0; i < l.count && argc == 3 && got == EXIT_DONE; i++)
        got = write_chain_of(v, r, argv[2], l.list[i].leaf);
    if (got == EXIT_DONE)
        printf("%zu names\n", l.count);
    return got;
}

static int run_revoke(const struct verb *v, const struct options *o, int argc, char **argv)
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    unsigned reason = REASON_UNSPECIFIED;
    char err[FILE_ERR];
    uint8_t *bytes = NULL;
    size_t len = 0;
    int got;

    while (o->reason && reason < REASON_COUNT && strcmp(record_reason_name(reason), o->reason) != 0)
        reason++;
    if (reason == REASON_COUNT)
        return verb_misused(v, "--reason: found %s, expected unspecified, key-compromised, superseded or left",
                            o->reason);
    if ((got = open_realm(v, argv[0], true, &r)) != EXIT_DONE)
        return got;
    if (realm_revoke(r, argv[1], (enum record_reason)reason, o->now_s, err) < 0)
        return verb_fail(v, "%s", err);
    tell_one(argv[1], &realm_said_at(r, realm_said_count(r) - 1)->subject, o->json);
    if (!o->out)
        return EXIT_DONE;
    got = realm_ended(r, &bytes, &len, err);
    return write_file(v, o->out, got, bytes, len, err);
}

/* rotate DIR: a root. rotate DIR --out: the first half. rotate DIR --chain: the second. rotate DIR STATEMENT [KEY]
 * CHAIN: what the realm above says to it. */
static int run_rotate(const struct verb *v, const struct options *o, int argc, char **argv)
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    uint8_t *bytes CLEANUP(cleanup_free) = NULL;
    uint8_t statement[RECORD_BYTES_MAX];
    unsigned long days = ALIAS_DAYS;
    const char *in = o->chain ? o->chain : argc > 1 ? argv[1] : NULL;
    struct peer_key key;
    char err[FILE_ERR];
    size_t len = 0;
    int got;

    if (!number(v, "days", o->days, 1, 3650, &days))
        return EXIT_USAGE;
    if (argc == 2 || (argc > 1) + !!o->out + !!o->chain > 1)
        return verb_misused(v, "expected DIR alone, with --out or --chain, or with STATEMENT [KEY] CHAIN");
    if (argc == 4 && (got = peer_key_of(v, argv[2], &key)) != EXIT_DONE)
        return got;
    if ((in && (got = read_file(v, in, &bytes, &len)) != EXIT_DONE) ||
        (got = open_realm(v, argv[0], true, &r)) != EXIT_DONE)
        return got;
    if (argc > 1) {
        got = realm_succeed(r, bytes, len, argc == 4 ? &key : NULL, o->now_s, o->now_s + days * DAY_S, err);
        if (got < 0)
            return verb_fail(v, "%s", err);
        tell(r, o->json);
        return write_chain(v, r, realm_said_at(r, realm_said_count(r) - 1)->name, argv[argc - 1]);
    }
    if (o->out) {
        got = realm_rotate_begin(r, o->now_s, statement, sizeof(statement), &len, err);
        if (got == 0)
            got = store_write(o->out, statement, len, err, sizeof(err));
        return got < 0 ? verb_fail(v, "%s", err) : EXIT_DONE;
    }
    got = o->chain ? realm_take_chain(r, bytes, len, o->now_s, err)
                   : realm_rotate_root(r, o->now_s, o->now_s + days * DAY_S, err);
    if (got < 0)
        return verb_fail(v, "%s", err);
    tell_self(r, o->json);
    return EXIT_DONE;
}

/* PREFIX=CLASS, where any is all of us. */
static bool rule_of(const struct verb *v, const char *text, struct record_rule *ret)
{
    static const char *const classes[] = {
        [CLASS_DENY] = "none", [CLASS_AGENT] = "agent", [CLASS_COARSE] = "coarse", [CLASS_FULL] = "full"
    };
    const char *equals = strchr(text, '=');
    char prefix[TAG_PREFIX_STRLEN];

    if (!equals || (size_t)snprintf(prefix, sizeof(prefix), "%.*s", (int)(equals - text), text) >= sizeof(prefix) ||
        tag_prefix_parse(strcmp(prefix, "any") == 0 ? "2001:30::/28" : prefix, &ret->who) < 0) {
        verb_misused(v, "%s: expected PREFIX=CLASS, as 2001:3f:1c0::/56=full or any=agent", text);
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        if (strcmp(equals + 1, classes[i]) == 0) {
            ret->answer = (uint8_t)i;
            return true;
        }
    }
    verb_misused(v, "%s: found class %s, expected none, agent, coarse or full", text, equals + 1);
    return false;
}

static int run_policy(const struct verb *v, const struct options *o, int argc, char **argv)
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    struct record_rule rules[RECORD_RULES_MAX];
    const char *who = strchr(argv[1], '=') ? NULL : argv[1];
    int first = who ? 2 : 1, got;
    unsigned long days = 0;
    char err[FILE_ERR];

    if (!number(v, "days", o->days, 1, 3650, &days))
        return EXIT_USAGE;
    if (argc - first > RECORD_RULES_MAX)
        return verb_misused(v, "found %d rules, expected %d at most", argc - first, RECORD_RULES_MAX);
    for (int i = first; i < argc; i++)
        if (!rule_of(v, argv[i], &rules[i - first]))
            return EXIT_USAGE;
    if ((got = open_realm(v, argv[0], true, &r)) != EXIT_DONE)
        return got;
    got = realm_policy(r, who, rules, (size_t)(argc - first), o->now_s, days ? o->now_s + days * DAY_S : 0, err);
    if (got < 0)
        return verb_fail(v, "%s", err);
    return EXIT_DONE;
}

static int run_export(const struct verb *v, const struct options *o, int argc, char **argv)
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    char err[FILE_ERR];
    uint8_t *bytes = NULL;
    size_t len = 0;
    int got = open_realm(v, argv[0], false, &r);

    if (got != EXIT_DONE)
        return got;
    if (argc == 3)
        return write_chain(v, r, argv[1], argv[2]);
    got = realm_ended(r, &bytes, &len, err);
    return write_file(v, argv[1], got, bytes, len, err);
}

static const char *standing(const struct realm_said *s, uint64_t now_s)
{
    return !s->in_force ? "ended" : s->not_after_s && s->not_after_s < now_s ? "expired" : "in force";
}

static void day_of(uint64_t s, char out[16])
{
    time_t t = (time_t)s;
    struct tm tm;

    if (!s || !gmtime_r(&t, &tm) || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
        strcpy(out, "-");
}

static json_t *said_json(const struct realm_said *s, uint64_t now_s)
{
    char text[TAG_STRLEN];

    return json_pack("{s:s, s:o, s:s, s:s, s:I}", "type", record_type_name(s->type), "name", json_words(s->name), "tag",
                     tag_format(&s->subject, text), "state", standing(s, now_s), "not_after",
                     (json_int_t)s->not_after_s);
}

static int run_show(const struct verb *v, const struct options *o, int argc, char **argv)
{
    struct realm *r CLEANUP(cleanup_realm) = NULL;
    const struct chain_end *self;
    struct tag_prefix p;
    char tag[TAG_STRLEN], prefix[TAG_PREFIX_STRLEN], day[16];
    int got = open_realm(v, argv[0], false, &r);

    if (got != EXIT_DONE)
        return got;
    self = realm_self(r);
    p = tag_prefix_realm(tag_raa(&self->tag), TAG_TIER_HOST, &self->range);
    if (o->json) {
        json_t *array = json_array();
        CLEANUP(cleanup_json)
        json_t *doc = json_pack("{s:o, s:s, s:s, s:i, s:I, s:I, s:I, s:o}", "name", json_words(self->name), "tag",
                                tag_format(&self->tag, tag), "hosts", tag_prefix_format(&p, prefix), "links",
                                (int)self->links, "entries", (json_int_t)realm_entries(r), "torn_bytes",
                                (json_int_t)realm_torn(r), "not_after", (json_int_t)self->not_after_s, "said", array);

        for (size_t i = 0; i < realm_said_count(r); i++)
            json_array_append_new(array, said_json(realm_said_at(r, i), o->now_s));
        json_print(doc);
        return EXIT_DONE;
    }
    day_of(self->not_after_s, day);
    printf("realm    %s\ntag      %s\nhosts    %s\nuntil    %s\nentries  %" PRIu64 "\n", self->name,
           tag_format(&self->tag, tag), tag_prefix_format(&p, prefix), day, realm_entries(r));
    if (realm_torn(r))
        printf("torn     %" PRIu64 " bytes of an entry that was never finished\n", realm_torn(r));
    for (size_t i = 0; i < realm_said_count(r); i++) {
        const struct realm_said *s = realm_said_at(r, i);

        day_of(s->not_after_s, day);
        printf("%-12s  %-9s  %-10s  %-39s  %s\n", record_type_name(s->type), standing(s, o->now_s), day,
               tag_format(&s->subject, tag), s->name);
    }
    return EXIT_DONE;
}

static int run_status(const struct verb *v, const struct options *o, int argc, char **argv)
{
    return verb_realm_status(v, argc > 0 ? argv[0] : NULL, o->json);
}

static const struct sub subs[] = {
    { "init", "DIR NAME | DIR --key FILE --chain FILE", "deployment key chain json ", 1, 2, true, run_init },
    { "delegate", "DIR LABEL KEY CHAIN", "bits days json ", 4, 4, true, run_delegate },
    { "enrol", "DIR LEAF.TIER KEY CHAIN", "days realm-binds serves json ", 4, 4, true, run_enrol },
    { "enrol-many", "DIR FILE [FOLDER]", "days realm-binds serves ", 2, 3, true, run_enrol_many },
    { "policy", "DIR [NAME|TAG] [PREFIX=CLASS...]", "days ", 2, 2 + RECORD_RULES_MAX, true, run_policy },
    { "revoke", "DIR NAME|TAG", "reason out json ", 2, 2, true, run_revoke },
    { "rotate", "DIR [STATEMENT [KEY] CHAIN]", "chain days out json ", 1, 4, true, run_rotate },
    { "export", "DIR [NAME|TAG] FILE", "", 2, 3, false, run_export },
    { "show", "DIR", "json ", 1, 1, false, run_show },
    { "status", "[SOCKET]", "json ", 0, 1, false, run_status },
};

/* The first option that was given and that the sub-verb does not have, or NULL. */
static const char *misplaced(const struct options *o, const struct sub *sub)
{
    const struct {
        const char *name;
        bool given;
    } all[] = {
        { "deployment ", o->deployment },
        { "key ", o->key },
        { "chain ", o->chain },
        { "bits ", o->bits },
        { "days ", o->days },
        { "reason ", o->reason },
        { "out ", o->out },
        { "json ", o->json },
        { "realm-binds ", o->realm_binds },
        { "serves ", o->serves },
    };

    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (all[i].given && !strstr(sub->options, all[i].name))
            return all[i].name;
    return NULL;
}

int verb_realm(const struct verb *v, int argc, char **argv)
{
    struct options o = { .now_s = clock_wall_s() };
    const struct verb_option options[] = {
        { "deployment", &o.deployment, NULL },
        { "key", &o.key, NULL },
        { "chain", &o.chain, NULL },
        { "bits", &o.bits, NULL },
        { "days", &o.days, NULL },
        { "reason", &o.reason, NULL },
        { "out", &o.out, NULL },
        { "json", NULL, &o.json },
        { "realm-binds", NULL, &o.realm_binds },
        { "serves", NULL, &o.serves },
        { NULL, NULL, NULL },
    };
    int n = verb_options(v, argc, argv, options);

    if (n < 0)
        return EXIT_USAGE;
    for (size_t i = 0; n > 0 && i < ARRAY_LEN(subs); i++) {
        const char *option;

        if (strcmp(argv[1], subs[i].name) != 0)
            continue;
        if (n - 1 < subs[i].min || n - 1 > subs[i].max)
            return verb_misused(v, "found %d arguments, expected %s %s", n - 1, subs[i].name, subs[i].usage);
        if ((option = misplaced(&o, &subs[i])))
            return verb_misused(v, "found --%.*s, which is no option of %s", (int)strcspn(option, " "), option,
                                subs[i].name);
        if (subs[i].signs && !o.now_s)
            return verb_fail(v, "the clock of this machine is not set, and what is signed says when");
        return subs[i].run(v, &o, n - 1, argv + 2);
    }
    return n > 0 ? verb_misused(v,
                                "found %s, expected init, delegate, enrol, enrol-many, policy, revoke, rotate, export, "
                                "show or status",
                                argv[1])
                 : verb_misused(
                       v, "expected init, delegate, enrol, enrol-many, policy, revoke, rotate, export, show or status");
}
