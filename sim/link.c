/* One direction of a link.
 *
 * Theory of operation. A packet that is let in waits in a ring. The ring's head is being serialised: its work, counted
 * in bit x ns (bytes * 8 * 10^9), divided by the rate is a time in nanoseconds, and the remainder of that division is
 * carried into the next packet's, so that any number of packets takes exactly the sum of their times. When the head is
 * done it goes into the heap of packets in flight with its delivery time, and the next begins at the very instant the
 * last one ended, whenever we are called. A packet that finds the ring empty begins now: an idle link saves up no
 * credit. With a trace, each opportunity carries 1500 bytes of whatever waits before it, across packets; what it does
 * not use is lost.
 *
 * Limits. Times in ns in 63 bits; work of one packet < 5.3e14; held packets as given to link_init (a lost packet takes
 * a slot until its time on the wire has passed). Loss is drawn after the queue's limit, so drops never hide losses.
 *
 * Sources. Trace format and its use: Mahimahi (Netravali et al., USENIX ATC 2015). Bursty loss: Gilbert 1960, Elliott
 * 1963: one step of the chain for each packet, then the loss of the state it came to. */
#include "sim/link.h"

#include <assert.h>
#include <errno.h>

#define NS_PER_US 1000
#define NS_PER_MS 1000000
#define WORK_PER_BYTE (8 * UINT64_C(1000000000))
#define QUEUE_TIME_DEFAULT (100 * MSEC) /* chosen: as much as a common access router holds */
#define QUEUE_BYTES_MIN (64 * 1024)     /* chosen: a slow link still takes one window of 44 full packets */

struct link_slot {
    void *pkt; /* NULL: lost, only its time counts */
    uint32_t len;
    uint32_t copies;
    int64_t flip_bit;
    double deviate; /* of the jitter: drawn at push, scaled when it leaves */
    uint64_t sequence;
};

struct link_flight {
    int64_t due_ns;
    uint64_t sequence;
    void *pkt;
    uint32_t len;
    uint32_t copies;
    int64_t flip_bit;
};

int link_init(struct link_dir *l, size_t max_packets, uint64_t seed)
{
    struct prng seeds;

    memset(l, 0, sizeof(*l));
    l->ring = calloc(max_packets, sizeof(*l->ring));
    l->heap = calloc(max_packets, sizeof(*l->heap));
    if (!l->ring || !l->heap) {
        link_deinit(l);
        return -ENOMEM;
    }
    l->slots_max = max_packets;
    l->now_ns = l->last_due_ns = INT64_MIN;
    prng_init(&seeds, seed);
    prng_init(&l->loss_prng, prng_u64(&seeds));
    prng_init(&l->burst_prng, prng_u64(&seeds));
    prng_init(&l->jitter_prng, prng_u64(&seeds));
    prng_init(&l->dup_prng, prng_u64(&seeds));
    prng_init(&l->corrupt_prng, prng_u64(&seeds));
    return 0;
}

void link_deinit(struct link_dir *l)
{
    free(l->ring);
    free(l->heap);
    memset(l, 0, sizeof(*l));
}

static struct link_slot *ring_at(const struct link_dir *l, size_t i)
{
    size_t at = l->ring_head + i;

    return &l->ring[at < l->slots_max ? at : at - l->slots_max];
}

static bool flight_before(const struct link_flight *a, const struct link_flight *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->sequence < b->sequence;
}

static void heap_push(struct link_dir *l, const struct link_flight *f)
{
    size_t i = l->heap_count++;

    for (size_t up; i > 0; i = up) {
        up = (i - 1) / 2;
        if (!flight_before(f, &l->heap[up]))
            break;
        l->heap[i] = l->heap[up];
    }
    l->heap[i] = *f;
}

static struct link_flight heap_pop(struct link_dir *l)
{
    struct link_flight top = l->heap[0], last = l->heap[--l->heap_count];
    size_t i = 0;

