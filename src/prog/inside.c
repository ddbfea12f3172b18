/* prog/inside.c - the TUN device, our routes and rules, and translation at an agent. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

#include "prog/daemon.h"
#include "prog/offload.h"

/* A wake-up reads so much before what it read leaves again: bytes, so that they are still in the cache then, and
 * packets, so that small ones make full trains. */
#define READ_BYTES (256 * 1024) /* chosen: with the trains made of it, a quarter of a second-level cache of 2 MiB */
#define READ_PKTS 64            /* UDP_MAX_SEGMENTS */

static void on_tun(struct worker *w, void *arg, instant now)
{
    struct tun_meta meta;

    for (size_t i = 0, bytes = 0; i < READ_PKTS && bytes < READ_BYTES; i++) {
        uint8_t *in = node_inside_buffer(w->node);
        ssize_t len = tun_read(w->tun, in, BLOCK_CAPACITY, &meta);

        if (len == 0)
            return;
        if (len < 0) {
            if (len != -EMSGSIZE && len != -EPROTO) {
                say(LOG_CRIT, "the device %s is gone: %s", tun_name(w->tun), strerror((int)-len));
                daemon_stop(w->d, 1);
                return;
            }
            continue;
        }
        struct offload o = offload_of_meta(&meta);

        w->counts.tun_rx_bytes += (uint64_t)len;
        bytes += (size_t)len;
        node_on_packet(w->node, in, (size_t)len, &o, now);
        worker_hand_over(w);
    }
}

void inside_write(struct worker *w, const struct merged *pkt)
{
    if (offload_write(w->tun, pkt) < 0)
        w->counts.tun_write_failed++;
    else
        w->counts.tun_tx_bytes += pkt->len;
}

static int say_tun_failure(const struct daemon *d, int r)
{
    if (r == -ENOENT || r == -ENODEV)
        say(LOG_ERR, "no /dev/net/tun: load the module tun, or give the container that device");
    else if (r == -EPERM)
        say(LOG_ERR, "making the device %s needs root or CAP_NET_ADMIN", d->config->name);
    else if (r == -EBUSY)
        say(LOG_ERR, "a device %s exists already: is another hawserd running?", d->config->name);
    else
        say(LOG_ERR, "cannot make the device %s: %s", d->config->name, strerror(-r));
    return r;
}

