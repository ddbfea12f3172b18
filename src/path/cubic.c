/* path/cubic.c - congestion control: CUBIC (RFC 9438), as the TCP of most senders.
 *
 * A loss cuts the window to 7/10. From there it follows C (t - K)^3 + W_max, which is flat where the loss was met, so
 * that growth depends on the time since the cut and hardly on the round trip; and it is no smaller than the window that
 * Reno would have had with the same cut (section 4.3). Time in which the window did not limit does not count (section
 * 4.2). When a loss is met below the latest W_max, the next is lower than that: room for a flow that comes (section
 * 4.7).
 *
 * Limits: as window.c. Not built: ECN. */
#include <math.h>

#include "path/window.h"

#define C .4                                /* section 5.1 */
#define BETA .7                             /* section 4.6 */
#define ALPHA (3 * (1 - BETA) / (1 + BETA)) /* section 4.3 */

struct cubic {
    struct window w;
    instant epoch, seen_at; /* when this growth began, 0: it has not; the latest acknowledgement */
    double w_max, w_max_before, cwnd_prior, w_est;
    double k; /* seconds */
};

static void init(void *state, const struct cc_start *start, instant now)
{
    struct cubic *c = state;

    *c = (struct cubic){ .seen_at = now };
    window_init(&c->w, start, now);
}

static void begin(struct cubic *c, instant now)
{
    double cwnd = c->w.records;

    c->epoch = now;
    c->w_max = MAX(c->w_max, cwnd); /* of slow start that ended without a loss: convex at once (section 4.10) */
    c->k = cbrt((c->w_max - cwnd) / C);
    c->w_est = cwnd;
}

/* Section 4.2, figure 1. */
static double curve(const struct cubic *c, double t)
{
    return C * (t - c->k) * (t - c->k) * (t - c->k) + c->w_max;
}

static void grow(struct cubic *c, const struct cc_ack *a, instant now)
{
    double cwnd = c->w.records, acked = window_acked(&c->w, a), t, target;

    if (c->epoch == 0)
        begin(c, now);
    t = (double)(now - c->epoch) / SEC;
    target = CLAMP(curve(c, t + (double)a->srtt / SEC), cwnd, 1.5 * cwnd);
    c->w_est += (c->w_est < c->cwnd_prior ? ALPHA : 1) * acked / cwnd;
    if (curve(c, t) < c->w_est)
        window_grow(&c->w, a, MAX(c->w_est - cwnd, 0));
    else
        window_grow(&c->w, a, acked * (target - cwnd) / cwnd);
}

static void on_cut(struct cubic *c)
{
    double cwnd = c->w.before.records;

    c->w_max_before = c->w_max;
    c->w_max = cwnd < c->w_max ? cwnd * (1 + BETA) / 2 : cwnd;
    c->cwnd_prior = cwnd;
    c->epoch = 0;
}

static enum cc_verdict on_ack(void *state, const struct cc_ack *a, instant now, span *ret_min_rtt)
{
    struct cubic *c = state;

    switch (window_on_ack(&c->w, a, BETA, now)) {
    case WINDOW_GROWS:
        grow(c, a, now);
        break;
    case WINDOW_UNUSED:
        if (c->epoch != 0)
            c->epoch += now - c->seen_at;
        break;
    case WINDOW_CUT:
        on_cut(c);
        break;
    case WINDOW_COLLAPSED: /* section 4.8 */
        c->w_max = 0;
        c->epoch = 0;
        break;
    case WINDOW_RESTORED:
        c->w_max = c->w_max_before;
        c->epoch = 0;
        break;
    case WINDOW_STAYS:
        break;
    }
    c->seen_at = now;
    return CC_NOTHING;
}

const struct cc_ops cc_cubic = {
    .name = "cubic",
    .state_bytes = sizeof(struct cubic),
    .init = init,
    .on_ack = on_ack,
    .speed = window_speed,
    .info = window_info,
};
