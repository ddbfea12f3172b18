/* Unit tests of src/tunnel/ptb. */
#include "tunnel/ptb.h"

#include "base/rng.h"
#include "tests/unit/tunnel.h"

#include <errno.h>

static uint8_t payload[2000], pkt[3000], out[PTB_MAX];
static struct packet_info info;
static const struct addr router4 = { ADDR_V4, { 10, 0, 0, 1 } };
static const struct addr router6 = { ADDR_V6, { 0x20, 1, [15] = 9 } };

static size_t make(bool v6, size_t payload_len)
{
    struct recipe r = {
        .v6 = v6, .udp = true, .sport = 9, .id = 0x4321, .payload = payload, .payload_len = payload_len
    };
    size_t len = cook(&r, pkt);

    if (!v6)
        pkt[6] = 0x40; /* DF; the header checksum is not looked at */
    assert_int_equal(packet_parse(pkt, len, &info), 0);
    return len;
}

static void test_v4_too_big(void **state)
{
    size_t len = make(false, 1472);

    assert_int_equal(ptb_make(out, sizeof(out), pkt, &info, &router4, 1400), 576);
    judge_packet(out, 576);
    assert_int_equal(out[9], 1);
    assert_memory_equal(out + 12, router4.bytes, 4);
    assert_memory_equal(out + 16, pkt + 12, 4);
    assert_int_equal(out[20], 3);
    assert_int_equal(out[21], 4);
    assert_int_equal(get_be16(out + 24), 0);
    assert_int_equal(get_be16(out + 26), 1400);
    assert_memory_equal(out + 28, pkt, 548);
    assert_int_equal(ptb_make(out, 575, pkt, &info, &router4, 1400), -ENOSPC);
    assert_int_equal(ptb_make(out, sizeof(out), pkt, &info, &router6, 1400), -EINVAL);
    assert_int_equal(ptb_make(out, sizeof(out), pkt, &info, &router4, 67), -EINVAL);
    pkt[6] = 0;
    assert_int_equal(packet_parse(pkt, len, &info), 0);
    assert_int_equal(ptb_make(out, sizeof(out), pkt, &info, &router4, 1400), 0);
    make(false, 10); /* quoted whole */
    assert_int_equal(ptb_make(out, sizeof(out), pkt, &info, &router4, 68), 28 + 38);
    judge_packet(out, 28 + 38);
}

static void test_v6_too_big(void **state)
{
    make(true, 1452);
    assert_int_equal(ptb_make(out, sizeof(out), pkt, &info, &router6, 1300), 1280);
    judge_packet(out, 1280);
    assert_int_equal(out[6], 58);
    assert_memory_equal(out + 8, router6.bytes, 16);
    assert_memory_equal(out + 24, pkt + 8, 16);
    assert_int_equal(out[40], 2);
    assert_int_equal(out[41], 0);
    assert_int_equal(get_be32(out + 44), 1300);
    assert_memory_equal(out + 48, pkt, 1232);
    assert_int_equal(ptb_make(out, sizeof(out), pkt, &info, &router6, 1279), -EINVAL);
}

static void test_unreachable(void **state)
{
    make(false, 100);
    assert_int_equal(unreachable_make(out, sizeof(out), pkt, &info, &router4, UNREACHABLE_NET), 28 + 128);
    judge_packet(out, 28 + 128);
    assert_int_equal(get_be16(out + 20), 0x0300);
    assert_int_equal(unreachable_make(out, sizeof(out), pkt, &info, &router4, UNREACHABLE_HOST), 28 + 128);
    judge_packet(out, 28 + 128);
    assert_int_equal(get_be16(out + 20), 0x0301);
    assert_int_equal(unreachable_make(out, sizeof(out), pkt, &info, &router4, UNREACHABLE_PROHIBITED), 28 + 128);
    assert_int_equal(get_be16(out + 20), 0x030d);
    assert_int_equal(get_be32(out + 24), 0);
    make(true, 100);
    assert_int_equal(unreachable_make(out, sizeof(out), pkt, &info, &router6, UNREACHABLE_NET), 48 + 148);
    judge_packet(out, 48 + 148);
    assert_int_equal(get_be16(out + 40), 0x0100);
    assert_int_equal(unreachable_make(out, sizeof(out), pkt, &info, &router6, UNREACHABLE_HOST), 48 + 148);
    judge_packet(out, 48 + 148);
    assert_int_equal(get_be16(out + 40), 0x0103);
    assert_int_equal(unreachable_make(out, sizeof(out), pkt, &info, &router6, UNREACHABLE_PROHIBITED), 48 + 148);
    assert_int_equal(get_be16(out + 40), 0x0101);
}

/* Sets bytes of a good packet; no answer may follow. */
static int answer_to(bool v6, size_t at, uint8_t value, size_t at2, uint8_t value2)
{
    size_t len = make(v6, 1452);
    int r, u;

    pkt[at] = value;
    pkt[at2] = value2;
    assert_int_equal(packet_parse(pkt, len, &info), 0);
    r = ptb_make(out, sizeof(out), pkt, &info, v6 ? &router6 : &router4, 1300);
    u = unreachable_make(out, sizeof(out), pkt, &info, v6 ? &router6 : &router4, UNREACHABLE_NET);
    assert_true(r >= 0 && u >= 0);
    return (r > 0) + 2 * (u > 0);
}

