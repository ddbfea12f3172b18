/* Unit tests of src/api/known.c: what is remembered of whom, how long, and who makes room. */
#include "api/known.h"
#include "tests/unit/test.h"

static const struct endpoint web = { { ADDR_V4, { 198, 51, 100, 1 } }, 80 };
static const struct endpoint mail = { { ADDR_V4, { 198, 51, 100, 1 } }, 25 };

static void test_ages(void **state)
{
    const struct peer_key key = { .x25519 = { 7 }, .suites = 1 };
    struct peer_key got;
    instant now = 1000 * SEC;

    assert_int_equal(known_get(&web, now, &got), KNOWN_NOTHING);
    known_put(&web, KNOWN_PLAIN, NULL, now);
    known_put(&mail, KNOWN_SESSION, &key, now);
    assert_int_equal(known_get(&web, now + 599 * SEC, &got), KNOWN_PLAIN);
    assert_int_equal(known_get(&web, now + 600 * SEC, &got), KNOWN_NOTHING);
    assert_int_equal(known_get(&mail, now + 86399 * SEC, &got), KNOWN_SESSION);
    assert_true(peer_key_equal(&got, &key));
    assert_int_equal(known_get(&mail, now + 86400 * SEC, &got), KNOWN_NOTHING);
    known_put(&web, KNOWN_SESSION, &key, now);
    known_put(&web, KNOWN_PLAIN, NULL, now + 1);
    assert_int_equal(known_get(&web, now + 2, &got), KNOWN_PLAIN);
    known_put(&web, KNOWN_NOTHING, NULL, now + 3);
    assert_int_equal(known_get(&web, now + 3, &got), KNOWN_NOTHING);
}

static void test_full(void **state)
{
    struct endpoint at = web;
    struct peer_key got;
    instant now = 5000 * SEC;

    for (uint16_t i = 0; i < KNOWN_MAX + 1; i++, now++) {
        at.port = (uint16_t)(1000 + i);
        known_put(&at, KNOWN_PLAIN, NULL, now);
    }
    for (uint16_t i = 0; i < KNOWN_MAX + 1; i++) {
        at.port = (uint16_t)(1000 + i);
        assert_int_equal(known_get(&at, now, &got), i == 0 ? KNOWN_NOTHING : KNOWN_PLAIN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ages),
        cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
