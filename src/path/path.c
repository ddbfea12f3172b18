/* path/path.c - see path.h: puts the rooms of src/path together.
 *
 * Sending: the log (inflight) marks each record with the state of delivery (rate); an acknowledgement settles records,
 * gives a sample of the round trip (rtt) and of the rate, which drive the congestion control (cc) that sets window and
 * pacing.
 * Pacing: `pace_next_ns` is when all that was sent would have left at the pacing rate, kept to the nanosecond with the
 * remainder, so nothing is lost to rounding. When that time has come a quantum may leave back to back, so that the
 * owner can hand it to the kernel in one call.
 * Receiving: ackset, owd. Both: liveness.
 *
 * Limits: PATH_INFLIGHT_MAX records in flight; rates from 1 record a second to 100 Gbit/s; nothing is allocated but by
 * path_new, when the log or the ranges received double, and for the first summary after a pause. Sources: RFC 9002; the
 * headers of the rooms name theirs. */
#include "path/path.h"

#include <errno.h>

#include "path/ackset.h"
#include "path/cc.h"
#include "path/inflight.h"
#include "path/liveness.h"
#include "path/owd.h"
#include "path/pmtu.h"
#include "path/rtt.h"
#include "path/sbd.h"
#include "path/train.h"

#define LOSS_PKTS 3           /* RFC 9002 6.1.1 */
#define LOSS_TIME_EIGHTHS 9   /* RFC 9002 6.1.2: 9/8 round trip */
#define LOSS_TIME_MAX 16      /* chosen: at most two round trips under reordering (as RFC 8985's bound of one srtt) */
#define LOSS_TIME_MIN MSEC    /* RFC 9002 6.1.2: kGranularity */
#define PERSISTENT_TIMEOUTS 3 /* RFC 9002 7.6.1 */
#define CALM_ROUNDS 16        /* RFC 8985 3.3.2: 16 round trips without reordering end its allowance */
#define QUANTUM_SPAN MSEC     /* what may go back to back: 1 ms of rate, one record at least */
#define LATE_MAX (2 * MSEC)   /* chosen: an owner that wakes up late may make up for this much */
#define LOSS_SMOOTH 500.0     /* records */
#define KNOWN_SHORTER 2       /* Careful Resume: a round trip of less than half, or more than ten times what */
#define KNOWN_LONGER 10       /* was known, is another path */
#define RECORD_BYTES 1500     /* when the owner names none */
#define SKIPPED_MAX 32u       /* chosen: of thousands of records, more than a round trip of 100 Mbit/s and 300 ms has */
#define ABANDONED_KEPT (60 * SEC) /* chosen: an answer that is later has not much to say */

#define ACK_HELD (300 * MSEC) /* chosen: longer than a starved machine leaves an acknowledgement */

/* While the pacer or the window holds records back, acknowledgements are a tenth of what the path sends at most, if
 * none waits longer for it than an eighth of a round trip, or ACK_WAIT_MAX. */
#define ACK_BYTES 128           /* about, on the wire */
#define ACK_SHARE 10            /* chosen */
#define ACK_WAIT_PART 8         /* chosen */
#define ACK_WAIT_MAX (4 * MSEC) /* chosen: well below PATH_ACK_DELAY_MAX */

struct path {
    struct path_options o;
    struct rtt rtt;
    struct rate rate;
    struct rate_meter rx_meter;
    const struct cc_ops *cc;
    struct cc_coupling coupling;
    uint64_t rounds, next_round_delivered; /* round trips since the control began; when this one ends */
    struct inflight inflight;
    struct ackset ackset;
    struct owd owd;
    struct sbd sbd;
    struct liveness liveness;
    struct pmtu pmtu;
    struct train train;
    struct inflight_lost timer_lost; /* found by the timer: the control hears of it with the next acknowledgement, */
    bool silent;                     /* as of this: the path was not active when losses were looked for */
    bool reordering;                 /* seen: RFC 9002's count of 3 records means nothing on this path */
    unsigned loss_eighths;           /* of a round trip */
    uint64_t reordered_round;        /* round of the newest reordering */
    struct cc_speed speed;           /* with the owner's cap */
    int64_t pace_next_ns;
    uint64_t pace_remainder; /* of the division by pacing_bps */
    int64_t quantum_left;    /* bytes that may leave before pace_next_ns */
    instant sent_at;
    double loss;
    uint64_t tx_pkts, tx_eliciting_pkts, tx_bytes, rx_pkts, rx_bytes, lost_pkts;
    bool counted; /* a sample that was not application-limited came */
    uint64_t skipped[SKIPPED_MAX];
    unsigned skipped_count;
    struct path_transport transport; /* of a reliable one: as it was told last; its room is what is left of that */
    instant abandoned_since; /* when the oldest was sent that it gave up since anything was acknowledged, or NEVER */
    struct {
        bool wanted, waiting;
        uint64_t counter; /* of the record */
        instant sent_at;
        uint64_t sent, answered;
        span rtt;
    } probe;                                       /* of the owner's: path_probe */
    _Alignas(max_align_t) unsigned char control[]; /* the state of cc */
};

