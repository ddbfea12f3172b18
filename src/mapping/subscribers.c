/* mapping/subscribers.c - see subscribers.h.
 *
 * Theory of operation. Three maps: by id, by peer, by prefix. A change looks once into the map of prefixes for each
 * length that some subscription has (29 to 128 bits, in practice a handful). What is due hangs in one of three queues,
 * by how soon it is to be told; since all that enter a queue wait as long, each is in the order of its times.
 *
 * A lease that is over is noticed when the subscription is due, or when its place is wanted: of a peer's own when it is
 * at its bound, of all, once a second at most, when the table is full.
 *
 * Limits: as given, and those of the header. Memory: 200 bytes a subscription and 72 in the maps. */
#include "mapping/subscribers.h"

#include "base/hash.h"
#include "mapping/manager.h"

#include <errno.h>

#define QUEUE_NONE PACE_COUNT
#define QUEUE_HELD (PACE_COUNT + 1) /* due, but its peer has enough to answer */
#define SWEEP_EVERY (1 * SEC)

/* Those of a peer, or of a prefix. */
struct group {
    struct list subs;
    struct list held; /* of a peer: by in_queue */
    unsigned telling; /* of a peer: notices under way */
    size_t subs_count;
    uint64_t hash;
    uint64_t peer;
    struct tag_prefix prefix;
};

struct subscribers {
    uint8_t hash_key[16];
    struct map64 ids, peers, prefixes;
    struct list queues[PACE_COUNT];
    uint32_t lens[129]; /* prefixes of so many bits */
    uint64_t next_id, telling_bytes;
    instant swept;
    uint32_t max;
};

struct subscribers *subscribers_new(uint32_t max, const struct rng *rng)
{
    struct subscribers *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->max = max;
    s->next_id = 1;
    s->swept = INSTANT_NEVER;
    rng_fill(rng, s->hash_key, sizeof(s->hash_key));
    map64_init(&s->ids, max, rng_u64(rng));
    map64_init(&s->peers, max, rng_u64(rng));
    map64_init(&s->prefixes, max, rng_u64(rng));
    for (size_t i = 0; i < PACE_COUNT; i++)
        list_init(&s->queues[i]);
    return s;
}

void subscribers_free(struct subscribers *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->ids.capacity; i++)
        free(s->ids.slots[i].value);
    for (size_t i = 0; i < s->peers.capacity; i++)
        free(s->peers.slots[i].value);
    for (size_t i = 0; i < s->prefixes.capacity; i++)
        free(s->prefixes.slots[i].value);
    map64_deinit(&s->ids);
    map64_deinit(&s->peers);
    map64_deinit(&s->prefixes);
    free(s);
}

static uint64_t hash_prefix(const struct subscribers *s, const struct tag_prefix *p)
{
    uint8_t bytes[17];

    memcpy(bytes, p->tag.bytes, 16);
    bytes[16] = p->len;
    return siphash13(s->hash_key, bytes, sizeof(bytes));
}

static struct group *group_of_prefix(const struct subscribers *s, const struct tag_prefix *p)
{
    struct group *g = map64_get(&s->prefixes, hash_prefix(s, p));

    /* Two with one hash of 64 bits: the second is not found, and not told of; it asks by itself in its time. */
    return g && g->prefix.len == p->len && tag_equal(&g->prefix.tag, &p->tag) ? g : NULL;
}

static struct group *group_make(struct map64 *map, uint64_t hash)
{
    struct group *g = map64_get(map, hash);

    if (g)
        return g;
    g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    list_init(&g->subs);
    list_init(&g->held);
    g->hash = hash;
    if (map64_put(map, hash, g) < 0) {
        free(g);
        return NULL;
    }
    return g;
}

static void group_drop_empty(struct map64 *map, struct group *g)
{
    if (!g || !list_empty(&g->subs))
        return;
    map64_remove(map, g->hash);
    free(g);
}

struct subscription *subscribers_find(const struct subscribers *s, uint64_t peer, const struct tag_prefix *prefix)
{
    struct group *g = map64_get(&s->peers, peer);

    if (!g)
        return NULL;
    LIST_FOREACH (sub, &g->subs, struct subscription, of_peer)
        if (sub->prefix.len == prefix->len && tag_equal(&sub->prefix.tag, &prefix->tag))
            return sub;
    return NULL;
}

struct subscription *subscribers_by_id(const struct subscribers *s, uint64_t id)
{
    return map64_get(&s->ids, id);
}

