/* session/exchange_accept.c - see exchange_internal.h: handshakes of others, HELLO, RESET.
 *
 * Theory of operation. What a stranger may cost is said by session/guard.h; the order is that of a node: mac1, cookie
 * while wary, a digest that is known, budget, Noise. A caller is known by its key and its instance. An INIT changes
 * nothing but the tentative keys of its association: the response is kept for copies of the INIT, and the first record
 * opened under its keys makes them the current ones. A rival INIT must bring a cookie issued later than that of the
 * tentative and of the current keys, so a recorded one is in vain. Tentative ones are at most TENTATIVE_MAX; the oldest
 * goes first.
 *
 * The response proves the address that it went to, once it comes back as a record; but not when copies of the INIT came
 * from several, since whoever reads one of the answers could then name the other as his own. */
#include <errno.h>

#include "ident/hash.h"
#include "session/exchange_internal.h"
#include "wire/hello.h"

static const uint8_t no_psk[32];

static void drop(struct exchange *x, enum exchange_drop d)
{
    x->stats.drops[d]++;
}

void answered_drop(struct assoc *a)
{
    if (a->answered) {
        list_remove(&a->answered->item);
        a->x->tentative_count--;
        ex_free(a->x, a->answered, sizeof(*a->answered));
        a->answered = NULL;
    }
    keys_free(a->next);
    a->next = NULL;
}

/* It was not confirmed: who was not known before is forgotten. */
static void give_up(struct assoc *a)
{
    answered_drop(a);
    if (!a->cur && !a->call)
        assoc_drop(a, EXCHANGE_FAULT_NO_PEER);
}

void tentative_expire(struct exchange *x, instant now)
{
    while (!list_empty(&x->tentative)) {
        struct answered *w = LIST_FIRST(&x->tentative, struct answered, item);

        if (now < w->expires)
            break;
        give_up(w->assoc);
    }
}

static void answer_cookie(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len,
                          instant now)
{
    uint8_t *out = ex_slot(x);

    if (!out || !guard_may_send_cookie(&x->guard, &at->remote, now)) {
        drop(x, EXCHANGE_DROP_LOAD);
        return;
    }
    handshake_cookie_write(&x->guard.jar, &x->self_mask, pkt, len, &at->remote, now, &x->o.rng, out);
    ex_push(x, at, COOKIE_PACKET_LEN);
}

static void respond(struct assoc *a, const struct locator_pair *at)
{
    const struct answered *w = a->answered;
    struct handshake_mask mask;
    uint8_t *out = ex_slot(a->x);

    if (!out) {
        drop(a->x, EXCHANGE_DROP_OUTPUT);
        return;
    }
    handshake_mask_init(&mask, a->key.x25519);
    ex_push(a->x, at, handshake_response_write(w->suite, w->body, w->body_len, &mask, &a->x->o.rng, out));
}

static void remember(struct exchange *x, const uint8_t digest[32], uint64_t number)
{
    uint32_t i = get_be32(digest) % RECENT_INITS_MAX;

    memcpy(x->recent[i].digest, digest, sizeof(x->recent[i].digest));
    x->recent[i].number = number;
}

/* A copy of an INIT that we know: no public-key work. False if it is not one. */
static bool repeat(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len)
{
    uint8_t digest[32];
    struct assoc *a;
    uint32_t i;

    if (handshake_digest(&x->self_mask, pkt, len, digest) < 0)
        return false;
    i = get_be32(digest) % RECENT_INITS_MAX;
    if (memcmp(x->recent[i].digest, digest, sizeof(x->recent[i].digest)) != 0 ||
        !(a = assoc_get(x, x->recent[i].number)))
        return false;
    if (a->answered && memcmp(a->next->digest, digest, sizeof(digest)) == 0) {
        a->answered->elsewhere |= !locator_pair_same(&a->answered->at, at);
        respond(a, at);
        return true;
    }
    return (a->cur && memcmp(a->cur->digest, digest, sizeof(digest)) == 0) ||
           (a->prev && memcmp(a->prev->digest, digest, sizeof(digest)) == 0);
}

