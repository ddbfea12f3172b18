/* prog/run_preload.c - what stands between an unmodified program and its C library under `hawser run`.
 *
 * Theory of operation. connect(2) of a TCP socket to another host puts one end of a socketpair on the program's
 * descriptor and hands the other to the pump (prog/run_words.h), which carries the bytes. Everything else about the
 * descriptor is the kernel's: poll, epoll, splice, sendfile, shutdown, dup, fork, exec. Little is kept here: what must
 * be known of a descriptor stands in the name of the pair's other end. Sockets that listen stay as they are, and the
 * pump is told; what it delivers comes from an address of loopback, and accept and getpeername say whose it is.
 *
 * Left alone: what is not TCP, what is bound to an address of the program's choice, and destinations of this host,
 * link-local and multicast ones.
 *
 * When the pump is gone, connect fails with ENETUNREACH: nothing goes a way that nobody asked for.
 *
 * Limits: a program that calls the kernel without its C library is not seen (most of Go), nor is one that is
 * set-user-id, nor a connection begun by MSG_FASTOPEN. Of TCP's own options a carried connection takes any and has
 * none. */
#include "prog/run_words.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))

/* What the C library would have done. Looked up at each use: connecting is rare, and this needs no state. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

PUBLIC int socket(int family, int type, int protocol);
PUBLIC int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev);
PUBLIC int connect(int fd, const struct sockaddr *to, socklen_t len);
PUBLIC int listen(int fd, int backlog);
PUBLIC int bind(int fd, const struct sockaddr *at, socklen_t len);
PUBLIC int accept(int fd, struct sockaddr *restrict from, socklen_t *restrict len);
PUBLIC int accept4(int fd, struct sockaddr *restrict from, socklen_t *restrict len, int flags);
PUBLIC int getpeername(int fd, struct sockaddr *restrict at, socklen_t *restrict len);
PUBLIC int getsockname(int fd, struct sockaddr *restrict at, socklen_t *restrict len);
PUBLIC int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len);
PUBLIC int setsockopt(int fd, int level, int name, const void *value, socklen_t len);

/* --- the pump --- */

static char pump[100]; /* what the environment said when we were loaded: servers clear it later */

__attribute__((constructor)) static void remember(void)
{
    const char *env = getenv(RUN_ENV);

    if (env && strlen(env) < sizeof(pump))
        memcpy(pump, env, strlen(env) + 1);
}

/* A connection to the pump with a question on it (and a descriptor, or -1), or -1 and errno. */
static int ask(struct run_ask *q, int pass)
{
    const char *env = pump, *colon = strrchr(env, ':');
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .bytes = { 0 } };
    struct iovec iov = { .iov_base = q, .iov_len = sizeof(*q) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    size_t len = colon ? (size_t)(colon - env) : 0;
    int c;

    if (!colon || strlen(colon + 1) != RUN_TOKEN_LEN || len == 0 || len >= sizeof(at.sun_path)) {
        errno = ENETUNREACH;
        return -1;
    }
    memcpy(at.sun_path + 1, env, len);
    memcpy(q->token, colon + 1, RUN_TOKEN_LEN);
    q->magic = RUN_MAGIC;
    if (pass >= 0) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        *CMSG_FIRSTHDR(&msg) =
            (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) };
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &pass, sizeof(pass));
    }
    c = REAL(socket)(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (c < 0)
        return -1;
    if (REAL(connect)(c, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) < 0 ||
        sendmsg(c, &msg, MSG_NOSIGNAL) < 0) {
        close(c);
        errno = ENETUNREACH;
        return -1;
    }
    return c;
}

/* False, and errno: the pump has gone. */
static bool answer(int c, struct run_answer *ret)
{
    ssize_t n;

    do {
        n = recv(c, ret, sizeof(*ret), 0);
    } while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(*ret))
        errno = ENETUNREACH;
    return n == (ssize_t)sizeof(*ret);
}

static bool ask_once(struct run_ask *q, struct run_answer *ret)
{
    int c = ask(q, -1);
    bool ok = c >= 0 && answer(c, ret);

    if (c >= 0)
        close(c);
    return ok;
}

