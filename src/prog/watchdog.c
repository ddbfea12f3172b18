/* prog/watchdog.c - see watchdog.h.
 *
 * Theory of operation. A pipe: the watched process writes a byte now and then; the other end waits for one with a
 * limit, and for the end of file, which is its own end. A beat that nobody can read any more tells of the watchdog's
 * own death: the watched process begins another. */
#include "prog/watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Nothing can be done about a failure: there may be no device (yet). */
static bool set_up(int fd, const char *device, bool up)
{
    struct ifreq ifr = { 0 };

    snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", device);
    if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
        return false;
    ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
    return ioctl(fd, SIOCSIFFLAGS, &ifr) == 0;
}

static _Noreturn void watch(int beats, const char *device, bool again)
{
    struct pollfd p = { .events = POLLIN };
    bool down = false;
    char buf[256];
    int fd;

    dup2(beats, 3);
    close_range(4, ~0u, 0);
    p.fd = 3;
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN); /* it ends with the other */
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (again)
        set_up(fd, device, true);
    for (;;) {
        int n = poll(&p, 1, down ? -1 : (int)(WATCHDOG_LIMIT / MSEC));

        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0) {
            down = set_up(fd, device, false);
            if (down)
                fprintf(stderr, "<3>hung device=%s: taken down\n", device);
            continue;
        }
        if (n < 0 || read(3, buf, sizeof(buf)) <= 0)
            _exit(0);
        if (down) {
            set_up(fd, device, true);
            fprintf(stderr, "<4>goes-on device=%s: up again\n", device);
            down = false;
        }
    }
}

int watchdog_start(struct watchdog *w, const char *device, bool again)
{
    int fds[2], r;

    w->fd = -1;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    w->pid = fork();
    if (w->pid == 0) {
        close(fds[1]);
        watch(fds[0], device, again);
    }
    r = w->pid < 0 ? -errno : 0;
    close(fds[0]);
    w->fd = fds[1];
    if (r == 0 && fcntl(w->fd, F_SETFL, O_NONBLOCK) < 0)
        r = -errno;
    if (r < 0)
        watchdog_end(w);
    return r;
}

int watchdog_beat(struct watchdog *w)
{
    char beat = 1;

    return w->fd < 0 || (write(w->fd, &beat, 1) < 0 && errno == EPIPE) ? -EPIPE : 0; /* a full pipe is beats enough */
}

void watchdog_end(struct watchdog *w)
{
    if (w->fd < 0)
        return;
    close(w->fd);
    w->fd = -1;
    if (w->pid <= 0)
        return;
    kill(w->pid, SIGKILL); /* it may hang itself, and holds nothing */
    (void)waitpid(w->pid, NULL, 0);
}
