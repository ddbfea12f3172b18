/* sim/faults.h - random schedules of faults, by seed.
 *
 * A schedule is a list of steps: at a time, something happens to an uplink, a node or an agent, and something ends.
 * Faults overlap as they fall. The schedule depends on the seed and the options alone, not on the run. */
#pragma once

#include "sim/world.h"

#define FAULT_STEPS_MAX 1024

enum fault {
    FAULT_CARRIER,    /* the node is told */
    FAULT_BLACKHOLE,  /* both directions, silent */
    FAULT_HALF,       /* one direction, silent */
    FAULT_LOSS,       /* up to 30 % */
    FAULT_BURSTS,     /* Gilbert-Elliott */
    FAULT_RATE,       /* 0.2 to 20 Mbit/s */
    FAULT_DELAY,      /* 1 to 300 ms */
    FAULT_REORDER,    /* jitter that changes the order */
    FAULT_DUPLICATE,  /* up to 30 % */
    FAULT_CORRUPT,    /* up to 5 % */
    FAULT_SEND_ERROR, /* the kernel refuses */
    FAULT_REBIND,     /* the NAT forgets */
    FAULT_MOVE,       /* a new address, with notice */
    FAULT_AGENT,      /* the agent's process is replaced, at once or after a while */
    FAULT_NODE,       /* the node's */
    FAULT_ALL_GONE,   /* every uplink's carrier */
    FAULT_LEAVING,    /* planned handover */
    FAULT_TIER,       /* another tier */
    FAULT_STEER,      /* another mode */
    FAULT_UDP,        /* the network drops UDP, all or more than half of it; TCP passes */
    FAULT_COUNT
};

struct fault_step {
    instant at;
    uint8_t fault; /* enum fault */
    bool begins;   /* or ends */
    uint8_t uplink;
    char text[96]; /* for the link, or the steering table */
};

struct faults {
    struct world *world;
    struct world_end *node, *agent;
    const char *healthy; /* link parameters to which an end of a fault returns */
    struct fault_step steps[FAULT_STEPS_MAX];
    size_t count, next;
    unsigned depth[WORLD_UPLINKS_MAX][FAULT_COUNT];
    unsigned happened[FAULT_COUNT];
    struct world_source source;
    void (*log)(const char *line);
};

struct fault_options {
    uint64_t seed;
    span length;      /* of the schedule; all faults have ended then */
    span mean_gap;    /* between beginnings */
    uint32_t without; /* bits of enum fault */
    const char *healthy;
};

/* Makes the schedule and lets the world carry it out from now on. The object outlives the run. */
void faults_init(struct faults *f, struct world_end *node, struct world_end *agent, const struct fault_options *o);
