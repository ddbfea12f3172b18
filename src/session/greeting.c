/* session/greeting.c - see greeting.h. The key is derived as handshake_mask's are, under a label of its own. Source of
 * the MAC: RFC 7693, keyed BLAKE2s. */
#include "session/greeting.h"

#include "ident/hash.h"

#define LABEL "hawser greeting"
#define NONCE_LEN 16

static void mac_of(const uint8_t x25519_pub[32], const uint8_t nonce[NONCE_LEN], uint8_t ret[MAC16_LEN])
{
    uint8_t key[32];

    blake2s(key, HASH_PARTS({ LABEL, sizeof(LABEL) - 1 }, { x25519_pub, 32 }));
    blake2s_mac16(ret, key, nonce, NONCE_LEN);
}

void greeting_write(const uint8_t x25519_pub[32], const struct rng *rng, uint8_t out[GREETING_LEN])
{
    rng_fill(rng, out, NONCE_LEN);
    mac_of(x25519_pub, out, out + NONCE_LEN);
}

bool greeting_check(const uint8_t x25519_pub[32], const uint8_t *data, size_t len)
{
    uint8_t mac[MAC16_LEN];

    if (len != GREETING_LEN)
        return false;
    mac_of(x25519_pub, data, mac);
    return ident_equal(mac, data + NONCE_LEN, sizeof(mac));
}
