/* tunnel/ecn.h - DSCP and ECN of inner packets, and what the outer ECN field does to them (RFC 6040, RFC 2983).
 *
 * A packet here begins with a whole IPv4 or IPv6 header. A TOS is the byte of IPv4, or the traffic class of IPv6: 6
 * bits DSCP, 2 bits ECN. */
#pragma once

#include "base/base.h"

enum ecn { ECN_NOT_ECT, ECN_ECT1, ECN_ECT0, ECN_CE }; /* RFC 3168 section 5: the bits */
#define TOS_ECN_MASK 3

uint8_t ecn_tos(const uint8_t *pkt);
/* What the inner field becomes at decapsulation (RFC 6040 figure 4), or -EBADMSG: the packet must be dropped, since its
 * sender would never learn of the congestion. */
int ecn_combine(enum ecn inner, enum ecn outer);
/* Sets the field and corrects the header checksum of IPv4. */
void ecn_set(uint8_t *pkt, enum ecn to);
/* Says congestion to a packet that can hear it: CE, and true. False: the packet is not ECN-capable. */
bool ecn_mark(uint8_t *pkt);
