/* tests/sim/dmux_world.c - see dmux_world.h. */
#include "tests/sim/dmux_world.h"

#include <stdio.h>

#define FLIGHT_MAX 65536

struct flight {
    instant at;
    struct endpoint from, to;
    uint32_t sender; /* index */
    size_t len;
    uint8_t data[1600];
};

struct host hosts[HOSTS_MAX];
unsigned hosts_count;
static struct flight flights[FLIGHT_MAX];
static unsigned flights_head, flights_tail;
instant now;
struct prng prng;
struct identity provider_id, stranger_id, root_id;
static struct provider providers[2];
static const uint8_t secret[32] = { 7 };
static struct authority authority;
struct slice next_chain;
const struct admission_options *next_admission;
const struct credential *next_credentials;
size_t next_credentials_count;
void (*watch)(unsigned sender, const uint8_t *data, size_t len);
struct mesh_options *next_mesh;
struct directory_options *next_directory;
const struct federation_options *next_federation;
const struct authority *next_authority;
uint32_t next_service = SERVICE, next_wanted = PROVIDER_ANY;
uint32_t next_moved;
void (*ask_managers)(unsigned gateway);
void (*before_output)(unsigned gateway);
size_t registrations_max = 100;
span (*delay_between)(unsigned from, unsigned to);

struct endpoint at(uint32_t addr, uint16_t port)
{
    return (struct endpoint){ .addr = addr_v4(addr), .port = port };
}

void world_begin(void)
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
    next_admission = NULL;
    next_credentials = NULL;
    next_credentials_count = 0;
    watch = NULL;
    next_mesh = NULL;
    next_directory = NULL;
    next_federation = NULL;
    next_authority = NULL;
    next_service = SERVICE;
    next_wanted = PROVIDER_ANY;
    ask_managers = NULL;
    before_output = NULL;
    delay_between = NULL;
    next_moved = 0;
    for (unsigned i = 0; i < 2; i++) {
        providers[i] = (struct provider){ .id = 100 + i, .protocols = { DMUX_IPV6 }, .protocols_count = 1 };
        memcpy(providers[i].key, i == 0 ? provider_id.ed25519 : stranger_id.ed25519, 32);
    }
    providers[1].protocols[0] = DMUX_IPV4; /* known, for another protocol */
}

unsigned host_new(enum kind kind, uint32_t addr, unsigned nearest)
{
    struct host *h = &hosts[hosts_count];

    *h = (struct host){ .kind = kind, .addr = addr, .nearest = nearest, .service = next_service };
    return hosts_count++;
}

uint32_t gateway_addr(uint32_t id)
{
    return 0x0a000000 + ((next_service ^ SERVICE) & 0xff0000) + (id << 8) + next_moved;
}

unsigned gateway_at(uint32_t id)
{
    unsigned i = host_new(GATEWAY, gateway_addr(id), 0);
    struct gateway_options o = { .id = id,
                                 .service = at(next_service, DMUX_PORT),
                                 .unicast = at(hosts[i].addr, DMUX_PORT),
                                 .providers = providers,
                                 .providers_count = 2,
                                 .authorities = next_authority ? next_authority : &authority,
                                 .authorities_count = 1,
                                 .registrations_max = registrations_max,
                                 .rng = prng_rng(&prng) };

    o.prefix = (struct prefix){ .addr = addr_v4(next_service & 0xffffff00), .len = 24 };
    memcpy(o.secret, secret, sizeof(secret));
    put_be32(o.secret + 28, next_service ^ SERVICE); /* of another operator */
    o.federation = next_federation;
    o.mesh = next_mesh;
    o.directory = next_directory;
    hosts[i].gateway = gateway_new(&o, 1000, now);
    assert_non_null(hosts[i].gateway);
    return i;
}

unsigned router_with(uint32_t addr, const uint32_t *registrars, size_t count, uint32_t provider,
                     const struct identity *id, unsigned nearest)
{
    unsigned i = host_new(ROUTER, addr, nearest);
    struct router_options o = { .protocol = protocol_router_find(DMUX_IPV6),
                                .provider = provider,
                                .ed25519_seed = id->ed25519_seed,
                                .ed25519 = id->ed25519,
                                .chain = next_chain,
                                .registrars_count = count,
                                .weight = 100,
                                .admission = next_admission,
                                .rng = prng_rng(&prng) };

    /* 2001:db8:0:NN::/64, NN the last byte of the address */
    o.setup.clients =
        (struct prefix){ .addr = { .family = ADDR_V6, .bytes = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, (uint8_t)addr } },
                         .len = 64 };
    for (size_t k = 0; k < count; k++)
        o.registrars[k] = at(registrars[k], DMUX_PORT);
    hosts[i].options = o;
    router_restart(i);
    return i;
}

