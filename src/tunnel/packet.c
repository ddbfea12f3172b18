/* tunnel/packet.c - parse an inner packet, hash its flow, compute Internet checksums.
 *
 * Theory of operation: the chain of headers is walked once, each length checked against the packet's own total before
 * it is used. Fragments, the first one too, are described without ports: whatever steers by ports would send the first
 * piece one way and the rest another. Their hash takes addresses and identification; IPv4 adds the protocol, because
 * there the identification is unique only with it (RFC 791); in IPv6 it is unique by addresses alone, and the protocol
 * would differ if the first fragment were walked further than the others (RFC 8200 4.5).
 *
 * Sums are made of native words and swapped once when folded: the one's complement sum does not mind (RFC 1071 2 B).
 *
 * Limits: packets of 65535 bytes, 8 extension headers.
 * Sources: RFC 791, 8200, 9293, 768, 792, 4443, 6946, 1071, 1624. */
#include "tunnel/packet.h"

#include "base/hash.h"

#include <errno.h>

#define V4_DF 0x4000
#define V4_MF 0x2000
#define V4_OFFSET 0x1fff

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static int parse_transport(const uint8_t *pkt, struct packet_info *info)
{
    const uint8_t *l4 = pkt + info->l4_off;
    size_t left = (size_t)(info->total_len - info->l4_off), hdr;

    info->payload_off = info->l4_off;
    if (info->fragment)
        return 0;
    switch (info->proto) {
    case PROTO_TCP:
        if (left < 20)
            return -EBADMSG;
        hdr = (size_t)(l4[12] >> 4) * 4;
        if (hdr < 20 || hdr > left)
            return -EBADMSG;
        info->tcp_flags = l4[13];
        info->payload_off = (uint16_t)(info->l4_off + hdr);
        break;
    case PROTO_UDP:
        if (left < 8 || get_be16(l4 + 4) < 8 || get_be16(l4 + 4) > left)
            return -EBADMSG;
        info->payload_off = (uint16_t)(info->l4_off + 8);
        break;
    case PROTO_SCTP:
    case PROTO_DCCP:
    case PROTO_UDPLITE:
        if (left < 8)
            return -EBADMSG;
        break;
    case PROTO_ICMP:
    case PROTO_ICMPV6: {
        bool v6 = info->proto == PROTO_ICMPV6;

        /* The other family's ICMP is only a number here. */
        if (v6 != (info->family == ADDR_V6))
            return 0;
        if (left < 8)
            return -EBADMSG;
        info->payload_off = (uint16_t)(info->l4_off + 8);
        if (v6 ? l4[0] == 128 || l4[0] == 129 : l4[0] == 8 || l4[0] == 0)
            info->sport = info->dport = get_be16(l4 + 4);
        return 0;
    }
    default:
        return 0;
    }
    info->sport = get_be16(l4);
    info->dport = get_be16(l4 + 2);
    return 0;
}

static int parse_v4(const uint8_t *pkt, size_t len, struct packet_info *info)
{
    unsigned frag;

    if (len < PACKET_V4_HDR)
        return -EBADMSG;
    info->family = ADDR_V4;
    info->l3_len = info->l4_off = (uint16_t)((pkt[0] & 15) * 4);
    info->total_len = get_be16(pkt + 2);
    if (info->l3_len < PACKET_V4_HDR || info->total_len < info->l3_len || info->total_len > len)
        return -EBADMSG;
    info->dscp = pkt[1] >> 2;
    info->ecn = pkt[1] & 3;
    info->proto = pkt[9];
    info->src = addr_from_bytes(ADDR_V4, pkt + 12);
    info->dst = addr_from_bytes(ADDR_V4, pkt + 16);
    frag = get_be16(pkt + 6);
    info->dont_fragment = frag & V4_DF;
    if (frag & (V4_MF | V4_OFFSET)) {
        unsigned off = (frag & V4_OFFSET) * 8;

        if (off + info->total_len - info->l3_len > PACKET_MAX)
            return -EBADMSG;
        info->fragment = true;
        info->frag_off = (uint16_t)off;
        info->frag_id = get_be16(pkt + 4);
    }
    return parse_transport(pkt, info);
}

