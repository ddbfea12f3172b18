/* path/train.h - what an idle path would carry: short trains of records, and how far apart they arrive.
 *
 * The owner sends a train's records back to back when it is due and the path is quiet, tells of acknowledgements, and
 * reads the result. Nothing of a train is data, and its losses say nothing to a congestion control. */
#pragma once

#include "base/instant.h"
#include "wire/ack.h"

#define TRAIN_LEAST 8 /* records; chosen: seven gaps of which one may be off */
#define TRAIN_MOST                                                                                                     \
    64 /* chosen: of 1,500 bytes, TRAIN_SPREAD at 95 Mbit/s; what is faster is known to be at least that */
#define TRAIN_SPREAD                                                                                                   \
    (8 * MSEC)               /* chosen: a receiver reads in steps of up to 1 ms, and is off by as much at either end */
#define TRAIN_IDLE (2 * SEC) /* chosen: so long without data a path is idle */
#define TRAIN_LONGER (5 * SEC) /* chosen: before one of twice the length, after one that arrived all at once */
#define TRAIN_RETRIES 3
#define TRAIN_RECORD 1500                 /* bytes of one at most */
#define TRAIN_MINUTE (120 * TRAIN_RECORD) /* 8, 16, 32 and 64 of them */
#define TRAIN_EVERY (60 * SEC)            /* chosen: until the next one, doubled while nothing changes */
#define TRAIN_EVERY_MAX (3600 * SEC)

struct train {
    instant due, ends; /* of the next one; of the wait for this one's acknowledgements, INSTANT_NEVER: none */
    span every;
    bool called;           /* one is to begin */
    unsigned length, left; /* records; still to be sent of this one, 0: none is being sent */
    uint64_t first;        /* counter */
    size_t record_bytes;   /* on the wire */
    unsigned count[2];     /* of the first and of the newest point: records that had arrived by then; 0: none */
    uint32_t at_us[2];     /* on the receiver's clock */
    uint64_t sent_bytes;   /* of all trains */
    uint64_t bps;          /* the result, IP bytes; 0: none yet */
    bool at_least;         /* they arrived too close to each other to be told apart */
    unsigned failed;       /* in a row */
    instant minute_at;     /* since then */
    uint64_t minute_bytes; /* so much was allowed */
};

void train_init(struct train *t, instant now);
/* Data was sent: it is idle no longer, and what is on its way means nothing. */
void train_on_data(struct train *t, instant now);
/* Data has told the rate itself. */
void train_on_rate(struct train *t, instant now);
/* Is a record to be sent now? */
bool train_wants(const struct train *t);
/* It was, with this counter. wait: how long acknowledgements may take. */
void train_on_sent(struct train *t, uint64_t counter, size_t wire_bytes, span wait, instant now);
void train_on_ack(struct train *t, const struct ack *a, instant now);
/* When to call train_on_expiry. */
instant train_expiry(const struct train *t);
/* quiet: nothing else is in flight. */
void train_on_expiry(struct train *t, bool quiet, instant now);
