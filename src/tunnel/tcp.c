/* tunnel/tcp.c - one end of a TCP connection: its life, its states, its timers.
 *
 * Theory of operation. An end is made by a SYN and held: the SYN's repetitions are recognised and ignored, a SYN with
 * another number is a client that began anew, and takes the place of the first. What the owner decides is answered by
 * tcp_end_output, as is everything else: calls only note what is due. States change at three events, whichever file
 * sees them: our FIN leaves, our FIN is acknowledged, the peer's FIN has all before it.
 *
 * An end that connects offers all options, and what the answer does not bring is off. Its SYN, like a SYN-ACK, is said
 * again after 1, 2, 4, 8 and 16 s, and after a minute nobody is there. RFC 9293 3.8.3 asks for three minutes; but
 * whoever waits behind it has a timer of its own, and would hear nothing from us meanwhile. For the same reason an ICMP
 * error about the SYN ends it, also one that TCP should wait out (RFC 1122 4.2.3.9): as Linux and others do (RFC 5461
 * section 4), so that the client tries the next address of the server.
 *
 * Initial numbers are RFC 6528's: a clock of 4 us, and a hash of the four addresses under a secret key. SipHash-1-3 is
 * a pseudorandom function as this needs it. The timestamps' zero is hashed likewise (RFC 7323 5.4), without the ports:
 * between two connections of the same hosts they go on, and a peer's PAWS and TIME_WAIT stay right.
 *
 * TIME_WAIT. It has two uses (RFC 9293 3.6.1): our last acknowledgement may be lost, and old segments may wander. The
 * peer is this host or its LAN: it says its FIN again after its timeout, 200 ms to 1 s, and twice and four times that;
 * 4 s answer two or three of them; nothing wanders longer in a LAN. A new SYN ends it at once (RFC 6191). A server that
 * we connected to is further away: of its FINs one or two come in time, and what wanders longer meets a connection of
 * later numbers and timestamps. A SYN of its is none of this connection, for it was we who opened it.
 *
 * The rings' memory goes RELEASE after nothing was kept and nothing moved: not at once, since a flow that is read as
 * fast as it comes empties its ring at every turn.
 *
 * Limits: tcp.h, tcp_internal.h. Sources: RFC 9293 3.10, 6528, 6191, 7323 5.4, 1122 4.2.3.6. */
#include "tunnel/tcp_internal.h"

#include "base/hash.h"

#include <assert.h>
#include <errno.h>

#define HANDSHAKE (60 * SEC)       /* five repetitions of a SYN or SYN-ACK, as Linux */
#define SYN_FIRST (1 * SEC)        /* RFC 6298 2.1 */
#define KEEPALIVE_EVERY (75 * SEC) /* as Linux and BSD */
#define KEEPALIVE_PROBES 9         /* likewise */
#define RELEASE (1 * SEC)          /* chosen */
#define MTU_MIN_V4 576             /* what every host takes (RFC 791 3.1) */
#define MTU_MIN_V6 1280            /* RFC 8200 section 5 */
#define ISN_TICK (4 * USEC)        /* RFC 6528 section 3 */

/* --- life --- */

static uint64_t hash_pair(const struct tcp_end *e, bool ports)
{
    uint8_t buf[36] = { 0 };

    memcpy(buf, e->local.addr.bytes, 16);
    memcpy(buf + 16, e->peer.addr.bytes, 16);
    if (ports) {
        put_be16(buf + 32, e->local.port);
        put_be16(buf + 34, e->peer.port);
    }
    return siphash13(e->key, buf, ports ? 36 : 32);
}

/* Our numbers, and the scale that our window wants. */
static void choose_numbers(struct tcp_end *e, instant now)
{
    unsigned scale = 0;

    e->ts_offset = (uint32_t)hash_pair(e, false);
    e->tx.iss = (uint32_t)(hash_pair(e, true) + (uint64_t)(now / ISN_TICK));
    while (e->rx.ring.capacity_max >> scale > UINT16_MAX)
        scale++;
    e->rx.scale = (uint8_t)scale;
}

void tcp_take_syn(struct tcp_end *e, const struct tcp_in *syn, instant now)
{
    e->sack = syn->sack_permitted;
    e->stamps = syn->has_ts;
    e->ts_recent = syn->ts;
    e->ts_recent_at = e->heard = now;
    e->rx.irs = syn->seq;
    if (!syn->has_scale)
        e->rx.scale = UINT8_MAX;
    tcp_send_start(e, syn, now);
}

