/* dmux/router_load.h - the load that a router tells gateways, from the time of a processor that it uses.
 *
 * Gateways give a router an eighth less of its share for each eighth of load (dmux/registry.h), so that load told moves
 * clients, and clients make load. What is told follows in single eighths, soon upwards and late downwards, and comes to
 * rest where demand does. */
#pragma once

#include "base/instant.h"

#include <stdint.h>

#define ROUTER_LOAD_EVERY (1 * SEC)   /* a measurement */
#define ROUTER_LOAD_RISE (10 * SEC)   /* chosen: by then the mean has what a step brings, which takes 2 s to count */
#define ROUTER_LOAD_FALL (60 * SEC)   /* chosen: who moves may lose connections, and less load hurries nobody */
#define ROUTER_LOAD_STEP (65536u / 8) /* of what is told: as gateways count (registry.c) */

struct router_load {
    span used;     /* time of a processor since the start, at the last measurement */
    instant at;    /* of that */
    uint32_t busy; /* share of a processor, of 65536: a mean of the last seconds */
    uint16_t told; /* a multiple of ROUTER_LOAD_STEP below 65536 */
    instant changed;
    instant high; /* when it could last not have told less */
};

/* used: the time of a processor that was used until now, us. */
void router_load_init(struct router_load *l, span used, instant now);
/* Measures, if the last time is ROUTER_LOAD_EVERY ago; what is to be told: 0 idle to 65535 full (wire/dmux.h). */
uint16_t router_load_measure(struct router_load *l, span used, instant now);
