/* Unit tests of src/tunnel/steer. */
#include "tunnel/steer.h"

#include "base/rng.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

static struct steer_table table, copy;
static uint8_t wire[STEER_WIRE_MAX];

static void add(const char *text)
{
    char err[STEER_ERROR_MAX] = "";

    if (steer_table_add_text(&table, text, err, sizeof(err)) < 0)
        fail_msg("%s: %s", text, err);
}

static struct packet_info packet(const char *dst, uint8_t proto, uint16_t dport)
{
    struct packet_info i = { .proto = proto, .sport = 40000, .dport = dport, .total_len = 1000 };

    assert_int_equal(addr_parse(dst, &i.dst), 0);
    i.family = i.dst.family;
    i.src.family = i.family;
    i.src.bytes[0] = 99;
    return i;
}

/* The table is asked from the other end: addresses and ports change places. */
static int look(const char *dst, uint8_t proto, uint16_t dport, uint8_t dscp)
{
    struct packet_info i = packet(dst, proto, dport), back = i;
    int r;

    i.dscp = back.dscp = dscp;
    back.src = i.dst, back.dst = i.src;
    back.sport = i.dport, back.dport = i.sport;
    r = steer_lookup(&table, &i, 0, false);
    assert_int_equal(steer_lookup(&table, &back, 0, true), r);
    return r;
}

static void test_precedence(void **state)
{
    steer_table_init(&table);
    add("any udp mode redundant");                   /* 0 */
    add("203.0.113.0/24 mode stripe");               /* 1 */
    add("203.0.113.0/24 tcp mode priority");         /* 2 */
    add("203.0.113.0/24 tcp 80,443 via wwan0");      /* 3 */
    add("203.0.113.0/24 tcp 443 via wlan0");         /* 4: fewer ports than 3 */
    add("203.0.0.0/16 tcp 443 dscp EF mode bypass"); /* 5: more fields, but a shorter prefix */
    add("0.0.0.0/0 mode load-balance");              /* 6 */
    add("2001:db8::/32 icmpv6 mode smallest-delay"); /* 7 */
    add("203.0.113.7/32 mode block");                /* 8 */
    add("any sctp 1000-2000,3000 mode redundant");   /* 9 */
    add("any tcp 443 mark 0x10/0xf0 mode bypass");   /* 10 */
    steer_table_compile(&table);

    assert_int_equal(look("203.0.113.7", PROTO_TCP, 443, 46), 8);
    assert_int_equal(look("203.0.113.1", PROTO_TCP, 443, 46), 4);
    assert_int_equal(look("203.0.113.1", PROTO_TCP, 80, 0), 3);
    assert_int_equal(look("203.0.113.1", PROTO_TCP, 81, 0), 2);
    assert_int_equal(look("203.0.113.1", PROTO_UDP, 80, 0), 1);
    assert_int_equal(look("203.0.114.1", PROTO_TCP, 443, 46), 5);
    assert_int_equal(look("203.0.114.1", PROTO_TCP, 443, 0), 6);
    assert_int_equal(look("192.0.2.1", PROTO_UDP, 1, 0), 6);
    assert_int_equal(look("2001:db8::1", PROTO_ICMPV6, 0, 0), 7);
    assert_int_equal(look("2001:db8::1", PROTO_UDP, 5, 0), 0);
    assert_int_equal(look("2001:db9::1", PROTO_ICMPV6, 0, 0), STEER_DEFAULT);
    assert_int_equal(look("2001:db9::1", PROTO_SCTP, 2000, 0), 9);
    assert_int_equal(look("2001:db9::1", PROTO_SCTP, 2001, 0), STEER_DEFAULT);
    assert_int_equal(steer_action_of(&table, 4)->mode, STEER_STRIPE);
    assert_string_equal(steer_action_of(&table, 4)->links[0], "wlan0");
}

static void test_mark_is_of_the_node(void **state)
{
    struct packet_info i = packet("2001:db8::1", PROTO_TCP, 443);
    struct packet_info back = packet("2001:db8::9", PROTO_TCP, 40000);
    struct writer w = writer_init(wire, sizeof(wire));
    struct reader r;

    steer_table_init(&table);
    add("any tcp 443 mark 0x10/0xf0 mode bypass");
    add("any udp mode redundant");
    steer_table_compile(&table);
    back.src = i.dst;
    back.sport = 443;
    assert_int_equal(steer_lookup(&table, &i, 0x1f, false), 0);
    assert_int_equal(steer_lookup(&table, &i, 0x2f, false), STEER_DEFAULT);
    assert_int_equal(steer_lookup(&table, &back, 0x1f, true), STEER_DEFAULT);
    steer_table_encode(&table, &w);
    r = reader_init(wire, writer_len(&w));
    assert_int_equal(steer_table_decode(&r, &copy), 0);
    assert_int_equal(copy.count, 1);
    assert_int_equal(copy.rules[0].proto, PROTO_UDP);
}