    for (;;) {
        size_t down = 2 * i + 1;

        if (down >= l->heap_count)
            break;
        if (down + 1 < l->heap_count && flight_before(&l->heap[down + 1], &l->heap[down]))
            down++;
        if (!flight_before(&l->heap[down], &last))
            break;
        l->heap[i] = l->heap[down];
        i = down;
    }
    l->heap[i] = last;
    return top;
}

/* Delivery time of a packet whose last bit leaves at ns. */
static int64_t flight_due(const struct link_dir *l, const struct link_slot *s, int64_t ns)
{
    int64_t wait = l->params.delay * NS_PER_US + (int64_t)(s->deviate * (double)(l->params.jitter * NS_PER_US));
    int64_t due = ns + MAX(wait, 0);

    return l->params.reorder ? due : MAX(due, l->last_due_ns);
}

static void fly(struct link_dir *l, const struct link_slot *s, int64_t ns)
{
    struct link_flight f = {
        .due_ns = flight_due(l, s, ns),
        .sequence = s->sequence,
        .pkt = s->pkt,
        .len = s->len,
        .copies = s->copies,
        .flip_bit = s->flip_bit,
    };

    l->last_due_ns = MAX(l->last_due_ns, f.due_ns);
    heap_push(l, &f);
}

/* The head's last bit has left at ns. */
static void head_done(struct link_dir *l, int64_t ns)
{
    struct link_slot *s = ring_at(l, 0);

    if (s->pkt)
        fly(l, s, ns);
    l->queued_bytes -= s->len;
    l->ring_head = l->ring_head + 1 < l->slots_max ? l->ring_head + 1 : 0;
    l->ring_count--;
    if (l->ring_count > 0)
        l->head_work = ring_at(l, 0)->len * WORK_PER_BYTE;
}

/* When the head's last bit leaves, rounded up to a nanosecond. */
static int64_t head_finish(const struct link_dir *l)
{
    uint64_t work = l->head_work + l->carry;

    return l->start_ns + (int64_t)((work + l->params.rate_bps - 1) / l->params.rate_bps);
}

static void advance_rate(struct link_dir *l, int64_t now_ns)
{
    uint64_t rate = l->params.rate_bps;

    while (l->ring_count > 0 && head_finish(l) <= now_ns) {
        int64_t finish = head_finish(l);
        uint64_t work = l->head_work + l->carry;

        head_done(l, finish);
        l->start_ns += (int64_t)(work / rate);
        l->carry = work % rate;
    }
}

static int64_t trace_ns(const struct link_dir *l)
{
    return l->round_ns + (int64_t)l->params.trace->at_ms[l->opportunity] * NS_PER_MS;
}

/* Nothing waits: go to the first opportunity after now. */
static void trace_skip(struct link_dir *l, int64_t now_ns)
{
    const struct link_trace *t = l->params.trace;
    int64_t period = (int64_t)t->at_ms[t->count - 1] * NS_PER_MS;
    int64_t rounds = MAX((now_ns - l->round_ns) / period, 0);
    uint64_t at_ms;
    size_t low, high = t->count;

    l->round_ns += rounds * period;
    low = rounds > 0 ? 0 : l->opportunity;
    at_ms = (uint64_t)MAX(now_ns - l->round_ns, 0) / NS_PER_MS;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (t->at_ms[middle] <= at_ms)
            low = middle + 1;
        else
            high = middle;
    }
    /* The last opportunity is the period itself, which is later than the rest of the division. */
    assert(low < t->count);
    l->opportunity = low;
}

static void advance_trace(struct link_dir *l, int64_t now_ns)
{
    const struct link_trace *t = l->params.trace;

    while (l->ring_count > 0 && trace_ns(l) <= now_ns) {
        int64_t ns = trace_ns(l);
        uint64_t budget = LINK_TRACE_MTU * WORK_PER_BYTE;

        while (l->ring_count > 0 && budget > 0) {
            uint64_t part = MIN(budget, l->head_work);

            budget -= part;
            l->head_work -= part;
            if (l->head_work == 0)
                head_done(l, ns);
        }
        if (++l->opportunity == t->count) {
            l->opportunity = 0;
            l->round_ns += (int64_t)t->at_ms[t->count - 1] * NS_PER_MS;
        }
    }
    if (l->ring_count == 0)
        trace_skip(l, now_ns);
}