static void start_control(struct path *p, instant now)
{
    struct cc_start start = { .record_bytes = p->o.record_bytes,
                              .initial_rtt = p->rtt.initial,
                              .known_bps = p->o.known.rate_bps };

    p->cc->init(p->control, &start, now);
    p->rounds = p->next_round_delivered = 0;
    p->silent = false;
}

static void start_measuring(struct path *p, instant now)
{
    rtt_init(&p->rtt, MAX(p->o.initial_rtt, p->o.known.srtt));
    rate_init(&p->rate, now);
    start_control(p, now);
    p->reordering = p->counted = false;
    p->loss_eighths = LOSS_TIME_EIGHTHS;
    p->reordered_round = 0;
    p->loss = 0;
    p->abandoned_since = INSTANT_NEVER;
}

static void forget_known(struct path *p)
{
    memset(&p->o.known, 0, sizeof(p->o.known));
}

static void set_speed(struct path *p)
{
    struct cc_speed speed = p->cc->speed(p->control, p->rtt.sampled ? p->rtt.srtt : 0, p->rtt.min_rtt);
    uint64_t was_bps = p->speed.pacing_bps;

    if (p->o.rate_cap_bps > 0)
        speed.pacing_bps = MIN(speed.pacing_bps, p->o.rate_cap_bps);
    if (speed.pacing_bps != was_bps)
        p->pace_remainder = 0;
    /* What was sent at a lower rate is waited for at the new one, or one bad estimate would hold the path for long. */
    if (speed.pacing_bps > was_bps && p->pace_next_ns > p->sent_at * 1000)
        p->pace_next_ns = p->sent_at * 1000 + (int64_t)((double)(p->pace_next_ns - p->sent_at * 1000) *
                                                        (double)was_bps / (double)speed.pacing_bps);
    p->speed = speed;
}

struct path *path_new(const struct path_options *o, instant now)
{
    struct path *p = calloc(1, sizeof(*p) + cc_state_bytes());

    if (!p)
        return NULL;
    p->o = *o;
    if (o->reliable)
        p->o.congestion = CC_KERNEL;
    p->cc = cc_get(p->o.congestion);
    if (p->o.record_bytes == 0)
        p->o.record_bytes = RECORD_BYTES;
    if (ackset_init(&p->ackset, now) < 0 || inflight_init(&p->inflight, o->first_counter) < 0) {
        ackset_deinit(&p->ackset);
        free(p);
        return NULL;
    }
    start_measuring(p, now);
    sbd_init(&p->sbd);
    liveness_init(&p->liveness, now);
    train_init(&p->train, now);
    pmtu_init(&p->pmtu, (uint16_t)CLAMP(p->o.record_bytes, PMTU_BASE, UINT16_MAX), now);
    p->pace_next_ns = now * 1000;
    p->sent_at = now;
    set_speed(p);
    return p;
}

void path_free(struct path *p)
{
    if (!p)
        return;
    inflight_deinit(&p->inflight);
    ackset_deinit(&p->ackset);
    sbd_deinit(&p->sbd);
    free(p);
}

static span suspect_timeout(const struct path *p)
{
    if (p->o.reliable && p->liveness.state == PATH_SUSPECTED)
        return PATH_STALL_LIFE / 2; /* the second of these takes it down: see liveness.c */
    if (p->o.reliable)
        return MAX(2 * rtt_get(&p->rtt), PATH_STALL_MIN) + (p->transport.troubled ? 0 : PATH_STALL_PATIENCE);
    return rtt_timeout(&p->rtt, PATH_SUSPECT_MIN) + PATH_ACK_DELAY_MAX;
}

static span loss_time(const struct path *p)
{
    span rtt = MAX(rtt_get(&p->rtt), p->rtt.latest);

    return MAX(rtt * p->loss_eighths / 8, LOSS_TIME_MIN);
}

/* Since when liveness is to wait: of a reliable transport, since anything came of it, for what is behind a loss waits
 * with it. */
static instant waits_since(const struct path *p)
{
    instant oldest = instant_min(inflight_oldest(&p->inflight), p->abandoned_since);

    return p->o.reliable && oldest != INSTANT_NEVER ? MAX(oldest, p->liveness.acked_at) : oldest;
}

static bool window_open(const struct path *p, size_t wire_bytes)
{
    if (p->o.reliable)
        return p->transport.room_bytes > 0 && inflight_has_room(&p->inflight);
    return p->inflight.open_bytes + wire_bytes <= p->speed.window_bytes && inflight_has_room(&p->inflight);
}

bool path_may_send(const struct path *p, size_t wire_bytes, instant now)
{
    return window_open(p, wire_bytes) &&
           (p->o.reliable || p->quantum_left >= (int64_t)wire_bytes || now >= path_next_send(p));
}

