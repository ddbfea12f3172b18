/* Unit tests of wire/cbor.h. */
#include "wire/cbor.h"
#include "tests/unit/hex.h"
#include "tests/unit/test.h"

#include "base/rng.h"

#include <cbor.h>

/* RFC 8949 appendix A, table 6, in its order: those that section 4.2.1 allows. */
static const char *const deterministic[] = {
    "00",
    "01",
    "0a",
    "17",
    "1818",
    "1819",
    "1864",
    "1903e8",
    "1a000f4240",
    "1b000000e8d4a51000",
    "1bffffffffffffffff",
    "c249010000000000000000",
    "3bffffffffffffffff",
    "c349010000000000000000",
    "20",
    "29",
    "3863",
    "3903e7",
    "f90000",
    "f98000",
    "f93c00",
    "fb3ff199999999999a",
    "f93e00",
    "f97bff",
    "fa47c35000",
    "fa7f7fffff",
    "fb7e37e43c8800759c",
    "f90001",
    "f90400",
    "f9c400",
    "fbc010666666666666",
    "f97c00",
    "f97e00",
    "f9fc00",
    "f4",
    "f5",
    "f6",
    "f7",
    "f0",
    "f8ff",
    "c074323031332d30332d32315432303a30343a30305a",
    "c11a514b67b0",
    "c1fb41d452d9ec200000",
    "d74401020304",
    "d818456449455446",
    "d82076687474703a2f2f7777772e6578616d706c652e636f6d",
    "40",
    "4401020304",
    "60",
    "6161",
    "6449455446",
    "62225c",
    "62c3bc",
    "63e6b0b4",
    "64f0908591",
    "80",
    "83010203",
    "8301820203820405",
    "98190102030405060708090a0b0c0d0e0f101112131415161718181819",
    "a0",
    "a201020304",
    "a26161016162820203",
    "826161a161626163",
    "a56161614161626142616361436164614461656145",
};

/* The others, and what is wrong with them. */
static const struct {
    const char *hex;
    enum cbor_fault fault;
    size_t at;
} others[] = {
    { "fa7f800000", CBOR_NOT_SHORTEST, 0 },
    { "fa7fc00000", CBOR_NOT_SHORTEST, 0 },
    { "faff800000", CBOR_NOT_SHORTEST, 0 },
    { "fb7ff0000000000000", CBOR_NOT_SHORTEST, 0 },
    { "fb7ff8000000000000", CBOR_NOT_SHORTEST, 0 },
    { "fbfff0000000000000", CBOR_NOT_SHORTEST, 0 },
    { "5f42010243030405ff", CBOR_INDEFINITE, 0 },
    { "7f657374726561646d696e67ff", CBOR_INDEFINITE, 0 },
    { "9fff", CBOR_INDEFINITE, 0 },
    { "9f018202039f0405ffff", CBOR_INDEFINITE, 0 },
    { "9f01820203820405ff", CBOR_INDEFINITE, 0 },
    { "83018202039f0405ff", CBOR_INDEFINITE, 5 },
    { "83019f0203ff820405", CBOR_INDEFINITE, 2 },
    { "9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", CBOR_INDEFINITE, 0 },
    { "bf61610161629f0203ffff", CBOR_INDEFINITE, 0 },
    { "826161bf61626163ff", CBOR_INDEFINITE, 3 },
    { "bf6346756ef563416d7421ff", CBOR_INDEFINITE, 0 },
};

