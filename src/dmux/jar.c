/* dmux/jar.c - see jar.h.
 *
 * Theory of operation. Time is cut into epochs. The key of an epoch is keyed BLAKE2s of its number under the secret, so
 * that a key that leaks serves for one epoch; the mac itself is SipHash, which the XDP program computes as well. */
#include "dmux/jar.h"

#include "ident/hash.h"

static void derive(const struct jar *j, uint32_t epoch, struct shim_key *ret)
{
    static const char label[] = "hawser dmux cookie 1";
    uint8_t number[4], out[BLAKE2S_LEN];

    put_be32(number, epoch);
    blake2s_keyed(out, j->secret, HASH_PARTS({ label, sizeof(label) - 1 }, { number, sizeof(number) }));
    ret->k[0] = get_le64(out);
    ret->k[1] = get_le64(out + 8);
    ident_wipe(out, sizeof(out));
}

void jar_init(struct jar *j, const uint8_t secret[JAR_SECRET_LEN], uint32_t wall_s)
{
    memcpy(j->secret, secret, JAR_SECRET_LEN);
    j->keys.epoch = ~(wall_s / JAR_EPOCH_S); /* another one */
    jar_set_time(j, wall_s);
}

void jar_set_time(struct jar *j, uint32_t wall_s)
{
    uint32_t epoch = wall_s / JAR_EPOCH_S;

    j->wall_s = wall_s;
    if (epoch == j->keys.epoch)
        return;
    j->keys.epoch = epoch;
    for (uint32_t i = 0; i < 3; i++)
        derive(j, epoch + i - 1, &j->keys.keys[i]);
}

void jar_mint(const struct jar *j, struct shim_claim *c, uint8_t out[SHIM_COOKIE_LEN])
{
    c->epoch = (uint8_t)j->keys.epoch;
    c->time = j->wall_s & 0xffffff;
    shim_put_cookie(out, c, shim_mac(&j->keys.keys[1], c));
}

bool jar_check(const struct jar *j, struct shim_claim *c, const uint8_t cookie[SHIM_COOKIE_LEN], uint32_t lifetime_s)
{
    return shim_cookie_holds(&j->keys, j->wall_s, c, cookie, lifetime_s);
}
