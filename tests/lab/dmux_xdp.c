/* The gateway's XDP program against the gateway in user space: frames that are right, and such with random changes, go
 * through both. What the program sends is, to the byte, what user space would send; what it drops user space drops for
 * the same cause; the rest it passes on. Needs root and BPF; nothing is attached to an interface. HAWSER_XDP_FRAMES:
 * how many changed frames, instead of 20,000. */
#include "sim/dmux_pair.h"
#include "sys/xdp.h"
#include "tests/unit/tunnel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FRAMES 20000

static struct dmux_pair pair;
static struct gateway *gateway; /* the pair's */
static struct xdp *xdp;

/* One of each kind that is right. */
enum kind { TO_ROUTER, TO_CLIENT, FROM_HOME, TO_HOME, TO_BORDER, FROM_BORDER, KINDS };

static uint8_t frames[KINDS][256];
static size_t lens[KINDS];

/* A gateway of another operator: a home, and the border of provider 300. */
static const struct endpoint other = { .addr = { .family = ADDR_V4, .bytes = { 10, 18, 1, 2 } }, .port = DMUX_PORT };

/* The kernel's tables, from the gateway's. */
static void tables(void)
{
    struct xdp_config c = {
        .keys = *gateway_keys(gateway), .id = 1, .hops = GATEWAY_HOPS, .port = __builtin_bswap16(DMUX_PORT)
    };
    struct registry_table t;
    const struct registration *m;

    memcpy(&c.service, dmux_pair_service.addr.bytes, 4);
    memcpy(&c.unicast, dmux_pair_unicast.addr.bytes, 4);
    memcpy(&c.prefix, (const uint8_t[]){ 192, 0, 2, 0 }, 4);
    memcpy(&c.mask, (const uint8_t[]){ 255, 255, 255, 0 }, 4);
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
            g.slots[i].border = t.slots[i]->realm != 0;
        }
        assert_int_equal(xdp_set_group(xdp, &key, &g), 0);
    }
    while ((m = registry_pop_router(gateway_export(gateway)))) {
        struct xdp_router_key key = { .protocol = m->protocol, .provider = m->provider };
        struct xdp_router router = { .border = m->realm != 0 };

        memcpy(router.pass, m->pass, sizeof(router.pass));
        assert_int_equal(m->state, REGISTRATION_PROVED);
        put_be32(&key.addr, m->addr);
        put_be16(&key.port, m->port);
        assert_int_equal(xdp_set_router(xdp, &key, &router), 0);
    }
}

/* As the federation would: a border, which is used for its provider alone, since there is a router. */
static void border(void)
{
    const struct registration claim = { .protocol = DMUX_IPV6,
                                        .provider = 300,
                                        .addr = get_be32(other.addr.bytes),
                                        .port = other.port,
                                        .weight = 100,
                                        .origin = 7,
                                        .realm = 1 };
    const uint8_t pass[SHIM_COOKIE_LEN] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    struct registration *m;
    uint16_t wait_s;

    assert_int_equal(registry_claim(gateway_export(gateway), &claim, SEC, &m, &wait_s), 0);
    registry_set_pass(gateway_export(gateway), m, pass);
    registry_prove(gateway_export(gateway), m, 1000, SEC);
}

/* What the gateway makes of a datagram, with other bytes in the packet: for the frame of its answer. */
static size_t through(uint8_t *d, size_t len, const struct endpoint *from, const struct addr *to, uint8_t out[256])
{
    struct dmux_tx tx;

    assert_true(gateway_on_datagram(gateway, d, len, from, to, 2 * SEC, out, &tx));
    memset(out + tx.len - 100, 0x61, 100);
    return tx.len;
}

static void frame(enum kind kind, const struct endpoint *from, const struct endpoint *to, const uint8_t *d, size_t len)
{
    lens[kind] = dmux_pair_frame(frames[kind], from, to, d, len);
}

/* One of each that is right: a client's and a home's, and the router's answers with the tickets that user space gave.
 */
