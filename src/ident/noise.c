/* ident/noise.c - see noise.h.
 *
 * A pattern is a table of messages, each a list of tokens; writing and reading walk the same list. The symmetric state
 * is a chaining key, a transcript hash and, after the first key agreement, a cipher key with a counter. The cipher's
 * context lives for one call only: a handshake message costs two to four key agreements of tens of microseconds, beside
 * which a context's microsecond is nothing.
 *
 * Everything that can be refused cheaply (turn, lengths) is refused before any key agreement. The rest happens on a
 * local copy that is committed once.
 *
 * A replayed first message decrypts: Noise cannot tell. The session layer must change nothing for it until a sealed
 * packet under the new keys arrives.
 *
 * Limits: messages of 65,535 bytes; patterns of 3 messages, 5 tokens each; one psk.
 *
 * Sources: The Noise Protocol Framework, revision 34, sections 5, 7 and 9. */
#include "ident/noise.h"

#include "ident/aead.h"
#include "ident/hash.h"
#include "ident/keys.h"

#include <errno.h>
#include <stdio.h>

enum token { T_END = 0, T_E, T_S, T_EE, T_ES, T_SE, T_SS, T_PSK };

struct pattern {
    const char *name;
    bool init_s, resp_s; /* who has a static key */
    bool pre_rs;         /* the initiator knows the responder's beforehand */
    bool psk;
    uint8_t messages;
    uint8_t tokens[3][6]; /* ends with T_END; the initiator's first */
};

static const struct pattern patterns[NOISE_PATTERN_COUNT] = {
    [NOISE_NK] = { "NK", false, true, true, false, 2, { { T_E, T_ES }, { T_E, T_EE } } },
    [NOISE_NNPSK0] = { "NNpsk0", false, false, false, true, 2, { { T_PSK, T_E }, { T_E, T_EE } } },
    [NOISE_IK] = { "IK", true, true, true, false, 2, { { T_E, T_ES, T_S, T_SS }, { T_E, T_EE, T_SE } } },
    [NOISE_IKPSK2] = { "IKpsk2", true, true, true, true, 2, { { T_E, T_ES, T_S, T_SS }, { T_E, T_EE, T_SE, T_PSK } } },
    [NOISE_XX] = { "XX", true, true, false, false, 3, { { T_E }, { T_E, T_EE, T_S, T_ES }, { T_S, T_SE } } },
    [NOISE_XXPSK3] = { "XXpsk3",
                       true,
                       true,
                       false,
                       true,
                       3,
                       { { T_E }, { T_E, T_EE, T_S, T_ES }, { T_S, T_SE, T_PSK } } },
};

static const struct pattern *pattern_of(const struct noise *n)
{
    return &patterns[n->pattern];
}

static void mix_hash(struct noise *n, const void *data, size_t len)
{
    blake2s(n->h, HASH_PARTS({ n->h, sizeof(n->h) }, { data, len }));
}

static void mix_key(struct noise *n, const uint8_t input[32])
{
    noise_hkdf(n->ck, input, 32, n->ck, n->k, NULL);
    n->counter = 0;
    n->has_key = true;
}

static void mix_key_and_hash(struct noise *n, const uint8_t psk[32])
{
    uint8_t temp_h[32];

    noise_hkdf(n->ck, psk, 32, n->ck, temp_h, n->k);
    mix_hash(n, temp_h, sizeof(temp_h));
    n->counter = 0;
    n->has_key = true;
    ident_wipe(temp_h, sizeof(temp_h));
}

static int encrypt_and_hash(struct noise *n, const uint8_t *in, size_t len, uint8_t *out)
{
    size_t out_len = len;

    if (n->has_key) {
        struct aead *a = aead_new((enum suite)n->suite, n->k);
        int err = a ? aead_seal(a, n->counter++, n->h, sizeof(n->h), in, len, out) : -ENOMEM;

        aead_free(a);
        if (err < 0)
            return err;
        out_len += AEAD_TAG_LEN;
    } else if (len > 0) {
        memcpy(out, in, len);
    }
    mix_hash(n, out, out_len);
    return 0;
}

/* len includes the tag where there is a key. */
static int decrypt_and_hash(struct noise *n, const uint8_t *in, size_t len, uint8_t *out)
{
    if (n->has_key) {
        struct aead *a = aead_new((enum suite)n->suite, n->k);
        int err = a ? aead_open(a, n->counter++, n->h, sizeof(n->h), in, len, out) : -ENOMEM;

        aead_free(a);
        if (err < 0)
            return err;
    } else if (len > 0) {
        memcpy(out, in, len);
    }
    mix_hash(n, in, len);
    return 0;
}

