/* path/path.h - one path: everything that is measured and decided about a single lower session between two locators.
 *
 * A path sends sealed records numbered by a counter that never repeats in the path's life, and receives the peer's.
 * This room keeps, for the sending direction, what is in flight, round-trip time, delivery rate, congestion state and
 * pacing; for the receiving direction, what is to be acknowledged, one-way delay and jitter; and for both, whether the
 * path is alive. It seals nothing and knows no session: the owner asks when it may send, says what it sent and what
 * arrived, and pops events.
 *
 * Time is an argument. The owner calls path_on_expiry when path_next_expiry is due. */
#pragma once

#include "base/instant.h"
#include "base/pbuf.h"
#include "path/cc.h"
#include "wire/ack.h"
#include "wire/frame.h"

/* Shortest suspicion: RFC 9002's granularity is 1 ms; 30 ms keeps a scheduler's hiccup from looking like a fault. */
#define PATH_SUSPECT_MIN (30 * MSEC)
#define PATH_ACK_DELAY_MAX (10 * MSEC) /* chosen: a third of the shortest suspicion */
#define PATH_PROBE_BUSY (150 * MSEC)   /* idle path while another carries data */
#define PATH_PROBE_IDLE (5 * SEC)      /* idle path while nothing is carried; also keeps NAT bindings */
#define PATH_DOWN_BACKOFF_MIN (250 * MSEC)
#define PATH_DOWN_BACKOFF_MAX (5 * SEC)

/* The head-of-line rule of reliable transports: nothing came of what is in flight for the longer of PATH_STALL_MIN and
 * two round trips, and the transport is in trouble: SUSPECTED; PATH_STALL_PATIENCE later in any case. PATH_STALL_LIFE
 * of that, and it is DOWN: the owner opens another connection. */
#define PATH_STALL_MIN (200 * MSEC)
#define PATH_STALL_PATIENCE (200 * MSEC) /* chosen: its timer, behind a probe of the tail, is later than the rule */
#define PATH_STALL_LIFE (1500 * MSEC)

#define PATH_RESEND_LOSS .25 /* chosen: above every radio in use, below a policer or a link that breaks */

enum path_state {
    PATH_PROBING, /* new or returning: probed, not used while another path is active */
    PATH_ACTIVE,
    PATH_SUSPECTED, /* an acknowledgement is overdue: new data is duplicated, data in flight reinjected */
    PATH_DOWN,
    PATH_STATE_COUNT,
};

enum path_why { /* the cause of the newest change of state; path_why_name gives words */
                PATH_WHY_NEW,
                PATH_WHY_VALIDATED,   /* replies came: 3 probes and a train */
                PATH_WHY_ACK_OVERDUE, /* data or probe without acknowledgement */
                PATH_WHY_PROBES_LOST, /* three in a row */
                PATH_WHY_LINK_DOWN,   /* the interface, its address or its route went */
                PATH_WHY_SEND_ERROR,  /* the kernel refused to send, or ICMP said unreachable */
                PATH_WHY_ACKED,       /* an acknowledgement came after all */
                PATH_WHY_COUNT,
};

enum path_event_type {
    PATH_EVENT_STATE, /* the state changed; see path->state, path->why and event.old_state */
    PATH_EVENT_PROBE, /* send event.train ack-eliciting records now, whatever path_may_send says */
    PATH_EVENT_ACK,   /* send an acknowledgement now (path_make_ack); asked again in 10 ms if none is made */
};

struct path_event {
    enum path_event_type type;
    enum path_state old_state;
    unsigned train; /* PATH_EVENT_PROBE: records to send back to back, >= 1 */
};

struct path;

struct path_options {
    span initial_rtt; /* measured by the handshake, or 0: 333 ms (RFC 9002 6.2.2) */
    struct {          /* what others measured of it lately; 0: nothing is known */
        span srtt, min_rtt;
        uint64_t rate_bps; /* what one path more may have of it */
    } known;
    uint64_t rate_cap_bps;  /* the owner's ceiling for sending, 0: none */
    size_t record_bytes;    /* bytes of a full record on the wire, IP and UDP included: the congestion unit */
    uint64_t first_counter; /* of the first record; nothing below is ever acknowledged */
    enum cc congestion;     /* the control */
    bool summaries;         /* what arrives is measured for who looks for shared bottlenecks: path_take_summary */
    bool trains;            /* what it would carry is measured when it is idle: path_train_record */
    bool reliable;          /* the transport loses nothing, and governs itself: CC_KERNEL, path_on_transport */
};

/* What a reliable transport knows of itself. 0: not known. */
struct path_transport {
    size_t room_bytes; /* that may be handed over now: more would wait in it */
    span rtt, rttvar, min_rtt;
    uint64_t rate_bps; /* delivered, IP bytes or a little less */
    bool rate_is_lower_bound;
    uint64_t sent_bytes, resent_bytes; /* since it began; resent: less those that were not needed */
    uint64_t acked_bytes;              /* likewise: by the other end's transport */
    bool troubled;                     /* it recovers from a loss, or its retransmission timer has backed off */
    bool partial; /* what is of no use any more it gives up, if it is asked to (RFC 3758): path_on_abandoned */
};

