/* Unit tests of src/session/delivery.c: two of them over a network that loses, repeats and reorders chunks. */
#include "session/delivery.h"
#include "base/rng.h"
#include "tests/unit/test.h"

#include <errno.h>

#define FLIGHT_MAX 64

static uint8_t text_at(uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 7 + (at >> 16));
}

/* --- the network: chunks in flight, in no order --- */

struct net {
    struct delivery *from, *to;
    struct rng *rng;
    unsigned lost_percent, twice_percent, late_percent;
    struct {
        struct chunk c;
        uint8_t bytes[1500];
    } flight[FLIGHT_MAX];
    size_t count;
};

static bool chance(struct rng *g, unsigned percent)
{
    return rng_u64(g) % 100 < percent;
}

static void send_some(struct net *n)
{
    while (n->count < FLIGHT_MAX) {
        struct chunk c;

        /* Paths carry different sizes. */
        if (!delivery_cut(n->from, 1 + rng_u64(n->rng) % 1500, &c))
            return;
        n->flight[n->count].c = c;
        delivery_copy(n->from, &c, n->flight[n->count].bytes);
        n->count++;
    }
}

static void arrive(struct net *n)
{
    size_t i;

    if (n->count == 0)
        return;
    i = rng_u64(n->rng) % n->count;
    if (chance(n->rng, n->lost_percent)) {
        delivery_on_lost(n->from, &n->flight[i].c);
        if (chance(n->rng, n->late_percent)) /* it was taken for lost, and comes after all */
            assert_int_equal(delivery_on_chunk(n->to, &n->flight[i].c, n->flight[i].bytes), 0);
    } else {
        assert_int_equal(delivery_on_chunk(n->to, &n->flight[i].c, n->flight[i].bytes), 0);
        if (chance(n->rng, n->twice_percent))
            assert_int_equal(delivery_on_chunk(n->to, &n->flight[i].c, n->flight[i].bytes), 0);
        delivery_on_acked(n->from, &n->flight[i].c);
    }
    n->flight[i] = n->flight[--n->count];
}

static void say_limit(struct net *n)
{
    uint64_t limit;

    if (delivery_pop_limit(n->to, &limit))
        delivery_on_limit(n->from, limit);
}

static void transfer(const struct delivery_options *o, uint64_t seed, uint64_t total)
{
    struct prng p;
    struct rng g;
    struct net n = { .lost_percent = 10, .twice_percent = 5, .late_percent = 50 };
    uint8_t *seen = calloc(total, 1), buf[4000];
    uint64_t written = 0, got = 0, at;
    struct delivery_info info;

    prng_init(&p, seed);
    g = prng_rng(&p);
    n.rng = &g;
    n.from = delivery_new(o);
    n.to = delivery_new(o);
    assert_true(seen && n.from && n.to);
    while (!delivery_at_end(n.to)) {
        int64_t r;
        size_t len = rng_u64(&g) % sizeof(buf);

        len = (size_t)MIN(len, total - written);
        for (size_t i = 0; i < len; i++)
            buf[i] = text_at(written + i);
        if (len > 0) {
            r = delivery_write(n.from, buf, len);
            assert_true(r >= 0 && r <= (int64_t)len);
            written += (uint64_t)r;
        }
        if (written == total)
            delivery_finish(n.from);
        send_some(&n);
        for (int i = 0; i < 4; i++)
            arrive(&n);
        while (chance(&g, 70) && (r = delivery_read(n.to, buf, 1 + rng_u64(&g) % sizeof(buf), &at)) > 0) {
            assert_true(o->unordered || at == got);
            for (int64_t i = 0; i < r; i++) {
                assert_int_equal(buf[i], text_at(at + (uint64_t)i));
                assert_int_equal(seen[at + (uint64_t)i]++, 0);
            }
            got += (uint64_t)r;
        }
        say_limit(&n);
    }
    assert_int_equal(got, total);
    assert_int_equal(delivery_read(n.to, buf, sizeof(buf), NULL), 0);
    while (!delivery_flushed(n.from)) {
        send_some(&n);
        arrive(&n);
    }
    assert_false(delivery_wants_send(n.from));
    assert_int_equal(delivery_write(n.from, buf, 1), -EPIPE);
    delivery_info(n.from, &info);
    assert_int_equal(info.acked, total);
    assert_true(info.resent > 0);
    delivery_free(n.from);
    delivery_free(n.to);
    free(seen);
}

static void test_ordered(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        transfer(&(struct delivery_options){ .send_bytes = 65536, .receive_bytes = 65536 << (seed % 3) }, seed, 400000);
}

static void test_unordered(void **state)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        transfer(&(struct delivery_options){ .send_bytes = 65536, .receive_bytes = 65536, .unordered = true }, seed,
                 400000);
}

