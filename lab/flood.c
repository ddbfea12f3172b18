/* hawser-flood: handshake initiations with a valid mac1 from addresses that nobody has.
 *
 * Theory of operation. What an attacker can do who knows an agent's public key but is not its peer. INITS_COUNT
 * initiations are made with an identity of our own (that part costs public-key operations); each datagram is then
 * another copy of one of them, with its own salt, mask and mac1, so that every one passes the first check and no two
 * are equal. They leave through a raw socket, BATCH at a time, at a steady rate, from random addresses of 100.64.0.0/10
 * and random ports.
 *
 * It runs in the namespaces of the laboratory only: the target must be in 198.51.100.0/24, which the Internet does not
 * route (RFC 5737), and it ends by itself after at most SECONDS_MAX.
 *
 * Limits: RATE_MAX datagrams a second, SECONDS_MAX seconds, IPv4. */
#include "base/addr.h"
#include "session/handshake.h"
#include "sys/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INITS_COUNT 64
#define COPIES_COUNT 16384 /* chosen: made in less than a second; a third of a second of 50,000/s */
#define BATCH 32
#define RATE_MAX 200000
#define SECONDS_MAX 60
#define SOURCES_NET 0x64400000u /* 100.64.0.0/10, RFC 6598 */
#define SOURCES_MASK 0x003fffffu

struct copy {
    size_t len;
    uint8_t data[HANDSHAKE_MAX];
};

struct flood {
    struct handshake_init inits[INITS_COUNT];
    struct copy copies[COPIES_COUNT];
    size_t next;
    struct handshake_mask mask;
    struct sockaddr_in to;
    struct prng prng;
    struct rng rng;
    uint64_t sent, refused;
    int fd;
};

static int fail(const char *what)
{
    fprintf(stderr, "hawser-flood: %s: %s\n", what, strerror(errno));
    return 1;
}

static int make_inits(struct flood *f, const struct peer_key *peer)
{
    static const uint8_t psk[32];
    const struct rng kernel = sys_rng();
    struct hello hello = { .flags = HELLO_FLAG_OPENER, .suites = suite_supported(), .features = FEATURES_KNOWN };
    struct identity self;
    int r = identity_generate(&self, &kernel);

    handshake_mask_init(&f->mask, peer->x25519);
    for (int i = 0; r == 0 && i < INITS_COUNT; i++)
        r = handshake_init_make(&f->inits[i], &self, peer, psk, suite_choose(hello.suites, peer->suites), &hello, NULL,
                                &kernel);
    identity_wipe(&self);
    for (size_t i = 0; r == 0 && i < COPIES_COUNT; i++) {
        struct copy *c = &f->copies[i];
        uint8_t mac1[MAC1_LEN];

        c->len = handshake_init_write(&f->inits[i % INITS_COUNT], &f->mask, &f->rng, c->data, mac1);
    }
    return r;
}

/* One datagram with its headers. Returns its length. The UDP checksum may be left out in IPv4 (RFC 768). */
static size_t write_one(struct flood *f, uint8_t *out)
{
    struct iphdr *ip = (struct iphdr *)(void *)out;
    struct udphdr *udp = (struct udphdr *)(void *)(out + sizeof(*ip));
    uint64_t random = prng_u64(&f->prng);
    const struct copy *c = &f->copies[f->next++ % COPIES_COUNT];
    size_t len = sizeof(*ip) + sizeof(*udp) + c->len;

    memcpy(out + sizeof(*ip) + sizeof(*udp), c->data, c->len);
    *ip = (struct iphdr){ .version = 4,
                          .ihl = 5,
                          .ttl = 64,
                          .protocol = IPPROTO_UDP,
                          .saddr = htonl(SOURCES_NET | ((uint32_t)(random >> 8) & SOURCES_MASK)),
                          .daddr = f->to.sin_addr.s_addr,
                          .tot_len = htons((uint16_t)len) };
    *udp = (struct udphdr){ .source = htons((uint16_t)(1024 + (random >> 40) % 64000)),
                            .dest = f->to.sin_port,
                            .len = htons((uint16_t)(len - sizeof(*ip))) };
    return len;
}

static void send_batch(struct flood *f)
{
    static uint8_t packets[BATCH][sizeof(struct iphdr) + sizeof(struct udphdr) + HANDSHAKE_MAX];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH] = { 0 };
    int n;

    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){ .iov_base = packets[i], .iov_len = write_one(f, packets[i]) };
        messages[i].msg_hdr =
            (struct msghdr){ .msg_name = &f->to, .msg_namelen = sizeof(f->to), .msg_iov = &parts[i], .msg_iovlen = 1 };
    }
    n = sendmmsg(f->fd, messages, BATCH, 0);
    f->sent += (uint64_t)MAX(n, 0);
    f->refused += (uint64_t)(BATCH - MAX(n, 0));
}

static int run(struct flood *f, double rate, double seconds)
{
    instant start = clock_now(), end = start + (instant)(seconds * SEC), now;
    double took;

    for (uint64_t batch = 0; (now = clock_now()) < end; batch++) {
        instant due = start + (instant)((double)batch * BATCH * SEC / rate);

        /* Late batches are made up for: the rate is the mean. */
        if (due > now)
            nanosleep(&(struct timespec){ .tv_nsec = (due - now) % SEC * 1000 }, NULL);
        send_batch(f);
    }
    took = (double)(clock_now() - start) / SEC;
    printf("{\"sent\":%" PRIu64 ",\"refused\":%" PRIu64 ",\"seconds\":%.2f,\"per_second\":%.0f}\n", f->sent, f->refused,
           took, (double)f->sent / took);
    return 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "key", required_argument, NULL, 'k' },
                                             { "rate", required_argument, NULL, 'r' },
                                             { "seconds", required_argument, NULL, 's' },
                                             { NULL, 0, NULL, 0 } };
    static struct flood f;
    double rate = 50000, seconds = 10;
    struct peer_key peer = { 0 };
    struct endpoint to;
    struct prefix lab;
    bool has_key = false;
    int o;

    while ((o = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        if (o == 'r')
            rate = strtod(optarg, NULL);
        else if (o == 's')
            seconds = strtod(optarg, NULL);
        else
            has_key = o == 'k' && peer_key_decode(optarg, &peer) == 0;
    }
    if (argc - optind != 1 || !has_key || endpoint_parse(argv[optind], 0, &to) < 0 || rate < BATCH || rate > RATE_MAX ||
        seconds <= 0 || seconds > SECONDS_MAX || prefix_parse("198.51.100.0/24", false, &lab) < 0) {
        fputs("usage: hawser-flood --key PUBLIC [--rate N] [--seconds S] ADDR:PORT\n", stderr);
        return 2;
    }
    if (!prefix_contains(&lab, &to.addr)) {
        fputs("hawser-flood: the target must be in 198.51.100.0/24, the laboratory's\n", stderr);
        return 2;
    }
    prng_init(&f.prng, (uint64_t)clock_now());
    f.rng = prng_rng(&f.prng);
    f.to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(to.port) };
    memcpy(&f.to.sin_addr, to.addr.bytes, 4);
    if (make_inits(&f, &peer) < 0)
        return fail("handshake");
    f.fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (f.fd < 0)
        return fail("socket");
    o = run(&f, rate, seconds);
    close(f.fd);
    return o;
}
