/* Unit test of the ruleset text of src/sys/nft: exact text, and names that must not get into it. */
#include "base/text.h"
#include "sys/nft.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

static void test_agent_text(void **state)
{
    static const char expected[] = "table inet hawser_home\n"
                                   "delete table inet hawser_home\n"
                                   "table inet hawser_home {\n"
                                   "  chain postrouting {\n"
                                   "    type nat hook postrouting priority srcnat; policy accept;\n"
                                   "    oifname != \"hawser0\" ip saddr 10.77.0.0/16 masquerade\n"
                                   "    oifname != \"hawser0\" ip6 saddr fd77::/64 masquerade\n"
                                   "  }\n"
                                   "  chain forward {\n"
                                   "    type filter hook forward priority filter; policy accept;\n"
                                   "    iifname \"hawser0\" accept\n"
                                   "    oifname \"hawser0\" accept\n"
                                   "  }\n"
                                   "}\n";
    struct prefix prefixes[2];
    struct nft_agent a = { .name = "home", .tunnel = "hawser0", .prefixes = prefixes, .prefixes_count = 2 };
    char buf[2048], small[sizeof(expected) - 1];
    struct text t;

    assert_int_equal(prefix_parse("10.77.0.0/16", false, &prefixes[0]), 0);
    assert_int_equal(prefix_parse("fd77::/64", false, &prefixes[1]), 0);
    text_init(&t, buf, sizeof(buf));
    assert_int_equal(nft_agent_ruleset(&t, &a), 0);
    assert_string_equal(buf, expected);
    /* One byte too small. */
    text_init(&t, small, sizeof(small));
    assert_int_equal(nft_agent_ruleset(&t, &a), -ENOSPC);
}

static void test_agent_refuses(void **state)
{
    static const char *const names[] = { "", "Home", "a b", "a{", "a;", "a\n", "abcdefghijklmnopqrstuvwxyz0123456" };
    static const char *const interfaces[] = { "", "a\"b", "tun*", "a b", "a;b", "sixteen_letters_", "a\nb", "a\\" };
    struct prefix broken = { .addr = { .family = ADDR_V4 }, .len = 33 };
    struct nft_agent a = { .name = "home", .tunnel = "hawser0" };
    char buf[1024];
    struct text t;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        a.name = names[i];
        text_init(&t, buf, sizeof(buf));
        assert_int_equal(nft_agent_ruleset(&t, &a), -EINVAL);
        assert_string_equal(buf, "");
    }
    a.name = "home";
    for (size_t i = 0; i < ARRAY_LEN(interfaces); i++) {
        a.tunnel = interfaces[i];
        text_init(&t, buf, sizeof(buf));
        assert_int_equal(nft_agent_ruleset(&t, &a), -EINVAL);
        assert_string_equal(buf, "");
    }
    a.tunnel = "hawser0";
    a.prefixes = &broken;
    a.prefixes_count = 1;
    text_init(&t, buf, sizeof(buf));
    assert_int_equal(nft_agent_ruleset(&t, &a), -EINVAL);
    assert_string_equal(buf, "");
}

static void test_one_way_out(void **state)
{
    struct prefix inside = { 0 };
    struct nft_agent a = {
        .name = "home", .tunnel = "hawser0", .out = "eth0", .prefixes = &inside, .prefixes_count = 1
    };
    char buf[1024];
    struct text t;

    assert_int_equal(prefix_parse("10.77.0.0/24", false, &inside), 0);
    text_init(&t, buf, sizeof(buf));
    assert_int_equal(nft_agent_ruleset(&t, &a), 0);
    assert_non_null(strstr(buf, "    oifname \"eth0\" ip saddr 10.77.0.0/24 masquerade\n"));
    a.out = "e\"0";
    assert_int_equal(nft_agent_ruleset(&t, &a), -EINVAL);
}

