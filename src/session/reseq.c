/* session/reseq.c - putting striped flows back in order.
 *
 * Theory of operation. A flow knows the highest sequence it has delivered (`last`) and keeps the records that wait for
 * a predecessor in a list sorted by sequence. Only the first of them stands before a real gap: the gap closes when its
 * predecessor is delivered, and then the records behind it follow as far as each is the successor of the one before.
 * What is released goes to one ready queue, from which the owner pops.
 *
 * Three structures find the gaps that can close without a look at every flow:
 *   - each flow with a gap is filed under one path slot that could still bring what is missing, sorted by the missing
 *     sequence. When that path delivers a later one, the flow is filed under another slot of its mask that has not; if
 *     there is none, no path can bring it any more and the gap is lost. Where a path would send it again in time the
 *     flow is not filed: what comes, or the deadline, closes the gap;
 *   - all waiting records are linked in the order of their arrival. All wait equally long, so the first one's deadline
 *     is the next one, and when it passes, the gaps up to that record are given up, so that no record waits longer;
 *   - the same list names the oldest gap when too many records wait.
 *
 * A path is taken to deliver in order or nearly so: what a path itself reorders can be passed on out of order.
 *
 * Limits: 1024 flows, 8 path slots, held_max waiting records, 200 ms. Insertion looks from the tail: one step when
 * records come in order behind a gap, at most held_max (flows: 1024) steps. No allocation after reseq_new.
 *
 * Sources: RFC 8985 section 6.2 (reordering window) for the idea of a bounded wait; the rest is our own. */
#include "session/reseq.h"

#include "base/list.h"

struct held {
    struct list in_flow; /* sorted by seq, or free */
    struct list by_age;
    struct pbuf *b;
    uint64_t seq, prev;
    instant arrived;
    struct flow_order *flow;
    uint8_t paths;
};

struct flow_order {
    uint64_t last; /* highest sequence delivered */
    struct list held;
    struct list watch; /* in the list of the slot that it waits for */
    uint64_t missing;  /* the predecessor of the first held record */
    bool has_last;
};

struct reseq {
    size_t held_max, held_count, slab_count;
    span wait;
    struct reseq_stats stats;
    uint64_t next[RESEQ_PATH_SLOTS]; /* one above the highest sequence seen on the slot, 0: none */
    uint8_t gone;                    /* slots whose path is down */
    uint8_t resent;                  /* slots of which what was lost comes again */
    struct list watches[RESEQ_PATH_SLOTS];
    struct list by_age, ready, free;
    struct held *slab;
    struct flow_order flows[RESEQ_FLOWS];
};

struct reseq *reseq_new(size_t held_max)
{
    struct reseq *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->slab = calloc(held_max + 1, sizeof(*r->slab)); /* one more: a record is put in before the oldest gap goes */
    if (!r->slab) {
        free(r);
        return NULL;
    }
    r->held_max = r->slab_count = held_max;
    r->wait = RESEQ_WAIT_MAX;
    list_init(&r->by_age);
    list_init(&r->ready);
    list_init(&r->free);
    for (size_t i = 0; i <= held_max; i++)
        list_append(&r->free, &r->slab[i].in_flow);
    for (unsigned i = 0; i < RESEQ_PATH_SLOTS; i++)
        list_init(&r->watches[i]);
    for (unsigned i = 0; i < RESEQ_FLOWS; i++) {
        list_init(&r->flows[i].held);
        list_init(&r->flows[i].watch);
    }
    return r;
}

void reseq_free(struct reseq *r)
{
    if (!r)
        return;
    LIST_FOREACH (h, &r->by_age, struct held, by_age)
        pbuf_unref(h->b);
    LIST_FOREACH_SAFE (b, &r->ready, struct pbuf, link) {
        list_remove(&b->link);
        pbuf_unref(b);
    }
    free(r->slab);
    free(r);
}

void reseq_set_held_max(struct reseq *r, size_t held_max)
{
    r->held_max = MIN(held_max, r->slab_count);
}

void reseq_set_wait(struct reseq *r, span wait)
{
    r->wait = CLAMP(wait, RESEQ_WAIT_MIN, RESEQ_WAIT_MAX);
}

