/* Unit tests of src/wire/shim and src/wire/dmux: bytes laid out by hand after doc/dmux.md; macs by `openssl mac ...
 * SIPHASH` (OpenSSL 3, which gives the published a129ca6149be45e5 for the 15 bytes of the SipHash paper). */
#include "tests/unit/test.h"
#include "wire/dmux.h"

#include <errno.h>

static void test_fixed_part(void **state)
{
    /* version 1, 2 words, no flags, IPv6, provider 100; one byte of a packet */
    const uint8_t plain[] = { 0x12, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00, 0x64, 0x60 };
    uint8_t out[SHIM_LEN_MAX];
    struct shim s;

    assert_int_equal(shim_parse(plain, plain + sizeof(plain), &s), SHIM_OK);
    assert_int_equal(s.flags, 0);
    assert_int_equal(s.len, 8);
    assert_int_equal(s.protocol, DMUX_IPV6);
    assert_int_equal(s.provider, 100);
    assert_int_equal(s.cookie_at + s.client_at, 0);
    assert_int_equal(shim_put(out, 0, 6, 100), 8);
    assert_memory_equal(out, plain, 8);
}

static void test_fields(void **state)
{
    /* K and A with V: 8 + 12 + 8 = 28 bytes = 7 words */
    uint8_t all[28] = { 0x17, 0x70, 0x01, 0x10, 0x00, 0x00, 0x00, 0x01 };
    struct shim s;

    assert_int_equal(shim_parse(all, all + sizeof(all), &s), SHIM_OK);
    assert_int_equal(s.len, 28);
    assert_int_equal(s.cookie_at, 8);
    assert_int_equal(s.client_at, 20);
    all[0] = 0x16, all[1] = 0x50; /* K is not there: A follows the fixed part: 16 bytes would be 4 words */
    assert_int_equal(shim_parse(all, all + sizeof(all), &s), SHIM_BAD_LENGTH);
    all[0] = 0x14, all[1] = 0x40;
    assert_int_equal(shim_parse(all, all + sizeof(all), &s), SHIM_OK);
    assert_int_equal(s.client_at, 8);
    assert_int_equal(s.cookie_at, 0);
}

/* K, A and H with V: 8 + 12 + 8 + 20 = 48 bytes = 12 words. */
static void test_home(void **state)
{
    uint8_t all[48] = { 0x1c, 0x72, 0x00, 0x06, 0x00, 0x00, 0x00, 0x64 };
    struct shim s;

    assert_int_equal(shim_parse(all, all + sizeof(all), &s), SHIM_OK);
    assert_int_equal(s.len, 48);
    assert_int_equal(s.client_at, 20);
    assert_int_equal(s.home_at, 28);
    assert_int_equal(shim_parse(all, all + 47, &s), SHIM_SHORT);
    all[0] = 0x17, all[1] = 0x70;
    assert_int_equal(shim_parse(all, all + sizeof(all), &s), SHIM_OK);
    assert_int_equal(s.home_at, 0);
}

