/* mapping/resolver.c - see resolver.h.
 *
 * Theory of operation. A question is at one realm at a time, the lowest on the way whose managers are known, and at
 * first the root. It asks them in turn: the next one when one fails, refuses, or says what is not to be believed, and
 * beside one that has not answered within RESOLVER_HEDGE. The first answer that holds ends it, or leads to a realm
 * below. When all managers of a realm have failed, what was known of the realm may be out of date: once, the question
 * goes back to a realm above whose word on it is fresh. Where that has no answer either, old word on a realm serves
 * while its lease runs, and so does an old answer.
 *
 * An ask outlives its question when another manager was faster: what comes of it still says whether its manager is to
 * be asked first the next time.
 *
 * Limits: questions_max questions and answers, 8 * questions_max who wait, 12 asks a question, 256 realms. One question
 * takes some 2 KB and a known answer 2 KB. */
#include "mapping/resolver_internal.h"

#include <errno.h>

#define PREFETCH_PART 10    /* chosen: the last tenth of an answer's time */
#define WAITERS_EACH 8      /* chosen */
#define LATER_MAX (2 * SEC) /* chosen: who is told to wait longer is not answered in time anyway */

static const struct {
    const char *name, *text;
} whys[RESOLVER_WHY_COUNT] = {
    [RESOLVER_WHY_NONE] = { "none", "nothing is wrong" },
    [RESOLVER_WHY_SILENT] = { "silent", "no manager answers that has the key of its realm" },
    [RESOLVER_WHY_LATER] = { "later", "the managers are busy: try again later" },
    [RESOLVER_WHY_REFUSED] = { "refused", "the managers refuse to answer" },
    [RESOLVER_WHY_RECORD] = { "record", "the answer is not to be believed" },
    [RESOLVER_WHY_FOREIGN] = { "foreign", "it is not below the root" },
    [RESOLVER_WHY_REFERRAL] = { "referral", "a referral that does not lead to it" },
    [RESOLVER_WHY_UNMANAGED] = { "unmanaged", "a realm on the way has not said where its managers are" },
    [RESOLVER_WHY_ANSWER] = { "answer", "an answer to another question, or of a class that is not for this one" },
    [RESOLVER_WHY_FULL] = { "full", "out of memory" },
};

const char *resolver_why_name(enum resolver_why why)
{
    return why < RESOLVER_WHY_COUNT ? whys[why].name : NULL;
}

const char *resolver_why_text(enum resolver_why why)
{
    return why < RESOLVER_WHY_COUNT ? whys[why].text : NULL;
}

enum record_kind resolver_kind_of(enum tag_tier tier)
{
    static const enum record_kind kinds[] = { [TAG_TIER_HOST] = KIND_HOST_LOCATOR,
                                              [TAG_TIER_USER] = KIND_USER_HOST,
                                              [TAG_TIER_DATA] = KIND_DATA_HOST,
                                              [TAG_TIER_SERVICE] = KIND_SERVICE_ROUTER };

    return kinds[tier & 3];
}

/* --- life --- */

static int copy_chain(struct resolver *r, const struct resolver_options *o)
{
    size_t len = 0, at = 0;

    for (size_t i = 0; i < o->chain_count; i++)
        len += o->chain[i].len;
    r->own = malloc(len + 1);
    if (!r->own)
        return -ENOMEM;
    for (size_t i = 0; i < o->chain_count; i++) {
        memcpy(r->own + at, o->chain[i].data, o->chain[i].len);
        r->options.chain[i] = (struct slice){ r->own + at, o->chain[i].len };
        at += o->chain[i].len;
    }
    return 0;
}

