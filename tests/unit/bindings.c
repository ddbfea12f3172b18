/* Unit tests of mapping/bindings.h: by hand, against a model that is searched, and a million rows by their memory. */
#include "mapping/bindings.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <stdio.h>

static struct prng prng;

static struct bindings *new_table(uint32_t max, instant now)
{
    struct bindings *b;
    struct rng r;

    prng_init(&prng, 1);
    r = prng_rng(&prng);
    b = bindings_new(max, &r, now);
    assert_non_null(b);
    return b;
}

/* A record of a subject by number. Its bytes only have to be told apart here. */
static struct record record_of(uint32_t subject, uint8_t kind, uint8_t answer, uint64_t seq, uint32_t lease_s)
{
    struct record r = { .type = RECORD_BINDING,
                        .kind = kind,
                        .answer = answer,
                        .seq = seq,
                        .lease_s = lease_s,
                        .subject = { { 0x20, 0x01, 0, 0x3f } } };

    put_be32(r.subject.bytes + 12, subject);
    return r;
}

static int put(struct bindings *b, const struct record *r, const char *bytes, instant now, uint64_t *seq)
{
    return bindings_put(b, r, (const uint8_t *)bytes, strlen(bytes), now, seq);
}

static bool is(const struct binding *b, const char *bytes)
{
    return b->bytes && b->len == strlen(bytes) && memcmp(b->bytes, bytes, b->len) == 0;
}

#define T0 ((instant)1234567)

static void test_sequences(void **state)
{
    struct bindings *b = new_table(8, T0);
    struct record r = record_of(1, KIND_HOST_LOCATOR, CLASS_FULL, 5, 60);
    struct binding got;
    uint64_t seq = 0;

    assert_int_equal(bindings_find(b, &r.subject, r.kind, CLASS_FULL, T0, &got), -ENOENT);
    assert_int_equal(put(b, &r, "five", T0, &seq), BINDING_STORED);
    assert_int_equal(put(b, &r, "five", T0 + 30 * SEC, &seq), BINDING_SAME); /* its lease goes on as it was */
    assert_int_equal(bindings_find(b, &r.subject, r.kind, CLASS_FULL, T0 + 59 * SEC, &got), 0);
    assert_true(is(&got, "five"));
    assert_int_equal(got.expires, T0 + 60 * SEC);
    assert_int_equal(put(b, &r, "another five", T0, &seq), BINDING_OLDER);
    assert_int_equal(seq, 5);
    r.seq = 4;
    assert_int_equal(put(b, &r, "four", T0, &seq), BINDING_OLDER);
    r.seq = 1ull << 32; /* another boot */
    assert_int_equal(put(b, &r, "boot", T0, &seq), BINDING_STORED);
    assert_int_equal(bindings_find(b, &r.subject, r.kind, CLASS_FULL, T0, &got), 0);
    assert_true(is(&got, "boot"));
    /* The lease ends; the sequence does not. */
    assert_int_equal(bindings_find(b, &r.subject, r.kind, CLASS_FULL, T0 + 60 * SEC, &got), -ENOENT);
    bindings_on_expiry(b, T0 + 61 * SEC);
    assert_true(bindings_pop_expired(b, &got));
    assert_int_equal(got.seq, 1ull << 32);
    assert_false(bindings_pop_expired(b, &got));
    assert_int_equal(bindings_live(b), 0);
    assert_int_equal(bindings_count(b), 1);
    assert_int_equal(put(b, &r, "boot", T0 + 70 * SEC, &seq), BINDING_OLDER); /* a replay of what was there once */
    assert_int_equal(bindings_refresh(b, &r.subject, r.kind, r.answer, r.seq, 60, T0 + 70 * SEC), -ENOENT);
    r.seq++;
    assert_int_equal(put(b, &r, "new", T0 + 70 * SEC, &seq), BINDING_STORED);
    bindings_forget(b, &r.subject);
    assert_int_equal(bindings_count(b), 0);
    r.seq = 1;
    assert_int_equal(put(b, &r, "again", T0 + 71 * SEC, &seq), BINDING_STORED);
    bindings_free(b);
    bindings_free(NULL);
}

