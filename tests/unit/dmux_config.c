/* Unit tests of prog/dmux_config and prog/bird_config: texts by hand, each error at its line. */
#include "prog/bird_config.h"
#include "tests/unit/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char lines[8192];
static char serves_path[] = "/tmp/hawser-dmux-serves-XXXXXX"; /* chain of a gateway that serves */
static char named_path[] = "/tmp/hawser-dmux-named-XXXXXX";   /* of whoever the test wants */
static char secret_path[] = "/tmp/hawser-dmux-secret-XXXXXX";
#define EIGHTS "CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=" /* base64 of 8, 32 times */

static char public_key[KEY_TEXT_SIZE]; /* of the secret there: */
static char key_path[] = "/tmp/hawser-dmux-key-XXXXXX";
static char chain_path[] = "/tmp/hawser-dmux-chain-XXXXXX"; /* of that key, */
static char other_path[] = "/tmp/hawser-dmux-chain-XXXXXX"; /* and of another */
static size_t chain_len;

static int parse(const char *data, struct dmux_config **ret)
{
    struct text errors;

    text_init(&errors, lines, sizeof(lines));
    return dmux_config_parse("f", data, strlen(data), &errors, ret);
}

static void refuses(const char *data, const char *expected)
{
    struct dmux_config *c = NULL;

    assert_true(parse(data, &c) < 0);
    assert_null(c);
    assert_string_equal(lines, expected);
}

static struct identity own;

/* A chain of a root whose key is 32 times this byte, a realm below it (none if it is the root's own), and our own key.
 */
static int make_chain(const char *path, uint8_t root, const char *realm, const char *name, uint8_t flags)
{
    struct record r[3] = {
        { .type = RECORD_ROOT, .seq = 1, .issued_s = 1750000000, .suites = 3, .name = "example" },
        { .type = RECORD_DELEGATION, .seq = 2, .issued_s = 1750000000, .not_after_s = 1760000000, .tiers = 15 },
        { .type = RECORD_REGISTRATION, .seq = 3, .issued_s = 1750000000, .suites = 3, .flags = flags },
    };
    uint8_t bytes[RECORD_BYTES_MAX];
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    struct tag issuer;
    size_t len;
    int e = fd < 0 ? -1 : 0;

    memset(r[0].key, root, IDENT_KEY_LEN);
    memset(r[1].key, 9, IDENT_KEY_LEN);
    memcpy(r[2].key, own.ed25519, IDENT_KEY_LEN);
    memcpy(r[2].x25519, own.x25519, IDENT_KEY_LEN);
    snprintf(r[1].name, sizeof(r[1].name), "%s", realm);
    snprintf(r[2].name, sizeof(r[2].name), "%s.%s", name, *realm ? realm : "example");
    r[1].range = (struct realm_range){ 0x100, 4 };
    for (size_t i = 0; i < 3 && e == 0; i++) {
        uint16_t hda = TAG_HDA(TAG_TIER_SERVICE, i > 0 ? 0x100 : 0);

        if (i == 1 && !*realm)
            continue;
        e = tag_make(r[i].key, TAG_RAA(9), hda, &r[i].subject);
        r[i].issuer = i > 0 ? issuer : r[i].subject;
        issuer = r[i].subject;
        if (e == 0)
            e = record_encode(&r[i], own.ed25519_seed, bytes, sizeof(bytes), &len);
        if (e == 0 && write(fd, bytes, len) != (ssize_t)len)
            e = -1;
    }
    return close(fd) < 0 ? -1 : e;
}

/* The public key for each @. */
static void fill_keys(char *data, size_t size)
{
    char rest[2048];

    for (char *at; (at = strchr(data, '@'));) {
        snprintf(rest, sizeof(rest), "%s", at + 1);
        snprintf(at, size - (size_t)(at - data), "%s%s", public_key, rest);
    }
}

static void test_client(void **state)
{
    struct dmux_config *c = NULL;

    assert_int_equal(parse("# a comment\n[Client]\n  Protocol = ipv6 ; the only one\nGateway = 192.0.2.1:7000\n"
                           "Routes = 2000::/3, 64:ff9b::/96\r\nControl=/x/y.sock\n",
                           &c),
                     0);
    assert_int_equal(c->role, DMUX_ROLE_CLIENT);
    assert_int_equal(c->protocol, 6);
    assert_int_equal(c->provider, PROVIDER_ANY);
    assert_int_equal(c->gateways[0].port, 7000);
    assert_int_equal(c->routes_count, 2);
    assert_int_equal(c->routes[1].len, 96);
    assert_string_equal(c->device, "dmux6");
    assert_string_equal(c->control, "/x/y.sock");
    dmux_config_free(c);
}

static void test_capture(void **state)
{
    struct dmux_config *c = NULL;

    assert_int_equal(parse("[Client]\nProtocol = ipv4\nGateway = 192.0.2.1\nRoutes = 192.0.5.0/24\nCapture = queue\n"
                           "Queue = 65534\nIpProtocol = 253\n",
                           &c),
                     0);
    assert_true(c->queued);
    assert_int_equal(c->queue, 65534);
    assert_int_equal(c->ip_protocol, 253);
    dmux_config_free(c);
    refuses("[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\nRoutes = 192.0.5.0/24\nCapture = queue\n",
            "f:5: found Capture = queue with Protocol = ipv6, expected Protocol = ipv4\n");
    refuses("[Client]\nProtocol = ipv4\nGateway = 192.0.2.1\nCapture = queue\n",
            "f:4: found Capture = queue without Routes, expected both\n");
    refuses("[Client]\nProtocol = ipv4\nGateway = 192.0.2.1\nCapture = queue\nRoutes = 10.0.0.0/8, ::/1, 8000::/1\n",
            "f:5: found Routes of IPv6 with Protocol = ipv4, expected IPv4\n");
    refuses("[Client]\nProtocol = ipv4\nGateway = 192.0.2.1\nIpProtocol = 6\n",
            "f:4: found IpProtocol, expected Capture = queue with it\n");
    refuses("[Client]\nProtocol = ipv4\nGateway = 192.0.2.1\nQueue = 6\n",
            "f:4: found Queue, expected Capture = queue with it\n");
    refuses("[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\nRoutes = 10.0.0.0/8\n",
            "f:4: found Routes of IPv4 with Protocol = ipv6, expected IPv6\n");
    refuses("[Client]\nProtocol = mirror\nGateway = 192.0.2.1\nRoutes = ::/0\n",
            "f:4: found Routes of IPv6 with Protocol = mirror, expected IPv4\n");
    refuses("[Client]\nProtocol = ipv4\nGateway = 192.0.2.1\nRoutes = 192.0.5.0/24\nCapture = nft\nQueue = 65535\n"
            "IpProtocol = 256\n",
            "f:5: found Capture = nft, expected tun or queue\n"
            "f:6: found Queue = 65535, expected a number of 0 to 65534\n"
            "f:7: found IpProtocol = 256, expected a protocol of IP, 0 (all) to 255\n");
}

