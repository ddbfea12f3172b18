/* mapping/cache.c - see cache.h.
 *
 * Theory of operation. Rows are an array that is made at once, in two lists by last use: those that hold an answer, and
 * those that hold sequences alone. When there are too many answers, the one that was not asked for the longest loses
 * its bytes and goes to the other list; when there are no rows left, the oldest of that list goes for good.
 *
 * One granted class may be answered by records of several classes (the best that there is at the time), which count
 * their sequences apart; so a row has a sequence for each.
 *
 * Limits: as given; 88 bytes a row. A sequence is forgotten when rows_max other subjects were seen since. */
#include "mapping/cache.h"

#include "mapping/index.h"

#include <errno.h>

struct row {
    struct index_key key;
    uint16_t len;
    bool answered;             /* in the list of answers */
    uint8_t *bytes;            /* owned; NULL: none */
    instant until;             /* of the answer */
    uint64_t seqs[CLASS_FULL]; /* by the record's class - 1; 0: none was seen */
    uint32_t next, before;     /* next: also of free rows */
};

struct list {
    uint32_t head, tail, count; /* the head was used last */
};

struct cache {
    struct index index;
    struct row *rows;
    uint32_t rows_max, rows_made, answers_max;
    uint32_t free_head;
    struct list answers, floors;
};

static const struct index_key *key_of(const void *owner, uint32_t n)
{
    return &((const struct cache *)owner)->rows[n].key;
}

struct cache *cache_new(uint32_t answers_max, uint32_t rows_max, const struct rng *rng)
{
    struct cache *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->rows = calloc(rows_max, sizeof(*c->rows));
    if (!c->rows) {
        free(c);
        return NULL;
    }
    c->rows_max = rows_max;
    c->answers_max = answers_max;
    c->free_head = INDEX_NONE;
    c->answers = c->floors = (struct list){ .head = INDEX_NONE, .tail = INDEX_NONE };
    index_init(&c->index, rng, key_of, c);
    return c;
}

void cache_free(struct cache *c)
{
    if (!c)
        return;
    for (uint32_t n = 0; n < c->rows_made; n++)
        free(c->rows[n].bytes);
    index_deinit(&c->index);
    free(c->rows);
    free(c);
}

static struct list *list_of(struct cache *c, const struct row *r)
{
    return r->answered ? &c->answers : &c->floors;
}

static void unlink_row(struct cache *c, uint32_t n)
{
    struct row *r = &c->rows[n];
    struct list *l = list_of(c, r);

    *(r->before == INDEX_NONE ? &l->head : &c->rows[r->before].next) = r->next;
    *(r->next == INDEX_NONE ? &l->tail : &c->rows[r->next].before) = r->before;
    l->count--;
}

/* In front of the list that it belongs to. */
static void link_row(struct cache *c, uint32_t n)
{
    struct row *r = &c->rows[n];
    struct list *l = list_of(c, r);

    r->before = INDEX_NONE;
    r->next = l->head;
    *(l->head == INDEX_NONE ? &l->tail : &c->rows[l->head].before) = n;
    l->head = n;
    l->count++;
}

static bool has_floor(const struct row *r)
{
    return r->seqs[0] || r->seqs[1] || r->seqs[2];
}

static void remove_row(struct cache *c, uint32_t n)
{
    unlink_row(c, n);
    index_remove(&c->index, n);
    free(c->rows[n].bytes);
    c->rows[n].bytes = NULL;
    c->rows[n].next = c->free_head;
    c->free_head = n;
}

/* The answer goes; the sequences stay, if there are any. */
static void drop_answer(struct cache *c, uint32_t n)
{
    struct row *r = &c->rows[n];

    if (!has_floor(r)) {
        remove_row(c, n);
        return;
    }
    unlink_row(c, n);
    free(r->bytes);
    r->bytes = NULL;
    r->answered = false;
    link_row(c, n);
}

