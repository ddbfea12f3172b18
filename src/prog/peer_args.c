/* prog/peer_args.c - see peer_args.h.
 *
 * A name is resolved once, when the verb begins: a session follows its paths by itself from then on.
 *
 * Limits: 8 addresses; further ones that a name has are left out. */
#include "prog/peer_args.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>

#include "ident/keys.h"
#include "sys/clock.h"

static int read_secret(const struct verb *v, const char *path, char secret[HWS_KEY_SIZE])
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
    return ok ? EXIT_DONE : EXIT_FAILED;
}

int peer_port(const char *text)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    return *text >= '0' && *text <= '9' && *end == '\0' && port >= 1 && port <= 65535 ? (int)port : -1;
}

int peer_session(const struct verb *v, const char *key_file, struct hws_options *o, struct hws_session **ret)
{
    char secret[HWS_KEY_SIZE] = "";
    int r;

    if (key_file && read_secret(v, key_file, secret) != EXIT_DONE)
        return EXIT_FAILED;
    o->secret = key_file ? secret : NULL;
    r = hws_session_socket(o, ret);
    o->secret = NULL;
    explicit_bzero(secret, sizeof(secret));
    return r < 0 ? verb_fail(v, "%s: %s", key_file ? key_file : "session", hws_strerror(r)) : EXIT_DONE;
}

static const char *const transport_names[] = {
    [HWS_UDP] = "udp",
    [HWS_TCP] = "tcp",
    [HWS_MPTCP] = "mptcp",
    [HWS_SCTP] = "sctp",
};

const char *peer_transport_name(uint32_t transport)
{
    return transport < ARRAY_LEN(transport_names) ? transport_names[transport] : "?";
}

int peer_transports(const struct verb *v, const char *text, struct hws_options *o)
{
    while (text) {
        size_t len = strcspn(text, ","), i = 0;

        while (i < ARRAY_LEN(transport_names) &&
               (strlen(transport_names[i]) != len || strncmp(transport_names[i], text, len) != 0))
            i++;
        if (i == ARRAY_LEN(transport_names))
            return verb_misused(v,
                                "found --transport %.*s, expected udp, tcp, mptcp, sctp or some of these with commas",
                                (int)len, text);
        o->transports[i] = HWS_REQUIRE;
        text = text[len] ? text + len + 1 : NULL;
    }
    return EXIT_DONE;
}

int peer_listen(const struct verb *v, struct hws_session *s, int port)
{
    char key[HWS_KEY_SIZE];
    int r = hws_session_bind(s, NULL, (uint16_t)port);

    if (r == 0)
        r = hws_session_listen(s);
    if (r < 0)
        return verb_fail(v, "port %d: %s", port, hws_strerror(r));
    hws_session_key(s, key);
    fprintf(stderr, "listening on port %d as %s\n", port, key);
    return EXIT_DONE;
}

/* A name server that is silent takes seconds, in which a signal ends us as it would any program. */
static int look_up(const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret)
{
    sigset_t wanted, before;
    int r;

    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigprocmask(SIG_UNBLOCK, &wanted, &before);
    r = getaddrinfo(host, port, hints, ret);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return r;
}

/* Appends what HOST:PORT or [HOST]:PORT resolves to. An exit code. */
static int resolve(const struct verb *v, const char *text, struct sockaddr_storage *ret, size_t *count)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG };
    const char *colon = strrchr(text, ':');
    struct addrinfo *list;
    char host[256];
    size_t len = colon ? (size_t)(colon - text) : 0;
    int r;

    if (!colon || len == 0 || len >= sizeof(host) || peer_port(colon + 1) < 0)
        return verb_misused(v, "%s: expected HOST:PORT", text);
    if (text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len == 0)
        return verb_misused(v, "found no host before the port, expected HOST:PORT");
    memcpy(host, text, len);
    host[len] = '\0';
    r = look_up(host, colon + 1, &hints, &list);
    if (r != 0)
        return verb_fail(v, "%s: %s", host, r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
    for (const struct addrinfo *a = list; a && *count < PEER_ADDRESSES_MAX; a = a->ai_next)
        memcpy(&ret[(*count)++], a->ai_addr, a->ai_addrlen);
    freeaddrinfo(list);
    return EXIT_DONE;
}

int peer_call(const struct verb *v, struct hws_session *s, const char *key, char *const *argv, int count)
{
    struct sockaddr_storage at[PEER_ADDRESSES_MAX];
    const struct sockaddr *pointers[PEER_ADDRESSES_MAX];
    size_t found = 0;
    int r = EXIT_DONE;

    if (count > PEER_ADDRESSES_MAX)
        return verb_misused(v, "found %d addresses, expected at most %d", count, PEER_ADDRESSES_MAX);
    for (int i = 0; i < count && r == EXIT_DONE; i++)
        r = resolve(v, argv[i], at, &found);
    for (size_t i = 0; i < found; i++)
        pointers[i] = (struct sockaddr *)&at[i];
    if (r != EXIT_DONE)
        return r;
    r = hws_session_connect(s, key, pointers, found);
    if (r == -EBADMSG)
        return verb_misused(v, "%s: expected the peer's public key", key);
    return r < 0 ? verb_fail(v, "%s: %s", argv[0], hws_strerror(r)) : EXIT_DONE;
}

bool peer_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) < 0)
            return false;
    return true;
}

const char *peer_path_state(enum hws_path_state s)
{
    static const char *const names[] = {
        [HWS_PATH_PROBING] = "probing",
        [HWS_PATH_ACTIVE] = "active",
        [HWS_PATH_SUSPECTED] = "suspected",
        [HWS_PATH_DOWN] = "down",
    };

    return s <= HWS_PATH_DOWN ? names[s] : "?";
}

int peer_signals(const struct verb *v)
{
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* EFBIG says it */
    fd = sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -1 : signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        verb_fail(v, "signals: %s", strerror(errno));
    return fd;
}

int peer_wait(struct hws_session *s, int signals, instant until)
{
    struct pollfd fds[2] = { { .fd = hws_session_fd(s), .events = POLLIN }, { .fd = signals, .events = POLLIN } };
    span left = until == INSTANT_NEVER ? 3600 * SEC : MAX(until - clock_now(), 0);
    int ms = (int)MIN((left + MSEC - 1) / MSEC, 3600000), due = hws_session_timeout(s);

    if (due >= 0)
        ms = MIN(ms, due);
    if (poll(fds, 2, ms) < 0 && errno != EINTR)
        return -errno;
    if (fds[1].revents & POLLIN)
        return 1;
    return hws_session_process(s);
}

bool peer_seconds(const char *text, double least, double most, double *ret)
{
    char *end;
    double n = strtod(text, &end);

    if (*text == '\0' || text[strspn(text, ".0123456789")] != '\0' || *end != '\0' || !(n >= least && n <= most))
        return false;
    *ret = n;
    return true;
}

int peer_timeout(const struct verb *v, const char *text, struct hws_options *o)
{
    double seconds = 0;

    if (text && !peer_seconds(text, 15, 86400, &seconds))
        return verb_misused(v, "found --timeout %s, expected 15 to 86400 seconds", text);
    o->timeout_ms = (uint32_t)(seconds * 1000);
    return EXIT_DONE;
}

int peer_find_key(char *const *argv, int count)
{
    struct peer_key k;

    for (int i = 1; i <= count; i++)
        if (peer_key_decode(argv[i], &k) == 0)
            return i;
    return 0;
}
