/* bench/federation.h - what `hawser sim federation` finds: what several operators cost that send each
 * other's clients on, and how good the ways are, beside one flat mesh of all their gateways. */
#pragma once

#include "bench/args.h"
#include "bench/distribution.h"

enum federation_time {
    TIME_FOUND,     /* from the registration of a provider's routers to the use of a border */
    TIME_WITHDRAWN, /* from the withdrawal of the last to the use of none */
    TIME_DEAD,      /* from the death of the border that is used to the use of another */
    TIME_COUNT,
};

enum federation_change { CHANGE_FIRST, CHANGE_LAST, CHANGE_OTHER, CHANGE_COUNT };

struct federation_found {
    unsigned long seed, gateways, routers, providers, realms, asked;
    double mesh_peer_bytes, mesh_route_bytes; /* of the daemon's full mesh */
    /* of a gateway */
    struct distribution links, state_bytes, stretch, more_ms;
    double services, registrations, messages_s;
    /* of a border, that as many ask as of borders a gateway asks */
    double border_bytes, asker_bytes;
    double per_change[CHANGE_COUNT]; /* messages to and from one gateway that asks */
    struct distribution time_s[TIME_COUNT];
    double unserved, virtual_s;
};

extern const struct bench_report federation_report;
