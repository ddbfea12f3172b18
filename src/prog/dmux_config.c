/* prog/dmux_config.c - see dmux_config.h.
 *
 * Theory of operation. prog/ini_file.h reads the file by schema[]: a row's reader gets the text and a place, and says
 * what it expected when it cannot. What needs the whole file is for prog/dmux_config_check.h.
 *
 * Limits: dmux_config.h. */
#include "prog/dmux_config.h"

#include "ident/hash.h"
#include "prog/dmux_config_check.h"
#include "prog/secret_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGENT_PORT 51820 /* as of ListenPort in hawser.conf */

#define NAMED                                                                                                          \
    (1u << PROVIDER | 1u << AUTHORITY | 1u << SEED | 1u << FEDERATION | 1u << BORDER | 1u << NEIGHBOR | 1u << ADMIT |  \
     1u << CREDENTIAL)

static struct dmux_config *config_of(struct ini *f)
{
    return dmux_parse_of(f)->c;
}

/* --- readers --- */

static const char *read_number(struct ini *f, const char *value, void *out)
{
    uint64_t v;

    if (!ini_number(value, 0, UINT32_MAX, &v))
        return "a number of 0 to 4294967295";
    *(uint32_t *)out = (uint32_t)v;
    return NULL;
}

static const char *read_id(struct ini *f, const char *value, void *out)
{
    return read_number(f, value, out) || *(uint32_t *)out == 0 ? "a number of 1 to 4294967295" : NULL;
}

static const char *read_weight(struct ini *f, const char *value, void *out)
{
    return read_number(f, value, out) || *(uint32_t *)out > 65535 ? "a number of 0 to 65535" : NULL;
}

static const char *read_bfd(struct ini *f, const char *value, void *out)
{
    return read_number(f, value, out) || *(uint32_t *)out > 10000 ? "milliseconds, 0 (no BFD) to 10000" : NULL;
}

static const char *read_registrations(struct ini *f, const char *value, void *out)
{
    return read_number(f, value, out) || *(uint32_t *)out == 0 || *(uint32_t *)out > REGISTRY_MAX
               ? "a number of 1 to 131072"
               : NULL;
}

static const char *read_admission(struct ini *f, const char *value, void *out)
{
    return read_number(f, value, out) || *(uint32_t *)out < 10 || *(uint32_t *)out > 86400 ? "seconds, 10 to 86400"
                                                                                           : NULL;
}

static const char *read_admissions(struct ini *f, const char *value, void *out)
{
    return read_number(f, value, out) || *(uint32_t *)out == 0 || *(uint32_t *)out > ADMISSION_CLIENTS_MAX
               ? "a number of 1 to 65536"
               : NULL;
}

static const char *read_port(struct ini *f, const char *value, void *out)
{
    uint64_t v;

    if (!ini_number(value, 0, UINT16_MAX, &v))
        return "a port of 0 to 65535";
    *(uint16_t *)out = (uint16_t)v;
    return NULL;
}

/* Of what others are told to send to. */
static const char *read_own_port(struct ini *f, const char *value, void *out)
{
    return read_port(f, value, out) || *(uint16_t *)out == 0 ? "a port of 1 to 65535" : NULL;
}

static const char *read_queue(struct ini *f, const char *value, void *out)
{
    return read_port(f, value, out) || *(uint16_t *)out == UINT16_MAX ? "a number of 0 to 65534" : NULL;
}

static const char *read_ip_protocol(struct ini *f, const char *value, void *out)
{
    uint64_t v;

    if (!ini_number(value, 0, UINT8_MAX, &v))
        return "a protocol of IP, 0 (all) to 255";
    *(uint8_t *)out = (uint8_t)v;
    return NULL;
}

static const char *read_provider_id(struct ini *f, const char *value, void *out)
{
    return read_number(f, value, out) || *(uint32_t *)out < 2 ? "a provider's number, 2 to 4294967295" : NULL;
}

