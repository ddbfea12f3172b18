/* sim/pattern.h - bytes that tell their place: what the applications of a world write, and check when they read.
 *
 * The byte at a place is one of eight of a word, little-endian on any machine: (place / 8 + 1) times an odd constant,
 * plus the stream's own number times another. A byte that is lost, doubled, moved or of another stream shows. */
#pragma once

#include "base/base.h"

#include <endian.h>
#include <string.h>

static inline uint64_t pattern_word(uint64_t stream, uint64_t place)
{
    return htole64((place / 8 + 1) * 0x9e3779b97f4a7c15 + stream * 0xd1b54a32d192ed03);
}

static inline uint8_t pattern_byte(uint64_t stream, uint64_t place)
{
    uint64_t word = pattern_word(stream, place);

    return ((const uint8_t *)&word)[place % 8];
}

static inline void pattern_fill(uint8_t *buf, size_t len, uint64_t stream, uint64_t place)
{
    size_t i = 0;

    for (; i < len && (place + i) % 8 != 0; i++)
        buf[i] = pattern_byte(stream, place + i);
    for (; len - i >= 8; i += 8) {
        uint64_t word = pattern_word(stream, place + i);

        memcpy(buf + i, &word, 8);
    }
    for (; i < len; i++)
        buf[i] = pattern_byte(stream, place + i);
}

/* The index of the first byte that is wrong; len: none. */
static inline size_t pattern_check(const uint8_t *buf, size_t len, uint64_t stream, uint64_t place)
{
    uint8_t right[1024];

    for (size_t i = 0, n; i < len; i += n) {
        n = MIN(len - i, sizeof(right));
        pattern_fill(right, n, stream, place + i);
        if (memcmp(buf + i, right, n) == 0)
            continue;
        while (buf[i] == pattern_byte(stream, place + i))
            i++;
        return i;
    }
    return len;
}
