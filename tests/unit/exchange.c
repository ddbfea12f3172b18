/* Unit tests of src/session/exchange and src/wire/exchange: requests and answers between a few ends, over a network
 * that does what each test says. One way takes 10 ms. */
#include "tests/unit/exchange_world.h"
#include "tests/unit/test.h"
#include "wire/hello.h"

#include <errno.h>

#define RTT (20 * MSEC)

/* What the ends were told, all in one: the tests have one answering end. */
static struct {
    unsigned requests, answers, failed, up[4], down, gone;
    enum exchange_fault fault;
    instant at;
    size_t request_len, answer_len;
    uint8_t request[EXCHANGE_MESSAGE_MAX], answer[EXCHANGE_MESSAGE_MAX];
    uint64_t peer; /* that asked last */
    struct exchange_asked asked;
    bool mute; /* who is asked says nothing */
    size_t say;
    uint8_t salt; /* of what is said */
} got;

static struct xworld w;
static struct xend *server, *client;
static uint64_t peer;

static uint8_t pattern(size_t i, uint8_t salt)
{
    return (uint8_t)(i * 7 + (i >> 8) + salt);
}

static void on_event(struct xend *e, const struct exchange_event *ev)
{
    uint8_t said[EXCHANGE_MESSAGE_MAX];

    got.at = w.now;
    switch (ev->type) {
    case EXCHANGE_REQUEST:
        got.requests++;
        got.request_len = ev->len;
        memcpy(got.request, ev->data, ev->len);
        got.peer = ev->peer;
        got.asked = ev->asked;
        for (size_t i = 0; i < got.say; i++)
            said[i] = pattern(i, got.salt);
        if (!got.mute)
            assert_int_equal(exchange_answer(e->x, &ev->asked, said, got.say, w.now), 0);
        break;
    case EXCHANGE_ANSWER:
        got.answers++;
        got.answer_len = ev->len;
        memcpy(got.answer, ev->data, ev->len);
        break;
    case EXCHANGE_FAILED:
        got.failed++;
        got.fault = ev->fault;
        break;
    case EXCHANGE_UP:
        got.up[e->index]++;
        if (e == server)
            got.peer = ev->peer;
        break;
    case EXCHANGE_DOWN:
        got.down++;
        got.fault = ev->fault;
        break;
    case EXCHANGE_GONE:
        got.gone++;
        break;
    }
}

/* What left, and when. */
static struct {
    unsigned count[16];
    instant at[64];
    unsigned times, lost;
    uint8_t drop_type;                    /* datagrams of that type are lost, */
    unsigned drop_from, drop_nth, passed; /* those that end 0 sent, or 1; the nth alone, counted from 1; 0: all */
    struct endpoint watch;                /* bytes to and from there */
    size_t to_watched, from_watched;
    size_t len_max; /* of sealed ones to there */
} wire;

static bool tap(struct xworld *world, unsigned from, const struct endpoint *src, const struct endpoint *dst,
                uint8_t *data, size_t len)
{
    (void)world;
    wire.count[data[0]]++;
    if (wire.times < ARRAY_LEN(wire.at))
        wire.at[wire.times++] = w.now;
    if (endpoint_equal(dst, &wire.watch)) {
        wire.to_watched += len;
        wire.len_max = MAX(wire.len_max, len);
    }
    if (endpoint_equal(src, &wire.watch))
        wire.from_watched += len;
    if (wire.drop_type == data[0] && wire.drop_from == from) {
        wire.passed++;
        if (wire.drop_nth == 0 || wire.passed == wire.drop_nth) {
            wire.lost++;
            return false;
        }
    }
    return true;
}

static void open_world(uint32_t peers_max)
{
    const struct exchange_options asks = { .peers_max = 8, .requests_max = 8, .joins_max = 4 };
    const struct exchange_options answers = {
        .answers = true, .answers_hello = true, .peers_max = peers_max, .requests_max = 8, .joins_max = 4
    };

    memset(&got, 0, sizeof(got));
    memset(&wire, 0, sizeof(wire));
    got.say = 100;
    xworld_init(&w, 1);
    w.on_event = on_event;
    w.tap = tap;
    server = xworld_add(&w, &answers);
    client = xworld_add(&w, &asks);
}

static uint64_t call(struct xend *from, const struct exchange_call *c)
{
    uint64_t p = 0;

    assert_int_equal(exchange_peer_call(from->x, c, w.now, &p), 0);
    assert_true(p != 0);
    xend_turn(from);
    return p;
}

