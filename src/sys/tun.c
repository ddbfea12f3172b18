/* TUN device with the virtio network header.
 *
 * Theory of operation. tun_open tries IFF_VNET_HDR and, if that is refused, opens without it. TUNSETOFFLOAD then says
 * what reads may give us; it is tried from the fullest set (checksum, TSO, USO) down to none, one step each. What may
 * be written depends on the kernel only: TCP super-packets with any virtio header, UDP ones (VIRTIO_NET_HDR_GSO_UDP_L4)
 * from the same release that knows USO (6.2). ECN-marked TCP super-packets are left to the kernel to cut
 * (TUN_F_TSO_ECN is not asked for), since CWR belongs to a train's first segment only.
 *
 * The device makes no link-local address of its own, so that nothing but tunnelled packets leaves it.
 *
 * Limits: packets of 65535 bytes, 130 pieces a write.
 * Sources: Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h, virtio 1.2 section 5.1.6. */
#include "sys/tun.h"

#include "sys/nlreq.h"
#include "sys/sockaddr.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Newer than the oldest kernel headers that we build with. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* As an Ethernet has; the kernel gives a TUN 500. It fills only while we are not given the processor. */
#define QUEUE_PKTS 1000

struct tun {
    int fd;
    int ifindex;
    char name[TUN_NAME_SIZE];
    struct tun_features features;
};

static int set_offload(struct tun *t, const struct tun_options *o)
{
    static const struct {
        unsigned long flags;
        bool tso, uso;
    } ladder[] = {
        { TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6, true, true },
        { TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6, true, false },
        { TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6, false, true },
        { TUN_F_CSUM, false, false },
    };

    for (size_t i = 0; i < ARRAY_LEN(ladder); i++) {
        if ((ladder[i].tso && o->refuse_tso) || (ladder[i].uso && o->refuse_uso))
            continue;
        if (ioctl(t->fd, TUNSETOFFLOAD, ladder[i].flags) == 0) {
            t->features.rx_csum = true;
            t->features.rx_tso = ladder[i].tso;
            t->features.rx_uso = t->features.tx_uso = ladder[i].uso;
            return 0;
        }
    }
    return ioctl(t->fd, TUNSETOFFLOAD, 0ul) == 0 ? 0 : -errno;
}

static int attach(struct tun *t, const struct tun_options *o)
{
    const short plain = (short)(IFF_TUN | IFF_NO_PI | (o->queues ? IFF_MULTI_QUEUE : 0));
    struct ifreq ifr = { .ifr_flags = (short)(plain | IFF_VNET_HDR) };

    strncpy(ifr.ifr_name, o->name, sizeof(ifr.ifr_name) - 1);
    t->features.vnet_hdr = !o->refuse_vnet_hdr;
    if (o->refuse_vnet_hdr)
        ifr.ifr_flags = plain;
    if (ioctl(t->fd, TUNSETIFF, &ifr) < 0) {
        if (errno != EINVAL || o->refuse_vnet_hdr)
            return -errno;
        ifr.ifr_flags = plain;
        t->features.vnet_hdr = false;
        if (ioctl(t->fd, TUNSETIFF, &ifr) < 0)
            return -errno;
    }
    memcpy(t->name, ifr.ifr_name, sizeof(t->name));
    t->name[sizeof(t->name) - 1] = '\0';
    t->ifindex = (int)if_nametoindex(t->name);
    if (t->ifindex == 0)
        return -errno;
    return t->features.vnet_hdr ? set_offload(t, o) : 0;
}

/* Changes the link: MTU unless 0, and up with no automatic link-local address when `up`. */
static int set_link(const struct tun *t, struct nlreq *nl, uint32_t mtu_bytes, bool up)
{
    struct ifinfomsg ifi = { .ifi_index = t->ifindex, .ifi_flags = up ? IFF_UP : 0, .ifi_change = up ? IFF_UP : 0 };
    struct nl_msg *msg = nlreq_new(RTM_NEWLINK, 0, &ifi, sizeof(ifi));

    if (msg && mtu_bytes)
        nla_put_u32(msg, IFLA_MTU, mtu_bytes);
    if (msg && up)
        nla_put_u32(msg, IFLA_TXQLEN, QUEUE_PKTS);
    return nlreq_talk(nl, msg);
}

static int set_no_link_local(const struct tun *t, struct nlreq *nl)
{
    struct ifinfomsg ifi = { .ifi_index = t->ifindex };
    struct nl_msg *msg = nlreq_new(RTM_NEWLINK, 0, &ifi, sizeof(ifi));
    struct nlattr *spec, *v6;

    if (msg && (spec = nla_nest_start(msg, IFLA_AF_SPEC)) && (v6 = nla_nest_start(msg, AF_INET6))) {
        nla_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
        nla_nest_end(msg, v6);
        nla_nest_end(msg, spec);
    }
    return nlreq_talk(nl, msg);
}

