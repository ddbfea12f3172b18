/* tests/unit/exchange_world.c - see exchange_world.h. */
#include "tests/unit/exchange_world.h"

#include <assert.h>

#define PORT 4000
#define BATCH 64 /* datagrams that an end is given at once */

void xworld_init(struct xworld *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    prng_init(&w->prng, seed);
    w->rng = prng_rng(&w->prng);
    w->now = 1000 * SEC;
    w->delay = 10 * MSEC;
}

void xworld_deinit(struct xworld *w)
{
    while (w->flights.count > 0) {
        struct heap_item *first = heap_first(&w->flights);

        heap_set(&w->flights, first, INSTANT_NEVER);
        free(CONTAINER_OF(first, struct xflight, due));
    }
    for (unsigned i = 0; i < w->ends_count; i++) {
        exchange_free(w->ends[i]->x);
        free(w->ends[i]);
    }
    free(w->ends);
    heap_deinit(&w->flights);
    heap_deinit(&w->wakes);
}

static void arm(struct xend *e)
{
    heap_set(&e->w->wakes, &e->wake, e->x ? exchange_next_expiry(e->x) : INSTANT_NEVER);
}

struct xend *xworld_add(struct xworld *w, const struct exchange_options *o)
{
    struct xend *e = calloc(1, sizeof(*e));
    int r;

    assert(e);
    w->ends = realloc(w->ends, (w->ends_count + 1) * sizeof(struct xend *));
    r = heap_reserve(&w->wakes, w->ends_count + 1);
    assert(w->ends && r == 0);
    e->w = w;
    e->index = w->ends_count;
    w->ends[w->ends_count++] = e;
    r = identity_generate(&e->id, &w->rng);
    assert(r == 0);
    e->o = *o;
    e->o.self = &e->id;
    e->o.rng = w->rng;
    e->o.suites = o->suites ? o->suites : SUITES_KNOWN;
    e->reach[0] = 3;
    xend_restart(e);
    return e;
}

void xend_stop(struct xend *e)
{
    struct exchange_stats s;

    if (!e->x)
        return;
    exchange_stats_get(e->x, &s);
    e->handshakes += s.handshakes;
    exchange_free(e->x);
    e->x = NULL;
    arm(e);
}

void xend_restart(struct xend *e)
{
    xend_stop(e);
    e->x = exchange_new(&e->o, e->w->now);
    assert(e->x);
    arm(e);
}

struct endpoint xend_endpoint(const struct xend *e, uint8_t address)
{
    return (struct endpoint){ addr_v4(0x0a000000u | e->index << 8 | address), PORT };
}

struct exchange_call xend_call(const struct xend *to, unsigned ways)
{
    struct exchange_call c = { .ways_count = ways + 1 };

    identity_peer_key(&to->id, to->o.suites, &c.key);
    for (unsigned i = 0; i <= ways; i++)
        c.ways[i] = (struct locator_pair){ .link = 1, .remote = xend_endpoint(to, (uint8_t)i) };
    return c;
}

static void fly(struct xend *e, const struct endpoint *src, const struct exchange_tx *tx)
{
    struct xworld *w = e->w;
    struct xflight *f = malloc(sizeof(*f) + tx->len);
    int r = heap_reserve(&w->flights, w->flights.count + 1);

    assert(f && r == 0);
    f->due.pos = 0;
    f->to = get_be32(tx->at.remote.addr.bytes) >> 8 & 0xffff;
    f->at = (struct locator_pair){ .link = 1, .local = tx->at.remote.addr, .remote = *src };
    f->len = tx->len;
    memcpy(f->data, tx->data, tx->len);
    heap_set(&w->flights, &f->due,
             w->now + w->delay + (w->jitter ? (span)prng_below(&w->prng, (uint64_t)w->jitter) : 0));
}

static void send(struct xend *e, const struct exchange_tx *tx)
{
    struct xworld *w = e->w;
    struct endpoint src = xend_endpoint(e, tx->at.local.family != ADDR_NONE ? tx->at.local.bytes[3] : e->from);

    w->datagrams++;
    w->bytes += tx->len;
    assert(tx->len <= EXCHANGE_DATAGRAM_MAX && tx->at.remote.port == PORT);
    if (w->tap && !w->tap(w, e->index, &src, &tx->at.remote, (uint8_t *)(uintptr_t)tx->data, tx->len))
        return;
    if (prng_unit(&w->prng) < w->loss)
        return;
    fly(e, &src, tx);
    if (prng_unit(&w->prng) < w->copies)
        fly(e, &src, tx);
}

void xend_turn(struct xend *e)
{
    struct exchange_event ev;
    struct exchange_tx tx[16];
    size_t n;

    while (exchange_pop_event(e->x, &ev))
        if (e->w->on_event)
            e->w->on_event(e, &ev);
    while ((n = exchange_output(e->x, tx, ARRAY_LEN(tx), e->w->now)) > 0)
        for (size_t i = 0; i < n; i++)
            send(e, &tx[i]);
    arm(e);
}

static struct xend *receiver(const struct xworld *w, const struct xflight *f)
{
    struct xend *e = f->to < w->ends_count ? w->ends[f->to] : NULL;
    uint8_t address = f->at.local.bytes[3];

    return e && e->x && (e->reach[address / 64] & UINT64_C(1) << address % 64) ? e : NULL;
}

/* The next that is there, and what comes to the same end in the same moment: as a batch that a socket gave. */
static void arrive(struct xworld *w)
{
    struct xflight *came[BATCH];
    struct heap_item *first;
    struct xend *e = NULL;
    size_t n = 0;

    while (n < BATCH && (first = heap_first(&w->flights)) && first->at <= w->now) {
        struct xflight *f = CONTAINER_OF(first, struct xflight, due);
        struct xend *to = receiver(w, f);

        if (e && (to != e || !exchange_takes_more(e->x)))
            break;
        heap_set(&w->flights, first, INSTANT_NEVER);
        came[n++] = f;
        if (!to)
            break;
        e = to;
        if (w->heard)
            w->heard(w, &f->at, f->len);
        exchange_input(e->x, &f->at, f->data, f->len, w->now);
    }
    if (e)
        xend_turn(e);
    for (size_t i = 0; i < n; i++)
        free(came[i]);
}

void xworld_run_until(struct xworld *w, instant t)
{
    for (;;) {
        struct heap_item *flight = heap_first(&w->flights), *wake = heap_first(&w->wakes);
        instant next = instant_min(flight ? flight->at : INSTANT_NEVER, wake ? wake->at : INSTANT_NEVER);

        if (next > t)
            break;
        w->now = MAX(w->now, next);
        if (flight && flight->at == next) {
            arrive(w);
        } else {
            struct xend *e = CONTAINER_OF(wake, struct xend, wake);

            exchange_on_expiry(e->x, w->now);
            xend_turn(e);
        }
    }
    w->now = MAX(w->now, t);
}
