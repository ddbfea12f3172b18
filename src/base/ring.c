/* base/ring.c - see ring.h.
 *
 * Theory of operation. A message is its length and its bytes, padded. One that does not fit before the end of the
 * memory begins at its start, and a mark stands where it would have been. `written` is stored after the bytes are, and
 * `read` after they are no longer looked at: release and acquire are all the order there is. */
#include "base/ring.h"

#include <errno.h>
#include <stdlib.h>

#define WRAP UINT64_MAX /* in place of a length: the message is at the start */

int ring_init(struct ring *r, size_t size)
{
    r->bytes = malloc(size);
    r->size = size;
    atomic_init(&r->written, 0);
    atomic_init(&r->read, 0);
    return r->bytes ? 0 : -ENOMEM;
}

void ring_deinit(struct ring *r)
{
    free(r->bytes);
    r->bytes = NULL;
}

static size_t padded(size_t len)
{
    return RING_ALIGN + (len + RING_ALIGN - 1) / RING_ALIGN * RING_ALIGN;
}

static void put_length(struct ring *r, size_t at, uint64_t len)
{
    memcpy(r->bytes + at % r->size, &len, sizeof(len));
}

/* Where a message of so many bytes begins: at `at`, or at the start. */
static size_t place(const struct ring *r, size_t at, size_t need)
{
    size_t to_end = r->size - at % r->size;

    return need <= to_end ? at : at + to_end;
}

void *ring_reserve(struct ring *r, size_t len)
{
    size_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
    size_t begin = place(r, written, padded(len));

    if (padded(len) > r->size / 2 ||
        begin + padded(len) - atomic_load_explicit(&r->read, memory_order_acquire) > r->size)
        return NULL;
    return r->bytes + begin % r->size + RING_ALIGN;
}

void ring_commit(struct ring *r, size_t len)
{
    size_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
    size_t begin = place(r, written, padded(len));

    if (begin != written)
        put_length(r, written, WRAP);
    put_length(r, begin, len);
    atomic_store_explicit(&r->written, begin + padded(len), memory_order_release);
}

size_t ring_used(const struct ring *r)
{
    return atomic_load_explicit(&r->written, memory_order_relaxed) -
           atomic_load_explicit(&r->read, memory_order_acquire);
}

/* The place of the oldest message and its length; false: none. */
static bool oldest(struct ring *r, size_t *ret_at, uint64_t *ret_len)
{
    size_t at = atomic_load_explicit(&r->read, memory_order_relaxed);

    if (at == atomic_load_explicit(&r->written, memory_order_acquire))
        return false;
    memcpy(ret_len, r->bytes + at % r->size, sizeof(*ret_len));
    if (*ret_len == WRAP) {
        at += r->size - at % r->size;
        memcpy(ret_len, r->bytes, sizeof(*ret_len));
    }
    *ret_at = at;
    return true;
}

void *ring_peek(struct ring *r, size_t *ret_len)
{
    uint64_t len;
    size_t at;

    if (!oldest(r, &at, &len))
        return NULL;
    *ret_len = (size_t)len;
    return r->bytes + at % r->size + RING_ALIGN;
}

void ring_release(struct ring *r)
{
    uint64_t len;
    size_t at;

    if (oldest(r, &at, &len))
        atomic_store_explicit(&r->read, at + padded((size_t)len), memory_order_release);
}