static const char *read_provider(struct ini *f, const char *value, void *out)
{
    if (strcmp(value, "any") == 0) {
        *(uint32_t *)out = PROVIDER_ANY;
        return NULL;
    }
    return read_provider_id(f, value, out) ? "any, or a provider's number, 2 to 4294967295" : NULL;
}

static const char *read_addr4(struct ini *f, const char *value, void *out)
{
    struct addr a;

    if (addr_parse(value, &a) < 0 || a.family != ADDR_V4 || !addr_is_unicast(&a))
        return "an IPv4 address of a host";
    *(struct addr *)out = a;
    return NULL;
}

static const char *read_prefix4(struct ini *f, const char *value, void *out)
{
    struct prefix x;

    if (prefix_parse(value, false, &x) < 0 || x.addr.family != ADDR_V4)
        return "an IPv4 prefix, as 192.0.2.0/24, without bits of a host";
    *(struct prefix *)out = x;
    return NULL;
}

static const char *read_prefix(struct ini *f, const char *value, void *out)
{
    struct prefix x;

    if (prefix_parse(value, false, &x) < 0)
        return "a prefix, as 2001:db8:1::/64, without bits of a host";
    *(struct prefix *)out = x;
    return NULL;
}

/* One word of a list is wrong, and told. */
static const char *word_expected(struct ini *f, const char *word, const char *expected)
{
    ini_expected(f, word, NULL, "%s", expected);
    return NULL;
}

static const char *read_gateways(struct ini *f, const char *value, void *out)
{
    struct dmux_config *c = config_of(f);
    char word[INI_WORD_SIZE];

    while (ini_next_word(&value, word)) {
        struct endpoint e;

        if (endpoint_parse(word, DMUX_PORT, &e) < 0 || e.addr.family != ADDR_V4)
            return word_expected(f, word, "an IPv4 address, with or without :port");
        if (c->gateways_count >= (f->section == CLIENT ? 1 : ROUTER_REGISTRARS_MAX))
            return f->section == CLIENT ? "one address" : "at most 16 addresses";
        c->gateways[c->gateways_count++] = e;
    }
    return c->gateways_count == 0 ? "an IPv4 address" : NULL;
}

static const char *read_routes(struct ini *f, const char *value, void *out)
{
    struct dmux_config *c = config_of(f);
    char word[INI_WORD_SIZE];

    while (ini_next_word(&value, word)) {
        struct prefix x;
        const char *expected = read_prefix(f, word, &x);

        if (expected)
            return word_expected(f, word, expected);
        if (c->routes_count >= DMUX_ROUTES_MAX)
            return "at most 16 prefixes";
        c->routes[c->routes_count++] = x;
    }
    return NULL;
}

static const char *read_protocol(struct ini *f, const char *value, void *out)
{
    bool client = f->section == CLIENT;
    uint16_t id = protocol_parse(value);
    char names[PROTOCOL_NAMES_SIZE];

    /* Nodes ask for hawser themselves. */
    if (id == 0 || !protocol_router_find(id) || (client && protocol_client_find(id)->no_device))
        return word_expected(f, value, protocol_names(client, names));
    *(uint16_t *)out = id;
    return NULL;
}

static const char *read_protocol_list(struct ini *f, const char *value, uint16_t protocols[PROVIDER_PROTOCOLS_MAX],
                                      uint8_t *count)
{
    char word[INI_WORD_SIZE], names[PROTOCOL_NAMES_SIZE];

    while (ini_next_word(&value, word)) {
        uint16_t id = protocol_parse(word); /* a gateway forwards any, known or not */

        if (id == 0) {
            ini_expected(f, word, NULL, "%s, or a number of 1 to 65535", protocol_names(false, names));
            return NULL;
        }
        if (*count >= PROVIDER_PROTOCOLS_MAX)
            return "at most 8 protocols";
        protocols[(*count)++] = id;
    }
    return *count == 0 ? "a protocol" : NULL;
}

static const char *read_protocols(struct ini *f, const char *value, void *out)
{
    struct dmux_config *c = config_of(f);
    struct provider *x = &c->providers[c->providers_count - 1];

    return read_protocol_list(f, value, x->protocols, &x->protocols_count);
}

