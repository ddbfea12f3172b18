/* sim/cross.h - a TCP flow of somebody else's (sim/tcp.h) through an agent's access link, beside what the agent sends.
 *
 *     sender --> access link (world_agent_access) --> core: the receiver
 *          <------------- delay of rtt --------------
 *
 * It is no inner flow: no tunnel carries it. Its segments have CROSS_SEGMENT bytes on the link. */
#pragma once

#include "sim/tcp.h"
#include "sim/world.h"

#define CROSS_SEGMENT 1500

struct cross {
    struct world_source source;
    struct world_watch watch;
    struct world_end *agent;
    struct endpoint at; /* of the receiver, behind the core */
    struct tcp_sender tx;
    struct tcp_receiver rx;
    struct link_dir back;
    bool stopped;
};

/* Begins now. Free it after the world has ended. */
struct cross *cross_new(struct world_end *agent, const struct tcp_cc *cc, span rtt);
void cross_free(struct cross *c);
void cross_stop(struct cross *c);
/* Bytes on the link of what has come in order. */
static inline uint64_t cross_bytes(const struct cross *c)
{
    return c->rx.next * CROSS_SEGMENT;
}
