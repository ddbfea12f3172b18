/* mapping/manager_changes.c - SUBSCRIBE, CHANGES, NOTIFY: what there is below a prefix, and what has changed of it.
 *
 * Theory of operation. A page is of what changed after a number that who asks has, as long as the ring goes back so
 * far; else it is of a snapshot: the rows of the table in the order in which they stand, from a place that the last
 * page named, and the number at which the snapshot began, from where the changes go on. So nothing is kept of who reads
 * a snapshot. What a row is now is what is sent, so that a change which was overtaken is sent as what overtook it.
 *
 * Each row is sent only to whom the subject's policy grants its class; that one has gone, to whom it was granted. All
 * others are passed over as if they were not there; only the numbers go on, of which who asks learns how much the realm
 * as a whole changes.
 *
 * Limits: PAGE_STEPS rows or changes looked at a page, PAGE_BYTES of items. */
#include "mapping/internal.h"

#include <errno.h>

/* Items of a page, until no other may fit. */
struct items {
    struct writer w;
    size_t count;
};

#define ITEM_MAX (RECORD_BYTES_MAX + 64)

static bool has_room(const struct items *i)
{
    return writer_left(&i->w) >= ITEM_MAX && i->count < MAPPING_CHANGES_MAX;
}

static void add(struct items *i, const struct mapping_change *c)
{
    mapping_write_change(&i->w, c);
    i->count++;
}

/* What a row is now, if who asks may know; gone: of one whose lease is over, or that is no more. */
static void add_row(struct manager *m, const struct who *w, const struct binding *b, uint64_t seq, instant now,
                    uint64_t wall_s, struct items *items)
{
    struct mapping_change c = { .subject = b->subject, .kind = b->kind, .answer = b->answer, .seq = MAX(b->seq, seq) };

    if (manager_class(m, w, &b->subject, wall_s) < b->answer)
        return;
    if (b->bytes && b->expires > now) {
        c.record = (struct slice){ b->bytes, b->len };
        c.left_s = manager_left_s(m, b, now);
        c.fresh_s = manager_fresh_s(b->pace, c.left_s);
    }
    add(items, &c);
}

/* Of the changes from..head: where it ended. */
static uint64_t add_changes(struct manager *m, const struct who *w, const struct tag_prefix *prefix, uint64_t from,
                            instant now, uint64_t wall_s, struct items *items)
{
    uint64_t to = from, end = MIN(m->head, from + PAGE_STEPS);

    while (to < end && has_room(items)) {
        const struct change *c = &m->log[++to & (m->log_size - 1)];
        struct binding b = { .subject = c->key.subject, .kind = c->key.kind, .answer = c->key.answer };

        if (!tag_prefix_contains(prefix, &c->key.subject))
            continue;
        if (bindings_get(m->bindings, &c->key.subject, c->key.kind, c->key.answer, now, &b) < 0)
            b.bytes = NULL;
        add_row(m, w, &b, c->seq, now, wall_s, items);
    }
    return to;
}

/* Whether the ring has all changes after that number. */
static bool has_all_after(const struct manager *m, uint64_t number)
{
    return number >= MAX(m->gap, 1) && number <= m->head && m->head - number < m->log_size;
}

/* Rows from the place on: the next place, 0 when that was all. */
static uint32_t add_rows(struct manager *m, const struct who *w, const struct tag_prefix *prefix, uint32_t position,
                         instant now, uint64_t wall_s, struct items *items)
{
    uint32_t at = position - 1, budget = PAGE_STEPS;
    struct binding b;

    if (prefix->len == 128) { /* of one subject: no need to look at all */
        for (unsigned kind = 0; kind < KIND_COUNT; kind++)
            for (unsigned answer = CLASS_AGENT; answer <= CLASS_FULL; answer++)
                if (bindings_get(m->bindings, &prefix->tag, (uint8_t)kind, (uint8_t)answer, now, &b) == 0 && b.bytes &&
                    b.expires > now && has_room(items))
                    add_row(m, w, &b, b.seq, now, wall_s, items);
        return 0;
    }
    while (has_room(items) && bindings_next(m->bindings, &at, &budget, now, &b))
        if (tag_prefix_contains(prefix, &b.subject))
            add_row(m, w, &b, b.seq, now, wall_s, items);
    return budget == 0 || !has_room(items) ? at + 1 : 0;
}

struct mapping_answer manager_page(struct manager *m, const struct who *w, const struct tag_prefix *prefix,
                                   uint64_t epoch, uint64_t from, uint32_t position, instant now, uint64_t wall_s)
{
    struct items items = { .w = writer_init(m->page, PAGE_BYTES) };
    struct mapping_answer a = { .status = MAPPING_PAGE, .epoch = m->o.epoch };
    bool known = epoch == m->o.epoch && has_all_after(m, from);

    if (known && position == 0) {
        a.from = from;
        a.to = add_changes(m, w, prefix, from, now, wall_s, &items);
    } else {
        /* One that is behind the ring in the middle of a snapshot begins anew. */
        a.flags = MAPPING_SNAPSHOT;
        a.to = known ? from : m->head;
        a.position = add_rows(m, w, prefix, known ? position : 1, now, wall_s, &items);
    }
    if (a.position == 0 && a.to == m->head)
        a.flags |= MAPPING_CAUGHT_UP;
    a.items = (struct mapping_list){ m->page, writer_len(&items.w), items.count };
    return a;
}

