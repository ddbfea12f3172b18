/* bench/forwarder.c - the least that a program does to pass datagrams on: recvmmsg, sendmmsg, and nothing else.
 *
 * usage: bench-forwarder PORT ADDRESS TO-PORT, IPv4. It runs until it is killed. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BATCH 64
#define ROOM 2048

int main(int argc, char **argv)
{
    static unsigned char room[BATCH][ROOM];
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    struct sockaddr_in at = { .sin_family = AF_INET }, to = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), buffer = 4 << 20;

    if (argc != 4 || inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) {
        fputs("usage: bench-forwarder PORT ADDRESS TO-PORT\n", stderr);
        return 2;
    }
    at.sin_port = htons((uint16_t)atoi(argv[1]));
    to.sin_port = htons((uint16_t)atoi(argv[3]));
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) < 0) {
        perror("bench-forwarder");
        return 1;
    }
    for (;;) {
        int n;

        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){ room[i], ROOM };
            messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &parts[i], .msg_iovlen = 1 } };
        }
        n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        for (int i = 0; i < n; i++) {
            parts[i].iov_len = messages[i].msg_len;
            messages[i].msg_hdr.msg_name = &to;
            messages[i].msg_hdr.msg_namelen = sizeof(to);
        }
        for (int i = 0, sent; i<n; i += sent> 0 ? sent : 1)
            sent = sendmmsg(fd, messages + i, (unsigned)(n - i), 0);
    }
}
