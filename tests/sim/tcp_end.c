/* One end of TCP (tunnel/tcp.h) against a client that shares no code with it, over links that lose, repeat and reorder.
 *
 *     client (below) --- link: rate, delay, jitter, loss, dup ---> struct tcp_end --- application
 *                    <-------------------------------------------
 *
 * The client is as simple as TCP can be: it goes back to the first unacknowledged byte when its timer runs out, says
 * the first segment again after three duplicates, and keeps what it gets in one array with a flag for each byte.
 * Applications on both sides write and read pieces of random sizes at random times. Every byte is checked at its place;
 * each run has a limit in virtual time and in steps. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "sim/link.h"
#include "tests/unit/tcp_seg.h"
#include "tests/unit/test.h"
#include "tunnel/tcp.h"

#define START (1000 * SEC)
#define CLIENT_RTO (300 * MSEC)
#define STREAM_MAX (8u << 20)
#define CLIENT_IN_FLIGHT 40u /* segments */

struct stream_plan {
    uint32_t up, down; /* bytes */
    bool sack, stamps, scale, offload, v6;
    uint32_t mss, window; /* the client's: of its receiver, bytes */
    uint32_t buffers;     /* the end's rings */
    bool lazy;            /* applications take their time; else they do all at once */
    bool answer_last;     /* the server ends only when it has read the end */
    const char *link;     /* both ways */
};

struct client {
    uint32_t iss, irs;
    bool syn_acked, fin_acked, got_fin;
    uint32_t una, next, peer_window; /* bytes of the stream, from 0 */
    unsigned duplicates;
    instant timer;
    uint8_t *got; /* one flag a byte of `down` */
    uint32_t rcv, read;
    int peer_scale;
    uint32_t ts_recent;
    bool ack_due;
    instant ack_at;
    uint64_t segments;
    uint32_t last_from, highest; /* of what came last; the end of what came */
    uint32_t twice_from, twice_len;
};

struct run {
    struct stream_plan p;
    struct prng prng;
    struct link_dir up, down;
    struct client c;
    struct tcp_end *e;
    struct tcp_end_options o;
    instant now, client_app, server_app, first_byte, last_byte;
    uint32_t written, read;
    size_t most_tx, most_rx;
    uint64_t sample;
};

static uint8_t byte_at(bool up, uint32_t i)
{
    return (uint8_t)((i * 2654435761u + up * 77u) >> 13);
}

static void fill(uint8_t *out, bool up, uint32_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out[i] = byte_at(up, from + (uint32_t)i);
}

static uint32_t below(struct run *r, uint32_t n)
{
    return (uint32_t)prng_below(&r->prng, n);
}

/* --- links --- */

struct parcel {
    size_t len;
    uint8_t data[];
};

static void push(struct run *r, struct link_dir *l, const uint8_t *pkt, size_t len)
{
    struct parcel *p = malloc(sizeof(*p) + len);

    assert_non_null(p);
    p->len = len;
    memcpy(p->data, pkt, len);
    if (link_push(l, p, (uint32_t)len, r->now) != LINK_QUEUED)
        free(p);
}

static void link_up(struct link_dir *l, const char *text, uint64_t seed)
{
    struct link_params p = { 0 };
    char err[LINK_ERROR_MAX];

    assert_int_equal(link_init(l, 20000, seed), 0);
    if (link_params_parse(text, &p, err) < 0)
        fail_msg("%s", err);
    link_configure(l, &p, START);
}

/* --- the client --- */

