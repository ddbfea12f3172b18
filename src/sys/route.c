/* Routes and rules of ours.
 *
 * Theory of operation. A sync lists what the kernel has of our protocol, both families, all tables; computes what the
 * set wants; and applies the difference. Nothing is remembered between syncs, so it does not matter who changed what in
 * between: another program, a link that went down and took its routes along, or a process of ours that was killed.
 *
 * A route is identified by family, table, prefix and metric (one metric for all of ours, and a worse one for what
 * guards a prefix whose device has gone), so a changed gateway is one replacing request and the table is never empty in
 * between. Gateways are taken on trust (RTNH_F_ONLINK, IPv4), because a gateway outside the interface's prefix is
 * common behind modems and on /32 leases.
 *
 * The rules follow the known way of suppressing main's default route rather than splitting the default in halves: the
 * user's own routes stay in main, untouched and effective.
 *
 * Limits: 64 uplinks, 1024 tunnel prefixes; a sync compares lists pairwise, fine for these numbers and not for more.
 * Sources: rtnetlink(7), ip-rule(8), include/uapi/linux/fib_rules.h. */
#include "sys/route.h"

#include "sys/nlreq.h"
#include "sys/sockaddr.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define METRIC 10u        /* chosen: explicit, because the families' defaults differ */
#define METRIC_GUARD 100u /* chosen: above METRIC, so that the device's route is taken while there is one */
#define DUMP_TRIES 8      /* chosen: a dump that meets changes eight times in a row is taken as it is */
#define NO_SUPPRESS (-1)  /* the kernel's own value for "not set" */

struct own_route {
    uint8_t family; /* AF_* */
    uint8_t type;   /* RTN_* */
    uint8_t dst_len;
    uint32_t table, metric;
    int ifindex; /* 0 for unreachable */
    struct addr dst, gateway;
    bool wanted;
};

struct own_rule {
    uint8_t family;
    uint8_t action; /* FR_ACT_* */
    bool invert;
    uint32_t priority, mark, mask, table;
    int suppress_prefix_len;
    bool wanted;
};

struct route_list {
    struct own_route *items;
    size_t count, size;
};

struct rule_list {
    struct own_rule *items;
    size_t count, size;
};

struct route_state {
    struct nlreq nl;
    struct route_list have_routes, want_routes;
    struct rule_list have_rules, want_rules;
};

/* Makes room for one more item. 0 or -ENOMEM. */
static int grow(void **items, size_t *size, size_t count, size_t item_bytes)
{
    size_t wanted = *size ? *size * 2 : 32;
    void *grown;

    if (count < *size)
        return 0;
    grown = realloc(*items, wanted * item_bytes);
    if (!grown)
        return -ENOMEM;
    *items = grown;
    *size = wanted;
    return 0;
}

static int push_route(struct route_list *l, const struct own_route *r)
{
    void *items = l->items;

    if (grow(&items, &l->size, l->count, sizeof(*r)) < 0)
        return -ENOMEM;
    l->items = items;
    l->items[l->count++] = *r;
    return 0;
}

static int push_rule(struct rule_list *l, const struct own_rule *r)
{
    void *items = l->items;

    if (grow(&items, &l->size, l->count, sizeof(*r)) < 0)
        return -ENOMEM;
    l->items = items;
    l->items[l->count++] = *r;
    return 0;
}

/* The same place: one of the two replaces the other. */
static bool route_same_key(const struct own_route *a, const struct own_route *b)
{
    return a->family == b->family && a->table == b->table && a->metric == b->metric && a->dst_len == b->dst_len &&
           addr_equal(&a->dst, &b->dst);
}

static bool route_equal(const struct own_route *a, const struct own_route *b)
{
    return route_same_key(a, b) && a->type == b->type && a->ifindex == b->ifindex &&
           addr_equal(&a->gateway, &b->gateway);
}

static bool rule_equal(const struct own_rule *a, const struct own_rule *b)
{
    return a->family == b->family && a->action == b->action && a->invert == b->invert && a->priority == b->priority &&
           a->mark == b->mark && a->mask == b->mask && a->table == b->table &&
           a->suppress_prefix_len == b->suppress_prefix_len;
}

