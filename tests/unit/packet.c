/* Unit tests of src/tunnel/packet. */
#include "tunnel/packet.h"

#include "base/rng.h"
#include "tests/unit/tunnel.h"

#include <errno.h>

/* 192.0.2.1 -> 198.51.100.2, DSCP EF, ECT(0), DF. */
static const uint8_t v4_tcp[] = {
    0x45, 0xba, 0x00, 0x2c, 0x12, 0x34, 0x40, 0x00, 0x40, 0x06, 0, 0, 192,  0,    2,
    1,    198,  51,   100,  2,    0x04, 0xd2, 0x01, 0xbb, 0,    0, 0, 1,    0,    0,
    0,    0,    0x60, 0x02, 0xff, 0xff, 0,    0,    0,    0,    2, 4, 0x05, 0xb4,
};

static void test_v4_tcp(void **state)
{
    struct packet_info i;
    struct addr src = addr_v4(0xc0000201), dst = addr_v4(0xc6336402);

    assert_int_equal(packet_parse(v4_tcp, sizeof(v4_tcp), &i), 0);
    assert_int_equal(i.family, ADDR_V4);
    assert_int_equal(i.proto, 6);
    assert_int_equal(i.dscp, 46);
    assert_int_equal(i.ecn, 2);
    assert_int_equal(i.tcp_flags, TCP_SYN);
    assert_false(i.fragment);
    assert_true(i.dont_fragment);
    assert_true(addr_equal(&i.src, &src));
    assert_true(addr_equal(&i.dst, &dst));
    assert_int_equal(i.sport, 1234);
    assert_int_equal(i.dport, 443);
    assert_int_equal(i.l3_len, 20);
    assert_int_equal(i.l4_off, 20);
    assert_int_equal(i.payload_off, 44);
    assert_int_equal(i.total_len, 44);
}

static void test_v4_refusals(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
        int expected;
    } cases[] = {
        { 0, 0x55, -EPROTONOSUPPORT }, { 0, 0x44, -EBADMSG }, { 0, 0x4f, -EBADMSG },
        { 3, 45, -EBADMSG },           { 3, 19, -EBADMSG },   { 32, 0x40, -EBADMSG },
        { 32, 0x70, -EBADMSG },        { 3, 43, -EBADMSG }, /* the TCP header no longer fits */
    };
    struct packet_info i;
    uint8_t pkt[sizeof(v4_tcp) + 1] = { 0 };

    for (size_t n = 0; n < sizeof(v4_tcp); n++)
        assert_int_equal(packet_parse(v4_tcp, n, &i), -EBADMSG);
    for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
        memcpy(pkt, v4_tcp, sizeof(v4_tcp));
        pkt[cases[c].at] = cases[c].value;
        assert_int_equal(packet_parse(pkt, sizeof(v4_tcp), &i), cases[c].expected);
    }
    /* Padding behind the packet is not part of it. */
    memcpy(pkt, v4_tcp, sizeof(v4_tcp));
    assert_int_equal(packet_parse(pkt, sizeof(pkt), &i), 0);
    assert_int_equal(i.total_len, sizeof(v4_tcp));
}

static void test_v4_fragments(void **state)
{
    uint8_t pkt[sizeof(v4_tcp)], key[16] = { 1 };
    struct packet_info first, second, other, whole;

    memcpy(pkt, v4_tcp, sizeof(pkt));
    assert_int_equal(packet_parse(pkt, sizeof(pkt), &whole), 0);
    pkt[6] = 0x20;
    assert_int_equal(packet_parse(pkt, sizeof(pkt), &first), 0);
    assert_true(first.fragment);
    assert_int_equal(first.frag_off, 0);
    assert_int_equal(first.frag_id, 0x1234);
    assert_int_equal(first.sport, 0);
    pkt[6] = 0, pkt[7] = 3;
    memset(pkt + 20, 0xee, 24);
    assert_int_equal(packet_parse(pkt, sizeof(pkt), &second), 0);
    assert_int_equal(second.frag_off, 24);
    assert_int_equal(packet_flow_hash(&first, key), packet_flow_hash(&second, key));
    assert_int_not_equal(packet_flow_hash(&first, key), packet_flow_hash(&whole, key));
    pkt[5] ^= 1;
    assert_int_equal(packet_parse(pkt, sizeof(pkt), &other), 0);
    assert_int_not_equal(packet_flow_hash(&other, key), packet_flow_hash(&second, key));
    /* 8189 * 8 = 65512 and 24 bytes more end behind 65535. */
    pkt[6] = 0x1f, pkt[7] = 0xfd;
    assert_int_equal(packet_parse(pkt, sizeof(pkt), &other), -EBADMSG);
    pkt[7] = 0xfc; /* 65504 + 24 = 65528 */
    assert_int_equal(packet_parse(pkt, sizeof(pkt), &other), 0);
}

