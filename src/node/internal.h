/* node/internal.h - what the files of one node share; nobody else includes it.
 *
 *   node.c      life, peers, events, time, output
 *   defence.c   datagrams in: dispatch, handshakes, reset tokens
 *   inner.c     packets of the inside: steering in, routing and merging out
 *   split.c     TCP connections that are ended here and carried as bytes
 *   restart.c   these, handed to the process that comes after
 *   lane.c      mode auto: which of these are
 *   handover.c  what belongs to another share of the agent
 *   fallback.c  when a link's paths go over TCP, and when they come back
 *   host.c      hosts, which call each other
 *   knock.c     ways through NATs, opened for who is about to call
 *   roles.c     what makes a node a node and an agent an agent: uplinks and paths, configuration, flow tables */
#pragma once

#include "base/heap.h"
#include "ident/hash.h"
#include "node/node.h"
#include "session/guard.h"
#include "tunnel/ptb.h"
#include "wire/message.h"

#define SMALL_OUT_MAX 256
#define NODE_EVENTS_MAX 512
#define RECENT_INITS 256
#define PENDING_MAX 64 /* chosen: of the handshakes that a flood may cost a second, each is kept for a fifth of one */
#define PENDING_LIFE (2 * SESSION_TENTATIVE_LIFE)
#define HOST_EARLY_MAX 16   /* chosen: as packets wait at the other end (host.c) */
#define HOST_HELD_MAX 4     /* chosen: packets out of order, until it is admitted */
#define HOST_CALLERS_MAX 64 /* chosen: as PENDING_MAX; who is there is admitted within a round trip */
#define EXPECTED_MAX 16     /* chosen: callers who have not come through yet */
#define KNOCKS_MAX 64       /* chosen: 8 places over 8 uplinks */
#define HANDOVERS_MAX                                                                                                  \
    256 /* chosen: four batches of the longest trains of handshakes; one of trains has an entry each */

struct peer {
    struct node *node;
    unsigned index;
    bool forgotten; /* its place is free */
    bool opener;    /* we open paths to it */
    /* A stranger since `met`: in node.acquaintances until its session was up, then a host's in node.callers until it is
     * admitted. */
    struct list acquaintance;
    bool calls; /* it is in node.callers */
    instant met;
    struct node_peer_spec spec;
    struct handshake_mask mask;
    struct session *session;   /* NULL until there is something to say */
    struct list ready;         /* in node.ready while it may have something to send or to tell */
    struct heap_item expiry;   /* in node.expiries: as it was when it had nothing left to send */
    struct list call;          /* in node.calls: it may have a handshake of ours under way */
    struct steer_table *steer; /* agent: as the node sent it; node: unused, the node's own serves */
    uint8_t *table;            /* agent: parts of one that is on its way */
    size_t table_len;
    struct config_message config;
    bool has_config;
    instant split_not_before;  /* node: the agent had no room for connections */
    instant trouble_since;     /* node: no path has been active since */
    struct fallback *fallback; /* node: NODE_UPLINKS_MAX, by link - 1; NULL until it is wanted */
    /* host.c */
    bool admitted;                      /* spec.addresses[0] is proven to be its own, */
    instant admitted_until;             /* so long */
    bool proven;                        /* a path of this session has worked: the peer is there, and has its keys */
    instant alive_at;                   /* a path of it works, or it began */
    bool closed;                        /* it was told that this is the end */
    struct pbuf *early[HOST_EARLY_MAX]; /* what it sent before it was admitted; note: TOS << 1 | checksum owed */
    unsigned early_count, early_at;
    uint8_t *said; /* its introduction; owned */
    size_t said_len;
    bool untold;         /* the program is to be told of it, */
    instant told_at;     /* and was told last */
    instant used;        /* a packet went or came */
    instant ending;      /* when it is to be closed and forgotten; 0: it is not */
    instant relayed_at;  /* when it was asked last for a direct way, while only a relay's works */
    instant lost_at;     /* when the program was asked last where it is, */
    unsigned lost_times; /* and how often since a path worked */
};

struct small_out { /* cookies and reset tokens */
    struct locator_pair at;
    uint8_t data[HANDSHAKE_MAX];
    size_t len;
};

struct node {
    struct node_options o;
    struct handshake_mask self_mask;
    struct pbuf_pool pool;
    struct block_pool blocks;
    struct block *block; /* what node_inside_buffer gave out, or NULL: that was `scratch` */
    uint8_t *scratch;    /* BLOCK_CAPACITY, for when the blocks are out */
    struct map64 cids;
    struct map64 by_static; /* keyed hash of a peer's keys and an instance -> struct peer */
    bool by_instance;       /* a key may have several */
    uint64_t instance;      /* ours, drawn */
    struct map64 by_addr;   /* keyed hash of a host address -> struct peer */
    struct {                /* what inner_route found last: packets come in runs */
        struct addr dst;
        struct peer *peer;
        bool valid;
    } routed;
    uint8_t hash_key[16], reset_secret[32];
    struct peer **peers;
    size_t peers_room;  /* for which there is memory in both */
    struct peer **wide; /* those with a prefix shorter than a host's: the others are in by_addr */
    size_t wide_count;
    struct list ready;
    struct list calls; /* peers that node_connect was asked to call; some are there */
    struct heap expiries;
    struct list acquaintances; /* the oldest first */
    size_t acquaintances_count;
    struct list callers; /* likewise */
    size_t callers_count;
    size_t early_count; /* packets of theirs */
    size_t peers_count;
    struct list forgotten; /* by peer.call */
    struct node_uplink uplinks[NODE_UPLINKS_MAX];
    size_t uplinks_count;
    struct steer_table *steer;
    struct node_mark marks[NODE_MARKS_MAX];
    size_t marks_count;

