/* What becomes of a path that was parked for its losses: through falls, trials and moves; in virtual time.
 *
 *            +-- uplink 1, clean ---------------+
 *     node --+                                  +-- core -- agent
 *            +-- uplink 2, loses, and too late -+
 *
 * One transfer by CUBIC, downwards if nothing else is said, which sees the losses of the second if that is striped
 * over. */
#include "session/internal.h"
#include "tests/sim/sim.h"

#define CLEAN "rate=40mbit delay=35ms"
#define LOSSY "rate=25mbit delay=50ms jitter=25ms loss=1%"
#define LOSES_NO_MORE "jitter=0ms loss=0%"
#define TRIED_AFTER (30 * SEC)
#define TRIED_AT_LAST (300 * SEC)
#define IDLE (3 * SEC)   /* nothing is on its way any more */
#define TRIAL (10 * SEC) /* 1,600 copies of each eighth packet take some four */

struct transfer {
    struct bench b;
    struct session *s; /* of the end that sends */
    struct world_uplink *lossy;
    struct traffic_flow *f;
};

static struct session_path_info lossy_path(const struct transfer *d)
{
    struct session_path_info info;

    session_path_info(d->s, 1, d->b.w->now, &info);
    return info;
}

static uint64_t copies(const struct transfer *d)
{
    struct session_info info;

    session_info(d->s, d->b.w->now, &info);
    return info.duplicated;
}

static bool is_parked(void *ctx)
{
    return lossy_path(ctx).parked == PARK_LOSSY;
}

static bool is_used(void *ctx)
{
    return lossy_path(ctx).parked == PARK_NOT;
}

static bool is_active(void *ctx)
{
    return lossy_path(ctx).metrics.state == PATH_ACTIVE;
}

static bool is_on_trial(void *ctx)
{
    return ((const struct transfer *)ctx)->s->on_trial;
}

static void set_metered(struct transfer *d)
{
    d->lossy->spec.metered = true; /* says the node, and the agent keeps to it */
    world_uplink_tell(d->lossy);
}

/* Until the second path is parked. */
static struct transfer transfer_over(bool up, uint64_t seed, const char *const params[])
{
    static const struct tcp_options rack = { &tcp_cc_cubic, TCP_LOSS_RACK };
    struct transfer d = { .b = bench_make(seed, NULL, false, params) };

    d.lossy = world_uplink(d.b.node, 1);
    bench_begin(&d.b);
    d.s = node_peer_session(up ? d.b.node->node : d.b.agent->node, 0);
    d.f = traffic_window(d.b.t, up ? d.b.node : d.b.agent, up ? d.b.agent : d.b.node, 0, &rack);
    assert_true(world_run_until(d.b.w, is_parked, &d, 60 * SEC));
    return d;
}

static struct transfer transfer_begin(uint64_t seed)
{
    return transfer_over(false, seed, PARAMS(CLEAN, LOSSY));
}

static void transfer_end(struct transfer *d)
{
    traffic_stop(d->f);
    world_run_for(d->b.w, 1 * SEC);
    bench_done(&d->b);
}

static void stays_parked(struct transfer *d, span t)
{
    if (world_run_until(d->b.w, is_used, d, t))
        fail_msg("used again at %.1f s", (double)(d->b.w->now - WORLD_START) / SEC);
}

/* After a fall nothing is known of its rate; what it would cost is no other for that. */
static void test_parked_through_a_fall(void **state)
{
    static const struct {
        bool silent;
        span t;
    } falls[] = { { false, 1 * SEC }, { false, 10 * SEC }, { true, 2 * SEC } };

    for (size_t i = 0; i < ARRAY_LEN(falls); i++)
        for (uint64_t seed = 1; seed <= (sim_brief() ? 1 : 2); seed++) {
            struct transfer d = transfer_begin(seed);

            world_run_for(d.b.w, IDLE);
            if (falls[i].silent)
                world_link(d.lossy, "blackhole=1");
            else
                world_carrier(d.lossy, false);
            world_run_for(d.b.w, falls[i].t);
            assert_int_equal(lossy_path(&d).metrics.state, PATH_DOWN);
            if (falls[i].silent)
                world_link(d.lossy, "blackhole=0");
            else
                world_carrier(d.lossy, true);
            stays_parked(&d, TRIED_AFTER - IDLE - falls[i].t);
            assert_true(world_run_until(d.b.w, is_active, &d, 1 * SEC)); /* it may have lost probes a moment ago */
            transfer_end(&d);
        }
}

/* A trial that comes while the path's rate is sought, soon after a fall, ends with a verdict. */
static void test_tried_while_its_rate_is_sought(void **state)
{
    for (uint64_t seed = 1; seed <= (sim_brief() ? 1 : 6); seed++) {
        struct transfer d = transfer_begin(seed);
        uint64_t before = copies(&d);

        world_carrier(d.lossy, false);
        world_run_for(d.b.w, TRIED_AFTER);
        world_carrier(d.lossy, true);
        stays_parked(&d, TRIAL);
        assert_true(copies(&d) - before > 1000);
        world_link(d.lossy, LOSES_NO_MORE); /* and the next one with another */
        assert_true(world_run_until(d.b.w, is_used, &d, 2 * TRIED_AFTER + TRIAL));
        transfer_end(&d);
    }
}

