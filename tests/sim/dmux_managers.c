/* Whole gateways that find each other by managers, in virtual time (dmux_world.h): real links, proofs and questions to
 * routers, a real realm manager and real resolvers; only the way to the manager takes no time. */
#include "dmux/directory_internal.h"
#include "dmux/mesh_internal.h"
#include "mapping/manager.h"
#include "tests/sim/dmux_world.h"

#include <errno.h>
#include <stdio.h>

#define GATEWAYS 24
#define NOW_S 1000
#define ROUTER_ADDR 0xcb007109

static struct identity ids[GATEWAYS + 1];
static struct mesh_options options;
static struct directory_options directory;
static struct resolver *resolvers[GATEWAYS];
static struct manager *manager;
static struct slice root;
static unsigned questions;

/* Of the root's own realm, which is the gateways'. */
static struct tag tag_of(const struct identity *id)
{
    struct tag t;

    assert_int_equal(tag_make(id->ed25519, TAG_RAA(9), TAG_HDA(TAG_TIER_SERVICE, 0), &t), 0);
    return t;
}

static void take(struct record *r)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    struct record_error why;
    size_t len;

    r->issuer = tag_of(&root_id);
    r->issued_s = 900;
    assert_int_equal(record_encode(r, root_id.ed25519_seed, bytes, sizeof(bytes), &len), 0);
    assert_int_equal(manager_take(manager, bytes, len, now, &why), 0);
}

static void begin(void)
{
    static struct identity nobody;
    static struct slice links[CHAIN_LINKS_MAX];
    struct record policy = { .type = RECORD_POLICY, .seq = 2, .rules_count = 1 };
    const struct rng rng = prng_rng(&prng);
    struct manager_options o = {
        .bindings_max = 1000, .names_max = 100, .guests_max = 4, .subscriptions_max = 4, .log_max = 64, .epoch = 1
    };
    struct record_error why;
    size_t count = CHAIN_LINKS_MAX;
    struct slice chain;

    world_begin();
    assert_int_equal(identity_generate(&nobody, &rng), 0);
    chain = chain_kept(&root_id, "acme.example", &nobody, "nobody", 0);
    assert_int_equal(record_split(chain.data, chain.len, links, &count, &why), 0);
    root = links[0];
    o.rng = rng;
    manager = manager_new(&o, now);
    assert_non_null(manager);
    assert_int_equal(manager_set_self(manager, &root, 1, NOW_S, &why), 0);
    policy.subject = tag_of(&root_id);
    policy.rules[0] = (struct record_rule){ tag_prefix_of(&policy.subject, 56), CLASS_FULL };
    take(&policy);
    questions = 0;
}

static void end(void)
{
    ask_managers = NULL;
    for (size_t i = 0; i < GATEWAYS; i++) {
        resolver_free(resolvers[i]);
        resolvers[i] = NULL;
    }
    manager_free(manager);
}

/* --- what a gateway's program does with its questions --- */

static size_t answer(unsigned gateway, const uint8_t *request, size_t len, uint8_t *out)
{
    const struct manager_who who = { .peer = gateway + 1, .ed25519 = ids[gateway + 1].ed25519 };
    struct manager_reply reply;

    questions++;
    manager_on_request(manager, &who, request, len, now, NOW_S, out, &reply);
    return reply.len;
}

static void ask(unsigned gateway)
{
    static uint8_t request[HOLDER_REQUEST_MAX], out[MAPPING_BYTES_MAX];
    struct gateway *g = hosts[gateway].gateway;
    struct directory *d = gateway_directory(g);
    struct directory_event ev;
    struct resolver_event re;

    if (!d)
        return;
    while (gateway_pop_question(g, &ev, request, now)) {
        const struct resolver_question q = { .tag = ev.tag, .kind = KIND_SERVICE_ROUTER, .anew = ev.anew };

        if (ev.type == DIRECTORY_TELL)
            directory_on_told(d, ev.id, out, answer(gateway, request, ev.len, out), now);
        else
            assert_int_equal(resolver_ask(resolvers[gateway], &q, (void *)(uintptr_t)ev.id, now), 0);
        while (resolver_pop_event(resolvers[gateway], &re, now)) {
            if (re.type == RESOLVER_ASK)
                resolver_on_answer(resolvers[gateway], re.ask, out, answer(gateway, re.data, re.len, out), now);
            else
                directory_on_found(d, (uint64_t)(uintptr_t)re.context, re.result.outcome, re.result.record, now);
        }
    }
    resolver_on_expiry(resolvers[gateway], now);
}

