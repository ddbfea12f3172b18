/* session/internal.h - what the files of one session share; nobody else includes it.
 *
 *   session.c    life, time, events, figures
 *   paths.c      paths, and what was in flight on them
 *   epoch.c      keys: epochs and connection ids
 *   establish.c  handshakes in progress, as initiator and as responder
 *   rx.c         sealed records in
 *   tx.c         datagrams out
 *   sched.c      which path a flow may use now
 *   known.c      what is known of paths, asked for and told
 *   park.c       which paths a striped flow is better without
 *   twice.c      when each packet of a stripe goes by two paths
 *   fairness.c   what paths take together
 *   feedback.c   what an application says of what it gets
 *   size.c       what is larger than paths carry
 *   carry.c      between paths and what applications write
 *   carry_sched.c  which path that may use now
 *   channel.c    streams of bytes beside packets */
#pragma once

#include <assert.h>

#include "ident/aead.h"
#include "ident/hash.h"
#include "ident/schedule.h"
#include "path/sbd.h"
#include "session/channel.h"
#include "session/replay.h"
#include "session/session.h"
#include "session/stream.h"
#include "wire/header.h"

#define COPIES_MAX 16 /* destinations over which one INIT is raced */
#define LOOKAHEAD 16  /* path ids that an acceptor is ready for beyond the highest it has seen */
#define EPOCH_RX_MAX (SESSION_SLOTS + LOOKAHEAD + 1)
#define DUP_MAX 256              /* copies waiting for one path */
#define DUP_LIFE (200 * MSEC)    /* chosen: a copy later than this helps nobody: resequencing gives up then */
#define RESEND_LIFE (300 * MSEC) /* from a first sending; chosen: the longest resequencing wait, and the way */
#define REINJECT_MAX 1024        /* packets of each class */
#define EVENTS_MIN 8
#define EVENTS_MAX 64
#define DELIVER_MAX 512
#define UNIT_GONE_LEN 16 /* bytes of each in its message */
#define UNIT_GONE_MAX 63 /* in one: a frame of the control stream */
#define GONE_MAX (1 + UNIT_GONE_MAX * UNIT_GONE_LEN)
#define DIGESTS_MAX 8
#define JOINING_MAX 8 /* packets */
#define TOO_BIG_MAX 8
/* Of a packet's note, before it is numbered, beside SESSION_CSUM_OWED. */
#define SESSION_PIECE 2
#define SESSION_PIECE_MORE 4        /* not the first of its packet */
#define ELEPHANT_BYTES (512 * 1024) /* chosen: a run of this size is bulk whose rate matters more than its delay */
#define TOKEN_TIMES 3
#define CLOSE_TIMES 3
#define ACCEPTOR_CALLS                                                                                                 \
    (60 * SEC) /* chosen: a node that is there answers in seconds, and its endpoint may be another's by then */
#define HANDSHAKE_PATH_ID 0 /* keys of its own, for CONFIRM */

struct epoch {
    bool initiator; /* we are */
    bool proven;    /* a record was opened under it */
    bool fresh;     /* responder: the session begins anew when it is confirmed */
    bool kept;      /* responder: but for its channels */
    bool clear;     /* both ends avoid encryption */
    enum suite suite;
    uint8_t master[32];
    uint8_t digest[32]; /* of the INIT that we answered */
    uint64_t session_id;
    uint32_t peer_features;
    struct shard peer_shard;
    struct terms peer_terms;
    int64_t cookie_time; /* -1: none */
    instant born;
    uint64_t failed; /* records that did not open */
    uint64_t confirms;
    struct cid_entry rx[EPOCH_RX_MAX];
    struct {
        struct aead *aead;
        uint32_t path_id;
        uint64_t cid, records;
    } tx[SESSION_SLOTS];
};

struct dup {
    struct pbuf *b;
    instant since;
};

