/* Unit tests of ident/noise.h: both sides agree, and everything else is refused. noise_vectors.c runs the published
 * vectors. */
#include "ident/noise.h"

#include "ident/aead.h"
#include "ident/keys.h"
#include "tests/unit/test.h"

#include <errno.h>

struct party {
    struct noise n;
    uint8_t s[32], s_pub[32];
};

struct pair {
    struct prng prng;
    struct rng rng;
    struct party i, r;
    uint8_t psk[32];
    enum noise_pattern pattern;
    enum suite suite;
};

/* Which keys each pattern takes, written down again from section 7.5 of the specification. */
static const struct {
    const char *name;
    bool i_s, r_s, known_rs, psk;
    unsigned messages;
    size_t overhead[3];
} facts[NOISE_PATTERN_COUNT] = {
    [NOISE_NK] = { "NK", false, true, true, false, 2, { 48, 48 } },
    [NOISE_NNPSK0] = { "NNpsk0", false, false, false, true, 2, { 48, 48 } },
    [NOISE_IK] = { "IK", true, true, true, false, 2, { 96, 48 } },
    [NOISE_IKPSK2] = { "IKpsk2", true, true, true, true, 2, { 96, 48 } },
    [NOISE_XX] = { "XX", true, true, false, false, 3, { 32, 96, 64 } },
    [NOISE_XXPSK3] = { "XXpsk3", true, true, false, true, 3, { 48, 96, 64 } },
};

static void party_keys(struct party *p, const struct rng *r)
{
    rng_fill(r, p->s, 32);
    assert_int_equal(x25519_public(p->s, p->s_pub), 0);
}

static int party_init(struct pair *p, bool initiator, const uint8_t *rs, const uint8_t *psk, const char *prologue)
{
    struct party *me = initiator ? &p->i : &p->r;
    bool s = initiator ? facts[p->pattern].i_s : facts[p->pattern].r_s;

    return noise_init(&me->n, p->pattern, p->suite, initiator, prologue, strlen(prologue), s ? me->s : NULL,
                      s ? me->s_pub : NULL, initiator && facts[p->pattern].known_rs ? rs : NULL,
                      facts[p->pattern].psk ? psk : NULL);
}

static void pair_init(struct pair *p, enum noise_pattern pattern, enum suite suite, uint64_t seed)
{
    prng_init(&p->prng, seed);
    p->rng = prng_rng(&p->prng);
    p->pattern = pattern;
    p->suite = suite;
    party_keys(&p->i, &p->rng);
    party_keys(&p->r, &p->rng);
    rng_fill(&p->rng, p->psk, 32);
    assert_int_equal(party_init(p, true, p->r.s_pub, p->psk, "prologue"), 0);
    assert_int_equal(party_init(p, false, NULL, p->psk, "prologue"), 0);
}

static const char *const payloads[3] = { "one", "", "three, longer than the others" };

/* Message m from its writer, read by its reader; the error of the reader, or 0. */
static int exchange(struct pair *p, unsigned m)
{
    struct noise *from = m % 2 ? &p->r.n : &p->i.n, *to = m % 2 ? &p->i.n : &p->r.n;
    uint8_t msg[256], got[256];
    size_t len = strlen(payloads[m]);
    int n = noise_write(from, &p->rng, payloads[m], len, msg, sizeof(msg)), ret;

    assert_int_equal(n, facts[p->pattern].overhead[m] + len);
    ret = noise_read(to, msg, (size_t)n, got, sizeof(got));
    if (ret < 0)
        return ret;
    assert_int_equal(ret, len);
    assert_memory_equal(got, payloads[m], len);
    return 0;
}

static int run(struct pair *p)
{
    int err = 0;

    for (unsigned m = 0; m < facts[p->pattern].messages && err == 0; m++)
        err = exchange(p, m);
    return err;
}

