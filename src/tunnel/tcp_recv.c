/* tunnel/tcp_recv.c - segments of a TCP connection that come in: are they acceptable, what they carry, what is said.
 *
 * Theory of operation. What a segment may do is decided first, in the order of RFC 9293 3.10.7.4: SYN, timestamps,
 * window, RST, acknowledgement; then its data and its FIN are taken. A segment that reaches into the window is taken
 * with that part; what is beyond is not there, and neither is a FIN behind it. So a peer that probes a closed window is
 * heard, and what it acknowledges counts.
 *
 * `read` <= `next` are what the reader took and what is there without a hole; `early` are the ranges above. A byte that
 * is there is never written again: of two segments that differ the first one holds. The window ends where the ring's
 * maximum does, and so it never goes back; what is said of it moves in steps of a segment at least (RFC
 * 9293 3.8.6.2.2). Data is acknowledged at once where it is out of order or fills a hole, at every second full segment,
 * after every super-packet, and within DELAY otherwise.
 *
 * Segments that are not acceptable are answered, for a peer that has not heard us must learn where we stand; those
 * without data at most every INVALID_EVERY, so that two ends never keep each other busy, and nobody learns much from
 * it.
 *
 * What answers our SYN must know its number, whether it is a SYN or a RST. An acknowledgement of another number is of a
 * connection that the peer still has and we do not (it was ended here without it, or our host began anew): as RFC 9293
 * 3.5.1 has it, a RST makes an end of that one, and the SYN's repetition finds the ports free.
 *
 * Limits: TCP_HOLES_MAX ranges. Sources: RFC 9293 3.10.7.3 and 3.10.7.4, 5961, 7323 4.3 and 5.3, 2018 section 4, 2883,
 * 5681 4.2. */
#include "tunnel/tcp_internal.h"

#include <errno.h>

#define DELAY (40 * MSEC)                /* chosen: Linux's shortest; RFC 5681 allows 500 ms */
#define INVALID_EVERY (500 * MSEC)       /* as Linux's tcp_invalid_ratelimit; RFC 5961 section 7 */
#define STAMP_AGE (24 * 24 * 3600 * SEC) /* RFC 7323 5.5: 24 days */

uint64_t tcp_recv_edge(const struct tcp_end *e)
{
    return e->rx.read + e->rx.ring.capacity_max;
}

/* Where the window could be said to end: 16 bits and a scale bound it. */
static uint64_t sayable(const struct tcp_end *e)
{
    unsigned scale = e->rx.scale == UINT8_MAX ? 0 : e->rx.scale;
    uint64_t edge = tcp_recv_edge(e);

    if (edge <= e->rx.next)
        return e->rx.next;
    return e->rx.next + (MIN((edge - e->rx.next) >> scale, UINT16_MAX) << scale);
}

uint16_t tcp_recv_window(struct tcp_end *e, bool syn)
{
    struct tcp_rx *rx = &e->rx;
    uint64_t step = MIN((uint64_t)e->tx.mss, rx->ring.capacity_max / 2), can = sayable(e);
    unsigned scale = rx->scale == UINT8_MAX || syn ? 0 : rx->scale;

    rx->acks_due = 0;
    rx->unacked = 0;
    rx->ack_at = INSTANT_NEVER;
    rx->acked = tcp_rx_wire(e, rx->next);
    if (syn) {
        rx->said = rx->next + MIN(tcp_recv_edge(e) - rx->next, UINT16_MAX);
        return (uint16_t)(rx->said - rx->next);
    }
    if (can >= rx->said + step)
        rx->said = can;
    /* Rounded down; what lies between is taken all the same. */
    return rx->said > rx->next ? (uint16_t)MIN((rx->said - rx->next) >> scale, UINT16_MAX) : 0;
}

/* May something that carries nothing be answered again? */
static bool answer_allowed(struct tcp_end *e, instant now)
{
    if (e->rx.invalid_at != 0 && now - e->rx.invalid_at < INVALID_EVERY)
        return false;
    e->rx.invalid_at = now;
    return true;
}

