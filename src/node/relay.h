/* node/relay.h - datagrams between two hosts that do not reach each other, passed on by an agent that reaches both.
 *
 * The hosts' sessions are their own: the relay sees sealed datagrams and a channel's number. Each host binds its side
 * of a channel to the endpoint that it sends from, by a grant of a realm's manager (ident/grant.h), and again from time
 * to time; what comes for the channel from the one side's endpoint goes to the other's. Never more goes out than came
 * in. A machine without IO, of one thread.
 *
 *     BIND     11, 0, 0, 0 | grant's body 13 | nonce 8 | cookie 16 | proof 16
 *     BOUND    12, side, state, 0 | channel 8 | nonce 8 | cookie 16 | proof 16     its answer
 *     RELAYED  10, side, 0, 0 | channel 8 | datagram      side: of who sends
 *
 * A proof (grant_prove) is of all before it. Who copies what is said has nothing of use: a side is bound only to the
 * endpoint to which its cookie was sent, which shows that the host takes datagrams there, and by a cookie no older than
 * that of the last time, so that what was recorded is over when the host has moved. A BIND whose cookie is none, or of
 * another endpoint, changes nothing; its answer, of state RELAY_SHOW, brings the cookie to show. */
#pragma once

#include "ident/grant.h"
#include "session/session.h"

#define RELAY_HEADER_LEN 12
#define RELAY_COOKIE_LEN 16 /* u64 when it was made | MAC 8: the relay's own affair */
#define RELAY_BIND_LEN (4 + GRANT_BODY_LEN + 8 + RELAY_COOKIE_LEN + MAC16_LEN)
#define RELAY_BOUND_LEN (RELAY_HEADER_LEN + 8 + RELAY_COOKIE_LEN + MAC16_LEN)
#define RELAY_IDLE (60 * SEC)        /* chosen: of a channel; hosts bind again each 15 s */
#define RELAY_COOKIE_LIFE RELAY_IDLE /* none outlives what is known of who showed a newer one */

enum relay_state { RELAY_SHOW, RELAY_BOUND };

struct relay;

struct relay_stats {
    /* BIND: those that bound; that were told a cookie; that were not right, or over; for which there was no room */
    uint64_t bound, told, refused, full;
    uint64_t passed, passed_bytes, dropped; /* RELAYED */
    uint32_t channels;
};

/* keys: of managers whose grants count; rng is drawn from in this call only. NULL when out of memory. */
struct relay *relay_new(const uint8_t (*keys)[IDENT_KEY_LEN], size_t keys_count, uint32_t channels_max,
                        const struct rng *rng);
/* Accepts NULL. */
void relay_free(struct relay *r);
/* A datagram of one of the types above; changed in place. wall_s: seconds since 1970, 0: not known, and no grant is
 * over. True: *ret_len bytes of it are to be sent to *ret_to. */
bool relay_on_datagram(struct relay *r, const struct locator_pair *at, uint8_t *data, size_t len, uint64_t wall_s,
                       instant now, struct locator_pair *ret_to, size_t *ret_len);
void relay_stats_get(const struct relay *r, struct relay_stats *ret);

/* A host's: what it says to have its side bound. cookie: the last that it was told, or zeros. */
void relay_bind_write(const uint8_t grant[GRANT_LEN], uint64_t nonce, const uint8_t cookie[RELAY_COOKIE_LEN],
                      uint8_t out[RELAY_BIND_LEN]);
/* The answer to that, and the cookie for the next time: an enum relay_state, or -EBADMSG: not of the relay, or not to
 * this nonce. */
MUST_CHECK int relay_bound_read(const uint8_t *data, size_t len, const uint8_t grant[GRANT_LEN], uint64_t nonce,
                                uint8_t ret_cookie[RELAY_COOKIE_LEN]);
