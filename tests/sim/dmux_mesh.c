/* The mesh of gateways in virtual time (dmux_world.h): who is let in, what is told and how fast, who is believed, and
 * what happens when a gateway dies. Delays are literal; what is expected follows from them. */
#include "dmux/mac.h"
#include "dmux/mesh_internal.h"
#include "ident/hash.h"
#include "tests/sim/dmux_world.h"

#include <malloc.h>
#include <stdio.h>

#define GATEWAYS 50

static struct identity ids[GATEWAYS + 2];
static struct mesh_options options;
static uint64_t until_s; /* end of the certificates of gateways that are made from now on; 0: none */

/* Gateway `id` of the mesh, whose seed is the first one; leaf: NULL for the one that its realm gives it. */
static unsigned member_at(uint32_t id, const char *leaf)
{
    const struct rng rng = prng_rng(&prng);
    char name[32];

    snprintf(name, sizeof(name), "dmux-gateway-%u", id);
    assert_int_equal(identity_generate(&ids[id], &rng), 0);
    memset(&options, 0, sizeof(options));
    options.identity = &ids[id];
    options.chain = chain_kept(&root_id, "acme.example", &ids[id], leaf ? leaf : name, until_s);
    memcpy(options.root, root_id.ed25519, 32);
    snprintf(options.realm, sizeof(options.realm), "acme.example");
    if (id != 1) {
        options.seeds_count = 1;
        options.seeds[0].at = at(0x0a000100, DMUX_PORT);
        memcpy(options.seeds[0].x25519, ids[1].x25519, 32);
    }
    next_mesh = &options;
    return gateway_at(id);
}

/* The registry of a gateway, to put in what its routers would have said. */
static struct registry *registry_of(unsigned gateway)
{
    return (struct registry *)(uintptr_t)gateway_registry(hosts[gateway].gateway);
}

static size_t peers_up(unsigned gateway)
{
    struct mesh_peer_info p;
    size_t n = 0;

    for (size_t i = 0; mesh_peer_info(gateway_mesh(hosts[gateway].gateway), i, &p); i++)
        n += p.up;
    return n;
}

static struct mesh_peer_info peer_of(unsigned gateway, uint32_t id)
{
    struct mesh_peer_info p;

    for (size_t i = 0; mesh_peer_info(gateway_mesh(hosts[gateway].gateway), i, &p); i++) {
        if (p.gateway == id)
            return p;
    }
    return (struct mesh_peer_info){ 0 };
}

/* Does the gateway send packets to a router of the provider? */
static bool serves(unsigned gateway, uint32_t provider, uint32_t router)
{
    const struct registration *r =
        registry_select(gateway_registry(hosts[gateway].gateway), DMUX_IPV6, provider, 0xc6336407);

    return r && r->addr == router;
}

/* 50 gateways that know one: all know each other, each its distance to each; a router is known everywhere within a
 * second, and gone within one. */
static void test_fifty(void **state)
{
    unsigned g[GATEWAYS], r, c, by = 0, known;
    instant told;

    world_begin();
    for (unsigned i = 0; i < GATEWAYS; i++)
        g[i] = member_at(i + 1, NULL);
    world_run(15 * SEC); /* each was told of each by its seed within 10 */
    for (unsigned i = 0; i < GATEWAYS; i++) {
        assert_int_equal(peers_up(g[i]), GATEWAYS - 1);
        assert_int_equal(peer_of(g[i], i == 7 ? 9 : 8).rtt_us, 2 * DELAY);
        assert_in_range(peer_of(g[i], i == 7 ? 9 : 8).estimate_us, 2 * DELAY * 8 / 10, 2 * DELAY * 12 / 10);
    }
    next_mesh = NULL;
    r = router_at(0xcb007109, g[3]);
    while (registry_count(gateway_registry(hosts[g[3]].gateway)) == 0 || !serves(g[3], 100, 0xcb007109))
        world_run(MSEC);
    told = now;
    do {
        world_run(5 * MSEC);
        known = 0;
        for (unsigned i = 0; i < GATEWAYS; i++)
            known += serves(g[i], 100, 0xcb007109);
    } while (known < GATEWAYS && now < told + 10 * SEC);
    printf("# known to %u gateways after %lld ms\n", known, (long long)(now - told) / MSEC);
    assert_int_equal(known, GATEWAYS);
    assert_true(now - told <= SEC);
    c = client_at(0xc6336407, g[40]);
    world_run(3 * SEC);
    assert_true(client_sends(c, &by)); /* through a gateway that the router has never registered with */
    assert_int_equal(by, r);
    assert_int_equal(info_of(c).gateway, 41);
    router_leave(hosts[r].router);
    told = now;
    world_run(SEC);
    for (unsigned i = 0; i < GATEWAYS; i++)
        assert_false(serves(g[i], 100, 0xcb007109));
    assert_int_equal(mesh_routes(gateway_mesh(hosts[g[40]].gateway)), 0);
}

