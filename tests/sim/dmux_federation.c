/* Several operators (dmux_parties.h): who serves whose clients, and what passes between them and what
 * does not. */
#include "tests/sim/dmux_parties.h"

#include <stdio.h>

/* b has a router, a has none: a's client is served by b, and is told so. When a has one, that serves whom any provider
 * will do, within a second; who names b's goes on there. */
static void test_foreign_where_none_is_own(void **state)
{
    unsigned a, b, far, near, any, named;
    struct client_info info;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    far = router_of(B, 0xcb007109, b);
    world_run(5 * SEC);
    assert_int_equal(serves(a, 300), hosts[b].addr);
    any = client_of(A, 0xc6336407, a, PROVIDER_ANY);
    named = client_of(A, 0xc6336408, a, 300);
    world_run(3 * SEC);
    info = info_of(any);
    assert_true(prefix_equal(&info.dmux, &realm_at(a, 0).realm->prefix));
    assert_int_equal(info_of(any).provider, 300);
    assert_int_equal(info_of(any).gateway, 1);
    assert_int_equal(info_of(any).router_rtt_us, 4 * DELAY); /* to the border, and on */
    there_and_back(any, far);
    there_and_back(named, far);
    assert_true(stats(a)->to_border_pkts > 0 && stats(b)->from_home_pkts > 0);
    assert_int_equal(stats(a)->drops[GATEWAY_DROP_TICKET] + stats(b)->drops[GATEWAY_DROP_TICKET], 0);
    near = router_of(A, 0xcb007201, a);
    while (!serves(a, 200) && now < 60 * SEC)
        world_run(MSEC);
    world_run(SEC);
    assert_int_equal(serves(a, PROVIDER_ANY), hosts[near].addr);
    world_run(6 * SEC); /* the client has asked again, and has its address of the other router */
    assert_int_equal(get_be32(info_of(any).dmux.addr.bytes), SERVICE & 0xffffff00);
    there_and_back(any, near);
    there_and_back(named, far);
    hosts[near].dead = true;
    world_run(REGISTRY_SILENCE + SEC);
    assert_int_equal(serves(a, PROVIDER_ANY), hosts[b].addr);
}

/* Whoever names b by its prefix is b's client, whatever a has. */
static void test_named_by_prefix(void **state)
{
    unsigned a, b, r, c;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    router_of(A, 0xcb007201, a);
    r = router_of(B, 0xcb007109, b);
    c = client_of(B, 0xc6336407, b, PROVIDER_ANY);
    world_run(5 * SEC);
    there_and_back(c, r);
    assert_int_equal(get_be32(info_of(c).dmux.addr.bytes), 0xc6120000);
    assert_int_equal(stats(b)->from_home_pkts, 0);
}

/* The bounds: a withdrawal is heard after one way; silence counts after FEDERATION_SILENCE; one that is back is asked
 * within its LINK_RETRY_MAX of 5 s, and served by after a handshake. */
static void test_withdrawal_death_return(void **state)
{
    unsigned a, b, r;
    instant since;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    r = router_of(B, 0xcb007109, b);
    world_run(5 * SEC);
    assert_int_equal(serves(a, 300), hosts[b].addr);
    router_leave(hosts[r].router);
    world_run(2 * DELAY); /* the router's way, and the border's */
    assert_int_equal(serves(a, 300), 0);
    router_restart(r);
    world_run(5 * SEC);
    assert_int_equal(serves(a, 300), hosts[b].addr);
    hosts[b].dead = true;
    world_run(FEDERATION_SILENCE);
    assert_int_equal(serves(a, 300), 0);
    world_run(60 * SEC); /* until what it went for is forgiven, three times */
    hosts[b].dead = false;
    since = now;
    while (!serves(a, 300) && now < since + 60 * SEC)
        world_run(10 * MSEC);
    printf("# back after %lld ms\n", (long long)(now - since) / MSEC);
    assert_true(now - since <= 5 * SEC + SEC);
}

/* Another border takes over from the one that dies, at once where a knows of its silence; a is told of it by the first,
 * and not by its configuration. */
static void test_another_border(void **state)
{
    struct federation_border_info i;
    unsigned a, b1, b2, r, c;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b1 = gateway_of(B, 1, 1 << A);
    b2 = gateway_of(B, 2, 1 << A);
    r = router_of(B, 0xcb007109, b2);
    c = client_of(A, 0xc6336407, a, PROVIDER_ANY);
    world_run(15 * SEC);
    assert_true(federation_border_info(federation_at(a), 0, 1, &i) && i.up && i.gateway == 2 && i.services == 1);
    there_and_back(c, r);
    hosts[b1].dead = true;
    world_run(FEDERATION_SILENCE);
    assert_int_equal(serves(a, 300), hosts[b2].addr);
    there_and_back(c, r);
}

