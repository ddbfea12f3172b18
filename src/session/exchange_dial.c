/* session/exchange_dial.c - see exchange_internal.h: handshakes of ours.
 *
 * Theory of operation. An INIT goes to each way in turn, 250 ms apart (RFC 8305 section 5), and then again at doubling
 * spans; all are copies of one, but for a cookie's sake, when another is built and goes where the cookie came from. The
 * first RESPONSE ends it, and its way is the one in use. While it goes on the keys that there are stay in use, so a
 * RESET that anyone might have sent, or a new pair of keys, interrupts nothing.
 *
 * A handshake begins when there is something to ask and there are no keys; when they are worn; when a request was not
 * answered twice, since the peer may have begun anew; at a RESET with the token that the peer gave. With `keep` also
 * when nobody was found, after a pause that doubles, and a ping looks after an association that is silent.
 *
 * Where only the Ed25519 key is known, HELLO asks all ways first (session/discovery.h), and who answers with another
 * key is not asked again in that search. */
#include <errno.h>

#include "ident/hash.h"
#include "session/exchange_internal.h"

static const uint8_t no_psk[32];

static void drop(struct exchange *x, enum exchange_drop d)
{
    x->stats.drops[d]++;
}

static void dial_free(struct assoc *a)
{
    struct call *c = a->call;

    if (!c->dial)
        return;
    list_remove(&c->dial->item);
    map64_remove(&a->x->dialing, c->dial->init.index);
    ex_free(a->x, c->dial, sizeof(*c->dial));
    c->dial = NULL;
}

static void discovery_free(struct assoc *a)
{
    list_remove(&a->call->discovering);
    ex_free(a->x, a->call->discovery, sizeof(*a->call->discovery));
    a->call->discovery = NULL;
}

void call_stop(struct assoc *a)
{
    dial_free(a);
    discovery_free(a);
}

static void token_forget(struct assoc *a)
{
    uint64_t key = get_be64(a->call->reset_token);

    if (a->call->has_token && map64_get(&a->x->tokens, key) == a)
        map64_remove(&a->x->tokens, key);
    a->call->has_token = false;
}

void call_set_token(struct assoc *a, const uint8_t token[RESET_TOKEN_LEN])
{
    token_forget(a);
    memcpy(a->call->reset_token, token, RESET_TOKEN_LEN);
    a->call->has_token = map64_put(&a->x->tokens, get_be64(token), a) == 0;
}

void call_free(struct assoc *a)
{
    if (!a->call)
        return;
    call_stop(a);
    token_forget(a);
    ex_free(a->x, a->call, sizeof(*a->call));
    a->call = NULL;
}

bool call_is_busy(const struct assoc *a)
{
    return a->call->dial || a->call->discovery;
}

/* Builds the INIT; 0 or negative. */
static int init_make(struct assoc *a, const uint8_t *cookie)
{
    struct exchange *x = a->x;
    struct dial *d = a->call->dial;
    const struct hello hello = {
        .flags = HELLO_FLAG_MESSAGES,
        .suites = x->o.suites,
        .features = FEATURES_KNOWN,
        .instance = a->call->instance,
    };
    int r = handshake_init_make(&d->init, x->o.self, &a->key, no_psk, suite_choose(x->o.suites, a->key.suites), &hello,
                                cookie, &x->o.rng);

    d->sent = 0;
    x->stats.handshakes++;
    return r < 0 ? r : map64_put(&x->dialing, d->init.index, a);
}

static void dial_send(struct assoc *a, unsigned way)
{
    struct dial *d = a->call->dial;
    uint8_t *out = ex_slot(a->x);

    if (!out) {
        drop(a->x, EXCHANGE_DROP_OUTPUT);
        return;
    }
    ex_push(a->x, &a->call->ways[way], handshake_init_write(&d->init, &d->mask, &a->x->o.rng, out, d->mac1[way]));
    d->sent |= 1u << way;
}

/* The next copy, to the next way. */
static void dial_go_on(struct assoc *a, instant now)
{
    struct call *c = a->call;
    struct dial *d = c->dial;

    dial_send(a, d->way);
    d->way = (uint8_t)((d->way + 1) % c->ways_count);
    d->sends++;
    d->next_at = now + (EXCHANGE_FIRST_TRY << (d->sends > c->ways_count ? d->sends - c->ways_count : 0));
}

static bool dial_start(struct assoc *a, instant now)
{
    struct exchange *x = a->x;
    struct call *c = a->call;
    struct dial *d = ex_alloc(x, sizeof(*d));

    if (!d)
        return false;
    c->dial = d;
    d->assoc = a;
    d->way = c->way;
    list_append(&x->dials, &d->item);
    handshake_mask_init(&d->mask, a->key.x25519);
    if (init_make(a, NULL) < 0) {
        dial_free(a);
        return false;
    }
    dial_go_on(a, now);
    return true;
}

