/* Hosts behind NATs that call each other: which kinds of NAT let them, and what opens the way. */
#include "tests/sim/host_realm.h"

#define NAT_LIFE (30 * SEC) /* the least that RFC 4787 knows of in use */

/* What the caller's handshake takes when nothing is in its way: as in host.c, a manager and two round trips. */
#define DIRECT (MANAGER + 2 * 40 * MSEC + 20 * MSEC + 5 * MSEC)

struct outcome {
    bool reached;
    span first;
};

static struct outcome call(uint64_t seed, int nat_a, int nat_b, bool tells, const char *const params[])
{
    struct realm *r = realm_make(seed);
    struct program *a = host_make(r, "a", params), *b = host_make(r, "b", params);
    struct outcome o;
    struct traffic_flow *f;

    r->v->patience = 3600 * SEC;
    r->tells = tells;
    for (unsigned i = 0; i < a->end->uplinks_count; i++) {
        if (nat_a >= 0)
            world_nat(world_uplink(a->end, i), (enum world_nat_kind)nat_a, NAT_LIFE);
        if (nat_b >= 0)
            world_nat(world_uplink(b->end, i), (enum world_nat_kind)nat_b, NAT_LIFE);
    }
    f = traffic_steady(r->t, a->end, b->end, 400000, 500, true);
    world_run_for(r->w, 9 * SEC);
    o = (struct outcome){ f->received > 0, f->received > 0 ? f->first_rx - WORLD_START : 0 };
    realm_done(r);
    return o;
}

enum { NONE = -1, CONE = WORLD_NAT_CONE, RESTRICTED = WORLD_NAT_RESTRICTED, SYMMETRIC = WORLD_NAT_SYMMETRIC };

static const struct row {
    int a, b;
    bool alone, told; /* reached without the manager's word to the callee, and with it */
    bool back;        /* since the callee called back */
} rows[] = {
    { NONE, NONE, true, true, false },
    { CONE, CONE, true, true, false },
    { RESTRICTED, NONE, true, true, false },
    { RESTRICTED, CONE, true, true, false },
    { NONE, RESTRICTED, false, true, false },
    { CONE, RESTRICTED, false, true, false },
    { RESTRICTED, RESTRICTED, false, true, false },
    { SYMMETRIC, NONE, true, true, false },
    { SYMMETRIC, CONE, true, true, false },
    { NONE, SYMMETRIC, false, true, true }, /* the callee's mapping for the caller is nobody's to know */
    { CONE, SYMMETRIC, false, true, true },
    { SYMMETRIC, RESTRICTED, false, false, false },
    { RESTRICTED, SYMMETRIC, false, false, false },
    { SYMMETRIC, SYMMETRIC, false, false, false },
};

static void test_matrix(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *w = &rows[i];
        struct outcome alone = call(1 + i, w->a, w->b, false, one), told = call(1 + i, w->a, w->b, true, one);

        if (alone.reached != w->alone || told.reached != w->told)
            fail_msg("row %zu: found %d %d", i, alone.reached, told.reached);
        if (told.reached)
            assert_true(told.first <= (w->back ? DIRECT + 1500 * MSEC + 100 * MSEC + 40 * MSEC
                                               : DIRECT)); /* the first handshake met an open way */
    }
}

/* A knock is lost with the first handshake: they meet at another. */
static void test_lossy(void **state)
{
    static const char *const lossy[] = { "rate=20mbit delay=10ms loss=30%", NULL };

    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++)
        assert_true(call(seed, RESTRICTED, RESTRICTED, true, lossy).reached);
}

/* For a second, each behind a NAT that forgets; then they are idle. */
static void speak_behind_nats(struct realm *r, struct program *a, struct program *b)
{
    struct traffic_flow *f;

    r->tells = true;
    world_nat(world_uplink(a->end, 0), WORLD_NAT_RESTRICTED, NAT_LIFE);
    world_nat(world_uplink(b->end, 0), WORLD_NAT_RESTRICTED, NAT_LIFE);
    f = traffic_steady(r->t, a->end, b->end, 400000, 500, true);
    world_run_for(r->w, 1 * SEC);
    traffic_stop(f);
}

