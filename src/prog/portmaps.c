/* prog/portmaps.c - the gateway of each link is asked for a port that leads to this host (node/portmap.h).
 *
 * Theory of operation. Each uplink with IPv4 has a socket of its own, bound to it, from which its own gateway is asked,
 * and one at which the gateway announces that it began anew; where another program of this machine has that port, such
 * is seen when the mapping is renewed. Each half second is often enough for what is repeated.
 *
 * What a gateway says is its own word. It could name any endpoint, and whoever calls this host would knock there. So
 * what it names is said to others only if a manager sees the uplink at that address, at whatever port, or if the
 * address is private: then it leads nobody out of his own network, and those behind the same outer NAT to us. */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <syslog.h>

#include "ident/hash.h"
#include "node/portmap.h"
#include "prog/daemon.h"

struct ear {
    struct portmap_link *of;
    struct udp *udp;
    struct watch *watch;
};

struct portmaps {
    struct portmap_link {
        struct portmap map;
        struct ear asks, hears; /* hears.udp NULL: the port is another's */
        int ifindex;
        unsigned link;
        enum portmap_state told; /* as are the two below */
        struct endpoint told_at;
        const char *told_refused;
    } of[UPLINKS_MAX + 1]; /* by link; asks.udp NULL: nobody is asked */
    bool left;             /* one that led to us is no more, which is to be told */
};

static void ear_close(struct ear *e)
{
    watch_free(e->watch);
    udp_free(e->udp);
    *e = (struct ear){ 0 };
}

/* The client is the source: a gateway compares. */
static void send_bytes(struct portmap_link *l, const struct addr *client, const struct addr *gateway,
                       const uint8_t *bytes, size_t len)
{
    const struct udp_tx tx = { .data = bytes, .len = len, .to = { *gateway, PORTMAP_PORT }, .local = *client };

    (void)!udp_send(l->asks.udp, &tx); /* what does not leave is said again */
}

static void forget(struct daemon *d, struct portmap_link *l)
{
    d->portmaps->left |= l->told_at.port != 0;
    ear_close(&l->asks);
    ear_close(&l->hears);
    *l = (struct portmap_link){ .ifindex = 0 };
}

static void close_link(struct daemon *d, struct portmap_link *l)
{
    const struct addr client = l->map.o.client, gateway = l->map.o.gateway;
    uint8_t out[PORTMAP_REQUEST_MAX];
    size_t len;

    if (!l->asks.udp)
        return;
    len = portmap_stop(&l->map, out);
    if (len > 0)
        send_bytes(l, &client, &gateway, out, len);
    forget(d, l);
}

static void ask(struct portmap_link *l, instant now)
{
    const struct addr client = l->map.o.client, gateway = l->map.o.gateway;
    uint8_t out[PORTMAP_REQUEST_MAX];
    size_t len = portmap_output(&l->map, now, out);

    if (len > 0)
        send_bytes(l, &client, &gateway, out, len);
}

static void tell_place(struct daemon *d, instant now)
{
    d->portmaps->left = false;
    host_refresh(d, now);
    daemon_turn(&d->workers[0], now);
}

/* What is new, to the log and to those who are told where we are. */
static void tell(struct daemon *d, struct portmap_link *l, instant now)
{
    const struct portmap *m = &l->map;
    bool moved = !endpoint_equal(&m->external, &l->told_at);
    char at[ENDPOINT_STRLEN];

    if (m->state == l->told && !moved && m->refused == l->told_refused)
        return;
    l->told = m->state;
    l->told_at = m->external;
    l->told_refused = m->refused;
    say(LOG_INFO, "portmap link=%s state=%s protocol=%s at=%s%s%s", d->uplinks[l->link].node.name,
        portmap_state_name(m->state), m->version == PORTMAP_PCP ? "pcp" : "nat-pmp",
        m->state == PORTMAP_MAPPED ? endpoint_format(&m->external, at) : "-", m->refused ? " refused: " : "",
        m->refused ? m->refused : "");
    if (moved)
        tell_place(d, now);
}

