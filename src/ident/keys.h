/* ident/keys.h - Ed25519 and X25519 keys, a host's identity, and the text that people copy.
 *
 * An identity is an Ed25519 key (who one is: tags are its hash, records are signed by it) and an X25519 key for
 * handshakes, which the former signs. Both text forms are 88 characters: a secret is base64 of 64 bytes and ends in
 * "==", a public one is base64 of 66 bytes without padding, so neither is taken for the other. */
#pragma once

#include "base/base.h"
#include "base/rng.h"

#define IDENT_KEY_LEN 32
#define SIGNATURE_LEN 64
#define IDENTITY_SECRET_LEN 64
#define KEY_TEXT_LEN 88                  /* characters of either text form */
#define KEY_TEXT_SIZE (KEY_TEXT_LEN + 1) /* and the NUL */
#define PEER_KEY_LEN 66
#define PEER_KEY_VERSION 1

struct identity {
    uint8_t ed25519_seed[IDENT_KEY_LEN]; /* secret */
    uint8_t ed25519[IDENT_KEY_LEN];
    uint8_t x25519_priv[IDENT_KEY_LEN]; /* secret */
    uint8_t x25519[IDENT_KEY_LEN];
    uint8_t binding_sig[SIGNATURE_LEN]; /* of x25519 by ed25519: see binding_sign */
};

/* What one must know of a peer to call it. */
struct peer_key {
    uint8_t ed25519[IDENT_KEY_LEN];
    uint8_t x25519[IDENT_KEY_LEN];
    uint8_t suites; /* set of SUITE_BIT, 4 bits */
};

/* Key primitives. All return 0, or -ENOMEM, or what is said. */
MUST_CHECK int ed25519_public(const uint8_t seed[IDENT_KEY_LEN], uint8_t ret_pub[IDENT_KEY_LEN]);
MUST_CHECK int ed25519_sign(const uint8_t seed[IDENT_KEY_LEN], const void *msg, size_t len,
                            uint8_t ret_sig[SIGNATURE_LEN]);
/* -EBADMSG if the signature is not by this key over this message. */
MUST_CHECK int ed25519_verify(const uint8_t pub[IDENT_KEY_LEN], const void *msg, size_t len,
                              const uint8_t sig[SIGNATURE_LEN]);
MUST_CHECK int x25519_public(const uint8_t priv[IDENT_KEY_LEN], uint8_t ret_pub[IDENT_KEY_LEN]);
/* own_pub is the public half of priv, or NULL, which costs twice the time. -EBADMSG for a peer's key of low order,
 * whose shared secret would be zero whatever the private key. */
MUST_CHECK int x25519_shared(const uint8_t priv[IDENT_KEY_LEN], const uint8_t *own_pub,
                             const uint8_t pub[IDENT_KEY_LEN], uint8_t ret_shared[IDENT_KEY_LEN]);

/* A new identity from 64 bytes of r, which must be a cryptographic source outside tests. 0 or -ENOMEM. */
MUST_CHECK int identity_generate(struct identity *ret, const struct rng *r);
/* secret: the Ed25519 seed and then the X25519 private key. 0 or -ENOMEM. */
MUST_CHECK int identity_from_secret(const uint8_t secret[IDENTITY_SECRET_LEN], struct identity *ret);
/* The text form of the secret. */
void identity_secret_encode(const struct identity *id, char out[KEY_TEXT_SIZE]);
/* 0, -EINVAL (not 88 characters of base64 for 64 bytes) or -ENOMEM. */
MUST_CHECK int identity_secret_decode(const char *text, struct identity *ret);
void identity_wipe(struct identity *id);
/* The public side, for a peer. */
void identity_peer_key(const struct identity *id, uint8_t suites, struct peer_key *ret);

/* The signature of an X25519 key by an Ed25519 key, under a label of its own. */
MUST_CHECK int binding_sign(const uint8_t ed25519_seed[IDENT_KEY_LEN], const uint8_t x25519[IDENT_KEY_LEN],
                            uint8_t ret_sig[SIGNATURE_LEN]);
/* 0, -EBADMSG or -ENOMEM. */
MUST_CHECK int binding_verify(const uint8_t ed25519[IDENT_KEY_LEN], const uint8_t x25519[IDENT_KEY_LEN],
                              const uint8_t sig[SIGNATURE_LEN]);

/* 66 bytes: version (1) in the high and suites in the low half of the first, Ed25519, X25519, and the first byte of
 * BLAKE2s over the 65 before. */
void peer_key_write(const struct peer_key *k, uint8_t out[PEER_KEY_LEN]);
/* 0, -EBADMSG or -EPROTONOSUPPORT, as peer_key_decode. */
MUST_CHECK int peer_key_read(const uint8_t in[PEER_KEY_LEN], struct peer_key *ret);
/* Base64 of these bytes. */
void peer_key_encode(const struct peer_key *k, char out[KEY_TEXT_SIZE]);
/* 0; -EINVAL: not 88 characters of base64; -EBADMSG: the check byte is wrong (a typo, most likely);
 * -EPROTONOSUPPORT: whole, but of a version that we do not know or without a suite that we know. */
MUST_CHECK int peer_key_decode(const char *text, struct peer_key *ret);
bool peer_key_equal(const struct peer_key *a, const struct peer_key *b);
