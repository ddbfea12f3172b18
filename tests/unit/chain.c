/* Unit tests of ident/chain.h: a small tree of realms, and each way in which a chain of it can be wrong. */
#include "ident/chain.h"
#include "tests/unit/hex.h"
#include "tests/unit/records.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

#define NOW 1750000000u
#define RAA TAG_RAA(9)

struct blob {
    uint8_t bytes[RECORD_BYTES_MAX];
    size_t len;
};

/* Keys by number, as in records.h. */
enum { ROOT = 1, REALM, HOST, USER, NEXT, SUB, OTHER, DEEP, NEW_ROOT };

static uint8_t seeds[16][32], keys[16][32];

static struct prng prng;
static struct rng test_rng;

static int set_up(void **state)
{
    for (int i = 0; i < 16; i++) {
        memset(seeds[i], i, 32);
        assert_int_equal(ed25519_public(seeds[i], keys[i]), 0);
    }
    prng_init(&prng, 1);
    test_rng = prng_rng(&prng);
    return 0;
}

static struct tag tag_of(int key, enum tag_tier tier, unsigned number)
{
    struct tag t;

    assert_int_equal(tag_make(keys[key], RAA, TAG_HDA(tier, number), &t), 0);
    return t;
}

static struct tag realm_tag_of(int key, unsigned number)
{
    return tag_of(key, TAG_TIER_SERVICE, number);
}

static void sign(struct record *r, int by, struct blob *ret)
{
    assert_int_equal(record_encode(r, seeds[by], ret->bytes, sizeof(ret->bytes), &ret->len), 0);
}

static struct record root_record(int key)
{
    struct record r = { .type = RECORD_ROOT,
                        .issuer = realm_tag_of(key, 0),
                        .subject = realm_tag_of(key, 0),
                        .seq = 1,
                        .issued_s = NOW,
                        .name = "example",
                        .suites = 3 };

    memcpy(r.key, keys[key], 32);
    return r;
}

static struct record delegation(struct tag issuer, int key, const char *name, unsigned number, unsigned bits)
{
    struct record r = { .type = RECORD_DELEGATION,
                        .issuer = issuer,
                        .subject = realm_tag_of(key, number),
                        .seq = 1,
                        .issued_s = NOW,
                        .not_after_s = NOW + 1000,
                        .range = { (uint16_t)number, (uint8_t)bits },
                        .tiers = 0x0f };

    memcpy(r.key, keys[key], 32);
    strcpy(r.name, name);
    return r;
}

static struct record registration(struct tag issuer, int key, enum tag_tier tier, unsigned number, const char *name)
{
    struct record r = { .type = RECORD_REGISTRATION,
                        .issuer = issuer,
                        .subject = tag_of(key, tier, number),
                        .seq = 1,
                        .issued_s = NOW,
                        .suites = 1 };

    memcpy(r.key, keys[key], 32);
    strcpy(r.name, name);
    return r;
}

/* The tree: example (all) -> acme.example (0x100/4) -> eng.acme.example (0x120/8) -> laptop.h.eng.acme.example. */
struct tree {
    struct record records[CHAIN_LINKS_MAX];
    struct blob blobs[CHAIN_LINKS_MAX];
};

static void tree_sign(struct tree *t)
{
    static const int by[CHAIN_LINKS_MAX] = { ROOT, ROOT, REALM, SUB };

    for (int i = 0; i < CHAIN_LINKS_MAX; i++)
        sign(&t->records[i], by[i], &t->blobs[i]);
}

static void tree_init(struct tree *t)
{
    t->records[0] = root_record(ROOT);
    t->records[1] = delegation(t->records[0].subject, REALM, "acme.example", 0x100, 4);
    t->records[2] = delegation(t->records[1].subject, SUB, "eng.acme.example", 0x120, 8);
    t->records[3] = registration(t->records[2].subject, HOST, TAG_TIER_HOST, 0x120, "laptop.h.eng.acme.example");
    tree_sign(t);
}

