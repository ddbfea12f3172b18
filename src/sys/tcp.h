/* sys/tcp.h - a TCP connection that carries Hawser datagrams where UDP does not pass (wire/carrier.h).
 *
 * It behaves as a datagram socket as far as TCP can: what would have to wait for more than TCP_QUEUE_SPAN before it is
 * first sent is dropped, whole datagrams only, so that delay cannot grow in it and the path above sees the loss.
 * Non-blocking: poll tcp_fd for reading, and for writing while tcp_wants_write. One thread at a time. Once a call
 * returned an error the connection is of no more use: free it. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"

#define TCP_QUEUE_SPAN (50 * MSEC)  /* of unsent bytes at the measured rate */
#define TCP_QUEUE_MIN (8 * 1454)    /* chosen: bytes that may wait whatever the rate is: a train and its neighbour */
#define TCP_QUEUE_MAX (1024 * 1024) /* chosen: 50 ms of 160 Mbit/s; above that the socket is drained fast enough */
#define TCP_DEAD_AFTER (3 * SEC)    /* without an acknowledgement from the other host: the path has long moved on */
#define TCP_READ_BYTES 65536        /* a good size for tcp_read's buffer */

struct tcp;

struct tcp_options {
    const char *interface; /* SO_BINDTODEVICE; NULL: any interface */
    uint32_t mark;         /* SO_MARK (CAP_NET_ADMIN); 0: none */
};

/* Begins to connect; what is sent meanwhile waits, up to 4 KiB. 0, -EINVAL, -ENODEV, -EPERM, -ENETUNREACH or another
 * errno; what fails later is told by the other calls. */
MUST_CHECK int tcp_connect(const struct tcp_options *o, const struct endpoint *to, struct tcp **ret);
/* A listening socket on all addresses of a family (an IPv6 one takes IPv6 only); the caller closes it. 0, -EADDRINUSE,
 * -EACCES or another errno. */
MUST_CHECK int tcp_listen(enum addr_family family, uint16_t port, int *ret_fd);
/* 1: a connection; 0: none waits; -EMFILE and the like: out of resources, do not poll for a while. */
MUST_CHECK int tcp_accept(int listen_fd, struct tcp **ret);
/* Accepts NULL. Closes. */
void tcp_free(struct tcp *t);

int tcp_fd(const struct tcp *t);
const struct endpoint *tcp_remote(const struct tcp *t);
const struct addr *tcp_local(const struct tcp *t); /* ADDR_NONE before it is connected */
bool tcp_is_connected(const struct tcp *t);
bool tcp_wants_write(const struct tcp *t);
/* To be called when the descriptor is readable or writable, first of all. 0 or negative: the connection is over. */
MUST_CHECK int tcp_flush(struct tcp *t);

/* Reads into buf, which must stay until the next tcp_read. 1: ask tcp_next; 0: nothing to read now; negative: over
 * (-ECONNRESET when the other side has closed). */
MUST_CHECK int tcp_read(struct tcp *t, uint8_t *buf, size_t size);
/* The next datagram of what was read, to be changed in place, valid until the next tcp_read. 1; 0: none left, read
 * again; -EPROTO: not a stream of ours. */
MUST_CHECK int tcp_next(struct tcp *t, uint8_t **ret, size_t *ret_len);

/* Datagrams of segment bytes (0: one), the last may be shorter. The number of datagrams that were dropped because too
 * much waits already, or negative: the connection is over. */
MUST_CHECK int tcp_send(struct tcp *t, const uint8_t *data, size_t len, size_t segment, instant now);

struct tcp_stats {
    uint64_t sent, dropped;   /* datagrams */
    size_t unsent, queue_max; /* bytes that the kernel has not sent once yet; how many may be */
};
struct tcp_stats tcp_stats_get(const struct tcp *t);
