/* A peer that lies about rates, acknowledgements or order harms itself, not others at the same agent.
 *
 *     honest node --+
 *                   +-- core == 20 Mbit/s, 100 ms of queue == agent
 *     liar ---------+
 *
 * Theory of operation. The liar is a whole node whose words are changed on their way into the seal: the linker puts
 * __wrap_ functions of ours before node_output (to know who speaks), path_make_ack and aead_seal. Each lie is told
 * while both nodes load from the agent, which is what a liar could gain by; the bound for the honest node is what it
 * has beside an honest one. The clock is the receiver's own in every estimate, and no sample of the rate is above that
 * at which was sent, so a lie about times buys nothing; a lie about what came meets counters that were left out. */
#include "tests/sim/sim.h"

#include "ident/aead.h"
#include "session/stream.h"
#include "wire/header.h"

#define LENGTH (5 * SEC)

enum lie {
    LIE_NONE,
    ACK_AHEAD,     /* what is on its way */
    ACK_FAR_AHEAD, /* what was never sent */
    ACK_LOST,      /* what did not come */
    ACK_NOTHING,   /* never */
    ACK_DELAY,     /* "it lay here for an hour" */
    ACK_FAST,      /* "all came within a microsecond" */
    ACK_SLOW,      /* receive times that jump */
    DATA_PATHS,    /* the flow uses all eight paths */
    DATA_BACK,     /* wait for a record that never was */
    DATA_SEQ,      /* sequences that jump */
    DATA_TIME,     /* time stamps */
    DATA_FLOW,     /* each record another flow */
    FLAP,          /* the link goes and comes */
    STATUS,        /* tier and weight, again and again */
    PATHS,         /* paths made and dropped */
    STREAM,        /* messages without end */
    LIE_COUNT
};

static const char *const lie_names[LIE_COUNT] = {
    "none",      "acks ahead", "acks far ahead", "acks of the lost", "no acks",     "ack delay", "ack times fast",
    "ack times", "paths",      "back",           "sequence",         "time stamps", "flows",     "flapping",
    "status",    "path spam",  "messages",
};

static struct {
    struct world_end *liar;
    enum lie lie;
    bool speaking;
    struct prng prng;
    uint64_t told;
} g;

bool __real_node_output(struct node *n, uint8_t *buf, struct session_tx *ret, instant now);
bool __wrap_node_output(struct node *n, uint8_t *buf, struct session_tx *ret, instant now);
bool __real_path_make_ack(struct path *p, instant now, struct ack *ret);
bool __wrap_path_make_ack(struct path *p, instant now, struct ack *ret);
int __real_aead_seal(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in,
                     size_t len, uint8_t *out);
int __wrap_aead_seal(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in,
                     size_t len, uint8_t *out);

bool __wrap_node_output(struct node *n, uint8_t *buf, struct session_tx *ret, instant now)
{
    bool r;

    g.speaking = g.lie != LIE_NONE && g.liar->node == n;
    r = __real_node_output(n, buf, ret, now);
    g.speaking = false;
    return r;
}

bool __wrap_path_make_ack(struct path *p, instant now, struct ack *ret)
{
    bool r = __real_path_make_ack(p, now, ret);

    if (!r || !g.speaking)
        return r;
    g.told++;
    switch (g.lie) {
    case ACK_AHEAD:
        ret->ranges[0].last = ret->largest += 4;
        break;
    case ACK_FAR_AHEAD:
        ret->ranges[0].last = ret->largest += 1000000;
        break;
    case ACK_LOST:
        ret->ranges[0].first = ret->ranges[ret->ranges_count - 1].first;
        ret->ranges_count = 1;
        break;
    case ACK_NOTHING:
        return false;
    case ACK_DELAY:
        ret->delay_us = UINT32_MAX;
        break;
    case ACK_FAST:
        ret->rx_time_us = (uint32_t)g.told;
        break;
    case ACK_SLOW:
        ret->rx_time_us = (uint32_t)prng_u64(&g.prng);
        ret->rx_bytes = ret->rx_pkts = (uint32_t)prng_u64(&g.prng);
        break;
    default:
        g.told--;
    }
    return true;
}

int __wrap_aead_seal(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in,
                     size_t len, uint8_t *out)
{
    uint8_t lied[PBUF_CAPACITY];
    struct data_header h;

    if (!g.speaking || g.lie < DATA_PATHS || g.lie > DATA_FLOW || len > sizeof(lied) || len < DATA_HEADER_LEN ||
        (in[0] & CONTENT_TYPE_MASK) != CONTENT_DATA)
        return __real_aead_seal(a, counter, aad, aad_len, in, len, out);
    g.told++;
    memcpy(lied, in, len);
    data_header_get(in, &h);
    switch (g.lie) {
    case DATA_PATHS:
        h.paths = 0xff;
        break;
    case DATA_BACK:
        h.back = (uint16_t)(1 + prng_below(&g.prng, UINT16_MAX));
        break;
    case DATA_SEQ:
        h.seq += (uint32_t)prng_below(&g.prng, 1u << 30);
        break;
    case DATA_FLOW:
        h.flow = (uint16_t)prng_u64(&g.prng);
        h.paths = 0xff;
        h.back = 1 + (h.flow & 7);
        break;
    default:
        break;
    }
    data_header_put(lied, &h);
    put_be16(lied + 10, g.lie == DATA_TIME ? (uint16_t)prng_u64(&g.prng) : get_be16(in + 10));
    return __real_aead_seal(a, counter, aad, aad_len, lied, len, out);
}

