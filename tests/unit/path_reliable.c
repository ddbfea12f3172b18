/* Unit tests of src/path: a path whose transport loses nothing and governs itself. Times are those of the head-of-line
 * rule in path/path.h, added by hand. */
#include "path/path.h"
#include "tests/unit/test.h"

#define START (100 * SEC)
#define RTT (40 * MSEC)

static struct pbuf_pool pool;

static struct path_transport told(size_t room)
{
    return (struct path_transport){
        .room_bytes = room, .rtt = RTT, .rttvar = 5 * MSEC, .min_rtt = 30 * MSEC, .rate_bps = 8000000
    };
}

static void ack(struct path *p, uint64_t first, uint64_t last, instant now)
{
    struct ack a = { .largest = last, .ranges_count = 1, .ranges = { { .first = first, .last = last } } };
    struct path_ack_result r;

    assert_int_equal(path_on_ack(p, &a, now, &r), 0);
}

static void send_data(struct path *p, instant now)
{
    struct pbuf *b = pbuf_take(&pool);

    assert_non_null(b);
    b->tracked = true;
    path_on_sent(p, 1000, b, true, true, now);
    pbuf_unref(b);
}

/* Active, by the answer to its first record. */
static struct path *make(void)
{
    const struct path_options o = { .record_bytes = 1500, .reliable = true };
    struct path *p = path_new(&o, START);

    assert_non_null(p);
    assert_int_equal(path_congestion(p), CC_KERNEL);
    path_on_sent(p, 40, NULL, true, false, START);
    ack(p, 0, 0, START);
    assert_int_equal(path_state(p), PATH_ACTIVE);
    return p;
}

/* Lets its timers run until then. */
static void pass(struct path *p, instant *now, instant until)
{
    struct path_event ev;

    while (path_next_expiry(p) <= until) {
        *now = MAX(*now, path_next_expiry(p));
        path_on_expiry(p, *now);
        while (path_pop_event(p, &ev))
            ;
    }
    *now = until;
}

/* Nothing may leave before there is a word of room, then so much, and nothing is paced. */
static void test_room(void **state)
{
    struct path *p = make();
    struct path_transport t = told(2500);
    struct path_metrics m;
    unsigned n = 0;

    assert_false(path_may_send(p, 1000, START));
    assert_true(path_next_send(p) == INSTANT_NEVER);
    path_on_transport(p, &t, START);
    for (; path_may_send(p, 1000, START); n++)
        path_on_sent(p, 1000, NULL, true, true, START);
    assert_int_equal(n, 3); /* the last reaches beyond it */
    path_get_metrics(p, START, &m);
    assert_int_equal(m.srtt, RTT);
    assert_int_equal(m.rttvar, 5 * MSEC);
    assert_int_equal(m.min_rtt, 30 * MSEC);
    assert_int_equal(m.queue, 10 * MSEC);
    assert_int_equal(m.rate_bps, 8000000);
    assert_int_equal(m.pacing_bps, 8000000);
    assert_int_equal(path_size_probe(p, START), 0);
    assert_false(m.rate_is_sought);
    t.rate_bps = 4000000; /* the application limited it: it says nothing, nor that it is no more than it was */
    t.rate_is_lower_bound = true;
    path_on_transport(p, &t, START);
    path_get_metrics(p, START, &m);
    assert_int_equal(m.rate_bps, 8000000);
    assert_true(m.rate_is_sought);
    path_free(p);
}

