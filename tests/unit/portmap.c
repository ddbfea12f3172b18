/* Unit tests of wire/portmap.h and node/portmap.h: a gateway that is played here, in virtual time. Bytes are laid out
 * by hand after RFC 6887 and RFC 6886. */
#include "node/portmap.h"
#include "tests/unit/test.h"

#include <errno.h>

#define T0 (1000 * SEC)
#define PORT 51820

static const uint8_t nonce[PORTMAP_NONCE_LEN] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
static const uint8_t host[4] = { 192, 168, 1, 2 }, gateway[4] = { 192, 168, 1, 1 }, outside[4] = { 203, 0, 113, 7 };
static struct prng prng;
static struct portmap p;
static uint8_t out[PORTMAP_REQUEST_MAX], in[PORTMAP_ANSWER_MAX + 4];

static struct endpoint at(const uint8_t *addr, uint16_t port)
{
    return (struct endpoint){ addr_from_bytes(ADDR_V4, addr), port };
}

static void start(bool natpmp)
{
    struct portmap_options o = { .port = PORT, .natpmp = natpmp };

    prng_init(&prng, 3);
    o.client = addr_from_bytes(ADDR_V4, host);
    o.gateway = addr_from_bytes(ADDR_V4, gateway);
    memcpy(o.nonce, nonce, sizeof(nonce));
    o.rng = prng_rng(&prng);
    portmap_start(&p, &o, T0);
}

static void hear(size_t len, instant now)
{
    const struct endpoint from = at(gateway, PORTMAP_PORT);

    portmap_input(&p, &from, in, len, false, now);
}

/* An answer to MAP in PCP. */
static size_t pcp(uint8_t result, uint32_t lifetime_s, uint32_t epoch_s, uint16_t port)
{
    memset(in, 0, sizeof(in));
    in[0] = 2;
    in[1] = 0x81;
    in[3] = result;
    put_be32(in + 4, lifetime_s);
    put_be32(in + 8, epoch_s);
    memcpy(in + 24, nonce, sizeof(nonce));
    in[36] = 17;
    put_be16(in + 40, PORT);
    put_be16(in + 42, port);
    in[54] = in[55] = 0xff;
    memcpy(in + 56, outside, 4);
    return 60;
}

static size_t natpmp_address(uint32_t epoch_s, const uint8_t *addr)
{
    memset(in, 0, sizeof(in));
    in[1] = 0x80;
    put_be32(in + 4, epoch_s);
    memcpy(in + 8, addr, 4);
    return 12;
}

static size_t natpmp_map(uint16_t result, uint32_t epoch_s, uint16_t port, uint32_t lifetime_s)
{
    memset(in, 0, sizeof(in));
    in[1] = 0x81;
    put_be16(in + 2, result);
    put_be32(in + 4, epoch_s);
    put_be16(in + 8, PORT);
    put_be16(in + 10, port);
    put_be32(in + 12, lifetime_s);
    return 16;
}

static size_t natpmp_alone(void)
{
    memset(in, 0, sizeof(in));
    in[1] = 0x81;
    in[3] = 1;
    return 8;
}

static bool is_mapped(uint16_t port)
{
    const struct endpoint e = at(outside, port);

    return p.state == PORTMAP_MAPPED && endpoint_equal(&p.external, &e);
}

/* When it says something next, which stands in out. */
static instant next(size_t *ret_len)
{
    instant now = portmap_next_expiry(&p);

    *ret_len = portmap_output(&p, now, out);
    return now;
}

