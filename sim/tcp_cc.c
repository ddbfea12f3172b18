/* Reno and CUBIC for a simulated TCP sender: see tcp_cc.h. BBR has its own room.
 *
 * Theory of operation. Windows are in segments and fractions. Both wait in slow start until ssthresh, grow by what is
 * acknowledged while the window is what limits, stand still in recovery, and are cut once a recovery. CUBIC follows
 * C (t - K)^3 + W_max, and is no slower than the window that a Reno of its own beta would have. HyStart++ leaves slow
 * start when the round trip of a round is an eighth (4 to 16 ms) longer than that of the round before, first into a
 * slow start of a quarter of the speed, where it finds out whether that was jitter. Linux has the older HyStart, of
 * which the delay's half is the same idea. */
#include "sim/tcp_cc.h"

#include <math.h>

#include "sim/tcp.h"

#define RENO_BETA 0.5                                         /* RFC 5681 3.1 */
#define CUBIC_C 0.4                                           /* RFC 9438 5.1 */
#define CUBIC_BETA 0.7                                        /* RFC 9438 4.6 */
#define CUBIC_ALPHA (3 * (1 - CUBIC_BETA) / (1 + CUBIC_BETA)) /* RFC 9438 4.3 */

/* RFC 9406 4.3 */
#define HYSTART_RTT_MIN (4 * MSEC)
#define HYSTART_RTT_MAX (16 * MSEC)
#define HYSTART_RTT_DIVISOR 8
#define HYSTART_SAMPLES 8
#define HYSTART_GROWTH_DIVISOR 4
#define HYSTART_ROUNDS 5
#define HYSTART_BURST 8.0

static void nothing(struct tcp_sender *s, instant now)
{
}

static bool may_grow(const struct tcp_sender *s, const struct tcp_sample *m)
{
    return !s->recovering && m->limited;
}

static void cut(struct tcp_sender *s, double beta)
{
    s->ssthresh = MAX(s->cwnd * beta, 2);
}

/* --- Reno --- */

static void reno_on_ack(struct tcp_sender *s, const struct tcp_sample *m, instant now)
{
    if (may_grow(s, m))
        s->cwnd += s->cwnd < s->ssthresh ? m->acked : m->acked / s->cwnd;
}

static void reno_on_loss(struct tcp_sender *s, double acked, instant now)
{
    cut(s, RENO_BETA);
    s->cwnd = s->ssthresh;
}

static void reno_on_timeout(struct tcp_sender *s, instant now)
{
    cut(s, RENO_BETA);
}

const struct tcp_cc tcp_cc_reno = {
    .name = "reno",
    .init = nothing,
    .on_ack = reno_on_ack,
    .on_loss = reno_on_loss,
    .on_timeout = reno_on_timeout,
};

/* --- CUBIC --- */

static void cubic_begin(struct tcp_sender *s, instant now)
{
    struct tcp_cubic *c = &s->state.cubic;

    if (c->epoch != 0)
        return;
    c->epoch = now;
    c->w_max = MAX(c->w_max, s->cwnd);
    c->w_est = s->cwnd;
    c->k = cbrt((c->w_max - s->cwnd) / CUBIC_C);
}

/* One acknowledgement's way along the curve (RFC 9438 4.4, 4.5). */
static void cubic_follow(struct tcp_sender *s, double acked, instant now)
{
    const struct tcp_cubic *c = &s->state.cubic;
    double t = (double)(now - c->epoch + s->srtt) / SEC - c->k,
           target = CLAMP(CUBIC_C * t * t * t + c->w_max, s->cwnd, 1.5 * s->cwnd);

    s->cwnd += acked * MAX((target - s->cwnd) / s->cwnd, 0.01 / s->cwnd);
}

static void bare_on_ack(struct tcp_sender *s, const struct tcp_sample *m, instant now)
{
    if (!may_grow(s, m))
        return;
    if (s->cwnd < s->ssthresh) {
        s->cwnd += m->acked;
        return;
    }
    cubic_begin(s, now);
    cubic_follow(s, m->acked, now);
}

static void bare_cut(struct tcp_sender *s)
{
    s->state.cubic.w_max = s->cwnd;
    s->state.cubic.epoch = 0;
    cut(s, CUBIC_BETA);
}

