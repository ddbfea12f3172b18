/* Monitor of links, addresses and default routes.
 *
 * Theory of operation. One socket listens to the multicast groups; a second one asks for dumps. Listening starts before
 * the first dump, so nothing is missed; notifications older than the dump that are read after it lead the snapshot
 * through states it has left, and end in the present one. Every message is an upsert or a removal in the snapshot, and
 * an event is queued only if the snapshot changed.
 *
 * Losing notifications (ENOBUFS) is repaired by throwing away the rest of the queue and a dump with mark and sweep:
 * each item seen takes the new generation, the rest is removed with events. The same, for one link and family, repairs
 * what the kernel does in silence: it drops IPv4 routes with their link, last address or preferred source without a
 * word, and a replacing route does not name the one that it replaced. It says that an address is gone before it drops
 * the routes, so who looks at once may still find them: they are looked at again when the next address comes.
 *
 * Limits: see the header. Dumps block for the kernel's answer: microseconds to milliseconds, but about a second on a
 * host with a full BGP table, at the start and after an overflow. A kernel before 4.20 does not filter by link.
 * Sources: rtnetlink(7), RFC 3549; net/ipv4/fib_frontend.c for what is silent. */
#include "sys/netlink.h"

#include "sys/nlreq.h"
#include "sys/route.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#define RX_BYTES 65536
#define READS_MAX 64
#define DISCARDS_MAX 65536 /* chosen: more messages than a socket buffer holds */
#define DUMP_TRIES 8       /* chosen: a dump that meets changes eight times in a row is taken as it is */

struct entry {
    struct nlmon_link link;
    uint32_t generation;
    uint32_t addr_generation[NLMON_ADDRS_MAX];
    uint32_t default_generation[NLMON_DEFAULTS_MAX];
    bool routes_stale; /* IPv4 routes may have gone without a word */
};

struct nlmon {
    struct nlreq listen, ask;
    uint32_t generation;
    struct entry *links[NLMON_LINKS_MAX]; /* owned */
    size_t links_count;
    struct nlmon_event *events; /* owned ring as an array: [events_first, events_count) are queued */
    size_t events_first, events_count, events_size;
    size_t ignored;
    bool out_of_memory;
    uint8_t *buf; /* owned, RX_BYTES */
};

static void push_event(struct nlmon *m, enum nlmon_event_type type, const struct entry *e,
                       const struct nlmon_addr *addr, const struct nlmon_default *route)
{
    struct nlmon_event ev = { .type = type };

    if (m->events_count == m->events_size) {
        size_t size = m->events_size ? m->events_size * 2 : 64;
        struct nlmon_event *events = realloc(m->events, size * sizeof(*events));

        if (!events) {
            m->out_of_memory = true;
            return;
        }
        m->events = events;
        m->events_size = size;
    }
    if (e) {
        ev.ifindex = e->link.ifindex;
        memcpy(ev.name, e->link.name, sizeof(ev.name));
    }
    if (addr)
        ev.addr = *addr;
    if (route)
        ev.route = *route;
    m->events[m->events_count++] = ev;
}

static struct entry *find_entry(const struct nlmon *m, int ifindex)
{
    for (size_t i = 0; i < m->links_count; i++)
        if (m->links[i]->link.ifindex == ifindex)
            return m->links[i];
    return NULL;
}

static void remove_entry(struct nlmon *m, size_t i)
{
    push_event(m, NLMON_LINK_GONE, m->links[i], NULL, NULL);
    free(m->links[i]);
    m->links[i] = m->links[--m->links_count];
}

static void remove_addr(struct nlmon *m, struct entry *e, size_t i)
{
    struct nlmon_addr gone = e->link.addrs[i];
    size_t last = --e->link.addrs_count;

    e->link.addrs[i] = e->link.addrs[last];
    e->addr_generation[i] = e->addr_generation[last];
    e->routes_stale |= gone.addr.family == ADDR_V4;
    push_event(m, NLMON_ADDR_DEL, e, &gone, NULL);
}