/* Two levels: b, which c serves, tells a nothing of c; and what a sends b for c goes nowhere. */
static void test_no_third(void **state)
{
    struct federation_stats s;
    unsigned a, b, c, r, client;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A | 1 << C);
    c = gateway_of(C, 1, 1 << B);
    router_of(C, 0xcb007109, c);
    r = router_of(B, 0xcb007201, b);
    client = client_of(A, 0xc6336407, a, 300);
    world_run(6 * SEC);
    assert_int_equal(serves(b, 400), hosts[c].addr);
    assert_int_equal(serves(a, 400), 0);
    federation_stats_get(federation_at(b), &s);
    assert_int_equal(s.told, 1); /* of its own router alone */
    there_and_back(client, r);
    /* b's router goes, and while a does not know, its packets come: b does not send them on to anybody */
    hosts[r].dead = true;
    registry_withdraw(gateway_export(hosts[b].gateway),
                      registry_find(gateway_registry(hosts[b].gateway), DMUX_IPV6, 300, hosts[r].addr, 1), now);
    assert_false(client_sends(client, &r));
    assert_int_equal(stats(b)->drops[GATEWAY_DROP_NO_ROUTER], 1);
    assert_int_equal(stats(c)->from_home_pkts, 0);
}

/* A datagram as gateway a would send it to b, for provider 400, which b has by way of c. */
static void test_transit_is_dropped(void **state)
{
    struct shim_claim pass = { .kind = SHIM_COOKIE_PASS, .client_port = DMUX_PORT };
    uint8_t d[100] = { 0 }, out[256], secret[JAR_SECRET_LEN] = { 7 };
    struct endpoint from, b_at;
    struct dmux_tx tx;
    struct jar jar;
    unsigned a, b, c;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A | 1 << C);
    c = gateway_of(C, 1, 1 << B);
    router_of(C, 0xcb007109, c);
    world_run(6 * SEC);
    put_be32(secret + 28, parties[B].service ^ SERVICE);
    jar_init(&jar, secret, 1000);
    from = at(hosts[a].addr, DMUX_PORT);
    b_at = at(hosts[b].addr, DMUX_PORT);
    shim_put(d, SHIM_CLIENT | SHIM_VERIFIED | SHIM_COOKIE | SHIM_HOME, DMUX_IPV6, 400);
    put_be32(d + 20, 0xc6336407), put_be16(d + 24, 4000), d[27] = GATEWAY_HOPS;
    put_be32(d + 28, hosts[a].addr), put_be16(d + 32, DMUX_PORT);
    pass.client = hosts[a].addr;
    jar_mint(&jar, &pass, d + 36);
    assert_false(gateway_on_datagram(hosts[b].gateway, d, 90, &from, &b_at.addr, now, out, &tx));
    assert_int_equal(stats(b)->drops[GATEWAY_DROP_TRANSIT], 1);
    /* the hop limit, for what b's own router would serve */
    router_of(B, 0xcb007201, b);
    world_run(3 * SEC);
    put_be32(d + 4, 300);
    assert_true(gateway_on_datagram(hosts[b].gateway, d, 90, &from, &b_at.addr, now, out, &tx));
    assert_int_equal(out[27], GATEWAY_HOPS - 1);
    d[27] = 1;
    assert_false(gateway_on_datagram(hosts[b].gateway, d, 90, &from, &b_at.addr, now, out, &tx));
    assert_int_equal(stats(b)->drops[GATEWAY_DROP_HOPS], 1);
    d[27] = GATEWAY_HOPS;
    /* what goes to the router is no pass, for whichever gateway: the loop that would need one */
    assert_true(gateway_on_datagram(hosts[b].gateway, d, 90, &from, &b_at.addr, now, out, &tx));
    memcpy(d, out, 90);
    for (unsigned g = a; g <= c; g++) {
        struct endpoint self = at(hosts[g].addr, DMUX_PORT);
        uint64_t before = stats(g)->drops[GATEWAY_DROP_PASS];

        assert_false(gateway_on_datagram(hosts[g].gateway, d, 90, &b_at, &self.addr, now, out, &tx));
        assert_int_equal(stats(g)->drops[GATEWAY_DROP_PASS], before + 1);
    }
    /* another's pass, another address, another port, no pass */
    shim_put(d, SHIM_CLIENT | SHIM_VERIFIED | SHIM_COOKIE | SHIM_HOME, DMUX_IPV6, 300);
    put_be32(d + 28, hosts[a].addr);
    jar_mint(&jar, &pass, d + 36);
    from.addr = addr_v4(hosts[c].addr);
    assert_false(gateway_on_datagram(hosts[b].gateway, d, 90, &from, &b_at.addr, now, out, &tx));
    put_be32(d + 28, hosts[c].addr);
    assert_false(gateway_on_datagram(hosts[b].gateway, d, 90, &from, &b_at.addr, now, out, &tx));
    from = at(hosts[a].addr, DMUX_PORT + 1);
    put_be32(d + 28, hosts[a].addr);
    assert_false(gateway_on_datagram(hosts[b].gateway, d, 90, &from, &b_at.addr, now, out, &tx));
    from.port = DMUX_PORT;
    gateway_set_wall(hosts[b].gateway, 1000 + GATEWAY_COOKIE_S);
    assert_true(gateway_on_datagram(hosts[b].gateway, d, 90, &from, &b_at.addr, now, out, &tx));
    gateway_set_wall(hosts[b].gateway, 1001 + GATEWAY_COOKIE_S);
    assert_false(gateway_on_datagram(hosts[b].gateway, d, 90, &from, &b_at.addr, now, out, &tx));
}

