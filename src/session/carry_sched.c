/* session/carry_sched.c - which path what an application wrote may take: objectives, and the table of schedulers.
 *
 * Theory of operation. As for packets (sched.c), a path that may send asks, the fastest first. Candidates are the
 * usable paths of the best rank and tier; what comes may come in any order.
 *
 * Objectives narrow them. In order of priority each keeps the paths that are within its tolerance of the best one of
 * those that are left, so a later objective chooses among paths that are equal to the earlier ones (the static priority
 * with tolerances of Habib, Christin, Chuang, section 4). Throughput keeps all. A path that was left out helps when
 * what waits would take the others longer than OVERFLOW_WAIT. What the application says of what it gets comes before
 * them (feedback.c).
 *
 * Beyond them, a path in doubt, or on probation after it was, helps with what has a lifetime when the others cannot
 * keep up: cellular links stall and come back, and what is lost by that would have been late.
 *
 * Of the candidates the scheduler says whether the one that asks may carry:
 *
 * - earliest: if it is the fastest, or what leaves now by it arrives before the fastest would have sent all that waits.
 *
 * - minrtt: always, since faster ones were asked before.
 *
 * - ecf: earliest completion first (Lim et al., CoNEXT 2017), with its hysteresis.
 *
 * - blest: blocking estimation (Ferlin et al., IFIP Networking 2016): if the fastest, while this one is busy with it,
 *   would not fill the peer's window.
 *
 * - drr: deficit round robin (Shreedhar, Varghese, SIGCOMM 1995), quantum by measured rate: the paper's example.
 *
 * - jitter: of the paths, those that vary least; as the objective.
 *
 * - redundant: always, and every other candidate carries a copy. */
#include "session/internal.h"

#define OVERFLOW_WAIT (30 * MSEC)    /* as sched.c */
#define TOLERANCE_DEFAULT (5 * MSEC) /* Habib, Christin, Chuang: conflicts are rare with it */
#define LOSS_TOLERANCE_DEFAULT .005  /* chosen: what streams of media hide */
#define ECF_BETA 4                   /* 1 / beta */
#define BLEST_LAMBDA 1.2             /* of 1.0 to 1.3 */
#define BLEST_ROUNDS_MAX 16
#define DRR_ROUND (10 * MSEC) /* chosen: a round is what all paths carry in that time */

/* --- objectives --- */

static double cost(const struct spath *p, enum objective o)
{
    switch (o) {
    case OBJECTIVE_LATENCY:
        return (double)p->delay;
    case OBJECTIVE_JITTER:
        return (double)p->rttvar;
    case OBJECTIVE_LOSS:
        return p->loss;
    default:
        return 0;
    }
}

static double tolerance_of(const struct session_preferences *w, enum objective o)
{
    switch (o) {
    case OBJECTIVE_LATENCY:
        return (double)(w->latency_tolerance ? w->latency_tolerance : TOLERANCE_DEFAULT);
    case OBJECTIVE_JITTER:
        return (double)(w->jitter_tolerance ? w->jitter_tolerance : TOLERANCE_DEFAULT);
    case OBJECTIVE_LOSS:
        return w->loss_tolerance > 0 ? w->loss_tolerance : LOSS_TOLERANCE_DEFAULT;
    default:
        return 0;
    }
}

static double tolerance(const struct session *s, enum objective o)
{
    static const double scale[] = { 1, 4, 16 };
    int step = s->feedback.step;

    return tolerance_of(&s->o.preferences, o) * (step > 2 ? .25 : scale[step < 0 ? MIN(-step, 2) : 0]);
}

static uint8_t narrow(const struct session *s, uint8_t slots, enum objective o)
{
    double best = -1, most = tolerance(s, o);
    uint8_t kept = 0;

    for (unsigned left = slots; left; left &= left - 1) {
        double c = cost(&s->paths[__builtin_ctz(left)], o);

        best = best < 0 ? c : MIN(best, c);
    }
    for (unsigned left = slots; left; left &= left - 1)
        if (cost(&s->paths[__builtin_ctz(left)], o) <= best + most)
            kept |= (uint8_t)(left & -left);
    return kept;
}

static uint8_t preferred(const struct session *s, uint8_t slots)
{
    if (s->feedback.step <= -3)
        return slots;
    if (s->feedback.step >= 1)
        slots = narrow(s, slots, OBJECTIVE_LATENCY);
    if (s->feedback.step >= 2)
        slots = narrow(s, slots, OBJECTIVE_JITTER);
    for (unsigned i = 0; i < OBJECTIVES_MAX && s->o.preferences.objectives[i] != OBJECTIVE_NONE; i++)
        slots = narrow(s, slots, (enum objective)s->o.preferences.objectives[i]);
    return slots;
}

static bool overflows(const struct session *s, uint8_t slots, uint64_t waiting)
{
    uint64_t bps = 1;

    for (unsigned left = slots; left; left &= left - 1)
        bps += s->paths[__builtin_ctz(left)].rate_bps;
    return (span)(waiting * 8 * 1000000 / bps) > OVERFLOW_WAIT;
}

/* --- schedulers --- */

static bool earliest_may(struct session *s, const struct sched_offer *o)
{
    return o->fastest == o->slot || sched_is_earlier(s, o->slot, o->fastest, o->waiting);
}

static bool always_may(struct session *s, const struct sched_offer *o)
{
    return true;
}

