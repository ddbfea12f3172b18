/* path/bbr.c - congestion control: a model of the path (rate and round trip) gives a pacing rate and a window.
 *
 * After BBR (draft-cardwell-iccrg-bbr), bounded in delay: inside a tunnel the inner flows have their own congestion
 * control, and their queue must stand at our end, where they can be told apart, not in the path's bottleneck.
 *
 * STARTUP doubles the rate each round trip until three rounds bring no quarter more, or one does not while a queue
 * builds or records are lost; DRAIN empties that queue. Then cycles: UP (a quarter faster, one round trip), DOWN (a
 * quarter slower until the queue is gone), CRUISE. What is new against BBR:
 * - the window while cruising is 1.05 bandwidth-delay products plus aggregation, not 2;
 * - growth found by UP returns to STARTUP, so a path that became five times faster is filled in a few round trips;
 * - a fall is taken at once: a whole round below 4/5 of the estimate with a standing queue sets the estimate to that
 *   round's latest sample, where BBR waits for ten rounds to pass, each of them made long by the queue;
 * - what a round trip is longer than the minimum without a queue of ours is the way's own, jitter: the window covers
 *   it, and it is no queue. Records that were alone in flight tell it before there is any load, PROBE_RTT under load
 *   (early if a queue stands that cruising cannot have made). Without it STARTUP takes the first late record for a
 *   queue, and a radio is used for a few per cent of what it carries;
 * - a long round trip ends STARTUP only if its record had more than probes for company: without that an idle radio's
 *   late probe does, and its rate is believed to be that of the probes;
 * - a fall is followed by PROBE_RTT. If the round trip stays long with the path drained, the route changed and not the
 *   rate, and the minimum is set anew. Without this check a longer route looks like an endless queue.
 * - more than 20 % loss in a round is a fall too: a policer or a short queue;
 * - when UP loses records it goes less far the next time, so that a short queue is not overrun in every cycle;
 * - a first window of which twice as much is lost as comes through was more than a short queue holds: STARTUP goes on
 *   from what came, with the window and the pace that its rate gives, and those losses count for nothing else;
 * - where others have measured the path, the first round trip of data is paced to half of their rate, with no more in
 *   flight than that brings: if it was wrong, that much stands in a queue once, and the samples of that round decide.
 *
 * Limits: rates to 2^53 bit/s; windows to 2^53 bytes. Sources: draft-cardwell-iccrg-bbr-congestion-control (gains,
 * cycles, PROBE_RTT, extra_acked). */
#include "path/cc.h"

/* Gains in percent. */
#define GAIN_STARTUP 277   /* 4 ln 2, draft 2.4 */
#define GAIN_DRAIN 36      /* 1 / 2.77 */
#define GAIN_CRUISE 99     /* BBRv2: a little below the estimate, so that what queue there is drains */
#define GAIN_DOWN 75       /* BBRv1's: empties in one round trip what UP built in one */
#define WINDOW_STARTUP 200 /* draft 2.5 */
#define WINDOW_CRUISE                                                                                                  \
    105               /* chosen: with extra_acked for late acknowledgements the path keeps busy, and no queue stands */
#define WINDOW_UP 150 /* chosen: room for UP's quarter above that */
/* chosen: BBR's 50 has to undo a window of 2; ours is hardly too large, and this costs half as much */
#define WINDOW_PROBE 75
#define WINDOW_PROBE_MIN 5 /* chosen: above it one halves again, four times from 75: no estimate is further off */

