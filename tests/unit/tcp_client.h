/* tests/unit/tcp_client.h - a client that a test plays by hand, segment by segment, against an end of src/tunnel/tcp.
 *
 * Numbers are the client's and the server's as on the wire: `c` and `s` count from the SYN, which is 0. */
#pragma once

#include "tunnel/tcp.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit/tcp_seg.h"
#include "tests/unit/tunnel.h"

#define ISN 0xfffffff0u /* the client's: 16 bytes before it wraps */
#define START (1000 * SEC)
#define MSS 1460u

static uint8_t pattern[300000], whole[PACKET_MAX];

struct world {
    struct tcp_end *e;
    struct tcp_end_options o;
    instant now;
    bool v6, stamps;
    uint32_t iss;      /* the server's */
    uint32_t ts, echo; /* the client's clock; what it heard last */
    uint16_t window;   /* the client's, unscaled */
    struct seg last;
    enum tcp_end_outcome outcome;
};

static inline void send_raw(struct world *w, const struct seg *s)
{
    static uint8_t pkt[PACKET_MAX];
    size_t len = seg_write(s, pkt);
    struct packet_info info;

    assert_int_equal(packet_parse(pkt, len, &info), 0);
    if (!w->e)
        assert_int_equal(tcp_end_new(&w->o, pkt, &info, w->now, &w->e), 0);
    else
        w->outcome = tcp_end_input(w->e, pkt, &info, NULL, w->now);
}

/* A segment of the client: c, s counted from the SYNs. */
static inline struct seg make(const struct world *w, uint8_t flags, uint32_t c, uint32_t s, size_t len)
{
    struct seg g = { .v6 = w->v6,
                     .seq = ISN + c,
                     .ack = flags & SEG_ACK ? w->iss + s : 0,
                     .flags = flags,
                     .window = w->window,
                     .data = len > 0 ? pattern + c - 1 : NULL,
                     .len = len };

    if (w->stamps) {
        g.has_ts = true;
        g.ts = w->ts;
        g.ts_echo = w->echo;
    }
    return g;
}

static inline void say(struct world *w, uint8_t flags, uint32_t c, uint32_t s, size_t len)
{
    struct seg g = make(w, flags, c, s, len);

    send_raw(w, &g);
}

/* The next packet of the server, judged; false: it is silent. */
static inline bool hear(struct world *w)
{
    struct merged m;

    if (!tcp_end_output(w->e, &m, w->now))
        return false;
    assert_int_equal(slices_gather(m.slices, m.count, whole, sizeof(whole)), m.len);
    if (m.offload.flags == 0)
        judge_packet(whole, m.len);
    w->last = seg_read(whole, m.len);
    if (w->last.has_ts)
        w->echo = w->last.ts;
    return true;
}

/* It says this, and what it acknowledges is c. */
static inline void expect(struct world *w, uint8_t flags, uint32_t s, uint32_t c, size_t len)
{
    assert_true(hear(w));
    assert_int_equal(w->last.flags, flags);
    assert_int_equal(w->last.seq - w->iss, s);
    if (flags & SEG_ACK)
        assert_int_equal(w->last.ack - ISN, c);
    assert_int_equal(w->last.len, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(w->last.data[i], pattern[s - 1 + i]);
}

static inline void expect_silence(struct world *w)
{
    if (hear(w))
        fail_msg("it said flags %#x, seq %u, ack %u, %zu bytes", w->last.flags, w->last.seq - w->iss, w->last.ack - ISN,
                 w->last.len);
}

/* Time passes, to its next timer at most. */
static inline void tick(struct world *w, span d)
{
    w->now += d;
    if (tcp_end_next_expiry(w->e) <= w->now)
        tcp_end_on_expiry(w->e, w->now);
}

static inline struct seg client_syn(const struct world *w)
{
    struct seg syn = make(w, SEG_SYN, 0, 0, 0);

    syn.mss = w->v6 ? 1440 : MSS;
    syn.scale = 1 + 7;
    syn.sack_permitted = true;
    return syn;
}

static inline void held(struct world *w)
{
    struct seg syn;

    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)(i * 7 + i / 253);
    w->now = START;
    w->window = w->window ? w->window : 1000;
    syn = client_syn(w);
    send_raw(w, &syn);
    assert_int_equal(tcp_end_state(w->e), TCP_END_HELD);
    expect_silence(w);
}

static inline void accepted(struct world *w)
{
    held(w);
    tcp_end_accept(w->e, w->now);
    assert_true(hear(w));
    w->iss = w->last.seq;
    w->last.seq = 0;
    expect_silence(w);
}

static inline void established(struct world *w)
{
    accepted(w);
    tick(w, 10 * MSEC);
    say(w, SEG_ACK, 1, 1, 0);
    assert_int_equal(tcp_end_state(w->e), TCP_END_ESTABLISHED);
    expect_silence(w);
}

static inline void done(struct world *w)
{
    tcp_end_free(w->e);
}

static inline void write_all(struct world *w, size_t from, size_t len)
{
    assert_int_equal(tcp_end_write(w->e, pattern + from, len), len);
}

static inline void read_all(struct world *w, size_t from, size_t len)
{
    static uint8_t buf[sizeof(pattern)];

    assert_int_equal(tcp_end_read(w->e, buf, sizeof(buf)), len);
    assert_memory_equal(buf, pattern + from, len);
}
