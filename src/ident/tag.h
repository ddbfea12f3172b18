/* ident/tag.h - hierarchical host identity tags: 128-bit identifiers that are the hash of a key.
 *
 *   | 28 bits 2001:003 | RAA 14 bits | HDA 14 bits: tier 2, realm 12 | suite 8 | hash 64 |
 *
 * A tag looks like an IPv6 address but says who, not where: it is a type of its own and never a struct addr. A 64-bit
 * hash is a handle, not a proof: trust comes from the signed chain to the 32-byte key. */
#pragma once

#include "base/base.h"

struct tag {
    uint8_t bytes[16]; /* network order */
};

#define TAG_REALM_BYTES 7 /* of a tag, which say deployment, tier and realm */
#define TAG_STRLEN 40     /* longest text form and its NUL */

#define TAG_SUITE_EDDSA_CSHAKE128 5 /* RFC 9374 section 3.2 */
#define TAG_LABEL_MAX 64            /* bytes; chosen */
#define TAG_SUITE_LABEL 254         /* of those for private use: the hash of a label, of which nobody has a key */

/* RAA 15360..16383 is for private use (RFC 9886), which makes 2001:3f::/32 ours without registration. */
#define TAG_RAA_PRIVATE 15360
#define TAG_DEPLOYMENT_MAX 1023
#define TAG_REALM_MAX 4095
#define TAG_RAA(deployment) ((uint16_t)(TAG_RAA_PRIVATE + (deployment)))

enum tag_tier {
    TAG_TIER_HOST = 0,
    TAG_TIER_USER = 1,
    TAG_TIER_DATA = 2,
    TAG_TIER_SERVICE = 3, /* services and infrastructure */
};

#define TAG_HDA(tier, realm) ((uint16_t)((tier) << 12 | (realm)))

/* Deployment 0, host tier, realm 0: what a host has before it joins a realm. */
#define TAG_RAA_DEFAULT TAG_RAA(0)
#define TAG_HDA_DEFAULT TAG_HDA(TAG_TIER_HOST, 0)

/* The tag of a key. 0, -ERANGE (raa or hda above 14 bits) or -ENOMEM. */
MUST_CHECK int tag_make(const uint8_t ed25519[32], uint16_t raa, uint16_t hda, struct tag *ret);
/* 0 if the tag is that of this key; -EBADMSG if not; -EPROTONOSUPPORT for a prefix or a suite that is not ours;
 * -ENOMEM. */
MUST_CHECK int tag_verify(const struct tag *t, const uint8_t ed25519[32]);

/* What a realm calls a service that has no key of its own: of a label that all who ask make alike. Of the realm's
 * number and the service tier. 0; -ERANGE: more than TAG_LABEL_MAX bytes; -ENOMEM. */
MUST_CHECK int tag_of_label(const struct tag *realm, const void *label, size_t len, struct tag *ret);

static inline bool tag_equal(const struct tag *a, const struct tag *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

/* True inside 2001:30::/28, the prefix of all such tags. */
bool tag_in_prefix(const struct tag *t);
uint16_t tag_raa(const struct tag *t);
uint16_t tag_hda(const struct tag *t);
enum tag_tier tag_tier(const struct tag *t);
uint16_t tag_realm(const struct tag *t);
uint8_t tag_suite(const struct tag *t);
static inline bool tag_is_label(const struct tag *t)
{
    return t->bytes[7] == TAG_SUITE_LABEL;
}

/* 1..1023, from the hash of the root's key: what a new deployment is called unless its owner says otherwise. Two may
 * collide; who trusts both tells them apart by their keys, and routes neither by its prefix. */
uint16_t tag_deployment_of(const uint8_t root_ed25519[32]);

/* --- shares of the realm numbers --- */

/* The realm numbers that begin with the first `bits` of number, whose other bits are zero. The number is the realm's
 * own; the rest it may hand out. bits 0 is the whole deployment: its root, whose own number is 0. */
struct realm_range {
    uint16_t number; /* 0..4095 */
    uint8_t bits;    /* 0, 4, 8 or 12: at a digit, so that reverse zones of the DNS can follow */
};

bool realm_range_valid(const struct realm_range *r);
/* True if the number is in the range. */
bool realm_range_has(const struct realm_range *r, uint16_t number);
/* True if a realm that has `parent` may hand out `child`: inside, smaller, and without the parent's own number. */
bool realm_range_may_delegate(const struct realm_range *parent, const struct realm_range *child);
/* True if a number is in both. */
bool realm_range_overlap(const struct realm_range *a, const struct realm_range *b);

/* --- prefixes: what policies and routes speak of --- */

struct tag_prefix {
    struct tag tag; /* bits behind len zero */
    uint8_t len;    /* 28..128; /42 deployment, /44 tier, /48 /52 /56 realm, /64 suite, /128 entity */
};

#define TAG_PREFIX_STRLEN 44

/* The first len bits of t; len 28..128. */
struct tag_prefix tag_prefix_of(const struct tag *t, uint8_t len);
/* All tags of a tier in a range of a deployment: /44 to /56. */
struct tag_prefix tag_prefix_realm(uint16_t raa, enum tag_tier tier, const struct realm_range *range);
bool tag_prefix_contains(const struct tag_prefix *p, const struct tag *t);
/* True if all that is in b is in a. */
bool tag_prefix_covers(const struct tag_prefix *a, const struct tag_prefix *b);
/* `tag/len`, or a tag alone for itself. 0; -EINVAL: no address and length; -ERANGE: outside 2001:30::/28, or bits
 * behind len are set. */
MUST_CHECK int tag_prefix_parse(const char *text, struct tag_prefix *ret);
/* Returns buf. */
char *tag_prefix_format(const struct tag_prefix *p, char buf[TAG_PREFIX_STRLEN]);

/* The text form of an IPv6 address (RFC 5952). Returns buf. */
char *tag_format(const struct tag *t, char buf[TAG_STRLEN]);
/* 0, -EINVAL (not an IPv6 address) or -ERANGE (not in 2001:30::/28). */
MUST_CHECK int tag_parse(const char *text, struct tag *ret);
