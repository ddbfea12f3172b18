/* Unit tests of src/session/adu.c: two of them over a network that loses, repeats and reorders pieces. */
#include "session/adu.h"
#include "base/rng.h"
#include "tests/unit/test.h"

#include <errno.h>

#define FLIGHT_MAX 64
#define PIECE_MAX 1000

static const struct adu_options options = { 0 };
static const struct adu_spec lossless = { 0 };

struct pair {
    struct adus *from, *to;
    instant now;
};

static struct pair make(void)
{
    struct pair p = { .from = adus_new(&options), .to = adus_new(&options), .now = 1000 * SEC };

    assert_true(p.from && p.to);
    return p;
}

static void done(struct pair *p)
{
    adus_free(p->from);
    adus_free(p->to);
}

static void send_text(struct pair *p, const char *text, const struct adu_spec *spec)
{
    assert_int_equal(adus_send(p->from, (const uint8_t *)text, strlen(text), spec, p->now), 0);
}

static bool cut(struct pair *p, unsigned slot, size_t most, struct piece *ret)
{
    const struct adu_offer o = {
        .slot = slot, .most = most, .way = 10 * MSEC, .least = 10 * MSEC, .other = 20 * MSEC, .answer = 30 * MSEC
    };

    return adus_cut(p->from, &o, ret, p->now);
}

/* Brings it to the other end. */
static int bring(struct pair *p, const struct piece *x)
{
    uint8_t bytes[PIECE_MAX];

    assert_true(adus_copy(p->from, x, bytes));
    return adus_on_piece(p->to, x, bytes, p->now);
}

static void tell_gone(struct pair *p)
{
    uint64_t number;
    uint32_t count, bytes;

    while (adus_pop_dropped(p->from, &number, &count, &bytes))
        assert_int_equal(adus_on_dropped(p->to, number, count, bytes), 0);
}

static void expect_text(struct pair *p, const char *text)
{
    struct adu_received u;
    uint8_t buf[64];
    int64_t n = adus_receive(p->to, buf, sizeof(buf), &u, p->now);

    if (!text) {
        assert_int_equal(n, -EAGAIN);
        return;
    }
    assert_int_equal(n, strlen(text));
    assert_memory_equal(buf, text, (size_t)n);
}

/* --- order and time --- */

static void test_whole_or_not_at_all(void **state)
{
    struct pair p = make();
    struct piece a, b;

    send_text(&p, "whole", &lossless);
    assert_true(cut(&p, 0, 3, &a) && cut(&p, 0, 3, &b));
    assert_false(cut(&p, 0, 3, &(struct piece){ 0 }));
    assert_int_equal(bring(&p, &b), 0);
    expect_text(&p, NULL);
    assert_int_equal(bring(&p, &a), 0);
    assert_int_equal(bring(&p, &a), 0); /* twice */
    expect_text(&p, "whole");
    expect_text(&p, NULL);
    assert_false(adus_flushed(p.from));
    adus_on_acked(p.from, &a);
    adus_on_acked(p.from, &b);
    assert_true(adus_flushed(p.from));
    done(&p);
}

static void test_order(void **state)
{
    const struct adu_spec unordered = { .unordered = true };
    struct pair p = make();
    struct piece a, b, c, d;

    send_text(&p, "1", &lossless);
    send_text(&p, "2", &unordered);
    send_text(&p, "3", &lossless);
    send_text(&p, "", &lossless);
    assert_true(cut(&p, 0, 9, &a) && cut(&p, 0, 9, &b) && cut(&p, 0, 9, &c) && cut(&p, 0, 9, &d));
    assert_int_equal(bring(&p, &d) | bring(&p, &c), 0);
    expect_text(&p, NULL);
    assert_int_equal(bring(&p, &b), 0);
    expect_text(&p, "2");
    expect_text(&p, NULL);
    assert_int_equal(bring(&p, &a), 0);
    expect_text(&p, "1");
    expect_text(&p, "3");
    expect_text(&p, "");
    done(&p);
}

static void test_priority(void **state)
{
    const struct adu_spec urgent = { .priority = -1 }, idle = { .priority = 1 };
    struct pair p = make();
    struct piece x;

    send_text(&p, "i", &idle);
    send_text(&p, "n", &lossless);
    send_text(&p, "u", &urgent);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(cut(&p, 0, 9, &x));
        assert_int_equal(x.number, 2 - i);
    }
    done(&p);
}