#define FOR_EACH_CASE(pattern, suite)                                                                                  \
    for (enum noise_pattern pattern = 0; pattern < NOISE_PATTERN_COUNT; pattern++)                                     \
        for (enum suite suite = SUITE_CHACHA20_POLY1305; suite <= SUITE_AES256_GCM; suite++)

static void test_agreement(void **state)
{
    FOR_EACH_CASE(pattern, suite)
    {
        struct pair p;
        uint8_t itx[32], irx[32], rtx[32], rrx[32], ie[32], re[32], other[32];

        pair_init(&p, pattern, suite, 1);
        assert_int_equal(noise_split(&p.i.n, itx, irx), -EPROTO);
        assert_int_equal(noise_export(&p.i.n, "master", ie), -EPROTO);
        assert_int_equal(run(&p), 0);
        assert_true(noise_complete(&p.i.n) && noise_complete(&p.r.n));
        assert_int_equal(noise_split(&p.i.n, itx, irx), 0);
        assert_int_equal(noise_split(&p.r.n, rtx, rrx), 0);
        assert_memory_equal(itx, rrx, 32);
        assert_memory_equal(irx, rtx, 32);
        assert_memory_not_equal(itx, irx, 32);
        assert_int_equal(noise_export(&p.i.n, "master", ie), 0);
        assert_int_equal(noise_export(&p.r.n, "master", re), 0);
        assert_int_equal(noise_export(&p.r.n, "other", other), 0);
        assert_memory_equal(ie, re, 32);
        assert_memory_not_equal(ie, other, 32);
        assert_memory_not_equal(ie, itx, 32);
        assert_memory_not_equal(ie, irx, 32);
        assert_memory_equal(noise_handshake_hash(&p.i.n), noise_handshake_hash(&p.r.n), 32);
        if (facts[pattern].r_s)
            assert_memory_equal(noise_remote_static(&p.i.n), p.r.s_pub, 32);
        else
            assert_null(noise_remote_static(&p.i.n));
        if (facts[pattern].i_s)
            assert_memory_equal(noise_remote_static(&p.r.n), p.i.s_pub, 32);
        else
            assert_null(noise_remote_static(&p.r.n));
    }
}

/* Each byte of each message in turn is changed. A change that the message itself cannot show (an ephemeral in the
 * clear, before there is a key) must be found by the next message, at the latest. After each refusal the state is as it
 * was: the true message is then accepted. */
static void test_tamper(void **state)
{
    FOR_EACH_CASE(pattern, suite)
    {
        for (unsigned m = 0; m < facts[pattern].messages; m++) {
            struct pair start, p;
            struct noise *from, *to, before;
            uint8_t msg[256], got[256];
            int n;

            pair_init(&start, pattern, suite, 2);
            for (unsigned j = 0; j < m; j++)
                assert_int_equal(exchange(&start, j), 0);
            p = start;
            p.rng.ctx = &p.prng;
            from = m % 2 ? &p.r.n : &p.i.n;
            to = m % 2 ? &p.i.n : &p.r.n;
            n = noise_write(from, &p.rng, payloads[m], strlen(payloads[m]), msg, sizeof(msg));
            assert_true(n > 0);
            before = *to;
            for (int at = 0; at < n; at++) {
                int err;

                msg[at] ^= 0x01;
                err = noise_read(to, msg, (size_t)n, got, sizeof(got));
                msg[at] ^= 0x01;
                if (err < 0) {
                    assert_int_equal(err, -EBADMSG);
                    assert_memory_equal(to, &before, sizeof(before));
                } else {
                    assert_true(pattern >= NOISE_XX && pattern != NOISE_XXPSK3 && m == 0);
                    assert_int_equal(exchange(&p, 1), -EBADMSG);
                    *to = before;
                    p.i.n = start.i.n;
                    p.prng = start.prng;
                    assert_int_equal(noise_write(from, &p.rng, payloads[m], strlen(payloads[m]), msg, sizeof(msg)), n);
                }
            }
            for (int len = 0; len < n; len++) {
                int err = noise_read(to, msg, (size_t)len, got, sizeof(got));

                if (err < 0)
                    assert_int_equal(err, -EBADMSG);
                else /* XX message 1 is in the clear: its payload may be cut */
                    assert_true(pattern == NOISE_XX && m == 0 && len >= 32);
                *to = before;
            }
            assert_int_equal(noise_read(to, msg, (size_t)n, got, sizeof(got)), strlen(payloads[m]));
        }
    }
}

