/* path/rtt.h - round-trip time: RFC 9002 section 5, with a minimum over the last 10 s.
 *
 * RFC 9002's variation halves in three samples. With a sample each millisecond it forgets within a few what a path does
 * each round trip, and the next stall is taken for a fault. So rttvar is the largest of a round trip and falls by a
 * quarter of the difference in each, as in Linux (tcp_rtt_estimator). */
#pragma once

#include "base/base.h"
#include "base/instant.h"

#define RTT_INITIAL (333 * MSEC) /* RFC 9002 6.2.2 */
#define RTT_MIN_BUCKETS 10       /* of 1 s: the minimum's window (BBR's is 10 s too) */

struct rtt {
    bool sampled;
    span latest, srtt, rttvar;
    span deviation, deviation_max; /* RFC 9002's rttvar, and its largest since round_at */
    instant round_at;
    span initial;
    span bucket[RTT_MIN_BUCKETS]; /* smallest sample of second `n` at [n % 10]; 0: none */
    int64_t newest_second;
    span min_rtt;
    span min_ref;   /* what counts as matching it: only rtt_settle_min raises this, so it cannot creep */
    instant min_at; /* when min_ref was last matched, within 1/32 */
};

/* initial 0: RTT_INITIAL. */
void rtt_init(struct rtt *r, span initial);
/* sample: from sending to the acknowledgement's arrival; ack_delay: what the peer says it waited, at most ack_delay_max
 * is believed. */
void rtt_on_sample(struct rtt *r, span sample, span ack_delay, span ack_delay_max, instant now);
/* Measured by somebody else, and smoothed: it takes the place of what was sampled. min_rtt 0: not known. */
void rtt_on_told(struct rtt *r, span srtt, span rttvar, span min_rtt, instant now);
/* The route is longer than it was: forget smaller samples. */
void rtt_set_min(struct rtt *r, span min_rtt, instant now);
/* The path was drained on purpose: what is the minimum now is right. */
void rtt_settle_min(struct rtt *r, instant now);
/* Smoothed, or the initial guess. */
span rtt_get(const struct rtt *r);
/* srtt + 4 * rttvar, no shorter than floor (RFC 9002 6.2.1 without the delay of acknowledgements). */
span rtt_timeout(const struct rtt *r, span floor);
