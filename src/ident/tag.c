/* ident/tag.c - see tag.h.
 *
 * The hash is cSHAKE128 over the left 64 bits and the host identity, under RFC 9374's context id, so the hierarchy
 * cannot be changed without changing the hash. The host identity goes in as the bare 32-byte key: the HOST_ID of RFC
 * 9374 section 3.4.1.1, with its curve field, is for HIP exchanges only, and the tags of RFC 9886 appendix A come out
 * right with the bare key and not with any header.
 *
 * A realm has a range of realm numbers, a prefix of their 12 bits, in each tier that it was given; so a policy or a
 * route for "this realm and all below it" is one prefix a tier. The range's first number is the realm's own, for what
 * it enrols itself; the number 0 is the root's.
 *
 * Limits: 1,024 deployments, 4 tiers, 4,096 realms a tier. A second key with a given tag costs 2^64 key generations.
 *
 * Sources: RFC 9374 sections 3 and 3.5; RFC 9886 (private range, appendix A); NIST SP 800-185. */
#include "ident/tag.h"

#include "base/addr.h"
#include "ident/hash.h"

#include <errno.h>
#include <stdio.h>

#define PREFIX28 0x2001003u /* RFC 9374 section 3.1 */

/* RFC 9374 section 3. */
static const uint8_t context_id[16] = { 0x00, 0xb5, 0xa6, 0x9c, 0x79, 0x5d, 0xf5, 0xd5,
                                        0xf0, 0x08, 0x7f, 0x56, 0x84, 0x3f, 0x2c, 0x40 };

static int make(uint64_t left, const void *of, size_t len, struct tag *ret)
{
    uint8_t input[8 + TAG_LABEL_MAX], hash[8];
    int err;

    put_be64(input, left);
    memcpy(input + 8, of, len);
    err = cshake128(hash, sizeof(hash), input, 8 + len, context_id, sizeof(context_id));
    if (err < 0)
        return err;
    memcpy(ret->bytes, input, 8);
    memcpy(ret->bytes + 8, hash, 8);
    return 0;
}

static uint64_t left_of(uint16_t raa, uint16_t hda, uint8_t suite)
{
    return (uint64_t)PREFIX28 << 36 | (uint64_t)raa << 22 | (uint64_t)hda << 8 | suite;
}

int tag_make(const uint8_t ed25519[32], uint16_t raa, uint16_t hda, struct tag *ret)
{
    if (raa > 0x3fff || hda > 0x3fff)
        return -ERANGE;
    return make(left_of(raa, hda, TAG_SUITE_EDDSA_CSHAKE128), ed25519, 32, ret);
}

int tag_of_label(const struct tag *realm, const void *label, size_t len, struct tag *ret)
{
    if (len > TAG_LABEL_MAX)
        return -ERANGE;
    return make(left_of(tag_raa(realm), TAG_HDA(TAG_TIER_SERVICE, tag_realm(realm)), TAG_SUITE_LABEL), label, len, ret);
}

int tag_verify(const struct tag *t, const uint8_t ed25519[32])
{
    struct tag want;
    int err;

    if (!tag_in_prefix(t) || tag_suite(t) != TAG_SUITE_EDDSA_CSHAKE128)
        return -EPROTONOSUPPORT;
    err = tag_make(ed25519, tag_raa(t), tag_hda(t), &want);
    if (err < 0)
        return err;
    return tag_equal(t, &want) ? 0 : -EBADMSG;
}

bool tag_in_prefix(const struct tag *t)
{
    return get_be32(t->bytes) >> 4 == PREFIX28;
}

uint16_t tag_raa(const struct tag *t)
{
    return (uint16_t)(get_be64(t->bytes) >> 22 & 0x3fff);
}

uint16_t tag_hda(const struct tag *t)
{
    return (uint16_t)(get_be64(t->bytes) >> 8 & 0x3fff);
}

enum tag_tier tag_tier(const struct tag *t)
{
    return (enum tag_tier)(tag_hda(t) >> 12);
}

uint16_t tag_realm(const struct tag *t)
{
    return tag_hda(t) & 0x0fff;
}

uint8_t tag_suite(const struct tag *t)
{
    return t->bytes[7];
}

