/* Gateways that find each other by leased bindings (dmux/directory.h), with a real realm manager and real resolvers, in
 * virtual time over sim/gateways.h. */
#include "sim/gateways.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdlib.h>

#define GATEWAYS 60

static struct gateways *w;

static int set_up(void **state)
{
    const char *seed = getenv("HAWSER_SIM_SEED");
    const struct gateways_options o = { .seed = seed ? strtoull(seed, NULL, 10) : 1,
                                        .gateways = GATEWAYS,
                                        .services = 4,
                                        .crowd = 3,
                                        .neighbours = 8,
                                        .samples = 400,
                                        .links_max = 256,
                                        .questions_max = 32 };

    w = gateways_new(&o);
    assert_non_null(w);
    return 0;
}

static int tear_down(void **state)
{
    gateways_free(w);
    return 0;
}

/* Runs until the gateway's clients use that other's router: within so much. */
static bool comes_to(size_t gateway, size_t service, size_t want, span within)
{
    instant end = gateways_now(w) + within;

    while (gateways_chosen(w, gateway, service) != want && gateways_now(w) < end)
        gateways_run(w, gateways_now(w) + 100 * MSEC);
    return gateways_chosen(w, gateway, service) == want;
}

static void run(span s)
{
    gateways_run(w, gateways_now(w) + s);
}

/* Whether it is one of the nearest, by estimate, of those that serve. */
static bool is_near(size_t gateway, size_t service, size_t which)
{
    size_t nearer = 0;

    for (size_t i = 0; i < GATEWAYS; i++)
        nearer += gateways_serves(w, i, service) && !gateways_is_dead(w, i) && i != gateway &&
                  gateways_estimate_ms(w, gateway, i) < gateways_estimate_ms(w, gateway, which);
    return nearer < DIRECTORY_NEAREST;
}

/* All that want it use one that is there, and four of five one of the nearest: a search asks for so many cells, and a
 * wide one has one gateway for each below. */
static void assert_served(size_t service, size_t first, size_t step)
{
    size_t all = 0, near = 0;

    for (size_t i = first; i < GATEWAYS; i += step) {
        size_t chosen = gateways_chosen(w, i, service);

        if (gateways_serves(w, i, service) || gateways_is_dead(w, i))
            continue;
        assert_true(chosen != SIZE_MAX && !gateways_is_dead(w, chosen));
        near += is_near(i, service, chosen);
        all++;
    }
    assert_true(near * 5 >= all * 4);
}

static void assert_believed(void)
{
    struct manager_stats s;
    uint64_t refused = 0;

    manager_get_stats(gateways_manager(w), &s);
    for (size_t i = 0; i < RECORD_FAULT_COUNT; i++)
        refused += s.refused[i];
    assert_int_equal(refused, 0);
    assert_int_equal(gateways_counts(w)->mistrusted, 0);
}

static void test_one(void **state)
{
    struct directory_entry e;

    gateways_router(w, 7, 0, true);
    run(10 * SEC);
    gateways_want(w, 3, 0);
    gateways_want(w, 4, -1);
    gateways_want(w, 5, 1);
    assert_true(comes_to(3, 0, 7, 5 * SEC)); /* three cells, a link, and what it tells */
    run(5 * SEC);
    assert_true(directory_nearest(gateways_directory(w, 4), 6, PROVIDER_ANY, 0, &e));
    assert_int_equal(e.gateway, 8);
    assert_int_equal(gateways_chosen(w, 5, 1), SIZE_MAX);
    /* That there is none is known for half a minute. */
    gateways_router(w, 9, 1, true);
    assert_true(comes_to(5, 1, 9, 70 * SEC));
    assert_believed();
}

/* Of twenty, whoever asks uses one of the nearest, and nobody has links to many. */
static void test_nearest(void **state)
{
    for (size_t i = 0; i < 20; i++)
        gateways_router(w, i * 3, 0, true);
    run(60 * SEC);
    for (size_t i = 0; i < GATEWAYS; i++) {
        if (!gateways_serves(w, i, 0))
            gateways_want(w, i, 0);
    }
    run(60 * SEC);
    assert_served(0, 0, 1);
    assert_believed();
}

