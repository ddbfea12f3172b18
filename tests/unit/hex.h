/* tests/unit/hex.h - published vectors are hexadecimal text. */
#pragma once

#include "base/base.h"

static inline unsigned hex_digit(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* Decodes at most size bytes of well-formed hex; returns how many. */
static inline size_t unhex(const char *hex, uint8_t *out, size_t size)
{
    size_t n = 0;

    for (; n < size && hex[2 * n] != '\0'; n++)
        out[n] = (uint8_t)(hex_digit(hex[2 * n]) << 4 | hex_digit(hex[2 * n + 1]));
    return n;
}