/* Who it is: one that is known, or a stranger for whom there is room; NULL. */
static struct assoc *caller(struct exchange *x, const struct handshake_seen *seen, instant now)
{
    uint64_t hash = static_hash(x, seen->static_pub, seen->hello.instance);
    struct assoc *a = map64_get(&x->by_static, hash);

    if (a)
        return memcmp(a->key.x25519, seen->static_pub, 32) == 0 && a->instance == seen->hello.instance &&
                       memcmp(a->key.ed25519, seen->hello.ed25519, 32) == 0
                   ? a
                   : NULL;
    if (x->tentative_count == TENTATIVE_MAX)
        give_up(LIST_FIRST(&x->tentative, struct answered, item)->assoc);
    a = assoc_new(x, now);
    if (!a)
        return NULL;
    memcpy(a->key.x25519, seen->static_pub, sizeof(a->key.x25519));
    memcpy(a->key.ed25519, seen->hello.ed25519, sizeof(a->key.ed25519));
    a->key.suites = seen->hello.suites;
    a->instance = seen->hello.instance;
    if (map64_put(&x->by_static, hash, a) < 0) {
        assoc_drop(a, EXCHANGE_FAULT_NO_PEER);
        return NULL;
    }
    return a;
}

/* 0; 1: it must bring a cookie; negative: ignored. */
static int answer(struct assoc *a, struct handshake_seen *seen, int64_t cookie_time, const struct locator_pair *at,
                  instant now)
{
    struct exchange *x = a->x;
    const struct hello hello = {
        .flags = (uint8_t)(HELLO_FLAG_MESSAGES | (a->cur ? 0 : HELLO_FLAG_FRESH)),
        .suites = x->o.suites,
        .features = FEATURES_KNOWN,
        .instance = x->instance,
    };
    uint8_t master[32];
    struct answered *w;
    int n;

    if (a->answered && (cookie_time < 0 || cookie_time <= a->next->cookie_time))
        return 1;
    if (cookie_time >= 0 && a->cur && cookie_time <= a->cur->cookie_time)
        return -EALREADY;
    w = ex_alloc(x, sizeof(*w));
    if (!w)
        return -ENOMEM;
    n = handshake_response_make(seen, x->o.self, no_psk, &hello, &x->o.rng, w->body, master);
    if (n < 0) {
        ex_free(x, w, sizeof(*w));
        return n;
    }
    answered_drop(a);
    a->next = keys_new(a, master, seen->suite, false, now);
    ident_wipe(master, sizeof(master));
    if (!a->next) {
        ex_free(x, w, sizeof(*w));
        return -ENOMEM;
    }
    memcpy(a->next->digest, seen->digest, sizeof(a->next->digest));
    a->next->cookie_time = cookie_time;
    a->answered = w;
    w->assoc = a;
    w->suite = (uint8_t)seen->suite;
    w->body_len = (uint16_t)n;
    w->at = *at;
    w->expires = now + SESSION_TENTATIVE_LIFE;
    list_append(&x->tentative, &w->item);
    x->tentative_count++;
    x->stats.handshakes++;
    remember(x, seen->digest, a->number);
    respond(a, at);
    return 0;
}

/* Public-key work. */
static void take_init(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len,
                      int64_t cookie_time, instant now)
{
    struct handshake_seen seen;
    struct assoc *a;
    int r;

    if (handshake_init_read(&x->self_mask, x->o.self, x->o.suites, pkt, len, &seen) < 0 ||
        !(seen.hello.flags & HELLO_FLAG_MESSAGES)) {
        drop(x, EXCHANGE_DROP_HANDSHAKE);
    } else if (!(a = caller(x, &seen, now))) {
        drop(x, EXCHANGE_DROP_FULL);
    } else {
        r = answer(a, &seen, cookie_time, at, now);
        if (r == 1)
            answer_cookie(x, at, pkt, len, now);
        else if (r < 0)
            drop(x, EXCHANGE_DROP_HANDSHAKE);
        if (r != 0 && !a->cur && !a->answered)
            assoc_drop(a, EXCHANGE_FAULT_NO_PEER);
    }
    ident_wipe(&seen, sizeof(seen));
}