/* An answer to what is not acceptable. */
static void answer_invalid(struct tcp_end *e, bool has_data, instant now)
{
    e->dropped++;
    if (has_data || answer_allowed(e, now))
        e->rx.acks_due = MAX(e->rx.acks_due, 1u);
}

/* --- data --- */

static void came_twice(struct tcp_end *e, uint64_t from, uint64_t to)
{
    e->rx.twice_from = from;
    e->rx.twice_to = to;
    e->rx.acks_due = MAX(e->rx.acks_due, 1u);
}

/* Copies those of the places from..to that are not there yet. */
static void fill(struct tcp_end *e, uint64_t from, uint64_t to, const uint8_t *data)
{
    const struct ranges *early = &e->rx.early;
    uint64_t at = from;

    for (size_t i = ranges_find(early, from); at < to; i++) {
        uint64_t hole_end = i < early->count ? MIN(early->items[i].from, to) : to;

        if (at < hole_end)
            bytes_put(&e->rx.ring, at, data + (at - from), (size_t)(hole_end - at));
        if (i == early->count)
            return;
        at = MAX(at, early->items[i].to);
    }
}

static void remember_recent(struct tcp_rx *rx, uint64_t at)
{
    memmove(rx->recent + 1, rx->recent, sizeof(rx->recent) - sizeof(rx->recent[0]));
    rx->recent[0] = at;
}

/* Places from..to, all in the window, from >= next. False: they cannot be kept. */
static bool keep(struct tcp_end *e, uint64_t from, uint64_t to, const uint8_t *data)
{
    struct tcp_rx *rx = &e->rx;
    struct ranges *early = &rx->early;
    uint64_t used = early->count > 0 ? early->items[early->count - 1].to : rx->next;
    size_t i;

    if (bytes_hold(&rx->ring, rx->read, used, MAX(used, to)) < 0)
        return false;
    e->used = true;
    if (from == rx->next && early->count == 0) {
        bytes_put(&rx->ring, from, data, (size_t)(to - from));
        rx->next = to;
        return true;
    }
    i = ranges_find(early, from);
    if (i < early->count && early->items[i].from <= from && early->items[i].to >= to) {
        came_twice(e, from, to);
        return true;
    }
    fill(e, from, to, data);
    if (from == rx->next) {
        rx->next = to;
        ranges_remove_below(early, to);
        if (early->count > 0 && early->items[0].from == to)
            rx->next = early->items[0].to;
        ranges_remove_below(early, rx->next);
        return true;
    }
    if (early->count >= TCP_HOLES_MAX || ranges_add(early, from, to) < 0)
        return false;
    remember_recent(rx, from);
    return true;
}

/* Is there something to say of the data that came, and when? */
static void schedule(struct tcp_end *e, size_t len, bool out_of_order, instant now)
{
    struct tcp_rx *rx = &e->rx;

    rx->unacked += len;
    if (out_of_order) {
        /* A peer without SACK counts them, to three (RFC 5681 3.2). */
        rx->acks_due = e->sack ? 1 : MIN(rx->acks_due + 1, 3u);
    } else if (len > e->tx.mss || rx->unacked >= 2u * e->tx.mss) {
        rx->acks_due = MAX(rx->acks_due, 1u);
    } else {
        rx->ack_at = instant_min(rx->ack_at, now + DELAY);
    }
}

