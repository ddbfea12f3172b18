/* sim/transfer.h - an application of a world: bytes from one end to another through a delivery (session/delivery.h).
 *
 * Both ends have node_options.delivery. The writer writes whenever there is room, the reader reads whatever there is,
 * once each millisecond; every byte is checked against its place. */
#pragma once

#include "sim/world.h"

struct transfer {
    struct world_source source;
    struct world_end *from, *to;
    unsigned from_peer, to_peer; /* the other's index at each */
    uint64_t total;              /* bytes; UINT64_MAX: until it is stopped */
    uint64_t written, read;
    bool unordered;
    int error; /* of a write or a read: a negative errno */
    bool ended, stopped;
    bool paused; /* to be set: there is nothing to write now */
    instant last_read, done_at;
    span stall_max; /* between two reads that gave something, since the first */
};

/* Begins now. Free it after the world has ended. Fails the world at a byte that is wrong or comes twice. */
struct transfer *transfer_new(struct world_end *from, unsigned from_peer, struct world_end *to, unsigned to_peer,
                              uint64_t total, bool unordered);
void transfer_free(struct transfer *t);
void transfer_stop(struct transfer *t);
/* The end was read: for world_run_until. */
bool transfer_done(void *t);
