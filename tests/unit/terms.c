/* Unit tests of src/session/terms.c: what is said, by hand, and who refuses whom. */
#include "session/terms.h"
#include "tests/unit/test.h"

static void test_bytes(void **state)
{
    static const uint8_t expected[TERMS_LEN] = { 0x08, 0x01, 0x32, 0x00, 0x10, 1, 4, 0x03, 0x13 };
    const struct terms t = {
        .semantics_required = 1u << SEMANTICS_ORDERED,
        .semantics_prohibited = 1u << SEMANTICS_UNORDERED_LOSSY,
        .objectives = { 3, 2 },
        .objectives_prohibited = 1u << 4,
        .fairness = 1,
        .fairness_prohibited = 4,
        .transports = 1u << TERMS_UDP | 1u << TERMS_TCP,
        .refused = 0x13,
    };
    uint8_t out[TERMS_LEN];
    struct writer w = writer_init(out, sizeof(out));
    struct reader r = reader_init(expected, sizeof(expected));
    struct terms got;

    terms_write(&w, &t);
    assert_false(w.failed);
    assert_int_equal(writer_len(&w), TERMS_LEN);
    assert_memory_equal(out, expected, TERMS_LEN);
    terms_read(&r, &got);
    assert_true(reader_done(&r));
    assert_memory_equal(&got, &t, sizeof(t));
}

static const char *words(struct terms responder, struct terms initiator)
{
    uint8_t refused = terms_conflict(&responder, &initiator);

    return refused ? terms_refusal_name(refused) : "";
}

static void test_conflicts(void **state)
{
    const struct terms none = { 0 };

    assert_string_equal(words(none, none), "");
    assert_string_equal(words((struct terms){ .semantics_prohibited = 1u << SEMANTICS_LOSSY },
                              (struct terms){ .semantics_required = 1u << SEMANTICS_LOSSY }),
                        "it does not take ordered, lossy delivery");
    assert_string_equal(words((struct terms){ .semantics_required = 1u << SEMANTICS_UNORDERED },
                              (struct terms){ .semantics_prohibited = 0xff }),
                        "it requires unordered, lossless delivery");
    assert_string_equal(words((struct terms){ .semantics_prohibited = 1u << SEMANTICS_LOSSY },
                              (struct terms){ .semantics_required = 1u << SEMANTICS_ORDERED }),
                        "");
    assert_string_equal(
        words((struct terms){ .objectives_prohibited = 1u << 3 }, (struct terms){ .objectives = { 1, 3 } }),
        "it does not send for jitter");
    assert_string_equal(words((struct terms){ .fairness_prohibited = 1 }, none), "it does not take independent paths");
    assert_string_equal(words((struct terms){ .fairness = 1 }, (struct terms){ .fairness_prohibited = 2 }),
                        "it sends by coupled paths");
    assert_string_equal(words((struct terms){ .transports = 2 }, (struct terms){ .transports = 1 }),
                        "it has no transport in common");
    assert_string_equal(words((struct terms){ .transports = 2 }, none), ""); /* an older end does not say */
}

/* What another version may say has words too, and what is not known is no reason. */
static void test_unknown(void **state)
{
    for (unsigned i = 1; i < 256; i++)
        assert_true(strlen(terms_refusal_name((uint8_t)i)) > 0);
    assert_string_equal(terms_refusal_name(0xf0), "by a term that is not known here");
    assert_string_equal(
        words((struct terms){ .objectives_prohibited = 0xff }, (struct terms){ .objectives = { 15 }, .fairness = 200 }),
        "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_conflicts),
        cmocka_unit_test(test_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
