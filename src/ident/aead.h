/* ident/aead.h - authenticated encryption of records under one key.
 *
 * One context holds one key for its whole life; sealing and opening set the nonce only and allocate nothing. The nonce
 * is that of Noise: four zero bytes and the 64-bit counter, little-endian for ChaCha20-Poly1305, big-endian for
 * AES-256-GCM. The caller must never seal twice with one counter. A context is for one thread at a time. */
#pragma once

#include "base/base.h"
#include "ident/suite.h"

#define AEAD_KEY_LEN 32
#define AEAD_TAG_LEN 16
#define AEAD_LEN_MAX                                                                                                   \
    ((size_t)1 << 20) /* bytes of text or of associated data in one call; chosen: far above a datagram */

/* Implementations of the same ciphers, the slowest first. */
enum aead_engine { AEAD_LIBCRYPTO, AEAD_IPSEC_MB, AEAD_ENGINE_COUNT };

struct aead;

/* NULL if the suite is unknown or memory is short. The key is copied into the cipher's state. */
struct aead *aead_new(enum suite suite, const uint8_t key[AEAD_KEY_LEN]);
/* By a certain engine, for tests and benchmarks: NULL also where that was not built in or the processor lacks it. */
struct aead *aead_new_by(enum aead_engine e, enum suite suite, const uint8_t key[AEAD_KEY_LEN]);
/* The fastest that was built in and that this processor can run. */
enum aead_engine aead_engine_best(void);
/* "none" for one that was not built in. */
const char *aead_engine_name(enum aead_engine e);
/* Wipes the key. Accepts NULL. */
void aead_free(struct aead *a);

/* Writes len + 16 bytes to out: the ciphertext and then the tag. in == out is allowed, other overlaps are not.
 * 0; -EMSGSIZE above AEAD_LEN_MAX; -EOVERFLOW for counter 2^64-1, which Noise reserves; -EIO if the cipher fails, and
 * then out is zero. */
MUST_CHECK int aead_seal(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in,
                         size_t len, uint8_t *out);
/* Writes len - 16 bytes to out; len includes the tag, which comes last. in == out is allowed, other overlaps are not.
 * 0, or -EBADMSG if the record is not authentic or too short, and then out is zero. */
MUST_CHECK int aead_open(struct aead *a, uint64_t counter, const uint8_t *aad, size_t aad_len, const uint8_t *in,
                         size_t len, uint8_t *out);
