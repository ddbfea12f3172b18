/* Unit tests of src/session/stream: the bytes of frames, limits and timers by hand, then both directions over a network
 * that loses, repeats and reorders. */
#include "session/stream.h"
#include "base/hash.h"
#include "base/rng.h"
#include "tests/unit/test.h"

#include <errno.h>

static const uint8_t *pattern(void)
{
    static uint8_t bytes[STREAM_MESSAGE_MAX + 1];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    return bytes;
}

static void test_frame_bytes(void **state)
{
    static const uint8_t first[] = { 0, 0, 0, 0, 1, 'a', 'b', 'c' }, second[] = { 0, 0, 0, 1, 0, 'd' },
                         third[] = { 0, 0, 0, 2, 0, 'x', 'y' };
    struct stream *s = stream_new();
    uint8_t buf[64];

    assert_false(stream_wants_send(s, 1000));
    assert_true(stream_idle(s));
    assert_int_equal(stream_send(s, (const uint8_t *)"abcd", 4), 0);
    assert_int_equal(stream_send(s, (const uint8_t *)"xy", 2), 0);
    assert_true(stream_wants_send(s, 1000));
    assert_int_equal(stream_next_frame(s, buf, 5, 1000), -EMSGSIZE);
    assert_int_equal(stream_next_frame(s, buf, 8, 1000), sizeof(first));
    assert_memory_equal(buf, first, sizeof(first));
    assert_int_equal(stream_next_frame(s, buf, sizeof(buf), 1000), sizeof(second));
    assert_memory_equal(buf, second, sizeof(second));
    assert_int_equal(stream_next_frame(s, buf, sizeof(buf), 1000), sizeof(third));
    assert_memory_equal(buf, third, sizeof(third));
    assert_int_equal(stream_next_frame(s, buf, sizeof(buf), 1000), 0);
    assert_false(stream_wants_send(s, 1000));
    stream_free(s);
}

static void test_limits(void **state)
{
    const uint8_t *bytes = pattern();
    struct stream *s = stream_new();
    uint8_t buf[2000];
    size_t at = 0;

    assert_int_equal(stream_send(s, bytes, 0), -EINVAL);
    assert_int_equal(stream_send(s, bytes, 16385), -EMSGSIZE);
    for (int i = 0; i < 4; i++)
        assert_int_equal(stream_send(s, bytes, 16384), 0);
    assert_int_equal(stream_send(s, bytes, 1), -ENOBUFS);
    /* 32 frames of 1024 bytes fill the window: two messages. */
    for (int i = 0; i < 32; i++) {
        assert_int_equal(stream_next_frame(s, buf, sizeof(buf), 1000), 1029);
        assert_int_equal(get_be32(buf), i);
        assert_int_equal(buf[4], i == 15 || i == 31 ? 0 : 1);
        assert_memory_equal(buf + 5, bytes + at, 1024);
        at = (at + 1024) % 16384;
    }
    assert_int_equal(stream_next_frame(s, buf, sizeof(buf), 1000), 0);
    /* All of the first message but its last frame: nothing is freed; then it is. */
    assert_int_equal(stream_on_ack(s, (const uint8_t[]){ 0, 0, 0, 15 }, 4), 0);
    assert_int_equal(stream_send(s, bytes, 1), -ENOBUFS);
    assert_int_equal(stream_on_ack(s, (const uint8_t[]){ 0, 0, 0, 16 }, 4), 0);
    assert_int_equal(stream_send(s, bytes, 16384), 0);
    assert_int_equal(stream_send(s, bytes, 1), -ENOBUFS);
    assert_int_equal(stream_next_frame(s, buf, sizeof(buf), 1000), 1029);
    assert_int_equal(get_be32(buf), 32);

    stream_reset(s);
    assert_true(stream_idle(s));
    for (int i = 0; i < 256; i++)
        assert_int_equal(stream_send(s, bytes, 1), 0);
    assert_int_equal(stream_send(s, bytes, 1), -ENOBUFS);
    assert_int_equal(stream_next_frame(s, buf, sizeof(buf), 1000), 6);
    assert_int_equal(get_be32(buf), 0);
    stream_free(s);
}

