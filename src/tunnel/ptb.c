/* tunnel/ptb.c - ICMP errors about inner packets, and IPv4 fragmentation.
 *
 * Theory of operation: an error is an IP header, eight bytes of ICMP, and as much of the packet as the family allows
 * (IPv4: 576 bytes in all, IPv6: 1280). A fragment keeps the header's length: options that are not to be copied
 * (RFC 791 3.1, copied flag) become NOPs in all pieces but the first, so that every piece carries the same payload.
 * A fragment that is cut again keeps its offset and, on its last piece, its more-fragments bit.
 *
 * Limits: errors of 576 and 1280 bytes, hop limit 64, class selector 6 on IPv4 errors (RFC 1812 4.3.2.5).
 * Sources: RFC 791, 792, 1122 3.2.2, 1191, 1812 4.3.2, 4443, 8201. */
#include "tunnel/ptb.h"

#include <assert.h>
#include <errno.h>

#define HOP_LIMIT 64 /* the recommended default (IANA, RFC 1700) */
#define V4_TOS 0xc0  /* class selector 6: network control */
#define V4_DF 0x4000
#define V4_MF 0x2000
#define V6_MTU_MIN 1280
#define V4_MTU_MIN 68

enum { ICMP_UNREACHABLE = 3, ICMP_NET = 0, ICMP_HOST = 1, ICMP_FRAG_NEEDED = 4, ICMP_PROHIBITED = 13 };
enum { ICMPV6_UNREACHABLE = 1, ICMPV6_TOO_BIG = 2, ICMPV6_NO_ROUTE = 0, ICMPV6_PROHIBITED = 1, ICMPV6_ADDRESS = 3 };

/* True for messages that ask or answer; every other type, known or not, counts as an error. */
static bool icmp_is_query(uint8_t family, uint8_t type)
{
    if (family == ADDR_V6)
        return type >= 128 && type != 137; /* 137 is redirect, which answers a packet */
    switch (type) {
    case 0: /* echo reply */
    case 8: /* echo */
    case 9: /* router advertisement, solicitation */
    case 10:
    case 13: /* timestamp, reply */
    case 14:
    case 15: /* information, reply */
    case 16:
    case 17: /* address mask, reply */
    case 18:
    case 42: /* extended echo, reply (RFC 8335) */
    case 43:
        return true;
    default:
        return false;
    }
}

/* May an error be sent about this packet? to_group: a multicast destination is no bar. */
static bool error_is_due(const uint8_t *pkt, const struct packet_info *info, bool to_group)
{
    uint8_t icmp = info->family == ADDR_V6 ? PROTO_ICMPV6 : PROTO_ICMP;
    bool group = info->family == ADDR_V6 && info->dst.bytes[0] == 0xff;

    if (!addr_is_unicast(&info->src) || info->frag_off != 0)
        return false;
    if (!addr_is_unicast(&info->dst) && !(to_group && group))
        return false;
    /* The first fragment may hide ICMP behind options that were not walked. */
    if (info->fragment && info->proto == PROTO_DSTOPTS)
        return false;
    if (info->proto != icmp)
        return true;
    return info->l4_off < info->total_len && icmp_is_query(info->family, pkt[info->l4_off]);
}

static int make_v4(uint8_t *out, size_t size, const uint8_t *pkt, const struct packet_info *info,
                   const struct addr *src, uint8_t code, uint32_t rest)
{
    size_t quote = MIN(info->total_len, PTB_V4_MAX - PACKET_V4_HDR - 8u), len = PACKET_V4_HDR + 8 + quote;
    uint8_t *icmp = out + PACKET_V4_HDR;

    if (size < len)
        return -ENOSPC;
    memset(out, 0, PACKET_V4_HDR + 8);
    out[0] = 0x45;
    out[1] = V4_TOS;
    put_be16(out + 2, (uint16_t)len);
    put_be16(out + 6, V4_DF); /* so that identification 0 is right (RFC 6864) */
    out[8] = HOP_LIMIT;
    out[9] = PROTO_ICMP;
    memcpy(out + 12, src->bytes, 4);
    memcpy(out + 16, info->src.bytes, 4);
    packet_fix_v4_header(out);
    icmp[0] = ICMP_UNREACHABLE;
    icmp[1] = code;
    put_be32(icmp + 4, rest);
    memcpy(icmp + 8, pkt, quote);
    put_be16(icmp + 2, csum_finish(csum_add(0, icmp, 8 + quote)));
    return (int)len;
}

