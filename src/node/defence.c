/* node/defence.c - datagrams in: who gets an answer, and at what cost.
 *
 * Theory of operation. Sealed records are looked up by connection id and opened. Everything else is a stranger until
 * proven otherwise, in this order, cheapest first: length and version; mac1 (one BLAKE2s); a digest that we know
 * (copies and replays of one INIT); the budget of public-key work; a cookie; Noise. The budget is 10 % of a core: a
 * credit of microseconds that grows by 100,000 a second up to half a second's worth, of which one INIT takes 300. Once
 * it is below half and until it is full again, an INIT must bring a cookie, and then each source network (/24, /64)
 * gets 20 a second. Above 1,000
 * cookies a second only who asks again within two seconds gets one: a flood from made-up sources costs a MAC and a bit
 * each.
 *
 * Nothing sent from here is longer than what it answers: COOKIE 60 < INIT, RESET 24 < the shortest record; resets are
 * limited to 100 a second. */
#include <errno.h>

#include "node/internal.h"

#define BUDGET_PER_SEC 100000 /* us of public-key work a second */
#define BUDGET_MAX (BUDGET_PER_SEC / 2)
#define INIT_COST 300 /* us: two X25519, one Ed25519 verification, measured 200-300 */
#define SOURCE_PER_SEC 20
#define COOKIES_FREE 1000   /* a second for whoever asks; above that for a source that asks again */
#define SEEN_SPAN (1 * SEC) /* chosen: INITs are sent again after 250 and 500 ms */
#define RESETS_PER_SEC 100
#define JAR_LIFE (2 * COOKIE_LIFETIME)

int defence_init(struct node *n, instant now)
{
    rng_fill(&n->o.rng, &n->jar, sizeof(n->jar));
    n->jar_made = now;
    n->budget_us = BUDGET_MAX; /* all nodes come back at once after a restart: none should need a cookie for that */
    n->budget_at = n->source_at = n->reset_at = now;
    n->reset_credit = RESETS_PER_SEC;
    n->seen[0] = calloc(SEEN_BITS / 64, sizeof(uint64_t));
    n->seen[1] = calloc(SEEN_BITS / 64, sizeof(uint64_t));
    return n->seen[0] && n->seen[1] ? 0 : -ENOMEM;
}

void defence_deinit(struct node *n)
{
    free(n->seen[0]);
    free(n->seen[1]);
}

