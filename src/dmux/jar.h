/* dmux/jar.h - cookies of gateways: who is at an address has shown it, and every gateway can tell, without a memory.
 *
 * All gateways of an operator have one secret and clocks that differ by less than SHIM_SKEW_S, so that what one has
 * given another takes: with anycast a client may change gateways between any two packets. A clock that is off costs
 * its clients a round trip each time, nothing else. */
#pragma once

#include "base/base.h"
#include "wire/shim.h"

#define JAR_SECRET_LEN 32
#define JAR_EPOCH_S 4096 /* chosen: a key serves for 68 minutes, and its neighbours are taken beside it */

struct jar {
    uint8_t secret[JAR_SECRET_LEN];
    uint32_t wall_s; /* seconds since any common zero */
    struct shim_keys keys;
};

void jar_init(struct jar *j, const uint8_t secret[JAR_SECRET_LEN], uint32_t wall_s);
/* Cheap while the epoch stays. */
void jar_set_time(struct jar *j, uint32_t wall_s);
/* Fills epoch and time of the claim. */
void jar_mint(const struct jar *j, struct shim_claim *c, uint8_t out[SHIM_COOKIE_LEN]);
/* True if one of the gateways made it for this claim (kind, addresses) at most lifetime_s ago. */
bool jar_check(const struct jar *j, struct shim_claim *c, const uint8_t cookie[SHIM_COOKIE_LEN], uint32_t lifetime_s);