/* at: of the first byte, seen from the next expected. */
static void on_data(struct tcp_end *e, const struct tcp_in *in, int64_t at, instant now)
{
    struct tcp_rx *rx = &e->rx;
    uint64_t skip = at < 0 ? (uint64_t)-at : 0, from = rx->next + (at > 0 ? (uint64_t)at : 0), to, edge;
    bool out_of_order = from > rx->next || rx->early.count > 0;
    uint64_t end;

    if (skip > 0 && skip >= in->len) { /* nothing is new but perhaps the FIN */
        if (in->len > 0)
            came_twice(e, rx->next - skip, rx->next - skip + in->len);
        rx->acks_due = MAX(rx->acks_due, 1u);
        if (skip > in->len) {
            if (e->state == TCP_END_TIME_WAIT)
                tcp_on_fin_received(e, now);
            return;
        }
    }
    end = from + in->len - skip;
    edge = MIN(tcp_recv_edge(e), rx->fin);
    to = MIN(end, edge);
    if (from < to) {
        if (!keep(e, from, to, in->data + skip)) {
            e->dropped++;
            rx->acks_due = MAX(rx->acks_due, 1u);
            return;
        }
        schedule(e, (size_t)(to - from), out_of_order, now);
    }
    if (to < end)
        rx->acks_due = MAX(rx->acks_due, 1u); /* beyond the window: it asks whether that has opened */
    /* The FIN counts where it stands, and not below what has come already. */
    if (in->flags & TCP_FIN && to == end && rx->fin == UINT64_MAX) {
        uint64_t highest = rx->early.count > 0 ? rx->early.items[rx->early.count - 1].to : rx->next;

        if (end >= highest)
            rx->fin = end;
        else
            e->dropped++;
    }
    if (rx->next == rx->fin) {
        rx->next++;
        rx->acks_due = MAX(rx->acks_due, 1u);
        tcp_on_fin_received(e, now);
    }
}

/* --- segments --- */

/* PAWS. False: it is over. */
static bool stamp_acceptable(struct tcp_end *e, const struct tcp_in *in, bool has_data, instant now)
{
    if (!e->stamps || in->flags & TCP_RST)
        return true;
    if (!in->has_ts) {
        e->dropped++;
        return false;
    }
    if ((int32_t)(in->ts - e->ts_recent) >= 0)
        return true;
    if (now - e->ts_recent_at > STAMP_AGE) /* so old that it says nothing: a new one is taken below */
        return true;
    answer_invalid(e, has_data, now);
    return false;
}

static void take_stamp(struct tcp_end *e, const struct tcp_in *in, instant now)
{
    if (!e->stamps || !in->has_ts || (int32_t)(in->seq - e->rx.acked) > 0)
        return;
    if ((int32_t)(in->ts - e->ts_recent) < 0 && now - e->ts_recent_at <= STAMP_AGE)
        return;
    e->ts_recent = in->ts;
    e->ts_recent_at = now;
}

/* RFC 9293 3.6.1 and RFC 6191: a number, or a timestamp, above what was seen. */
static bool begins_anew(const struct tcp_end *e, const struct tcp_in *in)
{
    if (e->active || in->flags & (TCP_ACK | TCP_RST | TCP_FIN) || !(in->flags & TCP_SYN))
        return false;
    if (e->state == TCP_END_CLOSED)
        return e->answer == TCP_ANSWER_NONE;
    if (e->stamps && in->has_ts && in->ts != e->ts_recent)
        return (int32_t)(in->ts - e->ts_recent) > 0;
    return (int32_t)(in->seq - tcp_rx_wire(e, e->rx.next)) >= 0;
}

static void on_syn(struct tcp_end *e, const struct tcp_in *in, instant now)
{
    if (e->state == TCP_END_SYN_RECEIVED && in->seq == e->rx.irs && !(in->flags & TCP_ACK))
        e->syn_due = true;
    else
        answer_invalid(e, false, now);
}

void tcp_recv_synack(struct tcp_end *e, const struct tcp_in *in, instant now)
{
    bool ours = e->syns > 0 && in->ack == tcp_tx_wire(e, 1);

    if (!(in->flags & TCP_ACK) || !ours || !(in->flags & (TCP_SYN | TCP_RST))) {
        e->dropped++;
        if (in->flags & TCP_ACK && !ours && !(in->flags & TCP_RST) && answer_allowed(e, now)) {
            e->answer = TCP_ANSWER_STRAY;
            e->stray = in->ack;
        }
        return;
    }
    if (in->flags & TCP_RST) {
        tcp_close(e, -ECONNREFUSED);
        return;
    }
    /* Data or a FIN that comes with it comes again. */
    tcp_take_syn(e, in, now);
    tcp_send_on_synack(e, in, now);
    e->answer = TCP_ANSWER_NONE;
    e->rx.acked = tcp_rx_wire(e, e->rx.next);
    e->rx.acks_due = 1;
}