/* What the liar does besides, each 2 ms. */
static void misbehave(struct world_end *liar, unsigned step)
{
    static const uint8_t message[STREAM_MESSAGE_MAX] = { MESSAGE_SKIPPABLE };
    struct session *s = node_peer_session(liar->node, 0);
    instant now = liar->world->now;
    struct session_path_spec spec;
    struct session_path_info info;

    if (!s || !session_is_up(s))
        return;
    switch (g.lie) {
    case FLAP:
        session_path_link(s, 0, step % 2, now);
        g.told++;
        break;
    case STATUS:
        session_path_set(s, 0,
                         &(struct session_path_use){
                             .tier = (uint8_t)(step % 3), .weight = (uint16_t)(1 + step % 1000), .leaving = step % 2 },
                         now);
        g.told++;
        break;
    case PATHS:
        session_path_info(s, 0, now, &info);
        for (unsigned i = 1; i < SESSION_SLOTS; i++)
            session_path_remove(s, i, now);
        spec = (struct session_path_spec){ .at = info.at, .link = "lie", .tier = TIER_BACKUP, .weight = 1 };
        for (unsigned i = 1; i < SESSION_SLOTS; i++)
            g.told += session_path_add(s, &spec, now) >= 0;
        break;
    case STREAM:
        while (session_send_message(s, message, sizeof(message), now) == 0)
            g.told++;
        break;
    default:
        break;
    }
}

struct outcome {
    double honest_bps, liar_bps;
    span delay; /* of the honest node's steady flow, the worst */
    size_t pool_max;
    unsigned downs; /* of the liar's session, at the agent */
};

static struct outcome run(enum lie lie)
{
    struct node_options options = { .pool_pkts = 4096 };
    struct world_node_spec spec = { .uplinks = 1, .params = { "rate=50mbit delay=20ms queue=100ms" } };
    struct world *w = world_new(7);
    struct world_end *agent = world_agent(w, "agent", &options, false), *honest, *liar;
    struct traffic_flow *load, *lying, *call;
    struct outcome o = { 0 };
    struct traffic *t;
    uint64_t before, liar_before;

    world_agent_access(agent, "rate=20mbit queue=100ms", 4096);
    honest = world_node(w, "honest", agent, &spec);
    liar = world_node(w, "liar", agent, &spec);
    if (lie == ACK_LOST)
        world_link_dir(&world_uplink(liar, 0)->down, "loss=2%");
    t = traffic_new(w);
    memset(&g, 0, sizeof(g));
    g.liar = liar;
    prng_init(&g.prng, 1);
    world_connect(honest);
    world_connect(liar);
    world_run_for(w, 2 * SEC);
    assert_true(world_is_up(honest, 0) && world_is_up(liar, 0));
    load = traffic_window(t, agent, honest, 0, NULL);
    lying = traffic_window(t, agent, liar, 0, NULL);
    call = traffic_steady(t, agent, honest, 100000, 200, false);
    traffic_steady(t, liar, agent, 2000000, 1000, false);
    world_run_for(w, 3 * SEC);
    g.lie = lie;
    world_run_for(w, 1 * SEC);
    call->delay_max = 0;
    before = load->received_bytes;
    liar_before = lying->received_bytes;
    for (unsigned i = 0; i < LENGTH / (2 * MSEC); i++) {
        if (g.lie >= FLAP)
            misbehave(liar, i);
        world_run_for(w, 2 * MSEC);
        o.pool_max = MAX(o.pool_max, node_pool_used(agent->node));
    }
    o.honest_bps = traffic_bps(load->received_bytes - before, LENGTH);
    o.liar_bps = traffic_bps(lying->received_bytes - liar_before, LENGTH);
    o.delay = call->delay_max;
    o.downs = agent->states[1].downs;
    assert_true(lie == LIE_NONE || g.told > 0);
    assert_string_equal(w->error, "");
    g.lie = LIE_NONE;
    world_free(w);
    traffic_free(t);
    printf("# %-16s honest %5.2f Mbit/s, liar %5.2f, worst delay %3lld ms, agent's pool %zu, ended %u times\n",
           lie_names[lie], o.honest_bps / 1e6, o.liar_bps / 1e6, (long long)o.delay / 1000, o.pool_max, o.downs);
    return o;
}

static struct outcome calm;

static struct outcome check(enum lie lie)
{
    struct outcome o = run(lie);

    if (calm.honest_bps == 0)
        calm = run(LIE_NONE);
    /* The share beside an honest node, but for what two congestion controls find by chance. */
    assert_true(o.honest_bps >= 0.8 * calm.honest_bps);
    assert_true(o.delay <= calm.delay + 50 * MSEC);
    /* A session may keep an eighth of the pool waiting, and as much in flight. */
    assert_true(o.pool_max <= 4096 / 2);
    return o;
}

static void test_acks_of_what_did_not_come(void **state)
{
    /* Found out, each of them. */
    assert_true(check(ACK_AHEAD).downs > 0);
    assert_true(check(ACK_FAR_AHEAD).downs > 0);
    assert_true(check(ACK_LOST).downs > 0);
}

static void test_acks_and_times(void **state)
{
    check(ACK_NOTHING);
    check(ACK_DELAY);
    check(ACK_FAST);
    check(ACK_SLOW);
}

static void test_data_headers(void **state)
{
    for (enum lie lie = DATA_PATHS; lie <= DATA_FLOW; lie++)
        check(lie);
}

static void test_paths(void **state)
{
    check(FLAP);
    check(STATUS);
    check(PATHS);
}

static void test_messages(void **state)
{
    check(STREAM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acks_of_what_did_not_come),
        cmocka_unit_test(test_acks_and_times),
        cmocka_unit_test(test_data_headers),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
