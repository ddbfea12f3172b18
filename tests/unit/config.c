/* Unit tests of src/prog/config.c and src/prog/units.c. Files are literals in which @A, @B and @O stand for three
 * public keys and @S for the secret key whose public half is @O. */
#include "prog/config.h"
#include "prog/ini_file.h"
#include "prog/units.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* 64 zero bytes: RFC 4648 gives A for each six zero bits. */
#define SECRET "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
#define PSK "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" /* 01 and 31 zero bytes */

static char key_a[KEY_TEXT_SIZE], key_b[KEY_TEXT_SIZE], key_own[KEY_TEXT_SIZE];

static int make_keys(void **state)
{
    struct peer_key k = { .suites = 1 };
    struct identity id;

    memset(k.ed25519, 0xa1, IDENT_KEY_LEN);
    memset(k.x25519, 0xa2, IDENT_KEY_LEN);
    peer_key_encode(&k, key_a);
    memset(k.ed25519, 0xb1, IDENT_KEY_LEN);
    peer_key_encode(&k, key_b);
    if (identity_secret_decode(SECRET, &id) < 0)
        return -1;
    identity_peer_key(&id, 1, &k);
    peer_key_encode(&k, key_own);
    return 0;
}

static void fill_in(const char *pattern, char *out, size_t size)
{
    struct text t;

    text_init(&t, out, size);
    for (const char *s = pattern; *s; s++) {
        if (s[0] == '@' && s[1] != '\0') {
            s++;
            text_add(&t, "%s", *s == 'A' ? key_a : *s == 'B' ? key_b : *s == 'O' ? key_own : SECRET);
        } else {
            text_add(&t, "%c", *s);
        }
    }
    assert_false(t.overflow);
}

static int parse(const char *pattern, char *errors, size_t size, struct config **ret)
{
    char text[8192];
    struct text t;

    fill_in(pattern, text, sizeof(text));
    text_init(&t, errors, size);
    return config_parse("f", text, strlen(text), &t, ret);
}

