/* Providers of src/dmux that ask their clients for credentials, in virtual time (dmux_world.h): a client, a gateway and
 * routers, 5 ms between any two, so that a client's round trip to a router is 20 ms. */
#include "tests/sim/dmux_world.h"

#include <stdio.h>

#define ROUND (4 * DELAY)
#define LIFETIME_S 60
#define CLIENT_ADDR 0xc6336407u

static struct identity member, stranger;
static struct peer_key members[1];
static struct admission_realm realm;
static struct admission_options asks;
static struct credential credential;

/* What was sent: the last word of each type, and how many of each. */
static struct said {
    uint8_t data[1500];
    size_t len;
    unsigned count;
} said[WORD_TYPE_COUNT];
static uint8_t cookies[HOSTS_MAX][SHIM_COOKIE_LEN]; /* of clients */

static void listen(unsigned sender, const uint8_t *data, size_t len)
{
    struct shim s;
    struct word w;

    if (shim_parse(data, data + len, &s) != SHIM_OK)
        return;
    if (hosts[sender].kind == CLIENT && s.flags == SHIM_COOKIE)
        memcpy(cookies[sender], data + SHIM_LEN, SHIM_COOKIE_LEN);
    if (hosts[sender].kind == GATEWAY || !(s.flags & SHIM_WORD) || word_read(data + s.len, len - s.len, &w) < 0)
        return;
    memcpy(said[w.type].data, data, len);
    said[w.type].len = len;
    said[w.type].count++;
}

/* A provider that lets in `member` and whom acme.example has enrolled; a client's credentials as `id`. */
static void begin(const struct identity *id)
{
    const struct rng rng = prng_rng(&prng);

    world_begin();
    assert_int_equal(identity_generate(&member, &rng), 0);
    assert_int_equal(identity_generate(&stranger, &rng), 0);
    identity_peer_key(&member, 3, &members[0]);
    realm = (struct admission_realm){ .realm = "acme.example" };
    memcpy(realm.root, root_id.ed25519, sizeof(realm.root));
    asks = (struct admission_options){ .identity = &provider_id,
                                       .members = members,
                                       .members_count = 1,
                                       .realms = &realm,
                                       .realms_count = 1,
                                       .lifetime_s = LIFETIME_S,
                                       .clients_max = 100 };
    credential = (struct credential){ .provider = 100, .identity = *id };
    identity_peer_key(&provider_id, 3, &credential.to);
    next_admission = &asks;
    next_credentials = &credential;
    next_credentials_count = 1;
    memset(said, 0, sizeof(said));
    memset(cookies, 0, sizeof(cookies));
    watch = listen;
}

static struct admission_stats door_of(unsigned router)
{
    struct admission_stats s;

    admission_stats_get(router_admission(hosts[router].router), &s);
    return s;
}

/* So many packets, one each `every`; how many reached the protocol of any router, 100 ms after the last. */
static uint64_t stream(unsigned client, unsigned packets, span every)
{
    const struct endpoint self = at(hosts[client].addr, 4000), service = at(SERVICE, DMUX_PORT);
    const struct addr source = info_of(client).address;
    uint64_t passed = 0;
    uint8_t packet[48], out[200];

    packet_make(packet, &source, &server);
    for (unsigned i = 0; i < hosts_count; i++)
        passed -= hosts[i].kind == ROUTER ? router_stats_get(hosts[i].router)->rx_pkts : 0;
    for (unsigned i = 0; i < packets; i++) {
        size_t len = client_on_packet(hosts[client].client, packet, sizeof(packet), out);

        if (len > 0)
            post(client, &self, &service, out, len);
        world_run(every);
    }
    world_run(100 * MSEC);
    for (unsigned i = 0; i < hosts_count; i++)
        passed += hosts[i].kind == ROUTER ? router_stats_get(hosts[i].router)->rx_pkts : 0;
    return passed;
}

