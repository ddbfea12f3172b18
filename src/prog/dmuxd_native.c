/* prog/dmuxd_native.c - does the local network speak the client's protocol by itself?
 *
 * Theory of operation. It does when another device has a default route of the protocol's family, better than ours, and
 * an address to send from to anywhere. It is looked for once a second. Only what has been there for SETTLE counts,
 * since a network that comes and goes is none to rely on; what is gone is gone at once.
 *
 * Connections of this host that have our address go on: our routes stay for packets from there, before any other, and
 * for nothing else; so the rest goes by the network, and gets its address there. When the last of them has ended, which
 * the kernel's tables of sockets say, looked at once a second, address and routes go. All of it goes with the device.
 *
 * Limits: a router that is announced and leads nowhere is taken at its word, as by the kernel. Kernels without
 * CONFIG_IPV6_SUBTREES keep nothing. UDP counts where its socket is connected.
 * Sources: net/ipv6/tcp_ipv6.c and include/net/transp_v6.h for the files' columns; include/net/tcp_states.h. */
#include "prog/dmuxd.h"

#include <stdio.h>
#include <syslog.h>

#define LOOK_EVERY (1 * SEC) /* chosen */
#define SETTLE (3 * SEC) /* chosen: a router's first advertisement and its address come within it (RFC 4861 6.3.7) */

struct search {
    const char *own;
    uint8_t family;
    const char *found; /* name of a link, or NULL */
};

static bool look_at(void *ctx, const struct nlmon_link *l)
{
    struct search *s = ctx;
    const struct nlmon_default *route = nlmon_link_default(l, s->family);

    if (l->usable && !l->loopback && strcmp(l->name, s->own) != 0 && route && route->metric < TUN_ROUTE_METRIC &&
        nlmon_link_has_address(l, s->family))
        s->found = l->name;
    return !s->found;
}

/* Of a file of the kernel; state: neither TIME_WAIT (6), CLOSE (7) nor LISTEN (10). */
static unsigned connections_in(const char *path, const char *local)
{
    char line[512], address[33], state[3];
    unsigned n = 0;
    FILE *f = fopen(path, "re");

    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, " %*[0-9]: %32[0-9A-F]:%*4[0-9A-F] %*[0-9A-F]:%*[0-9A-F] %2[0-9A-F]", address, state) == 2 &&
            strcmp(address, local) == 0 && strcmp(state, "06") != 0 && strcmp(state, "07") != 0 &&
            strcmp(state, "0A") != 0)
            n++;
    }
    fclose(f);
    return n;
}

/* Of this host, from that address of IPv6. */
static unsigned connections_from(const struct addr *a)
{
    char local[33] = "";
    uint32_t word; /* as they stand in memory */

    if (a->family != ADDR_V6)
        return 0;
    for (size_t i = 0; i < 4; i++) {
        memcpy(&word, a->bytes + 4 * i, sizeof(word));
        snprintf(local + 8 * i, sizeof(local) - 8 * i, "%08X", word);
    }
    return connections_in("/proc/net/tcp6", local) + connections_in("/proc/net/udp6", local);
}

/* Routes for what has our address as its source: of its family alone, for IPv4 does not look at a route's source. */
static int by_source(struct dmuxd *d, bool add)
{
    const struct addr *from = &d->client_address;
    int r = 0;

    for (size_t i = 0; i < d->config->routes_count && r >= 0; i++) {
        const struct prefix *to = &d->config->routes[i];

        if (to->addr.family != from->family)
            continue;
        if (add)
            r = tun_add_route(d->tun, to, from);
        else
            tun_del_route(d->tun, to, from); /* it may have gone by itself */
    }
    return r;
}

/* Our routes are for what has our address alone, or for all again. 0, or -errno: nothing is as it should be. */
static int narrow(struct dmuxd *d, bool on)
{
    int r = on ? by_source(d, true) : 0;

    for (size_t i = 0; i < d->config->routes_count && r >= 0; i++) {
        if (on)
            tun_del_route(d->tun, &d->config->routes[i], NULL);
        else
            r = tun_add_route(d->tun, &d->config->routes[i], NULL);
    }
    return on || r < 0 ? r : by_source(d, false);
}

static void keep(struct dmuxd *d)
{
    bool was = d->keeping;
    int r;

    d->kept = d->native ? connections_from(&d->client_address) : 0;
    d->keeping = d->kept > 0;
    if (was == d->keeping)
        return;
    if (was && d->native) { /* the last has ended: what follows removes the rest */
        by_source(d, false);
        return;
    }
    r = narrow(d, d->keeping);
    if (r < 0) {
        dmuxd_say(LOG_ERR, "native routes error=%s", strerror(-r));
        by_source(d, false);
        d->keeping = false;
        d->kept = 0;
    } else if (d->keeping) {
        dmuxd_say(LOG_NOTICE, "native keeps=%u connections", d->kept);
    }
}

void dmuxd_native_look(struct dmuxd *d, uint8_t family, instant now)
{
    struct search s = { .own = tun_name(d->tun), .family = family };
    struct nlmon_event e;
    bool was = d->native;

    if (family == ADDR_NONE || now < d->native_next)
        return;
    d->native_next = now + LOOK_EVERY;
    if (d->netlink && nlmon_process(d->netlink) < 0) {
        nlmon_free(d->netlink);
        d->netlink = NULL;
    }
    if (!d->netlink && nlmon_open(&d->netlink) < 0) /* looked for again */
        return;
    while (nlmon_pop_event(d->netlink, &e)) /* the snapshot says it all */
        ;
    nlmon_foreach_link(d->netlink, look_at, &s);
    if (!s.found)
        d->native_since = 0;
    else if (d->native_since == 0)
        d->native_since = now;
    d->native = s.found && now >= d->native_since + SETTLE;
    if (d->native != was)
        dmuxd_say(LOG_NOTICE, d->native ? "native link=%s: the network speaks it by itself" : "native gone%s",
                  d->native ? s.found : "");
    keep(d);
}
