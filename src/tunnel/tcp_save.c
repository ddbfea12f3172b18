/* tunnel/tcp_save.c - an end of a TCP connection, handed to a successor (tcp.h).
 *
 * Theory of operation. What is written down is what the peer has been told and has told us, and the bytes that either
 * side still waits for. What was in flight is taken for lost: it may have arrived, then the peer drops it. What is
 * measured is not kept but for the round trip: the congestion window begins anew, as after a silence. The state follows
 * from which ends were said and acknowledged, so it is not written down, and cannot contradict them. Instants are not
 * written down either, but the offset of our timestamps is: the clock of who goes on must be the same (CLOCK_MONOTONIC
 * of one boot), or PAWS would stop the peer (RFC 7323 section 5).
 *
 * Limits: tcp.h. What is read is checked as if it came from a stranger. */
#include "tunnel/tcp_internal.h"

#include "wire/frame.h"
#include "wire/places.h"

#include <errno.h>

enum saved_flag {
    SAVED_ACTIVE = 1,
    SAVED_SACK = 2,
    SAVED_STAMPS = 4,
    SAVED_FINISHED = 8,
    SAVED_CLOSING = 16, /* we ended first, or at the same time: TIME_WAIT follows, not the end */
    SAVED_ALL = 31
};

#define SCALE_MAX 14 /* RFC 7323 2.3 */
#define RTT_MAX (60 * SEC)

bool tcp_end_may_save(const struct tcp_end *e)
{
    if (e->state == TCP_END_CLOSED) /* there may be something to be read */
        return e->error == 0 && e->tx.una > e->tx.end && e->rx.next > e->rx.fin;
    return e->state >= TCP_END_ESTABLISHED;
}

static void save_tx(const struct tcp_tx *tx, struct writer *w)
{
    write_u32(w, tx->iss);
    write_u64(w, tx->una);
    write_u64(w, tx->next);
    write_u64(w, tx->end);
    write_u64(w, tx->ring.capacity_max);
    write_u16(w, tx->peer_mss);
    write_u8(w, tx->scale);
    write_u64(w, tx->window);
    write_u64(w, tx->window_max);
    write_u32(w, tx->window_seq);
    write_u32(w, tx->window_ack);
    write_u64(w, (uint64_t)tx->srtt);
    write_u64(w, (uint64_t)tx->rttvar);
    places_write(w, &tx->ring, MIN(tx->una, tx->end), tx->end);
}

static void save_rx(const struct tcp_rx *rx, struct writer *w)
{
    write_u32(w, rx->irs);
    write_u64(w, rx->read);
    write_u64(w, rx->next);
    write_u64(w, rx->said);
    write_u64(w, rx->fin);
    write_u64(w, rx->ring.capacity_max);
    write_u8(w, rx->scale);
    write_u32(w, rx->acked);
    places_write(w, &rx->ring, rx->read, MIN(rx->next, rx->fin));
    write_u16(w, (uint16_t)rx->early.count);
    for (size_t i = 0; i < rx->early.count; i++) {
        write_u64(w, rx->early.items[i].from);
        write_u64(w, rx->early.items[i].to);
        places_write(w, &rx->ring, rx->early.items[i].from, rx->early.items[i].to);
    }
}

void tcp_end_save(const struct tcp_end *e, struct writer *w)
{
    write_u8(w, (uint8_t)((e->active ? SAVED_ACTIVE : 0) | (e->sack ? SAVED_SACK : 0) | (e->stamps ? SAVED_STAMPS : 0) |
                          (e->tx.finished ? SAVED_FINISHED : 0) |
                          (e->state == TCP_END_CLOSING || e->state == TCP_END_TIME_WAIT ? SAVED_CLOSING : 0)));
    endpoint_write(w, &e->local);
    endpoint_write(w, &e->peer);
    write_u16(w, e->mtu);
    write_u32(w, e->ts_offset);
    write_u32(w, e->ts_recent);
    save_tx(&e->tx, w);
    save_rx(&e->rx, w);
}

static bool ring_size_possible(uint64_t n)
{
    return n >= TCP_END_BUFFER_MIN && n <= TCP_END_BUFFER_MAX && (n & (n - 1)) == 0;
}

static int restore_tx(struct tcp_end *e, struct reader *r)
{
    struct tcp_tx *tx = &e->tx;
    uint64_t ring, srtt, rttvar, base;

    tx->iss = read_u32(r);
    tx->una = read_u64(r);
    tx->next = read_u64(r);
    tx->end = read_u64(r);
    ring = read_u64(r);
    tx->peer_mss = read_u16(r);
    tx->scale = read_u8(r);
    tx->window = read_u64(r);
    tx->window_max = read_u64(r);
    tx->window_seq = read_u32(r);
    tx->window_ack = read_u32(r);
    srtt = read_u64(r);
    rttvar = read_u64(r);
    base = MIN(tx->una, tx->end);
    if (r->failed || !ring_size_possible(ring) || tx->una < 1 || tx->una > tx->next || tx->end >= UINT64_MAX / 2 ||
        tx->next > tx->end + (tx->finished ? 1 : 0) || tx->end < 1 || tx->end - base > ring || tx->scale > SCALE_MAX ||
        tx->window > tx->window_max || tx->window_max > (uint64_t)UINT16_MAX << SCALE_MAX)
        return -EPROTO;
    tx->ring.capacity_max = (size_t)ring;
    tx->srtt = (span)MIN(srtt, (uint64_t)RTT_MAX); /* a process that stood still may have measured more */
    tx->rttvar = (span)MIN(rttvar, (uint64_t)RTT_MAX);
    return places_read(r, &tx->ring, base, base, base, tx->end);
}

