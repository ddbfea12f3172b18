/* Unit tests of src/wire/word: bytes laid out by hand after doc/dmux.md, each length and each byte that is fixed. */
#include "wire/word.h"
#include "tests/unit/test.h"

#include <errno.h>

static const struct {
    uint8_t type;
    size_t min, max; /* bytes of a word */
    size_t zeros;    /* behind its type */
} rows[] = {
    { WORD_ASK, 22, 22, 21 },           /* as long as what it is answered by */
    { WORD_DEMAND, 22, 22, 1 },         /* 2, nonce 20 */
    { WORD_ADMIT, 118, 118 + 1100, 1 }, /* 2, nonce 20, Noise IK message 1: e 32, s 48, tag 16, and the chain */
    { WORD_VERDICT, 55, 55, 1 },        /* 2, Noise IK message 2: e 32, tag 16, and a judgement of 5 */
    { WORD_OPEN, 2, 2, 1 },
};

static void test_lengths(void **state)
{
    uint8_t data[1300] = { 0 };
    struct word w;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        data[0] = rows[i].type;
        for (size_t len = 0; len <= sizeof(data); len++)
            assert_int_equal(word_read(data, len, &w), len >= rows[i].min && len <= rows[i].max ? 0 : -EBADMSG);
    }
}

static void test_fixed_bytes(void **state)
{
    uint8_t data[118] = { 0 };
    struct word w;

    for (unsigned type = 0; type < 256; type++) {
        size_t len = 0;

        for (size_t i = 0; i < ARRAY_LEN(rows); i++)
            len = rows[i].type == type ? rows[i].min : len;
        data[0] = (uint8_t)type;
        assert_int_equal(word_read(data, len ? len : 22, &w), len ? 0 : -EBADMSG);
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        data[0] = rows[i].type;
        for (size_t k = 1; k < rows[i].min; k++) {
            data[k] = 1;
            assert_int_equal(word_read(data, rows[i].min, &w), k <= rows[i].zeros ? -EBADMSG : 0);
            data[k] = 0;
        }
    }
}

static void test_fields(void **state)
{
    uint8_t data[118], out[WORD_ADMIT_MAX];
    struct word w;

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    data[0] = WORD_ADMIT, data[1] = 0;
    assert_int_equal(word_read(data, sizeof(data), &w), 0);
    assert_int_equal(w.nonce[0], 2);
    assert_int_equal(w.nonce[19], 21);
    assert_ptr_equal(w.noise.data, data + 22);
    assert_int_equal(w.noise.len, 96);
    assert_int_equal(word_write(&w, out, sizeof(out)), sizeof(data));
    assert_memory_equal(out, data, sizeof(data));
    for (size_t size = 0; size < sizeof(data); size++)
        assert_int_equal(word_write(&w, out, size), 0);
    w.type = WORD_TYPE_COUNT;
    assert_int_equal(word_write(&w, out, sizeof(out)), 0);
}

static void test_judgement(void **state)
{
    static const struct {
        uint8_t bytes[6];
        size_t len;
        int r;
    } texts[] = {
        { { 0, 0, 0, 2, 0x58 }, 5, 0 },        { { 1, 0, 0, 0, 0 }, 5, 0 },
        { { 4, 0, 0, 0, 0 }, 5, 0 },           { { 5, 0, 0, 0, 0 }, 5, -EBADMSG },
        { { 0, 0, 0, 0, 0 }, 5, -EBADMSG }, /* for no time */
        { { 1, 0, 0, 0, 1 }, 5, -EBADMSG }, /* refused for a second */
        { { 0, 0, 0, 2, 0x58 }, 4, -EBADMSG }, { { 0, 0, 0, 2, 0x58, 0 }, 6, -EBADMSG },
    };
    uint8_t out[WORD_JUDGEMENT_LEN];
    struct judgement j;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_int_equal(judgement_read(texts[i].bytes, texts[i].len, &j), texts[i].r);
        if (texts[i].r == 0) {
            judgement_write(&j, out);
            assert_memory_equal(out, texts[i].bytes, sizeof(out));
        }
    }
    assert_int_equal(judgement_read(texts[0].bytes, 5, &j), 0);
    assert_int_equal(j.lifetime_s, 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_fixed_bytes),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_judgement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
