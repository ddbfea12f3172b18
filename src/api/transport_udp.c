/* api/transport_udp.c - UDP: a socket for each uplink and family, bound to the interface, so that its datagrams leave
 * there whatever the default route is; a listener has one of each family.
 *
 * Limits: READ_ROUNDS batches of a socket a wake-up. */
#include "api/transport.h"

#include <errno.h>

#include "sys/udp.h"

#define READ_ROUNDS 8 /* batches of a socket a wake-up */

struct end {
    struct transport_watch watch;
    struct udp *udp;
    uint32_t link;
};

struct udp_transport {
    struct transport_use t;
    struct end ends[1 + TRANSPORT_LINKS_MAX][2]; /* by link: IPv4, IPv6 */
};

static int make(struct transports *all, enum transport kind, struct transport_use **ret)
{
    struct udp_transport *u = calloc(1, sizeof(*u));

    if (!u)
        return -ENOMEM;
    u->t = (struct transport_use){ .ops = transport_table[kind], .all = all };
    *ret = &u->t;
    return 0;
}

static void close_end(struct end *d)
{
    udp_free(d->udp); /* epoll forgets it */
    d->udp = NULL;
    d->watch.dead = false;
}

static void destroy(struct transport_use *t)
{
    struct udp_transport *u = (struct udp_transport *)t;

    for (size_t i = 0; i < ARRAY_LEN(u->ends); i++) {
        close_end(&u->ends[i][0]);
        close_end(&u->ends[i][1]);
    }
    free(u);
}

static int open_end(struct udp_transport *u, uint32_t link, const struct udp_options *o)
{
    struct end *d = &u->ends[link][o->family == ADDR_V6];
    int r;

    if (d->udp)
        return 0;
    r = udp_open(o, &d->udp);
    if (r < 0)
        return r;
    d->link = link;
    d->watch.listening = link == NODE_LISTEN_LINK;
    r = transport_watch_add(&u->t, &d->watch, udp_fd(d->udp));
    if (r < 0)
        close_end(d);
    return r;
}

static int listen_at(struct transport_use *t, const struct endpoint *at)
{
    static const struct addr any;
    struct udp_options o = { .family = (enum addr_family)at->addr.family, .local = at->addr, .port = at->port };

    if (memcmp(at->addr.bytes, any.bytes, sizeof(any.bytes)) == 0)
        o.local = any;
    return open_end((struct udp_transport *)t, NODE_LISTEN_LINK, &o);
}

static int open_uplink(struct transport_use *t, uint32_t link, bool v6, const char *interface)
{
    struct udp_options o = { .family = v6 ? ADDR_V6 : ADDR_V4, .interface = interface };

    return open_end((struct udp_transport *)t, link, &o);
}

static void close_uplink(struct transport_use *t, uint32_t link, bool v6, instant now)
{
    close_end(&((struct udp_transport *)t)->ends[link][v6]);
}

static struct udp *socket_of(struct transport_use *t, uint32_t link, const struct endpoint *remote)
{
    bool v6 = remote->addr.family == ADDR_V6;

    return link <= TRANSPORT_LINKS_MAX ? ((struct udp_transport *)t)->ends[link][v6].udp : NULL;
}

int transport_udp_send(struct transport_use *udp, uint32_t link, const struct udp_tx *tx)
{
    struct udp *u = socket_of(udp, link, &tx->to);

    return u ? udp_reply(u, tx) : -ENODEV;
}

static void send_datagrams(struct transport_use *t, const struct session_tx *tx, const uint8_t *data, instant now)
{
    struct udp_tx out = {
        .data = data,
        .len = tx->len,
        .segment_bytes = (uint16_t)tx->segment,
        .to = tx->at.remote,
        .local = tx->at.local,
        .tos = tx->tos,
    };
    int r = transport_udp_send(t, tx->at.link, &out);

    if (r == -EMSGSIZE)
        node_on_too_big(t->all->node, &tx->at, 0, now);
    else if (r < 0 && r != -EAGAIN && r != -ENODEV)
        node_on_unreachable(t->all->node, &tx->at, now);
}

static void read_errors(struct udp_transport *u, struct end *d, instant now)
{
    struct locator_pair at = { .link = d->link };
    struct udp_error err;

    while (udp_pop_error(d->udp, &err) == 1) {
        at.remote = err.to;
        if (err.to.addr.family == ADDR_NONE)
            continue;
        if (u->t.all->discovery && err.error == ECONNREFUSED)
            discovery_on_refused(u->t.all->discovery, d->link, &err.to);
        if (err.error == EMSGSIZE)
            node_on_too_big(u->t.all->node, &at, err.mtu_bytes, now);
        else
            node_on_unreachable(u->t.all->node, &at, now);
    }
}

/* Runs of a train are one kind's: SCTP's packets and ours of one sender may come in one. */
static void take(struct transports *all, const struct locator_pair *at, const struct udp_rx *rx, instant now)
{
    struct transport_use *sctp = all->of[TRANSPORT_SCTP];
    size_t each = rx->segment_bytes ? rx->segment_bytes : rx->len, from = 0;

    for (size_t i = 0; sctp && i < rx->len; i += each) {
        if (rx->data[i] != TRANSPORT_SCTP_FIRST)
            continue;
        if (i > from && (all->allowed & 1u << TRANSPORT_UDP))
            node_on_datagram(all->node, at, rx->data + from, i - from, rx->segment_bytes, rx->tos, now);
        sctp->ops->datagram(sctp, at, rx->data + i, MIN(each, rx->len - i), now);
        from = i + each;
    }
    if (from < rx->len && (all->allowed & 1u << TRANSPORT_UDP))
        node_on_datagram(all->node, at, rx->data + from, rx->len - from, rx->segment_bytes, rx->tos, now);
}

static int ready(struct transport_use *t, struct transport_watch *w, uint32_t events, instant now)
{
    struct udp_transport *u = (struct udp_transport *)t;
    struct end *d = CONTAINER_OF(w, struct end, watch);
    struct locator_pair at = { .link = d->link };
    struct udp_rx batch[UDP_BATCH_MAX];
    int n;

    if (!d->udp)
        return 0;
    for (unsigned round = 0; round < READ_ROUNDS; round++) {
        n = udp_recv(d->udp, batch, UDP_BATCH_MAX);
        if (n < 0) {
            d->watch.dead = true;
            return d->watch.listening ? -EIO : 0;
        }
        for (int i = 0; i < n; i++) {
            if (t->all->discovery && batch[i].len > 0 && batch[i].data[0] == PACKET_HELLO_ANSWER) {
                discovery_input(t->all->discovery, &batch[i].from, batch[i].data,
                                batch[i].segment_bytes ? batch[i].segment_bytes : batch[i].len);
                continue; /* of a train of answers the first is enough */
            }
            at.local = batch[i].local;
            at.remote = batch[i].from;
            take(t->all, &at, &batch[i], now);
        }
        if (n < UDP_BATCH_MAX)
            break;
        transports_output(t->all, now); /* acknowledgements do not wait for the last of many */
    }
    read_errors(u, d, now);
    return 0;
}

const struct transport_ops transport_udp = {
    .name = "udp",
    .make = make,
    .destroy = destroy,
    .listen = listen_at,
    .open = open_uplink,
    .close = close_uplink,
    .send = send_datagrams,
    .ready = ready,
};
