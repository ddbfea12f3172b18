/* Clients, gateways and routers of src/dmux in virtual time (dmux_world.h). */
#include "dmux/limits.h"
#include "tests/sim/dmux_world.h"

static void test_there_and_back(void **state)
{
    unsigned g, r, c, by = 0;
    struct client_info info;
    struct dmux_tx tx;
    struct endpoint self;
    uint8_t packet[48], out[200];

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(0xc6336407, g);
    world_run(3 * SEC);
    info = info_of(c);
    assert_true(info.up);
    assert_int_equal(info.gateway, 1);
    assert_int_equal(info.rtt, 2 * DELAY);
    assert_int_equal(info.provider, 100);
    assert_int_equal(info.router_rtt_us, 2 * DELAY);
    /* 2001:db8:0:9, 198.51.100.7, port 4000 = 0xfa0 */
    assert_memory_equal(info.address.bytes, "\x20\x01\x0d\xb8\0\0\0\x09\xc6\x33\x64\x07\x0f\xa0\0\0", 16);
    assert_true(client_sends(c, &by));
    assert_int_equal(by, r);
    packet_make(packet, &server, &info.address);
    assert_true(router_on_packet(hosts[r].router, packet, 48, now, out, &tx));
    self = at(hosts[r].addr, 1);
    post(r, &self, &tx.to, out, tx.len);
    world_run(3 * DELAY);
    assert_int_equal(hosts[c].delivered, 1);
    assert_memory_equal(hosts[c].last, packet, 48);
    /* nobody gets what is for an address that no client has */
    packet[39] = 1;
    assert_false(router_on_packet(hosts[r].router, packet, 48, now, out, &tx));
    for (unsigned i = 0; i < GATEWAY_DROP_COUNT; i++)
        assert_int_equal(gateway_stats_get(hosts[g].gateway)->drops[i], 0);
}

static instant echo_at;
static unsigned echoes;

/* ECHOs, which are no nearer to each other than they may be. */
static void count_echoes(unsigned sender, const uint8_t *data, size_t len)
{
    if (hosts[sender].kind != CLIENT || len <= DMUX_HEADER_LEN || data[SHIM_LEN] != DMUX_ECHO ||
        !(data[1] & SHIM_CONTROL))
        return;
    assert_true(echo_at == 0 || now - echo_at >= CLIENT_ECHO_EVERY);
    echo_at = now;
    echoes++;
}

/* A router that comes when the client has been there for a while: what the client says of it is right a second after
 * the first packet that passed, also if the answer to what was asked first is lost. Nothing is asked more than once a
 * second, and by a client that has what it wants, with each HELLO alone. */
static void test_first_packet(void **state)
{
    for (span late = 0; late < CLIENT_HELLO_EVERY; late += 300 * MSEC) {
        unsigned g, c, r;
        instant by;

        world_begin();
        echo_at = 0;
        watch = count_echoes;
        g = gateway_at(1);
        c = client_at(0xc6336407, g);
        world_run(20 * SEC + late);
        assert_int_equal(info_of(c).provider, 0);
        r = router_at(0xcb007109, g);
        while (info_of(c).rx_pkts == 0) {
            world_run(MSEC);
            assert_true(now < 60 * SEC);
        }
        by = now + CLIENT_ECHO_EVERY + 2 * DELAY + MSEC;
        while (info_of(c).provider == 0 && now <= by)
            world_run(MSEC);
        assert_int_equal(info_of(c).provider, 100);
        assert_true(hosts[r].bytes_in > 0);
        world_run(3 * CLIENT_HELLO_EVERY);
        echoes = 0;
        world_run(10 * CLIENT_HELLO_EVERY);
        assert_in_range(echoes, 9, 10);
    }
}

/* A client that writes another source than its own: not delivered, and told its address. */
static void test_source_is_checked(void **state)
{
    unsigned g, r, c;
    struct endpoint self, service = at(SERVICE, DMUX_PORT);
    struct addr other;
    uint8_t packet[48], out[200];
    uint64_t before;
    size_t len;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(0xc6336407, g);
    world_run(3 * SEC);
    other = info_of(c).address;
    other.bytes[11] ^= 1; /* the neighbour */
    packet_make(packet, &other, &server);
    before = router_stats_get(hosts[r].router)->answered;
    len = client_on_packet(hosts[c].client, packet, 48, out);
    self = at(hosts[c].addr, 4000);
    post(c, &self, &service, out, len);
    world_run(4 * DELAY);
    assert_int_equal(hosts[r].delivered, 0);
    assert_int_equal(router_stats_get(hosts[r].router)->answered, before + 1);
}

