/* node/relay.c - see relay.h.
 *
 * Theory of operation. A channel is made by the first BIND of either side, and forgotten when neither has been heard
 * for RELAY_IDLE; that is looked for when there is no room, among those in the order of use. A side that moves binds
 * anew from where it is then, and until it has, what it sends is dropped: so who only knows the channel's number, which
 * is not secret, moves nobody.
 *
 * Limits: as many channels as the owner says, 64 bytes and a place in a map each. */
#include "node/relay.h"

#include "base/hash.h"
#include "base/list.h"
#include "ident/hash.h"
#include "wire/header.h"

#define KEYS_MAX 8

struct channel {
    struct list link; /* relay.used or relay.free */
    uint64_t id;
    instant heard;
    struct {
        bool bound;
        struct locator_pair at;
    } side[2];
};

struct relay {
    uint8_t keys[KEYS_MAX][IDENT_KEY_LEN];
    size_t keys_count;
    struct map64 by_id;
    struct list used, free; /* used: the one heard longest ago first */
    struct channel *channels;
    struct relay_stats stats;
};

struct relay *relay_new(const uint8_t (*keys)[IDENT_KEY_LEN], size_t keys_count, uint32_t channels_max,
                        uint64_t hash_seed)
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
    map64_init(&r->by_id, channels_max, hash_seed);
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
    c->side[0].bound = c->side[1].bound = false;
    r->stats.channels++;
    return c;
}

static bool bind(struct relay *r, const struct locator_pair *at, uint8_t *data, size_t len, uint64_t wall_s,
                 instant now)
{
    struct channel *c;
    struct grant g;
    int known = -1;

    for (size_t i = 0; i < r->keys_count && known < 0 && len == RELAY_BIND_LEN; i++)
        known = grant_open(r->keys[i], data + 4, &g);
    if (known < 0 || (wall_s != 0 && g.until_s < wall_s)) {
        r->stats.refused++;
        return false;
    }
    c = map64_get(&r->by_id, g.channel);
    if (!c && !(c = make(r, g.channel, now))) {
        r->stats.full++;
        return false;
    }
    hear(r, c, now);
    c->side[g.side].bound = true;
    c->side[g.side].at = *at;
    r->stats.bound++;
    memset(data, 0, RELAY_HEADER_LEN);
    data[0] = PACKET_RELAY_BOUND;
    data[1] = g.side;
    put_be64(data + 4, g.channel);
    return true;
}

bool relay_on_datagram(struct relay *r, const struct locator_pair *at, uint8_t *data, size_t len, uint64_t wall_s,
                       instant now, struct locator_pair *ret_to, size_t *ret_len)
{
    struct channel *c;
    uint8_t side;

    if (len > 0 && data[0] == PACKET_RELAY_BIND) {
        if (!bind(r, at, data, len, wall_s, now))
            return false;
        *ret_to = *at;
        *ret_len = RELAY_HEADER_LEN;
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
