/* UDP sockets with segmentation offload.
 *
 * Theory of operation. A send is one sendmsg with UDP_SEGMENT for a train of equal datagrams; a receive is one recvmmsg
 * whose buffers each hold a train that UDP_GRO merged. Both are probed when the socket is opened. Without GSO a train
 * leaves by sendmmsg. A device without checksum offload makes a GSO send fail with EIO, and other refusals come as
 * EINVAL: then the train is sent by hand, and GSO stays off if that worked where GSO did not.
 *
 * Errors: with IP_RECVERR an ICMP error is queued and also left on the socket, where the next call of any kind trips
 * over it, whatever its destination. So a failed call is made once more before its error is believed, and the queue is
 * read by udp_pop_error.
 *
 * Path MTU: IP_PMTUDISC_PROBE sets DF and ignores what ICMP made the kernel believe about the path: path/ measures the
 * path MTU itself, and only the interface's own MTU may refuse a probe.
 *
 * Several sockets on one port (SO_REUSEPORT) are steered by a classic BPF program, which needs no capability.
 *
 * Limits: 16 buffers of 64 KiB a socket, or 64 of 2 KiB; 64 segments and 65000 bytes a system call, longer trains take
 * several. Sources: udp(7), ip(7), ipv6(7), cmsg(3); RFC 8899 (probing needs DF). */
#include "sys/udp.h"

#include "sys/sockaddr.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#define RX_CONTROL_BYTES 256 /* room for pktinfo, tos and GRO messages of either family, twice over */
#define TX_CONTROL_BYTES (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(2))

struct udp {
    int fd;
    int domain; /* AF_INET or AF_INET6 */
    unsigned ifindex;
    struct addr bound; /* ADDR_NONE: to any address, and every datagram says to which */
    uint16_t port;
    bool gso, gro;
    bool maybe_errors; /* something hinted at the error queue */
    int rcvbuf_bytes, sndbuf_bytes;
    struct udp_stats stats;
    size_t batch_max, buffer_bytes;
    uint8_t *buffers; /* batch_max * buffer_bytes, owned */
    struct mmsghdr rx_msgs[UDP_MANY_MAX];
    struct iovec rx_iov[UDP_MANY_MAX];
    struct sockaddr_storage rx_names[UDP_MANY_MAX];
    _Alignas(struct cmsghdr) uint8_t rx_control[UDP_MANY_MAX][RX_CONTROL_BYTES];
};

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int get_int(int fd, int level, int name)
{
    int value = 0;
    socklen_t len = sizeof(value);

    return getsockopt(fd, level, name, &value, &len) < 0 ? 0 : value;
}

static void set_buffers(struct udp *u, const struct udp_options *o)
{
    int rcv = o->rcvbuf_bytes ? o->rcvbuf_bytes : UDP_SOCKET_BUFFER_BYTES;
    int snd = o->sndbuf_bytes ? o->sndbuf_bytes : UDP_SOCKET_BUFFER_BYTES;

    /* Without the capability the system's limit applies: a smaller buffer is no reason to fail. */
    if (set_int(u->fd, SOL_SOCKET, SO_RCVBUFFORCE, rcv) < 0)
        set_int(u->fd, SOL_SOCKET, SO_RCVBUF, rcv);
    if (set_int(u->fd, SOL_SOCKET, SO_SNDBUFFORCE, snd) < 0)
        set_int(u->fd, SOL_SOCKET, SO_SNDBUF, snd);
    u->rcvbuf_bytes = get_int(u->fd, SOL_SOCKET, SO_RCVBUF);
    u->sndbuf_bytes = get_int(u->fd, SOL_SOCKET, SO_SNDBUF);
}

