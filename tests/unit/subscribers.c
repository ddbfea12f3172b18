/* Unit tests of mapping/subscribers.h: what one peer may have, and what waits for peers to answer. */
#include "mapping/subscribers.h"
#include "mapping/manager.h"
#include "tests/unit/test.h"

#include <errno.h>

#define PEER 77u
#define T0 (1000 * SEC)

static struct prng prng;
static struct subscribers *s;
static uint8_t keys[2][IDENT_KEY_LEN] = { { 1 }, { 2 } };

static int set_up(void **state)
{
    struct rng rng;

    prng_init(&prng, 7);
    rng = prng_rng(&prng);
    s = subscribers_new(200, &rng);
    return s ? 0 : -1;
}

static int tear_down(void **state)
{
    subscribers_free(s);
    return 0;
}

static struct tag tag_of(uint32_t n)
{
    struct tag t = { { 0x20, 0x01, 0, 0x3f } };

    put_be32(t.bytes + 12, n);
    return t;
}

static int put(uint64_t peer, const uint8_t *key, uint32_t n, instant now, instant until, struct subscription **ret)
{
    struct tag t = tag_of(n);
    struct tag_prefix p = tag_prefix_of(&t, 128);
    struct subscription *sub = NULL;
    int e = subscribers_put(s, peer, key, &p, now, &sub);

    if (e == 0)
        sub->until = until;
    if (ret)
        *ret = sub;
    return e;
}

static bool may(void *ctx, const struct subscription *sub)
{
    return true;
}

static void touch(uint32_t n, uint64_t number, instant now)
{
    struct tag t = tag_of(n);

    subscribers_touch(s, &t, number, PACE_MOBILE, now, may, NULL);
}

static void test_bound_of_a_peer(void **state)
{
    for (uint32_t i = 0; i < SUBSCRIPTIONS_PEER_MAX; i++)
        assert_int_equal(put(PEER, keys[0], i, T0, T0 + (i < 2 ? 1 : 100) * SEC, NULL), 0);
    assert_int_equal(put(PEER, keys[0], 1000, T0, T0 + 100 * SEC, NULL), -EDQUOT);
    assert_int_equal(put(PEER, keys[0], 5, T0, T0 + 100 * SEC, NULL), 0); /* which it has */
    assert_int_equal(put(PEER + 1, keys[1], 1000, T0, T0 + 100 * SEC, NULL), 0);
    /* Of what is quiet nobody asks when its lease is over, but who wants its place. */
    assert_int_equal(put(PEER, keys[0], 1000, T0 + 2 * SEC, T0 + 100 * SEC, NULL), 0);
    assert_int_equal(subscribers_count(s), SUBSCRIPTIONS_PEER_MAX);
    /* All of a peer's may be over. */
    assert_int_equal(put(PEER, keys[0], 1001, T0 + 2 * SEC, T0 + 100 * SEC, NULL), 0);
    assert_int_equal(put(PEER, keys[0], 1002, T0 + 200 * SEC, T0 + 300 * SEC, NULL), 0);
    assert_int_equal(subscribers_count(s), 2);
    subscribers_forget_all(s);
    assert_int_equal(subscribers_count(s), 0);
}

static void test_full(void **state)
{
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(put(PEER + i, keys[0], i, T0, T0 + 10 * SEC, NULL), 0);
    assert_int_equal(put(PEER + 200, keys[0], 1, T0, T0 + 100 * SEC, NULL), -ENOSPC);
    assert_int_equal(put(PEER + 200, keys[0], 1, T0 + 10 * SEC, T0 + 100 * SEC, NULL), 0);
    assert_int_equal(subscribers_count(s), 1);
}

/* A number that another key comes under: nothing of the one before it is his. */
static void test_other_key(void **state)
{
    struct subscription *a, *b;
    uint64_t id;

    assert_int_equal(put(PEER, keys[0], 1, T0, T0 + 100 * SEC, &a), 0);
    a->pending = 9;
    id = a->id;
    assert_int_equal(put(PEER, keys[1], 1, T0, T0 + 100 * SEC, &b), 0);
    assert_true(b->id != id);
    assert_null(subscribers_by_id(s, id));
    assert_memory_equal(b->key, keys[1], IDENT_KEY_LEN);
    assert_int_equal(b->pending, 0);
    assert_int_equal(subscribers_count(s), 1);
}

/* So many notices are under way to a peer; the others wait for its answers, and other peers do not. */
static void test_notices_of_a_peer(void **state)
{
    struct subscription *under_way[NOTICES_PEER_MAX], *sub, *next;

    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(put(PEER, keys[0], i, T0, T0 + 100 * SEC, NULL), 0);
        touch(i, i + 2, T0);
    }
    for (size_t i = 0; i < NOTICES_PEER_MAX; i++) {
        under_way[i] = subscribers_pop_due(s, T0);
        assert_non_null(under_way[i]);
        subscribers_telling(s, under_way[i], 100, 1000);
    }
    assert_null(subscribers_pop_due(s, T0));
    assert_int_equal(subscribers_next_due(s), INSTANT_NEVER);
    touch(9, 50, T0);
    assert_null(subscribers_pop_due(s, T0));
    assert_int_equal(put(PEER + 1, keys[1], 0, T0, T0 + 100 * SEC, &sub), 0);
    touch(0, 51, T0);
    next = subscribers_pop_due(s, T0);
    assert_ptr_equal(next, sub);
    subscribers_telling(s, next, 100, 1000);
    /* An answer, and one that goes without: a place each. */
    under_way[0]->pending = 0;
    assert_true(subscribers_told(s, under_way[0], true, T0));
    next = subscribers_pop_due(s, T0);
    assert_non_null(next);
    assert_int_equal(next->peer, PEER);
    subscribers_telling(s, next, 100, 1000);
    assert_null(subscribers_pop_due(s, T0));
    subscribers_remove(s, under_way[1]);
    assert_non_null(subscribers_pop_due(s, T0));
    subscribers_forget_peer(s, PEER);
    assert_int_equal(subscribers_count(s), 1);
}

static void test_notices_of_all(void **state)
{
    struct subscription *first, *second;

    assert_int_equal(put(PEER, keys[0], 0, T0, T0 + 100 * SEC, NULL), 0);
    assert_int_equal(put(PEER + 1, keys[0], 1, T0, T0 + 100 * SEC, NULL), 0);
    touch(0, 2, T0);
    touch(1, 3, T0);
    first = subscribers_pop_due(s, T0);
    subscribers_telling(s, first, 2, NOTICES_BYTES_MAX);
    assert_null(subscribers_pop_due(s, T0));
    assert_int_equal(subscribers_next_due(s), INSTANT_NEVER);
    subscribers_forget_peer(s, PEER);
    assert_int_equal(subscribers_next_due(s), T0);
    second = subscribers_pop_due(s, T0);
    assert_int_equal(second->peer, PEER + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bound_of_a_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_notices_of_a_peer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_notices_of_all, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("subscribers", tests, NULL, NULL);
}
