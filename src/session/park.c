/* session/park.c - which paths a striped flow is better without.
 *
 * Theory of operation. A stripe is as late as its latest path: what comes by the fast ones waits for it. Two kinds of
 * paths cost more than they carry, and are parked: striping leaves them out while another path is there, and they are
 * probed as any idle path is. Each path is compared with others of its tier, in round trips that both ends measure:
 *
 *   far     a record of it would come later than one of the fastest path by more than the resequencer waits at most: it
 *           is always out of order
 *   lossy   it loses often, and what it lost (session_resend_lost) comes so late that the resequencer has given it up,
 *           so that the flow sees the losses, where one TCP would get most of the best path alone; or it adds little to
 *           the rate of the others, and the flow would wait for what it lost for much of the time, or for its delay,
 *           several round trips of the fastest path
 *
 * The best path is the one of which a single TCP would get the most: its rate, or what its losses leave of that (Mathis
 * et al., CCR 1997).
 *
 * A path is parked once that has been so for PARK_AFTER (at once if those who used it before had to park it, too), and
 * taken back once it has been clearly otherwise for RETURN_AFTER, or at once when it is the best that is left. One that
 * was parked for its losses carries nothing that could be lost, so it is tried again after a while, longer each time.
 * Each end decides for what it sends.
 *
 * Limits: a path that hurts for another reason (two links of much jitter each) is not found. Rules that name paths in
 * another mode than stripe are obeyed. Source: the never-slower-than-the-best-link rule of every complaint about
 * bonding. */
#include "session/internal.h"

#include <math.h>

#define FAR_SPAN (RESEQ_WAIT_MAX * 3 / 4) /* one way: a quarter is left for its jitter and queue */
#define TOO_LATE (RESEQ_WAIT_MAX * 3 / 2) /* chosen: most comes sooner than held_span says */
#define FAR_BACK (RESEQ_WAIT_MAX / 2)
#define SMALL_GAIN .25           /* chosen: of the others' rate: below, a hurt cannot pay */
#define HELD_SHARE .2            /* chosen: of the time */
#define LATE_ROUND_TRIPS 4       /* chosen: a flow's window grows to cover one or two more, not four */
#define PARK_AFTER (200 * MSEC)  /* chosen: some round trips of a usable path */
#define RETURN_AFTER (3 * SEC)   /* chosen: twenty probes */
#define LOSS_WINDOW (1 * SEC)    /* chosen: a cycle of the path's search for more rate */
#define SOUGHT_ROUND_TRIPS 2     /* one until the loss shows, one to empty the queue that the search made */
#define CLEAN_PART .5            /* of its rate: so much at least one TCP would get of a path */
#define LOSS_RECORDS 200         /* chosen: of fewer a loss of .5 % is chance */
#define LOST_RECORDS 4           /* chosen: in a window: of fewer nothing follows */
#define PATIENCE_MIN (30 * SEC)  /* chosen: a trial costs a flow some seconds of its rate */
#define PATIENCE_MAX (300 * SEC) /* chosen: a trial each five minutes is not noticed */

const char *session_park_name(enum session_park p)
{
    static const char *const names[PARK_COUNT] = {
        "",
        "parked: too far behind the fastest to be put in order",
        "parked: it would cost the others more than it carries",
    };
    return p < PARK_COUNT ? names[p] : "?";
}

/* Losses are counted apart from the path's own share: of windows in which it carried data at a known rate. Of what was
 * sent while the rate was sought, losses become known for some time after that; and what a path had lost when it was
 * parked is known of it as long as it carries nothing. */
static void count_losses(struct park *k, const struct path_metrics *m, instant now)
{
    uint64_t sent = m->tx_pkts - k->tx_pkts, lost = m->lost_pkts > k->lost_pkts ? m->lost_pkts - k->lost_pkts : 0;

    if (m->rate_is_sought || m->tx_pkts < k->tx_pkts || k->verdict == PARK_LOSSY) {
        k->window_at = now + SOUGHT_ROUND_TRIPS * m->srtt;
    } else if (now > k->window_at) {
        if (now - k->window_at < LOSS_WINDOW)
            return;
        k->window_at = now;
        if (sent >= LOSS_RECORDS) {
            k->loss = (double)lost / (double)sent;
            k->lost = lost;
        }
    }
    k->tx_pkts = m->tx_pkts;
    k->lost_pkts = m->lost_pkts;
}

/* What a single TCP would get of the path, bits a second. */
static double tcp_bps(const struct path_metrics *m)
{
    double rate = (double)m->rate_bps, round_trip = (double)MAX(m->srtt, 1 * MSEC) / SEC;

    return m->loss > 0 ? MIN(rate, 1.22 * 8 * RECORD_MAX / (round_trip * sqrt(m->loss))) : rate;
}

/* How much of the time, and for how long each time, a flow waits for what the path lost. */
static span held_span(const struct path_metrics *m, double loss, double *ret_share)
{
    span each = m->srtt * 5 / 4 + 4 * m->rttvar + PATH_ACK_DELAY_MAX;
    double records = (double)m->rate_bps / 8 / RECORD_MAX;

    *ret_share = loss * records * (double)each / SEC;
    return each;
}

