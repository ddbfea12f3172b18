/* BBR for a simulated TCP sender: see tcp_cc.h.
 *
 * Theory of operation. The bandwidth is the best delivery rate of ten rounds, the path's round trip the shortest of ten
 * seconds; the sender paces by the one and limits what is in flight by the product. STARTUP doubles the rate each round
 * until three rounds bring no quarter more; DRAIN empties the queue that this built; PROBE_BW is a quarter faster for a
 * round trip, a quarter slower for another, and even for six; PROBE_RTT leaves four segments in flight for 200 ms when
 * the shortest round trip has not been seen again for ten seconds. Loss moves the window only for the time of the
 * recovery.
 *
 * As in Linux, the window has room for acknowledgements that come in heaps: the most that was acknowledged beyond what
 * the bandwidth explains, of five to ten rounds. A tunnel that puts order back makes such heaps. What Linux has more
 * of: detection of policers, and a random first phase (ours is a fixed one: virtual time repeats).
 *
 * Sources: draft-cardwell-iccrg-bbr-congestion-control-00, "draft" below. */
#include "sim/tcp_cc.h"

#include "sim/tcp.h"

#define HIGH_GAIN 2.89              /* 2 / ln 2: draft 4.3.2 */
#define CWND_GAIN 2.0               /* draft 4.3.4 */
#define WINDOW_MIN 4.0              /* segments: draft 4.2.3.3 */
#define MIN_RTT_SPAN (10 * SEC)     /* draft 4.1.2.3 */
#define PROBE_RTT_SPAN (200 * MSEC) /* draft 4.3.5 */
#define FULL_GROWTH 1.25            /* draft 4.3.2.2 */
#define FULL_ROUNDS 3               /* the same */
#define CYCLE_LEN 8                 /* draft 4.3.4 */
#define CYCLE_FIRST 2               /* chosen: neither faster nor slower; Linux draws it */
#define PACING_MARGIN 0.99          /* Linux: a little below the estimate, so that no queue stands */
#define QUANTUM_SPAN (1 * MSEC)     /* draft 4.2.2 */
#define QUANTUM_MAX 48              /* segments, 64 KiB: draft 4.2.2 */
#define RTT_UNMEASURED (1 * MSEC)   /* draft 4.2.1 */
#define START_WINDOW 10.0           /* segments: RFC 6928 */

#define EXTRA_ROUNDS 5          /* Linux: of half the filter */
#define EXTRA_SPAN (100 * MSEC) /* Linux: of the bandwidth at most */

static const double cycle_gain[CYCLE_LEN] = { 1.25, 0.75, 1, 1, 1, 1, 1, 1 };

/* --- model --- */

/* What fills the path so many times, and three bursts (draft 4.2.3.2). */
static double inflight(const struct tcp_sender *s, double gain)
{
    const struct tcp_bbr *b = &s->state.bbr;

    if (b->min_rtt < 0 || b->bw <= 0)
        return START_WINDOW;
    return gain * b->bw * (double)b->min_rtt / SEC + 3 * s->quantum;
}

static void round_update(struct tcp_sender *s, const struct tcp_sample *m)
{
    struct tcp_bbr *b = &s->state.bbr;

    b->round_start = m->acked > 0 && m->before >= b->round_end;
    if (!b->round_start)
        return;
    b->round_end = s->delivered;
    b->round++;
    b->best[b->round % TCP_BBR_ROUNDS] = 0;
    b->conserving = false;
}

static void bw_update(struct tcp_bbr *b, const struct tcp_sample *m)
{
    double *here = &b->best[b->round % TCP_BBR_ROUNDS];

    *here = MAX(*here, m->rate);
    b->bw = 0;
    for (unsigned i = 0; i < TCP_BBR_ROUNDS; i++)
        b->bw = MAX(b->bw, b->best[i]);
}

