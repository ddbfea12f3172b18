/* Unit tests of ident/keys.h. */
#include "ident/keys.h"

#include "base/text.h"
#include "ident/hash.h"
#include "ident/suite.h"
#include "tests/unit/hex.h"
#include "tests/unit/test.h"

#include <errno.h>

/* RFC 8032 section 7.1, tests 1 and 2. */
static void test_ed25519(void **state)
{
    static const struct {
        const char *seed, *pub, *msg, *sig;
    } vectors[] = {
        { "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
          "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
          "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595b"
          "be24"
          "655141438e7a100b" },
        { "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
          "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb430"
          "2aee"
          "b00d291612bb0c00" },
    };

    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        uint8_t seed[32], pub[32], want_pub[32], msg[1], sig[64], want_sig[64];
        size_t len = unhex(vectors[i].msg, msg, sizeof(msg));

        unhex(vectors[i].seed, seed, 32);
        unhex(vectors[i].pub, want_pub, 32);
        unhex(vectors[i].sig, want_sig, 64);
        assert_int_equal(ed25519_public(seed, pub), 0);
        assert_memory_equal(pub, want_pub, 32);
        assert_int_equal(ed25519_sign(seed, msg, len, sig), 0);
        assert_memory_equal(sig, want_sig, 64);
        assert_int_equal(ed25519_verify(pub, msg, len, sig), 0);
        for (size_t at = 0; at < 64; at++) {
            sig[at] ^= 1;
            assert_int_equal(ed25519_verify(pub, msg, len, sig), -EBADMSG);
            sig[at] ^= 1;
        }
    }
}

/* RFC 7748 section 6.1, and points of low order (section 7 and the list in "Curve25519", Bernstein 2006). */
static void test_x25519(void **state)
{
    static const char *low_order[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };
    uint8_t a[32], b[32], pub_a[32], pub_b[32], want[32], got[32];

    unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", a, 32);
    unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", b, 32);
    assert_int_equal(x25519_public(a, pub_a), 0);
    assert_int_equal(x25519_public(b, pub_b), 0);
    unhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a", want, 32);
    assert_memory_equal(pub_a, want, 32);
    unhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f", want, 32);
    assert_memory_equal(pub_b, want, 32);
    unhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742", want, 32);
    assert_int_equal(x25519_shared(a, pub_a, pub_b, got), 0);
    assert_memory_equal(got, want, 32);
    assert_int_equal(x25519_shared(b, NULL, pub_a, got), 0);
    assert_memory_equal(got, want, 32);

    for (size_t i = 0; i < ARRAY_LEN(low_order); i++) {
        unhex(low_order[i], pub_b, 32);
        assert_int_equal(x25519_shared(a, pub_a, pub_b, got), -EBADMSG);
        assert_int_equal(x25519_shared(a, NULL, pub_b, got), -EBADMSG);
    }
}

static void test_identity(void **state)
{
    struct prng p;
    struct rng r;
    struct identity id, back, other;
    uint8_t zero[sizeof(id)] = { 0 }, pub[32];
    char text[KEY_TEXT_SIZE];

    prng_init(&p, 1);
    r = prng_rng(&p);
    assert_int_equal(identity_generate(&id, &r), 0);
    assert_int_equal(identity_generate(&other, &r), 0);
    assert_memory_not_equal(id.ed25519, other.ed25519, 32);
    assert_int_equal(ed25519_public(id.ed25519_seed, pub), 0);
    assert_memory_equal(pub, id.ed25519, 32);
    assert_int_equal(x25519_public(id.x25519_priv, pub), 0);
    assert_memory_equal(pub, id.x25519, 32);

    identity_secret_encode(&id, text);
    assert_int_equal(strlen(text), KEY_TEXT_LEN);
    assert_int_equal(identity_secret_decode(text, &back), 0);
    assert_memory_equal(&back, &id, sizeof(id));

    /* The binding holds for this pair of keys and no other, and is not a bare signature of the key. */
    assert_int_equal(binding_verify(id.ed25519, id.x25519, id.binding_sig), 0);
    assert_int_equal(binding_verify(other.ed25519, id.x25519, id.binding_sig), -EBADMSG);
    assert_int_equal(binding_verify(id.ed25519, other.x25519, id.binding_sig), -EBADMSG);
    assert_int_equal(ed25519_verify(id.ed25519, id.x25519, 32, id.binding_sig), -EBADMSG);

    identity_wipe(&id);
    assert_memory_equal(&id, zero, sizeof(id));
}

