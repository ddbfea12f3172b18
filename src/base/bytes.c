/* base/bytes.c - see bytes.h.
 *
 * Theory of operation. Place p stands at p modulo the capacity, so a larger ring has every byte at a place of its own
 * again, and growing is a copy of one piece or two. */
#include "base/bytes.h"

#include <errno.h>

size_t bytes_round_down(size_t n)
{
    size_t p = 1;

    while (p <= n / 2)
        p *= 2;
    return p;
}

static size_t index_of(const struct bytes *b, uint64_t at)
{
    return (size_t)(at & (b->capacity - 1));
}

size_t bytes_slices(const struct bytes *b, uint64_t at, size_t len, struct slice out[2])
{
    size_t from = len > 0 ? index_of(b, at) : 0, first = len > 0 ? MIN(len, b->capacity - from) : 0, n = 0;

    if (first > 0)
        out[n++] = (struct slice){ b->data + from, first };
    if (len > first)
        out[n++] = (struct slice){ b->data, len - first };
    return n;
}

void bytes_put(struct bytes *b, uint64_t at, const uint8_t *data, size_t len)
{
    size_t from = index_of(b, at), first = MIN(len, b->capacity - from);

    memcpy(b->data + from, data, first);
    memcpy(b->data, data + first, len - first);
}

void bytes_get(const struct bytes *b, uint64_t at, uint8_t *out, size_t len)
{
    struct slice s[2];
    size_t n = bytes_slices(b, at, len, s);

    slices_gather(s, n, out, len);
}

int bytes_hold(struct bytes *b, uint64_t from, uint64_t used, uint64_t to)
{
    struct bytes bigger = *b;
    struct slice s[2];
    size_t n = 0;

    if (b->capacity >= to - from)
        return 0;
    for (bigger.capacity = MAX(b->capacity, (size_t)BYTES_MIN); bigger.capacity < to - from;)
        bigger.capacity *= 2;
    bigger.data = malloc(bigger.capacity);
    if (!bigger.data)
        return -ENOMEM;
    if (used > from)
        n = bytes_slices(b, from, (size_t)(used - from), s);
    for (size_t i = 0; i < n; i++) {
        bytes_put(&bigger, from, s[i].data, s[i].len);
        from += s[i].len;
    }
    free(b->data);
    *b = bigger;
    return 0;
}

void bytes_let_go(struct bytes *b)
{
    free(b->data);
    b->data = NULL;
    b->capacity = 0;
}