static void test_timers(void **state)
{
    /* 100 ms doubled up to 1 s: sent at 1.0, 1.1, 1.3, 1.7, 2.5, 3.5, 4.5 s. */
    static const instant again[] = { 1100000, 1300000, 1700000, 2500000, 3500000, 4500000 };
    struct stream *s = stream_new();
    uint8_t first[32], buf[32];

    stream_set_rto(s, 100 * MSEC);
    assert_int_equal(stream_next_expiry(s), INSTANT_NEVER);
    assert_int_equal(stream_send(s, (const uint8_t *)"hello", 5), 0);
    assert_int_equal(stream_next_frame(s, first, sizeof(first), 1 * SEC), 10);
    for (size_t i = 0; i < ARRAY_LEN(again); i++) {
        assert_int_equal(stream_next_expiry(s), again[i]);
        assert_false(stream_wants_send(s, again[i] - 1));
        assert_int_equal(stream_next_frame(s, buf, sizeof(buf), again[i] - 1), 0);
        assert_true(stream_wants_send(s, again[i]));
        assert_int_equal(stream_next_frame(s, buf, 9, again[i]), -EMSGSIZE);
        assert_int_equal(stream_next_frame(s, buf, sizeof(buf), again[i]), 10);
        assert_memory_equal(buf, first, 10);
        assert_int_equal(stream_next_frame(s, buf, sizeof(buf), again[i]), 0);
    }
    /* A repetition goes before a new frame; a new frame starts from 100 ms again. */
    assert_int_equal(stream_send(s, (const uint8_t *)"2", 1), 0);
    assert_int_equal(stream_next_frame(s, buf, sizeof(buf), 5500000), 10);
    assert_int_equal(stream_next_frame(s, buf, sizeof(buf), 5500000), 6);
    assert_int_equal(stream_next_expiry(s), 5600000);
    assert_int_equal(stream_on_ack(s, (const uint8_t[]){ 0, 0, 0, 2 }, 4), 0);
    assert_int_equal(stream_next_expiry(s), INSTANT_NEVER);
    assert_true(stream_idle(s));
    stream_free(s);
}

static void test_bad_acks(void **state)
{
    struct stream *s = stream_new();
    uint8_t buf[32];

    assert_int_equal(stream_on_ack(s, (const uint8_t[]){ 0, 0, 0, 0 }, 4), 0);
    assert_int_equal(stream_on_ack(s, (const uint8_t[]){ 0, 0, 0, 1 }, 4), -EPROTO);
    assert_int_equal(stream_on_ack(s, (const uint8_t[]){ 0, 0, 0 }, 3), -EPROTO);
    assert_int_equal(stream_on_ack(s, (const uint8_t[]){ 0, 0, 0, 0, 0 }, 5), -EPROTO);
    assert_int_equal(stream_send(s, (const uint8_t *)"ab", 2), 0);
    assert_int_equal(stream_on_ack(s, (const uint8_t[]){ 0, 0, 0, 1 }, 4), -EPROTO);
    assert_int_equal(stream_next_frame(s, buf, 6, 1000), 6);
    assert_int_equal(stream_next_frame(s, buf, 6, 1000), 6);
    assert_int_equal(stream_on_ack(s, (const uint8_t[]){ 0, 0, 0, 3 }, 4), -EPROTO);
    assert_int_equal(stream_on_ack(s, (const uint8_t[]){ 0, 0, 0, 2 }, 4), 0);
    assert_int_equal(stream_on_ack(s, (const uint8_t[]){ 0, 0, 0, 1 }, 4), 0); /* overtaken */
    assert_true(stream_idle(s));
    stream_free(s);
}

static int give(struct stream *s, uint32_t seq, uint8_t flags, const void *data, size_t len)
{
    uint8_t body[2048];

    put_be32(body, seq);
    body[4] = flags;
    memcpy(body + 5, data, len);
    return stream_on_frame(s, body, 5 + len);
}

static void assert_ack(struct stream *s, uint32_t want)
{
    uint8_t buf[4];

    assert_true(stream_ack_pending(s));
    assert_int_equal(stream_make_ack(s, buf, 3), -EMSGSIZE);
    assert_int_equal(stream_make_ack(s, buf, sizeof(buf)), 4);
    assert_int_equal(get_be32(buf), want);
    assert_false(stream_ack_pending(s));
}

