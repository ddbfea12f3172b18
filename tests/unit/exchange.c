/* Unit tests of src/session/exchange and src/wire/exchange: messages to the byte, requests and answers, both ways. */
#include "tests/unit/exchange_pair.h"
#include "tests/unit/test.h"

#include <errno.h>

/* --- the wire --- */

/* By hand, from the header's drawing. */
static void test_wire(void **state)
{
    static const uint8_t request[] = { 6, 1, 3, 2, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8,   0xa0,
                                       0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 'h', 'i' };
    static const uint8_t challenge[] = { 6, 3, 1, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 7 };
    uint8_t text[EXCHANGE_TEXT_MAX] = { 6, 2, 0, 1, 0, 0, 0, 1, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1 }, out[64];
    struct exchange_message m;

    assert_int_equal(exchange_message_read(request, sizeof(request), &m), 0);
    assert_int_equal(m.kind, EXCHANGE_KIND_REQUEST);
    assert_int_equal(m.try, 3);
    assert_int_equal(m.id, 9);
    assert_true(m.token == 0x0102030405060708u && m.has_have && !m.in_parts);
    assert_true(m.have_digest == 0xa000000000000001u && m.have_parts == 5);
    assert_int_equal(m.len, 2);
    assert_memory_equal(m.data, "hi", 2);
    assert_int_equal(exchange_message_put(out, &m), sizeof(request) - 2);
    assert_memory_equal(out, request, sizeof(request) - 2);
    for (size_t i = 0; i < sizeof(request) - 2; i++)
        assert_int_equal(exchange_message_read(request, i, &m), i < 32 ? -EBADMSG : 0);

    assert_int_equal(exchange_message_read(challenge, sizeof(challenge), &m), 0);
    assert_true(m.kind == EXCHANGE_KIND_CHALLENGE && m.token == 7 && m.id == 9);
    assert_int_equal(exchange_message_put(out, &m), sizeof(challenge));
    assert_memory_equal(out, challenge, sizeof(challenge));
    assert_int_equal(exchange_message_read(challenge, sizeof(challenge) - 1, &m), -EBADMSG);

    /* Part 1 of 0, 1, 2 has 1232 - 32 - 44 = 1156 bytes, no more and no fewer. */
    assert_int_equal(EXCHANGE_PART_LEN, 1156);
    assert_int_equal(exchange_message_read(text, 20 + 1156, &m), 0);
    assert_true(m.in_parts && m.part == 1 && m.last == 2 && m.digest == 0x0101010101010101u && m.len == 1156);
    assert_int_equal(exchange_message_read(text, 20 + 1155, &m), -EBADMSG);
    assert_int_equal(exchange_message_read(text, 20 + 1157, &m), -EBADMSG);
    text[8] = 2; /* the last */
    assert_int_equal(exchange_message_read(text, 20 + 1, &m), 0);
    assert_int_equal(exchange_message_read(text, 20, &m), -EBADMSG);
    text[8] = 3; /* behind the last */
    assert_int_equal(exchange_message_read(text, 20 + 1, &m), -EBADMSG);
    text[8] = text[9] = 56; /* 56 * 1156 = 64,736: the 57th part has at most 800 of 65,536 */
    assert_int_equal(exchange_message_read(text, 20 + 800, &m), 0);
    assert_int_equal(exchange_message_read(text, 20 + 801, &m), -EBADMSG);
    text[8] = text[9] = 57;
    assert_int_equal(exchange_message_read(text, 20 + 1, &m), -EBADMSG);
    text[8] = text[9] = 0; /* one part is none */
    assert_int_equal(exchange_message_read(text, 20 + 1, &m), -EBADMSG);
    text[3] = 0;
    text[1] = 5; /* no such kind */
    assert_int_equal(exchange_message_read(text, 20, &m), -EBADMSG);
    text[1] = 2;
    text[3] = 4; /* no such flag */
    assert_int_equal(exchange_message_read(text, 20, &m), -EBADMSG);
    text[3] = 2; /* an answer has nothing to say of what it has */
    assert_int_equal(exchange_message_read(text, 30, &m), -EBADMSG);
}

