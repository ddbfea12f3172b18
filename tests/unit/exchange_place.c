/* Unit tests of src/session/exchange: who is at an address, who has moved, what comes from elsewhere. */
#include "tests/unit/exchange_pair.h"
#include "tests/unit/test.h"
#include "wire/hello.h"

/* --- who is where --- */

/* The client has another address: the server sends there no more than a challenge before it has proven that. */
static void test_roaming(void **state)
{
    pair_begin();
    got.say = 1000;
    pair_ask(client, peer, 1);
    pair_run(SEC);
    client->from = 1;
    wire.watch = xend_endpoint(client, 1);
    pair_ask(client, peer, 1);
    pair_run(RTT);
    assert_int_equal(got.requests, 1);
    assert_int_equal(pair_drops(server, EXCHANGE_DROP_UNPROVEN), 1);
    assert_true(wire.to_watched <= wire.from_watched);
    pair_run(RTT);
    assert_int_equal(got.answers, 2);
    pair_ask(client, peer, 1);
    pair_run(RTT);
    assert_int_equal(got.answers, 3);
    assert_int_equal(pair_drops(server, EXCHANGE_DROP_UNPROVEN), 1);
    pair_end();
}

/* The client says that it is where somebody else is. */
static void test_reflection(void **state)
{
    pair_begin();
    got.say = 1000;
    pair_ask(client, peer, 1);
    pair_run(SEC);
    client->from = 77; /* what is sent there does not reach it */
    wire.watch = xend_endpoint(client, 77);
    pair_ask(client, peer, 1);
    pair_run(10 * SEC);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.requests, 1);
    assert_true(wire.from_watched > 0 && wire.to_watched > 0);
    assert_true(wire.to_watched <= wire.from_watched);
    pair_end();
}

/* The handshake's copies come from two places, of which one is somebody else's, and so does the first record. */
static void test_reflection_of_handshakes(void **state)
{
    pair_begin();
    got.say = 1000;
    wire.watch = xend_endpoint(client, 77);
    client->from = 77;
    pair_ask(client, peer, 1); /* the first INIT: from where it is not */
    client->from = 0;
    pair_run(250 * MSEC); /* the second: from where it is */
    client->from = 77;
    pair_run(2 * RTT);
    assert_int_equal(wire.count[PACKET_RESPONSE], 2);
    pair_run(10 * SEC);
    assert_int_equal(got.up[0], 1);
    assert_int_equal(got.requests, 0);
    assert_true(pair_drops(server, EXCHANGE_DROP_UNPROVEN) > 0);
    assert_true(wire.to_watched <= wire.from_watched);
    pair_end();
}

static uint8_t recorded[EXCHANGE_DATAGRAM_MAX];
static size_t recorded_len;

static bool tap_record(struct xworld *world, unsigned from, const struct endpoint *src, const struct endpoint *dst,
                       uint8_t *data, size_t len)
{
    if (from == 1) {
        memcpy(recorded, data, len);
        recorded_len = len;
    }
    return pair_tap(world, from, src, dst, data, len);
}

static void test_replay(void **state)
{
    struct locator_pair at;
    uint8_t copy[EXCHANGE_DATAGRAM_MAX];
    struct exchange_peer_info info;
    struct exchange_stats s;

    pair_begin();
    pair_ask(client, peer, 1);
    pair_run(SEC);
    w.tap = tap_record;
    pair_ask(client, peer, 1);
    pair_run(SEC);
    at = (struct locator_pair){ .link = 1, .remote = xend_endpoint(client, 0) };
    memcpy(copy, recorded, recorded_len);
    exchange_input(server->x, &at, copy, recorded_len, w.now);
    xend_turn(server);
    assert_int_equal(got.requests, 2);
    assert_int_equal(pair_drops(server, EXCHANGE_DROP_REPLAY), 1);

    /* From elsewhere, and changed: neither moves anything. */
    at.remote = xend_endpoint(client, 99);
    memcpy(copy, recorded, recorded_len);
    exchange_input(server->x, &at, copy, recorded_len, w.now);
    memcpy(copy, recorded, recorded_len);
    put_be64(copy + 8, get_be64(copy + 8) + 1000);
    exchange_input(server->x, &at, copy, recorded_len, w.now);
    xend_turn(server);
    assert_int_equal(pair_drops(server, EXCHANGE_DROP_FORGED), 1);
    assert_int_equal(exchange_peer_info(server->x, got.peer, &info), 0);
    assert_true(endpoint_equal(&info.at.remote, &(struct endpoint){ addr_v4(0x0a000100), 4000 }));
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.requests, 2);
    pair_end();
}

/* --- finding --- */

static void test_hello(void **state)
{
    struct exchange_call c;

    pair_begin();
    c = xend_call(server, 0);
    memset(c.key.x25519, 0, 32);
    c.key.suites = 0;
    peer = pair_call(client, &c);
    pair_ask(client, peer, 1);
    pair_run(SEC);
    assert_int_equal(got.answers, 1);
    assert_true(got.at == 1000 * SEC + 3 * RTT);
    assert_int_equal(wire.count[PACKET_HELLO], 1);
    pair_ask(client, peer, 1);
    pair_run(SEC);
    assert_int_equal(got.answers, 2);
    assert_int_equal(wire.count[PACKET_HELLO], 1);

    c.key.ed25519[0] ^= 1; /* somebody else is wanted */
    peer = pair_call(client, &c);
    pair_ask(client, peer, 1);
    pair_run(5 * SEC);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_KEY);
    pair_end();
}

/* At the first address is somebody else, at the second who is wanted. */
static void test_hello_beside_another(void **state)
{
    const struct exchange_options answers = {
        .answers = true, .answers_hello = true, .peers_max = 8, .requests_max = 8, .joins_max = 4
    };
    struct exchange_call c;
    struct xend *other;

    pair_begin();
    other = xworld_add(&w, &answers);
    c = xend_call(server, 1);
    c.ways[0].remote = xend_endpoint(other, 0);
    memset(c.key.x25519, 0, 32);
    peer = pair_call(client, &c);
    pair_ask(client, peer, 1);
    pair_run(5 * SEC);
    assert_int_equal(got.answers, 1);
    assert_int_equal(got.up[2], 0);
    pair_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roaming),
        cmocka_unit_test(test_reflection),
        cmocka_unit_test(test_reflection_of_handshakes),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_hello_beside_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