static void bare_on_loss(struct tcp_sender *s, double acked, instant now)
{
    bare_cut(s);
    s->cwnd = s->ssthresh;
}

static void bare_on_timeout(struct tcp_sender *s, instant now)
{
    bare_cut(s);
}

const struct tcp_cc tcp_cc_cubic_bare = {
    .name = "cubic-bare",
    .init = nothing,
    .on_ack = bare_on_ack,
    .on_loss = bare_on_loss,
    .on_timeout = bare_on_timeout,
};

/* --- CUBIC as a whole --- */

static void hystart_round(struct tcp_sender *s)
{
    struct tcp_hystart *h = &s->state.hystart;

    h->window_end = s->next;
    h->last_min = h->min;
    h->min = INSTANT_NEVER;
    h->samples = 0;
}

static void cubic_init(struct tcp_sender *s, instant now)
{
    s->state.hystart.min = INSTANT_NEVER;
    hystart_round(s);
}

/* RFC 9406 4.2. How much of what was acknowledged the window grows by. */
static double hystart_on_ack(struct tcp_sender *s, const struct tcp_sample *m)
{
    struct tcp_hystart *h = &s->state.hystart;
    double grown = MIN(m->acked, HYSTART_BURST);

    if (h->slow)
        grown /= HYSTART_GROWTH_DIVISOR;
    if (m->rtt >= 0) {
        h->min = MIN(h->min, m->rtt);
        h->samples++;
    }
    if (h->samples >= HYSTART_SAMPLES && h->last_min != INSTANT_NEVER) {
        span more = CLAMP(h->last_min / HYSTART_RTT_DIVISOR, HYSTART_RTT_MIN, HYSTART_RTT_MAX);

        if (!h->slow && h->min >= h->last_min + more) {
            h->slow = true;
            h->baseline = h->min;
            h->slow_rounds = 0;
        } else if (h->slow && h->min < h->baseline) {
            h->slow = false;
        }
    }
    if (s->una >= h->window_end) {
        hystart_round(s);
        h->slow_rounds += h->slow;
    }
    if (h->slow && h->slow_rounds >= HYSTART_ROUNDS) {
        h->done = true;
        s->ssthresh = s->cwnd;
    }
    return grown;
}

/* The window that Reno would have (RFC 9438 4.3). */
static void reno_follow(struct tcp_sender *s, double acked)
{
    struct tcp_cubic *c = &s->state.cubic;

    c->w_est += (c->w_est >= c->cwnd_prior ? 1 : CUBIC_ALPHA) * acked / s->cwnd;
    s->cwnd = MAX(s->cwnd, c->w_est);
}

static void cubic_on_ack(struct tcp_sender *s, const struct tcp_sample *m, instant now)
{
    if (!may_grow(s, m))
        return;
    if (s->cwnd < s->ssthresh) {
        s->cwnd += s->state.hystart.done ? m->acked : hystart_on_ack(s, m);
        return;
    }
    cubic_begin(s, now);
    cubic_follow(s, m->acked, now);
    reno_follow(s, m->acked);
}

static void cubic_cut(struct tcp_sender *s)
{
    struct tcp_cubic *c = &s->state.cubic;

    /* Fast convergence (RFC 9438 4.7). */
    c->w_max_before = c->w_max;
    c->w_max = s->cwnd < c->w_max ? s->cwnd * (1 + CUBIC_BETA) / 2 : s->cwnd;
    c->cwnd_prior = s->cwnd;
    c->epoch = 0;
    s->state.hystart.done = true;
    cut(s, CUBIC_BETA);
}

static void cubic_on_loss(struct tcp_sender *s, double acked, instant now)
{
    cubic_cut(s);
    s->cwnd = s->ssthresh;
}

static void cubic_on_timeout(struct tcp_sender *s, instant now)
{
    cubic_cut(s);
}

/* RFC 9438 4.9. */
static void cubic_on_undo(struct tcp_sender *s)
{
    s->state.cubic.w_max = s->state.cubic.w_max_before;
    s->state.cubic.epoch = 0;
}

const struct tcp_cc tcp_cc_cubic = {
    .name = "cubic",
    .init = cubic_init,
    .on_ack = cubic_on_ack,
    .on_loss = cubic_on_loss,
    .on_timeout = cubic_on_timeout,
    .on_undo = cubic_on_undo,
};
