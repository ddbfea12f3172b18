/* api/transport_sctp.c - SCTP, by usrsctp, over the UDP sockets of the uplinks (RFC 6951 in spirit): an association for
 * each path, whose unordered messages are records.
 *
 * Theory of operation. usrsctp knows no network here (AF_CONN): it gives packets to send, each with the number of its
 * association, and is given those that come. They share the sockets and the port of our own datagrams, from which their
 * first byte tells them: it is that of SCTP's source port, 9899, and no datagram of ours begins so. usrsctp makes no
 * thread: its timers are run from the engine's. A client associates when the node first sends to an endpoint, and again
 * when that has ended; a listener has a socket of usrsctp for each remote endpoint that begins an association.
 *
 * A record is a message, unordered, so that none waits for one that was lost before it, and reliable, unless the
 * session says that nobody may need it in the end (struct session_tx): then it is sent once, or again until its
 * lifetime is over (PR-SCTP: RFC 3758, with the policies of RFC 7496), and what was given up the session is told. A
 * peer whose SCTP does not know FORWARD-TSN gets all of it, however late. What there is room for is the congestion
 * window and what 15 ms of the rate add to it, less what the session has in flight; the rate is taken to be a window
 * each round trip.
 *
 * What is usrsctp's is the process's, and so is the table of associations by their numbers: sessions over SCTP are for
 * one thread of a process.
 *
 * Limits: 256 associations of a process, of these 64 of strangers for ten seconds; packets of 1,232 bytes, which fit
 * every path of 1,280, and no search for more; a mebibyte each way that an association may keep. */
#include "api/transport.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <usrsctp.h>

#include "sys/udp.h"

#define ASSOCS_MAX 256           /* chosen: SCTP is the exception */
#define STRANGERS_MAX 64         /* chosen: a quarter */
#define STRANGER_LIFE (10 * SEC) /* chosen: as of connections */
#define IDLE_LIFE (60 * SEC)
#define AGAIN_AFTER (250 * MSEC) /* chosen: as a path that is down is first probed */
#define PORT 9899                /* sctp-tunneling, RFC 6951; at both ends */
#define PACKET_BYTES 1232        /* IPv6's least, 1,280, less its header and UDP's */
#define BUFFER_BYTES (1 << 20)   /* chosen: 10 ms of 800 Mbit/s and as much again */
#define QUEUE_SPAN (15 * MSEC)   /* as sys/tcpconn.h */
#define QUEUE_LEAST 16384
#define RTO_MIN_MS 200 /* as Linux's TCP */
#define RTO_MAX_MS 2000
#define RTO_FIRST_MS 500
#define TIMER_BUSY (10 * MSEC)  /* usrsctp's own grain */
#define TIMER_IDLE (100 * MSEC) /* chosen: late by a tenth of the shortest of its slow timers */
#define BUSY_FOR (1 * SEC)
#define TELL_EVERY MSEC
#define HELD_MAX 8 /* chosen: datagrams before it is up: an INIT and some probes */
#define COMMON_HEADER 12
#define CHUNK_INIT 1

struct held {
    size_t len;
    uint8_t data[HANDSHAKE_MAX];
};

struct assoc {
    struct sctp_transport *of; /* NULL: a place that is free */
    struct socket *listening, *sock;
    unsigned index, uses;
    struct locator_pair at;
    bool up, over, proven, told;
    bool partial; /* the other end takes FORWARD-TSN */
    unsigned peer;
    uint8_t slot;
    instant since, heard, moved, told_at;
    size_t given, room;
    uint64_t newest;    /* counter of a record */
    uint32_t rto_least; /* ms, since it moved */
    uint64_t acked;
    struct held *held; /* HELD_MAX, while it is not up */
    unsigned held_count;
};

struct sctp_transport {
    struct transport_use t;
    size_t strangers;
    bool opened[1 + TRANSPORT_LINKS_MAX][2];
};

/* usrsctp's state is global, and so is this. */
static struct {
    bool up;
    instant at; /* until when its timers have run */
    struct assoc assocs[ASSOCS_MAX];
} usr;

static uint32_t number_of(const struct assoc *a)
{
    return (uint32_t)a->uses << 8 | a->index;
}