struct spath {
    bool used;
    uint32_t id; /* 0: not yet opened under this session */
    struct path *path;
    bool reliable;                /* its transport loses nothing */
    bool partial;                 /* unless it is told that it may: path_transport.partial */
    struct replay_record *replay; /* owned; there while `path` is */
    uint64_t rx_highest;
    unsigned skip_in; /* records until counters are left out; 0: not drawn yet */
    /* as the scheduler sees it; refreshed at most each millisecond */
    unsigned rank;
    struct park {         /* park.c */
        uint8_t verdict;  /* enum session_park */
        uint8_t expected; /* the same, of those who used it before */
        uint8_t trial;    /* enum park_trial */
        instant differs_since, parked_at;
        span patience;     /* until a path that was parked for its losses is tried again */
        double loss;       /* share of the last window that told, */
        uint64_t lost;     /* and records */
        uint64_t rate_bps; /* that it carried when it was parked; 0: it is not */
        instant window_at;
        uint64_t sent_pkts, lost_pkts; /* at its beginning, of what is to be acknowledged */
    } park;
    span delay, least_delay, rttvar;
    uint64_t rate_bps;
    uint64_t carried_bps; /* its delivery rate when it was active last */
    bool rate_is_sought;
    double loss;
    uint16_t mtu; /* the largest record that it carries */
    struct session_path_spec spec;
    uint16_t revision;
    unsigned group; /* of paths that are coupled; 0: none */
    bool leaving, link_down, open;
    /* control that waits for a record */
    bool want_ack, want_open, want_challenge, want_response;
    unsigned want_close; /* times that the end is still to be said: a record may be lost */
    unsigned want_probe;
    bool want_summary; /* beside an acknowledgement */
    struct path_summary summary;
    unsigned want_token; /* times that the reset token is still to be said: a record may be lost */
    uint8_t challenge[8], response[8];
    instant challenge_again;
    /* RFC 9000 section 8: at most three times what came from an endpoint goes to it until it answered a challenge */
    bool validated;
    uint64_t unvalidated_rx, unvalidated_tx;
    bool migrating;
    bool old_validated;
    struct locator_pair old_at;
    instant migrate_deadline;
    struct pbuf *stash; /* numbered, popped, and did not fit the datagram before */
    struct dup *dup;    /* DUP_MAX; NULL: there never was one */
    unsigned dup_head, dup_count;
    bool copied_last;   /* what it pulled last was one of these */
    bool stash_is_copy; /* and so is that */
    struct {
        instant at;
        uint64_t tx_bytes, rx_bytes;
    } told;             /* known.c: the last time */
    span handshake_rtt; /* of the handshake that was answered by it; 0: none was, or nobody knows which copy */
};

/* A packet of which some pieces are there. */
struct joining {
    struct pbuf *b; /* NULL: unused */
    uint16_t id, have;
    uint8_t tos;
    bool csum_owed;
    instant since;
};

struct connecting {
    struct handshake_init init;
    struct hello hello;
    instant started, next_send;
    unsigned sends;
    bool use_cookie;
    struct {
        struct locator_pair at;
        uint8_t mac1[MAC1_LEN];
        bool pending, sent;
        unsigned times;  /* that this INIT was sent there, */
        instant sent_at; /* and the last */
    } copies[COPIES_MAX];
    unsigned copies_count;
    instant begun; /* the first INIT of this attempt */
};

struct responding {              /* the tentative slot: its epoch is session.next */
    uint8_t body[HANDSHAKE_MAX]; /* one RESPONSE; each copy has its own mask */
    size_t body_len;
    struct locator_pair at[COPIES_MAX];
    unsigned at_count; /* waiting to be sent */
    instant expires;
};

/* Packets to be sent again, of one class, oldest first. */
struct reinjection {
    struct {
        struct pbuf *b;
        uint8_t from; /* the slot that is in doubt, or SESSION_SLOTS */
    } items[REINJECT_MAX];
    unsigned head, count;
};

/* What a session of packets has, and one of an application does not need. */
struct packets {
    struct flowq *flowq;
    struct reseq *reseq;
    struct replay_seq seqs;
    struct reinjection reinject[FLOW_CLASS_COUNT];
    struct session_target targets[SESSION_TARGETS];
    static_assert(SESSION_TARGETS <= FLOWQ_RULES, "what waits is counted for each");
    struct session_packet deliver[DELIVER_MAX]; /* none has an owner */
    unsigned deliver_head, deliver_count;
};