static unsigned member_at(uint32_t id)
{
    const struct rng rng = prng_rng(&prng);
    struct record r = { .type = RECORD_REGISTRATION, .suites = 1, .flags = RECORD_FLAG_SERVES, .seq = 10 + id };
    const struct resolver_options ro = { .root = root,
                                         .managers = { at(0x7f000001, 1) },
                                         .managers_count = 1,
                                         .class_max = CLASS_FULL,
                                         .questions_max = 32,
                                         .rng = rng };
    struct record_error why;
    char leaf[32];

    snprintf(leaf, sizeof(leaf), "dmux-gateway-%u", id);
    assert_int_equal(identity_generate(&ids[id], &rng), 0);
    snprintf(r.name, sizeof(r.name), "%s.s.acme.example", leaf);
    r.subject = tag_of(&ids[id]);
    memcpy(r.key, ids[id].ed25519, sizeof(r.key));
    memcpy(r.x25519, ids[id].x25519, sizeof(r.x25519));
    take(&r);
    assert_int_equal(resolver_new(&ro, NOW_S, now, &resolvers[id - 1], &why), 0);
    options = (struct mesh_options){ .identity = &ids[id],
                                     .chain = chain_kept(&root_id, "acme.example", &ids[id], leaf, 0),
                                     .realm = "acme.example" };
    memcpy(options.root, root_id.ed25519, 32);
    if (id != 1) {
        options.seeds_count = 1;
        options.seeds[0].at = at(0x0a000100, DMUX_PORT);
        memcpy(options.seeds[0].x25519, ids[1].x25519, 32);
    }
    directory = (struct directory_options){ .tag = r.subject, .boot_epoch = NOW_S };
    next_mesh = &options;
    next_directory = &directory;
    ask_managers = ask;
    return gateway_at(id);
}

static size_t peers_up(unsigned gateway)
{
    struct mesh_peer_info p;
    size_t n = 0;

    for (size_t i = 0; mesh_peer_info(gateway_mesh(hosts[gateway].gateway), i, &p); i++)
        n += p.up;
    return n;
}

static bool is_linked(unsigned gateway, uint32_t id)
{
    struct mesh_peer_info p;

    for (size_t i = 0; mesh_peer_info(gateway_mesh(hosts[gateway].gateway), i, &p); i++) {
        if (p.gateway == id && p.up)
            return true;
    }
    return false;
}

static void make_gateways(unsigned g[GATEWAYS])
{
    for (unsigned i = 0; i < GATEWAYS; i++)
        g[i] = member_at(i + 1);
    world_run(90 * SEC); /* coordinates are about right, or nobody waits for them any more */
    next_mesh = NULL;
    next_directory = NULL;
}

static bool sends_within(unsigned client, unsigned *ret, span within)
{
    for (instant until = now + within; now < until; world_run(200 * MSEC)) {
        if (client_sends(client, ret))
            return true;
    }
    return false;
}

/* A client's packets reach the only router, by a gateway that had never heard of the one where it is registered; when
 * that gateway dies and the router registers elsewhere, they reach it again; and no gateway has links to all. */
