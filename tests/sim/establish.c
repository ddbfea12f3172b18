/* Handshakes in bad company: dead paths, lost answers, floods, replays, restarts, addresses that change.
 *
 *     node --uplink(s)-- core -- agent
 *                         |
 *                      attacker: sees and injects, here where it is said */
#include "sim/faults.h"
#include "tests/sim/sim.h"
#include "wire/header.h"

#define LINK "rate=20mbit delay=15ms"
#define RTT (30 * MSEC)

/* --- an attacker --- */

#define RECORDED_MAX 4096

struct attacker {
    struct world *w;
    struct world_watch watch;
    struct world_source source;
    span every;
    struct {
        struct endpoint src, dst;
        uint8_t data[HANDSHAKE_MAX];
        size_t len;
    } recorded[RECORDED_MAX];
    size_t count;
    uint64_t injected;
    bool replay;
};

static bool attacker_sees(void *ctx, struct world_packet *p)
{
    struct attacker *a = ctx;

    if (p->data[0] != PACKET_INIT || a->count == RECORDED_MAX || p->len > HANDSHAKE_MAX)
        return true;
    for (size_t i = 0; i < a->count; i++)
        if (a->recorded[i].len == p->len && memcmp(a->recorded[i].data, p->data, p->len) == 0)
            return true;
    a->recorded[a->count].src = p->src;
    a->recorded[a->count].dst = p->dst;
    a->recorded[a->count].len = p->len;
    memcpy(a->recorded[a->count++].data, p->data, p->len);
    return true;
}

static void attacker_fire(struct world *w, struct world_source *s)
{
    struct attacker *a = CONTAINER_OF(s, struct attacker, source);

    for (size_t i = 0; i < a->count && a->replay; i++) {
        world_inject(w, &a->recorded[i].src, &a->recorded[i].dst, a->recorded[i].data, a->recorded[i].len);
        a->injected++;
    }
    world_schedule(w, s, w->now + a->every);
}

static void attacker_init(struct attacker *a, struct world *w, span every)
{
    *a = (struct attacker){ .w = w, .every = every };
    a->watch = (struct world_watch){ .ctx = a, .core = attacker_sees };
    world_watch_add(w, &a->watch);
    world_source_init(w, &a->source, attacker_fire);
    world_schedule(w, &a->source, w->now + every);
}

/* --- races --- */

static void test_first_path_is_dead(void **state)
{
    struct bench b = bench_make(1, NULL, false, PARAMS(LINK, LINK));
    struct traffic_flow *f;

    world_link(world_uplink(b.node, 0), "blackhole=1");
    world_connect(b.node);
    /* A cookie may be asked for once: two round trips and the confirmation. */
    assert_true(bench_up(&b, 1 * SEC) <= 3 * RTT);
    f = traffic_steady(b.t, b.node, b.agent, 1000000, 1000, false);
    world_run_for(b.w, 1 * SEC);
    assert_true(f->received > 0 && f->first_rx - b.w->now + 1 * SEC <= 2 * RTT);
    bench_done(&b);
}

static void test_answers_are_lost(void **state)
{
    struct bench b = bench_make(2, NULL, false, PARAMS(LINK));

    world_link_dir(&world_uplink(b.node, 0)->down, "blackhole=1");
    world_connect(b.node);
    world_run_for(b.w, 1 * SEC);
    assert_false(world_is_up(b.node, 0));
    world_link_dir(&world_uplink(b.node, 0)->down, "blackhole=0");
    /* Sent again after at most 2 s. */
    assert_true(bench_up(&b, 5 * SEC) <= 2 * SEC + 3 * RTT);
    bench_done(&b);
    for (uint64_t seed = 1; seed <= 30; seed++) {
        b = bench_make(seed, NULL, false, PARAMS("rate=20mbit delay=15ms loss=50%"));
        world_connect(b.node);
        bench_up(&b, 30 * SEC);
        bench_done(&b);
    }
}

