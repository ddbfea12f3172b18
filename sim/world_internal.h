/* sim/world_internal.h - what the files of a world share: world.c, world_net.c, world_end.c and world_nat.c. */
#pragma once

#include "sim/world.h"

/* --- world_net.c --- */

void world_packet_give(struct world *w, struct world_packet *p);
/* A datagram of that transport from src to to->remote. */
struct world_packet *world_packet_make(struct world *w, const struct endpoint *src, const struct locator_pair *to,
                                       uint8_t tos, const uint8_t *data, size_t len);
uint64_t world_addr_key(const struct addr *a);
/* Who has that address from now on; nobody had it. */
void world_place_put(struct world *w, const struct endpoint *at, struct world_place *p);
/* One that nobody has had. */
struct endpoint world_fresh_endpoint(struct world *w, enum addr_family family, uint16_t port);
/* Takes what came out of a link: to the core; to a trunk or else the core; to the end of the uplink. */
typedef void world_onward_fn(struct world *w, struct world_link *l, struct world_packet *p);
world_onward_fn world_onward_core, world_onward_up, world_onward_end;
void world_link_begin(struct world *w, struct world_link *l, size_t packets, world_onward_fn *onward);
/* Text for link_params_parse, which changes what it names. */
void world_link_set(struct world *w, struct world_link *l, const char *text);
void world_link_end(struct world *w, struct world_link *l);
/* Takes the packet, which leaves that end: by the uplink, or (NULL) the agent's way. */
void world_launch(struct world_end *e, struct world_uplink *u, struct world_packet *p);

/* --- world_end.c --- */

/* The packet stays the caller's. u: NULL at an agent. */
void world_end_arrive(struct world_end *e, struct world_uplink *u, struct world_packet *p);
/* Until the end has nothing to say. */
void world_end_drive(struct world_end *e);
void world_end_reschedule(struct world_end *e);
void world_end_fire(struct world *w, struct world_source *s);

/* --- world_nat.c --- */

/* The mapping by which a datagram to this endpoint leaves; a new one takes the place of the oldest. */
struct world_mapping *world_nat_out(struct world_uplink *u, const struct endpoint *remote);
/* Rewrites where it goes. False: no mapping leads inside. */
bool world_nat_in(struct world_uplink *u, struct world_packet *p);
