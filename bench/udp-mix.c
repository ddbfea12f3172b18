/* bench/udp-mix.c - datagrams of one size or of the classic mix: the highest rate at which hardly any is lost; and
 * round trips over several ways in turns.
 *
 *   bench-udp-mix sink ADDR:PORT                       counts and echoes, until killed
 *   bench-udp-mix search ADDR:PORT 1400|mix [LOW]      prints the rate found: {"pps":..,"bps":..,"trials":..}
 *   bench-udp-mix rtt COUNT [FROM=]ADDR:PORT...        prints a line of JSON for each address: p50, p90, p99 in us;
 *                                                      FROM is a source address
 *
 * Theory of operation. A trial sends for TRIAL_NS at a constant rate, a batch by sendmmsg each TICK_NS, every datagram
 * with the trial's number; then it asks the sink, by the same way, how many of that trial came, until all came or the
 * answer stands still. A tick that comes late is made up for as far as BURST goes: a machine whose timers are late by
 * milliseconds would else measure its timers. The rate told is what was sent, not what was meant. A rate is carried if
 * at most 1 of 1000 is lost; one that is not gets TRIES trials in all, since a busy machine may spoil some. The rate
 * doubles from LOW until it is not carried or no more is sent than before, and the gap between is halved
 * (geometrically) STEPS times: to 4 %.
 *
 * The mix is the classic one: packets of 64, 576 and 1400 bytes, 7:4:1, spread evenly over twelve packets. Sizes are of
 * the inner IP packet. bps counts those.
 *
 * In rtt each round sends one datagram of 64 bytes by each way and waits for its echo, so ways are compared within
 * milliseconds; PAUSE_NS before each, so that the path is idle.
 *
 * Limits: IPv4; 1 sender a sink at a time; 3 million packets/s. */
#include "base/addr.h"
#include "bench/bare_udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEADERS 28         /* IPv4 and UDP */
#define MAGIC 0x48574d58u  /* HWMX */
#define TRIAL_NS 300000000 /* chosen: a full queue of 1000 packets is 3 % of it at 100,000 packets/s */
#define TICK_NS 250000     /* chosen: 125 packets at 500,000 a second */
#define BURST 256          /* chosen: a quarter of a TUN's queue */
#define LOSS_PER_MILLE 1   /* what is asked */
#define STEPS 4            /* 2^(1/16): 4 % */
#define TRIES 3            /* chosen: two in a row spoilt by other work are rare */
#define LOW_PPS 20000      /* chosen: about what the slowest carries */
#define HIGH_PPS 3000000   /* chosen: above what a processor sends */
#define ASK_NS 20000000    /* chosen: longer than any queue here takes to drain by one packet */
#define ASKS 25            /* of no answer: half a second */
#define PAUSE_NS 1000000   /* chosen: a daemon is asleep again by then */
#define ECHO_NS 500000000  /* an echo that takes longer is lost; chosen: thrice the longest delay */
#define WAYS_MAX 16
#define SOCKET_BYTES (8 << 20) /* chosen: the sink must not be what loses */
#define SIZE_MAX_BYTES 1400

enum kind { KIND_DATA = 1, KIND_ASK, KIND_COUNT, KIND_ECHO };