/* --- asking --- */

static void test_ask(void **state)
{
    struct exchange_peer_info info;

    pair_begin();
    pair_run(SEC);
    assert_int_equal(w.datagrams, 0); /* nothing is sent before there is something to say */
    pair_ask(client, peer, 10);
    pair_run(SEC);
    assert_int_equal(got.requests, 1);
    assert_int_equal(got.answers, 1);
    assert_int_equal(got.request_len, 10);
    assert_int_equal(got.request[9], pair_pattern(9, 99));
    assert_int_equal(got.answer_len, 100);
    assert_int_equal(got.answer[99], pair_pattern(99, 0));
    assert_true(got.at == 1001 * SEC + 2 * RTT); /* the handshake and the question */
    assert_int_equal(got.up[0], 1);
    assert_int_equal(got.up[1], 1);
    /* INIT, RESPONSE; request, answer, and what the server promises for its restart. */
    assert_int_equal(wire.count[PACKET_INIT], 1);
    assert_int_equal(wire.count[PACKET_RESPONSE], 1);
    assert_int_equal(wire.count[PACKET_SEALED], 3);
    assert_int_equal(exchange_peer_info(client->x, peer, &info), 0);
    assert_true(info.up && info.called && info.rtt == RTT);
    assert_int_equal(exchange_peer_info(server->x, got.peer, &info), 0);
    assert_true(info.up && !info.called && info.rtt == 0);
    assert_memory_equal(info.key.ed25519, client->id.ed25519, 32);
    assert_int_equal(exchange_peer_info(server->x, got.peer + 1, &info), -ENOENT);

    pair_ask(client, peer, 10); /* another one: a round trip */
    pair_run(RTT);
    assert_int_equal(got.answers, 2);
    pair_end();
}

static void test_lengths(void **state)
{
    /* A request fits one datagram up to 1232 - 16 - 16 - 16 - 16 = 1168 bytes, an answer up to 1192. */
    static const size_t lengths[] = { 1, 1156, 1168, 1169, 1192, 1193, 2312, 2313, 65535, 65536 };
    uint64_t request;
    uint8_t none = 0;

    pair_begin();
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        got.say = lengths[i] - (lengths[i] == 1);
        pair_ask(client, peer, lengths[i]);
        pair_run(SEC);
        assert_int_equal(got.requests, i + 1);
        assert_int_equal(got.answers, i + 1);
        assert_int_equal(got.request_len, lengths[i]);
        assert_int_equal(got.answer_len, got.say);
        for (size_t j = 0; j < lengths[i]; j++)
            assert_int_equal(got.request[j], pair_pattern(j, 99));
        for (size_t j = 0; j < got.say; j++)
            assert_int_equal(got.answer[j], pair_pattern(j, 0));
    }
    assert_int_equal(exchange_request(client->x, peer, &none, 0, NULL, w.now, &request), -EMSGSIZE);
    assert_int_equal(exchange_request(client->x, peer, got.request, EXCHANGE_MESSAGE_MAX + 1, NULL, w.now, &request),
                     -EMSGSIZE);
    assert_int_equal(exchange_request(client->x, peer + 1, got.request, 1, NULL, w.now, &request), -ENOENT);
    pair_end();
}

