/* sys/nfqueue.c - see nfqueue.h.
 *
 * Theory of operation. A bind, the copy mode, the length and the flags are requests that the kernel acknowledges; from
 * then on each packet is a message. One verdict answers for all packets up to its number: dropped, which frees the
 * sender's memory as a device would that has sent them.
 *
 * The kernel does not say by how much a super-packet is to be cut. For TCP any length does; datagrams have theirs, so
 * who may get some asks for no super-packets.
 *
 * Sources: linux/netfilter/nfnetlink_queue.h, net/netfilter/nfnetlink_queue.c. */
#include "sys/nfqueue.h"

#include "sys/nlreq.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#define RX_BYTES (NFQUEUE_PACKET_MAX + 1024) /* and what is said of the packet */
#define SOCKET_BYTES (8 * 1024 * 1024)       /* chosen: super-packets of several flows between two wake-ups */

struct nfqueue {
    struct nlreq nl;
    uint16_t number;
    uint32_t last; /* packet number, network order as it comes */
    bool owed;     /* a verdict */
    uint64_t lost;
    uint8_t buf[RX_BYTES];
};

static struct nl_msg *request(const struct nfqueue *q, uint8_t kind)
{
    struct nfgenmsg g = { .nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(q->number) };

    return nlreq_new((uint16_t)(NFNL_SUBSYS_QUEUE << 8 | kind), 0, &g, sizeof(g));
}

static int configure(struct nfqueue *q, bool super)
{
    struct nfqnl_msg_config_cmd bind = { .command = NFQNL_CFG_CMD_BIND, .pf = htons(AF_INET) };
    struct nfqnl_msg_config_params params = { .copy_range = htonl(0xffff), .copy_mode = NFQNL_COPY_PACKET };
    struct nl_msg *msg = request(q, NFQNL_MSG_CONFIG);
    int r;

    if (msg && nla_put(msg, NFQA_CFG_CMD, sizeof(bind), &bind) < 0) {
        nlmsg_free(msg);
        return -ENOMEM;
    }
    r = nlreq_talk(&q->nl, msg);
    if (r < 0)
        return r == -EINVAL ? -EOPNOTSUPP : r; /* what the kernel says of a family of messages that it does not know */
    msg = request(q, NFQNL_MSG_CONFIG);
    if (msg && (nla_put(msg, NFQA_CFG_PARAMS, sizeof(params), &params) < 0 ||
                nla_put_u32(msg, NFQA_CFG_QUEUE_MAXLEN, htonl(NFQUEUE_WAITING_MAX)) < 0 ||
                nla_put_u32(msg, NFQA_CFG_FLAGS, htonl(super ? NFQA_CFG_F_GSO : 0)) < 0 ||
                nla_put_u32(msg, NFQA_CFG_MASK, htonl(NFQA_CFG_F_GSO)) < 0)) {
        nlmsg_free(msg);
        return -ENOMEM;
    }
    return nlreq_talk(&q->nl, msg);
}

int nfqueue_open(uint16_t number, bool super, struct nfqueue **ret)
{
    struct nfqueue *q = calloc(1, sizeof(*q));
    int size = SOCKET_BYTES, r;

    if (!q)
        return -ENOMEM;
    q->number = number;
    r = nlreq_open(NETLINK_NETFILTER, false, NULL, &q->nl);
    if (r < 0) {
        free(q);
        return r == -EPROTONOSUPPORT ? -EOPNOTSUPP : r;
    }
    setsockopt(q->nl.fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)); /* less will do */
    r = configure(q, super);
    if (r < 0) {
        nfqueue_free(q);
        return r;
    }
    *ret = q;
    return 0;
}

void nfqueue_free(struct nfqueue *q)
{
    if (!q)
        return;
    nlreq_close(&q->nl);
    free(q);
}

int nfqueue_fd(const struct nfqueue *q)
{
    return q->nl.fd;
}

uint64_t nfqueue_lost(const struct nfqueue *q)
{
    return q->lost;
}

/* False: it is no packet, or not a whole one. */
static bool read_packet(struct nfqueue *q, struct nlmsghdr *h, struct nfqueue_packet *ret)
{
    struct nlattr *a[NFQA_MAX + 1];
    struct nfqnl_msg_packet_hdr id;
    uint32_t info;

    if (h->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET) ||
        nlmsg_parse(h, sizeof(struct nfgenmsg), a, NFQA_MAX, NULL) < 0 || !a[NFQA_PACKET_HDR] || !a[NFQA_PAYLOAD] ||
        nla_len(a[NFQA_PACKET_HDR]) < (int)sizeof(id))
        return false;
    memcpy(&id, nla_data(a[NFQA_PACKET_HDR]), sizeof(id));
    q->last = id.packet_id;
    q->owed = true;
    if (a[NFQA_CAP_LEN]) { /* longer than came */
        q->lost++;
        return false;
    }
    info = a[NFQA_SKB_INFO] ? ntohl(nla_get_u32(a[NFQA_SKB_INFO])) : 0;
    *ret = (struct nfqueue_packet){ .data = nla_data(a[NFQA_PAYLOAD]),
                                    .len = (size_t)nla_len(a[NFQA_PAYLOAD]),
                                    .super = (info & NFQA_SKB_GSO) != 0,
                                    .needs_csum = (info & NFQA_SKB_CSUMNOTREADY) != 0 };
    return true;
}

int nfqueue_next(struct nfqueue *q, struct nfqueue_packet *ret)
{
    for (;;) {
        ssize_t n = recv(q->nl.fd, q->buf, sizeof(q->buf), MSG_DONTWAIT);
        struct nlmsghdr *h = (struct nlmsghdr *)(void *)q->buf;

        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n < 0 && errno == ENOBUFS) { /* the kernel had no room for one, and dropped it */
            q->lost++;
            continue;
        }
        if (n < 0 && errno != EINTR)
            return -errno;
        /* The kernel sends a packet a message, alone. */
        if (n > 0 && nlmsg_ok(h, (int)n) && read_packet(q, h, ret))
            return 1;
    }
}

int nfqueue_keep(struct nfqueue *q)
{
    struct nfqnl_msg_verdict_hdr verdict = { .verdict = htonl(NF_DROP), .id = q->last };
    struct nl_msg *msg;
    int r = 0;

    if (!q->owed)
        return 0;
    msg = request(q, NFQNL_MSG_VERDICT_BATCH);
    if (!msg)
        return -ENOMEM;
    if (nla_put(msg, NFQA_VERDICT_HDR, sizeof(verdict), &verdict) < 0)
        r = -ENOMEM;
    /* Unanswered unless it is wrong. */
    if (r == 0 && send(q->nl.fd, nlmsg_hdr(msg), nlmsg_hdr(msg)->nlmsg_len, MSG_NOSIGNAL) < 0)
        r = errno == ENOBUFS ? -ENOMEM : -errno;
    q->owed = r < 0;
    nlmsg_free(msg);
    return r;
}