static void begin(void)
{
    struct exchange_call c;

    open_world(8);
    c = xend_call(server, 0);
    peer = call(client, &c);
}

static uint64_t ask(struct xend *from, uint64_t whom, size_t len)
{
    uint8_t data[EXCHANGE_MESSAGE_MAX];
    uint64_t request = 0;

    for (size_t i = 0; i < len; i++)
        data[i] = pattern(i, 99);
    assert_int_equal(exchange_request(from->x, whom, data, len, NULL, w.now, &request), 0);
    xend_turn(from);
    return request;
}

static void run(span t)
{
    xworld_run_until(&w, w.now + t);
}

static void end(void)
{
    xworld_deinit(&w);
}

static uint64_t drops(const struct xend *e, enum exchange_drop d)
{
    struct exchange_stats s;

    exchange_stats_get(e->x, &s);
    return s.drops[d];
}

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

    begin();
    run(SEC);
    assert_int_equal(w.datagrams, 0); /* nothing is sent before there is something to say */
    ask(client, peer, 10);
    run(SEC);
    assert_int_equal(got.requests, 1);
    assert_int_equal(got.answers, 1);
    assert_int_equal(got.request_len, 10);
    assert_int_equal(got.request[9], pattern(9, 99));
    assert_int_equal(got.answer_len, 100);
    assert_int_equal(got.answer[99], pattern(99, 0));
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

    ask(client, peer, 10); /* another one: a round trip */
    run(RTT);
    assert_int_equal(got.answers, 2);
    end();
}

static void test_lengths(void **state)
{
    /* A request fits one datagram up to 1232 - 16 - 16 - 16 - 16 = 1168 bytes, an answer up to 1192. */
    static const size_t lengths[] = { 1, 1156, 1168, 1169, 1192, 1193, 2312, 2313, 65535, 65536 };
    uint64_t request;
    uint8_t none = 0;

    begin();
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        got.say = lengths[i] - (lengths[i] == 1);
        ask(client, peer, lengths[i]);
        run(SEC);
        assert_int_equal(got.requests, i + 1);
        assert_int_equal(got.answers, i + 1);
        assert_int_equal(got.request_len, lengths[i]);
        assert_int_equal(got.answer_len, got.say);
        for (size_t j = 0; j < lengths[i]; j++)
            assert_int_equal(got.request[j], pattern(j, 99));
        for (size_t j = 0; j < got.say; j++)
            assert_int_equal(got.answer[j], pattern(j, 0));
    }
    assert_int_equal(exchange_request(client->x, peer, &none, 0, NULL, w.now, &request), -EMSGSIZE);
    assert_int_equal(exchange_request(client->x, peer, got.request, EXCHANGE_MESSAGE_MAX + 1, NULL, w.now, &request),
                     -EMSGSIZE);
    assert_int_equal(exchange_request(client->x, peer + 1, got.request, 1, NULL, w.now, &request), -ENOENT);
    end();
}

/* Of an answer in 57 parts one is lost: it alone is sent again. */
static void test_part_lost(void **state)
{
    unsigned before;

    begin();
    ask(client, peer, 1);
    run(SEC);
    before = wire.count[PACKET_SEALED];
    got.say = EXCHANGE_MESSAGE_MAX;
    wire.drop_type = PACKET_SEALED;
    wire.drop_nth = 20;
    ask(client, peer, 1);
    run(SEC);
    assert_int_equal(wire.lost, 1);
    assert_int_equal(got.answers, 2);
    assert_int_equal(got.answer_len, EXCHANGE_MESSAGE_MAX);
    for (size_t j = 0; j < got.say; j++)
        assert_int_equal(got.answer[j], pattern(j, 0));
    assert_int_equal(wire.count[PACKET_SEALED] - before, 1 + 57 + 1 + 1);
    assert_int_equal(got.requests, 3);

    /* The same, but what is asked again has another answer now: all of it is sent. */
    before = wire.count[PACKET_SEALED];
    wire.passed = 0;
    ask(client, peer, 1);
    run(100 * MSEC);
    got.salt = 1;
    run(SEC);
    assert_int_equal(got.answers, 3);
    for (size_t j = 0; j < got.say; j++)
        assert_int_equal(got.answer[j], pattern(j, 1));
    assert_int_equal(wire.count[PACKET_SEALED] - before, 1 + 57 + 1 + 57);
    end();
}

