/* dmux/mesh.h - gateways that know each other: who they are, how far they are from each other, and the routers that
 * each has registered.
 *
 * Each gateway has a link to each other one, or in numbers that no mesh has to those that its directory names
 * (dmux/directory.h), and tells it of its own routers, and of nobody else's. What it says of a
 * router is what the router's provider has signed for that gateway; who hears it believes no more: of each provider it
 * takes the nearest of those it has heard of, asks them itself, and packets go to those that answer (registry.h).
 *
 * A gateway is a gateway by the certificate that its realm gave it (a chain to the service dmux-gateway-ID.s.REALM),
 * and by the secret that all have. It finds the others through the seeds that it is told. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"
#include "base/rng.h"
#include "dmux/credentials.h"
#include "dmux/registry.h"
#include "dmux/tx.h"

#define MESH_PEERS_MAX 256     /* chosen: links of a gateway; more want another form of mesh */
#define MESH_SEEDS_MAX 16      /* chosen */
#define MESH_ROUTES_MAX 131072 /* of others' routers that are remembered: as REGISTRY_MAX */
#define MESH_ADOPTED_MAX 4096  /* chosen: of others' routers that are asked, once a second each */
#define MESH_NEIGHBOURS                                                                                                \
    8 /* chosen: of a mesh by managers: links that are kept for coordinates; seeds are linked until then */
#define MESH_NEAREST 4 /* chosen: of the routers of one provider, from others, that are asked */
#define MESH_PING_EVERY (1 * SEC)
#define MESH_SILENCE (3 * SEC) /* as a router's */

struct directory;
struct directory_entry;
struct coord;

struct mesh_seed {
    struct endpoint at;
    uint8_t x25519[IDENT_KEY_LEN];
};

struct mesh_options {
    uint32_t id;
    struct endpoint unicast;
    const struct identity *identity; /* outlives the mesh */
    struct slice chain;              /* likewise */
    uint8_t root[IDENT_KEY_LEN];     /* who says who is a gateway: the root, and the name of the realm */
    char realm[NAME_SIZE];
    uint8_t secret[32]; /* all gateways' */
    struct mesh_seed seeds[MESH_SEEDS_MAX];
    size_t seeds_count;
    /* By managers: links to those alone that this names, to seeds, and to a few others; it is told of links, of what
     * peers serve and of routers here. Outlives the mesh. NULL: a full mesh. */
    struct directory *directory;
};

enum mesh_drop {
    MESH_DROP_MALFORMED,
    MESH_DROP_STRANGER, /* no certificate of a gateway, or not from where it says to be */
    MESH_DROP_SEAL,     /* not sealed by that peer, or seen before */
    MESH_DROP_FULL,
    MESH_DROP_UNSIGNED, /* of a router: the provider has not signed it for that gateway */
    MESH_DROP_COUNT,
};

struct mesh_stats {
    uint64_t news_out, news_in, members_in, adopted, released;
    uint64_t nowhere; /* coordinates that nobody can have, and round trips */
    uint64_t drops[MESH_DROP_COUNT];
};

struct mesh_peer_info {
    uint32_t gateway; /* 0: a seed that has not answered yet */
    struct endpoint at;
    uint8_t x25519[IDENT_KEY_LEN];
    bool up;
    uint32_t rtt_us;      /* 0: not measured */
    uint32_t estimate_us; /* by coordinates; 0: it has not said where it is */
    uint32_t routers;     /* that it has told of */
};

struct mesh;

/* registry and credentials outlive the mesh, which watches the registry. NULL: no memory. */
struct mesh *mesh_new(const struct mesh_options *o, const struct rng *rng, struct registry *registry,
                      struct credentials *credentials, instant now);
void mesh_free(struct mesh *m);
/* An answer to a HELLO that the mesh has sent, or not. */
void mesh_on_challenge(struct mesh *m, const struct dmux_message *c, const struct endpoint *from, instant now);
/* A datagram of the types DMUX_MESH_*, whole. The caller has checked the cookie of an INIT. */
void mesh_on_datagram(struct mesh *m, const uint8_t *data, size_t len, const struct endpoint *from, uint64_t wall_s,
                      instant now);
/* What is to be sent, until false. out: DMUX_REGISTER_MAX + 64 bytes. */
bool mesh_output(struct mesh *m, uint8_t *out, struct dmux_tx *tx, instant now);
instant mesh_next_expiry(const struct mesh *m);
/* After the registry's. */
void mesh_on_expiry(struct mesh *m, uint64_t wall_s, instant now);
/* By managers: what the directory wants (DIRECTORY_LINK, DIRECTORY_UNLINK). False: there is no room. */
bool mesh_link(struct mesh *m, const struct directory_entry *e, instant now);
void mesh_unlink(struct mesh *m, uint32_t gateway);
/* Where this gateway is. */
const struct coord *mesh_coord_get(const struct mesh *m);
/* Is this a gateway's own address? Host order. */
bool mesh_is_member(const struct mesh *m, uint32_t addr);
const struct mesh_stats *mesh_stats_get(const struct mesh *m);
/* Routers of others that are remembered. */
size_t mesh_routes(const struct mesh *m);
/* The i-th peer; false after the last. */
bool mesh_peer_info(const struct mesh *m, size_t i, struct mesh_peer_info *ret);
const char *mesh_drop_name(unsigned drop);
