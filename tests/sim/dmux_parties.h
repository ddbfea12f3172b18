/* tests/sim/dmux_parties.h - several operators in virtual time (dmux_world.h). Each party has a
 * realm, a service address, a secret, up to EACH gateways and a hundred numbers of providers of its own. Delays are
 * literal; what is expected follows from them. */
#pragma once

#include "tests/sim/dmux_world.h"

#define PARTIES 3
#define EACH 9 /* gateways of a party, at most; the first is the border that the others are told of */

enum { A, B, C };

struct party {
    char name[2], realm[16];
    struct identity root, ids[EACH + 1], provider;
    uint32_t service;
    struct authority authority;
    struct slice chain; /* of the provider, authority.provider_first */
};

extern struct party parties[PARTIES];
extern uint64_t next_until;   /* end of the certificates of gateways that are made from now on; 0: none */
extern unsigned next_borders; /* gateways of each other party that the next one is told of by its configuration */

/* A world of PARTIES of them, without gateways. */
void parties_begin(void);
/* Gateway `id` of a party, which knows the others that `with` has the bits of, and the first next_borders of their
 * gateways. */
unsigned gateway_of(unsigned party, uint32_t id, unsigned with);
/* A router of the party's provider, registered with that gateway. */
unsigned router_of(unsigned party, uint32_t addr, unsigned gateway);
/* A client of that party, near that gateway, that wants that provider. */
unsigned client_of(unsigned party, uint32_t addr, unsigned gateway, uint32_t provider);
/* Of gateways, by their hosts. */
const struct federation *federation_at(unsigned gateway);
struct federation_realm_info realm_at(unsigned gateway, size_t i);
const struct gateway_stats *stats(unsigned gateway);
/* Whom the gateway sends packets of this provider's to; 0: nobody. */
uint32_t serves(unsigned gateway, uint32_t provider);
/* How many gateways of others it tells. */
size_t askers_of(unsigned gateway);
/* A client's packet gets to the router, and the answer back to the client: from its own service's address. */
void there_and_back(unsigned client, unsigned router);
/* From now on these are the others that it tells of, until its mesh says otherwise. */
void tells_of(unsigned gateway, const struct mesh_member *others, size_t count);
