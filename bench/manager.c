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
#include "mapping/manager.h"

#include <stdio.h>
#include <time.h>

#define NAMES 333334u
#define ASKED 500000u
#define SIGNED 10000u
#define SIGNERS 1000u
#define NOW_S 1750000000u
#define RAA TAG_RAA(9)

static uint8_t root_seed[32] = { 1 }, root_key[32];
static struct tag root_tag, *tags;
static uint8_t (*keys)[32];
static struct manager *m;
static uint8_t out[MAPPING_BYTES_MAX], request[4096];
static instant now = 1000 * SEC;

static double cpu_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void name_of(uint32_t i, char name[64])
{
    snprintf(name, 64, "host%07u.h.rid.example", i);
}

/* Seeds are only those of the hosts that sign; all other keys are numbers, which the table does not mind. */
static void seed_of(uint32_t i, uint8_t seed[32])
{
    memset(seed, 0, 32);
    put_be32(seed, i + 1);
}

static bool take(const struct record *r)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    struct record_error why;
    size_t len;

    return record_encode(r, root_seed, bytes, sizeof(bytes), &len) == 0 && manager_take(m, bytes, len, now, &why) == 0;
}

/* Where a field stands in a record. */
static uint8_t *place_of(uint8_t *bytes, size_t len, const void *field, size_t field_len)
{
    return memmem(bytes, len, field, field_len);
}

/* Registrations are one record, in which key, tag and name are written over: a manager does not verify its own log. */
static bool fill(void)
{
    struct record r = { .type = RECORD_REGISTRATION, .issuer = root_tag, .issued_s = NOW_S, .suites = 1, .seq = 2 };
    static const uint8_t binding[180] = { 0 };
    uint8_t bytes[RECORD_BYTES_MAX], *at_key, *at_tag, *at_name;
    struct record_error why;
    size_t len;

    memset(r.key, 7, 32);
    name_of(0, r.name);
    if (tag_make(r.key, RAA, TAG_HDA(TAG_TIER_HOST, 0), &r.subject) < 0 ||
        record_encode(&r, root_seed, bytes, sizeof(bytes), &len) < 0)
        return false;
    at_key = place_of(bytes, len, r.key, 32);
    at_tag = place_of(bytes, len, r.subject.bytes, 16);
    at_name = place_of(bytes, len, r.name, strlen(r.name));
    for (uint32_t i = 0; i < NAMES; i++) {
        uint8_t seed[32];
        char name[64];

        seed_of(i, seed);
        memcpy(keys[i], seed, 32);
        if ((i < SIGNERS && ed25519_public(seed, keys[i]) < 0) ||
            tag_make(keys[i], RAA, TAG_HDA(TAG_TIER_HOST, 0), &tags[i]) < 0)
            return false;
        name_of(i, name);
        memcpy(at_key, keys[i], 32);
        memcpy(at_tag, tags[i].bytes, 16);
        memcpy(at_name, name, strlen(name));
        if (manager_take(m, bytes, len, now, &why) < 0)
            return false;
        for (uint8_t answer = CLASS_AGENT; answer <= CLASS_FULL; answer++)
            if (manager_load(m, &tags[i], KIND_HOST_LOCATOR, answer, 1, binding, sizeof(binding), now + 3600 * SEC,
                             now) < 0)
                return false;
    }
    return true;
}

static enum mapping_status ask(const uint8_t key[32], const struct mapping_request *r)
{
    struct manager_who who = { .peer = 1, .ed25519 = key };
    struct writer w = writer_init(request, sizeof(request));
    struct manager_reply reply;
    struct mapping_answer a;

    mapping_request_write(&w, r);
    manager_on_request(m, &who, request, writer_len(&w), now, NOW_S, out, &reply);
    return mapping_answer_read(out, reply.len, &a) < 0 ? MAPPING_UNKNOWN : a.status;
}

/* Lookups a second; prefix: before each name. */
static double lookups(struct prng *p, uint32_t asker, const char *prefix, enum mapping_status expected)
{
    double start = cpu_s();

    for (uint32_t i = 0; i < ASKED; i++) {
        char name[80];
        size_t at = (size_t)snprintf(name, sizeof(name), "%s", prefix);
        struct mapping_request r = { .type = MAPPING_RESOLVE, .kind = KIND_HOST_LOCATOR, .name = name };

        name_of((uint32_t)prng_below(p, NAMES), name + at);
        r.name_len = strlen(name);
        if (ask(keys[asker], &r) != expected)
            return 0;
    }
    return ASKED / (cpu_s() - start);
}

