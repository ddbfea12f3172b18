/* dmux/ipv4.c - see ipv4.h.
 *
 * Theory of operation. A client's address inside is the one that its gateway sees outside, so nothing is asked or
 * assigned; the router passes a packet on only if its source is just that, and remembers the port that the address came
 * with last, for what comes back. Clients that share an address have one port at a time: the last that sent.
 *
 * Limits: IPV4_CLIENTS, in sets of WAYS; where a set is full, who has been silent longest gives up its place.
 * Sources: RFC 791 section 3.1. */
#include "dmux/ipv4.h"

#include "base/hash.h"

#define HEADER 20
#define TTL 8
#define SOURCE 12
#define DESTINATION 16
/* chosen: of addresses for a quarter of the places .4 % find their set full; of one place each, 12 % are taken */
#define WAYS 4

struct place {
    struct client_id client; /* port 0: none */
    uint32_t used;           /* a clock of packets */
};

struct ipv4_router_state {
    struct prefix prefix;
    uint32_t clock;
    struct place places[IPV4_CLIENTS];
};

struct ipv4_client_state {
    uint32_t self; /* host order; 0: not known yet */
};

/* A whole packet; options are let through. */
static bool is_ipv4(const uint8_t *packet, size_t len)
{
    return len >= HEADER && packet[0] >> 4 == 4 && (size_t)(packet[0] & 15) * 4 >= HEADER &&
           (size_t)(packet[0] & 15) * 4 <= len && get_be16(packet + 2) == len;
}

static const char *router_init(void *state, const struct protocol_setup *setup)
{
    struct ipv4_router_state *s = state;

    s->prefix = setup->clients;
    return s->prefix.addr.family == ADDR_V4 ? NULL : "an IPv4 prefix";
}

static struct place *set_of(struct ipv4_router_state *s, uint32_t addr)
{
    return &s->places[hash_mix64(addr) % (IPV4_CLIENTS / WAYS) * WAYS];
}

static struct place *find(struct ipv4_router_state *s, uint32_t addr)
{
    struct place *set = set_of(s, addr);

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].client.port != 0 && set[i].client.addr == addr)
            return &set[i];
    }
    return NULL;
}

static void remember(struct ipv4_router_state *s, const struct client_id *client)
{
    struct place *p = find(s, client->addr), *set = set_of(s, client->addr);

    s->clock++;
    for (unsigned i = 0; i < WAYS && !p; i++)
        p = set[i].client.port == 0 ? &set[i] : NULL;
    if (!p) {
        p = set;
        for (unsigned i = 1; i < WAYS; i++)
            p = s->clock - set[i].used > s->clock - p->used ? &set[i] : p;
    }
    *p = (struct place){ .client = *client, .used = s->clock };
}

static enum protocol_verdict router_on_client(void *state, const struct client_id *client, const uint8_t *packet,
                                              size_t len, struct protocol_reply *reply)
{
    struct ipv4_router_state *s = state;
    struct addr source = addr_v4(client->addr), to;

    if (!is_ipv4(packet, len) || get_be32(packet + SOURCE) != client->addr || !prefix_contains(&s->prefix, &source))
        return PROTOCOL_DROP;
    to = addr_v4(get_be32(packet + DESTINATION));
    /* Nothing to loopback, to many or to a link alone, and nothing back into the device. */
    if (packet[TTL] <= 1 || !addr_is_unicast(&to) || addr_is_link_local(&to) || prefix_contains(&s->prefix, &to))
        return PROTOCOL_DROP;
    remember(s, client);
    return PROTOCOL_DELIVER;
}

static bool router_client_of(void *state, const uint8_t *packet, size_t len, struct client_id *ret)
{
    struct ipv4_router_state *s = state;
    const struct place *p = is_ipv4(packet, len) ? find(s, get_be32(packet + DESTINATION)) : NULL;

    if (!p)
        return false;
    *ret = p->client;
    return true;
}

const struct protocol_router ipv4_router = {
    .id = DMUX_IPV4,
    .name = "ipv4",
    .state_bytes = sizeof(struct ipv4_router_state),
    .needs = PROTOCOL_CLIENTS,
    .init = router_init,
    .on_client = router_on_client,
    .client_of = router_client_of,
};

static void client_on_seen(void *state, const struct client_id *self)
{
    struct ipv4_client_state *s = state;

    s->self = self->addr;
}

static bool client_may_send(void *state, const uint8_t *packet, size_t len)
{
    const struct ipv4_client_state *s = state;

    return is_ipv4(packet, len) && s->self != 0 && get_be32(packet + SOURCE) == s->self;
}

static enum protocol_verdict client_on_router(void *state, const uint8_t *packet, size_t len, instant now)
{
    const struct ipv4_client_state *s = state;

    return is_ipv4(packet, len) && s->self != 0 && get_be32(packet + DESTINATION) == s->self ? PROTOCOL_DELIVER
                                                                                             : PROTOCOL_DROP;
}

static struct addr client_address(const void *state)
{
    const struct ipv4_client_state *s = state;

    return s->self != 0 ? addr_v4(s->self) : (struct addr){ .family = ADDR_NONE };
}

const struct protocol_client ipv4_client = {
    .id = DMUX_IPV4,
    .name = "ipv4",
    .state_bytes = sizeof(struct ipv4_client_state),
    .routes = ADDR_V4,
    .on_seen = client_on_seen,
    .may_send = client_may_send,
    .on_router = client_on_router,
    .address = client_address,
};
