/* dmux/directory.h - gateways in numbers that no mesh has: who of them has a router of what, by leased bindings in the
 * managers of their realm.
 *
 * A machine without IO beside a mesh (dmux/mesh.h) whose links are made on demand. A gateway with a router of a service
 * (protocol and provider, or PROVIDER_ANY: a protocol by whoever provides it) is found by a binding whose subject is a
 * label of that service and of a cell of the coordinate space (dmux/coord.h). Cells have three levels, the widest of
 * which is the world. A gateway whose client wants what nobody that it knows provides asks for its own cell, for wider
 * ones only when there is none, and for the cells beside it that may have a nearer one; it makes links to the nearest
 * of those it is told of, and hears from them themselves of their routers, with all that the mesh asks for before it
 * believes a word. So a binding leads to gateways, and makes no router.
 *
 * A binding has room for 16 gateways. One of them writes it, the owner, which has a link to each other one and hears of
 * its routers by that; so nobody writes without knowing, and who falls silent is out within seconds. In a wider cell
 * there is one gateway for each cell in it, the owner there.
 *
 * Who asks managers is its owner: questions come out, and what a resolver has found goes in. */
#pragma once

#include "base/instant.h"
#include "base/rng.h"
#include "dmux/coord.h"
#include "ident/keys.h"
#include "mapping/holder.h"
#include "mapping/resolver.h"

#define DIRECTORY_LEVELS 3
#define DIRECTORY_ENTRIES_MAX RECORD_TARGETS_MAX
#define DIRECTORY_SERVICES_MAX 131072 /* as REGISTRY_MAX */
#define DIRECTORY_WANTS_MAX 1024      /* chosen: services that clients want; what they make up costs no more */
#define DIRECTORY_WANTS_NETWORK 64    /* chosen: of them that have found nobody yet, of clients of one /24 */
#define DIRECTORY_PEERS_MAX 4096      /* chosen: a mesh has fewer */
/* As MESH_NEAREST: how many of the gateways that are found for a service are linked, by estimate; which of them is
 * nearest then follows from measured round trips. */
#define DIRECTORY_NEAREST 4
#define DIRECTORY_LEASE_S 300u   /* as HOLDER_LEASE_S; who owns a binding dies by its links long before */
#define DIRECTORY_DETAILS_LEN 54 /* bytes of an entry in a record's details */

/* A part of the coordinate space; level 0 is the smallest. */
struct directory_cell {
    uint8_t level;
    int8_t at[COORD_DIMENSIONS]; /* counted in edges from the origin; of the world 0 */
};

struct directory_entry {
    uint32_t gateway; /* not 0 */
    struct endpoint at;
    uint8_t x25519[IDENT_KEY_LEN];
    struct coord place;
};

struct directory_options {
    struct directory_entry self; /* its place: directory_set_place */
    struct tag tag; /* of this gateway, as its realm has enrolled it, with RECORD_FLAG_SERVES (ident/record.h) */
    uint8_t ed25519_seed[IDENT_KEY_LEN];
    uint32_t boot_epoch; /* of what it signs (holder_init) */
    struct rng rng;
};

enum directory_event_type {
    DIRECTORY_ASK,    /* resolve the tag (KIND_SERVICE_ROUTER), anew or not; then directory_on_found */
    DIRECTORY_TELL,   /* send the request to a manager of the realm, by this gateway's key; then directory_on_told */
    DIRECTORY_LINK,   /* a link to that gateway is wanted; then directory_on_peer, or directory_on_no_room */
    DIRECTORY_UNLINK, /* it is not wanted any more */
};

struct directory_event {
    enum directory_event_type type;
    uint64_t id; /* ASK, TELL */
    struct tag tag;
    bool anew;
    size_t len; /* TELL: of the request */
    struct directory_entry peer;
};

struct directory_stats {
    uint64_t asks, tells, conflicts, takeovers, links, malformed;
    uint32_t services, owned, peers, wanted, none; /* now; none: wanted, and nobody has it */
};

struct directory;

