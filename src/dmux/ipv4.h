/* dmux/ipv4.h - IPv4 in IPv4, protocol_id 4: for measuring what the demultiplexer itself costs, between hosts that
 * could do without it (doc/dmux.md, IPv4). */
#pragma once

#include "dmux/protocol.h"

#define IPV4_CLIENTS 8192 /* addresses that a router remembers a port for; 96 KiB; a set of 4 gives up its oldest */

extern const struct protocol_router ipv4_router;
extern const struct protocol_client ipv4_client;
