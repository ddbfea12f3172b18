/* tunnel/tcp_cubic.c - congestion control of ends: CUBIC with HyStart++, towards servers.
 *
 * Theory of operation. The formulas are those of the paths (path/cubic.c, path/window.c): this file tells them what TCP
 * knows. A recovery is TCP's: what is acknowledged while one is under way does not let the window grow, and a loss is a
 * cut if it begins one; so everything that a control of paths tells by times of sending was sent now. A timeout is
 * persistent congestion. A round, for HyStart++, ends when what was sent next at its beginning is acknowledged. The
 * window limits by the test that TCP has (tcp_cwnd_limits), since a full log or a super-packet's end may leave some of
 * it unused.
 *
 * `held` is what a window of paths does not know: less than that is to be in flight after silence, after a timeout (one
 * segment) and after a handshake that lost its SYNs. It grows by what is acknowledged, and is gone when it reaches the
 * window. What is lost before that is cut from `held`: the window above it was not tried.
 *
 * When all that was taken for lost since a cut has come after all (struct tcp_acked), the cut is taken back and the
 * recovery is over (RFC 4015, RFC 9438 4.9). Of what was sent again only a timestamp tells.
 *
 * Limits: the unit of the window is the segment of the handshake, also if an ICMP error makes segments smaller later;
 * at most PATH_INFLIGHT_MAX of them. Sources: RFC 9438, 9406, 4015, 5681 section 3.1 and 4.1. */
#include "path/cc.h"
#include "path/rtt.h"
#include "tunnel/tcp_internal.h"

#include <errno.h>

struct cubic {
    const struct cc_ops *ops;
    uint64_t held;      /* bytes; UINT64_MAX: the window is as wide as it says */
    uint64_t round_end; /* place */
    uint64_t rounds;
    uint64_t unit;    /* bytes: what the window counts */
    double control[]; /* what ops keeps */
};

static int make(struct tcp_end *e)
{
    const struct cc_ops *ops = cc_get(CC_CUBIC);
    struct cubic *c = calloc(1, sizeof(*c) + ops->state_bytes);

    if (!c)
        return -ENOMEM;
    c->ops = ops;
    e->cc_state = c;
    return 0;
}

static uint64_t window(const struct tcp_end *e)
{
    const struct cubic *c = e->cc_state;

    return c->ops->speed(c->control, e->tx.srtt, 0).window_bytes;
}

/* Anew, in slow start from so many bytes. What is lost now is its to answer for. */
static void begin(struct tcp_end *e, uint64_t bytes, instant now)
{
    struct cubic *c = e->cc_state;
    struct cc_start s = { .record_bytes = c->unit, .initial_rtt = RTT_INITIAL, .window_bytes = bytes, .sought = true };

    c->ops->init(c->control, &s, now - 1);
    c->held = UINT64_MAX;
}

static void start(struct tcp_end *e, instant now)
{
    struct cubic *c = e->cc_state;

    c->unit = e->tx.mss;
    c->round_end = e->tx.next;
    begin(e, e->tx.cwnd, now);
}

static void give(struct tcp_end *e, struct cc_ack *a, instant now)
{
    struct cubic *c = e->cc_state;
    span min_rtt;

    a->srtt = e->tx.srtt;
    a->min_rtt = e->tx.min_rtt == INT64_MAX ? 0 : e->tx.min_rtt;
    a->rounds = c->rounds;
    (void)c->ops->on_ack(c->control, a, now, &min_rtt);
    if (c->held >= window(e))
        c->held = UINT64_MAX;
    e->tx.cwnd = MIN(window(e), c->held);
    if (!c->ops->info(c->control).sought)
        e->tx.ssthresh = MIN(e->tx.ssthresh, window(e));
}

static void on_acked(struct tcp_end *e, const struct tcp_acked *acked, instant now)
{
    struct cubic *c = e->cc_state;
    struct tcp_tx *tx = &e->tx;
    uint64_t before = tx->cwnd;
    bool limits = tcp_cwnd_limits(tx, acked->pipe_before), recovers = acked->recovers;
    struct cc_ack a = { .acked_bytes = recovers ? 0 : acked->bytes,
                        .spurious_bytes = acked->needless,
                        .sent_at = now,
                        .inflight_bytes = limits && c->held == UINT64_MAX ? window(e) : 0,
                        .rtt = acked->rtt };

    if (tx->una >= c->round_end) {
        a.round_ended = true;
        c->rounds++;
        c->round_end = tx->next;
    }
    if (c->held < UINT64_MAX && limits && !recovers)
        c->held += acked->bytes;
    give(e, &a, now);
    if (acked->needless > 0 && tx->cwnd > before && recovers) {
        tx->phase = TCP_OPEN;
        tx->ssthresh = c->ops->info(c->control).sought ? UINT64_MAX : window(e);
    }
}

static void on_lost(struct tcp_end *e, uint64_t bytes, uint64_t flight, bool first, instant now)
{
    struct cubic *c = e->cc_state;
    struct cc_ack a = { .lost_pkts = 1, .lost_bytes = bytes, .lost_at = first ? now : 0 };

    (void)flight; /* a window that is not used does not grow, so it may be cut in its place (RFC 9438 4.6) */
    if (first && c->held < UINT64_MAX)
        begin(e, c->held, now);
    give(e, &a, now);
}

static void on_timeout(struct tcp_end *e, bool again, instant now)
{
    struct cubic *c = e->cc_state;
    struct cc_ack a = { .lost_pkts = 1, .persistent = true };

    if (!again) {
        on_lost(e, 0, 0, true, now);
        give(e, &a, now);
    }
    c->held = e->tx.cwnd = e->tx.mss; /* RFC 5681 3.1, equation 4 and what follows it */
}

static void hold(struct tcp_end *e, uint64_t bytes)
{
    struct cubic *c = e->cc_state;

    if (bytes < e->tx.cwnd)
        c->held = e->tx.cwnd = bytes;
}

const struct tcp_cc tcp_cubic = {
    .name = "cubic",
    .make = make,
    .start = start,
    .on_acked = on_acked,
    .on_lost = on_lost,
    .on_timeout = on_timeout,
    .hold = hold,
};
