/* Unit tests of ident/suite.h and ident/aead.h. */
#include "ident/aead.h"
#include "ident/suite.h"
#include "tests/unit/hex.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <openssl/evp.h>

static enum aead_engine engine; /* under test */

static const enum suite suites[] = { SUITE_CHACHA20_POLY1305, SUITE_AES256_GCM };

static void test_choice(void **state)
{
    uint8_t chacha = SUITE_BIT(SUITE_CHACHA20_POLY1305), both = chacha | SUITE_BIT(SUITE_AES256_GCM);

    assert_int_equal(suite_choose(both, both), SUITE_AES256_GCM);
    assert_int_equal(suite_choose(both, chacha), SUITE_CHACHA20_POLY1305);
    assert_int_equal(suite_choose(chacha, both), SUITE_CHACHA20_POLY1305);
    assert_int_equal(suite_choose(0, 0), SUITE_CHACHA20_POLY1305);
    assert_int_equal(suite_choose(0xf0 | both, both), SUITE_AES256_GCM);
    assert_true(suite_supported() & chacha);
    assert_int_equal(suite_supported() & ~both, 0);
    assert_false(suite_known(0));
    assert_false(suite_known(3));
}

/* RFC 8439 appendix A.5; its nonce is 4 zero bytes and 01..08, so the counter is 0x0807060504030201. */
static void test_chacha_rfc8439(void **state)
{
    uint8_t key[32], aad[12], record[265 + 16], copy[sizeof(record)], text[265];
    struct aead *a;

    unhex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0", key, sizeof(key));
    unhex("f33388860000000000004e91", aad, sizeof(aad));
    unhex("64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b"
          "0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c8559797a06ef4f0ef61c186324e"
          "2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf45"
          "34d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a10"
          "73a6727627097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b02709b"
          "eead9d67890cbb22392336fea1851f38",
          record, sizeof(record));
    a = aead_new_by(engine, SUITE_CHACHA20_POLY1305, key);
    assert_non_null(a);
    assert_int_equal(aead_open(a, 0x0807060504030201, aad, sizeof(aad), record, sizeof(record), text), 0);
    assert_memory_equal(text, "Internet-Drafts are draft documents valid", 41);
    assert_int_equal(aead_seal(a, 0x0807060504030201, aad, sizeof(aad), text, sizeof(text), copy), 0);
    assert_memory_equal(copy, record, sizeof(record));
    aead_free(a);
}

/* "The Galois/Counter Mode of Operation" (McGrew, Viega), appendix B, test cases 13 and 14: all zero. */
static void test_gcm_published(void **state)
{
    uint8_t key[32] = { 0 }, zero[16] = { 0 }, out[32], want[32];
    struct aead *a = aead_new_by(engine, SUITE_AES256_GCM, key);

    assert_non_null(a);
    unhex("530f8afbc74536b9a963b4f1c4cb738b", want, 16);
    assert_int_equal(aead_seal(a, 0, NULL, 0, NULL, 0, out), 0);
    assert_memory_equal(out, want, 16);
    unhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919", want, 32);
    assert_int_equal(aead_seal(a, 0, NULL, 0, zero, 16, out), 0);
    assert_memory_equal(out, want, 32);
    assert_int_equal(aead_open(a, 0, NULL, 0, out, 32, out), 0);
    assert_memory_equal(out, zero, 16);
    aead_free(a);
}

/* The same record through libcrypto's own interface with a nonce written out by hand. */
static void test_nonce_byte_order(void **state)
{
    static const uint8_t nonces[2][12] = { { 0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1 },
                                           { 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8 } };
    uint8_t key[32], text[100], got[116], want[116];

    memset(key, 0x5a, sizeof(key));
    memset(text, 0xa5, sizeof(text));
    for (size_t i = 0; i < 2; i++) {
        EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
        struct aead *a = aead_new_by(engine, suites[i], key);
        int n;

        assert_int_equal(EVP_EncryptInit_ex(c, i ? EVP_aes_256_gcm() : EVP_chacha20_poly1305(), NULL, key, nonces[i]),
                         1);
        assert_int_equal(EVP_EncryptUpdate(c, NULL, &n, (const uint8_t *)"header", 6), 1);
        assert_int_equal(EVP_EncryptUpdate(c, want, &n, text, sizeof(text)), 1);
        assert_int_equal(EVP_EncryptFinal_ex(c, want + n, &n), 1);
        assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, want + 100), 1);
        assert_int_equal(aead_seal(a, 0x0102030405060708, (const uint8_t *)"header", 6, text, sizeof(text), got), 0);
        assert_memory_equal(got, want, sizeof(want));
        EVP_CIPHER_CTX_free(c);
        aead_free(a);
    }
}

