/* prog/outside.c - uplinks and sockets.
 *
 * Theory of operation. A node: every interface that netlink shows with a carrier, an address and a default route (or
 * that the file names) becomes an uplink with sockets of its own, one for each lane and family, bound to the interface
 * and marked, so that its datagrams leave there whatever the default route is. What netlink says is compared with what
 * the core was told, and only differences are told. An agent: a socket for each worker and family, all on its port and
 * on all addresses. */
#include <errno.h>
#include <stdio.h>
#include <syslog.h>

#include "ident/hash.h"
#include "prog/daemon.h"
#include "wire/header.h"

#define READ_ROUNDS 4 /* batches a wake-up */
/* Trains are taken a few at a time, so that they are still in the cache when they are opened and when they leave for
 * the TUN; single datagrams many at a time, so that they leave together. */
#define TRAIN_BYTES 16384 /* chosen: of a quarter of the longest train on, the call is not what costs */
#define TRAIN_BATCH 4     /* 256 KB, as READ_BYTES of inside.c */

/* --- sockets --- */

static void close_end(struct socket_end *e)
{
    watch_free(e->watch);
    udp_free(e->udp);
    *e = (struct socket_end){ 0 };
}

static void close_uplink(struct uplink *u)
{
    for (size_t lane = 0; lane < NODE_LANES_MAX; lane++) {
        close_end(&u->ends[lane][0]);
        close_end(&u->ends[lane][1]);
    }
}

static void on_socket(struct worker *w, void *arg, instant now)
{
    struct socket_end *e = arg;
    struct udp_rx batch[UDP_BATCH_MAX];
    struct udp_error err;
    struct locator_pair at = { .link = e->link, .lane = e->lane };

    for (int round = 0; round < READ_ROUNDS; round++) {
        size_t want = e->trains ? TRAIN_BATCH : UDP_BATCH_MAX, bytes = 0;
        int n = udp_recv(e->udp, batch, want);

        if (n < 0) { /* dead: outside_slow opens another, for an only worker */
            say(LOG_ERR, "socket error=%s link=%u", strerror(-n), e->link);
            close_end(e);
            if (w->mail)
                daemon_stop(w->d, 1); /* its place among the sockets of the port cannot be taken again */
            return;
        }
        for (int i = 0; i < n; i++) {
            at.local = batch[i].local;
            at.remote = batch[i].from;
            bytes += batch[i].len;
            if (w->d->attach && attach_is_manager(w->d, &at.remote)) {
                lookup_input(names_lookup(w->d), &at, batch[i].data, batch[i].len, batch[i].segment_bytes);
                continue;
            }
            if (relayed_on_datagram(w, &at, batch[i].data, batch[i].len, batch[i].segment_bytes, batch[i].tos, now))
                continue;
            node_on_datagram(w->node, &at, batch[i].data, batch[i].len, batch[i].segment_bytes, batch[i].tos, now);
            worker_hand_over(w);
        }
        /* What was delivered in place lies in the socket's buffers: it must be out before they are read into again. */
        worker_drain(w, now);
        if (n < (int)want)
            break;
        e->trains = bytes >= (size_t)n * TRAIN_BYTES;
    }
    while (udp_pop_error(e->udp, &err) == 1) {
        at.local = (struct addr){ 0 };
        at.remote = err.to;
        if (err.to.addr.family == ADDR_NONE)
            continue;
        if (err.error == EMSGSIZE)
            worker_too_big(w, &at, err.mtu_bytes, now);
        else
            worker_unreachable(w, &at, now);
    }
}

static int open_end(struct worker *w, struct socket_end *e, uint32_t link, enum addr_family family,
                    const char *interface, uint16_t port)
{
    struct udp_options o = {
        .family = family,
        .interface = interface,
        .port = port,
        .mark = interface ? route_uplink_mark(link) : 0,
        .joins = w->index > 0,
        .refuse_gso = !(w->d->config->offload & CONFIG_OFFLOAD_GSO),
        .refuse_gro = !(w->d->config->offload & CONFIG_OFFLOAD_GRO),
    };
    int r;

    if (e->udp)
        return 0;
    r = udp_open(&o, &e->udp);
    if (r < 0)
        return r;
    e->link = link;
    e->family = (uint8_t)family;
    return watch_new(w, udp_fd(e->udp), on_socket, e, &e->watch);
}

