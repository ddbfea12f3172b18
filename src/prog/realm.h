/* prog/realm.h - an authority's folder: the key of a realm and the log of what it has said.
 *
 *   DIR/log       sys/journal.h of ident/entry.h: all that the realm has said; everything else follows from it
 *   DIR/key       secret, mode 0600
 *   DIR/key.next  secret of a change of key that is under way; key.made: while it is written
 *   DIR/root      the record of the root: public, what others are to trust
 *
 * What a call returns 0 for is on disk. One process may change a realm at a time. */
#pragma once

#include "ident/chain.h"
#include "prog/key_file.h"

struct realm;

struct realm_said {
    enum record_type type;
    struct tag subject;
    char *name; /* "" where the record has none */
    struct realm_range range;
    uint64_t seq, not_after_s;
    struct slice record; /* its bytes */
    uint32_t again;      /* policy: how many of the same subject were said before it */
    bool in_force;       /* not revoked, replaced or succeeded */
};

/* All return 0, or -errno with err set, unless said otherwise. now_s: seconds since 1970. */

/* Makes DIR and a realm in it that is a root of its own. name: canonical or not; deployment 1..1023, 0: of the key. */
MUST_CHECK int realm_create_root(const char *dir, const char *name, unsigned deployment, uint64_t now_s,
                                 char err[FILE_ERR]);
/* Makes DIR and the realm that the chain (records in a row) ends at, whose key this is. */
MUST_CHECK int realm_create_sub(const char *dir, const struct identity *id, const uint8_t *chain, size_t len,
                                uint64_t now_s, char err[FILE_ERR]);
/* writing: for a change; keeps others from changing it. A change of key that was interrupted is finished. */
MUST_CHECK int realm_open(const char *dir, bool writing, struct realm **ret, char err[FILE_ERR]);
/* As realm_open, not for a change, of a realm whose log is followed (realm_follow): there may be none yet. Then it is
 * made, and what realm_self says is empty until entries have come. */
MUST_CHECK int realm_open_follower(const char *dir, struct realm **ret, char err[FILE_ERR]);
/* Accepts NULL. */
void realm_close(struct realm *r);
/* Takes in up to max entries that were said since. 0: that was all; 1: there are more. After a failure close it. */
MUST_CHECK int realm_read_on(struct realm *r, size_t max, char err[FILE_ERR]);
/* One that is open becomes the one that writes, with the key of now, after it has read on as realm_read_on does; or
 * ceases to be. 0; 1: there is more to be read, and it is not the one that writes. */
MUST_CHECK int realm_begin(struct realm *r, size_t max, char err[FILE_ERR]);
void realm_end(struct realm *r);

/* The realm itself, as its chain says. */
const struct chain_end *realm_self(const struct realm *r);
/* Its chain, root first; into memory of the realm. How many. */
size_t realm_chain(const struct realm *r, struct slice ret[CHAIN_LINKS_MAX]);
size_t realm_said_count(const struct realm *r);
const struct realm_said *realm_said_at(const struct realm *r, size_t i);
uint64_t realm_entries(const struct realm *r);
/* The entry with that index, below realm_entries: bytes that stay until realm_close. */
struct slice realm_entry(const struct realm *r, uint64_t index);
/* Of the last entry; zeros: there is none. ENTRY_DIGEST_LEN bytes. */
const uint8_t *realm_digest(const struct realm *r);
/* Entries that another manager of the realm has, each of which joins the one before: those that are not here yet are
 * looked at, and appended as they are, durable when this returns. 0; -EBADMSG: not of the realm, or another entry is
 * here; -EBUSY: somebody else changes it. Some may have been taken after any failure. */
MUST_CHECK int realm_follow(struct realm *r, const struct slice *entries, size_t count, char err[FILE_ERR]);
/* Bytes of an entry that was never finished; the next change removes them. */
uint64_t realm_torn(const struct realm *r);

/* Gives the free range of that many bits (4, 8, 12) with the lowest number to a sub-realm called label. The same label
 * and key again: the same range, for longer. -EEXIST: the label is another's; -ENOSPC: no range is left. */
MUST_CHECK int realm_delegate(struct realm *r, const char *label, const uint8_t ed25519[IDENT_KEY_LEN], unsigned bits,
                              uint64_t now_s, uint64_t not_after_s, char err[FILE_ERR]);
