/* One TCP flow in virtual time: see tcp.h.
 *
 * Theory of operation. The scoreboard is a ring of flags; `pipe` counts the segments that are neither acknowledged nor
 * lost, and these hang in a list in the order of their sending. Every acknowledgement is taken in four steps: what is
 * newly acknowledged (round trip RFC 6298, delivery rate draft-cheng-iccrg-delivery-rate-estimation), whether the last
 * cut was in error, what is lost (tcp_loss.c), and what the congestion control makes of it. A recovery lasts until all
 * that was sent before it is acknowledged and cuts the window once (RFC 6675). The retransmission timer has 200 ms at
 * least, as in Linux.
 *
 * What is simpler than Linux: a sender that can always send, so no sample of the rate is limited by the application; no
 * proportional rate reduction (RFC 6937): the pipe drains to the new window, and then goes on; no limit by the
 * receiver; no segment offload; every segment's round trip is a sample, where Linux takes one an acknowledgement.
 *
 * Limits: 32,768 segments outstanding. */
#include "sim/tcp.h"

#include <errno.h>
#include <stdlib.h>

#include "sim/tcp_loss.h"

#define RTO_MIN (200 * MSEC)
#define RTO_MAX (60 * SEC)
#define ACK_DELAY (20 * MSEC) /* chosen: Linux's is 40 ms and more, and rarely waited for by a bulk flow */
#define INITIAL_WINDOW 10     /* RFC 6928 */
#define LOSS_WINDOW 2         /* chosen: RFC 5681 3.1 has 1; two are acknowledged without a delay */

/* --- sender --- */

int tcp_sender_init(struct tcp_sender *s, const struct tcp_options *options, uint64_t limit, instant now)
{
    *s = (struct tcp_sender){
        .cc = options && options->cc ? options->cc : &tcp_cc_cubic_bare,
        .loss = options ? options->loss : TCP_LOSS_THRESHOLD,
        .limit = limit,
        .cwnd = INITIAL_WINDOW,
        .ssthresh = TCP_SSTHRESH_NONE,
        .rto = 1 * SEC, /* RFC 6298 2.1 */
        .rto_at = INSTANT_NEVER,
        .delivered_at = now,
        .first_sent = now,
        .quantum = 1,
    };
    s->segs = calloc(TCP_RING, sizeof(*s->segs));
    if (!s->segs)
        return -ENOMEM;
    tcp_loss_init(s);
    s->cc->init(s, now);
    return 0;
}

void tcp_sender_deinit(struct tcp_sender *s)
{
    free(s->segs);
    s->segs = NULL;
}

static void transmit(struct tcp_sender *s, uint64_t seg, bool again, instant now)
{
    struct tcp_segment *g = tcp_seg_at(s, seg);

    if (s->pipe == 0)
        s->first_sent = s->delivered_at = now;
    *g = (struct tcp_segment){
        .sent = now,
        .first_sent = s->first_sent,
        .delivered_at = s->delivered_at,
        .delivered = s->delivered,
        .flags = (uint8_t)(TCP_SEG_SENT | (again ? TCP_SEG_AGAIN : 0)),
    };
    tcp_flight_add(s, seg);
    if (again) {
        s->retransmits++;
        if (s->undo.possible) {
            s->undo.pending++;
            if (!s->undo.resent)
                s->undo.resent_ts = tcp_timestamp(now);
            s->undo.resent = true;
        }
    }
    if (s->pacing > 0) {
        if (s->quantum_left > 0)
            s->quantum_left--;
        s->pace_ns = MAX(s->pace_ns, now * 1000) + (int64_t)(1e9 / s->pacing);
    }
}

static bool more_to_send(const struct tcp_sender *s)
{
    return (s->limit == 0 || s->next < s->limit) && s->next - s->una < TCP_RING / 2;
}

static instant paced_until(const struct tcp_sender *s)
{
    return s->pacing > 0 && s->quantum_left == 0 ? (s->pace_ns + 999) / 1000 : 0;
}

/* The timers as they are to be when nothing more can be sent. */
static void rearm(struct tcp_sender *s, bool sent, instant now)
{
    if (s->una == s->next)
        s->rto_at = INSTANT_NEVER;
    else if (s->rto_at == INSTANT_NEVER)
        s->rto_at = now + s->rto;
    tcp_loss_rearm(s, sent, now);
}

