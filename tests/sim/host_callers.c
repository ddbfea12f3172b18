/* Who calls a host: whether he is there, how long he is let in, and what he may take before. */
#include "tests/sim/host_realm.h"

static bool is_introduced(void *ctx)
{
    const struct program *p = ctx;

    return p->introduced > 0;
}

/* A caller dies as soon as it was let in, and stands elsewhere, knowing nothing: it is called there, in seconds. */
static void test_dead_caller(void **state)
{
    for (span lived = 0; lived <= 2 * SEC; lived += 2 * SEC) {
        struct realm *r = realm_make(1);
        struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
        struct traffic_flow *f = traffic_steady(r->t, a->end, b->end, 400000, 500, true);
        instant died;

        r->v->patience = 3600 * SEC;
        assert_true(world_run_until(r->w, is_introduced, b, 1 * SEC));
        world_run_for(r->w, lived);
        traffic_stop(f);
        world_stop(a->end);
        world_run_for(r->w, 100 * MSEC);
        world_restart(a->end);
        world_uplink_move(world_uplink(a->end, 0));
        died = r->w->now;
        f = traffic_steady(r->t, b->end, a->end, 400000, 500, true);
        world_run_for(r->w, 100 * MSEC);
        if (lived == 0) /* nothing ever came back from it: all of this waits */
            traffic_stop(f);
        world_run_for(r->w, 10 * SEC);
        print_message("# the dead one's successor is reached after %lld ms\n",
                      (long long)((f->first_rx - died) / MSEC));
        assert_true(f->received > 0);
        assert_true(f->first_rx - died < 7 * SEC);
        if (lived == 0)
            assert_int_equal(traffic_missing(f), 0);
        realm_done(r);
    }
    (void)state;
}

/* One that is let in and answers at once waits for a way back, and calls nobody. */
static void test_answer_at_once(void **state)
{
    struct realm *r = realm_make(2);
    struct program *a = host_make(r, "a", two), *b = host_make(r, "b", two);
    struct traffic_flow *there = traffic_steady(r->t, a->end, b->end, 400000, 500, true), *back;

    (void)state;
    assert_true(world_run_until(r->w, is_introduced, b, 1 * SEC));
    back = traffic_steady(r->t, b->end, a->end, 400000, 500, true);
    world_run_for(r->w, 2 * SEC);
    assert_int_equal(b->wanted, 0);
    traffic_stop(there);
    traffic_stop(back);
    world_run_for(r->w, 200 * MSEC);
    assert_int_equal(traffic_missing(there) + traffic_missing(back), 0);
    realm_done(r);
}

/* Who says that it ends and calls again at once keeps what it was admitted for, whenever in a tick that is. */
static void test_calls_again(void **state)
{
    for (span phase = 0; phase < 100 * MSEC; phase += 10 * MSEC) {
        struct realm *r = realm_make(3);
        struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);

        traffic_steady(r->t, a->end, b->end, 400000, 500, true);
        world_run_for(r->w, 2 * SEC + phase);
        node_close(a->end->node);
        world_touch(a->end);
        world_restart(a->end);
        world_run_for(r->w, 2 * SEC);
        assert_int_equal(b->gone_soon, 0);
        realm_done(r);
    }
    (void)state;
}

/* The time for which it was admitted is over: it is asked for again, and nothing is lost. */
static void test_admitted_again(void **state)
{
    struct realm *r = realm_make(4);
    struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
    struct traffic_flow *f;

    (void)state;
    b->admits_for = 2 * SEC;
    f = traffic_steady(r->t, a->end, b->end, 400000, 500, true);
    world_run_for(r->w, 10 * SEC);
    assert_in_range(b->introduced, 4, 6);
    assert_int_equal(b->gone, 0);
    traffic_stop(f);
    world_run_for(r->w, 200 * MSEC);
    assert_int_equal(traffic_missing(f), 0);
    realm_done(r);
}

