/* path/lia.c - congestion control: LIA, the linked increases of the paths of one flow (RFC 6356).
 *
 * For each acknowledged record the window of path i grows by the smaller of alpha / w_total and 1 / w_i, with
 *
 *     alpha = w_total * (largest w_p / rtt_p^2) / (sum of w_p / rtt_p)^2
 *
 * so that together the paths take as much as one TCP flow would on the best of them, and no path takes more than a flow
 * of its own would. A loss halves. Alone it is Reno.
 *
 * Limits: as window.c. Source: RFC 6356 sections 3 and 4. Here to be compared with olia.c, which is better at leaving a
 * congested path. */
#include "path/window.h"

/* In records. */
static double increase(const struct window *w, const struct cc_ack *a)
{
    const struct cc_coupling *c = a->coupling;
    double acked = (double)a->acked_bytes, alone = acked / (w->records * (double)w->record_bytes);

    return c->paths == 0 ? alone : MIN(acked * c->peak / (c->rate * c->rate), alone);
}

static enum cc_verdict on_ack(void *state, const struct cc_ack *a, instant now, span *ret_min_rtt)
{
    return window_on_ack_halving(state, a, increase(state, a), now);
}

const struct cc_ops cc_lia = {
    .name = "lia",
    .state_bytes = sizeof(struct window),
    .coupled = true,
    .init = window_init,
    .on_ack = on_ack,
    .speed = window_speed,
    .info = window_info,
};
