/* Unit tests of src/dmux without its machines: slots, cookies, limits, the registry. */
#include "dmux/jar.h"
#include "dmux/limits.h"
#include "dmux/registry.h"
#include "tests/unit/test.h"

static const uint8_t seed[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

/* --- slots --- */

static void members_make(struct slot_member *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        m[i] = (struct slot_member){ .id = hash_mix64(1000 + i), .weight = 1 };
}

/* A member that goes leaves its own slots only; who comes takes slots and moves none between the others. */
static void test_slots_move(void **state)
{
    struct slot_member m[10];
    uint8_t before[SLOTS_COUNT], after[SLOTS_COUNT];

    for (uint64_t group = 0; group < 50; group++) {
        size_t gone = group % 10;
        struct slot_member left[9];

        members_make(m, 10);
        slots_fill(group, m, 10, before);
        memcpy(left, m, gone * sizeof(*m));
        memcpy(left + gone, m + gone + 1, (9 - gone) * sizeof(*m));
        slots_fill(group, left, 9, after);
        for (unsigned s = 0; s < SLOTS_COUNT; s++) {
            if (before[s] != gone)
                assert_true(m[before[s]].id == left[after[s]].id);
        }
    }
}

/* Shares are as the weights: 3 of 4 of the slots, over 200 groups within 5 standard deviations (binomial, n = 50,200).
 */
static void test_slots_weights(void **state)
{
    const struct slot_member m[2] = { { hash_mix64(1), 3 }, { hash_mix64(2), 1 } };
    uint8_t out[SLOTS_COUNT];
    unsigned heavy = 0;

    for (uint64_t group = 0; group < 200; group++) {
        slots_fill(hash_mix64(group), m, 2, out);
        for (unsigned s = 0; s < SLOTS_COUNT; s++)
            heavy += out[s] == 0;
    }
    assert_in_range(heavy, 37650 - 485, 37650 + 485); /* sqrt(50200 * .75 * .25) = 97 */
}

/* --- cookies --- */

static void test_jar(void **state)
{
    const uint8_t secret[32] = { 42 };
    struct jar here, there;
    struct shim_claim c = { .kind = SHIM_COOKIE_CLIENT, .client = 0xc0000207, .client_port = 7 }, other;
    uint8_t cookie[SHIM_COOKIE_LEN];

    jar_init(&here, secret, 4096 * 500 - 10); /* ten seconds before a new epoch */
    jar_init(&there, secret, 4096 * 500 - 10 + 20);
    jar_mint(&here, &c, cookie);
    assert_true(jar_check(&here, &c, cookie, 120));
    assert_true(jar_check(&there, &c, cookie, 120));
    jar_mint(&there, &c, cookie); /* from a clock that is 20 s ahead, and in the next epoch */
    assert_true(jar_check(&here, &c, cookie, 120));
    jar_set_time(&there, 4096 * 500 + 10 + 121);
    assert_false(jar_check(&there, &c, cookie, 120));
    jar_set_time(&there, 4096 * 500 + 10 - 31);
    assert_false(jar_check(&there, &c, cookie, 120));
    jar_set_time(&there, 4096 * 500 + 10);
    assert_true(jar_check(&there, &c, cookie, 120));
    other = c, other.client_port = 8;
    assert_false(jar_check(&there, &other, cookie, 120));
    other = c, other.client++;
    assert_false(jar_check(&there, &other, cookie, 120));
    other = c, other.kind = SHIM_COOKIE_VERIFIED;
    assert_false(jar_check(&there, &other, cookie, 120));
    for (unsigned i = 0; i < SHIM_COOKIE_LEN; i++) {
        cookie[i] ^= 1;
        assert_false(jar_check(&there, &c, cookie, 120));
        cookie[i] ^= 1;
    }
}

/* --- limits --- */

static void test_limits(void **state)
{
    struct limits *l = limits_new(10, seed);
    instant now = SEC;
    unsigned passed = 0;

    /* a /24's bucket, whoever of it sends; a second refills it */
    for (unsigned i = 0; i < 300; i++)
        passed += limits_unverified(l, 0xc0000200 + i % 256, 50, now);
    assert_int_equal(passed, LIMITS_UNVERIFIED_PPS);
    assert_true(limits_unverified(l, 0xc0000301, 50, now)); /* another one is not touched */
    now += SEC;
    assert_true(limits_unverified(l, 0xc0000201, 50, now));
    /* three bytes for each that came: 50 now, 50 before */
    assert_true(limits_answer(l, 0xc0000201, 300, now));
    assert_false(limits_answer(l, 0xc0000201, 1, now));
    assert_false(limits_answer(l, 0xc0000aff, 1, now)); /* never seen */
    assert_true(limits_answer(l, 0xc0000301, 150, now));
    assert_true(limits_unverified(l, 0xc0000302, 50, now));
    assert_false(limits_answer(l, 0xc0000302, 150, now + 11 * SEC)); /* too late */
    passed = 0;
    for (unsigned i = 0; i < 30; i++)
        passed += limits_verified(l, 0xc6336400 + i, now);
    assert_int_equal(passed, 10);
    /* whoever has many networks has one bucket with all other strangers */
    passed = 0;
    for (uint32_t i = 0; i < 30000; i++)
        passed += limits_unverified(l, 0x0a000000 + (i << 8), 50, now + 10 * SEC);
    assert_int_equal(passed, LIMITS_UNVERIFIED_ALL_PPS);
    limits_free(l);
}

/* --- registry --- */

static struct registration *claim(struct registry *r, uint32_t provider, uint32_t addr, instant now)
{
    const struct registration c = { .protocol = 6, .provider = provider, .addr = addr, .port = 1, .weight = 100 };
    struct registration *m = NULL;
    uint16_t wait;

    assert_int_equal(registry_claim(r, &c, now, &m, &wait), 0);
    return m;
}

static struct registration *add(struct registry *r, uint32_t provider, uint32_t addr, span rtt, instant now)
{
    struct registration *m = claim(r, provider, addr, now);

    registry_prove(r, m, rtt, now);
    return m;
}

/* As its owner does: at each expiry. */
static void run_until(struct registry *r, instant end)
{
    instant next;

    while ((next = registry_next_expiry(r)) <= end)
        registry_on_expiry(r, MAX(next, SEC));
    registry_on_expiry(r, end);
}

/* Nothing goes to who has not proved itself, nor to who does so no longer. */
static void test_registry_proof(void **state)
{
    struct registry *r = registry_new(100, seed);
    instant now = SEC;
    struct registration *m = claim(r, 100, 1, now);

    assert_null(registry_select(r, 6, 100, 7));
    registry_prove(r, m, 5 * MSEC, now);
    assert_ptr_equal(registry_select(r, 6, 100, 7), m);
    assert_ptr_equal(registry_select(r, 6, PROVIDER_ANY, 7), m);
    assert_null(registry_select(r, 6, 101, 7));
    assert_null(registry_select(r, 4, PROVIDER_ANY, 7));
    assert_true(registry_next_expiry(r) <= now + 3 * SEC);
    run_until(r, now + 3 * SEC - 1);
    assert_ptr_equal(registry_select(r, 6, 100, 7), m);
    registry_on_expiry(r, now + 3 * SEC);
    assert_null(registry_select(r, 6, 100, 7));
    assert_null(registry_find(r, 6, 100, 1, 1));
    assert_int_equal(registry_count(r), 0);
    assert_int_equal(registry_silenced(r), 1);
    m = claim(r, 100, 2, now + 3 * SEC); /* claims and never proves: goes as well */
    run_until(r, now + 6 * SEC + 1);
    assert_null(registry_find(r, 6, 100, 2, 1));
    registry_free(r);
}

/* A gateway that was stopped for a minute does not take its routers for silent, but gives each what it had left. */
static void test_registry_pause(void **state)
{
    struct registry *r = registry_new(100, seed);
    struct registration *m = add(r, 100, 1, 5 * MSEC, SEC);

    run_until(r, 3 * SEC);
    registry_on_expiry(r, 63 * SEC);
    assert_ptr_equal(registry_select(r, 6, 100, 7), m);
    run_until(r, 64 * SEC - 1);
    assert_ptr_equal(registry_select(r, 6, 100, 7), m);
    run_until(r, 64 * SEC);
    assert_null(registry_select(r, 6, 100, 7));
    registry_free(r);
}

/* A lost router's clients go elsewhere and nobody else moves; so with a withdrawal. */
static void test_registry_loss(void **state)
{
    static const struct registration *before[2000];
    struct registry *r = registry_new(100, seed);
    struct registration *m[10];
    instant now = SEC;

    for (uint32_t i = 0; i < 10; i++)
        m[i] = add(r, 100, 10 + i, 5 * MSEC, now);
    now += 40 * SEC; /* shares have grown: 10 at the same weight */
    for (uint32_t i = 0; i < 10; i++)
        registry_prove(r, m[i], 5 * MSEC, now);
    registry_on_expiry(r, now + REGISTRY_REBUILD);
    for (uint32_t c = 0; c < 2000; c++)
        before[c] = registry_select(r, 6, 100, c * 7919);
    registry_withdraw(r, m[3], now);
    for (uint32_t c = 0; c < 2000; c++) {
        const struct registration *is = registry_select(r, 6, 100, c * 7919);

        assert_non_null(is);
        if (before[c] != m[3])
            assert_ptr_equal(is, before[c]);
        else
            assert_ptr_not_equal(is, m[3]);
    }
    registry_free(r);
}

/* A router that is new beside one that is not: what it gets grows over REGISTRY_RAMP, in quarters of its weight, so
 * that a registration in a victim's name, which ends with the first proof that is missing, brings it little. */
static void test_registry_ramp(void **state)
{
    static const struct {
        span age;
        double share; /* k quarters beside 4: k / (k + 4); a change counts within two seconds */
    } steps[] = { { 1 * SEC, 1. / 5 }, { 10 * SEC, 2. / 6 }, { 18 * SEC, 3. / 7 }, { 31 * SEC, 4. / 8 } };
    struct registry *r = registry_new(100, seed);
    struct registration *old = add(r, 100, 1, 5 * MSEC, SEC), *fresh;
    instant start = 60 * SEC;

    for (instant now = SEC; now <= start; now += SEC) {
        registry_prove(r, old, 5 * MSEC, now);
        registry_on_expiry(r, now);
    }
    fresh = add(r, 100, 2, 5 * MSEC, start);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        unsigned n = 0;

        for (instant now = start + (i ? steps[i - 1].age : 0) + SEC; now <= start + steps[i].age; now += SEC) {
            registry_prove(r, old, 5 * MSEC, now);
            registry_prove(r, fresh, 5 * MSEC, now);
            registry_on_expiry(r, now);
        }
        for (uint32_t c = 0; c < 10000; c++)
            n += registry_select(r, 6, 100, c * 7919) == fresh;
        /* 251 slots, each to one of both by chance: three standard deviations of a half are .095 */
        assert_in_range(n, (unsigned)((steps[i].share - .095) * 10000), (unsigned)((steps[i].share + .095) * 10000));
    }
    registry_free(r);
}