/* The model: of all rules that match, the best by the words of the header, in a plain scan. */
static int model_lookup(const struct steer_table *t, const struct packet_info *i, uint32_t mark, bool mirrored)
{
    int best = -1;
    long best_rank = -1;

    for (size_t n = 0; n < t->count; n++) {
        const struct steer_rule *r = &t->rules[n];
        const struct addr *far = mirrored ? &i->src : &i->dst;
        unsigned port = mirrored ? i->sport : i->dport;
        long fields = 0, covered = 0, rank;
        bool any = r->dst.addr.family == ADDR_NONE, port_ok = r->ports_count == 0;

        for (unsigned p = 0; p < r->ports_count; p++) {
            covered += r->ports[p].last - r->ports[p].first + 1;
            port_ok |= port >= r->ports[p].first && port <= r->ports[p].last;
        }
        fields += r->proto != 0;
        fields += r->dscp != STEER_DSCP_ANY;
        fields += r->ports_count != 0;
        fields += r->mark_mask != 0;
        if (!port_ok || (r->proto && r->proto != i->proto) || (r->dscp != STEER_DSCP_ANY && r->dscp != i->dscp) ||
            (!any && !prefix_contains(&r->dst, far)) ||
            (r->mark_mask && (mirrored || (mark & r->mark_mask) != r->mark)))
            continue;
        rank = (((any ? 0 : r->dst.len + 1L) * 8 + fields) * 1000000 + (999999 - covered)) * 1000 + (999 - (long)n);
        if (rank > best_rank) {
            best_rank = rank;
            best = (int)n;
        }
    }
    return best;
}

static struct addr random_addr(struct prng *p, bool v6)
{
    struct addr a = { .family = v6 ? ADDR_V6 : ADDR_V4 };

    /* Few values a byte, so that prefixes nest and packets hit them. */
    for (unsigned n = 0; n < addr_bytes_len(&a); n++)
        a.bytes[n] = (uint8_t)(prng_below(p, 2) * 0x81);
    return a;
}

static void random_rule(struct prng *p, struct steer_rule *r)
{
    static const uint8_t protos[] = { 0, PROTO_TCP, PROTO_UDP, PROTO_ICMP };
    bool v6 = prng_below(p, 2);

    memset(r, 0, sizeof(*r));
    if (prng_below(p, 8)) {
        char buf[PREFIX_STRLEN], host[ADDR_STRLEN];
        struct addr a = random_addr(p, v6);

        snprintf(buf, sizeof(buf), "%s/%u", addr_format(&a, host), (unsigned)prng_below(p, v6 ? 129 : 33));
        assert_int_equal(prefix_parse(buf, true, &r->dst), 0);
    }
    r->proto = protos[prng_below(p, 4)];
    r->dscp = prng_below(p, 3) ? STEER_DSCP_ANY : (uint8_t)prng_below(p, 2);
    if (prng_below(p, 2) && (r->proto == PROTO_TCP || r->proto == PROTO_UDP))
        for (r->ports_count = 0; r->ports_count < 1 + prng_below(p, 3); r->ports_count++) {
            uint16_t first = (uint16_t)prng_below(p, 4);

            r->ports[r->ports_count] = (struct steer_ports){ first, (uint16_t)(first + prng_below(p, 2)) };
        }
    if (prng_below(p, 4) == 0) {
        r->mark_mask = (uint32_t)(1 + prng_below(p, 3));
        r->mark = (uint32_t)prng_below(p, 4) & r->mark_mask;
    }
    r->action.mode = (uint8_t)prng_below(p, STEER_BLOCK);
    r->action.klass = (uint8_t)prng_below(p, STEER_CLASS_COUNT);
    r->action.links_count = (uint8_t)prng_below(p, 3);
    for (unsigned n = 0; n < r->action.links_count; n++)
        snprintf(r->action.links[n], STEER_LINK_NAMELEN, "link%u", n);
}