/* What comes back: b sends a's clients nothing but answers, and its routers send others nothing but what they were
 * asked. */
static void test_answers_only(void **state)
{
    uint8_t packet[48], out[200], sent[200], again[256];
    struct endpoint b_at, a_at, r_at;
    struct dmux_tx tx;
    struct dmux_tx g;
    unsigned a, b, r, c, by = 0;
    struct client_info info;
    size_t len;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    r = router_of(B, 0xcb007109, b);
    c = client_of(A, 0xc6336407, a, PROVIDER_ANY);
    world_run(5 * SEC);
    a_at = at(hosts[a].addr, DMUX_PORT);
    b_at = at(hosts[b].addr, DMUX_PORT);
    r_at = at(hosts[r].addr, 1);
    assert_true(client_sends(c, &by));
    info = info_of(c);
    packet_make(packet, &server, &info.address);
    assert_true(router_on_packet(hosts[r].router, packet, 48, now, out, &tx));
    /* the router has the answer sent to somebody else */
    memcpy(sent, out, tx.len);
    put_be32(sent + 28, 0xc6336463);
    assert_false(gateway_on_datagram(hosts[b].gateway, sent, tx.len, &r_at, &b_at.addr, now, again, &g));
    /* or to another client */
    memcpy(sent, out, tx.len);
    sent[24] ^= 1;
    assert_false(gateway_on_datagram(hosts[b].gateway, sent, tx.len, &r_at, &b_at.addr, now, again, &g));
    assert_int_equal(stats(b)->drops[GATEWAY_DROP_TICKET], 2);
    /* as it is, it goes to a, which takes it; not for another client, whatever b says */
    assert_true(gateway_on_datagram(hosts[b].gateway, out, tx.len, &r_at, &b_at.addr, now, sent, &g));
    assert_int_equal(get_be32(g.to.addr.bytes), hosts[a].addr);
    len = g.len;
    assert_true(gateway_on_datagram(hosts[a].gateway, sent, len, &b_at, &a_at.addr, now, again, &g));
    assert_int_equal(get_be32(g.to.addr.bytes), hosts[c].addr);
    assert_true(g.from_service);
    sent[23] ^= 1;
    assert_false(gateway_on_datagram(hosts[a].gateway, sent, len, &b_at, &a_at.addr, now, again, &g));
    assert_int_equal(stats(a)->drops[GATEWAY_DROP_TICKET], 1);
}

/* The ticket of a client that came by no home is none for one that did, also when that is nowhere. */
static void test_no_home_is_none(void **state)
{
    uint8_t packet[48], out[200], sent[256] = { 0 }, again[300];
    struct endpoint b_at, r_at;
    struct dmux_tx tx;
    struct dmux_tx g;
    unsigned b, r, c, by = 0;
    struct client_info info;

    parties_begin();
    b = gateway_of(B, 1, 1 << A);
    r = router_of(B, 0xcb007109, b);
    c = client_of(B, 0xc6336407, b, PROVIDER_ANY);
    world_run(5 * SEC);
    assert_true(client_sends(c, &by));
    info = info_of(c);
    packet_make(packet, &server, &info.address);
    assert_true(router_on_packet(hosts[r].router, packet, 48, now, out, &tx));
    b_at = at(hosts[b].addr, DMUX_PORT);
    r_at = at(hosts[r].addr, 1);
    shim_put(sent, SHIM_CLIENT | SHIM_VERIFIED | SHIM_COOKIE | SHIM_HOME, DMUX_IPV6, 300);
    memcpy(sent + SHIM_LEN, out + SHIM_LEN, SHIM_COOKIE_LEN + SHIM_CLIENT_LEN);
    assert_false(gateway_on_datagram(hosts[b].gateway, sent, 96, &r_at, &b_at.addr, now, again, &g));
    assert_int_equal(stats(b)->drops[GATEWAY_DROP_TICKET], 1);
}

