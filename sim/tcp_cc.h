/* sim/tcp_cc.h - congestion controls of a simulated TCP sender, one const table of functions each.
 *
 * A control reads the sender and moves its cwnd, ssthresh, pacing and quantum; it keeps its own in `state`. */
#pragma once

#include "base/base.h"
#include "base/instant.h"

struct tcp_sender;

#define TCP_SSTHRESH_NONE 1e9 /* segments: above any window */

/* What one acknowledgement brought. */
struct tcp_sample {
    double acked;    /* segments, in whatever way they were acknowledged */
    uint64_t lost;   /* found lost by it */
    span rtt;        /* the shortest of those sent once; -1: none */
    double rate;     /* segments a second; 0: none */
    uint64_t before; /* `delivered` when the newest of them was sent */
    uint64_t flight; /* before it came */
    bool limited;    /* by the window, more or less */
};

struct tcp_cc {
    const char *name;
    void (*init)(struct tcp_sender *s, instant now);
    /* After loss detection; in recovery too. */
    void (*on_ack)(struct tcp_sender *s, const struct tcp_sample *m, instant now);
    /* A recovery begins: cwnd and ssthresh are still as before. acked: by what began it. */
    void (*on_loss)(struct tcp_sender *s, double acked, instant now);
    /* It has ended. NULL: nothing to do. */
    void (*on_recovered)(struct tcp_sender *s);
    /* The timer ran out for the first time in a row; the sender sets cwnd itself. */
    void (*on_timeout)(struct tcp_sender *s, instant now);
    /* The last of on_loss and on_timeout was in error; cwnd and ssthresh are back. NULL: nothing to do. */
    void (*on_undo)(struct tcp_sender *s);
};

/* CUBIC without its Reno-friendly region, fast convergence and HyStart. */
extern const struct tcp_cc tcp_cc_cubic_bare;
/* CUBIC (RFC 9438) with HyStart++ (RFC 9406). */
extern const struct tcp_cc tcp_cc_cubic;
/* RFC 5681. */
extern const struct tcp_cc tcp_cc_reno;
/* BBR, first version, as in Linux but for what tcp_bbr.c names. */
extern const struct tcp_cc tcp_cc_bbr;

struct tcp_cubic {
    double w_max, w_max_before, k, w_est, cwnd_prior;
    instant epoch; /* 0: none */
};

struct tcp_hystart {
    bool done, slow; /* slow: conservative slow start */
    uint64_t window_end;
    span last_min, min, baseline;
    unsigned samples, slow_rounds;
};

#define TCP_BBR_ROUNDS 10 /* of the bandwidth's filter: draft 4.1.1.2 */

enum tcp_bbr_phase { TCP_BBR_STARTUP, TCP_BBR_DRAIN, TCP_BBR_PROBE_BW, TCP_BBR_PROBE_RTT };

struct tcp_bbr {
    enum tcp_bbr_phase phase;
    double pacing_gain, cwnd_gain;
    double best[TCP_BBR_ROUNDS]; /* segments a second, by round */
    double bw;                   /* the best of them */
    uint64_t round, round_end;   /* round_end: `delivered` at which it ends */
    bool round_start;
    span min_rtt; /* -1: not measured */
    instant min_rtt_at;
    double full_bw;
    unsigned full_rounds;
    bool filled;
    unsigned cycle;
    instant cycle_at;
    instant probe_done; /* 0: not yet known */
    bool probe_round_done;
    double prior_cwnd;
    bool conserving;
    /* acknowledgements that come in heaps: more than the bandwidth explains since epoch_at, and the most of it */
    double epoch_acked, extra[2];
    instant epoch_at;
    unsigned extra_rounds;
};

struct tcp_cc_state {
    struct tcp_cubic cubic;
    struct tcp_hystart hystart;
    struct tcp_bbr bbr;
};
