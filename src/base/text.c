/* base/text.c - see text.h. */
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void text_init(struct text *t, char *buf, size_t size)
{
    *t = (struct text){ .buf = buf, .size = size };
    buf[0] = '\0';
}

void text_add(struct text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(t->buf + t->len, t->size - t->len, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= t->size - t->len) {
        t->overflow = true;
        t->len = t->size - 1;
    } else {
        t->len += (size_t)n;
    }
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const uint8_t *in, size_t len, char *out)
{
    for (size_t i = 0; i < len; i += 3) {
        size_t n = MIN(len - i, (size_t)3);
        uint32_t v = (uint32_t)in[i] << 16 | (n > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (n > 2 ? in[i + 2] : 0);

        *out++ = base64_digits[v >> 18];
        *out++ = base64_digits[v >> 12 & 63];
        *out++ = n > 1 ? base64_digits[v >> 6 & 63] : '=';
        *out++ = n > 2 ? base64_digits[v & 63] : '=';
    }
    *out = '\0';
}

static int base64_value(char c)
{
    const char *at = c ? strchr(base64_digits, c) : NULL;
    return at ? (int)(at - base64_digits) : -1;
}

int base64_decode(const char *in, uint8_t *out, size_t size)
{
    size_t len = strlen(in), used = 0;

    if (len % 4 != 0)
        return -EINVAL;
    for (size_t i = 0; i < len; i += 4) {
        bool last = i + 4 == len;
        size_t pad = last ? (size_t)(in[i + 3] == '=') + (in[i + 2] == '=' && in[i + 3] == '=') : 0;
        uint32_t v = 0;

        for (size_t j = 0; j < 4; j++) {
            int d = j >= 4 - pad ? 0 : base64_value(in[i + j]);
            if (d < 0)
                return -EINVAL;
            v = v << 6 | (uint32_t)d;
        }
        if (pad > 0 && (v & ((1u << (8 * pad)) - 1)) != 0)
            return -EINVAL;
        for (size_t j = 0; j < 3 - pad; j++) {
            if (used == size)
                return -ENOSPC;
            out[used++] = (uint8_t)(v >> (16 - 8 * j));
        }
    }
    return (int)used;
}

void base32_encode(const uint8_t *in, size_t len, char *out)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    uint32_t v = 0;
    unsigned bits = 0;

    for (size_t i = 0; i < len; i++) {
        v = (v << 8 | in[i]) & 0xfff; /* at most 4 bits are left of the byte before */
        for (bits += 8; bits >= 5; bits -= 5)
            *out++ = digits[v >> (bits - 5) & 31];
    }
    if (bits > 0)
        *out++ = digits[v << (5 - bits) & 31];
    *out = '\0';
}

int base32_decode(const char *in, size_t chars, uint8_t *out, size_t size)
{
    size_t len = chars * 5 / 8, used = 0;
    uint32_t v = 0;
    unsigned bits = 0;

    if (chars % 8 == 1 || chars % 8 == 3 || chars % 8 == 6) /* no number of bytes has such a length */
        return -EINVAL;
    if (len > size)
        return -ENOSPC;
    for (size_t i = 0; i < chars; i++) {
        char c = in[i];

        if (c >= 'a' && c <= 'z')
            v = v << 5 | (uint32_t)(c - 'a');
        else if (c >= 'A' && c <= 'Z')
            v = v << 5 | (uint32_t)(c - 'A');
        else if (c >= '2' && c <= '7')
            v = v << 5 | (uint32_t)(c - '2' + 26);
        else
            return -EINVAL;
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            out[used++] = (uint8_t)(v >> bits);
        }
        v &= (1u << bits) - 1;
    }
    return v == 0 ? (int)used : -EINVAL;
}

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

#define WORD_MAX 40

static unsigned edit_distance(const char *a, const char *b)
{
    size_t la = strlen(a), lb = strlen(b);
    unsigned char d[WORD_MAX + 1][WORD_MAX + 1];

    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX;
    for (size_t i = 0; i <= la; i++)
        d[i][0] = (unsigned char)i;
    for (size_t j = 0; j <= lb; j++)
        d[0][j] = (unsigned char)j;
    for (size_t i = 1; i <= la; i++) {
        for (size_t j = 1; j <= lb; j++) {
            bool same = fold(a[i - 1]) == fold(b[j - 1]);
            unsigned best = MIN(d[i - 1][j], d[i][j - 1]) + 1u;

            best = MIN(best, d[i - 1][j - 1] + (same ? 0u : 1u));
            if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]))
                best = MIN(best, d[i - 2][j - 2] + 1u);
            d[i][j] = (unsigned char)best;
        }
    }
    return d[la][lb];
}

const char *text_nearest(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    unsigned best_distance = 3;

    for (size_t i = 0; i < count; i++) {
        unsigned distance = edit_distance(word, names[i]);
        if (distance < best_distance) {
            best_distance = distance;
            best = names[i];
        }
    }
    return best;
}
