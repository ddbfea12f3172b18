/* Unit tests of src/dmux/coord.*: what holds of every embedding, over worlds that are known. */
#include "dmux/coord.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define NODES 60
#define NEIGHBOURS 8
#define ROUNDS 1200

/* Nodes in a square of 100 ms, each behind an access link of 1 to 10 ms. */
struct world {
    double x[NODES], y[NODES], access[NODES];
    struct coord coord[NODES];
    struct prng prng;
    struct rng rng;
};

static uint32_t truth(const struct world *w, size_t a, size_t b)
{
    return (uint32_t)(hypot(w->x[a] - w->x[b], w->y[a] - w->y[b]) + w->access[a] + w->access[b]);
}

static void world_init(struct world *w, uint64_t seed)
{
    prng_init(&w->prng, seed);
    w->rng = prng_rng(&w->prng);
    for (size_t i = 0; i < NODES; i++) {
        w->x[i] = prng_unit(&w->prng) * 1e5;
        w->y[i] = prng_unit(&w->prng) * 1e5;
        w->access[i] = 1e3 + prng_unit(&w->prng) * 9e3;
        coord_init(&w->coord[i]);
    }
}

/* Each asks the same few others. Of those below `liars` the answers are what they please, and they never move. */
static void settle(struct world *w, size_t liars)
{
    const struct coord lie = { .at_us = { 1.9e6, -1.9e6, 1.9e6 }, .height_us = 1e3, .error = 0 };

    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = liars; i < NODES; i++) {
            size_t j = (i + 1 + (round % NEIGHBOURS) * (round % NEIGHBOURS)) % NODES;

            assert_int_equal(coord_on_sample(&w->coord[i], j < liars ? &lie : &w->coord[j], truth(w, i, j), &w->rng),
                             0);
            assert_true(coord_sound(&w->coord[i]));
        }
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_error(const struct world *w, size_t from)
{
    static double errors[NODES * NODES];
    size_t n = 0;

    for (size_t i = from; i < NODES; i++) {
        for (size_t j = from; j < i; j++)
            errors[n++] = fabs(1. * coord_estimate_us(&w->coord[i], &w->coord[j]) - truth(w, i, j)) / truth(w, i, j);
    }
    qsort(errors, n, sizeof(errors[0]), by_size);
    return errors[n / 2];
}

static void test_converges(void **state)
{
    struct world w;

    for (uint64_t seed = 1; seed <= 5; seed++) {
        world_init(&w, seed);
        assert_true(median_error(&w, 0) > .9); /* at the beginning all are at one place */
        settle(&w, 0);
        assert_true(median_error(&w, 0) < .08);
    }
}

/* One of 60 lies as far away as can be, to all: what they know of each other stays. */
static void test_liars(void **state)
{
    struct world w;
    double sum = 0;

    for (uint64_t seed = 1; seed <= 5; seed++) {
        world_init(&w, seed);
        settle(&w, 1);
        sum += median_error(&w, 1);
    }
    assert_true(sum / 5 < .07);
}

static void test_step(void **state)
{
    const struct coord lie = { .at_us = { -COORD_REACH_US, COORD_REACH_US, COORD_REACH_US },
                               .height_us = COORD_REACH_US };
    struct coord c, before;
    struct prng p;
    struct rng rng;

    prng_init(&p, 1);
    rng = prng_rng(&p);
    coord_init(&c);
    for (size_t i = 0; i < 1000; i++) {
        double moved = 0;

        before = c;
        assert_int_equal(coord_on_sample(&c, &lie, i % 2 ? 1 : COORD_RTT_MAX_US, &rng), 0);
        for (size_t d = 0; d < COORD_DIMENSIONS; d++)
            moved += (c.at_us[d] - before.at_us[d]) * (c.at_us[d] - before.at_us[d]);
        assert_true(sqrt(moved) + fabs(c.height_us - before.height_us) <= COORD_STEP_MAX_US + 1);
        assert_true(coord_sound(&c));
    }
}

