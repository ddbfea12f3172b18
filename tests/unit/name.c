/* Unit tests of ident/name.h. */
#include "ident/name.h"
#include "tests/unit/hex.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

/* The Ed25519 public key of the seed 03 .. 03, and the base32 of its SHA-256, both by other programs. */
static const char key_hex[] = "ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d1";
#define HASH "wyxim75c6m5p4ywv22ywilqwehkugmdyi2zkk64jpzyqsgnxm4eq"

static void test_good(void **state)
{
    static const struct {
        const char *text, *canonical, *leaf;
        enum tag_tier tier;
        const char *realm;
        bool has_hash;
    } cases[] = {
        { "laptop.h.eng.acme.example", "laptop.h.eng.acme.example", "laptop", TAG_TIER_HOST, "eng.acme.example",
          false },
        { "Laptop7.H.ENG.Acme.Example.", "laptop7.h.eng.acme.example", "laptop7", TAG_TIER_HOST, "eng.acme.example",
          false },
        { "ann.u.acme.example", "ann.u.acme.example", "ann", TAG_TIER_USER, "acme.example", false },
        { "db-1.s.x", "db-1.s.x", "db-1", TAG_TIER_SERVICE, "x", false },
        { "k" HASH ".d.acme.example", "k" HASH ".d.acme.example", "", TAG_TIER_DATA, "acme.example", true },
        { "K" HASH ".Laptop.h.acme.example", "k" HASH ".laptop.h.acme.example", "laptop", TAG_TIER_HOST, "acme.example",
          true },
        { "k.h.acme", "k.h.acme", "k", TAG_TIER_HOST, "acme", false },
        { "xn--mnchen-3ya.h.acme", "xn--mnchen-3ya.h.acme", "xn--mnchen-3ya", TAG_TIER_HOST, "acme", false },
        /* A character that is no base32, and spare bits that are set: a leaf, not a hash. */
        { "k1yxim75c6m5p4ywv22ywilqwehkugmdyi2zkk64jpzyqsgnxm4eq.h.a",
          "k1yxim75c6m5p4ywv22ywilqwehkugmdyi2zkk64jpzyqsgnxm4eq.h.a",
          "k1yxim75c6m5p4ywv22ywilqwehkugmdyi2zkk64jpzyqsgnxm4eq", TAG_TIER_HOST, "a", false },
        { "kwyxim75c6m5p4ywv22ywilqwehkugmdyi2zkk64jpzyqsgnxm4er.h.a",
          "kwyxim75c6m5p4ywv22ywilqwehkugmdyi2zkk64jpzyqsgnxm4er.h.a",
          "kwyxim75c6m5p4ywv22ywilqwehkugmdyi2zkk64jpzyqsgnxm4er", TAG_TIER_HOST, "a", false },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct name_error why;
        struct name n, again;

        if (name_parse(cases[i].text, strlen(cases[i].text), &n, &why) < 0)
            fail_msg("%s: %s at %zu", cases[i].text, why.why, why.at);
        assert_string_equal(n.text, cases[i].canonical);
        assert_int_equal(n.len, strlen(n.text));
        assert_int_equal(n.leaf_len, strlen(cases[i].leaf));
        assert_memory_equal(n.text + n.leaf_at, cases[i].leaf, n.leaf_len);
        assert_int_equal(n.tier, cases[i].tier);
        assert_string_equal(n.text + n.realm_at, cases[i].realm);
        assert_int_equal(n.has_hash, cases[i].has_hash);
        assert_int_equal(name_parse(n.text, n.len, &again, &why), 0);
        assert_memory_equal(&n, &again, sizeof(n));
    }
}

