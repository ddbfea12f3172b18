/* tunnel/tcp_internal.h - what the files of tcp.h share: tcp.c (life, states, timers), tcp_wire.c (headers),
 * tcp_recv.c, and tcp_send.c with tcp_loss.c (the two directions), tcp_reno.c and tcp_cubic.c (how much is sent).
 * tcp_save.c hands it all to a successor; tcp_icmp.c needs nothing of it.
 *
 * Places. Both directions count in places of 64 bits: the SYN is 0, byte k of the stream is k + 1, the FIN stands
 * behind the last byte. A number of the wire is the low half of a place, moved by the initial number. */
#pragma once

#include "base/bytes.h"
#include "base/ranges.h"
#include "tunnel/tcp.h"

#define TCP_SENT_MAX 96   /* chosen: sendings in the log; 64 super-packets are 4 MiB. Full, it waits for what is out */
#define TCP_HOLES_MAX 512 /* chosen: ranges above a hole, each way; 8 KiB. More are not kept and come again */
#define TCP_BLOCKS_MAX 4  /* SACK blocks: what 40 bytes of options hold (RFC 2018 section 3) */
#define TCP_HEADERS_MAX 128 /* bytes: IPv6 and TCP with options are 100; an ICMP error with its quote is 108 */

#define TCP_TIME_WAIT (4 * SEC)    /* tcp.c says why */
#define TCP_GRANULARITY (1 * MSEC) /* chosen: of timers */
#define TCP_DUP_THRESHOLD 3        /* RFC 5681 */
#define TCP_REORDER_MULT_MAX 8u    /* chosen: two shortest round trips; RFC 8985 bounds it by srtt */

/* A segment that came, parsed. */
struct tcp_in {
    uint32_t seq, ack, window; /* window: as it stands in the header */
    uint8_t flags;
    const uint8_t *data;
    uint32_t len;
    bool has_mss, has_scale, has_ts, sack_permitted;
    uint8_t scale;
    uint16_t mss;
    uint32_t ts, ts_echo;
    unsigned blocks;
    struct {
        uint32_t left, right;
    } block[TCP_BLOCKS_MAX];
};

/* Something was sent: places from..to, of which `left` are not known to have arrived. */
struct tcp_sent {
    uint64_t from, to;
    instant at;
    uint64_t left;
    uint32_t id; /* counts sendings */
    bool again;
};

/* What one acknowledgement brought. */
struct tcp_acked {
    uint64_t bytes;       /* acknowledged in any way, and not before */
    uint64_t needless;    /* of them, in a recovery: taken for lost, and what came is the first copy */
    uint64_t pipe_before; /* tcp_pipe */
    span rtt;             /* of something that was sent once; 0: none */
    bool recovers;        /* a recovery was under way before it */
};

/* A congestion control of an end. What it says is cwnd and ssthresh of struct tcp_tx; when a recovery begins and ends
 * is tcp_loss.c's, but that it ends when what it was begun for is undone. It may keep memory of its own in cc_state. */
struct tcp_cc {
    const char *name;
    /* 0 or -ENOMEM. NULL: it keeps nothing. */
    int (*make)(struct tcp_end *e);
    /* cwnd is the first window. Once more when the answer to our SYN says the segment's size. */
    void (*start)(struct tcp_end *e, instant now);
    void (*on_acked)(struct tcp_end *e, const struct tcp_acked *a, instant now);
    /* Bytes were found lost, of `flight` that were outstanding. first: by this a recovery begins. */
    void (*on_lost)(struct tcp_end *e, uint64_t bytes, uint64_t flight, bool first, instant now);
    /* All that is out is lost. again: so was what was sent after the timeout before. */
    void (*on_timeout)(struct tcp_end *e, bool again, instant now);
    /* The way is not known any more: no more than so many bytes, and from there as in the beginning. */
    void (*hold)(struct tcp_end *e, uint64_t bytes);
};

extern const struct tcp_cc tcp_reno, tcp_cubic;

enum tcp_timer { TCP_TIMER_NONE, TCP_TIMER_RTO, TCP_TIMER_PROBE_TAIL, TCP_TIMER_PERSIST };
enum tcp_phase { TCP_OPEN, TCP_RECOVERY, TCP_LOSS }; /* LOSS: after a timeout */

struct tcp_tx {
    uint32_t iss;
    struct bytes ring;
    uint64_t una, next; /* oldest unacknowledged place; next new one */
    uint64_t end;       /* place behind the last byte that was written: of the FIN, if finished */
    bool finished;
    uint16_t mss; /* bytes of data in a full segment */
    uint16_t peer_mss;
    uint8_t scale; /* of the peer's windows */
    uint64_t window, window_max;
    uint32_t window_seq, window_ack; /* SND.WL1 and WL2 */

