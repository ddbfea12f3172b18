/* prog/verb_pipe.c - pipe: standard input and output at both ends of a session (as nc does of a connection).
 *
 * Theory of operation. One loop of poll over the two streams and the session's descriptor. What was read from standard
 * input and does not fit waits here, and nothing more is read meanwhile; what came and cannot be written yet waits
 * here, and the session's window tells the peer. Both directions end by themselves: the end of standard input is told
 * to the peer, the peer's end closes standard output, and the verb ends when both have and all has arrived.
 *
 * A descriptor that poll says is writable takes PIPE_BUF bytes without blocking (pipe(7)); more are not written at
 * once. */
#include "hawser/session.h"
#include "prog/verb.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define BUFFER 65536
#define ADDRESSES_MAX 8

struct stream {
    uint8_t data[BUFFER];
    size_t from, to; /* what waits */
    bool ended;
};

/* --- arguments --- */

/* The secret in the file; false after telling what is wrong. */
static bool read_secret(const struct verb *v, const char *path, char secret[HWS_KEY_SIZE])
{
    FILE *f = fopen(path, "re");
    bool ok = f && fgets(secret, HWS_KEY_SIZE, f);

    if (!f)
        verb_fail(v, "%s: %s", path, strerror(errno));
    else if (!ok)
        verb_fail(v, "%s: empty, expected a secret key", path);
    if (f)
        fclose(f);
    if (ok)
        secret[strcspn(secret, "\n")] = '\0';
    return ok;
}

static int read_port(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    return *text >= '0' && *text <= '9' && *end == '\0' && port >= 1 && port <= 65535 ? (int)port : -1;
}

