/* Several providers of demultiplexing in virtual time (dmux_world.h): who serves whose clients, who is believed, what
 * passes between them and what does not, and how long it takes. Each party has a realm, a service address, a secret and
 * a hundred numbers of providers of its own. Delays are literal; what is expected follows from them. */
#include "dmux/federation_internal.h"
#include "dmux/link.h"
#include "dmux/mac.h"
#include "tests/sim/dmux_world.h"
#include "wire/federation.h"

#include <stdio.h>

#define PARTIES 3
#define EACH 9 /* gateways of a party, at most; the first is the border that the others are told of */

enum { A, B, C };

static struct party {
    char name[2], realm[16];
    struct identity root, ids[EACH + 1], provider;
    uint32_t service;
    struct authority authority;
    struct slice chain; /* of the provider, authority.provider_first */
} parties[PARTIES];

static struct mesh_options mesh;
static struct federation_options federation;
static struct federation_realm realms[PARTIES][PARTIES];
static struct federation_border borders[PARTIES][PARTIES * EACH];
static uint64_t next_until;   /* end of the certificates of gateways that are made from now on; 0: none */
static unsigned next_borders; /* gateways of each other party that the next one is told of by its configuration */

static void parties_begin(void)
{
    const struct rng rng = prng_rng(&prng);
    const uint32_t services[PARTIES] = { SERVICE, 0xc6120001, 0xc6130001 };

    world_begin();
    next_borders = 1;
    next_until = 0;
    for (unsigned i = 0; i < PARTIES; i++) {
        struct party *p = &parties[i];
        char leaf[32];

        memset(p, 0, sizeof(*p));
        p->name[0] = (char)('a' + i);
        snprintf(p->realm, sizeof(p->realm), "%c.example", 'a' + i);
        assert_int_equal(identity_generate(&p->root, &rng), 0);
        assert_int_equal(identity_generate(&p->provider, &rng), 0);
        for (unsigned k = 1; k <= EACH; k++)
            assert_int_equal(identity_generate(&p->ids[k], &rng), 0);
        p->service = services[i];
        p->authority = (struct authority){ .provider_first = 200 + 100 * i,
                                           .provider_last = 299 + 100 * i,
                                           .protocols = { DMUX_IPV6 },
                                           .protocols_count = 1 };
        memcpy(p->authority.root, p->root.ed25519, 32);
        snprintf(p->authority.realm, sizeof(p->authority.realm), "%s", p->realm);
        snprintf(leaf, sizeof(leaf), "dmux-provider-%u", p->authority.provider_first);
        p->chain = chain_kept(&p->root, p->realm, &p->provider, leaf, 0);
    }
}

/* Gateway `id` of a party, which knows the others that `with` has the bits of, and the first next_borders of their
 * gateways. */
static unsigned gateway_of(unsigned party, uint32_t id, unsigned with)
{
    struct party *p = &parties[party];
    char leaf[32];

    snprintf(leaf, sizeof(leaf), "dmux-gateway-%u", id);
    memset(&mesh, 0, sizeof(mesh));
    mesh.identity = &p->ids[id];
    mesh.chain = chain_kept(&p->root, p->realm, &p->ids[id], leaf, next_until);
    memcpy(mesh.root, p->root.ed25519, 32);
    snprintf(mesh.realm, sizeof(mesh.realm), "%s", p->realm);
    memset(&federation, 0, sizeof(federation));
    federation.realms = realms[party];
    federation.borders = borders[party];
    for (unsigned i = 0; i < PARTIES; i++) {
        if (!(with >> i & 1))
            continue;
        next_service = parties[i].service;
        realms[party][federation.realms_count] =
            (struct federation_realm){ .authority = parties[i].authority,
                                       .prefix = { .addr = addr_v4(next_service & 0xffffff00), .len = 24 } };
        memcpy(realms[party][federation.realms_count].name, parties[i].name, 2);
        for (unsigned k = 1; k <= next_borders; k++) {
            struct federation_border *e = &borders[party][federation.borders_count++];

            *e = (struct federation_border){ .realm = federation.realms_count, .at = at(gateway_addr(k), DMUX_PORT) };
            memcpy(e->x25519, parties[i].ids[k].x25519, 32);
        }
        federation.realms_count++;
    }
    next_service = p->service;
    if (id != 1) {
        mesh.seeds_count = 1;
        mesh.seeds[0].at = at(gateway_addr(1), DMUX_PORT);
        memcpy(mesh.seeds[0].x25519, p->ids[1].x25519, 32);
    }
    next_mesh = &mesh;
    next_federation = with ? &federation : NULL;
    next_authority = &p->authority;
    return gateway_at(id);
}

/* A router of the party's provider, registered with that gateway. */
static unsigned router_of(unsigned party, uint32_t addr, unsigned gateway)
{
    struct party *p = &parties[party];
    uint32_t home = hosts[gateway].addr;

    next_chain = p->chain;
    return router_with(addr, &home, 1, p->authority.provider_first, &p->provider, gateway);
}

static unsigned client_of(unsigned party, uint32_t addr, unsigned gateway, uint32_t provider)
{
    next_service = parties[party].service;
    next_wanted = provider;
    return client_at(addr, gateway);
}

static const struct federation *federation_at(unsigned gateway)
{
    return gateway_federation(hosts[gateway].gateway);
}

static struct federation_realm_info realm_at(unsigned gateway, size_t i)
{
    struct federation_realm_info ret;

    assert_true(federation_realm_info(federation_at(gateway), i, &ret));
    return ret;
}

static const struct gateway_stats *stats(unsigned gateway)
{
    return gateway_stats_get(hosts[gateway].gateway);
}

/* Whom the gateway sends packets of this provider's to; 0: nobody. */
static uint32_t serves(unsigned gateway, uint32_t provider)
{
    const struct registration *r =
        registry_select(gateway_registry(hosts[gateway].gateway), DMUX_IPV6, provider, 0xc6336407);

    return r ? r->addr : 0;
}

static size_t askers_of(unsigned gateway)
{
    struct federation_stats s;

    federation_stats_get(federation_at(gateway), &s);
    return s.askers;
}

