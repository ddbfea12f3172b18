/* bench/packet-cost.c - what a packet costs in instructions: two whole nodes in memory, to be run under callgrind.
 *
 *   valgrind --tool=callgrind --toggle-collect=cost_send bench-packet-cost       instructions of sending
 *   ... --toggle-collect=cost_receive, --toggle-collect=cost_ack                 of receiving, of acknowledgements
 *
 * Theory of operation. A node and its agent shake hands; then the node is given TCP super-packets of PIECES packets,
 * one each STEP of virtual time, and each train that it gives is handed to the agent as UDP_GRO would, HALF later; what
 * the agent says comes back after another HALF. The first WARM are for the rates to settle. Of the next COUNT,
 * callgrind counts what runs inside of one of these functions, and nothing else:
 *
 *   cost_send      node_on_packet, node_output of the node
 *   cost_receive   node_on_datagram, node_pop_inner of the agent
 *   cost_ack       node_output of the agent, node_on_datagram of the node
 *
 * No clock, no socket, and seeded randomness: the count repeats to the instruction on one machine. Prints one object of
 * JSON: packets measured, and how they came out. Every byte must come out once and in order, or the exit code is 1.
 *
 * Limits: what the kernel does is not in it; valgrind knows no AVX-512, so the cipher is OpenSSL's for AVX2. */
#include "node/node.h"

#include <stdio.h>

#define STEP 100 /* microseconds, as an instant counts: 5 Gbit/s */
#define HALF (STEP / 2)
#define WARM 400 /* chosen: 40 ms, and 400 round trips */
#define COUNT 100
#define PIECES 48  /* as many as fit 64 KiB */
#define PIECE 1348 /* an inner packet of 1400 bytes less its headers */
#define HEADERS 52 /* IPv4, TCP with timestamps */
#define TRAINS 64  /* one step's */
#define PORT 51820
/* A function of its own, whatever the optimiser knows of its caller; of gcc, which alone optimises across files here.
 */
#ifdef __clang__
#define COUNTED __attribute__((noinline))
#else
#define COUNTED __attribute__((noinline, noipa))
#endif

struct end {
    struct prng prng;
    struct identity self;
    struct node *node;
    struct endpoint at;
};

struct train {
    size_t len, segment;
    uint8_t data[SESSION_OUTPUT_MAX];
};

struct trains {
    size_t count;
    struct train items[TRAINS];
};

struct cost {
    struct end node, agent;
    struct trains up, down;
    uint8_t super[HEADERS + PIECES * PIECE];
    struct offload offload;
    uint64_t given, came, supers; /* bytes of payload, written super-packets */
    bool checks, bad;
};

void cost_send(struct cost *c, instant now);
void cost_receive(struct cost *c, instant now);
void cost_ack(struct cost *c, instant now);

static void output(struct end *e, struct trains *to, instant now)
{
    struct session_tx tx;

    while (to->count < TRAINS && node_output(e->node, to->items[to->count].data, &tx, now)) {
        to->items[to->count].len = tx.len;
        to->items[to->count].segment = tx.segment;
        to->count++;
    }
}

static void input(struct end *e, const struct end *from, uint32_t link, struct trains *t, instant now)
{
    struct locator_pair at = { .link = link, .local = e->at.addr, .remote = from->at };

    for (size_t i = 0; i < t->count; i++)
        node_on_datagram(e->node, &at, t->items[i].data, t->items[i].len, t->items[i].segment, 0, now);
    t->count = 0;
}

/* What comes out must be what went in: numbers always, bytes until warm, for looking at them would be counted. */
static void inner(struct cost *c, instant now)
{
    struct merged m;

    while (node_pop_inner(c->agent.node, &m, now)) {
        if (m.len <= HEADERS || m.slices[0].len < HEADERS || get_be32(m.slices[0].data + 24) != (uint32_t)c->came)
            c->bad = true;
        for (size_t i = 0; c->checks && i < m.count; i++) {
            size_t skip = i == 0 ? HEADERS : 0, at = HEADERS + c->came % (PIECES * PIECE), len = m.slices[i].len - skip;

            if (len > sizeof(c->super) - at || memcmp(m.slices[i].data + skip, c->super + at, len) != 0)
                c->bad = true;
            c->came += len;
        }
        if (!c->checks)
            c->came += m.len - HEADERS;
        c->supers++;
    }
}

static void send(struct cost *c, instant now)
{
    node_on_packet(c->node.node, c->super, sizeof(c->super), &c->offload, now);
    output(&c->node, &c->up, now);
}

static void receive(struct cost *c, instant now)
{
    for (size_t i = 0; i < c->up.count; i++) {
        struct locator_pair at = { .local = c->agent.at.addr, .remote = c->node.at };
        struct train *t = &c->up.items[i];

        node_on_datagram(c->agent.node, &at, t->data, t->len, t->segment, 0, now);
        inner(c, now);
    }
    c->up.count = 0;
}

/* The names that callgrind is told: the same work, once warm. */
COUNTED void cost_send(struct cost *c, instant now)
{
    send(c, now);
}

COUNTED void cost_receive(struct cost *c, instant now)
{
    receive(c, now);
}

COUNTED void cost_ack(struct cost *c, instant now)
{
    output(&c->agent, &c->down, now);
    input(&c->node, &c->agent, 1, &c->down, now + HALF);
}