/* Every binding that is there has one owner, and all that serve are found: whoever they ask. */
static size_t owned(void)
{
    struct directory_stats s;
    size_t sum = 0;

    for (size_t i = 0; i < GATEWAYS; i++) {
        if (gateways_is_dead(w, i))
            continue;
        directory_stats_get(gateways_directory(w, i), &s);
        sum += s.owned;
    }
    return sum;
}

static void test_one_owner(void **state)
{
    struct manager_stats s;

    for (size_t i = 0; i < GATEWAYS; i++)
        gateways_router(w, i, 0, true); /* all at once */
    run(400 * SEC);
    manager_get_stats(gateways_manager(w), &s);
    assert_int_equal(owned(), s.bindings_live);
    assert_believed();
}

/* The one that is used dies: the second nearest is used once the link is silent; whoever comes later is not led to it.
 */
static void test_death(void **state)
{
    size_t first, second;

    for (size_t i = 0; i < 20; i++)
        gateways_router(w, i * 3, 0, true);
    run(60 * SEC);
    gateways_want(w, 1, 0);
    run(20 * SEC);
    first = gateways_chosen(w, 1, 0);
    assert_true(first != SIZE_MAX);
    gateways_kill(w, first);
    run(4 * SEC);
    second = gateways_chosen(w, 1, 0);
    assert_true(second != SIZE_MAX && second != first);
    run(30 * SEC);
    for (size_t i = 2; i < GATEWAYS; i += 3)
        gateways_want(w, i, 0);
    run(60 * SEC);
    assert_served(0, 2, 3);
}

/* All owners die at once, of everything: who is left owns, before the leases end. */
static void test_all_owners_die(void **state)
{
    struct directory_stats s;
    size_t killed = 0;

    for (size_t i = 0; i < GATEWAYS; i++)
        gateways_router(w, i, 0, true);
    run(120 * SEC);
    for (size_t i = 0; i < GATEWAYS; i++) {
        directory_stats_get(gateways_directory(w, i), &s);
        if (s.owned > 0) {
            gateways_kill(w, i);
            killed++;
        }
    }
    assert_in_range(killed, 1, GATEWAYS - 10);
    run(40 * SEC);
    for (size_t i = 0; i < GATEWAYS; i++) {
        if (!gateways_is_dead(w, i)) {
            gateways_router(w, i, 0, false);
            gateways_want(w, i, 0);
            break;
        }
    }
    run(60 * SEC);
    assert_true(owned() > 0);
    for (size_t i = 0; i < GATEWAYS; i++) {
        if (!gateways_is_dead(w, i) && !gateways_serves(w, i, 0))
            assert_false(gateways_is_dead(w, gateways_chosen(w, i, 0)));
    }
}

/* Routers leave one after the other; in the end there is none, and that is known. */
static void test_withdrawal(void **state)
{
    struct directory_stats s;

    for (size_t i = 0; i < 6; i++)
        gateways_router(w, i * 7, 0, true);
    run(30 * SEC);
    gateways_want(w, 1, 0);
    run(20 * SEC);
    for (size_t left = 6; left > 0; left--) {
        size_t used = gateways_chosen(w, 1, 0);

        assert_true(used != SIZE_MAX);
        gateways_router(w, used, 0, false);
        run(30 * SEC);
        assert_true(gateways_chosen(w, 1, 0) != used);
    }
    directory_stats_get(gateways_directory(w, 1), &s);
    assert_int_equal(s.none, 1);
    run(400 * SEC);
    assert_int_equal(owned(), 0);
    assert_believed();
}

/* Two that have no link, and never get one, both live and serve: one of them comes to own what both belong to, and the
 * other leaves it to that one, for as long as it keeps it up; then it takes over. */
static void test_parted(void **state)
{
    struct directory_stats s[2], later[2];

    gateways_part(w, 0, 1);
    for (size_t i = 0; i < 2; i++)
        gateways_router(w, i, 0, true);
    run(1000 * SEC);
    for (size_t i = 0; i < 2; i++)
        directory_stats_get(gateways_directory(w, i), &s[i]);
    run(4000 * SEC);
    for (size_t i = 0; i < 2; i++) {
        directory_stats_get(gateways_directory(w, i), &later[i]);
        assert_int_equal(later[i].takeovers, s[i].takeovers);
        assert_int_equal(later[i].conflicts, s[i].conflicts);
        assert_true(later[i].owned > 0);
    }
    gateways_kill(w, later[0].owned > later[1].owned ? 0 : 1);
    run(DIRECTORY_LEASE_S * SEC + 300 * SEC);
    gateways_want(w, 2, 0);
    assert_true(comes_to(2, 0, later[0].owned > later[1].owned ? 1 : 0, 20 * SEC));
}

