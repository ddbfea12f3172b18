/* Clients, gateways and routers of src/dmux in virtual time: a network of hosts with addresses, a fixed delay, and an
 * anycast address that leads each host to a gateway of the test's choice. Inner packets are IPv6 by hand. */
#include "base/rng.h"
#include "dmux/client.h"
#include "dmux/gateway.h"
#include "dmux/router.h"
#include "ident/keys.h"
#include "tests/unit/test.h"

#include <stdio.h>

#define DELAY (5 * MSEC)
#define HOSTS_MAX 64
#define FLIGHT_MAX 4096
#define SERVICE 0xc0000201u /* 192.0.2.1 */

enum kind { NOBODY, GATEWAY, ROUTER, CLIENT };

struct host {
    enum kind kind;
    uint32_t addr;
    struct gateway *gateway;
    struct router *router;
    struct client *client;
    bool dead;
    unsigned nearest;   /* host that the service address leads to */
    uint8_t last[1500]; /* what came out for the device */
    size_t last_len;
    uint64_t delivered, bytes_in;
};

struct flight {
    instant at;
    struct endpoint from, to;
    uint32_t sender; /* index */
    size_t len;
    uint8_t data[1600];
};

static struct host hosts[HOSTS_MAX];
static unsigned hosts_count;
static struct flight flights[FLIGHT_MAX];
static unsigned flights_head, flights_tail;
static instant now;
static struct prng prng;
static struct identity provider_id, stranger_id;
static struct provider providers[2];
static const uint8_t secret[32] = { 7 };
static struct identity root_id;
static struct authority authority;
static struct slice next_chain; /* of the router that is made next */

static struct endpoint at(uint32_t addr, uint16_t port)
{
    return (struct endpoint){ .addr = addr_v4(addr), .port = port };
}

static void world_begin(void)
{
    const struct rng rng = prng_rng(&prng);

    for (unsigned i = 0; i < hosts_count; i++) {
        gateway_free(hosts[i].gateway);
        router_free(hosts[i].router);
        client_free(hosts[i].client);
    }
    memset(hosts, 0, sizeof(hosts));
    hosts_count = flights_head = flights_tail = 0;
    now = SEC;
    prng_init(&prng, 1);
    assert_int_equal(identity_generate(&provider_id, &rng), 0);
    assert_int_equal(identity_generate(&stranger_id, &rng), 0);
    assert_int_equal(identity_generate(&root_id, &rng), 0);
    authority = (struct authority){ .realm = "acme.example",
                                    .provider_first = 200,
                                    .provider_last = 299,
                                    .protocols = { DMUX_IPV6 },
                                    .protocols_count = 1 };
    memcpy(authority.root, root_id.ed25519, 32);
    next_chain = (struct slice){ 0 };
    for (unsigned i = 0; i < 2; i++) {
        providers[i] = (struct provider){ .id = 100 + i, .protocols = { DMUX_IPV6 }, .protocols_count = 1 };
        memcpy(providers[i].key, i == 0 ? provider_id.ed25519 : stranger_id.ed25519, 32);
    }
    providers[1].protocols[0] = DMUX_IPV4; /* known, for another protocol */
}

static unsigned host_new(enum kind kind, uint32_t addr, unsigned nearest)
{
    struct host *h = &hosts[hosts_count];

    *h = (struct host){ .kind = kind, .addr = addr, .nearest = nearest };
    return hosts_count++;
}

static unsigned gateway_at(uint32_t id)
{
    unsigned i = host_new(GATEWAY, 0x0a000000 + (id << 8), 0);
    struct gateway_options o = { .id = id,
                                 .site = (uint8_t)id,
                                 .service = at(SERVICE, DMUX_PORT),
                                 .unicast = at(hosts[i].addr, DMUX_PORT),
                                 .providers = providers,
                                 .providers_count = 2,
                                 .authorities = &authority,
                                 .authorities_count = 1,
                                 .registrations_max = 100,
                                 .rng = prng_rng(&prng) };

    o.prefix = (struct prefix){ .addr = addr_v4(0xc0000200), .len = 24 };
    memcpy(o.secret, secret, sizeof(secret));
    hosts[i].gateway = gateway_new(&o, 1000);
    return i;
}

