/* session/sched.c - which path a packet may take now.
 *
 * Theory of operation. Packets are pulled: a path that pacing and congestion state allow to send asks for the next
 * packet, the fastest path first, and a mode says whether the flow at the head may use that path. So nothing is ever
 * queued behind a slow path by a wrong forecast, and shares follow from what the paths carry.
 *
 * Candidates of a flow are, of the paths that its rule names (all if it names none, or if none of those is usable: one
 * link left carries everything): ACTIVE ones before SUSPECTED before leaving ones, and of these the lowest
 * tier. A PROBING path carries nothing: if it works it is ACTIVE a round trip later, and what waited was not lost.
 *
 * Modes:
 *
 * - stripe: without the paths that are parked (park.c), if others are there. Interactive flows take the fastest path. A
 *   flow that is just starting takes a slower path only when that delivers earlier than waiting for the fastest (the
 *   completion test of ECF, Lim et al., CoNEXT 2017); one that has moved 512 KiB without a pause takes every path that
 *   is free. Acknowledgements of what comes the other way are no such run, however many there are.
 *
 * - active-standby: the first of the rule's paths that is a candidate.
 *
 * - smallest-delay: the lowest smoothed round-trip time, left only for one lower by an eighth and 2 ms.
 *
 * - load-balance: each flow stays on one path, chosen by weight, as long as that is a candidate.
 *
 * - priority: in the rule's order; the next one takes over what would wait more than 30 ms.
 *
 * - redundant: every candidate carries a copy. */
#include "session/internal.h"

#define RANK_UNPROVEN 3           /* of rank_of: this and above carry no data */
#define OVERFLOW_WAIT (30 * MSEC) /* chosen: about what an interactive user notices beside a bulk transfer */

/* 0 active, 1 suspected, 2 leaving, 3 probing, 4 of no use. */
static unsigned rank_of(const struct spath *p)
{
    enum path_state state;

    if (!p->used || !p->path || p->link_down)
        return 4;
    state = path_state(p->path);
    if (state == PATH_DOWN)
        return 4;
    if (state == PATH_PROBING)
        return 3;
    if (p->leaving)
        return 2;
    return state == PATH_SUSPECTED ? 1 : 0;
}

static uint8_t best_of(const struct session *s, uint8_t allowed)
{
    unsigned best = RANK_UNPROVEN;
    uint8_t best_tier = TIER_COUNT, slots = 0;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        const struct spath *p = &s->paths[i];
        unsigned r = p->rank;

        if (!(allowed & 1u << i) || r >= RANK_UNPROVEN || p->spec.tier == TIER_NEVER)
            continue;
        if (r < best || (r == best && p->spec.tier < best_tier)) {
            best = r;
            best_tier = p->spec.tier;
            slots = 0;
        }
        if (r == best && p->spec.tier == best_tier)
            slots |= (uint8_t)(1u << i);
    }
    return slots;
}

uint8_t sched_best(const struct session *s)
{
    return best_of(s, 0xff);
}

uint8_t sched_usable(const struct session *s, const struct session_target *t)
{
    uint8_t allowed = 0, slots;

    for (unsigned i = 0; i < t->count; i++)
        allowed |= (uint8_t)(1u << t->slots[i]);
    slots = allowed ? best_of(s, allowed) : 0;
    return slots ? slots : best_of(s, 0xff);
}

uint8_t sched_candidates(const struct session *s, const struct session_target *t)
{
    uint8_t slots = sched_usable(s, t);

    if (t->mode == MODE_STRIPE && (slots & ~s->parked))
        slots &= (uint8_t)~s->parked;
    return slots;
}

static span delay(const struct session *s, unsigned slot)
{
    return s->paths[slot].delay;
}

int sched_fastest(const struct session *s, uint8_t slots)
{
    int best = -1;
    span best_delay = 0;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        if (!(slots & 1u << i))
            continue;
        span d = delay(s, i);
        if (best < 0 || d < best_delay) {
            best = (int)i;
            best_delay = d;
        }
    }
    if (best >= 0 && (slots & 1u << s->fastest) && delay(s, s->fastest) <= best_delay + best_delay / 8 + 1 * MSEC)
        best = s->fastest;
    return best;
}

void sched_refresh(struct session *s, instant now)
{
    bool stale = now - s->sched_at >= 1 * MSEC;
    struct path_metrics m;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        struct spath *p = &s->paths[i];

        p->rank = rank_of(p);
        if (p->rank == 4 || !stale)
            continue;
        path_get_metrics(p->path, now, &m);
        p->delay = m.srtt / 2;
        p->least_delay = m.min_rtt / 2;
        p->rttvar = m.rttvar;
        p->rate_is_sought = m.rate_is_sought;
        p->loss = m.loss;
        p->rate_bps = MAX(m.pacing_bps, 1000u);
    }
    size_refresh(s);
    if (stale) {
        int fastest = sched_fastest(s, best_of(s, 0xff));

        s->sched_at = now;
        if (fastest >= 0)
            s->fastest = (uint8_t)fastest;
    }
}

