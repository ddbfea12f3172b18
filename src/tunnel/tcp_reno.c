/* tunnel/tcp_reno.c - congestion control of ends: Reno, towards the host and its LAN.
 *
 * RFC 5681 with byte counting as far as an acknowledgement goes (a super-packet is acknowledged as one), and growth
 * only while the window is what limits. A loss halves what was in flight; a reduction is not undone: with the round
 * trips of a LAN what it costs is back in no time.
 *
 * Sources: RFC 5681 section 3.1, 3465, 7661. */
#include "tunnel/tcp_internal.h"

static void start(struct tcp_end *e, instant now)
{
    (void)now;
    e->tx.grown = 0;
}

static void on_acked(struct tcp_end *e, const struct tcp_acked *a, instant now)
{
    struct tcp_tx *tx = &e->tx;

    (void)now;
    if (tx->phase == TCP_RECOVERY || !tcp_cwnd_limits(tx, a->pipe_before))
        return;
    if (tx->cwnd < tx->ssthresh) {
        tx->cwnd += a->bytes;
        return;
    }
    tx->grown += a->bytes;
    if (tx->grown >= tx->cwnd) {
        tx->grown -= tx->cwnd;
        tx->cwnd += tx->mss;
    }
}

static void on_lost(struct tcp_end *e, uint64_t bytes, uint64_t flight, bool first, instant now)
{
    struct tcp_tx *tx = &e->tx;

    (void)bytes;
    (void)now;
    if (!first)
        return;
    tx->ssthresh = MAX(flight / 2, 2u * (uint64_t)tx->mss);
    tx->cwnd = MIN(tx->cwnd, tx->ssthresh);
    tx->grown = 0;
}

static void on_timeout(struct tcp_end *e, bool again, instant now)
{
    on_lost(e, 0, e->tx.next - e->tx.una, !again, now);
    e->tx.cwnd = e->tx.mss;
}

static void hold(struct tcp_end *e, uint64_t bytes)
{
    e->tx.cwnd = MIN(e->tx.cwnd, bytes);
}

const struct tcp_cc tcp_reno = {
    .name = "reno",
    .start = start,
    .on_acked = on_acked,
    .on_lost = on_lost,
    .on_timeout = on_timeout,
    .hold = hold,
};
