/* dmux/registry.h - the routers that a gateway knows: who provides which protocol, is alive, is near.
 *
 * A registration is (protocol, provider, router's address and port). It counts once the router has proved that it is
 * there, and as long as it proves so again; silence ends it. Whoever comes and goes too often is not taken for a while
 * (flap damping, RFC 2439). Packets for (protocol, provider) go to the nearest router, and by slots to several that are
 * as near; provider PROVIDER_ANY is every provider of the protocol.
 *
 * A border of another operator (federation.h) is a registration too, of each provider that it serves: one with a
 * realm. It gets packets where there is no router of one's own, of whatever weight. */
#pragma once

#include "base/addr.h"
#include "base/hash.h"
#include "base/instant.h"
#include "base/list.h"
#include "dmux/slots.h"
#include "wire/mesh.h"

#define REGISTRY_MAX 131072        /* chosen: the 100,000 of the design, and as many groups; ~60 MB when full */
#define REGISTRY_SILENCE (3 * SEC) /* chosen: as three proofs, one a second */
/* chosen: when nobody has called registry_on_expiry for so long this process stood still (stopped, asleep), and no
 * router is blamed for it. Whoever keeps to registry_next_expiry calls each half of it. */
#define REGISTRY_PAUSE (1 * SEC)
/* chosen: a new router's share grows over this time, in steps: what it cannot take it does not get at once */
#define REGISTRY_RAMP (30 * SEC)
#define REGISTRY_RAMP_STEPS 4
/* chosen: what changes little by little (round trip, load, ramp) is gathered this long; losses are not */
#define REGISTRY_REBUILD (1 * SEC)

#define DAMP_FLAP 1000     /* the penalty of going */
#define DAMP_SUPPRESS 2000 /* RFC 2439 section 4.2's parameters, with the usual values */
#define DAMP_REUSE 750
#define DAMP_MAX 12000 /* four half-lives above REUSE: nobody waits longer than that */
#define DAMP_HALF_LIFE (60 * SEC)

enum registration_state {
    REGISTRATION_CLAIMED, /* signed for; not proved yet: gets no packets */
    REGISTRATION_PROVED,
    REGISTRATION_GONE, /* remembered for its penalty alone */
};

struct registration {
    uint16_t protocol;
    uint32_t provider;
    uint32_t addr; /* host order */
    uint16_t port;
    enum registration_state state;
    uint16_t weight, load;
    uint32_t rtt_us; /* from this gateway, smoothed; 0: not measured */
    uint32_t seq;    /* the highest of its messages */
    uint64_t nonce;  /* that CHECK sent last */
    instant nonce_at;
    instant proved_at, since; /* last proof; first proof of this life */
    uint8_t key[32];          /* of its messages */
    uint8_t *fresh_key;       /* of the registration that renews this one, 32 bytes; key until it is used; NULL: none */
    uint32_t origin;          /* the gateway that vouches for it; 0: it is registered here */
    uint8_t realm;            /* 0: a router; else a border, of the federation's realm of that number */
    uint8_t pass[SHIM_COOKIE_LEN]; /* a border's, for this gateway */
    struct mesh_proof *proof;      /* what it signed to register here; NULL: nobody wants to know (registry_watch) */
    uint64_t until_s;              /* seconds since 1970: the end of what lets its provider speak; 0: none */
    uint64_t pkts, bytes;          /* forwarded to it */

    /* inside */
    uint64_t id;
    double penalty;
    instant penalty_at;
    bool near[2];
    struct group *groups[2]; /* of its provider, and of any */
    struct list in_group[2];
    struct list changed, news;
    uint16_t told_weight, told_load; /* as the news had them last */
    uint32_t told_rtt_us;
    struct list by_time; /* claimed and proved: by last sign of life; gone: by when it went */
};

struct registry;

/* max_items registrations; seed: of the hash that an attacker should not know. NULL: no memory. */
struct registry *registry_new(size_t max_items, const uint8_t seed[16]);
void registry_free(struct registry *r);

/* A router has registered, here or elsewhere, and its signature was looked at; or a border has told what it serves. Of
 * *claim are read: name, weight, load, key, origin, realm, until_s. 0 and *ret; one that is proved goes on under its
 * old key beside the fresh one. Or a positive enum dmux_refusal: DAMPED with *ret_wait_s; FULL, also for a name that is
 * another realm's. */
