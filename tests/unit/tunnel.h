/* tests/unit/tunnel.h - packets for the tests of src/tunnel, and a judge of them that shares no code with it. */
#pragma once

#include "base/base.h"
#include "tests/unit/test.h"

/* What a packet is made of. */
struct recipe {
    bool v6, udp;
    uint16_t sport;
    uint32_t seq;
    uint8_t flags;
    uint16_t id;
    const uint8_t *options; /* TCP, a multiple of 4 bytes */
    size_t options_len;
    const uint8_t *payload;
    size_t payload_len;
};

/* RFC 1071, as plainly as it goes. */
static inline uint16_t judge_sum(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
        if (sum > 0xffff)
            sum = (sum & 0xffff) + 1;
    }
    return (uint16_t)sum;
}

/* The sum over pseudo-header and transport of a packet without extension headers; l4_len may be a lie. */
static inline uint16_t judge_pseudo(const uint8_t *pkt, size_t l4_len)
{
    bool v6 = pkt[0] >> 4 == 6;
    uint16_t sum = v6 ? judge_sum(0, pkt + 8, 32) : judge_sum(0, pkt + 12, 8);
    uint8_t rest[4] = { (uint8_t)(l4_len >> 8), (uint8_t)l4_len, 0, v6 ? pkt[6] : pkt[9] };

    return judge_sum(sum, rest, 4);
}

/* Every length and checksum of a finished TCP, UDP or ICMP packet without extension headers. */
static inline void judge_packet(const uint8_t *pkt, size_t len)
{
    bool v6 = pkt[0] >> 4 == 6;
    size_t l3 = v6 ? 40 : (size_t)(pkt[0] & 15) * 4;
    uint8_t proto = v6 ? pkt[6] : pkt[9];

    if (v6) {
        assert_int_equal(get_be16(pkt + 4), len - 40);
    } else {
        assert_int_equal(get_be16(pkt + 2), len);
        assert_int_equal(judge_sum(0, pkt, l3), 0xffff);
    }
    if (proto == 17)
        assert_int_equal(get_be16(pkt + l3 + 4), len - l3);
    assert_int_equal(judge_sum(proto == 1 ? 0 : judge_pseudo(pkt, len - l3), pkt + l3, len - l3), 0xffff);
}

/* Builds it with complete checksums. Returns the length. */
static inline size_t cook(const struct recipe *r, uint8_t *pkt)
{
    size_t l3 = r->v6 ? 40 : 20, hdr = r->udp ? 8 : 20 + r->options_len, len = l3 + hdr + r->payload_len;
    uint8_t *l4 = pkt + l3, *check = l4 + (r->udp ? 6 : 16);
    uint16_t sum;

    memset(pkt, 0, l3 + hdr);
    if (r->v6) {
        pkt[0] = 0x60;
        put_be16(pkt + 4, (uint16_t)(len - 40));
        pkt[6] = r->udp ? 17 : 6;
        pkt[7] = 64;
        pkt[8] = 0x20, pkt[23] = 1;
        pkt[24] = 0x20, pkt[39] = 2;
    } else {
        static const uint8_t addrs[] = { 192, 0, 2, 1, 198, 51, 100, 2 };

        pkt[0] = 0x45;
        put_be16(pkt + 2, (uint16_t)len);
        put_be16(pkt + 4, r->id);
        pkt[8] = 64;
        pkt[9] = r->udp ? 17 : 6;
        memcpy(pkt + 12, addrs, 8);
        put_be16(pkt + 10, (uint16_t)~judge_sum(0, pkt, 20));
    }
    put_be16(l4, r->sport);
    put_be16(l4 + 2, 443);
    if (r->udp) {
        put_be16(l4 + 4, (uint16_t)(len - l3));
    } else {
        put_be32(l4 + 4, r->seq);
        put_be32(l4 + 8, 77);
        l4[12] = (uint8_t)(hdr / 4 << 4);
        l4[13] = r->flags;
        put_be16(l4 + 14, 500);
        if (r->options_len > 0)
            memcpy(l4 + 20, r->options, r->options_len);
    }
    if (r->payload_len > 0)
        memcpy(l4 + hdr, r->payload, r->payload_len);
    sum = (uint16_t)~judge_sum(judge_pseudo(pkt, len - l3), l4, len - l3);
    put_be16(check, sum == 0 && r->udp ? 0xffff : sum);
    return len;
}
