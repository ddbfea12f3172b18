/* ident/keys.c - see keys.h.
 *
 * libcrypto does the curves; keys go in and out as raw bytes and no libcrypto object outlives a call. A signature or a
 * shared secret costs tens of microseconds, so none of this is on the packet path.
 *
 * A public key given by its owner needs no proof that the owner holds it: the handshake proves the X25519 key and the
 * binding signature ties it to the Ed25519 key, under a label so that no other signature of that key can be passed off
 * as a binding.
 *
 * Limits: text forms are exactly 88 characters. The check byte lets 1 typo in 256 through; such a key then fails in the
 * handshake.
 *
 * Sources: RFC 8032 (Ed25519), RFC 7748 section 6.1 (X25519, the zero check), RFC 4648 (base64). */
#include "ident/keys.h"

#include "base/text.h"
#include "ident/hash.h"
#include "ident/suite.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

static const char binding_label[] = "hawser x25519 binding v1"; /* its NUL is signed too */

static void cleanup_pkey(EVP_PKEY **p)
{
    EVP_PKEY_free(*p);
}

static void cleanup_pkey_ctx(EVP_PKEY_CTX **p)
{
    EVP_PKEY_CTX_free(*p);
}

static void cleanup_md_ctx(EVP_MD_CTX **p)
{
    EVP_MD_CTX_free(*p);
}

static int public_of(int type, const uint8_t priv[IDENT_KEY_LEN], uint8_t ret_pub[IDENT_KEY_LEN])
{
    EVP_PKEY *key CLEANUP(cleanup_pkey) = EVP_PKEY_new_raw_private_key(type, NULL, priv, IDENT_KEY_LEN);
    uint8_t pub[IDENT_KEY_LEN];
    size_t len = IDENT_KEY_LEN;

    if (!key || EVP_PKEY_get_raw_public_key(key, pub, &len) != 1 || len != IDENT_KEY_LEN)
        return -ENOMEM;
    memcpy(ret_pub, pub, IDENT_KEY_LEN);
    return 0;
}

int ed25519_public(const uint8_t seed[IDENT_KEY_LEN], uint8_t ret_pub[IDENT_KEY_LEN])
{
    return public_of(EVP_PKEY_ED25519, seed, ret_pub);
}

int x25519_public(const uint8_t priv[IDENT_KEY_LEN], uint8_t ret_pub[IDENT_KEY_LEN])
{
    return public_of(EVP_PKEY_X25519, priv, ret_pub);
}

int ed25519_sign(const uint8_t seed[IDENT_KEY_LEN], const void *msg, size_t len, uint8_t ret_sig[SIGNATURE_LEN])
{
    EVP_PKEY *key CLEANUP(cleanup_pkey) = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, IDENT_KEY_LEN);
    EVP_MD_CTX *ctx CLEANUP(cleanup_md_ctx) = EVP_MD_CTX_new();
    uint8_t sig[SIGNATURE_LEN];
    size_t sig_len = SIGNATURE_LEN;

    if (!key || !ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
        EVP_DigestSign(ctx, sig, &sig_len, msg, len) != 1 || sig_len != SIGNATURE_LEN)
        return -ENOMEM;
    memcpy(ret_sig, sig, SIGNATURE_LEN);
    return 0;
}

int ed25519_verify(const uint8_t pub[IDENT_KEY_LEN], const void *msg, size_t len, const uint8_t sig[SIGNATURE_LEN])
{
    EVP_PKEY *key CLEANUP(cleanup_pkey) = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, pub, IDENT_KEY_LEN);
    EVP_MD_CTX *ctx CLEANUP(cleanup_md_ctx) = EVP_MD_CTX_new();

    if (!key || !ctx || EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) != 1)
        return -ENOMEM;
    return EVP_DigestVerify(ctx, sig, SIGNATURE_LEN, msg, len) == 1 ? 0 : -EBADMSG;
}

