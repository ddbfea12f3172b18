/* base/hash.h - keyed hashing and a map from 64-bit keys to pointers.
 *
 * Keys that a peer may choose are hashed under a random key (SipHash-1-3, Aumasson and Bernstein), so that nobody can
 * aim at one bucket. The map is open addressing with linear probing and backward-shift deletion; it holds pointers that
 * it does not own, grows by doubling at 2/3 full, and refuses to grow past max_items. */
#pragma once

#include "base/base.h"

uint64_t siphash13(const uint8_t key[16], const void *data, size_t len);

/* A fast mix of a 64-bit value for keys that no peer chooses (splitmix64's finaliser). */
static inline uint64_t hash_mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct map64_slot {
    uint64_t key;
    void *value; /* NULL: free */
};

struct map64 {
    struct map64_slot *slots;
    size_t capacity; /* power of two, or 0 */
    size_t count, max_items;
    uint64_t salt;
};

/* max_items bounds growth. Nothing is allocated yet. */
void map64_init(struct map64 *m, size_t max_items, uint64_t salt);
void map64_deinit(struct map64 *m);
/* NULL when absent. */
void *map64_get(const struct map64 *m, uint64_t key);
/* Has fetched what map64_get of that key will want. */
void map64_foresee(const struct map64 *m, uint64_t key);
/* Inserts or replaces; value must not be NULL. 0, -ENOSPC at max_items, -ENOMEM. */
MUST_CHECK int map64_put(struct map64 *m, uint64_t key, void *value);
/* The value that was there, or NULL. */
void *map64_remove(struct map64 *m, uint64_t key);