static void test_refresh(void **state)
{
    struct bindings *b = new_table(8, T0);
    struct record r = record_of(1, KIND_USER_HOST, CLASS_AGENT, 7, 10);
    struct binding got;

    assert_int_equal(put(b, &r, "x", T0, NULL), BINDING_STORED);
    assert_int_equal(bindings_refresh(b, &r.subject, r.kind, r.answer, 6, 10, T0), -ESTALE);
    for (int i = 1; i < 10; i++) { /* a refresh just before each end: it never goes away */
        assert_int_equal(bindings_refresh(b, &r.subject, r.kind, r.answer, 7, 10, T0 + i * 10 * SEC - 1), 0);
        bindings_on_expiry(b, T0 + i * 10 * SEC);
        assert_false(bindings_pop_expired(b, &got));
        assert_int_equal(bindings_find(b, &r.subject, r.kind, CLASS_FULL, T0 + i * 10 * SEC, &got), 0);
    }
    assert_int_equal(bindings_refresh(b, &r.subject, r.kind, r.answer, 7, UINT32_MAX, T0), 0);
    assert_int_equal(bindings_find(b, &r.subject, r.kind, CLASS_FULL, T0, &got), 0);
    assert_int_equal(got.expires, T0 + (instant)BINDINGS_LEASE_MAX_S * SEC);
    bindings_free(b);
}

/* Each class is a row of its own; who may have more gets the best there is, and nobody more than he may. */
static void test_classes(void **state)
{
    struct bindings *b = new_table(8, T0);
    struct record agent = record_of(1, KIND_HOST_LOCATOR, CLASS_AGENT, 1, 60);
    struct record full = record_of(1, KIND_HOST_LOCATOR, CLASS_FULL, 1, 30);
    struct binding got;

    assert_int_equal(put(b, &full, "live", T0, NULL), BINDING_STORED);
    for (uint8_t c = CLASS_DENY; c < CLASS_FULL; c++)
        assert_int_equal(bindings_find(b, &agent.subject, KIND_HOST_LOCATOR, c, T0, &got), -ENOENT);
    assert_int_equal(put(b, &agent, "agent", T0, NULL), BINDING_STORED);
    assert_int_equal(bindings_find(b, &agent.subject, KIND_HOST_LOCATOR, CLASS_DENY, T0, &got), -ENOENT);
    assert_int_equal(bindings_find(b, &agent.subject, KIND_HOST_LOCATOR, CLASS_COARSE, T0, &got), 0);
    assert_true(is(&got, "agent"));
    assert_int_equal(bindings_find(b, &agent.subject, KIND_HOST_LOCATOR, CLASS_FULL, T0, &got), 0);
    assert_true(is(&got, "live"));
    assert_int_equal(bindings_find(b, &agent.subject, KIND_HOST_LOCATOR, CLASS_FULL, T0 + 40 * SEC, &got), 0);
    assert_true(is(&got, "agent"));
    assert_int_equal(bindings_find(b, &agent.subject, KIND_USER_HOST, CLASS_FULL, T0, &got), -ENOENT);
    bindings_free(b);
}

