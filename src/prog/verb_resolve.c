/* prog/verb_resolve.c - resolve: where a name or tag is attached, and who says so. */
#include "prog/config.h"
#include "prog/json_client.h"
#include "prog/key_file.h"
#include "prog/lookup.h"
#include "prog/verb.h"
#include "sys/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#define ERRORS_SIZE 4096
#define MANAGERS_MAX 8 /* on the command line; a configuration may have more */

struct options {
    const char *root, *as, *chain, *kind, *config, *managers[MANAGERS_MAX];
    bool trace, json;
};

/* One question and what comes of it. */
struct resolving {
    const struct verb *v;
    const struct options *o;
    struct lookup *lookup;
    json_t *steps; /* with --json --trace */
    int code;
};

static void day_and_time(uint64_t age_s, char out[32])
{
    if (age_s < 120)
        snprintf(out, 32, "%" PRIu64 " s", age_s);
    else if (age_s < 7200)
        snprintf(out, 32, "%" PRIu64 " min", age_s / 60);
    else if (age_s < 172800)
        snprintf(out, 32, "%" PRIu64 " h", age_s / 3600);
    else
        snprintf(out, 32, "%" PRIu64 " days", age_s / 86400);
}

static const char *class_name(uint8_t granted)
{
    static const char *const names[] = { "deny", "agent", "coarse", "full" };

    return names[granted & 3];
}

/* --- steps --- */

static const char *step_word(const struct resolver_step *s)
{
    switch (s->type) {
    case RESOLVER_STEP_ASKED:
        return "asked";
    case RESOLVER_STEP_INTRODUCED:
        return "introduced";
    case RESOLVER_STEP_ANSWERED:
        return mapping_status_name(s->status);
    case RESOLVER_STEP_SILENT:
        return "silent";
    case RESOLVER_STEP_CACHED:
        return "known";
    }
    return "?";
}

static void on_step(void *context, const struct resolver_step *s)
{
    struct resolving *r = context;
    char at[ENDPOINT_STRLEN];
    json_t *doc;

    endpoint_format(&s->manager, at);
    if (!r->o->json) {
        printf("%-10s %s manager of %s", step_word(s), at, s->realm);
        if (s->type != RESOLVER_STEP_ASKED && s->type != RESOLVER_STEP_INTRODUCED)
            printf(", %.1f ms", (double)s->took / 1000);
        if (s->to[0])
            printf(", to %s", s->to);
        if (s->why != RESOLVER_WHY_NONE)
            printf(", not taken: %s", resolver_why_name(s->why));
        if (s->fault != RECORD_SOUND)
            printf(": %s", record_fault_name(s->fault));
        putchar('\n');
        return;
    }
    doc = json_pack("{s:s, s:s, s:o, s:f}", "step", step_word(s), "manager", at, "realm", json_words(s->realm), "ms",
                    (double)s->took / 1000);
    if (s->to[0])
        json_object_set_new(doc, "to", json_words(s->to));
    if (s->why != RESOLVER_WHY_NONE)
        json_object_set_new(doc, "not_taken", json_string(resolver_why_name(s->why)));
    if (s->fault != RECORD_SOUND)
        json_object_set_new(doc, "refused", json_string(record_fault_name(s->fault)));
    json_array_append_new(r->steps, doc);
}

/* --- links --- */

/* Who signed a record: the name of the link whose subject that is. */
static const char *signer(const struct resolver_result *res, const struct record *rec, struct record *by)
{
    struct record_error err;
    struct record_bytes b;

    for (size_t i = 0; i < res->chain_count; i++)
        if (record_decode(res->chain[i].data, res->chain[i].len, by, &b, &err) == 0 &&
            tag_equal(&by->subject, &rec->issuer))
            return tag_equal(&rec->issuer, &rec->subject) ? "itself" : by->name;
    return "?";
}

/* One link of the chain, or the binding: what, of whom, by whom, how old. */
static json_t *tell_link(const struct resolving *r, const struct resolver_result *res, const struct slice *bytes)
{
    struct record rec, by;
    struct record_error err;
    struct record_bytes b;
    char tag[TAG_STRLEN], age[32];
    uint64_t now_s = clock_wall_s();
    const char *name;

    if (record_decode(bytes->data, bytes->len, &rec, &b, &err) < 0)
        return NULL;
    tag_format(&rec.subject, tag);
    name = rec.name[0] ? rec.name : res->subject.name;
    if (r->o->json)
        return json_pack("{s:s, s:o, s:s, s:o, s:I, s:I, s:I}", "type", record_type_name(rec.type), "name",
                         json_words(name), "tag", tag, "signed_by", json_words(signer(res, &rec, &by)), "seq",
                         (json_int_t)rec.seq, "issued", (json_int_t)rec.issued_s, "not_after",
                         (json_int_t)rec.not_after_s);
    printf("%-12s %s %s, signed by %s", record_type_name(rec.type), name, tag, signer(res, &rec, &by));
    if (rec.issued_s && now_s >= rec.issued_s) {
        day_and_time(now_s - rec.issued_s, age);
        printf(", %s old", age);
    }
    if (rec.type == RECORD_BINDING) {
        day_and_time(res->age_s, age);
        printf(", sequence %" PRIu64 ", told %s ago, class %s", rec.seq, age, class_name(rec.answer));
    }
    putchar('\n');
    return NULL;
}