static void client_say(struct run *r, uint8_t flags, uint32_t from, size_t len)
{
    static uint8_t pkt[2000], data[2000];
    struct client *c = &r->c;
    uint32_t window = r->p.window - (c->rcv - c->read);
    struct seg s = { .v6 = r->p.v6, .seq = c->iss + 1 + from, .flags = flags, .data = data, .len = len };

    fill(data, true, from, len);
    if (flags & SEG_SYN) {
        s.seq = c->iss;
        s.mss = (uint16_t)r->p.mss;
        s.scale = r->p.scale ? 1 + 6 : 0;
        s.sack_permitted = r->p.sack;
    } else {
        s.ack = c->irs + 1 + c->rcv + c->got_fin;
        window >>= r->p.scale ? 6 : 0;
    }
    s.window = (uint16_t)MIN(window, 65535u);
    if (r->p.stamps) {
        s.has_ts = true;
        s.ts = (uint32_t)(r->now / MSEC);
        s.ts_echo = c->ts_recent;
    }
    /* SACK blocks, on segments without data: first that with the last byte that came. */
    if (r->p.sack && flags == SEG_ACK && len == 0 && !c->got_fin) {
        uint32_t from_last = c->last_from, end, at;

        if (c->twice_len > 0) { /* RFC 2883 */
            s.block[s.blocks][0] = c->irs + 1 + c->twice_from;
            s.block[s.blocks++][1] = c->irs + 1 + c->twice_from + c->twice_len;
            c->twice_len = 0;
        }
        if (from_last > c->rcv && c->got[from_last]) {
            while (from_last > c->rcv && c->got[from_last - 1])
                from_last--;
            for (end = from_last; end < r->p.down && c->got[end];)
                end++;
            s.block[s.blocks][0] = c->irs + 1 + from_last;
            s.block[s.blocks++][1] = c->irs + 1 + end;
        }
        for (at = c->rcv; at < c->highest && s.blocks < 3;) {
            if (!c->got[at]) {
                at++;
                continue;
            }
            for (end = at; end < r->p.down && c->got[end];)
                end++;
            if (at != from_last) {
                s.block[s.blocks][0] = c->irs + 1 + at;
                s.block[s.blocks++][1] = c->irs + 1 + end;
            }
            at = end;
        }
    }
    c->ack_due = false;
    c->ack_at = INSTANT_NEVER;
    c->segments++;
    push(r, &r->up, pkt, seg_write(&s, pkt));
}

/* What it may send now. */
static void client_output(struct run *r)
{
    struct client *c = &r->c;

    if (!c->syn_acked)
        return;
    while (c->next <= r->p.up && !c->fin_acked) {
        uint32_t room = MIN(c->peer_window, CLIENT_IN_FLIGHT * r->p.mss), sent = c->next - c->una;
        uint32_t n = MIN(r->p.up - c->next, r->p.mss - (r->p.stamps ? 12 : 0));
        bool fin;

        if (r->p.lazy && n > 1)
            n = 1 + below(r, n);
        if (c->next > r->p.up)
            break;
        if (sent >= room || n > room - sent)
            break;
        if (c->next == r->p.up && c->timer != INSTANT_NEVER && sent > 0)
            break; /* the FIN alone waits for its timer */
        fin = c->next + n == r->p.up;
        client_say(r, fin ? SEG_ACK | SEG_FIN : SEG_ACK, c->next, n);
        c->next += n;
        if (c->timer == INSTANT_NEVER)
            c->timer = r->now + CLIENT_RTO;
        if (fin)
            break;
    }
    if (c->ack_due || c->ack_at <= r->now)
        client_say(r, SEG_ACK, c->next + (c->fin_acked ? 1 : 0), 0);
}

static void client_back(struct run *r)
{
    struct client *c = &r->c;

    c->timer = r->now + CLIENT_RTO;
    c->duplicates = 0;
    if (!c->syn_acked) {
        client_say(r, SEG_SYN, 0, 0);
    } else if (c->fin_acked) {
        c->timer = INSTANT_NEVER;
    } else if (c->peer_window == 0) {
        client_say(r, SEG_ACK, c->una, MIN(1u, r->p.up - c->una)); /* a byte into the closed window */
    } else {
        c->next = c->una;
        c->timer = INSTANT_NEVER;
    }
}