static void test_wrong_keys(void **state)
{
    FOR_EACH_CASE(pattern, suite)
    {
        struct pair p;
        uint8_t wrong[32];

        memset(wrong, 9, sizeof(wrong));
        if (facts[pattern].psk) {
            pair_init(&p, pattern, suite, 3);
            assert_int_equal(party_init(&p, false, NULL, wrong, "prologue"), 0);
            assert_int_equal(run(&p), -EBADMSG);
        }
        if (facts[pattern].known_rs) { /* the initiator wants someone else */
            pair_init(&p, pattern, suite, 3);
            assert_int_equal(party_init(&p, true, p.i.s_pub, p.psk, "prologue"), 0);
            assert_int_equal(run(&p), -EBADMSG);
        }
        if (facts[pattern].i_s) { /* the initiator shows a key that it does not hold */
            pair_init(&p, pattern, suite, 3);
            p.i.s[5] ^= 1;
            assert_int_equal(party_init(&p, true, p.r.s_pub, p.psk, "prologue"), 0);
            assert_int_equal(run(&p), -EBADMSG);
        }
        pair_init(&p, pattern, suite, 3);
        assert_int_equal(party_init(&p, true, p.r.s_pub, p.psk, "another"), 0);
        assert_int_equal(run(&p), -EBADMSG);
        /* The suite is part of the name. */
        pair_init(&p, pattern, suite, 3);
        p.suite = suite == SUITE_AES256_GCM ? SUITE_CHACHA20_POLY1305 : SUITE_AES256_GCM;
        assert_int_equal(party_init(&p, false, NULL, p.psk, "prologue"), 0);
        assert_int_equal(run(&p), -EBADMSG);
    }
}

/* Zero is a point of low order: refused as an ephemeral and as a static key. */
static void test_low_order(void **state)
{
    uint8_t zero[32] = { 0 }, msg[256], got[256];
    struct pair p;
    struct noise before;
    int n;

    pair_init(&p, NOISE_IKPSK2, SUITE_CHACHA20_POLY1305, 4);
    assert_int_equal(party_init(&p, true, zero, p.psk, "prologue"), 0);
    before = p.i.n;
    assert_int_equal(noise_write(&p.i.n, &p.rng, "x", 1, msg, sizeof(msg)), -EBADMSG);
    assert_memory_equal(&p.i.n, &before, sizeof(before));
    assert_int_equal(party_init(&p, true, p.r.s_pub, p.psk, "prologue"), 0);
    n = noise_write(&p.i.n, &p.rng, "x", 1, msg, sizeof(msg));
    memset(msg, 0, 32);
    assert_int_equal(noise_read(&p.r.n, msg, (size_t)n, got, sizeof(got)), -EBADMSG);
}

/* One template, many first messages: the template stays, and one message read twice gives the same twice. */
static void test_template(void **state)
{
    struct pair p;
    struct noise tmpl, one, two;
    uint8_t msg[256], got[256];
    int n;

    pair_init(&p, NOISE_IKPSK2, SUITE_AES256_GCM, 5);
    tmpl = p.r.n;
    n = noise_write(&p.i.n, &p.rng, "hello", 5, msg, sizeof(msg));
    assert_int_equal(n, NOISE_IK_MSG1_OVERHEAD + 5);
    one = tmpl;
    two = tmpl;
    assert_int_equal(noise_read(&one, msg, (size_t)n, got, sizeof(got)), 5);
    assert_int_equal(noise_read(&two, msg, (size_t)n, got, sizeof(got)), 5);
    assert_memory_equal(&one, &two, sizeof(one));
    n = noise_write(&one, &p.rng, "", 0, msg, sizeof(msg));
    assert_int_equal(n, NOISE_IK_MSG2_OVERHEAD);
    assert_int_equal(noise_read(&p.i.n, msg, (size_t)n, NULL, 0), 0);
    assert_true(noise_complete(&p.i.n));
}

