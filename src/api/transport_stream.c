/* api/transport_stream.c - TCP and MPTCP: a connection for each path.
 *
 * Theory of operation. A client connects when the node first sends to an endpoint over such a transport, from the
 * uplink's interface, and again when that connection has ended and the node has more to say. When a path is down its
 * connection is closed: by the head-of-line rule (path/path.h) nothing good will come of it, and the probes that follow
 * go over another. A listener accepts, on the port of its UDP; its sessions know a connection by its number
 * (locator_pair.conn), and a new one to the same path is a move.
 *
 * The port may be a foreign service's. So who listens speaks first (session/greeting.h), and until a client has read
 * that it keeps what it has to say, of which nobody else gets a byte. Who says something else, or nothing for five
 * seconds, is let alone for a minute.
 *
 * The node is told what a connection has room for before it is asked what it has: at most each millisecond, unless all
 * room was used. A connection without room is waited for as writable.
 *
 * Who connects is a stranger until a record of a peer came over that connection and opened: strangers are few, and have
 * ten seconds. A byte that does not belong into a stream of records ends the connection. Accepting pauses when the
 * process has no descriptors left.
 *
 * Limits: 1,024 connections, of these 256 of strangers and 64 of one source network (/24, /64; 16 of strangers);
 * TCPCONN_KEPT_MAX, a record and, of a client, 4 KiB before the greeting each at most, and 256 KiB for all to read
 * into, from the first on. */
#include "api/transport.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "session/greeting.h"
#include "sys/clock.h"
#include "sys/tcpconn.h"
#include "wire/carrier.h"

#define CONNS_MAX 1024               /* chosen: as hawserd's */
#define CONNS_BITS 10                /* of a connection's number: its place; above, how often that was used */
#define STRANGERS_MAX 256            /* chosen: as many handshakes as ten seconds of the budget pay for, and room */
#define NETWORK_MAX 64               /* chosen: of one source network: a provider's NAT has many customers behind it */
#define NETWORK_STRANGERS 16         /* chosen */
#define STRANGER_LIFE (10 * SEC)     /* chosen: twice SESSION_RETRY_AFTER */
#define IDLE_LIFE (60 * SEC)         /* chosen: twelve probes of an idle path */
#define RECONNECT_AFTER (250 * MSEC) /* chosen: as a path that is down is first probed */
#define GREETING_WAIT (5 * SEC)      /* chosen: some round trips by satellite, and one segment sent again */
#define FOREIGN_LIFE (60 * SEC)      /* chosen: a listener that begins there is found within a minute */
#define HELD_MAX 4096                /* chosen: an INIT, and what is said of a path before it is used */
#define ACCEPTS_MAX 64               /* a wake-up */
#define READ_ROUNDS 4                /* of READ_BYTES a wake-up */
#define READ_BYTES (256 * 1024)      /* chosen: sixteen of the largest records */
#define TELL_EVERY MSEC              /* while it is sent to; without room, whenever there is something to do */
#define TELL_BUSY (10 * MSEC)        /* else: whether it is in trouble */
#define BUSY_FOR (2 * SEC)           /* chosen: a stall has been seen by then */
#define POLL_EVERY (2 * MSEC)        /* a socket that does not say when it has room */
#define SWEEP_EVERY SEC

struct conn {
    struct transport_watch watch;
    struct tcpconn *stream; /* NULL: closed; a client's is to be connected again */
    struct locator_pair at;
    unsigned index, uses;
    bool used, proven, waits, writing, told;
    bool greeted;  /* a client: who listens there is who is called; until then */
    uint8_t *held; /* HELD_MAX, or NULL: to be said to him */
    size_t held_len;
    instant foreign_until;
    unsigned peer;
    uint8_t slot;
    instant since, heard, told_at, moved; /* moved: something was sent or came */
    size_t given;                         /* bytes since the node was told of room */
    size_t room;                          /* as it was told */
};

struct listening {
    struct transport_watch watch;
    int fd;
    bool paused;
};

