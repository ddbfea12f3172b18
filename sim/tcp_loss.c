/* Loss detection of a simulated TCP sender: see tcp_loss.h.
 *
 * Theory of operation. By threshold: a segment is lost when three above it, sent no earlier, are acknowledged (RFC
 * 6675; the packet threshold of RFC 9002 6.1.1 comes to the same with one number a packet); a lost retransmission is
 * found in the same way. By RACK-TLP (RFC 8985): a segment is lost when one sent after it is acknowledged and a
 * reordering window has passed on top of the round trip. The window is none until reordering was seen, then a quarter
 * of the shortest round trip, and a quarter more for each round with a segment that was needlessly sent again, up to
 * srtt. What waits for its window has a timer; a tail that nothing follows is probed.
 *
 * The list of what is in flight is in the order of sending, so RACK looks only at what was sent before the newest
 * acknowledged. What an undone recovery takes back (tcp.c) joins the list at its end and is judged a round trip later;
 * Linux does not judge it again at all. */
#include "sim/tcp_loss.h"

#define THRESHOLD 3                  /* RFC 5681 3.2, RFC 9002 6.1.1, RFC 8985 DupThresh */
#define WND_PERSIST 16               /* recoveries: RFC 8985 6.2 step 4 */
#define WND_DIVISOR 4                /* the same */
#define PROBE_ACK_DELAY (200 * MSEC) /* RFC 8985 7.2 TLP.max_ack_delay, as in Linux */
#define PROBE_UNMEASURED (1 * SEC)   /* RFC 8985 7.2 */

void tcp_loss_init(struct tcp_sender *s)
{
    s->oldest = s->newest = TCP_RING;
    s->rack = (struct tcp_rack){
        .wnd_mult = 1, .duplicate_round = TCP_NONE, .at = INSTANT_NEVER, .probe_at = INSTANT_NEVER, .probe = TCP_NONE
    };
}

/* --- in flight --- */

void tcp_flight_add(struct tcp_sender *s, uint64_t seg)
{
    uint32_t at = (uint32_t)(seg % TCP_RING);
    struct tcp_segment *g = &s->segs[at];

    g->newer = TCP_RING;
    g->older = s->newest;
    if (s->newest != TCP_RING)
        s->segs[s->newest].newer = at;
    else
        s->oldest = at;
    s->newest = at;
    s->pipe++;
}

void tcp_flight_remove(struct tcp_sender *s, uint64_t seg)
{
    const struct tcp_segment *g = tcp_seg_at(s, seg);

    if (g->older != TCP_RING)
        s->segs[g->older].newer = g->newer;
    else
        s->oldest = g->newer;
    if (g->newer != TCP_RING)
        s->segs[g->newer].older = g->older;
    else
        s->newest = g->older;
    s->pipe--;
}

void tcp_take_for_lost(struct tcp_sender *s, uint64_t seg)
{
    struct tcp_segment *g = tcp_seg_at(s, seg);

    tcp_flight_remove(s, seg);
    g->flags |= TCP_SEG_LOST;
    s->lost_again |= (g->flags & TCP_SEG_AGAIN) != 0;
    s->lost_from = MIN(s->lost_from, seg);
}

static bool in_flight(struct tcp_sender *s, uint64_t seg)
{
    return (tcp_seg_at(s, seg)->flags & (TCP_SEG_SENT | TCP_SEG_LOST)) == TCP_SEG_SENT;
}

/* The number of the segment at a place of the ring. */
static uint64_t number_at(const struct tcp_sender *s, uint32_t at)
{
    return s->una + (at - s->una) % TCP_RING;
}

/* --- by threshold --- */

static uint64_t find_by_threshold(struct tcp_sender *s)
{
    instant sent[THRESHOLD] = { -1, -1, -1 }; /* newest times of acknowledged segments above, descending */
    uint64_t lost = 0;

    if (s->highest_sacked < s->una)
        return 0;
    for (uint64_t i = s->highest_sacked + 1; i-- > s->una;) {
        const struct tcp_segment *g = tcp_seg_at(s, i);

        if (g->flags & TCP_SEG_SACKED) {
            instant at = g->sent;

            for (unsigned j = 0; j < THRESHOLD; j++) {
                if (at > sent[j]) {
                    instant lower = sent[j];

                    sent[j] = at;
                    at = lower;
                }
            }
        } else if (in_flight(s, i) && sent[THRESHOLD - 1] >= g->sent) {
            tcp_take_for_lost(s, i);
            lost++;
        }
    }
    return lost;
}

/* --- RACK --- */

static bool sent_after(instant t1, uint64_t seg1, instant t2, uint64_t seg2)
{
    return t1 > t2 || (t1 == t2 && seg1 > seg2);
}

void tcp_loss_on_acked(struct tcp_sender *s, uint64_t seg, const struct tcp_ack *ack, instant now)
{
    const struct tcp_segment *g = tcp_seg_at(s, seg);
    struct tcp_rack *r = &s->rack;
    span rtt = now - g->sent;
    bool again = g->flags & TCP_SEG_AGAIN;

    if (seg > r->fack)
        r->fack = seg;
    else if (seg < r->fack && !again)
        r->reordering_seen = true;
    /* An acknowledgement of the original says nothing about the retransmission. The echo tells only what is in order:
     * beyond a gap it is an older one (RFC 7323 4.3). */
    if (again &&
        (rtt < r->min_rtt || (seg < ack->next && ack->has_echo && (int32_t)(ack->echo - tcp_timestamp(g->sent)) < 0)))
        return;
    if (!again)
        r->min_rtt = r->min_rtt == 0 ? rtt : MIN(r->min_rtt, rtt);
    r->rtt = rtt;
    if (sent_after(g->sent, seg, r->sent, r->seg)) {
        r->sent = g->sent;
        r->seg = seg;
    }
}