/* What is complete waits for what is missing before it until its own time is over, and no longer. */
static void test_a_deadline_passes_what_is_missing(void **state)
{
    const struct adu_spec spec = { .lifetime = 100 * MSEC };
    struct pair p = make();
    struct piece a, b;

    send_text(&p, "a", &spec);
    send_text(&p, "b", &spec);
    assert_true(cut(&p, 0, 9, &a) && cut(&p, 0, 9, &b));
    assert_int_equal(b.left_ms, 90); /* less the way */
    p.now += 10 * MSEC;
    assert_int_equal(bring(&p, &b), 0);
    p.now += 85 * MSEC;
    adus_on_expiry(p.to, p.now);
    expect_text(&p, NULL);
    assert_in_range(adus_next_expiry(p.to), p.now + 1, p.now + 5 * MSEC);
    p.now += 5 * MSEC;
    adus_on_expiry(p.to, p.now);
    expect_text(&p, "b");
    assert_int_equal(bring(&p, &a), 0); /* too late: its place is gone */
    expect_text(&p, NULL);
    done(&p);
}

static void test_what_is_gone_is_not_waited_for(void **state)
{
    const struct adu_spec unreliable = { .unreliable = true };
    struct pair p = make();
    struct piece a, b;

    send_text(&p, "a", &unreliable);
    send_text(&p, "b", &lossless);
    assert_true(cut(&p, 0, 9, &a) && cut(&p, 0, 9, &b));
    assert_int_equal(bring(&p, &b), 0);
    adus_on_lost(p.from, &a);
    expect_text(&p, NULL);
    tell_gone(&p);
    expect_text(&p, "b");
    assert_false(cut(&p, 0, 9, &a)); /* not again */
    done(&p);
}

static void test_what_cannot_arrive_is_not_sent(void **state)
{
    const struct adu_spec spec = { .lifetime = 50 * MSEC };
    struct pair p = make();
    struct piece x;
    struct adu_info i;

    for (unsigned n = 0; n < 5; n++)
        send_text(&p, "old", &spec);
    send_text(&p, "new", &lossless);
    p.now += 41 * MSEC; /* the way is 10 */
    assert_true(cut(&p, 0, 9, &x));
    assert_int_equal(x.number, 5);
    adus_info(p.from, &i);
    assert_int_equal(i.expired, 5);
    assert_int_equal(bring(&p, &x), 0);
    tell_gone(&p);
    expect_text(&p, "new");
    done(&p);
}

/* Without an answer, at the last moment it goes by another path, once. */
static void test_the_last_moment(void **state)
{
    const struct adu_spec spec = { .lifetime = 100 * MSEC };
    struct pair p = make();
    struct piece a, b;

    send_text(&p, "a", &spec);
    assert_true(cut(&p, 0, 9, &a));
    p.now += 74 * MSEC; /* 100 less the other way, 20, less the margin, 5 */
    adus_on_expiry(p.from, p.now);
    assert_false(cut(&p, 1, 9, &b));
    assert_in_range(adus_next_expiry(p.from), p.now + 1, p.now + 1 * MSEC);
    p.now += 1 * MSEC;
    adus_on_expiry(p.from, p.now);
    assert_false(cut(&p, 0, 9, &b)); /* by which it went */
    assert_true(cut(&p, 1, 9, &b));
    assert_int_equal(bring(&p, &b), 0);
    expect_text(&p, "a");
    adus_on_lost(p.from, &a);
    adus_on_acked(p.from, &b);
    assert_true(adus_flushed(p.from));
    done(&p);
}

static uint64_t copied_bytes(const struct pair *p)
{
    struct adu_info i;

    adus_info(p->from, &i);
    return i.copied_bytes;
}

