/* bench/durable.c - signed changes that are durable: a manager before an LMDB store, as hawser-realmd has them, without
 * associations and sockets.
 *
 * Usage: bench-durable WHERE. CHANGES registrations of SIGNERS hosts under new sequences, of which UNDER_WAY wait for
 * the store at a time; what counts is each that is durable, by the wall clock, against the signatures that one core
 * verifies. How long one waits is from its request to the moment that its answer may be sent, with as many under way as
 * a manager has that is not at its limit (EASY). Prints one object of JSON.
 *
 * Limits: one manager, one store on the disk of WHERE; the store's thread has a core of its own if there is one. */
#include "bench/measure.h"
#include "bench/population.h"
#include "sys/bindstore.h"

#include <poll.h>
#include <stdio.h>
#include <time.h>

#define NAMES 100000u
#define SIGNERS 1000u
#define CHANGES 40000u
#define UNDER_WAY 4096u
#define EASY 64u
#define EASY_CHANGES 4000u
#define BATCH 64u      /* requests of a wake-up, as exchange_io_read */
#define GIVE_AFTER 16u /* changes of a turn of the store's while it has EASY or fewer, as prog/realmd_store.c */

static struct population all;
static uint8_t out[MAPPING_BYTES_MAX];
static uint8_t records[CHANGES + EASY_CHANGES][256];
static size_t lens[CHANGES + EASY_CHANGES];
static double asked_at[CHANGES + EASY_CHANGES], waited_ms[CHANGES + EASY_CHANGES];
static uint64_t numbers[CHANGES + EASY_CHANGES];
static const instant now = 1000 * SEC;

static bool ask(uint32_t i)
{
    const struct mapping_request r = { .type = MAPPING_REGISTER, .record = { records[i], lens[i] } };
    const struct manager_who who = { .peer = 1, .ed25519 = all.keys[i % SIGNERS] };
    uint8_t request[512];
    struct writer w = writer_init(request, sizeof(request));
    struct manager_reply reply;
    struct mapping_answer a;

    mapping_request_write(&w, &r);
    asked_at[i] = measure_now_s(CLOCK_MONOTONIC);
    manager_on_request(all.manager, &who, request, writer_len(&w), now, POPULATION_WALL_S, out, &reply);
    numbers[i] = reply.stored;
    return mapping_answer_read(out, reply.len, &a) == 0 && a.status == MAPPING_DONE && reply.stored > 0;
}

static bool submit(struct bindstore *s)
{
    static struct bindstore_change batch[BATCH];
    struct manager_change c;
    size_t n = 0;

    while (n < BATCH && manager_pop_change(all.manager, now, &c))
        batch[n++] = (struct bindstore_change){ .op = BINDSTORE_PUT,
                                                .row = { .subject = c.row.subject,
                                                         .kind = c.row.kind,
                                                         .answer = c.row.answer,
                                                         .seq = c.row.seq,
                                                         .expires_ms = 1,
                                                         .bytes = c.row.bytes,
                                                         .len = c.row.len } };
    return n == 0 || bindstore_submit(s, batch, n, c.number) == 0;
}

/* What is done; waits for it if `wait`. */
static bool take_done(struct bindstore *s, bool wait)
{
    struct pollfd p = { .fd = bindstore_fd(s), .events = POLLIN };
    struct bindstore_event e;

    if (poll(&p, 1, wait ? 10000 : 0) < 0 || (wait && !p.revents))
        return false;
    while (bindstore_pop(s, &e)) {
        for (size_t i = 0; i < e.count; i++)
            if (e.results[i].outcome != BINDSTORE_STORED && e.results[i].outcome != BINDSTORE_SAME)
                return false;
        manager_stored(all.manager, e.token);
    }
    return true;
}

/* Changes from..to, so many under way: seconds, or 0. */
static double run(struct bindstore *s, uint32_t from, uint32_t to, uint32_t under_way)
{
    uint32_t asked = from, durable = from;
    const double start = measure_now_s(CLOCK_MONOTONIC);

    while (durable < to) {
        const uint32_t at_once = asked - durable < EASY ? GIVE_AFTER : BATCH;

        for (uint32_t n = 0; n < at_once && asked < to && asked - durable < under_way; n++)
            if (!ask(asked++))
                return 0;
        if (!submit(s) || !take_done(s, asked == to || asked - durable == under_way))
            return 0;
        for (; durable < asked && numbers[durable] <= manager_durable(all.manager); durable++)
            waited_ms[durable] = (measure_now_s(CLOCK_MONOTONIC) - asked_at[durable]) * 1e3;
    }
    return measure_now_s(CLOCK_MONOTONIC) - start;
}

static double verified_per_s(void)
{
    const double start = measure_now_s(CLOCK_PROCESS_CPUTIME_ID);

    for (uint32_t i = 0; i < SIGNERS * 10; i++) {
        struct record_error why;
        struct record_bytes b;
        struct record r;

        if (record_decode(records[i], lens[i], &r, &b, &why) < 0 || record_verify(&b, all.keys[i % SIGNERS]) < 0)
            return 0;
    }
    return SIGNERS * 10 / (measure_now_s(CLOCK_PROCESS_CPUTIME_ID) - start);
}

int main(int argc, char **argv)
{
    struct bindstore *s;
    double full, easy, verified;
    struct prng p;
    struct rng rng;
    char err[256];

    if (argc != 2) {
        fprintf(stderr, "usage: bench-durable lmdb:FILE\n");
        return 2;
    }
    prng_init(&p, 1);
    rng = prng_rng(&p);
    if (bindstore_open(argv[1], NULL, &s, err, sizeof(err)) < 0) {
        fprintf(stderr, "bench-durable: %s\n", err);
        return 1;
    }
    if (!population_make(&all, NAMES, SIGNERS, NULL, true, &rng, now))
        return 1;
    for (uint32_t i = 0; i < CHANGES + EASY_CHANGES; i++) {
        lens[i] = population_bind(&all, i % SIGNERS, 2 + i, records[i], sizeof(records[i]));
        if (lens[i] == 0)
            return 1;
    }
    verified = verified_per_s();
    full = run(s, 0, CHANGES, UNDER_WAY);
    easy = run(s, CHANGES, CHANGES + EASY_CHANGES, EASY);
    bindstore_close(s);
    population_free(&all);
    if (full == 0 || easy == 0 || verified == 0)
        return 1;
    printf("{\"durable\":%.0f,\"verified\":%.0f,\"wait_ms\":%.2f,\"wait_p99_ms\":%.2f}\n", CHANGES / full, verified,
           measure_quantile(waited_ms + CHANGES, EASY_CHANGES, 50),
           measure_quantile(waited_ms + CHANGES, EASY_CHANGES, 99));
    return 0;
}
