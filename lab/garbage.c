/* hawser-garbage: datagrams that an agent must throw away, as fast as asked.
 *
 * Theory of operation. What an attacker on the way can send: it first listens to records on their way to the target
 * (CAPTURE_MAX of them, or for a second), and then sends, in turn: random bytes; a sealed record of an unknown
 * connection id; a captured record cut short; one with a flipped bit; one with a counter of its own; and captured
 * records again as they were, in another order. What is made of a captured record bears its source address, so that
 * nothing but the cipher and the replay window tells it from an honest one. They leave through a raw socket, BATCH at a
 * time, at a steady rate.
 *
 * It runs in the namespaces of the laboratory only: the target must be in 198.51.100.0/24, which the Internet does not
 * route (RFC 5737), and it ends by itself after at most SECONDS_MAX.
 *
 * Limits: RATE_MAX datagrams a second, SECONDS_MAX seconds, IPv4. */
#include "base/addr.h"
#include "base/rng.h"
#include "sys/clock.h"
#include "wire/header.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <netpacket/packet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32
#define CAPTURE_MAX 1024 /* records; chosen: more than is in flight, so that most are old */
#define RATE_MAX 200000
#define SECONDS_MAX 60
#define RECORD_ROOM 1500
#define ETHERTYPE_V4 0x0800     /* IEEE 802.3 */
#define SOURCES_NET 0x64400000u /* 100.64.0.0/10, RFC 6598 */
#define SOURCES_MASK 0x003fffffu

enum kind { KIND_RANDOM, KIND_UNKNOWN, KIND_SHORT, KIND_FLIPPED, KIND_COUNTER, KIND_REPLAY, KIND_COUNT };

struct record {
    size_t len;
    uint32_t source;
    uint16_t port;
    uint8_t data[RECORD_ROOM];
};

struct garbage {
    struct record records[CAPTURE_MAX];
    size_t count;
    struct sockaddr_in to;
    struct prng prng;
    uint64_t sent, refused;
    int fd;
};

static int fail(const char *what)
{
    fprintf(stderr, "hawser-garbage: %s: %s\n", what, strerror(errno));
    return 1;
}

/* One packet as it is on the wire, IP header first. */
static void keep(struct garbage *g, const uint8_t *pkt, size_t len)
{
    struct record *r = &g->records[g->count];
    size_t ip = len > 0 ? (size_t)(pkt[0] & 15) * 4 : 0;

    if (len < ip + 8 + SEALED_MIN_LEN || pkt[9] != IPPROTO_UDP || memcmp(pkt + 16, &g->to.sin_addr, 4) != 0 ||
        get_be16(pkt + ip + 2) != ntohs(g->to.sin_port) || pkt[ip + 8] != PACKET_SEALED ||
        len - ip - 8 > sizeof(r->data))
        return;
    memcpy(&r->source, pkt + 12, 4);
    r->port = get_be16(pkt + ip);
    r->len = len - ip - 8;
    memcpy(r->data, pkt + ip + 8, r->len);
    g->count++;
}

static int capture(struct garbage *g, const char *interface)
{
    struct sockaddr_ll at = { .sll_family = AF_PACKET,
                              .sll_protocol = htons(ETHERTYPE_V4),
                              .sll_ifindex = (int)if_nametoindex(interface) };
    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETHERTYPE_V4));
    instant end = clock_now() + 1 * SEC;
    uint8_t pkt[2048];

    if (fd < 0 || at.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    while (g->count < CAPTURE_MAX && clock_now() < end) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        ssize_t n;

        if (poll(&p, 1, 50) > 0 && (n = recv(fd, pkt, sizeof(pkt), 0)) > 0)
            keep(g, pkt, MIN((size_t)n, sizeof(pkt)));
    }
    close(fd);
    return 0;
}

static void fill_random(struct garbage *g, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = prng_u64(&g->prng);

        memcpy(out + i, &v, MIN(len - i, sizeof(v)));
    }
}

/* The payload of one datagram; what it does not set of source and port is random. Returns the length. */
static size_t write_payload(struct garbage *g, enum kind kind, uint8_t *out, uint32_t *source, uint16_t *port)
{
    const struct record *r = &g->records[prng_below(&g->prng, g->count)];
    size_t len = r->len;

    memcpy(out, r->data, len);
    *source = r->source;
    *port = r->port;
    switch (kind) {
    case KIND_RANDOM:
    case KIND_UNKNOWN:
        fill_random(g, out, len);
        if (kind == KIND_UNKNOWN)
            out[0] = PACKET_SEALED;
        *source = htonl(SOURCES_NET | ((uint32_t)prng_u64(&g->prng) & SOURCES_MASK));
        *port = (uint16_t)(1024 + prng_below(&g->prng, 64000));
        break;
    case KIND_SHORT:
        len = 1 + (size_t)prng_below(&g->prng, len - 1);
        break;
    case KIND_FLIPPED: /* newer than any, so that the cipher has to see it */
    case KIND_COUNTER:
        put_be64(out + 8, get_be64(out + 8) + 100000 + prng_below(&g->prng, 100000));
        if (kind == KIND_FLIPPED)
            out[SEALED_HEADER_LEN] ^= 1;
        break;
    default:
        break;
    }
    return len;
}

