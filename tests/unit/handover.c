/* Unit tests of src/node/handover.c: an agent of two shares, three nodes, and everything may come to the wrong share.
 *
 * Node i is at 10.0.0.i and 203.0.113.(i + 2) inside, of share i % 2; node 2 does not know of shards. The datagrams
 * that the nodes send come to the share that `place` says, which stands for the kernel. */
#include "base/rng.h"
#include "node/internal.h"
#include "session/internal.h"
#include "tests/unit/test.h"
#include "wire/header.h"

#define NODES 3
#define SHARES 2
#define INNER_LEN 60
#define SYN_PORT 0x2000
#define BUDGET_FULL 50000 /* us of public-key work: session/guard.h */

struct end {
    struct identity id;
    struct prng prng;
    struct node *node;
    unsigned syns[2]; /* that came out inside, by their source port, from SYN_PORT on */
    unsigned
        inner[NODES + 1]; /* packets that came out inside, by the last byte of their source; [NODES]: the agent's */
};

struct fixture {
    struct end nodes[NODES], shares[SHARES];
    unsigned (*place)(struct fixture *f, const uint8_t *pkt);
    struct prng prng;
    unsigned handed[3]; /* by kind */
    instant now;
};

static uint8_t datagram[SESSION_OUTPUT_MAX];
static const struct endpoint agent_at = { { ADDR_V4, { 198, 51, 100, 10 } }, 51820 };

static unsigned anywhere(struct fixture *f, const uint8_t *pkt)
{
    return (unsigned)prng_u64(&f->prng) % SHARES;
}

/* As the socket filter does it. */
static unsigned by_cid(struct fixture *f, const uint8_t *pkt)
{
    return pkt[0] == PACKET_SEALED ? pkt[SEALED_CID_LAST] % SHARES : 0;
}

static void take_inner(struct end *e, instant now)
{
    struct merged m;
    uint8_t pkt[2048];

    while (node_pop_inner(e->node, &m, now)) {
        size_t len = 0;

        for (size_t i = 0; i < m.count; i++) {
            assert_true(len + m.slices[i].len <= sizeof(pkt));
            memcpy(pkt + len, m.slices[i].data, m.slices[i].len);
            len += m.slices[i].len;
        }
        if (len > 40 && pkt[9] == PROTO_TCP) {
            assert_in_range(get_be16(pkt + 20), SYN_PORT, SYN_PORT + 1);
            e->syns[get_be16(pkt + 20) - SYN_PORT]++;
            continue;
        }
        assert_int_equal(len, INNER_LEN);
        e->inner[pkt[15] == 1 ? NODES : pkt[15] - 2u]++;
    }
}

static void hand_over(struct fixture *f, unsigned share)
{
    struct node_handover h;
    uint8_t *data, copy[65536];
    size_t len;
    bool any = false;

    take_inner(&f->shares[share], f->now);
    while (node_pop_handover(f->shares[share].node, &h, &data, &len)) {
        any = true;
        f->handed[h.kind]++;
        assert_int_not_equal(h.to, share);
        assert_true(h.to < SHARES);
        memcpy(copy, data, len);
        node_on_handover(f->shares[h.to].node, &h, copy, len, f->now);
        hand_over(f, h.to);
    }
    if (any)
        hand_over(f, share);
}

static bool send_all(struct fixture *f)
{
    struct session_tx tx;
    bool any = false;

    for (unsigned i = 0; i < NODES; i++)
        while (node_output(f->nodes[i].node, datagram, &tx, f->now)) {
            struct locator_pair at = { .local = agent_at.addr,
                                       .remote = { { ADDR_V4, { 10, 0, 0, (uint8_t)i } }, 4000 } };
            unsigned share = f->place(f, datagram);

            node_on_datagram(f->shares[share].node, &at, datagram, tx.len, tx.segment, tx.tos, f->now);
            hand_over(f, share);
            any = true;
        }
    for (unsigned s = 0; s < SHARES; s++)
        while (node_output(f->shares[s].node, datagram, &tx, f->now)) {
            struct end *e = &f->nodes[tx.at.remote.addr.bytes[3]];
            struct locator_pair at = { .link = 1, .local = tx.at.remote.addr, .remote = agent_at };

            node_on_datagram(e->node, &at, datagram, tx.len, tx.segment, tx.tos, f->now);
            take_inner(e, f->now);
            any = true;
        }
    return any;
}