static struct trust *trust_of(int root, uint32_t facts_max)
{
    struct trust *t =
        trust_new(keys[root], &(struct trust_options){ .cached_max = 16, .facts_max = facts_max, .rng = &test_rng });

    assert_non_null(t);
    return t;
}

static int verify_at(struct trust *t, const struct tree *tree, size_t links, uint64_t now, struct chain_end *end,
                     struct record_error *e)
{
    struct slice s[CHAIN_LINKS_MAX + 1];

    for (size_t i = 0; i < links; i++)
        s[i] = (struct slice){ tree->blobs[i % CHAIN_LINKS_MAX].bytes, tree->blobs[i % CHAIN_LINKS_MAX].len };
    memset(e, 0, sizeof(*e));
    return trust_verify(t, s, links, now, end, e);
}

static void assert_refused(struct trust *t, const struct tree *tree, size_t links, uint64_t now,
                           enum record_fault fault, unsigned link)
{
    char text[RECORD_ERROR_STRLEN];
    struct trust_stats before, after;
    struct record_error e;
    struct chain_end end;

    trust_get_stats(t, &before);
    assert_int_equal(verify_at(t, tree, links, now, &end, &e), -EBADMSG);
    if (e.fault != fault || e.link != link)
        fail_msg("link %u: %s; expected %s of link %u", e.link, record_error_format(&e, text), record_fault_name(fault),
                 link);
    trust_get_stats(t, &after);
    assert_int_equal(after.refused[fault], before.refused[fault] + 1);
}

static void test_good(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    struct trust_stats stats;
    struct record_error e;
    struct chain_end end;
    struct tree tree;

    tree_init(&tree);
    assert_int_equal(verify_at(t, &tree, 4, NOW, &end, &e), 0);
    assert_true(tag_equal(&end.tag, &tree.records[3].subject));
    assert_memory_equal(end.key, keys[HOST], 32);
    assert_string_equal(end.name, "laptop.h.eng.acme.example");
    assert_false(end.is_realm);
    assert_int_equal(end.not_after_s, NOW + 1000);
    trust_get_stats(t, &stats);
    assert_int_equal(stats.verified, 4);
    /* Warm: no signature is computed. */
    assert_int_equal(verify_at(t, &tree, 4, NOW, &end, &e), 0);
    trust_get_stats(t, &stats);
    assert_int_equal(stats.verified, 4);
    assert_int_equal(stats.cached, 4);
    assert_int_equal(verify_at(t, &tree, 3, NOW, &end, &e), 0);
    assert_true(end.is_realm);
    assert_int_equal(end.range.number, 0x120);
    assert_int_equal(verify_at(t, &tree, 1, NOW, &end, &e), 0);
    assert_int_equal(end.not_after_s, 0);
    trust_free(t);
}

static void test_shape(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    struct tree tree, other;

    tree_init(&tree);
    assert_refused(t, &tree, 0, NOW, RECORD_BROKEN_CHAIN, 0);
    assert_refused(t, &tree, 5, NOW, RECORD_TOO_LONG_CHAIN, 4);
    other = tree;
    other.blobs[0] = tree.blobs[1]; /* no root at the top */
    assert_refused(t, &other, 2, NOW, RECORD_BROKEN_CHAIN, 0);
    other = tree;
    other.blobs[1] = tree.blobs[2]; /* a link left out */
    assert_refused(t, &other, 2, NOW, RECORD_BROKEN_CHAIN, 1);
    other = tree;
    other.blobs[1] = tree.blobs[0]; /* a root below a root */
    assert_refused(t, &other, 2, NOW, RECORD_BROKEN_CHAIN, 1);
    other = tree;
    other.records[3] = registration(other.records[0].subject, HOST, TAG_TIER_HOST, 0, "pc.h.example");
    sign(&other.records[3], ROOT, &other.blobs[1]);
    sign(&other.records[3], ROOT, &other.blobs[2]); /* something below an entity */
    assert_refused(t, &other, 3, NOW, RECORD_BROKEN_CHAIN, 2);
    trust_free(t);
    t = trust_of(OTHER, 64);
    assert_refused(t, &tree, 4, NOW, RECORD_FOREIGN_ROOT, 0);
    trust_free(t);
}