static void test_authority(void **state)
{
    static const char text[] = "[Gateway]\nId = 1\nService = 192.0.2.1\nPrefix = 192.0.2.0/24\nAddress = 10.0.1.2\n"
                               "SecretFile = %s\n[Authority acme]\n"
                               "Root = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\nRealm = Acme.Example\n"
                               "Providers = %s\nProtocols = ipv6, 4\n";
    struct dmux_config *c = NULL;
    char buf[1024];

    snprintf(buf, sizeof(buf), text, secret_path, "200-299");
    assert_int_equal(parse(buf, &c), 0);
    assert_int_equal(c->authorities_count, 1);
    assert_int_equal(c->authorities[0].root[31], 32);
    assert_string_equal(c->authorities[0].realm, "acme.example");
    assert_int_equal(c->authorities[0].provider_first, 200);
    assert_int_equal(c->authorities[0].provider_last, 299);
    assert_int_equal(c->authorities[0].protocols[1], 4);
    dmux_config_free(c);
    c = NULL;
    snprintf(buf, sizeof(buf), text, secret_path, "200");
    assert_int_equal(parse(buf, &c), 0);
    assert_int_equal(c->authorities[0].provider_last, 200);
    dmux_config_free(c);
    snprintf(buf, sizeof(buf), text, secret_path, "299-200");
    refuses(buf, "f:10: found Providers = 299-200, expected numbers of providers, as 100-199, 2 or more\n");
    refuses("[Router]\nProtocol = ipv6\nProvider = 100\nChainFile = /dev/null\nGateways = 192.0.2.1\n",
            "f:4: ChainFile /dev/null: found no regular file, expected one\n"
            "f:1: found no KeyFile in this section, expected one\n");
}

/* Who finds others by managers says where they are, and where its root's are if its realm is another. */
static void test_managers(void **state)
{
    static const char text[] = "[Gateway]\nId = 1\nService = 192.0.2.1\nPrefix = 192.0.2.0/24\nAddress = 10.0.1.2\n"
                               "SecretFile = %s\n[Mesh]\nKeyFile = %s\nChainFile = %s\n"
                               "Root = " EIGHTS "\nRealm = acme.example\n%s\n";
    struct dmux_config *c = NULL;
    char buf[1024];

    snprintf(buf, sizeof(buf), text, secret_path, key_path, serves_path,
             "Managers = 10.0.0.1:51823, [2001:db8::1]:7\nRootManagers = 10.0.0.2:1");
    assert_int_equal(parse(buf, &c), 0);
    assert_int_equal(c->managers_count, 2);
    assert_true(tag_tier(&c->tag) == TAG_TIER_SERVICE && c->realm_key[0] == 9);
    assert_int_equal(c->managers[1].port, 7);
    assert_int_equal(c->root_managers_count, 1);
    assert_int_equal(c->root_managers[0].port, 1);
    dmux_config_free(c);
    c = NULL;
    snprintf(buf, sizeof(buf), text, secret_path, key_path, serves_path, "");
    assert_int_equal(parse(buf, &c), 0);
    assert_int_equal(c->managers_count, 0);
    dmux_config_free(c);
    snprintf(buf, sizeof(buf), text, secret_path, key_path, serves_path, "Managers = 10.0.0.1:51823");
    refuses(buf, "f:12: found Managers with a Realm that is not the root's own, expected RootManagers too\n");
    snprintf(buf, sizeof(buf), text, secret_path, key_path, serves_path, "RootManagers = 10.0.0.1:51823");
    refuses(buf, "f:12: found RootManagers, expected Managers with it\n");
    assert_int_equal(make_chain(named_path, 8, "acme.example", "dmux-gateway-1.s", 0), 0);
    snprintf(buf, sizeof(buf), text, secret_path, key_path, named_path,
             "Managers = 10.0.0.1:51823\nRootManagers = 10.0.0.2:1");
    refuses(buf, "f:9: found a certificate without leave to serve in ChainFile, expected with Managers one of "
                 "`hawser realm enrol --serves`\n");
    snprintf(buf, sizeof(buf), text, secret_path, key_path, serves_path, "Managers = 10.0.0.1");
    refuses(buf, "f:12: found Managers = 10.0.0.1, expected 1 to 16 addresses, each with a :port, apart by commas\n");
}

/* A seed inside of the prefix would be whichever gateway is nearest. */
static void test_seed(void **state)
{
    struct dmux_config *c = NULL;
    char data[2048];
    size_t n;

    snprintf(data, sizeof(data),
             "[Gateway]\nId = 1\nService = 192.0.2.1\nPrefix = 192.0.2.0/24\nAddress = 10.0.1.2\n"
             "SecretFile = %s\n[Mesh]\nKeyFile = %s\nRoot = " EIGHTS "\nRealm = acme.example\n"
             "ChainFile = %s\n[Seed a]\nAddress = 10.0.1.2\nPublicKey = @\n",
             secret_path, key_path, serves_path);
    fill_keys(data, sizeof(data));
    assert_int_equal(parse(data, &c), 0);
    dmux_config_free(c);
    n = strlen(data);
    snprintf(data + n, sizeof(data) - n, "[Seed b]\nAddress = 192.0.2.1\nPublicKey = @\n");
    fill_keys(data, sizeof(data));
    refuses(data, "f:15: found [Seed b] at an address inside of Prefix, expected a gateway's own\n");
}

