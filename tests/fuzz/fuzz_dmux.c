/* Fuzz target of the machines of src/dmux: records u8 who | u8 from | u16 length | datagram, given to a gateway with a
 * registered router, to that router and to a client. What comes out is a shim, is bounded, and no answer to control is
 * longer than what it answers. */
#include "dmux/client.h"
#include "sim/dmux_pair.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct endpoint *const sources[4] = { &dmux_pair_router, &dmux_pair_client, &dmux_pair_service,
                                                   &dmux_pair_unicast };

struct ends {
    struct dmux_pair pair;
    struct client *client;
};

static void to_gateway(struct ends *e, const uint8_t *data, size_t len, const struct endpoint *from, instant now)
{
    uint8_t out[4096];
    struct dmux_tx tx;
    struct shim in, s;

    if (!gateway_on_datagram(e->pair.gateway, data, len, from, &dmux_pair_service.addr, now, out, &tx))
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
    struct dmux_tx tx;
    const uint8_t *packet = NULL;
    size_t n = 0;

    if (who == 1) {
        if (router_on_datagram(e->pair.router, data, len, from, now, &packet, &n, out, &tx) == ROUTER_PACKET)
            assert(packet >= data && packet + n == data + len);
    } else if (who == 2) {
        if (client_on_datagram(e->client, data, len, from, now, &packet, &n) == CLIENT_PACKET)
            assert(packet >= data && packet + n == data + len);
    } else if (len <= PROTOCOL_PACKET_MAX) {
        n = client_on_packet(e->client, data, len, out);
        assert(n <= len + CLIENT_GROWS);
        if (router_on_packet(e->pair.router, data, len, now, out, &tx))
            assert(tx.len <= len + ROUTER_GROWS);
    }
}

static void serve_client(struct ends *e, instant now)
{
    uint8_t out[4096], back[4096];
    struct dmux_tx g;
    const uint8_t *packet;
    size_t n;

    while ((n = client_output(e->client, out, now)) > 0) {
        if (gateway_on_datagram(e->pair.gateway, out, n, &dmux_pair_client, &dmux_pair_service.addr, now, back, &g) &&
            endpoint_equal(&g.to, &dmux_pair_client))
            client_on_datagram(e->client, back, g.len, &dmux_pair_service, now, &packet, &n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ends e;
    struct client_options co = { .service = dmux_pair_service,
                                 .protocol = protocol_client_find(DMUX_IPV6),
                                 .provider = PROVIDER_ANY,
                                 .rng = prng_rng(&e.pair.prng) };
    instant now = SEC;

    if (!dmux_pair_init(&e.pair, now))
        abort();
    e.client = client_new(&co, now);
    assert(e.client);
    serve_client(&e, now);
    while (size >= 4) {
        size_t len = MIN((size_t)get_be16(data + 2), size - 4);

        if (len > 2000)
            break;
        now += (data[0] >> 4) * 100 * MSEC;
        if ((data[0] & 3) == 0)
            to_gateway(&e, data + 4, len, sources[data[1] & 3], now);
        else
            to_others(&e, data[0] & 3, data + 4, len, sources[data[1] & 3], now);
        data += 4 + len;
        size -= 4 + len;
        gateway_on_expiry(e.pair.gateway, now);
    }
    dmux_pair_deinit(&e.pair);
    client_free(e.client);
    return 0;
}
