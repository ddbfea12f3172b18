/* bench/topology.h - an Internet of a few ISPs, each with points of presence (POPs) in cities: latencies between any
 * two POPs under the routing that ISPs do, and where an anycast address leads.
 *
 * Routing: the fewest ISPs, and out of each at the nearest exit (hot potato). Two ISPs meet in every city that both are
 * in. Inside an ISP: the least latency. No IO. */
#pragma once

#include "base/base.h"

#define TOPOLOGY_ISPS_MAX 32
#define TOPOLOGY_ISP_POPS_MAX 256
#define TOPOLOGY_CITY_MAX 40
#define TOPOLOGY_NAME_MAX 32
#define TOPOLOGY_ERROR_MAX 320
#define TOPOLOGY_MEET_MS 1.   /* between two ISPs of one city; chosen: Rocketfuel's least, between two routers of one */
#define TOPOLOGY_KM_A_MS 200. /* light in a fibre */

struct topology_pop {
    char city[TOPOLOGY_CITY_MAX]; /* letters alone, small */
    double latitude, longitude;   /* NAN: not known */
};

struct topology_isp {
    char name[TOPOLOGY_NAME_MAX];
    struct topology_pop pops[TOPOLOGY_ISP_POPS_MAX];
    size_t count;
    float *ms; /* count x count, one way; INFINITY: no way */
};

/* Rocketfuel's latencies inside an ISP: lines `city,+country+router city,+country+router ms`. Routers of one city are
 * one POP. 0; -EINVAL and err: name, line, what was found and what was expected; -ENOMEM. POPs that are not joined to
 * the most are left out. */
MUST_CHECK int topology_read_rocketfuel(struct topology_isp *ret, const char *text, size_t len, const char *name,
                                        char err[TOPOLOGY_ERROR_MAX]);
/* A network of the Internet Topology Zoo in GraphML: its nodes with a label, a latitude and a longitude. A link's
 * latency is by the distance, in whole ms and at least 1, as Rocketfuel's are. Errors as above, without the line. */
MUST_CHECK int topology_read_graphml(struct topology_isp *ret, const char *text, size_t len, const char *name,
                                     char err[TOPOLOGY_ERROR_MAX]);
void topology_isp_deinit(struct topology_isp *isp);

struct topology {
    size_t isps, pops;
    uint8_t *isp_of;   /* of a POP */
    float *ms;         /* pops x pops, one way, as routed; INFINITY: no way */
    float *exit_ms;    /* pops x isps: to the nearest exit to that ISP; INFINITY: they do not meet */
    uint16_t *exit_to; /* the POP that this leads to */
    uint8_t hops[TOPOLOGY_ISPS_MAX][TOPOLOGY_ISPS_MAX]; /* UINT8_MAX: no way */
};

/* 0 or -ENOMEM. */
MUST_CHECK int topology_init(struct topology *t, const struct topology_isp *isps, size_t count);
void topology_deinit(struct topology *t);
static inline float topology_ms(const struct topology *t, size_t from, size_t to)
{
    return t->ms[from * t->pops + to];
}
/* Which of `count` POPs that announce an address gets what comes from a POP; SIZE_MAX: none is reached. */
size_t topology_anycast(const struct topology *t, size_t from, const uint16_t *at, size_t count);
