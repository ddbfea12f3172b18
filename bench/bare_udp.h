/* bench/bare_udp.h - trains of datagrams by one UDP socket over IPv4, and nothing else: for what Hawser is measured
 * against. */
#pragma once

#include <netinet/in.h>

#include "base/base.h"

#define BARE_TRAIN_MAX 64    /* packets: UDP_MAX_SEGMENTS of Linux before 6.9 */
#define BARE_RX_BATCH 64     /* chosen: trains, or datagrams without GRO, a recvmmsg */
#define BARE_RX_BYTES 65536u /* the largest UDP payload */

struct bare_udp {
    int fd;
    bool gso, gro; /* set before bare_udp_open */
    uint8_t rx[BARE_RX_BATCH][BARE_RX_BYTES];
};

/* A train: datagrams of `each` bytes, of which the last may be shorter. The bytes may be changed in place. */
typedef void (*bare_train_fn)(void *ctx, uint8_t *data, size_t len, size_t each, const struct sockaddr_in *from);

/* ADDRESS:PORT; ends the program if it is none. */
struct sockaddr_in bare_udp_address(const char *text);
/* Bound to `at` and, unless that is NULL, connected to `to`. 0, or -1 and errno. */
int bare_udp_open(struct bare_udp *u, const struct sockaddr_in *at, const struct sockaddr_in *to);
/* At most BARE_TRAIN_MAX datagrams, to the peer if `to` is NULL. What a full socket does not take, and what is for a
 * peer that is not there yet, is lost, as on a wire. */
void bare_udp_send(const struct bare_udp *u, uint8_t *data, size_t len, size_t each, const struct sockaddr_in *to);
/* One recvmmsg of what waits. */
void bare_udp_receive(struct bare_udp *u, bare_train_fn fn, void *ctx);