static unsigned router_with(uint32_t addr, const uint32_t *homes, size_t count, uint32_t provider,
                            const struct identity *id, unsigned nearest)
{
    unsigned i = host_new(ROUTER, addr, nearest);
    struct router_options o = { .protocol = protocol_router_find(DMUX_IPV6),
                                .provider = provider,
                                .ed25519_seed = id->ed25519_seed,
                                .ed25519 = id->ed25519,
                                .chain = next_chain,
                                .homes_count = count,
                                .weight = 100,
                                .rng = prng_rng(&prng) };

    /* 2001:db8:0:NN::/64, NN the last byte of the address */
    o.prefix = (struct prefix){ .addr = { .family = ADDR_V6, .bytes = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, (uint8_t)addr } },
                                .len = 64 };
    for (size_t k = 0; k < count; k++)
        o.homes[k] = at(homes[k], DMUX_PORT);
    hosts[i].router = router_new(&o, now);
    assert_non_null(hosts[i].router);
    return i;
}

static unsigned router_at(uint32_t addr, unsigned gateway)
{
    const uint32_t home = SERVICE;

    return router_with(addr, &home, 1, 100, &provider_id, gateway);
}

static unsigned client_at(uint32_t addr, unsigned gateway)
{
    unsigned i = host_new(CLIENT, addr, gateway);
    const struct client_options o = { .service = at(SERVICE, DMUX_PORT),
                                      .protocol = protocol_client_find(DMUX_IPV6),
                                      .provider = PROVIDER_ANY,
                                      .rng = prng_rng(&prng) };

    hosts[i].client = client_new(&o, now);
    return i;
}

static void post(unsigned sender, const struct endpoint *from, const struct endpoint *to, const uint8_t *data,
                 size_t len)
{
    struct flight *f = &flights[flights_tail++ % FLIGHT_MAX];

    assert_true(flights_tail - flights_head < FLIGHT_MAX && len <= sizeof(f->data));
    *f = (struct flight){ .at = now + DELAY, .from = *from, .to = *to, .sender = sender, .len = len };
    memcpy(f->data, data, len);
}

static void to_device(struct host *h, const uint8_t *packet, size_t len)
{
    memcpy(h->last, packet, len);
    h->last_len = len;
    h->delivered++;
}

static void arrive(unsigned i, const struct flight *f)
{
    struct host *h = &hosts[i];
    uint8_t out[2048];
    const uint8_t *packet;
    size_t len;
    struct endpoint self = at(h->addr, h->kind == CLIENT ? 4000 : 1);

    h->bytes_in += f->len;
    if (h->kind == GATEWAY) {
        struct gateway_tx tx;

        if (gateway_on_datagram(h->gateway, f->data, f->len, &f->from, &f->to.addr, now, out, &tx)) {
            self = at(tx.from_service ? SERVICE : h->addr, DMUX_PORT);
            post(i, &self, &tx.to, out, tx.len);
        }
    } else if (h->kind == ROUTER) {
        struct router_tx tx;

        switch (router_on_datagram(h->router, f->data, f->len, &f->from, now, &packet, &len, out, &tx)) {
        case ROUTER_PACKET:
            to_device(h, packet, len);
            break;
        case ROUTER_REPLY:
            post(i, &self, &tx.to, out, tx.len);
            break;
        default:
            break;
        }
    } else if (h->kind == CLIENT &&
               client_on_datagram(h->client, f->data, f->len, &f->from, now, &packet, &len) == CLIENT_PACKET) {
        to_device(h, packet, len);
    }
}

