/* prog/config.c - see config.h.
 *
 * libinih splits lines into keys and values and drops comments. It says neither the line nor that a section began, it
 * joins indented lines to the key before, and it cuts long names silently; so the reader that feeds it (feed_line)
 * hands over one line at a time without its indentation, keeps the line number, opens sections itself, and reports
 * what libinih would pass over. The handler then finds the key's row in the schema and lets the row's type read it.
 * What needs the whole file (required keys, keys of the other role, addresses claimed twice) is checked at the end.
 *
 * The longest line that libinih takes is a variable of Debian's library (ini_max_line), set here.
 *
 * Limits: config.h. Cost: sorting the claimed prefixes and the peers' keys, n log n. */
#include "prog/config_schema.h"
#include "wire/message.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTION_COUNT_MAX 64 /* rows of the schema, for the lines of one section */

struct feed {
    struct config_parse p;
    const char *data;
    size_t len, at;
    enum config_section section;
    unsigned section_line;
    unsigned once[CONFIG_SECTION_COUNT]; /* line of a section that may be there once; 0: no such section yet */
    unsigned seen[SECTION_COUNT_MAX];    /* line of each schema row in this section, 0: not there */
};

/* --- errors --- */

char *config_shown(const char *value, char buf[CONFIG_SHOWN_SIZE])
{
    size_t len, kept;

    if (value[0] == '\0')
        value = "(nothing)";
    len = strlen(value);
    kept = MIN(len, (size_t)CONFIG_SHOWN_SIZE - 4);
    for (size_t i = 0; i < kept; i++)
        buf[i] = value[i] >= ' ' && value[i] <= '~' ? value[i] : '?';
    memcpy(buf + kept, len > kept ? "..." : "", len > kept ? 4 : 1);
    return buf;
}

static void add_line(struct config_parse *p, unsigned line, const char *kind, const char *message)
{
    if (line > 0)
        text_add(p->errors, "%s:%u: %s%s\n", p->file_name, line, kind, message);
    else
        text_add(p->errors, "%s: %s%s\n", p->file_name, kind, message);
}

