/* Fuzz target of whole sessions: a node and an agent, connected back to back in virtual time, of which either may be
 * hostile: it has the keys, and seals whatever the fuzzer says.
 *
 * Input: a script. Each step is a byte - the low 3 bits say what happens, bit 3 who does it (0 the node, 1 the agent),
 * bits 4-6 a path's slot - and what the step takes: TIME a byte (an exponent and a mantissa); the others a 16-bit
 * length and so many bytes. After each step datagrams go to and fro until there are none or BURST of them went.
 *
 *   RAW       the bytes are the plaintext of a record
 *   CONTROL   ... the frames of a control record
 *   DATA      ... paths, flow, back and sequence of a data record, relative to the newest, and the inner packet
 *   MESSAGE   ... a message in the control stream
 *   STRANGER  ... a control record on a path id (the first byte, from the highest) that may not have been opened
 *   INNER     ... a packet from the inside, whose checksum is vouched for if the slot is odd
 *   OWNER     ... what the owner of an end does: the first byte says what (enum owner)
 *   TIME      time passes, with its timers
 *
 * The node's rule is to split connections (node/split.c), so a SYN from its inside makes a channel, and a SYN to the
 * agent's. The owner's ANSWER is how a script goes on with one: it knows the sequence numbers.
 *
 * What must hold: nothing crashes or leaks, every buffer is given back (node_free asserts it), the loops end. */
#include "node/node.h"
#include "session/internal.h"
#include "tunnel/packet.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step { STEP_RAW, STEP_CONTROL, STEP_DATA, STEP_MESSAGE, STEP_STRANGER, STEP_INNER, STEP_OWNER, STEP_TIME };

enum owner {
    OWNER_UPLINK,
    OWNER_REMOVE,
    OWNER_UNREACHABLE,
    OWNER_STEER,
    OWNER_ASK,
    OWNER_TOO_BIG,
    OWNER_ANSWER,
    OWNER_COUNT
};

#define BURST 64        /* datagrams after a step: enough for a handshake or an exchange of control */
#define STEPS_MAX 256   /* more only cost time */
#define EXPIRIES_MAX 64 /* timers in one TIME step */
#define POOL_PKTS 256
#define UPLINKS 2
#define TCP_LEN 40 /* IPv4 and TCP, without options */

struct end {
    struct identity id;
    struct prng prng;
    struct node *node;
    uint64_t stranger_counter;
    bool has_tcp;
    uint8_t tcp[TCP_LEN];    /* the headers of the TCP packet that came out of its inside last, without options */
    uint32_t tcp_next, peer; /* what follows it; what it expects of who is there */
};

struct world {
    struct end ends[2]; /* node, agent */
    instant now;
};

static uint8_t datagram[SESSION_OUTPUT_MAX];
static const struct endpoint agent_at = { { ADDR_V4, { 198, 51, 100, 10 } }, 51820 };

static struct locator_pair locator(const struct world *w, unsigned end, uint32_t link)
{
    struct endpoint node_at = { { ADDR_V4, { 10, 0, 0, (uint8_t)link } }, 4000 };

    if (end == 0)
        return (struct locator_pair){ .link = link, .local = node_at.addr, .remote = agent_at };
    return (struct locator_pair){ .link = NODE_LISTEN_LINK, .local = agent_at.addr, .remote = node_at };
}

static void deliver(struct world *w, unsigned to, const struct session_tx *tx, uint8_t *data)
{
    /* The uplink's number stands in the node's address. */
    uint32_t link = to == 1 ? tx->at.link : tx->at.remote.addr.bytes[3];
    struct locator_pair at = locator(w, to, link);

    node_on_datagram(w->ends[to].node, &at, data, tx->len, tx->segment, tx->tos, w->now);
}

/* Remembers a TCP packet, for whoever is to answer it. */
static void note_tcp(struct end *e, const struct merged *m)
{
    static uint8_t pkt[BLOCK_CAPACITY];
    size_t len = slices_gather(m->slices, m->count, pkt, sizeof(pkt));
    struct packet_info info;

    if (packet_parse(pkt, len, &info) < 0 || info.family != ADDR_V4 || info.proto != PROTO_TCP || info.l4_off != 20)
        return;
    e->has_tcp = true;
    memcpy(e->tcp, pkt, TCP_LEN);
    e->tcp_next = get_be32(pkt + 24) + (uint32_t)(info.total_len - info.payload_off) +
                  ((info.tcp_flags & (TCP_SYN | TCP_FIN)) != 0);
    e->peer = info.tcp_flags & TCP_ACK ? get_be32(pkt + 28) : 0;
}

