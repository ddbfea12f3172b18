/* bench/chain.c - what records cost one processor: to decode, to verify, and a chain of four cold and warm.
 *
 * The chain is of four keys: root, realm, sub-realm, host. Cold is with a trust that has seen nothing, so four
 * signatures are computed; warm is with one that has. Each figure is the median of ROUNDS runs of half a second of
 * processor time; the worst is told too. Prints one object of JSON.
 *
 * Limits: one chain, which stays in the cache of the processor. */
#include "ident/chain.h"
#include "base/rng.h"
#include "bench/measure.h"

#include <stdio.h>

#define ROUNDS 5
#define SPAN_S 0.5 /* chosen: far above the clock's grain */
#define BATCH 16
#define NOW 1750000000u

static uint8_t links[CHAIN_LINKS_MAX][RECORD_BYTES_MAX];
static struct slice chain[CHAIN_LINKS_MAX];
static uint8_t keys[CHAIN_LINKS_MAX][IDENT_KEY_LEN];
static struct prng prng;

static bool make_chain(void)
{
    static const struct realm_range ranges[] = { { 0, 0 }, { 0x100, 4 }, { 0x120, 8 }, { 0x120, 8 } };
    static const char *const names[] = { "example", "acme.example", "eng.acme.example", "laptop.h.eng.acme.example" };
    static const enum record_type types[] = { RECORD_ROOT, RECORD_DELEGATION, RECORD_DELEGATION, RECORD_REGISTRATION };
    uint8_t seeds[CHAIN_LINKS_MAX][IDENT_KEY_LEN];
    struct tag issuer = { 0 };

    for (int i = 0; i < CHAIN_LINKS_MAX; i++) {
        enum tag_tier tier = i == 3 ? TAG_TIER_HOST : TAG_TIER_SERVICE;
        struct record r = { .type = types[i],
                            .seq = 1,
                            .issued_s = NOW,
                            .not_after_s = i ? NOW + 1 : 0,
                            .suites = 3,
                            .range = ranges[i],
                            .tiers = 15 };
        size_t len;

        memset(seeds[i], i + 1, IDENT_KEY_LEN);
        snprintf(r.name, sizeof(r.name), "%s", names[i]);
        if (ed25519_public(seeds[i], keys[i]) < 0 ||
            tag_make(keys[i], TAG_RAA(7), TAG_HDA(tier, ranges[i].number), &r.subject) < 0)
            return false;
        memcpy(r.key, keys[i], IDENT_KEY_LEN);
        r.issuer = i ? issuer : r.subject;
        if (record_encode(&r, seeds[i ? i - 1 : 0], links[i], RECORD_BYTES_MAX, &len) < 0)
            return false;
        chain[i] = (struct slice){ links[i], len };
        issuer = r.subject;
    }
    return true;
}

static struct trust *new_trust(void)
{
    struct rng r = prng_rng(&prng);

    return trust_new(keys[0], &(struct trust_options){ .cached_max = 64, .facts_max = 64, .rng = &r });
}

static bool verify(struct trust *t)
{
    struct record_error e;
    struct chain_end end;

    return t && trust_verify(t, chain, CHAIN_LINKS_MAX, NOW, &end, &e) == 0 && end.links == CHAIN_LINKS_MAX;
}

static struct trust *warm;

static bool do_decode(void)
{
    struct record_error e;
    struct record_bytes b;
    struct record r;

    return record_decode(chain[1].data, chain[1].len, &r, &b, &e) == 0;
}

/* libcrypto alone, over as many bytes as a delegation's signature is of. */
static bool do_signature(void)
{
    static uint8_t message[160], signature[SIGNATURE_LEN], seed[IDENT_KEY_LEN] = { 1 }, pub[IDENT_KEY_LEN];
    static bool made;

    if (!made)
        made = ed25519_public(seed, pub) == 0 && ed25519_sign(seed, message, sizeof(message), signature) == 0;
    return made && ed25519_verify(pub, message, sizeof(message), signature) == 0;
}

static bool do_record(void)
{
    struct record_error e;
    struct record_bytes b;
    struct record r;

    return record_decode(chain[1].data, chain[1].len, &r, &b, &e) == 0 && record_verify(&b, keys[0]) == 0;
}

static bool do_cold(void)
{
    struct trust *t = new_trust();
    bool ok = verify(t);

    trust_free(t);
    return ok;
}

static bool do_warm(void)
{
    return verify(warm);
}

int main(void)
{
    static const struct {
        const char *name;
        bool (*run)(void);
    } figures[] = { { "decode", do_decode },
                    { "signature", do_signature },
                    { "record", do_record },
                    { "cold", do_cold },
                    { "warm", do_warm } };
    double rates[sizeof(figures) / sizeof(figures[0])][ROUNDS];

    prng_init(&prng, 1);
    if (!make_chain() || !(warm = new_trust()) || !verify(warm)) {
        fprintf(stderr, "bench-chain: the chain is not good\n");
        trust_free(warm);
        return 1;
    }
    /* Round after round, so that a slow moment of the machine meets all alike. */
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t f = 0; f < sizeof(figures) / sizeof(figures[0]); f++) {
            double start = measure_now_s(CLOCK_PROCESS_CPUTIME_ID), took;
            uint64_t n = 0;

            do {
                for (int i = 0; i < BATCH; i++, n++) {
                    if (!figures[f].run()) {
                        fprintf(stderr, "bench-chain: %s failed\n", figures[f].name);
                        trust_free(warm);
                        return 1;
                    }
                }
                took = measure_now_s(CLOCK_PROCESS_CPUTIME_ID) - start;
            } while (took < SPAN_S);
            rates[f][round] = (double)n / took;
        }
    }
    trust_free(warm);
    printf("{");
    for (size_t f = 0; f < sizeof(figures) / sizeof(figures[0]); f++) {
        double median = measure_median(rates[f], ROUNDS);

        printf("%s\"%s\":%.0f,\"%s_worst\":%.0f", f ? "," : "", figures[f].name, median, figures[f].name, rates[f][0]);
    }
    printf("}\n");
    return 0;
}