static void test_nothing_but_an_end(void **state)
{
    const struct delivery_options o = { 0 };
    struct delivery *d = delivery_new(&o), *e = delivery_new(&o);
    struct chunk c;

    assert_false(delivery_cut(d, 1000, &c));
    delivery_finish(d);
    assert_false(delivery_flushed(d));
    assert_true(delivery_cut(d, 1000, &c) && c.last && c.len == 0);
    assert_false(delivery_cut(d, 1000, &c));
    delivery_on_lost(d, &c);
    assert_true(delivery_cut(d, 1000, &c) && c.last && c.len == 0);
    assert_false(delivery_readable(e));
    assert_int_equal(delivery_on_chunk(e, &c, NULL), 0);
    assert_true(delivery_readable(e) && delivery_at_end(e));
    delivery_on_acked(d, &c);
    assert_true(delivery_flushed(d));
    delivery_free(d);
    delivery_free(e);
}

static void test_window(void **state)
{
    const struct delivery_options o = { .send_bytes = 1 << 20, .receive_bytes = 1 << 17 };
    struct delivery *d = delivery_new(&o), *e = delivery_new(&o);
    static uint8_t data[1 << 20];
    uint64_t limit, sent = 0;
    struct chunk c;

    assert_int_equal(delivery_write(d, data, sizeof(data)), sizeof(data));
    assert_int_equal(delivery_write(d, data, 1), 0); /* full */
    while (delivery_cut(d, 1000, &c))
        sent += c.len;
    assert_int_equal(sent, DELIVERY_WINDOW_INITIAL);
    assert_int_equal(delivery_waiting(d), 0);
    assert_true(delivery_pop_limit(e, &limit));
    assert_int_equal(limit, 1 << 17);
    assert_false(delivery_pop_limit(e, &limit));
    delivery_on_limit(d, limit);
    delivery_on_limit(d, 5); /* says nothing new */
    assert_int_equal(delivery_waiting(d), (1 << 17) - DELIVERY_WINDOW_INITIAL);
    delivery_free(d);
    delivery_free(e);
}

/* What was lost goes first, or is left to another path; what waits is both. */
static void test_lost_and_fresh(void **state)
{
    const struct delivery_options o = { 0 };
    struct delivery *d = delivery_new(&o);
    static uint8_t data[5000];
    struct chunk a, b, c;

    assert_int_equal(delivery_write(d, data, sizeof(data)), sizeof(data));
    assert_true(delivery_cut(d, 1000, &a) && delivery_cut(d, 1000, &b));
    delivery_on_lost(d, &a);
    assert_int_equal(delivery_waiting(d), 4000);
    assert_int_equal(delivery_lost(d), 1000);
    assert_true(delivery_cut_fresh(d, 1000, &c) && c.at == 2000 && c.len == 1000);
    assert_true(delivery_cut(d, 1000, &c) && c.at == 0);
    assert_int_equal(delivery_lost(d), 0);
    delivery_finish(d);
    assert_true(delivery_cut_fresh(d, 5000, &c) && c.at == 3000 && c.len == 2000 && c.last);
    delivery_on_lost(d, &b);
    assert_false(delivery_cut_fresh(d, 1000, &c)); /* nothing is */
    assert_true(delivery_cut(d, 1000, &c) && c.at == 1000 && !c.last);
    assert_false(delivery_wants_send(d));
    delivery_free(d);
}

/* Blocked: more is written than the peer takes, and something of what it takes is in flight. */
static void test_blocked(void **state)
{
    const struct delivery_options o = { .send_bytes = 1 << 20 };
    struct delivery *d = delivery_new(&o);
    static uint8_t data[DELIVERY_WINDOW_INITIAL];
    struct chunk a, b;

    assert_int_equal(delivery_write(d, data, sizeof(data)), sizeof(data));
    assert_true(delivery_cut(d, 1000, &a) && delivery_cut(d, sizeof(data), &b));
    assert_false(delivery_is_blocked(d)); /* nothing waits */
    assert_int_equal(delivery_write(d, data, 1), 1);
    assert_true(delivery_is_blocked(d));
    delivery_on_lost(d, &a);
    assert_false(delivery_is_blocked(d)); /* it may be cut */
    assert_true(delivery_cut(d, 1000, &a) && delivery_is_blocked(d));
    delivery_on_acked(d, &a);
    assert_true(delivery_is_blocked(d));
    delivery_on_acked(d, &b);
    assert_false(delivery_is_blocked(d)); /* all is there: the reader is slow */
    assert_int_equal(delivery_waiting(d), 0);
    delivery_on_limit(d, 2 * DELIVERY_WINDOW_INITIAL);
    assert_int_equal(delivery_waiting(d), 1);
    delivery_free(d);
}

