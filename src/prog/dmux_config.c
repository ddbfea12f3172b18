/* prog/dmux_config.c - see dmux_config.h.
 *
 * Theory of operation. Sections are opened here; every other line goes to libinih by itself, which takes off comments
 * and splits it, so that the line's number is known. A key is a row of schema[]: its reader gets the text and a place,
 * and says what it expected when it cannot. Required keys are looked at when a section ends.
 *
 * Limits: dmux_config.h. */
#include "prog/dmux_config.h"

#include "ident/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define ERRORS_MAX 50
#define LINE_SIZE 1024
#define KEYS_MAX 64      /* rows of the schema */
#define AGENT_PORT 51820 /* as of ListenPort in hawser.conf */

enum section { NOWHERE, GATEWAY, PROVIDER, AUTHORITY, MESH, SEED, BGP, NEIGHBOR, ROUTER, CLIENT, SECTION_COUNT };

static const char *const section_names[SECTION_COUNT] = { "",     "Gateway", "Provider", "Authority", "Mesh",
                                                          "Seed", "Bgp",     "Neighbor", "Router",    "Client" };

struct parse {
    struct dmux_config *c;
    const char *file;
    struct text *errors;
    unsigned line, errors_count;
    enum section section;
    unsigned section_line;
    unsigned seen[KEYS_MAX]; /* line of each key in this section */
    bool opened[SECTION_COUNT];
};

/* A reader: NULL, or what was expected. */
typedef const char *read_fn(struct parse *p, const char *value, void *out);

