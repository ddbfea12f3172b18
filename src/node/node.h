/* node/node.h - a whole Hawser end, node, home agent or host, without IO.
 *
 * A node has uplinks and opens paths over each of them to its agent; an agent has peers, gives each its addresses and
 * routes between them and its own inside. A host has uplinks and one address of its own inside, its identifier, and
 * peers like itself, of which it calls some and some call it: no agent is between them. All are this one object:
 * sessions, steering, inner routing, handshake defence. Programs put sockets, a TUN device and a clock around it; the
 * simulator puts simulated links around it.
 *
 * The driver's loop: node_on_datagram / node_on_packet / node_uplink_set / node_on_expiry for what happened, then
 * node_pop_inner until false, node_output until false, node_pop_event until false, then sleep until node_next_expiry.
 *
 * An agent may be divided: several nodes of one identity, each with all peers but with the sessions of its own share
 * only, each driven by a thread of its own. What comes to the wrong one comes out of node_pop_handover. */
#pragma once

#include <limits.h>

#include "session/session.h"
#include "tunnel/merge.h"
#include "tunnel/steer.h"

#define NODE_PEERS_MAX 16384
#define NODE_UPLINKS_MAX 32
#define NODE_ENDPOINTS_MAX 8
#define NODE_PREFIXES_MAX 16
#define NODE_NAME_SIZE 32
#define NODE_LANES_MAX                                                                                                 \
    4 /* chosen: half of SESSION_SLOTS; what an uplink without any path needs, it takes from a later lane */
#define NODE_MTU_MAX (RECORD_MAX - RECORD_OVERHEAD) /* 1408: fits an outer MTU of 1500 over IPv6 */
#define NODE_LISTEN_LINK 0                          /* locator_pair.link of an agent's sockets; uplinks count from 1 */

struct node;

enum node_role {
    ROLE_NODE,  /* opens sessions, with its agents */
    ROLE_AGENT, /* accepts those of its nodes */
    ROLE_HOST,  /* both, with hosts; not with `delivery` */
};

struct node_options {
    const struct identity *self;
    struct rng rng;
    enum node_role role;
    struct addr identifier;    /* host: the only address inside that is its own */
    struct slice introduction; /* host: what whoever it calls is told of it, at most NODE_INTRODUCTION_MAX bytes, which
                                * stay the owner's: its chain of records (ident/chain.h) */
    uint8_t suites;            /* 0: suite_supported() */
    uint32_t features;         /* 0: FEATURES_KNOWN */
    uint16_t mtu;              /* inner, 0: 1400 */
    span wait;                 /* 0: SESSION_WAIT_DEFAULT */
    size_t pool_pkts;          /* 0: 8192 */
    size_t pool_blocks;        /* super-packets of the inside that wait or are in flight, 0: 256 */
    size_t queue_bytes;        /* of each session, 0: 4 MiB */
    unsigned merge;            /* enum merge_option */
    bool hide_dscp;            /* the outer DSCP is 0, not the inner one's */
    struct endpoint announce[NODE_ENDPOINTS_MAX]; /* agent: its other locators */
    size_t announce_count;
    const struct delivery_options *delivery; /* of each session, instead of an inside: node_peer_delivery; NULL: none */
    struct session_preferences preferences;  /* of what is delivered */
    struct terms terms;                      /* of each session */
    bool clear;                              /* of each session: as session_options.clear */
    uint64_t instance;                       /* node, with `delivery`: as in a hello; 0: drawn */
    bool strangers;                          /* agent: whoever knows its key may have sessions, one for each instance
                                              * of a key; see node_peer_forget */
    struct shard shard;                      /* agent: which share this is; the peer of index i belongs to i % 2^bits */
    struct fairness_options fairness;        /* of each session */
    bool answers_hello;                      /* tells its key to who knows only its address (wire/hello.h), */
    uint16_t carrier_port;                   /* and that port for sessions over TCP, 0: none */
    uint8_t jar_secret[32];                  /* agent: the same random bytes for each share; zero: drawn */
    struct scoreboard *scoreboard; /* the owner's, which outlives the node, and no other thread's: what is known of
                                    * paths; NULL: one of its own */
};