/* Whatever the window and the pace are. */
static uint64_t probe(struct tcp_sender *s, instant now)
{
    bool again = s->rack.probe_again;
    uint64_t seg = again ? s->next - 1 : s->next++;

    if (again)
        tcp_take_for_lost(s, seg);
    transmit(s, seg, again, now);
    s->probes++;
    s->rack.probe_now = false;
    s->rack.probe = s->next;
    s->rto_at = now + s->rto;
    return seg;
}

bool tcp_sender_output(struct tcp_sender *s, instant now, uint64_t *ret_seg)
{
    if (s->rack.probe_now) {
        *ret_seg = probe(s, now);
        return true;
    }
    if (s->pacing > 0 && s->quantum_left == 0) {
        if (paced_until(s) > now) {
            rearm(s, false, now);
            return false;
        }
        s->quantum_left = s->quantum;
    }
    if ((double)s->pipe < s->cwnd) {
        while (s->lost_from < s->next && !(tcp_seg_at(s, s->lost_from)->flags & TCP_SEG_LOST))
            s->lost_from++;
        if (s->lost_from < s->next) {
            *ret_seg = s->lost_from;
            transmit(s, *ret_seg, true, now);
            return true;
        }
        if (more_to_send(s)) {
            *ret_seg = s->next++;
            transmit(s, *ret_seg, false, now);
            rearm(s, true, now);
            return true;
        }
    }
    rearm(s, false, now);
    return false;
}

static void rtt_sample(struct tcp_sender *s, span rtt)
{
    if (s->srtt == 0) {
        s->srtt = rtt;
        s->rttvar = rtt / 2;
    } else {
        span d = rtt > s->srtt ? rtt - s->srtt : s->srtt - rtt;

        s->rttvar += (d - s->rttvar) / 4;
        s->srtt += (rtt - s->srtt) / 8;
    }
    s->rto = CLAMP(s->srtt + MAX(4 * s->rttvar, RTO_MIN), RTO_MIN, RTO_MAX);
}

/* What the samples of one acknowledgement come from. */
struct gathering {
    struct tcp_sample m;
    const struct tcp_ack *ack;
    instant newest_at; /* `delivered_at` when the newest was sent */
    span send_span;
    bool any;
};

/* The first word of a segment, in whatever way. */
static void segment_acked(struct tcp_sender *s, uint64_t seg, struct gathering *g, instant now)
{
    struct tcp_segment *p = tcp_seg_at(s, seg);

    g->m.acked++;
    s->delivered++;
    s->delivered_at = now;
    tcp_loss_on_acked(s, seg, g->ack, now);
    /* The newest segment says how much was delivered since it was sent (draft-cheng 3.3). */
    if (!g->any || p->delivered >= g->m.before) {
        g->any = true;
        g->m.before = p->delivered;
        g->newest_at = p->delivered_at;
        g->send_span = p->sent - p->first_sent;
        s->first_sent = p->sent;
    }
    if (!(p->flags & TCP_SEG_LOST))
        tcp_flight_remove(s, seg);
    if (!(p->flags & TCP_SEG_AGAIN)) {
        span rtt = now - p->sent;

        rtt_sample(s, rtt);
        g->m.rtt = g->m.rtt < 0 ? rtt : MIN(g->m.rtt, rtt);
    }
}

static void sack_mark(struct tcp_sender *s, uint64_t first, uint64_t end, struct gathering *g, instant now)
{
    for (uint64_t i = MAX(first, s->una); i < MIN(end, s->next); i++) {
        if (tcp_seg_at(s, i)->flags & TCP_SEG_SACKED)
            continue;
        segment_acked(s, i, g, now);
        tcp_seg_at(s, i)->flags = TCP_SEG_SACKED;
        s->highest_sacked = MAX(s->highest_sacked, i);
        s->rack.sacked++;
    }
}

static void rate_sample(const struct tcp_sender *s, struct gathering *g, instant now)
{
    span t;

    if (!g->any)
        return;
    t = MAX(g->send_span, now - g->newest_at);
    /* Shorter than the shortest round trip: acknowledgements came in a heap. */
    if (t > 0 && t >= s->rack.min_rtt)
        g->m.rate = (double)(s->delivered - g->m.before) * SEC / (double)t;
}

static void undo_remember(struct tcp_sender *s)
{
    s->undo = (struct tcp_undo){ .possible = true, .from = s->una, .cwnd = s->cwnd, .ssthresh = s->ssthresh };
}