/* Marks the source; true when it was marked in this span or the one before. */
static bool seen_before(struct node *n, const struct endpoint *from, instant now)
{
    uint8_t in[17 + 2];
    uint64_t bit, mask, *old, *word;
    bool seen;

    memcpy(in, &from->addr, 17);
    put_be16(in + 17, from->port);
    bit = siphash13(n->hash_key, in, sizeof(in)) % SEEN_BITS;
    mask = UINT64_C(1) << bit % 64;

    if (now - n->seen_at >= SEEN_SPAN) {
        old = n->seen[1];
        n->seen[1] = n->seen[0];
        n->seen[0] = old;
        memset(old, 0, SEEN_BITS / 8);
        n->seen_at = now;
    }
    word = &n->seen[0][bit / 64];
    seen = ((*word | n->seen[1][bit / 64]) & mask) != 0;
    *word |= mask;
    return seen;
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

static void refill(struct node *n, instant now)
{
    n->budget_us += (now - n->budget_at) * BUDGET_PER_SEC / SEC;
    n->budget_us = MIN(n->budget_us, BUDGET_MAX);
    n->budget_at = now;
    n->wary = n->budget_us < (n->wary ? BUDGET_MAX : BUDGET_MAX / 2);
    if (now - n->source_at >= 1 * SEC) {
        memset(n->source_credit, 0, sizeof(n->source_credit));
        n->cookies = 0;
        n->source_at = now;
    }
    if (now - n->reset_at >= 1 * SEC) {
        n->reset_credit = RESETS_PER_SEC;
        n->reset_at = now;
    }
}

static bool source_allows(struct node *n, const struct addr *a)
{
    uint32_t *used = &n->source_credit[siphash13(n->hash_key, a->bytes, a->family == ADDR_V4 ? 3 : 8) % SOURCE_BUCKETS];

    return (*used)++ < SOURCE_PER_SEC;
}

static void answer_cookie(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now)
{
    struct small_out *o;

    /* A flood of made-up sources is not worth a cookie each: nobody is there to take it. Who is there asks again. */
    if (n->cookies >= COOKIES_FREE && !seen_before(n, &at->remote, now)) {
        n->drops[NODE_DROP_LOAD]++;
        return;
    }
    o = small_push(n, at);
    if (!o)
        return;
    n->cookies++;
    handshake_cookie_write(&n->jar, &n->self_mask, pkt, len, &at->remote, now, &n->o.rng, o->data);
    o->len = COOKIE_PACKET_LEN;
}

static struct peer *known_init(struct node *n, const uint8_t digest[32])
{
    for (unsigned i = 0; i < RECENT_INITS; i++)
        if (n->recent_inits[i].digest == get_le64(digest) && n->recent_inits[i].peer < n->peers_count)
            return n->peers[n->recent_inits[i].peer];
    return NULL;
}

static void on_init(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now)
{
    uint8_t digest[32];
    struct handshake_seen seen;
    int64_t cookie_time;
    struct peer *p;
    int r = handshake_check_mac1(&n->self_mask, pkt, len);

    if (r < 0) {
        n->drops[r == -EPROTONOSUPPORT ? NODE_DROP_VERSION : NODE_DROP_MAC1]++;
        return;
    }
    refill(n, now);
    cookie_time = handshake_cookie_check(&n->jar, &n->self_mask, pkt, len, &at->remote, now);
    if (cookie_time < 0 && n->wary) {
        if (cookie_time == -EBADMSG)
            n->drops[NODE_DROP_COOKIE]++;
        answer_cookie(n, at, pkt, len, now);
        return;
    }
    if (handshake_digest(&n->self_mask, pkt, len, digest) == 0 && (p = known_init(n, digest)) && p->session &&
        session_on_known_init(p->session, digest, at, now)) {
        peer_touch(p);
        n->drops[NODE_DROP_REPLAY_INIT]++;
        return;
    }
    if (n->budget_us < INIT_COST || (n->wary && !source_allows(n, &at->remote.addr))) {
        n->drops[NODE_DROP_LOAD]++;
        return;
    }
    n->budget_us -= INIT_COST;
    if (handshake_init_read(&n->self_mask, n->o.self, n->o.suites, pkt, len, &seen) < 0) {
        n->drops[NODE_DROP_HANDSHAKE]++;
        return;
    }
    p = map64_get(&n->by_static, siphash13(n->hash_key, seen.static_pub, 32));
    if (!p || memcmp(p->spec.key.x25519, seen.static_pub, 32) != 0) {
        n->drops[NODE_DROP_UNKNOWN_PEER]++;
    } else if (peer_session_make(p, now) < 0) {
        n->drops[NODE_DROP_NO_BUFFER]++;
    } else {
        peer_touch(p);
        r = session_on_init(p->session, &seen, cookie_time < 0 ? -1 : cookie_time, at, now);
        if (r == 1) {
            answer_cookie(n, at, pkt, len, now);
        } else if (r < 0) {
            n->drops[NODE_DROP_HANDSHAKE]++;
        } else {
            n->recent_inits[n->recent_inits_next].digest = get_le64(seen.digest);
            n->recent_inits[n->recent_inits_next].peer = p->index;
            n->recent_inits_next = (n->recent_inits_next + 1) % RECENT_INITS;
        }
    }
    ident_wipe(&seen, sizeof(seen));
}

static void on_response(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now)
{
    int r = handshake_check_mac1(&n->self_mask, pkt, len);

    if (r < 0) {
        n->drops[r == -EPROTONOSUPPORT ? NODE_DROP_VERSION : NODE_DROP_MAC1]++;
        return;
    }
    for (size_t i = 0; i < n->peers_count; i++) {
        struct peer *p = n->peers[i];

        if (p->session && session_is_connecting(p->session) &&
            session_on_response(p->session, pkt, len, at, now) == 0) {
            peer_touch(p);
            return;
        }
    }
    n->drops[NODE_DROP_HANDSHAKE]++;
}

static void on_cookie(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len, instant now)
{
    for (size_t i = 0; i < n->peers_count; i++)
        if (n->peers[i]->session && session_on_cookie(n->peers[i]->session, pkt, len, at, now) == 0) {
            peer_touch(n->peers[i]);
            return;
        }
    n->drops[NODE_DROP_COOKIE]++;
}

static bool on_sealed(struct node *n, const struct locator_pair *at, uint8_t *pkt, size_t len, uint8_t tos, instant now)
{
    struct cid_entry *e;
    struct small_out *o;

    if (len < SEALED_MIN_LEN) {
        n->drops[NODE_DROP_SHORT]++;
        return false;
    }
    e = map64_get(&n->cids, get_be64(pkt) & CID_MASK);
    if (e) {
        peer_touch(session_owner(e->session));
        return session_on_sealed(e, pkt, len, tos, at, now);
    }
    n->drops[NODE_DROP_UNKNOWN_CID]++;
    refill(n, now);
    if (!n->o.agent || n->reset_credit == 0 || !(o = small_push(n, at)))
        return false;
    n->reset_credit--;
    rng_fill(&n->o.rng, o->data, 8);
    o->data[0] = PACKET_RESET;
    put_be64(o->data + 8, get_be64(pkt) & CID_MASK);
    blake2s_mac16(o->data + 8, n->reset_secret, o->data + 8, 8);
    o->len = RESET_LEN;
    return false;
}

static void on_reset(struct node *n, const uint8_t *pkt, size_t len, instant now)
{
    for (size_t i = 0; i < n->peers_count && len == RESET_LEN; i++)
        if (n->peers[i]->session && session_on_reset(n->peers[i]->session, pkt + 8, now) == 0) {
            peer_touch(n->peers[i]);
            return;
        }
    n->drops[NODE_DROP_UNKNOWN_CID]++;
}

/* True for a sealed record that opened and was new. */
static bool on_one(struct node *n, const struct locator_pair *at, uint8_t *pkt, size_t len, uint8_t tos, instant now)
{
    if (len < RESET_LEN) {
        n->drops[NODE_DROP_SHORT]++;
        return false;
    }
    switch (pkt[0]) {
    case PACKET_SEALED:
        return on_sealed(n, at, pkt, len, tos, now);
    case PACKET_INIT:
        on_init(n, at, pkt, len, now);
        break;
    case PACKET_RESPONSE:
        on_response(n, at, pkt, len, now);
        break;
    case PACKET_COOKIE:
        on_cookie(n, at, pkt, len, now);
        break;
    case PACKET_RESET:
        on_reset(n, pkt, len, now);
        break;
    default:
        n->drops[NODE_DROP_SHORT]++;
    }
    return false;
}

unsigned node_on_datagram(struct node *n, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment,
                          uint8_t tos, instant now)
{
    unsigned opened = 0;

    if (now - n->jar_made > JAR_LIFE) {
        rng_fill(&n->o.rng, &n->jar, sizeof(n->jar));
        n->jar_made = now;
    }
    for (size_t off = 0; off < len;) {
        size_t one = segment ? MIN(segment, len - off) : len - off;

        opened += on_one(n, at, data + off, one, tos, now);
        off += one;
    }
    LIST_FOREACH (p, &n->ready, struct peer, ready)
        peer_pump(p, now);
    return opened;
}
