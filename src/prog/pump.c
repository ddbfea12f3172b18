/* prog/pump.c - see pump.h.
 *
 * Theory of operation. One epoll, by edges for what relays read and write. Whatever wakes marks its relay; marked ones
 * get turns until none has more to do. All sessions of a listener share one engine, and what one of them processes may
 * be another's: after each turn the others are asked.
 *
 * A client has a key of its own for each connection: a listener has one session of a key at a time, and who calls is
 * not meant to be known by it.
 *
 * Whoever is on this machine can connect to the socket of questions, and has no token: who has asked nothing when 256
 * others have come makes room for them. While this process has no descriptor left, questions wait at the socket.
 *
 * Nothing tells that a program listens no more. Whether it does is asked of the kernel, which lets nobody bind where
 * somebody listens, when another port comes, and when a call was refused.
 *
 * Limits: 1,024 connections, of which 768 may be calls to servers of ours; 32 ports of servers, 256 questions at a
 * time, the reasons of the last 256 connections that failed. Who listens on a 33rd has plain clients only, and is told.
 * A session without any path lives for 60 s. */
#include "prog/pump.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#include "ident/hash.h"
#include "prog/peer_args.h"
#include "prog/redirect.h"
#include "prog/relay.h"
#include "prog/run_words.h"
#include "sys/clock.h"
#include "sys/sockaddr.h"

#define LINES_MAX 1024                   /* chosen: a browser has some hundred; each costs about ten descriptors */
#define ARRIVALS_MAX (LINES_MAX / 4 * 3) /* chosen: strangers may call; what programs here call has the rest */
#define LISTENERS_MAX 32                 /* chosen: more than servers have */
#define QUESTIONS_MAX 256                /* chosen: threads that ask in the same instant */
#define FAILURES_MAX 256                 /* chosen: a program asks at once */
#define SESSION_TIMEOUT_MS 60000         /* chosen: a peer that was killed says nothing; people give up sooner */
#define READY_MAX 64
#define PAUSE (100 * MSEC) /* chosen: of questions, without a descriptor to take one by */

enum watched {
    WATCH_QUESTIONS,
    WATCH_QUESTION,
    WATCH_LINE,
    WATCH_SESSION,
    WATCH_LISTENER,
    WATCH_SIGNALS,
    WATCH_REDIRECT
};

struct watch {
    enum watched what;
    void *owner;
};

struct question {
    struct watch watch;
    int fd; /* -1: free */
};

struct listener {
    struct watch watch;
    struct hws_session *session; /* NULL: free */
    struct endpoint at;          /* where the program listens */
    bool v6only;
};

/* A connection. */
struct line {
    struct watch fd, session;
    struct relay *relay;    /* NULL: free */
    struct listener *via;   /* of a server; NULL: of a client */
    struct endpoint source; /* towards the server */
    struct endpoint peer;
    bool marked, told;
};

struct pump {
    struct pump_options o;
    int epoll_fd, questions_fd, signals_fd;
    char name[32], token[RUN_TOKEN_LEN + 1];
    struct watch questions_watch, signals_watch;
    struct question questions[QUESTIONS_MAX];
    size_t questions_next; /* whose place is the next one's */
    instant resume_at;     /* INSTANT_NEVER: questions and what is redirected are taken as they come */
    struct watch redirects[2];
    struct listener listeners[LISTENERS_MAX];
    struct line lines[LINES_MAX];
    size_t lines_count, arrivals_count;
    struct {
        uint64_t serial;
        int error;
    } failures[FAILURES_MAX];
    unsigned failures_next;
};

