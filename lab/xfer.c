/* hawser-xfer: one bulk transfer over TCP or MPTCP, timed at the receiver.
 *
 * Theory of operation. `recv` takes one connection, reads to its end, and prints one line of JSON:
 *   bytes, seconds, bps   from the first byte to the last
 *   intact                each byte was the one expected
 *   began                 Unix time of the first byte, to set what the script did beside what came
 *   gaps                  times between two reads, of GAP_MIN and more: when each began (seconds after the first byte)
 *                         and its length in ms; the first GAPS_MAX of those that end after --skip seconds
 *   series                bytes of each 100 ms from the first byte on; their sum is `bytes` unless the series was full
 *
 * `send` writes so many bytes, or for so long, and waits until the receiver has closed; --source is the address that it
 * sends from. With --connect the receiver is the one that opens the connection, with --listen the sender the one that
 * takes it: a download. The receiver's figure is the only one worth anything: the sender's includes what only filled
 * buffers.
 *
 * The byte at offset n is the low byte of n / 8 for the first of each eight bytes and so on up the number: a 64-bit
 * little-endian count, so that a lost, doubled or swapped part shows.
 *
 * Limits: one connection, IPv4 or IPv6 addresses in figures, blocks of 128 KiB, a series of 60 s, 256 gaps.
 *
 * Sources: MPTCP sockets, Linux Documentation/networking/mptcp.rst (IPPROTO_MPTCP, RFC 8684). */
#include "base/addr.h"
#include "base/instant.h"
#include "sys/clock.h"
#include "sys/sockaddr.h"

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
#define SERIES_STEP (100 * MSEC)
#define SERIES_MAX 600
#define GAP_MIN (5 * MSEC) /* chosen: a scheduler's turn */
#define GAPS_MAX 256

struct options {
    const char *congestion;
    struct endpoint source;
    uint64_t bytes;
    double seconds;
    span skip;
    bool mptcp, has_source;
};

/* What a receiver saw. */
struct seen {
    uint64_t bytes, series[SERIES_MAX];
    instant first, last;
    struct {
        instant at;
        span length;
    } gaps[GAPS_MAX];
    size_t gaps_count;
    double began;
};

static uint8_t block[BLOCK];

static int fail(const char *what)
{
    fprintf(stderr, "hawser-xfer: %s: %s\n", what, strerror(errno));
    return 1;
}