/* One extension header at info->l4_off. Positive: the chain goes on; 0: it ends here. */
static int parse_v6_extension(const uint8_t *pkt, struct packet_info *info)
{
    const uint8_t *ext = pkt + info->l4_off;
    size_t left = (size_t)(info->total_len - info->l4_off), ext_len;

    if (left < 8)
        return -EBADMSG;
    if (info->proto == PROTO_FRAGMENT) {
        unsigned frag = get_be16(ext + 2);

        info->proto = ext[0];
        info->l4_off = (uint16_t)(info->l4_off + 8);
        if (!(frag & 0xfff9))
            return 1; /* atomic: whole after all */
        info->fragment = true;
        info->frag_off = (uint16_t)(frag & 0xfff8);
        info->frag_id = get_be32(ext + 4);
        return info->frag_off + left - 8 > PACKET_MAX ? -EBADMSG : 0;
    }
    ext_len = 8 + (size_t)ext[1] * 8;
    if (ext_len > left)
        return -EBADMSG;
    if (info->proto == PROTO_ROUTING && ext[3] > 0)
        info->routed = true;
    info->proto = ext[0];
    info->l4_off = (uint16_t)(info->l4_off + ext_len);
    /* Hop-by-hop options stand directly behind the fixed header or are an error (RFC 8200 4.1). */
    return info->proto == PROTO_HOPOPTS ? -EBADMSG : 1;
}

static bool is_extension(uint8_t proto)
{
    return proto == PROTO_HOPOPTS || proto == PROTO_ROUTING || proto == PROTO_FRAGMENT || proto == PROTO_DSTOPTS;
}

static int parse_v6(const uint8_t *pkt, size_t len, struct packet_info *info)
{
    size_t total;

    if (len < PACKET_V6_HDR)
        return -EBADMSG;
    info->family = ADDR_V6;
    info->dont_fragment = true;
    info->l3_len = info->l4_off = PACKET_V6_HDR;
    total = (size_t)get_be16(pkt + 4) + PACKET_V6_HDR;
    if (total > PACKET_MAX)
        return -EMSGSIZE;
    if (total > len)
        return -EBADMSG;
    if (total == PACKET_V6_HDR && pkt[6] == PROTO_HOPOPTS)
        return -EMSGSIZE;
    info->total_len = (uint16_t)total;
    info->dscp = (uint8_t)(get_be16(pkt) >> 6 & 63);
    info->ecn = (uint8_t)(get_be16(pkt) >> 4 & 3);
    info->proto = pkt[6];
    info->src = addr_from_bytes(ADDR_V6, pkt + 8);
    info->dst = addr_from_bytes(ADDR_V6, pkt + 24);
    for (int i = 0; is_extension(info->proto); i++) {
        int r = i < PACKET_EXT_MAX ? parse_v6_extension(pkt, info) : -EBADMSG;

        if (r < 0)
            return r;
        if (r == 0)
            break;
    }
    return parse_transport(pkt, info);
}

int packet_parse(const uint8_t *pkt, size_t len, struct packet_info *ret)
{
    struct packet_info info = { 0 };
    int r;

    if (len == 0)
        return -EBADMSG;
    if (pkt[0] >> 4 == 4)
        r = parse_v4(pkt, len, &info);
    else if (pkt[0] >> 4 == 6)
        r = parse_v6(pkt, len, &info);
    else
        return -EPROTONOSUPPORT;
    if (r < 0)
        return r;
    *ret = info;
    return 0;
}

#define RUN_FLAGS (TCP_FIN | TCP_SYN | TCP_RST) /* these are the same in a run */

/* pkt holds as many bytes as the headers of the run. */
static bool same_ip(const struct packet_run *run, const uint8_t *pkt)
{
    const uint8_t *h = run->headers;

    if (run->info.family == ADDR_V4) /* version, TOS; fragment, TTL, protocol; addresses */
        return pkt[0] == h[0] && pkt[1] == h[1] && load32(pkt + 6) == load32(h + 6) &&
               load64(pkt + 12) == load64(h + 12);
    return load32(pkt) == load32(h) && pkt[6] == h[6] &&
           ((load64(pkt + 8) ^ load64(h + 8)) | (load64(pkt + 16) ^ load64(h + 16)) |
            (load64(pkt + 24) ^ load64(h + 24)) | (load64(pkt + 32) ^ load64(h + 32))) == 0;
}

static bool same_transport(const struct packet_run *run, const uint8_t *l4, size_t left)
{
    const uint8_t *h = run->headers + run->info.l4_off;

    if (load32(l4) != load32(h))
        return false;
    if (run->info.proto == PROTO_TCP)
        return l4[12] == h[12] && !((l4[13] ^ h[13]) & RUN_FLAGS);
    return get_be16(l4 + 4) >= 8 && get_be16(l4 + 4) <= left;
}