/* Answers come back the way that the question went. */
static void test_there_and_back(void **state)
{
    unsigned g1, g2, r, c, by;
    struct dmux_tx tx;
    struct endpoint self;
    uint8_t packet[48], out[200];
    struct client_info info;

    world_begin();
    g1 = member_at(1, NULL);
    g2 = member_at(2, NULL);
    next_mesh = NULL;
    r = router_at(0xcb007109, g1);
    world_run(5 * SEC);
    c = client_at(0xc6336407, g2);
    world_run(3 * SEC);
    info = info_of(c);
    assert_int_equal(info.gateway, 2);
    assert_int_equal(info.router_rtt_us, 2 * DELAY); /* measured by g2 itself */
    assert_true(client_sends(c, &by));
    packet_make(packet, &server, &info.address);
    assert_true(router_on_packet(hosts[r].router, packet, 48, now, out, &tx));
    self = at(hosts[r].addr, 1);
    assert_int_equal(get_be32(tx.to.addr.bytes), hosts[g2].addr);
    post(r, &self, &tx.to, out, tx.len);
    world_run(3 * DELAY);
    assert_memory_equal(hosts[c].last, packet, 48);
}

/* g1 is near r1 and g2 near r2: 1 ms; all else is 20 ms apart. */
static span two_sides(unsigned from, unsigned to)
{
    return from % 2 == to % 2 ? MSEC : 20 * MSEC;
}

static void test_nearest(void **state)
{
    unsigned g1, g2;

    world_begin();
    delay_between = two_sides;
    g1 = member_at(1, NULL);
    g2 = member_at(2, NULL);
    next_mesh = NULL;
    router_at(0xcb007109, g1); /* host 2: the side of g1 */
    router_at(0xcb00710a, g2);
    world_run(45 * SEC);
    assert_int_equal(peer_of(g1, 2).rtt_us, 40 * MSEC);
    assert_true(serves(g1, 100, 0xcb007109));
    assert_true(serves(g2, 100, 0xcb00710a));
    hosts[2].dead = true;
    world_run(4 * SEC);
    assert_true(serves(g1, 100, 0xcb00710a)); /* there is another one, far away */
}

/* A gateway dies with its clients' routers registered there alone: routers are asked on by those that had adopted them,
 * register elsewhere, and serve all the while. */
static void test_gateway_dies(void **state)
{
    unsigned g1, g2, g3, r;

    world_begin();
    g1 = member_at(1, NULL);
    g2 = member_at(2, NULL);
    g3 = member_at(3, NULL);
    next_mesh = NULL;
    r = router_at(0xcb007109, g1);
    world_run(5 * SEC);
    assert_true(serves(g3, 100, 0xcb007109));
    hosts[g1].dead = true;
    hosts[r].nearest = g2;
    for (unsigned i = 0; i < 300; i++) {
        world_run(100 * MSEC);
        assert_true(serves(g3, 100, 0xcb007109));
    }
    assert_true(serves(g2, 100, 0xcb007109));
    assert_int_equal(peers_up(g3), 1);
}

