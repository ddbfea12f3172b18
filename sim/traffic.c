/* Inner traffic of a world: see traffic.h.
 *
 * Theory of operation. The text's prefix sums make the checksum of any even piece of it two look-ups. A steady flow
 * keeps its times in nanoseconds so that its rate is exact. The window flow counts in segments: the scoreboard is a
 * ring of flags, `pipe` the segments that are neither acknowledged nor lost; a segment is lost when three above it were
 * selectively acknowledged since it was sent (RFC 6675), and once more by the timer (RFC 6298, 200 ms at least as in
 * Linux). Growth is CUBIC (RFC 9438) with beta .7 and C .4 and no Reno-friendly region below it. There is no handshake
 * and no end: segment 0 is the first.
 *
 * Limits: 65,536 segments or numbers outstanding. */
#include "sim/traffic.h"

#include <assert.h>
#include <math.h>

#define MSS 1340 /* bytes: 1,400 less IPv6 and TCP headers */
#define RTO_MIN (200 * MSEC)
#define RTO_MAX (60 * SEC)
#define ACK_DELAY (20 * MSEC)
#define CUBIC_C 0.4
#define CUBIC_BETA 0.7
#define SACK_KIND 253 /* experimental: pairs of 16-bit distances in segments */

/* --- packets --- */

static void text_init(struct traffic *t)
{
    struct prng p;

    prng_init(&p, 0x68617773);
    for (unsigned i = 0; i < TRAFFIC_TEXT; i += 8)
        put_le64(t->text + i, i % 64 == 0 ? TRAFFIC_MARKER : prng_u64(&p));
    memcpy(t->text + TRAFFIC_TEXT, t->text, TRAFFIC_TEXT);
    for (unsigned i = 0; i < TRAFFIC_TEXT / 2; i++)
        t->sums[i + 1] = t->sums[i] + get_be16(t->text + 2 * i);
}

static const uint8_t *text_at(const struct traffic *t, uint64_t seq)
{
    return t->text + (seq * 8) % 2048;
}

/* The sum of n bytes of the text from p in host order; p even, n at most 2,048. */
static uint64_t text_sum(const struct traffic *t, const uint8_t *p, size_t n)
{
    size_t at = (size_t)(p - t->text) / 2;

    return t->sums[at + n / 2] - t->sums[at] + (n % 2 ? (uint64_t)p[n - 1] << 8 : 0);
}

static uint64_t sum_bytes(const uint8_t *p, size_t n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i + 1 < n; i += 2)
        sum += get_be16(p + i);
    return sum + (n % 2 ? (uint64_t)p[n - 1] << 8 : 0);
}