/* --- names --- */

struct name {
    uint64_t serial;
    struct sockaddr_storage peer, local; /* of one family */
};

static void put_address(const struct sockaddr_storage *ss, char *at)
{
    uint8_t bytes[16] = { 0 };
    uint16_t port = ss->ss_family == AF_INET ? ((const struct sockaddr_in *)ss)->sin_port
                                             : ((const struct sockaddr_in6 *)ss)->sin6_port;

    if (ss->ss_family == AF_INET)
        memcpy(bytes, &((const struct sockaddr_in *)ss)->sin_addr, 4);
    else
        memcpy(bytes, &((const struct sockaddr_in6 *)ss)->sin6_addr, 16);
    for (size_t i = 0; i < sizeof(bytes); i++)
        sprintf(at + 2 * i, "%02x", bytes[i]);
    sprintf(at + 32, "%04x", ntohs(port));
}

static void get_address(int family, const char *at, struct sockaddr_storage *ret)
{
    uint8_t bytes[16];
    unsigned byte, port;

    memset(ret, 0, sizeof(*ret));
    ret->ss_family = (sa_family_t)family;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        (void)sscanf(at + 2 * i, "%2x", &byte);
        bytes[i] = (uint8_t)byte;
    }
    (void)sscanf(at + 32, "%4x", &port);
    if (family == AF_INET) {
        memcpy(&((struct sockaddr_in *)ret)->sin_addr, bytes, 4);
        ((struct sockaddr_in *)ret)->sin_port = htons((uint16_t)port);
    } else {
        memcpy(&((struct sockaddr_in6 *)ret)->sin6_addr, bytes, 16);
        ((struct sockaddr_in6 *)ret)->sin6_port = htons((uint16_t)port);
    }
}

static int put_name(int fd, const struct name *n)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    char *p = at.sun_path + 1;

    p += sprintf(p, RUN_NAME_PREFIX "%016llx%c", (unsigned long long)n->serial,
                 n->peer.ss_family == AF_INET ? '4' : '6');
    put_address(&n->peer, p);
    put_address(&n->local, p + 36);
    return REAL(bind)(fd, (struct sockaddr *)&at, offsetof(struct sockaddr_un, sun_path) + RUN_NAME_LEN);
}

/* True: the descriptor is a carried connection. errno is as before. */
static bool get_name(int fd, struct name *ret)
{
    struct sockaddr_un at = { 0 }, mine;
    socklen_t len = sizeof(at), mine_len = sizeof(mine);
    unsigned long long serial;
    const char *p = at.sun_path + 1;
    int before = errno, family;
    bool ours;

    ours = REAL(getpeername)(fd, (struct sockaddr *)&at, &len) == 0 && at.sun_family == AF_UNIX &&
           len == offsetof(struct sockaddr_un, sun_path) + RUN_NAME_LEN && at.sun_path[0] == '\0' &&
           memcmp(p, RUN_NAME_PREFIX, strlen(RUN_NAME_PREFIX)) == 0 &&
           /* Anybody may call a program's Unix socket from such a name, but then this end has one. */
           REAL(getsockname)(fd, (struct sockaddr *)&mine, &mine_len) == 0 &&
           mine_len == offsetof(struct sockaddr_un, sun_path);
    errno = before;
    if (!ours || !ret)
        return ours;
    p += strlen(RUN_NAME_PREFIX);
    (void)sscanf(p, "%16llx", &serial);
    ret->serial = serial;
    family = p[16] == '4' ? AF_INET : AF_INET6;
    get_address(family, p + 17, &ret->peer);
    get_address(family, p + 17 + 36, &ret->local);
    return true;
}

