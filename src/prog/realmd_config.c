/* prog/realmd_config.c - see realmd_config.h.
 *
 * Theory of operation. prog/ini_file.h reads the file by schema[]: a row's reader gets the text and a place, and says
 * what it expected when it cannot.
 *
 * Limits: realmd_config.h. */
#include "prog/realmd_config.h"

#include "prog/ini_file.h"

#include <errno.h>

enum section { REALM = 1, STORE, PARENT, FOLLOW, DNS, RELAY };

struct parse {
    struct ini ini;
    struct realmd_config *c;
};

/* --- readers --- */

static const char *read_number(struct ini *f, const char *value, void *out)
{
    uint64_t v;

    if (!ini_number(value, 0, UINT32_MAX, &v))
        return "a number of 0 to 4294967295";
    *(uint32_t *)out = (uint32_t)v;
    return NULL;
}

static const char *read_many(struct ini *f, const char *value, void *out)
{
    return read_number(f, value, out) || *(uint32_t *)out == 0 || *(uint32_t *)out > 1u << 30
               ? "a number of 1 to 1073741824"
               : NULL;
}

static const char *read_peers(struct ini *f, const char *value, void *out)
{
    return read_number(f, value, out) || *(uint32_t *)out == 0 || *(uint32_t *)out > 1u << 20
               ? "a number of 1 to 1048576"
               : NULL;
}

static const char *read_power(struct ini *f, const char *value, void *out)
{
    uint32_t n;

    if (read_many(f, value, out))
        return "a power of two, 2 to 1073741824";
    n = *(uint32_t *)out;
    return n < 2 || (n & (n - 1)) ? "a power of two, 2 to 1073741824" : NULL;
}

static const char *read_directory(struct ini *f, const char *value, void *out)
{
    if (value[0] != '/' || strlen(value) >= PATH_MAX - 16)
        return "an absolute path";
    memcpy(out, value, strlen(value) + 1);
    return NULL;
}

static const char *read_control(struct ini *f, const char *value, void *out)
{
    if (value[0] != '/' || strlen(value) >= REALMD_CONTROL_MAX)
        return "an absolute path of less than 108 bytes";
    memcpy(out, value, strlen(value) + 1);
    return NULL;
}

static const char *read_store(struct ini *f, const char *value, void *out)
{
    if ((strncmp(value, "lmdb:/", 6) != 0 && strncmp(value, "redis:", 6) != 0) || strlen(value) >= PATH_MAX)
        return "lmdb: and an absolute path, or redis: and HOST:PORT";
    memcpy(out, value, strlen(value) + 1);
    return NULL;
}

/* Endpoints with commas between them; their number, 0: found something else. */
static size_t endpoints(const char *value, uint16_t port, struct endpoint *out, size_t max)
{
    char word[INI_WORD_SIZE];
    size_t n = 0;

    while (ini_next_word(&value, word))
        if (n == max || endpoint_parse(word, port, &out[n++]) < 0)
            return 0;
    return n;
}

static const char *read_listen(struct ini *f, const char *value, void *out)
{
    struct realmd_config *c = out;

    c->listen_count = endpoints(value, REALMD_PORT, c->listen, REALMD_LISTEN_MAX);
    return c->listen_count ? NULL : "1 to 4 of ADDRESS:PORT, with commas, such as [::]:51823, 0.0.0.0:51823";
}

static const char *read_parents(struct ini *f, const char *value, void *out)
{
    struct realmd_config *c = out;

    c->parents_count = endpoints(value, REALMD_PORT, c->parents, REALMD_ADDRESSES_MAX);
    return c->parents_count ? NULL : "1 to 8 of ADDRESS:PORT, with commas";
}

static const char *read_relay(struct ini *f, const char *value, void *out)
{
    struct realmd_config *c = out;

    return endpoints(value, REALMD_RELAY_PORT, &c->relay, 1) == 1 && addr_is_unicast(&c->relay.addr)
               ? NULL
               : "ADDRESS or ADDRESS:PORT that hosts can reach";
}

static const char *read_relay_key(struct ini *f, const char *value, void *out)
{
    return peer_key_decode(value, out) == 0 ? NULL : "the public key of an agent (`hawser pubkey`)";
}