/* An IPv6 packet of the given chain: payload behind the fixed header. */
static size_t make_v6(uint8_t *pkt, uint8_t next, const uint8_t *rest, size_t len)
{
    memset(pkt, 0, 40);
    pkt[0] = 0x6b; /* traffic class 0xb9: EF, ECT(1) */
    pkt[1] = 0x90;
    put_be16(pkt + 4, (uint16_t)len);
    pkt[6] = next;
    pkt[7] = 64;
    pkt[8] = pkt[24] = 0x20;
    pkt[9] = pkt[25] = 0x01;
    pkt[23] = 1, pkt[39] = 2;
    if (len > 0)
        memcpy(pkt + 40, rest, len);
    return 40 + len;
}

static void test_v6_chain(void **state)
{
    static const uint8_t chain[] = {
        60,   0,    1, 4,  0, 0, 0, 0,                           /* hop-by-hop */
        43,   1,    1, 12, 0, 0, 0, 0, 0,   0, 0, 0, 0, 0, 0, 0, /* destination options, 16 bytes */
        44,   2,    0, 0,  0, 0, 0, 0, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* routing, no segments left */
        17,   0,    0, 0,  0, 0, 0, 9,                                                   /* atomic fragment */
        0x30, 0x39, 0, 53, 0, 9, 0, 0, 'x',
    };
    uint8_t pkt[40 + sizeof(chain)];
    struct packet_info i;
    size_t len = make_v6(pkt, 0, chain, sizeof(chain));

    assert_int_equal(packet_parse(pkt, len, &i), 0);
    assert_int_equal(i.family, ADDR_V6);
    assert_int_equal(i.dscp, 46);
    assert_int_equal(i.ecn, 1);
    assert_int_equal(i.proto, 17);
    assert_false(i.fragment);
    assert_false(i.routed);
    assert_int_equal(i.sport, 12345);
    assert_int_equal(i.dport, 53);
    assert_int_equal(i.l3_len, 40);
    assert_int_equal(i.l4_off, 40 + 56);
    assert_int_equal(i.payload_off, 40 + 64);
    pkt[40 + 27] = 1;
    assert_int_equal(packet_parse(pkt, len, &i), 0);
    assert_true(i.routed);
    for (size_t n = 0; n < len; n++) {
        assert_int_equal(packet_parse(pkt, n, &i), -EBADMSG);
        /* The same cut, with a payload length that agrees. */
        if (n > 40) {
            put_be16(pkt + 4, (uint16_t)(n - 40));
            assert_int_equal(packet_parse(pkt, n, &i), -EBADMSG);
            put_be16(pkt + 4, sizeof(chain));
        }
    }
    pkt[40 + 8] = 0; /* hop-by-hop once more, not first */
    assert_int_equal(packet_parse(pkt, len, &i), -EBADMSG);
}

static void test_v6_limits(void **state)
{
    uint8_t rest[9 * 8 + 8] = { 0 }, pkt[40 + sizeof(rest)];
    struct packet_info i;
    size_t len;

    /* Nine destination options are one too many; eight are not. */
    for (int n = 0; n < 9; n++)
        rest[n * 8] = n == 8 ? 59 : 60;
    len = make_v6(pkt, 60, rest, sizeof(rest));
    assert_int_equal(packet_parse(pkt, len, &i), -EBADMSG);
    pkt[40 + 7 * 8] = 59;
    assert_int_equal(packet_parse(pkt, len, &i), 0);
    assert_int_equal(i.proto, 59);
    assert_int_equal(i.l4_off, 40 + 64);
    make_v6(pkt, 0, rest, 0);
    assert_int_equal(packet_parse(pkt, 40, &i), -EMSGSIZE); /* payload length 0 and hop-by-hop: a jumbogram */
    put_be16(pkt + 4, 65535);
    assert_int_equal(packet_parse(pkt, sizeof(pkt), &i), -EMSGSIZE);
}

