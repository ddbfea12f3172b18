/* base/pbuf.c - see pbuf.h. */
#include "base/pbuf.h"

#include <assert.h>
#include <errno.h>

int pbuf_pool_init(struct pbuf_pool *p, size_t count)
{
    *p = (struct pbuf_pool){ .total = count };
    list_init(&p->free);
    p->slab = malloc(count * sizeof(*p->slab));
    if (!p->slab)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        p->slab[i].pool = p;
        p->slab[i].refs = 0;
        list_append(&p->free, &p->slab[i].link);
    }
    return 0;
}

void pbuf_pool_deinit(struct pbuf_pool *p)
{
    assert(p->used == 0);
    free(p->slab);
    *p = (struct pbuf_pool){ 0 };
}

struct pbuf *pbuf_take(struct pbuf_pool *p)
{
    struct pbuf *b;

    if (list_empty(&p->free))
        return NULL;
    b = LIST_FIRST(&p->free, struct pbuf, link);
    list_remove(&b->link);
    b->len = 0;
    b->refs = 1;
    b->note = 0;
    b->stamp = 0;
    p->used++;
    return b;
}

void pbuf_unref(struct pbuf *b)
{
    if (!b || --b->refs > 0)
        return;
    /* The last one given back is the first taken: its lines are still in the cache. */
    list_prepend(&b->pool->free, &b->link);
    b->pool->used--;
}