static void test_signature(void **state)
{
    for (size_t i = 0; i < CHAIN_LINKS_MAX; i++) {
        struct trust *t = trust_of(ROOT, 64);
        struct trust_stats stats;
        struct tree tree;

        tree_init(&tree);
        tree.blobs[i].bytes[tree.blobs[i].len - 40] ^= 1;
        assert_refused(t, &tree, 4, NOW, RECORD_SIGNATURE, (unsigned)i);
        trust_get_stats(t, &stats);
        assert_int_equal(stats.facts, 0); /* nothing of it is believed */
        tree_init(&tree);
        sign(&tree.records[i], OTHER, &tree.blobs[i]);
        assert_refused(t, &tree, 4, NOW, RECORD_SIGNATURE, (unsigned)i);
        tree.blobs[i].bytes[8] = 0xbf;
        assert_refused(t, &tree, 4, NOW, RECORD_NOT_CBOR, (unsigned)i);
        trust_free(t);
    }
}

/* What is not its issuer's to give. */
static void test_foreign(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    struct tree tree;

#define WITH(i, by, change, fault)                                                                                     \
    do {                                                                                                               \
        tree_init(&tree);                                                                                              \
        change;                                                                                                        \
        sign(&tree.records[i], by, &tree.blobs[i]);                                                                    \
        assert_refused(t, &tree, (i) + 1, NOW, fault, i);                                                              \
    } while (0)

    WITH(2, REALM, tree.records[2] = delegation(tree.records[1].subject, SUB, "eng.acme.example", 0x220, 8),
         RECORD_FOREIGN_PREFIX);
    WITH(2, REALM, tree.records[2] = delegation(tree.records[1].subject, SUB, "eng.acme.example", 0x100, 8),
         RECORD_FOREIGN_PREFIX);
    WITH(2, REALM, tree.records[2] = delegation(tree.records[1].subject, SUB, "eng.acme.example", 0x100, 4),
         RECORD_FOREIGN_PREFIX);
    WITH(3, SUB,
         tree.records[3] =
             registration(tree.records[2].subject, HOST, TAG_TIER_HOST, 0x130, "laptop.h.eng.acme.example"),
         RECORD_FOREIGN_PREFIX);
    WITH(3, SUB,
         tree.records[3] =
             registration(tree.records[2].subject, HOST, TAG_TIER_HOST, 0x121, "laptop.h.eng.acme.example"),
         RECORD_FOREIGN_PREFIX);
    WITH(3, SUB,
         tree.records[3] = registration(tree.records[2].subject, HOST, TAG_TIER_HOST, 0, "laptop.h.eng.acme.example"),
         RECORD_FOREIGN_PREFIX);
    WITH(3, SUB,
         assert_int_equal(tag_make(keys[HOST], RAA + 1, TAG_HDA(TAG_TIER_HOST, 0x120), &tree.records[3].subject), 0),
         RECORD_FOREIGN_PREFIX);
    WITH(2, REALM, strcpy(tree.records[2].name, "eng.example"), RECORD_FOREIGN_NAME);
    WITH(2, REALM, strcpy(tree.records[2].name, "a.eng.acme.example"), RECORD_FOREIGN_NAME);
    WITH(2, REALM, strcpy(tree.records[2].name, "acme.example"), RECORD_FOREIGN_NAME);
    WITH(3, SUB, strcpy(tree.records[3].name, "laptop.h.acme.example"), RECORD_FOREIGN_NAME);
    WITH(3, SUB, strcpy(tree.records[3].name, "laptop.h.ops.eng.acme.example"), RECORD_FOREIGN_NAME);
    /* Tiers: the sub-realm has no more than the realm, and enrols in no other. */
    tree_init(&tree);
    tree.records[1].tiers = 1u << TAG_TIER_HOST;
    tree.records[2].tiers = 1u << TAG_TIER_HOST | 1u << TAG_TIER_USER;
    tree_sign(&tree);
    assert_refused(t, &tree, 3, NOW, RECORD_FOREIGN_PREFIX, 2);
    tree.records[2].tiers = 1u << TAG_TIER_HOST;
    tree.records[3] = registration(tree.records[2].subject, USER, TAG_TIER_USER, 0x120, "ann.u.eng.acme.example");
    tree_sign(&tree);
    assert_refused(t, &tree, 4, NOW, RECORD_FOREIGN_PREFIX, 3);
    trust_free(t);
}

