/* tests/unit/realm_world.h - a root and a realm below it, as records: what tests of managers begin with. Keys are
 * Ed25519 seeds of one byte, by number. */
#pragma once

#include "mapping/manager.h"
#include "tests/unit/test.h"

#include <stdio.h>

#define RW_NOW_S 1750000000u
#define RW_RAA TAG_RAA(9)

enum rw_key { RW_ROOT = 1, RW_ACME, RW_LAPTOP, RW_PHONE, RW_GUEST, RW_STRANGER, RW_SPARE, RW_KEYS = 16 };

struct rw_blob {
    uint8_t bytes[RECORD_BYTES_MAX];
    size_t len;
};

struct rw {
    uint8_t seeds[RW_KEYS][32], keys[RW_KEYS][32];
    struct prng prng;
    struct rng rng;
    uint64_t seq;
    struct rw_blob root, acme; /* the root's record, the delegation of acme.rid.example, 0x100/4 */
};

static inline struct slice rw_slice(const struct rw_blob *b)
{
    return (struct slice){ b->bytes, b->len };
}

static inline struct tag rw_tag(const struct rw *w, int key, enum tag_tier tier, unsigned number)
{
    struct tag t;

    assert_int_equal(tag_make(w->keys[key], RW_RAA, TAG_HDA(tier, number), &t), 0);
    return t;
}

static inline void rw_sign(const struct rw *w, const struct record *r, int by, struct rw_blob *ret)
{
    assert_int_equal(record_encode(r, w->seeds[by], ret->bytes, sizeof(ret->bytes), &ret->len), 0);
}

static inline void rw_init(struct rw *w)
{
    struct record r = { .type = RECORD_ROOT, .issued_s = RW_NOW_S - 1000, .suites = 1, .seq = 1 };

    *w = (struct rw){ .seq = 1 };
    for (int i = 0; i < RW_KEYS; i++) {
        memset(w->seeds[i], i, 32);
        assert_int_equal(ed25519_public(w->seeds[i], w->keys[i]), 0);
    }
    prng_init(&w->prng, 7);
    w->rng = prng_rng(&w->prng);
    r.issuer = r.subject = rw_tag(w, RW_ROOT, TAG_TIER_SERVICE, 0);
    memcpy(r.key, w->keys[RW_ROOT], 32);
    snprintf(r.name, sizeof(r.name), "rid.example");
    rw_sign(w, &r, RW_ROOT, &w->root);
    r.type = RECORD_DELEGATION;
    r.subject = rw_tag(w, RW_ACME, TAG_TIER_SERVICE, 0x100);
    memcpy(r.key, w->keys[RW_ACME], 32);
    snprintf(r.name, sizeof(r.name), "acme.rid.example");
    r.range = (struct realm_range){ 0x100, 4 };
    r.tiers = 15;
    r.not_after_s = RW_NOW_S + 1000000;
    r.suites = 0;
    rw_sign(w, &r, RW_ROOT, &w->acme);
}

/* name is whole; by a realm of that number. */
static inline void rw_register(struct rw *w, int realm, unsigned number, int key, enum tag_tier tier, const char *name,
                               struct rw_blob *ret)
{
    struct record r = { .type = RECORD_REGISTRATION,
                        .issuer = rw_tag(w, realm, TAG_TIER_SERVICE, number),
                        .subject = rw_tag(w, key, tier, number),
                        .issued_s = RW_NOW_S - 1000,
                        .suites = 1,
                        .seq = ++w->seq };

    memcpy(r.key, w->keys[key], 32);
    snprintf(r.name, sizeof(r.name), "%s", name);
    rw_sign(w, &r, realm, ret);
}

/* A binding of a host at 192.0.2.N, signed by `by` in the name of its tag. */
static inline void rw_bind(const struct rw *w, const struct tag *issuer, int by, const struct tag *subject,
                           uint8_t kind, uint8_t answer, uint64_t seq, uint32_t lease_s, uint8_t n, struct rw_blob *ret)
{
    struct record r = { .type = RECORD_BINDING,
                        .issuer = *issuer,
                        .subject = *subject,
                        .seq = seq,
                        .kind = kind,
                        .lease_s = lease_s,
                        .answer = answer,
                        .targets_count = 1 };

    r.targets[0] = (struct record_target){ .is_locator = true, .locator = { addr_v4(0xc0000200u + n), 4500 } };
    rw_sign(w, &r, by, ret);
}

static inline void rw_policy(const struct rw *w, const struct tag *issuer, int by, const struct tag *subject,
                             uint64_t seq, const char *prefix, enum record_class answer, struct rw_blob *ret)
{
    struct record r = { .type = RECORD_POLICY,
                        .issuer = *issuer,
                        .subject = *subject,
                        .seq = seq,
                        .issued_s = RW_NOW_S,
                        .rules_count = prefix ? 1 : 0 };

    if (prefix)
        assert_int_equal(tag_prefix_parse(prefix, &r.rules[0].who), 0);
    r.rules[0].answer = (uint8_t)answer;
    rw_sign(w, &r, by, ret);
}
