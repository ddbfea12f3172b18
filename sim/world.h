/* sim/world.h - whole nodes over simulated links in virtual time.
 *
 * A world has ends (struct node: agents, nodes and hosts), uplinks (two link_dirs and perhaps a NAT) and a core without
 * delay that routes by address. An agent stands at the core; a node hangs off it by its uplinks.
 *
 *     node A --uplink 1 (up, down, NAT)--+
 *            --uplink 2 (up, down, NAT)--+-- core -- agent (one or more endpoints)
 *     node B --uplink 1 (up, down)-------+
 *
 * Between uplinks and core there may be a trunk, which any uplinks share: two links more, behind theirs. Whoever wants
 * to crosses a link with packets of his own (sim/cross.h).
 *
 * Nothing happens but in world_run: whatever is next in virtual time is done, until the given instant. The same seed
 * and the same calls give the same trace (world->trace_hash). Watchers see every datagram and inner packet; whoever
 * finds the world wrong calls world_fail, and world_run returns at once from then on. */
#pragma once

#include "base/hash.h"
#include "node/node.h"
#include "sim/link.h"
#include "sim/tcp.h"

#define WORLD_ENDS_MAX 1024
#define WORLD_UPLINKS_MAX 8 /* of one end */
#define WORLD_LISTEN_MAX 4
#define WORLD_WATCHES_MAX 64
#define WORLD_TRUNKS_MAX 8
#define WORLD_STREAMS_MAX 64
#define WORLD_NAT_MAPPINGS 64
#define WORLD_PACKET_MAX 2048 /* bytes of a datagram */
#define WORLD_START (1000 * SEC)
#define WORLD_LINK_PACKETS 2048 /* held by one direction; 1 s of 25 Mbit/s */

struct world;
struct world_end;
struct world_uplink;

/* Something that happens at a time. Embedded in what it belongs to. */
struct world_source {
    instant at;
    uint32_t pos; /* in the heap, counted from 1; 0: not there */
    uint32_t id;  /* breaks ties */
    void (*fire)(struct world *w, struct world_source *s);
};

/* Somebody's packets on a link, which nobody routes: at its end he has them back, and then they are gone. */
struct world_crossing {
    void (*arrived)(struct world *w, struct world_crossing *c, const uint8_t *data);
};

/* Of a connection (sim/stream.h); conn 0: a datagram. */
struct world_segment {
    uint32_t conn;
    bool is_ack;
    uint64_t number;
    uint32_t ts;
    struct tcp_ack ack;
};

struct world_stream;

struct world_packet {
    struct world_packet *next;
    struct endpoint src, dst;
    struct world_uplink *uplink;     /* by which it comes down, once it was routed */
    struct world_crossing *crossing; /* NULL: a datagram */
    uint16_t len;                    /* UDP payload */
    uint8_t tos;                     /* DSCP and ECN: a `core` watcher may change them as a router does */
    uint8_t transport;
    struct world_segment segment;
    uint8_t data[WORLD_PACKET_MAX];
};

struct world_watch {
    void *ctx; /* the rest may be NULL */
    /* A datagram left an end. uplink: NULL for an agent. */
    void (*sent)(void *ctx, struct world_end *e, struct world_uplink *u, const struct world_packet *p);
    /* A datagram at the core, before it is routed; false: drop it. */
    bool (*core)(void *ctx, struct world_packet *p);
    /* Before and after a datagram is given to a node. */
    void (*arriving)(void *ctx, struct world_end *e, const struct world_packet *p);
    void (*arrived)(void *ctx, struct world_end *e, const struct world_packet *p);
    /* An inner packet came out of an end. True: it was the watcher's. */
    bool (*inner)(void *ctx, struct world_end *e, const uint8_t *pkt, size_t len);
    void (*event)(void *ctx, struct world_end *e, const struct node_event *ev);
};

/* Whoever carries the records of that transport for the ends: what it makes of them are datagrams of the world, whose
 * addresses are those of its own (world_carry). The rest may be NULL. */
struct world_carrier {
    void *ctx;
    enum transport transport;
    void (*send)(void *ctx, struct world_end *e, const struct session_tx *tx, const uint8_t *data);
    void (*arrive)(void *ctx, struct world_end *e, const struct locator_pair *at, uint8_t *data, size_t len);
    void (*before_output)(void *ctx, struct world_end *e);
    void (*path_down)(void *ctx, struct world_end *e, const struct locator_pair *at);
};

struct world_link {
    struct link_dir dir;
    struct world_source source;
    struct world_uplink *uplink; /* NULL: of a trunk, or an agent's */
    /* What comes out at its end, to be taken. */
    void (*onward)(struct world *w, struct world_link *l, struct world_packet *p);
};

