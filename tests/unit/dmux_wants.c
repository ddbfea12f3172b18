/* Unit tests of src/dmux/federation_wants.c: what clients want of another realm, whatever borders have of it. */
#include "dmux/federation_internal.h"
#include "tests/unit/test.h"

#include <stdlib.h>

#define PROTOCOL 6
#define PROVIDER(i) (1000 + (uint32_t)(i))
#define NETWORK(i) ((uint32_t)(i) << 8)

static struct realm *r;
static struct service services[WANTS_MAX + 1];
static instant now;

static int set_up(void **state)
{
    const uint8_t seed[16] = { 1 };

    r = calloc(1, sizeof(*r));
    assert_non_null(r);
    services_init(r, seed);
    now = 1000 * SEC;
    return 0;
}

static int tear_down(void **state)
{
    map64_deinit(&r->services);
    free(r);
    return 0;
}

/* A border has it, or no longer. */
static void border_has(unsigned i, bool has)
{
    services[i] = (struct service){ .protocol = PROTOCOL, .provider = PROVIDER(i), .state = SERVICE_PROVED };
    if (has)
        assert_int_equal(map64_put(&r->services, service_key(PROTOCOL, PROVIDER(i)), &services[i]), 0);
    else
        map64_remove(&r->services, service_key(PROTOCOL, PROVIDER(i)));
}

/* A client of that network wants it: is a border to be told? */
static bool wanted(unsigned i, unsigned network)
{
    struct federation_message m;
    bool told = false;

    wants_add(r, PROTOCOL, PROVIDER(i), NETWORK(network), now++);
    while (wants_pop(r, &m))
        told |= m.protocol == PROTOCOL && m.provider == PROVIDER(i);
    return told;
}

static void test_all_are_gone(void **state)
{
    for (unsigned i = 0; i <= WANTS_MAX; i++)
        border_has(i, true);
    for (unsigned i = 0; i < WANTS_MAX; i++)
        assert_true(wanted(i, i));
    for (unsigned i = 0; i < WANTS_MAX; i++)
        border_has(i, false);
    assert_true(wanted(WANTS_MAX, 1)); /* the first that is back */
    assert_int_equal(r->wants_count, WANTS_MAX);
    assert_int_equal(r->drops[FEDERATION_DROP_FULL], 0);
    now += 70 * SEC;
    assert_true(wanted(0, 0));
    assert_int_equal(r->wants_count, 1); /* the others' minute is over */
}

static void test_the_greedy_give_way(void **state)
{
    unsigned n = 0;

    for (unsigned network = 0; network < 8; network++)
        for (unsigned i = 0; i < 8; i++)
            assert_true(wanted(n++, network));
    assert_false(wanted(n++, 3)); /* its share is 8, of places for 64 */
    for (unsigned i = 0; i < 8; i++)
        assert_true(wanted(n++, 8)); /* each of the others has one less for it */
    assert_int_equal(r->wants_count, 64);
    assert_false(wanted(n++, 8));
    assert_true(wanted(n++, 9));
    assert_int_equal(r->wants_count, 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_are_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_greedy_give_way, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
