/* lab/crowd.h - many hosts of one realm, and what they have said: what hawser-crowd (crowd.c) and those who ask after
 * them (crowd_ask.c) share. */
#pragma once

#include "base/rng.h"
#include "mapping/holder.h"
#include "session/exchange.h"

#define CROWD_MAX 50000u /* hosts: each has a port of its own */
#define CROWD_LEVELS 4   /* managers that are asked: the top one, and those that are pushed to, pull and cache */
#define CROWD_PORT 51823
#define CROWD_NET 0x0a090000u /* 10.9.0.0/16: host i is at 10.9.i, whoever asks at 10.9.255.254 */
#define CROWD_ASKER 0xfffe

/* What a host has said under a sequence. */
struct said {
    uint64_t seq;
    uint32_t move; /* 0: its first place */
    instant acked; /* 0: not yet */
};

struct host {
    struct identity id;
    struct tag tag;
    struct exchange *x; /* NULL: it says nothing in this run */
    uint64_t peer;
    struct holder holder;
    struct said *said; /* in order; owned */
    uint32_t said_count, moves;
    bool mover;
};

struct crowd {
    struct host *hosts;
    uint32_t count;
    struct peer_key realm;
    struct endpoint managers[CROWD_LEVELS];
    struct udp *udp;
    struct prng prng;
};

/* A violation: what was seen, of whom; ends the program. */
_Noreturn void crowd_wrong(const struct crowd *c, const char *what, uint32_t host, unsigned level, uint64_t seq,
                           uint64_t other);
/* Where host i is after so many moves; nobody else is ever there. */
struct endpoint crowd_place(uint32_t i, uint32_t move);
/* What it said under that sequence; NULL: nothing. */
struct said *crowd_said(const struct host *h, uint64_t seq);
/* The newest sequence that was acknowledged; 0: none. */
uint64_t crowd_acked(const struct host *h);

/* --- those who ask --- */

struct asker;

/* checking: nobody moves any more, and each host is asked after in turn until its newest is known. NULL: failed. */
struct asker *asker_new(struct crowd *c, bool checking, instant now);
void asker_free(struct asker *a);
struct exchange *asker_exchange(struct asker *a);
/* From now on the manager that caches is asked, too: not while most hosts are nowhere yet, which it would remember. */
void asker_ask_cache(struct asker *a);
/* Questions that may be asked now. */
void asker_turn(struct asker *a, instant now);
void asker_on_event(struct asker *a, const struct exchange_event *ev, instant now);
/* Of a level: every host was found at its newest. */
bool asker_knows_all(const struct asker *a, unsigned level);
/* One object of JSON. */
void asker_print(const struct asker *a);