struct stream_transport {
    struct transport_use t;
    bool multipath;
    struct listening listening[2];
    struct conn **conns; /* CONNS_MAX; made when first used, and kept */
    size_t count;        /* of places made */
    size_t in_use, strangers;
    uint64_t refused;
    char interfaces[1 + TRANSPORT_LINKS_MAX][2][LINK_NAME_MAX + 1]; /* by link and family; "": whatever */
    bool opened[1 + TRANSPORT_LINKS_MAX][2];
    instant sweep_at;
    uint8_t *buf; /* READ_BYTES */
};

static bool probe_multipath(void)
{
    const struct tcpconn_options o = { .multipath = true };
    const struct endpoint nowhere = { .addr = { .family = ADDR_V4, .bytes = { 127, 0, 0, 1 } }, .port = 1 };
    struct tcpconn *s = NULL;
    int r = tcpconn_connect(&o, &nowhere, &s);

    tcpconn_free(s);
    return r != -EPROTONOSUPPORT;
}

static int make(struct transports *all, enum transport kind, struct transport_use **ret)
{
    struct stream_transport *s;

    if (kind == TRANSPORT_MPTCP && !probe_multipath())
        return -EPROTONOSUPPORT;
    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->t = (struct transport_use){ .ops = transport_table[kind], .all = all };
    s->multipath = kind == TRANSPORT_MPTCP;
    s->listening[0].fd = s->listening[1].fd = -1;
    s->sweep_at = INSTANT_NEVER;
    *ret = &s->t;
    return 0;
}

/* --- connections --- */

static uint32_t number_of(const struct conn *c)
{
    return (uint32_t)c->uses << CONNS_BITS | c->index;
}

static struct conn *find(struct stream_transport *s, const struct locator_pair *at)
{
    unsigned index = at->conn & (CONNS_MAX - 1);

    if (at->conn > 0) {
        struct conn *c = index < s->count ? s->conns[index] : NULL;

        return c && c->used && number_of(c) == at->conn ? c : NULL;
    }
    for (size_t i = 0; i < s->count; i++)
        if (s->conns[i]->used && locator_pair_same(&s->conns[i]->at, at))
            return s->conns[i];
    return NULL;
}

static struct conn *place(struct stream_transport *s)
{
    struct conn *c;

    for (size_t i = 0; i < s->count; i++)
        if (!s->conns[i]->used)
            return s->conns[i];
    if (s->count == CONNS_MAX || (!s->conns && !(s->conns = calloc(CONNS_MAX, sizeof(*s->conns)))) ||
        (!s->buf && !(s->buf = malloc(READ_BYTES))) || !(c = calloc(1, sizeof(*c))))
        return NULL;
    c->index = (unsigned)s->count;
    s->conns[s->count++] = c;
    return c;
}

static struct conn *take_place(struct stream_transport *s, const struct locator_pair *at, instant now)
{
    struct conn *c = place(s);
    unsigned index, uses;

    if (!c)
        return NULL;
    index = c->index;
    uses = (c->uses + 1) & ((1u << (32 - CONNS_BITS)) - 1);
    *c = (struct conn){ .index = index,
                        .uses = uses ? uses : 1,
                        .used = true,
                        .at = *at,
                        .peer = UINT16_MAX,
                        .slot = SESSION_SLOTS,
                        .since = now - RECONNECT_AFTER,
                        .heard = now,
                        .foreign_until = now };
    s->in_use++;
    s->strangers++;
    s->sweep_at = MIN(s->sweep_at, now + SWEEP_EVERY);
    return c;
}

static void forget_held(struct conn *c)
{
    free(c->held);
    c->held = NULL;
    c->held_len = 0;
}

/* Whoever has a path over it is told. A client's place stays, to be connected again. */
static void hang_up(struct stream_transport *s, struct conn *c, instant now)
{
    if (!c->stream)
        return;
    tcpconn_free(c->stream);
    c->stream = NULL;
    c->told = c->waits = c->writing = c->greeted = false;
    forget_held(c);
    node_on_transport_lost(s->t.all->node, c->peer, c->slot, &c->at, now);
}

static void forget(struct stream_transport *s, struct conn *c, instant now)
{
    hang_up(s, c, now);
    s->strangers -= !c->proven;
    s->in_use--;
    c->used = false;
}

static void lose(struct stream_transport *s, struct conn *c, instant now)
{
    if (s->t.all->listens)
        forget(s, c, now);
    else
        hang_up(s, c, now);
}