/* What the delivery of one acknowledgement means to the owner. */
struct path_ack_result {
    unsigned acked_pkts, lost_pkts;
    size_t acked_bytes, lost_bytes;
    uint64_t newest_acked; /* counter */
};

/* NULL when out of memory. The in-flight log starts at 32 records and grows by doubling to PATH_INFLIGHT_MAX. */
struct path *path_new(const struct path_options *o, instant now);
/* Accepts NULL; gives back every packet buffer it holds. */
void path_free(struct path *p);

/* --- sending --- */

/* True when pacing, the congestion window and the in-flight log allow one more record of wire_bytes (IP and UDP
 * headers included) now. The state is not looked at: whether a path is used is the owner's decision. Pacing lets
 * 1 ms of rate go back to back, one record at least. */
bool path_may_send(const struct path *p, size_t wire_bytes, instant now);
/* When pacing will allow the next record: may be in the past; INSTANT_NEVER when the window is closed. */
instant path_next_send(const struct path *p);
/* The counter for the next record; each call of path_on_sent uses it up. */
uint64_t path_next_counter(const struct path *p);
/* Says that the record path_next_counter() was sent. `data` (may be NULL) is kept with a reference of its own until
 * acknowledged, lost or taken. `eliciting`: the peer will acknowledge it. `more`: the owner had more to send on this
 * path than it allowed: false marks the delivery-rate sample as application-limited. */
void path_on_sent(struct path *p, size_t wire_bytes, struct pbuf *data, bool eliciting, bool more, instant now);
/* It may send, and the owner has nothing for it now: what is delivered meanwhile says little about its rate. */
void path_on_app_limited(struct path *p);
/* --- a reliable transport: no record is lost while its connection stands, or overtaken (but over SCTP); nothing is
 * paced here. Nothing may be sent before the first of these. */
void path_on_transport(struct path *p, const struct path_transport *t, instant now);
/* Its connection is gone, and with it what was in flight: the path is down until a probe, which opens another, is
 * answered. */
void path_on_transport_lost(struct path *p, instant now);
/* It has given this record up: nobody needed it any more. It may have arrived. The path counts it as lost and tells so
 * (path_take_told); while nothing else is acknowledged it waits as for one that is in flight. False: it was not. */
bool path_on_abandoned(struct path *p, uint64_t counter);
/* Leaves the next counter out: no record will have it, and who acknowledges it acknowledges what it did not get (RFC
 * 9000 section 21.4). The last 32 are remembered. */
void path_skip_counter(struct path *p, instant now);
/* 0, or -EPROTO when it acknowledges what was never sent. */
int path_on_ack(struct path *p, const struct ack *a, instant now, struct path_ack_result *ret);
/* For reinjection: takes the oldest data buffer still in flight out of the log (its reference passes to the caller;
 * the record itself stays counted in flight). NULL when there is none left. When a path goes down nothing is in flight
 * any more, but what was can be taken until the path is active again. */
struct pbuf *path_take_inflight(struct path *p);
/* For sending again: the data of a record that was found lost while the path works; its reference passes. NULL when
 * there is none left. Of a path that loses more than PATH_RESEND_LOSS nothing is given: more of the same would not help
 * it. */
struct pbuf *path_take_lost(struct path *p);

/* Tracked data (pbuf.tracked) of a record that was acknowledged or found lost, whatever the path loses; its reference
 * passes. NULL when there is none. Ask after path_on_ack, path_on_sent and path_on_expiry. What path_take_inflight gave
 * is not told of. */
struct pbuf *path_take_told(struct path *p, bool *ret_acked);

/* Tracked data of the oldest record, of which `again` is not set, that should have been acknowledged by now, or will
 * not arrive within that time, since what is in flight before it takes longer at the rate that was measured; it stays
 * the path's. NULL: there is none. */
struct pbuf *path_late(const struct path *p, span within, instant now);
/* How long a record takes that leaves now: half a round trip, or longer if what is in flight is. */
span path_arrival(const struct path *p);

/* --- size --- */

/* Bytes of the largest record that the path carries, as far as is known, IP and UDP included (path/pmtu.h). */
size_t path_mtu(const struct path *p);
/* 0, or the bytes on the wire of an ack-eliciting record without data that is to be sent now to measure the path's
 * size, whatever path_may_send says; path_on_size_probe, and not path_on_sent, says that it was. */
size_t path_size_probe(const struct path *p, instant now);
void path_on_size_probe(struct path *p, size_t wire_bytes, instant now);
/* Likewise one that is to be sent now, again and again until it is 0, to measure what an idle path would carry (trains,
 * path/train.h); path_on_train_record says that it was. */
size_t path_train_record(const struct path *p, instant now);
void path_on_train_record(struct path *p, size_t wire_bytes, instant now);
/* ICMP, or errno with 0, claims that no more than this fits: it is tried, not believed. */
void path_on_size_hint(struct path *p, size_t wire_bytes, instant now);

