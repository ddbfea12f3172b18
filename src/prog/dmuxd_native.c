/* prog/dmuxd_native.c - does the local network speak the client's protocol by itself?
 *
 * Theory of operation. It does when another device has a default route of the protocol's family, better than ours, and
 * an address to send from to anywhere. It is looked for once a second. Only what has been there for SETTLE counts,
 * since a network that comes and goes is none to rely on; what is gone is gone at once.
 *
 * Limits: a router that is announced and leads nowhere is taken at its word, as by the kernel. */
#include "prog/dmuxd.h"

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
}
