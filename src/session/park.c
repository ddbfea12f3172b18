/* session/park.c - which paths a striped flow is better without.
 *
 * Theory of operation. A stripe is as late as its latest path: what comes by the fast ones waits for it. Two kinds of
 * paths cost more than they carry, and are parked: striping leaves them out while another path is there, and they are
 * probed as any idle path is. Each path is compared with others of its tier, in round trips that both ends measure:
 *
 *   far     a record of it would come later than one of the fastest path by more than the resequencer waits at most: it
 *           is always out of order
 *   lossy   what it loses (session_resend_lost) comes so late that the resequencer has given it up: the flow sees the
 *           losses, and would make less of the best path than without them (Mathis et al., CCR 1997), while that one
 *           alone carries as much as this one, or as flows make of all; or it adds little to the rate of the others,
 * and the flow would wait for what it lost for much of the time, or for its delay, several round trips of the fastest
 * path
 *
 * The best path is the one of which a single TCP would get the most, by its rate and by its losses.
 *
 * A path is parked once that has been so for PARK_AFTER (at once if those who used it before had to park it, too), and
 * taken back once it has been clearly otherwise for RETURN_AFTER, or at once when all that are left are parked and it
 * is the best of them. Of what is in doubt for a moment nothing new is known. One that was parked for its losses
 * carries nothing that could be lost, so after a while, longer each time, it is tried: in earnest if flows fill the
 * best path and this one carries more; else with copies of some packets that others carry (tx.c), so that nothing waits
 * for what it loses. Copies cost what else would not be sent: a metered path is tried in earnest alone, and, if it is
 * not missed, after PATIENCE_MAX. Each end decides for what it sends.
 *
 * A parked path is idle, and what it would cost follows from what it carried before: it is judged by that rate, or by
 * what it has now if that is more. So it stays parked through a fall, after which its rate is sought anew, and a trial
 * that ends meanwhile has a verdict like any other. One that has moved to another address begins anew.
 *
 * Limits: a path that hurts for another reason (two links of much jitter each) is not found. Rules that name paths in
 * another mode than stripe are obeyed. Source: the never-slower-than-the-best-link rule of every complaint about
 * bonding. */
#include "session/internal.h"

#include <math.h>

#define FAR_SPAN (RESEQ_WAIT_MAX * 3 / 4) /* one way: a quarter is left for its jitter and queue */
#define TOO_LATE (RESEQ_WAIT_MAX * 3 / 2) /* chosen: most comes sooner than held_span says */
#define FAR_BACK (RESEQ_WAIT_MAX / 2)
#define SMALL_GAIN .25             /* chosen: of the others' rate: below, a hurt cannot pay */
#define HELD_SHARE .2              /* chosen: of the time */
#define LATE_ROUND_TRIPS 4         /* chosen: a flow's window grows to cover one or two more, not four */
#define PARK_AFTER (200 * MSEC)    /* chosen: some round trips of a usable path */
#define RETURN_AFTER (3 * SEC)     /* chosen: twenty probes */
#define LOSS_WINDOW (1 * SEC)      /* chosen: a cycle of the path's search for more rate */
#define LOSS_WINDOW_MAX (10 * SEC) /* chosen: until then a flow that its losses made slow has sent LOSS_RECORDS */
#define SOUGHT_ROUND_TRIPS 2       /* one until the loss shows, one to empty the queue that the search made */
#define CLEAN_PART .5              /* of its rate: so much at least one TCP would get of a path */
#define UNUSED_PART .7          /* of its rate: chosen: flows that make less of all paths would make more of it alone */
#define FULL_PART .85           /* of its rate: chosen: packets' headers, and TCP's saw teeth */
#define MANY_FLOWS 4            /* chosen: one that loses is not the loss of all */
#define RUN_BYTES 100000        /* chosen: more than most of what is fetched for a page */
#define LOSS_RECORDS 200        /* chosen: of fewer a loss of .5 % is chance */
#define LOST_RECORDS 4          /* chosen: in a window: of fewer nothing follows */
#define MATHIS 1.22             /* sqrt(3/2): each segment is acknowledged, every loss another event */
#define TRIAL_RECORDS 1600      /* chosen: the rarest loss that is told from none, LOST_RECORDS of them, is .5 % */
#define PATIENCE_MIN (30 * SEC) /* chosen: what passes a trial and is parked again cost a flow some seconds' rate */
#define PATIENCE_MAX (300 * SEC) /* chosen: that each five minutes is not noticed */