static int make_v6(uint8_t *out, size_t size, const uint8_t *pkt, const struct packet_info *info,
                   const struct addr *src, uint8_t type, uint8_t code, uint32_t rest)
{
    size_t quote = MIN(info->total_len, PTB_V6_MAX - PACKET_V6_HDR - 8u), len = PACKET_V6_HDR + 8 + quote;
    uint8_t *icmp = out + PACKET_V6_HDR;

    if (size < len)
        return -ENOSPC;
    memset(out, 0, PACKET_V6_HDR + 8);
    out[0] = 0x60;
    put_be16(out + 4, (uint16_t)(8 + quote));
    out[6] = PROTO_ICMPV6;
    out[7] = HOP_LIMIT;
    memcpy(out + 8, src->bytes, 16);
    memcpy(out + 24, info->src.bytes, 16);
    icmp[0] = type;
    icmp[1] = code;
    put_be32(icmp + 4, rest);
    memcpy(icmp + 8, pkt, quote);
    put_be16(icmp + 2, csum_finish(csum_add(csum_pseudo(out, PROTO_ICMPV6, (uint32_t)(8 + quote)), icmp, 8 + quote)));
    return (int)len;
}

int ptb_make(uint8_t *out, size_t size, const uint8_t *pkt, const struct packet_info *info, const struct addr *src,
             uint16_t mtu)
{
    if (src->family != info->family || mtu < (info->family == ADDR_V6 ? V6_MTU_MIN : V4_MTU_MIN))
        return -EINVAL;
    if (!info->dont_fragment || !error_is_due(pkt, info, true))
        return 0;
    if (info->family == ADDR_V6)
        return make_v6(out, size, pkt, info, src, ICMPV6_TOO_BIG, 0, mtu);
    return make_v4(out, size, pkt, info, src, ICMP_FRAG_NEEDED, mtu);
}

int unreachable_make(uint8_t *out, size_t size, const uint8_t *pkt, const struct packet_info *info,
                     const struct addr *src, enum unreachable_reason reason)
{
    static const uint8_t codes[UNREACHABLE_COUNT][2] = { [UNREACHABLE_NET] = { ICMP_NET, ICMPV6_NO_ROUTE },
                                                         [UNREACHABLE_HOST] = { ICMP_HOST, ICMPV6_ADDRESS },
                                                         [UNREACHABLE_PROHIBITED] = { ICMP_PROHIBITED,
                                                                                      ICMPV6_PROHIBITED } };

    assert((unsigned)reason < UNREACHABLE_COUNT);
    if (src->family != info->family)
        return -EINVAL;
    if (!error_is_due(pkt, info, false))
        return 0;
    if (info->family == ADDR_V6)
        return make_v6(out, size, pkt, info, src, ICMPV6_UNREACHABLE, codes[reason][1], 0);
    return make_v4(out, size, pkt, info, src, codes[reason][0], 0);
}

int ipv4_fragment_init(struct ipv4_fragment *f, const uint8_t *pkt, const struct packet_info *info, uint16_t mtu)
{
    if (info->family != ADDR_V4)
        return -EPROTONOSUPPORT;
    if (info->dont_fragment)
        return -EMSGSIZE;
    if (mtu < info->l3_len + 8)
        return -EINVAL;
    *f = (struct ipv4_fragment){ .pkt = pkt, .hdr_len = info->l3_len, .total_len = info->total_len };
    /* What fits is one piece, whatever its length. */
    f->piece =
        info->total_len <= mtu ? (uint16_t)(info->total_len - info->l3_len) : (uint16_t)((mtu - info->l3_len) & ~7);
    return 0;
}

/* Options without the copied flag become NOPs; malformed ones are left to the receiver. */
static void drop_uncopied_options(uint8_t *hdr, size_t hdr_len)
{
    size_t at = PACKET_V4_HDR;

    while (at < hdr_len && hdr[at] != 0) {
        size_t len = hdr[at] == 1 ? 1 : at + 1 < hdr_len ? hdr[at + 1] : 0;

        if (len == 0 || (len == 1 && hdr[at] != 1) || at + len > hdr_len)
            return;
        if (!(hdr[at] & 0x80))
            memset(hdr + at, 1, len);
        at += len;
    }
}

int ipv4_fragment_next(struct ipv4_fragment *f, uint8_t *out, size_t size)
{
    uint16_t payload = (uint16_t)(f->total_len - f->hdr_len), frag = get_be16(f->pkt + 6);
    uint16_t part = MIN(f->piece, (uint16_t)(payload - f->at)), flags = frag & V4_MF;

    if (f->done)
        return 0;
    if (size < (size_t)f->hdr_len + part)
        return -ENOSPC;
    memcpy(out, f->pkt, f->hdr_len);
    memcpy(out + f->hdr_len, f->pkt + f->hdr_len + f->at, part);
    if (f->at > 0)
        drop_uncopied_options(out, f->hdr_len);
    if (f->at + part < payload)
        flags = V4_MF;
    put_be16(out + 2, (uint16_t)(f->hdr_len + part));
    put_be16(out + 6, (uint16_t)(flags | ((frag & 0x1fff) + f->at / 8)));
    packet_fix_v4_header(out);
    f->at = (uint16_t)(f->at + part);
    f->done = f->at == payload;
    return f->hdr_len + part;
}