/* A copy counts when it leaves: of what is acknowledged before, or lost, there is none. */
static void test_what_was_copied(void **state)
{
    const struct adu_spec spec = { .lifetime = 100 * MSEC };

    for (unsigned fate = 0; fate < 3; fate++) {
        struct pair p = make();
        struct piece a, b, c;

        send_text(&p, "abcd", &spec);
        assert_true(cut(&p, 0, 3, &a) && cut(&p, 0, 3, &b));
        p.now += 75 * MSEC;
        adus_on_expiry(p.from, p.now);
        assert_int_equal(copied_bytes(&p), 0);
        if (fate == 0) {
            adus_on_acked(p.from, &a);
            adus_on_acked(p.from, &b);
            assert_false(cut(&p, 1, 3, &c));
        } else if (fate == 1) {
            adus_on_acked(p.from, &a);
            adus_on_lost(p.from, &b);
            assert_true(cut(&p, 1, 3, &c));
        } else {
            assert_true(cut(&p, 1, 3, &c));
            assert_int_equal(copied_bytes(&p), 3);
            assert_true(cut(&p, 1, 3, &c));
        }
        assert_int_equal(copied_bytes(&p), fate == 2 ? 4 : 0);
        done(&p);
    }
}

/* --- windows --- */

/* The first is of least importance, and everybody waits for it. */
static void test_the_first_goes_whatever_its_priority(void **state)
{
    static uint8_t data[ADU_LEN_MAX];
    const struct adu_spec idle = { .priority = 100 };
    struct pair p = make();
    struct piece x;
    unsigned pieces = 0;

    assert_int_equal(adus_send(p.from, data, 10, &idle, p.now), 0);
    for (unsigned n = 0; n < 100; n++)
        assert_int_equal(adus_send(p.from, data, ADU_LEN_MAX / 20, &lossless, p.now), 0);
    while (cut(&p, 0, PIECE_MAX, &x) && x.number > 0)
        pieces += 1;
    assert_int_equal(x.number, 0);
    assert_true(pieces > 1000);
    done(&p);
}

static void test_bytes_in_flight(void **state)
{
    static uint8_t data[ADU_LEN_MAX];
    struct pair p = make();
    struct adu_received u;
    struct piece x;
    uint64_t bytes, number;

    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(adus_send(p.from, data, sizeof(data), &lossless, p.now), 0);
    while (cut(&p, 0, PIECE_MAX, &x)) {
        assert_true(x.number < 2); /* the window is one, and the first that is not done may go beyond */
        assert_int_equal(bring(&p, &x), 0);
        adus_on_acked(p.from, &x);
    }
    assert_false(adus_wants_send(p.from));
    assert_true(adus_pop_limit(p.to, &bytes, &number));
    assert_int_equal(bytes, 8 << 20);
    assert_false(adus_pop_limit(p.to, &bytes, &number));
    adus_on_limit(p.from, bytes, number);
    assert_true(adus_wants_send(p.from));
    assert_int_equal(adus_receive(p.to, data, 10, &u, p.now), -EMSGSIZE);
    assert_int_equal(u.len, sizeof(data));
    assert_int_equal(adus_receive(p.to, data, sizeof(data), &u, p.now), sizeof(data));
    done(&p);
}

static void test_units_in_number(void **state)
{
    struct pair p = make();
    struct piece x;
    uint64_t bytes, number;

    for (unsigned n = 0; n < ADU_WINDOW; n++)
        send_text(&p, "x", &lossless);
    assert_int_equal(adus_send(p.from, (const uint8_t *)"x", 1, &lossless, p.now), -EAGAIN);
    for (unsigned n = 0; n < ADU_WINDOW; n++) {
        assert_true(cut(&p, 0, 9, &x));
        assert_int_equal(bring(&p, &x), 0);
        adus_on_acked(p.from, &x);
    }
    send_text(&p, "y", &lossless);         /* all have arrived, */
    assert_false(adus_wants_send(p.from)); /* but the peer has not said that it takes more */
    for (unsigned n = 0; n < ADU_WINDOW; n++)
        expect_text(&p, "x");
    assert_true(adus_pop_limit(p.to, &bytes, &number));
    assert_int_equal(number, 2 * ADU_WINDOW);
    adus_on_limit(p.from, bytes, number);
    assert_true(cut(&p, 0, 9, &x));
    done(&p);
}