static void remove_default(struct nlmon *m, struct entry *e, size_t i)
{
    struct nlmon_default gone = e->link.defaults[i];
    size_t last = --e->link.defaults_count;

    e->link.defaults[i] = e->link.defaults[last];
    e->default_generation[i] = e->default_generation[last];
    push_event(m, NLMON_DEFAULT_ROUTE_DEL, e, NULL, &gone);
}

static void copy_name(char ret[NLMON_NAME_SIZE], const struct nlattr *a)
{
    memset(ret, 0, NLMON_NAME_SIZE);
    if (a)
        memcpy(ret, nla_data(a), MIN((size_t)nla_len(a), (size_t)NLMON_NAME_SIZE - 1));
}

static void on_link(struct nlmon *m, const struct nlmsghdr *h)
{
    struct nlattr *attrs[IFLA_MAX + 1], *info[IFLA_INFO_MAX + 1];
    struct nlmon_link l = { 0 };
    struct ifinfomsg ifi;
    struct entry *e;
    bool changed;

    if (nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(ifi), attrs, IFLA_MAX, NULL) < 0)
        return;
    memcpy(&ifi, nlmsg_data(h), sizeof(ifi));
    if (ifi.ifi_family != AF_UNSPEC) /* a bridge's view of its port */
        return;
    e = find_entry(m, ifi.ifi_index);
    if (h->nlmsg_type == RTM_DELLINK) {
        for (size_t i = 0; e && i < m->links_count; i++)
            if (m->links[i] == e)
                remove_entry(m, i), e = NULL;
        return;
    }
    l.ifindex = ifi.ifi_index;
    l.admin_up = (ifi.ifi_flags & IFF_UP) != 0;
    l.usable = l.admin_up && (ifi.ifi_flags & IFF_RUNNING) && (ifi.ifi_flags & IFF_LOWER_UP);
    l.loopback = (ifi.ifi_flags & IFF_LOOPBACK) != 0;
    l.mtu_bytes = attrs[IFLA_MTU] ? nla_get_u32(attrs[IFLA_MTU]) : 0;
    copy_name(l.name, attrs[IFLA_IFNAME]);
    if (attrs[IFLA_LINKINFO] && nla_parse_nested(info, IFLA_INFO_MAX, attrs[IFLA_LINKINFO], NULL) == 0)
        copy_name(l.kind, info[IFLA_INFO_KIND]);
    changed = !e || e->link.usable != l.usable || e->link.mtu_bytes != l.mtu_bytes || strcmp(e->link.name, l.name) != 0;
    if (!e) {
        e = m->links_count < NLMON_LINKS_MAX ? calloc(1, sizeof(*e)) : NULL;
        if (!e) {
            m->ignored++;
            return;
        }
        m->links[m->links_count++] = e;
    }
    e->routes_stale |= e->link.admin_up && !l.admin_up;
    /* Only the head of the struct is the link's own; what follows was learnt from other messages. */
    memcpy(&e->link, &l, offsetof(struct nlmon_link, addrs));
    e->generation = m->generation;
    if (changed)
        push_event(m, l.usable ? NLMON_LINK_UP : NLMON_LINK_DOWN, e, NULL, NULL);
}

static bool attr_addr(const struct nlattr *a, int family, struct addr *ret)
{
    enum addr_family f = family == AF_INET ? ADDR_V4 : ADDR_V6;

    if (!a || nla_len(a) != (f == ADDR_V4 ? 4 : 16))
        return false;
    *ret = addr_from_bytes(f, nla_data(a));
    return true;
}

