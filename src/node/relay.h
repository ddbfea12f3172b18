/* node/relay.h - datagrams between two hosts that do not reach each other, passed on by an agent that reaches both.
 *
 * The hosts' sessions are their own: the relay sees sealed datagrams and a channel's number. Each host binds its side
 * of a channel to the endpoint that it sends from, by a grant of a realm's manager (ident/grant.h), and again from time
 * to time; what comes for the channel from the one side's endpoint goes to the other's. Never more goes out than came
 * in. A machine without IO, of one thread.
 *
 * A grant is shown in clear: who saw one, or who has one and forges the source of what he sends, may have a side's
 * datagrams, sealed as they are, go elsewhere, until that host binds again.
 *
 *     BIND     11, 0, 0, 0 | grant 29
 *     BOUND    12, side, 0, 0 | channel 8      its answer
 *     RELAYED  10, side, 0, 0 | channel 8 | datagram      side: of who sends */
#pragma once

#include "ident/grant.h"
#include "session/session.h"

#define RELAY_HEADER_LEN 12
#define RELAY_BIND_LEN (4 + GRANT_LEN)
#define RELAY_IDLE (60 * SEC) /* chosen: of a channel; hosts bind again each 15 s */

struct relay;

struct relay_stats {
    uint64_t bound, refused,
        full; /* BIND: those that were right; that were not, or over; for which there was no room */
    uint64_t passed, passed_bytes, dropped; /* RELAYED */
    uint32_t channels;
};

/* keys: of managers whose grants count. NULL when out of memory. */
struct relay *relay_new(const uint8_t (*keys)[IDENT_KEY_LEN], size_t keys_count, uint32_t channels_max,
                        uint64_t hash_seed);
/* Accepts NULL. */
void relay_free(struct relay *r);
/* A datagram of one of the types above; changed in place. wall_s: seconds since 1970, 0: not known, and no grant is
 * over. True: *ret_len bytes of it are to be sent to *ret_to. */
bool relay_on_datagram(struct relay *r, const struct locator_pair *at, uint8_t *data, size_t len, uint64_t wall_s,
                       instant now, struct locator_pair *ret_to, size_t *ret_len);
void relay_stats_get(const struct relay *r, struct relay_stats *ret);
