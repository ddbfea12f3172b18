/* prog/sights.h - where a manager sees each link of this machine: what NATs have made of its addresses.
 *
 * For each link there is an association of its own with the manager, over a socket that is bound to the link and that
 * others may be spoken to by, so that most NATs (RFC 4787 section 4.1) show the same endpoint to all. It is asked each
 * SIGHTS_AGAIN, which holds the NAT's mapping too. */
#pragma once

#include "session/exchange.h"

#define SIGHTS_MAX 32
#define SIGHTS_AGAIN (20 * SEC) /* chosen: below the UDP timeouts of NATs, 30 s of the worst */
#define SIGHTS_PACE (1 * SEC)   /* chosen: two round trips to a manager far away */

/* Another place than before; ADDR_NONE: the manager does not answer there any more. */
typedef void sights_seen_fn(void *ctx, uint32_t link, const struct endpoint *place);

struct sights {
    sights_seen_fn *seen;
    void *ctx;
    struct sight {
        uint64_t peer; /* 0: nobody is asked */
        bool asking;
        unsigned failed; /* in a row */
        instant next;
        struct endpoint place;
    } of[SIGHTS_MAX + 1]; /* by link */
};

/* That manager is asked from now on about a link, which has another address than before; count 0: nobody. 0, -EINVAL
 * (link), or as exchange_peer_call. */
int sights_set(struct sights *s, struct exchange *x, uint32_t link, const uint8_t ed25519[IDENT_KEY_LEN],
               const struct endpoint *at, size_t count, instant now);
/* It may be that NATs have begun anew: asks again soon, no link more often than each SIGHTS_PACE. */
void sights_hurry(struct sights *s, instant now);
/* Asks what is due. True if there was anything. */
bool sights_ask(struct sights *s, struct exchange *x, instant now);
/* True if the event is of an association of these. */
bool sights_on_event(struct sights *s, const struct exchange_event *e, instant now);
instant sights_next_expiry(const struct sights *s);
