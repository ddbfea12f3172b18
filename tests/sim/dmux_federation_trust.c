/* Several operators (dmux_parties.h): what is believed of what borders say, and how much anybody may
 * take. */
#include "dmux/federation_internal.h"
#include "dmux/mac.h"
#include "tests/sim/dmux_parties.h"

#include <stdio.h>

/* b certifies a number that is not its own to give: it is refused by name, and what is b's is served. */
static void test_number_of_another(void **state)
{
    const uint32_t stolen = 410;
    struct federation_realm_info i;
    unsigned a, b;
    uint32_t registrar;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    parties[B].authority.provider_last = 499; /* as b's own configuration has it */
    b = gateway_of(B, 1, 1 << A);
    registrar = hosts[b].addr;
    next_chain = chain_kept(&parties[B].root, "b.example", &stranger_id, "dmux-provider-410", 0);
    router_with(0xcb00710a, &registrar, 1, stolen, &stranger_id, b);
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
        uint32_t registrar;

        parties_begin();
        parties[A].authority.provider_last = 399; /* a's configuration gives the number to both */
        a = gateway_of(A, 1, 1 << B);
        b = gateway_of(B, 1, 1 << A);
        registrar = hosts[a].addr;
        next_chain = chain_kept(&parties[A].root, "a.example", same ? &parties[B].provider : &stranger_id,
                                "dmux-provider-300", 0);
        router_with(0xcb00710a, &registrar, 1, 300, same ? &parties[B].provider : &stranger_id, a);
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
    uint32_t registrar;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    memcpy(parties[B].authority.root, parties[C].root.ed25519, 32); /* which b trusts, and a for b does not */
    b = gateway_of(B, 1, 1 << A);
    registrar = hosts[b].addr;
    next_chain = chain_kept(&parties[C].root, "b.example", &parties[B].provider, "dmux-provider-300", 0);
    router_with(0xcb007109, &registrar, 1, 300, &parties[B].provider, b);
    next_chain = (struct slice){ 0 };
    router_with(0xcb007108, &registrar, 1, 100, &provider_id, b); /* that b lists, without a certificate */
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
        uint32_t registrar;

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
            registrar = hosts[b[1]].addr;
            next_chain = chain_kept(&parties[C].root, "b.example", &parties[B].provider, "dmux-provider-300", 0);
            router_with(0xcb007108, &registrar, 1, 300, &parties[B].provider, b[1]);
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
    uint32_t registrar;

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
        registrar = hosts[b2].addr;
        next_chain = chain_kept(&parties[C].root, "b.example", &parties[B].provider, "dmux-provider-300", 0);
        router_with(0xcb007108, &registrar, 1, 300, &parties[B].provider, b2);
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
    assert_int_equal(realm_at(a, 0).drops[FEDERATION_DROP_FULL], 1); /* one service, in all these seconds */
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

/* Nor does a border that had no room itself for what it has to tell forget it. */
static void test_room_to_tell_again(void **state)
{
    struct federation *f;
    unsigned a, b;

    parties_begin();
    a = gateway_of(A, 1, 1 << B);
    b = gateway_of(B, 1, 1 << A);
    world_run(5 * SEC);
    f = (struct federation *)(uintptr_t)federation_at(b);
    f->told.max_items = 0;
    router_of(B, 0xcb007109, b);
    world_run(5 * SEC);
    assert_int_equal(serves(b, 300), 0xcb007109);
    assert_int_equal(serves(a, 300), 0);
    assert_int_equal(f->drops[FEDERATION_DROP_FULL], 1);
    f->told.max_items = FEDERATION_SERVICES_MAX;
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
    uint32_t registrar;

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
    registrar = hosts[b].addr;
    next_chain = chain_kept(&parties[B].root, "b.example", &stranger_id, "dmux-provider-301", 0);
    router_with(0xcb00710a, &registrar, 1, 301, &stranger_id, b);
    world_run(5 * SEC);
    assert_int_equal(serves(a, 301), hosts[b].addr);
    assert_non_null(credentials_key(realm->credentials, 300, 1000));
    assert_null(credentials_key(realm->credentials, 1001, 1000));
    router_leave(hosts[r].router); /* it comes back to what is known of it */
    world_run(SEC);
    assert_non_null(credentials_key(realm->credentials, 300, 1000));
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

/* A border has no key: what is sealed under none, from its address, is as from a router that is not known. */
static void test_border_is_no_router(void **state)
{
    static const uint8_t types[] = { DMUX_KEEPALIVE, DMUX_PROOF, DMUX_WITHDRAW }, none[DMUX_KEY_LEN];
    struct endpoint border, self;
    uint8_t d[256], out[2048];
    struct dmux_tx tx;
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
    struct dmux_tx tx;
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

static int teardown(void **state)
{
    world_begin();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number_of_another),
        cmocka_unit_test(test_key_of_another),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_certificate_renewed),
        cmocka_unit_test(test_proved_by_another),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_shares_of_realms),
        cmocka_unit_test(test_room_again),
        cmocka_unit_test(test_room_to_tell_again),
        cmocka_unit_test(test_certificates_make_room),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_border_is_no_router),
        cmocka_unit_test(test_told_of_own_router),
        cmocka_unit_test(test_damped_take_no_place),
        cmocka_unit_test(test_wants_are_shared),
        cmocka_unit_test(test_any_is_looked_for_at_home),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
