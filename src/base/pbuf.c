/* base/pbuf.c - see pbuf.h. */
#include "base/pbuf.h"

#include <assert.h>
#include <errno.h>

int pbuf_pool_init(struct pbuf_pool *p, size_t count)
{
    *p = (struct pbuf_pool){ .total = count };
    p->slab = aligned_alloc(_Alignof(struct pbuf), count * sizeof(*p->slab));
    p->free = calloc(count, sizeof(struct pbuf *));
    p->rooms = malloc(count * PBUF_CAPACITY);
    if (!p->slab || !p->free || !p->rooms) {
        free(p->slab);
        free(p->rooms);
        free(p->free);
        *p = (struct pbuf_pool){ 0 };
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        p->slab[i].pool = p;
        p->slab[i].refs = 0;
        p->free[count - 1 - i] = &p->slab[i];
    }
    return 0;
}

void pbuf_pool_deinit(struct pbuf_pool *p)
{
    assert(p->used == 0);
    free(p->slab);
    free(p->rooms);
    free(p->free);
    *p = (struct pbuf_pool){ 0 };
}

struct pbuf *pbuf_take(struct pbuf_pool *p)
{
    size_t left = p->total - p->used;
    struct pbuf *b;

    if (left == 0)
        return NULL;
    b = p->free[left - 1];
    if (left > 1) { /* the next one is wanted soon, as a rule */
        __builtin_prefetch(p->free[left - 2], 1);
        __builtin_prefetch(p->free[left - 2]->head, 1);
    }
    b->len = b->tail_len = 0;
    b->data = p->rooms + (size_t)(b - p->slab) * PBUF_CAPACITY;
    b->block = NULL;
    b->refs = 1;
    b->note = 0;
    b->tracked = false;
    b->stamp = 0;
    p->used++;
    return b;
}

void pbuf_unref(struct pbuf *b)
{
    if (!b || --b->refs > 0)
        return;
    block_unref(b->block);
    b->pool->used--;
    b->pool->free[b->pool->total - b->pool->used - 1] = b;
}