static int watch_fd(struct pump *p, int fd, uint32_t events, struct watch *w)
{
    struct epoll_event ev = { .events = events, .data.ptr = w };

    return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int open_questions(struct pump *p)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    uint8_t random[8 + RUN_TOKEN_LEN / 2];
    size_t len;

    if (getrandom(random, sizeof(random), 0) < 0)
        return -errno;
    for (size_t i = 0; i < RUN_TOKEN_LEN / 2; i++)
        snprintf(p->token + 2 * i, 3, "%02x", random[8 + i]);
    snprintf(p->name, sizeof(p->name), "hawser-pump-%016llx", (unsigned long long)get_be64(random));
    len = strlen(p->name);
    memcpy(at.sun_path + 1, p->name, len);
    p->questions_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p->questions_fd < 0 ||
        bind(p->questions_fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) <
            0 ||
        listen(p->questions_fd, QUESTIONS_MAX) < 0)
        return -errno;
    p->questions_watch.what = WATCH_QUESTIONS;
    return watch_fd(p, p->questions_fd, EPOLLIN, &p->questions_watch);
}

int pump_new(const struct pump_options *o, struct pump **ret)
{
    struct pump *p = calloc(1, sizeof(*p));
    int r;

    if (!p)
        return -ENOMEM;
    p->o = *o;
    p->questions_fd = p->signals_fd = -1;
    p->resume_at = INSTANT_NEVER;
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        p->questions[i] = (struct question){ { WATCH_QUESTION, &p->questions[i] }, -1 };
    for (size_t i = 0; i < LISTENERS_MAX; i++)
        p->listeners[i].watch = (struct watch){ WATCH_LISTENER, &p->listeners[i] };
    for (size_t i = 0; i < LINES_MAX; i++) {
        p->lines[i].fd = (struct watch){ WATCH_LINE, &p->lines[i] };
        p->lines[i].session = (struct watch){ WATCH_SESSION, &p->lines[i] };
    }
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r = p->epoll_fd < 0 ? -errno : open_questions(p);
    for (size_t i = 0; i < ARRAY_LEN(p->redirects) && r == 0; i++) {
        p->redirects[i] = (struct watch){ WATCH_REDIRECT, &p->o.redirect_fds[i] };
        if (o->redirect_fds[i] >= 0)
            r = watch_fd(p, o->redirect_fds[i], EPOLLIN, &p->redirects[i]);
    }
    if (r < 0) {
        pump_free(p);
        return r;
    }
    *ret = p;
    return 0;
}

void pump_free(struct pump *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < LINES_MAX; i++)
        relay_free(p->lines[i].relay);
    for (size_t i = 0; i < LISTENERS_MAX; i++)
        hws_session_close(p->listeners[i].session);
    for (size_t i = 0; i < QUESTIONS_MAX; i++)
        if (p->questions[i].fd >= 0)
            close(p->questions[i].fd);
    if (p->questions_fd >= 0)
        close(p->questions_fd);
    if (p->epoll_fd >= 0)
        close(p->epoll_fd);
    free(p);
}

void pump_env(const struct pump *p, char ret[PUMP_ENV_SIZE])
{
    snprintf(ret, PUMP_ENV_SIZE, "%s:%s", p->name, p->token);
}

size_t pump_count(const struct pump *p)
{
    return p->lines_count;
}

/* --- connections --- */

static void note(struct pump *p, const struct endpoint *at, const char *what)
{
    char text[ENDPOINT_STRLEN];

    fprintf(stderr, "hawser %s: %s: %s\n", p->o.verb->name, endpoint_format(at, text), what);
}

static struct line *free_line(struct pump *p)
{
    for (size_t i = 0; i < LINES_MAX; i++)
        if (!p->lines[i].relay)
            return &p->lines[i];
    return NULL;
}

/* Takes what the options own, also on failure. */
static int begin(struct pump *p, struct line *l, const struct relay_options *o)
{
    int r = relay_new(o, &l->relay);

    if (r < 0)
        return r;
    l->marked = true;
    l->told = false;
    r = watch_fd(p, o->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &l->fd);
    if (r == 0 && !l->via)
        r = watch_fd(p, hws_session_fd(o->session), EPOLLIN, &l->session);
    if (r < 0) {
        relay_free(l->relay);
        l->relay = NULL;
        return r;
    }
    p->lines_count++;
    p->arrivals_count += l->via != NULL;
    return 0;
}