static void rearm(struct stream_transport *s, struct conn *c)
{
    bool want = c->stream && (tcpconn_wants_write(c->stream) || c->waits);
    struct epoll_event ev = { .events = EPOLLIN | (want ? EPOLLOUT : 0u), .data.ptr = &c->watch };

    if (!c->stream || want == c->writing)
        return;
    c->writing = want;
    epoll_ctl(s->t.all->epoll_fd, EPOLL_CTL_MOD, tcpconn_fd(c->stream), &ev);
}

/* Takes the connection, also on failure. */
static int take(struct stream_transport *s, struct conn *c, struct tcpconn *stream, instant now)
{
    int r = transport_watch_add(&s->t, &c->watch, tcpconn_fd(stream));

    if (r < 0) {
        tcpconn_free(stream);
        return r;
    }
    c->stream = stream;
    c->since = c->heard = now;
    c->writing = c->told = false;
    rearm(s, c);
    return 0;
}

static bool is_news(const struct conn *c, instant now)
{
    span age = now - c->told_at;

    if (!c->told || c->given >= c->room)
        return true;
    return (c->given > 0 && age >= TELL_EVERY) || (age >= TELL_BUSY && now - c->moved < BUSY_FOR);
}

/* What there is room for, if that may be news. */
static void tell(struct stream_transport *s, struct conn *c, instant now)
{
    struct tcpconn_state state;
    struct path_transport t;

    if (!c->stream || c->slot >= SESSION_SLOTS || !c->greeted || !tcpconn_is_connected(c->stream) || !is_news(c, now))
        return;
    tcpconn_state(c->stream, &state, now);
    t = (struct path_transport){ .room_bytes = state.room_bytes,
                                 .rtt = state.rtt,
                                 .rttvar = state.rttvar,
                                 .min_rtt = state.min_rtt,
                                 .rate_bps = state.rate_bps,
                                 .rate_is_lower_bound = state.rate_is_lower_bound,
                                 .sent_bytes = state.sent_bytes,
                                 .resent_bytes = state.resent_bytes,
                                 .acked_bytes = state.acked_bytes,
                                 .troubled = state.troubled };
    c->told = true;
    c->told_at = now;
    c->room = state.room_bytes;
    c->given = 0;
    c->waits = state.waits;
    node_on_transport(s->t.all->node, c->peer, c->slot, &c->at, &t, now);
    rearm(s, c);
}

static void before_output(struct transport_use *t, instant now)
{
    struct stream_transport *s = (struct stream_transport *)t;

    for (size_t i = 0; i < s->count; i++)
        if (s->conns[i]->used)
            tell(s, s->conns[i], now);
}

/* --- receiving --- */

/* A client has read the first that it was told. 0, or negative: the connection is over. */
static int take_greeting(struct stream_transport *s, struct conn *c, const uint8_t *data, size_t len, instant now)
{
    int r;

    if (!greeting_check(node_peer_spec(s->t.all->node, 0)->key.x25519, data, len)) {
        c->foreign_until = now + FOREIGN_LIFE;
        return -EPROTO;
    }
    c->greeted = true;
    r = c->held_len > 0 ? tcpconn_write(c->stream, c->held, c->held_len) : 0;
    forget_held(c);
    return r;
}

/* The records of what was read. Negative: the connection is over. */
static int take_records(struct stream_transport *s, struct conn *c, size_t len, instant now)
{
    size_t at = 0;
    int n;

    while ((n = carrier_peek(s->buf + at, len - at, c->greeted ? RECORD_LARGE_MAX : GREETING_LEN)) > 0) {
        if (!c->greeted) {
            int r = take_greeting(s, c, s->buf + at + CARRIER_PREFIX, (size_t)n, now);

            if (r < 0)
                return r;
        } else if (node_on_datagram(s->t.all->node, &c->at, s->buf + at + CARRIER_PREFIX, (size_t)n, 0, 0, now) > 0 &&
                   !c->proven) {
            c->proven = true;
            s->strangers--;
        }
        at += CARRIER_PREFIX + (size_t)n;
    }
    if (n < 0 && !c->greeted)
        c->foreign_until = now + FOREIGN_LIFE;
    return n < 0 ? n : tcpconn_keep(c->stream, s->buf + at, len - at);
}

