/* mapping/index.h - from subject, kind and answer class to the number of a row: what tables and caches are looked up
 * by.
 *
 * The class is part of the key, always: what was an answer to one correspondent must not become one to another who may
 * know less. Rows are their owner's; the index holds numbers below 2^32 - 1, hashed by SipHash under a random key,
 * since who registers chooses subjects. */
#pragma once

#include "base/rng.h"
#include "ident/tag.h"

#define INDEX_NONE UINT32_MAX

struct index_key {
    struct tag subject;
    uint8_t kind;   /* enum record_kind */
    uint8_t answer; /* enum record_class */
};

/* The key of a row. */
typedef const struct index_key *index_key_fn(const void *owner, uint32_t row);

struct index {
    uint8_t hash_key[16];
    struct index_slot {
        uint32_t row;  /* + 1; 0: free */
        uint32_t hash; /* of the key: who has another is passed over without a look at its row */
    } * slots;
    uint32_t slots_count, rows_count; /* slots: a power of two, or 0 */
    index_key_fn *key;
    const void *owner;
};

/* Nothing is allocated yet. */
void index_init(struct index *x, const struct rng *rng, index_key_fn *key, const void *owner);
void index_deinit(struct index *x);
/* INDEX_NONE when there is none. */
uint32_t index_find(const struct index *x, const struct index_key *key);
/* What index_find of that key will want, in two steps between which memory is waited for: has the slot fetched, and
 * tells the hash of the key; tells the row of a key of that hash, or INDEX_NONE, for whoever has that fetched. */
uint32_t index_foresee(const struct index *x, const struct index_key *key);
uint32_t index_foresee_row(const struct index *x, uint32_t hash);
/* Adds a row whose key is not in the index: 0 or -ENOMEM. */
MUST_CHECK int index_add(struct index *x, uint32_t row);
/* Takes it out; its key must still be what it was. */
void index_remove(struct index *x, uint32_t row);