/* Does the program still listen there? The kernel alone knows; what it does not say is a yes. */
static bool is_open(const struct listener *l)
{
    const int on = 1, v6only = l->v6only;
    struct sockaddr_storage ss;
    socklen_t len = sockaddr_from_endpoint(&l->at, 0, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                 (ss.ss_family == AF_INET || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)) == 0) &&
                 bind(fd, (struct sockaddr *)&ss, len) == 0;

    if (fd >= 0)
        close(fd);
    return !bound;
}

static bool has_lines(const struct pump *p, const struct listener *l)
{
    for (size_t i = 0; i < LINES_MAX; i++)
        if (p->lines[i].relay && p->lines[i].via == l)
            return true;
    return false;
}

static void drop_closed(struct pump *p)
{
    for (size_t i = 0; i < LISTENERS_MAX; i++) {
        struct listener *l = &p->listeners[i];

        if (!l->session || has_lines(p, l) || is_open(l))
            continue;
        hws_session_close(l->session);
        l->session = NULL;
    }
}

static void end(struct pump *p, struct line *l)
{
    int error = relay_error(l->relay);
    bool refused = l->via && error == ECONNREFUSED;

    if (!l->via && !relay_is_up(l->relay)) {
        p->failures[p->failures_next].serial = relay_serial(l->relay);
        p->failures[p->failures_next].error = error ? error : ECONNRESET;
        p->failures_next = (p->failures_next + 1) % FAILURES_MAX;
        if (p->o.verbose || error == EKEYREJECTED)
            note(p, &l->peer, hws_strerror(-error));
    } else if (p->o.verbose) {
        char text[100];

        snprintf(text, sizeof(text), "%s, %llu bytes sent, %llu received", error ? hws_strerror(-error) : "closed",
                 (unsigned long long)relay_bytes(l->relay, !l->via), (unsigned long long)relay_bytes(l->relay, l->via));
        note(p, &l->peer, text);
    }
    p->arrivals_count -= l->via != NULL;
    relay_free(l->relay);
    l->relay = NULL;
    l->via = NULL;
    l->marked = false;
    p->lines_count--;
    if (refused)
        drop_closed(p);
}

static void tell_what(struct pump *p, struct line *l)
{
    unsigned events = hws_session_events(relay_session(l->relay));

    l->told = true;
    if (events & HWS_FELL_BACK)
        note(p, &l->peer, "plain, though it took sessions before");
    else if (p->o.verbose)
        note(p, &l->peer,
             events & HWS_IS_PLAIN          ? "plain"
             : events & HWS_UNAUTHENTICATED ? "session, unauthenticated"
                                            : "session");
}

/* --- what programs ask --- */