void router_restart(unsigned router)
{
    struct host *h = &hosts[router];

    router_free(h->router);
    h->router = router_new(&h->options, now);
    assert_non_null(h->router);
    router_set_wall(h->router, 1000); /* as the gateways' */
}

unsigned router_at(uint32_t addr, unsigned gateway)
{
    const uint32_t registrar = SERVICE;

    return router_with(addr, &registrar, 1, 100, &provider_id, gateway);
}

unsigned client_at(uint32_t addr, unsigned gateway)
{
    unsigned i = host_new(CLIENT, addr, gateway);
    const struct client_options o = { .service = at(next_service, DMUX_PORT),
                                      .protocol = protocol_client_find(DMUX_IPV6),
                                      .provider = next_wanted,
                                      .credentials = next_credentials,
                                      .credentials_count = next_credentials_count,
                                      .rng = prng_rng(&prng) };

    hosts[i].client = client_new(&o, now);
    return i;
}

static unsigned host_of(const struct flight *f)
{
    uint32_t addr = get_be32(f->to.addr.bytes);

    for (unsigned i = 0; i < hosts_count; i++) {
        if (hosts[i].service == addr)
            return hosts[f->sender].nearest;
        if (hosts[i].addr == addr)
            return i;
    }
    return HOSTS_MAX;
}

void post(unsigned sender, const struct endpoint *from, const struct endpoint *to, const uint8_t *data, size_t len)
{
    struct flight f = { .at = now + DELAY, .from = *from, .to = *to, .sender = sender, .len = len };
    unsigned place;

    if (watch) /* which may post itself */
        watch(sender, data, len);
    place = flights_tail++;
    assert_true(flights_tail - flights_head < FLIGHT_MAX && len <= sizeof(f.data));
    if (delay_between && host_of(&f) < hosts_count)
        f.at = now + delay_between(sender, host_of(&f));
    /* in the order of arrival: most come last */
    for (; place != flights_head && flights[(place - 1) % FLIGHT_MAX].at > f.at; place--)
        flights[place % FLIGHT_MAX] = flights[(place - 1) % FLIGHT_MAX];
    memcpy(f.data, data, len);
    flights[place % FLIGHT_MAX] = f;
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
        struct dmux_tx tx;

        if (gateway_on_datagram(h->gateway, f->data, f->len, &f->from, &f->to.addr, now, out, &tx)) {
            self = at(tx.from_service ? h->service : h->addr, DMUX_PORT);
            post(i, &self, &tx.to, out, tx.len);
        }
    } else if (h->kind == ROUTER) {
        struct dmux_tx tx;

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
    struct dmux_tx tx;
    struct endpoint self = at(h->addr, h->kind == CLIENT ? 4000 : 1), service = at(h->service, DMUX_PORT);
    size_t len;

    if (h->dead)
        return;
    if (h->kind == GATEWAY) {
        struct dmux_tx g;

        gateway_on_expiry(h->gateway, now);
        self = at(h->addr, DMUX_PORT);
        if (before_output)
            before_output(i);
        while (gateway_output(h->gateway, out, &g, now))
            post(i, &self, &g.to, out, g.len);
        if (ask_managers)
            ask_managers(i);
    }
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

void world_run(span time)
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
size_t packet_make(uint8_t *p, const struct addr *from, const struct addr *to)
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

const struct addr server = { .family = ADDR_V6, .bytes = { 0x20, 1, 0xd, 0xb8, 0x55, [15] = 5 } };

struct client_info info_of(unsigned client)
{
    struct client_info i;

    client_info_get(hosts[client].client, &i);
    return i;
}

/* The client sends a packet to the server; true if a router delivered it. Which one: *ret. */
bool client_sends(unsigned client, unsigned *ret)
{
    struct client_info info = info_of(client);
    struct endpoint self = at(hosts[client].addr, 4000), service = at(hosts[client].service, DMUX_PORT);
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

struct slice chain_make(const struct identity *root, const char *realm, const struct identity *id, const char *leaf,
                        uint64_t not_after_s, uint8_t out[CREDENTIAL_CHAIN_MAX])
{
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

struct slice chain_kept(const struct identity *root, const char *realm, const struct identity *id, const char *leaf,
                        uint64_t not_after_s)
{
    static uint8_t chains[1024][CREDENTIAL_CHAIN_MAX];
    static unsigned used;

    return chain_make(root, realm, id, leaf, not_after_s, chains[used++ % ARRAY_LEN(chains)]);
}