static void test_lookup_against_scan(void **state)
{
    struct prng p;

    prng_init(&p, 11);
    for (int round = 0; round < 40; round++) {
        size_t rules = prng_below(&p, STEER_RULES_MAX + 1);

        steer_table_init(&table);
        for (size_t n = 0; n < rules; n++) {
            struct steer_rule r;

            random_rule(&p, &r);
            steer_table_add(&table, &r, NULL);
        }
        steer_table_compile(&table);
        for (int n = 0; n < 500; n++) {
            bool v6 = prng_below(&p, 2), mirrored = prng_below(&p, 2);
            struct packet_info i = { .family = v6 ? ADDR_V6 : ADDR_V4,
                                     .proto = (uint8_t[]){ PROTO_TCP, PROTO_UDP, PROTO_ICMP }[prng_below(&p, 3)],
                                     .dscp = (uint8_t)prng_below(&p, 2),
                                     .sport = (uint16_t)prng_below(&p, 5),
                                     .dport = (uint16_t)prng_below(&p, 5) };
            uint32_t mark = (uint32_t)prng_below(&p, 4);

            i.src = random_addr(&p, v6);
            i.dst = random_addr(&p, v6);
            assert_int_equal(steer_lookup(&table, &i, mark, mirrored), model_lookup(&table, &i, mark, mirrored));
        }
    }
}

static void test_fragments_match_no_port(void **state)
{
    struct packet_info i = packet("192.0.2.1", PROTO_UDP, 0);

    steer_table_init(&table);
    add("any udp 0-65535 mode block");
    add("any udp mode redundant");
    steer_table_compile(&table);
    assert_int_equal(steer_lookup(&table, &i, 0, false), 0);
    i.fragment = true;
    assert_int_equal(steer_lookup(&table, &i, 0, false), 1);
}

static void test_text_round_trip(void **state)
{
    static const char *const same[] = {
        "203.0.113.0/24 tcp 80,443 via wwan0 mode active-standby class bulk",
        "2001:db8::/32 proto 89 dscp 3 mode priority",
        "any udp 1-2,5 dscp EF mark 0x10/0xff via a,b,c,d,e,f,g,h mode redundant class interactive",
        "192.0.2.1/32 mark 0xffffffff mode bypass",
        "any icmp mode block",
    };
    struct steer_rule r;
    char err[STEER_ERROR_MAX], buf[STEER_TEXT_MAX];

    for (size_t n = 0; n < ARRAY_LEN(same); n++) {
        assert_int_equal(steer_rule_parse(same[n], &r, err, sizeof(err)), 0);
        assert_string_equal(steer_rule_format(&r, false, buf), same[n]);
    }
    assert_int_equal(steer_rule_parse("  192.0.2.1\tmode  block ", &r, err, sizeof(err)), 0);
    assert_string_equal(steer_rule_format(&r, false, buf), "192.0.2.1/32 mode block");
    assert_int_equal(steer_rule_parse("any proto 6 443 dscp 46 mark 16", &r, err, sizeof(err)), 0);
    assert_string_equal(steer_rule_format(&r, false, buf), "any tcp 443 dscp EF mark 0x10 mode stripe");
    assert_int_equal(steer_rule_parse("default mode stripe", &r, err, sizeof(err)), 1);
    assert_string_equal(steer_rule_format(&r, true, buf), "default mode stripe");
}