/* Of a packet that is like those before: its length, or 0. */
static size_t length_in_run(const struct packet_run *run, const uint8_t *pkt, size_t len)
{
    size_t total;

    if (!run->known || len < run->info.payload_off || !same_ip(run, pkt))
        return 0;
    total = run->info.family == ADDR_V4 ? get_be16(pkt + 2) : (size_t)get_be16(pkt + 4) + PACKET_V6_HDR;
    if (total > len || total < run->info.payload_off || total > PACKET_MAX)
        return 0;
    return same_transport(run, pkt + run->info.l4_off, total - run->info.l4_off) ? total : 0;
}

int packet_parse_next(struct packet_run *run, const uint8_t *pkt, size_t len, bool *ret_same)
{
    struct packet_info *i = &run->info;
    size_t total = length_in_run(run, pkt, len);
    int r;

    *ret_same = total > 0;
    if (*ret_same) {
        i->total_len = (uint16_t)total;
        if (i->proto == PROTO_TCP)
            i->tcp_flags = pkt[i->l4_off + 13];
        return 0;
    }
    r = packet_parse(pkt, len, i);
    run->known = r == 0 && !i->fragment && (i->proto == PROTO_TCP || i->proto == PROTO_UDP) &&
                 i->l4_off == (i->family == ADDR_V4 ? PACKET_V4_HDR : PACKET_V6_HDR);
    if (run->known)
        memcpy(run->headers, pkt, i->proto == PROTO_TCP ? i->l4_off + 20u : i->payload_off);
    return r;
}

unsigned packet_csum_offset(const struct packet_info *info)
{
    if (info->fragment || info->routed || info->payload_off > PACKET_HDR_MAX)
        return 0;
    return info->proto == PROTO_TCP ? 16 : info->proto == PROTO_UDP ? 6 : 0;
}

uint64_t packet_flow_hash(const struct packet_info *info, const uint8_t key[16])
{
    uint8_t buf[2 + 32 + 5] = { info->family };

    memcpy(buf + 2, info->src.bytes, 16);
    memcpy(buf + 18, info->dst.bytes, 16);
    if (info->fragment) {
        buf[1] = info->family == ADDR_V4 ? info->proto : 0;
        put_be32(buf + 34, info->frag_id);
        buf[38] = 1;
    } else {
        buf[1] = info->proto;
        put_be16(buf + 34, info->sport);
        put_be16(buf + 36, info->dport);
    }
    return siphash13(key, buf, sizeof(buf));
}

uint64_t csum_add(uint64_t sum, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t other = 0;

    for (; len >= 16; p += 16, len -= 16) {
        uint64_t a = get_le64(p), b = get_le64(p + 8);

        sum += (uint32_t)a;
        other += a >> 32;
        sum += (uint32_t)b;
        other += b >> 32;
    }
    sum += other;
    for (; len >= 4; p += 4, len -= 4)
        sum += load32(p);
    for (; len >= 2; p += 2, len -= 2) {
        uint16_t v;

        memcpy(&v, p, 2);
        sum += v;
    }
    return len ? sum + *p : sum;
}

uint64_t csum_add16(uint64_t sum, uint16_t v)
{
    return sum + __builtin_bswap16(v);
}

uint16_t csum_fold(uint64_t sum)
{
    sum = (sum >> 32) + (uint32_t)sum;
    sum = (sum >> 32) + (uint32_t)sum;
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return __builtin_bswap16((uint16_t)sum);
}

uint16_t csum_finish(uint64_t sum)
{
    return (uint16_t)~csum_fold(sum);
}

uint64_t csum_pseudo(const uint8_t *pkt, uint8_t proto, uint32_t l4_len)
{
    uint64_t sum = csum_add16(csum_add16(0, (uint16_t)(l4_len >> 16)), (uint16_t)l4_len);

    sum = csum_add16(sum, proto);
    return pkt[0] >> 4 == 4 ? csum_add(sum, pkt + 12, 8) : csum_add(sum, pkt + 8, 32);
}

uint16_t csum_update16(uint16_t check, uint16_t from, uint16_t to)
{
    uint32_t sum = (uint32_t)(uint16_t)~check + (uint16_t)~from + to;

    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)~sum;
}

void packet_fix_v4_header(uint8_t *pkt)
{
    put_be16(pkt + 10, 0);
    put_be16(pkt + 10, csum_finish(csum_add(0, pkt, (size_t)(pkt[0] & 15) * 4)));
}
