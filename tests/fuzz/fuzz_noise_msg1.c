/* Fuzz target: a responder reads message 1 of Noise IKpsk2 (ident/noise.h).
 *
 * Input: one byte of choices, then data. Bit 0: AES-256-GCM instead of ChaCha20-Poly1305. Bit 1: the data is the
 * payload of an honest message, which must come out again; otherwise the data is the message itself, for a responder
 * whose static key, psk and prologue are the constants below. A refused message must leave the state as it was. */
#include "ident/keys.h"
#include "ident/noise.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DATA_MAX 2048

static const uint8_t responder_priv[32] = { 1, 2, 3, 4, 5, 6, 7, 8 };
static const uint8_t initiator_priv[32] = { 8, 7, 6, 5, 4, 3, 2, 1 };
static const uint8_t psk[32] = { 'p', 's', 'k' };
static const char prologue[] = "fuzz";

static void ephemeral(void *ctx, void *buf, size_t len)
{
    memset(buf, 0x42, len);
}

static void must(int err)
{
    assert(err == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct rng r = { ephemeral, NULL };
    uint8_t responder[32], initiator[32], msg[DATA_MAX + NOISE_IK_MSG1_OVERHEAD], payload[DATA_MAX];
    struct noise n, before, i;
    enum suite suite;
    int len;

    if (size < 1 || size - 1 > DATA_MAX)
        return 0;
    suite = data[0] & 1 ? SUITE_AES256_GCM : SUITE_CHACHA20_POLY1305;
    must(x25519_public(responder_priv, responder));
    must(noise_init(&n, NOISE_IKPSK2, suite, false, prologue, sizeof(prologue), responder_priv, responder, NULL, psk));
    before = n;
    if (data[0] & 2) {
        must(x25519_public(initiator_priv, initiator));
        must(noise_init(&i, NOISE_IKPSK2, suite, true, prologue, sizeof(prologue), initiator_priv, initiator, responder,
                        psk));
        len = noise_write(&i, &r, data + 1, size - 1, msg, sizeof(msg));
        assert(len == (int)(size - 1 + NOISE_IK_MSG1_OVERHEAD));
        len = noise_read(&n, msg, (size_t)len, payload, sizeof(payload));
        assert(len == (int)(size - 1) && memcmp(payload, data + 1, size - 1) == 0);
        assert(memcmp(noise_remote_static(&n), initiator, 32) == 0);
        return 0;
    }
    len = noise_read(&n, data + 1, size - 1, payload, sizeof(payload));
    if (len < 0)
        assert(memcmp(&n, &before, sizeof(n)) == 0);
    else
        assert((size_t)len + NOISE_IK_MSG1_OVERHEAD == size - 1 && noise_our_turn(&n));
    return 0;
}
