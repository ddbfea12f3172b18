/* bulk: a file, lossless and unordered (semantics 2): what comes is written at its place, so no byte waits for another.
 *
 *     bulk listen PORT FILE        receives
 *     bulk call KEY HOST PORT FILE sends
 */
#include "ends.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void fail(const char *name)
{
    fprintf(stderr, "%s: %s\n", name, strerror(errno));
    exit(1);
}

static void receive(struct hws_session *s, const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    static char buf[1 << 20];
    uint64_t place;
    ssize_t n;

    if (fd < 0)
        fail(name);
    while ((n = hws_session_read_at(s, buf, sizeof(buf), &place)) > 0)
        for (ssize_t done = 0, w; done < n; done += w) {
            w = pwrite(fd, buf + done, (size_t)(n - done), (off_t)place + done);
            if (w < 0)
                fail(name);
        }
    must("read", n);
    if (close(fd) < 0)
        fail(name);
}

static void send_all(struct hws_session *s, const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    static char buf[1 << 20];
    ssize_t n;

    if (fd < 0)
        fail(name);
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        for (ssize_t done = 0, w; done < n; done += w) {
            w = hws_session_write(s, buf + done, (size_t)(n - done));
            must("write", w);
        }
    if (n < 0)
        fail(name);
    close(fd);
}

int main(int argc, char **argv)
{
    const struct hws_options o = { .size = sizeof(o), .flags = HWS_UNORDERED };
    bool listens;
    char **rest;
    struct hws_session *s = end_open(argc, argv, 1, "FILE", &o, &rest, &listens);

    (listens ? receive : send_all)(s, rest[0]);
    must("close", hws_session_close(s)); /* the sender waits until all has arrived */
    return 0;
}