static uint16_t sum_finish(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

/* IP header for a packet of len bytes; returns its length and the sum of the pseudo-header. */
static size_t ip_put(const struct traffic_flow *f, bool forth, uint8_t *p, size_t len, uint8_t proto, uint64_t *sum)
{
    const struct world_end *src = forth ? f->from : f->to, *dst = forth ? f->to : f->from;
    size_t hdr = f->v6 ? PACKET_V6_HDR : PACKET_V4_HDR;

    if (f->v6) {
        put_be32(p, 6u << 28);
        put_be16(p + 4, (uint16_t)(len - hdr));
        p[6] = proto;
        p[7] = 64;
        memcpy(p + 8, src->inner[1].bytes, 16);
        memcpy(p + 24, dst->inner[1].bytes, 16);
        *sum = sum_bytes(p + 8, 32) + proto + (len - hdr);
    } else {
        put_be32(p, 0x45000000u | (uint32_t)len);
        put_be32(p + 4, 0x4000); /* don't fragment */
        p[8] = 64;
        p[9] = proto;
        put_be16(p + 10, 0);
        memcpy(p + 12, src->inner[0].bytes, 4);
        memcpy(p + 16, dst->inner[0].bytes, 4);
        *sum = sum_bytes(p + 12, 8) + proto + (len - hdr);
        put_be16(p + 10, sum_finish(sum_bytes(p, 20)));
    }
    return hdr;
}

static uint16_t steady_len(const struct traffic_flow *f, uint64_t seq)
{
    return (uint16_t)(f->len + (f->len_spread ? seq % f->len_spread : 0));
}

static void steady_send(struct traffic_flow *f, instant now)
{
    struct traffic *t = f->traffic;
    uint8_t pkt[WORLD_PACKET_MAX], *udp;
    uint64_t seq = f->next_seq++, sum;
    size_t len = steady_len(f, seq), hdr = ip_put(f, true, pkt, len, PROTO_UDP, &sum), n = len - hdr - 8;

    udp = pkt + hdr;
    put_be16(udp, (uint16_t)(TRAFFIC_PORT + f->id));
    put_be16(udp + 2, (uint16_t)(TRAFFIC_PORT + f->id));
    put_be16(udp + 4, (uint16_t)(len - hdr));
    put_be16(udp + 6, 0);
    put_le64(udp + 8, TRAFFIC_MARKER);
    put_be64(udp + 16, seq);
    put_be64(udp + 24, (uint64_t)now);
    memcpy(udp + 8 + TRAFFIC_HEAD, text_at(t, seq), n - TRAFFIC_HEAD);
    sum += sum_bytes(udp, 8 + TRAFFIC_HEAD) + text_sum(t, text_at(t, seq), n - TRAFFIC_HEAD);
    put_be16(udp + 6, sum_finish(sum));
    world_packet_in(f->from, pkt, len);
}

static void steady_fire(struct world *w, struct world_source *s)
{
    struct traffic_flow *f = CONTAINER_OF(s, struct traffic_flow, source);

    f->next_ns += f->interval_ns;
    world_schedule(w, s, f->stopped ? INSTANT_NEVER : (f->next_ns + 999) / 1000);
    if (!f->stopped)
        steady_send(f, w->now);
}

/* --- steady: the sink --- */

static bool bit_test_and_set(uint8_t *bits, uint64_t i)
{
    uint8_t *b = &bits[i % TRAFFIC_SEQS / 8], m = (uint8_t)(1u << i % 8);
    bool was = *b & m;

    *b |= m;
    return was;
}

static void arrived(struct traffic_flow *f, size_t len, instant now)
{
    if (f->received++ == 0)
        f->first_rx = f->last_rx = now;
    f->gap_max = MAX(f->gap_max, now - f->last_rx);
    f->last_rx = now;
    f->received_bytes += len;
}

static void steady_receive(struct traffic_flow *f, const uint8_t *udp, size_t n)
{
    struct traffic *t = f->traffic;
    struct world *w = t->world;
    uint64_t seq = get_be64(udp + 16);

    if (get_le64(udp + 8) != TRAFFIC_MARKER || seq >= f->next_seq ||
        n != steady_len(f, seq) - (size_t)(f->v6 ? 40 : 20) - 8 ||
        memcmp(udp + 8 + TRAFFIC_HEAD, text_at(t, seq), n - TRAFFIC_HEAD) != 0) {
        t->bad++;
        world_fail(w, "flow %u: wrong content in number %llu", f->id, (unsigned long long)seq);
        return;
    }
    arrived(f, n, w->now);
    f->delay_max = MAX(f->delay_max, w->now - (instant)get_be64(udp + 24));
    if (f->received == 1) {
        f->highest = seq;
        bit_test_and_set(f->seen, seq);
    } else if (seq > f->highest) {
        uint64_t clear = seq - f->highest;

        for (uint64_t i = 1; i <= MIN(clear, (uint64_t)TRAFFIC_SEQS); i++)
            f->seen[(f->highest + i) % TRAFFIC_SEQS / 8] &= (uint8_t) ~(1u << (f->highest + i) % 8);
        f->highest = seq;
        bit_test_and_set(f->seen, seq);
    } else if (f->highest - seq >= TRAFFIC_SEQS) {
        world_fail(w, "flow %u: number %llu came %llu late", f->id, (unsigned long long)seq,
                   (unsigned long long)(f->highest - seq));
    } else if (bit_test_and_set(f->seen, seq)) {
        f->received--;
        f->duplicates++;
    } else {
        f->reordered++;
    }
    if (t->on_delivered)
        t->on_delivered(t->ctx, f, seq);
}

/* --- window: the receiver --- */

static void tcp_put(struct traffic_flow *f, uint8_t *tcp, uint64_t seq, uint64_t ack, size_t hdr, uint8_t flags)
{
    put_be16(tcp, (uint16_t)(TRAFFIC_PORT + f->id));
    put_be16(tcp + 2, (uint16_t)(TRAFFIC_PORT + f->id));
    put_be32(tcp + 4, (uint32_t)(seq * MSS));
    put_be32(tcp + 8, (uint32_t)(ack * MSS));
    tcp[12] = (uint8_t)(hdr / 4 << 4);
    tcp[13] = flags;
    put_be16(tcp + 14, 0xffff);
    put_be32(tcp + 16, 0);
}

/* The segment nearest to `near` with this sequence number. */
static uint64_t tcp_segment(uint32_t wire, uint64_t near)
{
    return near + (uint64_t)((int64_t)(int32_t)(wire - (uint32_t)(near * MSS)) / MSS);
}

static bool have(const struct traffic_tcp *c, uint64_t seg)
{
    return seg < c->got_next || (seg - c->got_next < TRAFFIC_SEQS && c->got[seg % TRAFFIC_SEQS]);
}

/* The run of received segments around seg, not below the cumulative acknowledgement. */
static bool run_around(const struct traffic_tcp *c, uint64_t seg, uint64_t *first, uint64_t *end)
{
    if (seg < c->got_next || !have(c, seg))
        return false;
    for (*first = seg; *first > c->got_next && have(c, *first - 1);)
        --*first;
    for (*end = seg + 1; *end <= c->got_highest && have(c, *end);)
        ++*end;
    return true;
}

static void ack_send(struct traffic_flow *f)
{
    struct traffic_tcp *c = f->tcp;
    uint8_t pkt[128], *tcp, *opt;
    uint64_t sum, first, end, at = c->got_highest;
    size_t n = 0, hdr, opt_len, ip;

    opt = pkt + PACKET_V4_HDR + 20;
    if (c->got_highest >= c->got_next) {
        if (run_around(c, c->got_last, &first, &end)) {
            put_be16(opt + 2, (uint16_t)(first - c->got_next));
            put_be16(opt + 4, (uint16_t)(end - c->got_next));
            n++;
        }
        /* Downwards from the highest run; the newest first run may stand there twice. */
        while (n < TRAFFIC_SACKS && at > c->got_next && run_around(c, at, &first, &end)) {
            put_be16(opt + 2 + 4 * n, (uint16_t)(first - c->got_next));
            put_be16(opt + 4 + 4 * n, (uint16_t)(end - c->got_next));
            n++;
            for (at = first; at > c->got_next && !have(c, at - 1);)
                at--;
            if (at <= c->got_next)
                break;
            at--;
        }
    }
    opt_len = n > 0 ? (2 + 4 * n + 3) / 4 * 4 : 0;
    if (opt_len > 0) {
        memset(opt + 2 + 4 * n, 0, opt_len - 2 - 4 * n);
        opt[0] = SACK_KIND;
        opt[1] = (uint8_t)(2 + 4 * n);
    }
    hdr = 20 + opt_len;
    ip = ip_put(f, false, pkt, PACKET_V4_HDR + hdr, PROTO_TCP, &sum);
    tcp = pkt + ip;
    tcp_put(f, tcp, 0, c->got_next, hdr, TCP_ACK);
    put_be16(tcp + 16, sum_finish(sum + sum_bytes(tcp, hdr)));
    c->unacked = 0;
    c->ack_at = INSTANT_NEVER;
    world_packet_in(f->to, pkt, ip + hdr);
}

static void tcp_reschedule(struct traffic_flow *f)
{
    world_schedule(f->traffic->world, &f->source,
                   f->stopped ? INSTANT_NEVER : instant_min(f->tcp->rto_at, f->tcp->ack_at));
}

static void segment_receive(struct traffic_flow *f, const uint8_t *tcp, size_t n)
{
    struct traffic_tcp *c = f->tcp;
    struct world *w = f->traffic->world;
    uint64_t seg = tcp_segment(get_be32(tcp + 4), c->got_next);
    bool odd = true;

    if (n != MSS || memcmp(tcp + 20, text_at(f->traffic, seg), n) != 0) {
        f->traffic->bad++;
        world_fail(w, "flow %u: wrong content in segment %llu", f->id, (unsigned long long)seg);
        return;
    }
    c->got_last = seg;
    if (have(c, seg) || seg - c->got_next >= TRAFFIC_SEQS) {
        f->duplicates++;
    } else {
        arrived(f, n, w->now);
        if (seg < c->got_highest)
            c->reordered++;
        c->got_highest = MAX(c->got_highest, seg);
        c->got[seg % TRAFFIC_SEQS] = 1;
        if (seg == c->got_next) {
            odd = false;
            while (have(c, c->got_next)) {
                c->got[c->got_next % TRAFFIC_SEQS] = 0;
                c->got_next++;
                odd |= c->got_next <= c->got_highest && !have(c, c->got_next);
            }
        }
    }
    if (odd || ++c->unacked >= 2)
        ack_send(f);
    else
        c->ack_at = w->now + ACK_DELAY;
    tcp_reschedule(f);
}

/* --- window: the sender --- */

static struct tcp_segment *seg_at(struct traffic_tcp *c, uint64_t seg)
{
    return &c->segs[seg % TRAFFIC_SEQS];
}

static void segment_send(struct traffic_flow *f, uint64_t seg, bool again)
{
    struct traffic_tcp *c = f->tcp;
    struct traffic *t = f->traffic;
    uint8_t pkt[WORLD_PACKET_MAX], *tcp;
    uint64_t sum;
    size_t ip = ip_put(f, true, pkt, PACKET_V4_HDR + 20 + MSS, PROTO_TCP, &sum);

    tcp = pkt + ip;
    tcp_put(f, tcp, seg, 0, 20, TCP_ACK);
    memcpy(tcp + 20, text_at(t, seg), MSS);
    put_be16(tcp + 16, sum_finish(sum + sum_bytes(tcp, 20) + text_sum(t, text_at(t, seg), MSS)));
    *seg_at(c, seg) =
        (struct tcp_segment){ .sent = t->world->now, .flags = (uint8_t)(TCP_SEG_SENT | (again ? TCP_SEG_AGAIN : 0)) };
    c->pipe++;
    c->retransmits += again;
    world_packet_in(f->from, pkt, ip + 20 + MSS);
}

static bool more_to_send(const struct traffic_tcp *c)
{
    return (c->limit == 0 || c->next < c->limit) && c->next - c->una < TRAFFIC_SEQS / 2;
}

static void window_pump(struct traffic_flow *f)
{
    struct traffic_tcp *c = f->tcp;
    struct world *w = f->traffic->world;

    while (!f->stopped && (double)c->pipe < c->cwnd && !w->failed) {
        while (c->lost_from < c->next && !(seg_at(c, c->lost_from)->flags & TCP_SEG_LOST))
            c->lost_from++;
        if (c->lost_from < c->next)
            segment_send(f, c->lost_from, true);
        else if (more_to_send(c))
            segment_send(f, c->next++, false);
        else
            break;
    }
    if (c->una == c->next)
        c->rto_at = INSTANT_NEVER;
    else if (c->rto_at == INSTANT_NEVER)
        c->rto_at = w->now + c->rto;
    tcp_reschedule(f);
}

static void rtt_sample(struct traffic_tcp *c, span rtt)
{
    if (c->srtt == 0) {
        c->srtt = rtt;
        c->rttvar = rtt / 2;
    } else {
        span d = rtt > c->srtt ? rtt - c->srtt : c->srtt - rtt;

        c->rttvar += (d - c->rttvar) / 4;
        c->srtt += (rtt - c->srtt) / 8;
    }
    c->rto = CLAMP(c->srtt + MAX(4 * c->rttvar, RTO_MIN), RTO_MIN, RTO_MAX);
}

static void back_off(struct traffic_tcp *c)
{
    c->w_max = c->cwnd;
    c->ssthresh = MAX(c->cwnd * CUBIC_BETA, 2);
    c->epoch = 0;
}

static void grow(struct traffic_tcp *c, double acked, instant now)
{
    double t, target;

    if (c->cwnd < c->ssthresh) {
        c->cwnd += acked;
        return;
    }
    if (c->epoch == 0) {
        c->epoch = now;
        c->w_max = MAX(c->w_max, c->cwnd);
        c->k = cbrt((c->w_max - c->cwnd) / CUBIC_C);
    }
    t = (double)(now - c->epoch + c->srtt) / SEC - c->k;
    target = CLAMP(CUBIC_C * t * t * t + c->w_max, c->cwnd, 1.5 * c->cwnd);
    c->cwnd += acked * MAX((target - c->cwnd) / c->cwnd, 0.01 / c->cwnd);
}

static void sack_mark(struct traffic_tcp *c, uint64_t first, uint64_t end, instant now, double *newly)
{
    for (uint64_t s = MAX(first, c->una); s < MIN(end, c->next); s++) {
        struct tcp_segment *seg = seg_at(c, s);

        if (seg->flags & TCP_SEG_SACKED)
            continue;
        if (!(seg->flags & TCP_SEG_LOST))
            c->pipe--;
        if (!(seg->flags & TCP_SEG_AGAIN))
            rtt_sample(c, now - seg->sent);
        seg->flags = TCP_SEG_SACKED;
        c->highest_sacked = MAX(c->highest_sacked, s);
        ++*newly;
    }
}

/* Three segments above one that was sent no later were acknowledged: it is lost. */
static bool find_losses(struct traffic_tcp *c)
{
    instant sent[3] = { -1, -1, -1 }; /* newest times of acknowledged segments above, descending */
    bool found = false;

    if (c->highest_sacked < c->una)
        return false;
    for (uint64_t s = c->highest_sacked + 1; s-- > c->una;) {
        struct tcp_segment *seg = seg_at(c, s);

        if (seg->flags & TCP_SEG_SACKED) {
            instant at = seg->sent;
            for (unsigned i = 0; i < 3; i++) {
                if (at > sent[i]) {
                    instant lower = sent[i];
                    sent[i] = at;
                    at = lower;
                }
            }
        } else if (!(seg->flags & TCP_SEG_LOST) && sent[2] >= seg->sent) {
            seg->flags |= TCP_SEG_LOST;
            c->pipe--;
            c->lost_from = MIN(c->lost_from, s);
            found = true;
        }
    }
    return found;
}

static void ack_receive(struct traffic_flow *f, const uint8_t *tcp, size_t hdr)
{
    struct traffic_tcp *c = f->tcp;
    instant now = f->traffic->world->now;
    uint64_t ack = tcp_segment(get_be32(tcp + 8), c->una);
    double newly = 0;

    if (ack > c->next || ack < c->una)
        return;
    for (uint64_t s = c->una; s < ack; s++) {
        struct tcp_segment *seg = seg_at(c, s);

        if (!(seg->flags & TCP_SEG_SACKED)) {
            newly++;
            if (!(seg->flags & TCP_SEG_LOST))
                c->pipe--;
            if (!(seg->flags & TCP_SEG_AGAIN))
                rtt_sample(c, now - seg->sent);
        }
        seg->flags = 0;
    }
    if (ack > c->una)
        c->rto_at = INSTANT_NEVER;
    c->una = ack;
    c->lost_from = MAX(c->lost_from, ack);
    if (hdr > 20 && tcp[20] == SACK_KIND)
        for (size_t i = 2; i + 4 <= tcp[21] && 20 + i + 4 <= hdr; i += 4)
            sack_mark(c, ack + get_be16(tcp + 20 + i), ack + get_be16(tcp + 22 + i), now, &newly);
    if (c->recovering && ack >= c->recover)
        c->recovering = false;
    if (find_losses(c) && !c->recovering) {
        c->recovering = true;
        c->recover = c->next;
        back_off(c);
        c->cwnd = c->ssthresh;
    } else if (!c->recovering && newly > 0 && (double)c->pipe + newly + 1 >= c->cwnd / 2) {
        grow(c, newly, now);
    }
    window_pump(f);
}

static void window_timeout(struct traffic_flow *f)
{
    struct traffic_tcp *c = f->tcp;

    c->timeouts++;
    back_off(c);
    c->cwnd = 2;
    c->recovering = true;
    c->recover = c->next;
    for (uint64_t s = c->una; s < c->next; s++) {
        struct tcp_segment *seg = seg_at(c, s);

        if (!(seg->flags & (TCP_SEG_SACKED | TCP_SEG_LOST))) {
            seg->flags |= TCP_SEG_LOST;
            c->pipe--;
        }
    }
    c->lost_from = c->una;
    c->rto = MIN(c->rto * 2, RTO_MAX);
    c->rto_at = INSTANT_NEVER;
    /* Slow start again. */
    c->recovering = false;
    window_pump(f);
}

static void window_fire(struct world *w, struct world_source *s)
{
    struct traffic_flow *f = CONTAINER_OF(s, struct traffic_flow, source);
    struct traffic_tcp *c = f->tcp;

    if (c->next == 0) {
        c->rto_at = INSTANT_NEVER;
        window_pump(f);
    }
    if (c->ack_at <= w->now)
        ack_send(f);
    if (c->rto_at <= w->now)
        window_timeout(f);
    tcp_reschedule(f);
}

/* --- all --- */

static bool inner(void *ctx, struct world_end *e, const uint8_t *pkt, size_t len)
{
    struct traffic *t = ctx;
    size_t hdr = pkt[0] >> 4 == 6 ? PACKET_V6_HDR : PACKET_V4_HDR;
    struct traffic_flow *f;
    const uint8_t *l4 = pkt + hdr;
    uint8_t proto;
    uint16_t port;

    if (len < hdr + 8)
        return false;
    proto = hdr == PACKET_V6_HDR ? pkt[6] : pkt[9];
    port = get_be16(l4 + 2);
    if ((proto != PROTO_UDP && proto != PROTO_TCP) || port < TRAFFIC_PORT || port >= TRAFFIC_PORT + t->count)
        return false;
    f = t->flows[port - TRAFFIC_PORT];
    if (f->is_tcp != (proto == PROTO_TCP) || (e != f->to && (e != f->from || !f->is_tcp))) {
        world_fail(t->world, "flow %u: a packet came out of %s", f->id, e->name);
        return true;
    }
    if (!f->is_tcp) {
        if (len >= hdr + 8 + TRAFFIC_HEAD)
            steady_receive(f, l4, len - hdr - 8);
        return true;
    }
    if (e == f->to)
        segment_receive(f, l4, len - hdr - 20);
    else
        ack_receive(f, l4, (size_t)(l4[12] >> 4) * 4);
    return true;
}

struct traffic *traffic_new(struct world *w)
{
    struct traffic *t = calloc(1, sizeof(*t));

    assert(t);
    t->world = w;
    text_init(t);
    t->watch = (struct world_watch){ .ctx = t, .inner = inner };
    world_watch_add(w, &t->watch);
    return t;
}

void traffic_free(struct traffic *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->count; i++) {
        struct traffic_flow *f = t->flows[i];

        if (f->tcp) {
            free(f->tcp->segs);
            free(f->tcp->got);
        }
        free(f->tcp);
        free(f->seen);
        free(f);
    }
    free(t);
}

