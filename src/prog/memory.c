/* prog/memory.c - what survives a restart of an agent: which addresses each node has, and where it was seen last.
 *
 * One JSON file, StateDir/NAME.json, written whole and atomically, at most once a second and at the end:
 *     {"peers": {"PUBLIC KEY": {"addresses": ["10.77.0.2/32"], "endpoints": ["192.0.2.7:40000"]}}}
 * A node that the file names no address gets the next free ones of the agent's own networks. At the start every node
 * with stored endpoints is called there: sessions are back before the nodes miss them. A file that cannot be read is
 * told and put aside (NAME.json.bad): a restart must not fail for it. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>

#include "prog/daemon.h"

static void memory_path(const struct daemon *d, char *buf, size_t size)
{
    snprintf(buf, size, "%s/%s.json", d->config->state_dir, d->config->name);
}

static json_t *read_file(struct daemon *d)
{
    char path[512], bad[520], err[256];
    uint8_t *data;
    size_t len;
    json_t *root;
    json_error_t e;
    int r;

    memory_path(d, path, sizeof(path));
    r = store_read(path, &data, &len, err, sizeof(err));
    if (r == -ENOENT)
        return json_object();
    if (r < 0) {
        say(LOG_WARNING, "memory: %s", err);
        return json_object();
    }
    root = json_loadb((const char *)data, len, 0, &e);
    free(data);
    if (json_is_object(root))
        return root;
    json_decref(root);
    snprintf(bad, sizeof(bad), "%s.bad", path);
    rename(path, bad);
    say(LOG_WARNING, "memory: %s:%d: %s: put aside as %s", path, e.line, e.text, bad);
    return json_object();
}

static bool taken(struct daemon *d, const struct addr *a)
{
    const struct config *c = d->config;

    for (size_t i = 0; i < c->addresses.count; i++)
        if (addr_equal(&c->addresses.items[i].addr, a))
            return true;
    for (size_t i = 0; i < c->peers_count; i++)
        for (size_t j = 0; j < c->peers[i].addresses.count; j++)
            if (prefix_contains(&c->peers[i].addresses.items[j], a))
                return true;
    for (size_t i = 0; i < node_peers_count(daemon_node(d)); i++) {
        const struct node_peer_spec *spec = node_peer_spec(daemon_node(d), (unsigned)i);

        for (size_t j = 0; j < spec->addresses_count; j++)
            if (prefix_contains(&spec->addresses[j], a))
                return true;
    }
    return false;
}

/* The next free address of the network that the agent's own address is in. */
static int from_pool(struct daemon *d, const struct config_address *net, struct prefix *ret)
{
    unsigned bits = addr_bits(&net->addr), host_bits = bits - net->len;
    uint64_t count = host_bits >= 16 ? 65536 : UINT64_C(1) << host_bits;

    for (uint64_t i = 1; i + 1 < count; i++) {
        struct addr a = net->addr;

        for (unsigned b = 0; b < 16 && b * 8 < host_bits; b++) {
            unsigned at = bits / 8 - 1 - b;
            uint8_t mask = host_bits - b * 8 >= 8 ? 0xff : (uint8_t)((1u << (host_bits - b * 8)) - 1);

            a.bytes[at] = (uint8_t)((a.bytes[at] & ~mask) | ((b < 8 ? i >> (8 * b) : 0) & mask));
        }
        if (!taken(d, &a)) {
            *ret = (struct prefix){ .addr = a, .len = (uint8_t)bits };
            return 0;
        }
    }
    return -ENOSPC;
}

/* A stored address is good as long as it is one host of a network that the file names today. */
static bool in_our_networks(struct daemon *d, const struct prefix *p)
{
    for (size_t i = 0; i < d->config->addresses.count; i++) {
        const struct config_address *net = &d->config->addresses.items[i];
        struct prefix whole;
        char s[ADDR_STRLEN], with_len[ADDR_STRLEN + 5];

        snprintf(with_len, sizeof(with_len), "%s/%u", addr_format(&net->addr, s), net->len);
        if (p->len == addr_bits(&p->addr) && prefix_parse(with_len, true, &whole) == 0 &&
            prefix_contains(&whole, &p->addr))
            return true;
    }
    return false;
}

static void addresses_of(struct daemon *d, const struct config_peer *c, const json_t *known,
                         struct node_peer_spec *spec)
{
    size_t i;
    json_t *item;

    for (i = 0; i < c->addresses.count && spec->addresses_count < CONFIG_ADDRESSES_MAX; i++)
        spec->addresses[spec->addresses_count++] = c->addresses.items[i];
    if (spec->addresses_count > 0)
        return;
    json_array_foreach(json_object_get(known, "addresses"), i, item)
    {
        struct prefix p;

        if (json_is_string(item) && prefix_parse(json_string_value(item), false, &p) == 0 && in_our_networks(d, &p) &&
            !taken(d, &p.addr) && spec->addresses_count < CONFIG_ADDRESSES_MAX)
            spec->addresses[spec->addresses_count++] = p;
    }
    for (i = 0; i < d->config->addresses.count && spec->addresses_count < CONFIG_ADDRESSES_MAX; i++) {
        const struct config_address *net = &d->config->addresses.items[i];
        struct prefix *p = &spec->addresses[spec->addresses_count];
        bool has = false;

        for (size_t j = 0; j < spec->addresses_count; j++)
            has |= spec->addresses[j].addr.family == net->addr.family;
        if (has)
            continue;
        if (from_pool(d, net, p) == 0)
            spec->addresses_count++;
        else
            say(LOG_ERR, "no address left for peer=%s", c->name);
    }
}

