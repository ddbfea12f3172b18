/* bench/population.c - see population.h. Registrations are one record, in which key, tag and name are written over. */
#include "bench/population.h"

#include <stdio.h>

#define RAA TAG_RAA(9)
#define LEASE (3600 * SEC)
#define BINDING_LEN 180 /* one of four locators, signed */

static const uint8_t root_seed[32] = { 1 };

void population_name(uint32_t i, char name[POPULATION_NAME_SIZE])
{
    snprintf(name, POPULATION_NAME_SIZE, "host%07u.h.rid.example", i);
}

void population_seed(uint32_t i, uint8_t seed[32])
{
    memset(seed, 0, 32);
    put_be32(seed, i + 1);
}

static bool make_root(struct manager *m, struct tag *ret)
{
    struct record r = { .type = RECORD_ROOT, .issued_s = POPULATION_WALL_S, .suites = 1, .seq = 1 };
    uint8_t bytes[RECORD_BYTES_MAX];
    struct record_error why;
    struct slice link = { .data = bytes };

    if (ed25519_public(root_seed, r.key) < 0 || tag_make(r.key, RAA, TAG_HDA(TAG_TIER_SERVICE, 0), ret) < 0)
        return false;
    r.issuer = r.subject = *ret;
    snprintf(r.name, sizeof(r.name), "rid.example");
    return record_encode(&r, root_seed, bytes, sizeof(bytes), &link.len) == 0 &&
           manager_set_self(m, &link, 1, POPULATION_WALL_S, &why) == 0;
}

static bool make_key(struct population *p, uint32_t i, uint32_t signers, const uint8_t *first_key)
{
    uint8_t seed[32];

    population_seed(i, seed);
    memcpy(p->keys[i], seed, sizeof(seed));
    if (i == 0 && first_key)
        memcpy(p->keys[i], first_key, 32);
    else if (i < signers && ed25519_public(seed, p->keys[i]) < 0)
        return false;
    return tag_make(p->keys[i], RAA, TAG_HDA(TAG_TIER_HOST, 0), &p->tags[i]) == 0;
}

/* Enrols all of them, and binds them if `bound`. */
static bool fill(const struct population *p, struct manager *m, const struct tag *root, bool bound, instant now)
{
    struct record r = {
        .type = RECORD_REGISTRATION, .issuer = *root, .issued_s = POPULATION_WALL_S, .suites = 1, .seq = 2
    };
    static const uint8_t binding[BINDING_LEN] = { 0 };
    uint8_t bytes[RECORD_BYTES_MAX], *at_key, *at_tag, *at_name;
    char name[POPULATION_NAME_SIZE];
    struct record_error why;
    size_t len;

    memset(r.key, 7, sizeof(r.key));
    population_name(0, name);
    snprintf(r.name, sizeof(r.name), "%s", name);
    if (tag_make(r.key, RAA, TAG_HDA(TAG_TIER_HOST, 0), &r.subject) < 0 ||
        record_encode(&r, root_seed, bytes, sizeof(bytes), &len) < 0)
        return false;
    at_key = memmem(bytes, len, r.key, sizeof(r.key));
    at_tag = memmem(bytes, len, r.subject.bytes, sizeof(r.subject.bytes));
    at_name = memmem(bytes, len, r.name, strlen(r.name));
    for (uint32_t i = 0; i < p->names; i++) {
        population_name(i, name);
        memcpy(at_key, p->keys[i], 32);
        memcpy(at_tag, p->tags[i].bytes, sizeof(p->tags[i].bytes));
        memcpy(at_name, name, strlen(name));
        if (manager_take(m, bytes, len, now, &why) < 0)
            return false;
        for (uint8_t answer = CLASS_AGENT; bound && answer <= CLASS_FULL; answer++)
            if (manager_load(m, &p->tags[i], KIND_HOST_LOCATOR, answer, 1, binding, sizeof(binding), now + LEASE, now) <
                0)
                return false;
    }
    return true;
}

static bool make_policy(const struct population *p, struct manager *m, const struct tag *root, instant now)
{
    struct record r = { .type = RECORD_POLICY,
                        .issuer = *root,
                        .subject = *root,
                        .issued_s = POPULATION_WALL_S,
                        .seq = p->names + 10,
                        .rules_count = 2 };
    uint8_t bytes[RECORD_BYTES_MAX];
    struct record_error why;
    size_t len;

    r.rules[0] = (struct record_rule){ tag_prefix_of(&p->tags[1], 128), CLASS_DENY };
    r.rules[1] = (struct record_rule){ tag_prefix_of(root, 28), CLASS_FULL };
    return record_encode(&r, root_seed, bytes, sizeof(bytes), &len) == 0 && manager_take(m, bytes, len, now, &why) == 0;
}

static struct manager *make_manager(const struct population *p, bool bound, bool stores, const struct rng *rng,
                                    instant now)
{
    const struct manager_options o = { .rng = *rng,
                                       .bindings_max = 4 * p->names,
                                       .names_max = 2 * p->names,
                                       .guests_max = 16,
                                       .subscriptions_max = 16,
                                       .log_max = 65536,
                                       .epoch = 1,
                                       .stores = stores,
                                       .follows = !bound };
    struct manager *m = manager_new(&o, now);
    struct tag root;

    if (m && make_root(m, &root) && fill(p, m, &root, bound, now) && make_policy(p, m, &root, now))
        return m;
    manager_free(m);
    return NULL;
}

bool population_make(struct population *p, uint32_t names, uint32_t signers, const uint8_t *first_key, bool stores,
                     const struct rng *rng, instant now)
{
    *p = (struct population){ .names = names, .signers = signers };
    p->tags = calloc(names, sizeof(*p->tags));
    p->keys = calloc(names, sizeof(*p->keys));
    if (!p->tags || !p->keys)
        return false;
    for (uint32_t i = 0; i < names; i++)
        if (!make_key(p, i, signers, first_key))
            return false;
    p->manager = make_manager(p, true, stores, rng, now);
    return p->manager != NULL;
}

struct manager *population_follower(const struct population *p, const struct rng *rng, instant now)
{
    return make_manager(p, false, false, rng, now);
}

size_t population_bind(const struct population *p, uint32_t i, uint64_t seq, uint8_t *out, size_t size)
{
    struct record r = { .type = RECORD_BINDING,
                        .issuer = p->tags[i],
                        .subject = p->tags[i],
                        .kind = KIND_HOST_LOCATOR,
                        .answer = CLASS_FULL,
                        .lease_s = 3600,
                        .seq = seq,
                        .targets_count = 1 };
    uint8_t seed[32];
    size_t len;

    r.targets[0] = (struct record_target){ .is_locator = true, .locator = { addr_v4(0xc0000201u), 4500 } };
    population_seed(i, seed);
    return record_encode(&r, seed, out, size, &len) == 0 ? len : 0;
}

void population_free(struct population *p)
{
    manager_free(p->manager);
    free(p->tags);
    free(p->keys);
}