/* Who writes a router's address as his source, or is a router and makes up a client, reflects nothing. */
static void test_no_reflection(void **state)
{
    unsigned g, r, c, victim, by;
    struct endpoint router_at_1, gw;
    uint8_t forged[100] = { 0 };
    size_t len;
    const struct gateway_stats *s;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    victim = host_new(NOBODY, 0xc6336463, g);
    world_run(SEC);
    c = client_at(0xc6336407, g);
    world_run(3 * SEC);
    assert_true(client_sends(c, &by));
    s = gateway_stats_get(hosts[g].gateway);
    router_at_1 = at(hosts[r].addr, 1);
    gw = at(hosts[g].addr, DMUX_PORT);
    len = shim_put(forged, SHIM_CLIENT | SHIM_COOKIE | SHIM_VERIFIED, DMUX_IPV6, 100);
    put_be32(forged + 20, hosts[victim].addr);
    put_be16(forged + 24, 9);
    forged[27] = 4;
    post(r, &router_at_1, &gw, forged, len + 50);
    world_run(3 * DELAY);
    assert_int_equal(s->drops[GATEWAY_DROP_TICKET], 1);
    forged[27] = 0; /* went round too often */
    post(r, &router_at_1, &gw, forged, len + 50);
    world_run(3 * DELAY);
    assert_int_equal(s->drops[GATEWAY_DROP_HOPS], 1);
    forged[27] = 4;
    /* not even a router: what only gateways and routers say is dropped */
    router_at_1.port = 2;
    post(r, &router_at_1, &gw, forged, len + 50);
    world_run(3 * DELAY);
    assert_int_equal(s->drops[GATEWAY_DROP_CLIENT], 1);
    assert_int_equal(hosts[victim].bytes_in, 0);
}

/* An attacker writes a victim's address: what the victim gets for it is at most three times what the attacker sent, and
 * of control never more than that. */
static void test_amplification(void **state)
{
    unsigned g, r, victim, attacker;
    struct endpoint lie, service = at(SERVICE, DMUX_PORT), self;
    struct addr spoofed = { .family = ADDR_V6,
                            .bytes = { 0x20, 1, 0xd, 0xb8, 0, 0, 0, 9, 0xc6, 0x33, 0x64, 0x63, 0, 9 } };
    uint8_t packet[1400] = { 0 }, out[1500];
    struct dmux_tx tx;
    uint64_t sent, before;
    size_t len;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    victim = host_new(NOBODY, 0xc6336463, g);
    attacker = host_new(NOBODY, 0x08080808, g);
    world_run(3 * SEC);
    lie = at(hosts[victim].addr, 9);
    self = at(hosts[r].addr, 1);
    /* a packet that is delivered; then the server's answers, large, ten times */
    len = shim_put(out, 0, DMUX_IPV6, PROVIDER_ANY);
    sent = len + packet_make(out + len, &spoofed, &server);
    post(attacker, &lie, &service, out, sent);
    world_run(4 * DELAY);
    assert_int_equal(hosts[r].delivered, 1);
    for (unsigned i = 0; i < 10; i++) {
        packet_make(packet, &server, &spoofed);
        put_be16(packet + 4, 60); /* 100 bytes, 108 with the shim: once, for 56 bytes that came */
        assert_true(router_on_packet(hosts[r].router, packet, 100, now, out, &tx));
        post(r, &self, &tx.to, out, tx.len);
    }
    world_run(4 * DELAY);
    assert_int_equal(hosts[victim].bytes_in, 108);
    assert_true(hosts[victim].bytes_in <= 3 * sent);
    assert_int_equal(gateway_stats_get(hosts[g].gateway)->drops[GATEWAY_DROP_AMPLIFIED], 9);
    /* control */
    before = hosts[victim].bytes_in;
    sent = 0;
    for (uint8_t type = 1; type < DMUX_TYPE_COUNT; type++) {
        const struct dmux_message m = { .type = type, .protocol = DMUX_IPV6, .provider = 100, .gateway = 1 };

        len = dmux_write(&m, out, sizeof(out));
        sent += len;
        post(attacker, &lie, &service, out, len);
    }
    world_run(4 * DELAY);
    assert_true(hosts[victim].bytes_in - before <= sent);
    /* each by itself is checked by unit test shim: no answer is longer than its question */
}