static void pump(unsigned i)
{
    struct host *h = &hosts[i];
    uint8_t out[2048];
    struct router_tx tx;
    struct endpoint self = at(h->addr, h->kind == CLIENT ? 4000 : 1), service = at(SERVICE, DMUX_PORT);
    size_t len;

    if (h->dead)
        return;
    if (h->kind == GATEWAY)
        gateway_on_expiry(h->gateway, now);
    while (h->kind == ROUTER && router_output(h->router, out, &tx, now))
        post(i, &self, &tx.to, out, tx.len);
    while (h->kind == CLIENT && (len = client_output(h->client, out, now)) > 0)
        post(i, &self, &service, out, len);
}

static instant next_of(unsigned i)
{
    const struct host *h = &hosts[i];

    if (h->dead)
        return INSTANT_NEVER;
    return h->kind == GATEWAY  ? gateway_next_expiry(h->gateway)
           : h->kind == ROUTER ? router_next_expiry(h->router)
           : h->kind == CLIENT ? client_next_expiry(h->client)
                               : INSTANT_NEVER;
}

static unsigned host_of(const struct flight *f)
{
    uint32_t addr = get_be32(f->to.addr.bytes);

    if (addr == SERVICE)
        return hosts[f->sender].nearest;
    for (unsigned i = 0; i < hosts_count; i++) {
        if (hosts[i].addr == addr)
            return i;
    }
    return HOSTS_MAX;
}

static void world_run(span time)
{
    instant end = now + time;

    for (;;) {
        instant next = flights_head < flights_tail ? flights[flights_head % FLIGHT_MAX].at : INSTANT_NEVER;

        for (unsigned i = 0; i < hosts_count; i++)
            next = instant_min(next, next_of(i));
        if (next > end)
            break;
        now = next > now ? next : now;
        while (flights_head < flights_tail && flights[flights_head % FLIGHT_MAX].at <= now) {
            struct flight f = flights[flights_head++ % FLIGHT_MAX];
            unsigned to = host_of(&f);

            if (to < hosts_count && !hosts[to].dead)
                arrive(to, &f);
        }
        for (unsigned i = 0; i < hosts_count; i++)
            pump(i);
    }
    now = end;
}

/* A plain IPv6 packet (RFC 8200 section 3) of payload 8. */
static size_t packet_make(uint8_t *p, const struct addr *from, const struct addr *to)
{
    memset(p, 0, 48);
    p[0] = 0x60;
    p[5] = 8;
    p[6] = 59; /* no next header */
    p[7] = 64;
    memcpy(p + 8, from->bytes, 16);
    memcpy(p + 24, to->bytes, 16);
    return 48;
}

static const struct addr server = { .family = ADDR_V6, .bytes = { 0x20, 1, 0xd, 0xb8, 0x55, [15] = 5 } };

static struct client_info info_of(unsigned client)
{
    struct client_info i;

    client_info_get(hosts[client].client, &i);
    return i;
}

/* The client sends a packet to the server; true if a router delivered it. Which one: *ret. */
static bool client_sends(unsigned client, unsigned *ret)
{
    struct client_info info = info_of(client);
    struct endpoint self = at(hosts[client].addr, 4000), service = at(SERVICE, DMUX_PORT);
    uint64_t before[HOSTS_MAX];
    uint8_t packet[48], out[200];
    size_t len;

    for (unsigned i = 0; i < hosts_count; i++)
        before[i] = hosts[i].delivered;
    packet_make(packet, &info.address, &server);
    len = client_on_packet(hosts[client].client, packet, 48, out);
    if (len == 0)
        return false;
    post(client, &self, &service, out, len);
    world_run(3 * DELAY);
    for (unsigned i = 0; i < hosts_count; i++) {
        if (hosts[i].kind == ROUTER && hosts[i].delivered > before[i]) {
            *ret = i;
            return hosts[i].last_len == 48 && memcmp(hosts[i].last, packet, 48) == 0;
        }
    }
    return false;
}