static void complain(struct parse *p, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void complain(struct parse *p, unsigned line, const char *fmt, ...)
{
    char message[512];
    va_list ap;

    if (++p->errors_count > ERRORS_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    for (char *s = message; *s; s++)
        *s = *s >= ' ' && *s <= '~' ? *s : '?';
    text_add(p->errors, "%s:%u: %s\n", p->file, line, message);
}

/* --- readers --- */

static bool number(const char *s, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;

    if (*s == '\0')
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || v > max)
            return false;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    *ret = v;
    return v <= max;
}

static const char *read_number(struct parse *p, const char *value, void *out)
{
    uint64_t v;

    if (!number(value, UINT32_MAX, &v))
        return "a number of 0 to 4294967295";
    *(uint32_t *)out = (uint32_t)v;
    return NULL;
}

static const char *read_id(struct parse *p, const char *value, void *out)
{
    return read_number(p, value, out) || *(uint32_t *)out == 0 ? "a number of 1 to 4294967295" : NULL;
}

static const char *read_byte(struct parse *p, const char *value, void *out)
{
    return read_number(p, value, out) || *(uint32_t *)out > 255 ? "a number of 0 to 255" : NULL;
}

static const char *read_weight(struct parse *p, const char *value, void *out)
{
    return read_number(p, value, out) || *(uint32_t *)out > 65535 ? "a number of 0 to 65535" : NULL;
}

static const char *read_bfd(struct parse *p, const char *value, void *out)
{
    return read_number(p, value, out) || *(uint32_t *)out > 10000 ? "milliseconds, 0 (no BFD) to 10000" : NULL;
}

static const char *read_registrations(struct parse *p, const char *value, void *out)
{
    return read_number(p, value, out) || *(uint32_t *)out == 0 || *(uint32_t *)out > REGISTRY_MAX
               ? "a number of 1 to 131072"
               : NULL;
}

static const char *read_port(struct parse *p, const char *value, void *out)
{
    uint64_t v;

    if (!number(value, UINT16_MAX, &v))
        return "a port of 0 to 65535";
    *(uint16_t *)out = (uint16_t)v;
    return NULL;
}

static const char *read_provider_id(struct parse *p, const char *value, void *out)
{
    return read_number(p, value, out) || *(uint32_t *)out < 2 ? "a provider's number, 2 to 4294967295" : NULL;
}

static const char *read_provider(struct parse *p, const char *value, void *out)
{
    if (strcmp(value, "any") == 0) {
        *(uint32_t *)out = PROVIDER_ANY;
        return NULL;
    }
    return read_provider_id(p, value, out) ? "any, or a provider's number, 2 to 4294967295" : NULL;
}

static const char *read_addr4(struct parse *p, const char *value, void *out)
{
    struct addr a;

    if (addr_parse(value, &a) < 0 || a.family != ADDR_V4 || !addr_is_unicast(&a))
        return "an IPv4 address of a host";
    *(struct addr *)out = a;
    return NULL;
}

static const char *read_prefix4(struct parse *p, const char *value, void *out)
{
    struct prefix x;

    if (prefix_parse(value, false, &x) < 0 || x.addr.family != ADDR_V4)
        return "an IPv4 prefix, as 192.0.2.0/24, without bits of a host";
    *(struct prefix *)out = x;
    return NULL;
}

static const char *read_prefix(struct parse *p, const char *value, void *out)
{
    struct prefix x;

    if (prefix_parse(value, false, &x) < 0)
        return "a prefix, as 2001:db8:1::/64, without bits of a host";
    *(struct prefix *)out = x;
    return NULL;
}

/* Takes the next word of a list off *at; false at its end. */
static bool next_word(const char **at, char *word, size_t size)
{
    const char *s = *at + strspn(*at, " \t,");
    size_t len = strcspn(s, " \t,");

    snprintf(word, size, "%.*s", (int)len, s);
    *at = s + len;
    return len > 0;
}

static const char *read_gateways(struct parse *p, const char *value, void *out)
{
    struct dmux_config *c = p->c;
    char word[64];

    while (next_word(&value, word, sizeof(word))) {
        struct endpoint e;

        if (endpoint_parse(word, DMUX_PORT, &e) < 0 || e.addr.family != ADDR_V4 ||
            c->gateways_count >= (p->section == CLIENT ? 1 : ROUTER_HOMES_MAX))
            return p->section == CLIENT ? "one IPv4 address, with or without :port"
                                        : "at most 16 IPv4 addresses, with or without :port";
        c->gateways[c->gateways_count++] = e;
    }
    return c->gateways_count == 0 ? "an IPv4 address" : NULL;
}

static const char *read_routes(struct parse *p, const char *value, void *out)
{
    struct dmux_config *c = p->c;
    char word[64];

    while (next_word(&value, word, sizeof(word))) {
        if (c->routes_count >= DMUX_ROUTES_MAX || read_prefix(p, word, &c->routes[c->routes_count]))
            return "at most 16 prefixes";
        c->routes_count++;
    }
    return NULL;
}

static const char *read_protocol(struct parse *p, const char *value, void *out)
{
    bool client = p->section == CLIENT;
    uint16_t id = protocol_parse(value);

    /* Nodes ask for hawser themselves. */
    if (id == 0 || !protocol_router_find(id) || (client && protocol_client_find(id)->no_device))
        return client ? "ipv4, ipv6 or mirror" : "hawser, ipv4, ipv6 or mirror";
    *(uint16_t *)out = id;
    return NULL;
}

static const char *read_protocol_list(const char *value, uint16_t protocols[PROVIDER_PROTOCOLS_MAX], uint8_t *count)
{
    char word[64];

    while (next_word(&value, word, sizeof(word))) {
        uint16_t id = protocol_parse(word); /* a gateway forwards any, known or not */

        if (id == 0 || *count >= PROVIDER_PROTOCOLS_MAX)
            return "at most 8 protocols, by name or number";
        protocols[(*count)++] = id;
    }
    return *count == 0 ? "a protocol" : NULL;
}

static const char *read_protocols(struct parse *p, const char *value, void *out)
{
    struct provider *x = &p->c->providers[p->c->providers_count - 1];

    return read_protocol_list(value, x->protocols, &x->protocols_count);
}

static const char *read_authority_protocols(struct parse *p, const char *value, void *out)
{
    struct authority *x = &p->c->authorities[p->c->authorities_count - 1];

    return read_protocol_list(value, x->protocols, &x->protocols_count);
}

static const char *read_root(struct parse *p, const char *value, void *out)
{
    return strlen(value) == 44 && base64_decode(value, out, IDENT_KEY_LEN) == IDENT_KEY_LEN
               ? NULL
               : "an Ed25519 key, 32 bytes in base64, as `hawser id show` prints it";
}

static const char *read_realm(struct parse *p, const char *value, void *out)
{
    struct name_error e;

    return name_parse_realm(value, strlen(value), out, &e) < 0 ? "the name of a realm" : NULL;
}

static const char *read_range(struct parse *p, const char *value, void *out)
{
    struct authority *x = &p->c->authorities[p->c->authorities_count - 1];
    char first[16];
    const char *dash = strchr(value, '-');

    snprintf(first, sizeof(first), "%.*s", dash ? (int)(dash - value) : 15, value);
    return read_provider_id(p, first, &x->provider_first) ||
                   read_provider_id(p, dash ? dash + 1 : value, &x->provider_last) ||
                   x->provider_first > x->provider_last
               ? "numbers of providers, as 100-199, 2 or more"
               : NULL;
}

/* What a seed is called by: its key for handshakes. */
static const char *read_seed_key(struct parse *p, const char *value, void *out)
{
    struct peer_key k;

    if (peer_key_decode(value, &k) < 0)
        return "a public key, as `hawser id show` prints it";
    memcpy(out, k.x25519, IDENT_KEY_LEN);
    return NULL;
}

static const char *read_seed_address(struct parse *p, const char *value, void *out)
{
    struct endpoint e;

    if (endpoint_parse(value, DMUX_PORT, &e) < 0 || e.addr.family != ADDR_V4)
        return "an IPv4 address, with or without :port";
    *(struct endpoint *)out = e;
    return NULL;
}

static const char *read_public_key(struct parse *p, const char *value, void *out)
{
    struct peer_key k;

    if (peer_key_decode(value, &k) < 0)
        return "a public key, as `hawser keygen` prints it";
    memcpy(out, k.ed25519, DMUX_KEY_LEN);
    return NULL;
}

static const char *read_name(struct parse *p, const char *value, void *out)
{
    if (*value == '\0' || strlen(value) > 15 || strpbrk(value, "/ \t\"\\;{}") != NULL || value[0] == '.')
        return "a name of a device, 1 to 15 characters";
    memcpy(out, value, strlen(value) + 1);
    return NULL;
}

static const char *read_data_path(struct parse *p, const char *value, void *out)
{
    *(bool *)out = strcmp(value, "xdp") == 0;
    return *(bool *)out || strcmp(value, "user") == 0 ? NULL : "user or xdp";
}

static const char *read_control(struct parse *p, const char *value, void *out)
{
    if (value[0] != '/' || strlen(value) >= DMUX_PATH_MAX)
        return "an absolute path of less than 108 bytes";
    memcpy(out, value, strlen(value) + 1);
    return NULL;
}

/* The first line of a file that only its owner reads: 0 or -errno, -EACCES when others may. */
static int secret_line(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    ssize_t n;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 077) != 0) {
        close(fd);
        return -EACCES;
    }
    n = read(fd, buf, size - 1);
    close(fd);
    if (n < 0)
        return -EIO;
    buf[n] = '\0';
    buf[strcspn(buf, "\r\n")] = '\0';
    return 0;
}