/* Brings the ring up to now: everything whose last bit has left is in the heap. */
static void advance(struct link_dir *l, instant now)
{
    int64_t now_ns = MAX(now * NS_PER_US, l->now_ns);

    l->now_ns = now_ns;
    if (l->params.down)
        return;
    if (l->params.trace)
        advance_trace(l, now_ns);
    else if (l->params.rate_bps > 0)
        advance_rate(l, now_ns);
    else
        while (l->ring_count > 0)
            head_done(l, now_ns);
}

void link_configure(struct link_dir *l, const struct link_params *params, instant now)
{
    bool same_trace = params->trace == l->params.trace;

    advance(l, now);
    /* What the head has still to do, at the old rate; it starts afresh with that. */
    if (l->ring_count > 0 && !l->params.trace && l->params.rate_bps > 0) {
        uint64_t done = (uint64_t)(l->now_ns - l->start_ns) * l->params.rate_bps;

        l->head_work = l->head_work + l->carry - MIN(done, l->head_work + l->carry);
    }
    l->start_ns = l->now_ns;
    l->carry = 0;
    l->params = *params;
    if (params->trace && !same_trace) {
        l->round_ns = l->now_ns;
        l->opportunity = 0;
    }
    advance(l, now);
}

uint64_t link_trace_mean_bps(const struct link_trace *t)
{
    return (uint64_t)t->count * LINK_TRACE_MTU * 8 * 1000 / t->at_ms[t->count - 1];
}

static uint64_t queue_limit(const struct link_params *p)
{
    uint64_t rate = p->trace ? link_trace_mean_bps(p->trace) : p->rate_bps;

    if (p->queue_bytes > 0)
        return p->queue_bytes;
    if (p->queue_time > 0)
        return (uint64_t)((double)rate / 8 * (double)p->queue_time / SEC);
    return MAX((uint64_t)((double)rate / 8 * QUEUE_TIME_DEFAULT / SEC), QUEUE_BYTES_MIN);
}

static bool chance(struct prng *p, double probability)
{
    return probability > 0 && prng_unit(p) < probability;
}

static enum link_verdict draw_loss(struct link_dir *l)
{
    const struct link_params *p = &l->params;

    if (p->ge_p > 0) {
        if (chance(&l->burst_prng, l->bad ? p->ge_r : p->ge_p))
            l->bad = !l->bad;
        if (chance(&l->burst_prng, l->bad ? p->ge_loss_bad : p->ge_loss_good))
            return LINK_DROP_BURST;
    }
    return chance(&l->loss_prng, p->loss) ? LINK_DROP_LOSS : LINK_QUEUED;
}

static enum link_verdict admit(struct link_dir *l, uint32_t len)
{
    const struct link_params *p = &l->params;

    if (p->down)
        return LINK_DROP_DOWN;
    if (p->mtu > 0 && len > p->mtu)
        return LINK_DROP_MTU;
    if (p->blackhole)
        return LINK_DROP_BLACKHOLE;
    /* An idle link takes any packet, however small its queue. */
    if (l->ring_count > 0 && l->queued_bytes + len > queue_limit(p))
        return LINK_DROP_QUEUE;
    if (l->ring_count + l->heap_count >= l->slots_max)
        return LINK_DROP_SLOTS;
    return LINK_QUEUED;
}

enum link_verdict link_push(struct link_dir *l, void *pkt, uint32_t len, instant now)
{
    const struct link_params *p = &l->params;
    struct link_slot *s;
    enum link_verdict v;

