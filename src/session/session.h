/* session/session.h - one conversation between two identities over up to 8 paths.
 *
 * A session has one handshake at a time, up to three epochs of keys (previous, current, next), one sequence of data
 * records over all paths, a reliable control stream, and a queue of packets that wait for a path. One side opens paths
 * (a node), the other accepts them (a home agent); both may start a handshake.
 *
 * Sans-IO: the owner passes datagrams in, asks for datagrams with session_output until it says false, drains what was
 * delivered, pops events, and calls session_on_expiry when session_next_expiry is due. */
#pragma once

#include "base/hash.h"
#include "base/instant.h"
#include "base/rng.h"
#include "path/path.h"
#include "path/scoreboard.h"
#include "session/adu.h"
#include "session/delivery.h"
#include "session/fairness.h"
#include "session/flowq.h"
#include "session/handshake.h"
#include "session/reseq.h"
#include "wire/frame.h"
#include "wire/message.h"

#define SESSION_SLOTS 8           /* paths: bits of the `paths` mask */
#define SESSION_TARGETS 257       /* steering rules and the default, as tunnel/steer.h */
#define SESSION_TRAIN_MAX 65000   /* bytes of a train of datagrams: below the largest UDP datagram */
#define SESSION_OUTPUT_MAX 131072 /* bytes that session_output may write: of a stream, records of two trains */
#define SESSION_GSO_MAX 64        /* segments the kernel takes in one call (UDP_MAX_SEGMENTS) */

/* A packet's note: */
#define SESSION_CSUM_OWED 1  /* its TCP or UDP checksum was not computed */
#define SESSION_TOS_SHIFT 24 /* from here on 8 bits: the DSCP and ECN with which its record is to leave */

#define SESSION_EREFUSED 1024 /* beyond all numbers of errno */

#define SESSION_REKEY_AFTER (120 * SEC)
#define SESSION_REJECT_AFTER (180 * SEC)
#define SESSION_TENTATIVE_LIFE (5 * SEC)
#define SESSION_RETRY_AFTER (5 * SEC)
#define SESSION_WAIT_DEFAULT (600 * SEC)

enum session_mode { /* how the packets of a flow use its paths; names as in 3GPP TS 23.501 5.32 where it has one */
                    MODE_STRIPE,
                    MODE_ACTIVE_STANDBY,
                    MODE_SMALLEST_DELAY,
                    MODE_LOAD_BALANCE,
                    MODE_PRIORITY,
                    MODE_REDUNDANT,
                    MODE_COUNT,
};

/* Where packets of one steering rule may go: `paths` in order of preference. */
struct session_target {
    uint8_t mode;  /* enum session_mode */
    uint8_t count; /* 0: every path */
    uint8_t slots[SESSION_SLOTS];
};

/* What carries the datagrams of a path. TCP, MPTCP: a connection, each datagram behind its length (wire/carrier.h). A
 * tunnel has UDP, and TCP where that does not pass; it drops what would wait in the connection. A session of an
 * application has all of them, and relies on those that lose nothing: session_path_transport. */
enum transport { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_MPTCP, TRANSPORT_SCTP, TRANSPORT_COUNT };
static inline bool transport_is_stream(uint8_t t)
{
    return t == TRANSPORT_TCP || t == TRANSPORT_MPTCP;
}

/* Where a datagram came from or goes to. */
struct locator_pair {
    uint32_t link;     /* the owner's number of the uplink or socket */
    struct addr local; /* ADDR_NONE: let routing choose */
    uint8_t transport; /* enum transport */
    uint8_t lane;      /* which of the uplink's source ports, from 0 */
    struct endpoint remote;
    uint32_t conn; /* the owner's number of the connection, if the other end made it; else 0 */
};

/* The same way; the local address does not count. */
static inline bool locator_pair_same(const struct locator_pair *a, const struct locator_pair *b)
{
    return a->link == b->link && a->lane == b->lane && a->transport == b->transport &&
           endpoint_equal(&a->remote, &b->remote);
}