/* Nearest first; as near as the nearest: together; a wavering round trip moves nobody. */
static void test_registry_nearest(void **state)
{
    struct registry *r = registry_new(100, seed);
    instant now = SEC;
    struct registration *near = add(r, 100, 1, 10 * MSEC, now), *far = add(r, 200, 2, 40 * MSEC, now), *beside;
    unsigned to_beside = 0;

    for (uint32_t c = 0; c < 500; c++)
        assert_ptr_equal(registry_select(r, 6, PROVIDER_ANY, c), near);
    assert_ptr_equal(registry_select(r, 6, 200, 1), far); /* who asks for the provider gets it */
    beside = add(r, 300, 3, 13 * MSEC, now);              /* 10 * 1.25 + 1 = 13.5 */
    for (uint32_t c = 0; c < 500; c++)
        assert_ptr_equal(registry_select(r, 6, PROVIDER_ANY, c), near); /* not before the next rebuild */
    now += REGISTRY_REBUILD;
    registry_on_expiry(r, now);
    for (uint32_t c = 0; c < 500; c++)
        to_beside += registry_select(r, 6, PROVIDER_ANY, c) == beside;
    assert_in_range(to_beside, 100, 400);
    /* it wavers up to 10 * 1.5 + 2 = 17: stays. (Smoothed by 9/10: from 13, thirty samples of 16 give just under 16.)
     */
    for (unsigned i = 0; i < 30; i++)
        registry_prove(r, beside, 16 * MSEC, now);
    registry_prove(r, near, 10 * MSEC, now);
    registry_on_expiry(r, now + REGISTRY_REBUILD);
    to_beside = 0;
    for (uint32_t c = 0; c < 500; c++)
        to_beside += registry_select(r, 6, PROVIDER_ANY, c) == beside;
    assert_in_range(to_beside, 100, 400);
    for (unsigned i = 0; i < 60; i++)
        registry_prove(r, beside, 30 * MSEC, now);
    registry_on_expiry(r, now + 2 * REGISTRY_REBUILD);
    for (uint32_t c = 0; c < 500; c++)
        assert_ptr_equal(registry_select(r, 6, PROVIDER_ANY, c), near);
    registry_free(r);
}

