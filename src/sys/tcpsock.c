/* sys/tcpsock.c - see tcpsock.h. Sources: tcp(7), accept(2), Linux Documentation/networking/mptcp.rst. */
#include "sys/tcpsock.h"

#include "sys/sockaddr.h"

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define BACKLOG 128 /* chosen: connections that wait for accept; as many SYN cookies stand behind it */

int tcpsock_set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

int tcpsock_open(sa_family_t family, bool multipath)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, multipath ? IPPROTO_MPTCP : IPPROTO_TCP);

    if (fd < 0) /* ENOPROTOOPT: net.mptcp.enabled is 0 */
        return multipath && (errno == EINVAL || errno == ENOPROTOOPT) ? -EPROTONOSUPPORT : -errno;
    return fd;
}

int tcpsock_connect(int fd, const struct sockaddr *to, socklen_t len, const char *interface)
{
    if (interface && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) < 0)
        return -errno;
    return connect(fd, to, len) < 0 && errno != EINPROGRESS ? -errno : 0;
}

int tcpsock_listen(const struct endpoint *at, bool multipath, int *ret_fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_from_endpoint(at, 0, &sa);
    int fd, r;

    if (len == 0)
        return -EINVAL;
    fd = tcpsock_open(sa.ss_family, multipath);
    if (fd < 0)
        return fd;
    r = tcpsock_set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (r == 0 && at->addr.family == ADDR_V6)
        r = tcpsock_set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (r == 0 && (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, BACKLOG) < 0))
        r = -errno;
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int tcpsock_accept(int listen_fd, struct endpoint *ret_remote)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int fd;

    do {
        len = sizeof(sa);
        fd = accept4(listen_fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        /* accept(2): errors that are already pending on the new connection are passed on: like EAGAIN, try the next. */
    } while (fd < 0 && errno != EAGAIN && errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM &&
             errno != EBADF && errno != EINVAL && errno != ENOTSOCK);
    if (fd < 0)
        return -errno;
    if (sockaddr_to_endpoint((struct sockaddr *)&sa, ret_remote) < 0) {
        close(fd);
        return -ENOMEM;
    }
    return fd;
}

int tcpsock_finish_connect(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    int error = 0;
    socklen_t error_len = sizeof(error);

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) < 0)
        return -errno;
    if (error)
        return -error;
    if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0)
        return errno == ENOTCONN ? 0 : -errno;
    return 1;
}

struct addr tcpsock_local(int fd)
{
    struct sockaddr_storage sa;
    struct endpoint local;
    socklen_t len = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0 || sockaddr_to_endpoint((struct sockaddr *)&sa, &local) < 0)
        return (struct addr){ 0 };
    return local.addr;
}