/* NULL: no memory. */
struct directory *directory_new(const struct directory_options *o, instant now);
void directory_free(struct directory *d);
/* Where this gateway is. Nothing is said or asked before the first call: it should wait until that is about right. */
void directory_set_place(struct directory *d, const struct coord *place, instant now);
/* One more router of that is registered here, or one less. 0; -ENOSPC: DIRECTORY_SERVICES_MAX; -ENOMEM. */
MUST_CHECK int directory_on_router(struct directory *d, uint16_t protocol, uint32_t provider, bool here, instant now);
/* That client (IPv4 address, host order) wants it, and nobody is known. May be called for each packet: it is kept for a
 * minute. What nobody has gives its place to what is new. Errors as above; -ENOSPC: DIRECTORY_WANTS_MAX are wanted;
 * -EDQUOT: that client's network wants DIRECTORY_WANTS_NETWORK that nobody was found for. */
MUST_CHECK int directory_want(struct directory *d, uint16_t protocol, uint32_t provider, uint32_t client, instant now);
/* A client still uses a router of that provider, by way of that gateway: what was wanted, of it or of any, still is,
 * and so is the link. */
void directory_keep(struct directory *d, uint16_t protocol, uint32_t provider, uint32_t gateway, instant now);

/* A link is up, whoever wanted it, or moved its peer's place; and it is down, or did not come about. Who wanted it
 * wants it no longer, and says so. */
void directory_on_peer(struct directory *d, const struct directory_entry *peer, instant now);
void directory_on_peer_gone(struct directory *d, uint32_t gateway, instant now);
/* There is no room here for a link that was wanted, which says nothing of who is there. */
void directory_on_no_room(struct directory *d, uint32_t gateway);
/* The peer has told that it has routers of that, or has no more. */
void directory_on_serves(struct directory *d, uint32_t gateway, uint16_t protocol, uint32_t provider, bool serves,
                         instant now);

/* What is to be done, until false. out: HOLDER_REQUEST_MAX bytes, for TELL. */
bool directory_pop_event(struct directory *d, struct directory_event *ret, uint8_t *out, instant now);
/* What came of ASK: record of FOUND, which the resolver has verified. A number that is not open is ignored. */
void directory_on_found(struct directory *d, uint64_t id, enum resolver_outcome outcome, struct slice record,
                        instant now);
/* What came of TELL; NULL: no answer. */
void directory_on_told(struct directory *d, uint64_t id, const uint8_t *answer, size_t len, instant now);
instant directory_next_expiry(const struct directory *d);
void directory_on_expiry(struct directory *d, instant now);

void directory_stats_get(const struct directory *d, struct directory_stats *ret);
/* Bytes that it has allocated, without what the allocator adds. */
size_t directory_memory(const struct directory *d);
/* The i-th of the gateways that were found for a service, the nearest first; false: no more. */
bool directory_nearest(const struct directory *d, uint16_t protocol, uint32_t provider, size_t i,
                       struct directory_entry *ret);

/* --- directory_record.c: what is in the bindings --- */

struct directory_cell directory_cell_of(const struct coord *place, unsigned level);
bool directory_cell_equal(const struct directory_cell *a, const struct directory_cell *b);
/* Is it in the cell, or beside it by no more than a quarter of its edge? */
bool directory_cell_has(const struct directory_cell *c, const struct coord *place);
/* How far a place is from a cell, us; 0: inside. */
double directory_cell_distance_us(const struct directory_cell *c, const struct coord *place);
/* The label of a service in a cell of the gateways of that realm. 0 or -ENOMEM. */
MUST_CHECK int directory_tag(const struct tag *realm, uint16_t protocol, uint32_t provider,
                             const struct directory_cell *c, struct tag *ret);
/* As targets and details of a binding; count at most DIRECTORY_ENTRIES_MAX. Returns the length of details. */
size_t directory_entries_write(const struct directory_entry *entries, size_t count, struct record_target *targets,
                               uint8_t details[RECORD_DETAILS_MAX]);
/* How many; -EBADMSG: not what directory_entries_write makes, or of a gateway 0 or twice, or where nobody can be. */
MUST_CHECK int directory_entries_read(const struct record *r, struct directory_entry ret[DIRECTORY_ENTRIES_MAX]);
