/* bench/directory_keys.c - what stands in for Ed25519 in `hawser sim directory`, linked in its place (--wrap): a keyed
 * hash of the same lengths, which anybody could forge and nobody does. A hundred thousand gateways' signatures would
 * take minutes, and show nothing that is asked here. */
#include "ident/hash.h"
#include "ident/keys.h"

#include <errno.h>

int __wrap_ed25519_public(const uint8_t seed[IDENT_KEY_LEN], uint8_t ret_pub[IDENT_KEY_LEN]);
int __wrap_ed25519_sign(const uint8_t seed[IDENT_KEY_LEN], const void *msg, size_t len, uint8_t ret_sig[SIGNATURE_LEN]);
int __wrap_ed25519_verify(const uint8_t pub[IDENT_KEY_LEN], const void *msg, size_t len,
                          const uint8_t sig[SIGNATURE_LEN]);

int __wrap_ed25519_public(const uint8_t seed[IDENT_KEY_LEN], uint8_t ret_pub[IDENT_KEY_LEN])
{
    blake2s(ret_pub, HASH_PARTS({ seed, IDENT_KEY_LEN }));
    return 0;
}

static void hash(const uint8_t pub[IDENT_KEY_LEN], const void *msg, size_t len, uint8_t ret[SIGNATURE_LEN])
{
    blake2s(ret, HASH_PARTS({ pub, IDENT_KEY_LEN }, { msg, len }));
    memcpy(ret + SIGNATURE_LEN / 2, ret, SIGNATURE_LEN / 2);
}

int __wrap_ed25519_sign(const uint8_t seed[IDENT_KEY_LEN], const void *msg, size_t len, uint8_t ret_sig[SIGNATURE_LEN])
{
    uint8_t pub[IDENT_KEY_LEN];

    __wrap_ed25519_public(seed, pub);
    hash(pub, msg, len, ret_sig);
    return 0;
}

int __wrap_ed25519_verify(const uint8_t pub[IDENT_KEY_LEN], const void *msg, size_t len,
                          const uint8_t sig[SIGNATURE_LEN])
{
    uint8_t want[SIGNATURE_LEN];

    hash(pub, msg, len, want);
    return memcmp(want, sig, SIGNATURE_LEN) == 0 ? 0 : -EBADMSG;
}