#define FULL_GROWTH 125         /* percent, draft 4.3.1.2 */
#define FULL_ROUNDS 3           /* the same */
#define INITIAL_RECORDS 32      /* chosen: the first window, 45 kB: thrice RFC 6928's, but paced over a round trip */
#define KNOWN_PART 2            /* of a rate that others measured: Careful Resume's half */
#define MIN_RECORDS 4           /* draft 2.7 BBRMinPipeCwnd */
#define CRUISE_RTTS 6           /* BBRv1 */
#define CRUISE_MAX (700 * MSEC) /* chosen: with UP and DOWN a cycle in about 1 s also on long paths */
#define UP_MAX 25               /* percent faster in UP: draft 4.3.4 */
#define UP_MIN 3                /* chosen: fits any queue of 1/30 of the bandwidth-delay product */
#define UP_STEP 3               /* chosen: from UP_MIN to UP_MAX in 8 cycles */
#define UP_MEMORY (10 * SEC)    /* chosen: then a speed that lost records is tried again */
#define UP_LOST_PERMILLE 5      /* chosen: loss that UP may add to what cruising has */
#define UP_LOST_MIN 3           /* records: chosen: fewer are chance */
#define FALL 80                 /* percent: chosen: below what jitter and cross traffic of a moment do */
#define FALL_SPAN (40 * MSEC)   /* chosen: longer than a scheduler's hiccup */
#define QUEUE_SLACK (2 * MSEC)  /* chosen: clocks, GSO and wake-ups */
#define SLACK_MAX (100 * MSEC)  /* chosen: for two records on the slowest links */
#define PROBE_RTT_INTERVAL (8 * SEC) /* before the minimum's window of 10 s ends */
#define PROBE_RTT_SPAN (100 * MSEC)  /* chosen: half of BBR's 200 ms: our flows need not meet in an empty queue */
#define FALL_LOSS 20                 /* percent: no random loss of a usable path, but a policer or a short queue */
#define FULL_LOSS 10            /* percent: chosen: ends STARTUP if the rate does not grow, or its rounds do not tell */
#define LOSS_MIN_PKTS 8         /* chosen: fewer are no share */
#define OVERRUN 2               /* chosen: of what came: no random loss, and more than jitter puts out of order */
#define STARTUP_RTTS 3          /* chosen: STARTUP's own window makes a round trip no longer than this many minima */
#define CROWD_RECORDS 4         /* chosen: probes and their answers, and MIN_RECORDS: no queue to speak of */
#define JITTER_MAX (100 * MSEC) /* chosen: a radio's; what is more is somebody's queue */
#define LONE_SMOOTH 8           /* chosen: the samples of a path that has just been validated */
#define QUEUE_LIFE (500 * MSEC) /* chosen: longer than what UP or STARTUP made takes to go */
#define PROBE_RTT_AGAIN (2 * SEC)   /* chosen: if it finds nothing */
#define EXTRA_ROUNDS 5              /* draft: a window of 10 rounds in two halves */
#define EXTRA_SPAN_MAX (100 * MSEC) /* draft 4.6.4.1: bounded by 100 ms at the estimated rate */

/* chosen: acknowledgements come each millisecond at most, and both ends must be given the processor in between: on a
 * path of less, a window of one round trip is a pause in each */
#define WINDOW_SPAN (1 * MSEC)

enum bbr_state { BBR_STARTUP, BBR_DRAIN, BBR_CRUISE, BBR_UP, BBR_DOWN, BBR_PROBE_RTT };

struct bbr {
    enum bbr_state state;
    size_t record_bytes;
    span initial_rtt;
    struct rate_max max;
    instant state_since, drain_ended;
    bool full;              /* the path's rate was found: STARTUP is over */
    bool was_full;          /* once: the first window has done its work */
    instant overrun_at;     /* when it was seen to be more than the path holds, by what it lost; 0: it was not */
    uint64_t overrun_bytes; /* so much, less what came after all */
    bool reordered;         /* most came */
    uint64_t known_bps;     /* what the first round trip may come up to; 0: nothing is known, or it was tried */
    instant known_until;
    uint64_t full_bps;
    unsigned full_rounds;
    uint64_t startup_acked, startup_lost; /* since it began or found growth */
    unsigned startup_lost_pkts;
    uint64_t cycle_bps; /* estimate when the last UP began */
    /* how much faster UP goes, in percent, and what it lost */
    unsigned up_percent, up_bad; /* up_bad: so much was too much, 0: none known */
    instant up_bad_at, up_at;
    bool up_judged;
    uint64_t up_lost, up_acked, calm_lost, calm_acked;
    /* this round */
    instant round_since;
    uint64_t round_bps, round_last_bps; /* largest and latest sample */
    span round_rtt;                     /* smallest; 0: none */
    span round_crowd_rtt;               /* largest of a record that others were in flight with; 0: none */
    uint64_t round_acked, round_lost;
    unsigned round_lost_pkts;
    bool round_app_limited, round_ignore_loss;
    /* PROBE_RTT */
    bool drained, verify;
    instant drained_at;
    uint64_t drained_round;
    span drained_rtt;       /* smallest sample since drained */
    span drained_sum;       /* of all of them, */
    unsigned drained_count; /* so many */
    span jitter;            /* how much longer than the smallest a round trip is on average, without a queue of ours */
    span lone_rtt;          /* smoothed round trip of records that were alone in flight; 0: none */
    int lone_count;
    instant queue_since;    /* all rounds of CRUISE since had a queue, which its window cannot have made; 0: not so */
    instant began_at;       /* BBROnInit: a minimum that another control left is not looked at anew at once */
    instant probed_at;      /* end of the latest */
    unsigned probe_percent; /* the window, of the bandwidth-delay product */
    span step_rtt;          /* what the step before this one found; 0: none */
    /* acknowledged in excess of the estimate: aggregation on the way back */
    instant extra_since;
    uint64_t extra_acked;
    uint64_t extra_max[2]; /* of the current and the previous span of rounds */
    uint64_t extra_rounds;
};

