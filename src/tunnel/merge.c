/* tunnel/merge.c - receive coalescing in front of a TUN.
 *
 * Theory of operation: each slot holds one packet or super-packet, open (it may grow), ready, or out (popped and in
 * use). A packet that continues an open slot is appended: a slice more, nothing is copied. Any other packet of that
 * flow first makes the slot ready; then it takes a slot of its own, open if something could follow it, ready if not
 * (pure acknowledgements, SYN, RST, URG, CWR, options in IP, failed checksums, other protocols). Ready slots leave in
 * the order in which they became ready, and a flow has at most one open slot, so a flow keeps its order. A fragment
 * does not tell its ports, so it makes ready every slot between its two addresses.
 *
 * Same headers means: all bytes of the IP header but length, identification and checksum; all bytes of the TCP header
 * but sequence, FIN, PSH and checksum (window and options equal, time stamps too: as Linux demands); UDP ports. IPv4
 * identification must count up unless DF is set (RFC 6864: then it has no meaning). A UDP datagram without a checksum
 * is not merged: cutting would give it one. Packets with IP options or extension headers are not merged.
 *
 * A super-packet's checksum is the TUN's to complete, so what is merged must be right: a packet whose checksum is owed
 * was right when it entered the tunnel, where it was sealed; any other is verified here. A lone packet whose checksum
 * is owed leaves with a partial one, or with a complete one if the TUN takes none.
 *
 * Limits: 8 slots, 65535 bytes, 64 packets.
 * Sources: Linux Documentation/networking/segmentation-offloads.rst; virtio 1.2, 5.1.6; RFC 9293, 768, 6864, 3168. */
#include "tunnel/merge.h"

#include <errno.h>

void merge_init(struct merge *m, unsigned options)
{
    m->options = options;
    m->order = 0;
    m->grown = m->slots;
    m->out = NULL;
    for (size_t i = 0; i < MERGE_FLOWS; i++)
        m->slots[i] = (struct merge_slot){ .state = MERGE_FREE };
}

static void make_free(struct merge_slot *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        pbuf_unref(s->owners[i]);
    s->count = 0;
    s->state = MERGE_FREE;
}

void merge_deinit(struct merge *m)
{
    for (size_t i = 0; i < MERGE_FLOWS; i++)
        make_free(&m->slots[i]);
}

/* What was popped before has been used. */
static void free_out(struct merge *m)
{
    if (m->out)
        make_free(m->out);
    m->out = NULL;
}

static void make_ready(struct merge *m, struct merge_slot *s)
{
    s->state = MERGE_READY;
    s->order = m->order++;
}

static bool checksums_good(const struct merge_packet *p)
{
    const struct packet_info *i = p->info;
    size_t l4_len = (size_t)(i->total_len - i->l4_off);

    if (i->family == ADDR_V4 && csum_finish(csum_add(0, p->data, i->l3_len)) != 0)
        return false;
    if (p->csum_owed)
        return true;
    return csum_finish(csum_add(csum_pseudo(p->data, i->proto, (uint32_t)l4_len), p->data + i->l4_off, l4_len)) == 0;
}

/* May this packet be a part of a super-packet at all? */
static bool mergeable(const struct merge *m, const struct merge_packet *p)
{
    const struct packet_info *i = p->info;
    size_t fixed = i->family == ADDR_V4 ? PACKET_V4_HDR : PACKET_V6_HDR;
    const uint8_t *l4 = p->data + i->l4_off;

    if (i->fragment || i->l4_off != fixed || i->payload_off == i->total_len)
        return false;
    if (i->proto == PROTO_TCP) {
        if (!(m->options & MERGE_TCP) || !(i->tcp_flags & TCP_ACK) ||
            (i->tcp_flags & (TCP_SYN | TCP_RST | TCP_URG | TCP_CWR)) || (l4[12] & 0x0f))
            return false;
    } else if (i->proto == PROTO_UDP) {
        if (!(m->options & MERGE_UDP) || (get_be16(l4 + 6) == 0 && !p->csum_owed) ||
            get_be16(l4 + 4) != i->total_len - i->l4_off)
            return false;
    } else {
        return false;
    }
    return checksums_good(p);
}