static void test_both_begin_at_once(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct bench b = bench_make(seed, NULL, false, PARAMS(LINK, "rate=20mbit delay=30ms"));
        struct traffic_flow *f;
        unsigned ups;

        bench_begin(&b);
        world_run_for(b.w, 1 * SEC);
        assert_true(b.agent->states[0].stored_count > 0);
        /* The agent's INIT leaves between 0 and 40 ms before the node's. */
        world_stop(b.node);
        world_restart(b.agent);
        world_run_for(b.w, (span)(seed % 5) * 10 * MSEC);
        world_restart(b.node);
        bench_up(&b, 2 * SEC);
        f = traffic_steady(b.t, b.agent, b.node, 1000000, 1000, false);
        world_run_for(b.w, 2 * SEC);
        ups = b.node->states[0].ups;
        world_run_for(b.w, 10 * SEC);
        assert_int_equal(b.node->states[0].ups, ups);
        assert_true(f->received + 300 > f->next_seq && f->received > 1000);
        bench_done(&b);
    }
}

/* --- floods --- */

struct flood {
    struct world *w;
    struct world_source source;
    struct endpoint to;
    struct {
        uint8_t data[HANDSHAKE_MAX];
        size_t len;
    } inits[64];
    uint64_t sent, answered_bytes, sent_bytes;
    struct world_watch watch;
};

static bool flood_sees(void *ctx, struct world_packet *p)
{
    struct flood *f = ctx;

    if (p->dst.addr.family == ADDR_V4 && p->dst.addr.bytes[0] == 203)
        f->answered_bytes += p->len;
    return true;
}

static void flood_fire(struct world *w, struct world_source *s)
{
    struct flood *f = CONTAINER_OF(s, struct flood, source);
    /* A host of networks of its own. */
    struct endpoint from = { .addr = addr_v4(0xcb000000u + (uint32_t)f->sent * 256), .port = 1000 };

    world_inject(w, &from, &f->to, f->inits[f->sent % 64].data, f->inits[f->sent % 64].len);
    f->sent_bytes += f->inits[f->sent % 64].len;
    f->sent++;
    world_schedule(w, s, w->now + 200 * USEC);
}

/* INITs that a stranger who knows the agent's key can make: right mac1, nobody's identity. */
static void flood_init(struct flood *f, struct world *w, struct world_end *agent)
{
    struct handshake_mask mask;
    struct peer_key key;
    struct rng rng = prng_rng(&w->prng);
    uint8_t psk[32] = { 0 }, mac1[MAC1_LEN];

    *f = (struct flood){ .w = w, .to = agent->listen[0] };
    handshake_mask_init(&mask, agent->identity.x25519);
    identity_peer_key(&agent->identity, suite_supported(), &key);
    for (unsigned i = 0; i < 64; i++) {
        struct handshake_init h;
        struct identity id;
        struct hello hello = { .flags = HELLO_FLAG_OPENER, .suites = suite_supported() };

        assert_int_equal(identity_generate(&id, &rng), 0);
        assert_int_equal(
            handshake_init_make(&h, &id, &key, psk, suite_choose(key.suites, key.suites), &hello, NULL, &rng), 0);
        f->inits[i].len = handshake_init_write(&h, &mask, &rng, f->inits[i].data, mac1);
    }
    f->watch = (struct world_watch){ .ctx = f, .core = flood_sees };
    world_watch_add(w, &f->watch);
    world_source_init(w, &f->source, flood_fire);
    world_schedule(w, &f->source, w->now);
}

static void test_flood_of_strangers(void **state)
{
    struct world_node_spec spec = { .uplinks = 1, .params = { LINK } };
    struct bench b = bench_make(3, NULL, false, PARAMS(LINK));
    struct world_end *late = world_node(b.w, "late", b.agent, &spec);
    struct traffic_flow *f;
    static struct flood flood;
    uint64_t drops[NODE_DROP_COUNT];
    instant began;

    bench_begin(&b);
    f = traffic_steady(b.t, b.node, b.agent, 2000000, 1000, false);
    flood_init(&flood, b.w, b.agent);
    world_run_for(b.w, 3 * SEC);
    began = b.w->now;
    world_connect(late);
    while (!world_is_up(late, 0) && b.w->now - began < 2 * SEC && !b.w->failed)
        world_run_for(b.w, 1 * MSEC);
    printf("# under 5,000 INITs a second a node gets in after %lld ms\n", (long long)(b.w->now - began) / 1000);
    assert_true(world_is_up(late, 0));
    traffic_stop(f);
    world_run_for(b.w, 1 * SEC);
    assert_int_equal(traffic_missing(f), 0);
    node_drops(b.agent->node, drops);
    assert_true(drops[NODE_DROP_UNKNOWN_PEER] > 0);
    /* 10 % of a core: 333 of 300 us a second. */
    assert_true(drops[NODE_DROP_UNKNOWN_PEER] + drops[NODE_DROP_HANDSHAKE] < 333 * 6);
    assert_true(flood.sent > 15000 && flood.answered_bytes < flood.sent_bytes);
    bench_done(&b);
}

