/* base/pbuf.h - packet buffers from a pool of fixed size.
 *
 * A pool is allocated once; taking and returning a buffer is a pointer swap, so the packet path allocates nothing. An
 * empty pool is an outcome that each caller handles (it drops the oldest thing it may drop, and counts it). A buffer is
 * reference-counted because a sent packet may wait both for its acknowledgement and in a redundant path's queue. */
#pragma once

#include "base/base.h"
#include "base/list.h"

#define PBUF_CAPACITY 2048 /* bytes: chosen: an Ethernet frame of 1500 and every header of ours, a power of two */

struct pbuf {
    struct list link; /* for whoever holds the buffer */
    struct pbuf_pool *pool;
    uint16_t len;
    uint16_t refs;
    uint32_t note; /* for whoever holds the buffer */
    int64_t stamp; /* for whoever holds the buffer: usually an instant */
    uint8_t data[PBUF_CAPACITY];
};

struct pbuf_pool {
    struct list free;
    struct pbuf *slab;
    size_t total, used;
};

/* 0 or -ENOMEM. */
MUST_CHECK int pbuf_pool_init(struct pbuf_pool *p, size_t count);
/* Every buffer must have been returned. */
void pbuf_pool_deinit(struct pbuf_pool *p);
/* A buffer with one reference and len 0, or NULL when the pool is empty. */
struct pbuf *pbuf_take(struct pbuf_pool *p);

static inline struct pbuf *pbuf_ref(struct pbuf *b)
{
    b->refs++;
    return b;
}

/* Accepts NULL. The buffer must not be in a list when its last reference goes. */
void pbuf_unref(struct pbuf *b);