static size_t write_one(struct garbage *g, enum kind kind, uint8_t *out)
{
    struct iphdr *ip = (struct iphdr *)(void *)out;
    struct udphdr *udp = (struct udphdr *)(void *)(out + sizeof(*ip));
    uint32_t source;
    uint16_t port;
    size_t len = sizeof(*ip) + sizeof(*udp);

    len += write_payload(g, kind, out + len, &source, &port);
    *ip = (struct iphdr){ .version = 4,
                          .ihl = 5,
                          .ttl = 64,
                          .protocol = IPPROTO_UDP,
                          .saddr = source,
                          .daddr = g->to.sin_addr.s_addr,
                          .tot_len = htons((uint16_t)len) };
    *udp =
        (struct udphdr){ .source = htons(port), .dest = g->to.sin_port, .len = htons((uint16_t)(len - sizeof(*ip))) };
    return len;
}

static void send_batch(struct garbage *g)
{
    static uint8_t packets[BATCH][sizeof(struct iphdr) + sizeof(struct udphdr) + RECORD_ROOM];
    static unsigned next;
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH] = { 0 };
    int n;

    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){ .iov_base = packets[i],
                                   .iov_len = write_one(g, (enum kind)(next++ % KIND_COUNT), packets[i]) };
        messages[i].msg_hdr =
            (struct msghdr){ .msg_name = &g->to, .msg_namelen = sizeof(g->to), .msg_iov = &parts[i], .msg_iovlen = 1 };
    }
    n = sendmmsg(g->fd, messages, BATCH, 0);
    g->sent += (uint64_t)MAX(n, 0);
    g->refused += (uint64_t)(BATCH - MAX(n, 0));
}

static void run(struct garbage *g, double rate, double seconds)
{
    instant start = clock_now(), end = start + (instant)(seconds * SEC), now;
    double took;

    for (uint64_t batch = 0; (now = clock_now()) < end; batch++) {
        instant due = start + (instant)((double)batch * BATCH * SEC / rate);

        /* Late batches are made up for: the rate is the mean. */
        if (due > now)
            nanosleep(&(struct timespec){ .tv_nsec = (due - now) % SEC * 1000 }, NULL);
        send_batch(g);
    }
    took = (double)(clock_now() - start) / SEC;
    printf("{\"captured\":%zu,\"sent\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"seconds\":%.2f,\"per_second\":%.0f}\n",
           g->count, g->sent, g->refused, took, (double)g->sent / took);
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "listen", required_argument, NULL, 'l' },
                                             { "rate", required_argument, NULL, 'r' },
                                             { "seconds", required_argument, NULL, 's' },
                                             { NULL, 0, NULL, 0 } };
    static struct garbage g;
    const char *interface = NULL;
    double rate = 20000, seconds = 10;
    struct endpoint to;
    struct prefix lab;
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (o == 'r')
            rate = strtod(optarg, NULL);
        else if (o == 's')
            seconds = strtod(optarg, NULL);
        else
            interface = o == 'l' ? optarg : NULL;
    }
    if (argc - optind != 1 || !interface || endpoint_parse(argv[optind], 0, &to) < 0 || rate < BATCH ||
        rate > RATE_MAX || seconds <= 0 || seconds > SECONDS_MAX || prefix_parse("198.51.100.0/24", false, &lab) < 0) {
        fputs("usage: hawser-garbage --listen IF [--rate N] [--seconds S] ADDR:PORT\n", stderr);
        return 2;
    }
    if (!prefix_contains(&lab, &to.addr)) {
        fputs("hawser-garbage: the target must be in 198.51.100.0/24, the laboratory's\n", stderr);
        return 2;
    }
    prng_init(&g.prng, (uint64_t)clock_now());
    g.to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(to.port) };
    memcpy(&g.to.sin_addr, to.addr.bytes, 4);
    if (capture(&g, interface) < 0)
        return fail(interface);
    if (g.count == 0) {
        fputs("hawser-garbage: no record came by\n", stderr);
        return 1;
    }
    g.fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (g.fd < 0)
        return fail("socket");
    run(&g, rate, seconds);
    close(g.fd);
    return 0;
}