static void test_silence(void **state)
{
    instant began;

    begin();
    ask(client, peer, 1);
    run(SEC);
    got.mute = true;
    wire.times = 0;
    began = w.now;
    ask(client, peer, 1);
    run(10 * SEC);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_SILENT);
    /* After the second a handshake as well, which is answered; then the third is sent once more, under the new keys. */
    assert_true(got.at - began == 750 * MSEC + RTT + 1000 * MSEC + 2000 * MSEC);
    assert_true(wire.at[0] == began && wire.at[1] == began + 250 * MSEC && wire.at[2] == began + 750 * MSEC);
    assert_int_equal(wire.count[PACKET_INIT], 2);
    assert_int_equal(got.up[1], 1); /* the same server */
    end();
}

static void test_nobody(void **state)
{
    begin();
    xend_stop(server);
    wire.times = 0;
    ask(client, peer, 1);
    run(10 * SEC);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_NOBODY);
    assert_true(got.at == 1000 * SEC + 3750 * MSEC);
    assert_int_equal(wire.count[PACKET_INIT], 4);
    assert_true(wire.at[1] == 1000 * SEC + 250 * MSEC && wire.at[2] == 1000 * SEC + 750 * MSEC &&
                wire.at[3] == 1000 * SEC + 1750 * MSEC);
    end();
}

/* The first address is dead from the beginning, then the second dies. */
static void test_ways(void **state)
{
    struct exchange_call c;

    begin();
    c = xend_call(server, 1);
    peer = call(client, &c);
    server->reach[0] = 2;
    ask(client, peer, 1);
    run(SEC);
    assert_int_equal(got.answers, 1);
    assert_true(got.at == 1000 * SEC + 250 * MSEC + 2 * RTT);
    ask(client, peer, 1);
    run(RTT);
    assert_int_equal(got.answers, 2); /* it has learnt */
    server->reach[0] = 1;
    ask(client, peer, 1);
    run(250 * MSEC + RTT);
    assert_int_equal(got.answers, 3);
    ask(client, peer, 1);
    run(RTT);
    assert_int_equal(got.answers, 4);
    end();
}

/* ICMP says so: the next one is tried at once. */
static void test_unreachable(void **state)
{
    struct exchange_call c;

    begin();
    c = xend_call(server, 1);
    peer = call(client, &c);
    server->reach[0] = 2;
    ask(client, peer, 1);
    exchange_on_unreachable(client->x, &c.ways[0], w.now);
    xend_turn(client);
    run(2 * RTT);
    assert_int_equal(got.answers, 1);
    end();
}

/* --- who is where --- */

/* The client has another address: the server sends there no more than a challenge before it has proven that. */
static void test_roaming(void **state)
{
    begin();
    got.say = 1000;
    ask(client, peer, 1);
    run(SEC);
    client->from = 1;
    wire.watch = xend_endpoint(client, 1);
    ask(client, peer, 1);
    run(RTT);
    assert_int_equal(got.requests, 1);
    assert_int_equal(drops(server, EXCHANGE_DROP_UNPROVEN), 1);
    assert_true(wire.to_watched <= wire.from_watched);
    run(RTT);
    assert_int_equal(got.answers, 2);
    ask(client, peer, 1);
    run(RTT);
    assert_int_equal(got.answers, 3);
    assert_int_equal(drops(server, EXCHANGE_DROP_UNPROVEN), 1);
    end();
}

/* The client says that it is where somebody else is. */
static void test_reflection(void **state)
{
    begin();
    got.say = 1000;
    ask(client, peer, 1);
    run(SEC);
    client->from = 77; /* what is sent there does not reach it */
    wire.watch = xend_endpoint(client, 77);
    ask(client, peer, 1);
    run(10 * SEC);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.requests, 1);
    assert_true(wire.from_watched > 0 && wire.to_watched > 0);
    assert_true(wire.to_watched <= wire.from_watched);
    end();
}

/* The handshake's copies come from two places, of which one is somebody else's, and so does the first record. */
static void test_reflection_of_handshakes(void **state)
{
    begin();
    got.say = 1000;
    wire.watch = xend_endpoint(client, 77);
    client->from = 77;
    ask(client, peer, 1); /* the first INIT: from where it is not */
    client->from = 0;
    run(250 * MSEC); /* the second: from where it is */
    client->from = 77;
    run(2 * RTT);
    assert_int_equal(wire.count[PACKET_RESPONSE], 2);
    run(10 * SEC);
    assert_int_equal(got.up[0], 1);
    assert_int_equal(got.requests, 0);
    assert_true(drops(server, EXCHANGE_DROP_UNPROVEN) > 0);
    assert_true(wire.to_watched <= wire.from_watched);
    end();
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
    return tap(world, from, src, dst, data, len);
}