/* A client's packet gets to the router, and the answer back to the client: from its own service's address. */
static void there_and_back(unsigned client, unsigned router)
{
    uint8_t packet[48], out[200];
    struct router_tx tx;
    struct endpoint self = at(hosts[router].addr, 1);
    struct client_info info = info_of(client);
    unsigned by = 0;

    assert_true(client_sends(client, &by));
    assert_int_equal(by, router);
    packet_make(packet, &server, &info.address);
    assert_true(router_on_packet(hosts[router].router, packet, 48, now, out, &tx));
    post(router, &self, &tx.to, out, tx.len);
    hosts[client].last_len = 0;
    world_run(4 * DELAY);
    assert_int_equal(hosts[client].last_len, 48);
    assert_memory_equal(hosts[client].last, packet, 48);
}

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
    assert_true(prefix_equal(&info.dmux, &realms[A][0].prefix));
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
 * within its RETRY_MAX of 5 s, and served by after a handshake. */
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

/* A gateway is stopped, or asleep, for some seconds: it serves by its borders on, under the same keys, and is told
 * within half a second what has gone meanwhile. For longer than they remember it, it serves again after a handshake;
 * nor is anybody damped for that. A border that has died meanwhile is known to be silent after 3 s. */
static void test_own_absence(void **state)
{
    const span away[] = { FEDERATION_SILENCE / 2, 4 * SEC, 20 * SEC, ABSENCE - FEDERATION_SILENCE, ABSENCE, 90 * SEC };
    unsigned a, b;

    for (unsigned i = 0; i < ARRAY_LEN(away); i++) {
        bool kept = away[i] < ABSENCE;
        const struct registration *r;
        unsigned leaves;
        uint32_t home;

        parties_begin();
        a = gateway_of(A, 1, 1 << B);
        b = gateway_of(B, 1, 1 << A);
        home = hosts[b].addr;
        router_of(B, 0xcb007109, b);
        next_chain = chain_kept(&parties[B].root, "b.example", &stranger_id, "dmux-provider-301", 0);
        leaves = router_with(0xcb00710a, &home, 1, 301, &stranger_id, b);
        for (unsigned times = 0; times < 3; times++) {
            uint32_t keys;

            world_run(6 * SEC);
            assert_int_equal(federation_at(a)->realms[0].borders[0]->state, BORDER_UP);
            keys = federation_at(a)->realms[0].borders[0]->keys.local;
            assert_int_equal(serves(a, 301), times == 0 ? hosts[b].addr : 0);
            hosts[a].dead = true;
            world_run(away[i] / 2);
            if (times == 0)
                router_leave(hosts[leaves].router);
            world_run(away[i] / 2);
            hosts[a].dead = false;
            for (unsigned ms = 0; ms < 5000; ms++) {
                world_run(MSEC);
                assert_true(serves(a, 300) || (!kept && ms < 10 * DELAY / MSEC));
                assert_true(!serves(a, 301) || ms <= 500 + 2 * DELAY / MSEC);
            }
            assert_int_equal(federation_at(a)->realms[0].borders[0]->keys.local == keys, kept);
        }
        r = registry_find((struct registry *)(uintptr_t)gateway_registry(hosts[a].gateway), DMUX_IPV6, 300,
                          hosts[b].addr, DMUX_PORT);
        assert_true(r->penalty == 0);
        hosts[a].dead = hosts[b].dead = true;
        world_run(away[i]);
        hosts[a].dead = false;
        world_run(FEDERATION_SILENCE);
        assert_int_equal(serves(a, 300), 0);
    }
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
    struct gateway_tx tx;
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
    struct router_tx tx;
    struct gateway_tx g;
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
    struct router_tx tx;
    struct gateway_tx g;
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

/* --- whose numbers --- */

/* b certifies a number that is not its own to give: it is refused by name, and what is b's is served. */
static void test_number_of_another(void **state)
{
    const uint32_t stolen = 410;
    struct federation_realm_info i;
    unsigned a, b;
    uint32_t home;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    parties[B].authority.provider_last = 499; /* as b's own configuration has it */
    b = gateway_of(B, 1, 1 << A);
    home = hosts[b].addr;
    next_chain = chain_kept(&parties[B].root, "b.example", &stranger_id, "dmux-provider-410", 0);
    router_with(0xcb00710a, &home, 1, stolen, &stranger_id, b);
    router_of(B, 0xcb007109, b);
    world_run(6 * SEC);
    assert_int_equal(serves(a, 300), hosts[b].addr);
    assert_int_equal(serves(b, 410), 0xcb00710a);
    assert_int_equal(serves(a, 410), 0);
    i = realm_at(a, 0);
    assert_int_equal(i.drops[FEDERATION_DROP_NUMBER], 1);
    assert_int_equal(i.refusal.provider, 410);
    assert_int_equal(i.refusal.gateway, 1);
    assert_int_equal(i.refusal.cause, FEDERATION_DROP_NUMBER);
}

/* A number that a knows with another key: b's is refused, whoever was first. With the same key it is the same. */
static void test_key_of_another(void **state)
{
    struct federation_realm_info i;
    unsigned a, b;

    for (unsigned same = 0; same < 2; same++) {
        uint32_t home;

        parties_begin();
        parties[A].authority.provider_last = 399; /* a's configuration gives the number to both */
        a = gateway_of(A, 1, 1 << B);
        b = gateway_of(B, 1, 1 << A);
        home = hosts[a].addr;
        next_chain = chain_kept(&parties[A].root, "a.example", same ? &parties[B].provider : &stranger_id,
                                "dmux-provider-300", 0);
        router_with(0xcb00710a, &home, 1, 300, same ? &parties[B].provider : &stranger_id, a);
        world_run(2 * SEC);
        router_of(B, 0xcb007109, b);
        world_run(6 * SEC);
        i = realm_at(a, 0);
        assert_int_equal(serves(a, 300), 0xcb00710a);
        assert_int_equal(i.drops[FEDERATION_DROP_KEY], !same);
        assert_int_equal(i.adopted, same);
    }
}

/* The realm has not certified it: another root has, or nobody; or the certificate ends. */
static void test_certificates(void **state)
{
    struct federation_stats s;
    struct federation_realm_info i;
    unsigned a, b;
    uint32_t home;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    memcpy(parties[B].authority.root, parties[C].root.ed25519, 32); /* which b trusts, and a for b does not */
    b = gateway_of(B, 1, 1 << A);
    home = hosts[b].addr;
    next_chain = chain_kept(&parties[C].root, "b.example", &parties[B].provider, "dmux-provider-300", 0);
    router_with(0xcb007109, &home, 1, 300, &parties[B].provider, b);
    next_chain = (struct slice){ 0 };
    router_with(0xcb007108, &home, 1, 100, &provider_id, b); /* that b lists, without a certificate */
    world_run(6 * SEC);
    assert_int_equal(serves(b, 300), 0xcb007109);
    assert_int_equal(serves(a, 300), 0);
    i = realm_at(a, 0);
    assert_int_equal(i.drops[FEDERATION_DROP_CERTIFICATE], 1);
    assert_int_equal(i.refusal.provider, 300);
    federation_stats_get(federation_at(b), &s);
    assert_int_equal(s.unproven, 1);
    assert_int_equal(s.told, 1);

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    parties[B].chain = chain_kept(&parties[B].root, "b.example", &parties[B].provider, "dmux-provider-300", 1010);
    router_of(B, 0xcb007109, b);
    world_run(5 * SEC);
    assert_int_equal(serves(a, 300), hosts[b].addr);
    gateway_set_wall(hosts[a].gateway, 1011);
    world_run(2 * SEC);
    assert_int_equal(serves(a, 300), 0);
}

/* The provider has a newer certificate before the first one ends, which its border is asked for: no millisecond is
 * without service. Nor where another border, which shows one of another root, is asked first. */
static void test_certificate_renewed(void **state)
{
    for (unsigned liar = 0; liar < 2; liar++) {
        unsigned a, b[2], r;
        uint32_t home;

        parties_begin();
        next_borders = 1 + liar;
        a = gateway_of(A, 1, 1 << B);
        b[0] = gateway_of(B, 1, 1 << A);
        parties[B].chain = chain_kept(&parties[B].root, "b.example", &parties[B].provider, "dmux-provider-300", 1200);
        r = router_of(B, 0xcb007109, b[0]);
        world_run(5 * SEC);
        assert_int_equal(serves(a, 300), hosts[b[0]].addr);
        if (liar) {
            memcpy(parties[B].authority.root, parties[C].root.ed25519, 32);
            b[1] = gateway_of(B, 2, 1 << A);
            home = hosts[b[1]].addr;
            next_chain = chain_kept(&parties[C].root, "b.example", &parties[B].provider, "dmux-provider-300", 0);
            router_with(0xcb007108, &home, 1, 300, &parties[B].provider, b[1]);
            world_run(5 * SEC);
        }
        hosts[r].options.chain =
            chain_kept(&parties[B].root, "b.example", &parties[B].provider, "dmux-provider-300", 2000);
        router_restart(r);
        for (uint32_t wall_s = 1170; wall_s <= 1202; wall_s++) {
            gateway_set_wall(hosts[a].gateway, wall_s);
            gateway_set_wall(hosts[b[0]].gateway, wall_s);
            for (unsigned ms = 0; ms < 1000; ms++) {
                world_run(MSEC);
                assert_true(serves(a, 300));
            }
        }
        assert_int_equal(realm_at(a, 0).drops[FEDERATION_DROP_CERTIFICATE], liar);
    }
}

/* A border has what it cannot prove: what another can is served, whichever of them is asked first; and what one says
 * that was not asked has no effect. */
static void test_proved_by_another(void **state)
{
    static const uint8_t nothing[40] = { 1, 2, 3 };
    struct federation_message m = {
        .kind = FEDERATION_CERTIFICATE, .provider = 300, .rest = nothing, .rest_len = sizeof(nothing)
    };
    struct federation *f;
    unsigned a, b1, b2;
    uint32_t home;

    for (unsigned first = 0; first < 2; first++) {
        parties_begin();
        next_borders = 2;
        a = gateway_of(A, 1, 1 << B);
        b1 = gateway_of(B, 1, 1 << A);
        memcpy(parties[B].authority.root, parties[C].root.ed25519, 32); /* which the second trusts, and a does not */
        b2 = gateway_of(B, 2, 1 << A);
        if (first)
            router_of(B, 0xcb007109, b1);
        else
            world_run(2 * SEC);
        home = hosts[b2].addr;
        next_chain = chain_kept(&parties[C].root, "b.example", &parties[B].provider, "dmux-provider-300", 0);
        router_with(0xcb007108, &home, 1, 300, &parties[B].provider, b2);
        world_run(5 * SEC);
        if (!first)
            router_of(B, 0xcb007109, b1);
        world_run(5 * SEC);
        assert_true(serves(a, 300));
    }
    parties_begin();
    next_borders = 2;
    a = gateway_of(A, 1, 1 << B);
    b1 = gateway_of(B, 1, 1 << A);
    gateway_of(B, 2, 1 << A);
    world_run(5 * SEC);
    f = (struct federation *)(uintptr_t)federation_at(a);
    router_of(B, 0xcb007109, b1);
    while (!serves(a, 300) && now < 20 * SEC) {
        services_take_certificate(f, &f->realms[0], 1, &m, now);
        world_run(MSEC);
    }
    assert_int_equal(serves(a, 300), hosts[b1].addr);
    assert_int_equal(realm_at(a, 0).drops[FEDERATION_DROP_CERTIFICATE], 0);
}

/* A border tells of 4,200 numbers that it cannot prove: what another has is served meanwhile. */
static void test_full(void **state)
{
    uint8_t rest[MESH_TEXT_MAX];
    struct federation *f;
    unsigned a, b2;

    parties_begin();
    next_borders = 2;
    parties[B].authority.provider_last = 9999;
    a = gateway_of(A, 1, 1 << B);
    gateway_of(B, 1, 1 << A);
    b2 = gateway_of(B, 2, 1 << A);
    world_run(5 * SEC);
    f = (struct federation *)(uintptr_t)federation_at(a);
    for (unsigned gone = 0; gone < 2; gone++) {
        for (uint32_t k = 0; k < 4200;) {
            struct writer w = writer_init(rest, MESH_TEXT_MAX - 17);
            struct federation_message m = { .rest = rest };

            for (; k < 4200 && writer_left(&w) >= FEDERATION_ITEM_LEN; k++) {
                struct federation_item i = { .protocol = DMUX_IPV6, .provider = 1000 + k };

                i.rtt_us = gone ? FEDERATION_GONE : 1;
                federation_put_item(&w, &i);
            }
            m.rest_len = writer_len(&w);
            services_take(f, &f->realms[0], 0, &m, now);
        }
        if (!gone)
            router_of(B, 0xcb00710a, b2);
        world_run(5 * SEC);
        assert_true(serves(a, 300));
    }
    assert_int_equal(f->realms[0].services.count, 1);
    assert_int_equal(f->realms[0].borders[0]->charged, 0);
}

/* Of two realms each has half of the registrations: what is beyond it finds no room, and the other's does. */
static void test_shares_of_realms(void **state)
{
    struct federation *f;
    unsigned a, b, c;

    parties_begin();
    a = gateway_of(A, 1, 1 << B | 1 << C);
    b = gateway_of(B, 1, 1 << A);
    c = gateway_of(C, 1, 1 << A);
    f = (struct federation *)(uintptr_t)federation_at(a);
    f->realms[0].adopted += FEDERATION_ADOPTED_MAX / 2;
    router_of(B, 0xcb007109, b);
    router_of(C, 0xcb00710a, c);
    world_run(5 * SEC);
    assert_int_equal(serves(a, 300), 0);
    assert_int_equal(serves(a, 400), hosts[c].addr);
    f->realms[0].adopted -= FEDERATION_ADOPTED_MAX / 2;
    f->realms[1].adopted += FEDERATION_ADOPTED_MAX;
    world_run(2 * SEC);
    assert_int_equal(serves(a, 300), hosts[b].addr);
    f->realms[1].adopted -= FEDERATION_ADOPTED_MAX;
}

/* What a border has told of while there was no room is heard once there is. */
static void test_room_again(void **state)
{
    struct federation *f;
    unsigned a, b;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    world_run(5 * SEC);
    f = (struct federation *)(uintptr_t)federation_at(a);
    f->realms[0].services.max_items = 0;
    router_of(B, 0xcb007109, b);
    world_run(5 * SEC);
    assert_int_equal(serves(a, 300), 0);
    assert_int_equal(realm_at(a, 0).drops[FEDERATION_DROP_FULL], 1);
    f->realms[0].services.max_items = FEDERATION_SERVICES_MAX;
    world_run(11 * SEC);
    assert_int_equal(serves(a, 300), hosts[b].addr);
}

/* As many certificates are remembered as may be, which never end: those of whose providers nothing is told any more
 * make room, and others do not. */
static void test_certificates_make_room(void **state)
{
    const struct rng rng = prng_rng(&prng);
    uint8_t chain[CREDENTIAL_CHAIN_MAX];
    struct identity key;
    struct realm *realm;
    char leaf[32];
    unsigned a, b, r;
    uint32_t home;

    parties_begin();
    parties[B].authority.provider_last = 9999;
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    realm = (struct realm *)(uintptr_t)&federation_at(a)->realms[0];
    r = router_of(B, 0xcb007109, b);
    world_run(5 * SEC);
    assert_int_equal(serves(a, 300), hosts[b].addr);
    for (uint32_t i = 1; i < CREDENTIALS_MAX; i++) {
        struct slice s;

        assert_int_equal(identity_generate(&key, &rng), 0);
        snprintf(leaf, sizeof(leaf), "dmux-provider-%u", 1000 + i);
        s = chain_make(&parties[B].root, "b.example", &key, leaf, 0, chain);
        assert_int_equal(credentials_learn(realm->credentials, key.ed25519, s.data, s.len, 1000), 0);
    }
    home = hosts[b].addr;
    next_chain = chain_kept(&parties[B].root, "b.example", &stranger_id, "dmux-provider-301", 0);
    router_with(0xcb00710a, &home, 1, 301, &stranger_id, b);
    world_run(5 * SEC);
    assert_int_equal(serves(a, 301), hosts[b].addr);
    assert_non_null(credentials_key(realm->credentials, 300, 1000));
    assert_null(credentials_key(realm->credentials, 1001, 1000));
    router_leave(hosts[r].router); /* it comes back to what is known of it */
    world_run(SEC);
    assert_non_null(credentials_key(realm->credentials, 300, 1000));
}

/* Who is no gateway of the realm by its certificate is told nothing, and asked nothing. */
static void test_strangers(void **state)
{
    struct federation_border_info i;
    struct federation_stats s;
    unsigned a, b;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    parties[B].root = parties[C].root; /* b is b by another root */
    b = gateway_of(B, 1, 1 << A);
    router_of(B, 0xcb007109, b);
    world_run(10 * SEC);
    assert_true(federation_border_info(federation_at(a), 0, 0, &i));
    assert_false(i.up);
    assert_int_equal(serves(a, 300), 0);
    assert_true(realm_at(a, 0).drops[FEDERATION_DROP_STRANGER] > 0);
    federation_stats_get(federation_at(a), &s);
    assert_int_equal(s.askers, 0);
    assert_true(s.drops[FEDERATION_DROP_STRANGER] > 0);
}

/* A gateway's certificate ends: from then on it is asked and told no more, whichever end it is. */
static void test_gateway_certificates_end(void **state)
{
    for (unsigned which = 0; which < 2; which++) {
        unsigned a, b;

        parties_begin();
        next_until = which == 0 ? 1010 : 0;
        a = gateway_of(A, 1, 1 << B);
        next_until = which == 1 ? 1010 : 0;
        b = gateway_of(B, 1, 1 << A);
        router_of(B, 0xcb007109, b);
        world_run(5 * SEC);
        gateway_set_wall(hosts[a].gateway, 1010);
        gateway_set_wall(hosts[b].gateway, 1010);
        world_run(5 * SEC);
        assert_int_equal(serves(a, 300), hosts[b].addr);
        gateway_set_wall(hosts[a].gateway, 1011);
        gateway_set_wall(hosts[b].gateway, 1011);
        world_run(FEDERATION_SILENCE + SEC);
        assert_int_equal(serves(a, 300), 0);
        assert_int_equal(askers_of(which == 0 ? b : a), 0);
        world_run(20 * SEC);
        assert_int_equal(serves(a, 300), 0);
    }
}

/* A border whose news never end: its one service comes and goes 77 times a second for 20 s. What is taken of it
 * is bounded and counted, and the service is damped; when it has calmed down it is served by again. */
static void test_flood(void **state)
{
    struct registry *reg;
    struct registration *m;
    unsigned a, b, r;
    uint64_t before;
    uint16_t wait_s;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    r = router_of(B, 0xcb007109, b);
    world_run(5 * SEC);
    reg = (struct registry *)(uintptr_t)gateway_registry(hosts[b].gateway);
    m = registry_find(reg, DMUX_IPV6, 300, hosts[r].addr, 1);
    before = hosts[a].bytes_in;
    for (unsigned i = 0; i < 1600; i++) { /* not in step with the round trip */
        registry_drop(reg, m, now);
        world_run(7 * MSEC);
        assert_int_equal(registry_claim(reg, m, now, &m, &wait_s), 0);
        registry_prove(reg, m, MSEC, now);
        world_run(6 * MSEC);
    }
    assert_true(realm_at(a, 0).drops[FEDERATION_DROP_FLOOD] > 0);
    assert_true(realm_at(a, 0).drops[FEDERATION_DROP_DAMPED] > 0);
    /* one summary of an item, 67 bytes, each round trip of 10 ms; and what else a border says */
    assert_true(hosts[a].bytes_in - before < 21 * (100 * 67 + 500));
    world_run(5 * DAMP_HALF_LIFE);
    assert_int_equal(serves(a, 300), hosts[b].addr);
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
    struct router_tx tx;
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

/* A border has no key: what is sealed under none, from its address, is as from a router that is not known. */
static void test_border_is_no_router(void **state)
{
    static const uint8_t types[] = { DMUX_KEEPALIVE, DMUX_PROOF, DMUX_WITHDRAW }, none[DMUX_KEY_LEN];
    struct endpoint border, self;
    uint8_t d[256], out[2048];
    struct gateway_tx tx;
    unsigned a, b;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    router_of(B, 0xcb007109, b);
    world_run(5 * SEC);
    border = at(hosts[b].addr, DMUX_PORT);
    self = at(hosts[a].addr, DMUX_PORT);
    for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
        struct dmux_message m = { .type = types[i], .protocol = DMUX_IPV6, .provider = 300, .gateway = 1, .seq = 1 };
        size_t len = dmux_write_sealed(&m, none, d, sizeof(d));

        gateway_on_datagram(hosts[a].gateway, d, len, &border, &self.addr, now, out, &tx);
        assert_int_equal(serves(a, 300), hosts[b].addr);
        assert_int_equal(stats(a)->refused[DMUX_REFUSED_UNKNOWN], i + 1);
    }
}

static void tells_of(unsigned gateway, const struct mesh_member *others, size_t count)
{
    federation_set_others((struct federation *)(uintptr_t)federation_at(gateway), others, count);
}

/* A border tells of the address of one's own router as if a gateway was there: who says so takes nobody's place. */
static void test_told_of_own_router(void **state)
{
    const struct mesh_member said = { .gateway = 50, .at = at(0xcb007201, DMUX_PORT) };
    unsigned a, b;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    for (unsigned t = 0; t < 300; t++) {
        tells_of(b, &said, 1);
        if (t == 200) /* a asks it by now */
            router_of(A, 0xcb007201, a);
        world_run(100 * MSEC);
    }
    assert_int_equal(stats(a)->refused[DMUX_REFUSED_ADDRESS], 0);
    assert_int_equal(serves(a, 200), 0xcb007201);
}

/* Somebody who asks a gateway of b, and says what he likes. */
struct questioner {
    struct link_end end;
    struct link_keys keys;
    unsigned border;
};

/* Sends it to the border, and takes what that has to send him: the length of the last such; 0: nothing. */
static size_t question(const struct questioner *q, const uint8_t *data, size_t len, uint8_t out[2048])
{
    struct endpoint self = at(hosts[q->border].addr, DMUX_PORT);
    uint8_t any[2048];
    struct gateway_tx tx;
    size_t ret = 0;

    gateway_on_datagram(hosts[q->border].gateway, data, len, &q->end.unicast, &self.addr, now, any, &tx);
    gateway_on_expiry(hosts[q->border].gateway, now);
    while (gateway_output(hosts[q->border].gateway, any, &tx, now)) {
        if (!endpoint_equal(&tx.to, &q->end.unicast))
            continue;
        memcpy(out, any, tx.len);
        ret = tx.len;
    }
    return ret;
}

/* As gateway `id` of a party, with that key, from there. Whether it is answered. */
static bool shake_hands(struct questioner *q, unsigned border, unsigned party, uint32_t id, const struct identity *key,
                        uint32_t addr)
{
    const struct rng rng = prng_rng(&prng);
    struct shim_claim c = { .kind = SHIM_COOKIE_CLIENT, .client = addr, .client_port = DMUX_PORT };
    struct endpoint self = at(hosts[border].addr, DMUX_PORT);
    struct credentials *b = credentials_new(NULL, 0, &parties[B].authority, 1, &rng);
    struct link_realm realm = { .trust = credentials_trust(b, 0), .name = "b.example" };
    uint8_t cookie[SHIM_COOKIE_LEN], secret[JAR_SECRET_LEN] = { 7 }, init[2048], answer[2048];
    struct noise n = { 0 };
    uint32_t gateway = 0;
    struct jar jar;
    char leaf[32];
    size_t len;
    int e;

    snprintf(leaf, sizeof(leaf), "dmux-gateway-%u", id);
    put_be32(secret + 28, parties[B].service ^ SERVICE);
    jar_init(&jar, secret, 1000);
    jar_mint(&jar, &c, cookie);
    *q = (struct questioner){ .border = border,
                              .end = { .init_type = DMUX_FEDERATION_INIT,
                                       .prologue = "hawser dmux federation 1",
                                       .id = id,
                                       .unicast = at(addr, DMUX_PORT),
                                       .identity = key,
                                       .chain = chain_kept(&parties[party].root, parties[party].realm, key, leaf, 0),
                                       .rng = rng } };
    len = link_init_write(&q->end, cookie, parties[B].ids[1].x25519, 5, &n, init);
    len = question(q, init, len, answer);
    e = len == 0 ? -1 : link_answer_read(&q->end, &realm, &n, 5, answer, len, &self, 1000, &q->keys, &gateway);
    noise_wipe(&n);
    credentials_free(b);
    return e == 0 && gateway == 1;
}

static void says(struct questioner *q, const struct federation_message *m)
{
    uint8_t d[2048], out[2048];

    question(q, d, link_seal(&q->end, &q->keys, federation_write(m, d + LINK_TEXT_AT, MESH_TEXT_MAX), d), out);
}

static unsigned far_one;

static span all_but_far(unsigned x, unsigned y)
{
    return x == far_one || y == far_one ? 4 * DELAY : DELAY;
}

/* Two near borders fall silent three times, and are damped: the third, which is far and stays, serves all the while. */
static void test_damped_take_no_place(void **state)
{
    unsigned a, b[3];

    parties_begin();
    next_borders = 3;
    a = gateway_of(A, 1, 1 << B);
    for (unsigned i = 0; i < 3; i++)
        b[i] = gateway_of(B, i + 1, 1 << A);
    far_one = b[2];
    delay_between = all_but_far;
    router_of(B, 0xcb007109, b[2]);
    world_run(20 * SEC);
    for (unsigned i = 0; i < 3; i++) {
        hosts[b[0]].dead = hosts[b[1]].dead = true;
        world_run(FEDERATION_SILENCE + SEC / 2);
        assert_int_equal(serves(a, 300), hosts[b[2]].addr);
        hosts[b[0]].dead = hosts[b[1]].dead = false;
        world_run(9 * SEC);
    }
    assert_true(realm_at(a, 0).drops[FEDERATION_DROP_DAMPED] > 0);
    for (unsigned i = 0; i < 60; i++) {
        assert_int_equal(serves(a, 300), hosts[b[2]].addr);
        world_run(SEC);
    }
}

/* Who asks from many addresses with one certificate is one; who has many certificates of a realm takes nothing of
 * another's share. */
static void test_askers_are_gateways(void **state)
{
    const struct federation_message ping = { .kind = FEDERATION_PING };
    const struct rng rng = prng_rng(&prng);
    struct questioner q, first;
    struct identity key;
    unsigned b;

    parties_begin();
    b = gateway_of(B, 1, 1 << A | 1 << C);
    assert_true(shake_hands(&first, b, A, 1, &parties[A].ids[1], 0x0b000001));
    says(&first, &ping);
    for (uint32_t i = 1; i < 20; i++) {
        assert_true(shake_hands(&q, b, A, 1, &parties[A].ids[1], 0x0b000001 + (i << 8)));
        assert_true(federation_is_member(federation_at(b), 0x0b000001));
        if (i < 19)
            link_keys_free(&q.keys);
    }
    assert_int_equal(askers_of(b), 1);
    says(&q, &ping); /* it has moved */
    assert_true(federation_is_member(federation_at(b), 0x0b001301));
    assert_false(federation_is_member(federation_at(b), 0x0b000001));
    link_keys_free(&q.keys);
    link_keys_free(&first.keys);
    for (uint32_t i = 2; i <= FEDERATION_ASKERS_MAX / 2 + 2; i++) {
        assert_int_equal(identity_generate(&key, &rng), 0);
        assert_int_equal(shake_hands(&q, b, A, i, &key, 0x0b100001 + (i << 8)), i <= FEDERATION_ASKERS_MAX / 2);
        if (i <= FEDERATION_ASKERS_MAX / 2)
            says(&q, &ping);
        link_keys_free(&q.keys);
    }
    assert_int_equal(askers_of(b), FEDERATION_ASKERS_MAX / 2);
    assert_true(shake_hands(&q, b, C, 1, &parties[C].ids[1], 0x0b200001));
    link_keys_free(&q.keys);
    world_run(FEDERATION_SILENCE + SEC); /* who is silent is remembered, and makes room */
    assert_int_equal(askers_of(b), 0);
    assert_int_equal(federation_at(b)->by_index.count, FEDERATION_ASKERS_MAX / 2);
    assert_true(shake_hands(&q, b, A, FEDERATION_ASKERS_MAX, &key, 0x0b300001));
    link_keys_free(&q.keys);
    assert_int_equal(federation_at(b)->by_index.count, FEDERATION_ASKERS_MAX / 2);
    world_run(ABSENCE);
    assert_int_equal(federation_at(b)->by_index.count, 0);
}

/* Who asks and never says that it has heard: what is gone is not kept for it longer than half a minute. It is told
 * again when it asks again. */
static void test_who_never_hears(void **state)
{
    struct federation_message ping = { .kind = FEDERATION_PING };
    struct questioner q;
    unsigned a, b, r;
    struct federation *f;

    parties_begin();
    b = gateway_of(B, 1, 1 << A);
    a = gateway_of(A, 1, 1 << B);
    f = (struct federation *)(uintptr_t)federation_at(b);
    r = router_of(B, 0xcb007109, b);
    world_run(5 * SEC);
    assert_int_equal(serves(a, 300), hosts[b].addr);
    assert_true(shake_hands(&q, b, A, 2, &parties[A].ids[2], 0x0b000001));
    says(&q, &ping);
    router_leave(hosts[r].router);
    for (unsigned s = 0; s < 20; s++) {
        world_run(SEC);
        says(&q, &ping);
    }
    assert_int_equal(serves(a, 300), 0);
    assert_int_equal(f->told.count, 1); /* that it is gone */
    assert_int_equal(askers_of(b), 2);
    for (unsigned s = 0; s < 12; s++) {
        world_run(SEC);
        says(&q, &ping);
    }
    assert_int_equal(f->told.count, 0);
    assert_int_equal(askers_of(b), 1);
    link_keys_free(&q.keys);
    assert_true(shake_hands(&q, b, A, 2, &parties[A].ids[2], 0x0b000001));
    says(&q, &ping);
    assert_int_equal(askers_of(b), 2);
    link_keys_free(&q.keys);
}

/* Managers that know of nobody. */
static void nobody_there(unsigned gateway)
{
    struct directory *d = gateway_directory(hosts[gateway].gateway);
    struct directory_event e;
    uint8_t out[HOLDER_REQUEST_MAX];

    while (gateway_pop_question(hosts[gateway].gateway, &e, out, now)) {
        if (e.type == DIRECTORY_ASK)
            directory_on_found(d, e.id, RESOLVER_NONE, (struct slice){ 0 }, now);
        else
            directory_on_told(d, e.id, NULL, 0, now);
    }
}

/* A client of a asks a who serves it. */
static void echoes(unsigned a, uint32_t client, uint16_t protocol, uint32_t provider)
{
    uint8_t secret[JAR_SECRET_LEN] = { 7 }, d[DMUX_MESSAGE_MAX], out[2048];
    struct dmux_message m = { .type = DMUX_ECHO, .protocol = protocol, .provider = provider, .nonce = 1 };
    struct shim_claim c = { .kind = SHIM_COOKIE_CLIENT, .client = client, .client_port = 4000 };
    struct endpoint from = at(client, 4000), self = at(SERVICE, DMUX_PORT);
    struct gateway_tx tx;
    struct jar jar;

    jar_init(&jar, secret, 1000);
    jar_mint(&jar, &c, m.cookie);
    gateway_on_datagram(hosts[a].gateway, d, dmux_write(&m, d, sizeof(d)), &from, &self.addr, now, out, &tx);
}

/* By managers b looks for what a's clients want: a client that makes up what nobody has, numbers and protocols, takes
 * an eighth of what b looks for for a, so that another's client is looked for. */
static void test_wants_are_shared(void **state)
{
    struct directory_options managers = { .boot_epoch = 1 };
    struct directory_stats s;
    struct federation_stats f;
    unsigned a, b;

    parties_begin();
    ask_managers = nobody_there;
    a = gateway_of(A, 1, 1 << B);
    next_directory = &managers;
    b = gateway_of(B, 1, 1 << A);
    next_directory = NULL;
    world_run(5 * SEC);
    for (uint32_t i = 0; i < 70; i++) {
        echoes(a, 0xc6336407, i < 20 ? (uint16_t)(0xff00 + i) : DMUX_IPV6, 300 + i);
        world_run(100 * MSEC);
    }
    directory_stats_get(gateway_directory(hosts[b].gateway), &s);
    assert_int_equal(s.wanted, 8);
    echoes(a, 0xc0a80105, DMUX_IPV6, 399);
    world_run(SEC);
    directory_stats_get(gateway_directory(hosts[b].gateway), &s);
    assert_int_equal(s.wanted, 9);
    federation_stats_get(federation_at(b), &f);
    assert_int_equal(f.drops[FEDERATION_DROP_FULL], 0);
    assert_int_equal(realm_at(a, 0).drops[FEDERATION_DROP_FULL], 42);
    world_run(100 * SEC); /* nobody wants them any more, and others have their places */
    echoes(a, 0xc6336407, DMUX_IPV6, 390);
    world_run(SEC);
    directory_stats_get(gateway_directory(hosts[b].gateway), &s);
    assert_int_equal(s.wanted, 1);
}

/* By managers: whom any provider will do is served by a border, and looked for at home. */
static void test_any_is_looked_for_at_home(void **state)
{
    struct directory_options managers = { .boot_epoch = 1 };
    struct directory_stats s;
    struct directory *d;
    unsigned a, b;

    parties_begin();
    ask_managers = nobody_there;
    next_directory = &managers;
    a = gateway_of(A, 1, 1 << B);
    next_directory = NULL;
    b = gateway_of(B, 1, 1 << A);
    router_of(B, 0xcb007109, b);
    world_run(5 * SEC);
    assert_int_equal(serves(a, PROVIDER_ANY), hosts[b].addr);
    echoes(a, 0xc6336407, DMUX_IPV6, PROVIDER_ANY);
    d = gateway_directory(hosts[a].gateway);
    directory_stats_get(d, &s);
    assert_int_equal(s.wanted, 1);
    assert_int_equal(directory_want(d, DMUX_IPV6, PROVIDER_ANY, 0xc6336407, now), 0);
    directory_stats_get(d, &s);
    assert_int_equal(s.wanted, 1); /* that it was */
}

static struct {
    struct link_end end;
    struct link_realm asks;
    struct link_keys keys;
    unsigned border, asker;
} liar;

/* Shakes hands as a border, and answers each PING with a time that is nearly now. */
static void lies(unsigned sender, const uint8_t *data, size_t len)
{
    struct endpoint from = at(hosts[sender].addr, DMUX_PORT), self = at(hosts[liar.border].addr, DMUX_PORT);
    uint8_t out[2048], text[MESH_TEXT_MAX];
    struct dmux_message hello,
        challenge = { .type = DMUX_CHALLENGE, .provider = PROVIDER_ANY, .gateway = 1, .unicast = self, .you = from };
    struct federation_message m;
    struct link_sender who;
    size_t n = 0;
    struct noise noise;
    struct shim s;
    int e;

    if (sender != liar.asker || shim_parse(data, data + len, &s) != SHIM_OK || !(s.flags & SHIM_CONTROL))
        return;
    if (dmux_read(&s, data, len, &hello) == 0 && hello.type == DMUX_HELLO) {
        challenge.nonce = hello.nonce;
        n = dmux_write(&challenge, out, sizeof(out));
    } else if (data[SHIM_LEN] == DMUX_FEDERATION_INIT &&
               link_init_read(&liar.end, &liar.asks, 1, data, len, &from, 1000, &noise, &who) == 0) {
        link_keys_free(&liar.keys);
        n = link_answer_write(&liar.end, &noise, &who, 9, out, &liar.keys);
        noise_wipe(&noise);
    } else if (data[SHIM_LEN] == DMUX_FEDERATION_RECORD && liar.keys.rx) {
        e = link_open(&liar.keys, data, len, 1000, text);
        assert_true(e > 0 && federation_read(text, (size_t)e, &m) == 0);
        if (m.kind == FEDERATION_PING) {
            m.kind = FEDERATION_PONG;
            m.time += DELAY - MSEC;
            n = link_seal(&liar.end, &liar.keys, federation_write(&m, out + LINK_TEXT_AT, MESH_TEXT_MAX), out);
        }
    }
    if (n > 0)
        post(liar.border, &self, &from, out, n);
}

/* A border cannot seem nearer than it is: by what it says of when it was asked, it is nowhere. */
static void test_nearer_than_it_is(void **state)
{
    const struct rng rng = prng_rng(&prng);
    struct federation_border_info i;
    struct credentials *of_a;
    unsigned a;

    parties_begin();
    of_a = credentials_new(NULL, 0, &parties[A].authority, 1, &rng);
    a = gateway_of(A, 1, 1 << B);
    next_service = parties[B].service;
    memset(&liar, 0, sizeof(liar));
    liar.asker = a;
    liar.border = host_new(NOBODY, gateway_addr(1), 0);
    liar.asks = (struct link_realm){ .trust = credentials_trust(of_a, 0), .name = "a.example" };
    liar.end =
        (struct link_end){ .init_type = DMUX_FEDERATION_INIT,
                           .prologue = "hawser dmux federation 1",
                           .id = 1,
                           .unicast = at(hosts[liar.border].addr, DMUX_PORT),
                           .identity = &parties[B].ids[1],
                           .chain = chain_kept(&parties[B].root, "b.example", &parties[B].ids[1], "dmux-gateway-1", 0),
                           .rng = rng };
    watch = lies;
    world_run(10 * SEC);
    watch = NULL;
    assert_true(federation_border_info(federation_at(a), 0, 0, &i) && i.up);
    assert_int_equal(i.rtt_us, 0);
    link_keys_free(&liar.keys);
    credentials_free(of_a);
}

/* Whether a link to gateway `id` of the first realm is up. */
static bool linked(unsigned gateway, uint32_t id)
{
    struct federation_border_info i;
    bool up = false;

    for (size_t k = 0; federation_border_info(federation_at(gateway), 0, k, &i); k++)
        up |= i.up && i.gateway == id;
    return up;
}

static size_t links_of(unsigned gateway)
{
    struct federation_border_info i;
    size_t n = 0;

    while (federation_border_info(federation_at(gateway), 0, n, &i))
        n++;
    return n;
}

static unsigned near_one;

static span near_and_far(unsigned x, unsigned y)
{
    return x == near_one || y == near_one ? DELAY : 4 * DELAY;
}

/* The nearest border tells of nobody but addresses where nothing is, for 60 s: the links that are there stay, and whom
 * another tells of is found. */
static void test_told_of_nobody(void **state)
{
    struct mesh_member nobody[20] = { 0 }, third;
    unsigned a, b[3];

    for (unsigned i = 0; i < ARRAY_LEN(nobody); i++)
        nobody[i] = (struct mesh_member){ .gateway = 50 + i, .at = at(0x0a000001 + i, DMUX_PORT) };
    parties_begin();
    next_borders = 2;
    a = gateway_of(A, 1, 1 << B);
    for (unsigned i = 0; i < 3; i++)
        b[i] = gateway_of(B, i + 1, 1 << A);
    near_one = b[0];
    delay_between = near_and_far;
    third = (struct mesh_member){ .gateway = 3, .at = at(hosts[b[2]].addr, DMUX_PORT) };
    memcpy(third.x25519, parties[B].ids[3].x25519, 32);
    for (unsigned t = 0; t < 600; t++) {
        tells_of(b[0], nobody, ARRAY_LEN(nobody));
        tells_of(b[1], t < 300 ? nobody : &third, t < 300 ? ARRAY_LEN(nobody) : 1);
        world_run(100 * MSEC);
        assert_true(t < 100 || (linked(a, 1) && linked(a, 2)));
        assert_true(t < 500 || linked(a, 3));
    }
}

/* All links are taken, and the nearest border tells of nobody: none is given up. When a nearer one is told of, it takes
 * the place of a farther one. */
static void test_links_are_kept(void **state)
{
    struct mesh_member nobody[20] = { 0 }, ninth;
    unsigned a, b[9];

    for (unsigned i = 0; i < ARRAY_LEN(nobody); i++)
        nobody[i] = (struct mesh_member){ .gateway = 50 + i, .at = at(0x0a000001 + i, DMUX_PORT) };
    parties_begin();
    next_borders = 8;
    a = gateway_of(A, 1, 1 << B);
    for (unsigned i = 0; i < 9; i++)
        b[i] = gateway_of(B, i + 1, 1 << A);
    near_one = b[8];
    delay_between = near_and_far;
    ninth = (struct mesh_member){ .gateway = 9, .at = at(hosts[b[8]].addr, DMUX_PORT) };
    memcpy(ninth.x25519, parties[B].ids[9].x25519, 32);
    for (unsigned t = 0; t < 600; t++) {
        for (unsigned i = 0; i < 9; i++)
            tells_of(b[i], nobody, ARRAY_LEN(nobody));
        world_run(100 * MSEC);
        for (unsigned id = 1; t >= 100 && id <= 8; id++)
            assert_true(linked(a, id));
    }
    assert_int_equal(links_of(a), 8);
    for (unsigned t = 0; t < 1200; t++) { /* a try each 64 s by now */
        for (unsigned i = 0; i < 8; i++)
            tells_of(b[i], &ninth, 1);
        world_run(100 * MSEC);
    }
    assert_true(linked(a, 9));
    assert_int_equal(links_of(a), 8);
}

/* A gateway with one certificate, at two addresses. */
static void test_one_link_each(void **state)
{
    struct mesh_member again = { .gateway = 1 };
    unsigned a, b;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    next_moved = 1;
    again.at = at(hosts[gateway_of(B, 1, 1 << A)].addr, DMUX_PORT);
    memcpy(again.x25519, parties[B].ids[1].x25519, 32);
    for (unsigned t = 0; t < 300; t++) {
        tells_of(b, &again, 1);
        world_run(100 * MSEC);
        assert_true(t < 100 || linked(a, 1));
        assert_int_equal(links_of(a), 1);
    }
}

/* A configured border that was away for long is asked again within its RETRY_MAX of 5 s. */
static void test_configured_comes_back(void **state)
{
    unsigned a, b1;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b1 = gateway_of(B, 1, 1 << A);
    gateway_of(B, 2, 1 << A);
    world_run(20 * SEC);
    assert_true(linked(a, 1) && linked(a, 2));
    hosts[b1].dead = true;
    world_run(60 * SEC);
    hosts[b1].dead = false;
    world_run(6 * SEC);
    assert_true(linked(a, 1) && linked(a, 2));
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
        cmocka_unit_test(test_own_absence),
        cmocka_unit_test(test_another_border),
        cmocka_unit_test(test_no_third),
        cmocka_unit_test(test_transit_is_dropped),
        cmocka_unit_test(test_answers_only),
        cmocka_unit_test(test_no_home_is_none),
        cmocka_unit_test(test_number_of_another),
        cmocka_unit_test(test_key_of_another),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_certificate_renewed),
        cmocka_unit_test(test_proved_by_another),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_shares_of_realms),
        cmocka_unit_test(test_room_again),
        cmocka_unit_test(test_certificates_make_room),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_gateway_certificates_end),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_claimed_client),
        cmocka_unit_test(test_border_is_no_router),
        cmocka_unit_test(test_told_of_own_router),
        cmocka_unit_test(test_damped_take_no_place),
        cmocka_unit_test(test_askers_are_gateways),
        cmocka_unit_test(test_who_never_hears),
        cmocka_unit_test(test_wants_are_shared),
        cmocka_unit_test(test_any_is_looked_for_at_home),
        cmocka_unit_test(test_nearer_than_it_is),
        cmocka_unit_test(test_told_of_nobody),
        cmocka_unit_test(test_links_are_kept),
        cmocka_unit_test(test_one_link_each),
        cmocka_unit_test(test_configured_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
