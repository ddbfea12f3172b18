/* ident/entry.h - entries of an authority's log: what a realm has said, in order, and signed by it.
 *
 *   u4 part | u4 version (1) | u64 index | digest of the entry before (32) | u16 count | count x (u16 length | record)
 * | signature (64)
 *
 * Integers are big-endian. The index counts from 0 without a gap and each entry holds the digest of the whole entry
 * before it (zeros in the first), so that who has read a log to some entry sees when it is cut, mended or forked later.
 * The signature is Ed25519 by the realm's key of that time, over a label and everything before the signature. The
 * records of one entry were said at once: all are in force or none. What is too much for one entry is said in parts,
 * each signed as every entry: nothing of them is in force before the last one stands there, and all of it from then on.
 * An entry that is no part, and another first part, end what was begun before: it was broken off.
 *
 * Index 0 names the realm: its records are the realm's own chain, of which the last has its key. A realm that changes
 * its key signs that entry by the old one; from then on the new one signs. */
#pragma once

#include "base/slice.h"
#include "ident/record.h"

#define ENTRY_VERSION 1
#define ENTRY_HEAD_LEN (1 + 8 + 32 + 2)
#define ENTRY_RECORDS_MAX 65535u
#define ENTRY_DIGEST_LEN 32

enum entry_part { ENTRY_WHOLE, ENTRY_FIRST_PART, ENTRY_NEXT_PART, ENTRY_LAST_PART, ENTRY_PART_COUNT };

struct entry {
    uint64_t index;
    enum entry_part part;
    uint8_t before[ENTRY_DIGEST_LEN];
    uint16_t count;
    const uint8_t *records; /* count of them, with their lengths: entry_next; into the bytes */
    size_t records_len;
};

/* Bytes that entry_encode writes for records of these lengths in all. */
static inline size_t entry_size(size_t count, size_t records_len)
{
    return ENTRY_HEAD_LEN + 2 * count + records_len + SIGNATURE_LEN;
}

/* Writes and signs an entry of count records, 1..ENTRY_RECORDS_MAX of at most RECORD_BYTES_MAX each, into size bytes.
 * 0 and *ret_len, -ENOSPC, -EINVAL or -ENOMEM. */
MUST_CHECK int entry_encode(uint64_t index, enum entry_part part, const uint8_t before[ENTRY_DIGEST_LEN],
                            const struct slice *records, size_t count, const uint8_t ed25519_seed[IDENT_KEY_LEN],
                            uint8_t *out, size_t size, size_t *ret_len);
/* The shape. 0, or -EPROTO. */
MUST_CHECK int entry_decode(const uint8_t *bytes, size_t len, struct entry *ret);
/* The signature over the same bytes. 0, -EBADMSG or -ENOMEM. */
MUST_CHECK int entry_verify(const uint8_t *bytes, size_t len, const uint8_t ed25519[IDENT_KEY_LEN]);
/* Takes the next record out of e. False when there is none. */
bool entry_next(struct entry *e, struct slice *ret);
/* What the next entry is to hold. */
void entry_digest(const uint8_t *bytes, size_t len, uint8_t out[ENTRY_DIGEST_LEN]);