/* By hand: each cause, and the offset of the item that is wrong. */
static const struct {
    const char *hex;
    enum cbor_fault fault;
    size_t at;
} bad[] = {
    { "", CBOR_TRUNCATED, 0 },
    { "18", CBOR_TRUNCATED, 0 },
    { "1900", CBOR_TRUNCATED, 0 },
    { "1b00000000000000", CBOR_TRUNCATED, 0 },
    { "4401", CBOR_TRUNCATED, 0 },
    { "6261", CBOR_TRUNCATED, 0 },
    { "8201", CBOR_TRUNCATED, 2 },
    { "a101", CBOR_TRUNCATED, 2 },
    { "9bffffffffffffffff", CBOR_TRUNCATED, 9 },
    { "5bffffffffffffffff00", CBOR_TRUNCATED, 0 },
    { "bbffffffffffffffff0000", CBOR_TRUNCATED, 11 },
    { "1817", CBOR_NOT_SHORTEST, 0 },
    { "190018", CBOR_NOT_SHORTEST, 0 },
    { "1900ff", CBOR_NOT_SHORTEST, 0 },
    { "1a0000ffff", CBOR_NOT_SHORTEST, 0 },
    { "1b00000000ffffffff", CBOR_NOT_SHORTEST, 0 },
    { "3817", CBOR_NOT_SHORTEST, 0 },
    { "580100", CBOR_NOT_SHORTEST, 0 },
    { "8201"
      "1817",
      CBOR_NOT_SHORTEST, 2 },
    { "d817"
      "00",
      CBOR_NOT_SHORTEST, 0 },
    { "980100", CBOR_NOT_SHORTEST, 0 },
    { "1c", CBOR_RESERVED, 0 },
    { "5d", CBOR_RESERVED, 0 },
    { "fe", CBOR_RESERVED, 0 },
    { "ff", CBOR_RESERVED, 0 },
    { "1f", CBOR_RESERVED, 0 },
    { "df00", CBOR_RESERVED, 0 },
    { "f800", CBOR_RESERVED, 0 },
    { "f81f", CBOR_RESERVED, 0 },
    { "a2"
      "0200"
      "0100",
      CBOR_KEY_ORDER, 3 },
    { "a2"
      "0100"
      "0100",
      CBOR_KEY_DUPLICATE, 3 },
    { "a2"
      "626161"
      "00"
      "6162"
      "00",
      CBOR_KEY_ORDER, 5 }, /* shorter first: 61 sorts before 62 */
    { "a2"
      "20"
      "00"
      "1864"
      "00",
      CBOR_KEY_ORDER, 3 }, /* 100 sorts before -1 */
    { "62c328", CBOR_UTF8, 0 },
    { "61ff", CBOR_UTF8, 0 },
    { "62c080", CBOR_UTF8, 0 },     /* overlong NUL */
    { "63e08080", CBOR_UTF8, 0 },   /* overlong */
    { "63eda080", CBOR_UTF8, 0 },   /* surrogate */
    { "64f4908080", CBOR_UTF8, 0 }, /* above U+10FFFF */
    { "61c3", CBOR_UTF8, 0 },
    { "818181818181818100", CBOR_SOUND, 0 },
    { "81818181818181818100", CBOR_DEPTH, 8 },
    { "fa33800000", CBOR_NOT_SHORTEST, 0 },         /* 2^-24: f90001 */
    { "fa33000000", CBOR_SOUND, 0 },                /* 2^-25 */
    { "fa387fc000", CBOR_NOT_SHORTEST, 0 },         /* the largest subnormal half, 2^-14 - 2^-24 */
    { "fa387fe000", CBOR_SOUND, 0 },                /* a bit more than it has room for */
    { "fa00000000", CBOR_NOT_SHORTEST, 0 },         /* 0: f90000 */
    { "fa477fe000", CBOR_NOT_SHORTEST, 0 },         /* 65504, the largest half */
    { "fa47800000", CBOR_SOUND, 0 },                /* 65536 */
    { "fb36a0000000000000", CBOR_NOT_SHORTEST, 0 }, /* 2^-149, the least single */
    { "fb3690000000000000", CBOR_SOUND, 0 },        /* 2^-150 */
    { "fb47efffffe0000000", CBOR_NOT_SHORTEST, 0 }, /* the largest single */
    { "fb47f0000000000000", CBOR_SOUND, 0 },        /* 2^128 */
    { "f97e01", CBOR_NOT_SHORTEST, 0 },             /* another NaN */
};

static void check(const char *hex, enum cbor_fault fault, size_t at)
{
    uint8_t buf[64];
    size_t len = unhex(hex, buf, sizeof(buf)), item_len = 0, fault_at = 0;
    enum cbor_fault got = cbor_check(buf, len, &item_len, &fault_at);

    if (got != fault || fault_at != at || (got == CBOR_SOUND && item_len != len))
        fail_msg("%s: %s at %zu, expected %s at %zu", hex, cbor_fault_name(got), fault_at, cbor_fault_name(fault), at);
}

static void test_appendix_a(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(deterministic); i++)
        check(deterministic[i], CBOR_SOUND, 0);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        check(others[i].hex, others[i].fault, others[i].at);
    assert_int_equal(ARRAY_LEN(deterministic) + ARRAY_LEN(others), 81); /* the rows of the table */
}

static void test_bad(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check(bad[i].hex, bad[i].fault, bad[i].at);
    for (int f = 0; f < CBOR_FAULT_COUNT; f++)
        assert_true(strlen(cbor_fault_name((enum cbor_fault)f)) > 0);
}