static void test_receive(void **state)
{
    struct stream *s = stream_new();
    const uint8_t *msg;
    size_t len;

    assert_false(stream_ack_pending(s));
    assert_int_equal(give(s, 2, 0, "ef", 2), 0);
    assert_ack(s, 0);
    assert_false(stream_pop_message(s, &msg, &len));
    assert_int_equal(give(s, 0, 1, "ab", 2), 0);
    assert_ack(s, 1);
    assert_int_equal(give(s, 3, 0, "second", 6), 0);
    assert_int_equal(give(s, 31 + 1, 0, "edge", 4), 0);
    assert_int_equal(give(s, 33, 0, "beyond", 6), -EPROTO);
    assert_false(stream_pop_message(s, &msg, &len));
    assert_int_equal(give(s, 1, 1, "cd", 2), 0);
    assert_ack(s, 3); /* the second message is not taken in before the first is popped */
    assert_true(stream_pop_message(s, &msg, &len));
    assert_int_equal(len, 6);
    assert_memory_equal(msg, "abcdef", 6);
    assert_true(stream_pop_message(s, &msg, &len));
    assert_int_equal(len, 6);
    assert_memory_equal(msg, "second", 6);
    assert_ack(s, 4);
    assert_false(stream_pop_message(s, &msg, &len));
    assert_false(stream_ack_pending(s));
    assert_int_equal(give(s, 1, 1, "cd", 2), 0); /* repeated: only acknowledged again */
    assert_ack(s, 4);
    assert_false(stream_pop_message(s, &msg, &len));
    stream_free(s);
}

static void test_bad_frames(void **state)
{
    const uint8_t *bytes = pattern(), *msg;
    struct stream *s = stream_new();
    size_t len;

    assert_int_equal(stream_on_frame(s, bytes, 0), -EPROTO);
    assert_int_equal(stream_on_frame(s, (const uint8_t[]){ 0, 0, 0, 0 }, 4), -EPROTO);
    assert_int_equal(give(s, 0, 0, "", 0), -EPROTO);
    assert_int_equal(give(s, 0, 2, "a", 1), -EPROTO);
    assert_int_equal(give(s, 0, 0x80, "a", 1), -EPROTO);
    assert_int_equal(give(s, 0, 0, bytes, 1025), -EPROTO);
    assert_int_equal(give(s, 32, 0, "a", 1), -EPROTO);
    assert_false(stream_ack_pending(s));
    assert_false(stream_pop_message(s, &msg, &len));
    /* 16 x 1024 is a message; one byte more is not. */
    for (uint32_t i = 0; i < 15; i++)
        assert_int_equal(give(s, i, 1, bytes + i * 1024, 1024), 0);
    assert_int_equal(give(s, 15, 0, bytes + 15 * 1024, 1024), 0);
    assert_true(stream_pop_message(s, &msg, &len));
    assert_int_equal(len, 16384);
    assert_memory_equal(msg, bytes, len);
    for (uint32_t i = 16; i < 31; i++)
        assert_int_equal(give(s, i, 1, bytes, 1024), 0);
    assert_int_equal(give(s, 31, 1, bytes, 1024), -EPROTO);
    assert_int_equal(give(s, 31, 0, bytes, 1), -EPROTO);
    assert_false(stream_pop_message(s, &msg, &len));
    stream_reset(s);
    assert_int_equal(give(s, 0, 0, "ok", 2), 0);
    assert_true(stream_pop_message(s, &msg, &len));
    assert_int_equal(len, 2);
    stream_free(s);
}

/* A network in virtual time: packets with a delay, at random lost or doubled. */
enum { AIR_MAX = 512, MESSAGES = 300 };

struct air {
    struct {
        instant at;
        bool used, ack;
        unsigned to;
        size_t len;
        uint8_t bytes[STREAM_FRAME_HEADER + STREAM_FRAME_DATA_MAX];
    } packets[AIR_MAX];
    struct prng rng;
    unsigned loss_percent;
};

static void air_put(struct air *a, unsigned to, bool ack, const uint8_t *bytes, size_t len, instant now)
{
    unsigned copies = prng_below(&a->rng, 100) < a->loss_percent ? 0 : prng_below(&a->rng, 10) == 0 ? 2 : 1;

    for (unsigned i = 0; i < AIR_MAX && copies > 0; i++) {
        if (a->packets[i].used)
            continue;
        a->packets[i].used = true;
        a->packets[i].at = now + 5 * MSEC + (span)prng_below(&a->rng, 40 * MSEC);
        a->packets[i].to = to;
        a->packets[i].ack = ack;
        a->packets[i].len = len;
        memcpy(a->packets[i].bytes, bytes, len);
        copies--;
    }
    assert_int_equal(copies, 0);
}