static bool must_wait_for(uint64_t prev, uint64_t seq, uint64_t last)
{
    return prev != UINT64_MAX && prev > last && prev < seq;
}

static struct held *first_held(const struct flow_order *f)
{
    return LIST_FIRST(&f->held, struct held, in_flow);
}

static void release_first(struct reseq *r, struct flow_order *f, uint64_t *counter)
{
    struct held *h = first_held(f);

    list_append(&r->ready, &h->b->link);
    f->last = h->seq;
    f->has_last = true;
    list_remove(&h->by_age);
    list_remove(&h->in_flow);
    list_prepend(&r->free, &h->in_flow);
    r->held_count--;
    ++*counter;
}

/* Releases the first held record, whose gap closes for the reason that counter counts, and its successors. */
static void release_run(struct reseq *r, struct flow_order *f, uint64_t *counter)
{
    release_first(r, f, counter);
    while (!list_empty(&f->held)) {
        const struct held *h = first_held(f);

        if (must_wait_for(h->prev, h->seq, f->last))
            break;
        release_first(r, f, &r->stats.released_gap);
    }
}

static void watch_slot(struct reseq *r, struct flow_order *f, unsigned slot)
{
    struct list *at = r->watches[slot].prev;

    while (at != &r->watches[slot] && CONTAINER_OF(at, struct flow_order, watch)->missing > f->missing)
        at = at->prev;
    list_prepend(at, &f->watch); /* behind at */
}

/* Files f under a slot that may still bring what it misses; gaps for which there is no such slot are lost. */
static void settle(struct reseq *r, struct flow_order *f)
{
    list_remove(&f->watch);
    while (!list_empty(&f->held)) {
        const struct held *h = first_held(f);
        unsigned waiting = h->paths & ~r->gone;

        f->missing = h->prev;
        if (waiting & r->resent)
            return; /* it comes, or the deadline does */
        while (waiting) {
            unsigned slot = (unsigned)__builtin_ctz(waiting);

            if (r->next[slot] <= f->missing + 1) {
                watch_slot(r, f, slot);
                return;
            }
            waiting &= waiting - 1;
        }
        release_run(r, f, &r->stats.released_lost);
    }
}

void reseq_on_path(struct reseq *r, unsigned slot, uint64_t seq)
{
    struct list *watches;

    slot %= RESEQ_PATH_SLOTS;
    watches = &r->watches[slot];
    if (r->gone & 1u << slot) {
        r->gone &= (uint8_t) ~(1u << slot);
        r->next[slot] = 0;
    }
    if (seq < r->next[slot] || seq == UINT64_MAX)
        return;
    r->next[slot] = seq + 1;
    while (!list_empty(watches)) {
        struct flow_order *f = LIST_FIRST(watches, struct flow_order, watch);

        if (f->missing >= seq)
            break;
        settle(r, f);
    }
}

/* What may still bring the missing has changed: each gap is looked at again. */
static void settle_all(struct reseq *r)
{
    for (unsigned i = 0; i < RESEQ_FLOWS && r->held_count > 0; i++)
        if (!list_empty(&r->flows[i].held))
            settle(r, &r->flows[i]);
}

void reseq_set_resent(struct reseq *r, uint8_t slots)
{
    if (slots == r->resent)
        return;
    r->resent = slots;
    settle_all(r);
}

void reseq_path_gone(struct reseq *r, unsigned slot)
{
    r->gone |= (uint8_t)(1u << slot % RESEQ_PATH_SLOTS);
    settle_all(r);
}

enum arrival { ARRIVAL_LATE, ARRIVAL_IN_ORDER, ARRIVAL_EARLY };

static enum arrival classify(const struct flow_order *f, uint64_t seq, uint64_t prev)
{
    if (f->has_last && seq <= f->last)
        return ARRIVAL_LATE;
    if (!list_empty(&f->held))
        return must_wait_for(prev, seq, f->last) || first_held(f)->seq < seq ? ARRIVAL_EARLY : ARRIVAL_IN_ORDER;
    /* Also the first that is seen of a flow waits for what it names: a flow may start over two paths at once. */
    return must_wait_for(prev, seq, f->last) ? ARRIVAL_EARLY : ARRIVAL_IN_ORDER;
}

