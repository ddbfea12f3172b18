/* bench/dmux-latency.c - how long a client's packet takes from its sender to the daemon, and from there to the wire.
 *
 * usage: bench-dmux-latency INTERFACE COUNT ROUNDS PLOT NAME SOURCE DESTINATION [NAME SOURCE DESTINATION], IPv4
 *
 * Theory of operation. A packet of UDP has the time of its sending in it. bench/dmux-stamps.c adds when the daemon had
 * it in hand and when the datagram around it was made; a packet socket at INTERFACE, by which the datagram leaves, has
 * the kernel's own time of that. So
 *
 *   - capture: from before sendto until the daemon has the packet. The sender's system call, the queue or the device,
 * the waking of the daemon, its reading;
 *
 *   - shim: from then until the datagram is made. Parsing, fragments and checksums, cookie;
 *
 *   - tunnel: from when the daemon had it, shim included, until the datagram is at the interface. The train, sendmsg,
 * the kernel's routing.
 *
 * A packet is sent when the one before it has left, and PAUSE_NS later. ROUNDS rounds; in each, every way and size
 * takes COUNT packets in turn. Prints lines `NAME_SIZE_PART_pPERCENT VALUE` in us, medians of the rounds' own
 * percentiles; for the median _worst and _best as well; and PLOT is an SVG of all packets' distributions.
 *
 * Limits: a packet that does not leave within a second ends it. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <math.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "bench/measure.h"
#include "bench/plot.h"
#include "bench/stamps.h"
#include "wire/shim.h"

#define PAUSE_NS 300000 /* chosen: everybody sleeps again */
#define WAYS_MAX 2
#define ROUNDS_MAX 99
#define COUNT_MAX 10000
#define PORT 9 /* discard */
#define HEADERS (ETH_HLEN + 20 + 8 + SHIM_LEN + SHIM_COOKIE_LEN)
#define STEPS 99

static const size_t sizes[] = { 64, 256, 576, 1024, 1400 }; /* of the packet: least, common, and most */
static const unsigned percents[] = { 10, 25, 50, 75, 90, 99 };

enum { PART_CAPTURE, PART_SHIM, PART_TUNNEL, PART_COUNT };
static const char *const parts[] = { "capture", "shim", "tunnel" };

struct series {
    double values[ROUNDS_MAX * COUNT_MAX]; /* us; a round's are together */
};

struct way {
    const char *name;
    int fd; /* connected to the destination */
    struct series *series[ARRAY_LEN(sizes)][PART_COUNT];
};

static int fail(const char *what)
{
    fprintf(stderr, "bench-dmux-latency: %s: %s\n", what, strerror(errno));
    return 1;
}

static int tap_open(const char *interface)
{
    const struct sockaddr_ll at = { .sll_family = AF_PACKET,
                                    .sll_protocol = htons(ETH_P_ALL),
                                    .sll_ifindex = (int)if_nametoindex(interface) };
    const struct timeval a_second = { .tv_sec = 1 };
    const int on = 1;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

    if (fd < 0 || at.sll_ifindex == 0 || setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &a_second, sizeof(a_second)) < 0 ||
        bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
        return -1;
    return fd;
}

/* The kernel's time of the message; 0: it has none. */
static uint64_t kernel_time(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        struct timespec t;

        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
            continue;
        memcpy(&t, CMSG_DATA(c), sizeof(t));
        return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
    }
    return 0;
}

/* When the packet of this number left by the interface, 0: it did not. */
static uint64_t await(int tap, uint32_t number, struct stamps *ret)
{
    for (;;) {
        uint8_t frame[2048];
        char control[128];
        struct sockaddr_ll from;
        struct iovec iov = { frame, sizeof(frame) };
        struct msghdr m = { .msg_name = &from,
                            .msg_namelen = sizeof(from),
                            .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof(control) };
        ssize_t n = recvmsg(tap, &m, 0);

        if (n < 0)
            return 0;
        if (from.sll_pkttype != PACKET_OUTGOING || (size_t)n < HEADERS + STAMPS_AT + sizeof(*ret))
            continue;
        memcpy(ret, frame + HEADERS + STAMPS_AT, sizeof(*ret));
        if (ret->magic == STAMPS_MAGIC && ret->number == number)
            return kernel_time(&m);
    }
}

/* One packet; 0, or -1: it was not seen. */
static int measure(const struct way *w, int tap, size_t size, double us[PART_COUNT])
{
    static uint32_t number;
    uint8_t payload[1400] = { 0 };
    struct stamps s = { .magic = STAMPS_MAGIC, .number = ++number };
    uint64_t left;

    s.sent = stamps_now();
    memcpy(payload, &s, sizeof(s));
    if (send(w->fd, payload, size - STAMPS_AT, 0) < 0)
        return -1;
    left = await(tap, number, &s);
    if (left == 0)
        return -1;
    us[PART_CAPTURE] = (double)(int64_t)(s.in_hand - s.sent) / 1e3;
    us[PART_SHIM] = (double)(int64_t)(s.made - s.in_hand) / 1e3;
    us[PART_TUNNEL] = (double)(int64_t)(left - s.in_hand) / 1e3;
    nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
    return 0;
}

