/* sim/invariants.h - what must hold in every world, whatever happens to it.
 *
 *   no plaintext out      no datagram holds the generators' marker, or is in clear, unless all ends say so
 *   no nonce reused       the counters under one connection id only grow
 *   no packet twice       no steady flow's number comes out twice
 *   no packet late        no record is held back longer than RESEQ_WAIT_MAX after it was accepted
 *   memory bounded        node_pool_used stays below the pool; node_free finds all of it given back (pbuf asserts)
 *   counters grow         no counter of a session or node goes back
 *   progress              while an uplink has been healthy for `patience`, steady flows are not silent for `silence`
 *
 * Loops that do not end (node_output, expiries at one instant) are the world's own to see. */
#pragma once

#include "sim/traffic.h"

#define INVARIANT_CLASSES 256 /* lengths by which accepted records are told apart */

struct invariants {
    struct world *world;
    struct traffic *traffic;
    struct world_watch watch;
    struct world_source source; /* each 100 ms */
    struct map64 counters;      /* connection id -> last counter */
    struct invariants_cid **cids;
    size_t cids_count;
    struct invariants_flow {
        instant arrived[INVARIANT_CLASSES]; /* 0: nothing waits */
        uint64_t progress_rx;
        instant progress_at;
    } flows[TRAFFIC_FLOWS_MAX];
    struct invariants_end {
        unsigned restarts;
        uint64_t accepted; /* before the present datagram */
        struct session *session;
        struct session_info last;
        uint64_t drops[NODE_DROP_COUNT];
        size_t pool_max;
        instant up_since;
    } ends[WORLD_ENDS_MAX];
    struct invariants_uplink {
        instant healthy_since;
    } uplinks[WORLD_ENDS_MAX][WORLD_UPLINKS_MAX];
    span patience, silence;
    bool duplicates_allowed;
    /* figures */
    uint64_t scanned, checked_waits;
    span wait_max, silence_max;
};

/* The steady flows of a checked world get lengths that differ from packet to packet (invariants_flow_prepare). */
struct invariants *invariants_new(struct world *w, struct traffic *t);
void invariants_free(struct invariants *v);
/* Gives a flow a range of lengths of its own, below len; at most 4 flows. */
void invariants_flow_prepare(struct invariants *v, struct traffic_flow *f);