static uint64_t bytes_in(uint64_t bps, span t)
{
    return (uint64_t)((unsigned __int128)bps * (uint64_t)t / (8 * (uint64_t)SEC));
}

static void enter(struct bbr *b, enum bbr_state state, instant now)
{
    b->state = state;
    b->state_since = now;
}

static void init(void *state, const struct cc_start *start, instant now)
{
    struct bbr *b = state;

    *b = (struct bbr){ .record_bytes = start->record_bytes,
                       .initial_rtt = start->initial_rtt,
                       .known_bps = start->rate_bps == 0 ? start->known_bps / KNOWN_PART : 0,
                       .known_until = now + CC_KNOWN_LIFE,
                       .up_percent = UP_MAX,
                       .state_since = now,
                       .began_at = now,
                       .round_since = now,
                       .extra_since = now };
    if (start->rate_bps == 0)
        return;
    rate_max_set(&b->max, start->rate_bps);
    b->was_full = true;
    b->full_bps = b->cycle_bps = b->max.bps;
    if (start->sought)
        return;
    b->full = true;
    enter(b, BBR_CRUISE, now);
}

static uint64_t pacing_bps(const struct bbr *b, span srtt)
{
    static const unsigned gain[] = {
        [BBR_STARTUP] = GAIN_STARTUP, [BBR_DRAIN] = GAIN_DRAIN, [BBR_CRUISE] = GAIN_CRUISE, [BBR_UP] = 100,
        [BBR_DOWN] = GAIN_DOWN,       [BBR_PROBE_RTT] = 100,
    };
    uint64_t bps = b->max.bps / 100 * (gain[b->state] + (b->state == BBR_UP ? b->up_percent : 0));

    if (!b->full && !b->was_full && b->overrun_at == 0) {
        span rtt = srtt > 0 ? srtt : b->initial_rtt;

        bps = MAX(bps, (uint64_t)b->record_bytes * INITIAL_RECORDS * 8 * (uint64_t)SEC / (uint64_t)MAX(rtt, MSEC));
        bps = MAX(bps, b->known_bps);
    }
    return MAX(bps, (uint64_t)b->record_bytes * 8); /* one record a second whatever happens */
}

static uint64_t extra(const struct bbr *b)
{
    return MIN(MAX(b->extra_max[0], b->extra_max[1]), bytes_in(b->max.bps, EXTRA_SPAN_MAX));
}

/* How long two records take: on a slow path those that are full are later than probes. */
static span two_records(const struct bbr *b)
{
    uint64_t us = 2 * (uint64_t)b->record_bytes * 8 * (uint64_t)SEC / MAX(b->max.bps, 1u);

    return (span)MIN(us, (uint64_t)SLACK_MAX);
}

/* How much longer than the minimum a round trip is without a queue of ours: as PROBE_RTT found, or as records that were
 * alone tell. */
static span jitter(const struct bbr *b, span min_rtt)
{
    span lone = MIN(b->lone_rtt - min_rtt - two_records(b), JITTER_MAX);

    return MAX(b->jitter, MAX(lone, 0));
}