enum park_trial { TRIAL_NONE, TRIAL_RUNS, TRIAL_ENDED };

const char *session_park_name(enum session_park p)
{
    static const char *const names[PARK_COUNT] = {
        "",
        "parked: too far behind the fastest to be put in order",
        "parked: it would cost the others more than it carries",
    };
    return p < PARK_COUNT ? names[p] : "?";
}

/* Losses are counted apart from the path's own share: of what is to be acknowledged, since nothing else is seen to be
 * lost, in windows in which it carried data at a known rate. Of what was sent while the rate was sought, losses become
 * known for some time after that; and what a path had lost when it was parked is known of it as long as it carries
 * nothing. */
static void count_losses(struct park *k, const struct path_metrics *m, instant now)
{
    uint64_t sent = m->tx_eliciting_pkts - k->sent_pkts,
             lost = m->lost_pkts > k->lost_pkts ? m->lost_pkts - k->lost_pkts : 0;

    if (m->tx_eliciting_pkts < k->sent_pkts ||
        (k->trial != TRIAL_RUNS && (m->rate_is_sought || k->verdict == PARK_LOSSY))) {
        k->window_at = now + SOUGHT_ROUND_TRIPS * m->srtt;
    } else if (now > k->window_at) {
        if (now - k->window_at < LOSS_WINDOW)
            return;
        if (k->trial == TRIAL_RUNS ? sent < TRIAL_RECORDS : sent < LOSS_RECORDS && now - k->window_at < LOSS_WINDOW_MAX)
            return;
        k->window_at = now;
        if (sent >= LOSS_RECORDS) {
            k->loss = (double)lost / (double)sent;
            k->lost = lost;
        }
        k->trial = k->trial == TRIAL_RUNS ? TRIAL_ENDED : k->trial;
    }
    k->sent_pkts = m->tx_eliciting_pkts;
    k->lost_pkts = m->lost_pkts;
}

/* What the path carries, and of one that is parked what it carried before: since then it was idle, and after a fall its
 * rate is sought anew. */
static uint64_t known_bps(const struct path_metrics *m, const struct park *k)
{
    return MAX(m->rate_bps, k->rate_bps);
}

double park_lossy_bps(const struct path_metrics *m)
{
    double round_trip = (double)MAX(m->srtt, 1 * MSEC) / SEC;

    return m->loss > 0 ? MATHIS * 8 * RECORD_MAX / (round_trip * sqrt(m->loss)) : INFINITY;
}

/* What a single TCP would get of the path, bits a second. */
static double tcp_bps(const struct path_metrics *m)
{
    return MIN((double)m->rate_bps, park_lossy_bps(m));
}

/* How much of the time, and for how long each time, a flow waits for what the path lost. */
static span held_span(const struct path_metrics *m, const struct park *k, double *ret_share)
{
    span each = session_resend_span(m);
    double records = (double)known_bps(m, k) / 8 / RECORD_MAX;

    *ret_share = k->loss * records * (double)each / SEC;
    return each;
}

/* What a path is compared with: paths that both may be the one that is judged. */
struct beside {
    const struct path_metrics *fastest, *best;
    bool best_is_clean;   /* one TCP would get most of it */
    uint64_t others_bps;  /* of all but the one that is judged */
    uint64_t carried_bps; /* what flows made of all in the last window, */
    size_t runs;          /* and how many they were */
};

/* What a single TCP would make of the best path if it saw the losses of the other as well, which come by that one's
 * rate and not by its own, bits a second: Mathis' formula solved for losses a second. */
static double tcp_beside(const struct path_metrics *best, const struct path_metrics *m, const struct park *k)
{
    double round_trip = (double)MAX(best->srtt, 1 * MSEC) / SEC,
           losses = k->loss * (double)known_bps(m, k) / 8 / RECORD_MAX;

    return losses > 0 ? MATHIS * MATHIS * 8 * RECORD_MAX / (round_trip * round_trip * losses) : INFINITY;
}

/* The flow would see what it loses, and would make less of the best path than without it; which alone carries as much
 * as this one, or as the flow makes of all. Many flows make more of both than of the best alone, whatever each of them
 * loses. How late what it loses comes is only to be seen while it is used. */