/* Who is no gateway by the realm's word, or not the one that it says, is let in by nobody. */
static void test_strangers(void **state)
{
    unsigned g1, g2, g3;

    world_begin();
    g1 = member_at(1, NULL);
    g2 = member_at(2, "dmux-gateway-3"); /* another's number */
    g3 = member_at(4, "dmux-provider-4");
    world_run(5 * SEC);
    assert_int_equal(peers_up(g1), 0);
    assert_int_equal(peers_up(g2) + peers_up(g3), 0);
    assert_true(mesh_stats_get(gateway_mesh(hosts[g1].gateway))->drops[MESH_DROP_STRANGER] >= 2);
}

/* --- a gateway that lies --- */

/* Its registry is told of a router that has registered with it, as the lie has it, without the router's part. */
static void pretend(unsigned gateway, uint32_t addr, const struct mesh_proof *proof, const uint8_t key[32])
{
    struct registry *reg = registry_of(gateway);
    struct registration claim = { .protocol = DMUX_IPV6, .provider = 100, .addr = addr, .port = 1, .weight = 100 }, *r;
    uint16_t wait_s;

    memcpy(claim.key, key, 32);
    assert_int_equal(registry_claim(reg, &claim, now, &r, &wait_s), 0);
    assert_int_equal(registry_set_proof(reg, r, proof), 0);
    if (r->fresh_key)
        registry_take_key(reg, r);
    registry_prove(reg, r, 1, now); /* 1 us away */
}

static const struct registration *registered(unsigned gateway, uint32_t addr)
{
    return registry_find(gateway_registry(hosts[gateway].gateway), DMUX_IPV6, 100, addr, 1);
}

/* The link has fallen silent, and the router that it told of answers on; then it is told, by a link that was made anew,
 * that this one is gone. */
static void test_gone_of_an_orphan(void **state)
{
    struct mesh_item i = { .what = MESH_GONE, .protocol = DMUX_IPV6, .provider = 100, .addr = 0xcb007109 };
    struct mesh_message news = { .kind = MESH_NEWS };
    uint8_t rest[MESH_ITEM_MAX];
    struct writer w = writer_init(rest, sizeof(rest));
    struct mesh *m;
    unsigned g1, g2;

    world_begin();
    g1 = member_at(1, NULL);
    g2 = member_at(2, NULL);
    next_mesh = NULL;
    router_at(0xcb007109, g1);
    world_run(5 * SEC);
    hosts[g1].dead = true;
    world_run(5 * SEC);
    assert_true(serves(g2, 100, 0xcb007109));
    m = (struct mesh *)gateway_mesh(hosts[g2].gateway);
    i.port = registered(g2, 0xcb007109)->port;
    mesh_put_item(&w, &i);
    news.rest = rest;
    news.rest_len = writer_len(&w);
    assert_int_equal(m->routes.count, 1);
    routes_take_news(m, m->peers[0], &news, now);
    assert_int_equal(m->routes.count, 0);
    assert_int_equal(peer_of(g2, 1).routers, 0);
}

/* g2 tells of routers as if they were registered with it. Nobody believes more than what their provider has signed for
 * g2, and none gets a packet that does not answer for itself. */
static void test_poisoning(void **state)
{
    const uint8_t key[32] = { 9 };
    struct mesh_proof proof;
    unsigned g1, g2, g3, r, victim;
    const struct mesh_stats *s;

    world_begin();
    g1 = member_at(1, NULL);
    g2 = member_at(2, NULL);
    g3 = member_at(3, NULL);
    next_mesh = NULL;
    r = router_at(0xcb007109, g1);
    victim = host_new(NOBODY, 0xc6336463, g1);
    world_run(5 * SEC);
    assert_true(serves(g3, 100, 0xcb007109));
    s = mesh_stats_get(gateway_mesh(hosts[g3].gateway));
    assert_int_equal(s->drops[MESH_DROP_UNSIGNED], 0);
    /* what the router has signed for g1 is nothing that g2 could show */
    proof = *registered(g1, 0xcb007109)->proof;
    pretend(g2, 0xcb007109, &proof, key);
    world_run(3 * SEC);
    assert_int_equal(s->drops[MESH_DROP_UNSIGNED], 1);
    assert_int_equal(registered(g3, 0xcb007109)->origin, 1);
    /* nor does it make a router of a victim, however often it is said */
    for (uint32_t i = 0; i < 50; i++)
        pretend(g2, hosts[victim].addr + (i << 8), &proof, key);
    pretend(g2, hosts[victim].addr, &proof, key);
    world_run(5 * SEC);
    assert_null(registered(g3, hosts[victim].addr));
    assert_true(serves(g3, 100, 0xcb007109));
    assert_int_equal(hosts[victim].bytes_in, 0);
    assert_int_equal(s->drops[MESH_DROP_UNSIGNED], 1); /* it is not even looked at any more */
    (void)r;
}

