/* base/heap.h - which of many is due first: a binary heap of items that stand in what they belong to.
 *
 * Setting the time of one is O(log n), asking for the earliest O(1). Nothing is allocated but by heap_reserve. */
#pragma once

#include "base/base.h"
#include "base/instant.h"

struct heap_item {
    instant at;
    uint32_t pos; /* in the heap, counted from 1; 0: not there */
};

struct heap {
    struct heap_item **items; /* owned; they are not */
    size_t count, capacity;
};

/* All zero is an empty heap. Room for so many items. 0 or -ENOMEM. */
MUST_CHECK int heap_reserve(struct heap *h, size_t items);
void heap_deinit(struct heap *h);
/* INSTANT_NEVER takes the item out. There must be room for those that come in. */
void heap_set(struct heap *h, struct heap_item *item, instant at);
/* The earliest, or NULL. */
static inline struct heap_item *heap_first(const struct heap *h)
{
    return h->count > 0 ? h->items[0] : NULL;
}