static void test_node(void **state)
{
    struct config *c = NULL;
    char errors[4096], text[ENDPOINT_STRLEN];
    static const char file[] = "# a node\n"
                               "[Interface]\n"
                               "  PrivateKey = @S   ; indented, with a comment\n"
                               "MTU=1380 # another\n"
                               "Routes = 10.0.0.0/8, 2001:db8::/32\n"
                               "mode = redundant\r\n"
                               "Rule = 203.0.113.0/24 tcp 443 via wlan0\n"
                               "Rule = any udp 5060 mode redundant\n"
                               "Wait = 1.5h\n"
                               "Offload = tso, gro\n"
                               "CopyDSCP = no\n"
                               "OnAgentLoss = direct\n"
                               "[Link wlan0]\n"
                               "Tier = backup\n"
                               "RateUp = 1.5mbit\n"
                               "Metered = yes\n"
                               "WifiSignal = file:/tmp/signal\n"
                               "SignalLow = -80\n"
                               "Ports = 2\n"
                               "[Link eth0]\n"
                               "[Peer home]\n"
                               "PublicKey = @A\n"
                               "PresharedKey = " PSK "\n"
                               "Endpoint = 192.0.2.1:7, [2001:db8::1]\n"
                               "Endpoint = home.example.net:443\n"
                               "[Names]\n"
                               "Root = root\n"
                               "Manager = 192.0.2.9, [2001:db8::9]:7\n"
                               "[Dns]\n"
                               "Listen = 127.0.0.77\n";

    assert_int_equal(parse(file, errors, sizeof(errors), &c), 0);
    assert_string_equal(errors, "");
    assert_int_equal(c->role, CONFIG_NODE);
    assert_string_equal(c->name, "hawser0");
    assert_string_equal(c->control, "/run/hawser/hawser0.sock");
    assert_string_equal(c->state_dir, "/var/lib/hawser");
    assert_int_equal(c->listen_port, 0);
    assert_int_equal(c->mtu, 1380);
    assert_int_equal(c->routes.mode, CONFIG_ROUTES_LIST);
    assert_int_equal(c->routes.list.count, 2);
    assert_int_equal(c->routes.list.items[1].len, 32);
    assert_int_equal(c->steer.count, 2);
    assert_int_equal(c->steer.fallback.mode, STEER_REDUNDANT);
    assert_int_equal(c->wait, 5400 * SEC);
    assert_int_equal(c->offload, CONFIG_OFFLOAD_TSO | CONFIG_OFFLOAD_GRO);
    assert_int_equal(c->copy_dscp, 0);
    assert_int_equal(c->on_agent_loss, CONFIG_LOSS_DIRECT);
    assert_int_equal(c->ipv6, CONFIG_IPV6_TUNNEL);
    assert_int_equal(c->links_count, 2);
    assert_int_equal(c->links[0].tier, CONFIG_BACKUP);
    assert_int_equal(c->links[0].weight, 100);
    assert_int_equal(c->links[0].rate_up_bps, 1500000);
    assert_int_equal(c->links[0].metered, 1);
    assert_int_equal(c->links[1].metered, 0);
    assert_int_equal(c->links[0].wifi.source, CONFIG_WIFI_FILE);
    assert_string_equal(c->links[0].wifi.file, "/tmp/signal");
    assert_int_equal(c->links[0].signal_low_dbm, -80);
    assert_int_equal(c->links[0].signal_high_dbm, -68);
    assert_ptr_equal(config_link_find(c, "eth0"), &c->links[1]);
    assert_int_equal(c->links[0].ports, 2);
    assert_int_equal(c->links[1].ports, 1);
    assert_int_equal(c->links[1].tier, CONFIG_PRIMARY);
    assert_int_equal(c->links[1].tcp, CONFIG_TCP_AUTO);
    assert_int_equal(c->peers[0].tcp_port, 443);
    assert_int_equal(c->names.answer, CONFIG_ANSWER_FULL);
    assert_int_equal(c->peers_count, 1);
    assert_string_equal(c->peers[0].name, "home");
    assert_int_equal(c->peers[0].key.ed25519[31], 0xa1);
    assert_int_equal(c->peers[0].psk[0], 1);
    assert_int_equal(c->peers[0].endpoints.count, 3);
    assert_string_equal(endpoint_format(&c->peers[0].endpoints.items[1].at, text), "[2001:db8::1]:51820");
    assert_string_equal(c->peers[0].endpoints.items[2].name, "home.example.net");
    assert_int_equal(c->peers[0].endpoints.items[2].at.port, 443);
    assert_int_equal(c->peers[0].endpoints.items[2].at.addr.family, ADDR_NONE);
    assert_string_equal(c->names.root, "root");
    assert_null(c->names.chain);
    assert_int_equal(c->names.managers.count, 2);
    assert_string_equal(endpoint_format(&c->names.managers.items[0].at, text), "192.0.2.9:51823");
    assert_int_equal(c->names.managers.items[1].at.port, 7);
    assert_int_equal(c->dns_listen.count, 1);
    assert_string_equal(endpoint_format(&c->dns_listen.items[0].at, text), "127.0.0.77:53");
    config_free(c);
}

