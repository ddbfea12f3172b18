/* Fuzz target of tcp_icmp_parse (tunnel/tcp.h).
 *
 * Input: a byte, whose lowest bit asks for a right checksum (no mutation finds one), then a packet. What is understood
 * must be what stands at the places that the RFCs give, read here in another way; and what ptb.h says of the packet, if
 * it is one of TCP, must be understood. */
#include "tests/unit/tcp_seg.h"
#include "tunnel/ptb.h"
#include "tunnel/tcp.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t pkt[PACKET_MAX], made[PTB_MAX];

/* The ICMP checksum of a packet without extension headers. */
static void set_checksum(uint8_t *p, const struct packet_info *info)
{
    size_t at = info->l4_off, len = info->total_len - at;
    uint8_t rest[4] = { (uint8_t)(len >> 8), (uint8_t)len, 0, 58 };
    uint32_t sum = info->family == ADDR_V6 ? seg_sum(seg_sum(0, p + 8, 32), rest, 4) : 0;

    put_be16(p + at + 2, 0);
    put_be16(p + at + 2, (uint16_t)~seg_sum(sum, p + at, len));
}

static void judge(const uint8_t *p, const struct packet_info *info, const struct tcp_icmp *i)
{
    const uint8_t *icmp = p + info->l4_off, *quote = icmp + 8, *tcp;
    bool v6 = info->family == ADDR_V6;

    assert(!info->fragment && (v6 ? icmp[0] == 1 || icmp[0] == 2 : icmp[0] == 3));
    assert(quote[0] >> 4 == info->family && quote[v6 ? 6 : 9] == 6);
    tcp = quote + (v6 ? 40 : 4 * (quote[0] & 15));
    assert(tcp + 8 <= p + info->total_len);
    assert(addr_equal(&i->local.addr, &info->dst) && i->peer.addr.family == info->family);
    assert(memcmp(i->local.addr.bytes, quote + (v6 ? 8 : 12), v6 ? 16 : 4) == 0);
    assert(memcmp(i->peer.addr.bytes, quote + (v6 ? 24 : 16), v6 ? 16 : 4) == 0);
    assert(i->local.port == tcp[0] * 256 + tcp[1] && i->peer.port == tcp[2] * 256 + tcp[3]);
    assert(i->seq == get_be32(tcp + 4));
    assert(i->too_big == (v6 ? icmp[0] == 2 : icmp[1] == 4));
    assert(i->too_big ? !v6 || i->mtu >= 1280 : (unsigned)i->why < TCP_REFUSAL_COUNT);
}

/* What a router says of it. */
static void answered(const uint8_t *p, const struct packet_info *info)
{
    static const struct addr routers[] = { { ADDR_V4, { 10, 0, 0, 1 } }, { ADDR_V6, { 0x20, 1, [15] = 1 } } };
    const struct addr *router = &routers[info->family == ADDR_V6];

    if (info->fragment || info->l4_off != info->l3_len)
        return; /* nothing that an end sends */
    for (int n = 0; n < 4; n++) {
        struct packet_info error;
        struct tcp_icmp i;
        int len = n == 3 ? ptb_make(made, sizeof(made), p, info, router, 1300)
                         : unreachable_make(made, sizeof(made), p, info, router, (enum unreachable_reason)n);

        if (len <= 0)
            continue;
        assert(packet_parse(made, (size_t)len, &error) == 0);
        assert(tcp_icmp_parse(made, &error, &i));
        judge(made, &error, &i);
        assert(i.local.port == info->sport && i.peer.port == info->dport && addr_equal(&i.peer.addr, &info->dst));
        assert(i.too_big == (n == 3) && (n < 3 || i.mtu == 1300));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packet_info info;
    struct tcp_icmp i;
    size_t len = MIN(size, (size_t)PACKET_MAX);
    uint8_t *exact;

    if (len < 2 || packet_parse(data + 1, len - 1, &info) < 0)
        return 0;
    memcpy(pkt, data + 1, info.total_len);
    if (data[0] & 1 && info.total_len - info.l4_off >= 4 && info.proto != PROTO_TCP)
        set_checksum(pkt, &info);
    exact = malloc(info.total_len); /* a sanitizer sees the first byte beyond it */
    if (!exact)
        return 0;
    memcpy(exact, pkt, info.total_len);
    if (tcp_icmp_parse(exact, &info, &i))
        judge(exact, &info, &i);
    if (info.proto == PROTO_TCP)
        answered(exact, &info);
    free(exact);
    return 0;
}