struct side {
    struct stream *stream;
    struct prng out, expect; /* the same stream of messages, made twice */
    unsigned sent, received;
};

/* The next message of a stream of messages. */
static size_t make_message(struct prng *p, uint8_t *buf)
{
    size_t len = 1 + (prng_below(p, 8) == 0 ? prng_below(p, STREAM_MESSAGE_MAX) : prng_below(p, 300));
    uint64_t seed = prng_u64(p);

    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)hash_mix64(seed + i);
    return len;
}

static void side_work(struct side *s, struct air *a, unsigned to, instant now)
{
    uint8_t buf[STREAM_MESSAGE_MAX];
    const uint8_t *msg;
    size_t len;
    int n;

    while (s->sent < MESSAGES) {
        struct prng before = s->out;

        len = make_message(&s->out, buf);
        n = stream_send(s->stream, buf, len);
        if (n == 0) {
            s->sent++;
            continue;
        }
        assert_int_equal(n, -ENOBUFS);
        s->out = before;
        break;
    }
    while (stream_pop_message(s->stream, &msg, &len)) {
        assert_int_equal(make_message(&s->expect, buf), len);
        assert_memory_equal(msg, buf, len);
        s->received++;
    }
    while (stream_wants_send(s->stream, now)) {
        size_t max = prng_below(&a->rng, 3) == 0 ? 300 : sizeof(a->packets[0].bytes);

        n = stream_next_frame(s->stream, buf, max, now);
        if (n == -EMSGSIZE)
            n = stream_next_frame(s->stream, buf, sizeof(a->packets[0].bytes), now);
        assert_true(n > STREAM_FRAME_HEADER);
        air_put(a, to, false, buf, (size_t)n, now);
    }
    if (stream_ack_pending(s->stream)) {
        assert_int_equal(stream_make_ack(s->stream, buf, sizeof(buf)), STREAM_ACK_LEN);
        air_put(a, to, true, buf, STREAM_ACK_LEN, now);
    }
}

static void run_network(unsigned loss_percent, uint64_t seed, instant limit)
{
    struct air *a = calloc(1, sizeof(*a));
    struct side sides[2] = { 0 };
    instant now = SEC;

    assert_non_null(a);
    a->loss_percent = loss_percent;
    prng_init(&a->rng, seed);
    for (unsigned i = 0; i < 2; i++) {
        sides[i].stream = stream_new();
        stream_set_rto(sides[i].stream, 100 * MSEC);
        prng_init(&sides[i].out, seed + 100 + i);
        prng_init(&sides[i].expect, seed + 100 + !i);
    }
    for (;;) {
        instant next = INSTANT_NEVER;

        for (unsigned i = 0; i < 2; i++) {
            side_work(&sides[i], a, !i, now);
            next = instant_min(next, stream_next_expiry(sides[i].stream));
        }
        for (unsigned i = 0; i < AIR_MAX; i++) {
            if (a->packets[i].used)
                next = instant_min(next, a->packets[i].at);
        }
        if (next == INSTANT_NEVER)
            break;
        now = next;
        assert_true(now < limit);
        for (unsigned i = 0; i < AIR_MAX; i++) {
            struct stream *to = sides[a->packets[i].to].stream;

            if (!a->packets[i].used || a->packets[i].at > now)
                continue;
            a->packets[i].used = false;
            assert_int_equal(
                (a->packets[i].ack ? stream_on_ack : stream_on_frame)(to, a->packets[i].bytes, a->packets[i].len), 0);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(sides[i].sent, MESSAGES);
        assert_int_equal(sides[i].received, MESSAGES);
        assert_true(stream_idle(sides[i].stream));
        stream_free(sides[i].stream);
    }
    free(a);
}

static void test_network(void **state)
{
    /* 300 messages of about 1.2 KB are some 800 frames, 25 windows of at most 90 ms there and back without loss. With
     * loss a window may need a second or two. */
    run_network(0, 1, 1 * SEC + 10 * SEC);
    run_network(5, 2, 1 * SEC + 60 * SEC);
    run_network(30, 3, 1 * SEC + 300 * SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame_bytes), cmocka_unit_test(test_limits),  cmocka_unit_test(test_timers),
        cmocka_unit_test(test_bad_acks),    cmocka_unit_test(test_receive), cmocka_unit_test(test_bad_frames),
        cmocka_unit_test(test_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