static void test_refuses(void **state)
{
    static const struct coord bad[] = {
        { .at_us = { NAN }, .height_us = 100 },
        { .at_us = { 0, INFINITY }, .height_us = 100 },
        { .at_us = { 0, 0, -COORD_REACH_US - 1 }, .height_us = 100 },
        { .height_us = 0 },
        { .height_us = NAN },
        { .height_us = COORD_REACH_US + 1 },
        { .height_us = 100, .error = -.1 },
        { .height_us = 100, .error = NAN },
        { .height_us = 100, .error = COORD_ERROR_MAX + .1 },
    };
    struct coord c, before, peer;
    struct prng p;
    struct rng rng;

    prng_init(&p, 1);
    rng = prng_rng(&p);
    coord_init(&c);
    coord_init(&peer);
    before = c;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(coord_on_sample(&c, &bad[i], 1000, &rng), -EINVAL);
    assert_int_equal(coord_on_sample(&c, &peer, 0, &rng), -ERANGE);
    assert_int_equal(coord_on_sample(&c, &peer, COORD_RTT_MAX_US + 1, &rng), -ERANGE);
    assert_memory_equal(&c, &before, sizeof(c));
    assert_int_equal(coord_on_sample(&c, &peer, COORD_RTT_MAX_US, &rng), 0);
    assert_memory_not_equal(&c, &before, sizeof(c));
}

static void test_told(void **state)
{
    const struct coord c = { .at_us = { -1500000, 7, 0 }, .height_us = 4000, .error = .25 };
    const struct mesh_coord m = coord_told(&c), nowhere[] = {
        { .at_us = { INT32_MIN }, .height_us = 4000 },
        { .at_us = { 0, 0, INT32_MAX }, .height_us = 4000 },
        { .height_us = UINT32_MAX },
        { .height_us = 0 },
        { .height_us = 4000, .error_permille = UINT16_MAX },
    };
    struct coord heard;

    assert_int_equal(coord_heard(&m, &heard), 0);
    assert_memory_equal(&heard, &c, sizeof(c));
    for (size_t i = 0; i < ARRAY_LEN(nowhere); i++)
        assert_int_equal(coord_heard(&nowhere[i], &heard), -EINVAL);
    assert_memory_equal(&heard, &c, sizeof(c));
}

/* Two that begin at one place come apart to their distance, at first by their places alone, and the surer one moves
 * less. */
static void test_two(void **state)
{
    struct coord a, b, sure;
    struct prng p;
    struct rng rng;

    prng_init(&p, 7);
    rng = prng_rng(&p);
    coord_init(&a);
    coord_init(&b);
    assert_int_equal(coord_on_sample(&a, &b, 40000, &rng), 0);
    assert_true(a.height_us == COORD_HEIGHT_MIN_US && fabs(a.at_us[0]) + fabs(a.at_us[1]) + fabs(a.at_us[2]) > 1000);
    for (size_t i = 0; i < 100; i++) {
        assert_int_equal(coord_on_sample(&a, &b, 40000, &rng), 0);
        assert_int_equal(coord_on_sample(&b, &a, 40000, &rng), 0);
    }
    assert_in_range(coord_estimate_us(&a, &b), 39000, 41000);
    assert_int_equal(coord_estimate_us(&a, &b), coord_estimate_us(&b, &a));
    sure = a;
    b = a;
    coord_init(&a);
    assert_true(a.error > sure.error);
    assert_int_equal(coord_on_sample(&b, &a, 90000, &rng), 0);
    assert_int_equal(coord_on_sample(&a, &sure, 90000, &rng), 0);
    assert_true(fabs(b.at_us[0] - sure.at_us[0]) + fabs(b.at_us[1] - sure.at_us[1]) <
                fabs(a.at_us[0]) + fabs(a.at_us[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_converges), cmocka_unit_test(test_liars), cmocka_unit_test(test_step),
        cmocka_unit_test(test_refuses),   cmocka_unit_test(test_told),  cmocka_unit_test(test_two),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
