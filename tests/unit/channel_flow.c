/* Unit tests of src/session/channel.c: what channels share - windows, memory, the paths, the control stream. */
#include "tests/unit/channel_world.h"

#define MBIT UINT64_C(1000000)
#define CHUNK 16384
#define BACKLOG 30000 /* bytes of packets that are kept waiting */

/* One that writes all it may, from the opener to the acceptor. */
struct bulk {
    struct world_channel p;
    uint64_t written, read;
    unsigned seen; /* p.pops[0] */
    bool writes, reads;
};

struct load {
    struct bulk bulks[8];
    unsigned bulks_count;
    unsigned packet_flows;
    uint16_t target; /* of packets */
};

static void serve(struct world *w, unsigned end)
{
    struct load *l = w->ctx;

    world_serve(w, end);
    for (unsigned i = 0; i < l->bulks_count; i++) {
        struct bulk *b = &l->bulks[i];
        int64_t n = b->p.pops[0] != b->seen && b->writes ? 1 : 0;

        if (end == 1 && b->reads)
            b->read += world_read(b->p.c[1], b->read);
        if (end == 0 && n > 0) {
            b->seen = b->p.pops[0];
            while ((n = world_write(b->p.c[0], b->written, CHUNK)) > 0)
                b->written += (uint64_t)n;
            assert_int_equal(n, 0);
        }
    }
    for (unsigned i = 0; end == 0 && i < l->packet_flows; i++)
        while (flowq_flow(w->ends[0].session->packets->flowq, hash_mix64(i))->bytes < BACKLOG)
            world_packet(w, 0, (uint8_t)i, 1300, FLOW_BULK, l->target);
}

static struct bulk *add(struct world *w, uint16_t target)
{
    struct load *l = w->ctx;
    struct bulk *b = &l->bulks[l->bulks_count];

    *b = (struct bulk){ .writes = true, .reads = true };
    world_channel(w, &b->p);
    channel_steer(b->p.c[0], target, FLOW_BULK);
    b->seen = b->p.pops[0] - 1;
    l->bulks_count++;
    return b;
}

static struct world *begin(struct load *l, unsigned links, uint64_t bps, span delay)
{
    struct world *w = world_open(links);

    *l = (struct load){ 0 };
    w->ctx = l;
    w->serve = serve;
    for (unsigned i = 0; i < links; i++) {
        const struct session_target t = { .count = 1, .slots = { (uint8_t)i } };

        world_rate(w, i, bps);
        w->links[i][0].delay = w->links[i][1].delay = delay;
        session_set_target(w->ends[0].session, (uint16_t)(i + 1), &t);
    }
    world_pass(w, 1 * SEC);
    return w;
}

static double share(double a, double b)
{
    return a + b > 0 ? a / (a + b) : 0;
}

/* --- turns --- */

static void test_two_bulk_ones_are_equal(void **state)
{
    struct load l;
    struct world *w = begin(&l, 1, 10 * MBIT, 5 * MSEC);
    struct bulk *a = add(w, 0), *b;
    uint64_t before[2];

    world_pass(w, 2 * SEC); /* and one of them has a start */
    b = add(w, 0);
    world_pass(w, 500 * MSEC);
    before[0] = a->read;
    before[1] = b->read;
    world_pass(w, 4 * SEC);
    assert_in_range(100 * share((double)(a->read - before[0]), (double)(b->read - before[1])), 48, 52);
    world_close(w);
}

/* A path that may send again takes the little before all that waits of the bulk one. */
static void test_a_little_beside_a_bulk_one(void **state)
{
    struct load l;
    struct world *w = begin(&l, 1, 10 * MBIT, 5 * MSEC);
    struct world_channel p;
    struct bulk *b = add(w, 0);

    world_channel(w, &p);
    world_pass(w, 3 * SEC);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t sent, little = 100 * i;

        world_hold(w, 1, true);
        world_pass(w, 50 * MSEC);
        sent = w->ends[0].session->info.tx_bytes - little;
        assert_true(b->written >= sent + 20000);
        assert_int_equal(world_write(p.c[0], little, 100), 100);
        world_hold(w, 1, false);
        for (unsigned ms = 0; !channel_peek(p.c[1]).len; ms++) {
            assert_true(ms < 1000);
            world_pass(w, 1 * MSEC);
        }
        assert_int_equal(world_read(p.c[1], little), 100);
        /* One turn of the other, and 1 ms. */
        assert_true(b->read <= sent + RECORD_MAX + 1250);
        world_pass(w, 300 * MSEC);
    }
    world_close(w);
}

static void check_shares(unsigned channels, unsigned flows)
{
    struct load l;
    struct world *w = begin(&l, 1, 10 * MBIT, 5 * MSEC);
    uint64_t before = 0, of_packets = 0;
    double expected = 100.0 * channels / (channels + flows), found;

    for (unsigned i = 0; i < channels; i++)
        add(w, 0);
    l.packet_flows = flows;
    world_pass(w, 2 * SEC);
    for (unsigned i = 0; i < channels; i++)
        before += l.bulks[i].read;
    memset(w->ends[1].packet_bytes, 0, sizeof(w->ends[1].packet_bytes));
    world_pass(w, 4 * SEC);
    for (unsigned i = 0; i < flows; i++)
        of_packets += w->ends[1].packet_bytes[i];
    found = -(double)before;
    for (unsigned i = 0; i < channels; i++)
        found += (double)l.bulks[i].read;
    found = 100 * share(found, (double)of_packets);
    if (found < expected - 5 || found > expected + 5)
        fail_msg("%u channels beside %u flows: %.1f %%", channels, flows, found);
    world_close(w);
}