static void client_on_data(struct run *r, const struct seg *s)
{
    struct client *c = &r->c;
    uint32_t from = s->seq - c->irs - 1;
    size_t known = 0;

    for (size_t i = 0; i < s->len; i++) {
        uint32_t at = from + (uint32_t)i;

        known += (int32_t)(at - c->rcv) < 0 || (at < c->highest && c->got[at]);
        if ((int32_t)(at - c->rcv) < 0 || at >= c->read + r->p.window)
            continue;
        assert_true(at < r->p.down);
        if (s->data[i] != byte_at(false, at))
            fail_msg("byte %u is not what was written there", at);
        if (!c->got[at])
            c->last_from = at;
        c->got[at] = 1;
        c->highest = MAX(c->highest, at + 1);
    }
    if (known == s->len && known > 0 && (int32_t)from >= 0) {
        c->twice_from = from;
        c->twice_len = (uint32_t)s->len;
    }
    while (c->rcv < r->p.down && c->got[c->rcv])
        c->rcv++;
    if (s->flags & SEG_FIN) {
        assert_int_equal(from + s->len, r->p.down);
        c->got_fin |= c->rcv == r->p.down;
    }
    if (s->len > 0 || s->flags & SEG_FIN) {
        if (from != c->rcv || below(r, 2) || s->flags & SEG_FIN)
            c->ack_due = true;
        else if (c->ack_at == INSTANT_NEVER)
            c->ack_at = r->now + 20 * MSEC;
    }
    if (c->rcv > 0 && r->first_byte == 0)
        r->first_byte = r->now;
    r->last_byte = c->rcv < r->p.down || r->last_byte == 0 ? r->now : r->last_byte;
}

static void client_input(struct run *r, const uint8_t *pkt, size_t len)
{
    struct client *c = &r->c;
    struct seg s = seg_read(pkt, len);
    uint32_t acked;

    if (s.flags & SEG_RST)
        fail_msg("reset");
    if (s.flags & SEG_SYN) {
        c->irs = s.seq;
        c->peer_scale = s.scale ? s.scale - 1 : 0;
        c->peer_window = s.window;
        assert_true(!s.scale || r->p.scale);
        assert_true(!s.sack_permitted || r->p.sack);
        assert_int_equal(s.has_ts, r->p.stamps);
        c->ts_recent = s.ts;
        c->syn_acked = c->ack_due = true;
        c->timer = INSTANT_NEVER;
        return;
    }
    if (!c->syn_acked)
        return;
    if (s.has_ts && (int32_t)(s.ts - c->ts_recent) > 0)
        c->ts_recent = s.ts;
    if (s.seq + 1 == c->irs + 1 + c->rcv + c->got_fin && s.len == 0) /* a probe */
        c->ack_due = true;
    acked = s.ack - c->iss - 1;
    if ((int32_t)(acked - c->una) > 0) {
        assert_true(acked <= r->p.up + 1);
        c->fin_acked = acked == r->p.up + 1;
        c->una = MIN(acked, r->p.up);
        c->next = MAX(c->next, c->una);
        c->duplicates = 0;
        c->timer = c->fin_acked || c->una == c->next ? INSTANT_NEVER : r->now + CLIENT_RTO;
        if (!c->fin_acked && c->una == r->p.up && c->timer == INSTANT_NEVER)
            c->timer = r->now + CLIENT_RTO;
    } else if (acked == c->una && s.len == 0 && c->next > c->una && ++c->duplicates == 3) {
        client_say(r, SEG_ACK, c->una, MIN(r->p.up - c->una, r->p.mss - 12)); /* once, until something moves */
    }
    c->peer_window = (uint32_t)s.window << c->peer_scale;
    client_on_data(r, &s);
}

static void client_read(struct run *r)
{
    struct client *c = &r->c;
    uint32_t n = c->rcv - c->read, before = r->p.window - n;

    if (r->p.lazy && n > 1)
        n = 1 + below(r, n);
    c->read += n;
    if (n > 0 && before < r->p.mss * 2)
        c->ack_due = true;
}