static void test_bytes(void **state)
{
    static const uint8_t want[60] = { 2, 1, 0, 0,    0,    0,   0x1c, 0x20, 0, 0, 0,    0,    0,    0,   0,
                                      0, 0, 0, 0xff, 0xff, 192, 168,  1,    2, 1, 2,    3,    4,    5,   6,
                                      7, 8, 9, 10,   11,   12,  17,   0,    0, 0, 0xca, 0x6c, 0xca, 0x6c };
    static const uint8_t natpmp[12] = { 0, 1, 0, 0, 0xca, 0x6c, 0xca, 0x6c, 0, 0, 0x1c, 0x20 };
    struct portmap_answer a;
    size_t len;

    (void)state;
    start(false);
    assert_int_equal(portmap_output(&p, T0, out), sizeof(want));
    assert_memory_equal(out, want, sizeof(want));
    len = pcp(0, 3600, 5, 4000);
    assert_int_equal(portmap_answer_read(in, len, &a), 0);
    assert_true(a.has_map && a.lifetime_s == 3600 && a.epoch_s == 5 && a.internal_port == PORT);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(portmap_answer_read(in, n, &a), -EBADMSG);
    assert_int_equal(portmap_answer_read(in, len + 4, &a), 0); /* an option */
    assert_int_equal(portmap_answer_read(in, len + 2, &a), -EBADMSG);
    assert_int_equal(portmap_answer_read(in, PORTMAP_ANSWER_MAX + 4, &a), -EBADMSG);
    in[36] = 6;
    assert_int_equal(portmap_answer_read(in, len, &a), -EBADMSG); /* of TCP */
    pcp(0, 3600, 5, 4000);
    in[1] = 1;
    assert_int_equal(portmap_answer_read(in, len, &a), -EBADMSG); /* a request */

    start(true);
    assert_int_equal(portmap_output(&p, T0, out), 2);
    assert_true(out[0] == 0 && out[1] == 0);
    hear(natpmp_address(9, outside), T0);
    assert_int_equal(portmap_output(&p, T0, out), sizeof(natpmp));
    assert_memory_equal(out, natpmp, sizeof(natpmp));
    for (size_t n = natpmp_map(0, 9, 4000, 60) - 1; n > 0; n--)
        assert_int_equal(portmap_answer_read(in, n, &a), -EBADMSG);
    assert_int_equal(portmap_answer_read(in, 17, &a), -EBADMSG);
    assert_string_equal(portmap_result_name(2, 12), "address mismatch");
    assert_string_equal(portmap_result_name(0, 4), "out of resources");
    assert_string_equal(portmap_result_name(2, 99), "?");
}

/* RFC 6887 section 8.1.1: 3 s, doubled to 1024 s, each a tenth more or less. */
static void test_silent(void **state)
{
    instant was = T0, now;
    span want = 3 * SEC;
    size_t len;

    (void)state;
    start(false);
    assert_int_equal(portmap_output(&p, T0, out), 60);
    for (int i = 0; i < 14; i++) {
        now = next(&len);
        assert_int_equal(len, 60);
        assert_true(now - was >= want * 8 / 10 && now - was <= want * 12 / 10);
        want = now - was > 900 * SEC ? 1024 * SEC : MIN(2 * (now - was), 1024 * SEC);
        was = now;
        assert_int_equal(portmap_output(&p, now, out), 0);
    }
    assert_true(want == 1024 * SEC);
    assert_int_equal(p.state, PORTMAP_ASKED);
}

static void test_renewals(void **state)
{
    const span life = 3600 * SEC;
    instant now;
    size_t len;

    (void)state;
    start(false);
    assert_int_equal(portmap_output(&p, T0, out), 60);
    hear(pcp(0, 3600, 100, 4000), T0 + SEC);
    assert_true(is_mapped(4000));
    now = next(&len); /* section 11.2.1 */
    assert_true(now >= T0 + SEC + life / 2 && now <= T0 + SEC + life * 5 / 8);
    assert_int_equal(len, 60);
    assert_int_equal(get_be16(out + 42), 4000); /* what it has is wished for */
    assert_memory_equal(out + 56, outside, 4);
    now = next(&len);
    assert_true(now >= T0 + SEC + life * 3 / 4 && now <= T0 + SEC + life * 13 / 16);
    assert_int_equal(len, 60);
    hear(pcp(0, 3600, 100, 4001), now); /* another port: it is said */
    assert_true(is_mapped(4001));
    for (len = 60; len > 0;) { /* silent from now on, until it is over */
        instant before = portmap_next_expiry(&p);

        if (before >= now + life)
            break;
        assert_true(is_mapped(4001));
        (void)next(&len);
    }
    assert_true(portmap_output(&p, now + life, out) == 60 || portmap_next_expiry(&p) <= now + life + 4 * SEC);
    assert_int_equal(p.state, PORTMAP_ASKED);
    assert_int_equal(p.external.addr.family, ADDR_NONE);
    hear(pcp(0, 3600, 1, 4002), now + life + SEC); /* it is there again, and was asked */
    assert_true(is_mapped(4002));
}

