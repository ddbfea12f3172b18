/* prog/config_schema.c - the schema table and the readers of its types.
 *
 * A type is a reader: text in, a value in the struct out, or one error line. A field is a row: where it stands, its
 * type, range, default, role and help. A default is read by the same reader as a value from the file, so it cannot
 * disagree with it.
 *
 * Lists are separated by commas or spaces and a list key may be repeated; CONFIG_LIST_MAX items at most. */
#include "prog/config_schema.h"

#include "ident/tag.h"
#include "prog/units.h"
#include "wire/message.h"
#include "wire/shim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

/* --- readers --- */

static char *copy_text(struct config_parse *p, const char *s)
{
    char *copy = strdup(s);

    if (!copy)
        p->ini.out_of_memory = true;
    return copy;
}

static void read_path(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    char *copy;

    if (value[0] == '\0' || (f->max == 1 && value[0] != '/')) {
        ini_expected(&p->ini, value, NULL, f->max == 1 ? "an absolute path" : "a path");
        return;
    }
    copy = copy_text(p, value);
    free(*(char **)out);
    *(char **)out = copy;
}

bool config_ifname_valid(const char *s)
{
    size_t len = strlen(s);

    if (len == 0 || len >= CONFIG_IFNAME_SIZE || strcmp(s, ".") == 0 || strcmp(s, "..") == 0)
        return false;
    return steer_link_name_valid(s);
}

static void read_ifname(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    if (config_ifname_valid(value))
        memcpy(out, value, strlen(value) + 1);
    else
        ini_expected(&p->ini, value, NULL, "an interface name of 1 to %d characters", CONFIG_IFNAME_SIZE - 1);
}

static size_t choices_count(const char *const *choices)
{
    size_t n = 0;

    while (choices[n])
        n++;
    return n;
}

static int find_choice(const char *const *choices, const char *value)
{
    for (size_t i = 0; choices[i]; i++) {
        if (strcasecmp(value, choices[i]) == 0)
            return (int)i;
    }
    return -1;
}

static void join(const char *const *words, const char *between, struct text *t)
{
    for (size_t i = 0; words[i]; i++)
        text_add(t, "%s%s", i ? between : "", words[i]);
}

static void read_choice(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    int i = find_choice(f->choices, value);
    char buf[128];
    struct text t;

    if (i >= 0) {
        *(int *)out = i;
        return;
    }
    text_init(&t, buf, sizeof(buf));
    join(f->choices, ", ", &t);
    ini_expected(&p->ini, value, text_nearest(value, f->choices, choices_count(f->choices)), "one of %s", buf);
}

static bool to_integer(const char *s, int64_t *ret)
{
    bool hex = s[0] == '0' && (s[1] == 'x' || s[1] == 'X');
    char *end;
    long long v;

    if (strspn(s, hex ? "0123456789abcdefABCDEFxX" : "-0123456789") != strlen(s) || s[0] == '\0')
        return false;
    errno = 0;
    v = strtoll(s, &end, hex ? 16 : 10);
    if (errno || *end)
        return false;
    *ret = v;
    return true;
}

static void read_number(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    int64_t v;

    if (to_integer(value, &v) && v >= f->min && v <= f->max)
        *(int64_t *)out = v;
    else
        ini_expected(&p->ini, value, NULL, "a number from %" PRId64 " to %" PRId64, f->min, f->max);
}

static void read_duration(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    char low[UNIT_STRLEN], high[UNIT_STRLEN];
    span v;

    if (duration_parse(value, &v) == 0 && v >= f->min && v <= f->max) {
        *(span *)out = v;
        return;
    }
    ini_expected(&p->ini, value, NULL, "a time from %s to %s, such as 30s, 5m or 2h", duration_format(f->min, low),
                 duration_format(f->max, high));
}

