/* Unit tests of src/base/bytes: against an array that has every place. */
#include "base/bytes.h"

#include "base/rng.h"
#include "tests/unit/test.h"

static void test_round_down(void **state)
{
    assert_int_equal(bytes_round_down(1), 1);
    assert_int_equal(bytes_round_down(65535), 32768);
    assert_int_equal(bytes_round_down(65536), 65536);
    assert_int_equal(bytes_round_down(SIZE_MAX), SIZE_MAX / 2 + 1);
}

static void check(const struct bytes *b, const uint8_t *all, uint64_t from, uint64_t to, uint64_t base)
{
    static uint8_t out[65536];
    struct slice s[2];
    size_t n = bytes_slices(b, base + from, (size_t)(to - from), s), at = 0;

    bytes_get(b, base + from, out, (size_t)(to - from));
    assert_memory_equal(out, all + from, to - from);
    assert_true(n <= 2 && (n > 0 || from == to));
    for (size_t i = 0; i < n; i++) {
        assert_memory_equal(s[i].data, all + from + at, s[i].len);
        at += s[i].len;
    }
    assert_int_equal(at, to - from);
}

/* A window of random width moves over a megabyte; places begin where a ring is in the middle of its turn. */
static void test_window(void **state)
{
    enum { ALL = 1 << 20 };
    const uint64_t base = (UINT64_C(1) << 33) + 12345;
    static uint8_t all[ALL];
    struct bytes b = { .capacity_max = 65536 };
    struct prng p;
    uint64_t from = 0, to = 0;

    prng_init(&p, 1);
    for (size_t i = 0; i < ALL; i++)
        all[i] = (uint8_t)prng_u64(&p);
    while (to < ALL) {
        uint64_t n = prng_below(&p, MIN(65536 - (to - from), ALL - to) + 1);

        if (n > 0) {
            assert_int_equal(bytes_hold(&b, base + from, base + to, base + to + n), 0);
            bytes_put(&b, base + to, all + to, (size_t)n);
            to += n;
        }
        assert_true(b.capacity <= 65536 && b.capacity >= BYTES_MIN);
        check(&b, all, from, to, base);
        from += prng_below(&p, to - from + 1);
        if (prng_below(&p, 10) == 0 && from == to)
            bytes_let_go(&b);
    }
    bytes_let_go(&b);
    assert_null(b.data);
    assert_int_equal(b.capacity, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_down),
        cmocka_unit_test(test_window),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