/* What is overtaken is late: the three records above it, and time, do not make it lost. */
static void test_nothing_is_lost(void **state)
{
    struct path *p = make();
    struct path_transport t = told(100000);
    struct path_metrics m;
    struct pbuf *b;
    bool acked;

    path_on_transport(p, &t, START);
    for (unsigned i = 0; i < 10; i++)
        send_data(p, START);
    ack(p, 2, 10, START + RTT);
    path_on_expiry(p, START + 10 * RTT);
    for (unsigned i = 0; i < 9; i++) {
        b = path_take_told(p, &acked);
        assert_non_null(b);
        assert_true(acked);
        pbuf_unref(b);
    }
    assert_null(path_take_told(p, &acked));
    assert_null(path_take_lost(p));
    path_get_metrics(p, START + 10 * RTT, &m);
    assert_int_equal(m.lost_pkts, 0);
    assert_int_equal(m.inflight_bytes, 1000);
    ack(p, 1, 1, START + 11 * RTT);
    b = path_take_told(p, &acked);
    assert_non_null(b);
    assert_true(acked);
    pbuf_unref(b);
    path_free(p);
}

/* Of 500 records of 1,500 bytes 50,000 bytes are a fifteenth; a tenth of these was sent in vain. */
static void test_loss_of_the_transport(void **state)
{
    struct path *p = make();
    struct path_transport t = told(1);
    struct path_metrics m;

    path_on_transport(p, &t, START);
    t.sent_bytes = 50000;
    t.resent_bytes = 5000;
    path_on_transport(p, &t, START);
    path_get_metrics(p, START, &m);
    assert_float_equal(m.loss, .1 / 15, 1e-9);
    t.sent_bytes = t.resent_bytes = 0; /* another connection: no share of it is known */
    path_on_transport(p, &t, START);
    path_get_metrics(p, START, &m);
    assert_float_equal(m.loss, .1 / 15, 1e-9);
    path_free(p);
}

/* In trouble: suspected after 200 ms (two round trips are 80), down 1.5 s later; each buffer is taken once. */
static void test_head_of_line(void **state)
{
    struct path *p = make();
    struct path_transport t = told(100000);
    instant now = START;
    struct pbuf *b;
    unsigned n = 0;

    path_on_transport(p, &t, now);
    for (unsigned i = 0; i < 5; i++)
        send_data(p, now);
    t.troubled = true;
    path_on_transport(p, &t, now);
    pass(p, &now, START + 199 * MSEC);
    assert_int_equal(path_state(p), PATH_ACTIVE);
    pass(p, &now, START + 200 * MSEC);
    assert_int_equal(path_state(p), PATH_SUSPECTED);
    for (; (b = path_take_inflight(p)); n++)
        pbuf_unref(b);
    assert_int_equal(n, 5);
    pass(p, &now, START + 1699 * MSEC);
    assert_int_equal(path_state(p), PATH_SUSPECTED);
    pass(p, &now, START + 1700 * MSEC);
    assert_int_equal(path_state(p), PATH_DOWN);
    assert_null(path_take_inflight(p));
    path_free(p);
}

/* What moves is not stalled, and without trouble there are 200 ms more. */
static void test_patience(void **state)
{
    struct path *p = make();
    struct path_transport t = told(100000);
    instant now = START;

    path_on_transport(p, &t, now);
    send_data(p, now);
    pass(p, &now, START + 399 * MSEC);
    assert_int_equal(path_state(p), PATH_ACTIVE);
    t.acked_bytes = 100; /* the other end's transport has some of it */
    path_on_transport(p, &t, now);
    pass(p, &now, START + 798 * MSEC);
    assert_int_equal(path_state(p), PATH_ACTIVE);
    pass(p, &now, START + 799 * MSEC);
    assert_int_equal(path_state(p), PATH_SUSPECTED);
    ack(p, 1, 1, now);
    assert_int_equal(path_state(p), PATH_ACTIVE);
    path_free(p);
}