/* An empty unit takes no bytes of the window; the reader does not read. */
static void test_empty_units_that_nobody_reads(void **state)
{
    struct pair p = make();
    struct piece x;
    uint64_t bytes, number;
    unsigned n;

    for (n = 0; n < 3 * ADU_WINDOW && adus_send(p.from, NULL, 0, &lossless, p.now) == 0; n++) {
        if (!cut(&p, 0, 9, &x))
            break;
        assert_int_equal(bring(&p, &x), 0);
        adus_on_acked(p.from, &x);
        if (adus_pop_limit(p.to, &bytes, &number))
            adus_on_limit(p.from, bytes, number);
    }
    assert_true(n <= ADU_WINDOW);
    for (unsigned i = 0; i < n; i++)
        expect_text(&p, "");
    assert_true(adus_pop_limit(p.to, &bytes, &number));
    adus_on_limit(p.from, bytes, number);
    assert_true(cut(&p, 0, 9, &x));
    done(&p);
}

/* Those that stand first may not begin yet: they hold nobody up. */
static void test_urgent_units_beyond_the_window(void **state)
{
    const struct adu_spec urgent = { .priority = -1 };
    struct pair p = make();
    struct piece x;
    unsigned pieces = 0;

    for (unsigned n = 0; n < 40; n++) {
        send_text(&p, "done", &lossless);
        assert_true(cut(&p, 0, 9, &x));
        adus_on_acked(p.from, &x);
    }
    for (unsigned n = 40; n < ADU_WINDOW; n++)
        send_text(&p, "x", &lossless);
    for (unsigned n = 0; n < 40; n++)
        send_text(&p, "u", &urgent);
    while (cut(&p, 0, 9, &x))
        pieces++;
    assert_int_equal(pieces, ADU_WINDOW - 40);
    done(&p);
}

/* A byte here and a byte there: what it takes to remember them is bounded for all units together. */
static void test_pieces_of_a_byte(void **state)
{
    struct pair p = make();
    const uint8_t byte[1] = { 0 };
    unsigned pieces = 0;
    int r = 0;

    for (uint64_t number = 0; r == 0 && number < ADU_WINDOW; number++)
        for (uint32_t at = 0; r == 0 && at < 200; at += 2) {
            const struct piece x = {
                .number = number, .offset = at, .len = 1, .unit_len = 250, .left_ms = ADU_LEFT_NEVER
            };

            r = adus_on_piece(p.to, &x, byte, p.now);
            pieces++;
        }
    assert_int_equal(r, -ENOSPC);
    assert_in_range(pieces, 4096, 30000);
    done(&p);
}

/* Dropped by the thousands while nobody could be told. */
static void test_an_outage(void **state)
{
    const struct adu_spec spec = { .lifetime = 1 * MSEC };
    struct pair p = make();
    struct piece x;
    uint64_t bytes, number;

    for (unsigned n = 0; n < 5 * ADU_WINDOW; n++) {
        send_text(&p, "x", &spec);
        p.now += 2 * MSEC;
        adus_on_expiry(p.from, p.now);
    }
    send_text(&p, "y", &lossless);
    assert_false(adus_flushed(p.from));
    for (unsigned n = 0; n < 6; n++) {
        tell_gone(&p);
        if (adus_pop_limit(p.to, &bytes, &number))
            adus_on_limit(p.from, bytes, number);
    }
    assert_true(cut(&p, 0, 9, &x));
    assert_int_equal(bring(&p, &x), 0);
    expect_text(&p, "y");
    done(&p);
}

static void test_hostile_pieces(void **state)
{
    static const struct piece bad[] = {
        { .number = ADU_WINDOW, .unit_len = 1, .len = 1 },
        { .number = (UINT64_C(1) << 48) - 1, .unit_len = 1, .len = 1 },
        { .unit_len = ADU_LEN_MAX + 1, .len = 1 },
        { .unit_len = 10, .offset = 11, .len = 0 },
        { .unit_len = 10, .offset = UINT32_MAX, .len = 2 },
        { .unit_len = 10, .offset = 9, .len = 2 },
        { .unit_len = 10, .offset = 3, .len = 0 },
    };
    struct pair p = make();
    struct piece big = { .unit_len = ADU_LEN_MAX, .len = 1, .left_ms = ADU_LEFT_NEVER }, other;
    const uint8_t bytes[16] = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(adus_on_piece(p.to, &bad[i], bytes, p.now), -EPROTO);
    assert_int_equal(adus_on_dropped(p.to, ADU_WINDOW, 1, 0), -EPROTO);
    assert_int_equal(adus_on_dropped(p.to, 0, ADU_WINDOW + 1, 0), -EPROTO);
    assert_int_equal(adus_on_dropped(p.to, 1, 0, 0), -EPROTO);
    assert_int_equal(adus_on_dropped(p.to, 1, 2, 1), -EPROTO);
    assert_int_equal(adus_on_piece(p.to, &big, bytes, p.now), 0);
    other = big;
    other.number = 1;
    assert_int_equal(adus_on_piece(p.to, &other, bytes, p.now), 0);
    other.number = 2;
    assert_int_equal(adus_on_piece(p.to, &other, bytes, p.now), -EPROTO); /* beyond the window */
    assert_int_equal(adus_on_dropped(p.to, 2, 1, 1), -EPROTO);
    other = big;
    other.unit_len--;
    assert_int_equal(adus_on_piece(p.to, &other, bytes, p.now), -EPROTO); /* another length than before */
    other = big;
    other.unordered = true;
    assert_int_equal(adus_on_piece(p.to, &other, bytes, p.now), -EPROTO);
    done(&p);
}

