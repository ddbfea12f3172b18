/* prog/dns_server.c - see dns_server.h.
 *
 * Theory of operation. A query is read, and answered at once if the view can; else it waits in a struct dns_pending,
 * with where the answer is to go, until the owner tells. A connection that is closed leaves its questions behind: they
 * are told of, and forgotten.
 *
 * UDP answers leave by the socket that the query came to, without waiting: one that the socket does not take is lost,
 * and its client asks again. Each socket is bound to one address, so answers come from where they are expected.
 *
 * Limits: as in the header. Memory: 0.7 KB a pending question, 4.5 KB a connection. */
#include "prog/dns_server.h"

#include "base/list.h"
#include "prog/turn_away.h"
#include "sys/sockaddr.h"

#include <errno.h>
#include <stdio.h>

struct conn {
    struct list link;
    uv_tcp_t tcp;
    uv_timer_t idle;
    unsigned open; /* handles */
    struct dns_server *server;
    struct list pending;
    struct dns_stream in;
    uint8_t buf[2048];
};

struct dns_pending {
    struct list link; /* server.pending, or conn.pending */
    struct dns_server *server;
    struct conn *conn;
    uv_udp_t *udp; /* NULL: by TCP */
    struct sockaddr_storage from;
    struct dns_query query;
};

struct door {
    uv_udp_t udp;
    uv_tcp_t tcp;
    struct turn_away no_memory;
    struct dns_server *server;
};

struct dns_server {
    uv_loop_t *loop;
    struct dns_view view;
    dns_ask_fn *ask;
    void *owner;
    struct door doors[DNS_SERVER_LISTEN_MAX];
    size_t doors_count;
    unsigned handles; /* of doors and connections, that are not closed yet */
    bool closing;
    struct list conns; /* the one that has asked nothing for the longest first */
    struct list pending;
    struct dns_server_stats stats;
    uint8_t in[65536];
    uint8_t out[2 + DNS_MESSAGE_MAX];
};

/* --- answers --- */

static void count(struct dns_server *s, const struct dns_answer *a)
{
    if ((size_t)a->rcode < ARRAY_LEN(s->stats.answers))
        s->stats.answers[a->rcode]++;
}

struct write {
    uv_write_t req;
    uint8_t bytes[];
};

static void conn_close(struct conn *c);

static void on_written(uv_write_t *req, int status)
{
    struct conn *c = req->handle->data;

    free(CONTAINER_OF(req, struct write, req));
    if (status < 0)
        conn_close(c);
}

static void send_tcp(struct conn *c, const struct dns_query *q, const struct dns_answer *a)
{
    struct dns_server *s = c->server;
    struct write *w;
    uv_buf_t buf;
    size_t len;

    if (uv_is_closing((uv_handle_t *)&c->tcp) ||
        dns_answer_write(q, a, false, s->out + 2, sizeof(s->out) - 2, &len) < 0)
        return;
    put_be16(s->out, (uint16_t)len);
    w = malloc(sizeof(*w) + len + 2);
    if (!w || uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) > DNS_SERVER_UNSENT_MAX) {
        free(w);
        conn_close(c);
        return;
    }
    memcpy(w->bytes, s->out, len + 2);
    buf = uv_buf_init((char *)w->bytes, (unsigned)(len + 2));
    if (uv_write(&w->req, (uv_stream_t *)&c->tcp, &buf, 1, on_written) < 0) {
        free(w);
        conn_close(c);
    }
}

static void send_udp(struct dns_server *s, uv_udp_t *udp, const struct sockaddr *to, const struct dns_query *q,
                     const struct dns_answer *a)
{
    uv_buf_t buf;
    size_t len;

    if (uv_is_closing((uv_handle_t *)udp) || dns_answer_write(q, a, true, s->out, sizeof(s->out), &len) < 0)
        return;
    s->stats.truncated += len > DNS_HEADER_LEN && (s->out[2] & 2);
    buf = uv_buf_init((char *)s->out, (unsigned)len);
    uv_udp_try_send(udp, &buf, 1, to);
}

static void send_answer(struct dns_server *s, struct conn *c, uv_udp_t *udp, const struct sockaddr *to,
                        const struct dns_query *q, const struct dns_answer *a)
{
    count(s, a);
    if (udp)
        send_udp(s, udp, to, q, a);
    else if (c)
        send_tcp(c, q, a);
}