/* The row of the key, which is there or is made, in the list of answers. INDEX_NONE when out of memory. */
static uint32_t row_for(struct cache *c, const struct index_key *key)
{
    uint32_t n = index_find(&c->index, key);

    if (n != INDEX_NONE) {
        unlink_row(c, n);
    } else {
        if (c->free_head == INDEX_NONE && c->rows_made == c->rows_max)
            remove_row(c, c->floors.tail != INDEX_NONE ? c->floors.tail : c->answers.tail);
        n = c->free_head != INDEX_NONE ? c->free_head : c->rows_made;
        if (n == c->rows_made)
            c->rows_made++;
        else
            c->free_head = c->rows[n].next;
        c->rows[n] = (struct row){ .key = *key };
        if (index_add(&c->index, n) < 0) {
            c->rows[n].next = c->free_head;
            c->free_head = n;
            return INDEX_NONE;
        }
    }
    c->rows[n].answered = true;
    link_row(c, n);
    if (c->answers.count > c->answers_max)
        drop_answer(c, c->answers.tail);
    return n;
}

int cache_put(struct cache *c, const struct record *r, const uint8_t *bytes, size_t len, uint8_t granted,
              uint32_t left_s, instant now)
{
    const struct index_key key = { r->subject, r->kind, granted };
    uint32_t n = index_find(&c->index, &key);
    uint8_t *copy;

    if (r->answer == CLASS_DENY || r->answer > granted || granted > CLASS_FULL || len > RECORD_BYTES_MAX)
        return -EINVAL;
    if (n != INDEX_NONE && r->seq < c->rows[n].seqs[r->answer - 1])
        return CACHE_OLDER;
    copy = malloc(len + 1);
    n = copy ? row_for(c, &key) : INDEX_NONE;
    if (n == INDEX_NONE) {
        free(copy);
        return -ENOMEM;
    }
    memcpy(copy, bytes, len);
    free(c->rows[n].bytes);
    c->rows[n].bytes = copy;
    c->rows[n].len = (uint16_t)len;
    c->rows[n].seqs[r->answer - 1] = r->seq;
    c->rows[n].until = now + (instant)left_s * SEC;
    return CACHE_STORED;
}

int cache_put_none(struct cache *c, const struct tag *subject, uint8_t kind, uint8_t granted, uint32_t ttl_s,
                   instant now)
{
    uint32_t n = row_for(c, &(struct index_key){ *subject, kind, granted });

    if (n == INDEX_NONE)
        return -ENOMEM;
    free(c->rows[n].bytes);
    c->rows[n].bytes = NULL;
    c->rows[n].len = 0;
    c->rows[n].until = now + (instant)MIN(ttl_s, CACHE_NEGATIVE_MAX_S) * SEC;
    return 0;
}

int cache_find(struct cache *c, const struct tag *subject, uint8_t kind, uint8_t granted, instant now,
               const uint8_t **ret_bytes, size_t *ret_len, instant *ret_until)
{
    uint32_t n = index_find(&c->index, &(struct index_key){ *subject, kind, granted });
    struct row *r = n == INDEX_NONE ? NULL : &c->rows[n];

    if (!r || !r->answered)
        return -ENOENT;
    if (r->until <= now) {
        drop_answer(c, n);
        return -ENOENT;
    }
    unlink_row(c, n);
    link_row(c, n);
    *ret_until = r->until;
    if (!r->bytes)
        return CACHE_NONE;
    *ret_bytes = r->bytes;
    *ret_len = r->len;
    return CACHE_FOUND;
}

void cache_forget(struct cache *c, const struct tag *subject)
{
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        for (unsigned granted = CLASS_DENY; granted <= CLASS_FULL; granted++) {
            uint32_t n = index_find(&c->index, &(struct index_key){ *subject, (uint8_t)kind, (uint8_t)granted });

            if (n != INDEX_NONE && c->rows[n].answered)
                drop_answer(c, n);
        }
    }
}

uint32_t cache_answers(const struct cache *c)
{
    return c->answers.count;
}

uint32_t cache_rows(const struct cache *c)
{
    return c->index.rows_count;
}