static bool ecf_may(struct session *s, const struct sched_offer *o)
{
    struct path_metrics f, p;
    double delta, waits = s->ecf_waits ? 1. / ECF_BETA : 0, cf, cp;
    bool a, b;

    if (o->fastest == o->slot)
        return true;
    path_get_metrics(s->paths[o->fastest].path, o->now, &f);
    path_get_metrics(s->paths[o->slot].path, o->now, &p);
    delta = (double)MAX(f.rttvar, p.rttvar);
    cf = (double)f.window_bytes;
    cp = (double)p.window_bytes;
    a = (double)f.srtt * (MAX((double)o->waiting, cf) + cf) < cf * ((double)p.srtt + delta) * (1 + waits);
    b = (double)p.srtt * MAX((double)o->waiting, cp) >= cp * (2 * (double)f.srtt + delta);
    if (!a)
        s->ecf_waits = false;
    else if (b)
        s->ecf_waits = true;
    return !(a && b);
}

static bool blest_may(struct session *s, const struct sched_offer *o)
{
    struct path_metrics f, p;
    double linger, n, pkts, window;

    if (o->fastest == o->slot)
        return true;
    path_get_metrics(s->paths[o->fastest].path, o->now, &f);
    path_get_metrics(s->paths[o->slot].path, o->now, &p);
    linger = (double)p.srtt;
    n = MIN(linger / (double)MAX(f.srtt, 1) + 1, (double)BLEST_ROUNDS_MAX);
    window = (double)f.window_bytes / RECORD_MAX;
    pkts = f.rate_is_sought ? window * ((double)(1u << (unsigned)n) - 1) : (window + (n - 1) / 2) * n;
    return pkts * RECORD_MAX * BLEST_LAMBDA <= (double)o->window - (double)(RECORD_MAX + p.inflight_bytes);
}

static bool drr_may(struct session *s, const struct sched_offer *o)
{
    bool any = false;

    for (unsigned left = o->slots; left && !any && o->now < s->drr_until; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);

        any = s->drr_deficit[i] > 0 && path_may_send(s->paths[i].path, RECORD_MAX, o->now);
    }
    if (!any)
        s->drr_until = o->now + DRR_ROUND; /* who wants nothing of what waits does not hold up the others */
    for (unsigned i = 0; i < SESSION_SLOTS && !any; i++) {
        int64_t quantum = (int64_t)(s->paths[i].rate_bps / 8 * DRR_ROUND / SEC);

        if (o->slots & 1u << i)
            s->drr_deficit[i] = MIN(s->drr_deficit[i], 0) + MAX(quantum, RECORD_MAX);
    }
    return s->drr_deficit[o->slot] > 0;
}

static void drr_carried(struct session *s, unsigned slot, size_t bytes)
{
    s->drr_deficit[slot] -= (int64_t)bytes;
}

static bool jitter_may(struct session *s, const struct sched_offer *o)
{
    uint8_t slots = narrow(s, o->slots, OBJECTIVE_JITTER);

    return (slots & 1u << o->slot) || overflows(s, slots, o->waiting);
}

/* One path for all, which is left when it does not work (RFC 9622 6.2.14: handover). Slots that work are candidates. */
static bool handover_may(struct session *s, const struct sched_offer *o)
{
    return o->slot == (unsigned)__builtin_ctz(o->slots);
}

static const struct scheduler schedulers[] = {
    { .name = "earliest", .may = earliest_may },
    { .name = "minrtt", .may = always_may },
    { .name = "ecf", .may = ecf_may },
    { .name = "blest", .may = blest_may },
    { .name = "drr", .may = drr_may, .carried = drr_carried },
    { .name = "jitter", .may = jitter_may },
    { .name = "redundant", .may = always_may, .copies = true },
    { .name = "handover", .may = handover_may },
};

const struct scheduler *scheduler_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(schedulers); i++)
        if (strcmp(schedulers[i].name, name) == 0)
            return &schedulers[i];
    return NULL;
}

const char *scheduler_name(size_t i)
{
    return i < ARRAY_LEN(schedulers) ? schedulers[i].name : NULL;
}

/* --- the question --- */

const struct scheduler *sched_of(const struct session *s)
{
    return s->o.preferences.scheduler ? s->o.preferences.scheduler : &schedulers[0];
}

static uint8_t helpers(const struct session *s, uint8_t best)
{
    uint8_t slots = 0;

    for (unsigned i = 0; best && i < SESSION_SLOTS; i++) {
        const struct spath *p = &s->paths[i];

        if (!(best & 1u << i) && p->rank < 4 && p->validated && p->delay > 0 &&
            p->spec.tier <= s->paths[__builtin_ctz(best)].spec.tier)
            slots |= (uint8_t)(1u << i);
    }
    return slots;
}

struct sched_choice sched_choose(const struct session *s)
{
    struct sched_choice c = { .best = sched_best(s) };

    c.preferred = preferred(s, c.best);
    c.helpers = helpers(s, c.best);
    return c;
}

bool sched_may_help(const struct session *s, const struct sched_choice *c, unsigned slot, uint64_t waiting)
{
    return (c->helpers & 1u << slot) && overflows(s, c->best, waiting);
}

bool sched_may_carry(struct session *s, const struct sched_choice *c, unsigned slot, uint64_t waiting, uint64_t window,
                     instant now)
{
    struct sched_offer o = { .slot = slot, .slots = c->preferred, .waiting = waiting, .window = window, .now = now };

    if (!(c->best & 1u << slot))
        return false;
    if (!(c->preferred & 1u << slot)) {
        if (!overflows(s, c->preferred, waiting))
            return false;
        o.slots = c->best;
    }
    o.fastest = (unsigned)sched_fastest(s, o.slots);
    return sched_of(s)->may(s, &o);
}
