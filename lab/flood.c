/* hawser-flood: handshake initiations with a valid mac1 from addresses that nobody has.
 *
 * Theory of operation. What an attacker can do who knows an agent's public key but is not its peer. INITS_COUNT
 * initiations are made with an identity of our own (that part costs public-key operations); each datagram is then
 * another copy of one of them, with its own salt, mask and mac1, so that every one passes the first check and no two
 * are equal. How they leave, and the limits: raw.h. */
#include "lab/raw.h"
#include "session/handshake.h"
#include "sys/clock.h"

#include <getopt.h>
#include <inttypes.h>
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
    static const struct option options[] = { { "key", required_argument, NULL, 'k' },
                                             { "rate", required_argument, NULL, 'r' },
                                             { "seconds", required_argument, NULL, 's' },
                                             { NULL, 0, NULL, 0 } };
    static struct flood f;
    double rate = 50000, seconds = 10;
    struct peer_key peer = { 0 };
    bool has_key = false;
    struct raw raw;
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (o == 'r')
            rate = strtod(optarg, NULL);
        else if (o == 's')
            seconds = strtod(optarg, NULL);
        else
            has_key = o == 'k' && peer_key_decode(optarg, &peer) == 0;
    }
    if (argc - optind != 1 || !has_key) {
        fputs("usage: hawser-flood --key PUBLIC [--rate N] [--seconds S] ADDR:PORT\n", stderr);
        return 2;
    }
    o = raw_open(&raw, "hawser-flood", argv[optind], rate, seconds);
    if (o != 0)
        return o;
    f.rng = prng_rng(&raw.prng);
    if (make_inits(&f, &peer) < 0) {
        fputs("hawser-flood: cannot make a handshake\n", stderr);
        raw_close(&raw);
        return 1;
    }
    raw_run(&raw, payload, &f);
    printf("{\"sent\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"seconds\":%.2f,\"per_second\":%.0f}\n", raw.sent,
           raw.refused, raw.took, (double)raw.sent / raw.took);
    raw_close(&raw);
    return 0;
}