static uint64_t window_bytes(const struct bbr *b, span min_rtt)
{
    static const unsigned gain[] = {
        [BBR_STARTUP] = WINDOW_STARTUP, [BBR_DRAIN] = WINDOW_STARTUP, [BBR_CRUISE] = WINDOW_CRUISE,
        [BBR_UP] = WINDOW_UP,           [BBR_DOWN] = WINDOW_CRUISE,   [BBR_PROBE_RTT] = 0,
    };
    unsigned percent = b->state == BBR_PROBE_RTT ? b->probe_percent : gain[b->state];
    uint64_t window = bytes_in(b->max.bps, MAX(min_rtt, WINDOW_SPAN) + jitter(b, min_rtt)) * percent / 100,
             pkts = MIN_RECORDS;

    if (b->state != BBR_PROBE_RTT)
        window += extra(b) + 2 * b->record_bytes;
    if (!b->full && b->overrun_at == 0) {
        pkts = INITIAL_RECORDS;
        window = MAX(window, bytes_in(b->known_bps, min_rtt > 0 ? min_rtt : b->initial_rtt));
    }
    return MAX(window, pkts * b->record_bytes);
}

/* How much longer than the minimum a round trip may be before it means a queue: a quarter, two records, and what is of
 * the way and of the machines. */
static span slack(const struct bbr *b, span min_rtt)
{
    return min_rtt / 4 + QUEUE_SLACK + jitter(b, min_rtt) + two_records(b);
}

/* The round trip, if its record may have met a queue of ours: probes alone make none, however late they are; 0: not. */
static span crowd_rtt(const struct bbr *b, const struct cc_ack *a)
{
    return a->sample.flight_bytes > CROWD_RECORDS * b->record_bytes ? a->rtt : 0;
}

static bool queue_stands(const struct bbr *b, const struct cc_ack *a)
{
    return b->round_rtt > 0 && a->min_rtt > 0 && b->round_rtt > a->min_rtt + slack(b, a->min_rtt);
}

static void enter_probe_rtt(struct bbr *b, bool verify, instant now)
{
    b->drained = false;
    b->verify = verify;
    b->drained_rtt = b->step_rtt = b->drained_sum = 0;
    b->drained_count = 0;
    b->queue_since = 0;
    b->probe_percent = WINDOW_PROBE;
    enter(b, BBR_PROBE_RTT, now);
}

static void on_fall(struct bbr *b, instant now)
{
    /* The round in which the rate fell begins with samples of before. */
    rate_max_set(&b->max, MAX(b->round_last_bps, b->round_bps / 2));
    b->extra_max[0] = b->extra_max[1] = 0;
    b->full = true;
    enter_probe_rtt(b, true, now);
}

static bool loss_above(const struct bbr *b, unsigned percent)
{
    return !b->round_ignore_loss && b->round_lost_pkts >= LOSS_MIN_PKTS &&
           b->round_lost * 100 > (b->round_lost + b->round_acked) * percent;
}

static void forget_startup(struct bbr *b)
{
    b->startup_acked = b->startup_lost = 0;
    b->startup_lost_pkts = 0;
}

/* Has STARTUP found the path's rate? `limited`: the round says nothing of how fast the path could be. Its losses count
 * all the same: on a path of a few records, which loses from each burst that is paced by STARTUP's gain, the flows
 * shrink until every round is limited, and it would never end. */
static bool startup_is_over(struct bbr *b, bool limited, bool queue)
{
    if (!b->round_ignore_loss) {
        b->startup_acked += b->round_acked;
        b->startup_lost += b->round_lost;
        b->startup_lost_pkts += b->round_lost_pkts;
    }
    if (limited)
        return b->startup_lost_pkts >= LOSS_MIN_PKTS &&
               b->startup_lost * 100 > (b->startup_lost + b->startup_acked) * FULL_LOSS;
    if (b->max.bps < b->full_bps / 100 * FULL_GROWTH)
        return ++b->full_rounds >= FULL_ROUNDS || queue || loss_above(b, FULL_LOSS);
    b->full_bps = b->max.bps;
    b->full_rounds = 0;
    forget_startup(b);
    return false;
}

