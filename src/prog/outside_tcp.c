/* prog/outside_tcp.c - TCP connections: where UDP does not pass, a path's datagrams go through one.
 *
 * Theory of operation. The core names a transport with each datagram. A node connects when the core first sends to an
 * agent over TCP, from the uplink's interface and with its mark, connects again when that connection ends and the core
 * has more to say, and closes it once no path goes over it. An agent accepts, and answers over the connection that has
 * the remote endpoint; one that has gone is as an address that cannot be reached: the path is in doubt, and follows
 * when the node comes with a new one.
 *
 * Who connects is a stranger until a record of a peer came over that connection and opened: strangers are few, and have
 * ten seconds. Accepting pauses when the process has no descriptors left.
 *
 * Limits: 1,024 connections, of these 256 of strangers and 64 of one source network (/24, /64; 16 of strangers); about
 * 7 KiB each and what the kernel holds. */
#include <errno.h>
#include <stdio.h>
#include <syslog.h>
#include <unistd.h>

#include "prog/daemon.h"
#include "sys/tcp.h"

#define ENDS_MAX 1024             /* chosen: a quarter of CONFIG_PEERS_MAX: TCP is the exception */
#define STRANGERS_MAX 256         /* chosen: as many handshakes as ten seconds of the budget pay for, and room */
#define NETWORK_MAX 64            /* chosen: of one source network: a provider's NAT has many customers behind it */
#define NETWORK_STRANGERS 16      /* chosen */
#define STRANGER_LIFE (10 * SEC)  /* chosen: twice SESSION_RETRY_AFTER */
#define IDLE_LIFE (30 * SEC)      /* chosen: six probes of an idle path */
#define RECONNECT_AFTER (1 * SEC) /* chosen: a port that refuses is asked no more often than that */
#define ACCEPTS_MAX 64            /* a wake-up */
#define READ_ROUNDS 4             /* reads of 64 KiB a wake-up */

struct tcp_end {
    struct daemon *d;
    struct tcp *tcp; /* NULL: a node's that is to be connected again */
    struct watch *watch;
    struct locator_pair at;
    bool writing, proven;
    instant since, heard;
};

struct tcp_ends {
    struct tcp_end *items[ENDS_MAX];
    size_t count, strangers;
    int listen_fd[2];
    struct watch *listen_watch[2];
    uint64_t refused;
    uint8_t buf[TCP_READ_BYTES];
};

static bool is_agent(const struct daemon *d)
{
    return d->config->role == CONFIG_AGENT;
}

static struct tcp_end *find(const struct daemon *d, const struct locator_pair *at)
{
    for (size_t i = 0; d->tcp && i < d->tcp->count; i++)
        if (d->tcp->items[i]->at.link == at->link && endpoint_equal(&d->tcp->items[i]->at.remote, &at->remote))
            return d->tcp->items[i];
    return NULL;
}

static void hang_up(struct tcp_end *e)
{
    watch_free(e->watch);
    tcp_free(e->tcp);
    e->watch = NULL;
    e->tcp = NULL;
}

static void forget(struct daemon *d, struct tcp_end *e)
{
    struct tcp_ends *t = d->tcp;

    for (size_t i = 0; i < t->count; i++) {
        if (t->items[i] != e)
            continue;
        t->items[i] = t->items[--t->count];
        break;
    }
    t->strangers -= !e->proven;
    hang_up(e);
    free(e);
}

/* The connection has ended. An agent's end goes; a node's stays to be connected again. */
static void lose(struct tcp_end *e, int error, instant now)
{
    struct daemon *d = e->d;
    struct locator_pair at = e->at;
    bool known = e->proven || !is_agent(d);
    char buf[ENDPOINT_STRLEN];

    if (known)
        say(LOG_INFO, "tcp-closed remote=%s link=%u error=%s", endpoint_format(&at.remote, buf), at.link,
            strerror(-error));
    if (is_agent(d))
        forget(d, e);
    else
        hang_up(e);
    if (known) /* no path is over a stranger's, and looking costs */
        worker_unreachable(&d->workers[0], &at, now);
}

static void rearm(struct tcp_end *e)
{
    bool want = e->tcp && tcp_wants_write(e->tcp);

    if (!e->tcp || want == e->writing)
        return;
    e->writing = want;
    watch_writable(e->watch, want);
}

static void prove(struct tcp_end *e)
{
    if (e->proven)
        return;
    e->proven = true;
    e->d->tcp->strangers--;
}

void outside_tcp_proven(struct daemon *d, const struct locator_pair *at)
{
    struct tcp_end *e = find(d, at);

    if (e)
        prove(e);
}