/* By their certificates gateways take each other for one. */
static void test_mesh_chain(void **state)
{
    static const char text[] = "[Gateway]\nId = 1\nService = 192.0.2.1\nPrefix = 192.0.2.0/24\nAddress = 10.0.1.2\n"
                               "SecretFile = %s\n[Mesh]\nKeyFile = %s\nRoot = " EIGHTS "\nRealm = acme.example\n"
                               "ChainFile = %s\n";
    const struct {
        const char *file, *realm, *name;
        uint8_t root;
        const char *expected;
    } rows[] = {
        { secret_path, NULL, NULL, 0,
          "no chain of certificates in ChainFile, expected one as `hawser realm enrol` writes it" },
        { other_path, NULL, NULL, 0,
          "the certificate of another key in ChainFile, expected that of the key in KeyFile" },
        { named_path, "acme.example", "dmux-gateway-1.s", 7,
          "the certificate of another root in ChainFile, expected one that begins at Root" },
        { named_path, "acme.example", "dmux-gateway-2.s", 8,
          "the certificate of dmux-gateway-2.s.acme.example in ChainFile, expected that of "
          "dmux-gateway-1.s.acme.example" },
        { named_path, "acme.example", "dmux-provider-1.s", 8,
          "the certificate of dmux-provider-1.s.acme.example in ChainFile, expected that of "
          "dmux-gateway-1.s.acme.example" },
        { named_path, "other.example", "dmux-gateway-1.s", 8,
          "the certificate of dmux-gateway-1.s.other.example in ChainFile, expected that of "
          "dmux-gateway-1.s.acme.example" },
    };
    char data[1024], expected[512];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].realm)
            assert_int_equal(make_chain(named_path, rows[i].root, rows[i].realm, rows[i].name, 0), 0);
        snprintf(data, sizeof(data), text, secret_path, key_path, rows[i].file);
        snprintf(expected, sizeof(expected), "f:11: found %s\n", rows[i].expected);
        refuses(data, expected);
    }
}

/* A router that tells of an agent needs to know it, and no other may. */
static void test_offers(void **state)
{
    struct dmux_config *c = NULL;
    char data[1024];

    snprintf(data, sizeof(data), "[Router]\nProtocol = hawser\nProvider = 100\nKeyFile = %s\nGateways = 192.0.2.1\n",
             key_path);
    refuses(data, "f:2: found Protocol = hawser without Offer, expected both\n"
                  "f:2: found Protocol = hawser without OfferChain, expected both\n");
    assert_int_equal(make_chain(named_path, 8, "", "agent-north.s", 0), 0);
    snprintf(data, sizeof(data),
             "[Router]\nProtocol = hawser\nProvider = 100\nKeyFile = %s\nGateways = 192.0.2.1\n"
             "Offer = 203.0.113.2, [2001:db8::1]:443\nOfferChain = %s\n",
             key_path, named_path);
    assert_int_equal(parse(data, &c), 0);
    assert_int_equal(c->offers_count, 2);
    assert_int_equal(c->offers[0].port, 51820);
    assert_int_equal(c->offers[1].port, 443);
    assert_true(c->offer_chain_len > 0);
    dmux_config_free(c);
    assert_int_equal(make_chain(named_path, 8, "", "dmux-gateway-1.s", 0), 0);
    refuses(data,
            "f:7: found the certificate of dmux-gateway-1.s.example in OfferChain, expected that of agent.s.example "
            "or agent-ANY.s.example\n");
    assert_int_equal(make_chain(named_path, 8, "acme.example", "agent.s", 0), 0); /* not by the root's realm itself */
    refuses(data, "f:7: found the certificate of agent.s.acme.example in OfferChain, expected that of agent.s.example "
                  "or agent-ANY.s.example\n");
    snprintf(strstr(data, named_path), sizeof(secret_path), "%s", secret_path);
    refuses(data,
            "f:7: found no chain of certificates in OfferChain, expected one as `hawser realm enrol` writes it\n");
    memcpy(strstr(data, "hawser"), "mirror", 6);
    refuses(data, "f:6: found Offer with Protocol = mirror, expected none: it has no effect there\n"
                  "f:7: found OfferChain with Protocol = mirror, expected none: it has no effect there\n");
    *strstr(data, "OfferChain") = '\0';
    refuses(data, "f:6: found Offer with Protocol = mirror, expected none: it has no effect there\n");
    refuses("[Router]\nOffer = 224.0.0.1\n",
            "f:2: found Offer = 224.0.0.1, expected an address of the agent, with or without :port\n"
            "f:1: found no Protocol in this section, expected one\n"
            "f:1: found no Provider in this section, expected one\n"
            "f:1: found no KeyFile in this section, expected one\n"
            "f:1: found no Gateways in this section, expected one\n");
}

/* What a protocol does not need has no effect, and what it needs it judges itself. */
static void test_needs(void **state)
{
    static const char text[] = "[Router]\nProvider = 100\nGateways = 192.0.2.1\nKeyFile = %s\nProtocol = %s\n";
    static const struct {
        const char *more, *expected;
    } rows[] = {
        { "ipv6", "f:5: found Protocol = ipv6 without Clients, expected both\n" },
        { "ipv4", "f:5: found Protocol = ipv4 without Clients, expected both\n" },
        { "ipv6\nClients = 2001:db8::/56",
          "f:6: found Clients that Protocol = ipv6 does not take, expected an IPv6 prefix of 64 bits\n" },
        { "ipv6\nClients = 198.51.100.0/24",
          "f:6: found Clients that Protocol = ipv6 does not take, expected an IPv6 prefix of 64 bits\n" },
        { "ipv4\nClients = 2001:db8::/64",
          "f:6: found Clients that Protocol = ipv4 does not take, expected an IPv4 prefix\n" },
        { "mirror\nClients = 10.77.0.0/16",
          "f:6: found Clients with Protocol = mirror, expected none: it has no effect there\n" },
        { "mirror\nAdmission = 60\nAdmissions = 9", "f:6: found Admission, expected [Admit NAME] with it\nf:7: found "
                                                    "Admissions, expected [Admit NAME] with it\n" },
    };
    char data[1024];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(data, sizeof(data), text, key_path, rows[i].more);
        refuses(data, rows[i].expected);
    }
}

