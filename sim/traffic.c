/* Inner traffic of a world: see traffic.h.
 *
 * Theory of operation. The text's prefix sums make the checksum of any even piece of it two look-ups. A steady flow
 * keeps its times in nanoseconds so that its rate is exact. A window flow carries the segments of sim/tcp.c as packets:
 * segment n is the bytes from n * TRAFFIC_MSS. Selective acknowledgements are an experimental option of 16-bit
 * distances in segments, so that more of them find room; RACK's flows have timestamps (RFC 7323) and tell of
 * duplicates.
 *
 * Limits: 65,536 segments or numbers outstanding. */
#include "sim/traffic.h"

#include <assert.h>

#define MSS TRAFFIC_MSS
#define OPTIONS_MAX 40     /* bytes: RFC 9293 3.1 */
#define SACK_KIND 253      /* experimental (RFC 4727): pairs of 16-bit distances in segments */
#define DUPLICATE_KIND 254 /* experimental: the sequence number of what came once more */
#define DUPLICATE_LEN 6
#define STAMP_KIND 8 /* RFC 7323 3.2 */
#define STAMP_LEN 10

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

static size_t ip_len(const struct traffic_flow *f)
{
    return f->v6 ? PACKET_V6_HDR : PACKET_V4_HDR;
}

/* IP header for a packet of len bytes; returns its length and the sum of the pseudo-header. */
static size_t ip_put(const struct traffic_flow *f, bool forth, uint8_t *p, size_t len, uint8_t proto, uint64_t *sum)
{
    const struct world_end *src = forth ? f->from : f->to, *dst = forth ? f->to : f->from;
    size_t hdr = ip_len(f);

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
    span delay;

    if (get_le64(udp + 8) != TRAFFIC_MARKER || seq >= f->next_seq ||
        n != steady_len(f, seq) - (size_t)(f->v6 ? 40 : 20) - 8 ||
        memcmp(udp + 8 + TRAFFIC_HEAD, text_at(t, seq), n - TRAFFIC_HEAD) != 0) {
        t->bad++;
        world_fail(w, "flow %u: wrong content in number %llu", f->id, (unsigned long long)seq);
        return;
    }
    arrived(f, n, w->now);
    delay = w->now - (instant)get_be64(udp + 24);
    f->delay_max = MAX(f->delay_max, delay);
    if (seq < f->delays_max && f->delays[seq] == 0)
        f->delays[seq] = delay;
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

/* --- window --- */

static void tcp_put(struct traffic_flow *f, uint8_t *tcp, uint64_t seq, uint64_t ack, size_t hdr)
{
    put_be16(tcp, (uint16_t)(TRAFFIC_PORT + f->id));
    put_be16(tcp + 2, (uint16_t)(TRAFFIC_PORT + f->id));
    put_be32(tcp + 4, (uint32_t)(seq * MSS));
    put_be32(tcp + 8, (uint32_t)(ack * MSS));
    tcp[12] = (uint8_t)(hdr / 4 << 4);
    tcp[13] = TCP_ACK;
    put_be16(tcp + 14, 0xffff);
    put_be32(tcp + 16, 0);
}

/* The segment nearest to `near` with this sequence number. */
static uint64_t tcp_segment(uint32_t wire, uint64_t near)
{
    return near + (uint64_t)((int64_t)(int32_t)(wire - (uint32_t)(near * MSS)) / MSS);
}

static size_t stamp_put(uint8_t *opt, uint32_t stamp, uint32_t echo)
{
    opt[0] = STAMP_KIND;
    opt[1] = STAMP_LEN;
    put_be32(opt + 2, stamp);
    put_be32(opt + 6, echo);
    return STAMP_LEN;
}

/* The content of an option of this kind and at least this length, or NULL. */
static const uint8_t *option_find(const uint8_t *tcp, size_t hdr, uint8_t kind, uint8_t len)
{
    for (size_t at = 20; at + 2 <= hdr && tcp[at] != 0 && tcp[at + 1] >= 2; at += tcp[at + 1])
        if (tcp[at] == kind)
            return tcp[at + 1] >= len && at + tcp[at + 1] <= hdr ? tcp + at + 2 : NULL;
    return NULL;
}

static void ack_send(struct traffic_flow *f, const struct tcp_ack *ack)
{
    uint8_t pkt[128], *tcp, *opt = pkt + ip_len(f) + 20;
    size_t n = 0, hdr, ip;
    uint64_t sum;

    memset(opt, 0, OPTIONS_MAX);
    if (ack->has_echo)
        n += stamp_put(opt, 0, ack->echo);
    if (f->tcp->stamped && ack->duplicate != TCP_NONE) {
        opt[n] = DUPLICATE_KIND;
        opt[n + 1] = DUPLICATE_LEN;
        put_be32(opt + n + 2, (uint32_t)(ack->duplicate * MSS));
        n += DUPLICATE_LEN;
    }
    if (ack->blocks > 0) {
        opt[n] = SACK_KIND;
        opt[n + 1] = (uint8_t)(2 + 4 * ack->blocks);
        n += 2;
        for (unsigned i = 0; i < ack->blocks; i++, n += 4) {
            put_be16(opt + n, (uint16_t)(ack->sack[i].first - ack->next));
            put_be16(opt + n + 2, (uint16_t)(ack->sack[i].end - ack->next));
        }
    }
    hdr = 20 + (n + 3) / 4 * 4;
    ip = ip_put(f, false, pkt, ip_len(f) + hdr, PROTO_TCP, &sum);
    tcp = pkt + ip;
    tcp_put(f, tcp, 0, ack->next, hdr);
    put_be16(tcp + 16, sum_finish(sum + sum_bytes(tcp, hdr)));
    world_packet_in(f->to, pkt, ip + hdr);
}

static void segment_send(struct traffic_flow *f, uint64_t seg)
{
    struct traffic *t = f->traffic;
    uint8_t pkt[WORLD_PACKET_MAX], *tcp;
    size_t hdr = f->tcp->stamped ? 32 : 20, ip;
    uint64_t sum;

    ip = ip_put(f, true, pkt, ip_len(f) + hdr + MSS, PROTO_TCP, &sum);
    tcp = pkt + ip;
    tcp_put(f, tcp, seg, 0, hdr);
    if (f->tcp->stamped) {
        stamp_put(tcp + 20, tcp_timestamp(t->world->now), 0);
        put_be16(tcp + 20 + STAMP_LEN, 0);
    }
    memcpy(tcp + hdr, text_at(t, seg), MSS);
    put_be16(tcp + 16, sum_finish(sum + sum_bytes(tcp, hdr) + text_sum(t, text_at(t, seg), MSS)));
    world_packet_in(f->from, pkt, ip + hdr + MSS);
}

static void window_pump(struct traffic_flow *f)
{
    const struct world *w = f->traffic->world;
    uint64_t seg;

    while (!f->stopped && !w->failed && tcp_sender_output(&f->tcp->tx, w->now, &seg))
        segment_send(f, seg);
}

static void ack_pump(struct traffic_flow *f)
{
    const unsigned max = f->tcp->stamped ? (OPTIONS_MAX - STAMP_LEN - DUPLICATE_LEN - 2) / 4 : TCP_BLOCKS_MAX;
    struct tcp_ack ack;

    if (tcp_receiver_output(&f->tcp->rx, max, &ack, f->traffic->world->now))
        ack_send(f, &ack);
}

static void window_reschedule(struct traffic_flow *f)
{
    world_schedule(f->traffic->world, &f->source,
                   f->stopped
                       ? INSTANT_NEVER
                       : instant_min(tcp_sender_next_expiry(&f->tcp->tx), tcp_receiver_next_expiry(&f->tcp->rx)));
}

static void segment_receive(struct traffic_flow *f, const uint8_t *tcp, size_t n)
{
    struct traffic_tcp *c = f->tcp;
    struct world *w = f->traffic->world;
    uint64_t next = c->rx.next, seg = tcp_segment(get_be32(tcp + 4), next);
    size_t hdr = (size_t)(tcp[12] >> 4) * 4;
    const uint8_t *stamp = option_find(tcp, hdr, STAMP_KIND, STAMP_LEN);
    uint32_t ts = stamp ? get_be32(stamp) : 0;

    if (n != hdr + MSS || memcmp(tcp + hdr, text_at(f->traffic, seg), MSS) != 0) {
        f->traffic->bad++;
        world_fail(w, "flow %u: wrong content in segment %llu", f->id, (unsigned long long)seg);
        return;
    }
    if (tcp_receiver_on_segment(&c->rx, seg, stamp ? &ts : NULL, w->now))
        arrived(f, MSS, w->now);
    if (c->rx.next > next) {
        f->stall_max = MAX(f->stall_max, w->now - f->last_read);
        f->last_read = w->now;
    } else
        f->duplicates++;
    ack_pump(f);
    window_reschedule(f);
}

static void ack_receive(struct traffic_flow *f, const uint8_t *tcp, size_t hdr)
{
    struct tcp_sender *s = &f->tcp->tx;
    const uint8_t *sacks = option_find(tcp, hdr, SACK_KIND, 6), *stamp = option_find(tcp, hdr, STAMP_KIND, STAMP_LEN),
                  *duplicate = option_find(tcp, hdr, DUPLICATE_KIND, DUPLICATE_LEN);
    struct tcp_ack ack = { .next = tcp_segment(get_be32(tcp + 8), s->una), .duplicate = TCP_NONE };

    if (sacks)
        for (; ack.blocks < MIN((sacks[-1] - 2u) / 4, (unsigned)TCP_BLOCKS_MAX); ack.blocks++) {
            ack.sack[ack.blocks].first = ack.next + get_be16(sacks + 4 * ack.blocks);
            ack.sack[ack.blocks].end = ack.next + get_be16(sacks + 2 + 4 * ack.blocks);
        }
    if (stamp) {
        ack.has_echo = true;
        ack.echo = get_be32(stamp + 4);
    }
    if (duplicate)
        ack.duplicate = tcp_segment(get_be32(duplicate), ack.next);
    tcp_sender_on_ack(s, &ack, f->traffic->world->now);
    window_pump(f);
    window_reschedule(f);
}

static void window_fire(struct world *w, struct world_source *s)
{
    struct traffic_flow *f = CONTAINER_OF(s, struct traffic_flow, source);

    ack_pump(f);
    tcp_sender_on_expiry(&f->tcp->tx, w->now);
    window_pump(f);
    window_reschedule(f);
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
        segment_receive(f, l4, len - hdr);
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
            tcp_sender_deinit(&f->tcp->tx);
            tcp_receiver_deinit(&f->tcp->rx);
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

struct traffic_flow *traffic_window(struct traffic *t, struct world_end *from, struct world_end *to, uint64_t bytes,
                                    const struct tcp_options *options)
{
    struct traffic_flow *f = flow_new(t, from, to);
    struct traffic_tcp *c = calloc(1, sizeof(*c));
    int r;

    assert(c);
    f->is_tcp = true;
    f->v6 = from->inner[0].family == ADDR_NONE;
    f->tcp = c;
    c->stamped = options && options->loss == TCP_LOSS_RACK;
    r = tcp_sender_init(&c->tx, options, (bytes + MSS - 1) / MSS, t->world->now);
    assert(r == 0);
    r = tcp_receiver_init(&c->rx);
    assert(r == 0);
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
    f->gap_max = f->stall_max = f->delay_max = 0;
    f->last_rx = f->last_read = f->traffic->world->now;
}

span traffic_gap(const struct traffic_flow *f)
{
    return MAX(f->gap_max, f->traffic->world->now - f->last_rx);
}

span traffic_stall(const struct traffic_flow *f)
{
    return MAX(f->stall_max, f->traffic->world->now - f->last_read);
}

uint64_t traffic_missing(const struct traffic_flow *f)
{
    return f->next_seq - f->received;
}

double traffic_bps(uint64_t bytes, span t)
{
    return (double)bytes * 8 * SEC / (double)t;
}
