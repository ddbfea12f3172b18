/* dmux/ipv6.c - see ipv6.h.
 *
 * Theory of operation. The client solicits (RFC 4861 section 4.1) through the shim and the router that the gateway
 * chose advertises its prefix (4.2) with a Prefix Information option (4.6.2); the client puts its own 64 bits behind
 * it. The router passes a packet on only if its source is just that address; to anything else, as after another router
 * took over, it answers with an advertisement, so that the client learns its new address with its first packet.
 *
 * Sources: RFC 4861; RFC 8200; RFC 4443 section 2.3 (checksum); RFC 7136 (no bit of an interface identifier means
 * anything). */
#include "dmux/ipv6.h"

#define IP_LEN 40
#define ICMP 58
#define ROUTER_SOLICITATION 133
#define ROUTER_ADVERTISEMENT 134
#define SOLICITATION_LEN (IP_LEN + 8)
#define ADVERTISEMENT_LEN (IP_LEN + 16 + 32 + 8)
#define ROUTER_LIFETIME_S 1800 /* RFC 4861 section 6.2.1: 3 * MaxRtrAdvInterval */
#define PREFIX_LIFETIME_S 1800
#define OPTION_PREFIX 3
#define OPTION_MTU 5
#define FLAG_AUTONOMOUS 0x40
#define NEXT_HEADER 6 /* where fields stand in the header */
#define HOP_LIMIT 7
#define SOURCE 8
#define DESTINATION 24

struct ipv6_router_state {
    uint8_t prefix[8];
};

struct ipv6_client_state {
    struct client_id self; /* addr 0: not known yet */
    bool configured;
    uint8_t address[16];
    instant next; /* solicitation */
};

static const uint8_t link_local[8] = { 0xfe, 0x80 };
static const uint8_t all_routers[16] = { 0xff, 0x02, [15] = 2 };

static bool is_ipv6(const uint8_t *packet, size_t len)
{
    return len >= IP_LEN && packet[0] >> 4 == 6 && get_be16(packet + 4) + (size_t)IP_LEN == len;
}

static void host_part(const struct client_id *c, uint8_t out[8])
{
    put_be32(out, c->addr);
    put_be16(out + 4, c->port);
    put_be16(out + 6, 0);
}