static void read_rate(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    uint64_t v;

    if (rate_parse(value, &v) == 0 && v >= (uint64_t)f->min && v <= (uint64_t)f->max)
        *(uint64_t *)out = v;
    else
        ini_expected(&p->ini, value, NULL, "a rate from 64kbit to 1000gbit, such as 20mbit or 1.5gbit");
}

static void read_secret(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    struct config *c = p->config;
    int r = identity_secret_decode(value, out);

    if (r == 0)
        c->has_identity = true;
    else if (r == -ENOMEM)
        p->ini.out_of_memory = true;
    else
        ini_expected(&p->ini, value, NULL, "a secret key: %d characters, made by `hawser keygen`", KEY_TEXT_LEN);
}

static void read_public(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    struct config_peer *peer = CONTAINER_OF(out, struct config_peer, key);
    int r = peer_key_decode(value, out);

    peer->key_line = p->ini.line;
    if (r == 0)
        return;
    if (r == -EBADMSG)
        ini_expected(&p->ini, value, NULL, "a public key: its check does not match, a character is wrong");
    else if (r == -EPROTONOSUPPORT)
        ini_expected(&p->ini, value, NULL, "a public key of a version that this program knows");
    else if (strlen(value) == KEY_TEXT_LEN && strcmp(value + KEY_TEXT_LEN - 2, "==") == 0)
        ini_error(&p->ini, p->ini.line,
                  "found a secret key, expected the peer's public key (`hawser pubkey` tells it)");
    else
        ini_expected(&p->ini, value, NULL, "a public key: %d characters, told by `hawser pubkey`", KEY_TEXT_LEN);
}

static void read_publics(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    struct config_keys *list = out;

    if (list->count == ARRAY_LEN(list->keys))
        ini_error(&p->ini, p->ini.line, "found more than %zu, expected at most so many", ARRAY_LEN(list->keys));
    else if (peer_key_decode(value, &list->keys[list->count]) < 0)
        ini_expected(&p->ini, value, NULL, "a public key (`hawser pubkey`)");
    else
        list->count++;
}

static void read_psk(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    uint8_t psk[CONFIG_PSK_BYTES];

    if (base64_decode(value, psk, sizeof(psk)) == CONFIG_PSK_BYTES)
        memcpy(out, psk, sizeof(psk));
    else
        ini_expected(&p->ini, value, NULL, "%d bytes in base64 (44 characters)", CONFIG_PSK_BYTES);
    explicit_bzero(psk, sizeof(psk));
}

static void claim(struct config_parse *p, const struct prefix *prefix)
{
    struct config_claim *c = config_grow(p, &p->claims, &p->claims_count, sizeof(*c), SIZE_MAX);

    if (c)
        *c = (struct config_claim){ .prefix = *prefix, .line = p->ini.line };
}

static void read_addresses(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    struct config_addresses *list = out;
    char word[INI_WORD_SIZE], host[ADDR_STRLEN];
    const char *slash;
    struct prefix net, own;
    size_t count = list->count;

    while (ini_next_word(&value, word)) {
        struct config_address *a;

        slash = strchr(word, '/');
        snprintf(host, sizeof(host), "%.*s", slash ? (int)MIN(slash - word, 47) : 47, word);
        if (prefix_parse(word, true, &net) < 0 || prefix_parse(host, false, &own) < 0) {
            ini_expected(&p->ini, word, NULL, "an address with its prefix, such as 10.77.0.1/24 or fd00:77::1/64");
            return;
        }
        a = config_grow(p, &list->items, &list->count, sizeof(*a), CONFIG_LIST_MAX);
        if (!a)
            return;
        *a = (struct config_address){ .addr = own.addr, .len = net.len };
        claim(p, &own);
    }
    if (list->count == count)
        ini_expected(&p->ini, "", NULL, "an address with its prefix, such as 10.77.0.1/24");
}

