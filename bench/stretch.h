/* bench/stretch.h - what paths through a demultiplexer cost, and how `hawser sim stretch` tells it.
 *
 * A client's packet goes to the gateway that anycast leads to, from there to the router nearest to that gateway, and on
 * to the server: from that router over the plain Internet (PLAIN), or through the routers' own network to the router
 * nearest to the server and only then over the plain Internet (NATIVE). Beside it the same without gateways, from the
 * client to the router nearest to it: what a network that speaks the protocol itself would do. */
#pragma once

#include "base/rng.h"
#include "bench/args.h"
#include "bench/rtt.h"
#include "bench/topology.h"

enum stretch_metric {
    STRETCH_DMUX,       /* client - gateway - router, of client - that router */
    STRETCH_IPVN,       /* router - router nearest the server - server, of router - server */
    STRETCH_DMUX_PLAIN, /* the whole path, of client - server */
    STRETCH_DMUX_NATIVE,
    STRETCH_DIRECT_PLAIN, /* the same without gateways */
    STRETCH_DIRECT_NATIVE,
    STRETCH_DMUX_FAR, /* STRETCH_DMUX of routers that are at least STRETCH_FAR_MS from the client */
    STRETCH_METRICS,
};

#define STRETCH_FAR_MS 5. /* chosen: latencies are whole ms, so 2 of 1 says little */

/* Latencies of a path beside the direct one. */
struct stretch_legs {
    double client_gateway, gateway_router, client_router; /* that router */
    double router_server;                                 /* that router */
    double router_last, last_server;                      /* last: the router nearest to the server */
    double client_nearest, nearest_server, nearest_last;  /* nearest: the router nearest to the client */
    double client_server;
};

/* A metric of these; NAN: there is nothing to compare with (a distance of 0). Without a gateway (client_gateway NAN)
 * those with DMUX are NAN. */
double stretch_metric(const struct stretch_legs *l, enum stretch_metric metric);
/* What the whole path is longer than client - server: STRETCH_DMUX_PLAIN to STRETCH_DIRECT_NATIVE. */
double stretch_difference(const struct stretch_legs *l, enum stretch_metric metric);

/* One draw over a topology: gateways, routers, a client and a server, each of POPs that are drawn without putting back.
 * scratch: as many numbers as POPs, a permutation, which is kept between draws. False: a leg is missing. */
bool stretch_draw(const struct topology *t, uint16_t *scratch, size_t gateways, size_t routers, struct prng *rng,
                  struct stretch_legs *ret);
/* The legs over measured round trips, where anycast leads to the nearest. False: a leg is missing. */
bool stretch_measured(const struct rtt *m, const uint16_t *gateways, size_t gateways_count, const uint16_t *routers,
                      size_t routers_count, size_t client, size_t server, struct stretch_legs *ret);
/* The first `count` of a permutation become a random choice of it. */
void stretch_choose(uint16_t *permutation, size_t size, size_t count, struct prng *rng);

/* --- what was found --- */

#define STRETCH_GATEWAYS 7
#define STRETCH_ROUTERS 6
#define STRETCH_MATRICES 3
#define STRETCH_FEW 9     /* numbers of routers over measured round trips */
#define STRETCH_STEPS 100 /* of a distribution */

extern const size_t stretch_gateways[STRETCH_GATEWAYS], stretch_routers[STRETCH_ROUTERS], stretch_few[STRETCH_FEW];

/* Of values: at each hundredth, from the least to the greatest; NAN: there were none. */
struct stretch_spread {
    double at[STRETCH_STEPS + 1];
    size_t count;
};

struct stretch_found {
    unsigned long seed, runs;
    size_t isps, pops;
    struct stretch_spread stretch[STRETCH_GATEWAYS][STRETCH_ROUTERS][STRETCH_METRICS];
    struct {
        char name[64];
        size_t nodes;
        struct stretch_spread ms[STRETCH_FEW][STRETCH_METRICS]; /* differences; nothing where there are too few nodes */
    } measured[STRETCH_MATRICES];
};

/* Of a struct stretch_found. */
extern const struct bench_report stretch_report;
