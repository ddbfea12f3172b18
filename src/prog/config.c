/* prog/config.c - see config.h.
 *
 * prog/ini_file.h reads the file by the table of config_schema.c, where each row's type reads its value. What needs the
 * whole file (keys of the other role, addresses claimed twice) is checked at the end.
 *
 * Limits: config.h. Cost: sorting the claimed prefixes and the peers' keys, n log n. */
#include "prog/config_schema.h"
#include "prog/secret_file.h"
#include "wire/message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

void *config_grow(struct config_parse *p, void *items_ptr, size_t *count, size_t item_size, size_t max)
{
    char *items;

    if (*count >= max) {
        ini_error(&p->ini, p->ini.line, "found more than %zu items, expected at most %zu", max, max);
        return NULL;
    }
    memcpy(&items, items_ptr, sizeof(items));
    if ((*count & (*count - 1)) == 0) { /* full at powers of two */
        char *grown = reallocarray(items, *count ? *count * 2 : 1, item_size);

        if (!grown) {
            p->ini.out_of_memory = true;
            return NULL;
        }
        items = grown;
        memcpy(items_ptr, &items, sizeof(items));
    }
    memset(items + *count * item_size, 0, item_size);
    return items + (*count)++ * item_size;
}

/* --- sections --- */

static void *section_base(struct config_parse *p, enum config_section section)
{
    struct config *c = p->config;

    if (section == CONFIG_LINK)
        return &c->links[c->links_count - 1];
    return section == CONFIG_PEER ? (void *)&c->peers[c->peers_count - 1] : c;
}