/* Registration: by the provider's key, for a protocol that it may provide, from the address that is registered. */
static void test_registration_refused(void **state)
{
    const uint32_t registrar = SERVICE;
    struct router_registrar_info info[ROUTER_REGISTRARS_MAX];
    unsigned g, thief, wrong, unknown;

    world_begin();
    g = gateway_at(1);
    thief = router_with(0xcb007101, &registrar, 1, 100, &stranger_id, g); /* another's number */
    wrong = router_with(0xcb007102, &registrar, 1, 101, &stranger_id, g); /* its own, another protocol */
    unknown = router_with(0xcb007103, &registrar, 1, 555, &stranger_id, g);
    world_run(2 * SEC);
    for (unsigned i = thief; i <= unknown; i++) {
        router_registrar_info(hosts[i].router, info);
        assert_int_equal(info[0].refusal, DMUX_REFUSED_PROVIDER);
    }
    assert_int_equal(gateway_stats_get(hosts[g].gateway)->refused[DMUX_REFUSED_PROVIDER], 3);
    (void)wrong;
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 0);
}

/* What gateways say of a router is told when it changes, and once: a refusal, another one, that it is registered; not
 * that one that was started anew has forgotten it, which is mended at once. */
static void test_verdicts(void **state)
{
    const uint32_t registrar = SERVICE;
    struct router_verdict v;
    unsigned g, r, fresh;

    world_begin();
    g = gateway_at(1);
    next_chain = chain_kept(&root_id, "acme.example", &stranger_id, "dmux-provider-201", 2000);
    r = router_with(0xcb007101, &registrar, 1, 200, &stranger_id, g);
    world_run(2 * SEC);
    assert_true(router_pop_verdict(hosts[r].router, &v));
    assert_int_equal(v.refusal, DMUX_REFUSED_PROVIDER); /* its certificate is of another number */
    assert_int_equal(v.gateway, 1);
    assert_true(endpoint_equal(&v.at, &hosts[r].options.registrars[0]));
    assert_false(router_pop_verdict(hosts[r].router, &v));
    world_run(30 * SEC);
    assert_true(gateway_stats_get(hosts[g].gateway)->refused[DMUX_REFUSED_PROVIDER] > 3);
    assert_false(router_pop_verdict(hosts[r].router, &v));

    next_chain = chain_kept(&root_id, "acme.example", &stranger_id, "dmux-provider-200", 2000);
    r = router_with(0xcb007102, &registrar, 1, 200, &stranger_id, g);
    world_run(3 * SEC);
    assert_true(router_pop_verdict(hosts[r].router, &v));
    assert_int_equal(v.refusal, DMUX_REFUSED_NONE);
    fresh = gateway_at(1);
    gateway_free(hosts[g].gateway);
    hosts[g].gateway = hosts[fresh].gateway;
    hosts_count--;
    world_run(3 * SEC);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 1);
    assert_false(router_pop_verdict(hosts[r].router, &v));
    gateway_set_wall(hosts[g].gateway, 2001); /* its certificate ends */
    world_run(3 * SEC);
    assert_true(router_pop_verdict(hosts[r].router, &v));
    assert_int_equal(v.refusal, DMUX_REFUSED_PROVIDER);
    assert_false(router_pop_verdict(hosts[r].router, &v));
}

/* A gateway that says nothing is told of once, whether it did before or never; and once when it is back. */
static void test_verdict_of_silence(void **state)
{
    struct router_verdict v;
    unsigned g, r;

    world_begin();
    g = gateway_at(7);
    hosts[g].dead = true;
    r = router_at(0xcb007109, g);
    world_run(ROUTER_SILENCE - MSEC);
    assert_false(router_pop_verdict(hosts[r].router, &v));
    world_run(SEC); /* it asks less and less often */
    assert_true(router_pop_verdict(hosts[r].router, &v));
    assert_true(v.silent);
    assert_int_equal(v.gateway, 0);
    for (unsigned i = 0; i < 2; i++) {
        world_run(60 * SEC);
        assert_false(router_pop_verdict(hosts[r].router, &v));
        hosts[g].dead = false;
        world_run(ROUTER_RETRY_MAX + SEC);
        assert_true(router_pop_verdict(hosts[r].router, &v));
        assert_false(v.silent);
        assert_int_equal(v.refusal, DMUX_REFUSED_NONE);
        assert_int_equal(v.gateway, 7);
        world_run(60 * SEC);
        assert_false(router_pop_verdict(hosts[r].router, &v));
        hosts[g].dead = true;
        world_run(ROUTER_SILENCE + ROUTER_KEEPALIVE);
        assert_true(router_pop_verdict(hosts[r].router, &v));
        assert_true(v.silent);
        assert_int_equal(v.gateway, 7);
    }
}

