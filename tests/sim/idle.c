/* What an idle path would carry, by short trains of records (path/train.h).
 *
 *     node -- 1 uplink -- core -- agent          nothing is sent but what the ends say to each other
 */
#include "tests/sim/sim.h"

static struct bench make(const char *link, bool trains)
{
    struct bench b = bench_make(1, NULL, false, PARAMS(link));

    world_uplink(b.node, 0)->spec.trains = trains;
    world_uplink_tell(world_uplink(b.node, 0));
    bench_begin(&b);
    return b;
}

static struct path_metrics look(const struct bench *b)
{
    struct session *s = node_peer_session(b->node->node, 0);
    struct session_path_info info = { 0 };

    for (unsigned i = 0; s && i < SESSION_SLOTS && !info.used; i++)
        session_path_info(s, i, b->w->now, &info);
    assert_true(info.used);
    return info.metrics;
}

/* Within a fifth of the link's rate after a minute, for 180 kB at most, and 64 records an hour later on; with a short
 * queue, a long way and a lossy one, too. */
static void test_estimate(void **state)
{
    static const struct {
        const char *link;
        double mbit;
    } rows[] = {
        { "rate=1mbit delay=10ms", 1 },          { "rate=2mbit delay=10ms queue=20ms", 2 },
        { "rate=5mbit delay=150ms", 5 },         { "rate=10mbit delay=10ms queue=20ms", 10 },
        { "rate=20mbit delay=5ms loss=2%", 20 }, { "rate=80mbit delay=20ms", 80 },
    };

    printf("# link, idle rate in Mbit/s, bytes of a minute, bytes of the third hour\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench b = make(rows[i].link, true);
        struct path_metrics m;
        uint64_t before;

        world_run_for(b.w, 60 * SEC);
        m = look(&b);
        assert_in_range(m.train_bytes, 1, 180000);
        before = m.train_bytes;
        world_run_for(b.w, 7200 * SEC);
        before = look(&b).train_bytes;
        world_run_for(b.w, 3600 * SEC);
        printf("# %-36s %6.2f %7llu %7llu\n", rows[i].link, (double)m.idle_bps * 1e-6,
               (unsigned long long)m.train_bytes, (unsigned long long)(look(&b).train_bytes - before));
        assert_false(m.idle_is_lower_bound);
        assert_in_range(m.idle_bps, (uint64_t)(rows[i].mbit * .8e6), (uint64_t)(rows[i].mbit * 1.2e6));
        assert_true(look(&b).train_bytes - before <= 2 * 64 * 1500);
        m = look(&b);
        assert_in_range(m.idle_bps, (uint64_t)(rows[i].mbit * .8e6), (uint64_t)(rows[i].mbit * 1.2e6));
        bench_done(&b);
    }
}

/* One that is faster than the longest train can tell is known to be at least so fast: 63 records of 1,500 bytes in 8
 * ms.
 */
static void test_fast(void **state)
{
    struct bench b = make("rate=300mbit delay=8ms", true);
    struct path_metrics m;

    world_run_for(b.w, 60 * SEC);
    m = look(&b);
    assert_true(m.idle_is_lower_bound);
    assert_in_range(m.idle_bps, 63 * 1400 * 8 * 125, 63 * 1500 * 8 * 125);
    assert_in_range(m.train_bytes, 1, 180000);
    bench_done(&b);
}

/* A link that became slower while nobody used it is found out. */
static void test_changed(void **state)
{
    struct bench b = make("rate=50mbit delay=10ms", true);

    world_run_for(b.w, 60 * SEC);
    assert_in_range(look(&b).idle_bps, 40000000, 60000000);
    world_link(world_uplink(b.node, 0), "rate=10mbit");
    world_run_for(b.w, 120 * SEC);
    assert_in_range(look(&b).idle_bps, 8000000, 12000000);
    bench_done(&b);
}

/* On a link that costs there are none; and where there are, nothing else that is known of the path changes by it, and
 * what comes after them is as fast. */
static void test_harm(void **state)
{
    uint64_t received[2];

    for (int trains = 0; trains < 2; trains++) {
        struct bench b = make("rate=10mbit delay=10ms queue=20ms", trains);
        instant since = look(&b).state_since;
        struct traffic_flow *f;
        struct path_metrics m;

        world_run_for(b.w, 130 * SEC);
        m = look(&b);
        assert_int_equal(m.train_bytes > 0, trains);
        assert_int_equal(m.idle_bps > 0, trains);
        assert_int_equal(m.state, PATH_ACTIVE);
        assert_int_equal(m.state_since, since);
        assert_int_equal(m.lost_pkts, 0);
        assert_in_range(m.srtt, 20 * MSEC, 25 * MSEC);
        f = traffic_window(b.t, b.node, b.agent, 0, NULL);
        world_run_for(b.w, 3 * SEC);
        received[trains] = f->received_bytes;
        m = look(&b);
        world_run_for(b.w, 200 * SEC); /* busy: nothing is measured */
        assert_int_equal(look(&b).train_bytes, m.train_bytes);
        traffic_stop(f);
        bench_done(&b);
    }
    printf("# %llu bytes in 3 s after two minutes of silence; with trains %llu\n", (unsigned long long)received[0],
           (unsigned long long)received[1]);
    assert_true(received[1] >= received[0] / 100 * 98);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_estimate),
        cmocka_unit_test(test_fast),
        cmocka_unit_test(test_changed),
        cmocka_unit_test(test_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