static void test_packets_and_channels_share_by_flows(void **state)
{
    check_shares(1, 1);
    check_shares(2, 1);
    check_shares(1, 3);
}

/* What one side had by a path of its own, ten times as fast, is no debt when they meet on the other. */
static void check_meeting(bool packets_move)
{
    struct load l;
    struct world *w = begin(&l, 2, 2 * MBIT, 5 * MSEC);
    struct bulk *b = add(w, packets_move ? 1 : 2);
    double found;
    uint64_t before;

    world_rate(w, 1, 20 * MBIT);
    l.target = packets_move ? 2 : 1;
    l.packet_flows = 1;
    world_pass(w, 6 * SEC);
    l.target = 1;
    channel_steer(b->p.c[0], 1, FLOW_BULK);
    world_pass(w, 1 * SEC);
    before = b->read;
    memset(w->ends[1].packet_bytes, 0, sizeof(w->ends[1].packet_bytes));
    world_pass(w, 4 * SEC);
    found = 100 * share((double)(b->read - before), (double)w->ends[1].packet_bytes[0]);
    if (found < 40 || found > 60)
        fail_msg("channels have %.1f %%", found);
    world_close(w);
}

static void test_no_debt_of_another_path(void **state)
{
    check_meeting(true);
    check_meeting(false);
}

/* --- memory --- */

/* What the acceptor holds of a channel that nobody reads is the window that it gave. */
static uint64_t window_of(struct bulk *b)
{
    uint64_t n = world_read(b->p.c[1], b->read);

    b->read += n;
    return n;
}

static void test_windows(void **state)
{
    struct load l;
    struct world *w = begin(&l, 1, 100 * MBIT, 10 * MSEC);
    uint64_t sum = 0;

    for (unsigned i = 0; i < ARRAY_LEN(l.bulks); i++)
        add(w, 0)->reads = i > 0;
    world_pass(w, 4 * SEC);
    for (unsigned i = 0; i < ARRAY_LEN(l.bulks); i++)
        l.bulks[i].reads = false;
    world_pass(w, 4 * SEC);
    for (unsigned i = 0; i < ARRAY_LEN(l.bulks); i++) {
        uint64_t n = window_of(&l.bulks[i]);

        sum += n;
        if (i == 0)
            assert_int_equal(n, DELIVERY_WINDOW_INITIAL);
        else
            assert_true(n >= 4 * DELIVERY_WINDOW_INITIAL && n <= CHANNEL_BUFFER);
    }
    assert_true(sum <= CHANNELS_RX_MAX);
    world_close(w);
}

#define WRITERS 600

/* Nothing is acknowledged: writers leave CHANNELS_TX_MAX, and no more. Who had no room hears when there is some, also
 * if none of its own bytes is on its way. */
static void test_writers_leave_so_much(void **state)
{
    static struct world_channel p[WRITERS + 1];
    static const uint8_t bytes[1 << 20];
    struct world *w = world_open(1);
    uint64_t sum = 0;
    int64_t n;

    for (unsigned i = 0; i < ARRAY_LEN(p); i++)
        world_ask(w, &p[i]);
    world_pass(w, 5 * SEC);
    for (unsigned i = 0; i < ARRAY_LEN(p); i++) {
        world_take(w, &p[i]);
        channel_accept(p[i].c[1]);
    }
    world_pass(w, 5 * SEC);
    world_hold(w, 1, true);
    for (unsigned i = 0; i < WRITERS; i++) {
        n = channel_write(p[i].c[0], bytes, sizeof(bytes));
        assert_true(n >= 0);
        sum += (uint64_t)n;
        assert_true(sum <= CHANNELS_TX_MAX);
    }
    assert_int_equal(sum, CHANNELS_TX_MAX);
    assert_int_equal(channel_write(p[WRITERS].c[0], bytes, 10), 0);
    world_serve(w, 0);
    p[WRITERS].pops[0] = 0;
    world_hold(w, 1, false);
    world_pass(w, 2 * SEC);
    assert_true(p[WRITERS].pops[0] > 0);
    assert_int_equal(channel_write(p[WRITERS].c[0], bytes, 10), 10);
    world_pass(w, 2 * SEC);
    assert_true(channel_flushed(p[WRITERS].c[0]));
    world_close(w);
}

#define STILL 200

/* Readers that stand still leave room for one that does not: it has the link. */
static void test_still_readers(void **state)
{
    static struct world_channel still[STILL];
    static const uint8_t bytes[1 << 20];
    struct load l;
    struct world *w = begin(&l, 1, 100 * MBIT, 10 * MSEC);
    uint64_t sum = 0, before;
    struct bulk *b;

    b = add(w, 0); /* by which the rate is known, and so how much may wait */
    world_pass(w, 2 * SEC);
    for (unsigned i = 0; i < STILL; i++)
        world_channel(w, &still[i]);
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < STILL; i++) {
            int64_t n = channel_write(still[i].c[0], bytes, sizeof(bytes));

            assert_true(n >= 0);
            sum += (uint64_t)n;
        }
        world_pass(w, 20 * MSEC);
    }
    assert_true(sum >= STILL * DELIVERY_WINDOW_INITIAL && sum <= CHANNELS_TX_MAX / 2 + STILL * DELIVERY_WINDOW_INITIAL);
    before = b->read;
    world_pass(w, 2 * SEC);
    assert_true(b->read - before >= 2 * 100 * MBIT / 8 * 9 / 10);
    world_close(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_bulk_ones_are_equal),
        cmocka_unit_test(test_a_little_beside_a_bulk_one),
        cmocka_unit_test(test_packets_and_channels_share_by_flows),
        cmocka_unit_test(test_no_debt_of_another_path),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_writers_leave_so_much),
        cmocka_unit_test(test_still_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
