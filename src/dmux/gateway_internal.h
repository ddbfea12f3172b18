/* dmux/gateway_internal.h - what the files of a gateway share: gateway.c has clients, routers and control,
 * gateway_homes.c the packets of other operators' clients. */
#pragma once

#include "dmux/gateway.h"
#include "dmux/limits.h"

struct gateway {
    struct gateway_options o;
    struct jar jar;
    struct registry *registry;
    struct limits *limits;
    struct credentials *credentials;
    struct mesh *mesh;             /* NULL: none */
    struct directory *directory;   /* NULL: a full mesh */
    struct federation *federation; /* NULL: none */
    instant began, place_at, others_at;
    struct gateway_stats stats;
    uint32_t service, unicast; /* host order */
};

/* What is known of the datagram that is being looked at. */
struct arrival {
    const uint8_t *data;
    size_t len;
    struct shim shim;
    const struct endpoint *from;
    uint32_t addr;
    instant now;
    bool at_service; /* it was sent to the service's address */
    uint8_t *out;
    struct dmux_tx *tx;
};

static inline bool gateway_drop(struct gateway *g, unsigned cause)
{
    g->stats.drops[cause]++;
    return false;
}

static inline struct endpoint endpoint_of(uint32_t addr, uint16_t port)
{
    return (struct endpoint){ .addr = addr_v4(addr), .port = port };
}

/* The router of that name; NULL: there is none, or it is a border, which has no key and says nothing as routers do. */
struct registration *gateway_router(const struct gateway *g, const struct arrival *a, uint16_t protocol,
                                    uint32_t provider);
/* May anybody be there? Nothing of the service, nothing that is not a host's. */
bool gateway_address_allowed(const struct gateway *g, const struct endpoint *e);
/* Has the directory look for a service that no router here provides; does nothing without one. Only for a sender that
 * has shown its address. */
void gateway_look_for(struct gateway *g, const struct arrival *a, uint16_t protocol, uint32_t provider);

/* --- gateway_homes.c --- */
/* A packet with a home: from a gateway of another operator, for a router here, or from a router here for that gateway.
 */
bool gateway_on_home(struct gateway *g, const struct arrival *a);
/* Writes the home that this gateway is, with a border's pass. */
void gateway_put_home(const struct gateway *g, const struct registration *border, uint8_t at[SHIM_HOME_LEN]);
