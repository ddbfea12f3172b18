/* prog/relayed.c - relays: an agent that is one, and a host that is behind one.
 *
 * Theory of operation. Agent: datagrams of the three types of node/relay.h come to its port like all others, and go to
 * the machine there instead of to the node. Host: a channel that a manager gave is an endpoint like others for the core
 * (node_relay_place); what goes there is sent to the relay behind a header, what comes from there is given to the core
 * without. A channel goes by one uplink, the one that was used last; it is bound again when that is another, each
 * BIND_AGAIN, when a path of any session is in trouble, each BIND_RETRY until the relay has answered, and at once when
 * the relay has told a cookie to show, that is, where a NAT or a move has made another endpoint of this one.
 *
 * Limits: CHANNELS_MAX of a host; who was not used for the longest gives its place. */
#include <errno.h>
#include <syslog.h>

#include "node/relay.h"
#include "prog/daemon.h"
#include "wire/header.h"

#define RELAY_CHANNELS 4096      /* chosen: of an agent; 1 MB */
#define CHANNELS_MAX 32          /* chosen: as many peers of a host have no other way */
#define BIND_AGAIN (15 * SEC)    /* chosen: below RELAY_IDLE and the UDP timeouts of NATs */
#define BIND_RETRY (500 * MSEC)  /* as often as slow work is done */
#define CHANNEL_IDLE (120 * SEC) /* chosen: the core probes what it has a path by each 5 s */

struct relayed {
    struct channel {
        struct mapping_relay relay; /* at.addr.family ADDR_NONE: free */
        uint64_t id;
        uint8_t side;
        uint32_t link;                    /* 0: none was up yet */
        uint64_t nonce;                   /* of the BIND that is not answered yet, or 0 */
        bool shown;                       /* it shows what an answer has just told */
        uint8_t cookie[RELAY_COOKIE_LEN]; /* to show */
        instant bind_at, used;
    } channels[CHANNELS_MAX];
};

/* --- agent --- */

int relayed_start(struct daemon *d)
{
    const struct rng rng = sys_rng();
    uint8_t keys[CONFIG_RELAY_MAX][IDENT_KEY_LEN];
    int r = 0;

    for (size_t i = 0; i < d->config->relay_for.count && r == 0; i++)
        r = grant_key(&d->config->identity, d->config->relay_for.keys[i].x25519, keys[i]);
    if (r == 0 && d->config->relay_for.count > 0) {
        d->relay = relay_new(keys, d->config->relay_for.count, RELAY_CHANNELS, &rng);
        r = d->relay ? 0 : -ENOMEM;
    }
    explicit_bzero(keys, sizeof(keys));
    if (r == 0 && d->host) {
        d->relayed = calloc(1, sizeof(*d->relayed));
        r = d->relayed ? 0 : -ENOMEM;
    }
    if (r < 0)
        say(LOG_ERR, "relay: %s", r == -ENOMEM ? "out of memory" : "RelayFor is a public key of no use");
    return r;
}

void relayed_stop(struct daemon *d)
{
    relay_free(d->relay);
    free(d->relayed);
    d->relay = NULL;
    d->relayed = NULL;
}

/* All segments of a train are of one sender, but each may be of another channel. */
static void pass_on(struct daemon *d, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment,
                    instant now)
{
    struct locator_pair to;
    size_t n;

    for (size_t off = 0, one; off < len; off += one) {
        one = segment ? MIN(segment, len - off) : len - off;
        if (relay_on_datagram(d->relay, at, data + off, one, clock_wall_s(), now, &to, &n))
            outside_send_beside(d, &to, data + off, n);
    }
}

/* --- host --- */

static struct channel *channel_of(const struct daemon *d, uint64_t id)
{
    for (size_t i = 0; d->relayed && i < CHANNELS_MAX; i++)
        if (d->relayed->channels[i].relay.at.addr.family != ADDR_NONE && d->relayed->channels[i].id == id)
            return &d->relayed->channels[i];
    return NULL;
}

static bool serves(const struct daemon *d, uint32_t link, const struct endpoint *at)
{
    const struct uplink *u = &d->uplinks[link];

    return u->used && u->node.up && (at->addr.family == ADDR_V6 ? u->node.has_v6 : u->node.has_v4);
}

static void bind_channel(struct daemon *d, struct channel *c, instant now)
{
    const struct locator_pair to = { .link = c->link, .remote = c->relay.at };
    const struct rng rng = sys_rng();
    uint8_t bytes[RELAY_BIND_LEN];

    if (c->nonce == 0) /* the answer may take longer than until it is said again */
        c->nonce = rng_nonzero(&rng);
    relay_bind_write(c->relay.grant, c->nonce, c->cookie, bytes);
    outside_send_beside(d, &to, bytes, sizeof(bytes));
    c->bind_at = now + BIND_RETRY;
}

static void bind_by(struct daemon *d, struct channel *c, uint32_t link, instant now)
{
    if (c->link != link) /* what was answered there says nothing of here */
        c->nonce = 0;
    c->link = link;
    c->shown = false;
    bind_channel(d, c, now);
}

