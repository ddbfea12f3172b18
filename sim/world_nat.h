/* sim/world_nat.h - what a NAT does to datagrams; for world.c alone. */
#pragma once

#include "sim/world.h"

/* The mapping by which a datagram to this endpoint leaves; a new one takes the place of the oldest. */
struct world_mapping *world_nat_out(struct world_uplink *u, const struct endpoint *remote);
/* Rewrites where it goes. False: no mapping leads inside. */
bool world_nat_in(struct world_uplink *u, struct world_packet *p);