/* Of two addresses that lead to one gateway the second is no silence. */
static void test_elsewhere_is_no_silence(void **state)
{
    const uint32_t registrars[] = { SERVICE, gateway_addr(1) };
    struct router_verdict v;
    unsigned g, r;

    world_begin();
    g = gateway_at(1);
    r = router_with(0xcb007109, registrars, 2, 100, &provider_id, g);
    world_run(60 * SEC);
    assert_true(router_pop_verdict(hosts[r].router, &v));
    assert_int_equal(v.gateway, 1);
    assert_false(v.silent || router_pop_verdict(hosts[r].router, &v));
}

/* A router whose address no cookie holds for is told so when it is refused twice in a row, and once. The first time it
 * begins again at once, then it waits. */
static void test_verdict_of_cookies(void **state)
{
    struct dmux_message m = { .protocol = DMUX_IPV6, .provider = 100, .gateway = 7, .refusal = DMUX_REFUSED_COOKIE };
    struct endpoint service = at(SERVICE, DMUX_PORT), unicast = at(0x0a000700, DMUX_PORT);
    uint8_t said[DMUX_REGISTER_MAX], buf[DMUX_MESSAGE_MAX], out[DMUX_REGISTER_MAX];
    const uint8_t *packet;
    struct router_verdict v;
    struct dmux_tx tx;
    struct shim s;
    unsigned g, r;
    size_t len;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    m.unicast = unicast;
    m.you = at(0xcb007109, 1);
    for (unsigned i = 0; i < 5; i++) {
        struct dmux_message asked;

        now += 5 * SEC;
        assert_true(router_output(hosts[r].router, said, &tx, now));
        assert_int_equal(shim_parse(said, said + tx.len, &s), SHIM_OK);
        assert_int_equal(dmux_read(&s, said, tx.len, &asked), 0);
        assert_int_equal(asked.type, DMUX_HELLO);
        m.type = DMUX_CHALLENGE;
        m.nonce = asked.nonce;
        len = dmux_write(&m, buf, sizeof(buf));
        router_on_datagram(hosts[r].router, buf, len, &service, now, &packet, &len, out, &tx);
        assert_true(router_output(hosts[r].router, said, &tx, now));
        assert_int_equal(shim_parse(said, said + tx.len, &s), SHIM_OK);
        assert_int_equal(dmux_read(&s, said, tx.len, &asked), 0);
        assert_int_equal(asked.type, DMUX_REGISTER);
        m.type = DMUX_NAK;
        m.nonce = asked.nonce;
        len = dmux_write(&m, buf, sizeof(buf));
        router_on_datagram(hosts[r].router, buf, len, &unicast, now, &packet, &len, out, &tx);
        assert_int_equal(router_pop_verdict(hosts[r].router, &v), i == 1);
        if (i == 1)
            assert_int_equal(v.refusal, DMUX_REFUSED_COOKIE);
        if (i > 0)
            assert_false(router_output(hosts[r].router, said, &tx, now + ROUTER_RETRY_MAX - 1));
    }
}

/* Nothing of the service's prefix, no address of the gateway or of no single host may register: no HELLO from there is
 * answered, so there is no cookie. */
static void test_registration_from_nowhere(void **state)
{
    static const uint32_t addresses[] = {
        SERVICE,    0xc0000207, /* of the prefix */
        0,          0x00010203, /* this network */
        0x7f000001,             /* loopback */
        0xa9fe0101,             /* link-local */
        0xe0000005,             /* multicast */
        0xf0000001,             /* reserved */
        0xffffffff,             /* everybody */
    };
    const uint32_t registrar = SERVICE;
    unsigned g;

    for (size_t i = 0; i <= ARRAY_LEN(addresses); i++) {
        world_begin();
        g = gateway_at(1);
        router_with(i < ARRAY_LEN(addresses) ? addresses[i] : hosts[g].addr, &registrar, 1, 100, &provider_id, g);
        world_run(2 * SEC);
        assert_true(gateway_stats_get(hosts[g].gateway)->drops[GATEWAY_DROP_SOURCE] > 0);
        assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 0);
    }
}

