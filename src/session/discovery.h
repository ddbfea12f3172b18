/* session/discovery.h - asks addresses whether a Hawser session listens there (wire/hello.h), over every uplink at
 * once.
 *
 * A machine without IO. A way is an uplink and an endpoint; each has a nonce of its own, so that nobody who sees two of
 * them on the way can tell that one host asks. The first answer ends it. */
#pragma once

#include "ident/keys.h"
#include "session/session.h"
#include "wire/hello.h"

#define DISCOVERY_WAYS_MAX 32         /* chosen: 8 uplinks to 4 endpoints each; further ones are not asked */
#define DISCOVERY_ROUNDS 5            /* so often is asked ... */
#define DISCOVERY_WINDOW (240 * MSEC) /* RFC 8305 section 8, 250 ms before the next attempt, less 10 for waking up */
#define DISCOVERY_LIMIT (1000 * MSEC) /* chosen: who has not answered now is not waited for */

enum discovery_state {
    DISCOVERY_ASKING,
    DISCOVERY_FOUND,
    DISCOVERY_NOBODY, /* every way was refused, or the time is over */
};

struct discovery {
    struct discovery_way {
        struct locator_pair at;
        uint8_t nonce[HELLO_NONCE_LEN];
        bool refused;
    } ways[DISCOVERY_WAYS_MAX];
    unsigned count, next, round;
    instant began;
    enum discovery_state state;
    struct peer_key key; /* DISCOVERY_FOUND: whose, */
    struct endpoint at;  /* where, */
    uint16_t carrier_port;
};

void discovery_init(struct discovery *d, instant now);
/* One more way to ask. Before the first discovery_output. */
void discovery_add(struct discovery *d, const struct locator_pair *at, const struct rng *rng);
/* True and the next HELLO: HELLO_LEN bytes into buf. */
bool discovery_output(struct discovery *d, uint8_t buf[HELLO_LEN], struct locator_pair *ret, instant now);
/* An ANSWER that came; what is none, or to no question of ours, changes nothing. */
void discovery_input(struct discovery *d, const struct endpoint *from, const uint8_t *pkt, size_t len);
/* The host there said that nobody listens (ICMP port unreachable). */
void discovery_on_refused(struct discovery *d, uint32_t link, const struct endpoint *at);
instant discovery_next_expiry(const struct discovery *d);
/* discovery_output may have something new, and the state may be another. */
void discovery_on_expiry(struct discovery *d, instant now);
