/* path/liveness.h - whether a path is alive: the state machine behind enum path_state, its probes and its events. */
#pragma once

#include "base/base.h"
#include "path/path.h"

#define LIVENESS_EVENTS 16 /* chosen: events of each kind are merged; 16 changes of state fit between two pops */
#define LIVENESS_FALLS 6   /* what it returns from, and 5 others: 1 s * 2^5 is past the longest hold */

struct liveness {
    enum path_state state;
    enum path_why why;
    instant state_since;
    bool link_up, busy, hurried, missed;
    bool fresh;           /* never was active */
    bool waiting;         /* for the reply to a probe (PROBING) */
    bool validated;       /* the train came back */
    unsigned timeouts;    /* in a row */
    unsigned replies;     /* since PROBING began */
    unsigned train_acked; /* UINT_MAX: no train yet */
    instant probe_at;     /* the newest probe */
    instant moved_at;     /* the newest eliciting record or acknowledgement */
    instant acked_at;     /* the newest acknowledgement of something new */
    instant good_since;   /* PROBING: first reply without a loss since */
    instant next_probe;   /* DOWN */
    span backoff;
    instant falls[LIVENESS_FALLS]; /* the newest times it went down */
    unsigned falls_count;
    struct path_event events[LIVENESS_EVENTS];
    unsigned events_head, events_count;
};

void liveness_init(struct liveness *l, instant now);
void liveness_on_eliciting(struct liveness *l, instant now);
/* pkts > 0 eliciting records were newly acknowledged. */
void liveness_on_acked(struct liveness *l, unsigned pkts, instant now);
/* What is in flight moves, though nothing of it has been acknowledged yet. */
void liveness_on_moved(struct liveness *l, instant now);
/* Nothing of what was sent will be acknowledged. */
void liveness_on_lost(struct liveness *l, instant now);
void liveness_on_received(struct liveness *l, instant now);
void liveness_on_link(struct liveness *l, bool up, instant now);
void liveness_on_send_error(struct liveness *l, instant now);
void liveness_set_busy(struct liveness *l, bool busy);
/* What it carried is missed: the others carry much less. It returns sooner, and is probed more often for a while. */
void liveness_set_missed(struct liveness *l, bool missed);
/* No other path is active: return on the first reply, probe a dead path often. */
void liveness_hurry(struct liveness *l, instant now);
/* oldest: when the oldest record in flight was sent, or INSTANT_NEVER; timeout: for an acknowledgement. */
instant liveness_expiry(const struct liveness *l, instant oldest, span timeout);
void liveness_on_expiry(struct liveness *l, instant oldest, span timeout, instant now);
/* An event of the owner's own; PROBE and ACK events that wait already are merged. */
void liveness_push(struct liveness *l, struct path_event e);
bool liveness_pop(struct liveness *l, struct path_event *ret);