    /* Every place from una to next is in exactly one of: sacked, lost, the log; or in none, when memory was short. */
    struct ranges sacked, lost;
    struct tcp_sent log[TCP_SENT_MAX]; /* in the order of sending */
    size_t log_count;
    uint32_t log_id;

    enum tcp_phase phase;
    uint64_t recover;               /* where the phase ends */
    uint64_t cwnd, ssthresh, grown; /* grown: of tcp_reno.c */
    unsigned duplicates;            /* acknowledgements, of a peer without SACK */
    bool one_more;                  /* one segment, whatever the congestion window says */
    bool force;                     /* a piece smaller than a segment may go */

    span srtt, rttvar, rto, min_rtt;
    unsigned backoff;
    instant stalled; /* first timeout since something arrived; 0: none */
    instant last_sent;

    /* RACK: the sending that arrived and was the last to leave */
    uint32_t rack_id;
    uint64_t rack_end;
    span rack_rtt;
    bool rack_known, reordering;
    unsigned reorder_mult;
    instant reorder_at;
    uint64_t tail_end;    /* of the probe that is out; 0: none */
    uint64_t tail_flight; /* what was outstanding then */
    bool tail_again;

    enum tcp_timer timer;
    instant timer_at;
    bool probe_due; /* a segment that asks for an acknowledgement */
};

struct tcp_rx {
    uint32_t irs;
    struct bytes ring;
    uint64_t read, next; /* places: next to be read; next expected */
    uint64_t said;       /* the window's end as the peer knows it */
    uint64_t fin;        /* its place; UINT64_MAX: not known */
    uint8_t scale;
    struct ranges early;             /* above next */
    uint64_t recent[TCP_BLOCKS_MAX]; /* where they came last, newest first */
    uint64_t twice_from, twice_to;   /* came twice and is to be said (RFC 2883); from == to: nothing */
    uint64_t unacked;                /* bytes since the last acknowledgement */
    unsigned acks_due;
    instant ack_at;
    instant invalid_at; /* last answer to a segment that was not acceptable; 0: never */
    uint32_t acked;     /* the number that was acknowledged last (Last.ACK.sent) */
};

enum tcp_answer {
    TCP_ANSWER_NONE,
    TCP_ANSWER_RESET,
    TCP_ANSWER_REFUSE,
    TCP_ANSWER_ICMP,
    TCP_ANSWER_STRAY /* the RST of a segment of some older connection; ours goes on */
};

struct tcp_end {
    struct endpoint local, peer;
    bool v6, offload, active; /* active: we opened it */
    enum tcp_end_state state;
    int error;
    enum tcp_answer answer; /* goes out even when CLOSED */
    enum tcp_refusal why;
    struct addr icmp_src;
    uint32_t stray; /* the number that the older connection's peer expects */
    uint8_t key[16];
    uint16_t mtu;
    span keepalive;
    unsigned keepalive_probes;
    instant opened;   /* when our SYN was first due */
    instant heard;    /* when the peer last sent something acceptable */
    instant close_at; /* end of TIME_WAIT, or of an unanswered handshake */
    instant release_at;
    bool used;     /* bytes came or went since release_at was set */
    bool syn_due;  /* of our SYN, with an ACK or without */
    unsigned syns; /* that left */
    instant syn_at;
    bool sack, stamps;
    uint32_t ts_offset, ts_recent;
    instant ts_recent_at;
    struct tcp_tx tx;
    struct tcp_rx rx;
    const struct tcp_cc *cc;
    void *cc_state; /* heap */
    uint64_t packets_in, packets_out, resent_packets, resent_bytes, timeouts, probes, dropped;
    uint8_t headers[TCP_HEADERS_MAX];
    struct slice slices[3];
};

static inline uint32_t tcp_tx_wire(const struct tcp_end *e, uint64_t place)
{
    return e->tx.iss + (uint32_t)place;
}

static inline uint32_t tcp_rx_wire(const struct tcp_end *e, uint64_t place)
{
    return e->rx.irs + (uint32_t)place;
}

/* Our timestamp clock: milliseconds, as Linux has it; RFC 7323 5.4 wants 1 ms to 1 s. */
static inline uint32_t tcp_stamp(const struct tcp_end *e, instant at)
{
    return e->ts_offset + (uint32_t)(at / MSEC);
}