/* A router's certificate says which provider it is of, and perhaps for which protocols. */
static void test_router_chain(void **state)
{
    static const char text[] = "[Router]\nProvider = 100\nGateways = 192.0.2.1\nKeyFile = %s\nProtocol = ipv6\n"
                               "Clients = 2001:db8::/64\nChainFile = %s\n";
    static const char *const good[] = { "dmux-provider-100.s", "dmux-provider-100-6.s", "dmux-provider-100-4-6.s" },
                             *const bad[] = { "dmux-provider-101.s", "dmux-provider-100-4.s", "dmux-gateway-100.s",
                                              "provider.s" };
    struct dmux_config *c = NULL;
    char data[1024], expected[512];

    snprintf(data, sizeof(data), text, key_path, named_path);
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_int_equal(make_chain(named_path, 8, "acme.example", good[i], 0), 0);
        assert_int_equal(parse(data, &c), 0);
        dmux_config_free(c);
        c = NULL;
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(make_chain(named_path, 8, "acme.example", bad[i], 0), 0);
        snprintf(expected, sizeof(expected),
                 "f:7: found the certificate of %s.acme.example in ChainFile, expected that of "
                 "dmux-provider-100.s or dmux-provider-100-6.s\n",
                 bad[i]);
        refuses(data, expected);
    }
    snprintf(data, sizeof(data), text, key_path, other_path);
    refuses(data, "f:7: found the certificate of another key in ChainFile, expected that of the key in KeyFile\n");
    snprintf(data, sizeof(data), text, key_path, secret_path);
    refuses(data, "f:7: found no chain of certificates in ChainFile, expected one as `hawser realm enrol` writes it\n");
}

/* Of lists, the word that is wrong; of files, why. */
static void test_words(void **state)
{
    static const struct {
        const char *lines, *expected;
    } rows[] = {
        { "[Provider a]\nProtocols = ipv6, ipx\n",
          "found Protocols = ipx, expected ipv4, ipv6, hawser or mirror, or a number of 1 to 65535" },
        { "[Provider a]\nProtocols = 65536\n",
          "found Protocols = 65536, expected ipv4, ipv6, hawser or mirror, or a number of 1 to 65535" },
        { "[Provider a]\nProtocols = 0x\n",
          "found Protocols = 0x, expected ipv4, ipv6, hawser or mirror, or a number of 1 to 65535" },
        { "[Provider a]\nProtocols = -1\n",
          "found Protocols = -1, expected ipv4, ipv6, hawser or mirror, or a number of 1 to 65535" },
        { "[Provider a]\nProtocols = 1 2 3 4 5 6 7 8 9\n",
          "found Protocols = 1 2 3 4 5 6 7 8 9, expected at most 8 protocols" },
        { "[Client]\nRoutes = 2000::/3, 2000::1/3\n",
          "found Routes = 2000::1/3, expected a prefix, as 2001:db8:1::/64, without bits of a host" },
        { "[Client]\nGateway = 192.0.2.1 192.0.2.2\n", "found Gateway = 192.0.2.1 192.0.2.2, expected one address" },
        { "[Router]\nGateways = 192.0.2.1, 192.0.2.2:0\n",
          "found Gateways = 192.0.2.2:0, expected an IPv4 address, with or without :port" },
        { "[Router]\nProtocol = 7\n", "found Protocol = 7, expected ipv4, ipv6, hawser or mirror" },
        { "[Router]\nChainFile = /tmp/hawser-dmux-none\n",
          "ChainFile /tmp/hawser-dmux-none: No such file or directory" },
        { "[Router]\nOfferChain = /tmp\n", "OfferChain /tmp: found no regular file, expected one" },
    };
    char expected[512], data[512], many[CREDENTIAL_CHAIN_MAX + 1] = "";
    struct text errors;
    FILE *f;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct dmux_config *c = NULL;

        assert_true(parse(rows[i].lines, &c) < 0);
        snprintf(expected, sizeof(expected), "f:2: %s\n", rows[i].expected);
        assert_memory_equal(lines, expected, strlen(expected)); /* and behind it which keys are missing */
    }
    for (size_t len = 0; len <= sizeof(many); len += sizeof(many)) {
        struct dmux_config *c = NULL;

        f = fopen(named_path, "w");
        assert_true(f && fwrite(many, 1, len, f) == len && fclose(f) == 0);
        snprintf(data, sizeof(data), "[Credential a]\nChainFile = %s\n", named_path);
        text_init(&errors, lines, sizeof(lines));
        assert_true(dmux_config_parse("f", data, strlen(data), &errors, &c) < 0);
        snprintf(
            expected, sizeof(expected),
            "f:2: ChainFile %s: found %zu bytes, expected a chain of 1 to 1100, as `hawser realm enrol` writes it\n",
            named_path, len);
        assert_memory_equal(lines, expected, strlen(expected));
    }
}

/* A protocol's number as documents write it. */
static void test_protocol_numbers(void **state)
{
    struct dmux_config *c = NULL;

    assert_int_equal(parse("[Client]\nProtocol = 0xff01\nGateway = 192.0.2.1\n", &c), 0);
    assert_int_equal(c->protocol, 65281);
    dmux_config_free(c);
    assert_int_equal(protocol_parse("0x0110"), 0x110);
    assert_int_equal(protocol_parse("0xFFFF"), 0xffff);
    assert_int_equal(protocol_parse("65535"), 0xffff);
    assert_int_equal(protocol_parse("0x10000"), 0);
    assert_int_equal(protocol_parse("99999999999999999999999"), 0);
    assert_int_equal(protocol_parse("0x0x5"), 0);
    assert_int_equal(protocol_parse("+6"), 0);
    assert_int_equal(protocol_parse(" 6"), 0);
    assert_int_equal(protocol_parse("ff"), 0);
    assert_int_equal(protocol_parse(""), 0);
}

#define ROUTER                                                                                                         \
    "[Router]\nProtocol = %s\nProvider = 100\nKeyFile = %s\nGateways = 192.0.2.1\nAdmission = 60\nAdmissions = 9\n"
#define REALM "Root = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\nRealm = Acme.Example\n"