/* Nobody but the gateway, and of nothing but what was asked for. */
static void test_strangers(void **state)
{
    static const size_t bad[] = { 24, 40, 36, 0 };
    struct endpoint other = at(host, PORTMAP_PORT), port = at(gateway, 5352);
    size_t len;

    (void)state;
    start(false);
    assert_int_equal(portmap_output(&p, T0, out), 60);
    len = pcp(0, 3600, 100, 4000);
    portmap_input(&p, &other, in, len, false, T0);
    portmap_input(&p, &port, in, len, false, T0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        len = pcp(0, 3600, 100, 4000);
        in[bad[i]] ^= 1; /* nonce, port inside, protocol, version */
        hear(len, T0);
    }
    hear(natpmp_address(1, outside), T0); /* no word of a version that is not known */
    hear(natpmp_map(0, 1, 4000, 3600), T0);
    assert_true(p.state == PORTMAP_ASKED && p.version == PORTMAP_PCP);
    hear(pcp(0, 3600, 100, 0), T0);
    assert_int_equal(p.state, PORTMAP_REFUSED);           /* no port */
    for (unsigned first = 0; first < 256; first += 127) { /* nowhere that could be sent to: 0.x, 127.x, 254.x */
        start(false);
        assert_int_equal(portmap_output(&p, T0, out), 60);
        len = pcp(0, 3600, 100, 4000);
        in[56] = (uint8_t)first;
        in[57] = in[58] = in[59] = 0;
        hear(len, T0);
        assert_int_equal(p.state, PORTMAP_REFUSED);
    }
    start(true);
    assert_int_equal(portmap_output(&p, T0, out), 2);
    hear(natpmp_map(0, 1, 4000, 3600), T0); /* of NAT-PMP only what was asked just now */
    assert_int_equal(p.state, PORTMAP_ASKED);
}

static void test_natpmp(void **state)
{
    instant now = T0, was;
    size_t len;

    (void)state;
    start(false);
    assert_int_equal(portmap_output(&p, now, out), 60);
    hear(natpmp_alone(), now);
    assert_int_equal(portmap_output(&p, now, out), 2);
    for (int i = 0; i < 3; i++) { /* RFC 6886 section 3.1 */
        was = now;
        now = next(&len);
        assert_int_equal(len, 2);
        assert_int_equal(now - was, (250 * MSEC) << i);
    }
    hear(natpmp_address(50, outside), now);
    assert_int_equal(portmap_output(&p, now, out), 12);
    hear(natpmp_map(0, 50, 4000, 3600), now);
    assert_true(is_mapped(4000));
    was = now;
    now = next(&len);
    assert_true(len == 2 && now >= was + 1800 * SEC && now <= was + 2250 * SEC);
    hear(natpmp_address(1900, outside), now);
    assert_true(next(&len) == now && len == 12);
    assert_int_equal(get_be16(out + 6), 4000);
    hear(natpmp_map(0, 1900, 4000, 3600), now);
    assert_true(p.until == now + 3600 * SEC);

    start(false); /* it has gone silent: nine times, then the other is tried again */
    assert_int_equal(portmap_output(&p, T0, out), 60);
    hear(natpmp_alone(), T0);
    for (int i = 0; i < 9; i++) {
        next(&len);
        assert_int_equal(len, 2);
    }
    assert_true(next(&len) == T0 + 511 * 250 * MSEC && len == 60);
}

static void test_refused(void **state)
{
    instant now;
    size_t len;

    (void)state;
    start(false);
    assert_int_equal(portmap_output(&p, T0, out), 60);
    hear(pcp(8, 120, 100, 0), T0);
    assert_int_equal(p.state, PORTMAP_REFUSED);
    assert_string_equal(p.refused, "no resources");
    assert_true(next(&len) == T0 + 120 * SEC && len == 60);
    hear(pcp(2, 0, 220, 0), T0 + 120 * SEC);
    assert_string_equal(p.refused, "not authorized");
    assert_true(next(&len) == T0 + 150 * SEC && len == 60);
    hear(pcp(8, UINT32_MAX, 250, 0), T0 + 150 * SEC);
    assert_true(next(&len) == T0 + 1950 * SEC && len == 60);
    hear(pcp(0, UINT32_MAX, 2050, 4000), T0 + 1950 * SEC); /* no longer than a day */
    assert_true(is_mapped(4000) && !p.refused);
    assert_true(p.until == T0 + 1950 * SEC + 86400 * SEC);
    now = next(&len);
    hear(pcp(8, 60, 45000, 0), now); /* what it has, it has */
    assert_true(is_mapped(4000));
    assert_string_equal(p.refused, "no resources");
    hear(pcp(0, 0, 45001, 4000), now + SEC); /* until it hears otherwise */
    assert_int_equal(p.state, PORTMAP_REFUSED);
    assert_int_equal(p.external.port, 0);

    start(true);
    assert_int_equal(portmap_output(&p, T0, out), 2);
    memset(in, 0, 8); /* speaks PCP alone */
    pcp(1, 1800, 0, 0);
    hear(24, T0);
    assert_string_equal(p.refused, "unsupported version");
}