/* The agent's port for a family: a socket for each worker, or none. */
static int listen_for(struct daemon *d, enum addr_family family, uint16_t port)
{
    const struct udp_steering by_cid = { .first = PACKET_SEALED,
                                         .at = SEALED_CID_LAST,
                                         .mask = (uint8_t)(d->workers_count - 1) };
    bool v6 = family == ADDR_V6;
    struct socket_end *first = &d->workers[0].ends[v6];
    int r;

    if (first->udp)
        return 0;
    r = open_end(&d->workers[0], first, NODE_LISTEN_LINK, family, NULL, port);
    if (r < 0 || d->workers_count == 1)
        return r;
    workers_pause(d);
    r = udp_share(first->udp);
    for (unsigned i = 1; i < d->workers_count && r == 0; i++)
        r = open_end(&d->workers[i], &d->workers[i].ends[v6], NODE_LISTEN_LINK, family, NULL, port);
    if (r < 0) {
        say(LOG_ERR, "cannot open %u sockets on UDP port %u: %s", d->workers_count, port, strerror(-r));
        for (unsigned i = 0; i < d->workers_count; i++)
            close_end(&d->workers[i].ends[v6]);
    } else if (udp_steer(first->udp, &by_cid) < 0) {
        say(LOG_WARNING, "the kernel does not steer datagrams: workers hand them on");
    }
    workers_resume(d);
    return r;
}

static int listen_on_port(struct daemon *d)
{
    uint16_t port = (uint16_t)(d->config->listen_port ? d->config->listen_port : CONFIG_PORT);
    int r4 = listen_for(d, ADDR_V4, port), r6 = listen_for(d, ADDR_V6, port);

    if (r4 < 0 && r6 < 0) {
        say(LOG_ERR, "cannot listen on UDP port %u: %s", port, strerror(-r4));
        return r4;
    }
    return 0;
}

/* NULL: there is no such link, or its socket is dead. */
static struct udp *socket_of(const struct worker *w, const struct locator_pair *at)
{
    bool v6 = at->remote.addr.family == ADDR_V6;

    if (at->link == NODE_LISTEN_LINK)
        return w->ends[v6].udp;
    return at->link <= UPLINKS_MAX && at->lane < NODE_LANES_MAX ? w->d->uplinks[at->link].ends[at->lane][v6].udp : NULL;
}

void outside_send(struct worker *w, const struct session_tx *tx, const uint8_t *data, instant now)
{
    struct udp *u = socket_of(w, &tx->at);
    struct udp_tx t = {
        .data = data,
        .len = tx->len,
        .segment_bytes = (uint16_t)tx->segment,
        .to = tx->at.remote,
        .local = tx->at.local,
        .tos = tx->tos,
    };
    int r;

    if (tx->at.transport == TRANSPORT_TCP) {
        if (w->index == 0)
            outside_tcp_send(w->d, tx, data, now);
        else
            worker_tcp_send(w, tx, data);
        return;
    }
    if (w->d->relayed && node_is_relayed(&tx->at.remote)) {
        if (!relayed_send(w->d, tx, data, now))
            node_on_unreachable(w->node, &tx->at, now);
        return;
    }
    if (!u) {
        w->counts.tx_failed++;
        return;
    }
    r = udp_reply(u, &t);
    if (r == -EAGAIN || r > 0) {
        w->counts.tx_would_block++;
    } else if (r == -EMSGSIZE) {
        w->counts.tx_failed++; /* larger than the interface's MTU */
        node_on_too_big(w->node, &tx->at, 0, now);
    } else if (r < 0) {
        w->counts.tx_failed++;
        node_on_unreachable(w->node, &tx->at, now);
    }
}

