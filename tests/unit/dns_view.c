/* Unit tests of prog/dns_view: what each view says of each type, and for how long. */
#include "prog/dns_view.h"
#include "tests/unit/test.h"

static const struct dns_view public = {
    true, "acme.example", "ns.acme.example", { { ADDR_V4, { 198, 51, 100, 53 } } }, 1, 7
};
static const struct dns_view local = { .zone = "example" };

static struct chain_end host;
static struct record at_locators, at_hosts;

static int set_up(void **state)
{
    struct record_target *t = at_locators.targets;

    assert_int_equal(tag_parse("2001:3f:1c1:5:fd50:f24c:ab30:546a", &host.tag), 0);
    host.key[0] = 9;
    at_locators.kind = KIND_HOST_LOCATOR;
    t[0] = (struct record_target){ .is_locator = true, .locator = { { ADDR_V4, { 192, 0, 2, 1 } }, 4500 } };
    t[1] =
        (struct record_target){ .is_locator = true, .priority = 5, .locator = { { ADDR_V4, { 192, 0, 2, 1 } }, 443 } };
    t[2] = (struct record_target){ .is_locator = true,
                                   .transport = 1,
                                   .locator = { { ADDR_V6, { 0x20, 1, 0xd, 0xb8 } }, 1 } };
    t[3] = (struct record_target){ .is_locator = true, .locator.port = 1 }; /* a tag where an address should be */
    t[3].locator.addr = addr_from_bytes(ADDR_V6, host.tag.bytes);
    at_locators.targets_count = 4;
    at_hosts.kind = KIND_USER_HOST;
    at_hosts.targets[0].tag = host.tag;
    at_hosts.targets_count = 1;
    return 0;
}

static struct dns_query query(const char *name, enum dns_type type)
{
    struct dns_query q = { .asked = true, .is_text = true, .type = (uint16_t)type, .class = DNS_CLASS_IN };

    strcpy(q.name, name);
    return q;
}

static struct dns_answer asked(const struct dns_view *v, const char *name, enum dns_type type)
{
    struct dns_query q = query(name, type);
    struct dns_answer a;
    struct name n;

    assert_int_equal(dns_view_ask(v, &q, 0, &n, &a), 1);
    return a;
}

static struct dns_answer told(const struct dns_view *v, enum dns_type type, const struct record *b, uint32_t left_s,
                              uint32_t fresh_s)
{
    struct dns_query q = query("laptop.h.acme.example", type);
    struct dns_known k = { DNS_KNOWN_FOUND, &host, b, CLASS_AGENT, left_s, fresh_s, false };
    struct dns_answer a;

    dns_view_tell(v, &q, &k, &a);
    return a;
}

static bool is_negative(const struct dns_answer *a, enum dns_rcode rcode)
{
    return a->rcode == rcode && a->count == 1 && a->authority == 1 && a->records[0].type == DNS_TYPE_SOA;
}

static void test_names(void **state)
{
    struct dns_query q = query("laptop.h.acme.example", DNS_TYPE_AAAA);
    struct dns_answer a;
    struct name n;

    assert_int_equal(dns_view_ask(&public, &q, 0, &n, &a), 0);
    assert_string_equal(n.text, "laptop.h.acme.example");
    assert_int_equal(dns_view_ask(&public, &q, DNS_NOTIMP, &n, &a), 1);
    assert_true(a.rcode == DNS_NOTIMP && a.count == 0);
    a = asked(&public, "www.example.com", DNS_TYPE_A);
    assert_true(a.rcode == DNS_REFUSED && a.count == 0 && !a.authoritative);
    a = asked(&public, "laptop.h.badacme.example", DNS_TYPE_A);
    assert_int_equal(a.rcode, DNS_REFUSED);
    a = asked(&public, "acme.example", DNS_TYPE_AXFR);
    assert_int_equal(a.rcode, DNS_REFUSED);
    /* RFC 8020: what may have names below it exists. */
    a = asked(&public, "h.acme.example", DNS_TYPE_A);
    assert_true(is_negative(&a, DNS_NOERROR) && a.authoritative);
    a = asked(&public, "eng.acme.example", DNS_TYPE_A);
    assert_true(is_negative(&a, DNS_NOERROR));
    a = asked(&public, "x.laptop.h.acme.example", DNS_TYPE_A);
    assert_true(is_negative(&a, DNS_NXDOMAIN));
    a = asked(&local, "example", DNS_TYPE_AAAA);
    assert_true(is_negative(&a, DNS_NOERROR) && a.recursive && !a.authoritative);
}

static void test_zone(void **state)
{
    struct dns_answer a = asked(&public, "acme.example", DNS_TYPE_SOA);

    assert_true(a.count == 1 && a.authority == 0 && a.records[0].type == DNS_TYPE_SOA);
    a = asked(&public, "acme.example", DNS_TYPE_NS);
    assert_true(a.count == 1 && a.records[0].type == DNS_TYPE_NS);
    a = asked(&public, "ns.acme.example", DNS_TYPE_A);
    assert_true(a.count == 1 && a.records[0].type == DNS_TYPE_A);
    assert_memory_equal(a.rdata, "\xc6\x33\x64\x35", 4);
    a = asked(&public, "ns.acme.example", DNS_TYPE_AAAA);
    assert_true(is_negative(&a, DNS_NOERROR));
}

