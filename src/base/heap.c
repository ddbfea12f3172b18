/* base/heap.c - see heap.h.
 *
 * Theory of operation. The parent of the item at position i (from 1) stands at i / 2 and is not later. An item whose
 * time changes goes up or down until that is so again. Limits: 2^32 - 1 items. */
#include "base/heap.h"

#include <assert.h>
#include <errno.h>

#define HEAP_MIN 16

int heap_reserve(struct heap *h, size_t items)
{
    size_t capacity = MAX(h->capacity, (size_t)HEAP_MIN);
    struct heap_item **grown;

    while (capacity < items)
        capacity *= 2;
    if (capacity == h->capacity)
        return 0;
    grown = realloc(h->items, capacity * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    h->items = grown;
    h->capacity = capacity;
    return 0;
}

void heap_deinit(struct heap *h)
{
    free(h->items);
    *h = (struct heap){ 0 };
}

static void put(struct heap *h, struct heap_item *item, size_t pos)
{
    h->items[pos - 1] = item;
    item->pos = (uint32_t)pos;
}

/* The item belongs at pos or nearer to the root. Where it went. */
static size_t rise(struct heap *h, struct heap_item *item, size_t pos)
{
    while (pos > 1 && h->items[pos / 2 - 1]->at > item->at) {
        put(h, h->items[pos / 2 - 1], pos);
        pos /= 2;
    }
    put(h, item, pos);
    return pos;
}

static void sink(struct heap *h, struct heap_item *item, size_t pos)
{
    for (size_t child; (child = 2 * pos) <= h->count; pos = child) {
        if (child < h->count && h->items[child]->at < h->items[child - 1]->at)
            child++;
        if (h->items[child - 1]->at >= item->at)
            break;
        put(h, h->items[child - 1], pos);
    }
    put(h, item, pos);
}

static void take_out(struct heap *h, struct heap_item *item)
{
    size_t pos = item->pos;
    struct heap_item *last = h->items[--h->count];

    item->pos = 0;
    if (last != item && rise(h, last, pos) == pos)
        sink(h, last, pos);
}

void heap_set(struct heap *h, struct heap_item *item, instant at)
{
    if (at == INSTANT_NEVER) {
        if (item->pos > 0)
            take_out(h, item);
        item->at = at;
        return;
    }
    item->at = at;
    if (item->pos == 0) {
        assert(h->count < h->capacity);
        rise(h, item, ++h->count);
    } else if (rise(h, item, item->pos) == item->pos) {
        sink(h, item, item->pos);
    }
}