static socklen_t address_len(const struct sockaddr_storage *ss)
{
    return ss->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* As the kernel gives an address: as much as there is room for, and its whole length. */
static void give(const struct sockaddr_storage *ss, struct sockaddr *at, socklen_t *len)
{
    socklen_t whole = address_len(ss);

    memcpy(at, ss, *len < whole ? *len : whole);
    *len = whole;
}

/* --- calls --- */

static bool is_v4(const struct in6_addr *a)
{
    return IN6_IS_ADDR_V4MAPPED(a);
}

static bool is_far_v4(uint32_t a)
{
    return a >> 24 != 127 && a >> 24 != 0 && a >> 28 < 14 &&
           a >> 16 != 0xa9fe; /* loopback, any, multicast, link-local */
}

/* Another host's, by its address alone. */
static bool is_far(const struct sockaddr *to, socklen_t len)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)to;
    uint32_t v4;

    if (to->sa_family == AF_INET && len >= sizeof(struct sockaddr_in))
        return is_far_v4(ntohl(((const struct sockaddr_in *)to)->sin_addr.s_addr)) &&
               ((const struct sockaddr_in *)to)->sin_port != 0;
    if (to->sa_family != AF_INET6 || len < sizeof(*v6) || v6->sin6_port == 0)
        return false;
    if (is_v4(&v6->sin6_addr)) {
        memcpy(&v4, (const uint8_t *)&v6->sin6_addr + 12, 4);
        return is_far_v4(ntohl(v4));
    }
    return !IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr) && !IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr) &&
           !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr) && !IN6_IS_ADDR_MULTICAST(&v6->sin6_addr);
}

static int option(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    return REAL(getsockopt)(fd, SOL_SOCKET, name, &value, &len) < 0 ? -1 : value;
}

/* A TCP socket (or MPTCP's) of the program, whose address nobody has chosen yet. */
static bool is_free_tcp(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int protocol = option(fd, SO_PROTOCOL);

    if (option(fd, SO_TYPE) != SOCK_STREAM || (protocol != IPPROTO_TCP && protocol != 262) ||
        REAL(getsockname)(fd, (struct sockaddr *)&ss, &len) < 0)
        return false;
    return ss.ss_family == AF_INET    ? ((struct sockaddr_in *)&ss)->sin_port == 0
           : ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port == 0
                                      : false;
}

/* Which address this host has towards that one; false: it is this host's, or there is none. */
static bool find_local(const struct sockaddr *to, socklen_t to_len, struct sockaddr_storage *ret)
{
    int fd = REAL(socket)(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*ret);
    bool ok;

    if (fd < 0)
        return false;
    memset(ret, 0, sizeof(*ret));
    ok = REAL(connect)(fd, to, to_len) == 0 && REAL(getsockname)(fd, (struct sockaddr *)ret, &len) == 0;
    close(fd);
    if (ok && to->sa_family == AF_INET)
        return ((struct sockaddr_in *)ret)->sin_addr.s_addr != ((const struct sockaddr_in *)to)->sin_addr.s_addr;
    return ok &&
           memcmp(&((struct sockaddr_in6 *)ret)->sin6_addr, &((const struct sockaddr_in6 *)to)->sin6_addr, 16) != 0;
}

/* Until it is not writable any more: how many bytes; 0 and errno: it cannot be. */
static uint32_t stuff(int fd)
{
    static const char junk[4096];
    struct pollfd f = { .fd = fd, .events = POLLOUT };
    uint32_t total = 0;

    while (poll(&f, 1, 0) == 1) {
        ssize_t n = send(fd, junk, sizeof(junk), MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0)
            break;
        total += (uint32_t)n;
    }
    return total;
}

static void copy_option(int from, int to, int name)
{
    struct timeval t;
    socklen_t len = sizeof(t);

    if (REAL(getsockopt)(from, SOL_SOCKET, name, &t, &len) == 0)
        (void)REAL(setsockopt)(to, SOL_SOCKET, name, &t, len);
}

/* --- who waits for a socket that is not connected yet ---
 *
 * Some programs give it to epoll first (nginx, of its upstreams). The kernel forgets it when another file takes the
 * descriptor's place, so it must be told again. What was said last of each descriptor is kept from socket(2) on. */

#define WATCHED_MAX 65536 /* chosen: what is not used is no memory; descriptors beyond are not followed */

static struct {
    int epfd; /* less 1: 0 is none */
    struct epoll_event event;
} watched[WATCHED_MAX];