int registry_claim(struct registry *r, const struct registration *claim, instant now, struct registration **ret,
                   uint16_t *ret_wait_s);
/* NULL when there is none that is claimed or proved. */
struct registration *registry_find(const struct registry *r, uint16_t protocol, uint32_t provider, uint32_t addr,
                                   uint16_t port);
/* The router has sent back the nonce of its last CHECK: alive, at its address, and so far away. */
void registry_prove(struct registry *r, struct registration *g, span rtt, instant now);
/* A message came under the fresh key: it is the key from now on. */
void registry_take_key(struct registry *r, struct registration *g);
/* Of one that another gateway vouches for: by another one now, or with another key. */
void registry_vouch(struct registration *g, uint32_t origin, const uint8_t key[32]);
/* No longer wanted here, without a penalty. */
void registry_drop(struct registry *r, struct registration *g, instant now);
/* Counts with the next rebuild. */
void registry_set_load(struct registration *g, uint16_t weight, uint16_t load);
/* The pass that goes with each packet to this border. A data path elsewhere is told (registry_pop_router). */
void registry_set_pass(struct registry *r, struct registration *g, const uint8_t pass[SHIM_COOKIE_LEN]);
/* It has said that it goes. */
void registry_withdraw(struct registry *r, struct registration *g, instant now);

/* For many at once: as registry_withdraw (gone) or registry_drop, but tables name it until registry_settle, to be
 * called after the last; each table is then made anew once. */
void registry_leave(struct registry *r, struct registration *g, bool gone, instant now);
void registry_settle(struct registry *r, instant now);

/* Where a client's packet goes; NULL: nobody provides it. */
struct registration *registry_select(const struct registry *r, uint16_t protocol, uint32_t provider, uint32_t client);

/* For tables elsewhere, in the kernel, say: from registry_export on, which comes before the first claim, each change is
 * to be popped. */
struct registry_table {
    uint16_t protocol;
    uint32_t provider; /* or PROVIDER_ANY */
    bool empty;        /* nobody provides it any more */
    const struct registration *slots[SLOTS_COUNT];
};
void registry_export(struct registry *r);
bool registry_pop_table(struct registry *r, struct registry_table *ret);
/* A router that is proved now, or no longer: its name and state; NULL: no more. Valid until the registry changes. */
const struct registration *registry_pop_router(struct registry *r);

/* For the federation, which tells other operators: from registry_sum_up on, which comes before the first claim, each
 * service is popped that gets its first router, loses its last, or whose nearest is nearer or farther by much. */
struct registry_service {
    uint16_t protocol;
    uint32_t provider;
    bool there;      /* there is a router of one's own */
    uint32_t rtt_us; /* to the nearest */
};
void registry_sum_up(struct registry *r);
/* All that have a router are popped again. */
void registry_sum_up_again(struct registry *r);
bool registry_pop_service(struct registry *r, struct registry_service *ret);

/* For the mesh, which tells other gateways: from registry_watch on, which comes before the first claim, each router
 * that is registered here is popped when it is proved, changes by much, or goes. Its key and proof are kept for that.
 */
void registry_watch(struct registry *r);
const struct registration *registry_pop_news(struct registry *r);
/* Attaches what it signed; a copy is kept while somebody watches. 0 or -ENOMEM. */
MUST_CHECK int registry_set_proof(struct registry *r, struct registration *g, const struct mesh_proof *proof);

instant registry_next_expiry(const struct registry *r);
void registry_on_expiry(struct registry *r, instant now);
/* Groups whose choice was made since the start. */
uint64_t registry_rebuilds(const struct registry *r);
/* Those that went by silence since the start. */
uint64_t registry_silenced(const struct registry *r);
size_t registry_count(const struct registry *r);
size_t registry_capacity(const struct registry *r); /* registrations: max_items */
/* Every claimed or proved one, by age of its last sign of life; stops when fn returns false. */
void registry_foreach(const struct registry *r, bool (*fn)(void *ctx, const struct registration *g), void *ctx);