/* --- replays --- */

static void test_replays_harm_no_session(void **state)
{
    struct bench b = bench_make(4, NULL, false, PARAMS(LINK, LINK));
    static struct attacker attacker;
    struct traffic_flow *f, *g;

    attacker_init(&attacker, b.w, 5 * MSEC);
    bench_begin(&b);
    /* More to record: restarts, then a session that lives through a rekeying. */
    world_restart(b.node);
    bench_up(&b, 1 * SEC);
    world_run_for(b.w, 3 * SEC);
    world_restart(b.agent);
    bench_up(&b, 1 * SEC);
    world_run_for(b.w, 3 * SEC);
    f = traffic_steady(b.t, b.node, b.agent, 2000000, 1000, false);
    g = traffic_steady(b.t, b.agent, b.node, 2000000, 1000, false);
    attacker.replay = true;
    world_run_for(b.w, 200 * SEC);
    traffic_stop(f);
    traffic_stop(g);
    world_run_for(b.w, 1 * SEC);
    assert_true(b.node->states[0].rekeys >= 1);
    assert_true(attacker.injected > 10000);
    assert_int_equal(traffic_missing(f), 0);
    assert_int_equal(traffic_missing(g), 0);
    bench_done(&b);
}

static void test_replays_keep_nobody_out(void **state)
{
    span worst = 0;

    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct bench b = bench_make(seed, NULL, false, PARAMS(LINK, LINK));
        static struct attacker attacker;
        instant began;

        attacker_init(&attacker, b.w, 5 * MSEC);
        bench_begin(&b);
        world_restart(b.node);
        bench_up(&b, 1 * SEC);
        world_run_for(b.w, 3 * SEC);
        attacker.replay = true;
        world_run_for(b.w, 2 * SEC);
        /* The node comes back while all that was recorded, its newest INIT included, is replayed. */
        for (unsigned i = 0; i < 3; i++) {
            began = b.w->now;
            world_restart(b.node);
            bench_up(&b, 6 * SEC);
            worst = MAX(worst, b.w->now - began);
            world_run_for(b.w, 2 * SEC);
        }
        /* So does the agent. */
        began = b.w->now;
        world_restart(b.agent);
        bench_up(&b, 6 * SEC);
        worst = MAX(worst, b.w->now - began);
        world_run_for(b.w, 5 * SEC);
        assert_true(both_up(&b));
        bench_done(&b);
    }
    printf("# while recorded INITs are replayed each 5 ms, a node is back after at most %lld ms\n",
           (long long)worst / 1000);
    assert_true(worst <= 3 * SEC);
}

/* --- restarts and moves --- */

static void test_reset_token(void **state)
{
    struct bench b = bench_make(5, NULL, false, PARAMS(LINK));
    struct traffic_flow *f;
    instant began;

    bench_begin(&b);
    f = traffic_steady(b.t, b.node, b.agent, 1000000, 1000, false);
    world_run_for(b.w, 1 * SEC);
    /* The agent has lost its list of endpoints too: only the node can find out. */
    b.agent->states[0].stored_count = 0;
    world_restart(b.agent);
    began = b.w->now;
    traffic_gap_reset(f);
    bench_up(&b, 2 * SEC);
    world_run_for(b.w, 1 * SEC);
    printf("# agent restarted: up after %lld ms, silence of %lld ms\n",
           (long long)(b.node->states[0].up_at - began) / 1000, (long long)f->gap_max / 1000);
    /* One way and back for the reset, a handshake with a cookie, one way for data. */
    assert_true(f->gap_max <= 4 * RTT);
    bench_done(&b);
}

