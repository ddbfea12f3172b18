/* Fuzz target of the machines of src/dmux: records u8 who | u8 from | u16 length | datagram, given to a gateway with a
 * registered router, to that router and to a client. What comes out is a shim, is bounded, and no answer to control is
 * longer than what it answers. */
#include "dmux/client.h"
#include "dmux/gateway.h"
#include "dmux/router.h"
#include "ident/keys.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct endpoint service = { .addr = { .family = ADDR_V4, .bytes = { 192, 0, 2, 1 } }, .port = DMUX_PORT };
static const struct endpoint unicast = { .addr = { .family = ADDR_V4, .bytes = { 10, 0, 1, 2 } }, .port = DMUX_PORT };
static const struct endpoint sources[4] = {
    { .addr = { .family = ADDR_V4, .bytes = { 203, 0, 113, 9 } }, .port = 1 }, /* the router */
    { .addr = { .family = ADDR_V4, .bytes = { 198, 51, 100, 7 } }, .port = 4000 },
    { .addr = { .family = ADDR_V4, .bytes = { 192, 0, 2, 1 } }, .port = DMUX_PORT },
    { .addr = { .family = ADDR_V4, .bytes = { 10, 0, 1, 2 } }, .port = DMUX_PORT },
};

struct ends {
    struct gateway *gateway;
    struct router *router;
    struct client *client;
};

static void to_gateway(struct ends *e, const uint8_t *data, size_t len, const struct endpoint *from, instant now)
{
    uint8_t out[4096];
    struct gateway_tx tx;
    struct shim in, s;

    if (!gateway_on_datagram(e->gateway, data, len, from, &service.addr, now, out, &tx))
        return;
    assert(shim_parse(data, data + len, &in) == SHIM_OK && shim_parse(out, out + tx.len, &s) == SHIM_OK);
    assert(tx.len <= len + GATEWAY_GROWS);
    if (in.flags & SHIM_CONTROL)
        assert(tx.len <= len && endpoint_equal(&tx.to, from));
    else
        assert(s.protocol == in.protocol && memcmp(out + s.len, data + in.len, len - in.len) == 0);
}

static void to_others(struct ends *e, uint8_t who, const uint8_t *data, size_t len, const struct endpoint *from,
                      instant now)
{
    uint8_t out[4096];
    struct router_tx tx;
    const uint8_t *packet = NULL;
    size_t n = 0;

    if (who == 1) {
        if (router_on_datagram(e->router, data, len, from, now, &packet, &n, out, &tx) == ROUTER_PACKET)
            assert(packet >= data && packet + n == data + len);
    } else if (who == 2) {
        if (client_on_datagram(e->client, data, len, from, now, &packet, &n) == CLIENT_PACKET)
            assert(packet >= data && packet + n == data + len);
    } else if (len <= PROTOCOL_PACKET_MAX) {
        n = client_on_packet(e->client, data, len, out);
        assert(n <= len + CLIENT_GROWS);
        if (router_on_packet(e->router, data, len, out, &tx))
            assert(tx.len <= len + ROUTER_GROWS);
    }
}

/* The router registers, the client is served: as they would be. */
static void introduce(struct ends *e, instant now)
{
    uint8_t out[4096], back[4096], third[4096];
    struct gateway_tx g;
    struct router_tx t;
    const uint8_t *packet;
    size_t n;

    for (int i = 0; i < 4; i++) {
        while (router_output(e->router, out, &t, now + i * 10 * MSEC)) {
            if (!gateway_on_datagram(e->gateway, out, t.len, &sources[0], &t.to.addr, now, back, &g))
                continue;
            if (router_on_datagram(e->router, back, g.len, g.from_service ? &service : &unicast, now, &packet, &n,
                                   third, &t) == ROUTER_REPLY)
                gateway_on_datagram(e->gateway, third, t.len, &sources[0], &t.to.addr, now, back, &g);
        }
        while ((n = client_output(e->client, out, now)) > 0) {
            if (gateway_on_datagram(e->gateway, out, n, &sources[1], &service.addr, now, back, &g) &&
                endpoint_equal(&g.to, &sources[1]))
                client_on_datagram(e->client, back, g.len, &service, now, &packet, &n);
        }
    }
    assert(registry_count(gateway_registry(e->gateway)) == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct identity id;
    static struct provider provider = { .id = 100, .protocols = { DMUX_IPV6 }, .protocols_count = 1 };
    struct prng p;
    struct gateway_options go = { .id = 1,
                                  .service = service,
                                  .unicast = unicast,
                                  .providers = &provider,
                                  .providers_count = 1,
                                  .registrations_max = 8 };
    struct router_options ro = { .protocol = protocol_router_find(DMUX_IPV6),
                                 .provider = 100,
                                 .homes = { service },
                                 .homes_count = 1,
                                 .weight = 1 };
    struct client_options co = { .service = service,
                                 .protocol = protocol_client_find(DMUX_IPV6),
                                 .provider = PROVIDER_ANY };
    struct ends e;
    instant now = SEC;

    prng_init(&p, 1);
    go.rng = ro.rng = co.rng = prng_rng(&p);
    if (id.ed25519[0] == 0 && identity_generate(&id, &go.rng) < 0)
        return 0;
    memcpy(provider.key, id.ed25519, sizeof(provider.key));
    ro.ed25519 = id.ed25519, ro.ed25519_seed = id.ed25519_seed;
    go.prefix = (struct prefix){ .addr = addr_v4(0xc0000200), .len = 24 };
    ro.setup.clients = (struct prefix){ .addr = { .family = ADDR_V6, .bytes = { 0x20, 1, 0xd, 0xb8 } }, .len = 64 };
    e = (struct ends){ gateway_new(&go, 1000, now), router_new(&ro, now), client_new(&co, now) };
    assert(e.gateway && e.router && e.client);
    introduce(&e, now);
    while (size >= 4) {
        size_t len = MIN((size_t)get_be16(data + 2), size - 4);

        if (len > 2000)
            break;
        now += (data[0] >> 4) * 100 * MSEC;
        if ((data[0] & 3) == 0)
            to_gateway(&e, data + 4, len, &sources[data[1] & 3], now);
        else
            to_others(&e, data[0] & 3, data + 4, len, &sources[data[1] & 3], now);
        data += 4 + len;
        size -= 4 + len;
        gateway_on_expiry(e.gateway, now);
    }
    gateway_free(e.gateway);
    router_free(e.router);
    client_free(e.client);
    return 0;
}
