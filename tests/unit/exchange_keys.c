/* Unit tests of src/session/exchange: keys that are renewed, kept, too old, or lost by an end that begins anew. */
#include "tests/unit/exchange_pair.h"
#include "tests/unit/test.h"

#include <errno.h>

/* --- keys --- */

/* Who was called begins anew. Its reset, whose token was promised, says so. */
static void test_restart(void **state)
{
    instant began;

    pair_begin();
    pair_ask(client, peer, 1);
    pair_run(SEC);
    xend_restart(server);
    began = w.now;
    pair_ask(client, peer, 1);
    pair_run(SEC);
    assert_int_equal(wire.count[PACKET_RESET], 1);
    assert_int_equal(got.answers, 2);
    assert_true(got.at == began + 3 * RTT); /* reset, handshake, question */
    assert_int_equal(got.up[1], 2);
    pair_end();
}

/* The same, and no reset arrives: after two tries. */
static void test_restart_unheard(void **state)
{
    instant began;

    pair_begin();
    pair_ask(client, peer, 1);
    pair_run(SEC);
    xend_restart(server);
    wire.drop_type = PACKET_RESET;
    began = w.now;
    pair_ask(client, peer, 1);
    pair_run(5 * SEC);
    assert_int_equal(got.answers, 2);
    assert_true(got.at == began + 750 * MSEC + 2 * RTT);
    pair_end();
}

/* Who called begins anew: another peer, and the former one is forgotten in time. */
static void test_caller_restarts(void **state)
{
    struct exchange_call c;
    struct exchange_stats s;
    uint64_t first;

    pair_begin();
    c = xend_call(server, 0);
    pair_ask(client, peer, 1);
    pair_run(SEC);
    first = got.peer;
    assert_int_equal(exchange_peer_set_owner(server->x, first, &first), 0);
    xend_restart(client);
    peer = pair_call(client, &c);
    pair_ask(client, peer, 1);
    pair_run(SEC);
    assert_int_equal(got.answers, 2);
    assert_true(got.peer != first);
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.peers, 2);
    pair_run(EXCHANGE_REJECT_AFTER + 60 * SEC);
    assert_int_equal(got.gone, 1);
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.peers, 0);
    pair_end();
}

static void test_rekey(void **state)
{
    struct exchange_call c;
    struct exchange_stats s;

    pair_begin();
    c = xend_call(server, 0);
    c.keep = 20 * SEC;
    peer = pair_call(client, &c);
    pair_run(SEC);
    assert_int_equal(got.up[1], 1); /* without any request */
    pair_run(2 * EXCHANGE_REKEY_AFTER + 100 * SEC);
    exchange_stats_get(client->x, &s);
    assert_int_equal(s.handshakes, 3);
    assert_int_equal(got.up[1], 1);
    assert_int_equal(got.down, 0);
    pair_ask(client, peer, 1);
    pair_run(SEC);
    assert_int_equal(got.answers, 1);
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.peers, 1);
    /* A ping each 20 s, with its answer; not more. */
    assert_in_range(wire.count[PACKET_SEALED], 2 * 1900 / 20 - 6, 2 * 1900 / 20 + 20);
    pair_end();
}

/* A kept call tells when the peer is not there, goes on trying, and tells when it is back. */
static void test_keep(void **state)
{
    struct exchange_call c;

    pair_begin();
    c = xend_call(server, 0);
    c.keep = 10 * SEC;
    peer = pair_call(client, &c);
    pair_run(SEC);
    server->reach[0] = 0;
    pair_run(30 * SEC);
    assert_int_equal(got.down, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_NOBODY);
    pair_run(1000 * SEC);
    assert_int_equal(got.down, 1);
    assert_int_equal(got.up[1], 1);
    server->reach[0] = 1;
    pair_run(61 * SEC);
    assert_int_equal(got.up[1], 2);
    pair_ask(client, peer, 1);
    pair_run(RTT);
    assert_int_equal(got.answers, 1);
    pair_end();
}

/* Old keys are not used: neither by who has them, nor for who sends with them. */
static void test_old_keys(void **state)
{
    struct exchange_peer_info info;

    pair_begin();
    pair_ask(client, peer, 1);
    pair_run(SEC);
    pair_run(EXCHANGE_REJECT_AFTER + 60 * SEC);
    assert_int_equal(exchange_peer_info(client->x, peer, &info), 0);
    assert_false(info.up);
    assert_int_equal(exchange_peer_info(server->x, got.peer, &info), -ENOENT);
    pair_ask(client, peer, 1);
    pair_run(SEC);
    assert_int_equal(got.answers, 2);
    assert_int_equal(got.up[1], 2);
    pair_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_restart_unheard),
        cmocka_unit_test(test_caller_restarts),
        cmocka_unit_test(test_rekey),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_old_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
