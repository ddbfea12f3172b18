/* ident/aead.c - see aead.h.
 *
 * A libcrypto cipher context is keyed once: AES's round keys and GHASH's tables are what costs. Each record then sets a
 * nonce and a direction, feeds the associated data and the text, and takes or checks the tag. The tag goes through a
 * parameter array on the stack because the older control call builds the same array after a long switch.
 *
 * Limits: 1 MiB a call. Counters up to 2^64-2. How many records a key may carry is the caller's to count (suite.h).
 *
 * Sources: Noise revision 34 section 12 (nonces); RFC 8439; NIST SP 800-38D. */
#include "ident/aead.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define NONCE_LEN 12

struct aead {
    EVP_CIPHER_CTX *ctx; /* owned */
    enum suite suite;
};

struct aead *aead_new(enum suite suite, const uint8_t key[AEAD_KEY_LEN])
{
    const EVP_CIPHER *cipher = suite == SUITE_AES256_GCM ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
    struct aead *a;

    if (!suite_known(suite))
        return NULL;
    a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->suite = suite;
    a->ctx = EVP_CIPHER_CTX_new();
    if (!a->ctx || EVP_CipherInit_ex(a->ctx, cipher, NULL, key, NULL, 1) != 1) {
        aead_free(a);
        return NULL;
    }
    return a;
}

void aead_free(struct aead *a)
{
    if (!a)
        return;
    EVP_CIPHER_CTX_free(a->ctx); /* wipes the key schedule */
    free(a);
}

/* Everything but the tag: nonce, associated data, text. */
static bool aead_run(struct aead *a, int seal, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in,
                     size_t len, uint8_t *out)
{
    uint8_t nonce[NONCE_LEN] = { 0 };
    int n;

    if (a->suite == SUITE_AES256_GCM)
        put_be64(nonce + 4, counter);
    else
        put_le64(nonce + 4, counter);
    if (EVP_CipherInit_ex(a->ctx, NULL, NULL, NULL, nonce, seal) != 1)
        return false;
    if (aad_len > 0 && EVP_CipherUpdate(a->ctx, NULL, &n, aad, (int)aad_len) != 1)
        return false;
    return len == 0 || (EVP_CipherUpdate(a->ctx, out, &n, in, (int)len) == 1 && n == (int)len);
}

int aead_seal(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len,
              uint8_t *out)
{
    OSSL_PARAM tag[2] = { OSSL_PARAM_END, OSSL_PARAM_END };
    int n;

    if (len > AEAD_LEN_MAX || aad_len > AEAD_LEN_MAX)
        return -EMSGSIZE;
    if (counter == UINT64_MAX)
        return -EOVERFLOW;
    tag[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, out + len, AEAD_TAG_LEN);
    if (!aead_run(a, 1, counter, aad, aad_len, in, len, out) || EVP_CipherFinal_ex(a->ctx, out + len, &n) != 1 ||
        EVP_CIPHER_CTX_get_params(a->ctx, tag) != 1) {
        OPENSSL_cleanse(out, len + AEAD_TAG_LEN);
        return -EIO;
    }
    return 0;
}

int aead_open(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in, size_t len,
              uint8_t *out)
{
    OSSL_PARAM tag[2] = { OSSL_PARAM_END, OSSL_PARAM_END };
    uint8_t expected[AEAD_TAG_LEN], spare[AEAD_TAG_LEN];
    size_t text_len;
    int n;

    if (len < AEAD_TAG_LEN)
        return -EBADMSG;
    text_len = len - AEAD_TAG_LEN;
    if (text_len <= AEAD_LEN_MAX && aad_len <= AEAD_LEN_MAX && counter != UINT64_MAX) {
        memcpy(expected, in + text_len, AEAD_TAG_LEN);
        tag[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, expected, AEAD_TAG_LEN);
        if (aead_run(a, 0, counter, aad, aad_len, in, text_len, out) && EVP_CIPHER_CTX_set_params(a->ctx, tag) == 1 &&
            EVP_CipherFinal_ex(a->ctx, spare, &n) == 1)
            return 0;
    }
    /* The cipher has already written what it could not authenticate: nobody may see it. */
    OPENSSL_cleanse(out, text_len);
    return -EBADMSG;
}
