/* tunnel/segment.c - software segmentation of what a TUN hands over.
 *
 * Theory of operation: the headers are copied before every piece of payload and corrected: total and payload lengths,
 * IPv4 identification (counted up from the super-packet's), TCP sequence number; FIN and PSH stay on the last piece
 * only, CWR on the first only (RFC 3168 6.1.2: once for each window). Checksums are computed from scratch, so what the
 * super-packet's fields hold does not matter. A packet that is not to be cut is copied, and its checksum completed if
 * it is partial: from scratch for TCP and UDP; for what we do not know the field holds the pseudo-header's sum, and the
 * sum from csum_start on is added to it. A tunnel that seals each piece need not touch every byte for that: where the
 * packet is known to be right the checksum may be owed, and whoever takes the packet out computes it.
 *
 * Limits: 65535 bytes; a piece for each gso_size bytes of payload, gso_size of 1 and more.
 * Sources: virtio 1.2, 5.1.6 (header fields); RFC 9293, 768, 791, 3168. */
#include "tunnel/segment.h"

#include <errno.h>

static uint16_t get_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static void put_le16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

void offload_parse(const uint8_t hdr[OFFLOAD_HDR_LEN], struct offload *ret)
{
    ret->flags = hdr[0];
    ret->gso_type = hdr[1];
    ret->hdr_len = get_le16(hdr + 2);
    ret->gso_size = get_le16(hdr + 4);
    ret->csum_start = get_le16(hdr + 6);
    ret->csum_offset = get_le16(hdr + 8);
}

void offload_format(const struct offload *o, uint8_t hdr[OFFLOAD_HDR_LEN])
{
    hdr[0] = o->flags;
    hdr[1] = o->gso_type;
    put_le16(hdr + 2, o->hdr_len);
    put_le16(hdr + 4, o->gso_size);
    put_le16(hdr + 6, o->csum_start);
    put_le16(hdr + 8, o->csum_offset);
}

/* Does the kind fit the packet? */
static int check_kind(const struct packet_info *i, const uint8_t *pkt, uint8_t gso_type)
{
    bool fits;

    /* A fragment may end before its transport header does. */
    if (i->fragment)
        return -EBADMSG;
    switch (gso_type & ~OFFLOAD_GSO_ECN) {
    case OFFLOAD_GSO_TCPV4:
        fits = i->family == ADDR_V4 && i->proto == PROTO_TCP;
        break;
    case OFFLOAD_GSO_TCPV6:
        fits = i->family == ADDR_V6 && i->proto == PROTO_TCP;
        break;
    case OFFLOAD_GSO_UDP:
        fits = i->proto == PROTO_UDP && get_be16(pkt + i->l4_off + 4) == i->total_len - i->l4_off;
        break;
    default:
        return -EPROTONOSUPPORT;
    }
    if (i->routed)
        return -EPROTONOSUPPORT;
    return fits && packet_csum_offset(i) > 0 ? 0 : -EBADMSG;
}

/* Who made the packet left its checksum to the device, or the kernel has verified it, and the field is where both ends
 * will look for it. */
static bool may_owe(const struct segment *s, const struct offload *o)
{
    unsigned offset = packet_csum_offset(&s->info);

    if (offset == 0)
        return false;
    if (s->complete)
        return s->csum_start == s->info.l4_off && s->csum_offset == offset;
    return s->cut || ((o->flags & OFFLOAD_DATA_VALID) && get_be16(s->pkt + s->info.l4_off + offset) != 0);
}

/* The sum over an IPv4 header with length, identification and checksum taken as 0. */
static uint16_t constant_sum(const uint8_t *pkt, size_t l3_len)
{
    uint8_t header[60];

    memcpy(header, pkt, l3_len);
    memset(header + 2, 0, 4);
    memset(header + 10, 0, 2);
    return csum_fold(csum_add(0, header, l3_len));
}