/* libcrypto computes a public half that it is not given, which doubles the cost of a key agreement. */
static EVP_PKEY *x25519_import(const uint8_t priv[IDENT_KEY_LEN], const uint8_t *pub)
{
    EVP_PKEY_CTX *ctx CLEANUP(cleanup_pkey_ctx) = EVP_PKEY_CTX_new_id(EVP_PKEY_X25519, NULL);
    OSSL_PARAM params[3] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, (void *)(uintptr_t)priv, IDENT_KEY_LEN),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)pub, IDENT_KEY_LEN),
        OSSL_PARAM_END,
    };
    EVP_PKEY *key = NULL;

    if (!pub)
        params[1] = params[2];
    if (!ctx || EVP_PKEY_fromdata_init(ctx) != 1 || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        return NULL;
    return key;
}

int x25519_shared(const uint8_t priv[IDENT_KEY_LEN], const uint8_t *own_pub, const uint8_t pub[IDENT_KEY_LEN],
                  uint8_t ret_shared[IDENT_KEY_LEN])
{
    EVP_PKEY *mine CLEANUP(cleanup_pkey) = x25519_import(priv, own_pub);
    EVP_PKEY *theirs CLEANUP(cleanup_pkey) = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, pub, IDENT_KEY_LEN);
    EVP_PKEY_CTX *ctx CLEANUP(cleanup_pkey_ctx) = mine ? EVP_PKEY_CTX_new(mine, NULL) : NULL;
    uint8_t shared[IDENT_KEY_LEN];
    size_t len = IDENT_KEY_LEN;

    if (!theirs || !ctx || EVP_PKEY_derive_init(ctx) != 1 || EVP_PKEY_derive_set_peer(ctx, theirs) != 1)
        return -ENOMEM;
    /* libcrypto refuses a zero result itself; that it does is not promised in its manual, so it is checked here. */
    if (EVP_PKEY_derive(ctx, shared, &len) != 1 || len != IDENT_KEY_LEN || ident_is_zero(shared, IDENT_KEY_LEN))
        return -EBADMSG;
    memcpy(ret_shared, shared, IDENT_KEY_LEN);
    ident_wipe(shared, sizeof(shared));
    return 0;
}

int identity_generate(struct identity *ret, const struct rng *r)
{
    uint8_t secret[IDENTITY_SECRET_LEN];
    int err;

    rng_fill(r, secret, sizeof(secret));
    err = identity_from_secret(secret, ret);
    ident_wipe(secret, sizeof(secret));
    return err;
}

int identity_from_secret(const uint8_t secret[IDENTITY_SECRET_LEN], struct identity *ret)
{
    struct identity id;
    int err;

    memcpy(id.ed25519_seed, secret, IDENT_KEY_LEN);
    memcpy(id.x25519_priv, secret + IDENT_KEY_LEN, IDENT_KEY_LEN);
    err = ed25519_public(id.ed25519_seed, id.ed25519);
    if (err == 0)
        err = x25519_public(id.x25519_priv, id.x25519);
    if (err == 0)
        err = binding_sign(id.ed25519_seed, id.x25519, id.binding_sig);
    if (err == 0)
        *ret = id;
    identity_wipe(&id);
    return err;
}

void identity_secret_encode(const struct identity *id, char out[KEY_TEXT_SIZE])
{
    uint8_t secret[IDENTITY_SECRET_LEN];

    memcpy(secret, id->ed25519_seed, IDENT_KEY_LEN);
    memcpy(secret + IDENT_KEY_LEN, id->x25519_priv, IDENT_KEY_LEN);
    base64_encode(secret, sizeof(secret), out);
    ident_wipe(secret, sizeof(secret));
}

/* Exactly len bytes from exactly 88 characters: 0 or -EINVAL. */
static int text_decode(const char *text, uint8_t *out, size_t len)
{
    if (strnlen(text, KEY_TEXT_SIZE) != KEY_TEXT_LEN || base64_decode(text, out, len) != (int)len)
        return -EINVAL;
    return 0;
}