enum tcp_end_outcome tcp_recv_segment(struct tcp_end *e, const struct tcp_in *in, instant now)
{
    int64_t at = (int32_t)(in->seq - tcp_rx_wire(e, e->rx.next)), window;
    int64_t len = in->len + (in->flags & TCP_FIN ? 1 : 0);

    if ((e->state == TCP_END_TIME_WAIT || e->state == TCP_END_CLOSED) && begins_anew(e, in))
        return TCP_END_REOPENED;
    if (e->state == TCP_END_CLOSED)
        return TCP_END_TAKEN;
    if (in->flags & TCP_SYN && !(in->flags & TCP_RST)) {
        on_syn(e, in, now);
        return TCP_END_TAKEN;
    }
    if (!stamp_acceptable(e, in, len > 0, now))
        return TCP_END_TAKEN;
    window = tcp_recv_edge(e) > e->rx.next ? (int64_t)(tcp_recv_edge(e) - e->rx.next) : 0;
    if (at + len < 0 || at > window) {
        if (in->flags & TCP_RST) {
            e->dropped++;
            return TCP_END_TAKEN;
        }
        answer_invalid(e, len > 0, now);
        if (at < 0 && in->len > 0)
            came_twice(e, e->rx.next - (uint64_t)-at, e->rx.next - (uint64_t)-at + in->len);
        return TCP_END_TAKEN;
    }
    if (in->flags & TCP_RST) {
        if (at == 0)
            tcp_close(e, e->state == TCP_END_TIME_WAIT ? 0 : -ECONNRESET);
        else
            answer_invalid(e, false, now);
        return TCP_END_TAKEN;
    }
    if (!(in->flags & TCP_ACK)) {
        e->dropped++;
        return TCP_END_TAKEN;
    }
    if (!tcp_send_on_ack(e, in, now)) {
        answer_invalid(e, false, now);
        return TCP_END_TAKEN;
    }
    take_stamp(e, in, now);
    e->heard = now;
    e->keepalive_probes = 0;
    if (in->len > 0 || in->flags & TCP_FIN)
        on_data(e, in, at, now);
    return TCP_END_TAKEN;
}

/* --- the reader --- */

static uint64_t readable_end(const struct tcp_end *e)
{
    return MIN(e->rx.next, e->rx.fin);
}

struct slice tcp_end_peek(const struct tcp_end *e)
{
    struct slice s[2];
    size_t n = bytes_slices(&e->rx.ring, e->rx.read, (size_t)(readable_end(e) - e->rx.read), s);

    return n > 0 ? s[0] : (struct slice){ 0 };
}

void tcp_end_consume(struct tcp_end *e, size_t len)
{
    struct tcp_rx *rx = &e->rx;
    uint64_t half = rx->ring.capacity_max / 2;

    len = (size_t)MIN((uint64_t)len, readable_end(e) - rx->read);
    if (len == 0)
        return;
    rx->read += len;
    e->used = true;
    /* The peer is told when it knows of less than half a window, and there is something to tell. */
    if (e->state < TCP_END_CLOSED && rx->said - MIN(rx->said, rx->next) < half &&
        sayable(e) >= rx->said + MIN(2u * e->tx.mss, half))
        rx->acks_due = MAX(rx->acks_due, 1u);
}

int64_t tcp_end_read(struct tcp_end *e, uint8_t *buf, size_t max)
{
    size_t done = 0;

    while (done < max) {
        struct slice s = tcp_end_peek(e);
        size_t n = MIN(s.len, max - done);

        if (n == 0)
            break;
        memcpy(buf + done, s.data, n);
        tcp_end_consume(e, n);
        done += n;
    }
    return done > 0 || tcp_end_at_end(e) || max == 0 ? (int64_t)done : e->error;
}

bool tcp_end_at_end(const struct tcp_end *e)
{
    return e->rx.next > e->rx.fin && e->rx.read == e->rx.fin;
}

bool tcp_end_readable(const struct tcp_end *e)
{
    return readable_end(e) > e->rx.read || tcp_end_at_end(e) || e->error;
}