static void run(struct fixture *f, span t)
{
    instant end = f->now + t;

    for (; f->now < end; f->now += 5 * MSEC) {
        for (unsigned i = 0; i < NODES; i++)
            node_on_expiry(f->nodes[i].node, f->now);
        for (unsigned s = 0; s < SHARES; s++)
            node_on_expiry(f->shares[s].node, f->now);
        while (send_all(f))
            ;
    }
}

static void open_end(struct end *e, const struct node_options *like, uint64_t seed)
{
    struct node_options o = *like;

    prng_init(&e->prng, seed);
    o.rng = prng_rng(&e->prng);
    o.self = &e->id;
    e->node = node_new(&o, SEC);
    assert_non_null(e->node);
}

static void open_all(struct fixture *f, unsigned (*place)(struct fixture *, const uint8_t *))
{
    struct node_options agent = { .role = ROLE_AGENT, .pool_pkts = 512, .shard = { .bits = 1 }, .jar_secret = { 1 } };
    struct node_uplink u = { .link = 1, .name = "up", .weight = 100, .up = true, .has_v4 = true };
    struct prng keys;
    struct rng rng;

    memset(f, 0, sizeof(*f));
    f->place = place;
    f->now = SEC;
    prng_init(&f->prng, 7);
    prng_init(&keys, 8);
    rng = prng_rng(&keys);
    assert_int_equal(identity_generate(&f->shares[0].id, &rng), 0);
    for (unsigned s = 0; s < SHARES; s++) {
        f->shares[s].id = f->shares[0].id;
        agent.shard.value = (uint8_t)s;
        open_end(&f->shares[s], &agent, 20 + s);
    }
    for (unsigned i = 0; i < NODES; i++) {
        struct node_peer_spec spec = { .name = "agent", .endpoints = { agent_at }, .endpoints_count = 1 };
        struct node_options o = { .pool_pkts = 512, .features = i == 2 ? FEATURES_KNOWN & ~FEATURE_SHARDS : 0 };

        assert_int_equal(identity_generate(&f->nodes[i].id, &rng), 0);
        open_end(&f->nodes[i], &o, 10 + i);
        identity_peer_key(&f->shares[0].id, suite_supported(), &spec.key);
        assert_int_equal(node_peer_add(f->nodes[i].node, &spec, f->now), 0);
        node_uplink_set(f->nodes[i].node, &u, f->now);
        spec = (struct node_peer_spec){ .name = "node", .addresses_count = 1 };
        spec.addresses[0] = (struct prefix){ { ADDR_V4, { 203, 0, 113, (uint8_t)(i + 2) } }, 32 };
        identity_peer_key(&f->nodes[i].id, suite_supported(), &spec.key);
        for (unsigned s = 0; s < SHARES; s++)
            assert_int_equal(node_peer_add(f->shares[s].node, &spec, f->now), (int)i);
        node_connect(f->nodes[i].node, 0, NULL, 0, f->now);
    }
    run(f, 2 * SEC);
}

static void close_all(struct fixture *f)
{
    for (unsigned i = 0; i < NODES; i++)
        node_free(f->nodes[i].node);
    for (unsigned s = 0; s < SHARES; s++)
        node_free(f->shares[s].node);
}

