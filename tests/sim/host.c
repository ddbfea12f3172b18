/* Hosts that call each other by identifier: the first packets, calls from both sides, moves of both ends at once. */
#include "tests/sim/host_realm.h"

/* The first packet waits for the manager and the handshake, and no packet is lost. */
static void test_first_packet(void **state)
{
    struct realm *r = realm_make(1);
    struct program *a = host_make(r, "a", two), *b = host_make(r, "b", two);
    struct traffic_flow *f;

    (void)state;
    f = traffic_steady(r->t, a->end, b->end, 400000, 500, true); /* one packet in 10 ms */
    world_run_for(r->w, 2 * SEC);
    assert_int_equal(a->wanted, 1);
    assert_int_equal(b->introduced, 1);
    assert_int_equal(b->wanted, 0);
    print_message("# first packet after %lld us\n", (long long)(f->first_rx - WORLD_START));
    /* The manager, a round trip each of the handshake and of the path's probe (two links of 10 ms each way), and the
     * way there. */
    assert_true(f->first_rx - WORLD_START <= MANAGER + 2 * 40 * MSEC + 20 * MSEC + 5 * MSEC);
    world_run_for(r->w, 100 * MSEC);
    traffic_stop(f);
    world_run_for(r->w, 200 * MSEC);
    assert_int_equal(traffic_missing(f), 0);
    assert_int_equal(paths_active(a, b), 4); /* every uplink to every endpoint */
    realm_done(r);
}

/* Both ends' uplinks together carry what one pair alone does not. */
static void test_both_uplinks(void **state)
{
    struct realm *r = realm_make(2);
    struct program *a = host_make(r, "a", two), *b = host_make(r, "b", two);
    struct traffic_flow *f;
    uint64_t before;

    (void)state;
    f = traffic_window(r->t, a->end, b->end, 0, NULL);
    world_run_for(r->w, 3 * SEC);
    before = f->received_bytes;
    world_run_for(r->w, 5 * SEC);
    assert_true(traffic_bps(f->received_bytes - before, 5 * SEC) > 30e6); /* of 40 */
    realm_done(r);
}

/* Each calls the other at the same time: one session remains, and nothing is lost on the way to it. */
static void test_at_once(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct realm *r = realm_make(seed);
        struct program *a = host_make(r, "a", two), *b = host_make(r, "b", one);
        struct traffic_flow *there = traffic_steady(r->t, a->end, b->end, 400000, 500, true);
        struct traffic_flow *back = traffic_steady(r->t, b->end, a->end, 400000, 500, true);

        world_run_for(r->w, 5 * SEC);
        assert_int_equal(a->wanted, 1);
        assert_int_equal(b->wanted, 1);
        assert_int_equal(a->gone + b->gone, 2); /* both ends of the session that is not used */
        traffic_stop(there);
        traffic_stop(back);
        world_run_for(r->w, 200 * MSEC);
        assert_int_equal(traffic_missing(there) + traffic_missing(back), 0);
        realm_done(r);
    }
    (void)state;
}

/* Both ends get new addresses at once, and neither knows the other's: a round trip to the manager, one between the
 * hosts, and what finding out takes; and as long as it takes to say where one is, if the manager must first be told.
 * lost_max: of the time for which each way stands still, that of which the packets are lost; the rest wait. */
static void both_move(span said_after, span stall_max, span lost_max)
{
    const struct endpoint manager = { { .family = ADDR_V4, .bytes = { 192, 0, 2, 1 } }, 51823 };

    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct realm *r = realm_make(seed);
        struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
        struct traffic_flow *f = traffic_steady(r->t, a->end, b->end, 4000000, 1000, true);
        struct traffic_flow *back = traffic_steady(r->t, b->end, a->end, 4000000, 1000, true);
        span stall;

        world_run_for(r->w, 3 * SEC);
        traffic_gap_reset(f);
        traffic_gap_reset(back);
        if (said_after > 0) {
            r->stale = world_seen_at(world_uplink(b->end, 0), &manager);
            r->said_at = r->w->now + said_after;
        }
        world_uplink_move(world_uplink(a->end, 0));
        world_uplink_move(world_uplink(b->end, 0));
        world_run_for(r->w, 5 * SEC);
        stall = MAX(traffic_gap(f), traffic_gap(back));
        print_message("# both move, seed %d: %lld ms\n", (int)seed, (long long)(stall / MSEC));
        assert_true(stall <= stall_max);
        assert_true(traffic_missing(f) + traffic_missing(back) < (uint64_t)(2 * 500 * lost_max / SEC));
        realm_done(r);
    }
}

