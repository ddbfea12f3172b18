/* mapping/subscribers.h - who is told of changes below a prefix, and what of it has been told.
 *
 * A subscription has one notice under way at most; what changes meanwhile goes with the next. A change makes those due
 * whose prefix has its tag and who may know of it: how soon is by how often the subject moves. Of a change that it may
 * not know a subscription shows nothing, not even by when it is due.
 *
 * What one peer may have, and what waits for peers to answer, is bounded: who is at a bound is told of the rest when it
 * has answered, by then in fewer notices, since each says all that has changed. */
#pragma once

#include "base/instant.h"
#include "base/list.h"
#include "base/rng.h"
#include "ident/keys.h"
#include "mapping/bindings.h"

#define SUBSCRIPTION_FAILURES_MAX 3 /* chosen: notices in a row that were not answered; each was tried for seconds */

#define SUBSCRIPTIONS_PEER_MAX 64     /* chosen: of a peer; a manager that follows has a handful */
#define NOTICES_PEER_MAX 4            /* chosen: under way to a peer, a quarter of a megabyte */
#define NOTICES_BYTES_MAX (64u << 20) /* chosen: under way to all */

struct subscribers;

struct subscription {
    uint64_t id; /* never given twice */
    uint64_t peer;
    uint8_t key[IDENT_KEY_LEN];
    struct tag_prefix prefix;
    struct tag tag;   /* whose the key was when it last asked */
    instant until;    /* end of its lease */
    uint64_t told;    /* number of the last change that it knows of */
    uint64_t pending; /* of the first change after it; 0: none */
    uint64_t telling; /* number that the notice under way leads to; 0: none is. subscribers_telling sets it */
    uint64_t first;   /* while it is: what `pending` was */
    bool last;        /* whose key is nobody's any more: after this notice it is removed */
    uint8_t failures;
    uint8_t queue; /* private, as all below */
    uint32_t telling_bytes;
    instant due;
    struct list in_queue, of_peer, of_prefix;
};

/* NULL when out of memory. */
struct subscribers *subscribers_new(uint32_t max, const struct rng *rng);
/* Accepts NULL. */
void subscribers_free(struct subscribers *s);
/* Makes it, or finds it there; until, told and pending are the caller's to set. One that is there for another key is
 * another's, and goes. 0; -EDQUOT: the peer has SUBSCRIPTIONS_PEER_MAX; -ENOSPC; -ENOMEM. */
MUST_CHECK int subscribers_put(struct subscribers *s, uint64_t peer, const uint8_t key[IDENT_KEY_LEN],
                               const struct tag_prefix *prefix, instant now, struct subscription **ret);
/* NULL when there is none. */
struct subscription *subscribers_find(const struct subscribers *s, uint64_t peer, const struct tag_prefix *prefix);
struct subscription *subscribers_by_id(const struct subscribers *s, uint64_t id);
void subscribers_remove(struct subscribers *s, struct subscription *sub);
/* All of a peer. */
void subscribers_forget_peer(struct subscribers *s, uint64_t peer);
void subscribers_forget_all(struct subscribers *s);

/* Whether a subscription may know of a change; must not change the subscribers. */
typedef bool subscribers_may_fn(void *ctx, const struct subscription *sub);

/* A change of that number of what has that tag. */
void subscribers_touch(struct subscribers *s, const struct tag *subject, uint64_t number, uint8_t pace, instant now,
                       subscribers_may_fn *may, void *ctx);
/* The next that is due, which is then due no more; NULL: none. Those whose lease is over are removed. */
struct subscription *subscribers_pop_due(struct subscribers *s, instant now);
/* A notice of that many bytes, which leads to that number, is under way. */
void subscribers_telling(struct subscribers *s, struct subscription *sub, uint64_t number, uint32_t bytes);
/* There was nothing to tell; if anything is left it is due at once. */
void subscribers_passed(struct subscribers *s, struct subscription *sub, instant now);
/* The notice that was under way was answered, or not. What is left to tell is due at once, or as of one who is settled;
 * after too many failures it is removed. False: removed. */
bool subscribers_told(struct subscribers *s, struct subscription *sub, bool answered, instant now);
instant subscribers_next_due(const struct subscribers *s);
uint32_t subscribers_count(const struct subscribers *s);
