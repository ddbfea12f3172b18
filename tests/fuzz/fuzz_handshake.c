/* Fuzz target of session/handshake: a datagram from a stranger, to a responder and to an initiator with fixed keys.
 *
 * Input: a byte of choices, then bytes. Bits 0-1 say what is tried:
 *   0  the bytes are the datagram
 *   1  the same with its type, version and mac1 put right, as by anyone who knows our public key
 *   2  the bytes are XORed over an honest INIT before it is masked: what gets past mac1 and the mask is nearly right
 *   3  likewise over an honest RESPONSE, and over an honest COOKIE
 * Bit 2: AES-256-GCM instead of ChaCha20-Poly1305. Nothing that was changed may be accepted in modes 2 and 3, and
 * everything that was not must be. */
#include "ident/hash.h"
#include "session/handshake.h"
#include "wire/header.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW (1000 * SEC)
#define SUITES (SUITE_BIT(SUITE_CHACHA20_POLY1305) | SUITE_BIT(SUITE_AES256_GCM))

static struct identity alice, bob; /* initiator, responder */
static struct handshake_mask alice_mask, bob_mask;
static struct peer_key alice_key, bob_key;
static const uint8_t psk[32] = { 'p', 's', 'k' };
static const struct cookie_jar jar = { { 'j', 'a', 'r' } };
static const struct endpoint from = { { ADDR_V4, { 198, 51, 100, 7 } }, 4000 };
static const struct hello hello = { .session_id = 7,
                                    .suites = SUITES,
                                    .features = FEATURES_KNOWN,
                                    .instance = 9,
                                    .terms = { .semantics_required = 8, .objectives = { 2 }, .transports = 1 } };

static void must(int r)
{
    assert(r >= 0);
}

static void once(void)
{
    static bool done;
    struct prng p;
    struct rng r;

    if (done)
        return;
    prng_init(&p, 1);
    r = prng_rng(&p);
    must(identity_generate(&alice, &r));
    must(identity_generate(&bob, &r));
    handshake_mask_init(&alice_mask, alice.x25519);
    handshake_mask_init(&bob_mask, bob.x25519);
    identity_peer_key(&alice, SUITES, &alice_key);
    identity_peer_key(&bob, SUITES, &bob_key);
    done = true;
}

static void init_make(struct handshake_init *h, enum suite suite)
{
    struct prng p;
    struct rng r;

    prng_init(&p, 2);
    r = prng_rng(&p);
    must(handshake_init_make(h, &alice, &bob_key, psk, suite, &hello, NULL, &r));
}

/* Everything a node does with a datagram, in its order. Whether it was accepted. */
static bool respond(const uint8_t *pkt, size_t len, struct handshake_seen *ret)
{
    uint8_t digest[32], master[32], cookie[COOKIE_PACKET_LEN], out[HANDSHAKE_MAX], body[HANDSHAKE_MAX];
    struct prng p;
    struct rng r;
    int64_t issued;
    int n;

    if (handshake_check_mac1(&bob_mask, pkt, len) < 0)
        return false;
    if (pkt[0] != PACKET_INIT)
        return false;
    prng_init(&p, 3);
    r = prng_rng(&p);
    issued = handshake_cookie_check(&jar, &bob_mask, pkt, len, &from, NOW);
    assert(issued < 0 || (issued <= NOW && NOW - issued <= COOKIE_LIFETIME));
    handshake_cookie_write(&jar, &bob_mask, pkt, len, &from, NOW, &r, cookie);
    must(handshake_digest(&bob_mask, pkt, len, digest));
    if (handshake_init_read(&bob_mask, &bob, SUITES, pkt, len, ret) < 0)
        return false;
    assert(memcmp(digest, ret->digest, 32) == 0);
    n = handshake_response_make(ret, &bob, psk, &hello, &r, body, master);
    if (n >= 0)
        n = (int)handshake_response_write(ret->suite, body, (size_t)n, &alice_mask, &r, out);
    assert(n < 0 || (size_t)n <= len); /* never larger than the request */
    return true;
}

static bool initiate(const struct handshake_init *h, const uint8_t *pkt, size_t len)
{
    uint8_t master[32];
    struct hello got;

    if (handshake_check_mac1(&alice_mask, pkt, len) < 0 || pkt[0] != PACKET_RESPONSE)
        return false;
    return handshake_response_read(h, &alice_mask, &bob_key, pkt, len, master, &got) == 0;
}

