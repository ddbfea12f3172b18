/* tunnel/packet.h - what an inner IP packet is: addresses, ports, offsets, flow hash, checksums.
 *
 * A parsed packet is described, not copied: offsets point into the caller's bytes. Extension headers of IPv6 that are
 * walked: hop-by-hop (first only), routing, fragment, destination options; at most PACKET_EXT_MAX of them. */
#pragma once

#include "base/addr.h"

#define PACKET_EXT_MAX 8   /* chosen: each of the four once, and destination options twice, is 5 (RFC 8200 4.1) */
#define PACKET_MAX 65535   /* bytes: largest IP packet handled; jumbograms (RFC 2675) are refused */
#define PACKET_V4_HDR 20   /* bytes without options */
#define PACKET_V6_HDR 40   /* bytes without extension headers */
#define PACKET_HDR_MAX 512 /* bytes: the longest chain of headers that segment and merge copy */

enum packet_proto {
    PROTO_HOPOPTS = 0,
    PROTO_ICMP = 1,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_DCCP = 33,
    PROTO_ROUTING = 43,
    PROTO_FRAGMENT = 44,
    PROTO_ICMPV6 = 58,
    PROTO_DSTOPTS = 60,
    PROTO_SCTP = 132,
    PROTO_UDPLITE = 136,
};

enum packet_tcp_flag {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80,
};

struct packet_info {
    uint8_t family;    /* enum addr_family */
    uint8_t proto;     /* last header of the chain; for a fragment what its fragment header says */
    uint8_t dscp, ecn; /* 6 and 2 bits */
    uint8_t tcp_flags; /* enum packet_tcp_flag, 0 if not TCP */
    bool fragment;     /* part of a packet; an atomic fragment (RFC 6946) is whole */
    bool dont_fragment;
    bool routed; /* IPv6 routing header with segments left: transport checksums cover another destination */
    struct addr src, dst;
    uint16_t sport, dport; /* host order. ICMP echo: both the identifier. No ports, or a fragment (the first one too, so
                              that all pieces of a packet are steered alike): 0 */
    uint32_t frag_id;      /* identification of a fragment */
    uint16_t frag_off;     /* bytes */
    uint16_t l3_len;       /* of the IP header: IPv4 with options, IPv6 without extension headers */
    uint16_t l4_off;       /* first byte behind all IP headers */
    uint16_t payload_off;  /* first byte behind the transport header where that is known, else l4_off */
    uint16_t total_len;    /* of the packet; bytes behind it are padding */
};

/* len may be more than the packet (padding). Header checksums are not verified here.
 * 0, -EPROTONOSUPPORT (neither IPv4 nor IPv6), -EBADMSG (cut short or inconsistent), -EMSGSIZE (jumbogram). */
int packet_parse(const uint8_t *pkt, size_t len, struct packet_info *ret);

/* A run of packets of one flow, of which the first alone is taken apart. Begins as zeros. */
struct packet_run {
    struct packet_info info; /* of the newest packet */
    bool known;              /* headers stand for the next one too */
    uint8_t headers[PACKET_V6_HDR + 20];
};

/* As packet_parse, into run->info; no pkt need outlive the call. ret_same: as the packet before but for total_len and
 * tcp_flags, of which those that begin or end a connection are as they were. On an error there is no run any more. */
int packet_parse_next(struct packet_run *run, const uint8_t *pkt, size_t len, bool *ret_same);

/* Where the transport checksum stands, in bytes from l4_off, if it may be left out on the way and computed again at its
 * end: a whole TCP or UDP packet whose headers take at most PACKET_HDR_MAX bytes. 0: it may not. */
unsigned packet_csum_offset(const struct packet_info *info);

/* The same for every packet of one direction of one flow, and for every fragment of one packet. */
uint64_t packet_flow_hash(const struct packet_info *info, const uint8_t key[16]);

/* Internet checksum (RFC 1071). A sum is an opaque running value: start with 0, add pieces (each of even length but
 * the last), fold. Results are in host order, for put_be16. Up to 2^32 words may be added before folding. */
uint64_t csum_add(uint64_t sum, const void *data, size_t len);
/* Adds a 16-bit value given in host order. */
uint64_t csum_add16(uint64_t sum, uint16_t v);
/* Folded, not complemented: what stands in the field of a packet whose checksum is partial. */
uint16_t csum_fold(uint64_t sum);
/* Folded and complemented: what stands in the field of a finished packet. */
uint16_t csum_finish(uint64_t sum);
/* The sum of the pseudo-header (RFC 9293 3.1, RFC 8200 8.1) for a packet that packet_parse took. */
uint64_t csum_pseudo(const uint8_t *pkt, uint8_t proto, uint32_t l4_len);
/* The checksum after one 16-bit field at an even offset went from old to new (RFC 1624, equation 3). */
uint16_t csum_update16(uint16_t check, uint16_t from, uint16_t to);

/* Writes the header checksum of an IPv4 packet that packet_parse took. */
void packet_fix_v4_header(uint8_t *pkt);
