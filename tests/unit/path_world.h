/* tests/unit/path_world.h - two paths that talk over a bottleneck, in virtual time.
 *
 *     side 0 ==> fifo (rate, queue limit) -> delay, jitter, loss, duplicates ==> side 1, and the same back
 *
 * Side 0 sends records of `record` bytes while `backlog` is set, or one each `interval`. Nothing here knows how the
 * path decides; what is measured is measured at the link. */
#pragma once

#include "base/rng.h"
#include "path/path.h"

struct pkt {
    instant at; /* entry into the queue, later arrival */
    uint64_t counter;
    size_t bytes;
    uint16_t ts64;
    bool eliciting, has_ack;
    struct ack ack;
};

struct one_way {
    uint64_t bps;
    span delay, jitter;
    size_t queue_max; /* bytes */
    double loss, duplicate;
    bool dead;
    /* state */
    struct pkt *fifo;
    size_t fifo_head, fifo_count, fifo_bytes;
    instant service_at; /* end of the head's service; INSTANT_NEVER when empty */
    struct pkt *air;    /* a heap by arrival */
    size_t air_count;
    /* statistics since world_reset_stats */
    uint64_t carried_bytes, carried_pkts, dropped_pkts;
    double queue_sum; /* us */
    span queue_peak;
};

struct world {
    struct path *path[2];
    struct one_way link[2]; /* [i]: from side i */
    struct pbuf_pool *pool; /* data buffers for side 0, or NULL */
    struct prng prng;
    instant now;
    span skew; /* of side 1's clock */
    bool backlog, echo;
    span interval; /* 0: none */
    span tick;     /* both owners look only at multiples of it; 0: at once */
    instant next_app;
    size_t record;
    uint8_t *seen[2];       /* replay window: bit per counter less first */
    uint64_t first_counter; /* to be set before world_init, as: */
    enum cc congestion;     /* of side 0 */
    struct {
        span rtt;
        uint64_t bps;
    } known; /* of side 0: what others measured */
    uint64_t eliciting_sent, acked, lost, acks_sent;
    unsigned states[PATH_STATE_COUNT];
    instant state_at[PATH_STATE_COUNT]; /* newest entry into each state, side 0 */
    bool hurry;
    uint64_t max_may_send_burst;
};

void world_init(struct world *w, uint64_t bps, span one_way, size_t queue_max, uint64_t seed);
void world_free(struct world *w);
void world_run(struct world *w, span t);
void world_reset_stats(struct world *w);
/* Share of what the link could carry in `t`. */
double world_utilisation(const struct world *w, span t);
