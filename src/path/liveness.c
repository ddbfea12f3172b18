/* path/liveness.c - see liveness.h.
 *
 * ACTIVE: an eliciting record that is overdue, while nothing else was acknowledged for PATH_SUSPECT_MIN either, makes
 * the path SUSPECTED; an idle path is probed. SUSPECTED: probed at once and at each further timeout; the third timeout
 * in a row makes it DOWN, any acknowledgement ACTIVE. DOWN: probed with back-off while the link is up; a reply makes it
 * PROBING. PROBING: each reply calls for the next probe; after 3 of them a train of 4 back to back, of which 3 must be
 * acknowledged; then the path stays here, probed, until it was good long enough: 1 s, or a quarter of that when what it
 * carried is missed (waiting costs more then than another fall would), doubled for each other time it went down within
 * a minute. A probe lost here starts that again; three in a row make it DOWN. A new path needs one reply, and so does
 * one whose owner is in a hurry.
 *
 * Limits: 16 events; 6 remembered falls. Sources: the four triggers and the back-off are the design's; the rest is
 * chosen, each beside its name. */
#include "path/liveness.h"

#include <limits.h>

#define TIMEOUTS_DOWN 3 /* as BFD's usual detection multiplier (RFC 5880 6.8.4) */
#define REPLIES_NEEDED 3
#define TRAIN 4                  /* chosen: shows that more than one record at a time passes */
#define TRAIN_NEEDED 3           /* chosen: one of it may be lost on a lossy path */
#define HOLD_MIN (1 * SEC)       /* chosen: longer than the handovers and radio stalls that make paths flap */
#define HOLD_MISSED (250 * MSEC) /* chosen: several round trips, and no longer than it took to be probed again */
#define HOLD_MAX (30 * SEC)      /* chosen: a path that works is not kept away for longer */
#define FALL_MEMORY (60 * SEC)
#define NO_TRAIN UINT_MAX

void liveness_push(struct liveness *l, struct path_event e)
{
    struct path_event *slot;

    for (unsigned i = 0; e.type != PATH_EVENT_STATE && i < l->events_count; i++) {
        slot = &l->events[(l->events_head + i) % LIVENESS_EVENTS];
        if (slot->type == e.type) {
            slot->train = MAX(slot->train, e.train);
            return;
        }
    }
    if (l->events_count == LIVENESS_EVENTS) { /* an owner that does not pop loses the oldest */
        l->events_head = (l->events_head + 1) % LIVENESS_EVENTS;
        l->events_count--;
    }
    l->events[(l->events_head + l->events_count++) % LIVENESS_EVENTS] = e;
}

bool liveness_pop(struct liveness *l, struct path_event *ret)
{
    if (l->events_count == 0)
        return false;
    *ret = l->events[l->events_head];
    l->events_head = (l->events_head + 1) % LIVENESS_EVENTS;
    l->events_count--;
    return true;
}

static void set_state(struct liveness *l, enum path_state state, enum path_why why, instant now)
{
    enum path_state old = l->state;

    l->state = state;
    l->why = why;
    l->state_since = now;
    l->timeouts = 0;
    liveness_push(l, (struct path_event){ .type = PATH_EVENT_STATE, .old_state = old });
}

static void probe(struct liveness *l, unsigned train, instant now)
{
    l->probe_at = now;
    l->waiting = true;
    liveness_push(l, (struct path_event){ .type = PATH_EVENT_PROBE, .train = train });
}

static void go_down(struct liveness *l, enum path_why why, instant now)
{
    if (l->falls_count == LIVENESS_FALLS)
        memmove(&l->falls[0], &l->falls[1], sizeof(l->falls) - sizeof(l->falls[0]));
    else
        l->falls_count++;
    l->falls[l->falls_count - 1] = now;
    l->backoff = PATH_DOWN_BACKOFF_MIN;
    l->next_probe = l->link_up ? now + l->backoff : INSTANT_NEVER;
    set_state(l, PATH_DOWN, why, now);
}

