/* dmux/limits.h - how much a gateway takes from whom. A router that asks its clients for credentials (admission.h) has
 * one, too: there `unverified` is for clients that are not let in, and `shown` for an ADMIT with a nonce that holds.
 *
 * Who has not shown its address gets little: a bucket for each /24 and one for all of them together; and the client is
 * sent at most LIMITS_AMPLIFICATION bytes for each that came in its name, so that nobody makes a cannon of a router's
 * answers. Who has shown it is held to a rate for its /24. Tables have a fixed size: when a set of one is full, its
 * oldest entry goes, and the bucket for all bounds what that can gain. */
#pragma once

#include "base/base.h"
#include "base/instant.h"

#define LIMITS_AMPLIFICATION 3
#define LIMITS_UNVERIFIED_PPS 100       /* chosen: a /24 of clients, each with a packet or two before its cookie */
#define LIMITS_UNVERIFIED_ALL_PPS 20000 /* chosen: a tenth of what one core carries */
#define LIMITS_SHOWN_PPS 100            /* chosen: a /24 of routers, each with a renewal in seconds */
#define LIMITS_SHOWN_ALL_PPS 5000       /* chosen: half a processor of signatures */
#define LIMITS_ENTRIES 8192             /* of each table: 1.1 MiB in all */

struct limits;

/* verified_pps: of a /24, packets a second; 0: no limit. NULL: no memory. */
struct limits *limits_new(uint32_t verified_pps, const uint8_t seed[16]);
void limits_free(struct limits *l);
/* May this packet of a client (host order) pass? */
bool limits_verified(struct limits *l, uint32_t client, instant now);
/* Likewise before it has shown its address; its bytes buy answers. */
bool limits_unverified(struct limits *l, uint32_t client, size_t bytes, instant now);
/* What costs keys and signatures, of who has shown its address or is registered: what strangers send in others' names
 * takes nothing of this. */
bool limits_shown(struct limits *l, uint32_t sender, instant now);
/* May these bytes go to a client that has not shown its address? */
bool limits_answer(struct limits *l, uint32_t client, size_t bytes, instant now);

/* A token bucket: a second's worth at most. Zero begins full. */
struct bucket {
    double tokens;
    instant at;
};

bool bucket_take(struct bucket *b, uint32_t per_second, instant now);