static struct traffic_flow *flow_new(struct traffic *t, struct world_end *from, struct world_end *to)
{
    struct traffic_flow *f = calloc(1, sizeof(*f));

    assert(f && t->count < TRAFFIC_FLOWS_MAX);
    f->traffic = t;
    f->id = (unsigned)t->count;
    f->from = from;
    f->to = to;
    t->flows[t->count++] = f;
    return f;
}

struct traffic_flow *traffic_steady(struct traffic *t, struct world_end *from, struct world_end *to, uint64_t bps,
                                    uint16_t len, bool v6)
{
    struct traffic_flow *f = flow_new(t, from, to);

    f->v6 = v6;
    f->len = len;
    f->interval_ns = (int64_t)(len * UINT64_C(8000000000) / bps);
    f->seen = calloc(1, TRAFFIC_SEQS / 8);
    assert(f->seen && len >= 40 + 8 + TRAFFIC_HEAD);
    world_source_init(t->world, &f->source, steady_fire);
    f->next_ns = t->world->now * 1000;
    world_schedule(t->world, &f->source, t->world->now);
    return f;
}

struct traffic_flow *traffic_window(struct traffic *t, struct world_end *from, struct world_end *to, uint64_t bytes)
{
    struct traffic_flow *f = flow_new(t, from, to);
    struct traffic_tcp *c = calloc(1, sizeof(*c));

