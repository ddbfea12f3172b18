/* sys/notify.c - datagrams to a service manager's socket, with descriptors beside them.
 *
 * Theory of operation. NOTIFY_SOCKET names a Unix socket, by a path or, after '@', in the abstract namespace. A
 * datagram is one message; a descriptor goes along as SCM_RIGHTS. Whether one was read cannot be seen from outside, so
 * a barrier is sent behind: one end of a pipe, which the manager closes when it comes to it. A manager that knows no
 * barrier closes what it did not ask for, which is the same.
 *
 * Kept descriptors begin at number 3. They are for the process that LISTEN_PID names, not for its children.
 *
 * Limits: KEPT_MAX descriptors, SEND_WAIT_S of waiting for room in the manager's queue.
 * Sources: sd_notify(3), sd_listen_fds(3), systemd 246 (BARRIER). */
#include "sys/notify.h"

#include "sys/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_KEPT 3  /* SD_LISTEN_FDS_START */
#define KEPT_MAX 64   /* chosen: far more than anybody is to keep for us */
#define SEND_WAIT_S 2 /* chosen: long for a queue of ten messages, short for the end of a process */

static const char *address(void)
{
    const char *at = getenv("NOTIFY_SOCKET");

    return at && at[0] ? at : NULL;
}

bool notify_wanted(void)
{
    return address() != NULL;
}

/* A socket that is connected to it. */
static int open_socket(void)
{
    struct timeval wait = { .tv_sec = SEND_WAIT_S };
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    const char *at = address();
    size_t len = at ? strlen(at) : 0;
    int fd, r;

    if (!at)
        return -ENOTCONN;
    if ((at[0] != '/' && at[0] != '@') || len < 2 || len >= sizeof(to.sun_path))
        return -EINVAL;
    memcpy(to.sun_path, at, len);
    if (at[0] == '@')
        to.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)); /* else it waits until there is room */
    if (connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

int notify_send(const char *state, int fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec text = { .iov_base = (void *)(uintptr_t)state, .iov_len = strlen(state) };
    struct msghdr msg = { .msg_iov = &text, .msg_iovlen = 1 };
    int to = open_socket(), r = 0;

    if (to < 0)
        return to;
    if (fd >= 0) {
        struct cmsghdr *c;

        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    if (sendmsg(to, &msg, MSG_NOSIGNAL) < 0)
        r = -errno;
    close(to);
    return r;
}

int notify_wait(int timeout_ms)
{
    const instant until = clock_now() + (span)timeout_ms * MSEC;
    struct pollfd read_end = { .events = POLLIN };
    span left;
    int ends[2], r;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    r = notify_send("BARRIER=1", ends[1]);
    close(ends[1]);
    read_end.fd = ends[0];
    if (r == 0) {
        do { /* a signal is no answer */
            left = until - clock_now();
            r = poll(&read_end, 1, (int)(MAX(left, 0) / MSEC));
        } while (r < 0 && errno == EINTR);
        r = r < 0 ? -errno : r == 0 ? -ETIMEDOUT : 0;
    }
    close(ends[0]);
    return r;
}

/* The number that a variable says, 0: none. */
static long number(const char *variable)
{
    const char *text = getenv(variable);
    char *end;
    long n = text ? strtol(text, &end, 10) : 0;

    return text && *text && *end == '\0' && n > 0 ? n : 0;
}

int notify_take(const char *name)
{
    long count = number("LISTEN_PID") == (long)getpid() ? MIN(number("LISTEN_FDS"), (long)KEPT_MAX) : 0;
    const char *names = getenv("LISTEN_FDNAMES");
    size_t wanted = strlen(name);
    int found = -1;

    for (int fd = FIRST_KEPT; fd < FIRST_KEPT + count; fd++) {
        size_t len = names ? strcspn(names, ":") : 0;
        bool named = names && len == wanted && memcmp(names, name, len) == 0;

        if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) {
            if (found < 0 && named)
                found = fd;
            else
                close(fd);
        }
        names = names && names[len] == ':' ? names + len + 1 : NULL;
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return found;
}
