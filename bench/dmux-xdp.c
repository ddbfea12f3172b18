/* bench/dmux-xdp.c - what a packet costs a gateway: nanoseconds of the XDP program, and of the core in user space.
 *
 * Theory of operation. Frames are given to the program one at a time by BPF_PROG_TEST_RUN, which times it; each is a
 * new copy, since a second run would see what the first made of it. A frame that the program's first comparison passes
 * on is timed likewise: what it costs is mostly the timing, and is told beside. The core gets the same datagrams in a
 * loop. Prints one object of JSON: medians, ns.
 *
 * Limits: caches are warm, as they are under load; the driver's part is not in it. */
#include "dmux/gateway.h"
#include "dmux/router.h"
#include "ident/keys.h"
#include "sys/clock.h"
#include "sys/xdp.h"

#include <stdio.h>

#define ROUNDS 20001
#define LOOPS 200000
#define PACKET 150 /* bytes of the inner packet, as asked */
#define WALL_S 5000

static const struct endpoint service = { .addr = { .family = ADDR_V4, .bytes = { 192, 0, 2, 1 } }, .port = DMUX_PORT };
static const struct endpoint unicast = { .addr = { .family = ADDR_V4, .bytes = { 10, 0, 1, 2 } }, .port = DMUX_PORT };
static const struct endpoint router_at = { .addr = { .family = ADDR_V4, .bytes = { 203, 0, 113, 9 } }, .port = 51822 };
static const struct endpoint client_at = { .addr = { .family = ADDR_V4, .bytes = { 198, 51, 100, 7 } }, .port = 4000 };
static const uint8_t secret[JAR_SECRET_LEN] = { 9 };

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static size_t frame_make(uint8_t *f, const struct endpoint *from, const struct endpoint *to, const uint8_t *d,
                         size_t len)
{
    memset(f, 0, 42);
    put_be16(f + 12, 0x0800);
    f[14] = 0x45;
    put_be16(f + 16, (uint16_t)(28 + len));
    f[22] = 64;
    f[23] = 17;
    memcpy(f + 26, from->addr.bytes, 4);
    memcpy(f + 30, to->addr.bytes, 4);
    put_be16(f + 34, from->port);
    put_be16(f + 36, to->port);
    put_be16(f + 38, (uint16_t)(8 + len));
    memcpy(f + 42, d, len);
    return 42 + len;
}

/* The median; -1: the program did something else with it. */
static int time_frame(struct xdp *x, const uint8_t *frame, size_t len, int action)
{
    static uint32_t ns[ROUNDS];
    uint8_t out[2048];
    size_t n;

    for (int i = 0; i < ROUNDS; i++) {
        if (xdp_try(x, frame, len, out, sizeof(out), &n, 1, &ns[i]) != action)
            return -1;
    }
    qsort(ns, ROUNDS, sizeof(*ns), compare);
    return (int)ns[ROUNDS / 2];
}

static double time_core(struct gateway *g, const uint8_t *d, size_t len, const struct endpoint *from,
                        const struct endpoint *to)
{
    uint8_t out[2048];
    struct gateway_tx tx;
    instant start = clock_now();

    for (int i = 0; i < LOOPS; i++) {
        if (!gateway_on_datagram(g, d, len, from, &to->addr, 2 * SEC, out, &tx))
            return -1;
    }
    return (double)(clock_now() - start) * 1000 / LOOPS;
}

static void router_registers(struct gateway *g, struct router *r)
{
    uint8_t a[2048], b[2048], c[2048];
    struct gateway_tx out;
    struct router_tx t;
    const uint8_t *packet;
    size_t n;

    for (int i = 0; i < 3; i++) {
        while (router_output(r, a, &t, SEC + i)) {
            if (gateway_on_datagram(g, a, t.len, &router_at, &t.to.addr, SEC + i, b, &out) &&
                router_on_datagram(r, b, out.len, out.from_service ? &service : &unicast, SEC + i, &packet, &n, c,
                                   &t) == ROUTER_REPLY)
                gateway_on_datagram(g, c, t.len, &router_at, &t.to.addr, SEC + i, b, &out);
        }
    }
}

