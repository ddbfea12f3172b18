/* node/relay.c - see relay.h.
 *
 * Theory of operation. A channel is made by the first BIND of either side, and forgotten when neither has been heard
 * for RELAY_IDLE; that is looked for when there is no room, among those in the order of use. A side that moves binds
 * anew from where it is then, a round trip more for the cookie, and until it has, what it sends is dropped: so who only
 * knows the channel's number, which is not secret, moves nobody.
 *
 * Cookies are made without keeping anything: when, and a MAC of that, of channel and side, and of where it is sent, by
 * a secret that is drawn at the start. What a side has shown last stands in its channel. Only where a channel had to
 * give way to others within RELAY_COOKIE_LIFE after its host moved, a BIND that was recorded before may bind it to the
 * host's old endpoint again, until that host binds the next time.
 *
 * Limits: as many channels as the owner says, 160 bytes and a place in a map each. */
#include "node/relay.h"

#include "base/hash.h"
#include "base/list.h"
#include "wire/cursor.h"
#include "wire/header.h"

#include <errno.h>

#define KEYS_MAX 8

struct channel {
    struct list link; /* relay.used or relay.free */
    uint64_t id;
    instant heard;
    struct {
        bool bound;
        struct locator_pair at;
        instant cookie; /* that was shown last */
    } side[2];
};

struct relay {
    uint8_t keys[KEYS_MAX][IDENT_KEY_LEN];
    size_t keys_count;
    uint8_t secret[32]; /* of cookies */
    struct map64 by_id;
    struct list used, free; /* used: the one heard longest ago first */
    struct channel *channels;
    struct relay_stats stats;
};

struct relay *relay_new(const uint8_t (*keys)[IDENT_KEY_LEN], size_t keys_count, uint32_t channels_max,
                        const struct rng *rng)
{
    struct relay *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->channels = calloc(channels_max, sizeof(*r->channels));
    if (!r->channels) {
        free(r);
        return NULL;
    }
    r->keys_count = MIN(keys_count, (size_t)KEYS_MAX);
    memcpy(r->keys, keys, r->keys_count * sizeof(r->keys[0]));
    rng_fill(rng, r->secret, sizeof(r->secret));
    map64_init(&r->by_id, channels_max, rng_u64(rng));
    list_init(&r->used);
    list_init(&r->free);
    for (uint32_t i = 0; i < channels_max; i++)
        list_append(&r->free, &r->channels[i].link);
    return r;
}

void relay_free(struct relay *r)
{
    if (!r)
        return;
    map64_deinit(&r->by_id);
    free(r->channels);
    ident_wipe(r, sizeof(*r));
    free(r);
}

static void hear(struct relay *r, struct channel *c, instant now)
{
    list_remove(&c->link);
    list_append(&r->used, &c->link);
    c->heard = now;
}

static void forget(struct relay *r, struct channel *c)
{
    map64_remove(&r->by_id, c->id);
    list_remove(&c->link);
    list_append(&r->free, &c->link);
    r->stats.channels--;
}

static void forget_idle(struct relay *r, instant now)
{
    struct channel *c;

    if (list_empty(&r->used))
        return;
    c = LIST_FIRST(&r->used, struct channel, link);
    if (now - c->heard > RELAY_IDLE)
        forget(r, c);
}

/* The oldest that one side alone has bound gives way: whoever fills the relay with such keeps nobody from it. */
static void forget_one_sided(struct relay *r)
{
    LIST_FOREACH_SAFE (c, &r->used, struct channel, link) {
        if (!c->side[0].bound || !c->side[1].bound) {
            forget(r, c);
            return;
        }
    }
}

/* NULL: there is no room. */
static struct channel *make(struct relay *r, uint64_t id, instant now)
{
    struct channel *c;

    forget_idle(r, now);
    if (list_empty(&r->free))
        forget_one_sided(r);
    if (list_empty(&r->free))
        return NULL;
    c = LIST_FIRST(&r->free, struct channel, link);
    if (map64_put(&r->by_id, id, c) < 0)
        return NULL;
    c->id = id;
    memset(c->side, 0, sizeof(c->side));
    r->stats.channels++;
    return c;
}

