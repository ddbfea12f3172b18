/* ident/grant.h - the word of a realm's manager by which two hosts may use a relay between them.
 *
 * Manager and relay know each other's public keys, and so a key that nobody else has (X25519 of the two). A grant is of
 * one channel and one side of it, until a time; the host shows it to the relay, which need not have heard of it. */
#pragma once

#include "ident/keys.h"

#define GRANT_LEN 29       /* u64 channel | u8 side | u32 until | MAC 16; big-endian */
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
/* 0 or -EBADMSG. The time is the caller's to look at. */
MUST_CHECK int grant_open(const uint8_t key[IDENT_KEY_LEN], const uint8_t in[GRANT_LEN], struct grant *ret);
/* What it says, unproven: for the host that it was given to. */
struct grant grant_read(const uint8_t in[GRANT_LEN]);
