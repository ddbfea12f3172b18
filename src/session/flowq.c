/* session/flowq.c - packets waiting for a path.
 *
 * Theory of operation. Each class has two rounds, lists of flows: new and old (RFC 8290 section 4). A flow enters the
 * new round with one quantum of credit; when its credit is used up it gets another quantum and goes to the tail of the
 * old round; when it is found empty it leaves, from the new round by way of the old one, so that a flow cannot come
 * back as new after each packet. A pop is one walk over the new round and then the old one. A flow that `may` refuses
 * is stepped over where it stands: it keeps its place and its credit for the next path that asks. A flow that goes to
 * the tail of the old round lies ahead of the walk again, so one walk suffices and no flow is refused twice.
 * An old flow that is alone needs no walk.
 *
 * CoDel (RFC 8289 section 5) runs on the flow whose turn it is, with the time of arrival in pbuf.stamp. It does not
 * drop when what would be left behind is no more than a quantum, so the last packet of a flow is never dropped and a
 * slow path that is a packet or two behind is no standing queue. Where a drop is due and the packet can be marked
 * instead, it is marked and sent (RFC 8290 section 5.2.6): the schedule goes on as if it had been dropped.
 *
 * CoDel drops one packet and waits for its sender to slow down, which suits a queue that a sender has built. A queue
 * that stands because a path went is another matter: its senders' windows are twice what fits, one drop does not change
 * that, and what they send again has to pass all of it, while the reader waits behind the gap. So within a second of
 * such a fall a drop takes all of the flow's queue with it but what keeps a path busy. What is sent again then finds
 * the queue empty, and the reader waits for a round trip. A packet that can be marked is never dropped so.
 *
 * A full queue drops from the head of the longest flow (RFC 8290 section 4.1.3): the oldest packet is the one that the
 * sender learns of first. The longest one is found by a walk over the flows in the rounds.
 *
 * Limits: 1024 flows. A pop takes at most a step for each refused or empty flow and, because a packet is at most 2048
 * bytes and a quantum at least 256, 9 for each other one, and one for each that it drops; usually one in all. A push is
 * O(1) while there is room and O(flows in the rounds) when full. No allocation after flowq_new.
 *
 * Sources: RFC 8289, RFC 8290; M. Shreedhar, G. Varghese, Efficient Fair Queuing using Deficit Round Robin (1995). */
#include "session/flowq.h"

#include <math.h>

#define QUANTUM_MIN 256 /* chosen: bounds the rounds of one walk, see above */
/* chosen: a keyframe of a video on a thin link takes this long to leave, and is no standing queue */
#define INTERACTIVE_TARGET (100 * MSEC)
#define FALL_SPAN (1 * SEC)  /* chosen: the interval, and the round trips in which a sender learns of it, twice */
#define SHED_AFTER (2 << 20) /* bytes: chosen: a flow that is still looking for its rate loses more than it gains */
#define SHED_LEFT (2 * MSEC) /* of waiting: chosen: a path is fed in quanta of 1 ms */
#define CODEL_MEMORY_INTERVALS 16 /* RFC 8289 section 5.5: how long the drop rate of the last episode is remembered */

struct round {
    struct list new_flows, old_flows;
    size_t pkts, flows; /* flows: that have packets */
};

struct flowq {
    struct flowq_options options;
    struct flowq_stats stats;
    struct round rounds[FLOW_CLASS_COUNT];
    size_t bytes, pkts;
    size_t rule_bytes[FLOWQ_RULES];
    instant fallen_at;             /* the newest flowq_on_fall, or INSTANT_NEVER */
    uint32_t walk;                 /* number of the present walk */
    uint32_t allowed[FLOWQ_FLOWS]; /* the walk in which `may` last allowed the flow */
    struct flow flows[FLOWQ_FLOWS];
};

struct flowq *flowq_new(const struct flowq_options *o)
{
    struct flowq *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    q->options = *o;
    q->fallen_at = INSTANT_NEVER;
    q->options.quantum = CLAMP(o->quantum, QUANTUM_MIN, INT32_MAX / 2);
    for (unsigned c = 0; c < FLOW_CLASS_COUNT; c++) {
        list_init(&q->rounds[c].new_flows);
        list_init(&q->rounds[c].old_flows);
    }
    for (unsigned i = 0; i < FLOWQ_FLOWS; i++) {
        q->flows[i].index = (uint16_t)i;
        list_init(&q->flows[i].active);
        list_init(&q->flows[i].packets);
    }
    return q;
}