static void reply(struct question *q, const struct run_answer *a)
{
    (void)send(q->fd, a, sizeof(*a), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static const char *find_pin(const struct pump *p, const struct endpoint *at)
{
    for (size_t i = 0; i < p->o.pins_count; i++) {
        const struct pump_pin *pin = &p->o.pins[i];

        if (addr_equal(&pin->at.addr, &at->addr) && (pin->at.port == 0 || pin->at.port == at->port))
            return pin->key;
    }
    return NULL;
}

static bool is_excluded(const struct pump *p, const struct endpoint *at)
{
    for (size_t i = 0; i < p->o.excludes_count; i++)
        if (prefix_contains(&p->o.excludes[i], &at->addr))
            return true;
    return false;
}

/* A session with whoever is there, or what a pin says. 0 or -errno. */
static int call(struct pump *p, const struct endpoint *at, struct hws_session **ret)
{
    struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK, .timeout_ms = SESSION_TIMEOUT_MS };
    const char *key = find_pin(p, at);
    struct sockaddr_storage ss;
    const struct sockaddr *addresses[] = { (const struct sockaddr *)&ss };
    int r;

    sockaddr_from_endpoint(at, 0, &ss);
    if (key)
        o.flags |= HWS_PLAIN; /* that key or none */
    r = hws_session_socket(&o, ret);
    if (r == 0) {
        r = hws_session_connect(*ret, key, addresses, 1);
        if (r < 0)
            hws_session_close(*ret);
    }
    if (r < 0 && (p->o.verbose || r == -EKEYREJECTED))
        note(p, at, hws_strerror(r));
    return r;
}

/* fd: the pump's end, owned. True: q->fd has been taken over. */
static bool on_connect(struct pump *p, struct question *q, const struct run_ask *ask, int fd)
{
    struct relay_options relay = { .fd = fd, .carried = true, .junk = ask->junk, .waits = -1, .serial = ask->serial };
    struct line *l = free_line(p);
    struct run_answer a = { .error = EAGAIN };
    int r;

    if (!l || fd < 0 || ask->junk == 0 || sockaddr_to_endpoint((const struct sockaddr *)&ask->at, &l->peer) < 0)
        goto refuse;
    if (is_excluded(p, &l->peer)) {
        a = (struct run_answer){ .verdict = RUN_DIRECT };
        goto refuse;
    }
    r = call(p, &l->peer, &relay.session);
    if (r < 0) {
        a.error = -r;
        goto refuse;
    }
    a.error = 0;
    reply(q, &a);
    if (ask->wait) {
        (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, q->fd, NULL);
        relay.waits = q->fd;
    }
    (void)begin(p, l, &relay); /* who waits is told by the end of the question */
    return ask->wait;

refuse:
    if (fd >= 0)
        close(fd);
    reply(q, &a);
    return false;
}

static int open_listener(struct pump *p, struct listener *l)
{
    struct hws_options o = { .size = sizeof(o), .flags = HWS_NONBLOCK | HWS_HELLO, .timeout_ms = SESSION_TIMEOUT_MS };
    static const uint8_t any[16];
    struct sockaddr_storage ss;
    bool all = l->at.addr.family == ADDR_V6 && memcmp(l->at.addr.bytes, any, 16) == 0 && !l->v6only;
    char key[HWS_KEY_SIZE];
    int r = peer_session(p->o.verb, p->o.key_file, &o, &l->session);

    if (r != EXIT_DONE) {
        l->session = NULL;
        return -EACCES;
    }
    sockaddr_from_endpoint(&l->at, 0, &ss);
    r = hws_session_bind(l->session, all ? NULL : (struct sockaddr *)&ss, l->at.port);
    if (r == 0)
        r = hws_session_listen(l->session);
    if (r == 0)
        r = watch_fd(p, hws_session_fd(l->session), EPOLLIN, &l->watch);
    if (r < 0) {
        hws_session_close(l->session);
        l->session = NULL;
        return r;
    }
    hws_session_key(l->session, key);
    if (p->o.verbose)
        note(p, &l->at, key);
    return 0;
}

static int on_listen(struct pump *p, const struct run_ask *ask)
{
    struct listener *l = NULL;
    struct endpoint at;
    int r;

    if (sockaddr_to_endpoint((const struct sockaddr *)&ask->at, &at) < 0 || at.port == 0 || addr_is_loopback(&at.addr))
        return EADDRNOTAVAIL;
    drop_closed(p);
    for (size_t i = 0; i < LISTENERS_MAX; i++) {
        if (!p->listeners[i].session)
            l = &p->listeners[i];
        else if (endpoint_equal(&p->listeners[i].at, &at))
            return 0;
    }
    if (!l) {
        note(p, &at, "too many ports of servers: plain clients only");
        return ENOSPC;
    }
    l->at = at;
    l->v6only = ask->v6only;
    r = open_listener(p, l);
    if (r < 0) /* somebody else has the UDP port, the program perhaps */
        note(p, &at, r == -EADDRINUSE ? "its UDP port is in use: plain clients only" : hws_strerror(r));
    return -r;
}

/* Which calls that server from there? A port is IPv4's and IPv6's at once, and has a connection to each server. */
static struct line *find_call(struct pump *p, const struct sockaddr_storage *from, uint16_t server_port)
{
    struct endpoint source;

    if (sockaddr_to_endpoint((const struct sockaddr *)from, &source) < 0)
        return NULL;
    for (size_t i = 0; i < LINES_MAX; i++) {
        struct line *l = &p->lines[i];

        if (l->relay && l->via && l->via->at.port == server_port && endpoint_equal(&l->source, &source))
            return l;
    }
    return NULL;
}

static int status_of(struct pump *p, uint64_t serial)
{
    for (size_t i = 0; i < LINES_MAX; i++)
        if (p->lines[i].relay && !p->lines[i].via && relay_serial(p->lines[i].relay) == serial)
            return relay_is_up(p->lines[i].relay) ? 0 : EINPROGRESS;
    for (size_t i = 0; i < FAILURES_MAX; i++)
        if (p->failures[i].serial == serial)
            return p->failures[i].error;
    return 0;
}

static int on_release(struct pump *p, uint16_t port)
{
    for (size_t i = 0; i < LINES_MAX; i++)
        if (p->lines[i].relay && p->lines[i].via && p->lines[i].via->at.port == port)
            return EADDRINUSE; /* its sessions have the port, too */
    for (size_t i = 0; i < LISTENERS_MAX; i++)
        if (p->listeners[i].session && p->listeners[i].at.port == port) {
            note(p, &p->listeners[i].at, "the program wants its UDP port: plain clients only");
            hws_session_close(p->listeners[i].session);
            p->listeners[i].session = NULL;
        }
    return 0;
}

/* The descriptors that came: the first, or -1; no other is kept. */
static int first_of(struct msghdr *msg)
{
    int first = -1, fd;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof(fd) <= c->cmsg_len; at += sizeof(fd)) {
            memcpy(&fd, (const char *)c + at, sizeof(fd));
            if (first < 0)
                first = fd;
            else
                close(fd);
        }
    }
    return first;
}