/* Data of a large record that was lost, once it is clear whether the path is too narrow for it (path_mtu); its
 * reference passes. NULL when there is none. At most 8 are kept, the newest. */
struct pbuf *path_take_large_lost(struct path *p);

/* --- receiving --- */

/* A record that was opened and is not a replay. ts64: the sender's clock in units of 64 us, 16 bits, as on the wire. */
void path_on_received(struct path *p, uint64_t counter, size_t wire_bytes, bool eliciting, uint16_t ts64, instant now);
/* True if an acknowledgement is worth adding to a record that leaves anyway. */
bool path_ack_pending(const struct path *p);
/* Fills everything but path_id and marks it as sent. False when nothing was received yet. */
bool path_make_ack(struct path *p, instant now, struct ack *ret);
/* True and what was measured of what arrives, all but path_id, once each SBD_T while data does (path/sbd.h). Ask it a
 * few times as often. */
bool path_take_summary(struct path *p, instant now, struct path_summary *ret);

/* --- liveness --- */

void path_on_link(struct path *p, bool up, instant now); /* trigger 1: netlink */
void path_on_send_error(struct path *p, instant now);    /* trigger 2: errno or ICMP */
/* The owner says whether other paths carry data (probe each PATH_PROBE_BUSY) or nothing moves (PATH_PROBE_IDLE). */
void path_set_busy(struct path *p, bool busy, instant now);
/* No other path is active: come back on the first reply, without the hold, and probe often while down. Holds until the
 * path is active; may be called again at any time. */
void path_hurry(struct path *p, instant now);
/* Data waits, and the paths that are left carry less than half of what this one did: it comes back sooner. */
void path_set_missed(struct path *p, bool missed);
/* The owner wants to know now: the next eliciting record, which PATH_EVENT_PROBE asks for, is waited for by itself. One
 * that is still waited for is given up. */
void path_probe(struct path *p);
void path_set_rate_cap(struct path *p, uint64_t bps);
/* Another congestion control, in the middle of whatever goes on: it begins with what the one before knew. */
void path_set_congestion(struct path *p, enum cc kind, instant now);
enum cc path_congestion(const struct path *p);
/* For controls that are coupled: what this path brings, and what all of them are, for its next acknowledgement. */
void path_get_share(const struct path *p, struct cc_share *ret);
void path_set_coupling(struct path *p, const struct cc_coupling *c);
/* Something is in flight, and the round trip is known. */
bool path_is_carrying(const struct path *p);
/* It is idle: memory that it needed when it was not is given back. */
void path_rest(struct path *p);
/* The address changed under it (NAT rebinding, roaming): measurements start again, the state stays. */
void path_on_migrated(struct path *p, instant now);
instant path_next_expiry(const struct path *p);
void path_on_expiry(struct path *p, instant now);
/* True and one event, oldest first; false when none is left. At most 16 wait; the oldest goes when there are more. */
bool path_pop_event(struct path *p, struct path_event *ret);

/* --- what is known --- */

struct path_metrics {
    enum path_state state;
    enum path_why why;
    instant state_since;
    span srtt, rttvar, min_rtt; /* 0 before the first sample */
    span rx_jitter;             /* RFC 3550 interarrival jitter of what the peer sends */
    span rx_owd; /* smoothed one-way delay of what arrives, plus an offset common to all paths of two hosts: compare
                  * with path_owd_difference, since it wraps */
    span rx_owd_peak; /* the highest of about the last second, likewise */
    span queue;       /* srtt - min_rtt, >= 0 */
    double loss; /* share that was lost of the records that are to be acknowledged, smoothed over about the last 500 */
    uint64_t rate_bps;        /* measured delivery rate (bottleneck bandwidth), IP bytes; 0 before the first sample */
    bool rate_is_sought;      /* it grows still: the path has not been filled yet */
    bool rate_is_lower_bound; /* every sample so far was application-limited */
    uint64_t idle_bps;        /* what the path would carry, measured when it was idle; 0: not yet */
    bool idle_is_lower_bound;
    uint64_t train_bytes; /* sent for that, of tx_bytes */
    uint64_t rx_rate_bps; /* arrival rate over the last second */
    size_t inflight_bytes, window_bytes;
    uint64_t pacing_bps;
    uint64_t tx_pkts, tx_bytes, rx_pkts, rx_bytes;
    uint64_t tx_eliciting_pkts, lost_pkts; /* of tx_pkts: are to be acknowledged; of these: lost */
    uint64_t probes_sent, probes_answered; /* of path_probe */
    span probe_rtt;                        /* of the newest that was answered, less what the peer waited */
};

/* a - b of two rx_owd, right across their wrap of 2^22 us. */
span path_owd_difference(span a, span b);
void path_get_metrics(const struct path *p, instant now, struct path_metrics *ret);
enum path_state path_state(const struct path *p);
const char *path_state_name(enum path_state s);
const char *path_why_name(enum path_why w);