void accept_on_init(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now)
{
    int r = handshake_check_mac1(&x->self_mask, pkt, len);
    int64_t cookie_time;

    if (r < 0 || !x->o.answers) {
        drop(x, r == -EPROTONOSUPPORT ? EXCHANGE_DROP_VERSION : r < 0 ? EXCHANGE_DROP_MAC1 : EXCHANGE_DROP_HANDSHAKE);
        return;
    }
    guard_turn(&x->guard, now);
    cookie_time = handshake_cookie_check(&x->guard.jar, &x->self_mask, pkt, len, &at->remote, now);
    if (cookie_time == -EBADMSG)
        drop(x, EXCHANGE_DROP_COOKIE);
    cookie_time = MAX(cookie_time, -1);
    if (cookie_time < 0 && x->guard.wary) { /* before the digest, which costs as much as a cookie */
        answer_cookie(x, at, pkt, len, now);
        return;
    }
    if (repeat(x, at, pkt, len))
        return;
    switch (guard_charge(&x->guard, &at->remote, cookie_time >= 0)) {
    case GUARD_ADMITTED:
        take_init(x, at, pkt, len, cookie_time, now);
        break;
    case GUARD_COOKIE_DUE:
        answer_cookie(x, at, pkt, len, now);
        break;
    case GUARD_REFUSED:
        drop(x, EXCHANGE_DROP_LOAD);
        break;
    }
}

static void promise_reset(struct assoc *a, instant now)
{
    struct exchange_message m = { .kind = EXCHANGE_KIND_RESET_TOKEN };
    uint8_t *out = ex_slot(a->x), cid[8];
    size_t header;
    int n;

    if (!out || !a->proven)
        return;
    put_be64(cid, a->cur->rx_cid);
    header = exchange_message_put(out + SEALED_HEADER_LEN, &m);
    blake2s_mac16(out + SEALED_HEADER_LEN + header, a->x->reset_secret, cid, sizeof(cid));
    n = keys_seal(a->cur, out, header + RESET_TOKEN_LEN, now);
    if (n > 0)
        ex_push(a->x, &a->at, (size_t)n);
}

void accept_confirmed(struct assoc *a, const struct locator_pair *at, instant now)
{
    struct answered *w = a->answered;
    struct keys *k = a->next;
    bool fresh = !a->cur;

    a->at = w->at;
    a->proven = !w->elsewhere && locator_pair_same(&w->at, at);
    a->next = NULL; /* it becomes the current one */
    answered_drop(a);
    assoc_install(a, k);
    a->token = 0;
    if (fresh)
        assoc_tell(a, TOLD_UP);
    promise_reset(a, now);
    assoc_asks_go(a);
}

void accept_reset(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, instant now)
{
    uint8_t *out = ex_slot(x);

    guard_turn(&x->guard, now);
    if (!x->o.answers || !out || !guard_may_reset(&x->guard))
        return;
    rng_fill(&x->o.rng, out, 8);
    out[0] = PACKET_RESET;
    put_be64(out + 8, get_be64(pkt) & CID_MASK);
    blake2s_mac16(out + 8, x->reset_secret, out + 8, 8);
    ex_push(x, at, RESET_LEN);
}

void accept_on_hello(struct exchange *x, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now)
{
    struct hello_answer a = { .versions = HELLO_VERSION_BIT(PROTOCOL_VERSION) };
    struct peer_key key;
    uint8_t *out;

    if (!x->o.answers_hello || hello_read(pkt, len, a.nonce) < 0) {
        drop(x, x->o.answers_hello ? EXCHANGE_DROP_SHORT : EXCHANGE_DROP_HELLO);
        return;
    }
    guard_turn(&x->guard, now);
    out = ex_slot(x);
    if (!out || !guard_may_answer_hello(&x->guard, &at->remote, now)) {
        drop(x, EXCHANGE_DROP_LOAD);
        return;
    }
    identity_peer_key(x->o.self, x->o.suites, &key);
    peer_key_write(&key, a.key);
    hello_answer_write(out, &a);
    ex_push(x, at, HELLO_ANSWER_LEN);
}