/* A peer that breaks the rules is refused, and nothing of it is kept. */
static void test_lies(void **state)
{
    const struct delivery_options o = { .receive_bytes = 1 << 17 };
    struct delivery *d = delivery_new(&o);
    static const uint8_t data[1000];
    struct delivery_info info;
    struct chunk c = { .at = DELIVERY_WINDOW_INITIAL - 999, .len = 1000 };

    assert_int_equal(delivery_on_chunk(d, &c, data), -EPROTO); /* beyond the limit */
    c = (struct chunk){ .at = DELIVERY_END_MAX, .len = 1000 };
    assert_int_equal(delivery_on_chunk(d, &c, data), -EPROTO);
    c = (struct chunk){ .at = 5000, .len = 1000 };
    assert_int_equal(delivery_on_chunk(d, &c, data), 0);
    c = (struct chunk){ .at = 0, .len = 100, .last = true };
    assert_int_equal(delivery_on_chunk(d, &c, data), -EPROTO); /* there is more behind */
    c = (struct chunk){ .at = 6000, .len = 100, .last = true };
    assert_int_equal(delivery_on_chunk(d, &c, data), 0);
    c = (struct chunk){ .at = 6050, .len = 100 };
    assert_int_equal(delivery_on_chunk(d, &c, data), -EPROTO); /* after the end */
    c = (struct chunk){ .at = 6000, .len = 99, .last = true };
    assert_int_equal(delivery_on_chunk(d, &c, data), -EPROTO); /* another end */
    delivery_info(d, &info);
    assert_int_equal(info.holes, 1);
    assert_int_equal(info.received, 0);
    assert_false(delivery_readable(d));
    delivery_free(d);
}

static void test_broken(void **state)
{
    const struct delivery_options o = { 0 };
    struct delivery *d = delivery_new(&o);
    uint8_t buf[100] = { 1 };
    struct chunk c = { .at = 0, .len = 100 };

    assert_int_equal(delivery_on_chunk(d, &c, buf), 0);
    delivery_break(d, -ECONNRESET);
    delivery_break(d, -ETIMEDOUT);
    assert_int_equal(delivery_error(d), -ECONNRESET);
    assert_int_equal(delivery_write(d, buf, 1), -ECONNRESET);
    assert_int_equal(delivery_read(d, buf, sizeof(buf), NULL), 100); /* what came before is not lost */
    assert_int_equal(delivery_read(d, buf, sizeof(buf), NULL), -ECONNRESET);
    delivery_free(d);
}

static size_t buffered_rx(const struct delivery *d)
{
    struct delivery_info info;

    delivery_info(d, &info);
    return info.buffered_rx;
}

/* Memory that has become empty goes at once, or when nothing has come between two calls of delivery_trim. */
static void test_memory_of_bytes(void **state)
{
    static uint8_t buf[65536];

    for (int lingers = 0; lingers < 2; lingers++) {
        const struct delivery_options o = { .lingers = lingers };
        struct delivery *d = delivery_new(&o);
        struct chunk c = { .len = 65536 };

        assert_int_equal(delivery_on_chunk(d, &c, buf), 0);
        delivery_trim(d);
        delivery_trim(d);
        assert_int_equal(buffered_rx(d), 65536); /* in use */
        assert_int_equal(delivery_read(d, buf, sizeof(buf), NULL), 65536);
        assert_int_equal(buffered_rx(d), lingers ? 65536 : 0);
        delivery_trim(d);
        assert_int_equal(buffered_rx(d), 0);
        delivery_free(d);
    }
}

/* --- to a successor --- */

#define STATE_MAX 300000

static size_t save(const struct delivery *d, uint8_t *buf)
{
    struct writer w = writer_init(buf, STATE_MAX);

    delivery_save(d, &w);
    assert_false(w.failed);
    return writer_len(&w);
}

static int restore(struct delivery **d, const uint8_t *buf, size_t len)
{
    const struct delivery_options o = { 0 };
    struct reader r = reader_init(buf, len);
    int rc;

    delivery_free(*d);
    *d = delivery_new(&o);
    rc = delivery_restore(*d, &r);
    return rc == 0 && !reader_done(&r) ? -EPROTO : rc;
}

