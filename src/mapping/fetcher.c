/* mapping/fetcher.c - see fetcher.h.
 *
 * Theory of operation. The question is CHANGES of a prefix of 128 bits from nowhere, whose answer is a snapshot of one
 * page: every row of the subject that the realm's own key may know. What the table has beside them has ended. A subject
 * that gives way takes its rows with it, but for their sequences, which the table keeps as it does of all leases that
 * are over.
 *
 * Memory: 120 bytes a subject, and its rows. */
#include "mapping/fetcher.h"

#include "base/hash.h"
#include "base/list.h"
#include "mapping/manager.h" /* for how long answers may be used */

struct subject {
    struct list in_order; /* the one that was asked for last first */
    uint64_t hash;
    struct tag tag;
    instant asked; /* when what is under way, or was last, was asked */
    instant as_of; /* when what is known was asked for; INSTANT_NEVER: nothing is */
    instant until; /* it is fresh */
    instant again; /* not to be asked before, after a failure */
    bool asking;
};

struct fetcher {
    struct bindings *bindings;
    uint8_t hash_key[16];
    struct map64 map;
    struct list subjects;
    uint32_t max;
    struct fetcher_stats stats;
};

struct fetcher *fetcher_new(struct bindings *b, uint32_t max, const struct rng *rng)
{
    struct fetcher *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->bindings = b;
    f->max = max;
    rng_fill(rng, f->hash_key, sizeof(f->hash_key));
    map64_init(&f->map, (size_t)max + 1, rng_u64(rng));
    list_init(&f->subjects);
    return f;
}

/* Rows that are not in keep (a bit each kind and class) have ended. */
static void end_rows(struct fetcher *f, const struct tag *subject, uint64_t keep, instant now)
{
    struct binding b;

    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        for (unsigned answer = CLASS_AGENT; answer <= CLASS_FULL; answer++)
            if (!(keep >> (4 * kind + answer) & 1) &&
                bindings_get(f->bindings, subject, (uint8_t)kind, (uint8_t)answer, now, &b) == 0)
                bindings_end(f->bindings, subject, b.kind, b.answer, b.seq);
}

static void drop(struct fetcher *f, struct subject *s)
{
    map64_remove(&f->map, s->hash);
    list_remove(&s->in_order);
    free(s);
}

void fetcher_free(struct fetcher *f)
{
    if (!f)
        return;
    LIST_FOREACH_SAFE (s, &f->subjects, struct subject, in_order)
        drop(f, s);
    map64_deinit(&f->map);
    free(f);
}

static struct subject *find(const struct fetcher *f, const struct tag *tag, uint64_t *ret_hash)
{
    struct subject *s;

    *ret_hash = siphash13(f->hash_key, tag->bytes, sizeof(tag->bytes));
    s = map64_get(&f->map, *ret_hash);
    return s && tag_equal(&s->tag, tag) ? s : NULL;
}

/* The one that was asked for longest ago goes, if no question about it is under way. */
static void make_room(struct fetcher *f, instant now)
{
    struct subject *s = CONTAINER_OF(f->subjects.prev, struct subject, in_order);

    if (f->map.count < f->max || s->asking)
        return;
    end_rows(f, &s->tag, 0, now);
    drop(f, s);
}

static struct subject *add(struct fetcher *f, const struct tag *tag, uint64_t hash, instant now)
{
    struct subject *s = map64_get(&f->map, hash);

    if (s) /* another of the same hash: one in 2^64 */
        return NULL;
    if (f->map.count >= f->max)
        make_room(f, now);
    if (f->map.count >= f->max || !(s = calloc(1, sizeof(*s))))
        return NULL;
    *s = (struct subject){ .hash = hash, .tag = *tag, .as_of = INSTANT_NEVER };
    if (map64_put(&f->map, hash, s) < 0) {
        free(s);
        return NULL;
    }
    list_prepend(&f->subjects, &s->in_order);
    return s;
}