static void on_readable(struct worker *w, void *arg, instant now)
{
    struct ear *e = arg;
    struct portmap_link *l = e->of;
    struct udp_rx batch[UDP_BATCH_MAX];
    struct udp_error err;
    int n = udp_recv(e->udp, batch, UDP_BATCH_MAX);

    for (int i = 0; i < n; i++)
        portmap_input(&l->map, &batch[i].from, batch[i].data, batch[i].len, e == &l->hears, now);
    while (udp_pop_error(e->udp, &err) == 1) /* no such gateway: it is asked again */
        ;
    if (n < 0 && e == &l->hears)
        ear_close(e);
    else if (n < 0)
        forget(w->d, l); /* opened again with the next look */
    if (n < 0)
        return;
    ask(l, now);
    tell(w->d, l, now);
}

static int ear_open(struct daemon *d, struct ear *e, struct portmap_link *l, const char *interface, uint16_t port)
{
    const struct udp_options o = { .family = ADDR_V4,
                                   .interface = interface,
                                   .port = port,
                                   .mark = route_uplink_mark(l->link),
                                   .refuse_gso = true,
                                   .refuse_gro = true };
    int r = udp_open(&o, &e->udp);

    e->of = l;
    if (r == 0)
        r = watch_new(&d->workers[0], udp_fd(e->udp), on_readable, e, &e->watch);
    if (r < 0)
        ear_close(e);
    return r;
}

/* Our address on the gateway's network, or else the first; false: there is none. */
static bool client_of(const struct nlmon_link *l, const struct addr *gateway, struct addr *ret)
{
    bool any = false;

    for (size_t i = 0; i < l->addrs_count; i++) {
        const struct nlmon_addr *a = &l->addrs[i];
        const struct prefix net = { a->addr, a->prefix_len };

        if (a->addr.family != ADDR_V4 || a->tentative || addr_is_link_local(&a->addr))
            continue;
        if (prefix_contains(&net, gateway)) {
            *ret = a->addr;
            return true;
        }
        if (!any)
            *ret = a->addr;
        any = true;
    }
    return any;
}

/* What is to be asked by that link now; false: nothing. */
static bool wanted(const struct daemon *d, unsigned link, struct portmap_options *ret)
{
    const struct uplink *u = &d->uplinks[link];
    const struct nlmon_link *l = u->used && u->node.up && u->has_route[0] && u->gateway[0].family == ADDR_V4
                                     ? nlmon_link_find(d->netlink, u->node.name)
                                     : NULL;

    *ret = (struct portmap_options){ .gateway = u->gateway[0],
                                     .port = (uint16_t)d->config->listen_port,
                                     .natpmp = d->config->port_mapping == CONFIG_PORT_MAPPING_NATPMP,
                                     .rng = sys_rng() };
    return l && client_of(l, &u->gateway[0], &ret->client);
}

/* Nobody's to guess, and the same after a restart. */
static void make_nonce(const struct daemon *d, struct portmap_options *o)
{
    uint8_t digest[BLAKE2S_LEN], port[2];

    put_be16(port, o->port);
    blake2s(digest, HASH_PARTS({ "hawser port mapping v1", 22 }, { d->config->identity.ed25519_seed, IDENT_KEY_LEN },
                               { o->client.bytes, sizeof(o->client.bytes) },
                               { o->gateway.bytes, sizeof(o->gateway.bytes) }, { port, sizeof(port) }));
    memcpy(o->nonce, digest, sizeof(o->nonce));
}

static void open_link(struct daemon *d, unsigned link, struct portmap_options *o, instant now)
{
    struct portmap_link *l = &d->portmaps->of[link];
    const struct uplink *u = &d->uplinks[link];

    l->link = link;
    l->ifindex = u->ifindex;
    if (ear_open(d, &l->asks, l, u->node.name, 0) < 0) { /* tried again with the next look */
        forget(d, l);
        return;
    }
    (void)ear_open(d, &l->hears, l, u->node.name, PORTMAP_HEARD_PORT);
    make_nonce(d, o);
    portmap_start(&l->map, o, now);
    ask(l, now);
}