/* f->max 1: the prefixes are claimed, so that nobody else may have the same. */
static void read_prefixes(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    struct config_prefixes *list = out;
    size_t count = list->count;
    char word[INI_WORD_SIZE], text[PREFIX_STRLEN];

    while (ini_next_word(&value, word)) {
        struct prefix v, *item;
        int r = prefix_parse(word, false, &v);

        if (r < 0) {
            bool host_bits = r == -ERANGE && prefix_parse(word, true, &v) == 0;

            ini_expected(&p->ini, word, host_bits ? prefix_format(&v, text) : NULL,
                         host_bits ? "a prefix without host bits" : "a prefix, such as 192.0.2.0/24 or fd00::/64");
            return;
        }
        item = config_grow(p, &list->items, &list->count, sizeof(*item), CONFIG_LIST_MAX);
        if (!item)
            return;
        *item = v;
        if (f->max == 1)
            claim(p, &v);
    }
    if (list->count == count)
        ini_expected(&p->ini, "", NULL, "a prefix, such as 192.0.2.0/24 or fd00::/64");
}

/* RFC 1123 2.1: letters, digits and hyphens; an all-numeric last label would be a mistyped address. */
static bool host_name_valid(const char *s)
{
    size_t len = strlen(s), label = 0;
    bool numeric = true;

    if (len == 0 || len > 253)
        return false;
    for (size_t i = 0; i < len; i++) {
        bool digit = s[i] >= '0' && s[i] <= '9';
        bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');

        if (s[i] == '.') {
            if (label == 0 || s[i - 1] == '-')
                return false;
            label = 0;
            numeric = true;
        } else if (digit || letter || (s[i] == '-' && label > 0)) {
            numeric = numeric && digit;
            if (++label > 63)
                return false;
        } else {
            return false;
        }
    }
    return label > 0 && !numeric && s[len - 1] != '-';
}

/* 0 and *ret (name allocated), -EINVAL, or -ENOMEM. */
static int endpoint_value(const char *word, struct config_endpoint *ret)
{
    char host[INI_WORD_SIZE];
    const char *colon = strrchr(word, ':');
    int64_t port = CONFIG_PORT;
    struct endpoint at;
    char *name;

    if (endpoint_parse(word, CONFIG_PORT, &at) == 0) {
        if (!addr_is_unicast(&at.addr) && !(at.addr.family == ADDR_V4 && at.addr.bytes[0] == 127))
            return -EINVAL;
        *ret = (struct config_endpoint){ .at = at };
        return 0;
    }
    if (colon && (!to_integer(colon + 1, &port) || port < 1 || port > 65535))
        return -EINVAL;
    snprintf(host, sizeof(host), "%.*s", colon ? (int)(colon - word) : INI_WORD_SIZE - 1, word);
    if (!host_name_valid(host))
        return -EINVAL;
    name = strdup(host);
    if (!name)
        return -ENOMEM;
    *ret = (struct config_endpoint){ .at.port = (uint16_t)port, .name = name };
    return 0;
}

static bool endpoint_same(const struct config_endpoint *a, const struct config_endpoint *b)
{
    return endpoint_equal(&a->at, &b->at) && (!a->name || (b->name && strcasecmp(a->name, b->name) == 0));
}

static void read_endpoints(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    struct config_endpoints *list = out;
    size_t count = list->count;
    char word[INI_WORD_SIZE];

    while (ini_next_word(&value, word)) {
        struct config_endpoint e, *item;
        int r = endpoint_value(word, &e);

        if (r == -ENOMEM) {
            p->ini.out_of_memory = true;
            return;
        }
        if (r < 0) {
            ini_expected(&p->ini, word, NULL,
                         "an endpoint, such as 192.0.2.1:51820, [2001:db8::1]:51820 or a host name");
            return;
        }
        for (size_t i = 0; i < list->count; i++) {
            if (endpoint_same(&list->items[i], &e)) {
                ini_expected(&p->ini, word, NULL, "each endpoint once");
                free(e.name);
                return;
            }
        }
        item = config_grow(p, &list->items, &list->count, sizeof(*item), CONFIG_ENDPOINTS_MAX);
        if (!item) {
            free(e.name);
            return;
        }
        *item = e;
    }
    if (list->count == count)
        ini_expected(&p->ini, "", NULL, "an endpoint, such as 192.0.2.1:51820");
}

