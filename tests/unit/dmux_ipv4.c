/* Unit tests of src/dmux/ipv4.*: packets by hand (RFC 791 section 3.1). */
#include "dmux/ipv4.h"
#include "tests/unit/test.h"

/* 198.51.100.7 to 192.0.5.5, UDP, 4 bytes */
static const uint8_t question[24] = { 0x45, 0,  0,   24, 0,   7, 0, 0, 64, 17, 0, 0,
                                      198,  51, 100, 7,  192, 0, 5, 5, 1,  2,  3, 4 };
static const struct client_id client = { 0xc6336407, 4000 };
static const struct protocol_setup setup = { .clients = { .addr = { .family = ADDR_V4, .bytes = { 198, 51, 100 } },
                                                          .len = 24 } };

static void *router_new_state(void)
{
    void *s = calloc(1, ipv4_router.state_bytes);

    assert_non_null(s);
    assert_null(ipv4_router.init(s, &setup));
    return s;
}

static void test_there_and_back(void **state)
{
    const struct client_id moved = { client.addr, 4001 };
    struct protocol_reply reply;
    struct client_id found = { 0 };
    void *s = router_new_state();
    uint8_t back[24];

    memcpy(back, question, sizeof(back));
    memcpy(back + 12, question + 16, 4);
    memcpy(back + 16, question + 12, 4);
    assert_false(ipv4_router.client_of(s, back, 24, &found)); /* nobody was here */
    assert_int_equal(ipv4_router.on_client(s, &client, question, 24, &reply), PROTOCOL_DELIVER);
    assert_true(ipv4_router.client_of(s, back, 24, &found));
    assert_int_equal(found.addr, client.addr);
    assert_int_equal(found.port, 4000);
    assert_int_equal(ipv4_router.on_client(s, &moved, question, 24, &reply), PROTOCOL_DELIVER);
    assert_true(ipv4_router.client_of(s, back, 24, &found));
    assert_int_equal(found.port, 4001);
    back[19]++; /* another address of the prefix */
    assert_false(ipv4_router.client_of(s, back, 24, &found));
    free(s);
}

/* Client number i, of 10.0.0.0/8, sends to 192.0.5.5. */
static void sends(void *s, uint32_t i)
{
    const struct client_id who = { 0x0a000000 + i, (uint16_t)(1 + i % 65535) };
    struct protocol_reply reply;
    uint8_t p[24];

    memcpy(p, question, sizeof(p));
    put_be32(p + 12, who.addr);
    assert_int_equal(ipv4_router.on_client(s, &who, p, sizeof(p), &reply), PROTOCOL_DELIVER);
}

static bool is_answered(void *s, uint32_t i)
{
    struct client_id found = { 0 };
    uint8_t p[24];

    memcpy(p, question, sizeof(p));
    put_be32(p + 16, 0x0a000000 + i);
    return ipv4_router.client_of(s, p, sizeof(p), &found) && found.addr == 0x0a000000 + i &&
           found.port == 1 + i % 65535;
}

/* Who sends is answered, whoever else comes; of as many as a quarter of the places nearly all are: five or more of a
 * set, by Poisson's law of mean 1 for 2,048 sets, leave 8.9 without one (of sets of one place it were 236). */
static void test_addresses_that_collide(void **state)
{
    const struct protocol_setup ten = { .clients = { .addr = { .family = ADDR_V4, .bytes = { 10 } }, .len = 8 } };
    void *s = router_new_state();
    unsigned lost = 0;

    assert_null(ipv4_router.init(s, &ten));
    for (uint32_t i = 1; i <= IPV4_CLIENTS / 4; i++)
        sends(s, i);
    for (uint32_t i = 1; i <= IPV4_CLIENTS / 4; i++)
        lost += !is_answered(s, i);
    assert_true(lost < 25);
    for (uint32_t i = 2; i < 5 * IPV4_CLIENTS; i++) {
        sends(s, 1);
        sends(s, i);
        assert_true(is_answered(s, 1) && is_answered(s, i));
    }
    free(s);
}

static void refused(size_t at, uint8_t value, size_t len)
{
    struct protocol_reply reply;
    void *s = router_new_state();
    uint8_t p[32] = { 0 };

    memcpy(p, question, sizeof(question));
    p[at] = value;
    assert_int_equal(ipv4_router.on_client(s, &client, p, len, &reply), PROTOCOL_DROP);
    free(s);
}

static void test_refusals(void **state)
{
    const struct protocol_setup six = { .clients = { .addr.family = ADDR_V6, .len = 64 } };
    struct client_id far = { 0xc0000207, 1 };
    struct protocol_reply reply;
    void *s = router_new_state();
    uint8_t p[24];

    refused(15, 8, 24);   /* another's source */
    refused(0, 0x65, 24); /* IPv6 */
    refused(0, 0x44, 24); /* a header shorter than one is */
    refused(0, 0x47, 24); /* one longer than the packet */
    refused(3, 25, 24);   /* cut */
    refused(3, 24, 25);   /* something behind it */
    refused(8, 1, 24);    /* no hop left */
    refused(16, 224, 24); /* multicast */
    refused(16, 127, 24); /* this host */
    refused(16, 0, 24);   /* nobody */
    memcpy(p, question, 24);
    memcpy(p + 16, question + 12, 3); /* back into the device */
    assert_int_equal(ipv4_router.on_client(s, &client, p, 24, &reply), PROTOCOL_DROP);
    memcpy(p, question, 24);
    put_be32(p + 12, far.addr); /* a client of another router */
    assert_int_equal(ipv4_router.on_client(s, &far, p, 24, &reply), PROTOCOL_DROP);
    assert_string_equal(ipv4_router.init(s, &six), "an IPv4 prefix");
    free(s);
}

static void test_client(void **state)
{
    void *s = calloc(1, ipv4_client.state_bytes);
    struct addr a;

    assert_non_null(s);
    assert_false(ipv4_client.may_send(s, question, 24)); /* not seen yet */
    assert_int_equal(ipv4_client.address(s).family, ADDR_NONE);
    ipv4_client.on_seen(s, &client);
    a = ipv4_client.address(s);
    assert_memory_equal(a.bytes, question + 12, 4);
    assert_true(ipv4_client.may_send(s, question, 24));
    assert_int_equal(ipv4_client.on_router(s, question, 24, 0), PROTOCOL_DROP); /* for somebody else */
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_addresses_that_collide),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
