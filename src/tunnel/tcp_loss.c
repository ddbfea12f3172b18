/* tunnel/tcp_loss.c - what of a TCP connection is on its way, what was lost, and how much may be on its way.
 *
 * Theory of operation. Places from una to next are outstanding. Each of them is in exactly one set: `sacked`, `lost`
 * (to be sent again) or the log, which holds sendings in the order of time. A sending leaves the log when all of it has
 * arrived, or when what is left of it is taken for lost. So a range that is sent again is a new sending at the log's
 * end, and the question of RACK (RFC 8985), "was this sent before something that has arrived?", is one of the order in
 * the log, for super-packets as for segments. What was sent before the newest sending that arrived, and is older than
 * that one's round trip and the reordering window, is lost. The window is a quarter of the shortest round trip, more
 * with each duplicate that the peer reports; 0 if no reordering was ever seen, once three segments were acknowledged
 * above a hole (what the old threshold waited for).
 *
 * A peer without SACK gets NewReno (RFC 6582) by three duplicates.
 *
 * Congestion: what was lost begins a recovery, which ends when all that was out then has been acknowledged. How much
 * may be on its way is a control's to say (struct tcp_cc). To a host and its LAN it is Reno (tcp_reno.c): at such round
 * trips CUBIC is in its Reno-friendly region (RFC 9438 4.3). To a server it is CUBIC (tcp_cubic.c).
 *
 * A range that was sent again, and is acknowledged with a timestamp older than that, was late and not lost (Eifel, RFC
 * 3522); so was one that is acknowledged before it could be sent again. Only what the acknowledgement goes beyond
 * counts: what is acknowledged by SACK above a hole echoes the timestamp from before the hole, whichever copy it was.
 *
 * Not done: undoing a timeout (RFC 5682), for which all is sent again whatever comes.
 *
 * Limits: TCP_SENT_MAX sendings in the log, TCP_HOLES_MAX ranges of SACK. Sources: RFC 5681, 6582, 6675, 8985 section
 * 6, 3522. */
#include "tunnel/tcp_internal.h"

/* --- the three sets --- */

uint64_t tcp_in_flight(const struct tcp_tx *tx)
{
    return tx->next - tx->una - tx->sacked.sum - tx->lost.sum;
}

uint64_t tcp_pipe(const struct tcp_tx *tx)
{
    uint64_t flight = tcp_in_flight(tx);

    return flight - MIN(flight, (uint64_t)tx->duplicates * tx->mss);
}

uint64_t tcp_sacked_of(const struct tcp_tx *tx, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;

    for (size_t i = ranges_find(&tx->sacked, from); i < tx->sacked.count && tx->sacked.items[i].from < to; i++)
        sum += MIN(to, tx->sacked.items[i].to) - MAX(from, tx->sacked.items[i].from);
    return sum;
}

void tcp_mark_lost(struct tcp_tx *tx, uint64_t from, uint64_t to)
{
    for (size_t i = ranges_find(&tx->sacked, from); from < to; i++) {
        uint64_t hole_end = i < tx->sacked.count ? MIN(tx->sacked.items[i].from, to) : to;

        (void)!ranges_add(&tx->lost, from, MAX(from, hole_end));
        from = i < tx->sacked.count ? MAX(from, tx->sacked.items[i].to) : to;
    }
}

static void log_compact(struct tcp_tx *tx)
{
    size_t kept = 0;

    for (size_t i = 0; i < tx->log_count; i++)
        if (tx->log[i].from < tx->log[i].to && tx->log[i].left > 0)
            tx->log[kept++] = tx->log[i];
    tx->log_count = kept;
}

void tcp_log_forget(struct tcp_tx *tx, uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < tx->log_count; i++) {
        struct tcp_sent *s = &tx->log[i];

        if (s->to <= from || s->from >= to)
            continue;
        if (from <= s->from)
            s->from = MIN(to, s->to);
        else
            s->to = from;
        s->left = s->to - s->from - tcp_sacked_of(tx, s->from, s->to);
    }
    log_compact(tx);
}

bool tcp_log_add(struct tcp_tx *tx, uint64_t from, uint64_t to, bool again, instant now)
{
    struct tcp_sent *last = tx->log_count > 0 ? &tx->log[tx->log_count - 1] : NULL;

    if (last && last->at == now && last->to == from && last->again == again) {
        last->to = to;
        last->left += to - from;
        return true;
    }
    if (tx->log_count == TCP_SENT_MAX)
        return false;
    tx->log[tx->log_count++] =
        (struct tcp_sent){ .from = from, .to = to, .at = now, .left = to - from, .id = tx->log_id++, .again = again };
    return true;
}

/* --- congestion --- */