unsigned sched_order(const struct session *s, uint8_t order[SESSION_SLOTS])
{
    span d[SESSION_SLOTS];
    unsigned n = 0;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        unsigned at = n;

        if (s->paths[i].rank == 4)
            continue;
        span di = delay(s, i);
        while (at > 0 && d[at - 1] > di) {
            d[at] = d[at - 1];
            order[at] = order[at - 1];
            at--;
        }
        d[at] = di;
        order[at] = (uint8_t)i;
        n++;
    }
    return n;
}

span sched_spread(const struct session *s)
{
    span min = INSTANT_NEVER, max = 0;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        if (s->paths[i].rank > 1 || (s->parked & 1u << i))
            continue;
        span d = delay(s, i);
        min = MIN(min, d);
        max = MAX(max, d);
    }
    return max > min ? max - min : 0;
}

static uint64_t rate_of(const struct session *s, unsigned slot)
{
    return s->paths[slot].rate_bps;
}

bool sched_is_earlier(const struct session *s, unsigned slot, unsigned fastest, uint64_t waiting_bytes)
{
    return delay(s, slot) <= delay(s, fastest) + (span)(waiting_bytes * 8 * 1000000 / rate_of(s, fastest));
}

bool sched_leaves_lost(const struct session *s, unsigned slot, uint8_t slots, uint64_t lost_bytes)
{
    int fastest = sched_fastest(s, slots);

    return lost_bytes > 0 && fastest >= 0 && fastest != (int)slot &&
           !sched_is_earlier(s, slot, (unsigned)fastest, lost_bytes);
}

static bool stripe_may(const struct session *s, const struct flow *f, unsigned slot, uint8_t candidates,
                       bool *ret_lasts)
{
    int fastest = sched_fastest(s, candidates);

    if (fastest == (int)slot)
        return true;
    if (f->class == FLOW_INTERACTIVE)
        return false;
    if (f->run_bytes > ELEPHANT_BYTES)
        return true;
    *ret_lasts = false; /* less waits with each packet that leaves */
    return sched_is_earlier(s, slot, (unsigned)fastest, flowq_bytes_of(s->packets->flowq, f->steer));
}

static int pin(const struct session *s, const struct flow *f, uint8_t candidates)
{
    uint64_t total = 0, at;
    int last = -1;

    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (candidates & 1u << i)
            total += (uint64_t)s->paths[i].spec.weight * (rate_of(s, i) / 1000 + 1);
    if (total == 0)
        return -1;
    at = hash_mix64(f->hash) % total;
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        uint64_t share = (uint64_t)s->paths[i].spec.weight * (rate_of(s, i) / 1000 + 1);

        if (!(candidates & 1u << i))
            continue;
        last = (int)i;
        if (at < share)
            break;
        at -= share;
    }
    return last;
}

static unsigned position(const struct session_target *t, unsigned slot)
{
    for (unsigned i = 0; i < t->count; i++)
        if (t->slots[i] == slot)
            return i;
    return SESSION_SLOTS + slot;
}

static int first_of(const struct session_target *t, uint8_t candidates)
{
    int first = -1;

    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if ((candidates & 1u << i) && (first < 0 || position(t, i) < position(t, (unsigned)first)))
            first = (int)i;
    return first;
}

static bool priority_may(const struct session *s, const struct session_target *t, const struct flow *f, unsigned slot,
                         uint8_t candidates)
{
    uint64_t before = 0;

    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if ((candidates & 1u << i) && position(t, i) < position(t, slot))
            before += rate_of(s, i);
    return before == 0 || (span)(flowq_bytes_of(s->packets->flowq, f->steer) * 8 * 1000000 / before) > OVERFLOW_WAIT;
}

bool sched_may(const struct session *s, const struct session_target *t, const struct flow *f, unsigned slot,
               bool *ret_lasts)
{
    uint8_t candidates = sched_candidates(s, t);

    *ret_lasts = true;
    if (s->narrow) {
        candidates = size_candidates(s, f, candidates);
        *ret_lasts = false; /* the next packet has another size */
    }
    if (!(candidates & 1u << slot))
        return false;
    switch (t->mode) {
    case MODE_ACTIVE_STANDBY:
        return first_of(t, candidates) == (int)slot;
    case MODE_SMALLEST_DELAY:
        return sched_fastest(s, candidates) == (int)slot;
    case MODE_LOAD_BALANCE:
        if (f->pinned && (candidates & 1u << (f->pinned - 1)))
            return f->pinned - 1u == slot;
        return pin(s, f, candidates) == (int)slot;
    case MODE_PRIORITY:
        *ret_lasts = false;
        return priority_may(s, t, f, slot, candidates);
    case MODE_REDUNDANT:
        return true;
    default:
        return stripe_may(s, f, slot, candidates, ret_lasts);
    }
}

uint8_t session_usable(const struct session *s, uint16_t target)
{
    return sched_usable(s, session_target(s, target));
}

uint8_t session_explain(const struct session *s, uint16_t target, int *first)
{
    const struct session_target *t = session_target(s, target);
    uint8_t candidates = sched_candidates(s, t);

    *first = t->mode == MODE_ACTIVE_STANDBY || t->mode == MODE_PRIORITY ? first_of(t, candidates)
                                                                        : sched_fastest(s, candidates);
    return candidates;
}