static void test_agent(void **state)
{
    struct config *c = NULL;
    char errors[4096], text[ADDR_STRLEN];
    static const char file[] =
        "\xef\xbb\xbf[Interface]\n" /* a byte order mark */
        "Name = hwsrv\n"
        "PrivateKeyFile = key\n"
        "ListenPort = 443\n"
        "ListenTcp = no\n"
        "Workers = 2\n"
        "RelayFor = E45dX+HwYNj0FSSveMGaE1RKQ+ojyoBBZi+ZtVO2oC0dhlxRLA/DMWeebFT0MrSiMp42ZbLrI4uxhGfATq0q9VgF\n"
        "Address = 10.77.0.1/24, fd00:77::1/64\n"
        "NAT = eth1\n"
        "Announce = 198.51.100.1:443\n"
        "[Peer van]\n"
        "PublicKey = @A\n"
        "Address = 10.77.0.9\n"
        "AllowedPrefixes = 10.99.0.0/16\n"
        "AllowedDestinations = 10.0.0.0/8\n"
        "[Peer boat]\n"
        "PublicKey = @B";

    assert_int_equal(parse(file, errors, sizeof(errors), &c), 0);
    assert_string_equal(errors, "");
    assert_int_equal(c->role, CONFIG_AGENT);
    assert_false(c->has_identity);
    assert_string_equal(c->private_key_file, "key");
    assert_int_equal(c->private_key_file_line, 3);
    assert_int_equal(c->listen_port, 443);
    assert_int_equal(c->listen_tcp, -1);
    assert_int_equal(c->workers, 2);
    assert_int_equal(c->addresses.count, 2);
    assert_string_equal(addr_format(&c->addresses.items[0].addr, text), "10.77.0.1");
    assert_int_equal(c->addresses.items[0].len, 24);
    assert_string_equal(addr_format(&c->addresses.items[1].addr, text), "fd00:77::1");
    assert_int_equal(c->addresses.items[1].len, 64);
    assert_true(c->nat.enabled);
    assert_string_equal(c->nat.interface, "eth1");
    assert_int_equal(c->announce.count, 1);
    assert_string_equal(c->control, "/run/hawser/hwsrv.sock");
    assert_int_equal(c->peers[0].addresses.items[0].len, 32);
    assert_int_equal(c->peers[0].allowed_prefixes.count, 1);
    assert_int_equal(c->peers[0].allowed_destinations.count, 1);
    assert_int_equal(c->peers[1].addresses.count, 0);
    assert_int_equal(c->steer.fallback.mode, STEER_STRIPE);
    assert_int_equal(c->offload, CONFIG_OFFLOAD_ALL);
    config_free(c);
}

#define IF "[Interface]\nPrivateKey = @S\n"                     /* lines 1 and 2 */
#define PEER "[Peer a]\nPublicKey = @A\nEndpoint = 192.0.2.1\n" /* three lines */
#define AGENT "[Interface]\nPrivateKey = @S\nListenPort = 1\nAddress = 10.0.0.1/24\n"