static void test_v6_fragments_hash_alike(void **state)
{
    /* The first fragment holds destination options before its UDP header; the second cannot tell. */
    static const uint8_t first[] = { 60, 0, 0, 1, 0, 0, 0, 7, 17, 0, 1, 4, 0, 0, 0, 0, 0, 1, 0, 2, 0, 99, 0, 0 };
    static const uint8_t second[] = { 60, 0, 0, 16, 0, 0, 0, 7, 1, 2, 3 };
    uint8_t pkt[80], key[16] = { 0 };
    struct packet_info a, b;
    size_t len = make_v6(pkt, 44, first, sizeof(first));

    assert_int_equal(packet_parse(pkt, len, &a), 0);
    len = make_v6(pkt, 44, second, sizeof(second));
    assert_int_equal(packet_parse(pkt, len, &b), 0);
    assert_true(a.fragment && b.fragment);
    assert_int_equal(b.frag_off, 16);
    assert_int_equal(a.frag_id, 7);
    assert_int_equal(packet_flow_hash(&a, key), packet_flow_hash(&b, key));
}

static void test_icmp_echo(void **state)
{
    uint8_t pkt[28] = {
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 8, 0, 0, 0, 0x12, 0x34, 0, 1
    };
    uint8_t key[16] = { 0 };
    struct packet_info a, b;

    assert_int_equal(packet_parse(pkt, sizeof(pkt), &a), 0);
    assert_int_equal(a.sport, 0x1234);
    assert_int_equal(a.dport, 0x1234);
    assert_int_equal(a.payload_off, 28);
    pkt[27] = 2; /* the next echo of the same ping */
    assert_int_equal(packet_parse(pkt, sizeof(pkt), &b), 0);
    assert_int_equal(packet_flow_hash(&a, key), packet_flow_hash(&b, key));
    pkt[24] = 0; /* another ping */
    assert_int_equal(packet_parse(pkt, sizeof(pkt), &b), 0);
    assert_int_not_equal(packet_flow_hash(&a, key), packet_flow_hash(&b, key));
    pkt[20] = 3;
    assert_int_equal(packet_parse(pkt, sizeof(pkt), &a), 0);
    assert_int_equal(a.sport, 0);
}

