/* tunnel/ptb.h - what a router says about a packet that it does not forward: too big, unreachable, prohibited; and
 * IPv4 fragmentation for packets that may be cut.
 *
 * None of these is made in answer to an ICMP error, a source or destination that is not one host, or a fragment other
 * than the first (RFC 1122 3.2.2, RFC 4443 2.4 e; for IPv6 the last is stricter than the standard). Their rate is the
 * caller's to limit (RFC 4443 2.4 f). */
#pragma once

#include "tunnel/packet.h"

#define PTB_V4_MAX 576  /* bytes: of an ICMPv4 error, headers and all (RFC 1812 4.3.2.3) */
#define PTB_V6_MAX 1280 /* bytes: of an ICMPv6 error (RFC 4443 2.4 c) */
#define PTB_MAX PTB_V6_MAX

enum unreachable_reason { UNREACHABLE_NET, UNREACHABLE_HOST, UNREACHABLE_PROHIBITED, UNREACHABLE_COUNT };

/* ICMPv4 fragmentation needed or ICMPv6 packet too big, from src (of the packet's family) to the packet's source, into
 * out (PTB_MAX bytes). mtu: 68.. for IPv4, 1280.. for IPv6 (RFC 8201: smaller ones are ignored by hosts).
 * The length; 0: no answer is due (also IPv4 without DF: fragment it); -EINVAL: src or mtu; -ENOSPC: out is too small.
 */
int ptb_make(uint8_t *out, size_t size, const uint8_t *pkt, const struct packet_info *info, const struct addr *src,
             uint16_t mtu);
/* Destination unreachable, likewise. */
int unreachable_make(uint8_t *out, size_t size, const uint8_t *pkt, const struct packet_info *info,
                     const struct addr *src, enum unreachable_reason reason);

/* Cuts one IPv4 packet; its transport checksum must be complete. pkt stays the caller's and unchanged meanwhile. */
struct ipv4_fragment {
    const uint8_t *pkt;
    uint16_t hdr_len, total_len;
    uint16_t at;    /* bytes of payload handed out so far */
    uint16_t piece; /* bytes of payload in every fragment but the last, a multiple of 8 */
    bool done;
};

/* 0, -EMSGSIZE (DF is set), -EPROTONOSUPPORT (not IPv4), -EINVAL (mtu below the header and 8 bytes). */
int ipv4_fragment_init(struct ipv4_fragment *f, const uint8_t *pkt, const struct packet_info *info, uint16_t mtu);
/* The length of the next piece, at most mtu; 0 at the end; -ENOSPC if out is too small (it may be asked again). */
int ipv4_fragment_next(struct ipv4_fragment *f, uint8_t *out, size_t size);