static bool is_too_late(const struct path_metrics *m, const struct park *k, span each, const struct beside *b,
                        bool strict)
{
    double best_bps = (double)b->best->rate_bps;

    if (m == b->best || !b->best_is_clean || k->lost < LOST_RECORDS || b->runs >= MANY_FLOWS)
        return false;
    if (strict)
        return tcp_beside(b->best, m, k) < best_bps;
    return each > TOO_LATE && tcp_beside(b->best, m, k) < best_bps * CLEAN_PART &&
           (best_bps >= (double)m->rate_bps || (b->runs <= 1 && (double)b->carried_bps < best_bps * UNUSED_PART));
}

static bool is_lossy(const struct path_metrics *m, const struct park *k, const struct beside *b, bool strict)
{
    span late = (m->min_rtt - b->fastest->min_rtt) / 2;
    double share, gain = (double)known_bps(m, k) / (double)MAX(b->others_bps, 1u);
    span each = held_span(m, k, &share);

    if (m->rate_is_sought && k->verdict != PARK_LOSSY) /* its losses may be of the search */
        return false;
    if (is_too_late(m, k, each, b, strict))
        return true;
    if (share > (strict ? HELD_SHARE / 2 : HELD_SHARE))
        late += each;
    return m != b->fastest && gain < (strict ? SMALL_GAIN * 1.4 : SMALL_GAIN) &&
           late > (strict ? LATE_ROUND_TRIPS - 1 : LATE_ROUND_TRIPS) * MAX(b->fastest->min_rtt, 5 * MSEC);
}

/* Flows fill the best path, and this one carries more. */
static bool is_wanted(const struct path_metrics *m, const struct park *k, const struct beside *b)
{
    return b->best && known_bps(m, k) > b->best->rate_bps &&
           (double)b->carried_bps > FULL_PART * (double)b->best->rate_bps;
}

/* strict: it must be clearly well to be PARK_NOT. */
static enum session_park judge(const struct path_metrics *m, const struct park *k, const struct beside *b, bool strict)
{
    if ((m->min_rtt - b->fastest->min_rtt) / 2 > (strict ? FAR_BACK : FAR_SPAN))
        return PARK_FAR;
    return is_lossy(m, k, b, strict) ? PARK_LOSSY : PARK_NOT;
}

static void forget_losses(struct park *k)
{
    k->loss = 0;
    k->lost = 0;
}

static void park(struct park *k, enum session_park verdict, uint64_t rate_bps, instant now)
{
    k->expected = PARK_NOT;
    k->rate_bps = MAX(k->rate_bps, rate_bps); /* copies, if it was tried, say less */
    if (verdict == PARK_LOSSY)
        k->patience = k->patience == 0 || now - k->parked_at > 2 * PATIENCE_MAX ? PATIENCE_MIN
                                                                                : MIN(2 * k->patience, PATIENCE_MAX);
    else
        forget_losses(k); /* out of date when it is near again */
    k->verdict = (uint8_t)verdict;
    k->trial = TRIAL_NONE;
    k->differs_since = k->parked_at = now;
}

static void unpark(struct park *k, instant now)
{
    k->verdict = PARK_NOT;
    k->trial = TRIAL_NONE;
    k->rate_bps = 0;
    k->differs_since = now;
}

void park_moved(struct park *k, instant now)
{
    /* What is on its way still is of the former. */
    *k = (struct park){ .differs_since = now, .window_at = now + LOSS_WINDOW };
}

/* What was parked for its losses is to be tried; wanted: what it carries is missed, whatever it loses. */
static bool is_due(const struct spath *p, bool wanted, instant now)
{
    const struct park *k = &p->park;
    span patience = p->spec.metered && !wanted ? PATIENCE_MAX : k->patience;

    return k->verdict == PARK_LOSSY && k->trial == TRIAL_NONE && now - k->parked_at > patience;
}

static void try_again(struct park *k, bool in_earnest, instant now)
{
    k->window_at = now;
    if (!in_earnest) {
        k->trial = TRIAL_RUNS; /* count_losses ends it */
        return;
    }
    unpark(k, now);
    forget_losses(k);
}

/* It is tried another time, and what was known of it is so until then. */
static void break_off(struct park *k, instant now)
{
    k->trial = TRIAL_NONE;
    k->parked_at = now;
}

