/* Unit tests of prog/realmd_refused.h. */
#include "prog/realmd_refused.h"
#include "tests/unit/test.h"

#define T0 (1000 * SEC)

static void test_once_a_minute(void **state)
{
    uint64_t refused[RECORD_FAULT_COUNT] = { 0 };
    struct refusals r = { 0 };
    char line[REFUSALS_LINE];
    unsigned lines = 0;

    assert_true(refusals_due(&r, T0));
    assert_false(refusals_tell(&r, refused, T0, line));
    refused[RECORD_SIGNATURE] = 2;
    refused[RECORD_EXPIRED] = 1;
    assert_true(refusals_due(&r, T0 + 1 * SEC));
    assert_true(refusals_tell(&r, refused, T0 + 1 * SEC, line));
    assert_string_equal(line, "wrong-signature=2 expired=1");
    /* However much comes, and what came since in the next. */
    for (instant now = T0 + 1 * SEC; now < T0 + 181 * SEC; now += 100 * MSEC) {
        refused[RECORD_SIGNATURE] += 10;
        if (refusals_due(&r, now))
            lines += refusals_tell(&r, refused, now, line);
    }
    assert_int_equal(lines, 2);
    assert_string_equal(line, "wrong-signature=6000");
}

/* All causes at once fit. */
static void test_all(void **state)
{
    uint64_t refused[RECORD_FAULT_COUNT];
    struct refusals r = { 0 };
    char line[REFUSALS_LINE];

    memset(refused, 0xff, sizeof(refused));
    assert_true(refusals_tell(&r, refused, T0, line));
    for (unsigned i = 1; i < RECORD_FAULT_COUNT; i++)
        assert_non_null(strstr(line, record_fault_name((enum record_fault)i)));
    assert_non_null(strstr(line, "conflict=18446744073709551615"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_once_a_minute), cmocka_unit_test(test_all) };

    return cmocka_run_group_tests_name("realmd_refused", tests, NULL, NULL);
}
