/* dmux/ipv6.h - the protocol IPv6: a host whose network has IPv4 only reaches IPv6 hosts that know nothing of this.
 *
 * A client's address is the router's prefix (64 bits), the client's IPv4 address (32), its port (16) as the gateway saw
 * them, and 16 zeros: whatever comes from the Internet for it says by itself where it goes, and a client that writes
 * another source address is known for it. */
#pragma once

#include "dmux/protocol.h"

#define IPV6_SOLICIT_EVERY (10 * SEC) /* chosen: keeps NAT mappings and the router's way back alive */
#define IPV6_SOLICIT_RETRY (1 * SEC)  /* chosen: RFC 4861's 4 s is for links that many share */

extern const struct protocol_client ipv6_client;
extern const struct protocol_router ipv6_router;