/* An authority's certificate makes a stranger's key a provider's, until it ends. */
static void test_certificate(void **state)
{
    const uint32_t registrar = SERVICE;
    struct router_registrar_info info[ROUTER_REGISTRARS_MAX];
    unsigned g, r;

    world_begin();
    g = gateway_at(1);
    next_chain = chain_kept(&root_id, "acme.example", &stranger_id, "dmux-provider-200", 1010);
    r = router_with(0xcb007101, &registrar, 1, 200, &stranger_id, g);
    world_run(3 * SEC);
    router_registrar_info(hosts[r].router, info);
    assert_int_equal(info[0].state, REGISTRAR_REGISTERED);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 1);
    gateway_set_wall(hosts[g].gateway, 1010);
    world_run(2 * SEC);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 1);
    gateway_set_wall(hosts[g].gateway, 1011);
    world_run(2 * SEC);
    router_registrar_info(hosts[r].router, info);
    assert_int_equal(info[0].refusal, DMUX_REFUSED_PROVIDER);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 0);
}

/* A router that shows a newer one before the first one ends is registered all the while, and as long as the newer. */
static void test_certificate_renewed(void **state)
{
    const uint32_t registrar = SERVICE;
    unsigned g, r;

    world_begin();
    g = gateway_at(1);
    next_chain = chain_kept(&root_id, "acme.example", &stranger_id, "dmux-provider-200", 1010);
    r = router_with(0xcb007101, &registrar, 1, 200, &stranger_id, g);
    world_run(3 * SEC);
    hosts[r].options.chain = chain_kept(&root_id, "acme.example", &stranger_id, "dmux-provider-200", 1020);
    router_restart(r);
    world_run(3 * SEC);
    for (uint32_t wall_s = 1010; wall_s <= 1020; wall_s++) {
        gateway_set_wall(hosts[g].gateway, wall_s);
        for (unsigned ms = 0; ms < 1000; ms++) {
            world_run(MSEC);
            assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 1);
        }
    }
    gateway_set_wall(hosts[g].gateway, 1021);
    world_run(2 * SEC);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 0);
}

/* What is no certificate of that number, for that key, by that realm, makes nobody a provider. */
static void test_provider_hijack(void **state)
{
    const uint32_t registrar = SERVICE;
    static const struct {
        const char *realm, *leaf;
        bool other_root, other_key;
        uint64_t not_after_s;
        uint32_t provider;
    } rows[] = {
        { "acme.example", "dmux-provider-201", false, false, 0, 200 },   /* another number */
        { "acme.example", "dmux-provider-100", false, false, 0, 100 },   /* one that is listed, and not its to give */
        { "acme.example", "dmux-provider-300", false, false, 0, 300 },   /* not its to give */
        { "acme.example", "dmux-provider-200-4", false, false, 0, 200 }, /* another protocol */
        { "acme.example", "dmux-provider-0200", false, false, 0, 200 },  /* no number */
        { "acme.example", "dmux-gateway-200", false, false, 0, 200 },    /* for something else */
        { "evil.example", "dmux-provider-200", false, false, 0, 200 },   /* another realm */
        { "acme.example", "dmux-provider-200", true, false, 0, 200 },    /* another root of that name */
        { "acme.example", "dmux-provider-200", false, true, 0, 200 },    /* of another's key */
        { "acme.example", "dmux-provider-200", false, false, 999, 200 }, /* over */
    };
    struct router_registrar_info info[ROUTER_REGISTRARS_MAX];
    unsigned g;

    world_begin();
    g = gateway_at(1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned r;

        next_chain = chain_kept(rows[i].other_root ? &stranger_id : &root_id, rows[i].realm,
                                rows[i].other_key ? &provider_id : &stranger_id, rows[i].leaf, rows[i].not_after_s);
        r = router_with(0xcb007101 + (uint32_t)i, &registrar, 1, rows[i].provider, &stranger_id, g);
        world_run(SEC);
        router_registrar_info(hosts[r].router, info);
        assert_int_equal(info[0].refusal, DMUX_REFUSED_PROVIDER);
    }
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 0);
}

