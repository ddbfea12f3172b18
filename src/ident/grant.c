/* ident/grant.c - see grant.h. MACs are keyed BLAKE2s. The key of a grant's is BLAKE2s of a label and the shared
 * secret, that of a proof BLAKE2s of another and the grant, so that no other use of these gives the same. */
#include "ident/grant.h"

#include "base/base.h"

int grant_key(const struct identity *self, const uint8_t peer_x25519[IDENT_KEY_LEN], uint8_t ret_key[IDENT_KEY_LEN])
{
    uint8_t shared[IDENT_KEY_LEN];
    int r = x25519_shared(self->x25519_priv, self->x25519, peer_x25519, shared);

    if (r == 0)
        blake2s(ret_key, HASH_PARTS({ "hawser relay grant v1", 21 }, { shared, sizeof(shared) }));
    ident_wipe(shared, sizeof(shared));
    return r;
}

void grant_seal(const uint8_t key[IDENT_KEY_LEN], const struct grant *g, uint8_t out[GRANT_LEN])
{
    put_be64(out, g->channel);
    out[8] = g->side;
    put_be32(out + 9, g->until_s);
    blake2s_mac16(out + GRANT_BODY_LEN, key, out, GRANT_BODY_LEN);
}

struct grant grant_read(const uint8_t in[GRANT_BODY_LEN])
{
    return (struct grant){ .channel = get_be64(in), .side = in[8], .until_s = get_be32(in + 9) };
}

void grant_prove(const uint8_t grant[GRANT_LEN], const void *data, size_t len, uint8_t out[MAC16_LEN])
{
    uint8_t key[BLAKE2S_LEN];

    blake2s(key, HASH_PARTS({ "hawser relay proof v1", 21 }, { grant, GRANT_LEN }));
    blake2s_mac16(out, key, data, len);
    ident_wipe(key, sizeof(key));
}