void dns_server_tell(struct dns_pending *p, const struct dns_known *k)
{
    struct dns_server *s = p->server;
    struct dns_answer a;

    dns_view_tell(&s->view, &p->query, k, &a);
    send_answer(s, p->conn, p->udp, (const struct sockaddr *)&p->from, &p->query, &a);
    list_remove(&p->link);
    s->stats.pending--;
    free(p);
}

/* A query that came to `udp` from `from`, or by `c`. */
static void on_query(struct dns_server *s, struct conn *c, uv_udp_t *udp, const struct sockaddr *from,
                     const uint8_t *bytes, size_t len)
{
    struct dns_pending *p;
    struct dns_query q;
    struct dns_answer a;
    struct name name;
    int read = dns_query_read(bytes, len, &q);

    s->stats.queries++;
    s->stats.by_tcp += !udp;
    if (read < 0) {
        s->stats.malformed++;
        return;
    }
    if (dns_view_ask(&s->view, &q, read, &name, &a) == 1) {
        send_answer(s, c, udp, from, &q, &a);
        return;
    }
    p = s->stats.pending < DNS_SERVER_PENDING_MAX ? calloc(1, sizeof(*p)) : NULL;
    if (!p) {
        s->stats.full++;
        a = (struct dns_answer){ .rcode = DNS_SERVFAIL };
        send_answer(s, c, udp, from, &q, &a);
        return;
    }
    p->server = s;
    p->conn = c;
    p->udp = udp;
    p->query = q;
    if (udp)
        memcpy(&p->from, from, from->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    list_append(c ? &c->pending : &s->pending, &p->link);
    s->stats.pending++;
    s->ask(s->owner, &name, p);
}

/* --- UDP --- */

static void on_alloc_udp(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct dns_server *s = ((struct door *)h->data)->server;

    *buf = uv_buf_init((char *)s->in, sizeof(s->in));
}

static void on_udp(uv_udp_t *udp, ssize_t len, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
    struct dns_server *s = ((struct door *)udp->data)->server;

    if (len > 0 && from && !(flags & UV_UDP_PARTIAL) && !s->closing)
        on_query(s, NULL, udp, from, (const uint8_t *)buf->base, (size_t)len);
}

/* --- TCP --- */

static void server_free_if_closed(struct dns_server *s)
{
    bool busy = s->handles > 0;

    for (size_t i = 0; i < s->doors_count; i++)
        busy |= s->doors[i].no_memory.busy;
    if (s->closing && !busy)
        free(s);
}

static void on_conn_closed(uv_handle_t *h)
{
    struct conn *c = h->data;
    struct dns_server *s = c->server;

    s->handles--;
    if (--c->open == 0)
        free(c);
    server_free_if_closed(s);
}

static void conn_close(struct conn *c)
{
    struct dns_server *s = c->server;

    if (uv_is_closing((uv_handle_t *)&c->tcp))
        return;
    LIST_FOREACH_SAFE (p, &c->pending, struct dns_pending, link) {
        p->conn = NULL;
        list_remove(&p->link);
        list_append(&s->pending, &p->link);
    }
    list_remove(&c->link);
    s->stats.conns--;
    uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
    uv_close((uv_handle_t *)&c->idle, on_conn_closed);
}

/* Who says nothing keeps nobody out. NULL: all others wait for answers. */
static struct conn *asks_nothing(const struct dns_server *s, const struct conn *but)
{
    LIST_FOREACH (c, &s->conns, struct conn, link)
        if (c != but && list_empty(&c->pending))
            return c;
    return NULL;
}

static void on_idle(uv_timer_t *t)
{
    conn_close(t->data);
}

static void on_alloc_tcp(uv_handle_t *h, size_t suggested, uv_buf_t *buf)
{
    struct conn *c = h->data;

    *buf = uv_buf_init((char *)c->buf, sizeof(c->buf));
}

static void on_tcp(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct conn *c = stream->data;
    const uint8_t *message;
    size_t message_len;

    if (len < 0) {
        conn_close(c);
        return;
    }
    if (len > 0)
        uv_timer_start(&c->idle, on_idle, DNS_SERVER_IDLE_MS, 0);
    for (size_t at = 0; at < (size_t)len && !uv_is_closing((uv_handle_t *)stream);) {
        int took = dns_stream_push(&c->in, (const uint8_t *)buf->base + at, (size_t)len - at);

        if (took < 0) {
            conn_close(c);
            return;
        }
        at += (size_t)took;
        if (!dns_stream_next(&c->in, &message, &message_len))
            continue;
        list_remove(&c->link);
        list_append(&c->server->conns, &c->link);
        on_query(c->server, c, NULL, NULL, message, message_len);
        dns_stream_drop(&c->in);
    }
}

static void on_turned_away(uv_stream_t *listener)
{
    server_free_if_closed(((struct door *)listener->data)->server);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct door *d = listener->data;
    struct dns_server *s = d->server;
    struct conn *c, *still;

    if (status < 0 || s->closing)
        return;
    c = calloc(1, sizeof(*c));
    if (!c) {
        turn_away(&d->no_memory, listener, on_connection, on_turned_away);
        return;
    }
    c->server = s;
    c->tcp.data = c->idle.data = c;
    list_init(&c->pending);
    list_init(&c->link);
    uv_tcp_init(s->loop, &c->tcp);
    uv_timer_init(s->loop, &c->idle);
    c->open = 2;
    s->handles += 2;
    s->stats.conns++;
    list_append(&s->conns, &c->link);
    uv_timer_start(&c->idle, on_idle, DNS_SERVER_IDLE_MS, 0);
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) < 0 ||
        uv_read_start((uv_stream_t *)&c->tcp, on_alloc_tcp, on_tcp) < 0)
        conn_close(c);
    else if (s->stats.conns > DNS_SERVER_CONNS_MAX)
        conn_close((still = asks_nothing(s, c)) ? still : c);
}

