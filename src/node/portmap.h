/* node/portmap.h - one UDP port of this machine, which the gateway of a link is asked to lead to from outside: a client
 * of PCP (RFC 6887), or of NAT-PMP (RFC 6886) where the gateway speaks that alone. A machine without IO.
 *
 * What the gateway says is believed of this link alone: its owner says whether the endpoint that it names is of use. */
#pragma once

#include "base/instant.h"
#include "base/rng.h"
#include "wire/portmap.h"

enum portmap_state {
    PORTMAP_OFF,
    PORTMAP_ASKED, /* nobody has answered */
    PORTMAP_MAPPED,
    PORTMAP_REFUSED, /* and is asked again later */
};

struct portmap_options {
    struct addr client, gateway;      /* of one family; NAT-PMP has IPv4 alone */
    uint16_t port;                    /* inside, and wished for outside */
    uint8_t nonce[PORTMAP_NONCE_LEN]; /* nobody's to guess; of the same address and port the same after a restart, or
                                         the gateway keeps the mapping from us until it is over */
    bool natpmp;                      /* begin with that */
    struct rng rng;
};

/* To be read by its owner: the first five. */
struct portmap {
    struct portmap_options o;
    enum portmap_state state;
    uint8_t version;          /* enum portmap_version: what is spoken now */
    struct endpoint external; /* MAPPED: what leads to us */
    instant until;            /* MAPPED */
    const char *refused;      /* why it was, the last time that it answered; NULL: it was not */

    uint8_t op, asked_op; /* to be asked, and waited for */
    bool waiting;
    unsigned tries;            /* since the last answer; MAPPED: to renew */
    span pause;                /* after the last try */
    instant asked, due, since; /* since: MAPPED */
    struct addr outside;       /* as NAT-PMP has said */
    bool has_epoch;
    uint32_t epoch_s;
    instant epoch_at;
};

/* Begins to ask. */
void portmap_start(struct portmap *p, const struct portmap_options *o, instant now);
/* Bytes for the gateway's PORTMAP_PORT, from the client's address; 0: nothing is to be said. What is over, ends here.
 */
size_t portmap_output(struct portmap *p, instant now, uint8_t out[PORTMAP_REQUEST_MAX]);
/* What came from there. announced: to PORTMAP_HEARD_PORT. Who is not the gateway is not heard. */
void portmap_input(struct portmap *p, const struct endpoint *from, const uint8_t *data, size_t len, bool announced,
                   instant now);
instant portmap_next_expiry(const struct portmap *p);
/* No more. Bytes as of portmap_output, which give the mapping back; 0: there is none. */
size_t portmap_stop(struct portmap *p, uint8_t out[PORTMAP_REQUEST_MAX]);
const char *portmap_state_name(enum portmap_state s);
