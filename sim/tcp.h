/* sim/tcp.h - the two ends of one TCP flow in virtual time, without packets: numbers of segments go in and out.
 *
 * A sender (window, scoreboard, timers, loss detection, a congestion control of tcp_cc.h) and a receiver (what came,
 * what is acknowledged). Whoever owns them carries segments and acknowledgements: sim/traffic.c as packets through a
 * tunnel, tests/sim/tcp.c over one bare link. Both count in segments of one size, from 0; there is no handshake and no
 * end. */
#pragma once

#include "base/base.h"
#include "base/instant.h"
#include "sim/tcp_cc.h"

#define TCP_RING (1u << 16) /* twice the segments outstanding at most */
#define TCP_BLOCKS_MAX 8
#define TCP_NONE UINT64_MAX

enum tcp_loss {
    TCP_LOSS_THRESHOLD, /* three above it were acknowledged: RFC 6675, RFC 9002 6.1.1; never adapts to reordering */
    TCP_LOSS_RACK,      /* RACK-TLP with timestamps and undoing, as Linux does */
};

struct tcp_options {
    const struct tcp_cc *cc; /* NULL: tcp_cc_cubic_bare */
    enum tcp_loss loss;
};

struct tcp_ack {
    uint64_t next;   /* all below have come */
    unsigned blocks; /* newest first */
    struct {
        uint64_t first, end;
    } sack[TCP_BLOCKS_MAX];
    uint64_t duplicate; /* this segment came once more (RFC 2883), TCP_NONE: none did */
    bool has_echo;
    uint32_t echo; /* RFC 7323 timestamp */
};

/* --- sender --- */

enum tcp_seg { TCP_SEG_SENT = 1, TCP_SEG_SACKED = 2, TCP_SEG_LOST = 4, TCP_SEG_AGAIN = 8 };

struct tcp_segment {
    instant sent;
    instant first_sent, delivered_at; /* of the rate's sample, as they were when it was sent */
    uint64_t delivered;
    uint32_t older, newer; /* places in the ring, of those in flight, in the order of sending; TCP_RING: none */
    uint8_t flags;
};

struct tcp_rack {
    instant sent; /* of the newest segment that was acknowledged, and its number and round trip */
    uint64_t seg;
    span rtt, min_rtt;
    uint64_t fack; /* highest that was acknowledged in any way */
    unsigned sacked;
    bool reordering_seen;
    unsigned wnd_mult, wnd_persist;
    uint64_t duplicate_round; /* TCP_NONE: none is open */
    instant at;               /* when the next segment's window ends */
    instant probe_at;
    uint64_t probe; /* TCP_NONE, or what was next when a probe went out */
    bool probe_again, probe_now;
};

struct tcp_undo {
    bool possible, resent;
    uint64_t from;
    int pending;        /* retransmissions that no duplicate is known of */
    uint32_t resent_ts; /* of the first of them */
    double cwnd, ssthresh;
};

struct tcp_sender {
    const struct tcp_cc *cc;
    enum tcp_loss loss;
    uint64_t next, una, recover, limit; /* limit 0: none */
    double cwnd, ssthresh;              /* segments */
    uint64_t highest_sacked, pipe, lost_from;
    bool recovering, timed_out;
    bool lost_again; /* by the present acknowledgement or expiry a retransmission was found lost */
    span srtt, rttvar, rto;
    instant rto_at;
    struct tcp_segment *segs; /* TCP_RING */
    uint32_t oldest, newest;  /* of those in flight */
    /* delivery rate */
    uint64_t delivered;
    instant delivered_at, first_sent;
    /* pacing */
    double pacing; /* segments a second; 0: as soon as the window allows */
    unsigned quantum, quantum_left;
    int64_t pace_ns;
    struct tcp_rack rack;
    struct tcp_undo undo;
    struct tcp_cc_state state;
    /* what happened */
    uint64_t retransmits, timeouts, recoveries, undone, probes;
};

/* options NULL: all zero. limit: segments, 0: without end. 0 or -ENOMEM. */
MUST_CHECK int tcp_sender_init(struct tcp_sender *s, const struct tcp_options *options, uint64_t limit, instant now);
void tcp_sender_deinit(struct tcp_sender *s);
/* The next segment to put on the wire at once: true and its number; until it says no. */
bool tcp_sender_output(struct tcp_sender *s, instant now, uint64_t *ret_seg);
void tcp_sender_on_ack(struct tcp_sender *s, const struct tcp_ack *ack, instant now);
/* To call tcp_sender_on_expiry, and then tcp_sender_output. */
instant tcp_sender_next_expiry(const struct tcp_sender *s);
void tcp_sender_on_expiry(struct tcp_sender *s, instant now);
/* What its segments carry at this time: milliseconds, as in Linux. */
static inline uint32_t tcp_timestamp(instant now)
{
    return (uint32_t)(now / MSEC);
}

/* --- receiver --- */

struct tcp_receiver {
    uint64_t next, highest, last;
    uint8_t *got; /* TCP_RING */
    unsigned unacked;
    bool ack_now;
    instant ack_at;
    uint64_t duplicate;
    bool has_echo;
    uint32_t echo;
    uint64_t acked;     /* the last acknowledgement's `next` */
    uint64_t reordered; /* arrivals below the highest, first time */
    uint64_t duplicates;
};

MUST_CHECK int tcp_receiver_init(struct tcp_receiver *r);
void tcp_receiver_deinit(struct tcp_receiver *r);
/* ts NULL: the segment has none. False: it was known. */
bool tcp_receiver_on_segment(struct tcp_receiver *r, uint64_t seg, const uint32_t *ts, instant now);
/* True and an acknowledgement of at most max blocks when one is due. */
bool tcp_receiver_output(struct tcp_receiver *r, unsigned max, struct tcp_ack *ret_ack, instant now);
instant tcp_receiver_next_expiry(const struct tcp_receiver *r);
