/* dmux/federation.h - several operators, each with a realm, an anycast prefix and gateways of its
 * own, that send each other's clients on: two levels, a mesh inside each and this between them.
 *
 * A gateway asks borders, which are gateways of other realms, over links like the mesh's, and each tells it which
 * providers of which protocols it has routers of, and how far; never which routers. What a border says of a provider
 * counts if its own realm may give that number, as this gateway's configuration says, and has certified it. Then the
 * border is in the registry, for where there is no router of one's own; with each packet it is shown the pass that it
 * has given. A border serves by its own routers alone: what came from another provider goes to no third one. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"
#include "base/rng.h"
#include "dmux/credentials.h"
#include "dmux/jar.h"
#include "dmux/mesh.h"
#include "dmux/registry.h"

#define FEDERATION_REALMS_MAX 16
#define FEDERATION_BORDERS_MAX 64 /* chosen: that are configured, of all realms */
#define FEDERATION_LINKS_MAX 8    /* chosen: borders of a realm that are asked */
#define FEDERATION_NEAREST 2      /* chosen: of those that have a service, that get packets */
#define FEDERATION_SERVICES_MAX                                                                                        \
    4096 /* chosen: of a realm that are remembered, and that are told: as MESH_ADOPTED_MAX; of CREDENTIALS_MAX         \
            providers */
#define FEDERATION_ADOPTED_MAX                                                                                         \
    8192 /* chosen: registrations of borders, half of what the kernel's tables have, and at most half of what the      \
            gateway may have; of each realm an equal share */
#define FEDERATION_ASKERS_MAX 1024    /* chosen: gateways of others that this one tells; of each realm an equal share */
#define FEDERATION_SUMMARIES_PER_S 50 /* chosen: that are taken of a border: 6,300 items */
#define FEDERATION_SILENCE (3 * SEC)  /* as a router's */
#define FEDERATION_KNOWN_MAX 64       /* chosen: of one's own realm, of whom others are told */
#define FEDERATION_NAME_MAX 15

/* Another operator. */
struct federation_realm {
    char name[FEDERATION_NAME_MAX + 1]; /* for people */
    struct authority authority;         /* its root and realm, and the numbers and protocols that it may give */
    struct prefix prefix;               /* that it announces; IPv4 */
};

/* A gateway of another one. */
struct federation_border {
    size_t realm; /* index */
    struct endpoint at;
    uint8_t x25519[IDENT_KEY_LEN];
};

struct federation_options {
    const struct federation_realm *realms; /* outlive the federation; at most FEDERATION_REALMS_MAX */
    size_t realms_count;
    const struct federation_border *borders; /* outlive it; at most FEDERATION_LINKS_MAX of a realm */
    size_t borders_count;
    /* This gateway: as of the mesh; and the prefix that it announces. */
    uint32_t id;
    struct prefix prefix;
    struct endpoint unicast;
    const struct identity *identity;
    struct slice chain;
    struct rng rng;
};

enum federation_drop {
    FEDERATION_DROP_MALFORMED,
    FEDERATION_DROP_STRANGER, /* no gateway of a realm that is federated with, or not from where it says to be */
    FEDERATION_DROP_SEAL,     /* not sealed by that end, or seen before */
    FEDERATION_DROP_FULL,     /* more links, services or registrations than there is room for */
    FEDERATION_DROP_FLOOD,    /* a border tells, or a gateway asks, more often than is looked at */
    /* Of a service: its realm may not give that number, or not for that protocol; has not certified it; another key
     * than the one that has the number here. */
    FEDERATION_DROP_NUMBER,
    FEDERATION_DROP_CERTIFICATE,
    FEDERATION_DROP_KEY,
    FEDERATION_DROP_DAMPED, /* it came and went too often */
    FEDERATION_DROP_COUNT,
};

/* The last that was refused of what a realm's borders said. */
struct federation_refusal {
    enum federation_drop cause; /* NUMBER, CERTIFICATE, KEY */
    uint32_t gateway;           /* the border; 0: nothing was refused */
    uint32_t provider;
    uint16_t protocol;
};

struct federation_realm_info {
    const struct federation_realm *realm;
    size_t services, adopted; /* that are told and not refused; registrations */
    uint64_t drops[FEDERATION_DROP_COUNT];
    struct federation_refusal refusal;
};

struct federation_border_info {
    uint32_t gateway; /* 0: one that has not answered yet */
    struct endpoint at;
    bool up;
    uint32_t rtt_us; /* 0: not measured */
    size_t services; /* that it has told of and still has */
};

struct federation_stats {
    size_t askers;                         /* gateways of others that this one tells */
    size_t told;                           /* services that they are told of */
    uint64_t unproven;                     /* that are not, since no certificate shows whose they are */
    uint64_t drops[FEDERATION_DROP_COUNT]; /* of no realm in particular */
};

struct federation;

/* registry, own (who speaks for which provider here), jar and directory (NULL: none) outlive it; the registry is summed
 * up. NULL: no memory. */
struct federation *federation_new(const struct federation_options *o, struct registry *registry,
                                  const struct credentials *own, const struct jar *jar, struct directory *directory,
                                  instant now);
void federation_free(struct federation *f);
/* An answer to a HELLO that the federation has sent, or not. */
void federation_on_challenge(struct federation *f, const struct dmux_message *c, const struct endpoint *from,
                             instant now);
/* A datagram of the types DMUX_FEDERATION_*, whole. The caller has checked the cookie of an INIT. */
void federation_on_datagram(struct federation *f, const uint8_t *data, size_t len, const struct endpoint *from,
                            uint64_t wall_s, instant now);
/* What is to be sent, until false. out: DMUX_REGISTER_MAX + 64 bytes. */
bool federation_output(struct federation *f, uint8_t *out, struct dmux_tx *tx, instant now);
instant federation_next_expiry(const struct federation *f);
/* After the registry's. */
void federation_on_expiry(struct federation *f, uint64_t wall_s, instant now);
/* Other gateways of this realm, which are borders too, the nearest first: at most FEDERATION_KNOWN_MAX count. */
void federation_set_others(struct federation *f, const struct mesh_member *others, size_t count);
/* That client (host order) wants what nobody here has: borders that may have it are asked. */
void federation_want(struct federation *f, uint16_t protocol, uint32_t provider, uint32_t client, instant now);
/* Is this the address of a border or an asker that has shown that it is there? Host order. */
bool federation_is_member(const struct federation *f, uint32_t addr);
/* Of a registration's realm, which is not 0. */
const struct federation_realm *federation_realm_of(const struct federation *f, uint8_t realm);
void federation_stats_get(const struct federation *f, struct federation_stats *ret);
/* The i-th realm, and its j-th border that is linked; false after the last. */
bool federation_realm_info(const struct federation *f, size_t i, struct federation_realm_info *ret);
bool federation_border_info(const struct federation *f, size_t i, size_t j, struct federation_border_info *ret);
const char *federation_drop_name(unsigned drop);