static void go_active(struct liveness *l, enum path_why why, instant now)
{
    l->fresh = l->hurried = l->waiting = false;
    set_state(l, PATH_ACTIVE, why, now);
}

static void restart_probing(struct liveness *l)
{
    l->replies = 0;
    l->train_acked = NO_TRAIN;
    l->validated = false;
    l->good_since = INSTANT_NEVER;
}

void liveness_init(struct liveness *l, instant now)
{
    *l = (struct liveness){
        .state = PATH_PROBING,
        .why = PATH_WHY_NEW,
        .state_since = now,
        .link_up = true,
        .fresh = true,
        .moved_at = now,
        .acked_at = now,
        .next_probe = INSTANT_NEVER,
        .backoff = PATH_DOWN_BACKOFF_MIN,
    };
    restart_probing(l);
    probe(l, 1, now);
}

/* When a path in PROBING has been good for long enough. */
static instant hold_until(const struct liveness *l)
{
    span hold = l->missed ? HOLD_MISSED : HOLD_MIN;
    unsigned recent = 0;

    if (l->good_since == INSTANT_NEVER)
        return INSTANT_NEVER;
    for (unsigned i = 0; i < l->falls_count; i++)
        if (l->good_since - l->falls[i] < FALL_MEMORY)
            recent++;
    if (recent > 1) /* the first is what it is returning from */
        hold <<= recent - 1;
    return l->good_since + MIN(hold, HOLD_MAX);
}

void liveness_on_eliciting(struct liveness *l, instant now)
{
    l->moved_at = now;
}

static void probing_on_acked(struct liveness *l, unsigned pkts, instant now)
{
    l->timeouts = 0;
    l->waiting = false;
    if (l->good_since == INSTANT_NEVER)
        l->good_since = now;
    l->replies++;
    if (l->fresh || l->hurried) {
        go_active(l, PATH_WHY_VALIDATED, now);
    } else if (l->train_acked != NO_TRAIN && !l->validated) {
        l->train_acked += pkts;
        l->validated = l->train_acked >= TRAIN_NEEDED;
        l->waiting = !l->validated;
    } else if (!l->validated) {
        bool train = l->replies >= REPLIES_NEEDED;

        if (train)
            l->train_acked = 0;
        probe(l, train ? TRAIN : 1, now);
    }
    if (l->state == PATH_PROBING && l->validated && now >= hold_until(l))
        go_active(l, PATH_WHY_VALIDATED, now);
}

void liveness_on_acked(struct liveness *l, unsigned pkts, instant now)
{
    l->moved_at = l->acked_at = now;
    switch (l->state) {
    case PATH_SUSPECTED:
        go_active(l, PATH_WHY_ACKED, now);
        break;
    case PATH_DOWN:
        if (!l->link_up)
            break;
        restart_probing(l);
        set_state(l, PATH_PROBING, PATH_WHY_ACKED, now);
        probing_on_acked(l, pkts, now);
        break;
    case PATH_PROBING:
        probing_on_acked(l, pkts, now);
        break;
    default:
        l->timeouts = 0;
        break;
    }
}

void liveness_on_received(struct liveness *l, instant now)
{
    /* What arrives shows that the other direction works: worth a probe, but not more often than the first back-off. */
    if (l->state == PATH_DOWN && l->link_up)
        l->next_probe = instant_min(l->next_probe, MAX(now, l->probe_at + PATH_DOWN_BACKOFF_MIN));
}

void liveness_on_link(struct liveness *l, bool up, instant now)
{
    if (l->link_up == up)
        return;
    l->link_up = up;
    if (!up) {
        if (l->state != PATH_DOWN)
            go_down(l, PATH_WHY_LINK_DOWN, now);
        l->next_probe = INSTANT_NEVER;
        return;
    }
    if (l->state == PATH_DOWN) {
        l->backoff = PATH_DOWN_BACKOFF_MIN;
        l->next_probe = now + l->backoff;
        probe(l, 1, now);
    }
}