static void ready_conn(struct stream_transport *s, struct conn *c, uint32_t events, instant now)
{
    int r = events & (EPOLLOUT | EPOLLERR | EPOLLHUP) ? tcpconn_flush(c->stream) : 0;
    unsigned uses = c->uses;

    if (events & EPOLLOUT)
        c->told = false; /* there may be room now */
    c->at.local = *tcpconn_local(c->stream);
    for (unsigned round = 0; round < READ_ROUNDS && r >= 0 && events & ~(uint32_t)EPOLLOUT; round++) {
        ssize_t n = tcpconn_read(c->stream, s->buf, READ_BYTES);

        if (n <= 0) {
            r = (int)n;
            break;
        }
        c->heard = c->moved = now;
        r = take_records(s, c, (size_t)n, now);
        if (r == 0 && n < READ_BYTES)
            break;
        if (r == 0)
            transports_output(s->t.all, now); /* acknowledgements do not wait for the last of many */
        if (!c->stream || c->uses != uses)    /* sending found that it is over */
            return;
    }
    if (r < 0)
        lose(s, c, now);
    else
        rearm(s, c);
}

/* --- a listener --- */

static bool same_network(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, a->family == ADDR_V4 ? 3 : 8) == 0;
}

static bool admits(const struct stream_transport *s, const struct addr *from)
{
    unsigned all = 0, strangers = 0;

    if (s->in_use == CONNS_MAX || s->strangers >= STRANGERS_MAX)
        return false;
    for (size_t i = 0; i < s->count; i++) {
        const struct conn *c = s->conns[i];

        if (!c->used || !same_network(&c->at.remote.addr, from))
            continue;
        all++;
        strangers += !c->proven;
    }
    return all < NETWORK_MAX && strangers < NETWORK_STRANGERS;
}

static void pause_listening(struct stream_transport *s, struct listening *l, bool pause)
{
    struct epoll_event ev = { .events = pause ? 0 : EPOLLIN, .data.ptr = &l->watch };

    if (l->fd < 0 || l->paused == pause)
        return;
    l->paused = pause;
    epoll_ctl(s->t.all->epoll_fd, EPOLL_CTL_MOD, l->fd, &ev);
}

/* Takes the connection, also on failure, and says who listens here. */
static int greet(struct stream_transport *s, struct conn *c, struct tcpconn *stream, instant now)
{
    uint8_t out[CARRIER_PREFIX + GREETING_LEN];
    struct rng rng = sys_rng();
    int r = take(s, c, stream, now);

    if (r < 0)
        return r;
    put_be16(out, GREETING_LEN);
    greeting_write(s->t.all->self->x25519, &rng, out + CARRIER_PREFIX);
    c->greeted = true;
    return tcpconn_write(stream, out, sizeof(out));
}

static void accept_some(struct stream_transport *s, struct listening *l, instant now)
{
    struct tcpconn *stream;
    int r = 0;

    for (int i = 0; i < ACCEPTS_MAX && (r = tcpconn_accept(l->fd, &stream)) == 1; i++) {
        struct locator_pair at = {
            .link = NODE_LISTEN_LINK,
            .local = *tcpconn_local(stream),
            .remote = *tcpconn_remote(stream),
            .transport = (uint8_t)(tcpconn_is_multipath(stream) ? TRANSPORT_MPTCP : TRANSPORT_TCP),
        };
        /* Where MPTCP listens, TCP comes in too. */
        struct stream_transport *of = (struct stream_transport *)s->t.all->of[at.transport];
        struct conn *c = of && admits(of, &at.remote.addr) ? take_place(of, &at, now) : NULL;

        if (!c) {
            s->refused++;
            tcpconn_free(stream);
            continue;
        }
        c->at.conn = number_of(c);
        if (greet(of, c, stream, now) < 0)
            forget(of, c, now);
    }
    if (r < 0) {
        pause_listening(s, l, true); /* the sweep begins again */
        s->sweep_at = MIN(s->sweep_at, now + SWEEP_EVERY);
    }
}

