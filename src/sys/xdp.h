/* sys/xdp.h - a gateway's XDP program in the kernel (bpf/dmux.bpf.c), and its tables.
 *
 * Program, tables and attachment go with the process. Needs CAP_BPF and CAP_NET_ADMIN, and a kernel with BTF. */
#pragma once

#include "base/base.h"
#include "dmux/xdp_tables.h"

struct xdp;

/* Loads it, and attaches it to the interface unless that is NULL (for tests and measurements): by the driver, or
 * generically where the driver cannot. 0; -EOPNOTSUPP: built without it; -ENODEV; -EBUSY (another program is there);
 * -EPERM; or another errno. */
MUST_CHECK int xdp_open(const char *interface, struct xdp **ret);
/* Accepts NULL. */
void xdp_free(struct xdp *x);

/* Each takes effect as a whole. 0 or -errno (-E2BIG: the table is full). */
MUST_CHECK int xdp_set_config(struct xdp *x, const struct xdp_config *c);
MUST_CHECK int xdp_set_clock(struct xdp *x, uint32_t wall_s);
/* NULL: it is taken away, if it is there. */
MUST_CHECK int xdp_set_group(struct xdp *x, const struct xdp_group_key *key, const struct xdp_group *group);
MUST_CHECK int xdp_set_router(struct xdp *x, const struct xdp_router_key *key, const struct xdp_router *router);
/* The sums over all processors. 0 or -errno. */
MUST_CHECK int xdp_counts(const struct xdp *x, uint64_t ret[XDP_COUNT_COUNT]);

#define XDP_ACTION_DROP 1 /* as linux/bpf.h's enum xdp_action */
#define XDP_ACTION_PASS 2
#define XDP_ACTION_TX 3

/* Runs the program `repeat` times on this frame, from Ethernet on, and gives what it made of it and the mean ns of a
 * run. A repetition sees what the one before made of the frame. The action, or -errno. */
int xdp_try(struct xdp *x, const uint8_t *frame, size_t len, uint8_t *out, size_t size, size_t *ret_len,
            uint32_t repeat, uint32_t *ret_ns);