static void test_public(void **state)
{
    struct dns_answer a = told(&public, DNS_TYPE_A, &at_locators, 600, 60);

    assert_true(a.count == 1 && a.rcode == DNS_NOERROR && a.authoritative); /* two ports, one address */
    assert_int_equal(a.records[0].ttl_s, 60);
    a = told(&public, DNS_TYPE_AAAA, &at_locators, 600, 60);
    assert_int_equal(a.count, 1); /* never a tag */
    assert_memory_equal(a.rdata, "\x20\x01\x0d\xb8", 4);
    a = told(&public, DNS_TYPE_SVCB, &at_locators, 600, 60);
    assert_int_equal(a.count, 2); /* those over UDP */
    assert_int_equal(a.rdata[1], 1);
    assert_int_equal(a.rdata[a.records[1].at + 1], 6); /* priority 5, and 0 is for aliases */
    a = told(&public, DNS_TYPE_HIP, &at_locators, 600, 60);
    assert_int_equal(a.count, 1);
    assert_memory_equal(a.rdata + 4, host.tag.bytes, 16);
    a = told(&public, DNS_TYPE_AAAA, &at_hosts, 600, 60);
    assert_true(is_negative(&a, DNS_NOERROR));
    a = told(&public, DNS_TYPE_ANY, &at_locators, 600, 60);
    assert_int_equal(a.count, 5);
}

static void test_local(void **state)
{
    struct dns_answer a = told(&local, DNS_TYPE_AAAA, &at_locators, 600, 60);

    assert_true(a.count == 1 && a.recursive && !a.authoritative);
    assert_memory_equal(a.rdata, host.tag.bytes, 16);
    a = told(&local, DNS_TYPE_AAAA, &at_hosts, 600, 60);
    assert_int_equal(a.count, 1);
    assert_memory_equal(a.rdata, host.tag.bytes, 16);
    a = told(&local, DNS_TYPE_A, &at_locators, 600, 60);
    assert_true(is_negative(&a, DNS_NOERROR));
    at_locators.targets_count = 0; /* attached nowhere */
    a = told(&local, DNS_TYPE_AAAA, &at_locators, 600, 60);
    assert_true(is_negative(&a, DNS_NOERROR));
    at_locators.targets_count = 4;
}

static void test_times(void **state)
{
    static const struct {
        uint32_t left_s, fresh_s;
        bool stale;
        uint32_t ttl_s;
    } cases[] = {
        { 600, 60, false, 60 },     { 20, 60, false, 20 },
        { 6000, 6000, false, 300 }, { 600, 0, false, 0 }, /* fresh for less than a second */
        { 600, 0, true, 30 },       { 7, 0, true, 7 },
    };
    struct dns_query q = query("laptop.h.acme.example", DNS_TYPE_AAAA);
    struct dns_answer a;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct dns_known k = { DNS_KNOWN_FOUND,  &host,         &at_locators, CLASS_AGENT, cases[i].left_s,
                                     cases[i].fresh_s, cases[i].stale };

        dns_view_tell(&local, &q, &k, &a);
        assert_int_equal(a.count, 1);
        assert_int_equal(a.records[0].ttl_s, cases[i].ttl_s);
    }
}

static void test_none(void **state)
{
    struct dns_query q = query("laptop.h.acme.example", DNS_TYPE_AAAA);
    struct dns_known k = { .outcome = DNS_KNOWN_NONE, .fresh_s = 40 };
    struct dns_answer a;

    dns_view_tell(&public, &q, &k, &a);
    assert_true(is_negative(&a, DNS_NXDOMAIN));
    assert_int_equal(a.records[0].ttl_s, 40);
    assert_int_equal(get_be32(a.rdata + a.rdata_len - 4), 40); /* the SOA's minimum: RFC 2308 section 5 */
    k = (struct dns_known){ DNS_KNOWN_FOUND, &host, &at_locators, CLASS_FULL, 600, 40, false }; /* not for everybody */
    dns_view_tell(&public, &q, &k, &a);
    assert_true(is_negative(&a, DNS_NXDOMAIN));
    k.outcome = DNS_KNOWN_FAILED;
    dns_view_tell(&local, &q, &k, &a);
    assert_true(a.rcode == DNS_SERVFAIL && a.count == 0);
    k.outcome = DNS_KNOWN_FOREIGN;
    dns_view_tell(&local, &q, &k, &a);
    assert_int_equal(a.rcode, DNS_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names), cmocka_unit_test(test_zone),  cmocka_unit_test(test_public),
        cmocka_unit_test(test_local), cmocka_unit_test(test_times), cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