/* A router that was registered with g2 in truth and is there no longer: g2 says that it is, and nobody sends it
 * anything but questions. */
static void test_stale(void **state)
{
    struct mesh_proof proof;
    uint8_t key[32];
    unsigned g1, g2, g3, r;
    uint64_t before;

    world_begin();
    g1 = member_at(1, NULL);
    g2 = member_at(2, NULL);
    g3 = member_at(3, NULL);
    next_mesh = NULL;
    r = router_at(0xcb007109, g2);
    world_run(5 * SEC);
    proof = *registered(g2, 0xcb007109)->proof;
    memcpy(key, registered(g2, 0xcb007109)->key, 32);
    hosts[r].dead = true;
    world_run(10 * SEC);
    assert_false(serves(g3, 100, 0xcb007109));
    hosts[r].dead = false, hosts[r].kind = NOBODY; /* somebody else is at its address now */
    before = hosts[r].bytes_in;
    for (unsigned i = 0; i < 20; i++) { /* it "answers" g2 each second */
        if (registered(g2, 0xcb007109))
            registry_prove(registry_of(g2),
                           registry_find(gateway_registry(hosts[g2].gateway), DMUX_IPV6, 100, 0xcb007109, 1), 1, now);
        else
            pretend(g2, 0xcb007109, &proof, key);
        world_run(SEC);
        assert_false(serves(g1, 100, 0xcb007109));
        assert_false(serves(g3, 100, 0xcb007109));
    }
    /* two gateways ask, at most once a second, 48 bytes */
    assert_true(hosts[r].bytes_in - before <= 2 * 20 * 48);
}

enum lie {
    LIE_PLACE,  /* it is where g1 is, by its coordinate */
    LIE_LATER,  /* and each PONG is for a PING that was sent later, if that were by the clock */
    LIE_AHEAD,  /* or for the next PING, and comes just after that was sent */
    LIE_SILENT, /* or there is none */
    LIE_COUNT,
};

#define FAR_AWAY (40 * MSEC) /* the liar, and the router that it tells of, from all others */

static struct {
    enum lie lie;
    unsigned victim, self, router;
    uint64_t nonce; /* of a PONG ahead of its PING; 0: none */
    instant says_at;
} liar;

static span far_away(unsigned from, unsigned to)
{
    bool x = from == liar.self || from == liar.router, y = to == liar.self || to == liar.router;

    return x && y ? MSEC : x || y ? FAR_AWAY : DELAY;
}

static struct peer *peer_to_victim(void)
{
    const struct mesh *m = gateway_mesh(hosts[liar.self].gateway);

    for (size_t i = 0; i < m->peers_count; i++) {
        if (m->peers[i]->gateway == 1 && m->peers[i]->up)
            return m->peers[i];
    }
    return NULL;
}

static void lies(unsigned gateway)
{
    struct mesh *m = (struct mesh *)gateway_mesh(hosts[gateway].gateway);
    struct peer *p = gateway == liar.self ? peer_to_victim() : NULL;

    if (!p)
        return;
    m->coord = *mesh_coord_get(gateway_mesh(hosts[liar.victim].gateway));
    m->coord.height_us = COORD_HEIGHT_MIN_US;
    if (!p->pong_due)
        return;
    if (liar.lie == LIE_LATER)
        p->pong_nonce += 2 * FAR_AWAY - MSEC;
    p->pong_due = liar.lie == LIE_PLACE || liar.lie == LIE_LATER;
    if (liar.lie == LIE_AHEAD) {
        liar.nonce = p->pong_nonce + MESH_PING_EVERY;
        liar.says_at = now - 2 * FAR_AWAY + MESH_PING_EVERY + MSEC;
    }
}

