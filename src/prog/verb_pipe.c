/* prog/verb_pipe.c - pipe: standard input and output at both ends of a session (as nc does of a connection).
 *
 * Theory of operation. One loop of poll over the two streams and the session's descriptor. What was read from standard
 * input and does not fit waits here, and nothing more is read meanwhile; what came and cannot be written yet waits
 * here, and the session's window tells the peer. Both directions end by themselves: the end of standard input is told
 * to the peer, the peer's end closes standard output, and the verb ends when both have and all has arrived.
 *
 * A descriptor that poll says is writable takes PIPE_BUF bytes without blocking (pipe(7)); more are not written at
 * once. */
#include "prog/peer_args.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define BUFFER 65536

struct stream {
    uint8_t data[BUFFER];
    size_t from, to; /* what waits */
    bool ended;
    int error; /* errno: of the stream, not of the session */
};

/* Waits until the session or (if wanted) a stream is ready; not at all when the session has something already. 0 or
 * -errno. */
static int wait_for(struct hws_session *s, struct pollfd *in, struct pollfd *out, bool ready)
{
    struct pollfd fds[3] = { { .fd = hws_session_fd(s), .events = POLLIN }, *in, *out };

    if (poll(fds, 3, ready ? 0 : hws_session_timeout(s)) < 0 && errno != EINTR)
        return -errno;
    in->revents = fds[1].revents;
    out->revents = fds[2].revents;
    return hws_session_process(s);
}

static int pump_in(struct hws_session *s, struct stream *in, bool ready)
{
    ssize_t n;

    if (in->from == in->to && ready && !in->ended) {
        n = read(STDIN_FILENO, in->data, sizeof(in->data));
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -(in->error = errno);
        in->from = 0;
        in->to = n > 0 ? (size_t)n : 0;
        in->ended = n == 0;
        if (in->ended)
            return hws_session_finish(s);
    }
    if (in->from < in->to) {
        n = hws_session_write(s, in->data + in->from, in->to - in->from);
        if (n < 0 && n != -EAGAIN)
            return (int)n;
        in->from += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int pump_out(struct hws_session *s, struct stream *out, bool ready)
{
    ssize_t n;

    if (out->from == out->to && !out->ended) {
        n = hws_session_read(s, out->data, sizeof(out->data));
        if (n < 0 && n != -EAGAIN)
            return (int)n;
        out->from = 0;
        out->to = n > 0 ? (size_t)n : 0;
        out->ended = n == 0;
        if (out->ended && close(STDOUT_FILENO) < 0) /* where a file system tells of what it could not keep */
            return -(out->error = errno);
    }
    if (out->from < out->to && ready) {
        n = write(STDOUT_FILENO, out->data + out->from, MIN(out->to - out->from, (size_t)PIPE_BUF));
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -(out->error = errno);
        out->from += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* An exit code. */
static int run(const struct verb *v, struct hws_session *s)
{
    static struct stream in, out;
    int r = 0;

    while (r == 0 && !(in.ended && out.ended && out.from == out.to && (hws_session_events(s) & HWS_FLUSHED))) {
        unsigned events = hws_session_events(s);
        bool room = (events & HWS_CONNECTED) && (events & HWS_WRITABLE) && !in.ended && in.from == in.to;
        struct pollfd from = { .fd = room ? STDIN_FILENO : -1, .events = POLLIN };
        struct pollfd to = { .fd = out.from < out.to ? STDOUT_FILENO : -1, .events = POLLOUT };

        if (in.ended && out.ended && out.from == out.to && (events & HWS_ENDED))
            r = -ECONNRESET; /* and it did not say that it had all */
        if (r == 0)
            r = wait_for(s, &from, &to, (events & HWS_READABLE) && out.from == out.to && !out.ended);
        if (r == 0)
            r = pump_in(s, &in, from.revents != 0);
        if (r == 0)
            r = pump_out(s, &out, to.revents != 0);
    }
    if (in.error || out.error)
        return verb_fail(v, "standard %s: %s", in.error ? "input" : "output", strerror(in.error | out.error));
    return r < 0 ? verb_fail(v, "%s", hws_strerror(r)) : EXIT_DONE;
}

static void tell_paths(struct hws_session *s)
{
    struct hws_path p[8];
    size_t n = hws_session_paths(s, p, sizeof(p[0]), ARRAY_LEN(p));

    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "%-15s %-5s %-9s rtt %.1f ms, sent %llu, received %llu bytes\n", p[i].link,
                peer_transport_name(p[i].transport), peer_path_state(p[i].state), p[i].rtt_us / 1000.,
                (unsigned long long)p[i].sent_bytes, (unsigned long long)p[i].received_bytes);
}

static int accept_one(const struct verb *v, struct hws_session **s, int port)
{
    struct hws_session *accepted;
    int r = peer_listen(v, *s, port);

    if (r != EXIT_DONE)
        return r;
    while ((r = hws_session_accept(*s, &accepted)) == -EAGAIN) {
        struct pollfd none = { .fd = -1 };

        r = wait_for(*s, &none, &none, false);
        if (r < 0)
            break;
    }
    if (r < 0)
        return verb_fail(v, "%s", hws_strerror(r));
    hws_session_close(*s);
    *s = accepted;
    return EXIT_DONE;
}

int verb_pipe(const struct verb *v, int argc, char **argv)
{
    const char *port = NULL, *key_file = NULL, *transports = NULL;
    bool verbose = false;
    const struct verb_option options[] = { { "listen", &port, NULL },
                                           { "key", &key_file, NULL },
                                           { "transport", &transports, NULL },
                                           { "verbose", NULL, &verbose },
                                           { NULL, NULL, NULL } };
    struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK };
    struct hws_session *s;
    int n = verb_options(v, argc, argv, options), r;

    if (n < 0)
        return EXIT_USAGE;
    if (port ? n != 0 : n < 2)
        return verb_misused(v, port ? "found arguments beside --listen" : "expected a key and addresses");
    if (port && peer_port(port) < 0)
        return verb_misused(v, "found --listen %s, expected a port", port);
    r = peer_transports(v, transports, &o);
    if (r != EXIT_DONE)
        return r;
    if (!peer_descriptors())
        return EXIT_FAILED;
    signal(SIGPIPE, SIG_IGN);
    r = peer_session(v, key_file, &o, &s);
    if (r != EXIT_DONE)
        return r;
    r = port ? accept_one(v, &s, peer_port(port)) : peer_call(v, s, argv[1], argv + 2, n - 1);
    if (r == EXIT_DONE) {
        r = run(v, s);
        if (verbose)
            tell_paths(s);
    }
    hws_session_close(s);
    return r;
}
