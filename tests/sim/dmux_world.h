/* tests/sim/dmux_world.h - clients, gateways and routers of src/dmux in virtual time: a network of hosts with
 * addresses, a delay between any two, and an anycast address that leads each host to a gateway of the test's choice.
 * Inner packets are IPv6 by hand. */
#pragma once

#include "base/rng.h"
#include "dmux/client.h"
#include "dmux/gateway.h"
#include "dmux/router.h"
#include "ident/keys.h"
#include "tests/unit/test.h"

#define DELAY (5 * MSEC)
#define HOSTS_MAX 128
#define SERVICE 0xc0000201u /* 192.0.2.1 */

enum kind { NOBODY, GATEWAY, ROUTER, CLIENT };

struct host {
    enum kind kind;
    uint32_t addr;
    struct gateway *gateway;
    struct router *router;
    struct client *client;
    struct router_options options; /* of the router */
    bool dead;
    unsigned nearest;   /* host that the service address leads to */
    uint32_t service;   /* of a gateway and a client: its operator */
    uint8_t last[1500]; /* what came out for the device */
    size_t last_len;
    uint64_t delivered, bytes_in;
};

extern struct host hosts[HOSTS_MAX];
extern unsigned hosts_count;
extern instant now;
extern struct prng prng;
extern struct identity provider_id, stranger_id, root_id;
extern struct slice next_chain;                        /* certificate of the router that is made next */
extern const struct admission_options *next_admission; /* of the routers that are made next; NULL: all are let in */
extern const struct credential *next_credentials;      /* of the clients that are made next */
extern size_t next_credentials_count;
extern void (*watch)(unsigned sender, const uint8_t *data, size_t len); /* sees what anybody sends; NULL: nobody */
extern struct mesh_options *next_mesh;                    /* of the gateways that are made from now on; NULL: none */
extern struct directory_options *next_directory;          /* likewise: they find others by managers */
extern const struct federation_options *next_federation;  /* likewise: they are federated */
extern const struct authority *next_authority;            /* likewise; NULL: of the realm acme.example */
extern uint32_t next_service;                             /* of gateways and clients that are made from now on */
extern uint32_t next_moved;                               /* added to the addresses of gateways, likewise */
extern uint32_t next_wanted;                              /* provider that clients want, likewise */
extern void (*ask_managers)(unsigned gateway);            /* what they have to ask; NULL: nobody asks */
extern void (*before_output)(unsigned gateway);           /* may change what it is about to say; NULL: nobody lies */
extern span (*delay_between)(unsigned from, unsigned to); /* indices of hosts; NULL: DELAY for all */
extern size_t registrations_max;                          /* of gateways that are made from now on */
extern const struct addr server;

struct endpoint at(uint32_t addr, uint16_t port);
void world_begin(void);
unsigned host_new(enum kind kind, uint32_t addr, unsigned nearest);
/* Where a gateway of that number, of next_service, is. */
uint32_t gateway_addr(uint32_t id);
unsigned gateway_at(uint32_t id);
unsigned router_with(uint32_t addr, const uint32_t *registrars, size_t count, uint32_t provider,
                     const struct identity *id, unsigned nearest);
unsigned router_at(uint32_t addr, unsigned gateway);
/* As a new process, which remembers nothing. */
void router_restart(unsigned router);
unsigned client_at(uint32_t addr, unsigned gateway);
void post(unsigned sender, const struct endpoint *from, const struct endpoint *to, const uint8_t *data, size_t len);
void world_run(span time);
size_t packet_make(uint8_t *p, const struct addr *from, const struct addr *to);
struct client_info info_of(unsigned client);
bool client_sends(unsigned client, unsigned *ret);
/* The chain of a service that a realm, which is a root, has enrolled. Time is the gateways' 1000. */
struct slice chain_make(const struct identity *root, const char *realm, const struct identity *id, const char *leaf,
                        uint64_t not_after_s, uint8_t out[CREDENTIAL_CHAIN_MAX]);
/* Likewise; 1,024 of them are kept. */
struct slice chain_kept(const struct identity *root, const char *realm, const struct identity *id, const char *leaf,
                        uint64_t not_after_s);
