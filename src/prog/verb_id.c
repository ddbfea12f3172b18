/* prog/verb_id.c - id: keys, and what a chain of records proves of one.
 *
 * check takes nothing on faith but the root's key. What has ended before its time is in files of records (`hawser realm
 * export`), whose own chains are looked up in all that was given. */
#include "base/text.h"
#include "ident/suite.h"
#include "prog/json_client.h"
#include "prog/realm.h"
#include "prog/verb.h"
#include "sys/clock.h"
#include "sys/store.h"

#include <errno.h>
#include <stdio.h>

#define FILES_MAX 16      /* chosen: --records; a realm has one */
#define RECORDS_MAX 65536 /* chosen: of all files */

struct bundle {
    uint8_t *files[FILES_MAX + 1];
    size_t files_count;
    struct slice *records;
    size_t count;
};

static void cleanup_bundle(struct bundle *b)
{
    for (size_t i = 0; i < b->files_count; i++)
        free(b->files[i]);
    free(b->records);
}

/* Adds a file's records. An exit code. */
static int load(const struct verb *v, const char *path, struct bundle *b)
{
    size_t len, count = RECORDS_MAX - b->count;
    char err[FILE_ERR];

    if (!b->records && !(b->records = calloc(RECORDS_MAX, sizeof(*b->records))))
        return verb_fail(v, "out of memory");
    if (store_read(path, &b->files[b->files_count], &len, err, sizeof(err)) < 0)
        return verb_fail(v, "%s", err);
    b->files_count++;
    if (records_split(path, b->files[b->files_count - 1], len, b->records + b->count, &count, err) < 0)
        return verb_fail(v, "%s", err);
    b->count += count;
    return EXIT_DONE;
}

