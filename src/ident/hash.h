/* ident/hash.h - BLAKE2s and what is built on it, SHA-256, cSHAKE128, constant-time comparison, wiping.
 *
 * Messages are given in parts so that nobody has to join them first: blake2s(out, HASH_PARTS({ a, 32 }, { b, n })). */
#pragma once

#include "base/base.h"

#define BLAKE2S_LEN 32   /* bytes of a full digest */
#define BLAKE2S_BLOCK 64 /* bytes */
#define MAC16_LEN 16

struct hash_part {
    const void *data; /* may be NULL when len is 0 */
    size_t len;
};

/* Expands to two arguments: an array of parts and their number. */
#define HASH_PARTS(...)                                                                                                \
    (const struct hash_part[]){ __VA_ARGS__ },                                                                         \
        sizeof((const struct hash_part[]){ __VA_ARGS__ }) / sizeof(struct hash_part)

/* An unfinished BLAKE2s. May be copied to hash several messages with a common beginning. */
struct blake2s {
    uint32_t h[8];
    uint64_t total;  /* bytes compressed; blake2s_final adds those in buf */
    uint8_t out_len; /* 1..32 */
    uint8_t buf_len; /* 0..64 */
    uint8_t buf[BLAKE2S_BLOCK];
};

/* out_len 1..32 bytes; key_len 0..32 bytes (0: no key). */
void blake2s_init(struct blake2s *b, size_t out_len, const void *key, size_t key_len);
void blake2s_update(struct blake2s *b, const void *data, size_t len);
/* Writes out_len bytes and wipes b. */
void blake2s_final(struct blake2s *b, uint8_t *out);

/* BLAKE2s-256 of the parts, one after the other. out may be one of the parts. */
void blake2s(uint8_t out[BLAKE2S_LEN], const struct hash_part *parts, size_t count);
/* Keyed BLAKE2s with 32 bytes of output. */
void blake2s_keyed(uint8_t out[BLAKE2S_LEN], const uint8_t key[32], const struct hash_part *parts, size_t count);
/* Keyed BLAKE2s with 16 bytes of output: for filtering floods, so it must cost well under 1 us for 300 bytes. */
void blake2s_mac16(uint8_t out[MAC16_LEN], const uint8_t key[32], const void *data, size_t len);

/* HMAC (RFC 2104) over BLAKE2s, key of any length. */
void hmac_blake2s(uint8_t out[BLAKE2S_LEN], const void *key, size_t key_len, const struct hash_part *parts,
                  size_t count);
/* Noise's HKDF (revision 34 section 4.3): count is 2 or 3. An output may be the chaining key or the input. */
void noise_hkdf(const uint8_t chaining_key[32], const void *input, size_t input_len, uint8_t *out1, uint8_t *out2,
                uint8_t *out3);

/* An unfinished SHA-256 (FIPS 180-4), of libcrypto: several times as fast as BLAKE2s where the processor knows it,
 * which is what whole files want. NULL when out of memory. */
struct sha256;
struct sha256 *sha256_new(void);
/* Accepts NULL. */
void sha256_free(struct sha256 *s);
/* All return 0, or -ENOMEM. */
MUST_CHECK int sha256_restart(struct sha256 *s);
MUST_CHECK int sha256_update(struct sha256 *s, const void *data, size_t len);
/* Of what was given so far; more may follow. */
MUST_CHECK int sha256_get(const struct sha256 *s, uint8_t out[32]);

/* cSHAKE128 (NIST SP 800-185) with an empty function name; without a custom string that is SHAKE128.
 * 0, or -ENOMEM if libcrypto has no memory or no such digest. */
MUST_CHECK int cshake128(uint8_t *out, size_t out_len, const void *data, size_t len, const void *custom,
                         size_t custom_len);

/* Clears memory in a way that the compiler keeps. Accepts NULL with length 0. */
void ident_wipe(void *p, size_t len);
/* True if equal, in time that depends on len only. */
bool ident_equal(const void *a, const void *b, size_t len);
/* True if all bytes are zero, in time that depends on len only. */
bool ident_is_zero(const void *p, size_t len);
