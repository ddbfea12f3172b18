/* mapping/guests.c - see guests.h.
 *
 * Theory of operation. A map from the keyed hash of a key to a row, and a list of all rows, the newest first. Two keys
 * with one hash (64 bits, under a key that nobody knows) take each other's place.
 *
 * Memory: 100 bytes a row and 24 in the map. */
#include "mapping/guests.h"

#include "base/hash.h"
#include "base/list.h"

#include <errno.h>

struct row {
    struct list in_order;
    uint64_t hash;
    uint8_t key[IDENT_KEY_LEN];
    struct guest guest;
};

struct guests {
    uint8_t hash_key[16];
    struct map64 map;
    struct list rows;
    uint32_t max;
};

struct guests *guests_new(uint32_t max, const struct rng *rng)
{
    struct guests *g = calloc(1, sizeof(*g));

    if (!g)
        return NULL;
    g->max = max;
    rng_fill(rng, g->hash_key, sizeof(g->hash_key));
    map64_init(&g->map, (size_t)max + 1, rng_u64(rng));
    list_init(&g->rows);
    return g;
}

static void drop(struct guests *g, struct row *r)
{
    map64_remove(&g->map, r->hash);
    list_remove(&r->in_order);
    free(r);
}

void guests_forget_all(struct guests *g)
{
    LIST_FOREACH_SAFE (r, &g->rows, struct row, in_order)
        drop(g, r);
}

void guests_free(struct guests *g)
{
    if (!g)
        return;
    guests_forget_all(g);
    map64_deinit(&g->map);
    free(g);
}

static struct row *find(const struct guests *g, const uint8_t key[IDENT_KEY_LEN], uint64_t *ret_hash)
{
    *ret_hash = siphash13(g->hash_key, key, IDENT_KEY_LEN);
    return map64_get(&g->map, *ret_hash);
}

static void used(struct guests *g, struct row *r)
{
    list_remove(&r->in_order);
    list_prepend(&g->rows, &r->in_order);
}

int guests_put(struct guests *g, const uint8_t ed25519[IDENT_KEY_LEN], const struct guest *guest)
{
    uint64_t hash;
    struct row *r = find(g, ed25519, &hash);
    int e;

    if (!r) {
        r = calloc(1, sizeof(*r));
        if (!r)
            return -ENOMEM;
        e = map64_put(&g->map, hash, r);
        if (e < 0) {
            free(r);
            return e;
        }
        r->hash = hash;
        list_init(&r->in_order);
    }
    memcpy(r->key, ed25519, IDENT_KEY_LEN);
    r->guest = *guest;
    used(g, r);
    if (g->map.count > g->max)
        drop(g, CONTAINER_OF(g->rows.prev, struct row, in_order));
    return 0;
}

int guests_find(const struct guests *g, const uint8_t ed25519[IDENT_KEY_LEN], struct guest *ret)
{
    uint64_t hash;
    const struct row *r = find(g, ed25519, &hash);

    if (!r || memcmp(r->key, ed25519, IDENT_KEY_LEN) != 0)
        return -ENOENT;
    *ret = r->guest;
    return 0;
}

void guests_forget_below(struct guests *g, const struct tag *realm, const struct realm_range *range)
{
    LIST_FOREACH_SAFE (r, &g->rows, struct row, in_order)
        if (tag_raa(&r->guest.tag) == tag_raa(realm) && realm_range_has(range, tag_realm(&r->guest.tag)))
            drop(g, r);
}

void guests_heard(struct guests *g, const uint8_t ed25519[IDENT_KEY_LEN])
{
    uint64_t hash;
    struct row *r = find(g, ed25519, &hash);

    if (r && memcmp(r->key, ed25519, IDENT_KEY_LEN) == 0)
        used(g, r);
}

uint32_t guests_count(const struct guests *g)
{
    return (uint32_t)g->map.count;
}