/* u8 flags | i8 how far the sequence number is from what is expected | bytes. */
static void answer_tcp(struct world *w, unsigned end, const uint8_t *bytes, size_t len)
{
    const struct offload vouched = { .flags = OFFLOAD_DATA_VALID };
    uint8_t pkt[PBUF_CAPACITY] = { 0x45, [6] = 0x40, [8] = 64, [9] = PROTO_TCP };
    struct end *e = &w->ends[end];

    if (!e->has_tcp || len < 2)
        return;
    len = MIN(len, sizeof(pkt) - TCP_LEN + 2);
    memcpy(pkt + 12, e->tcp + 16, 4);
    memcpy(pkt + 16, e->tcp + 12, 4);
    memcpy(pkt + 20, e->tcp + 22, 2);
    memcpy(pkt + 22, e->tcp + 20, 2);
    put_be32(pkt + 24, e->peer + (uint32_t)(int8_t)bytes[1]);
    put_be32(pkt + 28, e->tcp_next);
    pkt[32] = 5 << 4;
    pkt[33] = bytes[0];
    put_be16(pkt + 34, 0xffff);
    memcpy(pkt + TCP_LEN, bytes + 2, len - 2);
    len += TCP_LEN - 2;
    put_be16(pkt + 2, (uint16_t)len);
    packet_fix_v4_header(pkt);
    node_on_packet(e->node, pkt, len, &vouched, w->now);
}

static void drain(struct world *w, unsigned end)
{
    struct node *n = w->ends[end].node;
    struct node_event ev;
    struct merged p;

    while (node_pop_inner(n, &p, w->now))
        note_tcp(&w->ends[end], &p);
    while (node_pop_event(n, &ev))
        ;
}

static void exchange(struct world *w)
{
    struct session_tx tx;

    for (unsigned i = 0, quiet = 0; i < BURST && quiet < 2; i++) {
        unsigned from = i % 2;

        drain(w, from);
        if (node_output(w->ends[from].node, datagram, &tx, w->now)) {
            deliver(w, !from, &tx, datagram);
            drain(w, !from);
            quiet = 0;
        } else {
            quiet++;
        }
    }
    drain(w, 0);
    drain(w, 1);
}

static void pass(struct world *w, span t)
{
    instant end = w->now + t;

    for (unsigned i = 0; i < EXPIRIES_MAX && w->now < end; i++) {
        instant next = end;

        for (unsigned e = 0; e < 2; e++)
            next = instant_min(next, node_next_expiry(w->ends[e].node, w->now));
        w->now = MAX(w->now, next);
        for (unsigned e = 0; e < 2; e++)
            node_on_expiry(w->ends[e].node, w->now);
        exchange(w);
    }
    w->now = end;
}

static void uplink(struct world *w, uint32_t link, uint8_t state)
{
    struct node_uplink u = {
        .link = link,
        .name = "up",
        .tier = state & 3,
        .weight = (uint16_t)(1 + (state >> 4)),
        .up = !(state & 4),
        .leaving = state & 8,
        .has_v4 = true,
        .address_hash = state >> 6,
    };

    u.name[2] = (char)('0' + link);
    node_uplink_set(w->ends[0].node, &u, w->now);
}

static void must(int r)
{
    assert(r >= 0);
}

static void split_all(struct world *w)
{
    static struct steer_table t;
    char error[STEER_ERROR_MAX];

    steer_table_init(&t);
    t.version = 1;
    must(steer_table_add_text(&t, "default mode split", error, sizeof(error)));
    steer_table_compile(&t);
    node_set_steer(w->ends[0].node, &t, w->now);
}

