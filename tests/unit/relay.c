/* Unit tests of node/relay.h and ident/grant.h: who may bind, who is passed on, and to whom. */
#include "node/relay.h"
#include "tests/unit/test.h"
#include "wire/header.h"

#include <errno.h>

#define T0 (1000 * SEC)
#define WALL 1800000000u
#define NONCE 77

static const uint8_t keys[2][IDENT_KEY_LEN] = { { 1 }, { 2 } };
static struct relay *r;
static uint8_t data[256];
static size_t len;
static struct locator_pair to;

static struct locator_pair from(uint8_t host)
{
    return (struct locator_pair){ .remote = { { .family = ADDR_V4, .bytes = { 203, 0, 113, host } }, 4000 } };
}

/* data becomes a BIND of that grant. */
static void say(const uint8_t key[32], const struct grant *g, const uint8_t cookie[RELAY_COOKIE_LEN])
{
    uint8_t grant[GRANT_LEN];

    grant_seal(key, g, grant);
    relay_bind_write(grant, NONCE, cookie, data);
}

/* The state of the answer that stands in data, and its cookie; -1: it is none. */
static int answered(const uint8_t key[32], const struct grant *g, uint8_t ret_cookie[RELAY_COOKIE_LEN])
{
    uint8_t grant[GRANT_LEN];

    grant_seal(key, g, grant);
    return relay_bound_read(data, len, grant, NONCE, ret_cookie);
}

/* data came from there. */
static bool comes(uint8_t host, size_t n, instant now)
{
    struct locator_pair at = from(host);

    return relay_on_datagram(r, &at, data, n, WALL, now, &to, &len);
}

/* As a host does: with no cookie, and then with that which it was told. */
static bool bind(const uint8_t key[32], uint64_t channel, uint8_t side, uint8_t host, uint32_t until, instant now)
{
    const struct grant g = { channel, side, until };
    uint8_t cookie[RELAY_COOKIE_LEN] = { 0 };

    say(key, &g, cookie);
    if (!comes(host, RELAY_BIND_LEN, now) || answered(key, &g, cookie) != RELAY_SHOW)
        return false;
    say(key, &g, cookie);
    return comes(host, RELAY_BIND_LEN, now) && answered(key, &g, cookie) == RELAY_BOUND;
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
    struct prng prng;
    struct rng rng;

    (void)state;
    prng_init(&prng, 7);
    rng = prng_rng(&prng);
    r = relay_new(keys, 2, 4, &rng);
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
    assert_true(len <= RELAY_BIND_LEN); /* no longer than what it answers */
    assert_false(pass(9, 0, 1, T0));    /* nobody is at the other side */
    assert_true(bind(keys[1], 9, 1, 2, WALL, T0));
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
    assert_true(bind(keys[1], 9, 0, 3, WALL, T0 + 1)); /* it has moved */
    assert_false(pass(9, 0, 1, T0 + 1));
    assert_true(pass(9, 1, 2, T0 + 1));
    assert_true(goes_to(3));
}

static void test_refused(void **state)
{
    static const uint8_t other[IDENT_KEY_LEN] = { 3 }, cookie[RELAY_COOKIE_LEN];
    const struct grant g = { 9, 0, WALL };
    struct locator_pair at = from(1);
    struct relay_stats s;

    (void)state;
    assert_false(bind(other, 9, 0, 1, WALL, T0));
    assert_false(bind(keys[0], 9, 0, 1, WALL - 1, T0)); /* over */
    assert_false(bind(keys[0], 9, 2, 1, WALL, T0));
    assert_false(bind(keys[0], 0, 0, 1, WALL, T0));
    for (size_t i = 1; i < RELAY_BIND_LEN; i++) { /* any byte of it */
        say(keys[0], &g, cookie);
        data[i] ^= 1;
        assert_false(comes(1, RELAY_BIND_LEN, T0));
    }
    for (size_t n = 0; n < RELAY_BIND_LEN; n++) {
        data[0] = n % 2 ? PACKET_RELAY_BIND : PACKET_RELAYED;
        assert_false(relay_on_datagram(r, &at, data, n, WALL, T0, &to, &len));
    }
    relay_stats_get(r, &s);
    assert_int_equal(s.channels, 0);
}

