/* base/pbuf.c - see pbuf.h. */
#include "base/pbuf.h"

#include <assert.h>
#include <errno.h>

int pbuf_pool_init(struct pbuf_pool *p, size_t count)
{
    *p = (struct pbuf_pool){ .total = count };
    p->slab = aligned_alloc(_Alignof(struct pbuf), count * sizeof(*p->slab));
    p->free = malloc(count * sizeof(struct pbuf *));
    p->rooms = malloc(count * PBUF_CAPACITY);
    if (!p->slab || !p->free || !p->rooms) {
        free(p->slab);
        free(p->rooms);
        free(p->free);
        *p = (struct pbuf_pool){ 0 };
        return -ENOMEM;
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
    size_t left = p->made - p->used;
    struct pbuf *b;

    if (left == 0 && p->made == p->total)
        return NULL;
    if (left == 0) { /* none has come back: the next one of those that nobody had */
        b = &p->slab[p->made++];
        b->pool = p;
    } else {
        b = p->free[left - 1];
    }
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
    b->again = false;
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
    b->pool->free[b->pool->made - b->pool->used - 1] = b;
}
