/* sim/dmux_pair.c - see dmux_pair.h. */
#include "sim/dmux_pair.h"

#include "tunnel/packet.h"

#define V4(a, b, c, d, p)                                                                                              \
    {                                                                                                                  \
        .addr = { .family = ADDR_V4, .bytes = { a, b, c, d } }, .port = p                                              \
    }

const struct endpoint dmux_pair_service = V4(192, 0, 2, 1, DMUX_PORT);
const struct endpoint dmux_pair_unicast = V4(10, 0, 1, 2, DMUX_PORT);
const struct endpoint dmux_pair_router = V4(203, 0, 113, 9, 1);
const struct endpoint dmux_pair_client = V4(198, 51, 100, 7, 4000);

static const uint8_t secret[JAR_SECRET_LEN] = { 9 };

static void introduce(struct dmux_pair *p, instant now)
{
    uint8_t a[2048], b[2048], c[2048];
    struct dmux_tx g;
    struct dmux_tx t;
    const uint8_t *packet;
    size_t n;

    for (int i = 0; i < 3; i++) {
        while (router_output(p->router, a, &t, now + i)) {
            if (gateway_on_datagram(p->gateway, a, t.len, &dmux_pair_router, &t.to.addr, now + i, b, &g) &&
                router_on_datagram(p->router, b, g.len, g.from_service ? &dmux_pair_service : &dmux_pair_unicast,
                                   now + i, &packet, &n, c, &t) == ROUTER_REPLY)
                gateway_on_datagram(p->gateway, c, t.len, &dmux_pair_router, &t.to.addr, now + i, b, &g);
        }
    }
}

bool dmux_pair_init(struct dmux_pair *p, instant now)
{
    struct gateway_options go = { .id = 1,
                                  .service = dmux_pair_service,
                                  .unicast = dmux_pair_unicast,
                                  .prefix = { .addr = addr_v4(0xc0000200), .len = 24 },
                                  .providers = &p->provider,
                                  .providers_count = 1,
                                  .registrations_max = 8,
                                  .rng = prng_rng(&p->prng) };
    struct router_options ro = { .protocol = protocol_router_find(DMUX_IPV6),
                                 .provider = 100,
                                 .registrars = { dmux_pair_service },
                                 .registrars_count = 1,
                                 .weight = 1,
                                 .setup.clients = { .addr = { .family = ADDR_V6, .bytes = { 0x20, 1, 0xd, 0xb8 } },
                                                    .len = 64 },
                                 .ed25519 = p->id.ed25519,
                                 .ed25519_seed = p->id.ed25519_seed,
                                 .rng = go.rng };

    *p = (struct dmux_pair){ .provider = { .id = 100, .protocols = { DMUX_IPV6 }, .protocols_count = 1 } };
    prng_init(&p->prng, 1);
    if (identity_generate(&p->id, &go.rng) < 0)
        return false;
    memcpy(p->provider.key, p->id.ed25519, sizeof(p->provider.key));
    memcpy(go.secret, secret, sizeof(secret));
    p->gateway = gateway_new(&go, DMUX_PAIR_WALL_S, now);
    p->router = router_new(&ro, now);
    if (!p->gateway || !p->router)
        return false;
    (void)gateway_export(p->gateway); /* from now on it says what changes of its tables */
    introduce(p, now);
    return registry_count(gateway_registry(p->gateway)) == 1;
}

void dmux_pair_deinit(struct dmux_pair *p)
{
    gateway_free(p->gateway);
    router_free(p->router);
}

size_t dmux_pair_ask(uint8_t *out, size_t len)
{
    struct shim_claim claim = { .kind = SHIM_COOKIE_CLIENT,
                                .client = get_be32(dmux_pair_client.addr.bytes),
                                .client_port = dmux_pair_client.port };
    size_t shim = shim_put(out, SHIM_COOKIE, DMUX_IPV6, PROVIDER_ANY);
    struct jar jar;

    jar_init(&jar, secret, DMUX_PAIR_WALL_S);
    jar_mint(&jar, &claim, out + SHIM_LEN);
    memset(out + shim, 0, len);
    return shim + len;
}

size_t dmux_pair_pass(uint8_t *out, const struct endpoint *home, size_t len)
{
    struct shim_claim claim = { .kind = SHIM_COOKIE_PASS,
                                .client = get_be32(home->addr.bytes),
                                .client_port = home->port };
    uint8_t *at = out + SHIM_LEN + SHIM_COOKIE_LEN;
    size_t shim = shim_put(out, SHIM_CLIENT | SHIM_VERIFIED | SHIM_COOKIE | SHIM_HOME, DMUX_IPV6, 100);
    struct jar jar;

    memset(out + SHIM_LEN, 0x55, SHIM_COOKIE_LEN); /* the home's ticket, which nobody here can read */
    memcpy(at, dmux_pair_client.addr.bytes, 4);
    put_be16(at + 4, dmux_pair_client.port);
    at[6] = 9;
    at[7] = GATEWAY_HOPS;
    at += SHIM_CLIENT_LEN;
    memcpy(at, home->addr.bytes, 4);
    put_be32(at + 4, (uint32_t)home->port << 16);
    jar_init(&jar, secret, DMUX_PAIR_WALL_S);
    jar_mint(&jar, &claim, at + SHIM_HOME_COOKIE_AT);
    memset(out + shim, 0, len);
    return shim + len;
}

size_t dmux_pair_frame(uint8_t *f, const struct endpoint *from, const struct endpoint *to, const uint8_t *payload,
                       size_t len)
{
    static const uint8_t ethernet[14] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0 };
    uint8_t *ip = f + sizeof(ethernet), *udp = ip + 20;

    memcpy(f, ethernet, sizeof(ethernet));
    memset(ip, 0, 28);
    ip[0] = 0x45;
    put_be16(ip + 2, (uint16_t)(28 + len));
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, from->addr.bytes, 4);
    memcpy(ip + 16, to->addr.bytes, 4);
    put_be16(ip + 10, csum_finish(csum_add(0, ip, 20)));
    put_be16(udp, from->port);
    put_be16(udp + 2, to->port);
    put_be16(udp + 4, (uint16_t)(8 + len));
    memcpy(udp + 8, payload, len);
    return DMUX_PAIR_FRAME_HDR + len;
}
