/* ident/aead.c - see aead.h: the choice of an engine, the nonce, and the limits that all engines share.
 *
 * Limits: 1 MiB a call. Counters up to 2^64-2. How many records a key may carry is the caller's to count (suite.h).
 *
 * Sources: Noise revision 34 section 12 (nonces); RFC 8439; NIST SP 800-38D. */
#include "ident/aead.h"

#include <errno.h>
#include <openssl/crypto.h>

#include "ident/aead_engine.h"

static const struct aead_ops *const engines[AEAD_ENGINE_COUNT] = {
    [AEAD_LIBCRYPTO] = &aead_libcrypto,
#ifdef HAVE_IPSEC_MB
    [AEAD_IPSEC_MB] = &aead_ipsec_mb,
#endif
};

const char *aead_engine_name(enum aead_engine e)
{
    return e < AEAD_ENGINE_COUNT && engines[e] ? engines[e]->name : "none";
}

enum aead_engine aead_engine_best(void)
{
    for (unsigned e = AEAD_ENGINE_COUNT; e-- > 1;)
        if (engines[e] && engines[e]->works())
            return (enum aead_engine)e;
    return AEAD_LIBCRYPTO;
}

struct aead *aead_new_by(enum aead_engine e, enum suite suite, const uint8_t key[AEAD_KEY_LEN])
{
    struct aead *a;

    if (!suite_known(suite) || e >= AEAD_ENGINE_COUNT || !engines[e] || !engines[e]->works())
        return NULL;
    a = engines[e]->make(suite, key);
    if (a) {
        a->ops = engines[e];
        a->suite = suite;
    }
    return a;
}

struct aead *aead_new(enum suite suite, const uint8_t key[AEAD_KEY_LEN])
{
    return aead_new_by(aead_engine_best(), suite, key);
}

void aead_free(struct aead *a)
{
    if (a)
        a->ops->destroy(a);
}

static void put_nonce(uint8_t nonce[AEAD_NONCE_LEN], enum suite suite, uint64_t counter)
{
    memset(nonce, 0, 4);
    if (suite == SUITE_AES256_GCM)
        put_be64(nonce + 4, counter);
    else
        put_le64(nonce + 4, counter);
}

int aead_seal(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len,
              uint8_t *out)
{
    uint8_t nonce[AEAD_NONCE_LEN];

    if (len > AEAD_LEN_MAX || aad_len > AEAD_LEN_MAX)
        return -EMSGSIZE;
    if (counter == UINT64_MAX)
        return -EOVERFLOW;
    put_nonce(nonce, a->suite, counter);
    if (!a->ops->seal(a, nonce, aad, aad_len, in, len, out, out + len)) {
        OPENSSL_cleanse(out, len + AEAD_TAG_LEN);
        return -EIO;
    }
    return 0;
}

int aead_open(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len,
              uint8_t *out)
{
    uint8_t nonce[AEAD_NONCE_LEN];
    size_t text_len;

    if (len < AEAD_TAG_LEN)
        return -EBADMSG;
    text_len = len - AEAD_TAG_LEN;
    if (text_len <= AEAD_LEN_MAX && aad_len <= AEAD_LEN_MAX && counter != UINT64_MAX) {
        put_nonce(nonce, a->suite, counter);
        if (a->ops->open(a, nonce, aad, aad_len, in, text_len, in + text_len, out))
            return 0;
    }
    /* The cipher has already written what it could not authenticate: nobody may see it. */
    OPENSSL_cleanse(out, text_len);
    return -EBADMSG;
}
