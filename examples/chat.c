/* chat: lines of text both ways, each as a message: ordered, lossless (semantics 4), by the paths of the lowest
 * latency.
 *
 *     chat listen PORT
 *     chat call KEY HOST PORT
 *
 * One loop of poll over standard input and the session's descriptor, which wakes for its timers too. */
#include "ends.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define LINE 4096

/* Whole lines of what was read go out; what is left waits for its end. */
static void send_lines(struct hws_session *s, char *buf, size_t *len, bool ended)
{
    size_t from = 0;
    char *end;

    while ((end = memchr(buf + from, '\n', *len - from)) || (from < *len && (ended || *len == LINE))) {
        size_t to = end ? (size_t)(end - buf) : *len;

        must("send", hws_session_send(s, buf + from, to - from, NULL, 0));
        from = end ? to + 1 : to;
    }
    memmove(buf, buf + from, *len - from);
    *len -= from;
}

/* False: the other end has finished. */
static bool print_messages(struct hws_session *s)
{
    static char buf[HWS_MESSAGE_MAX];

    while (hws_session_events(s) & HWS_MESSAGE) {
        ssize_t n = hws_session_receive(s, buf, sizeof(buf), NULL, 0);

        if (n == -ENODATA)
            return false;
        must("receive", n);
        printf("%.*s\n", (int)n, buf);
    }
    fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    const struct hws_options o = { .size = sizeof(o), .objectives = { HWS_LATENCY } };
    bool listens, reading = true, talking = true;
    char **rest, buf[LINE];
    struct hws_session *s = end_open(argc, argv, 0, "", &o, &rest, &listens);
    size_t len = 0;

    while (reading || talking) {
        struct pollfd fds[] = { { .fd = hws_session_fd(s), .events = POLLIN },
                                { .fd = reading ? STDIN_FILENO : -1, .events = POLLIN } };

        poll(fds, 2, hws_session_timeout(s));
        must("session", hws_session_process(s));
        if (talking)
            talking = print_messages(s);
        if (reading && fds[1].revents) {
            ssize_t n = read(STDIN_FILENO, buf + len, sizeof(buf) - len);

            reading = n > 0;
            len += n > 0 ? (size_t)n : 0;
            send_lines(s, buf, &len, !reading);
            if (!reading)
                must("finish", hws_session_finish(s));
        }
    }
    must("close", hws_session_close(s)); /* waits until all has arrived */
    return 0;
}