/* A client that is b's own, and that another's gateway says it has: its answers stay its own. Once it is silent, it may
 * have moved there. */
static void test_claimed_client(void **state)
{
    unsigned a, b, r, c, by = 0;
    uint8_t d[96] = { 0 }, packet[48], out[200];
    const uint8_t *delivered;
    struct client_info info;
    struct endpoint from;
    struct dmux_tx tx;
    size_t len;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    r = router_of(B, 0xcb007109, b);
    c = client_of(B, 0xc6336407, b, PROVIDER_ANY);
    world_run(5 * SEC);
    assert_true(client_sends(c, &by));
    info = info_of(c);
    from = at(hosts[b].addr, DMUX_PORT);
    shim_put(d, SHIM_CLIENT | SHIM_VERIFIED | SHIM_COOKIE | SHIM_HOME, DMUX_IPV6, 300);
    put_be32(d + 20, 0xc6336407), put_be16(d + 24, 4000), d[27] = GATEWAY_HOPS;
    put_be32(d + 28, hosts[a].addr), put_be16(d + 32, DMUX_PORT);
    packet_make(d + 48, &info.address, &server);
    assert_int_equal(router_on_datagram(hosts[r].router, d, 96, &from, now, &delivered, &len, out, &tx),
                     ROUTER_NOTHING);
    assert_int_equal(router_stats_get(hosts[r].router)->drops[ROUTER_DROP_HOME], 1);
    packet_make(packet, &server, &info.address);
    assert_true(router_on_packet(hosts[r].router, packet, 48, now, out, &tx));
    assert_int_equal(out[1] & SHIM_HOME, 0);
    hosts[c].dead = true;
    world_run(20 * SEC);
    assert_int_equal(router_on_datagram(hosts[r].router, d, 96, &from, now, &delivered, &len, out, &tx), ROUTER_PACKET);
    assert_true(router_on_packet(hosts[r].router, packet, 48, now, out, &tx));
    assert_memory_equal(out + 28, d + 28, SHIM_HOME_LEN);
}

/* A stranger writes a client's address into his packet, and sends it to the border that serves it: the client that
 * comes by its home is served all the same. */
static void test_stranger_in_a_clients_name(void **state)
{
    uint8_t d[SHIM_LEN + 48] = { 0 }, out[300];
    struct endpoint from, to, at_b;
    unsigned a, b, r, c, by = 0;
    struct dmux_tx tx;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    r = router_of(B, 0xcb007109, b);
    world_run(5 * SEC);
    c = client_of(A, 0xc6336407, a, 300);
    world_run(3 * SEC);
    there_and_back(c, r);
    from = at(0xc6336407, 4000), to = at(parties[B].service, DMUX_PORT), at_b = at(hosts[b].addr, DMUX_PORT);
    shim_put(d, 0, DMUX_IPV6, 300);
    packet_make(d + SHIM_LEN, &server, &server);
    assert_true(gateway_on_datagram(hosts[b].gateway, d, sizeof(d), &from, &to.addr, now, out, &tx));
    post(b, &at_b, &tx.to, out, tx.len);
    world_run(1 * SEC);
    assert_true(client_sends(c, &by));
    assert_int_equal(router_stats_get(hosts[r].router)->drops[ROUTER_DROP_HOME], 0);
}

static int teardown(void **state)
{
    world_begin();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_where_none_is_own),
        cmocka_unit_test(test_named_by_prefix),
        cmocka_unit_test(test_withdrawal_death_return),
        cmocka_unit_test(test_another_border),
        cmocka_unit_test(test_no_third),
        cmocka_unit_test(test_transit_is_dropped),
        cmocka_unit_test(test_answers_only),
        cmocka_unit_test(test_no_home_is_none),
        cmocka_unit_test(test_claimed_client),
        cmocka_unit_test(test_stranger_in_a_clients_name),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