/* Those of a peer whose lease is over go; how many are left. */
static size_t sweep_peer(struct subscribers *s, uint64_t peer, instant now)
{
    const struct group *g = map64_get(&s->peers, peer);
    size_t left = 0;

    LIST_FOREACH_SAFE (sub, &g->subs, struct subscription, of_peer) {
        if (sub->until > now)
            left++;
        else
            subscribers_remove(s, sub); /* the last takes the group with it */
    }
    return left;
}

static void sweep_all(struct subscribers *s, instant now)
{
    if (s->swept != INSTANT_NEVER && now - s->swept < SWEEP_EVERY)
        return;
    s->swept = now;
    for (size_t i = 0; i < s->ids.capacity;) {
        struct subscription *sub = s->ids.slots[i].value;

        if (sub && sub->until <= now)
            subscribers_remove(s, sub); /* another may move to this place */
        else
            i++;
    }
}

/* Room for one more of that peer. 0, -EDQUOT or -ENOSPC. */
static int reserve(struct subscribers *s, uint64_t peer, instant now)
{
    const struct group *g = map64_get(&s->peers, peer);

    if (g && g->subs_count >= SUBSCRIPTIONS_PEER_MAX && sweep_peer(s, peer, now) >= SUBSCRIPTIONS_PEER_MAX)
        return -EDQUOT;
    if (s->ids.count >= s->max)
        sweep_all(s, now);
    return s->ids.count < s->max ? 0 : -ENOSPC;
}

int subscribers_put(struct subscribers *s, uint64_t peer, const uint8_t key[IDENT_KEY_LEN],
                    const struct tag_prefix *prefix, instant now, struct subscription **ret)
{
    struct subscription *sub = subscribers_find(s, peer, prefix);
    struct group *of_peer, *of_prefix;
    int e;

    if (sub && memcmp(sub->key, key, IDENT_KEY_LEN) == 0) {
        *ret = sub;
        return 0;
    }
    if (sub)
        subscribers_remove(s, sub);
    e = reserve(s, peer, now);
    if (e < 0)
        return e;
    sub = calloc(1, sizeof(*sub));
    if (!sub)
        return -ENOMEM;
    of_peer = group_make(&s->peers, peer);
    of_prefix = group_make(&s->prefixes, hash_prefix(s, prefix));
    if (!of_peer || !of_prefix || map64_put(&s->ids, s->next_id, sub) < 0) {
        group_drop_empty(&s->peers, of_peer);
        group_drop_empty(&s->prefixes, of_prefix);
        free(sub);
        return -ENOMEM;
    }
    if (list_empty(&of_prefix->subs))
        of_prefix->prefix = *prefix;
    of_peer->peer = peer;
    *sub = (struct subscription){ .id = s->next_id++, .peer = peer, .prefix = *prefix, .queue = QUEUE_NONE };
    memcpy(sub->key, key, IDENT_KEY_LEN);
    list_init(&sub->in_queue);
    list_append(&of_peer->subs, &sub->of_peer);
    of_peer->subs_count++;
    list_append(&of_prefix->subs, &sub->of_prefix);
    s->lens[prefix->len]++;
    *ret = sub;
    return 0;
}

/* The notice that was under way is not any more: its peer may have another. */
static void release(struct subscribers *s, struct subscription *sub)
{
    struct group *g = map64_get(&s->peers, sub->peer);

    if (sub->telling == 0)
        return;
    g->telling--;
    s->telling_bytes -= sub->telling_bytes;
    sub->telling = sub->telling_bytes = 0;
    if (!list_empty(&g->held)) {
        struct subscription *next = LIST_FIRST(&g->held, struct subscription, in_queue);

        list_remove(&next->in_queue);
        next->queue = PACE_MOBILE; /* as it was due before: at once */
        list_append(&s->queues[PACE_MOBILE], &next->in_queue);
    }
}

void subscribers_remove(struct subscribers *s, struct subscription *sub)
{
    struct group *of_peer = map64_get(&s->peers, sub->peer);
    struct group *of_prefix = map64_get(&s->prefixes, hash_prefix(s, &sub->prefix));

    list_remove(&sub->in_queue);
    release(s, sub);
    list_remove(&sub->of_peer);
    list_remove(&sub->of_prefix);
    of_peer->subs_count--;
    group_drop_empty(&s->peers, of_peer);
    group_drop_empty(&s->prefixes, of_prefix);
    map64_remove(&s->ids, sub->id);
    s->lens[sub->prefix.len]--;
    free(sub);
}