static void test_there_and_back(void **state)
{
    unsigned g, r, c, by = 0;
    struct client_info info;
    struct router_tx tx;
    struct endpoint self;
    uint8_t packet[48], out[200];

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(0xc6336407, g);
    world_run(3 * SEC);
    info = info_of(c);
    assert_true(info.up);
    assert_int_equal(info.gateway, 1);
    assert_int_equal(info.rtt, 2 * DELAY);
    assert_int_equal(info.provider, 100);
    assert_int_equal(info.router_rtt_us, 2 * DELAY);
    /* 2001:db8:0:9, 198.51.100.7, port 4000 = 0xfa0 */
    assert_memory_equal(info.address.bytes, "\x20\x01\x0d\xb8\0\0\0\x09\xc6\x33\x64\x07\x0f\xa0\0\0", 16);
    assert_true(client_sends(c, &by));
    assert_int_equal(by, r);
    packet_make(packet, &server, &info.address);
    assert_true(router_on_packet(hosts[r].router, packet, 48, out, &tx));
    self = at(hosts[r].addr, 1);
    post(r, &self, &tx.to, out, tx.len);
    world_run(3 * DELAY);
    assert_int_equal(hosts[c].delivered, 1);
    assert_memory_equal(hosts[c].last, packet, 48);
    /* nobody gets what is for an address that no client has */
    packet[39] = 1;
    assert_false(router_on_packet(hosts[r].router, packet, 48, out, &tx));
    for (unsigned i = 0; i < GATEWAY_DROP_COUNT; i++)
        assert_int_equal(gateway_stats_get(hosts[g].gateway)->drops[i], 0);
}

/* A client that writes another source than its own: not delivered, and told its address. */
static void test_source_is_checked(void **state)
{
    unsigned g, r, c;
    struct endpoint self, service = at(SERVICE, DMUX_PORT);
    struct addr other;
    uint8_t packet[48], out[200];
    uint64_t before;
    size_t len;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(0xc6336407, g);
    world_run(3 * SEC);
    other = info_of(c).address;
    other.bytes[11] ^= 1; /* the neighbour */
    packet_make(packet, &other, &server);
    before = router_stats_get(hosts[r].router)->answered;
    len = client_on_packet(hosts[c].client, packet, 48, out);
    self = at(hosts[c].addr, 4000);
    post(c, &self, &service, out, len);
    world_run(4 * DELAY);
    assert_int_equal(hosts[r].delivered, 0);
    assert_int_equal(router_stats_get(hosts[r].router)->answered, before + 1);
}

/* Who writes a router's address as his source, or is a router and makes up a client, reflects nothing. */
static void test_no_reflection(void **state)
{
    unsigned g, r, c, victim, by;
    struct endpoint router_at_1, gw;
    uint8_t forged[100] = { 0 };
    size_t len;
    const struct gateway_stats *s;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    victim = host_new(NOBODY, 0xc6336463, g);
    world_run(SEC);
    c = client_at(0xc6336407, g);
    world_run(3 * SEC);
    assert_true(client_sends(c, &by));
    s = gateway_stats_get(hosts[g].gateway);
    router_at_1 = at(hosts[r].addr, 1);
    gw = at(hosts[g].addr, DMUX_PORT);
    len = shim_put(forged, SHIM_CLIENT | SHIM_COOKIE | SHIM_VERIFIED, DMUX_IPV6, 100);
    put_be32(forged + 20, hosts[victim].addr);
    put_be16(forged + 24, 9);
    forged[27] = 4;
    post(r, &router_at_1, &gw, forged, len + 50);
    world_run(3 * DELAY);
    assert_int_equal(s->drops[GATEWAY_DROP_TICKET], 1);
    forged[27] = 0; /* went round too often */
    post(r, &router_at_1, &gw, forged, len + 50);
    world_run(3 * DELAY);
    assert_int_equal(s->drops[GATEWAY_DROP_HOPS], 1);
    forged[27] = 4;
    /* not even a router: what only gateways and routers say is dropped */
    router_at_1.port = 2;
    post(r, &router_at_1, &gw, forged, len + 50);
    world_run(3 * DELAY);
    assert_int_equal(s->drops[GATEWAY_DROP_CLIENT], 1);
    assert_int_equal(hosts[victim].bytes_in, 0);
}