/* --- tcp_wire.c --- */

/* 0 or -EBADMSG. */
int tcp_in_parse(const uint8_t *pkt, const struct packet_info *info, struct tcp_in *ret);
/* A segment of ours: places from..from + len are its data. */
void tcp_put(struct tcp_end *e, uint8_t flags, uint64_t from, size_t len, struct merged *ret, instant now);
/* The answer to a refused SYN. False: none is due. */
bool tcp_put_refusal(struct tcp_end *e, struct merged *ret);
/* Bytes of headers of a data segment. */
size_t tcp_header_len(const struct tcp_end *e);

/* --- tcp_send.c --- */

void tcp_send_start(struct tcp_end *e, const struct tcp_in *syn, instant now);
void tcp_send_fit_mtu(struct tcp_end *e);
/* The answer to our SYN without ACK; it acknowledges that SYN. */
void tcp_send_on_synack(struct tcp_end *e, const struct tcp_in *in, instant now);
/* Of a synchronized connection. False: acknowledges what was never sent, or long ago. */
bool tcp_send_on_ack(struct tcp_end *e, const struct tcp_in *in, instant now);
bool tcp_send_output(struct tcp_end *e, struct merged *ret, instant now);
void tcp_send_on_expiry(struct tcp_end *e, instant now);
void tcp_send_rtt(struct tcp_end *e, span rtt);
/* All that is in flight is to be sent again. */
void tcp_send_all_again(struct tcp_end *e);
/* Of an end whose places and round trip another one had: the rest begins anew, and so does what was in flight. */
void tcp_send_resume(struct tcp_end *e, instant now);

/* --- tcp_loss.c --- */

uint64_t tcp_in_flight(const struct tcp_tx *tx);
/* What congestion control counts: a peer without SACK says by duplicates that something has left the network. */
uint64_t tcp_pipe(const struct tcp_tx *tx);
/* Places of from..to that SACK has. */
uint64_t tcp_sacked_of(const struct tcp_tx *tx, uint64_t from, uint64_t to);
/* Those of the places that are not sacked are to be sent again. Where memory is short they are in no set, and the
 * timeout finds them. */
void tcp_mark_lost(struct tcp_tx *tx, uint64_t from, uint64_t to);
/* The places are no longer in flight, whichever sending they were in. They are the first or the last of each. */
void tcp_log_forget(struct tcp_tx *tx, uint64_t from, uint64_t to);
/* False: the log is full. */
bool tcp_log_add(struct tcp_tx *tx, uint64_t from, uint64_t to, bool again, instant now);
/* Takes from the log what has arrived since, and notes its round trip and what was sent again for nothing. */
void tcp_update_log(struct tcp_end *e, const struct tcp_in *in, struct tcp_acked *a, instant now);
/* Something below the highest that was acknowledged comes now: was the order changed? Before tcp_update_log. */
void tcp_notice_reordering(struct tcp_tx *tx, uint64_t low);
void tcp_detect_lost(struct tcp_end *e, instant now);
/* Bytes were marked so: the recovery that is under way goes on, or one begins. */
void tcp_on_lost(struct tcp_end *e, uint64_t bytes, instant now);
/* It is the congestion window that limits: half of it was used, which is RFC 7661's test. */
bool tcp_cwnd_limits(const struct tcp_tx *tx, uint64_t pipe_before);

/* --- tcp_recv.c --- */

/* In SYN_SENT: the peer's SYN was taken, or an error closed the end, or nothing was said. */
void tcp_recv_synack(struct tcp_end *e, const struct tcp_in *in, instant now);
enum tcp_end_outcome tcp_recv_segment(struct tcp_end *e, const struct tcp_in *in, instant now);
/* The window's end that may be said now; it never goes back. */
uint64_t tcp_recv_edge(const struct tcp_end *e);
/* What is said with a segment that leaves now; as it stands in the header. */
uint16_t tcp_recv_window(struct tcp_end *e, bool syn);

/* --- tcp.c --- */

/* An end that has said and heard nothing. NULL: no memory. */
struct tcp_end *tcp_end_make(const struct tcp_end_options *o, struct endpoint local, struct endpoint peer,
                             const struct tcp_cc *cc);
/* What the peer's SYN says. */
void tcp_take_syn(struct tcp_end *e, const struct tcp_in *syn, instant now);
void tcp_close(struct tcp_end *e, int error);
void tcp_on_fin_sent(struct tcp_end *e);
void tcp_on_fin_acked(struct tcp_end *e, instant now);
void tcp_on_fin_received(struct tcp_end *e, instant now);
