/* Netlink requests.
 *
 * Theory of operation. Each request carries its own sequence number; answers with another one (late answers to a
 * request that failed half-way) are skipped. The socket asks for strict checking, so that a dump filter is honoured
 * or refused, never ignored.
 *
 * Limits: a message of at most 64 KiB is received at once (the kernel's dumps use at most 32 KiB). An answer must come
 * within 5 s.
 * Sources: netlink(7), rtnetlink(7), RFC 3549; include/uapi/linux/netlink.h. */
#include "sys/nlreq.h"

#include <errno.h>
#include <netlink/msg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define RX_BYTES 65536

int nlreq_open(int protocol, bool nonblocking, const int *groups, struct nlreq *ret)
{
    struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
    struct timeval patience = { .tv_sec = 5 };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), protocol);
    int one = 1, r = 0;

    if (fd < 0)
        return -errno;
    /* All are refinements that an older kernel may lack. */
    setsockopt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SELECT_ERR_QUEUE, &one, sizeof(one)); /* POLLPRI beside POLLERR, for libuv */
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
        r = -errno;
    for (; r == 0 && groups && *groups; groups++) {
        if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, groups, sizeof(*groups)) < 0)
            r = -errno;
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    *ret = (struct nlreq){ .fd = fd };
    return 0;
}

void nlreq_close(struct nlreq *nl)
{
    if (nl->fd >= 0)
        close(nl->fd);
    nl->fd = -1;
}

struct nl_msg *nlreq_new(uint16_t type, uint16_t flags, const void *payload, size_t len)
{
    struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);

    if (msg && nlmsg_append(msg, (void *)(uintptr_t)payload, len, NLMSG_ALIGNTO) < 0) {
        nlmsg_free(msg);
        return NULL;
    }
    return msg;
}

static int send_request(struct nlreq *nl, struct nl_msg *msg)
{
    struct nlmsghdr *h;
    int r = 0;

    if (!msg)
        return -ENOMEM;
    h = nlmsg_hdr(msg);
    h->nlmsg_seq = ++nl->seq;
    h->nlmsg_pid = 0;
    if (send(nl->fd, h, h->nlmsg_len, MSG_NOSIGNAL) < 0)
        r = -errno;
    nlmsg_free(msg);
    return r;
}

/* Reads answers until an acknowledgement, an error or the end of the dump. */
static int read_answers(struct nlreq *nl, nlreq_dump_fn *fn, void *ctx)
{
    uint8_t *buf CLEANUP(cleanup_free) = malloc(RX_BYTES);
    bool interrupted = false;

    if (!buf)
        return -ENOMEM;
    for (;;) {
        ssize_t n = recv(nl->fd, buf, RX_BYTES, 0);
        int left = (int)n;

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        for (struct nlmsghdr *h = (struct nlmsghdr *)(void *)buf; nlmsg_ok(h, left); h = nlmsg_next(h, &left)) {
            int r;

            if (h->nlmsg_seq != nl->seq)
                continue;
            interrupted |= (h->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
            if (h->nlmsg_type == NLMSG_ERROR || h->nlmsg_type == NLMSG_DONE) {
                /* Both start with an error number; a DONE without one is success. */
                int error = 0;
                if (nlmsg_datalen(h) >= (int)sizeof(error))
                    memcpy(&error, nlmsg_data(h), sizeof(error));
                return error < 0 ? error : interrupted ? -EINTR : 0;
            }
            if (fn && (r = fn(ctx, h)) < 0)
                return r;
        }
    }
}

int nlreq_talk(struct nlreq *nl, struct nl_msg *msg)
{
    int r;

    if (msg)
        nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_ACK;
    r = send_request(nl, msg);
    return r < 0 ? r : read_answers(nl, NULL, NULL);
}

int nlreq_dump(struct nlreq *nl, struct nl_msg *msg, nlreq_dump_fn *fn, void *ctx)
{
    int r;

    if (msg)
        nlmsg_hdr(msg)->nlmsg_flags |= NLM_F_DUMP;
    r = send_request(nl, msg);
    return r < 0 ? r : read_answers(nl, fn, ctx);
}