/* A UDP packet of the inside, by the last bytes of its addresses; its bytes stay, as they must, until the next. */
static void inner(struct node *n, uint8_t from, uint8_t to, instant now)
{
    static uint8_t pkt[INNER_LEN];
    const uint8_t header[28] = { 0x45, 0,   0,    INNER_LEN, 0, 0,   0x40, 0,    64, 17,   0, 0, 203,
                                 0,    113, from, 203,       0, 113, to,   0x10, 0,  0x20, 0, 0, INNER_LEN - 20 };
    const struct offload whole = { 0 };

    memcpy(pkt, header, sizeof(header));
    node_on_packet(n, pkt, sizeof(pkt), &whole, now);
}

/* TCP connections of a node, ended at the agent, to a server of another node of another share: their first packets
 * leave the agent's ends at the same time. */
static void split_two(struct fixture *f)
{
    static struct steer_table t;
    const struct offload vouched = { .flags = OFFLOAD_DATA_VALID };
    uint8_t syn[40] = { 0x45, [3] = 40, [6] = 0x40, [8] = 64, [9] = PROTO_TCP };
    char error[STEER_ERROR_MAX];

    steer_table_init(&t);
    t.version = 1;
    assert_true(steer_table_add_text(&t, "default mode split", error, sizeof(error)) >= 0);
    steer_table_compile(&t);
    node_set_steer(f->nodes[0].node, &t, f->now);
    run(f, 100 * MSEC);
    memcpy(syn + 12, (const uint8_t[]){ 203, 0, 113, 2, 203, 0, 113, 3 }, 8);
    put_be16(syn + 22, 80);
    syn[32] = 5 << 4;
    syn[33] = TCP_SYN;
    packet_fix_v4_header(syn);
    for (unsigned i = 0; i < 2; i++) {
        put_be16(syn + 20, (uint16_t)(SYN_PORT + i));
        node_on_packet(f->nodes[0].node, syn, sizeof(syn), &vouched, f->now);
    }
    run(f, 500 * MSEC);
}

static void check_sessions(struct fixture *f)
{
    for (unsigned i = 0; i < NODES; i++) {
        struct session *there = node_peer_session(f->shares[i % SHARES].node, i);

        assert_true(session_is_up(node_peer_session(f->nodes[i].node, 0)));
        assert_true(there && session_is_up(there));
        assert_null(node_peer_session(f->shares[(i + 1) % SHARES].node, i));
    }
}

/* Every way that a packet can take, once by each share. */
static void check_packets(struct fixture *f)
{
    for (unsigned s = 0; s < SHARES; s++)
        for (unsigned i = 0; i < NODES; i++) {
            inner(f->shares[s].node, 1, (uint8_t)(i + 2), f->now);
            hand_over(f, s);
        }
    for (unsigned i = 0; i < NODES; i++) {
        inner(f->nodes[i].node, (uint8_t)(i + 2), 1, f->now);
        inner(f->nodes[i].node, (uint8_t)(i + 2), (uint8_t)((i + 1) % NODES + 2), f->now);
    }
    run(f, 500 * MSEC);
    for (unsigned i = 0; i < NODES; i++) {
        assert_int_equal(f->nodes[i].inner[NODES], SHARES);
        assert_int_equal(f->nodes[(i + 1) % NODES].inner[i], 1);
        assert_int_equal(f->shares[0].inner[i] + f->shares[1].inner[i], 1);
    }
}

