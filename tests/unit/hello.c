/* Unit tests of src/wire/hello: both datagrams by hand. */
#include "wire/hello.h"
#include "tests/unit/test.h"

#include <errno.h>

static const uint8_t nonce[HELLO_NONCE_LEN] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

static void test_hello(void **state)
{
    uint8_t expected[128] = { 6, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
    uint8_t out[HELLO_LEN], later[HELLO_MAX + 1], got[HELLO_NONCE_LEN];

    hello_write(out, nonce);
    assert_memory_equal(out, expected, 128);
    assert_int_equal(hello_read(out, 128, got), 0);
    assert_memory_equal(got, nonce, 16);
    assert_int_equal(hello_read(out, 127, got), -EBADMSG);
    memset(later, 0xff, sizeof(later)); /* what a later version may say */
    later[0] = 6;
    assert_int_equal(hello_read(later, 512, got), 0);
    assert_int_equal(hello_read(later, 513, got), -EBADMSG);
    later[0] = 7;
    assert_int_equal(hello_read(later, 512, got), -EBADMSG);
}

static void test_answer(void **state)
{
    struct hello_answer a = { .versions = 1, .carrier_port = 443 }, got;
    uint8_t expected[88] = { 7, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 }, out[HELLO_ANSWER_LEN];
    uint8_t later[HELLO_MAX + 1] = { 0 };

    for (uint8_t i = 0; i < 66; i++)
        a.key[i] = expected[20 + i] = (uint8_t)(100 + i);
    expected[86] = 1; /* 443 = 256 + 187 */
    expected[87] = 187;
    memcpy(a.nonce, nonce, sizeof(nonce));
    hello_answer_write(out, &a);
    assert_memory_equal(out, expected, 88);
    for (size_t len = 0; len < 88; len++)
        assert_int_equal(hello_answer_read(out, len, &got), -EBADMSG);
    memcpy(later, expected, 88);
    later[2] = later[3] = later[88] = 0xff; /* fields that we do not know */
    assert_int_equal(hello_answer_read(later, 512, &got), 0);
    assert_int_equal(got.versions, 1);
    assert_int_equal(got.carrier_port, 443);
    assert_memory_equal(got.nonce, nonce, 16);
    assert_memory_equal(got.key, expected + 20, 66);
    assert_int_equal(hello_answer_read(later, 513, &got), -EBADMSG);
    later[1] = 0;
    assert_int_equal(hello_answer_read(later, 88, &got), -EBADMSG);
    later[1] = 1;
    later[0] = 6;
    assert_int_equal(hello_answer_read(later, 88, &got), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