/* --- BIND --- */

struct bind {
    struct grant grant;
    uint64_t nonce;
    uint8_t cookie[RELAY_COOKIE_LEN];
    uint8_t of[GRANT_LEN]; /* the whole grant, which was not said */
};

/* By whose key it is proven: false: nobody's. */
static bool read_bind(const struct relay *r, const uint8_t *data, size_t len, struct bind *ret)
{
    const uint8_t *body = data + 4, *nonce = body + GRANT_BODY_LEN, *cookie = nonce + 8;
    const uint8_t *proof = cookie + RELAY_COOKIE_LEN;
    uint8_t expected[MAC16_LEN];
    struct grant g;

    if (len != RELAY_BIND_LEN)
        return false;
    g = grant_read(body);
    if (g.channel == 0 || g.side > 1)
        return false;
    for (size_t i = 0; i < r->keys_count; i++) {
        grant_seal(r->keys[i], &g, ret->of);
        grant_prove(ret->of, data, (size_t)(proof - data), expected);
        if (!ident_equal(expected, proof, sizeof(expected)))
            continue;
        ret->grant = g;
        ret->nonce = get_be64(nonce);
        memcpy(ret->cookie, cookie, sizeof(ret->cookie));
        return true;
    }
    return false;
}

static void make_cookie(const struct relay *r, const struct grant *g, const struct locator_pair *at, instant made,
                        uint8_t out[RELAY_COOKIE_LEN])
{
    uint8_t bytes[64], mac[MAC16_LEN];
    struct writer w = writer_init(bytes, sizeof(bytes));

    write_u64(&w, (uint64_t)made);
    write_u64(&w, g->channel);
    write_u8(&w, g->side);
    write_u32(&w, at->link);
    write_u8(&w, at->lane);
    write_u8(&w, at->transport);
    write_u8(&w, at->remote.addr.family);
    write_bytes(&w, at->remote.addr.bytes, sizeof(at->remote.addr.bytes));
    write_u16(&w, at->remote.port);
    blake2s_mac16(mac, r->secret, bytes, writer_len(&w));
    put_be64(out, (uint64_t)made);
    memcpy(out + 8, mac, RELAY_COOKIE_LEN - 8);
}

/* Made for there, and not long ago. */
static bool is_ours(const struct relay *r, const struct bind *b, const struct locator_pair *at, instant now)
{
    const uint64_t made = get_be64(b->cookie);
    uint8_t expected[RELAY_COOKIE_LEN];

    if (made > (uint64_t)now || (uint64_t)now - made > (uint64_t)RELAY_COOKIE_LIFE)
        return false;
    make_cookie(r, &b->grant, at, (instant)made, expected);
    return ident_equal(expected, b->cookie, sizeof(expected));
}

static void answer(const struct relay *r, const struct bind *b, const struct locator_pair *at, enum relay_state state,
                   instant now, uint8_t *out)
{
    uint8_t *nonce = out + RELAY_HEADER_LEN, *cookie = nonce + 8, *proof = cookie + RELAY_COOKIE_LEN;

    memset(out, 0, RELAY_HEADER_LEN);
    out[0] = PACKET_RELAY_BOUND;
    out[1] = b->grant.side;
    out[2] = (uint8_t)state;
    put_be64(out + 4, b->grant.channel);
    put_be64(nonce, b->nonce);
    make_cookie(r, &b->grant, at, now, cookie);
    grant_prove(b->of, out, (size_t)(proof - out), proof);
}