/* A cookie is of one address: with one's own cookie one cannot register another's. */
static void test_registration_of_a_victim(void **state)
{
    unsigned g, attacker, victim;
    uint8_t out[200];
    struct endpoint lie, service = at(SERVICE, DMUX_PORT);
    struct dmux_message m = {
        .type = DMUX_REGISTER, .protocol = DMUX_IPV6, .provider = 100, .gateway = 1, .weight = 1
    };
    size_t len, n;

    world_begin();
    g = gateway_at(1);
    victim = host_new(NOBODY, 0xc6336463, g);
    attacker = host_new(NOBODY, 0x08080808, g);
    world_run(SEC);
    lie = at(hosts[victim].addr, 53);
    m.you = lie;
    memcpy(m.key, provider_id.ed25519, 32); /* a provider that is itself the attacker */
    len = dmux_write(&m, out, sizeof(out));
    n = dmux_signed_len(out, len);
    assert_int_equal(ed25519_sign(provider_id.ed25519_seed, out, n, out + n), 0);
    post(attacker, &lie, &service, out, len);
    world_run(4 * DELAY);
    assert_int_equal(gateway_stats_get(hosts[g].gateway)->refused[DMUX_REFUSED_COOKIE], 1);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 0);
    assert_true(hosts[victim].bytes_in <= len);
}

/* A router dies: by silence its clients are elsewhere within 3.5 s, and no other client moves. */
static void test_router_dies(void **state)
{
    unsigned g, r[4], c[24], before[24], after = 0, moved = 0;

    world_begin();
    g = gateway_at(1);
    for (unsigned i = 0; i < 4; i++)
        r[i] = router_at(0xcb007101 + i, g);
    world_run(3 * SEC);
    for (unsigned i = 0; i < 24; i++)
        c[i] = client_at(0xc6336400 + 256 * i + 7, g);
    world_run(40 * SEC); /* all have their whole share */
    for (unsigned i = 0; i < 24; i++)
        assert_true(client_sends(c[i], &before[i]));
    hosts[r[1]].dead = true;
    world_run(3500 * MSEC - 3 * DELAY);
    for (unsigned i = 0; i < 24; i++) {
        if (!client_sends(c[i], &after)) { /* its first packet after the loss tells it its new address */
            world_run(4 * DELAY);
            assert_true(client_sends(c[i], &after));
            assert_int_equal(before[i], r[1]);
        }
        if (before[i] == r[1])
            moved++;
        else
            assert_int_equal(after, before[i]);
        assert_int_not_equal(after, r[1]);
    }
    assert_in_range(moved, 1, 15);
}

/* One that can still say so: within 50 ms. */
static void test_router_leaves(void **state)
{
    unsigned g, r[2], c, by = 0, other;

    world_begin();
    g = gateway_at(1);
    r[0] = router_at(0xcb007101, g);
    r[1] = router_at(0xcb007102, g);
    world_run(3 * SEC);
    c = client_at(0xc6336407, g);
    world_run(40 * SEC);
    assert_true(client_sends(c, &by));
    other = by == r[0] ? r[1] : r[0];
    router_leave(hosts[by].router);
    world_run(30 * MSEC);
    assert_true(router_has_left(hosts[by].router));
    if (!client_sends(c, &by)) { /* 15 ms: the other router tells the new address on the way */
        world_run(DELAY);
        assert_true(client_sends(c, &by));
    }
    assert_int_equal(by, other);
}

