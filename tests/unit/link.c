/* Unit tests of sim/link: times worked out by hand, shares within five standard deviations at fixed seeds. */
#include "sim/link.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <math.h>

/* Packets are opaque: any address does, and its index tells which one came out. */
static char packets[200000];

static uint32_t index_of(const void *pkt)
{
    return (uint32_t)((const char *)pkt - packets);
}

static void setup(struct link_dir *l, const char *params, uint64_t seed)
{
    struct link_params p = { 0 };
    char err[LINK_ERROR_MAX] = "";

    assert_int_equal(link_params_parse(params, &p, err), 0);
    assert_int_equal(link_init(l, 100000, seed), 0);
    link_configure(l, &p, 0);
}

static void change(struct link_dir *l, const char *params, instant now)
{
    struct link_params p = l->params;
    char err[LINK_ERROR_MAX] = "";

    assert_int_equal(link_params_parse(params, &p, err), 0);
    link_configure(l, &p, now);
}

/* Driven by its own expiry alone, the link gives packet i at exactly `due`. */
static void expect(struct link_dir *l, uint32_t i, instant due)
{
    struct link_out out;
    instant now;

    do {
        now = link_next_expiry(l);
        assert_true(now != INSTANT_NEVER);
    } while (!link_pop(l, now, &out));
    assert_int_equal(index_of(out.pkt), i);
    assert_int_equal(out.due, due);
    assert_int_equal(now, due);
}

static void expect_nothing(struct link_dir *l)
{
    struct link_out out;

    assert_int_equal(link_next_expiry(l), INSTANT_NEVER);
    assert_int_equal(link_pop(l, INT64_C(1) << 50, &out), 0);
}

static void push(struct link_dir *l, uint32_t i, uint32_t len, instant now)
{
    assert_int_equal(link_push(l, &packets[i], len, now), LINK_QUEUED);
}

static void test_serialisation(void **state)
{
    struct link_dir l;

    /* 1500 bytes at 12 Mbit/s are 1 ms. */
    setup(&l, "rate=12mbit delay=10ms", 1);
    for (uint32_t i = 0; i < 3; i++)
        push(&l, i, 1500, 0);
    assert_int_equal(link_queued_bytes(&l), 4500);
    for (uint32_t i = 0; i < 3; i++)
        expect(&l, i, 11 * MSEC + i * MSEC);
    /* An idle link saves up nothing. */
    push(&l, 3, 1500, 50 * MSEC);
    push(&l, 4, 750, 50 * MSEC);
    expect(&l, 3, 61 * MSEC);
    expect(&l, 4, 61 * MSEC + 500);
    expect_nothing(&l);
    assert_int_equal(l.counters.in_pkts, 5);
    assert_int_equal(l.counters.in_bytes, 6750);
    assert_int_equal(l.counters.delivered_bytes, 6750);
    assert_int_equal(l.counters.queue_max_bytes, 4500);
    link_deinit(&l);
}

static void test_no_drift(void **state)
{
    struct link_dir l;

    /* 12000 bits at 7 Mbit/s: 1714.285714... us; seven of them 12 ms to the microsecond, however many. */
    setup(&l, "rate=7mbit queue=1000m", 1);
    for (uint32_t i = 0; i < 70000; i++)
        push(&l, i, 1500, 0);
    for (uint32_t i = 0; i < 70000; i++)
        expect(&l, i, ((instant)(i + 1) * 12000 + 6) / 7);
    link_deinit(&l);
}

