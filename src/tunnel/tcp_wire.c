/* tunnel/tcp_wire.c - headers of TCP segments: parsed and written.
 *
 * Theory of operation. A segment whose options are cut short, or of which one that we know has a wrong length, is
 * dropped as a whole: its sender is broken or hostile, and a guess at the rest helps neither. Options that we do not
 * know are passed over. A data segment carries timestamps alone, so that every one has the same room for data; SACK
 * blocks go with segments without data. What the device cuts is written as merge.c writes it: lengths of the whole, the
 * pseudo-header's sum in place of the checksum.
 *
 * Limits: 60 bytes of TCP header. Hop limit 64, don't fragment, identification 0 (RFC 6864).
 * Sources: RFC 9293 3.1 and 3.10.7.1, 7323 2.2, 3.2 and appendix A, 2018, 2883; virtio 1.2, 5.1.6. */
#include "tunnel/ptb.h"
#include "tunnel/tcp_internal.h"

#include <assert.h>
#include <errno.h>

#define HOP_LIMIT 64 /* the recommended default (IANA, RFC 1700) */
#define HEADER 20
#define CSUM_AT 16

enum { OPT_END = 0, OPT_NOP = 1, OPT_MSS = 2, OPT_SCALE = 3, OPT_SACK_PERMITTED = 4, OPT_SACK = 5, OPT_STAMPS = 8 };

/* One option of a known length, or of a kind that we pass over. */
static int parse_option(const uint8_t *opt, size_t len, struct tcp_in *in)
{
    switch (opt[0]) {
    case OPT_MSS:
        if (len != 4)
            return -EBADMSG;
        in->has_mss = true;
        in->mss = get_be16(opt + 2);
        return 0;
    case OPT_SCALE:
        if (len != 3)
            return -EBADMSG;
        in->has_scale = true;
        in->scale = MIN(opt[2], 14); /* RFC 7323 2.3 */
        return 0;
    case OPT_SACK_PERMITTED:
        in->sack_permitted = true;
        return len == 2 ? 0 : -EBADMSG;
    case OPT_SACK:
        if (len < 10 || (len - 2) % 8 != 0)
            return -EBADMSG;
        in->blocks = (unsigned)MIN((len - 2) / 8, TCP_BLOCKS_MAX);
        for (unsigned i = 0; i < in->blocks; i++) {
            in->block[i].left = get_be32(opt + 2 + i * 8u);
            in->block[i].right = get_be32(opt + 6 + i * 8u);
        }
        return 0;
    case OPT_STAMPS:
        if (len != 10)
            return -EBADMSG;
        in->has_ts = true;
        in->ts = get_be32(opt + 2);
        in->ts_echo = get_be32(opt + 6);
        return 0;
    default:
        return 0;
    }
}

int tcp_in_parse(const uint8_t *pkt, const struct packet_info *info, struct tcp_in *ret)
{
    const uint8_t *tcp = pkt + info->l4_off;
    size_t end = (size_t)(info->payload_off - info->l4_off), at = HEADER;
    struct tcp_in in = { 0 };

    if (info->proto != PROTO_TCP || info->fragment || end < HEADER)
        return -EBADMSG;
    in.seq = get_be32(tcp + 4);
    in.ack = get_be32(tcp + 8);
    in.flags = tcp[13];
    in.window = get_be16(tcp + 14);
    in.data = pkt + info->payload_off;
    in.len = (uint32_t)(info->total_len - info->payload_off);
    while (at < end && tcp[at] != OPT_END) {
        size_t len = tcp[at] == OPT_NOP ? 1 : at + 1 < end ? tcp[at + 1] : 0;

        if (tcp[at] != OPT_NOP && (len < 2 || len > end - at || parse_option(tcp + at, len, &in) < 0))
            return -EBADMSG;
        at += len;
    }
    *ret = in;
    return 0;
}

static size_t put_stamps(const struct tcp_end *e, uint8_t *opt, instant now)
{
    if (!e->stamps)
        return 0;
    opt[0] = opt[1] = OPT_NOP;
    opt[2] = OPT_STAMPS;
    opt[3] = 10;
    put_be32(opt + 4, tcp_stamp(e, now));
    put_be32(opt + 8, e->ts_recent);
    return 12;
}

static size_t put_syn_options(const struct tcp_end *e, uint8_t *opt, instant now)
{
    size_t len = 4;

    opt[0] = OPT_MSS;
    opt[1] = 4;
    put_be16(opt + 2, (uint16_t)(e->mtu - (e->v6 ? PACKET_V6_HDR : PACKET_V4_HDR) - HEADER));
    if (e->rx.scale != UINT8_MAX) {
        opt[len] = OPT_NOP;
        opt[len + 1] = OPT_SCALE;
        opt[len + 2] = 3;
        opt[len + 3] = e->rx.scale;
        len += 4;
    }
    if (e->sack) {
        opt[len] = opt[len + 1] = OPT_NOP;
        opt[len + 2] = OPT_SACK_PERMITTED;
        opt[len + 3] = 2;
        len += 4;
    }
    return len + put_stamps(e, opt + len, now);
}