static void lies_ahead(void)
{
    const struct endpoint self = at(hosts[liar.self].addr, DMUX_PORT);
    struct peer *p = peer_to_victim();
    struct dmux_tx tx;
    uint8_t out[2048];

    if (!p || liar.nonce == 0 || now < liar.says_at)
        return;
    p->pong_due = true;
    p->pong_nonce = liar.nonce;
    liar.nonce = 0;
    while (gateway_output(hosts[liar.self].gateway, out, &tx, now))
        post(liar.self, &self, &tx.to, out, tx.len);
}

/* A gateway seems no nearer than it is: what it says without having been asked counts for nothing, nor does where it
 * says to be, and its router takes no nearer one's place among those that are asked. */
static void test_nearer_than_it_is(void **state)
{
    for (unsigned lie = 0; lie < LIE_COUNT; lie++) {
        unsigned g[6];

        world_begin();
        memset(&liar, 0, sizeof(liar));
        liar.lie = lie;
        delay_between = far_away;
        before_output = lies;
        liar.self = 5;
        liar.router = 10;
        for (unsigned i = 0; i < 6; i++)
            g[i] = member_at(i + 1, NULL);
        next_mesh = NULL;
        for (unsigned i = 1; i < 6; i++) /* one more than are asked */
            assert_true(router_at(0xcb007109 + i, g[i]) != liar.router || i == 5);
        hosts[liar.router].dead = true;
        world_run(5 * SEC);
        hosts[liar.router].dead = false;
        for (unsigned ms = 0; ms < 15000; ms++) {
            world_run(MSEC);
            lies_ahead();
            assert_null(registered(g[0], 0xcb00710e));
        }
        assert_non_null(registered(liar.self, 0xcb00710e));
        assert_int_equal(peer_of(g[0], 6).routers, 1);
        assert_in_range(peer_of(g[0], 6).estimate_us, 1, FAR_AWAY);
        assert_int_equal(peer_of(g[0], 6).rtt_us, lie == LIE_PLACE ? 2 * FAR_AWAY : 0);
        for (unsigned i = 1; i < 5; i++) {
            assert_non_null(registered(g[0], 0xcb007109 + i));
            assert_int_equal(peer_of(g[0], i + 1).rtt_us, 2 * DELAY);
        }
    }
}

/* A provider that only an authority knows: gateways that its router has never met get the certificate with the news. */
static void test_certificate_travels(void **state)
{
    const uint32_t registrar = SERVICE;
    unsigned g1, g2;

    world_begin();
    g1 = member_at(1, NULL);
    g2 = member_at(2, NULL);
    next_mesh = NULL;
    next_chain = chain_kept(&root_id, "acme.example", &stranger_id, "dmux-provider-200", 0);
    router_with(0xcb007101, &registrar, 1, 200, &stranger_id, g1);
    world_run(5 * SEC);
    assert_true(serves(g1, 200, 0xcb007101));
    assert_true(serves(g2, 200, 0xcb007101));
}

/* The provider has a newer certificate before the first one ends: gateways that its router has never met ask for it,
 * and no second is without service. Where there is no newer one, that is the end, also if its own gateway says nothing.
 */