static void test_text_errors(void **state)
{
    static const struct {
        const char *text, *part; /* what the message must say */
    } bad[] = {
        { "", "found nothing: expected a destination" },
        { "tcp 80", "found `tcp`: expected a destination" },
        { "defualt mode stripe", "did you mean `default`?" },
        { "203.0.113.1/24", "did you mean `203.0.113.0/24`?" },
        { "203.0.113.0/33", "expected a prefix length of 0..32" },
        { "any mode strpie", "did you mean `stripe`?" },
        { "any mode", "nothing behind `mode`" },
        { "any moed stripe", "did you mean `mode`?" },
        { "any class blk", "did you mean `bulk`?" },
        { "any 80", "expected tcp, udp or sctp before" },
        { "any icmp 80", "expected tcp, udp or sctp before" },
        { "any tcp 80,", "found ports `80,`" },
        { "any tcp 80-70", "found ports `80-70`" },
        { "any tcp 65536", "0..65535" },
        { "any tcp 80 443", "put a comma between" },
        { "any tcp 1,2,3,4,5,6,7,8,9", "more than 8 ports" },
        { "any tcp udp", "found `udp`: a protocol was given already" },
        { "any dscp EG", "did you mean `EF`?" },
        { "any dscp 64", "0..63" },
        { "any mark 0x100/0xff", "covers every bit" },
        { "any mark 0/0", "not 0" },
        { "any proto 0", "1..255" },
        { "any via eth0,eth0", "found link `eth0` twice" },
        { "any via eth0,", "found link ``" },
        { "any via a2345678901234567", "name of 1..15 bytes" },
        { "any via a,b,c,d,e,f,g,h,i", "more than 8 links" },
        { "any mode block via eth0", "what is blocked takes no link" },
        { "default tcp", "the default has no conditions" },
        { "any mode stripe mode stripe", "mode was given already" },
    };
    struct steer_rule r;
    char err[STEER_ERROR_MAX], word[400];

    for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
        err[0] = '\0';
        assert_int_equal(steer_rule_parse(bad[n].text, &r, err, sizeof(err)), -EINVAL);
        if (!strstr(err, bad[n].part))
            fail_msg("`%s` gave `%s`", bad[n].text, err);
    }
    memset(word, 'x', sizeof(word) - 1);
    word[sizeof(word) - 1] = '\0';
    assert_int_equal(steer_rule_parse(word, &r, err, sizeof(err)), -EINVAL);
}

static void test_table_limits(void **state)
{
    char err[STEER_ERROR_MAX], text[64];

    steer_table_init(&table);
    for (unsigned n = 0; n < STEER_RULES_MAX; n++) {
        snprintf(text, sizeof(text), "10.0.%u.0/24", n);
        add(text);
    }
    assert_int_equal(steer_table_add_text(&table, "10.1.0.0/16", err, sizeof(err)), -ENOSPC);
    assert_non_null(strstr(err, "more than 256 rules"));
    assert_int_equal(steer_table_add_text(&table, "10.0.3.0/24 mode block", err, sizeof(err)), -EEXIST);
    assert_non_null(strstr(err, "rule 4 "));
    add("default mode block");
    assert_int_equal(steer_table_add_text(&table, "default mode stripe", err, sizeof(err)), -EEXIST);
    steer_table_compile(&table);
    assert_int_equal(look("10.0.255.1", PROTO_TCP, 1, 0), 255);
    assert_int_equal(steer_action_of(&table, look("10.1.0.1", PROTO_TCP, 1, 0))->mode, STEER_BLOCK);
}

static void test_wire_bytes(void **state)
{
    static const uint8_t expected[] = {
        0, 0,  0,   9, 0,    1,   5,   0,   0, /* version 9, one rule; default: stripe, auto, all links */
        4, 20, 203, 0, 0x70, 6,   255, 2,   0,   80, 0, 80, 1, 0xbb, 1, 0xbc, /* 203.0.112.0/20 tcp 80,443-444 */
        0, 2,  1,   5, 'w',  'w', 'a', 'n', '0',                              /* active-standby, bulk, wwan0 */
    };
    struct writer w = writer_init(wire, sizeof(wire));

    steer_table_init(&table);
    table.version = 9;
    add("203.0.112.0/20 tcp 80,443-444 via wwan0 mode active-standby class bulk");
    steer_table_encode(&table, &w);
    assert_false(w.failed);
    assert_int_equal(writer_len(&w), sizeof(expected));
    assert_memory_equal(wire, expected, sizeof(expected));
}

static void test_wire_refusals(void **state)
{
    static const uint8_t good[] = { 0, 0,   0, 9, 0,  1, 5,  0, 0, 4, 20, 203, 0,  0x70,
                                    6, 255, 1, 0, 80, 0, 80, 0, 2, 1, 2,  'w', 'w' };
    static const struct {
        size_t at;
        uint8_t value;
    } bad[] = {
        { 4, 2 },     { 6, 10 }, { 7, 3 },   { 8, 9 },  { 9, 5 },    { 9, 0 },    { 10, 33 }, { 10, 129 },
        { 13, 0x71 }, { 14, 1 }, { 15, 64 }, { 16, 9 }, { 18, 81 },  { 21, 10 },  { 21, 7 },  { 22, 3 },
        { 23, 9 },    { 24, 0 }, { 24, 16 }, { 25, 0 }, { 25, '/' }, { 26, ' ' },
    };
    uint8_t buf[sizeof(good)];
    struct reader r = reader_init(good, sizeof(good));

    steer_table_init(&copy);
    copy.version = 1;
    for (size_t n = 0; n < sizeof(good); n++) {
        struct reader cut = reader_init(good, n);
        assert_int_equal(steer_table_decode(&cut, &copy), -EBADMSG);
    }
    for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
        struct reader b = reader_init(buf, sizeof(buf));

        memcpy(buf, good, sizeof(good));
        buf[bad[n].at] = bad[n].value;
        assert_int_equal(steer_table_decode(&b, &copy), -EBADMSG);
    }
    assert_int_equal(copy.version, 1);
    assert_int_equal(copy.count, 0);
    assert_int_equal(steer_table_decode(&r, &copy), 0);
    assert_true(reader_done(&r));
    assert_int_equal(copy.version, 9);
}

