/* Unit tests of ident/hash.h and ident/schedule.h. */
#include "ident/hash.h"
#include "ident/schedule.h"
#include "tests/unit/hex.h"
#include "tests/unit/test.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

/* RFC 7693 appendix B. */
static void test_blake2s_abc(void **state)
{
    uint8_t out[32], want[32];

    unhex("508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982", want, sizeof(want));
    blake2s(out, HASH_PARTS({ "abc", 3 }));
    assert_memory_equal(out, want, 32);
    blake2s(out, HASH_PARTS({ "a", 1 }, { NULL, 0 }, { "bc", 2 }));
    assert_memory_equal(out, want, 32);
}

/* The deterministic sequence of RFC 7693 appendix E. */
static void selftest_seq(uint8_t *out, size_t len, uint32_t seed)
{
    uint32_t a = 0xdead4bad * seed, b = 1;

    for (size_t i = 0; i < len; i++) {
        uint32_t t = a + b;

        a = b;
        b = t;
        out[i] = (uint8_t)(t >> 24);
    }
}

/* RFC 7693 appendix E: one digest over the digests, plain and keyed, of many lengths. */
static void test_blake2s_grand(void **state)
{
    static const size_t md_lens[] = { 16, 20, 28, 32 }, in_lens[] = { 0, 3, 64, 65, 255, 1024 };
    uint8_t in[1024], md[32], key[32], want[32];
    struct blake2s all, one;

    unhex("6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe", want, sizeof(want));
    blake2s_init(&all, 32, NULL, 0);
    for (size_t i = 0; i < ARRAY_LEN(md_lens); i++) {
        for (size_t j = 0; j < ARRAY_LEN(in_lens); j++) {
            selftest_seq(in, in_lens[j], (uint32_t)in_lens[j]);
            blake2s_init(&one, md_lens[i], NULL, 0);
            blake2s_update(&one, in, in_lens[j]);
            blake2s_final(&one, md);
            blake2s_update(&all, md, md_lens[i]);

            selftest_seq(key, md_lens[i], (uint32_t)md_lens[i]);
            blake2s_init(&one, md_lens[i], key, md_lens[i]);
            blake2s_update(&one, in, in_lens[j]);
            blake2s_final(&one, md);
            blake2s_update(&all, md, md_lens[i]);
        }
    }
    blake2s_final(&all, md);
    assert_memory_equal(md, want, 32);
}

/* Any division of a message gives the digest of libcrypto's BLAKE2s. */
static void test_blake2s_parts(void **state)
{
    uint8_t in[300], got[32], want[32];
    unsigned n;

    selftest_seq(in, sizeof(in), 5);
    for (size_t len = 0; len <= sizeof(in); len += 13) {
        assert_int_equal(EVP_Digest(in, len, want, &n, EVP_blake2s256(), NULL), 1);
        for (size_t cut = 0; cut <= len; cut++) {
            blake2s(got, HASH_PARTS({ in, cut }, { in + cut, len - cut }));
            assert_memory_equal(got, want, 32);
        }
    }
}

static void test_mac16(void **state)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "BLAKE2SMAC", NULL);
    uint8_t in[300], key[32], got[16], want[16];
    size_t size = 16, n;
    OSSL_PARAM params[] = { OSSL_PARAM_construct_size_t("size", &size), OSSL_PARAM_construct_end() };

    selftest_seq(in, sizeof(in), 6);
    selftest_seq(key, sizeof(key), 7);
    assert_non_null(mac);
    for (size_t len = 0; len <= sizeof(in); len += 12) {
        EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);

        assert_int_equal(EVP_MAC_init(ctx, key, sizeof(key), params), 1);
        assert_int_equal(EVP_MAC_update(ctx, in, len), 1);
        assert_int_equal(EVP_MAC_final(ctx, want, &n, sizeof(want)), 1);
        blake2s_mac16(got, key, in, len);
        assert_memory_equal(got, want, 16);
        EVP_MAC_CTX_free(ctx);
    }
    EVP_MAC_free(mac);
}

/* Against libcrypto's HMAC over its own BLAKE2s; the HKDF written out from its definition. */
static void test_hmac_hkdf(void **state)
{
    uint8_t key[100], in[70], got[32], want[32], temp[32], block[33], o1[32], o2[32], o3[32], two[2][32];
    unsigned n;

    selftest_seq(key, sizeof(key), 8);
    selftest_seq(in, sizeof(in), 9);
    for (size_t len = 1; len <= sizeof(key); len += 9) {
        assert_non_null(HMAC(EVP_blake2s256(), key, (int)len, in, sizeof(in), want, &n));
        hmac_blake2s(got, key, len, HASH_PARTS({ in, 30 }, { in + 30, sizeof(in) - 30 }));
        assert_memory_equal(got, want, 32);
    }
    HMAC(EVP_blake2s256(), key, 32, in, 32, temp, &n);
    noise_hkdf(key, in, 32, o1, o2, o3);
    HMAC(EVP_blake2s256(), temp, 32, (const uint8_t *)"\x01", 1, want, &n);
    assert_memory_equal(o1, want, 32);
    memcpy(block, want, 32);
    block[32] = 2;
    HMAC(EVP_blake2s256(), temp, 32, block, 33, want, &n);
    assert_memory_equal(o2, want, 32);
    memcpy(block, want, 32);
    block[32] = 3;
    HMAC(EVP_blake2s256(), temp, 32, block, 33, want, &n);
    assert_memory_equal(o3, want, 32);
    /* An output over its own input. */
    memcpy(two[0], key, 32);
    memcpy(two[1], in, 32);
    noise_hkdf(two[0], two[1], 32, two[0], two[1], NULL);
    assert_memory_equal(two[0], o1, 32);
    assert_memory_equal(two[1], o2, 32);
}