/* The root as a realm whose managers are always known. 0 or -errno. */
static int make_root(struct resolver *r, instant now, struct record_error *err)
{
    struct zone *z = calloc(1, sizeof(*z));
    int e;

    if (!z)
        return -ENOMEM;
    r->root = z;
    list_init(&z->link);
    e = trust_verify(r->trust, &r->options.root, 1, resolver_wall(r, now), &z->end, err);
    if (e < 0)
        return e;
    for (; z->managers_count < r->options.managers_count; z->managers_count++)
        z->managers[z->managers_count].at = r->options.managers[z->managers_count];
    z->fresh = z->until = INSTANT_NEVER;
    z->refs = 1;
    list_append(&r->zones, &z->link);
    r->zones_count = 1;
    return 0;
}

static int init(struct resolver *r, instant now, struct record_error *err)
{
    const struct resolver_options *o = &r->options;
    const struct trust_options t = { .cached_max = o->signatures_max ? o->signatures_max : TRUST_CACHED_DEFAULT,
                                     .facts_max = TRUST_FACTS_DEFAULT,
                                     .rng = &r->options.rng };
    const uint32_t answers = o->questions_max + RESOLVER_REALMS_MAX;
    struct record root;
    struct record_bytes b;
    int e = record_decode(o->root.data, o->root.len, &root, &b, err);

    if (e < 0)
        return e;
    rng_fill(&o->rng, r->hash_key, sizeof(r->hash_key));
    map64_init(&r->rows_by_key, o->questions_max, rng_u64(&o->rng));
    map64_init(&r->questions_by_key, o->questions_max, rng_u64(&o->rng));
    map64_init(&r->asks_by_number, (size_t)o->questions_max * RESOLVER_ASKS_MAX, rng_u64(&o->rng));
    r->trust = trust_new(root.key, &t);
    r->cache = cache_new(answers, 2 * answers, &o->rng);
    if (!r->trust || !r->cache || heap_reserve(&r->timers, o->questions_max) < 0)
        return -ENOMEM;
    e = make_root(r, now, err);
    r->options.root = (struct slice){ 0 };
    return e;
}

int resolver_new(const struct resolver_options *o, uint64_t wall_s, instant now, struct resolver **ret,
                 struct record_error *ret_error)
{
    struct resolver *r;
    int e;

    if (o->managers_count < 1 || o->managers_count > RESOLVER_MANAGERS_MAX || o->questions_max < 1 ||
        o->chain_count > CHAIN_LINKS_MAX || o->class_max < CLASS_AGENT || o->class_max > CLASS_FULL)
        return -EINVAL;
    r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->options = *o;
    r->wall_s = wall_s;
    r->wall_at = now;
    list_init(&r->zones);
    list_init(&r->rows);
    list_init(&r->questions);
    list_init(&r->done);
    list_init(&r->out);
    list_init(&r->steps);
    list_init(&r->orphans);
    e = copy_chain(r, o);
    if (e == 0)
        e = init(r, now, ret_error);
    if (e < 0)
        resolver_free(r);
    else
        *ret = r;
    return e;
}

static void question_free(struct resolver *r, struct question *q)
{
    LIST_FOREACH_SAFE (w, &q->waiters, struct waiter, link) {
        list_remove(&w->link);
        r->waiters--;
        free(w);
    }
    list_remove(&q->link);
    free(q->bytes);
    free(q);
    r->open--;
}

static void ask_free(struct resolver *r, struct ask *a)
{
    map64_remove(&r->asks_by_number, a->number);
    list_remove(&a->link);
    list_remove(&a->out);
    zone_unref(r, a->zone);
    free(a);
}