struct session {
    struct session_options o;
    struct handshake_mask peer_mask;
    bool up;
    uint64_t id;
    struct epoch *cur, *prev, *next;
    struct connecting *conn;          /* or NULL: no handshake of ours is under way */
    struct responding *resp;          /* or NULL: the tentative slot is empty */
    uint8_t digests[DIGESTS_MAX][32]; /* INITs of confirmed epochs, newest first: never answered again */
    struct locator_pair confirm_at;
    unsigned confirm_left;
    instant confirm_again;

    struct spath paths[SESSION_SLOTS];
    uint32_t next_path_id; /* opener: the newest given out */
    /* acceptor: the highest id that was opened, and bit i: highest - 1 - i was too. Paths race, so ids come out of
     * order. */
    uint32_t highest_path_id;
    uint32_t opened_ids;
    uint8_t tokens[SESSION_SLOTS][RESET_TOKEN_LEN];
    bool has_token[SESSION_SLOTS];

    struct packets *packets;   /* or NULL: it has a delivery */
    struct channels *channels; /* beside packets; or NULL: there never was one */
    struct kept {
        bool is; /* the channels are those of a session that another process had */
        uint64_t id;
        instant until;
    } kept;
    struct delivery *delivery; /* or NULL */
    struct adus *adus;         /* or NULL: no unit was sent or came yet */
    struct adu_options adu_options;
    bool finishing; /* the stream ends when all units are done with */
    struct unsaid { /* of the delivery and the units, what the control stream had no room for; 0: nothing */
        uint64_t limit, unit_bytes, unit_number;
        size_t gone_len; /* 0, or of a message that is begun */
        uint8_t *gone;   /* owned, of GONE_MAX bytes; NULL: there never was any */
    } unsaid;
    bool ecf_waits; /* carry_sched.c */
    struct {
        int step; /* above 0: the peer's application gets it too late; below: too slowly */
        uint8_t said;
        instant stepped_at, said_at;
    } feedback;
    int64_t drr_deficit[SESSION_SLOTS];
    instant drr_until; /* a round is not older */
    struct stream *stream;
    uint64_t tx_seq, rx_seq_high;
    struct carried { /* by all paths, in windows of a second */
        instant since;
        uint64_t tx_bytes, bps; /* at its beginning; of the last one */
        size_t runs;            /* flows that made it; 0 while no path loses */
    } carried;
    struct twice {     /* twice.c */
        bool is;       /* packets go by two paths, */
        bool full;     /* or did until so much waited for them that it ended */
        uint8_t slots; /* of which that was judged: others carry nothing twice */
        double waits;  /* share of the ticks at which something waits for a path */
        instant since, differs_since;
        span patience; /* until it may end because something waits */
    } twice;
    uint8_t parked;   /* slots that stripes are better without, */
    uint8_t on_trial; /* and of these, who carries copies of some of their records */
    bool narrow;      /* some path carries less than RECORD_MAX */
    struct pbuf *too_big[TOO_BIG_MAX];
    unsigned too_big_count;
    uint16_t piece_id; /* of the next packet that is cut */
    struct joining joining[JOINING_MAX];
    struct sbd_groups *groups; /* or NULL: no summary came yet */
    uint8_t fastest;           /* slot, for smallest-delay with hysteresis */

    struct session_event *events; /* a ring of events_room, which grows up to EVENTS_MAX */
    unsigned events_head, events_count, events_room;
    uint8_t *popped_message; /* of the event popped last */

    instant sched_at;
    instant tick; /* slow work: resequencing wait, CoDel target, busy marks; 0: at once */
    bool quiet;   /* it comes seldom, since nothing happens: session_stir when something does */
    instant learning_until;
    bool ask_rekey; /* acceptor */
    instant ask_rekey_again;
    bool want_fresh;         /* opener: path ids ran ahead of what the peer expects: the next handshake begins anew */
    uint32_t opened_path_id; /* opener: the highest that the peer has acknowledged */
    instant last_data, alive_until, no_path_since, rekey_at;
    instant last_reset;
    struct session_info info;
};

/* session.c */
/* NULL: there is no room for it. */
struct session_event *session_event(struct session *s, enum session_event_type type, unsigned slot, bool fresh,
                                    enum path_state old);
