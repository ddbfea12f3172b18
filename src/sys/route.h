/* sys/route.h - the routes and rules that are ours, and nobody else's.
 *
 * Everything made here carries protocol number 187, so that a later start knows it for ours after kill -9, and
 * everything is in fixed places that a reader of `ip rule` and `ip route` can look up:
 *
 *   priority  rule                                          why
 *   5200      lookup main suppress_prefixlength 0           local networks stay local; main's default does not count
 *   5210 + i  fwmark 0x4857000i/0xffffffff lookup 51900+i   an outer socket leaves by its own uplink i
 *   5290      not fwmark 0x48570000/0xffff0000 lookup 51888 all else enters the tunnel; outer packets never do
 *
 * Rule 5200 exists while 5290 or an uplink rule does, in each family by itself. Main's more specific routes win over
 * the tunnel's, even over a longer tunnel prefix. Needs CAP_NET_ADMIN. Requests block for the kernel's answer. */
#pragma once

#include "base/addr.h"

#define ROUTE_PROTOCOL 187        /* chosen: not named in rtnetlink.h, iproute2's rt_protos or by BIRD, FRR, systemd */
#define ROUTE_TABLE_TUNNEL 51888u /* 0xcab0, chosen: as in cable; away from the 51820 of WireGuard's tools */
#define ROUTE_TABLE_UPLINK 51900u /* chosen: uplink i has table 51900 + i */
#define ROUTE_UPLINKS_MAX 64u     /* chosen: 5210 + 63 stays below 5290 */
#define ROUTE_MARK 0x48570000u    /* chosen: "HW" */
#define ROUTE_MARK_MASK 0xffff0000u
#define ROUTE_PRIORITY_MAIN 5200u /* chosen: 5200 to 5299, before main's 32766 and after what users put first */
#define ROUTE_PRIORITY_UPLINK 5210u
#define ROUTE_PRIORITY_TUNNEL 5290u
#define ROUTE_PREFIXES_MAX 1024u /* chosen: tunnel prefixes of both families */

/* The mark of a socket of ours that is no uplink's: it leaves by the machine's own routes, never by the tunnel. */
static inline uint32_t route_own_mark(void)
{
    return ROUTE_MARK | 0xffffu;
}

/* The mark of the outer sockets of uplink i < ROUTE_UPLINKS_MAX. */
static inline uint32_t route_uplink_mark(unsigned i)
{
    return ROUTE_MARK | i;
}

struct route_state;

struct route_uplink {
    unsigned index; /* i: < ROUTE_UPLINKS_MAX, unique in a set for a family */
    int ifindex;
    uint8_t family;      /* ADDR_V4 or ADDR_V6 */
    struct addr gateway; /* same family; ADDR_NONE: on-link */
};

struct route_tunnel {
    struct prefix prefix; /* a zero length is the family's default route */
    int ifindex;          /* the tunnel's device; 0: unreachable (a family that must not leak) */
    bool guarded; /* unreachable when the device has gone, and its routes with it: what must not go without it */
    bool direct;  /* not through the tunnel: the rules that follow decide, as if it did not exist */
};

/* What should exist; the arrays stay the caller's. All empty: nothing. */
struct route_set {
    const struct route_uplink *uplinks;
    size_t uplinks_count;
    const struct route_tunnel *tunnels;
    size_t tunnels_count;
};

/* What a sync did. */
struct route_changes {
    size_t routes_added, routes_deleted, rules_added, rules_deleted;
};

/* Whoever holds this descriptor owns the routes and rules of this network namespace; it goes with the process.
 * -EADDRINUSE: another process does. */
MUST_CHECK int route_lock(void);
MUST_CHECK int route_open(struct route_state **ret);
/* Accepts NULL. Leaves the kernel as it is: route_clean_all is separate. */
void route_free(struct route_state *s);
/* Makes exactly this set exist among what carries our protocol, in any table and both families: adds what is missing,
 * deletes the rest. Routes are added before rules and deleted after them, so packets never fall between. ret may be
 * NULL. 0; -EINVAL (the set); -ENETDOWN or -ENODEV (an interface is not up: the others are done, sync again later) or
 * another -errno, the first that the kernel gave. */
int route_sync(struct route_state *s, const struct route_set *set, struct route_changes *ret);
/* The kernel's reverse path check of IPv4 for an interface, as in effect: 0 off, 1 strict, 2 loose. Strict drops what
 * the agent sends: the way back to it is, unmarked, the tunnel. Outer uplinks need 0 or 2. -errno. */
int route_source_check_get(const char *interface);
/* Sets the interface's own value (the effective one is the larger of it and that of `all`). 0 or -errno. */
int route_source_check_set(const char *interface, int value);
/* Removes every route and rule of our protocol, whoever made it. 0 or -errno. */
int route_clean_all(struct route_state *s);
