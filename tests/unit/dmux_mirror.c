/* Unit tests of src/dmux/mirror_*: an echo request by hand (RFC 791, RFC 792), checksums by tests/unit/tunnel.h. */
#include "dmux/mirror.h"
#include "tests/unit/tunnel.h"

/* 10.77.0.1 to 10.77.3.4, identifier 0x1234, sequence 1, 4 bytes "ping" */
static const uint8_t request[32] = { 0x45, 0,  0, 32, 0, 7, 0, 0, 64,   1,    0, 0, 10,  77,  0,   1,
                                     10,   77, 3, 4,  8, 0, 0, 0, 0x12, 0x34, 0, 1, 'p', 'i', 'n', 'g' };
static const struct client_id client = { 0xc6336407, 4000 };

static void make(uint8_t *p)
{
    memcpy(p, request, sizeof(request));
    put_be16(p + 10, (uint16_t)~judge_sum(0, p, 20));
    put_be16(p + 22, (uint16_t)~judge_sum(0, p + 20, 12));
}

static void test_answer(void **state)
{
    struct protocol_reply reply = { 0 };
    uint8_t p[32];

    make(p);
    /* whatever the checksum is, and whatever carries over */
    for (unsigned id = 0; id < 65536; id += 251) {
        put_be16(p + 24, (uint16_t)id);
        put_be16(p + 22, 0);
        put_be16(p + 22, (uint16_t)~judge_sum(0, p + 20, 12));
        assert_int_equal(mirror_router.on_client(NULL, &client, p, 32, &reply), PROTOCOL_ANSWER);
        assert_int_equal(reply.len, 32);
        judge_packet(reply.packet, 32);
        assert_int_equal(reply.packet[20], 0);
        assert_int_equal(get_be32(reply.packet + 12), 0x0a4d0304);
        assert_int_equal(get_be32(reply.packet + 16), 0x0a4d0001);
        assert_memory_equal(reply.packet + 24, p + 24, 8);
    }
}

static void refused(size_t at, uint8_t value, size_t len)
{
    struct protocol_reply reply;
    uint8_t p[40] = { 0 };

    make(p);
    p[at] = value;
    assert_int_equal(mirror_router.on_client(NULL, &client, p, len, &reply), PROTOCOL_DROP);
}

static void test_refusals(void **state)
{
    refused(0, 0x46, 32); /* options */
    refused(0, 0x60, 32); /* IPv6 */
    refused(9, 17, 32);   /* UDP */
    refused(20, 0, 32);   /* a reply: two mirrors would play for ever */
    refused(17, 78, 32);  /* another network */
    refused(3, 33, 32);   /* longer than it is */
    refused(0, 0x45, 27); /* cut */
    refused(0, 0x45, 36); /* with a tail */
}

static void test_client(void **state)
{
    uint8_t p[32];
    struct protocol_reply reply;

    make(p);
    assert_true(mirror_client.may_send(NULL, p, 32));
    assert_int_equal(mirror_client.on_router(NULL, p, 32, 0), PROTOCOL_DROP); /* not for it */
    mirror_router.on_client(NULL, &client, p, 32, &reply);
    assert_int_equal(mirror_client.on_router(NULL, reply.packet, reply.len, 0), PROTOCOL_DELIVER);
    assert_int_equal(mirror_client.on_router(NULL, reply.packet, reply.len - 1, 0), PROTOCOL_DROP);
    assert_false(mirror_client.may_send(NULL, reply.packet, reply.len)); /* another source */
    p[17] = 78;
    assert_false(mirror_client.may_send(NULL, p, 32));
    assert_int_equal(protocol_parse("mirror"), 0xff01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