static int set_options(const struct udp *u, bool many)
{
    const int asks_where = u->bound.family == ADDR_NONE, asks_tos = !many;
    const struct {
        int domain, level, name, value;
    } options[] = {
        { AF_UNSPEC, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1 }, /* POLLPRI beside POLLERR: see the header */
        { AF_INET, IPPROTO_IP, IP_PKTINFO, asks_where },
        { AF_INET, IPPROTO_IP, IP_RECVTOS, asks_tos },
        { AF_INET, IPPROTO_IP, IP_RECVERR, 1 },
        { AF_INET, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE },
        { AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, 1 },
        { AF_INET6, IPPROTO_IPV6, IPV6_RECVPKTINFO, asks_where },
        { AF_INET6, IPPROTO_IPV6, IPV6_RECVTCLASS, asks_tos },
        { AF_INET6, IPPROTO_IPV6, IPV6_RECVERR, 1 },
        { AF_INET6, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE },
        { AF_INET6, IPPROTO_IPV6, IPV6_DONTFRAG, 1 },
    };

    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (options[i].domain == u->domain || options[i].domain == AF_UNSPEC) {
            int r = set_int(u->fd, options[i].level, options[i].name, options[i].value);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int bind_socket(struct udp *u, const struct udp_options *o)
{
    struct endpoint local = { .addr = o->local, .port = o->port };
    struct sockaddr_storage sa;
    socklen_t len;
    int r;

    if (o->interface) {
        u->ifindex = if_nametoindex(o->interface);
        if (u->ifindex == 0)
            return -ENODEV;
        if (setsockopt(u->fd, SOL_SOCKET, SO_BINDTODEVICE, o->interface, (socklen_t)strlen(o->interface)) < 0)
            return -errno;
    }
    if (o->joins && (r = set_int(u->fd, SOL_SOCKET, SO_REUSEPORT, 1)) < 0)
        return r;
    if (o->mark && (r = set_int(u->fd, SOL_SOCKET, SO_MARK, (int)o->mark)) < 0)
        return r;
    local.addr.family = (uint8_t)o->family;
    len = sockaddr_from_endpoint(&local, u->ifindex, &sa);
    if (bind(u->fd, (struct sockaddr *)&sa, len) < 0)
        return -errno;
    len = sizeof(sa);
    if (getsockname(u->fd, (struct sockaddr *)&sa, &len) < 0)
        return -errno;
    r = sockaddr_to_endpoint((struct sockaddr *)&sa, &local);
    u->port = local.port;
    return r;
}

static void init_rx(struct udp *u)
{
    for (size_t i = 0; i < u->batch_max; i++) {
        u->rx_iov[i] = (struct iovec){ u->buffers + i * u->buffer_bytes, u->buffer_bytes };
        u->rx_msgs[i].msg_hdr = (struct msghdr){
            .msg_name = &u->rx_names[i], .msg_iov = &u->rx_iov[i], .msg_iovlen = 1, .msg_control = u->rx_control[i]
        };
    }
}

int udp_open(const struct udp_options *o, struct udp **ret)
{
    struct udp *u;
    int r;

    if ((o->family != ADDR_V4 && o->family != ADDR_V6) ||
        (o->local.family != ADDR_NONE && o->local.family != o->family))
        return -EINVAL;
    u = calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    u->domain = o->family == ADDR_V4 ? AF_INET : AF_INET6;
    u->bound = o->local;
    u->fd = socket(u->domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);
    u->batch_max = o->many ? UDP_MANY_MAX : UDP_BATCH_MAX;
    u->buffer_bytes = o->many ? UDP_MANY_BYTES : UDP_RX_BUFFER_BYTES;
    u->buffers = malloc(u->batch_max * u->buffer_bytes);
    if (u->fd < 0)
        r = -errno;
    else if (!u->buffers)
        r = -ENOMEM;
    else if ((r = set_options(u, o->many)) == 0)
        r = bind_socket(u, o);
    if (r < 0) {
        udp_free(u);
        return r;
    }
    set_buffers(u, o);
    init_rx(u);
    /* A kernel that knows the socket options has the offloads; size 0 leaves segmentation to each send's cmsg. */
    u->gso = !o->many && !o->refuse_gso && set_int(u->fd, SOL_UDP, UDP_SEGMENT, 0) == 0;
    u->gro = !o->many && !o->refuse_gro && set_int(u->fd, SOL_UDP, UDP_GRO, 1) == 0;
    *ret = u;
    return 0;
}

void udp_free(struct udp *u)
{
    if (!u)
        return;
    if (u->fd >= 0)
        close(u->fd);
    free(u->buffers);
    free(u);
}

int udp_share(struct udp *u)
{
    return set_int(u->fd, SOL_SOCKET, SO_REUSEPORT, 1); /* only now: so a port in use was refused */
}

int udp_steer(struct udp *u, const struct udp_steering *s)
{
    /* The program sees the datagram from its payload on; a load beyond the end gives 0. */
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, s->first, 0, 3),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, s->at),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, s->mask),
        BPF_STMT(BPF_RET | BPF_A, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    const struct sock_fprog prog = { .len = ARRAY_LEN(code), .filter = code };

    return setsockopt(u->fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &prog, sizeof(prog)) < 0 ? -errno : 0;
}