static int change_addr(const struct tun *t, struct nlreq *nl, const struct tun_addr *a, bool add)
{
    struct ifaddrmsg ifa = { .ifa_family = (uint8_t)sockaddr_family(&a->addr),
                             .ifa_prefixlen = a->prefix_len,
                             .ifa_index = (unsigned)t->ifindex };
    size_t len = addr_bytes_len(&a->addr);
    struct nl_msg *msg;

    if (len == 0 || a->prefix_len > addr_bits(&a->addr))
        return -EINVAL;
    msg = add ? nlreq_new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &ifa, sizeof(ifa))
              : nlreq_new(RTM_DELADDR, 0, &ifa, sizeof(ifa));
    if (msg) {
        nla_put(msg, IFA_LOCAL, (int)len, a->addr.bytes);
        nla_put(msg, IFA_ADDRESS, (int)len, a->addr.bytes);
        if (add && a->addr.family == ADDR_V6) /* there is nobody to collide with */
            nla_put_u32(msg, IFA_FLAGS, IFA_F_NODAD);
    }
    return nlreq_talk(nl, msg);
}

static int configure(const struct tun *t, const struct tun_options *o)
{
    struct nlreq nl;
    int r = nlreq_open(NETLINK_ROUTE, false, NULL, &nl);

    if (r < 0)
        return r;
    set_no_link_local(t, &nl); /* fails on a host without IPv6, where there is nothing to prevent */
    r = set_link(t, &nl, o->mtu_bytes, false);
    for (size_t i = 0; r == 0 && i < o->addrs_count; i++)
        r = change_addr(t, &nl, &o->addrs[i], true);
    if (r == 0)
        r = set_link(t, &nl, 0, true);
    nlreq_close(&nl);
    return r;
}

int tun_open(const struct tun_options *o, struct tun **ret)
{
    struct tun *t;
    int r = 0;

    if (!o->name || strlen(o->name) == 0 || strlen(o->name) >= TUN_NAME_SIZE)
        return -EINVAL;
    t = calloc(1, sizeof(*t));
    if (!t)
        return -ENOMEM;
    t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (t->fd < 0)
        r = -errno;
    if (r == 0)
        r = attach(t, o);
    if (r == 0)
        r = configure(t, o);
    if (r < 0) {
        tun_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

int tun_open_queue(const struct tun *first, struct tun **ret)
{
    struct ifreq ifr = { .ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE |
                                              (first->features.vnet_hdr ? IFF_VNET_HDR : 0)) };
    struct tun *t = calloc(1, sizeof(*t));
    int r = 0;

    if (!t)
        return -ENOMEM;
    *t = *first; /* offloads are the device's */
    t->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    memcpy(ifr.ifr_name, first->name, sizeof(ifr.ifr_name));
    if (t->fd < 0 || ioctl(t->fd, TUNSETIFF, &ifr) < 0)
        r = -errno;
    if (r < 0) {
        tun_free(t);
        return r;
    }
    *ret = t;
    return 0;
}

void tun_free(struct tun *t)
{
    if (!t)
        return;
    if (t->fd >= 0)
        close(t->fd);
    free(t);
}

int tun_fd(const struct tun *t)
{
    return t->fd;
}

const char *tun_name(const struct tun *t)
{
    return t->name;
}

int tun_ifindex(const struct tun *t)
{
    return t->ifindex;
}

struct tun_features tun_features_get(const struct tun *t)
{
    return t->features;
}

static int talk_addr(struct tun *t, const struct tun_addr *a, bool add)
{
    struct nlreq nl;
    int r = nlreq_open(NETLINK_ROUTE, false, NULL, &nl);

    if (r < 0)
        return r;
    r = change_addr(t, &nl, a, add);
    nlreq_close(&nl);
    return r;
}

int tun_add_addr(struct tun *t, const struct tun_addr *a)
{
    return talk_addr(t, a, true);
}

int tun_del_addr(struct tun *t, const struct tun_addr *a)
{
    return talk_addr(t, a, false);
}

static int change_route(const struct tun *t, const struct prefix *to, const struct addr *from, bool add)
{
    struct rtmsg rtm = { .rtm_family = (uint8_t)sockaddr_family(&to->addr),
                         .rtm_dst_len = to->len,
                         .rtm_src_len = from ? (uint8_t)addr_bits(from) : 0,
                         .rtm_table = RT_TABLE_MAIN,
                         .rtm_protocol = TUN_ROUTE_PROTOCOL,
                         .rtm_scope = to->addr.family == ADDR_V4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
                         .rtm_type = RTN_UNICAST };
    struct nl_msg *msg = add ? nlreq_new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &rtm, sizeof(rtm))
                             : nlreq_new(RTM_DELROUTE, 0, &rtm, sizeof(rtm));
    struct nlreq nl;
    int r = nlreq_open(NETLINK_ROUTE, false, NULL, &nl);

    if (r < 0) {
        nlmsg_free(msg);
        return r;
    }
    if (msg) {
        nla_put(msg, RTA_DST, (int)addr_bytes_len(&to->addr), to->addr.bytes);
        nla_put_u32(msg, RTA_OIF, (uint32_t)t->ifindex);
        nla_put_u32(msg, RTA_PRIORITY, TUN_ROUTE_METRIC);
        if (from)
            nla_put(msg, RTA_SRC, (int)addr_bytes_len(from), from->bytes);
    }
    r = nlreq_talk(&nl, msg);
    nlreq_close(&nl);
    return r;
}