void flowq_free(struct flowq *q)
{
    if (!q)
        return;
    for (unsigned i = 0; i < FLOWQ_FLOWS; i++) {
        LIST_FOREACH_SAFE (b, &q->flows[i].packets, struct pbuf, link) {
            list_remove(&b->link);
            pbuf_unref(b);
        }
    }
    free(q);
}

void flowq_set_target(struct flowq *q, span target, span interval)
{
    q->options.interval = interval;
    q->options.target = target;
}

void flowq_on_fall(struct flowq *q, instant now)
{
    q->fallen_at = now;
}

struct flow *flowq_flow(struct flowq *q, uint64_t hash)
{
    return &q->flows[hash % FLOWQ_FLOWS];
}

void flowq_steer(struct flowq *q, struct flow *f, uint16_t steer)
{
    q->rule_bytes[f->steer] -= f->bytes;
    q->rule_bytes[steer] += f->bytes;
    f->steer = steer;
}

static void account(struct flowq *q, struct flow *f, const struct pbuf *b, bool in)
{
    size_t bytes = in ? b->len : -(size_t)b->len, pkts = in ? 1 : -(size_t)1;
    bool had = f->pkts > 0;

    f->bytes += bytes;
    f->pkts += pkts;
    q->bytes += bytes;
    q->rule_bytes[f->steer] += bytes;
    q->pkts += pkts;
    q->rounds[f->class].pkts += pkts;
    if (had != (f->pkts > 0))
        q->rounds[f->class].flows += pkts;
}

/* The oldest packet of f, which has one, with its reference. */
static struct pbuf *take_head(struct flowq *q, struct flow *f)
{
    struct pbuf *b = LIST_FIRST(&f->packets, struct pbuf, link);

    list_remove(&b->link);
    account(q, f, b, false);
    return b;
}

static void drop_head(struct flowq *q, struct flow *f, uint64_t *counter)
{
    pbuf_unref(take_head(q, f));
    ++*counter;
    if (f->pkts == 0) {
        f->codel.first_above = 0;
        f->codel.dropping = false;
    }
}

static bool in_round(const struct flow *f)
{
    return !list_empty(&f->active);
}

static struct flow *longest_in(struct list *flows, struct flow *longest)
{
    LIST_FOREACH (f, flows, struct flow, active) {
        if (f->pkts > 0 && (!longest || f->bytes > longest->bytes))
            longest = f;
    }
    return longest;
}

/* Between equals a bulk flow, and one that has been there for longer. */
static struct flow *longest_flow(struct flowq *q)
{
    struct flow *longest = NULL;

    for (int c = FLOW_CLASS_COUNT - 1; c >= 0; c--) {
        longest = longest_in(&q->rounds[c].old_flows, longest);
        longest = longest_in(&q->rounds[c].new_flows, longest);
    }
    return longest;
}

static void set_class(struct flowq *q, struct flow *f, enum flow_class c)
{
    if (f->class == c)
        return;
    q->rounds[f->class].pkts -= f->pkts;
    q->rounds[c].pkts += f->pkts;
    q->rounds[f->class].flows -= f->pkts > 0;
    q->rounds[c].flows += f->pkts > 0;
    f->class = (uint8_t)c;
    if (in_round(f)) {
        list_remove(&f->active);
        list_append(f->is_new ? &q->rounds[c].new_flows : &q->rounds[c].old_flows, &f->active);
    }
}

void flowq_push(struct flowq *q, struct flow *f, struct pbuf *b, enum flow_class c, instant now)
{
    set_class(q, f, c);
    b->stamp = now;
    list_append(&f->packets, &b->link);
    account(q, f, b, true);
    q->stats.pushed++;
    if (!in_round(f)) {
        f->is_new = true;
        f->deficit = (int32_t)q->options.quantum;
        list_append(&q->rounds[c].new_flows, &f->active);
    }
    while (q->pkts > 0 && (q->bytes > q->options.bytes_max || q->pkts > q->options.pkts_max))
        drop_head(q, longest_flow(q), &q->stats.dropped_full);
}