/* All fall silent together, those that served and those that did not: nobody is left, and no memory of who was. */
/* A border serves where no router does: of its provider, and of any; and however near it is. */
static void test_registry_borders(void **state)
{
    struct registration
        border = { .protocol = 6, .provider = 2, .addr = 1, .port = 1, .weight = 100, .origin = 7, .realm = 1 },
        *b, *m;
    struct registry *r = registry_new(10, seed);
    instant now = SEC;
    uint16_t wait;

    assert_int_equal(registry_claim(r, &border, now, &b, &wait), 0);
    registry_prove(r, b, 2 * MSEC, now);
    assert_ptr_equal(registry_select(r, 6, 2, 0), b);
    assert_ptr_equal(registry_select(r, 6, PROVIDER_ANY, 0), b);
    m = add(r, 3, 2, 90 * MSEC, now);
    run_until(r, now + REGISTRY_REBUILD);
    now += REGISTRY_REBUILD;
    assert_ptr_equal(registry_select(r, 6, PROVIDER_ANY, 0), m);
    assert_ptr_equal(registry_select(r, 6, 2, 0), b); /* which the router is not of */
    registry_set_load(m, 0, 0);                       /* a router that takes no new clients is one all the same */
    registry_prove(r, m, 90 * MSEC, now);
    registry_prove(r, b, 2 * MSEC, now);
    run_until(r, now + REGISTRY_REBUILD);
    assert_ptr_equal(registry_select(r, 6, PROVIDER_ANY, 0), m);
    registry_withdraw(r, m, now);
    assert_ptr_equal(registry_select(r, 6, PROVIDER_ANY, 0), b); /* at once */
    registry_free(r);
}

