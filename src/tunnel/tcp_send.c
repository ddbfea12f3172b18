/* tunnel/tcp_send.c - what a TCP connection sends: acknowledgements of it, windows, timers.
 *
 * Theory of operation. What was lost goes first, then what is new, as far as congestion and the peer's window let it;
 * what is lost, and how wide the congestion window is, tcp_loss.c says. One timer serves three ends, one at a time: the
 * end of a flight is probed after two round trips (TLP, RFC 8985) and a peer's delay, with new data or the last segment
 * once more; a probe that repaired a loss counts as one (7.4.2). The standard allows for the delay with a lone segment
 * only; but a kernel delays the acknowledgement of a super-packet too while its reader is slow, and would be probed for
 * nothing at the end of every answer. For the rest there is the timeout (RFC 6298), after which all is sent
 * again and what SACK said is forgotten (RFC 2018 section 8). When nothing is in flight and the window holds the rest
 * back, it is the probe of the window.
 *
 * No Nagle: what was written came out of a tunnel in pieces that had their reason. A sender avoids silly windows (RFC
 * 9293 3.8.6.2.1): less than a segment goes only when it is all there is, or half of the greatest window seen. A closed
 * window is probed by a segment without data one below what was acknowledged, as Linux does: whoever is alive answers
 * that it is not acceptable, and nothing is ever sent that the window forbids.
 *
 * INITIAL, the first congestion window: what a Linux peer's first window admits, and one super-packet. To this host
 * nothing is between, and 64 KiB are half a millisecond of a gigabit LAN, less than its switches hold; RFC 6928's ten
 * segments are for paths of which less is known. The way from an end that connects to its server is such a one.
 *
 * Not done: pacing. What an acknowledgement lets go leaves at once, so a flight keeps the spacing that its
 * acknowledgements had; what is bunched is the first window, ten segments to a server, and what a silent application
 * writes at once, no more than that after a timeout's length of silence.
 *
 * Sources: RFC 9293 3.8 and 3.10.7.4, 6298, 6928, 7323, 2018, 2883, 8985 section 7, 5961 section 5. */
#include "tunnel/tcp_internal.h"

#include <assert.h>
#include <errno.h>

#define INITIAL 65536u
#define INITIAL_ACTIVE 14600u   /* RFC 6928 section 2; but ten segments at most, and two at least */
#define RTO_INITIAL (1 * SEC)   /* RFC 6298 2.1 */
#define RTO_SYN_AGAIN (3 * SEC) /* RFC 6298 5.7 */
#define RTO_MIN (200 * MSEC)    /* as Linux, above what peers delay acknowledgements by; RFC 6298 says 1 s */
#define RTO_MAX (60 * SEC)      /* RFC 6298 2.5 */
#define GIVE_UP (120 * SEC)     /* R2 of RFC 9293 3.8.3 is at least 100 s */
#define PROBE_DELAY (50 * MSEC) /* chosen: Linux's shortest delay of an acknowledgement, 40 ms, and its tick */
#define MSS_MIN 48              /* as Linux's TCP_MIN_SND_MSS: smaller ones are attacks */
#define MSS_DEFAULT_V4 536      /* RFC 9293 3.7.1 */
#define MSS_DEFAULT_V6 1220

/* --- start --- */

void tcp_send_fit_mtu(struct tcp_end *e)
{
    unsigned fixed = (e->v6 ? PACKET_V6_HDR : PACKET_V4_HDR) + 20, options = e->stamps ? 12 : 0;
    unsigned mss = MIN((unsigned)e->tx.peer_mss, e->mtu - fixed);

    e->tx.mss = (uint16_t)(MAX(mss, (unsigned)MSS_MIN + options) - options);
}

static uint64_t initial_window(const struct tcp_end *e)
{
    uint64_t mss = e->tx.mss;

    return e->active ? MIN(10 * mss, MAX(2 * mss, (uint64_t)INITIAL_ACTIVE)) : MAX((uint64_t)INITIAL, 2 * mss);
}

