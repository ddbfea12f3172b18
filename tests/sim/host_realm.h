/* tests/sim/host_realm.h - hosts that call each other, and a manager that knows where every one of them is.
 *
 *     a --uplink 0--+        +--uplink 0-- b
 *       --uplink 1--+- core -+--uplink 1--
 *                   +- manager
 *
 * The manager is here, and answers after a round trip of MANAGER. */
#pragma once

#include "tests/sim/sim.h"

#define MANAGER (30 * MSEC)
#define HOSTS_MAX 256

struct realm;

/* The program of one host: what it asks the manager. */
struct program {
    struct realm *realm;
    struct world_end *end;
    struct world_source answer; /* comes */
    struct addr asked;
    bool back; /* it was called by who is there */
    bool anew; /* what it was told was wrong */
    unsigned wanted, lost, gone, introduced;
    instant up_at;      /* the last peer of it that began anew */
    unsigned gone_soon; /* within a second of that */
    bool refuses;       /* whoever calls */
    span admits_for;    /* 0: an hour */
};

struct realm {
    struct world *w;
    struct traffic *t;
    struct invariants *v;
    struct world_watch watch;
    struct program programs[HOSTS_MAX];
    size_t count;
    struct program *forger; /* its record has the victim's X25519 key */
    struct program *victim;
    struct endpoint stale; /* where everybody is, for who asks the first time; ADDR_NONE: where he is */
    instant said_at; /* or, who was called by it already, until then: before it is heard that he moved; 0: never */
    bool tells;      /* who is about to be called */
    bool relays;     /* by channel 1, of whichever two */
    bool v6;         /* of hosts that are made from now on */
};

struct realm *realm_make(uint64_t seed);
/* params: of its uplinks, NULL at the end. */
struct program *host_make(struct realm *r, const char *name, const char *const params[]);
/* What was found on the way counts. */
void realm_done(struct realm *r);
unsigned paths_active(struct program *p, struct program *to);

extern const char *const one[], *const two[]; /* uplinks */