static int fill(struct xdp *x, struct gateway *g)
{
    struct xdp_config c = {
        .keys = *gateway_keys(g), .id = 1, .hops = GATEWAY_HOPS, .port = __builtin_bswap16(DMUX_PORT)
    };
    const struct xdp_group_key any = { DMUX_IPV6, PROVIDER_ANY };
    struct xdp_router_key key = { .protocol = DMUX_IPV6, .provider = 100 };
    struct xdp_group group = { 0 };
    int r;

    memcpy(&c.service, service.addr.bytes, 4);
    memcpy(&c.unicast, unicast.addr.bytes, 4);
    memcpy(&key.addr, router_at.addr.bytes, 4);
    key.port = __builtin_bswap16(router_at.port);
    for (unsigned i = 0; i < SLOTS_COUNT; i++)
        group.slots[i] = (struct xdp_slot){ .addr = key.addr, .port = key.port, .provider = 100 };
    if ((r = xdp_set_config(x, &c)) < 0 || (r = xdp_set_clock(x, WALL_S)) < 0 ||
        (r = xdp_set_group(x, &any, &group)) < 0)
        return r;
    return xdp_set_router(x, &key, true);
}

int main(void)
{
    struct prng p;
    struct identity id;
    struct provider provider = { .id = 100, .protocols = { DMUX_IPV6 }, .protocols_count = 1 };
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
                                 .weight = 1,
                                 .ed25519 = id.ed25519,
                                 .ed25519_seed = id.ed25519_seed };
    struct shim_claim claim = { .kind = SHIM_COOKIE_CLIENT,
                                .client = get_be32(client_at.addr.bytes),
                                .client_port = client_at.port };
    uint8_t d[400] = { 0 }, back[400], f1[500], f2[500], f3[60] = { 0 };
    struct gateway *g;
    struct router *r;
    struct gateway_tx tx;
    struct jar jar;
    struct xdp *x = NULL;
    size_t len;
    int e;

    prng_init(&p, 1);
    go.rng = ro.rng = prng_rng(&p);
    if (identity_generate(&id, &go.rng) < 0)
        return 1;
    memcpy(provider.key, id.ed25519, sizeof(provider.key));
    memcpy(go.secret, secret, sizeof(secret));
    go.prefix = (struct prefix){ .addr = addr_v4(0xc0000200), .len = 24 };
    ro.setup.clients = (struct prefix){ .addr = { .family = ADDR_V6, .bytes = { 0x20, 1, 0xd, 0xb8 } }, .len = 64 };
    g = gateway_new(&go, WALL_S, SEC);
    r = router_new(&ro, SEC);
    if (!g || !r)
        return 1;
    router_registers(g, r);
    jar_init(&jar, secret, WALL_S);
    len = shim_put(d, SHIM_COOKIE, DMUX_IPV6, PROVIDER_ANY);
    jar_mint(&jar, &claim, d + SHIM_LEN);
    len += PACKET;
    if (!gateway_on_datagram(g, d, len, &client_at, &service.addr, 2 * SEC, back, &tx))
        return 1;
    e = xdp_open(NULL, &x);
    if (e == 0)
        e = fill(x, g);
    if (e < 0) {
        fprintf(stderr, "bench-dmux-xdp: %s\n", strerror(-e));
        return 77;
    }
    printf("{\"xdp_to_router_ns\":%d,\"xdp_to_client_ns\":%d,\"xdp_timing_ns\":%d,",
           time_frame(x, f1, frame_make(f1, &client_at, &service, d, len), XDP_ACTION_TX),
           time_frame(x, f2, frame_make(f2, &router_at, &unicast, back, tx.len), XDP_ACTION_TX),
           time_frame(x, f3, sizeof(f3), XDP_ACTION_PASS));
    printf("\"core_to_router_ns\":%.0f,\"core_to_client_ns\":%.0f}\n", time_core(g, d, len, &client_at, &service),
           time_core(g, back, tx.len, &router_at, &unicast));
    xdp_free(x);
    router_free(r);
    gateway_free(g);
    return 0;
}
