/* base/ranges.h - a set of numbers as ranges: disjoint, apart from each other, in order.
 *
 * For offsets of a byte stream: what arrived, what was acknowledged, what is to be sent again. Work is logarithmic to
 * find and linear in the ranges behind to change; there are few unless somebody makes them on purpose, hence the limit.
 */
#pragma once

#include "base/base.h"

#define RANGES_MAX 8192 /* chosen: 128 KiB; every third full record of 32 MiB missing */

struct range {
    uint64_t from, to; /* from <= x < to */
};

struct ranges {
    struct range *items;
    size_t count, capacity;
    uint64_t sum; /* how many numbers are in it */
};

void ranges_deinit(struct ranges *r);
/* 0, also for an empty range; -ENOSPC, -ENOMEM: nothing changed. */
MUST_CHECK int ranges_add(struct ranges *r, uint64_t from, uint64_t to);
/* As ranges_add: a range may fall into two. */
MUST_CHECK int ranges_remove(struct ranges *r, uint64_t from, uint64_t to);
/* Never fails. */
void ranges_remove_below(struct ranges *r, uint64_t to);
/* The index of the first range that ends above `at`; count when there is none. */
size_t ranges_find(const struct ranges *r, uint64_t at);
