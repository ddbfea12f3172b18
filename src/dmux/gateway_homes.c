/* dmux/gateway_homes.c - packets between operators.
 *
 * Theory of operation. The gateway that a client's packet reaches first is its home. Where it has no router, it sends
 * the packet to a border as it would to a router: whose it is (A), its ticket (K), and with H who is the home, with the
 * pass that the border has given. The border takes it for one of its own clients' from there on: a router of its own,
 * its own ticket. What the home's ticket was goes along in H, in the place of the pass, and comes back with the
 * router's answer, so that the border can send the home an answer as a router would: with the ticket that the home gave
 * out. So each gateway checks what it has made itself, nobody remembers anything, and a border can have a home send
 * nothing to anybody whose packets it has not been sent.
 *
 * Two levels: what has H is served by a router of one's own or dropped (TRANSIT). No packet goes round: a datagram with
 * a pass becomes one with a ticket, which no gateway takes for a pass (the mac covers the kind); the hop limit is
 * counted down nevertheless.
 *
 * What a border sends to a router says the home, and so does the border's ticket, which is of a kind of its own
 * (SHIM_COOKIE_HOME), so that a router cannot have its answers sent anywhere else. */
#include "dmux/gateway_internal.h"

void gateway_put_home(const struct gateway *g, const struct registration *border, uint8_t at[SHIM_HOME_LEN])
{
    put_be32(at, g->unicast);
    put_be16(at + 4, g->o.unicast.port);
    put_be16(at + 6, 0);
    memcpy(at + SHIM_HOME_COOKIE_AT, border->pass, SHIM_COOKIE_LEN);
}

/* A client's address, with a hop less. False: there is none left. */
static bool put_client(uint8_t out[SHIM_CLIENT_LEN], const uint8_t in[SHIM_CLIENT_LEN])
{
    memcpy(out, in, SHIM_CLIENT_LEN);
    out[6] = 0;
    if (in[7] <= 1)
        return false;
    out[7]--;
    return true;
}

static void finish(const struct arrival *a, uint8_t *at)
{
    memcpy(at, a->data + a->shim.len, a->len - a->shim.len);
    a->tx->len = (size_t)(at - a->out) + a->len - a->shim.len;
    a->tx->from_service = false;
}

/* From a router here, for the home that its client's packet came by. */
static bool to_home(struct gateway *g, const struct arrival *a, const struct registration *r)
{
    const uint8_t *client = a->data + a->shim.client_at, *home = a->data + a->shim.home_at;
    struct shim_claim c = { .kind = SHIM_COOKIE_HOME,
                            .client = get_be32(client),
                            .client_port = get_be16(client + 4),
                            .router = a->addr,
                            .router_port = a->from->port,
                            .gateway = g->o.id,
                            .home = get_be32(home),
                            .home_port = get_be16(home + 4) };
    uint8_t *at = a->out + SHIM_LEN;

    if (r->state != REGISTRATION_PROVED)
        return gateway_drop(g, GATEWAY_DROP_CLIENT);
    if (!jar_check(&g->jar, &c, a->data + a->shim.cookie_at, GATEWAY_TICKET_S))
        return gateway_drop(g, GATEWAY_DROP_TICKET);
    shim_put(a->out, a->shim.flags & (uint8_t)~SHIM_HOME, a->shim.protocol, a->shim.provider);
    memcpy(at, home + SHIM_HOME_COOKIE_AT, SHIM_COOKIE_LEN);
    if (!put_client(at + SHIM_COOKIE_LEN, client))
        return gateway_drop(g, GATEWAY_DROP_HOPS);
    finish(a, at + SHIM_COOKIE_LEN + SHIM_CLIENT_LEN);
    a->tx->to = endpoint_of(c.home, c.home_port);
    g->stats.to_home_pkts++;
    return true;
}

/* Has the home shown that it is one? */
static bool pass_holds(const struct gateway *g, const struct arrival *a)
{
    const uint8_t *home = a->data + a->shim.home_at;
    struct shim_claim c = { .kind = SHIM_COOKIE_PASS, .client = a->addr, .client_port = a->from->port };

    return get_be32(home) == a->addr && get_be16(home + 4) == a->from->port && get_be16(home + 6) == 0 &&
           jar_check(&g->jar, &c, home + SHIM_HOME_COOKIE_AT, GATEWAY_COOKIE_S);
}

/* A home's client, for a router here. */
static bool from_home(struct gateway *g, const struct arrival *a)
{
    const uint8_t *client = a->data + a->shim.client_at;
    struct endpoint who = endpoint_of(get_be32(client), get_be16(client + 4));
    struct shim_claim c = { .kind = SHIM_COOKIE_HOME,
                            .client = get_be32(client),
                            .client_port = who.port,
                            .gateway = g->o.id,
                            .home = a->addr,
                            .home_port = a->from->port };
    uint8_t *at = a->out + SHIM_LEN;
    struct registration *r;

    if (!pass_holds(g, a))
        return gateway_drop(g, GATEWAY_DROP_PASS);
    if (!gateway_address_allowed(g, &who))
        return gateway_drop(g, GATEWAY_DROP_SOURCE);
    if (!limits_verified(g->limits, c.client, a->now))
        return gateway_drop(g, GATEWAY_DROP_RATE);
    r = registry_select(g->registry, a->shim.protocol, a->shim.provider, c.client);
    if (!r || r->realm != 0)
        gateway_look_for(g, a, a->shim.protocol, a->shim.provider);
    if (!r)
        return gateway_drop(g, GATEWAY_DROP_NO_ROUTER);
    if (r->realm != 0)
        return gateway_drop(g, GATEWAY_DROP_TRANSIT);
    if (!credentials_may(g->credentials, r->provider, a->now))
        return gateway_drop(g, GATEWAY_DROP_RATE);
    c.router = r->addr;
    c.router_port = r->port;
    shim_put(a->out, a->shim.flags, a->shim.protocol, r->provider);
    jar_mint(&g->jar, &c, at);
    if (!put_client(at + SHIM_COOKIE_LEN, client))
        return gateway_drop(g, GATEWAY_DROP_HOPS);
    at += SHIM_COOKIE_LEN + SHIM_CLIENT_LEN;
    memcpy(at, a->data + a->shim.home_at, SHIM_HOME_COOKIE_AT);
    memcpy(at + SHIM_HOME_COOKIE_AT, a->data + a->shim.cookie_at, SHIM_COOKIE_LEN);
    finish(a, at + SHIM_HOME_LEN);
    a->tx->to = endpoint_of(r->addr, r->port);
    r->pkts++;
    r->bytes += a->len - a->shim.len;
    g->stats.from_home_pkts++;
    return true;
}

bool gateway_on_home(struct gateway *g, const struct arrival *a)
{
    const struct registration *r = gateway_router(g, a, a->shim.protocol, a->shim.provider);

    if (a->len == a->shim.len)
        return gateway_drop(g, GATEWAY_DROP_EMPTY);
    return r ? to_home(g, a, r) : from_home(g, a);
}