/* Anycast leads to another site: the router registers there before it leaves, the client's cookie holds there. */
static void test_anycast_moves(void **state)
{
    unsigned g1, g2, r, c, by = 0;
    struct router_registrar_info info[ROUTER_REGISTRARS_MAX];

    world_begin();
    g1 = gateway_at(1);
    g2 = gateway_at(2);
    r = router_at(0xcb007109, g1);
    world_run(3 * SEC);
    c = client_at(0xc6336407, g1);
    world_run(3 * SEC);
    assert_int_equal(registry_count(gateway_registry(hosts[g2].gateway)), 0);
    hosts[r].nearest = g2;
    world_run(6 * SEC);
    router_registrar_info(hosts[r].router, info);
    assert_int_equal(info[0].gateway, 2);
    assert_int_equal(info[0].state, REGISTRAR_REGISTERED);
    assert_int_equal(router_stats_get(hosts[r].router)->moves, 1);
    assert_int_equal(registry_count(gateway_registry(hosts[g1].gateway)), 0);
    assert_int_equal(registry_count(gateway_registry(hosts[g2].gateway)), 1);
    hosts[c].nearest = g2;
    assert_true(client_sends(c, &by)); /* the very next packet, by the cookie of the other site */
    assert_int_equal(by, r);
    assert_int_equal(gateway_stats_get(hosts[g2].gateway)->drops[GATEWAY_DROP_UNVERIFIED], 0);
    world_run(6 * SEC);
    assert_int_equal(info_of(c).gateway, 2);
    assert_int_equal(info_of(c).gateway_changes, 1);
}

/* Of two routers as near as each other one tells its load: it has as many eighths of its share as are free, beside all
 * eight of the other, and an eighth when it is full. */
static void test_load(void **state)
{
    static const struct {
        uint16_t load;
        double share;
    } steps[] = { { 0, 1. / 2 }, { 32768, 4. / 12 }, { 65535, 1. / 9 }, { 8191, 1. / 2 }, { 8192, 7. / 15 } };
    const struct registry *registry;
    const struct registration *m;
    unsigned g, busy;

    world_begin();
    g = gateway_at(1);
    busy = router_at(0xcb007101, g);
    router_at(0xcb007102, g);
    registry = gateway_registry(hosts[g].gateway);
    world_run(REGISTRY_RAMP);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        unsigned n = 0;

        router_set_load(hosts[busy].router, steps[i].load);
        world_run(4 * SEC); /* a keepalive, and a rebuild after what it brought */
        m = registry_find(registry, DMUX_IPV6, 100, hosts[busy].addr, 1);
        assert_non_null(m);
        assert_int_equal(m->load, steps[i].load);
        for (uint32_t c = 0; c < 10000; c++)
            n += registry_select(registry, DMUX_IPV6, PROVIDER_ANY, c * 7919) == m;
        /* 251 slots, each to one of both by chance: three standard deviations of a half are .095 */
        assert_in_range(n, (unsigned)((steps[i].share - .095) * 10000), (unsigned)((steps[i].share + .095) * 10000));
    }
}

/* The gateway forgets (a restart): the router is registered again with its next keepalive. */
static void test_gateway_restarts(void **state)
{
    unsigned g, r, fresh;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(3 * SEC);
    fresh = gateway_at(1);
    gateway_free(hosts[g].gateway);
    hosts[g].gateway = hosts[fresh].gateway;
    hosts_count--;
    world_run(1200 * MSEC);
    assert_int_equal(registry_count(gateway_registry(hosts[g].gateway)), 1);
    (void)r;
}

/* Who writes the gateway's address as his source, but has not heard the router, cannot end its registration. */
static void test_forged_refusals(void **state)
{
    struct dmux_message nak = { .type = DMUX_NAK, .protocol = DMUX_IPV6, .provider = 100, .gateway = 1 };
    struct router_registrar_info info[ROUTER_REGISTRARS_MAX];
    struct endpoint from, to = at(0xcb007109, 1);
    uint8_t buf[DMUX_MESSAGE_MAX];
    unsigned g, r;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    from = at(hosts[g].addr, DMUX_PORT);
    world_run(3 * SEC);
    for (unsigned i = 0; i < 300; i++) {
        nak.nonce = i / DMUX_REFUSAL_COUNT;
        nak.refusal = (uint8_t)(i % DMUX_REFUSAL_COUNT);
        post(g, &from, &to, buf, dmux_write(&nak, buf, sizeof(buf)));
        world_run(10 * MSEC);
        router_registrar_info(hosts[r].router, info);
        assert_int_equal(info[0].state, REGISTRAR_REGISTERED);
    }
    assert_int_equal(gateway_stats_get(hosts[g].gateway)->registered, 1);
    assert_int_equal(info[0].refusal, DMUX_REFUSED_NONE);
}

/* A router that was refused waits, and has asked nothing: who writes the service address as his source makes it sign
 * nothing. */
