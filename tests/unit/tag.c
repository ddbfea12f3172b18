/* Unit tests of ident/tag.h. */
#include "ident/tag.h"
#include "tests/unit/hex.h"
#include "tests/unit/test.h"

#include <errno.h>

/* RFC 9886 appendix A: the certificates of figures 11, 15, 17 and 20 give each key and its tag. */
static const struct {
    const char *key, *tag;
    uint16_t raa, hda;
} published[] = {
    { "9990d5b04b72a18066d4092b52c7d4994fb7c16bd7e8c1f440ffa8d04ff1e13f", "2001:3f:fe00:5:5e60:a157:1e91:a0b7", 16376,
      0 },
    { "ce681e36e1141aeb560d6e76bc796b7b7cb454e463ccb1f12de30a380101803f", "2001:3f:fe00:a05:6615:ee45:d427:9a0", 16376,
      10 },
    { "8233fdaeb5068bc14859d113a0edfcf8dc07814e3dd2765e6b5b82e04d070597", "2001:3f:fe00:a05:260e:d437:6b25:6e28", 16376,
      10 },
    { "c92e2f9d97e8960f9b5f1654f8b09039f9dadc5bcf061eac4f0cea79e8e877fa", "2001:3f:fe00:a05:1308:2469:9a4b:c6b2", 16376,
      10 },
};

static void test_published(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(published); i++) {
        uint8_t key[32];
        struct tag t, parsed;
        char text[TAG_STRLEN];

        unhex(published[i].key, key, 32);
        assert_int_equal(tag_make(key, published[i].raa, published[i].hda, &t), 0);
        assert_string_equal(tag_format(&t, text), published[i].tag);
        assert_int_equal(tag_parse(published[i].tag, &parsed), 0);
        assert_true(tag_equal(&t, &parsed));
        assert_int_equal(tag_raa(&t), published[i].raa);
        assert_int_equal(tag_hda(&t), published[i].hda);
        assert_int_equal(tag_suite(&t), 5);
        assert_int_equal(tag_verify(&t, key), 0);
    }
}

/* The hash covers the hierarchy: no bit of a tag may change. */
static void test_tamper(void **state)
{
    uint8_t key[32];
    struct tag t;

    unhex(published[0].key, key, 32);
    for (unsigned bit = 0; bit < 128; bit++) {
        int want = bit < 28 || (bit >= 56 && bit < 64) ? -EPROTONOSUPPORT : -EBADMSG;

        assert_int_equal(tag_parse(published[0].tag, &t), 0);
        t.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
        assert_int_equal(tag_verify(&t, key), want);
    }
    assert_int_equal(tag_parse(published[0].tag, &t), 0);
    key[31] ^= 1;
    assert_int_equal(tag_verify(&t, key), -EBADMSG);
}

/* The table of prefixes in the design: the first hextets by hand. */
static void test_fields(void **state)
{
    static const struct {
        uint16_t raa, hda;
        const char *left;
        enum tag_tier tier;
        uint16_t realm;
    } cases[] = {
        { TAG_RAA_DEFAULT, TAG_HDA_DEFAULT, "2001003f00000005", TAG_TIER_HOST, 0 },
        { TAG_RAA(0), TAG_HDA(TAG_TIER_USER, 1), "2001003f00100105", TAG_TIER_USER, 1 },
        { TAG_RAA(0), TAG_HDA(TAG_TIER_DATA, 0xabc), "2001003f002abc05", TAG_TIER_DATA, 0xabc },
        { TAG_RAA(1), TAG_HDA(TAG_TIER_SERVICE, 4095), "2001003f007fff05", TAG_TIER_SERVICE, 4095 },
        { TAG_RAA(1023), TAG_HDA(TAG_TIER_HOST, 2), "2001003fffc00205", TAG_TIER_HOST, 2 },
    };
    uint8_t key[32] = { 1 }, left[8];
    struct tag t;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        unhex(cases[i].left, left, 8);
        assert_int_equal(tag_make(key, cases[i].raa, cases[i].hda, &t), 0);
        assert_memory_equal(t.bytes, left, 8);
        assert_int_equal(tag_tier(&t), cases[i].tier);
        assert_int_equal(tag_realm(&t), cases[i].realm);
    }
    assert_int_equal(tag_make(key, 0x4000, 0, &t), -ERANGE);
    assert_int_equal(tag_make(key, 0, 0x4000, &t), -ERANGE);
}

static void test_parse(void **state)
{
    struct tag t;

    assert_int_equal(tag_parse("2001:30::", &t), 0);
    assert_int_equal(tag_parse("2001:3f:ffff:ffff:ffff:ffff:ffff:ffff", &t), 0);
    assert_int_equal(tag_parse("2001:40::", &t), -ERANGE);
    assert_int_equal(tag_parse("2001:2f::", &t), -ERANGE);
    assert_int_equal(tag_parse("fe80::1", &t), -ERANGE);
    assert_int_equal(tag_parse("192.0.2.1", &t), -EINVAL);
    assert_int_equal(tag_parse("", &t), -EINVAL);
    assert_int_equal(tag_parse("2001:3f::1/64", &t), -EINVAL);
}