/* Asks that were sent live on without it; those that wait go. */
static void question_let_go(struct resolver *r, struct question *q)
{
    LIST_FOREACH_SAFE (a, &q->asks, struct ask, link) {
        if (!list_empty(&a->out)) {
            ask_free(r, a);
            continue;
        }
        a->question = NULL;
        list_remove(&a->link);
        list_append(&r->orphans, &a->link);
    }
    if (map64_get(&r->questions_by_key, q->key) == q)
        map64_remove(&r->questions_by_key, q->key);
    heap_set(&r->timers, &q->timer, INSTANT_NEVER);
    zone_unref(r, q->zone);
    q->zone = NULL;
    list_remove(&q->link);
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    LIST_FOREACH_SAFE (q, &r->questions, struct question, link) {
        question_let_go(r, q);
        question_free(r, q);
    }
    LIST_FOREACH_SAFE (q, &r->done, struct question, link)
        question_free(r, q);
    if (r->popped)
        question_free(r, r->popped);
    LIST_FOREACH_SAFE (a, &r->orphans, struct ask, link)
        ask_free(r, a);
    LIST_FOREACH_SAFE (s, &r->steps, struct step, link)
        free(s);
    LIST_FOREACH_SAFE (row, &r->rows, struct row, link)
        row_free(r, row);
    LIST_FOREACH_SAFE (z, &r->zones, struct zone, link)
        free(z);
    if (r->root && r->zones_count == 0) /* it was never put into the list */
        free(r->root);
    map64_deinit(&r->rows_by_key);
    map64_deinit(&r->questions_by_key);
    map64_deinit(&r->asks_by_number);
    heap_deinit(&r->timers);
    trust_free(r->trust);
    cache_free(r->cache);
    free(r->own);
    free(r);
}

void resolver_set_wall(struct resolver *r, uint64_t wall_s, instant now)
{
    r->wall_s = wall_s;
    r->wall_at = now;
}

struct trust *resolver_trust(struct resolver *r)
{
    return r->trust;
}

/* --- telling --- */

/* A step of a question that is traced, to be filled; NULL where there is none to tell. */
static struct resolver_step *step(struct resolver *r, struct question *q, enum resolver_step_type type,
                                  const struct ask *a, instant now)
{
    struct step *s;

    if (!q->traced || q->steps == RESOLVER_STEPS_MAX || !(s = calloc(1, sizeof(*s))))
        return NULL;
    q->steps++;
    s->step.type = type;
    s->step.context = LIST_FIRST(&q->waiters, struct waiter, link)->context;
    if (a) {
        memcpy(s->step.realm, a->zone->end.name, sizeof(s->step.realm));
        s->step.manager = a->at;
        s->step.took = now - a->begun;
    }
    list_append(&r->steps, &s->link);
    return &s->step;
}

static void finish(struct resolver *r, struct question *q)
{
    question_let_go(r, q);
    if (q->result.outcome == RESOLVER_FAILED)
        r->stats.failed[q->result.why]++;
    if (list_empty(&q->waiters))
        question_free(r, q);
    else
        list_append(&r->done, &q->link);
}

static void fail(struct resolver *r, struct question *q, instant now)
{
    struct row *row = row_find(r, &q->of);

    q->result = (struct resolver_result){ 0 };
    if (!row || !row->found || row_result(r, row, now, &q->result, &q->bytes) < 0)
        q->result = (struct resolver_result){ .outcome = RESOLVER_FAILED, .why = q->why, .fault = q->fault };
    else
        r->stats.stale += q->result.stale;
    if (q->result.outcome != RESOLVER_FAILED)
        q->result.cached = true;
    finish(r, q);
}

/* What was kept in the row just now is the answer. */
static void succeed(struct resolver *r, struct question *q, const struct mapping_answer *a, instant now)
{
    struct row *row = row_find(r, &q->of);
    int e = row ? row_result(r, row, now, &q->result, &q->bytes) : -ENOMEM;

    if (e < 0) {
        q->why = RESOLVER_WHY_FULL;
        q->result = (struct resolver_result){ .outcome = RESOLVER_FAILED, .why = RESOLVER_WHY_FULL };
    }
    q->result.stale = false; /* even if it may be used but once */
    q->result.relay = a->relay;
    finish(r, q);
}

/* --- asking --- */

/* The lowest realm on the way whose managers are known: by fresh word, or by any. NULL: it is not below the root. */
static struct zone *zone_for(const struct resolver *r, const struct question *q, bool old, instant now)
{
    struct zone *best = NULL;

