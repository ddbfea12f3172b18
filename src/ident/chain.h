/* ident/chain.h - whom to believe: chains of records from a root that is trusted, and what ended before its time.
 *
 *   root record -> delegation -> delegation -> registration          at most 4 links
 *
 * Each link is issued by the subject of the one before it, and gives no more than that one had: numbers inside its
 * range, tiers that it has, names below its own. A shorter chain ends at a realm or is a registration by a realm higher
 * up.
 *
 * Whose clock: hard records have absolute times by their issuer's clock. The caller gives its own wall clock, or 0 if
 * it has none; the newest `issued` among records that the root itself signed is a lower bound of both, so that a host
 * whose clock stands still does not believe for ever. Only the root's, so that no realm can age what is not its own.
 * Soft records have leases, which are spans from receipt and are not judged here. */
#pragma once

#include "base/rng.h"
#include "base/slice.h"
#include "ident/record.h"

#define CHAIN_LINKS_MAX 4
#define CHAIN_ANCHORS_MAX 8 /* chosen: generations of a root's key that are remembered */

struct trust_options {
    uint32_t cached_max;   /* verified signatures; a power of two from 2 on; 32 bytes each */
    uint32_t facts_max;    /* sequences seen, revocations and successions, in all; about 85 bytes each */
    uint32_t facts_kept;   /* of these, rows that no sequence takes: chains that anybody shows keep no revocation out */
    const struct rng *rng; /* for the key of the tables' hash; not kept */
};

#define TRUST_CACHED_DEFAULT 4096u /* chosen: 128 KB, a thousand chains */
#define TRUST_FACTS_DEFAULT 65536u /* chosen: 6 MB when full; grows as it is used */

/* What a chain that was verified ends at. */
struct chain_end {
    struct tag tag;
    uint8_t key[IDENT_KEY_LEN];
    char name[NAME_SIZE];
    bool is_realm;
    uint8_t links;            /* in the chain */
    uint8_t tiers;            /* realm: set of 1 << enum tag_tier that it may enrol in */
    struct realm_range range; /* realm */
    uint8_t suites;
    uint8_t x25519[IDENT_KEY_LEN]; /* entity */
    uint8_t flags;                 /* entity: RECORD_FLAG_* */
    uint64_t seq;                  /* of the last link */
    uint64_t not_after_s;          /* the first end in the chain; 0: none */
};

struct trust_stats {
    uint64_t verified;                    /* signatures that were computed */
    uint64_t cached;                      /* signatures that were known already */
    uint64_t refused[RECORD_FAULT_COUNT]; /* by cause */
    uint32_t facts;
};

struct trust;

/* NULL when out of memory. The root's key is all that is taken on faith. */
struct trust *trust_new(const uint8_t root_ed25519[IDENT_KEY_LEN], const struct trust_options *o);
/* Accepts NULL. */
void trust_free(struct trust *t);

/* links[0] is the root's record, the last one what is asked. 0 and *ret; -EBADMSG and *ret_error; -ENOSPC: the table of
 * facts is full, try later; -ENOMEM. Nothing of a chain that is refused is kept but signatures that were right. */
MUST_CHECK int trust_verify(struct trust *t, const struct slice *links, size_t count, uint64_t wall_s,
                            struct chain_end *ret, struct record_error *ret_error);
/* Takes in a revocation or a succession by who stands at the end of a chain that was verified just before. 0, also when
 * it is known already; errors as above. A revocation is for ever. */
MUST_CHECK int trust_apply(struct trust *t, const struct chain_end *issuer, const uint8_t *bytes, size_t len,
                           struct record_error *ret_error);
/* Whether trust_apply would take in a revocation by that issuer: who writes it down first asks this first. Errors as
 * there. */
MUST_CHECK int trust_check_revocation(struct trust *t, const struct chain_end *issuer, const uint8_t *bytes, size_t len,
                                      struct record_error *ret_error);
/* Takes in that a tag was revoked, of which the caller has proof of its own: a log that is signed by who may say so. 0,
 * also when it is known already; -ENOSPC; -ENOMEM. */
MUST_CHECK int trust_note_revoked(struct trust *t, const struct tag *tag, uint64_t seq);
/* A binding or policy: 0 and *ret if it is signed by the subject itself, or (policy, or a registration with
 * RECORD_FLAG_REALM_BINDS) by its realm, or (binding of a label) by one of its realm with RECORD_FLAG_SERVES. Older
 * sequences are for the caller to refuse: it alone knows what it gave out. Errors as above. */
MUST_CHECK int trust_accept(struct trust *t, const struct chain_end *issuer, const struct chain_end *subject,
                            const uint8_t *bytes, size_t len, struct record *ret, struct record_error *ret_error);

/* True if it was revoked, or the one that its key was changed to. */
bool trust_is_revoked(const struct trust *t, const struct tag *tag);
/* The tag at the end of the successions that begin at this one: itself if there is none. */
struct tag trust_current(const struct trust *t, const struct tag *tag);
/* The lower bound of the time, seconds since 1970; 0 when nothing was verified yet. */
uint64_t trust_time_floor(const struct trust *t);
void trust_get_stats(const struct trust *t, struct trust_stats *ret);