/* Whom a router lets in: keys and realms. */
static void test_admit(void **state)
{
    struct dmux_config *c = NULL;
    char data[2048], many[1024] = "";

    snprintf(data, sizeof(data), ROUTER "[Admit one]\nPublicKey = %s\n[Admit all]\n" REALM, "mirror", key_path,
             public_key);
    assert_int_equal(parse(data, &c), 0);
    assert_int_equal(c->members_count, 1);
    assert_memory_equal(c->members[0].x25519, c->identity.x25519, IDENT_KEY_LEN);
    assert_int_equal(c->realms_count, 1);
    assert_string_equal(c->realms[0].realm, "acme.example");
    assert_int_equal(c->realms[0].root[31], 32);
    assert_int_equal(c->admission_s, 60);
    assert_int_equal(c->admissions_max, 9);
    dmux_config_free(c);
    snprintf(data, sizeof(data), ROUTER "[Admit a]\nPublicKey = %s\n" REALM "[Admit b]\nRealm = a.b\n[Admit c]\n",
             "mirror", key_path, public_key);
    refuses(data, "f:8: found a key and a realm in [Admit a], expected PublicKey, or Root and Realm\n"
                  "f:12: found Realm without Root in [Admit b], expected PublicKey, or Root and Realm\n"
                  "f:14: found nothing in [Admit c], expected PublicKey, or Root and Realm\n");
    for (unsigned i = 0; i < ADMISSION_REALMS_MAX + 1; i++)
        snprintf(many + strlen(many), sizeof(many) - strlen(many), "[Admit r%u]\n" REALM, i);
    snprintf(data, sizeof(data), ROUTER "%s", "mirror", key_path, many);
    refuses(data, "f:32: found more than 8 realms in sections [Admit ...], expected fewer\n");
    assert_int_equal(make_chain(named_path, 8, "", "agent.s", 0), 0);
    snprintf(data, sizeof(data), ROUTER "Offer = 192.0.2.9\nOfferChain = %s\n[Admit a]\n" REALM, "hawser", key_path,
             named_path);
    refuses(data, "f:10: found [Admit a] with Protocol = hawser, expected none: nodes show nothing\n");
    refuses("[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\n[Admit a]\n" REALM,
            "f:4: found [Admit a] with [Client], expected it with [Router] alone\n");
    refuses("[Router]\nAdmission = 9\nAdmissions = 0\n", "f:2: found Admission = 9, expected seconds, 10 to 86400\n"
                                                         "f:3: found Admissions = 0, expected a number of 1 to 65536\n"
                                                         "f:1: found no Protocol in this section, expected one\n"
                                                         "f:1: found no Provider in this section, expected one\n"
                                                         "f:1: found no KeyFile in this section, expected one\n"
                                                         "f:1: found no Gateways in this section, expected one\n");
}

/* What a client shows, and to whom. */
static void test_credential(void **state)
{
    static const char text[] = "[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\nProvider = %s\n[Credential mine]\n"
                               "Provider = 100\nProviderKey = %s\nKeyFile = %s\nChainFile = %s\n%s";
    struct dmux_config *c = NULL;
    char data[2048], second[512];

    snprintf(data, sizeof(data), text, "any", public_key, key_path, chain_path, "");
    assert_int_equal(parse(data, &c), 0);
    assert_int_equal(c->credentials_count, 1);
    assert_int_equal(c->credentials[0].provider, 100);
    assert_int_equal(c->credentials[0].chain_len, chain_len);
    assert_memory_equal(c->credentials[0].to.x25519, c->credentials[0].identity.x25519, IDENT_KEY_LEN);
    dmux_config_free(c);
    snprintf(data, sizeof(data), text, "101", public_key, key_path, chain_path, "");
    refuses(data, "f:5: found Provider = 100 in [Credential mine], expected the client's, 101\n");
    snprintf(second, sizeof(second), "[Credential again]\nProvider = 100\nProviderKey = %s\nKeyFile = %s\n", public_key,
             key_path);
    snprintf(data, sizeof(data), text, "100", public_key, key_path, chain_path, second);
    refuses(data, "f:10: found Provider = 100 in [Credential again] as in [Credential mine] (line 5), expected one "
                  "section for it\n");
    snprintf(data, sizeof(data), ROUTER "%s", "mirror", key_path, second);
    refuses(data, "f:8: found [Credential again] with [Router], expected it with [Client] alone\n");
    refuses("[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\n[Credential a]\nProvider = 1\nProviderKey = no\n",
            "f:5: found Provider = 1, expected a provider's number, 2 to 4294967295\n"
            "f:6: found ProviderKey = no, expected a public key, as `hawser keygen` prints it\n"
            "f:4: found no KeyFile in this section, expected one\n");
    snprintf(data, sizeof(data), text, "any", public_key, key_path, secret_path, "");
    refuses(
        data,
        "f:5: found no chain of certificates in ChainFile of [Credential mine], expected one as `hawser realm enrol` "
        "writes it\n");
    snprintf(data, sizeof(data), text, "any", public_key, key_path, other_path, "");
    refuses(data,
            "f:5: found the certificate of another key in ChainFile of [Credential mine], expected that of the key in "
            "KeyFile\n");
}