/* Sums: a service is told when it gets its first router, when the nearest is another 25 % and 1 ms away, and when the
 * last goes; never of a border. */
static void test_registry_sums(void **state)
{
    struct registration
        border = { .protocol = 6, .provider = 2, .addr = 9, .port = 1, .weight = 100, .origin = 7, .realm = 1 },
        *b, *m, *n;
    struct registry *r = registry_new(10, seed);
    struct registry_service s;
    instant now = SEC;
    uint16_t wait;

    registry_sum_up(r);
    assert_int_equal(registry_claim(r, &border, now, &b, &wait), 0);
    registry_prove(r, b, MSEC, now);
    assert_false(registry_pop_service(r, &s));
    border.realm = 0; /* a router at its address is none */
    assert_int_equal(registry_claim(r, &border, now, &m, &wait), DMUX_REFUSED_FULL);
    m = add(r, 2, 1, 40 * MSEC, now);
    run_until(r, now + REGISTRY_REBUILD);
    now += REGISTRY_REBUILD;
    assert_true(registry_pop_service(r, &s));
    assert_int_equal(s.protocol, 6);
    assert_int_equal(s.provider, 2);
    assert_true(s.there);
    assert_int_equal(s.rtt_us, 40 * MSEC);
    assert_false(registry_pop_service(r, &s)); /* nor of any provider */
    n = add(r, 2, 2, 39 * MSEC, now);
    run_until(r, now + REGISTRY_REBUILD);
    now += REGISTRY_REBUILD;
    assert_false(registry_pop_service(r, &s)); /* by too little */
    registry_withdraw(r, n, now);
    n = add(r, 2, 3, 5 * MSEC, now);
    registry_prove(r, m, 40 * MSEC, now);
    run_until(r, now + REGISTRY_REBUILD);
    now += REGISTRY_REBUILD;
    assert_true(registry_pop_service(r, &s));
    assert_int_equal(s.rtt_us, 5 * MSEC);
    registry_withdraw(r, m, now);
    assert_false(registry_pop_service(r, &s));
    registry_withdraw(r, n, now);
    assert_true(registry_pop_service(r, &s));
    assert_false(s.there);
    assert_false(registry_pop_service(r, &s));
    m = add(r, 7, 1, MSEC, now); /* one alone, that moves away: told as it goes */
    assert_true(registry_pop_service(r, &s));
    for (unsigned i = 0; i < 60; i++) {
        now += SEC;
        registry_prove(r, m, 300 * MSEC, now);
        run_until(r, now);
        while (registry_pop_service(r, &s))
            assert_int_equal(s.provider, 7);
    }
    assert_in_range(s.rtt_us, 299 * MSEC * 4 / 5, 300 * MSEC); /* nearer than it is by 25 % and 1 ms at most */
    registry_withdraw(r, m, now);
    assert_true(registry_pop_service(r, &s));
    m = add(r, 5, 1, MSEC, now); /* one that nobody pops before the end */
    registry_withdraw(r, m, now);
    registry_free(r);
}