static void test_wire_round_trip_of_the_largest(void **state)
{
    char text[256];
    struct writer w = writer_init(wire, sizeof(wire));
    struct reader r;
    static const char links[] = "aaaaaaaaaaaaaa1,aaaaaaaaaaaaaa2,aaaaaaaaaaaaaa3,aaaaaaaaaaaaaa4,aaaaaaaaaaaaaa5,"
                                "aaaaaaaaaaaaaa6,aaaaaaaaaaaaaa7,aaaaaaaaaaaaaa8";

    steer_table_init(&table);
    for (unsigned n = 0; n < STEER_RULES_MAX; n++) {
        snprintf(text, sizeof(text), "2001:db8::%x/128 tcp 1,2,3,4,5,6,7,8 via %s", n + 1, links);
        add(text);
    }
    snprintf(text, sizeof(text), "default via %s", links);
    add(text);
    steer_table_compile(&table);
    steer_table_encode(&table, &w);
    assert_false(w.failed);
    assert_int_equal(writer_len(&w), STEER_WIRE_MAX);
    r = reader_init(wire, writer_len(&w));
    assert_int_equal(steer_table_decode(&r, &copy), 0);
    assert_true(reader_done(&r));
    assert_memory_equal(&copy, &table, sizeof(table));
}

static void test_classes(void **state)
{
    struct steer_action a = { .klass = STEER_AUTO };
    struct packet_info i = packet("192.0.2.1", PROTO_TCP, 443);
    static const uint8_t interactive[] = { 46, 34, 36, 38, 40, 48 };

    assert_int_equal(steer_classify(&a, &i), STEER_BULK);
    for (size_t n = 0; n < ARRAY_LEN(interactive); n++) {
        i.dscp = interactive[n];
        assert_int_equal(steer_classify(&a, &i), STEER_INTERACTIVE);
    }
    a.klass = STEER_BULK;
    assert_int_equal(steer_classify(&a, &i), STEER_BULK);
    a.klass = STEER_AUTO;
    i = packet("192.0.2.1", PROTO_TCP, 22);
    assert_int_equal(steer_classify(&a, &i), STEER_INTERACTIVE);
    i.dscp = 8; /* CS1 */
    assert_int_equal(steer_classify(&a, &i), STEER_BULK);
    i = packet("192.0.2.1", PROTO_UDP, 443);
    assert_int_equal(steer_classify(&a, &i), STEER_BULK);
    i.total_len = 200;
    assert_int_equal(steer_classify(&a, &i), STEER_INTERACTIVE);
    i = packet("192.0.2.1", PROTO_ICMP, 0);
    assert_int_equal(steer_classify(&a, &i), STEER_INTERACTIVE);
    i = packet("2001:db8::1", PROTO_ICMPV6, 0);
    assert_int_equal(steer_classify(&a, &i), STEER_INTERACTIVE);
    i = packet("2001:db8::1", PROTO_UDP, 53);
    assert_int_equal(steer_classify(&a, &i), STEER_INTERACTIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_mark_is_of_the_node),
        cmocka_unit_test(test_lookup_against_scan),
        cmocka_unit_test(test_fragments_match_no_port),
        cmocka_unit_test(test_text_round_trip),
        cmocka_unit_test(test_text_errors),
        cmocka_unit_test(test_table_limits),
        cmocka_unit_test(test_wire_bytes),
        cmocka_unit_test(test_wire_refusals),
        cmocka_unit_test(test_wire_round_trip_of_the_largest),
        cmocka_unit_test(test_classes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