instant path_next_send(const struct path *p)
{
    if (!window_open(p, p->o.record_bytes))
        return INSTANT_NEVER;
    if (p->o.reliable)
        return p->sent_at;
    return p->quantum_left >= (int64_t)p->o.record_bytes ? p->sent_at : (p->pace_next_ns + 999) / 1000;
}

uint64_t path_next_counter(const struct path *p)
{
    return p->inflight.next;
}

static void pace(struct path *p, size_t bytes, instant now)
{
    int64_t now_ns = now * 1000;
    uint64_t work;

    if (now_ns >= p->pace_next_ns) { /* a new quantum */
        p->pace_next_ns = MAX(p->pace_next_ns, now_ns - LATE_MAX * 1000);
        p->quantum_left =
            (int64_t)MAX(p->speed.pacing_bps / 8 * (uint64_t)QUANTUM_SPAN / (uint64_t)SEC, (uint64_t)p->o.record_bytes);
    }
    p->quantum_left -= (int64_t)bytes;
    work = (uint64_t)bytes * 8 * 1000 * (uint64_t)SEC + p->pace_remainder;
    p->pace_next_ns += (int64_t)(work / p->speed.pacing_bps);
    p->pace_remainder = work % p->speed.pacing_bps;
}

static void count_losses(struct path *p, const struct inflight_lost *lost)
{
    p->lost_pkts += lost->pkts;
    for (unsigned i = 0; i < lost->pkts; i++)
        p->loss += (1 - p->loss) / LOSS_SMOOTH;
}

void path_on_app_limited(struct path *p)
{
    rate_on_app_limited(&p->rate, p->inflight.open_bytes);
}

void path_on_sent(struct path *p, size_t wire_bytes, struct pbuf *data, bool eliciting, bool more, instant now)
{
    struct inflight_lost lost = { 0 };
    struct rate_mark mark;

    rate_on_sent(&p->rate, p->inflight.open_pkts == 0, now, &mark);
    inflight_push(&p->inflight, (uint32_t)wire_bytes, data, eliciting, &mark, now, &lost);
    count_losses(p, &lost);
    if (p->o.reliable)
        p->transport.room_bytes -= MIN(p->transport.room_bytes, wire_bytes);
    else if (eliciting) /* RFC 9002 7.7: acknowledgements are not paced; they must not keep data waiting either */
        pace(p, wire_bytes, now);
    p->sent_at = now;
    p->tx_pkts++;
    p->tx_bytes += wire_bytes;
    if (data)
        train_on_data(&p->train, now);
    if (!eliciting)
        return;
    p->tx_eliciting_pkts++;
    if (p->probe.wanted) {
        p->probe.wanted = false;
        p->probe.waiting = true;
        p->probe.counter = p->inflight.next - 1;
        p->probe.sent_at = now;
        p->probe.sent++;
    }
    liveness_on_eliciting(&p->liveness, now);
    /* A cap below the estimate, or a window that is small on purpose, limits as an application does. */
    if ((!more && window_open(p, p->o.record_bytes)) || p->speed.holding_back ||
        (p->o.rate_cap_bps > 0 && p->speed.pacing_bps == p->o.rate_cap_bps))
        path_on_app_limited(p);
}

void path_skip_counter(struct path *p, instant now)
{
    struct inflight_lost lost = { 0 };
    struct rate_mark none = { 0 };

    p->skipped[p->skipped_count++ % SKIPPED_MAX] = p->inflight.next;
    inflight_push(&p->inflight, 0, NULL, false, &none, now, &lost);
    count_losses(p, &lost);
}

static bool was_skipped(const struct path *p, const struct ack_range *r)
{
    for (unsigned i = 0; i < MIN(p->skipped_count, SKIPPED_MAX); i++)
        if (p->skipped[i] >= r->first && p->skipped[i] <= r->last)
            return true;
    return false;
}

/* 0, or -EPROTO. */
static int check_ack(const struct path *p, const struct ack *a)
{
    uint64_t above = a->largest;

    if (a->ranges_count == 0 || a->ranges_count > ACK_RANGES_MAX || a->largest >= p->inflight.next)
        return -EPROTO;
    for (unsigned i = 0; i < a->ranges_count; i++) {
        const struct ack_range *r = &a->ranges[i];

        if (r->first > r->last || (i == 0 ? r->last != a->largest : r->last >= above) ||
            r->first < p->o.first_counter || was_skipped(p, r))
            return -EPROTO;
        above = r->first;
    }
    return 0;
}

/* Records taken for lost came after all: wait longer next time. */
static void on_reordering(struct path *p, unsigned pkts)
{
    p->lost_pkts -= MIN(pkts, p->lost_pkts);
    p->loss = MAX(p->loss - pkts / LOSS_SMOOTH, 0.0);
    if (p->reordering && p->rounds > p->reordered_round)
        p->loss_eighths = MIN(p->loss_eighths + 1, LOSS_TIME_MAX);
    p->reordering = true;
    p->reordered_round = p->rounds;
}

