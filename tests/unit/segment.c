/* Unit tests of src/tunnel/segment. */
#include "tunnel/segment.h"

#include "base/rng.h"
#include "tests/unit/tunnel.h"

#include <errno.h>

static uint8_t payload[65535], pkt[65536], out[65536];

static const uint8_t stamps[] = { 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8 };

static void test_offload_bytes(void **state)
{
    /* virtio 1.2, 5.1.6: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, little-endian. */
    static const uint8_t hdr[OFFLOAD_HDR_LEN] = { 1, 4, 0x3c, 0, 0x78, 5, 0x28, 0, 0x10, 0 };
    uint8_t back[OFFLOAD_HDR_LEN];
    struct offload o;

    offload_parse(hdr, &o);
    assert_int_equal(o.flags, OFFLOAD_NEEDS_CSUM);
    assert_int_equal(o.gso_type, OFFLOAD_GSO_TCPV6);
    assert_int_equal(o.hdr_len, 60);
    assert_int_equal(o.gso_size, 1400);
    assert_int_equal(o.csum_start, 40);
    assert_int_equal(o.csum_offset, 16);
    offload_format(&o, back);
    assert_memory_equal(back, hdr, sizeof(hdr));
}

/* Headers and payload apart are the whole piece, but for the checksum at `check`, which is owed. */
static void headers_alone(struct segment *s, const uint8_t *whole, size_t hdr, size_t part, size_t check)
{
    uint8_t headers[PACKET_HDR_MAX];
    const uint8_t *tail;
    size_t tail_len;

    assert_int_equal(segment_next_headers(s, headers, hdr - 1, &tail, &tail_len), -ENOSPC);
    assert_int_equal(segment_next_headers(s, headers, sizeof(headers), &tail, &tail_len), hdr);
    assert_int_equal(tail_len, part);
    memcpy(headers + check, whole + check, 2);
    assert_memory_equal(headers, whole, hdr);
    assert_memory_equal(tail, whole + hdr, part);
}

static void cut_and_judge(const struct recipe *r, uint16_t gso_size)
{
    size_t len = cook(r, pkt), l3 = r->v6 ? 40 : 20, hdr = l3 + (r->udp ? 8 : 20 + r->options_len), at = 0;
    size_t count = MAX((r->payload_len + gso_size - 1) / gso_size, 1u);
    struct offload o = { .flags = OFFLOAD_NEEDS_CSUM, .gso_size = gso_size };
    struct segment s, t;

    /* The kernel leaves a partial checksum; anything must do. */
    put_be16(pkt + l3 + (r->udp ? 6 : 16), 0x1234);
    o.gso_type = r->udp ? OFFLOAD_GSO_UDP : r->v6 ? OFFLOAD_GSO_TCPV6 : OFFLOAD_GSO_TCPV4;
    assert_int_equal(segment_init(&s, pkt, len, &o), 0);
    t = s;
    assert_true(t.may_owe);
    t.owe = true;
    assert_int_equal(s.count, count);
    for (size_t n = 0; n < count; n++) {
        size_t part = MIN(gso_size, r->payload_len - at);
        uint8_t flags = r->flags;

        assert_int_equal(segment_next(&s, out, hdr + part - 1), -ENOSPC);
        assert_int_equal(segment_next(&s, out, sizeof(out)), hdr + part);
        headers_alone(&t, out, hdr, part, l3 + (r->udp ? 6 : 16));
        judge_packet(out, hdr + part);
        if (part > 0)
            assert_memory_equal(out + hdr, payload + at, part);
        if (!r->v6)
            assert_int_equal(get_be16(out + 4), (uint16_t)(r->id + n));
        if (!r->udp) {
            if (n > 0)
                flags &= (uint8_t)~TCP_CWR;
            if (n + 1 < count)
                flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
            assert_int_equal(get_be32(out + l3 + 4), (uint32_t)(r->seq + at));
            assert_int_equal(out[l3 + 13], flags);
            assert_memory_equal(out + l3 + 20, r->options, r->options_len);
        }
        at += part;
    }
    assert_int_equal(at, r->payload_len);
    assert_int_equal(segment_next(&s, out, sizeof(out)), 0);
}

