/* sys/nlreq.h - requests to the kernel over netlink: one question, one answer, with the kernel's own errno.
 *
 * libnl builds and parses the messages (netlink/msg.h, netlink/attr.h); the socket is ours, because libnl folds the
 * kernel's errors into fewer codes of its own. Requests block for the kernel's answer, which is local and quick. */
#pragma once

#include "base/base.h"

#include <linux/netlink.h>

struct nl_msg;

struct nlreq {
    int fd; /* -1: closed */
    uint32_t seq;
};

/* Return 0 to go on, or a negative errno to stop the dump with it. */
typedef int nlreq_dump_fn(void *ctx, const struct nlmsghdr *h);

/* groups: a list of multicast groups that ends in 0, or NULL. 0 or -errno. */
MUST_CHECK int nlreq_open(int protocol, bool nonblocking, const int *groups, struct nlreq *ret);
void nlreq_close(struct nlreq *nl);
/* A new request; NULL when out of memory. payload is the family header (len bytes), copied. */
struct nl_msg *nlreq_new(uint16_t type, uint16_t flags, const void *payload, size_t len);
/* Sends msg, frees it (NULL gives -ENOMEM), and waits for the acknowledgement. 0 or the kernel's -errno. */
MUST_CHECK int nlreq_talk(struct nlreq *nl, struct nl_msg *msg);
/* Sends msg, frees it (NULL gives -ENOMEM), and gives each message of the answer to fn. A dump that the kernel calls
 * inconsistent is reported as -EINTR: ask again. 0 or -errno. */
MUST_CHECK int nlreq_dump(struct nlreq *nl, struct nl_msg *msg, nlreq_dump_fn *fn, void *ctx);