/* An attacker writes a victim's address: what the victim gets for it is at most three times what the attacker sent, and
 * of control never more than that. */
static void test_amplification(void **state)
{
    unsigned g, r, victim, attacker;
    struct endpoint lie, service = at(SERVICE, DMUX_PORT), self;
    struct addr spoofed = { .family = ADDR_V6,
                            .bytes = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 9, 0xc6, 0x33, 0x64, 0x63, 0, 9 } };
    uint8_t packet[1400] = { 0 }, out[1500];
    struct router_tx tx;
    uint64_t sent, before;
    size_t len;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    victim = host_new(NOBODY, 0xc6336463, g);
    attacker = host_new(NOBODY, 0x08080808, g);
    world_run(3 * SEC);
    lie = at(hosts[victim].addr, 9);
    self = at(hosts[r].addr, 1);
    /* a packet that is delivered; then the server's answers, large, ten times */
    len = shim_put(out, 0, DMUX_IPV6, PROVIDER_ANY);
    sent = len + packet_make(out + len, &spoofed, &server);
    post(attacker, &lie, &service, out, sent);
    world_run(4 * DELAY);
    assert_int_equal(hosts[r].delivered, 1);
    for (unsigned i = 0; i < 10; i++) {
        packet_make(packet, &server, &spoofed);
        put_be16(packet + 4, 60); /* 100 bytes, 108 with the shim: once, for 56 bytes that came */
        assert_true(router_on_packet(hosts[r].router, packet, 100, out, &tx));
        post(r, &self, &tx.to, out, tx.len);
    }
    world_run(4 * DELAY);
    assert_int_equal(hosts[victim].bytes_in, 108);
    assert_true(hosts[victim].bytes_in <= 3 * sent);
    assert_int_equal(gateway_stats_get(hosts[g].gateway)->drops[GATEWAY_DROP_AMPLIFIED], 9);
    /* control */
    before = hosts[victim].bytes_in;
    sent = 0;
    for (uint8_t type = 1; type < DMUX_TYPE_COUNT; type++) {
        const struct dmux_message m = { .type = type, .protocol = DMUX_IPV6, .provider = 100, .gateway = 1 };

        len = dmux_write(&m, out, sizeof(out));
        sent += len;
        post(attacker, &lie, &service, out, len);
    }
    world_run(4 * DELAY);
    assert_true(hosts[victim].bytes_in - before <= sent);
    /* each by itself is checked by unit test shim: no answer is longer than its question */
}

/* Registration: by the provider's key, for a protocol that it may provide, from the address that is registered. */
static void test_registration_refused(void **state)
{
    const uint32_t home = SERVICE;
    struct router_home_info info[ROUTER_HOMES_MAX];
    unsigned g, thief, wrong, unknown;

    world_begin();
    g = gateway_at(1);
    thief = router_with(0xcb007101, &home, 1, 100, &stranger_id, g); /* another's number */
    wrong = router_with(0xcb007102, &home, 1, 101, &stranger_id, g); /* its own, another protocol */
    unknown = router_with(0xcb007103, &home, 1, 555, &stranger_id, g);
    world_run(2 * SEC);
    for (unsigned i = thief; i <= unknown; i++) {
        router_home_info(hosts[i].router, info);
        assert_int_equal(info[0].refusal, DMUX_REFUSED_PROVIDER);
    }
    assert_int_equal(gateway_stats_get(hosts[g].gateway)->refused[DMUX_REFUSED_PROVIDER], 3);
    (void)wrong;
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 0);
    /* nothing of the service's prefix, nor the gateway itself, may register: no HELLO is answered, so no cookie */
    router_with(0xc0000207, &home, 1, 100, &provider_id, g);
    world_run(2 * SEC);
    assert_true(gateway_stats_get(hosts[g].gateway)->drops[GATEWAY_DROP_SOURCE] > 0);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 0);
}