static void put_block(const struct tcp_end *e, uint8_t *opt, unsigned n, uint64_t from, uint64_t to)
{
    put_be32(opt + 4 + n * 8u, tcp_rx_wire(e, from));
    put_be32(opt + 8 + n * 8u, tcp_rx_wire(e, to));
}

/* What came twice first, then the ranges that grew last, each once. */
static size_t put_sack(struct tcp_end *e, uint8_t *opt)
{
    unsigned n = 0, max = e->stamps ? TCP_BLOCKS_MAX - 1 : TCP_BLOCKS_MAX;
    size_t said[TCP_BLOCKS_MAX];
    unsigned ranges = 0;

    if (!e->sack)
        return 0;
    if (e->rx.twice_from < e->rx.twice_to)
        put_block(e, opt, n++, e->rx.twice_from, e->rx.twice_to);
    e->rx.twice_to = e->rx.twice_from;
    for (unsigned i = 0; i < TCP_BLOCKS_MAX && n < max; i++) {
        size_t k = ranges_find(&e->rx.early, e->rx.recent[i]);
        bool known = k == e->rx.early.count || e->rx.early.items[k].from > e->rx.recent[i];

        for (unsigned j = 0; j < ranges; j++)
            known |= said[j] == k;
        if (known)
            continue;
        said[ranges++] = k;
        put_block(e, opt, n++, e->rx.early.items[k].from, e->rx.early.items[k].to);
    }
    if (n == 0)
        return 0;
    opt[0] = opt[1] = OPT_NOP;
    opt[2] = OPT_SACK;
    opt[3] = (uint8_t)(2 + n * 8);
    return 4 + n * 8u;
}

size_t tcp_header_len(const struct tcp_end *e)
{
    return (e->v6 ? PACKET_V6_HDR : PACKET_V4_HDR) + HEADER + (e->stamps ? 12u : 0);
}

/* An IP header, complete but for what is behind it. Its length. */
static size_t put_ip(uint8_t *out, const struct addr *src, const struct addr *dst, size_t l4_len)
{
    if (src->family == ADDR_V6) {
        memset(out, 0, 8);
        out[0] = 0x60;
        put_be16(out + 4, (uint16_t)l4_len);
        out[6] = PROTO_TCP;
        out[7] = HOP_LIMIT;
        memcpy(out + 8, src->bytes, 16);
        memcpy(out + 24, dst->bytes, 16);
        return PACKET_V6_HDR;
    }
    memset(out, 0, PACKET_V4_HDR);
    out[0] = 0x45;
    put_be16(out + 2, (uint16_t)(PACKET_V4_HDR + l4_len));
    out[6] = 0x40;
    out[8] = HOP_LIMIT;
    out[9] = PROTO_TCP;
    memcpy(out + 12, src->bytes, 4);
    memcpy(out + 16, dst->bytes, 4);
    packet_fix_v4_header(out);
    return PACKET_V4_HDR;
}

static void put_tcp(uint8_t *tcp, uint16_t sport, uint16_t dport, uint32_t seq, uint32_t ack, uint8_t flags)
{
    put_be16(tcp, sport);
    put_be16(tcp + 2, dport);
    put_be32(tcp + 4, seq);
    put_be32(tcp + 8, ack);
    tcp[12] = HEADER / 4 << 4;
    tcp[13] = flags;
    memset(tcp + 14, 0, 6);
}

/* The sum over bytes that stand in several pieces, of any length. */
static uint16_t sum_slices(uint64_t sum, const struct slice *s, size_t count)
{
    bool odd = false;

    for (size_t i = 0; i < count; i++) {
        uint16_t part = csum_fold(csum_add(0, s[i].data, s[i].len));

        sum = csum_add16(sum, odd ? __builtin_bswap16(part) : part);
        odd ^= s[i].len & 1;
    }
    return csum_finish(sum);
}

/* The checksum, or what the device needs to make it and to cut the packet. */
static void finish(struct tcp_end *e, size_t l3, size_t header, size_t len, struct merged *ret)
{
    uint8_t *tcp = e->headers + l3;
    uint64_t pseudo = csum_pseudo(e->headers, PROTO_TCP, (uint32_t)(header - l3 + len));

    if (!e->offload) {
        uint64_t sum = csum_add(pseudo, tcp, header - l3);

        put_be16(tcp + CSUM_AT, sum_slices(sum, e->slices + 1, ret->count - 1));
        return;
    }
    put_be16(tcp + CSUM_AT, csum_fold(pseudo));
    ret->offload = (struct offload){
        .flags = OFFLOAD_NEEDS_CSUM, .hdr_len = (uint16_t)header, .csum_start = (uint16_t)l3, .csum_offset = CSUM_AT
    };
    if (len > e->tx.mss) {
        ret->offload.gso_type = e->v6 ? OFFLOAD_GSO_TCPV6 : OFFLOAD_GSO_TCPV4;
        ret->offload.gso_size = e->tx.mss;
    }
}

