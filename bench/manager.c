/* bench/manager.c - what a realm manager does in a second, by processor time of one process: requests as bytes in,
 * answers as bytes out, without associations, sockets and a store around it.
 *
 *   found      lookups by name, uniform over all bindings, in an order that no cache foresees
 *   denied     the same of names that who asks may not know; and of names that are not there
 *   refresh    one lease a request, uniform likewise
 *   changes    registrations under new sequences, signed; and the signatures alone that this processor verifies
 *
 * NAMES hosts are enrolled, with a binding in each of three classes. Prints one object of JSON.
 *
 * Limits: one manager in one process; no network, no store. */
#include "bench/measure.h"
#include "bench/population.h"

#include <stdio.h>
#include <time.h>

#define NAMES 333334u
#define ASKED 500000u
#define SIGNED 10000u
#define SIGNERS 1000u

static struct population all;
static uint8_t out[MAPPING_BYTES_MAX], request[4096];
static instant now = 1000 * SEC;

static enum mapping_status ask(const uint8_t key[32], const struct mapping_request *r)
{
    struct manager_who who = { .peer = 1, .ed25519 = key };
    struct writer w = writer_init(request, sizeof(request));
    struct manager_reply reply;
    struct mapping_answer a;

    mapping_request_write(&w, r);
    manager_on_request(all.manager, &who, request, writer_len(&w), now, POPULATION_WALL_S, out, &reply);
    return mapping_answer_read(out, reply.len, &a) < 0 ? MAPPING_UNKNOWN : a.status;
}

/* Lookups a second; prefix: before each name. */
static double lookups(struct prng *p, uint32_t asker, const char *prefix, enum mapping_status expected)
{
    double start = measure_now_s(CLOCK_PROCESS_CPUTIME_ID);

    for (uint32_t i = 0; i < ASKED; i++) {
        char name[POPULATION_NAME_SIZE + 8];
        size_t at = (size_t)snprintf(name, 8, "%s", prefix);
        struct mapping_request r = { .type = MAPPING_RESOLVE, .kind = KIND_HOST_LOCATOR, .name = name };

        population_name((uint32_t)prng_below(p, NAMES), name + at);
        r.name_len = strlen(name);
        if (ask(all.keys[asker], &r) != expected)
            return 0;
    }
    return ASKED / (measure_now_s(CLOCK_PROCESS_CPUTIME_ID) - start);
}

static double refreshes(struct prng *p)
{
    double start = measure_now_s(CLOCK_PROCESS_CPUTIME_ID);

    for (uint32_t i = 0; i < ASKED; i++) {
        uint32_t n = (uint32_t)prng_below(p, NAMES);
        struct mapping_refresh one = { .subject = all.tags[n], .answer = CLASS_FULL, .seq = 1, .lease_s = 3600 };
        uint8_t item[64];
        struct writer w = writer_init(item, sizeof(item));
        struct mapping_request r = { .type = MAPPING_REFRESH };

        mapping_write_refresh(&w, &one);
        r.items = (struct mapping_list){ item, writer_len(&w), 1 };
        if (ask(all.keys[n], &r) != MAPPING_DONE)
            return 0;
    }
    return ASKED / (measure_now_s(CLOCK_PROCESS_CPUTIME_ID) - start);
}

static double changes(double *ret_verified)
{
    uint8_t(*records)[256] = calloc(SIGNED, sizeof(*records));
    size_t *lens = calloc(SIGNED, sizeof(*lens));
    double start, spent = 0;
    bool ok = records && lens;

    for (uint32_t i = 0; ok && i < SIGNED; i++) {
        lens[i] = population_bind(&all, i % SIGNERS, 2 + i, records[i], sizeof(records[i]));
        ok = lens[i] > 0;
    }
    start = measure_now_s(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; ok && i < SIGNED; i++) {
        struct mapping_request r = { .type = MAPPING_REGISTER, .record = { records[i], lens[i] } };

        ok = ask(all.keys[i % SIGNERS], &r) == MAPPING_DONE;
    }
    spent = measure_now_s(CLOCK_PROCESS_CPUTIME_ID) - start;
    start = measure_now_s(CLOCK_PROCESS_CPUTIME_ID);
    for (uint32_t i = 0; ok && i < SIGNED; i++) {
        struct record_error why;
        struct record_bytes b;
        struct record r;

        ok = record_decode(records[i], lens[i], &r, &b, &why) == 0;
        ok = ok && record_verify(&b, all.keys[i % SIGNERS]) == 0;
    }
    *ret_verified = ok ? SIGNED / (measure_now_s(CLOCK_PROCESS_CPUTIME_ID) - start) : 0;
    free(records);
    free(lens);
    return ok ? SIGNED / spent : 0;
}

int main(void)
{
    double found, denied, none, refresh, change, verified = 0;
    struct manager_stats stats;
    struct prng p;
    struct rng rng;

    prng_init(&p, 1);
    rng = prng_rng(&p);
    if (!population_make(&all, NAMES, SIGNERS, NULL, false, &rng, now))
        return 1;
    found = lookups(&p, 0, "", MAPPING_FOUND);
    denied = lookups(&p, 1, "", MAPPING_NONE);
    none = lookups(&p, 1, "x", MAPPING_NONE);
    refresh = refreshes(&p);
    change = changes(&verified);
    manager_get_stats(all.manager, &stats);
    printf("{\"bindings\":%u,\"found\":%.0f,\"denied\":%.0f,\"none\":%.0f,\"refresh\":%.0f,\"changes\":%.0f,"
           "\"verified\":%.0f}\n",
           stats.bindings_live, found, denied, none, refresh, change, verified);
    population_free(&all);
    return found > 0 && denied > 0 && none > 0 && refresh > 0 && change > 0 ? 0 : 1;
}