static void note_in_order(struct reseq *r, struct flow_order *f, uint64_t seq)
{
    f->has_last = true;
    f->last = seq;
    r->stats.in_order++;
}

bool reseq_pass(struct reseq *r, uint16_t flow, uint64_t seq, uint64_t prev, uint8_t paths, instant now)
{
    struct flow_order *f = &r->flows[flow % RESEQ_FLOWS];

    if (!list_empty(&r->ready)) /* it might overtake its own flow */
        return false;
    switch (classify(f, seq, prev)) {
    case ARRIVAL_LATE:
        r->stats.late++;
        break;
    case ARRIVAL_IN_ORDER:
        if (!list_empty(&f->held))
            return false;
        note_in_order(r, f, seq);
        break;
    default:
        return false;
    }
    return true;
}

static void hold(struct reseq *r, struct flow_order *f, const struct held *as)
{
    struct held *h = LIST_FIRST(&r->free, struct held, in_flow);
    struct list *at = f->held.prev;

    list_remove(&h->in_flow);
    *h = *as;
    while (at != &f->held && CONTAINER_OF(at, struct held, in_flow)->seq > h->seq)
        at = at->prev;
    list_prepend(at, &h->in_flow); /* behind at */
    list_append(&r->by_age, &h->by_age);
    r->held_count++;
    r->stats.held++;
    if (first_held(f) == h)
        settle(r, f);
}

/* The sender says that seq need not wait: neither do the records before it, which would come late. */
static void release_before(struct reseq *r, struct flow_order *f, uint64_t seq)
{
    while (!list_empty(&f->held) && first_held(f)->seq < seq)
        release_run(r, f, &r->stats.released_lost);
}

void reseq_push(struct reseq *r, uint16_t flow, uint64_t seq, uint64_t prev, uint8_t paths, struct pbuf *b, instant now)
{
    struct flow_order *f = &r->flows[flow % RESEQ_FLOWS];

    if (prev == UINT64_MAX)
        release_before(r, f, seq);
    switch (classify(f, seq, prev)) {
    case ARRIVAL_LATE:
        list_append(&r->ready, &b->link);
        r->stats.late++;
        break;
    case ARRIVAL_IN_ORDER:
        list_append(&r->ready, &b->link);
        note_in_order(r, f, seq);
        if (!list_empty(&f->held)) {
            const struct held *h = first_held(f);

            if (!must_wait_for(h->prev, h->seq, f->last))
                release_run(r, f, &r->stats.released_gap);
        }
        settle(r, f);
        break;
    case ARRIVAL_EARLY:
        hold(r, f, &(struct held){ .b = b, .seq = seq, .prev = prev, .arrived = now, .flow = f, .paths = paths });
        while (r->held_count > r->held_max) {
            struct flow_order *oldest = LIST_FIRST(&r->by_age, struct held, by_age)->flow;

            release_run(r, oldest, &r->stats.released_full);
            settle(r, oldest);
        }
        break;
    }
}

/* Gives up the gaps before every record whose time is over. */
static void expire(struct reseq *r, instant now)
{
    while (!list_empty(&r->by_age)) {
        const struct held *h = LIST_FIRST(&r->by_age, struct held, by_age);
        struct flow_order *f = h->flow;

        if (now < h->arrived + r->wait)
            break;
        release_run(r, f, &r->stats.released_deadline);
        settle(r, f);
    }
}

struct pbuf *reseq_pop(struct reseq *r, instant now)
{
    struct pbuf *b;

    expire(r, now);
    if (list_empty(&r->ready))
        return NULL;
    b = LIST_FIRST(&r->ready, struct pbuf, link);
    list_remove(&b->link);
    return b;
}

instant reseq_next_expiry(const struct reseq *r)
{
    if (!list_empty(&r->ready))
        return 0;
    if (list_empty(&r->by_age))
        return INSTANT_NEVER;
    return LIST_FIRST(&r->by_age, struct held, by_age)->arrived + r->wait;
}

struct reseq_stats reseq_stats(const struct reseq *r)
{
    return r->stats;
}