/* RFC 8289 section 5.4: the time of the next drop, ever closer while the queue stands. */
static instant control_law(const struct flowq *q, instant t, uint32_t count)
{
    return t + (span)((double)q->options.interval / sqrt((double)count));
}

/* RFC 8289 section 5.6, dodequeue: takes a packet; true when the queue has stood above the target for an interval. */
static bool codel_take(struct flowq *q, struct flow *f, instant now, struct pbuf **ret_b)
{
    span target = f->class == FLOW_INTERACTIVE ? MAX(q->options.target, INTERACTIVE_TARGET) : q->options.target;
    struct pbuf *b = take_head(q, f);

    *ret_b = b;
    if (now - b->stamp < target || f->bytes <= q->options.quantum) {
        f->codel.first_above = 0;
        return false;
    }
    if (f->codel.first_above == 0) {
        f->codel.first_above = now + q->options.interval;
        return false;
    }
    return now >= f->codel.first_above;
}

/* True: the packet carries the news itself and may leave. False: it is gone. */
static bool mark_or_drop(struct flowq *q, struct pbuf *b)
{
    if (q->options.mark && q->options.mark(b)) {
        q->stats.marked++;
        return true;
    }
    pbuf_unref(b);
    q->stats.dropped_codel++;
    return false;
}

/* RFC 8289 section 5.5, dequeue: takes the next packet of f, which has one, after the drops that are due. */
static struct pbuf *codel_pop(struct flowq *q, struct flow *f, instant now)
{
    struct pbuf *b;
    bool above = codel_take(q, f, now, &b);

    if (f->codel.dropping) {
        if (!above)
            f->codel.dropping = false;
        while (f->codel.dropping && now >= f->codel.drop_next) {
            f->codel.count++;
            if (mark_or_drop(q, b)) {
                f->codel.drop_next = control_law(q, f->codel.drop_next, f->codel.count);
                break;
            }
            above = codel_take(q, f, now, &b);
            if (above)
                f->codel.drop_next = control_law(q, f->codel.drop_next, f->codel.count);
            else
                f->codel.dropping = false;
        }
    } else if (above) {
        uint32_t delta = f->codel.count - f->codel.last_count;
        bool recent = now - f->codel.drop_next < CODEL_MEMORY_INTERVALS * q->options.interval;

        if (!mark_or_drop(q, b))
            codel_take(q, f, now, &b);
        f->codel.dropping = true;
        f->codel.count = delta > 1 && recent ? delta : 1;
        f->codel.drop_next = control_law(q, now, f->codel.count);
        f->codel.last_count = f->codel.count;
    }
    return b;
}

/* Drops what has waited for too long, beginning with b, the next packet of f; returns the one to send instead. */
static struct pbuf *shed(struct flowq *q, struct flow *f, struct pbuf *b, instant now)
{
    while (now - b->stamp > SHED_LEFT && f->bytes > q->options.quantum && !mark_or_drop(q, b))
        b = take_head(q, f);
    return b;
}

/* Ends f's turn: to the tail of the old round, or away. */
static void turn_over(struct flowq *q, struct flow *f)
{
    bool leave = f->pkts == 0 && !f->is_new;

    list_remove(&f->active);
    if (leave)
        return;
    if (f->pkts > 0)
        f->deficit += (int32_t)q->options.quantum;
    f->is_new = false;
    list_append(&q->rounds[f->class].old_flows, &f->active);
}

static struct flow *walk_round(struct flowq *q, struct list *flows, bool (*may)(void *ctx, const struct flow *f),
                               void *ctx)
{
    struct list *at = flows->next;

    while (at != flows) {
        struct flow *f = CONTAINER_OF(at, struct flow, active);
        struct list *before = at->prev;

        if (f->pkts > 0 && q->allowed[f->index] != q->walk) {
            if (!may(ctx, f)) {
                at = at->next;
                continue;
            }
            q->allowed[f->index] = q->walk;
        }
        if (f->pkts > 0 && f->deficit > 0)
            return f;
        turn_over(q, f);
        at = before->next;
    }
    return NULL;
}

