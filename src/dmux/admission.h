/* dmux/admission.h - whom a router lets in, when its provider asks clients for credentials (doc/dmux.md, Admission).
 *
 * Who is not let in is sent a DEMAND with a nonce that costs no memory; ADMIT brings it back, from the same address,
 * with the client's key and, for members of a realm, its chain, which only the provider can read. The VERDICT is the
 * provider's and lasts for a lifetime. Words are those of wire/word.h. */
#pragma once

#include "base/instant.h"
#include "dmux/protocol.h"
#include "ident/chain.h"
#include "wire/word.h"

#define ADMISSION_KEYS_PPS 1000     /* of ADMITs that cost keys; chosen: a third of a processor */
#define ADMISSION_CLIENTS_MAX 65536 /* as of a router's table of clients; 10 MB when full, 8 of each key */
#define ADMISSION_NETWORK_MAX 1024  /* of a /24; chosen: a large NAT, and 64 such networks before all is full */
#define ADMISSION_KEY_MAX 8 /* places of one key; chosen: devices of an owner, ports of a NAT that has forgotten */
#define ADMISSION_NONCE_LIFE (10 * SEC) /* chosen: some round trips of the slowest link */
#define ADMISSION_REALMS_MAX 8          /* chosen; each remembers up to 6 MB (ident/chain.h) */

struct admission_realm {
    uint8_t root[IDENT_KEY_LEN]; /* Ed25519 */
    char realm[NAME_SIZE];       /* canonical; whom it has enrolled itself is let in */
};

struct admission_options {
    const struct identity *identity; /* the provider's */
    const struct peer_key *members;  /* let in without a chain */
    size_t members_count;
    const struct admission_realm *realms;
    size_t realms_count; /* at most ADMISSION_REALMS_MAX */
    uint32_t lifetime_s, clients_max;
};

struct admission_stats {
    uint64_t demands;                      /* sent */
    uint64_t stale;                        /* ADMITs of a nonce that is none, too old, or another address's */
    uint64_t rate;                         /* words that were more than a network, or all, may send */
    uint64_t unreadable;                   /* ADMITs that were not for this provider's key */
    uint64_t malformed;                    /* no word, or one that routers do not get */
    uint64_t verdicts[WORD_REFUSAL_COUNT]; /* [WORD_ADMITTED]: let in, or again */
    uint32_t clients;                      /* in the table, some of them perhaps over */
};

struct admission;

/* What o points to outlives it, o does not. NULL: no memory, or too many realms. */
struct admission *admission_new(const struct admission_options *o, uint16_t protocol, uint32_t provider,
                                const struct rng *rng);
/* Accepts NULL. */
void admission_free(struct admission *a);
/* Is this client let in now? Allocates nothing. */
bool admission_holds(const struct admission *a, const struct client_id *client, instant now);
/* For a client that is not, and whose address is shown: the DEMAND that answers its packet of len bytes, its length in
 * out (WORD_DEMAND_LEN); 0: none, since the packet is shorter or there were too many. */
size_t admission_demand(struct admission *a, const struct client_id *client, size_t len, instant now, uint8_t *out);
/* A word of a client whose address is shown: the length of the answer in out (WORD_VERDICT_LEN), which is no longer;
 * 0: none. wall_s: seconds since 1970, 0: not known. */
size_t admission_on_word(struct admission *a, const struct client_id *client, const uint8_t *data, size_t len,
                         uint64_t wall_s, instant now, uint8_t *out);
void admission_stats_get(const struct admission *a, struct admission_stats *ret);

#define ADMISSION_PROLOGUE_LEN (24 + WORD_NONCE_LEN + 12)
/* What both ends' handshake is bound to: where the router sees the client, what it wants, of whom, and the nonce. */
void admission_prologue(const struct client_id *client, uint16_t protocol, uint32_t provider,
                        const uint8_t nonce[WORD_NONCE_LEN], uint8_t out[ADMISSION_PROLOGUE_LEN]);