    assert(c);
    f->is_tcp = true;
    f->tcp = c;
    c->segs = calloc(TRAFFIC_SEQS, sizeof(*c->segs));
    c->got = calloc(TRAFFIC_SEQS, 1);
    assert(c->segs && c->got);
    c->limit = (bytes + MSS - 1) / MSS;
    c->cwnd = 10;
    c->ssthresh = 1e9;
    c->rto = 1 * SEC;
    c->rto_at = t->world->now;
    c->ack_at = INSTANT_NEVER;
    world_source_init(t->world, &f->source, window_fire);
    world_schedule(t->world, &f->source, t->world->now);
    return f;
}

void traffic_stop(struct traffic_flow *f)
{
    f->stopped = true;
    world_schedule(f->traffic->world, &f->source, INSTANT_NEVER);
}

void traffic_gap_reset(struct traffic_flow *f)
{
    f->gap_max = f->delay_max = 0;
    f->last_rx = f->traffic->world->now;
}

span traffic_gap(const struct traffic_flow *f)
{
    return MAX(f->gap_max, f->traffic->world->now - f->last_rx);
}

uint64_t traffic_missing(const struct traffic_flow *f)
{
    return f->next_seq - f->received;
}

bool traffic_done(const struct traffic_flow *f)
{
    return f->is_tcp ? f->tcp->limit > 0 && f->tcp->una >= f->tcp->limit : f->stopped;
}

double traffic_bps(uint64_t bytes, span t)
{
    return (double)bytes * 8 * SEC / (double)t;
}
