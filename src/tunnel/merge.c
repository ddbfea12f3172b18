/* tunnel/merge.c - receive coalescing in front of a TUN.
 *
 * Theory of operation: each slot holds one packet or super-packet, open (it may grow) or ready. A packet that continues
 * an open slot is appended. Any other packet of that flow first makes the slot ready; then it takes a slot of its own,
 * open if something could follow it, ready if not (pure acknowledgements, SYN, RST, URG, CWR, options in IP, failed
 * checksums, other protocols). Ready slots leave in the order in which they became ready, and a flow has at most one
 * open slot, so a flow keeps its order. A fragment does not tell its ports, so it makes ready every slot between its
 * two addresses.
 *
 * Same headers means: all bytes of the IP header but length, identification and checksum; all bytes of the TCP header
 * but sequence, FIN, PSH and checksum (window and options equal, time stamps too: as Linux demands); UDP ports. IPv4
 * identification must count up unless DF is set (RFC 6864: then it has no meaning). A UDP datagram without a checksum
 * is not merged: cutting would give it one. Packets with IP options or extension headers are not merged.
 *
 * Limits: 8 slots, 65535 bytes, 64 datagrams of UDP.
 * Sources: Linux Documentation/networking/segmentation-offloads.rst; virtio 1.2, 5.1.6; RFC 9293, 768, 6864, 3168. */
#include "tunnel/merge.h"

#include <errno.h>

void merge_init(struct merge *m, unsigned options)
{
    m->options = options;
    m->order = 0;
    for (size_t i = 0; i < MERGE_FLOWS; i++) {
        m->slots[i].state = MERGE_FREE;
        m->slots[i].order = 0;
    }
}

static void make_ready(struct merge *m, struct merge_slot *s)
{
    s->state = MERGE_READY;
    s->order = m->order++;
}

static bool checksums_good(const struct merge *m, const uint8_t *pkt, const struct packet_info *i)
{
    size_t l4_len = (size_t)(i->total_len - i->l4_off);

    if (i->family == ADDR_V4 && csum_finish(csum_add(0, pkt, i->l3_len)) != 0)
        return false;
    if (m->options & MERGE_TRUSTED)
        return true;
    return csum_finish(csum_add(csum_pseudo(pkt, i->proto, (uint32_t)l4_len), pkt + i->l4_off, l4_len)) == 0;
}

/* May this packet be a part of a super-packet at all? */
static bool mergeable(const struct merge *m, const uint8_t *pkt, const struct packet_info *i)
{
    size_t fixed = i->family == ADDR_V4 ? PACKET_V4_HDR : PACKET_V6_HDR;

    if (i->fragment || i->l4_off != fixed || i->payload_off == i->total_len)
        return false;
    if (i->proto == PROTO_TCP) {
        if (!(m->options & MERGE_TCP) || !(i->tcp_flags & TCP_ACK) ||
            (i->tcp_flags & (TCP_SYN | TCP_RST | TCP_URG | TCP_CWR)) || (pkt[i->l4_off + 12] & 0x0f))
            return false;
    } else if (i->proto == PROTO_UDP) {
        const uint8_t *udp = pkt + i->l4_off;

        if (!(m->options & MERGE_UDP) || get_be16(udp + 6) == 0 || get_be16(udp + 4) != i->total_len - i->l4_off)
            return false;
    } else {
        return false;
    }
    return checksums_good(m, pkt, i);
}

static bool same_ip(const struct merge_slot *s, const uint8_t *pkt)
{
    if (pkt[0] >> 4 == 6) /* class, flow label; next header, hop limit, addresses */
        return memcmp(s->buf, pkt, 4) == 0 && memcmp(s->buf + 6, pkt + 6, 34) == 0;
    if (memcmp(s->buf, pkt, 2) != 0 || memcmp(s->buf + 6, pkt + 6, 4) != 0 || memcmp(s->buf + 12, pkt + 12, 8) != 0)
        return false;
    return (pkt[6] & 0x40) || (uint16_t)(get_be16(s->buf + 4) + s->count) == get_be16(pkt + 4);
}

static bool same_tcp(const struct merge_slot *s, const uint8_t *tcp)
{
    const uint8_t *first = s->buf + s->l4_off;

    return get_be32(tcp + 4) == s->next_seq && memcmp(first, tcp, 4) == 0 && memcmp(first + 8, tcp + 8, 5) == 0 &&
           !((first[13] ^ tcp[13]) & ~(TCP_FIN | TCP_PSH)) && memcmp(first + 14, tcp + 14, 2) == 0 &&
           memcmp(first + 18, tcp + 18, (size_t)(s->hdr - s->l4_off - 18)) == 0;
}

/* Does the packet, mergeable by itself, continue the slot? */
static bool continues(const struct merge_slot *s, const uint8_t *pkt, const struct packet_info *i)
{
    size_t payload = (size_t)(i->total_len - i->payload_off);

    if (i->payload_off != s->hdr || payload > s->piece || s->len + payload > PACKET_MAX || !same_ip(s, pkt))
        return false;
    return s->proto == PROTO_TCP ? same_tcp(s, pkt + i->l4_off) : s->count < MERGE_UDP_PKTS;
}