/* Addresses and ports of this machine or of others, without names. f->min: the port where none is said. */
static void read_sockets(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    struct config_endpoints *list = out;
    struct config_endpoint *item;
    size_t count = list->count;
    char word[INI_WORD_SIZE];

    while (ini_next_word(&value, word)) {
        struct endpoint at;

        if (endpoint_parse(word, (uint16_t)f->min, &at) < 0 ||
            (!addr_is_unicast(&at.addr) && !addr_is_loopback(&at.addr))) {
            ini_expected(&p->ini, word, NULL,
                         "an address, with or without a port, such as 127.0.0.77 or 192.0.2.1:%" PRId64, f->min);
            return;
        }
        item = config_grow(p, &list->items, &list->count, sizeof(*item), (size_t)f->max);
        if (!item)
            return;
        *item = (struct config_endpoint){ .at = at };
    }
    if (list->count == count)
        ini_expected(&p->ini, "", NULL, "an address, such as 127.0.0.77");
}

static void read_routes(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    static const char *const words[] = { "auto", "none", NULL };
    struct config_route_set *r = out;
    int i = find_choice(words, value);
    bool again = false;

    for (size_t u = 0; u < p->uses_count; u++)
        again |= p->uses[u].field == f && p->uses[u].line < p->ini.line;
    if (again && (i >= 0 || r->list.count == 0)) {
        ini_expected(&p->ini, value, NULL, "auto or none alone, or only prefixes");
        return;
    }
    if (i < 0 && text_nearest(value, words, 2)) {
        ini_expected(&p->ini, value, text_nearest(value, words, 2), "auto, none or prefixes");
        return;
    }
    r->mode = i >= 0 ? i : CONFIG_ROUTES_LIST;
    if (i < 0)
        read_prefixes(p, f, value, &r->list);
}

static void read_nat(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    static const char *const words[] = { "no", "yes", NULL };
    struct config_nat *nat = out;
    int i = find_choice(words, value);

    *nat = (struct config_nat){ .enabled = i != 0 };
    if (i >= 0)
        return;
    if (config_ifname_valid(value))
        memcpy(nat->interface, value, strlen(value) + 1);
    else
        ini_expected(&p->ini, value, NULL, "yes, no or the name of an interface");
}

static void read_rule(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    struct steer_table *t = out;
    size_t before = t->count;
    char err[STEER_ERROR_MAX] = "";
    int r = steer_table_add_text(t, value, err, sizeof(err));

    if (r < 0)
        ini_error(&p->ini, p->ini.line, "Rule: %s", err[0] ? err : "not a rule");
    else if (t->count > before)
        p->rule_lines[before] = p->ini.line;
    else
        p->default_line = p->ini.line;
}

static void read_mode(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    const char *names[STEER_MODE_COUNT + 1] = { NULL };
    char buf[192];
    struct text t;
    int i;

    for (int m = 0; m < STEER_MODE_COUNT; m++)
        names[m] = steer_mode_name((enum steer_mode)m);
    i = find_choice(names, value);
    if (i == STEER_BYPASS) {
        ini_error(&p->ini, p->ini.line, "found mode bypass for everything, expected Routes = none");
        return;
    }
    if (i >= 0) {
        p->mode = i;
        return;
    }
    text_init(&t, buf, sizeof(buf));
    join(names, ", ", &t);
    ini_expected(&p->ini, value, text_nearest(value, names, STEER_MODE_COUNT), "one of %s", buf);
}