static bool peer_name_valid(const char *s)
{
    size_t len = strlen(s);

    return len > 0 && len <= CONFIG_PEER_NAME_MAX &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static bool begin_link(struct config_parse *p, const char *name)
{
    struct config *c = p->config;
    struct config_link *l;

    if (!config_ifname_valid(name)) {
        ini_error(&p->ini, p->ini.line, "found [Link %s], expected [Link NAME] with the name of an interface", name);
        return false;
    }
    for (size_t i = 0; i < c->links_count; i++) {
        if (strcmp(c->links[i].name, name) == 0) {
            ini_error(&p->ini, p->ini.line, "found [Link %s] again, expected it once (first in line %u)", name,
                      c->links[i].line);
            return false;
        }
    }
    l = config_grow(p, &c->links, &c->links_count, sizeof(*l), CONFIG_LINKS_MAX);
    if (!l)
        return false;
    memcpy(l->name, name, strlen(name) + 1);
    l->line = p->ini.line;
    return true;
}

static bool begin_peer(struct config_parse *p, const char *name)
{
    struct config *c = p->config;
    struct config_peer *peer;

    if (!peer_name_valid(name)) {
        ini_error(&p->ini, p->ini.line,
                  "found [Peer%s%s], expected [Peer NAME] with 1 to %d letters, digits, dots, hyphens or underscores",
                  *name ? " " : "", name, CONFIG_PEER_NAME_MAX);
        return false;
    }
    for (size_t i = 0; i < c->peers_count; i++) {
        if (strcmp(c->peers[i].name, name) == 0) {
            ini_error(&p->ini, p->ini.line, "found [Peer %s] again, expected it once (first in line %u)", name,
                      c->peers[i].line);
            return false;
        }
    }
    peer = config_grow(p, &c->peers, &c->peers_count, sizeof(*peer), CONFIG_PEERS_MAX);
    if (!peer)
        return false;
    memcpy(peer->name, name, strlen(name) + 1);
    peer->line = p->ini.line;
    return true;
}

static bool begin(struct ini *f, unsigned section, const char *name)
{
    struct config_parse *p = CONTAINER_OF(f, struct config_parse, ini);

    if (section == CONFIG_LINK)
        return begin_link(p, name);
    return section != CONFIG_PEER || begin_peer(p, name);
}

static bool key_at(size_t i, struct ini_key *ret)
{
    const struct config_field *f = &config_schema[i];

    if (i >= config_schema_count)
        return false;
    *ret = (struct ini_key){ .section = f->section,
                             .key = f->key,
                             .fallback = f->fallback,
                             .required = f->required,
                             .multiple = f->multiple,
                             .secret = f->type->secret };
    return true;
}

static void read_key(struct ini *f, size_t key, const char *value)
{
    struct config_parse *p = CONTAINER_OF(f, struct config_parse, ini);
    const struct config_field *field = &config_schema[key];

    if (!f->falls_back) {
        struct config_use *use = config_grow(p, &p->uses, &p->uses_count, sizeof(*use), SIZE_MAX);

        if (!use)
            return;
        *use = (struct config_use){ .field = field, .line = f->line };
    }
    field->type->read(p, field, value, (char *)section_base(p, field->section) + field->offset);
}

static const struct ini_schema schema = {
    .sections = { "", "Interface", "Link", "Peer", "Names", "Dns" },
    .named = 1u << CONFIG_LINK | 1u << CONFIG_PEER,
    .expected = "[Interface], [Link NAME], [Peer NAME], [Names] or [Dns]",
    .first = "[Interface]",
    .key = key_at,
    .begin = begin,
    .read = read_key,
};

/* --- the whole file --- */

/* The line of a key of [Interface], or 0. */
static unsigned used_line(const struct config_parse *p, const char *key)
{
    for (size_t i = 0; i < p->uses_count; i++) {
        if (p->uses[i].field->section == CONFIG_INTERFACE && strcmp(p->uses[i].field->key, key) == 0)
            return p->uses[i].line;
    }
    return 0;
}

static void check_role(struct config_parse *p)
{
    struct config *c = p->config;
    static const char *const who[] = {
        [CONFIG_OF_NODE] = "a node",
        [CONFIG_OF_AGENT] = "an agent",
        [CONFIG_OF_HOST] = "a host",
        [CONFIG_OF_NODE | CONFIG_OF_HOST] = "a node or a host",
        [CONFIG_OF_AGENT | CONFIG_OF_HOST] = "an agent or a host",
        [CONFIG_OF_NODE | CONFIG_OF_AGENT] = "a node or an agent",
    };
    int roles;

    if (!used_line(p, "Role") && used_line(p, "ListenPort"))
        c->role = CONFIG_AGENT;
    if (c->role != CONFIG_NODE && c->listen_port == 0)
        c->listen_port = CONFIG_PORT;
    roles = 1 << c->role;
    for (size_t i = 0; i < p->uses_count; i++) {
        const struct config_field *field = p->uses[i].field;

        if (!(field->roles & roles))
            ini_error(&p->ini, p->uses[i].line, "found %s on %s, expected it on %s only", field->key, who[roles],
                      who[field->roles]);
    }
}

static void check_interface(struct config_parse *p, unsigned line)
{
    struct config *c = p->config;
    unsigned own = used_line(p, "PrivateKey"), from_file = used_line(p, "PrivateKeyFile");

    c->private_key_file_line = from_file;
    if (own && from_file)
        ini_error(&p->ini, MAX(own, from_file), "found PrivateKey and PrivateKeyFile, expected one of them");
    else if (!own && !from_file)
        ini_error(&p->ini, line,
                  "found neither PrivateKey nor PrivateKeyFile, expected one (`hawser keygen FILE` makes it)");
    if (c->role == CONFIG_AGENT && !used_line(p, "Address"))
        ini_error(&p->ini, line, "found no Address, expected the agent's own, such as 10.77.0.1/24");
    if (c->role == CONFIG_NODE && c->peers_count == 0)
        ini_error(&p->ini, line, "found no [Peer NAME], expected the agent");
    if (used_line(p, "Mode") && c->steer.has_default)
        ini_error(&p->ini, used_line(p, "Mode"), "found Mode and a rule for default, expected one of them");
    if (!c->steer.has_default)
        c->steer.fallback.mode = (uint8_t)p->mode;
    if (!c->control) {
        char path[64];

        snprintf(path, sizeof(path), "/run/hawser/%s.sock", c->name);
        c->control = strdup(path);
        p->ini.out_of_memory |= !c->control;
    } else if (strlen(c->control) > CONFIG_SOCKET_PATH_MAX) {
        ini_error(&p->ini, used_line(p, "Control"), "found Control of %zu characters, expected at most %d",
                  strlen(c->control), CONFIG_SOCKET_PATH_MAX);
    }
}

static void check_links(struct config_parse *p)
{
    for (size_t i = 0; i < p->config->links_count; i++) {
        const struct config_link *l = &p->config->links[i];

        if (l->signal_low_dbm >= l->signal_high_dbm)
            ini_error(&p->ini, l->line,
                      "found SignalLow %" PRId64 " and SignalHigh %" PRId64 ", expected SignalLow below SignalHigh",
                      l->signal_low_dbm, l->signal_high_dbm);
    }
}

static void check_tcp(struct config_parse *p)
{
    const struct config *c = p->config;

    for (size_t i = 0; i < c->links_count && c->peers_count > 0; i++)
        if (c->links[i].tcp == CONFIG_TCP_ONLY && c->peers[0].tcp_port < 0)
            ini_error(&p->ini, c->links[i].line,
                      "found Tcp = only and TcpPort = no, expected the TCP port of the agent");
}

/* Where the file lists the links, rules may name only those. */
static void check_action_links(struct config_parse *p, const struct steer_action *a, unsigned line)
{
    const struct config *c = p->config;
    const char *names[CONFIG_LINKS_MAX] = { NULL }, *near;

    for (size_t i = 0; i < c->links_count; i++)
        names[i] = c->links[i].name;
    for (size_t i = 0; i < a->links_count && c->links_count > 0; i++) {
        char name[STEER_LINK_NAMELEN + 1] = "";

        memcpy(name, a->links[i], STEER_LINK_NAMELEN);
        if (config_link_find(c, name))
            continue;
        near = text_nearest(name, names, c->links_count);
        ini_error(&p->ini, line, "found link %s, expected one with a [Link] section%s%s%s", name,
                  near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    }
}

/* What the daemon can do with a packet is decided by what it sees of it. */
static void check_rule(struct config_parse *p, const struct steer_rule *r, unsigned line)
{
    if (r->action.mode == STEER_BYPASS &&
        (r->dst.addr.family == ADDR_NONE || r->proto || r->ports_count || r->dscp != STEER_DSCP_ANY))
        ini_error(&p->ini, line,
                  "Rule: found mode bypass with more than a prefix, expected a prefix alone: it is a route");
}

static void check_rules(struct config_parse *p)
{
    const struct config *c = p->config;

    for (size_t i = 0; i < c->steer.count; i++) {
        check_rule(p, &c->steer.rules[i], p->rule_lines[i]);
        check_action_links(p, &c->steer.rules[i].action, p->rule_lines[i]);
    }
    if (!p->default_line)
        return;
    check_action_links(p, &c->steer.fallback, p->default_line);
    if (c->steer.fallback.mode == STEER_BYPASS)
        ini_error(&p->ini, p->default_line, "Rule: found mode bypass for everything, expected Routes = none");
}

static int compare_claims(const void *a, const void *b)
{
    const struct config_claim *x = a, *y = b;
    int r = memcmp(&x->prefix.addr.family, &y->prefix.addr.family, 1);

    if (r == 0)
        r = memcmp(x->prefix.addr.bytes, y->prefix.addr.bytes, sizeof(x->prefix.addr.bytes));
    if (r == 0)
        r = (int)x->prefix.len - (int)y->prefix.len;
    return r ? r : (x->line > y->line) - (x->line < y->line);
}

static void check_claims(struct config_parse *p)
{
    char text[PREFIX_STRLEN];

    if (p->claims_count > 1)
        qsort(p->claims, p->claims_count, sizeof(p->claims[0]), compare_claims);
    for (size_t i = 1; i < p->claims_count; i++) {
        if (prefix_equal(&p->claims[i - 1].prefix, &p->claims[i].prefix))
            ini_error(&p->ini, p->claims[i].line, "found %s again, expected each address once (first in line %u)",
                      prefix_format(&p->claims[i].prefix, text), p->claims[i - 1].line);
    }
}

static int compare_peers(const void *a, const void *b)
{
    const struct config_peer *x = *(const struct config_peer *const *)a, *y = *(const struct config_peer *const *)b;
    int r = memcmp(x->key.ed25519, y->key.ed25519, IDENT_KEY_LEN);

    return r ? r : (x->line > y->line) - (x->line < y->line);
}

static void check_own_key(struct config_parse *p)
{
    const struct config *c = p->config;

    for (size_t i = 0; i < c->peers_count && c->has_identity; i++) {
        const struct config_peer *peer = &c->peers[i];

        if (memcmp(peer->key.ed25519, c->identity.ed25519, IDENT_KEY_LEN) == 0)
            ini_error(&p->ini, peer->key_line, "found this machine's own PublicKey, expected the peer's");
    }
}

/* A node's agents may be known by names alone, which records lead to keys; or the nearest one is asked for. */
static bool found_by_name(const struct config *c, const struct config_peer *peer)
{
    if (c->role == CONFIG_NODE && peer->anycast.count > 0)
        return true;
    for (size_t i = 0; i < peer->endpoints.count; i++)
        if (!peer->endpoints.items[i].name)
            return false;
    return c->role == CONFIG_NODE && peer->endpoints.count > 0 && c->names.managers.count > 0;
}

static void check_anycast(struct config_parse *p, const struct config_peer *peer)
{
    if (peer->key_line != 0 || peer->endpoints.count > 0)
        ini_error(&p->ini, peer->line,
                  "found Anycast and PublicKey or Endpoint in this section, expected Anycast alone");
    if (!p->config->names.root)
        ini_error(&p->ini, peer->line, "found Anycast without [Names], expected the Root of agents that are believed");
    if (peer->anycast.items[0].at.addr.family != ADDR_V4)
        ini_error(&p->ini, peer->line, "found an IPv6 address in Anycast, expected IPv4");
}

static void check_peers(struct config_parse *p)
{
    struct config *c = p->config;
    CLEANUP(cleanup_free) const struct config_peer **order = NULL;

    if (c->role == CONFIG_NODE && c->peers_count > 1)
        ini_error(&p->ini, c->peers[1].line, "found a second [Peer], expected one: a node has one agent");

    if (c->peers_count == 0)
        return;
    order = calloc(c->peers_count, sizeof(struct config_peer *));
    if (!order) {
        p->ini.out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < c->peers_count; i++) {
        const struct config_peer *peer = order[i] = &c->peers[i];

        if (peer->key_line == 0 && !found_by_name(c, peer))
            ini_error(&p->ini, peer->line, "found no PublicKey in this section, expected one");
        if (c->role == CONFIG_NODE && peer->anycast.count > 0)
            check_anycast(p, peer);
        else if (c->role == CONFIG_NODE && peer->endpoints.count == 0)
            ini_error(&p->ini, peer->line, "found no Endpoint in this section, expected one");
        if (peer->addresses.count > CONFIG_ADDRESSES_MAX)
            ini_error(&p->ini, peer->line, "found %zu addresses for one peer, expected at most %d",
                      peer->addresses.count, CONFIG_ADDRESSES_MAX);
    }
    qsort(order, c->peers_count, sizeof(struct config_peer *), compare_peers);
    for (size_t i = 1; i < c->peers_count; i++) {
        const struct config_peer *a = order[i - 1], *b = order[i];
        static const uint8_t none[IDENT_KEY_LEN];

        if (memcmp(a->key.ed25519, b->key.ed25519, IDENT_KEY_LEN) == 0 &&
            memcmp(b->key.ed25519, none, IDENT_KEY_LEN) != 0)
            ini_error(&p->ini, b->key_line,
                      "found the PublicKey of [Peer %s] again, expected one of its own (first in line %u)", a->name,
                      a->key_line);
    }
}

int config_parse(const char *file_name, const char *data, size_t len, struct text *errors, struct config **ret)
{
    struct config_parse p = { .ini = { .schema = &schema, .file_name = file_name, .errors = errors },
                              .mode = STEER_STRIPE };
    const unsigned *once = p.ini.once;
    int r;

    p.config = calloc(1, sizeof(*p.config));
    if (!p.config)
        return -ENOMEM;
    steer_table_init(&p.config->steer);
    r = ini_read(&p.ini, data, len);
    if (r == 0 && !once[CONFIG_INTERFACE]) {
        ini_error(&p.ini, 0, "found no [Interface] section, expected one");
    } else if (r == 0) {
        check_role(&p);
        check_interface(&p, once[CONFIG_INTERFACE]);
        check_links(&p);
        check_tcp(&p);
        check_rules(&p);
        check_claims(&p);
        check_peers(&p);
        check_own_key(&p);
        if (once[CONFIG_DNS] && !once[CONFIG_NAMES])
            ini_error(&p.ini, once[CONFIG_DNS], "found [Dns] without [Names], expected both");
        if (once[CONFIG_DNS] && once[CONFIG_NAMES] && p.config->names.managers.count == 0)
            ini_error(&p.ini, once[CONFIG_NAMES], "found no Manager in this section, expected one: [Dns] asks it");
    }
    steer_table_compile(&p.config->steer);
    free(p.uses);
    free(p.claims);
    if (p.ini.out_of_memory)
        r = -ENOMEM;
    else if (p.ini.errors_count > 0)
        r = -EINVAL;
    if (r < 0)
        config_free(p.config);
    else
        *ret = p.config;
    return r;
}

static void endpoints_free(struct config_endpoints *e)
{
    for (size_t i = 0; i < e->count; i++)
        free(e->items[i].name);
    free(e->items);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->links_count; i++)
        free(c->links[i].wifi.file);
    for (size_t i = 0; i < c->peers_count; i++) {
        struct config_peer *peer = &c->peers[i];

        explicit_bzero(peer->psk, sizeof(peer->psk));
        endpoints_free(&peer->endpoints);
        endpoints_free(&peer->anycast);
        free(peer->addresses.items);
        free(peer->allowed_prefixes.items);
        free(peer->allowed_destinations.items);
    }
    identity_wipe(&c->identity);
    endpoints_free(&c->announce);
    endpoints_free(&c->names.managers);
    endpoints_free(&c->dns_listen);
    free(c->names.root);
    free(c->names.chain);
    free(c->addresses.items);
    free(c->routes.list.items);
    free(c->private_key_file);
    free(c->state_dir);
    free(c->control);
    free(c->links);
    free(c->peers);
    free(c);
}

const struct config_link *config_link_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->links_count; i++) {
        if (strcmp(c->links[i].name, name) == 0)
            return &c->links[i];
    }
    return NULL;
}