/* Both ends are others now and then, and what is in flight is gone then; with nothing told of it. */
static void test_successors(void **state)
{
    uint8_t *buf = malloc(STATE_MAX);

    assert_non_null(buf);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng prng = { 0 };
        struct rng rng = prng_rng(&prng);
        const struct delivery_options o = { 0 };
        struct net n = { .from = delivery_new(&o), .to = delivery_new(&o), .rng = &rng, .lost_percent = 10 };
        uint64_t written = 0, read = 0, total = 200000, limit;
        uint8_t some[1000];
        int64_t r;

        prng_init(&prng, seed);
        while (!delivery_at_end(n.to)) {
            for (size_t i = 0; i < sizeof(some); i++)
                some[i] = text_at(written + i);
            r = delivery_write(n.from, some, (size_t)MIN(sizeof(some), total - written));
            written += (uint64_t)MAX(r, 0);
            if (written == total)
                delivery_finish(n.from);
            send_some(&n);
            arrive(&n);
            if (chance(&rng, 50) && (r = delivery_read(n.to, some, sizeof(some), NULL)) > 0) {
                for (int64_t i = 0; i < r; i++)
                    assert_int_equal(some[i], text_at(read + (uint64_t)i));
                read += (uint64_t)r;
            }
            if (delivery_pop_limit(n.to, &limit))
                delivery_on_limit(n.from, limit);
            if (!chance(&rng, 2))
                continue;
            assert_int_equal(restore(&n.from, buf, save(n.from, buf)), 0);
            if (chance(&rng, 50))
                assert_int_equal(restore(&n.to, buf, save(n.to, buf)), 0);
            n.count = 0;
            delivery_on_limit(n.from, delivery_resume(n.to));
        }
        assert_int_equal(read, total);
        delivery_free(n.from);
        delivery_free(n.to);
    }
    free(buf);
}

/* The end that stays takes for lost what it had in flight. */
static void test_who_stays_resumes(void **state)
{
    const struct delivery_options o = { 0 };
    struct delivery *d = delivery_new(&o);
    uint8_t some[3000] = { 0 };
    struct chunk a, b, again;

    assert_int_equal(delivery_write(d, some, sizeof(some)), sizeof(some));
    delivery_finish(d);
    assert_true(delivery_cut(d, 1000, &a) && delivery_cut(d, 2000, &b));
    assert_true(b.last);
    assert_false(delivery_wants_send(d));
    delivery_on_acked(d, &a);
    delivery_resume(d);
    assert_true(delivery_cut(d, 5000, &again));
    assert_int_equal(again.at, 1000);
    assert_int_equal(again.len, 2000);
    assert_true(again.last);
    assert_false(delivery_conclude(d)); /* of the other direction nothing has come */
    assert_int_equal(delivery_on_chunk(d, &(struct chunk){ .at = 0, .len = 0, .last = true }, some), 0);
    assert_true(delivery_conclude(d));
    assert_true(delivery_flushed(d));
    delivery_free(d);
}

/* No part of a state is one, and no field may say what cannot be. */
static void test_states_that_cannot_be(void **state)
{
    static const struct {
        size_t at;
        uint64_t value; /* of 8 bytes */
    } lies[] = {
        { 1, 5000 },                    /* acknowledged beyond what was written */
        { 9, DELIVERY_END_MAX + 1 },    /* written beyond all places */
        { 9, UINT64_C(1) << 40 },       /* more than is kept */
        { 17, DELIVERY_END_MAX + 1 },   /* the peer's limit */
        { 17, 1 },                      /* below what every peer begins with */
        { 25, 1 << 20 },                /* read beyond our limit */
        { 33, UINT64_C(1) << 40 },      /* a limit beyond what is kept */
        { 41, 1 },                      /* an end that nobody said */
        { 49, 65537 },                  /* a window that is no power of two */
        { 49, 1 << 30 },                /* or larger than the ring */
        { 57 + 4 + 3000, 100 },         /* a range below what was read */
        { 57 + 4 + 3000, 100000 },      /* one that ends before it begins */
        { 57 + 4 + 3000 + 8, 1 << 20 }, /* one beyond our limit */
    };
    const struct delivery_options o = { 0 };
    struct delivery *d = delivery_new(&o), *next = NULL;
    uint8_t some[3000] = { 0 }, *buf = malloc(STATE_MAX), *lie = malloc(STATE_MAX);
    size_t len;

    assert_true(d && buf && lie);
    assert_int_equal(delivery_write(d, some, sizeof(some)), sizeof(some));
    assert_int_equal(delivery_on_chunk(d, &(struct chunk){ .at = 0, .len = 500 }, some), 0);
    delivery_consume(d, 200);
    assert_int_equal(delivery_on_chunk(d, &(struct chunk){ .at = 900, .len = 100 }, some), 0);
    len = save(d, buf);
    assert_int_equal(restore(&next, buf, len), 0);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(restore(&next, buf, n), -EPROTO);
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        memcpy(lie, buf, len);
        put_be64(lie + lies[i].at, lies[i].value);
        assert_int_equal(restore(&next, lie, len), -EPROTO);
    }
    delivery_free(next);
    delivery_free(d);
    free(buf);
    free(lie);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ordered),
        cmocka_unit_test(test_unordered),
        cmocka_unit_test(test_nothing_but_an_end),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_lost_and_fresh),
        cmocka_unit_test(test_blocked),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_memory_of_bytes),
        cmocka_unit_test(test_successors),
        cmocka_unit_test(test_who_stays_resumes),
        cmocka_unit_test(test_states_that_cannot_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
