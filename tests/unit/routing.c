/* Routing tables while networks become stub realms: the equations by the figures that the framework's evaluation has
 * and by hand, distributions by their formula, and trees of realms counted by hand and walked with prefixes. */
#include <math.h>
#include <stdio.h>

#include "bench/realm_tree.h"
#include "bench/route_table.h"
#include "bench/tail.h"
#include "tests/unit/test.h"

static const struct route_params paper = { .ases = 20000, .prefixes = 90000, .growth = .0845, .pace = .1, .kept = 1 };

static double thousands(const struct route_params *p, double years)
{
    return round(route_at(p, years).table / 100) / 10;
}

/* The framework's section V.A: thousands of prefixes. */
static void test_the_papers_figure(void **state)
{
    struct route_params fast = paper;

    assert_true(thousands(&paper, 0) == 90.0);
    assert_true(thousands(&paper, 1) == 82.4);
    assert_true(thousands(&paper, 2) == 72.9);
    assert_true(thousands(&paper, 2.5) == 67.4);
    assert_true(thousands(&paper, 4) == 47.0);
    assert_true(thousands(&paper, 5) == 30.0);
    fast.pace = .2;
    assert_true(thousands(&fast, 1) == 67.2);
    assert_true(thousands(&fast, 2) == 40.0);
    assert_true(thousands(&fast, 2.5) == 24.5);
    assert_true(thousands(&fast, 5) == 30.0);
}

static void test_growth(void **state)
{
    assert_true(round(pow(1.0845, 5) * 100) == 150);
    assert_true(round(route_growth(2, 5) * 1e4) == 1487);
    assert_true(round(route_growth(1.5, 5) * 1e4) == 845);
}

/* 1000 ASes of 3000 prefixes that do not grow, a quarter adopts in half a year. */
static void test_the_other_terms(void **state)
{
    struct route_params p = { .ases = 1000, .prefixes = 3000, .pace = .25, .kept = 1 };

    assert_true(route_at(&p, .49).table == 3000);
    assert_true(route_at(&p, .5).table == 2250 + 250);
    assert_true(route_at(&p, 1.5).table == 750 + 750);
    assert_true(route_at(&p, 9).table == 1000);
    p.kept = .5;
    assert_true(route_at(&p, .5).table == 2250 + 125);
    p.kept = 0;
    assert_true(route_at(&p, 9).table == 0);
    p.proxies = 40;
    assert_true(route_at(&p, 0).table == 3000); /* nobody to be proxy for */
    assert_true(route_at(&p, .5).table == 2250 + 40);
    /* 500 ASes of 20 hosts with 2 bindings, each 10 s. */
    assert_true(route_registrations(&p, 1, 20, 2, 10) == 2000);
    assert_true(route_registrations(&p, 0, 20, 2, 10) == 0);
}

static void test_tail(void **state)
{
    double drawn[5] = { 0 };
    struct prng rng;

    assert_true(tail_mean(1, 4) == 1 + 1 / 2. + 1 / 3. + 1 / 4.);
    assert_true(tail_above(2, 4, 3) == 1 / 9. && tail_above(2, 4, 1) == 1 && tail_above(2, 4, 5) == 0);
    assert_true(fabs(tail_exponent(25 / 12., 4) - 1) < 1e-8);
    /* The sum of 1/k^2 is pi^2/6; what is behind a million is less than one in a million. */
    assert_true(fabs(tail_exponent(M_PI * M_PI / 6, 1000000) - 2) < 1e-5);
    prng_init(&rng, 1);
    for (size_t i = 0; i < 100000; i++) {
        unsigned k = tail_draw(&rng, 1, 4);

        assert_in_range(k, 1, 4);
        drawn[k]++;
    }
    /* 1/2, 1/6, 1/12 and what is left at the end, 1/4: within five standard deviations. */
    assert_true(fabs(drawn[1] - 50000) < 800 && fabs(drawn[2] - 16667) < 600);
    assert_true(fabs(drawn[3] - 8333) < 450 && fabs(drawn[4] - 25000) < 700);
}

