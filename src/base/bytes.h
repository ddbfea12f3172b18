/* base/bytes.h - bytes of a stream that are kept, by their place in it: a ring that grows.
 *
 * A place counts from the stream's start and never wraps. Whoever owns it knows which places hold something. */
#pragma once

#include "base/slice.h"

#define BYTES_MIN 16384 /* chosen: the first capacity; a dozen records or packets */

struct bytes {
    uint8_t *data;                 /* owned */
    size_t capacity, capacity_max; /* powers of two; 0 and NULL: nothing is kept */
};

/* A power of two, at most n; n at least 1. */
size_t bytes_round_down(size_t n);
/* Room for the places from..to, of which those below `used` may hold something. to - from is at most capacity_max,
 * itself at least BYTES_MIN. 0 or -ENOMEM. */
MUST_CHECK int bytes_hold(struct bytes *b, uint64_t from, uint64_t used, uint64_t to);
/* Frees the memory; what was kept is gone. */
void bytes_let_go(struct bytes *b);

/* All three: places that bytes_hold made room for. */
void bytes_put(struct bytes *b, uint64_t at, const uint8_t *data, size_t len);
void bytes_get(const struct bytes *b, uint64_t at, uint8_t *out, size_t len);
/* Where they stand: 0 to 2 slices, their number. */
size_t bytes_slices(const struct bytes *b, uint64_t at, size_t len, struct slice out[2]);
