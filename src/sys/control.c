/* Local control socket.
 *
 * Theory of operation. An epoll descriptor of our own holds the listener and the clients, so that a loop of any make
 * polls one descriptor. A client's bytes collect in its line buffer; control_pop_request hands out one line a call,
 * going round the clients. Answers are written at once and the rest when the client reads on.
 *
 * The socket file: a name that is taken is tried with connect. A refusal means that its maker is dead, since the kernel
 * refuses only when nobody listens. The mode is set on the socket before it gets its name, so there is no moment at
 * which others could connect.
 *
 * Limits: 16 clients, lines of 4096 bytes, 32 MiB of unread answers a client.
 * Sources: unix(7) (SO_PEERCRED), epoll(7). */
#include "sys/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 8
#define LISTENER UINT64_MAX

struct client {
    int fd; /* -1: free */
    uint64_t id;
    uid_t uid;
    char in[CONTROL_LINE_MAX];
    size_t in_len;
    char *out; /* owned; out_len bytes wait */
    size_t out_len, out_size;
    size_t unanswered; /* requests popped and not replied to */
    bool ending;       /* close when out is written */
    bool gone;         /* it has closed; its lines are still answered in vain */
    bool want_write;
};

struct control {
    int epoll, listener;
    uint64_t next_id;
    size_t next_turn; /* whose line is popped next */
    bool to_all;      /* every user is heard */
    struct client clients[CONTROL_CLIENTS_MAX];
    char line[CONTROL_LINE_MAX];
    struct sockaddr_un address;
    dev_t device; /* of the socket file, to remove only what is ours */
    ino_t inode;
};

static int make_address(const char *path, struct sockaddr_un *ret)
{
    size_t len = strlen(path);

    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    if (len == 0)
        return -EINVAL;
    if (len >= sizeof(ret->sun_path))
        return -ENAMETOOLONG;
    memcpy(ret->sun_path, path, len + 1);
    return 0;
}

/* True if the name is taken by a socket on which nobody listens. */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat st;
    bool stale;
    int fd;

    if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    stale = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int start_listening(struct control *c)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = LISTENER };
    struct stat st;
    int r;

    c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->listener < 0)
        return -errno;
    if (fchmod(c->listener, 0600) < 0)
        return -errno;
    r = bind(c->listener, (struct sockaddr *)&c->address, sizeof(c->address));
    if (r < 0 && errno == EADDRINUSE && is_stale(&c->address)) {
        unlink(c->address.sun_path);
        r = bind(c->listener, (struct sockaddr *)&c->address, sizeof(c->address));
    }
    if (r < 0)
        return -errno;
    if (c->to_all && chmod(c->address.sun_path, 0666) < 0) /* bind has heeded the umask */
        return -errno;
    if (stat(c->address.sun_path, &st) < 0)
        return -errno;
    c->device = st.st_dev;
    c->inode = st.st_ino;
    if (listen(c->listener, BACKLOG) < 0)
        return -errno;
    c->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (c->epoll < 0 || epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->listener, &ev) < 0)
        return -errno;
    return 0;
}

static int open_it(const char *path, bool to_all, struct control **ret)
{
    struct control *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->epoll = c->listener = -1;
    c->to_all = to_all;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        c->clients[i].fd = -1;
    r = make_address(path, &c->address);
    if (r == 0)
        r = start_listening(c);
    if (r < 0) {
        control_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int control_open(const char *path, struct control **ret)
{
    return open_it(path, false, ret);
}

int control_open_to_all(const char *path, struct control **ret)
{
    return open_it(path, true, ret);
}

static void close_client(struct client *k)
{
    if (k->fd >= 0)
        close(k->fd); /* leaves the epoll set by itself: nobody else has this descriptor */
    free(k->out);
    *k = (struct client){ .fd = -1 };
}

void control_free(struct control *c)
{
    struct stat st;

    if (!c)
        return;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        close_client(&c->clients[i]);
    if (c->inode && lstat(c->address.sun_path, &st) == 0 && st.st_dev == c->device && st.st_ino == c->inode)
        unlink(c->address.sun_path);
    if (c->listener >= 0)
        close(c->listener);
    if (c->epoll >= 0)
        close(c->epoll);
    free(c);
}

int control_fd(const struct control *c)
{
    return c->epoll;
}

static struct client *find_client(struct control *c, uint64_t id)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (c->clients[i].fd >= 0 && c->clients[i].id == id)
            return &c->clients[i];
    return NULL;
}

size_t control_clients_count(const struct control *c)
{
    size_t count = 0;

    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        count += c->clients[i].fd >= 0;
    return count;
}

static bool is_allowed(const struct control *c, int fd, uid_t *ret_uid)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    unsigned others = 0;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        return false;
    *ret_uid = peer.uid;
    if (peer.uid == 0 || peer.uid == geteuid())
        return true;
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
        others += c->clients[i].fd >= 0 && c->clients[i].uid == peer.uid;
    return c->to_all && others < CONTROL_CLIENTS_OF_USER;
}

