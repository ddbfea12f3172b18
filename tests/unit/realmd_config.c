/* Unit tests of prog/realmd_config.h: what a file says, and what is said of one that is wrong. */
#include "prog/realmd_config.h"
#include "prog/ini_file.h"
#include "tests/unit/test.h"

#include <errno.h>

static struct realmd_config c;
static char lines[4096];

static int parse(const char *text)
{
    struct text errors;

    text_init(&errors, lines, sizeof(lines));
    return realmd_config_parse("f", text, strlen(text), &errors, &c);
}

static void assert_says(const char *text, const char *line)
{
    assert_int_equal(parse(text), -EINVAL);
    assert_string_equal(lines, line);
}

#define AGENT_KEY "E45dX+HwYNj0FSSveMGaE1RKQ+ojyoBBZi+ZtVO2oC0dhlxRLA/DMWeebFT0MrSiMp42ZbLrI4uxhGfATq0q9VgF"

static void test_whole(void **state)
{
    char text[ENDPOINT_STRLEN];

    assert_int_equal(parse("[Realm]\n"
                           "Directory = /srv/realm  ; where it is\n"
                           "Listen = 192.0.2.1:53, [2001:db8::1]\r\n"
                           "Control=/run/x.sock\nHttp = /run/h.sock\n"
                           "Log = 1024\nBindings = 10\nCapacity = 50000\n"
                           "# another\n\n"
                           "[Store]\nEngine = lmdb:/srv/realm.db\n"
                           "[Parent]\nManagers = 192.0.2.7\nAnnounce = 192.0.2.1:53, [2001:db8::1]:51823\n"
                           "[Dns]\nListen = 192.0.2.1, 127.0.0.1:5300\nServer = NS.acme.example.\n"
                           "Address = 192.0.2.1, 2001:db8::1\n"
                           "[Relay]\nAgent = 192.0.2.9\nPublicKey = " AGENT_KEY "\n"),
                     0);
    assert_string_equal(lines, "");
    assert_string_equal(c.directory, "/srv/realm");
    assert_int_equal(c.listen_count, 2);
    assert_string_equal(endpoint_format(&c.listen[0], text), "192.0.2.1:53");
    assert_string_equal(endpoint_format(&c.listen[1], text), "[2001:db8::1]:51823");
    assert_string_equal(c.control, "/run/x.sock");
    assert_string_equal(c.http, "/run/h.sock");
    assert_int_equal(c.log, 1024);
    assert_int_equal(c.bindings, 10);
    assert_int_equal(c.names, 131072);
    assert_int_equal(c.capacity, 50000);
    assert_string_equal(c.store, "lmdb:/srv/realm.db");
    assert_int_equal(c.parents_count, 1);
    assert_int_equal(c.announce_count, 2);
    assert_int_equal(c.dns_listen_count, 2);
    assert_int_equal(c.dns_listen[0].port, 53);
    assert_int_equal(c.dns_listen[1].port, 5300);
    assert_string_equal(c.dns_server, "ns.acme.example");
    assert_int_equal(c.dns_addresses_count, 2);
    assert_string_equal(endpoint_format(&c.relay, text), "192.0.2.9:51820");
    assert_true(c.relay_key.suites != 0);
    /* As editors and people write it. */
    assert_int_equal(parse("\xef\xbb\xbf[realm] # ours\r\n\tdirectory=/srv/a#b\r\n  LOG = 4 # few\n"), 0);
    assert_string_equal(c.directory, "/srv/a#b");
    assert_int_equal(c.log, 4);
    /* The least. */
    assert_int_equal(parse("[Realm]\nDirectory = /r\n"), 0);
    assert_int_equal(c.listen_count, 2);
    assert_string_equal(c.store, "");
    assert_int_equal(c.parents_count, 0);
    assert_int_equal(c.relay.addr.family, ADDR_NONE);
    assert_int_equal(c.followed_count, 0);
    assert_string_equal(c.http, "");
    /* One that follows. */
    assert_int_equal(parse("[Realm]\nDirectory = /r\n[Follow]\nManagers = 192.0.2.1, [2001:db8::1]:99\n"), 0);
    assert_int_equal(c.followed_count, 2);
    assert_string_equal(endpoint_format(&c.followed[0], text), "192.0.2.1:51823");
    assert_int_equal(c.follow_mode, REALMD_PUSH);
    assert_int_equal(parse("[Realm]\nDirectory = /r\n[Follow]\nManagers = 192.0.2.1\nMode = pull\nInterval = 2\n"), 0);
    assert_int_equal(c.follow_mode, REALMD_PULL);
    assert_int_equal(c.follow_interval_s, 2);
}