struct session_tx {
    struct locator_pair at;
    size_t len, segment; /* segment 0: one datagram; else datagrams of that length, the last may be shorter */
    uint8_t tos;         /* DSCP and ECN of the outer header */
    bool framed;         /* bytes of a stream: each datagram stands behind its length already */
    /* Of a reliable transport that gives up what it need not bring (path_transport.partial): */
    uint32_t lifetime_ms; /* from now on each datagram may be given up after that; 0: none */
    bool once;            /* or as soon as it would be sent again */
    uint8_t slot;         /* whose path it is; SESSION_SLOTS: of none yet */
    uint16_t peer;        /* node_output: whose session it is; UINT16_MAX: nobody's */
};

struct session_path_spec {
    struct locator_pair at;
    char link[LINK_NAME_MAX + 1];
    uint8_t tier; /* enum link_tier */
    uint16_t weight;
    uint64_t rate_cap_bps;
    bool metered;     /* bytes cost */
    bool trains;      /* what it would carry is measured when it is idle, at the cost of some bytes (path/train.h) */
    uint32_t network; /* scoreboard_key.network */
};

enum session_event_type {
    SESSION_UP,          /* keys are there; `fresh`: a new session, nothing of an old one is kept */
    SESSION_REKEYED,     /* new keys, same session */
    SESSION_DOWN,        /* keys are gone or never came: handshakes go on */
    SESSION_CLOSED,      /* the peer said so, or it broke the protocol */
    SESSION_PATH_STATE,  /* slot changed state */
    SESSION_PATH_OPENED, /* acceptor: the peer opened or changed slot */
    SESSION_PATH_MOVED,  /* the peer's endpoint on slot changed and was validated */
    SESSION_MESSAGE,     /* control stream: session_message gives it */
};

struct session_event {
    enum session_event_type type;
    uint8_t slot;
    bool fresh;
    enum path_state old_state;
    const uint8_t *message; /* valid until the next session_pop_event */
    size_t message_len;
};

/* Why packets or datagrams were dropped. */
enum session_drop {
    DROP_REPLAY,        /* counter seen or too old */
    DROP_AUTH,          /* tag wrong */
    DROP_MALFORMED,     /* sealed by the peer and still wrong */
    DROP_DUPLICATE,     /* data record that came over another path already (expected when redundant) */
    DROP_UNKNOWN_PATH,  /* path not opened */
    DROP_NO_BUFFER,     /* pool empty */
    DROP_NO_PATH,       /* waited for a path and a newer packet of its flow came */
    DROP_QUEUE,         /* queue full or CoDel */
    DROP_TOO_BIG,       /* no path takes a packet of this size */
    DROP_AMPLIFICATION, /* the peer's endpoint is not validated yet */
    DROP_PIECE,         /* a piece of a packet whose others did not come */
    SESSION_DROP_COUNT,
};
const char *session_drop_name(enum session_drop d);

/* What an application wants of a path (Habib, Christin, Chuang, section 3), in its order of importance. */
enum objective {
    OBJECTIVE_NONE,
    OBJECTIVE_THROUGHPUT,
    OBJECTIVE_LATENCY,
    OBJECTIVE_JITTER,
    OBJECTIVE_LOSS,
    OBJECTIVE_COUNT,
};
#define OBJECTIVES_MAX (OBJECTIVE_COUNT - 1)

struct scheduler;

/* Of what applications write; all zero is good. */
struct session_preferences {
    uint8_t objectives[OBJECTIVES_MAX];       /* enum objective, most important first, then OBJECTIVE_NONE */
    span latency_tolerance, jitter_tolerance; /* so much worse than the best path is as good; 0: 5 ms */
    double loss_tolerance;                    /* share of records; 0: .005 */
    const struct scheduler *scheduler;        /* NULL: "earliest" */
};

/* What an application says of what it gets, and enum hws_feedback. */
enum feedback { FEEDBACK_GOOD, FEEDBACK_SLOW, FEEDBACK_LATE, FEEDBACK_COUNT };

