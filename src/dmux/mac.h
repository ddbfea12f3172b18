/* dmux/mac.h - the key of one registration, and the macs of its messages. Used by both ends. */
#pragma once

#include "wire/dmux.h"

/* From the X25519 secret that both ends have. */
void dmux_registration_key(const uint8_t shared[DMUX_KEY_LEN], const struct dmux_message *registered,
                           const uint8_t gateway_dh[DMUX_KEY_LEN], uint8_t out[DMUX_KEY_LEN]);
/* What a gateway that has registered a router gives another one, to prove to the router that it vouches for it. */
void dmux_vouching_key(const uint8_t registration_key[DMUX_KEY_LEN], uint32_t gateway, uint8_t out[DMUX_KEY_LEN]);
/* Writes the message with its mac. As dmux_write. */
size_t dmux_write_sealed(const struct dmux_message *m, const uint8_t key[DMUX_KEY_LEN], uint8_t *buf, size_t size);
/* Is the datagram's mac by this key? */
bool dmux_mac_holds(const uint8_t *data, size_t len, const uint8_t key[DMUX_KEY_LEN]);
