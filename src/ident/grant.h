/* ident/grant.h - the word of a realm's manager by which two hosts may use a relay between them.
 *
 * Manager and relay know each other's public keys, and so a key that nobody else has (X25519 of the two). A grant is of
 * one channel and one side of it, until a time. Its MAC is a secret of manager, relay and the host that it was given
 * to, over an association with the manager: the host shows the relay, which need not have heard of it, only what stands
 * before the MAC, and proves with the MAC what it says. */
#pragma once

#include "ident/hash.h"
#include "ident/keys.h"

#define GRANT_LEN 29       /* u64 channel | u8 side | u32 until | MAC 16; big-endian */
#define GRANT_BODY_LEN 13  /* before the MAC: what is shown */
#define GRANT_LIFE_S 86400 /* chosen: what lasts for longer is asked for again */

struct grant {
    uint64_t channel; /* not 0 */
    uint8_t side;     /* 0: who calls, 1: who is called */
    uint32_t until_s; /* since 1970 */
};

/* The key of the two. 0, -EINVAL (a key of no order), -ENOMEM. */
MUST_CHECK int grant_key(const struct identity *self, const uint8_t peer_x25519[IDENT_KEY_LEN],
                         uint8_t ret_key[IDENT_KEY_LEN]);
void grant_seal(const uint8_t key[IDENT_KEY_LEN], const struct grant *g, uint8_t out[GRANT_LEN]);
/* What it says, unproven. */
struct grant grant_read(const uint8_t in[GRANT_BODY_LEN]);
/* What only manager, relay and that host can say of these bytes. */
void grant_prove(const uint8_t grant[GRANT_LEN], const void *data, size_t len, uint8_t out[MAC16_LEN]);
