/* Unit tests of dmux/router_load.c: what is told is bounded, and with the gateway's table (dmux/registry.c), whose
 * shares follow from it and make the load, it comes to rest. */
#include "dmux/registry.h"
#include "dmux/router_load.h"
#include "tests/unit/test.h"

#define ROUTERS_MAX 4
#define CLIENTS 1000

/* Uses that share of a processor from `from` until `until`. */
static uint16_t use(struct router_load *l, span *used, double share, instant from, instant until)
{
    uint16_t told = l->told;

    for (instant now = from + SEC; now <= until; now += SEC) {
        *used += (span)(share * (double)SEC);
        told = router_load_measure(l, *used, now);
    }
    return told;
}

/* Nothing for nothing; from one busy second alone, nothing; for a whole processor, 7/8 after a minute and some, and no
 * more for four; never by more than an eighth in 10 s. Nothing again when it is over, in no less than a minute each. */
static void test_told(void **state)
{
    struct router_load l;
    span used = 7 * SEC;
    instant now = SEC;
    uint16_t before;

    router_load_init(&l, used, now);
    assert_int_equal(use(&l, &used, 0, now, 100 * SEC), 0);
    now = 100 * SEC;
    assert_int_equal(use(&l, &used, .4, now, now + SEC), 0); /* a quarter of .4 is below an eighth */
    now += SEC;
    assert_int_equal(use(&l, &used, 0, now, now + 99 * SEC), 0);
    for (now = 200 * SEC, before = 0; now < 260 * SEC; now += 10 * SEC, before = l.told) {
        use(&l, &used, 1, now, now + 10 * SEC);
        assert_in_range(l.told, before, before + ROUTER_LOAD_STEP);
    }
    assert_int_equal(use(&l, &used, 1, now, now + 20 * SEC), 7 * ROUTER_LOAD_STEP);
    assert_int_equal(use(&l, &used, 4, now + 20 * SEC, now + 200 * SEC), 7 * ROUTER_LOAD_STEP);
    for (now += 200 * SEC, before = l.told; before > 0; now += 60 * SEC, before = l.told) {
        use(&l, &used, 0, now, now + 60 * SEC);
        assert_in_range(l.told, before - ROUTER_LOAD_STEP, before);
        assert_true(now < 2000 * SEC);
    }
}

/* A process that was stopped, or whose time stands still, or goes back, is idle. */
static void test_odd_times(void **state)
{
    struct router_load l;
    span used = 0;

    router_load_init(&l, 100 * SEC, SEC);
    assert_int_equal(router_load_measure(&l, 0, 10 * SEC), 0);
    assert_int_equal(l.busy, 0);
    assert_int_equal(router_load_measure(&l, 5 * SEC, 10 * SEC), 0);
    assert_int_equal(l.busy, 0); /* no time has passed */
    used = l.used;
    assert_int_equal(use(&l, &used, 1, 10 * SEC, 100 * SEC), 7 * ROUTER_LOAD_STEP);
    router_load_measure(&l, used, 10000 * SEC);
    assert_true(l.busy < 49153); /* one measurement without anything takes a quarter */
}

/* Routers that are equally near to a gateway. */
struct loop {
    struct registry *registry; /* NULL: shares are by the document alone: as the eighths that are free */
    struct registration *m[ROUTERS_MAX];
    struct router_load load[ROUTERS_MAX];
    uint16_t told[ROUTERS_MAX];
    span used[ROUTERS_MAX];
    double capacity[ROUTERS_MAX]; /* in processors */
    double share[ROUTERS_MAX];
    size_t count;
    bool damped;
    unsigned changes; /* of what is told */
    double moved;     /* of clients: shares of all */
};

static void loop_init(struct loop *l, struct registry *registry, const double *capacity, size_t count, bool damped)
{
    *l = (struct loop){ .registry = registry, .count = count, .damped = damped };
    for (size_t i = 0; i < count; i++) {
        const struct registration claim = {
            .protocol = 6, .provider = 100, .addr = 0xcb007100 + (uint32_t)i, .port = 1, .weight = 100
        };
        uint16_t wait_s;

        l->capacity[i] = capacity[i];
        router_load_init(&l->load[i], 0, SEC);
        if (!registry)
            continue;
        assert_int_equal(registry_claim(registry, &claim, SEC, &l->m[i], &wait_s), 0);
        registry_prove(registry, l->m[i], 5 * MSEC, SEC);
    }
}

