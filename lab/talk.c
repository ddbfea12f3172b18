/* hawser-talk: one end of a TCP connection that does as it is told, step by step.
 *
 *   hawser-talk [--mptcp] listen ADDR:PORT STEP...     takes one connection
 *   hawser-talk [--mptcp] connect ADDR:PORT STEP...    opens it
 *
 *   write N   that many bytes          finish    nothing more will be written (shutdown)
 *   read N    that many bytes          end       all that comes until the peer's end
 *   echo      what comes, back, until the peer's end
 *   tick      a byte each 100 ms, and the same one back, until something breaks
 *   reset     SO_LINGER 0 and close: RST
 *
 * Each step that is done is a line on standard output, the first one the other side's address: "peer ADDR:PORT", "write
 * N", "end N". What fails is told on standard error with the time in seconds since that step began, and the exit code
 * is 1. The byte at offset n of either direction is n mod 251, and one that is not is a failure.
 *
 * Limits: one connection, blocking; IPv4 or IPv6 addresses in figures. Whoever starts it sees to it that it ends. */
#include "base/addr.h"
#include "base/instant.h"
#include "sys/clock.h"
#include "sys/sockaddr.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define PERIOD 251        /* chosen: a prime, so that blocks of any power of two do not look alike */
#define TICK (100 * MSEC) /* chosen: a connection that is in use, and no load; nothing waits for it */

struct talk {
    int fd;
    uint64_t wrote, read;
    instant began; /* the step */
};

static uint8_t block[64 * 1024];

static int fail(const struct talk *t, const char *what)
{
    fprintf(stderr, "hawser-talk: %s: %s after %.3f s\n", what, strerror(errno),
            (double)(clock_now() - t->began) / SEC);
    return -1;
}

static int say_bytes(struct talk *t, uint64_t len)
{
    while (len > 0) {
        size_t some = (size_t)MIN(len, (uint64_t)sizeof(block));
        ssize_t n;

        for (size_t i = 0; i < some; i++)
            block[i] = (uint8_t)((t->wrote + i) % PERIOD);
        n = write(t->fd, block, some);
        if (n < 0)
            return fail(t, "write");
        t->wrote += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

/* What comes, at most len: its size, 0 at the end. */
static ssize_t hear_some(struct talk *t, uint64_t len)
{
    ssize_t n = read(t->fd, block, (size_t)MIN(len, (uint64_t)sizeof(block)));

    if (n < 0)
        return fail(t, "read");
    for (ssize_t i = 0; i < n; i++) {
        if (block[i] != (t->read + (uint64_t)i) % PERIOD) {
            errno = EBADMSG;
            return fail(t, "read");
        }
    }
    t->read += (uint64_t)n;
    return n;
}

static int hear_bytes(struct talk *t, uint64_t len)
{
    while (len > 0) {
        ssize_t n = hear_some(t, len);

        if (n == 0)
            errno = ENODATA;
        if (n <= 0)
            return n < 0 ? -1 : fail(t, "read");
        len -= (uint64_t)n;
    }
    return 0;
}

/* Until the peer's end. */
static int hear_all(struct talk *t, bool back)
{
    ssize_t n;

    while ((n = hear_some(t, sizeof(block))) > 0) {
        if (back && say_bytes(t, (uint64_t)n) < 0)
            return -1;
    }
    return n < 0 ? -1 : 0;
}

static int tick(struct talk *t)
{
    for (;;) {
        if (say_bytes(t, 1) < 0 || hear_bytes(t, 1) < 0)
            return -1;
        usleep(TICK / USEC);
    }
}

static int reset(struct talk *t)
{
    const struct linger now = { .l_onoff = 1 };

    return setsockopt(t->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) < 0 || close(t->fd) < 0 ? fail(t, "reset") : 0;
}

/* The step at *at, which moves past it and its number. 0; -1: told why; -EINVAL: no such step. */
static int step(struct talk *t, char ***at)
{
    const char *name = *(*at)++;
    uint64_t heard = t->read;
    int r = -EINVAL;

    t->began = clock_now();
    if ((strcmp(name, "write") == 0 || strcmp(name, "read") == 0) && **at) {
        uint64_t len = strtoull(*(*at)++, NULL, 10);

        r = *name == 'w' ? say_bytes(t, len) : hear_bytes(t, len);
        if (r == 0)
            printf("%s %" PRIu64 "\n", name, len);
        return r;
    }
    if (strcmp(name, "finish") == 0)
        r = shutdown(t->fd, SHUT_WR) < 0 ? fail(t, name) : 0;
    else if (strcmp(name, "end") == 0 || strcmp(name, "echo") == 0)
        r = hear_all(t, name[1] == 'c');
    else if (strcmp(name, "tick") == 0)
        r = tick(t);
    else if (strcmp(name, "reset") == 0)
        r = reset(t);
    if (r == 0)
        printf("%s %" PRIu64 "\n", name, t->read - heard);
    return r;
}

static int meet(struct talk *t, bool listens, int protocol, const struct endpoint *e)
{
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_from_endpoint(e, 0, &sa);
    struct endpoint peer;
    char text[ENDPOINT_STRLEN];
    int one = 1, fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, protocol);

    t->began = clock_now();
    if (fd < 0)
        return fail(t, "socket");
    if (!listens && connect(fd, (struct sockaddr *)&sa, len) < 0)
        return fail(t, "connect");
    if (listens) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 1) < 0)
            return fail(t, "listen");
        t->fd = accept(fd, NULL, NULL);
        if (protocol != IPPROTO_MPTCP) /* Linux takes further subflows where it listens */
            close(fd);
        fd = t->fd;
        if (fd < 0)
            return fail(t, "accept");
    }
    len = sizeof(sa);
    if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0 || sockaddr_to_endpoint((struct sockaddr *)&sa, &peer) < 0)
        return fail(t, "peer");
    endpoint_format(&peer, text);
    printf("peer %s\n", text);
    t->fd = fd;
    return 0;
}

int main(int argc, char **argv)
{
    struct talk t = { .fd = -1 };
    struct endpoint e;
    int r = -EINVAL, protocol = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && strcmp(argv[1], "--mptcp") == 0) {
        protocol = IPPROTO_MPTCP;
        argv++;
        argc--;
    }
    if (argc > 2 && (strcmp(argv[1], "listen") == 0 || strcmp(argv[1], "connect") == 0) &&
        endpoint_parse(argv[2], 0, &e) == 0)
        r = meet(&t, argv[1][0] == 'l', protocol, &e);
    for (char **at = argv + MIN(argc, 3); r == 0 && *at;)
        r = step(&t, &at);
    if (r == -EINVAL) {
        fputs("usage: hawser-talk [--mptcp] listen|connect ADDR:PORT "
              "[write N | read N | finish | end | echo | tick | reset]...\n",
              stderr);
        return 2;
    }
    return r < 0 ? 1 : 0;
}