static struct addr attr_addr(const struct nlattr *a, int family)
{
    if (!a || nla_len(a) != (family == AF_INET ? 4 : 16))
        return (struct addr){ 0 };
    return addr_from_bytes(family == AF_INET ? ADDR_V4 : ADDR_V6, nla_data(a));
}

static int on_route(void *ctx, const struct nlmsghdr *h)
{
    struct route_state *s = ctx;
    struct nlattr *attrs[RTA_MAX + 1];
    struct own_route r = { 0 };
    struct rtmsg rtm;

    if (h->nlmsg_type != RTM_NEWROUTE ||
        nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(rtm), attrs, RTA_MAX, NULL) < 0)
        return 0;
    memcpy(&rtm, nlmsg_data(h), sizeof(rtm));
    if (rtm.rtm_protocol != ROUTE_PROTOCOL || (rtm.rtm_flags & RTM_F_CLONED))
        return 0;
    r.family = rtm.rtm_family;
    r.type = rtm.rtm_type;
    r.dst_len = rtm.rtm_dst_len;
    r.table = attrs[RTA_TABLE] ? nla_get_u32(attrs[RTA_TABLE]) : rtm.rtm_table;
    r.metric = attrs[RTA_PRIORITY] ? nla_get_u32(attrs[RTA_PRIORITY]) : 0;
    r.dst = attr_addr(attrs[RTA_DST], r.family);
    r.gateway = attr_addr(attrs[RTA_GATEWAY], r.family);
    if (rtm.rtm_type == RTN_UNICAST && attrs[RTA_OIF]) /* IPv6 shows lo for what is unreachable */
        r.ifindex = (int)nla_get_u32(attrs[RTA_OIF]);
    return push_route(&s->have_routes, &r);
}

static int on_rule(void *ctx, const struct nlmsghdr *h)
{
    struct route_state *s = ctx;
    struct nlattr *attrs[FRA_MAX + 1];
    struct own_rule r = { 0 };
    struct fib_rule_hdr frh;

    if (h->nlmsg_type != RTM_NEWRULE ||
        nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(frh), attrs, FRA_MAX, NULL) < 0)
        return 0;
    memcpy(&frh, nlmsg_data(h), sizeof(frh));
    if (!attrs[FRA_PROTOCOL] || nla_get_u8(attrs[FRA_PROTOCOL]) != ROUTE_PROTOCOL)
        return 0;
    r.family = frh.family;
    r.action = frh.action;
    r.invert = (frh.flags & FIB_RULE_INVERT) != 0;
    r.priority = attrs[FRA_PRIORITY] ? nla_get_u32(attrs[FRA_PRIORITY]) : 0;
    r.mark = attrs[FRA_FWMARK] ? nla_get_u32(attrs[FRA_FWMARK]) : 0;
    r.mask = attrs[FRA_FWMASK] ? nla_get_u32(attrs[FRA_FWMASK]) : 0;
    r.table = attrs[FRA_TABLE] ? nla_get_u32(attrs[FRA_TABLE]) : frh.table;
    r.suppress_prefix_len = attrs[FRA_SUPPRESS_PREFIXLEN] ? (int)nla_get_u32(attrs[FRA_SUPPRESS_PREFIXLEN]) : -1;
    return push_rule(&s->have_rules, &r);
}

static int load_routes(struct route_state *s, uint8_t family)
{
    struct rtmsg rtm = { .rtm_family = family, .rtm_protocol = ROUTE_PROTOCOL };
    size_t before = s->have_routes.count;
    int r = -EINTR;

    for (int tries = 0; r == -EINTR && tries < DUMP_TRIES; tries++) {
        s->have_routes.count = before;
        r = nlreq_dump(&s->nl, nlreq_new(RTM_GETROUTE, 0, &rtm, sizeof(rtm)), on_route, s);
    }
    return r == -EINTR ? 0 : r;
}

static int load_rules(struct route_state *s, uint8_t family)
{
    struct fib_rule_hdr frh = { .family = family };
    size_t before = s->have_rules.count;
    int r = -EINTR;

    for (int tries = 0; r == -EINTR && tries < DUMP_TRIES; tries++) {
        s->have_rules.count = before;
        r = nlreq_dump(&s->nl, nlreq_new(RTM_GETRULE, 0, &frh, sizeof(frh)), on_rule, s);
    }
    return r == -EINTR ? 0 : r;
}

