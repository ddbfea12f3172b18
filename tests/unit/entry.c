/* Unit tests of ident/entry.h. */
#include "ident/entry.h"
#include "tests/unit/test.h"

#include <errno.h>

static const uint8_t seed[32] = { 7 };

/* By hand: the bytes in front of the signature. */
static void test_bytes(void **state)
{
    static const uint8_t want[] = { 1, 0, 0, 0, 0, 0, 0, 0, 5, [41] = 0, 2, 0, 1, 0xaa, 0, 2, 0xbb, 0xcc };
    const uint8_t a[] = { 0xaa }, b[] = { 0xbb, 0xcc }, before[32] = { 0 };
    const struct slice records[] = { { a, 1 }, { b, 2 } };
    uint8_t out[256], pub[32], other[32];
    struct slice got;
    struct entry e;
    size_t len;

    assert_int_equal(ed25519_public(seed, pub), 0);
    assert_int_equal(entry_encode(5, ENTRY_WHOLE, before, records, 2, seed, out, sizeof(out), &len), 0);
    assert_int_equal(len, entry_size(2, 3));
    assert_int_equal(len, sizeof(want) + 64);
    assert_memory_equal(out, want, sizeof(want));
    assert_int_equal(entry_encode(5, ENTRY_WHOLE, before, records, 2, seed, out, len - 1, &len), -ENOSPC);
    assert_int_equal(entry_encode(5, ENTRY_WHOLE, before, records, 0, seed, out, sizeof(out), &len), -EINVAL);
    assert_int_equal(entry_decode(out, len, &e), 0);
    assert_int_equal(e.index, 5);
    assert_true(entry_next(&e, &got));
    assert_int_equal(got.len, 1);
    assert_true(entry_next(&e, &got));
    assert_memory_equal(got.data, b, 2);
    assert_false(entry_next(&e, &got));
    assert_int_equal(entry_verify(out, len, pub), 0);
    memcpy(other, pub, 32);
    other[0] ^= 1;
    assert_int_equal(entry_verify(out, len, other), -EBADMSG);
    for (size_t i = 0; i < len; i++) {
        out[i] ^= 0x10;
        assert_int_equal(entry_verify(out, len, pub), -EBADMSG);
        out[i] ^= 0x10;
        assert_int_equal(entry_decode(out, i, &e), -EPROTO);
    }
    out[0] = 2;
    assert_int_equal(entry_decode(out, len, &e), -EPROTO);
    for (unsigned part = 0; part < 16; part++) {
        out[0] = (uint8_t)(part << 4 | 1);
        assert_int_equal(entry_decode(out, len, &e), part < ENTRY_PART_COUNT ? 0 : -EPROTO);
        if (part < ENTRY_PART_COUNT)
            assert_int_equal(e.part, part);
    }
    assert_int_equal(entry_encode(5, ENTRY_LAST_PART, before, records, 2, seed, out, sizeof(out), &len), 0);
    assert_int_equal(out[0], 0x31);
    assert_memory_equal(out + 1, want + 1, sizeof(want) - 1);
    assert_int_equal(entry_verify(out, len, pub), 0);
    out[0] = 1; /* a part is never taken for the whole */
    assert_int_equal(entry_verify(out, len, pub), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_bytes) };

    return cmocka_run_group_tests_name("entry", tests, NULL, NULL);
}