const struct session_target *session_target(const struct session *s, unsigned index);
/* Of the slot: as sbd_groups.group. */
static inline unsigned session_group(const struct session *s, unsigned slot)
{
    return s->groups ? s->groups->group[slot] : 0;
}
/* kept: its channels go on. */
void session_restart(struct session *s, uint64_t id, bool kept, instant now);
void session_paths_start(struct session *s, instant now);
int session_path_start(struct session *s, unsigned slot, uint32_t id, instant now);
void session_path_clear(struct session *s, unsigned slot);
/* It ends for good: what is in flight on it waits for another, should there be none yet. */
void session_path_retire(struct session *s, unsigned slot, instant now);
void session_path_unstart(struct session *s, unsigned slot); /* the peer has forgotten it; its specification stays */
void session_drop_inflight(struct session *s, struct spath *p);
void session_reinject_clear(struct session *s);
void session_path_events(struct session *s, unsigned slot, instant now);
/* What the peer is told of it; and what it was told. */
struct path_open session_describe_path(const struct session *s, unsigned slot);
void session_take_description(struct spath *p, const struct path_open *o);
int session_find_path(const struct session *s, uint32_t path_id); /* slot or -1 */
bool session_may_open(const struct session *s, uint32_t path_id); /* acceptor: never opened, and near the highest */
void session_mark_open(struct session *s, uint32_t path_id);
void session_break(struct session *s); /* the peer broke the protocol, or said that it ends */
void session_reinject_path(struct session *s, unsigned slot, instant now);
void session_resend_lost(struct session *s, unsigned slot, instant now);
/* What pbuf.note holds once a packet is numbered: if it must be sent again, the same rule and class decide, and the
 * same TOS, which stands where session_enqueue found it. */
static inline uint32_t note_make(uint8_t tos, uint16_t steer, uint8_t class)
{
    return (uint32_t)tos << SESSION_TOS_SHIFT | (uint32_t) class << 16 | steer;
}
static inline uint8_t note_tos(const struct pbuf *b)
{
    return (uint8_t)(b->note >> SESSION_TOS_SHIFT);
}
static inline uint16_t note_steer(const struct pbuf *b)
{
    return (uint16_t)b->note;
}
static inline enum flow_class note_class(const struct pbuf *b)
{
    return (enum flow_class)(b->note >> 16 & 0xff);
}

/* Takes the reference of a packet or chunk that a path will not bring. Chunks go by another; of packets nobody waits
 * for one that is so late. */
void session_give_up(struct session *s, struct pbuf *b);
/* Something happens after a time in which nothing did: its slow work is due at once. */
static inline void session_stir(struct session *s)
{
    if (!s->quiet)
        return;
    s->quiet = false;
    s->tick = 0;
}
static inline void session_on_data(struct session *s, instant now) /* was sent or came */
{
    s->last_data = now;
    session_stir(s);
}
bool session_has_data(const struct session *s); /* that waits for a path, whichever */

/* rx.c */
int session_pump_messages(struct session *s, instant now);

/* park.c */
/* Each tick; m: of each slot that has a path. */
void park_refresh(struct session *s, const struct path_metrics m[SESSION_SLOTS], instant now);
void park_moved(struct park *k, instant now); /* its path is another one now */

/* What a single TCP that sees its losses would get of a path of any rate, bits a second (Mathis et al.). */
double park_lossy_bps(const struct path_metrics *m);

/* twice.c: after park_refresh, likewise */
void twice_refresh(struct session *s, const struct path_metrics m[SESSION_SLOTS], instant now);
/* How long it takes until what a path lost has been sent again: the news of it, and the way. */
span session_resend_span(const struct path_metrics *m);

/* known.c */
void known_ask(struct session *s, unsigned slot, struct path_options *o, instant now);
void known_tell(struct session *s, unsigned slot, const struct path_metrics *m, instant now); /* now and then */
void known_tell_last(struct session *s, unsigned slot, instant now);                          /* before the path goes */

/* fairness.c */
enum cc fairness_control(const struct session *s, unsigned slot); /* that this path is to have */
void fairness_refresh(struct session *s, unsigned slot);          /* before its path takes in an acknowledgement */
void fairness_regroup(struct session *s, instant now);            /* as bottlenecks are found to be shared */

/* feedback.c */
int feedback_on_message(struct session *s, struct reader *r, instant now);