/* One item, and what follows is left to the caller. */
static void test_sequence(void **state)
{
    const uint8_t two[] = { 0x82, 0x01, 0x02, 0x03 };
    size_t len = 0, at = 0;
    struct cbor_reader r = cbor_reader_init(two, sizeof(two));

    assert_int_equal(cbor_check(two, sizeof(two), &len, &at), CBOR_SOUND);
    assert_int_equal(len, 3);
    assert_int_equal(cbor_read_array(&r, 2, 2), 2);
    assert_int_equal(cbor_read_uint(&r, 0, 9), 1);
    assert_int_equal(cbor_read_uint(&r, 0, 9), 2);
    assert_false(cbor_done(&r));
    assert_int_equal(r.fault, CBOR_TRAILING);
    assert_int_equal(r.fault_at, 3);
}

static void test_reader(void **state)
{
    /* {1: h'aabb', 2: "ü", 300: [7, 8]}, by hand */
    uint8_t buf[32];
    size_t len = unhex("a3"
                       "0142aabb"
                       "0262c3bc"
                       "19012c820708",
                       buf, sizeof(buf)),
           n;
    struct cbor_reader r = cbor_reader_init(buf, len);
    struct cbor_map m = cbor_read_map(&r, 3);
    uint64_t key;
    uint8_t two[2];

    assert_true(cbor_map_next(&r, &m, &key));
    assert_int_equal(key, 1);
    cbor_read_copy(&r, two, 2);
    assert_int_equal(two[1], 0xbb);
    assert_true(cbor_map_next(&r, &m, &key));
    assert_memory_equal(cbor_read_text(&r, 1, 2, &n), "\xc3\xbc", 2);
    assert_int_equal(n, 2);
    assert_true(cbor_map_next(&r, &m, &key));
    assert_int_equal(key, 300);
    assert_int_equal(cbor_next_major(&r), CBOR_ARRAY);
    assert_int_equal(cbor_read_array(&r, 0, 2), 2);
    assert_int_equal(cbor_read_uint(&r, 0, 7), 7);
    assert_int_equal(cbor_read_uint(&r, 0, 8), 8);
    assert_false(cbor_map_next(&r, &m, &key));
    assert_true(cbor_done(&r));
}

/* The first fault stays, and everything after it reads as nothing. */
static void test_reader_faults(void **state)
{
    static const struct {
        const char *hex;
        char what;
        enum cbor_fault fault;
        size_t at;
    } cases[] = {
        { "01", 'b', CBOR_TYPE, 0 },           { "4101", 'u', CBOR_TYPE, 0 },
        { "20", 'u', CBOR_TYPE, 0 },           { "0b", 'u', CBOR_RANGE, 0 },
        { "00", 'u', CBOR_RANGE, 0 },          { "43010203", 'b', CBOR_RANGE, 0 },
        { "420102", 't', CBOR_TYPE, 0 },       { "61ff", 't', CBOR_UTF8, 0 },
        { "c101", 'u', CBOR_TYPE, 0 },         { "f6", 'u', CBOR_TYPE, 0 },
        { "1801", 'u', CBOR_NOT_SHORTEST, 0 }, { "4101", 'c', CBOR_RANGE, 0 },
        { "8101", 'm', CBOR_TYPE, 0 },         { "a20000", 'm', CBOR_RANGE, 0 },
        { "a10100", 'a', CBOR_TYPE, 0 },       { "9f01ff", 'a', CBOR_INDEFINITE, 0 },
        { "a12000", 'm', CBOR_TYPE, 1 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t buf[8], two[2] = { 9, 9 };
        size_t len = unhex(cases[i].hex, buf, sizeof(buf)), n;
        struct cbor_reader r = cbor_reader_init(buf, len);
        struct cbor_map m;
        uint64_t key;

        switch (cases[i].what) {
        case 'u':
            assert_int_equal(cbor_read_uint(&r, 1, 10), 0);
            break;
        case 'b':
            assert_null(cbor_read_bytes(&r, 1, 2, &n));
            break;
        case 't':
            assert_null(cbor_read_text(&r, 0, 2, &n));
            break;
        case 'c':
            cbor_read_copy(&r, two, 2);
            assert_int_equal(two[0] | two[1], 0);
            break;
        case 'a':
            assert_int_equal(cbor_read_array(&r, 0, 4), 0);
            break;
        default:
            m = cbor_read_map(&r, 1);
            assert_false(cbor_map_next(&r, &m, &key));
            break;
        }
        if (r.fault != cases[i].fault || r.fault_at != cases[i].at)
            fail_msg("%s as %c: %s at %zu", cases[i].hex, cases[i].what, cbor_fault_name(r.fault), r.fault_at);
        assert_int_equal(cbor_read_uint(&r, 0, UINT64_MAX), 0);
        assert_false(cbor_done(&r));
        assert_int_equal(r.fault, cases[i].fault);
    }
}

static void test_map_order(void **state)
{
    static const struct {
        const char *hex;
        enum cbor_fault fault;
    } cases[] = { { "a2010218190"
                    "3",
                    CBOR_SOUND },
                  { "a202000100", CBOR_KEY_ORDER },
                  { "a202000200", CBOR_KEY_DUPLICATE } };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t buf[8];
        struct cbor_reader r = cbor_reader_init(buf, unhex(cases[i].hex, buf, sizeof(buf)));
        struct cbor_map m = cbor_read_map(&r, 4);
        uint64_t key;

        while (cbor_map_next(&r, &m, &key))
            cbor_read_uint(&r, 0, 9);
        assert_int_equal(r.fault, cases[i].fault);
        if (r.fault != CBOR_SOUND)
            assert_int_equal(r.fault_at, 3);
    }
}