static void test_against_recurrence(void **state)
{
    /* finish = max(arrival, finish of the one before) + bits / rate, in long double. */
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng r;
        struct link_dir l;
        struct link_params p = { .queue_bytes = UINT64_MAX };
        static long double finish[2000];
        long double busy = 0;
        instant now = 0;

        prng_init(&r, seed);
        p.rate_bps = 1000 + prng_below(&r, seed % 2 ? 1000000000 : 1000000);
        assert_int_equal(link_init(&l, 2000, seed), 0);
        link_configure(&l, &p, 0);
        for (uint32_t i = 0; i < 2000; i++) {
            uint32_t len = 1 + (uint32_t)prng_below(&r, 1500);

            now += (instant)prng_below(&r, 2 * 750 * 8 * UINT64_C(1000000) / p.rate_bps + 1);
            busy =
                (busy > (long double)now ? busy : (long double)now) + (long double)len * 8e6L / (long double)p.rate_bps;
            finish[i] = busy;
            push(&l, i, len, now);
        }
        for (uint32_t i = 0; i < 2000; i++) {
            struct link_out out;

            assert_int_equal(link_pop(&l, (instant)finish[i] + 2, &out), 1);
            assert_int_equal(index_of(out.pkt), i);
            assert_true(fabsl((long double)out.due - finish[i]) <= 1.01L);
        }
        link_deinit(&l);
    }
}

static void test_rate_change(void **state)
{
    struct link_dir l;

    setup(&l, "rate=12mbit", 1);
    for (uint32_t i = 0; i < 5; i++)
        push(&l, i, 1500, 0);
    /* Half of the first is out; at 6 Mbit/s its other 750 bytes take 1 ms and the next would take 2. */
    change(&l, "rate=6mbit", 500);
    expect(&l, 0, 1500);
    /* 1 ms of the second's 2 ms is done; at 24 Mbit/s 750 bytes take 250 us and 1500 take 500. */
    change(&l, "rate=24mbit", 2500);
    expect(&l, 1, 2750);
    expect(&l, 2, 3250);
    change(&l, "rate=unlimited", 3400);
    expect(&l, 3, 3400);
    expect(&l, 4, 3400);
    push(&l, 5, 1500, 3401);
    expect(&l, 5, 3401);
    link_deinit(&l);
}

static void test_delay_change_keeps_order(void **state)
{
    struct link_dir l;

    setup(&l, "delay=30ms", 1);
    push(&l, 0, 100, 0);
    change(&l, "delay=5ms", 1000);
    push(&l, 1, 100, 1000);
    expect(&l, 0, 30 * MSEC);
    expect(&l, 1, 30 * MSEC);
    change(&l, "delay=30ms reorder=1", 40 * MSEC);
    push(&l, 2, 100, 40 * MSEC);
    change(&l, "delay=5ms", 40 * MSEC);
    push(&l, 3, 100, 40 * MSEC);
    expect(&l, 3, 45 * MSEC);
    expect(&l, 2, 70 * MSEC);
    assert_int_equal(l.counters.reordered, 1);
    link_deinit(&l);
}

static void test_queue_limit(void **state)
{
    struct link_dir l;

    setup(&l, "rate=12mbit queue=4500", 1);
    for (uint32_t i = 0; i < 3; i++)
        push(&l, i, 1500, 0);
    assert_int_equal(link_push(&l, &packets[3], 1500, 999), LINK_DROP_QUEUE);
    push(&l, 4, 1500, 1000);
    assert_int_equal(link_push(&l, &packets[5], 1, 1000), LINK_DROP_QUEUE);
    assert_int_equal(l.counters.dropped[LINK_DROP_QUEUE], 2);
    /* A smaller limit leaves what waits. */
    change(&l, "queue=100", 1000);
    expect(&l, 0, 1000);
    expect(&l, 1, 2000);
    expect(&l, 2, 3000);
    expect(&l, 4, 4000);
    /* An idle link takes a packet above its limit, a busy one does not. */
    push(&l, 6, 1500, 5000);
    assert_int_equal(link_push(&l, &packets[7], 1, 5000), LINK_DROP_QUEUE);
    /* 2 ms at 12 Mbit/s are 3000 bytes. */
    change(&l, "queue=2ms", 6000);
    push(&l, 8, 1500, 6000);
    push(&l, 9, 1500, 6000);
    assert_int_equal(link_push(&l, &packets[10], 1, 6000), LINK_DROP_QUEUE);
    link_deinit(&l);

    /* 65536 bytes by default at 1 Mbit/s: 43 packets of 1500; 100 ms at 12 Mbit/s: 100. */
    for (unsigned i = 0; i < 2; i++) {
        uint32_t count = 0;

        setup(&l, i == 0 ? "rate=1mbit" : "rate=12mbit", 1);
        while (link_push(&l, &packets[count], 1500, 0) == LINK_QUEUED)
            count++;
        assert_int_equal(count, i == 0 ? 43 : 100);
        link_deinit(&l);
    }
    assert_int_equal(link_init(&l, 2, 1), 0);
    push(&l, 0, 1, 0);
    push(&l, 1, 1, 0);
    assert_int_equal(link_push(&l, &packets[2], 1, 0), LINK_DROP_SLOTS);
    link_deinit(&l);
}

