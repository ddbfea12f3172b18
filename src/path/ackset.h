/* path/ackset.h - what was received of one path, and when to acknowledge it. */
#pragma once

#include "base/instant.h"
#include "wire/ack.h"

#define ACKSET_RANGES_MIN 8   /* chosen: an idle path, or one without reordering, has one or two */
#define ACKSET_RANGES_MAX 256 /* chosen: reordering over 50 ms at 100 Mbit/s opens about 100 holes; 6 kB */

struct ackset_range {
    struct ack_range r;
    unsigned news; /* acknowledgements that are still to tell of it */
};

struct ackset {
    struct ackset_range *ranges; /* descending; they do not touch; owned */
    unsigned count, room;        /* room: grows by doubling from ACKSET_RANGES_MIN to ACKSET_RANGES_MAX */
    uint32_t rx_pkts, rx_bytes;
    instant largest_at, newest_at; /* receipt of the largest counter; of the newest record */
    unsigned waiting;              /* eliciting records since the last acknowledgement */
    instant due;                   /* INSTANT_NEVER when nothing waits */
    instant sent_at;               /* the last acknowledgement */
    unsigned threshold;            /* records that make one due */
    instant speed_since;           /* start of the interval over which records are counted for the threshold */
    unsigned speed_pkts;
};

/* 0 or -ENOMEM. */
MUST_CHECK int ackset_init(struct ackset *s, instant now);
void ackset_deinit(struct ackset *s);
/* False for a duplicate or a counter too old to be told of. patience: what is due by number may wait that long. */
bool ackset_add(struct ackset *s, uint64_t counter, size_t bytes, bool eliciting, span patience, instant now);
/* Records that there were, up to the newest that came. */
static inline uint64_t ackset_expected(const struct ackset *s)
{
    return s->count > 0 ? s->ranges[0].r.last + 1 : 0;
}
/* When an acknowledgement is due: may be past. */
static inline instant ackset_due(const struct ackset *s)
{
    return s->due;
}
/* The owner was told: it is due again in 10 ms if nothing is sent until then. */
void ackset_announced(struct ackset *s, instant now);
/* Enough waits to be worth some bytes in a record that leaves anyway. */
bool ackset_worth(const struct ackset *s);
/* False when nothing was received. Fills all but path_id; nothing waits afterwards. */
bool ackset_make(struct ackset *s, instant now, struct ack *ret);