#define NODE_INTRODUCTION_MAX 8192 /* chosen: half of the control stream's longest message; chains have 2 KB */

struct node_peer_spec {
    char name[NODE_NAME_SIZE];
    struct peer_key key;
    uint64_t instance; /* agent of strangers: which of the programs that have the key; a host's: node/host.c */
    uint8_t psk[32];
    struct endpoint endpoints[NODE_ENDPOINTS_MAX]; /* node: where its agent is */
    size_t endpoints_count;
    struct prefix addresses[CONFIG_ADDRESSES_MAX]; /* agent: given to the node */
    size_t addresses_count;
    struct prefix allowed[NODE_PREFIXES_MAX]; /* agent: further networks behind the node */
    size_t allowed_count;
    /* agent: what it may send to; none: anything but link-local and loopback addresses */
    struct prefix reach[NODE_PREFIXES_MAX];
    size_t reach_count;
    uint16_t tcp_port; /* node: where its agent takes TCP, 0: nowhere */
    bool tcp_beside;   /* node: it does at the port of each endpoint */
};

enum node_tcp {                /* may an uplink carry its paths over TCP? */
                NODE_TCP_AUTO, /* while UDP does not pass */
                NODE_TCP_NO,
                NODE_TCP_ONLY,
};

struct node_uplink {
    uint32_t link; /* 1..NODE_UPLINKS_MAX */
    char name[LINK_NAME_MAX + 1];
    uint8_t tier;
    uint8_t tcp;        /* enum node_tcp */
    uint8_t transports; /* a bit of each enum transport: a path over each to each endpoint; 0: UDP */
    uint8_t spares;     /* likewise, beside them: in the tier `backup` */
    uint8_t lanes;      /* source ports of its UDP paths, to each endpoint one path: 1..NODE_LANES_MAX, 0: 1 */
    uint16_t weight;
    uint64_t rate_cap_bps;
    bool metered;          /* bytes cost there */
    bool trains;           /* its idle paths are measured (session_path_spec) */
    bool up;               /* carrier, an address and a route: packets can leave */
    bool has_v4, has_v6;   /* usable families */
    bool leaving;          /* planned handover: make before break */
    uint32_t address_hash; /* changes when its addresses do */
};

enum node_event_type {
    NODE_PEER_UP, /* session established; `fresh` */
    NODE_PEER_REKEYED,
    NODE_PEER_DOWN,
    NODE_PEER_CONFIG, /* node: addresses and MTU came: node_peer_config */
    NODE_PATH_STATE,  /* a path changed state: session_path_info by slot */
    NODE_PATH_MOVED,  /* the peer's endpoint changed; an agent stores it */
    NODE_STEER_SET,   /* agent: the peer's flow table was applied */
    NODE_STEER_DONE,  /* node: the agent applied ours; `fresh` false: refused */
    NODE_FALLBACK, /* node: `link` goes over TCP (`fresh`) for a reason that node_fallback gives, or UDP works again */
    /* Of a host: */
    /* Packets wait for `address` (`fresh`), and nobody here has it, or is being called: node_call, or node_unwanted.
     * Again each second. Or who has it was expected to call, and has not come through: node_call, perhaps. */
    NODE_WANTED,
    /* A peer that called us has said who it is, in `said`, or says something else by now, or the time for which it was
     * admitted is over: node_admit, or node_peer_close. */
    NODE_INTRODUCED,
    NODE_PEER_LOST, /* no path to a peer that we called works, or none has yet; again after 100 ms and then at double
                     * spans, up to 3.2 s; `fresh`: but that by a relay, each minute: node_relocate if it is elsewhere
                     * by now */
    NODE_PEER_GONE, /* it was forgotten, and nothing more comes of it; the index will be another's */
};

#define NODE_NO_PEER UINT_MAX

