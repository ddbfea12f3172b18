/* ident/record.h - signed records: who is who, who is where, who may know, and what is no longer true.
 *
 * A record is a COSE_Sign1 (RFC 9052 section 4.2) whose payload is a map, all of it in deterministic CBOR
 * (wire/cbor.h); doc/records.md has the CDDL. One struct has the fields of all types; which of them a type has stands
 * in a table in record.c, and the others are zero. Bytes that are accepted are the only encoding of what they say. */
#pragma once

#include "base/addr.h"
#include "base/slice.h"
#include "ident/keys.h"
#include "ident/name.h"
#include "ident/tag.h"
#include "wire/cbor.h"

#define RECORD_BYTES_MAX 4096        /* chosen: 3 packets; 64 rules take 1.6 KB */
#define RECORD_TARGETS_MAX 16        /* chosen: 8 paths of a session, twice */
#define RECORD_RULES_MAX 64          /* chosen */
#define RECORD_DETAILS_MAX 1024      /* bytes; chosen: 64 a target */
#define RECORD_TIME_MAX (1ull << 40) /* seconds since 1970: what is later is a mistake in units */
#define RECORD_DIGEST_LEN 32

/* Hard state is the realm's word and lives in its log; soft state is refreshed or ends. */
enum record_type {
    RECORD_ROOT = 1,     /* hard; a root of itself: key, name, suites */
    RECORD_DELEGATION,   /* hard; a realm of a sub-realm: key, name, range, tiers */
    RECORD_REGISTRATION, /* hard; a realm of an entity: keys, name */
    RECORD_BINDING,      /* soft; the holder, or its realm where the registration says so: targets, lease */
    RECORD_POLICY,       /* hard; a realm or the entity itself: who gets answers of which class */
    RECORD_REVOCATION,   /* hard; the entity itself or its realm */
    RECORD_SUCCESSOR,    /* hard; old key to new key, countersigned by the realm above, or by a root itself */
    RECORD_TYPE_END,
};

/* What a binding is of. A subject of the first tier is attached at targets of the second. */
enum record_kind {
    KIND_HOST_LOCATOR = 0, /* host at locators */
    KIND_USER_HOST,        /* user at hosts */
    KIND_DATA_HOST,        /* data at hosts */
    KIND_REALM_REALM,      /* realm at the realms that it is reached through, or at locators of its own */
    KIND_SERVICE_ROUTER,   /* service at hosts, or at locators that are nobody's secret */
    KIND_GROUP_MEMBER,     /* group (a service) at members of any tier */
    KIND_COUNT,
};

enum record_reason {
    REASON_UNSPECIFIED = 0,
    REASON_KEY_COMPROMISED,
    REASON_SUPERSEDED,
    REASON_LEFT, /* is no longer of the realm */
    REASON_COUNT,
};

/* Answer classes: what a correspondent may learn. */
enum record_class {
    CLASS_DENY = 0,   /* as if there were no such name */
    CLASS_AGENT = 1,  /* the locator of its agent only */
    CLASS_COARSE = 2, /* the locators of its realm's borders */
    CLASS_FULL = 3,   /* live locators */
};

#define RECORD_FLAG_REALM_BINDS 1u /* registration: its realm may sign bindings for it */
#define RECORD_FLAG_SERVES 2u      /* registration: may say where its realm's services are that are labels */
#define RECORD_FLAGS_KNOWN 3u

struct record_target {
    bool is_locator;
    uint8_t transport; /* locator: 0 UDP, 1 TCP */
    uint8_t flags;     /* kept for later: 0 */
    uint16_t priority; /* the lowest is used first */
    uint16_t weight;   /* shares among equal priorities */
    struct tag tag;
    struct endpoint locator;
};

struct record_rule {
    struct tag_prefix who; /* of the correspondent's tag */
    uint8_t answer;        /* enum record_class */
};

struct record {
    enum record_type type;
    struct tag issuer, subject;
    uint64_t seq;               /* boot epoch << 32 | counter: the higher one is the newer one */
    uint64_t issued_s;          /* hard: seconds since 1970 by the issuer's clock */
    uint64_t not_after_s;       /* likewise; 0: it does not end by itself */
    uint8_t key[IDENT_KEY_LEN]; /* Ed25519 of the subject; successor: the new one */
    char name[NAME_SIZE];       /* canonical */
    uint8_t suites;             /* set of SUITE_BIT that the subject has */
    struct realm_range range;
    uint8_t tiers; /* set of 1 << enum tag_tier */
    uint8_t x25519[IDENT_KEY_LEN];
    uint8_t flags;         /* RECORD_FLAG_* */
    uint8_t kind;          /* enum record_kind */
    uint32_t lease_s;      /* from receipt, at least 1 */
    uint8_t answer;        /* enum record_class: the least that a correspondent must have to be given it */
    uint8_t targets_count; /* 0: attached nowhere */
    uint8_t rules_count;
    uint8_t reason;  /* enum record_reason */
    struct tag next; /* successor: the new tag */
    uint8_t old_key[IDENT_KEY_LEN];
    uint8_t old_proof[SIGNATURE_LEN], new_proof[SIGNATURE_LEN]; /* of successor_prove */
    struct record_target targets[RECORD_TARGETS_MAX];
    uint16_t details_len; /* binding of a service: what is said of its targets, in the words of who uses it; 0: none */
    uint8_t details[RECORD_DETAILS_MAX];
    struct record_rule rules[RECORD_RULES_MAX];
};

