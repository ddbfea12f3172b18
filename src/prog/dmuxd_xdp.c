/* prog/dmuxd_xdp.c - a gateway's data path in the kernel: what the core's tables say, kept in the program's maps.
 *
 * Theory of operation. After each wake-up the core gives the tables that have changed; each becomes one element, which
 * the kernel replaces as a whole. Groups with a provider that has a rate, and what does not fit, stay out: the program
 * passes their packets on to the daemon, which has the same tables. What did not fit is counted, told once in a while,
 * and tried again with its next change. */
#include "prog/dmuxd.h"

#include <errno.h>
#include <syslog.h>

_Static_assert(XDP_COOKIE_S == GATEWAY_COOKIE_S && XDP_TICKET_S == GATEWAY_TICKET_S,
               "both paths take the same cookies");

#define TOLD_EVERY_S 60 /* chosen: a line a minute of what goes on */

static int set_config(struct dmuxd *d)
{
    const struct dmux_config *c = d->config;
    struct xdp_config x = {
        .keys = *gateway_keys(d->gateway), .id = c->id, .hops = GATEWAY_HOPS, .port = __builtin_bswap16(c->port)
    };

    memcpy(&x.service, c->service.bytes, 4);
    memcpy(&x.unicast, c->address.bytes, 4);
    memcpy(&x.prefix, c->prefix.addr.bytes, 4);
    put_be32((uint8_t *)&x.mask, c->prefix.len == 0 ? 0 : UINT32_MAX << (32 - c->prefix.len));
    d->xdp_epoch = x.keys.epoch;
    return xdp_set_config(d->xdp, &x);
}

int dmuxd_xdp_start(struct dmuxd *d, uint32_t wall_s)
{
    int r = xdp_open(d->config->interface, &d->xdp);

    if (r < 0) {
        dmuxd_say(LOG_ERR, "xdp interface=%s error=%s", d->config->interface,
                  r == -EOPNOTSUPP ? "not built in" : strerror(-r));
        return r;
    }
    gateway_export(d->gateway);
    r = xdp_set_clock(d->xdp, wall_s);
    return r < 0 ? r : set_config(d);
}

static int put_group(struct dmuxd *d, const struct registry_table *t)
{
    struct xdp_group_key key = { .protocol = t->protocol, .provider = t->provider };
    struct xdp_group g = { 0 };

    if (t->empty)
        return xdp_set_group(d->xdp, &key, NULL);
    for (unsigned i = 0; i < SLOTS_COUNT; i++) {
        const struct registration *m = t->slots[i];

        if (m->realm == 0 && gateway_rate(d->gateway, m->provider) > 0)
            return xdp_set_group(d->xdp, &key, NULL);
        put_be32(&g.slots[i].addr, m->addr);
        put_be16(&g.slots[i].port, m->port);
        g.slots[i].provider = m->provider;
        g.slots[i].border = m->realm != 0;
    }
    return xdp_set_group(d->xdp, &key, &g);
}

static int put_router(struct dmuxd *d, const struct registration *m)
{
    struct xdp_router_key key = { .protocol = m->protocol, .provider = m->provider };
    struct xdp_router router = { .border = m->realm != 0 };

    put_be32(&key.addr, m->addr);
    put_be16(&key.port, m->port);
    memcpy(router.pass, m->pass, sizeof(router.pass));
    return xdp_set_router(d->xdp, &key, m->state == REGISTRATION_PROVED ? &router : NULL);
}

static bool is_to_be_told(struct dmuxd *d, enum xdp_news news)
{
    if (d->xdp_told_s[news] != 0 && d->xdp_wall_s - d->xdp_told_s[news] < TOLD_EVERY_S)
        return false;
    d->xdp_told_s[news] = d->xdp_wall_s;
    return true;
}

/* The error of an element; 0 for one that found no room: user space passes its packets. */
static int left_out(struct dmuxd *d, enum xdp_news news, int error)
{
    if (error != -E2BIG)
        return error;
    d->xdp_left_out++;
    if (is_to_be_told(d, news))
        dmuxd_say(LOG_WARNING, "xdp %s=%u full, others pass in user space",
                  news == XDP_NEWS_GROUPS ? "groups" : "routers",
                  news == XDP_NEWS_GROUPS ? XDP_GROUPS_MAX : XDP_ROUTERS_MAX);
    return 0;
}

/* An error of several, if there was one. */
static void keep(int *failed, int r)
{
    *failed = r < 0 ? r : *failed;
}

void dmuxd_xdp_turn(struct dmuxd *d, uint32_t wall_s)
{
    struct registry *r = gateway_export(d->gateway);
    const struct registration *m;
    struct registry_table t;
    int failed = 0;

    if (wall_s != d->xdp_wall_s) {
        d->xdp_wall_s = wall_s;
        keep(&failed, xdp_set_clock(d->xdp, wall_s));
    }
    if (gateway_keys(d->gateway)->epoch != d->xdp_epoch)
        keep(&failed, set_config(d));
    while (registry_pop_table(r, &t)) {
        struct xdp_group_key key = { .protocol = t.protocol, .provider = t.provider };
        int e = put_group(d, &t);

        if (e < 0) /* an old element must not stay */
            keep(&failed, xdp_set_group(d->xdp, &key, NULL));
        keep(&failed, left_out(d, XDP_NEWS_GROUPS, e));
    }
    while ((m = registry_pop_router(r)))
        keep(&failed, left_out(d, XDP_NEWS_ROUTERS, put_router(d, m)));
    if (failed < 0 && is_to_be_told(d, XDP_NEWS_FAILED))
        dmuxd_say(LOG_ERR, "xdp tables error=%s", strerror(-failed));
}

void dmuxd_xdp_status(struct dmuxd *d, json_t *doc)
{
    uint64_t n[XDP_COUNT_COUNT];
    json_t *o = json_object(), *drops = json_object();

    if (xdp_counts(d->xdp, n) == 0) {
        number_set(o, "to_router_pkts", n[XDP_COUNT_TO_ROUTER]);
        number_set(o, "to_client_pkts", n[XDP_COUNT_TO_CLIENT]);
        number_set(o, "from_home_pkts", n[XDP_COUNT_FROM_HOME]);
        number_set(o, "to_home_pkts", n[XDP_COUNT_TO_HOME]);
        number_set(o, "passed_pkts", n[XDP_COUNT_PASSED]);
        for (unsigned i = 1; i < SHIM_FAULT_COUNT; i++) {
            if (n[i] > 0)
                number_set(drops, gateway_drop_name(i), n[i]);
        }
    }
    number_set(o, "left_out", d->xdp_left_out);
    json_object_set_new(o, "interface", json_string(d->config->interface));
    json_object_set_new(o, "drops", drops);
    json_object_set_new(doc, "xdp", o);
}
