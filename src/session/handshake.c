/* session/handshake.c - see handshake.h.
 *
 * Theory of operation. Noise is unchanged; what is ours is the wrapping: mac1 and the mask, which cost the responder
 * two BLAKE2s before it believes anything, and the cookie, which is checked before any public-key operation. The cookie
 * stands in the prologue, so it is authenticated by message 1: whoever replays a recorded INIT can only replay the
 * cookie in it, whose time of issue is already known to the responder.
 *
 * Limits: datagrams of at most 512 bytes; cookies live 120 s; a RESPONSE is shorter than any INIT and a COOKIE packet
 * much shorter. Sources: Noise revision 34; WireGuard (Donenfeld, NDSS 2017) sections 5.3 and 5.4.4 for mac1 and
 * cookies. */
#include "session/handshake.h"

#include <errno.h>

#include "ident/aead.h"
#include "ident/hash.h"
#include "wire/header.h"

#define FIXED_LEN 20 /* type, version, suite, 0, salt */
#define HELLO_LEN (32 + 64 + 8 + 1 + 1 + 4 + 1 + 8 + TERMS_LEN)
#define HELLO_MAX 256 /* with what a newer version may add */
#define PROLOGUE_LEN (4 + COOKIE_LEN + 8)

_Static_assert(FIXED_LEN + 8 + 32 + HELLO_LEN + 16 + MAC1_LEN < INIT_MIN_LEN + HELLO_LEN,
               "a response is shorter than an INIT");

static void derive(uint8_t out[32], const char *label, const uint8_t pub[32])
{
    blake2s(out, HASH_PARTS({ label, strlen(label) }, { pub, 32 }));
}

void handshake_mask_init(struct handshake_mask *m, const uint8_t x25519_pub[32])
{
    derive(m->mac1_key, "hawser mac1", x25519_pub);
    derive(m->mask_key, "hawser mask", x25519_pub);
    derive(m->cookie_key, "hawser cookie", x25519_pub);
}

/* XORs len bytes at p with BLAKE2s blocks keyed by mask_key over salt and a counter. */
static void mask(const struct handshake_mask *m, const uint8_t salt[16], uint8_t *p, size_t len)
{
    uint8_t in[16 + 4], block[32];

    memcpy(in, salt, 16);
    for (uint32_t i = 0; len > 0; i++) {
        size_t n = MIN(len, sizeof(block));

        put_be32(in + 16, i);
        blake2s_keyed(block, m->mask_key, HASH_PARTS({ in, sizeof(in) }));
        for (size_t j = 0; j < n; j++)
            p[j] ^= block[j];
        p += n;
        len -= n;
    }
}

static void header_put(uint8_t out[4], enum packet_type type, enum suite suite)
{
    out[0] = (uint8_t)type;
    out[1] = PROTOCOL_VERSION;
    out[2] = (uint8_t)suite;
    out[3] = 0;
}

static void prologue_make(uint8_t out[PROLOGUE_LEN], enum suite suite, const uint8_t cookie[COOKIE_LEN], uint64_t index)
{
    header_put(out, PACKET_INIT, suite);
    memcpy(out + 4, cookie, COOKIE_LEN);
    put_be64(out + 4 + COOKIE_LEN, index);
}

static size_t hello_write(uint8_t *buf, size_t size, const struct hello *h, const struct identity *self)
{
    struct writer w = writer_init(buf, size);

    write_bytes(&w, self->ed25519, 32);
    write_bytes(&w, self->binding_sig, 64);
    write_u64(&w, h->session_id);
    write_u8(&w, h->flags);
    write_u8(&w, h->suites);
    write_u32(&w, h->features);
    write_u8(&w, (uint8_t)(h->shard.bits << 4 | h->shard.value));
    write_u64(&w, h->instance);
    terms_write(&w, &h->terms);
    return writer_len(&w);
}

static int shard_read(struct reader *r, struct shard *ret)
{
    uint8_t both = reader_left(r) > 0 ? read_u8(r) : 0; /* an older end has none */

    *ret = (struct shard){ .bits = both >> 4, .value = both & 0xf };
    return ret->bits <= SHARD_BITS_MAX && ret->value >> ret->bits == 0 ? 0 : -EBADMSG;
}