/* The scheduler of that name, or NULL; the name of the i-th, NULL behind the last. */
const struct scheduler *scheduler_find(const char *name);
const char *scheduler_name(size_t i);

/* What a connection id leads to; owned by an epoch of a session. */
struct cid_entry {
    struct session *session;
    struct epoch *epoch;
    uint64_t cid;
    uint32_t path_id;
    bool used;
    struct aead *aead; /* made when the first record comes */
};

struct session_options {
    void *owner; /* the owner's own, given back by session_owner */
    const struct identity *self;
    const struct handshake_mask *self_mask;
    const struct rng *rng;
    struct pbuf_pool *pool;
    struct map64 *cids; /* connection id -> struct cid_entry, shared by all sessions of an owner */
    struct peer_key peer;
    uint8_t psk[32];
    bool opener;
    uint8_t suites;     /* ours */
    uint32_t features;  /* ours: FEATURES_KNOWN, less what is being tested without */
    struct shard shard; /* ours */
    uint64_t instance;  /* ours, as in a hello */
    struct terms terms; /* ours */
    bool clear;         /* payload is not encrypted, if the peer's options say so too */
    span wait;          /* how long a session is kept without any path */
    size_t queue_pkts;  /* the same, in packets */
    size_t queue_bytes; /* of packets waiting for a path */
    size_t reseq_pkts;
    size_t held_pkts;             /* of these at most so many until session_trust; 0: all */
    const uint8_t *reset_secret;  /* 32 bytes, or NULL: give no reset tokens */
    bool (*mark)(struct pbuf *b); /* as flowq_options.mark, of a packet as session_enqueue takes it; or NULL */
    const struct delivery_options *delivery; /* NULL: it carries packets alone */
    struct session_preferences preferences;  /* of what it delivers */
    struct fairness_options fairness;        /* of what we send */
    struct scoreboard *scoreboard; /* the owner's: asked and told of paths; NULL: nothing is known, and nobody hears */
};

struct session;

/* NULL when out of memory. */
struct session *session_new(const struct session_options *o, instant now);
void session_free(struct session *s);
/* Says what is known of its paths to the scoreboard now, as the last word: before session_free, or whenever. */
void session_tell_known(struct session *s, instant now);

void *session_owner(const struct session *s);
/* To write to and to read from; ask session_output afterwards. NULL unless it was asked for. It breaks with -ECONNRESET
 * when the peer ends the session or has lost its state, -ETIMEDOUT when there was no path for too long, -EPROTO when
 * the peer breaks its rules, -SESSION_EREFUSED when it refuses our terms (session_info.refused). */
struct delivery *session_delivery(struct session *s);
/* What the peer asked and prohibits; all zero before it is up. */
const struct terms *session_peer_terms(const struct session *s);
/* The same for application data units: NULL, too, until one was received, or the first is to be sent: then they are
 * made, or memory is out. */
struct adus *session_adus(const struct session *s);
struct adus *session_adus_for_sending(struct session *s);
/* Nothing more will be written or sent: the peer reads the end of the stream after all that was. */
void session_finish(struct session *s);
/* All that was written or sent has arrived or was dropped, and so has the end if it was said. */
bool session_flushed(const struct session *s);
/* The same of units alone: every one has arrived, or the peer has heard that it will not. */
bool session_units_flushed(const struct session *s);

/* Its application's verdict on what it sends, or else on what it receives; ask session_output afterwards. At any time,
 * as often as it likes: feedback.c says what follows. */
void session_feedback(struct session *s, enum feedback f, bool sending, instant now);

/* --- establishing --- */

/* Starts a handshake over every path (opener), or over the given locators (acceptor, after a restart). */
void session_connect(struct session *s, const struct locator_pair *at, size_t count, instant now);
/* An INIT of this peer was read. cookie_time: from handshake_cookie_check, or -1. 0: a response will come out of
 * session_output; 1: it must bring a cookie first; negative: ignored. */