/* 0 or negative: the connection is over. */
static int read_some(struct tcp_end *e, instant now)
{
    struct daemon *d = e->d;
    struct worker *w = &d->workers[0];
    uint8_t *pkt;
    size_t len;
    int r = tcp_read(e->tcp, d->tcp->buf, sizeof(d->tcp->buf)), left;

    if (r <= 0)
        return r;
    e->heard = now;
    e->at.local = *tcp_local(e->tcp);
    while ((left = tcp_next(e->tcp, &pkt, &len)) == 1) {
        if (node_on_datagram(w->node, &e->at, pkt, len, 0, 0, now) > 0)
            prove(e);
        worker_hand_over(w);
    }
    /* What was delivered in place lies in the buffer: it must be out before that is read into again. */
    worker_drain(w, now);
    return left < 0 ? left : r;
}

static void on_stream(struct worker *w, void *arg, instant now)
{
    struct tcp_end *e = arg;
    int r;

    if (!e->tcp)
        return;
    r = tcp_flush(e->tcp);
    for (int round = 0, more = 1; round < READ_ROUNDS && r >= 0 && more > 0; round++)
        r = more = read_some(e, now);
    if (r < 0)
        lose(e, r, now);
    else
        rearm(e);
}

/* Takes the connection, also on failure. */
static int take(struct daemon *d, struct tcp_end *e, struct tcp *tcp, instant now)
{
    int r;

    e->tcp = tcp;
    e->since = e->heard = now;
    r = watch_new(&d->workers[0], tcp_fd(tcp), on_stream, e, &e->watch);
    if (r < 0) {
        hang_up(e);
        return r;
    }
    e->writing = false;
    rearm(e);
    return 0;
}

static struct tcp_end *make(struct daemon *d, const struct locator_pair *at)
{
    struct tcp_end *e;

    if (!d->tcp || d->tcp->count == ENDS_MAX || !(e = calloc(1, sizeof(*e))))
        return NULL;
    e->d = d;
    e->at = *at;
    d->tcp->strangers++;
    d->tcp->items[d->tcp->count++] = e;
    return e;
}

/* --- an agent --- */

static bool same_network(const struct addr *a, const struct addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, a->family == ADDR_V4 ? 3 : 8) == 0;
}

static bool admits(const struct daemon *d, const struct addr *from)
{
    unsigned all = 0, strangers = 0;

    if (d->tcp->count == ENDS_MAX || d->tcp->strangers >= STRANGERS_MAX)
        return false;
    for (size_t i = 0; i < d->tcp->count; i++) {
        const struct tcp_end *e = d->tcp->items[i];

        if (!same_network(&e->at.remote.addr, from))
            continue;
        all++;
        strangers += !e->proven;
    }
    return all < NETWORK_MAX && strangers < NETWORK_STRANGERS;
}

static void on_connection(struct worker *w, void *arg, instant now)
{
    struct daemon *d = w->d;
    size_t which = (size_t)(uintptr_t)arg;
    struct tcp *tcp;
    int r = 0;

    for (int i = 0; i < ACCEPTS_MAX && (r = tcp_accept(d->tcp->listen_fd[which], &tcp)) == 1; i++) {
        struct locator_pair at = {
            .link = NODE_LISTEN_LINK,
            .local = *tcp_local(tcp),
            .remote = *tcp_remote(tcp),
            .transport = TRANSPORT_TCP,
        };
        struct tcp_end *e = admits(d, &at.remote.addr) ? make(d, &at) : NULL;

        if (!e) {
            d->tcp->refused++;
            tcp_free(tcp);
        } else if (take(d, e, tcp, now) < 0) {
            forget(d, e);
        }
    }
    if (r >= 0)
        return;
    say(LOG_WARNING, "accept error=%s", strerror(-r));
    watch_free(d->tcp->listen_watch[which]); /* outside_tcp_slow begins again */
    d->tcp->listen_watch[which] = NULL;
}

static void listen_again(struct daemon *d)
{
    for (size_t i = 0; i < 2; i++)
        if (d->tcp->listen_fd[i] >= 0 && !d->tcp->listen_watch[i] &&
            watch_new(&d->workers[0], d->tcp->listen_fd[i], on_connection, (void *)(uintptr_t)i,
                      &d->tcp->listen_watch[i]) < 0)
            say(LOG_WARNING, "cannot watch the TCP port");
}

