/* prog/realmd_cache.c - a manager that caches: it asks another of its realm for what it is asked for.
 *
 * Theory of operation. A request whose answer depends on a subject of which nothing fresh is known (manager_wants,
 * mapping/fetcher.h) is kept, and the other manager is asked about the subject; when that has answered, or has not, the
 * request is answered as if it had come just then. While nobody is there at all, what is known serves on at once.
 *
 * What who asks may not know is never asked for, so that its answer comes as soon as that of a name that is not there.
 *
 * Limits: HELD_MAX requests that wait, FETCHES_MAX questions under way; who is beyond is told to ask later. */
#include "prog/realmd.h"

#include "base/list.h"
#include "sys/clock.h"

#include <errno.h>

#define HELD_MAX 4096    /* chosen: some 2 MB */
#define FETCHES_MAX 1024 /* chosen: half of them may wait for one subject each */
#define LATER_MS 1000

struct held {
    struct held *next;
    struct exchange_asked asked;
    struct tag subject;
    uint8_t key[IDENT_KEY_LEN];
    size_t len;
    uint8_t bytes[];
};

/* A question under way: what its answer is told by. */
struct fetch {
    struct upstream up;
    struct tag subject;
};

struct realmd_cache {
    struct fetcher *fetcher;
    struct held *held;
    struct list fetches;
    size_t held_count, fetches_count;
    bool up;
};

int cache_start(struct realmd *d)
{
    const struct rng rng = sys_rng();

    if (d->config.followed_count == 0 || d->config.follow_mode != REALMD_CACHE)
        return 0;
    d->cache = calloc(1, sizeof(*d->cache));
    if (!d->cache)
        return -ENOMEM;
    list_init(&d->cache->fetches);
    /* rows of a subject: a class each, mostly */
    d->cache->fetcher = fetcher_new(manager_bindings(d->manager), MAX(d->config.bindings / 4, 1u), &rng);
    return d->cache->fetcher ? 0 : -ENOMEM;
}

static void end_fetch(struct realmd_cache *c, struct fetch *f)
{
    list_remove(&f->up.link);
    c->fetches_count--;
    free(f);
}

void cache_lost(struct realmd *d, instant now)
{
    struct realmd_cache *c = d->cache;

    LIST_FOREACH_SAFE (f, &c->fetches, struct fetch, up.link) {
        fetcher_on_answer(c->fetcher, &f->subject, NULL, 0, now);
        end_fetch(c, f);
    }
    for (struct held *h = c->held, *next; h; h = next) { /* who asked asks again */
        next = h->next;
        free(h);
    }
    c->held = NULL;
    c->held_count = 0;
    c->up = false;
}

void cache_end(struct realmd *d)
{
    if (!d->cache)
        return;
    cache_lost(d, clock_now());
    fetcher_free(d->cache->fetcher);
    free(d->cache);
}

void cache_on_up(struct realmd *d, bool up)
{
    d->cache->up = up;
}

static void answer_later(struct realmd *d, const struct exchange_asked *asked, instant now)
{
    realmd_answer(d, asked, d->answer, manager_say_later(LATER_MS, d->answer, MAPPING_BYTES_MAX), now);
}

/* By what the table has. */
static void answer_held(struct realmd *d, const struct held *h, instant now)
{
    const struct manager_who who = { .peer = h->asked.peer, .ed25519 = h->key };
    struct manager_reply reply;

    if (fetcher_look(d->cache->fetcher, &h->subject, now) == FETCHED_NOTHING) {
        answer_later(d, &h->asked, now);
        return;
    }
    manager_on_request(d->manager, &who, h->bytes, h->len, now, clock_wall_s(), d->answer, &reply);
    realmd_answer(d, &h->asked, d->answer, reply.len, now);
}

static bool hold(struct realmd *d, const struct exchange_event *e, const struct manager_who *who,
                 const struct tag *subject)
{
    struct realmd_cache *c = d->cache;
    struct held *h = c->held_count < HELD_MAX ? malloc(sizeof(*h) + e->len) : NULL;

    if (!h)
        return false;
    *h = (struct held){ .next = c->held, .asked = e->asked, .subject = *subject, .len = e->len };
    memcpy(h->key, who->ed25519, sizeof(h->key));
    memcpy(h->bytes, e->data, e->len);
    c->held = h;
    c->held_count++;
    return true;
}

/* True: it is being asked about. */
static bool fetch(struct realmd *d, const struct tag *subject, instant now)
{
    struct realmd_cache *c = d->cache;
    uint8_t bytes[FETCHER_REQUEST_MAX];
    struct fetch *f = NULL;
    uint64_t request;
    size_t len;

    if (fetcher_is_asking(c->fetcher, subject))
        return true;
    if (c->fetches_count == FETCHES_MAX || !(f = calloc(1, sizeof(*f))))
        return false;
    f->subject = *subject;
    list_append(&c->fetches, &f->up.link);
    c->fetches_count++;
    len = fetcher_ask(c->fetcher, subject, now, bytes);
    if (len > 0 && exchange_request(d->exchange, d->followed, bytes, len, &f->up, now, &request) == 0)
        return true;
    if (len > 0)
        fetcher_on_answer(c->fetcher, subject, NULL, 0, now);
    end_fetch(c, f);
    return false;
}

bool cache_on_request(struct realmd *d, const struct exchange_event *e, const struct manager_who *who, instant now)
{
    struct realmd_cache *c = d->cache;
    enum fetched known;
    struct tag subject;
    uint64_t doubted;

    if (!c || !manager_wants(d->manager, who, e->data, e->len, clock_wall_s(), &subject, &doubted))
        return false;
    if (doubted > 0 && c->up)
        fetcher_on_doubt(c->fetcher, &subject, now);
    known = fetcher_look(c->fetcher, &subject, now);
    if (known == FETCHED_FRESH || (known == FETCHED_STALE && !c->up))
        return false;
    if (fetch(d, &subject, now) && hold(d, e, who, &subject))
        return true;
    if (known == FETCHED_STALE)
        return false;
    answer_later(d, &e->asked, now);
    return true;
}

void cache_on_result(struct realmd *d, const struct exchange_event *e, instant now)
{
    struct realmd_cache *c = d->cache;
    struct fetch *f = CONTAINER_OF(e->context, struct fetch, up);
    struct held *ready = NULL;

    fetcher_on_answer(c->fetcher, &f->subject, e->type == EXCHANGE_ANSWER ? e->data : NULL, e->len, now);
    for (struct held **at = &c->held, *h; (h = *at);) {
        if (!tag_equal(&h->subject, &f->subject)) {
            at = &h->next;
            continue;
        }
        *at = h->next;
        h->next = ready; /* they were kept the last one first, so the first comes first again */
        ready = h;
        c->held_count--;
    }
    for (struct held *h = ready, *next; h; h = next) {
        next = h->next;
        answer_held(d, h, now);
        free(h);
    }
    end_fetch(c, f);
}

void cache_get_stats(const struct realmd *d, struct fetcher_stats *ret)
{
    fetcher_get_stats(d->cache->fetcher, ret);
}

json_t *cache_json(const struct realmd *d)
{
    struct fetcher_stats s;

    cache_get_stats(d, &s);
    return json_pack("{s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I}", "mode", "cache", "up", d->cache->up, "caught_up",
                     d->cache->up, "subjects", (json_int_t)s.subjects, "asked", (json_int_t)s.asked, "failed",
                     (json_int_t)s.failed, "taken", (json_int_t)s.taken, "older", (json_int_t)s.older);
}