static void on_addr(struct nlmon *m, const struct nlmsghdr *h)
{
    struct nlattr *attrs[IFA_MAX + 1];
    struct nlmon_addr a = { 0 };
    struct ifaddrmsg ifa;
    struct entry *e;
    uint32_t flags;
    size_t i;

    if (nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(ifa), attrs, IFA_MAX, NULL) < 0)
        return;
    memcpy(&ifa, nlmsg_data(h), sizeof(ifa));
    e = find_entry(m, (int)ifa.ifa_index);
    if (!e || (ifa.ifa_family != AF_INET && ifa.ifa_family != AF_INET6))
        return;
    /* On point-to-point links IFA_ADDRESS is the other end; IFA_LOCAL is always ours where it exists. */
    if (!attr_addr(attrs[IFA_LOCAL], ifa.ifa_family, &a.addr) &&
        !attr_addr(attrs[IFA_ADDRESS], ifa.ifa_family, &a.addr))
        return;
    flags = attrs[IFA_FLAGS] ? nla_get_u32(attrs[IFA_FLAGS]) : ifa.ifa_flags;
    a.prefix_len = ifa.ifa_prefixlen;
    a.scope = ifa.ifa_scope;
    a.tentative = (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) && !(flags & IFA_F_OPTIMISTIC);
    a.deprecated = (flags & IFA_F_DEPRECATED) != 0;
    for (i = 0; i < e->link.addrs_count; i++)
        if (addr_equal(&e->link.addrs[i].addr, &a.addr) && e->link.addrs[i].prefix_len == a.prefix_len)
            break;
    if (h->nlmsg_type == RTM_DELADDR) {
        if (i < e->link.addrs_count)
            remove_addr(m, e, i);
        return;
    }
    if (i == NLMON_ADDRS_MAX) {
        m->ignored++;
        return;
    }
    e->addr_generation[i] = m->generation;
    if (i < e->link.addrs_count && e->link.addrs[i].tentative == a.tentative &&
        e->link.addrs[i].deprecated == a.deprecated && e->link.addrs[i].scope == a.scope)
        return;
    e->link.addrs[i] = a;
    e->link.addrs_count = MAX(e->link.addrs_count, i + 1);
    e->routes_stale |= a.addr.family == ADDR_V4;
    push_event(m, NLMON_ADDR_NEW, e, &a, NULL);
}

static bool default_equal(const struct nlmon_default *a, const struct nlmon_default *b)
{
    return a->family == b->family && a->metric == b->metric && a->table == b->table &&
           addr_equal(&a->gateway, &b->gateway);
}

static void on_default(struct nlmon *m, int ifindex, const struct nlmon_default *d, bool del)
{
    struct entry *e = find_entry(m, ifindex);
    size_t i = 0;

    if (!e)
        return;
    while (i < e->link.defaults_count && !default_equal(&e->link.defaults[i], d))
        i++;
    if (del) {
        if (i < e->link.defaults_count)
            remove_default(m, e, i);
        return;
    }
    if (i == NLMON_DEFAULTS_MAX) {
        m->ignored++;
        return;
    }
    e->default_generation[i] = m->generation;
    if (i == e->link.defaults_count) {
        e->link.defaults[i] = *d;
        e->link.defaults_count++;
        push_event(m, NLMON_DEFAULT_ROUTE_NEW, e, NULL, d);
    }
}

static bool is_own_table(uint32_t table)
{
    return table == ROUTE_TABLE_TUNNEL ||
           (table >= ROUTE_TABLE_UPLINK && table < ROUTE_TABLE_UPLINK + ROUTE_UPLINKS_MAX);
}

static void on_multipath(struct nlmon *m, const struct nlattr *a, struct nlmon_default d, bool del)
{
    const struct rtnexthop *nh = nla_data(a);
    int left = nla_len(a);

    while (left >= (int)sizeof(*nh) && nh->rtnh_len >= sizeof(*nh) && nh->rtnh_len <= left) {
        struct nlattr *attrs[RTA_MAX + 1];

        d.gateway = (struct addr){ 0 };
        if (nla_parse(attrs, RTA_MAX, (struct nlattr *)RTNH_DATA((uintptr_t)nh), nh->rtnh_len - (int)sizeof(*nh),
                      NULL) == 0)
            attr_addr(attrs[RTA_GATEWAY], d.family == ADDR_V4 ? AF_INET : AF_INET6, &d.gateway);
        on_default(m, nh->rtnh_ifindex, &d, del);
        left -= NLA_ALIGN(nh->rtnh_len);
        nh = (const struct rtnexthop *)((const uint8_t *)nh + NLA_ALIGN(nh->rtnh_len));
    }
}