static void test_full(void **state)
{
    struct bindings *b = new_table(2, T0);
    struct record r = record_of(1, 0, CLASS_FULL, 1, 1), s = record_of(2, 0, CLASS_FULL, 1, 60);
    struct record t = record_of(3, 0, CLASS_FULL, 1, 60);
    struct binding got;
    uint64_t seq;

    assert_int_equal(put(b, &r, "r", T0, NULL), BINDING_STORED);
    assert_int_equal(put(b, &s, "s", T0, NULL), BINDING_STORED);
    assert_int_equal(put(b, &t, "t", T0, NULL), -ENOSPC);
    bindings_on_expiry(b, T0 + 5 * SEC); /* a row whose lease is over is a row, until somebody needs its place */
    assert_int_equal(bindings_count(b), 2);
    assert_int_equal(put(b, &t, "t", T0 + 5 * SEC, NULL), -ENOSPC); /* nobody was told of its end */
    assert_true(bindings_pop_expired(b, &got));
    s.seq = 2;
    assert_int_equal(put(b, &s, "s2", T0, NULL), BINDING_STORED); /* needs none */
    assert_int_equal(put(b, &t, "t", T0 + 5 * SEC, NULL), BINDING_STORED);
    assert_int_equal(bindings_find(b, &s.subject, 0, CLASS_FULL, T0 + 5 * SEC, &got), 0);
    assert_int_equal(bindings_find(b, &t.subject, 0, CLASS_FULL, T0 + 5 * SEC, &got), 0);
    assert_int_equal(put(b, &r, "r", T0 + 5 * SEC, &seq), BINDING_OLDER); /* a replay of what was forgotten */
    assert_int_equal(seq, 1);
    r.seq = 2;
    assert_int_equal(put(b, &r, "r2", T0 + 5 * SEC, &seq), -ENOSPC);
    bindings_forget(b, &s.subject);
    assert_int_equal(put(b, &r, "r2", T0 + 5 * SEC, &seq), BINDING_STORED);
    assert_int_equal(bindings_count(b), 2);
    bindings_free(b);
}

/* What a store gives back is more than there is room for: leases that run are served first, what is over gives way, and
 * what has no place is not told again under an old sequence. */
static void test_load(void **state)
{
    struct bindings *b = new_table(2, T0);
    struct record r[4];
    uint64_t seq;

    for (uint32_t i = 0; i < 4; i++)
        r[i] = record_of(i, 0, CLASS_FULL, 10 + i, 60);
    assert_int_equal(bindings_load(b, &r[0].subject, 0, CLASS_FULL, 10, NULL, 0, T0, T0), 0);
    assert_int_equal(bindings_load(b, &r[1].subject, 0, CLASS_FULL, 11, NULL, 0, T0, T0), 0);
    assert_int_equal(bindings_load(b, &r[1].subject, 0, CLASS_FULL, 11, NULL, 0, T0, T0), -EEXIST);
    assert_int_equal(bindings_load(b, &r[2].subject, 0, CLASS_FULL, 12, (const uint8_t *)"r2", 2, T0 + 9 * SEC, T0), 0);
    assert_int_equal(bindings_load(b, &r[0].subject, 0, CLASS_FULL, 10, NULL, 0, T0, T0), -ENOSPC);
    assert_int_equal(bindings_count(b), 2);
    assert_int_equal(bindings_live(b), 1);
    /* A member that comes takes the place of what is over since before the start. */
    r[3].seq = 20;
    assert_int_equal(put(b, &r[3], "r3", T0, NULL), BINDING_STORED);
    assert_int_equal(bindings_live(b), 2);
    assert_int_equal(bindings_load(b, &r[1].subject, 0, CLASS_FULL, 11, (const uint8_t *)"r1", 2, T0 + 9 * SEC, T0),
                     -ENOSPC);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(put(b, &r[i], "again", T0, &seq), BINDING_OLDER);
        assert_int_equal(seq, 10 + i);
    }
    bindings_free(b);
}