/* Many that leave are one loss: each provider's choice is made once more, and that of any provider once. Who comes
 * meanwhile delays it not. */
static void test_registry_many_leave(void **state)
{
    struct registration *m[2][50];
    struct registry *r = registry_new(400, seed);
    instant now = SEC;
    uint64_t before;

    for (uint32_t i = 0; i < 50; i++) {
        m[0][i] = add(r, 100 + i, 1, 5 * MSEC, now);
        m[1][i] = add(r, 100 + i, 2, 5 * MSEC, now);
    }
    run_until(r, 3 * SEC);
    now = 3 * SEC;
    for (uint32_t i = 0; i < 50; i++)
        registry_prove(r, m[1][i], 5 * MSEC, now);
    before = registry_rebuilds(r);
    for (uint32_t i = 0; i < 50; i++)
        registry_leave(r, m[0][i], i % 2, now);
    registry_settle(r, now);
    assert_int_equal(registry_rebuilds(r) - before, 51);
    for (uint32_t c = 0; c < 200; c++) {
        assert_int_equal(registry_select(r, 6, PROVIDER_ANY, c << 8)->addr, 2);
        assert_int_equal(registry_select(r, 6, 100 + c % 50, c << 8)->addr, 2);
    }
    for (uint32_t i = 0; i < 50; i++)
        registry_leave(r, m[1][i], false, now);
    add(r, 100, 3, 5 * MSEC, now);
    registry_settle(r, now);
    assert_int_equal(registry_select(r, 6, PROVIDER_ANY, 1)->addr, 3);
    assert_int_equal(registry_select(r, 6, 100, 1)->addr, 3);
    assert_null(registry_select(r, 6, 101, 1));
    registry_leave(r, registry_find(r, 6, 100, 3, 1), false, now); /* and the end of the registry before */
    registry_free(r);
}

static void test_registry_all_silent(void **state)
{
    struct registry *r = registry_new(400, seed);

    for (uint32_t i = 0; i < 300; i++)
        add(r, 100 + i % 3, 10 + i, 5 * MSEC + i, SEC);
    run_until(r, 2 * SEC);
    for (uint32_t c = 0; c < 100; c++)
        assert_non_null(registry_select(r, 6, PROVIDER_ANY, c));
    run_until(r, 4 * SEC);
    assert_int_equal(registry_count(r), 0);
    assert_int_equal(registry_silenced(r), 300);
    for (uint32_t c = 0; c < 100; c++) {
        assert_null(registry_select(r, 6, PROVIDER_ANY, c));
        assert_null(registry_select(r, 6, 101, c));
    }
    registry_free(r);
}

/* RFC 2439 by hand: two departures at once leave 2000 = SUPPRESS; 750 is reached after 60 s * log2(2000 / 750) = 84.9
 * s. */
