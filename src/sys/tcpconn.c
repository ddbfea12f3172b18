/* TCP and MPTCP connections that carry records: see the header.
 *
 * Theory of operation. Beside what is in flight, which the kernel's congestion control decides, no more is to wait in
 * the socket than leaves within 15 ms: SIOCOUTQNSD says how many bytes were not sent once yet, TCP_INFO (asked each 10
 * ms) at which rate they are delivered. TCP_NOTSENT_LOWAT, a record above that, makes the socket writable when half of
 * them have left. The owner gives what there is room for, a record more at most, and control records whenever they are
 * due; the little that the kernel does not take then is kept.
 *
 * Of MPTCP TCP_INFO is that of the first subflow, and TCP_NOTSENT_LOWAT there is none before Linux 6.10: without it the
 * socket is writable at once, and the owner asks again after a while.
 *
 * Limits: TCPCONN_KEPT_MAX kept for sending, made when first needed; a record kept of what was read, likewise. Sources:
 * tcp(7), RFC 5482 (user timeout), linux/tcp.h, linux/mptcp.h. */
#include "sys/tcpconn.h"

#include "sys/sockaddr.h"
#include "sys/tcpsock.h"
#include "wire/carrier.h"

#include <errno.h>
#include <linux/mptcp.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define INFO_AGE (10 * MSEC) /* chosen: below the span that may wait */
#define RECOVERING 3         /* tcpi_ca_state: TCP_CA_Recovery, and above it TCP_CA_Loss */

struct tcpconn {
    int fd;
    bool connecting, multipath, has_lowat;
    struct endpoint remote;
    struct addr local;
    uint8_t *kept; /* TCPCONN_KEPT_MAX, or NULL: to be sent before all else */
    size_t kept_from, kept_to;
    uint8_t *rest; /* of a record, or NULL */
    size_t rest_len;
    size_t queue_most;
    instant info_at;
    struct tcpconn_state info;
};

static struct tcpconn *make(int fd, const struct endpoint *remote)
{
    struct tcpconn *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->fd = fd;
    s->remote = *remote;
    s->queue_most = TCPCONN_QUEUE_LEAST;
    s->has_lowat = tcpsock_set_int(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, TCPCONN_QUEUE_LEAST + RECORD_LARGE_MAX) == 0;
    (void)!tcpsock_set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    /* Where MPTCP does not know it, our own rule of liveness is the only one. */
    (void)!tcpsock_set_int(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, TCPCONN_DEAD_AFTER / MSEC);
    return s;
}

static void learn(struct tcpconn *s)
{
    struct mptcp_info info;
    socklen_t len = sizeof(info);

    s->local = tcpsock_local(s->fd);
    s->multipath =
        getsockopt(s->fd, SOL_MPTCP, MPTCP_INFO, &info, &len) == 0 && !(info.mptcpi_flags & MPTCP_INFO_FLAG_FALLBACK);
}

int tcpconn_connect(const struct tcpconn_options *o, const struct endpoint *to, struct tcpconn **ret)
{
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_from_endpoint(to, o->interface ? if_nametoindex(o->interface) : 0, &sa);
    struct tcpconn *s;
    int fd, r;

    if (len == 0 || to->port == 0)
        return -EINVAL;
    fd = tcpsock_open(sa.ss_family, o->multipath);
    if (fd < 0)
        return fd;
    s = make(fd, to);
    r = s ? tcpsock_connect(fd, (struct sockaddr *)&sa, len, o->interface) : -ENOMEM;
    if (r < 0) {
        close(fd);
        free(s);
        return r;
    }
    s->connecting = true;
    *ret = s;
    return 0;
}

int tcpconn_listen(const struct endpoint *at, bool multipath, int *ret_fd)
{
    return tcpsock_listen(at, multipath, ret_fd);
}

int tcpconn_accept(int listen_fd, struct tcpconn **ret)
{
    struct endpoint remote;
    int fd = tcpsock_accept(listen_fd, &remote);
    struct tcpconn *s;

    if (fd < 0)
        return fd == -EAGAIN ? 0 : fd;
    s = make(fd, &remote);
    if (!s) {
        close(fd);
        return -ENOMEM;
    }
    learn(s);
    *ret = s;
    return 1;
}

void tcpconn_free(struct tcpconn *s)
{
    uint8_t gone[4096];

    if (!s)
        return;
    /* A close with something unread is a reset, which might overtake what was written last. */
    shutdown(s->fd, SHUT_WR);
    for (int i = 0; i < 16 && recv(s->fd, gone, sizeof(gone), MSG_DONTWAIT) > 0; i++)
        ;
    close(s->fd);
    free(s->kept);
    free(s->rest);
    free(s);
}

int tcpconn_fd(const struct tcpconn *s)
{
    return s->fd;
}

const struct endpoint *tcpconn_remote(const struct tcpconn *s)
{
    return &s->remote;
}

const struct addr *tcpconn_local(const struct tcpconn *s)
{
    return &s->local;
}

bool tcpconn_is_connected(const struct tcpconn *s)
{
    return !s->connecting;
}

bool tcpconn_is_multipath(const struct tcpconn *s)
{
    return s->multipath;
}

static size_t kept_bytes(const struct tcpconn *s)
{
    return s->kept_to - s->kept_from;
}

bool tcpconn_wants_write(const struct tcpconn *s)
{
    return s->connecting || kept_bytes(s) > 0;
}

