/* bench/push.c - how soon a move is known to who subscribes: at the manager that it is told to, and at one two levels
 * further, each of which follows the one before it.
 *
 *   host --REGISTER--> manager --NOTIFY--> follower --NOTIFY--> follower --NOTIFY--> who subscribes
 *
 * MOVES moves of SIGNERS hosts that move often, in a realm of NAMES hosts with three bindings each. All requests and
 * notices are bytes, made and read as by daemons; from the request until the notice was read, by the wall clock: what
 * it takes beside the network, to which the round trips come. Prints one object of JSON.
 *
 * Limits: one process, so one level works at a time; no sockets, no seals (bench/exchange.c), no other load. */
#include "bench/measure.h"
#include "bench/population.h"

#include <stdio.h>
#include <time.h>

#define NAMES 100000u
#define SIGNERS 200u
#define MOVES 10000u
#define LEVELS 3

static struct population all;
static struct manager *managers[LEVELS];  /* [0] is that of the population */
static struct follower followers[LEVELS]; /* of the level below */
static uint8_t out[MAPPING_BYTES_MAX];
static instant now = 1000 * SEC;

enum { PEER_FOLLOWS = 1, PEER_SUBSCRIBES, PEER_MOVES };

static bool ask(struct manager *m, uint64_t peer, const uint8_t key[32], const uint8_t *request, size_t len,
                struct mapping_answer *ret, size_t *ret_len)
{
    const struct manager_who who = { .peer = peer, .ed25519 = key };
    struct manager_reply reply;

    manager_on_request(m, &who, request, len, now, POPULATION_WALL_S, out, &reply);
    *ret_len = reply.len;
    return mapping_answer_read(out, reply.len, ret) == 0;
}

static void take_in(uint32_t level)
{
    struct follower_change c;

    while (follower_pop(&followers[level], now, &c))
        manager_followed(managers[level], &c, now);
    manager_set_behind(managers[level], follower_behind(&followers[level], now));
}

/* Asks until it has all. */
static bool catch_up(uint32_t level)
{
    uint8_t request[FOLLOWER_REQUEST_MAX];
    struct mapping_answer a;
    size_t len;

    while ((len = follower_output(&followers[level], now, request)) > 0) {
        if (!ask(managers[level - 1], PEER_FOLLOWS, all.keys[0], request, len, &a, &len) || a.status != MAPPING_PAGE)
            return false;
        follower_on_answer(&followers[level], out, len, now);
        take_in(level);
    }
    return followers[level].as_of != INSTANT_NEVER;
}

/* Who asks for all that the manager of a level knows. */
static bool subscribe(uint32_t level)
{
    struct mapping_request r = { .type = MAPPING_SUBSCRIBE,
                                 .lease_s = 3600,
                                 .prefix = tag_prefix_of(&all.tags[0], 28) };
    uint8_t request[256];
    struct mapping_answer a = { 0 };
    size_t len;

    do {
        struct writer w = writer_init(request, sizeof(request));

        r.epoch = a.epoch;
        r.from = a.to;
        r.position = a.position;
        mapping_request_write(&w, &r);
        if (!ask(managers[level], PEER_SUBSCRIBES, all.keys[2], request, writer_len(&w), &a, &len) ||
            a.status != MAPPING_PAGE)
            return false;
    } while (!(a.flags & MAPPING_CAUGHT_UP));
    return true;
}

/* All notices of a level, to who follows and to who subscribes; whether the latter was told. */
static bool tell(uint32_t level)
{
    static uint8_t notice[MAPPING_BYTES_MAX], answer[FOLLOWER_REQUEST_MAX];
    struct manager_notice n;
    struct mapping_request r;
    bool told = false;

    while (manager_pop_notice(managers[level], now, POPULATION_WALL_S, notice, &n)) {
        struct mapping_answer a = { .status = MAPPING_DONE, .epoch = 1 };
        struct writer w = writer_init(answer, sizeof(answer));
        size_t len;

        if (mapping_request_read(notice, n.len, &r) < 0 || r.flags & MAPPING_LOST)
            return false;
        a.to = r.to;
        mapping_answer_write(&w, &a);
        len = writer_len(&w);
        if (n.peer == PEER_FOLLOWS) {
            len = follower_on_notice(&followers[level + 1], &r, now, answer);
            take_in(level + 1);
        } else {
            told = r.items.count > 0;
        }
        manager_on_told(managers[level], n.id, answer, len, now);
    }
    return told;
}

static bool set_up(const struct rng *rng)
{
    if (!population_make(&all, NAMES, SIGNERS, NULL, false, rng, now))
        return false;
    managers[0] = all.manager;
    for (uint32_t level = 1; level < LEVELS; level++) {
        const struct tag_prefix prefix = tag_prefix_of(&all.tags[0], 28);

        managers[level] = population_follower(&all, rng, now);
        if (!managers[level])
            return false;
        follower_init(&followers[level], manager_bindings(managers[level]), &prefix, FOLLOWER_PUSH, 0, now);
        if (!catch_up(level))
            return false;
    }
    return subscribe(0) && subscribe(LEVELS - 1);
}

/* A move of one host: how long until it was read at the first level, and at the last. */
static bool move(uint32_t host, uint64_t seq, double *ret_one_ms, double *ret_all_ms)
{
    uint8_t record[256], request[512];
    struct mapping_request r = { .type = MAPPING_REGISTER, .record = { record, 0 } };
    struct writer w = writer_init(request, sizeof(request));
    struct mapping_answer a;
    double start;
    size_t len;
    bool told;

    now += MSEC;
    r.record.len = population_bind(&all, host, seq, record, sizeof(record));
    mapping_request_write(&w, &r);
    start = measure_now_s(CLOCK_MONOTONIC);
    if (!ask(managers[0], PEER_MOVES, all.keys[host], request, writer_len(&w), &a, &len) || a.status != MAPPING_DONE)
        return false;
    told = tell(0);
    *ret_one_ms = (measure_now_s(CLOCK_MONOTONIC) - start) * 1e3;
    for (uint32_t level = 1; level < LEVELS; level++)
        told = (level < LEVELS - 1 || told) && (tell(level) || level < LEVELS - 1);
    *ret_all_ms = (measure_now_s(CLOCK_MONOTONIC) - start) * 1e3;
    return told;
}

int main(void)
{
    static double one_ms[MOVES], all_ms[MOVES];
    struct prng p;
    struct rng rng;
    uint64_t seq = 2;
    double ignored;

    prng_init(&p, 1);
    rng = prng_rng(&p);
    if (!set_up(&rng))
        return 1;
    /* Who has moved twice within a minute moves often. */
    for (uint32_t i = 0; i < 2 * SIGNERS; i++)
        (void)move(i % SIGNERS, seq++, &ignored, &ignored);
    for (uint32_t i = 0; i < MOVES; i++)
        if (!move(i % SIGNERS, seq++, &one_ms[i], &all_ms[i]))
            return 1;
    printf("{\"one_ms\":%.3f,\"one_p99_ms\":%.3f,", measure_quantile(one_ms, MOVES, 50),
           measure_quantile(one_ms, MOVES, 99));
    printf("\"levels_ms\":%.3f,\"levels_p99_ms\":%.3f}\n", measure_quantile(all_ms, MOVES, 50),
           measure_quantile(all_ms, MOVES, 99));
    for (uint32_t level = 1; level < LEVELS; level++)
        manager_free(managers[level]);
    population_free(&all);
    return 0;
}