/* The records from the root to the one of that tag, as the bundle has them. Their number, 0: not there. */
static size_t path_to(const struct bundle *b, const struct tag *tag, struct slice out[CHAIN_LINKS_MAX])
{
    struct slice back[CHAIN_LINKS_MAX];
    struct tag want = *tag;
    size_t n = 0;

    while (n < CHAIN_LINKS_MAX) {
        struct record r = { 0 };
        bool found = false;

        for (size_t i = b->count; i-- > 0 && !found;) {
            struct record_bytes bytes;
            struct record_error e;

            if (record_decode(b->records[i].data, b->records[i].len, &r, &bytes, &e) < 0)
                continue;
            found = r.type <= RECORD_REGISTRATION && tag_equal(&r.subject, &want);
            if (found)
                back[n++] = b->records[i];
        }
        if (!found)
            return 0;
        if (r.type == RECORD_ROOT)
            break;
        want = r.issuer;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = back[n - 1 - i];
    return n;
}

/* Tells what was refused. EXIT_FAILED. */
static int refused(const struct verb *v, const char *what, const struct record_error *e, bool as_json)
{
    char why[RECORD_ERROR_STRLEN];

    record_error_format(e, why);
    if (as_json) {
        CLEANUP(cleanup_json)
        json_t *doc = json_pack("{s:b, s:s, s:i, s:s}", "ok", 0, "refused", record_fault_name(e->fault), "link",
                                (int)e->link, "text", why);

        json_print(doc);
        return EXIT_FAILED;
    }
    return verb_fail(v, "%s: link %u: %s", what, e->link + 1u, why);
}

/* Takes in the revocations and successions of b[from..]. An exit code. */
static int take_ended(const struct verb *v, struct trust *t, const struct bundle *b, size_t from, uint64_t now_s,
                      bool as_json)
{
    struct slice links[CHAIN_LINKS_MAX]; /* to `speaker`, which is the same for most */
    struct tag speaker = { 0 };
    size_t n = 0;

    for (size_t i = from; i < b->count; i++) {
        struct record_bytes bytes;
        struct record_error e = { 0 };
        struct chain_end issuer;
        struct record r;
        int got = record_decode(b->records[i].data, b->records[i].len, &r, &bytes, &e);

        if (got == 0 && r.type != RECORD_REVOCATION && r.type != RECORD_SUCCESSOR)
            continue;
        if (got == 0) {
            if (n == 0 || !tag_equal(&speaker, &r.issuer)) {
                speaker = r.issuer;
                n = path_to(b, &speaker, links);
            }
            got = trust_verify(t, links, n, now_s, &issuer, &e);
        }
        if (got == 0)
            got = trust_apply(t, &issuer, b->records[i].data, b->records[i].len, &e);
        if (got == -EBADMSG)
            return refused(v, "a record of what has ended", &e, as_json);
        if (got < 0)
            return verb_fail(v, "%s", strerror(-got));
    }
    return EXIT_DONE;
}

/* base64 of 32 bytes, or a file that begins with a root's record. An exit code. */
static int root_key(const struct verb *v, const char *text, uint8_t ret[IDENT_KEY_LEN])
{
    CLEANUP(cleanup_bundle) struct bundle b = { 0 };
    struct record_bytes bytes;
    struct record_error e;
    struct record r;
    int got;

    if (strlen(text) == 44 && base64_decode(text, ret, IDENT_KEY_LEN) == IDENT_KEY_LEN)
        return EXIT_DONE;
    if ((got = load(v, text, &b)) != EXIT_DONE)
        return got;
    if (record_decode(b.records[0].data, b.records[0].len, &r, &bytes, &e) < 0 || r.type != RECORD_ROOT)
        return verb_fail(v, "%s: expected the record of a root", text);
    memcpy(ret, r.key, IDENT_KEY_LEN);
    return EXIT_DONE;
}

static void tell_end(const struct chain_end *end, const struct trust *t, bool as_json)
{
    char tag[TAG_STRLEN], now[TAG_STRLEN];
    struct tag current = trust_current(t, &end->tag);

    tag_format(&end->tag, tag);
    tag_format(&current, now);
    if (as_json) {
        CLEANUP(cleanup_json)
        json_t *doc = json_pack("{s:b, s:o, s:s, s:s, s:b, s:i, s:I}", "ok", 1, "name", json_words(end->name), "tag",
                                tag, "current_tag", now, "realm", end->is_realm, "links", (int)end->links, "not_after",
                                (json_int_t)end->not_after_s);

        json_print(doc);
        return;
    }
    printf("ok %s %s\n", end->name, tag);
    if (!tag_equal(&current, &end->tag))
        printf("its key was changed: %s until then is an alias of %s\n", tag, now);
}

struct options {
    const char *root, *records[FILES_MAX], *at;
    bool json;
};

static int run_check(const struct verb *v, const struct options *o, char **argv)
{
    CLEANUP(cleanup_bundle) struct bundle b = { 0 };
    const struct rng kernel = sys_rng();
    uint64_t now_s = clock_wall_s();
    uint8_t key[IDENT_KEY_LEN];
    struct record_error e = { 0 };
    struct chain_end end;
    struct trust *t;
    size_t links;
    char *rest;
    int got;

    if (!o->root)
        return verb_misused(v, "expected --root: whom to believe");
    if (o->at) {
        now_s = strtoull(o->at, &rest, 10);
        if (rest == o->at || *rest || now_s > RECORD_TIME_MAX)
            return verb_misused(v, "--at: found %s, expected seconds since 1970", o->at);
    }
    if ((got = root_key(v, o->root, key)) != EXIT_DONE || (got = load(v, argv[0], &b)) != EXIT_DONE)
        return got;
    links = b.count;
    for (size_t i = 0; i < FILES_MAX && o->records[i]; i++)
        if ((got = load(v, o->records[i], &b)) != EXIT_DONE)
            return got;
    t = trust_new(key, &(struct trust_options){
                           .cached_max = TRUST_CACHED_DEFAULT, .facts_max = TRUST_FACTS_DEFAULT, .rng = &kernel });
    if (!t)
        return verb_fail(v, "out of memory");
    got = take_ended(v, t, &b, links, now_s, o->json);
    if (got == EXIT_DONE) {
        got = trust_verify(t, b.records, links, now_s, &end, &e);
        if (got == 0)
            tell_end(&end, t, o->json);
        else
            got = got == -EBADMSG ? refused(v, argv[0], &e, o->json) : verb_fail(v, "%s", strerror(-got));
    }
    trust_free(t);
    return got;
}

/* A key file: what belongs to it. */
static int show_key(const struct verb *v, const char *path, bool as_json)
{
    char err[FILE_ERR], public[KEY_TEXT_SIZE], tag[TAG_STRLEN], plain[48];
    struct identity id;
    struct peer_key k;
    struct tag t;

    if (key_file_read(path, &id, err) < 0)
        return verb_fail(v, "%s", err);
    identity_peer_key(&id, suite_supported(), &k);
    identity_wipe(&id);
    if (tag_make(k.ed25519, TAG_RAA_DEFAULT, TAG_HDA_DEFAULT, &t) < 0)
        return verb_fail(v, "out of memory");
    peer_key_encode(&k, public);
    base64_encode(k.ed25519, IDENT_KEY_LEN, plain);
    tag_format(&t, tag);
    if (as_json) {
        CLEANUP(cleanup_json)
        json_t *doc = json_pack("{s:s, s:s, s:s}", "public", public, "ed25519", plain, "tag", tag);

        json_print(doc);
    } else {
        printf("public   %s\ned25519  %s\ntag      %s (before it is enrolled)\n", public, plain, tag);
    }
    return EXIT_DONE;
}

/* Records, as they are: nothing is verified. */
static int show_records(const struct verb *v, const char *path, bool as_json)
{
    CLEANUP(cleanup_bundle) struct bundle b = { 0 };
    CLEANUP(cleanup_json) json_t *array = json_array();
    int got = load(v, path, &b);

    for (size_t i = 0; got == EXIT_DONE && i < b.count; i++) {
        char issuer[TAG_STRLEN], subject[TAG_STRLEN], why[RECORD_ERROR_STRLEN];
        struct record_bytes bytes;
        struct record_error e;
        struct record r;

        if (record_decode(b.records[i].data, b.records[i].len, &r, &bytes, &e) < 0)
            return verb_fail(v, "%s: record %zu: %s", path, i + 1, record_error_format(&e, why));
        tag_format(&r.issuer, issuer);
        tag_format(&r.subject, subject);
        if (as_json)
            json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:I}", "type",
                                                   record_type_name(r.type), "issuer", issuer, "subject", subject,
                                                   "name", json_words(r.name), "seq", (json_int_t)r.seq, "issued",
                                                   (json_int_t)r.issued_s, "not_after", (json_int_t)r.not_after_s));
        else
            printf("%-12s  %-39s  by %-39s  %s\n", record_type_name(r.type), subject, issuer, r.name);
    }
    if (got == EXIT_DONE && as_json)
        json_print(array);
    return got;
}

