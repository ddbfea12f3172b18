/* Applications over several paths, in virtual time: bytes from one end to the other, whatever happens to the paths.
 *
 *            +-- uplink 1 --+
 *     node --+              +-- core -- agent
 *            +-- uplink 2 --+
 *
 * Every byte is checked at its place (sim/transfer.h). Goodput is that of one transfer downwards, bytes of the
 * application over the last two thirds of a run; delays are one way. */
#include "ident/aead.h"
#include "sim/transfer.h"
#include "tests/sim/sim.h"
#include "wire/header.h"

#include <errno.h>

static const struct delivery_options bytes_options = { 0 };
static const struct delivery_options unordered_options = { .unordered = true };

static struct bench make_with(uint64_t seed, const struct delivery_options *d, const struct scheduler *scheduler,
                              const char *const params[])
{
    const struct node_options o = { .delivery = d, .preferences.scheduler = scheduler, .pool_pkts = 16384 };
    struct bench b = bench_make(seed, &o, false, params);

    bench_begin(&b);
    return b;
}

static struct bench make(uint64_t seed, const struct delivery_options *d, const char *const params[])
{
    return make_with(seed, d, NULL, params);
}

/* Bits a second of the last two thirds. */
static double goodput_with(const struct scheduler *scheduler, const char *const params[], span run)
{
    struct bench b = make_with(1, &bytes_options, scheduler, params);
    struct transfer *t = transfer_new(b.agent, 0, b.node, 0, UINT64_MAX, false);
    uint64_t before;

    world_run_for(b.w, run / 3);
    before = t->read;
    world_run_for(b.w, run - run / 3);
    before = t->read - before;
    transfer_stop(t);
    bench_done(&b);
    transfer_free(t);
    return (double)before * 8 * SEC / (double)(run - run / 3);
}

static double goodput(const char *const params[], span run)
{
    return goodput_with(NULL, params, run);
}

/* --- unequal paths --- */

#define LEAST_ALONE .75 /* of the link's own rate: what both are compared with must not be poor itself */

static double rate_of(const char *link)
{
    double mbit;

    assert_int_equal(sscanf(link, "rate=%lfmbit", &mbit), 1);
    return mbit * 1e6;
}

static void test_unequal(void **state)
{
    /* The pairs that users complain of; how much of the sum: 95 % where loss is at most .5 % and the longer round trip
     * at most three times the shorter, else 90 %. */
    static const struct {
        const char *name, *links[3];
        double least_of_sum;
    } pairs[] = {
        { "10@0 twice", { "rate=10mbit", "rate=10mbit" }, .95 },
        { "10@1+10@25", { "rate=10mbit delay=1ms", "rate=10mbit delay=25ms" }, .9 },
        { "10@1+3@25", { "rate=10mbit delay=1ms", "rate=3mbit delay=25ms" }, .9 },
        { "10@25+3@1", { "rate=10mbit delay=25ms", "rate=3mbit delay=1ms" }, .9 },
        { "30@1+10@50", { "rate=30mbit delay=1ms", "rate=10mbit delay=50ms" }, .9 },
        { "4:1, 100@10+25@10", { "rate=100mbit delay=10ms", "rate=25mbit delay=10ms" }, .95 },
        { "10:1, 100@10+10@10", { "rate=100mbit delay=10ms", "rate=10mbit delay=10ms" }, .95 },
        { "50@20+50@120", { "rate=50mbit delay=20ms", "rate=50mbit delay=120ms" }, .9 },
        { "WiFi 40@8+LTE 30@30", { "rate=40mbit delay=8ms jitter=3ms", "rate=30mbit delay=30ms jitter=5ms" }, .9 },
        { "fibre 300@8+LTE 30@40", { "rate=300mbit delay=8ms", "rate=30mbit delay=40ms jitter=8ms loss=0.5%" }, .9 },
        { "LTE 40@35+LEO 100@50",
          { "rate=40mbit delay=35ms jitter=8ms", "rate=100mbit delay=50ms jitter=25ms loss=1%" },
          .9 },
        { "50@20+-20 twice", { "rate=50mbit delay=20ms jitter=20ms", "rate=50mbit delay=20ms jitter=20ms" }, .9 },
    };
    unsigned missed = 0;

    printf("# Mbit/s: first alone, second alone, both; of the better one, of the sum\n");
    for (size_t i = 0; i < ARRAY_LEN(pairs); i += sim_brief() ? 5 : 1) {
        double first = goodput(PARAMS(pairs[i].links[0]), 15 * SEC),
               second = goodput(PARAMS(pairs[i].links[1]), 15 * SEC), both = goodput(pairs[i].links, 15 * SEC),
               best = MAX(first, second);
        bool miss = both < .97 * best || both < pairs[i].least_of_sum * (first + second) ||
                    first < LEAST_ALONE * rate_of(pairs[i].links[0]) ||
                    second < LEAST_ALONE * rate_of(pairs[i].links[1]);

        printf("# %-24s %6.1f %6.1f %6.1f  %.2f %.2f%s\n", pairs[i].name, first / 1e6, second / 1e6, both / 1e6,
               both / best, both / (first + second), miss ? " MISSED" : "");
        missed += miss;
    }
    assert_int_equal(missed, 0);
}