static void tell_links(const struct resolving *r, const struct resolver_result *res, json_t *doc)
{
    json_t *links = doc ? json_array() : NULL;

    for (size_t i = 0; i < res->chain_count; i++) {
        json_t *link = tell_link(r, res, &res->chain[i]);

        if (links)
            json_array_append_new(links, link);
    }
    if (links) {
        json_array_append_new(links, tell_link(r, res, &res->record));
        json_object_set_new(doc, "links", links);
    } else {
        tell_link(r, res, &res->record);
    }
}

/* --- the answer --- */

static json_t *tell_target(const struct record_target *t, bool as_json)
{
    char text[ENDPOINT_STRLEN];
    const char *transport = !t->is_locator ? "" : t->transport ? "tcp" : "udp";

    if (t->is_locator)
        endpoint_format(&t->locator, text);
    else
        tag_format(&t->tag, text);
    if (as_json)
        return json_pack("{s:s, s:s, s:i, s:i}", t->is_locator ? "locator" : "tag", text, "transport", transport,
                         "priority", (int)t->priority, "weight", (int)t->weight);
    printf("  %s%s%s priority %u weight %u\n", text, *transport ? " " : "", transport, t->priority, t->weight);
    return NULL;
}

static void tell_found(struct resolving *r, const struct resolver_result *res)
{
    struct record_error err;
    struct record_bytes b;
    struct record rec;
    char tag[TAG_STRLEN];

    if (record_decode(res->record.data, res->record.len, &rec, &b, &err) < 0)
        return;
    tag_format(&res->subject.tag, tag);
    if (r->o->json) {
        json_t *targets = json_array();
        CLEANUP(cleanup_json)
        json_t *doc = json_pack("{s:s, s:o, s:s, s:s, s:s, s:b, s:I, s:I, s:o}", "outcome", "found", "name",
                                json_words(res->subject.name), "tag", tag, "kind", record_kind_name(rec.kind), "class",
                                class_name(res->granted), "stale", res->stale, "lease_left", (json_int_t)res->left_s,
                                "fresh", (json_int_t)res->fresh_s, "targets", targets);

        for (size_t i = 0; i < rec.targets_count; i++)
            json_array_append_new(targets, tell_target(&rec.targets[i], true));
        tell_links(r, res, doc);
        if (r->steps)
            json_object_set(doc, "steps", r->steps);
        json_print(doc);
        return;
    }
    if (r->o->trace)
        tell_links(r, res, NULL);
    printf("%s %s %s, class %s, lease %u s%s\n", res->subject.name, tag, record_kind_name(rec.kind),
           class_name(res->granted), res->left_s, res->stale ? ", stale: no manager answers" : "");
    for (size_t i = 0; i < rec.targets_count; i++)
        tell_target(&rec.targets[i], false);
    if (rec.targets_count == 0)
        puts("  attached nowhere");
}

static void tell_other(struct resolving *r, const struct resolver_result *res)
{
    const bool none = res->outcome == RESOLVER_NONE;

    r->code = EXIT_FAILED;
    if (r->o->json) {
        CLEANUP(cleanup_json) json_t *doc = json_pack("{s:s}", "outcome", none ? "none" : "failed");

        if (!none)
            json_object_set_new(doc, "why", json_string(resolver_why_name(res->why)));
        if (res->fault != RECORD_SOUND)
            json_object_set_new(doc, "refused", json_string(record_fault_name(res->fault)));
        if (r->steps)
            json_object_set(doc, "steps", r->steps);
        json_print(doc);
    } else if (none) {
        verb_fail(r->v, "no such name, or nothing that you may know");
    } else {
        verb_fail(r->v, "%s%s%s", resolver_why_text(res->why), res->fault != RECORD_SOUND ? ": " : "",
                  res->fault != RECORD_SOUND ? record_fault_name(res->fault) : "");
    }
}

static void on_done(void *context, const struct resolver_result *res)
{
    struct resolving *r = context;

    if (res->outcome == RESOLVER_FOUND)
        tell_found(r, res);
    else
        tell_other(r, res);
    lookup_close(r->lookup);
}

/* --- what is asked, and of whom --- */

/* The configuration's part of the options. An exit code. */
static int take_config(const struct verb *v, const struct config *c, struct lookup_options *l)
{
    if (!c->names.root)
        return verb_fail(v, "the configuration has no [Names] section");
    l->root = c->names.root;
    l->chain = c->names.chain;
    l->self = &c->identity;
    for (; l->managers_count < c->names.managers.count && l->managers_count < RESOLVER_MANAGERS_MAX;
         l->managers_count++)
        l->managers[l->managers_count] = c->names.managers.items[l->managers_count].at;
    return EXIT_DONE;
}