static void test_super_packets(void **state)
{
    static const struct {
        size_t payload_len;
        uint16_t gso_size;
    } sizes[] = { { 0, 1400 },    { 1, 1400 },     { 1400, 1400 }, { 1401, 1400 },
                  { 4200, 1400 }, { 65000, 1448 }, { 99, 1 },      { 1000, 333 } };
    struct prng p;

    prng_init(&p, 3);
    for (size_t n = 0; n < sizeof(payload); n++)
        payload[n] = (uint8_t)prng_u64(&p);
    for (size_t n = 0; n < ARRAY_LEN(sizes) * 4; n++) {
        bool udp = n & 1;
        struct recipe r = { .v6 = n & 2,
                            .udp = udp,
                            .seq = 0xffffff00, /* wraps */
                            .id = 0xfffe,
                            .flags = TCP_ACK | TCP_FIN | TCP_PSH | TCP_CWR | TCP_ECE,
                            .options = stamps,
                            .options_len = udp ? 0 : sizeof(stamps),
                            .payload = payload,
                            .payload_len = sizes[n / 4].payload_len };

        cut_and_judge(&r, sizes[n / 4].gso_size);
    }
}

/* Payload that makes the UDP checksum come out as 0, which goes on the wire as ffff. */
static void test_udp_checksum_of_zero(void **state)
{
    uint8_t two[2] = { 0, 0 };
    struct recipe r = { .udp = true, .payload = two, .payload_len = 2 };
    struct offload o = { .flags = OFFLOAD_NEEDS_CSUM, .csum_start = 20, .csum_offset = 6 };
    struct segment s;
    size_t len = cook(&r, pkt);

    memcpy(two, pkt + 26, 2); /* the checksum as payload: the new one is 0 */
    len = cook(&r, pkt);
    put_be16(pkt + 26, judge_pseudo(pkt, len - 20));
    assert_int_equal(segment_init(&s, pkt, len, &o), 0);
    assert_int_equal(segment_next(&s, out, sizeof(out)), len);
    assert_int_equal(get_be16(out + 26), 0xffff);
    o.gso_type = OFFLOAD_GSO_UDP;
    o.gso_size = 100;
    assert_int_equal(segment_init(&s, pkt, len, &o), 0);
    assert_int_equal(segment_next(&s, out, sizeof(out)), len);
    assert_int_equal(get_be16(out + 26), 0xffff);
}

static void test_partial_checksum_completed(void **state)
{
    for (int n = 0; n < 4; n++) {
        struct recipe r = { .v6 = n & 1, .udp = n & 2, .payload = payload, .payload_len = 999 };
        size_t len = cook(&r, pkt), l3 = r.v6 ? 40 : 20;
        struct offload o = { .flags = OFFLOAD_NEEDS_CSUM, .csum_start = (uint16_t)l3, .csum_offset = r.udp ? 6 : 16 };
        struct segment s;

        put_be16(pkt + l3 + o.csum_offset, judge_pseudo(pkt, len - l3));
        assert_int_equal(segment_init(&s, pkt, len + 1, &o), 0); /* a byte of padding */
        assert_int_equal(segment_largest(&s), len);
        assert_int_equal(segment_next(&s, out, sizeof(out)), len);
        judge_packet(out, len);
        assert_int_equal(segment_next(&s, out, sizeof(out)), 0);
        o.flags = 0; /* nothing to complete: a plain copy */
        assert_int_equal(segment_init(&s, pkt, len, &o), 0);
        assert_int_equal(segment_next(&s, out, sizeof(out)), len);
        assert_memory_equal(out, pkt, len);
    }
}

