/* Unit tests of src/base/heap.c: against a search through all. */
#include "base/heap.h"
#include "base/rng.h"
#include "tests/unit/test.h"

#define ITEMS 100

static void check(const struct heap *h, const struct heap_item *items)
{
    instant least = INSTANT_NEVER;
    size_t count = 0;

    for (size_t i = 0; i < ITEMS; i++) {
        least = instant_min(least, items[i].at);
        count += items[i].at != INSTANT_NEVER;
        assert_int_equal(items[i].pos > 0, items[i].at != INSTANT_NEVER);
        assert_true(items[i].pos == 0 || h->items[items[i].pos - 1] == &items[i]);
    }
    assert_int_equal(h->count, count);
    assert_int_equal(heap_first(h) ? heap_first(h)->at : INSTANT_NEVER, least);
}

static void test_against_a_search(void **state)
{
    struct heap_item items[ITEMS];
    struct heap h = { 0 };
    struct prng p;
    struct rng g;

    prng_init(&p, 3);
    g = prng_rng(&p);
    assert_null(heap_first(&h));
    assert_int_equal(heap_reserve(&h, ITEMS), 0);
    for (size_t i = 0; i < ITEMS; i++)
        items[i] = (struct heap_item){ .at = INSTANT_NEVER };
    for (int step = 0; step < 20000; step++) {
        /* Few times, so that many are equal; more often out than in for a while, then the other way round. */
        bool out = rng_u64(&g) % 10 < (step / 1000 % 2 ? 7 : 3);

        heap_set(&h, &items[rng_u64(&g) % ITEMS], out ? INSTANT_NEVER : (instant)(rng_u64(&g) % 50));
        check(&h, items);
    }
    heap_deinit(&h);
}

/* What was taken out one by one came in order. */
static void test_order(void **state)
{
    struct heap_item items[ITEMS] = { 0 };
    struct heap h = { 0 };
    instant before = 0;

    for (unsigned i = 0; i < ITEMS; i++) {
        assert_int_equal(heap_reserve(&h, i + 1), 0);
        heap_set(&h, &items[i], i * 37 % ITEMS);
    }
    for (unsigned i = 0; i < ITEMS; i++) {
        struct heap_item *first = heap_first(&h);

        assert_int_equal(first->at, i);
        assert_true(first->at >= before);
        before = first->at;
        heap_set(&h, first, INSTANT_NEVER);
    }
    assert_null(heap_first(&h));
    heap_deinit(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_search),
        cmocka_unit_test(test_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
