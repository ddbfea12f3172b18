/* prog/realmd_config.c - see realmd_config.h.
 *
 * Theory of operation. Sections are opened here; every other line goes to libinih by itself, which takes off comments
 * and splits it, so that the line's number is known. A key is a row of schema[]: its reader gets the text and a place,
 * and says what it expected when it cannot.
 *
 * Limits: realmd_config.h. */
#include "prog/realmd_config.h"

#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>

#define ERRORS_MAX 50
#define LINE_SIZE 1024
#define KEYS_MAX 32 /* rows of the schema */

enum section { NOWHERE, REALM, STORE, PARENT, FOLLOW, DNS, SECTION_COUNT };

static const char *const section_names[SECTION_COUNT] = { "", "Realm", "Store", "Parent", "Follow", "Dns" };

struct parse {
    struct realmd_config *c;
    const char *file;
    struct text *errors;
    unsigned line, errors_count;
    enum section section;
    unsigned seen[KEYS_MAX]; /* line of each key */
    unsigned opened[SECTION_COUNT];
};

/* A reader: NULL, or what was expected. */
typedef const char *read_fn(const char *value, void *out);

PRINTF_LIKE(3, 4)
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

static const char *read_number(const char *value, void *out)
{
    uint64_t v = 0;

    for (const char *s = value; *s; s++) {
        if (*s < '0' || *s > '9' || (v = v * 10 + (uint64_t)(*s - '0')) > UINT32_MAX)
            return "a number of 0 to 4294967295";
    }
    *(uint32_t *)out = (uint32_t)v;
    return value[0] ? NULL : "a number of 0 to 4294967295";
}

static const char *read_many(const char *value, void *out)
{
    return read_number(value, out) || *(uint32_t *)out == 0 || *(uint32_t *)out > 1u << 30
               ? "a number of 1 to 1073741824"
               : NULL;
}

static const char *read_peers(const char *value, void *out)
{
    return read_number(value, out) || *(uint32_t *)out == 0 || *(uint32_t *)out > 1u << 20 ? "a number of 1 to 1048576"
                                                                                           : NULL;
}

static const char *read_power(const char *value, void *out)
{
    uint32_t n;

    if (read_many(value, out))
        return "a power of two, 2 to 1073741824";
    n = *(uint32_t *)out;
    return n < 2 || (n & (n - 1)) ? "a power of two, 2 to 1073741824" : NULL;
}

static const char *read_directory(const char *value, void *out)
{
    if (value[0] != '/' || strlen(value) >= PATH_MAX - 16)
        return "an absolute path";
    memcpy(out, value, strlen(value) + 1);
    return NULL;
}

static const char *read_control(const char *value, void *out)
{
    if (value[0] != '/' || strlen(value) >= REALMD_CONTROL_MAX)
        return "an absolute path of less than 108 bytes";
    memcpy(out, value, strlen(value) + 1);
    return NULL;
}

static const char *read_store(const char *value, void *out)
{
    if ((strncmp(value, "lmdb:/", 6) != 0 && strncmp(value, "redis:", 6) != 0) || strlen(value) >= PATH_MAX)
        return "lmdb: and an absolute path, or redis: and HOST:PORT";
    memcpy(out, value, strlen(value) + 1);
    return NULL;
}

/* Endpoints with commas between them; their number, 0: found something else. */
static size_t endpoints(const char *value, uint16_t port, struct endpoint *out, size_t max)
{
    char text[LINE_SIZE], *rest = text;
    size_t n = 0;

    snprintf(text, sizeof(text), "%s", value);
    for (char *word; (word = strtok_r(rest, ", \t", &rest));)
        if (n == max || endpoint_parse(word, port, &out[n++]) < 0)
            return 0;
    return n;
}

static const char *read_listen(const char *value, void *out)
{
    struct realmd_config *c = out;

    c->listen_count = endpoints(value, REALMD_PORT, c->listen, REALMD_LISTEN_MAX);
    return c->listen_count ? NULL : "1 to 4 of ADDRESS:PORT, with commas, such as [::]:51823, 0.0.0.0:51823";
}

static const char *read_parents(const char *value, void *out)
{
    struct realmd_config *c = out;

    c->parents_count = endpoints(value, REALMD_PORT, c->parents, REALMD_ADDRESSES_MAX);
    return c->parents_count ? NULL : "1 to 8 of ADDRESS:PORT, with commas";
}

