/* mapping/index.c - see index.h.
 *
 * Theory of operation. Open addressing with linear probing and backward-shift deletion, two thirds full at most,
 * doubling. Sources: Knuth, The Art of Computer Programming 3, 6.4 (algorithms L and R). */
#include "mapping/index.h"

#include "base/hash.h"

#include <errno.h>

void index_init(struct index *x, const struct rng *rng, index_key_fn *key, const void *owner)
{
    *x = (struct index){ .key = key, .owner = owner };
    rng_fill(rng, x->hash_key, sizeof(x->hash_key));
}

void index_deinit(struct index *x)
{
    free(x->slots);
    x->slots = NULL;
    x->slots_count = x->rows_count = 0;
}

static uint32_t home_of(const struct index *x, const struct index_key *key)
{
    uint8_t bytes[18];

    memcpy(bytes, key->subject.bytes, 16);
    bytes[16] = key->kind;
    bytes[17] = key->answer;
    return (uint32_t)siphash13(x->hash_key, bytes, sizeof(bytes)) & (x->slots_count - 1);
}

/* The slot of the key, or the free one where it would be. slots_count is not 0. */
static uint32_t slot_of(const struct index *x, const struct index_key *key)
{
    uint32_t mask = x->slots_count - 1;

    for (uint32_t i = home_of(x, key);; i = (i + 1) & mask) {
        const struct index_key *k = x->slots[i] ? x->key(x->owner, x->slots[i] - 1) : NULL;

        if (!k || (k->kind == key->kind && k->answer == key->answer && tag_equal(&k->subject, &key->subject)))
            return i;
    }
}

uint32_t index_find(const struct index *x, const struct index_key *key)
{
    return x->slots_count ? x->slots[slot_of(x, key)] - 1 : INDEX_NONE;
}

static int grow(struct index *x)
{
    uint32_t old_count = x->slots_count, *old = x->slots;
    uint32_t count = old_count ? old_count * 2 : 64, *slots = calloc(count, sizeof(*slots));

    if (!slots)
        return -ENOMEM;
    x->slots = slots;
    x->slots_count = count;
    for (uint32_t i = 0; i < old_count; i++)
        if (old[i])
            slots[slot_of(x, x->key(x->owner, old[i] - 1))] = old[i];
    free(old);
    return 0;
}

int index_add(struct index *x, uint32_t row)
{
    int r;

    if ((uint64_t)(x->rows_count + 1) * 3 > (uint64_t)x->slots_count * 2 && (r = grow(x)) < 0)
        return r;
    x->slots[slot_of(x, x->key(x->owner, row))] = row + 1;
    x->rows_count++;
    return 0;
}

void index_remove(struct index *x, uint32_t row)
{
    uint32_t mask = x->slots_count - 1, gap = slot_of(x, x->key(x->owner, row));

    x->slots[gap] = 0;
    x->rows_count--;
    /* Closes the gap: later rows of the run whose home is not between the gap and themselves move up. */
    for (uint32_t i = (gap + 1) & mask; x->slots[i]; i = (i + 1) & mask) {
        uint32_t home = home_of(x, x->key(x->owner, x->slots[i] - 1));

        if (((i - home) & mask) >= ((i - gap) & mask)) {
            x->slots[gap] = x->slots[i];
            x->slots[i] = 0;
            gap = i;
        }
    }
}