static void test_nat_rebinding(void **state)
{
    static const enum world_nat_kind kinds[] = { WORLD_NAT_CONE, WORLD_NAT_RESTRICTED, WORLD_NAT_SYMMETRIC };

    for (unsigned k = 0; k < ARRAY_LEN(kinds); k++) {
        struct bench b = bench_make(6, NULL, false, PARAMS(LINK));
        struct traffic_flow *f, *g;

        world_nat(world_uplink(b.node, 0), kinds[k], 60 * SEC);
        bench_begin(&b);
        f = traffic_steady(b.t, b.node, b.agent, 1000000, 1000, false);
        g = traffic_steady(b.t, b.agent, b.node, 1000000, 1000, false);
        world_run_for(b.w, 2 * SEC);
        for (unsigned i = 0; i < 5; i++) {
            traffic_gap_reset(f);
            traffic_gap_reset(g);
            world_nat_rebind(world_uplink(b.node, 0));
            world_run_for(b.w, 3 * SEC);
            /* Upwards nothing shows; downwards until the agent has seen the new port, and the validation. */
            assert_true(traffic_gap(f) <= 10 * MSEC + 8 * MSEC);
            assert_true(traffic_gap(g) <= 2 * RTT + 20 * MSEC);
        }
        traffic_stop(f);
        world_run_for(b.w, 1 * SEC);
        assert_int_equal(traffic_missing(f), 0);
        assert_int_equal(b.node->states[0].ups, 1);
        bench_done(&b);
    }
}

/* Nothing but the node's keepalives crosses a NAT that forgets after 30 s. */
static void test_keepalive_holds_the_nat(void **state)
{
    struct bench b = bench_make(7, NULL, false, PARAMS(LINK));
    struct traffic_flow *f;

    world_nat(world_uplink(b.node, 0), WORLD_NAT_SYMMETRIC, 30 * SEC);
    bench_begin(&b);
    world_run_for(b.w, 300 * SEC);
    f = traffic_steady(b.t, b.agent, b.node, 100000, 1000, false);
    world_run_for(b.w, 1 * SEC);
    traffic_stop(f);
    world_run_for(b.w, 1 * SEC);
    assert_int_equal(traffic_missing(f), 0);
    assert_int_equal(world_uplink(b.node, 0)->nat_drops, 0);
    bench_done(&b);
}

static void test_roaming(void **state)
{
    struct bench b = bench_make(8, NULL, false, PARAMS(LINK));
    struct traffic_flow *f, *g;

    bench_begin(&b);
    f = traffic_steady(b.t, b.node, b.agent, 1000000, 1000, false);
    g = traffic_steady(b.t, b.agent, b.node, 1000000, 1000, false);
    world_run_for(b.w, 2 * SEC);
    for (unsigned i = 0; i < 10; i++) {
        traffic_gap_reset(f);
        traffic_gap_reset(g);
        world_uplink_move(world_uplink(b.node, 0));
        world_run_for(b.w, 2 * SEC);
        assert_true(traffic_gap(f) <= RTT);
        assert_true(traffic_gap(g) <= 2 * RTT + 20 * MSEC);
    }
    assert_int_equal(b.node->states[0].ups, 1);
    bench_done(&b);
}

/* The node gets a new address, and at that instant the agent's IPv4 address is another too: IPv6 is what is left. */
static void test_both_ends_move(void **state)
{
    struct bench b = bench_make(9, NULL, true, PARAMS(LINK));
    struct traffic_flow *f, *g;

    bench_begin(&b);
    f = traffic_steady(b.t, b.node, b.agent, 1000000, 1000, false);
    g = traffic_steady(b.t, b.agent, b.node, 1000000, 1000, true);
    world_run_for(b.w, 2 * SEC);
    traffic_gap_reset(f);
    traffic_gap_reset(g);
    world_agent_move(b.agent, 0);
    world_uplink_move(world_uplink(b.node, 0));
    world_run_for(b.w, 5 * SEC);
    printf("# both ends moved: silence of %lld ms up, %lld ms down\n", (long long)traffic_gap(f) / 1000,
           (long long)traffic_gap(g) / 1000);
    assert_true(traffic_gap(f) <= 300 * MSEC + RTT && traffic_gap(g) <= 300 * MSEC + RTT);
    assert_int_equal(b.node->states[0].ups, 1);
    bench_done(&b);
}

