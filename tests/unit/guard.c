/* Unit tests of src/session/guard: how many handshakes a second are paid for, and of whom. */
#include "session/guard.h"
#include "tests/unit/test.h"

#define BEGAN (1000 * SEC)

static struct guard g;

static void begin(void)
{
    const uint8_t secret[32] = { 1 }, key[16] = { 2 };

    assert_int_equal(guard_init(&g, secret, key, BEGAN), 0);
    guard_turn(&g, BEGAN);
}

static struct endpoint source(uint32_t i)
{
    return (struct endpoint){ addr_v4(0x0b000000u + (i << 8)), 1000 };
}

/* Ten ask each millisecond for a second, all with a cookie and each from a network of its own; how many may. */
static unsigned flood(void)
{
    unsigned admitted = 0;

    for (uint32_t i = 0; i < 10000; i++) {
        const struct endpoint from = source(i);

        guard_turn(&g, BEGAN + i / 10 * MSEC);
        admitted += guard_charge(&g, &from, true) == GUARD_ADMITTED;
    }
    return admitted;
}

/* 50,000 us are saved up, and 999 ms give 99,900 (499,500) more; one takes 300. */
static void test_budget(void **state)
{
    begin();
    assert_int_equal(flood(), (50000 + 99900) / 300);
    guard_deinit(&g);
    begin();
    g.budget_per_sec = 500000;
    assert_int_equal(flood(), (50000 + 499500) / 300);
    guard_deinit(&g);
}

/* From 24,999 us on a cookie is wanted, until it is 50,000 again; then one network has 20 a second. */
static void test_wary(void **state)
{
    const struct endpoint one = source(1);
    unsigned admitted = 0;

    begin();
    for (int i = 0; i < 84; i++) { /* 50,000 - 83 * 300 = 25,100; - 84 * 300 = 24,800 */
        guard_turn(&g, BEGAN);
        assert_int_equal(guard_charge(&g, &one, false), GUARD_ADMITTED);
    }
    guard_turn(&g, BEGAN);
    assert_int_equal(guard_charge(&g, &one, false), GUARD_COOKIE_DUE);
    for (int i = 0; i < 40; i++)
        admitted += guard_charge(&g, &one, true) == GUARD_ADMITTED;
    assert_int_equal(admitted, 20);
    guard_turn(&g, BEGAN + 300 * MSEC); /* 24,800 - 6,000 + 30,000 = 48,800 */
    assert_int_equal(guard_charge(&g, &one, false), GUARD_COOKIE_DUE);
    guard_turn(&g, BEGAN + 312 * MSEC);
    assert_int_equal(guard_charge(&g, &one, false), GUARD_ADMITTED);
    guard_deinit(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_wary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
