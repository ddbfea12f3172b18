/* bench/dmux-rate.c - packets a second through whatever forwards datagrams of the demultiplexer at the other end of a
 * wire.
 *
 * usage: bench-dmux-rate INTERFACE PORT SECONDS THREADS
 *        bench-dmux-rate INTERFACE PORT bounce
 *
 * Theory of operation. A client's datagram of RATE_FRAME bytes is taken off the interface as it leaves (somebody pings
 * meanwhile). Then the kernel sends it again and again, by BPF_PROG_RUN with live frames, from a thread on each of the
 * first THREADS processors; a program at the interface counts the datagrams that come back for UDP port PORT and drops
 * them. With `bounce` a program at the interface OTHER, the far end of the wire, sends back what comes in: the wire's
 * own limit. The kernel's frames are sent in place of sockets' since those would take both processors.
 *
 * Prints one object of JSON: sent, arrived, seconds. Exit code 77: the kernel has no such frames.
 * Limits: what does not arrive was dropped by the one that is measured or before it; nobody tells. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "bench/measure.h"
#include "bpf/rate.h"
#include "wire/shim.h"

#include <rate_bpf.h>

#define SKIPPED 77
#define THREADS_MAX 8
#define ROUND 65536 /* frames of a call */
#define BATCH 64    /* that are made before any of them is sent */
#define LOOK_S 10

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
    return 0;
}

/* The next datagram of a client with a cookie that leaves by the interface. 0, or -errno; -ETIMEDOUT. */
static int take_frame(unsigned interface, uint8_t frame[RATE_FRAME])
{
    const struct sockaddr_ll at = { .sll_family = AF_PACKET,
                                    .sll_protocol = htons(ETH_P_ALL),
                                    .sll_ifindex = (int)interface };
    const struct timeval a_second = { .tv_sec = 1 };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
    double until = measure_now_s(CLOCK_MONOTONIC) + LOOK_S;
    int r = -ETIMEDOUT;

    if (fd < 0)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &a_second, sizeof(a_second)) < 0)
        r = -errno;
    while (r == -ETIMEDOUT && measure_now_s(CLOCK_MONOTONIC) < until) {
        uint8_t buf[2048];
        struct sockaddr_ll from;
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(fd, buf, sizeof(buf), 0, (struct sockaddr *)&from, &from_len);

        if (n != RATE_FRAME || from.sll_pkttype != PACKET_OUTGOING || get_be16(buf + 12) != ETH_P_IP ||
            buf[14] != 0x45 || buf[23] != IPPROTO_UDP || get_be16(buf + 36) != DMUX_PORT || buf[43] != SHIM_COOKIE)
            continue;
        memcpy(frame, buf, RATE_FRAME);
        put_be16(frame + 40, 0); /* no checksum (RFC 768): what a device would have completed is not */
        r = 0;
    }
    close(fd);
    return r;
}

/* --- sending --- */

struct sender {
    pthread_t thread;
    int program, processor, error;
    const atomic_bool *stop;
    uint64_t sent;
};

static void *send_on(void *arg)
{
    struct sender *s = arg;
    uint8_t blank[RATE_FRAME] = { 0 };
    cpu_set_t where;

    CPU_ZERO(&where);
    CPU_SET(s->processor, &where);
    pthread_setaffinity_np(pthread_self(), sizeof(where), &where);
    while (!atomic_load(s->stop) && s->error == 0) {
        struct bpf_test_run_opts o = { .sz = sizeof(o),
                                       .data_in = blank,
                                       .data_size_in = sizeof(blank),
                                       .repeat = ROUND,
                                       .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
                                       .batch_size = BATCH };

        if (bpf_prog_test_run_opts(s->program, &o) < 0)
            s->error = errno;
        else
            s->sent += ROUND;
    }
    return NULL;
}

static uint64_t count(int map)
{
    uint64_t values[CPU_SETSIZE] = { 0 }, sum = 0;
    uint32_t zero = 0;
    int n = libbpf_num_possible_cpus();

    if (n > 0 && n <= CPU_SETSIZE && bpf_map_lookup_elem(map, &zero, values) == 0)
        for (int i = 0; i < n; i++)
            sum += values[i];
    return sum;
}

/* 0 or -errno. */
static int measure(const struct bpf_object *o, double seconds, int threads)
{
    struct sender senders[THREADS_MAX] = { 0 };
    int map = bpf_object__find_map_fd_by_name(o, "arrived"), begun = 0, r = 0;
    uint64_t sent = 0, before;
    atomic_bool stop = false;
    double start = measure_now_s(CLOCK_MONOTONIC);

    before = count(map);
    for (; begun < threads && r == 0; begun += r == 0) {
        senders[begun].program = bpf_program__fd(bpf_object__find_program_by_name(o, "rate_send"));
        senders[begun].processor = begun;
        senders[begun].stop = &stop;
        r = -pthread_create(&senders[begun].thread, NULL, send_on, &senders[begun]);
    }
    while (r == 0 && measure_now_s(CLOCK_MONOTONIC) < start + seconds)
        nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < begun; i++) {
        pthread_join(senders[i].thread, NULL);
        sent += senders[i].sent;
        if (r == 0)
            r = -senders[i].error;
    }
    if (r == 0)
        printf("{\"sent\":%llu,\"arrived\":%llu,\"seconds\":%.3f}\n", (unsigned long long)sent,
               (unsigned long long)(count(map) - before), measure_now_s(CLOCK_MONOTONIC) - start);
    return r;
}

static int fail(const char *what, int r)
{
    fprintf(stderr, "bench-dmux-rate: %s: %s\n", what, strerror(-r));
    return r == -EINVAL || r == -EOPNOTSUPP ? SKIPPED : 1;
}

/* 0 and *ret, or -errno. */
static int load(const struct rate_job *job, struct bpf_object **ret)
{
    uint32_t zero = 0;

    libbpf_set_print(quiet);
    *ret = bpf_object__open_mem(rate_bpf, sizeof(rate_bpf), NULL);
    if (!*ret || bpf_object__load(*ret) < 0 ||
        bpf_map_update_elem(bpf_object__find_map_fd_by_name(*ret, "job"), &zero, job, 0) < 0)
        return -errno;
    return 0;
}

int main(int argc, char **argv)
{
    bool bounce = argc == 4 && strcmp(argv[3], "bounce") == 0;
    struct rate_job job = { .interface = argc > 3 ? if_nametoindex(argv[1]) : 0 };
    int threads = argc == 5 ? atoi(argv[4]) : 0, r = 0;
    struct bpf_object *o = NULL;
    struct bpf_link *link;

    if (job.interface == 0 || (!bounce && (threads < 1 || threads > THREADS_MAX))) {
        fputs("usage: bench-dmux-rate INTERFACE PORT SECONDS THREADS | INTERFACE PORT bounce\n", stderr);
        return 2;
    }
    job.port = htons((uint16_t)atoi(argv[2]));
    if (!bounce)
        r = take_frame(job.interface, job.frame);
    if (r < 0)
        return fail("no client's datagram left by the interface", r);
    r = load(&job, &o);
    if (r < 0)
        return fail("programs for the kernel", r);
    link = bpf_program__attach_xdp(bpf_object__find_program_by_name(o, bounce ? "rate_bounce" : "rate_sink"),
                                   (int)job.interface);
    if (!link)
        return fail(argv[1], -errno);
    if (bounce) {
        puts("bouncing");
        fflush(stdout);
        pause();
    } else {
        r = measure(o, atof(argv[3]), threads);
    }
    bpf_link__destroy(link);
    bpf_object__close(o);
    return r == 0 ? 0 : fail("sending", r);
}