static const char *read_announce(const char *value, void *out)
{
    struct realmd_config *c = out;

    c->announce_count = endpoints(value, REALMD_PORT, c->announce, REALMD_ADDRESSES_MAX);
    for (size_t i = 0; i < c->announce_count; i++)
        if (!addr_is_unicast(&c->announce[i].addr))
            return "1 to 8 of ADDRESS:PORT that others can reach";
    return c->announce_count ? NULL : "1 to 8 of ADDRESS:PORT, with commas";
}

static const char *read_followed(const char *value, void *out)
{
    struct realmd_config *c = out;

    c->followed_count = endpoints(value, REALMD_PORT, c->followed, REALMD_ADDRESSES_MAX);
    return c->followed_count ? NULL : "1 to 8 of ADDRESS:PORT, with commas";
}

static const char *read_mode(const char *value, void *out)
{
    bool pull = strcmp(value, "pull") == 0;

    if (!pull && strcmp(value, "push") != 0)
        return "push or pull";
    *(bool *)out = pull;
    return NULL;
}

static const char *read_interval(const char *value, void *out)
{
    return read_number(value, out) || *(uint32_t *)out == 0 || *(uint32_t *)out > REALMD_INTERVAL_MAX_S
               ? "a number of seconds, 1 to 120"
               : NULL;
}

static const char *read_dns_listen(const char *value, void *out)
{
    struct realmd_config *c = out;

    c->dns_listen_count = endpoints(value, REALMD_DNS_PORT, c->dns_listen, REALMD_LISTEN_MAX);
    /* An answer must come from where the question went. */
    for (size_t i = 0; i < c->dns_listen_count; i++)
        if (!addr_is_unicast(&c->dns_listen[i].addr) && !addr_is_loopback(&c->dns_listen[i].addr))
            return "1 to 4 addresses of this machine, with commas";
    return c->dns_listen_count ? NULL : "1 to 4 addresses of this machine, with commas";
}

static const char *read_dns_server(const char *value, void *out)
{
    struct name_error err;

    return name_parse_realm(value, strlen(value), out, &err) == 0 ? NULL
                                                                  : "the name of a server, such as ns.acme.example";
}

static const char *read_dns_addresses(const char *value, void *out)
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

static const struct row {
    enum section section;
    const char *key;
    read_fn *read;
    size_t offset;
    const char *fallback;
    bool required;
    const char *help;
} schema[] = {
    { REALM, "Directory", read_directory, AT(directory), NULL, true, "the realm, as hawser realm init makes it" },
    { REALM, "Listen", read_listen, 0, "0.0.0.0:51823, [::]:51823", false, "where it is asked, by UDP" },
    { REALM, "Control", read_control, AT(control), "/run/hawser-realm/realmd.sock", false, "control socket" },
    { REALM, "Names", read_many, AT(names), "131072", false, "at most" },
    { REALM, "Bindings", read_many, AT(bindings), "1048576", false, "at most" },
    { REALM, "Guests", read_many, AT(guests), "65536", false, "members of other realms that are remembered" },
    { REALM, "Subscriptions", read_many, AT(subscriptions), "65536", false, "at most" },
    { REALM, "Peers", read_peers, AT(peers), "65536", false, "associations at a time" },
    { REALM, "Log", read_power, AT(log), "262144", false, "changes that subscribers may be behind" },
    { REALM, "Capacity", read_number, AT(capacity), "0", false, "lookups/s of this machine; 0: no bound" },
    { STORE, "Engine", read_store, AT(store), NULL, true, "where bindings outlive the process" },
    { PARENT, "Managers", read_parents, 0, NULL, true, "of the realm above" },
    { PARENT, "Announce", read_announce, 0, NULL, true, "where this realm's managers are found" },
    { FOLLOW, "Managers", read_followed, 0, NULL, true, "of this realm, of which the first that answers is followed" },
    { FOLLOW, "Mode", read_mode, AT(follow_pulls), "push", false, "push: it tells what changes; pull: it is asked" },
    { FOLLOW, "Interval", read_interval, AT(follow_interval_s), "10", false, "of pull: seconds" },
    { DNS, "Listen", read_dns_listen, 0, NULL, true, "where the realm's zone is served, by UDP and TCP" },
    { DNS, "Server", read_dns_server, AT(dns_server), NULL, true, "the name of this server, for NS and SOA" },
    { DNS, "Address", read_dns_addresses, 0, NULL, false, "of this server, if its name is in the zone" },
};

_Static_assert(ARRAY_LEN(schema) <= KEYS_MAX, "struct parse has a line for each key");

