/* tests/unit/tcp_seg.h - TCP segments for tests of tunnel/tcp.h, written and read by code that it does not share.
 *
 * The client is 192.0.2.1 port 40000 (or 2001:db8::1), the server 198.51.100.2 port 443 (or 2001:db8::2). */
#pragma once

#include "base/base.h"

#define SEG_HEADERS_MAX 100
#define SEG_FIN 1u
#define SEG_SYN 2u
#define SEG_RST 4u
#define SEG_PSH 8u
#define SEG_ACK 16u
#define SEG_URG 32u

struct seg {
    bool v6;
    uint32_t seq, ack;
    uint8_t flags;
    uint16_t window;
    const uint8_t *data;
    size_t len;
    uint16_t mss; /* 0: no such option, as with the others */
    int scale;    /* one more than the shift */
    bool sack_permitted, has_ts;
    uint32_t ts, ts_echo;
    unsigned blocks;
    uint32_t block[4][2];
};

/* RFC 1071, as plainly as it goes. */
static inline uint32_t seg_sum(uint32_t sum, const uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
        if (sum > 0xffff)
            sum = (sum & 0xffff) + 1;
    }
    return sum;
}

static inline void seg_set_checksum(uint8_t *pkt, size_t len)
{
    bool v6 = pkt[0] >> 4 == 6;
    size_t l3 = v6 ? 40 : 20;
    uint8_t rest[4] = { (uint8_t)((len - l3) >> 8), (uint8_t)(len - l3), 0, 6 };
    uint32_t sum = v6 ? seg_sum(0, pkt + 8, 32) : seg_sum(0, pkt + 12, 8);

    put_be16(pkt + l3 + 16, 0);
    put_be16(pkt + l3 + 16, (uint16_t)~seg_sum(seg_sum(sum, rest, 4), pkt + l3, len - l3));
}

/* From the client, with its checksums. The length. */
static inline size_t seg_write(const struct seg *s, uint8_t *pkt)
{
    size_t l3 = s->v6 ? 40 : 20, at = l3 + 20, len;
    uint8_t *tcp = pkt + l3;

    memset(pkt, 0, SEG_HEADERS_MAX);
    put_be16(tcp, 40000);
    put_be16(tcp + 2, 443);
    put_be32(tcp + 4, s->seq);
    put_be32(tcp + 8, s->ack);
    tcp[13] = s->flags;
    put_be16(tcp + 14, s->window);
    if (s->mss) {
        memcpy(pkt + at, (uint8_t[]){ 2, 4, (uint8_t)(s->mss >> 8), (uint8_t)s->mss }, 4);
        at += 4;
    }
    if (s->scale) {
        memcpy(pkt + at, (uint8_t[]){ 1, 3, 3, (uint8_t)(s->scale - 1) }, 4);
        at += 4;
    }
    if (s->sack_permitted) {
        memcpy(pkt + at, (uint8_t[]){ 1, 1, 4, 2 }, 4);
        at += 4;
    }
    if (s->has_ts) {
        memcpy(pkt + at, (uint8_t[]){ 1, 1, 8, 10 }, 4);
        put_be32(pkt + at + 4, s->ts);
        put_be32(pkt + at + 8, s->ts_echo);
        at += 12;
    }
    if (s->blocks) {
        memcpy(pkt + at, (uint8_t[]){ 1, 1, 5, (uint8_t)(2 + 8 * s->blocks) }, 4);
        at += 4;
        for (unsigned i = 0; i < s->blocks; i++, at += 8) {
            put_be32(pkt + at, s->block[i][0]);
            put_be32(pkt + at + 4, s->block[i][1]);
        }
    }
    tcp[12] = (uint8_t)((at - l3) / 4 << 4);
    if (s->len)
        memcpy(pkt + at, s->data, s->len);
    len = at + s->len;
    if (s->v6) {
        pkt[0] = 0x60;
        put_be16(pkt + 4, (uint16_t)(len - 40));
        pkt[6] = 6;
        pkt[7] = 64;
        memcpy(pkt + 8, (uint8_t[]){ 0x20, 1, 0xd, 0xb8, [15] = 1 }, 16);
        memcpy(pkt + 24, (uint8_t[]){ 0x20, 1, 0xd, 0xb8, [15] = 2 }, 16);
    } else {
        pkt[0] = 0x45;
        put_be16(pkt + 2, (uint16_t)len);
        pkt[6] = 0x40;
        pkt[8] = 64;
        pkt[9] = 6;
        memcpy(pkt + 12, (uint8_t[]){ 192, 0, 2, 1, 198, 51, 100, 2 }, 8);
        put_be16(pkt + 10, (uint16_t)~seg_sum(0, pkt, 20));
    }
    seg_set_checksum(pkt, len);
    return len;
}

/* What the server said. */
static inline struct seg seg_read(const uint8_t *pkt, size_t len)
{
    struct seg s = { .v6 = pkt[0] >> 4 == 6 };
    size_t l3 = s.v6 ? 40 : 20, end, at = l3 + 20;
    const uint8_t *tcp = pkt + l3;

    s.seq = get_be32(tcp + 4);
    s.ack = get_be32(tcp + 8);
    s.flags = tcp[13];
    s.window = get_be16(tcp + 14);
    end = l3 + (size_t)(tcp[12] >> 4) * 4;
    s.data = pkt + end;
    s.len = len - end;
    while (at < end && pkt[at] != 0) {
        const uint8_t *o = pkt + at;

        switch (o[0]) {
        case 1:
            at++;
            continue;
        case 2:
            s.mss = get_be16(o + 2);
            break;
        case 3:
            s.scale = o[2] + 1;
            break;
        case 4:
            s.sack_permitted = true;
            break;
        case 5:
            s.blocks = (o[1] - 2u) / 8;
            for (unsigned i = 0; i < s.blocks && i < 4; i++) {
                s.block[i][0] = get_be32(o + 2 + 8 * (size_t)i);
                s.block[i][1] = get_be32(o + 6 + 8 * (size_t)i);
            }
            break;
        case 8:
            s.has_ts = true;
            s.ts = get_be32(o + 2);
            s.ts_echo = get_be32(o + 6);
            break;
        default:
            break;
        }
        at += o[1];
    }
    return s;
}