PUBLIC int socket(int family, int type, int protocol)
{
    int fd = REAL(socket)(family, type, protocol);

    if (fd >= 0 && fd < WATCHED_MAX && watched[fd].epfd)
        watched[fd].epfd = 0;
    return fd;
}

PUBLIC int epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    static __typeof__(&epoll_ctl) real; /* this one is called often */
    int r;

    if (!real)
        real = REAL(epoll_ctl);
    r = real(epfd, op, fd, ev);
    if (r == 0 && fd >= 0 && fd < WATCHED_MAX) {
        watched[fd].epfd = op == EPOLL_CTL_DEL ? 0 : epfd + 1;
        if (op != EPOLL_CTL_DEL)
            watched[fd].event = *ev;
    }
    return r;
}

/* Before another file takes its place: it waits for it no more. False: it did not, or no more since: the number of an
 * epoll that was closed may be another's by now. */
static bool watch_no_more(int fd)
{
    return fd < WATCHED_MAX && watched[fd].epfd && REAL(epoll_ctl)(watched[fd].epfd - 1, EPOLL_CTL_DEL, fd, NULL) == 0;
}

/* The pair's end takes the place of the program's socket, as that was. */
static int put_in_place(int end, int fd)
{
    int flags = fcntl(fd, F_GETFL), at_exec = fcntl(fd, F_GETFD), r;
    bool waited_for;

    copy_option(fd, end, SO_RCVTIMEO);
    copy_option(fd, end, SO_SNDTIMEO);
    if (flags < 0 || at_exec < 0 || fcntl(end, F_SETFL, flags & O_NONBLOCK) < 0)
        return -1;
    waited_for = watch_no_more(fd);
    r = dup3(end, fd, at_exec & FD_CLOEXEC ? O_CLOEXEC : 0);
    if (waited_for)
        (void)REAL(epoll_ctl)(watched[fd].epfd - 1, EPOLL_CTL_ADD, fd, &watched[fd].event);
    return r < 0 ? -1 : 0;
}