/* NIST, "cSHAKE samples", 1 and 2; without a custom string SHAKE128 of the empty message (FIPS 202 examples). */
static void test_cshake(void **state)
{
    uint8_t in[200], out[32], want[32];

    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)i;
    unhex("c1c36925b6409a04f1b504fcbca9d82b4017277cb5ed2b2065fc1d3814d5aaf5", want, 32);
    assert_int_equal(cshake128(out, 32, in, 4, "Email Signature", 15), 0);
    assert_memory_equal(out, want, 32);
    unhex("c5221d50e4f822d96a2e8881a961420f294b7b24fe3d2094baed2c6524cc166b", want, 32);
    assert_int_equal(cshake128(out, 32, in, 200, "Email Signature", 15), 0);
    assert_memory_equal(out, want, 32);
    unhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26", want, 32);
    assert_int_equal(cshake128(out, 32, NULL, 0, NULL, 0), 0);
    assert_memory_equal(out, want, 32);
}

static void test_compare_and_wipe(void **state)
{
    uint8_t a[40], b[40], zero[40] = { 0 };

    memset(a, 1, sizeof(a));
    memset(b, 1, sizeof(b));
    assert_true(ident_equal(a, b, sizeof(a)));
    for (size_t i = 0; i < sizeof(a); i++) {
        b[i] ^= 0x80;
        assert_false(ident_equal(a, b, sizeof(a)));
        assert_true(ident_equal(a, b, i));
        b[i] ^= 0x80;
        zero[i] = 1;
        assert_false(ident_is_zero(zero, sizeof(zero)));
        zero[i] = 0;
    }
    assert_true(ident_is_zero(zero, sizeof(zero)));
    ident_wipe(a, sizeof(a));
    assert_memory_equal(a, zero, sizeof(a));
    ident_wipe(NULL, 0);
}

/* The definition written out: keyed BLAKE2s by libcrypto over label, path id (big-endian) and direction. */
static void test_schedule(void **state)
{
    static const uint8_t key_msg[] = "hawser path key\0\x01\x02\x03\x04\x01",
                         cid_msg[] = "hawser path cid\0\x01\x02\x03\x04\x01";
    uint8_t master[32], got[32], want[32], seen[64][32];
    uint64_t cids[64];
    size_t n;

    selftest_seq(master, sizeof(master), 10);
    assert_non_null(EVP_Q_mac(NULL, "BLAKE2SMAC", NULL, NULL, NULL, master, 32, key_msg, 21, want, 32, &n));
    schedule_path_key(master, 0x01020304, SCHEDULE_TO_INITIATOR, got);
    assert_memory_equal(got, want, 32);
    assert_non_null(EVP_Q_mac(NULL, "BLAKE2SMAC", NULL, NULL, NULL, master, 32, cid_msg, 21, want, 32, &n));
    assert_true(schedule_cid(master, 0x01020304, SCHEDULE_TO_INITIATOR) == get_be64(want) >> 8);

    for (uint32_t i = 0; i < 64; i++) {
        schedule_path_key(master, i / 2, i % 2, seen[i]);
        cids[i] = schedule_cid(master, i / 2, i % 2);
        assert_int_equal(cids[i] >> 56, 0);
        for (uint32_t j = 0; j < i; j++) {
            assert_memory_not_equal(seen[i], seen[j], 32);
            assert_true(cids[i] != cids[j]);
        }
    }
}

/* FIPS 180-4's "abc" and the empty message, of NIST's example values; and that asking changes nothing. */
static void test_sha256(void **state)
{
    static const uint8_t empty[32] = { 0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4,
                                       0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b,
                                       0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55 };
    static const uint8_t abc[32] = { 0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                     0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                     0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad };
    struct sha256 *s = sha256_new();
    uint8_t out[32];

    assert_non_null(s);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(sha256_get(s, out), 0);
        assert_memory_equal(out, empty, 32);
        assert_int_equal(sha256_update(s, "a", 1), 0);
        assert_int_equal(sha256_get(s, out), 0);
        assert_int_equal(sha256_update(s, "bc", 2), 0);
        assert_int_equal(sha256_get(s, out), 0);
        assert_memory_equal(out, abc, 32);
        assert_int_equal(sha256_restart(s), 0);
    }
    sha256_free(s);
    sha256_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blake2s_abc),      cmocka_unit_test(test_blake2s_grand),
        cmocka_unit_test(test_blake2s_parts),    cmocka_unit_test(test_mac16),
        cmocka_unit_test(test_hmac_hkdf),        cmocka_unit_test(test_cshake),
        cmocka_unit_test(test_sha256),           cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_compare_and_wipe),
    };
    return cmocka_run_group_tests_name("ident_hash", tests, NULL, NULL);
}
