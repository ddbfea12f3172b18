/* base/slice.h - bytes that stand in several places: a packet whose headers are here and whose payload is there. */
#pragma once

#include "base/base.h"

struct slice {
    const uint8_t *data;
    size_t len;
};

/* Copies the slices into out, one behind the other. Their length, or 0 when they do not fit size. */
static inline size_t slices_gather(const struct slice *s, size_t count, uint8_t *out, size_t size)
{
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        if (s[i].len > size - at)
            return 0;
        memcpy(out + at, s[i].data, s[i].len);
        at += s[i].len;
    }
    return at;
}
