/* sim/gateways.h - a world of gateways that find each other by a directory (dmux/directory.h), in virtual time.
 *
 * Real: each gateway's directory, resolver and coordinates, the realm manager, every record, request and answer between
 * them. Modelled: a link between two gateways, which is up two round trips after it was wanted, tells each end what the
 * other serves half a round trip later and from then on, and falls silent for MESH_SILENCE when one dies; so
 * dmux/mesh.h does. Ways are as on sim/earth.h and lose nothing. Coordinates have settled before it begins, and stay.
 */
#pragma once

#include "base/instant.h"
#include "dmux/directory.h"
#include "mapping/manager.h"

struct gateways;

struct gateways_options {
    uint64_t seed;
    size_t gateways, services;
    double crowd;      /* 0: anywhere on the Earth; the more, the nearer to one place */
    size_t neighbours; /* of whom each learns its coordinate; not 0 */
    size_t samples;    /* that each takes of them */
    uint32_t links_max;
    uint32_t questions_max; /* of each resolver */
};

struct gateways_counts {
    uint64_t asks;                /* RESOLVE that managers were sent */
    uint64_t tells;               /* REGISTER and REFRESH */
    uint64_t written;             /* of these, REGISTER */
    uint64_t news;                /* that a link told, with what confirms them */
    uint64_t handshakes, refused; /* links that came about; that found no room */
    uint64_t mistrusted;          /* answers that a resolver refused */
};

/* NULL: no memory. Nobody serves or wants anything yet. */
struct gateways *gateways_new(const struct gateways_options *o);
void gateways_free(struct gateways *w);
instant gateways_now(const struct gateways *w);
/* All that is to happen until then. */
void gateways_run(struct gateways *w, instant until);

/* Services are 0 to services - 1, all of one protocol. */
void gateways_router(struct gateways *w, size_t gateway, size_t service, bool here);
bool gateways_serves(const struct gateways *w, size_t gateway, size_t service);
/* Clients of the gateway want it from now on; -1 as the service is any of them. */
void gateways_want(struct gateways *w, size_t gateway, long service);
void gateways_kill(struct gateways *w, size_t gateway);
bool gateways_is_dead(const struct gateways *w, size_t gateway);
/* No link between these two lives from now on, one pair at a time. */
void gateways_part(struct gateways *w, size_t one, size_t other);
/* Nobody reaches the manager any more, or again. */
void gateways_cut_manager(struct gateways *w, bool cut);

/* Whose router the gateway's clients use: of those that it has a link to and that have told of one, the one with the
 * shortest way. SIZE_MAX: nobody's. */
size_t gateways_chosen(const struct gateways *w, size_t gateway, size_t service);
double gateways_way_ms(const struct gateways *w, size_t i, size_t j);
double gateways_estimate_ms(const struct gateways *w, size_t i, size_t j);
size_t gateways_links(const struct gateways *w, size_t gateway);
/* Messages a second by which it keeps them up: a PING for each that it wants, and a PONG for each that others do. */
double gateways_pings(const struct gateways *w, size_t gateway);
const struct directory *gateways_directory(const struct gateways *w, size_t gateway);
/* Bytes of its directory, now. */
size_t gateways_state(const struct gateways *w, size_t gateway);
const struct manager *gateways_manager(const struct gateways *w);
const struct gateways_counts *gateways_counts(const struct gateways *w);
