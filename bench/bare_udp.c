/* bench/bare_udp.c - see bare_udp.h. A train is one sendmsg with UDP_SEGMENT, or without GSO one sendmmsg; what UDP_GRO
 * brings is one train. */
#include "bench/bare_udp.h"

#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SOCKET_BYTES (4 << 20) /* as hawserd */

struct sockaddr_in bare_udp_address(const char *text)
{
    struct endpoint e;
    struct sockaddr_in a = { .sin_family = AF_INET };

    if (endpoint_parse(text, 0, &e) < 0 || e.addr.family != ADDR_V4) {
        fprintf(stderr, "%s: expected an IPv4 address and a port\n", text);
        exit(2);
    }
    memcpy(&a.sin_addr, e.addr.bytes, 4);
    a.sin_port = htons(e.port);
    return a;
}

int bare_udp_open(struct bare_udp *u, const struct sockaddr_in *at, const struct sockaddr_in *to)
{
    int one = 1, bytes = SOCKET_BYTES, fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0 ||
        (to && connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0))
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
    if (u->gro && setsockopt(fd, SOL_UDP, UDP_GRO, &one, sizeof(one)) < 0)
        return -1;
    u->fd = fd;
    return 0;
}

void bare_udp_send(const struct bare_udp *u, uint8_t *data, size_t len, size_t each, const struct sockaddr_in *to)
{
    char control[CMSG_SPACE(sizeof(uint16_t))] = { 0 };
    struct iovec iovs[BARE_TRAIN_MAX] = { { data, len } };
    struct mmsghdr messages[BARE_TRAIN_MAX] = { { .msg_hdr = { .msg_iov = iovs, .msg_iovlen = 1 } } };
    unsigned count = 1;

    if (len > each && u->gso) {
        struct cmsghdr *c = (struct cmsghdr *)control;
        uint16_t size = (uint16_t)each;

        messages[0].msg_hdr.msg_control = control;
        messages[0].msg_hdr.msg_controllen = sizeof(control);
        *c = (struct cmsghdr){ .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(size)) };
        memcpy(CMSG_DATA(c), &size, sizeof(size));
    } else if (len > each) {
        for (count = 0; count < BARE_TRAIN_MAX && count * each < len; count++) {
            iovs[count] = (struct iovec){ data + count * each, MIN(each, len - count * each) };
            messages[count].msg_hdr = (struct msghdr){ .msg_iov = &iovs[count], .msg_iovlen = 1 };
        }
    }
    for (unsigned i = 0; to && i < count; i++) {
        messages[i].msg_hdr.msg_name = (void *)(uintptr_t)to;
        messages[i].msg_hdr.msg_namelen = sizeof(*to);
    }
    for (unsigned at = 0; at < count;) {
        int n = sendmmsg(u->fd, messages + at, count - at, 0);

        if (n <= 0)
            break;
        at += (unsigned)n;
    }
}

void bare_udp_receive(struct bare_udp *u, bare_train_fn fn, void *ctx)
{
    char control[BARE_RX_BATCH][CMSG_SPACE(sizeof(int))];
    struct sockaddr_in from[BARE_RX_BATCH];
    struct mmsghdr m[BARE_RX_BATCH];
    struct iovec iov[BARE_RX_BATCH];
    int n;

    for (int i = 0; i < BARE_RX_BATCH; i++) {
        iov[i] = (struct iovec){ u->rx[i], BARE_RX_BYTES };
        m[i].msg_hdr = (struct msghdr){ .msg_name = &from[i],
                                        .msg_namelen = sizeof(from[i]),
                                        .msg_iov = &iov[i],
                                        .msg_iovlen = 1,
                                        .msg_control = control[i],
                                        .msg_controllen = sizeof(control[i]) };
    }
    n = recvmmsg(u->fd, m, BARE_RX_BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) {
        int each = 0;

        for (struct cmsghdr *c = CMSG_FIRSTHDR(&m[i].msg_hdr); c; c = CMSG_NXTHDR(&m[i].msg_hdr, c))
            if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO)
                memcpy(&each, CMSG_DATA(c), sizeof(each));
        fn(ctx, u->rx[i], m[i].msg_len, each > 0 ? (size_t)each : MAX(m[i].msg_len, 1u), &from[i]);
    }
}