static void test_checksums(void **state)
{
    /* RFC 1071 section 3: the sum of these is ddf2. */
    static const uint8_t example[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
    uint8_t buf[300];
    struct prng p;

    assert_int_equal(csum_fold(csum_add(0, example, 8)), 0xddf2);
    /* RFC 1624 section 4: dd2f, the field goes from 5555 to 3285, the result is 0000. */
    assert_int_equal(csum_update16(0xdd2f, 0x5555, 0x3285), 0x0000);
    prng_init(&p, 7);
    for (int n = 0; n < 3000; n++) {
        size_t len = prng_below(&p, sizeof(buf)), at = prng_below(&p, len / 2 + 1) * 2;
        uint16_t check, to = (uint16_t)prng_u64(&p);

        for (size_t i = 0; i < len; i++)
            buf[i] = n % 3 ? (uint8_t)prng_u64(&p) : 0xff;
        assert_int_equal(csum_fold(csum_add(0, buf, len)), judge_sum(0, buf, len));
        assert_int_equal(csum_fold(csum_add(csum_add(0, buf, at), buf + at, len - at)), judge_sum(0, buf, len));
        if (len < 4 || at + 2 > len)
            continue;
        check = csum_finish(csum_add(0, buf, len));
        check = csum_update16(check, get_be16(buf + at), to);
        put_be16(buf + at, to);
        assert_int_equal(check, (uint16_t)~judge_sum(0, buf, len));
    }
}

static void test_pseudo_header(void **state)
{
    uint8_t pseudo[12] = { 192, 0, 2, 1, 198, 51, 100, 2, 0, 6, 0, 24 };
    uint8_t v6[40], pseudo6[40] = { 0 };

    assert_int_equal(csum_fold(csum_pseudo(v4_tcp, 6, 24)), judge_sum(0, pseudo, sizeof(pseudo)));
    make_v6(v6, 17, NULL, 0);
    memcpy(pseudo6, v6 + 8, 32);
    put_be32(pseudo6 + 32, 70000);
    pseudo6[39] = 17;
    assert_int_equal(csum_fold(csum_pseudo(v6, 17, 70000)), judge_sum(0, pseudo6, sizeof(pseudo6)));
}

static void assert_same_info(const struct packet_info *a, const struct packet_info *b)
{
    assert_true(addr_equal(&a->src, &b->src) && addr_equal(&a->dst, &b->dst));
    assert_int_equal(a->family, b->family);
    assert_int_equal(a->proto, b->proto);
    assert_int_equal(a->dscp << 2 | a->ecn, b->dscp << 2 | b->ecn);
    assert_int_equal(a->tcp_flags, b->tcp_flags);
    assert_int_equal(a->fragment, b->fragment);
    assert_int_equal(a->dont_fragment, b->dont_fragment);
    assert_int_equal(a->routed, b->routed);
    assert_int_equal(a->sport, b->sport);
    assert_int_equal(a->dport, b->dport);
    assert_int_equal(a->frag_id, b->frag_id);
    assert_int_equal(a->frag_off, b->frag_off);
    assert_int_equal(a->l3_len, b->l3_len);
    assert_int_equal(a->l4_off, b->l4_off);
    assert_int_equal(a->payload_off, b->payload_off);
    assert_int_equal(a->total_len, b->total_len);
}

/* Whatever one byte of the next packet is, a run says of it what packet_parse does. Returns how many were the same. */
static unsigned next_of(const uint8_t *pkt, size_t len)
{
    uint8_t next[128];
    unsigned count = 0;

    assert_true(len + 4 <= sizeof(next));
    for (size_t at = 0; at < len; at++)
        for (unsigned value = 0; value < 256; value++) {
            struct packet_run run = { 0 };
            struct packet_info whole;
            bool same;
            int r;

            assert_int_equal(packet_parse_next(&run, pkt, len, &same), 0);
            assert_false(same);
            memcpy(next, pkt, len);
            memset(next + len, 0, 4);
            next[at] = (uint8_t)value;
            r = packet_parse(next, len + 4, &whole);
            assert_int_equal(packet_parse_next(&run, next, len + 4, &same), r);
            count += same;
            if (r == 0)
                assert_same_info(&run.info, &whole);
            else
                assert_false(same);
            assert_int_equal(packet_parse_next(&run, pkt, len, &same), 0); /* back in it, or a new one */
            assert_true(same || r < 0 || next[at] != pkt[at]);
        }
    return count;
}

static void test_runs(void **state)
{
    static const uint8_t datagram[] = { 0x04, 0xd2, 0x00, 0x35, 0x00, 0x0c, 0, 0, 1, 2, 3, 4 };
    uint8_t tcp[sizeof(v4_tcp)], v6[40 + sizeof(datagram)];
    struct packet_run run = { 0 };
    bool same;

    memcpy(tcp, v4_tcp, sizeof(tcp));
    tcp[33] = TCP_ACK;
    make_v6(v6, 17, datagram, sizeof(datagram));
    /* Identification, checksums, sequence, acknowledgement, window, options; the length; flags that end nothing. */
    assert_in_range(next_of(tcp, sizeof(tcp)), 20 * 256, 25 * 256);
    assert_in_range(next_of(v6, sizeof(v6)), 6 * 256, 8 * 256);

    assert_int_equal(packet_parse_next(&run, tcp, sizeof(tcp), &same), 0);
    assert_int_equal(packet_parse_next(&run, tcp, sizeof(tcp), &same), 0);
    assert_true(same);
    tcp[33] |= TCP_FIN;
    assert_int_equal(packet_parse_next(&run, tcp, sizeof(tcp), &same), 0);
    assert_false(same);
    assert_int_equal(packet_parse_next(&run, tcp, 19, &same), -EBADMSG);
    assert_int_equal(packet_parse_next(&run, tcp, sizeof(tcp), &same), 0);
    assert_false(same); /* what is not a packet ends a run */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v4_tcp),        cmocka_unit_test(test_v4_refusals),
        cmocka_unit_test(test_v4_fragments),  cmocka_unit_test(test_v6_chain),
        cmocka_unit_test(test_v6_limits),     cmocka_unit_test(test_v6_fragments_hash_alike),
        cmocka_unit_test(test_icmp_echo),     cmocka_unit_test(test_checksums),
        cmocka_unit_test(test_pseudo_header), cmocka_unit_test(test_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