    LIST_FOREACH (z, &r->zones, struct zone, link) {
        if (z->until > now && (old || z->fresh > now) && z->managers_count > 0 && zone_covers(&z->end, &q->of) &&
            !trust_is_revoked(r->trust, &z->end.tag) && (!best || z->end.links > best->end.links))
            best = z;
    }
    return best;
}

static void go_to(struct resolver *r, struct question *q, struct zone *z)
{
    z->refs++;
    zone_unref(r, q->zone);
    q->zone = z;
    q->tried = q->introduced = 0;
    q->later = INSTANT_NEVER;
}

/* The manager to be asked next: one that is not avoided, the lowest priority. RESOLVER_MANAGERS_MAX: none is left. */
static unsigned next_manager(const struct question *q, instant now)
{
    unsigned best = RESOLVER_MANAGERS_MAX;

    for (unsigned i = 0; i < q->zone->managers_count; i++) {
        const struct manager *m = &q->zone->managers[i], *b = &q->zone->managers[best % RESOLVER_MANAGERS_MAX];

        if (q->tried & 1u << i)
            continue;
        if (best == RESOLVER_MANAGERS_MAX || (m->avoid > now) < (b->avoid > now) ||
            ((m->avoid > now) == (b->avoid > now) &&
             (m->priority < b->priority || (m->priority == b->priority && m->order < b->order))))
            best = i;
    }
    return best;
}

/* 0 or -ENOMEM. */
static int send_ask(struct resolver *r, struct question *q, unsigned manager, bool introduce, instant now)
{
    struct ask *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    list_init(&a->link);
    list_init(&a->out);
    a->number = ++r->asks_made;
    if (map64_put(&r->asks_by_number, a->number, a) < 0) {
        free(a);
        return -ENOMEM;
    }
    a->question = q;
    a->zone = q->zone;
    a->zone->refs++;
    a->at = q->zone->managers[manager].at;
    a->manager = manager;
    a->introduce = introduce;
    a->begun = now;
    list_append(&q->asks, &a->link);
    list_append(&r->out, &a->out);
    q->tried |= 1u << manager;
    q->asked++;
    q->hedge = now + RESOLVER_HEDGE;
    r->stats.asks++;
    step(r, q, introduce ? RESOLVER_STEP_INTRODUCED : RESOLVER_STEP_ASKED, a, now);
    return 0;
}

static bool is_asking(const struct question *q)
{
    LIST_FOREACH (a, &q->asks, struct ask, link)
        if (a->zone == q->zone)
            return true;
    return false;
}

/* All managers of the realm have failed: true if there is somewhere else to ask. */
static bool go_elsewhere(struct resolver *r, struct question *q, instant now)
{
    struct zone *z = q->zone;

    if (!q->restarted && z != r->root) {
        q->restarted = true;
        z->fresh = now;
        go_to(r, q, zone_for(r, q, false, now));
        return true;
    }
    if (!q->old_zone) {
        q->old_zone = true;
        z = zone_for(r, q, true, now);
        if (z && z != q->zone && z->end.links > q->zone->end.links) {
            go_to(r, q, z);
            return true;
        }
    }
    return false;
}

static void wait(struct resolver *r, struct question *q)
{
    heap_set(&r->timers, &q->timer,
             instant_min(instant_min(q->begun + RESOLVER_DEADLINE, q->stale_at), instant_min(q->hedge, q->later)));
}

