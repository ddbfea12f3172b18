/* dmux/mirror.h - the protocol "mirror": a network in which every host answers a ping, and is the router itself.
 *
 * The toy of doc/tutorial-protocol.md, and a way to try a gateway and a router, and to measure both, with nothing
 * behind them. Its addresses are IPv4, of 10.77.0.0/16; every client is 10.77.0.1. */
#pragma once

#include "dmux/protocol.h"

#define MIRROR_ID (DMUX_EXPERIMENTAL + 1) /* protocol_id */
#define MIRROR_NET 0x0a4d                 /* 10.77 */

extern const struct protocol_client mirror_client;
extern const struct protocol_router mirror_router;