static void test_wrong(void **state)
{
    assert_says("", "f: found no [Realm] section, expected one\n");
    assert_says("[Realm]\n", "f:1: found no Directory in this section, expected one\n");
    assert_says("[Realm]\nDirectory = r\n", "f:2: found Directory = r, expected an absolute path\n");
    assert_says("Directory = /r\n", "f:1: found Directory before any section, expected [Realm]\n");
    assert_says("[Realm]\nDirectroy = /r\n",
                "f:2: found Directroy, expected a key of [Realm] (did you mean Directory?)\n"
                "f:1: found no Directory in this section, expected one\n");
    assert_says("[Relam]\n", "f:1: found [Relam], expected [Realm], [Store], [Parent], [Follow], [Dns] or [Relay] (did "
                             "you mean [Realm]?)\n");
    assert_says("[Realm]\nDirectory = /r\nDirectory = /s\n",
                "f:3: found Directory again, expected it once (first in line 2)\n");
    assert_says("[Realm]\nDirectory = /r\nLog = 1000\n",
                "f:3: found Log = 1000, expected a power of two, 2 to 1073741824\n");
    assert_says("[Realm]\nDirectory = /r\n[Store]\nEngine = file\n",
                "f:4: found Engine = file, expected lmdb: and an absolute path, or redis: and HOST:PORT\n");
    assert_says("[Realm]\nDirectory = /r\n[Parent]\nManagers = 192.0.2.1\n",
                "f:3: found no Announce in this section, expected one\n");
    assert_says("[Realm]\nDirectory = /r\n[Parent]\nManagers = 192.0.2.1\nAnnounce = 127.0.0.1:1\n",
                "f:5: found Announce = 127.0.0.1:1, expected 1 to 8 of ADDRESS:PORT that others can reach\n");
    assert_says("[Realm]\nDirectory = /r\nListen = 1.2.3.4:1, 1.2.3.4:2, 1.2.3.4:3, 1.2.3.4:4, 1.2.3.4:5\n",
                "f:3: found Listen = 1.2.3.4:1, 1.2.3.4:2, 1.2.3.4:3, 1.2.3.4:4, 1.2.3.4:5, expected 1 to 4 of "
                "ADDRESS:PORT, with commas, such as [::]:51823, 0.0.0.0:51823\n");
    assert_says("[Realm]\nDirectory = /r\n[Dns]\nServer = ns.example\nListen = 0.0.0.0\n",
                "f:5: found Listen = 0.0.0.0, expected 1 to 4 addresses of this machine, with commas\n");
    assert_says("[Realm]\nDirectory = /r\n[Dns]\nServer = ns..example\n",
                "f:4: found Server = ns..example, expected the name of a server, such as ns.acme.example\n"
                "f:3: found no Listen in this section, expected one\n");
    assert_says("[Realm]\nEngine = lmdb:/x\nDirectory = /r\n",
                "f:2: found Engine in [Realm], expected it in [Store]\n");
    assert_says("[Realm\nDirectory = /r\n", "f:1: found [Realm, expected [Section]\n");
    assert_says("[Realm x]\nDirectory = /r\n", "f:1: found [Realm x], expected [Realm]\n");
    assert_says("[Realm]\nDirectory = /r\nLog\n", "f:3: found Log, expected Key = value\n");
    assert_says("[Realm]\nDirectory = /r\n[Realm]\n", "f:3: found [Realm] again, expected it once (first in line 1)\n");
    assert_says("[Realm]\nDirectory = /r\n[Follow]\nManagers = 192.0.2.1\nMode = poll\nInterval = 0\n",
                "f:5: found Mode = poll, expected push, pull or cache\n"
                "f:6: found Interval = 0, expected a number of seconds, 1 to 120\n");
    assert_says("[Realm]\nDirectory = /r\n[Follow]\nManagers = 192.0.2.1\n[Store]\nEngine = lmdb:/s\n"
                "[Parent]\nManagers = 192.0.2.7\nAnnounce = 192.0.2.1\n",
                "f:5: found [Store] beside [Follow], expected it where the followed manager is\n"
                "f:7: found [Parent] beside [Follow], expected it where the followed manager is\n");
    assert_says("[Realm]\nDirectory = /r\n[Follow]\nManagers = 192.0.2.1\nMode = cache\n"
                "[Dns]\nListen = 192.0.2.1\nServer = ns.example\n",
                "f:6: found [Dns] beside Mode = cache, expected push or pull\n");
    assert_says("[Realm]\nDirectory = /r\n[Follow]\nMode = pull\n",
                "f:3: found no Managers in this section, expected one\n");
    assert_says("[Realm]\nDirectory = /r\n[Relay]\nAgent = 192.0.2.9\n",
                "f:3: found no PublicKey in this section, expected one\n");
    assert_says("[Realm]\nDirectory = /r\n[Relay]\nPublicKey = " AGENT_KEY "\nAgent = 0.0.0.0\n",
                "f:5: found Agent = 0.0.0.0, expected ADDRESS or ADDRESS:PORT that hosts can reach\n");
    assert_says("[Realm]\nDirectory = /r\n[Relay]\nAgent = 192.0.2.9\nPublicKey = x\n",
                "f:5: found PublicKey = x, expected the public key of an agent (`hawser pubkey`)\n");
}

static void test_schema(void **state)
{
    struct ini_key k;
    size_t n = 0;

    while (realmd_config_schema.key(n, &k)) {
        assert_true(k.section && k.key[0] && k.help[0]);
        assert_false(k.required && k.fallback);
        n++;
    }
    assert_int_equal(n, 22);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole), cmocka_unit_test(test_wrong),
                                        cmocka_unit_test(test_schema) };

    return cmocka_run_group_tests_name("realmd_config", tests, NULL, NULL);
}