static void test_time(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    struct record_error e;
    struct chain_end end;
    struct tree tree;

    tree_init(&tree);
    assert_int_equal(verify_at(t, &tree, 4, NOW + 1000, &end, &e), 0);
    assert_refused(t, &tree, 4, NOW + 1001, RECORD_EXPIRED, 1);
    tree.records[1].not_after_s = NOW + 9000;
    tree.records[3].not_after_s = NOW + 500;
    tree_sign(&tree);
    assert_int_equal(verify_at(t, &tree, 4, NOW + 500, &end, &e), 0);
    assert_int_equal(end.not_after_s, NOW + 500);
    assert_refused(t, &tree, 4, NOW + 501, RECORD_EXPIRED, 3);
    assert_refused(t, &tree, 4, NOW + 1001, RECORD_EXPIRED, 2);
    trust_free(t);
}

/* Without a clock: the root's own newest word is a lower bound, and no realm's is. */
static void test_no_clock(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    struct record_error e;
    struct chain_end end;
    struct tree tree, later;

    tree_init(&tree);
    assert_int_equal(verify_at(t, &tree, 4, 0, &end, &e), 0);
    assert_int_equal(trust_time_floor(t), NOW);
    later = tree;
    later.records[3].issued_s = NOW + 100000; /* its realm's clock is wrong, or it lies */
    later.records[3].seq = 2;
    tree_sign(&later);
    assert_int_equal(verify_at(t, &later, 4, 0, &end, &e), 0);
    assert_int_equal(trust_time_floor(t), NOW);
    later.records[1] = delegation(tree.records[0].subject, OTHER, "other.example", 0x200, 4);
    later.records[1].issued_s = NOW + 1001;
    later.records[1].not_after_s = NOW + 5000;
    sign(&later.records[1], ROOT, &later.blobs[1]);
    assert_int_equal(verify_at(t, &later, 2, 0, &end, &e), 0);
    assert_int_equal(trust_time_floor(t), NOW + 1001);
    assert_refused(t, &tree, 4, 0, RECORD_EXPIRED, 1);
    trust_free(t);
}

static void test_sequence(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    struct record_error e;
    struct chain_end end;
    struct tree old, newer;

    tree_init(&old);
    newer = old;
    newer.records[3].seq = 1ull << 32; /* another boot */
    tree_sign(&newer);
    assert_int_equal(verify_at(t, &old, 4, NOW, &end, &e), 0);
    assert_int_equal(verify_at(t, &newer, 4, NOW, &end, &e), 0);
    assert_refused(t, &old, 4, NOW, RECORD_OLDER_SEQUENCE, 3);
    assert_int_equal(verify_at(t, &newer, 4, NOW, &end, &e), 0);
    /* Of one that is refused nothing is learned. */
    old.records[3].seq = 1ull << 33;
    old.records[3].not_after_s = NOW + 1;
    tree_sign(&old);
    assert_refused(t, &old, 4, NOW + 2, RECORD_EXPIRED, 3);
    assert_int_equal(verify_at(t, &newer, 4, NOW, &end, &e), 0);
    trust_free(t);
}

static void realm_end(struct trust *t, const struct tree *tree, size_t links, struct chain_end *end)
{
    struct record_error e;

    assert_int_equal(verify_at(t, tree, links, NOW, end, &e), 0);
}

static int revoke(struct trust *t, const struct chain_end *issuer, int by, struct tag subject, struct record_error *e)
{
    struct record r = {
        .type = RECORD_REVOCATION, .issuer = issuer->tag, .subject = subject, .seq = 9, .issued_s = NOW
    };
    struct blob b;

    sign(&r, by, &b);
    memset(e, 0, sizeof(*e));
    return trust_apply(t, issuer, b.bytes, b.len, e);
}