struct node_event {
    enum node_event_type type;
    unsigned peer; /* index; NODE_NO_PEER: of none */
    uint8_t slot;
    bool fresh;
    enum path_state old_state;
    uint32_t link;       /* NODE_FALLBACK */
    struct addr address; /* NODE_WANTED, and a host's peers' that have one */
    struct slice said;   /* NODE_INTRODUCED; valid until the next call on the node */
};

/* Why a link's paths are over TCP. */
enum node_fallback {
    FALLBACK_NONE,
    FALLBACK_BLOCKED,   /* no UDP path is active */
    FALLBACK_LOSSY,     /* UDP loses more than half */
    FALLBACK_THROTTLED, /* UDP is far slower than TCP */
    FALLBACK_WANTED,    /* NODE_TCP_ONLY */
    FALLBACK_COUNT,
};
const char *node_fallback_name(enum node_fallback f);

enum node_drop {
    NODE_DROP_SHORT,        /* not a Hawser datagram */
    NODE_DROP_VERSION,      /* another protocol version */
    NODE_DROP_MAC1,         /* handshake datagram not for our key */
    NODE_DROP_COOKIE,       /* cookie wrong or old */
    NODE_DROP_HANDSHAKE,    /* Noise said no */
    NODE_DROP_UNKNOWN_PEER, /* a key that no peer here has */
    NODE_DROP_TERMS,        /* it asks what is not given here, and was refused */
    NODE_DROP_REPLAY_INIT,  /* an INIT seen before */
    NODE_DROP_LOAD,         /* over the handshake budget */
    NODE_DROP_UNKNOWN_CID,  /* no such connection id */
    NODE_DROP_INNER_SOURCE, /* the peer may not use that inner source */
    NODE_DROP_INNER_DEST,   /* the peer may not reach that */
    NODE_DROP_INNER_ECN,    /* congestion was met, and the packet cannot tell its receiver (RFC 6040) */
    NODE_DROP_INNER_BAD,    /* not an IP packet, or larger than any path takes */
    NODE_DROP_NO_ROUTE,     /* no peer has that inner destination */
    NODE_DROP_BLOCKED,      /* a steering rule says block (or bypass, inside the tunnel) */
    NODE_DROP_NO_BUFFER,
    NODE_DROP_NO_SESSION, /* the peer has no session to wait in */
    NODE_DROP_MESSAGE,    /* a control message of the peer that makes no sense */
    NODE_DROP_HELLO,      /* a HELLO that this end does not answer */
    NODE_DROP_UNWANTED,   /* host: nobody is known at that address, or too much waits for it */
    NODE_DROP_COUNT,
};
const char *node_drop_name(enum node_drop d);

/* NULL when out of memory. */
struct node *node_new(const struct node_options *o, instant now);
void node_free(struct node *n);

/* The peer's index, -ENOSPC, -EEXIST (the key is there), -ENOMEM. */
MUST_CHECK int node_peer_add(struct node *n, const struct node_peer_spec *spec, instant now);
/* Forgets a peer, its session and its events at once; the index is given to another. Not for an agent's peers with
 * addresses. */
void node_peer_forget(struct node *n, unsigned peer);
size_t node_peers_count(const struct node *n); /* forgotten ones that have no successor yet among them */
/* It was forgotten, and its index is nobody's yet. */
bool node_peer_is_gone(const struct node *n, unsigned peer);
const struct node_peer_spec *node_peer_spec(const struct node *n, unsigned peer);
/* NULL while there is no session. */
struct session *node_peer_session(struct node *n, unsigned peer);
/* NULL while there is no session, or without that option. After writing, reading or finishing: node_peer_wake, and
 * node_output. */