/* Every kind of error, whole: what is said must name the place, what is there and what should be. */
static const struct {
    const char *file, *errors;
} bad[] = {
    { "", "f: found no [Interface] section, expected one\n" },
    { "MTU = 1400\n" IF PEER, "f:1: found MTU before any section, expected [Interface]\n" },
    { IF PEER IF, "f:6: found [Interface] again, expected it once (first in line 1)\n" },
    { IF PEER "[Interfase]\nMTU = 1\n",
      "f:6: found [Interfase], expected [Interface], [Link NAME], [Peer NAME], [Names] "
      "or [Dns] (did you mean [Interface]?)\n" },
    { IF PEER "[Interface\n", "f:6: found [Interface, expected [Section]\n" },
    { IF PEER "[Peer]\n", "f:6: found [Peer], expected [Peer NAME] with 1 to 31 letters, digits, dots, hyphens or "
                          "underscores\n" },
    { IF PEER "[Peer a]\n", "f:6: found [Peer a] again, expected it once (first in line 3)\n" },
    { IF PEER "[Link wlan0]\n[Link wlan0]\n", "f:7: found [Link wlan0] again, expected it once (first in line 6)\n" },
    { IF PEER "[Link a-name-that-is-too-long]\n",
      "f:6: found [Link a-name-that-is-too-long], expected [Link NAME] with the name of an interface\n" },
    { IF "MUT = 1400\n" PEER, "f:3: found MUT, expected a key of [Interface] (did you mean MTU?)\n" },
    { IF "Tier = backup\n" PEER, "f:3: found Tier in [Interface], expected it in [Link]\n" },
    { IF "Colour = red\n" PEER, "f:3: found Colour, expected a key of [Interface]\n" },
    { IF "= red\n" PEER, "f:3: found (nothing), expected a key of [Interface]\n" },
    { IF "MTU\n" PEER, "f:3: found MTU, expected Key = value\n" },
    { IF "MTU =\n" PEER, "f:3: found MTU = (nothing), expected a number from 1280 to 9000\n" },
    { IF "MTU = 900\n" PEER, "f:3: found MTU = 900, expected a number from 1280 to 9000\n" },
    { IF "MTU = 9001\n" PEER, "f:3: found MTU = 9001, expected a number from 1280 to 9000\n" },
    { IF "MTU = 1400b\n" PEER, "f:3: found MTU = 1400b, expected a number from 1280 to 9000\n" },
    { IF "MTU = 1400\n\nMTU = 1400\n" PEER, "f:5: found MTU again, expected it once (first in line 3)\n" },
    { IF "Wait = 10\n" PEER, "f:3: found Wait = 10, expected a time from 1.0s to 1d00h, such as 30s, 5m or 2h\n" },
    { IF "Wait = 2d\n" PEER, "f:3: found Wait = 2d, expected a time from 1.0s to 1d00h, such as 30s, 5m or 2h\n" },
    { IF "IPv6 = blok\n" PEER,
      "f:3: found IPv6 = blok, expected one of tunnel, block, direct (did you mean block?)\n" },
    { IF "Name = a/b\n" PEER, "f:3: found Name = a/b, expected an interface name of 1 to 15 characters\n" },
    { IF "StateDir = lib\n" PEER, "f:3: found StateDir = lib, expected an absolute path\n" },
    { IF "Routes = atuo\n" PEER, "f:3: found Routes = atuo, expected auto, none or prefixes (did you mean auto?)\n" },
    { IF "Routes = 10.1.2.3/8\n" PEER,
      "f:3: found Routes = 10.1.2.3/8, expected a prefix without host bits (did you mean 10.0.0.0/8?)\n" },
    { IF "Routes = 10.0.0.0/8, x\n" PEER,
      "f:3: found Routes = x, expected a prefix, such as 192.0.2.0/24 or fd00::/64\n" },
    { IF "Routes = none\nRoutes = 10.0.0.0/8\n" PEER,
      "f:4: found Routes = 10.0.0.0/8, expected auto or none alone, or only prefixes\n" },
    { IF "Routes = 10.0.0.0/8\nRoutes = 192.0.2.0/24\nRoutes = auto\n" PEER,
      "f:5: found Routes = auto, expected auto or none alone, or only prefixes\n" },
#define TEN "abcdefghij"
    { IF "Control = /" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "1234567\n" PEER,
      "f:3: found Control of 108 characters, expected at most 107\n" },
    { IF "Mode = strip\n" PEER,
      "f:3: found Mode = strip, expected one of active-standby, smallest-delay, "
      "load-balance, priority, redundant, stripe, bypass, block, split, auto (did you mean stripe?)\n" },
    { IF "Mode = stripe\nRule = default mode redundant\n" PEER,
      "f:3: found Mode and a rule for default, expected one of them\n" },
    { IF "Rule = any via wlan1\n" PEER "[Link wlan0]\n",
      "f:3: found link wlan1, expected one with a [Link] section (did you mean wlan0?)\n" },
    { IF "Rule = default via ppp0\nRule = any via wlan0\n" PEER "[Link wlan0]\n",
      "f:3: found link ppp0, expected one with a [Link] section\n" },
    { IF "Rule = any tcp 443 mode bypass\n" PEER,
      "f:3: Rule: found mode bypass with more than a prefix, expected a prefix alone: it is a route\n" },
    { IF "Mode = bypass\n" PEER, "f:3: found mode bypass for everything, expected Routes = none\n" },
    { IF "Offload = tos\n" PEER,
      "f:3: found Offload = tos, expected yes, no, or some of csum, tso, uso, gso, gro (did you mean tso?)\n" },
    { IF "Offload = no, tso\n" PEER,
      "f:3: found Offload = no, expected yes, no, or some of csum, tso, uso, gso, gro\n" },
    { "[Interface]\n" PEER, "f:1: found neither PrivateKey nor PrivateKeyFile, expected one (`hawser keygen FILE` "
                            "makes it)\n" },
    { IF "PrivateKeyFile = k\n" PEER, "f:3: found PrivateKey and PrivateKeyFile, expected one of them\n" },
    { "[Interface]\nPrivateKey = hunter2\n" PEER,
      "f:2: found PrivateKey = (7 characters), expected a secret key: 88 characters, made by `hawser keygen`\n" },
    { IF, "f:1: found no [Peer NAME], expected the agent\n" },
    { IF "[Peer a]\nEndpoint = 192.0.2.1\n", "f:3: found no PublicKey in this section, expected one\n" },
    { IF "[Peer a]\nPublicKey = @A\n", "f:3: found no Endpoint in this section, expected one\n" },
    { IF "[Peer a]\nAnycast = 192.0.2.1\n",
      "f:3: found Anycast without [Names], expected the Root of agents that are believed\n" },
    { IF "[Peer a]\nAnycast = 192.0.2.1\nEndpoint = 192.0.2.2\n[Names]\nRoot = r\n",
      "f:3: found Anycast and PublicKey or Endpoint in this section, expected Anycast alone\n" },
    { IF "[Peer a]\nAnycast = 2001:db8::1\n[Names]\nRoot = r\n",
      "f:3: found an IPv6 address in Anycast, expected IPv4\n" },
    { AGENT "[Peer a]\nPublicKey = @A\nAnycast = 192.0.2.1\n",
      "f:7: found Anycast on an agent, expected it on a node only\n" },
    { IF "[Peer a]\nPublicKey = abc\nEndpoint = 192.0.2.1\n",
      "f:4: found PublicKey = abc, expected a public key: 88 characters, told by `hawser pubkey`\n" },
    { IF "[Peer a]\nPublicKey = @S\nEndpoint = 192.0.2.1\n",
      "f:4: found a secret key, expected the peer's public key (`hawser pubkey` tells it)\n" },
    { IF "[Peer a]\nPublicKey = @O\nEndpoint = 192.0.2.1\n",
      "f:4: found this machine's own PublicKey, expected the peer's\n" },
    { IF PEER "PresharedKey = c2hvcnQ=\n",
      "f:6: found PresharedKey = (8 characters), expected 32 bytes in base64 (44 characters)\n" },
    { IF PEER "Endpoint = 192.0.2.1:0\n", "f:6: found Endpoint = 192.0.2.1:0, expected an endpoint, such as "
                                          "192.0.2.1:51820, [2001:db8::1]:51820 or a host name\n" },
    { IF PEER "Endpoint = 192.0.2.300\n", "f:6: found Endpoint = 192.0.2.300, expected an endpoint, such as "
                                          "192.0.2.1:51820, [2001:db8::1]:51820 or a host name\n" },
    { IF PEER "Endpoint = 192.0.2.1\n", "f:6: found Endpoint = 192.0.2.1, expected each endpoint once\n" },
    { AGENT "[Peer a]\nPublicKey = @A\n[Peer b]\nPublicKey = @A\n",
      "f:8: found the PublicKey of [Peer a] again, expected one of its own (first in line 6)\n" },
    { IF PEER "[Peer b]\nPublicKey = @B\nEndpoint = 192.0.2.2\n",
      "f:6: found a second [Peer], expected one: a node has one agent\n" },
    { IF "ListenPort = 5\nRole = node\n" PEER,
      "f:3: found ListenPort on a node, expected it on an agent or a host only\n" },
    { IF "NAT = no\n" PEER, "f:3: found NAT on a node, expected it on an agent only\n" },
    { AGENT "Routes = none\n", "f:5: found Routes on an agent, expected it on a node only\n" },
    { AGENT PEER, "f:7: found Endpoint on an agent, expected it on a node or a host only\n" },
    { IF "Role = host\nRoutes = none\n", "f:4: found Routes on a host, expected it on a node only\n" },
    { IF "PortMapping = no\n" PEER, "f:3: found PortMapping on a node, expected it on a host only\n" },
    { IF "Role = host\n[Peer p]\nPublicKey = @A\nIdentifier = 2001:db8::1\n",
      "f:6: found Identifier = 2001:db8::1, expected a tag, such as 2001:3f:..., as `hawser id` shows it\n" },
    { "[Interface]\nPrivateKey = @S\nRole = agent\n",
      "f:1: found no Address, expected the agent's own, such as 10.77.0.1/24\n" },
    { AGENT "Address = 10.0.0.1/33\n", "f:5: found Address = 10.0.0.1/33, expected an address with its prefix, such "
                                       "as 10.77.0.1/24 or fd00:77::1/64\n" },
    { AGENT "[Peer a]\nPublicKey = @A\nAddress = 10.0.0.1\n",
      "f:7: found 10.0.0.1/32 again, expected each address once (first in line 4)\n" },
    { AGENT "[Peer a]\nPublicKey = @A\nAddress = 10.0.0.2\n[Peer b]\nPublicKey = @B\nAllowedPrefixes = 10.0.0.2/32\n",
      "f:10: found 10.0.0.2/32 again, expected each address once (first in line 7)\n" },
    { IF PEER "[Link a]\nWeight = 0\n", "f:7: found Weight = 0, expected a number from 1 to 1000\n" },
    { IF PEER "[Link a]\nTier = bakcup\n",
      "f:7: found Tier = bakcup, expected one of primary, secondary, backup, never (did you mean backup?)\n" },
    { IF PEER "[Link a]\nRateUp = 20\n",
      "f:7: found RateUp = 20, expected a rate from 64kbit to 1000gbit, such as 20mbit or 1.5gbit\n" },
    { IF PEER "[Link a]\nWifiSignal = file:x\n", "f:7: found WifiSignal = file:x, expected auto, off or file:/PATH\n" },
    { IF PEER "[Link a]\nSignalLow = -60\n",
      "f:6: found SignalLow -60 and SignalHigh -68, expected SignalLow below SignalHigh\n" },
    { IF PEER "[Link a]\nPorts = 5\n", "f:7: found Ports = 5, expected a number from 1 to 4\n" },
    { AGENT "RelayFor = x\n", "f:5: found RelayFor = x, expected a public key (`hawser pubkey`)\n" },
    { AGENT "Workers = 9\n", "f:5: found Workers = 9, expected a number from 1 to 8\n" },
    { AGENT "ListenTcp = 0\n", "f:5: found ListenTcp = 0, expected a port of 1 to 65535, or no\n" },
    { IF PEER "[Names]\nRoot = r\nManager = ::1\nClass = none\n",
      "f:9: found Class = none, expected one of agent, coarse, full\n" },
    { IF PEER "[Names]\nRoot = root\n[Dns]\nListen = 127.0.0.53\n",
      "f:6: found no Manager in this section, expected one: [Dns] asks it\n" },
    { IF PEER "[Names]\nRoot = r\nManager = home.example.net\n",
      "f:8: found Manager = home.example.net, expected an address, with or without a port, such as 127.0.0.77 or "
      "192.0.2.1:51823\n" },
    { IF PEER "[Dns]\nListen = 127.0.0.77\n", "f:6: found [Dns] without [Names], expected both\n" },
    { IF PEER "[Names]\nRoot = r\nManager = ::1\n[Names x]\n",
      "f:9: found [Names x], expected [Names]\nf:9: found [Names] again, expected it once (first in line 6)\n" },
    { IF "[Peer a]\nEndpoint = a.h.example\n", "f:3: found no PublicKey in this section, expected one\n" },
    { IF "[Peer a]\nEndpoint = a.h.example, 192.0.2.1\n[Names]\nRoot = r\nManager = ::1\n",
      "f:3: found no PublicKey in this section, expected one\n" },
    { IF PEER "TcpPort = 65536\n", "f:6: found TcpPort = 65536, expected a port of 1 to 65535, or no\n" },
    { IF PEER "TcpPort = no\n[Link a]\nTcp = only\n",
      "f:7: found Tcp = only and TcpPort = no, expected the TCP port of the agent\n" },
    { IF "ListenTcp = 443\n" PEER, "f:3: found ListenTcp on a node, expected it on an agent only\n" },
    /* Two at once: both are told. */
    { IF "MTU = 1\nWait = x\n" PEER, "f:3: found MTU = 1, expected a number from 1280 to 9000\n"
                                     "f:4: found Wait = x, expected a time from 1.0s to 1d00h, such as 30s, 5m or "
                                     "2h\n" },
};

