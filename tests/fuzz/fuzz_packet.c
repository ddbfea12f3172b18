/* Fuzz target: all that is done to one inner packet (tunnel/packet.h, mss.h, ptb.h, segment.h).
 *
 * Input: an offload header (10 bytes), an MTU (2 bytes, big-endian), a packet. Whatever is cut or made must parse, fit,
 * and carry the packet's payload, no more and no less. */
#include "tunnel/mss.h"
#include "tunnel/ptb.h"
#include "tunnel/segment.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t copy[PACKET_MAX + 1], out[PACKET_MAX + 1];

static void clamp(const uint8_t *pkt, const struct packet_info *info, uint16_t mtu, bool partial)
{
    struct packet_info again;

    memcpy(copy, pkt, info->total_len);
    if (mss_clamp(copy, info, mtu, partial) != 1) {
        assert(memcmp(copy, pkt, info->total_len) == 0);
        return;
    }
    assert(info->tcp_flags & TCP_SYN);
    assert(packet_parse(copy, info->total_len, &again) == 0);
    assert(mss_clamp(copy, &again, mtu, partial) == 0);
}

static void answer(const uint8_t *pkt, const struct packet_info *info, uint16_t mtu)
{
    static const struct addr routers[] = { { ADDR_V4, { 10, 0, 0, 1 } }, { ADDR_V6, { 0x20, 1, [15] = 1 } } };
    const struct addr *router = &routers[info->family == ADDR_V6];

    for (int n = 0; n < 3; n++) {
        struct packet_info made;
        int len = n == 0 ? ptb_make(out, PTB_MAX, pkt, info, router, mtu)
                         : unreachable_make(out, PTB_MAX, pkt, info, router, (enum unreachable_reason)(n - 1));

        if (len <= 0)
            continue;
        assert(packet_parse(out, (size_t)len, &made) == 0);
        assert(made.total_len == len && len <= PTB_MAX && addr_equal(&made.dst, &info->src));
        /* An error about an error is never due. */
        assert(ptb_make(copy, PTB_MAX, out, &made, router, 1500) == 0);
    }
}

static void fragment(const uint8_t *pkt, const struct packet_info *info, uint16_t mtu)
{
    struct ipv4_fragment f;
    size_t payload = 0;
    int len;

    if (ipv4_fragment_init(&f, pkt, info, mtu) < 0)
        return;
    while ((len = ipv4_fragment_next(&f, out, sizeof(out))) > 0) {
        assert(len <= mtu && get_be16(out + 2) == len);
        payload += (size_t)len - info->l3_len;
    }
    assert(len == 0 && payload == (size_t)(info->total_len - info->l3_len));
}

static void cut(const uint8_t *pkt, size_t size, const struct packet_info *info, const struct offload *o)
{
    struct segment s;
    size_t payload = 0, count = 0;
    int len;

    if (segment_init(&s, pkt, size, o) < 0)
        return;
    while ((len = segment_next(&s, out, segment_largest(&s))) > 0) {
        struct packet_info piece;

        if (!s.complete) {
            assert(packet_parse(out, (size_t)len, &piece) == 0);
            assert(piece.total_len == len && piece.payload_off == info->payload_off);
        }
        payload += (size_t)len - info->payload_off;
        count++;
    }
    assert(len == 0 && count == s.count && payload == (size_t)(info->total_len - info->payload_off));
}

/* The packet behind it in a run, of which one byte is another. */
static void next(const uint8_t *pkt, size_t size, uint16_t at)
{
    struct packet_run run = { 0 };
    struct packet_info whole;
    bool same;
    int r;

    assert(packet_parse_next(&run, pkt, size, &same) == 0 && !same);
    memcpy(copy, pkt, MIN(size, sizeof(copy)));
    copy[at % MIN(size, sizeof(copy))] ^= (uint8_t)(1 + at / 256 % 255);
    r = packet_parse(copy, size, &whole);
    assert(packet_parse_next(&run, copy, size, &same) == r);
    if (r == 0)
        assert(run.info.total_len == whole.total_len && run.info.payload_off == whole.payload_off &&
               run.info.tcp_flags == whole.tcp_flags && run.info.proto == whole.proto &&
               packet_flow_hash(&run.info, (const uint8_t[16]){ 1 }) ==
                   packet_flow_hash(&whole, (const uint8_t[16]){ 1 }));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t key[16] = { 1 };
    struct offload o;
    struct packet_info info;
    uint16_t mtu;

    if (size < OFFLOAD_HDR_LEN + 2)
        return 0;
    offload_parse(data, &o);
    mtu = get_be16(data + OFFLOAD_HDR_LEN);
    data += OFFLOAD_HDR_LEN + 2;
    size -= OFFLOAD_HDR_LEN + 2;
    if (packet_parse(data, size, &info) < 0)
        return 0;
    assert(info.l3_len <= info.l4_off && info.l4_off <= info.payload_off && info.payload_off <= info.total_len);
    assert(info.total_len <= size);
    packet_flow_hash(&info, key);
    clamp(data, &info, mtu, false);
    clamp(data, &info, mtu, true);
    next(data, MIN(size, (size_t)PACKET_MAX), mtu);
    answer(data, &info, mtu);
    fragment(data, &info, mtu);
    cut(data, size, &info, &o);
    return 0;
}