/* Of an answer in 57 parts one is lost: it alone is sent again. */
static void test_part_lost(void **state)
{
    unsigned before;

    pair_begin();
    pair_ask(client, peer, 1);
    pair_run(SEC);
    before = wire.count[PACKET_SEALED];
    got.say = EXCHANGE_MESSAGE_MAX;
    wire.drop_type = PACKET_SEALED;
    wire.drop_nth = 20;
    pair_ask(client, peer, 1);
    pair_run(SEC);
    assert_int_equal(wire.lost, 1);
    assert_int_equal(got.answers, 2);
    assert_int_equal(got.answer_len, EXCHANGE_MESSAGE_MAX);
    for (size_t j = 0; j < got.say; j++)
        assert_int_equal(got.answer[j], pair_pattern(j, 0));
    assert_int_equal(wire.count[PACKET_SEALED] - before, 1 + 57 + 1 + 1);
    assert_int_equal(got.requests, 3);

    /* The same, but what is asked again has another answer now: all of it is sent. */
    before = wire.count[PACKET_SEALED];
    wire.passed = 0;
    pair_ask(client, peer, 1);
    pair_run(100 * MSEC);
    got.salt = 1;
    pair_run(SEC);
    assert_int_equal(got.answers, 3);
    for (size_t j = 0; j < got.say; j++)
        assert_int_equal(got.answer[j], pair_pattern(j, 1));
    assert_int_equal(wire.count[PACKET_SEALED] - before, 1 + 57 + 1 + 57);
    pair_end();
}

static void test_silence(void **state)
{
    instant began;

    pair_begin();
    pair_ask(client, peer, 1);
    pair_run(SEC);
    got.mute = true;
    wire.times = 0;
    began = w.now;
    pair_ask(client, peer, 1);
    pair_run(10 * SEC);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_SILENT);
    /* After the second a handshake as well, which is answered; then the third is sent once more, under the new keys. */
    assert_true(got.at - began == 750 * MSEC + RTT + 1000 * MSEC + 2000 * MSEC);
    assert_true(wire.at[0] == began && wire.at[1] == began + 250 * MSEC && wire.at[2] == began + 750 * MSEC);
    assert_int_equal(wire.count[PACKET_INIT], 2);
    assert_int_equal(got.up[1], 1); /* the same server */
    pair_end();
}

/* From 1.5 s away the timer is 2 s, not what the round trip and four times its variation would make. */
static void test_far(void **state)
{
    instant began;

    pair_begin();
    w.delay = 750 * MSEC;
    w.jitter = 0;
    pair_ask(client, peer, 1);
    pair_run(8 * SEC);
    assert_int_equal(got.answers, 1);
    got.mute = true;
    wire.times = 0;
    began = w.now;
    pair_ask(client, peer, 1);
    pair_run(60 * SEC);
    assert_int_equal(got.failed, 1);
    assert_true(wire.at[0] == began && wire.at[1] == began + EXCHANGE_FIRST_TRY_MAX);
    assert_true(wire.at[2] == began + 3 * EXCHANGE_FIRST_TRY_MAX);
    assert_true(got.at - began <= (1 + 2 + 4 + 8) * EXCHANGE_FIRST_TRY_MAX + 1500 * MSEC);
    pair_end();
}

static void test_nobody(void **state)
{
    pair_begin();
    xend_stop(server);
    wire.times = 0;
    pair_ask(client, peer, 1);
    pair_run(10 * SEC);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_NOBODY);
    assert_true(got.at == 1000 * SEC + 3750 * MSEC);
    assert_int_equal(wire.count[PACKET_INIT], 4);
    assert_true(wire.at[1] == 1000 * SEC + 250 * MSEC && wire.at[2] == 1000 * SEC + 750 * MSEC &&
                wire.at[3] == 1000 * SEC + 1750 * MSEC);
    pair_end();
}

