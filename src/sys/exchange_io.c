/* sys/exchange_io.c - see exchange_io.h.
 *
 * Theory of operation. One recvmmsg brings up to 64 datagrams; they are given to the exchange, and its events to the
 * program before the next batch takes their place: requests by EXCHANGE_WAITING_MAX, so that what several of them need
 * can be fetched from memory at once, and whatever else comes about at once. The answers wait sealed in the exchange
 * and leave together by one sendmmsg. Segmentation offload is of no use: of a batch hardly two datagrams go to one
 * peer. An answer leaves from the address at which its peer was heard last.
 *
 * A full socket buffer loses what does not fit, as a full queue on the way would. ICMP errors are told to the exchange,
 * which tries another way.
 *
 * Limits: 64 datagrams a system call, EXCHANGE_OUTPUT_MAX that wait. */
#include "sys/exchange_io.h"

#include <errno.h>

#define FORESEE 4 /* chosen, by measuring: datagrams ahead */

void exchange_io_init(struct exchange_io *io, struct exchange *x, exchange_on_event *on_event, void *ctx)
{
    *io = (struct exchange_io){ .x = x, .on_event = on_event, .ctx = ctx };
}

void exchange_io_deinit(struct exchange_io *io)
{
    for (size_t i = 0; i < EXCHANGE_SOCKETS_MAX; i++)
        udp_free(io->sockets[i]);
    *io = (struct exchange_io){ 0 };
}

int exchange_io_open(struct exchange_io *io, uint32_t link, const struct udp_options *o)
{
    struct udp_options many = *o;
    struct udp *u;
    int r;

    if (link == 0 || link > EXCHANGE_SOCKETS_MAX)
        return -EINVAL;
    many.many = true;
    r = udp_open(&many, &u);
    if (r < 0)
        return r;
    udp_free(io->sockets[link - 1]);
    io->sockets[link - 1] = u;
    return 0;
}

static void pop_errors(struct exchange_io *io, instant now)
{
    struct udp_error e;

    for (uint32_t i = 0; i < EXCHANGE_SOCKETS_MAX; i++)
        while (io->sockets[i] && udp_pop_error(io->sockets[i], &e) > 0) {
            const struct locator_pair at = { .link = i + 1, .remote = e.to };

            if (e.to.addr.family != ADDR_NONE && e.error != EMSGSIZE)
                exchange_on_unreachable(io->x, &at, now);
        }
}

/* Those from `from` on that go by the same socket: how many. */
static size_t send_run(struct exchange_io *io, const struct exchange_tx *tx, size_t count)
{
    uint32_t link = tx[0].at.link;
    struct udp *u = link > 0 && link <= EXCHANGE_SOCKETS_MAX ? io->sockets[link - 1] : NULL;
    struct udp_tx batch[UDP_MANY_MAX];
    size_t n = 0;

    while (n < MIN(count, (size_t)UDP_MANY_MAX) && tx[n].at.link == link) {
        batch[n] =
            (struct udp_tx){ .data = tx[n].data, .len = tx[n].len, .to = tx[n].at.remote, .local = tx[n].at.local };
        n++;
    }
    if (!u && io->send_beside) {
        for (size_t i = 0; i < n; i++)
            io->send_beside(io->ctx, &tx[i]);
        return n;
    }
    io->unsent += n - (u ? udp_send_many(u, batch, n) : 0);
    return n;
}

void exchange_io_flush(struct exchange_io *io, instant now)
{
    struct exchange_tx tx[UDP_MANY_MAX];
    size_t count;

    while ((count = exchange_output(io->x, tx, ARRAY_LEN(tx), now)) > 0)
        for (size_t at = 0; at < count;)
            at += send_run(io, tx + at, count - at);
}

static void pop_events(struct exchange_io *io)
{
    const struct exchange_event *waiting;
    struct exchange_event ev;
    size_t count = exchange_waiting(io->x, &waiting);

    if (count > 1 && io->on_waiting)
        io->on_waiting(io->ctx, waiting, count);
    while (exchange_pop_event(io->x, &ev))
        io->on_event(io->ctx, &ev);
}

void exchange_io_turn(struct exchange_io *io, instant now)
{
    pop_events(io);
    exchange_io_flush(io, now);
    pop_errors(io, now);
    pop_events(io);             /* what the errors ended, */
    exchange_io_flush(io, now); /* and what they began */
}

int exchange_io_answer(struct exchange_io *io, const struct exchange_asked *asked, const void *data, size_t len,
                       instant now)
{
    int r = exchange_answer(io->x, asked, data, len, now);

    if (r != -EAGAIN)
        return r;
    exchange_io_flush(io, now);
    return exchange_answer(io->x, asked, data, len, now);
}

static void foresee(const struct exchange *x, const struct udp_rx *batch, int n, int i, unsigned step)
{
    if (i >= 0 && i < n)
        exchange_foresee(x, batch[i].data, batch[i].len, step);
}

static void take(struct exchange_io *io, uint32_t link, const struct udp_rx *rx, bool is_last, instant now)
{
    const struct locator_pair at = { .link = link, .local = rx->local, .remote = rx->from };

    exchange_input(io->x, &at, rx->data, rx->len, now);
    if (is_last || !exchange_takes_more(io->x))
        pop_events(io);
}

int exchange_io_read(struct exchange_io *io, uint32_t link, instant now)
{
    struct udp *u = link > 0 && link <= EXCHANGE_SOCKETS_MAX ? io->sockets[link - 1] : NULL;
    struct udp_rx batch[UDP_MANY_MAX];
    int n = u ? udp_recv(u, batch, ARRAY_LEN(batch)) : -ENOENT;

    for (int i = -2 * FORESEE; i < n; i++) {
        foresee(io->x, batch, n, i + 2 * FORESEE, 0);
        foresee(io->x, batch, n, i + FORESEE, 1);
        if (i < 0)
            continue;
        take(io, link, &batch[i], i == n - 1, now);
    }
    exchange_io_turn(io, now);
    return n;
}