struct mapping_answer manager_subscribe(struct manager *m, const struct who *w, const struct mapping_request *r,
                                        instant now, uint64_t wall_s, struct manager_reply *reply)
{
    struct subscription *sub = subscribers_find(m->subscribers, w->peer, &r->prefix);
    uint32_t lease_s = MIN(r->lease_s, MANAGER_SUBSCRIPTION_MAX_S);
    struct mapping_answer a;
    int e;

    if (w->type == WHO_STRANGER)
        return manager_none(w);
    if (lease_s == 0) {
        if (sub)
            subscribers_remove(m->subscribers, sub);
        return (struct mapping_answer){ .status = MAPPING_DONE };
    }
    /* A snapshot of what is not known yet would end what the other knows. */
    if (manager_is_behind(m))
        return manager_later(LATER_BEHIND_MS);
    e = subscribers_put(m->subscribers, w->peer, w->key, &r->prefix, now, &sub);
    if (e < 0)
        return manager_later(10000);
    a = manager_page(m, w, &r->prefix, r->epoch, r->from, r->position, now, wall_s);
    a.left_s = lease_s;
    reply->subscribed = true;
    sub->until = now + (instant)lease_s * SEC;
    sub->tag = w->tag;
    sub->last = false;
    /* It is told from the end of this page on, when it has read the rest; a notice that comes earlier does not follow
     * what it has, and it says so. */
    sub->told = a.to;
    sub->pending = a.flags & MAPPING_CAUGHT_UP ? 0 : a.to + 1;
    return a;
}

/* What is to be said to one that is due. False: nothing that it may know. */
static bool fill_notice(struct manager *m, struct subscription *sub, instant now, uint64_t wall_s,
                        struct mapping_request *r, struct items *items)
{
    const struct manager_who asks = { .peer = sub->peer, .ed25519 = sub->key };
    const struct who who = manager_identify(m, &asks, wall_s);
    /* All before the first that is pending was of other prefixes, or of what it may not know. */
    const uint64_t start = sub->pending > sub->told ? sub->pending - 1 : sub->told;

    /* It asks for all, after it has shown its chain if it has one; until then there is nobody to be told. */
    sub->last = who.type == WHO_STRANGER;
    if (!has_all_after(m, start) || sub->last) {
        r->flags = MAPPING_LOST;
        r->to = m->head;
        m->stats.notices_lost++;
    } else {
        r->to = add_changes(m, &who, &sub->prefix, start, now, wall_s, items);
    }
    sub->first = start + 1;
    sub->pending = r->to < m->head && !(r->flags & MAPPING_LOST) ? r->to + 1 : 0;
    return items->count > 0 || r->flags & MAPPING_LOST;
}

bool manager_pop_notice(struct manager *m, instant now, uint64_t wall_s, uint8_t *out, struct manager_notice *ret)
{
    struct subscription *sub;

    m->wall_s = wall_s;
    while ((sub = subscribers_pop_due(m->subscribers, now))) {
        struct writer w = writer_init(out, MAPPING_BYTES_MAX);
        struct items items = { .w = writer_init(m->page, PAGE_BYTES) };
        struct mapping_request r = {
            .type = MAPPING_NOTIFY, .epoch = m->o.epoch, .prefix = sub->prefix, .from = sub->told
        };

        if (!fill_notice(m, sub, now, wall_s, &r, &items)) {
            subscribers_passed(m->subscribers, sub, now);
            continue;
        }
        r.items = (struct mapping_list){ m->page, writer_len(&items.w), items.count };
        m->stats.notices++;
        mapping_request_write(&w, &r);
        subscribers_telling(m->subscribers, sub, r.to, (uint32_t)writer_len(&w));
        *ret = (struct manager_notice){ .peer = sub->peer, .id = sub->id, .len = writer_len(&w) };
        return true;
    }
    return false;
}

void manager_on_told(struct manager *m, uint64_t id, const uint8_t *answer, size_t len, instant now)
{
    struct subscription *sub = subscribers_by_id(m->subscribers, id);
    struct mapping_answer a;
    bool answered;

    if (!sub || sub->telling == 0)
        return;
    answered = answer && mapping_answer_read(answer, len, &a) == 0;
    if (sub->last || (answered && a.status == MAPPING_NONE)) { /* or it knows of no subscription */
        subscribers_remove(m->subscribers, sub);
        return;
    }
    answered = answered && a.status == MAPPING_DONE && a.epoch == m->o.epoch;
    if (answered)
        sub->told = sub->telling; /* where it is, or it asks by itself */
    else
        sub->pending = sub->first;
    subscribers_told(m->subscribers, sub, answered, now);
}

void manager_on_gone(struct manager *m, uint64_t peer)
{
    subscribers_forget_peer(m->subscribers, peer);
}

void manager_on_all_gone(struct manager *m)
{
    subscribers_forget_all(m->subscribers);
}
