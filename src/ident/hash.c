/* ident/hash.c - see hash.h.
 *
 * BLAKE2s is written out here, from RFC 7693, because libcrypto's needs a heap context and a fetched algorithm for each
 * message (or global state to keep them); this one lives on the stack, cannot fail, and takes about half a microsecond
 * for 300 bytes, key included. A key is a first block of its own, padded with zeros.
 *
 * The ten rounds are unrolled by macro so that the message schedule becomes constant addresses.
 *
 * cSHAKE128: libcrypto's KECCAK-KMAC-128 digest is Keccak with cSHAKE's padding; the prefix bytepad(encode_string(N) ||
 * encode_string(S), 168) is fed to it by us.
 *
 * Limits: BLAKE2s messages below 2^64 bytes; cSHAKE custom strings below 2^61 bytes.
 *
 * Sources: RFC 7693 (BLAKE2s); RFC 2104 (HMAC); Noise revision 34 section 4.3 (HKDF); NIST SP 800-185 (cSHAKE128). */
#include "ident/hash.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

/* RFC 7693 section 2.6: the first 32 bits of the fractions of the square roots of the first eight primes. */
static const uint32_t blake2s_iv[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

/* RFC 7693 section 2.7. */
static const uint8_t blake2s_sigma[10][16] = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }, { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
    { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 }, { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
    { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 }, { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
    { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 }, { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
    { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 }, { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
};

static inline uint32_t rotr32(uint32_t x, unsigned n)
{
    return (x >> n) | (x << (32 - n));
}

#define MIX(r, i, a, b, c, d)                                                                                          \
    do {                                                                                                               \
        a += b + m[blake2s_sigma[r][2 * (i)]];                                                                         \
        d = rotr32(d ^ a, 16);                                                                                         \
        c += d;                                                                                                        \
        b = rotr32(b ^ c, 12);                                                                                         \
        a += b + m[blake2s_sigma[r][2 * (i) + 1]];                                                                     \
        d = rotr32(d ^ a, 8);                                                                                          \
        c += d;                                                                                                        \
        b = rotr32(b ^ c, 7);                                                                                          \
    } while (0)

#define ROUND(r)                                                                                                       \
    do {                                                                                                               \
        MIX(r, 0, v[0], v[4], v[8], v[12]);                                                                            \
        MIX(r, 1, v[1], v[5], v[9], v[13]);                                                                            \
        MIX(r, 2, v[2], v[6], v[10], v[14]);                                                                           \
        MIX(r, 3, v[3], v[7], v[11], v[15]);                                                                           \
        MIX(r, 4, v[0], v[5], v[10], v[15]);                                                                           \
        MIX(r, 5, v[1], v[6], v[11], v[12]);                                                                           \
        MIX(r, 6, v[2], v[7], v[8], v[13]);                                                                            \
        MIX(r, 7, v[3], v[4], v[9], v[14]);                                                                            \
    } while (0)

/* F of RFC 7693 section 3.2 over one block; b->total already counts it. */
static void blake2s_compress(struct blake2s *b, const uint8_t *block, bool last)
{
    uint32_t m[16], v[16];

    memcpy(m, block, BLAKE2S_BLOCK); /* words are little-endian, as the host is (base.h) */
    memcpy(v, b->h, sizeof(b->h));
    memcpy(v + 8, blake2s_iv, sizeof(blake2s_iv));
    v[12] ^= (uint32_t)b->total;
    v[13] ^= (uint32_t)(b->total >> 32);
    if (last)
        v[14] = ~v[14];
    ROUND(0);
    ROUND(1);
    ROUND(2);
    ROUND(3);
    ROUND(4);
    ROUND(5);
    ROUND(6);
    ROUND(7);
    ROUND(8);
    ROUND(9);
    for (unsigned i = 0; i < 8; i++)
        b->h[i] ^= v[i] ^ v[i + 8];
}

void blake2s_init(struct blake2s *b, size_t out_len, const void *key, size_t key_len)
{
    assert(out_len >= 1 && out_len <= BLAKE2S_LEN && key_len <= 32);
    memcpy(b->h, blake2s_iv, sizeof(b->h));
    b->h[0] ^= 0x01010000u ^ (uint32_t)(key_len << 8) ^ (uint32_t)out_len;
    b->total = 0;
    b->out_len = (uint8_t)out_len;
    b->buf_len = 0;
    if (key_len > 0) {
        memcpy(b->buf, key, key_len);
        memset(b->buf + key_len, 0, BLAKE2S_BLOCK - key_len);
        b->buf_len = BLAKE2S_BLOCK;
    }
}

void blake2s_update(struct blake2s *b, const void *data, size_t len)
{
    const uint8_t *p = data;

    /* A full buffer waits: only what follows tells whether it was the last block. */
    while (len > 0) {
        size_t n;

        if (b->buf_len == BLAKE2S_BLOCK) {
            b->total += BLAKE2S_BLOCK;
            blake2s_compress(b, b->buf, false);
            b->buf_len = 0;
        }
        while (b->buf_len == 0 && len > BLAKE2S_BLOCK) {
            b->total += BLAKE2S_BLOCK;
            blake2s_compress(b, p, false);
            p += BLAKE2S_BLOCK;
            len -= BLAKE2S_BLOCK;
        }
        n = MIN(len, (size_t)BLAKE2S_BLOCK - b->buf_len);
        memcpy(b->buf + b->buf_len, p, n);
        b->buf_len = (uint8_t)(b->buf_len + n);
        p += n;
        len -= n;
    }
}

void blake2s_final(struct blake2s *b, uint8_t *out)
{
    b->total += b->buf_len;
    memset(b->buf + b->buf_len, 0, BLAKE2S_BLOCK - b->buf_len);
    blake2s_compress(b, b->buf, true);
    memcpy(out, b->h, b->out_len);
    ident_wipe(b, sizeof(*b));
}

static void update_parts(struct blake2s *b, const struct hash_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        blake2s_update(b, parts[i].data, parts[i].len);
}

void blake2s(uint8_t out[BLAKE2S_LEN], const struct hash_part *parts, size_t count)
{
    struct blake2s b;

    blake2s_init(&b, BLAKE2S_LEN, NULL, 0);
    update_parts(&b, parts, count);
    blake2s_final(&b, out);
}

void blake2s_keyed(uint8_t out[BLAKE2S_LEN], const uint8_t key[32], const struct hash_part *parts, size_t count)
{
    struct blake2s b;

    blake2s_init(&b, BLAKE2S_LEN, key, 32);
    update_parts(&b, parts, count);
    blake2s_final(&b, out);
}

void blake2s_mac16(uint8_t out[MAC16_LEN], const uint8_t key[32], const void *data, size_t len)
{
    struct blake2s b;

    blake2s_init(&b, MAC16_LEN, key, 32);
    blake2s_update(&b, data, len);
    blake2s_final(&b, out);
}

void hmac_blake2s(uint8_t out[BLAKE2S_LEN], const void *key, size_t key_len, const struct hash_part *parts,
                  size_t count)
{
    uint8_t block[BLAKE2S_BLOCK] = { 0 }, inner[BLAKE2S_LEN];
    struct blake2s b;

    if (key_len > BLAKE2S_BLOCK)
        blake2s(block, HASH_PARTS({ key, key_len }));
    else if (key_len > 0)
        memcpy(block, key, key_len);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36;
    blake2s_init(&b, BLAKE2S_LEN, NULL, 0);
    blake2s_update(&b, block, sizeof(block));
    update_parts(&b, parts, count);
    blake2s_final(&b, inner);
    for (size_t i = 0; i < sizeof(block); i++)
        block[i] ^= 0x36 ^ 0x5c;
    blake2s(out, HASH_PARTS({ block, sizeof(block) }, { inner, sizeof(inner) }));
    ident_wipe(block, sizeof(block));
    ident_wipe(inner, sizeof(inner));
}

void noise_hkdf(const uint8_t chaining_key[32], const void *input, size_t input_len, uint8_t *out1, uint8_t *out2,
                uint8_t *out3)
{
    uint8_t temp[32], o1[32], o2[32];

    hmac_blake2s(temp, chaining_key, 32, HASH_PARTS({ input, input_len }));
    hmac_blake2s(o1, temp, 32, HASH_PARTS({ "\x01", 1 }));
    hmac_blake2s(o2, temp, 32, HASH_PARTS({ o1, 32 }, { "\x02", 1 }));
    if (out3)
        hmac_blake2s(out3, temp, 32, HASH_PARTS({ o2, 32 }, { "\x03", 1 }));
    memcpy(out1, o1, 32);
    memcpy(out2, o2, 32);
    ident_wipe(temp, sizeof(temp));
    ident_wipe(o1, sizeof(o1));
    ident_wipe(o2, sizeof(o2));
}

/* An EVP_MD_CTX under a name of ours: nobody else need know libcrypto. */
static EVP_MD_CTX *context(const struct sha256 *s)
{
    return (EVP_MD_CTX *)(uintptr_t)s;
}

struct sha256 *sha256_new(void)
{
    struct sha256 *s = (struct sha256 *)EVP_MD_CTX_new();

    if (s && sha256_restart(s) < 0) {
        sha256_free(s);
        s = NULL;
    }
    return s;
}

void sha256_free(struct sha256 *s)
{
    EVP_MD_CTX_free(context(s));
}

int sha256_restart(struct sha256 *s)
{
    return EVP_DigestInit_ex(context(s), EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int sha256_update(struct sha256 *s, const void *data, size_t len)
{
    return EVP_DigestUpdate(context(s), data, len) == 1 ? 0 : -ENOMEM;
}

int sha256_get(const struct sha256 *s, uint8_t out[32])
{
    EVP_MD_CTX *copy = EVP_MD_CTX_new();
    bool ok = copy && EVP_MD_CTX_copy_ex(copy, context(s)) == 1 && EVP_DigestFinal_ex(copy, out, NULL) == 1;

    EVP_MD_CTX_free(copy);
    return ok ? 0 : -ENOMEM;
}

#define KECCAK128_RATE 168 /* bytes: 1600 - 2 * 128 bits */

/* left_encode of SP 800-185 section 2.3.1; returns its length, at most 9. */
static size_t left_encode(uint64_t v, uint8_t out[9])
{
    size_t n = 1;

    while (n < 8 && v >> (8 * n))
        n++;
    out[0] = (uint8_t)n;
    for (size_t i = 0; i < n; i++)
        out[1 + i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    return n + 1;
}

int cshake128(uint8_t *out, size_t out_len, const void *data, size_t len, const void *custom, size_t custom_len)
{
    static const uint8_t zeros[KECCAK128_RATE];
    EVP_MD *md = EVP_MD_fetch(NULL, custom_len > 0 ? "KECCAK-KMAC-128" : "SHAKE128", NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = md && ctx && EVP_DigestInit_ex(ctx, md, NULL) == 1;

    if (ok && custom_len > 0) {
        /* left_encode(168), the empty function name, the length of the custom string in bits, the string, padding. */
        uint8_t head[4 + 9] = { 1, KECCAK128_RATE, 1, 0 };
        size_t head_len = 4 + left_encode((uint64_t)custom_len * 8, head + 4);
        size_t tail = (head_len + custom_len) % KECCAK128_RATE;

        ok = EVP_DigestUpdate(ctx, head, head_len) == 1 && EVP_DigestUpdate(ctx, custom, custom_len) == 1 &&
             (tail == 0 || EVP_DigestUpdate(ctx, zeros, KECCAK128_RATE - tail) == 1);
    }
    ok = ok && EVP_DigestUpdate(ctx, data, len) == 1 && EVP_DigestFinalXOF(ctx, out, out_len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_MD_free(md);
    return ok ? 0 : -ENOMEM;
}

void ident_wipe(void *p, size_t len)
{
    if (len > 0)
        OPENSSL_cleanse(p, len);
}

bool ident_equal(const void *a, const void *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}

bool ident_is_zero(const void *p, size_t len)
{
    const uint8_t *b = p;
    uint8_t any = 0;

    for (size_t i = 0; i < len; i++)
        any |= b[i];
    return any == 0;
}
