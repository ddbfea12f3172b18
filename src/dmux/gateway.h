/* dmux/gateway.h - a gateway without its sockets: datagrams in, datagrams out.
 *
 * Clients send to the service address, which all gateways have; routers are behind tunnels. Every datagram gives at
 * most one other: it is forwarded, answered, or dropped and counted by cause. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"
#include "base/rng.h"
#include "dmux/credentials.h"
#include "dmux/directory.h"
#include "dmux/federation.h"
#include "dmux/jar.h"
#include "dmux/mesh.h"
#include "dmux/registry.h"
#include "dmux/tx.h"

/* A datagram that goes to a router or a border gets longer by this at most. */
#define GATEWAY_GROWS (SHIM_COOKIE_LEN + SHIM_CLIENT_LEN + SHIM_HOME_LEN)
#define GATEWAY_COOKIE_S 120 /* chosen: clients renew after a few seconds; a sleeping laptop asks again */
#define GATEWAY_TICKET_S 300 /* chosen: how long a router may answer a client that says nothing */
#define GATEWAY_HOPS 4       /* hop limit of the tunnel: a gateway and a border, there and back */

enum gateway_drop {
    GATEWAY_DROP_SHIM,                      /* + enum shim_fault */
    GATEWAY_DROP_FAMILY = SHIM_FAULT_COUNT, /* outer IPv6 */
    GATEWAY_DROP_SOURCE,                    /* an address that no client and no router has */
    GATEWAY_DROP_CLIENT,                    /* a client that says what gateways say: A or V */
    GATEWAY_DROP_EMPTY,                     /* nothing behind the shim */
    GATEWAY_DROP_UNVERIFIED,                /* more than a client gets before it has shown its address */
    GATEWAY_DROP_RATE,                      /* more than its network, or the provider, gets */
    GATEWAY_DROP_NO_ROUTER,                 /* nobody provides it */
    GATEWAY_DROP_TICKET,                    /* from a router: no packet of this client was sent to it */
    GATEWAY_DROP_HOPS,                      /* went round */
    GATEWAY_DROP_AMPLIFIED,                 /* more than an unverified client may be sent */
    GATEWAY_DROP_CONTROL,                   /* malformed, or not for gateways */
    GATEWAY_DROP_COOKIE,                    /* ECHO without a cookie that holds */
    GATEWAY_DROP_MAC,
    GATEWAY_DROP_REPLAY,
    GATEWAY_DROP_PASS,    /* by way of another operator's gateway, without a pass of this one's */
    GATEWAY_DROP_TRANSIT, /* by way of one, for what this one's own routers do not provide */
    GATEWAY_DROP_COUNT,
};

struct gateway_options {
    uint32_t id;                      /* not 0 */
    struct endpoint service;          /* the anycast address and port */
    struct prefix prefix;             /* that is announced; nothing in it may be a client or a router */
    struct endpoint unicast;          /* of this gateway alone */
    uint8_t secret[JAR_SECRET_LEN];   /* all gateways' */
    const struct provider *providers; /* these and authorities outlive the gateway */
    size_t providers_count;
    const struct authority *authorities;
    size_t authorities_count;
    size_t registrations_max; /* at most REGISTRY_MAX */
    uint32_t network_pps;     /* of a /24 of verified clients; 0: no limit */
    const struct mesh_options
        *mesh; /* read by gateway_new alone; its id, unicast and secret are these; NULL: no mesh */
    /* Instead of a full mesh: who finds others by managers, as this entity of the mesh's realm; id, address and key are
     * those above. Read by gateway_new alone; NULL: a full mesh. */
    const struct directory_options *directory;
    /* Other operators; its id, address, key, chain and randomness are those above, of the mesh, which
     * it needs. Read by gateway_new alone, its realms and borders outlive the gateway; NULL: none. */
    const struct federation_options *federation;
    struct rng rng;
};

struct gateway_stats {
    uint64_t to_router_pkts, to_router_bytes, to_client_pkts, to_client_bytes, answered;
    uint64_t to_border_pkts;               /* of those to a router: to another operator's gateway */
    uint64_t from_home_pkts, to_home_pkts; /* of others' clients: to a router, and back */
    uint64_t registered, refused[DMUX_REFUSAL_COUNT];
    uint64_t unwanted; /* what clients want, beyond what is looked for */
    uint64_t drops[GATEWAY_DROP_COUNT];
};

struct gateway;

/* NULL: no memory. now: when the mesh begins. wall_s: seconds of a clock that all gateways share (dmux/jar.h). */
struct gateway *gateway_new(const struct gateway_options *o, uint32_t wall_s, instant now);
void gateway_free(struct gateway *g);
/* Before datagrams, whenever the second has changed. */
void gateway_set_wall(struct gateway *g, uint32_t wall_s);
/* local: the address that it was sent to. True: *tx and out (at least len + GATEWAY_GROWS and DMUX_MESSAGE_MAX bytes,
 * apart from data) are to be sent. */
bool gateway_on_datagram(struct gateway *g, const uint8_t *data, size_t len, const struct endpoint *from,
                         const struct addr *local, instant now, uint8_t *out, struct dmux_tx *tx);
/* What it has to say by itself, until false. out: DMUX_REGISTER_MAX + 64 bytes. */
bool gateway_output(struct gateway *g, uint8_t *out, struct dmux_tx *tx, instant now);
instant gateway_next_expiry(const struct gateway *g);
void gateway_on_expiry(struct gateway *g, instant now);
const struct gateway_stats *gateway_stats_get(const struct gateway *g);
/* NULL: none. */
const struct mesh *gateway_mesh(const struct gateway *g);
/* NULL: none. */
const struct federation *gateway_federation(const struct gateway *g);
/* By managers; NULL: it is not. What gateway_pop_question has given out is answered there. */
struct directory *gateway_directory(struct gateway *g);
/* The next thing to ask or tell managers: DIRECTORY_ASK or DIRECTORY_TELL, with its request in out, HOLDER_REQUEST_MAX
 * bytes. */
bool gateway_pop_question(struct gateway *g, struct directory_event *ret, uint8_t *out, instant now);
const struct registry *gateway_registry(const struct gateway *g);
/* For a data path elsewhere: the tables to be exported (dmux/registry.h), and the keys of cookies now. */
struct registry *gateway_export(struct gateway *g);
const struct shim_keys *gateway_keys(const struct gateway *g);
/* packets/s that a provider gets; 0: no limit. */
uint32_t gateway_rate(const struct gateway *g, uint32_t provider);
const char *gateway_drop_name(unsigned drop);