static bool same_ip(const struct merge_slot *s, const uint8_t *pkt)
{
    const uint8_t *first = s->headers;

    if (pkt[0] >> 4 == 6) /* class, flow label; next header, hop limit, addresses */
        return memcmp(first, pkt, 4) == 0 && memcmp(first + 6, pkt + 6, 34) == 0;
    if (memcmp(first, pkt, 2) != 0 || memcmp(first + 6, pkt + 6, 4) != 0 || memcmp(first + 12, pkt + 12, 8) != 0)
        return false;
    return (pkt[6] & 0x40) || (uint16_t)(get_be16(first + 4) + s->count) == get_be16(pkt + 4);
}

static bool same_tcp(const struct merge_slot *s, const uint8_t *tcp)
{
    const uint8_t *first = s->headers + s->l4_off;

    return get_be32(tcp + 4) == s->next_seq && memcmp(first, tcp, 4) == 0 && memcmp(first + 8, tcp + 8, 5) == 0 &&
           !((first[13] ^ tcp[13]) & ~(TCP_FIN | TCP_PSH)) && memcmp(first + 14, tcp + 14, 2) == 0 &&
           memcmp(first + 18, tcp + 18, (size_t)(s->hdr - s->l4_off - 18)) == 0;
}

/* Does the packet, mergeable by itself, continue the slot? */
static bool continues(const struct merge_slot *s, const uint8_t *pkt, const struct packet_info *i)
{
    size_t payload = (size_t)(i->total_len - i->payload_off);

    if (i->payload_off != s->hdr || payload > s->piece || s->len + payload > PACKET_MAX || s->count == MERGE_PKTS_MAX ||
        !same_ip(s, pkt))
        return false;
    return s->proto != PROTO_TCP || same_tcp(s, pkt + i->l4_off);
}

static bool ends(const struct merge_slot *s, const struct packet_info *i)
{
    return (i->tcp_flags & (TCP_FIN | TCP_PSH)) || i->total_len - i->payload_off < s->piece;
}

static void add_payload(struct merge_slot *s, const struct merge_packet *p, size_t from)
{
    size_t payload = p->info->total_len - from;

    s->owners[s->count] = p->owner ? pbuf_ref(p->owner) : NULL;
    s->slices[++s->count] = (struct slice){ p->data + from, payload };
    s->len += (uint32_t)payload;
    s->next_seq += (uint32_t)payload;
}

static void append(struct merge *m, struct merge_slot *s, const struct merge_packet *p)
{
    add_payload(s, p, p->info->payload_off);
    if (s->proto == PROTO_TCP)
        s->headers[s->l4_off + 13] |= p->info->tcp_flags & (TCP_FIN | TCP_PSH);
    if (ends(s, p->info))
        make_ready(m, s);
}

