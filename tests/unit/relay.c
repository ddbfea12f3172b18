/* Unit tests of node/relay.h and ident/grant.h: who may bind, who is passed on, and to whom. */
#include "node/relay.h"
#include "tests/unit/test.h"
#include "wire/header.h"

#include <errno.h>

#define T0 (1000 * SEC)
#define WALL 1800000000u

static const uint8_t keys[2][IDENT_KEY_LEN] = { { 1 }, { 2 } };
static struct relay *r;
static uint8_t data[256];
static size_t len;
static struct locator_pair to;

static struct locator_pair from(uint8_t host)
{
    return (struct locator_pair){ .remote = { { .family = ADDR_V4, .bytes = { 203, 0, 113, host } }, 4000 } };
}

static bool bind(const uint8_t key[32], uint64_t channel, uint8_t side, uint8_t host, uint32_t until, instant now)
{
    const struct grant g = { channel, side, until };
    struct locator_pair at = from(host);

    memset(data, 0, 4);
    data[0] = PACKET_RELAY_BIND;
    grant_seal(key, &g, data + 4);
    return relay_on_datagram(r, &at, data, RELAY_BIND_LEN, WALL, now, &to, &len);
}

static bool pass(uint64_t channel, uint8_t side, uint8_t host, instant now)
{
    struct locator_pair at = from(host);

    memset(data, 0x5a, sizeof(data));
    data[0] = PACKET_RELAYED;
    data[1] = side;
    put_be64(data + 4, channel);
    return relay_on_datagram(r, &at, data, 100, WALL, now, &to, &len);
}

static bool goes_to(uint8_t host)
{
    struct locator_pair at = from(host);

    return locator_pair_same(&to, &at);
}

static int set_up(void **state)
{
    (void)state;
    r = relay_new(keys, 2, 4, 7);
    return r ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    relay_free(r);
    return 0;
}

static void test_pass(void **state)
{
    (void)state;
    assert_false(pass(9, 0, 1, T0));
    assert_true(bind(keys[1], 9, 0, 1, WALL, T0));
    assert_true(goes_to(1));
    assert_int_equal(len, RELAY_HEADER_LEN); /* no longer than what it answers */
    assert_int_equal(data[0], PACKET_RELAY_BOUND);
    assert_int_equal(get_be64(data + 4), 9);
    assert_false(pass(9, 0, 1, T0)); /* nobody is at the other side */
    assert_true(bind(keys[1], 9, 1, 2, WALL, T0));
    assert_int_equal(data[1], 1);
    assert_true(pass(9, 0, 1, T0));
    assert_true(goes_to(2));
    assert_int_equal(len, 100);
    assert_int_equal(data[RELAY_HEADER_LEN], 0x5a);
    assert_true(pass(9, 1, 2, T0));
    assert_true(goes_to(1));
    assert_false(pass(9, 1, 1, T0)); /* each side from where it is bound, */
    assert_false(pass(9, 0, 3, T0));
    assert_false(pass(8, 0, 1, T0)); /* and of that channel */
    assert_false(pass(9, 2, 1, T0));
    assert_true(bind(keys[1], 9, 0, 3, WALL, T0)); /* it has moved */
    assert_false(pass(9, 0, 1, T0));
    assert_true(pass(9, 1, 2, T0));
    assert_true(goes_to(3));
}

static void test_refused(void **state)
{
    static const uint8_t other[IDENT_KEY_LEN] = { 3 };
    struct locator_pair at = from(1);
    struct relay_stats s;

    (void)state;
    assert_false(bind(other, 9, 0, 1, WALL, T0));
    assert_false(bind(keys[0], 9, 0, 1, WALL - 1, T0)); /* over */
    assert_false(bind(keys[0], 9, 2, 1, WALL, T0));
    assert_false(bind(keys[0], 0, 0, 1, WALL, T0));
    for (size_t i = 4; i < RELAY_BIND_LEN; i++) { /* any byte of it */
        const struct grant g = { 9, 0, WALL };

        data[0] = PACKET_RELAY_BIND;
        grant_seal(keys[0], &g, data + 4);
        data[i] ^= 1;
        assert_false(relay_on_datagram(r, &at, data, RELAY_BIND_LEN, WALL, T0, &to, &len));
    }
    for (size_t n = 0; n < RELAY_BIND_LEN; n++) {
        data[0] = n % 2 ? PACKET_RELAY_BIND : PACKET_RELAYED;
        assert_false(relay_on_datagram(r, &at, data, n, WALL, T0, &to, &len));
    }
    relay_stats_get(r, &s);
    assert_int_equal(s.channels, 0);
}

/* A full relay keeps those that are used, and takes the place of one that is not, or that has one side. */
static void test_full(void **state)
{
    struct relay_stats s;

    (void)state;
    for (uint64_t i = 1; i <= 4; i++)
        assert_true(bind(keys[0], i, 0, 1, WALL, T0) && bind(keys[0], i, 1, 2, WALL, T0));
    assert_false(bind(keys[0], 5, 0, 1, WALL, T0 + RELAY_IDLE));
    assert_true(pass(1, 0, 1, T0 + RELAY_IDLE));
    assert_true(bind(keys[0], 5, 0, 1, WALL, T0 + RELAY_IDLE + 1)); /* of 2, which is the idle one of the longest */
    assert_false(pass(2, 0, 1, T0 + RELAY_IDLE + 1));
    assert_true(pass(1, 0, 1, T0 + RELAY_IDLE + 1));
    assert_true(pass(3, 0, 1, T0 + RELAY_IDLE + 1));
    assert_true(bind(keys[0], 6, 0, 1, WALL, T0 + RELAY_IDLE + 1)); /* of 5 */
    assert_true(pass(1, 0, 1, T0 + RELAY_IDLE + 1));
    assert_true(pass(3, 0, 1, T0 + RELAY_IDLE + 1));
    relay_stats_get(r, &s);
    assert_int_equal(s.channels, 4);
    assert_int_equal(s.full, 1);
}

static void test_key(void **state)
{
    uint8_t key[2][32];
    struct identity id[2];
    struct prng prng;
    struct rng rng;

    (void)state;
    prng_init(&prng, 5);
    rng = prng_rng(&prng);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(identity_generate(&id[i], &rng), 0);
    assert_int_equal(grant_key(&id[0], id[1].x25519, key[0]), 0);
    assert_int_equal(grant_key(&id[1], id[0].x25519, key[1]), 0);
    assert_memory_equal(key[0], key[1], 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        cmocka_unit_test(test_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
