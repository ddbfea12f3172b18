/* Unit tests of wire/ack.c. */
#include "wire/ack.h"
#include "base/rng.h"
#include "tests/unit/test.h"

/* The layout of ack.h, written by hand: path 7, largest 1000, delay 250 us, receive time 0xfffffff0, 900 records,
 * 1260000 bytes; received: 991..1000, 985..988, 1. */
static const uint8_t example[] = {
    0x00, 0x00, 0x00, 0x07,                         /* path id */
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0xe8, /* largest */
    0x00, 0x00, 0x00, 0xfa, 0xff, 0xff, 0xff, 0xf0, /* delay, receive time */
    0x00, 0x00, 0x03, 0x84, 0x00, 0x13, 0x39, 0xe0, /* records, bytes */
    0x03,                                           /* ranges */
    0x00, 0x00, 0x00, 0x0a,                         /* 991..1000 */
    0x00, 0x02, 0x00, 0x04,                         /* not 989, 990; 985..988 */
    0x03, 0xd7, 0x00, 0x01,                         /* not 2..984; 1 */
};

#define COUNT_AT 28 /* offset of the number of ranges */

static const struct ack example_ack = {
    .path_id = 7,
    .largest = 1000,
    .delay_us = 250,
    .rx_time_us = 0xfffffff0,
    .rx_pkts = 900,
    .rx_bytes = 1260000,
    .ranges_count = 3,
    .ranges = { { 991, 1000 }, { 985, 988 }, { 1, 1 } },
};

static void assert_same(const struct ack *a, const struct ack *b)
{
    assert_int_equal(a->path_id, b->path_id);
    assert_int_equal(a->largest, b->largest);
    assert_int_equal(a->delay_us, b->delay_us);
    assert_int_equal(a->rx_time_us, b->rx_time_us);
    assert_int_equal(a->rx_pkts, b->rx_pkts);
    assert_int_equal(a->rx_bytes, b->rx_bytes);
    assert_int_equal(a->ranges_count, b->ranges_count);
    for (unsigned i = 0; i < a->ranges_count; i++) {
        assert_int_equal(a->ranges[i].first, b->ranges[i].first);
        assert_int_equal(a->ranges[i].last, b->ranges[i].last);
    }
}

static void test_layout(void **state)
{
    uint8_t buf[sizeof(example)];
    struct writer w = writer_init(buf, sizeof(buf));
    struct reader r = reader_init(example, sizeof(example));
    struct ack a;

    ack_write(&w, &example_ack);
    assert_false(w.failed);
    assert_int_equal(writer_len(&w), sizeof(example));
    assert_memory_equal(buf, example, sizeof(example));
    ack_read(&r, &a);
    assert_true(reader_done(&r));
    assert_same(&a, &example_ack);
}

static void test_every_truncation(void **state)
{
    for (size_t len = 0; len < sizeof(example); len++) {
        struct reader r = reader_init(example, len);
        struct ack a = { .path_id = 99 };

        ack_read(&r, &a);
        assert_true(r.failed);
        assert_int_equal(a.path_id, 99); /* written only on success */
    }
}

static void test_as_many_ranges_as_fit(void **state)
{
    for (size_t size = COUNT_AT + 1 + 4; size < sizeof(example); size++) {
        uint8_t buf[sizeof(example)];
        struct writer w = writer_init(buf, size);
        struct reader r;
        struct ack a, expected = example_ack;

        ack_write(&w, &example_ack);
        assert_false(w.failed);
        r = reader_init(buf, writer_len(&w));
        ack_read(&r, &a);
        assert_true(reader_done(&r));
        expected.ranges_count = (unsigned)(size - COUNT_AT - 1) / 4;
        assert_same(&a, &expected);
    }
}

static bool readable(const uint8_t *buf, size_t len)
{
    struct reader r = reader_init(buf, len);
    struct ack a;

    ack_read(&r, &a);
    return reader_done(&r);
}