    /* defence.c */
    struct guard guard;
    struct {
        uint64_t digest;
        unsigned peer;
    } recent_inits[RECENT_INITS];
    unsigned recent_inits_next;
    instant errors_at; /* roles.c */
    unsigned errors_credit;
    struct small_out small[SMALL_OUT_MAX];
    unsigned small_head, small_count;

    /* inner.c */
    struct merge *merge;
    uint8_t icmp[PTB_MAX]; /* an answer for our own inside */
    size_t icmp_len;
    instant icmp_at;
    unsigned icmp_credit;
    struct slice icmp_slice;
    struct session_packet pending; /* one that merge had no room for; data NULL: none */
    struct packet_info pending_info;

    struct scoreboard *scoreboard; /* our own, or NULL: it is the owner's */
    struct splits *splits;         /* or NULL: there never was one */
    bool closing;                  /* none begins any more */

    struct waits *waits; /* host.c; or NULL */
    instant seek_at;     /* a peer that is lost is asked for again; INSTANT_NEVER: none is */

    /* knock.c */
    struct knock {
        struct locator_pair at;
        instant due;
        uint8_t left; /* times */
    } knocks[KNOCKS_MAX];
    unsigned knocks_count;
    instant knock_at; /* not before */
    struct {
        struct addr who;
        instant until;
    } expected[EXPECTED_MAX];
    unsigned expected_count;

    /* handover.c */
    struct handover {
        struct node_handover h;
        uint8_t *data;
        size_t len;
        struct pbuf *owner; /* of the bytes, or NULL: they are the caller's */
    } handovers[HANDOVERS_MAX];
    unsigned handovers_head, handovers_count;
    struct pbuf *handed; /* owner of the bytes that node_pop_handover gave out last */

    instant tick;
    struct node_event events[NODE_EVENTS_MAX];
    unsigned events_head, events_count;
    uint64_t drops[NODE_DROP_COUNT];
};

/* node.c */
/* p: NULL, of none. What was written, for what else belongs to it. */
struct node_event *node_event(struct node *n, enum node_event_type type, struct peer *p, unsigned slot, bool fresh,
                              enum path_state old);
void node_event_fallback(struct node *n, struct peer *p, uint32_t link, bool over_tcp);
/* Must follow whatever may give this peer's session something to send, to tell or to wait for. */
void peer_touch(struct peer *p);
/* It is no stranger any more, or another kind of one. */
void peer_known(struct peer *p);
int peer_session_make(struct peer *p, instant now);
void peer_pump(struct peer *p, instant now); /* session events -> node's */
/* Who has both keys, or NULL: an X25519 key that somebody says to be his may be another's. Suites do not count. */
struct peer *node_peer_of(const struct node *n, const struct peer_key *key, uint64_t instance);
uint64_t node_addr_hash(const struct node *n, const struct addr *a);

/* defence.c */
/* `hops`: shares that the train has been at before. */
unsigned defence_on_train(struct node *n, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment,
                          uint8_t tos, uint8_t hops, instant now);
/* An INIT that another share has checked, and charged for if `paid`. */
void defence_on_handed_init(struct node *n, const struct locator_pair *at, const uint8_t *pkt, size_t len,
                            int64_t cookie_time, bool paid, instant now);

/* Something small to whoever is there, unless too much waits to be sent. */
void defence_say(struct node *n, const struct locator_pair *at, const uint8_t *data, size_t len);

/* knock.c */
instant knock_next_expiry(const struct node *n);
void knock_on_expiry(struct node *n, instant now);
void knock_tick(struct node *n, instant now);

/* handover.c */
unsigned handover_shares(const struct node *n);
uint8_t handover_share(const struct peer *p);
bool handover_is_ours(const struct peer *p);
bool handover_is_last(const struct node *n, unsigned hops); /* nobody is left who could know it */
/* owner: a reference of its own is taken. */
void handover_push(struct node *n, const struct node_handover *h, const uint8_t *data, size_t len, struct pbuf *owner);
/* A datagram, or the next one of the train of which the last one was. */
void handover_datagram(struct node *n, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment,
                       uint8_t tos, uint8_t hops);
void handover_packet(struct peer *p, const uint8_t *pkt, size_t len, const struct offload *offload, struct pbuf *owner);