struct delivery *node_peer_delivery(struct node *n, unsigned peer);
void node_peer_wake(struct node *n, unsigned peer);
/* As session_probe, of the peer's session if there is one. 0 or -ENOTCONN. */
int node_peer_probe(struct node *n, unsigned peer, instant now);
/* From now on whoever is not known is turned away. */
void node_refuse_strangers(struct node *n);
/* Node: what the agent said last; false before. */
bool node_peer_config(const struct node *n, unsigned peer, struct config_message *ret);
/* Node: a further endpoint of its agent (a name was resolved). 0, also when it is known; -ENOSPC. */
int node_peer_add_endpoint(struct node *n, unsigned peer, const struct endpoint *e, instant now);
/* Node: no more by this one. 0, -ENOENT, -EBUSY (no other is known). */
int node_peer_remove_endpoint(struct node *n, unsigned peer, const struct endpoint *e, instant now);
/* Agent, with `delivery`: where else it may be reached; every peer is told, now and when it comes. 0, -ENOSPC. */
int node_announce(struct node *n, const struct endpoint *e, bool there, instant now);
/* Handshake with a peer over every uplink; an agent gives the endpoints that it stored. */
void node_connect(struct node *n, unsigned peer, const struct endpoint *at, size_t count, instant now);

/* --- hosts --- */

/* Calls who has that address, which the key's owner was proven to have until then (INSTANT_NEVER: for good), at
 * spec->endpoints. What waits for it goes when it has answered. The index of the peer; -EALREADY: it is being called,
 * or there; as node_peer_add. */
MUST_CHECK int node_call(struct node *n, const struct node_peer_spec *spec, const struct addr *address, instant until,
                         instant now);
/* Nobody has that address, as far as is known: who wanted it is told so. */
void node_unwanted(struct node *n, const struct addr *address, instant now);
/* A peer that called us has proven to have that address until then (INSTANT_NEVER: for good): its packets pass from now
 * on, and ours to it, in whatever session it has with that key. When the time is over NODE_INTRODUCED asks again; who
 * is not admitted anew within two seconds is turned away. name: for whoever looks at it, cut to NODE_NAME_SIZE. */
void node_admit(struct node *n, unsigned peer, const char *name, const struct addr *address, instant until,
                instant now);
/* Where a peer that we called is now, in place of all that was known but the relay's channel that is in use; such a
 * channel stands last. */
void node_relocate(struct node *n, unsigned peer, const struct endpoint *at, size_t count, instant now);
/* This machine is seen elsewhere than before: NODE_PEER_LOST at once of each peer that we called and do not reach
 * directly, so that it hears of it. */
void node_seek(struct node *n, instant now);
/* Who has that address, and may be at these endpoints, is about to call: what stands before our uplinks is made to let
 * him in. When he is not there after a while NODE_WANTED says so: it may be that only he lets us in. */
void node_expect(struct node *n, const struct addr *who, const struct endpoint *at, size_t count, instant now);
/* The peer by which packets to that address go, or will when it has answered; -1: none. */
int node_peer_at(const struct node *n, const struct addr *address);

/* Validated endpoints of a peer, for storing. Returns how many. */
size_t node_peer_endpoints(struct node *n, unsigned peer, struct endpoint *ret, size_t max);
/* FALLBACK_NONE while the link's paths are over UDP. */
enum node_fallback node_fallback(const struct node *n, unsigned peer, uint32_t link);
/* The flow table: kept as a copy, resolved against the paths there are, sent to the agent. */
void node_set_steer(struct node *n, const struct steer_table *t, instant now);
const struct steer_table *node_steer(const struct node *n, unsigned peer);

/* A firewall mark does not reach a TUN device. Whoever marks a packet is made to say it in a DSCP of its own, which is
 * cleared again here: such a packet is steered by `mark`. */
struct node_mark {
    uint8_t dscp;
    uint32_t mark;
};
#define NODE_MARKS_MAX 16
void node_set_marks(struct node *n, const struct node_mark *marks, size_t count);

/* A channel of a relay (node/relay.h) as an endpoint, in a prefix that leads nowhere (RFC 6666). Hosts go there when
 * nothing else has worked for NODE_RELAY_AFTER, over one uplink, in the tier `backup`; whoever sends finds out by
 * node_is_relayed. */