void tcp_send_start(struct tcp_end *e, const struct tcp_in *syn, instant now)
{
    struct tcp_tx *tx = &e->tx;

    tx->peer_mss = syn->has_mss ? syn->mss : e->v6 ? MSS_DEFAULT_V6 : MSS_DEFAULT_V4;
    tcp_send_fit_mtu(e);
    tx->scale = syn->has_scale ? syn->scale : 0;
    tx->window = tx->window_max = syn->window;
    tx->window_seq = syn->seq;
    tx->cwnd = initial_window(e);
    tx->ssthresh = UINT64_MAX;
    tx->rto = RTO_INITIAL;
    tx->min_rtt = INT64_MAX;
    tx->reorder_mult = 1;
    tx->reorder_at = tx->timer_at = INSTANT_NEVER;
    e->cc->start(e, now);
}

void tcp_send_resume(struct tcp_end *e, instant now)
{
    struct tcp_tx *tx = &e->tx;

    tcp_send_fit_mtu(e);
    tx->cwnd = initial_window(e);
    tx->ssthresh = UINT64_MAX;
    tx->rto = tx->srtt > 0 ? CLAMP(tx->srtt + MAX(TCP_GRANULARITY, 4 * tx->rttvar), RTO_MIN, RTO_MAX) : RTO_INITIAL;
    tx->min_rtt = INT64_MAX;
    tx->reorder_mult = 1;
    tx->timer_at = INSTANT_NEVER;
    tx->last_sent = now;
    e->cc->start(e, now);
    tcp_send_all_again(e);
    if (tx->next == tx->una)
        return;
    tx->phase = TCP_LOSS;
    tx->recover = tx->next;
}

void tcp_send_rtt(struct tcp_end *e, span rtt)
{
    struct tcp_tx *tx = &e->tx;

    rtt = MAX(rtt, (span)1);
    tx->min_rtt = MIN(tx->min_rtt, rtt);
    if (tx->srtt == 0) {
        tx->srtt = rtt;
        tx->rttvar = rtt / 2;
    } else {
        span off = rtt > tx->srtt ? rtt - tx->srtt : tx->srtt - rtt;

        tx->rttvar += (off - tx->rttvar) / 4;
        tx->srtt += (rtt - tx->srtt) / 8;
    }
    tx->srtt = MAX(tx->srtt, (span)1);
    tx->rto = CLAMP(tx->srtt + MAX(TCP_GRANULARITY, 4 * tx->rttvar), RTO_MIN, RTO_MAX);
}

static span timeout(const struct tcp_tx *tx)
{
    return MIN(tx->rto << MIN(tx->backoff, 12u), RTO_MAX);
}

/* The end of all that there is to send. */
static uint64_t stream_end(const struct tcp_tx *tx)
{
    return tx->end + (tx->finished ? 1 : 0);
}

/* --- acknowledgements --- */

/* Takes the blocks that can be true. True: one of them tells of a duplicate. */
static bool take_blocks(struct tcp_end *e, const struct tcp_in *in, uint64_t *low)
{
    struct tcp_tx *tx = &e->tx;
    bool duplicate = false;

    for (unsigned i = 0; e->sack && i < in->blocks; i++) {
        int64_t left = (int32_t)(in->block[i].left - tcp_tx_wire(e, tx->una));
        int64_t right = (int32_t)(in->block[i].right - tcp_tx_wire(e, tx->una));
        uint64_t from, to;

        if (left >= right || right > (int64_t)(tx->next - tx->una))
            continue;
        if (left < 0) {
            duplicate |= i == 0; /* RFC 2883: the first block, below what is acknowledged */
            continue;
        }
        from = tx->una + (uint64_t)left;
        to = tx->una + (uint64_t)right;
        if (tcp_sacked_of(tx, from, to) == to - from) {
            if (i == 0 && in->blocks > 1) { /* ... or inside the second */
                int64_t l = (int32_t)(in->block[1].left - in->block[0].left);
                int64_t r = (int32_t)(in->block[1].right - in->block[0].right);

                duplicate |= l <= 0 && r >= 0;
            }
            continue;
        }
        if (tx->sacked.count >= TCP_HOLES_MAX)
            continue;
        for (size_t k = ranges_find(&tx->sacked, from); k <= tx->sacked.count; k++) {
            uint64_t start = k < tx->sacked.count ? tx->sacked.items[k].from : UINT64_MAX;

            if (from < start) {
                *low = MIN(*low, from);
                break;
            }
            from = tx->sacked.items[k].to;
        }
        from = tx->una + (uint64_t)left;
        /* Out of `lost` first: a place in none of the sets is found by the timeout, one in two would be counted twice.
         */
        if (ranges_remove(&tx->lost, from, to) == 0)
            (void)!ranges_add(&tx->sacked, from, to);
    }
    return duplicate;
}

