/* node/defence.c - datagrams in: who gets an answer, and at what cost.
 *
 * Theory of operation. Sealed records are looked up by connection id and opened. Everything else is a stranger until
 * proven otherwise, in this order, cheapest first: length and version; mac1 (one BLAKE2s); a digest that we know
 * (copies and replays of one INIT); the budget of public-key work and a cookie (session/guard.h); Noise. All of this is
 * for each share of a divided agent; the program gives INITs to the first. A HELLO is answered only where the options
 * say so.
 *
 * Nothing sent from here is longer than what it answers. */
#include <errno.h>

#include "node/internal.h"
#include "wire/hello.h"

static void pump_ready(struct node *n, instant now)
{
    LIST_FOREACH (p, &n->ready, struct peer, ready)
        peer_pump(p, now);
}

static struct small_out *small_push(struct node *n, const struct locator_pair *at)
{
    struct small_out *o;

    if (n->small_count == SMALL_OUT_MAX)
        return NULL; /* the socket is slower than what comes in: silence is an answer too */
    o = &n->small[(n->small_head + n->small_count++) % SMALL_OUT_MAX];
    o->at = *at;
    return o;
}

void defence_say(struct node *n, const struct locator_pair *at, const uint8_t *data, size_t len)
{
    struct small_out *o = small_push(n, at);

    if (!o)
        return;
    memcpy(o->data, data, len);
    o->len = len;
}

static void answer_cookie(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now)
{
    struct small_out *o;

    if (!guard_may_send_cookie(&n->guard, &at->remote, now)) {
        n->drops[NODE_DROP_LOAD]++;
        return;
    }
    o = small_push(n, at);
    if (!o)
        return;
    handshake_cookie_write(&n->guard.jar, &n->self_mask, pkt, len, &at->remote, now, &n->o.rng, o->data);
    o->len = COOKIE_PACKET_LEN;
}

static void remember_init(struct node *n, const uint8_t digest[32], const struct peer *p)
{
    n->recent_inits[n->recent_inits_next].digest = get_le64(digest);
    n->recent_inits[n->recent_inits_next].peer = p->index;
    n->recent_inits_next = (n->recent_inits_next + 1) % RECENT_INITS;
}

static struct peer *known_init(struct node *n, const uint8_t digest[32])
{
    for (unsigned i = 0; i < RECENT_INITS; i++)
        if (n->recent_inits[i].digest == get_le64(digest) && n->recent_inits[i].peer < n->peers_count)
            return n->peers[n->recent_inits[i].peer];
    return NULL;
}

static void hand_init(const struct peer *p, const struct locator_pair *at, const uint8_t *pkt, size_t len,
                      int64_t cookie_time, bool paid)
{
    const struct node_handover h = {
        .kind = NODE_HANDOVER_INIT,
        .to = handover_share(p),
        .at = *at,
        .cookie_time = cookie_time,
        .paid = paid,
    };

    handover_push(p->node, &h, pkt, len, NULL);
}

/* A copy of an INIT that we know: no public-key work. False if it is not one. */
static bool repeat_init(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len,
                        int64_t cookie_time, instant now)
{
    uint8_t digest[32];
    struct peer *p;

    if (handshake_digest(&n->self_mask, pkt, len, digest) < 0 || !(p = known_init(n, digest)))
        return false;
    if (!handover_is_ours(p)) {
        hand_init(p, at, pkt, len, cookie_time, false);
        return true;
    }
    if (!p->session || !session_on_known_init(p->session, digest, at, now))
        return false;
    peer_touch(p);
    n->drops[NODE_DROP_REPLAY_INIT]++;
    return true;
}

/* A peer for a key that nobody told of; its hello, signed, says the rest. */
static struct peer *make_acquaintance(struct node *n, const struct handshake_seen *seen, instant now)
{
    struct node_peer_spec spec = { .name = "" };
    struct peer *p;
    int index;