static void test_trace(void **state)
{
    uint32_t at_ms[] = { 2, 5, 5, 10 };
    const struct link_trace trace = { at_ms, ARRAY_LEN(at_ms) };
    struct link_params p = { .trace = &trace, .queue_bytes = 1 << 20 };
    struct link_dir l;
    static const instant full[] = { 2, 5, 5, 10, 12, 15, 15, 20, 22 };

    /* 4 x 12000 bits in 10 ms. */
    assert_int_equal(link_trace_mean_bps(&trace), 4800000);
    assert_int_equal(link_init(&l, 100, 1), 0);
    link_configure(&l, &p, 0);
    for (uint32_t i = 0; i < ARRAY_LEN(full); i++)
        push(&l, i, 1500, 0);
    for (uint32_t i = 0; i < ARRAY_LEN(full); i++)
        expect(&l, i, full[i] * MSEC);
    /* 2 x 1000 bytes: the first and half of the second at once, the rest with two of 500 at the next. */
    push(&l, 0, 1000, 23 * MSEC);
    push(&l, 1, 1000, 23 * MSEC);
    push(&l, 2, 500, 23 * MSEC);
    push(&l, 3, 500, 23 * MSEC);
    push(&l, 4, 500, 23 * MSEC);
    expect(&l, 0, 25 * MSEC);
    expect(&l, 1, 25 * MSEC);
    expect(&l, 2, 25 * MSEC);
    expect(&l, 3, 25 * MSEC);
    expect(&l, 4, 30 * MSEC);
    /* What comes at an opportunity misses it; what was not used is lost. */
    push(&l, 5, 100, 35 * MSEC);
    expect(&l, 5, 40 * MSEC);
    push(&l, 6, 1500, 1000003 * MSEC);
    expect(&l, 6, 1000005 * MSEC);
    /* A trace begins where it is set; its shape goes over into a rate: half is out, 750 bytes at 6 Mbit/s. */
    push(&l, 7, 2250, 1000011 * MSEC);
    change(&l, "rate=6mbit", 1000012 * MSEC);
    expect(&l, 7, 1000013 * MSEC);
    link_configure(&l, &p, 1000021 * MSEC);
    push(&l, 8, 1500, 1000021 * MSEC);
    expect(&l, 8, 1000023 * MSEC);
    expect_nothing(&l);
    link_deinit(&l);
}

static void within(double got, double want, double sigma)
{
    if (fabs(got - want) > 5 * sigma)
        fail_msg("%g is more than 5 x %g from %g", got, sigma, want);
}

