/* sys/udp.h - one UDP socket of one uplink, with segmentation offload in both directions.
 *
 * A socket serves one address family. It never lets the kernel fragment, learns the local address that each datagram
 * was sent to, and reports ICMP errors with the destination that they concern. Non-blocking: poll udp_fd for reading,
 * and for writing after -EAGAIN. With libuv always poll UV_READABLE | UV_PRIORITIZED: an ICMP error wakes the poller
 * with POLLERR | POLLPRI, and libuv gives a handle up for good at a POLLERR without POLLPRI. One thread at a time.
 *
 * A link-local IPv6 destination needs a socket that is bound to its interface: endpoints carry no scope. */
#pragma once

#include "base/addr.h"

#define UDP_BATCH_MAX 16                  /* super-datagrams a udp_recv: chosen: 1 MiB of buffers a socket */
#define UDP_MANY_MAX 64                   /* datagrams a udp_recv or udp_send_many of a socket of `many`: chosen */
#define UDP_MANY_BYTES 2048               /* the longest that such a socket takes */
#define UDP_RX_BUFFER_BYTES 65536         /* the largest UDP payload, and so the largest GRO train */
#define UDP_SEGMENTS_MAX 64               /* a UDP_SEGMENT send: UDP_MAX_SEGMENTS of Linux before 6.9 */
#define UDP_TRAIN_BYTES_MAX 65000         /* chosen: below 65535 less IPv6, extension and UDP headers */
#define UDP_SOCKET_BUFFER_BYTES (4 << 20) /* chosen: 30 ms of 1 Gbit/s */

struct udp;

struct udp_options {
    enum addr_family family;        /* ADDR_V4 or ADDR_V6 (then IPv6 only) */
    struct addr local;              /* ADDR_NONE: any address of the family */
    uint16_t port;                  /* host order; 0: the kernel chooses */
    const char *interface;          /* SO_BINDTODEVICE; NULL: any interface */
    uint32_t mark;                  /* SO_MARK (CAP_NET_ADMIN); 0: none */
    int rcvbuf_bytes, sndbuf_bytes; /* 0: UDP_SOCKET_BUFFER_BYTES; beyond the system's limit only with CAP_NET_ADMIN */
    bool joins;                     /* a port that udp_share made common */
    bool many; /* for short datagrams of many peers: UDP_MANY_MAX buffers of UDP_MANY_BYTES, and no offloads */
    bool refuse_gso, refuse_gro; /* for tests: behave as on a kernel without the offload */
};

/* Which of the sockets of a common port gets a datagram: that whose number, in the order of opening, is the byte `at`
 * masked, if the first byte is `first`; else number 0. */
struct udp_steering {
    uint8_t first, at, mask;
};

/* One datagram, or several of one sender in one buffer. Valid until the next udp_recv. */
struct udp_rx {
    uint8_t *data; /* owned by the socket; may be changed in place */
    size_t len;
    uint16_t segment_bytes; /* 0: one datagram; otherwise each datagram but the last has this length */
    struct endpoint from;
    struct addr local; /* the address that the datagram was sent to */
    uint8_t tos;       /* DSCP and ECN */
};

struct udp_tx {
    const uint8_t *data;
    size_t len;
    uint16_t segment_bytes; /* 0: one datagram; otherwise cut into datagrams of this length, the last may be shorter */
    struct endpoint to;
    struct addr local; /* source address; ADDR_NONE: the kernel chooses */
    uint8_t tos;
};

/* An ICMP error, or a local one, about an earlier datagram. */
struct udp_error {
    struct endpoint to; /* where that datagram went; ADDR_NONE if not known */
    int error;          /* positive errno: ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, EMSGSIZE, ... */
    uint32_t mtu_bytes; /* with EMSGSIZE: the next hop's MTU as claimed (unauthenticated); otherwise 0 */
    bool local;         /* said by this host, not by the network */
};

struct udp_features {
    bool gso, gro;                  /* in use now; gso goes false when a device turns out to lack it */
    int rcvbuf_bytes, sndbuf_bytes; /* as granted (the kernel counts its own overhead in them) */
};

struct udp_stats {
    uint64_t tx_queue_drops; /* sends that a full queue of this host (a qdisc) dropped; a whole train counts once */
    uint64_t rx_queue_drops; /* arrived while the socket's receive buffer was full (the kernel's count, 32 bits) */
    uint64_t rx_dropped;     /* received, but longer than a buffer or without a usable sender */
};

/* 0, -EINVAL (options), -ENODEV (interface), -EADDRINUSE, -EADDRNOTAVAIL, -EPERM (mark), -ENOMEM or another errno. */
MUST_CHECK int udp_open(const struct udp_options *o, struct udp **ret);
/* Accepts NULL. */
void udp_free(struct udp *u);
/* Lets more sockets of this process join the port, which nobody else has: 0 or -errno. */
MUST_CHECK int udp_share(struct udp *u);
/* After the last has joined; any of them. 0 or -errno: datagrams go to any socket then. */
MUST_CHECK int udp_steer(struct udp *u, const struct udp_steering *s);
int udp_fd(const struct udp *u);
/* The bound port in host order. */
uint16_t udp_local_port(const struct udp *u);
struct udp_features udp_features_get(const struct udp *u);
struct udp_stats udp_stats_get(const struct udp *u);

/* Fills batch[0..max) (at most UDP_BATCH_MAX are used, UDP_MANY_MAX of a socket of `many`) and returns how many; 0:
 * nothing to read now. Pending ICMP errors are left for udp_pop_error and never end a batch. Negative errno: the socket
 * is dead. */
int udp_recv(struct udp *u, struct udp_rx *batch, size_t max);

/* 0: all was handed to the kernel. Positive: that many bytes (whole segments) were, then the socket buffer was full;
 * send the rest later. -EAGAIN: nothing was sent, the buffer is full. -EMSGSIZE: a segment exceeds the interface's MTU.
 * -ENETUNREACH, -EHOSTUNREACH, -EADDRNOTAVAIL, -ENODEV, -EPERM (a firewall), -EINVAL (tx, or the source address is not
 * ours) as the kernel says; earlier segments of the train may have left. What a full queue of this host drops is lost
 * like anything that a queue further on drops, and counted in udp_stats: waiting for POLLOUT would not help. */
int udp_send(struct udp *u, const struct udp_tx *tx);

/* As udp_send, but a source address that is not ours any more is left to the kernel: for an answer to whoever asked at
 * an address that has gone since. */
int udp_reply(struct udp *u, const struct udp_tx *tx);

/* Sends datagrams to wherever each goes, by one system call for at most UDP_MANY_MAX (those after are not looked at);
 * segment_bytes is 0. How many are done with: handed to the kernel, or dropped since they cannot go, for a reason that
 * udp_pop_error may tell; less than count: the socket buffer is full. */
size_t udp_send_many(struct udp *u, const struct udp_tx *batch, size_t count);

/* 1: *ret is filled; 0: no more. Ask after each udp_recv and after each failed udp_send, until 0; costs no system call
 * when nothing hints at an error. */
int udp_pop_error(struct udp *u, struct udp_error *ret);