/* Clients' shares by what was told a second ago. */
static void loop_share(struct loop *l, double ret[ROUTERS_MAX], instant now)
{
    unsigned eighths = 0;

    for (size_t i = 0; i < l->count; i++) {
        ret[i] = 0;
        eighths += 8 - l->told[i] / ROUTER_LOAD_STEP;
        if (!l->registry)
            continue;
        registry_set_load(l->m[i], 100, l->told[i]);
        registry_prove(l->registry, l->m[i], 5 * MSEC, now);
    }
    if (l->registry)
        registry_on_expiry(l->registry, now);
    for (size_t i = 0; !l->registry && i < l->count; i++)
        ret[i] = (double)(8 - l->told[i] / ROUTER_LOAD_STEP) / eighths;
    for (uint32_t c = 0; l->registry && c < CLIENTS; c++) {
        const struct registration *m = registry_select(l->registry, 6, 100, c * 7919);

        for (size_t i = 0; i < l->count; i++)
            ret[i] += l->m[i] == m ? 1. / CLIENTS : 0;
    }
}

/* demand: of all clients together, in processors. */
static void loop_run(struct loop *l, double demand, instant from, instant until)
{
    for (instant now = from + SEC; now <= until; now += SEC) {
        double share[ROUTERS_MAX];

        loop_share(l, share, now);
        for (size_t i = 0; i < l->count; i++) {
            double busy = MIN(demand * share[i] / l->capacity[i], 1.);
            uint16_t was = l->told[i];

            l->moved += MAX(share[i] - l->share[i], 0.);
            l->share[i] = share[i];
            l->used[i] += (span)(busy * (double)SEC);
            l->told[i] = router_load_measure(&l->load[i], l->used[i], now);
            if (!l->damped)
                l->told[i] = (uint16_t)(busy * 65535);
            l->changes += was != l->told[i];
        }
    }
}

/* However much clients demand, and however unlike the routers are: half an hour later nothing of it moves for an hour.
 */
static void test_rests(void **state)
{
    static const struct {
        double capacity[ROUTERS_MAX];
        size_t count;
    } worlds[] = { { { 1, 1 }, 2 }, { { 1, 2 }, 2 }, { { 1, 8 }, 2 }, { { 1, 1, 1 }, 3 }, { { 1, 2, 4, 4 }, 4 } };
    struct loop l;

    for (size_t w = 0; w < ARRAY_LEN(worlds); w++) {
        double all = 0;

        for (size_t i = 0; i < worlds[w].count; i++)
            all += worlds[w].capacity[i];
        for (unsigned fiftieth = 1; fiftieth <= 60; fiftieth++) {
            loop_init(&l, NULL, worlds[w].capacity, worlds[w].count, true);
            loop_run(&l, all * fiftieth / 50, SEC, 1800 * SEC);
            l.changes = 0;
            loop_run(&l, all * fiftieth / 50, 1800 * SEC, 5400 * SEC);
            assert_int_equal(l.changes, 0);
        }
    }
}

/* The same with a gateway's own tables, of two routers of which one is half as fast; and what is undamped moves all
 * clients again and again. */
static void test_gateway_rests(void **state)
{
    const uint8_t seed[16] = { 3 };
    static const double capacity[] = { 1, 2 };
    struct loop l;

    for (unsigned damped = 0; damped < 2; damped++) {
        loop_init(&l, registry_new(100, seed), capacity, 2, damped);
        loop_run(&l, 1.8, SEC, 400 * SEC);
        l.changes = 0;
        l.moved = 0;
        loop_run(&l, 1.8, 400 * SEC, 600 * SEC);
        if (damped) {
            assert_int_equal(l.changes, 0);
            assert_true(l.moved == 0);
            assert_true(l.share[0] > 0 && l.share[0] < l.share[1]);
        } else {
            assert_true(l.moved > 2);
        }
        registry_free(l.registry);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told),
        cmocka_unit_test(test_odd_times),
        cmocka_unit_test(test_rests),
        cmocka_unit_test(test_gateway_rests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