/* The INIT left before there was a route: when there is one, another does at once, and has all its tries. */
static void test_network(void **state)
{
    pair_begin();
    server->reach[0] = 0;
    pair_ask(client, peer, 1);
    pair_run(800 * MSEC); /* three have gone in vain */
    server->reach[0] = 1;
    exchange_on_network(client->x, w.now);
    xend_turn(client);
    pair_run(SEC);
    assert_int_equal(got.answers, 1);
    assert_true(got.at == 1000 * SEC + 800 * MSEC + 2 * RTT);
    assert_int_equal(wire.count[PACKET_INIT], 4);
    pair_end();

    pair_begin();
    xend_stop(server);
    pair_ask(client, peer, 1);
    pair_run(800 * MSEC);
    exchange_on_network(client->x, w.now);
    xend_turn(client);
    pair_run(10 * SEC);
    assert_int_equal(got.failed, 1);
    assert_true(got.at == 1000 * SEC + 800 * MSEC + 3750 * MSEC);
    assert_int_equal(wire.count[PACKET_INIT], 3 + 4);
    pair_end();
}

/* The first address is dead from the beginning, then the second dies. */
static void test_ways(void **state)
{
    struct exchange_call c;

    pair_begin();
    c = xend_call(server, 1);
    peer = pair_call(client, &c);
    server->reach[0] = 2;
    pair_ask(client, peer, 1);
    pair_run(SEC);
    assert_int_equal(got.answers, 1);
    assert_true(got.at == 1000 * SEC + 250 * MSEC + 2 * RTT);
    pair_ask(client, peer, 1);
    pair_run(RTT);
    assert_int_equal(got.answers, 2); /* it has learnt */
    server->reach[0] = 1;
    pair_ask(client, peer, 1);
    pair_run(250 * MSEC + RTT);
    assert_int_equal(got.answers, 3);
    pair_ask(client, peer, 1);
    pair_run(RTT);
    assert_int_equal(got.answers, 4);
    pair_end();
}

/* ICMP says so: the next one is tried at once. */
static void test_unreachable(void **state)
{
    struct exchange_call c;

    pair_begin();
    c = xend_call(server, 1);
    peer = pair_call(client, &c);
    server->reach[0] = 2;
    pair_ask(client, peer, 1);
    exchange_on_unreachable(client->x, &c.ways[0], w.now);
    xend_turn(client);
    pair_run(2 * RTT);
    assert_int_equal(got.answers, 1);
    pair_end();
}

/* --- both ways --- */

/* Who was called asks who called. */
static void test_notify(void **state)
{
    struct exchange_event ev;
    uint64_t back;

    pair_begin();
    pair_ask(client, peer, 1);
    pair_run(SEC);
    back = got.peer;
    pair_ask(server, back, 700);
    pair_run(SEC);
    assert_int_equal(got.requests, 2);
    assert_int_equal(got.request_len, 700);
    assert_int_equal(got.answers, 2);
    exchange_peer_hang_up(client->x, peer, w.now);
    pair_ask(server, back, 1);
    pair_run(10 * SEC);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_SILENT);
    assert_false(exchange_pop_event(server->x, &ev));
    pair_end();
}

/* Each calls the other at the same time: two associations, and each is answered. */
static void test_both_call(void **state)
{
    const struct exchange_options both = { .answers = true, .peers_max = 8, .requests_max = 8, .joins_max = 4 };
    struct exchange_call c;
    struct xend *a, *b;
    uint64_t pa, pb;

    pair_begin();
    a = xworld_add(&w, &both);
    b = xworld_add(&w, &both);
    c = xend_call(b, 0);
    pa = pair_call(a, &c);
    c = xend_call(a, 0);
    pb = pair_call(b, &c);
    pair_ask(a, pa, 1);
    pair_ask(b, pb, 1);
    pair_run(SEC);
    assert_int_equal(got.requests, 2);
    assert_int_equal(got.answers, 2);
    pair_end();
}

/* Two calls of one key, by two of its addresses, say: neither takes the other's keys. */
static void test_two_calls(void **state)
{
    struct exchange_call c;
    struct exchange_stats s;
    uint64_t second;

    pair_begin();
    c = xend_call(server, 1);
    second = pair_call(client, &c);
    for (unsigned i = 0; i < 5; i++) {
        pair_ask(client, peer, 1);
        pair_ask(client, second, 1);
        pair_run(20 * SEC);
        assert_int_equal(got.answers, 2 * i + 2);
    }
    exchange_stats_get(client->x, &s);
    assert_int_equal(s.handshakes, 2);
    assert_int_equal(s.again, 0);
    pair_end();
}