/* What follows the known fields belongs to a newer version and is authenticated but not read. */
static int hello_read(const uint8_t *buf, size_t len, const uint8_t static_pub[32], struct hello *ret)
{
    struct reader r = reader_init(buf, len);
    const uint8_t *sig;

    read_copy(&r, ret->ed25519, 32);
    sig = read_bytes(&r, 64);
    ret->session_id = read_u64(&r);
    ret->flags = read_u8(&r);
    ret->suites = read_u8(&r);
    ret->features = read_u32(&r);
    ret->instance = 0;
    if (shard_read(&r, &ret->shard) < 0)
        return -EBADMSG;
    if (reader_left(&r) > 0) /* an older end has none */
        ret->instance = read_u64(&r);
    ret->terms = (struct terms){ 0 };
    if (reader_left(&r) > 0)
        terms_read(&r, &ret->terms);
    if (r.failed || binding_verify(ret->ed25519, static_pub, sig) < 0)
        return -EBADMSG;
    return 0;
}

/* Salt, mask and mac1 around a body; returns the datagram's length. */
static size_t wrap(uint8_t *out, enum packet_type type, enum suite suite, const uint8_t *body, size_t body_len,
                   const struct handshake_mask *receiver, const struct rng *rng)
{
    header_put(out, type, suite);
    rng_fill(rng, out + 4, 16);
    memcpy(out + FIXED_LEN, body, body_len);
    mask(receiver, out + 4, out + FIXED_LEN, body_len);
    blake2s_mac16(out + FIXED_LEN + body_len, receiver->mac1_key, out, FIXED_LEN + body_len);
    return FIXED_LEN + body_len + MAC1_LEN;
}

int handshake_check_mac1(const struct handshake_mask *self_mask, const uint8_t *pkt, size_t len)
{
    uint8_t mac[MAC1_LEN];
    size_t min = pkt[0] == PACKET_INIT ? INIT_MIN_LEN : RESPONSE_MIN_LEN;

    if (len < min || len > HANDSHAKE_MAX)
        return -EBADMSG;
    if (pkt[1] != PROTOCOL_VERSION)
        return -EPROTONOSUPPORT;
    blake2s_mac16(mac, self_mask->mac1_key, pkt, len - MAC1_LEN);
    return ident_equal(mac, pkt + len - MAC1_LEN, MAC1_LEN) ? 0 : -EBADMSG;
}

/* --- initiator --- */

int handshake_init_make(struct handshake_init *h, const struct identity *self, const struct peer_key *peer,
                        const uint8_t psk[32], enum suite suite, const struct hello *hello,
                        const uint8_t cookie[COOKIE_LEN], const struct rng *rng)
{
    static const uint8_t no_cookie[COOKIE_LEN];
    uint8_t prologue[PROLOGUE_LEN], payload[HELLO_MAX];
    size_t payload_len;
    int n;

    h->suite = suite;
    h->index = rng_u64(rng);
    prologue_make(prologue, suite, cookie ? cookie : no_cookie, h->index);
    n = noise_init(&h->noise, NOISE_IKPSK2, suite, true, prologue, sizeof(prologue), self->x25519_priv, self->x25519,
                   peer->x25519, psk);
    if (n < 0)
        return n;
    payload_len = hello_write(payload, sizeof(payload), hello, self);
    memcpy(h->body, prologue + 4, COOKIE_LEN + 8);
    n = noise_write(&h->noise, rng, payload, payload_len, h->body + COOKIE_LEN + 8, sizeof(h->body) - COOKIE_LEN - 8);
    if (n < 0)
        return n;
    h->body_len = COOKIE_LEN + 8 + (size_t)n;
    return 0;
}

size_t handshake_init_write(const struct handshake_init *h, const struct handshake_mask *peer_mask,
                            const struct rng *rng, uint8_t out[HANDSHAKE_MAX], uint8_t ret_mac1[MAC1_LEN])
{
    size_t len = wrap(out, PACKET_INIT, h->suite, h->body, h->body_len, peer_mask, rng);

    memcpy(ret_mac1, out + len - MAC1_LEN, MAC1_LEN);
    return len;
}

int handshake_response_index(const struct handshake_mask *self_mask, const uint8_t *pkt, size_t len, uint64_t *ret)
{
    uint8_t index[8];

    if (len < RESPONSE_MIN_LEN || len > HANDSHAKE_MAX)
        return -EBADMSG;
    memcpy(index, pkt + FIXED_LEN, sizeof(index));
    mask(self_mask, pkt + 4, index, sizeof(index));
    *ret = get_be64(index);
    return 0;
}