/* --- the server --- */

static void server_output(struct run *r)
{
    static uint8_t whole[PACKET_MAX], piece[PACKET_MAX];
    struct tcp_end_info info;
    struct merged m;
    unsigned count = 0;

    while (tcp_end_output(r->e, &m, r->now)) {
        struct segment cut;
        int n;

        assert_true(++count < 5000);
        assert_int_equal(slices_gather(m.slices, m.count, whole, sizeof(whole)), m.len);
        assert_int_equal(segment_init(&cut, whole, m.len, &m.offload), 0);
        while ((n = segment_next(&cut, piece, sizeof(piece))) > 0) {
            assert_true((size_t)n <= r->p.mss + (r->p.v6 ? 60u : 40u));
            push(r, &r->down, piece, (size_t)n);
        }
    }
    tcp_end_info(r->e, &info);
    r->most_tx = MAX(r->most_tx, info.buffered_tx);
    r->most_rx = MAX(r->most_rx, info.buffered_rx);
    assert_true(info.holes <= 512);
}

static void server_input(struct run *r, const uint8_t *pkt, size_t len)
{
    struct packet_info info;

    assert_int_equal(packet_parse(pkt, len, &info), 0);
    if (!r->e)
        assert_int_equal(tcp_end_new(&r->o, pkt, &info, r->now, &r->e), 0);
    else
        assert_int_equal(tcp_end_input(r->e, pkt, &info, NULL, r->now), TCP_END_TAKEN);
    server_output(r);
}

static void server_app(struct run *r)
{
    static uint8_t buf[STREAM_MAX];
    uint32_t most = r->p.lazy ? 1 + below(r, 40000) : STREAM_MAX;
    int64_t n;

    if (!r->e)
        return;
    if (tcp_end_state(r->e) == TCP_END_HELD)
        tcp_end_accept(r->e, r->now);
    n = tcp_end_read(r->e, buf, most);
    if (n < 0)
        fail_msg("read: %s", strerror((int)-n));
    for (int64_t i = 0; i < n; i++)
        if (buf[i] != byte_at(true, r->read + (uint32_t)i))
            fail_msg("byte %u is not what was sent there", r->read + (uint32_t)i);
    r->read += (uint32_t)n;
    assert_true(r->read <= r->p.up);
    if (r->written < r->p.down) {
        most = MIN(MIN(most, r->p.down - r->written), (uint32_t)tcp_end_room(r->e));
        fill(buf, false, r->written, most);
        n = tcp_end_write(r->e, buf, most);
        assert_true(n >= 0);
        r->written += (uint32_t)n;
    }
    if (r->written == r->p.down && (!r->p.answer_last || tcp_end_at_end(r->e)))
        tcp_end_finish(r->e);
    server_output(r);
}

/* --- the world --- */

static bool is_over(const struct run *r)
{
    enum tcp_end_state s = r->e ? tcp_end_state(r->e) : TCP_END_HELD;

    return r->c.fin_acked && r->c.got_fin && r->read == r->p.up && tcp_end_at_end(r->e) &&
           (s == TCP_END_TIME_WAIT || s == TCP_END_CLOSED);
}

static void deliver(struct run *r, struct link_dir *l, bool up)
{
    struct link_out out;

    while (link_pop(l, r->now, &out) == 1) {
        struct parcel *p = out.pkt;

        for (unsigned i = 0; i < out.copies; i++) {
            if (out.flip_bit >= 0)
                p->data[out.flip_bit / 8] ^= (uint8_t)(1u << out.flip_bit % 8);
            if (up)
                server_input(r, p->data, p->len);
            else
                client_input(r, p->data, p->len);
        }
        free(p);
    }
}