/* Admitted before it has said anything, so that its first packet passes, and so does what comes back. */
static void test_admitted(void **state)
{
    unsigned g, r, c, by;
    struct client_info info;
    struct dmux_tx tx;
    struct endpoint self;
    uint8_t packet[48], out[200];

    begin(&member);
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    /* HELLO and CHALLENGE 10 ms; ASK, DEMAND, ADMIT, VERDICT; then the solicitation that was held, and its answer */
    world_run(2 * DELAY + 3 * ROUND);
    info = info_of(c);
    assert_int_equal(info.admission.state, APPLICANT_ADMITTED);
    assert_int_equal(info.admission.until, 2 * SEC + 2 * DELAY + 2 * ROUND + LIFETIME_S * SEC);
    assert_int_equal(info.address.family, ADDR_V6);
    assert_int_equal(info.admission.lost, 0);
    assert_true(client_sends(c, &by));
    packet_make(packet, &server, &info.address);
    assert_true(router_on_packet(hosts[r].router, packet, 48, now, out, &tx));
    self = at(hosts[r].addr, 1);
    post(r, &self, &tx.to, out, tx.len);
    world_run(3 * DELAY);
    assert_int_equal(hosts[c].delivered, 1);
    assert_int_equal(door_of(r).verdicts[WORD_ADMITTED], 1);
    assert_int_equal(door_of(r).demands, 1);
    assert_int_equal(router_stats_get(hosts[r].router)->drops[ROUTER_DROP_ADMISSION], 0);
    for (unsigned i = 0; i < GATEWAY_DROP_COUNT; i++)
        assert_int_equal(gateway_stats_get(hosts[g].gateway)->drops[i], 0);
}

/* Nobody hears who the client is but the provider: its key is in nothing that is sent. */
static const uint8_t *secret_key;
static void no_key(unsigned sender, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i + IDENT_KEY_LEN <= len; i++)
        assert_memory_not_equal(data + i, secret_key, IDENT_KEY_LEN);
    listen(sender, data, len);
}

static void test_key_is_not_seen(void **state)
{
    unsigned g, c;

    begin(&member);
    secret_key = member.x25519;
    watch = no_key;
    g = gateway_at(1);
    router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(SEC);
    assert_int_equal(info_of(c).admission.state, APPLICANT_ADMITTED);
    assert_int_equal(said[WORD_ADMIT].count, 1);
}

/* A client of a realm; then with a chain of another key, and one that is over. */
static void test_certificate(void **state)
{
    static const struct {
        const char *leaf;
        bool others;
        uint64_t not_after_s;
        unsigned refusal;
    } rows[] = { { "laptop", false, 0, WORD_ADMITTED },
                 { "laptop", false, 1030, WORD_ADMITTED },
                 { "laptop", true, 0, WORD_REFUSED_CERTIFICATE },
                 { "laptop", false, 990, WORD_REFUSED_CERTIFICATE } };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct client_info info;
        struct slice chain;
        unsigned g, r, c;

        begin(&stranger);
        chain = chain_kept(&root_id, "acme.example", rows[i].others ? &member : &stranger, rows[i].leaf,
                           rows[i].not_after_s);
        memcpy(credential.chain, chain.data, chain.len);
        credential.chain_len = chain.len;
        g = gateway_at(1);
        r = router_at(0xcb007109, g);
        world_run(SEC);
        c = client_at(CLIENT_ADDR, g);
        world_run(SEC);
        info = info_of(c);
        assert_int_equal(door_of(r).verdicts[rows[i].refusal], 1);
        assert_int_equal(info.admission.state,
                         rows[i].refusal == WORD_ADMITTED ? APPLICANT_ADMITTED : APPLICANT_REFUSED);
        if (rows[i].refusal != WORD_ADMITTED)
            assert_int_equal(info.admission.refusal, rows[i].refusal);
        else if (rows[i].not_after_s != 0) /* no longer than the chain: 30 s from the router's 1000 */
            assert_int_equal(info.admission.until, 2 * SEC + 2 * DELAY + 2 * ROUND + 30 * SEC);
    }
}

/* Refused by name: what it sends goes nowhere, and it tries again, not often. */
static void test_refused(void **state)
{
    struct client_info info;
    unsigned g, r, c;

    begin(&stranger);
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(SEC);
    info = info_of(c);
    assert_int_equal(info.admission.state, APPLICANT_REFUSED);
    assert_int_equal(info.admission.provider, 100);
    assert_int_equal(info.admission.refusal, WORD_REFUSED_UNKNOWN);
    assert_int_equal(info.address.family, ADDR_NONE);
    world_run(300 * SEC);
    assert_int_equal(router_stats_get(hosts[r].router)->rx_pkts, 0);
    assert_in_range(door_of(r).verdicts[WORD_REFUSED_UNKNOWN], 5, 6); /* one each 60 s */
    assert_int_equal(door_of(r).clients, 0);
}