static void test_replay(void **state)
{
    struct locator_pair at;
    uint8_t copy[EXCHANGE_DATAGRAM_MAX];
    struct exchange_peer_info info;
    struct exchange_stats s;

    begin();
    ask(client, peer, 1);
    run(SEC);
    w.tap = tap_record;
    ask(client, peer, 1);
    run(SEC);
    at = (struct locator_pair){ .link = 1, .remote = xend_endpoint(client, 0) };
    memcpy(copy, recorded, recorded_len);
    exchange_input(server->x, &at, copy, recorded_len, w.now);
    xend_turn(server);
    assert_int_equal(got.requests, 2);
    assert_int_equal(drops(server, EXCHANGE_DROP_REPLAY), 1);

    /* From elsewhere, and changed: neither moves anything. */
    at.remote = xend_endpoint(client, 99);
    memcpy(copy, recorded, recorded_len);
    exchange_input(server->x, &at, copy, recorded_len, w.now);
    memcpy(copy, recorded, recorded_len);
    put_be64(copy + 8, get_be64(copy + 8) + 1000);
    exchange_input(server->x, &at, copy, recorded_len, w.now);
    xend_turn(server);
    assert_int_equal(drops(server, EXCHANGE_DROP_FORGED), 1);
    assert_int_equal(exchange_peer_info(server->x, got.peer, &info), 0);
    assert_true(endpoint_equal(&info.at.remote, &(struct endpoint){ addr_v4(0x0a000100), 4000 }));
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.requests, 2);
    end();
}

/* --- keys --- */

/* Who was called begins anew. Its reset, whose token was promised, says so. */
static void test_restart(void **state)
{
    instant began;

    begin();
    ask(client, peer, 1);
    run(SEC);
    xend_restart(server);
    began = w.now;
    ask(client, peer, 1);
    run(SEC);
    assert_int_equal(wire.count[PACKET_RESET], 1);
    assert_int_equal(got.answers, 2);
    assert_true(got.at == began + 3 * RTT); /* reset, handshake, question */
    assert_int_equal(got.up[1], 2);
    end();
}

/* The same, and no reset arrives: after two tries. */
static void test_restart_unheard(void **state)
{
    instant began;

    begin();
    ask(client, peer, 1);
    run(SEC);
    xend_restart(server);
    wire.drop_type = PACKET_RESET;
    began = w.now;
    ask(client, peer, 1);
    run(5 * SEC);
    assert_int_equal(got.answers, 2);
    assert_true(got.at == began + 750 * MSEC + 2 * RTT);
    end();
}

/* Who called begins anew: another peer, and the former one is forgotten in time. */
static void test_caller_restarts(void **state)
{
    struct exchange_call c;
    struct exchange_stats s;
    uint64_t first;

    begin();
    c = xend_call(server, 0);
    ask(client, peer, 1);
    run(SEC);
    first = got.peer;
    assert_int_equal(exchange_peer_set_owner(server->x, first, &first), 0);
    xend_restart(client);
    peer = call(client, &c);
    ask(client, peer, 1);
    run(SEC);
    assert_int_equal(got.answers, 2);
    assert_true(got.peer != first);
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.peers, 2);
    run(EXCHANGE_REJECT_AFTER + 60 * SEC);
    assert_int_equal(got.gone, 1);
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.peers, 0);
    end();
}

static void test_rekey(void **state)
{
    struct exchange_call c;
    struct exchange_stats s;

    begin();
    c = xend_call(server, 0);
    c.keep = 20 * SEC;
    peer = call(client, &c);
    run(SEC);
    assert_int_equal(got.up[1], 1); /* without any request */
    run(2 * EXCHANGE_REKEY_AFTER + 100 * SEC);
    exchange_stats_get(client->x, &s);
    assert_int_equal(s.handshakes, 3);
    assert_int_equal(got.up[1], 1);
    assert_int_equal(got.down, 0);
    ask(client, peer, 1);
    run(SEC);
    assert_int_equal(got.answers, 1);
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.peers, 1);
    /* A ping each 20 s, with its answer; not more. */
    assert_in_range(wire.count[PACKET_SEALED], 2 * 1900 / 20 - 6, 2 * 1900 / 20 + 20);
    end();
}