MUST_CHECK int session_on_init(struct session *s, struct handshake_seen *seen, int64_t cookie_time,
                               const struct locator_pair *at, instant now);
/* True if the digest is of an INIT that this session knows: then the answer, if any, is queued without any public-key
 * work. */
bool session_on_known_init(struct session *s, const uint8_t digest[32], const struct locator_pair *at, instant now);
int session_on_response(struct session *s, const uint8_t *pkt, size_t len, const struct locator_pair *at, instant now);
int session_on_cookie(struct session *s, const uint8_t *pkt, size_t len, const struct locator_pair *at, instant now);
/* 0: the token is ours, a handshake has begun; -ENOENT otherwise. */
int session_on_reset(struct session *s, const uint8_t token[RESET_TOKEN_LEN], instant now);
bool session_is_up(const struct session *s);
/* Tells the peer that this session ends, by what session_output gives next. */
void session_close(struct session *s);
bool session_is_connecting(const struct session *s);

/* --- records --- */

/* pkt is opened in place. tos: with which it arrived. True if it was the peer's and new. */
bool session_on_sealed(struct cid_entry *e, uint8_t *pkt, size_t len, uint8_t tos, const struct locator_pair *at,
                       instant now);
/* One super-datagram into buf (SESSION_OUTPUT_MAX bytes); false when there is nothing to send now. */
bool session_output(struct session *s, uint8_t *buf, struct session_tx *ret, instant now);
/* The peer may hold as much of the pool as any. */
void session_trust(struct session *s);
/* Takes the caller's reference. The packet stands at data[DATA_HEADER_LEN], len counts that header too; note is
 * SESSION_CSUM_OWED or 0, and the TOS. */
void session_enqueue(struct session *s, struct pbuf *b, uint64_t flow_hash, enum flow_class c, uint16_t target,
                     instant now);
struct session_packet {
    uint8_t *data; /* may be changed in place */
    size_t len;
    uint8_t tos;        /* of the outer header of its record */
    bool csum_owed;     /* its TCP or UDP checksum is to be computed */
    struct pbuf *owner; /* a reference that the caller gives back; NULL: the bytes are in the datagram that was passed
                         * in and go with it */
};
/* Bytes of the largest inner packet that each path carries by which packets of this target may leave now. Larger ones
 * may be enqueued: they go by those that carry them, or in pieces; their sender should be told. */
size_t session_inner_mtu(const struct session *s, uint16_t target);
/* A packet that was lost since the path by which it went had become too narrow for it: its sender should be told at
 * once, since it waits for an acknowledgement. The bytes stand as for session_enqueue; the reference passes. NULL when
 * there is none. ret_fits: as session_inner_mtu. */
struct pbuf *session_pop_too_big(struct session *s, size_t *ret_fits);
/* True and the next packet for the inside. */
bool session_pop_delivered(struct session *s, struct session_packet *ret, instant now);
/* 0 or -ENOBUFS, -ENOTCONN. */
MUST_CHECK int session_send_message(struct session *s, const uint8_t *msg, size_t len, instant now);

void session_set_target(struct session *s, uint16_t index, const struct session_target *t);

/* --- paths --- */

/* Opener. The slot, or -ENOSPC. */
int session_path_add(struct session *s, const struct session_path_spec *spec, instant now);
void session_path_remove(struct session *s, unsigned slot, instant now);
struct session_path_use {
    uint8_t tier; /* enum link_tier */
    uint16_t weight;
    bool metered;
    bool leaving; /* send nothing new, for a planned handover */
};
/* Opener. */
void session_path_set(struct session *s, unsigned slot, const struct session_path_use *use, instant now);
/* Trigger 1: the link under this path came or went. */
void session_path_link(struct session *s, unsigned slot, bool up, instant now);
void session_path_error(struct session *s, unsigned slot, instant now);
/* Its uplink is in another network now: what is measured from here on is of another way. */
void session_path_network(struct session *s, unsigned slot, uint32_t network, instant now);
/* ICMP says that outer packets of this size fit, or the kernel (0) that the last one did not. */
void session_path_size_hint(struct session *s, unsigned slot, size_t outer_bytes, instant now);