/* No credentials: the client says who asks, and says nothing of itself. */
static void test_without(void **state)
{
    struct client_info info;
    unsigned g, r, c;

    begin(&member);
    next_credentials_count = 0;
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(5 * SEC);
    info = info_of(c);
    assert_int_equal(info.admission.state, APPLICANT_WITHOUT);
    assert_int_equal(info.admission.provider, 100);
    assert_true(info.admission.demands > 0);
    assert_int_equal(said[WORD_ASK].count + said[WORD_ADMIT].count, 0);
    assert_int_equal(router_stats_get(hosts[r].router)->rx_pkts, 0);
}

/* Credentials for provider 200 are not for provider 100, who asks; nor sealed to a key that is not its own can it read
 * them. */
static void test_other_provider(void **state)
{
    struct client_info info;
    unsigned g, r, c;

    begin(&member);
    credential.provider = 200;
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(5 * SEC);
    info = info_of(c);
    assert_int_equal(info.admission.state, APPLICANT_WITHOUT);
    assert_int_equal(info.admission.provider, 100);
    assert_int_equal(said[WORD_ADMIT].count, 0);

    begin(&member);
    identity_peer_key(&stranger_id, 3, &credential.to);
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(5 * SEC);
    info = info_of(c);
    assert_int_equal(info.admission.state, APPLICANT_REFUSED);
    assert_int_equal(info.admission.refusal, APPLICANT_UNREADABLE);
    assert_int_equal(door_of(r).unreadable, APPLICANT_TRIES);
    assert_int_equal(router_stats_get(hosts[r].router)->rx_pkts, 0);
}

/* Renewed before it ends, without a packet lost or held; when the client is gone, over. */
static void test_renewed_and_expired(void **state)
{
    struct dmux_tx tx;
    struct addr address;
    uint8_t packet[48], out[200];
    uint64_t passed, held;
    unsigned g, r, c, by;

    begin(&member);
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(SEC);
    held = info_of(c).admission.held;
    passed = stream(c, 1000, 200 * MSEC);
    assert_true(passed >= 1000); /* and solicitations */
    assert_int_equal(router_stats_get(hosts[r].router)->drops[ROUTER_DROP_ADMISSION], 0);
    assert_int_equal(info_of(c).admission.held, held);
    assert_int_equal(info_of(c).admission.admitted, 5); /* 200 s: at first, and each 45 s */
    assert_int_equal(door_of(r).clients, 1);
    assert_true(client_sends(c, &by));
    address = info_of(c).address;
    hosts[c].dead = true;
    world_run(LIFETIME_S * SEC);
    packet_make(packet, &server, &address);
    assert_false(router_on_packet(hosts[r].router, packet, 48, now, out, &tx));
    assert_int_equal(router_stats_get(hosts[r].router)->drops[ROUTER_DROP_ADMISSION], 1);
}

/* Sends what was said from another client's address, with that one's cookie. */
static void say_from(unsigned client, const struct said *what)
{
    const struct endpoint self = at(hosts[client].addr, 4000), service = at(SERVICE, DMUX_PORT);
    uint8_t data[1500];

    memcpy(data, what->data, what->len);
    memcpy(data + SHIM_LEN, cookies[client], SHIM_COOKIE_LEN);
    post(client, &self, &service, data, what->len);
    world_run(ROUND);
}