static const char *read_announce(struct ini *f, const char *value, void *out)
{
    struct realmd_config *c = out;

    c->announce_count = endpoints(value, REALMD_PORT, c->announce, REALMD_ADDRESSES_MAX);
    for (size_t i = 0; i < c->announce_count; i++)
        if (!addr_is_unicast(&c->announce[i].addr))
            return "1 to 8 of ADDRESS:PORT that others can reach";
    return c->announce_count ? NULL : "1 to 8 of ADDRESS:PORT, with commas";
}

static const char *read_followed(struct ini *f, const char *value, void *out)
{
    struct realmd_config *c = out;

    c->followed_count = endpoints(value, REALMD_PORT, c->followed, REALMD_ADDRESSES_MAX);
    return c->followed_count ? NULL : "1 to 8 of ADDRESS:PORT, with commas";
}

static const char *read_mode(struct ini *f, const char *value, void *out)
{
    static const char *const modes[] = { [REALMD_PUSH] = "push", [REALMD_PULL] = "pull", [REALMD_CACHE] = "cache" };

    for (size_t i = 0; i < ARRAY_LEN(modes); i++)
        if (strcmp(value, modes[i]) == 0) {
            *(uint8_t *)out = (uint8_t)i;
            return NULL;
        }
    return "push, pull or cache";
}

static const char *read_interval(struct ini *f, const char *value, void *out)
{
    return read_number(f, value, out) || *(uint32_t *)out == 0 || *(uint32_t *)out > REALMD_INTERVAL_MAX_S
               ? "a number of seconds, 1 to 120"
               : NULL;
}

static const char *read_dns_listen(struct ini *f, const char *value, void *out)
{
    struct realmd_config *c = out;

    c->dns_listen_count = endpoints(value, REALMD_DNS_PORT, c->dns_listen, REALMD_LISTEN_MAX);
    /* An answer must come from where the question went. */
    for (size_t i = 0; i < c->dns_listen_count; i++)
        if (!addr_is_unicast(&c->dns_listen[i].addr) && !addr_is_loopback(&c->dns_listen[i].addr))
            return "1 to 4 addresses of this machine, with commas";
    return c->dns_listen_count ? NULL : "1 to 4 addresses of this machine, with commas";
}

static const char *read_dns_server(struct ini *f, const char *value, void *out)
{
    struct name_error err;

    return name_parse_realm(value, strlen(value), out, &err) == 0 ? NULL
                                                                  : "the name of a server, such as ns.acme.example";
}

static const char *read_dns_addresses(struct ini *f, const char *value, void *out)
{
    struct realmd_config *c = out;
    struct endpoint at[REALMD_DNS_ADDRESSES_MAX];

    c->dns_addresses_count = endpoints(value, REALMD_DNS_PORT, at, REALMD_DNS_ADDRESSES_MAX);
    for (size_t i = 0; i < c->dns_addresses_count; i++) {
        if (at[i].port != REALMD_DNS_PORT)
            return "1 to 4 addresses, with commas; the port of the DNS is always 53";
        c->dns_addresses[i] = at[i].addr;
    }
    return c->dns_addresses_count ? NULL : "1 to 4 addresses, with commas";
}

/* --- schema --- */

#define AT(member) offsetof(struct realmd_config, member)