#define NODE_RELAY_AFTER (2 * SEC) /* chosen: the third INIT, and a round trip of a bad path */
struct endpoint node_relay_place(uint64_t channel);
bool node_is_relayed(const struct endpoint *e);
uint64_t node_relay_channel(const struct endpoint *e);

bool node_uplink_equal(const struct node_uplink *a, const struct node_uplink *b);
void node_uplink_set(struct node *n, const struct node_uplink *u, instant now);
void node_uplink_remove(struct node *n, uint32_t link, instant now);

/* data may be a train of datagrams of segment bytes (0: one), which arrived with this TOS. Changed in place. Returns
 * how many of them were new and sealed by a peer: what came from a stranger proves nothing. */
unsigned node_on_datagram(struct node *n, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment,
                          uint8_t tos, instant now);
/* Where a packet of the inside is best read to: BLOCK_CAPACITY bytes, until the next call of this or of
 * node_on_packet. A super-packet that stands there need not be copied. */
uint8_t *node_inside_buffer(struct node *n);
/* A packet or super-packet from the inside. Its bytes are the caller's again afterwards, but for those of
 * node_inside_buffer. */
void node_on_packet(struct node *n, const uint8_t *pkt, size_t len, const struct offload *offload, instant now);
/* The kernel or the network said that this locator pair does not work now. */
void node_on_unreachable(struct node *n, const struct locator_pair *at, instant now);
/* As session_path_transport, session_path_transport_lost and session_path_abandoned, of that peer's session: session_tx
 * said whose it is. */
void node_on_transport(struct node *n, unsigned peer, unsigned slot, const struct locator_pair *at,
                       const struct path_transport *t, instant now);
void node_on_transport_lost(struct node *n, unsigned peer, unsigned slot, const struct locator_pair *at, instant now);
void node_on_abandoned(struct node *n, unsigned peer, unsigned slot, const struct locator_pair *at, uint64_t counter);
/* ICMP said that outer packets to this locator pair may have mtu_bytes; 0: the kernel refused one as too large. A hint:
 * the path's size is measured again. */
void node_on_too_big(struct node *n, const struct locator_pair *at, size_t mtu_bytes, instant now);

/* What another share of this agent must have. */
enum node_handover_kind {
    NODE_HANDOVER_INIT,     /* an INIT; datagram */
    NODE_HANDOVER_DATAGRAM, /* or train, of a session that is not here */
    NODE_HANDOVER_PACKET,   /* of the inside, for a peer of another share */
};

struct node_handover {
    uint8_t kind;     /* enum node_handover_kind */
    uint8_t to;       /* the share */
    uint8_t hops;     /* shares that it has been at */
    uint8_t tos;      /* of a datagram */
    uint16_t segment; /* of a train, 0: one datagram */
    struct locator_pair at;
    struct offload offload;
    int64_t cookie_time; /* of an INIT, -1: none */
    bool paid;           /* an INIT that was charged for where it came in; others must be known, or pay */
};

/* True and what is to be given to node_on_handover of the share ret->to. Ask after each node_on_datagram and
 * node_on_packet, and after node_pop_inner said false. The bytes are valid until the next call on the node; what came
 * by node_on_datagram or node_on_packet stays where it was: the bytes passed there must be kept until this says false.
 */
bool node_pop_handover(struct node *n, struct node_handover *ret, uint8_t **ret_data, size_t *ret_len);
/* data is changed in place, and kept as with node_on_datagram. Returns as that does. */
unsigned node_on_handover(struct node *n, const struct node_handover *h, uint8_t *data, size_t len, instant now);

/* One datagram or train, at most SESSION_OUTPUT_MAX bytes into buf. */
bool node_output(struct node *n, uint8_t *buf, struct session_tx *ret, instant now);
/* True and one packet or super-packet for the inside; valid until the next call on the node. What came by
 * node_on_datagram stays where it was received: the bytes passed there must be kept until this says false. */