/* Appends what HOST:PORT or [HOST]:PORT resolves to. EXIT_DONE, or another after telling what is wrong. */
static int resolve(const struct verb *v, const char *text, struct sockaddr_storage *ret, size_t *count)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG };
    const char *colon = strrchr(text, ':');
    struct addrinfo *list;
    char host[256];
    size_t len = colon ? (size_t)(colon - text) : 0;
    int r;

    if (!colon || len == 0 || len >= sizeof(host) || read_port(colon + 1) < 0)
        return verb_misused(v, "%s: expected HOST:PORT", text);
    if (text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    memcpy(host, text, len);
    host[len] = '\0';
    r = getaddrinfo(host, colon + 1, &hints, &list);
    if (r != 0)
        return verb_fail(v, "%s: %s", host, r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
    for (const struct addrinfo *a = list; a && *count < ADDRESSES_MAX; a = a->ai_next)
        memcpy(&ret[(*count)++], a->ai_addr, a->ai_addrlen);
    freeaddrinfo(list);
    return EXIT_DONE;
}

/* --- the loop --- */

/* Waits until the session or (if wanted) a stream is ready. 0 or -errno. */
static int wait_for(struct hws_session *s, struct pollfd *in, struct pollfd *out)
{
    struct pollfd fds[3] = { { .fd = hws_session_fd(s), .events = POLLIN }, *in, *out };

    if (poll(fds, 3, hws_session_timeout(s)) < 0 && errno != EINTR)
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
            return -errno;
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
        if (out->ended)
            close(STDOUT_FILENO);
    }
    if (out->from < out->to && ready) {
        n = write(STDOUT_FILENO, out->data + out->from, MIN(out->to - out->from, (size_t)PIPE_BUF));
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        out->from += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int run(struct hws_session *s)
{
    static struct stream in, out;
    int r = 0;

    while (r == 0 && !(in.ended && out.ended && out.from == out.to && (hws_session_events(s) & HWS_FLUSHED))) {
        unsigned events = hws_session_events(s);
        bool room = (events & HWS_CONNECTED) && (events & HWS_WRITABLE) && !in.ended && in.from == in.to;
        struct pollfd from = { .fd = room ? STDIN_FILENO : -1, .events = POLLIN };
        struct pollfd to = { .fd = out.from < out.to ? STDOUT_FILENO : -1, .events = POLLOUT };

        if (in.ended && out.ended && out.from == out.to && (events & HWS_ENDED))
            return -ECONNRESET; /* and it did not say that it had all */
        r = wait_for(s, &from, &to);
        if (r == 0)
            r = pump_in(s, &in, from.revents != 0);
        if (r == 0)
            r = pump_out(s, &out, to.revents != 0);
    }
    return r;
}

static void tell_paths(struct hws_session *s)
{
    static const char *const states[] = { "probing", "active", "suspected", "down" };
    struct hws_path p[8];
    size_t n = hws_session_paths(s, p, sizeof(p[0]), ARRAY_LEN(p));

    for (size_t i = 0; i < n; i++)
        fprintf(stderr, "%-15s %-9s rtt %.1f ms, sent %llu, received %llu bytes\n", p[i].link, states[p[i].state],
                p[i].rtt_us / 1000., (unsigned long long)p[i].sent_bytes, (unsigned long long)p[i].received_bytes);
}

static int accept_one(const struct verb *v, struct hws_session **s, const char *port)
{
    struct hws_session *accepted;
    char key[HWS_KEY_SIZE];
    int number = read_port(port), r;

    if (number < 0)
        return verb_misused(v, "found --listen %s, expected a port", port);
    r = hws_session_bind(*s, NULL, (uint16_t)number);
    if (r == 0)
        r = hws_session_listen(*s);
    if (r < 0)
        return verb_fail(v, "UDP port %d: %s", number, hws_strerror(r));
    hws_session_key(*s, key);
    fprintf(stderr, "listening on UDP port %d as %s\n", number, key);
    while ((r = hws_session_accept(*s, &accepted)) == -EAGAIN) {
        struct pollfd none = { .fd = -1 };

        r = wait_for(*s, &none, &none);
        if (r < 0)
            break;
    }
    if (r < 0)
        return verb_fail(v, "%s", hws_strerror(r));
    hws_session_close(*s);
    *s = accepted;
    return EXIT_DONE;
}

static int call(const struct verb *v, struct hws_session *s, int argc, char **argv)
{
    struct sockaddr_storage at[ADDRESSES_MAX];
    const struct sockaddr *pointers[ADDRESSES_MAX];
    size_t count = 0;
    int r = EXIT_DONE;

    for (int i = 2; i <= argc && r == EXIT_DONE; i++)
        r = resolve(v, argv[i], at, &count);
    for (size_t i = 0; i < count; i++)
        pointers[i] = (struct sockaddr *)&at[i];
    if (r != EXIT_DONE)
        return r;
    r = hws_session_connect(s, argv[1], pointers, count);
    if (r == -EBADMSG)
        return verb_misused(v, "%s: expected the peer's public key", argv[1]);
    return r < 0 ? verb_fail(v, "%s: %s", argv[2], hws_strerror(r)) : EXIT_DONE;
}

int verb_pipe(const struct verb *v, int argc, char **argv)
{
    const char *port = NULL, *secret_file = NULL;
    bool verbose = false;
    const struct verb_option options[] = {
        { "listen", &port, NULL }, { "secret", &secret_file, NULL }, { "verbose", NULL, &verbose }, { NULL, NULL, NULL }
    };
    struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK };
    char secret[HWS_KEY_SIZE];
    struct hws_session *s;
    int n = verb_options(v, argc, argv, options), r;

    if (n < 0)
        return EXIT_USAGE;
    if (port ? n != 0 : n < 2)
        return verb_misused(v, port ? "found arguments beside --listen" : "expected a key and addresses");
    if (secret_file && !read_secret(v, secret_file, secret))
        return EXIT_FAILED;
    o.secret = secret_file ? secret : NULL;
    for (int fd = 0; fd <= 2; fd++) /* else the session's own descriptors take their places */
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) < 0)
            return EXIT_FAILED;
    signal(SIGPIPE, SIG_IGN);
    r = hws_session_socket(&o, &s);
    explicit_bzero(secret, sizeof(secret));
    if (r < 0)
        return verb_fail(v, "%s: %s", secret_file ? secret_file : "session", hws_strerror(r));
    r = port ? accept_one(v, &s, port) : call(v, s, n, argv);
    if (r == EXIT_DONE) {
        int error = run(s);

        if (verbose)
            tell_paths(s);
        if (error < 0)
            r = verb_fail(v, "%s", hws_strerror(error));
    }
    hws_session_close(s);
    return r;
}
