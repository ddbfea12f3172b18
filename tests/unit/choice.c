/* Unit tests of src/api/choice: what sessions use of what they were told, by the words of RFC 9622 section 6.2. */
#include "api/choice.h"
#include "tests/unit/test.h"

#define UDP 1u
#define TCP 2u
#define MPTCP 4u
#define SCTP 8u
#define NONE PREFERENCE_NONE
#define REQUIRE PREFERENCE_REQUIRE
#define PREFER PREFERENCE_PREFER
#define AVOID PREFERENCE_AVOID
#define PROHIBIT PREFERENCE_PROHIBIT

static void test_client(void **state)
{
    static const struct {
        uint8_t said[TRANSPORT_COUNT]; /* UDP, TCP, MPTCP, SCTP */
        bool hasty;
        struct engine_transports is;
    } cases[] = {
        { { NONE }, false, { .used = UDP, .tcp_instead = true } },
        { { NONE, PROHIBIT }, false, { .used = UDP } },
        { { NONE, PREFER }, false, { .used = TCP, .asked = TCP } },
        { { PREFER, PREFER }, false, { .used = UDP | TCP, .asked = UDP | TCP } },
        { { PREFER }, false, { .used = UDP, .asked = UDP, .tcp_instead = true } },
        { { PROHIBIT }, false, { .used = TCP } },
        { { PROHIBIT }, true, { .used = SCTP } },
        { { PROHIBIT, PROHIBIT }, false, { .used = MPTCP } },
        { { NONE, AVOID }, false, { .used = UDP, .spares = TCP } },
        { { AVOID, PROHIBIT, PROHIBIT, PROHIBIT }, false, { .used = UDP } },
        { { AVOID, AVOID, PROHIBIT, PROHIBIT }, false, { .used = UDP, .spares = TCP } },
        { { PREFER, REQUIRE, AVOID, REQUIRE },
          false,
          { .used = TCP | SCTP, .required = TCP | SCTP, .asked = UDP | TCP | SCTP } },
    };
    static const uint8_t nothing[TRANSPORT_COUNT] = { PROHIBIT, PROHIBIT, PROHIBIT, PROHIBIT };
    struct engine_transports t;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(choose_transports(cases[i].said, cases[i].hasty, false, &t));
        if (memcmp(&t, &cases[i].is, sizeof(t)) != 0)
            fail_msg("case %zu: used %u, required %u, asked %u, spares %u, instead %d", i, t.used, t.required, t.asked,
                     t.spares, t.tcp_instead);
    }
    assert_false(choose_transports(nothing, false, false, &t));
    assert_false(choose_transports(nothing, false, true, &t));
}

static void test_listener(void **state)
{
    static const struct {
        uint8_t said[TRANSPORT_COUNT];
        struct engine_transports is;
    } cases[] = {
        { { NONE }, { .used = UDP | TCP } },
        { { NONE, PROHIBIT }, { .used = UDP } },
        { { NONE, NONE, PREFER }, { .used = UDP | TCP | MPTCP, .asked = MPTCP } },
        { { NONE, NONE, NONE, AVOID }, { .used = UDP | TCP | SCTP } },
        { { PROHIBIT }, { .used = TCP, .asked = TCP } }, /* it cannot do without its only one */
        { { NONE, NONE, NONE, REQUIRE }, { .used = SCTP, .required = SCTP, .asked = SCTP } },
    };
    struct engine_transports t;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(choose_transports(cases[i].said, false, true, &t));
        if (memcmp(&t, &cases[i].is, sizeof(t)) != 0)
            fail_msg("case %zu: used %u, required %u, asked %u, spares %u, instead %d", i, t.used, t.required, t.asked,
                     t.spares, t.tcp_instead);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client),
        cmocka_unit_test(test_listener),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
