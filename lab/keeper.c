/* hawser-keeper: a service manager as small as it can be, for what a daemon leaves to its own (src/sys/notify.h).
 *
 *   hawser-keeper SOCKET PROGRAM ARGUMENT...
 *
 * Runs the program with SOCKET as NOTIFY_SOCKET, keeps the descriptor that it stores, and tells each line that it
 * hears. When the program ends and something is kept, it is started again, as `systemctl restart` would, and given it;
 * else the code is that of the program. SIGTERM is passed on. One descriptor is kept at a time: the daemon has one. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_KEPT 3

struct keeper {
    int notify, signals;
    pid_t child;
    int kept; /* -1: nothing */
    char name[64];
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "hawser-keeper: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_at(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof(at.sun_path)) {
        errno = fd < 0 ? errno : ENAMETOOLONG;
        die(path);
    }
    strcpy(at.sun_path, path);
    unlink(path);
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        die(path);
    return fd;
}

static void start(struct keeper *k, char **program)
{
    sigset_t none;
    char text[12];

    k->child = fork();
    if (k->child < 0)
        die("fork");
    if (k->child > 0) {
        if (k->kept >= 0)
            printf("started with %s\n", k->name);
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (k->kept >= 0) {
        if (dup2(k->kept, FIRST_KEPT) < 0) /* takes the place of a descriptor of ours, which ends with exec anyway */
            die("dup2");
        snprintf(text, sizeof(text), "%d", (int)getpid());
        setenv("LISTEN_PID", text, 1);
        setenv("LISTEN_FDS", "1", 1);
        setenv("LISTEN_FDNAMES", k->name, 1);
    }
    execvp(program[0], program);
    die(program[0]);
}

static void take(struct keeper *k, const char *text, int fd)
{
    const char *name = strstr(text, "FDNAME=");
    char first[32] = { 0 };

    snprintf(first, sizeof(first), "%.*s", (int)strcspn(text, "\n"), text);
    printf("heard %s\n", first);
    if (strcmp(first, "FDSTORE=1") == 0 && fd >= 0 && name) {
        if (k->kept >= 0)
            close(k->kept);
        k->kept = fd;
        snprintf(k->name, sizeof(k->name), "%.*s", (int)strcspn(name + 7, "\n"), name + 7);
        return;
    }
    if (strcmp(first, "FDSTOREREMOVE=1") == 0 && k->kept >= 0) {
        close(k->kept);
        k->kept = -1;
    }
    if (fd >= 0) /* of a barrier, too: that is what it waits for */
        close(fd);
}

/* All that is there. */
static void hear(struct keeper *k)
{
    for (;;) {
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control;
        char text[256];
        struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) - 1 };
        struct msghdr msg = {
            .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
        };
        ssize_t n = recvmsg(k->notify, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL;
        int fd = -1;

        if (n < 0)
            return;
        text[n] = '\0';
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            memcpy(&fd, CMSG_DATA(c), sizeof(int));
        take(k, text, fd);
    }
}

/* The program's code if it is over, else -1. */
static int on_signal(struct keeper *k, char **program)
{
    struct signalfd_siginfo info;
    int status;

    if (read(k->signals, &info, sizeof(info)) != sizeof(info))
        return -1;
    if (info.ssi_signo != SIGCHLD) {
        kill(k->child, (int)info.ssi_signo);
        return -1;
    }
    if (waitpid(k->child, &status, WNOHANG) != k->child)
        return -1;
    hear(k); /* what it said last */
    if (k->kept < 0)
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    start(k, program);
    return -1;
}

int main(int argc, char **argv)
{
    struct keeper k = { .kept = -1 };
    struct pollfd fds[2];
    sigset_t set;
    int code = -1;

    if (argc < 3) {
        fprintf(stderr, "usage: hawser-keeper SOCKET PROGRAM ARGUMENT...\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    k.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    k.notify = listen_at(argv[1]);
    setenv("NOTIFY_SOCKET", argv[1], 1);
    start(&k, argv + 2);
    fds[0] = (struct pollfd){ .fd = k.notify, .events = POLLIN };
    fds[1] = (struct pollfd){ .fd = k.signals, .events = POLLIN };
    while (code < 0) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            die("poll");
        hear(&k);
        code = on_signal(&k, argv + 2);
    }
    unlink(argv[1]);
    return code;
}