/* By the uplink of the last time, or another that is up. */
static void bind_again(struct daemon *d, struct channel *c, instant now)
{
    uint32_t link = c->link;

    for (uint32_t i = 1; i <= UPLINKS_MAX && !serves(d, link, &c->relay.at); i++)
        if (serves(d, i, &c->relay.at))
            link = i;
    if (serves(d, link, &c->relay.at))
        bind_by(d, c, link, now);
}

/* Its place, or that of one that is free, or of the one that was not used for the longest. */
static struct channel *place_for(struct daemon *d, uint64_t id)
{
    struct channel *found = channel_of(d, id), *c = d->relayed->channels;

    for (size_t i = 0; !found && i < CHANNELS_MAX; i++)
        if (c[i].relay.at.addr.family == ADDR_NONE)
            found = &c[i];
    if (found)
        return found;
    for (size_t i = 1; i < CHANNELS_MAX; i++)
        if (d->relayed->channels[i].used < c->used)
            c = &d->relayed->channels[i];
    return c;
}

struct endpoint relayed_add(struct daemon *d, const struct mapping_relay *relay, instant now)
{
    const struct grant g = grant_read(relay->grant);
    struct channel *c = place_for(d, g.channel);

    *c = (struct channel){ .relay = *relay, .id = g.channel, .side = g.side, .used = now };
    bind_again(d, c, now);
    return node_relay_place(g.channel);
}

bool relayed_send(struct daemon *d, const struct session_tx *tx, const uint8_t *data, instant now)
{
    struct channel *c = node_is_relayed(&tx->at.remote) ? channel_of(d, node_relay_channel(&tx->at.remote)) : NULL;
    struct locator_pair to = tx->at;
    uint8_t bytes[RELAY_HEADER_LEN + RECORD_MAX + 64] = { PACKET_RELAYED };

    if (!c || !serves(d, tx->at.link, &c->relay.at))
        return false;
    if (c->link != tx->at.link)
        bind_by(d, c, tx->at.link, now);
    c->used = now;
    to.remote = c->relay.at;
    bytes[1] = c->side;
    put_be64(bytes + 4, c->id);
    for (size_t off = 0, one; off < tx->len; off += one) {
        one = tx->segment ? MIN(tx->segment, tx->len - off) : tx->len - off;
        if (one > sizeof(bytes) - RELAY_HEADER_LEN)
            return false;
        memcpy(bytes + RELAY_HEADER_LEN, data + off, one);
        outside_send_beside(d, &to, bytes, RELAY_HEADER_LEN + one);
    }
    return true;
}

static void take_answer(struct daemon *d, struct channel *c, const uint8_t *data, size_t len, instant now)
{
    int state = c->nonce ? relay_bound_read(data, len, c->relay.grant, c->nonce, c->cookie) : -EBADMSG;

    if (state < 0)
        return;
    c->nonce = 0;
    if (state == RELAY_BOUND) {
        c->bind_at = now + BIND_AGAIN;
    } else if (!c->shown) {
        c->shown = true;
        bind_channel(d, c, now);
    }
}

static void take(struct worker *w, const struct locator_pair *from, uint8_t *data, size_t len, uint8_t tos, instant now)
{
    struct channel *c = len >= RELAY_HEADER_LEN ? channel_of(w->d, get_be64(data + 4)) : NULL;
    struct locator_pair at = *from;

    if (!c || !endpoint_equal(&c->relay.at, &from->remote))
        return;
    if (data[0] == PACKET_RELAY_BOUND) {
        take_answer(w->d, c, data, len, now);
    } else if (data[0] == PACKET_RELAYED && data[1] != c->side) {
        c->used = now;
        at.remote = node_relay_place(c->id);
        node_on_datagram(w->node, &at, data + RELAY_HEADER_LEN, len - RELAY_HEADER_LEN, 0, tos, now);
    }
}

bool relayed_on_datagram(struct worker *w, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment,
                         uint8_t tos, instant now)
{
    if ((!w->d->relay && !w->d->relayed) || len == 0 || data[0] < PACKET_RELAYED || data[0] > PACKET_RELAY_BOUND)
        return false;
    if (w->d->relay) {
        if (w->index == 0) /* to which the kernel steers them */
            pass_on(w->d, at, data, len, segment, now);
        return true;
    }
    for (size_t off = 0, one; off < len; off += one) {
        one = segment ? MIN(segment, len - off) : len - off;
        take(w, at, data + off, one, tos, now);
    }
    return true;
}

void relayed_hurry(struct daemon *d, instant now)
{
    for (size_t i = 0; d->relayed && i < CHANNELS_MAX; i++)
        d->relayed->channels[i].bind_at = instant_min(d->relayed->channels[i].bind_at, now);
}

void relayed_slow(struct daemon *d, instant now)
{
    for (size_t i = 0; d->relayed && i < CHANNELS_MAX; i++) {
        struct channel *c = &d->relayed->channels[i];

        if (c->relay.at.addr.family == ADDR_NONE)
            continue;
        if (now - c->used > CHANNEL_IDLE)
            *c = (struct channel){ .id = 0 };
        else if (now >= c->bind_at || !serves(d, c->link, &c->relay.at))
            bind_again(d, c, now);
    }
}