static int listen_at(struct transport_use *t, const struct endpoint *at)
{
    struct stream_transport *s = (struct stream_transport *)t;
    struct listening *l = &s->listening[at->addr.family == ADDR_V6];
    int r;

    if (l->fd >= 0)
        return 0;
    /* One socket takes both. */
    if (!s->multipath && s->t.all->of[TRANSPORT_MPTCP])
        return 0;
    r = tcpconn_listen(at, s->multipath, &l->fd);
    if (r < 0)
        return r;
    r = transport_watch_add(t, &l->watch, l->fd);
    if (r < 0) {
        close(l->fd);
        l->fd = -1;
    }
    return r;
}

/* --- a client --- */

static int open_uplink(struct transport_use *t, uint32_t link, bool v6, const char *interface)
{
    struct stream_transport *s = (struct stream_transport *)t;

    if (link > TRANSPORT_LINKS_MAX)
        return -EINVAL;
    snprintf(s->interfaces[link][v6], sizeof(s->interfaces[link][v6]), "%s", interface ? interface : "");
    s->opened[link][v6] = true;
    return 0;
}

static void close_uplink(struct transport_use *t, uint32_t link, bool v6, instant now)
{
    struct stream_transport *s = (struct stream_transport *)t;

    s->opened[link][v6] = false;
    for (size_t i = 0; i < s->count; i++) {
        struct conn *c = s->conns[i];

        if (c->used && c->at.link == link && (c->at.remote.addr.family == ADDR_V6) == v6)
            forget(s, c, now);
    }
}

static void reach(struct stream_transport *s, struct conn *c, instant now)
{
    bool v6 = c->at.remote.addr.family == ADDR_V6;
    struct tcpconn_options o = { .multipath = s->multipath };
    struct tcpconn *stream;

    if (!s->opened[c->at.link][v6] || now - c->since < RECONNECT_AFTER || now < c->foreign_until)
        return;
    if (*s->interfaces[c->at.link][v6])
        o.interface = s->interfaces[c->at.link][v6];
    c->since = now;
    if (tcpconn_connect(&o, &c->at.remote, &stream) == 0)
        (void)!take(s, c, stream, now);
}

/* --- both --- */

/* What is not in the form of a stream yet: datagrams of `segment` bytes, the last may be shorter. */
static int write_datagrams(struct conn *c, const struct session_tx *tx, const uint8_t *data)
{
    size_t segment = tx->segment ? tx->segment : tx->len;
    uint8_t one[CARRIER_PREFIX + RECORD_MAX];
    int r = 0;

    for (size_t at = 0, n; at < tx->len && r == 0; at += n) {
        n = MIN(segment, tx->len - at);
        if (n > RECORD_MAX)
            return -EPROTO;
        put_be16(one, (uint16_t)n);
        memcpy(one + CARRIER_PREFIX, data + at, n);
        r = tcpconn_write(c->stream, one, CARRIER_PREFIX + n);
    }
    return r;
}

/* What is said before the greeting has come, whole records in the form of a stream. What there is no room for is lost:
 * it is said again. */
static int hold(struct conn *c, const struct session_tx *tx, const uint8_t *data)
{
    size_t prefix = tx->framed ? 0 : CARRIER_PREFIX;

    if (!c->held && !(c->held = malloc(HELD_MAX)))
        return 0;
    if ((tx->segment && tx->segment < tx->len) || c->held_len + prefix + tx->len > HELD_MAX)
        return 0;
    if (prefix > 0)
        put_be16(c->held + c->held_len, (uint16_t)tx->len);
    memcpy(c->held + c->held_len + prefix, data, tx->len);
    c->held_len += prefix + tx->len;
    return 0;
}

static void send_records(struct transport_use *t, const struct session_tx *tx, const uint8_t *data, instant now)
{
    struct stream_transport *s = (struct stream_transport *)t;
    struct conn *c = find(s, &tx->at);
    int r;

    if (!c && tx->at.conn == 0 && !t->all->listens && tx->at.link <= TRANSPORT_LINKS_MAX)
        c = take_place(s, &tx->at, now);
    if (c && tx->slot < SESSION_SLOTS && (c->slot != tx->slot || c->peer != tx->peer)) {
        c->slot = tx->slot;
        c->peer = tx->peer;
        c->told = false;
    }
    if (c && !c->stream)
        reach(s, c, now);
    if (!c || !c->stream) {
        if (tx->peer != UINT16_MAX)
            node_on_transport_lost(t->all->node, tx->peer, tx->slot, &tx->at, now);
        return;
    }
    r = !c->greeted  ? hold(c, tx, data)
        : tx->framed ? tcpconn_write(c->stream, data, tx->len)
                     : write_datagrams(c, tx, data);
    c->given += tx->len;
    c->moved = now;
    if (r < 0) {
        lose(s, c, now);
    } else if (tcpconn_wants_write(c->stream)) {
        c->told = false; /* it takes no more */
        tell(s, c, now);
    }
    rearm(s, c);
}