static void on_round_end(struct bbr *b, const struct cc_ack *a, instant now)
{
    bool queue = queue_stands(b, a), lossy, low;
    /* Traffic that comes in bursts is application-limited in every round, and would keep STARTUP's gain for ever. A
     * burst that queued in the path has met its rate all the same. */
    bool limited =
        b->round_app_limited && b->round_crowd_rtt <= a->min_rtt + slack(b, a->min_rtt) + 2 * jitter(b, a->min_rtt);

    lossy = loss_above(b, FALL_LOSS);
    low = !b->round_app_limited && queue && b->round_bps > 0 && b->round_bps < b->max.bps / 100 * FALL &&
          now - b->round_since >= FALL_SPAN;
    if (!b->full && b->round_bps > 0)
        b->full = startup_is_over(b, limited, queue);
    if (b->round_acked > INITIAL_RECORDS / 2 * b->record_bytes ||
        now > b->known_until) /* it was tried, or never will */
        b->known_bps = 0;
    if (b->state != BBR_PROBE_RTT && b->round_bps > 0 && (low || lossy))
        on_fall(b, now);
    else
        rate_max_next_round(&b->max);
    if (++b->extra_rounds >= EXTRA_ROUNDS) {
        b->extra_rounds = 0;
        b->extra_max[1] = b->extra_max[0];
        b->extra_max[0] = 0;
    }
    /* What left before DRAIN had ended met STARTUP's queue. */
    if (b->state == BBR_CRUISE && b->round_since - a->min_rtt >= b->drain_ended)
        b->queue_since = !queue ? 0 : b->queue_since > 0 ? b->queue_since : now;
    b->round_since = now;
    b->round_bps = b->round_last_bps = b->round_acked = b->round_lost = 0;
    b->round_lost_pkts = 0;
    b->round_rtt = b->round_crowd_rtt = 0;
    b->round_app_limited = b->round_ignore_loss = false;
}

static void update_extra(struct bbr *b, const struct cc_ack *a, instant now)
{
    uint64_t expected = bytes_in(b->max.bps, now - b->extra_since);

    if (b->extra_acked <= expected) {
        b->extra_acked = 0;
        b->extra_since = now;
        expected = 0;
    }
    b->extra_acked += a->acked_bytes;
    if (b->max.bps > 0 && b->full)
        b->extra_max[0] = MAX(b->extra_max[0], b->extra_acked - expected);
}

/* The path is drained: what is longer than the smallest round trip is the way's own doing. */
static void learn_jitter(struct bbr *b, span min_rtt, bool outdated)
{
    /* A longer route is no jitter: its smallest is what the minimum will be. */
    span mean, base = min_rtt > 0 && !outdated ? MIN(min_rtt, b->drained_rtt) : b->drained_rtt;

    if (b->drained_count == 0)
        return;
    mean = b->drained_sum / b->drained_count;
    b->jitter = MIN(MAX(mean - base, 0), JITTER_MAX);
}

static void learn_lone(struct bbr *b, span rtt)
{
    b->lone_count = MIN(b->lone_count + 1, LONE_SMOOTH);
    b->lone_rtt += (rtt - b->lone_rtt) / b->lone_count;
}

static enum cc_verdict probe_rtt_step(struct bbr *b, const struct cc_ack *a, instant now, span *ret_min_rtt)
{
    bool outdated;

    if (!b->drained) {
        if (a->inflight_bytes > window_bytes(b, a->min_rtt))
            return CC_NOTHING;
        b->drained = true;
        b->drained_at = now;
        b->drained_round = a->rounds;
        return CC_NOTHING;
    }
    /* A sample counts when its record left after the queue was gone: from the second round on. */
    if (a->rounds > b->drained_round && a->rtt > 0) {
        b->drained_rtt = b->drained_rtt ? MIN(b->drained_rtt, a->rtt) : a->rtt;
        b->drained_sum += a->rtt;
        b->drained_count++;
    }
    if (a->rounds < b->drained_round + 2 || now - b->drained_at < (b->verify ? 0 : PROBE_RTT_SPAN))
        return CC_NOTHING;
    outdated = b->drained_rtt > a->min_rtt + slack(b, a->min_rtt);
    if (outdated && b->probe_percent > WINDOW_PROBE_MIN && (!b->step_rtt || b->drained_rtt < b->step_rtt / 8 * 7)) {
        /* The estimate that gives the window may be too high itself: a queue gets shorter with a smaller one. */
        b->step_rtt = b->drained_rtt;
        b->probe_percent /= 2;
        b->drained = false;
        b->drained_rtt = b->drained_sum = 0;
        b->drained_count = 0;
        return CC_NOTHING;
    }
    learn_jitter(b, a->min_rtt, outdated);
    b->probed_at = now;
    b->cycle_bps = b->max.bps;
    enter(b, b->full ? BBR_CRUISE : BBR_STARTUP, now);
    *ret_min_rtt = b->drained_rtt;
    return outdated ? CC_MIN_OUTDATED : CC_MIN_RIGHT;
}