/* A kept call tells when the peer is not there, goes on trying, and tells when it is back. */
static void test_keep(void **state)
{
    struct exchange_call c;

    begin();
    c = xend_call(server, 0);
    c.keep = 10 * SEC;
    peer = call(client, &c);
    run(SEC);
    server->reach[0] = 0;
    run(30 * SEC);
    assert_int_equal(got.down, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_NOBODY);
    run(1000 * SEC);
    assert_int_equal(got.down, 1);
    assert_int_equal(got.up[1], 1);
    server->reach[0] = 1;
    run(61 * SEC);
    assert_int_equal(got.up[1], 2);
    ask(client, peer, 1);
    run(RTT);
    assert_int_equal(got.answers, 1);
    end();
}

/* Old keys are not used: neither by who has them, nor for who sends with them. */
static void test_old_keys(void **state)
{
    struct exchange_peer_info info;

    begin();
    ask(client, peer, 1);
    run(SEC);
    run(EXCHANGE_REJECT_AFTER + 60 * SEC);
    assert_int_equal(exchange_peer_info(client->x, peer, &info), 0);
    assert_false(info.up);
    assert_int_equal(exchange_peer_info(server->x, got.peer, &info), -ENOENT);
    ask(client, peer, 1);
    run(SEC);
    assert_int_equal(got.answers, 2);
    assert_int_equal(got.up[1], 2);
    end();
}

/* --- finding --- */

static void test_hello(void **state)
{
    struct exchange_call c;

    begin();
    c = xend_call(server, 0);
    memset(c.key.x25519, 0, 32);
    c.key.suites = 0;
    peer = call(client, &c);
    ask(client, peer, 1);
    run(SEC);
    assert_int_equal(got.answers, 1);
    assert_true(got.at == 1000 * SEC + 3 * RTT);
    assert_int_equal(wire.count[PACKET_HELLO], 1);
    ask(client, peer, 1);
    run(SEC);
    assert_int_equal(got.answers, 2);
    assert_int_equal(wire.count[PACKET_HELLO], 1);

    c.key.ed25519[0] ^= 1; /* somebody else is wanted */
    peer = call(client, &c);
    ask(client, peer, 1);
    run(5 * SEC);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_KEY);
    end();
}

/* At the first address is somebody else, at the second who is wanted. */
static void test_hello_beside_another(void **state)
{
    const struct exchange_options answers = {
        .answers = true, .answers_hello = true, .peers_max = 8, .requests_max = 8, .joins_max = 4
    };
    struct exchange_call c;
    struct xend *other;

    begin();
    other = xworld_add(&w, &answers);
    c = xend_call(server, 1);
    c.ways[0].remote = xend_endpoint(other, 0);
    memset(c.key.x25519, 0, 32);
    peer = call(client, &c);
    ask(client, peer, 1);
    run(5 * SEC);
    assert_int_equal(got.answers, 1);
    assert_int_equal(got.up[2], 0);
    end();
}

/* --- both ways --- */

/* Who was called asks who called. */
static void test_notify(void **state)
{
    struct exchange_event ev;
    uint64_t back;

    begin();
    ask(client, peer, 1);
    run(SEC);
    back = got.peer;
    ask(server, back, 700);
    run(SEC);
    assert_int_equal(got.requests, 2);
    assert_int_equal(got.request_len, 700);
    assert_int_equal(got.answers, 2);
    exchange_peer_hang_up(client->x, peer, w.now);
    ask(server, back, 1);
    run(10 * SEC);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_SILENT);
    assert_false(exchange_pop_event(server->x, &ev));
    end();
}

/* Each calls the other at the same time: two associations, and each is answered. */
static void test_both_call(void **state)
{
    const struct exchange_options both = { .answers = true, .peers_max = 8, .requests_max = 8, .joins_max = 4 };
    struct exchange_call c;
    struct xend *a, *b;
    uint64_t pa, pb;

    begin();
    a = xworld_add(&w, &both);
    b = xworld_add(&w, &both);
    c = xend_call(b, 0);
    pa = call(a, &c);
    c = xend_call(a, 0);
    pb = call(b, &c);
    ask(a, pa, 1);
    ask(b, pb, 1);
    run(SEC);
    assert_int_equal(got.requests, 2);
    assert_int_equal(got.answers, 2);
    end();
}

