/* Unit tests of src/dmux/locate.*: the packets by their drawing in locate.h; certificates by
 * tests/unit/realm_world.h. */
#include "dmux/locate.h"
#include "tests/unit/realm_world.h"

#include <errno.h>

static struct rw w;
static struct rw_blob agent; /* its registration, by the root */
static const struct client_id client = { 0xc6336407, 4000 };

/* root record and registration in a row. */
static struct slice chain_of(const struct rw_blob *leaf, uint8_t out[2 * RECORD_BYTES_MAX])
{
    memcpy(out, w.root.bytes, w.root.len);
    memcpy(out + w.root.len, leaf->bytes, leaf->len);
    return (struct slice){ out, w.root.len + leaf->len };
}

static int make(void **state)
{
    rw_init(&w);
    rw_register(&w, RW_ROOT, 0, RW_LAPTOP, TAG_TIER_SERVICE, "agent-one.s.rid.example", &agent);
    return 0;
}

static void test_ask(void **state)
{
    static uint8_t chain[2 * RECORD_BYTES_MAX];
    const struct endpoint at[] = { { addr_v4(0xc0000207), 51820 },
                                   { { .family = ADDR_V6, .bytes = { 0x20, 1, 0xd, 0xb8, [15] = 9 } }, 443 } };
    const struct protocol_setup setup = { .offers = at, .offers_count = 2, .offered = chain_of(&agent, chain) };
    void *asker = calloc(1, locate_client.state_bytes), *router = calloc(1, locate_router.state_bytes);
    struct protocol_reply reply;
    uint8_t packet[PROTOCOL_PACKET_MAX];
    struct locate_offer o;
    struct chain_end end;
    const char *why;
    size_t len;

    assert_non_null(asker);
    assert_non_null(router);
    assert_null(locate_router.init(router, &setup));
    locate_client.init(asker, &w.rng);
    assert_int_equal(locate_client.output(asker, packet, SEC), 0); /* a stranger asks nothing */
    assert_int_equal(locate_client.next_expiry(asker), INSTANT_NEVER);
    locate_client.on_seen(asker, &client);
    len = locate_client.output(asker, packet, SEC);
    assert_int_equal(len, LOCATE_QUESTION_LEN);
    assert_int_equal(packet[0], 1);
    assert_int_equal(locate_client.output(asker, packet, SEC), 0);
    assert_int_equal(locate_client.next_expiry(asker), 2 * SEC);
    assert_int_equal(locate_client.output(asker, packet, 2 * SEC), len); /* again */

    assert_int_equal(locate_router.on_client(router, &client, packet, len, &reply), PROTOCOL_ANSWER);
    assert_true(reply.len <= len);
    assert_int_equal(reply.packet[0], 2);
    assert_int_equal(reply.packet[1], 2);
    assert_memory_equal(reply.packet + 2, packet + 2, 8);                        /* the nonce */
    assert_memory_equal(reply.packet + 10, ((uint8_t[]){ 4, 192, 0, 2, 7 }), 5); /* 192.0.2.7 */
    assert_int_equal(get_be16(reply.packet + 15), 51820);
    assert_memory_equal(reply.packet + 10 + 7 + 19, chain, setup.offered.len);

    assert_int_equal(locate_offer_read(reply.packet, reply.len, &o), 0);
    assert_int_equal(o.at_count, 2);
    assert_true(endpoint_equal(&o.at[1], &at[1]));
    assert_int_equal(locate_judge(&o, rw_slice(&w.root), RW_NOW_S, &w.rng, &end, &why), 0);
    assert_memory_equal(end.key, w.keys[RW_LAPTOP], 32);
    assert_string_equal(end.name, "agent-one.s.rid.example");

    reply.packet[9] ^= 1; /* an answer to something else */
    assert_int_equal(locate_client.on_router(asker, reply.packet, reply.len, 2 * SEC), PROTOCOL_DROP);
    reply.packet[9] ^= 1;
    assert_int_equal(locate_client.on_router(asker, reply.packet, reply.len, 2 * SEC), PROTOCOL_DELIVER);
    assert_int_equal(locate_client.output(asker, packet, 10 * SEC), 0); /* it knows */
    free(asker);
    free(router);
}