static void test_steered(void **state)
{
    static struct fixture f;
    unsigned datagrams;

    open_all(&f, by_cid);
    check_sessions(&f);
    assert_true(f.handed[NODE_HANDOVER_INIT] >= 1); /* node 1's, which came to share 0 */
    datagrams = f.handed[NODE_HANDOVER_DATAGRAM];
    check_packets(&f);
    assert_true(f.handed[NODE_HANDOVER_PACKET] >= NODES);
    /* Only who does not know of shards sends where it does not belong. */
    for (unsigned i = 0; i < 50; i++) {
        inner(f.nodes[i % 2].node, (uint8_t)(i % 2 + 2), 1, f.now);
        while (send_all(&f))
            ;
    }
    assert_int_equal(f.shares[0].inner[0], 26);
    assert_int_equal(f.shares[1].inner[1], 26);
    for (unsigned i = 0; i < 2; i++) {
        struct session *s = node_peer_session(f.nodes[i].node, 0);

        for (unsigned slot = 0; slot < SESSION_SLOTS; slot++)
            if (s->paths[slot].used)
                assert_int_equal(epoch_tx_cid(s->cur, s->paths[slot].id) % SHARES, i);
    }
    assert_true(f.handed[NODE_HANDOVER_DATAGRAM] - datagrams < 50);
    close_all(&f);
}

static void test_not_steered(void **state)
{
    static struct fixture f;
    uint64_t drops[NODE_DROP_COUNT];

    open_all(&f, anywhere);
    check_sessions(&f);
    check_packets(&f);
    for (unsigned s = 0; s < SHARES; s++) {
        node_drops(f.shares[s].node, drops);
        assert_int_equal(drops[NODE_DROP_NO_BUFFER], 0);
        assert_int_equal(drops[NODE_DROP_UNKNOWN_CID], 0);
    }
    close_all(&f);
}

static void test_split_to_another_share(void **state)
{
    static struct fixture f;

    open_all(&f, by_cid);
    split_two(&f);
    assert_int_equal(f.nodes[1].syns[0], 1);
    assert_int_equal(f.nodes[1].syns[1], 1);
    close_all(&f);
}

/* The agent has just started and calls its nodes: the answers come to whichever share. */
static void test_agent_calls(void **state)
{
    static struct fixture f;
    struct node_options agent = { .role = ROLE_AGENT, .pool_pkts = 512, .shard = { .bits = 1 } };

    open_all(&f, anywhere);
    for (unsigned s = 0; s < SHARES; s++) {
        agent.shard.value = (uint8_t)s;
        node_free(f.shares[s].node);
        open_end(&f.shares[s], &agent, 30 + s);
    }
    for (unsigned i = 0; i < NODES; i++) {
        struct node_peer_spec spec = { .name = "node", .addresses_count = 1 };
        struct endpoint at = { { ADDR_V4, { 10, 0, 0, (uint8_t)i } }, 4000 };

        spec.addresses[0] = (struct prefix){ { ADDR_V4, { 203, 0, 113, (uint8_t)(i + 2) } }, 32 };
        identity_peer_key(&f.nodes[i].id, suite_supported(), &spec.key);
        for (unsigned s = 0; s < SHARES; s++)
            assert_int_equal(node_peer_add(f.shares[s].node, &spec, f.now), (int)i);
        node_connect(f.shares[i % SHARES].node, i, &at, 1, f.now);
    }
    run(&f, 2 * SEC);
    check_sessions(&f);
    check_packets(&f);
    close_all(&f);
}

/* Two recorded INITs of one peer of the other share: the first leaves a handshake open, copies of the second are its
 * rivals. Each that costs public-key work has paid, at one share or the other. */