static const char *read_key_file(struct parse *p, const char *value, void *out)
{
    char line[256];
    int r = secret_line(value, line, sizeof(line));

    if (r == 0)
        r = identity_secret_decode(line, &p->c->identity);
    explicit_bzero(line, sizeof(line));
    if (r < 0)
        return "a file that only its owner may read, with a secret key as `hawser keygen FILE` writes it";
    p->c->has_identity = true;
    return NULL;
}

static const char *read_secret_file(struct parse *p, const char *value, void *out)
{
    char line[256];
    int r = secret_line(value, line, sizeof(line));

    if (r == 0)
        r = base64_decode(line, out, JAR_SECRET_LEN);
    explicit_bzero(line, sizeof(line));
    return r == JAR_SECRET_LEN ? NULL : "a file that only its owner may read, with 32 bytes in base64";
}

/* The length of a file of records, at most CREDENTIAL_CHAIN_MAX; 0: it cannot be read, is empty or longer. */
static size_t read_chain(const char *value, uint8_t out[CREDENTIAL_CHAIN_MAX])
{
    int fd = open(value, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st = { 0 };
    ssize_t n = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, out, CREDENTIAL_CHAIN_MAX) : -1;

    if (fd >= 0)
        close(fd);
    return n > 0 && n == st.st_size ? (size_t)n : 0;
}