static void test_faults(void **state)
{
    static const struct {
        uint8_t bytes[12];
        size_t len;
        enum shim_fault fault;
    } rows[] = {
        { { 0x12, 0, 0, 6, 0, 0, 0 }, 7, SHIM_SHORT },
        { { 0x15, 0x10, 0, 6, 0, 0, 0, 1 }, 12, SHIM_SHORT }, /* a cookie is announced */
        { { 0x45, 0, 0, 6, 0, 0, 0, 1 }, 8, SHIM_NOT_VERSION_1 },
        { { 0x60, 0, 0, 6, 0, 0, 0, 1 }, 8, SHIM_NOT_VERSION_1 },
        { { 0x22, 0, 0, 6, 0, 0, 0, 1 }, 8, SHIM_NOT_VERSION_1 },
        { { 0x13, 0, 0, 6, 0, 0, 0, 1 }, 12, SHIM_BAD_LENGTH },
        { { 0x11, 0, 0, 6, 0, 0, 0, 1 }, 12, SHIM_BAD_LENGTH },
        { { 0x12, 1, 0, 6, 0, 0, 0, 1 }, 12, SHIM_BAD_FLAGS },
        { { 0x12, 8, 0, 6, 0, 0, 0, 1 }, 8, SHIM_BAD_FLAGS },
        { { 0x17, 2, 0, 6, 0, 0, 0, 1 }, 12, SHIM_BAD_FLAGS },    /* a home of nobody */
        { { 0x1c, 0x52, 0, 6, 0, 0, 0, 1 }, 12, SHIM_BAD_FLAGS }, /* of who has not shown its address */
        { { 0x1c, 0x72, 0, 6, 0, 0, 0, 1 }, 12, SHIM_SHORT },
        { { 0x12, 4, 0, 6, 0, 0, 0, 1 }, 12, SHIM_OK },           /* a word */
        { { 0x12, 4, 0, 0, 0, 0, 0, 1 }, 12, SHIM_BAD_PROTOCOL }, /* and of no protocol */
        { { 0x12, 0x84, 0, 6, 0, 0, 0, 1 }, 12, SHIM_BAD_FLAGS }, /* control and a word */
        { { 0x12, 0xa0, 0, 6, 0, 0, 0, 1 }, 12, SHIM_BAD_FLAGS }, /* control and verified */
        { { 0x12, 0, 0, 0, 0, 0, 0, 1 }, 8, SHIM_BAD_PROTOCOL },
        { { 0x12, 0, 0, 6, 0, 0, 0, 0 }, 8, SHIM_BAD_PROVIDER },
        { { 0x12, 0x80, 0, 0, 0, 0, 0, 1 }, 8, SHIM_OK }, /* control of no protocol in particular */
    };
    struct shim s;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(shim_parse(rows[i].bytes, rows[i].bytes + rows[i].len, &s), rows[i].fault);
}

static void test_mac(void **state)
{
    const struct shim_key key = { { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u } };
    const struct shim_claim c = { .kind = SHIM_COOKIE_CLIENT,
                                  .epoch = 7,
                                  .time = 0x123456,
                                  .client = 0xc0000207,
                                  .client_port = 0x1234,
                                  .router = 0xcb007109,
                                  .router_port = 51821,
                                  .gateway = 5 };
    const uint8_t cookie[12] = { 7, 0x12, 0x34, 0x56, 0xb5, 0x7e, 0xac, 0x57, 0xad, 0xca, 0x7f, 0xf1 };
    uint8_t out[12];

    /* openssl gives bytes, which are the number little-endian: 94af49f6c650adb8 and f17fcaad57ac7eb5 */
    assert_true(shim_sip(&key, 0x0706050403020100u, 0x0f0e0d0c0b0a0908u, 0x1716151413121110u, 0) ==
                0xb8ad50c6f649af94u);
    assert_true(shim_mac(&key, &c) == 0xb57eac57adca7ff1u);
    shim_put_cookie(out, &c, shim_mac(&key, &c));
    assert_memory_equal(out, cookie, sizeof(cookie));
    assert_int_equal(shim_cookie_time(out), 0x123456);
    assert_true(shim_cookie_mac(out) == 0xb57eac57adca7ff1u);
}

/* What is minted for a client that comes by a home is nothing for one that comes by itself. */
static void test_mac_of_home(void **state)
{
    const struct shim_key key = { { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u } };
    const struct shim_claim c = { .kind = SHIM_COOKIE_VERIFIED,
                                  .epoch = 7,
                                  .time = 0x123456,
                                  .client = 0xc0000207,
                                  .client_port = 0x1234,
                                  .router = 0xcb007109,
                                  .router_port = 51821,
                                  .gateway = 5,
                                  .home = 0xc6336409,
                                  .home_port = 51821 };

    /* openssl: ce7cf2722f512771 of the bytes 0 to 31, and 88d00060fbc3ca34 */
    assert_true(shim_sip(&key, 0x0706050403020100u, 0x0f0e0d0c0b0a0908u, 0x1716151413121110u, 0x1f1e1d1c1b1a1918u) ==
                0x7127512f72f27cceu);
    assert_true(shim_mac(&key, &c) == 0x34cac3fb6000d088u);
}

static int read_message(const uint8_t *data, size_t len, struct dmux_message *ret)
{
    struct shim s;

    if (shim_parse(data, data + len, &s) != SHIM_OK || !(s.flags & SHIM_CONTROL))
        return -EPROTO;
    return dmux_read(&s, data, len, ret);
}