static void start_up(struct bbr *b, instant now)
{
    b->cycle_bps = b->max.bps;
    b->up_at = now;
    b->up_judged = false;
    b->up_lost = b->up_acked = 0;
    b->calm_lost /= 2; /* older cycles count less */
    b->calm_acked /= 2;
    if (b->up_bad > 0 && now - b->up_bad_at > UP_MEMORY)
        b->up_bad = 0;
    enter(b, BBR_UP, now);
}

/* UP showed growth: look for all of it. It lost more than cruising does: go slower next time. */
static void judge_up(struct bbr *b, const struct cc_ack *a, instant now)
{
    uint64_t lost_permille, calm_permille;

    if (b->up_judged || b->cycle_bps == 0) {
        b->calm_lost += a->lost_bytes;
        b->calm_acked += a->acked_bytes;
    } else {
        b->up_lost += a->lost_bytes;
        b->up_acked += a->acked_bytes;
    }
    /* Three fifths of what UP added have arrived. */
    if (b->max.bps > b->cycle_bps / 1000 * (1000 + b->up_percent * 6) && !queue_stands(b, a)) {
        b->cycle_bps = b->max.bps;
        b->up_bad = 0;
        if (b->up_percent == UP_MAX) {
            b->full = false;
            b->full_bps = b->max.bps;
            b->full_rounds = 0;
            forget_startup(b);
            enter(b, BBR_STARTUP, now);
        }
        b->up_percent = UP_MAX;
        return;
    }
    if (b->up_judged || b->state != BBR_CRUISE || now - b->up_at < 3 * (a->min_rtt + jitter(b, a->min_rtt)))
        return;
    b->up_judged = true;
    lost_permille = b->up_lost * 1000 / MAX(b->up_lost + b->up_acked, 1u);
    calm_permille = b->calm_lost * 1000 / MAX(b->calm_lost + b->calm_acked, 1u);
    if (b->up_lost >= UP_LOST_MIN * b->record_bytes && lost_permille > 2 * calm_permille + UP_LOST_PERMILLE) {
        b->up_bad = b->up_percent;
        b->up_bad_at = now;
        b->up_percent = MAX(b->up_percent / 2, UP_MIN);
    } else {
        unsigned most = b->up_bad > UP_STEP + UP_MIN ? b->up_bad - UP_STEP : b->up_bad > 0 ? UP_MIN : UP_MAX;

        b->up_percent = MAX(MIN(b->up_percent + UP_STEP, most), UP_MIN);
    }
}

/* What the first window lost, if it was more than the path holds, says just that: STARTUP begins anew with what came
 * through. Records that came out of order take that back. */
static void count_losses(struct bbr *b, const struct cc_ack *a, instant now)
{
    b->overrun_bytes -= MIN(a->spurious_bytes, b->overrun_bytes);
    if (b->overrun_at > 0 && b->overrun_bytes < LOSS_MIN_PKTS / 2 * b->record_bytes) {
        b->overrun_at = 0;
        b->reordered = true;
    }
    if (b->overrun_at > 0 && a->lost_bytes > 0 && a->lost_at <= b->overrun_at) {
        b->overrun_bytes += a->lost_bytes;
        return;
    }
    b->round_lost += a->lost_bytes;
    b->round_lost -= MIN(a->spurious_bytes, b->round_lost);
    b->round_lost_pkts += a->lost_pkts;
    if (b->round_lost_pkts < LOSS_MIN_PKTS)
        return;
    b->known_bps = 0; /* what others found is more than there is */
    if (b->full || b->was_full || b->overrun_at > 0 || b->reordered || b->round_lost <= OVERRUN * b->round_acked)
        return;
    b->overrun_at = now;
    b->overrun_bytes = b->round_lost;
    b->round_lost = b->round_lost_pkts = 0;
    forget_startup(b);
}

