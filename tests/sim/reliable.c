/* Sessions over TCP, alone and beside UDP, in virtual time: sim/stream.h is the kernel's TCP.
 *
 *            +-- uplink 1 --+
 *     node --+              +-- core -- agent
 *            +-- uplink 2 --+
 *
 * Every byte is checked at its place (sim/transfer.h); the transfers go upwards. Delays are one way. */
#include "sim/stream.h"
#include "sim/transfer.h"
#include "tests/sim/sim.h"

#define UDP (1u << TRANSPORT_UDP)
#define TCP (1u << TRANSPORT_TCP)

static const struct delivery_options bytes_options = { 0 };

/* Up, with a path over those transports by each uplink. A record of the world's is no larger than a packet. */
static struct bench make(uint64_t seed, const char *const params[], const uint8_t transports[])
{
    const struct node_options o = { .delivery = &bytes_options,
                                    .pool_pkts = 16384,
                                    .features = FEATURES_KNOWN & ~FEATURE_LARGE_RECORDS };
    struct bench b = bench_make(seed, &o, false, params);

    b.v->patience = 600 * SEC; /* what is asked of progress here is asked by each test */
    for (size_t i = 0; params[i]; i++) {
        world_uplink(b.node, (unsigned)i)->spec.transports = transports[i];
        world_uplink_tell(world_uplink(b.node, (unsigned)i));
    }
    bench_begin(&b);
    return b;
}

static struct session_path_info path_by(struct bench *b, unsigned uplink, enum transport transport)
{
    struct session_path_info info;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(node_peer_session(b->node->node, 0), i, b->w->now, &info);
        if (info.used && info.at.transport == transport && info.at.link == world_uplink(b->node, uplink)->spec.link)
            return info;
    }
    fail_msg("no path over transport %d by uplink %u", transport, uplink);
    return info;
}

static struct delivery_info delivery_of(struct bench *b)
{
    struct delivery_info info;

    delivery_info(node_peer_delivery(b->node->node, 0), &info);
    return info;
}

static void finish(struct bench *b, struct transfer *t, span limit)
{
    if (!world_run_until(b->w, transfer_done, t, limit))
        fail_msg("%llu of %llu bytes after %lld ms: %s", (unsigned long long)t->read, (unsigned long long)t->total,
                 (long long)limit / MSEC, b->w->error);
    bench_done(b);
    transfer_free(t);
}

/* Bits a second of the last two thirds of 12 s. */
static double goodput(const char *const params[], const uint8_t transports[])
{
    struct bench b = make(1, params, transports);
    struct transfer *t = transfer_new(b.node, 0, b.agent, 0, UINT64_MAX, false);
    uint64_t before;

    world_run_for(b.w, 4 * SEC);
    before = t->read;
    world_run_for(b.w, 8 * SEC);
    before = t->read - before;
    assert_int_equal(delivery_of(&b).resent, 0); /* what TCP loses it sends again, and nobody else does */
    transfer_stop(t);
    bench_done(&b);
    transfer_free(t);
    return (double)before;
}

/* Two unequal links together: at least 90 % of what they carry alone, with losses too, whose repair is TCP's. */
static void test_both_links(void **state)
{
    static const char *const pairs[][2] = { { "rate=20mbit delay=10ms", "rate=10mbit delay=40ms" },
                                            { "rate=50mbit delay=20ms", "rate=5mbit delay=20ms" },
                                            { "rate=20mbit delay=10ms loss=0.1%", "rate=20mbit delay=30ms" } };

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        double first = goodput(PARAMS(pairs[i][0]), (const uint8_t[]){ TCP });
        double second = goodput(PARAMS(pairs[i][1]), (const uint8_t[]){ TCP });
        double both = goodput(PARAMS(pairs[i][0], pairs[i][1]), (const uint8_t[]){ TCP, TCP });

        if (both < .9 * (first + second))
            fail_msg("%s + %s: %.0f and %.0f alone, %.0f together", pairs[i][0], pairs[i][1], first, second, both);
    }
}

/* UDP by the one, TCP by the other: each carries at least half of what its link could. */
static void test_mix(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=10mbit delay=40ms"), (const uint8_t[]){ UDP, TCP });
    struct transfer *t = transfer_new(b.node, 0, b.agent, 0, 15000000, false);

    world_run_for(b.w, 4 * SEC);
    assert_true(path_by(&b, 0, TRANSPORT_UDP).metrics.tx_bytes > 5000000);
    assert_true(path_by(&b, 1, TRANSPORT_TCP).metrics.tx_bytes > 2500000);
    assert_int_equal(path_by(&b, 0, TRANSPORT_UDP).congestion, CC_BBR);
    assert_int_equal(path_by(&b, 1, TRANSPORT_TCP).congestion, CC_KERNEL);
    finish(&b, t, 20 * SEC);
}