static void advance(struct tcp_end *e, uint64_t ack)
{
    struct tcp_tx *tx = &e->tx;

    tx->una = ack;
    tx->duplicates = 0;
    ranges_remove_below(&tx->sacked, ack);
    ranges_remove_below(&tx->lost, ack);
    e->used = true;
}

static void update_window(struct tcp_end *e, const struct tcp_in *in, uint64_t ack)
{
    struct tcp_tx *tx = &e->tx;
    int32_t newer = (int32_t)(in->seq - tx->window_seq);

    if (newer < 0 || (newer == 0 && (int32_t)(in->ack - tx->window_ack) < 0))
        return;
    tx->window_seq = in->seq;
    tx->window_ack = in->ack;
    tx->window = (uint64_t)in->window << tx->scale;
    tx->window_max = MAX(tx->window_max, tx->window);
    if (tx->timer == TCP_TIMER_PERSIST && tx->window > 0) {
        tx->timer = TCP_TIMER_NONE;
        tx->backoff = 0;
    }
}

/* Of a peer without SACK. */
static void on_duplicate(struct tcp_end *e, instant now)
{
    struct tcp_tx *tx = &e->tx;

    tx->duplicates++;
    if (tx->duplicates != TCP_DUP_THRESHOLD || tx->phase != TCP_OPEN)
        return;
    tcp_log_forget(tx, tx->una, MIN(tx->una + tx->mss, tx->next));
    tcp_mark_lost(tx, tx->una, MIN(tx->una + tx->mss, tx->next));
    tcp_on_lost(e, tx->lost.sum, now);
}

static void on_progress(struct tcp_end *e, const struct tcp_acked *a, instant now)
{
    struct tcp_tx *tx = &e->tx;

    tx->backoff = 0;
    tx->stalled = 0;
    tx->timer = TCP_TIMER_NONE; /* tcp_send_output sets it anew */
    if (tx->phase != TCP_OPEN && tx->una >= tx->recover)
        tx->phase = TCP_OPEN;
    e->cc->on_acked(e, a, now);
    /* NewReno: what stops a recovery half way is the next hole. */
    if (!e->sack && tx->phase == TCP_RECOVERY && tx->una < tx->next) {
        uint64_t to = MIN(tx->una + tx->mss, tx->next);

        tcp_log_forget(tx, tx->una, to);
        tcp_mark_lost(tx, tx->una, to);
        tcp_on_lost(e, to - tx->una, now);
        tx->one_more = true;
    }
}

/* The probe of the tail was answered: did it repair something? An acknowledgement that ends where the probe did may be
 * of either copy: what comes next tells, a duplicate of it or one of later data (RFC 8985 7.4.2). */
static void judge_tail(struct tcp_end *e, bool duplicate, bool nothing_new, instant now)
{
    struct tcp_tx *tx = &e->tx;

    if (tx->tail_end == 0 || tx->una < tx->tail_end)
        return;
    if (tx->tail_again && !duplicate) {
        if (tx->una == tx->tail_end && !nothing_new)
            return;
        if (tx->una > tx->tail_end && tx->phase == TCP_OPEN)
            e->cc->on_lost(e, 0, tx->tail_flight, true, now);
    }
    tx->tail_end = 0;
}

/* The peer has acknowledged our SYN. */
static void establish(struct tcp_end *e, const struct tcp_in *in, instant now)
{
    e->tx.una = 1;
    e->tx.window_seq = in->seq;
    e->tx.window_ack = in->ack;
    if (e->syns == 1)
        tcp_send_rtt(e, now - e->tx.last_sent);
    e->state = TCP_END_ESTABLISHED;
    e->syn_due = false;
    e->syn_at = e->close_at = INSTANT_NEVER;
}