static void test_misuse(void **state)
{
    static uint8_t data[ADU_LEN_MAX + 1];
    const struct adu_spec negative = { .lifetime = -1 }, endless = { .lifetime = ADU_LEFT_MAX + 1 };
    struct adu_received u;
    struct pair p = make();

    assert_int_equal(adus_send(p.from, data, sizeof(data), &lossless, p.now), -EMSGSIZE);
    assert_int_equal(adus_send(p.from, data, 1, &negative, p.now), -EINVAL);
    assert_int_equal(adus_send(p.from, data, 1, &endless, p.now), -EINVAL);
    for (unsigned n = 0; n < 8; n++)
        assert_int_equal(adus_send(p.from, data, ADU_LEN_MAX, &lossless, p.now), 0);
    assert_false(adus_has_room(p.from, 1));
    assert_int_equal(adus_send(p.from, data, 1, &lossless, p.now), -EAGAIN);
    adus_break(p.from, -ECONNRESET);
    adus_break(p.from, -ETIMEDOUT);
    assert_int_equal(adus_send(p.from, data, 1, &lossless, p.now), -ECONNRESET);
    assert_int_equal(adus_receive(p.from, data, 1, &u, p.now), -ECONNRESET);
    assert_true(adus_receivable(p.from));
    done(&p);
}

/* --- over a network --- */

static uint8_t text_at(uint64_t number, size_t at)
{
    return (uint8_t)(number * 31 + at * 131 + (at >> 8));
}

struct net {
    struct pair p;
    struct rng *rng;
    struct piece flight[FLIGHT_MAX];
    uint8_t bytes[FLIGHT_MAX][PIECE_MAX];
    size_t count;
};

static bool chance(struct rng *g, unsigned percent)
{
    return rng_u64(g) % 100 < percent;
}

static void fill(struct net *n)
{
    while (n->count < FLIGHT_MAX &&
           cut(&n->p, (unsigned)(rng_u64(n->rng) % 2), 1 + rng_u64(n->rng) % PIECE_MAX, &n->flight[n->count])) {
        assert_true(adus_copy(n->p.from, &n->flight[n->count], n->bytes[n->count]));
        n->count++;
    }
}

static void arrive(struct net *n)
{
    size_t i = n->count ? rng_u64(n->rng) % n->count : 0;
    bool lost = chance(n->rng, 15);

    if (n->count == 0)
        return;
    if (!lost || chance(n->rng, 20)) /* it may come after it was taken for lost, */
        assert_int_equal(adus_on_piece(n->p.to, &n->flight[i], n->bytes[i], n->p.now), 0);
    if (lost)
        adus_on_lost(n->p.from, &n->flight[i]);
    else
        adus_on_acked(n->p.from, &n->flight[i]);
    n->count--;
    n->flight[i] = n->flight[n->count];
    memcpy(n->bytes[i], n->bytes[n->count], PIECE_MAX);
}

static size_t length_of(uint64_t number)
{
    return number % 7 == 0 ? 0 : (number * 7919) % 5000;
}

#define UNITS 6000

