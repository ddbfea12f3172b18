/* ident/name.c - see name.h.
 *
 * Theory of operation. Labels are cut at dots and held against the rule of host names: letters, digits, hyphens, no
 * hyphen first or last (RFC 1123 section 2.1). Comparison of DNS names ignores case, so canonical is lower case, and
 * two names are equal just when their canonical texts are. Names in other scripts come as A-labels (xn--), which
 * programs make; what is not ASCII is refused rather than guessed at.
 *
 * A realm or a leaf that were called h, u, d or s would make the tier ambiguous, so none may be.
 *
 * Limits: 253 characters, 63 a label. Sources: RFC 1035 section 2.3.4, RFC 1123 section 2.1, RFC 4648 section 6. */
#include "ident/name.h"

#include "base/text.h"
#include "ident/hash.h"

#include <errno.h>

static const char tier_letters[] = "huds"; /* in the order of enum tag_tier */

char name_tier_letter(enum tag_tier tier)
{
    return tier_letters[tier & 3];
}

bool name_tier_of(char letter, enum tag_tier *ret)
{
    const char *at = letter ? strchr(tier_letters, letter) : NULL;

    if (at)
        *ret = (enum tag_tier)(at - tier_letters);
    return at;
}

static int wrong(struct name_error *ret, size_t at, const char *why)
{
    *ret = (struct name_error){ .at = at, .why = why };
    return -EINVAL;
}

/* Canonical characters into out, and the length without a last dot. Every label is checked. */
static int canonical(const char *text, size_t len, char out[NAME_SIZE], size_t *ret_len, struct name_error *err)
{
    size_t start = 0;

    if (len == 0 || (len == 1 && text[0] == '.'))
        return wrong(err, 0, "empty");
    if (text[len - 1] == '.')
        len--;
    if (len > NAME_MAX_LEN)
        return wrong(err, NAME_MAX_LEN, "longer than 253 characters");
    for (size_t i = 0; i <= len; i++) {
        char c = i < len ? text[i] : '.';

        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            ; /* as it is: most are */
        } else if (c == '.') {
            if (i == start)
                return wrong(err, i, "an empty label");
            if (text[i - 1] == '-')
                return wrong(err, i - 1, "a hyphen at the end of a label");
            if (i - start > NAME_LABEL_MAX)
                return wrong(err, start, "a label of more than 63 characters");
            start = i + 1;
        } else if ((unsigned char)c >= 0x80) {
            return wrong(err, i, "not ASCII: other scripts are written as xn-- labels");
        } else if (c >= 'A' && c <= 'Z') {
            c = (char)(c + 32);
        } else if (c != '-' || i == start) {
            return wrong(err, i,
                         c == '-' ? "a hyphen at the start of a label" : "neither letter, digit, hyphen nor dot");
        }
        out[i] = c;
    }
    out[len] = '\0';
    *ret_len = len;
    return 0;
}

/* Length of the label at text. */
static size_t label_len(const char *text)
{
    const char *dot = strchr(text, '.');

    return dot ? (size_t)(dot - text) : strlen(text);
}

static bool is_tier_label(const char *text, enum tag_tier *ret)
{
    return label_len(text) == 1 && name_tier_of(text[0], ret);
}

/* Canonical text of a realm's name, in text + at: no label of a tier. */
static int check_realm(const char *text, size_t at, struct name_error *err)
{
    enum tag_tier tier;

    for (;; at++) {
        if (is_tier_label(text + at, &tier))
            return wrong(err, at, "a realm called h, u, d or s, which are the tiers");
        at += label_len(text + at);
        if (!text[at])
            return 0;
    }
}

int name_parse(const char *text, size_t len, struct name *ret, struct name_error *ret_error)
{
    struct name n = { 0 };
    size_t used, at = 0, first;
    int r = canonical(text, len, n.text, &used, ret_error);

    if (r < 0)
        return r;
    n.len = (uint8_t)used;
    first = label_len(n.text);
    if (first == NAME_HASH_CHARS + 1 && n.text[0] == 'k' &&
        base32_decode(n.text + 1, NAME_HASH_CHARS, n.hash, NAME_HASH_LEN) == NAME_HASH_LEN) {
        n.has_hash = true;
        at = first + 1;
    }
    if (at >= used)
        return wrong(ret_error, used, "ends before the tier (h, u, d or s)");
    if (!n.has_hash || !is_tier_label(n.text + at, &n.tier)) {
        if (is_tier_label(n.text + at, &n.tier))
            return wrong(ret_error, at, "nothing before the tier");
        n.leaf_at = (uint8_t)at;
        n.leaf_len = (uint8_t)label_len(n.text + at);
        at += n.leaf_len + 1u;
        if (at >= used)
            return wrong(ret_error, used, "ends before the tier (h, u, d or s)");
        if (!is_tier_label(n.text + at, &n.tier))
            return wrong(ret_error, at, "expected the tier: h, u, d or s");
    }
    at += 2;
    if (at >= used)
        return wrong(ret_error, used, "ends before the realm");
    r = check_realm(n.text, at, ret_error);
    if (r < 0)
        return r;
    n.realm_at = (uint8_t)at;
    *ret = n;
    return 0;
}

int name_parse_realm(const char *text, size_t len, char ret[NAME_SIZE], struct name_error *ret_error)
{
    char out[NAME_SIZE];
    size_t used;
    int r = canonical(text, len, out, &used, ret_error);

    if (r == 0)
        r = check_realm(out, 0, ret_error);
    if (r == 0)
        memcpy(ret, out, used + 1);
    return r;
}

int name_join(const char *leaf, enum tag_tier tier, const char *realm, struct name *ret, struct name_error *ret_error)
{
    char joined[2 * NAME_SIZE + 4];
    struct text t;

    text_init(&t, joined, sizeof(joined));
    text_add(&t, "%s.%c.%s", leaf, name_tier_letter(tier), realm);
    return name_parse(joined, t.len, ret, ret_error);
}

bool name_is_child_realm(const char *child, const char *parent)
{
    size_t first = label_len(child);

    return child[first] == '.' && strcmp(child + first + 1, parent) == 0;
}

void name_hash_label(const uint8_t hash[NAME_HASH_LEN], char out[NAME_HASH_CHARS + 2])
{
    out[0] = 'k';
    base32_encode(hash, NAME_HASH_LEN, out + 1);
}

static void cleanup_sha256(struct sha256 **s)
{
    sha256_free(*s);
}

int name_check_key(const struct name *n, const uint8_t ed25519[32])
{
    struct sha256 *s CLEANUP(cleanup_sha256) = n->has_hash ? sha256_new() : NULL;
    uint8_t digest[NAME_HASH_LEN];

    if (!n->has_hash)
        return 0;
    if (!s || sha256_update(s, ed25519, 32) < 0 || sha256_get(s, digest) < 0)
        return -ENOMEM;
    return memcmp(digest, n->hash, sizeof(digest)) == 0 ? 0 : -EBADMSG;
}