/* Was the last cut an error? Either all that was sent again came twice (RFC 3708), or what filled the hole was sent
 * before the first retransmission (Eifel, RFC 3522). Then the window is as before, and what was marked as lost but not
 * sent again is in flight. */
static void undo_check(struct tcp_sender *s, const struct tcp_ack *ack, bool advanced)
{
    struct tcp_undo *u = &s->undo;
    bool original;

    if (s->loss != TCP_LOSS_RACK || !u->possible)
        return;
    if (ack->duplicate != TCP_NONE && ack->duplicate >= u->from)
        u->pending--;
    original = advanced && u->resent && ack->has_echo && (int32_t)(ack->echo - u->resent_ts) < 0;
    if (!original && !(u->resent && u->pending <= 0))
        return;
    s->undone++;
    u->possible = false;
    s->recovering = s->timed_out = false;
    s->cwnd = MAX(s->cwnd, u->cwnd);
    s->ssthresh = MAX(s->ssthresh, u->ssthresh);
    for (uint64_t i = s->una; i < s->next; i++) {
        struct tcp_segment *g = tcp_seg_at(s, i);

        if (g->flags & TCP_SEG_LOST) {
            g->flags &= (uint8_t)~TCP_SEG_LOST;
            tcp_flight_add(s, i);
        }
    }
    if (s->cc->on_undo)
        s->cc->on_undo(s);
}

/* After anything was found lost. What the timer did stands for all that had been sent before it, but for
 * retransmissions that are lost once more (Linux); by threshold every loss counts. */
static void lost_react(struct tcp_sender *s, double acked, instant now)
{
    if (s->recovering || (s->timed_out && s->loss == TCP_LOSS_RACK && !s->lost_again))
        return;
    s->timed_out = false;
    s->recovering = true;
    s->recoveries++;
    s->recover = s->next;
    undo_remember(s);
    s->cc->on_loss(s, acked, now);
}

void tcp_sender_on_ack(struct tcp_sender *s, const struct tcp_ack *ack, instant now)
{
    struct gathering g = { .m = { .rtt = -1, .flight = s->pipe }, .ack = ack };
    bool advanced = ack->next > s->una, repaired;

    if (ack->next > s->next || ack->next < s->una)
        return;
    s->lost_again = false;
    for (uint64_t i = s->una; i < ack->next; i++) {
        if (tcp_seg_at(s, i)->flags & TCP_SEG_SACKED)
            s->rack.sacked--;
        else
            segment_acked(s, i, &g, now);
        tcp_seg_at(s, i)->flags = 0;
    }
    if (advanced)
        s->rto_at = INSTANT_NEVER;
    s->una = ack->next;
    s->lost_from = MAX(s->lost_from, ack->next);
    for (unsigned i = 0; i < ack->blocks; i++)
        sack_mark(s, ack->sack[i].first, ack->sack[i].end, &g, now);
    rate_sample(s, &g, now);
    undo_check(s, ack, advanced);
    if ((s->recovering || s->timed_out) && ack->next >= s->recover) {
        s->recovering = s->timed_out = false;
        tcp_loss_on_recovered(s);
        if (s->cc->on_recovered)
            s->cc->on_recovered(s);
    }
    repaired = tcp_loss_probe_repaired(s, ack);
    g.m.lost = tcp_loss_on_ack(s, ack, advanced, now);
    if (g.m.lost > 0 || repaired)
        lost_react(s, g.m.acked, now);
    g.m.limited = (double)s->pipe + g.m.acked + 1 >= s->cwnd / 2;
    if (g.m.acked > 0)
        s->cc->on_ack(s, &g.m, now);
}

static void timed_out(struct tcp_sender *s, instant now)
{
    s->timeouts++;
    /* A second timeout in a row cuts nothing more (RFC 5681 3.1). */
    if (!s->timed_out) {
        undo_remember(s);
        s->cc->on_timeout(s, now);
    }
    s->recover = s->next;
    s->recovering = false;
    s->timed_out = true;
    tcp_loss_on_timeout(s, now);
    s->cwnd = (double)s->pipe + LOSS_WINDOW;
    s->rto = MIN(s->rto * 2, RTO_MAX);
    s->rto_at = INSTANT_NEVER;
}