static void expire(struct end *e, instant now)
{
    struct node_event ev;

    if (node_next_expiry(e->node, now) <= now)
        node_on_expiry(e->node, now);
    while (node_pop_event(e->node, &ev))
        ;
}

/* Everything that is due, without a packet from the inside. */
static void idle(struct cost *c, instant now)
{
    expire(&c->node, now);
    expire(&c->agent, now);
    output(&c->node, &c->up, now);
    receive(c, now + HALF);
    output(&c->agent, &c->down, now + HALF);
    input(&c->node, &c->agent, 1, &c->down, now + STEP);
}

static void make_super(struct cost *c)
{
    static const uint8_t options[] = { 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1 }; /* timestamps, RFC 7323 appendix A */
    uint8_t *p = c->super;

    p[0] = 0x45;
    put_be16(p + 2, sizeof(c->super));
    put_be16(p + 6, 0x4000);
    p[8] = 64;
    p[9] = PROTO_TCP;
    put_be32(p + 12, 0x0a090002);
    put_be32(p + 16, 0x0a080001);
    packet_fix_v4_header(p);
    put_be16(p + 20, 40000);
    put_be16(p + 22, 5201);
    p[32] = (HEADERS - 20) / 4 << 4;
    p[33] = TCP_ACK;
    put_be16(p + 34, 512);
    memcpy(p + 40, options, sizeof(options));
    for (size_t i = HEADERS; i < sizeof(c->super); i++)
        p[i] = (uint8_t)(i * 31 >> 3);
    put_be16(p + 36, csum_fold(csum_pseudo(p, PROTO_TCP, sizeof(c->super) - 20)));
    c->offload = (struct offload){ .flags = OFFLOAD_NEEDS_CSUM,
                                   .gso_type = OFFLOAD_GSO_TCPV4,
                                   .hdr_len = HEADERS,
                                   .gso_size = PIECE,
                                   .csum_start = 20,
                                   .csum_offset = 16 };
}

static int make_end(struct end *e, uint64_t seed, bool agent, uint32_t addr, uint16_t port)
{
    struct node_options o = { .self = &e->self,
                              .role = agent ? ROLE_AGENT : ROLE_NODE,
                              .merge = MERGE_CSUM | MERGE_TCP | MERGE_UDP };

    prng_init(&e->prng, seed);
    o.rng = prng_rng(&e->prng);
    if (identity_generate(&e->self, &o.rng) < 0)
        return -1;
    e->at = (struct endpoint){ .addr = addr_v4(addr), .port = port };
    e->node = node_new(&o, 1 * SEC);
    return e->node ? 0 : -1;
}

static int make_pair(struct cost *c, instant now)
{
    struct node_peer_spec to_agent = { .name = "agent", .endpoints_count = 1 }, to_node = { .name = "node" };
    struct node_uplink up = { .link = 1, .name = "up1", .weight = 1, .up = true, .has_v4 = true, .address_hash = 1 };

    if (make_end(&c->node, 1, false, 0xc6120001, 40000) < 0 || make_end(&c->agent, 2, true, 0xc6120002, PORT) < 0)
        return -1;
    identity_peer_key(&c->agent.self, suite_supported(), &to_agent.key);
    identity_peer_key(&c->node.self, suite_supported(), &to_node.key);
    to_agent.endpoints[0] = c->agent.at;
    to_node.addresses[0] = (struct prefix){ .addr = addr_v4(0x0a090002), .len = 32 };
    to_node.addresses_count = 1;
    if (node_peer_add(c->node.node, &to_agent, now) < 0 || node_peer_add(c->agent.node, &to_node, now) < 0)
        return -1;
    node_uplink_set(c->node.node, &up, now);
    node_connect(c->node.node, 0, NULL, 0, now);
    return 0;
}

int main(void)
{
    static struct cost c;
    instant now = 1 * SEC;
    uint64_t came = 0, supers = 0;
    struct session_info info;

    if (make_pair(&c, now) < 0)
        return 1;
    make_super(&c);
    for (int i = 0; i < 1000; i++, now += STEP) /* .1 s: handshake, path validated, settings come */
        idle(&c, now);
    c.checks = true;
    for (int i = 0; i < WARM + COUNT; i++, now += STEP) {
        put_be32(c.super + 24, (uint32_t)c.given);
        c.given += PIECES * PIECE;
        expire(&c.node, now);
        expire(&c.agent, now);
        if (i < WARM) {
            send(&c, now);
            receive(&c, now + HALF);
            output(&c.agent, &c.down, now + HALF);
            input(&c.node, &c.agent, 1, &c.down, now + STEP);
            came = c.came;
            supers = c.supers;
        } else {
            c.checks = false;
            cost_send(&c, now);
            cost_receive(&c, now + HALF);
            cost_ack(&c, now + HALF);
        }
    }
    came = c.came - came;
    supers = c.supers - supers;
    if (!node_peer_session(c.node.node, 0))
        return 1;
    session_info(node_peer_session(c.node.node, 0), now, &info);
    printf("{\"packets\":%u,\"bytes\":%llu,\"written\":%llu,\"queued\":%zu,\"suite\":%d}\n", COUNT * PIECES,
           (unsigned long long)came, (unsigned long long)supers, info.queued_bytes, (int)info.suite);
    c.bad |= came != (uint64_t)COUNT * PIECES * PIECE;
    node_free(c.node.node);
    node_free(c.agent.node);
    return c.bad;
}