int segment_init(struct segment *s, const uint8_t *pkt, size_t len, const struct offload *o)
{
    struct segment n = { .pkt = pkt, .count = 1 };
    int r = packet_parse(pkt, len, &n.info);

    if (r < 0)
        return r;
    n.size = (size_t)(n.info.total_len - n.info.payload_off);
    if (o->gso_type != OFFLOAD_GSO_NONE) {
        r = check_kind(&n.info, pkt, o->gso_type);
        if (r < 0)
            return r;
        if (o->gso_size == 0)
            return -EBADMSG;
        n.cut = true;
        if (n.size > 0)
            n.count = (n.size + o->gso_size - 1) / o->gso_size;
        n.size = MIN(n.size, o->gso_size);
        if (n.info.family == ADDR_V4)
            n.v4_sum = constant_sum(pkt, n.info.l3_len);
    } else if (o->flags & OFFLOAD_NEEDS_CSUM) {
        if (o->csum_start < n.info.l3_len || (size_t)o->csum_start + o->csum_offset + 2 > n.info.total_len)
            return -EBADMSG;
        n.complete = true;
        n.csum_start = o->csum_start;
        n.csum_offset = o->csum_offset;
    }
    n.may_owe = may_owe(&n, o);
    *s = n;
    return 0;
}

size_t segment_largest(const struct segment *s)
{
    return s->info.payload_off + s->size;
}

static void fix_checksum(const struct segment *s, uint8_t *out, size_t len)
{
    uint8_t *l4 = out + s->info.l4_off, *check = l4 + packet_csum_offset(&s->info);
    size_t l4_len = len - s->info.l4_off;
    uint16_t sum;

    put_be16(check, 0);
    sum = csum_finish(csum_add(csum_pseudo(out, s->info.proto, (uint32_t)l4_len), l4, l4_len));
    /* UDP's 0 says that there is none (RFC 768). */
    put_be16(check, sum == 0 && s->info.proto == PROTO_UDP ? 0xffff : sum);
}

/* Fields are computed from the super-packet's, which are in the cache, and never read back from what was just written:
 * a wide load behind narrow stores waits until the stores have reached memory. */
static void fix_headers(const struct segment *s, uint8_t *out, size_t len, bool last)
{
    const uint8_t *from = s->pkt + s->info.l4_off;
    uint8_t *l4 = out + s->info.l4_off;

    if (s->info.family == ADDR_V4) {
        uint16_t id = (uint16_t)(get_be16(s->pkt + 4) + s->next);

        put_be16(out + 2, (uint16_t)len);
        put_be16(out + 4, id);
        put_be16(out + 10, csum_finish(csum_add16(csum_add16(csum_add16(0, s->v4_sum), (uint16_t)len), id)));
    } else {
        put_be16(out + 4, (uint16_t)(len - PACKET_V6_HDR));
    }
    if (s->info.proto == PROTO_TCP) {
        uint8_t flags = from[13];

        if (s->next > 0)
            flags &= (uint8_t)~TCP_CWR;
        if (!last)
            flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        put_be32(l4 + 4, get_be32(from + 4) + (uint32_t)s->at);
        l4[13] = flags;
    } else {
        put_be16(l4 + 4, (uint16_t)(len - s->info.l4_off));
    }
}

int segment_next_headers(struct segment *s, uint8_t *out, size_t size, const uint8_t **ret_payload, size_t *ret_len)
{
    size_t hdr = s->info.payload_off, left = s->info.total_len - hdr - s->at, part = MIN(left, s->size);

    if (s->next == s->count)
        return 0;
    if (size < hdr)
        return -ENOSPC;
    memcpy(out, s->pkt, hdr);
    if (s->cut)
        fix_headers(s, out, hdr + part, s->next + 1u == s->count);
    *ret_payload = s->pkt + hdr + s->at;
    *ret_len = part;
    s->at += part;
    s->next++;
    return (int)hdr;
}

int segment_next(struct segment *s, uint8_t *out, size_t size)
{
    size_t hdr = s->info.payload_off, left = s->info.total_len - hdr - s->at, len;
    const uint8_t *payload;
    int r;

    if (s->next < s->count && size < hdr + MIN(left, s->size))
        return -ENOSPC;
    r = segment_next_headers(s, out, size, &payload, &len);
    if (r <= 0)
        return r;
    memcpy(out + hdr, payload, len);
    if (!s->owe && (s->cut || (s->complete && s->may_owe))) {
        fix_checksum(s, out, hdr + len);
    } else if (s->complete && !s->owe) {
        uint8_t *from = out + s->csum_start;
        uint16_t sum = csum_finish(csum_add(0, from, s->info.total_len - s->csum_start));

        put_be16(from + s->csum_offset, sum == 0 && s->info.proto == PROTO_UDP ? 0xffff : sum);
    }
    return (int)(hdr + len);
}
