/* dmux/limits.c - see limits.h.
 *
 * Theory of operation. Two tables, of networks and of clients, are arrays of sets of WAYS entries, found by a keyed
 * hash: a lookup reads one set, and nothing is allocated after the start. */
#include "dmux/limits.h"

#include "base/hash.h"

#define WAYS 8
#define SETS (LIMITS_ENTRIES / WAYS)
#define CREDIT_LIFE (10 * SEC) /* chosen: an answer comes within this or not at all */
#define CREDIT_MAX (64 * 1024) /* bytes; chosen: what a stranger may have waiting */

struct entry {
    uint32_t key;
    bool used;
    instant seen;
    struct bucket verified, unverified, shown; /* of a network */
    int64_t credit;                            /* of a client, bytes */
};

struct limits {
    uint32_t verified_pps;
    uint8_t seed[16];
    struct bucket all, all_shown;
    struct entry networks[LIMITS_ENTRIES], clients[LIMITS_ENTRIES];
};

bool bucket_take(struct bucket *b, uint32_t per_second, instant now)
{
    if (b->at == 0)
        b->tokens = per_second;
    else
        b->tokens = MIN(b->tokens + (double)(now - b->at) * per_second / (double)SEC, (double)per_second);
    b->at = now;
    if (b->tokens < 1)
        return false;
    b->tokens--;
    return true;
}

struct limits *limits_new(uint32_t verified_pps, const uint8_t seed[16])
{
    struct limits *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->verified_pps = verified_pps;
    memcpy(l->seed, seed, sizeof(l->seed));
    return l;
}

void limits_free(struct limits *l)
{
    free(l);
}

static struct entry *set_of(const struct limits *l, struct entry *table, uint32_t key)
{
    return &table[siphash13(l->seed, &key, sizeof(key)) % SETS * WAYS];
}

static struct entry *entry_get(const struct limits *l, struct entry *table, uint32_t key, instant now)
{
    struct entry *set = set_of(l, table, key), *oldest = set;

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].used && set[i].key == key) {
            set[i].seen = now;
            return &set[i];
        }
        if (!set[i].used || (oldest->used && set[i].seen < oldest->seen))
            oldest = &set[i];
    }
    *oldest = (struct entry){ .key = key, .used = true, .seen = now };
    return oldest;
}

bool limits_verified(struct limits *l, uint32_t client, instant now)
{
    if (l->verified_pps == 0)
        return true;
    return bucket_take(&entry_get(l, l->networks, client >> 8, now)->verified, l->verified_pps, now);
}

bool limits_unverified(struct limits *l, uint32_t client, size_t bytes, instant now)
{
    struct entry *e;

    if (!bucket_take(&entry_get(l, l->networks, client >> 8, now)->unverified, LIMITS_UNVERIFIED_PPS, now) ||
        !bucket_take(&l->all, LIMITS_UNVERIFIED_ALL_PPS, now))
        return false;
    e = entry_get(l, l->clients, client, now);
    e->credit = MIN(e->credit + (int64_t)bytes * LIMITS_AMPLIFICATION, (int64_t)CREDIT_MAX);
    return true;
}

bool limits_shown(struct limits *l, uint32_t sender, instant now)
{
    return bucket_take(&entry_get(l, l->networks, sender >> 8, now)->shown, LIMITS_SHOWN_PPS, now) &&
           bucket_take(&l->all_shown, LIMITS_SHOWN_ALL_PPS, now);
}

bool limits_answer(struct limits *l, uint32_t client, size_t bytes, instant now)
{
    struct entry *set = set_of(l, l->clients, client);

    for (unsigned i = 0; i < WAYS; i++) {
        struct entry *e = &set[i];

        if (!e->used || e->key != client)
            continue;
        if (e->seen + CREDIT_LIFE < now)
            e->credit = 0;
        if (e->credit < (int64_t)bytes)
            return false;
        e->credit -= (int64_t)bytes;
        return true;
    }
    return false;
}