/* What a path is compared with: paths that both may be the one that is judged. */
struct beside {
    const struct path_metrics *fastest, *best;
    bool best_is_clean;  /* one TCP would get most of it */
    uint64_t others_bps; /* of all but the one that is judged */
};

/* The flow would see what it loses, and the best path alone carries as much. */
static bool is_too_late(const struct path_metrics *m, const struct park *k, span each, const struct beside *b,
                        bool strict)
{
    return m != b->best && b->best_is_clean && b->best->rate_bps >= m->rate_bps && k->lost >= LOST_RECORDS &&
           each > (strict ? TOO_LATE * 5 / 6 : TOO_LATE);
}

static bool is_lossy(const struct path_metrics *m, const struct park *k, const struct beside *b, bool strict)
{
    span late = (m->min_rtt - b->fastest->min_rtt) / 2;
    double share, gain = (double)m->rate_bps / (double)MAX(b->others_bps, 1u);
    span each = held_span(m, k->loss, &share);
    bool often = share > (strict ? HELD_SHARE / 2 : HELD_SHARE);

    if (m->rate_is_sought)
        return false;
    if (often && is_too_late(m, k, each, b, strict))
        return true;
    if (often)
        late += each;
    return m != b->fastest && gain < (strict ? SMALL_GAIN * 1.4 : SMALL_GAIN) &&
           late > (strict ? LATE_ROUND_TRIPS - 1 : LATE_ROUND_TRIPS) * MAX(b->fastest->min_rtt, 5 * MSEC);
}

/* strict: it must be clearly well to be PARK_NOT. */
static enum session_park judge(const struct path_metrics *m, const struct park *k, const struct beside *b, bool strict)
{
    if ((m->min_rtt - b->fastest->min_rtt) / 2 > (strict ? FAR_BACK : FAR_SPAN))
        return PARK_FAR;
    return is_lossy(m, k, b, strict) ? PARK_LOSSY : PARK_NOT;
}

static void settle(struct park *k, enum session_park verdict, instant now)
{
    if (k->verdict == PARK_LOSSY && now - k->parked_at > k->patience) { /* a path that carries nothing shows no loss */
        k->loss = 0;
        k->lost = 0;
        k->verdict = PARK_NOT;
        k->differs_since = now;
        return;
    }
    if ((verdict != PARK_NOT) == (k->verdict != PARK_NOT)) {
        k->differs_since = now;
        return;
    }
    if (now - k->differs_since < (verdict != PARK_NOT ? PARK_AFTER : RETURN_AFTER) &&
        (verdict == PARK_NOT || verdict != k->expected))
        return;
    k->expected = PARK_NOT;
    if (verdict == PARK_LOSSY)
        k->patience = k->patience == 0 || now - k->parked_at > 2 * PATIENCE_MAX ? PATIENCE_MIN
                                                                                : MIN(2 * k->patience, PATIENCE_MAX);
    k->verdict = (uint8_t)verdict;
    k->differs_since = k->parked_at = now;
}

void park_refresh(struct session *s, const struct path_metrics m[SESSION_SLOTS], instant now)
{
    uint8_t slots = sched_best(s);
    struct beside b = { 0 };
    double best_bps = 0;
    uint64_t total = 0;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        const struct park *k = &s->paths[i].park;
        double bps;

        if (!s->paths[i].path || m[i].min_rtt == 0) /* gone, or not measured yet: nothing is known of it */
            slots &= (uint8_t) ~(1u << i);
        if (!(slots & 1u << i))
            continue;
        count_losses(&s->paths[i].park, &m[i], now);
        if (!(s->parked & 1u << i))
            total += m[i].rate_bps;
        if (!b.fastest || m[i].min_rtt < b.fastest->min_rtt)
            b.fastest = &m[i];
        bps = tcp_bps(&m[i]);
        if (k->verdict != PARK_FAR && (!b.best || bps > best_bps)) {
            b.best = &m[i];
            b.best_is_clean = bps >= CLEAN_PART * (double)m[i].rate_bps;
            best_bps = bps;
        }
    }
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        struct park *k = &s->paths[i].park;
        bool parked = s->parked & 1u << i;

        if (!(slots & 1u << i) || !(slots & (slots - 1))) { /* there is nothing that it could hurt */
            k->verdict = PARK_NOT;
            k->differs_since = now;
        } else {
            b.others_bps = parked ? total : total - m[i].rate_bps;
            settle(k, judge(&m[i], k, &b, parked), now);
        }
        if (k->verdict == PARK_NOT)
            s->parked &= (uint8_t) ~(1u << i);
        else
            s->parked |= (uint8_t)(1u << i);
    }
    if (slots && !(slots & ~s->parked)) { /* the best that is left */
        unsigned left = (unsigned)((b.best ? b.best : b.fastest) - m);

        s->paths[left].park.verdict = PARK_NOT;
        s->paths[left].park.differs_since = now;
        s->parked &= (uint8_t) ~(1u << left);
    }
}
