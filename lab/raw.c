/* lab/raw.c - see raw.h. */
#include "lab/raw.h"

#include "base/addr.h"
#include "sys/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOURCES_NET 0x64400000u /* 100.64.0.0/10, RFC 6598 */
#define SOURCES_MASK 0x003fffffu

/* A whole decimal number; NAN: it is none. */
static double number(const char *text)
{
    char *end;
    double v = strtod(text, &end);

    return *text >= '0' && *text <= '9' && *end == '\0' ? v : NAN;
}

int raw_open(struct raw *r, const char *program, int argc, char **argv, const char *option, double rate,
             const char **ret_value)
{
    const struct option options[] = { { option, required_argument, NULL, 'o' },
                                      { "rate", required_argument, NULL, 'r' },
                                      { "seconds", required_argument, NULL, 's' },
                                      { NULL, 0, NULL, 0 } };
    struct endpoint to;
    struct prefix lab;
    int o;

    *r = (struct raw){ .rate = rate, .seconds = 10, .fd = -1 };
    *ret_value = NULL;
    while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (o == 'o')
            *ret_value = optarg;
        else if (o == 'r')
            r->rate = number(optarg);
        else if (o == 's')
            r->seconds = number(optarg);
        else
            return 2; /* getopt has said why */
    }
    if (argc - optind != 1 || !*ret_value) {
        fprintf(stderr, "usage: %s --%s VALUE [--rate N] [--seconds S] ADDR:PORT\n", program, option);
        return 2;
    }
    if (!(r->rate >= RAW_BATCH && r->rate <= RAW_RATE_MAX && r->seconds > 0 && r->seconds <= RAW_SECONDS_MAX) ||
        endpoint_parse(argv[optind], 0, &to) < 0 || prefix_parse("198.51.100.0/24", false, &lab) < 0) {
        fprintf(stderr, "%s: expected ADDR:PORT, a rate of %d to %d and at most %d seconds\n", program, RAW_BATCH,
                RAW_RATE_MAX, RAW_SECONDS_MAX);
        return 2;
    }
    if (!prefix_contains(&lab, &to.addr)) {
        fprintf(stderr, "%s: the target must be in 198.51.100.0/24, the laboratory's\n", program);
        return 2;
    }
    prng_init(&r->prng, (uint64_t)clock_now());
    r->to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(to.port) };
    memcpy(&r->to.sin_addr, to.addr.bytes, 4);
    r->fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (r->fd < 0) {
        fprintf(stderr, "%s: socket: %s\n", program, strerror(errno));
        return 1;
    }
    return 0;
}

void raw_close(struct raw *r)
{
    if (r->fd >= 0)
        close(r->fd);
}

/* One datagram with its headers; its length. The UDP checksum may be left out in IPv4 (RFC 768). */
static size_t write_one(struct raw *r, raw_payload *payload, void *ctx, uint8_t *out)
{
    struct iphdr *ip = (struct iphdr *)(void *)out;
    struct udphdr *udp = (struct udphdr *)(void *)(out + sizeof(*ip));
    uint64_t random = prng_u64(&r->prng);
    uint32_t source = htonl(SOURCES_NET | ((uint32_t)(random >> 8) & SOURCES_MASK));
    uint16_t port = (uint16_t)(1024 + (random >> 40) % 64000);
    size_t len = sizeof(*ip) + sizeof(*udp);

    len += payload(ctx, r, out + len, &source, &port);
    *ip = (struct iphdr){ .version = 4,
                          .ihl = 5,
                          .ttl = 64,
                          .protocol = IPPROTO_UDP,
                          .saddr = source,
                          .daddr = r->to.sin_addr.s_addr,
                          .tot_len = htons((uint16_t)len) };
    *udp =
        (struct udphdr){ .source = htons(port), .dest = r->to.sin_port, .len = htons((uint16_t)(len - sizeof(*ip))) };
    return len;
}

static void send_batch(struct raw *r, raw_payload *payload, void *ctx)
{
    static uint8_t packets[RAW_BATCH][sizeof(struct iphdr) + sizeof(struct udphdr) + RAW_PAYLOAD_MAX];
    struct iovec parts[RAW_BATCH];
    struct mmsghdr messages[RAW_BATCH] = { 0 };
    int n;

    for (int i = 0; i < RAW_BATCH; i++) {
        parts[i] = (struct iovec){ .iov_base = packets[i], .iov_len = write_one(r, payload, ctx, packets[i]) };
        messages[i].msg_hdr =
            (struct msghdr){ .msg_name = &r->to, .msg_namelen = sizeof(r->to), .msg_iov = &parts[i], .msg_iovlen = 1 };
    }
    n = sendmmsg(r->fd, messages, RAW_BATCH, 0);
    r->sent += (uint64_t)MAX(n, 0);
    r->refused += (uint64_t)(RAW_BATCH - MAX(n, 0));
}

void raw_run(struct raw *r, raw_payload *payload, void *ctx)
{
    instant start = clock_now(), end = start + (instant)(r->seconds * SEC), now;

    for (uint64_t batch = 0; (now = clock_now()) < end; batch++) {
        instant due = start + (instant)((double)batch * RAW_BATCH * SEC / r->rate);

        /* The rate is what is asked for: it is time itself that is waited for. */
        if (due > now)
            nanosleep(&(struct timespec){ .tv_nsec = (due - now) % SEC * 1000 }, NULL);
        send_batch(r, payload, ctx);
    }
    r->took = (double)(clock_now() - start) / SEC;
}

void raw_report(const struct raw *r)
{
    printf("\"sent\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"seconds\":%.2f,\"per_second\":%.0f}\n", r->sent, r->refused,
           r->took, (double)r->sent / r->took);
}