static void fill(struct merge *m, struct merge_slot *s, const struct merge_packet *p, bool open)
{
    const struct packet_info *i = p->info;
    size_t copied = open || p->csum_owed ? i->payload_off : 0; /* headers that are to be changed */

    s->state = MERGE_OPEN;
    s->order = m->order++;
    s->proto = i->proto;
    s->hdr = i->payload_off;
    s->l4_off = i->l4_off;
    s->piece = (uint16_t)(i->total_len - i->payload_off);
    s->owed = p->csum_owed;
    s->src = i->src;
    s->dst = i->dst;
    s->sport = i->sport;
    s->dport = i->dport;
    memcpy(s->headers, p->data, copied);
    s->slices[0] = (struct slice){ s->headers, copied };
    s->len = (uint32_t)copied;
    s->next_seq = open && i->proto == PROTO_TCP ? get_be32(p->data + i->l4_off + 4) : 0;
    add_payload(s, p, copied);
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

int merge_push(struct merge *m, const struct merge_packet *p)
{
    struct merge_packet packet = *p;
    struct merge_slot *s;
    bool can;

    free_out(m);
    packet.csum_owed &= packet_csum_offset(p->info) > 0;
    can = mergeable(m, &packet);
    s = m->grown;
    if (can && s->state == MERGE_OPEN && same_flow(s, p->info) && continues(s, p->data, p->info)) {
        append(m, s, &packet); /* a flow has no other open slot */
        return 0;
    }
    for (s = m->slots; s < m->slots + MERGE_FLOWS; s++) {
        if (s->state != MERGE_OPEN || !same_flow(s, p->info))
            continue;
        if (can && continues(s, p->data, p->info)) {
            append(m, s, &packet);
            m->grown = s;
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
    fill(m, s, &packet, can);
    m->grown = s;
    return 0;
}

void merge_flush(struct merge *m)
{
    struct merge_slot *s;

    while ((s = oldest(m, MERGE_OPEN)))
        make_ready(m, s);
}

/* A lone packet whose checksum is owed and has to be paid here. */
static void complete(struct merge_slot *s, unsigned offset)
{
    uint8_t *l4 = s->headers + s->l4_off;
    uint64_t sum = csum_pseudo(s->headers, s->proto, s->len - s->l4_off);
    uint16_t check;

    put_be16(l4 + offset, 0);
    sum = csum_add(sum, l4, (size_t)(s->hdr - s->l4_off));
    check = csum_finish(csum_add(sum, s->slices[1].data, s->slices[1].len));
    put_be16(l4 + offset, check == 0 && s->proto == PROTO_UDP ? 0xffff : check);
}

/* The headers of a super-packet, or of a packet whose checksum is owed: lengths, and a checksum that is the
 * pseudo-header's alone. */
static void finish(struct merge_slot *s, struct offload *o)
{
    uint8_t *l4 = s->headers + s->l4_off;
    uint32_t l4_len = s->len - s->l4_off;
    bool v4 = s->headers[0] >> 4 == 4, tcp = s->proto == PROTO_TCP;

    o->csum_offset = tcp ? 16 : 6;
    o->flags = OFFLOAD_NEEDS_CSUM;
    o->csum_start = s->l4_off;
    if (s->count > 1) {
        if (v4) {
            put_be16(s->headers + 2, (uint16_t)s->len);
            packet_fix_v4_header(s->headers);
        } else {
            put_be16(s->headers + 4, (uint16_t)(s->len - PACKET_V6_HDR));
        }
        if (!tcp)
            put_be16(l4 + 4, (uint16_t)l4_len);
        o->gso_type = !tcp ? OFFLOAD_GSO_UDP : v4 ? OFFLOAD_GSO_TCPV4 : OFFLOAD_GSO_TCPV6;
        o->hdr_len = s->hdr;
        o->gso_size = s->piece;
    }
    put_be16(l4 + o->csum_offset, csum_fold(csum_pseudo(s->headers, s->proto, l4_len)));
}

bool merge_pop(struct merge *m, struct merged *ret)
{
    struct merge_slot *s = oldest(m, MERGE_READY);

    free_out(m);
    if (!s)
        return false;
    *ret = (struct merged){ .len = s->len };
    if (s->count > 1 || (s->owed && (m->options & MERGE_CSUM)))
        finish(s, &ret->offload);
    else if (s->owed)
        complete(s, s->proto == PROTO_TCP ? 16 : 6);
    s->state = MERGE_OUT;
    m->out = s;
    ret->slices = s->slices[0].len > 0 ? s->slices : s->slices + 1;
    ret->count = s->slices[0].len > 0 ? s->count + 1 : s->count;
    return true;
}