static void test_misuse(void **state)
{
    struct pair p;
    struct noise n, before;
    uint8_t key[32] = { 1 }, msg[256], got[8];
    char name[NOISE_NAME_SIZE];
    int len;

    assert_int_equal(noise_init(&n, NOISE_PATTERN_COUNT, SUITE_AES256_GCM, true, NULL, 0, key, key, key, key), -EINVAL);
    assert_int_equal(noise_init(&n, NOISE_IK, (enum suite)3, true, NULL, 0, key, key, key, NULL), -EINVAL);
    assert_int_equal(noise_init(&n, NOISE_IK, SUITE_AES256_GCM, true, NULL, 0, NULL, NULL, key, NULL), -EINVAL);
    assert_int_equal(noise_init(&n, NOISE_IK, SUITE_AES256_GCM, true, NULL, 0, key, key, NULL, NULL), -EINVAL);
    assert_int_equal(noise_init(&n, NOISE_IK, SUITE_AES256_GCM, true, NULL, 0, key, key, key, key), -EINVAL);
    assert_int_equal(noise_init(&n, NOISE_IKPSK2, SUITE_AES256_GCM, true, NULL, 0, key, key, key, NULL), -EINVAL);
    assert_int_equal(noise_init(&n, NOISE_XX, SUITE_AES256_GCM, true, NULL, 0, key, key, key, NULL), -EINVAL);
    assert_int_equal(noise_name(NOISE_IKPSK2, SUITE_CHACHA20_POLY1305, name), 0);
    assert_string_equal(name, "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s");

    pair_init(&p, NOISE_IK, SUITE_AES256_GCM, 6);
    assert_true(noise_our_turn(&p.i.n));
    assert_false(noise_our_turn(&p.r.n));
    assert_int_equal(noise_write(&p.r.n, &p.rng, NULL, 0, msg, sizeof(msg)), -EPROTO);
    assert_int_equal(noise_read(&p.i.n, msg, 96, got, sizeof(got)), -EPROTO);
    assert_int_equal(noise_write(&p.i.n, &p.rng, "12345", 5, msg, 100), -ENOSPC);
    assert_int_equal(noise_write(&p.i.n, &p.rng, NULL, NOISE_MESSAGE_MAX - 95, msg, sizeof(msg)), -EMSGSIZE);
    len = noise_write(&p.i.n, &p.rng, "12345", 5, msg, 101);
    assert_int_equal(len, 101);
    before = p.r.n;
    assert_int_equal(noise_read(&p.r.n, msg, 101, got, 4), -ENOSPC);
    assert_memory_equal(&p.r.n, &before, sizeof(before));
    assert_int_equal(noise_read(&p.r.n, msg, 101, got, 5), 5);
    assert_int_equal(exchange(&p, 1), 0);
    assert_int_equal(noise_overhead(&p.i.n), 0);
    assert_int_equal(noise_write(&p.i.n, &p.rng, NULL, 0, msg, sizeof(msg)), -EPROTO);
    assert_int_equal(noise_read(&p.r.n, msg, 96, got, sizeof(got)), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agreement), cmocka_unit_test(test_tamper),   cmocka_unit_test(test_wrong_keys),
        cmocka_unit_test(test_low_order), cmocka_unit_test(test_template), cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests_name("noise", tests, NULL, NULL);
}