static bool ends(const struct merge_slot *s, const struct packet_info *i)
{
    return (i->tcp_flags & (TCP_FIN | TCP_PSH)) || i->total_len - i->payload_off < s->piece;
}

static void append(struct merge *m, struct merge_slot *s, const uint8_t *pkt, const struct packet_info *i)
{
    size_t payload = (size_t)(i->total_len - i->payload_off);

    memcpy(s->buf + s->len, pkt + i->payload_off, payload);
    s->len += (uint32_t)payload;
    s->next_seq += (uint32_t)payload;
    s->count++;
    if (s->proto == PROTO_TCP)
        s->buf[s->l4_off + 13] |= i->tcp_flags & (TCP_FIN | TCP_PSH);
    if (ends(s, i))
        make_ready(m, s);
}

static void fill(struct merge *m, struct merge_slot *s, const uint8_t *pkt, const struct packet_info *i, bool open)
{
    s->state = MERGE_OPEN;
    s->order = m->order++;
    s->proto = i->proto;
    s->hdr = i->payload_off;
    s->l4_off = i->l4_off;
    s->piece = (uint16_t)(i->total_len - i->payload_off);
    s->count = 1;
    s->len = i->total_len;
    s->src = i->src;
    s->dst = i->dst;
    s->sport = i->sport;
    s->dport = i->dport;
    memcpy(s->buf, pkt, i->total_len);
    if (open && i->proto == PROTO_TCP)
        s->next_seq = get_be32(pkt + i->l4_off + 4) + s->piece;
    if (!open || ends(s, i))
        make_ready(m, s);
}

/* Fragments meet every slot between their addresses. */
static bool same_flow(const struct merge_slot *s, const struct packet_info *i)
{
    if (!addr_equal(&s->src, &i->src) || !addr_equal(&s->dst, &i->dst))
        return false;
    return i->fragment || (s->proto == i->proto && s->sport == i->sport && s->dport == i->dport);
}

static struct merge_slot *oldest(struct merge *m, enum merge_state state)
{
    struct merge_slot *best = NULL;

    for (size_t i = 0; i < MERGE_FLOWS; i++) {
        struct merge_slot *s = &m->slots[i];

        if (s->state == state && (!best || s->order < best->order))
            best = s;
    }
    return best;
}

int merge_push(struct merge *m, const uint8_t *pkt, size_t len)
{
    struct packet_info info;
    struct merge_slot *s;
    bool can;
    int r = packet_parse(pkt, len, &info);

    if (r < 0)
        return r;
    can = mergeable(m, pkt, &info);
    for (s = m->slots; s < m->slots + MERGE_FLOWS; s++) {
        if (s->state != MERGE_OPEN || !same_flow(s, &info))
            continue;
        if (can && continues(s, pkt, &info)) {
            append(m, s, pkt, &info);
            return 0;
        }
        make_ready(m, s);
    }
    s = oldest(m, MERGE_FREE);
    if (!s) {
        /* All open: the oldest has to go. */
        if (!oldest(m, MERGE_READY))
            make_ready(m, oldest(m, MERGE_OPEN));
        return -EAGAIN;
    }
    fill(m, s, pkt, &info, can);
    return 0;
}

void merge_flush(struct merge *m)
{
    struct merge_slot *s;

    while ((s = oldest(m, MERGE_OPEN)))
        make_ready(m, s);
}

/* The headers of a super-packet: lengths, and a checksum that is the pseudo-header's alone. */
static void finish(struct merge_slot *s, struct offload *o)
{
    uint8_t *l4 = s->buf + s->l4_off;
    uint32_t l4_len = s->len - s->l4_off;
    bool v4 = s->buf[0] >> 4 == 4, tcp = s->proto == PROTO_TCP;

    if (v4) {
        put_be16(s->buf + 2, (uint16_t)s->len);
        packet_fix_v4_header(s->buf);
    } else {
        put_be16(s->buf + 4, (uint16_t)(s->len - PACKET_V6_HDR));
    }
    if (!tcp)
        put_be16(l4 + 4, (uint16_t)l4_len);
    o->csum_offset = tcp ? 16 : 6;
    put_be16(l4 + o->csum_offset, csum_fold(csum_pseudo(s->buf, s->proto, l4_len)));
    o->flags = OFFLOAD_NEEDS_CSUM;
    o->gso_type = !tcp ? OFFLOAD_GSO_UDP : v4 ? OFFLOAD_GSO_TCPV4 : OFFLOAD_GSO_TCPV6;
    o->hdr_len = s->hdr;
    o->gso_size = s->piece;
    o->csum_start = s->l4_off;
}

size_t merge_pop(struct merge *m, struct offload *ret_offload, const uint8_t **ret_pkt)
{
    struct merge_slot *s = oldest(m, MERGE_READY);

    if (!s)
        return 0;
    memset(ret_offload, 0, sizeof(*ret_offload));
    if (s->count > 1)
        finish(s, ret_offload);
    s->state = MERGE_FREE;
    *ret_pkt = s->buf;
    return s->len;
}