static int mix_dh(struct noise *n, const uint8_t priv[32], const uint8_t own_pub[32], const uint8_t pub[32])
{
    uint8_t shared[32];
    int err = x25519_shared(priv, own_pub, pub, shared);

    if (err == 0)
        mix_key(n, shared);
    ident_wipe(shared, sizeof(shared));
    return err;
}

/* The tokens that mean the same to writer and reader. */
static int agree(struct noise *n, enum token t)
{
    switch (t) {
    case T_EE:
        return mix_dh(n, n->e, n->e_pub, n->re);
    case T_ES:
        return n->initiator ? mix_dh(n, n->e, n->e_pub, n->rs) : mix_dh(n, n->s, n->s_pub, n->re);
    case T_SE:
        return n->initiator ? mix_dh(n, n->s, n->s_pub, n->re) : mix_dh(n, n->e, n->e_pub, n->rs);
    case T_SS:
        return mix_dh(n, n->s, n->s_pub, n->rs);
    case T_PSK:
        mix_key_and_hash(n, n->psk);
        return 0;
    default:
        return -EPROTO;
    }
}

static void mix_ephemeral(struct noise *n, const uint8_t e_pub[32])
{
    mix_hash(n, e_pub, 32);
    if (pattern_of(n)->psk)
        mix_key(n, e_pub); /* section 9.2: a psk alone must not make two sessions alike */
}

int noise_name(enum noise_pattern pattern, enum suite suite, char out[NOISE_NAME_SIZE])
{
    if ((unsigned)pattern >= NOISE_PATTERN_COUNT || !suite_known(suite))
        return -EINVAL;
    snprintf(out, NOISE_NAME_SIZE, "Noise_%s_25519_%s_BLAKE2s", patterns[pattern].name, suite_noise_name(suite));
    return 0;
}

int noise_init(struct noise *n, enum noise_pattern pattern, enum suite suite, bool initiator, const void *prologue,
               size_t prologue_len, const uint8_t *s_priv, const uint8_t *s_pub, const uint8_t *rs, const uint8_t *psk)
{
    char name[NOISE_NAME_SIZE];
    const struct pattern *p;
    size_t name_len;
    bool need_s;

    if (noise_name(pattern, suite, name) < 0)
        return -EINVAL;
    p = &patterns[pattern];
    need_s = initiator ? p->init_s : p->resp_s;
    if (need_s != (s_priv != NULL) || need_s != (s_pub != NULL) || (p->pre_rs && initiator) != (rs != NULL) ||
        p->psk != (psk != NULL))
        return -EINVAL;

    memset(n, 0, sizeof(*n));
    n->pattern = (uint8_t)pattern;
    n->suite = (uint8_t)suite;
    n->initiator = initiator;
    if (need_s) {
        memcpy(n->s, s_priv, 32);
        memcpy(n->s_pub, s_pub, 32);
    }
    if (rs) {
        memcpy(n->rs, rs, 32);
        n->has_rs = true;
    }
    if (psk)
        memcpy(n->psk, psk, 32);
    name_len = strlen(name);
    if (name_len <= sizeof(n->h))
        memcpy(n->h, name, name_len);
    else
        blake2s(n->h, HASH_PARTS({ name, name_len }));
    memcpy(n->ck, n->h, sizeof(n->ck));
    mix_hash(n, prologue, prologue_len);
    if (p->pre_rs)
        mix_hash(n, initiator ? n->rs : n->s_pub, 32);
    return 0;
}

size_t noise_overhead(const struct noise *n)
{
    const struct pattern *p = pattern_of(n);
    bool key = n->has_key;
    size_t len = 0;

    if (noise_complete(n))
        return 0;
    for (const uint8_t *t = p->tokens[n->step]; *t != T_END; t++) {
        if (*t == T_E) {
            len += 32;
            key = key || p->psk;
        } else if (*t == T_S) {
            len += key ? 32 + AEAD_TAG_LEN : 32;
        } else {
            key = true;
        }
    }
    return len + (key ? AEAD_TAG_LEN : 0);
}

bool noise_complete(const struct noise *n)
{
    return n->step >= pattern_of(n)->messages;
}

bool noise_our_turn(const struct noise *n)
{
    return !noise_complete(n) && (n->step % 2 == 0) == n->initiator;
}