/* The row whose lease ended first goes first, and none of a sequence that nobody counts to. */
static void test_who_gives_way(void **state)
{
    struct bindings *b = new_table(4, T0);
    struct record r[4], fresh[4];
    struct binding got;
    uint64_t seq;

    for (uint32_t i = 0; i < 4; i++) {
        r[i] = record_of(i, 0, CLASS_FULL, i == 3 ? UINT64_MAX : 10 + i, 40 - 10 * i); /* 40, 30, 20, 10 s */
        assert_int_equal(put(b, &r[i], "x", T0, NULL), BINDING_STORED);
    }
    for (int s = 10; s <= 50; s++) {
        bindings_on_expiry(b, T0 + s * SEC);
        while (bindings_pop_expired(b, &got))
            ;
    }
    for (uint32_t i = 0; i < 4; i++)
        fresh[i] = record_of(100 + i, 0, CLASS_FULL, 1000, 60);
    assert_int_equal(put(b, &fresh[0], "y", T0 + 60 * SEC, NULL), BINDING_STORED);
    bindings_forget(b, &r[2].subject);
    assert_int_equal(bindings_count(b), 4); /* it had gone already */
    bindings_forget(b, &r[1].subject);
    assert_int_equal(bindings_count(b), 3);
    assert_int_equal(put(b, &fresh[1], "y", T0 + 60 * SEC, NULL), BINDING_STORED);
    assert_int_equal(put(b, &fresh[2], "y", T0 + 60 * SEC, NULL), BINDING_STORED);
    assert_int_equal(put(b, &fresh[3], "y", T0 + 60 * SEC, NULL), -ENOSPC);
    for (uint32_t i = 0; i < 4; i++) {
        if (i == 1)
            continue;
        assert_int_equal(put(b, &r[i], "x", T0 + 60 * SEC, &seq), BINDING_OLDER);
        assert_true(seq == r[i].seq);
    }
    bindings_free(b);
}

/* Holders that count on from what they are told, three times as many as there is room for: who has a lease is found,
 * nobody is refused while somebody's lease is over, and no sequence that was given goes back. */
static void test_crowded(void **state)
{
    enum { HOLDERS = 60, ROOM = 20 };
    struct bindings *b = new_table(ROOM, T0);
    uint64_t seqs[HOLDERS] = { 0 }, shown[HOLDERS] = { 0 }, full = 0;
    instant now = T0;
    struct prng p;

    prng_init(&p, 3);
    for (int step = 0; step < 200000; step++) {
        uint32_t n = (uint32_t)prng_below(&p, HOLDERS);
        struct record r = record_of(n, KIND_HOST_LOCATOR, CLASS_FULL, seqs[n] + 1, 1 + (uint32_t)prng_below(&p, 60));
        struct record old = r;
        struct binding got;
        int e;

        switch (prng_below(&p, 4)) {
        case 0:
            e = put(b, &r, "r", now, &seqs[n]);
            r.seq = seqs[n] + 1;
            if (e == BINDING_OLDER)
                e = put(b, &r, "r", now, NULL);
            assert_true(e == BINDING_STORED || (e == -ENOSPC && bindings_live(b) == ROOM));
            full += e == -ENOSPC;
            if (e == BINDING_STORED)
                seqs[n] = r.seq;
            break;
        case 1: /* somebody shows an old record */
            old.seq = 1 + prng_below(&p, shown[n] + 1);
            if (old.seq < shown[n])
                assert_int_equal(put(b, &old, "old", now, NULL), BINDING_OLDER);
            break;
        case 2:
            now += (instant)prng_below(&p, 2 * SEC);
            bindings_on_expiry(b, now);
            while (bindings_pop_expired(b, &got))
                ;
            break;
        default:
            if (bindings_find(b, &r.subject, KIND_HOST_LOCATOR, CLASS_FULL, now, &got) < 0)
                break;
            assert_true(got.seq >= shown[n] && got.seq == seqs[n]);
            shown[n] = got.seq;
        }
        assert_true(bindings_count(b) <= ROOM);
    }
    assert_true(full > 0);
    bindings_free(b);
}

/* Random puts, refreshes, forgettings and steps of time against arrays. What is found is what the model has, and no
 * sequence that anybody was given goes back. */
#define SUBJECTS 40