void tcp_on_lost(struct tcp_end *e, uint64_t bytes, instant now)
{
    struct tcp_tx *tx = &e->tx;
    bool first = tx->phase == TCP_OPEN;

    e->cc->on_lost(e, bytes, tx->next - tx->una, first, now);
    if (!first)
        return;
    tx->phase = TCP_RECOVERY;
    tx->recover = tx->next;
    tx->one_more = true; /* RFC 6675 5, step 4.3 */
}

bool tcp_cwnd_limits(const struct tcp_tx *tx, uint64_t pipe_before)
{
    return pipe_before * 2 >= tx->cwnd && tx->cwnd < 2 * tx->ring.capacity_max;
}

/* --- RACK --- */

static span reorder_window(const struct tcp_tx *tx)
{
    if (!tx->reordering && (tx->phase != TCP_OPEN || tx->sacked.sum >= TCP_DUP_THRESHOLD * (uint64_t)tx->mss))
        return 0;
    if (tx->min_rtt == INT64_MAX)
        return TCP_GRANULARITY;
    return MIN((span)tx->reorder_mult * tx->min_rtt / 4, tx->srtt);
}

void tcp_detect_lost(struct tcp_end *e, instant now)
{
    struct tcp_tx *tx = &e->tx;
    span wait = tx->rack_rtt + reorder_window(tx);
    uint64_t before = tx->lost.sum;

    tx->reorder_at = INSTANT_NEVER;
    if (!tx->rack_known)
        return;
    for (size_t i = 0; i < tx->log_count; i++) {
        struct tcp_sent *s = &tx->log[i];
        int32_t older = (int32_t)(s->id - tx->rack_id);
        uint64_t to = older < 0 ? s->to : MIN(s->to, tx->rack_end);

        if (older > 0 || (older == 0 && to <= s->from))
            break;
        if (to - s->from == tcp_sacked_of(tx, s->from, to))
            continue;
        if (s->at + wait > now) {
            tx->reorder_at = s->at + wait;
            break;
        }
        tcp_mark_lost(tx, s->from, to);
        s->from = to;
        s->left = s->to - to - tcp_sacked_of(tx, to, s->to);
    }
    log_compact(tx);
    if (tx->lost.sum > before)
        tcp_on_lost(e, tx->lost.sum - before, now);
}

static bool echoes_older(const struct tcp_end *e, const struct tcp_sent *s, const struct tcp_in *in)
{
    return e->stamps && in->has_ts && (int32_t)(in->ts_echo - tcp_stamp(e, s->at)) < 0;
}

/* A sending that is in flight once more may be acknowledged by its first copy. */
static bool may_be_of_first_copy(const struct tcp_end *e, const struct tcp_sent *s, const struct tcp_in *in,
                                 instant now)
{
    if (!s->again)
        return false;
    return echoes_older(e, s, in) || (e->tx.min_rtt != INT64_MAX && now - s->at < e->tx.min_rtt);
}

void tcp_update_log(struct tcp_end *e, const struct tcp_in *in, struct tcp_acked *a, instant now)
{
    struct tcp_tx *tx = &e->tx;
    span rtt = -1;

    for (size_t i = 0; i < tx->log_count; i++) {
        struct tcp_sent *s = &tx->log[i];
        uint64_t from = MAX(s->from, tx->una), left, high = MIN(s->to, tx->una);

        if (from < s->to) {
            left = s->to - from - tcp_sacked_of(tx, from, s->to);
            if (tx->sacked.count > 0) {
                size_t k = ranges_find(&tx->sacked, s->to - 1);

                if (k == tx->sacked.count || tx->sacked.items[k].from >= s->to)
                    k = k > 0 ? k - 1 : tx->sacked.count;
                if (k < tx->sacked.count && tx->sacked.items[k].to > s->from)
                    high = MAX(high, MIN(tx->sacked.items[k].to, s->to));
            }
        } else {
            left = 0;
        }
        if (left < s->left && may_be_of_first_copy(e, s, in, now)) {
            if (from > s->from && a->recovers && echoes_older(e, s, in))
                a->needless += s->left - left;
        } else if (left < s->left) {
            if (!tx->rack_known || (int32_t)(s->id - tx->rack_id) > 0) {
                tx->rack_known = true;
                tx->rack_id = s->id;
                tx->rack_end = high;
                tx->rack_rtt = now - s->at;
            } else if (s->id == tx->rack_id) {
                tx->rack_end = MAX(tx->rack_end, high);
            }
            if (!s->again)
                rtt = now - s->at;
        }
        s->from = MIN(from, s->to);
        s->left = left;
    }
    log_compact(tx);
    if (rtt < 0)
        return;
    a->rtt = MAX(rtt, (span)1);
    tcp_send_rtt(e, rtt);
}

/* Something below the highest that was acknowledged comes now, and was not sent again: the order was changed. */
void tcp_notice_reordering(struct tcp_tx *tx, uint64_t low)
{
    for (size_t i = 0; i < tx->log_count; i++)
        if (tx->log[i].again && tx->log[i].from <= low && low < tx->log[i].to)
            return;
    tx->reordering = true;
}