int handshake_response_read(const struct handshake_init *h, const struct handshake_mask *self_mask,
                            const struct peer_key *peer, const uint8_t *pkt, size_t len, uint8_t ret_master[32],
                            struct hello *ret_hello)
{
    uint8_t body[HANDSHAKE_MAX], payload[HANDSHAKE_MAX];
    size_t body_len = len - FIXED_LEN - MAC1_LEN;
    struct noise noise;
    struct hello hello;
    int n, r = -EBADMSG;

    memcpy(body, pkt + FIXED_LEN, body_len);
    mask(self_mask, pkt + 4, body, body_len);
    if (get_be64(body) != h->index || pkt[2] != h->suite)
        return -EBADMSG;
    noise = h->noise;
    n = noise_read(&noise, body + 8, body_len - 8, payload, sizeof(payload));
    if (n >= 0 && hello_read(payload, (size_t)n, peer->x25519, &hello) == 0 &&
        ident_equal(hello.ed25519, peer->ed25519, 32)) {
        r = noise_export(&noise, "hawser master", ret_master);
        *ret_hello = hello;
    }
    ident_wipe(&noise, sizeof(noise));
    return r;
}

int handshake_cookie_read(const struct handshake_mask *peer_mask, const uint8_t mac1[MAC1_LEN], const uint8_t *pkt,
                          size_t len, uint8_t ret_cookie[COOKIE_LEN])
{
    uint8_t in[16 + MAC1_LEN], key[32], cookie[COOKIE_LEN];
    struct aead *aead;
    int r;

    if (len != COOKIE_PACKET_LEN || pkt[1] != PROTOCOL_VERSION)
        return -EBADMSG;
    memcpy(in, pkt + 4, 16);
    memcpy(in + 16, mac1, MAC1_LEN);
    blake2s_keyed(key, peer_mask->cookie_key, HASH_PARTS({ in, sizeof(in) }));
    aead = aead_new(SUITE_CHACHA20_POLY1305, key);
    if (!aead)
        return -ENOMEM;
    r = aead_open(aead, 0, pkt, FIXED_LEN, pkt + FIXED_LEN, COOKIE_LEN + 16, cookie);
    aead_free(aead);
    if (r == 0)
        memcpy(ret_cookie, cookie, COOKIE_LEN);
    return r;
}

/* --- responder --- */

static void cookie_mac(const struct cookie_jar *jar, const struct endpoint *from, const uint8_t issued[8],
                       uint8_t mac[16])
{
    uint8_t in[8 + 1 + 16 + 2];

    memcpy(in, issued, 8);
    in[8] = from->addr.family;
    memcpy(in + 9, from->addr.bytes, 16);
    put_be16(in + 25, from->port);
    blake2s_mac16(mac, jar->secret, in, sizeof(in));
}

int64_t handshake_cookie_check(const struct cookie_jar *jar, const struct handshake_mask *self_mask, const uint8_t *pkt,
                               size_t len, const struct endpoint *from, instant now)
{
    static const uint8_t none[COOKIE_LEN];
    uint8_t cookie[COOKIE_LEN], mac[16];
    int64_t issued;

    if (len < INIT_MIN_LEN)
        return -EBADMSG;
    memcpy(cookie, pkt + FIXED_LEN, COOKIE_LEN);
    mask(self_mask, pkt + 4, cookie, COOKIE_LEN);
    if (memcmp(cookie, none, COOKIE_LEN) == 0)
        return -ENOENT;
    cookie_mac(jar, from, cookie, mac);
    issued = (int64_t)get_be64(cookie);
    if (!ident_equal(mac, cookie + 8, 16) || issued > now || now - issued > COOKIE_LIFETIME)
        return -EBADMSG;
    return issued;
}