/* --- life --- */

struct dns_server *dns_server_new(uv_loop_t *loop, const struct dns_view *v, dns_ask_fn *ask, void *owner)
{
    struct dns_server *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->loop = loop;
    s->view = *v;
    s->ask = ask;
    s->owner = owner;
    list_init(&s->conns);
    list_init(&s->pending);
    return s;
}

int dns_server_listen(struct dns_server *s, const struct endpoint *at, char err[DNS_SERVER_ERR])
{
    struct sockaddr_storage ss;
    const struct sockaddr *sa = (const struct sockaddr *)&ss;
    char text[ENDPOINT_STRLEN];
    struct door *d;
    int r;

    if (s->doors_count == DNS_SERVER_LISTEN_MAX) {
        snprintf(err, DNS_SERVER_ERR, "more than %d addresses", DNS_SERVER_LISTEN_MAX);
        return -ENOSPC;
    }
    sockaddr_from_endpoint(at, 0, &ss);
    d = &s->doors[s->doors_count++];
    d->server = s;
    d->udp.data = d->tcp.data = d;
    uv_udp_init(s->loop, &d->udp);
    uv_tcp_init(s->loop, &d->tcp);
    s->handles += 2;
    r = uv_udp_bind(&d->udp, sa, 0);
    if (r == 0)
        r = uv_udp_recv_start(&d->udp, on_alloc_udp, on_udp);
    if (r == 0)
        r = uv_tcp_bind(&d->tcp, sa, 0);
    if (r == 0)
        r = uv_listen((uv_stream_t *)&d->tcp, DNS_SERVER_CONNS_MAX, on_connection);
    if (r < 0)
        snprintf(err, DNS_SERVER_ERR, "%s: %s", endpoint_format(at, text), uv_strerror(r));
    return r;
}

static void on_door_closed(uv_handle_t *h)
{
    struct dns_server *s = ((struct door *)h->data)->server;

    s->handles--;
    server_free_if_closed(s);
}

void dns_server_close(struct dns_server *s)
{
    if (!s)
        return;
    LIST_FOREACH_SAFE (c, &s->conns, struct conn, link)
        conn_close(c);
    LIST_FOREACH_SAFE (p, &s->pending, struct dns_pending, link) {
        list_remove(&p->link);
        free(p);
    }
    for (size_t i = 0; i < s->doors_count; i++) {
        uv_close((uv_handle_t *)&s->doors[i].udp, on_door_closed);
        uv_close((uv_handle_t *)&s->doors[i].tcp, on_door_closed);
    }
    s->closing = true;
    server_free_if_closed(s);
}

void dns_server_stats_get(const struct dns_server *s, struct dns_server_stats *ret)
{
    *ret = s->stats;
}
