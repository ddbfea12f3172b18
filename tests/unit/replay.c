/* Unit tests of src/session/replay: edges by hand, then random counters against a set of everything ever seen. */
#include "session/replay.h"
#include "base/rng.h"
#include "tests/unit/test.h"

static void test_edges(void **state)
{
    struct replay_record w;
    struct replay *r = &w.window;

    memset(&w, 0xff, sizeof(w));
    replay_record_init(&w);
    assert_true(replay_check(r, 0));
    assert_true(replay_check_and_set(r, 0));
    assert_false(replay_check(r, 0));
    assert_false(replay_check_and_set(r, 0));
    assert_true(replay_check_and_set(r, 9));
    assert_true(replay_check_and_set(r, 8));
    assert_false(replay_check_and_set(r, 8));
    /* 8192 - 64 = 8128: the oldest that the highest leaves in the window is highest - 8128. */
    assert_true(replay_check_and_set(r, 8129));
    assert_true(replay_check_and_set(r, 1));
    assert_false(replay_check_and_set(r, 1));
    assert_false(replay_check_and_set(r, 0));
    assert_true(replay_check_and_set(r, 8131));
    assert_false(replay_check_and_set(r, 2));
    assert_true(replay_check_and_set(r, 3));
    assert_false(replay_check_and_set(r, 9));
    assert_true(replay_check_and_set(r, 8130));
    /* Exactly one turn of the ring, and far more than one: what the old bits said is forgotten. */
    assert_true(replay_check_and_set(r, 8131 + 8192));
    assert_false(replay_check_and_set(r, 8131));
    assert_true(replay_check_and_set(r, 8131 + 8192 - 8128));
    assert_true(replay_check_and_set(r, UINT64_MAX - 1));
    assert_false(replay_check(r, UINT64_MAX));
    assert_false(replay_check_and_set(r, UINT64_MAX));
    assert_true(replay_check_and_set(r, UINT64_MAX - 1 - 8128));
    assert_false(replay_check_and_set(r, UINT64_MAX - 2 - 8128));
    assert_false(replay_check_and_set(r, UINT64_MAX - 1));
}

static void test_copy_is_a_value(void **state)
{
    struct replay_record a, b;

    replay_record_init(&a);
    assert_true(replay_check_and_set(&a.window, 5));
    b = a;
    assert_true(replay_check_and_set(&b.window, 6));
    assert_false(replay_check_and_set(&b.window, 5));
    assert_true(replay_check_and_set(&a.window, 6));
}

enum { RANGE = 1 << 21 };

static void compare_with_set(struct replay *r, uint64_t bits, uint64_t base, uint64_t seed)
{
    bool *seen = calloc(RANGE, sizeof(*seen));
    uint64_t highest = 0, accepted = 0, refused = 0;
    bool any = false;
    struct prng p;

    assert_non_null(seen);
    prng_init(&p, seed);
    for (int step = 0; step < 200000; step++) {
        uint64_t kind = prng_below(&p, 100), at, back = 0;
        bool want;

        if (kind < 55)
            at = highest + 1 + prng_below(&p, 4);
        else if (kind < 56)
            at = highest + prng_below(&p, 1000);
        else if (kind < 90)
            back = prng_below(&p, 200);
        else
            back = bits - 128 + prng_below(&p, 128);
        if (kind >= 56)
            at = highest - MIN(highest, back);
        if (step == 100000) /* beyond the whole window at once */
            at = highest + 2 * bits;
        assert_true(at < RANGE);
        want = !any || at > highest || (!seen[at] && highest - at <= bits - 64);
        assert_int_equal(replay_check(r, base + at), want);
        assert_int_equal(replay_check_and_set(r, base + at), want);
        if (want) {
            seen[at] = any = true;
            highest = MAX(highest, at);
        }
        accepted += want;
        refused += !want;
    }
    assert_true(accepted > 10000);
    assert_true(refused > 10000);
    free(seen);
}

static void test_against_set(void **state)
{
    struct replay_record record;
    struct replay_seq *seq = malloc(sizeof(*seq));

    assert_non_null(seq);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        replay_record_init(&record);
        compare_with_set(&record.window, 8192, 0, seed);
        replay_record_init(&record);
        compare_with_set(&record.window, 8192, UINT64_MAX - RANGE, seed);
        replay_seq_init(seq);
        compare_with_set(&seq->window, 65536, ((uint64_t)1 << 32) - 1000, seed);
    }
    free(seq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_copy_is_a_value),
        cmocka_unit_test(test_against_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
