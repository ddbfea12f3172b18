/* api/plain.c - see plain.h.
 *
 * Theory of operation. One epoll descriptor for the whole life: of the engine's own while it asks and when it has won,
 * of the sockets that connect, of the connection, of a timer. The connection is watched by edges, so the descriptor is
 * not readable for ever while the program does not read; plain_events asks the socket itself.
 *
 * A race of connections: RFC 8305 section 5, the addresses in the order in which they were given, the next one when one
 * has failed, or after 250 ms.
 *
 * What the kernel keeps of a connection that was finished it goes on to send after close; one that was not finished is
 * reset, as the other end of a session would hear of it, so that nobody takes a part for the whole.
 *
 * Limits: 8 addresses. */
#include "api/plain.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "api/known.h"
#include "sys/clock.h"
#include "sys/sockaddr.h"

#define NEXT_ADDRESS (250 * MSEC) /* RFC 8305 section 8 */
#define CALL_LIMIT (30 * SEC)     /* as a session's */
#define FLUSH_MIN (5 * MSEC)      /* chosen: the kernel does not say when all was acknowledged: one asks, */
#define FLUSH_MAX (100 * MSEC)    /* less and less often */
#define BACKLOG 128               /* chosen: as many as a full queue of Linux before 5.4 */
#define LINK_NAME "host"          /* the kernel chooses the way */

struct plain {
    enum plain_state state;
    int epoll_fd, timer_fd;
    instant armed;
    struct plain_options o; /* while it asks; o.key points to `key` */
    struct peer_key key;
    bool fell_back;                /* the engine called, and the connection has won */
    bool called, trusted;          /* the engine calls `key`, which an ANSWER told, or told once */
    bool racing;                   /* connections are begun: */
    int socks[NODE_ENDPOINTS_MAX]; /* -1: none */
    size_t next;
    instant began;
    instant next_at;
    int last_error; /* of the last address that failed */
    int fd;         /* the connection, -1: none */
    bool finished, ended;
    int error;
    uint64_t read_bytes;
    span flush_wait; /* 0: nobody waits */
    instant flush_at;
};