/* 0, -1 and errno, or 1: the program may go itself. */
static int carry(int fd, const struct sockaddr *to, socklen_t len, const struct sockaddr_storage *local)
{
    bool wait = !(fcntl(fd, F_GETFL) & O_NONBLOCK);
    struct run_ask q = { .op = RUN_CONNECT, .wait = wait };
    struct name n = { .local = *local };
    struct run_answer a = { 0 };
    int pair[2], c = -1, r = -1, error;

    memcpy(&n.peer, to, len < sizeof(n.peer) ? len : sizeof(n.peer));
    memcpy(&q.at, to, len < sizeof(q.at) ? len : sizeof(q.at));
    if (getrandom(&n.serial, sizeof(n.serial), 0) < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    q.serial = n.serial;
    if (put_name(pair[1], &n) == 0 && (q.junk = stuff(pair[0])) > 0)
        c = ask(&q, pair[1]);
    close(pair[1]);
    if (c >= 0 && answer(c, &a)) {
        if (a.error == 0 && a.verdict == RUN_DONE && !wait) {
            r = put_in_place(pair[0], fd);
            errno = r == 0 ? EINPROGRESS : errno;
            r = -1;
        } else if (a.error == 0 && a.verdict == RUN_DIRECT) {
            r = 1;
        } else if (a.error == 0 && answer(c, &a) && a.error == 0) {
            r = put_in_place(pair[0], fd);
        }
        if (a.error != 0)
            errno = a.error;
    }
    error = errno;
    if (c >= 0)
        close(c);
    close(pair[0]);
    errno = error;
    return r;
}

/* How it is, by the pump: 0 it is or was connected, EINPROGRESS, or why it never was. */
static int status(const struct name *n)
{
    struct run_ask q = { .op = RUN_STATUS, .serial = n->serial };
    struct run_answer a;

    return ask_once(&q, &a) ? a.error : ECONNRESET;
}

/* connect on a carried connection. */
static int connect_again(const struct name *n)
{
    int error = status(n);

    errno = error == 0 ? EISCONN : error == EINPROGRESS ? EALREADY : error;
    return -1;
}

PUBLIC int connect(int fd, const struct sockaddr *to, socklen_t len)
{
    struct sockaddr_storage local;
    struct name n;
    int r;

    if (!to || len < sizeof(to->sa_family) || !is_far(to, len))
        return REAL(connect)(fd, to, len);
    if (get_name(fd, &n))
        return connect_again(&n);
    if (!is_free_tcp(fd) || !find_local(to, len, &local))
        return REAL(connect)(fd, to, len);
    r = carry(fd, to, len, &local);
    return r == 1 ? REAL(connect)(fd, to, len) : r;
}

/* --- servers --- */

static bool is_inet(const struct sockaddr_storage *ss)
{
    return ss->ss_family == AF_INET || ss->ss_family == AF_INET6;
}

PUBLIC int listen(int fd, int backlog)
{
    struct run_ask q = { .op = RUN_LISTEN };
    socklen_t len = sizeof(q.at);
    struct run_answer a;
    int r = REAL(listen)(fd, backlog), v6only = 0, error = errno;
    socklen_t int_len = sizeof(v6only);

    if (r == 0 && option(fd, SO_TYPE) == SOCK_STREAM && REAL(getsockname)(fd, (struct sockaddr *)&q.at, &len) == 0 &&
        is_inet(&q.at)) {
        if (q.at.ss_family == AF_INET6)
            (void)REAL(getsockopt)(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &int_len);
        q.v6only = v6only != 0;
        (void)ask_once(&q, &a); /* without it, it is a server of plain clients */
    }
    errno = error;
    return r;
}

/* The pump listens on UDP ports beside the program's TCP ports, and gives them up to it. */
PUBLIC int bind(int fd, const struct sockaddr *at, socklen_t len)
{
    struct run_ask q = { .op = RUN_RELEASE };
    struct run_answer a;
    int r = REAL(bind)(fd, at, len);

    if (r == 0 || errno != EADDRINUSE || option(fd, SO_TYPE) != SOCK_DGRAM)
        return r;
    if (at->sa_family == AF_INET && len >= sizeof(struct sockaddr_in))
        q.port = ntohs(((const struct sockaddr_in *)at)->sin_port);
    else if (at->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6))
        q.port = ntohs(((const struct sockaddr_in6 *)at)->sin6_port);
    if (q.port != 0 && ask_once(&q, &a) && a.error == 0)
        return REAL(bind)(fd, at, len);
    errno = EADDRINUSE;
    return r;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof(ss);

    if (REAL(getsockname)(fd, (struct sockaddr *)&ss, &len) < 0)
        return 0;
    return ntohs(ss.ss_family == AF_INET ? ((struct sockaddr_in *)&ss)->sin_port
                                         : ((struct sockaddr_in6 *)&ss)->sin6_port);
}

/* Whose connection the pump's own is, in the family of *ss, which is the other end of fd. */
static void true_peer(int fd, struct sockaddr_storage *ss)
{
    static const uint8_t v6[16] = { [15] = 1 };
    struct sockaddr_in *in = (struct sockaddr_in *)ss;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;
    struct run_ask q = { .op = RUN_PEER, .at = *ss };
    struct run_answer a;
    uint32_t v4 = 0;

    if (ss->ss_family == AF_INET) {
        v4 = ntohl(in->sin_addr.s_addr);
    } else if (ss->ss_family == AF_INET6) {
        if (is_v4(&in6->sin6_addr))
            memcpy(&v4, (const uint8_t *)&in6->sin6_addr + 12, 4);
        v4 = ntohl(v4);
        if (memcmp(&in6->sin6_addr, v6, 16) == 0)
            v4 = RUN_SOURCE_V4;
    }
    if (v4 != RUN_SOURCE_V4)
        return;
    q.port = port_of(fd);
    if (!ask_once(&q, &a) || a.error != 0)
        return;
    if (ss->ss_family == AF_INET6 && a.at.ss_family == AF_INET) {
        const struct sockaddr_in *from = (const struct sockaddr_in *)&a.at;

        memset(&in6->sin6_addr, 0, 10);
        memset((uint8_t *)&in6->sin6_addr + 10, 0xff, 2);
        memcpy((uint8_t *)&in6->sin6_addr + 12, &from->sin_addr, 4);
        in6->sin6_port = from->sin_port;
    } else if (ss->ss_family == a.at.ss_family) {
        *ss = a.at;
    }
}

