/* api/transport.c - the table of transports. See transport.h. */
#include "api/transport.h"

#include <errno.h>
#include <sys/epoll.h>

#define OUTPUTS_MAX 512 /* trains a call: as hawserd */

extern const struct transport_ops transport_udp, transport_tcp, transport_mptcp, transport_sctp;

const struct transport_ops *const transport_table[TRANSPORT_COUNT] = {
    [TRANSPORT_UDP] = &transport_udp,
    [TRANSPORT_TCP] = &transport_tcp,
    [TRANSPORT_MPTCP] = &transport_mptcp,
    [TRANSPORT_SCTP] = &transport_sctp,
};

int transports_make(struct transports *all)
{
    for (unsigned i = 0; i < TRANSPORT_COUNT; i++) {
        int r = -EPROTONOSUPPORT;

        /* SCTP goes over the sockets of UDP, whether datagrams may or not. */
        if (all->allowed & (1u << i | (i == TRANSPORT_UDP ? 1u << TRANSPORT_SCTP : 0)))
            r = transport_table[i]->make(all, (enum transport)i, &all->of[i]);

        if (r < 0 && r != -EPROTONOSUPPORT)
            return r;
        if (r < 0)
            all->allowed &= (uint8_t) ~(1u << i);
    }
    return 0;
}

void transports_destroy(struct transports *all)
{
    for (unsigned i = TRANSPORT_COUNT; i-- > 0;) {
        if (all->of[i])
            all->of[i]->ops->destroy(all->of[i]);
        all->of[i] = NULL;
    }
}

void transports_output(struct transports *all, instant now)
{
    struct session_tx tx;

    for (unsigned i = 0; i < TRANSPORT_COUNT; i++)
        if (all->of[i] && all->of[i]->ops->before_output)
            all->of[i]->ops->before_output(all->of[i], now);
    for (unsigned i = 0; i < OUTPUTS_MAX && node_output(all->node, all->out, &tx, now); i++)
        if (all->of[tx.at.transport])
            all->of[tx.at.transport]->ops->send(all->of[tx.at.transport], &tx, all->out, now);
}

instant transports_next_expiry(const struct transports *all)
{
    instant next = INSTANT_NEVER;

    for (unsigned i = 0; i < TRANSPORT_COUNT; i++)
        if (all->of[i] && all->of[i]->ops->next_expiry)
            next = instant_min(next, all->of[i]->ops->next_expiry(all->of[i]));
    return next;
}

void transports_on_expiry(struct transports *all, instant now)
{
    for (unsigned i = 0; i < TRANSPORT_COUNT; i++)
        if (all->of[i] && all->of[i]->ops->on_expiry)
            all->of[i]->ops->on_expiry(all->of[i], now);
}

int transport_watch_add(struct transport_use *t, struct transport_watch *w, int fd)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLPRI, .data.ptr = w };

    w->transport = t;
    return epoll_ctl(t->all->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}