/* Asks the ways for the key, but those at which somebody else was found. */
static bool discovery_start(struct assoc *a, instant now)
{
    struct exchange *x = a->x;
    struct call *c = a->call;

    if (!c->discovery && !(c->discovery = ex_alloc(x, sizeof(*c->discovery))))
        return false;
    discovery_init(c->discovery, now);
    for (unsigned i = 0; i < c->ways_count; i++)
        if (!(c->wrong & 1u << i))
            discovery_add(c->discovery, &c->ways[i], &x->o.rng);
    if (list_empty(&c->discovering))
        list_append(&x->discovering, &c->discovering);
    return true;
}

static void discovery_send(struct assoc *a, instant now)
{
    struct locator_pair at;
    uint8_t *out;

    while (a->call->discovery && (out = ex_slot(a->x)) && discovery_output(a->call->discovery, out, &at, now))
        ex_push(a->x, &at, HELLO_LEN);
}

bool call_start(struct assoc *a, instant now)
{
    struct call *c = a->call;

    if (call_is_busy(a))
        return true;
    if (!ident_is_zero(a->key.x25519, sizeof(a->key.x25519)))
        return dial_start(a, now);
    c->wrong = 0;
    if (!discovery_start(a, now))
        return false;
    discovery_send(a, now);
    return true;
}

void call_arm(struct assoc *a)
{
    const struct call *c = a->call;
    instant at = INSTANT_NEVER;

    if (c->dial)
        at = c->dial->next_at;
    else if (c->discovery)
        at = discovery_next_expiry(c->discovery);
    else if (c->keep)
        at = a->cur && !c->pause_until ? c->keep_at : c->pause_until;
    timer_set(a->x, &a->timer, at);
}

/* Nobody was found. */
static void call_failed(struct assoc *a, enum exchange_fault f, instant now)
{
    struct call *c = a->call;

    call_stop(a);
    if (c->keep) {
        c->pause_until = now + c->again;
        c->again = MIN(2 * c->again, DIAL_AGAIN_MAX);
        if (!c->down_told) {
            c->down_told = true;
            a->down_fault = (uint8_t)f;
            assoc_tell(a, TOLD_DOWN);
        }
    }
    if (!a->cur)
        assoc_asks_fail(a, f);
}

static void keep(struct assoc *a, instant now)
{
    struct call *c = a->call;
    struct ask *q;

    if (!a->cur || c->pause_until) {
        c->pause_until = 0;
        if (!call_start(a, now))
            call_failed(a, EXCHANGE_FAULT_NOBODY, now);
        return;
    }
    c->keep_at = now + c->keep;
    if (now - a->used < c->keep) /* it has spoken since */
        c->keep_at = a->used + c->keep;
    else if (!c->keeping && ask_new(a, NULL, 0, true, &q) == 0)
        c->keeping = true;
}

void call_on_timer(struct assoc *a, instant now)
{
    struct call *c = a->call;

    if (c->dial) {
        if (c->dial->sends >= c->ways_count + DIAL_MORE)
            call_failed(a, EXCHANGE_FAULT_NOBODY, now);
        else
            dial_go_on(a, now);
    } else if (c->discovery) {
        discovery_on_expiry(c->discovery, now);
        discovery_send(a, now);
        if (c->discovery->state == DISCOVERY_NOBODY)
            call_failed(a, c->wrong ? EXCHANGE_FAULT_KEY : EXCHANGE_FAULT_NOBODY, now);
    } else if (c->keep) {
        keep(a, now);
    }
    call_arm(a);
}

void call_on_network(struct assoc *a, instant now)
{
    a->call->dial->sends = 0;
    dial_go_on(a, now);
    call_arm(a);
}

/* Which of the ways that is, or negative. */
static int way_of(const struct call *c, const struct locator_pair *at)
{
    for (unsigned i = 0; i < c->ways_count; i++)
        if (c->ways[i].link == at->link && endpoint_equal(&c->ways[i].remote, &at->remote))
            return (int)i;
    return -1;
}

void call_on_unreachable(struct assoc *a, const struct locator_pair *at, instant now)
{
    struct call *c = a->call;
    int way = way_of(c, at);

    if (way < 0)
        return;
    if (c->discovery) {
        discovery_on_refused(c->discovery, at->link, &at->remote);
        if (c->discovery->state == DISCOVERY_NOBODY)
            call_failed(a, c->wrong ? EXCHANGE_FAULT_KEY : EXCHANGE_FAULT_NOBODY, now);
    } else if (c->dial && c->dial->sends < c->ways_count && (way + 1) % c->ways_count == c->dial->way) {
        dial_go_on(a, now); /* the last copy was in vain: the next way, and in the first round only */
    }
    call_arm(a);
}

void call_on_answer(struct assoc *a, const struct locator_pair *at)
{
    struct call *c = a->call;
    int way = way_of(c, at);

    if (way >= 0)
        c->way = (uint8_t)way;
    if (!c->down_told)
        return;
    c->down_told = false;
    c->pause_until = 0;
    assoc_tell(a, TOLD_UP);
    call_arm(a);
}

