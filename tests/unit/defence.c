/* Unit tests of src/node/defence.c: what strangers get, and that it is never more than what they sent. */
#include "base/rng.h"
#include "node/node.h"
#include "tests/unit/test.h"
#include "wire/hello.h"

struct fixture {
    struct prng prng;
    struct rng rng;
    struct identity agent_id, node_id;
    struct peer_key agent_key;
    struct handshake_mask mask;
    struct node *agent;
    uint8_t out[SESSION_OUTPUT_MAX];
    unsigned cookies, resets, others;
    size_t sent_bytes;
};

static void fixture_open(struct fixture *f)
{
    struct node_options o = { .self = &f->agent_id, .role = ROLE_AGENT, .pool_pkts = 64 };

    memset(f, 0, sizeof(*f));
    prng_init(&f->prng, 1);
    f->rng = prng_rng(&f->prng);
    assert_int_equal(identity_generate(&f->agent_id, &f->rng), 0);
    assert_int_equal(identity_generate(&f->node_id, &f->rng), 0);
    identity_peer_key(&f->agent_id, SUITES_KNOWN, &f->agent_key);
    handshake_mask_init(&f->mask, f->agent_key.x25519);
    o.rng = f->rng;
    f->agent = node_new(&o, SEC);
    assert_non_null(f->agent);
}

static size_t init_make(struct fixture *f, uint8_t *pkt)
{
    static const uint8_t psk[32];
    struct hello hello = { .flags = HELLO_FLAG_OPENER, .suites = SUITES_KNOWN };
    struct handshake_init h;
    uint8_t mac1[MAC1_LEN];

    memcpy(hello.ed25519, f->node_id.ed25519, 32);
    assert_int_equal(
        handshake_init_make(&h, &f->node_id, &f->agent_key, psk, SUITE_CHACHA20_POLY1305, &hello, NULL, &f->rng), 0);
    return handshake_init_write(&h, &f->mask, &f->rng, pkt, mac1);
}

static void feed(struct fixture *f, uint8_t *pkt, size_t len, uint32_t source, instant now)
{
    struct locator_pair at = { .remote = { .addr = addr_v4(source), .port = 1000 } };
    struct session_tx tx;

    node_on_datagram(f->agent, &at, pkt, len, 0, 0, now);
    while (node_output(f->agent, f->out, &tx, now)) {
        f->cookies += f->out[0] == PACKET_COOKIE;
        f->resets += f->out[0] == PACKET_RESET;
        f->others += f->out[0] != PACKET_COOKIE && f->out[0] != PACKET_RESET;
        f->sent_bytes += tx.len;
        assert_true(tx.len <= len);
        assert_true(endpoint_equal(&tx.at.remote, &at.remote));
    }
}

static void test_flood_of_made_up_sources(void **state)
{
    static struct fixture f;
    uint8_t pkt[HANDSHAKE_MAX], copy[HANDSHAKE_MAX];
    uint64_t drops[NODE_DROP_COUNT];
    size_t len;
    instant now = 2 * SEC;

    fixture_open(&f);
    len = init_make(&f, pkt);
    for (uint32_t i = 0; i < 19000; i++, now += 50) { /* 20,000 a second, within one second */
        memcpy(copy, pkt, len);
        feed(&f, copy, len, 0x0a000000u + i, now);
    }
    /* Some are read as long as there is credit; a thousand get a cookie; of the rest the table mistakes at most one in
     * fifty for somebody who asks again. */
    assert_in_range(f.cookies, 1000, 1400);
    assert_int_equal(f.others, 0);
    node_drops(f.agent, drops);
    assert_true(drops[NODE_DROP_LOAD] > 15000);
    /* Who is there asks again, and gets one. */
    f.cookies = 0;
    feed(&f, pkt, len, 0xc0000201u, now);
    feed(&f, pkt, len, 0xc0000201u, now + 1);
    assert_int_equal(f.cookies, 1);
    node_free(f.agent);
}

/* Strangers that begin a handshake and never end it take no more than some places, for some seconds. */
static void test_strangers_that_never_confirm(void **state)
{
    static const uint8_t psk[32];
    static const struct delivery_options stream = { 0 };
    static struct fixture f;
    struct node_options o = {
        .self = &f.agent_id, .role = ROLE_AGENT, .strangers = true, .delivery = &stream, .pool_pkts = 64
    };
    struct hello hello = { .flags = HELLO_FLAG_OPENER, .suites = SUITES_KNOWN };
    uint8_t pkt[HANDSHAKE_MAX], mac1[MAC1_LEN];
    instant now = 2 * SEC;
    size_t sessions = 0;

    fixture_open(&f);
    node_free(f.agent);
    o.rng = f.rng;
    f.agent = node_new(&o, SEC);
    for (uint32_t i = 0; i < 200; i++, now += 20 * MSEC) {
        struct handshake_init h;
        struct identity id;

        assert_int_equal(identity_generate(&id, &f.rng), 0);
        memcpy(hello.ed25519, id.ed25519, 32);
        hello.flags = HELLO_FLAG_OPENER | (i % 10 ? HELLO_FLAG_STREAM : 0); /* the others want a tunnel */
        assert_int_equal(handshake_init_make(&h, &id, &f.agent_key, psk, SUITE_CHACHA20_POLY1305, &hello, NULL, &f.rng),
                         0);
        feed(&f, pkt, handshake_init_write(&h, &f.mask, &f.rng, pkt, mac1), 0x0a000000u + i, now);
    }
    assert_int_equal(f.others, 180); /* each was answered */
    for (unsigned i = 0; i < node_peers_count(f.agent); i++)
        sessions += node_peer_session(f.agent, i) != NULL;
    assert_int_equal(sessions, 64);
    assert_int_equal(node_peers_count(f.agent), 64);
    for (int i = 0; i < 110; i++, now += 100 * MSEC)
        node_on_expiry(f.agent, now);
    for (unsigned i = 0; i < node_peers_count(f.agent); i++)
        assert_null(node_peer_session(f.agent, i));
    node_free(f.agent);
}

