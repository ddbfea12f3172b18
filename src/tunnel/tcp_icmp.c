/* tunnel/tcp_icmp.c - ICMP errors about TCP packets that we sent, as tunnel/ptb.h makes them and others do.
 *
 * Theory of operation. An error quotes the packet that it is about: its IP header and at least eight bytes behind it
 * (RFC 792; ICMPv6 quotes more). In these eight TCP has its ports and its number, and nothing else of the quote is
 * looked at: it may be cut, its hop limit and its checksums have changed on the way, and what follows it (RFC 4884) is
 * not ours. We send neither fragments nor IPv6 extension headers, so a quote that has them is of somebody else; and
 * an error goes to the source of what it quotes.
 *
 * Which code says what: as far as somebody who connects can tell the difference. A host that has no TCP, or nobody at
 * the port, is one that refuses.
 *
 * Limits: none beyond the formats'. Codes that no RFC gives a meaning are not understood. Sources: RFC 792, 1122
 * 3.2.2.1, 1191 section 4, 1812 5.2.7.1, 4443 3.1 and 3.2, 6554, 8201 section 4. */
#include "tunnel/tcp.h"

#define ICMP_HEADER 8
#define QUOTE_L4 8         /* bytes of the transport header: ports and number */
#define V4_FRAGMENT 0x3fff /* more fragments, and an offset */
#define V6_MTU_MIN 1280    /* RFC 8201 section 4: smaller ones are discarded */

enum { ICMP_UNREACHABLE = 3, ICMP_FRAG_NEEDED = 4, ICMPV6_UNREACHABLE = 1, ICMPV6_TOO_BIG = 2 };

static const enum tcp_refusal v4_codes[] = {
    [0] = TCP_REFUSED_NET,         /* net */
    [1] = TCP_REFUSED_HOST,        /* host */
    [2] = TCP_REFUSED,             /* protocol */
    [3] = TCP_REFUSED,             /* port */
    [5] = TCP_REFUSED_HOST,        /* source route failed */
    [6] = TCP_REFUSED_NET,         /* net unknown */
    [7] = TCP_REFUSED_HOST,        /* host unknown */
    [8] = TCP_REFUSED_HOST,        /* source host isolated */
    [9] = TCP_REFUSED_PROHIBITED,  /* net prohibited */
    [10] = TCP_REFUSED_PROHIBITED, /* host prohibited */
    [11] = TCP_REFUSED_NET,        /* net, for this type of service */
    [12] = TCP_REFUSED_HOST,       /* host, for this type of service */
    [13] = TCP_REFUSED_PROHIBITED, /* communication prohibited */
    [14] = TCP_REFUSED_PROHIBITED, /* host precedence violation */
    [15] = TCP_REFUSED_PROHIBITED, /* precedence cutoff */
};

static const enum tcp_refusal v6_codes[] = {
    [0] = TCP_REFUSED_NET,        /* no route */
    [1] = TCP_REFUSED_PROHIBITED, /* prohibited */
    [2] = TCP_REFUSED_HOST,       /* beyond the scope of the source */
    [3] = TCP_REFUSED_HOST,       /* address */
    [4] = TCP_REFUSED,            /* port */
    [5] = TCP_REFUSED_PROHIBITED, /* the source failed a policy */
    [6] = TCP_REFUSED_PROHIBITED, /* the route rejects */
    [7] = TCP_REFUSED_HOST,       /* source routing header */
};

/* What type and code say, into too_big, mtu and why. */
static bool read_reason(const uint8_t *icmp, bool v6, struct tcp_icmp *ret)
{
    uint8_t type = icmp[0], code = icmp[1];

    if (v6 && type == ICMPV6_TOO_BIG) { /* the code is ignored (RFC 4443 3.2) */
        ret->too_big = true;
        ret->mtu = (uint16_t)MIN(get_be32(icmp + 4), (uint32_t)UINT16_MAX);
        return ret->mtu >= V6_MTU_MIN;
    }
    if (!v6 && type == ICMP_UNREACHABLE && code == ICMP_FRAG_NEEDED) {
        ret->too_big = true;
        ret->mtu = get_be16(icmp + 6);
        return true;
    }
    if (type != (v6 ? ICMPV6_UNREACHABLE : ICMP_UNREACHABLE) ||
        code >= (v6 ? ARRAY_LEN(v6_codes) : ARRAY_LEN(v4_codes)))
        return false;
    ret->why = v6 ? v6_codes[code] : v4_codes[code];
    return true;
}

/* The quoted packet, into local, peer and seq. */
static bool read_quote(const uint8_t *quote, size_t len, bool v6, struct tcp_icmp *ret)
{
    size_t l3 = PACKET_V6_HDR;

    if (len < (v6 ? PACKET_V6_HDR : PACKET_V4_HDR) || quote[0] >> 4 != (v6 ? 6 : 4))
        return false;
    if (v6) {
        if (quote[6] != PROTO_TCP)
            return false;
        ret->local.addr = addr_from_bytes(ADDR_V6, quote + 8);
        ret->peer.addr = addr_from_bytes(ADDR_V6, quote + 24);
    } else {
        l3 = (quote[0] & 15) * 4u;
        if (l3 < PACKET_V4_HDR || quote[9] != PROTO_TCP || get_be16(quote + 6) & V4_FRAGMENT)
            return false;
        ret->local.addr = addr_from_bytes(ADDR_V4, quote + 12);
        ret->peer.addr = addr_from_bytes(ADDR_V4, quote + 16);
    }
    if (len < l3 + QUOTE_L4)
        return false;
    ret->local.port = get_be16(quote + l3);
    ret->peer.port = get_be16(quote + l3 + 2);
    ret->seq = get_be32(quote + l3 + 4);
    return true;
}

bool tcp_icmp_parse(const uint8_t *pkt, const struct packet_info *info, struct tcp_icmp *ret)
{
    bool v6 = info->family == ADDR_V6;
    const uint8_t *icmp = pkt + info->l4_off;
    size_t len = (size_t)(info->total_len - info->l4_off);
    struct tcp_icmp r = { 0 };

    if (info->proto != (v6 ? PROTO_ICMPV6 : PROTO_ICMP) || info->fragment || info->routed || len < ICMP_HEADER ||
        csum_finish(csum_add(v6 ? csum_pseudo(pkt, PROTO_ICMPV6, (uint32_t)len) : 0, icmp, len)) != 0)
        return false;
    if (!read_reason(icmp, v6, &r) || !read_quote(icmp + ICMP_HEADER, len - ICMP_HEADER, v6, &r) ||
        !addr_equal(&r.local.addr, &info->dst))
        return false;
    *ret = r;
    return true;
}