/* --- what comes back --- */

void dial_on_response(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now)
{
    int r = len <= HANDSHAKE_MAX ? handshake_check_mac1(&x->self_mask, pkt, len) : -EBADMSG, way;
    uint8_t master[32];
    struct hello hello;
    struct assoc *a;
    struct keys *k;
    uint64_t index;
    bool anew;

    if (r < 0 || handshake_response_index(&x->self_mask, pkt, len, &index) < 0) {
        drop(x, r == -EPROTONOSUPPORT ? EXCHANGE_DROP_VERSION : EXCHANGE_DROP_MAC1);
        return;
    }
    a = map64_get(&x->dialing, index);
    if (!a || handshake_response_read(&a->call->dial->init, &x->self_mask, &a->key, pkt, len, master, &hello) < 0) {
        drop(x, EXCHANGE_DROP_HANDSHAKE);
        return;
    }
    k = hello.flags & HELLO_FLAG_MESSAGES ? keys_new(a, master, a->call->dial->init.suite, true, now) : NULL;
    ident_wipe(master, sizeof(master));
    if (!k) {
        drop(x, EXCHANGE_DROP_HANDSHAKE);
        return;
    }
    anew = !a->cur || a->call->down_told || (hello.flags & HELLO_FLAG_FRESH) || hello.instance != a->instance;
    way = way_of(a->call, at);
    if (way >= 0)
        a->call->way = (uint8_t)way;
    a->at = *at;
    a->proven = true;
    a->instance = hello.instance;
    a->used = now;
    a->token = 0;
    assoc_install(a, k);
    call_stop(a);
    a->call->pause_until = 0;
    a->call->again = DIAL_AGAIN_MIN;
    a->call->down_told = false;
    a->call->keep_at = now + a->call->keep;
    if (anew)
        assoc_tell(a, TOLD_UP);
    assoc_asks_go(a);
    call_arm(a);
}

void dial_on_cookie(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now)
{
    uint8_t cookie[COOKIE_LEN];

    LIST_FOREACH_SAFE (d, &x->dials, struct dial, item) {
        int way = way_of(d->assoc->call, at);

        if (way < 0 || !(d->sent & 1u << way) || d->cookies > EXCHANGE_WAYS_MAX ||
            handshake_cookie_read(&d->mask, d->mac1[way], pkt, len, cookie) < 0)
            continue;
        d->cookies++;
        map64_remove(&x->dialing, d->init.index);
        if (init_make(d->assoc, cookie) < 0) {
            call_failed(d->assoc, EXCHANGE_FAULT_NOBODY, now);
        } else {
            d->way = (uint8_t)way;
            d->sends -= d->sends > 0; /* this copy in place of the one that was not taken */
            dial_go_on(d->assoc, now);
        }
        call_arm(d->assoc);
        return;
    }
    drop(x, EXCHANGE_DROP_COOKIE);
}

/* Somebody else is at the way that was found. */
static void found_another(struct assoc *a, instant now)
{
    struct call *c = a->call;

    for (unsigned i = 0; i < c->ways_count; i++)
        if (endpoint_equal(&c->ways[i].remote, &c->discovery->at))
            c->wrong |= 1u << i;
    if (c->wrong + 1 == 1u << c->ways_count || !discovery_start(a, now))
        call_failed(a, EXCHANGE_FAULT_KEY, now);
    else
        discovery_send(a, now);
}

void dial_on_hello_answer(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len,
                          instant now)
{
    LIST_FOREACH_SAFE (c, &x->discovering, struct call, discovering) {
        struct assoc *a = c->assoc;
        int way;

        discovery_input(c->discovery, &at->remote, pkt, len);
        if (c->discovery->state != DISCOVERY_FOUND)
            continue;
        if (!ident_equal(c->discovery->key.ed25519, a->key.ed25519, sizeof(a->key.ed25519))) {
            found_another(a, now);
        } else {
            a->key = c->discovery->key;
            way = way_of(c, at);
            c->way = way >= 0 ? (uint8_t)way : 0;
            discovery_free(a);
            if (!dial_start(a, now))
                call_failed(a, EXCHANGE_FAULT_NOBODY, now);
        }
        call_arm(a);
        return;
    }
    drop(x, EXCHANGE_DROP_HELLO);
}

void dial_on_reset(struct exchange *x, const uint8_t *pkt, size_t len, instant now)
{
    struct assoc *a = len == RESET_LEN ? map64_get(&x->tokens, get_be64(pkt + 8)) : NULL;

    if (!a || !ident_equal(a->call->reset_token, pkt + 8, RESET_TOKEN_LEN)) {
        drop(x, EXCHANGE_DROP_UNKNOWN);
        return;
    }
    /* A hint, no more: the keys in use stay until a handshake has succeeded. */
    if (a->call->last_reset && now - a->call->last_reset < 1 * SEC)
        return;
    a->call->last_reset = now;
    call_start(a, now);
    call_arm(a);
}
