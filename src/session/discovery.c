/* session/discovery.c - see discovery.h.
 *
 * Theory of operation. All ways are asked in one round at once, and again after 50, 120, 300 and 600 ms: thrice within
 * the window of 240 ms, after which plain TCP is tried beside, so that one lost datagram costs no fallback. Who is
 * asked twice answers twice, and the first answer counts. A way whose host says that the port is closed is not asked
 * again; when all are, nobody is there, and nothing is waited for. That ICMP can be forged is no new danger: who can do
 * that can also drop the datagrams.
 *
 * Limits: 32 ways, 5 rounds, 1 s. Sources: RFC 8305 (the delay). */
#include "session/discovery.h"

static const span rounds[DISCOVERY_ROUNDS] = { 0, 50 * MSEC, 120 * MSEC, 300 * MSEC, 600 * MSEC };

void discovery_init(struct discovery *d, instant now)
{
    memset(d, 0, sizeof(*d));
    d->began = now;
}

void discovery_add(struct discovery *d, const struct locator_pair *at, const struct rng *rng)
{
    struct discovery_way *w = &d->ways[d->count];

    if (d->count == DISCOVERY_WAYS_MAX)
        return;
    w->at = *at;
    rng_fill(rng, w->nonce, sizeof(w->nonce));
    d->count++;
}

static void look(struct discovery *d)
{
    unsigned open = 0;

    for (unsigned i = 0; i < d->count; i++)
        open += !d->ways[i].refused;
    if (open == 0 && d->state == DISCOVERY_ASKING)
        d->state = DISCOVERY_NOBODY;
}

bool discovery_output(struct discovery *d, uint8_t buf[HELLO_LEN], struct locator_pair *ret, instant now)
{
    look(d);
    while (d->state == DISCOVERY_ASKING && d->round < DISCOVERY_ROUNDS && now - d->began >= rounds[d->round]) {
        if (d->next < d->count) {
            const struct discovery_way *w = &d->ways[d->next++];

            if (w->refused)
                continue;
            hello_write(buf, w->nonce);
            *ret = w->at;
            return true;
        }
        d->next = 0;
        d->round++;
    }
    return false;
}

void discovery_input(struct discovery *d, const struct endpoint *from, const uint8_t *pkt, size_t len)
{
    struct hello_answer a;
    struct peer_key key;

    if (d->state == DISCOVERY_FOUND || hello_answer_read(pkt, len, &a) < 0 ||
        !(a.versions & HELLO_VERSION_BIT(PROTOCOL_VERSION)) || peer_key_read(a.key, &key) < 0)
        return;
    for (unsigned i = 0; i < d->count; i++) {
        if (memcmp(d->ways[i].nonce, a.nonce, sizeof(a.nonce)) != 0 || !endpoint_equal(&d->ways[i].at.remote, from))
            continue;
        d->state = DISCOVERY_FOUND;
        d->key = key;
        d->at = *from;
        d->carrier_port = a.carrier_port;
        return;
    }
}

void discovery_on_refused(struct discovery *d, uint32_t link, const struct endpoint *at)
{
    for (unsigned i = 0; i < d->count; i++)
        if (d->ways[i].at.link == link && endpoint_equal(&d->ways[i].at.remote, at))
            d->ways[i].refused = true;
    look(d);
}

instant discovery_next_expiry(const struct discovery *d)
{
    if (d->state != DISCOVERY_ASKING)
        return INSTANT_NEVER;
    return d->began + (d->round < DISCOVERY_ROUNDS ? rounds[d->round] : DISCOVERY_LIMIT);
}

void discovery_on_expiry(struct discovery *d, instant now)
{
    look(d);
    if (d->state == DISCOVERY_ASKING && now - d->began >= DISCOVERY_LIMIT)
        d->state = DISCOVERY_NOBODY;
}
