/* Unit tests of src/base/ranges.c: against a set of bits. */
#include "base/ranges.h"
#include "base/rng.h"
#include "tests/unit/test.h"

#include <errno.h>

#define SPACE 300

static void check(const struct ranges *r, const bool *bits)
{
    uint64_t sum = 0;
    size_t i = 0;

    for (size_t k = 0; k < r->count; k++) {
        assert_true(r->items[k].from < r->items[k].to);
        assert_true(k == 0 || r->items[k - 1].to < r->items[k].from); /* apart */
    }
    for (uint64_t x = 0; x < SPACE; x++) {
        while (i < r->count && r->items[i].to <= x)
            i++;
        assert_int_equal(ranges_find(r, x), i);
        assert_int_equal(i < r->count && r->items[i].from <= x, bits[x]);
        sum += bits[x];
    }
    assert_int_equal(r->sum, sum);
}

static void test_against_bits(void **state)
{
    struct prng p;
    struct rng g;

    prng_init(&p, 7);
    g = prng_rng(&p);
    for (int run = 0; run < 200; run++) {
        struct ranges r = { 0 };
        bool bits[SPACE] = { false };

        for (int step = 0; step < 60; step++) {
            uint64_t from = rng_u64(&g) % SPACE, to = from + rng_u64(&g) % 40;

            to = MIN(to, (uint64_t)SPACE);
            switch (rng_u64(&g) % 4) {
            case 0:
                assert_int_equal(ranges_remove(&r, from, to), 0);
                memset(bits + from, false, to - from);
                break;
            case 1:
                if (step % 10 > 0)
                    continue;
                ranges_remove_below(&r, from);
                memset(bits, false, from);
                break;
            default:
                assert_int_equal(ranges_add(&r, from, to), 0);
                memset(bits + from, true, to - from);
            }
            check(&r, bits);
        }
        ranges_deinit(&r);
    }
}

static void test_limit(void **state)
{
    struct ranges r = { 0 };

    for (uint64_t i = 0; i < RANGES_MAX; i++)
        assert_int_equal(ranges_add(&r, 10 * i, 10 * i + 3), 0);
    assert_int_equal(ranges_add(&r, 5, 6), -ENOSPC);
    assert_int_equal(ranges_remove(&r, 11, 12), -ENOSPC); /* it would fall into two */
    assert_int_equal(r.count, RANGES_MAX);
    assert_int_equal(r.sum, 3 * RANGES_MAX);
    assert_int_equal(ranges_add(&r, 3, 10), 0); /* joins two */
    assert_int_equal(r.count, RANGES_MAX - 1);
    assert_int_equal(r.items[0].from, 0);
    assert_int_equal(r.items[0].to, 13);
    ranges_deinit(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_against_bits), cmocka_unit_test(test_limit) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