static uint16_t checksum(const uint8_t *packet, size_t len)
{
    uint32_t sum = (uint32_t)(len - IP_LEN) + ICMP;

    for (size_t i = SOURCE; i < len; i += 2)
        sum += i + 1 < len ? get_be16(packet + i) : (uint32_t)packet[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* The IPv6 header and the first four bytes of ICMPv6; the caller fills the rest and then seals. */
static void begin(uint8_t *packet, size_t len, uint8_t type, const uint8_t source_host[8])
{
    memset(packet, 0, len);
    packet[0] = 0x60;
    put_be16(packet + 4, (uint16_t)(len - IP_LEN));
    packet[NEXT_HEADER] = ICMP;
    packet[HOP_LIMIT] = 255;
    memcpy(packet + SOURCE, link_local, 8);
    memcpy(packet + SOURCE + 8, source_host, 8);
    packet[IP_LEN] = type;
}

/* A whole message of neighbour discovery of this type, which has come over no router (RFC 4861 section 6.1). */
static bool is_discovery(const uint8_t *packet, size_t len, uint8_t type, size_t least)
{
    return len >= least && packet[NEXT_HEADER] == ICMP && packet[HOP_LIMIT] == 255 && packet[IP_LEN] == type &&
           packet[IP_LEN + 1] == 0 && checksum(packet, len) == 0;
}

/* --- router --- */

static const char *router_init(void *state, const struct protocol_setup *setup)
{
    const struct prefix *prefix = &setup->clients;
    struct ipv6_router_state *s = state;

    if (prefix->addr.family != ADDR_V6 || prefix->len != 64)
        return "an IPv6 prefix of 64 bits";
    memcpy(s->prefix, prefix->addr.bytes, 8);
    return NULL;
}

static enum protocol_verdict advertise(const struct ipv6_router_state *s, const struct client_id *client,
                                       struct protocol_reply *reply)
{
    static const uint8_t router_host[8] = { [7] = 1 };
    uint8_t *at = reply->packet + IP_LEN;

    begin(reply->packet, ADVERTISEMENT_LEN, ROUTER_ADVERTISEMENT, router_host);
    memcpy(reply->packet + DESTINATION, link_local, 8);
    host_part(client, reply->packet + DESTINATION + 8);
    at[4] = 64; /* the hop limit that the client may use */
    put_be16(at + 6, ROUTER_LIFETIME_S);
    at += 16;
    at[0] = OPTION_PREFIX;
    at[1] = 4; /* of 8 bytes */
    at[2] = 64;
    at[3] = FLAG_AUTONOMOUS;
    put_be32(at + 4, PREFIX_LIFETIME_S);
    put_be32(at + 8, PREFIX_LIFETIME_S);
    memcpy(at + 16, s->prefix, 8);
    at += 32;
    at[0] = OPTION_MTU;
    at[1] = 1;
    put_be32(at + 4, PROTOCOL_PACKET_MAX);
    put_be16(reply->packet + IP_LEN + 2, checksum(reply->packet, ADVERTISEMENT_LEN));
    reply->len = ADVERTISEMENT_LEN;
    return PROTOCOL_ANSWER;
}

static enum protocol_verdict router_on_client(void *state, const struct client_id *client, const uint8_t *packet,
                                              size_t len, struct protocol_reply *reply)
{
    const struct ipv6_router_state *s = state;
    uint8_t host[8];

    if (!is_ipv6(packet, len))
        return PROTOCOL_DROP;
    host_part(client, host);
    if (memcmp(packet + SOURCE, s->prefix, 8) != 0 || memcmp(packet + SOURCE + 8, host, 8) != 0)
        return len >= SOLICITATION_LEN ? advertise(s, client, reply) : PROTOCOL_DROP;
    /* Nothing of the link itself, and nothing back into it. */
    if (packet[DESTINATION] == 0xff || memcmp(packet + DESTINATION, link_local, 8) == 0 || packet[HOP_LIMIT] <= 1)
        return PROTOCOL_DROP;
    return PROTOCOL_DELIVER;
}

static bool router_client_of(void *state, const uint8_t *packet, size_t len, struct client_id *ret)
{
    const struct ipv6_router_state *s = state;
    const uint8_t *to = packet + DESTINATION;

    if (!is_ipv6(packet, len) || memcmp(to, s->prefix, 8) != 0 || get_be16(to + 14) != 0)
        return false;
    ret->addr = get_be32(to + 8);
    ret->port = get_be16(to + 12);
    return true;
}

const struct protocol_router ipv6_router = {
    .id = 6,
    .name = "ipv6",
    .state_bytes = sizeof(struct ipv6_router_state),
    .needs = PROTOCOL_CLIENTS,
    .init = router_init,
    .on_client = router_on_client,
    .client_of = router_client_of,
};

/* --- client --- */

static void client_on_seen(void *state, const struct client_id *self)
{
    struct ipv6_client_state *s = state;

    s->self = *self;
    s->configured = false;
    s->next = 0;
}

static size_t client_output(void *state, uint8_t packet[PROTOCOL_PACKET_MAX], instant now)
{
    struct ipv6_client_state *s = state;
    uint8_t host[8];

    if (s->self.addr == 0 || now < s->next)
        return 0;
    s->next = now + (s->configured ? IPV6_SOLICIT_EVERY : IPV6_SOLICIT_RETRY);
    host_part(&s->self, host);
    begin(packet, SOLICITATION_LEN, ROUTER_SOLICITATION, host);
    memcpy(packet + DESTINATION, all_routers, 16);
    put_be16(packet + IP_LEN + 2, checksum(packet, SOLICITATION_LEN));
    return SOLICITATION_LEN;
}

static instant client_next_expiry(const void *state)
{
    const struct ipv6_client_state *s = state;

    return s->self.addr == 0 ? INSTANT_NEVER : s->next;
}

static bool client_may_send(void *state, const uint8_t *packet, size_t len)
{
    const struct ipv6_client_state *s = state;

    /* One with an older source goes too: the router answers it by what its address is now. */
    return is_ipv6(packet, len) && s->configured && packet[DESTINATION] != 0xff;
}

/* The 64 bits of the prefix that an advertisement gives; NULL: it gives none. */
static const uint8_t *advertised(const uint8_t *packet, size_t len)
{
    if (!is_discovery(packet, len, ROUTER_ADVERTISEMENT, IP_LEN + 16) || memcmp(packet + SOURCE, link_local, 8) != 0)
        return NULL;
    for (size_t at = IP_LEN + 16; at + 8 <= len;) {
        size_t option = (size_t)packet[at + 1] * 8;

        if (option == 0 || at + option > len)
            return NULL;
        if (packet[at] == OPTION_PREFIX && option == 32 && packet[at + 2] == 64 && packet[at + 3] & FLAG_AUTONOMOUS &&
            get_be32(packet + at + 4) > 0)
            return packet + at + 16;
        at += option;
    }
    return NULL;
}

static enum protocol_verdict client_on_router(void *state, const uint8_t *packet, size_t len, instant now)
{
    struct ipv6_client_state *s = state;
    const uint8_t *prefix;

    if (!is_ipv6(packet, len))
        return PROTOCOL_DROP;
    if (memcmp(packet + DESTINATION, link_local, 8) != 0) {
        bool ours = s->configured && memcmp(packet + DESTINATION, s->address, 16) == 0;
        return ours ? PROTOCOL_DELIVER : PROTOCOL_DROP;
    }
    prefix = advertised(packet, len);
    if (!prefix || s->self.addr == 0)
        return PROTOCOL_DROP;
    memcpy(s->address, prefix, 8);
    host_part(&s->self, s->address + 8);
    s->configured = true;
    s->next = now + IPV6_SOLICIT_EVERY;
    return PROTOCOL_TAKEN;
}

static struct addr client_address(const void *state)
{
    const struct ipv6_client_state *s = state;

    return s->configured ? addr_from_bytes(ADDR_V6, s->address) : (struct addr){ .family = ADDR_NONE };
}

const struct protocol_client ipv6_client = {
    .id = 6,
    .name = "ipv6",
    .state_bytes = sizeof(struct ipv6_client_state),
    .family = ADDR_V6,
    .routes = ADDR_V6,
    .on_seen = client_on_seen,
    .output = client_output,
    .next_expiry = client_next_expiry,
    .may_send = client_may_send,
    .on_router = client_on_router,
    .address = client_address,
};