/* A round with packets: of one flow, and that an old one? */
static bool is_alone(const struct round *r)
{
    return list_empty(&r->new_flows) && r->old_flows.next == r->old_flows.prev;
}

static struct flow *next_in_turn(struct flowq *q, struct round *r, bool (*may)(void *ctx, const struct flow *f),
                                 void *ctx)
{
    struct flow *f;

    if (is_alone(r)) {
        f = CONTAINER_OF(r->old_flows.next, struct flow, active);
        if (!may(ctx, f))
            return NULL;
        while (f->deficit <= 0) /* its turn comes again at once */
            f->deficit += (int32_t)q->options.quantum;
        return f;
    }
    if (++q->walk == 0) { /* the numbers have come round: none may look like this walk's */
        memset(q->allowed, 0, sizeof(q->allowed));
        q->walk = 1;
    }
    f = walk_round(q, &r->new_flows, may, ctx);
    return f ? f : walk_round(q, &r->old_flows, may, ctx);
}

struct pbuf *flowq_pop(struct flowq *q, enum flow_class c, bool (*may)(void *ctx, const struct flow *f), void *ctx,
                       instant now, struct flow **ret_flow)
{
    struct round *r = &q->rounds[c];
    uint64_t dropped = q->stats.dropped_codel;
    struct pbuf *b;
    struct flow *f;

    if (r->pkts == 0)
        return NULL;
    f = next_in_turn(q, r, may, ctx);
    if (!f)
        return NULL;
    b = codel_pop(q, f, now);
    if (q->stats.dropped_codel > dropped && c == FLOW_BULK && f->run_bytes > SHED_AFTER &&
        q->fallen_at != INSTANT_NEVER && now - q->fallen_at < FALL_SPAN)
        b = shed(q, f, b, now);
    f->deficit -= b->len;
    q->stats.popped++;
    *ret_flow = f;
    return b;
}

void flowq_unpop(struct flowq *q, struct flow *f, struct pbuf *b)
{
    list_prepend(&f->packets, &b->link);
    account(q, f, b, true);
    f->deficit += b->len;
    q->stats.popped--;
    if (!in_round(f))
        list_prepend(f->is_new ? &q->rounds[f->class].new_flows : &q->rounds[f->class].old_flows, &f->active);
}

size_t flowq_flows(const struct flowq *q, enum flow_class c)
{
    return q->rounds[c].flows;
}

size_t flowq_runs(const struct flowq *q, uint64_t bytes, instant since)
{
    size_t n = 0;

    for (size_t i = 0; i < FLOWQ_FLOWS; i++)
        n += q->flows[i].run_bytes >= bytes && q->flows[i].run_until >= since;
    return n;
}

bool flowq_empty(const struct flowq *q, enum flow_class c)
{
    return q->rounds[c].pkts == 0;
}

size_t flowq_bytes(const struct flowq *q)
{
    return q->bytes;
}

size_t flowq_bytes_of(const struct flowq *q, uint16_t steer)
{
    return q->rule_bytes[steer];
}

static void keep_newest(struct flowq *q, struct list *flows)
{
    LIST_FOREACH (f, flows, struct flow, active) {
        while (f->pkts > 1)
            drop_head(q, f, &q->stats.dropped_stale);
    }
}

void flowq_keep_newest(struct flowq *q)
{
    for (unsigned c = 0; c < FLOW_CLASS_COUNT; c++) {
        keep_newest(q, &q->rounds[c].new_flows);
        keep_newest(q, &q->rounds[c].old_flows);
    }
}

static void visit_round(struct list *flows, void (*visit)(void *ctx, struct flow *f), void *ctx)
{
    LIST_FOREACH (f, flows, struct flow, active) {
        if (f->pkts > 0)
            visit(ctx, f);
    }
}

void flowq_foreach(struct flowq *q, void (*visit)(void *ctx, struct flow *f), void *ctx)
{
    for (unsigned c = 0; c < FLOW_CLASS_COUNT; c++) {
        visit_round(&q->rounds[c].new_flows, visit, ctx);
        visit_round(&q->rounds[c].old_flows, visit, ctx);
    }
}

struct flowq_stats flowq_stats(const struct flowq *q)
{
    return q->stats;
}
