/* Unit tests of src/session/discovery: what is asked when, and what counts as an answer. */
#include "session/discovery.h"
#include "tests/unit/test.h"

#define BEGAN (1000 * SEC)

struct asked {
    struct locator_pair at;
    uint8_t nonce[HELLO_NONCE_LEN];
};

static struct discovery d;
static struct prng prng;
static struct asked asked[64];
static unsigned count;

static struct locator_pair way(uint32_t link, uint32_t address)
{
    return (struct locator_pair){ .link = link, .remote = { addr_v4(address), 80 } };
}

static void begin(unsigned links)
{
    struct rng rng;

    prng_init(&prng, 7);
    rng = prng_rng(&prng);
    discovery_init(&d, BEGAN);
    for (uint32_t i = 1; i <= links; i++) {
        struct locator_pair at = way(i, 0xc6336401);

        discovery_add(&d, &at, &rng);
    }
}

/* What it says now. */
static unsigned ask(instant now)
{
    uint8_t buf[HELLO_LEN];

    count = 0;
    discovery_on_expiry(&d, now);
    while (discovery_output(&d, buf, &asked[count].at, now)) {
        assert_int_equal(hello_read(buf, sizeof(buf), asked[count].nonce), 0);
        count++;
    }
    return count;
}

static void answer(const struct asked *to, uint8_t versions, const struct endpoint *from)
{
    struct hello_answer a = { .versions = versions, .carrier_port = 4433 };
    uint8_t pkt[HELLO_ANSWER_LEN];
    struct peer_key key = { .suites = 3, .ed25519 = { 1 }, .x25519 = { 2 } };

    memcpy(a.nonce, to->nonce, sizeof(a.nonce));
    peer_key_write(&key, a.key);
    hello_answer_write(pkt, &a);
    discovery_input(&d, from, pkt, sizeof(pkt));
}

static void test_rounds(void **state)
{
    static const span rounds[] = { 0, 50 * MSEC, 120 * MSEC, 300 * MSEC, 600 * MSEC };

    begin(3);
    for (size_t i = 0; i < ARRAY_LEN(rounds); i++) {
        assert_int_equal(discovery_next_expiry(&d), BEGAN + rounds[i]);
        if (rounds[i] > 0)
            assert_int_equal(ask(BEGAN + rounds[i] - 1), 0);
        assert_int_equal(ask(BEGAN + rounds[i]), 3);
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(asked[k].at.link, k + 1);
        assert_memory_not_equal(asked[0].nonce, asked[1].nonce, HELLO_NONCE_LEN);
    }
    assert_int_equal(discovery_next_expiry(&d), BEGAN + 1 * SEC);
    assert_int_equal(d.state, DISCOVERY_ASKING);
    assert_int_equal(ask(BEGAN + 1 * SEC), 0);
    assert_int_equal(d.state, DISCOVERY_NOBODY);
    assert_int_equal(discovery_next_expiry(&d), INSTANT_NEVER);
    answer(&asked[0], 1, &(struct endpoint){ addr_v4(0xc6336401), 80 }); /* late: asked[0] still has the nonce */
    assert_int_equal(d.state, DISCOVERY_FOUND);
}

static void test_answers(void **state)
{
    const struct endpoint there = { addr_v4(0xc6336401), 80 }, elsewhere = { addr_v4(0xc6336402), 80 };
    struct asked wrong;

    begin(2);
    assert_int_equal(ask(BEGAN), 2);
    wrong = asked[0];
    wrong.nonce[15] ^= 1;
    answer(&wrong, 1, &there);
    answer(&asked[0], 1, &elsewhere);
    answer(&asked[0], 2, &there); /* another version alone */
    assert_int_equal(d.state, DISCOVERY_ASKING);
    answer(&asked[1], 3, &there);
    assert_int_equal(d.state, DISCOVERY_FOUND);
    assert_int_equal(d.key.x25519[0], 2);
    assert_int_equal(d.carrier_port, 4433);
    assert_true(endpoint_equal(&d.at, &there));
    assert_int_equal(ask(BEGAN + 50 * MSEC), 0);
}

/* One uplink's network says so, which may be a wall of its own; then the other's. */
static void test_refused(void **state)
{
    const struct endpoint there = { addr_v4(0xc6336401), 80 }, elsewhere = { addr_v4(0xc6336402), 80 };

    begin(2);
    assert_int_equal(ask(BEGAN), 2);
    discovery_on_refused(&d, 1, &elsewhere);
    discovery_on_refused(&d, 1, &there);
    assert_int_equal(ask(BEGAN + 50 * MSEC), 1);
    assert_int_equal(asked[0].at.link, 2);
    discovery_on_refused(&d, 2, &there);
    assert_int_equal(d.state, DISCOVERY_NOBODY);
    begin(0);
    assert_int_equal(ask(BEGAN), 0);
    assert_int_equal(d.state, DISCOVERY_NOBODY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
