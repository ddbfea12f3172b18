/* wire/places.h - bytes that are kept by their place (base/bytes.h), written down for a successor. */
#pragma once

#include "base/bytes.h"
#include "wire/cursor.h"

/* The places from..to, which b has. */
void places_write(struct writer *w, const struct bytes *b, uint64_t from, uint64_t to);
/* Into the places from..to of b, which holds what lies from `base` to `used`. 0; -EPROTO: they are not there; -ENOMEM.
 */
MUST_CHECK int places_read(struct reader *r, struct bytes *b, uint64_t base, uint64_t used, uint64_t from, uint64_t to);
