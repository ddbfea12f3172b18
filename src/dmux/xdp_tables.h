/* dmux/xdp_tables.h - the maps that a gateway's XDP program reads (bpf/dmux.bpf.c) and the gateway writes (sys/xdp.h).
 *
 * Compiled for both. The program sees the old or the new of an element, never a part of both. Addresses
 * and ports are as in the packet unless said otherwise. */
#pragma once

#include "wire/shim.h"

/* chosen: (protocol, provider) pairs in the kernel, of 3 KB, which each takes when it comes; others go by user space.
 * Each registration may be a pair of its own. */
#define XDP_GROUPS_MAX 16384
#define XDP_ROUTERS_MAX 16384 /* chosen */
#define XDP_COOKIE_S 120      /* GATEWAY_COOKIE_S, which the daemon compares */
#define XDP_TICKET_S 300      /* GATEWAY_TICKET_S */

struct xdp_config {
    struct shim_keys keys;
    uint32_t id;
    uint32_t service, unicast; /* network order */
    uint32_t prefix, mask;     /* of the service; network order */
    uint16_t port;             /* network order */
    uint8_t hops, zero;        /* zero: no byte of the map without a name */
};

struct xdp_group_key {
    uint32_t protocol; /* host order */
    uint32_t provider;
};

struct xdp_slot {
    uint32_t addr;     /* network order */
    uint16_t port;     /* network order */
    uint16_t border;   /* 1: a border, whose pass is in its xdp_router; 0: a router */
    uint32_t provider; /* host order */
};

struct xdp_group {
    struct xdp_slot slots[SHIM_SLOTS];
};

struct xdp_router_key {
    uint32_t addr;     /* network order */
    uint16_t port;     /* network order */
    uint16_t protocol; /* host order */
    uint32_t provider;
};

/* Who may send answers, and be sent packets. */
struct xdp_router {
    uint32_t border; /* as above */
    uint8_t pass[SHIM_COOKIE_LEN];
};

/* Counters, of each processor. Those of faults are by enum shim_fault. */
enum xdp_count {
    XDP_COUNT_TO_ROUTER = SHIM_FAULT_COUNT,
    XDP_COUNT_TO_CLIENT,
    XDP_COUNT_FROM_HOME, /* another operator's client's, to a router */
    XDP_COUNT_TO_HOME,   /* and back */
    XDP_COUNT_PASSED,    /* for the gateway, but not for this program: user space has them */
    XDP_COUNT_COUNT,
};
