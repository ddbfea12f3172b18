/* Unit test of prog/dmuxd_links.c: what is told of links, and how often. */
#include "prog/dmuxd_links.h"
#include "tests/unit/test.h"

/* No link for 10 s is told once, and then that there is one; what comes back sooner is not. */
static void test_none_and_again(void **state)
{
    struct links_watch w = { 0 };
    instant now = SEC;

    for (; now < 11 * SEC; now += SEC)
        assert_int_equal(links_look(&w, true, 0, 0, now), LINKS_NOTHING);
    assert_int_equal(links_look(&w, true, 0, 0, now), LINKS_NONE);
    for (; now < 100 * SEC; now += SEC)
        assert_int_equal(links_look(&w, true, 0, 0, now), LINKS_NOTHING);
    assert_int_equal(links_look(&w, true, 2, 0, now), LINKS_AGAIN);
    assert_int_equal(links_look(&w, true, 2, 0, now), LINKS_NOTHING);
    for (unsigned i = 0; i < 100; i++, now += SEC) /* nine seconds without, one with */
        assert_int_equal(links_look(&w, true, i % 10 == 9, 0, now), LINKS_NOTHING);
}

/* Who is to have none misses none. */
static void test_alone(void **state)
{
    struct links_watch w = { 0 };

    for (instant now = SEC; now < 100 * SEC; now += SEC)
        assert_int_equal(links_look(&w, false, 0, 0, now), LINKS_NOTHING);
}

/* A stranger each second is told once; another one after a minute without any, again. */
static void test_strangers(void **state)
{
    struct links_watch w = { 0 };
    instant now = SEC;
    uint64_t n = 0;

    assert_int_equal(links_look(&w, true, 1, n, now), LINKS_NOTHING);
    assert_int_equal(links_look(&w, true, 1, ++n, now), LINKS_STRANGERS);
    assert_int_equal(links_look(&w, true, 1, n, now), LINKS_NOTHING);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(links_look(&w, true, 1, ++n, now += SEC), LINKS_NOTHING);
    assert_int_equal(links_look(&w, true, 1, n, now += 59 * SEC), LINKS_NOTHING);
    assert_int_equal(links_look(&w, true, 1, ++n, now), LINKS_NOTHING);
    assert_int_equal(links_look(&w, true, 1, ++n, now += 60 * SEC), LINKS_STRANGERS);
}

/* Both at once are told one after the other. */
static void test_both(void **state)
{
    struct links_watch w = { 0 };

    assert_int_equal(links_look(&w, true, 0, 0, SEC), LINKS_NOTHING);
    assert_int_equal(links_look(&w, true, 0, 1, 11 * SEC), LINKS_STRANGERS);
    assert_int_equal(links_look(&w, true, 0, 1, 11 * SEC), LINKS_NONE);
    assert_int_equal(links_look(&w, true, 0, 1, 11 * SEC), LINKS_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none_and_again),
        cmocka_unit_test(test_alone),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