static void test_errors(void **state)
{
    char errors[8192];

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct config *c = NULL;

        assert_int_equal(parse(bad[i].file, errors, sizeof(errors), &c), -EINVAL);
        assert_string_equal(errors, bad[i].errors);
        assert_null(c);
    }
}

/* The words of a bad rule are the steering room's; the place is ours. */
static void test_rule_error(void **state)
{
    struct config *c = NULL;
    char errors[1024];

    assert_int_equal(parse(IF "\nRule = any mode strip\n" PEER, errors, sizeof(errors), &c), -EINVAL);
    assert_memory_equal(errors, "f:4: Rule: ", 11);
    assert_non_null(strstr(errors, "stripe"));
}

static void test_limits(void **state)
{
    static char text[32768], errors[32768];
    struct config *c = NULL;
    struct text t, e;
    size_t lines = 0;

    text_init(&t, text, sizeof(text));
    text_init(&e, errors, sizeof(errors));
    text_add(&t, "[Interface]\nStateDir = /%0*d\n", INI_LINE_MAX, 0);
    assert_int_equal(config_parse("f", text, t.len, &e, &c), -EINVAL);
    assert_memory_equal(errors, "f:2: found a line of 1012 characters, expected at most 1000\n", 60);

    text_init(&e, errors, sizeof(errors));
    assert_int_equal(config_parse("f", "[Interface]\nName = a\0b\n", 23, &e, &c), -EINVAL);
    assert_memory_equal(errors, "f:2: found a zero byte, expected text\n", 38);

    text_init(&t, text, sizeof(text));
    text_init(&e, errors, sizeof(errors));
    for (int i = 0; i < 2000; i++)
        text_add(&t, "x\n");
    assert_int_equal(config_parse("f", text, t.len, &e, &c), -EINVAL);
    for (const char *s = errors; *s; s++)
        lines += *s == '\n';
    assert_int_equal(lines, INI_ERRORS_MAX + 1);
    assert_non_null(strstr(errors, "f: more errors are not shown\n"));

    text_init(&t, text, sizeof(text));
    text_init(&e, errors, sizeof(errors));
    for (int i = 0; i <= CONFIG_LINKS_MAX; i++)
        text_add(&t, "[Link l%d]\n", i);
    assert_int_equal(config_parse("f", text, t.len, &e, &c), -EINVAL);
    assert_memory_equal(errors, "f:33: found more than 32 items, expected at most 32\n", 52);
    assert_null(c);
}