void tcp_put(struct tcp_end *e, uint8_t flags, uint64_t from, size_t len, struct merged *ret, instant now)
{
    size_t l3 = e->v6 ? PACKET_V6_HDR : PACKET_V4_HDR, header = l3 + HEADER;
    uint8_t *tcp = e->headers + l3;

    put_tcp(tcp, e->local.port, e->peer.port, tcp_tx_wire(e, from), flags & TCP_ACK ? tcp_rx_wire(e, e->rx.next) : 0,
            flags);
    if (flags & TCP_SYN)
        header += put_syn_options(e, e->headers + header, now);
    else if (!(flags & TCP_RST))
        header += put_stamps(e, e->headers + header, now);
    if (len == 0 && !(flags & (TCP_SYN | TCP_RST | TCP_FIN)))
        header += put_sack(e, e->headers + header);
    tcp[12] = (uint8_t)((header - l3) / 4 << 4);
    if (!(flags & TCP_RST))
        put_be16(tcp + 14, tcp_recv_window(e, flags & TCP_SYN));
    put_ip(e->headers, &e->local.addr, &e->peer.addr, header - l3 + len);
    assert(header + len <= PACKET_MAX);

    memset(e->slices, 0, sizeof(e->slices));
    e->slices[0] = (struct slice){ e->headers, header };
    *ret = (struct merged){ .slices = e->slices, .len = header + len };
    ret->count = 1 + bytes_slices(&e->tx.ring, from, len, e->slices + 1);
    finish(e, l3, header, len, ret);
    e->packets_out++;
}

bool tcp_put_refusal(struct tcp_end *e, struct merged *ret)
{
    static const enum unreachable_reason reasons[] = { [TCP_REFUSED_NET] = UNREACHABLE_NET,
                                                       [TCP_REFUSED_HOST] = UNREACHABLE_HOST,
                                                       [TCP_REFUSED_PROHIBITED] = UNREACHABLE_PROHIBITED };
    uint8_t syn[PACKET_V6_HDR + HEADER];
    struct packet_info info;
    size_t l3 = put_ip(syn, &e->peer.addr, &e->local.addr, HEADER);
    int len;

    /* The quote is what a receiver looks at: addresses, ports, number. */
    put_tcp(syn + l3, e->peer.port, e->local.port, e->rx.irs, 0, TCP_SYN);
    if (packet_parse(syn, l3 + HEADER, &info) < 0)
        return false;
    if (e->answer == TCP_ANSWER_REFUSE)
        len = tcp_reset_make(e->headers, sizeof(e->headers), syn, &info);
    else
        len = unreachable_make(e->headers, sizeof(e->headers), syn, &info, &e->icmp_src, reasons[e->why]);
    if (len <= 0)
        return false;
    e->slices[0] = (struct slice){ e->headers, (size_t)len };
    *ret = (struct merged){ .slices = e->slices, .count = 1, .len = (size_t)len };
    e->packets_out++;
    return true;
}

bool tcp_checksum_right(const uint8_t *pkt, const struct packet_info *info, const struct offload *offload)
{
    size_t len = (size_t)(info->total_len - info->l4_off);

    if (offload && offload->flags & (OFFLOAD_NEEDS_CSUM | OFFLOAD_DATA_VALID))
        return true;
    return !info->routed &&
           csum_finish(csum_add(csum_pseudo(pkt, PROTO_TCP, (uint32_t)len), pkt + info->l4_off, len)) == 0;
}

int tcp_reset_make(uint8_t *out, size_t size, const uint8_t *pkt, const struct packet_info *info)
{
    const uint8_t *from = pkt + info->l4_off;
    uint8_t flags = info->tcp_flags;
    uint32_t len = (uint32_t)(info->total_len - info->payload_off) + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
    size_t l3;
    uint64_t sum;

    if (info->proto != PROTO_TCP || info->fragment || flags & TCP_RST || !addr_is_unicast(&info->src) ||
        !addr_is_unicast(&info->dst))
        return 0;
    if (size < TCP_RESET_MAX)
        return -ENOSPC;
    l3 = put_ip(out, &info->dst, &info->src, HEADER);
    if (flags & TCP_ACK)
        put_tcp(out + l3, info->dport, info->sport, get_be32(from + 8), 0, TCP_RST);
    else
        put_tcp(out + l3, info->dport, info->sport, 0, get_be32(from + 4) + len, TCP_RST | TCP_ACK);
    sum = csum_pseudo(out, PROTO_TCP, HEADER);
    put_be16(out + l3 + CSUM_AT, csum_finish(csum_add(sum, out + l3, HEADER)));
    return (int)(l3 + HEADER);
}