/* --- files --- */

static void load_key_file(struct config_parse *p)
{
    struct config *c = p->config;
    char path[INI_PATH_SIZE], line[256], err[FILE_ERR];

    ini_beside(&p->ini, c->private_key_file, path);
    if (secret_file_line(path, line, sizeof(line), err) < 0) {
        ini_error(&p->ini, c->private_key_file_line, "PrivateKeyFile %s", err);
        return;
    }
    c->has_identity = identity_secret_decode(line, &c->identity) == 0;
    if (!c->has_identity)
        ini_error(&p->ini, c->private_key_file_line,
                  "PrivateKeyFile %s: found %zu characters, expected a secret key of %d", path, strlen(line),
                  KEY_TEXT_LEN);
    explicit_bzero(line, sizeof(line));
}

/* The owner keeps the path of a file that is named in this one. */
static void place_beside(struct config_parse *p, char **path)
{
    char full[INI_PATH_SIZE], *copy;

    if (!*path)
        return;
    copy = strdup(ini_beside(&p->ini, *path, full));
    if (!copy) {
        p->ini.out_of_memory = true;
        return;
    }
    free(*path);
    *path = copy;
}

static bool has_inline_secret(const struct config *c)
{
    static const uint8_t none[CONFIG_PSK_BYTES];

    for (size_t i = 0; i < c->peers_count; i++) {
        if (memcmp(c->peers[i].psk, none, sizeof(none)) != 0)
            return true;
    }
    return c->has_identity;
}

int config_load(const char *path, struct text *errors, struct config **ret)
{
    struct config_parse p = { .ini = { .file_name = path, .errors = errors } };
    CLEANUP(cleanup_free) char *data = NULL;
    unsigned mode;
    ssize_t n = ini_load(path, errors, &data, &mode);
    int r;

    if (n < 0)
        return n == -ENOMEM ? -ENOMEM : -EINVAL;
    r = config_parse(path, data, (size_t)n, errors, &p.config);
    explicit_bzero(data, (size_t)n);
    if (r < 0)
        return r;
    if (has_inline_secret(p.config) && S_ISREG(mode) && (mode & 077))
        ini_warning(&p.ini, 0, "found mode %04o of a file that holds a secret, expected 0600", mode & 07777);
    if (p.config->private_key_file) {
        load_key_file(&p);
        check_own_key(&p);
    }
    place_beside(&p, &p.config->names.root);
    place_beside(&p, &p.config->names.chain);
    if (p.ini.errors_count > 0 || p.ini.out_of_memory) {
        config_free(p.config);
        return p.ini.out_of_memory ? -ENOMEM : -EINVAL;
    }
    *ret = p.config;
    return 0;
}