static int add_peer(struct daemon *d, const struct config_peer *c, const json_t *known, struct endpoint *stored,
                    size_t *stored_count)
{
    struct node_peer_spec spec = { .key = c->key, .tcp_port = (uint16_t)MAX(c->tcp_port, 0) };
    size_t i;
    json_t *item;
    int r = 0;

    snprintf(spec.name, sizeof(spec.name), "%s", c->name);
    memcpy(spec.psk, c->psk, sizeof(spec.psk));
    for (i = 0; i < c->endpoints.count && spec.endpoints_count < NODE_ENDPOINTS_MAX; i++)
        if (c->endpoints.items[i].at.addr.family != ADDR_NONE) /* names: resolve.c */
            spec.endpoints[spec.endpoints_count++] = c->endpoints.items[i].at;
    for (i = 0; i < c->allowed_prefixes.count && spec.allowed_count < NODE_PREFIXES_MAX; i++)
        spec.allowed[spec.allowed_count++] = c->allowed_prefixes.items[i];
    for (i = 0; i < c->allowed_destinations.count && spec.reach_count < NODE_PREFIXES_MAX; i++)
        spec.reach[spec.reach_count++] = c->allowed_destinations.items[i];
    if (d->config->role == CONFIG_AGENT)
        addresses_of(d, c, known, &spec);
    json_array_foreach(json_object_get(known, "endpoints"), i, item)
    {
        if (json_is_string(item) && *stored_count < NODE_ENDPOINTS_MAX &&
            endpoint_parse(json_string_value(item), 0, &stored[*stored_count]) == 0)
            ++*stored_count;
    }
    for (unsigned w = 0; w < d->workers_count && r >= 0; w++) {
        r = node_peer_add(d->workers[w].node, &spec, clock_now());
        if (r < 0 && w > 0)
            daemon_stop(d, 1); /* their numbers must be the same in all */
    }
    return r;
}

int memory_add_peer(struct daemon *d, const struct config_peer *c)
{
    struct endpoint stored[NODE_ENDPOINTS_MAX];
    size_t count = 0;
    json_t *root = read_file(d);
    char key[KEY_TEXT_SIZE];
    int r;

    peer_key_encode(&c->key, key);
    r = add_peer(d, c, json_object_get(json_object_get(root, "peers"), key), stored, &count);
    json_decref(root);
    return r;
}

int memory_load(struct daemon *d, instant now)
{
    json_t *root, *peers;
    int r = 0;

    if (d->config->role == CONFIG_HOST) /* calls whom it wants, when it wants */
        return 0;
    root = read_file(d);
    peers = json_object_get(root, "peers");
    for (size_t i = 0; i < d->config->peers_count && r >= 0; i++) {
        static const uint8_t by_name[IDENT_KEY_LEN];
        struct endpoint stored[NODE_ENDPOINTS_MAX];
        size_t count = 0;
        char key[KEY_TEXT_SIZE];

        if (memcmp(d->config->peers[i].key.ed25519, by_name, sizeof(by_name)) == 0) /* agents.c finds it */
            continue;
        peer_key_encode(&d->config->peers[i].key, key);
        r = add_peer(d, &d->config->peers[i], json_object_get(peers, key), stored, &count);
        if (r < 0)
            say(LOG_ERR, "peer=%s: %s", d->config->peers[i].name, strerror(-r));
        else if (d->config->role == CONFIG_AGENT && count > 0)
            node_connect(daemon_node_of(d, (unsigned)r), (unsigned)r, stored, count, now);
    }
    json_decref(root);
    return MIN(r, 0);
}

void memory_save(struct daemon *d)
{
    json_t *root = read_file(d), *peers = json_object();
    char path[512], err[256], key[KEY_TEXT_SIZE], buf[PREFIX_STRLEN + ENDPOINT_STRLEN];
    char *text;

    workers_pause(d);
    for (size_t i = 0; i < node_peers_count(daemon_node(d)); i++) {
        const struct node_peer_spec *spec = node_peer_spec(daemon_node(d), (unsigned)i);
        struct endpoint endpoints[NODE_ENDPOINTS_MAX];
        size_t count = node_peer_endpoints(daemon_node_of(d, (unsigned)i), (unsigned)i, endpoints, NODE_ENDPOINTS_MAX);
        json_t *peer = json_object(), *list = json_array();

        peer_key_encode(&spec->key, key);
        for (size_t j = 0; j < spec->addresses_count; j++)
            json_array_append_new(list, json_string(prefix_format(&spec->addresses[j], buf)));
        json_object_set_new(peer, "addresses", list);
        list = json_array();
        for (size_t j = 0; j < count; j++)
            json_array_append_new(list, json_string(endpoint_format(&endpoints[j], buf)));
        if (count == 0) { /* not here now: where it was is still the best guess */
            json_decref(list);
            list = json_deep_copy(json_object_get(json_object_get(json_object_get(root, "peers"), key), "endpoints"));
        }
        if (list)
            json_object_set_new(peer, "endpoints", list);
        json_object_set_new(peers, key, peer);
    }
    workers_resume(d);
    json_object_set_new(root, "peers", peers);
    text = json_dumps(root, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(root);
    memory_path(d, path, sizeof(path));
    mkdir(d->config->state_dir, 0700);
    if (!text || store_write(path, text, strlen(text), err, sizeof(err)) < 0)
        say(LOG_ERR, "memory: %s", text ? err : "out of memory");
    free(text);
}