static void read_offload(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    static const char *const words[] = { "csum", "tso", "uso", "gso", "gro", "yes", "no", NULL };
    unsigned bits = 0;
    char word[INI_WORD_SIZE];
    bool any = false;

    while (ini_next_word(&value, word)) {
        int i = find_choice(words, word);

        if (i < 0 || (i >= 5 && (any || value[strspn(value, " \t,")] != '\0'))) {
            ini_expected(&p->ini, word, i < 0 ? text_nearest(word, words, ARRAY_LEN(words) - 1) : NULL,
                         "yes, no, or some of csum, tso, uso, gso, gro");
            return;
        }
        bits |= i == 5 ? (unsigned)CONFIG_OFFLOAD_ALL : i == 6 ? 0 : 1u << i;
        any = true;
    }
    if (any)
        *(unsigned *)out = bits;
    else
        ini_expected(&p->ini, "", NULL, "yes, no, or some of csum, tso, uso, gso, gro");
}

static void read_wifi(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    static const char *const words[] = { "auto", "file:PATH", "off" };
    struct config_signal *w = out;

    if (strcasecmp(value, "auto") == 0) {
        w->source = CONFIG_WIFI_AUTO;
    } else if (strcasecmp(value, "off") == 0) {
        w->source = CONFIG_WIFI_OFF;
    } else if (strncmp(value, "file:/", 6) == 0) {
        free(w->file);
        w->file = copy_text(p, value + 5);
        w->source = CONFIG_WIFI_FILE;
    } else {
        ini_expected(&p->ini, value, text_nearest(value, words, ARRAY_LEN(words)), "auto, off or file:/PATH");
    }
}

/* A port, or none: -1. */
static void read_port(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    int64_t port;

    if (strcasecmp(value, "no") == 0)
        *(int64_t *)out = -1;
    else if (to_integer(value, &port) && port >= 1 && port <= 65535)
        *(int64_t *)out = port;
    else
        ini_expected(&p->ini, value, NULL, "a port of 1 to 65535, or no");
}

static void read_identifier(struct config_parse *p, const struct config_field *f, const char *value, void *out)
{
    struct tag t;

    if (tag_parse(value, &t) < 0)
        ini_expected(&p->ini, value, NULL, "a tag, such as 2001:3f:..., as `hawser id` shows it");
    else
        *(struct tag *)out = t;
}

static const struct config_type type_identifier = { "tag", read_identifier, false };
static const struct config_type type_path = { "path", read_path, false };
static const struct config_type type_ifname = { "interface", read_ifname, false };
static const struct config_type type_choice = { "choice", read_choice, false };
static const struct config_type type_number = { "number", read_number, false };
static const struct config_type type_port = { "port or no", read_port, false };
static const struct config_type type_duration = { "time", read_duration, false };
static const struct config_type type_rate = { "rate", read_rate, false };
static const struct config_type type_secret = { "secret key", read_secret, true };
static const struct config_type type_public = { "public key", read_public, false };
static const struct config_type type_publics = { "public key", read_publics, false };
static const struct config_type type_psk = { "base64", read_psk, true };
static const struct config_type type_addresses = { "addresses", read_addresses, false };
static const struct config_type type_prefixes = { "prefixes", read_prefixes, false };
static const struct config_type type_endpoints = { "endpoints", read_endpoints, false };
static const struct config_type type_sockets = { "addresses and ports", read_sockets, false };
static const struct config_type type_routes = { "routes", read_routes, false };
static const struct config_type type_nat = { "yes, no or interface", read_nat, false };
static const struct config_type type_rule = { "steering rule", read_rule, false };
static const struct config_type type_mode = { "steering mode", read_mode, false };
static const struct config_type type_offload = { "yes, no or list", read_offload, false };
static const struct config_type type_wifi = { "auto, off or file:PATH", read_wifi, false };

/* --- the schema --- */

static const char *const role_names[] = { "node", "agent", "host", NULL };
static const char *const tier_names[] = { "primary", "secondary", "backup", "never", NULL };
static const char *const tcp_names[] = { "auto", "no", "only", NULL };
static const char *const ipv6_names[] = { "tunnel", "block", "direct", NULL };
static const char *const port_mapping_names[] = { "no", "yes", "nat-pmp", NULL };
static const char *const yes_names[] = { "no", "yes", NULL };
static const char *const answer_names[] = { "agent", "coarse", "full", NULL };
static const char *const loss_names[] = { "block", "direct", NULL };