    if (!!(seen->hello.flags & HELLO_FLAG_STREAM) != (n->o.delivery != NULL))
        return NULL;
    if (n->acquaintances_count >= PENDING_MAX) /* who is there confirms within a round trip */
        node_peer_forget(n, LIST_FIRST(&n->acquaintances, struct peer, acquaintance)->index);

    memcpy(spec.key.x25519, seen->static_pub, sizeof(spec.key.x25519));
    memcpy(spec.key.ed25519, seen->hello.ed25519, sizeof(spec.key.ed25519));
    spec.key.suites = seen->hello.suites;
    spec.instance = seen->hello.instance;
    index = node_peer_add(n, &spec, now);
    if (index < 0)
        return NULL;
    p = n->peers[index];
    p->met = now;
    list_append(&n->acquaintances, &p->acquaintance);
    n->acquaintances_count++;
    return p;
}

/* An initiator whose terms are not ours is told so, under the keys of its handshake; nothing is kept of it. One that
 * would not understand gets no answer, as is usual. */
static void refuse(struct node *n, const struct locator_pair *at, struct handshake_seen *seen, uint8_t why)
{
    static const uint8_t no_psk[32];
    struct hello hello = {
        .session_id = seen->hello.session_id,
        .flags = HELLO_FLAG_FRESH | HELLO_FLAG_STREAM,
        .suites = n->o.suites,
        .features = n->o.features,
        .terms = n->o.terms,
    };
    uint8_t body[HANDSHAKE_MAX], master[32];
    struct handshake_mask mask;
    struct small_out *o;
    int len;

    n->drops[NODE_DROP_TERMS]++;
    hello.terms.refused = why;
    if (!(seen->hello.features & FEATURE_TERMS))
        return;
    len = handshake_response_make(seen, n->o.self, no_psk, &hello, &n->o.rng, body, master);
    ident_wipe(master, sizeof(master));
    if (len < 0 || !(o = small_push(n, at)))
        return;
    handshake_mask_init(&mask, seen->static_pub);
    o->len = handshake_response_write(seen->suite, body, (size_t)len, &mask, &n->o.rng, o->data);
}

/* Public-key work. */
static void take_init(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len,
                      int64_t cookie_time, instant now)
{
    struct handshake_seen seen;
    struct peer_key key = { 0 };
    struct peer *p;
    uint8_t why;
    int r;

    if (handshake_init_read(&n->self_mask, n->o.self, n->o.suites, pkt, len, &seen) < 0 ||
        (seen.hello.flags & HELLO_FLAG_MESSAGES)) {
        ident_wipe(&seen, sizeof(seen));
        n->drops[NODE_DROP_HANDSHAKE]++;
        return;
    }
    why = n->o.strangers && (seen.hello.flags & HELLO_FLAG_STREAM) ? terms_conflict(&n->o.terms, &seen.hello.terms) : 0;
    if (why) {
        refuse(n, at, &seen, why);
        ident_wipe(&seen, sizeof(seen));
        return;
    }
    if (!n->by_instance ||
        n->o.role == ROLE_HOST) /* a key that was told of has one session: who begins anew takes its place */
        seen.hello.instance = 0;
    memcpy(key.x25519, seen.static_pub, sizeof(key.x25519));
    memcpy(key.ed25519, seen.hello.ed25519, sizeof(key.ed25519));
    p = node_peer_of(n, &key, seen.hello.instance);
    if (!p && n->o.strangers)
        p = make_acquaintance(n, &seen, now);
    if (!p) {
        n->drops[NODE_DROP_UNKNOWN_PEER]++;
    } else if (!handover_is_ours(p)) {
        remember_init(n, seen.digest, p);
        hand_init(p, at, pkt, len, cookie_time, true);
    } else if (peer_session_make(p, now) < 0) {
        n->drops[NODE_DROP_NO_BUFFER]++;
    } else {
        peer_touch(p);
        r = session_on_init(p->session, &seen, cookie_time, at, now);
        if (r == 1)
            answer_cookie(n, at, pkt, len, now);
        else if (r < 0)
            n->drops[NODE_DROP_HANDSHAKE]++;
        else
            remember_init(n, seen.digest, p);
    }
    ident_wipe(&seen, sizeof(seen));
}