static const char *read_authority_protocols(struct ini *f, const char *value, void *out)
{
    struct authority *x = out;

    return read_protocol_list(f, value, x->protocols, &x->protocols_count);
}

static const char *read_root(struct ini *f, const char *value, void *out)
{
    return strlen(value) == 44 && base64_decode(value, out, IDENT_KEY_LEN) == IDENT_KEY_LEN
               ? NULL
               : "an Ed25519 key, 32 bytes in base64, as `hawser id show` prints it";
}

static const char *read_realm(struct ini *f, const char *value, void *out)
{
    struct name_error e;

    return name_parse_realm(value, strlen(value), out, &e) < 0 ? "the name of a realm" : NULL;
}

static const char *read_range(struct ini *f, const char *value, void *out)
{
    struct authority *x = out;
    char first[16];
    const char *dash = strchr(value, '-');

    snprintf(first, sizeof(first), "%.*s", dash ? (int)(dash - value) : 15, value);
    return read_provider_id(f, first, &x->provider_first) ||
                   read_provider_id(f, dash ? dash + 1 : value, &x->provider_last) ||
                   x->provider_first > x->provider_last
               ? "numbers of providers, as 100-199, 2 or more"
               : NULL;
}

#define MANAGERS "1 to 16 addresses, each with a :port, apart by commas"

/* What a seed is called by: its key for handshakes. */
static const char *read_seed_key(struct ini *f, const char *value, void *out)
{
    struct peer_key k;

    if (peer_key_decode(value, &k) < 0)
        return "a public key, as `hawser id show` prints it";
    memcpy(out, k.x25519, IDENT_KEY_LEN);
    return NULL;
}

static const char *read_seed_address(struct ini *f, const char *value, void *out)
{
    struct endpoint e;

    if (endpoint_parse(value, DMUX_PORT, &e) < 0 || e.addr.family != ADDR_V4)
        return "an IPv4 address, with or without :port";
    *(struct endpoint *)out = e;
    return NULL;
}

/* Addresses with a port each, apart by commas. */
static const char *read_endpoints(const char *value, struct endpoint *ret, size_t *ret_count)
{
    char word[ENDPOINT_STRLEN];
    size_t count = 0;

    for (const char *at = value; *at; count++) {
        size_t len = strcspn(at, ",");

        if (count == RESOLVER_MANAGERS_MAX || len >= sizeof(word))
            return MANAGERS;
        memcpy(word, at, len);
        word[len] = '\0';
        if (endpoint_parse(word, 0, &ret[count]) < 0 || ret[count].port == 0)
            return MANAGERS;
        at += len;
        at += strspn(at, ", ");
    }
    *ret_count = count;
    return count > 0 ? NULL : MANAGERS;
}

static const char *read_managers(struct ini *f, const char *value, void *out)
{
    return read_endpoints(value, config_of(f)->managers, &config_of(f)->managers_count);
}

static const char *read_root_managers(struct ini *f, const char *value, void *out)
{
    return read_endpoints(value, config_of(f)->root_managers, &config_of(f)->root_managers_count);
}

static const char *read_public_key(struct ini *f, const char *value, void *out)
{
    struct peer_key k;

    if (peer_key_decode(value, &k) < 0)
        return "a public key, as `hawser keygen` prints it";
    memcpy(out, k.ed25519, DMUX_KEY_LEN);
    return NULL;
}

/* A key with both its halves. */
static const char *read_peer_key(struct ini *f, const char *value, void *out)
{
    return peer_key_decode(value, out) < 0 ? "a public key, as `hawser keygen` prints it" : NULL;
}

static const char *read_admit_key(struct ini *f, const char *value, void *out)
{
    struct dmux_admit *a = out;

    a->has_key = true;
    return read_peer_key(f, value, &a->key);
}

static const char *read_admit_root(struct ini *f, const char *value, void *out)
{
    struct dmux_admit *a = out;

    a->has_root = true;
    return read_root(f, value, a->realm.root);
}

static const char *read_admit_realm(struct ini *f, const char *value, void *out)
{
    struct dmux_admit *a = out;

    a->has_realm = true;
    return read_realm(f, value, a->realm.realm);
}

