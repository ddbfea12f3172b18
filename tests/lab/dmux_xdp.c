/* The gateway's XDP program against the gateway in user space: frames that are right, and such with random changes, go
 * through both. What the program sends is, to the byte, what user space would send; what it drops user space drops for
 * the same cause; the rest it passes on. Needs root and BPF; nothing is attached to an interface. */
#include "sim/dmux_pair.h"
#include "sys/xdp.h"
#include "tests/unit/tunnel.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define FRAMES 20000

static struct dmux_pair pair;
static struct gateway *gateway; /* the pair's */
static struct xdp *xdp;
static uint8_t to_router_frame[256], to_client_frame[256];
static size_t to_router_len, to_client_len;

/* The kernel's tables, from the gateway's. */
static void tables(void)
{
    struct xdp_config c = {
        .keys = *gateway_keys(gateway), .id = 1, .site = 3, .hops = GATEWAY_HOPS, .port = __builtin_bswap16(DMUX_PORT)
    };
    struct registry_table t;
    const struct registration *m;

    memcpy(&c.service, dmux_pair_service.addr.bytes, 4);
    memcpy(&c.unicast, dmux_pair_unicast.addr.bytes, 4);
    assert_int_equal(xdp_set_config(xdp, &c), 0);
    assert_int_equal(xdp_set_clock(xdp, DMUX_PAIR_WALL_S), 0);
    while (registry_pop_table(gateway_export(gateway), &t)) {
        struct xdp_group_key key = { t.protocol, t.provider };
        struct xdp_group g = { 0 };

        assert_false(t.empty);
        for (unsigned i = 0; i < SLOTS_COUNT; i++) {
            put_be32(&g.slots[i].addr, t.slots[i]->addr);
            put_be16(&g.slots[i].port, t.slots[i]->port);
            g.slots[i].provider = t.slots[i]->provider;
        }
        assert_int_equal(xdp_set_group(xdp, &key, &g), 0);
    }
    while ((m = registry_pop_router(gateway_export(gateway)))) {
        struct xdp_router_key key = { .protocol = m->protocol, .provider = m->provider };

        assert_int_equal(m->state, REGISTRATION_PROVED);
        put_be32(&key.addr, m->addr);
        put_be16(&key.port, m->port);
        assert_int_equal(xdp_set_router(xdp, &key, true), 0);
    }
}

/* One of each that is right: a client's, and the router's answer with the ticket that user space gave. */
static void frames(void)
{
    uint8_t d[200], out[256];
    struct gateway_tx tx;
    size_t len = dmux_pair_ask(d, 100);

    memset(d + len - 100, 0x60, 100);
    to_router_len = dmux_pair_frame(to_router_frame, &dmux_pair_client, &dmux_pair_service, d, len);
    assert_true(gateway_on_datagram(gateway, d, len, &dmux_pair_client, &dmux_pair_service.addr, 2 * SEC, out, &tx));
    memset(out + 28, 0x61, tx.len - 28);
    to_client_len = dmux_pair_frame(to_client_frame, &dmux_pair_router, &dmux_pair_unicast, out, tx.len);
}

static int setup(void **state)
{
    int r = xdp_open(NULL, &xdp);

    if (r < 0) {
        printf("1..0 # SKIP no XDP here: %s\n", strerror(-r));
        _exit(77);
    }
    assert_true(dmux_pair_init(&pair, SEC));
    gateway = pair.gateway;
    tables();
    frames();
    return 0;
}

static int teardown(void **state)
{
    xdp_free(xdp);
    dmux_pair_deinit(&pair);
    return 0;
}

static uint64_t shim_drops(void)
{
    uint64_t n = 0;

    for (unsigned i = 1; i < SHIM_FAULT_COUNT; i++)
        n += gateway_stats_get(gateway)->drops[i];
    return n;
}

/* Is it for the gateway's socket at all, whole and plain? Then its payload. */
static bool for_socket(const uint8_t *f, size_t len, size_t *ret_len)
{
    const uint8_t *ip = f + 14;

    if (len < 42 || get_be16(f + 12) != 0x0800 || ip[0] != 0x45 || ip[9] != 17 || (get_be16(ip + 6) & 0x3fff) != 0 ||
        get_be16(ip + 22) != DMUX_PORT || get_be16(ip + 24) < 8 || get_be16(ip + 2) != 20 + get_be16(ip + 24) ||
        len != 14u + get_be16(ip + 2) ||
        (memcmp(ip + 16, dmux_pair_service.addr.bytes, 4) != 0 &&
         memcmp(ip + 16, dmux_pair_unicast.addr.bytes, 4) != 0))
        return false;
    *ret_len = get_be16(ip + 24) - 8u;
    return true;
}

