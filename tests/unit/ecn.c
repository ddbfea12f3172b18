/* Unit tests of src/tunnel/ecn: RFC 6040's table word for word, and headers by hand. */
#include "tunnel/ecn.h"

#include "tests/unit/tunnel.h"

#include <errno.h>

static void test_table(void **state)
{
    /* RFC 6040 figure 4. Columns: arriving outer Not-ECT, ECT(0), ECT(1), CE; -1: drop. */
    static const enum ecn columns[] = { 0, 2, 1, 3 };
    static const struct {
        enum ecn inner;
        int out[4];
    } rows[] = {
        { 0, { 0, 0, 0, -1 } },
        { 2, { 2, 2, 1, 3 } },
        { 1, { 1, 1, 1, 3 } },
        { 3, { 3, 3, 3, 3 } },
    };

    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = 0; j < 4; j++)
            assert_int_equal(ecn_combine(rows[i].inner, columns[j]), rows[i].out[j] < 0 ? -EBADMSG : rows[i].out[j]);
}

static void test_v4(void **state)
{
    static const uint8_t payload[9];
    struct recipe r = { .udp = true, .id = 7, .payload = payload, .payload_len = sizeof(payload) };
    uint8_t pkt[64];
    size_t len = cook(&r, pkt);

    assert_int_equal(ecn_tos(pkt), 0);
    assert_false(ecn_mark(pkt));
    judge_packet(pkt, len);
    for (unsigned from = 0; from < 4; from++) {
        for (unsigned to = 0; to < 4; to++) {
            /* DSCP EF (RFC 3246), with a checksum by the judge. */
            pkt[1] = (uint8_t)(46 << 2 | from);
            put_be16(pkt + 10, 0);
            put_be16(pkt + 10, (uint16_t)~judge_sum(0, pkt, 20));
            ecn_set(pkt, (enum ecn)to);
            assert_int_equal(ecn_tos(pkt), 46 << 2 | to);
            judge_packet(pkt, len);
        }
    }
    ecn_set(pkt, ECN_ECT0);
    assert_true(ecn_mark(pkt));
    assert_int_equal(pkt[1], 46 << 2 | 3);
    assert_true(ecn_mark(pkt));
    assert_int_equal(pkt[1], 46 << 2 | 3);
    judge_packet(pkt, len);
}

static void test_v4_wrong_stays_wrong(void **state)
{
    static const uint8_t payload[9];
    struct recipe r = { .udp = true, .payload = payload, .payload_len = sizeof(payload) };
    uint8_t pkt[64];

    cook(&r, pkt);
    pkt[8]--; /* time to live, without the checksum */
    assert_int_not_equal(judge_sum(0, pkt, 20), 0xffff);
    ecn_set(pkt, ECN_ECT1);
    assert_int_not_equal(judge_sum(0, pkt, 20), 0xffff);
}

static void test_v6(void **state)
{
    /* Version 6, traffic class, flow label 0xabcde. */
    uint8_t pkt[40] = { 0x6b, 0x8a, 0xbc, 0xde };

    assert_int_equal(ecn_tos(pkt), 46 << 2);
    assert_false(ecn_mark(pkt));
    ecn_set(pkt, ECN_ECT1);
    assert_int_equal(get_be16(pkt), 0x6b9a);
    assert_true(ecn_mark(pkt));
    assert_int_equal(get_be16(pkt), 0x6bba);
    ecn_set(pkt, ECN_ECT0);
    assert_int_equal(get_be16(pkt), 0x6baa);
    assert_int_equal(ecn_tos(pkt), 46 << 2 | 2);
    assert_int_equal(get_be16(pkt + 2), 0xbcde);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_v4),
        cmocka_unit_test(test_v4_wrong_stays_wrong),
        cmocka_unit_test(test_v6),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