/* Two calls of one key, by two of its addresses, say: neither takes the other's keys. */
static void test_two_calls(void **state)
{
    struct exchange_call c;
    struct exchange_stats s;
    uint64_t second;

    begin();
    c = xend_call(server, 1);
    second = call(client, &c);
    for (unsigned i = 0; i < 5; i++) {
        ask(client, peer, 1);
        ask(client, second, 1);
        run(20 * SEC);
        assert_int_equal(got.answers, 2 * i + 2);
    }
    exchange_stats_get(client->x, &s);
    assert_int_equal(s.handshakes, 2);
    assert_int_equal(s.again, 0);
    end();
}

/* An answer may come later, and from anywhere; and to nobody. */
static void test_answer_later(void **state)
{
    struct exchange_asked asked;

    begin();
    got.mute = true;
    ask(client, peer, 1);
    run(2 * RTT);
    assert_int_equal(got.requests, 1);
    asked = got.asked;
    assert_int_equal(exchange_answer(server->x, &asked, "x", 1, w.now), 0);
    xend_turn(server);
    run(RTT / 2);
    assert_int_equal(got.answers, 1);
    assert_int_equal(got.answer_len, 1);
    /* Twice: the second one is late. */
    assert_int_equal(exchange_answer(server->x, &asked, "x", 1, w.now), 0);
    xend_turn(server);
    run(RTT);
    assert_int_equal(got.answers, 1);
    assert_int_equal(drops(client, EXCHANGE_DROP_LATE), 1);
    exchange_peer_hang_up(server->x, asked.peer, w.now);
    assert_int_equal(exchange_answer(server->x, &asked, "x", 1, w.now), -ENOTCONN);
    end();
}

static void test_cancel(void **state)
{
    struct exchange_stats s;
    uint64_t request;

    begin();
    request = ask(client, peer, 1);
    exchange_cancel(client->x, request);
    exchange_cancel(client->x, request);
    run(10 * SEC);
    assert_int_equal(got.answers + got.failed, 0);
    exchange_stats_get(client->x, &s);
    assert_int_equal(s.requests_open, 0);
    ask(client, peer, 1);
    exchange_peer_hang_up(client->x, peer, w.now);
    xend_turn(client);
    assert_int_equal(got.failed, 1);
    assert_int_equal(got.fault, EXCHANGE_FAULT_NO_PEER);
    end();
}

/* --- bounds --- */

static void test_full(void **state)
{
    const struct exchange_options asks = { .peers_max = 1, .requests_max = 1, .joins_max = 1 };
    struct exchange_call c;
    struct xend *others[3];
    uint64_t p[3];
    int owner;

    open_world(2);
    c = xend_call(server, 0);
    for (int i = 0; i < 3; i++) {
        others[i] = xworld_add(&w, &asks);
        p[i] = call(others[i], &c);
    }
    ask(others[0], p[0], 1);
    run(SEC);
    assert_int_equal(exchange_peer_set_owner(server->x, got.peer, &owner), 0);
    ask(others[1], p[1], 1);
    run(SEC);
    ask(others[2], p[2], 1);
    run(8 * SEC);
    assert_int_equal(got.answers, 2); /* no room for the third */
    assert_int_equal(got.failed, 1);
    assert_true(drops(server, EXCHANGE_DROP_FULL) > 0);
    run(5 * SEC);
    ask(others[2], p[2], 1); /* the second was silent for long enough; the first has an owner */
    run(SEC);
    assert_int_equal(got.answers, 3);
    assert_int_equal(got.gone, 0);
    ask(others[0], p[0], 1);
    run(RTT);
    assert_int_equal(got.answers, 4);
    assert_int_equal(exchange_peer_call(others[0]->x, &c, w.now, &p[0]), -ENOSPC);
    end();
}

static void test_requests_max(void **state)
{
    uint8_t data = 0;
    uint64_t request;

    begin();
    got.mute = true;
    for (int i = 0; i < 8; i++)
        ask(client, peer, 1);
    assert_int_equal(exchange_request(client->x, peer, &data, 1, NULL, w.now, &request), -ENOSPC);
    run(10 * SEC);
    assert_int_equal(got.failed, 8);
    got.mute = false;
    ask(client, peer, 1);
    run(SEC);
    assert_int_equal(got.answers, 1);
    end();
}