static enum cc_verdict on_ack(void *state, const struct cc_ack *a, instant now, span *ret_min_rtt)
{
    struct bbr *b = state;
    enum cc_verdict ret = CC_NOTHING;
    uint64_t bdp;

    if (a->rtt > 0)
        b->round_rtt = b->round_rtt ? MIN(b->round_rtt, a->rtt) : a->rtt;
    b->round_crowd_rtt = MAX(b->round_crowd_rtt, crowd_rtt(b, a));
    if (a->lone && a->rtt > 0)
        learn_lone(b, a->rtt);
    b->round_acked += a->acked_bytes;
    count_losses(b, a, now);
    if (a->sample.bps > 0) {
        rate_max_add(&b->max, a->sample.bps, a->sample.app_limited);
        b->round_bps = MAX(b->round_bps, a->sample.bps);
        b->round_last_bps = a->sample.bps;
    }
    b->round_app_limited |= a->sample.app_limited;
    b->round_ignore_loss |= a->silent;
    update_extra(b, a, now);
    if (a->round_ended)
        on_round_end(b, a, now);
    bdp = bytes_in(b->max.bps, a->min_rtt);
    b->was_full |= b->full;
    switch (b->state) {
    case BBR_STARTUP:
        /* The first window alone may be far too large for a slow link: do not wait for the end of such a round. */
        if (crowd_rtt(b, a) > STARTUP_RTTS * a->min_rtt + slack(b, a->min_rtt) && b->max.bps > 0)
            b->full = true;
        if (b->full)
            enter(b, BBR_DRAIN, now);
        break;
    case BBR_DRAIN:
        if (a->inflight_bytes <= bdp + 2 * b->record_bytes || now - b->state_since > 3 * a->min_rtt + QUEUE_SLACK) {
            b->cycle_bps = b->max.bps;
            b->drain_ended = now;
            enter(b, BBR_CRUISE, now);
        }
        break;
    case BBR_CRUISE:
        if (now - b->state_since > MIN(CRUISE_RTTS * (a->min_rtt + jitter(b, a->min_rtt)), CRUISE_MAX))
            start_up(b, now);
        break;
    case BBR_UP:
        if (now - b->state_since > a->min_rtt + jitter(b, a->min_rtt))
            enter(b, BBR_DOWN, now);
        break;
    case BBR_DOWN:
        if (a->inflight_bytes <= bdp || now - b->state_since > a->min_rtt)
            enter(b, BBR_CRUISE, now);
        break;
    case BBR_PROBE_RTT:
        ret = probe_rtt_step(b, a, now, ret_min_rtt);
        break;
    }
    if (b->state >= BBR_CRUISE && b->state <= BBR_DOWN) {
        judge_up(b, a, now);
        if (a->min_rtt > 0 &&
            (now - MAX(a->min_rtt_at, b->began_at) > PROBE_RTT_INTERVAL ||
             (b->queue_since > 0 && now - b->queue_since > QUEUE_LIFE && now - b->probed_at > PROBE_RTT_AGAIN)))
            enter_probe_rtt(b, false, now);
    }
    return ret;
}

static struct cc_speed speed(const void *state, span srtt, span min_rtt)
{
    const struct bbr *b = state;

    return (struct cc_speed){ .pacing_bps = pacing_bps(b, srtt),
                              .window_bytes = window_bytes(b, min_rtt),
                              .holding_back = b->state == BBR_PROBE_RTT };
}

static struct cc_info info(const void *state)
{
    const struct bbr *b = state;

    return (struct cc_info){ .rate_bps = b->max.bps, .sought = !b->full || b->state == BBR_PROBE_RTT };
}

const struct cc_ops cc_bbr = {
    .name = "bbr",
    .state_bytes = sizeof(struct bbr),
    .init = init,
    .on_ack = on_ack,
    .speed = speed,
    .info = info,
};