static void begin(struct world *w)
{
    struct node_options o[2] = { { .wait = 60 * SEC, .queue_bytes = 1 << 16, .pool_pkts = POOL_PKTS } };
    struct node_peer_spec spec[2] = {
        { .name = "agent", .endpoints = { agent_at }, .endpoints_count = 1 },
        { .name = "node", .addresses = { { { ADDR_V4, { 203, 0, 113, 2 } }, 32 } }, .addresses_count = 1 }
    };

    o[1] = o[0];
    o[1].role = ROLE_AGENT;
    o[1].announce[0] = (struct endpoint){ { ADDR_V4, { 198, 51, 100, 11 } }, 51820 };
    o[1].announce_count = 1;
    w->now = 1000 * SEC;
    for (unsigned e = 0; e < 2; e++) {
        struct rng r;

        prng_init(&w->ends[e].prng, e + 1);
        r = prng_rng(&w->ends[e].prng);
        must(identity_generate(&w->ends[e].id, &r));
        o[e].self = &w->ends[e].id;
        o[e].rng = r;
        /* The same on every machine. */
        o[e].suites = SUITE_BIT(SUITE_CHACHA20_POLY1305);
        w->ends[e].node = node_new(&o[e], w->now);
        assert(w->ends[e].node);
    }
    for (unsigned e = 0; e < 2; e++) {
        identity_peer_key(&w->ends[!e].id, o[!e].suites, &spec[e].key);
        must(node_peer_add(w->ends[e].node, &spec[e], w->now));
    }
    for (uint32_t link = 1; link <= UPLINKS; link++)
        uplink(w, link, 0);
    split_all(w);
    node_connect(w->ends[0].node, 0, NULL, 0, w->now);
    for (unsigned i = 0; i < 20; i++)
        pass(w, 50 * MSEC);
    assert(session_is_up(node_peer_session(w->ends[0].node, 0)) &&
           session_is_up(node_peer_session(w->ends[1].node, 0)));
}

/* Seals len bytes at datagram + SEALED_HEADER_LEN for the path id and hands it over; link is where it comes from. */
static void seal(struct world *w, unsigned from, uint32_t id, uint64_t counter, size_t len, uint32_t link)
{
    struct epoch *ep = node_peer_session(w->ends[from].node, 0)->cur;
    enum schedule_direction to = ep->initiator ? SCHEDULE_TO_RESPONDER : SCHEDULE_TO_INITIATOR;
    struct session_tx tx = { .at = locator(w, from, link), .len = SEALED_HEADER_LEN + len + SEALED_TAG_LEN };
    uint8_t key[32];
    struct aead *aead;

    schedule_path_key(ep->master, id, to, key);
    aead = aead_new(ep->suite, key);
    assert(aead);
    sealed_header_put(datagram, schedule_cid(ep->master, id, to), counter);
    must(aead_seal(aead, counter, datagram, SEALED_HEADER_LEN, datagram + SEALED_HEADER_LEN, len,
                   datagram + SEALED_HEADER_LEN));
    aead_free(aead);
    deliver(w, !from, &tx, datagram);
}

/* As a record of one of the sender's own paths, so that acknowledgements of it are right. */
static void send_record(struct world *w, unsigned from, unsigned slot, size_t len)
{
    struct session *s = node_peer_session(w->ends[from].node, 0);
    struct spath *p = &s->paths[slot];
    uint64_t counter;

    if (!s->cur || !p->used || !p->id || len < 4)
        return;
    counter = path_next_counter(p->path);
    path_on_sent(p->path, len + 60, NULL, datagram[SEALED_HEADER_LEN + 1] & CONTROL_FLAG_ELICITING, false, w->now);
    seal(w, from, p->id, counter, len, from == 0 ? p->spec.at.link : p->spec.at.remote.addr.bytes[3]);
}

/* Every figure that a program may ask for. */
static void ask(struct world *w, unsigned end, const uint8_t *bytes, size_t len)
{
    struct node *n = w->ends[end].node;
    struct session *s = node_peer_session(n, 0);
    struct endpoint at[NODE_ENDPOINTS_MAX];
    struct session_path_info path;
    struct config_message config;
    struct session_info info;
    struct packet_info inner;
    struct node_why why;

    session_info(s, w->now, &info);
    for (unsigned slot = 0; slot < SESSION_SLOTS; slot++)
        session_path_info(s, slot, w->now, &path);
    assert(node_peer_endpoints(n, 0, at, NODE_ENDPOINTS_MAX) <= NODE_ENDPOINTS_MAX);
    assert(node_pool_used(n) <= POOL_PKTS);
    if (node_peer_config(n, 0, &config))
        assert(config.addresses_count <= CONFIG_ADDRESSES_MAX);
    if (packet_parse(bytes, len, &inner) == 0)
        node_explain(n, &inner, &why, w->now);
}