static void frames_make(void)
{
    uint8_t d[200], out[256];
    size_t len = dmux_pair_ask(d, 100);

    memset(d + len - 100, 0x60, 100);
    frame(TO_ROUTER, &dmux_pair_client, &dmux_pair_service, d, len);
    frame(TO_CLIENT, &dmux_pair_router, &dmux_pair_unicast, out,
          through(d, len, &dmux_pair_client, &dmux_pair_service.addr, out));
    put_be32(d + 4, 300);
    frame(TO_BORDER, &dmux_pair_client, &dmux_pair_service, d, len);
    len = through(d, len, &dmux_pair_client, &dmux_pair_service.addr, out);
    out[0] -= SHIM_HOME_LEN / 4; /* what a border sends back has no home any more */
    out[1] &= (uint8_t)~SHIM_HOME;
    memmove(out + 28, out + 48, len - 48);
    frame(FROM_BORDER, &other, &dmux_pair_unicast, out, len - SHIM_HOME_LEN);
    len = dmux_pair_pass(d, &other, 100);
    memset(d + len - 100, 0x62, 100);
    frame(FROM_HOME, &other, &dmux_pair_unicast, d, len);
    frame(TO_HOME, &dmux_pair_router, &dmux_pair_unicast, out, through(d, len, &other, &dmux_pair_unicast.addr, out));
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
    border();
    tables();
    frames_make();
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
    struct dmux_tx tx;
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
    static const size_t mac_at[KINDS] = { 15, 15, 47, 15, 15, 15 }; /* a byte of the cookie, ticket or pass */
    uint8_t f[256];

    for (unsigned k = 0; k < KINDS; k++) {
        assert_int_equal(both(frames[k], lens[k]), XDP_ACTION_TX);
        memcpy(f, frames[k], lens[k]);
        f[42 + 1] |= SHIM_WORD; /* words go like packets */
        assert_int_equal(both(f, lens[k]), XDP_ACTION_TX);
        memcpy(f, frames[k], lens[k]);
        f[42 + mac_at[k]] ^= 1; /* for user space */
        assert_int_equal(both(f, lens[k]), XDP_ACTION_PASS);
        memcpy(f, frames[k], lens[k]);
        f[42] = 0x2f; /* no version that we know */
        assert_int_equal(both(f, lens[k]), XDP_ACTION_DROP);
    }
    /* one hop is not enough to go on, and enough for a client */
    for (unsigned k = TO_CLIENT; k <= TO_HOME; k++) {
        memcpy(f, frames[k], lens[k]);
        f[42 + 27] = 1;
        assert_int_equal(both(f, lens[k]), k == TO_CLIENT ? XDP_ACTION_TX : XDP_ACTION_PASS);
    }
    /* two levels: what came from another provider goes to no border */
    memcpy(f, frames[FROM_HOME], lens[FROM_HOME]);
    put_be32(f + 42 + 4, 300);
    assert_int_equal(both(f, lens[FROM_HOME]), XDP_ACTION_PASS);
    assert_int_equal(gateway_stats_get(gateway)->drops[GATEWAY_DROP_TRANSIT], 1);
}

static void test_random_changes(void **state)
{
    const char *wanted = getenv("HAWSER_XDP_FRAMES");
    uint64_t frames_count = wanted ? strtoull(wanted, NULL, 10) : FRAMES, seen[KINDS][4] = { 0 };
    uint8_t f[256];

    for (uint64_t i = 0; i < frames_count; i++) {
        unsigned kind = i % KINDS;
        size_t len = lens[kind];
        unsigned changes = (unsigned)prng_below(&pair.prng, 4);
        int action;

        memcpy(f, frames[kind], len);
        f[42 + 1] |= prng_below(&pair.prng, 4) == 0 ? SHIM_WORD : 0;
        for (unsigned k = 0; k < changes; k++) {
            /* mostly the shim; its first bytes most of all */
            size_t at = prng_below(&pair.prng, 4) ? 42 + prng_below(&pair.prng, prng_below(&pair.prng, 2) ? 8 : 56)
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
        seen[kind][action]++;
    }
    /* all outcomes were there, in numbers */
    for (unsigned k = 0; k < KINDS; k++) {
        for (unsigned a = XDP_ACTION_DROP; a <= XDP_ACTION_TX; a++)
            assert_true(seen[k][a] > frames_count / KINDS / 50);
    }
    print_message("# %llu frames, no difference\n", (unsigned long long)frames_count);
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
    assert_int_equal(xdp_try(xdp, frames[TO_ROUTER], lens[TO_ROUTER], out, sizeof(out), &len, 1, &ns), XDP_ACTION_PASS);
    memcpy(&key.addr, dmux_pair_router.addr.bytes, 4);
    put_be16(&key.port, dmux_pair_router.port);
    assert_int_equal(xdp_set_router(xdp, &key, NULL), 0);
    assert_int_equal(xdp_try(xdp, frames[TO_CLIENT], lens[TO_CLIENT], out, sizeof(out), &len, 1, &ns), XDP_ACTION_PASS);
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
