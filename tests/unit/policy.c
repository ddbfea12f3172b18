/* Unit tests of mapping/policy.h. */
#include "mapping/policy.h"
#include "tests/unit/test.h"

#include <errno.h>

static struct prng prng;

static struct policies *new_policies(uint32_t max)
{
    struct policies *p;
    struct rng r;

    prng_init(&prng, 1);
    r = prng_rng(&prng);
    p = policies_new(max, &r);
    assert_non_null(p);
    return p;
}

static struct tag tag_from(const char *text)
{
    struct tag t;

    assert_int_equal(tag_parse(text, &t), 0);
    return t;
}

static void rule(struct record *r, const char *prefix, enum record_class answer)
{
    assert_int_equal(tag_prefix_parse(prefix, &r->rules[r->rules_count].who), 0);
    r->rules[r->rules_count++].answer = (uint8_t)answer;
}

#define HOST "2001:3f:1c1:5::1"
#define REALM "2001:3f:1f1:5::1"

static void test_rules(void **state)
{
    struct policies *p = new_policies(8);
    struct record realm = { .type = RECORD_POLICY, .subject = tag_from(REALM), .seq = 5 };
    struct record host = { .type = RECORD_POLICY, .subject = tag_from(HOST), .seq = 5, .not_after_s = 1000 };
    struct tag h = tag_from(HOST), other = tag_from("2001:3f:1c1:5::2"), r = tag_from(REALM);
    struct tag friend = tag_from("2001:3f:1c2:5::9"), stranger = tag_from("2001:3f:2c2:5::9");

    /* Nobody said anything: nothing. */
    assert_int_equal(policies_class(p, &h, &r, &friend, 1), CLASS_DENY);
    /* The first that matches: one tag, then its realm, then its deployment. */
    rule(&realm, "2001:3f:1c2:5::9", CLASS_COARSE);
    rule(&realm, "2001:3f:1c2::/56", CLASS_FULL);
    rule(&realm, "2001:3f:1c0::/42", CLASS_AGENT);
    assert_int_equal(policies_put(p, &realm), POLICY_STORED);
    assert_int_equal(policies_class(p, &h, &r, &friend, 1), CLASS_COARSE);
    assert_int_equal(policies_class(p, &h, &r, &(struct tag){ { 0x20, 0x01, 0, 0x3f, 0x01, 0xc2, 0, 5, [15] = 8 } }, 1),
                     CLASS_FULL);
    assert_int_equal(policies_class(p, &h, &r, &other, 1), CLASS_AGENT);
    assert_int_equal(policies_class(p, &h, &r, &stranger, 1), CLASS_DENY);
    /* An entity's own is the only one that counts, whether it says more or less. */
    rule(&host, "2001:3f:2c2::/56", CLASS_FULL);
    assert_int_equal(policies_put(p, &host), POLICY_STORED);
    assert_int_equal(policies_class(p, &h, &r, &stranger, 1), CLASS_FULL);
    assert_int_equal(policies_class(p, &h, &r, &friend, 1), CLASS_DENY);
    assert_int_equal(policies_class(p, &other, &r, &friend, 1), CLASS_COARSE);
    /* Over: nothing, and not what the realm would say. */
    assert_int_equal(policies_class(p, &h, &r, &stranger, 1000), CLASS_FULL);
    assert_int_equal(policies_class(p, &h, &r, &stranger, 1001), CLASS_DENY);
    assert_int_equal(policies_class(p, &h, &r, &friend, 1001), CLASS_DENY);
    /* An older one does not come back. */
    host.rules_count = 0;
    assert_int_equal(policies_put(p, &host), POLICY_SAME);
    host.seq = 4;
    assert_int_equal(policies_put(p, &host), POLICY_OLDER);
    assert_int_equal(policies_class(p, &h, &r, &stranger, 1), CLASS_FULL);
    host.seq = 6;
    assert_int_equal(policies_put(p, &host), POLICY_STORED);
    assert_int_equal(policies_class(p, &h, &r, &stranger, 1), CLASS_DENY);
    /* Ended: it counts until what tells of that is told, and is nobody's who comes again. */
    policies_end(p, &h, 7);
    policies_end(p, &h, 9);
    policies_drop_ended(p, 6);
    assert_int_equal(policies_class(p, &h, &r, &friend, 1), CLASS_DENY);
    policies_drop_ended(p, 7);
    assert_int_equal(policies_class(p, &h, &r, &friend, 1), CLASS_COARSE);
    assert_int_equal(policies_put(p, &host), POLICY_STORED);
    policies_begin(p, &h);
    assert_int_equal(policies_class(p, &h, &r, &friend, 1), CLASS_DENY);
    policies_end(p, &h, 9);
    policies_begin(p, &h);
    assert_int_equal(policies_class(p, &h, &r, &friend, 1), CLASS_COARSE);
    policies_drop_ended(p, 9);
    policies_free(p);
    policies_free(NULL);
}

static void test_full(void **state)
{
    struct policies *p = new_policies(2);
    struct record r = { .type = RECORD_POLICY, .seq = 1 };

    rule(&r, "2001:3f::/32", CLASS_FULL);
    r.subject = tag_from("2001:3f::1");
    assert_int_equal(policies_put(p, &r), POLICY_STORED);
    r.subject = tag_from("2001:3f::2");
    assert_int_equal(policies_put(p, &r), POLICY_STORED);
    r.subject = tag_from("2001:3f::3");
    assert_int_equal(policies_put(p, &r), -ENOSPC);
    assert_int_equal(policies_class(p, &(struct tag){ { 0x20, 0x01, 0, 0x3f, [15] = 1 } }, &r.subject, &r.subject, 1),
                     CLASS_FULL);
    /* What is there can still be changed. */
    r.subject = tag_from("2001:3f::2");
    r.seq = 2;
    assert_int_equal(policies_put(p, &r), POLICY_STORED);
    policies_end(p, &r.subject, 1);
    r.subject = tag_from("2001:3f::3");
    assert_int_equal(policies_put(p, &r), POLICY_STORED);
    /* Who has ended says it again, of another sequence: he takes a place again, and there is none. */
    r.subject = tag_from("2001:3f::2");
    r.seq = 3;
    assert_int_equal(policies_put(p, &r), -ENOSPC);
    policies_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rules), cmocka_unit_test(test_full) };

    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