void subscribers_forget_peer(struct subscribers *s, uint64_t peer)
{
    struct group *g;

    while ((g = map64_get(&s->peers, peer)))
        subscribers_remove(s, LIST_FIRST(&g->subs, struct subscription, of_peer));
}

void subscribers_forget_all(struct subscribers *s)
{
    for (size_t i = 0; i < s->peers.capacity;) {
        const struct group *g = s->peers.slots[i].value;

        if (g)
            subscribers_forget_peer(s, g->peer); /* another may move to this place */
        else
            i++;
    }
}

/* --- when --- */

static void enqueue(struct subscribers *s, struct subscription *sub, uint8_t queue, instant due)
{
    if (sub->queue == QUEUE_HELD || (sub->queue != QUEUE_NONE && sub->due <= due))
        return;
    list_remove(&sub->in_queue);
    sub->queue = queue;
    sub->due = due;
    list_append(&s->queues[queue], &sub->in_queue);
}

void subscribers_touch(struct subscribers *s, const struct tag *subject, uint64_t number, uint8_t pace, instant now,
                       subscribers_may_fn *may, void *ctx)
{
    static const span delays[PACE_COUNT] = { 0, MANAGER_TELL_ROAMING, MANAGER_TELL_SETTLED };

    for (unsigned len = 28; len <= 128; len++) {
        struct tag_prefix p;
        struct group *g;

        if (s->lens[len] == 0)
            continue;
        p = tag_prefix_of(subject, (uint8_t)len);
        g = group_of_prefix(s, &p);
        if (!g)
            continue;
        LIST_FOREACH (sub, &g->subs, struct subscription, of_prefix) {
            if (!may(ctx, sub))
                continue;
            if (!sub->pending)
                sub->pending = number;
            if (!sub->telling)
                enqueue(s, sub, pace, now + delays[pace]);
        }
    }
}

/* The queue whose first is due first. */
static const struct list *first_queue(const struct subscribers *s)
{
    const struct list *best = NULL;
    instant due = INSTANT_NEVER;

    for (size_t i = 0; i < PACE_COUNT; i++) {
        const struct subscription *sub;

        if (list_empty(&s->queues[i]))
            continue;
        sub = LIST_FIRST(&s->queues[i], struct subscription, in_queue);
        if (sub->due < due) {
            due = sub->due;
            best = &s->queues[i];
        }
    }
    return best;
}

struct subscription *subscribers_pop_due(struct subscribers *s, instant now)
{
    const struct list *queue;

    while (s->telling_bytes < NOTICES_BYTES_MAX && (queue = first_queue(s))) {
        struct subscription *sub = LIST_FIRST(queue, struct subscription, in_queue);
        struct group *g = map64_get(&s->peers, sub->peer);

        if (sub->due > now)
            return NULL;
        if (sub->until <= now) {
            subscribers_remove(s, sub);
            continue;
        }
        list_remove(&sub->in_queue);
        sub->queue = QUEUE_NONE;
        if (g->telling < NOTICES_PEER_MAX)
            return sub;
        sub->queue = QUEUE_HELD;
        list_append(&g->held, &sub->in_queue);
    }
    return NULL;
}

void subscribers_telling(struct subscribers *s, struct subscription *sub, uint64_t number, uint32_t bytes)
{
    struct group *g = map64_get(&s->peers, sub->peer);

    g->telling++;
    s->telling_bytes += bytes;
    sub->telling = number;
    sub->telling_bytes = bytes;
}

void subscribers_passed(struct subscribers *s, struct subscription *sub, instant now)
{
    if (sub->pending)
        enqueue(s, sub, PACE_MOBILE, now);
}

bool subscribers_told(struct subscribers *s, struct subscription *sub, bool answered, instant now)
{
    release(s, sub);
    if (answered) {
        sub->failures = 0;
        subscribers_passed(s, sub, now);
        return true;
    }
    if (++sub->failures == SUBSCRIPTION_FAILURES_MAX) {
        subscribers_remove(s, sub);
        return false;
    }
    enqueue(s, sub, PACE_SETTLED, now + MANAGER_TELL_SETTLED);
    return true;
}

instant subscribers_next_due(const struct subscribers *s)
{
    const struct list *queue = s->telling_bytes < NOTICES_BYTES_MAX ? first_queue(s) : NULL;

    return queue ? LIST_FIRST(queue, struct subscription, in_queue)->due : INSTANT_NEVER;
}

uint32_t subscribers_count(const struct subscribers *s)
{
    return (uint32_t)s->ids.count;
}