static void extra_update(struct tcp_sender *s, const struct tcp_sample *m, instant now)
{
    struct tcp_bbr *b = &s->state.bbr;
    double expected = b->bw * (double)(now - b->epoch_at) / SEC;

    if (b->round_start && ++b->extra_rounds >= EXTRA_ROUNDS) {
        b->extra_rounds = 0;
        b->extra[1] = b->extra[0];
        b->extra[0] = 0;
    }
    if (b->epoch_acked <= expected) {
        b->epoch_acked = expected = 0;
        b->epoch_at = now;
    }
    b->epoch_acked += m->acked;
    b->extra[0] = MAX(b->extra[0], MIN(b->epoch_acked - expected, s->cwnd));
}

static double extra(const struct tcp_bbr *b)
{
    return b->filled ? MIN(MAX(b->extra[0], b->extra[1]), b->bw * EXTRA_SPAN / SEC) : 0;
}

/* --- phases --- */

static void phase_set(struct tcp_bbr *b, enum tcp_bbr_phase phase, double pacing_gain, double cwnd_gain)
{
    b->phase = phase;
    b->pacing_gain = pacing_gain;
    b->cwnd_gain = cwnd_gain;
}

static void cycle_set(struct tcp_bbr *b, unsigned cycle, instant now)
{
    b->cycle = cycle % CYCLE_LEN;
    b->cycle_at = now;
    b->pacing_gain = cycle_gain[b->cycle];
}

static void probe_bw_enter(struct tcp_bbr *b, instant now)
{
    phase_set(b, TCP_BBR_PROBE_BW, 1, CWND_GAIN);
    cycle_set(b, CYCLE_FIRST, now);
}

static void cycle_update(struct tcp_sender *s, const struct tcp_sample *m, instant now)
{
    struct tcp_bbr *b = &s->state.bbr;
    bool over = now - b->cycle_at > b->min_rtt;

    if (b->phase != TCP_BBR_PROBE_BW)
        return;
    if (b->pacing_gain > 1)
        over = over && (m->lost > 0 || (double)m->flight >= inflight(s, b->pacing_gain));
    else if (b->pacing_gain < 1)
        over = over || (double)m->flight <= inflight(s, 1);
    if (over)
        cycle_set(b, b->cycle + 1, now);
}

static void filled_update(struct tcp_sender *s, instant now)
{
    struct tcp_bbr *b = &s->state.bbr;

    if (!b->filled && b->round_start) {
        if (b->bw >= b->full_bw * FULL_GROWTH) {
            b->full_bw = b->bw;
            b->full_rounds = 0;
        } else {
            b->filled = ++b->full_rounds >= FULL_ROUNDS;
        }
    }
    if (b->phase == TCP_BBR_STARTUP && b->filled)
        phase_set(b, TCP_BBR_DRAIN, 1 / HIGH_GAIN, HIGH_GAIN);
    if (b->phase == TCP_BBR_DRAIN && (double)s->pipe <= inflight(s, 1))
        probe_bw_enter(b, now);
}

static void cwnd_save(struct tcp_sender *s, bool recovering)
{
    struct tcp_bbr *b = &s->state.bbr;

    b->prior_cwnd = recovering || b->phase == TCP_BBR_PROBE_RTT ? MAX(b->prior_cwnd, s->cwnd) : s->cwnd;
}

static void cwnd_restore(struct tcp_sender *s)
{
    s->cwnd = MAX(s->cwnd, s->state.bbr.prior_cwnd);
}

static void min_rtt_update(struct tcp_sender *s, const struct tcp_sample *m, instant now)
{
    struct tcp_bbr *b = &s->state.bbr;
    bool expired = b->min_rtt >= 0 && now > b->min_rtt_at + MIN_RTT_SPAN;

    if (m->rtt >= 0 && (b->min_rtt < 0 || m->rtt <= b->min_rtt || expired)) {
        if (b->min_rtt < 0) /* the first: what was guessed before is forgotten */
            s->pacing = HIGH_GAIN * START_WINDOW * SEC / (double)m->rtt;
        b->min_rtt = m->rtt;
        b->min_rtt_at = now;
    }
    if (b->phase != TCP_BBR_PROBE_RTT) {
        if (!expired)
            return;
        cwnd_save(s, s->recovering);
        phase_set(b, TCP_BBR_PROBE_RTT, 1, 1);
        b->probe_done = 0;
    }
    if (b->probe_done == 0) {
        if ((double)s->pipe > WINDOW_MIN)
            return;
        b->probe_done = now + PROBE_RTT_SPAN;
        b->probe_round_done = false;
        b->round_end = s->delivered;
        return;
    }
    b->probe_round_done |= b->round_start;
    if (!b->probe_round_done || now <= b->probe_done)
        return;
    b->min_rtt_at = now;
    cwnd_restore(s);
    if (b->filled)
        probe_bw_enter(b, now);
    else
        phase_set(b, TCP_BBR_STARTUP, HIGH_GAIN, HIGH_GAIN);
}

