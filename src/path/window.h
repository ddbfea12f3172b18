/* path/window.h - what congestion controls that are driven by loss have in common: a window, slow start, one cut in a
 * round trip, persistent congestion, pacing. How the window grows beyond slow start is the control's own. */
#pragma once

#include "path/cc.h"

/* HyStart++ (RFC 9406). */
struct hystart {
    bool done, slow; /* slow: conservative slow start */
    span last_min, min, baseline;
    unsigned samples, slow_rounds;
};

struct window {
    size_t record_bytes;
    span initial_rtt;
    double records, ssthresh;
    double first_records; /* of a window of which nothing is known */
    instant known_until;  /* records are what others found until then, if they are not tried before; 0: no longer so */
    instant recovery_at;  /* what was sent until then is older than the latest cut; 0: none */
    struct {
        double records, ssthresh; /* before the latest cut */
        uint64_t lost_bytes;      /* since, and not seen after all */
    } before;
    struct hystart hystart;
    struct rate_max max;
    uint64_t unharmed[2]; /* bytes that were acknowledged between the latest two cuts, and since */
};

enum window_news {
    WINDOW_STAYS,     /* it recovers, or it is in slow start, which is seen to */
    WINDOW_GROWS,     /* it limits: the control may call window_grow for what was acknowledged */
    WINDOW_UNUSED,    /* it does not limit: it must not grow (RFC 9002 7.8) */
    WINDOW_CUT,       /* to beta of what it was */
    WINDOW_COLLAPSED, /* to its minimum: persistent congestion */
    WINDOW_RESTORED,  /* the cut was in error: all that was lost has come */
};

enum window_news window_on_ack(struct window *w, const struct cc_ack *a, double beta, instant now);
/* The same of controls that halve at a loss, as Reno (RFC 5681), and grow by `records` for this acknowledgement. */
enum cc_verdict window_on_ack_halving(struct window *w, const struct cc_ack *a, double records, instant now);
/* By so many records, which may be negative; no faster than slow start. */
void window_grow(struct window *w, const struct cc_ack *a, double records);
/* As in struct cc_ops: the state begins with a struct window. */
void window_init(void *state, const struct cc_start *start, instant now);
struct cc_speed window_speed(const void *state, span srtt, span min_rtt);
struct cc_info window_info(const void *state);
/* Of the acknowledgement, in records. */
static inline double window_acked(const struct window *w, const struct cc_ack *a)
{
    return (double)a->acked_bytes / (double)w->record_bytes;
}