/* What is idle holds its mappings: an answer after five minutes of few words still comes through. */
static void test_held(void **state)
{
    struct realm *r = realm_make(3);
    struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
    struct traffic_flow *f;

    (void)state;
    speak_behind_nats(r, a, b);
    world_run_for(r->w, 280 * SEC);
    f = traffic_steady(r->t, b->end, a->end, 400000, 500, true);
    world_run_for(r->w, 1 * SEC);
    traffic_stop(f);
    world_run_for(r->w, 200 * MSEC);
    assert_int_equal(traffic_missing(f), 0);
    assert_int_equal(b->wanted, 0);
    realm_done(r);
}

/* How long an uplink was silent at most. */
struct silence {
    struct world_watch watch;
    struct world_end *of;
    instant last;
    span longest;
};

static void on_any(void *ctx, struct world_end *e, struct world_uplink *u, const struct world_packet *p)
{
    struct silence *s = ctx;

    (void)u;
    (void)p;
    if (e != s->of)
        return;
    s->longest = MAX(s->longest, e->world->now - s->last);
    s->last = e->world->now;
}

/* Both ends of an idle session say something often enough for NATs that forget after 30 s, and with a loss. */
static void test_kept(void **state)
{
    struct realm *r = realm_make(7);
    struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
    struct silence of_a = { .watch = { .ctx = &of_a, .sent = on_any }, .of = a->end };
    struct silence of_b = { .watch = { .ctx = &of_b, .sent = on_any }, .of = b->end };

    (void)state;
    speak_behind_nats(r, a, b);
    world_run_for(r->w, 1 * SEC);
    of_a.last = of_b.last = r->w->now;
    world_watch_add(r->w, &of_a.watch);
    world_watch_add(r->w, &of_b.watch);
    world_run_for(r->w, 250 * SEC);
    print_message("# idle: silent for %lld ms and %lld ms at most\n", (long long)(of_a.longest / MSEC),
                  (long long)(of_b.longest / MSEC));
    assert_true(of_a.longest < NAT_LIFE / 2 && of_b.longest < NAT_LIFE / 2);
    realm_done(r);
}

/* What happens to two that speak to each other; returns for how long nothing came through. */
static span disturbed(uint64_t seed, enum world_nat_kind kind, void (*what)(struct world_uplink *), bool a_too,
                      bool b_too)
{
    struct realm *r = realm_make(seed);
    struct program *a = host_make(r, "a", one), *b = host_make(r, "b", one);
    struct traffic_flow *f, *back;
    span stall;

    r->tells = true;
    r->v->patience = 3600 * SEC;
    world_nat(world_uplink(a->end, 0), kind, NAT_LIFE);
    world_nat(world_uplink(b->end, 0), kind, NAT_LIFE);
    f = traffic_steady(r->t, a->end, b->end, 4000000, 1000, true);
    world_run_for(r->w, 1 * SEC);
    back = traffic_steady(r->t, b->end, a->end, 4000000, 1000, true);
    world_run_for(r->w, 3 * SEC);
    traffic_gap_reset(f);
    traffic_gap_reset(back);
    if (a_too)
        what(world_uplink(a->end, 0));
    if (b_too)
        what(world_uplink(b->end, 0));
    world_run_for(r->w, 20 * SEC);
    stall = MAX(traffic_gap(f), traffic_gap(back));
    assert_true(paths_active(a, b) > 0);
    realm_done(r);
    return stall;
}

/* The NAT of one end or of both is started anew in the middle of it: all mappings are forgotten, and the next ones have
 * other ports. Or both ends are in other networks from one moment to the next, behind NATs too. */
