/* prog/dmuxd_managers.c - a gateway that finds others by the managers of its realm (dmux/directory.h): what it asks
 * goes by prog/lookup.h, with the gateway's own key, and so does what it tells. */
#include "prog/dmuxd.h"

#include "sys/clock.h"

#include <errno.h>
#include <syslog.h>

#define QUESTIONS_MAX 512 /* chosen: open, and as many answers that are remembered */

struct asked {
    struct list link;
    struct dmuxd *d;
    uint64_t id;
};

struct directory_options dmuxd_managers_options(const struct dmuxd *d)
{
    return (struct directory_options){ .tag = d->config->tag, .boot_epoch = (uint32_t)clock_wall_s() };
}

int dmuxd_managers_start(struct dmuxd *d)
{
    const struct dmux_config *c = d->config;
    bool other = c->root_managers_count > 0;
    struct lookup_options o = { .self = &c->identity,
                                .chain_records = { c->chain, c->chain_len },
                                .managers_count = other ? c->root_managers_count : c->managers_count,
                                .class_max = CLASS_FULL,
                                .questions_max = QUESTIONS_MAX };
    struct slice links[CHAIN_LINKS_MAX];
    struct record_error e;
    size_t count = CHAIN_LINKS_MAX;
    char err[LOOKUP_ERR];
    int r;

    if (record_split(c->chain, c->chain_len, links, &count, &e) < 0)
        return -EINVAL;
    o.root_record = links[0];
    memcpy(o.managers, other ? c->root_managers : c->managers, sizeof(o.managers));
    list_init(&d->asked);
    r = lookup_new(&d->loop, &o, &d->lookup, err);
    if (r < 0)
        dmuxd_say(LOG_ERR, "managers: %s", err);
    return r;
}

static struct asked *asked_new(struct dmuxd *d, uint64_t id)
{
    struct asked *a = malloc(sizeof(*a));

    if (!a)
        return NULL;
    *a = (struct asked){ .d = d, .id = id };
    list_init(&a->link);
    list_append(&d->asked, &a->link);
    return a;
}

static void asked_free(struct asked *a)
{
    if (a)
        list_remove(&a->link);
    free(a);
}

void dmuxd_managers_end(struct dmuxd *d)
{
    if (!d->lookup)
        return;
    lookup_close(d->lookup);
    LIST_FOREACH_SAFE (a, &d->asked, struct asked, link)
        asked_free(a);
}

/* What the answer leads to is done, unless that is about to be. */
static void go_on(struct dmuxd *d)
{
    if (!d->asking)
        dmuxd_turn(d, clock_now());
}

static void on_found(void *context, const struct resolver_result *r)
{
    struct asked *a = context;
    struct dmuxd *d = a->d;

    directory_on_found(gateway_directory(d->gateway), a->id, r->outcome, r->record, clock_now());
    asked_free(a);
    go_on(d);
}

static void on_told(void *context, const uint8_t *answer, size_t len)
{
    struct asked *a = context;
    struct dmuxd *d = a->d;

    directory_on_told(gateway_directory(d->gateway), a->id, answer, len, clock_now());
    asked_free(a);
    go_on(d);
}

static void ask(struct dmuxd *d, const struct directory_event *ev, instant now)
{
    const struct resolver_question q = { .tag = ev->tag, .kind = KIND_SERVICE_ROUTER, .anew = ev->anew };
    struct asked *a = asked_new(d, ev->id);

    if (a && lookup_ask(d->lookup, &q, on_found, NULL, a) == 0)
        return;
    asked_free(a);
    directory_on_found(gateway_directory(d->gateway), ev->id, RESOLVER_FAILED, (struct slice){ 0 }, now);
}

static void tell(struct dmuxd *d, const struct directory_event *ev, const uint8_t *request, instant now)
{
    const struct dmux_config *c = d->config;
    struct asked *a = asked_new(d, ev->id);

    if (a && lookup_tell(d->lookup, c->realm_key, c->managers, c->managers_count, request, ev->len, on_told, a) == 0)
        return;
    asked_free(a);
    directory_on_told(gateway_directory(d->gateway), ev->id, NULL, 0, now);
}

void dmuxd_managers_turn(struct dmuxd *d, instant now)
{
    uint8_t request[HOLDER_REQUEST_MAX];
    struct directory_event ev;

    d->asking = true;
    while (gateway_pop_question(d->gateway, &ev, request, now)) {
        if (ev.type == DIRECTORY_ASK)
            ask(d, &ev, now);
        else
            tell(d, &ev, request, now);
    }
    d->asking = false;
}

void dmuxd_managers_status(struct dmuxd *d, json_t *doc)
{
    struct directory_stats s;

    directory_stats_get(gateway_directory(d->gateway), &s);
    json_object_set_new(doc, "managers",
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "services",
                                  (json_int_t)s.services, "owned", (json_int_t)s.owned, "wanted", (json_int_t)s.wanted,
                                  "none", (json_int_t)s.none, "asked", (json_int_t)s.asks, "told", (json_int_t)s.tells,
                                  "conflicts", (json_int_t)s.conflicts, "taken_over", (json_int_t)s.takeovers, "links",
                                  (json_int_t)s.links, "malformed", (json_int_t)s.malformed));
}