static void test_errors(void **state)
{
    refuses("", "f: found no role, expected one of [Gateway], [Router] and [Client]\n");
    refuses("Id = 1\n", "f:1: found Id before any section, expected [Gateway], [Router] or [Client]\n");
    refuses("[Clint]\n",
            "f:1: found [Clint], expected [Gateway], [Provider NAME], [Authority NAME], [Mesh], [Seed NAME], "
            "[Federation NAME], [Border NAME], [Bgp], [Neighbor NAME], [Ospf], [Router], [Admit NAME], [Client] or "
            "[Credential NAME] (did you mean [Client]?)\n");
    refuses("[Client]\nProtocol = ipv6\nGatewy = 192.0.2.1\nGateway = 192.0.2.1\n",
            "f:3: found Gatewy, expected a key of [Client] (did you mean Gateway?)\n");
    refuses("[Client]\nProtocol = ipv6\n", "f:1: found no Gateway in this section, expected one\n");
    refuses("[Client]\nProtocol = ipv7\nGateway = 2001:db8::1\n",
            "f:2: found Protocol = ipv7, expected ipv4, ipv6 or mirror\n"
            "f:3: found Gateway = 2001:db8::1, expected an IPv4 address, with or without :port\n");
    refuses("[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\n\nProtocol = ipv6\n",
            "f:5: found Protocol again, expected it once (first in line 2)\n");
    refuses("[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\n[Router]\n",
            "f:4: found [Router] too, expected one of [Gateway], [Router] and [Client]\n");
    refuses("[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\nProvider = 1\n",
            "f:4: found Provider = 1, expected any, or a provider's number, 2 to 4294967295\n");
    refuses("[Client]\nProtocol\n", "f:2: found Protocol, expected Key = value\n"
                                    "f:1: found no Protocol in this section, expected one\n"
                                    "f:1: found no Gateway in this section, expected one\n");
    refuses("[Client]\nPort = 65536\nProtocol = ipv6\nGateway = 192.0.2.1\n",
            "f:2: found Port = 65536, expected a port of 0 to 65535\n");
    refuses("[Client]\nProtocol = hawser\nGateway = 192.0.2.1\n",
            "f:2: found Protocol = hawser, expected ipv4, ipv6 or mirror\n");
    refuses("[Provider]\n", "f:1: found [Provider], expected a name of 1 to 15 letters, digits and _\n");
    refuses("[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\n[Client]\n",
            "f:4: found [Client] again, expected it once (first in line 1)\n");
    refuses("[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\n[Bgp]\nAs = 1\n",
            "f:4: found [Bgp] with [Client], expected it with [Gateway] alone\n");
    refuses("[Neighbor up]\nAddress = 10.0.1.1\nAs = 65001\n[Bgp]\nAs = 65011\n[Admit a]\n[Admit b]\n",
            "f:1: found [Neighbor up], expected [Gateway] as well\n"
            "f:6: found [Admit a], expected [Router] as well\n");
    refuses("[Provider a b]\n", "f:1: found [Provider a b], expected a name of 1 to 15 letters, digits and _\n");
}

#define GATEWAY                                                                                                        \
    "[Gateway]\nId = 3\nService = 192.0.2.1\nPrefix = 192.0.2.0/24\nAddress = 10.0.1.2\nSecretFile = %s\n"             \
    "[Bgp]\nAs = 65011\n[Neighbor up]\nAddress = 10.0.1.1\nAs = 65001\n"

static void test_gateway(void **state)
{
    struct dmux_config *c = NULL;
    static char bird[8192];
    char data[1024];
    struct text t;

    snprintf(data, sizeof(data), GATEWAY, secret_path);
    assert_int_equal(parse(data, &c), 0);
    assert_int_equal(c->id, 3);
    assert_int_equal(c->secret[0], 0x6b); /* base64 of 'k', 32 times: a2tr... */
    assert_int_equal(c->secret[31], 0x6b);
    text_init(&t, bird, sizeof(bird));
    assert_int_equal(bird_config_write(c, &t), 0);
    assert_non_null(strstr(bird, "interface \"dmux0\";"));
    assert_non_null(strstr(bird, "if net = 192.0.2.0/24 && source = RTS_DEVICE then accept;"));
    assert_non_null(strstr(bird, "local as 65011;\n    neighbor 10.0.1.1 as 65001;"));
    assert_non_null(strstr(bird, "router id 10.0.1.2;"));
    dmux_config_free(c);
    assert_int_equal(chmod(secret_path, 0644), 0); /* what others may read is no secret */
    assert_true(parse(data, &c) < 0);
    snprintf(data, sizeof(data), "f:6: SecretFile %s: found mode 0644, expected 0600: others may read it\n",
             secret_path);
    assert_string_equal(lines, data);
    assert_int_equal(chmod(secret_path, 0600), 0);
    refuses("[Gateway]\nId = 0\n", "f:2: found Id = 0, expected a number of 1 to 4294967295\n"
                                   "f:1: found no Service in this section, expected one\n"
                                   "f:1: found no Prefix in this section, expected one\n"
                                   "f:1: found no Address in this section, expected one\n"
                                   "f:1: found no SecretFile in this section, expected one\n");
}

/* Inside a provider, and not to the world. */
static void test_ospf(void **state)
{
    static const char text[] = "[Gateway]\nId = 3\nService = 192.0.2.1\nPrefix = 192.0.2.0/24\nAddress = 10.0.1.2\n"
                               "SecretFile = %s\n[Ospf]\nInterface = eth7\nArea = 5\n%s";
    struct dmux_config *c = NULL;
    static char bird[8192];
    char data[1024];
    struct text t;

    snprintf(data, sizeof(data), text, secret_path, "");
    assert_int_equal(parse(data, &c), 0);
    text_init(&t, bird, sizeof(bird));
    assert_int_equal(bird_config_write(c, &t), 0);
    assert_non_null(strstr(bird, "protocol ospf v2"));
    assert_non_null(strstr(bird, "area 5 {\n        interface \"eth7\" {"));
    assert_non_null(strstr(bird, "export filter dmux_announced;"));
    assert_null(strstr(bird, "protocol bgp"));
    dmux_config_free(c);
    snprintf(data, sizeof(data), text, secret_path, "[Bgp]\nAs = 65011\n");
    refuses(data, "f:7: found [Ospf] and [Bgp] (line 10), expected one of them\n");
}

/* Addresses that would send a gateway's own traffic to another gateway, or leave the service unannounced. */
static void test_gateway_addresses(void **state)
{
    char data[1024];

    snprintf(data, sizeof(data),
             "[Gateway]\nId = 3\nService = 192.0.3.1\nPrefix = 192.0.2.0/24\nAddress = 192.0.2.9\nSecretFile = %s\n",
             secret_path);
    refuses(data, "f:3: found a Service outside of Prefix, expected it inside\n"
                  "f:5: found the gateway's Address inside of Prefix, expected one that other gateways do not have\n");
}