/* What came, and a descriptor with it or -1. 0; -EAGAIN: nothing yet; -EPROTO: nothing that makes sense. */
static int receive(const struct pump *p, const struct question *q, struct run_ask *ret, int *ret_fd)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = ret, .iov_len = sizeof(*ret) };
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
    };
    ssize_t n = recvmsg(q->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    *ret_fd = n >= 0 ? first_of(&msg) : -1;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return -EAGAIN;
    /* cppcheck-suppress uninitvar ; recvmsg has filled it */
    return n == (ssize_t)sizeof(*ret) && ret->magic == RUN_MAGIC && ident_equal(ret->token, p->token, RUN_TOKEN_LEN)
               ? 0
               : -EPROTO;
}

static void on_question(struct pump *p, struct question *q)
{
    struct run_answer a = { 0 };
    struct run_ask ask;
    struct line *l;
    int fd, r = receive(p, q, &ask, &fd);

    if (r == -EAGAIN)
        return;
    if (r < 0) {
        ask.op = 0;
        a.error = EPROTO;
    }
    if (ask.op == RUN_CONNECT) {
        if (on_connect(p, q, &ask, fd))
            q->fd = -1;
        fd = -1;
    } else if (ask.op == RUN_PEER) {
        l = find_call(p, &ask.at, ask.port);
        a.error = l ? 0 : ENOENT;
        if (l)
            sockaddr_from_endpoint(&l->peer, 0, &a.at);
    } else if (ask.op == RUN_LISTEN) {
        a.error = on_listen(p, &ask);
    } else if (ask.op == RUN_STATUS) {
        a.error = status_of(p, ask.serial);
    } else if (ask.op == RUN_RELEASE) {
        a.error = on_release(p, ask.port);
    }
    if (ask.op != RUN_CONNECT)
        reply(q, &a);
    if (fd >= 0)
        close(fd);
    if (q->fd >= 0)
        close(q->fd);
    q->fd = -1;
}