int identity_secret_decode(const char *text, struct identity *ret)
{
    uint8_t secret[IDENTITY_SECRET_LEN];
    int err = text_decode(text, secret, sizeof(secret));

    if (err == 0)
        err = identity_from_secret(secret, ret);
    ident_wipe(secret, sizeof(secret));
    return err;
}

void identity_wipe(struct identity *id)
{
    ident_wipe(id, sizeof(*id));
}

void identity_peer_key(const struct identity *id, uint8_t suites, struct peer_key *ret)
{
    memcpy(ret->ed25519, id->ed25519, IDENT_KEY_LEN);
    memcpy(ret->x25519, id->x25519, IDENT_KEY_LEN);
    ret->suites = suites & 0x0f;
}

static void binding_message(const uint8_t x25519[IDENT_KEY_LEN], uint8_t out[sizeof(binding_label) + IDENT_KEY_LEN])
{
    memcpy(out, binding_label, sizeof(binding_label));
    memcpy(out + sizeof(binding_label), x25519, IDENT_KEY_LEN);
}

int binding_sign(const uint8_t ed25519_seed[IDENT_KEY_LEN], const uint8_t x25519[IDENT_KEY_LEN],
                 uint8_t ret_sig[SIGNATURE_LEN])
{
    uint8_t msg[sizeof(binding_label) + IDENT_KEY_LEN];

    binding_message(x25519, msg);
    return ed25519_sign(ed25519_seed, msg, sizeof(msg), ret_sig);
}

int binding_verify(const uint8_t ed25519[IDENT_KEY_LEN], const uint8_t x25519[IDENT_KEY_LEN],
                   const uint8_t sig[SIGNATURE_LEN])
{
    uint8_t msg[sizeof(binding_label) + IDENT_KEY_LEN];

    binding_message(x25519, msg);
    return ed25519_verify(ed25519, msg, sizeof(msg), sig);
}

static uint8_t check_byte(const uint8_t *bytes, size_t len)
{
    uint8_t digest[BLAKE2S_LEN];

    blake2s(digest, HASH_PARTS({ bytes, len }));
    return digest[0];
}

void peer_key_write(const struct peer_key *k, uint8_t b[PEER_KEY_LEN])
{
    b[0] = (uint8_t)(PEER_KEY_VERSION << 4 | (k->suites & 0x0f));
    memcpy(b + 1, k->ed25519, IDENT_KEY_LEN);
    memcpy(b + 1 + IDENT_KEY_LEN, k->x25519, IDENT_KEY_LEN);
    b[PEER_KEY_LEN - 1] = check_byte(b, PEER_KEY_LEN - 1);
}

void peer_key_encode(const struct peer_key *k, char out[KEY_TEXT_SIZE])
{
    uint8_t b[PEER_KEY_LEN];

    peer_key_write(k, b);
    base64_encode(b, sizeof(b), out);
}

int peer_key_read(const uint8_t b[PEER_KEY_LEN], struct peer_key *ret)
{
    if (b[PEER_KEY_LEN - 1] != check_byte(b, PEER_KEY_LEN - 1))
        return -EBADMSG;
    if (b[0] >> 4 != PEER_KEY_VERSION || !(b[0] & SUITES_KNOWN))
        return -EPROTONOSUPPORT;
    ret->suites = b[0] & 0x0f;
    memcpy(ret->ed25519, b + 1, IDENT_KEY_LEN);
    memcpy(ret->x25519, b + 1 + IDENT_KEY_LEN, IDENT_KEY_LEN);
    return 0;
}

int peer_key_decode(const char *text, struct peer_key *ret)
{
    uint8_t b[PEER_KEY_LEN];

    return text_decode(text, b, sizeof(b)) != 0 ? -EINVAL : peer_key_read(b, ret);
}

bool peer_key_equal(const struct peer_key *a, const struct peer_key *b)
{
    return memcmp(a->ed25519, b->ed25519, IDENT_KEY_LEN) == 0 && memcmp(a->x25519, b->x25519, IDENT_KEY_LEN) == 0 &&
           a->suites == b->suites;
}