/* Twelve bits of realm number, by hand. */
static void test_ranges(void **state)
{
    static const struct realm_range root = { 0, 0 }, one = { 0x100, 4 }, sub = { 0x120, 8 }, leaf = { 0x123, 12 },
                                    other = { 0x200, 4 };

    assert_true(realm_range_valid(&root) && realm_range_valid(&one) && realm_range_valid(&sub) &&
                realm_range_valid(&leaf));
    assert_false(realm_range_valid(&(struct realm_range){ 0x101, 4 }));
    assert_false(realm_range_valid(&(struct realm_range){ 0x100, 5 }));
    assert_false(realm_range_valid(&(struct realm_range){ 0x1000, 12 }));
    assert_false(realm_range_valid(&(struct realm_range){ 0x100, 16 }));
    assert_true(realm_range_has(&root, 0) && realm_range_has(&root, 4095));
    assert_true(realm_range_has(&one, 0x1ff));
    assert_false(realm_range_has(&one, 0x200));
    assert_true(realm_range_has(&leaf, 0x123));
    assert_false(realm_range_has(&leaf, 0x122));
    assert_true(realm_range_may_delegate(&root, &one));
    assert_true(realm_range_may_delegate(&one, &sub));
    assert_true(realm_range_may_delegate(&sub, &leaf));
    assert_false(realm_range_may_delegate(&one, &other));
    assert_false(realm_range_may_delegate(&one, &one));
    assert_false(realm_range_may_delegate(&sub, &one));
    /* A realm's own number stays its own. */
    assert_false(realm_range_may_delegate(&one, &(struct realm_range){ 0x100, 8 }));
    assert_false(realm_range_may_delegate(&root, &(struct realm_range){ 0, 4 }));
    assert_true(realm_range_overlap(&one, &leaf) && realm_range_overlap(&leaf, &one));
    assert_false(realm_range_overlap(&one, &other));
}

static void test_prefixes(void **state)
{
    static const struct {
        uint16_t raa;
        enum tag_tier tier;
        struct realm_range range;
        const char *text;
    } cases[] = {
        /* /44, /48, /52 and /56 of the design's table, by hand. Deployment 1 has bit 41 set: 2001:3f:40::/42. */
        { TAG_RAA(0), TAG_TIER_HOST, { 0, 0 }, "2001:3f::/44" },
        { TAG_RAA(1), TAG_TIER_HOST, { 0, 0 }, "2001:3f:40::/44" },
        { TAG_RAA(1), TAG_TIER_SERVICE, { 0, 0 }, "2001:3f:70::/44" },
        { TAG_RAA(1), TAG_TIER_USER, { 0x100, 4 }, "2001:3f:51::/48" },
        { TAG_RAA(1), TAG_TIER_DATA, { 0x120, 8 }, "2001:3f:61:2000::/52" },
        { TAG_RAA(1), TAG_TIER_HOST, { 0x123, 12 }, "2001:3f:41:2300::/56" },
        { TAG_RAA(1023), TAG_TIER_HOST, { 0, 0 }, "2001:3f:ffc0::/44" },
    };
    char text[TAG_PREFIX_STRLEN];
    struct tag_prefix p, q;
    struct tag t;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        p = tag_prefix_realm(cases[i].raa, cases[i].tier, &cases[i].range);
        assert_string_equal(tag_prefix_format(&p, text), cases[i].text);
        assert_int_equal(tag_prefix_parse(text, &q), 0);
        assert_true(tag_equal(&p.tag, &q.tag) && p.len == q.len);
    }
    assert_int_equal(tag_parse("2001:3f:41:2305::1", &t), 0);
    for (unsigned len = 28; len <= 128; len++) {
        p = tag_prefix_of(&t, (uint8_t)len);
        assert_true(tag_prefix_contains(&p, &t));
        q = tag_prefix_of(&t, 128);
        assert_true(tag_prefix_covers(&p, &q));
        assert_true(tag_prefix_covers(&q, &p) == (len == 128));
        for (unsigned bit = 0; bit < 128; bit++) {
            struct tag u = t;

            u.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
            assert_true(tag_prefix_contains(&p, &u) == (bit >= len));
        }
    }
    assert_int_equal(tag_prefix_parse("2001:3f:41:2300::/55", &p), -ERANGE); /* 0x23: its last bit is set */
    assert_int_equal(tag_prefix_parse("2001:3f:41:2200::/55", &p), 0);
    assert_int_equal(tag_prefix_parse("2001:3f::1", &p), 0);
    assert_int_equal(p.len, 128);
    assert_int_equal(tag_prefix_parse("2001::/16", &p), -ERANGE);
    assert_int_equal(tag_prefix_parse("2001:db8::/32", &p), -ERANGE);
    assert_int_equal(tag_prefix_parse("192.0.2.0/24", &p), -EINVAL);
    assert_int_equal(tag_prefix_parse("2001:3f::/129", &p), -ERANGE);
}

static void test_deployment(void **state)
{
    uint8_t key[32];
    uint16_t seen = 0;

    unhex(published[0].key, key, 32);
    for (int i = 0; i < 256; i++) {
        key[0] = (uint8_t)i;
        assert_in_range(tag_deployment_of(key), 1, TAG_DEPLOYMENT_MAX);
        seen |= tag_deployment_of(key);
    }
    assert_int_equal(seen, TAG_DEPLOYMENT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),  cmocka_unit_test(test_tamper), cmocka_unit_test(test_fields),
        cmocka_unit_test(test_parse),      cmocka_unit_test(test_ranges), cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_deployment),
    };
    return cmocka_run_group_tests_name("tag", tests, NULL, NULL);
}
