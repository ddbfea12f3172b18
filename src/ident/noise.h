/* ident/noise.h - the Noise handshake (revision 34): 25519, BLAKE2s, ChaCha20-Poly1305 or AES-256-GCM.
 *
 * A state is a plain struct of the caller's: no pointers, so it may be copied by assignment; wipe every copy. Reading
 * and writing work on a local copy and commit at the end: a message that is refused leaves the state as it was, so a
 * forged message cannot spoil a handshake under way.
 *
 * A responder under load keeps one initialised state as a template, copies it, reads message 1 into the copy and keeps
 * the copy only on success. Do not write with two copies of one state whose next message has no ephemeral key (XX
 * message 3): they would use one nonce for two payloads. */
#pragma once

#include "base/base.h"
#include "base/rng.h"
#include "ident/suite.h"

enum noise_pattern {
    NOISE_NK,
    NOISE_NNPSK0,
    NOISE_IK,
    NOISE_IKPSK2,
    NOISE_XX,
    NOISE_XXPSK3,
    NOISE_PATTERN_COUNT,
};

#define NOISE_MESSAGE_MAX 65535 /* bytes: Noise section 3 */
#define NOISE_NAME_SIZE 48      /* longest protocol name and its NUL */

/* Overhead in bytes beyond the payloads, for the patterns that sessions use. */
#define NOISE_IK_MSG1_OVERHEAD 96 /* e 32, s 32 + 16, tag 16 */
#define NOISE_IK_MSG2_OVERHEAD 48 /* e 32, tag 16 */

struct noise {
    uint8_t pattern; /* enum noise_pattern */
    uint8_t suite;   /* enum suite */
    bool initiator;
    uint8_t step; /* messages done */
    bool has_key, has_rs;
    uint64_t counter;
    uint8_t ck[32], h[32], k[32];
    uint8_t s[32], s_pub[32], e[32], e_pub[32], rs[32], re[32], psk[32];
};

/* s_priv, s_pub: our static key pair, NULL if the pattern has none for us; rs: the responder's static public key, for
 * an initiator of NK, IK, IKpsk2, otherwise NULL; psk: for the psk patterns, otherwise NULL.
 * 0, or -EINVAL: a key that the pattern needs is missing, one that it has no place for is given, or the pattern or the
 * suite is unknown. */
MUST_CHECK int noise_init(struct noise *n, enum noise_pattern pattern, enum suite suite, bool initiator,
                          const void *prologue, size_t prologue_len, const uint8_t *s_priv, const uint8_t *s_pub,
                          const uint8_t *rs, const uint8_t *psk);
/* Writes the next message, length returned. rng gives the ephemeral key; out must not overlap the payload.
 * -ENOSPC (size), -EMSGSIZE (over 65535), -EPROTO (not our turn, or complete), -EBADMSG (the peer's key is of low
 * order), -ENOMEM, -EIO. On failure n is as before. */
MUST_CHECK int noise_write(struct noise *n, const struct rng *r, const void *payload, size_t len, uint8_t *out,
                           size_t size);
/* Reads the peer's message, payload length returned; payload_out must not overlap msg and may be NULL with size 0.
 * -EBADMSG (forged, cut, wrong keys), -ENOSPC, -EPROTO (not their turn, or complete), -ENOMEM. On failure n is as
 * before and payload_out holds nothing of the message. */
MUST_CHECK int noise_read(struct noise *n, const uint8_t *msg, size_t len, uint8_t *payload_out, size_t size);

/* Bytes that the next message has beyond its payload; 0 when complete. */
size_t noise_overhead(const struct noise *n);
/* True once the last message is written or read. */
bool noise_complete(const struct noise *n);
/* True if the next message is ours to write. */
bool noise_our_turn(const struct noise *n);
/* The transport keys of a complete handshake. 0 or -EPROTO. */
MUST_CHECK int noise_split(const struct noise *n, uint8_t tx[32], uint8_t rx[32]);
/* A secret of a complete handshake for our own key schedule, bound to label and to the whole transcript; independent of
 * the split keys. 0 or -EPROTO. */
MUST_CHECK int noise_export(const struct noise *n, const char *label, uint8_t out[32]);
/* The transcript's hash: a public channel binding once complete. */
const uint8_t *noise_handshake_hash(const struct noise *n);
/* The peer's static public key, or NULL while it is not known (or the pattern has none). Read from a message, it is
 * only proven when the handshake is complete. */
const uint8_t *noise_remote_static(const struct noise *n);
/* "Noise_IK_25519_ChaChaPoly_BLAKE2s". 0 or -EINVAL. */
int noise_name(enum noise_pattern pattern, enum suite suite, char out[NOISE_NAME_SIZE]);
void noise_wipe(struct noise *n);