/* True: the answer stands in data. */
static bool bind(struct relay *r, const struct locator_pair *at, uint8_t *data, size_t len, uint64_t wall_s,
                 instant now)
{
    enum relay_state state = RELAY_SHOW;
    struct channel *c;
    struct bind b;
    instant made;

    if (!read_bind(r, data, len, &b) || (wall_s != 0 && b.grant.until_s < wall_s)) {
        r->stats.refused++;
        return false;
    }
    if (is_ours(r, &b, at, now)) {
        c = map64_get(&r->by_id, b.grant.channel);
        if (!c && !(c = make(r, b.grant.channel, now))) {
            r->stats.full++;
            return false;
        }
        made = (instant)get_be64(b.cookie);
        if (made > c->side[b.grant.side].cookie ||
            (made == c->side[b.grant.side].cookie && locator_pair_same(&c->side[b.grant.side].at, at))) {
            hear(r, c, now);
            c->side[b.grant.side].bound = true;
            c->side[b.grant.side].at = *at;
            c->side[b.grant.side].cookie = made;
            state = RELAY_BOUND;
        }
    }
    *(state == RELAY_BOUND ? &r->stats.bound : &r->stats.told) += 1;
    answer(r, &b, at, state, now, data);
    ident_wipe(&b, sizeof(b));
    return true;
}

void relay_bind_write(const uint8_t grant[GRANT_LEN], uint64_t nonce, const uint8_t cookie[RELAY_COOKIE_LEN],
                      uint8_t out[RELAY_BIND_LEN])
{
    memset(out, 0, 4);
    out[0] = PACKET_RELAY_BIND;
    memcpy(out + 4, grant, GRANT_BODY_LEN);
    put_be64(out + 4 + GRANT_BODY_LEN, nonce);
    memcpy(out + 4 + GRANT_BODY_LEN + 8, cookie, RELAY_COOKIE_LEN);
    grant_prove(grant, out, RELAY_BIND_LEN - MAC16_LEN, out + RELAY_BIND_LEN - MAC16_LEN);
}

int relay_bound_read(const uint8_t *data, size_t len, const uint8_t grant[GRANT_LEN], uint64_t nonce,
                     uint8_t ret_cookie[RELAY_COOKIE_LEN])
{
    const struct grant g = grant_read(grant);
    uint8_t expected[MAC16_LEN];

    if (len != RELAY_BOUND_LEN || data[0] != PACKET_RELAY_BOUND || data[1] != g.side || data[2] > RELAY_BOUND ||
        get_be64(data + 4) != g.channel || get_be64(data + RELAY_HEADER_LEN) != nonce)
        return -EBADMSG;
    grant_prove(grant, data, RELAY_BOUND_LEN - MAC16_LEN, expected);
    if (!ident_equal(expected, data + RELAY_BOUND_LEN - MAC16_LEN, sizeof(expected)))
        return -EBADMSG;
    memcpy(ret_cookie, data + RELAY_HEADER_LEN + 8, RELAY_COOKIE_LEN);
    return data[2];
}

/* --- all --- */

bool relay_on_datagram(struct relay *r, const struct locator_pair *at, uint8_t *data, size_t len, uint64_t wall_s,
                       instant now, struct locator_pair *ret_to, size_t *ret_len)
{
    struct channel *c;
    uint8_t side;

    if (len > 0 && data[0] == PACKET_RELAY_BIND) {
        if (!bind(r, at, data, len, wall_s, now))
            return false;
        *ret_to = *at;
        *ret_len = RELAY_BOUND_LEN;
        return true;
    }
    side = len > RELAY_HEADER_LEN && data[0] == PACKET_RELAYED ? data[1] : UINT8_MAX;
    c = side <= 1 ? map64_get(&r->by_id, get_be64(data + 4)) : NULL;
    if (!c || !c->side[side].bound || !locator_pair_same(&c->side[side].at, at) || !c->side[!side].bound) {
        r->stats.dropped++;
        return false;
    }
    hear(r, c, now);
    r->stats.passed++;
    r->stats.passed_bytes += len - RELAY_HEADER_LEN;
    *ret_to = c->side[!side].at;
    *ret_len = len;
    return true;
}

void relay_stats_get(const struct relay *r, struct relay_stats *ret)
{
    *ret = r->stats;
}
