/* session/twice.c - when each packet of a stripe goes by two paths.
 *
 * Theory of operation. What a path loses is sent again (session_resend_lost), and a flow sees nothing of it where that
 * comes before the resequencer gives up. Where every path is too far for that, the flow sees every loss, and TCP makes
 * a small part of what the paths carry (Mathis et al., CCR 1997): two paths that lose two packets of a hundred leave it
 * what one of them does. But then they are idle for most of the time, and what both of them carry is lost four times in
 * ten thousand. So while every path loses, too late, and hardly anything ever waits for a path, each packet is copied
 * to a second one; the receiver takes what comes first.
 *
 * That goes on however much flows make by it, as long as the paths lose. But flows that mind no losses are held by it
 * to what one of two paths carries: when something waits all the time, it ends; if there is room then, those flows did
 * mind them, and it is tried again that it ends after a longer while, each time. Each end decides for what it sends. */
#include "session/internal.h"

#define LOSS_MIN .004 /* chosen: of fewer losses TCP of 100 ms makes 2 Mbit/s and more */
#define MINDS 4       /* times what TCP would make: chosen: CUBIC makes twice as much, BBR ten times */
#define WAITS_SMOOTH 16
#define WAITS_SELDOM .2          /* chosen: of the ticks: TCP's bursts wait, too */
#define WAITS_ALWAYS .8          /* chosen: TCP that fills a path leaves it idle after each of its cuts */
#define BEGIN_AFTER (2 * SEC)    /* chosen: flows that begin or end make little for a moment */
#define END_AFTER (3 * SEC)      /* chosen: a few losses more or less are chance */
#define PATIENCE_MAX (300 * SEC) /* chosen: that each five minutes is not noticed */

span session_resend_span(const struct path_metrics *m)
{
    return m->srtt * 5 / 4 + 4 * m->rttvar + PATH_ACK_DELAY_MAX;
}

/* Of each path that a stripe uses the bytes are free, and it loses, and too late; and there are two. */
static bool all_lose(const struct session *s, const struct path_metrics m[SESSION_SLOTS], uint8_t slots)
{
    bool already = s->twice.is;
    double loss = already ? LOSS_MIN / 4 : LOSS_MIN;
    span soon = already ? RESEQ_WAIT_MAX * 3 / 4 : RESEQ_WAIT_MAX;

    for (unsigned left = slots; left; left &= left - 1) {
        unsigned slot = (unsigned)__builtin_ctz(left);

        if (!s->paths[slot].path || m[slot].srtt == 0 || m[slot].loss < loss || session_resend_span(&m[slot]) <= soon ||
            s->paths[slot].spec.metered)
            return false;
    }
    return slots & (slots - 1);
}

/* What flows make of all paths is what they would if losses held them. */
static bool mind_losses(const struct carried *c, const struct path_metrics m[SESSION_SLOTS], uint8_t slots)
{
    double best = 0;

    for (unsigned left = slots; left; left &= left - 1)
        best = MAX(best, park_lossy_bps(&m[__builtin_ctz(left)]));
    return (double)c->bps < MINDS * best * (double)MAX(c->runs, 1u);
}

static bool is_due(const struct session *s, const struct path_metrics m[SESSION_SLOTS], instant now)
{
    const struct twice *t = &s->twice;
    uint8_t slots = t->slots;

    if (!all_lose(s, m, slots))
        return false;
    if (!t->is)
        return t->waits < WAITS_SELDOM && mind_losses(&s->carried, m, slots);
    return t->waits < WAITS_ALWAYS || now - t->since < t->patience;
}

static void change(struct twice *t, instant now)
{
    if (!t->is)
        t->patience = t->full && now - t->since < PATIENCE_MAX ? MIN(4 * t->patience, PATIENCE_MAX) : END_AFTER;
    t->full = t->is && t->waits >= WAITS_ALWAYS;
    t->is = !t->is;
    t->since = t->differs_since = now;
}

void twice_refresh(struct session *s, const struct path_metrics m[SESSION_SLOTS], instant now)
{
    struct twice *t = &s->twice;

    t->slots = sched_best(s) & (uint8_t)~s->parked;
    t->waits += ((flowq_bytes(s->packets->flowq) > 0) - t->waits) / WAITS_SMOOTH;
    if (is_due(s, m, now) == t->is)
        t->differs_since = now;
    else if (now - t->differs_since >= (t->is ? END_AFTER : BEGIN_AFTER))
        change(t, now);
}