static void test_found(void **state)
{
    unsigned g[GATEWAYS], r, c, by = 0;

    begin();
    make_gateways(g);
    for (unsigned i = 0; i < GATEWAYS; i++)
        assert_true(i == 0 || peers_up(g[i]) < GATEWAYS - 1);
    r = router_at(ROUTER_ADDR, g[20]);
    c = client_at(0xc6336407, g[9]);
    world_run(10 * SEC);
    assert_true(sends_within(c, &by, 40 * SEC));
    assert_int_equal(by, r);
    assert_int_equal(info_of(c).gateway, 10);
    assert_true(is_linked(g[9], 21));
    assert_int_equal(gateway_stats_get(hosts[g[9]].gateway)->unwanted, 0);
    /* It goes on for as long as packets go, which is longer than a link is wanted for once. */
    for (unsigned i = 0; i < 60; i++) {
        world_run(10 * SEC);
        assert_true(client_sends(c, &by));
    }
    hosts[g[20]].dead = true;
    hosts[r].nearest = g[15];
    assert_true(sends_within(c, &by, 5 * SEC)); /* the router answers on, under the key that it knows */
    world_run(60 * SEC);
    assert_true(sends_within(c, &by, 40 * SEC));
    end();
}

/* The router leaves: its gateway says so, and nobody sends to it; that there is none is asked for no more than so
 * often.
 */
static void test_none(void **state)
{
    unsigned g[GATEWAYS], r, c, by = 0, before;

    begin();
    make_gateways(g);
    r = router_at(ROUTER_ADDR, g[20]);
    c = client_at(0xc6336407, g[9]);
    world_run(10 * SEC);
    assert_true(sends_within(c, &by, 40 * SEC));
    router_leave(hosts[r].router);
    world_run(2 * SEC);
    assert_false(client_sends(c, &by));
    world_run(60 * SEC);
    before = questions;
    for (unsigned i = 0; i < 600; i++) {
        assert_false(client_sends(c, &by));
        world_run(80 * MSEC);
    }
    /* Each search asks for a dozen cells at most; a minute has two or three. */
    assert_in_range(questions - before, 1, 40);
    end();
}

/* What a stranger wants is not looked for, and what clients make up is bounded. */
static void test_made_up(void **state)
{
    unsigned g[GATEWAYS];
    struct dmux_tx tx;
    uint8_t packet[64] = { 0 }, out[256];
    struct endpoint from = at(0xc6336407, 4000);
    struct addr service = addr_v4(SERVICE);
    struct directory_stats s;
    int r = 0;

    begin();
    make_gateways(g);
    shim_put(packet, 0, DMUX_IPV6, 4711);
    assert_false(gateway_on_datagram(hosts[g[3]].gateway, packet, sizeof(packet), &from, &service, now, out, &tx));
    directory_stats_get(gateway_directory(hosts[g[3]].gateway), &s);
    assert_int_equal(s.services, 0);
    for (uint32_t i = 0; i < DIRECTORY_WANTS_MAX && r == 0; i++)
        r = directory_want(gateway_directory(hosts[g[3]].gateway), DMUX_IPV6, 1000 + i, i << 8, now);
    assert_int_equal(r, 0);
    assert_int_equal(directory_want(gateway_directory(hosts[g[3]].gateway), DMUX_IPV6, 999, 0, now), -ENOSPC);
    world_run(200 * SEC); /* nobody wants it any more */
    directory_stats_get(gateway_directory(hosts[g[3]].gateway), &s);
    assert_int_equal(s.services, 0);
    end();
}

static const struct peer *peer_in(unsigned gateway, uint32_t id)
{
    const struct mesh *m = gateway_mesh(hosts[gateway].gateway);

    for (size_t i = 0; i < m->peers_count; i++) {
        if (m->peers[i]->gateway == id)
            return m->peers[i];
    }
    return NULL;
}

/* A client that says ECHO and sends no packet that this gateway sees (DataPath = xdp) keeps what was found for it; and
 * what nobody keeps is left, also if it had fallen silent. */