static int watch(struct plain *p, int fd, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.fd = fd };

    return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int make(struct plain **ret)
{
    struct plain *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;
    p->fd = -1;
    p->armed = p->flush_at = p->next_at = INSTANT_NEVER;
    for (size_t i = 0; i < NODE_ENDPOINTS_MAX; i++)
        p->socks[i] = -1;
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    p->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    r = p->epoll_fd < 0 || p->timer_fd < 0 ? -errno : watch(p, p->timer_fd, EPOLLIN);
    if (r < 0) {
        plain_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

static void stop_racing(struct plain *p)
{
    for (size_t i = 0; i < NODE_ENDPOINTS_MAX; i++) {
        if (p->socks[i] >= 0)
            close(p->socks[i]);
        p->socks[i] = -1;
    }
    p->next_at = INSTANT_NEVER;
}

void plain_free(struct plain *p)
{
    const struct linger reset = { .l_onoff = 1 };

    if (!p)
        return;
    stop_racing(p);
    if (p->fd >= 0) {
        if (!p->finished)
            (void)setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(p->fd);
    }
    if (p->timer_fd >= 0)
        close(p->timer_fd);
    if (p->epoll_fd >= 0)
        close(p->epoll_fd);
    free(p);
}

int plain_fd(const struct plain *p)
{
    return p->epoll_fd;
}

enum plain_state plain_state(const struct plain *p)
{
    return p->state;
}

bool plain_is_unauthenticated(const struct plain *p)
{
    return p->state == PLAIN_SESSION && p->trusted;
}

static void arm(struct plain *p)
{
    instant at = plain_next_expiry(p);
    struct itimerspec t = { 0 };

    if (at == p->armed)
        return;
    p->armed = at;
    if (at != INSTANT_NEVER) {
        at = MAX(at, 1); /* 0 disarms */
        t.it_value.tv_sec = at / SEC;
        t.it_value.tv_nsec = at % SEC * 1000;
    }
    timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

/* --- finding out --- */

static void no_delay(int fd)
{
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* what is written is meant to leave */
}

/* The connection is there, and watched. */
static int take(struct plain *p, int fd)
{
    p->fd = fd;
    p->state = PLAIN_TCP;
    no_delay(fd);
    return watch(p, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static void begin_next(struct plain *p, instant now)
{
    while (p->next < p->o.count) {
        size_t i = p->next++;
        struct sockaddr_storage ss;
        socklen_t len = sockaddr_from_endpoint(&p->o.at[i], 0, &ss);
        int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        if (fd >= 0 && (connect(fd, (struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS) &&
            watch(p, fd, EPOLLOUT) == 0) {
            p->socks[i] = fd;
            p->next_at = p->next < p->o.count ? now + NEXT_ADDRESS : INSTANT_NEVER;
            return;
        }
        p->last_error = -errno;
        if (fd >= 0)
            close(fd);
    }
    p->next_at = INSTANT_NEVER;
}

static bool race_lost(const struct plain *p)
{
    for (size_t i = 0; i < p->next; i++)
        if (p->socks[i] >= 0)
            return false;
    return p->racing && p->next == p->o.count;
}

/* Which of them are connected, or have failed. */
static int look_at_race(struct plain *p, instant now)
{
    for (size_t i = 0; i < p->next; i++) {
        struct pollfd f = { .fd = p->socks[i], .events = POLLOUT };
        socklen_t len = sizeof(int);
        int error = 0, r;

        if (f.fd < 0 || poll(&f, 1, 0) <= 0)
            continue;
        if (getsockopt(f.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
            error = errno;
        if (error == 0) {
            known_put(&p->o.at[i], KNOWN_PLAIN, NULL, now);
            p->fell_back = p->called;
            p->socks[i] = -1;
            stop_racing(p);
            (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, f.fd, NULL);
            r = take(p, f.fd);
            return r < 0 ? r : 1;
        }
        p->last_error = -error;
        close(f.fd);
        p->socks[i] = -1;
        begin_next(p, now);
    }
    return 0;
}

static int call(struct plain *p, const struct discovery *d)
{
    struct endpoint at[NODE_ENDPOINTS_MAX];
    size_t count = 0;

    /* Who answered first, and the others behind: they may be the same host's. */
    if (d)
        at[count++] = d->at;
    for (size_t i = 0; i < p->o.count && count < NODE_ENDPOINTS_MAX; i++)
        if (!d || !endpoint_equal(&p->o.at[i], &d->at))
            at[count++] = p->o.at[i];
    p->called = true;
    return engine_call(p->o.engine, &p->key, at, count);
}

/* at: who answered; NULL: whoever the engine has reached. */
static int won_by_session(struct plain *p, const struct endpoint *at, instant now)
{
    stop_racing(p);
    if (at)
        known_put(at, KNOWN_SESSION, &p->key, now);
    for (size_t i = 0; i < p->o.count && !at; i++)
        if (engine_works_with(p->o.engine, &p->o.at[i].addr))
            known_put(&p->o.at[i], KNOWN_SESSION, &p->key, now);
    p->state = PLAIN_SESSION;
    return 0;
}

static int find_out(struct plain *p, instant now)
{
    const struct discovery *d = p->o.engine ? engine_discovery(p->o.engine) : NULL;
    int r;

    if (p->called && engine_has_been_up(p->o.engine))
        return won_by_session(p, NULL, now);
    if (d && d->state == DISCOVERY_FOUND) {
        if (p->o.pinned && !peer_key_equal(&d->key, &p->key))
            return -EKEYREJECTED;
        if (!p->called || !peer_key_equal(&d->key, &p->key)) {
            p->key = d->key;
            p->trusted = true;
            r = call(p, d);
            if (r < 0)
                return r;
        }
        return won_by_session(p, &d->at, now);
    }
    if (p->o.pinned)
        return !d || d->state == DISCOVERY_NOBODY ? -EKEYREJECTED : 0;
    if (!p->racing && (!d || d->state == DISCOVERY_NOBODY || now - d->began >= DISCOVERY_WINDOW)) {
        p->racing = true;
        begin_next(p, now);
    } else if (p->racing && now >= p->next_at) {
        begin_next(p, now);
    }
    r = look_at_race(p, now);
    if (r != 0)
        return MIN(r, 0);
    if (now - p->began >= CALL_LIMIT)
        return -ETIMEDOUT;
    return race_lost(p) && (!d || d->state == DISCOVERY_NOBODY) ? p->last_error : 0;
}

int plain_find(const struct plain_options *o, instant now, struct plain **ret)
{
    struct plain *p;
    int r = make(&p);

    if (r < 0)
        return r;
    p->o = *o;
    p->began = now;
    if (o->key) {
        p->key = *o->key;
        p->o.key = NULL;
        p->trusted = !o->pinned;
    }
    if (o->engine) {
        r = watch(p, engine_fd(o->engine), EPOLLIN);
        if (r == 0)
            r = engine_ask(o->engine, o->at, o->count);
        if (r == 0 && o->key)
            r = call(p, NULL);
    }
    if (r == 0)
        r = find_out(p, now);
    if (r < 0) {
        plain_free(p);
        return r;
    }
    arm(p);
    *ret = p;
    return 0;
}

int plain_of(int fd, struct plain **ret)
{
    struct plain *p;
    int r = make(&p);

    if (r < 0) {
        close(fd);
        return r;
    }
    r = take(p, fd);
    if (r < 0) {
        plain_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

instant plain_next_expiry(const struct plain *p)
{
    const struct discovery *d = p->o.engine && p->state == PLAIN_ASKING ? engine_discovery(p->o.engine) : NULL;
    instant at = instant_min(p->next_at, p->flush_at);

    if (d && d->state == DISCOVERY_ASKING && !p->racing && !p->o.pinned)
        at = instant_min(at, d->began + DISCOVERY_WINDOW);
    if (p->state == PLAIN_ASKING)
        at = instant_min(at, p->began + CALL_LIMIT);
    return at;
}

int plain_process(struct plain *p)
{
    struct epoll_event ready[NODE_ENDPOINTS_MAX + 3];
    instant now;
    uint64_t count;
    int r = 0;

    (void)epoll_wait(p->epoll_fd, ready, (int)ARRAY_LEN(ready), 0); /* edges are over; all else is asked below */
    if (read(p->timer_fd, &count, sizeof(count)) > 0)
        p->armed = INSTANT_NEVER;
    if (p->o.engine && p->state != PLAIN_TCP)
        r = engine_process(p->o.engine);
    now = clock_now();
    if (r == 0 && p->state == PLAIN_ASKING)
        r = find_out(p, now);
    if (p->state == PLAIN_TCP)
        p->o.engine = NULL; /* who gave it takes it away */
    if (p->flush_at <= now) {
        p->flush_wait = plain_flushed(p) ? 0 : MIN(2 * p->flush_wait, FLUSH_MAX);
        p->flush_at = p->flush_wait > 0 ? now + p->flush_wait : INSTANT_NEVER;
    }
    arm(p);
    return r;
}

/* --- the connection --- */

static ssize_t fail(struct plain *p, int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK || error == EINTR)
        return -EAGAIN;
    p->error = error == EPIPE ? -ECONNRESET : -error;
    return p->error;
}

ssize_t plain_read(struct plain *p, void *data, size_t len, uint64_t *ret_place)
{
    ssize_t n = recv(p->fd, data, len, 0);

    if (n < 0)
        return p->error ? p->error : fail(p, errno);
    if (ret_place)
        *ret_place = p->read_bytes;
    p->read_bytes += (uint64_t)n;
    p->ended |= n == 0;
    return n == 0 && p->error ? p->error : n;
}

ssize_t plain_write(struct plain *p, const void *data, size_t len)
{
    ssize_t n;

    if (p->error)
        return p->error;
    if (p->finished)
        return -EPIPE;
    n = send(p->fd, data, len, MSG_NOSIGNAL);
    return n < 0 ? fail(p, errno) : n;
}

int plain_finish(struct plain *p)
{
    if (!p->finished && !p->error)
        (void)shutdown(p->fd, SHUT_WR); /* the other end may have gone: reading tells */
    p->finished = true;
    p->flush_wait = FLUSH_MIN;
    p->flush_at = clock_now() + FLUSH_MIN;
    arm(p);
    return 0;
}

bool plain_flushed(const struct plain *p)
{
    int waiting = 0;

    return !p->error && ioctl(p->fd, SIOCOUTQ, &waiting) == 0 && waiting == 0;
}

int plain_error(const struct plain *p)
{
    return p->error;
}

unsigned plain_events(struct plain *p)
{
    struct pollfd f = { .fd = p->fd, .events = POLLIN | POLLOUT | POLLRDHUP };
    unsigned events = HWS_CONNECTED | HWS_IS_PLAIN | (p->fell_back ? HWS_FELL_BACK : 0);
    bool flushed = plain_flushed(p);

    (void)poll(&f, 1, 0);
    if (p->error || (f.revents & (POLLIN | POLLERR | POLLHUP | POLLRDHUP)))
        events |= HWS_READABLE;
    if (p->error || (f.revents & (POLLOUT | POLLERR | POLLHUP)))
        events |= HWS_WRITABLE;
    if (flushed)
        events |= HWS_FLUSHED;
    if (p->error || (p->ended && p->finished && flushed))
        events |= HWS_ENDED;
    return events;
}

void plain_path(const struct plain *p, struct hws_path *ret)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof(info), ss_len = sizeof(ret->remote);

    memset(ret, 0, sizeof(*ret));
    snprintf(ret->link, sizeof(ret->link), LINK_NAME);
    (void)getpeername(p->fd, (struct sockaddr *)&ret->remote, &ss_len);
    ret->state = p->error ? HWS_PATH_DOWN : HWS_PATH_ACTIVE;
    ret->plain = 1;
    if (getsockopt(p->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return;
    ret->rtt_us = info.tcpi_rtt;
    ret->jitter_us = info.tcpi_rttvar;
    if (len > offsetof(struct tcp_info, tcpi_total_retrans))
        ret->loss = info.tcpi_segs_out ? (double)info.tcpi_total_retrans / info.tcpi_segs_out : 0;
    ret->rate_bps = info.tcpi_delivery_rate * 8;
    ret->sent_bytes = info.tcpi_bytes_acked;
    ret->received_bytes = info.tcpi_bytes_received;
}

int plain_wait(struct plain *p, short events, instant limit)
{
    struct pollfd f = { .fd = events ? p->fd : p->epoll_fd, .events = events ? events : POLLIN };
    instant now = clock_now(), until = instant_min(limit, instant_min(plain_next_expiry(p), now + 3600 * SEC));

    if (limit <= now)
        return -ETIMEDOUT;
    if (poll(&f, 1, (int)((MAX(until - now, 0) + MSEC - 1) / MSEC)) < 0 && errno != EINTR)
        return -errno;
    return plain_process(p);
}

/* --- listening --- */

static int listen_on(const struct endpoint *at, int *ret_fd)
{
    const int on = 1;
    struct sockaddr_storage ss;
    socklen_t len = sockaddr_from_endpoint(at, 0, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), r = 0;

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        (at->addr.family == ADDR_V6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0) ||
        bind(fd, (struct sockaddr *)&ss, len) < 0 || listen(fd, BACKLOG) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

int plain_listen(const struct addr *local, uint16_t port, int ret_fds[2])
{
    int fds[2] = { -1, -1 }, r[2] = { -EAFNOSUPPORT, -EAFNOSUPPORT };

    for (unsigned v6 = 0; v6 < 2; v6++) {
        struct endpoint at = { *local, port };

        if (at.addr.family != ADDR_NONE && at.addr.family != (v6 ? ADDR_V6 : ADDR_V4))
            continue;
        at.addr.family = v6 ? ADDR_V6 : ADDR_V4;
        r[v6] = listen_on(&at, &fds[v6]);
        if (r[v6] < 0 && r[v6] != -EAFNOSUPPORT && r[v6] != -EADDRNOTAVAIL) { /* as engine_listen */
            if (fds[0] >= 0)
                close(fds[0]);
            return r[v6];
        }
    }
    memcpy(ret_fds, fds, sizeof(fds));
    return r[0] == 0 || r[1] == 0 ? 0 : r[local->family == ADDR_V6];
}

int plain_accept(const int fds[2])
{
    for (unsigned i = 0; i < 2; i++) {
        int fd = fds[i] >= 0 ? accept4(fds[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC) : -1;

        if (fd >= 0)
            return fd;
        if (fds[i] >= 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
            return -errno;
    }
    return -EAGAIN; /* also of one that has gone again */
}

bool plain_has_arrival(const int fds[2])
{
    struct pollfd f[2] = { { .fd = fds[0], .events = POLLIN }, { .fd = fds[1], .events = POLLIN } };

    return poll(f, 2, 0) > 0;
}