    assert(pkt && len > 0 && len <= LINK_PACKET_MAX);
    advance(l, now);
    l->counters.in_pkts++;
    l->counters.in_bytes += len;
    v = admit(l, len);
    if (v != LINK_QUEUED) {
        l->counters.dropped[v]++;
        return v;
    }
    v = draw_loss(l);
    s = ring_at(l, l->ring_count);
    *s = (struct link_slot){ .pkt = pkt, .len = len, .copies = 1, .flip_bit = -1, .sequence = ++l->sequence };
    if (v != LINK_QUEUED) {
        l->counters.dropped[v]++;
        s->pkt = NULL;
    }
    if (p->jitter > 0)
        s->deviate = p->dist == LINK_DIST_UNIFORM ? 2 * prng_unit(&l->jitter_prng) - 1 : prng_normal(&l->jitter_prng);
    if (chance(&l->dup_prng, p->dup))
        s->copies = 2;
    if (chance(&l->corrupt_prng, p->corrupt))
        s->flip_bit = (int64_t)prng_below(&l->corrupt_prng, (uint64_t)len * 8);
    if (l->ring_count++ == 0) {
        l->head_work = len * WORK_PER_BYTE;
        l->start_ns = l->now_ns;
        l->carry = 0;
    }
    l->queued_bytes += len;
    if (p->trace || p->rate_bps > 0)
        l->counters.queue_max_bytes = MAX(l->counters.queue_max_bytes, l->queued_bytes);
    else
        head_done(l, l->now_ns);
    return v;
}

void *link_drain(struct link_dir *l)
{
    if (l->heap_count > 0)
        return heap_pop(l).pkt;
    while (l->ring_count > 0) {
        void *pkt = ring_at(l, 0)->pkt;

        l->queued_bytes -= ring_at(l, 0)->len;
        l->ring_head = l->ring_head + 1 < l->slots_max ? l->ring_head + 1 : 0;
        l->ring_count--;
        if (pkt)
            return pkt;
    }
    return NULL;
}

int link_pop(struct link_dir *l, instant now, struct link_out *ret_out)
{
    struct link_flight f;

    advance(l, now);
    if (l->params.down) {
        void *pkt = link_drain(l);

        if (!pkt)
            return 0;
        l->counters.dropped[LINK_DROP_DOWN]++;
        *ret_out = (struct link_out){ .pkt = pkt, .due = now, .flip_bit = -1 };
        return 1;
    }
    if (l->heap_count == 0 || l->heap[0].due_ns > l->now_ns)
        return 0;
    f = heap_pop(l);
    l->counters.delivered_pkts++;
    l->counters.delivered_bytes += f.len;
    l->counters.duplicated += f.copies - 1;
    l->counters.corrupted += f.flip_bit >= 0;
    l->counters.reordered += f.sequence < l->delivered_sequence;
    l->delivered_sequence = MAX(l->delivered_sequence, f.sequence);
    *ret_out = (struct link_out){
        .pkt = f.pkt,
        .len = f.len,
        .due = (f.due_ns + NS_PER_US - 1) / NS_PER_US,
        .copies = f.copies,
        .flip_bit = f.flip_bit,
    };
    return 1;
}

instant link_next_expiry(const struct link_dir *l)
{
    const struct link_params *p = &l->params;
    int64_t ns = INT64_MAX;

    if (l->ring_count == 0 && l->heap_count == 0)
        return INSTANT_NEVER;
    if (p->down)
        return l->now_ns / NS_PER_US;
    if (l->heap_count > 0)
        ns = l->heap[0].due_ns;
    if (l->ring_count > 0) {
        int64_t out = p->trace ? trace_ns(l) : head_finish(l);

        /* In order, nothing behind the head can come out before it; otherwise look again when the head is out. */
        ns = MIN(ns, p->trace || p->reorder ? out : flight_due(l, ring_at(l, 0), out));
    }
    return (ns + NS_PER_US - 1) / NS_PER_US;
}

const char *link_verdict_name(enum link_verdict v)
{
    static const char *const names[LINK_VERDICT_COUNT] = { "queued", "down",  "mtu",  "blackhole",
                                                           "queue",  "slots", "loss", "burst" };
    return (unsigned)v < LINK_VERDICT_COUNT ? names[v] : "?";
}