/* Where a record's parts are in its bytes, which must stay. */
struct record_bytes {
    const uint8_t *bytes;
    size_t len;
    const uint8_t *payload;
    size_t payload_len;
    const uint8_t *signature; /* SIGNATURE_LEN */
};

enum record_fault {
    RECORD_SOUND = 0,
    RECORD_TOO_LARGE,    /* more than RECORD_BYTES_MAX */
    RECORD_NOT_CBOR,     /* the encoding: see cbor */
    RECORD_ALGORITHM,    /* not signed by Ed25519 as we write it */
    RECORD_TYPE_UNKNOWN, /* no such type */
    RECORD_KEY_UNKNOWN,  /* a map key that this type does not have */
    RECORD_KEY_MISSING,  /* one that it must have */
    RECORD_NAME,         /* no canonical name, or its hash is of another key */
    RECORD_TAG,          /* a tag that is not that of the key beside it, or not one of ours */
    RECORD_FIELD,        /* values that do not go together */
    /* Those below are of chains: ident/chain.h. */
    RECORD_SIGNATURE,      /* wrong signature */
    RECORD_OLDER_SEQUENCE, /* one of a higher sequence was seen */
    RECORD_BROKEN_CHAIN,   /* not signed by the one before it, or not what may stand there */
    RECORD_TOO_LONG_CHAIN, /* more than CHAIN_LINKS_MAX links */
    RECORD_EXPIRED,        /* its not-after is over */
    RECORD_FOREIGN_PREFIX, /* a tag or range outside of what its issuer has */
    RECORD_FOREIGN_NAME,   /* a name that is not below its issuer's */
    RECORD_FOREIGN_ROOT,   /* of another root than the one that is trusted */
    RECORD_REVOKED,        /* revoked */
    RECORD_SUPERSEDED,     /* a successor took over, and the time of the old key is up */
    RECORD_NOT_AUTHORISED, /* signed by somebody who may not say this */
    RECORD_CONFLICT,       /* another successor is there already */
    RECORD_AHEAD,          /* its sequence is farther ahead of the clock than it may be */
    RECORD_FAULT_COUNT,
};

struct record_error {
    enum record_fault fault;
    enum cbor_fault cbor; /* RECORD_NOT_CBOR */
    uint8_t link;         /* chains: 0 is the root */
    uint8_t key;          /* map key, or 0 */
    size_t at;            /* offset in the record's bytes */
};

#define RECORD_ERROR_STRLEN 128

/* One word with hyphens, for counters, logs and scripts. */
const char *record_fault_name(enum record_fault fault);
/* "broken-chain: ..., map key 5, byte 17". Returns buf. */
char *record_error_format(const struct record_error *e, char buf[RECORD_ERROR_STRLEN]);

/* Everything but the signature: 0, *ret and *ret_bytes; or -EBADMSG and *ret_error; -ENOMEM. All of len must be the
 * record. Costs 1 hash where a tag stands beside its key. */
MUST_CHECK int record_decode(const uint8_t *bytes, size_t len, struct record *ret, struct record_bytes *ret_bytes,
                             struct record_error *ret_error);
/* Cuts a sequence of records (RFC 8742) into at most *count of them, which are not looked into. 0 and *count, 0 if len
 * is; -EBADMSG and *ret_error: something else is among them; -E2BIG: there are more, from ret_error->at on. */
MUST_CHECK int record_split(const uint8_t *bytes, size_t len, struct slice *ret, size_t *count,
                            struct record_error *ret_error);
/* The signature alone. 0, -EBADMSG or -ENOMEM. */
MUST_CHECK int record_verify(const struct record_bytes *b, const uint8_t ed25519[IDENT_KEY_LEN]);
/* Of the record's bytes and the key that they are to be verified by. */
void record_digest(const struct record_bytes *b, const uint8_t ed25519[IDENT_KEY_LEN], uint8_t out[RECORD_DIGEST_LEN]);
/* Writes the fields that the type has, signed by the key. *ret_len bytes, at most size. 0; -ENOSPC (size, or
 * RECORD_BYTES_MAX); -EINVAL: record_decode would not take it; -ENOMEM. */
MUST_CHECK int record_encode(const struct record *r, const uint8_t ed25519_seed[IDENT_KEY_LEN], uint8_t *out,
                             size_t size, size_t *ret_len);

/* Where a binding's subject is by UDP: at most max, those of the lowest priority first, equal ones as they stand. How
 * many. */
size_t record_locators(const struct record *r, struct endpoint *ret, size_t max);

/* What both keys of a succession sign: r->subject, next, old_key and key must be set. 0 or -ENOMEM. */
MUST_CHECK int successor_prove(const struct record *r, const uint8_t ed25519_seed[IDENT_KEY_LEN],
                               uint8_t ret_proof[SIGNATURE_LEN]);
/* 0, -EBADMSG (either proof) or -ENOMEM. */
MUST_CHECK int successor_verify(const struct record *r);

/* "host-locator". NULL for a number that is none. */
const char *record_kind_name(unsigned kind);
const char *record_type_name(unsigned type);
const char *record_reason_name(unsigned reason);
