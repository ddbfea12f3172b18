/* path/olia.c - congestion control: OLIA, the opportunistic linked increases of the paths of one flow.
 *
 * Together the paths take what one TCP flow would take on the best of them, and they leave a congested path for a
 * better one. For each acknowledged record the window of path r grows by
 *
 *     (w_r / rtt_r^2) / (sum of w_p / rtt_p)^2 + alpha_r / w_r
 *
 * The first term is what balances congestion; alpha moves windows from the paths that have the largest to those that
 * are best, by what they carry between losses, and have not (session/fairness.c computes it). A loss halves. Alone it
 * is Reno.
 *
 * Limits: as window.c. Source: Khalili et al., MPTCP is not Pareto-optimal, CoNEXT 2012;
 * draft-khalili-mptcp-congestion-control-05 section 3. */
#include "path/window.h"

/* In records. */
static double increase(const struct window *w, const struct cc_ack *a)
{
    const struct cc_coupling *c = a->coupling;
    double window = w->records * (double)w->record_bytes, acked = (double)a->acked_bytes,
           rtt = (double)MAX(a->srtt, USEC) / SEC;

    if (c->paths == 0)
        return acked / window;
    return acked * (window / (rtt * rtt * c->rate * c->rate) + c->shift / window);
}

static enum cc_verdict on_ack(void *state, const struct cc_ack *a, instant now, span *ret_min_rtt)
{
    return window_on_ack_halving(state, a, increase(state, a), now);
}

const struct cc_ops cc_olia = {
    .name = "olia",
    .state_bytes = sizeof(struct window),
    .coupled = true,
    .init = window_init,
    .on_ack = on_ack,
    .speed = window_speed,
    .info = window_info,
};