static int run_show(const struct verb *v, const struct options *o, char **argv)
{
    FILE *f = fopen(argv[0], "re");
    int first = f ? getc(f) : EOF;

    if (!f)
        return verb_fail(v, "%s: %s", argv[0], strerror(errno));
    fclose(f);
    /* A record begins with the head of an array of 4. */
    return first == 0x84 ? show_records(v, argv[0], o->json) : show_key(v, argv[0], o->json);
}

static int run_new(const struct verb *v, const struct options *o, char **argv)
{
    const struct rng kernel = sys_rng();
    char err[FILE_ERR];
    struct identity id;
    int got;

    if (identity_generate(&id, &kernel) < 0)
        return verb_fail(v, "out of memory");
    got = key_file_write(argv[0], &id, err);
    identity_wipe(&id);
    return got < 0 ? verb_fail(v, "%s", err) : show_key(v, argv[0], o->json);
}

/* OLD NEW CHAIN STATEMENT */
static int run_rotate(const struct verb *v, const struct options *o, char **argv)
{
    CLEANUP(cleanup_bundle) struct bundle b = { 0 };
    uint8_t statement[RECORD_BYTES_MAX];
    struct identity from = { 0 }, to = { 0 };
    struct record_bytes bytes;
    struct record_error e;
    char err[FILE_ERR];
    struct record r;
    size_t len;
    int got = load(v, argv[2], &b);

    if (got != EXIT_DONE)
        return got;
    if (record_decode(b.records[b.count - 1].data, b.records[b.count - 1].len, &r, &bytes, &e) < 0)
        return verb_fail(v, "%s: expected a chain", argv[2]);
    got = key_file_read(argv[0], &from, err);
    if (got == 0)
        got = key_file_read(argv[1], &to, err);
    if (got == 0)
        got = realm_statement(&from, &to, &r.subject, clock_wall_s(), statement, sizeof(statement), &len, err);
    if (got == 0)
        got = store_write(argv[3], statement, len, err, sizeof(err));
    identity_wipe(&from);
    identity_wipe(&to);
    return got < 0 ? verb_fail(v, "%s", err) : EXIT_DONE;
}

static const struct {
    const char *name, *usage;
    int arguments;
    int (*run)(const struct verb *v, const struct options *o, char **argv);
} subs[] = {
    { "new", "FILE", 1, run_new },
    { "show", "FILE", 1, run_show },
    { "check", "CHAIN", 1, run_check },
    { "rotate", "OLD-KEY NEW-KEY CHAIN STATEMENT", 4, run_rotate },
};

int verb_id(const struct verb *v, int argc, char **argv)
{
    struct options o = { 0 };
    struct verb_option options[FILES_MAX + 4] = {
        { "root", &o.root, NULL },
        { "at", &o.at, NULL },
        { "json", NULL, &o.json },
    };
    int n;

    if (argc > 1 && strcmp(argv[1], "attach") == 0)
        return verb_attach(v, argc - 1, argv + 1);
    for (size_t i = 0; i < FILES_MAX; i++)
        options[3 + i] = (struct verb_option){ "records", &o.records[i], NULL };
    n = verb_options(v, argc, argv, options);
    if (n < 0)
        return EXIT_USAGE;
    for (size_t i = 0; n > 0 && i < ARRAY_LEN(subs); i++) {
        if (strcmp(argv[1], subs[i].name) != 0)
            continue;
        if (subs[i].run != run_check && (o.root || o.at || o.records[0]))
            return verb_misused(v, "found --root, --at or --records, which are options of check");
        if (subs[i].run == run_rotate && o.json)
            return verb_misused(v, "found --json, which is no option of rotate");
        if (n - 1 != subs[i].arguments)
            return verb_misused(v, "found %d arguments, expected %s %s", n - 1, subs[i].name, subs[i].usage);
        return subs[i].run(v, &o, argv + 2);
    }
    return n > 0 ? verb_misused(v, "found %s, expected new, show, check, rotate or attach", argv[1])
                 : verb_misused(v, "expected new, show, check, rotate or attach");
}