/* up: from the uplinks to the core. */
struct world_trunk {
    struct world_link up, down;
};

/* RFC 4787 sections 4.1 and 5: what a mapping is of, and whom it lets in. */
enum world_nat_kind {
    WORLD_NAT_CONE,       /* of the inside alone; everybody */
    WORLD_NAT_RESTRICTED, /* of the inside alone; the endpoints to which something has left */
    WORLD_NAT_SYMMETRIC,  /* of inside and remote endpoint; that one */
};

struct world_mapping {
    bool used;
    struct endpoint remote; /* but of a cone: the one that it lets in */
    uint16_t port;
    instant last;
};

/* Who has an address at the core. */
struct world_place {
    struct world_end *end;
    struct world_uplink *uplink; /* NULL: an agent */
    uint16_t port;               /* 0: see the NAT */
};

struct world_uplink {
    struct world_end *end;
    struct node_uplink spec;                 /* as the node is told */
    struct endpoint inside[2], public_at[2]; /* IPv4, IPv6 */
    struct world_place place[2];
    struct world_link up, down;
    struct world_trunk *trunk;   /* or NULL */
    struct world_stream *stream; /* or NULL */
    bool nat;
    enum world_nat_kind nat_kind;
    span nat_timeout;
    struct world_mapping mappings[WORLD_NAT_MAPPINGS];
    uint16_t next_port;
    bool send_error;           /* sending fails as it does without a route */
    unsigned udp_lost_percent; /* of datagrams over UDP, both ways; those over TCP pass */
    uint64_t tcp_datagrams;    /* sent and received over TCP */
    uint64_t tx_datagrams, tx_bytes, rx_datagrams, rx_bytes, nat_drops;
};

struct world_end {
    struct world *world;
    unsigned index;
    char name[16];
    struct node *node;
    struct node_options options;
    struct identity identity;
    struct prng prng;
    struct node_peer_spec *peers; /* as added, for a restart */
    size_t peers_count;
    struct world_peer_state {
        struct endpoint stored[NODE_ENDPOINTS_MAX]; /* as a program would keep them in a file */
        size_t stored_count;
        unsigned ups, rekeys, downs;
        instant up_at;
        bool up;
    } * states;
    struct steer_table *steer;
    struct endpoint listen[WORLD_LISTEN_MAX];
    struct world_place listen_place[WORLD_LISTEN_MAX];
    size_t listen_count;
    struct world_link *access; /* an agent's way out, which all its nodes share; NULL: without limit */
    struct world_uplink *uplinks[WORLD_UPLINKS_MAX];
    size_t uplinks_count;
    struct world_source source;
    struct addr inner[2]; /* IPv4, IPv6: ours inside the tunnel */
    unsigned restarts;
    bool driving; /* packets from the inside wait until it is asked for datagrams */
};

struct world {
    instant now;
    uint64_t seed;
    struct prng prng;
    struct world_source **heap;
    size_t heap_count, heap_max;
    uint32_t next_source;
    unsigned at_instant;
    struct world_end *ends[WORLD_ENDS_MAX];
    size_t ends_count;
    struct map64 places;
    uint32_t next_addr;
    unsigned driving;
    struct world_packet *deferred, **deferred_end; /* for agents, until the present end is done */
    struct world_packet *free;
    struct world_packet **slabs;
    size_t slabs_count;
    const struct world_watch *watches[WORLD_WATCHES_MAX];
    size_t watches_count;
    const struct world_carrier *carrier; /* or NULL */
    struct world_trunk *trunks[WORLD_TRUNKS_MAX];
    size_t trunks_count;
    struct world_stream *streams[WORLD_STREAMS_MAX];
    size_t streams_count;
    uint64_t trace_hash, delivered, lost_at_core;
    unsigned outputs_max; /* most calls of node_output for one event */
    bool failed;
    instant failed_at;
    char error[256];
    uint8_t buf[SESSION_OUTPUT_MAX];
};

struct world_node_spec {
    uint64_t uplinks;                      /* how many */
    const char *params[WORLD_UPLINKS_MAX]; /* link_params_parse, both directions */
    uint8_t tiers[WORLD_UPLINKS_MAX];
    bool v6;                     /* outer IPv6 too */
    bool tcp;                    /* the node may go over TCP; the agent's port is that of UDP */
    size_t link_packets;         /* 0: WORLD_LINK_PACKETS */
    struct node_options options; /* what is zero is given by the world */
};

/* NULL when out of memory; so are the others below, or they assert: a test has no use for half a world. */
struct world *world_new(uint64_t seed);
void world_free(struct world *w);
void world_fail(struct world *w, const char *format, ...) PRINTF_LIKE(2, 3);
void world_watch_add(struct world *w, const struct world_watch *watch);