void liveness_on_send_error(struct liveness *l, instant now)
{
    if (l->state != PATH_ACTIVE)
        return;
    set_state(l, PATH_SUSPECTED, PATH_WHY_SEND_ERROR, now);
    probe(l, 1, now);
}

void liveness_on_moved(struct liveness *l, instant now)
{
    l->acked_at = now;
}

void liveness_on_lost(struct liveness *l, instant now)
{
    if (l->state != PATH_DOWN)
        go_down(l, PATH_WHY_SEND_ERROR, now);
}

void liveness_set_busy(struct liveness *l, bool busy)
{
    l->busy = busy;
}

void liveness_set_missed(struct liveness *l, bool missed)
{
    if (missed && !l->missed && l->state == PATH_DOWN && l->link_up)
        l->next_probe = instant_min(l->next_probe, l->probe_at + PATH_DOWN_BACKOFF_MIN);
    l->missed = missed;
}

void liveness_hurry(struct liveness *l, instant now)
{
    if (l->state != PATH_DOWN && l->state != PATH_PROBING)
        return;
    l->hurried = true;
    l->backoff = PATH_DOWN_BACKOFF_MIN;
    if (l->state == PATH_DOWN && l->link_up)
        l->next_probe = instant_min(l->next_probe, MAX(now, l->probe_at + PATH_DOWN_BACKOFF_MIN));
    else if (l->state == PATH_PROBING && l->replies > 0)
        go_active(l, PATH_WHY_VALIDATED, now);
}

instant liveness_expiry(const struct liveness *l, instant oldest, span timeout)
{
    switch (l->state) {
    case PATH_ACTIVE:
        if (oldest != INSTANT_NEVER)
            return MAX(oldest + timeout, l->acked_at + PATH_SUSPECT_MIN);
        return MAX(l->moved_at, l->probe_at) + (l->busy ? PATH_PROBE_BUSY : PATH_PROBE_IDLE);
    case PATH_SUSPECTED:
        return l->probe_at + timeout;
    case PATH_DOWN:
        return l->next_probe;
    default:
        if (l->waiting)
            return l->probe_at + timeout;
        if (l->validated)
            return instant_min(l->probe_at + PATH_PROBE_BUSY, MAX(hold_until(l), l->state_since));
        return l->probe_at + PATH_PROBE_BUSY;
    }
}

static void probing_on_expiry(struct liveness *l, instant now)
{
    if (l->waiting) {
        restart_probing(l);
        if (++l->timeouts >= TIMEOUTS_DOWN) {
            go_down(l, PATH_WHY_PROBES_LOST, now);
            return;
        }
    } else if (l->validated && now >= hold_until(l)) {
        go_active(l, PATH_WHY_VALIDATED, now);
        return;
    }
    probe(l, 1, now);
}

void liveness_on_expiry(struct liveness *l, instant oldest, span timeout, instant now)
{
    if (now < liveness_expiry(l, oldest, timeout))
        return;
    switch (l->state) {
    case PATH_ACTIVE:
        if (oldest != INSTANT_NEVER) {
            set_state(l, PATH_SUSPECTED, PATH_WHY_ACK_OVERDUE, now);
            l->timeouts = 1;
        }
        probe(l, 1, now);
        break;
    case PATH_SUSPECTED:
        if (++l->timeouts >= TIMEOUTS_DOWN)
            go_down(l, PATH_WHY_PROBES_LOST, now);
        else
            probe(l, 1, now);
        break;
    case PATH_DOWN:
        if (l->hurried || (l->missed && now - l->state_since < FALL_MEMORY))
            l->backoff = PATH_DOWN_BACKOFF_MIN;
        else
            l->backoff = MIN(l->backoff * 2, PATH_DOWN_BACKOFF_MAX);
        l->next_probe = now + l->backoff;
        probe(l, 1, now);
        break;
    default:
        probing_on_expiry(l, now);
        break;
    }
}
