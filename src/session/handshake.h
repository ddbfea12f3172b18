/* session/handshake.h - the three handshake datagrams: bytes <-> Noise IKpsk2, without state of its own.
 *
 * INIT      u8 1 | version | suite | 0 | salt 16 | masked { cookie 24 | u64 index | Noise message 1 } | mac1 16
 * RESPONSE  u8 2 | version | suite | 0 | salt 16 | masked { u64 index | Noise message 2 } | mac1 16
 * COOKIE    u8 3 | version | 0 | 0 | nonce 16 | sealed { cookie 24 } 40
 *
 * mac1 is keyed by the receiver's static public key, so that only who knows it gets an answer at all. `masked` is XORed
 * with a keystream from that key and the salt: copies of one INIT raced over several uplinks have different bytes on
 * each, and whoever does not know the receiver's key cannot link them. The first four bytes, the cookie and the index
 * are the Noise prologue: a recorded INIT cannot be given another cookie. A cookie is the responder's time of issue and
 * a MAC over it and the initiator's endpoint.
 *
 * Both Noise payloads are a hello: Ed25519 identity, signature over the X25519 key, session id, features, suites,
 * shard, instance, terms. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"
#include "ident/keys.h"
#include "ident/noise.h"
#include "ident/suite.h"
#include "session/terms.h"
#include "wire/cursor.h"

#define HANDSHAKE_MAX 512 /* bytes of the longest handshake datagram that is sent or accepted */
#define COOKIE_LEN 24
#define MAC1_LEN 16
#define COOKIE_PACKET_LEN (20 + COOKIE_LEN + 16)
/* The fixed part: 20 + 24 + 8 + (32 + 48 + hello + 16) + 16. */
#define INIT_MIN_LEN (20 + COOKIE_LEN + 8 + 32 + 48 + 16 + MAC1_LEN)
#define RESPONSE_MIN_LEN (20 + 8 + 32 + 16 + MAC1_LEN)

#define HELLO_FLAG_FRESH 1     /* response: I do not have that session; begin a new one */
#define HELLO_FLAG_OPENER 2    /* I open paths (a node); the other side accepts them (an agent) */
#define HELLO_FLAG_STREAM 4    /* the session carries a stream of bytes (session/delivery.h), no packets */
#define HELLO_FLAG_CLEAR 8     /* my configuration avoids encryption of payload */
#define HELLO_FLAG_KEPT 32     /* that session's keys are gone, its channels are not (session/channel_resume.c) */
#define HELLO_FLAG_MESSAGES 16 /* no session: requests and answers (session/exchange.h) */

/* Features: bits that both must have set to be used. */
#define FEATURE_STEER_MIRROR 1u
#define FEATURE_RESET_TOKEN 2u
#define FEATURE_PIECES 4u         /* joins the pieces of a packet */
#define FEATURE_SHARDS 8u         /* heeds the shard that a hello names */
#define FEATURE_CHANNELS 16u      /* knows streams of bytes beside packets */
#define FEATURE_LARGE_RECORDS 32u /* takes records of up to RECORD_LARGE_MAX over what is not UDP */
#define FEATURE_TERMS 64u         /* understands that it is refused */
#define FEATURE_RESUME 128u       /* goes on with the channels of a peer that was restarted */
#define FEATURES_KNOWN                                                                                                 \
    (FEATURE_STEER_MIRROR | FEATURE_RESET_TOKEN | FEATURE_PIECES | FEATURE_SHARDS | FEATURE_CHANNELS |                 \
     FEATURE_LARGE_RECORDS | FEATURE_TERMS | FEATURE_RESUME)

/* An end of several workers wants the records of a session at one of them, and its kernel sees no more of a record than
 * the connection id: so many of its last bits, and their value, are what the receiver says in its hello. */
#define SHARD_BITS_MAX 4
struct shard {
    uint8_t bits, value; /* 0 bits: all the same */
};
static inline uint64_t shard_cid(struct shard s, uint64_t cid)
{
    return (cid & ~((UINT64_C(1) << s.bits) - 1)) | s.value;
}

struct hello {
    uint8_t ed25519[32];
    uint64_t session_id;
    uint8_t flags, suites;
    uint32_t features;
    struct shard shard;
    uint64_t instance; /* of programs that share one key, which this is; 0: the key's only one */
    struct terms terms;
};

/* Keys that depend on one static public key alone, computed once. */
struct handshake_mask {
    uint8_t mac1_key[32], mask_key[32], cookie_key[32];
};

void handshake_mask_init(struct handshake_mask *m, const uint8_t x25519_pub[32]);

/* --- initiator --- */

