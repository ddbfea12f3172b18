/* prog/dmux_config.h - the configuration file of hawser-dmuxd: a gateway, a router or a client.
 *
 * INI as in hawser.conf: one of [Gateway], [Router] and [Client], and with it
 *
 *   gateway  [Provider NAME] or [Authority NAME]    who may register; of the second, by certificates
 *            [Mesh], [Seed NAME]                    the other gateways of this operator
 *            [Federation NAME], [Border NAME]       other operators
 *            [Bgp], [Neighbor NAME], or [Ospf]      for `hawser-dmuxd bird-config`
 *   router   [Admit NAME]                           a key or realm whose clients are let in
 *   client   [Credential NAME]                      what is shown to a provider that asks
 *
 * Unknown keys and sections are errors; an error is a line `FILE:LINE: found ..., expected ...`. */
#pragma once

#include "base/text.h"
#include "dmux/applicant.h"
#include "dmux/gateway.h"
#include "dmux/locate.h"
#include "dmux/protocol.h"
#include "dmux/router.h"
#include "ident/keys.h"

#define DMUX_PROVIDERS_MAX 1024
#define DMUX_AUTHORITIES_MAX 8
#define DMUX_NEIGHBORS_MAX 16
#define DMUX_ROUTES_MAX 16
#define DMUX_ADMITS_MAX 256 /* chosen: who has more clients has a realm */
#define DMUX_CREDENTIALS_MAX 16
#define DMUX_NAME_MAX 15  /* of sections, bytes */
#define DMUX_PATH_MAX 108 /* of a socket's name, with its NUL */

struct ini_schema;

enum dmux_role { DMUX_ROLE_NONE, DMUX_ROLE_GATEWAY, DMUX_ROLE_ROUTER, DMUX_ROLE_CLIENT };

struct dmux_neighbor {
    char name[DMUX_NAME_MAX + 1];
    struct addr address;
    uint32_t as;
};

/* One key, or a realm. */
struct dmux_admit {
    bool has_key, has_root, has_realm;
    struct peer_key key;
    struct admission_realm realm;
};

/* A gateway of another operator, as it stands in the file. */
struct dmux_border {
    struct endpoint at;
    uint8_t x25519[IDENT_KEY_LEN];
    char realm[NAME_SIZE];
};

struct dmux_config {
    enum dmux_role role;
    char device[16];
    char control[DMUX_PATH_MAX];
    uint16_t port;
    struct addr address; /* gateway: of itself alone; router and client: ADDR_NONE leaves the source to the kernel */

    /* gateway */
    uint32_t id;
    struct addr service;
    struct prefix prefix;
    uint8_t secret[JAR_SECRET_LEN];
    uint32_t network_pps;
    bool xdp;
    char interface[16]; /* with xdp; empty: none */
    uint32_t registrations_max;
    struct provider providers[DMUX_PROVIDERS_MAX];
    size_t providers_count;
    struct authority authorities[DMUX_AUTHORITIES_MAX];
    size_t authorities_count;
    bool has_mesh;
    uint8_t mesh_root[IDENT_KEY_LEN];
    char mesh_realm[NAME_SIZE];
    struct mesh_seed seeds[MESH_SEEDS_MAX];
    size_t seeds_count;
    struct endpoint managers[RESOLVER_MANAGERS_MAX]; /* of the mesh's realm; none: a full mesh */
    size_t managers_count;
    struct endpoint root_managers[RESOLVER_MANAGERS_MAX]; /* of its root; none: as above */
    size_t root_managers_count;
    struct tag tag;                   /* with managers: who this gateway is to them, by the chain, */
    uint8_t realm_key[IDENT_KEY_LEN]; /* and its realm's Ed25519 key */
    struct federation_realm federations[FEDERATION_REALMS_MAX];
    size_t federations_count;
    struct dmux_border border_entries[FEDERATION_BORDERS_MAX];
    struct federation_border borders[FEDERATION_BORDERS_MAX]; /* the same, of which federation */
    size_t borders_count;
    uint32_t as;             /* 0: no BGP */
    char ospf_interface[16]; /* empty: no OSPF */
    uint32_t ospf_area;
    struct addr router_id;
    uint32_t bfd_ms; /* 0: no BFD */
    struct dmux_neighbor neighbors[DMUX_NEIGHBORS_MAX];
    size_t neighbors_count;

    /* router and client */
    uint16_t protocol;
    uint32_t provider;
    struct endpoint gateways[ROUTER_REGISTRARS_MAX]; /* a client's only one is the service */
    size_t gateways_count;

    /* router, and gateway with a mesh */
    struct identity identity;
    bool has_identity;
    uint8_t chain[CREDENTIAL_CHAIN_MAX]; /* its certificate */
    size_t chain_len;

    /* router */
    struct prefix clients; /* addresses of its clients, if the protocol gives any */
    uint32_t weight;
    struct endpoint offers[LOCATE_ENDPOINTS_MAX]; /* protocol hawser: where the agent is */
    size_t offers_count;
    uint8_t offer_chain[LOCATE_CHAIN_MAX]; /* and who */
    size_t offer_chain_len;
    struct dmux_admit admits[DMUX_ADMITS_MAX]; /* as they stand in the file; sorted: */
    size_t admits_count;                       /* 0: all clients are let in */
    struct peer_key members[DMUX_ADMITS_MAX];
    struct admission_realm realms[ADMISSION_REALMS_MAX];
    size_t members_count, realms_count;
    uint32_t admission_s, admissions_max;

    /* client */
    struct credential credentials[DMUX_CREDENTIALS_MAX];
    size_t credentials_count;
    struct prefix routes[DMUX_ROUTES_MAX];
    size_t routes_count;
    bool queued;         /* captured by rules, and not by routes */
    uint16_t queue;      /* of TCP; the next is everything else's */
    uint8_t ip_protocol; /* captured alone; 0: all */
};

/* 0 with *ret (for dmux_config_free), or -EINVAL with lines in errors; -ENOMEM; -errno when the file cannot be read,
 * which is a line too. */
int dmux_config_load(const char *path, struct text *errors, struct dmux_config **ret);
/* The same of text; relative names of files begin at file_name's folder. */
int dmux_config_parse(const char *file_name, const char *data, size_t len, struct text *errors,
                      struct dmux_config **ret);
void dmux_config_free(struct dmux_config *c);

/* What may stand in a file. */
extern const struct ini_schema dmux_config_schema;