bool node_pop_inner(struct node *n, struct merged *ret, instant now); /* false: ask again after node_pop_handover */
bool node_pop_event(struct node *n, struct node_event *ret);
instant node_next_expiry(const struct node *n, instant now);
void node_on_expiry(struct node *n, instant now);

/* How a connection that begins now would go. */
enum node_lane {
    NODE_LANE_PACKETS,     /* its rule says so */
    NODE_LANE_SPLIT,       /* ended here, and opened again at the agent */
    NODE_LANE_NOT_TCP,     /* its rule says split; it goes as packets, since ... */
    NODE_LANE_NO_CHANNELS, /* ... the other end does not know channels, or there is no session */
    NODE_LANE_NO_ROOM,     /* ... the other end said so lately, or there are too many here */
    NODE_LANE_AGENT,       /* ... connections that servers behind the agent begin are not split */
    NODE_LANE_ONE_PATH,    /* mode auto: as packets, since no second path is of use */
    NODE_LANE_ALIKE,       /* mode auto: as packets, since the paths are alike */
    NODE_LANE_COUNT
};

/* By what mode auto chooses, of the paths by which a connection might go. */
struct node_lane_why {
    unsigned paths;
    span rtt, spread;            /* the least round trip, and by how much the longest is longer */
    span jitter;                 /* of either direction, the largest */
    double loss;                 /* share of what is sent, the largest */
    uint64_t slow_bps, fast_bps; /* the smallest rate and the largest; 0: one is not known yet */
};

/* Which rule and paths a packet with these fields takes. */
struct node_why {
    int peer; /* -1: none */
    int rule; /* STEER_DEFAULT, or the rule's number */
    struct steer_action action;
    enum steer_class klass;
    uint8_t slots;
    int first;    /* slot of the first choice, or -1 */
    uint8_t lane; /* enum node_lane */
    struct node_lane_why lane_why;
};
void node_explain(struct node *n, const struct packet_info *info, struct node_why *ret, instant now);

/* The end: a node tells its agents, by what node_output gives next (an agent that stops is about to come back), and
 * whose connections are split hears of it by what node_pop_inner gives. */
void node_close(struct node *n);
/* The same of one peer, by either side. A host takes back that it was admitted. */
void node_peer_close(struct node *n, unsigned peer, instant now);

/* Connections of mode split. */
struct node_split_info {
    size_t count;            /* now */
    uint64_t begun, refused; /* refused: by whomever, the server too */
    uint64_t bytes;          /* of applications, both ways */
    uint64_t resumed;        /* that a process before this one began */
    uint64_t broken;         /* reset because the other end broke them off, or began anew without them */
};
/* A planned restart. First what cannot go on is broken off: give the inside what node_pop_inner gives then, and nothing
 * in or out after that; then the state of all shares, into size bytes, of which the sum of their bounds is enough.
 * Returns its length, 0: it does not fit; and how many connections go on. */
void node_before_restart(struct node *n);
size_t node_save_bound(const struct node *n);
size_t node_save(const struct node *const *nodes, size_t count, uint8_t *buf, size_t size, size_t *ret_connections);
/* Into a node that has its peers, and has sent nothing yet: what of it is this share's. 0; -EPROTONOSUPPORT: of another
 * version; -EPROTO, -ENOMEM, -EIO: then nothing of it is kept. */
MUST_CHECK int node_restore(struct node *n, const uint8_t *data, size_t len, instant now);
/* As if nothing had been restored, when another share of the agent refused: its connections are reset. */
void node_restore_undo(struct node *n, instant now);
void node_split_info(const struct node *n, struct node_split_info *ret);
void node_drops(const struct node *n, uint64_t ret[NODE_DROP_COUNT]);
size_t node_pool_used(const struct node *n);

/* What is known of paths. */
struct scoreboard *node_scoreboard(struct node *n);
/* Every session says what it knows now, as its last word: before node_free, for those who come after. */
void node_tell_known(struct node *n, instant now);