int udp_fd(const struct udp *u)
{
    return u->fd;
}

uint16_t udp_local_port(const struct udp *u)
{
    return u->port;
}

struct udp_features udp_features_get(const struct udp *u)
{
    return (struct udp_features){
        .gso = u->gso, .gro = u->gro, .rcvbuf_bytes = u->rcvbuf_bytes, .sndbuf_bytes = u->sndbuf_bytes
    };
}

struct udp_stats udp_stats_get(const struct udp *u)
{
    struct udp_stats stats = u->stats;
    uint32_t meminfo[SK_MEMINFO_VARS] = { 0 };
    socklen_t len = sizeof(meminfo);

    if (getsockopt(u->fd, SOL_SOCKET, SO_MEMINFO, meminfo, &len) == 0)
        stats.rx_queue_drops = meminfo[SK_MEMINFO_DROPS];
    return stats;
}

/* Reads the control messages of one received message into rx. */
static void parse_control(struct msghdr *msg, struct udp_rx *rx)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(c), sizeof(size));
            rx->segment_bytes = (size_t)size < rx->len ? (uint16_t)size : 0;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            rx->local = addr_from_bytes(ADDR_V4, (const uint8_t *)&info.ipi_addr);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            rx->local = addr_from_bytes(ADDR_V6, (const uint8_t *)&info.ipi6_addr);
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            rx->tos = *CMSG_DATA(c);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            int tclass;
            memcpy(&tclass, CMSG_DATA(c), sizeof(tclass));
            rx->tos = (uint8_t)tclass;
        }
    }
}

/* True if an ICMP message may have left this error on the socket: the call itself was not the cause. */
static bool is_soft_error(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case EMSGSIZE:
    case EOPNOTSUPP:
    case ENOPROTOOPT:
    case EPROTO:
    case EACCES:
    case ENONET:
    case EINTR:
        return true;
    default:
        return false;
    }
}

int udp_recv(struct udp *u, struct udp_rx *batch, size_t max)
{
    size_t want = MIN(max, u->batch_max);
    int n = -1, count = 0;

    for (size_t i = 0; i < want; i++) {
        u->rx_msgs[i].msg_hdr.msg_namelen = sizeof(u->rx_names[i]);
        u->rx_msgs[i].msg_hdr.msg_controllen = RX_CONTROL_BYTES;
        u->rx_msgs[i].msg_hdr.msg_flags = 0;
    }
    /* Each queued ICMP error can fail one call: a few retries, then poll says so again. */
    for (int tries = 0; tries < 4 && n < 0; tries++) {
        n = recvmmsg(u->fd, u->rx_msgs, (unsigned)want, MSG_DONTWAIT, NULL);
        if (n < 0) {
            u->maybe_errors = true;
            if (errno == EAGAIN)
                return 0;
            if (!is_soft_error(errno))
                return -errno;
        }
    }
    for (int i = 0; i < n; i++) {
        struct msghdr *msg = &u->rx_msgs[i].msg_hdr;
        struct udp_rx *rx = &batch[count];

        *rx = (struct udp_rx){ .data = u->rx_iov[i].iov_base, .len = u->rx_msgs[i].msg_len, .local = u->bound };
        if ((msg->msg_flags & MSG_TRUNC) || sockaddr_to_endpoint(msg->msg_name, &rx->from) < 0) {
            u->stats.rx_dropped++;
            continue;
        }
        parse_control(msg, rx);
        count++;
    }
    return count;
}

static void *add_control(struct msghdr *msg, int level, int type, const void *data, size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)(void *)((uint8_t *)msg->msg_control + msg->msg_controllen);

    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), data, len);
    msg->msg_controllen += CMSG_SPACE(len);
    return c;
}