#define CHAIN_FILE "a file with a chain of at most 1100 bytes, as `hawser realm enrol` writes it"

static const char *read_chain_file(struct parse *p, const char *value, void *out)
{
    p->c->chain_len = read_chain(value, p->c->chain);
    return p->c->chain_len > 0 ? NULL : CHAIN_FILE;
}

static const char *read_offer_chain(struct parse *p, const char *value, void *out)
{
    _Static_assert(LOCATE_CHAIN_MAX >= CREDENTIAL_CHAIN_MAX, "both are read alike");

    p->c->offer_chain_len = read_chain(value, p->c->offer_chain);
    return p->c->offer_chain_len > 0 ? NULL : CHAIN_FILE;
}

static const char *read_offers(struct parse *p, const char *value, void *out)
{
    struct dmux_config *c = p->c;
    char word[64];

    while (next_word(&value, word, sizeof(word))) {
        struct endpoint e;

        if (endpoint_parse(word, AGENT_PORT, &e) < 0 || !addr_is_unicast(&e.addr) ||
            c->offers_count >= LOCATE_ENDPOINTS_MAX)
            return "at most 4 addresses of the agent, with or without :port";
        c->offers[c->offers_count++] = e;
    }
    return c->offers_count == 0 ? "an address of the agent" : NULL;
}

/* --- schema --- */

#define AT(member) offsetof(struct dmux_config, member)