/* The chain of a service that a realm, which is a root, has enrolled. Time is the gateways' 1000. */
static struct slice chain_of(const struct identity *root, const char *realm, const struct identity *id,
                             const char *leaf, uint64_t not_after_s)
{
    static uint8_t chains[16][CREDENTIAL_CHAIN_MAX];
    static unsigned used;
    uint8_t *out = chains[used++ % 16];
    struct record r = { .type = RECORD_ROOT, .seq = 1, .issued_s = 900, .suites = 3 };
    size_t first, second;

    assert_int_equal(tag_make(root->ed25519, TAG_RAA(9), TAG_HDA(TAG_TIER_SERVICE, 0), &r.subject), 0);
    r.issuer = r.subject;
    memcpy(r.key, root->ed25519, 32);
    snprintf(r.name, sizeof(r.name), "%s", realm);
    assert_int_equal(record_encode(&r, root->ed25519_seed, out, CREDENTIAL_CHAIN_MAX, &first), 0);
    r.type = RECORD_REGISTRATION;
    r.not_after_s = not_after_s;
    memcpy(r.key, id->ed25519, 32);
    memcpy(r.x25519, id->x25519, 32);
    snprintf(r.name, sizeof(r.name), "%s.s.%s", leaf, realm);
    assert_int_equal(tag_make(id->ed25519, TAG_RAA(9), TAG_HDA(TAG_TIER_SERVICE, 0), &r.subject), 0);
    assert_int_equal(record_encode(&r, root->ed25519_seed, out + first, CREDENTIAL_CHAIN_MAX - first, &second), 0);
    return (struct slice){ out, first + second };
}

/* An authority's certificate makes a stranger's key a provider's, until it ends. */
static void test_certificate(void **state)
{
    const uint32_t home = SERVICE;
    struct router_home_info info[ROUTER_HOMES_MAX];
    unsigned g, r;

    world_begin();
    g = gateway_at(1);
    next_chain = chain_of(&root_id, "acme.example", &stranger_id, "dmux-provider-200", 1010);
    r = router_with(0xcb007101, &home, 1, 200, &stranger_id, g);
    world_run(3 * SEC);
    router_home_info(hosts[r].router, info);
    assert_int_equal(info[0].state, HOME_REGISTERED);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 1);
    gateway_set_wall(hosts[g].gateway, 1010);
    world_run(2 * SEC);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 1);
    gateway_set_wall(hosts[g].gateway, 1011);
    world_run(2 * SEC);
    router_home_info(hosts[r].router, info);
    assert_int_equal(info[0].refusal, DMUX_REFUSED_PROVIDER);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 0);
}

/* What is no certificate of that number, for that key, by that realm, makes nobody a provider. */
static void test_provider_hijack(void **state)
{
    const uint32_t home = SERVICE;
    static const struct {
        const char *realm, *leaf;
        bool other_root, other_key;
        uint64_t not_after_s;
        uint32_t provider;
    } rows[] = {
        { "acme.example", "dmux-provider-201", false, false, 0, 200 },   /* another number */
        { "acme.example", "dmux-provider-100", false, false, 0, 100 },   /* one that is listed, and not its to give */
        { "acme.example", "dmux-provider-300", false, false, 0, 300 },   /* not its to give */
        { "acme.example", "dmux-provider-200-4", false, false, 0, 200 }, /* another protocol */
        { "acme.example", "dmux-provider-0200", false, false, 0, 200 },  /* no number */
        { "acme.example", "dmux-gateway-200", false, false, 0, 200 },    /* for something else */
        { "evil.example", "dmux-provider-200", false, false, 0, 200 },   /* another realm */
        { "acme.example", "dmux-provider-200", true, false, 0, 200 },    /* another root of that name */
        { "acme.example", "dmux-provider-200", false, true, 0, 200 },    /* of another's key */
        { "acme.example", "dmux-provider-200", false, false, 999, 200 }, /* over */
    };
    struct router_home_info info[ROUTER_HOMES_MAX];
    unsigned g;

    world_begin();
    g = gateway_at(1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned r;

        next_chain = chain_of(rows[i].other_root ? &stranger_id : &root_id, rows[i].realm,
                              rows[i].other_key ? &provider_id : &stranger_id, rows[i].leaf, rows[i].not_after_s);
        r = router_with(0xcb007101 + (uint32_t)i, &home, 1, rows[i].provider, &stranger_id, g);
        world_run(SEC);
        router_home_info(hosts[r].router, info);
        assert_int_equal(info[0].refusal, DMUX_REFUSED_PROVIDER);
    }
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 0);
}