/* Both get it; they must agree. The program's action. */
static int both(const uint8_t *frame, size_t len)
{
    uint8_t out[2048], expected[2048], whole[2100];
    size_t out_len = 0, payload = 0;
    uint32_t ns;
    uint64_t drops = shim_drops();
    struct endpoint from = { .addr = addr_v4(get_be32(frame + 26)), .port = get_be16(frame + 34) };
    struct addr to = addr_v4(get_be32(frame + 30));
    struct gateway_tx tx;
    int action = xdp_try(xdp, frame, len, out, sizeof(out), &out_len, 1, &ns);
    bool sends;

    assert_true(action >= 0);
    if (!for_socket(frame, len, &payload)) {
        assert_int_equal(action, XDP_ACTION_PASS);
        return action;
    }
    sends = gateway_on_datagram(gateway, frame + 42, payload, &from, &to, 3 * SEC, expected, &tx);
    if (action == XDP_ACTION_DROP) {
        assert_false(sends);
        assert_int_equal(shim_drops(), drops + 1);
    } else if (action == XDP_ACTION_TX) {
        assert_true(sends);
        assert_int_equal(out_len, dmux_pair_frame(whole, tx.from_service ? &dmux_pair_service : &dmux_pair_unicast,
                                                  &tx.to, expected, tx.len));
        memcpy(whole, frame + 6, 6); /* back to the station that it came from */
        memcpy(whole + 6, frame, 6);
        put_be16(whole + 20, 0x4000); /* not in pieces; ECN as it came */
        whole[15] = frame[15] & 3;
        put_be16(whole + 24, 0);
        put_be16(whole + 24, (uint16_t)~judge_sum(0, whole + 14, 20));
        assert_memory_equal(out, whole, out_len);
    } else {
        assert_int_equal(action, XDP_ACTION_PASS);
        assert_int_equal(shim_drops(), drops);
    }
    return action;
}

static void test_right_ones(void **state)
{
    uint8_t f[256];

    assert_int_equal(both(to_router_frame, to_router_len), XDP_ACTION_TX);
    assert_int_equal(both(to_client_frame, to_client_len), XDP_ACTION_TX);
    /* words go like packets */
    memcpy(f, to_router_frame, to_router_len);
    f[42 + 1] |= SHIM_WORD;
    assert_int_equal(both(f, to_router_len), XDP_ACTION_TX);
    memcpy(f, to_client_frame, to_client_len);
    f[42 + 1] |= SHIM_WORD;
    assert_int_equal(both(f, to_client_len), XDP_ACTION_TX);
    /* a byte of the cookie: a stranger's, for user space */
    memcpy(f, to_router_frame, to_router_len);
    f[42 + 15] ^= 1;
    assert_int_equal(both(f, to_router_len), XDP_ACTION_PASS);
    memcpy(f, to_client_frame, to_client_len);
    f[42 + 15] ^= 1;
    assert_int_equal(both(f, to_client_len), XDP_ACTION_PASS);
    memcpy(f, to_router_frame, to_router_len);
    f[42] = 0x25; /* no version that we know */
    assert_int_equal(both(f, to_router_len), XDP_ACTION_DROP);
}

static void test_random_changes(void **state)
{
    unsigned seen[4] = { 0 };
    uint8_t f[256];

    for (unsigned i = 0; i < FRAMES; i++) {
        bool answer = i & 1;
        size_t len = answer ? to_client_len : to_router_len;
        unsigned changes = (unsigned)prng_below(&pair.prng, 4);
        int action;

        memcpy(f, answer ? to_client_frame : to_router_frame, len);
        f[42 + 1] |= prng_below(&pair.prng, 4) == 0 ? SHIM_WORD : 0;
        for (unsigned k = 0; k < changes; k++) {
            /* mostly the shim; its first bytes most of all */
            size_t at = prng_below(&pair.prng, 4) ? 42 + prng_below(&pair.prng, prng_below(&pair.prng, 2) ? 8 : 36)
                                                  : prng_below(&pair.prng, len);

            f[at] =
                (uint8_t)(prng_below(&pair.prng, 2) ? prng_u64(&pair.prng) : f[at] ^ 1u << prng_below(&pair.prng, 8));
        }
        if (prng_below(&pair.prng, 8) == 0) { /* shorter, told rightly */
            len = 42 + prng_below(&pair.prng, len - 42);
            put_be16(f + 16, (uint16_t)(len - 14));
            put_be16(f + 38, (uint16_t)(len - 34));
        }
        action = both(f, len);
        assert_in_range(action, XDP_ACTION_DROP, XDP_ACTION_TX);
        seen[action]++;
    }
    /* all outcomes were there, in numbers */
    for (unsigned a = XDP_ACTION_DROP; a <= XDP_ACTION_TX; a++)
        assert_true(seen[a] > FRAMES / 50);
}

/* A router that is taken away: at once nothing goes to it, nor comes from it. */
static void test_tables_change(void **state)
{
    const struct xdp_group_key any = { DMUX_IPV6, PROVIDER_ANY };
    struct xdp_router_key key = { .protocol = DMUX_IPV6, .provider = 100 };
    uint8_t out[2048];
    size_t len;
    uint32_t ns;

    assert_int_equal(xdp_set_group(xdp, &any, NULL), 0);
    assert_int_equal(xdp_try(xdp, to_router_frame, to_router_len, out, sizeof(out), &len, 1, &ns), XDP_ACTION_PASS);
    memcpy(&key.addr, dmux_pair_router.addr.bytes, 4);
    put_be16(&key.port, dmux_pair_router.port);
    assert_int_equal(xdp_set_router(xdp, &key, false), 0);
    assert_int_equal(xdp_try(xdp, to_client_frame, to_client_len, out, sizeof(out), &len, 1, &ns), XDP_ACTION_PASS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_ones),
        cmocka_unit_test(test_random_changes),
        cmocka_unit_test(test_tables_change),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
