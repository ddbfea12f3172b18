/* dmux/provider.h - which keys speak for which provider, and for which protocols.
 *
 * A list in the gateway's configuration. A certificate of an authority answers the same question for those that are not
 * listed (dmux/credentials.h). */
#pragma once

#include "base/base.h"
#include "wire/dmux.h"

#define PROVIDER_PROTOCOLS_MAX 8

struct provider {
    uint32_t id; /* 2 or more */
    uint8_t key[DMUX_KEY_LEN];
    uint16_t protocols[PROVIDER_PROTOCOLS_MAX];
    uint8_t protocols_count;
    uint32_t rate_pps; /* of all its routers behind this gateway; 0: no limit */
};

/* A service is what a provider has of one protocol: as a key of maps. */
static inline uint64_t service_key(uint16_t protocol, uint32_t provider)
{
    return (uint64_t)protocol << 32 | provider;
}

static inline uint16_t service_protocol(uint64_t key)
{
    return (uint16_t)(key >> 32);
}

static inline uint32_t service_provider(uint64_t key)
{
    return (uint32_t)key;
}

static inline bool provider_allows(const struct provider *p, uint16_t protocol, const uint8_t key[DMUX_KEY_LEN])
{
    if (memcmp(p->key, key, DMUX_KEY_LEN) != 0)
        return false;
    for (unsigned i = 0; i < p->protocols_count; i++) {
        if (p->protocols[i] == protocol)
            return true;
    }
    return false;
}