/* Only whole questions are answered, so that no answer is longer. */
static void test_questions(void **state)
{
    static uint8_t chain[2 * RECORD_BYTES_MAX];
    const struct endpoint at = { addr_v4(0xc0000207), 51820 };
    const struct protocol_setup setup = { .offers = &at, .offers_count = 1, .offered = chain_of(&agent, chain) };
    uint8_t *router = calloc(1, locate_router.state_bytes), packet[LOCATE_QUESTION_LEN + 1] = { 1 };
    struct protocol_reply reply;

    assert_non_null(router);
    assert_null(locate_router.init(router, &setup));
    assert_int_equal(locate_router.on_client(router, &client, packet, LOCATE_QUESTION_LEN, &reply), PROTOCOL_ANSWER);
    assert_int_equal(locate_router.on_client(router, &client, reply.packet, reply.len, &reply), PROTOCOL_DROP);
    assert_int_equal(locate_router.on_client(router, &client, packet, LOCATE_QUESTION_LEN - 1, &reply), PROTOCOL_DROP);
    assert_int_equal(locate_router.on_client(router, &client, packet, LOCATE_QUESTION_LEN + 1, &reply), PROTOCOL_DROP);
    assert_int_equal(locate_router.on_client(router, &client, packet, 0, &reply), PROTOCOL_DROP);
    for (size_t i = 0; i < 12; i++) {
        packet[i] ^= 2;
        assert_int_equal(locate_router.on_client(router, &client, packet, LOCATE_QUESTION_LEN, &reply),
                         i >= 2 && i < 10 ? PROTOCOL_ANSWER : PROTOCOL_DROP);
        packet[i] ^= 2;
    }
    free(router);
}

static void test_setups(void **state)
{
    static uint8_t chain[2 * RECORD_BYTES_MAX];
    const struct endpoint at[5] = { { addr_v4(0xc0000207), 51820 } };
    struct protocol_setup setup = { .offers = at, .offers_count = 1, .offered = chain_of(&agent, chain) };
    uint8_t *router = calloc(1, locate_router.state_bytes);

    assert_non_null(router);
    setup.offers_count = 0;
    assert_non_null(locate_router.init(router, &setup));
    setup.offers_count = 5;
    assert_non_null(locate_router.init(router, &setup));
    setup.offers_count = 1;
    setup.offered.len = 0;
    assert_non_null(locate_router.init(router, &setup));
    setup.offered.len = LOCATE_CHAIN_MAX + 1;
    assert_non_null(locate_router.init(router, &setup));
    free(router);
}

static void test_offers(void **state)
{
    static uint8_t chain[2 * RECORD_BYTES_MAX];
    struct locate_offer o = {
        .nonce = 7, .at = { { addr_v4(0xc0000207), 51820 } }, .at_count = 1, .chain = chain_of(&agent, chain)
    };
    uint8_t out[LOCATE_QUESTION_LEN];
    size_t len = locate_offer_write(&o, out);
    struct locate_offer got;

    assert_true(len > 0);
    for (size_t cut = 0; cut <= 17; cut++) /* the last leaves no record */
        assert_int_equal(locate_offer_read(out, cut, &got), -EBADMSG);
    out[1] = 0;
    assert_int_equal(locate_offer_read(out, len, &got), -EBADMSG);
    out[1] = LOCATE_ENDPOINTS_MAX + 1;
    assert_int_equal(locate_offer_read(out, len, &got), -EBADMSG);
    out[1] = 1;
    out[10] = 5; /* a family that there is not */
    assert_int_equal(locate_offer_read(out, len, &got), -EBADMSG);
    out[10] = 4;
    out[11] = 224; /* not of a host */
    assert_int_equal(locate_offer_read(out, len, &got), -EBADMSG);
    out[11] = 192;
    put_be16(out + 15, 0); /* no port */
    assert_int_equal(locate_offer_read(out, len, &got), -EBADMSG);
}

