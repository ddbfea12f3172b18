/* dmux/slots.h - which of several equally near routers serves a client: a table of slots, filled by weighted
 * rendezvous hashing.
 *
 * The same members give the same table in every gateway. A member that goes leaves its own slots to others and no other
 * slot changes; one that comes takes slots, and none moves between the others. */
#pragma once

#include "base/base.h"

/* chosen: a prime; a share of 1/251 is the finest; 251 slots cost 1 KiB a group in the kernel's table */
#define SLOTS_COUNT 251
#define SLOTS_MEMBERS_MAX 64 /* chosen: more equally near routers than that are not told apart: the nearest serve */

struct slot_member {
    uint64_t id;     /* a hash of who it is */
    uint32_t weight; /* its share, in proportion; not 0 */
};

/* out[slot] is an index of members[0..count), count 1..SLOTS_MEMBERS_MAX. `seed` tells groups apart. */
void slots_fill(uint64_t seed, const struct slot_member *members, size_t count, uint8_t out[SLOTS_COUNT]);
/* The slot of a client's IPv4 address (host order). */
unsigned slots_of(uint32_t client);
