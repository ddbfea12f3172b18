/* sim/cross.h - what others send over a link of a world: a TCP flow that comes and goes.
 *
 * One flow after the other (sim/tcp.h) crosses the link, each with a number of bytes of its own and new to the link,
 * and between them nothing for a while. What is acknowledged goes back by another way, which has nothing but a delay.
 */
#pragma once

#include "sim/tcp.h"
#include "sim/world.h"

struct cross_options {
    struct tcp_options tcp;
    span rest;           /* of the round trip: what the link does not have */
    uint64_t bytes_mean; /* of a flow: drawn from a Pareto distribution; 0: there is one, without end */
    span pause_mean;     /* between two: drawn from an exponential one */
};

struct cross {
    struct world_crossing crossing;
    struct world_source source;
    struct world *world;
    struct world_link *link;
    struct cross_options o;
    struct prng prng;
    struct tcp_sender tx;
    struct tcp_receiver rx;
    struct link_dir back;
    uint32_t flow; /* counts them; 0: none yet */
    bool running;
    instant next_at;                     /* when it is not running */
    uint64_t received_bytes, wire_bytes; /* of data, and what they were on the link */
};

/* Its first flow begins after a part of a pause. Free it after the world has ended. */
struct cross *cross_new(struct world *w, struct world_link *l, const struct cross_options *o, uint64_t seed);
void cross_free(struct cross *c);