static void accept_clients(struct control *c)
{
    for (int tries = 0; tries < 2 * BACKLOG; tries++) {
        int fd = accept4(c->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct client *k = NULL;
        struct epoll_event ev = { .events = EPOLLIN };
        uid_t uid;

        if (fd < 0)
            return;
        for (size_t i = 0; !k && i < CONTROL_CLIENTS_MAX; i++)
            if (c->clients[i].fd < 0)
                k = &c->clients[i];
        ev.data.u64 = c->next_id;
        if (!k || !is_allowed(c, fd, &uid) || epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &ev) < 0) {
            close(fd);
            continue;
        }
        *k = (struct client){ .fd = fd, .id = c->next_id++, .uid = uid };
    }
}

/* Polls for what the client can still do. */
static void update_interest(struct control *c, struct client *k)
{
    struct epoll_event ev = { .data.u64 = k->id };

    if (!k->ending && !k->gone && k->in_len < sizeof(k->in))
        ev.events |= EPOLLIN;
    if (k->want_write)
        ev.events |= EPOLLOUT;
    epoll_ctl(c->epoll, EPOLL_CTL_MOD, k->fd, &ev);
}

/* Writes what waits. Closes the client when it is broken or has ended. */
static void flush_client(struct control *c, struct client *k)
{
    size_t at = 0;

    while (at < k->out_len) {
        ssize_t n = send(k->fd, k->out + at, k->out_len - at, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            close_client(k);
            return;
        }
        if (n < 0)
            break;
        at += (size_t)n;
    }
    if (at > 0)
        memmove(k->out, k->out + at, k->out_len - at);
    k->out_len -= at;
    if (k->out_len == 0 && k->ending) {
        close_client(k);
        return;
    }
    k->want_write = k->out_len > 0;
    update_interest(c, k);
}

static int append_out(struct client *k, const char *text, size_t len)
{
    if (k->out_len + len > CONTROL_PENDING_MAX)
        return -ENOBUFS;
    if (k->out_len + len > k->out_size) {
        size_t size = MAX(k->out_size * 2, k->out_len + len);
        char *out = realloc(k->out, size);

        if (!out)
            return -ENOMEM;
        k->out = out;
        k->out_size = size;
    }
    memcpy(k->out + k->out_len, text, len);
    k->out_len += len;
    return 0;
}

static void read_client(struct control *c, struct client *k)
{
    ssize_t n = recv(k->fd, k->in + k->in_len, sizeof(k->in) - k->in_len, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        /* Half-closed by a client that still wants its answers, perhaps. */
        k->gone = true;
        if (n < 0 || (k->unanswered == 0 && !memchr(k->in, '\n', k->in_len)))
            k->ending = true;
        flush_client(c, k);
        return;
    }
    k->in_len += (size_t)n;
    if (k->in_len == sizeof(k->in) && !memchr(k->in, '\n', k->in_len)) {
        static const char too_long[] = "error: request longer than 4095 bytes\n";

        k->in_len = 0;
        k->ending = true;
        append_out(k, too_long, sizeof(too_long) - 1);
        flush_client(c, k);
        return;
    }
    update_interest(c, k);
}