static void test_both_move(void **state)
{
    both_move(0, MANAGER + 40 * MSEC + 100 * MSEC, 100 * MSEC);
    (void)state;
}

/* The first question comes before the other end could say where it is; the next a tenth of a second later. */
static void test_both_move_unsaid(void **state)
{
    both_move(4 * MANAGER, 100 * MSEC + MANAGER + 100 * MSEC + 40 * MSEC, 200 * MSEC);
    (void)state;
}

/* The manager's answer was of before the other one moved: nobody is there. The first call that is not answered has it
 * asked for anew; sooner, if the network says so, which anybody may have made up: it costs a question now and then. */
static void test_stale(void **state)
{
    for (int told = 0; told < 2; told++) {
        struct realm *r = realm_make(7);
        struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
        const struct endpoint manager = { { .family = ADDR_V4, .bytes = { 192, 0, 2, 1 } }, 51823 };
        struct traffic_flow *f;
        struct session_path_info info;
        struct session *s;
        unsigned asked;
        span took;

        r->stale = world_seen_at(world_uplink(b->end, 0), &manager);
        world_uplink_move(world_uplink(b->end, 0));
        f = traffic_steady(r->t, a->end, b->end, 400000, 500, true);
        world_run_for(r->w, MANAGER + 20 * MSEC);
        assert_int_equal(a->wanted, 1);
        assert_int_equal(a->lost, 0);
        s = node_peer_session(a->end->node, (unsigned)node_peer_at(a->end->node, &b->end->options.identifier));
        session_path_info(s, 0, r->w->now, &info);
        assert_true(endpoint_equal(&info.at.remote, &r->stale));
        for (unsigned i = 0; told && i < 1000; i++)
            node_on_unreachable(a->end->node, &info.at, r->w->now);
        world_touch(a->end);
        world_run_for(r->w, 2 * SEC);
        asked = a->lost;
        took = f->first_rx - WORLD_START;
        print_message("# first packet after %lld us, asked %u times again\n", (long long)took, asked);
        /* Two questions, the handshake and the path's probe, the way; without a word what is waited for in vain. */
        assert_true(f->received > 0);
        assert_in_range(asked, 1, 3);
        assert_true(took <= 2 * MANAGER + 20 * MSEC + 2 * 40 * MSEC + 20 * MSEC + 5 * MSEC + (told ? 0 : 450 * MSEC));
        assert_int_equal(a->gone, 0); /* it is the same call */
        realm_done(r);
    }
    (void)state;
}

/* One that has lost its session calls the other, which still has one. */
static void test_restart(void **state)
{
    struct realm *r = realm_make(3);
    struct program *a = host_make(r, "a", two), *b = host_make(r, "b", two);
    struct traffic_flow *f = traffic_steady(r->t, a->end, b->end, 400000, 500, true), *back;

    (void)state;
    world_run_for(r->w, 2 * SEC);
    world_restart(b->end);
    back = traffic_steady(r->t, b->end, a->end, 400000, 500, true);
    world_run_for(r->w, 5 * SEC);
    traffic_stop(back);
    world_run_for(r->w, 200 * MSEC);
    assert_int_equal(traffic_missing(back), 0);
    traffic_gap_reset(f);
    world_run_for(r->w, 1 * SEC);
    assert_true(traffic_gap(f) < 100 * MSEC); /* and the other direction goes on */
    realm_done(r);
}

