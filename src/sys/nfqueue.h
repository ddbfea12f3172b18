/* sys/nfqueue.h - packets that a rule with the target NFQUEUE gives to this program, which keeps them.
 *
 * By netlink alone: libnetfilter-queue's licence is not for programs like ours. Needs CAP_NET_ADMIN. Non-blocking: poll
 * nfqueue_fd for reading. The queue goes with the descriptor, so also after kill -9. */
#pragma once

#include "base/base.h"

#define NFQUEUE_BATCH 64          /* chosen: packets between two verdicts; as udp_recv's datagrams */
#define NFQUEUE_PACKET_MAX 65531  /* bytes: of a netlink attribute */
#define NFQUEUE_WAITING_MAX 4096u /* chosen: packets in the kernel, beyond which new ones are lost */

struct nfqueue;

struct nfqueue_packet {
    const uint8_t *data; /* from the IP header on; until the next call */
    size_t len;
    bool super;      /* longer than the link takes: to be cut */
    bool needs_csum; /* its transport checksum is that of the pseudo-header alone */
};

/* `super`: packets that the stack leaves to a device to cut come whole, with their checksums not made; otherwise every
 * packet is as on the wire. 0, -EBUSY (another program has the queue), -EOPNOTSUPP (the kernel has no queues), -EPERM
 * or another -errno. */
MUST_CHECK int nfqueue_open(uint16_t number, bool super, struct nfqueue **ret);
/* Accepts NULL. What waits passes on. */
void nfqueue_free(struct nfqueue *q);
int nfqueue_fd(const struct nfqueue *q);
/* The next packet. 1; 0: none now; or -errno: the queue is of no more use. A packet that was cut off on the way is
 * counted and passed over. */
int nfqueue_next(struct nfqueue *q, struct nfqueue_packet *ret);
/* The kernel may forget the packets that nfqueue_next gave: they do not go on by themselves. At most NFQUEUE_BATCH
 * packets after the last call. 0, -ENOMEM (they wait, and the next call is of them too) or another -errno. */
MUST_CHECK int nfqueue_keep(struct nfqueue *q);
/* Packets that were lost before they came to nfqueue_next: cut off, or the socket was full. */
uint64_t nfqueue_lost(const struct nfqueue *q);
