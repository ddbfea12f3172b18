/* bench/seal.c - how fast one processor seals and opens records: the limit of the machine for a tunnel.
 *
 * Each round seals one record of 1400 bytes and opens it again, as the two ends of a tunnel do, here one after the
 * other on one processor. For each suite ROUNDS runs of half a second of processor time; the median and the slowest are
 * told. Prints one object of JSON.
 *
 * Limits: 1400 bytes of text, 16 of associated data; one record stays in the cache, so real traffic is slower. */
#include "base/base.h"
#include "bench/measure.h"
#include "ident/aead.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD 1400
#define AAD 16
#define ROUNDS 3
#define BATCH 256
#define SPAN_S 0.5 /* chosen: far above the clock's grain */

/* Records a second, or a negative number if one did not come out as it went in. */
static double round_trip(struct aead *a, uint64_t *counter)
{
    uint8_t aad[AAD] = { 0 }, text[RECORD], sealed[RECORD + AEAD_TAG_LEN], opened[RECORD];
    double start = measure_now_s(CLOCK_PROCESS_CPUTIME_ID), took;
    uint64_t records = 0;

    memset(text, 0x5a, sizeof(text));
    do {
        for (int i = 0; i < BATCH; i++, records++, (*counter)++)
            if (aead_seal(a, *counter, aad, sizeof(aad), text, sizeof(text), sealed) ||
                aead_open(a, *counter, aad, sizeof(aad), sealed, sizeof(sealed), opened))
                return -1;
        took = measure_now_s(CLOCK_PROCESS_CPUTIME_ID) - start;
    } while (took < SPAN_S);
    return memcmp(text, opened, sizeof(text)) ? -1 : (double)records / took;
}

int main(void)
{
    static const struct {
        enum suite suite;
        const char *name;
    } suites[] = { { SUITE_CHACHA20_POLY1305, "chacha20-poly1305" }, { SUITE_AES256_GCM, "aes256-gcm" } };
    static const uint8_t key[AEAD_KEY_LEN] = { 1 };

    printf("{");
    for (size_t s = 0; s < sizeof(suites) / sizeof(suites[0]); s++) {
        struct aead *a = aead_new(suites[s].suite, key);
        double rates[ROUNDS], median;
        uint64_t counter = 0;

        for (int i = 0; i < ROUNDS; i++) {
            rates[i] = a ? round_trip(a, &counter) : -1;
            if (rates[i] < 0) {
                fprintf(stderr, "bench-seal: %s failed\n", suites[s].name);
                aead_free(a);
                return 1;
            }
        }
        aead_free(a);
        median = measure_median(rates, ROUNDS);
        printf("%s\"%s\":{\"gbps\":%.3f,\"worst_gbps\":%.3f}", s ? "," : "", suites[s].name, median * RECORD * 8e-9,
               rates[0] * RECORD * 8e-9);
    }
    printf("}\n");
    return 0;
}