static void test_bad(void **state)
{
    static const struct {
        const char *text;
        size_t at;
        const char *why;
    } cases[] = {
        { "", 0, "empty" },
        { ".", 0, "empty" },
        { "laptop", 6, "ends before the tier (h, u, d or s)" },
        { "laptop.h", 8, "ends before the realm" },
        { "laptop.h.", 8, "ends before the realm" },
        { "laptop.x.acme", 7, "expected the tier: h, u, d or s" },
        { "a.b.h.acme", 2, "expected the tier: h, u, d or s" },
        { "h.acme.example", 0, "nothing before the tier" },
        { "laptop.h.d.acme", 9, "a realm called h, u, d or s, which are the tiers" },
        { "laptop.h.acme.U", 14, "a realm called h, u, d or s, which are the tiers" },
        { "laptop..h.acme", 7, "an empty label" },
        { ".laptop.h.acme", 0, "an empty label" },
        { "laptop.h.acme..", 14, "an empty label" },
        { "-x.h.acme", 0, "a hyphen at the start of a label" },
        { "x.h.-acme", 4, "a hyphen at the start of a label" },
        { "x-.h.acme", 1, "a hyphen at the end of a label" },
        { "x.h.acme-", 8, "a hyphen at the end of a label" },
        { "my_pc.h.acme", 2, "neither letter, digit, hyphen nor dot" },
        { "my pc.h.acme", 2, "neither letter, digit, hyphen nor dot" },
        { "m\xc3\xbcnchen.h.acme", 1, "not ASCII: other scripts are written as xn-- labels" },
        { "k" HASH, 53, "ends before the tier (h, u, d or s)" },
        { "k" HASH ".a.b.c", 56, "expected the tier: h, u, d or s" },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct name_error why;
        struct name n;

        assert_int_equal(name_parse(cases[i].text, strlen(cases[i].text), &n, &why), -EINVAL);
        if (why.at != cases[i].at || strcmp(why.why, cases[i].why) != 0)
            fail_msg("%s: %s at %zu", cases[i].text, why.why, why.at);
    }
}

/* Labels of 63 and 64 characters, names of 253 and 254: RFC 1035. */
static void test_limits(void **state)
{
    char label[80], text[512];
    struct name_error why;
    struct name n;

    memset(label, 'a', sizeof(label));
    snprintf(text, sizeof(text), "%.63s.h.acme", label);
    assert_int_equal(name_parse(text, strlen(text), &n, &why), 0);
    snprintf(text, sizeof(text), "x.h.%.64s.acme", label);
    assert_int_equal(name_parse(text, strlen(text), &n, &why), -EINVAL);
    assert_int_equal(why.at, 4);
    snprintf(text, sizeof(text), "%.63s.h.%.63s.%.63s.%.59s.", label, label, label, label); /* 63+1+1+1+63+1+63+1+59 */
    assert_int_equal(name_parse(text, strlen(text), &n, &why), 0);
    assert_int_equal(n.len, 253);
    snprintf(text, sizeof(text), "%.63s.h.%.63s.%.63s.%.60s", label, label, label, label);
    assert_int_equal(name_parse(text, strlen(text), &n, &why), -EINVAL);
    assert_string_equal(why.why, "longer than 253 characters");
    /* A NUL is no character of a name, whatever the length says. */
    assert_int_equal(name_parse("a\0b.h.acme", 10, &n, &why), -EINVAL);
    assert_int_equal(why.at, 1);
}

static void test_realm(void **state)
{
    char out[NAME_SIZE];
    struct name_error why;
    struct name n;

    assert_int_equal(name_parse_realm("Eng.Acme.Example.", 17, out, &why), 0);
    assert_string_equal(out, "eng.acme.example");
    assert_int_equal(name_parse_realm("s.acme", 6, out, &why), -EINVAL);
    assert_int_equal(name_parse_realm("acme.", 5, out, &why), 0);
    assert_true(name_is_child_realm("eng.acme.example", "acme.example"));
    assert_false(name_is_child_realm("a.eng.acme.example", "acme.example"));
    assert_false(name_is_child_realm("acme.example", "acme.example"));
    assert_false(name_is_child_realm("xacme.example", "acme.example"));
    assert_int_equal(name_join("Laptop", TAG_TIER_HOST, "acme.example", &n, &why), 0);
    assert_string_equal(n.text, "laptop.h.acme.example");
    assert_int_equal(name_join("a.b", TAG_TIER_HOST, "acme.example", &n, &why), -EINVAL);
    assert_int_equal(name_join("", TAG_TIER_HOST, "acme.example", &n, &why), -EINVAL);
}

static void test_hash(void **state)
{
    uint8_t key[32];
    char label[NAME_HASH_CHARS + 2];
    struct name_error why;
    struct name n;

    unhex(key_hex, key, 32);
    assert_int_equal(name_parse("k" HASH ".laptop.h.acme", 67, &n, &why), 0);
    assert_int_equal(name_check_key(&n, key), 0);
    key[0] ^= 1;
    assert_int_equal(name_check_key(&n, key), -EBADMSG);
    name_hash_label(n.hash, label);
    assert_string_equal(label, "k" HASH);
    assert_int_equal(name_parse("laptop.h.acme", 13, &n, &why), 0);
    assert_int_equal(name_check_key(&n, key), 0);
    for (int t = 0; t < 4; t++) {
        enum tag_tier back;

        assert_true(name_tier_of(name_tier_letter((enum tag_tier)t), &back));
        assert_int_equal(back, t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),  cmocka_unit_test(test_bad),  cmocka_unit_test(test_limits),
        cmocka_unit_test(test_realm), cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
