/* tunnel/segment.h - cut a TSO or USO super-packet into wire packets; complete a partial checksum.
 *
 * A super-packet and its offload header come from a TUN opened with IFF_VNET_HDR; of that header only the kind, the
 * segment size and, for a lone packet, the place of the checksum are used: lengths are taken from the packet itself. */
#pragma once

#include "tunnel/packet.h"

#define OFFLOAD_HDR_LEN 10 /* bytes: struct virtio_net_hdr, little-endian, as a TUN has it by default */

enum offload_flag { OFFLOAD_NEEDS_CSUM = 1, OFFLOAD_DATA_VALID = 2 };

enum offload_gso {
    OFFLOAD_GSO_NONE = 0,
    OFFLOAD_GSO_TCPV4 = 1,
    OFFLOAD_GSO_UDP_FRAGS = 3, /* UFO: not supported */
    OFFLOAD_GSO_TCPV6 = 4,
    OFFLOAD_GSO_UDP = 5,    /* USO */
    OFFLOAD_GSO_ECN = 0x80, /* a flag beside the TCP kinds */
};

struct offload {
    uint8_t flags, gso_type;
    uint16_t hdr_len, gso_size, csum_start, csum_offset; /* bytes, host order */
};

void offload_parse(const uint8_t hdr[OFFLOAD_HDR_LEN], struct offload *ret);
void offload_format(const struct offload *o, uint8_t hdr[OFFLOAD_HDR_LEN]);

struct segment {
    const uint8_t *pkt;
    struct packet_info info;
    size_t size;   /* bytes of payload in every piece but the last */
    size_t at;     /* bytes of payload handed out so far */
    size_t count;  /* pieces in all */
    uint16_t next; /* number of the next piece */
    uint16_t csum_start, csum_offset;
    bool cut;        /* a super-packet; otherwise one packet that is copied */
    bool complete;   /* one packet whose checksum is partial */
    bool may_owe;    /* the transport checksum may be left out: its value follows from the bytes, which are right */
    bool owe;        /* the caller's wish, only where may_owe: segment_next leaves the field as it is */
    uint16_t v4_sum; /* of the IPv4 header without what changes from piece to piece */
};

/* pkt stays the caller's and unchanged until the last piece is out. len may be more than the packet.
 * 0, or what packet_parse says, -EBADMSG (offload fields that do not fit the packet), -EPROTONOSUPPORT (UFO, an unknown
 * kind, a routing header on the way). */
int segment_init(struct segment *s, const uint8_t *pkt, size_t len, const struct offload *o);
/* The length of the next packet, its checksums complete but for what is owed; 0 at the end; -ENOSPC: out is smaller
 * than that packet (it may be asked again). */
int segment_next(struct segment *s, uint8_t *out, size_t size);
/* The same where the checksum is owed, without copying payload: only the headers go to out, and *ret_payload of
 * *ret_len bytes in the super-packet belongs behind them. The length of the headers, 0 or -ENOSPC. */
int segment_next_headers(struct segment *s, uint8_t *out, size_t size, const uint8_t **ret_payload, size_t *ret_len);
/* Bytes of the largest packet that segment_next will give. */
size_t segment_largest(const struct segment *s);
