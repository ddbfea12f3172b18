/* session/exchange.c - see exchange.h: life, peers, events, time, output.
 *
 * Theory of operation. Associations stand in a table by index; a peer's number is the index and a generation, so that
 * an old number names nobody. A datagram is sealed where it waits to be sent: a ring of places of one length, which is
 * all that an answer needs; nothing is allocated for it. Requests of ours have their own copies, and wait in a list
 * while the ring is full.
 *
 * Keys are what an association has most of. Those that were not used for 30 s are freed and made again from the master
 * when they are wanted: an idle association is an entry here and one in the map of connection ids, below 1 KB. A hand
 * goes round the table, a bounded part of it each second, and does so; it also drops old keys, and finds who can make
 * room for another when the table is full: one that nobody owns, that has no requests and was silent for 10 s.
 *
 * Limits: EXCHANGE_PEERS_MAX associations, 64 KiB a message, 256 datagrams and 16 requests that wait; see
 * exchange_internal.h for the others. Source of the round trip's smoothing: RFC 6298. */
#include <assert.h>
#include <errno.h>

#include "ident/hash.h"
#include "session/exchange_internal.h"

const char *exchange_fault_name(enum exchange_fault f)
{
    static const char *const names[EXCHANGE_FAULT_COUNT] = { "none", "nobody", "silent", "key", "no-peer" };

    return f < EXCHANGE_FAULT_COUNT ? names[f] : "?";
}

const char *exchange_drop_name(enum exchange_drop d)
{
    static const char *const names[EXCHANGE_DROP_COUNT] = {
        "short",   "version", "mac1",   "cookie",    "handshake", "load", "full", "hello",
        "unknown", "replay",  "forged", "malformed", "unproven",  "join", "late", "output",
    };

    return d < EXCHANGE_DROP_COUNT ? names[d] : "?";
}

/* --- memory --- */

void *ex_alloc(struct exchange *x, size_t size)
{
    void *p = calloc(1, size);

    if (p)
        x->memory += size;
    return p;
}

void ex_free(struct exchange *x, void *p, size_t size)
{
    if (!p)
        return;
    x->memory -= size;
    ident_wipe(p, size);
    free(p);
}

