/* TCP connections that carry datagrams: see the header.
 *
 * Theory of operation. A train is one sendmsg of lengths and datagrams. Before it, SIOCOUTQNSD says how many bytes the
 * kernel has not yet sent once; so many more may be added as 50 ms of the delivery rate that TCP_INFO measures (asked
 * every 10 ms), and the rest of the train is dropped. TCP_NOTSENT_LOWAT holds the kernel to the same bound between two
 * of our looks. When the kernel takes a datagram in part, its rest is kept and goes first; until it is gone everything
 * else is dropped. What is in flight is bounded by TCP and, above it, by the path's own congestion window: SO_SNDBUF is
 * left to the kernel, which sizes it by the window.
 *
 * Limits: 64 datagrams a sendmsg; 4 KiB kept before the connection is there, and one datagram after that; 7 KiB a
 * connection in all. Sources: tcp(7), RFC 5482 (user timeout), linux/tcp.h. */
#include "sys/tcp.h"

#include "sys/sockaddr.h"
#include "sys/tcpsock.h"
#include "wire/carrier.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define REST_BYTES 4096      /* chosen: an INIT of each kind and the first probes */
#define BATCH 64             /* datagrams a sendmsg: as a UDP_SEGMENT train */
#define RATE_AGE (10 * MSEC) /* chosen: a fifth of what may wait */

#define CONGESTION "bbr" /* chosen: as the path above, it does not take a single loss for a full queue */

struct tcp {
    int fd;
    bool connecting;
    struct endpoint remote;
    struct addr local;
    uint8_t *data; /* read and not yet given out: in the caller's buffer */
    size_t len;
    struct carrier in;
    uint8_t rest[REST_BYTES]; /* to be sent before all else */
    size_t rest_len;
    size_t queue_max;
    instant rate_at;
    uint64_t rate; /* bytes a second */
    struct tcp_stats stats;
};

static int set_options(int fd)
{
    int r = tcpsock_set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);

    /* Where the kernel has it; without it a link that loses is slow, and works. */
    (void)!setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, CONGESTION, sizeof(CONGESTION) - 1);
    if (r == 0)
        r = tcpsock_set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, TCP_DEAD_AFTER / MSEC);
    if (r == 0)
        r = tcpsock_set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, TCP_QUEUE_MIN);
    return r;
}

static struct tcp *make(int fd, const struct endpoint *remote)
{
    struct tcp *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->fd = fd;
    t->remote = *remote;
    t->queue_max = TCP_QUEUE_MIN;
    return t;
}

static int prepare(int fd, const struct tcp_options *o)
{
    int r = o->mark ? tcpsock_set_int(fd, SOL_SOCKET, SO_MARK, (int)o->mark) : 0;

    return r < 0 ? r : set_options(fd);
}

int tcp_connect(const struct tcp_options *o, const struct endpoint *to, struct tcp **ret)
{
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_from_endpoint(to, o->interface ? if_nametoindex(o->interface) : 0, &sa);
    struct tcp *t;
    int fd, r;

    if (len == 0 || to->port == 0)
        return -EINVAL;
    fd = tcpsock_open(sa.ss_family, false);
    if (fd < 0)
        return fd;
    r = prepare(fd, o);
    if (r == 0)
        r = tcpsock_connect(fd, (struct sockaddr *)&sa, len, o->interface);
    t = r == 0 ? make(fd, to) : NULL;
    if (!t) {
        close(fd);
        return r < 0 ? r : -ENOMEM;
    }
    t->connecting = true;
    *ret = t;
    return 0;
}

int tcp_listen(enum addr_family family, uint16_t port, int *ret_fd)
{
    const struct endpoint at = { .addr.family = (uint8_t)family, .port = port };

    return tcpsock_listen(&at, false, ret_fd);
}

int tcp_accept(int listen_fd, struct tcp **ret)
{
    struct endpoint remote;
    int fd = tcpsock_accept(listen_fd, &remote);
    struct tcp *t;

    if (fd < 0)
        return fd == -EAGAIN ? 0 : fd;
    t = set_options(fd) == 0 ? make(fd, &remote) : NULL;
    if (!t) {
        close(fd);
        return -ENOMEM;
    }
    t->local = tcpsock_local(fd);
    *ret = t;
    return 1;
}

void tcp_free(struct tcp *t)
{
    if (!t)
        return;
    close(t->fd);
    free(t);
}

int tcp_fd(const struct tcp *t)
{
    return t->fd;
}

const struct endpoint *tcp_remote(const struct tcp *t)
{
    return &t->remote;
}

const struct addr *tcp_local(const struct tcp *t)
{
    return &t->local;
}

bool tcp_is_connected(const struct tcp *t)
{
    return !t->connecting;
}

bool tcp_wants_write(const struct tcp *t)
{
    return t->connecting || t->rest_len > 0;
}