/* A link of TCP goes silent. The rule: 200 ms, or two round trips, and 200 ms more if TCP's timer, behind a probe of
 * the tail, has not backed off by then; what was in flight goes by the other link, behind what waits there, a round
 * trip at most; 50 ms for a tick. When the link is back it carries again. */
static void test_silence(void **state)
{
    for (unsigned which = 0; which < 2; which++) {
        struct bench b =
            make(which, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=20ms"), (const uint8_t[]){ TCP, TCP });
        struct transfer *t = transfer_new(b.node, 0, b.agent, 0, 60000000, false);
        uint64_t sent;
        span most;

        world_run_for(b.w, 3 * SEC);
        most = MAX(2 * path_by(&b, which, TRANSPORT_TCP).metrics.srtt, 200 * MSEC) + 200 * MSEC + 50 * MSEC +
               path_by(&b, !which, TRANSPORT_TCP).metrics.srtt;
        t->stall_max = 0;
        world_link(world_uplink(b.node, which), "blackhole=1");
        world_run_for(b.w, 1 * SEC);
        if (t->stall_max > most)
            fail_msg("uplink %u: the reader waited for %lld ms, expected at most %lld", which,
                     (long long)t->stall_max / MSEC, (long long)most / MSEC);
        assert_true(delivery_of(&b).resent > 0);
        /* Once: a second of the link is more than its window, its queue and what waits before it hold. */
        assert_true(delivery_of(&b).resent < 2500000);
        world_run_for(b.w, 2 * SEC);
        assert_int_equal(path_by(&b, which, TRANSPORT_TCP).metrics.state, PATH_DOWN);
        sent = path_by(&b, which, TRANSPORT_TCP).metrics.tx_bytes;
        world_link(world_uplink(b.node, which), "blackhole=0");
        world_run_for(b.w, 8 * SEC); /* probes are up to 5 s apart, and the hold is 1 s */
        assert_int_equal(path_by(&b, which, TRANSPORT_TCP).metrics.state, PATH_ACTIVE);
        assert_true(path_by(&b, which, TRANSPORT_TCP).metrics.tx_bytes > sent + 500000);
        finish(&b, t, 30 * SEC);
    }
}

/* Every link goes silent for 5 s, with one and with two: the stream goes on where it was. */
static void test_both_silent(void **state)
{
    for (unsigned links = 1; links <= 2; links++) {
        struct bench b = make(1,
                              links == 1 ? PARAMS("rate=20mbit delay=10ms")
                                         : PARAMS("rate=20mbit delay=10ms", "rate=10mbit delay=40ms"),
                              (const uint8_t[]){ TCP, TCP });
        struct transfer *t = transfer_new(b.node, 0, b.agent, 0, 10000000, false);

        world_run_for(b.w, 2 * SEC);
        for (unsigned i = 0; i < links; i++)
            world_link(world_uplink(b.node, i), "blackhole=1");
        world_run_for(b.w, 5 * SEC);
        for (unsigned i = 0; i < links; i++)
            world_link(world_uplink(b.node, i), "blackhole=0");
        finish(&b, t, 15 * SEC);
    }
}

/* A link goes with notice, in the middle, and comes back. */
static void test_carrier(void **state)
{
    struct bench b = make(1, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=20ms"), (const uint8_t[]){ TCP, TCP });
    struct transfer *t = transfer_new(b.node, 0, b.agent, 0, 30000000, false);

    world_run_for(b.w, 3 * SEC);
    t->stall_max = 0;
    world_carrier(world_uplink(b.node, 0), false);
    world_run_for(b.w, 1 * SEC);
    /* What was in flight goes again behind what the other link has in its queue. */
    assert_true(t->stall_max < 300 * MSEC);
    world_carrier(world_uplink(b.node, 0), true);
    world_run_for(b.w, 4 * SEC);
    assert_int_equal(path_by(&b, 0, TRANSPORT_TCP).metrics.state, PATH_ACTIVE);
    finish(&b, t, 30 * SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_links),  cmocka_unit_test(test_mix),     cmocka_unit_test(test_silence),
        cmocka_unit_test(test_both_silent), cmocka_unit_test(test_carrier),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