static int slots_grow(struct exchange *x)
{
    uint32_t room = MIN(MAX(x->slots_room * 2, 16u), x->o.peers_max);
    struct assoc **slots;
    uint32_t *generations;

    if (x->slots_room == x->o.peers_max)
        return -ENOSPC;
    slots = realloc(x->slots, room * sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    x->slots = slots;
    generations = realloc(x->generations, room * sizeof(*generations));
    if (!generations)
        return -ENOMEM;
    x->generations = generations;
    x->memory += (room - x->slots_room) * (sizeof(*slots) + sizeof(*generations));
    x->slots_room = room;
    return 0;
}

int timer_reserve(struct exchange *x)
{
    return heap_reserve(&x->timers, x->timers.count + x->peers_count + x->asks_count + 1);
}

void timer_set(struct exchange *x, struct timer *t, instant at)
{
    heap_set(&x->timers, &t->item, at);
}

/* --- life --- */

struct exchange *exchange_new(const struct exchange_options *o, instant now)
{
    struct exchange *x;
    uint8_t secret[32];

    if (!o->self || o->peers_max == 0 || o->handshakes_percent > 100 || o->peers_max > EXCHANGE_PEERS_MAX ||
        !(o->suites & SUITES_KNOWN))
        return NULL;
    x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->memory = sizeof(*x) + EXCHANGE_OUTPUT_MAX * OUT_SLOT + 2 * GUARD_SEEN_BITS / 8;
    x->o = *o;
    handshake_mask_init(&x->self_mask, o->self->x25519);
    rng_fill(&o->rng, x->hash_key, sizeof(x->hash_key));
    rng_fill(&o->rng, x->token_key, sizeof(x->token_key));
    rng_fill(&o->rng, secret, sizeof(secret));
    /* Derived, not drawn: who restarted must give the tokens that it promised before. */
    blake2s(x->reset_secret, HASH_PARTS({ "hawser reset", 12 }, { o->self->x25519_priv, 32 }));
    x->instance = rng_nonzero(&o->rng);
    x->next_id = (uint32_t)rng_u64(&o->rng);
    map64_init(&x->cids, (size_t)o->peers_max * 3, rng_u64(&o->rng));
    map64_init(&x->by_static, o->peers_max, 0);
    map64_init(&x->tokens, o->peers_max, rng_u64(&o->rng));
    map64_init(&x->asks, o->requests_max + (size_t)o->peers_max, rng_u64(&o->rng));
    map64_init(&x->dialing, o->peers_max, rng_u64(&o->rng));
    list_init(&x->dials);
    list_init(&x->discovering);
    list_init(&x->tentative);
    list_init(&x->joins);
    list_init(&x->waiting);
    list_init(&x->done);
    list_init(&x->telling);
    x->sweep_at = now + SWEEP_EVERY;
    x->out = malloc((size_t)EXCHANGE_OUTPUT_MAX * OUT_SLOT);
    if (guard_init(&x->guard, secret, x->hash_key, now) < 0 || !x->out) {
        exchange_free(x);
        x = NULL;
    } else if (o->handshakes_percent) {
        x->guard.budget_per_sec = SEC / 100 * o->handshakes_percent;
    }
    ident_wipe(secret, sizeof(secret));
    return x;
}

static void assoc_free(struct assoc *a)
{
    ex_free(a->x, a, sizeof(*a));
}

/* What the event that was popped last stood on. */
static void spend(struct exchange *x)
{
    if (x->spent)
        join_free(x, x->spent);
    if (x->spent_ask)
        ask_free(x->spent_ask);
    if (x->spent_assoc)
        assoc_free(x->spent_assoc);
    x->spent = NULL;
    x->spent_ask = NULL;
    x->spent_assoc = NULL;
}

void exchange_free(struct exchange *x)
{
    if (!x)
        return;
    spend(x);
    for (unsigned i = x->requests_first; i < x->requests_end; i++)
        join_free(x, x->request_joins[i]);
    for (uint32_t i = 0; i < x->slots_count; i++)
        if (x->slots[i]) {
            x->slots[i]->owner = NULL;
            assoc_drop(x->slots[i], EXCHANGE_FAULT_NO_PEER);
        }
    LIST_FOREACH_SAFE (q, &x->done, struct ask, item)
        ask_free(q);
    LIST_FOREACH_SAFE (a, &x->telling, struct assoc, telling)
        assoc_free(a);
    map64_deinit(&x->cids);
    map64_deinit(&x->by_static);
    map64_deinit(&x->tokens);
    map64_deinit(&x->asks);
    map64_deinit(&x->dialing);
    heap_deinit(&x->timers);
    guard_deinit(&x->guard);
    free(x->slots);
    free(x->generations);
    free(x->out);
    ident_wipe(x, sizeof(*x));
    free(x);
}

/* --- peers --- */

uint64_t static_hash(const struct exchange *x, const uint8_t pub[32], uint64_t instance)
{
    uint8_t in[32 + 8];

    memcpy(in, pub, 32);
    put_be64(in + 32, instance);
    return siphash13(x->hash_key, in, sizeof(in));
}

struct assoc *assoc_get(const struct exchange *x, uint64_t number)
{
    uint32_t index = (uint32_t)number;

    if (index >= x->slots_count || !x->slots[index] || x->slots[index]->number != number)
        return NULL;
    return x->slots[index];
}

static bool may_make_room(const struct assoc *a, instant now)
{
    return !a->call && !a->owner && list_empty(&a->asks) && now - a->used >= SPARE_AFTER;
}

/* Forgets the one of a few that was silent for longest. */
static bool make_room(struct exchange *x, instant now)
{
    struct assoc *oldest = NULL;

    for (uint32_t i = 0; i < MIN((uint32_t)SPARE_LOOKS, x->slots_count); i++) {
        struct assoc *a = x->slots[x->hand];

        x->hand = (x->hand + 1) % x->slots_count;
        if (a && may_make_room(a, now) && (!oldest || a->used < oldest->used))
            oldest = a;
    }
    if (oldest)
        assoc_drop(oldest, EXCHANGE_FAULT_NO_PEER);
    return oldest != NULL;
}

static uint32_t free_slot(struct exchange *x)
{
    while (x->slots[x->free_hint % x->slots_count])
        x->free_hint++;
    return x->free_hint % x->slots_count;
}

struct assoc *assoc_new(struct exchange *x, instant now)
{
    struct assoc *a;
    uint32_t index;

    if (x->peers_count == x->o.peers_max && !make_room(x, now))
        return NULL;
    if (x->peers_count == x->slots_count && x->slots_count == x->slots_room && slots_grow(x) < 0)
        return NULL;
    if (timer_reserve(x) < 0 || !(a = ex_alloc(x, sizeof(*a))))
        return NULL;
    if (x->peers_count < x->slots_count) {
        index = free_slot(x);
    } else {
        index = x->slots_count++;
        x->generations[index] = (uint32_t)x->instance; /* not those of an exchange before it in the same program */
    }
    x->slots[index] = a;
    x->peers_count++;
    a->x = x;
    x->generations[index] += x->generations[index] == UINT32_MAX ? 2 : 1; /* 0 is nobody's number */
    a->number = (uint64_t)x->generations[index] << 32 | index;
    a->used = now;
    a->timer.kind = TIMER_CALL;
    list_init(&a->asks);
    list_init(&a->telling);
    return a;
}

void assoc_tell(struct assoc *a, enum told what)
{
    if (what == TOLD_DOWN)
        a->to_tell &= (uint8_t)~TOLD_UP;
    a->to_tell |= (uint8_t)what;
    if (list_empty(&a->telling))
        list_append(&a->x->telling, &a->telling);
}

void assoc_drop(struct assoc *a, enum exchange_fault f)
{
    struct exchange *x = a->x;
    uint64_t hash = static_hash(x, a->key.x25519, a->instance);
    bool tell = a->owner && !a->call;

    assoc_asks_fail(a, f);
    for (size_t i = 0; i < JOINS_PER_PEER; i++)
        join_free(x, a->join[i]);
    answered_drop(a);
    call_free(a);
    keys_free(a->cur);
    keys_free(a->prev);
    a->cur = a->prev = NULL;
    timer_set(x, &a->timer, INSTANT_NEVER);
    if (map64_get(&x->by_static, hash) == a)
        map64_remove(&x->by_static, hash);
    x->slots[(uint32_t)a->number] = NULL;
    x->free_hint = (uint32_t)a->number;
    x->peers_count--;
    a->dead = true;
    list_remove(&a->telling);
    a->to_tell = 0;
    if (tell)
        assoc_tell(a, TOLD_GONE);
    else
        assoc_free(a);
}

static bool ways_are_good(const struct locator_pair *ways, size_t count)
{
    if (count == 0 || count > EXCHANGE_WAYS_MAX)
        return false;
    for (size_t i = 0; i < count; i++)
        if (ways[i].remote.addr.family == ADDR_NONE || ways[i].remote.port == 0)
            return false;
    return true;
}

int exchange_peer_call(struct exchange *x, const struct exchange_call *c, instant now, uint64_t *ret_peer)
{
    struct assoc *a;

    if (!ways_are_good(c->ways, c->ways_count) || (c->keep != 0 && c->keep < 1 * SEC) ||
        ident_is_zero(c->key.ed25519, sizeof(c->key.ed25519)))
        return -EINVAL;
    if (x->peers_count == x->o.peers_max && !make_room(x, now))
        return -ENOSPC;
    a = assoc_new(x, now);
    if (!a)
        return -ENOMEM;
    a->call = ex_alloc(x, sizeof(*a->call));
    if (!a->call) {
        assoc_drop(a, EXCHANGE_FAULT_NO_PEER);
        return -ENOMEM;
    }
    a->key = c->key;
    memcpy(a->call->ways, c->ways, c->ways_count * sizeof(c->ways[0]));
    a->call->ways_count = (uint8_t)c->ways_count;
    a->call->keep = c->keep;
    a->call->again = DIAL_AGAIN_MIN;
    a->call->assoc = a;
    a->call->instance = rng_nonzero(&x->o.rng);
    list_init(&a->call->discovering);
    if (c->keep)
        call_start(a, now);
    call_arm(a);
    *ret_peer = a->number;
    return 0;
}

int exchange_peer_set_ways(struct exchange *x, uint64_t peer, const struct locator_pair *ways, size_t count,
                           instant now)
{
    struct assoc *a = assoc_get(x, peer);

    if (!a || !a->call)
        return -ENOENT;
    if (!ways_are_good(ways, count))
        return -EINVAL;
    memcpy(a->call->ways, ways, count * sizeof(*ways));
    a->call->ways_count = (uint8_t)count;
    a->call->way = 0;
    if (call_is_busy(a)) { /* for the old ways */
        call_stop(a);
        call_start(a, now);
        call_arm(a);
    }
    return 0;
}

void exchange_peer_hang_up(struct exchange *x, uint64_t peer, instant now)
{
    struct assoc *a = assoc_get(x, peer);

    (void)now;
    if (!a)
        return;
    a->owner = NULL;
    assoc_drop(a, EXCHANGE_FAULT_NO_PEER);
}

int exchange_peer_set_owner(struct exchange *x, uint64_t peer, void *owner)
{
    struct assoc *a = assoc_get(x, peer);

    if (!a)
        return -ENOENT;
    a->owner = owner;
    return 0;
}

int exchange_peer_info(const struct exchange *x, uint64_t peer, struct exchange_peer_info *ret)
{
    const struct assoc *a = assoc_get(x, peer);

    if (!a)
        return -ENOENT;
    *ret = (struct exchange_peer_info){
        .key = a->key,
        .instance = a->instance,
        .called = a->call != NULL,
        .up = a->cur != NULL,
        .at = a->at,
        .rtt = a->srtt,
    };
    return 0;
}

/* --- input and events --- */

static void drop(struct exchange *x, enum exchange_drop d)
{
    x->stats.drops[d]++;
}

void exchange_input(struct exchange *x, const struct locator_pair *at, uint8_t *data, size_t len, instant now)
{
    assert(x->requests_end < EXCHANGE_WAITING_MAX);
    spend(x);
    x->stats.rx_datagrams++;
    x->stats.rx_bytes += len;
    if (len < RESET_LEN) {
        drop(x, EXCHANGE_DROP_SHORT);
        return;
    }
    switch (data[0]) {
    case PACKET_SEALED:
        record_input(x, at, data, len, now);
        break;
    case PACKET_INIT:
        accept_on_init(x, at, data, len, now);
        break;
    case PACKET_RESPONSE:
        dial_on_response(x, at, data, len, now);
        break;
    case PACKET_COOKIE:
        dial_on_cookie(x, at, data, len, now);
        break;
    case PACKET_RESET:
        dial_on_reset(x, data, len, now);
        break;
    case PACKET_HELLO:
        accept_on_hello(x, at, data, len, now);
        break;
    case PACKET_HELLO_ANSWER:
        dial_on_hello_answer(x, at, data, len, now);
        break;
    default:
        drop(x, EXCHANGE_DROP_SHORT);
    }
}

void exchange_on_unreachable(struct exchange *x, const struct locator_pair *at, instant now)
{
    LIST_FOREACH_SAFE (d, &x->dials, struct dial, item)
        call_on_unreachable(d->assoc, at, now);
    LIST_FOREACH_SAFE (c, &x->discovering, struct call, discovering)
        call_on_unreachable(c->assoc, at, now);
}

static bool tell(struct exchange *x, struct exchange_event *ret)
{
    struct assoc *a;
    uint8_t what;

    if (list_empty(&x->telling))
        return false;
    a = LIST_FIRST(&x->telling, struct assoc, telling);
    what = a->to_tell & TOLD_DOWN ? TOLD_DOWN : a->to_tell & TOLD_UP ? TOLD_UP : TOLD_GONE; /* as they came about */
    a->to_tell &= (uint8_t)~what;
    if (!a->to_tell)
        list_remove(&a->telling);
    *ret = (struct exchange_event){ .peer = a->number, .owner = a->owner };
    ret->type = what == TOLD_UP ? EXCHANGE_UP : what == TOLD_DOWN ? EXCHANGE_DOWN : EXCHANGE_GONE;
    if (what == TOLD_DOWN)
        ret->fault = a->down_fault;
    if (a->dead)
        x->spent_assoc = a;
    return true;
}

bool exchange_takes_more(const struct exchange *x)
{
    return x->requests_end < EXCHANGE_WAITING_MAX && x->joins_count < x->o.joins_max && list_empty(&x->telling) &&
           list_empty(&x->done);
}

size_t exchange_waiting(const struct exchange *x, const struct exchange_event **ret)
{
    *ret = &x->requests[x->requests_first];
    return x->requests_end - x->requests_first;
}

/* The next request; those of peers that were dropped since they came are passed over. */
static bool pop_request(struct exchange *x, struct exchange_event *ret)
{
    while (x->requests_first < x->requests_end) {
        const struct exchange_event *ev = &x->requests[x->requests_first];
        const struct assoc *a = assoc_get(x, ev->peer);

        spend(x);
        x->spent = x->request_joins[x->requests_first];
        if (a) {
            *ret = *ev;
            ret->owner = a->owner;
        }
        if (++x->requests_first == x->requests_end)
            x->requests_first = x->requests_end = 0;
        if (a)
            return true;
    }
    return false;
}

bool exchange_pop_event(struct exchange *x, struct exchange_event *ret)
{
    struct ask *q;

    spend(x);
    if (tell(x, ret) || pop_request(x, ret))
        return true;
    if (list_empty(&x->done))
        return false;
    q = LIST_FIRST(&x->done, struct ask, item);
    list_remove(&q->item);
    *ret = (struct exchange_event){
        .type = q->answer ? EXCHANGE_ANSWER : EXCHANGE_FAILED,
        .fault = q->fault,
        .peer = q->peer,
        .owner = q->owner,
        .request = q->number,
        .context = q->context,
        .data = q->answer,
        .len = q->answer_len,
    };
    x->spent_ask = q;
    return true;
}

/* --- output --- */

uint8_t *ex_slot(struct exchange *x)
{
    if (x->out_count == EXCHANGE_OUTPUT_MAX)
        return NULL;
    return x->out + (size_t)((x->out_head + x->out_count) % EXCHANGE_OUTPUT_MAX) * OUT_SLOT;
}

void ex_push(struct exchange *x, const struct locator_pair *at, size_t len)
{
    uint32_t i = (x->out_head + x->out_count++) % EXCHANGE_OUTPUT_MAX;

    x->out_slots[i].at = *at;
    x->out_slots[i].len = (uint16_t)len;
    x->stats.tx_datagrams++;
    x->stats.tx_bytes += len;
}

size_t exchange_output(struct exchange *x, struct exchange_tx *ret, size_t max, instant now)
{
    size_t n = 0;

    asks_send(x, now);
    while (n < max && x->out_count > 0) {
        ret[n].data = x->out + (size_t)x->out_head * OUT_SLOT;
        ret[n].len = x->out_slots[x->out_head].len;
        ret[n++].at = x->out_slots[x->out_head].at;
        x->out_head = (x->out_head + 1) % EXCHANGE_OUTPUT_MAX;
        x->out_count--;
    }
    return n;
}

/* --- time --- */

static void sweep_one(struct assoc *a, instant now)
{
    if (a->prev && now - a->prev_since >= PREV_LIFE) {
        keys_free(a->prev);
        a->prev = NULL;
    }
    if (now - a->used >= COOL_AFTER) {
        keys_cool(a->cur);
        keys_cool(a->prev);
    }
    if (!a->cur || !keys_are_dead(a->cur, now))
        return;
    if (a->call) {
        keys_free(a->cur);
        a->cur = NULL;
    } else if (!a->next) {
        assoc_drop(a, EXCHANGE_FAULT_NO_PEER);
    }
}

static void sweep(struct exchange *x, instant now)
{
    uint32_t n = CLAMP(x->slots_count / 10, (uint32_t)SWEEP_MIN, (uint32_t)SWEEP_MAX);

    x->sweep_at = now + SWEEP_EVERY;
    for (uint32_t i = 0; i < MIN(n, x->slots_count); i++) {
        x->hand = (x->hand + 1) % x->slots_count;
        if (x->slots[x->hand])
            sweep_one(x->slots[x->hand], now);
    }
}

instant exchange_next_expiry(const struct exchange *x)
{
    const struct heap_item *first = heap_first(&x->timers);
    instant next = first ? first->at : INSTANT_NEVER;

    if (x->peers_count > 0)
        next = instant_min(next, x->sweep_at);
    if (!list_empty(&x->tentative))
        next = instant_min(next, LIST_FIRST(&x->tentative, struct answered, item)->expires);
    if (!list_empty(&x->joins))
        next = instant_min(next, LIST_FIRST(&x->joins, struct join, item)->touched + JOIN_LIFE);
    return next;
}

void exchange_on_expiry(struct exchange *x, instant now)
{
    struct heap_item *first;

    for (unsigned i = 0; i < EXPIRY_BATCH && (first = heap_first(&x->timers)) && first->at <= now; i++) {
        struct timer *t = CONTAINER_OF(first, struct timer, item);

        timer_set(x, t, INSTANT_NEVER);
        if (t->kind == TIMER_CALL)
            call_on_timer(CONTAINER_OF(t, struct assoc, timer), now);
        else
            ask_on_timer(CONTAINER_OF(t, struct ask, timer), now);
    }
    tentative_expire(x, now);
    joins_expire(x, now);
    if (now >= x->sweep_at)
        sweep(x, now);
}

void exchange_stats_get(const struct exchange *x, struct exchange_stats *ret)
{
    *ret = x->stats;
    ret->peers = x->peers_count;
    ret->requests_open = x->requests_open;
    ret->joins = x->joins_count;
    ret->memory =
        x->memory +
        (x->cids.capacity + x->by_static.capacity + x->tokens.capacity + x->asks.capacity + x->dialing.capacity) *
            sizeof(struct map64_slot) +
        x->timers.capacity * sizeof(void *);
}