static void test_random_loss(void **state)
{
    enum { COUNT = 100000 };
    struct link_dir l;
    struct link_out out;

    setup(&l, "loss=5%", 7);
    for (uint32_t i = 0; i < COUNT; i++)
        link_push(&l, &packets[i], 100, i);
    within((double)l.counters.dropped[LINK_DROP_LOSS], COUNT * .05, sqrt(COUNT * .05 * .95));
    while (link_pop(&l, COUNT, &out))
        ;
    assert_int_equal(l.counters.delivered_pkts + l.counters.dropped[LINK_DROP_LOSS], COUNT);
    link_deinit(&l);

    /* What is lost has taken its time on the wire. */
    setup(&l, "rate=12mbit loss=100%", 1);
    assert_int_equal(link_push(&l, &packets[0], 1500, 0), LINK_DROP_LOSS);
    change(&l, "loss=0", 0);
    push(&l, 1, 1500, 0);
    expect(&l, 1, 2000);
    link_deinit(&l);
}

static void test_bursty_loss(void **state)
{
    enum { COUNT = 100000 };
    const double p = .01, r = .3, bad = p / (p + r), lambda = 1 - p - r;
    struct link_dir l;
    struct link_out out;
    unsigned lost = 0, bursts = 0;
    bool before = false;

    setup(&l, "ge=0.01,30%", 7);
    for (uint32_t i = 0; i < COUNT; i++) {
        enum link_verdict v = link_push(&l, &packets[i], 100, i);

        lost += v == LINK_DROP_BURST;
        bursts += v == LINK_DROP_BURST && !before;
        before = v == LINK_DROP_BURST;
        while (link_pop(&l, i, &out))
            ;
    }
    /* The variance of a two-state chain's mean is the independent one times (1 + lambda) / (1 - lambda). */
    within(lost, COUNT * bad, sqrt(COUNT * bad * (1 - bad) * (1 + lambda) / (1 - lambda)));
    /* Bursts are geometric: mean 1/r, variance (1-r)/r^2. */
    within((double)lost / bursts, 1 / r, sqrt((1 - r) / (r * r) / bursts));
    assert_int_equal(l.counters.dropped[LINK_DROP_BURST], lost);
    link_deinit(&l);
}

static void test_jitter(void **state)
{
    enum { COUNT = 20000 };
    struct link_dir l;
    struct link_out out;

    for (unsigned uniform = 0; uniform < 2; uniform++) {
        double sum = 0, squares = 0, sigma = uniform ? 3000 / sqrt(3) : 3000;
        instant low = INSTANT_NEVER, high = 0;

        /* 20 ms apart: no packet can be held back by the one before it. */
        setup(&l, uniform ? "delay=20ms jitter=3ms dist=uniform" : "delay=20ms jitter=3ms", 3);
        for (uint32_t i = 0; i < COUNT; i++)
            push(&l, i, 100, i * 100 * MSEC);
        for (uint32_t i = 0; i < COUNT; i++) {
            span d;

            assert_int_equal(link_pop(&l, (instant)COUNT * SEC, &out), 1);
            d = out.due - i * 100 * MSEC;
            sum += (double)d;
            squares += (double)(d - 20000) * (double)(d - 20000);
            low = MIN(low, d);
            high = MAX(high, d);
        }
        within(sum / COUNT, 20000, sigma / sqrt(COUNT));
        /* The standard deviation's own is at most sigma / sqrt(2 N), the normal distribution's. */
        within(sqrt(squares / COUNT), sigma, sigma / sqrt(2 * COUNT));
        if (uniform)
            assert_true(low >= 17000 && high <= 23001 && low < 17010 && high > 22990);
        link_deinit(&l);
    }
}