static void test_certificate_renewed(void **state)
{
    const uint32_t registrar = SERVICE;

    for (unsigned renewed = 0; renewed < 2; renewed++) {
        unsigned g1, g2, r;

        world_begin();
        g1 = member_at(1, NULL);
        g2 = member_at(2, NULL);
        next_mesh = NULL;
        next_chain = chain_kept(&root_id, "acme.example", &stranger_id, "dmux-provider-200", 1200);
        r = router_with(0xcb007101, &registrar, 1, 200, &stranger_id, g1);
        world_run(5 * SEC);
        assert_true(serves(g2, 200, 0xcb007101));
        if (renewed) {
            hosts[r].options.chain = chain_kept(&root_id, "acme.example", &stranger_id, "dmux-provider-200", 2000);
            router_restart(r);
        }
        for (uint32_t wall_s = 1170; wall_s <= 1202; wall_s++) {
            if (renewed)
                gateway_set_wall(hosts[g1].gateway, wall_s);
            gateway_set_wall(hosts[g2].gateway, wall_s);
            for (unsigned ms = 0; ms < 1000; ms += 10) {
                world_run(10 * MSEC);
                assert_true(serves(g2, 200, 0xcb007101) || (!renewed && wall_s > 1200));
            }
        }
        assert_int_equal(serves(g2, 200, 0xcb007101), renewed);
    }
}

/* A gateway with 100,000 registrations and a mesh, and one that has heard of them: at most 100 MB each. */
static void test_memory(void **state)
{
    struct mesh_proof proof = { .weight = 100 };
    size_t before, here;
    unsigned g1, g2;

    world_begin();
    registrations_max = REGISTRY_MAX;
    g1 = member_at(1, NULL);
    world_run(SEC);
    before = mallinfo2().uordblks + mallinfo2().hblkhd;
    next_mesh = NULL;
    for (uint32_t i = 0; i < 100000; i++) {
        struct registry *reg = registry_of(g1);
        struct registration claim = {
            .protocol = DMUX_IPV6, .provider = 1000 + i, .addr = 0x0b000000 + i, .port = 1, .weight = 1
        };
        struct registration *r;
        uint16_t wait_s;

        assert_int_equal(registry_claim(reg, &claim, now, &r, &wait_s), 0);
        assert_int_equal(registry_set_proof(reg, r, &proof), 0);
        registry_prove(reg, r, MSEC, now);
    }
    gateway_on_expiry(hosts[g1].gateway, now); /* they are in the log now */
    here = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    printf("# registered here: %zu bytes\n", here);
    assert_true(here <= 100000000);
    g2 = member_at(2, NULL);
    before = mallinfo2().uordblks + mallinfo2().hblkhd;
    for (unsigned i = 0; i < 60 && mesh_routes(gateway_mesh(hosts[g2].gateway)) < 100000; i++) {
        world_run(SEC);
        for (uint32_t k = 0; k < 100000; k++) { /* each answers in each second */
            struct registration *r =
                registry_find(gateway_registry(hosts[g1].gateway), DMUX_IPV6, 1000 + k, 0x0b000000 + k, 1);

            if (r)
                registry_prove(registry_of(g1), r, MSEC, now);
        }
    }
    assert_int_equal(mesh_routes(gateway_mesh(hosts[g2].gateway)), 100000);
    here = mallinfo2().uordblks + mallinfo2().hblkhd - before;
    printf("# heard of: %zu bytes\n", here);
    assert_true(here <= 100000000);
    registrations_max = 100;
}

/* A gateway's certificate ends: others link to it no more, nor it to them. */
static void test_certificate_ends(void **state)
{
    unsigned g1, g2;

    world_begin();
    g1 = member_at(1, NULL);
    until_s = 1010;
    g2 = member_at(2, NULL);
    until_s = 0;
    world_run(5 * SEC);
    assert_int_equal(peers_up(g1), 1);
    for (uint32_t wall_s = 1010; wall_s <= 1011; wall_s++) {
        gateway_set_wall(hosts[g1].gateway, wall_s);
        gateway_set_wall(hosts[g2].gateway, wall_s);
        world_run(MESH_SILENCE + SEC);
        assert_int_equal(peers_up(g1), wall_s == 1010);
    }
    world_run(20 * SEC);
    assert_int_equal(peers_up(g1) + peers_up(g2), 0);
}

static int teardown(void **state)
{
    world_begin();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_gateway_dies),
        cmocka_unit_test(test_gone_of_an_orphan),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_poisoning),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_nearer_than_it_is),
        cmocka_unit_test(test_fifty),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_certificate_travels),
        cmocka_unit_test(test_certificate_renewed),
        cmocka_unit_test(test_certificate_ends),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
