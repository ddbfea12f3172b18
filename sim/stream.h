/* sim/stream.h - the kernel's TCP in a world: a connection for each uplink, which carries records in order and loses
 * none.
 *
 * Both its ends are a sender and a receiver of sim/tcp.h, and a segment is a record. What a loss holds up comes late
 * and all at once; a sender knows its round trip, its rate and whether it recovers, and has room for 15 ms of its rate
 * beyond what is in flight. An end whose path is down begins another connection, which is there at once: there is no
 * handshake. The agent hears of it by what comes over it. */
#pragma once

#include "sim/world.h"

/* Of that uplink: made when it is first used. */
struct world_stream *world_stream_of(struct world_uplink *u);
void world_stream_free(struct world_stream *s);
/* What a node has given to send (struct session_tx), by the uplink's end (or the agent's). */
void world_stream_send(struct world_stream *s, bool agent, const struct session_tx *tx, const struct endpoint *src,
                       const uint8_t *data);
/* A segment or an acknowledgement has come to that end. */
void world_stream_arrive(struct world_stream *s, bool agent, const struct world_packet *p);
/* The node's path over it is down: another connection. */
void world_stream_reset(struct world_stream *s);
/* The stream of an agent's connection, or NULL: it is another by now. */
struct world_stream *world_stream_find(struct world *w, uint32_t conn);