struct handshake_init {
    struct noise noise; /* after message 1 */
    enum suite suite;
    uint64_t index;
    uint8_t body[HANDSHAKE_MAX]; /* everything between salt and mac1, unmasked */
    size_t body_len;
};

/* Builds message 1. cookie may be NULL. 0 or negative. */
MUST_CHECK int handshake_init_make(struct handshake_init *h, const struct identity *self, const struct peer_key *peer,
                                   const uint8_t psk[32], enum suite suite, const struct hello *hello,
                                   const uint8_t cookie[COOKIE_LEN], const struct rng *rng);
/* One copy for the wire, with its own salt; mac1 is given back so that a cookie answer can be matched. Returns the
 * length. */
size_t handshake_init_write(const struct handshake_init *h, const struct handshake_mask *peer_mask,
                            const struct rng *rng, uint8_t out[HANDSHAKE_MAX], uint8_t ret_mac1[MAC1_LEN]);
/* The index of the INIT that a RESPONSE for us says it answers: 0 or -EBADMSG. */
MUST_CHECK int handshake_response_index(const struct handshake_mask *self_mask, const uint8_t *pkt, size_t len,
                                        uint64_t *ret);
/* 0 and the master key and the peer's hello; -EBADMSG otherwise, with h unchanged. */
MUST_CHECK int handshake_response_read(const struct handshake_init *h, const struct handshake_mask *self_mask,
                                       const struct peer_key *peer, const uint8_t *pkt, size_t len,
                                       uint8_t ret_master[32], struct hello *ret_hello);
/* 0 or -EBADMSG. mac1 is that of the INIT copy that this may answer. */
MUST_CHECK int handshake_cookie_read(const struct handshake_mask *peer_mask, const uint8_t mac1[MAC1_LEN],
                                     const uint8_t *pkt, size_t len, uint8_t ret_cookie[COOKIE_LEN]);

/* --- responder --- */

/* Cheap checks, no public-key operation: length, version, mac1. 0, -EBADMSG (mac1 or length) or -EPROTONOSUPPORT. */
MUST_CHECK int handshake_check_mac1(const struct handshake_mask *self_mask, const uint8_t *pkt, size_t len);

struct cookie_jar {
    uint8_t secret[32];
};

#define COOKIE_LIFETIME (120 * SEC)

/* The time of issue when the INIT carries a valid cookie from this endpoint, or -ENOENT (none) or -EBADMSG (bad, old).
 */
MUST_CHECK int64_t handshake_cookie_check(const struct cookie_jar *jar, const struct handshake_mask *self_mask,
                                          const uint8_t *pkt, size_t len, const struct endpoint *from, instant now);
/* Writes COOKIE_PACKET_LEN bytes that answer the INIT pkt. */
void handshake_cookie_write(const struct cookie_jar *jar, const struct handshake_mask *self_mask, const uint8_t *pkt,
                            size_t len, const struct endpoint *from, instant now, const struct rng *rng, uint8_t *out);

/* A message 1 that was read: who, and the Noise state with which to answer. */
struct handshake_seen {
    struct noise noise;
    enum suite suite;
    uint64_t index;
    uint8_t static_pub[32];
    uint8_t digest[32]; /* of the unmasked body: equal for copies of one INIT */
    struct hello hello;
};

/* The digest alone, without public-key operations: copies of a known INIT are recognised by it. 0 or -EBADMSG. */
MUST_CHECK int handshake_digest(const struct handshake_mask *self_mask, const uint8_t *pkt, size_t len,
                                uint8_t ret_digest[32]);
/* Reads message 1 (one X25519 for the key, one for the static; one Ed25519 verify). The caller looks the peer up by
 * ret->static_pub and takes its PSK for the response. 0 or -EBADMSG. */
MUST_CHECK int handshake_init_read(const struct handshake_mask *self_mask, const struct identity *self,
                                   uint8_t my_suites, const uint8_t *pkt, size_t len, struct handshake_seen *ret);
/* Message 2 for it, before it is masked: returns its length and gives the master key; negative on failure. */
MUST_CHECK int handshake_response_make(struct handshake_seen *s, const struct identity *self, const uint8_t psk[32],
                                       const struct hello *hello, const struct rng *rng,
                                       uint8_t ret_body[HANDSHAKE_MAX], uint8_t ret_master[32]);
/* One copy for the wire, with its own salt. Returns the length. */
size_t handshake_response_write(enum suite suite, const uint8_t *body, size_t body_len,
                                const struct handshake_mask *peer_mask, const struct rng *rng,
                                uint8_t out[HANDSHAKE_MAX]);
