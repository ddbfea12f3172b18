/* Unit tests of mapping/wheel.h: against a list that is searched. */
#include "mapping/wheel.h"
#include "base/base.h"
#include "base/rng.h"
#include "tests/unit/test.h"

#define TIMERS 200
#define START 5000000 /* no whole second of any clock */

static struct wheel_link links[TIMERS];
static instant due[TIMERS]; /* the model: INSTANT_NEVER when it does not run */

static struct wheel_link *link_of(void *owner, uint32_t timer)
{
    return &links[timer];
}

/* All that the wheel gives out by `now`: each is due, in the second that has passed, and none is left behind. */
static unsigned pop_all(struct wheel *w, instant now)
{
    unsigned popped = 0;
    uint32_t timer, budget = UINT32_MAX;

    while ((timer = wheel_pop(w, now, &budget)) != WHEEL_NONE) {
        assert_true(due[timer] <= now);
        due[timer] = INSTANT_NEVER;
        popped++;
    }
    for (int i = 0; i < TIMERS; i++)
        if (due[i] != INSTANT_NEVER)
            assert_true(now < START || due[i] > START + (now - START) / SEC * SEC - SEC);
    return popped;
}

static void init(struct wheel *w)
{
    wheel_init(w, START, link_of, NULL);
    for (int i = 0; i < TIMERS; i++) {
        wheel_link_init(&links[i]);
        due[i] = INSTANT_NEVER;
    }
}

/* Spans around each turn of each level, by hand. */
static void test_turns(void **state)
{
    static const int64_t seconds[] = { 0,        1,        2,        254,      255,   256,   257,
                                       511,      512,      65534,    65535,    65536, 65537, 131072,
                                       16777215, 16777216, 16777217, 33554432, 604800 };
    static struct wheel w;

    for (size_t offset = 0; offset < ARRAY_LEN(seconds); offset++) {
        for (size_t i = 0; i < ARRAY_LEN(seconds); i++) {
            instant now, at;

            init(&w);
            now = START + seconds[offset] * SEC;
            pop_all(&w, now);
            at = now + seconds[i] * SEC;
            due[0] = at;
            wheel_start(&w, 0, at);
            assert_true(wheel_next(&w) <= at);
            if (seconds[i] > 0)
                assert_int_equal(pop_all(&w, at - 1), 0);
            assert_int_equal(pop_all(&w, at), 1);
            assert_int_equal(wheel_next(&w), INSTANT_NEVER);
        }
    }
}

/* Random starts, stops and steps of time; the wheel is asked when it says, and at other times. */
static void test_model(void **state)
{
    static struct wheel w;
    struct prng p;
    instant now = START;
    unsigned popped = 0;

    prng_init(&p, 1);
    init(&w);
    for (int step = 0; step < 200000; step++) {
        uint32_t timer = (uint32_t)prng_below(&p, TIMERS);

        switch (prng_below(&p, 4)) {
        case 0:
        case 1:
            due[timer] = now + (instant)prng_below(&p, 1ull << (20 + prng_below(&p, 20)));
            wheel_start(&w, timer, due[timer]);
            break;
        case 2:
            due[timer] = INSTANT_NEVER;
            wheel_stop(&w, timer);
            break;
        default:
            if (prng_below(&p, 2)) {
                instant next = wheel_next(&w);

                if (next != INSTANT_NEVER)
                    now = MAX(now, next);
            } else {
                now += (instant)prng_below(&p, 1ull << prng_below(&p, 32));
            }
            popped += pop_all(&w, now);
            break;
        }
    }
    assert_true(popped > 10000);
}

/* A budget is kept, and what is left comes with the next one. */
static void test_budget(void **state)
{
    static struct wheel w;
    unsigned popped = 0, calls = 0;

    init(&w);
    for (uint32_t i = 0; i < TIMERS; i++) {
        due[i] = START + 300 * SEC;
        wheel_start(&w, i, due[i]);
    }
    for (; popped < TIMERS && calls < 1000; calls++) {
        uint32_t budget = 10, n = 0;

        assert_true(wheel_next(&w) <= START + 300 * SEC);
        while (wheel_pop(&w, START + 300 * SEC, &budget) != WHEEL_NONE)
            n++;
        assert_true(n <= 10);
        popped += n;
    }
    assert_int_equal(popped, TIMERS);
    assert_int_equal(wheel_next(&w), INSTANT_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests_name("wheel", tests, NULL, NULL);
}
