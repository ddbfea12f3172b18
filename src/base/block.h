/* base/block.h - large buffers whose bytes packet buffers borrow.
 *
 * A super-packet is read into a block once; the packets that are cut from it have headers of their own and point into
 * the block for the rest (base/pbuf.h). A block is free again when the last of them has gone. */
#pragma once

#include "base/base.h"

#define BLOCK_CAPACITY 65536 /* bytes: the largest IP packet, and one more to see that something was larger */

struct block {
    struct block_pool *pool;
    uint8_t *data; /* BLOCK_CAPACITY bytes */
    uint32_t refs;
};

struct block_pool {
    struct block *blocks, **free; /* NULL until the first is taken */
    uint8_t *slab;
    size_t total, free_count;
};

/* count blocks; nothing is allocated before the first is taken. */
void block_pool_init(struct block_pool *p, size_t count);
/* Every block must have been returned. */
void block_pool_deinit(struct block_pool *p);
/* A block with one reference; NULL when all are out, or memory is short. */
struct block *block_take(struct block_pool *p);

static inline struct block *block_ref(struct block *b)
{
    b->refs++;
    return b;
}

/* Accepts NULL. */
void block_unref(struct block *b);
