/* sys/tcpsock.h - what the TCP connections of this floor have in common: sockets that do not block, until they are
 * connected. */
#pragma once

#include "base/addr.h"

#include <sys/socket.h>

int tcpsock_set_int(int fd, int level, int name, int value); /* setsockopt: 0 or -errno */
/* A descriptor, -EPROTONOSUPPORT (a kernel without MPTCP, or with it switched off) or another -errno. */
MUST_CHECK int tcpsock_open(sa_family_t family, bool multipath);
/* Begins to connect to this address, of len bytes, by this interface (NULL: any). 0 or -errno. */
MUST_CHECK int tcpsock_connect(int fd, const struct sockaddr *to, socklen_t len, const char *interface);
/* A listening socket at this address, which may be all zero; an IPv6 one takes IPv6 only. 0, -EINVAL or -errno. */
MUST_CHECK int tcpsock_listen(const struct endpoint *at, bool multipath, int *ret_fd);
/* A descriptor; -EAGAIN: none waits; -EMFILE and the like: out of resources, do not poll for a while. */
MUST_CHECK int tcpsock_accept(int listen_fd, struct endpoint *ret_remote);
/* 1: there is a connection; 0: not yet; negative: it failed. */
MUST_CHECK int tcpsock_finish_connect(int fd);
/* ADDR_NONE if it has none. */
struct addr tcpsock_local(int fd);