void fetcher_on_doubt(struct fetcher *f, const struct tag *subject, instant now)
{
    uint64_t hash;
    struct subject *s = find(f, subject, &hash);

    if (s && s->as_of != INSTANT_NEVER && now - s->as_of > FETCHER_DOUBT)
        s->until = MIN(s->until, now);
}

enum fetched fetcher_look(struct fetcher *f, const struct tag *subject, instant now)
{
    uint64_t hash;
    struct subject *s = find(f, subject, &hash);

    if (!s || s->as_of == INSTANT_NEVER || now - s->as_of > FETCHER_STALE_MAX)
        return FETCHED_NOTHING;
    list_remove(&s->in_order);
    list_prepend(&f->subjects, &s->in_order);
    return now < s->until ? FETCHED_FRESH : FETCHED_STALE;
}

size_t fetcher_ask(struct fetcher *f, const struct tag *subject, instant now, uint8_t *out)
{
    const struct mapping_request r = { .type = MAPPING_CHANGES, .prefix = tag_prefix_of(subject, 128) };
    struct writer w = writer_init(out, FETCHER_REQUEST_MAX);
    uint64_t hash;
    struct subject *s = find(f, subject, &hash);

    if (!s)
        s = add(f, subject, hash, now);
    if (!s || s->asking || now < s->again)
        return 0;
    mapping_request_write(&w, &r);
    s->asking = true;
    s->asked = now;
    f->stats.asked++;
    return writer_len(&w);
}

bool fetcher_is_asking(const struct fetcher *f, const struct tag *subject)
{
    uint64_t hash;
    const struct subject *s = find(f, subject, &hash);

    return s && s->asking;
}

/* One row of the page: its bit, or 0 if it is none of the subject. *ret_full: there was no room for it. */
static uint64_t take(struct fetcher *f, const struct tag *subject, const struct mapping_change *c, instant now,
                     bool *ret_full)
{
    struct record_error why;
    struct record_bytes b;
    struct record r;
    int got;

    if (c->record.len == 0 || record_decode(c->record.data, c->record.len, &r, &b, &why) < 0 ||
        r.type != RECORD_BINDING || !tag_equal(&r.subject, subject))
        return 0;
    got = bindings_follow(f->bindings, &r, c->record.data, c->record.len, now, NULL);
    *ret_full = *ret_full || got < 0;
    f->stats.older += got == BINDING_OLDER;
    f->stats.taken += got == BINDING_STORED;
    bindings_set_pace(f->bindings, &r.subject, r.kind, r.answer, manager_pace_of(c->fresh_s), now);
    return 1ull << (4 * r.kind + r.answer);
}

void fetcher_on_answer(struct fetcher *f, const struct tag *subject, const uint8_t *bytes, size_t len, instant now)
{
    struct mapping_answer a = { .status = MAPPING_UNKNOWN };
    uint32_t fresh_s = MANAGER_NONE_S;
    struct mapping_change c;
    uint64_t hash, keep = 0;
    struct subject *s = find(f, subject, &hash);
    bool any = false, full = false;

    if (!s || !s->asking)
        return;
    s->asking = false;
    if (bytes && mapping_answer_read(bytes, len, &a) == 0 && a.status == MAPPING_PAGE && a.position == 0) {
        while (mapping_next_change(&a.items, &c)) {
            uint64_t bit = take(f, subject, &c, now, &full);

            keep |= bit;
            if (bit)
                fresh_s = any ? MIN(fresh_s, c.fresh_s) : c.fresh_s;
            any = any || bit;
        }
        if (!full) {
            end_rows(f, subject, keep, now);
            s->as_of = s->asked;
            s->until = s->asked + (instant)MAX(fresh_s, 1) * SEC;
            return;
        }
    }
    s->again = now + FETCHER_AGAIN;
    f->stats.failed++;
}

void fetcher_get_stats(const struct fetcher *f, struct fetcher_stats *ret)
{
    *ret = f->stats;
    ret->subjects = (uint32_t)f->map.count;
}

_Static_assert(4 * (KIND_COUNT - 1) + CLASS_FULL < 64, "a bit each kind and class");