static void test_no_answer(void **state)
{
    static const uint8_t errors4[] = { 3, 4, 5, 11, 12, 99 }, errors6[] = { 1, 2, 3, 4, 100, 127, 137 };

    assert_int_equal(answer_to(false, 8, 64, 8, 64), 3);
    assert_int_equal(answer_to(false, 9, 1, 20, 8), 3); /* an echo may be answered */
    for (size_t n = 0; n < ARRAY_LEN(errors4); n++)
        assert_int_equal(answer_to(false, 9, 1, 20, errors4[n]), 0);
    assert_int_equal(answer_to(false, 12, 224, 13, 0), 0);  /* multicast source */
    assert_int_equal(answer_to(false, 12, 127, 13, 0), 0);  /* loopback source */
    assert_int_equal(answer_to(false, 16, 239, 17, 0), 0);  /* multicast destination */
    assert_int_equal(answer_to(false, 6, 0x40, 7, 100), 0); /* not the first fragment */
    assert_int_equal(answer_to(false, 6, 0x60, 7, 0), 3);   /* the first fragment */
    assert_int_equal(answer_to(true, 7, 64, 7, 64), 3);
    assert_int_equal(answer_to(true, 6, 58, 40, 128), 3);
    for (size_t n = 0; n < ARRAY_LEN(errors6); n++)
        assert_int_equal(answer_to(true, 6, 58, 40, errors6[n]), 0);
    assert_int_equal(answer_to(true, 8, 0xff, 9, 2), 0);
    assert_int_equal(answer_to(true, 24, 0xff, 25, 0x0e), 1); /* RFC 4443 2.4 e 3: too big alone */
}

/* Puts the pieces together by offset, as a receiver does. */
static void reassemble(const uint8_t *whole, size_t len, uint16_t mtu, size_t expected_pieces)
{
    uint8_t piece[3000], got[3000];
    size_t hdr = (size_t)(whole[0] & 15) * 4, pieces = 0, end = 0, next = (get_be16(whole + 6) & 0x1fffu) * 8,
           base = next;
    bool more = true;
    struct ipv4_fragment f;
    int n;

    assert_int_equal(packet_parse(whole, len, &info), 0);
    assert_int_equal(ipv4_fragment_init(&f, whole, &info, mtu), 0);
    while ((n = ipv4_fragment_next(&f, piece, sizeof(piece))) > 0) {
        size_t off = (get_be16(piece + 6) & 0x1fffu) * 8, part = (size_t)n - hdr;

        assert_true(n <= mtu);
        assert_int_equal(get_be16(piece + 2), n);
        assert_int_equal(judge_sum(0, piece, hdr), 0xffff);
        assert_int_equal(get_be16(piece + 4), get_be16(whole + 4));
        assert_memory_equal(piece + 12, whole + 12, 8);
        assert_true(more);
        more = piece[6] & 0x20;
        assert_true(!more || part % 8 == 0 || pieces + 1 == expected_pieces);
        assert_int_equal(off, next);
        next += part;
        memcpy(got + off - base, piece + hdr, part);
        end = off - base + part;
        pieces++;
    }
    assert_int_equal(n, 0);
    assert_int_equal(pieces, expected_pieces);
    assert_int_equal(end, len - hdr);
    assert_memory_equal(got, whole + hdr, end);
    assert_int_equal(more, (whole[6] & 0x20) != 0);
}

static void test_fragments(void **state)
{
    struct recipe r = { .udp = true, .id = 7, .payload = payload, .payload_len = 1472 };
    struct ipv4_fragment f;
    size_t len;

    for (size_t n = 0; n < sizeof(payload); n++)
        payload[n] = (uint8_t)(n * 7 + n / 256);
    len = cook(&r, pkt);
    reassemble(pkt, len, 1500, 1);
    reassemble(pkt, len, 1499, 2);
    reassemble(pkt, len, 28, 185); /* 1480 / 8 */
    reassemble(pkt, len, 35, 185); /* 15 bytes fit, 8 are used */
    put_be16(pkt + 6, 0x2000 | 50);
    reassemble(pkt, len, 600, 3); /* a fragment cut again: 576, 576, 328, the last with more to come */
    assert_int_equal(ipv4_fragment_init(&f, pkt, &info, 27), -EINVAL);
    assert_int_equal(ipv4_fragment_init(&f, pkt, &info, 600), 0);
    assert_int_equal(ipv4_fragment_next(&f, out, 595), -ENOSPC);
    assert_int_equal(ipv4_fragment_next(&f, out, 596), 596);
    make(false, 1472);
    assert_int_equal(ipv4_fragment_init(&f, pkt, &info, 600), -EMSGSIZE);
    make(true, 1472);
    assert_int_equal(ipv4_fragment_init(&f, pkt, &info, 600), -EPROTONOSUPPORT);
}

static void test_fragment_options(void **state)
{
    /* Record route (7, not copied), router alert (148, copied), a NOP. */
    static const uint8_t options[] = { 7, 3, 4, 148, 4, 0, 0, 1 };
    uint8_t first[100], second[100];
    struct ipv4_fragment f;

    memset(pkt, 0, 128);
    pkt[0] = 0x47;
    pkt[3] = 128;
    pkt[9] = 200;
    memcpy(pkt + 20, options, 8);
    reassemble(pkt, 128, 92, 2);
    assert_int_equal(ipv4_fragment_init(&f, pkt, &info, 92), 0);
    assert_int_equal(ipv4_fragment_next(&f, first, sizeof(first)), 92);
    assert_int_equal(ipv4_fragment_next(&f, second, sizeof(second)), 64);
    assert_memory_equal(first + 20, options, 8);
    assert_memory_equal(second + 20, ((uint8_t[]){ 1, 1, 1, 148, 4, 0, 0, 1 }), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v4_too_big), cmocka_unit_test(test_v6_too_big), cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_no_answer),  cmocka_unit_test(test_fragments),  cmocka_unit_test(test_fragment_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