/* Goes on with a question: one more manager is asked, or it is waited for something, or it has failed. */
static void go_on(struct resolver *r, struct question *q, instant now)
{
    unsigned m;

    for (;;) {
        m = next_manager(q, now);
        if (m < RESOLVER_MANAGERS_MAX && q->asked < RESOLVER_ASKS_MAX) {
            if (send_ask(r, q, m, false, now) < 0) {
                q->why = RESOLVER_WHY_FULL;
                fail(r, q, now);
                return;
            }
            break;
        }
        q->hedge = INSTANT_NEVER;
        if (is_asking(q) || (q->later != INSTANT_NEVER && q->asked < RESOLVER_ASKS_MAX))
            break;
        if (q->asked == RESOLVER_ASKS_MAX || !go_elsewhere(r, q, now)) {
            fail(r, q, now);
            return;
        }
    }
    if (next_manager(q, now) == RESOLVER_MANAGERS_MAX)
        q->hedge = INSTANT_NEVER;
    wait(r, q);
}

static void blame(struct question *q, enum resolver_why why, enum record_fault fault)
{
    if (q->why != RESOLVER_WHY_NONE && why == RESOLVER_WHY_SILENT)
        return; /* what somebody said tells more */
    q->why = why;
    q->fault = fault;
}

/* A new question. NULL when out of memory. */
static struct question *question_new(struct resolver *r, const struct resolver_question *o, instant now)
{
    struct question *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    list_init(&q->link);
    list_init(&q->waiters);
    list_init(&q->asks);
    q->of.kind = o->kind;
    q->of.by_name = o->name;
    if (o->name)
        q->of.name = *o->name;
    else
        q->of.tag = o->tag;
    q->traced = o->traced;
    q->alone = o->traced || o->places_count > 0;
    q->places_count = o->places_count;
    memcpy(q->places, o->places, o->places_count * sizeof(q->places[0]));
    q->key = subject_key(r, &q->of);
    q->begun = now;
    q->stale_at = now + RESOLVER_STALE_AFTER;
    q->hedge = q->later = INSTANT_NEVER;
    r->open++;
    return q;
}

/* True if all managers of a realm were silent just now. */
static bool is_silent(const struct zone *z, instant now)
{
    for (size_t i = 0; i < z->managers_count; i++)
        if (z->managers[i].avoid <= now)
            return false;
    return true;
}

/* Where a question begins. Whose managers have all been silent may have others by now: who is above is asked first. */
static struct zone *first_zone(struct resolver *r, const struct question *q, instant now)
{
    struct zone *z;

    while ((z = zone_for(r, q, false, now)) && z != r->root && is_silent(z, now))
        z->fresh = now;
    return z;
}

static void begin(struct resolver *r, struct question *q, instant now)
{
    struct zone *z = first_zone(r, q, now);

    list_append(&r->questions, &q->link);
    if (!q->alone && !map64_get(&r->questions_by_key, q->key) && map64_put(&r->questions_by_key, q->key, q) < 0) {
        q->why = RESOLVER_WHY_FULL;
        fail(r, q, now);
        return;
    }
    if (!z) {
        q->why = RESOLVER_WHY_FOREIGN;
        fail(r, q, now);
        return;
    }
    go_to(r, q, z);
    go_on(r, q, now);
}

/* Somebody uses what ends soon: it is asked for again, and nobody waits. */
static void prefetch(struct resolver *r, const struct resolver_question *o, const struct row *row, instant now)
{
    struct question *q;

    if (row->fresh - now > (row->fresh - row->received) / PREFETCH_PART || !row->found ||
        map64_get(&r->questions_by_key, row->key) || r->open == r->options.questions_max)
        return;
    q = question_new(r, &(struct resolver_question){ .name = o->name, .tag = o->tag, .kind = o->kind, .anew = true },
                     now);
    if (!q)
        return;
    r->stats.prefetched++;
    begin(r, q, now);
}