instant tcp_sender_next_expiry(const struct tcp_sender *s)
{
    instant at = instant_min(s->rto_at, instant_min(s->rack.at, s->rack.probe_at));

    if (s->pacing > 0 && s->quantum_left == 0 && (double)s->pipe < s->cwnd &&
        (more_to_send(s) || s->lost_from < s->next))
        at = instant_min(at, paced_until(s));
    return at;
}

void tcp_sender_on_expiry(struct tcp_sender *s, instant now)
{
    s->lost_again = false;
    if (s->rack.at <= now && tcp_loss_on_expiry(s, now) > 0)
        lost_react(s, 0, now);
    if (s->rack.probe_at <= now && tcp_loss_probe_due(s, more_to_send(s)))
        return;
    if (s->rto_at <= now)
        timed_out(s, now);
}

/* --- receiver --- */

int tcp_receiver_init(struct tcp_receiver *r)
{
    *r = (struct tcp_receiver){ .ack_at = INSTANT_NEVER, .duplicate = TCP_NONE };
    r->got = calloc(TCP_RING, 1);
    return r->got ? 0 : -ENOMEM;
}

void tcp_receiver_deinit(struct tcp_receiver *r)
{
    free(r->got);
    r->got = NULL;
}

static bool have(const struct tcp_receiver *r, uint64_t seg)
{
    return seg < r->next || (seg - r->next < TCP_RING && r->got[seg % TCP_RING]);
}

bool tcp_receiver_on_segment(struct tcp_receiver *r, uint64_t seg, const uint32_t *ts, instant now)
{
    bool odd = true, known = have(r, seg) || seg - r->next >= TCP_RING;

    /* RFC 7323 4.3: the echo is that of the last segment in order. */
    if (ts && seg <= r->acked && (!r->has_echo || (int32_t)(*ts - r->echo) >= 0)) {
        r->has_echo = true;
        r->echo = *ts;
    }
    r->last = seg;
    if (known) {
        r->duplicates++;
        r->duplicate = seg;
    } else {
        if (seg < r->highest)
            r->reordered++;
        r->highest = MAX(r->highest, seg);
        r->got[seg % TCP_RING] = 1;
        if (seg == r->next) {
            odd = r->highest > seg; /* it fills a gap: RFC 5681 4.2 */
            while (have(r, r->next)) {
                r->got[r->next % TCP_RING] = 0;
                r->next++;
                odd |= r->next <= r->highest && !have(r, r->next);
            }
        }
    }
    if (odd || ++r->unacked >= 2)
        r->ack_now = true;
    else
        r->ack_at = now + ACK_DELAY;
    return !known;
}

/* The run of received segments around seg, not below the cumulative acknowledgement. */
static bool run_around(const struct tcp_receiver *r, uint64_t seg, uint64_t *first, uint64_t *end)
{
    if (seg < r->next || !have(r, seg))
        return false;
    for (*first = seg; *first > r->next && have(r, *first - 1);)
        --*first;
    for (*end = seg + 1; *end <= r->highest && have(r, *end);)
        ++*end;
    return true;
}

bool tcp_receiver_output(struct tcp_receiver *r, unsigned max, struct tcp_ack *ret_ack, instant now)
{
    uint64_t first, end, at = r->highest;
    unsigned n = 0;

    if (!r->ack_now && r->ack_at > now)
        return false;
    *ret_ack = (struct tcp_ack){ .next = r->next, .duplicate = r->duplicate, .has_echo = r->has_echo, .echo = r->echo };
    if (r->highest >= r->next) {
        if (run_around(r, r->last, &first, &end)) {
            ret_ack->sack[n].first = first;
            ret_ack->sack[n++].end = end;
        }
        /* Downwards from the highest run; the newest first run may stand there twice. */
        while (n < max && at > r->next && run_around(r, at, &first, &end)) {
            ret_ack->sack[n].first = first;
            ret_ack->sack[n++].end = end;
            for (at = first; at > r->next && !have(r, at - 1);)
                at--;
            if (at <= r->next)
                break;
            at--;
        }
    }
    ret_ack->blocks = n;
    r->acked = r->next;
    r->duplicate = TCP_NONE;
    r->unacked = 0;
    r->ack_now = false;
    r->ack_at = INSTANT_NEVER;
    return true;
}

instant tcp_receiver_next_expiry(const struct tcp_receiver *r)
{
    return r->ack_now ? 0 : r->ack_at;
}
