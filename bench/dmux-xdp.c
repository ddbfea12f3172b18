/* bench/dmux-xdp.c - what a packet costs a gateway: nanoseconds of the XDP program, and of the core in user space.
 *
 * Theory of operation. Frames are given to the program one at a time by BPF_PROG_TEST_RUN, which times it; each is a
 * new copy, since a second run would see what the first made of it. A frame that the program's first comparison passes
 * on is timed likewise: what it costs is mostly the timing, and is told beside. The core gets the same datagrams in a
 * loop. Prints one object of JSON: medians, ns.
 *
 * Limits: caches are warm, as they are under load; the driver's part is not in it. */
#include "sim/dmux_pair.h"
#include "sys/clock.h"
#include "sys/xdp.h"

#include <stdio.h>

#define ROUNDS 20001
#define LOOPS 200000
#define PACKET 150 /* bytes of the inner packet, as asked */

static int compare(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
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
    struct dmux_tx tx;
    instant start = clock_now();

    for (int i = 0; i < LOOPS; i++) {
        if (!gateway_on_datagram(g, d, len, from, &to->addr, 2 * SEC, out, &tx))
            return -1;
    }
    return (double)(clock_now() - start) * 1000 / LOOPS;
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

    memcpy(&c.service, dmux_pair_service.addr.bytes, 4);
    memcpy(&c.unicast, dmux_pair_unicast.addr.bytes, 4);
    memcpy(&key.addr, dmux_pair_router.addr.bytes, 4);
    key.port = __builtin_bswap16(dmux_pair_router.port);
    for (unsigned i = 0; i < SLOTS_COUNT; i++)
        group.slots[i] = (struct xdp_slot){ .addr = key.addr, .port = key.port, .provider = 100 };
    if ((r = xdp_set_config(x, &c)) < 0 || (r = xdp_set_clock(x, DMUX_PAIR_WALL_S)) < 0 ||
        (r = xdp_set_group(x, &any, &group)) < 0)
        return r;
    return xdp_set_router(x, &key, &(struct xdp_router){ 0 });
}

int main(void)
{
    uint8_t d[400], back[400], f1[500], f2[500], f3[60] = { 0 };
    struct dmux_pair p;
    struct dmux_tx tx;
    struct xdp *x = NULL;
    size_t len, n1, n2;
    int e;

    if (!dmux_pair_init(&p, SEC))
        return 1;
    len = dmux_pair_ask(d, PACKET);
    if (!gateway_on_datagram(p.gateway, d, len, &dmux_pair_client, &dmux_pair_service.addr, 2 * SEC, back, &tx))
        return 1;
    e = xdp_open(NULL, &x);
    if (e == 0)
        e = fill(x, p.gateway);
    if (e < 0) {
        fprintf(stderr, "bench-dmux-xdp: %s\n", strerror(-e));
        return 77;
    }
    n1 = dmux_pair_frame(f1, &dmux_pair_client, &dmux_pair_service, d, len);
    n2 = dmux_pair_frame(f2, &dmux_pair_router, &dmux_pair_unicast, back, tx.len);
    printf("{\"xdp_to_router_ns\":%d,\"xdp_to_client_ns\":%d,\"xdp_timing_ns\":%d,",
           time_frame(x, f1, n1, XDP_ACTION_TX), time_frame(x, f2, n2, XDP_ACTION_TX),
           time_frame(x, f3, sizeof(f3), XDP_ACTION_PASS));
    printf("\"core_to_router_ns\":%.0f,\"core_to_client_ns\":%.0f}\n",
           time_core(p.gateway, d, len, &dmux_pair_client, &dmux_pair_service),
           time_core(p.gateway, back, tx.len, &dmux_pair_router, &dmux_pair_unicast));
    xdp_free(x);
    dmux_pair_deinit(&p);
    return 0;
}