/* inner.c */
struct peer *inner_route(struct node *n, const struct addr *dst);
void inner_on_packet(struct node *n, const uint8_t *pkt, size_t len, const struct offload *offload, bool handed,
                     instant now);
bool inner_source_allowed(const struct peer *p, const struct addr *src);
bool inner_destination_allowed(const struct peer *p, const struct addr *dst);
/* The target of what this end sends of such a connection; negative: it is blocked. dscp: of its packets here. */
/* TOS of the datagrams that carry the bytes of a packet with this DSCP, where no packet is copied. */
uint8_t inner_outer_tos(const struct node *n, uint8_t dscp);
int inner_steer(struct peer *p, const struct channel_open *q, uint8_t dscp, enum flow_class *ret_class);
/* Tells the packet's sender, if ICMP allows. */
void inner_refuse(struct node *n, const uint8_t *pkt, const struct packet_info *info, enum unreachable_reason reason,
                  instant now);
bool inner_mark(struct pbuf *b); /* congestion, to a packet that waits; false: it cannot hear of it */

/* split.c */
/* True: the packet, on its way to this peer, is of such a connection (or an ICMP error about one) and was taken. */
bool split_on_packet(struct peer *p, const uint8_t *pkt, const struct packet_info *info, const struct offload *offload,
                     instant now);
/* True: a connection begins with this packet, which is split (split_lane), and it was taken. */
bool split_begin(struct peer *p, const struct steer_action *action, const uint8_t *pkt, const struct packet_info *info,
                 const struct offload *offload, int target, instant now);
/* ret: by what it was chosen, of mode auto; else all zero. */
enum node_lane split_lane(const struct peer *p, const struct steer_action *a, const struct packet_info *info,
                          uint16_t target, instant now, struct node_lane_why *ret);
void splits_retarget(struct peer *p);                             /* the table is another */
void splits_pump(struct peer *p, instant now);                    /* what came by channels */
bool splits_pop(struct node *n, struct merged *ret, instant now); /* packets for the inside */
instant splits_next_expiry(const struct node *n);
void splits_on_expiry(struct node *n, instant now);
void splits_forget(struct peer *p);
void splits_close(struct node *n); /* all are broken off; splits_pop has the resets */
void splits_free(struct node *n);

/* lane.c */
/* NODE_LANE_SPLIT, _ONE_PATH or _ALIKE, and by what. The peer has a session. */
enum node_lane lane_choose(const struct peer *p, uint16_t target, instant now, struct node_lane_why *ret);

/* host.c */
int host_init(struct node *n); /* 0 or -ENOMEM */
void host_deinit(struct node *n);
/* A packet to nobody who is there: it waits. */
void host_hold(struct node *n, const uint8_t *pkt, size_t len, const struct offload *offload,
               const struct packet_info *info, instant now);
void host_on_up(struct peer *p, bool fresh, instant now);
void host_on_down(struct peer *p, instant now);
void host_on_closed(struct peer *p, instant now);                                       /* by the peer */
void host_on_refused(struct peer *p, instant now);                                      /* by the program */
int host_on_introduction(struct peer *p, const uint8_t *said, size_t len, instant now); /* 0, -EPROTO or -ENOMEM */
void host_on_path(struct peer *p, instant now);    /* a path of it is in another state */
void host_on_relayed(struct peer *p, instant now); /* only paths by a relay work */
void host_on_lost(struct peer *p, instant now);    /* it has had no path for a while */
void host_tick(struct node *n, instant now);
instant host_next_expiry(const struct node *n);
void host_on_expiry(struct node *n, instant now);
void host_forget(struct peer *p);
/* What a peer that is not admitted yet has sent is copied: its bytes stand where the next datagrams come. */
void host_keep_early(struct peer *p, instant now);
/* True: a packet of those, with its reference. */
bool host_pop_early(struct peer *p, struct session_packet *ret);

/* roles.c */
void roles_on_up(struct peer *p, bool fresh, instant now);
int roles_on_message(struct peer *p, const uint8_t *msg, size_t len, instant now);
void roles_paths(struct peer *p, instant now); /* node: a path per uplink, lane and first endpoint of each family */
void roles_retarget(struct peer *p);           /* steering rules -> slots */
void roles_tell_addresses(struct peer *p, instant now); /* ours, to who calls us */
void roles_elsewhere(struct peer *p, instant now);      /* its endpoints are others: paths follow */
void roles_tick(struct peer *p, instant now);
/* How its paths of that tier are used. */
static inline struct session_path_use roles_use(const struct node_uplink *u, uint8_t tier)
{
    return (struct session_path_use){ .tier = tier, .weight = u->weight, .metered = u->metered, .leaving = u->leaving };
}
/* A path of this uplink to that endpoint, unless there is one. True if it was opened. */
bool roles_open_path(struct peer *p, const struct node_uplink *u, const struct endpoint *to, enum transport transport,
                     uint8_t lane, instant now);

/* fallback.c */
void fallback_tick(struct peer *p, instant now);     /* each 100 ms */
void fallback_forget(struct peer *p, uint32_t link); /* the uplink has gone */