/* The slot of the path of this pair, whose local address does not count, or -1. */
int session_slot_at(const struct session *s, const struct locator_pair *at);

/* What the transport of this path, a reliable one, knows of itself; its connection has ended. `at`: the path's, or
 * nothing happens. */
void session_path_transport(struct session *s, unsigned slot, const struct locator_pair *at,
                            const struct path_transport *t, instant now);
void session_path_transport_lost(struct session *s, unsigned slot, const struct locator_pair *at, instant now);
/* It has given up the record of this counter (wire/header.h), as session_tx allowed. */
void session_path_abandoned(struct session *s, unsigned slot, const struct locator_pair *at, uint64_t counter);

/* Under FAIRNESS_GROUPED: what we send by paths of the same group is to be as one flow; 0: of none. At any
 * time; a path that begins is in none. */
void session_set_group(struct session *s, unsigned slot, unsigned group, instant now);

/* A record on every path now, whatever it carries: path_metrics.probe_rtt and its neighbours tell what came of it. Ask
 * session_output afterwards. */
void session_probe(struct session *s, instant now);

enum session_park { PARK_NOT, PARK_FAR, PARK_LOSSY, PARK_COUNT };
/* Why striping leaves a path out: words; empty for PARK_NOT. */
const char *session_park_name(enum session_park p);

struct session_path_info {
    bool used;
    uint32_t id;
    struct locator_pair at;
    char link[LINK_NAME_MAX + 1];
    uint8_t tier;
    uint16_t weight;
    bool leaving, link_down, validated, open;
    uint8_t parked;     /* enum session_park */
    bool twice;         /* what a stripe sends by it goes by another, too: all of them lose too late to send it again */
    enum cc congestion; /* its control, if there is a path yet */
    struct path_metrics metrics;
    size_t mtu;    /* bytes of the outer packet that it carries, as far as is known; 0: no path yet */
    span owd_diff; /* against the fastest path */
    uint8_t group; /* paths of one number, from 1 on, share a bottleneck for what is sent; 0: none is known */
};
void session_path_info(const struct session *s, unsigned slot, instant now, struct session_path_info *ret);
/* The share of the last 50 intervals of .35 s with data on both in which both were in one group. */
double session_path_overlap(const struct session *s, unsigned slot_a, unsigned slot_b);
/* Slots by which a packet of this target might leave now, parked ones too, a bit each. */
uint8_t session_usable(const struct session *s, uint16_t target);
/* Slots by which a packet of this target would leave now, a bit each, and the first choice (or -1). */
uint8_t session_explain(const struct session *s, uint16_t target, int *first);

/* --- time, events, figures --- */

instant session_next_expiry(const struct session *s, instant now);
void session_on_expiry(struct session *s, instant now);
bool session_pop_event(struct session *s, struct session_event *ret);

struct session_info {
    bool up, connecting;
    enum suite suite;
    span handshake_age;
    uint64_t session_id;
    uint64_t rx_bytes, tx_bytes, rx_pkts, tx_pkts; /* inner */
    uint64_t drops[SESSION_DROP_COUNT];
    uint64_t reinjected, handshakes, pieces;
    uint64_t duplicated; /* records of data sent that had another path, too */
    uint64_t abandoned;  /* records that a reliable transport gave up, since nobody needed them any more */
    uint64_t insisted; /* that SCTP brings at any price, though nobody may need them: the peer's knows no other way, as
                          far as it said */
    size_t queued_bytes;
    span reseq_wait;
    struct flowq_stats flowq;
    struct reseq_stats reseq;
    uint8_t refused; /* as terms.refused: the peer did */
    bool clear;      /* payload is not encrypted, only authenticated */
};
void session_info(const struct session *s, instant now, struct session_info *ret);