/* The connection ends: down at once, and its data is to be had once; the answer of another one tells of none. */
static void test_connection_lost(void **state)
{
    struct path *p = make();
    struct path_transport t = told(100000);
    instant now = START;
    struct path_event ev;
    struct pbuf *b;
    unsigned n = 0;
    bool acked;

    path_on_transport(p, &t, now);
    for (unsigned i = 0; i < 5; i++)
        send_data(p, now);
    path_on_transport_lost(p, now);
    assert_int_equal(path_state(p), PATH_DOWN);
    assert_false(path_may_send(p, 1000, now));
    b = path_take_inflight(p); /* goes elsewhere */
    assert_non_null(b);
    pbuf_unref(b);
    path_hurry(p, now);
    while (path_pop_event(p, &ev))
        ;
    path_on_sent(p, 40, NULL, true, false, now);
    ack(p, 6, 6, now + RTT);
    assert_int_equal(path_state(p), PATH_ACTIVE);
    for (; (b = path_take_told(p, &acked)); n++) {
        assert_false(acked);
        pbuf_unref(b);
    }
    assert_int_equal(n, 4);
    assert_false(path_may_send(p, 1000, now)); /* what the new one has room for was not said yet */
    path_free(p);
}

/* The other end goes on over another connection: what the former had is told to be lost. */
static void test_moved(void **state)
{
    struct path *p = make();
    struct path_transport t = told(100000);
    struct pbuf *b;
    bool acked;

    path_on_transport(p, &t, START);
    send_data(p, START);
    path_on_migrated(p, START + 1);
    b = path_take_told(p, &acked);
    assert_non_null(b);
    assert_false(acked);
    pbuf_unref(b);
    assert_false(path_may_send(p, 1000, START + 1));
    path_free(p);
}

static int all_given_back(void **state)
{
    assert_int_equal(pool.used, 0);
    return 0;
}

/* What the transport gives up is lost at once and told of, once. Nothing else being acknowledged the path waits for it
 * as for what is in flight, though nothing is; an acknowledgement of anything ends that. */
static void test_abandoned(void **state)
{
    struct path_transport t = told(100000);
    struct path *p = make();
    struct path_metrics m;
    instant now = START;
    struct pbuf *b;
    bool acked;

    t.troubled = t.partial = true;
    path_on_transport(p, &t, now);
    send_data(p, now); /* 1 */
    send_data(p, now);
    assert_true(path_on_abandoned(p, 1));
    assert_false(path_on_abandoned(p, 1));
    assert_false(path_on_abandoned(p, 0));
    assert_false(path_on_abandoned(p, 3));
    b = path_take_told(p, &acked);
    assert_non_null(b);
    assert_false(acked);
    pbuf_unref(b);
    assert_null(path_take_told(p, &acked));
    path_get_metrics(p, now, &m);
    assert_int_equal(m.lost_pkts, 1);
    assert_int_equal(m.inflight_bytes, 1000);
    assert_true(m.loss > 0);
    ack(p, 2, 2, START + RTT);
    pass(p, &now, START + RTT + PATH_STALL_MIN + 1);
    assert_int_equal(path_state(p), PATH_ACTIVE);
    send_data(p, now); /* 3 */
    assert_true(path_on_abandoned(p, 3));
    path_get_metrics(p, now, &m);
    assert_int_equal(m.inflight_bytes, 0);
    pass(p, &now, now + PATH_STALL_MIN - 1);
    assert_int_equal(path_state(p), PATH_ACTIVE);
    pass(p, &now, now + 2);
    assert_int_equal(path_state(p), PATH_SUSPECTED);
    path_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_room, all_given_back),
        cmocka_unit_test_teardown(test_nothing_is_lost, all_given_back),
        cmocka_unit_test_teardown(test_loss_of_the_transport, all_given_back),
        cmocka_unit_test_teardown(test_head_of_line, all_given_back),
        cmocka_unit_test_teardown(test_patience, all_given_back),
        cmocka_unit_test_teardown(test_connection_lost, all_given_back),
        cmocka_unit_test_teardown(test_moved, all_given_back),
        cmocka_unit_test_teardown(test_abandoned, all_given_back),
    };

    assert_int_equal(pbuf_pool_init(&pool, 64), 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
