/* path/bbr.h - congestion control: a model of the path (rate and round trip) gives a pacing rate and a window.
 *
 * After BBR (draft-cardwell-iccrg-bbr), bounded in delay: inside a tunnel the inner flows have their own congestion
 * control, and their queue must stand at our end, where they can be told apart, not in the path's bottleneck. */
#pragma once

#include "base/base.h"
#include "base/instant.h"
#include "path/rate.h"

enum bbr_state { BBR_STARTUP, BBR_DRAIN, BBR_CRUISE, BBR_UP, BBR_DOWN, BBR_PROBE_RTT };

struct bbr {
    enum bbr_state state;
    size_t record_bytes;
    span initial_rtt;
    struct rate_max max;
    instant state_since;
    bool full;     /* the path's rate was found: STARTUP is over */
    bool was_full; /* once: the first window has done its work */
    uint64_t full_bps;
    unsigned full_rounds;
    uint64_t startup_acked, startup_lost; /* since it began or found growth */
    unsigned startup_lost_pkts;
    uint64_t cycle_bps; /* estimate when the last UP began */
    /* how much faster UP goes, in percent, and what it lost */
    unsigned up_percent, up_bad; /* up_bad: so much was too much, 0: none known */
    instant up_bad_at, up_at;
    bool up_judged;
    uint64_t up_lost, up_acked, calm_lost, calm_acked;
    uint64_t next_round_delivered;
    uint64_t rounds;
    /* this round */
    instant round_since;
    uint64_t round_bps, round_last_bps; /* largest and latest sample */
    span round_rtt;                     /* smallest; 0: none */
    span round_rtt_max;                 /* largest */
    uint64_t round_acked, round_lost;
    unsigned round_lost_pkts;
    bool round_app_limited, round_ignore_loss;
    /* PROBE_RTT */
    bool drained, verify;
    instant drained_at;
    uint64_t drained_round;
    span drained_rtt;       /* smallest sample since drained */
    span drained_sum;       /* of all of them, */
    unsigned drained_count; /* so many */
    span jitter;            /* how much longer than the smallest a round trip is on average, without a queue of ours */
    span lone_rtt;          /* smoothed round trip of records that were alone in flight; 0: none */
    int lone_count;
    instant queue_since;    /* all rounds of CRUISE since had a queue, which its window cannot have made; 0: not so */
    instant probed_at;      /* end of the latest */
    unsigned probe_percent; /* the window, of the bandwidth-delay product */
    span step_rtt;          /* what the step before this one found; 0: none */
    /* acknowledged in excess of the estimate: aggregation on the way back */
    instant extra_since;
    uint64_t extra_acked;
    uint64_t extra_max[2]; /* of the current and the previous span of rounds */
    uint64_t extra_rounds;
};

struct bbr_ack {
    struct rate_sample sample;
    uint64_t delivered; /* in total, bytes */
    uint64_t acked_bytes, lost_bytes;
    unsigned lost_pkts;
    uint64_t spurious_bytes; /* of the acknowledged: had been reported as lost */
    uint64_t inflight_bytes; /* after it */
    bool lone;               /* nothing else was in flight when the record of rtt left */
    span rtt;                /* this acknowledgement's sample less its delay, 0: none */
    span min_rtt;            /* 0: none */
    instant min_rtt_at;
};

void bbr_init(struct bbr *b, size_t record_bytes, span initial_rtt, instant now);
enum bbr_verdict {
    BBR_NOTHING,
    BBR_MIN_RIGHT,   /* the path was drained: the minimum round trip that is known is right */
    BBR_MIN_OUTDATED /* drained, it stayed longer than that: *ret_min_rtt is the new minimum */
};

enum bbr_verdict bbr_on_ack(struct bbr *b, const struct bbr_ack *a, instant now, span *ret_min_rtt);
/* The window is small on purpose: what is delivered says nothing about the path. */
static inline bool bbr_is_holding_back(const struct bbr *b)
{
    return b->state == BBR_PROBE_RTT;
}
/* Losses of this round say nothing about congestion: the path was silent. */
void bbr_ignore_losses(struct bbr *b);
/* srtt: measured, or 0 before the first sample. */
uint64_t bbr_pacing_bps(const struct bbr *b, span srtt);
uint64_t bbr_window(const struct bbr *b, span min_rtt);