static void test_resets_are_few_and_short(void **state)
{
    static struct fixture f;
    uint8_t record[SEALED_MIN_LEN] = { 0 };

    fixture_open(&f);
    for (uint32_t i = 0; i < 1000; i++) {
        sealed_header_put(record, 0x1234 + i, i);
        feed(&f, record, sizeof(record), 0x0a000001u, 2 * SEC + i);
    }
    assert_int_equal(f.resets, 100);
    assert_int_equal(f.sent_bytes, 100 * RESET_LEN);
    assert_true(RESET_LEN < SEALED_MIN_LEN);
    node_free(f.agent);
}

static void test_silence_for_the_rest(void **state)
{
    static struct fixture f;
    uint8_t pkt[HANDSHAKE_MAX];
    uint64_t drops[NODE_DROP_COUNT];
    size_t len;

    fixture_open(&f);
    len = init_make(&f, pkt);
    pkt[len - 1] ^= 1; /* mac1: not for our key */
    feed(&f, pkt, len, 0x0a000001u, 2 * SEC);
    pkt[1] = PROTOCOL_VERSION + 1;
    feed(&f, pkt, len, 0x0a000001u, 2 * SEC);
    for (size_t cut = 1; cut < RESET_LEN; cut++)
        feed(&f, pkt, cut, 0x0a000001u, 2 * SEC);
    node_drops(f.agent, drops);
    assert_int_equal(drops[NODE_DROP_MAC1], 1);
    assert_int_equal(drops[NODE_DROP_VERSION], 1);
    assert_int_equal(drops[NODE_DROP_SHORT], RESET_LEN - 1);
    assert_int_equal(f.sent_bytes, 0);
    node_free(f.agent);
}

/* Who answers says its key, and no more than it was sent; who does not is silent. */
static void test_hello(void **state)
{
    static struct fixture f;
    struct node_options o = { .self = &f.agent_id, .role = ROLE_AGENT, .answers_hello = true, .carrier_port = 443 };
    uint8_t pkt[HELLO_MAX + 1] = { PACKET_HELLO, [4] = 0xa1, [19] = 0xb2 };
    uint64_t drops[NODE_DROP_COUNT];
    struct hello_answer a;
    struct peer_key key;

    fixture_open(&f);
    feed(&f, pkt, HELLO_LEN, 0x0a000001u, 2 * SEC); /* this one was not told to */
    assert_int_equal(f.others, 0);
    node_drops(f.agent, drops);
    assert_int_equal(drops[NODE_DROP_HELLO], 1);
    node_free(f.agent);
    o.rng = f.rng;
    o.suites = SUITES_KNOWN;
    f.agent = node_new(&o, SEC);
    feed(&f, pkt, HELLO_LEN - 1, 0x0a000001u, 2 * SEC);
    feed(&f, pkt, HELLO_MAX + 1, 0x0a000001u, 2 * SEC);
    assert_int_equal(f.others, 0);
    feed(&f, pkt, HELLO_LEN, 0x0a000001u, 2 * SEC);
    assert_int_equal(f.others, 1);
    assert_int_equal(f.sent_bytes, 88);
    assert_int_equal(hello_answer_read(f.out, f.sent_bytes, &a), 0);
    assert_memory_equal(a.nonce, pkt + 4, 16);
    assert_int_equal(a.versions, 1);
    assert_int_equal(a.carrier_port, 443);
    assert_int_equal(peer_key_read(a.key, &key), 0);
    assert_true(peer_key_equal(&key, &f.agent_key));
    node_free(f.agent);
}

/* 20,000 a second from made-up sources: a thousand are answered; who asks again is. */
static void test_hello_flood(void **state)
{
    static struct fixture f;
    struct node_options o = { .self = &f.agent_id, .role = ROLE_AGENT, .answers_hello = true };
    uint8_t pkt[HELLO_LEN] = { PACKET_HELLO };
    instant now = 2 * SEC;

    fixture_open(&f);
    node_free(f.agent);
    o.rng = f.rng;
    f.agent = node_new(&o, SEC);
    for (uint32_t i = 0; i < 19000; i++, now += 50)
        feed(&f, pkt, sizeof(pkt), 0x0a000000u + i, now);
    assert_in_range(f.others, 1000, 1400); /* as for cookies */
    f.others = 0;
    feed(&f, pkt, sizeof(pkt), 0xc0000201u, now);
    feed(&f, pkt, sizeof(pkt), 0xc0000201u, now + 1);
    assert_int_equal(f.others, 1);
    node_refuse_strangers(f.agent);
    feed(&f, pkt, sizeof(pkt), 0xc0000201u, now + 2 * SEC);
    assert_int_equal(f.others, 1);
    node_free(f.agent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flood_of_made_up_sources),
        cmocka_unit_test(test_strangers_that_never_confirm),
        cmocka_unit_test(test_resets_are_few_and_short),
        cmocka_unit_test(test_silence_for_the_rest),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_hello_flood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
