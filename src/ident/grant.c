/* ident/grant.c - see grant.h. The MAC is keyed BLAKE2s; its key BLAKE2s of a label and the shared secret, so that no
 * other use of the two keys gives the same. */
#include "ident/grant.h"

#include "base/base.h"
#include "ident/hash.h"

#include <errno.h>

#define BODY_LEN (GRANT_LEN - MAC16_LEN)

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
    blake2s_mac16(out + BODY_LEN, key, out, BODY_LEN);
}

struct grant grant_read(const uint8_t in[GRANT_LEN])
{
    return (struct grant){ .channel = get_be64(in), .side = in[8], .until_s = get_be32(in + 9) };
}

int grant_open(const uint8_t key[IDENT_KEY_LEN], const uint8_t in[GRANT_LEN], struct grant *ret)
{
    uint8_t mac[MAC16_LEN];
    struct grant g = grant_read(in);

    blake2s_mac16(mac, key, in, BODY_LEN);
    if (!ident_equal(mac, in + BODY_LEN, sizeof(mac)) || g.channel == 0 || g.side > 1)
        return -EBADMSG;
    *ret = g;
    return 0;
}