/* An answer may come later, and from anywhere; and to nobody. */
static void test_answer_later(void **state)
{
    struct exchange_asked asked;

    pair_begin();
    got.mute = true;
    pair_ask(client, peer, 1);
    pair_run(2 * RTT);
    assert_int_equal(got.requests, 1);
    asked = got.asked;
    assert_int_equal(exchange_answer(server->x, &asked, "x", 1, w.now), 0);
    xend_turn(server);
    pair_run(RTT / 2);
    assert_int_equal(got.answers, 1);
    assert_int_equal(got.answer_len, 1);
    /* Twice: the second one is late. */
    assert_int_equal(exchange_answer(server->x, &asked, "x", 1, w.now), 0);
    xend_turn(server);
    pair_run(RTT);
    assert_int_equal(got.answers, 1);
    assert_int_equal(pair_drops(client, EXCHANGE_DROP_LATE), 1);
    exchange_peer_hang_up(server->x, asked.peer, w.now);
    assert_int_equal(exchange_answer(server->x, &asked, "x", 1, w.now), -ENOTCONN);
    pair_end();
}

static void test_cancel(void **state)
{
    struct exchange_stats s;
    uint64_t request;

    pair_begin();
    request = pair_ask(client, peer, 1);
    exchange_cancel(client->x, request);
    exchange_cancel(client->x, request);
    pair_run(10 * SEC);
    assert_int_equal(got.answers + got.failed, 0);
    exchange_stats_get(client->x, &s);
    assert_int_equal(s.requests_open, 0);
    pair_ask(client, peer, 1);
    exchange_peer_hang_up(client->x, peer, w.now);
    xend_turn(client);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_NO_PEER);
    pair_end();
}

/* Of all that came at once the first is told while the others wait; whose peer is hung up meanwhile is not told. */
static size_t waiting;

static void hang_up(struct xend *e, const struct exchange_event *ev)
{
    const struct exchange_event *rest;

    if (ev->type != EXCHANGE_REQUEST)
        return;
    got.requests++;
    waiting = exchange_waiting(e->x, &rest);
    for (size_t i = 0; i < waiting; i++)
        assert_int_equal(rest[i].peer, ev->peer);
    exchange_peer_hang_up(e->x, ev->peer, w.now);
}

static void test_waiting(void **state)
{
    pair_begin();
    pair_ask(client, peer, 1);
    pair_run(SEC);
    for (unsigned i = 0; i < 8; i++)
        pair_ask(client, peer, i % 4 ? 1 : EXCHANGE_REQUEST_WHOLE + 1); /* in one part and in two */
    pair_run(RTT);
    assert_int_equal(got.requests, 9);
    assert_int_equal(got.answers, 9);
    w.on_event = hang_up;
    for (unsigned i = 0; i < 8; i++)
        pair_ask(client, peer, i % 4 ? 1 : EXCHANGE_REQUEST_WHOLE + 1);
    pair_run(RTT / 2);
    assert_int_equal(got.requests, 10);
    assert_int_equal(waiting, 7);
    pair_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire),        cmocka_unit_test(test_ask),          cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_part_lost),   cmocka_unit_test(test_silence),      cmocka_unit_test(test_far),
        cmocka_unit_test(test_nobody),      cmocka_unit_test(test_network),      cmocka_unit_test(test_ways),
        cmocka_unit_test(test_unreachable), cmocka_unit_test(test_notify),       cmocka_unit_test(test_both_call),
        cmocka_unit_test(test_two_calls),   cmocka_unit_test(test_answer_later), cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