static void test_model(void **state)
{
    struct bindings *b = new_table(SUBJECTS * 3, T0);
    struct {
        uint64_t seq, shown;
        instant expires;
    } model[SUBJECTS][4] = { 0 };
    instant now = T0;
    struct prng p;

    prng_init(&p, 2);
    for (int step = 0; step < 300000; step++) {
        uint32_t n = (uint32_t)prng_below(&p, SUBJECTS);
        uint8_t c = (uint8_t)(1 + prng_below(&p, 3));
        uint32_t lease = 1 + (uint32_t)prng_below(&p, 300);
        struct record r = record_of(n, KIND_HOST_LOCATOR, c, model[n][c].seq + prng_below(&p, 4), lease);
        bool live = model[n][c].seq > 0 && model[n][c].expires > now;
        struct binding got;
        char bytes[32];
        int e;

        snprintf(bytes, sizeof(bytes), "%u %u %llu", n, c, (unsigned long long)r.seq);
        switch (prng_below(&p, 8)) {
        case 0:
        case 1:
        case 2:
            if (r.seq == 0)
                break;
            e = put(b, &r, bytes, now, NULL);
            if (r.seq > model[n][c].seq)
                assert_int_equal(e, BINDING_STORED);
            else /* the same: known while the table has its bytes, which it has a second longer than the lease at most
                  */
                assert_true(e == BINDING_OLDER ? !live : e == BINDING_SAME);
            if (e == BINDING_STORED) {
                model[n][c].seq = r.seq;
                model[n][c].expires = now + (instant)lease * SEC;
            }
            break;
        case 3:
            e = bindings_refresh(b, &r.subject, KIND_HOST_LOCATOR, c, model[n][c].seq, lease, now);
            assert_true(e == 0 || !live);
            if (e == 0)
                model[n][c].expires = now + (instant)lease * SEC;
            break;
        case 4:
            now += (instant)prng_below(&p, 20 * SEC);
            bindings_on_expiry(b, now);
            break;
        case 5:
            if (prng_below(&p, 50) == 0) {
                bindings_forget(b, &r.subject);
                memset(model[n], 0, sizeof(model[n]));
            }
            break;
        default:
            for (c = CLASS_FULL; c > 0 && !(model[n][c].seq && model[n][c].expires > now); c--)
                ;
            e = bindings_find(b, &r.subject, KIND_HOST_LOCATOR, CLASS_FULL, now, &got);
            assert_int_equal(e, c ? 0 : -ENOENT);
            if (e == 0) {
                snprintf(bytes, sizeof(bytes), "%u %u %llu", n, c, (unsigned long long)model[n][c].seq);
                assert_true(is(&got, bytes));
                assert_true(got.seq >= model[n][c].shown);
                model[n][c].shown = got.seq;
            }
            break;
        }
        while (bindings_pop_expired(b, &got))
            assert_true(got.expires <= now);
        assert_true(bindings_live(b) <= bindings_count(b));
    }
    bindings_free(b);
}

/* 1,000,000 bindings of 200 bytes: at most 600 MB, by the table's own count and 16 bytes of the allocator a record. */
static void test_million(void **state)
{
    static uint8_t bytes[200];
    struct bindings *b = new_table(1000000, T0);
    struct binding got;
    uint32_t ended = 0;

    for (uint32_t i = 0; i < 1000000; i++) {
        struct record r = record_of(i, KIND_HOST_LOCATOR, CLASS_FULL, 1, 60 + i % 3600);

        put_be32(bytes, i);
        assert_int_equal(bindings_put(b, &r, bytes, sizeof(bytes), T0, NULL), BINDING_STORED);
    }
    assert_true(bindings_memory(b) + 1000000 * 16 < 600000000);
    print_message("# %zu MB\n", (bindings_memory(b) + 1000000 * 16) / 1000000);
    for (uint32_t i = 0; i < 1000000; i += 997) {
        struct record r = record_of(i, KIND_HOST_LOCATOR, CLASS_FULL, 1, 1);

        assert_int_equal(bindings_find(b, &r.subject, KIND_HOST_LOCATOR, CLASS_FULL, T0, &got), 0);
        assert_int_equal(get_be32(got.bytes), i);
    }
    for (instant t = bindings_next_expiry(b); t != INSTANT_NEVER; t = bindings_next_expiry(b)) {
        assert_true(t <= T0 + 3661 * SEC);
        bindings_on_expiry(b, t);
        while (bindings_pop_expired(b, &got))
            ended++;
    }
    assert_int_equal(ended, 1000000);
    assert_int_equal(bindings_live(b), 0);
    assert_int_equal(bindings_count(b), 1000000);
    bindings_free(b);
}