static int socket_open(const struct endpoint *e, const struct options *o)
{
    int fd = socket(sockaddr_family(&e->addr), SOCK_STREAM | SOCK_CLOEXEC, o->mptcp ? IPPROTO_MPTCP : IPPROTO_TCP);
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

static void seen_add(struct seen *s, uint64_t len, span skip, instant now)
{
    size_t step;

    if (s->bytes == 0) {
        struct timespec t;

        clock_gettime(CLOCK_REALTIME, &t);
        s->began = (double)t.tv_sec + (double)t.tv_nsec / 1e9;
        s->first = s->last = now;
    }
    if (now - s->last >= GAP_MIN && now - s->first >= skip && s->gaps_count < GAPS_MAX) {
        s->gaps[s->gaps_count].at = s->last;
        s->gaps[s->gaps_count++].length = now - s->last;
    }
    s->last = now;
    s->bytes += len;
    step = (size_t)((now - s->first) / SERIES_STEP);
    if (step < SERIES_MAX)
        s->series[step] += len;
}

static void seen_print(const struct seen *s, bool intact)
{
    double seconds = (double)(s->last - s->first) / SEC;
    size_t steps = s->bytes ? (size_t)((s->last - s->first) / SERIES_STEP) + 1 : 0;

    printf("{\"bytes\":%" PRIu64 ",\"seconds\":%.6f,\"bps\":%.0f,\"intact\":%s,", s->bytes, seconds,
           seconds > 0 ? (double)s->bytes * 8 / seconds : 0, intact ? "true" : "false");
    printf("\"began\":%.6f,\"gaps\":[", s->began);
    for (size_t i = 0; i < s->gaps_count; i++)
        printf("%s{\"at\":%.6f,\"ms\":%.3f}", i ? "," : "", (double)(s->gaps[i].at - s->first) / SEC,
               (double)s->gaps[i].length / MSEC);
    printf("],\"series\":[");
    for (size_t i = 0; i < MIN(steps, (size_t)SERIES_MAX); i++)
        printf("%s%" PRIu64, i ? "," : "", s->series[i]);
    printf("]}\n");
}

/* The one connection; negative: told why. */
static int take_one(const struct endpoint *e, const struct options *o)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = sockaddr_from_endpoint(e, 0, &sa);
    int one = 1, fd, listener = socket_open(e, o);

    if (listener < 0)
        return -fail(o->congestion ? o->congestion : "socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&sa, sa_len) < 0 || listen(listener, 1) < 0)
        return -fail("listen");
    fd = accept(listener, NULL, NULL);
    return fd < 0 ? -fail("accept") : fd;
}

static int open_one(const struct endpoint *e, const struct options *o)
{
    struct sockaddr_storage sa;
    socklen_t sa_len = sockaddr_from_endpoint(e, 0, &sa);
    int fd = socket_open(e, o);

    if (fd < 0)
        return -fail(o->congestion ? o->congestion : "socket");
    if (o->has_source) {
        struct sockaddr_storage from;
        socklen_t from_len = sockaddr_from_endpoint(&o->source, 0, &from);

        if (bind(fd, (struct sockaddr *)&from, from_len) < 0)
            return -fail("source");
    }
    return connect(fd, (struct sockaddr *)&sa, sa_len) < 0 ? -fail("connect") : fd;
}

static int receive(int fd, const struct options *o)
{
    static struct seen seen;
    bool intact = true;
    ssize_t n;

    while ((n = read(fd, block, sizeof(block))) > 0) {
        intact &= block_check((size_t)n, seen.bytes);
        seen_add(&seen, (uint64_t)n, o->skip, clock_now());
    }
    if (n < 0)
        return fail("read");
    seen_print(&seen, intact);
    return intact ? 0 : 1;
}

static int transmit(int fd, const struct options *o)
{
    instant end = o->seconds > 0 ? clock_now() + (instant)(o->seconds * SEC) : INSTANT_NEVER;
    uint64_t sent = 0;

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

static const char usage[] = "usage: hawser-xfer recv ADDR:PORT [--connect] [--mptcp] [--source ADDR] [--skip S]\n"
                            "       hawser-xfer send ADDR:PORT [--listen] [--mptcp] [--cc NAME] [--source ADDR] "
                            "--bytes N | --seconds S\n";

int main(int argc, char **argv)
{
    static const struct option options[] = {
        { "mptcp", no_argument, NULL, 'm' },
        { "connect", no_argument, NULL, 'o' },
        { "listen", no_argument, NULL, 'l' },
        { "cc", required_argument, NULL, 'c' },
        { "bytes", required_argument, NULL, 'b' },
        { "seconds", required_argument, NULL, 's' },
        { "skip", required_argument, NULL, 'k' },
        { "source", required_argument, NULL, 'f' },
        { NULL, 0, NULL, 0 },
    };
    struct options o = { .bytes = UINT64_MAX };
    struct endpoint e;
    int option, fd;
    bool sends, turned = false;

    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (option == 'm')
            o.mptcp = true;
        else if (option == 'o' || option == 'l')
            turned = true;
        else if (option == 'c')
            o.congestion = optarg;
        else if (option == 'b')
            o.bytes = strtoull(optarg, NULL, 10);
        else if (option == 's')
            o.seconds = strtod(optarg, NULL);
        else if (option == 'k')
            o.skip = (span)(strtod(optarg, NULL) * SEC);
        else if (option == 'f' && addr_parse(optarg, &o.source.addr) >= 0)
            o.has_source = true;
        else
            return fputs(usage, stderr), 2;
    }
    if (argc - optind != 2 || endpoint_parse(argv[optind + 1], 0, &e) < 0)
        return fputs(usage, stderr), 2;
    sends = strcmp(argv[optind], "send") == 0;
    if ((!sends && strcmp(argv[optind], "recv") != 0) || (sends && o.bytes == UINT64_MAX && o.seconds <= 0))
        return fputs(usage, stderr), 2;
    fd = sends != turned ? open_one(&e, &o) : take_one(&e, &o);
    if (fd < 0)
        return 1;
    return sends ? transmit(fd, &o) : receive(fd, &o);
}
