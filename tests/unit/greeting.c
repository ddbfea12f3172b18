/* Unit test of session/greeting.h: one made by Python's hashlib, and what is not one. */
#include "session/greeting.h"
#include "tests/unit/hex.h"
#include "tests/unit/test.h"

/* nonce 40 41 .. 4f; blake2s(nonce, key=blake2s(b"hawser greeting" + bytes(range(32))).digest(), digest_size=16) */
#define MAC "cb96a75859faa321ec9c5907095959c5"

static void test_vector(void **state)
{
    uint8_t pub[32], greeting[GREETING_LEN + 1];

    for (uint8_t i = 0; i < 32; i++)
        pub[i] = i;
    for (uint8_t i = 0; i < 16; i++)
        greeting[i] = 0x40 + i;
    unhex(MAC, greeting + 16, 16);
    assert_true(greeting_check(pub, greeting, GREETING_LEN));
    for (size_t len = 0; len <= sizeof(greeting); len++)
        assert_int_equal(greeting_check(pub, greeting, len), len == GREETING_LEN);
    for (size_t i = 0; i < GREETING_LEN; i++) {
        greeting[i] ^= 1;
        assert_false(greeting_check(pub, greeting, GREETING_LEN));
        greeting[i] ^= 1;
    }
    pub[31] ^= 0x80; /* another's */
    assert_false(greeting_check(pub, greeting, GREETING_LEN));
}

static void test_own(void **state)
{
    uint8_t pub[32] = { 9 }, one[GREETING_LEN], two[GREETING_LEN];
    struct prng p;
    struct rng rng;

    prng_init(&p, 1);
    rng = prng_rng(&p);
    greeting_write(pub, &rng, one);
    greeting_write(pub, &rng, two);
    assert_true(greeting_check(pub, one, sizeof(one)));
    assert_true(greeting_check(pub, two, sizeof(two)));
    assert_memory_not_equal(one, two, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_vector), cmocka_unit_test(test_own) };

    return cmocka_run_group_tests_name("greeting", tests, NULL, NULL);
}