static const char *read_name(struct ini *f, const char *value, void *out)
{
    if (*value == '\0' || strlen(value) > 15 || strpbrk(value, "/ \t\"\\;{}") != NULL || value[0] == '.')
        return "a name of a device, 1 to 15 characters";
    memcpy(out, value, strlen(value) + 1);
    return NULL;
}

static const char *read_data_path(struct ini *f, const char *value, void *out)
{
    *(bool *)out = strcmp(value, "xdp") == 0;
    return *(bool *)out || strcmp(value, "user") == 0 ? NULL : "user or xdp";
}

static const char *read_capture(struct ini *f, const char *value, void *out)
{
    *(bool *)out = strcmp(value, "queue") == 0;
    return *(bool *)out || strcmp(value, "tun") == 0 ? NULL : "tun or queue";
}

static const char *read_control(struct ini *f, const char *value, void *out)
{
    if (value[0] != '/' || strlen(value) >= DMUX_PATH_MAX)
        return "an absolute path of less than 108 bytes";
    memcpy(out, value, strlen(value) + 1);
    return NULL;
}

/* The first line of a file that only its owner may read. False: it was told what is wrong. */
static bool secret_line(struct ini *f, const char *name, char *line, size_t size)
{
    char path[INI_PATH_SIZE], err[FILE_ERR];

    if (secret_file_line(ini_beside(f, name, path), line, size, err) == 0)
        return true;
    ini_error(f, f->line, "%s %s", f->key.key, err);
    return false;
}

static const char *read_identity(struct ini *f, const char *value, struct identity *ret, bool *ret_ok)
{
    char line[256];

    *ret_ok = false;
    if (!secret_line(f, value, line, sizeof(line)))
        return NULL;
    *ret_ok = identity_secret_decode(line, ret) == 0;
    explicit_bzero(line, sizeof(line));
    return *ret_ok ? NULL : "a file with a secret key as `hawser keygen FILE` writes it";
}

static const char *read_key_file(struct ini *f, const char *value, void *out)
{
    struct dmux_config *c = config_of(f);

    return read_identity(f, value, &c->identity, &c->has_identity);
}

static const char *read_credential_key(struct ini *f, const char *value, void *out)
{
    bool ok;

    return read_identity(f, value, out, &ok);
}

static const char *read_secret_file(struct ini *f, const char *value, void *out)
{
    char line[256];
    int r;

    if (!secret_line(f, value, line, sizeof(line)))
        return NULL;
    r = base64_decode(line, out, JAR_SECRET_LEN);
    explicit_bzero(line, sizeof(line));
    return r == JAR_SECRET_LEN ? NULL : "a file with 32 bytes in base64";
}