static void test_forged_challenge(void **state)
{
    struct dmux_message m = { .protocol = DMUX_IPV6, .provider = 100, .gateway = 7 };
    struct endpoint service = at(SERVICE, DMUX_PORT), unicast = at(0x0a000700, DMUX_PORT);
    uint8_t said[DMUX_REGISTER_MAX], buf[DMUX_MESSAGE_MAX], out[DMUX_REGISTER_MAX];
    struct dmux_message asked;
    const uint8_t *packet;
    struct dmux_tx tx;
    struct shim s;
    unsigned r;
    size_t len;

    world_begin();
    r = router_at(0xcb007109, gateway_at(1));
    m.unicast = m.you = unicast;
    now += 5 * SEC;
    for (unsigned i = 0; i < 2; i++) {
        assert_true(router_output(hosts[r].router, said, &tx, now));
        assert_int_equal(shim_parse(said, said + tx.len, &s), SHIM_OK);
        assert_int_equal(dmux_read(&s, said, tx.len, &asked), 0);
        assert_int_equal(asked.type, i == 0 ? DMUX_HELLO : DMUX_REGISTER);
        m.type = i == 0 ? DMUX_CHALLENGE : DMUX_NAK;
        m.refusal = i == 0 ? DMUX_REFUSED_NONE : DMUX_REFUSED_PROVIDER;
        m.nonce = asked.nonce;
        len = dmux_write(&m, buf, sizeof(buf));
        router_on_datagram(hosts[r].router, buf, len, i == 0 ? &service : &unicast, now, &packet, &len, out, &tx);
    }
    m.type = DMUX_CHALLENGE;
    m.refusal = DMUX_REFUSED_NONE;
    m.nonce = 0;
    len = dmux_write(&m, buf, sizeof(buf));
    router_on_datagram(hosts[r].router, buf, len, &service, now, &packet, &len, out, &tx);
    assert_false(router_output(hosts[r].router, said, &tx, now));
}

/* Strangers who send more HELLOs than are answered keep nobody out who is registered, or has a cookie. */
static void test_flood_of_hellos(void **state)
{
    const struct dmux_message hello = { .type = DMUX_HELLO, .protocol = DMUX_IPV6, .provider = 100, .nonce = 1 };
    const struct addr service = addr_v4(SERVICE);
    struct router_registrar_info info[ROUTER_REGISTRARS_MAX];
    struct endpoint from;
    struct dmux_tx tx;
    uint8_t buf[DMUX_MESSAGE_MAX], out[2048];
    size_t len = dmux_write(&hello, buf, sizeof(buf));
    unsigned g, r, late;

    world_begin();
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(3 * SEC);
    late = router_at(0xcb00710a, g);
    world_run(2 * DELAY + MSEC); /* it has its cookie */
    for (uint32_t i = 0; i < LIMITS_UNVERIFIED_ALL_PPS + 10; i++) {
        from = at(0x0b000000 + (i << 8), 9);
        gateway_on_datagram(hosts[g].gateway, buf, len, &from, &service, now, out, &tx);
    }
    assert_false(gateway_on_datagram(hosts[g].gateway, buf, len, &from, &service, now, out, &tx));
    from = at(hosts[r].addr, 1);
    assert_true(gateway_on_datagram(hosts[g].gateway, buf, len, &from, &service, now, out, &tx));
    world_run(4 * DELAY);
    router_registrar_info(hosts[late].router, info);
    assert_int_equal(info[0].state, REGISTRAR_REGISTERED);
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
        cmocka_unit_test(test_first_packet),
        cmocka_unit_test(test_source_is_checked),
        cmocka_unit_test(test_no_reflection),
        cmocka_unit_test(test_amplification),
        cmocka_unit_test(test_registration_refused),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_verdict_of_silence),
        cmocka_unit_test(test_elsewhere_is_no_silence),
        cmocka_unit_test(test_verdict_of_cookies),
        cmocka_unit_test(test_registration_from_nowhere),
        cmocka_unit_test(test_registration_of_a_victim),
        cmocka_unit_test(test_router_dies),
        cmocka_unit_test(test_router_leaves),
        cmocka_unit_test(test_anycast_moves),
        cmocka_unit_test(test_gateway_restarts),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_forged_refusals),
        cmocka_unit_test(test_forged_challenge),
        cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_certificate_renewed),
        cmocka_unit_test(test_provider_hijack),
        cmocka_unit_test(test_flood_of_hellos),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
