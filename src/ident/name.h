/* ident/name.h - names of hosts, users, data and services, and of realms.
 *
 *   [k<52 base32>.][<leaf>.]<h|u|d|s>.<realm path>.<root>      laptop.h.eng.acme.rid.example
 *
 * A name is a legal DNS name. One of its labels is h, u, d or s, the tier; behind it stands the name of the realm.
 * Before it stand the leaf, or the hash that the name itself proves, or both: `k` and the SHA-256 of a key (32 bytes,
 * Ed25519) or, in tier d without a leaf, of immutable content. A name with a hash is its own proof, whatever the realm
 * says. */
#pragma once

#include "ident/tag.h"

#define NAME_MAX_LEN 253 /* characters: RFC 1035 section 2.3.4, less the lengths of first label and root */
#define NAME_SIZE (NAME_MAX_LEN + 1)
#define NAME_LABEL_MAX 63 /* RFC 1035 section 2.3.4 */
#define NAME_HASH_LEN 32
#define NAME_HASH_CHARS 52 /* base32 of 32 bytes */

struct name {
    char text[NAME_SIZE]; /* canonical: lower case, no dot at the end */
    uint8_t len;
    uint8_t leaf_at, leaf_len; /* 0 0: there is none */
    uint8_t realm_at;          /* where the realm's name begins: it goes on to the end */
    enum tag_tier tier;
    bool has_hash;
    uint8_t hash[NAME_HASH_LEN];
};

struct name_error {
    size_t at;       /* offset in the text as it was given */
    const char *why; /* a few words */
};

/* Of an entity. len characters, upper case and a last dot allowed. 0, or -EINVAL and *ret_error. */
MUST_CHECK int name_parse(const char *text, size_t len, struct name *ret, struct name_error *ret_error);
/* Of a realm: labels alone, none of them h, u, d or s. 0 and the canonical text, or -EINVAL and *ret_error. */
MUST_CHECK int name_parse_realm(const char *text, size_t len, char ret[NAME_SIZE], struct name_error *ret_error);
/* leaf.tier.realm, of what is canonical already. 0, or -EINVAL as name_parse says. */
MUST_CHECK int name_join(const char *leaf, enum tag_tier tier, const char *realm, struct name *ret,
                         struct name_error *ret_error);
/* True if `child` is one label and then `parent`; both canonical names of realms. */
bool name_is_child_realm(const char *child, const char *parent);
/* h, u, d or s. */
char name_tier_letter(enum tag_tier tier);
/* True if the letter is of a tier. */
bool name_tier_of(char letter, enum tag_tier *ret);
/* `k` and the base32 of the hash, with a NUL. */
void name_hash_label(const uint8_t hash[NAME_HASH_LEN], char out[NAME_HASH_CHARS + 2]);
/* 0: the name has no hash, or that of this key. -EBADMSG: of another one. -ENOMEM. */
MUST_CHECK int name_check_key(const struct name *n, const uint8_t ed25519[32]);