void outside_send_beside(struct daemon *d, const struct locator_pair *at, const uint8_t *data, size_t len)
{
    const struct udp_tx t = { .data = data, .len = len, .to = at->remote, .local = at->local };
    struct udp *u = socket_of(&d->workers[0], at);

    if (!u || udp_reply(u, &t) < 0) /* whoever asks does so again */
        d->workers[0].counts.tx_failed++;
}

/* --- uplinks --- */

static bool is_candidate(const struct daemon *d, const struct nlmon_link *l)
{
    if (l->loopback || strcmp(l->name, tun_name(d->workers[0].tun)) == 0)
        return false;
    if (d->config->links_count > 0)
        return config_link_find(d->config, l->name) != NULL;
    return nlmon_link_default(l, ADDR_V4) || nlmon_link_default(l, ADDR_V6);
}

static struct uplink *find_uplink(struct daemon *d, const char *name)
{
    for (unsigned i = 1; i <= UPLINKS_MAX; i++)
        if (d->uplinks[i].used && strcmp(d->uplinks[i].node.name, name) == 0)
            return &d->uplinks[i];
    return NULL;
}

static struct uplink *make_uplink(struct daemon *d, const struct nlmon_link *l)
{
    const struct config_link *c = config_link_find(d->config, l->name);

    for (unsigned i = 1; i <= UPLINKS_MAX; i++) {
        struct uplink *u = &d->uplinks[i];

        if (u->used)
            continue;
        *u = (struct uplink){ .used = true, .tier_override = -1, .source_check = -1 };
        u->node.link = i;
        snprintf(u->node.name, sizeof(u->node.name), "%s", l->name);
        if (c && c->wifi.source == CONFIG_WIFI_FILE)
            (void)!wifi_file_open(c->wifi.file, &u->wifi);
        else if (!c || c->wifi.source == CONFIG_WIFI_AUTO)
            (void)!wifi_open(&u->wifi); /* without nl80211 there is no WiFi to watch */
        return u;
    }
    return NULL;
}

static void loosen_source_check(struct uplink *u)
{
    int was = route_source_check_get(u->node.name);

    if (was != 1 || u->source_check >= 0)
        return;
    if (route_source_check_set(u->node.name, 2) == 0) {
        u->source_check = was;
        say(LOG_INFO, "rp_filter link=%s value=2 was=1: the agent's answers would be dropped", u->node.name);
    }
}

static void drop_uplink(struct daemon *d, struct uplink *u, instant now)
{
    say(LOG_INFO, "uplink-gone link=%s", u->node.name);
    node_uplink_remove(daemon_node(d), u->node.link, now);
    close_uplink(u);
    outside_tcp_drop(d, u->node.link);
    wifi_free(u->wifi);
    *u = (struct uplink){ 0 };
}

static void tell_node(struct daemon *d, struct uplink *u, struct node_uplink fresh, instant now)
{
    if (node_uplink_equal(&fresh, &u->node))
        return;
    say(LOG_INFO, "uplink link=%s up=%d v4=%d v6=%d tier=%s leaving=%d", fresh.name, fresh.up, fresh.has_v4,
        fresh.has_v6, link_tier_name(fresh.tier), fresh.leaving);
    if (fresh.address_hash != u->node.address_hash)
        outside_tcp_drop(d, fresh.link);
    u->node = fresh;
    node_uplink_set(daemon_node(d), &u->node, now);
}

/* A socket for each lane; false if not even the first can be had. */
static bool open_lanes(struct daemon *d, struct uplink *u, bool v6, uint8_t *lanes)
{
    for (uint8_t lane = 0; lane < NODE_LANES_MAX; lane++) {
        struct socket_end *e = &u->ends[lane][v6];
        /* A host is called at its first; of more than one interface, each has that port. */
        uint16_t port = (uint16_t)(d->config->role == CONFIG_HOST && lane == 0 ? d->config->listen_port : 0);

        if (lane >= *lanes) {
            close_end(e);
        } else if (open_end(&d->workers[0], e, u->node.link, v6 ? ADDR_V6 : ADDR_V4, u->node.name, port) < 0) {
            if (lane == 0)
                return false;
            *lanes = lane;
        } else {
            e->lane = lane;
        }
    }
    return true;
}