/* How long it took, of virtual time. */
static span run(struct run *r, const struct stream_plan *plan, uint64_t seed, span limit)
{
    struct tcp_end_info info;
    void *held;
    uint64_t steps = 0;

    *r = (struct run){ .p = *plan, .now = START, .client_app = START, .server_app = START };
    prng_init(&r->prng, seed);
    link_up(&r->up, plan->link, seed * 2 + 1);
    link_up(&r->down, plan->link, seed * 2 + 2);
    r->o = (struct tcp_end_options){ .send_bytes = plan->buffers,
                                     .receive_bytes = plan->buffers,
                                     .offload = plan->offload };
    r->c.got = calloc(1, plan->down + 1);
    assert_non_null(r->c.got);
    r->c.iss = (uint32_t)prng_u64(&r->prng);
    r->c.timer = START;
    r->c.ack_at = INSTANT_NEVER;
    while (!is_over(r)) {
        instant next = instant_min(instant_min(link_next_expiry(&r->up), link_next_expiry(&r->down)),
                                   instant_min(r->c.timer, r->c.ack_at));

        next = instant_min(instant_min(next, r->client_app), r->server_app);
        if (r->e)
            next = instant_min(next, tcp_end_next_expiry(r->e));
        r->now = MAX(r->now, next);
        if (r->now > START + limit || ++steps > 5000000) {
            tcp_end_info(r->e, &info);
            fail_msg(
                "seed %llu, %s: at %lld ms: %s; up %u of %u, down %u of %u; in flight %llu, cwnd %llu, window %llu; "
                "client una %u next %u window %u",
                (unsigned long long)seed, plan->link, (long long)((r->now - START) / MSEC),
                tcp_end_state_name(tcp_end_state(r->e)), r->read, plan->up, r->c.rcv, plan->down,
                (unsigned long long)info.in_flight, (unsigned long long)info.cwnd, (unsigned long long)info.peer_window,
                r->c.una, r->c.next, r->c.peer_window);
        }
        deliver(r, &r->up, true);
        deliver(r, &r->down, false);
        if (r->c.timer <= r->now)
            client_back(r);
        if (r->client_app <= r->now) {
            client_read(r);
            r->client_app = r->now + (plan->lazy ? 1 + below(r, 5000) : 500);
        }
        client_output(r);
        if (r->server_app <= r->now) {
            server_app(r);
            r->server_app = r->now + (plan->lazy ? 1 + below(r, 5000) : 500);
        }
        if (r->e && tcp_end_next_expiry(r->e) <= r->now) {
            tcp_end_on_expiry(r->e, r->now);
            server_output(r);
            if (tcp_end_next_expiry(r->e) <= r->now)
                fail_msg("its timer runs out again at once, in state %s", tcp_end_state_name(tcp_end_state(r->e)));
        }
    }
    assert_int_equal(tcp_end_error(r->e), 0);
    assert_true(r->most_tx <= plan->buffers && r->most_rx <= plan->buffers);
    while ((held = link_drain(&r->up)) || (held = link_drain(&r->down)))
        free(held);
    link_deinit(&r->up);
    link_deinit(&r->down);
    free(r->c.got);
    return r->now - START;
}

/* --- tests --- */

