/* bench/directory.h - what `hawser sim directory` finds: what gateways in numbers that no mesh has cost each other and
 * their managers when they find each other by leased bindings, and how good what they find is. */
#pragma once

#include "bench/args.h"
#include "bench/distribution.h"

#define DIRECTORY_SIZES 3

enum directory_change { CHANGE_REGISTRATION, CHANGE_WITHDRAWAL, CHANGE_FLAP, CHANGE_COUNT };
enum directory_time {
    TIME_FIRST,     /* from the registration of a service's first router to its use by who waits for it */
    TIME_NEARER,    /* likewise, of one that is nearer than the one that is used */
    TIME_WITHDRAWN, /* from a withdrawal to the use of another */
    TIME_DEAD,      /* from a gateway's death to the use of another */
    TIME_COUNT,
};

struct directory_size {
    unsigned long gateways, routers, services;
    /* of a gateway */
    struct distribution state_bytes, links, owned;
    double entries, pings_s, asks_s, tells_s;
    /* of the managers, all together */
    unsigned long bindings, names, refused_links;
    double bindings_bytes;
    struct {
        double manager, mesh; /* messages of one */
    } change[CHANGE_COUNT];
    struct distribution time_s[TIME_COUNT], stretch, more_ms;
    double unserved; /* part of those that want something and have nobody */
    double virtual_s;
};

struct directory_found {
    unsigned long seed, wants;
    double mesh_peer_bytes, mesh_route_bytes; /* of the daemon's full mesh */
    size_t count;
    struct directory_size sizes[DIRECTORY_SIZES];
};

extern const struct bench_report directory_report;
