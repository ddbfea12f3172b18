/* prog/realmd_http.c - HTTP and JSON for the administrator of hawser-realmd, and metrics, at a socket of root's.
 *
 *   GET /v1/status                what hawser realm status tells
 *   GET /v1/bindings/NAME         where a name or tag is, as the realm itself may know it
 *   GET /v1/bindings/NAME?as=WHO  the same as WHO would be told: somebody enrolled here, or else a stranger
 *   GET /metrics                  counters, for Prometheus
 *
 * Theory of operation. A question about a binding is one to our own manager, by the key of who is said to ask. So there
 * is no second way past the policies, and what is denied, what is not there and what is no name of this realm are one
 * answer. */
#include <errno.h>
#include <inttypes.h>
#include <syslog.h>

#include "mapping/resolver.h"
#include "prog/realmd.h"
#include "sys/clock.h"

#define REQUEST_MAX 512 /* bytes: a name and a few numbers */
#define BINDINGS "/v1/bindings/"

static void give_json(struct http_answer *a, int status, json_t *doc)
{
    char *text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;

    json_decref(doc);
    *a = (struct http_answer){
        .status = status, .content_type = "application/json", .body = text, .len = text ? strlen(text) : 0
    };
}

static void nothing(struct http_answer *a)
{
    http_answer_error(a, 404, "no such name, or nothing that may be known");
}

/* A name or a tag as a question. False: it is neither. */
static bool question(const char *text, struct name *name, struct mapping_request *ret)
{
    struct name_error err;

    *ret = (struct mapping_request){ .type = MAPPING_RESOLVE };
    if (tag_parse(text, &ret->tag) == 0) {
        ret->kind = (uint8_t)resolver_kind_of(tag_tier(&ret->tag));
        return true;
    }
    if (name_parse(text, strlen(text), name, &err) < 0)
        return false;
    ret->kind = (uint8_t)resolver_kind_of(name->tier);
    ret->name = name->text;
    ret->name_len = name->len;
    return true;
}

/* The key of somebody enrolled here; of anybody else one that nobody has. */
static const uint8_t *key_of(const struct realmd *d, const char *who)
{
    const struct authority *a = manager_authority(d->manager);
    const struct entity *e = NULL;
    struct name_error err;
    struct name name;
    struct tag tag;

    if (tag_parse(who, &tag) == 0)
        e = authority_by_tag(a, &tag);
    else if (name_parse(who, strlen(who), &name, &err) == 0)
        e = authority_by_name(a, name.text, name.len);
    return e && e->type != ENTITY_ALIAS ? e->key : d->nobody;
}

static json_t *target_json(const struct record_target *t)
{
    char text[ENDPOINT_STRLEN];

    if (t->is_locator)
        endpoint_format(&t->locator, text);
    else
        tag_format(&t->tag, text);
    return json_pack("{s:s, s:s, s:i, s:i}", t->is_locator ? "locator" : "tag", text, "transport",
                     !t->is_locator ? ""
                     : t->transport ? "tcp"
                                    : "udp",
                     "priority", (int)t->priority, "weight", (int)t->weight);
}

static void found(const struct mapping_answer *m, struct http_answer *a)
{
    static const char *const classes[] = { "deny", "agent", "coarse", "full" };
    char tag[TAG_STRLEN], seq[24];
    struct record_error err;
    struct record_bytes b;
    struct record r;
    json_t *targets;

    if (record_decode(m->record.data, m->record.len, &r, &b, &err) < 0) {
        http_answer_error(a, 500, "the record cannot be read");
        return;
    }
    targets = json_array();
    for (size_t i = 0; i < r.targets_count; i++)
        json_array_append_new(targets, target_json(&r.targets[i]));
    snprintf(seq, sizeof(seq), "%" PRIu64, r.seq); /* more than the numbers of most readers of JSON hold */
    give_json(a, 200,
              json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "tag", tag_format(&r.subject, tag), "kind",
                        record_kind_name(r.kind), "class", classes[m->granted & 3], "seq", seq, "lease_left_s",
                        (json_int_t)m->left_s, "fresh_s", (json_int_t)m->fresh_s, "targets", targets));
}

static void binding(struct realmd *d, const char *text, const char *query, struct http_answer *a)
{
    struct manager_who who = { .ed25519 = d->id.ed25519 };
    struct manager_reply reply = { 0 };
    uint8_t request[REQUEST_MAX];
    struct writer w = writer_init(request, sizeof(request));
    struct mapping_request q;
    struct mapping_answer m;
    char as[HTTP_TARGET_MAX];
    struct name name;
    int r = http_query_get(query, "as", as);

    if (r == -EINVAL) {
        http_answer_error(a, 400, "as: expected a name or a tag");
        return;
    }
    if (r == 0)
        who.ed25519 = key_of(d, as);
    if (!question(text, &name, &q)) {
        nothing(a);
        return;
    }
    mapping_request_write(&w, &q);
    if (!w.failed)
        manager_on_request(d->manager, &who, request, writer_len(&w), clock_now(), clock_wall_s(), d->answer, &reply);
    if (mapping_answer_read(d->answer, reply.len, &m) < 0)
        http_answer_error(a, 500, "no answer");
    else if (m.status == MAPPING_FOUND)
        found(&m, a);
    else if (m.status == MAPPING_LATER)
        http_answer_error(a, 503, "not now: ask again in a moment");
    else if (m.status == MAPPING_REFERRAL)
        http_answer_error(a, 404, "of a realm below: its own manager has it");
    else
        nothing(a);
}

static void on_request(void *ctx, const struct http_request *q, struct http_answer *a)
{
    struct realmd *d = ctx;

    if (strcmp(q->path, "/v1/status") == 0)
        give_json(a, 200, realmd_status(d, clock_now()));
    else if (strncmp(q->path, BINDINGS, strlen(BINDINGS)) == 0)
        binding(d, q->path + strlen(BINDINGS), q->query, a);
    else if (strcmp(q->path, "/metrics") == 0)
        realmd_metrics(d, clock_now(), a);
    else
        http_answer_error(a, 404, "expected /v1/status, /v1/bindings/NAME or /metrics");
}

int http_start(struct realmd *d)
{
    const struct rng rng = sys_rng();
    int r;

    if (!d->config.http[0])
        return 0;
    rng_fill(&rng, d->nobody, sizeof(d->nobody));
    r = http_server_open(&d->loop, d->config.http, on_request, d, &d->http);
    if (r < 0)
        realmd_say(LOG_ERR, "http socket=%s error=%s", d->config.http, strerror(-r));
    return r;
}
