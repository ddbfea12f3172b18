/* hawser-xfer: one bulk transfer over TCP or MPTCP, timed at the receiver.
 *
 * Theory of operation. `recv` takes one connection, reads to its end, and prints one line of JSON: bytes, the seconds
 * from the first byte to the last, bits per second, and whether each byte was the one expected. `send` writes so many
 * bytes, or for so long, and waits until the receiver has closed. The receiver's figure is the only one worth anything:
 * the sender's includes what only filled buffers.
 *
 * The byte at offset n is the low byte of n / 8 for the first of each eight bytes and so on up the number: a 64-bit
 * little-endian count, so that a lost, doubled or swapped part shows.
 *
 * Limits: one connection, IPv4 or IPv6 addresses in figures, blocks of 128 KiB.
 *
 * Sources: MPTCP sockets, Linux Documentation/networking/mptcp.rst (IPPROTO_MPTCP, RFC 8684). */
#include "base/addr.h"
#include "base/instant.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define BLOCK (128 * 1024)

struct options {
    const char *congestion;
    uint64_t bytes;
    double seconds;
    bool mptcp;
};

static uint8_t block[BLOCK];

static instant clock_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (instant)t.tv_sec * SEC + t.tv_nsec / 1000;
}

static int fail(const char *what)
{
    fprintf(stderr, "hawser-xfer: %s: %s\n", what, strerror(errno));
    return 1;
}

static socklen_t sockaddr_from(const struct endpoint *e, struct sockaddr_storage *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (e->addr.family == ADDR_V4) {
        struct sockaddr_in *sa = (struct sockaddr_in *)ret;

        sa->sin_family = AF_INET;
        sa->sin_port = htons(e->port);
        memcpy(&sa->sin_addr, e->addr.bytes, 4);
        return sizeof(*sa);
    }
    struct sockaddr_in6 *sa = (struct sockaddr_in6 *)ret;

    sa->sin6_family = AF_INET6;
    sa->sin6_port = htons(e->port);
    memcpy(&sa->sin6_addr, e->addr.bytes, 16);
    return sizeof(*sa);
}

static int socket_open(const struct endpoint *e, const struct options *o)
{
    int fd = socket(e->addr.family == ADDR_V4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC,
                    o->mptcp ? IPPROTO_MPTCP : IPPROTO_TCP);
    const char *c = o->congestion;

    if (fd >= 0 && c && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, c, (socklen_t)strlen(c)) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* The count's bytes from this stream offset on; offset is a multiple of 8 at a block's start. */
static void block_fill(uint64_t offset)
{
    for (size_t i = 0; i < BLOCK; i += 8)
        put_le64(block + i, (offset + i) / 8);
}

static bool block_check(size_t len, uint64_t offset)
{
    for (size_t i = 0; i < len;) {
        uint64_t at = offset + i;

        if (at % 8 == 0 && len - i >= 8) {
            if (get_le64(block + i) != at / 8)
                return false;
            i += 8;
        } else {
            if (block[i] != (uint8_t)(at / 8 >> at % 8 * 8))
                return false;
            i++;
        }
    }
    return true;
}

static int receive(const struct endpoint *e, const struct options *o)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = sockaddr_from(e, &sa);
    uint64_t bytes = 0;
    instant first = 0, last = 0;
    bool intact = true;
    double seconds;
    ssize_t n;
    int one = 1, fd, listener = socket_open(e, o);

    if (listener < 0)
        return fail("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&sa, sa_len) < 0 || listen(listener, 1) < 0)
        return fail("listen");
    fd = accept(listener, NULL, NULL);
    if (fd < 0)
        return fail("accept");
    while ((n = read(fd, block, sizeof(block))) > 0) {
        last = clock_now();
        first = bytes == 0 ? last : first;
        intact &= block_check((size_t)n, bytes);
        bytes += (uint64_t)n;
    }
    if (n < 0)
        return fail("read");
    seconds = (double)(last - first) / SEC;
    printf("{\"bytes\":%" PRIu64 ",\"seconds\":%.6f,\"bps\":%.0f,\"intact\":%s}\n", bytes, seconds,
           seconds > 0 ? (double)bytes * 8 / seconds : 0, intact ? "true" : "false");
    return intact ? 0 : 1;
}

static int transmit(const struct endpoint *e, const struct options *o)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = sockaddr_from(e, &sa);
    int fd = socket_open(e, o);
    uint64_t sent = 0;
    instant end;

    if (fd < 0)
        return fail(o->congestion ? o->congestion : "socket");
    if (connect(fd, (struct sockaddr *)&sa, sa_len) < 0)
        return fail("connect");
    end = o->seconds > 0 ? clock_now() + (instant)(o->seconds * SEC) : INSTANT_NEVER;
    while (sent < o->bytes && clock_now() < end) {
        size_t len = (size_t)MIN(o->bytes - sent, (uint64_t)BLOCK);

        block_fill(sent);
        for (size_t at = 0; at < len;) {
            ssize_t n = write(fd, block + at, len - at);

            if (n < 0)
                return fail("write");
            at += (size_t)n;
        }
        sent += len;
    }
    shutdown(fd, SHUT_WR);
    return read(fd, block, 1) == 0 ? 0 : fail("the receiver did not close");
}

static const char usage[] = "usage: hawser-xfer recv ADDR:PORT [--mptcp]\n"
                            "       hawser-xfer send ADDR:PORT [--mptcp] [--cc NAME] --bytes N | --seconds S\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "mptcp", no_argument, NULL, 'm' },
        { "cc", required_argument, NULL, 'c' },
        { "bytes", required_argument, NULL, 'b' },
        { "seconds", required_argument, NULL, 's' },
        { NULL, 0, NULL, 0 },
    };
    struct options o = { .bytes = UINT64_MAX };
    struct endpoint e;
    int option;
    bool sends;

    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (option == 'm')
            o.mptcp = true;
        else if (option == 'c')
            o.congestion = optarg;
        else if (option == 'b')
            o.bytes = strtoull(optarg, NULL, 10);
        else if (option == 's')
            o.seconds = strtod(optarg, NULL);
        else
            return fputs(usage, stderr), 2;
    }
    if (argc - optind != 2 || endpoint_parse(argv[optind + 1], 0, &e) < 0)
        return fputs(usage, stderr), 2;
    sends = strcmp(argv[optind], "send") == 0;
    if ((!sends && strcmp(argv[optind], "recv") != 0) || (sends && o.bytes == UINT64_MAX && o.seconds <= 0))
        return fputs(usage, stderr), 2;
    return sends ? transmit(&e, &o) : receive(&e, &o);
}