static void set_forwarding(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, "1\n", 2) != 2)
        say(LOG_WARNING, "cannot turn on forwarding (%s): %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

static int start_filter(struct daemon *d)
{
    const struct config *c = d->config;
    struct prefix prefixes[64];
    struct nft_agent a = { .name = c->name,
                           .tunnel = tun_name(d->workers[0].tun),
                           .prefixes = prefixes,
                           .out = c->nat.interface[0] ? c->nat.interface : NULL };
    char *text_buf = malloc(NFT_RULESET_MAX), err[256];
    struct text t;
    int r;

    set_forwarding("/proc/sys/net/ipv4/ip_forward");
    set_forwarding("/proc/sys/net/ipv6/conf/all/forwarding");
    for (size_t i = 0; i < c->addresses.count && a.prefixes_count < ARRAY_LEN(prefixes); i++) {
        char s[ADDR_STRLEN], with_len[ADDR_STRLEN + 5];

        snprintf(with_len, sizeof(with_len), "%s/%u", addr_format(&c->addresses.items[i].addr, s),
                 c->addresses.items[i].len);
        if (prefix_parse(with_len, true, &prefixes[a.prefixes_count]) == 0)
            a.prefixes_count++;
    }
    if (!c->nat.enabled || a.prefixes_count == 0 || !text_buf) {
        free(text_buf);
        return 0;
    }
    text_init(&t, text_buf, NFT_RULESET_MAX);
    r = nft_agent_ruleset(&t, &a);
    if (r == 0)
        r = nft_apply(text_buf, err, sizeof(err));
    if (r < 0)
        say(LOG_ERR, "cannot set up translation (NAT = no does without): %s", err);
    d->filter_up = r == 0;
    free(text_buf);
    return r;
}

void inside_marks(struct daemon *d)
{
    /* chosen: of RFC 8126's pools 2 and 3 (RFC 2474 section 6), which no standard uses */
    static const uint8_t code[NODE_MARKS_MAX] = { 3, 7, 11, 15, 19, 23, 27, 31, 35, 39, 43, 47, 51, 55, 59, 63 };
    const struct steer_table *t = &d->config->steer;
    struct nft_mark marks[NODE_MARKS_MAX];
    struct node_mark heard[NODE_MARKS_MAX] = { 0 };
    size_t count = 0;
    char buf[8192], err[256];
    struct text text;

    for (size_t i = 0; i < t->count; i++) {
        bool known = t->rules[i].mark_mask == 0;

        for (size_t j = 0; j < count; j++)
            known |= marks[j].mark == t->rules[i].mark && marks[j].mask == t->rules[i].mark_mask;
        if (known || count == NODE_MARKS_MAX)
            continue;
        marks[count] = (struct nft_mark){ t->rules[i].mark, t->rules[i].mark_mask, code[count] };
        heard[count] = (struct node_mark){ code[count], t->rules[i].mark };
        count++;
    }
    node_set_marks(daemon_node(d), heard, count);
    if (count == 0) { /* also what a killed process left */
        (void)!nft_remove(d->config->name, err, sizeof(err));
        d->filter_up = false;
        return;
    }
    text_init(&text, buf, sizeof(buf));
    if (nft_marks_ruleset(&text, d->config->name, tun_name(d->workers[0].tun), marks, count) < 0 ||
        nft_apply(buf, err, sizeof(err)) < 0)
        say(LOG_ERR, "rules with a mark do not work: %s", text.overflow ? "too many" : err);
    else
        d->filter_up = true;
}

int inside_start(struct daemon *d)
{
    const struct config *c = d->config;
    struct tun_addr addrs[16];
    struct tun_options o = {
        .name = c->name,
        .mtu_bytes = (uint32_t)MIN(c->mtu, (int64_t)NODE_MTU_MAX),
        .addrs = addrs,
        .queues = d->workers_count > 1,
        .refuse_vnet_hdr = !(c->offload & CONFIG_OFFLOAD_CSUM),
        .refuse_tso = !(c->offload & CONFIG_OFFLOAD_TSO),
        .refuse_uso = !(c->offload & CONFIG_OFFLOAD_USO),
    };
    int r;

    if (c->role == CONFIG_HOST)
        addrs[o.addrs_count++] = (struct tun_addr){ .addr = host_identifier(d), .prefix_len = 128 };
    for (size_t i = 0; i < c->addresses.count && o.addrs_count < ARRAY_LEN(addrs); i++)
        addrs[o.addrs_count++] =
            (struct tun_addr){ .addr = c->addresses.items[i].addr, .prefix_len = c->addresses.items[i].len };
    r = tun_open(&o, &d->workers[0].tun);
    for (unsigned i = 1; r == 0 && i < d->workers_count; i++)
        r = tun_open_queue(d->workers[0].tun, &d->workers[i].tun);
    if (r < 0)
        return say_tun_failure(d, r);
    if (c->role != CONFIG_AGENT) { /* an agent has no routes, and a node beside it keeps its own */
        d->route_lock = route_lock();
        if (d->route_lock == -EADDRINUSE) {
            say(LOG_ERR, "another hawserd is a node or host here: only one may own the routes");
            return d->route_lock;
        }
        r = d->route_lock < 0 ? d->route_lock : route_open(&d->routes);
    }
    if (r == 0 && d->routes)
        r = route_clean_all(d->routes); /* what a killed process left */
    if (r < 0) {
        say(LOG_ERR, "cannot manage routes: %s", strerror(-r));
        return r;
    }
    if (c->role == CONFIG_AGENT && (r = start_filter(d)) < 0)
        return r;
    for (unsigned i = 0; r == 0 && i < d->workers_count; i++)
        r = watch_new(&d->workers[i], tun_fd(d->workers[i].tun), on_tun, NULL, &d->workers[i].tun_watch);
    return r;
}

void inside_stop(struct daemon *d)
{
    char err[256];

    for (unsigned i = 0; i < d->workers_count; i++)
        watch_free(d->workers[i].tun_watch);
    if (d->routes)
        route_clean_all(d->routes);
    route_free(d->routes);
    if (d->filter_up && nft_remove(d->config->name, err, sizeof(err)) < 0)
        say(LOG_WARNING, "cannot remove translation: %s", err);
    for (unsigned i = 0; i < d->workers_count; i++)
        tun_free(d->workers[i].tun);
    if (d->route_lock >= 0)
        close(d->route_lock);
}

/* Addresses that the agent no longer gives: as a source they would be refused. */
static void drop_given(struct daemon *d, const struct config_message *m)
{
    for (size_t i = 0; i < d->given_count; i++) {
        bool kept = false;

        for (unsigned j = 0; j < m->addresses_count; j++)
            kept |= addr_equal(&d->given[i].addr, &m->addresses[j].addr);
        if (!kept)
            (void)!tun_del_addr(d->workers[0].tun, &d->given[i]);
    }
}

void inside_config(struct daemon *d, unsigned peer, instant now)
{
    struct config_message m;
    char buf[PREFIX_STRLEN];

    if (!node_peer_config(daemon_node(d), peer, &m))
        return;
    drop_given(d, &m);
    d->given_count = 0;
    for (unsigned i = 0; i < m.addresses_count; i++) {
        /* A host address whatever the agent says: what is routed here is this side's decision. */
        struct tun_addr a = { .addr = m.addresses[i].addr, .prefix_len = (uint8_t)addr_bits(&m.addresses[i].addr) };
        int r = tun_add_addr(d->workers[0].tun, &a);

        if (r < 0)
            say(LOG_ERR, "cannot add the address %s: %s", prefix_format(&m.addresses[i], buf), strerror(-r));
        else
            d->given[d->given_count++] = a;
        if (r == 0)
            say(LOG_NOTICE, "address %s mtu=%u", prefix_format(&m.addresses[i], buf), m.mtu);
    }
    if (m.mtu < d->config->mtu)
        tun_set_mtu(d->workers[0].tun, m.mtu);
    d->routes_up = true;
    inside_routes(d);
}

static bool agent_gives(struct daemon *d, uint8_t family)
{
    struct config_message m;

    for (size_t p = 0; p < node_peers_count(daemon_node(d)); p++) {
        if (!node_peer_config(daemon_node(d), (unsigned)p, &m))
            continue;
        for (unsigned i = 0; i < m.addresses_count; i++)
            if (m.addresses[i].addr.family == family)
                return true;
    }
    return false;
}

static bool splits_tcp(const struct steer_rule *r)
{
    return steer_mode_splits((enum steer_mode)r->action.mode) && (r->proto == 0 || r->proto == PROTO_TCP);
}

/* Connections that are split never go without us: not when we were killed, either. What goes by packets to the same
 * prefixes does not then, since a route knows no protocols. */
static size_t guard_split(const struct steer_table *t, struct route_tunnel *out, size_t n, size_t max)
{
    bool all = steer_mode_splits((enum steer_mode)t->fallback.mode);
    size_t routes = n;

    for (size_t i = 0; i < t->count; i++)
        all |= splits_tcp(&t->rules[i]) && t->rules[i].dst.addr.family == ADDR_NONE;
    for (size_t k = 0; k < routes; k++)
        out[k].guarded = all && !out[k].direct;
    for (size_t i = 0; i < t->count && !all; i++) {
        const struct prefix *dst = &t->rules[i].dst;
        const struct route_tunnel *around = NULL;
        bool known = false;

        for (size_t k = 0; k < n && splits_tcp(&t->rules[i]); k++) {
            const struct prefix *p = &out[k].prefix;

            known |= prefix_equal(p, dst);
            out[k].guarded |= dst->len <= p->len && prefix_contains(dst, &p->addr) && !out[k].direct;
            if (k < routes && dst->len > p->len && prefix_contains(p, &dst->addr) &&
                (!around || p->len > around->prefix.len))
                around = &out[k];
        }
        if (around && !known && !around->direct && n < max)
            out[n++] = (struct route_tunnel){ .prefix = *dst, .ifindex = around->ifindex, .guarded = true };
    }
    return n;
}

/* 2001:3f::/32 (RFC 9886, private use). */
static struct prefix all_tags(void)
{
    static const uint8_t bytes[16] = { 0x20, 0x01, 0x00, 0x3f };

    return (struct prefix){ .addr = addr_from_bytes(ADDR_V6, bytes), .len = 32 };
}

static size_t tunnel_routes(struct daemon *d, struct route_tunnel *out, size_t max)
{
    const struct config *c = d->config;
    int ifindex = tun_ifindex(d->workers[0].tun);
    size_t n = 0;

    if (c->role == CONFIG_HOST) {
        out[0] = (struct route_tunnel){ .prefix = all_tags(), .ifindex = ifindex };
        return 1;
    }
    if (!d->routes_up || c->routes.mode == CONFIG_ROUTES_NONE)
        return 0;
    if (c->on_agent_loss == CONFIG_LOSS_DIRECT && clock_now() - d->no_path_since > 3 * SEC)
        return 0;
    for (size_t i = 0; i < c->steer.count && n < max; i++)
        if (c->steer.rules[i].action.mode == STEER_BYPASS)
            out[n++] = (struct route_tunnel){ .prefix = c->steer.rules[i].dst, .direct = true };
    if (c->routes.mode == CONFIG_ROUTES_LIST) {
        for (size_t i = 0; i < c->routes.list.count && n < max; i++)
            out[n++] = (struct route_tunnel){ .prefix = c->routes.list.items[i], .ifindex = ifindex };
        return guard_split(&c->steer, out, n, max);
    }
    if (max - n < 2)
        return n;
    out[n++] = (struct route_tunnel){ .prefix = { .addr = { .family = ADDR_V4 } },
                                      .ifindex = agent_gives(d, ADDR_V4) ? ifindex : 0 };
    if (c->ipv6 != CONFIG_IPV6_DIRECT)
        out[n++] =
            (struct route_tunnel){ .prefix = { .addr = { .family = ADDR_V6 } },
                                   .ifindex = c->ipv6 == CONFIG_IPV6_TUNNEL && agent_gives(d, ADDR_V6) ? ifindex : 0 };
    return guard_split(&c->steer, out, n, max);
}

void inside_routes(struct daemon *d)
{
    static struct route_tunnel tunnels[ROUTE_PREFIXES_MAX];
    struct route_uplink uplinks[2 * UPLINKS_MAX];
    struct route_set set = { .uplinks = uplinks, .tunnels = tunnels };
    struct route_changes changes;
    int r;

    if (d->config->role == CONFIG_AGENT || !d->routes)
        return;
    for (unsigned i = 1; i <= UPLINKS_MAX; i++)
        for (int v6 = 0; v6 < 2; v6++)
            if (d->uplinks[i].used && d->uplinks[i].node.up && d->uplinks[i].has_route[v6])
                uplinks[set.uplinks_count++] = (struct route_uplink){ .index = i,
                                                                      .ifindex = d->uplinks[i].ifindex,
                                                                      .family = v6 ? ADDR_V6 : ADDR_V4,
                                                                      .gateway = d->uplinks[i].gateway[v6] };
    set.tunnels_count = tunnel_routes(d, tunnels, ARRAY_LEN(tunnels));
    r = route_sync(d->routes, &set, &changes);
    if (r < 0 && r != -ENETDOWN && r != -ENODEV)
        say(LOG_ERR, "routes error=%s", strerror(-r));
    if (changes.routes_added + changes.rules_added + changes.routes_deleted + changes.rules_deleted > 0)
        say(LOG_INFO, "routes added=%zu deleted=%zu rules-added=%zu rules-deleted=%zu", changes.routes_added,
            changes.routes_deleted, changes.rules_added, changes.rules_deleted);
}