/* Of a gateway: keys and sections that do not go together, each where it stands. */
static void test_gateway_together(void **state)
{
    static const char text[] = "[Gateway]\nId = 3\nService = 192.0.2.1\nPrefix = 192.0.2.0/24\nAddress = 10.0.1.2\n"
                               "SecretFile = %s\n%s";
    static const struct {
        const char *more, *expected;
    } rows[] = {
        { "DataPath = xdp\n", "f:7: found DataPath = xdp without Interface, expected both\n" },
        { "DataPath = xdp\nInterface = eth0\nNetworkRate = 9\n",
          "f:9: found NetworkRate with DataPath = xdp, expected no limit, or DataPath = user\n" },
        { "Interface = eth0\n", "f:7: found Interface, expected DataPath = xdp with it\n" },
        { "Port = 0\n", "f:7: found Port = 0, expected a port of 1 to 65535\n" },
        { "[Bgp]\nAs = 1\n[Seed far]\nAddress = 10.0.2.2\nPublicKey = @\n",
          "f:9: found [Seed far], expected [Mesh] as well\n" },
        { "[Neighbor up]\nAddress = 10.0.1.1\nAs = 65001\n", "f:7: found [Neighbor up], expected [Bgp] as well\n" },
        { "[Provider a]\nId = 100\nPublicKey = @\nProtocols = ipv6\n"
          "[Provider b]\nId = 101\nPublicKey = @\nProtocols = ipv6\n"
          "[Provider c]\nId = 100\nPublicKey = @\nProtocols = ipv6\n"
          "[Provider d]\nId = 100\nPublicKey = @\nProtocols = ipv6\n",
          "f:15: found Id = 100 in [Provider c], expected another than [Provider a] has (line 7)\n"
          "f:19: found Id = 100 in [Provider d], expected another than [Provider a] has (line 7)\n" },
        { "[Bgp]\nAs = 1\n[Neighbor a]\nAddress = 10.0.1.1\nAs = 2\n[Neighbor a]\nAddress = 10.0.1.3\nAs = 3\n",
          "f:12: found [Neighbor a] again, expected it once (first in line 9)\n" },
        { "[Provider a]\nId = 100\nPublicKey = @\nProtocols = ipv6\n"
          "[Provider a]\nId = 101\nPublicKey = @\nProtocols = ipv6\n",
          "f:11: found [Provider a] again, expected it once (first in line 7)\n" },
    };
    char data[2048];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(data, sizeof(data), text, secret_path, rows[i].more);
        fill_keys(data, sizeof(data));
        refuses(data, rows[i].expected);
    }
}

#define ROOT_KEY "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
#define FEDERATED                                                                                                      \
    "[Gateway]\nId = 3\nService = 192.0.2.1\nPrefix = 192.0.2.0/24\nAddress = 10.0.1.2\nSecretFile = %s\n"             \
    "[Authority own]\nRoot = " ROOT_KEY "\nRealm = a.example\nProviders = 200-299\nProtocols = ipv6\n"                 \
    "[Mesh]\nKeyFile = %s\nChainFile = %s\nRoot = " ROOT_KEY "\nRealm = a.example\n"

/* A section of another provider: name, realm, prefix, numbers. */
static size_t add_federation(char *out, size_t size, const char *name, const char *realm, const char *prefix,
                             const char *numbers)
{
    return (size_t)snprintf(out, size,
                            "[Federation %s]\nRoot = " ROOT_KEY "\nRealm = %s\nPrefix = %s\nProviders = %s\n"
                            "Protocols = ipv6, 65281\n",
                            name, realm, prefix, numbers);
}

static void test_federation(void **state)
{
    struct dmux_config *c = NULL;
    char data[4096];
    size_t n = (size_t)snprintf(data, sizeof(data), FEDERATED, secret_path, key_path, named_path), at;

    assert_int_equal(make_chain(named_path, 'k', "a.example", "dmux-gateway-3.s", 0), 0);
    at = n + add_federation(data + n, sizeof(data) - n, "b", "b.example", "198.18.0.0/24", "300-399");
    at += add_federation(data + at, sizeof(data) - at, "c", "c.example", "198.19.0.0/24", "400-499");
    snprintf(data + at, sizeof(data) - at, "[Border x]\nRealm = c.example\nAddress = 10.0.3.2:7\nPublicKey = %s\n",
             public_key);
    assert_int_equal(parse(data, &c), 0);
    assert_int_equal(c->federations_count, 2);
    assert_string_equal(c->federations[0].name, "b");
    assert_string_equal(c->federations[0].authority.realm, "b.example");
    assert_int_equal(c->federations[0].authority.provider_last, 399);
    assert_int_equal(c->federations[0].authority.protocols[1], 0xff01);
    assert_int_equal(c->federations[0].prefix.len, 24);
    assert_int_equal(c->borders_count, 1);
    assert_int_equal(c->borders[0].realm, 1);
    assert_int_equal(c->borders[0].at.port, 7);
    dmux_config_free(c);

    /* nobody may have two owners, nor two places */
    at = n + add_federation(data + n, sizeof(data) - n, "b", "a.example", "192.0.2.0/25", "299-399");
    refuses(data, "f:17: found the Realm of [Mesh] in [Federation b], expected another operator's\n"
                  "f:17: found a Prefix in [Federation b] that is in that of [Gateway], expected another\n"
                  "f:17: found Providers = 299-399 in [Federation b], expected numbers that [Authority own] does not "
                  "have (200-299)\n");
    at = n + add_federation(data + n, sizeof(data) - n, "b", "b.example", "198.18.0.0/24", "300-399");
    add_federation(data + at, sizeof(data) - at, "c", "b.example", "198.18.0.0/16", "399-400");
    refuses(data, "f:23: found the Realm of [Federation b] in [Federation c] as well, expected another\n"
                  "f:23: found Providers = 399-400 in [Federation c], expected numbers that [Federation b] does not "
                  "have (300-399)\n"
                  "f:23: found a Prefix in [Federation c] that is in that of [Federation b], expected another\n");
    snprintf(data + at, sizeof(data) - at,
             "[Border x]\nRealm = e.example\nAddress = 10.0.3.2\nPublicKey = %s\n"
             "[Border y]\nRealm = b.example\nAddress = 198.18.0.1\nPublicKey = %s\n"
             "[Border z]\nRealm = b.example\nAddress = 10.0.1.2\nPublicKey = %s\n",
             public_key, public_key, public_key);
    refuses(data, "f:23: found Realm = e.example in [Border x], expected one of a [Federation]\n"
                  "f:27: found [Border y] at an address inside of a Prefix, expected a gateway's own\n"
                  "f:31: found [Border z] at this gateway's Address, expected another gateway's\n");
    for (unsigned i = 0; i < 9; i++)
        at += (size_t)snprintf(data + at, sizeof(data) - at,
                               "[Border x%u]\nRealm = b.example\nAddress = 10.0.3.%u\nPublicKey = %s\n", i, i + 1,
                               public_key);
    refuses(data, "f:55: found more than 8 sections [Border ...] of the realm b.example, expected fewer\n");
    refuses("[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\n[Border x]\nRealm = b.example\n",
            "f:4: found no Address in this section, expected one\n"
            "f:4: found no PublicKey in this section, expected one\n");
    n = (size_t)snprintf(data, sizeof(data), GATEWAY, secret_path);
    add_federation(data + n, sizeof(data) - n, "b", "b.example", "198.18.0.0/24", "300-399");
    refuses(data, "f:12: found [Federation b], expected [Mesh] as well\n");
    n = (size_t)snprintf(data, sizeof(data), "[Client]\nProtocol = ipv6\nGateway = 192.0.2.1\n");
    add_federation(data + n, sizeof(data) - n, "b", "b.example", "198.18.0.0/24", "300-399");
    refuses(data, "f:4: found [Federation b] with [Client], expected it with [Gateway] alone\n");
}