static size_t unsent_bytes(const struct tcp *t)
{
    int n = 0;

    return ioctl(t->fd, SIOCOUTQNSD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

struct tcp_stats tcp_stats_get(const struct tcp *t)
{
    struct tcp_stats s = t->stats;

    s.unsent = unsent_bytes(t);
    s.queue_max = t->queue_max;
    return s;
}

int tcp_flush(struct tcp *t)
{
    ssize_t n;

    if (t->connecting) {
        int r = tcpsock_finish_connect(t->fd);

        if (r <= 0)
            return r;
        t->connecting = false;
        t->local = tcpsock_local(t->fd);
    }
    if (t->rest_len == 0)
        return 0;
    n = send(t->fd, t->rest, t->rest_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    t->rest_len -= (size_t)n;
    memmove(t->rest, t->rest + n, t->rest_len);
    return 0;
}

/* --- receiving --- */

int tcp_read(struct tcp *t, uint8_t *buf, size_t size)
{
    ssize_t n;

    if (t->connecting)
        return 0;
    n = recv(t->fd, buf, size, MSG_DONTWAIT);
    if (n == 0)
        return -ECONNRESET;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    t->data = buf;
    t->len = (size_t)n;
    return 1;
}

int tcp_next(struct tcp *t, uint8_t **ret, size_t *ret_len)
{
    return t->len > 0 ? carrier_next(&t->in, &t->data, &t->len, ret, ret_len) : 0;
}

/* --- sending --- */

/* How much may wait: 50 ms of what TCP has measured. A sample that the application limited is a lower bound. */
static void refresh_limit(struct tcp *t, instant now)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof(info);
    size_t most;

    if (t->rate_at != 0 && now - t->rate_at < RATE_AGE)
        return;
    t->rate_at = now;
    if (getsockopt(t->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return;
    if (!info.tcpi_delivery_rate_app_limited || info.tcpi_delivery_rate > t->rate)
        t->rate = info.tcpi_delivery_rate;
    most = (size_t)(MIN(t->rate, UINT64_C(1) << 40) * (uint64_t)TCP_QUEUE_SPAN / (uint64_t)SEC);
    most = CLAMP(most, (size_t)TCP_QUEUE_MIN, (size_t)TCP_QUEUE_MAX);
    if (most == t->queue_max)
        return;
    t->queue_max = most;
    tcpsock_set_int(t->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)most);
}

/* Before there is a connection: a few datagrams wait. Returns how many did not fit. */
static int hold(struct tcp *t, const uint8_t *data, size_t len, size_t segment)
{
    int dropped = 0;

    for (size_t at = 0, n; at < len; at += n) {
        n = MIN(segment, len - at);
        if (t->rest_len + CARRIER_PREFIX + n > sizeof(t->rest)) {
            dropped++;
            continue;
        }
        put_be16(t->rest + t->rest_len, (uint16_t)n);
        memcpy(t->rest + t->rest_len + CARRIER_PREFIX, data + at, n);
        t->rest_len += CARRIER_PREFIX + n;
    }
    return dropped;
}

/* One datagram that the kernel took in part: what is missing goes first from now on. */
static void keep_rest(struct tcp *t, const uint8_t *data, size_t n, size_t taken)
{
    uint8_t whole[CARRIER_PREFIX + CARRIER_MAX];

    put_be16(whole, (uint16_t)n);
    memcpy(whole + CARRIER_PREFIX, data, n);
    t->rest_len = CARRIER_PREFIX + n - taken;
    memcpy(t->rest, whole + taken, t->rest_len);
}

/* At most BATCH datagrams and `room` bytes. The number that left, in part at least; negative when it is over. */
static int send_batch(struct tcp *t, const uint8_t *data, size_t len, size_t segment, size_t room)
{
    uint8_t prefix[BATCH][CARRIER_PREFIX];
    struct iovec iov[2 * BATCH];
    struct msghdr msg = { .msg_iov = iov };
    size_t at = 0, left;
    int count = 0;
    ssize_t n;

    for (size_t one; count < BATCH && at < len; at += one, count++) {
        one = MIN(segment, len - at);
        if (CARRIER_PREFIX + one > room)
            break;
        room -= CARRIER_PREFIX + one;
        put_be16(prefix[count], (uint16_t)one);
        iov[2 * count] = (struct iovec){ prefix[count], CARRIER_PREFIX };
        iov[2 * count + 1] = (struct iovec){ (void *)(uintptr_t)(data + at), one };
    }
    if (count == 0)
        return 0;
    msg.msg_iovlen = 2 * (size_t)count;
    n = sendmsg(t->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? 0 : -errno;
    left = (size_t)n;
    for (int i = 0; i < count; i++) {
        size_t one = iov[2 * i + 1].iov_len;

        if (left == 0)
            return i;
        if (left < CARRIER_PREFIX + one) {
            keep_rest(t, iov[2 * i + 1].iov_base, one, left);
            return i + 1;
        }
        left -= CARRIER_PREFIX + one;
    }
    return count;
}

int tcp_send(struct tcp *t, const uint8_t *data, size_t len, size_t segment, instant now)
{
    size_t at = 0, unsent, room;
    int r, left;

    segment = segment ? segment : len;
    if (len == 0 || segment < CARRIER_MIN || segment > CARRIER_MAX)
        return -EINVAL;
    left = (int)((len + segment - 1) / segment);
    r = tcp_flush(t);
    if (r < 0)
        return r;
    if (t->connecting) {
        r = hold(t, data, len, segment);
        t->stats.sent += (uint64_t)(left - r);
        t->stats.dropped += (uint64_t)r;
        return r;
    }
    refresh_limit(t, now);
    unsent = unsent_bytes(t);
    room = unsent < t->queue_max ? t->queue_max - unsent : 0;
    while (at < len && t->rest_len == 0) {
        r = send_batch(t, data + at, len - at, segment, room);
        if (r <= 0)
            break;
        t->stats.sent += (uint64_t)r;
        left -= r;
        at += (size_t)r * segment;
        room -= MIN(room, (size_t)r * (CARRIER_PREFIX + segment));
    }
    t->stats.dropped += (uint64_t)left;
    return r < 0 ? r : left;
}