static void test_secret_text_refused(void **state)
{
    struct identity id;
    char text[200];

    memset(text, 'A', sizeof(text));
    text[88] = '\0';
    assert_int_equal(identity_secret_decode(text, &id), -EINVAL); /* 66 bytes: a public key's length */
    memcpy(text + 86, "==", 3);
    assert_int_equal(identity_secret_decode(text, &id), 0);
    text[87] = '\0';
    assert_int_equal(identity_secret_decode(text, &id), -EINVAL);
    memcpy(text + 86, "==A", 4);
    assert_int_equal(identity_secret_decode(text, &id), -EINVAL);
    assert_int_equal(identity_secret_decode("", &id), -EINVAL);
}

static void some_peer(struct peer_key *k)
{
    memset(k->ed25519, 0x11, 32);
    memset(k->x25519, 0x22, 32);
    k->suites = SUITES_KNOWN;
}

/* The layout by hand: version and suites, the keys, and BLAKE2s of those. */
static void test_peer_key_layout(void **state)
{
    struct peer_key k, back;
    uint8_t b[66], digest[32];
    char text[KEY_TEXT_SIZE], want[KEY_TEXT_SIZE];

    some_peer(&k);
    peer_key_encode(&k, text);
    b[0] = 0x13;
    memset(b + 1, 0x11, 32);
    memset(b + 33, 0x22, 32);
    blake2s(digest, HASH_PARTS({ b, 65 }));
    b[65] = digest[0];
    base64_encode(b, 66, want);
    assert_string_equal(text, want);
    assert_int_equal(strlen(text), 88);
    assert_int_equal(peer_key_decode(text, &back), 0);
    assert_true(peer_key_equal(&k, &back));
}

static int decode_bytes(uint8_t first, bool good_check)
{
    struct peer_key k;
    uint8_t b[66] = { first }, digest[32];
    char text[KEY_TEXT_SIZE];

    blake2s(digest, HASH_PARTS({ b, 65 }));
    b[65] = good_check ? digest[0] : (uint8_t)~digest[0];
    base64_encode(b, 66, text);
    return peer_key_decode(text, &k);
}

static void test_peer_key_errors(void **state)
{
    struct prng p;
    struct rng r;
    struct identity id;
    struct peer_key k;
    char text[KEY_TEXT_SIZE], typo[KEY_TEXT_SIZE + 1];
    unsigned caught = 0;

    assert_int_equal(decode_bytes(0x11, true), 0);
    assert_int_equal(decode_bytes(0x1b, true), 0); /* suites to come are kept */
    assert_int_equal(decode_bytes(0x11, false), -EBADMSG);
    assert_int_equal(decode_bytes(0x21, true), -EPROTONOSUPPORT);
    assert_int_equal(decode_bytes(0x21, false), -EBADMSG);
    assert_int_equal(decode_bytes(0x10, true), -EPROTONOSUPPORT);
    assert_int_equal(decode_bytes(0x1c, true), -EPROTONOSUPPORT);

    some_peer(&k);
    peer_key_encode(&k, text);
    assert_int_equal(peer_key_decode("", &k), -EINVAL);
    memcpy(typo, text, sizeof(text));
    typo[87] = '\0';
    assert_int_equal(peer_key_decode(typo, &k), -EINVAL);
    memcpy(typo, text, sizeof(text));
    memcpy(typo + 88, "A", 2);
    assert_int_equal(peer_key_decode(typo, &k), -EINVAL);
    memcpy(typo, text, sizeof(text));
    typo[40] = ' ';
    assert_int_equal(peer_key_decode(typo, &k), -EINVAL);

    /* Each single typo is caught by the check byte with probability 255/256, or spoils the check byte itself. */
    for (size_t i = 0; i < 88; i++) {
        memcpy(typo, text, sizeof(text));
        typo[i] = typo[i] == 'A' ? 'B' : 'A';
        caught += peer_key_decode(typo, &k) == -EBADMSG;
    }
    assert_true(caught >= 84);

    /* A secret where a public key belongs. */
    prng_init(&p, 2);
    r = prng_rng(&p);
    assert_int_equal(identity_generate(&id, &r), 0);
    identity_secret_encode(&id, text);
    assert_int_equal(peer_key_decode(text, &k), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ed25519),         cmocka_unit_test(test_x25519),
        cmocka_unit_test(test_identity),        cmocka_unit_test(test_secret_text_refused),
        cmocka_unit_test(test_peer_key_layout), cmocka_unit_test(test_peer_key_errors),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