struct message { /* host order: both ends are one machine */
    uint32_t magic, kind, trial, count;
    int64_t at;
};

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static void sleep_until(int64_t at)
{
    struct timespec t = { at / 1000000000, at % 1000000000 };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

static int open_socket(const struct sockaddr_in *local, const struct sockaddr_in *remote)
{
    int bytes = SOCKET_BYTES, fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0 || (local && bind(fd, (const struct sockaddr *)local, sizeof(*local)) < 0) ||
        (remote && connect(fd, (const struct sockaddr *)remote, sizeof(*remote)) < 0)) {
        perror("bench-udp-mix: socket");
        exit(1);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
    return fd;
}

/* --- sink --- */

static int sink(const char *text)
{
    struct sockaddr_in local = bare_udp_address(text), from[64];
    static uint8_t data[64][2048];
    struct mmsghdr m[64] = { 0 };
    struct iovec iov[64];
    uint32_t trial = 0, count = 0;
    int fd = open_socket(&local, NULL);

    for (;;) {
        int n;

        for (int i = 0; i < 64; i++) {
            iov[i] = (struct iovec){ data[i], sizeof(data[i]) };
            m[i].msg_hdr = (struct msghdr){
                .msg_iov = &iov[i], .msg_iovlen = 1, .msg_name = &from[i], .msg_namelen = sizeof(from[i])
            };
        }
        n = recvmmsg(fd, m, 64, MSG_WAITFORONE, NULL);
        if (n < 0 && errno != EINTR && errno != ECONNREFUSED)
            return 1;
        for (int i = 0; i < n; i++) {
            struct message x;

            if (m[i].msg_len < sizeof(x))
                continue;
            memcpy(&x, data[i], sizeof(x));
            if (x.magic != MAGIC)
                continue;
            if (x.trial != trial && x.kind != KIND_ECHO) {
                trial = x.trial;
                count = 0;
            }
            count += x.kind == KIND_DATA;
            if (x.kind == KIND_DATA)
                continue;
            if (x.kind == KIND_ASK) {
                x.kind = KIND_COUNT;
                x.count = count;
            }
            (void)!sendto(fd, &x, sizeof(x), 0, (struct sockaddr *)&from[i], sizeof(from[i]));
        }
    }
}

/* --- search --- */

struct generator {
    int fd;
    uint32_t trial;
    const uint16_t *sizes; /* of inner packets, in turn */
    size_t sizes_count;
    double mean;
    double pps; /* of the last trial, as sent */
};

/* How many of this trial came. */
static uint32_t ask(struct generator *g, uint32_t sent)
{
    struct message x = { .magic = MAGIC, .kind = KIND_ASK, .trial = g->trial };
    struct pollfd p = { .fd = g->fd, .events = POLLIN };
    uint32_t came = 0, same = 0;

    for (int silent = 0; silent < ASKS && same < 2 && came < sent;) {
        struct message y;
        int64_t until = now_ns() + ASK_NS;
        bool answered = false;

        (void)!send(g->fd, &x, sizeof(x), 0);
        while (now_ns() < until) {
            if (poll(&p, 1, 1) > 0 && recv(g->fd, &y, sizeof(y), MSG_DONTWAIT) == sizeof(y) && y.magic == MAGIC &&
                y.kind == KIND_COUNT && y.trial == g->trial) {
                answered = true;
                same = y.count == came ? same + 1 : 0;
                came = y.count;
                if (came >= sent)
                    break;
            }
        }
        silent += !answered;
    }
    return came;
}

static bool trial(struct generator *g, double pps)
{
    static uint8_t data[BURST][SIZE_MAX_BYTES];
    static struct mmsghdr m[BURST];
    static struct iovec iov[BURST];
    int64_t start = now_ns(), at = start, counted = start - TICK_NS;
    double owed = 0;
    uint32_t sent = 0, came;
    size_t next = 0;

    g->trial++;
    while (at < start + TRIAL_NS) {
        unsigned n = 0;

        owed = MIN(owed + pps * (double)(at - counted) / 1e9, (double)BURST);
        counted = at;
        for (; owed >= 1; owed--, n++, next++) {
            struct message x = { .magic = MAGIC, .kind = KIND_DATA, .trial = g->trial };
            size_t size = (size_t)g->sizes[next % g->sizes_count] - HEADERS;

            memcpy(data[n], &x, sizeof(x));
            iov[n] = (struct iovec){ data[n], size };
            m[n].msg_hdr = (struct msghdr){ .msg_iov = &iov[n], .msg_iovlen = 1 };
        }
        for (unsigned done = 0; done < n;) {
            int r = sendmmsg(g->fd, m + done, n - done, 0);

            if (r <= 0 && errno != ENOBUFS && errno != EAGAIN)
                break;
            done += r > 0 ? (unsigned)r : 1; /* refused by a full queue: sent and lost */
            sent += r > 0 ? (unsigned)r : 1;
        }
        at += TICK_NS;
        if (at < now_ns())
            at = now_ns();
        else
            sleep_until(at);
    }
    g->pps = sent * 1e9 / (double)(now_ns() - start);
    came = ask(g, sent);
    return sent > 0 && (sent - MIN(came, sent)) * 1000.0 <= (double)sent * LOSS_PER_MILLE;
}

static int search(const char *to, const char *what, double low)
{
    static const uint16_t mix[] = { 64, 576, 64, 64, 576, 64, 1400, 64, 576, 64, 64, 576 };
    static uint16_t one[1];
    struct sockaddr_in remote = bare_udp_address(to);
    struct generator g = { .fd = open_socket(NULL, &remote), .trial = (uint32_t)getpid() << 12 };
    double good = 0, bad = HIGH_PPS, pps = low;
    unsigned trials = 0, steps = 0;

    prctl(PR_SET_TIMERSLACK, 1);
    if (strcmp(what, "mix") == 0) {
        g.sizes = mix;
        g.sizes_count = ARRAY_LEN(mix);
    } else {
        one[0] = (uint16_t)CLAMP(strtoul(what, NULL, 10), HEADERS + sizeof(struct message), SIZE_MAX_BYTES);
        g.sizes = one;
        g.sizes_count = 1;
    }
    for (size_t i = 0; i < g.sizes_count; i++)
        g.mean += (double)g.sizes[i] / (double)g.sizes_count;
    while (steps < STEPS && pps < HIGH_PPS) {
        bool carried = false;

        for (int i = 0; i < TRIES && !carried; i++, trials++)
            carried = trial(&g, pps);
        if (carried) {
            bool limit = g.pps < pps * 0.9 && g.pps < good * 1.04; /* the generator cannot do more */

            good = MAX(good, g.pps);
            if (limit)
                break;
            pps = bad < HIGH_PPS ? __builtin_sqrt(pps * bad) : pps * 2;
        } else {
            bad = pps;
            if (good <= 0)
                pps /= 4;
            else
                pps = __builtin_sqrt(good * bad);
            if (pps < 100)
                break;
        }
        steps += bad < HIGH_PPS && good > 0;
    }
    printf("{\"pps\":%.0f,\"bps\":%.0f,\"trials\":%u}\n", good, good * g.mean * 8, trials);
    return 0;
}

/* --- rtt --- */

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t echo(int fd, uint32_t number)
{
    struct message x = { .magic = MAGIC, .kind = KIND_ECHO, .trial = number, .at = now_ns() }, y;
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int64_t until = x.at + ECHO_NS;
    char buf[64 - HEADERS] = { 0 };

    memcpy(buf, &x, sizeof(x));
    (void)!send(fd, buf, sizeof(buf), 0);
    while (now_ns() < until)
        if (poll(&p, 1, 10) > 0 && recv(fd, &y, sizeof(y), MSG_DONTWAIT) == sizeof(y) && y.magic == MAGIC &&
            y.trial == number)
            return now_ns() - x.at;
    return -1;
}

static int rtt(size_t count, char **to, size_t ways)
{
    int fds[WAYS_MAX];
    int64_t *took[WAYS_MAX];
    size_t came[WAYS_MAX] = { 0 };

    for (size_t w = 0; w < ways; w++) {
        char *mid = strchr(to[w], '=');
        struct sockaddr_in remote = bare_udp_address(mid ? mid + 1 : to[w]), local = { .sin_family = AF_INET };

        if (mid) {
            *mid = '\0';
            if (inet_pton(AF_INET, to[w], &local.sin_addr) != 1) {
                fprintf(stderr, "bench-udp-mix: %s: expected an IPv4 address\n", to[w]);
                return 2;
            }
            *mid = '=';
        }
        fds[w] = open_socket(&local, &remote);
        took[w] = calloc(count, sizeof(int64_t));
        if (!took[w])
            return 1;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    for (size_t i = 0; i < count; i++) {
        for (size_t w = 0; w < ways; w++) {
            int64_t t;

            sleep_until(now_ns() + PAUSE_NS);
            t = echo(fds[w], (uint32_t)i + 1);
            if (t >= 0)
                took[w][came[w]++] = t;
        }
    }
    for (size_t w = 0; w < ways; w++) {
        qsort(took[w], came[w], sizeof(int64_t), compare);
        if (came[w] < count * 99 / 100)
            printf("{\"to\":\"%s\",\"count\":%zu}\n", to[w], came[w]);
        else
            printf("{\"to\":\"%s\",\"count\":%zu,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f}\n", to[w], came[w],
                   (double)took[w][came[w] / 2] / 1e3, (double)took[w][came[w] * 90 / 100] / 1e3,
                   (double)took[w][came[w] * 99 / 100] / 1e3);
        free(took[w]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "sink") == 0)
        return sink(argv[2]);
    if ((argc == 4 || argc == 5) && strcmp(argv[1], "search") == 0)
        return search(argv[2], argv[3], argc == 5 ? strtod(argv[4], NULL) : LOW_PPS);
    if (argc > 3 && argc <= 3 + WAYS_MAX && strcmp(argv[1], "rtt") == 0)
        return rtt(strtoul(argv[2], NULL, 10), argv + 3, (size_t)argc - 3);
    fprintf(stderr,
            "usage: bench-udp-mix sink ADDR:PORT | search ADDR:PORT BYTES|mix [LOW] | rtt COUNT [FROM=]ADDR:PORT...\n");
    return 2;
}