static void test_bad_input(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
        const char *what;
    } bad[] = {
        { COUNT_AT, 0, "no range" },
        { COUNT_AT, ACK_RANGES_MAX + 1, "too many ranges" },
        { COUNT_AT, 4, "a range is missing" },
        { COUNT_AT, 2, "bytes left over" },
        { COUNT_AT + 2, 1, "a gap before the first range" },
        { COUNT_AT + 4, 0, "an empty first range" },
        { COUNT_AT + 6, 0, "no gap before the second range" },
        { COUNT_AT + 8, 0, "an empty range" },
        { COUNT_AT + 12, 3, "a range below 0" },
        { COUNT_AT + 3, 4, "a range longer than the counters there are" },
    };
    uint8_t buf[sizeof(example)];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        memcpy(buf, example, sizeof(buf));
        buf[bad[i].at] = bad[i].value;
        if (readable(buf, sizeof(buf)))
            fail_msg("accepted: %s", bad[i].what);
    }
    memcpy(buf, example, sizeof(buf));
    memset(buf + 4, 0xff, 8); /* largest 2^64 - 1: the next counter would not exist */
    assert_false(readable(buf, sizeof(buf)));
    buf[11] = 0xfe;
    assert_true(readable(buf, sizeof(buf)));
    memcpy(buf, example, sizeof(buf));
    buf[COUNT_AT + 12] = 2; /* one more: the last range reaches down to 0, but not further */
    assert_true(readable(buf, sizeof(buf)));
}

static void test_long_runs_are_cut(void **state)
{
    static const struct ack in = {
        .largest = ((uint64_t)1 << 63) + 5,
        .ranges_count = 2,
        .ranges = { { 1, ((uint64_t)1 << 63) + 5 }, { 0, 0 } },
    };
    static const struct ack far = {
        .largest = 100000,
        .ranges_count = 3,
        .ranges = { { 100000, 100000 }, { 99000, 99998 }, { 10, 20 } }, /* the last gap does not fit 16 bits */
    };
    uint8_t buf[256];
    struct writer w = writer_init(buf, sizeof(buf));
    struct reader r;
    struct ack a;

    ack_write(&w, &in);
    r = reader_init(buf, writer_len(&w));
    ack_read(&r, &a);
    assert_true(reader_done(&r));
    assert_int_equal(a.ranges_count, 1);
    assert_int_equal(a.ranges[0].last, in.largest);
    assert_int_equal(a.ranges[0].first, in.largest - 65534);

    w = writer_init(buf, sizeof(buf));
    ack_write(&w, &far);
    r = reader_init(buf, writer_len(&w));
    ack_read(&r, &a);
    assert_true(reader_done(&r));
    assert_int_equal(a.ranges_count, 2);
    assert_int_equal(a.ranges[1].first, 99000);
}

/* Whatever sets of counters there are, they come back as they were. */
static void test_round_trip(void **state)
{
    struct prng p;

    prng_init(&p, 3);
    for (int i = 0; i < 20000; i++) {
        struct ack in = { .path_id = (uint32_t)prng_u64(&p), .delay_us = (uint32_t)prng_u64(&p) }, out;
        uint64_t above = prng_u64(&p) >> prng_below(&p, 40);
        uint8_t buf[32 + 4 * ACK_RANGES_MAX];
        struct writer w = writer_init(buf, sizeof(buf));
        struct reader r;

        above = CLAMP(above, (uint64_t)1 << 23, UINT64_MAX - 1);
        in.largest = above;
        in.rx_time_us = (uint32_t)prng_u64(&p);
        in.ranges_count = 1 + (unsigned)prng_below(&p, ACK_RANGES_MAX);
        for (unsigned k = 0; k < in.ranges_count; k++) {
            in.ranges[k].last = k == 0 ? above : above - 1 - prng_below(&p, 65535);
            in.ranges[k].first = in.ranges[k].last - prng_below(&p, 65535);
            above = in.ranges[k].first - 1;
        }
        ack_write(&w, &in);
        assert_false(w.failed);
        r = reader_init(buf, writer_len(&w));
        ack_read(&r, &out);
        assert_true(reader_done(&r));
        assert_same(&out, &in);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_every_truncation),
        cmocka_unit_test(test_as_many_ranges_as_fit),
        cmocka_unit_test(test_bad_input),
        cmocka_unit_test(test_long_runs_are_cut),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