static int on_key(void *ctx, const char *section, const char *key, const char *value)
{
    struct parse *p = ctx;
    const char *names[KEYS_MAX], *near, *expected;
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LEN(schema); i++) {
        if (schema[i].section != p->section)
            continue;
        names[count++] = schema[i].key;
        if (strcmp(schema[i].key, key) != 0)
            continue;
        if (p->seen[i]) {
            complain(p, p->line, "found %s a second time, expected it once (line %u)", key, p->seen[i]);
            return 1;
        }
        p->seen[i] = p->line;
        expected = schema[i].read(value, (char *)p->c + schema[i].offset);
        if (expected)
            complain(p, p->line, "found %s = %s, expected %s", key, value, expected);
        return 1;
    }
    near = text_nearest(key, names, count);
    if (p->section == NOWHERE)
        complain(p, p->line, "found %s before any section, expected [Realm]", key);
    else
        complain(p, p->line, "found unknown key %s in [%s]%s%s%s", key, section_names[p->section],
                 near ? ", did you mean " : "", near ? near : "", near ? "?" : "");
    return 1;
}

static void open_section(struct parse *p, const char *at)
{
    size_t len = strcspn(at + 1, "]");

    for (unsigned s = REALM; s < SECTION_COUNT; s++) {
        if (strlen(section_names[s]) != len || memcmp(section_names[s], at + 1, len) != 0 || at[1 + len] != ']')
            continue;
        if (p->opened[s])
            complain(p, p->line, "found [%s] a second time, expected it once", section_names[s]);
        p->opened[s] = p->line;
        p->section = (enum section)s;
        return;
    }
    p->section = NOWHERE;
    complain(p, p->line, "found section %s, expected one of [Realm], [Store], [Parent], [Follow], [Dns]", at);
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
    if (!p->opened[REALM])
        complain(p, p->line, "found no [Realm], expected one");
    for (size_t i = 0; i < ARRAY_LEN(schema); i++) {
        enum section s = schema[i].section;

        if (p->opened[s] && schema[i].required && !p->seen[i])
            complain(p, p->opened[s], "found [%s] without %s, expected it", section_names[s], schema[i].key);
    }
    if (p->opened[FOLLOW] && p->opened[STORE])
        complain(p, p->opened[STORE], "found [Store] beside [Follow], expected it where the followed manager is");
    if (p->opened[FOLLOW] && p->opened[PARENT])
        complain(p, p->opened[PARENT], "found [Parent] beside [Follow], expected it where the followed manager is");
}

int realmd_config_parse(const char *file_name, const char *data, size_t len, struct text *errors,
                        struct realmd_config *ret)
{
    struct parse p = { .c = ret, .file = file_name, .errors = errors };

    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < ARRAY_LEN(schema); i++)
        if (schema[i].fallback)
            schema[i].read(schema[i].fallback, (char *)ret + schema[i].offset);
    for (size_t at = 0; at < len;) {
        const char *end = memchr(data + at, '\n', len - at);
        size_t n = end ? (size_t)(end - data) - at : len - at;

        p.line++;
        take_line(&p, data + at, n);
        at += n + 1;
    }
    if (p.errors_count == 0)
        check_whole(&p);
    return p.errors_count > 0 ? -EINVAL : 0;
}

int realmd_config_load(const char *path, struct text *errors, struct realmd_config *ret)
{
    CLEANUP(cleanup_free) char *data = malloc(REALMD_FILE_MAX + 1);
    FILE *f = fopen(path, "re");
    size_t len = 0;
    int r = 0;

    if (!data)
        r = -ENOMEM;
    else if (!f)
        r = -errno;
    else if ((len = fread(data, 1, REALMD_FILE_MAX + 1, f)) > REALMD_FILE_MAX)
        r = -EFBIG;
    else if (ferror(f))
        r = -EIO;
    if (f)
        fclose(f);
    if (r < 0) {
        text_add(errors, "%s: %s\n", path, strerror(-r));
        return r;
    }
    return realmd_config_parse(path, data, len, errors, ret);
}

bool realmd_config_key(size_t i, struct realmd_key *ret)
{
    if (i >= ARRAY_LEN(schema))
        return false;
    *ret = (struct realmd_key){ .section = section_names[schema[i].section],
                                .key = schema[i].key,
                                .help = schema[i].help,
                                .fallback = schema[i].fallback,
                                .required = schema[i].required };
    return true;
}