/* channel.c */
bool channels_want_send(const struct session *s);
/* Of a class: it is their turn before the packets'. */
bool channels_come_first(const struct session *s, enum flow_class class);
void channels_on_packet(struct session *s, enum flow_class class, size_t bytes); /* one has left */
/* The header, the length and the note of the next chunk for this path. */
bool channels_cut(struct session *s, enum flow_class class, unsigned slot, struct pbuf *b);
/* Some channel waits for its reader (delivery_is_blocked). */
bool channels_are_blocked(const struct session *s);
/* It is the one of this chunk, and may use this path. note: as it was cut. */
bool channels_want_sooner(const struct session *s, const struct chunk_header *h, uint32_t note, unsigned slot);
/* note: as it was cut. False: not wanted any more. */
MUST_CHECK bool channels_copy(const struct session *s, const struct chunk_header *h, const struct chunk *k,
                              uint32_t note, uint8_t *out);
void channels_met_fate(struct session *s, const struct chunk_header *h, const struct chunk *k, uint32_t note,
                       bool acked);
void channels_on_chunk(struct session *s, const struct chunk_header *h, const struct chunk *k, const uint8_t *bytes);
int channels_on_message(struct session *s, uint8_t type, struct reader *r, instant now);
void channels_say(struct session *s, instant now);
void channels_end(struct session *s, int error);
void channels_free(struct session *s);

/* channel_resume.c */
/* They are, or will be, those of the session that the peer names so, and it has these features. */
bool channels_outlive(const struct session *s, uint64_t id, uint32_t features);
void channels_resume(struct session *s);                /* after a handshake in which both ends said so */
int channels_say_named(struct session *s, instant now); /* 0, or -ENOBUFS: later */
int channels_on_named(struct session *s, struct reader *r);
void channels_on_expiry(struct session *s, instant now);

/* carry.c: of no effect without a delivery or a channel. Buffers are tracked ones. */
bool carry_wants_send(const struct session *s);
bool carry_has_begun(const struct session *s);                          /* the peer knows something of it */
struct pbuf *carry_pull(struct session *s, unsigned slot, instant now); /* NULL: nothing for this path now */
struct pbuf *carry_pull_channel(struct session *s, enum flow_class class, unsigned slot, instant now);
/* Some stream waits for its reader, who may wait for what another path brings later than this one would; a copy of
 * that, for a path that has nothing else to do. Each chunk is copied once. NULL: there is none. */
bool carry_is_blocked(const struct session *s);
struct pbuf *carry_pull_late(struct session *s, unsigned slot, instant now);
MUST_CHECK int carry_gather(const struct session *s, const struct pbuf *b,
                            uint8_t *out); /* -ECANCELED: not wanted any more */
/* Of whatever is sent: what is no piece of a unit is of use until it has arrived. */
struct adu_use carry_use_of(const struct session *s, const struct pbuf *b);
void carry_lost(struct session *s, struct pbuf *b);   /* takes the reference */
void carry_forget(struct session *s, struct pbuf *b); /* the same of a copy that was never sent, or of a packet's */
void carry_told(struct session *s, unsigned slot);    /* what the path has told */
int carry_on_record(struct session *s, const uint8_t *plain, size_t len, instant now); /* a chunk or a unit's piece */
int carry_on_message(struct session *s, uint8_t type, struct reader *r);
void carry_say(struct session *s, instant now); /* limits, and what will not come */
instant carry_next_expiry(const struct session *s);
void carry_on_expiry(struct session *s, instant now);
void carry_restart(struct session *s, bool kept);
void carry_end(struct session *s, int error); /* the stream breaks, and nobody is called for its sake any more */

/* tx.c */
instant tx_next_expiry(const struct session *s);
size_t tx_outer_overhead(const struct spath *p);
void tx_copy(struct session *s, unsigned slot, struct pbuf *b,
             instant now); /* to be sent by this path, too, unless it waits too long */

/* size.c */
void size_refresh(struct session *s); /* after the ranks */
/* Of these slots those that carry a packet whose buffer holds len bytes, data header and all. */
uint8_t size_fitting(const struct session *s, uint8_t slots, size_t len);
/* The candidates for the packet at the head of a flow: those that carry it; all when none does. */
uint8_t size_candidates(const struct session *s, const struct flow *f, uint8_t candidates);
/* Cuts b, just popped from f, so that each of the slots carries each piece. Takes the reference. The first piece; the
 * others are the next of the flow. NULL: it could not be, and was dropped and counted. */