void handshake_cookie_write(const struct cookie_jar *jar, const struct handshake_mask *self_mask, const uint8_t *pkt,
                            size_t len, const struct endpoint *from, instant now, const struct rng *rng, uint8_t *out)
{
    uint8_t in[16 + MAC1_LEN], key[32], cookie[COOKIE_LEN];
    struct aead *aead;

    header_put(out, PACKET_COOKIE, 0);
    rng_fill(rng, out + 4, 16);
    put_be64(cookie, (uint64_t)MAX(now, 1));
    cookie_mac(jar, from, cookie, cookie + 8);
    memcpy(in, out + 4, 16);
    memcpy(in + 16, pkt + len - MAC1_LEN, MAC1_LEN);
    blake2s_keyed(key, self_mask->cookie_key, HASH_PARTS({ in, sizeof(in) }));
    aead = aead_new(SUITE_CHACHA20_POLY1305, key);
    if (!aead || aead_seal(aead, 0, out, FIXED_LEN, cookie, COOKIE_LEN, out + FIXED_LEN) < 0)
        rng_fill(rng, out + FIXED_LEN, COOKIE_LEN + 16); /* no memory: an answer that nobody can open */
    aead_free(aead);
}

static void unwrap(const struct handshake_mask *self_mask, const uint8_t *pkt, size_t len, uint8_t body[HANDSHAKE_MAX])
{
    memcpy(body, pkt + FIXED_LEN, len - FIXED_LEN - MAC1_LEN);
    mask(self_mask, pkt + 4, body, len - FIXED_LEN - MAC1_LEN);
}

static void digest(const uint8_t *pkt, const uint8_t *body, size_t body_len, uint8_t out[32])
{
    blake2s(out, HASH_PARTS({ pkt, 4 }, { body, body_len }));
}

int handshake_digest(const struct handshake_mask *self_mask, const uint8_t *pkt, size_t len, uint8_t ret_digest[32])
{
    uint8_t body[HANDSHAKE_MAX];

    if (len < INIT_MIN_LEN || len > HANDSHAKE_MAX)
        return -EBADMSG;
    unwrap(self_mask, pkt, len, body);
    digest(pkt, body, len - FIXED_LEN - MAC1_LEN, ret_digest);
    return 0;
}

int handshake_init_read(const struct handshake_mask *self_mask, const struct identity *self, uint8_t my_suites,
                        const uint8_t *pkt, size_t len, struct handshake_seen *ret)
{
    static const uint8_t no_psk[32];
    uint8_t body[HANDSHAKE_MAX], prologue[PROLOGUE_LEN], payload[HANDSHAKE_MAX];
    size_t body_len = len - FIXED_LEN - MAC1_LEN;
    int n;

    if (len < INIT_MIN_LEN || len > HANDSHAKE_MAX || !suite_known(pkt[2]) || !(SUITE_BIT(pkt[2]) & my_suites))
        return -EBADMSG;
    unwrap(self_mask, pkt, len, body);
    ret->suite = pkt[2];
    ret->index = get_be64(body + COOKIE_LEN);
    prologue_make(prologue, ret->suite, body, ret->index);
    if (memcmp(prologue, pkt, 4) != 0)
        return -EBADMSG;
    n = noise_init(&ret->noise, NOISE_IKPSK2, ret->suite, false, prologue, sizeof(prologue), self->x25519_priv,
                   self->x25519, NULL, no_psk);
    if (n < 0)
        return n;
    n = noise_read(&ret->noise, body + COOKIE_LEN + 8, body_len - COOKIE_LEN - 8, payload, sizeof(payload));
    if (n < 0)
        return n;
    memcpy(ret->static_pub, noise_remote_static(&ret->noise), 32);
    digest(pkt, body, body_len, ret->digest);
    return hello_read(payload, (size_t)n, ret->static_pub, &ret->hello);
}

int handshake_response_make(struct handshake_seen *s, const struct identity *self, const uint8_t psk[32],
                            const struct hello *hello, const struct rng *rng, uint8_t ret_body[HANDSHAKE_MAX],
                            uint8_t ret_master[32])
{
    uint8_t payload[HELLO_MAX];
    size_t payload_len = hello_write(payload, sizeof(payload), hello, self);
    int n, r;

    memcpy(s->noise.psk, psk, 32);
    put_be64(ret_body, s->index);
    n = noise_write(&s->noise, rng, payload, payload_len, ret_body + 8, HANDSHAKE_MAX - 8 - FIXED_LEN - MAC1_LEN);
    if (n < 0)
        return n;
    if ((r = noise_export(&s->noise, "hawser master", ret_master)) < 0)
        return r;
    return 8 + n;
}

size_t handshake_response_write(enum suite suite, const uint8_t *body, size_t body_len,
                                const struct handshake_mask *peer_mask, const struct rng *rng,
                                uint8_t out[HANDSHAKE_MAX])
{
    return wrap(out, PACKET_RESPONSE, suite, body, body_len, peer_mask, rng);
}