/* Whatever the scheduler, both paths carry; but of one that sends everything twice, or uses a path at a time. */
static void test_schedulers(void **state)
{
    static const char *const pairs[][3] = {
        { "rate=20mbit delay=10ms", "rate=10mbit delay=40ms" },
        { "rate=20mbit delay=20ms", "rate=20mbit delay=120ms" },
    };

    assert_null(scheduler_find("none such"));
    for (size_t k = 0; k < (sim_brief() ? 1 : ARRAY_LEN(pairs)); k++) {
        double first = goodput(PARAMS(pairs[k][0]), 15 * SEC), second = goodput(PARAMS(pairs[k][1]), 15 * SEC);

        for (size_t i = 0; scheduler_name(i); i++) {
            bool as_one = strcmp(scheduler_name(i), "redundant") == 0 || strcmp(scheduler_name(i), "handover") == 0;
            double both = goodput_with(scheduler_find(scheduler_name(i)), pairs[k], 15 * SEC);

            printf("# %s, %s + %s: %.2f of the better, %.2f of the sum\n", scheduler_name(i), pairs[k][0], pairs[k][1],
                   both / MAX(first, second), both / (first + second));
            assert_true(as_one ? both > .9 * MAX(first, second) : both > 1.05 * MAX(first, second));
        }
    }
}

/* --- a path goes --- */

enum fault { CARRIER, SILENT, FAULTS };

static void strike(struct world_uplink *u, enum fault f, bool begins)
{
    if (f == CARRIER)
        world_carrier(u, !begins);
    else
        world_link(u, begins ? "blackhole=1" : "blackhole=0");
}

/* Of one transfer in which the first path goes: the longest time in which nothing could be read. */
static span stall(uint64_t seed, const char *link, enum fault f, bool up)
{
    struct bench b = make(seed, &bytes_options, PARAMS(link, link));
    struct transfer *t = up ? transfer_new(b.node, 0, b.agent, 0, UINT64_MAX, false)
                            : transfer_new(b.agent, 0, b.node, 0, UINT64_MAX, false);
    span longest;

    world_run_for(b.w, 2 * SEC + (span)(seed * 7919 % 100) * MSEC);
    t->stall_max = 0;
    strike(world_uplink(b.node, 0), f, true);
    world_run_for(b.w, 1 * SEC);
    longest = t->stall_max;
    t->total = t->written + 1000000; /* and to its end, over the other one */
    assert_true(world_run_until(b.w, transfer_done, t, 20 * SEC));
    assert_int_equal(t->read, t->total);
    transfer_stop(t);
    bench_done(&b);
    transfer_free(t);
    return longest;
}

static int compare(const void *a, const void *b)
{
    span x = *(const span *)a, y = *(const span *)b;

    return (x > y) - (x < y);
}

static void test_a_path_goes(void **state)
{
    static const char *const links[] = { "rate=20mbit delay=10ms", "rate=100mbit delay=10ms" };

    for (size_t l = 0; l < ARRAY_LEN(links); l++)
        for (enum fault f = 0; f < FAULTS; f++)
            for (unsigned up = 0; up < 2; up++) {
                span s[10];

                for (size_t i = 0; i < ARRAY_LEN(s); i++)
                    s[i] = stall(i + 1, links[l], f, up);
                qsort(s, ARRAY_LEN(s), sizeof(*s), compare);
                printf("# two of %s, %s, %s: nothing read for %.0f ms, at most %.0f (of %zu)\n", links[l],
                       f == CARRIER ? "carrier lost" : "silent", up ? "up" : "down", (double)s[ARRAY_LEN(s) / 2] / MSEC,
                       (double)s[ARRAY_LEN(s) - 1] / MSEC, ARRAY_LEN(s));
                assert_true(s[ARRAY_LEN(s) / 2] <= (f == CARRIER ? 50 * MSEC : 320 * MSEC));
            }
}

