/* Unit tests of src/session/exchange: tables that are full, floods, garbage. */
#include "tests/unit/exchange_pair.h"
#include "tests/unit/test.h"

#include <errno.h>

/* --- bounds --- */

static void test_full(void **state)
{
    const struct exchange_options asks = { .peers_max = 1, .requests_max = 1, .joins_max = 1 };
    struct exchange_call c;
    struct xend *others[3];
    uint64_t p[3];
    int owner;

    pair_open(2);
    c = xend_call(server, 0);
    for (int i = 0; i < 3; i++) {
        others[i] = xworld_add(&w, &asks);
        p[i] = pair_call(others[i], &c);
    }
    pair_ask(others[0], p[0], 1);
    pair_run(SEC);
    assert_int_equal(exchange_peer_set_owner(server->x, got.peer, &owner), 0);
    pair_ask(others[1], p[1], 1);
    pair_run(SEC);
    pair_ask(others[2], p[2], 1);
    pair_run(8 * SEC);
    assert_int_equal(got.answers, 2); /* no room for the third */
    assert_int_equal(got.failed, 1);
    assert_true(pair_drops(server, EXCHANGE_DROP_FULL) > 0);
    pair_run(5 * SEC);
    pair_ask(others[2], p[2], 1); /* the second was silent for long enough; the first has an owner */
    pair_run(SEC);
    assert_int_equal(got.answers, 3);
    assert_int_equal(got.gone, 0);
    pair_ask(others[0], p[0], 1);
    pair_run(RTT);
    assert_int_equal(got.answers, 4);
    assert_int_equal(exchange_peer_call(others[0]->x, &c, w.now, &p[0]), -ENOSPC);
    pair_end();
}

static void test_requests_max(void **state)
{
    uint8_t data = 0;
    uint64_t request;

    pair_begin();
    got.mute = true;
    for (int i = 0; i < 8; i++)
        pair_ask(client, peer, 1);
    assert_int_equal(exchange_request(client->x, peer, &data, 1, NULL, w.now, &request), -ENOSPC);
    pair_run(10 * SEC);
    assert_int_equal(got.failed, 8);
    got.mute = false;
    pair_ask(client, peer, 1);
    pair_run(SEC);
    assert_int_equal(got.answers, 1);
    pair_end();
}

/* The first parts of many requests, never the last: two are kept of one peer, and not for ever. */
static void test_joins(void **state)
{
    struct exchange_stats s;
    size_t before;

    pair_begin();
    pair_ask(client, peer, 1);
    pair_run(SEC);
    exchange_stats_get(server->x, &s);
    before = s.memory;
    for (int i = 0; i < 7; i++) {
        wire.drop_type = PACKET_SEALED;
        wire.drop_from = 1;
        wire.drop_nth = 2;
        wire.passed = 0;
        pair_ask(client, peer, 1200);
    }
    pair_run(RTT);
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.joins, 2);
    assert_int_equal(pair_drops(server, EXCHANGE_DROP_JOIN), 5);
    wire.drop_type = 0;
    xend_stop(client);
    pair_run(10 * SEC);
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.joins, 0);
    assert_true(s.memory <= before);
    pair_end();
}

/* Everything that waits is in a ring of 256: what has no room says so, and nothing is lost of what had. */
static void test_output_full(void **state)
{
    uint8_t said[EXCHANGE_MESSAGE_MAX] = { 0 };
    struct exchange_tx tx[EXCHANGE_OUTPUT_MAX];

    pair_begin();
    got.mute = true;
    pair_ask(client, peer, 1);
    pair_run(SEC);
    for (int i = 0; i < 4; i++)
        assert_int_equal(exchange_answer(server->x, &got.asked, said, sizeof(said), w.now), 0);
    assert_int_equal(exchange_answer(server->x, &got.asked, said, sizeof(said), w.now), -EAGAIN);
    assert_int_equal(exchange_output(server->x, tx, EXCHANGE_OUTPUT_MAX, w.now), 4 * 57);
    assert_int_equal(exchange_answer(server->x, &got.asked, said, sizeof(said), w.now), 0);
    assert_int_equal(exchange_answer(server->x, &got.asked, said, EXCHANGE_MESSAGE_MAX + 1, w.now), -EMSGSIZE);
    pair_end();
}

/* After a flood an INIT must bring a cookie, and who is honest does. */
static void test_cookie(void **state)
{
    const struct exchange_options asks = { .peers_max = 200, .requests_max = 200, .joins_max = 1 };
    struct exchange_call c;
    struct xend *crowd;

    pair_open(512);
    crowd = xworld_add(&w, &asks);
    c = xend_call(server, 0);
    for (int i = 0; i < 200; i++) { /* 200 * 300 us: more than the budget's 50 ms */
        xend_restart(crowd);
        pair_ask(crowd, pair_call(crowd, &c), 1);
    }
    pair_run(RTT);
    assert_true(wire.count[PACKET_COOKIE] > 0);
    peer = pair_call(client, &c);
    pair_ask(client, peer, 1);
    pair_run(SEC);
    assert_true(got.answers >= 1);
    assert_int_equal(got.up[1], 1);
    pair_end();
}

/* Strangers that are no exchange, and such as are none at all. */
static void test_garbage(void **state)
{
    struct locator_pair at = { .link = 1, .remote = { addr_v4(0x0a000107), 4000 } };
    uint8_t data[EXCHANGE_DATAGRAM_MAX];

    pair_begin();
    pair_ask(client, peer, 1);
    pair_run(SEC);
    for (int type = 0; type < 16; type++)
        for (size_t len = 0; len < sizeof(data); len += 13) {
            rng_fill(&w.rng, data, sizeof(data));
            data[0] = (uint8_t)type;
            exchange_input(server->x, &at, data, len, w.now);
            xend_turn(server);
            exchange_input(client->x, &at, data, len, w.now);
            xend_turn(client);
        }
    pair_ask(client, peer, 1);
    pair_run(SEC);
    assert_int_equal(got.answers, 2);
    pair_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),        cmocka_unit_test(test_requests_max), cmocka_unit_test(test_joins),
        cmocka_unit_test(test_output_full), cmocka_unit_test(test_cookie),       cmocka_unit_test(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