/* As the uplinks are now. */
static void look(struct daemon *d, instant now)
{
    for (unsigned i = 1; i <= UPLINKS_MAX; i++) {
        struct portmap_link *l = &d->portmaps->of[i];
        struct portmap_options o;
        bool want = wanted(d, i, &o);

        if (l->asks.udp && (!want || l->ifindex != d->uplinks[i].ifindex || !addr_equal(&o.client, &l->map.o.client) ||
                            !addr_equal(&o.gateway, &l->map.o.gateway)))
            close_link(d, l);
        if (!l->asks.udp && want)
            open_link(d, i, &o, now);
    }
}

int portmaps_start(struct daemon *d)
{
    if (!d->host || d->config->port_mapping == CONFIG_PORT_MAPPING_NO)
        return 0;
    d->portmaps = calloc(1, sizeof(*d->portmaps));
    return d->portmaps ? 0 : -ENOMEM;
}

void portmaps_slow(struct daemon *d, instant now)
{
    if (!d->portmaps)
        return;
    look(d, now);
    for (unsigned i = 1; i <= UPLINKS_MAX; i++)
        if (d->portmaps->of[i].asks.udp) {
            ask(&d->portmaps->of[i], now);
            tell(d, &d->portmaps->of[i], now);
        }
    if (d->portmaps->left)
        tell_place(d, now);
}

void portmaps_stop(struct daemon *d)
{
    if (!d->portmaps)
        return;
    for (unsigned i = 1; i <= UPLINKS_MAX; i++)
        close_link(d, &d->portmaps->of[i]);
    free(d->portmaps);
    d->portmaps = NULL;
}

/* RFC 1918 and RFC 6598. */
static bool is_private(const struct addr *a)
{
    const struct prefix nets[] = { { addr_v4(0x0a000000), 8 },
                                   { addr_v4(0xac100000), 12 },
                                   { addr_v4(0xc0a80000), 16 },
                                   { addr_v4(0x64400000), 10 } };

    for (size_t i = 0; i < ARRAY_LEN(nets); i++)
        if (prefix_contains(&nets[i], a))
            return true;
    return false;
}

struct endpoint portmaps_place(const struct daemon *d, unsigned link)
{
    const struct endpoint seen = attach_seen(d, link);
    const struct portmap *m = d->portmaps ? &d->portmaps->of[link].map : NULL;

    if (m && m->state == PORTMAP_MAPPED && (is_private(&m->external.addr) || addr_equal(&m->external.addr, &seen.addr)))
        return m->external;
    return (struct endpoint){ .port = 0 };
}

json_t *portmaps_json(const struct daemon *d, instant now)
{
    json_t *list = json_array();

    for (unsigned i = 1; d->portmaps && i <= UPLINKS_MAX; i++) {
        const struct portmap_link *l = &d->portmaps->of[i];
        const struct endpoint place = portmaps_place(d, i);
        char gateway[ADDR_STRLEN], at[ENDPOINT_STRLEN];
        json_t *o;

        if (!l->asks.udp)
            continue;
        o = json_pack("{s:s, s:s, s:s, s:s}", "link", d->uplinks[i].node.name, "gateway",
                      addr_format(&l->map.o.gateway, gateway), "protocol",
                      l->map.version == PORTMAP_PCP ? "pcp" : "nat-pmp", "state", portmap_state_name(l->map.state));
        if (l->map.state == PORTMAP_MAPPED) {
            json_object_set_new(o, "at", json_string(endpoint_format(&l->map.external, at)));
            json_object_set_new(o, "left_s", json_real((double)MAX(l->map.until - now, 0) / SEC));
            json_object_set_new(o, "used", json_boolean(place.port != 0));
        }
        if (l->map.refused)
            json_object_set_new(o, "refused", json_string(l->map.refused));
        json_array_append_new(list, o);
    }
    return list;
}