/* Four ASes of 1, 2, 3 and 10 prefixes. */
static void test_who_adopts_first(void **state)
{
    unsigned prefixes[] = { 2, 10, 1, 3 };
    double random[] = { .9, .1, .4, .6 }, largest[] = { .6, .1, .8, .3 }, smallest[] = { .4, .9, .2, .7 };
    const struct as_set set = { prefixes, { random, largest, smallest }, 4 };
    struct route_params p = { .ases = 4, .pace = .25, .kept = 1 };

    for (unsigned o = 0; o < AS_ORDERS; o++) {
        assert_true(as_set_at(&set, &p, (enum as_order)o, 0).table == 16);
        assert_true(as_set_at(&set, &p, (enum as_order)o, 2).table == 4);
    }
    assert_true(as_set_at(&set, &p, AS_RANDOM, .5).table == 6 + 1);
    assert_true(as_set_at(&set, &p, AS_LARGEST, .5).table == 6 + 1);
    assert_true(as_set_at(&set, &p, AS_SMALLEST, .5).table == 15 + 1);
    assert_true(as_set_at(&set, &p, AS_LARGEST, 1).table == 3 + 2);
    p.ases = 2; /* those of 2 and of 10 */
    p.proxies = 100;
    assert_true(as_set_at(&set, &p, AS_LARGEST, 0).table == 12);
    assert_true(as_set_at(&set, &p, AS_LARGEST, .5).table == 2 + 1 + 100);
}

/* Whatever the order, the part that has adopted is d: turns are uniform. And nobody larger comes after. */
static void test_turns(void **state)
{
    enum { COUNT = 20000 };
    struct as_set set;

    assert_int_equal(as_set_init(&set, COUNT, 1.2, 2500, 7), 0);
    for (unsigned o = 0; o < AS_ORDERS; o++) {
        size_t below[10] = { 0 };

        for (size_t i = 0; i < COUNT; i++) {
            assert_true(set.turns[o][i] >= 0 && set.turns[o][i] <= 1);
            below[(size_t)MIN(set.turns[o][i] * 10, 9)]++;
        }
        /* Of a binomial distribution of 20000 and .1 the standard deviation is 42. */
        for (size_t i = 0; i < 10; i++)
            assert_in_range(below[i], 2000 - 5 * 42, 2000 + 5 * 42);
    }
    for (size_t i = 1; i < COUNT; i++) {
        if (set.prefixes[i] > set.prefixes[i - 1])
            assert_true(set.turns[AS_LARGEST][i] < set.turns[AS_LARGEST][i - 1]);
    }
    as_set_deinit(&set);
}

/* Root (12 hosts) -> a (3 hosts, 4 users) -> b (5 hosts); root -> c (6 data). Counted by hand. */
static void test_a_small_tree(void **state)
{
    struct realm_node nodes[] = {
        { .range = { 0, 0 }, .entities = { 12 } },
        { .range = { 0x100, 4 }, .parent = 0, .entities = { 3, 4 } },
        { .range = { 0x110, 8 }, .parent = 1, .entities = { 5 } },
        { .range = { 0x200, 4 }, .parent = 0, .entities = { 0, 0, 6 } },
    };
    struct realm_tree t = { nodes, 4 };

    realm_tree_count(&t);
    assert_int_equal(nodes[0].own, 12);
    assert_int_equal(nodes[0].by_prefix, 3); /* two tiers of a, one of c */
    assert_int_equal(nodes[0].flat, 3 + 4 + 5 + 6);
    assert_int_equal(nodes[1].own, 7);
    assert_int_equal(nodes[1].by_prefix, 1 + 1); /* b, and the way up */
    assert_int_equal(nodes[1].flat, 5 + 1);
    assert_int_equal(nodes[2].by_prefix, 1);
    assert_int_equal(nodes[2].flat, 1);
    assert_int_equal(nodes[3].own, 6);
    assert_int_equal(nodes[3].by_prefix, 1);
    assert_int_equal(nodes[2].depth, 2);
}