/* Adds to lost. */
static void detect_losses(struct path *p, instant now, struct inflight_lost *lost)
{
    struct inflight_lost found = { 0 };

    if (p->o.reliable) /* what is overdue is late */
        return;
    if (p->reordering && p->rounds > p->reordered_round + CALM_ROUNDS) {
        p->reordering = false;
        p->loss_eighths = LOSS_TIME_EIGHTHS;
    }
    p->inflight.big_least = pmtu_doubtful(&p->pmtu);
    p->inflight.big_most =
        p->pmtu.state == PMTU_NEW ? 0 : pmtu_get(&p->pmtu); /* until then rounds decide, not losses */
    inflight_detect(&p->inflight, p->reordering ? 0 : LOSS_PKTS, loss_time(p), now, &found);
    count_losses(p, &found);
    pmtu_on_lost(&p->pmtu, found.big_pkts, (uint16_t)found.big_max, found.big_newest, now);
    lost->pkts += found.pkts;
    lost->bytes += found.bytes;
    lost->newest_at = MAX(lost->newest_at, found.newest_at);
    lost->run = MAX(lost->run, found.run);
    p->silent |= p->liveness.state != PATH_ACTIVE;
}

/* The first round trip: is it the path of which something is known? */
static void check_known(struct path *p, span sample, instant now)
{
    bool same = sample >= p->o.known.min_rtt / KNOWN_SHORTER && sample <= p->o.known.min_rtt * KNOWN_LONGER;

    if (p->o.known.rate_bps == 0 || same)
        return;
    forget_known(p);
    start_control(p, now);
}

/* RFC 9002 7.6: of the records of so long a time none came. */
static bool is_persistent(const struct path *p, span run)
{
    return run > PERSISTENT_TIMEOUTS * (rtt_timeout(&p->rtt, 0) + PATH_ACK_DELAY_MAX);
}

static void update_control(struct path *p, const struct ack *a, const struct inflight_acked *acked,
                           const struct inflight_lost *lost, span rtt_sample, bool newest, instant now)
{
    struct cc_ack c = {
        .acked_bytes = acked->bytes,
        .lost_bytes = lost->bytes + p->timer_lost.bytes,
        .lost_pkts = lost->pkts + p->timer_lost.pkts,
        .sent_at = acked->mark_at,
        .lost_at = MAX(lost->newest_at, p->timer_lost.newest_at),
        .persistent = is_persistent(p, MAX(lost->run, p->timer_lost.run)),
        .spurious_bytes = acked->spurious_bytes,
        .inflight_bytes = p->inflight.open_bytes,
        .rtt = rtt_sample > 0 ? MAX(rtt_sample - CLAMP((span)a->delay_us, 0, PATH_ACK_DELAY_MAX), USEC) : 0,
        .lone = newest && acked->marked && acked->mark.idle && a->delay_us <= PATH_ACK_DELAY_MAX,
        .silent = p->silent,
        .coupling = &p->coupling,
        .srtt = p->rtt.srtt,
        .min_rtt = p->rtt.min_rtt,
        .min_rtt_at = p->rtt.min_at,
    };
    span min_rtt = 0;

    p->timer_lost = (struct inflight_lost){ 0 };
    p->silent = false;
    if (acked->marked) {
        rate_on_acked(&p->rate, acked->bytes, &acked->mark, acked->mark_at, newest ? &a->rx_time_us : NULL,
                      p->rtt.min_rtt, now, &c.sample);
        if (c.sample.bps > 0 && !c.sample.app_limited) {
            p->counted = true;
            train_on_rate(&p->train, now);
        }
    }
    c.round_ended = acked->bytes > 0 && c.sample.prior_delivered >= p->next_round_delivered;
    if (c.round_ended) {
        p->next_round_delivered = p->rate.delivered;
        p->rounds++;
    }
    c.rounds = p->rounds;
    switch (p->cc->on_ack(p->control, &c, now, &min_rtt)) {
    case CC_MIN_OUTDATED:
        rtt_set_min(&p->rtt, min_rtt, now);
        break;
    case CC_MIN_RIGHT:
        rtt_settle_min(&p->rtt, now);
        break;
    default:
        break;
    }
    set_speed(p);
}

static void probe_on_ack(struct path *p, const struct ack *a, instant now)
{
    bool covered = false;

    for (unsigned i = 0; p->probe.waiting && i < a->ranges_count; i++)
        covered |= p->probe.counter >= a->ranges[i].first && p->probe.counter <= a->ranges[i].last;
    if (!covered)
        return;
    p->probe.waiting = false;
    p->probe.answered++;
    p->probe.rtt = now - p->probe.sent_at;
    if (p->probe.counter == a->largest)
        p->probe.rtt -= CLAMP((span)a->delay_us, 0, PATH_ACK_DELAY_MAX);
    p->probe.rtt = MAX(p->probe.rtt, USEC);
}