static void pause_questions(struct pump *p, bool pause, instant now)
{
    struct epoll_event ev = { .events = pause ? 0 : EPOLLIN, .data.ptr = &p->questions_watch };

    (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_MOD, p->questions_fd, &ev);
    for (size_t i = 0; i < ARRAY_LEN(p->redirects); i++) {
        ev.data.ptr = &p->redirects[i];
        if (p->o.redirect_fds[i] >= 0)
            (void)epoll_ctl(p->epoll_fd, EPOLL_CTL_MOD, p->o.redirect_fds[i], &ev);
    }
    p->resume_at = pause ? now + PAUSE : INSTANT_NEVER;
}

static void accept_questions(struct pump *p)
{
    for (size_t i = 0; i < QUESTIONS_MAX; i++) {
        struct question *q = &p->questions[p->questions_next];
        int fd = accept4(p->questions_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) /* EMFILE and its kin */
                pause_questions(p, true, clock_now());
            return;
        }
        p->questions_next = (p->questions_next + 1) % QUESTIONS_MAX;
        if (q->fd >= 0)
            on_question(p, q); /* it may have come by now */
        if (q->fd >= 0)
            close(q->fd);
        q->fd = fd;
        if (watch_fd(p, fd, EPOLLIN, &q->watch) < 0) {
            close(fd);
            q->fd = -1;
        }
    }
}

/* What the kernel has redirected. Who connects to that port himself is nobody's. */
static void accept_redirected(struct pump *p, int listening)
{
    for (size_t i = 0; i < READY_MAX; i++) {
        struct relay_options relay = { .fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK),
                                       .waits = -1 };
        struct line *l = free_line(p);

        if (relay.fd < 0) {
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                pause_questions(p, true, clock_now());
            return;
        }
        if (!l || redirect_destination(relay.fd, &l->peer) < 0 || call(p, &l->peer, &relay.session) < 0) {
            const struct linger reset = { .l_onoff = 1 };

            (void)setsockopt(relay.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
            close(relay.fd);
            continue;
        }
        (void)begin(p, l, &relay);
    }
}

/* --- servers --- */