/* May this INIT cost public-key work? If so it has paid. */
static bool charge(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len, int64_t cookie_time,
                   instant now)
{
    enum guard_verdict v = guard_charge(&n->guard, &at->remote, cookie_time >= 0);

    if (v == GUARD_COOKIE_DUE)
        answer_cookie(n, at, pkt, len, now);
    n->drops[NODE_DROP_LOAD] += v == GUARD_REFUSED;
    return v == GUARD_ADMITTED;
}

void defence_on_handed_init(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len,
                            int64_t cookie_time, bool paid, instant now)
{
    guard_turn(&n->guard, now);
    if (!repeat_init(n, at, pkt, len, cookie_time, now) && (paid || charge(n, at, pkt, len, cookie_time, now)))
        take_init(n, at, pkt, len, cookie_time, now);
    pump_ready(n, now);
}

static void on_init(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now)
{
    int64_t cookie_time;
    int r = handshake_check_mac1(&n->self_mask, pkt, len);

    if (r < 0) {
        n->drops[r == -EPROTONOSUPPORT ? NODE_DROP_VERSION : NODE_DROP_MAC1]++;
        return;
    }
    guard_turn(&n->guard, now);
    cookie_time = handshake_cookie_check(&n->guard.jar, &n->self_mask, pkt, len, &at->remote, now);
    if (cookie_time == -EBADMSG && n->guard.wary)
        n->drops[NODE_DROP_COOKIE]++;
    cookie_time = MAX(cookie_time, -1);
    if (cookie_time < 0 && n->guard.wary) /* before the digest, which costs as much as a cookie */
        answer_cookie(n, at, pkt, len, now);
    else if (!repeat_init(n, at, pkt, len, cookie_time, now) && charge(n, at, pkt, len, cookie_time, now))
        take_init(n, at, pkt, len, cookie_time, now);
}

/* The following are false for what no session here knows: another share's may, and the last one drops it. */

/* Who opens paths calls again and again; who accepts them until it was answered or gave up, and has peers beyond number
 * who call it. */
static bool is_calling(struct peer *p)
{
    if (p->session && session_is_connecting(p->session))
        return true;
    if (!p->opener)
        list_remove(&p->call);
    return false;
}

static bool on_response(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len, bool last,
                        instant now)
{
    int r = handshake_check_mac1(&n->self_mask, pkt, len);

    if (r < 0) {
        n->drops[r == -EPROTONOSUPPORT ? NODE_DROP_VERSION : NODE_DROP_MAC1]++;
        return true;
    }
    LIST_FOREACH_SAFE (p, &n->calls, struct peer, call) {
        if (!is_calling(p))
            continue;
        if (session_on_response(p->session, pkt, len, at, now) == 0) {
            peer_touch(p);
            return true;
        }
    }
    n->drops[NODE_DROP_HANDSHAKE] += last;
    return false;
}

static bool on_cookie(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len, bool last,
                      instant now)
{
    LIST_FOREACH_SAFE (p, &n->calls, struct peer, call)
        if (is_calling(p) && session_on_cookie(p->session, pkt, len, at, now) == 0) {
            peer_touch(p);
            return true;
        }
    n->drops[NODE_DROP_COOKIE] += last;
    return false;
}

static void answer_reset(struct node *n, const struct locator_pair *at, const uint8_t *pkt, instant now)
{
    struct small_out *o;

    guard_turn(&n->guard, now);
    if (n->o.role == ROLE_NODE || !guard_may_reset(&n->guard) || !(o = small_push(n, at)))
        return;
    rng_fill(&n->o.rng, o->data, 8);
    o->data[0] = PACKET_RESET;
    put_be64(o->data + 8, get_be64(pkt) & CID_MASK);
    blake2s_mac16(o->data + 8, n->reset_secret, o->data + 8, 8);
    o->len = RESET_LEN;
}