PUBLIC int accept4(int fd, struct sockaddr *restrict from, socklen_t *restrict len, int flags)
{
    struct sockaddr_storage ss = { 0 };
    socklen_t ss_len = sizeof(ss);
    int r = REAL(accept4)(fd, (struct sockaddr *)&ss, &ss_len, flags), error = errno;

    if (r >= 0 && from && len) {
        if (is_inet(&ss)) {
            true_peer(r, &ss);
            give(&ss, from, len);
        } else {
            memcpy(from, &ss, *len < ss_len ? *len : ss_len);
            *len = ss_len;
        }
    }
    errno = error;
    return r;
}

PUBLIC int accept(int fd, struct sockaddr *restrict from, socklen_t *restrict len)
{
    return accept4(fd, from, len, 0);
}

/* --- what a program asks about its descriptor --- */

PUBLIC int getpeername(int fd, struct sockaddr *restrict at, socklen_t *restrict len)
{
    struct sockaddr_storage ss = { 0 };
    socklen_t ss_len = sizeof(ss);
    struct name n;

    if (get_name(fd, &n)) {
        struct pollfd f = { .fd = fd, .events = POLLOUT };

        (void)poll(&f, 1, 0);
        if (f.revents != POLLOUT && status(&n) != 0) { /* in progress, or failed */
            errno = ENOTCONN;
            return -1;
        }
        give(&n.peer, at, len);
        return 0;
    }
    if (REAL(getpeername)(fd, (struct sockaddr *)&ss, &ss_len) < 0)
        return -1;
    if (!is_inet(&ss))
        return REAL(getpeername)(fd, at, len);
    true_peer(fd, &ss);
    give(&ss, at, len);
    return 0;
}

PUBLIC int getsockname(int fd, struct sockaddr *restrict at, socklen_t *restrict len)
{
    struct name n;

    if (!get_name(fd, &n))
        return REAL(getsockname)(fd, at, len);
    give(&n.local, at, len);
    return 0;
}

static int give_int(int i, void *value, socklen_t *len)
{
    memcpy(value, &i, *len < sizeof(i) ? *len : sizeof(i));
    *len = sizeof(i);
    return 0;
}

PUBLIC int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
    struct name n;
    int error, r;

    if ((level != SOL_SOCKET && level != IPPROTO_TCP && level != IPPROTO_IP && level != IPPROTO_IPV6) ||
        (level == SOL_SOCKET && name != SO_ERROR && name != SO_DOMAIN && name != SO_PROTOCOL) || !get_name(fd, &n))
        return REAL(getsockopt)(fd, level, name, value, len);
    if (level == SOL_SOCKET && name == SO_DOMAIN)
        return give_int(n.peer.ss_family, value, len);
    if (level == SOL_SOCKET && name == SO_PROTOCOL)
        return give_int(IPPROTO_TCP, value, len);
    if (level == SOL_SOCKET) {
        r = option(fd, SO_ERROR);
        if (r > 0) {
            error = status(&n);
            r = error && error != EINPROGRESS ? error : r;
        }
        return give_int(r, value, len);
    }
    if (level == IPPROTO_TCP && name == TCP_NODELAY)
        return give_int(1, value, len);
    if ((level == IPPROTO_IP && name == IP_TOS) || (level == IPPROTO_IPV6 && name == IPV6_TCLASS))
        return give_int(0, value, len);
    errno = ENOPROTOOPT;
    return -1;
}

PUBLIC int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    if ((level == IPPROTO_TCP || level == IPPROTO_IP || level == IPPROTO_IPV6) && get_name(fd, NULL))
        return 0;
    return REAL(setsockopt)(fd, level, name, value, len);
}