uint16_t tag_deployment_of(const uint8_t root_ed25519[32])
{
    uint8_t digest[BLAKE2S_LEN];

    blake2s(digest, HASH_PARTS({ root_ed25519, 32 }));
    return (uint16_t)(1 + get_be64(digest) % TAG_DEPLOYMENT_MAX); /* 0 is for who has no realm */
}

static uint16_t range_mask(const struct realm_range *r)
{
    return (uint16_t)(TAG_REALM_MAX << (12 - r->bits) & TAG_REALM_MAX);
}

bool realm_range_valid(const struct realm_range *r)
{
    return r->bits <= 12 && r->bits % 4 == 0 && r->number <= TAG_REALM_MAX && (r->number & ~range_mask(r)) == 0;
}

bool realm_range_has(const struct realm_range *r, uint16_t number)
{
    return (number & range_mask(r)) == r->number;
}

bool realm_range_may_delegate(const struct realm_range *parent, const struct realm_range *child)
{
    return realm_range_valid(child) && child->bits > parent->bits && realm_range_has(parent, child->number) &&
           child->number != parent->number;
}

bool realm_range_overlap(const struct realm_range *a, const struct realm_range *b)
{
    return a->bits <= b->bits ? realm_range_has(a, b->number) : realm_range_has(b, a->number);
}

struct tag_prefix tag_prefix_of(const struct tag *t, uint8_t len)
{
    struct tag_prefix p = { .len = len };

    memcpy(p.tag.bytes, t->bytes, len / 8);
    if (len % 8 != 0)
        p.tag.bytes[len / 8] = (uint8_t)(t->bytes[len / 8] & 0xff00 >> len % 8);
    return p;
}

struct tag_prefix tag_prefix_realm(uint16_t raa, enum tag_tier tier, const struct realm_range *range)
{
    struct tag_prefix p = { .len = (uint8_t)(44 + range->bits) };

    put_be64(p.tag.bytes, (uint64_t)PREFIX28 << 36 | (uint64_t)raa << 22 | (uint64_t)TAG_HDA(tier, range->number) << 8);
    return p;
}

bool tag_prefix_contains(const struct tag_prefix *p, const struct tag *t)
{
    struct tag_prefix q = tag_prefix_of(t, p->len);

    return tag_equal(&p->tag, &q.tag);
}

bool tag_prefix_covers(const struct tag_prefix *a, const struct tag_prefix *b)
{
    return a->len <= b->len && tag_prefix_contains(a, &b->tag);
}

int tag_prefix_parse(const char *text, struct tag_prefix *ret)
{
    struct tag t;
    struct prefix p;
    int r = prefix_parse(text, false, &p);

    if (r < 0 || p.addr.family != ADDR_V6)
        return r == -ERANGE ? r : -EINVAL;
    memcpy(t.bytes, p.addr.bytes, sizeof(t.bytes));
    if (p.len < 28 || !tag_in_prefix(&t))
        return -ERANGE;
    *ret = (struct tag_prefix){ .tag = t, .len = p.len };
    return 0;
}

char *tag_prefix_format(const struct tag_prefix *p, char buf[TAG_PREFIX_STRLEN])
{
    char text[TAG_STRLEN];

    snprintf(buf, TAG_PREFIX_STRLEN, "%s/%u", tag_format(&p->tag, text), p->len);
    return buf;
}

/* The text of an address is borrowed here, as text only. */
char *tag_format(const struct tag *t, char buf[TAG_STRLEN])
{
    struct addr a = addr_from_bytes(ADDR_V6, t->bytes);
    char text[ADDR_STRLEN] = "";

    addr_format(&a, text);
    text[TAG_STRLEN - 1] = '\0'; /* an IPv6 address without dots has at most 39 characters */
    return strcpy(buf, text);
}

int tag_parse(const char *text, struct tag *ret)
{
    struct addr a;
    struct tag t;

    if (addr_parse(text, &a) < 0 || a.family != ADDR_V6)
        return -EINVAL;
    memcpy(t.bytes, a.bytes, sizeof(t.bytes));
    if (!tag_in_prefix(&t))
        return -ERANGE;
    *ret = t;
    return 0;
}