static void test_reordering(void **state)
{
    struct link_dir l;
    struct link_out out;
    instant due = 0;
    unsigned swapped = 0;
    uint32_t last = 0;

    setup(&l, "delay=20ms jitter=5ms", 3);
    for (uint32_t i = 0; i < 5000; i++)
        push(&l, i, 100, i * MSEC);
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(link_pop(&l, 100 * SEC, &out), 1);
        assert_int_equal(index_of(out.pkt), i);
        assert_true(out.due >= due);
        due = out.due;
    }
    assert_int_equal(l.counters.reordered, 0);
    link_deinit(&l);

    setup(&l, "delay=20ms jitter=5ms reorder=1", 3);
    for (uint32_t i = 0; i < 5000; i++)
        push(&l, i, 100, i * MSEC);
    due = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        assert_int_equal(link_pop(&l, 100 * SEC, &out), 1);
        assert_true(out.due >= due);
        due = out.due;
        swapped += index_of(out.pkt) < last;
        last = MAX(last, index_of(out.pkt));
    }
    /* Neighbours 1 ms apart swap when two deviates differ by 1 ms in sigma * sqrt 2 = 7.07 ms: 44 %. Being behind any
     * earlier one is more frequent still. */
    assert_in_range(swapped, 2200, 5000);
    assert_int_equal(l.counters.reordered, swapped);
    link_deinit(&l);
}

static void test_dup_and_corrupt(void **state)
{
    enum { COUNT = 50000 };
    struct link_dir l;
    struct link_out out;
    unsigned twice = 0, flipped = 0;
    uint64_t halves[2] = { 0 };

    setup(&l, "dup=1% corrupt=2%", 11);
    for (uint32_t i = 0; i < COUNT; i++)
        push(&l, i, 40, i);
    while (link_pop(&l, COUNT, &out)) {
        twice += out.copies == 2;
        if (out.flip_bit >= 0) {
            flipped++;
            assert_true(out.flip_bit < 320);
            halves[out.flip_bit >= 160]++;
        }
    }
    within(twice, COUNT * .01, sqrt(COUNT * .01 * .99));
    within(flipped, COUNT * .02, sqrt(COUNT * .02 * .98));
    within((double)halves[0], flipped / 2., sqrt(flipped / 4.));
    assert_int_equal(l.counters.duplicated, twice);
    assert_int_equal(l.counters.corrupted, flipped);
    link_deinit(&l);
}

static void test_mtu_down_blackhole(void **state)
{
    struct link_dir l;
    struct link_out out;

    setup(&l, "rate=12mbit delay=10ms mtu=1400", 1);
    assert_int_equal(link_push(&l, &packets[0], 1401, 0), LINK_DROP_MTU);
    push(&l, 1, 1400, 0);
    push(&l, 2, 1400, 0);
    /* Silence: nothing new, but what is on its way arrives: 933.33 us each. */
    change(&l, "blackhole=1", 100);
    assert_int_equal(link_push(&l, &packets[3], 1400, 100), LINK_DROP_BLACKHOLE);
    expect(&l, 1, 10934);
    change(&l, "blackhole=0", 11000);
    push(&l, 4, 1400, 11000);
    /* Carrier loss: one in flight, one in serialisation, both back to their owner, not delivered. */
    change(&l, "down=1", 11500);
    assert_int_equal(link_push(&l, &packets[5], 1400, 11500), LINK_DROP_DOWN);
    assert_true(link_next_expiry(&l) <= 11500);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(link_pop(&l, 11500, &out), 1);
        assert_int_equal(out.copies, 0);
        assert_int_equal(index_of(out.pkt), i == 0 ? 2 : 4);
    }
    assert_int_equal(link_queued_bytes(&l), 0);
    expect_nothing(&l);
    assert_int_equal(l.counters.dropped[LINK_DROP_DOWN], 3);
    change(&l, "down=0", (INT64_C(1) << 50) + 1);
    push(&l, 6, 1500 - 100, (INT64_C(1) << 50) + 1);
    assert_ptr_equal(link_drain(&l), &packets[6]);
    assert_null(link_drain(&l));
    link_deinit(&l);
}