/* What a fall loses in the middle of a trial is no verdict: a path that loses no more is tried anew, and soon. */
static void test_tried_anew_after_a_fall(void **state)
{
    struct transfer d = transfer_begin(1);

    world_link(d.lossy, LOSES_NO_MORE);
    assert_true(world_run_until(d.b.w, is_on_trial, &d, TRIED_AFTER + 1 * SEC));
    world_run_for(d.b.w, 500 * MSEC);
    assert_true(is_on_trial(&d));
    world_link(d.lossy, "blackhole=1");
    world_run_for(d.b.w, 2 * SEC);
    assert_int_equal(lossy_path(&d).metrics.state, PATH_DOWN);
    world_link(d.lossy, "blackhole=0");
    assert_true(world_run_until(d.b.w, is_used, &d, TRIED_AFTER + TRIAL));
    transfer_end(&d);
}

/* With a new address it is another path, of which nothing is known; with another port of its NAT it is the same. */
static void another_address(bool up, bool moves)
{
    struct transfer d = transfer_over(up, 1, PARAMS(CLEAN, LOSSY));
    const struct session *agents = node_peer_session(d.b.agent->node, 0);
    struct session_path_info before, after;

    session_path_info(agents, 1, d.b.w->now, &before);
    if (moves)
        world_uplink_move(d.lossy);
    else
        world_nat(d.lossy, WORLD_NAT_CONE, 600 * SEC);
    assert_int_equal(world_run_until(d.b.w, is_used, &d, TRIED_AFTER), moves);
    world_run_for(d.b.w, 1 * SEC); /* for the news of it */
    session_path_info(agents, 1, d.b.w->now, &after);
    assert_int_equal(addr_equal(&before.at.remote.addr, &after.at.remote.addr), !moves);
    assert_false(endpoint_equal(&before.at.remote, &after.at.remote));
    transfer_end(&d);
}

static void test_another_address_begins_anew(void **state)
{
    another_address(false, true);
    another_address(false, false);
    another_address(true, true);
    another_address(true, false);
}

/* Whose bytes cost is not tried by copies, not even if a trial runs when that is said; it is used again all the
 * same. */
static void test_metered_is_tried_in_earnest(void **state)
{
    for (unsigned late = sim_brief(); late < 2; late++) {
        struct transfer d = transfer_begin(1);
        uint64_t before;

        if (late)
            assert_true(world_run_until(d.b.w, is_on_trial, &d, TRIED_AFTER + 1 * SEC));
        set_metered(&d);
        world_run_for(d.b.w, 1 * SEC); /* the news, and what waits */
        before = copies(&d);
        stays_parked(&d, TRIED_AT_LAST - TRIED_AFTER);
        assert_true(copies(&d) - before < 100); /* beside a path in doubt */
        world_link(d.lossy, LOSES_NO_MORE);
        assert_true(world_run_until(d.b.w, is_used, &d, 2 * TRIED_AFTER));
        world_run_for(d.b.w, TRIAL);
        assert_true(is_used(&d));
        transfer_end(&d);
    }
}

/* A trial tells by what may be lost: that acknowledgements of what comes the other way go by the path, too, says
 * nothing. */
static void test_no_trial_by_acknowledgements(void **state)
{
    struct transfer d = transfer_begin(1);
    struct traffic_flow *f;
    uint64_t before = copies(&d);

    world_steer(d.b.node, "any udp via up2 mode active-standby");
    f = traffic_steady(d.b.t, d.b.node, d.b.agent, 5000000, 400, false);
    world_link(d.lossy, LOSES_NO_MORE);
    assert_true(world_run_until(d.b.w, is_used, &d, TRIED_AFTER + TRIAL));
    assert_true(copies(&d) - before > 1000);
    traffic_stop(f);
    transfer_end(&d);
}

/* A trial goes on only where it is judged: by a link that has become a backup meanwhile nothing is copied for it,
 * though a rule uses such links. */
static void test_no_trial_of_another_tier(void **state)
{
    struct transfer d =
        transfer_over(false, 1, PARAMS(CLEAN, LOSSY, "rate=20mbit delay=20ms", "rate=5mbit delay=40ms"));
    struct traffic_flow *f;
    uint64_t before;

    world_steer(d.b.node, "any udp via up2,up3 mode stripe");
    assert_true(world_run_until(d.b.w, is_on_trial, &d, TRIED_AFTER + 1 * SEC));
    for (unsigned i = 1; i <= 2; i++) {
        world_uplink(d.b.node, i)->spec.tier = TIER_BACKUP;
        world_uplink_tell(world_uplink(d.b.node, i));
    }
    f = traffic_steady(d.b.t, d.b.agent, d.b.node, 2000000, 1000, false);
    world_run_for(d.b.w, 1 * SEC);
    before = copies(&d);
    world_run_for(d.b.w, TRIAL);
    assert_true(copies(&d) - before < 100);
    traffic_stop(f);
    transfer_end(&d);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parked_through_a_fall),        cmocka_unit_test(test_tried_while_its_rate_is_sought),
        cmocka_unit_test(test_tried_anew_after_a_fall),      cmocka_unit_test(test_another_address_begins_anew),
        cmocka_unit_test(test_metered_is_tried_in_earnest),  cmocka_unit_test(test_no_trial_of_another_tier),
        cmocka_unit_test(test_no_trial_by_acknowledgements),
    };

    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
