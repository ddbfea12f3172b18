/* base/pbuf.h - packet buffers from a pool of fixed size.
 *
 * A pool is allocated once; taking and returning a buffer moves a pointer, so the packet path allocates nothing. An
 * empty pool is an outcome that each caller handles (it drops the oldest thing it may drop, and counts it). A buffer is
 * reference-counted because a sent packet may wait both for its acknowledgement and in a redundant path's queue. */
#pragma once

#include "base/base.h"
#include "base/block.h"
#include "base/list.h"

#define PBUF_CAPACITY 2048 /* bytes: chosen: an Ethernet frame of 1500 and every header of ours, a power of two */
#define PBUF_HEAD 128      /* bytes: our header and those of TCP over IPv6 with options; two lines of the cache */

/* The first len - tail_len bytes stand at data, the others at tail_off in block. A packet that borrows its payload has
 * its headers in `head`: while it waits with thousands of others it takes two lines of the cache. */
struct pbuf {
    _Alignas(64) struct list link; /* for whoever holds the buffer */
    struct pbuf_pool *pool;
    uint8_t *data;       /* PBUF_CAPACITY bytes of its own, or `head` */
    struct block *block; /* a reference, or NULL: then there is no tail */
    int64_t stamp;       /* for whoever holds the buffer: usually an instant */
    uint32_t note;       /* for whoever holds the buffer */
    uint16_t len, tail_len, tail_off;
    uint16_t refs;
    bool tracked; /* its fate in flight is told: one holder at a time (path_take_told) */
    bool again;   /* for whoever holds the buffer: a copy of it was sent */
    _Alignas(64) uint8_t head[PBUF_HEAD];
};

struct pbuf_pool {
    struct pbuf **free; /* a stack: the buffer given back last is taken first */
    struct pbuf *slab;
    uint8_t *rooms; /* PBUF_CAPACITY for each */
    size_t total, used;
    size_t made; /* of `slab`, the first so many have been in use: what nobody needs is no memory */
};

/* 0 or -ENOMEM. */
MUST_CHECK int pbuf_pool_init(struct pbuf_pool *p, size_t count);
/* Every buffer must have been returned. */
void pbuf_pool_deinit(struct pbuf_pool *p);
/* A buffer with one reference, len 0 and no tail, or NULL when the pool is empty. */
struct pbuf *pbuf_take(struct pbuf_pool *p);

/* Nothing is written yet, and nothing longer than PBUF_HEAD will be. */
static inline void pbuf_use_head(struct pbuf *b)
{
    b->data = b->head;
}

/* The rest of the packet: len bytes of block, of which a reference is taken. */
static inline void pbuf_borrow(struct pbuf *b, struct block *block, const uint8_t *tail, size_t len)
{
    b->block = block_ref(block);
    b->tail_off = (uint16_t)(tail - block->data);
    b->tail_len = (uint16_t)len;
}

/* Copies the whole packet: b->len bytes. */
static inline void pbuf_gather(const struct pbuf *b, uint8_t *out)
{
    memcpy(out, b->data, (size_t)(b->len - b->tail_len));
    if (b->tail_len > 0)
        memcpy(out + b->len - b->tail_len, b->block->data + b->tail_off, b->tail_len);
}

static inline struct pbuf *pbuf_ref(struct pbuf *b)
{
    b->refs++;
    return b;
}

/* Accepts NULL. The buffer must not be in a list when its last reference goes. */
void pbuf_unref(struct pbuf *b);