static uint64_t fingerprint(uint64_t seed, bool poll_often)
{
    struct prng r;
    struct link_dir l;
    struct link_out out;
    uint64_t sum = 0, verdicts = 0;
    instant now = 0;

    setup(&l, "rate=5mbit delay=7ms jitter=2ms reorder=1 loss=3% ge=0.01,0.2 dup=2% corrupt=2% queue=30ms", seed);
    prng_init(&r, 99);
    for (uint32_t i = 0; i < 20000; i++) {
        now += (instant)prng_below(&r, 2500);
        verdicts = verdicts * 31 + link_push(&l, &packets[i], 40 + (uint32_t)prng_below(&r, 1460), now);
        while (poll_often && link_pop(&l, now, &out))
            sum += (uint64_t)out.due * (index_of(out.pkt) + 1) * out.copies + (uint64_t)out.flip_bit;
        if (i == 10000)
            change(&l, "rate=3mbit delay=12ms", now);
    }
    while (link_pop(&l, now + SEC, &out))
        sum += (uint64_t)out.due * (index_of(out.pkt) + 1) * out.copies + (uint64_t)out.flip_bit;
    link_deinit(&l);
    return sum + verdicts;
}

static void test_determinism(void **state)
{
    assert_int_equal(fingerprint(5, true), fingerprint(5, true));
    /* When it is asked does not change what it says. */
    assert_int_equal(fingerprint(5, true), fingerprint(5, false));
    assert_int_not_equal(fingerprint(5, true), fingerprint(6, true));
}

static void test_params_text(void **state)
{
    struct link_params p = { 0 }, q = { 0 };
    char err[LINK_ERROR_MAX], text[LINK_PARAMS_MAX], again[LINK_PARAMS_MAX];

    assert_int_equal(
        link_params_parse("rate=14.67mbit  delay=15ms jitter=3ms\treorder=1 loss=0.5% ge=0.01,0.3,0,1 dup=0.1% "
                          "corrupt=0.01% queue=64k mtu=1500 down=1 blackhole=1 dist=uniform\n",
                          &p, err),
        0);
    assert_int_equal(p.rate_bps, 14670000);
    assert_int_equal(p.delay, 15000);
    assert_int_equal(p.jitter, 3000);
    assert_int_equal(p.dist, LINK_DIST_UNIFORM);
    assert_true(p.reorder && p.down && p.blackhole);
    assert_true(fabs(p.loss - .005) < 1e-15 && fabs(p.dup - .001) < 1e-15 && fabs(p.corrupt - .0001) < 1e-15);
    assert_true(p.ge_p == .01 && p.ge_r == .3 && p.ge_loss_good == 0 && p.ge_loss_bad == 1);
    assert_int_equal(p.queue_bytes, 65536);
    assert_int_equal(p.mtu, 1500);
    assert_int_equal(link_params_parse(link_params_format(&p, text), &q, err), 0);
    assert_string_equal(link_params_format(&q, again), text);
    assert_int_equal(q.rate_bps, p.rate_bps);
    assert_true(q.loss == p.loss && q.ge_r == p.ge_r);

    /* Small shares need no exponent. */
    q = (struct link_params){ 0 };
    assert_int_equal(link_params_parse("loss=0.00001% ge=0.000002,1,0,0.5", &q, err), 0);
    assert_string_equal(
        link_params_format(&q, text),
        "rate=unlimited delay=0us jitter=0us dist=normal reorder=0 loss=0.00001% ge=0.000002,1,0,0.5 dup=0% "
        "corrupt=0% queue=default mtu=0 down=0 blackhole=0");

    /* A change names what changes. */
    assert_int_equal(link_params_parse("queue=50ms loss=0 delay=1.5s", &p, err), 0);
    assert_int_equal(p.queue_bytes, 0);
    assert_int_equal(p.queue_time, 50000);
    assert_int_equal(p.delay, 1500000);
    assert_int_equal(p.rate_bps, 14670000);
    assert_int_equal(link_params_parse("trace=/some/where ge=0 queue=default", &p, err), 0);
    assert_string_equal(p.trace_path, "/some/where");
    assert_int_equal(p.rate_bps, 0);
    assert_int_equal(link_params_parse("rate=unlimited", &p, err), 0);
    assert_string_equal(p.trace_path, "");
}

