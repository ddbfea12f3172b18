/* Unit tests of src/tunnel/mss. */
#include "tunnel/mss.h"

#include "tests/unit/tunnel.h"

#include <errno.h>

static int clamp(uint8_t *pkt, size_t len, uint16_t mtu, bool partial)
{
    struct packet_info i;

    assert_int_equal(packet_parse(pkt, len, &i), 0);
    return mss_clamp(pkt, &i, mtu, partial);
}

static void test_both_families(void **state)
{
    static const uint8_t even[] = { 2, 4, 0x05, 0xb4 }, odd[] = { 1, 2, 4, 0x05, 0xb4, 1, 1, 0 };
    uint8_t pkt[100];

    for (int n = 0; n < 8; n++) {
        bool v6 = n & 1, is_odd = n & 2;
        struct recipe r = { .v6 = v6,
                            .flags = n & 4 ? TCP_SYN | TCP_ACK : TCP_SYN,
                            .options = is_odd ? odd : even,
                            .options_len = is_odd ? sizeof(odd) : sizeof(even) };
        size_t len = cook(&r, pkt), at = (v6 ? 40u : 20u) + 20 + (is_odd ? 3 : 2);

        /* 1460 fits 1500 (IPv4) and 1520 (IPv6). */
        assert_int_equal(clamp(pkt, len, v6 ? 1520 : 1500, false), 0);
        assert_int_equal(clamp(pkt, len, 1420, false), 1);
        assert_int_equal(get_be16(pkt + at), v6 ? 1360 : 1380);
        judge_packet(pkt, len);
        assert_int_equal(clamp(pkt, len, 1420, false), 0);
        assert_int_equal(clamp(pkt, len, 67, false), -EINVAL);
    }
}

static void test_partial_checksum_stays(void **state)
{
    static const uint8_t options[] = { 2, 4, 0x05, 0xb4 };
    struct recipe r = { .flags = TCP_SYN, .options = options, .options_len = 4 };
    uint8_t pkt[100];
    size_t len = cook(&r, pkt);

    put_be16(pkt + 36, 0xabcd);
    assert_int_equal(clamp(pkt, len, 1280, true), 1);
    assert_int_equal(get_be16(pkt + 36), 0xabcd);
    assert_int_equal(get_be16(pkt + 42), 1240);
}

static void test_left_alone(void **state)
{
    static const uint8_t mss[] = { 2, 4, 0x05, 0xb4 }, none[] = { 1, 1, 4, 2 }, ended[] = { 0, 2, 4, 5, 0xb4, 0, 0, 0 };
    static const uint8_t bad[][4] = { { 3, 0, 0, 0 }, { 3, 1, 0, 0 }, { 3, 5, 0, 0 }, { 2, 3, 9, 0 }, { 1, 1, 1, 2 } };
    struct recipe r = { .flags = TCP_ACK, .options = mss, .options_len = 4 };
    uint8_t pkt[100], before[100];
    size_t len = cook(&r, pkt);

    assert_int_equal(clamp(pkt, len, 1280, false), 0); /* not a SYN */
    r.flags = TCP_SYN;
    len = cook(&r, pkt);
    pkt[6] = 0x20;
    assert_int_equal(clamp(pkt, len, 1280, false), 0); /* a fragment */
    r.options = none;
    len = cook(&r, pkt);
    assert_int_equal(clamp(pkt, len, 1280, false), 0);
    r.options = ended;
    r.options_len = 8;
    len = cook(&r, pkt);
    assert_int_equal(clamp(pkt, len, 1280, false), 0);
    for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
        r.options = bad[n];
        r.options_len = 4;
        len = cook(&r, pkt);
        memcpy(before, pkt, len);
        assert_int_equal(clamp(pkt, len, 1280, false), -EBADMSG);
        assert_memory_equal(before, pkt, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_families),
        cmocka_unit_test(test_partial_checksum_stays),
        cmocka_unit_test(test_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