static bool is_of(const struct assoc *a, const struct transport_use *t)
{
    return a->of && &a->of->t == t;
}

static struct assoc *by_number(uint32_t number)
{
    struct assoc *a = &usr.assocs[number & (ASSOCS_MAX - 1)];

    return a->of && number_of(a) == number ? a : NULL;
}

static void *address_of(const struct assoc *a)
{
    return (void *)(uintptr_t)number_of(a); /* never followed, by usrsctp neither */
}

/* usrsctp has a packet to send. */
static int on_packet(void *address, void *packet, size_t len, uint8_t tos, uint8_t set_df)
{
    struct assoc *a = by_number((uint32_t)(uintptr_t)address);
    struct udp_tx tx = { .data = packet, .len = len };

    if (!a || !a->of->t.all->of[TRANSPORT_UDP])
        return EHOSTUNREACH;
    tx.to = a->at.remote;
    tx.local = a->at.local;
    (void)!transport_udp_send(a->of->t.all->of[TRANSPORT_UDP], a->at.link, &tx); /* lost like any: it sends it again */
    return 0;
}

static int make(struct transports *all, enum transport kind, struct transport_use **ret)
{
    struct sctp_transport *s = calloc(1, sizeof(*s));

    _Static_assert((ASSOCS_MAX & (ASSOCS_MAX - 1)) == 0 && ASSOCS_MAX == 1 << 8, "places are 8 bits of a number");
    if (!s)
        return -ENOMEM;
    s->t = (struct transport_use){ .ops = transport_table[kind], .all = all };
    if (!usr.up) {
        usrsctp_init_nothreads(0, on_packet, NULL);
        usrsctp_sysctl_set_sctp_ecn_enable(0); /* marks do not come to us by UDP */
        usrsctp_sysctl_set_sctp_asconf_enable(0);
        usrsctp_sysctl_set_sctp_auth_enable(0);
        usrsctp_sysctl_set_sctp_nrsack_enable(0);
        usrsctp_sysctl_set_sctp_pktdrop_enable(0);
        usr.up = true;
    }
    *ret = &s->t;
    return 0;
}

/* --- associations --- */

static void set_option(struct socket *sock, int level, int name, const void *value, size_t len)
{
    (void)!usrsctp_setsockopt(sock, level, name, value, (socklen_t)len); /* its defaults serve too */
}

