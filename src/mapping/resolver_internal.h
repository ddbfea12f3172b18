/* mapping/resolver_internal.h - shared by resolver.c (whom to ask) and resolver_take.c (what to believe). */
#pragma once

#include "base/hash.h"
#include "base/heap.h"
#include "base/list.h"
#include "mapping/cache.h"
#include "mapping/resolver.h"

struct manager {
    struct endpoint at;
    uint16_t priority;
    uint32_t order; /* among equal priorities, drawn by weight */
    instant avoid;  /* until then it is asked last */
};

/* A realm whose managers are known. */
struct zone {
    struct list link; /* resolver.zones, the one used last in front; the root stays last and is never evicted */
    uint32_t refs;    /* questions and asks that hold it */
    bool gone;        /* out of the list: freed with its last reference */
    struct chain_end end;
    struct manager managers[RESOLVER_MANAGERS_MAX];
    size_t managers_count;
    instant fresh, until;
};

/* What is asked: the key of questions and rows. */
struct subject {
    bool by_name;
    uint8_t kind;
    struct tag tag;
    struct name name;
};

/* What is known of a subject. */
struct row {
    struct list link; /* resolver.rows, the one used last in front */
    uint64_t key;
    struct subject of;
    bool found;               /* else: there was none */
    struct chain_end subject; /* found */
    struct tag speaker;       /* who has signed it: the subject, but of a label */
    uint8_t *chain;           /* owned: the records in a row */
    uint16_t chain_lens[CHAIN_LINKS_MAX];
    size_t chain_count;
    uint8_t granted;
    uint64_t wrong_seq; /* of the binding that somebody found to be wrong; 0: nobody has */
    instant received, fresh;
};

struct waiter {
    struct list link;
    void *context;
};

struct question {
    struct list link; /* resolver.questions, or resolver.done */
    struct heap_item timer;
    uint64_t key;
    struct subject of;
    struct list waiters;
    struct list asks;
    struct zone *zone;
    uint32_t tried, introduced; /* a bit for each manager of the zone */
    unsigned referrals, asked, steps;
    bool traced; /* its steps are told to its waiter */
    bool alone;  /* it is nobody else's: traced, or a call */
    struct endpoint places[MAPPING_PLACES_MAX];
    size_t places_count;
    uint64_t wrong_seq; /* a manager that has no newer binding is to ask for one */
    bool restarted, old_zone;
    instant stale_at;            /* when who waits is given an answer whose time is over */
    instant begun, hedge, later; /* later: a manager said so, and nothing else is left; INSTANT_NEVER */
    enum resolver_why why;
    enum record_fault fault;
    struct resolver_result result;
    uint8_t *bytes; /* owned: what the result's slices point into */
};

struct ask {
    struct list link; /* question.asks; of none: resolver.orphans */
    struct list out;  /* resolver.out, until it is popped */
    uint64_t number;
    struct question *question; /* NULL: has ended already */
    struct zone *zone;
    struct endpoint at;
    unsigned manager; /* bit in tried */
    bool introduce;
    instant begun;
};

struct step {
    struct list link;
    struct resolver_step step;
};

struct resolver {
    struct resolver_options options;
    uint8_t *own; /* owned: the chain of the options */
    uint8_t hash_key[16];
    struct trust *trust;
    struct cache *cache;
    struct zone *root;
    struct list zones, rows, questions, done, out, steps, orphans;
    struct map64 rows_by_key, questions_by_key, asks_by_number;
    struct heap timers;
    uint64_t asks_made;
    uint32_t zones_count, rows_count, open, waiters;
    uint64_t wall_s;
    instant wall_at;
    struct resolver_stats stats;
    struct question *popped; /* its result was given out: freed at the next pop */
    uint8_t request[RESOLVER_REQUEST_MAX];
};

/* --- resolver_take.c --- */

uint64_t subject_key(const struct resolver *r, const struct subject *s);
bool subject_equal(const struct subject *a, const struct subject *b);
/* True if the realm has the subject, or what is above it. */
bool zone_covers(const struct chain_end *realm, const struct subject *s);
struct row *row_find(struct resolver *r, const struct subject *s);
void row_free(struct resolver *r, struct row *row);
/* The row as a result, whose slices point into *ret_bytes, which is malloc'd: 0; -ENOENT: its lease is over; -ENOMEM.
 */
MUST_CHECK int row_result(struct resolver *r, struct row *row, instant now, struct resolver_result *ret,
                          uint8_t **ret_bytes);
uint64_t resolver_wall(const struct resolver *r, instant now);
/* An answer of FOUND or NONE: 0: kept in the row of the subject; else enum resolver_why and *ret_fault. */
int take_found(struct resolver *r, const struct subject *s, const struct mapping_answer *a, instant now,
               enum record_fault *ret_fault);
int take_none(struct resolver *r, const struct subject *s, const struct mapping_answer *a, instant now);
/* An answer of REFERRAL by a manager of `from`: 0 and *ret, a realm that was known or is now; else as above. */
int take_referral(struct resolver *r, const struct zone *from, const struct subject *s, const struct mapping_answer *a,
                  instant now, struct zone **ret, enum record_fault *ret_fault);
void zone_unref(struct resolver *r, struct zone *z);
