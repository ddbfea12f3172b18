/* bench/bare-hop.c - the least that a hop in user space does: trains that one of two peers sends go to the other.
 *
 * usage: bench-bare-hop LOCAL:PORT PEER:PORT PEER:PORT, IPv4. It runs until it is killed.
 *
 * Between two bench-bare-loops --unsealed it is the limit of what goes through client, gateway and router: the same
 * number of processes, sockets and devices, the same offloads, and no shim, cookie, table or checksum. */
#include "bench/bare_udp.h"

#include <poll.h>
#include <stdio.h>

struct hop {
    struct bare_udp udp;
    struct sockaddr_in peers[2];
};

static bool same(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_addr.s_addr == b->sin_addr.s_addr && a->sin_port == b->sin_port;
}

static void pass_on(void *ctx, uint8_t *data, size_t len, size_t each, const struct sockaddr_in *from)
{
    const struct hop *h = ctx;

    for (int i = 0; i < 2; i++) {
        if (same(from, &h->peers[i]))
            bare_udp_send(&h->udp, data, len, each, &h->peers[!i]);
    }
}

int main(int argc, char **argv)
{
    static struct hop h = { .udp = { .gso = true, .gro = true } };
    struct sockaddr_in at;

    if (argc != 4) {
        fputs("usage: bench-bare-hop LOCAL:PORT PEER:PORT PEER:PORT\n", stderr);
        return 2;
    }
    at = bare_udp_address(argv[1]);
    h.peers[0] = bare_udp_address(argv[2]);
    h.peers[1] = bare_udp_address(argv[3]);
    if (bare_udp_open(&h.udp, &at, NULL) < 0) {
        perror("bench-bare-hop");
        return 1;
    }
    for (;;) {
        struct pollfd p = { .fd = h.udp.fd, .events = POLLIN };

        if (poll(&p, 1, -1) > 0)
            bare_udp_receive(&h.udp, pass_on, &h);
    }
}
