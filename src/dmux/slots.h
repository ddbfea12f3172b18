/* dmux/slots.h - which of several equally near routers serves a client: a table of slots, filled by weighted
 * rendezvous hashing.
 *
 * The same members give the same table in every gateway. A member that goes leaves its own slots to others and no other
 * slot changes; one that comes takes slots, and none moves between the others. */
#pragma once

#include "base/base.h"
#include "wire/shim.h"

#define SLOTS_COUNT SHIM_SLOTS
#define SLOTS_MEMBERS_MAX 64 /* chosen: more equally near routers than that are not told apart: the nearest serve */

struct slot_member {
    uint64_t id;     /* a hash of who it is */
    uint32_t weight; /* its share, in proportion; not 0 */
};

/* out[slot] is an index of members[0..count), count 1..SLOTS_MEMBERS_MAX. `seed` tells groups apart. */
void slots_fill(uint64_t seed, const struct slot_member *members, size_t count, uint8_t out[SLOTS_COUNT]);