static void write_file(const char *dir, const char *name, const char *text, mode_t mode)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void test_load(void **state)
{
    char dir[] = "/tmp/hawser-config-XXXXXX", path[128], text[1024], errors[2048], expected[512];
    struct config *c = NULL;
    struct text t;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/c", dir);
    fill_in("[Interface]\nPrivateKeyFile = key\n" PEER, text, sizeof(text));
    write_file(dir, "c", text, 0644);

    text_init(&t, errors, sizeof(errors));
    assert_int_equal(config_load(path, &t, &c), -EINVAL);
    snprintf(expected, sizeof(expected), "%s:2: PrivateKeyFile %s/key: No such file or directory\n", path, dir);
    assert_string_equal(errors, expected);

    write_file(dir, "key", SECRET "\n", 0640);
    text_init(&t, errors, sizeof(errors));
    assert_int_equal(config_load(path, &t, &c), -EINVAL);
    snprintf(expected, sizeof(expected),
             "%s:2: PrivateKeyFile %s/key: found mode 0640, expected 0600: others may read it\n", path, dir);
    assert_string_equal(errors, expected);

    write_file(dir, "key", SECRET "x\n", 0600);
    text_init(&t, errors, sizeof(errors));
    assert_int_equal(config_load(path, &t, &c), -EINVAL);
    assert_non_null(strstr(errors, "key: found 89 characters, expected a secret key of 88"));

    write_file(dir, "key", SECRET "\n", 0600);
    text_init(&t, errors, sizeof(errors));
    assert_int_equal(config_load(path, &t, &c), 0);
    assert_string_equal(errors, "");
    assert_true(c->has_identity);
    config_free(c);
    c = NULL;

    fill_in(IF PEER, text, sizeof(text));
    write_file(dir, "c", text, 0644);
    text_init(&t, errors, sizeof(errors));
    assert_int_equal(config_load(path, &t, &c), 0);
    snprintf(expected, sizeof(expected), "%s: warning: found mode 0644 of a file that holds a secret, expected 0600\n",
             path);
    assert_string_equal(errors, expected);
    config_free(c);

    snprintf(path, sizeof(path), "%s/key", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/c", dir);
    unlink(path);
    text_init(&t, errors, sizeof(errors));
    assert_int_equal(config_load(path, &t, &c), -EINVAL);
    snprintf(expected, sizeof(expected), "%s: No such file or directory\n", path);
    assert_string_equal(errors, expected);
    rmdir(dir);
}

static void test_units(void **state)
{
    static const struct {
        const char *text;
        int result;
        span value;
    } durations[] = {
        { "10s", 0, 10000000 },         { "1.5h", 0, 5400000000 },
        { "250 ms", 0, 250000 },        { "0", 0, 0 },
        { "0.1s", 0, 100000 },          { "2D", 0, 172800000000 },
        { "10", -EINVAL, 0 },           { "", -EINVAL, 0 },
        { "-1s", -EINVAL, 0 },          { "1.s", -EINVAL, 0 },
        { "1s ", -EINVAL, 0 },          { "1 fortnight", -EINVAL, 0 },
        { "99999999999d", -ERANGE, 0 }, { "1234567890123s", -ERANGE, 0 },
    };
    static const struct {
        const char *text;
        int result;
        uint64_t value;
    } rates[] = { { "20mbit", 0, 20000000 },        { "1.5Gbit/s", 0, 1500000000 }, { "64kbit", 0, 64000 },
                  { "9600bit", 0, 9600 },           { "20", -EINVAL, 0 },           { "20mbps", -EINVAL, 0 },
                  { "20000000000gbit", -ERANGE, 0 } };
    static const struct {
        span in;
        const char *out;
    } spans[] = {
        { 1500, "1ms" }, { 3200000, "3.2s" }, { 125 * SEC, "2m05s" }, { 7260 * SEC, "2h01m" }, { 93600 * SEC, "1d02h" }
    };
    char buf[UNIT_STRLEN];

    for (size_t i = 0; i < ARRAY_LEN(durations); i++) {
        span v = 0;

        assert_int_equal(duration_parse(durations[i].text, &v), durations[i].result);
        assert_int_equal(v, durations[i].value);
    }
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        uint64_t v = 0;

        assert_int_equal(rate_parse(rates[i].text, &v), rates[i].result);
        assert_int_equal(v, rates[i].value);
    }
    for (size_t i = 0; i < ARRAY_LEN(spans); i++)
        assert_string_equal(duration_format(spans[i].in, buf), spans[i].out);
    assert_string_equal(rate_format(14670000, buf), "14.7 Mbit/s");
    assert_string_equal(rate_format(0, buf), "0 bit/s");
    assert_string_equal(bytes_format(1536, buf), "1.5 KiB");
    assert_string_equal(bytes_format(UINT64_MAX, buf), "16384 PiB");
}

static void test_tiers(void **state)
{
    enum config_tier t = CONFIG_NEVER;

    assert_int_equal(config_tier_parse("Secondary", &t), 0);
    assert_int_equal(t, CONFIG_SECONDARY);
    assert_int_equal(config_tier_parse("", &t), -EINVAL);
    assert_string_equal(config_tier_name(CONFIG_BACKUP), "backup");
}

/* Every default is a value that its own reader takes: a file without optional keys gives no error (above); and each
 * row can be shown. */
static void test_schema(void **state)
{
    struct config_key k;
    size_t n = 0;

    while (config_schema_at(n, &k)) {
        assert_true(strlen(k.key) > 0 && strlen(k.help) > 0 && strlen(k.type) > 0);
        n++;
    }
    assert_int_equal(n, 46); /* every key that the file may have, counted by hand */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_node),       cmocka_unit_test(test_agent),  cmocka_unit_test(test_errors),
        cmocka_unit_test(test_rule_error), cmocka_unit_test(test_limits), cmocka_unit_test(test_load),
        cmocka_unit_test(test_units),      cmocka_unit_test(test_tiers),  cmocka_unit_test(test_schema),
    };

    return cmocka_run_group_tests(tests, make_keys, NULL);
}
