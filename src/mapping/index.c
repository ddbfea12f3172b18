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

static uint32_t hash_of(const struct index *x, const struct index_key *key)
{
    uint8_t bytes[18];

    memcpy(bytes, key->subject.bytes, 16);
    bytes[16] = key->kind;
    bytes[17] = key->answer;
    return (uint32_t)siphash13(x->hash_key, bytes, sizeof(bytes));
}

/* The slot of the key, or the free one where it would be. slots_count is not 0. */
static struct index_slot *slot_of(const struct index *x, const struct index_key *key, uint32_t hash)
{
    uint32_t mask = x->slots_count - 1;

    for (uint32_t i = hash & mask;; i = (i + 1) & mask) {
        const struct index_slot *s = &x->slots[i];
        const struct index_key *k = s->row && s->hash == hash ? x->key(x->owner, s->row - 1) : NULL;

        if (!s->row || (k && k->kind == key->kind && k->answer == key->answer && tag_equal(&k->subject, &key->subject)))
            return &x->slots[i];
    }
}

uint32_t index_find(const struct index *x, const struct index_key *key)
{
    return x->slots_count ? slot_of(x, key, hash_of(x, key))->row - 1 : INDEX_NONE;
}

uint32_t index_foresee(const struct index *x, const struct index_key *key)
{
    uint32_t hash = hash_of(x, key);

    if (x->slots_count)
        fetch_ahead(&x->slots[hash & (x->slots_count - 1)], sizeof(x->slots[0]));
    return hash;
}

uint32_t index_foresee_row(const struct index *x, uint32_t hash)
{
    uint32_t mask = x->slots_count - 1, i = hash & mask;

    if (x->slots_count == 0)
        return INDEX_NONE;
    while (x->slots[i].row && x->slots[i].hash != hash)
        i = (i + 1) & mask;
    return x->slots[i].row - 1;
}

static void put(struct index_slot *slots, uint32_t count, const struct index_slot *s)
{
    uint32_t i = s->hash & (count - 1);

    while (slots[i].row)
        i = (i + 1) & (count - 1);
    slots[i] = *s;
}

static int grow(struct index *x)
{
    uint32_t count = x->slots_count ? x->slots_count * 2 : 64;
    struct index_slot *slots = calloc(count, sizeof(*slots));

    if (!slots)
        return -ENOMEM;
    for (uint32_t i = 0; i < x->slots_count; i++)
        if (x->slots[i].row)
            put(slots, count, &x->slots[i]);
    free(x->slots);
    x->slots = slots;
    x->slots_count = count;
    return 0;
}

int index_add(struct index *x, uint32_t row)
{
    int r;

    if ((uint64_t)(x->rows_count + 1) * 3 > (uint64_t)x->slots_count * 2 && (r = grow(x)) < 0)
        return r;
    put(x->slots, x->slots_count, &(struct index_slot){ row + 1, hash_of(x, x->key(x->owner, row)) });
    x->rows_count++;
    return 0;
}

void index_remove(struct index *x, uint32_t row)
{
    const struct index_key *key = x->key(x->owner, row);
    uint32_t mask = x->slots_count - 1, gap = (uint32_t)(slot_of(x, key, hash_of(x, key)) - x->slots);

    x->slots[gap] = (struct index_slot){ 0 };
    x->rows_count--;
    /* Closes the gap: later rows of the run whose home is not between the gap and themselves move up. */
    for (uint32_t i = (gap + 1) & mask; x->slots[i].row; i = (i + 1) & mask)
        if (((i - x->slots[i].hash) & mask) >= ((i - gap) & mask)) {
            x->slots[gap] = x->slots[i];
            x->slots[i] = (struct index_slot){ 0 };
            gap = i;
        }
}