static void tell(const struct way *w, size_t size, unsigned part, size_t count, size_t rounds)
{
    struct series *s = w->series[size][part];

    for (size_t i = 0; i < ARRAY_LEN(percents); i++) {
        double of[ROUNDS_MAX];

        for (size_t r = 0; r < rounds; r++)
            of[r] = measure_quantile(s->values + r * count, count, percents[i]);
        printf("%s_%zu_%s_p%u %.1f\n", w->name, sizes[size], parts[part], percents[i], measure_median(of, rounds));
        if (percents[i] == 50)
            printf("%s_%zu_%s_p50_worst %.1f\n%s_%zu_%s_p50_best %.1f\n", w->name, sizes[size], parts[part],
                   of[rounds - 1], w->name, sizes[size], parts[part], of[0]);
    }
}

/* --- the picture --- */

static double add_panel(struct plot_panel *p, const struct way *w, unsigned part, size_t all,
                        struct plot_point (*points)[STEPS])
{
    double max = 0;

    snprintf(p->title, sizeof(p->title), "%s, by %s", parts[part], w->name);
    snprintf(p->source, sizeof(p->source), "%zu packets of each size", all);
    p->at = (struct plot_point){ NAN, NAN };
    p->y = (struct plot_axis){ .label = "part", .max = 1, .parts = 5, .decimals = 1 };
    p->names_low = true;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct plot_curve *c = &p->curves[p->count++];

        snprintf(c->name, sizeof(c->name), "%zu bytes", sizes[i]);
        c->points = points[i];
        c->count = STEPS;
        for (unsigned k = 0; k < STEPS; k++)
            points[i][k] =
                (struct plot_point){ measure_quantile(w->series[i][part]->values, all, k + 1), (k + 1) / 100. };
        max = MAX(max, points[i][STEPS - 2].x); /* of 98 %: the rest is at the edge */
    }
    return max;
}

static int draw(const char *path, const struct way *ways, size_t count, size_t all)
{
    static struct plot_point points[WAYS_MAX * PART_COUNT][ARRAY_LEN(sizes)][STEPS];
    static const unsigned drawn[] = { PART_CAPTURE, PART_TUNNEL };
    struct plot_panel panels[WAYS_MAX * ARRAY_LEN(drawn)] = { 0 };
    struct plot_axis x = { .label = "us", .max = 20, .parts = 4 }; /* one for all, to compare them by eye */
    size_t n = 0;
    FILE *f;
    int r;

    for (size_t i = 0; i < ARRAY_LEN(drawn); i++) {
        for (size_t w = 0; w < count; w++, n++) {
            double max = add_panel(&panels[n], &ways[w], drawn[i], all, points[n]);

            while (x.max < max)
                x.max *= 2;
        }
    }
    for (size_t i = 0; i < n; i++)
        panels[i].x = x;
    f = fopen(path, "w");
    if (!f)
        return -1;
    plot_write(f, "How long does a client's packet take?",
               "Capture: from its sender to the daemon. Tunnel: from there to the wire.", panels, n);
    r = ferror(f) ? -1 : 0;
    return fclose(f) == 0 ? r : -1;
}

/* --- beginning --- */

static int way_init(struct way *w, char **words)
{
    struct sockaddr_in from = { .sin_family = AF_INET }, to = { .sin_family = AF_INET, .sin_port = htons(PORT) };

    w->name = words[0];
    w->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, words[1], &from.sin_addr) != 1 || inet_pton(AF_INET, words[2], &to.sin_addr) != 1)
        errno = EINVAL;
    else if (w->fd >= 0 && bind(w->fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
             connect(w->fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        errno = 0;
    for (size_t i = 0; errno == 0 && i < ARRAY_LEN(sizes); i++) {
        for (unsigned p = 0; p < PART_COUNT; p++)
            w->series[i][p] = malloc(sizeof(struct series)); /* until the end */
    }
    return errno == 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct way ways[WAYS_MAX];
    size_t n = argc > 5 ? (size_t)(argc - 5) / 3 : 0;
    size_t count = argc > 5 ? strtoul(argv[2], NULL, 10) : 0, rounds = argc > 5 ? strtoul(argv[3], NULL, 10) : 0;
    int tap;

    if (n < 1 || n > WAYS_MAX || (argc - 5) % 3 != 0 || count < 1 || count > COUNT_MAX || rounds < 1 ||
        rounds > ROUNDS_MAX) {
        fputs(
            "usage: bench-dmux-latency INTERFACE COUNT ROUNDS PLOT NAME SOURCE DESTINATION [NAME SOURCE DESTINATION]\n",
            stderr);
        return 2;
    }
    tap = tap_open(argv[1]);
    if (tap < 0)
        return fail(argv[1]);
    for (size_t i = 0; i < n; i++) {
        if (way_init(&ways[i], argv + 5 + 3 * i) < 0)
            return fail(argv[5 + 3 * i]);
    }
    for (size_t i = 0; i < rounds * count; i++) {
        for (size_t k = 0; k < n * ARRAY_LEN(sizes); k++) {
            const struct way *w = &ways[k % n];
            double us[PART_COUNT];

            if (measure(w, tap, sizes[k / n], us) < 0)
                return fail(w->name);
            for (unsigned p = 0; p < PART_COUNT; p++)
                w->series[k / n][p]->values[i] = us[p];
        }
    }
    for (size_t k = 0; k < n * ARRAY_LEN(sizes); k++) {
        for (unsigned p = 0; p < PART_COUNT; p++)
            tell(&ways[k % n], k / n, p, count, rounds);
    }
    return draw(argv[4], ways, n, rounds * count) < 0 ? fail(argv[4]) : 0;
}