int path_on_ack(struct path *p, const struct ack *a, instant now, struct path_ack_result *ret)
{
    struct inflight_acked acked = { 0 };
    struct inflight_lost lost = { 0 };
    struct pbuf *b;
    span sample = 0;
    bool newest;
    int r = check_ack(p, a);

    if (r < 0)
        return r;
    *ret = (struct path_ack_result){ .newest_acked = a->largest };
    probe_on_ack(p, a, now);
    train_on_ack(&p->train, a, now);
    for (unsigned i = 0; i < a->ranges_count; i++)
        inflight_ack(&p->inflight, a->ranges[i].first, a->ranges[i].last, &acked);
    newest = acked.any && acked.newest == a->largest;
    while ((b = path_take_large_lost(p))) /* the doubt is over, and the owner did not want them */
        pbuf_unref(b);
    if (acked.any && !p->o.reliable)
        pmtu_on_acked(&p->pmtu, (uint16_t)acked.largest_bytes, acked.largest_counter, acked.newest, acked.probe, now);
    if (acked.pkts > 0) {
        /* RFC 9002 5.1. An acknowledgement that had no way for long tells of that, and not of the way. */
        if (newest && p->transport.rtt == 0 && (a->delay_us <= ACK_HELD || !p->rtt.sampled)) {
            sample = now - acked.newest_at;
            if (!p->rtt.sampled)
                check_known(p, sample, now);
            rtt_on_sample(&p->rtt, sample, a->delay_us, PATH_ACK_DELAY_MAX, now);
        }
        if (acked.spurious_pkts > 0 && !p->o.reliable)
            on_reordering(p, acked.spurious_pkts);
        p->abandoned_since = INSTANT_NEVER;
        /* But of a transport that says what it sends again: sample_transport_loss. */
        for (unsigned i = acked.spurious_pkts; i < acked.pkts && p->transport.sent_bytes == 0; i++)
            p->loss -= p->loss / LOSS_SMOOTH;
        detect_losses(p, now, &lost);
        update_control(p, a, &acked, &lost, sample, newest, now);
        liveness_on_acked(&p->liveness, acked.pkts, now);
    }
    if (p->liveness.state == PATH_ACTIVE)
        inflight_drop_lost_data(&p->inflight);
    inflight_trim(&p->inflight, now - 2 * loss_time(p));
    ret->acked_pkts = acked.pkts;
    ret->acked_bytes = acked.bytes;
    ret->lost_pkts = lost.pkts;
    ret->lost_bytes = lost.bytes;
    return 0;
}

struct pbuf *path_take_lost(struct path *p)
{
    struct pbuf *b;

    while ((b = inflight_take_lost(&p->inflight)) && p->loss > PATH_RESEND_LOSS)
        pbuf_unref(b);
    return b;
}

struct pbuf *path_take_told(struct path *p, bool *ret_acked)
{
    return inflight_take_told(&p->inflight, ret_acked);
}

struct pbuf *path_late(const struct path *p, span within, instant now)
{
    uint64_t bps = p->cc->info(p->control).rate_bps;
    uint64_t ahead = bps > 0 ? (uint64_t)((double)bps / 8 * (double)within / SEC) + p->o.record_bytes : UINT64_MAX;

    /* While nothing is late the rate may just not be found yet. */
    if (now - inflight_oldest(&p->inflight) < p->rtt.min_rtt * LOSS_TIME_EIGHTHS / 8 + PATH_ACK_DELAY_MAX)
        return NULL;
    return inflight_late(&p->inflight, now - loss_time(p) - PATH_ACK_DELAY_MAX, ahead);
}

span path_arrival(const struct path *p)
{
    uint64_t bps = MAX(p->cc->info(p->control).rate_bps, 1u);
    double behind = (double)(p->inflight.open_bytes + p->o.record_bytes) * 8 * SEC / (double)bps;

    return MAX(rtt_get(&p->rtt) / 2, (span)MIN(behind, (double)(60 * SEC)));
}

struct pbuf *path_take_inflight(struct path *p)
{
    return inflight_take(&p->inflight);
}

/* Acknowledgements are not paced, so that they take what they want from records that wait for their turn. On a line of
 * which the way back is a tenth of the way here, what both floors acknowledge is most of what goes back. */
static span ack_patience(const struct path *p, instant now)
{
    span patience = MIN(p->rtt.min_rtt / ACK_WAIT_PART, ACK_WAIT_MAX);

    if (path_next_send(p) <= now || p->speed.pacing_bps == 0)
        return 0;
    return MIN(patience, (span)(ACK_SHARE * ACK_BYTES * 8 * (uint64_t)SEC / p->speed.pacing_bps));
}

static void announce_ack(struct path *p, instant now)
{
    if (ackset_due(&p->ackset) > now)
        return;
    ackset_announced(&p->ackset, now);
    liveness_push(&p->liveness, (struct path_event){ .type = PATH_EVENT_ACK });
}