static void test_bytes_arrive(void **state)
{
    static const char *const links[] = {
        "rate=50mbit delay=1ms",
        "rate=50mbit delay=2ms loss=1%",
        "rate=50mbit delay=2ms loss=5%",
        "rate=50mbit delay=3ms jitter=2ms reorder=1 loss=1% dup=2%",
        "rate=20mbit delay=10ms jitter=5ms reorder=1 loss=5% dup=5%",
        "rate=10mbit delay=1ms queue=20k",
        "delay=100us",
    };
    const char *seeds = getenv("HAWSER_SIM_SEEDS"), *one = getenv("HAWSER_SIM_SEED");
    uint64_t first = one ? strtoull(one, NULL, 10) : 1, count = one ? 1 : seeds ? strtoull(seeds, NULL, 10) : 400;
    uint64_t resent = 0, timeouts = 0, packets = 0;

    for (uint64_t seed = first; seed < first + count; seed++) {
        struct prng choice;
        struct stream_plan p;
        struct tcp_end_info info;
        struct run r;
        uint64_t bits;

        prng_init(&choice, seed * 7919);
        bits = prng_u64(&choice);
        p = (struct stream_plan){ .up = (uint32_t)prng_below(&choice, bits & 1 ? 400000 : 3000),
                                  .down = (uint32_t)prng_below(&choice, bits & 2 ? 400000 : 3000),
                                  .sack = bits & 0xc,
                                  .stamps = bits & 16,
                                  .scale = bits & 32,
                                  .offload = bits & 64,
                                  .lazy = bits & 128,
                                  .answer_last = bits & 256,
                                  .v6 = bits & 512,
                                  .mss = 300 + (uint32_t)prng_below(&choice, 1100),
                                  .window = bits & 1024 ? 65535 : 5000,
                                  .buffers = bits & 2048 ? 65536 : 1u << 20,
                                  .link = links[seed % ARRAY_LEN(links)] };
        run(&r, &p, seed, 600 * SEC);
        tcp_end_info(r.e, &info);
        resent += info.resent_packets;
        timeouts += info.timeouts;
        packets += info.packets_out;
        tcp_end_free(r.e);
    }
    printf("# %llu seeds: %llu packets out, %llu again, %llu timeouts\n", (unsigned long long)count,
           (unsigned long long)packets, (unsigned long long)resent, (unsigned long long)timeouts);
}

/* Goodput of a long flow downwards against what the standards promise: the link's rate without loss; with loss the
 * response function of RFC 5681's control (Mathis and others 1997), of which half must be reached. */
static void test_rate(void **state)
{
    static const struct {
        const char *link;
        double loss, rate;
        span rtt;
        uint32_t bytes;
    } cases[] = {
        { "rate=100mbit delay=1ms", 0, 100e6, 2 * MSEC, 8000000 },
        { "rate=100mbit delay=1ms jitter=300us reorder=1", 0, 100e6, 2 * MSEC, 8000000 },
        { "rate=100mbit delay=1ms loss=1%", .01, 100e6, 2 * MSEC, 8000000 },
        { "rate=100mbit delay=1ms loss=5%", .05, 100e6, 2 * MSEC, 4000000 },
        { "rate=100mbit delay=10ms loss=1%", .01, 100e6, 20 * MSEC, 2000000 },
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (unsigned offload = 0; offload < 2; offload++) {
            struct stream_plan p = { .down = cases[i].bytes,
                                     .sack = true,
                                     .stamps = true,
                                     .scale = true,
                                     .offload = offload,
                                     .mss = 1460,
                                     .window = 1u << 20,
                                     .buffers = 1u << 20,
                                     .link = cases[i].link };
            struct tcp_end_info info;
            struct run r;
            double bps, expected = cases[i].rate;

            run(&r, &p, 1, 600 * SEC);
            tcp_end_info(r.e, &info);
            bps = (double)p.down * 8 * SEC / (double)(r.last_byte - r.first_byte);
            if (cases[i].loss > 0)
                expected = MIN(expected, 1448 * 8 * SEC / (double)cases[i].rtt * sqrt(1.5 / cases[i].loss));
            printf("# %s, %s: %.1f Mbit/s of %.1f; %llu again, %llu timeouts, %llu probes\n", cases[i].link,
                   offload ? "super-packets" : "packets", bps / 1e6, expected / 1e6,
                   (unsigned long long)info.resent_packets, (unsigned long long)info.timeouts,
                   (unsigned long long)info.probes);
            if (cases[i].loss == 0) /* nothing was lost: nothing may be sent again but what reordering teaches */
                assert_true(info.resent_packets <= info.packets_out / 100 || i > 0);
            assert_true(bps > expected * (cases[i].loss > 0 ? .5 : .8));
            tcp_end_free(r.e);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_arrive),
        cmocka_unit_test(test_rate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
