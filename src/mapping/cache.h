/* mapping/cache.h - answers that were given before, and that there was none.
 *
 * The key is subject, kind and the answer class that the correspondent has been granted: an answer of one class is
 * never given to somebody of another. Who shares a cache with strangers puts nothing above CLASS_AGENT into it.
 *
 * No older sequence is taken than one that was seen of the same subject, kind and class of record, also after the
 * answer itself has gone: rows without an answer are kept for that, the oldest of which give way when there is no room.
 */
#pragma once

#include "base/instant.h"
#include "base/rng.h"
#include "ident/record.h"

#define CACHE_NEGATIVE_MAX_S 60 /* chosen: who has just registered is found within a minute */

struct cache;

enum cache_outcome {
    CACHE_STORED = 0,
    CACHE_OLDER, /* an older sequence than one that was seen: not taken, what was there stays */
};

enum cache_answer {
    CACHE_FOUND = 0,
    CACHE_NONE, /* known that there is none */
};

/* answers_max answers and rows_max rows, of which answers are some; rows_max at least answers_max, both at least 1.
 * NULL when out of memory. */
struct cache *cache_new(uint32_t answers_max, uint32_t rows_max, const struct rng *rng);
/* Accepts NULL. */
void cache_free(struct cache *c);
/* An answer to somebody of that granted class: a verified binding whose own class is at most that, with what is left of
 * its lease. enum cache_outcome; -EINVAL: a record above the class; -ENOMEM. */
MUST_CHECK int cache_put(struct cache *c, const struct record *r, const uint8_t *bytes, size_t len, uint8_t granted,
                         uint32_t left_s, instant now);
/* That there was none, for ttl_s or CACHE_NEGATIVE_MAX_S, whichever is less. 0 or -ENOMEM. */
MUST_CHECK int cache_put_none(struct cache *c, const struct tag *subject, uint8_t kind, uint8_t granted, uint32_t ttl_s,
                              instant now);
/* enum cache_answer; -ENOENT: nothing is known. The bytes are the cache's and stay until the next call of cache_put*.
 */
MUST_CHECK int cache_find(struct cache *c, const struct tag *subject, uint8_t kind, uint8_t granted, instant now,
                          const uint8_t **ret_bytes, size_t *ret_len, instant *ret_until);
/* Somebody said that what is known of the subject is stale: its answers go, of every kind and class, and its sequences
 * stay. */
void cache_forget(struct cache *c, const struct tag *subject);

uint32_t cache_answers(const struct cache *c);
uint32_t cache_rows(const struct cache *c);