/* Which checksums may be left out, and that nothing else changes then. */
static void test_owed_checksum(void **state)
{
    static const struct {
        struct offload o;
        bool udp, fragment, zero, may;
    } cases[] = {
        { .o = { .gso_type = OFFLOAD_GSO_TCPV4, .gso_size = 400 }, .may = true },
        { .o = { .gso_type = OFFLOAD_GSO_UDP, .gso_size = 400 }, .udp = true, .may = true },
        { .o = { .flags = OFFLOAD_NEEDS_CSUM, .csum_start = 20, .csum_offset = 16 }, .may = true },
        { .o = { .flags = OFFLOAD_NEEDS_CSUM, .csum_start = 20, .csum_offset = 14 } }, /* not TCP's place */
        { .o = { .flags = OFFLOAD_DATA_VALID }, .may = true },
        { .o = { .flags = OFFLOAD_DATA_VALID }, .udp = true, .zero = true }, /* it has none and keeps none */
        { .o = { .flags = OFFLOAD_DATA_VALID }, .fragment = true },
        { .o = { 0 } }, /* nobody has looked: it may be wrong, and stays so */
    };

    for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
        struct recipe r = { .udp = cases[n].udp, .payload = payload, .payload_len = 400 };
        size_t len = cook(&r, pkt), at = r.udp ? 26 : 36;
        struct segment s;

        if (cases[n].zero)
            put_be16(pkt + at, 0);
        if (cases[n].fragment)
            pkt[6] = 0x20;
        assert_int_equal(segment_init(&s, pkt, len, &cases[n].o), 0);
        assert_int_equal(s.may_owe, cases[n].may);
        s.owe = s.may_owe;
        if (!s.owe)
            continue;
        memcpy(pkt + at, "\xbe\xef", 2);
        assert_int_equal(segment_next(&s, out, sizeof(out)), len);
        assert_memory_equal(out, pkt, len);
    }
}

static void test_refusals(void **state)
{
    struct recipe r = { .payload = payload, .payload_len = 3000 };
    struct segment s;
    size_t len = cook(&r, pkt);
    static const struct {
        struct offload o;
        int expected;
    } cases[] = {
        { { .gso_type = OFFLOAD_GSO_TCPV6, .gso_size = 1000 }, -EBADMSG },
        { { .gso_type = OFFLOAD_GSO_UDP, .gso_size = 1000 }, -EBADMSG },
        { { .gso_type = OFFLOAD_GSO_TCPV4, .gso_size = 0 }, -EBADMSG },
        { { .gso_type = OFFLOAD_GSO_UDP_FRAGS, .gso_size = 1000 }, -EPROTONOSUPPORT },
        { { .gso_type = 2, .gso_size = 1000 }, -EPROTONOSUPPORT },
        { { .flags = OFFLOAD_NEEDS_CSUM, .csum_start = 19, .csum_offset = 16 }, -EBADMSG },
        { { .flags = OFFLOAD_NEEDS_CSUM, .csum_start = 3039, .csum_offset = 0 }, -EBADMSG },
        { { .flags = OFFLOAD_NEEDS_CSUM, .csum_start = 65535, .csum_offset = 65535 }, -EBADMSG },
    };

    for (size_t n = 0; n < ARRAY_LEN(cases); n++)
        assert_int_equal(segment_init(&s, pkt, len, &cases[n].o), cases[n].expected);
    assert_int_equal(segment_init(&s, pkt, 10, &cases[0].o), -EBADMSG);
    r.udp = true;
    len = cook(&r, pkt);
    put_be16(pkt + 24, 100); /* the UDP length disagrees with that of IP */
    assert_int_equal(segment_init(&s, pkt, len, &cases[1].o), -EBADMSG);
    len = cook(&r, pkt);
    pkt[6] = 0x20;
    assert_int_equal(segment_init(&s, pkt, len, &cases[1].o), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offload_bytes),        cmocka_unit_test(test_super_packets),
        cmocka_unit_test(test_udp_checksum_of_zero), cmocka_unit_test(test_partial_checksum_completed),
        cmocka_unit_test(test_owed_checksum),        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