/* An ADMIT is of no use from another address, nor later; from the same address within 10 s it says nothing new. */
static void test_replay(void **state)
{
    unsigned g, r, c, thief;
    uint64_t demands;

    begin(&member);
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(SEC);
    assert_int_equal(said[WORD_ADMIT].count, 1);
    next_credentials_count = 0;
    thief = client_at(CLIENT_ADDR + 1, g);
    world_run(SEC);
    say_from(thief, &said[WORD_ADMIT]);
    assert_int_equal(door_of(r).stale, 1);
    assert_int_equal(door_of(r).clients, 1);
    assert_int_equal(info_of(thief).admission.state, APPLICANT_WITHOUT);
    say_from(c, &said[WORD_ADMIT]);
    assert_int_equal(door_of(r).verdicts[WORD_ADMITTED], 2);
    assert_int_equal(door_of(r).clients, 1);
    world_run(ADMISSION_NONCE_LIFE);
    say_from(c, &said[WORD_ADMIT]);
    assert_int_equal(door_of(r).stale, 2);
    /* nor has whoever did not show its address: no cookie, no answer */
    hosts[thief].dead = true; /* it says nothing else meanwhile */
    world_run(ROUND);
    demands = door_of(r).demands;
    say_from(thief, &said[WORD_ASK]);
    assert_int_equal(door_of(r).demands, demands + 1);
    memset(cookies[thief], 0, SHIM_COOKIE_LEN);
    say_from(thief, &said[WORD_ASK]);
    assert_int_equal(door_of(r).demands, demands + 1);
}

/* Who writes the address of a client that is let in as his source, and has not its cookie, passes for nobody. */
static void test_spoofed(void **state)
{
    const struct endpoint service = at(SERVICE, DMUX_PORT);
    struct endpoint self;
    struct addr source;
    uint8_t data[100];
    uint64_t passed, dropped;
    unsigned g, r, c, attacker;
    size_t len = shim_put(data, 0, DMUX_IPV6, PROVIDER_ANY);

    begin(&member);
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    attacker = host_new(NOBODY, 0x08080808, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(SEC);
    self = at(hosts[c].addr, 4000);
    source = info_of(c).address;
    len += packet_make(data + len, &source, &server);
    passed = router_stats_get(hosts[r].router)->rx_pkts;
    dropped = router_stats_get(hosts[r].router)->drops[ROUTER_DROP_ADMISSION];
    post(attacker, &self, &service, data, len);
    world_run(ROUND);
    assert_int_equal(router_stats_get(hosts[r].router)->rx_pkts, passed);
    assert_int_equal(router_stats_get(hosts[r].router)->drops[ROUTER_DROP_ADMISSION], dropped + 1);
}

/* Many DEMANDs, of anybody: one application a second at most, and packets go on. */
static void test_flood_of_demands(void **state)
{
    const struct endpoint service = at(SERVICE, DMUX_PORT);
    struct word w = { .type = WORD_DEMAND };
    uint8_t data[100], *nonce = data + SHIM_LEN + WORD_HEADER_LEN;
    struct endpoint to;
    unsigned g, r, c, by;
    size_t len = shim_put(data, SHIM_WORD, DMUX_IPV6, 100);

    begin(&member);
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(3 * SEC);
    to = at(hosts[c].addr, 4000);
    len += word_write(&w, data + len, sizeof(data) - len);
    for (unsigned i = 0; i < 10000; i++) {
        put_be32(nonce, i);
        post(g, &service, &to, data, len);
        world_run(MSEC);
    }
    assert_in_range(said[WORD_ADMIT].count, 2, 12); /* 10 s */
    world_run(2 * APPLICANT_LATER);
    assert_int_equal(info_of(c).admission.state, APPLICANT_ADMITTED);
    assert_true(client_sends(c, &by));
    assert_int_equal(door_of(r).clients, 1);
}

/* The router has forgotten everybody: the next packet is answered by a DEMAND, what follows is held, and nothing but
 * what was under way is lost: 20 ms, two packets of one each 10 ms. */
static void test_router_restarts(void **state)
{
    unsigned g, r, c;
    uint64_t passed;

    begin(&member);
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(3 * SEC + DELAY);
    router_restart(r);
    world_run(SEC);
    said[WORD_ADMIT].count = 0;
    passed = stream(c, 50, 10 * MSEC);
    assert_int_equal(said[WORD_ADMIT].count, 1);
    assert_in_range(passed, 48, 50);
    assert_int_equal(info_of(c).admission.lost, 0);
    assert_int_equal(info_of(c).admission.state, APPLICANT_ADMITTED);
    printf("# restart: %u of 50 packets lost, round trip %d ms, a packet each 10 ms\n", (unsigned)(50 - passed),
           (int)(ROUND / MSEC));
}

/* Anycast leads elsewhere, to a gateway whose router knows nobody: the same, while packets go on. */
static void test_moved(void **state)
{
    unsigned g1, g2, r1, r2, c;
    uint64_t passed;

    begin(&member);
    g1 = gateway_at(1);
    g2 = gateway_at(2);
    r1 = router_at(0xcb007109, g1);
    r2 = router_at(0xcb00710a, g2);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g1);
    world_run(3 * SEC);
    assert_true(stream(c, 50, 10 * MSEC) >= 50);
    hosts[c].nearest = g2;
    said[WORD_ADMIT].count = 0;
    passed = stream(c, 50, 10 * MSEC);
    assert_int_equal(said[WORD_ADMIT].count, 1);
    assert_in_range(passed, 48, 50);
    assert_true(router_stats_get(hosts[r2].router)->rx_pkts > 0);
    assert_int_equal(door_of(r1).clients + door_of(r2).clients, 2);
    printf("# move: %u of 50 packets lost, round trip %d ms, a packet each 10 ms\n", (unsigned)(50 - passed),
           (int)(ROUND / MSEC));
}

