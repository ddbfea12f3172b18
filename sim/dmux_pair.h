/* sim/dmux_pair.h - a gateway of src/dmux and a router that has registered with it, nothing between them; and frames as
 * a gateway's device has them. For what looks at one gateway alone: tests, a fuzz target, a benchmark. */
#pragma once

#include "base/rng.h"
#include "dmux/gateway.h"
#include "dmux/router.h"
#include "ident/keys.h"

#define DMUX_PAIR_WALL_S 5000
#define DMUX_PAIR_FRAME_HDR 42 /* bytes: Ethernet, IPv4, UDP */

/* All IPv4. The gateway has the first two. */
extern const struct endpoint dmux_pair_service, dmux_pair_unicast, dmux_pair_router, dmux_pair_client;

struct dmux_pair {
    struct prng prng;
    struct identity id; /* the router's, and the one key of provider 100 */
    struct provider provider;
    struct gateway *gateway; /* id 1 */
    struct router *router;   /* of DMUX_IPV6, provider 100 */
};

/* Registers by what router and gateway say to each other, within some microseconds from now. False: no memory, or the
 * router is not registered. What was made is deinit's either way. */
MUST_CHECK bool dmux_pair_init(struct dmux_pair *p, instant now);
void dmux_pair_deinit(struct dmux_pair *p);
/* A client's packet of len zero bytes with the cookie that the gateway gives dmux_pair_client. Bytes written:
 * SHIM_LEN_MAX more than len at most. */
size_t dmux_pair_ask(uint8_t *out, size_t len);
/* A packet of len zero bytes of that client, by way of a gateway of another operator, which has a
 * pass. Bytes written: as above. */
size_t dmux_pair_pass(uint8_t *out, const struct endpoint *home, size_t len);
/* Ethernet (RFC 894), IPv4 (RFC 791) and UDP without a checksum (RFC 768) around a payload. DMUX_PAIR_FRAME_HDR and len
 * bytes. */
size_t dmux_pair_frame(uint8_t *f, const struct endpoint *from, const struct endpoint *to, const uint8_t *payload,
                       size_t len);