static int take_options(const struct verb *v, const struct options *o, struct identity *self, struct lookup_options *l)
{
    char err[FILE_ERR];

    if (o->root)
        l->root = o->root;
    if (o->chain)
        l->chain = o->chain;
    if (o->managers[0])
        l->managers_count = 0;
    for (size_t i = 0; i < MANAGERS_MAX && o->managers[i]; i++)
        if (endpoint_parse(o->managers[i], CONFIG_REALM_PORT, &l->managers[l->managers_count++]) < 0)
            return verb_misused(v, "--manager: found %s, expected an address and a port", o->managers[i]);
    if (o->as) {
        if (key_file_read(o->as, self, err) < 0)
            return verb_fail(v, "%s", err);
        l->self = self;
        l->chain = o->chain; /* that of the configuration is of another key */
    }
    if (!l->root || !l->managers_count)
        return verb_misused(v, "expected --root and --manager, or --config");
    return EXIT_DONE;
}

/* A kind by its name. KIND_COUNT: none. */
static unsigned kind_named(const char *name)
{
    unsigned kind = 0;

    while (kind < KIND_COUNT && strcmp(record_kind_name(kind), name) != 0)
        kind++;
    return kind;
}

/* A name or a tag. An exit code. */
static int take_subject(const struct verb *v, const struct options *o, const char *text, struct name *name,
                        struct resolver_question *q)
{
    struct name_error err;

    if (tag_parse(text, &q->tag) == 0) {
        q->kind = (uint8_t)resolver_kind_of(tag_tier(&q->tag));
    } else if (name_parse(text, strlen(text), name, &err) == 0) {
        q->name = name;
        q->kind = (uint8_t)resolver_kind_of(name->tier);
    } else {
        return verb_misused(v, "%s: character %zu: %s", text, err.at + 1, err.why);
    }
    if (o->kind) {
        q->kind = (uint8_t)kind_named(o->kind);
        if (q->kind == KIND_COUNT)
            return verb_misused(v,
                                "--kind: found %s, expected host-locator, user-host, data-host, realm-realm, "
                                "service-router or group-member",
                                o->kind);
    }
    q->traced = o->trace;
    return EXIT_DONE;
}

static void cleanup_config(struct config **c)
{
    config_free(*c);
}

static int ask(struct resolving *r, const struct lookup_options *l, const struct resolver_question *q)
{
    char err[LOOKUP_ERR];
    uv_loop_t loop;
    int got;

    uv_loop_init(&loop);
    got = lookup_new(&loop, l, &r->lookup, err);
    if (got < 0) {
        r->code = verb_fail(r->v, "%s", err);
    } else {
        got = lookup_ask(r->lookup, q, on_done, r->o->trace ? on_step : NULL, r);
        if (got < 0) {
            r->code = verb_fail(r->v, "%s", strerror(-got));
            lookup_close(r->lookup);
        }
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return r->code;
}

int verb_resolve(const struct verb *v, int argc, char **argv)
{
    struct options o = { 0 };
    const struct verb_option options[] = {
        { "root", &o.root, NULL },           { "as", &o.as, NULL },
        { "chain", &o.chain, NULL },         { "kind", &o.kind, NULL },
        { "config", &o.config, NULL },       { "manager", &o.managers[0], NULL },
        { "manager", &o.managers[1], NULL }, { "manager", &o.managers[2], NULL },
        { "manager", &o.managers[3], NULL }, { "manager", &o.managers[4], NULL },
        { "manager", &o.managers[5], NULL }, { "manager", &o.managers[6], NULL },
        { "manager", &o.managers[7], NULL }, { "trace", NULL, &o.trace },
        { "json", NULL, &o.json },           { NULL, NULL, NULL },
    };
    struct lookup_options l = { .class_max = CLASS_FULL, .questions_max = 16 };
    CLEANUP(cleanup_config) struct config *c = NULL;
    struct resolving r = { .v = v, .o = &o };
    struct resolver_question q = { 0 };
    char errors_buf[ERRORS_SIZE];
    struct identity self = { 0 };
    struct text errors;
    struct name name;
    int n = verb_options(v, argc, argv, options), got;

    if (n != 1)
        return n < 0 ? EXIT_USAGE : verb_misused(v, "found %d names, expected one", n);
    text_init(&errors, errors_buf, sizeof(errors_buf));
    if ((got = take_subject(v, &o, argv[1], &name, &q)) != EXIT_DONE)
        return got;
    if (o.config && config_load(o.config, &errors, &c) < 0) {
        fputs(errors_buf, stderr);
        return EXIT_FAILED;
    }
    if ((c && (got = take_config(v, c, &l)) != EXIT_DONE) || (got = take_options(v, &o, &self, &l)) != EXIT_DONE)
        return got;
    r.steps = o.json && o.trace ? json_array() : NULL;
    got = ask(&r, &l, &q);
    json_decref(r.steps);
    identity_wipe(&self);
    return got;
}
