/* Unit tests of tcp_icmp_parse (src/tunnel/tcp.h): errors by hand, as the RFCs draw them, and those of ptb.h. */
#include "base/addr.h"
#include "tests/unit/tcp_seg.h"
#include "tests/unit/tunnel.h"
#include "tunnel/ptb.h"
#include "tunnel/tcp.h"

static uint8_t pkt[2000];

/* The packet that the error is about: from 192.0.2.1 port 40000 (or 2001:db8::1) to 198.51.100.2 port 443 (or
 * 2001:db8::2), number 0x12345678. Its length. */
static size_t cook_quote(bool v6, uint8_t *out)
{
    struct seg syn = { .v6 = v6, .seq = 0x12345678, .flags = SEG_SYN, .mss = 1460 };

    return seg_write(&syn, out);
}

/* An error from 10.0.0.1 (or 2001:db8:ff::1) with so many bytes of a quote. The length. */
static size_t cook_error(bool v6, uint8_t type, uint8_t code, uint32_t rest, const uint8_t *quote, size_t quote_len)
{
    size_t l3 = v6 ? 40 : 20, len = l3 + 8 + quote_len;

    memset(pkt, 0, l3 + 8);
    if (v6) {
        pkt[0] = 0x60;
        put_be16(pkt + 4, (uint16_t)(8 + quote_len));
        pkt[6] = 58;
        pkt[7] = 64;
        memcpy(pkt + 8, (uint8_t[]){ 0x20, 1, 0xd, 0xb8, 0, 0xff, [15] = 1 }, 16);
        memcpy(pkt + 24, (uint8_t[]){ 0x20, 1, 0xd, 0xb8, [15] = 1 }, 16);
    } else {
        pkt[0] = 0x45;
        put_be16(pkt + 2, (uint16_t)len);
        pkt[8] = 64;
        pkt[9] = 1;
        memcpy(pkt + 12, (uint8_t[]){ 10, 0, 0, 1, 192, 0, 2, 1 }, 8);
        put_be16(pkt + 10, (uint16_t)~seg_sum(0, pkt, 20));
    }
    pkt[l3] = type;
    pkt[l3 + 1] = code;
    put_be32(pkt + l3 + 4, rest);
    if (quote_len > 0)
        memcpy(pkt + l3 + 8, quote, quote_len);
    put_be16(pkt + l3 + 2, (uint16_t)~judge_sum(v6 ? judge_pseudo(pkt, len - l3) : 0, pkt + l3, len - l3));
    judge_packet(pkt, len);
    return len;
}

static bool parse(size_t len, struct tcp_icmp *ret)
{
    uint8_t *exact = malloc(len); /* a sanitizer sees the first byte beyond it */
    struct packet_info info;
    bool ok;

    assert_non_null(exact);
    memcpy(exact, pkt, len);
    ok = packet_parse(exact, len, &info) == 0 && tcp_icmp_parse(exact, &info, ret);
    free(exact);
    return ok;
}

static void expect_ends(const struct tcp_icmp *i, bool v6)
{
    static const struct endpoint local[] = { { { ADDR_V4, { 192, 0, 2, 1 } }, 40000 },
                                             { { ADDR_V6, { 0x20, 1, 0xd, 0xb8, [15] = 1 } }, 40000 } };
    static const struct endpoint peer[] = { { { ADDR_V4, { 198, 51, 100, 2 } }, 443 },
                                            { { ADDR_V6, { 0x20, 1, 0xd, 0xb8, [15] = 2 } }, 443 } };

    assert_true(endpoint_equal(&i->local, &local[v6]));
    assert_true(endpoint_equal(&i->peer, &peer[v6]));
    assert_int_equal(i->seq, 0x12345678);
}

enum {
    TOO_BIG = -2,
    UNKNOWN = -1,
    R = TCP_REFUSED,
    N = TCP_REFUSED_NET,
    H = TCP_REFUSED_HOST,
    P = TCP_REFUSED_PROHIBITED
};

/* All codes of a type; those behind count are UNKNOWN. */
static void judge_codes(bool v6, uint8_t type, const int *expected, size_t count)
{
    uint8_t quote[100];
    size_t len = cook_quote(v6, quote);

    for (unsigned code = 0; code < 256; code++) {
        struct tcp_icmp i = { .seq = 7 };
        bool ok = parse(cook_error(v6, type, (uint8_t)code, 0, quote, len), &i);
        int want = code < count ? expected[code] : UNKNOWN;

        assert_int_equal(ok, want != UNKNOWN);
        if (!ok) {
            assert_int_equal(i.seq, 7);
            continue;
        }
        expect_ends(&i, v6);
        assert_int_equal(i.too_big, want == TOO_BIG);
        if (want != TOO_BIG)
            assert_int_equal(i.why, want);
    }
}