static void test_hello(void **state)
{
    uint8_t wire[64] = { 0x12, 0x80, 0, 6, 0, 0, 0, 1, 1, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88 };
    uint8_t out[DMUX_MESSAGE_MAX];
    struct dmux_message m = { .type = DMUX_HELLO, .protocol = 6, .provider = 1, .nonce = 0x1122334455667788u }, got;

    assert_int_equal(dmux_write(&m, out, sizeof(out)), 64);
    assert_memory_equal(out, wire, 64);
    assert_int_equal(read_message(wire, 64, &got), 0);
    assert_true(got.nonce == 0x1122334455667788u);
    assert_int_equal(read_message(wire, 63, &got), -EBADMSG); /* too short: its answer could be longer */
    wire[63] = 1;
    assert_int_equal(read_message(wire, 64, &got), -EBADMSG);
    wire[63] = 0, wire[9] = 1;
    assert_int_equal(read_message(wire, 64, &got), -EBADMSG);
}

static void test_challenge(void **state)
{
    const uint8_t wire[46] = { 0x12, 0x80, 0,   6, 0,    0,    0, 1, 2, 0, /* header */
                               0,    0,    0,   0, 0,    0,    0, 9,       /* nonce */
                               0,    0,    0,   5,                         /* gateway */
                               198,  51,   100, 1, 0xca, 0x6d,             /* 198.51.100.1:51821 */
                               192,  0,    2,   7, 0x12, 0x34,             /* 192.0.2.7:4660 */
                               1,    2,    3,   4, 5,    6,    7, 8, 9, 10, 11, 12 };
    struct dmux_message m;

    assert_int_equal(read_message(wire, sizeof(wire), &m), 0);
    assert_int_equal(m.type, DMUX_CHALLENGE);
    assert_int_equal(m.gateway, 5);
    assert_int_equal(m.unicast.port, 51821);
    assert_int_equal(m.you.port, 0x1234);
    assert_int_equal(m.you.addr.family, ADDR_V4);
    assert_int_equal(get_be32(m.you.addr.bytes), 0xc0000207);
    assert_int_equal(m.cookie[11], 12);
    assert_int_equal(read_message(wire, sizeof(wire) - 1, &m), -EBADMSG);
}

/* No answer is longer than what it answers: refs for amplification, RFC 8085 section 3.1. */
static void test_lengths(void **state)
{
    static const struct {
        uint8_t ask, answer;
    } pairs[] = { { DMUX_HELLO, DMUX_CHALLENGE }, { DMUX_REGISTER, DMUX_ACK },   { DMUX_REGISTER, DMUX_NAK },
                  { DMUX_KEEPALIVE, DMUX_CHECK }, { DMUX_KEEPALIVE, DMUX_NAK },  { DMUX_CHECK, DMUX_PROOF },
                  { DMUX_WITHDRAW, DMUX_NAK },    { DMUX_ECHO, DMUX_ECHO_REPLY } };
    uint8_t out[DMUX_MESSAGE_MAX];

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        struct dmux_message a = { .type = pairs[i].ask, .provider = 1 }, b = { .type = pairs[i].answer, .provider = 1 };
        size_t len = dmux_write(&a, out, sizeof(out));

        assert_true(len > 0);
        assert_true(dmux_write(&b, out, sizeof(out)) <= len);
    }
}

static void test_signed_len(void **state)
{
    uint8_t out[DMUX_MESSAGE_MAX];
    struct dmux_message m = { .type = DMUX_REGISTER, .provider = 2 };
    size_t len = dmux_write(&m, out, sizeof(out));

    /* 10 of header, nonce 8, gateway 4, cookie 12, address 6, weight 2, dh 32, key 32 */
    assert_int_equal(dmux_signed_len(out, len), 106);
    assert_int_equal(len, 106 + 64);
    m.type = DMUX_HELLO;
    len = dmux_write(&m, out, sizeof(out));
    assert_int_equal(dmux_signed_len(out, len), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixed_part), cmocka_unit_test(test_fields),    cmocka_unit_test(test_faults),
        cmocka_unit_test(test_mac),        cmocka_unit_test(test_home),      cmocka_unit_test(test_mac_of_home),
        cmocka_unit_test(test_hello),      cmocka_unit_test(test_challenge), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_signed_len),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