static const struct ini_row schema[] = {
    { REALM, "Directory", read_directory, AT(directory), NULL, true, "the realm, as hawser realm init makes it" },
    { REALM, "Listen", read_listen, 0, "0.0.0.0:51823, [::]:51823", false, "where it is asked, by UDP" },
    { REALM, "Control", read_control, AT(control), "/run/hawser-realm/realmd.sock", false, "control socket" },
    { REALM, "Http", read_control, AT(http), NULL, false, "socket for HTTP: status, bindings, metrics" },
    { REALM, "Names", read_many, AT(names), "131072", false, "of the realm, at most" },
    { REALM, "Bindings", read_many, AT(bindings), "1048576", false, "of the realm, at most" },
    { REALM, "Guests", read_many, AT(guests), "65536", false, "members of other realms that are remembered" },
    { REALM, "Subscriptions", read_many, AT(subscriptions), "65536", false, "to changes, at most" },
    { REALM, "Peers", read_peers, AT(peers), "65536", false, "associations at a time" },
    { REALM, "Log", read_power, AT(log), "262144", false, "changes that subscribers may be behind" },
    { REALM, "Capacity", read_number, AT(capacity), "0", false, "lookups/s of this machine; 0: no bound" },
    { STORE, "Engine", read_store, AT(store), NULL, true, "where bindings outlive the process" },
    { PARENT, "Managers", read_parents, 0, NULL, true, "of the realm above" },
    { PARENT, "Announce", read_announce, 0, NULL, true, "where this realm's managers are found" },
    { FOLLOW, "Managers", read_followed, 0, NULL, true, "of this realm, of which the first that answers is followed" },
    { FOLLOW, "Mode", read_mode, AT(follow_mode), "push", false,
      "push: it tells what changes; pull: it is asked for that; cache: for what is asked for here" },
    { FOLLOW, "Interval", read_interval, AT(follow_interval_s), "10", false, "of pull: seconds" },
    { DNS, "Listen", read_dns_listen, 0, NULL, true, "where the realm's zone is served, by UDP and TCP" },
    { DNS, "Server", read_dns_server, AT(dns_server), NULL, true, "the name of this server, for NS and SOA" },
    { DNS, "Address", read_dns_addresses, 0, NULL, false, "of this server, if its name is in the zone" },
    { RELAY, "Agent", read_relay, 0, NULL, true, "where hosts reach the agent that relays for them" },
    { RELAY, "PublicKey", read_relay_key, AT(relay_key), NULL, true, "of that agent" },
};

_Static_assert(ARRAY_LEN(schema) <= INI_KEYS_MAX, "seen[] is too small");

static bool key_at(size_t i, struct ini_key *ret)
{
    if (i >= ARRAY_LEN(schema))
        return false;
    *ret = ini_row_key(&schema[i]);
    return true;
}

static bool begin(struct ini *f, unsigned section, const char *name)
{
    return true;
}

static void read_key(struct ini *f, size_t key, const char *value)
{
    ini_row_read(f, &schema[key], CONTAINER_OF(f, struct parse, ini)->c, value);
}

const struct ini_schema realmd_config_schema = {
    .sections = { "", "Realm", "Store", "Parent", "Follow", "Dns", "Relay" },
    .expected = "[Realm], [Store], [Parent], [Follow], [Dns] or [Relay]",
    .first = "[Realm]",
    .key = key_at,
    .begin = begin,
    .read = read_key,
};

int realmd_config_parse(const char *file_name, const char *data, size_t len, struct text *errors,
                        struct realmd_config *ret)
{
    struct parse p = { .ini = { .schema = &realmd_config_schema, .file_name = file_name, .errors = errors }, .c = ret };
    const unsigned *once = p.ini.once;
    int r;

    memset(ret, 0, sizeof(*ret));
    r = ini_read(&p.ini, data, len);
    if (r == 0 && p.ini.errors_count == 0 && !once[REALM])
        ini_error(&p.ini, 0, "found no [Realm] section, expected one");
    if (once[FOLLOW] && once[STORE])
        ini_error(&p.ini, once[STORE], "found [Store] beside [Follow], expected it where the followed manager is");
    if (once[FOLLOW] && once[DNS] && ret->follow_mode == REALMD_CACHE)
        ini_error(&p.ini, once[DNS], "found [Dns] beside Mode = cache, expected push or pull");
    if (once[FOLLOW] && once[PARENT])
        ini_error(&p.ini, once[PARENT], "found [Parent] beside [Follow], expected it where the followed manager is");
    return r == 0 && p.ini.errors_count > 0 ? -EINVAL : r;
}

int realmd_config_load(const char *path, struct text *errors, struct realmd_config *ret)
{
    CLEANUP(cleanup_free) char *data = NULL;
    unsigned mode;
    ssize_t n = ini_load(path, errors, &data, &mode);

    return n < 0 ? (int)n : realmd_config_parse(path, data, (size_t)n, errors, ret);
}
