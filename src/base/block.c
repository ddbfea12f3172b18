/* base/block.c - see block.h. The block given back last is taken first: it is the one still in the cache, and how many
 * were ever in use is how much memory was ever touched. */
#include "base/block.h"

#include <assert.h>

void block_pool_init(struct block_pool *p, size_t count)
{
    *p = (struct block_pool){ .total = count };
}

static void free_all(struct block_pool *p)
{
    free(p->blocks);
    free(p->free);
    free(p->slab);
    block_pool_init(p, p->total);
}

void block_pool_deinit(struct block_pool *p)
{
    assert(!p->slab || p->free_count == p->total);
    free_all(p);
}

static bool allocate(struct block_pool *p)
{
    p->blocks = calloc(p->total, sizeof(*p->blocks));
    p->free = calloc(p->total, sizeof(*p->free));
    p->slab = malloc(p->total * BLOCK_CAPACITY);
    if (!p->blocks || !p->free || !p->slab) {
        free_all(p);
        return false;
    }
    for (size_t i = 0; i < p->total; i++) {
        p->blocks[i] = (struct block){ .pool = p, .data = p->slab + i * BLOCK_CAPACITY };
        p->free[p->total - 1 - i] = &p->blocks[i];
    }
    p->free_count = p->total;
    return true;
}

struct block *block_take(struct block_pool *p)
{
    struct block *b;

    if (!p->slab && !allocate(p))
        return NULL;
    if (p->free_count == 0)
        return NULL;
    b = p->free[--p->free_count];
    b->refs = 1;
    return b;
}

void block_unref(struct block *b)
{
    if (b && --b->refs == 0)
        b->pool->free[b->pool->free_count++] = b;
}