/* A cookie is of one address: with one's own cookie one cannot register another's. */
static void test_registration_of_a_victim(void **state)
{
    unsigned g, attacker, victim;
    uint8_t out[200];
    struct endpoint lie, service = at(SERVICE, DMUX_PORT);
    struct dmux_message m = {
        .type = DMUX_REGISTER, .protocol = DMUX_IPV6, .provider = 100, .gateway = 1, .weight = 1
    };
    size_t len, n;

    world_begin();
    g = gateway_at(1);
    victim = host_new(NOBODY, 0xc6336463, g);
    attacker = host_new(NOBODY, 0x08080808, g);
    world_run(SEC);
    lie = at(hosts[victim].addr, 53);
    m.you = lie;
    memcpy(m.key, provider_id.ed25519, 32); /* a provider that is itself the attacker */
    len = dmux_write(&m, out, sizeof(out));
    n = dmux_signed_len(out, len);
    assert_int_equal(ed25519_sign(provider_id.ed25519_seed, out, n, out + n), 0);
    post(attacker, &lie, &service, out, len);
    world_run(4 * DELAY);
    assert_int_equal(gateway_stats_get(hosts[g].gateway)->refused[DMUX_REFUSED_COOKIE], 1);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 0);
    assert_true(hosts[victim].bytes_in <= len);
}

/* A router dies: by silence its clients are elsewhere within 3.5 s, and no other client moves. */
static void test_router_dies(void **state)
{
    unsigned g, r[4], c[24], before[24], after = 0, moved = 0;

    world_begin();
    g = gateway_at(1);
    for (unsigned i = 0; i < 4; i++)
        r[i] = router_at(0xcb007101 + i, g);
    world_run(3 * SEC);
    for (unsigned i = 0; i < 24; i++)
        c[i] = client_at(0xc6336400 + 256 * i + 7, g);
    world_run(40 * SEC); /* all have their whole share */
    for (unsigned i = 0; i < 24; i++)
        assert_true(client_sends(c[i], &before[i]));
    hosts[r[1]].dead = true;
    world_run(3500 * MSEC - 3 * DELAY);
    for (unsigned i = 0; i < 24; i++) {
        if (!client_sends(c[i], &after)) { /* its first packet after the loss tells it its new address */
            world_run(4 * DELAY);
            assert_true(client_sends(c[i], &after));
            assert_int_equal(before[i], r[1]);
        }
        if (before[i] == r[1])
            moved++;
        else
            assert_int_equal(after, before[i]);
        assert_int_not_equal(after, r[1]);
    }
    assert_in_range(moved, 1, 15);
}

/* One that can still say so: within 50 ms. */
static void test_router_leaves(void **state)
{
    unsigned g, r[2], c, by = 0, other;

    world_begin();
    g = gateway_at(1);
    r[0] = router_at(0xcb007101, g);
    r[1] = router_at(0xcb007102, g);
    world_run(3 * SEC);
    c = client_at(0xc6336407, g);
    world_run(40 * SEC);
    assert_true(client_sends(c, &by));
    other = by == r[0] ? r[1] : r[0];
    router_leave(hosts[by].router);
    world_run(30 * MSEC);
    assert_true(router_has_left(hosts[by].router));
    if (!client_sends(c, &by)) { /* 15 ms: the other router tells the new address on the way */
        world_run(DELAY);
        assert_true(client_sends(c, &by));
    }
    assert_int_equal(by, other);
}