/* What is announced to all, at PORTMAP_HEARD_PORT. */
static void announce(const uint8_t *from, uint32_t epoch_s, instant now)
{
    struct endpoint e = at(from, PORTMAP_PORT);

    memset(in, 0, sizeof(in));
    in[0] = 2;
    in[1] = 0x80;
    put_be32(in + 8, epoch_s);
    portmap_input(&p, &e, in, 24, true, now);
}

static void test_epoch(void **state)
{
    instant now = T0, due;
    unsigned asked = 0;
    size_t len;

    (void)state;
    start(false);
    assert_int_equal(portmap_output(&p, T0, out), 60);
    hear(pcp(0, 3600, 1000, 4000), T0);
    due = portmap_next_expiry(&p);
    announce(gateway, 1100, T0 + 100 * SEC);
    announce(gateway, 1193, T0 + 200 * SEC); /* its clock is a sixteenth slower */
    announce(host, 0, T0 + 201 * SEC);       /* who is that? */
    assert_true(portmap_next_expiry(&p) == due);
    announce(gateway, 3, T0 + 300 * SEC);
    now = next(&len);
    assert_true(now >= T0 + 300 * SEC && now <= T0 + 305 * SEC && len == 60);
    hear(pcp(0, 3600, 5, 4005), now);
    assert_true(is_mapped(4005));
    announce(gateway, 400, now + 20 * SEC); /* as far ahead */
    assert_true(next(&len) <= now + 25 * SEC && len == 60);
    hear(pcp(0, 3600, 25, 4005), now + 25 * SEC);
    now += 25 * SEC;
    for (int i = 0; i < 10000; i++) { /* a flood of 100 s */
        announce(gateway, i % 2 ? 0 : 100000, now + i * 10 * MSEC);
        asked += portmap_output(&p, now + i * 10 * MSEC, out) > 0;
    }
    assert_in_range(asked, 10, 100 / 4 + 1);

    start(true); /* NAT-PMP: another address */
    assert_int_equal(portmap_output(&p, T0, out), 2);
    hear(natpmp_address(50, outside), T0);
    assert_int_equal(portmap_output(&p, T0, out), 12);
    hear(natpmp_map(0, 50, 4000, 3600), T0);
    len = natpmp_address(150, host);
    portmap_input(&p, &(struct endpoint){ addr_from_bytes(ADDR_V4, gateway), PORTMAP_PORT }, in, len, true,
                  T0 + 100 * SEC);
    assert_true(portmap_next_expiry(&p) <= T0 + 105 * SEC);
}

static void test_stop(void **state)
{
    (void)state;
    start(false);
    assert_int_equal(portmap_stop(&p, out), 0); /* nothing was given */
    start(false);
    assert_int_equal(portmap_output(&p, T0, out), 60);
    hear(pcp(0, 3600, 1000, 4000), T0);
    assert_int_equal(portmap_stop(&p, out), 60);
    assert_int_equal(get_be32(out + 4), 0);
    assert_memory_equal(out + 24, nonce, sizeof(nonce));
    assert_int_equal(get_be16(out + 40), PORT);
    assert_int_equal(get_be16(out + 42), 0);
    assert_true(portmap_next_expiry(&p) == INSTANT_NEVER);
    hear(pcp(0, 3600, 1000, 4000), T0);
    assert_int_equal(p.state, PORTMAP_OFF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),  cmocka_unit_test(test_silent),  cmocka_unit_test(test_renewals),
        cmocka_unit_test(test_natpmp), cmocka_unit_test(test_refused), cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_epoch),  cmocka_unit_test(test_stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