/* Lists what the kernel has of ours. */
static int load(struct route_state *s)
{
    int r;

    s->have_routes.count = s->have_rules.count = 0;
    r = load_routes(s, AF_INET);
    if (r == 0)
        r = load_rules(s, AF_INET);
    if (r < 0)
        return r;
    r = load_routes(s, AF_INET6);
    if (r == 0)
        r = load_rules(s, AF_INET6);
    return r == -EAFNOSUPPORT || r == -EOPNOTSUPP ? 0 : r; /* a kernel without IPv6 */
}

static int change_route(struct route_state *s, const struct own_route *r, bool add)
{
    struct rtmsg rtm = { .rtm_family = r->family,
                         .rtm_dst_len = r->dst_len,
                         .rtm_protocol = ROUTE_PROTOCOL,
                         .rtm_type = r->type,
                         .rtm_scope = RT_SCOPE_NOWHERE };
    uint16_t flags = add ? NLM_F_CREATE | NLM_F_REPLACE : 0;
    struct nl_msg *msg;
    int result;

    if (add) {
        rtm.rtm_scope = r->type == RTN_UNICAST && r->gateway.family == ADDR_NONE ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
        rtm.rtm_flags = r->family == AF_INET && r->gateway.family != ADDR_NONE ? RTNH_F_ONLINK : 0;
    }
    msg = nlreq_new(add ? RTM_NEWROUTE : RTM_DELROUTE, flags, &rtm, sizeof(rtm));
    if (msg) {
        nla_put_u32(msg, RTA_TABLE, r->table);
        nla_put_u32(msg, RTA_PRIORITY, r->metric);
        if (r->dst_len > 0)
            nla_put(msg, RTA_DST, (int)addr_bytes_len(&r->dst), r->dst.bytes);
        if (r->gateway.family != ADDR_NONE)
            nla_put(msg, RTA_GATEWAY, (int)addr_bytes_len(&r->gateway), r->gateway.bytes);
        if (r->ifindex)
            nla_put_u32(msg, RTA_OIF, (uint32_t)r->ifindex);
    }
    result = nlreq_talk(&s->nl, msg);
    return !add && (result == -ESRCH || result == -ENODEV) ? 0 : result; /* gone already */
}

static int change_rule(struct route_state *s, const struct own_rule *r, bool add)
{
    struct fib_rule_hdr frh = { .family = r->family, .action = r->action, .flags = r->invert ? FIB_RULE_INVERT : 0 };
    struct nl_msg *msg =
        nlreq_new(add ? RTM_NEWRULE : RTM_DELRULE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, &frh, sizeof(frh));
    int result;

    if (msg) {
        nla_put_u8(msg, FRA_PROTOCOL, ROUTE_PROTOCOL);
        nla_put_u32(msg, FRA_PRIORITY, r->priority);
        if (r->table)
            nla_put_u32(msg, FRA_TABLE, r->table);
        if (r->mask) {
            nla_put_u32(msg, FRA_FWMARK, r->mark);
            nla_put_u32(msg, FRA_FWMASK, r->mask);
        }
        if (r->suppress_prefix_len != NO_SUPPRESS)
            nla_put_u32(msg, FRA_SUPPRESS_PREFIXLEN, (uint32_t)r->suppress_prefix_len);
    }
    result = nlreq_talk(&s->nl, msg);
    return (add && result == -EEXIST) || (!add && result == -ENOENT) ? 0 : result;
}

static bool addr_fits(const struct addr *a, uint8_t family)
{
    return a->family == ADDR_NONE || a->family == family;
}

static int check_set(const struct route_set *set)
{
    if (set->uplinks_count > 2 * ROUTE_UPLINKS_MAX || set->tunnels_count > ROUTE_PREFIXES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < set->uplinks_count; i++) {
        const struct route_uplink *u = &set->uplinks[i];

        if (u->index >= ROUTE_UPLINKS_MAX || u->ifindex <= 0 || (u->family != ADDR_V4 && u->family != ADDR_V6) ||
            !addr_fits(&u->gateway, u->family))
            return -EINVAL;
        for (size_t k = 0; k < i; k++)
            if (set->uplinks[k].index == u->index && set->uplinks[k].family == u->family)
                return -EINVAL;
    }
    for (size_t i = 0; i < set->tunnels_count; i++) {
        const struct prefix *p = &set->tunnels[i].prefix;

        if (addr_bits(&p->addr) == 0 || p->len > addr_bits(&p->addr) || set->tunnels[i].ifindex < 0)
            return -EINVAL;
        for (size_t k = 0; k < i; k++)
            if (prefix_equal(&set->tunnels[k].prefix, p))
                return -EINVAL;
    }
    return 0;
}