int outside_tcp_start(struct daemon *d)
{
    int64_t asked = d->config->listen_tcp;
    uint16_t port = (uint16_t)(asked > 0 ? asked : CONFIG_TCP_PORT);
    int r[2] = { -EAFNOSUPPORT, -EAFNOSUPPORT };

    d->tcp = calloc(1, sizeof(*d->tcp));
    if (!d->tcp)
        return -ENOMEM;
    d->tcp->listen_fd[0] = d->tcp->listen_fd[1] = -1;
    if (!is_agent(d) || asked < 0)
        return 0;
    r[0] = tcp_listen(ADDR_V4, port, &d->tcp->listen_fd[0]);
    r[1] = tcp_listen(ADDR_V6, port, &d->tcp->listen_fd[1]);
    if (r[0] < 0 && asked > 0) {
        say(LOG_ERR, "cannot listen on TCP port %u (ListenTcp): %s", port, strerror(-r[0]));
        return r[0];
    }
    if (r[0] < 0)
        say(LOG_WARNING,
            "cannot listen on TCP port %u: %s. Nodes whose UDP does not pass cannot come: ListenTcp = PORT names "
            "another, "
            "ListenTcp = no ends this warning",
            port, strerror(-r[0]));
    listen_again(d);
    return 0;
}

/* --- both --- */

/* A node: connects, or connects again. */
static struct tcp_end *reach(struct daemon *d, const struct locator_pair *at, struct tcp_end *e, instant now)
{
    const struct uplink *u = at->link <= UPLINKS_MAX ? &d->uplinks[at->link] : NULL;
    struct tcp_options o = { .mark = route_uplink_mark(at->link) };
    struct tcp *tcp;

    if (is_agent(d) || !u || !u->used || (e && now - e->since < RECONNECT_AFTER) || (!e && !(e = make(d, at))))
        return NULL;
    o.interface = u->node.name;
    e->since = now;
    if (tcp_connect(&o, &at->remote, &tcp) < 0 || take(d, e, tcp, now) < 0)
        return NULL;
    return e;
}

void outside_tcp_send(struct daemon *d, const struct session_tx *tx, const uint8_t *data, instant now)
{
    struct tcp_end *e = find(d, &tx->at);
    int r;

    if (!e || !e->tcp)
        e = reach(d, &tx->at, e, now);
    if (!e) {
        d->workers[0].counts.tx_failed++;
        if (is_agent(d))
            worker_unreachable(&d->workers[0], &tx->at, now);
        return;
    }
    r = tcp_send(e->tcp, data, tx->len, tx->segment, now);
    if (r < 0) {
        d->workers[0].counts.tx_failed++;
        lose(e, r, now);
        return;
    }
    d->workers[0].counts.tx_would_block += (uint64_t)r;
    rearm(e);
}

/* Does a path go over it? */
static bool is_wanted(struct daemon *d, const struct locator_pair *at, instant now)
{
    struct session_path_info info;

    for (size_t i = 0; i < node_peers_count(daemon_node(d)); i++) {
        struct session *s = node_peer_session(daemon_node(d), (unsigned)i);

        for (unsigned slot = 0; s && slot < SESSION_SLOTS; slot++) {
            session_path_info(s, slot, now, &info);
            if (info.used && info.at.transport == TRANSPORT_TCP && info.at.link == at->link &&
                endpoint_equal(&info.at.remote, &at->remote))
                return true;
        }
    }
    return false;
}

void outside_tcp_slow(struct daemon *d, instant now)
{
    if (is_agent(d))
        listen_again(d);
    for (size_t i = d->tcp->count; i-- > 0;) {
        struct tcp_end *e = d->tcp->items[i];

        if (!is_agent(d) && !is_wanted(d, &e->at, now))
            forget(d, e);
        else if (is_agent(d) && !e->proven && now - e->since > STRANGER_LIFE)
            forget(d, e);
        else if (is_agent(d) && now - e->heard > IDLE_LIFE)
            lose(e, -ETIMEDOUT, now);
    }
}

void outside_tcp_drop(struct daemon *d, uint32_t link)
{
    for (size_t i = d->tcp ? d->tcp->count : 0; i-- > 0;)
        if (d->tcp->items[i]->at.link == link)
            forget(d, d->tcp->items[i]);
}

void outside_tcp_stop(struct daemon *d)
{
    if (!d->tcp)
        return;
    while (d->tcp->count > 0)
        forget(d, d->tcp->items[0]);
    for (size_t i = 0; i < 2; i++) {
        watch_free(d->tcp->listen_watch[i]);
        if (d->tcp->listen_fd[i] >= 0)
            close(d->tcp->listen_fd[i]);
    }
    free(d->tcp);
    d->tcp = NULL;
}