/* Anycast leads to another site: the router registers there before it leaves, the client's cookie holds there. */
static void test_anycast_moves(void **state)
{
    unsigned g1, g2, r, c, by = 0;
    struct router_home_info info[ROUTER_HOMES_MAX];

    world_begin();
    g1 = gateway_at(1);
    g2 = gateway_at(2);
    r = router_at(0xcb007109, g1);
    world_run(3 * SEC);
    c = client_at(0xc6336407, g1);
    world_run(3 * SEC);
    assert_int_equal(registry_count(gateway_registry(hosts[g2].gateway)), 0);
    hosts[r].nearest = g2;
    world_run(6 * SEC);
    router_home_info(hosts[r].router, info);
    assert_int_equal(info[0].gateway, 2);
    assert_int_equal(info[0].state, HOME_REGISTERED);
    assert_int_equal(router_stats_get(hosts[r].router)->moves, 1);
    assert_int_equal(registry_count(gateway_registry(hosts[g1].gateway)), 0);
    assert_int_equal(registry_count(gateway_registry(hosts[g2].gateway)), 1);
    hosts[c].nearest = g2;
    assert_true(client_sends(c, &by)); /* the very next packet, by the cookie of the other site */
    assert_int_equal(by, r);
    assert_int_equal(gateway_stats_get(hosts[g2].gateway)->drops[GATEWAY_DROP_UNVERIFIED], 0);
    world_run(6 * SEC);
    assert_int_equal(info_of(c).gateway, 2);
    assert_int_equal(info_of(c).gateway_changes, 1);
}

/* The gateway forgets (a restart): the router is registered again with its next keepalive. */
static void test_gateway_restarts(void **state)
{
    unsigned g, r, fresh;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(3 * SEC);
    fresh = gateway_at(1);
    gateway_free(hosts[g].gateway);
    hosts[g].gateway = hosts[fresh].gateway;
    hosts_count--;
    world_run(1200 * MSEC);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 1);
    (void)r;
}

/* Who writes the gateway's address as his source, but has not heard the router, cannot end its registration. */
static void test_forged_refusals(void **state)
{
    struct dmux_message nak = { .type = DMUX_NAK, .protocol = DMUX_IPV6, .provider = 100, .gateway = 1 };
    struct router_home_info info[ROUTER_HOMES_MAX];
    struct endpoint from, to = at(0xcb007109, 1);
    uint8_t buf[DMUX_MESSAGE_MAX];
    unsigned g, r;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    from = at(hosts[g].addr, DMUX_PORT);
    world_run(3 * SEC);
    for (unsigned i = 0; i < 300; i++) {
        nak.nonce = i / DMUX_REFUSAL_COUNT;
        nak.refusal = (uint8_t)(i % DMUX_REFUSAL_COUNT);
        post(g, &from, &to, buf, dmux_write(&nak, buf, sizeof(buf)));
        world_run(10 * MSEC);
        router_home_info(hosts[r].router, info);
        assert_int_equal(info[0].state, HOME_REGISTERED);
    }
    assert_int_equal(gateway_stats_get(hosts[g].gateway)->registered, 1);
    assert_int_equal(info[0].refusal, DMUX_REFUSED_NONE);
}

static int teardown(void **state)
{
    world_begin();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),       cmocka_unit_test(test_source_is_checked),
        cmocka_unit_test(test_no_reflection),        cmocka_unit_test(test_amplification),
        cmocka_unit_test(test_registration_refused), cmocka_unit_test(test_registration_of_a_victim),
        cmocka_unit_test(test_router_dies),          cmocka_unit_test(test_router_leaves),
        cmocka_unit_test(test_anycast_moves),        cmocka_unit_test(test_gateway_restarts),
        cmocka_unit_test(test_forged_refusals),      cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_provider_hijack),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