/* Control messages that every datagram of tx carries. */
static void build_control(const struct udp *u, const struct udp_tx *tx, struct msghdr *msg)
{
    int tos = tx->tos;

    if (addr_equal(&tx->local, &u->bound)) {
        ; /* the kernel has no other, or is to choose */
    } else if (tx->local.family == ADDR_V4) {
        struct in_pktinfo info = { 0 };
        memcpy(&info.ipi_spec_dst, tx->local.bytes, 4);
        add_control(msg, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    } else if (tx->local.family == ADDR_V6) {
        struct in6_pktinfo info = { .ipi6_ifindex = u->ifindex };
        memcpy(&info.ipi6_addr, tx->local.bytes, 16);
        add_control(msg, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
    if (tos && u->domain == AF_INET)
        add_control(msg, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
    else if (tos)
        add_control(msg, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
}

/* 0 or -errno; a soft error is believed the second time only. */
static int send_one(struct udp *u, const struct msghdr *msg)
{
    for (int tries = 0;; tries++) {
        if (sendmsg(u->fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return 0;
        if (errno == EAGAIN)
            return -EAGAIN;
        if (errno == ENOBUFS) { /* a qdisc's drop, told only because of IP_RECVERR */
            u->stats.tx_queue_drops++;
            return 0;
        }
        u->maybe_errors = true;
        if (tries > 0 || !is_soft_error(errno))
            return -errno;
    }
}

/* Sends data as datagrams of segment bytes, each its own message, and adds what the kernel took to *sent. */
static int send_by_hand(struct udp *u, const struct msghdr *common, const uint8_t *data, size_t len, size_t segment,
                        size_t *sent)
{
    struct mmsghdr msgs[UDP_SEGMENTS_MAX];
    struct iovec iov[UDP_SEGMENTS_MAX];
    size_t at = 0;

    while (at < len) {
        unsigned count = 0;
        size_t next = at;
        int n;

        for (; count < UDP_SEGMENTS_MAX && next < len; count++) {
            size_t size = MIN(segment, len - next);
            iov[count] = (struct iovec){ (void *)(uintptr_t)(data + next), size };
            msgs[count].msg_hdr = *common;
            msgs[count].msg_hdr.msg_iov = &iov[count];
            msgs[count].msg_hdr.msg_iovlen = 1;
            next += size;
        }
        n = sendmmsg(u->fd, msgs, count, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) {
            int r = send_one(u, &msgs[0].msg_hdr);
            if (r < 0)
                return r;
            n = 1;
        }
        for (int i = 0; i < n; i++) {
            at += iov[i].iov_len;
            *sent += iov[i].iov_len;
        }
    }
    return 0;
}

/* One train of at most UDP_SEGMENTS_MAX segments. */
static int send_train(struct udp *u, const struct msghdr *common, const uint8_t *data, size_t len, uint16_t segment,
                      size_t *sent)
{
    int gso_error = 0, r;

    if (u->gso && len > segment) {
        struct iovec iov = { (void *)(uintptr_t)data, len };
        struct msghdr msg = *common;

        msg.msg_iov = &iov;
        msg.msg_iovlen = 1;
        add_control(&msg, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment));
        gso_error = send_one(u, &msg);
        if (gso_error == 0)
            *sent += len;
        if (gso_error != -EIO && gso_error != -EINVAL)
            return gso_error;
    }
    r = send_by_hand(u, common, data, len, segment, sent);
    /* EINVAL may be the destination's or the source's fault as well: then sending by hand fails too. */
    if (r == 0 && gso_error < 0)
        u->gso = false;
    return r;
}

int udp_send(struct udp *u, const struct udp_tx *tx)
{
    _Alignas(struct cmsghdr) uint8_t control[TX_CONTROL_BYTES] = { 0 };
    struct sockaddr_storage to;
    struct msghdr msg = { .msg_name = &to, .msg_control = control };
    size_t sent = 0, train;
    int r = 0;

    msg.msg_namelen = sockaddr_from_endpoint(&tx->to, u->ifindex, &to);
    if (msg.msg_namelen == 0 || to.ss_family != u->domain || tx->to.port == 0)
        return -EINVAL;
    if (tx->local.family != ADDR_NONE && tx->local.family != tx->to.addr.family)
        return -EINVAL;
    build_control(u, tx, &msg);
    if (tx->segment_bytes == 0 || tx->len <= tx->segment_bytes) {
        struct iovec iov = { (void *)(uintptr_t)tx->data, tx->len };
        msg.msg_iov = &iov;
        msg.msg_iovlen = 1;
        return send_one(u, &msg);
    }
    train = MIN((size_t)UDP_SEGMENTS_MAX, (size_t)UDP_TRAIN_BYTES_MAX / tx->segment_bytes);
    train = MAX(train, (size_t)1) * tx->segment_bytes;
    while (sent < tx->len && r == 0)
        r = send_train(u, &msg, tx->data + sent, MIN(train, tx->len - sent), tx->segment_bytes, &sent);
    return r == -EAGAIN && sent > 0 ? (int)sent : r;
}

int udp_reply(struct udp *u, const struct udp_tx *tx)
{
    struct udp_tx anywhere = *tx;
    int r = udp_send(u, tx);

    if ((r != -EINVAL && r != -EADDRNOTAVAIL) || tx->local.family == ADDR_NONE)
        return r;
    anywhere.local = (struct addr){ 0 };
    return udp_send(u, &anywhere);
}

size_t udp_send_many(struct udp *u, const struct udp_tx *batch, size_t count)
{
    _Alignas(struct cmsghdr) uint8_t control[UDP_MANY_MAX][TX_CONTROL_BYTES];
    struct sockaddr_storage to[UDP_MANY_MAX];
    struct mmsghdr msgs[UDP_MANY_MAX];
    struct iovec iov[UDP_MANY_MAX];
    size_t n = MIN(count, (size_t)UDP_MANY_MAX), done = 0;

    for (size_t i = 0; i < n; i++) {
        struct msghdr *msg = &msgs[i].msg_hdr;

        iov[i] = (struct iovec){ (void *)(uintptr_t)batch[i].data, batch[i].len };
        *msg = (struct msghdr){ .msg_name = &to[i], .msg_iov = &iov[i], .msg_iovlen = 1, .msg_control = control[i] };
        msg->msg_namelen = sockaddr_from_endpoint(&batch[i].to, u->ifindex, &to[i]);
        build_control(u, &batch[i], msg);
    }
    while (done < n) {
        int r = sendmmsg(u->fd, msgs + done, (unsigned)(n - done), MSG_DONTWAIT | MSG_NOSIGNAL);

        if (r < 0) {
            r = send_one(u, &msgs[done].msg_hdr);
            if (r == -EAGAIN)
                break;
            if ((r == -EINVAL || r == -EADDRNOTAVAIL) && msgs[done].msg_hdr.msg_controllen > 0) {
                msgs[done].msg_hdr.msg_controllen = 0; /* that address has gone since: as udp_reply */
                msgs[done].msg_hdr.msg_control = NULL;
                continue;
            }
            r = 1; /* it has gone, or it cannot go */
        }
        done += (size_t)r;
    }
    return done;
}

int udp_pop_error(struct udp *u, struct udp_error *ret)
{
    while (u->maybe_errors) {
        _Alignas(struct cmsghdr) uint8_t control[512];
        struct sockaddr_storage name = { 0 };
        struct msghdr msg = {
            .msg_name = &name, .msg_namelen = sizeof(name), .msg_control = control, .msg_controllen = sizeof(control)
        };
        struct udp_error e = { 0 };

        if (recvmsg(u->fd, &msg, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
            u->maybe_errors = false;
            break;
        }
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
            struct sock_extended_err ee;

            if (!(c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) &&
                !(c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR))
                continue;
            memcpy(&ee, CMSG_DATA(c), sizeof(ee));
            e.error = (int)ee.ee_errno;
            e.mtu_bytes = ee.ee_errno == EMSGSIZE ? ee.ee_info : 0;
            e.local = ee.ee_origin == SO_EE_ORIGIN_LOCAL;
        }
        if (e.error == 0)
            continue;
        if (msg.msg_namelen > 0)
            sockaddr_to_endpoint((struct sockaddr *)&name, &e.to);
        *ret = e;
        return 1;
    }
    return 0;
}