int tun_add_route(struct tun *t, const struct prefix *to, const struct addr *from)
{
    return change_route(t, to, from, true);
}

int tun_del_route(struct tun *t, const struct prefix *to, const struct addr *from)
{
    return change_route(t, to, from, false);
}

int tun_set_mtu(struct tun *t, uint32_t mtu_bytes)
{
    struct nlreq nl;
    int r = nlreq_open(NETLINK_ROUTE, false, NULL, &nl);

    if (r < 0)
        return r;
    r = set_link(t, &nl, mtu_bytes, false);
    nlreq_close(&nl);
    return r;
}

/* 0, or -EPROTO for a kind of super-packet that was not asked for. */
static int decode_header(const struct virtio_net_hdr *h, struct tun_meta *ret)
{
    struct tun_meta m = { .gso_bytes = h->gso_size,
                          .hdr_bytes = h->hdr_len,
                          .needs_csum = (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0,
                          .csum_valid = (h->flags & VIRTIO_NET_HDR_F_DATA_VALID) != 0,
                          .csum_start = h->csum_start,
                          .csum_offset = h->csum_offset };

    switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
        m.gso = TUN_GSO_NONE;
        break;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        m.gso = TUN_GSO_TCP4;
        break;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        m.gso = TUN_GSO_TCP6;
        break;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        m.gso = TUN_GSO_UDP;
        break;
    default:
        return -EPROTO;
    }
    *ret = m;
    return 0;
}

static struct virtio_net_hdr encode_header(const struct tun_meta *m)
{
    static const uint8_t types[] = { [TUN_GSO_NONE] = VIRTIO_NET_HDR_GSO_NONE,
                                     [TUN_GSO_TCP4] = VIRTIO_NET_HDR_GSO_TCPV4,
                                     [TUN_GSO_TCP6] = VIRTIO_NET_HDR_GSO_TCPV6,
                                     [TUN_GSO_UDP] = VIRTIO_NET_HDR_GSO_UDP_L4 };

    return (struct virtio_net_hdr){ .flags = m->needs_csum ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0,
                                    .gso_type = types[m->gso],
                                    .gso_size = m->gso_bytes,
                                    .hdr_len = m->hdr_bytes,
                                    .csum_start = m->csum_start,
                                    .csum_offset = m->csum_offset };
}

ssize_t tun_read(struct tun *t, void *buf, size_t size, struct tun_meta *ret)
{
    struct virtio_net_hdr h = { 0 };
    uint8_t beyond; /* one byte more than the caller has, to notice that the packet was cut */
    struct iovec iov[3] = { { &h, sizeof(h) }, { buf, size }, { &beyond, 1 } };
    size_t skip = t->features.vnet_hdr ? 0 : 1, head = t->features.vnet_hdr ? sizeof(h) : 0;

    for (;;) {
        ssize_t n = readv(t->fd, iov + skip, (int)(3 - skip));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? 0 : -errno;
        if ((size_t)n <= head)
            continue;
        if ((size_t)n > head + size)
            return -EMSGSIZE;
        *ret = (struct tun_meta){ 0 };
        if (t->features.vnet_hdr && decode_header(&h, ret) < 0)
            continue;
        return n - (ssize_t)head;
    }
}

int tun_write(struct tun *t, const struct iovec *iov, size_t n, const struct tun_meta *meta)
{
    static const struct tun_meta plain;
    const struct tun_meta *m = meta ? meta : &plain;
    struct iovec all[TUN_IOV_MAX + 1];
    struct virtio_net_hdr h;
    size_t count = 0;

    if (n > TUN_IOV_MAX || n == 0 || m->gso > TUN_GSO_UDP)
        return -EINVAL;
    if ((m->needs_csum || m->gso != TUN_GSO_NONE) && !t->features.vnet_hdr)
        return -EOPNOTSUPP;
    if (m->gso == TUN_GSO_UDP && !t->features.tx_uso)
        return -EOPNOTSUPP;
    if (t->features.vnet_hdr) {
        h = encode_header(m);
        all[count++] = (struct iovec){ &h, sizeof(h) };
    }
    memcpy(all + count, iov, n * sizeof(*iov));
    count += n;
    for (;;) {
        if (writev(t->fd, all, (int)count) >= 0)
            return 0;
        if (errno != EINTR)
            return -errno;
    }
}