static void test_registry_damping(void **state)
{
    struct registry *r = registry_new(100, seed);
    const struct registration c = { .protocol = 6, .provider = 100, .addr = 9, .port = 1, .weight = 100 };
    struct registration *m;
    uint16_t wait = 0;
    instant now = SEC;

    registry_withdraw(r, add(r, 100, 9, MSEC, now), now);
    registry_withdraw(r, add(r, 100, 9, MSEC, now), now);
    assert_int_equal(registry_claim(r, &c, now, &m, &wait), DMUX_REFUSED_DAMPED);
    assert_in_range(wait, 84, 86);
    assert_int_equal(registry_claim(r, &c, now + 84 * SEC, &m, &wait), DMUX_REFUSED_DAMPED);
    assert_int_equal(registry_claim(r, &c, now + 86 * SEC, &m, &wait), 0);
    add(r, 100, 10, MSEC, now); /* another is not damped with it */
    registry_free(r);
}

/* Who makes room for another was told of before: else a table elsewhere would keep it for ever. */
static void test_registry_full_exported(void **state)
{
    const struct registration c = { .protocol = 6, .provider = 100, .addr = 2, .port = 1, .weight = 100 };
    struct registry *r = registry_new(1, seed);
    struct registration *m;
    const struct registration *told;
    uint16_t wait;

    registry_export(r);
    m = add(r, 100, 1, 10 * MSEC, 1 * SEC);
    assert_ptr_equal(registry_pop_router(r), m);
    registry_withdraw(r, m, 2 * SEC);
    assert_int_equal(registry_claim(r, &c, 2 * SEC, &m, &wait), DMUX_REFUSED_FULL);
    told = registry_pop_router(r);
    assert_non_null(told);
    assert_int_equal(told->addr, 1);
    assert_int_equal(told->state, REGISTRATION_GONE);
    assert_int_equal(registry_claim(r, &c, 2 * SEC, &m, &wait), 0);
    registry_free(r);
}

static void test_registry_full(void **state)
{
    struct registry *r = registry_new(8, seed);
    const struct registration c = { .protocol = 6, .provider = 100, .addr = 99, .port = 1, .weight = 100 };
    struct registration *m;
    uint16_t wait;

    for (uint32_t i = 0; i < 8; i++)
        m = add(r, 100, 1 + i, MSEC, SEC);
    assert_int_equal(registry_claim(r, &c, SEC, &m, &wait), DMUX_REFUSED_FULL);
    registry_withdraw(r, registry_find(r, 6, 100, 3, 1), SEC);
    assert_int_equal(registry_claim(r, &c, SEC, &m, &wait), 0); /* what is remembered of who went gives way */
    registry_free(r);
}

/* Who renews is not served by what somebody else said in its name: the old key holds until the new one is used. */
static void test_registry_renew(void **state)
{
    struct registry *r = registry_new(8, seed);
    struct registration c = { .protocol = 6, .provider = 100, .addr = 1, .port = 1, .weight = 100, .key = { 1 } };
    struct registration *m;
    uint16_t wait;

    assert_int_equal(registry_claim(r, &c, SEC, &m, &wait), 0);
    registry_prove(r, m, MSEC, SEC);
    m->seq = 7;
    c.key[0] = 2;
    assert_int_equal(registry_claim(r, &c, SEC, &m, &wait), 0);
    assert_int_equal(m->key[0], 1);
    assert_int_equal(m->seq, 7);
    assert_int_equal(m->state, REGISTRATION_PROVED);
    registry_take_key(r, m);
    assert_int_equal(m->key[0], 2);
    registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_move),
        cmocka_unit_test(test_slots_weights),
        cmocka_unit_test(test_jar),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_registry_proof),
        cmocka_unit_test(test_registry_loss),
        cmocka_unit_test(test_registry_ramp),
        cmocka_unit_test(test_registry_nearest),
        cmocka_unit_test(test_registry_damping),
        cmocka_unit_test(test_registry_full),
        cmocka_unit_test(test_registry_full_exported),
        cmocka_unit_test(test_registry_renew),
        cmocka_unit_test(test_registry_pause),
        cmocka_unit_test(test_registry_borders),
        cmocka_unit_test(test_registry_sums),
        cmocka_unit_test(test_registry_many_leave),
        cmocka_unit_test(test_registry_all_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