/* Files that a file names lie beside it, wherever this process is. */
static void test_files_beside(void **state)
{
    static const char text[] = "[Router]\nProtocol = ipv6\nProvider = 100\nKeyFile = %s\nGateways = 192.0.2.1\n"
                               "Clients = 2001:db8::/64\nChainFile = %s\n";
    char folder[] = "/tmp/hawser-dmux-folder-XXXXXX", path[64], data[512], key[64], chain[64];
    struct dmux_config *c = NULL;
    struct text errors;
    FILE *f;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/conf", folder);
    snprintf(key, sizeof(key), "%s/key", folder);
    snprintf(chain, sizeof(chain), "%s/chain", folder);
    assert_int_equal(symlink(key_path, key), 0);
    assert_int_equal(make_chain(chain, 8, "acme.example", "dmux-provider-100.s", 0), 0);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(data, sizeof(data), text, i ? key_path : "key", i ? chain : "chain");
        f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(data, f) >= 0 && fclose(f) == 0);
        text_init(&errors, lines, sizeof(lines));
        assert_int_equal(dmux_config_load(path, &errors, &c), 0);
        assert_true(c->has_identity);
        assert_true(c->chain_len > 0);
        dmux_config_free(c);
    }
    snprintf(data, sizeof(data), text, "other", "chain");
    text_init(&errors, lines, sizeof(lines));
    assert_true(dmux_config_parse(path, data, strlen(data), &errors, &c) < 0);
    snprintf(data, sizeof(data), "%s:4: KeyFile %s/other: No such file or directory\n", path, folder);
    assert_string_equal(lines, data);
    assert_int_equal(unlink(path) + unlink(key) + unlink(chain) + rmdir(folder), 0);
}

static int write_chain(const struct identity *id, char *path)
{
    struct record r = {
        .type = RECORD_REGISTRATION, .seq = 1, .issued_s = 1750000000, .suites = 3, .name = "c.h.x.example"
    };
    uint8_t bytes[RECORD_BYTES_MAX];
    int fd = mkstemp(path);

    if (fd < 0 || tag_make(id->ed25519, TAG_RAA_DEFAULT, TAG_HDA_DEFAULT, &r.subject) < 0)
        return -1;
    r.issuer = r.subject;
    memcpy(r.key, id->ed25519, IDENT_KEY_LEN);
    memcpy(r.x25519, id->x25519, IDENT_KEY_LEN);
    if (record_encode(&r, id->ed25519_seed, bytes, sizeof(bytes), &chain_len) < 0)
        return -1;
    return write(fd, bytes, chain_len) != (ssize_t)chain_len || close(fd) < 0 ? -1 : 0;
}

static int setup(void **state)
{
    static const char text[] = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=\n";
    char key[KEY_TEXT_SIZE];
    struct peer_key peer;
    struct identity id;
    struct prng p;
    struct rng rng;
    int fd = mkstemp(secret_path);

    if (fd < 0 || write(fd, text, sizeof(text) - 1) != sizeof(text) - 1 || close(fd) < 0)
        return -1;
    prng_init(&p, 1);
    rng = prng_rng(&p);
    fd = mkstemp(key_path);
    if (fd < 0 || identity_generate(&id, &rng) < 0)
        return -1;
    identity_peer_key(&id, 3, &peer);
    peer_key_encode(&peer, public_key);
    identity_secret_encode(&id, key);
    if (write(fd, key, strlen(key)) != (ssize_t)strlen(key) || close(fd) < 0)
        return -1;
    own = id;
    fd = mkstemp(serves_path);
    if (fd < 0 || close(fd) < 0 ||
        make_chain(serves_path, 8, "acme.example", "dmux-gateway-1.s", RECORD_FLAG_SERVES) < 0)
        return -1;
    fd = mkstemp(named_path);
    if (fd < 0 || close(fd) < 0)
        return -1;
    if (write_chain(&id, chain_path) < 0 || identity_generate(&id, &rng) < 0)
        return -1;
    return write_chain(&id, other_path);
}

static int teardown(void **state)
{
    return unlink(secret_path) + unlink(key_path) + unlink(chain_path) + unlink(other_path) + unlink(serves_path) +
           unlink(named_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_client),
        cmocka_unit_test(test_capture),
        cmocka_unit_test(test_authority),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_admit),
        cmocka_unit_test(test_credential),
        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_gateway),
        cmocka_unit_test(test_federation),
        cmocka_unit_test(test_managers),
        cmocka_unit_test(test_ospf),
        cmocka_unit_test(test_gateway_addresses),
        cmocka_unit_test(test_files_beside),
        cmocka_unit_test(test_gateway_together),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_mesh_chain),
        cmocka_unit_test(test_needs),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_protocol_numbers),
        cmocka_unit_test(test_router_chain),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
