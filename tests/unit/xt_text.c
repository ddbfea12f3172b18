/* Unit test of the rules of src/sys/xt: exact text, and what must not get into it. */
#include "sys/xt.h"
#include "base/text.h"
#include "tests/unit/test.h"

#include <errno.h>

static struct prefix prefixes[2];
static struct endpoint spare;

static struct xt_capture capture(void)
{
    assert_int_equal(prefix_parse("192.0.5.0/24", false, &prefixes[0]), 0);
    assert_int_equal(prefix_parse("0.0.0.0/0", false, &prefixes[1]), 0);
    spare = (struct endpoint){ .addr = addr_v4(0xc0000201), .port = 51821 };
    return (struct xt_capture){ .name = "dmux6",
                                .queue = 7,
                                .source = addr_v4(0xc6336402),
                                .prefixes = prefixes,
                                .prefixes_count = 2,
                                .spare = &spare };
}

#define BEGIN                                                                                                          \
    "*mangle\n:hawser-dmux6 - [0:0]\n-A hawser-dmux6 -o lo -j RETURN\n-A hawser-dmux6 -d 224.0.0.0/3 -j RETURN\n"      \
    "-A hawser-dmux6 -d 192.0.2.1 -p udp --dport 51821 -j RETURN\n"
#define RULE(to, proto, queue)                                                                                         \
    "-A hawser-dmux6 -s 198.51.100.2 -d " to " -p " proto " -j NFQUEUE --queue-num " queue " --queue-bypass\n"
#define END "-A OUTPUT -j hawser-dmux6\nCOMMIT\n"

static void says(const struct xt_capture *c, const char *expected)
{
    char buf[2048];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    assert_int_equal(xt_capture_rules(&t, c), 0);
    assert_string_equal(buf, expected);
    /* One byte too small. */
    text_init(&t, buf, strlen(expected));
    assert_int_equal(xt_capture_rules(&t, c), -ENOSPC);
}

static void test_text(void **state)
{
    struct xt_capture c = capture();

    says(&c, BEGIN RULE("192.0.5.0/24", "6", "7") RULE("192.0.5.0/24", "0", "8") RULE("0.0.0.0/0", "6", "7")
                 RULE("0.0.0.0/0", "0", "8") END);
    c.prefixes_count = 1;
    c.protocol = 6;
    says(&c, BEGIN RULE("192.0.5.0/24", "6", "7") END);
    c.protocol = 253;
    says(&c, BEGIN RULE("192.0.5.0/24", "253", "8") END);
}

static void refuses(const struct xt_capture *c)
{
    char buf[2048];
    struct text t;

    text_init(&t, buf, sizeof(buf));
    assert_int_equal(xt_capture_rules(&t, c), -EINVAL);
    assert_string_equal(buf, "");
}

static void test_refuses(void **state)
{
    static const char *const names[] = { NULL, "", "a b", "a\nCOMMIT", "sixteen-letters-" };
    struct xt_capture c = capture();

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        c.name = names[i];
        refuses(&c);
    }
    c = capture();
    c.source.family = ADDR_NONE;
    refuses(&c);
    c = capture();
    c.queue = UINT16_MAX; /* there is no next */
    refuses(&c);
    c = capture();
    assert_int_equal(prefix_parse("2001:db8::/32", false, &prefixes[1]), 0);
    refuses(&c);
    c = capture();
    spare.addr.family = ADDR_NONE;
    refuses(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_text), cmocka_unit_test(test_refuses) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