static void sample_delay(struct path *p, span owd, instant now)
{
    if (!p->o.summaries)
        return;
    if (now >= p->sbd.ends)
        sbd_turn(&p->sbd, owd, ackset_expected(&p->ackset), p->rx_pkts, now);
    sbd_on_sample(&p->sbd, owd);
}

void path_on_received(struct path *p, uint64_t counter, size_t wire_bytes, bool eliciting, uint16_t ts64, instant now)
{
    if (eliciting) /* acknowledgements are sent when data comes, not when it goes */
        sample_delay(p, now - ((span)ts64 << 6), now);
    p->rx_pkts++;
    p->rx_bytes += wire_bytes;
    rate_meter_add(&p->rx_meter, wire_bytes, now);
    owd_on_sample(&p->owd, ts64, now);
    ackset_add(&p->ackset, counter, wire_bytes, eliciting, ack_patience(p, now), now);
    liveness_on_received(&p->liveness, now);
    announce_ack(p, now);
}

bool path_ack_pending(const struct path *p)
{
    return ackset_worth(&p->ackset);
}

bool path_make_ack(struct path *p, instant now, struct ack *ret)
{
    return ackset_make(&p->ackset, now, ret);
}

bool path_take_summary(struct path *p, instant now, struct path_summary *ret)
{
    if (!p->o.summaries)
        return false;
    sbd_on_expiry(&p->sbd, ackset_expected(&p->ackset), p->rx_pkts, now);
    return sbd_take(&p->sbd, ret);
}

/* Nothing in flight will be acknowledged. An outage says nothing about the share that is lost while the path works. */
static void abandon(struct path *p)
{
    struct inflight_lost lost = { 0 };

    inflight_abandon(&p->inflight, &lost);
    p->lost_pkts += lost.pkts;
}

/* What follows when liveness took the path down: nothing is in flight any more, and what is known of it is old. */
static void after_change(struct path *p, enum path_state old, instant now)
{
    if (p->liveness.state != PATH_DOWN || old == PATH_DOWN)
        return;
    abandon(p);
    forget_known(p);
    start_control(p, now);
    set_speed(p);
    pmtu_restart(&p->pmtu, now); /* it may come back over another route */
}

void path_on_link(struct path *p, bool up, instant now)
{
    enum path_state old = p->liveness.state;

    liveness_on_link(&p->liveness, up, now);
    after_change(p, old, now);
}

void path_on_send_error(struct path *p, instant now)
{
    liveness_on_send_error(&p->liveness, now);
}

/* The share of what it sent in vain, of a good part of what it has sent since. */
static void sample_transport_loss(struct path *p, const struct path_transport *t)
{
    uint64_t sent = t->sent_bytes - p->transport.sent_bytes, resent = t->resent_bytes - p->transport.resent_bytes;

    if (t->sent_bytes < p->transport.sent_bytes || sent == 0) /* it is another connection, or nothing is new */
        return;
    if (t->resent_bytes < p->transport.resent_bytes)
        resent = 0;
    p->loss += (MIN((double)resent / (double)sent, 1.) - p->loss) *
               MIN((double)sent / (LOSS_SMOOTH * (double)p->o.record_bytes), 1.);
}

void path_on_transport(struct path *p, const struct path_transport *t, instant now)
{
    const struct cc_transport c = {
        .room_bytes = t->room_bytes,
        .inflight_bytes = p->inflight.open_bytes,
        .rate_bps = t->rate_bps,
        .rate_is_lower_bound = t->rate_is_lower_bound,
    };

    if (!p->o.reliable)
        return;
    sample_transport_loss(p, t);
    if (t->acked_bytes != p->transport.acked_bytes)
        liveness_on_moved(&p->liveness, now);
    p->counted |= t->rate_bps > 0 && !t->rate_is_lower_bound;
    p->transport = *t;
    if (t->rtt > 0)
        rtt_on_told(&p->rtt, t->rtt, t->rttvar, t->min_rtt, now);
    p->cc->on_transport(p->control, &c);
    set_speed(p);
}

bool path_on_abandoned(struct path *p, uint64_t counter)
{
    struct inflight_lost lost = { 0 };

    if (!p->o.reliable || !inflight_give_up(&p->inflight, counter, &lost))
        return false;
    count_losses(p, &lost);
    p->abandoned_since = instant_min(p->abandoned_since, lost.newest_at);
    return true;
}

void path_on_transport_lost(struct path *p, instant now)
{
    enum path_state old = p->liveness.state;

    if (!p->o.reliable)
        return;
    p->transport = (struct path_transport){ 0 };
    p->abandoned_since = INSTANT_NEVER;
    liveness_on_lost(&p->liveness, now);
    if (old == PATH_DOWN)
        abandon(p);
    after_change(p, old, now);
}

void path_set_busy(struct path *p, bool busy, instant now)
{
    liveness_set_busy(&p->liveness, busy);
}

void path_set_missed(struct path *p, bool missed)
{
    liveness_set_missed(&p->liveness, missed);
}