static void set_options(struct socket *sock)
{
    const struct sctp_rtoinfo rto = { .srto_initial = RTO_FIRST_MS, .srto_min = RTO_MIN_MS, .srto_max = RTO_MAX_MS };
    const struct sctp_paddrparams path = { .spp_flags = SPP_PMTUD_DISABLE | SPP_HB_DISABLE,
                                           .spp_pathmtu = PACKET_BYTES - COMMON_HEADER };
    const struct sctp_event change = { .se_assoc_id = SCTP_ALL_ASSOC, .se_type = SCTP_ASSOC_CHANGE, .se_on = 1 };
    const struct sctp_event failed = { .se_assoc_id = SCTP_ALL_ASSOC, .se_type = SCTP_SEND_FAILED_EVENT, .se_on = 1 };
    const struct sctp_sack_info at_once = { .sack_assoc_id = SCTP_FUTURE_ASSOC, .sack_freq = 1 };
    const struct linger none = { .l_onoff = 1, .l_linger = 0 };
    const int on = 1, bytes = BUFFER_BYTES;

    usrsctp_set_non_blocking(sock, 1);
    set_option(sock, SOL_SOCKET, SO_LINGER, &none, sizeof(none)); /* a close is the end */
    set_option(sock, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    set_option(sock, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    set_option(sock, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof(on));
    set_option(sock, IPPROTO_SCTP, SCTP_RTOINFO, &rto, sizeof(rto));
    set_option(sock, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof(path));
    set_option(sock, IPPROTO_SCTP, SCTP_EVENT, &change, sizeof(change));
    set_option(sock, IPPROTO_SCTP, SCTP_EVENT, &failed, sizeof(failed));
    set_option(sock, IPPROTO_SCTP, SCTP_DELAYED_SACK, &at_once, sizeof(at_once));
}

static struct sockaddr_conn conn_address(const struct assoc *a)
{
    return (struct sockaddr_conn){ .sconn_family = AF_CONN, .sconn_port = htons(PORT), .sconn_addr = address_of(a) };
}

/* A socket of usrsctp that is bound to the association's number, or NULL. */
static struct socket *make_socket(const struct assoc *a)
{
    struct sockaddr_conn me = conn_address(a);
    struct socket *sock = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);

    if (!sock)
        return NULL;
    set_options(sock);
    if (usrsctp_bind(sock, (struct sockaddr *)&me, sizeof(me)) == 0)
        return sock;
    usrsctp_close(sock);
    return NULL;
}

static struct assoc *find(const struct sctp_transport *s, const struct locator_pair *at)
{
    for (size_t i = 0; i < ASSOCS_MAX; i++) {
        struct assoc *a = &usr.assocs[i];

        if (a->of == s && (at->conn ? number_of(a) == at->conn : locator_pair_same(&a->at, at)))
            return a;
    }
    return NULL;
}

static struct assoc *take_place(struct sctp_transport *s, const struct locator_pair *at, instant now)
{
    for (unsigned i = 0; i < ASSOCS_MAX; i++) {
        struct assoc *a = &usr.assocs[i];
        unsigned uses = a->uses % ((1u << 24) - 1) + 1;

        if (a->of)
            continue;
        *a = (struct assoc){ .of = s,
                             .index = i,
                             .uses = uses,
                             .at = *at,
                             .peer = UINT16_MAX,
                             .slot = SESSION_SLOTS,
                             .since = now - AGAIN_AFTER,
                             .heard = now };
        s->strangers++;
        return a;
    }
    return NULL;
}

/* Whoever has a path over it is told. */
static void hang_up(struct assoc *a, instant now)
{
    bool was = a->sock || a->listening;

    if (a->sock)
        usrsctp_close(a->sock);
    if (a->listening)
        usrsctp_close(a->listening);
    if (was)
        usrsctp_deregister_address(address_of(a));
    free(a->held);
    a->held = NULL;
    a->held_count = 0;
    a->sock = a->listening = NULL;
    a->up = a->over = a->told = a->partial = false;
    if (was)
        node_on_transport_lost(a->of->t.all->node, a->peer, a->slot, &a->at, now);
}

static void forget(struct assoc *a, instant now)
{
    hang_up(a, now);
    a->of->strangers -= !a->proven;
    a->of = NULL;
}

static void lose(struct assoc *a, instant now)
{
    if (a->of->t.all->listens)
        forget(a, now);
    else
        hang_up(a, now);
}

/* A client's. */
static void associate(struct assoc *a, instant now)
{
    struct sockaddr_conn to;

    if (now - a->since < AGAIN_AFTER || !a->of->opened[a->at.link][a->at.remote.addr.family == ADDR_V6])
        return;
    a->since = a->moved = now;
    a->uses = a->uses % ((1u << 24) - 1) + 1; /* what is still on its way is of the former */
    to = conn_address(a);
    usrsctp_register_address(address_of(a));
    a->sock = make_socket(a);
    if (a->sock && usrsctp_connect(a->sock, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS) {
        usrsctp_close(a->sock);
        a->sock = NULL;
    }
    if (!a->sock)
        usrsctp_deregister_address(address_of(a));
}

/* --- what is known --- */

static void tell(struct assoc *a, instant now)
{
    struct node *node = a->of->t.all->node;
    struct sctp_status status;
    struct session_path_info info;
    struct path_transport t;
    socklen_t len = sizeof(status);
    uint64_t rate, window;

    if (!a->up || a->slot >= SESSION_SLOTS || !node_peer_session(node, a->peer) ||
        (a->told && a->given < a->room && now - a->told_at < TELL_EVERY) ||
        usrsctp_getsockopt(a->sock, IPPROTO_SCTP, SCTP_STATUS, &status, &len) < 0)
        return;
    session_path_info(node_peer_session(node, a->peer), a->slot, now, &info);
    rate = (uint64_t)status.sstat_primary.spinfo_cwnd * 1000 / MAX(status.sstat_primary.spinfo_srtt, 1u);
    window = MIN(status.sstat_primary.spinfo_cwnd, status.sstat_rwnd + status.sstat_primary.spinfo_cwnd) +
             MAX(rate * (uint64_t)QUEUE_SPAN / (uint64_t)SEC, (uint64_t)QUEUE_LEAST);
    window = MIN(window, (uint64_t)BUFFER_BYTES / 2);
    if (info.metrics.tx_bytes - info.metrics.inflight_bytes != a->acked || a->rto_least == 0)
        a->rto_least = status.sstat_primary.spinfo_rto;
    a->rto_least = MIN(a->rto_least, status.sstat_primary.spinfo_rto);
    a->acked = info.metrics.tx_bytes - info.metrics.inflight_bytes;
    t = (struct path_transport){
        .room_bytes = window > info.metrics.inflight_bytes ? window - info.metrics.inflight_bytes : 0,
        .rate_bps = rate * 8,
        .rate_is_lower_bound = info.metrics.inflight_bytes < status.sstat_primary.spinfo_cwnd,
        .troubled = status.sstat_primary.spinfo_rto >= 2 * a->rto_least,
        .partial = a->partial,
    };
    a->told = true;
    a->told_at = now;
    a->room = t.room_bytes;
    a->given = 0;
    node_on_transport(node, a->peer, a->slot, &a->at, &t, now);
}

static void before_output(struct transport_use *t, instant now)
{
    for (size_t i = 0; i < ASSOCS_MAX; i++)
        if (is_of(&usr.assocs[i], t) && now - usr.assocs[i].moved < BUSY_FOR)
            tell(&usr.assocs[i], now);
}

/* --- sending --- */

/* What may be given up of it; all zero: nothing. */
static struct sctp_prinfo policy_of(const struct assoc *a, const struct session_tx *tx)
{
    struct sctp_prinfo none = { .pr_policy = SCTP_PR_SCTP_NONE };

    if (!a->partial)
        return none;
    if (tx->once)
        return (struct sctp_prinfo){ .pr_policy = SCTP_PR_SCTP_RTX, .pr_value = 0 };
    if (tx->lifetime_ms > 0)
        return (struct sctp_prinfo){ .pr_policy = SCTP_PR_SCTP_TTL, .pr_value = tx->lifetime_ms };
    return none;
}

/* pr NULL: it is brought at any price. False: it is over. */
static bool give(struct assoc *a, const uint8_t *data, size_t len, const struct sctp_prinfo *pr)
{
    struct sctp_sendv_spa spa = { .sendv_flags = SCTP_SEND_SNDINFO_VALID, .sendv_sndinfo.snd_flags = SCTP_UNORDERED };

    if (pr && pr->pr_policy != SCTP_PR_SCTP_NONE) {
        a->newest = record_counter_get(data);
        spa.sendv_sndinfo.snd_context = (uint32_t)a->newest;
        spa.sendv_flags |= SCTP_SEND_PRINFO_VALID;
        spa.sendv_prinfo = *pr;
    }
    return usrsctp_sendv(a->sock, data, len, NULL, 0, &spa, sizeof(spa), SCTP_SENDV_SPA, 0) == (ssize_t)len;
}

/* Before it is up: a few datagrams wait, and others are sent again by whoever needs them. */
static bool hold(struct assoc *a, const uint8_t *data, size_t len)
{
    if (!a->held && !(a->held = calloc(HELD_MAX, sizeof(*a->held))))
        return false;
    if (a->held_count == HELD_MAX || len > sizeof(a->held[0].data))
        return true;
    a->held[a->held_count].len = len;
    memcpy(a->held[a->held_count++].data, data, len);
    return true;
}

static void send_records(struct transport_use *t, const struct session_tx *tx, const uint8_t *data, instant now)
{
    struct sctp_transport *s = (struct sctp_transport *)t;
    struct assoc *a = find(s, &tx->at);
    size_t segment = tx->segment ? tx->segment : tx->len;
    struct sctp_prinfo pr;
    bool ok = true;

    if (!a && tx->at.conn == 0 && !t->all->listens && tx->at.link <= TRANSPORT_LINKS_MAX)
        a = take_place(s, &tx->at, now);
    if (a && tx->slot < SESSION_SLOTS && (a->slot != tx->slot || a->peer != tx->peer)) {
        a->slot = tx->slot;
        a->peer = tx->peer;
        a->told = false;
    }
    if (a && !a->sock && !t->all->listens)
        associate(a, now);
    if (!a || !a->sock) {
        if (tx->peer != UINT16_MAX)
            node_on_transport_lost(t->all->node, tx->peer, tx->slot, &tx->at, now);
        return;
    }
    pr = policy_of(a, tx);
    for (size_t at = 0, n; at < tx->len && ok; at += n) {
        n = MIN(segment, tx->len - at);
        ok = a->up ? give(a, data + at, n, &pr) : hold(a, data + at, n);
    }
    a->given += tx->len;
    a->moved = now;
    if (!ok)
        lose(a, now);
}

/* --- receiving --- */

static void come_up(struct assoc *a)
{
    struct sctp_assoc_value partial = { .assoc_id = SCTP_FUTURE_ASSOC };
    socklen_t len = sizeof(partial);

    a->up = true;
    a->partial =
        usrsctp_getsockopt(a->sock, IPPROTO_SCTP, SCTP_PR_SUPPORTED, &partial, &len) == 0 && partial.assoc_value;
    for (unsigned i = 0; i < a->held_count && !a->over; i++)
        a->over = !give(a, a->held[i].data, a->held[i].len, NULL);
    free(a->held);
    a->held = NULL;
    a->held_count = 0;
}

/* Once for each of its chunks, and it is told of once: the path knows it no more then. */
static void on_given_up(struct assoc *a, const struct sctp_send_failed_event *e)
{
    node_on_abandoned(a->of->t.all->node, a->peer, a->slot, &a->at,
                      a->newest - (uint32_t)(a->newest - e->ssfe_info.snd_context));
}

static void on_notification(struct assoc *a, const union sctp_notification *n, size_t len)
{
    if (len >= sizeof(n->sn_send_failed_event) && n->sn_header.sn_type == SCTP_SEND_FAILED_EVENT)
        on_given_up(a, &n->sn_send_failed_event);
    if (len < sizeof(n->sn_assoc_change) || n->sn_header.sn_type != SCTP_ASSOC_CHANGE)
        return;
    if (n->sn_assoc_change.sac_state == SCTP_COMM_UP)
        come_up(a);
    else
        a->over = true;
}

/* Whatever it has for us. */
static void take_messages(struct assoc *a, instant now)
{
    static uint8_t buf[sizeof(struct sctp_send_failed_event) + RECORD_LARGE_MAX + 1];
    unsigned uses = a->uses;
    socklen_t none, info_len;
    struct sctp_rcvinfo info;
    unsigned type;
    int flags;
    ssize_t n = 0;

    if (a->listening && !a->sock) {
        a->sock = usrsctp_accept(a->listening, NULL, NULL);
        if (!a->sock)
            return;
        set_options(a->sock);
        come_up(a);
    }
    while (a->sock && a->uses == uses && !a->over) {
        none = 0;
        info_len = sizeof(info);
        flags = 0;
        n = usrsctp_recvv(a->sock, buf, sizeof(buf), NULL, &none, &info, &info_len, &type, &flags);
        if (n <= 0)
            break;
        a->heard = a->moved = now;
        if (flags & MSG_NOTIFICATION) {
            on_notification(a, (const union sctp_notification *)buf, (size_t)n);
        } else if (!(flags & MSG_EOR) || n > RECORD_LARGE_MAX) {
            a->over = true; /* not a record */
        } else if (node_on_datagram(a->of->t.all->node, &a->at, buf, (size_t)n, 0, 0, now) > 0 && !a->proven) {
            a->proven = true;
            a->of->strangers--;
        }
    }
    if (a->of && a->uses == uses && (a->over || n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) &&
        a->sock)
        lose(a, now);
}

static bool begins(const uint8_t *packet, size_t len)
{
    return len >= COMMON_HEADER + 4 && packet[COMMON_HEADER] == CHUNK_INIT;
}

/* A listener: somebody begins. */
static struct assoc *meet(struct sctp_transport *s, const struct locator_pair *at, instant now)
{
    struct assoc *a = s->strangers < STRANGERS_MAX ? take_place(s, at, now) : NULL;

    if (!a)
        return NULL;
    a->at.conn = number_of(a);
    a->since = now;
    usrsctp_register_address(address_of(a));
    a->listening = make_socket(a);
    if (a->listening && usrsctp_listen(a->listening, 1) == 0)
        return a;
    forget(a, now);
    return NULL;
}

/* A UDP socket has one of ours. */
static void on_datagram(struct transport_use *t, const struct locator_pair *udp_at, const uint8_t *packet, size_t len,
                        instant now)
{
    struct sctp_transport *s = (struct sctp_transport *)t;
    struct locator_pair at = *udp_at;
    struct assoc *a;

    at.transport = TRANSPORT_SCTP;
    at.conn = 0;
    a = find(s, &at);
    if (a && t->all->listens && begins(packet, len) && a->sock) { /* its former one is of no more use to it */
        forget(a, now);
        a = NULL;
    }
    if (!a && t->all->listens && begins(packet, len))
        a = meet(s, &at, now);
    if (!a || (!a->sock && !a->listening))
        return;
    usrsctp_conninput(address_of(a), packet, len, 0);
    take_messages(a, now);
}

/* --- the table's --- */

static int listen_at(struct transport_use *t, const struct endpoint *at)
{
    return t->all->of[TRANSPORT_UDP]->ops->listen(t->all->of[TRANSPORT_UDP], at);
}

static int open_uplink(struct transport_use *t, uint32_t link, bool v6, const char *interface)
{
    int r = t->all->of[TRANSPORT_UDP]->ops->open(t->all->of[TRANSPORT_UDP], link, v6, interface);

    if (r == 0)
        ((struct sctp_transport *)t)->opened[link][v6] = true;
    return r;
}

static void close_uplink(struct transport_use *t, uint32_t link, bool v6, instant now)
{
    ((struct sctp_transport *)t)->opened[link][v6] = false;
    for (size_t i = 0; i < ASSOCS_MAX; i++) {
        struct assoc *a = &usr.assocs[i];

        if (is_of(a, t) && a->at.link == link && (a->at.remote.addr.family == ADDR_V6) == v6)
            forget(a, now);
    }
}

static void path_down(struct transport_use *t, const struct locator_pair *at, instant now)
{
    struct assoc *a = find((struct sctp_transport *)t, at);

    if (a)
        lose(a, now);
}

static int ready(struct transport_use *t, struct transport_watch *w, uint32_t events, instant now)
{
    return 0; /* it watches nothing of its own */
}

static instant next_expiry(const struct transport_use *t)
{
    instant next = INSTANT_NEVER, moved = 0;
    bool any = false;

    for (size_t i = 0; i < ASSOCS_MAX; i++) {
        if (!is_of(&usr.assocs[i], t))
            continue;
        any = true;
        moved = MAX(moved, usr.assocs[i].moved);
    }
    if (any)
        next = usr.at + (usr.at - moved < BUSY_FOR ? TIMER_BUSY : TIMER_IDLE);
    return next;
}

static void on_expiry(struct transport_use *t, instant now)
{
    if (now - usr.at >= TIMER_BUSY) {
        span elapsed = usr.at == 0 ? TIMER_BUSY : MIN(now - usr.at, 10 * SEC);

        usr.at = now;
        usrsctp_handle_timers((uint32_t)(elapsed / MSEC));
    }
    for (size_t i = 0; i < ASSOCS_MAX; i++) {
        struct assoc *a = &usr.assocs[i];

        if (!is_of(a, t))
            continue;
        take_messages(a, now);
        if (a->of && t->all->listens && ((!a->proven && now - a->since > STRANGER_LIFE) || now - a->heard > IDLE_LIFE))
            forget(a, now);
    }
}

static void destroy(struct transport_use *t)
{
    for (size_t i = 0; i < ASSOCS_MAX; i++) {
        struct assoc *a = &usr.assocs[i];

        if (is_of(a, t))
            forget(a, usr.at);
    }
    free(t);
}

const struct transport_ops transport_sctp = {
    .name = "sctp",
    .make = make,
    .destroy = destroy,
    .listen = listen_at,
    .open = open_uplink,
    .close = close_uplink,
    .send = send_records,
    .ready = ready,
    .before_output = before_output,
    .path_down = path_down,
    .next_expiry = next_expiry,
    .on_expiry = on_expiry,
    .datagram = on_datagram,
};