static void own(struct world *w, unsigned end, uint32_t link, const uint8_t *bytes, size_t len)
{
    static struct steer_table table;
    struct locator_pair at = locator(w, end, link);
    struct reader r = reader_init(bytes + 1, len - 1);

    switch ((enum owner)(bytes[0] % OWNER_COUNT)) {
    case OWNER_UPLINK:
        uplink(w, link, bytes[1]);
        break;
    case OWNER_REMOVE:
        node_uplink_remove(w->ends[0].node, link, w->now);
        break;
    case OWNER_UNREACHABLE:
        node_on_unreachable(w->ends[end].node, &at, w->now);
        break;
    case OWNER_TOO_BIG:
        node_on_too_big(w->ends[end].node, &at, len > 2 ? get_be16(bytes + 1) : 0, w->now);
        break;
    case OWNER_ANSWER:
        answer_tcp(w, end, bytes + 1, len - 1);
        break;
    case OWNER_STEER:
        steer_table_init(&table);
        if (steer_table_decode(&r, &table) >= 0)
            node_set_steer(w->ends[0].node, &table, w->now);
        break;
    default:
        ask(w, end, bytes + 1, len - 1);
    }
}

static void step(struct world *w, uint8_t what, const uint8_t *bytes, size_t len)
{
    unsigned from = what >> 3 & 1, slot = what >> 4 & 7;
    struct session *s = node_peer_session(w->ends[from].node, 0);
    uint8_t *plain = datagram + SEALED_HEADER_LEN;

    len = MIN(len, (size_t)PBUF_CAPACITY);
    switch ((enum step)(what & 7)) {
    case STEP_RAW:
        memcpy(plain, bytes, len);
        send_record(w, from, slot, len);
        break;
    case STEP_CONTROL:
        memcpy(plain, (uint8_t[]){ CONTENT_CONTROL, CONTROL_FLAG_ELICITING, 0, 0 }, CONTROL_HEADER_LEN);
        put_be16(plain + 2, time64_from(w->now));
        memcpy(plain + CONTROL_HEADER_LEN, bytes, len);
        send_record(w, from, slot, CONTROL_HEADER_LEN + len);
        break;
    case STEP_DATA:
        if (len < DATA_HEADER_LEN)
            return;
        memcpy(plain, bytes, len);
        plain[0] = CONTENT_DATA;
        put_be32(plain + 4, (uint32_t)s->tx_seq + get_be32(bytes + 4));
        put_be16(plain + 10, time64_from(w->now));
        s->tx_seq++;
        send_record(w, from, slot, len);
        break;
    case STEP_MESSAGE:
        if (len > 0 && len <= STREAM_MESSAGE_MAX && session_send_message(s, bytes, len, w->now) < 0)
            return;
        break;
    case STEP_STRANGER:
        if (len < 1 || !s->cur)
            return;
        memcpy(plain, (uint8_t[]){ CONTENT_CONTROL, CONTROL_FLAG_ELICITING, 0, 0 }, CONTROL_HEADER_LEN);
        memcpy(plain + CONTROL_HEADER_LEN, bytes + 1, len - 1);
        /* Far above what the real path will ever count, and never the same. */
        seal(w, from, node_peer_session(w->ends[1].node, 0)->highest_path_id + bytes[0] - 8,
             (UINT64_C(1) << 40) + w->ends[from].stranger_counter++, CONTROL_HEADER_LEN + len - 1, 1 + slot % UPLINKS);
        break;
    case STEP_INNER:
        node_on_packet(w->ends[from].node, bytes, len, &(struct offload){ .flags = slot % 2 ? OFFLOAD_DATA_VALID : 0 },
                       w->now);
        break;
    case STEP_OWNER:
        if (len > 1)
            own(w, from, 1 + slot % UPLINKS, bytes, len);
        break;
    case STEP_TIME:
        break;
    }
    exchange(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    struct reader r = reader_init(data, size);

    memset(&w, 0, sizeof(w));
    begin(&w);
    for (unsigned i = 0; i < STEPS_MAX && !r.failed && reader_left(&r) > 0; i++) {
        uint8_t what = read_u8(&r);

        if ((what & 7) == STEP_TIME) {
            uint8_t t = read_u8(&r);

            pass(&w, (span)(t & 15) << (t >> 4)); /* up to half a second */
            exchange(&w);
        } else {
            size_t len = read_u16(&r);
            const uint8_t *bytes = read_bytes(&r, MIN(len, reader_left(&r)));

            if (bytes)
                step(&w, what, bytes, (size_t)(r.at - bytes));
        }
    }
    pass(&w, 100 * MSEC);
    node_free(w.ends[0].node);
    node_free(w.ends[1].node);
    return 0;
}
