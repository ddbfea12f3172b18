/* sys/tcpconn.h - a TCP or MPTCP connection of a path: it carries records behind their lengths (wire/carrier.h), and
 * drops none.
 *
 * How much it should be given, and what it knows of the way, tcpconn_state tells; what it was given and the kernel did
 * not take is kept and goes first. Non-blocking: poll tcpconn_fd for reading, and for writing while
 * tcpconn_wants_write, or to hear that there is room again. One thread at a time. Once a call returned an error the
 * connection is over: free it. */
#pragma once

#include "base/addr.h"
#include "base/instant.h"

#define TCPCONN_QUEUE_SPAN (15 * MSEC)   /* chosen: of the measured rate may wait before it is first sent */
#define TCPCONN_QUEUE_LEAST 16384        /* bytes that may, whatever the rate is */
#define TCPCONN_QUEUE_MOST (1024 * 1024) /* chosen: what more of it would do, the cache undoes */
#define TCPCONN_KEPT_MAX 262144          /* chosen: two outputs of a session; what takes nothing for so long is dead */
#define TCPCONN_DEAD_AFTER (3 * SEC)     /* without an acknowledgement of the other host's */

struct tcpconn;

struct tcpconn_options {
    const char *interface; /* SO_BINDTODEVICE; NULL: any interface */
    bool multipath;        /* MPTCP; the other end may know TCP alone */
};

/* Begins to connect; what is written meanwhile is kept. 0, -EINVAL, -ENODEV, -ENETUNREACH, -EPROTONOSUPPORT (a kernel
 * without MPTCP) or another errno; what fails later is told by the other calls. */
MUST_CHECK int tcpconn_connect(const struct tcpconn_options *o, const struct endpoint *to, struct tcpconn **ret);
/* A listening socket at this address, of whose port the family is `at->addr.family` (an IPv6 one takes IPv6 only); its
 * address may be all zero. The caller closes it. 0, -EADDRINUSE, -EACCES, -EPROTONOSUPPORT or another errno. */
MUST_CHECK int tcpconn_listen(const struct endpoint *at, bool multipath, int *ret_fd);
/* 1: a connection; 0: none waits; -EMFILE and the like: out of resources, do not poll for a while. */
MUST_CHECK int tcpconn_accept(int listen_fd, struct tcpconn **ret);
/* Accepts NULL. Closes: what the kernel has, it sends. */
void tcpconn_free(struct tcpconn *s);

int tcpconn_fd(const struct tcpconn *s);
const struct endpoint *tcpconn_remote(const struct tcpconn *s);
const struct addr *tcpconn_local(const struct tcpconn *s); /* ADDR_NONE before it is connected */
bool tcpconn_is_connected(const struct tcpconn *s);
/* MPTCP is in use: both ends know it. */
bool tcpconn_is_multipath(const struct tcpconn *s);
bool tcpconn_wants_write(const struct tcpconn *s);
/* To be called when the descriptor is writable. 0 or negative: the connection is over. */
MUST_CHECK int tcpconn_flush(struct tcpconn *s);

/* Takes all of it. 0, or negative: over (-ENOBUFS: TCPCONN_KEPT_MAX are kept already). */
MUST_CHECK int tcpconn_write(struct tcpconn *s, const uint8_t *data, size_t len);
/* Reads into buf, of which the beginning is what remained of the read before (tcpconn_keep). size: above the longest
 * record and what is read at once. The number of bytes that stand there now; 0: nothing to read now; negative: over
 * (-ECONNRESET when the other end has closed). */
MUST_CHECK ssize_t tcpconn_read(struct tcpconn *s, uint8_t *buf, size_t size);
/* What was read and is no whole record: it is there again at the next tcpconn_read. At most CARRIER_PREFIX and
 * RECORD_LARGE_MAX bytes. 0 or -ENOMEM: over. */
MUST_CHECK int tcpconn_keep(struct tcpconn *s, const uint8_t *data, size_t len);

struct tcpconn_state {
    bool waits;                /* there is no room: the descriptor will be writable when there is */
    size_t room_bytes;         /* that should be given to it now */
    span rtt, rttvar, min_rtt; /* 0: not known */
    uint64_t rate_bps;         /* 0: not known */
    bool rate_is_lower_bound, troubled;
    uint64_t sent_bytes, resent_bytes, acked_bytes;
};
/* The room is asked for each time, the rest each 10 ms. */
void tcpconn_state(struct tcpconn *s, struct tcpconn_state *ret, instant now);
