/* dmux/slots.c - see slots.h.
 *
 * Theory of operation. For each slot every member gets a uniform u of (0, 1) by hashing; the largest weight / -ln u has
 * the slot, which happens with a probability in proportion to the weight (Schindelhauer and Schomaker, "Weighted
 * distributed hash tables", 2005; logarithmic method). The values of the others do not depend on who is there.
 *
 * Cost: SLOTS_COUNT * count hashes and logarithms, .1 ms for 10 members. */
#include "dmux/slots.h"

#include "base/hash.h"

#include <math.h>

void slots_fill(uint64_t seed, const struct slot_member *members, size_t count, uint8_t out[SLOTS_COUNT])
{
    for (unsigned slot = 0; slot < SLOTS_COUNT; slot++) {
        uint64_t at = hash_mix64(seed + slot);
        double best = -1;

        for (size_t i = 0; i < count; i++) {
            uint64_t h = hash_mix64(at ^ members[i].id);
            double u = ((double)(h >> 11) + .5) * 0x1p-53, score = members[i].weight / -log(u);

            if (score > best) {
                best = score;
                out[slot] = (uint8_t)i;
            }
        }
    }
}