/* Begins to call the program where it listens. The descriptor or -errno. */
static int call_server(const struct listener *l, struct endpoint *ret_source)
{
    static const uint8_t any[16], v6_loopback[16] = { [15] = 1 };
    struct endpoint to = l->at, from = { .addr = addr_v4(RUN_SOURCE_V4) };
    struct sockaddr_storage ss;
    socklen_t len;
    int fd, r;

    if (memcmp(to.addr.bytes, any, 16) == 0)
        to.addr =
            to.addr.family == ADDR_V4 || !l->v6only ? addr_v4(INADDR_LOOPBACK) : addr_from_bytes(ADDR_V6, v6_loopback);
    if (to.addr.family == ADDR_V6)
        from.addr = addr_from_bytes(ADDR_V6, v6_loopback);
    len = sockaddr_from_endpoint(&from, 0, &ss);
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    r = bind(fd, (struct sockaddr *)&ss, len);
    if (r == 0) {
        len = sizeof(ss);
        r = getsockname(fd, (struct sockaddr *)&ss, &len);
        (void)sockaddr_to_endpoint((struct sockaddr *)&ss, ret_source);
    }
    len = sockaddr_from_endpoint(&to, 0, &ss);
    if (r == 0)
        r = connect(fd, (struct sockaddr *)&ss, len);
    if (r < 0 && errno != EINPROGRESS) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

static void take_arrival(struct pump *p, struct listener *l, struct hws_session *s)
{
    struct relay_options relay = { .session = s, .waits = -1 };
    struct line *line = free_line(p);
    struct hws_path path = { 0 };

    if (!line || p->arrivals_count >= ARRIVALS_MAX) {
        hws_session_close(s);
        return;
    }
    hws_session_paths(s, &path, sizeof(path), 1);
    line->peer = (struct endpoint){ 0 };
    (void)sockaddr_to_endpoint((struct sockaddr *)&path.remote, &line->peer);
    line->via = l;
    relay.fd = call_server(l, &line->source);
    if (relay.fd < 0) {
        note(p, &l->at, strerror(-relay.fd));
        hws_session_close(s);
    }
    if (relay.fd < 0 || begin(p, line, &relay) < 0)
        line->via = NULL;
}

static void look_after(struct pump *p, struct listener *l)
{
    struct hws_session *s;

    if (!l->session)
        return;
    while (hws_session_events(l->session) & HWS_READABLE && hws_session_accept(l->session, &s) == 0)
        take_arrival(p, l, s);
    for (size_t i = 0; i < LINES_MAX; i++)
        if (p->lines[i].relay && p->lines[i].via == l && relay_wants(p->lines[i].relay))
            p->lines[i].marked = true;
}

/* --- work --- */

static void turn(struct pump *p, instant now)
{
    for (size_t i = 0; i < LINES_MAX; i++) {
        struct line *l = &p->lines[i];
        enum relay_result r;

        if (!l->relay || (!l->marked && relay_next_expiry(l->relay) > now))
            continue;
        r = relay_turn(l->relay, now);
        l->marked = r == RELAY_MORE;
        if (!l->told && relay_is_up(l->relay))
            tell_what(p, l);
        if (r == RELAY_OVER)
            end(p, l);
    }
    for (size_t i = 0; i < LISTENERS_MAX; i++)
        look_after(p, &p->listeners[i]);
}

static void on_ready(struct pump *p, const struct epoll_event *ev)
{
    struct watch *w = ev->data.ptr;
    struct line *l = w->owner;
    struct listener *listener = w->owner;

    switch (w->what) {
    case WATCH_QUESTIONS:
        accept_questions(p);
        break;
    case WATCH_QUESTION:
        if (((struct question *)w->owner)->fd >= 0)
            on_question(p, w->owner);
        break;
    case WATCH_SESSION:
        if (l->relay)
            (void)hws_session_process(relay_session(l->relay));
        l->marked = true;
        break;
    case WATCH_LINE:
        l->marked = true;
        break;
    case WATCH_LISTENER:
        if (listener->session)
            (void)hws_session_process(listener->session);
        break;
    case WATCH_REDIRECT:
        accept_redirected(p, *(const int *)w->owner);
        break;
    case WATCH_SIGNALS:
        break;
    }
}

int pump_process(struct pump *p, int signals, int ms)
{
    struct epoll_event ready[READY_MAX];
    instant now = clock_now(), next = INSTANT_NEVER;
    bool signalled = false;
    int n, r;

    if (p->signals_fd < 0 && signals >= 0) {
        p->signals_watch.what = WATCH_SIGNALS;
        r = watch_fd(p, signals, EPOLLIN, &p->signals_watch);
        if (r < 0)
            return r;
        p->signals_fd = signals;
    }
    for (size_t i = 0; i < LINES_MAX; i++)
        if (p->lines[i].relay)
            next = instant_min(next, p->lines[i].marked ? now : relay_next_expiry(p->lines[i].relay));
    next = instant_min(next, p->resume_at);
    if (next != INSTANT_NEVER) {
        int due = (int)((MAX(next - now, 0) + MSEC - 1) / MSEC);

        ms = ms < 0 ? due : MIN(ms, due);
    }
    n = epoll_wait(p->epoll_fd, ready, READY_MAX, ms);
    if (n < 0 && errno != EINTR)
        return -errno;
    for (int i = 0; i < n; i++) {
        on_ready(p, &ready[i]);
        signalled |= ((struct watch *)ready[i].data.ptr)->what == WATCH_SIGNALS;
    }
    now = clock_now();
    if (p->resume_at <= now)
        pause_questions(p, false, now);
    turn(p, now);
    return signalled;
}