static void on_route(struct nlmon *m, const struct nlmsghdr *h)
{
    bool del = h->nlmsg_type == RTM_DELROUTE;
    struct nlattr *attrs[RTA_MAX + 1];
    struct nlmon_default d = { 0 };
    struct rtmsg rtm;
    int oif;

    if (nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(rtm), attrs, RTA_MAX, NULL) < 0)
        return;
    memcpy(&rtm, nlmsg_data(h), sizeof(rtm));
    if ((rtm.rtm_family != AF_INET && rtm.rtm_family != AF_INET6) || (rtm.rtm_flags & RTM_F_CLONED))
        return;
    d.table = attrs[RTA_TABLE] ? nla_get_u32(attrs[RTA_TABLE]) : rtm.rtm_table;
    oif = attrs[RTA_OIF] ? (int)nla_get_u32(attrs[RTA_OIF]) : 0;
    if (rtm.rtm_protocol == ROUTE_PROTOCOL || is_own_table(d.table)) {
        if (del)
            push_event(m, NLMON_OWN_ROUTE_DEL, find_entry(m, oif), NULL, NULL);
        return;
    }
    if (rtm.rtm_dst_len != 0 || rtm.rtm_type != RTN_UNICAST)
        return;
    d.family = rtm.rtm_family == AF_INET ? ADDR_V4 : ADDR_V6;
    d.metric = attrs[RTA_PRIORITY] ? nla_get_u32(attrs[RTA_PRIORITY]) : 0;
    if (!del && (h->nlmsg_flags & NLM_F_REPLACE)) {
        /* The replaced route had the same metric and table; it is not named, and may have been on any link. */
        for (size_t i = 0; i < m->links_count; i++)
            for (size_t k = m->links[i]->link.defaults_count; k-- > 0;) {
                const struct nlmon_default *old = &m->links[i]->link.defaults[k];
                if (old->family == d.family && old->table == d.table && old->metric == d.metric)
                    remove_default(m, m->links[i], k);
            }
    }
    if (attrs[RTA_MULTIPATH]) {
        on_multipath(m, attrs[RTA_MULTIPATH], d, del);
        return;
    }
    if (!attr_addr(attrs[RTA_GATEWAY], rtm.rtm_family, &d.gateway) && attrs[RTA_VIA] &&
        nla_len(attrs[RTA_VIA]) == 2 + 16) /* an IPv6 gateway of an IPv4 route, RFC 5549 */
        d.gateway = addr_from_bytes(ADDR_V6, (const uint8_t *)nla_data(attrs[RTA_VIA]) + 2);
    on_default(m, oif, &d, del);
}

static void on_rule(struct nlmon *m, const struct nlmsghdr *h)
{
    struct nlattr *attrs[FRA_MAX + 1];

    if (h->nlmsg_type != RTM_DELRULE ||
        nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(struct fib_rule_hdr), attrs, FRA_MAX, NULL) < 0)
        return;
    if (attrs[FRA_PROTOCOL] && nla_get_u8(attrs[FRA_PROTOCOL]) == ROUTE_PROTOCOL)
        push_event(m, NLMON_OWN_RULE_DEL, NULL, NULL, NULL);
}

static int on_message(void *ctx, const struct nlmsghdr *h)
{
    struct nlmon *m = ctx;

    switch (h->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
        on_link(m, h);
        break;
    case RTM_NEWADDR:
    case RTM_DELADDR:
        on_addr(m, h);
        break;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        on_route(m, h);
        break;
    case RTM_DELRULE:
        on_rule(m, h);
        break;
    default:
        break;
    }
    return m->out_of_memory ? -ENOMEM : 0;
}