/* Nobody is there: what waits is answered, and forgotten. Who is refused gets nothing through. */
static void test_nobody(void **state)
{
    struct realm *r = realm_make(4);
    struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
    struct traffic_flow *f;
    uint64_t drops[NODE_DROP_COUNT];

    (void)state;
    r->v->patience = 3600 * SEC; /* nothing is to arrive here */
    b->refuses = true;
    f = traffic_steady(r->t, a->end, b->end, 400000, 500, true);
    world_run_for(r->w, 20 * SEC);
    assert_int_equal(f->received, 0);
    assert_in_range(b->introduced, 3, 5); /* it calls again, but not for each packet */
    traffic_stop(f);
    r->count = 1; /* the manager forgets b */
    traffic_steady(r->t, a->end, b->end, 400000, 500, true);
    world_run_for(r->w, 30 * SEC);
    node_drops(a->end->node, drops);
    assert_true(drops[NODE_DROP_UNWANTED] > 0);
    assert_int_equal(node_peer_at(a->end->node, &b->end->options.identifier), -1);
    assert_true(node_pool_used(a->end->node) <= 16); /* of packets that wait */
    realm_done(r);
}

/* Whom nobody speaks to is forgotten by both, and called again when it is wanted. */
static void test_idle(void **state)
{
    struct realm *r = realm_make(5);
    struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
    struct traffic_flow *f = traffic_steady(r->t, a->end, b->end, 400000, 500, true);

    (void)state;
    world_run_for(r->w, 1 * SEC);
    traffic_stop(f);
    world_run_for(r->w, 310 * SEC);
    assert_int_equal(a->gone, 1);
    assert_int_equal(b->gone, 1);
    f = traffic_steady(r->t, b->end, a->end, 400000, 500, true);
    world_run_for(r->w, 1 * SEC);
    assert_true(f->received > 80);
    realm_done(r);
}

/* A record that says somebody else's X25519 key keeps nobody from calling that one. */
static void test_key_of_another(void **state)
{
    struct realm *r = realm_make(6);
    struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one), *c = host_make(r, "c", one);
    struct traffic_flow *f;
    instant began;

    (void)state;
    r->v->patience = 3600 * SEC; /* nothing is to arrive at c, which has not that key */
    r->forger = c;
    r->victim = b;
    traffic_steady(r->t, a->end, c->end, 400000, 500, true);
    world_run_for(r->w, 500 * MSEC);
    began = r->w->now;
    f = traffic_steady(r->t, a->end, b->end, 400000, 500, true);
    world_run_for(r->w, 1 * SEC);
    assert_true(f->received > 0);
    assert_true(f->first_rx - began <= MANAGER + 2 * 40 * MSEC + 20 * MSEC + 5 * MSEC);
    realm_done(r);
}

struct shout {
    struct world_watch watch;
    struct program *to;
    instant until;
};

/* More happens at that end than its program is told of. */
static void on_shouted(void *ctx, struct world_end *e, const struct world_packet *p)
{
    struct shout *s = ctx;
    struct addr nobody = s->to->end->options.identifier;
    uint8_t pkt[40] = { 0x60, [6] = 59, [7] = 64 }; /* IPv6, no next header */

    (void)p;
    if (e != s->to->end || e->world->now >= s->until)
        return;
    memcpy(pkt + 8, e->options.identifier.bytes, 16);
    for (unsigned i = 0; i < 600; i++) {
        put_be32(nobody.bytes + 8, 1 + i);
        memcpy(pkt + 24, nobody.bytes, 16);
        node_on_packet(e->node, pkt, sizeof(pkt), NULL, e->world->now);
        node_unwanted(e->node, &nobody, e->world->now);
    }
}

/* An introduction is told of again when the queue of events has overflowed. */
static void test_many_events(void **state)
{
    struct realm *r = realm_make(7);
    struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
    struct shout s = { .watch = { .ctx = &s, .arrived = on_shouted }, .to = b, .until = r->w->now + 500 * MSEC };
    struct traffic_flow *f;

    (void)state;
    world_watch_add(r->w, &s.watch);
    f = traffic_steady(r->t, a->end, b->end, 400000, 500, true);
    world_run_for(r->w, 1 * SEC);
    assert_int_equal(b->introduced, 1);
    assert_true(f->received > 0);
    realm_done(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_packet),   cmocka_unit_test(test_both_uplinks),     cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_both_move),      cmocka_unit_test(test_both_move_unsaid), cmocka_unit_test(test_stale),
        cmocka_unit_test(test_restart),        cmocka_unit_test(test_nobody),           cmocka_unit_test(test_idle),
        cmocka_unit_test(test_key_of_another), cmocka_unit_test(test_many_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