void tcp_send_on_synack(struct tcp_end *e, const struct tcp_in *in, instant now)
{
    /* Since the first SYN; a timestamp that is older is not ours. */
    span most = now - e->opened + MSEC, rtt = (span)(tcp_stamp(e, now) - in->ts_echo) * MSEC;

    establish(e, in, now);
    if (e->syns == 1)
        return;
    /* Of which SYN? Karn's rule; but a timestamp tells, to the millisecond. */
    if (e->stamps && rtt <= most)
        tcp_send_rtt(e, MAX(rtt, MSEC));
    else
        e->tx.rto = RTO_SYN_AGAIN;
    /* One may have been lost by chance, or the way be longer than a second (RFC 6928 section 2). */
    if (e->syns > 2)
        e->cc->hold(e, e->tx.mss);
}

/* The peer's answer to our SYN-ACK. */
static bool on_handshake_ack(struct tcp_end *e, const struct tcp_in *in, instant now)
{
    struct tcp_tx *tx = &e->tx;

    /* RFC 9293 asks for a reset; who does not know our number is not the client, and gets nothing. */
    if (in->ack != tcp_tx_wire(e, 1))
        return false;
    tx->window = tx->window_max = (uint64_t)in->window << tx->scale;
    establish(e, in, now);
    return true;
}

bool tcp_send_on_ack(struct tcp_end *e, const struct tcp_in *in, instant now)
{
    struct tcp_tx *tx = &e->tx;
    int64_t ahead = (int32_t)(in->ack - tcp_tx_wire(e, tx->una));
    uint64_t una = tx->una, known = tx->una + tx->sacked.sum, lost = tx->lost.sum, window = tx->window;
    uint64_t highest = tx->sacked.count > 0 ? tx->sacked.items[tx->sacked.count - 1].to : 0, low = UINT64_MAX;
    struct tcp_acked a = { .pipe_before = tcp_pipe(tx), .recovers = tx->phase == TCP_RECOVERY };
    bool duplicate;

    if (e->state == TCP_END_SYN_RECEIVED)
        return on_handshake_ack(e, in, now);
    if (ahead > (int64_t)(tx->next - tx->una) || ahead < -(int64_t)tx->window_max)
        return false;
    if (ahead < 0)
        return true; /* old: it has nothing to say, but its data may */
    if (ahead > 0) {
        if (highest > una)
            low = una;
        advance(e, una + (uint64_t)ahead);
    }
    duplicate = take_blocks(e, in, &low);
    update_window(e, in, tx->una);
    a.bytes = tx->una + tx->sacked.sum - known;
    if (duplicate) {
        tx->reordering = true;
        tx->reorder_mult = MIN(tx->reorder_mult + 1, TCP_REORDER_MULT_MAX);
    }
    if (low < highest)
        tcp_notice_reordering(tx, low);
    if (a.bytes > 0) {
        a.needless = a.recovers ? lost - tx->lost.sum : 0;
        tcp_update_log(e, in, &a, now);
        on_progress(e, &a, now);
        tcp_detect_lost(e, now);
    } else if (!e->sack && ahead == 0 && in->len == 0 && tx->window == window && tx->next > tx->una &&
               !(in->flags & TCP_FIN)) {
        on_duplicate(e, now);
    }
    judge_tail(e, duplicate, a.bytes == 0 && in->len == 0, now);
    if (tx->finished && tx->una > tx->end && una <= tx->end)
        tcp_on_fin_acked(e, now);
    return true;
}

/* --- sending --- */

struct pick {
    uint64_t from, to; /* places; the last one may be the FIN's */
    bool again;
};

/* Data of at most so many bytes may go now. */
static uint64_t allowance(const struct tcp_end *e)
{
    const struct tcp_tx *tx = &e->tx;
    uint64_t used = tcp_pipe(tx), most = tx->mss, room = tx->cwnd > used ? tx->cwnd - used : 0;

    assert(tx->mss >= MSS_MIN);
    if (room < most && (tx->one_more || used == 0))
        return most;
    if (e->offload)
        most *= MAX((PACKET_MAX - tcp_header_len(e)) / tx->mss, 1u);
    room -= room % tx->mss;
    return MIN(room, most);
}