/* --- versions --- */

static void test_features_of_others(void **state)
{
    struct node_options options = { .features = 0x80000000u | FEATURES_KNOWN };
    uint8_t message[8] = { MESSAGE_SKIPPABLE + 17, 1, 2, 3 };
    struct bench b = bench_make(10, &options, false, PARAMS(LINK));
    struct traffic_flow *f;

    bench_begin(&b);
    /* A message of a type that is not known but may be skipped, from either end. */
    assert_int_equal(session_send_message(node_peer_session(b.node->node, 0), message, sizeof(message), b.w->now), 0);
    assert_int_equal(session_send_message(node_peer_session(b.agent->node, 0), message, sizeof(message), b.w->now), 0);
    f = traffic_steady(b.t, b.node, b.agent, 1000000, 1000, false);
    world_run_for(b.w, 2 * SEC);
    world_steer(b.node, "default mode redundant"); /* the stream goes on behind it */
    world_run_for(b.w, 1 * SEC);
    assert_non_null(node_steer(b.agent->node, 0));
    assert_int_equal(node_steer(b.agent->node, 0)->fallback.mode, STEER_REDUNDANT);
    traffic_stop(f);
    world_run_for(b.w, 1 * SEC);
    assert_int_equal(traffic_missing(f), 0);
    bench_done(&b);
}

static unsigned paths_of_link(const struct bench *b, uint32_t link, enum path_state state)
{
    struct session_path_info info;
    unsigned count = 0;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(node_peer_session(b->node->node, 0), i, b->w->now, &info);
        count += info.used && info.at.link == link && info.metrics.state == state;
    }
    return count;
}

/* Four lanes to an agent of both families take every slot; an uplink that comes later gets a path all the same. With
 * fewer lanes, the paths of the others go. */
static void test_lanes_leave_room(void **state)
{
    struct bench b = bench_make(12, NULL, true, PARAMS(LINK, LINK));
    struct world_uplink *first = world_uplink(b.node, 0), *second = world_uplink(b.node, 1);

    first->spec.lanes = NODE_LANES_MAX;
    world_uplink_tell(first);
    node_uplink_remove(b.node->node, second->spec.link, b.w->now);
    bench_begin(&b);
    world_run_for(b.w, 2 * SEC);
    assert_int_equal(paths_of_link(&b, first->spec.link, PATH_ACTIVE), SESSION_SLOTS);
    world_uplink_tell(second);
    world_run_for(b.w, 2 * SEC);
    assert_int_equal(paths_of_link(&b, second->spec.link, PATH_ACTIVE), 1);
    assert_int_equal(paths_of_link(&b, first->spec.link, PATH_ACTIVE), SESSION_SLOTS - 1);
    first->spec.lanes = 1;
    world_uplink_tell(first);
    world_run_for(b.w, 2 * SEC);
    assert_int_equal(paths_of_link(&b, first->spec.link, PATH_ACTIVE), 2);
    bench_done(&b);
}

struct listener {
    struct handshake_init h;
    struct handshake_mask self_mask;
    struct peer_key agent;
    struct endpoint at;
    unsigned responses, others;
    struct hello hello;
};

static bool listen_core(void *ctx, struct world_packet *p)
{
    struct listener *l = ctx;
    uint8_t master[32];

    if (!endpoint_equal(&p->dst, &l->at))
        return true;
    if (p->data[0] == PACKET_RESPONSE && handshake_check_mac1(&l->self_mask, p->data, p->len) == 0 &&
        handshake_response_read(&l->h, &l->self_mask, &l->agent, p->data, p->len, master, &l->hello) == 0)
        l->responses++;
    else
        l->others++;
    return true;
}

