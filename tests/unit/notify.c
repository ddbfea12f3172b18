/* Unit tests of sys/notify.h against a manager of our own: a socket that reads what it is told. */
#include "sys/notify.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/hawser-notify-XXXXXX", path[64];
static int manager = -1;

static int listen_at(const char *name, size_t len)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    memcpy(at.sun_path, name, len);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
    return fd;
}

static int set_up(void **state)
{
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/notify", dir);
    manager = listen_at(path, strlen(path));
    return setenv("NOTIFY_SOCKET", path, 1);
}

static int tear_down(void **state)
{
    close(manager);
    unlink(path);
    return rmdir(dir);
}

/* The next message, and the descriptor beside it or -1. */
static int hear(int at, char *text, size_t size)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = text, .iov_len = size - 1 };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    ssize_t n = recvmsg(at, &msg, MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    int fd = -1;

    assert_true(n >= 0);
    text[n] = '\0';
    if (c)
        memcpy(&fd, CMSG_DATA(c), sizeof(int));
    return fd;
}

static void assert_same_file(int a, int b)
{
    struct stat x, y;

    assert_int_equal(fstat(a, &x), 0);
    assert_int_equal(fstat(b, &y), 0);
    assert_int_equal(x.st_ino, y.st_ino);
    assert_int_equal(x.st_dev, y.st_dev);
}

static void test_send(void **state)
{
    int fd = memfd_create("state", MFD_CLOEXEC), got;
    char text[64];

    assert_true(notify_wanted());
    assert_int_equal(notify_send("READY=1", -1), 0);
    assert_int_equal(hear(manager, text, sizeof(text)), -1);
    assert_string_equal(text, "READY=1");
    assert_int_equal(notify_send("FDSTORE=1\nFDNAME=x", fd), 0);
    got = hear(manager, text, sizeof(text));
    assert_string_equal(text, "FDSTORE=1\nFDNAME=x");
    assert_same_file(got, fd);
    close(got);
    close(fd);
}

/* What was read is known to be; what was not, not. */
static void test_wait(void **state)
{
    char text[64];
    int status, fd;
    pid_t child;

    assert_int_equal(notify_wait(0), -ETIMEDOUT);
    fd = hear(manager, text, sizeof(text));
    assert_string_equal(text, "BARRIER=1");
    close(fd);
    assert_int_equal(notify_send("FDSTORE=1", -1), 0);
    child = fork();
    if (child == 0) {
        hear(manager, text, sizeof(text));
        fd = strcmp(text, "FDSTORE=1") == 0 ? hear(manager, text, sizeof(text)) : -1;
        close(fd);
        _exit(fd < 0 || strcmp(text, "BARRIER=1") != 0);
    }
    assert_int_equal(notify_wait(60000), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void on_signal(int signum)
{
}

/* Signals that come meanwhile, as of whoever has the daemon read its configuration again. */
static void test_wait_through_signals(void **state)
{
    const struct sigaction sa = { .sa_handler = on_signal };
    const pid_t parent = getpid();
    char text[64];
    int status, fd;
    pid_t child;

    assert_int_equal(sigaction(SIGUSR1, &sa, NULL), 0);
    child = fork();
    if (child == 0) {
        fd = hear(manager, text, sizeof(text)); /* so it waits, or is about to */
        for (int i = 0; i < 200; i++) {
            kill(parent, SIGUSR1);
            usleep(500); /* time itself: so that they come all through the waiting, not in one */
        }
        close(fd);
        _exit(fd < 0);
    }
    assert_int_equal(notify_wait(60000), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_addresses(void **state)
{
    char name[64], text[16], longest[200];
    int at;

    snprintf(name, sizeof(name), "@hawser-notify-%d", (int)getpid());
    setenv("NOTIFY_SOCKET", name, 1);
    name[0] = '\0';
    at = listen_at(name, 1 + strlen(name + 1));
    assert_int_equal(notify_send("A=b", -1), 0);
    hear(at, text, sizeof(text));
    assert_string_equal(text, "A=b");
    close(at);
    assert_int_equal(notify_send("A=b", -1), -ECONNREFUSED);
    unsetenv("NOTIFY_SOCKET");
    assert_false(notify_wanted());
    assert_int_equal(notify_send("A=b", -1), -ENOTCONN);
    assert_int_equal(notify_wait(0), -ENOTCONN);
    setenv("NOTIFY_SOCKET", "", 1);
    assert_false(notify_wanted());
    setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
    assert_int_equal(notify_send("A=b", -1), -EINVAL);
    memset(longest, 'x', sizeof(longest) - 1);
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    setenv("NOTIFY_SOCKET", longest, 1);
    assert_int_equal(notify_send("A=b", -1), -EINVAL);
    setenv("NOTIFY_SOCKET", "/nonexistent/socket", 1);
    assert_int_equal(notify_send("A=b", -1), -ENOENT);
    setenv("NOTIFY_SOCKET", path, 1);
}

/* A child's exit code: 0 if it found the descriptor `at` under "split" (-1: none), and nothing is left of the others.
 */
static int taken(const char *pid, const char *count, const char *names, int at)
{
    char own[16];
    int status;
    pid_t child = fork();

    if (child == 0) {
        int files[3], got, bad;

        snprintf(own, sizeof(own), "%d", (int)getpid());
        for (int i = 0; i < 3; i++)
            files[i] = fcntl(memfd_create("kept", 0), F_DUPFD, 20);
        for (int i = 0; i < 3; i++)
            dup2(files[i], 3 + i);
        setenv("LISTEN_PID", strcmp(pid, "own") == 0 ? own : pid, 1);
        setenv("LISTEN_FDS", count, 1);
        setenv("LISTEN_FDNAMES", names, 1);
        got = notify_take("split");
        bad = got != at || getenv("LISTEN_PID") || getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES");
        if (got >= 0) {
            assert_same_file(got, files[got - 3]);
            bad |= fcntl(got, F_GETFD) != FD_CLOEXEC;
            for (int fd = 3; fd < 3 + atoi(count); fd++)
                bad |= fd != got && fcntl(fd, F_GETFD) >= 0;
            bad |= notify_take("split") >= 0;
        } else if (strcmp(pid, "own") != 0) { /* they are not ours: untouched */
            bad |= fcntl(3, F_GETFD) < 0;
        }
        _exit(bad);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void test_take(void **state)
{
    assert_int_equal(taken("own", "1", "split", 3), 0);
    assert_int_equal(taken("own", "3", "a:b:split", 5), 0);
    assert_int_equal(taken("own", "3", "split:split:c", 3), 0);
    assert_int_equal(taken("own", "2", "spli:splitt", -1), 0);
    assert_int_equal(taken("own", "2", "split", 3), 0); /* fewer names than descriptors */
    assert_int_equal(taken("own", "1", "", -1), 0);
    assert_int_equal(taken("own", "0", "split", -1), 0);
    assert_int_equal(taken("own", "-1", "split", -1), 0);
    assert_int_equal(taken("own", "x", "split", -1), 0);
    assert_int_equal(taken("1", "1", "split", -1), 0);
    assert_int_equal(taken("", "1", "split", -1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_send),      cmocka_unit_test(test_wait), cmocka_unit_test(test_wait_through_signals),
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_take),
    };

    return cmocka_run_group_tests_name("notify", tests, set_up, tear_down);
}