/* What to send next, what was lost first. False: nothing may go. */
static bool pick(const struct tcp_end *e, struct pick *ret)
{
    const struct tcp_tx *tx = &e->tx;
    uint64_t window_end = tx->una + tx->window, most = allowance(e), end, n;
    struct pick p = { .from = tx->next, .to = stream_end(tx) };

    if (tx->lost.count > 0)
        p = (struct pick){ tx->lost.items[0].from, tx->lost.items[0].to, true };
    if (p.from >= p.to || most == 0 || tx->log_count == TCP_SENT_MAX)
        return false;
    end = MIN(MIN(p.to, tx->end), window_end); /* of the data */
    n = end - MIN(p.from, end);
    if (n > most)
        n = most;
    if (!p.again && p.from + n < tx->end) { /* more is waiting: no silly pieces */
        if (n >= tx->mss)
            n -= n % tx->mss;
        else if (!tx->force && n < tx->window_max / 2)
            return false;
    }
    end = p.from + n;
    if (end == tx->end && p.to > end && end < window_end)
        end++;
    if (end == p.from)
        return false;
    p.to = end;
    *ret = p;
    return true;
}

static void set_timer(struct tcp_end *e, instant now)
{
    struct tcp_tx *tx = &e->tx;
    bool waits = tx->lost.count > 0 || stream_end(tx) > tx->next;

    if (tcp_in_flight(tx) == 0 && waits) {
        if (tx->timer == TCP_TIMER_PERSIST)
            return;
        tx->timer = TCP_TIMER_PERSIST;
        tx->timer_at = now + timeout(tx);
        return;
    }
    if (tx->next == tx->una) {
        tx->timer = TCP_TIMER_NONE;
        tx->timer_at = INSTANT_NEVER;
        tx->backoff = 0;
        return;
    }
    if (tx->timer == TCP_TIMER_RTO || tx->timer == TCP_TIMER_PROBE_TAIL)
        return;
    tx->timer = TCP_TIMER_RTO;
    tx->timer_at = now + timeout(tx);
    if (e->sack && tx->phase == TCP_OPEN && tx->sacked.count == 0 && tx->tail_end == 0 && tx->srtt > 0 &&
        tx->backoff == 0) {
        span wait = 2 * tx->srtt + PROBE_DELAY;

        if (now + wait < tx->timer_at) {
            tx->timer = TCP_TIMER_PROBE_TAIL;
            tx->timer_at = now + wait;
        }
    }
}

bool tcp_send_output(struct tcp_end *e, struct merged *ret, instant now)
{
    struct tcp_tx *tx = &e->tx;
    struct pick p;
    uint8_t flags = TCP_ACK;
    uint64_t data_end;

    /* After silence the network may be another (RFC 5681 4.1). */
    if (tx->next == tx->una && stream_end(tx) > tx->next && now - tx->last_sent > tx->rto)
        e->cc->hold(e, initial_window(e));
    if (!pick(e, &p) || !tcp_log_add(tx, p.from, p.to, p.again, now)) {
        set_timer(e, now);
        return false;
    }
    data_end = MIN(p.to, tx->end);
    if (p.again) {
        (void)!ranges_remove(&tx->lost, p.from, p.to); /* from its start: never in two */
        e->resent_packets++;
        e->resent_bytes += data_end - p.from;
    } else {
        tx->next = p.to;
        if (tx->timer == TCP_TIMER_PROBE_TAIL)
            tx->timer = TCP_TIMER_NONE;
    }
    tx->one_more = tx->force = false;
    tx->last_sent = now;
    if (data_end == tx->end)
        flags |= TCP_PSH;
    if (p.to > tx->end) {
        flags |= TCP_FIN;
        tcp_on_fin_sent(e);
    }
    tcp_put(e, flags, p.from, (size_t)(data_end - p.from), ret, now);
    return true;
}

/* --- timers --- */