static void test_params_faults(void **state)
{
    static const struct {
        const char *text, *part; /* of the complaint */
    } bad[] = {
        { "delay=15", "unit" },
        { "delay=15 ms", "unit" },
        { "delay=-1ms", "delay=-1ms" },
        { "delay=1e3ms", "delay" },
        { "delay=2000000s", "hour" },
        { "rate=10", "mbit" },
        { "rate=10Mbps", "mbit" },
        { "rate=nan", "mbit" },
        { "rate=0.1bit", "mbit" },
        { "rate=.mbit", "mbit" },
        { "rate=1.mbit", "mbit" },
        { "rate=1001gbit", "mbit" },
        { "loss=1", "sign" },
        { "loss=101%", "100%" },
        { "loss=", "sign" },
        { "ge=0.1", "P,R" },
        { "ge=1,2", "P,R" },
        { "ge=1,1,1,1,1", "P,R" },
        { "ge=,", "P,R" },
        { "queue=0", "queue" },
        { "queue=5kb", "queue" },
        { "mtu=1.5", "mtu" },
        { "mtu=65536", "65535" },
        { "down=yes", "0 or 1" },
        { "reorder=11", "0 or 1" },
        { "dist=pareto", "uniform" },
        { "trace=", "name" },
        { "dealy=1ms", "`delay`?" },
        { "bandwidth=1", "blackhole" },
        { "loss", "key=value" },
        { "loss=1% delay", "key=value" },
    };
    char err[LINK_ERROR_MAX], longest[700];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct link_params p = { .delay = 7 };

        memset(err, 0, sizeof(err));
        if (link_params_parse(bad[i].text, &p, err) != -EINVAL)
            fail_msg("taken: %s", bad[i].text);
        if (!strstr(err, bad[i].part))
            fail_msg("%s: `%s` does not say `%s`", bad[i].text, err, bad[i].part);
        assert_true(p.delay == 7 && p.loss == 0);
    }
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(link_params_parse(longest, &(struct link_params){ 0 }, err), -EINVAL);
}

static void test_trace_text(void **state)
{
    static const char fine[] = "# c\r\n0\r\n\n3 \n3";
    static const struct {
        const char *text, *part;
    } bad[] = {
        { "# two\n0\n 7", "line 3" }, { "", "above 0" },       { "0\n0\n", "above 0" },
        { "5\n4\n", "4 after 5" },    { "1\n-2\n", "line 2" }, { "4294967296\n", "line 1" },
        { "1.5\n", "line 1" },
    };
    struct link_trace t;
    char err[LINK_ERROR_MAX];

    assert_int_equal(link_trace_parse(fine, sizeof(fine) - 1, &t, err), 0);
    assert_int_equal(t.count, 3);
    assert_int_equal(t.at_ms[2], 3);
    link_trace_deinit(&t);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(link_trace_parse(bad[i].text, strlen(bad[i].text), &t, err), -EINVAL);
        if (!strstr(err, bad[i].part))
            fail_msg("%s: %s", bad[i].text, err);
    }
    assert_int_equal(link_trace_load("/nonexistent/trace", &t, err), -ENOENT);
    assert_non_null(strstr(err, "/nonexistent/trace"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serialisation),
        cmocka_unit_test(test_no_drift),
        cmocka_unit_test(test_against_recurrence),
        cmocka_unit_test(test_rate_change),
        cmocka_unit_test(test_delay_change_keeps_order),
        cmocka_unit_test(test_queue_limit),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_random_loss),
        cmocka_unit_test(test_bursty_loss),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test(test_reordering),
        cmocka_unit_test(test_dup_and_corrupt),
        cmocka_unit_test(test_mtu_down_blackhole),
        cmocka_unit_test(test_determinism),
        cmocka_unit_test(test_params_text),
        cmocka_unit_test(test_params_faults),
        cmocka_unit_test(test_trace_text),
    };
    return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
