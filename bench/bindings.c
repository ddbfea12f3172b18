/* bench/bindings.c - the table of bindings alone: the memory of a million, and how fast one processor puts, refreshes
 * and finds them.
 *
 * Records are of RECORD_LEN bytes, as one of a host with two locators is with its signature; they are not verified
 * here. Memory is what the process holds more than before (resident pages), so the allocator is in it. Lookups and
 * refreshes are uniform over all, in an order that no cache foresees. Prints one object of JSON.
 *
 * Limits: one table in one process; no network, no store, no signatures. */
#include "mapping/bindings.h"
#include "bench/measure.h"

#include <stdio.h>
#include <unistd.h>

#define BINDINGS 1000000u
#define RECORD_LEN 180
#define ASKED 4000000u

static double resident_mb(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long pages = 0;

    if (f && fscanf(f, "%*u %lu", &pages) != 1)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) * 1e-6;
}

static struct tag subject_of(uint32_t i)
{
    struct tag t = { { 0x20, 0x01, 0, 0x3f } };

    put_be64(t.bytes + 8, (i + 1) * 0x9e3779b97f4a7c15u); /* spread, as hashes of keys are */
    return t;
}

int main(void)
{
    uint8_t bytes[RECORD_LEN] = { 0 };
    double before = resident_mb(), start, put, refresh, find;
    struct record r = {
        .type = RECORD_BINDING, .kind = KIND_HOST_LOCATOR, .answer = CLASS_FULL, .seq = 1, .lease_s = 300
    };
    struct bindings *b;
    struct binding got;
    struct prng p;
    struct rng rng;

    prng_init(&p, 1);
    rng = prng_rng(&p);
    b = bindings_new(BINDINGS, &rng, 0);
    if (!b)
        return 1;
    start = measure_now_s(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; i < BINDINGS; i++) {
        r.subject = subject_of(i);
        put_be32(bytes, i);
        if (bindings_put(b, &r, bytes, sizeof(bytes), i, NULL) != BINDING_STORED)
            goto failed;
    }
    put = measure_now_s(CLOCK_PROCESS_CPUTIME_ID) - start;
    before = resident_mb() - before;
    start = measure_now_s(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; i < ASKED; i++) {
        struct tag t = subject_of((uint32_t)prng_below(&p, BINDINGS));

        if (bindings_refresh(b, &t, KIND_HOST_LOCATOR, CLASS_FULL, 1, 300, BINDINGS + i) < 0)
            goto failed;
    }
    refresh = measure_now_s(CLOCK_PROCESS_CPUTIME_ID) - start;
    start = measure_now_s(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; i < ASKED; i++) {
        uint32_t n = (uint32_t)prng_below(&p, BINDINGS);
        struct tag t = subject_of(n);

        if (bindings_find(b, &t, KIND_HOST_LOCATOR, CLASS_FULL, BINDINGS + ASKED, &got) < 0 || get_be32(got.bytes) != n)
            goto failed;
    }
    find = measure_now_s(CLOCK_PROCESS_CPUTIME_ID) - start;
    bindings_free(b);
    printf("{\"mb\":%.0f,\"put\":%.0f,\"refresh\":%.0f,\"find\":%.0f}\n", before, BINDINGS / put, ASKED / refresh,
           ASKED / find);
    return 0;
failed:
    fprintf(stderr, "bench-bindings: a binding is not there\n");
    bindings_free(b);
    return 1;
}