static int dump_routes(struct nlmon *m, int family, int ifindex)
{
    struct rtmsg rtm = { .rtm_family = (uint8_t)family };
    int r = -EINTR;

    for (int tries = 0; r == -EINTR && tries < DUMP_TRIES; tries++) {
        struct nl_msg *msg = nlreq_new(RTM_GETROUTE, 0, &rtm, sizeof(rtm));

        if (msg && ifindex)
            nla_put_u32(msg, RTA_OIF, (uint32_t)ifindex);
        r = nlreq_dump(&m->ask, msg, on_message, m);
    }
    return r == -EINTR ? 0 : r;
}

static int dump_all(struct nlmon *m)
{
    struct ifinfomsg ifi = { .ifi_family = AF_UNSPEC };
    struct ifaddrmsg ifa = { .ifa_family = AF_UNSPEC };
    int r = -EINTR;

    m->generation++;
    for (int tries = 0; r == -EINTR && tries < DUMP_TRIES; tries++)
        r = nlreq_dump(&m->ask, nlreq_new(RTM_GETLINK, 0, &ifi, sizeof(ifi)), on_message, m);
    if (r < 0 && r != -EINTR)
        return r;
    r = -EINTR;
    for (int tries = 0; r == -EINTR && tries < DUMP_TRIES; tries++)
        r = nlreq_dump(&m->ask, nlreq_new(RTM_GETADDR, 0, &ifa, sizeof(ifa)), on_message, m);
    if (r < 0 && r != -EINTR)
        return r;
    r = dump_routes(m, AF_INET, 0);
    if (r == 0)
        r = dump_routes(m, AF_INET6, 0);
    /* A kernel without IPv6 refuses its dump. */
    return r == -EAFNOSUPPORT || r == -EOPNOTSUPP ? 0 : r;
}

/* Removes what the last full dump did not show. */
static void sweep(struct nlmon *m)
{
    for (size_t i = m->links_count; i-- > 0;) {
        struct entry *e = m->links[i];

        if (e->generation != m->generation) {
            remove_entry(m, i);
            continue;
        }
        for (size_t k = e->link.addrs_count; k-- > 0;)
            if (e->addr_generation[k] != m->generation)
                remove_addr(m, e, k);
        for (size_t k = e->link.defaults_count; k-- > 0;)
            if (e->default_generation[k] != m->generation)
                remove_default(m, e, k);
        e->routes_stale = false;
    }
}

static int resync(struct nlmon *m)
{
    int r = dump_all(m);

    if (r == 0)
        sweep(m);
    return r == 0 && m->out_of_memory ? -ENOMEM : r;
}

/* Notifications were lost. What is still queued is older than the dump and has holes: an address whose removal was lost
 * would come back to life. So it is thrown away first. */
static int recover(struct nlmon *m)
{
    push_event(m, NLMON_OVERFLOW, NULL, NULL, NULL);
    for (int reads = 0; reads < DISCARDS_MAX; reads++)
        if (recv(m->listen.fd, m->buf, RX_BYTES, 0) < 0 && errno == EAGAIN)
            break;
    return resync(m);
}

/* Looks again at the IPv4 default routes of links whose routes may have gone in silence. */
static int recheck_routes(struct nlmon *m)
{
    for (size_t i = 0; i < m->links_count; i++) {
        struct entry *e = m->links[i];
        int r;

        if (!e->routes_stale)
            continue;
        e->routes_stale = false;
        if (e->link.defaults_count == 0)
            continue;
        m->generation++;
        r = dump_routes(m, AF_INET, e->link.ifindex);
        if (r < 0)
            return r;
        for (size_t k = e->link.defaults_count; k-- > 0;)
            if (e->link.defaults[k].family == ADDR_V4 && e->default_generation[k] != m->generation)
                remove_default(m, e, k);
    }
    return 0;
}