static void test_kept_and_left(void **state)
{
    unsigned g[GATEWAYS], r, c, by = 0;
    uint32_t registrar;

    for (unsigned silent = 0; silent < 2; silent++) {
        begin();
        make_gateways(g);
        for (registrar = GATEWAYS; peer_in(g[9], registrar); registrar--) {
        }
        r = router_at(ROUTER_ADDR, g[registrar - 1]);
        c = client_at(0xc6336407, g[9]);
        world_run(10 * SEC);
        assert_true(sends_within(c, &by, 40 * SEC));
        for (unsigned i = 0; i < 50; i++) {
            world_run(10 * SEC);
            assert_true(peer_in(g[9], registrar)->up && peer_in(g[9], registrar)->wanted);
        }
        hosts[c].dead = hosts[r].dead = true;
        if (silent) {
            hosts[g[registrar - 1]].dead = true;
            world_run(6 * SEC);
            hosts[g[registrar - 1]].dead = false;
        }
        world_run(500 * SEC);
        assert_true(!peer_in(g[9], registrar) || !peer_in(g[9], registrar)->wanted);
        end();
    }
}

/* Neighbours that die are replaced, and not asked for ever. Who wants a link to this gateway is a neighbour as good. */
static void test_neighbours_die(void **state)
{
    unsigned g[GATEWAYS];

    begin();
    make_gateways(g);
    world_run(200 * SEC);
    assert_true(peers_up(g[5]) >= MESH_NEIGHBOURS);
    for (uint32_t id = 2; id <= GATEWAYS; id++) {
        const struct peer *p = peer_in(g[5], id);

        hosts[g[id - 1]].dead = p && p->neighbour;
    }
    world_run(400 * SEC);
    assert_true(peers_up(g[5]) >= MESH_NEIGHBOURS);
    for (uint32_t id = 2; id <= GATEWAYS; id++)
        assert_false(hosts[g[id - 1]].dead && peer_in(g[5], id));
    end();
}

/* Who is linked at another place than he was known at, and is not up there, is asked at the new one. */
static void test_moved(void **state)
{
    struct directory_entry e = { .gateway = 777, .at = at(0x0a0a0a01, 53) };
    unsigned g[GATEWAYS];

    begin();
    make_gateways(g);
    coord_init(&e.place);
    directory_link(gateway_directory(hosts[g[9]].gateway), &e, LINKS_MAX, now);
    world_run(SEC);
    assert_true(endpoint_equal(&peer_in(g[9], 777)->at, &e.at));
    world_run(10 * SEC); /* nobody is there */
    e.at = at(0x0a0a0a02, 53);
    directory_link(gateway_directory(hosts[g[9]].gateway), &e, LINKS_MAX, now);
    world_run(SEC);
    assert_true(endpoint_equal(&peer_in(g[9], 777)->at, &e.at));
    end();
}

/* A gateway whose table of links is full does not take others for dead. */
static void test_full(void **state)
{
    struct directory_stats s;
    unsigned g[GATEWAYS];
    struct mesh *m;

    begin();
    make_gateways(g);
    router_at(ROUTER_ADDR, g[20]);
    world_run(20 * SEC);
    m = (struct mesh *)gateway_mesh(hosts[g[9]].gateway);
    for (uint32_t i = 0; m->peers_count < MESH_PEERS_MAX; i++) { /* seeds, which give no place to others */
        struct peer *p = calloc(1, sizeof(*p));

        assert_non_null(p);
        p->gateway = 100000 + i;
        p->at = at(0x0a010000 + i, DMUX_PORT);
        p->seed = true;
        p->shake.next = INSTANT_NEVER;
        p->members_at = SIZE_MAX;
        list_init(&p->routes);
        list_init(&p->acked.in_log);
        list_init(&p->sent.in_log);
        m->peers[m->peers_count++] = p;
    }
    router_at(ROUTER_ADDR + 1, g[9]);
    world_run(600 * SEC);
    directory_stats_get(gateway_directory(hosts[g[9]].gateway), &s);
    assert_int_equal(s.takeovers, 0);
    directory_stats_get(gateway_directory(hosts[g[20]].gateway), &s);
    assert_int_equal(s.conflicts, 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found),         cmocka_unit_test(test_none),           cmocka_unit_test(test_made_up),
        cmocka_unit_test(test_kept_and_left), cmocka_unit_test(test_neighbours_die), cmocka_unit_test(test_moved),
        cmocka_unit_test(test_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
