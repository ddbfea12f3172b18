/* ident/tag.c - see tag.h.
 *
 * The hash is cSHAKE128 over the left 64 bits and the host identity, under RFC 9374's context id, so the hierarchy
 * cannot be changed without changing the hash. The host identity goes in as the bare 32-byte key: the HOST_ID of RFC
 * 9374 section 3.4.1.1, with its curve field, is for HIP exchanges only, and the tags of RFC 9886 appendix A come out
 * right with the bare key and not with any header.
 *
 * Limits: 1,024 deployments, 4 tiers, 4,096 realms a tier. A second key with a given tag costs 2^64 key generations.
 *
 * Sources: RFC 9374 sections 3 and 3.5; RFC 9886 (private range, appendix A); NIST SP 800-185. */
#include "ident/tag.h"

#include "base/addr.h"
#include "ident/hash.h"

#include <errno.h>

#define PREFIX28 0x2001003u /* RFC 9374 section 3.1 */

/* RFC 9374 section 3. */
static const uint8_t context_id[16] = { 0x00, 0xb5, 0xa6, 0x9c, 0x79, 0x5d, 0xf5, 0xd5,
                                        0xf0, 0x08, 0x7f, 0x56, 0x84, 0x3f, 0x2c, 0x40 };

int tag_make(const uint8_t ed25519[32], uint16_t raa, uint16_t hda, struct tag *ret)
{
    uint8_t input[8 + 32], hash[8];
    int err;

    if (raa > 0x3fff || hda > 0x3fff)
        return -ERANGE;
    put_be64(input, (uint64_t)PREFIX28 << 36 | (uint64_t)raa << 22 | (uint64_t)hda << 8 | TAG_SUITE_EDDSA_CSHAKE128);
    memcpy(input + 8, ed25519, 32);
    err = cshake128(hash, sizeof(hash), input, sizeof(input), context_id, sizeof(context_id));
    if (err < 0)
        return err;
    memcpy(ret->bytes, input, 8);
    memcpy(ret->bytes + 8, hash, 8);
    return 0;
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