static span reordering_window(const struct tcp_sender *s)
{
    const struct tcp_rack *r = &s->rack;

    if (!r->reordering_seen && (s->recovering || s->timed_out || r->sacked >= THRESHOLD))
        return 0;
    return MIN(r->wnd_mult * r->min_rtt / WND_DIVISOR, s->srtt);
}

static uint64_t find_by_time(struct tcp_sender *s, instant now)
{
    struct tcp_rack *r = &s->rack;
    span wnd = reordering_window(s), wait = 0;
    uint64_t lost = 0;

    for (uint32_t at = s->oldest, newer; at != TCP_RING; at = newer) {
        const struct tcp_segment *g = &s->segs[at];
        uint64_t seg = number_at(s, at);
        span left = g->sent + r->rtt + wnd - now;

        if (!sent_after(r->sent, r->seg, g->sent, seg))
            break;
        newer = g->newer;
        if (left <= 0) {
            tcp_take_for_lost(s, seg);
            lost++;
        } else {
            wait = MAX(wait, left);
        }
    }
    r->at = wait > 0 ? now + wait : INSTANT_NEVER;
    return lost;
}

static void window_adapt(struct tcp_sender *s, const struct tcp_ack *ack)
{
    struct tcp_rack *r = &s->rack;

    if (r->duplicate_round != TCP_NONE && s->una >= r->duplicate_round)
        r->duplicate_round = TCP_NONE;
    if (ack->duplicate != TCP_NONE && r->duplicate_round == TCP_NONE) {
        r->duplicate_round = s->next;
        r->wnd_mult++;
        r->wnd_persist = WND_PERSIST;
    }
}

uint64_t tcp_loss_on_ack(struct tcp_sender *s, const struct tcp_ack *ack, bool advanced, instant now)
{
    if (s->loss == TCP_LOSS_THRESHOLD)
        return find_by_threshold(s);
    if (advanced)
        s->rack.probe_at = INSTANT_NEVER;
    window_adapt(s, ack);
    return find_by_time(s, now);
}

void tcp_loss_on_recovered(struct tcp_sender *s)
{
    struct tcp_rack *r = &s->rack;

    if (r->wnd_persist > 0 && --r->wnd_persist == 0)
        r->wnd_mult = 1;
}

uint64_t tcp_loss_on_expiry(struct tcp_sender *s, instant now)
{
    return find_by_time(s, now);
}

/* RFC 8985 6.3: by time, what was sent a moment ago is not lost; by threshold, all is. */
void tcp_loss_on_timeout(struct tcp_sender *s, instant now)
{
    struct tcp_rack *r = &s->rack;
    bool all = s->loss == TCP_LOSS_THRESHOLD;
    span wnd = reordering_window(s);

    for (uint64_t i = s->una; i < s->next; i++)
        if (in_flight(s, i) && (all || i == s->una || tcp_seg_at(s, i)->sent + r->rtt + wnd <= now))
            tcp_take_for_lost(s, i);
    s->lost_from = s->una;
    r->at = r->probe_at = INSTANT_NEVER;
    r->probe = TCP_NONE;
    r->probe_now = false;
}

/* --- probes of the tail (RFC 8985 7) --- */

void tcp_loss_rearm(struct tcp_sender *s, bool fresh, instant now)
{
    struct tcp_rack *r = &s->rack;
    span wait;

    if (s->loss != TCP_LOSS_RACK)
        return;
    if (s->pipe == 0 || s->recovering || s->timed_out || r->sacked > 0 || r->at != INSTANT_NEVER ||
        r->probe != TCP_NONE) {
        r->probe_at = INSTANT_NEVER;
        return;
    }
    if (!fresh && r->probe_at != INSTANT_NEVER)
        return;
    wait = s->srtt > 0 ? 2 * s->srtt : PROBE_UNMEASURED;
    if (s->pipe == 1)
        wait += PROBE_ACK_DELAY;
    r->probe_at = instant_min(now + wait, s->rto_at);
}

bool tcp_loss_probe_due(struct tcp_sender *s, bool more)
{
    struct tcp_rack *r = &s->rack;

    r->probe_at = INSTANT_NEVER;
    if (!more && !in_flight(s, s->next - 1))
        return false;
    r->probe_now = true;
    r->probe_again = !more;
    return true;
}

bool tcp_loss_probe_repaired(struct tcp_sender *s, const struct tcp_ack *ack)
{
    struct tcp_rack *r = &s->rack;

    if (r->probe == TCP_NONE || ack->next < r->probe)
        return false;
    if (!r->probe_again || ack->duplicate == r->probe - 1) {
        r->probe = TCP_NONE;
        return false;
    }
    if (ack->next == r->probe)
        return false; /* the original or the probe: what comes next will tell */
    r->probe = TCP_NONE;
    return true;
}