int control_process(struct control *c)
{
    struct epoll_event events[CONTROL_CLIENTS_MAX + 1];
    int n = epoll_wait(c->epoll, events, (int)ARRAY_LEN(events), 0);

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    for (int i = 0; i < n; i++) {
        struct client *k;

        if (events[i].data.u64 == LISTENER) {
            accept_clients(c);
            continue;
        }
        k = find_client(c, events[i].data.u64);
        if (k && (events[i].events & EPOLLIN)) {
            read_client(c, k);
        } else if (k && (events[i].events & (EPOLLHUP | EPOLLERR))) {
            close_client(k);
        } else if (k && (events[i].events & EPOLLOUT)) {
            flush_client(c, k);
        }
    }
    return 0;
}

bool control_pop_request(struct control *c, struct control_request *ret)
{
    for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *k = &c->clients[(c->next_turn + i) % CONTROL_CLIENTS_MAX];
        char *newline = k->fd >= 0 && !k->ending ? memchr(k->in, '\n', k->in_len) : NULL;
        size_t len;

        if (!newline)
            continue;
        len = (size_t)(newline - k->in);
        memcpy(c->line, k->in, len);
        c->line[len] = '\0';
        memmove(k->in, newline + 1, k->in_len - len - 1);
        k->in_len -= len + 1;
        k->unanswered++;
        *ret = (struct control_request){ .client = k->id, .line = c->line, .uid = k->uid };
        c->next_turn = (c->next_turn + i + 1) % CONTROL_CLIENTS_MAX;
        update_interest(c, k);
        return true;
    }
    return false;
}

int control_reply(struct control *c, uint64_t client, const char *text)
{
    struct client *k = find_client(c, client);
    int r;

    if (!k)
        return -ENOTCONN;
    r = append_out(k, text, strlen(text));
    if (r == 0)
        r = append_out(k, "\n", 1);
    if (r < 0) {
        close_client(k);
        return r;
    }
    k->unanswered -= k->unanswered > 0;
    if (k->gone && k->unanswered == 0 && !memchr(k->in, '\n', k->in_len))
        k->ending = true;
    flush_client(c, k);
    return 0;
}

/* timeout: of each wait, this one too; zeros: none. */
static int connect_within(const char *path, const struct timeval *timeout)
{
    struct sockaddr_un address;
    int r = make_address(path, &address), fd;

    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* A daemon that hangs accepts nobody, and connect waits for room in its queue (unix(7)). */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, timeout, sizeof(*timeout)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, timeout, sizeof(*timeout)) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        r = errno == EAGAIN ? -ETIMEDOUT : -errno;
        close(fd);
        return r;
    }
    return fd;
}

int control_connect(const char *path)
{
    return connect_within(path, &(struct timeval){ 0 });
}

static int receive_line(int fd, char *buf, size_t size)
{
    size_t len = 0;

    for (;;) {
        ssize_t n = len + 1 < size ? recv(fd, buf + len, size - 1 - len, 0) : -2;
        char *newline;

        if (n == -2)
            return -EMSGSIZE;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        if (n == 0)
            return -EPIPE;
        newline = memchr(buf + len, '\n', (size_t)n);
        len += (size_t)n;
        if (newline) {
            *newline = '\0';
            return (int)(newline - buf);
        }
    }
}

int control_call(const char *path, const char *line, char *buf, size_t size, span timeout)
{
    char request[CONTROL_LINE_MAX];
    struct timeval tv = { .tv_sec = (time_t)(timeout / SEC), .tv_usec = (suseconds_t)(timeout % SEC) };
    size_t len = strlen(line), at = 0;
    int fd, r = 0;

    if (len + 1 > sizeof(request) || strchr(line, '\n') || size == 0)
        return -EINVAL;
    len = (size_t)snprintf(request, sizeof(request), "%s\n", line);
    fd = connect_within(path, &tv);
    if (fd < 0)
        return fd;
    while (r == 0 && at < len) {
        ssize_t n = send(fd, request + at, len - at, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            r = errno == EAGAIN ? -ETIMEDOUT : -errno;
        at += n > 0 ? (size_t)n : 0;
    }
    if (r == 0)
        r = receive_line(fd, buf, size);
    close(fd);
    return r;
}
