/* Several operators (dmux_parties.h): links between their gateways. Whom a gateway asks, and who
 * asks it. */
#include "dmux/federation_internal.h"
#include "tests/sim/dmux_parties.h"

#include <stdio.h>

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
        uint32_t registrar;

        parties_begin();
        a = gateway_of(A, 1, 1 << B);
        b = gateway_of(B, 1, 1 << A);
        registrar = hosts[b].addr;
        router_of(B, 0xcb007109, b);
        next_chain = chain_kept(&parties[B].root, "b.example", &stranger_id, "dmux-provider-301", 0);
        leaves = router_with(0xcb00710a, &registrar, 1, 301, &stranger_id, b);
        for (unsigned times = 0; times < 3; times++) {
            uint32_t keys;

            world_run(6 * SEC);
            assert_true(federation_at(a)->realms[0].borders[0]->up);
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
    struct dmux_tx tx;
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

/* An asker that was away for just less than it is remembered, and whose handshake is still on its way: it is told. */
static void test_back_at_the_last_moment(void **state)
{
    const struct federation_message ping = { .kind = FEDERATION_PING };
    struct questioner q;
    unsigned b;

    parties_begin();
    b = gateway_of(B, 1, 1 << A);
    assert_true(shake_hands(&q, b, A, 1, &parties[A].ids[1], 0x0b000001));
    says(&q, &ping);
    world_run(ABSENCE - 100 * MSEC);
    link_keys_free(&q.keys);
    assert_true(shake_hands(&q, b, A, 1, &parties[A].ids[1], 0x0b000001));
    world_run(300 * MSEC);
    says(&q, &ping);
    assert_int_equal(askers_of(b), 1);
    link_keys_free(&q.keys);
    world_run(ABSENCE + SEC);
    assert_int_equal(federation_at(b)->by_index.count, 0);
}

static struct {
    struct link_end end;
    struct link_realm asks;
    struct link_keys keys;
    unsigned border, asker;
    bool ahead;     /* its PONGs are for the next PING, if that were by the clock, and come just after it */
    uint64_t nonce; /* 0: nothing is to be said */
    instant says_at;
} liar;

static size_t lie(uint8_t out[2048])
{
    const struct federation_message m = { .kind = FEDERATION_PONG, .nonce = liar.nonce };

    liar.nonce = 0;
    return link_seal(&liar.end, &liar.keys, federation_write(&m, out + LINK_TEXT_AT, MESH_TEXT_MAX), out);
}

/* Shakes hands as a border, and answers each PING with what it takes for another's nonce. */
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
            liar.nonce = m.nonce + (liar.ahead ? MESH_PING_EVERY : DELAY - MSEC);
            liar.says_at = now + MESH_PING_EVERY + MSEC - DELAY;
            n = liar.ahead ? 0 : lie(out);
        }
    }
    if (n > 0)
        post(liar.border, &self, &from, out, n);
}

/* A border cannot seem nearer than it is: by what it says without having been asked, it is nowhere. */
static void seem_nearer(bool ahead)
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
    liar.ahead = ahead;
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
    for (unsigned ms = 0; ms < 10000; ms++) {
        world_run(MSEC);
        if (liar.nonce != 0 && now >= liar.says_at) {
            const struct endpoint from = at(hosts[liar.border].addr, DMUX_PORT), to = at(hosts[a].addr, DMUX_PORT);
            uint8_t out[2048];

            post(liar.border, &from, &to, out, lie(out));
        }
    }
    watch = NULL;
    assert_true(federation_border_info(federation_at(a), 0, 0, &i) && i.up);
    assert_int_equal(i.rtt_us, 0);
    link_keys_free(&liar.keys);
    credentials_free(of_a);
}

static void test_nearer_than_it_is(void **state)
{
    seem_nearer(false);
    seem_nearer(true);
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

/* Two borders tell of one address by all its ports, of this gateway's own prefix and of its own realm's gateways: one
 * at a time is asked at that address, and none of the others. */
static void test_told_of_one_address(void **state)
{
    struct mesh_member told[14], own[2] = { 0 };
    unsigned a[2], b[2], tries = 0;

    parties_begin();
    next_borders = 2;
    for (unsigned i = 0; i < 2; i++)
        a[i] = gateway_of(A, i + 1, 1 << B);
    for (unsigned i = 0; i < 2; i++)
        b[i] = gateway_of(B, i + 1, 1 << A);
    own[0] = (struct mesh_member){ .gateway = 2, .at = at(hosts[a[1]].addr, DMUX_PORT) };
    own[1] = (struct mesh_member){ .gateway = 3, .at = at((SERVICE & 0xffffff00) + 77, DMUX_PORT) };
    for (unsigned t = 0; t < 600; t++) {
        const struct realm *r = &federation_at(a[0])->realms[0];
        unsigned there = 0;

        for (unsigned i = 0; i < ARRAY_LEN(told); i++)
            told[i] = (struct mesh_member){ .gateway = 50 + i, .at = at(0x0a000001, (uint16_t)(1000 + i)) };
        memcpy(told + 12, own, sizeof(own));
        tells_of(a[0], own, 1);
        for (unsigned i = 0; i < 2; i++)
            tells_of(b[i], told, ARRAY_LEN(told));
        world_run(100 * MSEC);
        for (unsigned i = 0; i < PLACES_MAX; i++) {
            for (unsigned k = 0; r->borders[i] && k < ARRAY_LEN(own); k++)
                assert_false(addr_equal(&r->borders[i]->at.addr, &own[k].at.addr));
            there += r->borders[i] && get_be32(r->borders[i]->at.addr.bytes) == 0x0a000001;
        }
        assert_true(there <= 1);
        tries += there;
    }
    assert_true(tries > 0);
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

/* A configured border that was away for long is asked again within its LINK_RETRY_MAX of 5 s. */
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
        cmocka_unit_test(test_own_absence),
        cmocka_unit_test(test_strangers),
        cmocka_unit_test(test_gateway_certificates_end),
        cmocka_unit_test(test_askers_are_gateways),
        cmocka_unit_test(test_who_never_hears),
        cmocka_unit_test(test_back_at_the_last_moment),
        cmocka_unit_test(test_nearer_than_it_is),
        cmocka_unit_test(test_told_of_nobody),
        cmocka_unit_test(test_told_of_one_address),
        cmocka_unit_test(test_links_are_kept),
        cmocka_unit_test(test_one_link_each),
        cmocka_unit_test(test_configured_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