static void test_revocation(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    struct chain_end root, realm, sub, host;
    struct record_error e;
    struct tree tree, other;

    tree_init(&tree);
    realm_end(t, &tree, 1, &root);
    realm_end(t, &tree, 2, &realm);
    realm_end(t, &tree, 3, &sub);
    realm_end(t, &tree, 4, &host);
    /* Who may not: another's key, a realm below, another realm, a host of its realm. */
    assert_int_equal(revoke(t, &realm, OTHER, host.tag, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_SIGNATURE);
    assert_int_equal(revoke(t, &sub, SUB, realm.tag, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_NOT_AUTHORISED);
    assert_int_equal(revoke(t, &host, HOST, sub.tag, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_NOT_AUTHORISED);
    assert_int_equal(revoke(t, &realm, REALM, root.tag, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_NOT_AUTHORISED);
    other = tree;
    other.records[1] = delegation(tree.records[0].subject, OTHER, "other.example", 0x200, 4);
    sign(&other.records[1], ROOT, &other.blobs[1]);
    realm_end(t, &other, 2, &realm);
    assert_int_equal(revoke(t, &realm, OTHER, host.tag, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_NOT_AUTHORISED);
    assert_false(trust_is_revoked(t, &host.tag));
    /* Its realm may; then it is refused for ever, a newer registration too, and its word is no longer taken. */
    assert_int_equal(revoke(t, &sub, SUB, host.tag, &e), 0);
    assert_int_equal(revoke(t, &sub, SUB, host.tag, &e), 0);
    assert_true(trust_is_revoked(t, &host.tag));
    assert_refused(t, &tree, 4, NOW, RECORD_REVOKED, 3);
    tree.records[3].seq = 1ull << 40;
    tree_sign(&tree);
    assert_refused(t, &tree, 4, NOW, RECORD_REVOKED, 3);
    realm_end(t, &tree, 3, &sub);
    /* A realm that is revoked takes all below with it: by itself, signed before. */
    assert_int_equal(revoke(t, &sub, SUB, sub.tag, &e), 0);
    assert_refused(t, &tree, 4, NOW, RECORD_REVOKED, 2);
    realm_end(t, &tree, 2, &realm);
    trust_free(t);
}

static void succession(struct record *r, struct tag issuer, int from, int to, enum tag_tier tier, unsigned number)
{
    *r = (struct record){ .type = RECORD_SUCCESSOR,
                          .issuer = issuer,
                          .subject = tag_of(from, tier, number),
                          .next = tag_of(to, tier, number),
                          .seq = 7,
                          .issued_s = NOW,
                          .not_after_s = NOW + 100 };
    memcpy(r->old_key, keys[from], 32);
    memcpy(r->key, keys[to], 32);
    assert_int_equal(successor_prove(r, seeds[from], r->old_proof), 0);
    assert_int_equal(successor_prove(r, seeds[to], r->new_proof), 0);
}

static int apply(struct trust *t, const struct chain_end *issuer, int by, struct record *r, struct record_error *e)
{
    struct blob b;

    sign(r, by, &b);
    memset(e, 0, sizeof(*e));
    return trust_apply(t, issuer, b.bytes, b.len, e);
}

static void test_successor(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    struct chain_end realm, sub, host;
    struct record_error e;
    struct record r;
    struct tree tree, next;
    struct tag now;

    tree_init(&tree);
    realm_end(t, &tree, 2, &realm);
    realm_end(t, &tree, 3, &sub);
    realm_end(t, &tree, 4, &host);
    /* The holder alone cannot, nor can its realm without the holder. */
    succession(&r, host.tag, HOST, NEXT, TAG_TIER_HOST, 0x120);
    assert_int_equal(apply(t, &host, HOST, &r, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_NOT_AUTHORISED);
    succession(&r, sub.tag, HOST, NEXT, TAG_TIER_HOST, 0x120);
    r.old_proof[5] ^= 1;
    assert_int_equal(apply(t, &sub, SUB, &r, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_SIGNATURE);
    succession(&r, sub.tag, HOST, NEXT, TAG_TIER_HOST, 0x120);
    r.new_proof[5] ^= 1;
    assert_int_equal(apply(t, &sub, SUB, &r, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_SIGNATURE);
    now = trust_current(t, &host.tag);
    assert_true(tag_equal(&now, &host.tag));
    succession(&r, sub.tag, HOST, NEXT, TAG_TIER_HOST, 0x120);
    assert_int_equal(apply(t, &sub, SUB, &r, &e), 0);
    assert_int_equal(apply(t, &sub, SUB, &r, &e), 0);
    now = trust_current(t, &host.tag);
    assert_true(tag_equal(&now, &r.next));
    /* Exactly one: no second successor, and no way back. */
    succession(&r, sub.tag, HOST, OTHER, TAG_TIER_HOST, 0x120);
    assert_int_equal(apply(t, &sub, SUB, &r, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_CONFLICT);
    succession(&r, sub.tag, NEXT, HOST, TAG_TIER_HOST, 0x120);
    assert_int_equal(apply(t, &sub, SUB, &r, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_CONFLICT);
    /* Both keys for a while, under the same name; then the new one alone. */
    next = tree;
    next.records[3] = registration(sub.tag, NEXT, TAG_TIER_HOST, 0x120, "laptop.h.eng.acme.example");
    tree_sign(&next);
    assert_int_equal(verify_at(t, &tree, 4, NOW + 100, &host, &e), 0);
    assert_int_equal(verify_at(t, &next, 4, NOW + 100, &host, &e), 0);
    assert_refused(t, &tree, 4, NOW + 101, RECORD_SUPERSEDED, 3);
    assert_int_equal(verify_at(t, &next, 4, NOW + 101, &host, &e), 0);
    assert_memory_equal(host.key, keys[NEXT], 32);
    /* The end of the new key is the end of the old one as well. */
    assert_int_equal(revoke(t, &sub, SUB, host.tag, &e), 0);
    assert_refused(t, &next, 4, NOW, RECORD_REVOKED, 3);
    assert_refused(t, &tree, 4, NOW, RECORD_REVOKED, 3);
    trust_free(t);
    /* That of the old one alone is not the end of the new one. */
    t = trust_of(ROOT, 64);
    realm_end(t, &tree, 3, &sub);
    succession(&r, sub.tag, HOST, NEXT, TAG_TIER_HOST, 0x120);
    assert_int_equal(apply(t, &sub, SUB, &r, &e), 0);
    assert_int_equal(revoke(t, &sub, SUB, r.subject, &e), 0);
    assert_refused(t, &tree, 4, NOW, RECORD_REVOKED, 3);
    assert_int_equal(verify_at(t, &next, 4, NOW, &host, &e), 0);
    trust_free(t);
}

/* Whatever comes first, the end of the last key is the end of those before it. Each order of the two successions of a
 * host's key and the revocation of the last one. */
static void test_successors_in_any_order(void **state)
{
    static const int orders[][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

    for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
        struct trust *t = trust_of(ROOT, 64);
        struct record_error e;
        struct chain_end sub;
        struct tag now, host;
        struct record r;
        struct tree tree;

        tree_init(&tree);
        realm_end(t, &tree, 3, &sub);
        for (size_t k = 0; k < 3; k++) {
            if (orders[i][k] == 2) {
                assert_int_equal(revoke(t, &sub, SUB, tag_of(OTHER, TAG_TIER_HOST, 0x120), &e), 0);
                continue;
            }
            succession(&r, sub.tag, orders[i][k] == 0 ? HOST : NEXT, orders[i][k] == 0 ? NEXT : OTHER, TAG_TIER_HOST,
                       0x120);
            assert_int_equal(apply(t, &sub, SUB, &r, &e), 0);
        }
        host = tag_of(HOST, TAG_TIER_HOST, 0x120);
        now = trust_current(t, &host);
        r.next = tag_of(OTHER, TAG_TIER_HOST, 0x120);
        assert_true(tag_equal(&now, &r.next));
        assert_true(trust_is_revoked(t, &host));
        assert_refused(t, &tree, 4, NOW, RECORD_REVOKED, 3);
        /* The long way round is a circle all the same. */
        succession(&r, sub.tag, OTHER, HOST, TAG_TIER_HOST, 0x120);
        assert_int_equal(apply(t, &sub, SUB, &r, &e), -EBADMSG);
        trust_free(t);
    }
}

static void test_no_circle_of_three(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    struct record_error e;
    struct chain_end sub;
    struct record r;
    struct tree tree;

    tree_init(&tree);
    realm_end(t, &tree, 3, &sub);
    succession(&r, sub.tag, NEXT, OTHER, TAG_TIER_HOST, 0x120);
    assert_int_equal(apply(t, &sub, SUB, &r, &e), 0);
    succession(&r, sub.tag, OTHER, HOST, TAG_TIER_HOST, 0x120);
    assert_int_equal(apply(t, &sub, SUB, &r, &e), 0);
    succession(&r, sub.tag, HOST, NEXT, TAG_TIER_HOST, 0x120);
    assert_int_equal(apply(t, &sub, SUB, &r, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_CONFLICT);
    trust_free(t);
}

/* A root has nobody above it: who trusts the old key is led to the new one by it. */
static void test_root_successor(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    struct chain_end root, realm, host;
    struct record_error e;
    struct record r;
    struct tree tree, next;

    tree_init(&tree);
    realm_end(t, &tree, 1, &root);
    realm_end(t, &tree, 2, &realm);
    next = tree;
    next.records[0] = root_record(NEW_ROOT);
    next.records[1].issuer = next.records[0].subject;
    sign(&next.records[0], NEW_ROOT, &next.blobs[0]);
    sign(&next.records[1], NEW_ROOT, &next.blobs[1]);
    assert_refused(t, &next, 4, NOW, RECORD_FOREIGN_ROOT, 0);
    succession(&r, realm.tag, ROOT, NEW_ROOT, TAG_TIER_SERVICE, 0);
    assert_int_equal(apply(t, &realm, REALM, &r, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_NOT_AUTHORISED);
    succession(&r, root.tag, ROOT, NEW_ROOT, TAG_TIER_SERVICE, 0);
    assert_int_equal(apply(t, &root, ROOT, &r, &e), 0);
    assert_int_equal(verify_at(t, &next, 4, NOW, &host, &e), 0);
    assert_int_equal(verify_at(t, &tree, 4, NOW + 100, &host, &e), 0);
    assert_refused(t, &tree, 4, NOW + 101, RECORD_SUPERSEDED, 0);
    assert_int_equal(verify_at(t, &next, 4, NOW + 101, &host, &e), 0);
    trust_free(t);
}

static void test_accept(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    struct record b = {
        .type = RECORD_BINDING, .seq = 1, .kind = KIND_HOST_LOCATOR, .lease_s = 60, .answer = CLASS_FULL
    };
    struct chain_end realm, sub, host;
    struct record_error e;
    struct record got;
    struct blob blob;
    struct tree tree;

    tree_init(&tree);
    realm_end(t, &tree, 2, &realm);
    realm_end(t, &tree, 3, &sub);
    realm_end(t, &tree, 4, &host);
    b.issuer = b.subject = host.tag;
    sign(&b, HOST, &blob);
    assert_int_equal(trust_accept(t, &host, &host, blob.bytes, blob.len, &got, &e), 0);
    assert_int_equal(got.lease_s, 60);
    assert_int_equal(trust_accept(t, &sub, &host, blob.bytes, blob.len, &got, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_BROKEN_CHAIN);
    sign(&b, OTHER, &blob);
    assert_int_equal(trust_accept(t, &host, &host, blob.bytes, blob.len, &got, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_SIGNATURE);
    /* Its realm only where the registration says so, and a realm above it never. */
    b.issuer = sub.tag;
    sign(&b, SUB, &blob);
    assert_int_equal(trust_accept(t, &sub, &host, blob.bytes, blob.len, &got, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_NOT_AUTHORISED);
    tree.records[3].flags = RECORD_FLAG_REALM_BINDS;
    tree.records[3].seq++;
    tree_sign(&tree);
    realm_end(t, &tree, 4, &host);
    assert_int_equal(trust_accept(t, &sub, &host, blob.bytes, blob.len, &got, &e), 0);
    b.issuer = realm.tag;
    sign(&b, REALM, &blob);
    assert_int_equal(trust_accept(t, &realm, &host, blob.bytes, blob.len, &got, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_NOT_AUTHORISED);
    /* A revoked host is bound by nobody. */
    b.issuer = sub.tag;
    sign(&b, SUB, &blob);
    assert_int_equal(revoke(t, &sub, SUB, host.tag, &e), 0);
    assert_int_equal(trust_accept(t, &sub, &host, blob.bytes, blob.len, &got, &e), -EBADMSG);
    assert_int_equal(e.fault, RECORD_REVOKED);
    trust_free(t);
}

/* Full: what is known stays known, the newcomer is told to try later; what has expired makes room. */
static void test_full(void **state)
{
    struct trust *t = trust_of(ROOT, 4);
    struct chain_end realm, host;
    struct record_error e;
    struct tree tree, other;

    tree_init(&tree);
    assert_int_equal(verify_at(t, &tree, 3, NOW, &realm, &e), 0);
    assert_int_equal(revoke(t, &realm, SUB, tree.records[3].subject, &e), 0);
    other = tree;
    other.records[3] = registration(tree.records[2].subject, NEXT, TAG_TIER_HOST, 0x120, "pc.h.eng.acme.example");
    tree_sign(&other);
    assert_int_equal(verify_at(t, &other, 4, NOW, &host, &e), -ENOSPC);
    assert_true(trust_is_revoked(t, &tree.records[3].subject));
    assert_refused(t, &tree, 4, NOW, RECORD_REVOKED, 3);
    /* Later, with new delegations: the sequences of the old ones need not be kept. */
    other.records[1] = delegation(tree.records[0].subject, OTHER, "other.example", 0x200, 4);
    other.records[1].not_after_s = NOW + 9000;
    sign(&other.records[1], ROOT, &other.blobs[1]);
    assert_int_equal(verify_at(t, &other, 2, NOW + 2000, &realm, &e), 0);
    assert_true(trust_is_revoked(t, &tree.records[3].subject));
    trust_free(t);
}

/* The chain of other programs. */
static void test_published(void **state)
{
    struct trust *t = trust_of(ROOT, 64);
    static struct blob blobs[3];
    struct slice links[3];
    struct record_error e;
    struct chain_end end;
    char text[TAG_STRLEN];

    for (int i = 0; i < 3; i++) {
        blobs[i].len = unhex(published_records[i].hex, blobs[i].bytes, RECORD_BYTES_MAX);
        links[i] = (struct slice){ blobs[i].bytes, blobs[i].len };
    }
    assert_int_equal(trust_verify(t, links, 3, NOW, &end, &e), 0);
    assert_string_equal(end.name, "laptop.h.acme.rid.example");
    assert_string_equal(tag_format(&end.tag, text), HOST_TAG);
    assert_int_equal(trust_verify(t, links, 2, NOW, &end, &e), 0);
    assert_string_equal(tag_format(&end.tag, text), REALM_TAG);
    assert_int_equal(trust_verify(t, links, 1, NOW, &end, &e), 0);
    assert_string_equal(tag_format(&end.tag, text), ROOT_TAG);
    trust_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_signature),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_no_clock),
        cmocka_unit_test(test_sequence),
        cmocka_unit_test(test_revocation),
        cmocka_unit_test(test_successor),
        cmocka_unit_test(test_successors_in_any_order),
        cmocka_unit_test(test_no_circle_of_three),
        cmocka_unit_test(test_root_successor),
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_published),
    };
    return cmocka_run_group_tests_name("chain", tests, set_up, NULL);
}