static double refreshes(struct prng *p)
{
    double start = cpu_s();

    for (uint32_t i = 0; i < ASKED; i++) {
        uint32_t n = (uint32_t)prng_below(p, NAMES);
        struct mapping_refresh one = { .subject = tags[n], .answer = CLASS_FULL, .seq = 1, .lease_s = 3600 };
        uint8_t item[64];
        struct writer w = writer_init(item, sizeof(item));
        struct mapping_request r = { .type = MAPPING_REFRESH };

        mapping_write_refresh(&w, &one);
        r.items = (struct mapping_list){ item, writer_len(&w), 1 };
        if (ask(keys[n], &r) != MAPPING_DONE)
            return 0;
    }
    return ASKED / (cpu_s() - start);
}

static double changes(double *ret_verified)
{
    uint8_t(*records)[256] = calloc(SIGNED, sizeof(*records));
    size_t *lens = calloc(SIGNED, sizeof(*lens));
    double start, spent = 0;
    bool ok = records && lens;

    for (uint32_t i = 0; ok && i < SIGNED; i++) {
        uint8_t seed[32];
        struct record r = { .type = RECORD_BINDING,
                            .issuer = tags[i % SIGNERS],
                            .subject = tags[i % SIGNERS],
                            .kind = KIND_HOST_LOCATOR,
                            .answer = CLASS_FULL,
                            .lease_s = 3600,
                            .seq = 2 + i,
                            .targets_count = 1 };

        r.targets[0] = (struct record_target){ .is_locator = true, .locator = { addr_v4(0xc0000201u), 4500 } };
        seed_of(i % SIGNERS, seed);
        ok = record_encode(&r, seed, records[i], sizeof(records[i]), &lens[i]) == 0;
    }
    start = cpu_s();
    for (uint32_t i = 0; ok && i < SIGNED; i++) {
        struct mapping_request r = { .type = MAPPING_REGISTER, .record = { records[i], lens[i] } };

        ok = ask(keys[i % SIGNERS], &r) == MAPPING_DONE;
    }
    spent = cpu_s() - start;
    start = cpu_s();
    for (uint32_t i = 0; ok && i < SIGNED; i++) {
        struct record_error why;
        struct record_bytes b;
        struct record r;

        ok = record_decode(records[i], lens[i], &r, &b, &why) == 0;
        ok = ok && record_verify(&b, keys[i % SIGNERS]) == 0;
    }
    *ret_verified = ok ? SIGNED / (cpu_s() - start) : 0;
    free(records);
    free(lens);
    return ok ? SIGNED / spent : 0;
}

int main(void)
{
    struct prng p;
    struct manager_options o = { .bindings_max = 4 * NAMES,
                                 .names_max = 2 * NAMES,
                                 .guests_max = 16,
                                 .subscriptions_max = 16,
                                 .log_max = 65536,
                                 .epoch = 1 };
    struct record r = { .type = RECORD_ROOT, .issued_s = NOW_S, .suites = 1, .seq = 1 };
    double found, denied, none, refresh, change, verified = 0;
    uint8_t bytes[RECORD_BYTES_MAX];
    struct manager_stats stats;
    struct record_error why;
    struct slice link = { .data = bytes };

    prng_init(&p, 1);
    o.rng = prng_rng(&p);
    m = manager_new(&o, now);
    tags = calloc(NAMES, sizeof(*tags));
    keys = calloc(NAMES, sizeof(*keys));
    if (!m || !tags || !keys || ed25519_public(root_seed, root_key) < 0 ||
        tag_make(root_key, RAA, TAG_HDA(TAG_TIER_SERVICE, 0), &root_tag) < 0)
        return 1;
    r.issuer = r.subject = root_tag;
    memcpy(r.key, root_key, 32);
    snprintf(r.name, sizeof(r.name), "rid.example");
    if (record_encode(&r, root_seed, bytes, sizeof(bytes), &link.len) < 0 ||
        manager_set_self(m, &link, 1, NOW_S, &why) < 0 || !fill())
        return 1;
    r = (struct record){ .type = RECORD_POLICY,
                         .issuer = root_tag,
                         .subject = root_tag,
                         .issued_s = NOW_S,
                         .seq = NAMES + 10,
                         .rules_count = 2 };
    r.rules[0] = (struct record_rule){ tag_prefix_of(&tags[1], 128), CLASS_DENY };
    r.rules[1] = (struct record_rule){ tag_prefix_of(&root_tag, 28), CLASS_FULL };
    if (!take(&r))
        return 1;
    found = lookups(&p, 0, "", MAPPING_FOUND);
    denied = lookups(&p, 1, "", MAPPING_NONE);
    none = lookups(&p, 1, "x", MAPPING_NONE);
    refresh = refreshes(&p);
    change = changes(&verified);
    manager_get_stats(m, &stats);
    printf("{\"bindings\":%u,\"found\":%.0f,\"denied\":%.0f,\"none\":%.0f,\"refresh\":%.0f,\"changes\":%.0f,"
           "\"verified\":%.0f}\n",
           stats.bindings_live, found, denied, none, refresh, change, verified);
    manager_free(m);
    free(tags);
    free(keys);
    return found > 0 && denied > 0 && none > 0 && refresh > 0 && change > 0 ? 0 : 1;
}
