/* base/hash.c - see hash.h. SipHash: https://www.aumasson.jp/siphash/siphash.pdf, with 1 and 3 rounds. */
#include "base/hash.h"

#include <errno.h>

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static inline __attribute__((always_inline)) void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = ROTL(v[1], 13) ^ v[0];
    v[0] = ROTL(v[0], 32);
    v[2] += v[3];
    v[3] = ROTL(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = ROTL(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = ROTL(v[1], 17) ^ v[2];
    v[2] = ROTL(v[2], 32);
}

uint64_t siphash13(const uint8_t key[16], const void *data, size_t len)
{
    const uint8_t *in = data;
    uint64_t k0 = get_le64(key), k1 = get_le64(key + 8), last = (uint64_t)len << 56, m;
    uint64_t v[4] = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u,
                      k1 ^ 0x7465646279746573u };

    for (; len >= 8; in += 8, len -= 8) {
        m = get_le64(in);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)in[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static size_t home_slot(const struct map64 *m, uint64_t key)
{
    return (size_t)hash_mix64(key ^ m->salt) & (m->capacity - 1);
}

void map64_init(struct map64 *m, size_t max_items, uint64_t salt)
{
    *m = (struct map64){ .max_items = max_items, .salt = salt };
}

void map64_deinit(struct map64 *m)
{
    free(m->slots);
    *m = (struct map64){ 0 };
}

static struct map64_slot *find(const struct map64 *m, uint64_t key)
{
    for (size_t i = home_slot(m, key);; i = (i + 1) & (m->capacity - 1)) {
        struct map64_slot *s = &m->slots[i];
        if (!s->value || s->key == key)
            return s;
    }
}

void *map64_get(const struct map64 *m, uint64_t key)
{
    return m->capacity ? find(m, key)->value : NULL;
}

void map64_foresee(const struct map64 *m, uint64_t key)
{
    if (m->capacity)
        fetch_ahead(&m->slots[home_slot(m, key)], sizeof(m->slots[0]));
}

static int grow(struct map64 *m)
{
    size_t old_capacity = m->capacity, capacity = old_capacity ? old_capacity * 2 : 16;
    struct map64_slot *old = m->slots, *slots = calloc(capacity, sizeof(*slots));

    if (!slots)
        return -ENOMEM;
    m->slots = slots;
    m->capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++)
        if (old[i].value)
            *find(m, old[i].key) = old[i];
    free(old);
    return 0;
}

int map64_put(struct map64 *m, uint64_t key, void *value)
{
    struct map64_slot *s;
    int r;

    if (m->capacity && (s = find(m, key))->value) {
        s->value = value;
        return 0;
    }
    if (m->count >= m->max_items)
        return -ENOSPC;
    if ((m->count + 1) * 3 > m->capacity * 2 && (r = grow(m)) < 0)
        return r;
    s = find(m, key);
    *s = (struct map64_slot){ .key = key, .value = value };
    m->count++;
    return 0;
}

void *map64_remove(struct map64 *m, uint64_t key)
{
    struct map64_slot *s;
    size_t hole, mask = m->capacity - 1;
    void *value;

    if (!m->capacity || !(value = (s = find(m, key))->value))
        return NULL;
    hole = (size_t)(s - m->slots);
    m->slots[hole].value = NULL;
    m->count--;
    /* Backward shift: pull up every later item of the run whose home is not between the hole and itself. */
    for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        size_t home = home_slot(m, m->slots[i].key);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            m->slots[i].value = NULL;
            hole = i;
        }
    }
    return value;
}
