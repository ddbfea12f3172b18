/* sim/connection.h - TCP connections between applications of a world, real packets at both ends (tunnel/tcp.h).
 *
 * The client stands behind a node, the server at its agent, at the agent's own inner address. Each writes what it was
 * told to, reads what the other wrote, checks every byte against its place, and then ends its direction. Between an
 * application and its node there is no delay. */
#pragma once

#include "sim/world.h"
#include "tunnel/tcp.h"

struct connection_side {
    struct tcp_end *end; /* NULL: none yet, or over */
    uint64_t total, written, read;
    uint64_t read_most; /* the reader takes no more; UINT64_MAX */
    bool finished, at_end;
    int error;
    instant last_read;
    span stall_max; /* between two reads that gave something, since the first */
};

struct connection {
    struct world_source source;
    struct world_watch watch;
    struct world_end *node, *agent;
    struct endpoint at[2];          /* client, server */
    struct connection_side side[2]; /* client, server */
    bool refuses;                   /* the server */
    uint8_t tos[2];                 /* of what either sends; 0 */
    bool stopped;
    bool silent;   /* the server answers nothing */
    unsigned syns; /* that came to the server */
    instant connected_at, done_at;
};

/* Begins now: so many bytes up and down; UINT64_MAX: without an end. Free it after the world has ended. Fails the world
 * at a byte that is wrong. */
struct connection *connection_new(struct world_end *node, struct world_end *agent, uint16_t client_port, uint64_t up,
                                  uint64_t down);
/* The same to another server, which is behind the agent. */
struct connection *connection_to(struct world_end *node, struct world_end *agent, uint16_t client_port,
                                 const struct endpoint *server, uint64_t up, uint64_t down);
/* Its packets are nobody's from now on. */
void connection_stop(struct connection *c);
void connection_free(struct connection *c);
/* Both directions ended, or either end has an error: for world_run_until. */
bool connection_done(void *c);