/* The first parts of many requests, never the last: two are kept of one peer, and not for ever. */
static void test_joins(void **state)
{
    struct exchange_stats s;
    size_t before;

    begin();
    ask(client, peer, 1);
    run(SEC);
    exchange_stats_get(server->x, &s);
    before = s.memory;
    for (int i = 0; i < 7; i++) {
        wire.drop_type = PACKET_SEALED;
        wire.drop_from = 1;
        wire.drop_nth = 2;
        wire.passed = 0;
        ask(client, peer, 1200);
    }
    run(RTT);
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.joins, 2);
    assert_int_equal(drops(server, EXCHANGE_DROP_JOIN), 5);
    wire.drop_type = 0;
    xend_stop(client);
    run(10 * SEC);
    exchange_stats_get(server->x, &s);
    assert_int_equal(s.joins, 0);
    assert_true(s.memory <= before);
    end();
}

/* Everything that waits is in a ring of 256: what has no room says so, and nothing is lost of what had. */
static void test_output_full(void **state)
{
    uint8_t said[EXCHANGE_MESSAGE_MAX] = { 0 };
    struct exchange_tx tx[EXCHANGE_OUTPUT_MAX];

    begin();
    got.mute = true;
    ask(client, peer, 1);
    run(SEC);
    for (int i = 0; i < 4; i++)
        assert_int_equal(exchange_answer(server->x, &got.asked, said, sizeof(said), w.now), 0);
    assert_int_equal(exchange_answer(server->x, &got.asked, said, sizeof(said), w.now), -EAGAIN);
    assert_int_equal(exchange_output(server->x, tx, EXCHANGE_OUTPUT_MAX, w.now), 4 * 57);
    assert_int_equal(exchange_answer(server->x, &got.asked, said, sizeof(said), w.now), 0);
    assert_int_equal(exchange_answer(server->x, &got.asked, said, EXCHANGE_MESSAGE_MAX + 1, w.now), -EMSGSIZE);
    end();
}

/* After a flood an INIT must bring a cookie, and who is honest does. */
static void test_cookie(void **state)
{
    const struct exchange_options asks = { .peers_max = 200, .requests_max = 200, .joins_max = 1 };
    struct exchange_call c;
    struct xend *crowd;

    open_world(512);
    crowd = xworld_add(&w, &asks);
    c = xend_call(server, 0);
    for (int i = 0; i < 200; i++) { /* 200 * 300 us: more than the budget's 50 ms */
        xend_restart(crowd);
        ask(crowd, call(crowd, &c), 1);
    }
    run(RTT);
    assert_true(wire.count[PACKET_COOKIE] > 0);
    peer = call(client, &c);
    ask(client, peer, 1);
    run(SEC);
    assert_true(got.answers >= 1);
    assert_int_equal(got.up[1], 1);
    end();
}

/* Strangers that are no exchange, and such as are none at all. */
static void test_garbage(void **state)
{
    struct locator_pair at = { .link = 1, .remote = { addr_v4(0x0a000107), 4000 } };
    uint8_t data[EXCHANGE_DATAGRAM_MAX];

    begin();
    ask(client, peer, 1);
    run(SEC);
    for (int type = 0; type < 16; type++)
        for (size_t len = 0; len < sizeof(data); len += 13) {
            rng_fill(&w.rng, data, sizeof(data));
            data[0] = (uint8_t)type;
            exchange_input(server->x, &at, data, len, w.now);
            xend_turn(server);
            exchange_input(client->x, &at, data, len, w.now);
            xend_turn(client);
        }
    ask(client, peer, 1);
    run(SEC);
    assert_int_equal(got.answers, 2);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire),
        cmocka_unit_test(test_ask),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_part_lost),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_nobody),
        cmocka_unit_test(test_ways),
        cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_roaming),
        cmocka_unit_test(test_reflection),
        cmocka_unit_test(test_reflection_of_handshakes),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_restart_unheard),
        cmocka_unit_test(test_caller_restarts),
        cmocka_unit_test(test_rekey),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_old_keys),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_hello_beside_another),
        cmocka_unit_test(test_notify),
        cmocka_unit_test(test_both_call),
        cmocka_unit_test(test_two_calls),
        cmocka_unit_test(test_answer_later),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_requests_max),
        cmocka_unit_test(test_joins),
        cmocka_unit_test(test_output_full),
        cmocka_unit_test(test_cookie),
        cmocka_unit_test(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