static void refresh_one(struct daemon *d, const struct nlmon_link *l, instant now)
{
    const struct config_link *c = config_link_find(d->config, l->name);
    struct uplink *u = find_uplink(d, l->name);
    struct node_uplink fresh;

    if (!u && (!l->usable || !is_candidate(d, l) || !(u = make_uplink(d, l))))
        return;
    if (u->ifindex != l->ifindex) { /* new, or the interface was made anew under its name */
        close_uplink(u);
        outside_tcp_drop(d, u->node.link);
        u->ifindex = l->ifindex;
    }
    memset(&fresh, 0, sizeof(fresh));
    memcpy(&fresh, &u->node, sizeof(fresh));
    fresh.tier = (uint8_t)(u->tier_override >= 0 ? u->tier_override : c ? c->tier : TIER_PRIMARY);
    fresh.weight = (uint16_t)(c ? c->weight : 100);
    fresh.rate_cap_bps = c ? c->rate_up_bps : 0;
    fresh.metered = c && c->metered;
    fresh.trains = !fresh.metered;
    fresh.tcp = (uint8_t)(c ? c->tcp : CONFIG_TCP_AUTO);
    fresh.lanes = (uint8_t)(c ? c->ports : 1);
    fresh.leaving = u->said_down || u->signal_low;
    for (int v6 = 0; v6 < 2; v6++) {
        uint8_t family = v6 ? ADDR_V6 : ADDR_V4;
        const struct nlmon_default *route = nlmon_link_default(l, family);
        bool has = l->usable && nlmon_link_has_address(l, family);

        u->has_route[v6] = has && route;
        if (route)
            u->gateway[v6] = route->gateway;
        has = has && open_lanes(d, u, v6, &fresh.lanes);
        *(v6 ? &fresh.has_v6 : &fresh.has_v4) = has;
    }
    fresh.up = l->usable && (fresh.has_v4 || fresh.has_v6);
    if (fresh.up) {
        fresh.address_hash = nlmon_link_address_hash(l);
        loosen_source_check(u);
    } else { /* its families are as they were: the paths stay, down, until it returns */
        fresh.has_v4 = u->node.has_v4;
        fresh.has_v6 = u->node.has_v6;
    }
    tell_node(d, u, fresh, now);
}

struct refresh {
    struct daemon *d;
    instant now;
};

static bool refresh_visit(void *ctx, const struct nlmon_link *l)
{
    struct refresh *r = ctx;

    refresh_one(r->d, l, r->now);
    return true;
}

void outside_refresh(struct daemon *d, instant now)
{
    struct refresh r = { d, now };

    for (unsigned i = 1; i <= UPLINKS_MAX; i++)
        if (d->uplinks[i].used && !nlmon_link_find(d->netlink, d->uplinks[i].node.name))
            drop_uplink(d, &d->uplinks[i], now);
    nlmon_foreach_link(d->netlink, refresh_visit, &r);
    if (d->host)
        host_refresh(d, now);
}

static void on_netlink(struct worker *w, void *arg, instant now)
{
    struct daemon *d = w->d;
    struct nlmon_event ev;
    bool ours = false;
    int r = nlmon_process(d->netlink);

    if (r < 0)
        say(LOG_ERR, "netlink error=%s", strerror(-r));
    while (nlmon_pop_event(d->netlink, &ev)) {
        ours |= ev.type != NLMON_ADDR_NEW || !ev.addr.tentative;
        if ((ev.type == NLMON_OWN_ROUTE_DEL || ev.type == NLMON_OWN_RULE_DEL) && d->routes_up && !d->stopping)
            say(LOG_DEBUG, "own-route-or-rule-deleted");
    }
    outside_refresh(d, now);
    if (ours)
        inside_routes(d);
}

/* --- signal strength --- */