/* The length of a file of records; 0: it was told what is wrong. */
static size_t read_chain(struct ini *f, const char *name, uint8_t out[CREDENTIAL_CHAIN_MAX])
{
    char path[INI_PATH_SIZE];
    int fd = open(ini_beside(f, name, path), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    ssize_t n = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        ini_error(f, f->line, "%s %s: %s", f->key.key, path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        ini_error(f, f->line, "%s %s: found no regular file, expected one", f->key.key, path);
    else if (st.st_size == 0 || st.st_size > CREDENTIAL_CHAIN_MAX)
        ini_error(f, f->line, "%s %s: found %lld bytes, expected a chain of 1 to %d, as `hawser realm enrol` writes it",
                  f->key.key, path, (long long)st.st_size, CREDENTIAL_CHAIN_MAX);
    else if ((n = read(fd, out, CREDENTIAL_CHAIN_MAX)) < 0)
        ini_error(f, f->line, "%s %s: %s", f->key.key, path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return n > 0 ? (size_t)n : 0;
}

static const char *read_chain_file(struct ini *f, const char *value, void *out)
{
    config_of(f)->chain_len = read_chain(f, value, config_of(f)->chain);
    return NULL;
}

static const char *read_credential_chain(struct ini *f, const char *value, void *out)
{
    struct credential *x = out;

    _Static_assert(WORD_CHAIN_MAX >= CREDENTIAL_CHAIN_MAX, "both are read alike");
    x->chain_len = read_chain(f, value, x->chain);
    return NULL;
}

static const char *read_offer_chain(struct ini *f, const char *value, void *out)
{
    _Static_assert(LOCATE_CHAIN_MAX >= CREDENTIAL_CHAIN_MAX, "both are read alike");

    config_of(f)->offer_chain_len = read_chain(f, value, config_of(f)->offer_chain);
    return NULL;
}

static const char *read_offers(struct ini *f, const char *value, void *out)
{
    struct dmux_config *c = config_of(f);
    char word[INI_WORD_SIZE];

    while (ini_next_word(&value, word)) {
        struct endpoint e;

        if (endpoint_parse(word, AGENT_PORT, &e) < 0 || !addr_is_unicast(&e.addr))
            return word_expected(f, word, "an address of the agent, with or without :port");
        if (c->offers_count >= LOCATE_ENDPOINTS_MAX)
            return "at most 4 addresses of the agent";
        c->offers[c->offers_count++] = e;
    }
    return c->offers_count == 0 ? "an address of the agent" : NULL;
}

/* --- schema --- */

#define AT(member) offsetof(struct dmux_config, member)
#define OTHERS_BASE offsetof(struct federation_realm, authority)
#define OTHERS(member) offsetof(struct federation_realm, authority.member)

static const struct ini_row schema[] = {
    { GATEWAY, "Id", read_id, AT(id), NULL, true, "number of this gateway among all" },
    { GATEWAY, "Service", read_addr4, AT(service), NULL, true, "the anycast address that all gateways have" },
    { GATEWAY, "Prefix", read_prefix4, AT(prefix), NULL, true, "the prefix around it that is announced" },
    { GATEWAY, "Address", read_addr4, AT(address), NULL, true, "the address of this gateway alone" },
    { GATEWAY, "Port", read_own_port, AT(port), "51821", false, "UDP port, of all gateways" },
    { GATEWAY, "SecretFile", read_secret_file, AT(secret), NULL, true, "what all gateways make cookies with" },
    { GATEWAY, "Device", read_name, AT(device), "dmux0", false, "TUN device that has the service address" },
    { GATEWAY, "Control", read_control, AT(control), "/run/hawser-dmux/gateway.sock", false, "control socket" },
    { GATEWAY, "DataPath", read_data_path, AT(xdp), "user", false, "user, or xdp: packets pass in the kernel" },
    { GATEWAY, "Interface", read_name, AT(interface), NULL, false, "with xdp: where packets come from and go to" },
    { GATEWAY, "NetworkRate", read_number, AT(network_pps), "0", false, "packets/s of a client's /24; 0: no limit" },
    { GATEWAY, "Registrations", read_registrations, AT(registrations_max), "131072", false, "routers, at most" },
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
    { MESH, "Managers", read_managers, 0, NULL, false, "of that realm: gateways find each other by them" },
    { MESH, "RootManagers", read_root_managers, 0, NULL, false, "of the root, if that realm is another" },
    { SEED, "Address", read_seed_address, offsetof(struct mesh_seed, at), NULL, true, "of a gateway alone" },
    { SEED, "PublicKey", read_seed_key, offsetof(struct mesh_seed, x25519), NULL, true, "of that gateway" },
    { FEDERATION, "Root", read_root, OTHERS(root), NULL, true, "key of the root of another operator" },
    { FEDERATION, "Realm", read_realm, OTHERS(realm), NULL, true, "realm that enrols its gateways and providers" },
    { FEDERATION, "Prefix", read_prefix4, offsetof(struct federation_realm, prefix), NULL, true, "that it announces" },
    { FEDERATION, "Providers", read_range, OTHERS_BASE, NULL, true, "numbers that are its own" },
    { FEDERATION, "Protocols", read_authority_protocols, OTHERS_BASE, NULL, true, "which are taken from it" },
    { BORDER, "Realm", read_realm, offsetof(struct dmux_border, realm), NULL, true, "of which [Federation]" },
    { BORDER, "Address", read_seed_address, offsetof(struct dmux_border, at), NULL, true, "of that gateway alone" },
    { BORDER, "PublicKey", read_seed_key, offsetof(struct dmux_border, x25519), NULL, true, "of that gateway" },
    { BGP, "As", read_id, AT(as), NULL, true, "autonomous system of this site" },
    { BGP, "RouterId", read_addr4, AT(router_id), NULL, false, "default: the gateway's Address" },
    { BGP, "Bfd", read_bfd, AT(bfd_ms), "50", false, "interval in ms, three missed are a failure; 0: no BFD" },
    { NEIGHBOR, "Address", read_addr4, offsetof(struct dmux_neighbor, address), NULL, true, "of the neighbour" },
    { NEIGHBOR, "As", read_id, offsetof(struct dmux_neighbor, as), NULL, true, "its autonomous system" },
    { OSPF, "Interface", read_name, AT(ospf_interface), NULL, true, "where the OSPF routers of the same operator are" },
    { OSPF, "Area", read_number, AT(ospf_area), "0", false, "of that network" },
    { OSPF, "RouterId", read_addr4, AT(router_id), NULL, false, "default: the gateway's Address" },
    { OSPF, "Bfd", read_bfd, AT(bfd_ms), "50", false, "interval in ms, three missed are a failure; 0: no BFD" },
    { ROUTER, "Protocol", read_protocol, AT(protocol), NULL, true, "what it provides" },
    { ROUTER, "Provider", read_provider_id, AT(provider), NULL, true, "for whom" },
    { ROUTER, "KeyFile", read_key_file, 0, NULL, true, "the provider's secret key" },
    { ROUTER, "ChainFile", read_chain_file, AT(chain), NULL, false,
      "certificate of that key, where gateways have an authority" },
    { ROUTER, "Gateways", read_gateways, 0, NULL, true, "service address, or addresses of gateways" },
    { ROUTER, "Clients", read_prefix, AT(clients), NULL, false,
      "protocols ipv4 and ipv6: prefix of its clients' addresses" },
    { ROUTER, "Offer", read_offers, 0, NULL, false, "protocol hawser: where the agent is" },
    { ROUTER, "OfferChain", read_offer_chain, 0, NULL, false,
      "protocol hawser: certificate of the agent, of the service agent or agent-ANY" },
    { ROUTER, "Address", read_addr4, AT(address), NULL, false, "source address; default: the kernel's choice" },
    { ROUTER, "Port", read_port, AT(port), "51822", false, "UDP port" },
    { ROUTER, "Weight", read_weight, AT(weight), "100", false, "its share beside others as near" },
    { ROUTER, "Device", read_name, AT(device), "dmuxr0", false, "TUN device of its clients" },
    { ROUTER, "Control", read_control, AT(control), "/run/hawser-dmux/router.sock", false, "control socket" },
    { ROUTER, "Admission", read_admission, AT(admission_s), "600", false, "with [Admit]: seconds until it is renewed" },
    { ROUTER, "Admissions", read_admissions, AT(admissions_max), "65536", false, "with [Admit]: clients, at most" },
    { ADMIT, "PublicKey", read_admit_key, 0, NULL, false, "of a client; or Root and Realm" },
    { ADMIT, "Root", read_admit_root, 0, NULL, false, "key of the root of a realm of clients" },
    { ADMIT, "Realm", read_admit_realm, 0, NULL, false, "realm whose members are let in" },
    { CLIENT, "Protocol", read_protocol, AT(protocol), NULL, true, "what is wanted" },
    { CLIENT, "Provider", read_provider, AT(provider), "any", false, "of whom" },
    { CLIENT, "Gateway", read_gateways, 0, NULL, true, "the service's anycast address" },
    { CLIENT, "Address", read_addr4, AT(address), NULL, false, "source address; default: the kernel's choice" },
    { CLIENT, "Port", read_port, AT(port), "0", false, "UDP port; 0: any" },
    { CLIENT, "Routes", read_routes, 0, NULL, false, "what goes into the device, with a metric of 4096" },
    { CLIENT, "Capture", read_capture, AT(queued), "tun", false, "tun, or queue: by a rule of iptables" },
    { CLIENT, "Queue", read_queue, AT(queue), "5182", false, "with queue: its number, and the next" },
    { CLIENT, "IpProtocol", read_ip_protocol, AT(ip_protocol), "0", false, "with queue: this protocol alone; 0: all" },
    { CLIENT, "Device", read_name, AT(device), "dmux6", false, "TUN device" },
    { CLIENT, "Control", read_control, AT(control), "/run/hawser-dmux/client.sock", false, "control socket" },
    { CREDENTIAL, "Provider", read_provider_id, offsetof(struct credential, provider), NULL, true,
      "whom it is shown to" },
    { CREDENTIAL, "ProviderKey", read_peer_key, offsetof(struct credential, to), NULL, true,
      "the provider's public key, which alone can read it" },
    { CREDENTIAL, "KeyFile", read_credential_key, offsetof(struct credential, identity), NULL, true,
      "the client's secret key" },
    { CREDENTIAL, "ChainFile", read_credential_chain, 0, NULL, false,
      "certificate of that key, where the provider lets in a realm" },
};

_Static_assert(ARRAY_LEN(schema) <= INI_KEYS_MAX, "seen[] is too small");

static void *base_of(struct dmux_config *c, unsigned section)
{
    if (section == PROVIDER)
        return &c->providers[c->providers_count - 1];
    if (section == AUTHORITY)
        return &c->authorities[c->authorities_count - 1];
    if (section == SEED)
        return &c->seeds[c->seeds_count - 1];
    if (section == FEDERATION)
        return &c->federations[c->federations_count - 1];
    if (section == BORDER)
        return &c->border_entries[c->borders_count - 1];
    if (section == NEIGHBOR)
        return &c->neighbors[c->neighbors_count - 1];
    if (section == ADMIT)
        return &c->admits[c->admits_count - 1];
    if (section == CREDENTIAL)
        return &c->credentials[c->credentials_count - 1];
    return c;
}

static void read_key(struct ini *f, size_t key, const char *value)
{
    if (!f->falls_back)
        dmux_parse_of(f)->lines[key] = f->line;
    ini_row_read(f, &schema[key], base_of(config_of(f), schema[key].section), value);
}

static bool name_valid(const char *s)
{
    size_t len = strlen(s);

    return len > 0 && len <= DMUX_NAME_MAX &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") == len;
}

static bool begin_named(struct ini *f, unsigned s, const char *name)
{
    struct dmux_parse *p = dmux_parse_of(f);
    struct dmux_config *c = p->c;
    const char *word = f->schema->sections[s];
    struct dmux_named *n;
    const struct {
        size_t *count, max;
    } lists[] = { [PROVIDER] = { &c->providers_count, DMUX_PROVIDERS_MAX },
                  [AUTHORITY] = { &c->authorities_count, DMUX_AUTHORITIES_MAX },
                  [SEED] = { &c->seeds_count, MESH_SEEDS_MAX },
                  [FEDERATION] = { &c->federations_count, FEDERATION_REALMS_MAX },
                  [BORDER] = { &c->borders_count, FEDERATION_BORDERS_MAX },
                  [NEIGHBOR] = { &c->neighbors_count, DMUX_NEIGHBORS_MAX },
                  [ADMIT] = { &c->admits_count, DMUX_ADMITS_MAX },
                  [CREDENTIAL] = { &c->credentials_count, DMUX_CREDENTIALS_MAX } };
    size_t *count = lists[s].count, max = lists[s].max;

    assert(count); /* of a section that has no name the reader does not ask */
    if (!name_valid(name)) {
        ini_error(f, f->line, "found [%s%s%s], expected a name of 1 to 15 letters, digits and _", word,
                  *name ? " " : "", name);
        return false;
    }
    for (size_t i = 0; i < p->named_count; i++) {
        if (p->named[i].section == s && strcmp(p->named[i].name, name) == 0) {
            ini_error(f, f->line, "found [%s %s] again, expected it once (first in line %u)", word, name,
                      p->named[i].line);
            return false;
        }
    }
    if (*count >= max) {
        ini_error(f, f->line, "found more than %zu sections [%s ...]", max, word);
        return false;
    }
    if (s == NEIGHBOR)
        snprintf(c->neighbors[*count].name, DMUX_NAME_MAX + 1, "%s", name);
    if (s == FEDERATION) {
        _Static_assert(FEDERATION_NAME_MAX >= DMUX_NAME_MAX, "a name fits");
        snprintf(c->federations[*count].name, DMUX_NAME_MAX + 1, "%s", name);
    }
    n = &p->named[p->named_count++];
    n->section = s;
    n->line = f->line;
    snprintf(n->name, sizeof(n->name), "%s", name);
    ++*count;
    return true;
}

static bool begin(struct ini *f, unsigned s, const char *name)
{
    struct dmux_config *c = config_of(f);

    if (NAMED >> s & 1)
        return begin_named(f, s, name);
    if (s == GATEWAY || s == ROUTER || s == CLIENT) {
        if (c->role != DMUX_ROLE_NONE) {
            ini_error(f, f->line, "found [%s] too, expected one of [Gateway], [Router] and [Client]",
                      f->schema->sections[s]);
            return false;
        }
        c->role = s == GATEWAY ? DMUX_ROLE_GATEWAY : s == ROUTER ? DMUX_ROLE_ROUTER : DMUX_ROLE_CLIENT;
    }
    c->has_mesh |= s == MESH;
    return true;
}

static bool key_at(size_t i, struct ini_key *ret)
{
    if (i >= ARRAY_LEN(schema))
        return false;
    *ret = ini_row_key(&schema[i]);
    return true;
}

const struct ini_schema dmux_config_schema = {
    .sections = { "", "Gateway", "Provider", "Authority", "Mesh", "Seed", "Federation", "Border", "Bgp", "Neighbor",
                  "Ospf", "Router", "Admit", "Client", "Credential" },
    .named = NAMED,
    .expected = "[Gateway], [Provider NAME], [Authority NAME], [Mesh], [Seed NAME], [Federation NAME], "
                "[Border NAME], [Bgp], [Neighbor NAME], [Ospf], [Router], [Admit NAME], [Client] or [Credential NAME]",
    .first = "[Gateway], [Router] or [Client]",
    .key = key_at,
    .begin = begin,
    .read = read_key,
};

int dmux_config_parse(const char *file_name, const char *data, size_t len, struct text *errors,
                      struct dmux_config **ret)
{
    CLEANUP(cleanup_free) struct dmux_parse *p = calloc(1, sizeof(*p));
    struct dmux_config *c = calloc(1, sizeof(*c));
    int r = -ENOMEM;

    if (p && c) {
        p->ini = (struct ini){ .schema = &dmux_config_schema, .file_name = file_name, .errors = errors };
        p->c = c;
        r = ini_read(&p->ini, data, len);
    }
    if (r == 0)
        dmux_config_check(p);
    if (r == 0 && p->ini.out_of_memory)
        r = -ENOMEM;
    if (r == 0 && p->ini.errors_count > 0)
        r = -EINVAL;
    if (r < 0) {
        dmux_config_free(c);
        return r;
    }
    if (c->router_id.family == ADDR_NONE)
        c->router_id = c->address;
    *ret = c;
    return 0;
}

int dmux_config_load(const char *path, struct text *errors, struct dmux_config **ret)
{
    CLEANUP(cleanup_free) char *data = NULL;
    unsigned mode;
    ssize_t n = ini_load(path, errors, &data, &mode);

    return n < 0 ? (int)n : dmux_config_parse(path, data, (size_t)n, errors, ret);
}

void dmux_config_free(struct dmux_config *c)
{
    if (!c)
        return;
    identity_wipe(&c->identity);
    for (size_t i = 0; i < c->credentials_count; i++)
        identity_wipe(&c->credentials[i].identity);
    ident_wipe(c->secret, sizeof(c->secret));
    free(c);
}