/* leaf.tier, as in "laptop.h"; not_after_s 0: as long as the realm itself. -EEXIST: the name is another's. */
MUST_CHECK int realm_enrol(struct realm *r, const char *leaf, const struct peer_key *key, uint8_t flags, uint64_t now_s,
                           uint64_t not_after_s, char err[FILE_ERR]);
struct realm_enrolment {
    const char *leaf;
    struct peer_key key;
    size_t line; /* for messages */
};

/* realm_enrol of many, in the order of the list, in few entries: none is said before all were found to be right. file:
 * where they stand, for messages. */
MUST_CHECK int realm_enrol_many(struct realm *r, const struct realm_enrolment *list, size_t count, const char *file,
                                uint8_t flags, uint64_t now_s, uint64_t not_after_s, char err[FILE_ERR]);
/* A name or tag that is in force. -ENOENT. */
MUST_CHECK int realm_revoke(struct realm *r, const char *who, enum record_reason reason, uint64_t now_s,
                            char err[FILE_ERR]);
/* Who may learn what of a name or tag that is in force; NULL: of all that the realm has enrolled and that has no policy
 * of its own. Takes the place of the one before. -ENOENT. */
MUST_CHECK int realm_policy(struct realm *r, const char *who, const struct record_rule *rules, size_t count,
                            uint64_t now_s, uint64_t not_after_s, char err[FILE_ERR]);
/* A policy or a revocation that one who is in force signed himself, and that was verified: as it is. -EINVAL: not of
 * one who is in force here; -ESTALE: not newer than the policy that is; -EDQUOT: a policy, and the log has only the
 * room left that is kept for revocations and for the realm itself. */
MUST_CHECK int realm_publish(struct realm *r, const uint8_t *bytes, size_t len, char err[FILE_ERR]);
/* A root takes a new key, at once, and signs again all that is in force. The old one counts until until_s. */
MUST_CHECK int realm_rotate_root(struct realm *r, uint64_t now_s, uint64_t until_s, char err[FILE_ERR]);
/* The first half for a realm that is no root: makes the next key (or takes the one that is there) and the statement
 * that the realm above is to countersign. */
MUST_CHECK int realm_rotate_begin(struct realm *r, uint64_t now_s, uint8_t *statement, size_t size, size_t *ret_len,
                                  char err[FILE_ERR]);
/* A newer chain from above, for a realm that is no root. Of the next key: the second half of a change, signs again all
 * that is in force. Of the key that it has: the delegation lasts longer, or what is above it has new keys. */
MUST_CHECK int realm_take_chain(struct realm *r, const uint8_t *chain, size_t len, uint64_t now_s, char err[FILE_ERR]);
/* Countersigns a statement of something that is in force: its next key gets the old one's name, and range. key: of an
 * entity, what belongs to the new key; NULL for a sub-realm. */
MUST_CHECK int realm_succeed(struct realm *r, const uint8_t *statement, size_t len, const struct peer_key *key,
                             uint64_t now_s, uint64_t until_s, char err[FILE_ERR]);

/* What is in force of that name or tag: the records from the root to it, in a row. NULL: of the realm itself. The
 * caller frees *ret. -ENOENT. */
MUST_CHECK int realm_chain_of(const struct realm *r, const char *who, uint8_t **ret, size_t *ret_len,
                              char err[FILE_ERR]);
/* All that ended before its time: the chain of the realm, and its revocations and successions. Likewise. */
MUST_CHECK int realm_ended(const struct realm *r, uint8_t **ret, size_t *ret_len, char err[FILE_ERR]);

/* The statement that `from` hands over to `to`, for the subject at the end of a chain. */
MUST_CHECK int realm_statement(const struct identity *from, const struct identity *to, const struct tag *subject,
                               uint64_t now_s, uint8_t *out, size_t size, size_t *ret_len, char err[FILE_ERR]);
/* Cuts records in a row into at most *count of them. 0 and *count; -errno: names file and byte. */
MUST_CHECK int records_split(const char *file, const uint8_t *bytes, size_t len, struct slice *ret, size_t *count,
                             char err[FILE_ERR]);
