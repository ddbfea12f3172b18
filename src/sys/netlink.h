/* sys/netlink.h - a monitor of links, addresses and default routes: a snapshot, and events as it changes.
 *
 * nlmon_open takes the first snapshot and queues an event for everything in it, so that a program has one way to learn.
 * Poll nlmon_fd (with libuv UV_READABLE | UV_PRIORITIZED, or an overflow ends the handle), call nlmon_process, pop
 * events. A popped event describes a change that the snapshot already has.
 *
 * The kernel removes IPv4 routes silently when their link is set down or their address goes: the monitor looks again
 * then and reports default routes; for routes of our own, call route_sync after any event but NLMON_ADDR_NEW of a
 * tentative address. It does nothing when nothing is amiss. */
#pragma once

#include "base/addr.h"

#define NLMON_LINKS_MAX 1024  /* chosen: more than any uplink owner has; further links are counted and ignored */
#define NLMON_ADDRS_MAX 32    /* a link, chosen: as above */
#define NLMON_DEFAULTS_MAX 16 /* default routes a link, both families and all tables, chosen: as above */
#define NLMON_NAME_SIZE 16    /* IFNAMSIZ */

struct nlmon;

struct nlmon_addr {
    struct addr addr;
    uint8_t prefix_len;
    uint8_t scope;   /* RT_SCOPE_UNIVERSE 0, RT_SCOPE_LINK 253, RT_SCOPE_HOST 254 */
    bool tentative;  /* duplicate detection has not ended, or failed: not usable yet */
    bool deprecated; /* usable, but no longer for what is new */
};

/* The default route of one family in one table by way of a link. */
struct nlmon_default {
    uint8_t family;      /* enum addr_family */
    struct addr gateway; /* ADDR_NONE: on-link (a point-to-point link) */
    uint32_t metric, table;
};

struct nlmon_link {
    int ifindex;
    char name[NLMON_NAME_SIZE];
    char kind[NLMON_NAME_SIZE]; /* "tun", "veth", ...; empty for hardware */
    bool admin_up;              /* IFF_UP */
    bool usable;                /* IFF_UP, a carrier, and operational: packets can leave */
    bool loopback;
    uint32_t mtu_bytes;
    struct nlmon_addr addrs[NLMON_ADDRS_MAX];
    size_t addrs_count;
    struct nlmon_default defaults[NLMON_DEFAULTS_MAX];
    size_t defaults_count;
};

enum nlmon_event_type {
    NLMON_LINK_UP,   /* usable; also when a usable link gets a new name or MTU */
    NLMON_LINK_DOWN, /* not usable; also when first seen so, or renamed */
    NLMON_LINK_GONE, /* with its addresses and default routes, which get no events of their own */
    NLMON_ADDR_NEW,  /* also when flags change */
    NLMON_ADDR_DEL,
    NLMON_DEFAULT_ROUTE_NEW,
    NLMON_DEFAULT_ROUTE_DEL,
    NLMON_OWN_ROUTE_DEL, /* somebody (perhaps we) deleted a route of our protocol or tables */
    NLMON_OWN_RULE_DEL,  /* the same for a rule */
    NLMON_OVERFLOW,      /* notifications were lost; differences to a new dump follow; own routes may be gone */
    NLMON_EVENT_COUNT,
};

struct nlmon_event {
    enum nlmon_event_type type;
    int ifindex;                /* 0 for the last three where not known */
    char name[NLMON_NAME_SIZE]; /* the link's name, kept for NLMON_LINK_GONE; empty without a link */
    struct nlmon_addr addr;     /* NLMON_ADDR_* */
    struct nlmon_default route; /* NLMON_DEFAULT_ROUTE_* */
};

/* 0 or -errno. */
MUST_CHECK int nlmon_open(struct nlmon **ret);
/* Accepts NULL. */
void nlmon_free(struct nlmon *m);
int nlmon_fd(const struct nlmon *m);
/* Reads what is waiting (at most 64 reads; poll again). 0 or -errno: the monitor is of no more use. */
int nlmon_process(struct nlmon *m);
/* True with *ret filled, or false: no more. */
bool nlmon_pop_event(struct nlmon *m, struct nlmon_event *ret);
/* Stops when fn returns false. fn must not process the monitor. */
void nlmon_foreach_link(const struct nlmon *m, bool (*fn)(void *ctx, const struct nlmon_link *l), void *ctx);
/* NULL when not known. Valid until the next nlmon_process. */
const struct nlmon_link *nlmon_link_find(const struct nlmon *m, const char *name);
/* An address of this family (enum addr_family) that datagrams can be sent from to anywhere. */
bool nlmon_link_has_address(const struct nlmon_link *l, uint8_t family);
/* The default route of the family by way of the link that the kernel prefers, our own left out; NULL: there is none. */
const struct nlmon_default *nlmon_link_default(const struct nlmon_link *l, uint8_t family);
/* Changes when the link's addresses do; 0 is a value like any other. */
uint32_t nlmon_link_address_hash(const struct nlmon_link *l);
/* Things that a stated maximum kept out of the snapshot. */
size_t nlmon_ignored(const struct nlmon *m);