static struct tag tag_of(enum tag_tier tier, uint16_t number)
{
    struct tag t;
    char text[TAG_STRLEN];
    unsigned hda = TAG_HDA(tier, number);

    /* | 2001:003 | raa 14 | hda 14 | suite | hash |: deployment 0 is 2001:3f:0:.. with hda behind ten zeros. */
    snprintf(text, sizeof(text), "2001:3f:%x:%x::1", hda >> 8, (hda & 0xff) << 8 | TAG_SUITE_EDDSA_CSHAKE128);
    assert_int_equal(tag_parse(text, &t), 0);
    assert_int_equal(tag_tier(&t), tier);
    assert_int_equal(tag_realm(&t), number);
    return t;
}

/* The realm at which a tag ends that goes by prefixes alone; steps may be no more than up to the root and down again.
 */
static size_t walk(const struct realm_tree *t, size_t from, const struct tag *tag)
{
    for (unsigned steps = 0; steps <= 2 * (REALM_LEVELS - 1); steps++) {
        size_t next = t->nodes[from].parent;

        if (t->nodes[from].range.number == tag_realm(tag))
            return from;
        for (size_t i = 1; i < t->count; i++) {
            struct tag_prefix p = tag_prefix_realm(TAG_RAA_DEFAULT, tag_tier(tag), &t->nodes[i].range);

            if (t->nodes[i].parent == from && t->nodes[i].entities[tag_tier(tag)] > 0 && tag_prefix_contains(&p, tag))
                next = i;
        }
        if (next == from)
            return SIZE_MAX;
        from = next;
    }
    return SIZE_MAX;
}

/* What is drawn is a tree that could be delegated, and entries by prefix are enough to reach all of it. */
static void test_prefixes_lead_there(void **state)
{
    const struct realm_spec spec = { .realms = 200, .mean = 20, .max = 1000, .seed = 3 };
    struct realm_tree t;

    assert_int_equal(realm_tree_draw(&t, &spec), 0);
    for (size_t i = 1; i < t.count; i++) {
        const struct realm_node *n = &t.nodes[i];

        assert_true(n->parent < i);
        assert_true(realm_range_may_delegate(&t.nodes[n->parent].range, &n->range));
        for (size_t k = 1; k < i; k++)
            assert_true(t.nodes[k].range.number != n->range.number);
        for (unsigned tier = 0; tier < REALM_TIERS; tier++) {
            struct tag tag = tag_of((enum tag_tier)tier, n->range.number);

            if (n->entities[tier] == 0)
                continue;
            assert_int_equal(walk(&t, 0, &tag), i);
            assert_int_equal(walk(&t, (i * 7) % t.count, &tag), i);
        }
    }
    realm_tree_deinit(&t);
}

/* All there can be: every number but those with a 0 before another digit. */
static void test_the_fullest_tree(void **state)
{
    const struct realm_spec spec = { .realms = REALMS_MAX, .mean = 2, .max = 10, .seed = 4 };
    struct realm_tree t;
    size_t leaves = 0;

    assert_int_equal(realm_tree_draw(&t, &spec), 0);
    realm_tree_count(&t);
    for (size_t i = 0; i < t.count; i++)
        leaves += t.nodes[i].depth == REALM_LEVELS - 1;
    assert_int_equal(leaves, 15 * 15 * 15);
    assert_in_range(t.nodes[0].by_prefix, 15, 15 * REALM_TIERS);
    realm_tree_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_papers_figure), cmocka_unit_test(test_growth),
        cmocka_unit_test(test_the_other_terms),   cmocka_unit_test(test_tail),
        cmocka_unit_test(test_who_adopts_first),  cmocka_unit_test(test_turns),
        cmocka_unit_test(test_a_small_tree),      cmocka_unit_test(test_prefixes_lead_there),
        cmocka_unit_test(test_the_fullest_tree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