void tcp_send_all_again(struct tcp_end *e)
{
    struct tcp_tx *tx = &e->tx;

    ranges_remove_below(&tx->sacked, UINT64_MAX);
    ranges_remove_below(&tx->lost, UINT64_MAX);
    tx->log_count = 0;
    tx->duplicates = 0;
    tx->tail_end = 0;
    tx->reorder_at = INSTANT_NEVER;
    tcp_mark_lost(tx, tx->una, tx->next); /* one range; the memory for it was taken at the start */
}

static void on_timeout(struct tcp_end *e, instant now)
{
    struct tcp_tx *tx = &e->tx;

    e->timeouts++;
    if (tx->stalled == 0)
        tx->stalled = now;
    if (now - tx->stalled >= GIVE_UP) {
        tcp_close(e, -ETIMEDOUT);
        return;
    }
    e->cc->on_timeout(e, tx->backoff > 0, now);
    tx->phase = TCP_LOSS;
    tx->recover = tx->next;
    tcp_send_all_again(e);
    tx->backoff++;
    tx->timer_at = now + timeout(tx);
}

static void on_probe_tail(struct tcp_end *e, instant now)
{
    struct tcp_tx *tx = &e->tx;
    struct pick p;

    e->probes++;
    tx->one_more = true;
    tx->tail_again = tx->lost.count > 0 || stream_end(tx) == tx->next || !pick(e, &p);
    if (tx->tail_again) {
        uint64_t from = tx->next - MIN(tx->next - tx->una, (uint64_t)tx->mss);

        tcp_log_forget(tx, from, tx->next);
        tcp_mark_lost(tx, from, tx->next);
    }
    tx->tail_end = tx->next;
    tx->tail_flight = tx->next - tx->una;
    tx->timer = TCP_TIMER_RTO;
    tx->timer_at = now + timeout(tx);
}

static void on_persist(struct tcp_end *e, instant now)
{
    struct tcp_tx *tx = &e->tx;

    e->probes++;
    tx->stalled = 0; /* it is the window that holds us back */
    if (now - e->heard >= GIVE_UP) {
        tcp_close(e, -ETIMEDOUT);
        return;
    }
    if (tx->window > 0)
        tx->force = true; /* small pieces rather than none */
    else
        tx->probe_due = true;
    tx->backoff++;
    tx->timer_at = now + timeout(tx);
}

void tcp_send_on_expiry(struct tcp_end *e, instant now)
{
    struct tcp_tx *tx = &e->tx;

    if (tx->timer_at <= now) {
        switch (tx->timer) {
        case TCP_TIMER_RTO:
            on_timeout(e, now);
            break;
        case TCP_TIMER_PROBE_TAIL:
            on_probe_tail(e, now);
            break;
        case TCP_TIMER_PERSIST:
            on_persist(e, now);
            break;
        case TCP_TIMER_NONE:
            tx->timer_at = INSTANT_NEVER;
            break;
        }
    }
    if (tx->reorder_at <= now)
        tcp_detect_lost(e, now);
}

/* --- the writer --- */

size_t tcp_end_room(const struct tcp_end *e)
{
    const struct tcp_tx *tx = &e->tx;

    if (tx->finished || e->error || e->state >= TCP_END_CLOSED)
        return 0;
    return (size_t)(tx->ring.capacity_max - (tx->end - MAX(tx->una, (uint64_t)1)));
}

int64_t tcp_end_write(struct tcp_end *e, const uint8_t *data, size_t len)
{
    struct tcp_tx *tx = &e->tx;
    size_t n = MIN(len, tcp_end_room(e));
    int r;

    if (e->error)
        return e->error;
    if (tx->finished || e->state == TCP_END_CLOSED)
        return -EPIPE;
    if (n == 0)
        return 0;
    r = bytes_hold(&tx->ring, MAX(tx->una, (uint64_t)1), tx->end, tx->end + n);
    if (r < 0)
        return r;
    bytes_put(&tx->ring, tx->end, data, n);
    tx->end += n;
    e->used = true;
    return (int64_t)n;
}

void tcp_end_finish(struct tcp_end *e)
{
    e->tx.finished = true;
}

bool tcp_end_flushed(const struct tcp_end *e)
{
    return e->tx.una == stream_end(&e->tx);
}
