/* dmux/credentials.h - who may speak for a provider: a key that the configuration lists, or one that an authority has
 * certified.
 *
 * A certificate is a chain of records (ident/chain.h) from the authority's root to a service that its realm has
 * enrolled itself, whose name says what it is for:
 *
 *   dmux-provider-100.s.REALM         provider 100, for every protocol of the authority
 *   dmux-provider-100-6-65281.s.REALM provider 100, for these protocols, as far as the authority has them
 *
 * Names below REALM's sub-realms do not count: they are another's to give. A number that the configuration lists is
 * that key's alone, whatever an authority says. */
#pragma once

#include "base/instant.h"
#include "base/rng.h"
#include "dmux/provider.h"
#include "ident/chain.h"

#define CREDENTIALS_MAX 1024      /* chosen: certificates that are remembered; one more is refused */
#define CREDENTIAL_CHAIN_MAX 1100 /* bytes: behind the 170 of a REGISTER within DMUX_REGISTER_MAX */

struct authority {
    uint8_t root[IDENT_KEY_LEN];
    char realm[NAME_SIZE];                  /* canonical */
    uint32_t provider_first, provider_last; /* numbers that it may give, 2 or more */
    uint16_t protocols[PROVIDER_PROTOCOLS_MAX];
    uint8_t protocols_count;
    uint32_t rate_pps; /* of each of its providers; 0: no limit */
};

struct credentials;

/* providers and authorities outlive it. NULL: no memory. */
struct credentials *credentials_new(const struct provider *providers, size_t providers_count,
                                    const struct authority *authorities, size_t authorities_count,
                                    const struct rng *rng);
void credentials_free(struct credentials *c);
/* Takes in a certificate (records in a row) for this key. 0, also when it is known; -EBADMSG: no authority's, of
 * another key, or its name says nothing; -ENOSPC: CREDENTIALS_MAX are known; -ENOMEM. */
MUST_CHECK int credentials_learn(struct credentials *c, const uint8_t key[IDENT_KEY_LEN], const uint8_t *chain,
                                 size_t len, uint64_t wall_s);
/* Forgets the certificates of those providers that are not used. */
void credentials_forget(struct credentials *c, bool (*used)(const void *ctx, uint32_t provider), const void *ctx);
/* May this key speak for this provider and protocol now? 0, or -EACCES; *ret_until_s: the end of its certificate,
 * seconds since 1970, 0: none. */
MUST_CHECK int credentials_check(const struct credentials *c, uint32_t provider, uint16_t protocol,
                                 const uint8_t key[IDENT_KEY_LEN], uint64_t wall_s, uint64_t *ret_until_s);
/* What it has seen of an authority's root: for other certificates of the same root. */
struct trust *credentials_trust(struct credentials *c, size_t authority);
/* The key that speaks for this provider now: listed, or of the certificate that ends last. NULL: there is none. */
const uint8_t *credentials_key(const struct credentials *c, uint32_t provider, uint64_t wall_s);
/* The certificate of a key that was learnt; len 0: none. Valid until the next credentials_learn. */
struct slice credentials_chain(const struct credentials *c, const uint8_t key[IDENT_KEY_LEN]);
/* May one more packet go to this provider? False also for one that nobody speaks for. */
bool credentials_may(struct credentials *c, uint32_t provider, instant now);
/* Its limit, packets/s; 0: none. */
uint32_t credentials_rate(const struct credentials *c, uint32_t provider);

/* The numbers in a service's leaf PREFIX-N[-N...] of a whole name; 0: it is none such. At most max of them. */
size_t credentials_numbers(const struct name *n, const char *prefix, uint32_t *ret, size_t max);