struct pbuf *size_split(struct session *s, struct flow *f, struct pbuf *b, uint8_t slots);
/* pkt is a piece. True: it was the last, and pkt is the whole packet now; else it is used up. */
bool size_join(struct session *s, struct session_packet *pkt, instant now);
void size_tick(struct session *s, instant now);
void size_clear(struct session *s);

/* epoch.c */
/* clear: both ends said so under the handshake's keys. Then the keys are others than without. */
struct epoch *epoch_new(struct session *s, const uint8_t master[32], enum suite suite, bool initiator, bool clear,
                        instant now);
void epoch_free(struct session *s, struct epoch *e);
void epoch_sync_rx(struct session *s, struct epoch *e); /* connection ids for the paths there are and may come */
void epochs_sync_rx(struct session *s);
uint64_t epoch_rx_cid(const struct session *s, const struct epoch *e, uint32_t path_id);
uint64_t epoch_tx_cid(const struct epoch *e, uint32_t path_id);
struct aead *epoch_rx_key(struct cid_entry *e);
struct aead *epoch_tx_key(struct epoch *e, unsigned slot, uint32_t path_id, uint64_t *ret_cid);
void epoch_install(struct session *s, struct epoch *e); /* current becomes previous */

/* establish.c */
bool establish_output(struct session *s, uint8_t *buf, struct session_tx *ret, instant now);
void establish_confirmed(struct session *s, instant now); /* a record came under session.next */
instant establish_next_expiry(const struct session *s);
void establish_on_expiry(struct session *s, instant now);
void establish_stop(struct session *s); /* our handshake */
/* Our handshake, if one is under way and nothing of it was sent, says what is so by now. 0 or negative. */
MUST_CHECK int establish_renew(struct session *s, instant now);
void establish_drop_response(struct session *s); /* the tentative slot */

/* sched.c */
void sched_refresh(struct session *s, instant now);
uint8_t sched_best(const struct session *s); /* usable slots of the best rank and tier */
uint8_t sched_usable(const struct session *s, const struct session_target *t); /* of its rule's, parked ones too */
uint8_t sched_candidates(const struct session *s, const struct session_target *t);
/* May the flow use the slot? ret_lasts: the answer is the same until sched_refresh. */
bool sched_may(const struct session *s, const struct session_target *t, const struct flow *f, unsigned slot,
               bool *ret_lasts);
/* What leaves now by this path arrives before all that waits would have left by the fastest (ECF). */
bool sched_is_earlier(const struct session *s, unsigned slot, unsigned fastest, uint64_t waiting_bytes);
/* What was lost of a stream, of which the reader waits for all that is behind it, is better left to the fastest of
 * these slots: this one may carry what is new. */
bool sched_leaves_lost(const struct session *s, unsigned slot, uint8_t slots, uint64_t lost_bytes);
int sched_fastest(const struct session *s, uint8_t slots);
/* Slots in the order in which they are offered packets: fastest first. Returns their number. */
unsigned sched_order(const struct session *s, uint8_t order[SESSION_SLOTS]);
span sched_spread(const struct session *s);

/* carry_sched.c */
struct sched_offer {
    unsigned slot, fastest;
    uint8_t slots;            /* candidates */
    uint64_t waiting, window; /* bytes that wait; that the peer would take */
    instant now;
};
struct scheduler {
    const char *name;
    bool copies; /* every candidate carries a copy */
    bool (*may)(struct session *s, const struct sched_offer *o);
    void (*carried)(struct session *s, unsigned slot, size_t bytes); /* or NULL */
};
const struct scheduler *sched_of(const struct session *s);
/* Of the paths as they are now; a bit each. */
struct sched_choice {
    uint8_t best;      /* usable, of the best rank and tier */
    uint8_t preferred; /* of these, what the objectives choose */
    uint8_t helpers;   /* not among them, and good enough for what has a lifetime when those cannot keep up */
};
struct sched_choice sched_choose(const struct session *s);
bool sched_may_carry(struct session *s, const struct sched_choice *c, unsigned slot, uint64_t waiting, uint64_t window,
                     instant now);
bool sched_may_help(const struct session *s, const struct sched_choice *c, unsigned slot, uint64_t waiting);