#define IN(member) .section = CONFIG_INTERFACE, .offset = offsetof(struct config, member)
#define LK(member) .section = CONFIG_LINK, .offset = offsetof(struct config_link, member), .roles = CONFIG_OF_ALL
#define NM(member) .section = CONFIG_NAMES, .offset = offsetof(struct config, names.member), .roles = CONFIG_OF_ALL
#define DN(member) .section = CONFIG_DNS, .offset = offsetof(struct config, member), .roles = CONFIG_OF_ALL
#define PR(member) .section = CONFIG_PEER, .offset = offsetof(struct config_peer, member)

const struct config_field config_schema[] = {
    { IN(name), .key = "Name", .type = &type_ifname, .fallback = "hawser0", .roles = CONFIG_OF_ALL,
      .help = "name of the tunnel's network device" },
    { IN(role), .key = "Role", .type = &type_choice, .choices = role_names, .roles = CONFIG_OF_ALL,
      .help = "node (agent when ListenPort is given), agent, or host" },
    { IN(identity), .key = "PrivateKey", .type = &type_secret, .roles = CONFIG_OF_ALL,
      .help = "this machine's secret key" },
    { IN(private_key_file), .key = "PrivateKeyFile", .type = &type_path, .roles = CONFIG_OF_ALL,
      .help = "file that holds the secret key; only its owner may read it" },
    { IN(listen_port), .key = "ListenPort", .type = &type_number, .min = 1, .max = 65535,
      .roles = CONFIG_OF_AGENT | CONFIG_OF_HOST, .help = "UDP port (51820)" },
    { IN(listen_tcp), .key = "ListenTcp", .type = &type_port, .roles = CONFIG_OF_AGENT,
      .help = "TCP port for nodes whose UDP does not pass (443 if it is free), or no" },
    { IN(relay_for), .key = "RelayFor", .type = &type_publics, .multiple = true, .roles = CONFIG_OF_AGENT,
      .help = "public key of a realm's manager: its hosts are relayed for" },
    { IN(workers), .key = "Workers", .type = &type_number, .min = 1, .max = 8, .roles = CONFIG_OF_AGENT,
      .help = "threads: 1, 2, 4 or 8 (as many as there are processors and peers, at most 4)" },
    { IN(addresses), .key = "Address", .type = &type_addresses, .multiple = true, .roles = CONFIG_OF_AGENT,
      .help = "the agent's own tunnel addresses; their prefixes are the pool for nodes" },
    { IN(mtu), .key = "MTU", .type = &type_number, .min = 1280, .max = 9000, .fallback = "1400", .unit = "bytes",
      .roles = CONFIG_OF_ALL, .help = "largest packet in the tunnel" },
    { IN(routes), .key = "Routes", .type = &type_routes, .fallback = "auto", .multiple = true, .roles = CONFIG_OF_NODE,
      .help = "what goes through the tunnel: auto (all), none, or prefixes" },
    { IN(steer), .key = "Mode", .type = &type_mode, .fallback = "stripe", .roles = CONFIG_OF_NODE | CONFIG_OF_HOST,
      .help = "how packets use the links when no rule says so" },
    { IN(steer), .key = "Rule", .type = &type_rule, .multiple = true, .roles = CONFIG_OF_NODE | CONFIG_OF_HOST,
      .help = "steering rule: PREFIX|any|default [PROTO [PORTS]] [dscp D] [mark M] [via LINKS] [mode M] [class C]" },
    { IN(nat), .key = "NAT", .type = &type_nat, .fallback = "yes", .roles = CONFIG_OF_AGENT,
      .help = "translate what nodes send to other networks" },
    { IN(announce), .key = "Announce", .type = &type_endpoints, .multiple = true, .roles = CONFIG_OF_AGENT,
      .help = "further endpoints of the agent that nodes are told" },
    { IN(state_dir), .key = "StateDir", .type = &type_path, .max = 1, .fallback = "/var/lib/hawser",
      .roles = CONFIG_OF_ALL, .help = "folder of what must survive a restart" },
    { IN(control), .key = "Control", .type = &type_path, .max = 1, .roles = CONFIG_OF_ALL,
      .help = "control socket (/run/hawser/NAME.sock)" },
    { IN(wait), .key = "Wait", .type = &type_duration, .min = SEC, .max = 86400 * SEC, .fallback = "10m",
      .roles = CONFIG_OF_ALL, .help = "how long a session without a path is kept" },
    { IN(ipv6), .key = "IPv6", .type = &type_choice, .choices = ipv6_names, .fallback = "tunnel",
      .roles = CONFIG_OF_NODE, .help = "tunnel (blocked when the agent carries none), block, or direct" },
    { IN(on_agent_loss), .key = "OnAgentLoss", .type = &type_choice, .choices = loss_names, .fallback = "block",
      .roles = CONFIG_OF_NODE, .help = "without an agent: block, or direct through the uplinks" },
    { IN(offload), .key = "Offload", .type = &type_offload, .fallback = "yes", .roles = CONFIG_OF_ALL,
      .help = "offloads that may be used: yes, no, or some of csum, tso, uso, gso, gro" },
    { IN(copy_dscp), .key = "CopyDSCP", .type = &type_choice, .choices = yes_names, .fallback = "yes",
      .roles = CONFIG_OF_ALL, .help = "datagrams have the DSCP of the packets in them" },
    { IN(port_mapping), .key = "PortMapping", .type = &type_choice, .choices = port_mapping_names, .fallback = "yes",
      .roles = CONFIG_OF_HOST,
      .help = "ask the links' gateways for ports that lead here: yes (PCP, or NAT-PMP), nat-pmp, or no" },

    { LK(tier), .key = "Tier", .type = &type_choice, .choices = tier_names, .fallback = "primary",
      .help = "rank of the link" },
    { LK(weight), .key = "Weight", .type = &type_number, .min = 1, .max = 1000, .fallback = "100",
      .help = "share under load balancing" },
    { LK(rate_up_bps), .key = "RateUp", .type = &type_rate, .min = 64000, .max = 1000000000000,
      .help = "ceiling for sending (none)" },
    { LK(metered), .key = "Metered", .type = &type_choice, .choices = yes_names, .fallback = "no",
      .help = "bytes cost: what the link would carry is not measured while it is idle" },
    { LK(wifi), .key = "WifiSignal", .type = &type_wifi, .fallback = "auto",
      .help = "where the signal strength comes from" },
    { LK(signal_low_dbm), .key = "SignalLow", .type = &type_number, .min = -120, .max = 0, .fallback = "-75",
      .unit = "dBm", .help = "leave the link below this" },
    { LK(signal_high_dbm), .key = "SignalHigh", .type = &type_number, .min = -120, .max = 0, .fallback = "-68",
      .unit = "dBm", .help = "come back above this" },
    { LK(ports), .key = "Ports", .type = &type_number, .min = 1, .max = 4, .fallback = "1",
      .help = "UDP source ports, each a path of its own" },
    { LK(tcp), .key = "Tcp", .type = &type_choice, .choices = tcp_names, .fallback = "auto",
      .help = "TCP to the agent: auto (while UDP does not pass), no, or only" },

    { PR(key), .key = "PublicKey", .type = &type_public, .roles = CONFIG_OF_ALL,
      .help = "the peer's public key; a node with [Names] may leave it out, and find agents by name or by Anycast" },
    { PR(psk), .key = "PresharedKey", .type = &type_psk, .roles = CONFIG_OF_NODE | CONFIG_OF_AGENT,
      .help = "32 bytes that both sides share, in base64" },
    { PR(endpoints), .key = "Endpoint", .type = &type_endpoints, .multiple = true,
      .roles = CONFIG_OF_NODE | CONFIG_OF_HOST, .help = "where the agent is; required on a node without Anycast" },
    { PR(anycast), .key = "Anycast", .type = &type_sockets, .min = DMUX_PORT, .max = 1, .roles = CONFIG_OF_NODE,
      .help = "an anycast address at which the nearest agent of the Root is asked for" },
    { PR(identifier), .key = "Identifier", .type = &type_identifier, .roles = CONFIG_OF_HOST,
      .help = "the other host's tag (that which a key has outside of realms)" },
    { PR(tcp_port), .key = "TcpPort", .type = &type_port, .fallback = "443", .roles = CONFIG_OF_NODE,
      .help = "TCP port of the agent, or no" },
    { PR(addresses), .key = "Address", .type = &type_prefixes, .max = 1, .multiple = true, .roles = CONFIG_OF_AGENT,
      .help = "the node's addresses (from the pool)" },
    { PR(allowed_prefixes), .key = "AllowedPrefixes", .type = &type_prefixes, .max = 1, .multiple = true,
      .roles = CONFIG_OF_AGENT, .help = "networks behind the node" },
    { PR(allowed_destinations), .key = "AllowedDestinations", .type = &type_prefixes, .multiple = true,
      .roles = CONFIG_OF_AGENT, .help = "what the node may reach (anything but link-local and loopback)" },

    { NM(root), .key = "Root", .type = &type_path, .required = true,
      .help = "file: the record of the root whose names are believed" },
    { NM(managers), .key = "Manager", .type = &type_sockets, .min = CONFIG_REALM_PORT, .max = 16, .multiple = true,
      .help = "where the managers of the root are; without, no names are looked up" },
    { NM(chain), .key = "Chain", .type = &type_path,
      .help = "file: the records from the root to this machine's key, for managers that do not know it" },
    { NM(answer), .key = "Class", .type = &type_choice, .choices = answer_names, .fallback = "full",
      .help = "host: who is told where it is: who may have answers of this class or above" },

    { DN(dns_listen), .key = "Listen", .type = &type_sockets, .min = CONFIG_DNS_PORT, .max = 8, .multiple = true,
      .required = true, .help = "where programs ask for names, by UDP and TCP" },
};