/* It is refused then: nothing of it passes any more. */
static void test_not_again(void **state)
{
    struct realm *r = realm_make(5);
    struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
    struct traffic_flow *there;
    uint64_t received;

    (void)state;
    r->v->patience = 3600 * SEC;
    b->admits_for = 2 * SEC;
    there = traffic_steady(r->t, a->end, b->end, 400000, 500, true);
    world_run_for(r->w, 1500 * MSEC);
    assert_true(there->received > 0);
    b->refuses = true;
    world_run_for(r->w, 1 * SEC);
    received = there->received;
    world_run_for(r->w, 10 * SEC);
    assert_int_equal(there->received, received);
    realm_done(r);
}

/* It stays admitted with a session that begins anew, and nobody is asked. */
static void test_anew(void **state)
{
    struct realm *r = realm_make(6);
    struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
    struct traffic_flow *f;

    (void)state;
    traffic_steady(r->t, a->end, b->end, 400000, 500, true);
    world_run_for(r->w, 2 * SEC);
    world_restart(a->end);
    f = traffic_steady(r->t, b->end, a->end, 400000, 500, true);
    world_run_for(r->w, 2 * SEC);
    assert_int_equal(b->introduced, 1);
    assert_int_equal(b->gone, 0);
    assert_true(f->received > 0);
    realm_done(r);
}

#define STRANGERS 150

static size_t peers_there(const struct program *p)
{
    size_t count = 0;

    for (unsigned i = 0; i < node_peers_count(p->end->node); i++)
        count += !node_peer_is_gone(p->end->node, i);
    return count;
}

/* Strangers with keys, who never say who they are: who was admitted notices nothing, who calls meanwhile is let in. */
static void test_strangers(void **state)
{
    static const char *const fast[] = { "rate=1gbit delay=10ms", NULL };
    struct realm *r = realm_make(7);
    struct program *b = host_make(r, "b", fast), *a = host_make(r, "a", fast), *c = host_make(r, "c", fast);
    struct traffic_flow *known = traffic_steady(r->t, a->end, b->end, 400000, 500, true), *late;
    size_t peers_max = 0, pool_max = 0;

    (void)state;
    world_run_for(r->w, 1 * SEC);
    for (unsigned i = 0; i < STRANGERS; i++) {
        struct program *s = host_make(r, "stranger", fast);
        s->end->options.introduction.len = 0;
        world_restart(s->end);
        traffic_steady(r->t, s->end, b->end, 400000, 500, true);
    }
    r->v->patience = 3600 * SEC; /* nothing of theirs is to arrive */
    world_run_for(r->w, 500 * MSEC);
    late = traffic_steady(r->t, c->end, b->end, 400000, 500, true);
    traffic_gap_reset(known);
    for (unsigned i = 0; i < 100; i++) {
        world_run_for(r->w, 50 * MSEC);
        peers_max = MAX(peers_max, peers_there(b));
        pool_max = MAX(pool_max, node_pool_used(b->end->node));
    }
    print_message("# %d strangers: at most %zu peers, %zu packets\n", STRANGERS, peers_max, pool_max);
    assert_true(peers_max <= 2 + 2 * 64);        /* those two, handshakes and callers */
    assert_true(pool_max <= 8192 / 16 + 64 * 4); /* sent early, and out of order */
    assert_true(traffic_gap(known) < 50 * MSEC);
    assert_true(late->received > 0);
    traffic_stop(known);
    traffic_stop(late);
    world_run_for(r->w, 200 * MSEC);
    assert_int_equal(traffic_missing(known), 0);
    realm_done(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dead_caller), cmocka_unit_test(test_answer_at_once),
        cmocka_unit_test(test_calls_again), cmocka_unit_test(test_admitted_again),
        cmocka_unit_test(test_not_again),   cmocka_unit_test(test_anew),
        cmocka_unit_test(test_strangers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