static void test_disturbed(void **state)
{
    static const struct {
        const char *name;
        enum world_nat_kind kind;
        void (*what)(struct world_uplink *);
        bool a, b;
    } disturbances[] = {
        { "the caller's NAT anew, cones", WORLD_NAT_CONE, world_nat_rebind, true, false },
        { "the caller's NAT anew", WORLD_NAT_RESTRICTED, world_nat_rebind, true, false },
        { "the callee's NAT anew", WORLD_NAT_RESTRICTED, world_nat_rebind, false, true },
        { "both NATs anew", WORLD_NAT_RESTRICTED, world_nat_rebind, true, true },
        { "both move", WORLD_NAT_RESTRICTED, world_uplink_move, true, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(disturbances); i++)
        for (uint64_t seed = 1; seed <= 4; seed++) {
            span stall =
                disturbed(seed, disturbances[i].kind, disturbances[i].what, disturbances[i].a, disturbances[i].b);

            print_message("# %s, seed %d: %lld ms\n", disturbances[i].name, (int)seed, (long long)(stall / MSEC));
            assert_true(stall <= MANAGER + 40 * MSEC + 100 * MSEC); /* as without NATs: test_both_move */
        }
}

/* Stands in the core, for the relay: what goes to the channel comes to the other end from there. */
struct passing {
    struct world_watch watch;
    struct world_end *ends[2];
    uint64_t bytes;
};

static bool on_core(void *ctx, struct world_packet *p)
{
    struct passing *r = ctx;
    bool of_first = endpoint_equal(&p->src, &world_uplink(r->ends[0], 0)->public_at[1]);

    if (!node_is_relayed(&p->dst))
        return true;
    p->src = p->dst;
    p->dst = world_uplink(r->ends[of_first], 0)->public_at[1];
    r->bytes += p->len;
    return true;
}

static bool is_relayed(void *ctx)
{
    return ((struct passing *)ctx)->bytes > 0;
}

/* Two hosts whose NATs let nothing through directly, and an agent that relays. */
static struct realm *relayed_make(uint64_t seed, struct passing *ret)
{
    struct realm *r = realm_make(seed);

    r->v6 = r->relays = r->tells = true;
    r->v->patience = 3600 * SEC;
    *ret = (struct passing){ .watch = { .ctx = ret, .core = on_core } };
    for (unsigned i = 0; i < 2; i++) {
        ret->ends[i] = host_make(r, i ? "b" : "a", one)->end;
        world_nat(world_uplink(ret->ends[i], 0), WORLD_NAT_SYMMETRIC, NAT_LIFE);
    }
    world_watch_add(r->w, &ret->watch);
    return r;
}

/* What cannot go directly is relayed, after a while; and goes directly when that works, without a packet lost. */
static void test_relayed(void **state)
{
    struct passing relay;
    struct realm *r = relayed_make(5, &relay);
    struct world_end *a = relay.ends[0], *b = relay.ends[1];
    struct traffic_flow *f;
    uint64_t before;

    (void)state;
    f = traffic_steady(r->t, a, b, 40000, 500, true); /* ten a second: all of them can wait */
    assert_true(world_run_until(r->w, is_relayed, &relay, 5 * SEC));
    assert_true(r->w->now - WORLD_START >= NODE_RELAY_AFTER);
    world_run_for(r->w, 1 * SEC);
    assert_true(f->received > 0);
    assert_true(f->first_rx - WORLD_START <= NODE_RELAY_AFTER + 500 * MSEC); /* a tick, a handshake, a probe */
    traffic_stop(f);
    f = traffic_steady(r->t, a, b, 4000000, 1000, true);
    world_run_for(r->w, 2 * SEC);
    before = relay.bytes;
    world_run_for(r->w, 2 * SEC);
    assert_true(relay.bytes - before > 2 * 4000000 / 8); /* all of it */
    world_nat(world_uplink(a, 0), WORLD_NAT_CONE, NAT_LIFE);
    world_nat(world_uplink(b, 0), WORLD_NAT_CONE, NAT_LIFE);
    world_run_for(r->w, 12 * SEC); /* paths that are down are asked for each 5 s, and held back for a while */
    before = relay.bytes;
    world_run_for(r->w, 10 * SEC);
    assert_true(relay.bytes - before < 10 * 4000000 / 8 / 50); /* probes */
    traffic_stop(f);
    world_run_for(r->w, 200 * MSEC);
    assert_int_equal(traffic_missing(f), 0);
    realm_done(r);
}

/* Who has been relayed for long finds the way when there is one: NATs that must be opened again, at other ports. */
static void test_direct_later(void **state)
{
    struct passing relay;
    struct realm *r = relayed_make(6, &relay);
    struct world_end *a = relay.ends[0], *b = relay.ends[1];
    struct traffic_flow *f;
    uint64_t before;

    (void)state;
    f = traffic_steady(r->t, a, b, 400000, 500, true);
    world_run_for(r->w, 80 * SEC);
    before = f->received;
    world_nat(world_uplink(a, 0), WORLD_NAT_RESTRICTED, NAT_LIFE);
    world_nat(world_uplink(b, 0), WORLD_NAT_RESTRICTED, NAT_LIFE);
    world_nat_rebind(world_uplink(a, 0));
    world_nat_rebind(world_uplink(b, 0));
    world_run_for(r->w, 90 * SEC);
    assert_true(f->received - before > 90 * 100 - 50); /* without a gap */
    before = relay.bytes;
    world_run_for(r->w, 10 * SEC);
    assert_true(relay.bytes - before < 10 * 400000 / 8 / 20); /* probes */
    realm_done(r);
}

/* One that hears that it is seen elsewhere looks for those whom it does not reach directly, and does not wait for the
 * minute. Of those whom it does reach it asks nobody. */
static void test_seek(void **state)
{
    struct passing relay;
    struct realm *r = relayed_make(8, &relay);
    struct world_end *a = relay.ends[0], *b = relay.ends[1];
    struct traffic_flow *f;
    unsigned lost[2];
    uint64_t before;

    (void)state;
    f = traffic_steady(r->t, a, b, 400000, 500, true);
    world_run_for(r->w, 20 * SEC);
    world_nat(world_uplink(a, 0), WORLD_NAT_RESTRICTED, NAT_LIFE);
    world_nat(world_uplink(b, 0), WORLD_NAT_RESTRICTED, NAT_LIFE);
    world_nat_rebind(world_uplink(a, 0));
    world_nat_rebind(world_uplink(b, 0));
    node_seek(a->node, r->w->now);
    world_touch(a);
    world_run_for(r->w, 12 * SEC);
    before = relay.bytes;
    world_run_for(r->w, 10 * SEC);
    assert_true(relay.bytes - before < 10 * 400000 / 8 / 20); /* probes */
    for (unsigned i = 0; i < 2; i++)
        lost[i] = r->programs[i].lost;
    node_seek(a->node, r->w->now);
    node_seek(b->node, r->w->now); /* which was called: it is looked for */
    world_touch(a);
    world_touch(b);
    world_run_for(r->w, 1 * SEC);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(r->programs[i].lost, lost[i]);
    assert_true(f->received > 0);
    realm_done(r);
}

struct count {
    struct world_watch watch;
    struct world_end *of;
    unsigned knocks;
    instant last;
    span gap;
};

static void on_sent(void *ctx, struct world_end *e, struct world_uplink *u, const struct world_packet *p)
{
    struct count *c = ctx;

    (void)u;
    if (e != c->of || p->len != KNOCK_LEN)
        return;
    if (c->knocks++ > 0)
        c->gap = MIN(c->gap, e->world->now - c->last);
    c->last = e->world->now;
}

/* However often and of however many places a host is told: no more leaves than is said, nor faster. */
static void test_bounded(void **state)
{
    struct realm *r = realm_make(4);
    struct program *b = host_make(r, "b", two);
    struct count c = { .watch = { .ctx = &c, .sent = on_sent }, .of = b->end, .gap = SEC };

    (void)state;
    world_watch_add(r->w, &c.watch);
    for (unsigned i = 0; i < 10; i++) {
        struct endpoint at[200];

        for (unsigned j = 0; j < ARRAY_LEN(at); j++)
            at[j] = (struct endpoint){ addr_v4(0xcb007100u + (i % 5) * 8 + j), 1024 };
        node_expect(b->end->node, &at[i].addr, at, ARRAY_LEN(at), r->w->now);
    }
    world_touch(b->end);
    world_run_for(r->w, 20 * SEC);
    assert_int_equal(c.knocks, 64 * 3);
    assert_true(c.gap >= 20 * MSEC);
    realm_done(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix),       cmocka_unit_test(test_lossy),     cmocka_unit_test(test_held),
        cmocka_unit_test(test_kept),         cmocka_unit_test(test_disturbed), cmocka_unit_test(test_relayed),
        cmocka_unit_test(test_direct_later), cmocka_unit_test(test_seek),      cmocka_unit_test(test_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
