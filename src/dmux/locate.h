/* dmux/locate.h - the protocol "hawser": a node that knows no agent asks by anycast, and the nearest one answers
 * with who and where it is.
 *
 * question  u8 1 | u8 0 | nonce 8 | zeros, LOCATE_QUESTION_LEN bytes in all
 * answer    u8 2 | u8 endpoints, 1 to LOCATE_ENDPOINTS_MAX | nonce 8 | endpoints | records in a row
 *
 * Big-endian; an endpoint is u8 family 4 or 6 | address 4 or 16 | port 2. No answer is longer than its question, and
 * other bytes are an error. The records are a chain (ident/chain.h) from a root that the node trusts to a service that
 * the root's realm enrolled itself with the agent's keys:
 *
 *   agent.s.REALM, agent-LONDON.s.REALM
 *
 * Only who has those keys can answer the handshake that follows, so where an answer says that the agent is needs no
 * signature. Revocations are not carried: the chain should be short-lived. */
#pragma once

#include "dmux/protocol.h"
#include "ident/chain.h"

#define LOCATE_ID 0x0110 /* protocol_id */
#define LOCATE_ENDPOINTS_MAX 4
#define LOCATE_CHAIN_MAX 1100 /* bytes, as of other certificates (dmux/credentials.h) */
#define LOCATE_QUESTION_LEN 1188

struct locate_offer {
    uint64_t nonce;
    struct endpoint at[LOCATE_ENDPOINTS_MAX];
    size_t at_count;
    struct slice chain; /* in the bytes that were read */
};

/* The length in out (LOCATE_QUESTION_LEN). 0: there is no endpoint, or they or the chain are too many. */
size_t locate_offer_write(const struct locate_offer *o, uint8_t *out);
/* 0 or -EBADMSG. Endpoints are of hosts, with a port; what the chain says is not looked at. */
MUST_CHECK int locate_offer_read(const uint8_t *packet, size_t len, struct locate_offer *ret);
/* Is it an agent of this root (a record of a root, as `hawser realm init` writes it), at this time in seconds since
 * 1970? 0 and *ret; -EBADMSG: no, *ret_why says what was found; -ENOMEM. */
MUST_CHECK int locate_judge(const struct locate_offer *o, struct slice root, uint64_t wall_s, const struct rng *rng,
                            struct chain_end *ret, const char **ret_why);

/* Is it the name of a service agent or agent-ANY that this realm itself has enrolled? */
bool locate_is_agent(const char *name, const char *realm);

/* A client whose packets are offers, for the program that asks. It asks each second until one has come. */
extern const struct protocol_client locate_client;
extern const struct protocol_router locate_router;