static void on_hello(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now)
{
    struct hello_answer a = { .versions = HELLO_VERSION_BIT(PROTOCOL_VERSION), .carrier_port = n->o.carrier_port };
    struct peer_key key;
    struct small_out *o;

    if (!n->o.answers_hello || hello_read(pkt, len, a.nonce) < 0) {
        n->drops[n->o.answers_hello ? NODE_DROP_SHORT : NODE_DROP_HELLO]++;
        return;
    }
    guard_turn(&n->guard, now);
    if (!guard_may_answer_hello(&n->guard, &at->remote, now)) {
        n->drops[NODE_DROP_LOAD]++;
        return;
    }
    o = small_push(n, at);
    if (!o)
        return;
    identity_peer_key(n->o.self, n->o.suites, &key);
    peer_key_write(&key, a.key);
    hello_answer_write(o->data, &a);
    o->len = HELLO_ANSWER_LEN;
}

/* *opened counts sealed records that opened and were new. */
static bool on_sealed(struct node *n, const struct locator_pair *at, uint8_t *pkt, size_t len, uint8_t tos, bool last,
                      unsigned *opened, instant now)
{
    struct cid_entry *e;

    if (len < SEALED_MIN_LEN) {
        n->drops[NODE_DROP_SHORT]++;
        return true;
    }
    e = map64_get(&n->cids, get_be64(pkt) & CID_MASK);
    if (e) {
        peer_touch(session_owner(e->session));
        *opened += session_on_sealed(e, pkt, len, tos, at, now);
        return true;
    }
    if (last) {
        n->drops[NODE_DROP_UNKNOWN_CID]++;
        answer_reset(n, at, pkt, now);
    }
    return false;
}

static bool on_reset(struct node *n, const uint8_t *pkt, size_t len, bool last, instant now)
{
    for (size_t i = 0; i < n->peers_count && len == RESET_LEN && n->o.role != ROLE_AGENT;
         i++) /* who accepts is promised none */
        if (n->peers[i]->opener && n->peers[i]->session && session_on_reset(n->peers[i]->session, pkt + 8, now) == 0) {
            peer_touch(n->peers[i]);
            return true;
        }
    n->drops[NODE_DROP_UNKNOWN_CID] += last;
    return false;
}

static bool on_one(struct node *n, const struct locator_pair *at, uint8_t *pkt, size_t len, uint8_t tos, bool last,
                   unsigned *opened, instant now)
{
    if (len == KNOCK_LEN && pkt[0] == PACKET_KNOCK) /* it has done its work on the way */
        return true;
    if (len < RESET_LEN) {
        n->drops[NODE_DROP_SHORT]++;
        return true;
    }
    switch (pkt[0]) {
    case PACKET_SEALED:
    case PACKET_CLEAR:
        return on_sealed(n, at, pkt, len, tos, last, opened, now);
    case PACKET_INIT:
        on_init(n, at, pkt, len, now);
        return true;
    case PACKET_RESPONSE:
        return on_response(n, at, pkt, len, last, now);
    case PACKET_COOKIE:
        return on_cookie(n, at, pkt, len, last, now);
    case PACKET_RESET:
        return on_reset(n, pkt, len, last, now);
    case PACKET_HELLO:
        on_hello(n, at, pkt, len, now);
        return true;
    default:
        n->drops[NODE_DROP_SHORT]++;
        return true;
    }
}

unsigned defence_on_train(struct node *n, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment,
                          uint8_t tos, uint8_t hops, instant now)
{
    bool last = handover_is_last(n, hops);
    unsigned opened = 0;

    for (size_t off = 0, one; off < len; off += one) {
        one = segment ? MIN(segment, len - off) : len - off;
        if (!on_one(n, at, data + off, one, tos, last, &opened, now) && !last)
            handover_datagram(n, at, data + off, one, segment, tos, hops);
    }
    pump_ready(n, now);
    return opened;
}

unsigned node_on_datagram(struct node *n, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment,
                          uint8_t tos, instant now)
{
    return defence_on_train(n, at, data, len, segment, tos, 0, now);
}