const size_t config_schema_count = ARRAY_LEN(config_schema);

bool config_schema_at(size_t i, struct config_key *ret)
{
    static const char *const sections[] = { "", "Interface", "Link NAME", "Peer NAME", "Names", "Dns" };
    const struct config_field *f = &config_schema[i];
    char low[UNIT_STRLEN], high[UNIT_STRLEN];
    struct text t;

    if (i >= config_schema_count)
        return false;
    *ret = (struct config_key){ .section = sections[f->section],
                                .key = f->key,
                                .type = f->type->name,
                                .fallback = f->fallback,
                                .unit = f->unit,
                                .help = f->help,
                                .multiple = f->multiple };
    text_init(&t, ret->range, sizeof(ret->range));
    if (f->choices)
        join(f->choices, "|", &t);
    else if (f->type == &type_duration)
        text_add(&t, "%s..%s", duration_format(f->min, low), duration_format(f->max, high));
    else if (f->type == &type_rate)
        text_add(&t, "%s..%s", rate_format((uint64_t)f->min, low), rate_format((uint64_t)f->max, high));
    else if (f->type == &type_number)
        text_add(&t, "%" PRId64 "..%" PRId64, f->min, f->max);
    return true;
}

const char *config_role_name(enum config_role r)
{
    return role_names[r];
}

const char *config_tier_name(enum config_tier t)
{
    return t < CONFIG_TIER_COUNT ? tier_names[t] : "?";
}

int config_tier_parse(const char *s, enum config_tier *ret)
{
    int i = find_choice(tier_names, s);

    if (i < 0)
        return -EINVAL;
    *ret = (enum config_tier)i;
    return 0;
}