/* --- what the sender is told --- */

static void pacing_update(struct tcp_sender *s)
{
    const struct tcp_bbr *b = &s->state.bbr;
    double rate = b->pacing_gain * b->bw * PACING_MARGIN;

    if (rate > 0 && (b->filled || rate > s->pacing))
        s->pacing = rate;
    s->quantum = (unsigned)CLAMP(s->pacing * QUANTUM_SPAN / SEC, 1, QUANTUM_MAX);
}

static void cwnd_update(struct tcp_sender *s, const struct tcp_sample *m)
{
    struct tcp_bbr *b = &s->state.bbr;
    double target = inflight(s, b->cwnd_gain) + extra(b);

    if (m->lost > 0)
        s->cwnd = MAX(s->cwnd - (double)m->lost, 1);
    if (b->conserving) {
        s->cwnd = MAX(s->cwnd, (double)s->pipe + m->acked);
    } else {
        if (b->filled)
            s->cwnd = MIN(s->cwnd + m->acked, target);
        else if (s->cwnd < target || (double)s->delivered < START_WINDOW)
            s->cwnd += m->acked;
        s->cwnd = MAX(s->cwnd, WINDOW_MIN);
    }
    if (b->phase == TCP_BBR_PROBE_RTT)
        s->cwnd = MIN(s->cwnd, WINDOW_MIN);
}

static void bbr_init(struct tcp_sender *s, instant now)
{
    struct tcp_bbr *b = &s->state.bbr;

    phase_set(b, TCP_BBR_STARTUP, HIGH_GAIN, HIGH_GAIN);
    b->min_rtt = -1;
    b->min_rtt_at = b->epoch_at = now;
    s->pacing = HIGH_GAIN * s->cwnd * SEC / RTT_UNMEASURED;
}

static void bbr_on_ack(struct tcp_sender *s, const struct tcp_sample *m, instant now)
{
    round_update(s, m);
    bw_update(&s->state.bbr, m);
    extra_update(s, m, now);
    cycle_update(s, m, now);
    filled_update(s, now);
    min_rtt_update(s, m, now);
    pacing_update(s);
    cwnd_update(s, m);
}

/* Draft 4.2.3.4: a round of one out for one in, then on to the target; at the end, as before. */
static void bbr_on_loss(struct tcp_sender *s, double acked, instant now)
{
    struct tcp_bbr *b = &s->state.bbr;

    cwnd_save(s, false);
    s->cwnd = (double)s->pipe + MAX(acked, 1);
    b->conserving = true;
    b->round_end = s->delivered;
}

static void bbr_on_recovered(struct tcp_sender *s)
{
    s->state.bbr.conserving = false;
    cwnd_restore(s);
}

static void bbr_on_timeout(struct tcp_sender *s, instant now)
{
    cwnd_save(s, s->recovering);
    s->state.bbr.full_bw = 0; /* as in Linux: the path may be another */
}

static void bbr_on_undo(struct tcp_sender *s)
{
    struct tcp_bbr *b = &s->state.bbr;

    b->conserving = false;
    b->full_bw = 0;
    b->full_rounds = 0;
    cwnd_restore(s);
}

const struct tcp_cc tcp_cc_bbr = {
    .name = "bbr",
    .init = bbr_init,
    .on_ack = bbr_on_ack,
    .on_loss = bbr_on_loss,
    .on_recovered = bbr_on_recovered,
    .on_timeout = bbr_on_timeout,
    .on_undo = bbr_on_undo,
};