void path_hurry(struct path *p, instant now)
{
    liveness_hurry(&p->liveness, now);
}

void path_probe(struct path *p)
{
    p->probe.wanted = true;
    liveness_push(&p->liveness, (struct path_event){ .type = PATH_EVENT_PROBE, .train = 1 });
}

void path_set_rate_cap(struct path *p, uint64_t bps)
{
    p->o.rate_cap_bps = bps;
    set_speed(p);
}

void path_set_congestion(struct path *p, enum cc kind, instant now)
{
    const struct cc_info was = p->cc->info(p->control);
    struct cc_start start = {
        .record_bytes = p->o.record_bytes,
        .initial_rtt = p->rtt.initial,
        .window_bytes = p->speed.window_bytes,
        .rate_bps = was.rate_bps,
        .sought = was.sought && !p->speed.holding_back,
    };

    if (p->cc == cc_get(kind) || p->o.reliable)
        return;
    if (was.rate_bps > 0) { /* what is carried in a round trip now, so that no burst follows */
        double carried = (double)was.rate_bps / 8 * (double)rtt_get(&p->rtt) / SEC;

        start.window_bytes = (uint64_t)CLAMP(carried, 1, p->speed.holding_back ? 1e15 : (double)start.window_bytes);
    }
    p->o.congestion = kind;
    p->cc = cc_get(kind);
    p->cc->init(p->control, &start, now);
    set_speed(p);
}

enum cc path_congestion(const struct path *p)
{
    return p->o.congestion;
}

void path_get_share(const struct path *p, struct cc_share *ret)
{
    *ret = (struct cc_share){
        .window_bytes = (double)p->speed.window_bytes,
        .rtt = (double)rtt_get(&p->rtt) / SEC,
        .unharmed_bytes = (double)p->cc->info(p->control).unharmed_bytes,
    };
}

bool path_is_carrying(const struct path *p)
{
    return p->inflight.open_pkts > 0 && p->rtt.sampled;
}

void path_set_coupling(struct path *p, const struct cc_coupling *c)
{
    p->coupling = *c;
}

void path_on_migrated(struct path *p, instant now)
{
    forget_known(p);
    if (p->o.reliable) { /* over another connection: what the former had is gone */
        p->transport = (struct path_transport){ 0 };
        abandon(p);
        inflight_drop_lost_data(&p->inflight);
    }
    start_measuring(p, now);
    p->owd.sampled = false;
    sbd_deinit(&p->sbd);
    train_init(&p->train, now);
    set_speed(p);
    pmtu_restart(&p->pmtu, now);
}

void path_rest(struct path *p)
{
    inflight_shrink(&p->inflight);
}

/* A path that is down is not measured. */
static bool carries(const struct path *p)
{
    return p->liveness.state == PATH_ACTIVE || p->liveness.state == PATH_SUSPECTED;
}

/* Until a probe of the size is overdue: it may stand behind a queue that has just grown. */
static span probe_timeout(const struct path *p)
{
    return 2 * suspect_timeout(p);
}

size_t path_size_probe(const struct path *p, instant now)
{
    return carries(p) && !p->o.reliable ? pmtu_next_probe(&p->pmtu, now) : 0;
}

void path_on_size_probe(struct path *p, size_t wire_bytes, instant now)
{
    struct inflight_lost lost = { 0 };
    struct rate_mark mark;

    /* Logged as a record that nobody waits for: its loss says nothing about congestion or about life (RFC 8899 3). */
    rate_on_sent(&p->rate, p->inflight.open_pkts == 0, now, &mark);
    pmtu_on_probe(&p->pmtu, p->inflight.next, now);
    inflight_push(&p->inflight, (uint32_t)wire_bytes, NULL, false, &mark, now, &lost);
    count_losses(p, &lost);
    p->tx_bytes += wire_bytes; /* but no packet of which a share is lost */
}

/* A path of which the size is still sought has other records on their way. */
static bool may_train(const struct path *p)
{
    return p->o.trains && !p->o.reliable && p->liveness.state == PATH_ACTIVE && p->rtt.sampled;
}

size_t path_train_record(const struct path *p, instant now)
{
    return may_train(p) && train_wants(&p->train) ? path_mtu(p) : 0;
}

void path_on_train_record(struct path *p, size_t wire_bytes, instant now)
{
    struct inflight_lost lost = { 0 };
    struct rate_mark mark;

    rate_on_sent(&p->rate, p->inflight.open_pkts == 0, now, &mark);
    train_on_sent(&p->train, p->inflight.next, wire_bytes, probe_timeout(p) + SEC, now);
    inflight_push(&p->inflight, (uint32_t)wire_bytes, NULL, false, &mark, now, &lost); /* as a probe of the size */
    count_losses(p, &lost);
    p->tx_bytes += wire_bytes;
}

void path_on_size_hint(struct path *p, size_t wire_bytes, instant now)
{
    pmtu_on_hint(&p->pmtu, (uint16_t)MIN(wire_bytes, (size_t)UINT16_MAX), now);
}

