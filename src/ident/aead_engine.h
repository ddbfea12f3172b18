/* ident/aead_engine.h - what an implementation of the ciphers gives to aead.c; a new one is one file and one row there.
 *
 * Lengths and counters are checked by aead.c, which also wipes what was not authentic. */
#pragma once

#include "ident/aead.h"

#define AEAD_NONCE_LEN 12

/* Every engine's own struct begins with this. */
struct aead {
    const struct aead_ops *ops;
    enum suite suite;
};

struct aead_ops {
    const char *name;
    /* This processor can. */
    bool (*works)(void);
    /* NULL when memory is short. aead.c sets the fields above. */
    struct aead *(*make)(enum suite suite, const uint8_t key[AEAD_KEY_LEN]);
    /* Wipes the key. */
    void (*destroy)(struct aead *a);
    /* Ciphertext of len bytes to out, and the tag to tag. */
    bool (*seal)(struct aead *a, const uint8_t nonce[AEAD_NONCE_LEN], const uint8_t *aad, size_t aad_len,
                 const uint8_t *in, size_t len, uint8_t *out, uint8_t tag[AEAD_TAG_LEN]);
    /* True if the tag is right; the text goes to out in any case. */
    bool (*open)(struct aead *a, const uint8_t nonce[AEAD_NONCE_LEN], const uint8_t *aad, size_t aad_len,
                 const uint8_t *in, size_t len, const uint8_t tag[AEAD_TAG_LEN], uint8_t *out);
};

extern const struct aead_ops aead_libcrypto;
#ifdef HAVE_IPSEC_MB
extern const struct aead_ops aead_ipsec_mb;
#endif
