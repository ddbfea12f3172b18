/* prog/http_server.c - see http_server.h.
 *
 * Theory of operation. A client is a libuv pipe with a buffer of HTTP_HEAD_MAX bytes and a timer. When its request is
 * whole, or is none, the answer is written, its sending side is shut, and it is closed when the peer has read that, or
 * after HTTP_PATIENCE_MS in any case. What comes behind a request is not looked at. Who may ask is the kernel's word
 * (SO_PEERCRED): anybody else is closed before a byte is read, so that nothing depends on what he asked.
 *
 * Limits: HTTP_CLIENTS_MAX. */
#include "prog/http_server.h"

#include "base/list.h"
#include "prog/turn_away.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
    struct http_server *s;
    struct list link;
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_write_t write;
    uv_shutdown_t shutdown;
    char head[HTTP_HEAD_MAX], answer_head[512];
    size_t len;
    struct http_request request;
    struct http_answer answer;
    unsigned handles;              /* that are not closed yet */
    bool answered, ended, closing; /* ended: the peer sends no more */
};

struct http_server {
    uv_pipe_t pipe;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    dev_t dev; /* of the socket's file, which is ours while it is this one */
    ino_t ino;
    http_on_request *on_request;
    void *ctx;
    struct list clients;
    unsigned clients_count;
    struct turn_away no_memory;
    bool closing, closed;
};

void http_answer_error(struct http_answer *a, int status, const char *error)
{
    size_t size = strlen(error) + 32;

    *a = (struct http_answer){ .status = status, .content_type = "application/json", .body = malloc(size) };
    if (a->body)
        a->len = (size_t)snprintf(a->body, size, "{\"error\":\"%s\"}\n", error);
}

static void release(struct http_server *s)
{
    if (s->closed && s->clients_count == 0 && !s->no_memory.busy)
        free(s);
}

static void on_client_closed(uv_handle_t *h)
{
    struct client *c = h->data;

    if (--c->handles > 0)
        return;
    c->s->clients_count--;
    list_remove(&c->link);
    release(c->s);
    free(c->answer.body);
    free(c);
}

static void close_client(struct client *c)
{
    if (c->closing)
        return;
    c->closing = true;
    uv_close((uv_handle_t *)&c->pipe, on_client_closed);
    uv_close((uv_handle_t *)&c->timer, on_client_closed);
}

static void on_patience(uv_timer_t *t)
{
    close_client(t->data);
}

static void on_written(uv_write_t *w, int status)
{
    struct client *c = w->data;

    /* The peer's end, when it has read all, ends it: on_read. */
    if (status < 0 || c->ended || uv_shutdown(&c->shutdown, (uv_stream_t *)&c->pipe, NULL) < 0)
        close_client(c);
}

static void answer(struct client *c, int head_len)
{
    const struct http_request *q = &c->request;
    struct http_answer *a = &c->answer;
    struct text t;
    uv_buf_t bufs[2];

    c->answered = true;
    if (head_len < 0)
        http_answer_error(a, -head_len, "not a request that is understood here");
    else if (q->method == HTTP_OTHER)
        http_answer_error(a, 405, "expected GET or HEAD");
    else
        c->s->on_request(c->s->ctx, q, a);
    if (!a->body)
        *a = (struct http_answer){ .status = 500, .content_type = "application/json" };
    text_init(&t, c->answer_head, sizeof(c->answer_head));
    http_answer_head(&t, a->status, a->content_type, a->len);
    bufs[0] = uv_buf_init(c->answer_head, (unsigned)strlen(c->answer_head));
    bufs[1] = uv_buf_init(a->body, (unsigned)a->len);
    uv_timer_start(&c->timer, on_patience, HTTP_PATIENCE_MS, 0);
    if (uv_write(&c->write, (uv_stream_t *)&c->pipe, bufs, a->len && (head_len < 0 || q->method != HTTP_HEAD) ? 2 : 1,
                 on_written) < 0)
        close_client(c);
}

/* Behind a request nothing counts: it is read over what was there. */
static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    struct client *c = h->data;

    if (c->answered)
        c->len = 0;
    *ret = uv_buf_init(c->head + c->len, (unsigned)(sizeof(c->head) - c->len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = stream->data;
    int r;

    if (n < 0) { /* an end in the middle of a request is not answered */
        c->ended = true;
        if (!c->answered || n != UV_EOF || uv_stream_get_write_queue_size(stream) == 0)
            close_client(c);
        else
            uv_read_stop(stream);
        return;
    }
    if (n == 0 || c->answered)
        return;
    c->len += (size_t)n;
    r = http_request_read(c->head, c->len, &c->request);
    if (r != 0)
        answer(c, r);
}

static bool may_ask(const uv_pipe_t *p)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    uv_os_fd_t fd;

    return uv_fileno((const uv_handle_t *)p, &fd) == 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
           (who.uid == 0 || who.uid == geteuid());
}

static void on_turned_away(uv_stream_t *listener)
{
    release(listener->data);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct http_server *s = server->data;
    struct client *c;

    if (status < 0) /* nobody is there */
        return;
    c = calloc(1, sizeof(*c));
    if (!c) {
        turn_away(&s->no_memory, server, on_connection, on_turned_away);
        return;
    }
    c->s = s;
    s->clients_count++;
    list_append(&s->clients, &c->link);
    uv_pipe_init(server->loop, &c->pipe, 0);
    uv_timer_init(server->loop, &c->timer);
    c->pipe.data = c->timer.data = c->write.data = c;
    c->handles = 2;
    if (uv_accept(server, (uv_stream_t *)&c->pipe) < 0 || s->clients_count > HTTP_CLIENTS_MAX || !may_ask(&c->pipe) ||
        uv_timer_start(&c->timer, on_patience, HTTP_PATIENCE_MS, 0) < 0 ||
        uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) < 0)
        close_client(c);
}

/* Removes the socket of a process that was killed: nobody answers on it. 0; -EADDRINUSE; -errno. */
static int clear(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    struct stat st;
    int fd, r;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    memcpy(at.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    r = connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? errno : 0;
    close(fd);
    if (r != ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static void on_server_closed(uv_handle_t *h)
{
    struct http_server *s = h->data;

    s->closed = true;
    release(s);
}

int http_server_open(uv_loop_t *loop, const char *path, http_on_request *on_request, void *ctx,
                     struct http_server **ret)
{
    struct http_server *s;
    struct stat st;
    mode_t mask;
    int r;

    if (strlen(path) >= sizeof(s->path))
        return -ENAMETOOLONG;
    r = clear(path);
    if (r < 0)
        return r;
    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    memcpy(s->path, path, strlen(path) + 1);
    list_init(&s->clients);
    s->on_request = on_request;
    s->ctx = ctx;
    uv_pipe_init(loop, &s->pipe, 0);
    s->pipe.data = s;
    mask = umask(0177); /* never a moment in which others may connect */
    r = uv_pipe_bind(&s->pipe, path);
    umask(mask);
    if (r == 0 && stat(path, &st) == 0) {
        s->dev = st.st_dev;
        s->ino = st.st_ino;
    }
    if (r == 0)
        r = uv_listen((uv_stream_t *)&s->pipe, HTTP_CLIENTS_MAX, on_connection);
    if (r < 0) {
        http_server_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void http_server_close(struct http_server *s)
{
    struct stat st;

    if (!s || s->closing)
        return;
    s->closing = true;
    if (s->ino && stat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
        unlink(s->path);
    LIST_FOREACH (c, &s->clients, struct client, link)
        close_client(c); /* which stays in the list until the loop has run on */
    uv_close((uv_handle_t *)&s->pipe, on_server_closed);
}