static void test_v4_codes(void **state)
{
    /* RFC 792: net, host, protocol, port, fragmentation needed, source route failed; RFC 1122 3.2.2.1: net and host
     * unknown, source isolated, net and host prohibited, net and host for the type of service; RFC 1812 5.2.7.1:
     * communication prohibited, host precedence violation, precedence cutoff. */
    static const int expected[] = { N, H, R, R, TOO_BIG, H, N, H, H, P, P, N, H, P, P, P };

    judge_codes(false, 3, expected, ARRAY_LEN(expected));
}

static void test_v6_codes(void **state)
{
    /* RFC 4443 3.1: no route, prohibited, beyond scope, address, port, source policy, reject route; RFC 6554. */
    static const int expected[] = { N, P, H, H, R, P, P, H };

    judge_codes(true, 1, expected, ARRAY_LEN(expected));
}

static void test_too_big(void **state)
{
    static const struct {
        bool v6;
        uint8_t code;
        uint32_t rest;
        int mtu; /* -1: discarded */
    } cases[] = {
        { false, 4, 1400, 1400 },
        { false, 4, 0xbeef0000 | 1400, 1400 }, /* the upper half is unused, or a length (RFC 4884) */
        { false, 4, 0, 0 },                    /* a router older than RFC 1191 */
        { false, 4, 65535, 65535 },
        { true, 0, 1400, 1400 },
        { true, 9, 1280, 1280 }, /* RFC 4443 3.2: the code is ignored */
        { true, 0, 1279, -1 },   /* RFC 8201 section 4 */
        { true, 0, 0, -1 },
        { true, 0, 65536, 65535 }, /* more than any packet of ours */
        { true, 0, 1u << 31, 65535 },
    };
    uint8_t quote[100];

    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        bool v6 = cases[c].v6;
        size_t len = cook_quote(v6, quote);
        struct tcp_icmp i = { 0 };
        bool ok = parse(cook_error(v6, v6 ? 2 : 3, cases[c].code, cases[c].rest, quote, len), &i);

        assert_int_equal(ok, cases[c].mtu >= 0);
        if (!ok)
            continue;
        expect_ends(&i, v6);
        assert_true(i.too_big);
        assert_int_equal(i.mtu, cases[c].mtu);
    }
}

static void test_other_types(void **state)
{
    uint8_t quote[100];

    for (int v6 = 0; v6 < 2; v6++) {
        size_t len = cook_quote(v6, quote);

        for (unsigned type = 0; type < 256; type++) {
            struct tcp_icmp i;
            bool known = v6 ? type == 1 || type == 2 : type == 3;

            assert_int_equal(parse(cook_error(v6, (uint8_t)type, 0, 1400, quote, len), &i), known);
        }
    }
}

/* Every cut of the quote; eight bytes of TCP are enough (RFC 792). */
static void test_cut(void **state)
{
    uint8_t quote[100];

    for (int v6 = 0; v6 < 2; v6++) {
        size_t len = cook_quote(v6, quote), enough = v6 ? 48 : 28;

        for (size_t n = 0; n <= len; n++) {
            struct tcp_icmp i = { .seq = 7 };

            assert_int_equal(parse(cook_error(v6, v6 ? 1 : 3, 1, 0, quote, n), &i), n >= enough);
            if (n >= enough)
                expect_ends(&i, v6);
            else
                assert_int_equal(i.seq, 7);
        }
    }
}

static void test_checksum(void **state)
{
    uint8_t quote[100];

    for (int v6 = 0; v6 < 2; v6++) {
        size_t len = cook_error(v6, v6 ? 1 : 3, 1, 0, quote, cook_quote(v6, quote));
        struct tcp_icmp i;

        for (size_t at = v6 ? 40 : 20; at < len; at++) {
            pkt[at] ^= 0x10;
            assert_false(parse(len, &i));
            pkt[at] ^= 0x10;
        }
        assert_true(parse(len, &i));
        if (v6) { /* the pseudo-header counts: the same from another router is wrong */
            pkt[23] ^= 1;
            assert_false(parse(len, &i));
        }
    }
}

/* A quote with options is taken, wherever they came from. */
static void test_quote_with_options(void **state)
{
    uint8_t plain[100], quote[100];
    size_t len = cook_quote(false, plain);

    for (size_t words = 5; words < 16; words++) {
        size_t l3 = words * 4;
        struct tcp_icmp i;

        memset(quote, 1, sizeof(quote));
        memcpy(quote, plain, 20);
        quote[0] = (uint8_t)(0x40 | words);
        memcpy(quote + l3, plain + 20, len - 20);
        assert_true(parse(cook_error(false, 3, 0, 0, quote, l3 + 8), &i));
        expect_ends(&i, false);
        assert_false(parse(cook_error(false, 3, 0, 0, quote, l3 + 7), &i));
    }
    plain[0] = 0x44; /* shorter than a header */
    assert_false(parse(cook_error(false, 3, 0, 0, plain, len), &(struct tcp_icmp){ 0 }));
}

