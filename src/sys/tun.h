/* sys/tun.h - the tunnel's device: super-packets in and out.
 *
 * A queue of a TUN device, mostly its only one. With the virtio header a read may give, and a write may take, a TCP or
 * UDP super-packet of up to 64 KiB that stands for many packets; without it (an old kernel, or refused for tests) every
 * packet stands for itself. Non-blocking: poll tun_fd for reading. The device is not persistent: it goes with the
 * descriptor, so also after kill -9. Needs CAP_NET_ADMIN. */
#pragma once

#include "base/addr.h"

#include <sys/uio.h>

#define TUN_PACKET_BYTES_MAX 65535 /* a super-packet has an IP length field like any other */
#define TUN_IOV_MAX 130            /* chosen: a header and a payload for 64 segments, and two to spare */
#define TUN_NAME_SIZE 16           /* IFNAMSIZ */
/* chosen: beyond what routers advertise (1024) and what DHCP clients set: any other way that there is comes first */
#define TUN_ROUTE_METRIC 4096
#define TUN_ROUTE_PROTOCOL 190 /* chosen: not 187 of sys/route.h, which hawserd takes for its own; named nowhere */

struct tun;

struct tun_addr {
    struct addr addr;
    uint8_t prefix_len;
};

struct tun_options {
    const char *name;   /* at most 15 bytes; "%d" in it: the kernel chooses a number */
    uint32_t mtu_bytes; /* 0: leave the kernel's 1500 */
    const struct tun_addr *addrs;
    size_t addrs_count;
    bool queues; /* more may be opened: a flow comes out of the queue by which the other direction went in last */
    bool refuse_vnet_hdr, refuse_tso, refuse_uso; /* for tests: as on an older kernel */
};

enum tun_gso { TUN_GSO_NONE, TUN_GSO_TCP4, TUN_GSO_TCP6, TUN_GSO_UDP };

/* The virtio header, decoded. All zero: a plain packet with complete checksums. */
struct tun_meta {
    enum tun_gso gso;
    uint16_t gso_bytes;   /* payload bytes of each segment but the last */
    uint16_t hdr_bytes;   /* IP and transport header; a hint on reading, exact on writing */
    bool needs_csum;      /* the field at csum_start + csum_offset holds the pseudo-header's sum only */
    bool csum_valid;      /* reading: the kernel vouches for the checksums */
    uint16_t csum_start;  /* bytes from the start of the packet */
    uint16_t csum_offset; /* bytes from csum_start */
};

struct tun_features {
    bool vnet_hdr;       /* super-packets may be written, TCP ones at least, and needs_csum may be used */
    bool rx_csum;        /* reads may give needs_csum */
    bool rx_tso, rx_uso; /* reads may give TUN_GSO_TCP4 and 6; TUN_GSO_UDP */
    bool tx_uso;         /* TUN_GSO_UDP may be written */
};

/* 0, -EINVAL (options), -ENOENT or -ENODEV (no /dev/net/tun), -EPERM, -EBUSY (the name is in use), or another errno. */
MUST_CHECK int tun_open(const struct tun_options *o, struct tun **ret);
/* One queue more of a device that was opened with `queues`; it has the offloads of the first. 0 or -errno. The device
 * goes with its last queue. */
MUST_CHECK int tun_open_queue(const struct tun *first, struct tun **ret);
/* Accepts NULL. */
void tun_free(struct tun *t);
int tun_fd(const struct tun *t);
const char *tun_name(const struct tun *t);
int tun_ifindex(const struct tun *t);
struct tun_features tun_features_get(const struct tun *t);
/* Adds an address, or renews it if it is there. 0 or -errno. */
int tun_add_addr(struct tun *t, const struct tun_addr *a);
/* Removes one. 0 or -errno (-EADDRNOTAVAIL: it is not there). */
int tun_del_addr(struct tun *t, const struct tun_addr *a);
/* A route into the device, in the main table, with TUN_ROUTE_METRIC; it goes with the device. from: of packets with
 * this source alone, which it takes before any route to the same prefix that has no source, whatever their metrics;
 * IPv6 in kernels with CONFIG_IPV6_SUBTREES only. NULL: of all. 0 or -errno. */
int tun_add_route(struct tun *t, const struct prefix *to, const struct addr *from);
/* Removes it. 0 or -errno (-ESRCH: it is not there). */
int tun_del_route(struct tun *t, const struct prefix *to, const struct addr *from);
/* Changes the device's MTU. 0 or -errno. */
int tun_set_mtu(struct tun *t, uint32_t mtu_bytes);

/* Reads one (super-)packet. Its length; 0: nothing to read now; -EMSGSIZE: it did not fit size and is lost; another
 * -errno: the device is gone. */
ssize_t tun_read(struct tun *t, void *buf, size_t size, struct tun_meta *ret);
/* Writes one (super-)packet from iov[0..n), n <= TUN_IOV_MAX. NULL meta: a plain packet. 0; -EAGAIN; -EINVAL (the
 * kernel finds packet or meta malformed); -EOPNOTSUPP (meta asks for what tun_features denies); -EIO (the device is
 * not up). */
int tun_write(struct tun *t, const struct iovec *iov, size_t n, const struct tun_meta *meta);
