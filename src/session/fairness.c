/* session/fairness.c - see fairness.h.
 *
 * Theory of operation. Paths know nothing of each other. A path whose control is coupled is told of its group just
 * before it takes in an acknowledgement, from what each path says of itself then; that is a few dozen operations, and
 * only for such paths. A path of the group that has nothing in flight takes nothing from anybody and does not count,
 * nor does one that has no round trip yet. Which control a path runs follows from the mode and its group whenever
 * either is set; a control that takes over while data flows begins with the window and rate of the one before it, so
 * entering or leaving a group is no burst and no gap.
 *
 * Found groups (auto) couple only paths that shared a bottleneck most of the time that is remembered; a path alone in
 * its own stays a flow of its own. Where the owner says the groups, a group of one path runs the coupled control too,
 * which is Reno then. A reliable transport governs itself: its path is a
 * flow of its own in every mode.
 *
 * Limits: 8 paths. Sources: RFC 6356; draft-khalili-mptcp-congestion-control-05 section 3: M are the paths of the
 * largest window, B those of the largest l / rtt^2, and alpha is 1 / (n |B less M|) for those of B that are not in M,
 * -1 / (n |M|) for those of M if there are any such, and 0 for all others. */
#include "session/fairness.h"

#include "session/internal.h"

#define GROUP_ALL 1       /* of mode coupled */
#define COUPLE_OVERLAP .5 /* chosen: a group that comes and goes is none */

struct cc_coupling fairness_couple(const struct cc_share shares[], unsigned count, unsigned self)
{
    struct cc_coupling c = { .paths = count };
    double widest = 0, best = 0;
    unsigned in_m = 0, poor = 0; /* in B and not in M */
    bool self_in_m = false, self_poor = false;

    for (unsigned i = 0; i < count; i++) {
        const struct cc_share *p = &shares[i];

        c.rate += p->window_bytes / p->rtt;
        c.peak = MAX(c.peak, p->window_bytes / (p->rtt * p->rtt));
        widest = MAX(widest, p->window_bytes);
        best = MAX(best, p->unharmed_bytes / (p->rtt * p->rtt));
    }
    for (unsigned i = 0; i < count; i++) {
        const struct cc_share *p = &shares[i];
        bool m = p->window_bytes >= widest, b = p->unharmed_bytes / (p->rtt * p->rtt) >= best;

        in_m += m;
        poor += b && !m;
        if (i == self) {
            self_in_m = m;
            self_poor = b && !m;
        }
    }
    if (self_poor)
        c.shift = 1. / (count * poor);
    else if (self_in_m && poor > 0)
        c.shift = -1. / (count * in_m);
    return c;
}

static unsigned group_of(const struct session *s, unsigned slot)
{
    if (s->paths[slot].reliable) /* it governs itself */
        return 0;
    switch (s->o.fairness.mode) {
    case FAIRNESS_COUPLED:
        return GROUP_ALL;
    case FAIRNESS_AUTO:
    case FAIRNESS_GROUPED:
        return s->paths[slot].group;
    default:
        return 0;
    }
}

enum cc fairness_control(const struct session *s, unsigned slot)
{
    enum cc congestion = s->o.fairness.congestion;

    return group_of(s, slot) == 0 || cc_get(congestion)->coupled ? congestion : CC_OLIA;
}

static void set_group(struct session *s, unsigned slot, unsigned group, instant now)
{
    struct spath *p = &s->paths[slot];

    if (!p->path || p->group == group)
        return;
    p->group = group;
    path_set_congestion(p->path, fairness_control(s, slot), now);
}

void session_set_group(struct session *s, unsigned slot, unsigned group, instant now)
{
    if (slot < SESSION_SLOTS && s->o.fairness.mode == FAIRNESS_GROUPED)
        set_group(s, slot, group, now);
}

/* Another path shares its bottleneck, and did for most of what is remembered. */
static bool shares_bottleneck(const struct session *s, unsigned slot)
{
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (i != slot && session_group(s, i) == session_group(s, slot) &&
            session_path_overlap(s, i, slot) >= COUPLE_OVERLAP)
            return true;
    return false;
}

void fairness_regroup(struct session *s, instant now)
{
    for (unsigned i = 0; i < SESSION_SLOTS && s->o.fairness.mode == FAIRNESS_AUTO; i++) {
        unsigned group = session_group(s, i);

        set_group(s, i, group > 0 && shares_bottleneck(s, i) ? group : 0, now);
    }
}

void fairness_refresh(struct session *s, unsigned slot)
{
    struct cc_share shares[SESSION_SLOTS];
    struct cc_coupling c = { 0 };
    unsigned count = 0, self = 0, group = group_of(s, slot);

    if (s->o.fairness.mode == FAIRNESS_INDEPENDENT)
        return;
    for (unsigned i = 0; i < SESSION_SLOTS && group != 0; i++) {
        const struct spath *p = &s->paths[i];

        if (!p->path || group_of(s, i) != group || (i != slot && !path_is_carrying(p->path)))
            continue;
        if (i == slot)
            self = count;
        path_get_share(p->path, &shares[count++]);
    }
    if (count > 0)
        c = fairness_couple(shares, count, self);
    path_set_coupling(s->paths[slot].path, &c);
}