/* Who saw all that was said, and sends it again from where he likes, changes nothing. */
static void test_thief(void **state)
{
    const struct grant g = { 9, 0, WALL };
    uint8_t first[RELAY_COOKIE_LEN] = { 0 }, second[RELAY_COOKIE_LEN], here[RELAY_COOKIE_LEN],
            none[RELAY_COOKIE_LEN] = { 0 };
    struct locator_pair thief = from(66), old = from(1);
    uint8_t recorded[RELAY_BIND_LEN];

    (void)state;
    assert_true(bind(keys[0], 9, 1, 2, WALL, T0));
    say(keys[0], &g, none);
    assert_true(comes(1, RELAY_BIND_LEN, T0));
    assert_int_equal(answered(keys[0], &g, first), RELAY_SHOW);
    assert_false(pass(9, 1, 2, T0)); /* not before the cookie is shown */
    say(keys[0], &g, first);
    memcpy(recorded, data, sizeof(recorded));
    assert_true(comes(1, RELAY_BIND_LEN, T0 + 1));
    assert_int_equal(answered(keys[0], &g, second), RELAY_BOUND);

    memcpy(data, recorded, sizeof(recorded)); /* from elsewhere: he is told a cookie that he cannot show */
    assert_true(relay_on_datagram(r, &thief, data, RELAY_BIND_LEN, WALL, T0 + 2, &to, &len));
    assert_int_equal(answered(keys[0], &g, here), RELAY_SHOW);
    memcpy(data, recorded, sizeof(recorded));
    memcpy(data + 4 + GRANT_BODY_LEN + 8, here, sizeof(here));
    assert_false(relay_on_datagram(r, &thief, data, RELAY_BIND_LEN, WALL, T0 + 3, &to, &len));
    assert_true(pass(9, 1, 2, T0 + 3));
    assert_true(goes_to(1));

    say(keys[0], &g, second); /* nor before it has come from the host, with a cookie that is newer than any */
    assert_true(relay_on_datagram(r, &thief, data, RELAY_BIND_LEN, WALL, T0 + 3, &to, &len));
    assert_int_equal(answered(keys[0], &g, here), RELAY_SHOW);
    assert_true(pass(9, 1, 2, T0 + 3));
    assert_true(goes_to(1));

    say(keys[0], &g, none); /* the host moves */
    assert_true(comes(3, RELAY_BIND_LEN, T0 + 4));
    assert_int_equal(answered(keys[0], &g, here), RELAY_SHOW);
    say(keys[0], &g, here);
    assert_true(comes(3, RELAY_BIND_LEN, T0 + 5));
    assert_int_equal(answered(keys[0], &g, here), RELAY_BOUND);
    memcpy(data, recorded, sizeof(recorded)); /* as if it came from the old place */
    assert_true(relay_on_datagram(r, &old, data, RELAY_BIND_LEN, WALL, T0 + 6, &to, &len));
    assert_int_equal(answered(keys[0], &g, second), RELAY_SHOW);
    assert_true(pass(9, 1, 2, T0 + 7));
    assert_true(goes_to(3));
}

/* A cookie is good for its life, also when its answer was lost and it is shown again. */
static void test_cookie(void **state)
{
    const struct grant g = { 9, 0, WALL };
    uint8_t cookie[RELAY_COOKIE_LEN] = { 0 }, next[RELAY_COOKIE_LEN], again[RELAY_COOKIE_LEN];

    (void)state;
    say(keys[0], &g, cookie);
    assert_true(comes(1, RELAY_BIND_LEN, T0));
    assert_int_equal(answered(keys[0], &g, cookie), RELAY_SHOW);
    for (int i = 0; i < 2; i++) {
        say(keys[0], &g, cookie);
        assert_true(comes(1, RELAY_BIND_LEN, T0 + RELAY_COOKIE_LIFE));
        assert_int_equal(answered(keys[0], &g, next), RELAY_BOUND);
    }
    say(keys[0], &g, next);
    assert_true(comes(1, RELAY_BIND_LEN, T0 + 2 * RELAY_COOKIE_LIFE));
    assert_int_equal(answered(keys[0], &g, again), RELAY_BOUND);
    say(keys[0], &g, again);
    assert_true(comes(1, RELAY_BIND_LEN, T0 + 3 * RELAY_COOKIE_LIFE + 1));
    assert_int_equal(answered(keys[0], &g, again), RELAY_SHOW);
    memset(again, 0xff, sizeof(again)); /* made in the future */
    say(keys[0], &g, again);
    assert_true(comes(1, RELAY_BIND_LEN, T0 + 3 * RELAY_COOKIE_LIFE + 1));
    assert_int_equal(answered(keys[0], &g, again), RELAY_SHOW);
}

/* A host believes what its relay says to what it has just asked. */
static void test_answer(void **state)
{
    const struct grant g = { 9, 0, WALL };
    uint8_t grant[GRANT_LEN], cookie[RELAY_COOKIE_LEN] = { 0 }, good[RELAY_BOUND_LEN];

    (void)state;
    grant_seal(keys[0], &g, grant);
    say(keys[0], &g, cookie);
    assert_true(comes(1, RELAY_BIND_LEN, T0));
    memcpy(good, data, sizeof(good));
    assert_int_equal(relay_bound_read(good, sizeof(good), grant, NONCE, cookie), RELAY_SHOW);
    assert_int_equal(relay_bound_read(good, sizeof(good), grant, NONCE + 1, cookie), -EBADMSG);
    for (size_t i = 0; i < sizeof(good); i++) {
        good[i] ^= 1;
        assert_int_equal(relay_bound_read(good, sizeof(good), grant, NONCE, cookie), -EBADMSG);
        good[i] ^= 1;
        assert_int_equal(relay_bound_read(good, i, grant, NONCE, cookie), -EBADMSG);
    }
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
        cmocka_unit_test_setup_teardown(test_thief, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cookie, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        cmocka_unit_test(test_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