void world_source_init(struct world *w, struct world_source *s, void (*fire)(struct world *, struct world_source *));
/* INSTANT_NEVER takes it out. */
void world_schedule(struct world *w, struct world_source *s, instant at);
void world_run(struct world *w, instant until);
static inline void world_run_for(struct world *w, span t)
{
    world_run(w, w->now + t);
}
/* Runs until the condition holds; false when it did not within limit. */
bool world_run_until(struct world *w, bool (*done)(void *ctx), void *ctx, span limit);

/* An agent at the core, listening on one IPv4 endpoint (and an IPv6 one with v6). */
struct world_end *world_agent(struct world *w, const char *name, const struct node_options *options, bool v6);
/* What the agent sends (not what comes to it) goes through one link of these parameters, of so many packets. */
void world_agent_access(struct world_end *e, const char *params, size_t packets);
/* A node of that agent: peers on both sides, uplinks, inner addresses. Does not connect. */
struct world_end *world_node(struct world *w, const char *name, struct world_end *agent,
                             const struct world_node_spec *spec);
/* A host with uplinks and an IPv6 address inside, its identifier, which is also all of its introduction. Its program is
 * whoever watches its events. */
struct world_end *world_host(struct world *w, const char *name, const struct world_node_spec *spec);
/* The node's handshake. */
void world_connect(struct world_end *e);
bool world_is_up(const struct world_end *e, unsigned peer);
/* Frees the node object and makes a new one of the same identity; an agent calls the endpoints that it stored. */
void world_restart(struct world_end *e);
/* The same, but what the old object saves is given to the new one (node_save); change, if not NULL, may spoil it.
 * Returns what node_restore said. */
int world_restart_planned(struct world_end *e, void (*change)(uint8_t *state, size_t *len));
/* The whole machine is gone until world_restart. */
void world_stop(struct world_end *e);
void world_steer(struct world_end *e, const char *text);
/* The agent's endpoint i becomes a new one; old datagrams are lost. */
void world_agent_move(struct world_end *e, unsigned i);

struct world_uplink *world_uplink(struct world_end *e, unsigned i);
/* A trunk of these parameters, the same in both directions, of so many packets in each. */
struct world_trunk *world_trunk(struct world *w, const char *params, size_t packets);
void world_uplink_behind(struct world_uplink *u, struct world_trunk *t);
/* A packet of len IP bytes onto a link. size: of data, which comes out at its end if the packet does. */
void world_cross(struct world *w, struct world_link *l, struct world_crossing *c, const void *data, size_t size,
                 uint16_t len);
/* Both directions; text for link_params_parse. */
void world_link(struct world_uplink *u, const char *text);
void world_link_dir(struct world_link *l, const char *text);
/* A trace in place of a rate, from its beginning; it outlives the world. */
void world_link_trace(struct world_link *l, const struct link_trace *t);
/* Carrier with notice to the node, links and all. */
void world_carrier(struct world_uplink *u, bool up);
/* A new address with notice (address_hash). */
void world_uplink_move(struct world_uplink *u);
void world_uplink_tell(struct world_uplink *u);
void world_nat(struct world_uplink *u, enum world_nat_kind kind, span timeout);
/* Where whoever is at that endpoint sees the uplink's IPv4: it has just been sent something. */
struct endpoint world_seen_at(struct world_uplink *u, const struct endpoint *remote);
/* Every mapping is forgotten; the next datagram gets another port. */
void world_nat_rebind(struct world_uplink *u);

/* For sim/stream.c: a segment of that uplink's connection; from an agent, or from the uplink's end (NULL). Who listens
 * at an endpoint, or NULL. */
void world_stream_packet(struct world_uplink *u, struct world_end *agent, const struct endpoint *src,
                         const struct endpoint *dst, const struct world_segment *segment, const uint8_t *data,
                         uint16_t len);
struct world_end *world_agent_at(struct world *w, const struct endpoint *at);
/* A datagram of the carrier's leaves that end, by the uplink that `at` names. */
void world_carry(struct world_end *e, const struct locator_pair *at, const uint8_t *data, size_t len);
/* From the attacker's hand: a datagram at the core. */
void world_inject(struct world *w, const struct endpoint *src, const struct endpoint *dst, const uint8_t *data,
                  size_t len);
/* Something was done to the node by hand: what follows from it happens now. */
void world_touch(struct world_end *e);
/* The application at that end has written to the peer, or read. */
void world_peer_wake(struct world_end *e, unsigned peer);
/* An inner packet into an end. */
void world_packet_in(struct world_end *e, const uint8_t *pkt, size_t len);