int nlmon_open(struct nlmon **ret)
{
    static const int groups[] = { RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                                  RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE,   0 };
    struct nlmon *m = calloc(1, sizeof(*m));
    int r;

    if (!m)
        return -ENOMEM;
    m->listen.fd = m->ask.fd = -1;
    m->buf = malloc(RX_BYTES);
    r = m->buf ? nlreq_open(NETLINK_ROUTE, true, groups, &m->listen) : -ENOMEM;
    if (r == 0)
        r = nlreq_open(NETLINK_ROUTE, false, NULL, &m->ask);
    if (r == 0)
        r = resync(m);
    if (r < 0) {
        nlmon_free(m);
        return r;
    }
    *ret = m;
    return 0;
}

void nlmon_free(struct nlmon *m)
{
    if (!m)
        return;
    nlreq_close(&m->listen);
    nlreq_close(&m->ask);
    for (size_t i = 0; i < m->links_count; i++)
        free(m->links[i]);
    free(m->events);
    free(m->buf);
    free(m);
}

int nlmon_fd(const struct nlmon *m)
{
    return m->listen.fd;
}

int nlmon_process(struct nlmon *m)
{
    for (int reads = 0; reads < READS_MAX; reads++) {
        struct sockaddr_nl from = { 0 };
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(m->listen.fd, m->buf, RX_BYTES, 0, (struct sockaddr *)&from, &from_len);
        int left = (int)n;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == ENOBUFS) {
            int r = recover(m);
            if (r < 0)
                return r;
            continue;
        }
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return -errno;
        if (from.nl_pid != 0) /* not the kernel */
            continue;
        for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)m->buf; nlmsg_ok(h, left); h = nlmsg_next(h, &left)) {
            int r = on_message(m, h);
            if (r < 0)
                return r;
        }
    }
    return recheck_routes(m);
}

bool nlmon_pop_event(struct nlmon *m, struct nlmon_event *ret)
{
    if (m->events_first == m->events_count)
        return false;
    *ret = m->events[m->events_first++];
    if (m->events_first == m->events_count)
        m->events_first = m->events_count = 0;
    return true;
}

void nlmon_foreach_link(const struct nlmon *m, bool (*fn)(void *ctx, const struct nlmon_link *l), void *ctx)
{
    for (size_t i = 0; i < m->links_count; i++)
        if (!fn(ctx, &m->links[i]->link))
            return;
}

const struct nlmon_link *nlmon_link_find(const struct nlmon *m, const char *name)
{
    for (size_t i = 0; i < m->links_count; i++)
        if (strcmp(m->links[i]->link.name, name) == 0)
            return &m->links[i]->link;
    return NULL;
}

size_t nlmon_ignored(const struct nlmon *m)
{
    return m->ignored;
}

/* --- what a link is good for --- */

uint32_t nlmon_link_address_hash(const struct nlmon_link *l)
{
    uint32_t h = 2166136261u; /* FNV-1a: only compared with itself */

    for (size_t i = 0; i < l->addrs_count; i++) {
        if (l->addrs[i].tentative || addr_is_link_local(&l->addrs[i].addr))
            continue;
        for (size_t j = 0; j < 16; j++)
            h = (h ^ l->addrs[i].addr.bytes[j]) * 16777619u;
    }
    return h;
}

bool nlmon_link_has_address(const struct nlmon_link *l, uint8_t family)
{
    for (size_t i = 0; i < l->addrs_count; i++)
        if (l->addrs[i].addr.family == family && !l->addrs[i].tentative && addr_is_unicast(&l->addrs[i].addr) &&
            !addr_is_link_local(&l->addrs[i].addr))
            return true;
    return false;
}

const struct nlmon_default *nlmon_link_default(const struct nlmon_link *l, uint8_t family)
{
    const struct nlmon_default *best = NULL;

    for (size_t i = 0; i < l->defaults_count; i++)
        if (l->defaults[i].family == family && l->defaults[i].table < ROUTE_TABLE_TUNNEL &&
            (!best || l->defaults[i].metric < best->metric))
            best = &l->defaults[i];
    return best;
}