int resolver_ask(struct resolver *r, const struct resolver_question *o, void *context, instant now)
{
    struct question *q, *same;
    struct waiter *w;
    struct row *row;

    if (o->kind >= KIND_COUNT || o->places_count > MAPPING_PLACES_MAX)
        return -EINVAL;
    if (r->open >= r->options.questions_max || r->waiters / WAITERS_EACH >= r->options.questions_max)
        return -ENOSPC;
    w = calloc(1, sizeof(*w));
    q = w ? question_new(r, o, now) : NULL;
    if (!q) {
        free(w);
        return -ENOMEM;
    }
    w->context = context;
    list_append(&q->waiters, &w->link);
    r->waiters++;
    r->stats.questions++;
    row = row_find(r, &q->of);
    q->wrong_seq = row ? row->wrong_seq : 0;
    if (row && !o->anew && o->places_count == 0 && row->fresh > now &&
        row_result(r, row, now, &q->result, &q->bytes) == 0) {
        r->stats.cached++;
        q->result.cached = true;
        step(r, q, RESOLVER_STEP_CACHED, NULL, now);
        prefetch(r, o, row, now);
        list_append(&r->done, &q->link);
        return 0;
    }
    same = q->alone ? NULL : map64_get(&r->questions_by_key, q->key);
    if (same && subject_equal(&same->of, &q->of)) {
        r->stats.joined++;
        list_remove(&w->link);
        list_append(&same->waiters, &w->link);
        question_free(r, q);
        return 0;
    }
    begin(r, q, now);
    return 0;
}

static void cancel_in(struct resolver *r, struct list *questions, const void *context)
{
    LIST_FOREACH_SAFE (q, questions, struct question, link) {
        LIST_FOREACH_SAFE (w, &q->waiters, struct waiter, link) {
            if (w->context != context)
                continue;
            list_remove(&w->link);
            r->waiters--;
            free(w);
        }
        if (list_empty(&q->waiters) && (questions == &r->done || q->alone)) {
            question_let_go(r, q);
            question_free(r, q);
        }
    }
}

void resolver_cancel(struct resolver *r, const void *context)
{
    LIST_FOREACH_SAFE (s, &r->steps, struct step, link) {
        if (s->step.context == context) {
            list_remove(&s->link);
            free(s);
        }
    }
    cancel_in(r, &r->questions, context);
    cancel_in(r, &r->done, context);
}

/* Of the binding that the row stands for; 0: there is none any more. */
static uint64_t seq_of(struct resolver *r, const struct row *row, instant now)
{
    struct record_error why;
    struct record_bytes b;
    struct record rec;
    const uint8_t *bytes;
    instant until;
    size_t len;

    if (cache_find(r->cache, &row->subject.tag, row->of.kind, row->granted, now, &bytes, &len, &until) != CACHE_FOUND ||
        record_decode(bytes, len, &rec, &b, &why) < 0)
        return 0;
    return rec.seq;
}

void resolver_on_stale(struct resolver *r, const struct tag *subject, instant now)
{
    LIST_FOREACH (row, &r->rows, struct row, link)
        if (row->found && tag_equal(&row->subject.tag, subject)) {
            row->fresh = 0;
            row->wrong_seq = seq_of(r, row, now);
        }
}

/* --- what came of it --- */

static struct manager *manager_of(const struct ask *a)
{
    for (size_t i = 0; i < a->zone->managers_count; i++)
        if (endpoint_equal(&a->zone->managers[i].at, &a->at))
            return &a->zone->managers[i];
    return NULL;
}

/* The answer of a manager of the realm that the question is at. enum resolver_why; 0: the question has ended or has
 * gone on. */
static enum resolver_why on_answer(struct resolver *r, struct question *q, const struct ask *ask,
                                   const struct mapping_answer *a, struct resolver_step *s, instant now,
                                   enum record_fault *ret_fault)
{
    const bool may_introduce = r->options.chain_count && !(q->introduced & 1u << ask->manager);
    struct zone *z;
    int why;