/* What a store is given again: each row once, also one whose sequence alone is kept, none that was forgotten. */
static void test_walk_of_all(void **state)
{
    struct bindings *b = new_table(8, T0);
    uint32_t at = 0, budget = 100, met = 0;
    struct record gone;
    struct binding got;

    for (uint32_t i = 0; i < 4; i++) {
        struct record r = record_of(i, KIND_HOST_LOCATOR, CLASS_FULL, 5 + i, 60);

        assert_int_equal(put(b, &r, "x", T0, NULL), BINDING_STORED);
        if (i == 1)
            assert_true(bindings_end(b, &r.subject, r.kind, r.answer, r.seq));
    }
    gone = record_of(2, KIND_HOST_LOCATOR, CLASS_FULL, 0, 1);
    bindings_forget(b, &gone.subject);
    while (bindings_next_kept(b, &at, &budget, T0, &got)) {
        uint32_t i = get_be32(got.subject.bytes + 12);

        assert_int_equal(got.seq, 5 + i);
        assert_int_equal(got.bytes != NULL, i != 1);
        assert_int_equal(met >> i & 1, 0);
        met |= 1u << i;
    }
    assert_int_equal(met, 0xb);
    assert_true(budget > 0);
    /* One at a time it is the same. */
    at = 0;
    for (uint32_t n = 0; n < 4; n++) {
        budget = 1;
        assert_int_equal(bindings_next_kept(b, &at, &budget, T0, &got), n != 2);
    }
    bindings_free(b);
}

static struct record label_of(uint32_t number, uint32_t issuer, uint64_t seq)
{
    struct record r = record_of(number, KIND_SERVICE_ROUTER, CLASS_FULL, seq, UINT32_MAX);

    r.subject.bytes[7] = TAG_SUITE_LABEL;
    put_be32(r.issuer.bytes + 8, issuer);
    return r;
}

/* Labels, which are made up, have a part of the rows, and each who speaks for them a smaller one; no row is held for
 * long, or by a number. */