static void run(uint64_t seed, bool lossy)
{
    static uint8_t buf[8192];
    struct prng prng;
    struct rng g;
    struct net n = { .p = make() };
    bool *seen = calloc(UNITS, sizeof(*seen));
    uint64_t sent = 0, got = 0, next = 0, bytes, number;
    struct adu_info i, j;

    prng_init(&prng, seed);
    g = prng_rng(&prng);
    n.rng = &g;
    assert_non_null(seen);
    for (unsigned round = 0; sent < UNITS || !adus_flushed(n.p.from) || n.count > 0 || adus_receivable(n.p.to);
         round++) {
        const struct adu_spec spec = { .unordered = sent % 3 == 0,
                                       .unreliable = lossy && sent % 5 == 0,
                                       .priority = (int8_t)(sent % 4),
                                       .lifetime = lossy && sent % 2 ? (span)(sent % 90) * MSEC : 0 };
        struct adu_received u;
        int64_t r;

        assert_true(round < 1000000);
        for (size_t k = 0; k < length_of(sent); k++)
            buf[k] = text_at(sent, k);
        if (sent < UNITS && chance(&g, 30)) {
            r = adus_send(n.p.from, buf, length_of(sent), &spec, n.p.now);
            assert_true(r == 0 || r == -EAGAIN);
            sent += r == 0;
        }
        fill(&n);
        arrive(&n);
        if (chance(&g, 20))
            tell_gone(&n.p);
        n.p.now += (span)(rng_u64(&g) % 200);
        adus_on_expiry(n.p.from, n.p.now);
        adus_on_expiry(n.p.to, n.p.now);
        while (chance(&g, 50) && (r = adus_receive(n.p.to, buf, sizeof(buf), &u, n.p.now)) >= 0) {
            assert_true(u.number < sent && !seen[u.number]);
            assert_int_equal(r, length_of(u.number));
            assert_int_equal(u.unordered, u.number % 3 == 0);
            for (int64_t k = 0; k < r; k++)
                assert_int_equal(buf[k], text_at(u.number, (size_t)k));
            if (!u.unordered) {
                assert_true(u.number >= next);
                next = u.number + 1;
            }
            seen[u.number] = true;
            got++;
        }
        if (chance(&g, 10) && adus_pop_limit(n.p.to, &bytes, &number))
            adus_on_limit(n.p.from, bytes, number);
    }
    adus_info(n.p.from, &i);
    adus_info(n.p.to, &j);
    assert_int_equal(got, j.received);
    assert_int_equal(j.received + j.missed, UNITS);
    assert_int_equal(i.queued_bytes, 0);
    assert_int_equal(j.kept_bytes, 0);
    assert_int_equal(adus_waiting(n.p.from), 0);
    assert_int_equal(i.arrived + i.expired + i.lost, UNITS);
    assert_true(got >= i.arrived || lossy);
    assert_true(lossy ? got < UNITS : got == UNITS);
    for (uint64_t k = 0; k < UNITS; k++) /* one that is unordered, reliable and without a lifetime is never missing */
        assert_true(seen[k] || (lossy && (k % 3 || k % 5 == 0 || k % 2)));
    free(seen);
    done(&n.p);
}

static void test_lossless_over_a_network(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        run(seed, false);
}

static void test_lossy_over_a_network(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        run(seed, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_or_not_at_all),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_priority),
        cmocka_unit_test(test_a_deadline_passes_what_is_missing),
        cmocka_unit_test(test_what_is_gone_is_not_waited_for),
        cmocka_unit_test(test_what_cannot_arrive_is_not_sent),
        cmocka_unit_test(test_the_last_moment),
        cmocka_unit_test(test_what_was_copied),
        cmocka_unit_test(test_the_first_goes_whatever_its_priority),
        cmocka_unit_test(test_bytes_in_flight),
        cmocka_unit_test(test_units_in_number),
        cmocka_unit_test(test_empty_units_that_nobody_reads),
        cmocka_unit_test(test_urgent_units_beyond_the_window),
        cmocka_unit_test(test_pieces_of_a_byte),
        cmocka_unit_test(test_an_outage),
        cmocka_unit_test(test_hostile_pieces),
        cmocka_unit_test(test_misuse),
        cmocka_unit_test(test_lossless_over_a_network),
        cmocka_unit_test(test_lossy_over_a_network),
    };
    return cmocka_run_group_tests_name("adu", tests, NULL, NULL);
}