    if (a->status == MAPPING_LATER) {
        q->later = instant_min(q->later, now + MIN((span)a->wait_ms * MSEC, LATER_MAX));
        return RESOLVER_WHY_LATER;
    }
    if (ask->introduce ||
        ((a->status == MAPPING_FOUND || a->status == MAPPING_NONE) && a->flags & MAPPING_STRANGER && may_introduce)) {
        q->introduced |= 1u << ask->manager;
        return send_ask(r, q, ask->manager, !ask->introduce, now) < 0 ? RESOLVER_WHY_FULL : RESOLVER_WHY_NONE;
    }
    switch (a->status) {
    case MAPPING_FOUND:
        why = take_found(r, &q->of, a, now, ret_fault);
        break;
    case MAPPING_NONE:
        why = take_none(r, &q->of, a, now);
        break;
    case MAPPING_REFERRAL:
        why = take_referral(r, q->zone, &q->of, a, now, &z, ret_fault);
        if (why == 0 && ++q->referrals > RESOLVER_REFERRALS_MAX)
            why = RESOLVER_WHY_REFERRAL;
        if (why != 0)
            return (enum resolver_why)why;
        r->stats.referrals++;
        if (s)
            memcpy(s->to, z->end.name, sizeof(s->to));
        go_to(r, q, z);
        go_on(r, q, now);
        return RESOLVER_WHY_NONE;
    case MAPPING_REFUSED:
        *ret_fault = a->fault;
        return RESOLVER_WHY_REFUSED;
    default:
        return RESOLVER_WHY_ANSWER;
    }
    if (why == 0)
        succeed(r, q, a, now);
    return (enum resolver_why)why;
}

void resolver_on_answer(struct resolver *r, uint64_t number, const uint8_t *bytes, size_t len, instant now)
{
    struct ask *ask = map64_get(&r->asks_by_number, number);
    struct question *q = ask ? ask->question : NULL;
    struct manager *m = ask ? manager_of(ask) : NULL;
    enum resolver_why why = RESOLVER_WHY_ANSWER;
    enum record_fault fault = RECORD_SOUND;
    struct resolver_step *s;
    struct mapping_answer a;

    if (!ask)
        return;
    if (m)
        m->avoid = 0;
    if (q && ask->zone == q->zone) {
        list_remove(&ask->link); /* it is not waited for any more */
        s = step(r, q, RESOLVER_STEP_ANSWERED, ask, now);
        if (mapping_answer_read(bytes, len, &a) == 0) {
            if (s)
                s->status = (uint8_t)a.status;
            why = on_answer(r, q, ask, &a, s, now, &fault);
        }
        if (s) {
            s->why = why;
            s->fault = fault;
        }
        if (why != RESOLVER_WHY_NONE) {
            blame(q, why, fault);
            go_on(r, q, now);
        }
    }
    ask_free(r, ask);
}

void resolver_on_failed(struct resolver *r, uint64_t number, instant now)
{
    struct ask *ask = map64_get(&r->asks_by_number, number);
    struct question *q = ask ? ask->question : NULL;
    struct manager *m = ask ? manager_of(ask) : NULL;

    if (!ask)
        return;
    if (m)
        m->avoid = now + RESOLVER_AVOID;
    if (q && ask->zone == q->zone) {
        step(r, q, RESOLVER_STEP_SILENT, ask, now);
        blame(q, RESOLVER_WHY_SILENT, RECORD_SOUND);
        ask_free(r, ask);
        go_on(r, q, now);
        return;
    }
    ask_free(r, ask);
}

/* --- the doors --- */

/* What is sent for an ask: its length. */
static size_t write_ask(struct resolver *r, const struct ask *a)
{
    struct writer w = writer_init(r->request, sizeof(r->request));
    const struct subject *s = &a->question->of;
    struct mapping_request m = { .type = a->introduce ? MAPPING_INTRODUCE : MAPPING_RESOLVE };

    if (a->introduce) {
        m.chain_count = r->options.chain_count;
        memcpy(m.chain, r->options.chain, sizeof(m.chain));
    } else {
        m.flags = MAPPING_WITH_CHAIN;
        m.kind = s->kind;
        m.tag = s->tag;
        m.name = s->by_name ? s->name.text : NULL;
        m.name_len = s->by_name ? s->name.len : 0;
        m.seq = a->question->wrong_seq;
        m.places_count = a->question->places_count;
        memcpy(m.places, a->question->places, sizeof(m.places));
    }
    mapping_request_write(&w, &m);
    return w.failed ? 0 : writer_len(&w);
}