void config_error(struct config_parse *p, unsigned line, const char *fmt, ...)
{
    char message[512];
    va_list ap;

    p->errors_count++;
    if (p->errors_count == CONFIG_ERRORS_MAX + 1)
        text_add(p->errors, "%s: more errors are not shown\n", p->file_name);
    if (p->errors_count > CONFIG_ERRORS_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    add_line(p, line, "", message);
}

void config_warning(struct config_parse *p, unsigned line, const char *fmt, ...)
{
    char message[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    add_line(p, line, "warning: ", message);
}

void config_expected(struct config_parse *p, const char *value, const char *near, const char *fmt, ...)
{
    char shown[CONFIG_SHOWN_SIZE], expected[384];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(expected, sizeof(expected), fmt, ap);
    va_end(ap);
    if (p->field->type->secret)
        snprintf(shown, sizeof(shown), "(%zu characters)", strlen(value));
    else
        config_shown(value, shown);
    if (near)
        config_error(p, p->line, "found %s = %s, expected %s (did you mean %s?)", p->field->key, shown, expected, near);
    else
        config_error(p, p->line, "found %s = %s, expected %s", p->field->key, shown, expected);
}

void *config_grow(struct config_parse *p, void *items_ptr, size_t *count, size_t item_size, size_t max)
{
    char *items;

    if (*count >= max) {
        config_error(p, p->line, "found more than %zu items, expected at most %zu", max, max);
        return NULL;
    }
    memcpy(&items, items_ptr, sizeof(items));
    if ((*count & (*count - 1)) == 0) { /* full at powers of two */
        char *grown = reallocarray(items, *count ? *count * 2 : 1, item_size);

        if (!grown) {
            p->out_of_memory = true;
            return NULL;
        }
        items = grown;
        memcpy(items_ptr, &items, sizeof(items));
    }
    memset(items + *count * item_size, 0, item_size);
    return items + (*count)++ * item_size;
}

/* --- sections --- */

static void *section_base(struct feed *f)
{
    struct config *c = f->p.config;

    switch (f->section) {
    case CONFIG_INTERFACE:
    case CONFIG_NAMES:
    case CONFIG_DNS:
        return c;
    case CONFIG_LINK:
        return &c->links[c->links_count - 1];
    case CONFIG_PEER:
        return &c->peers[c->peers_count - 1];
    default:
        return NULL;
    }
}

static void set_defaults(struct feed *f, enum config_section section)
{
    enum config_section before = f->section;

    f->section = section;
    for (size_t i = 0; i < config_schema_count; i++) {
        const struct config_field *field = &config_schema[i];

        if (field->section != section || !field->fallback)
            continue;
        f->p.field = field;
        field->type->read(&f->p, field, field->fallback, (char *)section_base(f) + field->offset);
    }
    f->section = before;
}

static void end_section(struct feed *f)
{
    for (size_t i = 0; i < config_schema_count; i++) {
        const struct config_field *field = &config_schema[i];

        if (field->section == f->section && field->required && f->seen[i] == 0)
            config_error(&f->p, f->section_line, "found no %s in this section, expected one", field->key);
    }
    f->section = CONFIG_NOWHERE;
}

static bool peer_name_valid(const char *s)
{
    size_t len = strlen(s);

    return len > 0 && len <= CONFIG_PEER_NAME_MAX &&
           strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

/* A section without a name, which is there once. */
static void begin_once(struct feed *f, enum config_section section, const char *name)
{
    const char *word = config_section_names[section];

    if (*name)
        config_error(&f->p, f->p.line, "found [%s %s], expected [%s]", word, name, word);
    if (f->once[section]) {
        config_error(&f->p, f->p.line, "found [%s] again, expected it once (first in line %u)", word, f->once[section]);
        return;
    }
    f->once[section] = f->p.line;
    f->section = section;
}

static void begin_link(struct feed *f, const char *name)
{
    struct config *c = f->p.config;
    struct config_link *l;

    if (!config_ifname_valid(name)) {
        config_error(&f->p, f->p.line, "found [Link %s], expected [Link NAME] with the name of an interface", name);
        return;
    }
    for (size_t i = 0; i < c->links_count; i++) {
        if (strcmp(c->links[i].name, name) == 0) {
            config_error(&f->p, f->p.line, "found [Link %s] again, expected it once (first in line %u)", name,
                         c->links[i].line);
            return;
        }
    }
    l = config_grow(&f->p, &c->links, &c->links_count, sizeof(*l), CONFIG_LINKS_MAX);
    if (!l)
        return;
    memcpy(l->name, name, strlen(name) + 1);
    l->line = f->p.line;
    set_defaults(f, CONFIG_LINK);
    f->section = CONFIG_LINK;
}

static void begin_peer(struct feed *f, const char *name)
{
    struct config *c = f->p.config;
    struct config_peer *peer;

    if (!peer_name_valid(name)) {
        config_error(
            &f->p, f->p.line,
            "found [Peer%s%s], expected [Peer NAME] with 1 to %d letters, digits, dots, hyphens or underscores",
            *name ? " " : "", name, CONFIG_PEER_NAME_MAX);
        return;
    }
    for (size_t i = 0; i < c->peers_count; i++) {
        if (strcmp(c->peers[i].name, name) == 0) {
            config_error(&f->p, f->p.line, "found [Peer %s] again, expected it once (first in line %u)", name,
                         c->peers[i].line);
            return;
        }
    }
    peer = config_grow(&f->p, &c->peers, &c->peers_count, sizeof(*peer), CONFIG_PEERS_MAX);
    if (!peer)
        return;
    memcpy(peer->name, name, strlen(name) + 1);
    peer->line = f->p.line;
    set_defaults(f, CONFIG_PEER);
    f->section = CONFIG_PEER;
}

/* line: "[...", without indentation and trailing space. */
static void begin_section(struct feed *f, const char *line)
{
    const char *end = strchr(line, ']'), *near;
    char text[CONFIG_SHOWN_SIZE], *name;

    end_section(f);
    f->section_line = f->p.line;
    memset(f->seen, 0, sizeof(f->seen));
    config_shown(line, text);
    if (!end || end[1] != '\0') {
        config_error(&f->p, f->p.line, "found %s, expected [Section]", text);
        return;
    }
    text[strcspn(text, "]")] = '\0';
    name = text + strcspn(text, " ");
    if (*name)
        *name++ = '\0';
    name += strspn(name, " ");
    for (enum config_section i = CONFIG_INTERFACE; i < CONFIG_SECTION_COUNT; i++) {
        if (strcasecmp(text + 1, config_section_names[i]) != 0)
            continue;
        if (i == CONFIG_LINK)
            begin_link(f, name);
        else if (i == CONFIG_PEER)
            begin_peer(f, name);
        else
            begin_once(f, i, name);
        return;
    }
    near = text_nearest(text + 1, config_section_names + CONFIG_INTERFACE, CONFIG_SECTION_COUNT - CONFIG_INTERFACE);
    config_error(&f->p, f->p.line, "found %s], expected [Interface], [Link NAME], [Peer NAME], [Names] or [Dns]%s%s%s",
                 text, near ? " (did you mean [" : "", near ? near : "", near ? "]?)" : "");
}

/* --- lines --- */

/* libinih's reader: like fgets, one line a call. What is wrong is told here and handed on as an empty line. */
static char *feed_line(char *buf, int size, void *ctx)
{
    struct feed *f = ctx;
    const char *line, *end;
    size_t len;
    char shown[CONFIG_SHOWN_SIZE];

    if (f->at >= f->len || f->p.out_of_memory)
        return NULL;
    line = f->data + f->at;
    end = memchr(line, '\n', f->len - f->at);
    len = end ? (size_t)(end - line) : f->len - f->at;
    f->at += len + (end ? 1 : 0);
    f->p.line++;
    if (f->p.line == 1 && len >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
        line += 3;
        len -= 3;
    }
    buf[0] = '\0';
    if (len > CONFIG_LINE_MAX || len + 1 > (size_t)size) {
        config_error(&f->p, f->p.line, "found a line of %zu characters, expected at most %d", len, CONFIG_LINE_MAX);
        return buf;
    }
    if (memchr(line, '\0', len)) {
        config_error(&f->p, f->p.line, "found a zero byte, expected text");
        return buf;
    }
    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    for (size_t i = 0; i < len; i++) { /* a comment: at the start, or after space; so ends the line */
        if ((line[i] == '#' || line[i] == ';') && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t'))
            len = i;
    }
    while (len > 0 && strchr(" \t\r\v\f", line[len - 1]))
        len--;
    memcpy(buf, line, len);
    buf[len] = '\0';
    if (buf[0] == '[') {
        begin_section(f, buf);
        buf[0] = '\0';
    } else if (len > 0 && !strchr(buf, '=')) {
        config_error(&f->p, f->p.line, "found %s, expected Key = value", config_shown(buf, shown));
        buf[0] = '\0';
    }
    return buf;
}

static void unknown_key(struct feed *f, const char *key)
{
    const char *names[SECTION_COUNT_MAX] = { NULL }, *near;
    char shown[CONFIG_SHOWN_SIZE];
    size_t count = 0;

    for (size_t i = 0; i < config_schema_count; i++) {
        const struct config_field *field = &config_schema[i];

        if (field->section == f->section)
            names[count++] = field->key;
    }
    config_shown(key, shown);
    near = text_nearest(key, names, count);
    if (near) {
        config_error(&f->p, f->p.line, "found %s, expected a key of [%s] (did you mean %s?)", shown,
                     config_section_names[f->section], near);
        return;
    }
    for (size_t i = 0; i < config_schema_count; i++) {
        if (strcasecmp(config_schema[i].key, key) == 0) {
            config_error(&f->p, f->p.line, "found %s in [%s], expected it in [%s]", shown,
                         config_section_names[f->section], config_section_names[config_schema[i].section]);
            return;
        }
    }
    config_error(&f->p, f->p.line, "found %s, expected a key of [%s]", shown, config_section_names[f->section]);
}

static int on_pair(void *ctx, const char *section, const char *key, const char *value)
{
    struct feed *f = ctx;
    char shown[CONFIG_SHOWN_SIZE];
    struct config_use *use;
    size_t i = 0;

    if (f->section == CONFIG_NOWHERE) {
        if (f->section_line == 0) /* else the section's own error says it */
            config_error(&f->p, f->p.line, "found %s before any section, expected [Interface]",
                         config_shown(key, shown));
        return 1;
    }
    while (i < config_schema_count &&
           (config_schema[i].section != f->section || strcasecmp(config_schema[i].key, key) != 0))
        i++;
    if (i == config_schema_count) {
        unknown_key(f, key);
        return 1;
    }
    f->p.field = &config_schema[i];
    if (f->seen[i] != 0 && !f->p.field->multiple) {
        config_error(&f->p, f->p.line, "found %s again, expected it once (first in line %u)", f->p.field->key,
                     f->seen[i]);
        return 1;
    }
    if (f->seen[i] == 0)
        f->seen[i] = f->p.line;
    use = config_grow(&f->p, &f->p.uses, &f->p.uses_count, sizeof(*use), SIZE_MAX);
    if (!use)
        return 1;
    *use = (struct config_use){ .field = f->p.field, .line = f->p.line };
    f->p.field->type->read(&f->p, f->p.field, value, (char *)section_base(f) + f->p.field->offset);
    return 1;
}

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
            config_error(p, p->uses[i].line, "found %s on %s, expected it on %s only", field->key, who[roles],
                         who[field->roles]);
    }
}

static void check_interface(struct config_parse *p, unsigned line)
{
    struct config *c = p->config;
    unsigned own = used_line(p, "PrivateKey"), from_file = used_line(p, "PrivateKeyFile");

    c->private_key_file_line = from_file;
    if (own && from_file)
        config_error(p, MAX(own, from_file), "found PrivateKey and PrivateKeyFile, expected one of them");
    else if (!own && !from_file)
        config_error(p, line,
                     "found neither PrivateKey nor PrivateKeyFile, expected one (`hawser keygen FILE` makes it)");
    if (c->role == CONFIG_AGENT && !used_line(p, "Address"))
        config_error(p, line, "found no Address, expected the agent's own, such as 10.77.0.1/24");
    if (c->role == CONFIG_NODE && c->peers_count == 0)
        config_error(p, line, "found no [Peer NAME], expected the agent");
    if (used_line(p, "Mode") && c->steer.has_default)
        config_error(p, used_line(p, "Mode"), "found Mode and a rule for default, expected one of them");
    if (!c->steer.has_default)
        c->steer.fallback.mode = (uint8_t)p->mode;
    if (!c->control) {
        char path[64];

        snprintf(path, sizeof(path), "/run/hawser/%s.sock", c->name);
        c->control = strdup(path);
        p->out_of_memory |= !c->control;
    } else if (strlen(c->control) > CONFIG_SOCKET_PATH_MAX) {
        config_error(p, used_line(p, "Control"), "found Control of %zu characters, expected at most %d",
                     strlen(c->control), CONFIG_SOCKET_PATH_MAX);
    }
}

static void check_links(struct config_parse *p)
{
    for (size_t i = 0; i < p->config->links_count; i++) {
        const struct config_link *l = &p->config->links[i];

        if (l->signal_low_dbm >= l->signal_high_dbm)
            config_error(p, l->line,
                         "found SignalLow %" PRId64 " and SignalHigh %" PRId64 ", expected SignalLow below SignalHigh",
                         l->signal_low_dbm, l->signal_high_dbm);
    }
}

static void check_tcp(struct config_parse *p)
{
    const struct config *c = p->config;

    for (size_t i = 0; i < c->links_count && c->peers_count > 0; i++)
        if (c->links[i].tcp == CONFIG_TCP_ONLY && c->peers[0].tcp_port < 0)
            config_error(p, c->links[i].line, "found Tcp = only and TcpPort = no, expected the TCP port of the agent");
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
        config_error(p, line, "found link %s, expected one with a [Link] section%s%s%s", name,
                     near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    }
}

/* What the daemon can do with a packet is decided by what it sees of it. */
static void check_rule(struct config_parse *p, const struct steer_rule *r, unsigned line)
{
    if (r->action.mode == STEER_BYPASS &&
        (r->dst.addr.family == ADDR_NONE || r->proto || r->ports_count || r->dscp != STEER_DSCP_ANY))
        config_error(p, line,
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
        config_error(p, p->default_line, "Rule: found mode bypass for everything, expected Routes = none");
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
            config_error(p, p->claims[i].line, "found %s again, expected each address once (first in line %u)",
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
            config_error(p, peer->key_line, "found this machine's own PublicKey, expected the peer's");
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
        config_error(p, peer->line, "found Anycast and PublicKey or Endpoint in this section, expected Anycast alone");
    if (!p->config->names.root)
        config_error(p, peer->line, "found Anycast without [Names], expected the Root of agents that are believed");
    if (peer->anycast.items[0].at.addr.family != ADDR_V4)
        config_error(p, peer->line, "found an IPv6 address in Anycast, expected IPv4");
}

static void check_peers(struct config_parse *p)
{
    struct config *c = p->config;
    CLEANUP(cleanup_free) const struct config_peer **order = NULL;

    if (c->role == CONFIG_NODE && c->peers_count > 1)
        config_error(p, c->peers[1].line, "found a second [Peer], expected one: a node has one agent");

    if (c->peers_count == 0)
        return;
    order = calloc(c->peers_count, sizeof(struct config_peer *));
    if (!order) {
        p->out_of_memory = true;
        return;
    }
    for (size_t i = 0; i < c->peers_count; i++) {
        const struct config_peer *peer = order[i] = &c->peers[i];

        if (peer->key_line == 0 && !found_by_name(c, peer))
            config_error(p, peer->line, "found no PublicKey in this section, expected one");
        if (c->role == CONFIG_NODE && peer->anycast.count > 0)
            check_anycast(p, peer);
        else if (c->role == CONFIG_NODE && peer->endpoints.count == 0)
            config_error(p, peer->line, "found no Endpoint in this section, expected one");
        if (peer->addresses.count > CONFIG_ADDRESSES_MAX)
            config_error(p, peer->line, "found %zu addresses for one peer, expected at most %d", peer->addresses.count,
                         CONFIG_ADDRESSES_MAX);
    }
    qsort(order, c->peers_count, sizeof(struct config_peer *), compare_peers);
    for (size_t i = 1; i < c->peers_count; i++) {
        const struct config_peer *a = order[i - 1], *b = order[i];
        static const uint8_t none[IDENT_KEY_LEN];

        if (memcmp(a->key.ed25519, b->key.ed25519, IDENT_KEY_LEN) == 0 &&
            memcmp(b->key.ed25519, none, IDENT_KEY_LEN) != 0)
            config_error(p, b->key_line,
                         "found the PublicKey of [Peer %s] again, expected one of its own (first in line %u)", a->name,
                         a->key_line);
    }
}

int config_parse(const char *file_name, const char *data, size_t len, struct text *errors, struct config **ret)
{
    struct feed f = { .p = { .file_name = file_name, .errors = errors, .mode = STEER_STRIPE },
                      .data = data,
                      .len = len };
    int r = 0;

    f.p.config = calloc(1, sizeof(*f.p.config));
    if (!f.p.config)
        return -ENOMEM;
    steer_table_init(&f.p.config->steer);
    set_defaults(&f, CONFIG_INTERFACE);
    set_defaults(&f, CONFIG_NAMES);
    ini_max_line = CONFIG_LINE_MAX + 2;
    if (len > CONFIG_FILE_MAX)
        config_error(&f.p, 0, "found %zu bytes, expected at most %d", len, CONFIG_FILE_MAX);
    else if (ini_parse_stream(feed_line, &f, on_pair, &f) < 0)
        f.p.out_of_memory = true;
    end_section(&f);
    if (!f.once[CONFIG_INTERFACE]) {
        config_error(&f.p, 0, "found no [Interface] section, expected one");
    } else if (!f.p.out_of_memory) {
        check_role(&f.p);
        check_interface(&f.p, f.once[CONFIG_INTERFACE]);
        check_links(&f.p);
        check_tcp(&f.p);
        check_rules(&f.p);
        check_claims(&f.p);
        check_peers(&f.p);
        check_own_key(&f.p);
        if (f.once[CONFIG_DNS] && !f.once[CONFIG_NAMES])
            config_error(&f.p, f.once[CONFIG_DNS], "found [Dns] without [Names], expected both");
        if (f.once[CONFIG_DNS] && f.once[CONFIG_NAMES] && f.p.config->names.managers.count == 0)
            config_error(&f.p, f.once[CONFIG_NAMES], "found no Manager in this section, expected one: [Dns] asks it");
    }
    steer_table_compile(&f.p.config->steer);
    free(f.p.uses);
    free(f.p.claims);
    if (f.p.out_of_memory)
        r = -ENOMEM;
    else if (f.p.errors_count > 0)
        r = -EINVAL;
    if (r < 0)
        config_free(f.p.config);
    else
        *ret = f.p.config;
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

static void cleanup_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

/* Reads at most size bytes. The number of bytes, or -errno. */
static ssize_t read_all(int fd, char *buf, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, buf + len, size - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

/* One line of base64 in a file that only its owner may read. */
static void load_key_file(struct config_parse *p)
{
    struct config *c = p->config;
    const char *slash = strrchr(p->file_name, '/');
    bool relative = c->private_key_file[0] != '/' && slash;
    char path[4096], text[KEY_TEXT_SIZE + 8] = "";
    CLEANUP(cleanup_close) int fd = -1;
    struct stat st;
    ssize_t n;
    int r = -EINVAL;

    snprintf(path, sizeof(path), "%.*s%s", relative ? (int)(slash - p->file_name + 1) : 0, p->file_name,
             c->private_key_file);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        config_error(p, c->private_key_file_line, "PrivateKeyFile %s: %s", path, strerror(errno));
        return;
    }
    if (!S_ISREG(st.st_mode)) {
        config_error(p, c->private_key_file_line, "PrivateKeyFile %s: found no regular file, expected one", path);
        return;
    }
    if (st.st_mode & 077) {
        config_error(p, c->private_key_file_line,
                     "PrivateKeyFile %s: found mode %04o, expected 0600: others may read the key", path,
                     (unsigned)st.st_mode & 07777);
        return;
    }
    n = read_all(fd, text, sizeof(text) - 1);
    if (n >= 0) {
        while (n > 0 && strchr(" \t\r\n", text[n - 1]))
            n--;
        text[n] = '\0';
        r = identity_secret_decode(text, &c->identity);
    }
    explicit_bzero(text, sizeof(text));
    c->has_identity = r == 0;
    if (r < 0)
        config_error(p, c->private_key_file_line,
                     "PrivateKeyFile %s: found no secret key, expected %d characters of one", path, KEY_TEXT_LEN);
}

/* A file that is named in another one: beside it, unless its name begins at the root. */
static void beside(struct config_parse *p, char **path)
{
    const char *slash = strrchr(p->file_name, '/');
    char full[4096];
    char *copy;

    if (!*path || (*path)[0] == '/' || !slash)
        return;
    snprintf(full, sizeof(full), "%.*s%s", (int)(slash - p->file_name + 1), p->file_name, *path);
    copy = strdup(full);
    if (!copy) {
        p->out_of_memory = true;
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
    struct config_parse p = { .file_name = path, .errors = errors };
    CLEANUP(cleanup_free) char *data = malloc(CONFIG_FILE_MAX + 1);
    CLEANUP(cleanup_close) int fd = -1;
    struct stat st;
    ssize_t n;
    int r;

    if (!data)
        return -ENOMEM;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    n = fd < 0 || fstat(fd, &st) < 0 ? -errno : read_all(fd, data, CONFIG_FILE_MAX + 1);
    if (n < 0) {
        config_error(&p, 0, "%s", strerror((int)-n));
        return -EINVAL;
    }
    r = config_parse(path, data, (size_t)n, errors, &p.config);
    explicit_bzero(data, (size_t)n);
    if (r < 0)
        return r;
    if (has_inline_secret(p.config) && S_ISREG(st.st_mode) && (st.st_mode & 077))
        config_warning(&p, 0, "found mode %04o of a file that holds a secret, expected 0600",
                       (unsigned)st.st_mode & 07777);
    if (p.config->private_key_file) {
        load_key_file(&p);
        check_own_key(&p);
    }
    beside(&p, &p.config->names.root);
    beside(&p, &p.config->names.chain);
    if (p.errors_count > 0 || p.out_of_memory) {
        config_free(p.config);
        return p.out_of_memory ? -ENOMEM : -EINVAL;
    }
    *ret = p.config;
    return 0;
}
