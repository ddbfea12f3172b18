/* hawser-probe: the measuring ends of the scenarios.
 *
 *   send, recv   a stream of numbered datagrams; longest gap, losses, duplicates, one-way delay
 *   video        takes RTP and counts whole and broken video frames
 *   echo         types into a command (an ssh session, say) and times the echo of each line
 *   sample       interface counters over time, and the live table of the demo
 *
 * Each prints one line of JSON at its end. Everything runs on one machine, so both ends read one clock. */
#include "lab/probe.h"
#include "sys/sockaddr.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define RECEIVE_BUFFER (4 * 1024 * 1024)
#define RT_PRIORITY 5 /* chosen: below hawser-emu's 10 */

volatile sig_atomic_t probe_stop;

int64_t probe_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

double probe_time(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void probe_sleep_until(int64_t ns)
{
    struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

    while (!probe_stop && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
}

int probe_fail(const char *what)
{
    fprintf(stderr, "hawser-probe: %s: %s\n", what, strerror(errno));
    return 1;
}

void probe_realtime(void)
{
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = RT_PRIORITY });
}

int probe_udp_bind(const struct endpoint *at)
{
    struct sockaddr_storage sa;
    socklen_t len = sockaddr_from_endpoint(at, 0, &sa);
    int size = RECEIVE_BUFFER, fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0) {
        probe_fail("bind");
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    return fd;
}

int probe_udp_connect(const struct endpoint *to, const struct endpoint *from)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int fd = probe_udp_bind(from);

    if (fd < 0)
        return -1;
    len = sockaddr_from_endpoint(to, 0, &sa);
    if (connect(fd, (struct sockaddr *)&sa, len) < 0) {
        probe_fail("connect");
        close(fd);
        return -1;
    }
    return fd;
}

static void on_signal(int number)
{
    probe_stop = 1;
}

static const char usage[] =
    "usage: hawser-probe send ADDR:PORT [--pps N] [--seconds S] [--size BYTES] [--source ADDR]\n"
    "       hawser-probe recv ADDR:PORT [--idle S]\n"
    "       hawser-probe video ADDR:PORT [--frames FILE]\n"
    "       hawser-probe echo [--seconds S] [--every MS] [--log FILE] -- COMMAND...\n"
    "       hawser-probe sample [--every MS] [--out FILE] [--panel FILE] IF...\n";

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {
        { "send", probe_send }, { "recv", probe_recv },     { "video", probe_video },
        { "echo", probe_echo }, { "sample", probe_sample },
    };
    struct sigaction action = { .sa_handler = on_signal };

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (argc > 1 && strcmp(argv[1], verbs[i].name) == 0) {
            int r = verbs[i].run(argc - 1, argv + 1);

            if (r == 2)
                fputs(usage, stderr);
            return r;
        }
    }
    fputs(usage, stderr);
    return 2;
}
