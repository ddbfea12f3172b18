/* mapping/policy.c - see policy.h.
 *
 * Theory of operation. One row a subject, found by its tag under a keyed hash; the row holds the rules alone, in an
 * allocation of their own. Policies are hard state and few: those of realms, and of entities that want another one.
 *
 * Who has ended is still spoken of, by changes that say so. Meanwhile his policy stays, in a list by when he ended: the
 * realm's own in its place would hide his end from those who knew him, and tell of him to those who never might.
 *
 * Limits: 64 rules a policy, 18 bytes each; rows as given. */
#include "mapping/policy.h"

#include "base/hash.h"
#include "base/list.h"

#include <errno.h>

struct policy {
    struct tag subject;
    uint64_t seq, not_after_s;
    struct policy *next; /* of those with the same hash */
    struct list ended;   /* in policies.ended, or in none */
    uint64_t ended_at;
    uint8_t rules_count;
    struct record_rule rules[];
};

struct policies {
    uint8_t hash_key[16];
    struct map64 map;
    uint32_t count, max; /* without those that ended */
    struct list ended;   /* the first one first */
};

struct policies *policies_new(uint32_t max, const struct rng *rng)
{
    struct policies *p = calloc(1, sizeof(*p));
    uint8_t salt[8];

    if (!p)
        return NULL;
    rng_fill(rng, p->hash_key, sizeof(p->hash_key));
    rng_fill(rng, salt, sizeof(salt));
    map64_init(&p->map, SIZE_MAX, get_be64(salt));
    p->max = max;
    list_init(&p->ended);
    return p;
}

void policies_free(struct policies *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->map.capacity; i++) {
        for (struct policy *q = p->map.slots[i].value, *next; q; q = next) {
            next = q->next;
            free(q);
        }
    }
    map64_deinit(&p->map);
    free(p);
}

static uint64_t hash_of(const struct policies *p, const struct tag *t)
{
    return siphash13(p->hash_key, t->bytes, sizeof(t->bytes));
}

static struct policy *find(const struct policies *p, const struct tag *t)
{
    struct policy *q = map64_get(&p->map, hash_of(p, t));

    while (q && !tag_equal(&q->subject, t))
        q = q->next;
    return q;
}

/* Puts `with` (or nothing) where `known` stands among those of its hash. The hash has a row, so this cannot fail. */
static void replace(struct policies *p, struct policy *known, struct policy *with)
{
    uint64_t hash = hash_of(p, &known->subject);
    struct policy *before = map64_get(&p->map, hash), *rest = with ? with : known->next;

    if (with)
        with->next = known->next;
    if (before == known) {
        if (!rest)
            map64_remove(&p->map, hash);
        else if (map64_put(&p->map, hash, rest) < 0)
            return; /* never: the key is there */
    } else {
        while (before->next != known)
            before = before->next;
        before->next = rest;
    }
    free(known);
}

static bool has_ended(const struct policy *q)
{
    return !list_empty(&q->ended);
}

static void drop(struct policies *p, struct policy *q)
{
    p->count -= !has_ended(q);
    list_remove(&q->ended);
    replace(p, q, NULL);
}

int policies_put(struct policies *p, const struct record *r)
{
    struct policy *known = find(p, &r->subject), *q;
    uint64_t hash = hash_of(p, &r->subject);
    int e;

    if (known && r->seq <= known->seq)
        return r->seq == known->seq ? POLICY_SAME : POLICY_OLDER;
    if ((!known || has_ended(known)) && p->count >= p->max)
        return -ENOSPC;
    q = malloc(sizeof(*q) + r->rules_count * sizeof(q->rules[0]));
    if (!q)
        return -ENOMEM;
    *q = (struct policy){
        .subject = r->subject, .seq = r->seq, .not_after_s = r->not_after_s, .rules_count = r->rules_count
    };
    list_init(&q->ended);
    memcpy(q->rules, r->rules, r->rules_count * sizeof(q->rules[0]));
    if (known) {
        p->count += has_ended(known);
        list_remove(&known->ended);
        replace(p, known, q);
        return POLICY_STORED;
    }
    q->next = map64_get(&p->map, hash);
    e = map64_put(&p->map, hash, q);
    if (e < 0)
        free(q);
    p->count += e == 0;
    return e;
}

uint64_t policies_seq(const struct policies *p, const struct tag *subject)
{
    const struct policy *known = find(p, subject);

    return known ? known->seq : 0;
}

static bool same_rule(const struct record_rule *a, const struct record_rule *b)
{
    return tag_equal(&a->who.tag, &b->who.tag) && a->who.len == b->who.len && a->answer == b->answer;
}

bool policies_has(const struct policies *p, const struct record *r)
{
    const struct policy *q = find(p, &r->subject);
    bool same = q && q->seq == r->seq && q->not_after_s == r->not_after_s && q->rules_count == r->rules_count;

    for (size_t i = 0; same && i < r->rules_count; i++)
        same = same_rule(&q->rules[i], &r->rules[i]);
    return same;
}

void policies_end(struct policies *p, const struct tag *subject, uint64_t number)
{
    struct policy *q = find(p, subject);

    if (!q || has_ended(q))
        return;
    p->count--;
    q->ended_at = number;
    list_append(&p->ended, &q->ended);
}

void policies_drop_ended(struct policies *p, uint64_t number)
{
    LIST_FOREACH_SAFE (q, &p->ended, struct policy, ended) {
        if (q->ended_at > number)
            return;
        drop(p, q);
    }
}

void policies_begin(struct policies *p, const struct tag *subject)
{
    struct policy *q = find(p, subject);

    if (q && has_ended(q))
        drop(p, q);
}

enum record_class policy_class(const struct record_rule *rules, size_t count, const struct tag *who)
{
    for (size_t i = 0; i < count; i++)
        if (tag_prefix_contains(&rules[i].who, who))
            return (enum record_class)rules[i].answer;
    return CLASS_DENY;
}

enum record_class policies_class(const struct policies *p, const struct tag *subject, const struct tag *realm,
                                 const struct tag *who, uint64_t wall_s)
{
    const struct policy *q = find(p, subject);

    if (!q)
        q = find(p, realm);
    if (!q || (q->not_after_s && q->not_after_s < wall_s))
        return CLASS_DENY;
    return policy_class(q->rules, q->rules_count, who);
}