/* Takes the context of the first who waits; the last one's question is kept until the next pop. */
static void pop_done(struct resolver *r, struct resolver_event *ret)
{
    struct question *q = LIST_FIRST(&r->done, struct question, link);
    struct waiter *w = LIST_FIRST(&q->waiters, struct waiter, link);

    ret->type = RESOLVER_DONE;
    ret->context = w->context;
    ret->result = q->result;
    list_remove(&w->link);
    r->waiters--;
    free(w);
    if (list_empty(&q->waiters)) {
        list_remove(&q->link);
        r->popped = q;
    }
}

bool resolver_pop_event(struct resolver *r, struct resolver_event *ret, instant now)
{
    *ret = (struct resolver_event){ 0 };
    if (r->popped) {
        question_free(r, r->popped);
        r->popped = NULL;
    }
    if (!list_empty(&r->out)) {
        struct ask *a = CONTAINER_OF(r->out.next, struct ask, out);

        list_remove(&a->out);
        ret->type = RESOLVER_ASK;
        ret->ask = a->number;
        ret->at = a->at;
        memcpy(ret->ed25519, a->zone->end.key, sizeof(ret->ed25519));
        ret->len = write_ask(r, a);
        ret->data = r->request;
        return true;
    }
    if (!list_empty(&r->steps)) {
        struct step *s = LIST_FIRST(&r->steps, struct step, link);

        ret->type = RESOLVER_STEP;
        ret->step = s->step;
        ret->context = s->step.context;
        list_remove(&s->link);
        free(s);
        return true;
    }
    if (list_empty(&r->done))
        return false;
    pop_done(r, ret);
    return true;
}

instant resolver_next_expiry(const struct resolver *r)
{
    const struct heap_item *first = heap_first(&r->timers);

    return first ? first->at : INSTANT_NEVER;
}

/* Who has waited long enough is given what was known, while the question goes on for those who come. */
static void give_stale(struct resolver *r, struct question *q, instant now)
{
    struct row *row = row_find(r, &q->of);
    struct question *told;

    q->stale_at = INSTANT_NEVER;
    if (!row || !row->found || q->traced || list_empty(&q->waiters) || !(told = calloc(1, sizeof(*told))))
        return;
    list_init(&told->waiters);
    list_init(&told->asks);
    told->of = q->of;
    if (row_result(r, row, now, &told->result, &told->bytes) < 0) {
        free(told);
        return;
    }
    told->result.cached = true;
    r->stats.stale += told->result.stale;
    LIST_FOREACH_SAFE (w, &q->waiters, struct waiter, link) {
        list_remove(&w->link);
        list_append(&told->waiters, &w->link);
    }
    r->open++;
    list_append(&r->done, &told->link);
}

void resolver_on_expiry(struct resolver *r, instant now)
{
    struct heap_item *first;

    while ((first = heap_first(&r->timers)) && first->at <= now) {
        struct question *q = CONTAINER_OF(first, struct question, timer);

        if (q->begun + RESOLVER_DEADLINE <= now) {
            blame(q, RESOLVER_WHY_SILENT, RECORD_SOUND);
            fail(r, q, now);
            continue;
        }
        if (q->stale_at <= now)
            give_stale(r, q, now);
        if (q->later <= now) { /* all over again, those that said so included */
            q->later = INSTANT_NEVER;
            q->tried = 0;
            q->hedge = now;
        }
        if (q->hedge <= now)
            go_on(r, q, now);
        else
            wait(r, q);
    }
}

void resolver_stats_get(const struct resolver *r, struct resolver_stats *ret)
{
    *ret = r->stats;
    ret->open = r->open;
    ret->realms = r->zones_count;
    ret->known = r->rows_count;
}
