/* dmux/router.h - the end that provides a protocol: registers with gateways, stays registered, takes packets out of the
 * tunnel and puts answers in.
 *
 * A registrar is an address to register at: the service's anycast address, where the router follows whichever gateway
 * is nearest, or one gateway's own. It is registered with the new gateway before it leaves the old.
 *
 * A gateway that it is registered with vouches for others (dmux/mesh.h): what those send is taken as long as they ask
 * whether the router is there.
 *
 * A provider may ask its clients for credentials (dmux/admission.h): then the protocol sees packets of those alone that
 * are let in, and nobody else is sent any. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"
#include "base/rng.h"
#include "base/slice.h"
#include "dmux/admission.h"
#include "dmux/protocol.h"
#include "dmux/tx.h"
#include "wire/dmux.h"

#define ROUTER_REGISTRARS_MAX 16
#define ROUTER_GROWS SHIM_LEN_MAX
#define ROUTER_KEEPALIVE (1 * SEC)
#define ROUTER_SILENCE (3 * SEC)  /* as the gateway's: then it is asked anew */
#define ROUTER_LOOK_EVERY 5       /* keepalives: then the registrar's address is asked who is there */
#define ROUTER_RETRY (250 * MSEC) /* chosen: first repetition, doubled up to ROUTER_RETRY_MAX */
#define ROUTER_RETRY_MAX (5 * SEC)
#define ROUTER_VOUCHED 256   /* gateways that are vouched for; a set of 4 gives up its oldest */
#define ROUTER_CLIENTS 65536 /* 6 MiB; a set of 8 gives up its oldest */

struct router_options {
    const struct protocol_router *protocol;
    struct protocol_setup setup;
    uint32_t provider;
    const uint8_t *ed25519_seed, *ed25519; /* the provider's; these and the chain outlive the router */
    struct slice chain;                    /* its certificate; empty: gateways know the key */
    struct endpoint registrars[ROUTER_REGISTRARS_MAX];
    size_t registrars_count;
    uint16_t weight;
    const struct admission_options *admission; /* read by router_new alone; NULL: all clients are let in */
    struct rng rng;
};

enum router_drop {
    ROUTER_DROP_SHIM,
    ROUTER_DROP_FROM,  /* not from a gateway that it is registered with */
    ROUTER_DROP_OTHER, /* another protocol or provider */
    ROUTER_DROP_HOPS,
    ROUTER_DROP_PACKET, /* the protocol refused it */
    ROUTER_DROP_CLIENT, /* of the device: for nobody who was here */
    ROUTER_DROP_SIZE,
    ROUTER_DROP_MAC,
    ROUTER_DROP_ADMISSION, /* of or for a client that is not let in */
    ROUTER_DROP_HOME,      /* by way of another operator's gateway, of a client that is here by itself */
    ROUTER_DROP_COUNT,
};

enum router_registrar_state {
    REGISTRAR_ASKING,
    REGISTRAR_REGISTERING,
    REGISTRAR_REGISTERED,
    REGISTRAR_ELSEWHERE,
    REGISTRAR_STATE_COUNT
};

struct router_registrar_info {
    struct endpoint at, unicast;
    enum router_registrar_state state; /* ELSEWHERE: another one has that gateway */
    uint32_t gateway;
    uint8_t refusal; /* the last, enum dmux_refusal */
    struct endpoint you;
};

/* What a gateway says of the router, or that it says nothing. */
struct router_verdict {
    struct endpoint at; /* the registrar */
    uint32_t gateway;
    bool silent;     /* it has said nothing for ROUTER_SILENCE; gateway: the last that did, 0: none */
    uint8_t refusal; /* else enum dmux_refusal; DMUX_REFUSED_NONE: it has registered it */
    uint16_t wait_s; /* when it is refused: so long at least */
};

struct router_stats {
    uint64_t rx_pkts, tx_pkts, answered, moves;
    uint64_t drops[ROUTER_DROP_COUNT];
};

enum router_input {
    ROUTER_NOTHING,
    ROUTER_PACKET, /* *ret_packet is for the device */
    ROUTER_REPLY,  /* *tx and out are to be sent */
};

struct router;

/* NULL: no memory, or the protocol refuses its setup. */
struct router *router_new(const struct router_options *o, instant now);
void router_free(struct router *r);
/* Before datagrams, whenever the second has changed: seconds since 1970, which certificates of clients are judged by.
 */
void router_set_wall(struct router *r, uint64_t wall_s);
/* How busy it is, 0 idle to 65535 full: gateways are told with each KEEPALIVE, and for each eighth give it an eighth
 * less of its share. Who sets what is measured moves clients back and forth: dmux/router_load.h. */
void router_set_load(struct router *r, uint16_t load);
/* out: PROTOCOL_PACKET_MAX + ROUTER_GROWS bytes. */
enum router_input router_on_datagram(struct router *r, const uint8_t *data, size_t len, const struct endpoint *from,
                                     instant now, const uint8_t **ret_packet, size_t *ret_len, uint8_t *out,
                                     struct dmux_tx *tx);
/* A packet of the device: true with *tx and out (len + ROUTER_GROWS). */
bool router_on_packet(struct router *r, const uint8_t *packet, size_t len, instant now, uint8_t *out,
                      struct dmux_tx *tx);
/* Control: until false. out: DMUX_REGISTER_MAX. */
bool router_output(struct router *r, uint8_t *out, struct dmux_tx *tx, instant now);
instant router_next_expiry(const struct router *r);
/* It goes: withdrawals are what router_output gives from now on. More calls do nothing. */
void router_leave(struct router *r);
/* True once each gateway has answered. */
bool router_has_left(const struct router *r);
size_t router_registrar_info(const struct router *r, struct router_registrar_info ret[ROUTER_REGISTRARS_MAX]);
/* Of each registrar the last verdict, once, if it is another one than was popped before, or of another gateway; false:
 * no more. What a router answers by beginning again at once (a cookie that is stale, a registration that was forgotten)
 * is none, unless a cookie is refused twice in a row. */
bool router_pop_verdict(struct router *r, struct router_verdict *ret);
const struct router_stats *router_stats_get(const struct router *r);
/* NULL: nobody is asked for credentials. */
const struct admission *router_admission(const struct router *r);
const char *router_drop_name(unsigned drop);
const char *router_registrar_state_name(unsigned state);
