/* base/text.h - text into a caller's buffer, base64, base32, and the nearest name for "did you mean". */
#pragma once

#include "base/base.h"

/* A string being built; once full it stays cut off and `overflow` is set. buf is always NUL-terminated. */
struct text {
    char *buf;
    size_t size, len;
    bool overflow;
};

void text_init(struct text *t, char *buf, size_t size);
void text_add(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* RFC 4648 base64 with padding. out holds 4 * ceil(len / 3) + 1 bytes. */
void base64_encode(const uint8_t *in, size_t len, char *out);
/* Strict: no spaces, right padding, zero spare bits. Returns the number of bytes, or -EINVAL, or -ENOSPC. */
int base64_decode(const char *in, uint8_t *out, size_t size);

/* RFC 4648 base32 in lower case and without padding, as DNS labels want it. out holds (8 * len + 4) / 5 + 1 bytes. */
void base32_encode(const uint8_t *in, size_t len, char *out);
/* Just chars characters, either case, zero spare bits: 5 * chars / 8 bytes. Their number, -EINVAL or -ENOSPC. */
int base32_decode(const char *in, size_t chars, uint8_t *out, size_t size);

/* The one of names[0..count) within 2 edits (Damerau-Levenshtein, case folded) of word, or NULL. */
const char *text_nearest(const char *word, const char *const *names, size_t count);
