/* Unit tests of src/wire/carrier: streams by hand, cut at every place. */
#include "wire/carrier.h"
#include "tests/unit/test.h"

#include <errno.h>

static struct carrier c;

static size_t put(uint8_t *at, size_t n, uint8_t fill)
{
    at[0] = (uint8_t)(n >> 8);
    at[1] = (uint8_t)n;
    memset(at + 2, fill, n);
    return n + 2;
}

static void expect(uint8_t **data, size_t *len, size_t n, uint8_t fill)
{
    uint8_t *got;
    size_t got_len;

    assert_int_equal(carrier_next(&c, data, len, &got, &got_len), 1);
    assert_int_equal(got_len, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(got[i], fill);
}

static void expect_no_more(uint8_t **data, size_t *len)
{
    uint8_t *got;
    size_t got_len;

    assert_int_equal(carrier_next(&c, data, len, &got, &got_len), 0);
    assert_int_equal(*len, 0);
}

static void test_peek(void **state)
{
    static uint8_t buf[70000];
    size_t len = put(buf, 16248, 1);

    assert_int_equal(carrier_peek(buf, len, RECORD_LARGE_MAX), 16248);
    assert_int_equal(carrier_peek(buf, len - 1, RECORD_LARGE_MAX), 0);
    assert_int_equal(carrier_peek(buf, 2, RECORD_LARGE_MAX), 0);
    assert_int_equal(carrier_peek(buf, 1, RECORD_LARGE_MAX), 0);
    assert_int_equal(carrier_peek(buf, 0, RECORD_LARGE_MAX), 0);
    assert_int_equal(carrier_peek(buf, len, RECORD_MAX), -EPROTO);
    put(buf, 16249, 1);
    assert_int_equal(carrier_peek(buf, 2, RECORD_LARGE_MAX), -EPROTO);
    put(buf, 23, 1);
    assert_int_equal(carrier_peek(buf, 2, RECORD_LARGE_MAX), -EPROTO);
    put(buf, 24, 1);
    assert_int_equal(carrier_peek(buf, 26, RECORD_LARGE_MAX), 24);
}

static void test_whole(void **state)
{
    uint8_t buf[4000], *p = buf;
    size_t len = put(buf, 24, 1);

    memset(&c, 0, sizeof(c));
    len += put(buf + len, 1452, 2);
    len += put(buf + len, 274, 3);
    expect(&p, &len, 24, 1);
    expect(&p, &len, 1452, 2);
    expect(&p, &len, 274, 3);
    expect_no_more(&p, &len);
}

/* Three datagrams, the stream cut once at each place: what comes out is the same, and what was given out of one read is
 * still whole when that read's tail has been kept. */
static void test_every_cut(void **state)
{
    uint8_t stream[200], a[200], b[200];
    size_t total = put(stream, 24, 1);

    total += put(stream + total, 50, 2);
    total += put(stream + total, 36, 3);
    for (size_t cut = 0; cut <= total; cut++) {
        size_t len = cut, left = total - cut, seen = 0;
        uint8_t *p = a, *q = b, *got;
        size_t got_len;
        const size_t lens[] = { 24, 50, 36 };

        memset(&c, 0, sizeof(c));
        memcpy(a, stream, cut);
        memcpy(b, stream + cut, left);
        while (carrier_next(&c, &p, &len, &got, &got_len) == 1) {
            assert_int_equal(got_len, lens[seen]);
            assert_int_equal(got[0], ++seen);
        }
        assert_int_equal(len, 0);
        assert_int_equal(seen, cut < 26 ? 0 : cut < 78 ? 1 : cut < total ? 2 : 3);
        while (seen < 3)
            expect(&q, &left, lens[seen], (uint8_t)(seen + 1)), seen++;
        expect_no_more(&q, &left);
    }
}

static void test_kept_is_not_overwritten(void **state)
{
    uint8_t stream[300], *p, *got, *first;
    size_t total = put(stream, 100, 1), len, got_len;

    memset(&c, 0, sizeof(c));
    total += put(stream + total, 100, 2);
    p = stream;
    len = 50;
    expect_no_more(&p, &len);
    len = 150 - 50; /* the rest of the first, and the beginning of the second */
    assert_int_equal(carrier_next(&c, &p, &len, &first, &got_len), 1);
    expect_no_more(&p, &len);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(first[i], 1);
    len = total - 150;
    assert_int_equal(carrier_next(&c, &p, &len, &got, &got_len), 1);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(got[i], 2);
}

static void test_bad_length(void **state)
{
    static const uint16_t bad[] = { 0, 1, 23, 1453, 0xffff };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        uint8_t buf[2] = { (uint8_t)(bad[i] >> 8), (uint8_t)bad[i] }, *p = buf, *got;
        size_t len = 2, got_len;

        memset(&c, 0, sizeof(c));
        assert_int_equal(carrier_next(&c, &p, &len, &got, &got_len), -EPROTO);
        /* The same, byte by byte. */
        memset(&c, 0, sizeof(c));
        p = buf;
        len = 1;
        expect_no_more(&p, &len);
        len = 1;
        assert_int_equal(carrier_next(&c, &p, &len, &got, &got_len), -EPROTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peek),       cmocka_unit_test(test_whole),
        cmocka_unit_test(test_every_cut),  cmocka_unit_test(test_kept_is_not_overwritten),
        cmocka_unit_test(test_bad_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