static int want(struct route_state *s, const struct route_set *set)
{
    bool family_used[2] = { false }, family_tunnel[2] = { false };
    int r = 0;

    s->want_routes.count = s->want_rules.count = 0;
    for (size_t i = 0; r == 0 && i < set->uplinks_count; i++) {
        const struct route_uplink *u = &set->uplinks[i];
        uint8_t family = u->family == ADDR_V4 ? AF_INET : AF_INET6;
        struct own_route route = { .family = family,
                                   .type = RTN_UNICAST,
                                   .table = ROUTE_TABLE_UPLINK + u->index,
                                   .metric = METRIC,
                                   .ifindex = u->ifindex,
                                   .gateway = u->gateway };
        struct own_rule rule = { .family = family,
                                 .action = FR_ACT_TO_TBL,
                                 .priority = ROUTE_PRIORITY_UPLINK + u->index,
                                 .mark = route_uplink_mark(u->index),
                                 .mask = UINT32_MAX,
                                 .table = route.table,
                                 .suppress_prefix_len = NO_SUPPRESS };

        family_used[u->family == ADDR_V6] = true;
        r = push_route(&s->want_routes, &route);
        if (r == 0)
            r = push_rule(&s->want_rules, &rule);
    }
    for (size_t i = 0; r == 0 && i < set->tunnels_count; i++) {
        const struct route_tunnel *t = &set->tunnels[i];
        struct own_route route = { .family = (uint8_t)sockaddr_family(&t->prefix.addr),
                                   .type = t->direct    ? RTN_THROW
                                           : t->ifindex ? RTN_UNICAST
                                                        : RTN_UNREACHABLE,
                                   .dst_len = t->prefix.len,
                                   .table = ROUTE_TABLE_TUNNEL,
                                   .metric = METRIC,
                                   .ifindex = t->direct ? 0 : t->ifindex };

        if (t->prefix.len > 0) /* the kernel does not name the default's destination */
            route.dst = t->prefix.addr;
        family_used[route.family == AF_INET6] = family_tunnel[route.family == AF_INET6] = true;
        r = push_route(&s->want_routes, &route);
        if (r == 0 && t->guarded) {
            route.type = RTN_UNREACHABLE;
            route.metric = METRIC_GUARD;
            route.ifindex = 0;
            r = push_route(&s->want_routes, &route);
        }
    }
    for (int v6 = 0; v6 < 2; v6++) {
        struct own_rule local = { .family = v6 ? AF_INET6 : AF_INET,
                                  .action = FR_ACT_TO_TBL,
                                  .priority = ROUTE_PRIORITY_MAIN,
                                  .table = RT_TABLE_MAIN,
                                  .suppress_prefix_len = 0 };
        struct own_rule tunnel = { .family = v6 ? AF_INET6 : AF_INET,
                                   .action = FR_ACT_TO_TBL,
                                   .invert = true,
                                   .priority = ROUTE_PRIORITY_TUNNEL,
                                   .mark = ROUTE_MARK,
                                   .mask = ROUTE_MARK_MASK,
                                   .table = ROUTE_TABLE_TUNNEL,
                                   .suppress_prefix_len = NO_SUPPRESS };

        if (r == 0 && family_used[v6])
            r = push_rule(&s->want_rules, &local);
        if (r == 0 && family_tunnel[v6])
            r = push_rule(&s->want_rules, &tunnel);
    }
    return r;
}

/* Marks in both lists what is there and wanted. */
static void match(struct route_state *s)
{
    for (size_t i = 0; i < s->have_routes.count; i++)
        for (size_t k = 0; k < s->want_routes.count; k++)
            if (route_equal(&s->have_routes.items[i], &s->want_routes.items[k]))
                s->have_routes.items[i].wanted = s->want_routes.items[k].wanted = true;
    for (size_t i = 0; i < s->have_rules.count; i++)
        for (size_t k = 0; k < s->want_rules.count; k++)
            if (rule_equal(&s->have_rules.items[i], &s->want_rules.items[k]))
                s->have_rules.items[i].wanted = s->want_rules.items[k].wanted = true;
}