/* Walks the tokens of one message; out has room for all of them and the payload. Returns the length. */
static int write_tokens(struct noise *n, const struct rng *r, const void *payload, size_t len, uint8_t *out)
{
    const uint8_t *tokens = pattern_of(n)->tokens[n->step];
    uint8_t *at = out;
    int err = 0;

    for (size_t i = 0; tokens[i] != T_END && err == 0; i++) {
        enum token t = tokens[i];

        if (t == T_E) {
            rng_fill(r, n->e, sizeof(n->e));
            err = x25519_public(n->e, n->e_pub);
            memcpy(at, n->e_pub, 32);
            mix_ephemeral(n, n->e_pub);
            at += 32;
        } else if (t == T_S) {
            err = encrypt_and_hash(n, n->s_pub, 32, at);
            at += n->has_key ? 32 + AEAD_TAG_LEN : 32;
        } else {
            err = agree(n, t);
        }
    }
    if (err == 0)
        err = encrypt_and_hash(n, payload, len, at);
    at += n->has_key ? len + AEAD_TAG_LEN : len;
    return err < 0 ? err : (int)(at - out);
}

int noise_write(struct noise *n, const struct rng *r, const void *payload, size_t len, uint8_t *out, size_t size)
{
    size_t overhead = noise_overhead(n);
    struct noise next;
    int ret;

    if (!noise_our_turn(n))
        return -EPROTO;
    if (len > NOISE_MESSAGE_MAX - overhead)
        return -EMSGSIZE;
    if (size < len + overhead)
        return -ENOSPC;
    next = *n;
    ret = write_tokens(&next, r, payload, len, out);
    if (ret >= 0) {
        next.step++;
        *n = next;
    } else {
        ident_wipe(out, len + overhead);
    }
    noise_wipe(&next);
    return ret;
}

/* msg is as long as the tokens and a payload of payload_len need. */
static int read_tokens(struct noise *n, const uint8_t *msg, size_t payload_len, uint8_t *payload_out)
{
    const uint8_t *tokens = pattern_of(n)->tokens[n->step], *at = msg;
    int err = 0;

    for (size_t i = 0; tokens[i] != T_END && err == 0; i++) {
        enum token t = tokens[i];

        if (t == T_E) {
            memcpy(n->re, at, 32);
            mix_ephemeral(n, n->re);
            at += 32;
        } else if (t == T_S) {
            size_t len = n->has_key ? 32 + AEAD_TAG_LEN : 32;

            err = decrypt_and_hash(n, at, len, n->rs);
            n->has_rs = true;
            at += len;
        } else {
            err = agree(n, t);
        }
    }
    if (err < 0)
        return err;
    return decrypt_and_hash(n, at, n->has_key ? payload_len + AEAD_TAG_LEN : payload_len, payload_out);
}

int noise_read(struct noise *n, const uint8_t *msg, size_t len, uint8_t *payload_out, size_t size)
{
    size_t overhead = noise_overhead(n), payload_len;
    struct noise next;
    int err;

    if (noise_complete(n) || noise_our_turn(n))
        return -EPROTO;
    if (len < overhead || len > NOISE_MESSAGE_MAX)
        return -EBADMSG;
    payload_len = len - overhead;
    if (size < payload_len)
        return -ENOSPC;
    next = *n;
    err = read_tokens(&next, msg, payload_len, payload_out);
    if (err == 0) {
        next.step++;
        *n = next;
    }
    noise_wipe(&next);
    return err < 0 ? err : (int)payload_len;
}

int noise_split(const struct noise *n, uint8_t tx[32], uint8_t rx[32])
{
    if (!noise_complete(n))
        return -EPROTO;
    if (n->initiator)
        noise_hkdf(n->ck, NULL, 0, tx, rx, NULL);
    else
        noise_hkdf(n->ck, NULL, 0, rx, tx, NULL);
    return 0;
}

/* The split keys are HKDF(ck, empty): HMAC of an empty message and then further. This is HMAC of a message that is
 * never empty, so under one ck the two are independent. */
int noise_export(const struct noise *n, const char *label, uint8_t out[32])
{
    static const char domain[] = "hawser noise export";

    if (!noise_complete(n))
        return -EPROTO;
    hmac_blake2s(out, n->ck, sizeof(n->ck),
                 HASH_PARTS({ domain, sizeof(domain) }, { n->h, sizeof(n->h) }, { label, strlen(label) }));
    return 0;
}

const uint8_t *noise_handshake_hash(const struct noise *n)
{
    return n->h;
}

const uint8_t *noise_remote_static(const struct noise *n)
{
    return n->has_rs ? n->rs : NULL;
}

void noise_wipe(struct noise *n)
{
    ident_wipe(n, sizeof(*n));
}