static const struct row {
    enum section section;
    const char *key;
    read_fn *read;
    size_t offset; /* in struct dmux_config, provider or dmux_neighbor */
    const char *fallback;
    bool required;
    const char *help;
} schema[] = {
    { GATEWAY, "Id", read_id, AT(id), NULL, true, "number of this gateway among all" },
    { GATEWAY, "Site", read_byte, AT(site), "0", false, "number of its site" },
    { GATEWAY, "Service", read_addr4, AT(service), NULL, true, "the anycast address that all gateways have" },
    { GATEWAY, "Prefix", read_prefix4, AT(prefix), NULL, true, "the prefix around it that is announced" },
    { GATEWAY, "Address", read_addr4, AT(address), NULL, true, "the address of this gateway alone" },
    { GATEWAY, "Port", read_port, AT(port), "51821", false, "UDP port, of all gateways" },
    { GATEWAY, "SecretFile", read_secret_file, AT(secret), NULL, true, "what all gateways make cookies with" },
    { GATEWAY, "Device", read_name, AT(device), "dmux0", false, "TUN device that has the service address" },
    { GATEWAY, "Control", read_control, AT(control), "/run/hawser-dmux/gateway.sock", false, "control socket" },
    { GATEWAY, "DataPath", read_data_path, AT(xdp), "user", false, "user, or xdp: packets pass in the kernel" },
    { GATEWAY, "Interface", read_name, AT(interface), NULL, false, "with xdp: where packets come from and go to" },
    { GATEWAY, "NetworkRate", read_number, AT(network_pps), "0", false, "packets/s of a client's /24; 0: no limit" },
    { GATEWAY, "Registrations", read_registrations, AT(registrations_max), "131072", false, "at most" },
    { PROVIDER, "Id", read_provider_id, offsetof(struct provider, id), NULL, true, "number of the provider" },
    { PROVIDER, "PublicKey", read_public_key, offsetof(struct provider, key), NULL, true, "what signs for it" },
    { PROVIDER, "Protocols", read_protocols, 0, NULL, true, "which it may provide" },
    { PROVIDER, "Rate", read_number, offsetof(struct provider, rate_pps), "0", false, "packets/s to it; 0: no limit" },
    { AUTHORITY, "Root", read_root, offsetof(struct authority, root), NULL, true, "key of its root" },
    { AUTHORITY, "Realm", read_realm, offsetof(struct authority, realm), NULL, true, "realm that enrols providers" },
    { AUTHORITY, "Providers", read_range, 0, NULL, true, "numbers that it may give" },
    { AUTHORITY, "Protocols", read_authority_protocols, 0, NULL, true, "which its providers may provide" },
    { AUTHORITY, "Rate", read_number, offsetof(struct authority, rate_pps), "0", false,
      "packets/s to each; 0: no limit" },
    { MESH, "KeyFile", read_key_file, 0, NULL, true, "this gateway's secret key" },
    { MESH, "ChainFile", read_chain_file, AT(chain), NULL, true, "certificate of that key" },
    { MESH, "Root", read_root, AT(mesh_root), NULL, true, "key of the root of all gateways' certificates" },
    { MESH, "Realm", read_realm, AT(mesh_realm), NULL, true, "realm that enrols gateways" },
    { SEED, "Address", read_seed_address, offsetof(struct mesh_seed, at), NULL, true, "of a gateway alone" },
    { SEED, "PublicKey", read_seed_key, offsetof(struct mesh_seed, x25519), NULL, true, "of that gateway" },
    { BGP, "As", read_id, AT(as), NULL, true, "autonomous system of this site" },
    { BGP, "RouterId", read_addr4, AT(router_id), NULL, false, "default: the gateway's Address" },
    { BGP, "Bfd", read_bfd, AT(bfd_ms), "50", false, "interval in ms, three missed are a failure; 0: no BFD" },
    { NEIGHBOR, "Address", read_addr4, offsetof(struct dmux_neighbor, address), NULL, true, "of the neighbour" },
    { NEIGHBOR, "As", read_id, offsetof(struct dmux_neighbor, as), NULL, true, "its autonomous system" },
    { ROUTER, "Protocol", read_protocol, AT(protocol), NULL, true, "what it provides" },
    { ROUTER, "Provider", read_provider_id, AT(provider), NULL, true, "for whom" },
    { ROUTER, "KeyFile", read_key_file, 0, NULL, true, "the provider's secret key" },
    { ROUTER, "ChainFile", read_chain_file, AT(chain), NULL, false,
      "certificate of that key, where gateways have an authority" },
    { ROUTER, "Gateways", read_gateways, 0, NULL, true, "service address, or addresses of gateways" },
    { ROUTER, "Clients", read_prefix, AT(clients), NULL, false, "prefix of its clients' addresses" },
    { ROUTER, "Offer", read_offers, 0, NULL, false, "protocol hawser: where the agent is" },
    { ROUTER, "OfferChain", read_offer_chain, 0, NULL, false,
      "protocol hawser: certificate of the agent, of the service agent or agent-ANY" },
    { ROUTER, "Address", read_addr4, AT(address), NULL, false, "source address; default: the kernel's choice" },
    { ROUTER, "Port", read_port, AT(port), "51822", false, "UDP port" },
    { ROUTER, "Weight", read_weight, AT(weight), "100", false, "its share beside others as near" },
    { ROUTER, "Device", read_name, AT(device), "dmuxr0", false, "TUN device of its clients" },
    { ROUTER, "Control", read_control, AT(control), "/run/hawser-dmux/router.sock", false, "control socket" },
    { CLIENT, "Protocol", read_protocol, AT(protocol), NULL, true, "what is wanted" },
    { CLIENT, "Provider", read_provider, AT(provider), "any", false, "of whom" },
    { CLIENT, "Gateway", read_gateways, 0, NULL, true, "the service's anycast address" },
    { CLIENT, "Address", read_addr4, AT(address), NULL, false, "source address; default: the kernel's choice" },
    { CLIENT, "Port", read_port, AT(port), "0", false, "UDP port; 0: any" },
    { CLIENT, "Routes", read_routes, 0, NULL, false, "what goes into the device, with a metric of 4096" },
    { CLIENT, "Device", read_name, AT(device), "dmux6", false, "TUN device" },
    { CLIENT, "Control", read_control, AT(control), "/run/hawser-dmux/client.sock", false, "control socket" },
};

