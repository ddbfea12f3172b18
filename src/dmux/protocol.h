/* dmux/protocol.h - what a protocol behind the demultiplexer is: a table of functions at the client, one at the router.
 *
 * A new protocol is a file for each table (or one for both), and a line in dmux/protocols.c
 * (doc/tutorial-protocol.md). The functions do no IO: packets of the protocol come in and go out as bytes, and what
 * they need to remember is in the state that they are given, zeroed, of the size that they ask for. A function may be
 * NULL where that is said; id, name and the others must be there.
 *
 * What hawser-dmuxd has a protocol's packets from, and delivers to, is a TUN device, which takes whole IPv4 and IPv6
 * packets alone. Between client and router a packet may be any bytes. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"
#include "base/rng.h"
#include "base/slice.h"
#include "wire/shim.h"

#define PROTOCOL_PACKET_MAX 1400 /* the largest packet: 1500 less IPv4, UDP and the largest shim, rounded down */

#define PROTOCOL_NAMES_SIZE 128

/* A client as its gateway sees it: unique as long as it sends, and where answers go. */
struct client_id {
    uint32_t addr; /* host order */
    uint16_t port;
};

enum protocol_verdict {
    PROTOCOL_DROP,    /* it is wrong, or of no use */
    PROTOCOL_TAKEN,   /* the protocol has what it wanted of it */
    PROTOCOL_DELIVER, /* to this host, through its TUN device */
    PROTOCOL_ANSWER,  /* at a router: `reply` goes back to the client */
};

struct protocol_reply {
    uint8_t packet[PROTOCOL_PACKET_MAX];
    size_t len;
};

/* Bits: what of the setup a router's protocol needs. The rest has no effect on it. */
enum protocol_needs { PROTOCOL_CLIENTS = 1, PROTOCOL_OFFERS = 2 };

/* What the configuration says to a router's protocol. All of it outlives the protocol. */
struct protocol_setup {
    struct prefix clients;         /* PROTOCOL_CLIENTS: addresses for its clients; family ADDR_NONE: none */
    const struct endpoint *offers; /* PROTOCOL_OFFERS: */
    size_t offers_count;
    struct slice offered; /* records in a row: of what is at `offers` */
};

struct protocol_router {
    uint16_t id; /* protocol_id of the shim */
    const char *name;
    size_t state_bytes;
    unsigned needs; /* set of enum protocol_needs */
    /* NULL; or, for people, what it expected of what it needs. NULL as a function: it needs none of it. */
    const char *(*init)(void *state, const struct protocol_setup *setup);
    /* A client's packet. */
    enum protocol_verdict (*on_client)(void *state, const struct client_id *client, const uint8_t *packet, size_t len,
                                       struct protocol_reply *reply);
    /* A packet that this host sends into the TUN device: whose is it? False: nobody's. NULL: nothing comes back that
     * way, as where on_client answers everything itself. */
    bool (*client_of)(void *state, const uint8_t *packet, size_t len, struct client_id *ret);
};

struct protocol_client {
    uint16_t id;
    const char *name;
    size_t state_bytes;
    uint8_t family; /* enum addr_family: a network that routes it needs no demultiplexer; ADDR_NONE: nobody can tell */
    uint8_t routes; /* enum addr_family of what its device carries; ADDR_NONE: either */
    bool no_device; /* its packets are for the program that asks, which is not hawser-dmuxd */
    /* Before all else. NULL: zeros will do. */
    void (*init)(void *state, const struct rng *rng);
    /* The client was seen here, now and whenever that changes. NULL: it does not matter. */
    void (*on_seen)(void *state, const struct client_id *self);
    /* Something that the client says of itself: the packet's length, 0: nothing now. NULL: never. */
    size_t (*output)(void *state, uint8_t packet[PROTOCOL_PACKET_MAX], instant now);
    /* When output is to be called next; INSTANT_NEVER: not by itself. NULL: as if never. */
    instant (*next_expiry)(const void *state);
    /* May this packet of the TUN device go out? NULL: all may. */
    bool (*may_send)(void *state, const uint8_t *packet, size_t len);
    /* A packet from a router. */
    enum protocol_verdict (*on_router)(void *state, const uint8_t *packet, size_t len, instant now);
    /* The client's address, which its TUN device should have; family ADDR_NONE: none (yet). With the first the routes
     * of the configuration are added. NULL: the device gets neither. */
    struct addr (*address)(const void *state);
};

/* By number or name; NULL: not known. */
const struct protocol_router *protocol_router_find(uint16_t id);
const struct protocol_client *protocol_client_find(uint16_t id);
/* The number of a protocol by its name, or by a number in decimal or (0x) hexadecimal digits; 0: neither. */
uint16_t protocol_parse(const char *text);
/* "a, b or c", for people: all that there are, or those alone that have a device at clients. Returns buf. */
char *protocol_names(bool with_device, char buf[PROTOCOL_NAMES_SIZE]);