/* Nobody hears the manager for longer than a lease: what is linked goes on; then all is as before. */
static void test_without_a_manager(void **state)
{
    struct manager_stats s;
    size_t used;

    for (size_t i = 0; i < 20; i++)
        gateways_router(w, i * 3, 0, true);
    run(400 * SEC);
    gateways_want(w, 1, 0);
    run(30 * SEC);
    used = gateways_chosen(w, 1, 0);
    gateways_cut_manager(w, true);
    run(500 * SEC);
    assert_int_equal(gateways_chosen(w, 1, 0), used);
    gateways_cut_manager(w, false);
    run(400 * SEC);
    manager_get_stats(gateways_manager(w), &s);
    assert_int_equal(owned(), s.bindings_live);
    gateways_want(w, 2, 0);
    run(20 * SEC);
    assert_true(gateways_chosen(w, 2, 0) != SIZE_MAX);
}

/* What is in a record is what was put there; what nobody writes is refused. */
static void test_record(void **state)
{
    struct record r = { .type = RECORD_BINDING };
    struct directory_entry in[2] = { { .gateway = 5, .at = { addr_v4(0x0a000001), 1 } },
                                     { .gateway = 6, .at = { addr_v4(0x0a000002), 2 } } },
                           out[DIRECTORY_ENTRIES_MAX];

    for (size_t i = 0; i < 2; i++) {
        coord_init(&in[i].place);
        in[i].place.at_us[0] = -1000. * (double)i;
        memset(in[i].x25519, (int)i + 1, IDENT_KEY_LEN);
    }
    r.targets_count = 2;
    r.details_len = (uint16_t)directory_entries_write(in, 2, r.targets, r.details);
    assert_int_equal(r.details_len, 2 * DIRECTORY_DETAILS_LEN);
    assert_int_equal(directory_entries_read(&r, out), 2);
    assert_int_equal(out[1].gateway, 6);
    assert_true(endpoint_equal(&out[1].at, &in[1].at));
    assert_memory_equal(out[1].x25519, in[1].x25519, IDENT_KEY_LEN);
    assert_true(out[1].place.at_us[0] == -1000);
    r.details_len--;
    assert_int_equal(directory_entries_read(&r, out), -EBADMSG);
    r.details_len += 2;
    assert_int_equal(directory_entries_read(&r, out), -EBADMSG);
    r.details_len--;
    memcpy(r.details + DIRECTORY_DETAILS_LEN, r.details, 4); /* one gateway twice */
    assert_int_equal(directory_entries_read(&r, out), -EBADMSG);
    memset(r.details + DIRECTORY_DETAILS_LEN, 0, 4);
    assert_int_equal(directory_entries_read(&r, out), -EBADMSG);
    r.details[DIRECTORY_DETAILS_LEN] = 1;
    r.details[DIRECTORY_DETAILS_LEN + 36] = 0x7f; /* farther than anybody is */
    assert_int_equal(directory_entries_read(&r, out), -EBADMSG);
}

static void test_cells(void **state)
{
    struct coord at = { .at_us = { 33000, -1000, 0 }, .height_us = 100 };
    struct directory_cell c = directory_cell_of(&at, 0), world = directory_cell_of(&at, 2);

    assert_true(c.at[0] == 1 && c.at[1] == -1 && c.at[2] == 0);
    assert_true(directory_cell_distance_us(&c, &at) == 0);
    at.at_us[0] = 25000; /* 7 ms outside, which is within a quarter */
    assert_true(directory_cell_distance_us(&c, &at) == 7000);
    assert_true(directory_cell_has(&c, &at));
    at.at_us[0] = 23000;
    assert_false(directory_cell_has(&c, &at));
    assert_true(directory_cell_has(&world, &at) && directory_cell_distance_us(&world, &at) == 0);
    at.at_us[0] = -COORD_REACH_US;
    c = directory_cell_of(&at, 0);
    assert_int_equal(c.at[0], -63); /* 2,000 ms of 32: 62.5 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_cells),
        cmocka_unit_test_setup_teardown(test_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nearest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_owner, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_death, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_owners_die, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_withdrawal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_a_manager, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
