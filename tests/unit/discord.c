/* The discordance ratio and its distribution, by values counted by hand. */
#include <math.h>

#include "bench/discord.h"
#include "tests/unit/test.h"

#define VALUES(...) ((const double[]){ __VA_ARGS__ })

static void test_two_paths(void **state)
{
    /* The same one is best in both. */
    assert_int_equal(discord_interval(VALUES(10, 20), VALUES(1, 2), 2, 0, 0), DISCORD_NO);
    /* A wants the first, B the second. */
    assert_int_equal(discord_interval(VALUES(10, 20), VALUES(2, 1), 2, 0, 0), DISCORD_YES);
    assert_int_equal(discord_interval(VALUES(20, 10), VALUES(1, 2), 2, 0, 0), DISCORD_YES);
}

static void test_ties_are_content_with_either(void **state)
{
    assert_int_equal(discord_interval(VALUES(10, 10), VALUES(2, 1), 2, 0, 0), DISCORD_NO);
    assert_int_equal(discord_interval(VALUES(20, 10), VALUES(0, 0), 2, 0, 0), DISCORD_NO);
    assert_int_equal(discord_interval(VALUES(7, 7), VALUES(7, 7), 2, 0, 0), DISCORD_NO);
    /* Of three, A has two best ones and B the third. */
    assert_int_equal(discord_interval(VALUES(1, 1, 2), VALUES(5, 4, 3), 3, 0, 0), DISCORD_YES);
    assert_int_equal(discord_interval(VALUES(1, 1, 2), VALUES(5, 3, 3), 3, 0, 0), DISCORD_NO);
}

/* The tolerance belongs to its objective, counts from the best, and includes its end. */
static void test_tolerance(void **state)
{
    const double *a = VALUES(10, 15), *b = VALUES(.5, .25);

    assert_int_equal(discord_interval(a, b, 2, 4.5, 0), DISCORD_YES);
    assert_int_equal(discord_interval(a, b, 2, 5, 0), DISCORD_NO);
    assert_int_equal(discord_interval(a, b, 2, 0, 5), DISCORD_NO);
    assert_int_equal(discord_interval(a, b, 2, 0, .125), DISCORD_YES);
    assert_int_equal(discord_interval(a, b, 2, 0, .25), DISCORD_NO);
    /* From the best and not from the next: 3 is within 2 of 1, 5 is not though it is within 2 of 3. */
    assert_int_equal(discord_interval(VALUES(1, 3, 5), VALUES(9, 9, 1), 3, 2, 0), DISCORD_YES);
    assert_int_equal(discord_interval(VALUES(1, 3, 5), VALUES(9, 9, 1), 3, 4, 0), DISCORD_NO);
}

static void test_what_is_not_known(void **state)
{
    assert_int_equal(discord_interval(VALUES(10), VALUES(1), 1, 0, 0), DISCORD_INVALID);
    assert_int_equal(discord_interval(NULL, NULL, 0, 0, 0), DISCORD_INVALID);
    assert_int_equal(discord_interval(VALUES(10, NAN), VALUES(1, 2), 2, 0, 0), DISCORD_INVALID);
    assert_int_equal(discord_interval(VALUES(10, 20), VALUES(NAN, 2), 2, 0, 0), DISCORD_INVALID);
    /* Each path lacks another value. */
    assert_int_equal(discord_interval(VALUES(NAN, 20), VALUES(1, NAN), 2, 0, 0), DISCORD_INVALID);
    /* The best of A is not known to B: it is no path to choose. */
    assert_int_equal(discord_interval(VALUES(5, 10, 20), VALUES(NAN, 1, 2), 3, 0, 0), DISCORD_NO);
    assert_int_equal(discord_interval(VALUES(5, 10, 20), VALUES(NAN, 2, 1), 3, 0, 0), DISCORD_YES);
}

static void test_ratio(void **state)
{
    struct discord_count c = { 0 };

    assert_true(isnan(discord_ratio(&c)));
    discord_add(&c, DISCORD_INVALID);
    assert_true(isnan(discord_ratio(&c)));
    discord_add(&c, DISCORD_YES);
    discord_add(&c, DISCORD_NO);
    discord_add(&c, DISCORD_INVALID);
    discord_add(&c, DISCORD_NO);
    discord_add(&c, DISCORD_NO);
    assert_int_equal(c.valid, 4);
    assert_true(discord_ratio(&c) == .25);
}

static void test_distribution(void **state)
{
    double r[] = { .5, NAN, 0, .1, 0, NAN, .1, 1, .1, 0 };
    const struct discord_step expected[] = { { 0, .375 }, { .1, .75 }, { .5, .875 }, { 1, 1 } };
    struct discord_step steps[ARRAY_LEN(r)];
    size_t n = discord_sort(r, ARRAY_LEN(r));

    assert_int_equal(n, 8);
    assert_true(fabs(discord_mean(r, n) - 1.8 / 8) < 1e-12);
    assert_true(discord_within(r, n, .1) == .75);
    assert_true(discord_within(r, n, .0999) == .375);
    assert_true(discord_within(r, n, -1) == 0 && discord_within(r, n, 1) == 1);
    assert_int_equal(discord_steps(r, n, steps), ARRAY_LEN(expected));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_true(steps[i].ratio == expected[i].ratio && steps[i].part == expected[i].part);
}

static void test_distribution_of_none_and_of_equals(void **state)
{
    double none[] = { NAN, NAN }, same[] = { .25, .25, .25 };
    struct discord_step steps[3];

    assert_int_equal(discord_sort(none, 2), 0);
    assert_true(isnan(discord_mean(none, 0)) && isnan(discord_within(none, 0, 1)));
    assert_int_equal(discord_steps(none, 0, steps), 0);
    assert_int_equal(discord_sort(same, 3), 3);
    assert_int_equal(discord_steps(same, 3, steps), 1);
    assert_true(steps[0].ratio == .25 && steps[0].part == 1);
    assert_true(discord_within(same, 3, .2) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_paths),
        cmocka_unit_test(test_ties_are_content_with_either),
        cmocka_unit_test(test_tolerance),
        cmocka_unit_test(test_what_is_not_known),
        cmocka_unit_test(test_ratio),
        cmocka_unit_test(test_distribution),
        cmocka_unit_test(test_distribution_of_none_and_of_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