/* Counts a success, keeps the first failure. */
static void note(int r, size_t *count, int *first)
{
    if (r == 0)
        ++*count;
    else if (*first == 0)
        *first = r;
}

static int apply(struct route_state *s, struct route_changes *c)
{
    int first = 0;

    for (size_t i = 0; i < s->want_routes.count; i++) {
        struct own_route *w = &s->want_routes.items[i];
        int r;

        if (w->wanted)
            continue;
        r = change_route(s, w, true);
        note(r, &c->routes_added, &first);
        /* What it replaced is gone; deleting it once more could hit its successor. */
        for (size_t k = 0; r == 0 && k < s->have_routes.count; k++)
            if (!s->have_routes.items[k].wanted && route_same_key(&s->have_routes.items[k], w)) {
                s->have_routes.items[k].wanted = true;
                c->routes_deleted++;
                break;
            }
    }
    for (size_t i = 0; i < s->want_rules.count; i++)
        if (!s->want_rules.items[i].wanted)
            note(change_rule(s, &s->want_rules.items[i], true), &c->rules_added, &first);
    for (size_t i = 0; i < s->have_rules.count; i++)
        if (!s->have_rules.items[i].wanted)
            note(change_rule(s, &s->have_rules.items[i], false), &c->rules_deleted, &first);
    for (size_t i = 0; i < s->have_routes.count; i++)
        if (!s->have_routes.items[i].wanted)
            note(change_route(s, &s->have_routes.items[i], false), &c->routes_deleted, &first);
    return first;
}

int route_lock(void)
{
    static const char name[] = "\0hawser-routes"; /* abstract: one per network namespace, gone with the descriptor */
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

    if (fd < 0)
        return -errno;
    memcpy(a.sun_path, name, sizeof(name) - 1);
    if (bind(fd, (const struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + sizeof(name) - 1)) <
        0) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

int route_open(struct route_state **ret)
{
    struct route_state *s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return -ENOMEM;
    r = nlreq_open(NETLINK_ROUTE, false, NULL, &s->nl);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

void route_free(struct route_state *s)
{
    if (!s)
        return;
    nlreq_close(&s->nl);
    free(s->have_routes.items);
    free(s->want_routes.items);
    free(s->have_rules.items);
    free(s->want_rules.items);
    free(s);
}

int route_sync(struct route_state *s, const struct route_set *set, struct route_changes *ret)
{
    struct route_changes changes = { 0 };
    int r = check_set(set);

    if (r == 0)
        r = want(s, set);
    if (r == 0)
        r = load(s);
    if (r == 0) {
        match(s);
        r = apply(s, &changes);
    }
    if (ret)
        *ret = changes;
    return r;
}

int route_clean_all(struct route_state *s)
{
    const struct route_set nothing = { 0 };

    return route_sync(s, &nothing, NULL);
}

static int source_check_path(const char *interface, char *path, size_t size)
{
    if (strchr(interface, '/') || strlen(interface) == 0 || strcmp(interface, "..") == 0)
        return -EINVAL;
    return (size_t)snprintf(path, size, "/proc/sys/net/ipv4/conf/%s/rp_filter", interface) < size ? 0 : -EINVAL;
}

static int read_source_check(const char *interface)
{
    char path[96], digit = 0;
    int r = source_check_path(interface, path, sizeof(path)), fd;
    ssize_t n;

    if (r < 0)
        return r;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    n = read(fd, &digit, 1);
    r = n < 0 ? -errno : n == 1 && digit >= '0' && digit <= '2' ? digit - '0' : -EPROTO;
    close(fd);
    return r;
}

int route_source_check_get(const char *interface)
{
    int all = read_source_check("all"), own = read_source_check(interface);

    return all < 0 ? all : own < 0 ? own : MAX(all, own);
}

int route_source_check_set(const char *interface, int value)
{
    char path[96], digit = (char)('0' + value);
    int r, fd;

    if (value < 0 || value > 2)
        return -EINVAL;
    r = source_check_path(interface, path, sizeof(path));
    if (r < 0)
        return r;
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = write(fd, &digit, 1) == 1 ? 0 : -errno;
    close(fd);
    return r;
}