static void watch_signal(struct daemon *d, struct uplink *u, instant now)
{
    const struct config_link *c = config_link_find(d->config, u->node.name);
    int64_t low = c ? c->signal_low_dbm : -75, high = c ? c->signal_high_dbm : -68;
    struct node_uplink fresh = u->node;
    int dbm = u->signal_fed, slope, ahead;

    if (dbm == 0 && (!u->wifi || wifi_signal_dbm(u->wifi, u->node.name, &dbm) < 0))
        return;
    /* Where it will be in a second, if it goes on falling as in the last half: make before break needs the time. */
    slope = u->signal_dbm ? MIN(dbm - u->signal_dbm, 0) : 0;
    ahead = dbm + 2 * slope;
    u->signal_dbm = dbm;
    if (!u->signal_low && ahead < low)
        u->signal_low = true;
    else if (u->signal_low && dbm > high)
        u->signal_low = false;
    fresh.leaving = u->said_down || u->signal_low;
    if (fresh.leaving != u->node.leaving)
        say(LOG_NOTICE, "signal link=%s dbm=%d %s", u->node.name, dbm, fresh.leaving ? "leaving" : "back");
    tell_node(d, u, fresh, now);
}

void outside_slow(struct daemon *d, instant now)
{
    outside_tcp_slow(d, now);
    if (d->config->role == CONFIG_AGENT) {
        (void)!listen_on_port(d); /* a family that could not be had may be there now */
        return;
    }
    outside_refresh(d, now); /* opens a socket again that died */
    for (unsigned i = 1; i <= UPLINKS_MAX; i++)
        if (d->uplinks[i].used && d->uplinks[i].node.up)
            watch_signal(d, &d->uplinks[i], now);
}

int outside_link_order(struct daemon *d, const char *name, const char *what, const char *value, instant now)
{
    struct uplink *u = find_uplink(d, name);
    enum config_tier tier;

    if (!u)
        return -ENODEV;
    if (strcmp(what, "state") == 0) {
        if (strcmp(value, "down") != 0 && strcmp(value, "up") != 0)
            return -EINVAL;
        u->said_down = strcmp(value, "down") == 0;
    } else if (strcmp(what, "tier") == 0) {
        if (config_tier_parse(value, &tier) < 0)
            return -EINVAL;
        u->tier_override = (int)tier;
    } else if (strcmp(what, "signal") == 0) {
        if (value[0] != '-' || atoi(value) < -127 || atoi(value) >= 0)
            return -EINVAL; /* 0 dBm is no radio signal that was ever received */
        u->signal_fed = atoi(value);
        watch_signal(d, u, now);
    } else {
        return -EINVAL;
    }
    outside_refresh(d, now);
    return 0;
}

/* --- start and stop --- */

int outside_start(struct daemon *d, instant now)
{
    int r = nlmon_open(&d->netlink);

    if (r < 0) {
        say(LOG_ERR, "cannot watch the network: %s", strerror(-r));
        return r;
    }
    r = outside_tcp_start(d);
    if (r < 0)
        return r;
    if (d->config->role == CONFIG_AGENT)
        return listen_on_port(d);
    on_netlink(&d->workers[0], NULL, now);
    for (size_t i = 0; i < node_peers_count(daemon_node(d)); i++)
        node_connect(daemon_node(d), (unsigned)i, NULL, 0, now);
    return watch_new(&d->workers[0], nlmon_fd(d->netlink), on_netlink, NULL, &d->netlink_watch);
}

void outside_stop(struct daemon *d)
{
    watch_free(d->netlink_watch);
    nlmon_free(d->netlink);
    outside_tcp_stop(d);
    for (unsigned i = 0; i < d->workers_count; i++) {
        close_end(&d->workers[i].ends[0]);
        close_end(&d->workers[i].ends[1]);
    }
    for (unsigned i = 1; i <= UPLINKS_MAX; i++) {
        struct uplink *u = &d->uplinks[i];

        close_uplink(u);
        wifi_free(u->wifi);
        if (u->used && u->source_check >= 0)
            route_source_check_set(u->node.name, u->source_check);
    }
}