/* --- sending --- */

/* Bytes that the kernel took, or negative: it is over. */
static ssize_t give(struct tcpconn *s, const uint8_t *data, size_t len)
{
    ssize_t n = send(s->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? 0 : -errno;
}

static int keep_unsent(struct tcpconn *s, const uint8_t *data, size_t len)
{
    if (!s->kept && !(s->kept = malloc(TCPCONN_KEPT_MAX)))
        return -ENOMEM;
    if (kept_bytes(s) + len > TCPCONN_KEPT_MAX)
        return -ENOBUFS;
    if (s->kept_to + len > TCPCONN_KEPT_MAX) {
        memmove(s->kept, s->kept + s->kept_from, kept_bytes(s));
        s->kept_to -= s->kept_from;
        s->kept_from = 0;
    }
    memcpy(s->kept + s->kept_to, data, len);
    s->kept_to += len;
    return 0;
}

int tcpconn_flush(struct tcpconn *s)
{
    ssize_t n;

    if (s->connecting) {
        int r = tcpsock_finish_connect(s->fd);

        if (r <= 0)
            return r;
        s->connecting = false;
        learn(s);
    }
    if (kept_bytes(s) == 0)
        return 0;
    n = give(s, s->kept + s->kept_from, kept_bytes(s));
    if (n < 0)
        return (int)n;
    s->kept_from += (size_t)n;
    if (kept_bytes(s) == 0)
        s->kept_from = s->kept_to = 0;
    return 0;
}

int tcpconn_write(struct tcpconn *s, const uint8_t *data, size_t len)
{
    ssize_t n = 0;

    if (!s->connecting && kept_bytes(s) == 0)
        n = give(s, data, len);
    if (n < 0)
        return (int)n;
    return (size_t)n < len ? keep_unsent(s, data + n, len - (size_t)n) : 0;
}

/* --- receiving --- */

ssize_t tcpconn_read(struct tcpconn *s, uint8_t *buf, size_t size)
{
    size_t rest = s->rest_len;
    ssize_t n;

    if (s->connecting)
        return 0;
    if (rest > 0)
        memcpy(buf, s->rest, rest);
    n = recv(s->fd, buf + rest, size - rest, MSG_DONTWAIT);
    if (n == 0)
        return -ECONNRESET;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    s->rest_len = 0;
    return (ssize_t)rest + n;
}

int tcpconn_keep(struct tcpconn *s, const uint8_t *data, size_t len)
{
    if (len > CARRIER_PREFIX + RECORD_LARGE_MAX)
        return -EPROTO;
    if (len > 0 && !s->rest && !(s->rest = malloc(CARRIER_PREFIX + RECORD_LARGE_MAX)))
        return -ENOMEM;
    if (len > 0)
        memcpy(s->rest, data, len);
    s->rest_len = len;
    return 0;
}

/* --- what is known --- */

static void ask_info(struct tcpconn *s, instant now)
{
    struct tcp_info t = { 0 };
    socklen_t len = sizeof(t);
    size_t most;

    if (s->info_at != 0 && now - s->info_at < INFO_AGE)
        return;
    s->info_at = now;
    if (getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &t, &len) < 0)
        return;
    s->info = (struct tcpconn_state){
        .rtt = t.tcpi_rtt,
        .rttvar = t.tcpi_rttvar,
        .min_rtt = t.tcpi_min_rtt == UINT32_MAX ? 0 : t.tcpi_min_rtt,
        .rate_bps = MIN(t.tcpi_delivery_rate, UINT64_C(1) << 40) * 8,
        .rate_is_lower_bound = t.tcpi_delivery_rate_app_limited,
        .troubled = t.tcpi_backoff > 0 || t.tcpi_ca_state >= RECOVERING,
        .sent_bytes = t.tcpi_bytes_sent,
        .resent_bytes = t.tcpi_bytes_retrans - MIN((uint64_t)t.tcpi_dsack_dups * t.tcpi_snd_mss, t.tcpi_bytes_retrans),
        .acked_bytes = t.tcpi_bytes_acked,
    };
    most = (size_t)(s->info.rate_bps / 8 * (uint64_t)TCPCONN_QUEUE_SPAN / (uint64_t)SEC);
    if (s->info.rate_is_lower_bound)
        most = MAX(most, s->queue_most);
    most = CLAMP(most, (size_t)TCPCONN_QUEUE_LEAST, (size_t)TCPCONN_QUEUE_MOST);
    /* The kernel is told of what is worth a call. */
    if (s->has_lowat && (most > s->queue_most + s->queue_most / 4 || most < s->queue_most - s->queue_most / 4))
        (void)!tcpsock_set_int(s->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, (int)most + RECORD_LARGE_MAX);
    else if (s->has_lowat)
        return;
    s->queue_most = most;
}

void tcpconn_state(struct tcpconn *s, struct tcpconn_state *ret, instant now)
{
    size_t unsent = 0;
    int n = 0;

    if (!s->connecting)
        ask_info(s, now);
    *ret = s->info;
    if (tcpconn_wants_write(s)) /* what its buffer did not take says that it has no room, whatever its queue is */
        return;
    if (ioctl(s->fd, SIOCOUTQNSD, &n) == 0 && n > 0)
        unsent = (size_t)n;
    ret->room_bytes = unsent < s->queue_most ? s->queue_most - unsent : 0;
    ret->waits = ret->room_bytes == 0 && s->has_lowat;
}
