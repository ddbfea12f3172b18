/* session/greeting.h - what a listener says first on a stream, so that nobody else is sent what is meant for it.
 *
 * nonce 16 | mac 16, the MAC keyed by the listener's public key, as a handshake's mac1 is. Who knows the key knows from
 * it that the other end does, too; to anybody else it is noise. It proves nothing more: the handshake does. */
#pragma once

#include "session/handshake.h"

#define GREETING_LEN (16 + MAC1_LEN)

/* Of the listener with this X25519 key. */
void greeting_write(const uint8_t x25519_pub[32], const struct rng *rng, uint8_t out[GREETING_LEN]);
/* Is it of the one with that key? Of len bytes, whatever they are. */
bool greeting_check(const uint8_t x25519_pub[32], const uint8_t *data, size_t len);