static void try_raw(const uint8_t *data, size_t size, bool mend, enum suite suite)
{
    static const uint8_t mac1[MAC1_LEN];
    uint8_t pkt[2 * HANDSHAKE_MAX], cookie[COOKIE_LEN];
    struct handshake_seen seen;
    struct handshake_init h;

    if (size == 0 || size > sizeof(pkt))
        return;
    memcpy(pkt, data, size);
    if (mend && size >= RESPONSE_MIN_LEN) {
        const struct handshake_mask *to = pkt[0] & 1 ? &bob_mask : &alice_mask;

        pkt[0] = pkt[0] & 1 ? PACKET_INIT : PACKET_RESPONSE;
        pkt[1] = PROTOCOL_VERSION;
        blake2s_mac16(pkt + size - MAC1_LEN, to->mac1_key, pkt, size - MAC1_LEN);
    }
    init_make(&h, suite);
    respond(pkt, size, &seen);
    initiate(&h, pkt, size);
    if (handshake_cookie_read(&bob_mask, mac1, pkt, size, cookie) == 0)
        assert(mend); /* the nonce and the mac are right by luck alone */
}

/* XORs the bytes over those at p; true if that changed anything. */
static bool spoil(uint8_t *p, size_t len, const uint8_t *data, size_t size)
{
    bool changed = false;

    for (size_t i = 0; i < MIN(len, size); i++) {
        p[i] ^= data[i];
        changed = changed || data[i] != 0;
    }
    return changed;
}

static void try_init(const uint8_t *data, size_t size, enum suite suite)
{
    uint8_t pkt[HANDSHAKE_MAX], mac1[MAC1_LEN];
    struct handshake_seen seen;
    struct handshake_init h;
    struct prng p;
    struct rng r;
    size_t len;
    bool changed;

    init_make(&h, suite);
    changed = spoil(h.body, h.body_len, data, size);
    prng_init(&p, 4);
    r = prng_rng(&p);
    len = handshake_init_write(&h, &bob_mask, &r, pkt, mac1);
    assert(respond(pkt, len, &seen) == !changed);
    if (!changed)
        assert(memcmp(seen.static_pub, alice.x25519, 32) == 0 && seen.hello.session_id == hello.session_id &&
               seen.hello.instance == hello.instance && seen.hello.terms.objectives[0] == hello.terms.objectives[0]);
}

static void try_answers(const uint8_t *data, size_t size, enum suite suite)
{
    uint8_t init[HANDSHAKE_MAX], pkt[HANDSHAKE_MAX], body[HANDSHAKE_MAX], mac1[MAC1_LEN], master[32],
        cookie[COOKIE_LEN];
    struct handshake_seen seen;
    struct handshake_init h;
    struct prng p;
    struct rng r;
    size_t len;
    int n;
    bool changed;

    init_make(&h, suite);
    prng_init(&p, 4);
    r = prng_rng(&p);
    len = handshake_init_write(&h, &bob_mask, &r, init, mac1);
    must(handshake_check_mac1(&bob_mask, init, len));
    must(handshake_init_read(&bob_mask, &bob, SUITES, init, len, &seen));
    n = handshake_response_make(&seen, &bob, psk, &hello, &r, body, master);
    must(n);
    n = (int)handshake_response_write(seen.suite, body, (size_t)n, &alice_mask, &r, pkt);
    /* Type, version and suite stay: the first byte decides who reads it at all. */
    changed = spoil(pkt + 20, (size_t)n - 20 - MAC1_LEN, data, size);
    blake2s_mac16(pkt + n - MAC1_LEN, alice_mask.mac1_key, pkt, (size_t)n - MAC1_LEN);
    assert(initiate(&h, pkt, (size_t)n) == !changed);

    handshake_cookie_write(&jar, &bob_mask, init, len, &from, NOW, &r, pkt);
    changed = spoil(pkt + 4, COOKIE_PACKET_LEN - 4, data, size);
    assert((handshake_cookie_read(&bob_mask, mac1, pkt, COOKIE_PACKET_LEN, cookie) == 0) == !changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum suite suite;

    if (size < 1)
        return 0;
    once();
    suite = data[0] & 4 ? SUITE_AES256_GCM : SUITE_CHACHA20_POLY1305;
    switch (data[0] & 3) {
    case 0:
    case 1:
        try_raw(data + 1, size - 1, data[0] & 1, suite);
        break;
    case 2:
        try_init(data + 1, size - 1, suite);
        break;
    default:
        try_answers(data + 1, size - 1, suite);
    }
    return 0;
}