static void settle(struct spath *p, const struct path_metrics *m, enum session_park verdict, bool wanted, instant now)
{
    struct park *k = &p->park;

    if (is_due(p, wanted, now)) {
        try_again(k, wanted || p->spec.metered, now);
        return;
    }
    if (k->trial == TRIAL_RUNS) {
        if (p->spec.metered)
            break_off(k, now);
        return;
    }
    if (k->trial == TRIAL_ENDED) {
        if (verdict == PARK_NOT)
            unpark(k, now);
        else
            park(k, verdict, m->rate_bps, now);
        return;
    }
    if ((verdict != PARK_NOT) == (k->verdict != PARK_NOT)) {
        k->differs_since = now;
        return;
    }
    if (now - k->differs_since < (verdict != PARK_NOT ? PARK_AFTER : RETURN_AFTER) &&
        (verdict == PARK_NOT || verdict != k->expected))
        return;
    if (verdict == PARK_NOT)
        unpark(k, now);
    else
        park(k, verdict, m->rate_bps, now);
}

/* What flows make of all paths. */
static void measure_carried(struct session *s, const struct path_metrics m[SESSION_SLOTS], instant now)
{
    struct carried *c = &s->carried;
    uint64_t bytes = 0;
    bool some_loses = false;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        bytes += s->paths[i].path ? m[i].tx_bytes : 0;
        some_loses |= s->paths[i].park.lost > 0;
    }
    if (bytes >= c->tx_bytes && now - c->since < LOSS_WINDOW)
        return;
    c->runs = s->packets && some_loses ? flowq_runs(s->packets->flowq, RUN_BYTES, now - LOSS_WINDOW) : 0;
    c->bps = bytes > c->tx_bytes ? (bytes - c->tx_bytes) * 8 * SEC / (uint64_t)(now - c->since) : 0;
    c->since = now;
    c->tx_bytes = bytes;
}

/* Counts losses, and fills in what paths are compared with; returns the slots that are in no doubt. */
static uint8_t survey(struct session *s, const struct path_metrics m[SESSION_SLOTS], struct beside *b,
                      uint64_t *ret_bps, instant now)
{
    uint8_t slots = sched_best(s);
    double best_bps = 0;

    *ret_bps = 0;
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        struct park *k = &s->paths[i].park;
        double bps;

        if (!s->paths[i].path || m[i].min_rtt == 0) /* gone, or not measured yet: nothing is known of it */
            slots &= (uint8_t) ~(1u << i);
        if (!(slots & 1u << i))
            continue;
        count_losses(k, &m[i], now);
        if (k->verdict == PARK_NOT)
            *ret_bps += m[i].rate_bps;
        if (!b->fastest || m[i].min_rtt < b->fastest->min_rtt)
            b->fastest = &m[i];
        bps = tcp_bps(&m[i]);
        if (k->verdict != PARK_FAR && (!b->best || bps > best_bps)) {
            b->best = &m[i];
            b->best_is_clean = bps >= CLEAN_PART * (double)m[i].rate_bps;
            best_bps = bps;
        }
    }
    if (!b->best) /* all of them were far until now */
        b->best = b->fastest;
    return slots;
}

void park_refresh(struct session *s, const struct path_metrics m[SESSION_SLOTS], instant now)
{
    struct beside b = { 0 };
    uint64_t total;
    uint8_t slots = survey(s, m, &b, &total, now);
    bool alone = !(slots & (slots - 1)); /* there is nothing that it could hurt, for a moment or longer */

    measure_carried(s, m, now);
    b.carried_bps = s->carried.bps;
    b.runs = s->carried.runs;
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        struct park *k = &s->paths[i].park;

        if (!s->paths[i].path) {
            unpark(k, now);
        } else if (slots & 1u << i) {
            bool parked = k->verdict != PARK_NOT;

            b.others_bps = parked ? total : total - m[i].rate_bps;
            settle(&s->paths[i], &m[i], alone ? PARK_NOT : judge(&m[i], k, &b, parked),
                   !alone && is_wanted(&m[i], k, &b), now);
        } else if (k->trial == TRIAL_RUNS && m[i].state == PATH_DOWN) {
            break_off(k, now); /* what it loses by its fall says nothing of what it loses else */
        }
    }
    if (!alone) { /* not all of them */
        bool used = false;

        for (unsigned left = slots; left; left &= left - 1)
            used |= s->paths[__builtin_ctz(left)].park.verdict == PARK_NOT;
        if (!used)
            unpark(&s->paths[b.best - m].park, now);
    }
    s->parked = s->on_trial = 0;
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        s->parked |= (uint8_t)((s->paths[i].park.verdict != PARK_NOT) << i);
        s->on_trial |= (uint8_t)((s->paths[i].park.trial == TRIAL_RUNS && !alone) << i) & slots;
    }
}
