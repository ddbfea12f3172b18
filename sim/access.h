/* sim/access.h - access lines of a multihomed host in virtual time, each measured by probes as a session measures a
 * path.
 *
 *     host --- up (rate, buffer, loss, jitter) ---> far end
 *          <-- down (the same of its own) ---------
 *     uploads and downloads of others share both directions
 *
 * A line's properties are drawn once; access_measure then gives what one interval of a day is like. The same line, hour
 * and seed give the same report. */
#pragma once

#include "base/base.h"
#include "base/instant.h"
#include "base/rng.h"

struct access_line {
    bool cable;
    uint64_t up_bps, down_bps;
    uint64_t up_buffer_bytes, down_buffer_bytes; /* drop-tail */
    span delay;                                  /* one way, of the whole path with empty queues */
    span jitter;                                 /* up to so much more or less */
    double loss;                                 /* of packets, each way, whatever the queue; 0..1 */
    bool bursty;                                 /* they are lost in a row */
    double uploads, downloads;                   /* how many run at a time on average, in the busiest hour */
};

/* One interval. */
struct access_report {
    double latency_ms; /* mean round trip of the probes; NAN: none came back */
    double jitter_ms;  /* mean difference of a round trip and the one before; NAN: fewer than two came back */
    unsigned lost;     /* of ACCESS_PROBES, those that did not come back */
};

#define ACCESS_PROBES 100
#define ACCESS_PROBE_BYTES 1400 /* of IP: chosen: what a session's packets of data have */
#define ACCESS_INTERVAL (20 * SEC)

/* A line between a host and a far end that are `base` apart (round trip, without the line's own delay). */
void access_line_draw(struct access_line *ret, struct prng *p, span base);
/* An interval at this hour, 0..24, by probes of so many bytes. A full buffer refuses a small one more rarely than the
 * segments that filled it. 0 or -ENOMEM. */
MUST_CHECK int access_measure(const struct access_line *line, double hour, uint32_t probe_bytes, uint64_t seed,
                              struct access_report *ret);