static void path_down(struct transport_use *t, const struct locator_pair *at, instant now)
{
    struct stream_transport *s = (struct stream_transport *)t;
    struct conn *c = find(s, at);

    if (c)
        lose(s, c, now);
}

static int ready(struct transport_use *t, struct transport_watch *w, uint32_t events, instant now)
{
    struct stream_transport *s = (struct stream_transport *)t;
    struct conn *c = CONTAINER_OF(w, struct conn, watch);

    for (size_t i = 0; i < ARRAY_LEN(s->listening); i++)
        if (w == &s->listening[i].watch) {
            accept_some(s, &s->listening[i], now);
            return 0;
        }
    if (c->used && c->stream)
        ready_conn(s, c, events, now);
    return 0;
}

/* Does a path go over it? */
static bool is_wanted(const struct stream_transport *s, const struct conn *c, instant now)
{
    struct session *session = node_peer_session(s->t.all->node, 0);
    struct session_path_info info;

    for (unsigned i = 0; session && i < SESSION_SLOTS; i++) {
        session_path_info(session, i, now, &info);
        if (info.used && locator_pair_same(&info.at, &c->at))
            return true;
    }
    return false;
}

static void sweep(struct stream_transport *s, instant now)
{
    bool listens = s->t.all->listens;

    for (size_t i = 0; i < s->count; i++) {
        struct conn *c = s->conns[i];

        if (!c->used)
            continue;
        if (c->stream && !c->greeted && now - c->since > GREETING_WAIT) {
            c->foreign_until = now + FOREIGN_LIFE;
            hang_up(s, c, now);
        }
        if (listens ? (!c->proven && now - c->since > STRANGER_LIFE) || now - c->heard > IDLE_LIFE
                    : !is_wanted(s, c, now))
            forget(s, c, now);
    }
    for (size_t i = 0; i < ARRAY_LEN(s->listening); i++)
        pause_listening(s, &s->listening[i], false);
    s->sweep_at = s->in_use > 0 ? now + SWEEP_EVERY : INSTANT_NEVER;
}

static instant next_expiry(const struct transport_use *t)
{
    const struct stream_transport *s = (const struct stream_transport *)t;
    instant next = s->sweep_at;

    for (size_t i = 0; i < s->count; i++) {
        const struct conn *c = s->conns[i];

        if (c->used && c->stream && c->told && c->given >= c->room && !c->waits)
            next = instant_min(next, c->told_at + POLL_EVERY);
    }
    return next;
}

static void on_expiry(struct transport_use *t, instant now)
{
    struct stream_transport *s = (struct stream_transport *)t;

    if (now >= s->sweep_at)
        sweep(s, now);
}

static void destroy(struct transport_use *t)
{
    struct stream_transport *s = (struct stream_transport *)t;

    for (size_t i = 0; i < s->count; i++) {
        tcpconn_free(s->conns[i]->stream);
        free(s->conns[i]->held);
        free(s->conns[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(s->listening); i++)
        if (s->listening[i].fd >= 0)
            close(s->listening[i].fd);
    free(s->conns);
    free(s->buf);
    free(s);
}

#define STREAM_OPS(NAME)                                                                                               \
    {                                                                                                                  \
        .name = NAME, .make = make, .destroy = destroy, .listen = listen_at, .open = open_uplink,                      \
        .close = close_uplink, .send = send_records, .ready = ready, .before_output = before_output,                   \
        .path_down = path_down, .next_expiry = next_expiry, .on_expiry = on_expiry,                                    \
    }

const struct transport_ops transport_tcp = STREAM_OPS("tcp");
const struct transport_ops transport_mptcp = STREAM_OPS("mptcp");