struct pbuf *path_take_large_lost(struct path *p)
{
    if (p->inflight.kept_next == 0 || p->pmtu.lost_pkts > 0 || p->pmtu.state == PMTU_DOUBTED)
        return NULL;
    return inflight_take_kept(&p->inflight);
}

size_t path_mtu(const struct path *p)
{
    return pmtu_get(&p->pmtu);
}

instant path_next_expiry(const struct path *p)
{
    instant t = liveness_expiry(&p->liveness, waits_since(p), suspect_timeout(p));

    t = instant_min(t, ackset_due(&p->ackset));
    if (p->o.reliable)
        return t;
    if (carries(p))
        t = instant_min(t, pmtu_expiry(&p->pmtu, probe_timeout(p), p->rtt.srtt));
    if (may_train(p))
        t = instant_min(t, train_expiry(&p->train));
    return instant_min(t, inflight_loss_at(&p->inflight, loss_time(p)));
}

void path_on_expiry(struct path *p, instant now)
{
    enum path_state old = p->liveness.state;
    instant probe_at = p->liveness.probe_at;

    announce_ack(p, now);
    if (inflight_loss_at(&p->inflight, loss_time(p)) <= now)
        detect_losses(p, now, &p->timer_lost);
    liveness_on_expiry(&p->liveness, waits_since(p), suspect_timeout(p), now);
    if (p->liveness.probe_at != probe_at && (old == PATH_DOWN || (old == PATH_PROBING && p->liveness.timeouts > 0))) {
        abandon(p); /* the probe before this one */
        inflight_trim(&p->inflight, now - ABANDONED_KEPT);
    }
    if (carries(p) && !p->o.reliable)
        pmtu_on_expiry(&p->pmtu, probe_timeout(p), p->rtt.srtt, now);
    if (may_train(p))
        train_on_expiry(&p->train, p->inflight.open_pkts == 0, now);
    after_change(p, old, now);
}

bool path_pop_event(struct path *p, struct path_event *ret)
{
    return liveness_pop(&p->liveness, ret);
}

span path_owd_difference(span a, span b)
{
    return owd_wrap(a - b);
}

void path_get_metrics(const struct path *p, instant now, struct path_metrics *ret)
{
    struct cc_info control = p->cc->info(p->control);

    *ret = (struct path_metrics){
        .state = p->liveness.state,
        .why = p->liveness.why,
        .state_since = p->liveness.state_since,
        .srtt = p->rtt.srtt,
        .rttvar = p->rtt.rttvar,
        .min_rtt = p->rtt.min_rtt,
        .rx_jitter = owd_jitter(&p->owd),
        .rx_owd = owd_get(&p->owd),
        .rx_owd_peak = owd_peak(&p->owd, now),
        .queue = MAX(p->rtt.srtt - p->rtt.min_rtt, 0),
        .loss = p->loss,
        .rate_bps = control.rate_bps,
        .rate_is_sought = control.sought,
        .rate_is_lower_bound = !p->counted,
        .idle_bps = p->train.bps,
        .idle_is_lower_bound = p->train.at_least,
        .train_bytes = p->train.sent_bytes,
        .rx_rate_bps = rate_meter_bps(&p->rx_meter, now),
        .inflight_bytes = p->inflight.open_bytes,
        .window_bytes = p->speed.window_bytes,
        .pacing_bps = p->speed.pacing_bps,
        .tx_pkts = p->tx_pkts,
        .tx_eliciting_pkts = p->tx_eliciting_pkts,
        .tx_bytes = p->tx_bytes,
        .rx_pkts = p->rx_pkts,
        .rx_bytes = p->rx_bytes,
        .lost_pkts = p->lost_pkts,
        .probes_sent = p->probe.sent,
        .probes_answered = p->probe.answered,
        .probe_rtt = p->probe.rtt,
    };
}

enum path_state path_state(const struct path *p)
{
    return p->liveness.state;
}

const char *path_state_name(enum path_state s)
{
    static const char *const names[] = {
        [PATH_PROBING] = "probing",
        [PATH_ACTIVE] = "active",
        [PATH_SUSPECTED] = "suspected",
        [PATH_DOWN] = "down",
    };

    return (unsigned)s < PATH_STATE_COUNT ? names[s] : "unknown";
}

const char *path_why_name(enum path_why w)
{
    static const char *const names[] = {
        [PATH_WHY_NEW] = "new",
        [PATH_WHY_VALIDATED] = "validated",
        [PATH_WHY_ACK_OVERDUE] = "acknowledgement overdue",
        [PATH_WHY_PROBES_LOST] = "probes lost",
        [PATH_WHY_LINK_DOWN] = "link down",
        [PATH_WHY_SEND_ERROR] = "send error",
        [PATH_WHY_ACKED] = "acknowledged",
    };

    return (unsigned)w < PATH_WHY_COUNT ? names[w] : "unknown";
}