/* An INIT as a later version would make it: bytes behind the hello that we know. */
static size_t newer_init(struct listener *l, const struct identity *id, const uint8_t psk[32], struct world *w,
                         uint8_t out[HANDSHAKE_MAX])
{
    struct rng rng = prng_rng(&w->prng);
    uint8_t hello[256] = { 0 }, prologue[4 + COOKIE_LEN + 8] = { PACKET_INIT, PROTOCOL_VERSION }, mac1[MAC1_LEN];
    struct writer wr = writer_init(hello, sizeof(hello));
    struct handshake_mask mask;
    int n;

    l->h.suite = suite_choose(suite_supported(), suite_supported());
    l->h.index = 0x1122334455667788;
    prologue[2] = (uint8_t)l->h.suite;
    put_be64(prologue + 4 + COOKIE_LEN, l->h.index);
    write_bytes(&wr, id->ed25519, 32);
    write_bytes(&wr, id->binding_sig, 64);
    write_u64(&wr, 42);
    write_u8(&wr, HELLO_FLAG_OPENER | 0x80);
    write_u8(&wr, 0xf0 | suite_supported());
    write_u32(&wr, 0xffffffff);
    write_u8(&wr, 3 << 4 | 1);
    write_bytes(&wr, (const uint8_t *)"what only a later version knows", 31);
    assert_int_equal(noise_init(&l->h.noise, NOISE_IKPSK2, l->h.suite, true, prologue, sizeof(prologue),
                                id->x25519_priv, id->x25519, l->agent.x25519, psk),
                     0);
    memcpy(l->h.body, prologue + 4, COOKIE_LEN + 8);
    n = noise_write(&l->h.noise, &rng, hello, writer_len(&wr), l->h.body + COOKIE_LEN + 8,
                    sizeof(l->h.body) - COOKIE_LEN - 8);
    assert_true(n > 0);
    l->h.body_len = COOKIE_LEN + 8 + (size_t)n;
    handshake_mask_init(&mask, l->agent.x25519);
    return handshake_init_write(&l->h, &mask, &rng, out, mac1);
}

static void test_hello_of_a_later_version(void **state)
{
    struct bench b = bench_make(11, NULL, false, PARAMS(LINK));
    struct listener l = { .at = { .addr = addr_v4(0xcb007101u), .port = 777 } };
    struct world_watch watch = { .ctx = &l, .core = listen_core };
    uint8_t init[HANDSHAKE_MAX], copy[HANDSHAKE_MAX];
    uint64_t drops[NODE_DROP_COUNT];
    size_t len;

    world_watch_add(b.w, &watch);
    identity_peer_key(&b.agent->identity, suite_supported(), &l.agent);
    handshake_mask_init(&l.self_mask, b.node->identity.x25519);
    world_run_for(b.w, 2 * SEC); /* no cookies are asked for now */
    len = newer_init(&l, &b.node->identity, b.node->peers[0].psk, b.w, init);
    memcpy(copy, init, len);
    world_inject(b.w, &l.at, &b.agent->listen[0], init, len);
    world_run_for(b.w, 100 * MSEC);
    assert_int_equal(l.responses, 1);
    assert_int_equal(l.others, 0);
    assert_true(l.hello.flags & HELLO_FLAG_FRESH);
    assert_int_equal(l.hello.features, FEATURES_KNOWN);
    /* Another protocol version gets silence and a count. */
    copy[1] = PROTOCOL_VERSION + 1;
    world_inject(b.w, &l.at, &b.agent->listen[0], copy, len);
    world_run_for(b.w, 100 * MSEC);
    node_drops(b.agent->node, drops);
    assert_int_equal(drops[NODE_DROP_VERSION], 1);
    assert_int_equal(l.responses + l.others, 1);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_path_is_dead),
        cmocka_unit_test(test_answers_are_lost),
        cmocka_unit_test(test_both_begin_at_once),
        cmocka_unit_test(test_flood_of_strangers),
        cmocka_unit_test(test_replays_harm_no_session),
        cmocka_unit_test(test_replays_keep_nobody_out),
        cmocka_unit_test(test_reset_token),
        cmocka_unit_test(test_nat_rebinding),
        cmocka_unit_test(test_keepalive_holds_the_nat),
        cmocka_unit_test(test_roaming),
        cmocka_unit_test(test_both_ends_move),
        cmocka_unit_test(test_features_of_others),
        cmocka_unit_test(test_lanes_leave_room),
        cmocka_unit_test(test_hello_of_a_later_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