static void test_marks(void **state)
{
    static const struct nft_mark marks[] = { { 0x7, 0xff, 3 } };
    char buf[1024];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    assert_int_equal(nft_marks_ruleset(&t, "van", "hawser0", marks, 1), 0);
    assert_string_equal(buf, "table inet hawser_van\ndelete table inet hawser_van\n"
                             "table inet hawser_van {\n  chain marks {\n"
                             "    type filter hook postrouting priority mangle; policy accept;\n"
                             "    oifname \"hawser0\" meta nfproto ipv4 meta mark & 0xff == 0x7 ip dscp set 3 accept\n"
                             "    oifname \"hawser0\" meta nfproto ipv6 meta mark & 0xff == 0x7 ip6 dscp set 3 accept\n"
                             "  }\n}\n");
    text_init(&t, buf, sizeof(buf));
    assert_int_equal(nft_marks_ruleset(&t, "van", "a\"b", marks, 1), -EINVAL);
    text_init(&t, buf, 40);
    assert_int_equal(nft_marks_ruleset(&t, "van", "hawser0", marks, 1), -ENOSPC);
}

#define LEFT_ALONE                                                                                                     \
    "    tcp dport 53 accept\n    fib daddr type != unicast accept\n"                                                  \
    "    ip daddr 169.254.0.0/16 accept\n    ip6 daddr fe80::/10 accept\n    ip daddr 10.0.0.0/8 accept\n"
#define OF_GROUP "    meta l4proto tcp socket cgroupv2 level 1 \"unified/hawser-run-7-1f-f0\" "

static void test_redirect(void **state)
{
    static const char head[] = "table inet hawser_run_7_1f\ndelete table inet hawser_run_7_1f\n"
                               "table inet hawser_run_7_1f {\n"
                               "  chain move {\n" LEFT_ALONE;
    static const char tail[] =
        "  }\n  chain refuse {\n" LEFT_ALONE
        "    ct state established accept\n    meta l4proto tcp reject with tcp reset\n  }\n"
        "  chain moved {\n    type nat hook output priority -100; policy accept;\n" OF_GROUP "jump move\n  }\n"
        "  chain refused {\n    type filter hook output priority filter; policy accept;\n" OF_GROUP
        "jump refuse\n  }\n}\n";
    static const char *const groups[] = { "", "a\"b", "a b", "a;", "A\n" };
    struct prefix exclude = { 0 };
    struct nft_redirect n = { .name = "run_7_1f",
                              .group = "unified/hawser-run-7-1f-f0",
                              .excludes = &exclude,
                              .excludes_count = 1,
                              .ports = { 1234, 4321 } };
    char buf[2048], expected[2048];
    struct text t;

    assert_int_equal(prefix_parse("10.0.0.0/8", false, &exclude), 0);
    text_init(&t, buf, sizeof(buf));
    assert_int_equal(nft_redirect_ruleset(&t, &n), 0);
    snprintf(expected, sizeof(expected),
             "%s    meta nfproto ipv4 meta l4proto tcp redirect to :1234\n    meta nfproto ipv6 meta l4proto tcp "
             "redirect to :4321\n%s",
             head, tail);
    assert_string_equal(buf, expected);
    n.ports[0] = n.ports[1] = 0;
    text_init(&t, buf, sizeof(buf));
    assert_int_equal(nft_redirect_ruleset(&t, &n), 0);
    snprintf(expected, sizeof(expected), "%s%s", head, tail);
    assert_string_equal(buf, expected);
    text_init(&t, buf, 40);
    assert_int_equal(nft_redirect_ruleset(&t, &n), -ENOSPC);
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        n.group = groups[i];
        text_init(&t, buf, sizeof(buf));
        assert_int_equal(nft_redirect_ruleset(&t, &n), -EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_agent_text), cmocka_unit_test(test_agent_refuses),
                                        cmocka_unit_test(test_one_way_out), cmocka_unit_test(test_marks),
                                        cmocka_unit_test(test_redirect) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
