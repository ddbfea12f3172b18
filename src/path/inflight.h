/* path/inflight.h - the log of sent records, indexed by counter: what is in flight, acknowledged or lost.
 *
 * The log holds the records base <= counter < next in a ring. An eliciting record is open until acknowledged or lost;
 * others are logged only so that counters can be looked up. Lost records stay for a while, so that a late
 * acknowledgement is recognised as reordering. */
#pragma once

#include "base/instant.h"
#include "base/pbuf.h"
#include "path/rate.h"

#define PATH_INFLIGHT_MIN 32    /* chosen: probes and acknowledgements of an idle path; it grows within a round trip */
#define PATH_INFLIGHT_MAX 65536 /* chosen: 10 Gbit/s x 73 ms of 1400-byte records; 6 MB */

#define INFLIGHT_LOOK 256 /* chosen: a window of 50 Mbit/s and 50 ms */
#define INFLIGHT_KEPT 8   /* chosen: about as many flows hear at once that they are too large */

enum sent_state { SENT_SILENT, SENT_OPEN, SENT_LOST, SENT_ACKED };

#define INFLIGHT_LOST 64 /* chosen: more in one acknowledgement is an outage or an overflow, no stray loss */

struct sent {
    instant at;
    struct pbuf *data; /* a reference, or NULL */
    struct rate_mark mark;
    uint32_t bytes;
    uint32_t run; /* of an acknowledged record: this many ending here, downwards, are acknowledged (>= 1) */
    enum sent_state state;
};

struct inflight {
    struct sent *ring;
    size_t capacity;        /* a power of two */
    uint64_t base, next;    /* counters */
    uint64_t lowest_open;   /* no open record below; == next when none is open */
    uint64_t lowest_data;   /* no record below holds data */
    uint64_t largest_acked; /* valid when any_acked */
    uint64_t open_bytes;
    size_t open_pkts;
    bool any_acked;
    struct pbuf *lost[INFLIGHT_LOST]; /* a ring of references: the data of what was found lost, to be taken */
    unsigned lost_head, lost_count;
    struct list told_acked, told_lost; /* tracked data whose fate is known, to be taken */
    struct pbuf *kept[INFLIGHT_KEPT];  /* the newest of these: references, or NULL */
    unsigned kept_next;
    uint32_t big_least, big_most; /* the owner's: losses of records larger than the one, not than the other, are
                                   * counted apart */
};

/* What a step of acknowledging found; cleared by the caller before the first range. */
struct inflight_acked {
    unsigned pkts; /* eliciting ones */
    uint64_t bytes;
    unsigned spurious_pkts; /* of pkts: had been taken for lost */
    uint64_t spurious_bytes;
    bool any;          /* some record, eliciting or not, is newly acknowledged */
    uint64_t newest;   /* the largest newly acknowledged counter of any kind */
    instant newest_at; /* when it was sent */
    bool marked;       /* an eliciting one: its mark, the newest one's */
    uint64_t mark_counter;
    instant mark_at;
    struct rate_mark mark;
    uint32_t largest_bytes;   /* of the newly acknowledged of any kind: the largest, */
    uint64_t largest_counter; /* and the newest of that size */
    bool probe;               /* a large record that nobody waited for is among them */
};

struct inflight_lost {
    unsigned pkts;
    uint64_t bytes;
    instant newest_at; /* when the newest was sent of those that inflight_detect or inflight_give_up found */
    /* of those that inflight_detect found: */
    span run;            /* longest from one to another without an acknowledged record between */
    unsigned big_pkts;   /* of sizes from big_least to big_most, */
    uint32_t big_max;    /* the largest of these, */
    uint64_t big_newest; /* and the newest */
};

/* 0 or -ENOMEM. */
MUST_CHECK int inflight_init(struct inflight *f, uint64_t first_counter);
void inflight_deinit(struct inflight *f);
/* Logs record `next`. At PATH_INFLIGHT_MAX, or when memory is short, the oldest record is forgotten; what that loses is
 * added to ret. data gets a reference of its own. */
void inflight_push(struct inflight *f, uint32_t bytes, struct pbuf *data, bool eliciting, const struct rate_mark *m,
                   instant now, struct inflight_lost *ret);
/* True when one more record fits without forgetting any; some room is kept for acknowledgements and probes. */
bool inflight_has_room(const struct inflight *f);
/* Counters first..last were received; those outside the log are ignored. Work is linear in the newly acknowledged. */
void inflight_ack(struct inflight *f, uint64_t first, uint64_t last, struct inflight_acked *ret);
/* RFC 9002 6.1: marks lost what is `threshold_pkts` below the largest acknowledged (0: not by count), or below it and
 * sent at least threshold_time ago. */
void inflight_detect(struct inflight *f, uint64_t threshold_pkts, span threshold_time, instant now,
                     struct inflight_lost *ret);
/* When the oldest open record below the largest acknowledged will be lost by time; INSTANT_NEVER if none. */
instant inflight_loss_at(const struct inflight *f, span threshold_time);
/* That record, if it is open, is lost, and its data is told of. False: it is not. */
bool inflight_give_up(struct inflight *f, uint64_t counter, struct inflight_lost *ret);
/* Every open record counts as lost; their data stays to be taken. */
void inflight_abandon(struct inflight *f, struct inflight_lost *ret);
/* Gives back the data of lost records. */
void inflight_drop_lost_data(struct inflight *f);
/* Forgets settled records at the low end; lost ones only when sent before lost_before. */
void inflight_trim(struct inflight *f, instant lost_before);
/* Gives memory back when nothing is open. */
void inflight_shrink(struct inflight *f);
/* The oldest data still held; its reference passes. NULL when none. */
struct pbuf *inflight_take(struct inflight *f);
/* Data of a record that inflight_detect counted apart; its reference passes. NULL when none. */
struct pbuf *inflight_take_kept(struct inflight *f);
/* The data of the oldest lost record that was not taken yet; its reference passes. NULL when none. The newest
 * INFLIGHT_LOST are kept. */
struct pbuf *inflight_take_lost(struct inflight *f);
/* Tracked data whose fate is known, and which it is; its reference passes. NULL when there is none. None is forgotten.
 */
struct pbuf *inflight_take_told(struct inflight *f, bool *ret_acked);
/* Tracked data of the oldest open record of which `again` is not set and that was sent before then, or has no fewer
 * than `ahead` bytes in flight up to its end; it stays the log's. NULL: there is none, or not among the oldest
 * INFLIGHT_LOOK.
 */
struct pbuf *inflight_late(const struct inflight *f, instant sent_before, uint64_t ahead);
/* When the oldest open record was sent; INSTANT_NEVER if none. */
instant inflight_oldest(const struct inflight *f);