_Static_assert(ARRAY_LEN(schema) <= KEYS_MAX, "seen[] is too small");

static void *base_of(struct parse *p, enum section s)
{
    struct dmux_config *c = p->c;

    if (s == PROVIDER)
        return &c->providers[c->providers_count - 1];
    if (s == AUTHORITY)
        return &c->authorities[c->authorities_count - 1];
    if (s == SEED)
        return &c->seeds[c->seeds_count - 1];
    if (s == NEIGHBOR)
        return &c->neighbors[c->neighbors_count - 1];
    return c;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct parse *p = user;
    const char *names[KEYS_MAX], *near, *expected;
    size_t count = 0;

    if (p->section == NOWHERE) {
        complain(p, p->line, "found %s outside a section, expected one of [Gateway], [Router], [Client] first", name);
        return 1;
    }
    for (size_t i = 0; i < ARRAY_LEN(schema); i++) {
        if (schema[i].section != p->section)
            continue;
        names[count++] = schema[i].key;
        if (strcmp(schema[i].key, name) != 0)
            continue;
        if (p->seen[i])
            complain(p, p->line, "found %s again, expected it once (first in line %u)", name, p->seen[i]);
        else if ((expected = schema[i].read(p, value, (char *)base_of(p, p->section) + schema[i].offset)))
            complain(p, p->line, "found %s = %s, expected %s", name, *value ? value : "(nothing)", expected);
        p->seen[i] = p->line;
        return 1;
    }
    near = text_nearest(name, names, count);
    complain(p, p->line, "found %s in [%s], expected a key of it%s%s%s", name, section_names[p->section],
             near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    return 1;
}

static void end_section(struct parse *p)
{
    for (size_t i = 0; p->section != NOWHERE && i < ARRAY_LEN(schema); i++) {
        if (schema[i].section == p->section && schema[i].required && !p->seen[i])
            complain(p, p->section_line, "found no %s in this section, expected one", schema[i].key);
    }
    p->section = NOWHERE;
}

static bool name_valid(const char *s)
{
    size_t len = strlen(s);

    return len > 0 && len <= DMUX_NAME_MAX &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static bool open_named(struct parse *p, enum section s, const char *name)
{
    struct dmux_config *c = p->c;
    const struct {
        size_t *count, max;
    } lists[SECTION_COUNT] = { [PROVIDER] = { &c->providers_count, DMUX_PROVIDERS_MAX },
                               [AUTHORITY] = { &c->authorities_count, DMUX_AUTHORITIES_MAX },
                               [SEED] = { &c->seeds_count, MESH_SEEDS_MAX },
                               [NEIGHBOR] = { &c->neighbors_count, DMUX_NEIGHBORS_MAX } };
    size_t *count = lists[s].count, max = lists[s].max;

    if (!name_valid(name)) {
        complain(p, p->line, "found [%s %s], expected a name of 1 to 15 letters, digits and _", section_names[s], name);
        return false;
    }
    if (!count || *count >= max) { /* the sections of this kind each have a count */
        complain(p, p->line, "found more than %zu sections [%s ...]", max, section_names[s]);
        return false;
    }
    if (s == PROVIDER)
        snprintf(c->provider_names[*count], DMUX_NAME_MAX + 1, "%s", name);
    if (s == NEIGHBOR) {
        c->neighbors[*count].line = p->line;
        snprintf(c->neighbors[*count].name, DMUX_NAME_MAX + 1, "%s", name);
    }
    ++*count;
    return true;
}

static void open_section(struct parse *p, char *line)
{
    char *close = strchr(line, ']'), *space;
    enum section s = NOWHERE;

    end_section(p);
    if (!close || (close[1 + strspn(close + 1, " \t")] != '\0' && !strchr("#;", close[1 + strspn(close + 1, " \t")]))) {
        complain(p, p->line, "found %s, expected [Section] or [Section NAME]", line);
        return;
    }
    *close = '\0';
    space = strchr(line, ' ');
    if (space)
        *space++ = '\0';
    for (unsigned i = 1; i < SECTION_COUNT; i++) {
        if (strcmp(line + 1, section_names[i]) == 0)
            s = (enum section)i;
    }
    if (s == NOWHERE) {
        complain(p, p->line,
                 "found [%s], expected Gateway, Provider, Authority, Mesh, Seed, Bgp, Neighbor, Router or Client",
                 line + 1);
        return;
    }
    if (s == PROVIDER || s == AUTHORITY || s == SEED || s == NEIGHBOR) {
        if (!open_named(p, s, space ? space : ""))
            return;
    } else if (space || p->opened[s]) {
        complain(p, p->line, "found [%s%s%s]%s, expected it once and without a name", line + 1, space ? " " : "",
                 space ? space : "", p->opened[s] ? " again" : "");
        return;
    }
    if (s == GATEWAY || s == ROUTER || s == CLIENT) {
        enum dmux_role role = s == GATEWAY ? DMUX_ROLE_GATEWAY : s == ROUTER ? DMUX_ROLE_ROUTER : DMUX_ROLE_CLIENT;

        if (p->c->role != DMUX_ROLE_NONE) {
            complain(p, p->line, "found [%s] too, expected one of Gateway, Router and Client", line + 1);
            return;
        }
        p->c->role = role;
    }
    p->opened[s] = true;
    p->c->has_mesh |= s == MESH;
    p->section = s;
    p->section_line = p->line;
    memset(p->seen, 0, sizeof(p->seen));
    for (size_t i = 0; i < ARRAY_LEN(schema); i++) {
        if (schema[i].section == s && schema[i].fallback)
            schema[i].read(p, schema[i].fallback, (char *)base_of(p, s) + schema[i].offset);
    }
}

static void take_line(struct parse *p, const char *at, size_t len)
{
    char line[LINE_SIZE], *start = line;

    if (len >= sizeof(line) || memchr(at, '\0', len)) {
        complain(p, p->line, "found a line of %zu bytes, expected text of less than %d", len, LINE_SIZE);
        return;
    }
    memcpy(line, at, len);
    line[len] = '\0';
    line[strcspn(line, "\r")] = '\0';
    start += strspn(line, " \t");
    if (*start == '[')
        open_section(p, start);
    else if (ini_parse_string(start, on_key, p) != 0)
        complain(p, p->line, "found %s, expected KEY = VALUE", start);
}

static void check_whole(struct parse *p)
{
    const struct dmux_config *c = p->c;

    if (c->role == DMUX_ROLE_NONE)
        complain(p, p->line, "found no role, expected one of [Gateway], [Router], [Client]");
    if (c->role != DMUX_ROLE_GATEWAY &&
        (c->providers_count > 0 || c->authorities_count > 0 || c->has_mesh || p->opened[BGP] || c->neighbors_count > 0))
        complain(p, p->line, "found a section of gateways, expected [Gateway] as well");
    if (c->role == DMUX_ROLE_GATEWAY && !prefix_contains(&c->prefix, &c->service))
        complain(p, p->line, "found a Service outside of Prefix, expected it inside");
    if (c->role == DMUX_ROLE_GATEWAY && prefix_contains(&c->prefix, &c->address))
        complain(p, p->line,
                 "found the gateway's Address inside of Prefix, expected one that other gateways do not have");
    if (c->xdp && (c->interface[0] == '\0' || c->network_pps > 0))
        complain(p, p->line, "found DataPath = xdp, expected an Interface with it and no NetworkRate");
    if (c->role == DMUX_ROLE_ROUTER && (c->protocol == LOCATE_ID) != (c->offers_count > 0 && c->offer_chain_len > 0))
        complain(p, p->line, "found Protocol = %s, expected Offer and OfferChain with hawser, and only there",
                 protocol_router_find(c->protocol)->name);
    if (c->seeds_count > 0 && !c->has_mesh)
        complain(p, p->line, "found [Seed], expected [Mesh] as well");
    if (c->neighbors_count > 0 && !p->opened[BGP])
        complain(p, c->neighbors[0].line, "found [Neighbor], expected [Bgp] as well");
    for (size_t i = 0; i < c->providers_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (c->providers[i].id == c->providers[j].id)
                complain(p, p->line, "found the Id of [Provider %s] in [Provider %s] as well", c->provider_names[j],
                         c->provider_names[i]);
        }
    }
}

int dmux_config_parse(const char *file_name, const char *data, size_t len, struct text *errors,
                      struct dmux_config **ret)
{
    struct parse p = { .c = calloc(1, sizeof(struct dmux_config)), .file = file_name, .errors = errors };

    if (!p.c)
        return -ENOMEM;
    for (size_t at = 0; at < len;) {
        const char *end = memchr(data + at, '\n', len - at);
        size_t n = end ? (size_t)(end - data) - at : len - at;

        p.line++;
        take_line(&p, data + at, n);
        at += n + 1;
    }
    end_section(&p);
    if (p.errors_count == 0)
        check_whole(&p);
    if (p.errors_count > 0) {
        dmux_config_free(p.c);
        return -EINVAL;
    }
    if (p.c->router_id.family == ADDR_NONE)
        p.c->router_id = p.c->address;
    *ret = p.c;
    return 0;
}

int dmux_config_load(const char *path, struct text *errors, struct dmux_config **ret)
{
    CLEANUP(cleanup_free) char *data = malloc(DMUX_FILE_MAX + 1);
    FILE *f = fopen(path, "re");
    size_t len = 0;
    int r = 0;

    if (!data)
        r = -ENOMEM;
    else if (!f)
        r = -errno;
    else if ((len = fread(data, 1, DMUX_FILE_MAX + 1, f)) > DMUX_FILE_MAX)
        r = -EFBIG;
    else if (ferror(f))
        r = -EIO;
    if (f)
        fclose(f);
    if (r < 0) {
        text_add(errors, "%s: %s\n", path, strerror(-r));
        return r;
    }
    return dmux_config_parse(path, data, len, errors, ret);
}

void dmux_config_free(struct dmux_config *c)
{
    if (!c)
        return;
    identity_wipe(&c->identity);
    ident_wipe(c->secret, sizeof(c->secret));
    free(c);
}

bool dmux_config_key(size_t i, struct dmux_key *ret)
{
    if (i >= ARRAY_LEN(schema))
        return false;
    *ret = (struct dmux_key){ .section = section_names[schema[i].section],
                              .key = schema[i].key,
                              .help = schema[i].help,
                              .fallback = schema[i].fallback,
                              .required = schema[i].required };
    return true;
}