/* The gateway says that another router serves, before there is anything to send: nothing is lost. */
static void test_known_move(void **state)
{
    unsigned g, c, by, other;

    begin(&member);
    g = gateway_at(1);
    router_at(0xcb007109, g);
    other = router_at(0xcb00710a, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(40 * SEC); /* shares of new routers have grown */
    assert_true(client_sends(c, &by));
    other = by == other ? other - 1 : other;
    assert_int_equal(door_of(other).clients, 0);
    hosts[by].dead = true;
    /* silence 3 s, the next HELLO and ECHO within 5 s, and an exchange with the other router */
    world_run(ROUTER_SILENCE + CLIENT_HELLO_EVERY + SEC);
    assert_int_equal(info_of(c).router_changes, 1);
    assert_int_equal(door_of(other).clients, 1);
    assert_true(stream(c, 50, 10 * MSEC) >= 50);
    assert_int_equal(info_of(c).admission.lost, 0);
}

/* A table that is full refuses the new and keeps whom it has. */
static void test_full(void **state)
{
    static struct credential second;
    static struct peer_key both[2];
    unsigned g, r, c, late, by;

    begin(&member);
    asks.clients_max = 1;
    asks.members = both;
    asks.members_count = 2;
    identity_peer_key(&member, 3, &both[0]);
    identity_peer_key(&stranger, 3, &both[1]);
    second = credential;
    second.identity = stranger;
    g = gateway_at(1);
    r = router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(SEC);
    next_credentials = &second;
    late = client_at(CLIENT_ADDR + 1, g);
    world_run(SEC);
    assert_int_equal(info_of(late).admission.state, APPLICANT_REFUSED);
    assert_int_equal(info_of(late).admission.refusal, WORD_REFUSED_FULL);
    assert_true(client_sends(c, &by));
    /* a place is free when its owner's time is over */
    hosts[c].dead = true;
    world_run((LIFETIME_S + 60) * SEC);
    assert_int_equal(info_of(late).admission.state, APPLICANT_ADMITTED);
    assert_int_equal(door_of(r).clients, 1);
}

/* A provider that asks nobody: what has credentials does not show them, and waits for one answer alone. */
static void test_open(void **state)
{
    unsigned g, c, by;

    begin(&member);
    next_admission = NULL;
    g = gateway_at(1);
    router_at(0xcb007109, g);
    world_run(SEC);
    c = client_at(CLIENT_ADDR, g);
    world_run(2 * DELAY + 2 * ROUND);
    assert_int_equal(info_of(c).admission.state, APPLICANT_UNASKED);
    assert_true(client_sends(c, &by));
    assert_int_equal(said[WORD_ADMIT].count, 0);
    assert_int_equal(said[WORD_OPEN].count, 1);
}

static int teardown(void **state)
{
    world_begin();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admitted),
        cmocka_unit_test(test_key_is_not_seen),
        cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_without),
        cmocka_unit_test(test_other_provider),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_spoofed),
        cmocka_unit_test(test_renewed_and_expired),
        cmocka_unit_test(test_flood_of_demands),
        cmocka_unit_test(test_router_restarts),
        cmocka_unit_test(test_moved),
        cmocka_unit_test(test_known_move),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_open),
    };

    return cmocka_run_group_tests(tests, NULL, teardown);
}
