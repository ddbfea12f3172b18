/* base/ranges.c - see ranges.h. */
#include "base/ranges.h"

#include <errno.h>

#define CAPACITY_MIN 8

void ranges_deinit(struct ranges *r)
{
    free(r->items);
    *r = (struct ranges){ 0 };
}

size_t ranges_find(const struct ranges *r, uint64_t at)
{
    size_t low = 0, high = r->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (r->items[mid].to > at)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

/* Makes room for one at index i. */
static int insert(struct ranges *r, size_t i, struct range x)
{
    if (r->count == RANGES_MAX)
        return -ENOSPC;
    if (r->count == r->capacity) {
        size_t capacity = MAX(r->capacity * 2, (size_t)CAPACITY_MIN);
        struct range *items = realloc(r->items, capacity * sizeof(*items));

        if (!items)
            return -ENOMEM;
        r->items = items;
        r->capacity = capacity;
    }
    memmove(&r->items[i + 1], &r->items[i], (r->count - i) * sizeof(*r->items));
    r->items[i] = x;
    r->count++;
    r->sum += x.to - x.from;
    return 0;
}

static void erase(struct ranges *r, size_t i, size_t n)
{
    if (n == 0)
        return;
    for (size_t k = i; k < i + n; k++)
        r->sum -= r->items[k].to - r->items[k].from;
    memmove(&r->items[i], &r->items[i + n], (r->count - i - n) * sizeof(*r->items));
    r->count -= n;
}

static void resize(struct ranges *r, size_t i, uint64_t from, uint64_t to)
{
    r->sum += (to - from) - (r->items[i].to - r->items[i].from);
    r->items[i] = (struct range){ from, to };
}

int ranges_add(struct ranges *r, uint64_t from, uint64_t to)
{
    size_t i, end;

    if (from >= to)
        return 0;
    i = from > 0 ? ranges_find(r, from - 1) : 0; /* one that ends just here is continued */
    if (i == r->count || r->items[i].from > to)
        return insert(r, i, (struct range){ from, to });
    for (end = i; end + 1 < r->count && r->items[end + 1].from <= to;)
        end++;
    from = MIN(r->items[i].from, from);
    to = MAX(r->items[end].to, to);
    erase(r, i + 1, end - i);
    resize(r, i, from, to);
    return 0;
}

int ranges_remove(struct ranges *r, uint64_t from, uint64_t to)
{
    size_t i = ranges_find(r, from), end;

    if (from >= to || i == r->count)
        return 0;
    if (r->items[i].from < from && r->items[i].to > to) {
        int result = insert(r, i, (struct range){ r->items[i].from, from });

        if (result == 0)
            resize(r, i + 1, to, r->items[i + 1].to);
        return result;
    }
    if (r->items[i].from < from) {
        resize(r, i, r->items[i].from, from);
        i++;
    }
    for (end = i; end < r->count && r->items[end].to <= to;)
        end++;
    if (end < r->count && r->items[end].from < to)
        resize(r, end, to, r->items[end].to);
    erase(r, i, end - i);
    return 0;
}

void ranges_remove_below(struct ranges *r, uint64_t to)
{
    size_t i = ranges_find(r, to);

    erase(r, 0, i);
    if (r->count > 0 && r->items[0].from < to)
        resize(r, 0, to, r->items[0].to);
}