static void test_not_ours(void **state)
{
    static const struct {
        bool v6;
        uint8_t at, value; /* of the quote */
    } cases[] = {
        { false, 9, 17 },   { false, 9, 1 },                                        /* UDP, ICMP */
        { true, 6, 17 },    { true, 6, 58 },   { true, 6, 0 },     { true, 6, 44 }, /* and extension headers */
        { false, 6, 0x20 }, { false, 7, 1 },   /* fragments: the first, and another */
        { false, 0, 0x65 }, { true, 0, 0x45 }, /* the other family */
        { false, 0, 0x05 }, { true, 0, 0x00 }, { false, 12, 193 }, { true, 23, 9 }, /* not of whom it is sent to */
    };

    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        bool v6 = cases[c].v6;
        uint8_t quote[100];
        size_t len = cook_quote(v6, quote);
        struct tcp_icmp i;

        assert_true(parse(cook_error(v6, v6 ? 1 : 3, 0, 0, quote, len), &i));
        quote[cases[c].at] = cases[c].value;
        assert_false(parse(cook_error(v6, v6 ? 1 : 3, 0, 0, quote, len), &i));
    }
}

/* The error itself is a fragment, or its last destination is another. */
static void test_outside(void **state)
{
    uint8_t quote[100], whole[200];
    struct packet_info info;
    struct tcp_icmp i;
    size_t len = cook_error(false, 3, 0, 0, quote, cook_quote(false, quote));

    pkt[6] = 0x20;
    assert_false(parse(len, &i));
    pkt[6] = 0;
    assert_true(parse(len, &i));
    pkt[9] = 58; /* ICMPv6 in IPv4 */
    assert_false(parse(len, &i));

    len = cook_error(true, 1, 0, 0, quote, cook_quote(true, quote));
    memcpy(whole, pkt, 40);
    memcpy(whole + 64, pkt + 40, len - 40);
    memset(whole + 40, 0, 24);
    whole[6] = 43; /* a routing header, one segment left */
    whole[40] = 58;
    whole[41] = 2;
    whole[43] = 1;
    put_be16(whole + 4, (uint16_t)(len + 24 - 40));
    assert_int_equal(packet_parse(whole, len + 24, &info), 0);
    assert_true(info.routed && info.proto == 58);
    assert_false(tcp_icmp_parse(whole, &info, &i));
    whole[43] = 0; /* none left: it has arrived */
    assert_int_equal(packet_parse(whole, len + 24, &info), 0);
    assert_true(tcp_icmp_parse(whole, &info, &i));
}

/* What a Hawser on the way says. */
static void test_of_a_router_of_ours(void **state)
{
    static const struct addr routers[] = { { ADDR_V4, { 10, 0, 0, 1 } }, { ADDR_V6, { 0x20, 1, [15] = 9 } } };
    static const enum tcp_refusal why[] = { [UNREACHABLE_NET] = TCP_REFUSED_NET,
                                            [UNREACHABLE_HOST] = TCP_REFUSED_HOST,
                                            [UNREACHABLE_PROHIBITED] = TCP_REFUSED_PROHIBITED };

    for (int v6 = 0; v6 < 2; v6++) {
        uint8_t quote[100];
        struct packet_info info;
        struct tcp_icmp i;
        int len;

        assert_int_equal(packet_parse(quote, cook_quote(v6, quote), &info), 0);
        for (enum unreachable_reason r = 0; r < UNREACHABLE_COUNT; r++) {
            len = unreachable_make(pkt, PTB_MAX, quote, &info, &routers[v6], r);
            assert_true(len > 0);
            assert_true(parse((size_t)len, &i));
            expect_ends(&i, v6);
            assert_true(!i.too_big && i.why == why[r]);
        }
        len = ptb_make(pkt, PTB_MAX, quote, &info, &routers[v6], 1300);
        assert_true(len > 0);
        assert_true(parse((size_t)len, &i));
        expect_ends(&i, v6);
        assert_true(i.too_big && i.mtu == 1300);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v4_codes),
        cmocka_unit_test(test_v6_codes),
        cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_other_types),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_checksum),
        cmocka_unit_test(test_quote_with_options),
        cmocka_unit_test(test_not_ours),
        cmocka_unit_test(test_outside),
        cmocka_unit_test(test_of_a_router_of_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