static void test_labels(void **state)
{
    enum { MAX_ROWS = 64, LABELS = MAX_ROWS / BINDINGS_LABELS_SHARE, ONE = MAX_ROWS / BINDINGS_ISSUER_SHARE };
    const uint64_t high = (uint64_t)UINT32_MAX << 32;
    struct bindings *b = new_table(MAX_ROWS, T0);
    struct record r;
    struct binding got;
    instant then = T0 + BINDINGS_LABEL_LEASE_MAX_S * SEC;

    for (uint32_t i = 0; i < ONE; i++) {
        r = label_of(i, 1, high);
        assert_int_equal(put(b, &r, "x", T0, NULL), BINDING_STORED);
    }
    assert_int_equal(bindings_get(b, &r.subject, r.kind, r.answer, T0, &got), 0);
    assert_int_equal(got.expires, then);
    assert_int_equal(bindings_refresh(b, &r.subject, r.kind, r.answer, high, UINT32_MAX, T0 + SEC), 0);
    assert_int_equal(bindings_get(b, &r.subject, r.kind, r.answer, T0, &got), 0);
    assert_int_equal(got.expires, then + SEC);
    r = label_of(ONE, 1, high);
    assert_int_equal(put(b, &r, "x", T0, NULL), -EDQUOT);
    r = label_of(0, 1, high + 1); /* one of his own, again */
    assert_int_equal(put(b, &r, "y", T0, NULL), BINDING_STORED);
    r = label_of(0, 2, high + 2); /* which another takes over */
    assert_int_equal(put(b, &r, "z", T0, NULL), BINDING_STORED);
    r = label_of(ONE, 1, high);
    assert_int_equal(put(b, &r, "x", T0, NULL), BINDING_STORED);
    for (uint32_t i = ONE + 1; i < LABELS; i++) {
        r = label_of(i, 10 + i, high);
        assert_int_equal(put(b, &r, "x", T0, NULL), BINDING_STORED);
    }
    r = label_of(LABELS, 3, high);
    assert_int_equal(put(b, &r, "x", T0, NULL), -EDQUOT);
    assert_int_equal(bindings_follow(b, &r, (const uint8_t *)"x", 1, T0, NULL), BINDING_STORED);
    for (uint32_t i = 0; i < MAX_ROWS - LABELS - 1; i++) {
        r = record_of(i, KIND_HOST_LOCATOR, CLASS_FULL, 1, 3600);
        assert_int_equal(put(b, &r, "host", T0, NULL), BINDING_STORED);
    }
    /* When their leases are over others have the places of all of them, and what they counted is no host's floor. */
    bindings_on_expiry(b, then + 2 * SEC);
    while (bindings_pop_expired(b, &got)) {
    }
    for (uint32_t i = MAX_ROWS - LABELS - 1; i < MAX_ROWS - 1; i++) {
        r = record_of(i, KIND_HOST_LOCATOR, CLASS_FULL, 1, 3600);
        assert_int_equal(put(b, &r, "host", then, NULL), BINDING_STORED);
    }
    r = label_of(1, 1, high);
    assert_int_equal(put(b, &r, "x", then, NULL), BINDING_OLDER);
    bindings_free(b);
}

/* Of a store whose clock was ahead: a label has no longer lease than it could have been given. */
static void test_label_loaded(void **state)
{
    struct bindings *b = new_table(8, T0);
    struct record r = { .type = RECORD_BINDING,
                        .kind = KIND_SERVICE_ROUTER,
                        .answer = CLASS_FULL,
                        .seq = 9,
                        .lease_s = BINDINGS_LEASE_MAX_S };
    static const uint8_t seed[IDENT_KEY_LEN] = { 1 };
    uint8_t bytes[RECORD_BYTES_MAX];
    struct binding got;
    size_t len;

    assert_int_equal(tag_parse("2001:3f:1f1:5::1", &r.issuer), 0);
    assert_int_equal(tag_of_label(&r.issuer, "x", 1, &r.subject), 0);
    assert_int_equal(record_encode(&r, seed, bytes, sizeof(bytes), &len), 0);
    assert_int_equal(bindings_load(b, &r.subject, r.kind, r.answer, 9, bytes, len, T0 + r.lease_s * SEC, T0), 0);
    assert_int_equal(bindings_get(b, &r.subject, r.kind, r.answer, T0, &got), 0);
    assert_int_equal(got.expires, T0 + BINDINGS_LABEL_LEASE_MAX_S * SEC);
    bindings_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk_of_all),   cmocka_unit_test(test_sequences), cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_classes),       cmocka_unit_test(test_full),      cmocka_unit_test(test_load),
        cmocka_unit_test(test_who_gives_way), cmocka_unit_test(test_crowded),   cmocka_unit_test(test_model),
        cmocka_unit_test(test_million),       cmocka_unit_test(test_labels),    cmocka_unit_test(test_label_loaded),
    };
    return cmocka_run_group_tests_name("bindings", tests, NULL, NULL);
}
