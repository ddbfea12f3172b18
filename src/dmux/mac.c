/* dmux/mac.c - see mac.h. Keyed BLAKE2s; the key comes from X25519 under a label of its own. */
#include "dmux/mac.h"

#include "ident/hash.h"

void dmux_registration_key(const uint8_t shared[DMUX_KEY_LEN], const struct dmux_message *registered,
                           const uint8_t gateway_dh[DMUX_KEY_LEN], uint8_t out[DMUX_KEY_LEN])
{
    static const char label[] = "hawser dmux registration 1";
    uint8_t numbers[18];

    put_be64(numbers, registered->nonce);
    put_be32(numbers + 8, registered->gateway);
    put_be16(numbers + 12, registered->protocol);
    put_be32(numbers + 14, registered->provider);
    blake2s_keyed(out, shared,
                  HASH_PARTS({ label, sizeof(label) - 1 }, { numbers, sizeof(numbers) },
                             { registered->dh, DMUX_KEY_LEN }, { gateway_dh, DMUX_KEY_LEN }));
}

void dmux_vouching_key(const uint8_t registration_key[DMUX_KEY_LEN], uint32_t gateway, uint8_t out[DMUX_KEY_LEN])
{
    static const char label[] = "hawser dmux vouching 1";
    uint8_t number[4];

    put_be32(number, gateway);
    blake2s_keyed(out, registration_key, HASH_PARTS({ label, sizeof(label) - 1 }, { number, sizeof(number) }));
}

size_t dmux_write_sealed(const struct dmux_message *m, const uint8_t key[DMUX_KEY_LEN], uint8_t *buf, size_t size)
{
    size_t len = dmux_write(m, buf, size);

    if (len > 0)
        blake2s_mac16(buf + len - DMUX_MAC_LEN, key, buf, len - DMUX_MAC_LEN);
    return len;
}

bool dmux_mac_holds(const uint8_t *data, size_t len, const uint8_t key[DMUX_KEY_LEN])
{
    size_t n = dmux_signed_len(data, len);
    uint8_t mac[DMUX_MAC_LEN];

    if (n == 0 || len < n + DMUX_MAC_LEN)
        return false;
    blake2s_mac16(mac, key, data, n);
    return ident_equal(mac, data + n, DMUX_MAC_LEN);
}
