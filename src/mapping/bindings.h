/* mapping/bindings.h - the table of bindings: who is attached where, for all tiers.
 *
 * A row is of a subject, a kind and an answer class, and holds the signed record as it came, so that it can be handed
 * on with its proof. Its owner has verified the record (trust_accept, ident/chain.h) before it comes here.
 *
 * Sequences only rise. A row whose lease ended keeps its sequence, so that an old record cannot come back as a new one,
 * until its subject is forgotten, or there is no room: then the row whose lease ended first goes, and leaves a floor
 * below which it, and a few others that have no row, are not taken again. They are told, and count on from there, as a
 * holder does that has lost its counter. So nobody who asks this table is ever given an older sequence than anybody was
 * given before.
 *
 * Subjects that are labels (ident/tag.h) are made up by those who speak for them: so their leases are short, and they
 * take a part of the rows, and those of one issuer a smaller one. Whose floor they raise is a label too. */
#pragma once

#include "base/instant.h"
#include "base/rng.h"
#include "ident/record.h"

#define BINDINGS_LEASE_MAX_S 604800u    /* chosen: a week; the alias of a changed key outlasts two of them */
#define BINDINGS_LABEL_LEASE_MAX_S 600u /* chosen: of a label, of which another may speak next: ten minutes */
#define BINDINGS_LABELS_SHARE 2         /* chosen: labels have a half of the rows, what has a key always the other */
#define BINDINGS_ISSUER_SHARE 16        /* chosen: one who speaks for labels has so small a part of all rows */
#define BINDINGS_EXPIRY_BATCH 4096 /* chosen: rows that one bindings_on_expiry looks at, well under a millisecond */

struct bindings;

/* How often who is attached there moves: as often as it did the last time, until it has been still for ten times as
 * long. Who moves more often is told of sooner, and what is known of him is not used for long (mapping/manager.h). */
enum binding_pace {
    PACE_MOBILE,  /* within BINDINGS_MOBILE_S */
    PACE_ROAMING, /* within BINDINGS_ROAMING_S */
    PACE_SETTLED,
    PACE_COUNT,
};
#define BINDINGS_MOBILE_S 60u    /* chosen: from cell to cell */
#define BINDINGS_ROAMING_S 3600u /* chosen: between home and work */

/* What is known of a row. The bytes are the table's and stay until the next call that changes it. */
struct binding {
    struct tag subject;
    uint8_t kind;   /* enum record_kind */
    uint8_t answer; /* enum record_class */
    uint64_t seq;
    instant expires;
    const uint8_t *bytes; /* the record; NULL: the lease is over, the sequence is kept */
    uint16_t len;
    uint8_t pace;  /* enum binding_pace */
    uint64_t peer; /* bindings_set_peer; 0: not since it was loaded, or a label */
};

enum binding_outcome {
    BINDING_STORED = 0,
    BINDING_SAME,  /* the same record again: nothing changed. Its lease too goes on as it was, since a record that is
                      shown again by anybody keeps nobody where he no longer is: that takes bindings_refresh, or a
                      higher sequence */
    BINDING_OLDER, /* its sequence is not above that of another record, or above what was forgotten: not taken; *ret_seq
                      is the newest */
};

/* max rows, at most 2^31, those whose lease is over included; no row is allocated yet. NULL when out of memory. */
struct bindings *bindings_new(uint32_t max, const struct rng *rng, instant now);
/* Accepts NULL. */
void bindings_free(struct bindings *b);

/* r is what bytes decode to: a binding, of which the table makes a copy. enum binding_outcome; -ENOSPC: full of leases
 * that run, try later; -EDQUOT: there are as many of labels, or of labels of its issuer, as there may be; -ENOMEM. A
 * lease above BINDINGS_LEASE_MAX_S, or BINDINGS_LABEL_LEASE_MAX_S, is cut to it. A sequence that is equal but of
 * another record is older: who says two things under one number is not believed the second. ret_seq may be NULL. */
