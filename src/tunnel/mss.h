/* tunnel/mss.h - clamp the maximum segment size that a TCP SYN announces, so that no inner packet exceeds the tunnel.
 */
#pragma once

#include "tunnel/packet.h"

#define MSS_MTU_MIN 68 /* bytes: what every IPv4 link carries (RFC 791 3.2) */

/* Lowers the MSS option of a SYN or SYN-ACK to what fits an inner MTU (RFC 6691: the MTU less both fixed headers). info
 * is packet_parse's. `partial`: the checksum field holds the pseudo-header's sum only (NEEDS_CSUM) and stays as it is.
 * 1: lowered; 0: nothing to do (not a SYN, a fragment, small enough, no MSS option: then RFC 9293's 536 or 1220 holds);
 * -EBADMSG: options cut short, packet untouched; -EINVAL: mtu < MSS_MTU_MIN. */
int mss_clamp(uint8_t *pkt, const struct packet_info *info, uint16_t mtu, bool partial);
