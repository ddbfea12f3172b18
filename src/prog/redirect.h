/* prog/redirect.h - connections of programs that take no library (linked statically), brought here by the kernel.
 *
 * The program runs in a control group of its own, and a rule of the packet filter redirects what it connects to a port
 * of loopback. For root. */
#pragma once

#include "base/addr.h"

#include <limits.h>

struct redirect {
    int fds[2];                /* listening: IPv4, IPv6; -1: none */
    char group[NAME_MAX + 1];  /* the control group's folder; "": none */
    char folder[PATH_MAX / 4]; /* where control groups are */
    char err[512];             /* words for what failed */
};

/* Takes away what processes left that were killed here, and sets up both. Destinations in `excludes` are left alone. 0
 * or -errno, with words in r->err, and nothing to close. */
MUST_CHECK int redirect_open(struct redirect *r, const struct prefix *excludes, size_t count);
/* In the child that is to be redirected: it and whatever it starts are from now on. 0 or -errno. */
MUST_CHECK int redirect_enter(const struct redirect *r);
/* What is left in the group has its connections refused from then on. */
void redirect_close(struct redirect *r);
/* Where a connection that came by fds was to go. 0 or -errno (-EADDRNOTAVAIL: nobody redirected it). */
MUST_CHECK int redirect_destination(int fd, struct endpoint *ret);
