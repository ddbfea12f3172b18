/* bench/federation_world.h - gateways of several operators on an Earth, of which some ask:
 * federations (dmux/federation.h) and their registries are the daemons', and so is all that they say. What goes on
 * inside a provider is a model: each gateway knows at once which of its provider's routers is the nearest to it. */
#pragma once

#include "base/heap.h"
#include "dmux/federation.h"
#include "sim/earth.h"

struct federation_world;

struct federation_world_options {
    uint64_t seed;
    size_t gateways, routers, providers, realms, asking; /* providers: at least as many as realms, and routers */
};

struct federation_counts {
    uint64_t sent, received; /* messages of gateways that ask */
    uint64_t summaries;      /* that they received, of 20 items at most */
};

/* Of one service, from one gateway. */
struct federation_way {
    size_t border;         /* SIZE_MAX: nobody */
    double ms, nearest_ms; /* by way of the border to the router's gateway; and to the nearest of all, directly */
};

/* NULL: no memory. Gateways that ask begin within the first five seconds, with one border of each other realm. */
struct federation_world *federation_world_new(const struct federation_world_options *o);
void federation_world_free(struct federation_world *w);
void federation_world_run(struct federation_world *w, span time);
instant federation_world_now(const struct federation_world *w);
/* The k-th that asks, and one provider's service: of another realm than its own. */
struct federation_way federation_world_way(const struct federation_world *w, size_t k, size_t provider);
size_t federation_world_realm_of(const struct federation_world *w, size_t k);
/* Whom it sends packets of that provider's to; SIZE_MAX: nobody. */
size_t federation_world_border(const struct federation_world *w, size_t k, size_t provider);
/* Its links that are up, and what it has of services and registrations. */
void federation_world_entries(const struct federation_world *w, size_t k, size_t *ret_links, size_t *ret_services,
                              size_t *ret_registrations);
/* All routers of a provider go, or come back; each gateway hears of it as long after as its way to a router is. */
void federation_world_service(struct federation_world *w, size_t provider, bool there);
/* One router goes, and others are there. */
void federation_world_lose_router(struct federation_world *w, size_t router);
void federation_world_kill(struct federation_world *w, size_t gateway);
const struct federation_counts *federation_world_counts(const struct federation_world *w);
/* Bytes of the federation and registry of the k-th that asks, which is gone then. */
size_t federation_world_weigh(struct federation_world *w, size_t k);
/* Bytes of a border without anybody that asks it, and of each one that does, by those that were asked. After all that
 * ask were weighed. */
void federation_world_weigh_borders(struct federation_world *w, double *ret_base, double *ret_each);