static void test_replayed_inits_pay(void **state)
{
    static struct fixture f;
    static const uint8_t psk[32];
    struct hello hello = { .flags = HELLO_FLAG_OPENER, .suites = suite_supported(), .features = FEATURES_KNOWN };
    struct locator_pair at = { .local = agent_at.addr, .remote = { { ADDR_V4, { 10, 0, 0, 7 } }, 4000 } };
    struct handshake_mask mask;
    struct peer_key agent;
    struct rng rng;
    uint64_t drops[NODE_DROP_COUNT];
    unsigned cookies = 0;

    open_all(&f, by_cid);
    rng = prng_rng(&f.prng);
    identity_peer_key(&f.shares[0].id, suite_supported(), &agent);
    handshake_mask_init(&mask, agent.x25519);
    memcpy(hello.ed25519, f.nodes[1].id.ed25519, 32);
    for (unsigned k = 0; k < 2; k++) {
        uint8_t init[HANDSHAKE_MAX], mac1[MAC1_LEN];
        struct handshake_init h;
        struct session_tx tx;

        assert_int_equal(handshake_init_make(&h, &f.nodes[1].id, &agent, psk,
                                             suite_choose(suite_supported(), agent.suites), &hello, NULL, &rng),
                         0);
        for (unsigned i = 0; i < (k ? 2000 : 1); i++, f.now += 100) {
            size_t len = handshake_init_write(&h, &mask, &rng, init, mac1);

            node_on_datagram(f.shares[0].node, &at, init, len, 0, 0, f.now);
            hand_over(&f, 0);
            for (unsigned s = 0; s < SHARES; s++)
                while (node_output(f.shares[s].node, datagram, &tx, f.now))
                    cookies += datagram[0] == PACKET_COOKIE;
        }
    }
    /* 300 us each of 50,000 and 20,000 more in .2 s; a rival gets a cookie or nothing. */
    node_drops(f.shares[1].node, drops);
    assert_true(cookies > 0);
    assert_true(f.shares[1].node->guard.budget_us < BUDGET_FULL - 20 * 300);
    assert_true(f.shares[1].node->guard.wary);
    close_all(&f);
}

/* What nobody knows is answered once, by the last share; a full queue loses what comes. */
static void test_unknown(void **state)
{
    static struct fixture f;
    struct locator_pair at = { .local = agent_at.addr, .remote = { { ADDR_V4, { 10, 0, 0, 9 } }, 4000 } };
    uint8_t records[8 * SEALED_MIN_LEN], *data;
    struct node_handover h;
    struct session_tx tx;
    uint64_t drops[NODE_DROP_COUNT];
    size_t len;
    unsigned resets = 0, waiting = 0;

    open_all(&f, by_cid);
    for (unsigned i = 0; i < 8; i++)
        sealed_header_put(records + (size_t)i * SEALED_MIN_LEN, 0x1230 + i, i);
    node_on_datagram(f.shares[0].node, &at, records, sizeof(records), SEALED_MIN_LEN, 0, f.now);
    /* A train goes on as a train. */
    assert_true(node_pop_handover(f.shares[0].node, &h, &data, &len));
    assert_int_equal(h.kind, NODE_HANDOVER_DATAGRAM);
    assert_int_equal(h.hops, 1);
    assert_int_equal(h.segment, SEALED_MIN_LEN);
    assert_ptr_equal(data, records);
    assert_int_equal(len, sizeof(records));
    assert_int_equal(node_on_handover(f.shares[1].node, &h, data, len, f.now), 0);
    assert_false(node_pop_handover(f.shares[0].node, &h, &data, &len));
    assert_false(node_pop_handover(f.shares[1].node, &h, &data, &len));
    assert_false(node_output(f.shares[0].node, datagram, &tx, f.now));
    while (node_output(f.shares[1].node, datagram, &tx, f.now))
        resets += datagram[0] == PACKET_RESET;
    assert_int_equal(resets, 8);
    for (unsigned i = 0; i < 2 * 256; i++)
        node_on_datagram(f.shares[0].node, &at, records, SEALED_MIN_LEN, 0, 0, f.now);
    while (node_pop_handover(f.shares[0].node, &h, &data, &len))
        waiting++;
    node_drops(f.shares[0].node, drops);
    assert_int_equal(drops[NODE_DROP_NO_BUFFER], 2 * 256 - waiting);
    assert_int_equal(waiting, 256);
    close_all(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steered),
        cmocka_unit_test(test_not_steered),
        cmocka_unit_test(test_split_to_another_share),
        cmocka_unit_test(test_agent_calls),
        cmocka_unit_test(test_replayed_inits_pay),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