static void test_reuse_and_tamper(void **state)
{
    static const size_t lens[] = { 0, 1, 15, 16, 17, 64, 1400 };
    uint8_t key[32] = { 7 }, aad[9] = { 1, 2, 3 }, buf[1416], clear[1416], zero[1416] = { 0 };

    for (size_t i = 0; i < 2 * ARRAY_LEN(lens); i++) {
        size_t len = lens[i / 2];
        struct aead *a = aead_new_by(engine, suites[i % 2], key), *b = aead_new_by(engine, suites[i % 2], key);

        memset(clear, 0x33, len);
        memcpy(buf, clear, len);
        /* In place, and one context both ways with another record in between. */
        assert_int_equal(aead_seal(a, i, aad, sizeof(aad), buf, len, buf), 0);
        assert_int_equal(aead_open(b, i, aad, sizeof(aad), buf, len + 16, buf), 0);
        assert_memory_equal(buf, clear, len);
        assert_int_equal(aead_seal(b, i + 1, NULL, 0, buf, len, buf), 0);
        assert_int_equal(aead_open(a, i + 1, NULL, 0, buf, len + 16, buf), 0);
        assert_memory_equal(buf, clear, len);

        for (size_t at = 0; at<len + 16; at += len> 100 ? 37 : 1) {
            assert_int_equal(aead_seal(a, 9, aad, sizeof(aad), clear, len, buf), 0);
            buf[at] ^= 0x80;
            assert_int_equal(aead_open(b, 9, aad, sizeof(aad), buf, len + 16, buf), -EBADMSG);
            assert_memory_equal(buf, zero, len); /* what is not authentic is not given out */
        }
        assert_int_equal(aead_seal(a, 9, aad, sizeof(aad), clear, len, buf), 0);
        assert_int_equal(aead_open(b, 8, aad, sizeof(aad), buf, len + 16, buf), -EBADMSG);
        assert_int_equal(aead_seal(a, 9, aad, sizeof(aad), clear, len, buf), 0);
        assert_int_equal(aead_open(b, 9, aad, sizeof(aad) - 1, buf, len + 16, buf), -EBADMSG);
        assert_int_equal(aead_open(b, 9, aad, sizeof(aad), buf, 15, buf), -EBADMSG);
        aead_free(a);
        aead_free(b);
    }
}

static void test_limits(void **state)
{
    uint8_t key[32] = { 0 }, out[16];
    struct aead *a = aead_new_by(engine, SUITE_AES256_GCM, key);

    assert_null(aead_new_by(engine, (enum suite)3, key));
    assert_null(aead_new_by(AEAD_ENGINE_COUNT, SUITE_AES256_GCM, key));
    assert_int_equal(aead_seal(a, UINT64_MAX, NULL, 0, NULL, 0, out), -EOVERFLOW);
    assert_int_equal(aead_seal(a, 0, NULL, 0, out, AEAD_LEN_MAX + 1, out), -EMSGSIZE);
    aead_free(a);
    aead_free(NULL);
    /* RFC 9001 section 6.6 */
    assert_true(suite_seal_limit(SUITE_AES256_GCM) == 8388608);
    assert_true(suite_forgery_limit(SUITE_AES256_GCM) == 4503599627370496);
    assert_true(suite_forgery_limit(SUITE_CHACHA20_POLY1305) == 68719476736);
}

/* What one engine seals every other opens, at each length around the blocks of both ciphers and of 512-bit registers.
 */
static void test_engines_agree(void **state)
{
    uint8_t key[32] = { 3 }, aad[16] = { 9 }, text[1500], one[1516], two[1516];

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 7);
    for (size_t len = 0; len <= sizeof(text); len += len < 300 ? 1 : 47) {
        struct aead *a = aead_new_by(engine, suites[len % 2], key),
                    *b = aead_new_by(AEAD_LIBCRYPTO, suites[len % 2], key);

        assert_int_equal(aead_seal(a, len, aad, sizeof(aad), text, len, one), 0);
        assert_int_equal(aead_seal(b, len, aad, sizeof(aad), text, len, two), 0);
        assert_memory_equal(one, two, len + 16);
        assert_int_equal(aead_open(a, len, aad, sizeof(aad), two, len + 16, two), 0);
        assert_memory_equal(two, text, len);
        aead_free(a);
        aead_free(b);
    }
}

/* An engine that is not built in, or not for this processor, has nothing to show. */
static void test_engine_is_here(void **state)
{
    static const uint8_t key[32] = { 1 };
    struct aead *a = aead_new_by(engine, SUITE_AES256_GCM, key);

    if (!a)
        skip();
    aead_free(a);
}

static int pick(void **state)
{
    engine = *(const enum aead_engine *)*state;
    return 0;
}

#define BY(e, test)                                                                                                    \
    {                                                                                                                  \
#test " by " #e, test, pick, NULL, (void *)(uintptr_t) & (const enum aead_engine)                              \
        {                                                                                                              \
            e                                                                                                          \
        }                                                                                                              \
    }
#define ALL_BY(e)                                                                                                      \
    BY(e, test_engine_is_here), BY(e, test_chacha_rfc8439), BY(e, test_gcm_published), BY(e, test_nonce_byte_order),   \
        BY(e, test_reuse_and_tamper), BY(e, test_limits), BY(e, test_engines_agree)

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_choice), ALL_BY(AEAD_LIBCRYPTO), ALL_BY(AEAD_IPSEC_MB) };
    const struct CMUnitTest without[] = { cmocka_unit_test(test_choice), ALL_BY(AEAD_LIBCRYPTO),
                                          BY(AEAD_IPSEC_MB, test_engine_is_here) };

    if (aead_engine_best() == AEAD_IPSEC_MB)
        return cmocka_run_group_tests_name("suite_aead", tests, NULL, NULL);
    return cmocka_run_group_tests_name("suite_aead", without, NULL, NULL);
}