/* A SYN came. Nothing was answered yet. */
static void begin(struct tcp_end *e, const struct tcp_in *syn, instant now)
{
    choose_numbers(e, now);
    tcp_take_syn(e, syn, now);
}

static bool begins_connection(const struct tcp_in *in)
{
    return (in->flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

static size_t buffer_size(size_t wanted)
{
    return bytes_round_down(
        CLAMP(wanted ? wanted : TCP_END_BUFFER_DEFAULT, (size_t)TCP_END_BUFFER_MIN, (size_t)TCP_END_BUFFER_MAX));
}

/* Memory that must be there when everything is lost: one range in each set. */
static int reserve(struct ranges *r)
{
    int rc = ranges_add(r, 0, 1);

    ranges_remove_below(r, UINT64_MAX);
    return rc;
}

struct tcp_end *tcp_end_make(const struct tcp_end_options *o, struct endpoint local, struct endpoint peer,
                             const struct tcp_cc *cc)
{
    struct tcp_end *e = calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    e->local = local;
    e->peer = peer;
    e->v6 = local.addr.family == ADDR_V6;
    e->offload = o->offload;
    e->mtu = (uint16_t)MAX(o->mtu ? o->mtu : TCP_END_MTU_DEFAULT, e->v6 ? MTU_MIN_V6 : MTU_MIN_V4);
    e->keepalive = o->keepalive ? o->keepalive : TCP_END_KEEPALIVE_DEFAULT;
    memcpy(e->key, o->key, sizeof(e->key));
    e->close_at = e->release_at = e->syn_at = e->rx.ack_at = INSTANT_NEVER;
    e->tx.ring.capacity_max = buffer_size(o->send_bytes);
    e->rx.ring.capacity_max = buffer_size(o->receive_bytes);
    e->tx.end = e->rx.read = e->rx.next = 1;
    e->rx.fin = UINT64_MAX;
    e->cc = cc;
    if (reserve(&e->tx.lost) < 0 || (cc->make && cc->make(e) < 0)) {
        tcp_end_free(e);
        return NULL;
    }
    return e;
}

int tcp_end_new(const struct tcp_end_options *o, const uint8_t *pkt, const struct packet_info *info, instant now,
                struct tcp_end **ret)
{
    struct tcp_in syn;
    struct tcp_end *e;

    if (tcp_in_parse(pkt, info, &syn) < 0 || !begins_connection(&syn))
        return -EPROTO;
    e = tcp_end_make(o, (struct endpoint){ info->dst, info->dport }, (struct endpoint){ info->src, info->sport },
                     &tcp_reno);
    if (!e)
        return -ENOMEM;
    begin(e, &syn, now);
    *ret = e;
    return 0;
}

/* The handshake has until then, and its first packet is due. */
static void shake_hands(struct tcp_end *e, enum tcp_end_state s, instant now)
{
    e->state = s;
    e->tx.next = 1;
    e->syn_due = true;
    e->opened = now;
    e->close_at = now + HANDSHAKE;
}

int tcp_end_connect(const struct tcp_end_options *o, const struct endpoint *local, const struct endpoint *peer,
                    instant now, struct tcp_end **ret)
{
    static const struct tcp_in nothing;
    struct tcp_end *e;

    if (local->addr.family != peer->addr.family || !addr_is_unicast(&local->addr) || !addr_is_unicast(&peer->addr) ||
        local->port == 0 || peer->port == 0)
        return -EINVAL;
    e = tcp_end_make(o, *local, *peer, &tcp_cubic);
    if (!e)
        return -ENOMEM;
    e->active = e->sack = e->stamps = true;
    choose_numbers(e, now);
    tcp_send_start(e, &nothing, now); /* the answer brings the rest */
    shake_hands(e, TCP_END_SYN_SENT, now);
    *ret = e;
    return 0;
}

void tcp_end_free(struct tcp_end *e)
{
    if (!e)
        return;
    bytes_let_go(&e->tx.ring);
    bytes_let_go(&e->rx.ring);
    ranges_deinit(&e->tx.sacked);
    ranges_deinit(&e->tx.lost);
    ranges_deinit(&e->rx.early);
    free(e->cc_state);
    free(e);
}

bool tcp_end_matches(const struct tcp_end *e, const struct packet_info *info)
{
    return info->proto == PROTO_TCP && !info->fragment && info->sport == e->peer.port && info->dport == e->local.port &&
           addr_equal(&info->src, &e->peer.addr) && addr_equal(&info->dst, &e->local.addr);
}

void tcp_end_accept(struct tcp_end *e, instant now)
{
    if (e->state != TCP_END_HELD)
        return;
    shake_hands(e, TCP_END_SYN_RECEIVED, now);
}

void tcp_end_refuse(struct tcp_end *e, enum tcp_refusal why, const struct addr *src)
{
    assert((unsigned)why < TCP_REFUSAL_COUNT);
    if (e->state != TCP_END_HELD)
        return;
    tcp_close(e, -ECONNREFUSED);
    e->why = why;
    e->answer = why == TCP_REFUSED ? TCP_ANSWER_REFUSE : TCP_ANSWER_ICMP;
    e->icmp_src = src ? *src : e->local.addr;
}

void tcp_end_abort(struct tcp_end *e)
{
    switch (e->state) {
    case TCP_END_HELD:
        tcp_end_refuse(e, TCP_REFUSED, NULL);
        break;
    case TCP_END_TIME_WAIT:
        tcp_close(e, 0);
        break;
    case TCP_END_CLOSED:
        break;
    default:
        tcp_close(e, -ECONNABORTED);
        break;
    }
}

/* --- states --- */

void tcp_close(struct tcp_end *e, int error)
{
    e->error = error;
    /* The peer that did not answer may be there after all; that reset us knows. One whose number we do not know could
     * not take it for ours. */
    if (e->state == TCP_END_SYN_SENT)
        e->answer = TCP_ANSWER_NONE;
    else if (error == -ETIMEDOUT || error == -ECONNABORTED)
        e->answer = TCP_ANSWER_RESET;
    e->state = TCP_END_CLOSED;
    e->syn_due = e->tx.probe_due = false;
    e->rx.acks_due = 0;
}

void tcp_on_fin_sent(struct tcp_end *e)
{
    if (e->state == TCP_END_ESTABLISHED)
        e->state = TCP_END_FIN_WAIT_1;
    else if (e->state == TCP_END_CLOSE_WAIT)
        e->state = TCP_END_LAST_ACK;
}

static void enter_time_wait(struct tcp_end *e, instant now)
{
    e->state = TCP_END_TIME_WAIT;
    e->close_at = now + TCP_TIME_WAIT;
}

void tcp_on_fin_acked(struct tcp_end *e, instant now)
{
    if (e->state == TCP_END_FIN_WAIT_1)
        e->state = TCP_END_FIN_WAIT_2;
    else if (e->state == TCP_END_CLOSING)
        enter_time_wait(e, now);
    else if (e->state == TCP_END_LAST_ACK)
        tcp_close(e, 0);
}

void tcp_on_fin_received(struct tcp_end *e, instant now)
{
    if (e->state == TCP_END_ESTABLISHED)
        e->state = TCP_END_CLOSE_WAIT;
    else if (e->state == TCP_END_FIN_WAIT_1)
        e->state = TCP_END_CLOSING;
    else if (e->state == TCP_END_FIN_WAIT_2 || e->state == TCP_END_TIME_WAIT)
        enter_time_wait(e, now);
}

enum tcp_end_state tcp_end_state(const struct tcp_end *e)
{
    return e->state;
}

int tcp_end_error(const struct tcp_end *e)
{
    return e->error;
}

const char *tcp_end_state_name(enum tcp_end_state s)
{
    static const char *const names[TCP_END_STATES] = {
        "held",       "syn-sent", "syn-received", "established", "fin-wait-1", "fin-wait-2",
        "close-wait", "closing",  "last-ack",     "time-wait",   "closed",
    };

    assert((unsigned)s < TCP_END_STATES);
    return names[s];
}

/* --- packets --- */

static void on_held(struct tcp_end *e, const struct tcp_in *in, instant now)
{
    if (in->flags & TCP_RST && in->seq == tcp_rx_wire(e, 1))
        tcp_close(e, -ECONNRESET); /* it no longer wants to */
    else if (begins_connection(in) && in->seq != e->rx.irs)
        begin(e, in, now);
    else if (!begins_connection(in))
        e->dropped++;
}

enum tcp_end_outcome tcp_end_input(struct tcp_end *e, const uint8_t *pkt, const struct packet_info *info,
                                   const struct offload *offload, instant now)
{
    struct tcp_in in;

    assert(tcp_end_matches(e, info));
    e->packets_in++;
    if (tcp_in_parse(pkt, info, &in) < 0 || !tcp_checksum_right(pkt, info, offload)) {
        e->dropped++;
        return TCP_END_TAKEN;
    }
    if (e->state == TCP_END_HELD) {
        on_held(e, &in, now);
        return TCP_END_TAKEN;
    }
    if (e->state == TCP_END_SYN_SENT) {
        tcp_recv_synack(e, &in, now);
        return TCP_END_TAKEN;
    }
    return tcp_recv_segment(e, &in, now);
}

static void put_syn(struct tcp_end *e, struct merged *ret, instant now)
{
    tcp_put(e, e->active ? TCP_SYN : TCP_SYN | TCP_ACK, 0, 0, ret, now);
    e->syn_due = false;
    e->syn_at = now + (SYN_FIRST << MIN(e->syns, 5u));
    e->syns++;
    e->tx.last_sent = now;
}

static bool put_answer(struct tcp_end *e, struct merged *ret, instant now)
{
    bool put = true;

    if (e->answer == TCP_ANSWER_RESET)
        tcp_put(e, TCP_RST | TCP_ACK, e->tx.next, 0, ret, now);
    else if (e->answer == TCP_ANSWER_STRAY)
        tcp_put(e, TCP_RST, e->stray - e->tx.iss, 0, ret, now);
    else
        put = tcp_put_refusal(e, ret);
    e->answer = TCP_ANSWER_NONE;
    return put;
}

static bool tx_is_idle(const struct tcp_end *e)
{
    return e->tx.ring.capacity > 0 && e->tx.una >= e->tx.end;
}

static bool rx_is_idle(const struct tcp_end *e)
{
    return e->rx.ring.capacity > 0 && e->rx.read >= MIN(e->rx.next, e->rx.fin) && e->rx.early.count == 0;
}

static void release_later(struct tcp_end *e, instant now)
{
    if (!tx_is_idle(e) && !rx_is_idle(e))
        e->release_at = INSTANT_NEVER;
    else if (e->release_at == INSTANT_NEVER || e->used)
        e->release_at = now + RELEASE;
    e->used = false;
}

bool tcp_end_output(struct tcp_end *e, struct merged *ret, instant now)
{
    if (e->answer != TCP_ANSWER_NONE)
        return put_answer(e, ret, now);
    if (e->state == TCP_END_HELD || e->state == TCP_END_CLOSED)
        return false;
    if (e->state < TCP_END_ESTABLISHED) {
        if (!e->syn_due)
            return false;
        put_syn(e, ret, now);
        return true;
    }
    if (e->tx.probe_due) {
        e->tx.probe_due = false;
        tcp_put(e, TCP_ACK, e->tx.una - 1, 0, ret, now);
        return true;
    }
    /* What tells of holes goes alone, and first: a segment with data has no room for it. */
    if (e->rx.acks_due > 0 && (e->rx.early.count > 0 || e->rx.twice_from < e->rx.twice_to || e->rx.acks_due > 1)) {
        unsigned more = e->rx.acks_due - 1;

        tcp_put(e, TCP_ACK, e->tx.next, 0, ret, now);
        e->rx.acks_due = more;
        return true;
    }
    if (tcp_send_output(e, ret, now))
        return true;
    if (e->rx.acks_due > 0) {
        tcp_put(e, TCP_ACK, e->tx.next, 0, ret, now);
        return true;
    }
    release_later(e, now);
    return false;
}

void tcp_end_on_too_big(struct tcp_end *e, uint32_t seq, uint16_t mtu)
{
    uint16_t least = e->v6 ? MTU_MIN_V6 : MTU_MIN_V4;

    if (e->state < TCP_END_ESTABLISHED || e->state >= TCP_END_TIME_WAIT || mtu >= e->mtu || e->mtu == least ||
        seq - tcp_tx_wire(e, e->tx.una) >= e->tx.next - e->tx.una)
        return;
    e->mtu = MAX(mtu, least);
    tcp_send_fit_mtu(e);
    tcp_send_all_again(e);
}

void tcp_end_on_unreachable(struct tcp_end *e, uint32_t seq, enum tcp_refusal why)
{
    static const int errors[TCP_REFUSAL_COUNT] = { [TCP_REFUSED] = -ECONNREFUSED,
                                                   [TCP_REFUSED_NET] = -ENETUNREACH,
                                                   [TCP_REFUSED_HOST] = -EHOSTUNREACH,
                                                   [TCP_REFUSED_PROHIBITED] = -EACCES };

    assert((unsigned)why < TCP_REFUSAL_COUNT);
    if (e->state == TCP_END_SYN_SENT && e->syns > 0 && seq == tcp_tx_wire(e, 0))
        tcp_close(e, errors[why]);
}

/* --- time --- */

static instant keepalive_at(const struct tcp_end *e)
{
    bool waits = e->state >= TCP_END_ESTABLISHED && e->state < TCP_END_TIME_WAIT && e->tx.next == e->tx.una &&
                 e->tx.timer != TCP_TIMER_PERSIST;

    if (!waits || e->keepalive >= INSTANT_NEVER - e->heard)
        return INSTANT_NEVER;
    return e->heard + e->keepalive + e->keepalive_probes * KEEPALIVE_EVERY;
}

instant tcp_end_next_expiry(const struct tcp_end *e)
{
    instant next = instant_min(e->close_at, instant_min(e->release_at, keepalive_at(e)));

    if (e->state == TCP_END_HELD || e->state == TCP_END_CLOSED)
        return INSTANT_NEVER;
    next = instant_min(next, instant_min(e->syn_at, e->rx.ack_at));
    return instant_min(next, instant_min(e->tx.timer_at, e->tx.reorder_at));
}

static void release(struct tcp_end *e)
{
    e->release_at = INSTANT_NEVER;
    if (tx_is_idle(e))
        bytes_let_go(&e->tx.ring);
    if (rx_is_idle(e))
        bytes_let_go(&e->rx.ring);
}

static void on_keepalive(struct tcp_end *e)
{
    if (e->keepalive_probes == KEEPALIVE_PROBES) {
        tcp_close(e, -ETIMEDOUT);
        return;
    }
    e->keepalive_probes++;
    e->probes++;
    e->tx.probe_due = true;
}

void tcp_end_on_expiry(struct tcp_end *e, instant now)
{
    if (e->state == TCP_END_HELD || e->state == TCP_END_CLOSED)
        return;
    if (e->close_at <= now) {
        tcp_close(e, e->state == TCP_END_TIME_WAIT ? 0 : -ETIMEDOUT);
        return;
    }
    if (e->syn_at <= now) {
        e->syn_at = INSTANT_NEVER;
        e->syn_due = true;
    }
    if (e->rx.ack_at <= now) {
        e->rx.ack_at = INSTANT_NEVER;
        e->rx.acks_due = MAX(e->rx.acks_due, 1u);
    }
    if (keepalive_at(e) <= now)
        on_keepalive(e);
    tcp_send_on_expiry(e, now);
    if (e->release_at <= now)
        release(e);
}

void tcp_end_info(const struct tcp_end *e, struct tcp_end_info *ret)
{
    const struct tcp_tx *tx = &e->tx;
    const struct tcp_rx *rx = &e->rx;

    *ret = (struct tcp_end_info){
        .local = e->local,
        .peer = e->peer,
        .srtt = tx->srtt,
        .rttvar = tx->rttvar,
        .rto = tx->rto,
        .min_rtt = tx->min_rtt,
        .cwnd = tx->cwnd,
        .ssthresh = tx->ssthresh,
        .in_flight = tcp_in_flight(tx),
        .peer_window = tx->window,
        .written = tx->end - 1,
        .acked = CLAMP(tx->una, (uint64_t)1, tx->end) - 1,
        .received = MIN(rx->next, rx->fin) - 1,
        .read = rx->read - 1,
        .packets_in = e->packets_in,
        .packets_out = e->packets_out,
        .resent_packets = e->resent_packets,
        .resent_bytes = e->resent_bytes,
        .timeouts = e->timeouts,
        .probes = e->probes,
        .dropped = e->dropped,
        .mss = tx->mss,
        .control = e->cc->name,
        .sack = e->sack,
        .timestamps = e->stamps,
        .holes = rx->early.count,
        .buffered_tx = tx->ring.capacity,
        .buffered_rx = rx->ring.capacity,
    };
}