/* --- the kernel's cases --- */

#define SIMULT_LARGE 16777216
#define SIMULT_SMALL 81920

static span simult(const char *const params[], bool up)
{
    const struct node_options o = { .delivery = &bytes_options, .pool_pkts = 16384 };
    struct bench b = bench_make(1, &o, false, params);
    instant began = b.w->now;
    struct transfer *t[2];
    span took;

    world_connect(b.node);
    bench_up(&b, 1 * SEC);
    t[0] = transfer_new(b.node, 0, b.agent, 0, up ? SIMULT_LARGE : SIMULT_SMALL, false);
    t[1] = transfer_new(b.agent, 0, b.node, 0, up ? SIMULT_SMALL : SIMULT_LARGE, false);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(world_run_until(b.w, transfer_done, t[i], 60 * SEC) && t[i]->error == 0);
        assert_int_equal(t[i]->read, t[i]->total);
    }
    took = b.w->now - began;
    bench_done(&b);
    transfer_free(t[0]);
    transfer_free(t[1]);
    return took;
}

/* Of Linux' simult_flows.sh, with its sizes and limit: nine tenths of both rates, and 450 ms. Links hold 50 packets.
 * The last two are beyond it. */
static void test_simultaneous_flows(void **state)
{
    static const struct {
        const char *links[3];
        unsigned mbit;
    } cases[] = {
        { { "rate=10mbit queue=75000", "rate=10mbit queue=75000" }, 20 },
        { { "rate=10mbit delay=1ms queue=75000", "rate=10mbit delay=25ms queue=75000" }, 20 },
        { { "rate=10mbit queue=75000", "rate=3mbit queue=75000" }, 13 },
        { { "rate=10mbit delay=1ms queue=75000", "rate=3mbit delay=25ms queue=75000" }, 13 },
        { { "rate=10mbit delay=25ms queue=75000", "rate=3mbit delay=1ms queue=75000" }, 13 },
        { { "rate=30mbit delay=1ms queue=75000", "rate=10mbit delay=50ms queue=75000" }, 40 },
        { { "rate=30mbit delay=50ms queue=75000", "rate=10mbit delay=1ms queue=75000" }, 40 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i += sim_brief() ? 6 : 1)
        for (unsigned up = 0; up < 2; up++) {
            span most = (span)SIMULT_LARGE * 8 * 10 / (9 * cases[i].mbit) + 450 * MSEC;
            span took = simult(cases[i].links, up);

            printf("# %-40s %-40s %-4s %6.0f ms of %.0f\n", cases[i].links[0], cases[i].links[1], up ? "up" : "down",
                   (double)took / MSEC, (double)most / MSEC);
            if (took > most)
                fail_msg("too long");
        }
}

/* --- whatever happens --- */

static void finish(struct bench *b, struct transfer *t, span limit)
{
    if (!world_run_until(b->w, transfer_done, t, limit))
        fail_msg("%llu of %llu bytes after %lld s: %s", (unsigned long long)t->read, (unsigned long long)t->total,
                 (long long)(limit / SEC), b->w->error);
    assert_int_equal(t->read, t->total);
    assert_int_equal(t->error, 0);
    transfer_stop(t);
    bench_done(b);
    transfer_free(t);
}

static void test_hostile_links(void **state)
{
    static const char *const links[][3] = {
        { "rate=20mbit delay=10ms loss=10%", "rate=20mbit delay=30ms loss=10%" },
        { "rate=20mbit delay=10ms dup=10%", "rate=20mbit delay=10ms corrupt=5%" },
        { "rate=20mbit delay=10ms jitter=10ms reorder=1", "rate=5mbit delay=50ms jitter=30ms reorder=1 loss=3%" },
        { "rate=1mbit delay=300ms queue=20ms", "rate=10mbit delay=10ms queue=5ms" },
        { "rate=20mbit delay=10ms mtu=1280", "rate=20mbit delay=10ms" },
    };

    for (size_t i = 0; i < ARRAY_LEN(links); i++)
        for (unsigned up = 0; up < 2; up++) {
            struct bench b = make(i + 1, &bytes_options, links[i]);

            finish(&b,
                   up ? transfer_new(b.node, 0, b.agent, 0, 5000000, false)
                      : transfer_new(b.agent, 0, b.node, 0, 5000000, false),
                   60 * SEC);
        }
}

static void test_unordered(void **state)
{
    struct bench b = make(1, &unordered_options, PARAMS("rate=20mbit delay=10ms loss=2%", "rate=20mbit delay=100ms"));

    finish(&b, transfer_new(b.agent, 0, b.node, 0, 10000000, true), 60 * SEC);
}

/* Copies that wait in a slow path's queue while what they copy is acknowledged, and the reader does not read: he gets
 * what was written. */
static void test_copies_that_come_late(void **state)
{
    struct bench b = make_with(1, &bytes_options, scheduler_find("redundant"),
                               PARAMS("rate=50mbit delay=5ms", "rate=2mbit delay=40ms"));
    struct delivery *from = node_peer_delivery(b.node->node, 0), *to = node_peer_delivery(b.agent->node, 0);
    static uint8_t data[65536], got[65536];

    for (unsigned round = 0; round < 4; round++) {
        size_t n = 0;
        int64_t r;

        for (size_t i = 0; i < sizeof(data); i++)
            data[i] = (uint8_t)(i * 131 + (i >> 8) * 7 + round + 1);
        assert_int_equal(delivery_write(from, data, sizeof(data)), sizeof(data));
        world_peer_wake(b.node, 0);
        world_run_for(b.w, 600 * MSEC);
        while (n < sizeof(got) && (r = delivery_read(to, got + n, sizeof(got) - n, NULL)) > 0)
            n += (size_t)r;
        assert_int_equal(n, sizeof(got));
        assert_memory_equal(got, data, sizeof(got));
        world_peer_wake(b.agent, 0);
        world_run_for(b.w, 300 * MSEC);
    }
    bench_done(&b);
}

static void test_both_ways_at_once(void **state)
{
    struct bench b = make(1, &bytes_options, PARAMS("rate=20mbit delay=10ms", "rate=5mbit delay=40ms loss=1%"));
    struct transfer *up = transfer_new(b.node, 0, b.agent, 0, 6000000, false);

    world_run_for(b.w, 1 * SEC);
    assert_true(world_run_until(b.w, transfer_done, up, 60 * SEC) && up->error == 0);
    finish(&b, transfer_new(b.agent, 0, b.node, 0, 6000000, false), 60 * SEC);
    transfer_free(up);
}

/* Sizes fall while it runs: what was lost is cut anew. */
static void test_a_path_becomes_narrow(void **state)
{
    struct bench b = make(1, &bytes_options, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct transfer *t = transfer_new(b.agent, 0, b.node, 0, 12000000, false);

    world_run_for(b.w, 1 * SEC);
    world_link(world_uplink(b.node, 0), "mtu=1280");
    world_run_for(b.w, 500 * MSEC);
    world_link(world_uplink(b.node, 1), "mtu=1280");
    finish(&b, t, 60 * SEC);
}

static void test_without_any_path_for_a_while(void **state)
{
    struct bench b = make(1, &bytes_options, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct transfer *t = transfer_new(b.agent, 0, b.node, 0, 10000000, false);

    for (span away = 5 * SEC; away < 300 * SEC; away += 200 * SEC) { /* the second outlives the keys */
        world_run_for(b.w, 500 * MSEC);
        world_carrier(world_uplink(b.node, 0), false);
        world_link(world_uplink(b.node, 1), "blackhole=1");
        b.v->patience = 600 * SEC;
        world_run_for(b.w, away);
        world_carrier(world_uplink(b.node, 0), true);
        world_link(world_uplink(b.node, 1), "blackhole=0");
    }
    finish(&b, t, 60 * SEC);
}

static void test_the_peer_begins_anew(void **state)
{
    struct bench b = make(1, &bytes_options, PARAMS("rate=20mbit delay=10ms", "rate=20mbit delay=10ms"));
    struct transfer *t = transfer_new(b.node, 0, b.agent, 0, UINT64_MAX, false);

    world_run_for(b.w, 1 * SEC);
    world_restart(b.agent);
    world_run_for(b.w, 5 * SEC);
    assert_int_equal(t->error, -ECONNRESET);
    transfer_stop(t);
    bench_done(&b);
    transfer_free(t);
}

/* Nobody answers: the stream ends by itself, and nothing is sent after that. */
static void test_no_answer(void **state)
{
    const struct node_options o = { .delivery = &bytes_options };
    struct bench b = bench_make(1, &o, false, PARAMS("rate=20mbit delay=10ms"));
    const struct delivery *d;
    uint64_t sent;

    world_stop(b.agent);
    world_connect(b.node);
    d = node_peer_delivery(b.node->node, 0);
    world_run_for(b.w, 29 * SEC);
    assert_int_equal(delivery_error(d), 0);
    world_run_for(b.w, 2 * SEC);
    assert_int_equal(delivery_error(d), -ETIMEDOUT);
    sent = world_uplink(b.node, 0)->tx_datagrams;
    world_run_for(b.w, 60 * SEC);
    assert_int_equal(world_uplink(b.node, 0)->tx_datagrams, sent);
    bench_done(&b);
}

/* Without a path for as long as its owner said, and no longer; keys are good for longer than that. */
static void test_its_time_is_over(void **state)
{
    const struct node_options o = { .delivery = &bytes_options, .wait = 20 * SEC };
    struct bench b = bench_make(1, &o, false, PARAMS("rate=20mbit delay=10ms"));
    const struct delivery *d;

    bench_begin(&b);
    d = node_peer_delivery(b.node->node, 0);
    world_run_for(b.w, 60 * SEC); /* idle, which is no reason */
    assert_int_equal(delivery_error(d), 0);
    world_link(world_uplink(b.node, 0), "blackhole=1");
    world_run_for(b.w, 14 * SEC); /* the last was heard of at most 5 s before */
    assert_int_equal(delivery_error(d), 0);
    world_run_for(b.w, 7 * SEC);
    assert_int_equal(delivery_error(d), -ETIMEDOUT);
    bench_done(&b);
}

/* Some chunks leave as packets, which nobody would take out: they are refused, are not acknowledged, and the stream is
 * none the worse. Nor does an end of a stream send packets. */
static unsigned to_corrupt; /* so many chunks */

int __real_aead_seal(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in,
                     size_t len, uint8_t *out);
int __wrap_aead_seal(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in,
                     size_t len, uint8_t *out);

int __wrap_aead_seal(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in,
                     size_t len, uint8_t *out)
{
    uint8_t packet[PBUF_CAPACITY];

    if (to_corrupt == 0 || len > sizeof(packet) || in[0] != CONTENT_CHUNK)
        return __real_aead_seal(a, counter, aad, aad_len, in, len, out);
    to_corrupt--;
    memcpy(packet, in, len);
    packet[0] = CONTENT_DATA;
    return __real_aead_seal(a, counter, aad, aad_len, packet, len, out);
}

static void test_packets_in_a_stream(void **state)
{
    struct bench b = make(1, &bytes_options, PARAMS("rate=20mbit delay=10ms"));
    struct traffic_flow *f = traffic_steady(b.t, b.node, b.agent, 1000000, 1000, false);
    struct transfer *t;
    struct session_info info;

    b.v->patience = 600 * SEC;
    world_run_for(b.w, 1 * SEC);
    traffic_stop(f);
    session_info(node_peer_session(b.node->node, 0), b.w->now, &info);
    assert_true(info.drops[DROP_NO_PATH] > 100);
    t = transfer_new(b.node, 0, b.agent, 0, 3000000, false);
    world_run_for(b.w, 500 * MSEC);
    to_corrupt = 200;
    world_run_for(b.w, 500 * MSEC);
    assert_int_equal(to_corrupt, 0);
    session_info(node_peer_session(b.agent->node, 0), b.w->now, &info);
    assert_true(info.drops[DROP_MALFORMED] > 100);
    finish(&b, t, 20 * SEC);
}

/* An end that carries packets and one that carries a stream have nothing to say to each other. */
static void test_other_kinds_are_refused(void **state)
{
    for (unsigned which = 0; which < 2; which++) {
        const struct node_options stream = { .delivery = &bytes_options }, packets = { .pool_pkts = 0 };
        struct world *w = world_new(1);
        struct world_end *agent = world_agent(w, "agent", which ? &stream : &packets, false);
        const struct world_node_spec spec = { .uplinks = 1,
                                              .params = { "rate=20mbit delay=10ms" },
                                              .options = which ? packets : stream };
        struct world_end *node = world_node(w, "node", agent, &spec);

        world_connect(node);
        world_run_for(w, 3 * SEC);
        assert_false(w->failed || world_is_up(node, 0) || world_is_up(agent, 0));
        world_free(w);
    }
}

/* --- a probe of every path --- */

static struct path_metrics metrics_of(const struct bench *b, uint32_t link)
{
    struct session *s = node_peer_session(b->node->node, 0);
    struct session_path_info info;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(s, i, b->w->now, &info);
        if (info.used && info.at.link == link)
            return info.metrics;
    }
    fail_msg("no path of link %u", link);
    return (struct path_metrics){ 0 };
}

/* Of links of 10 and 40 ms that carry nothing: a probe takes twice that and a record's time, on each by itself. */
static void test_probe(void **state)
{
    struct bench b = make(1, &bytes_options, PARAMS("rate=10mbit delay=10ms", "rate=10mbit delay=40ms"));
    uint32_t first = world_uplink(b.node, 0)->spec.link, second = world_uplink(b.node, 1)->spec.link;
    struct path_metrics m;

    assert_int_equal(node_peer_probe(b.node->node, 1, b.w->now), -ENOTCONN);
    for (uint64_t round = 1; round <= 3; round++) {
        if (round == 3)
            world_link(world_uplink(b.node, 1), "blackhole=1");
        world_run_for(b.w, 2 * PATH_PROBE_IDLE + 1234);
        assert_int_equal(metrics_of(&b, first).probes_answered, round - 1);
        assert_int_equal(node_peer_probe(b.node->node, 0, b.w->now), 0);
        world_touch(b.node);
        world_run_for(b.w, 19 * MSEC);
        assert_int_equal(metrics_of(&b, first).probes_answered, round - 1);
        world_run_for(b.w, 2 * MSEC);
        m = metrics_of(&b, first);
        assert_int_equal(m.probes_answered, round);
        assert_in_range(m.probe_rtt, 20 * MSEC, 20 * MSEC + 500);
        assert_int_equal(metrics_of(&b, second).probes_answered, round - 1);
        world_run_for(b.w, 60 * MSEC);
        m = metrics_of(&b, second);
        assert_int_equal(m.probes_sent, round);
        assert_int_equal(m.probes_answered, MIN(round, 2));
        assert_in_range(m.probe_rtt, 80 * MSEC, 80 * MSEC + 500);
    }
    bench_done(&b);
}

/* --- payload that is only authenticated --- */

struct meddler {
    struct prng prng;
    uint64_t clear, changed;
};

/* Somebody on the way changes a bit of every hundredth record, wherever. */
static bool meddle(void *ctx, struct world_packet *p)
{
    struct meddler *m = ctx;

    m->clear += p->data[0] == PACKET_CLEAR;
    if (p->data[0] == PACKET_CLEAR && prng_below(&m->prng, 100) == 0) {
        uint64_t bit = prng_below(&m->prng, p->len * 8u);

        p->data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        m->changed++;
    }
    return true;
}

static void test_in_clear(void **state)
{
    const struct node_options o = { .delivery = &bytes_options, .pool_pkts = 16384, .clear = true };
    struct bench b = bench_make(1, &o, false, PARAMS("rate=20mbit delay=5ms", "rate=10mbit delay=15ms"));
    struct meddler m = { .clear = 0 };
    struct world_watch watch = { .ctx = &m, .core = meddle };
    struct session_info info;
    struct transfer *t;

    prng_init(&m.prng, 4);
    world_watch_add(b.w, &watch);
    bench_begin(&b);
    t = transfer_new(b.agent, 0, b.node, 0, 4000000, false);
    assert_true(world_run_until(b.w, transfer_done, t, 20 * SEC));
    assert_int_equal(t->error, 0);
    assert_true(m.clear >= 4000000 / 1440 && m.changed > 10);
    session_info(node_peer_session(b.node->node, 0), b.w->now, &info);
    assert_true(info.clear);
    bench_done(&b);
    transfer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_clear),
        cmocka_unit_test(test_unequal),
        cmocka_unit_test(test_schedulers),
        cmocka_unit_test(test_a_path_goes),
        cmocka_unit_test(test_simultaneous_flows),
        cmocka_unit_test(test_hostile_links),
        cmocka_unit_test(test_unordered),
        cmocka_unit_test(test_copies_that_come_late),
        cmocka_unit_test(test_both_ways_at_once),
        cmocka_unit_test(test_a_path_becomes_narrow),
        cmocka_unit_test(test_without_any_path_for_a_while),
        cmocka_unit_test(test_the_peer_begins_anew),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_its_time_is_over),
        cmocka_unit_test(test_packets_in_a_stream),
        cmocka_unit_test(test_other_kinds_are_refused),
        cmocka_unit_test(test_probe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