/* Who the chain leads to is what counts. */
static void judged(const struct rw_blob *leaf, uint64_t wall_s, int expected)
{
    static uint8_t chain[2 * RECORD_BYTES_MAX];
    const struct locate_offer o = { .chain = chain_of(leaf, chain) };
    const char *why = NULL;
    struct chain_end end;

    assert_int_equal(locate_judge(&o, rw_slice(&w.root), wall_s, &w.rng, &end, &why), expected);
    assert_true(expected == 0 || why);
}

static void test_judge(void **state)
{
    struct rw_blob leaf;
    const char *const others[] = { "agency.s.rid.example", "my-agent.s.rid.example", "agen.s.rid.example" };
    struct record r;

    judged(&agent, RW_NOW_S, 0);
    rw_register(&w, RW_ROOT, 0, RW_PHONE, TAG_TIER_SERVICE, "agent.s.rid.example", &leaf);
    judged(&leaf, RW_NOW_S, 0);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        rw_register(&w, RW_ROOT, 0, RW_PHONE, TAG_TIER_SERVICE, others[i], &leaf);
        judged(&leaf, RW_NOW_S, -EBADMSG);
    }
    rw_register(&w, RW_ROOT, 0, RW_PHONE, TAG_TIER_HOST, "agent.h.rid.example",
                &leaf); /* a host: any may be called so */
    judged(&leaf, RW_NOW_S, -EBADMSG);
    rw_register(&w, RW_STRANGER, 0, RW_STRANGER, TAG_TIER_SERVICE, "agent-two.s.rid.example",
                &leaf); /* by a stranger */
    judged(&leaf, RW_NOW_S, -EBADMSG);
    judged(&w.acme, RW_NOW_S, -EBADMSG); /* a realm */
    /* whose time is over */
    r = (struct record){ .type = RECORD_REGISTRATION,
                         .issuer = rw_tag(&w, RW_ROOT, TAG_TIER_SERVICE, 0),
                         .subject = rw_tag(&w, RW_PHONE, TAG_TIER_SERVICE, 0),
                         .issued_s = RW_NOW_S - 1000,
                         .not_after_s = RW_NOW_S + 10,
                         .suites = 1,
                         .seq = 99,
                         .name = "agent-short.s.rid.example" };
    memcpy(r.key, w.keys[RW_PHONE], 32);
    rw_sign(&w, &r, RW_ROOT, &leaf);
    judged(&leaf, RW_NOW_S, 0);
    judged(&leaf, RW_NOW_S + 11, -EBADMSG);
}

/* An agent of a sub-realm is another's to name: the chain is right, the name is not the root's. */
static void test_sub_realm(void **state)
{
    static uint8_t chain[3 * RECORD_BYTES_MAX];
    struct locate_offer o = { .chain.data = chain };
    struct rw_blob leaf;
    const struct rw_blob *all[] = { &w.root, &w.acme, &leaf };
    const char *why = NULL;
    struct chain_end end;

    rw_register(&w, RW_ACME, 0x100, RW_PHONE, TAG_TIER_SERVICE, "agent.s.acme.rid.example", &leaf);
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        memcpy(chain + o.chain.len, all[i]->bytes, all[i]->len);
        o.chain.len += all[i]->len;
    }
    assert_int_equal(locate_judge(&o, rw_slice(&w.root), RW_NOW_S, &w.rng, &end, &why), -EBADMSG);
    assert_string_equal(end.name, "agent.s.acme.rid.example");
    assert_non_null(strstr(why, "name"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ask),    cmocka_unit_test(test_questions), cmocka_unit_test(test_setups),
        cmocka_unit_test(test_offers), cmocka_unit_test(test_judge),     cmocka_unit_test(test_sub_realm),
    };

    return cmocka_run_group_tests(tests, make, NULL);
}