static int restore_early(struct tcp_end *e, uint64_t used, struct reader *r)
{
    struct tcp_rx *rx = &e->rx;
    size_t count = read_u16(r);
    int rc = count <= TCP_HOLES_MAX ? 0 : -EPROTO;

    for (size_t i = 0; i < count && rc == 0; i++) {
        uint64_t from = read_u64(r), to = read_u64(r);

        if (r->failed || from >= to || from <= used || to > MIN(tcp_recv_edge(e), rx->fin))
            return -EPROTO;
        rc = places_read(r, &rx->ring, rx->read, used, from, to);
        if (rc == 0)
            rc = ranges_add(&rx->early, from, to);
        used = to;
    }
    return rc;
}

static int restore_rx(struct tcp_end *e, struct reader *r)
{
    struct tcp_rx *rx = &e->rx;
    uint64_t ring, end;
    int rc;

    rx->irs = read_u32(r);
    rx->read = read_u64(r);
    rx->next = read_u64(r);
    rx->said = read_u64(r);
    rx->fin = read_u64(r);
    ring = read_u64(r);
    rx->scale = read_u8(r);
    rx->acked = read_u32(r);
    end = MIN(rx->next, rx->fin);
    if (r->failed || !ring_size_possible(ring) || rx->read < 1 || rx->read > end || rx->next >= UINT64_MAX / 2 ||
        end - rx->read > ring || (rx->fin != UINT64_MAX && rx->next > rx->fin + 1) || rx->said > rx->read + ring + 1 ||
        (rx->scale > SCALE_MAX && rx->scale != UINT8_MAX))
        return -EPROTO;
    rx->ring.capacity_max = (size_t)ring;
    rc = places_read(r, &rx->ring, rx->read, rx->read, rx->read, end);
    return rc < 0 ? rc : restore_early(e, rx->next, r);
}

/* From which ends were said and acknowledged. */
static enum tcp_end_state state_of(const struct tcp_end *e, bool closing)
{
    bool said = e->tx.next > e->tx.end, acked = e->tx.una > e->tx.end, heard = e->rx.next > e->rx.fin;

    if (!said)
        return heard ? TCP_END_CLOSE_WAIT : TCP_END_ESTABLISHED;
    if (!heard)
        return acked ? TCP_END_FIN_WAIT_2 : TCP_END_FIN_WAIT_1;
    if (acked)
        return closing ? TCP_END_TIME_WAIT : TCP_END_CLOSED;
    return closing ? TCP_END_CLOSING : TCP_END_LAST_ACK;
}

static int restore(struct tcp_end *e, uint8_t flags, struct reader *r, instant now)
{
    int rc;

    e->active = flags & SAVED_ACTIVE;
    e->sack = flags & SAVED_SACK;
    e->stamps = flags & SAVED_STAMPS;
    e->tx.finished = flags & SAVED_FINISHED;
    if ((rc = restore_tx(e, r)) < 0 || (rc = restore_rx(e, r)) < 0)
        return rc;
    e->state = state_of(e, flags & SAVED_CLOSING);
    e->opened = e->heard = e->ts_recent_at = now;
    tcp_send_resume(e, now);
    if (e->state == TCP_END_TIME_WAIT)
        e->close_at = now + TCP_TIME_WAIT;
    if (e->state < TCP_END_TIME_WAIT)
        e->rx.acks_due = 1; /* the peer may have asked meanwhile, and hears our window */
    return 0;
}

int tcp_end_restore(const struct tcp_end_options *o, struct reader *r, instant now, struct tcp_end **ret)
{
    uint8_t flags = read_u8(r);
    struct endpoint local, peer;
    struct tcp_end *e;
    uint16_t mtu;
    int rc;

    endpoint_read(r, &local);
    endpoint_read(r, &peer);
    mtu = read_u16(r);
    if (r->failed || flags > SAVED_ALL || local.addr.family != peer.addr.family || local.addr.family == ADDR_NONE ||
        local.port == 0 || peer.port == 0)
        return -EPROTO;
    e = tcp_end_make(o, local, peer, flags & SAVED_ACTIVE ? &tcp_cubic : &tcp_reno);
    if (!e)
        return -ENOMEM;
    /* The device's may be another now; and what ICMP has said of the way since holds. */
    e->mtu = MAX(MIN(e->mtu, mtu), (uint16_t)(e->v6 ? 1280 : 576));
    e->ts_offset = read_u32(r);
    e->ts_recent = read_u32(r);
    rc = restore(e, flags, r, now);
    if (rc < 0) {
        tcp_end_free(e);
        return rc;
    }
    *ret = e;
    return 0;
}