/* Heads at the ends of each width: RFC 8949 section 3. */
static void test_writer(void **state)
{
    static const struct {
        uint64_t value;
        const char *hex;
    } cases[] = { { 0, "00" },
                  { 23, "17" },
                  { 24, "1818" },
                  { 255, "18ff" },
                  { 256, "190100" },
                  { 65535, "19ffff" },
                  { 65536, "1a00010000" },
                  { UINT32_MAX, "1affffffff" },
                  { 1ull << 32, "1b0000000100000000" },
                  { UINT64_MAX, "1bffffffffffffffff" } };
    uint8_t out[16], want[16];
    struct writer w;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = unhex(cases[i].hex, want, sizeof(want));

        w = writer_init(out, sizeof(out));
        cbor_write_head(&w, CBOR_UINT, cases[i].value);
        assert_int_equal(writer_len(&w), len);
        assert_memory_equal(out, want, len);
    }
    w = writer_init(out, 3);
    cbor_write_text(&w, "IETF", 4);
    assert_true(w.failed);
}

/* Random bytes that look like CBOR: what is accepted, libcbor accepts, with the same length. What ends too soon for us
 * ends too soon for it. Simple values and short tags that have no meaning (e0 to f3, f8, c6 to d4) are not given:
 * libcbor 0.8 does not know them. Nor are long lengths: it takes memory for as many items as they claim. */
static void test_libcbor_agrees(void **state)
{
    static const uint8_t heads[] = { 0x00, 0x17, 0x18, 0x19, 0x20, 0x41, 0x42, 0x58, 0x61, 0x62, 0x80, 0x81, 0x82,
                                     0x98, 0xa0, 0xa1, 0xa2, 0xc1, 0xf4, 0xf6, 0xf9, 0xfa, 0x7e, 0xff, 0x9f, 0x5f };
    struct prng p;
    unsigned accepted = 0;

    prng_init(&p, 1);
    for (int i = 0; i < 100000; i++) {
        uint8_t buf[24];
        size_t len = 1 + prng_below(&p, sizeof(buf)), item_len = 0, at = 0;
        struct cbor_load_result theirs;
        enum cbor_fault ours;
        cbor_item_t *item;

        for (size_t j = 0; j < len; j++) {
            buf[j] = prng_below(&p, 4) ? heads[prng_below(&p, sizeof(heads))] : (uint8_t)prng_u64(&p);
            if ((buf[j] >= 0xe0 && buf[j] <= 0xf3) || buf[j] == 0xf8 || (buf[j] >= 0xc6 && buf[j] <= 0xd4) ||
                (buf[j] >= 0x40 && buf[j] < 0xc0 && (buf[j] & 31) > 24 && (buf[j] & 31) < 28))
                buf[j] = 0xf6;
        }
        ours = cbor_check(buf, len, &item_len, &at);
        item = cbor_load(buf, len, &theirs);
        if (ours == CBOR_SOUND) {
            accepted++;
            assert_non_null(item);
            assert_int_equal(theirs.read, item_len);
        } else if (ours == CBOR_TRUNCATED) {
            assert_null(item);
        }
        if (item)
            cbor_decref(&item);
    }
    assert_true(accepted > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_appendix_a),    cmocka_unit_test(test_bad),
        cmocka_unit_test(test_sequence),      cmocka_unit_test(test_reader),
        cmocka_unit_test(test_reader_faults), cmocka_unit_test(test_map_order),
        cmocka_unit_test(test_writer),        cmocka_unit_test(test_libcbor_agrees),
    };
    return cmocka_run_group_tests_name("cbor", tests, NULL, NULL);
}