MUST_CHECK int bindings_put(struct bindings *b, const struct record *r, const uint8_t *bytes, size_t len, instant now,
                            uint64_t *ret_seq);
/* Begins the lease of a record anew that is there with just this sequence, without its bytes: what its issuer says
 * inside a session with us. 0; -ENOENT: it is not there any more, send the record; -ESTALE: another sequence is. */
MUST_CHECK int bindings_refresh(struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer,
                                uint64_t seq, uint32_t lease_s, instant now);
/* Who spoke for the row last, a number of the owner's; of a label nothing is kept. False: there is no such row. */
bool bindings_set_peer(struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t peer);
/* The row of the highest class that is at most `answer` and whose lease is not over. 0; -ENOENT. */
MUST_CHECK int bindings_find(const struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer,
                             instant now, struct binding *ret);
/* What bindings_find will want of the row of just that class, in three steps between which memory is waited for: has
 * its place fetched, and tells a hash; has the row of that hash fetched, and tells its number, or UINT32_MAX; has its
 * record fetched. */
uint32_t bindings_foresee(const struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer);
uint32_t bindings_foresee_row(const struct bindings *b, uint32_t hash);
void bindings_foresee_record(const struct bindings *b, uint32_t row);
/* The row of just that class, whether its lease is over or not. 0; -ENOENT. */
MUST_CHECK int bindings_get(const struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer,
                            instant now, struct binding *ret);
/* The next row whose lease is not over, from number *at on, which moves behind it; 0 is where they begin. Takes one off
 * *budget for each number that it looks at. A row that is there all the while is met once. False: none is left, or no
 * budget. */
bool bindings_next(const struct bindings *b, uint32_t *at, uint32_t *budget, instant now, struct binding *ret);
/* The same of all rows, those of which the sequence alone is kept included. */
bool bindings_next_kept(const struct bindings *b, uint32_t *at, uint32_t *budget, instant now, struct binding *ret);
/* As bindings_put of a record that was stored before and is not newer than any that is there; its lease ends at
 * `expires`, or is over (len 0: its sequence alone is known; it is there until somebody needs its place). 0; -EEXIST;
 * -ENOSPC: there is no place, but its sequence is remembered as that of what was forgotten; -EINVAL: a label, and no
 * record; -ENOMEM. */
MUST_CHECK int bindings_load(struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t seq,
                             const uint8_t *bytes, size_t len, instant expires, instant now);
/* What one who knows says is so now: as bindings_put, but the same record is there again if its lease was over, and its
 * lease, of the longest, begins anew; how many labels there may be is that one's business. */
MUST_CHECK int bindings_follow(struct bindings *b, const struct record *r, const uint8_t *bytes, size_t len,
                               instant now, uint64_t *ret_seq);
/* Who knows says that the subject of this row moves as often as that at least: from now on it is held to. */
void bindings_set_pace(struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer,
                       enum binding_pace pace, instant now);
/* Ends a lease before its time: what is there of a sequence up to seq has gone. True if something was there. */
bool bindings_end(struct bindings *b, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t seq);
/* Forgets a subject and its sequences: after its registration ended, since who is not registered is not listened to. */
void bindings_forget(struct bindings *b, const struct tag *subject);

/* When to call bindings_on_expiry; INSTANT_NEVER when no lease runs. */
instant bindings_next_expiry(const struct bindings *b);
/* Ends leases that are over, at most BINDINGS_EXPIRY_BATCH steps of it. */
void bindings_on_expiry(struct bindings *b, instant now);
/* A row whose lease ended, since the last call of bindings_on_expiry: true. */
bool bindings_pop_expired(struct bindings *b, struct binding *ret);

uint32_t bindings_count(const struct bindings *b); /* rows */
uint32_t bindings_live(const struct bindings *b);  /* with a lease that was not ended yet */
/* Bytes that the table has allocated, without what the allocator adds. */
size_t bindings_memory(const struct bindings *b);
