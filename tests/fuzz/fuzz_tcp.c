/* Fuzz target of tunnel/tcp.h: a script of segments from a hostile peer, with the owner's calls and time in between.
 *
 * Input: a byte of options, which says too whether the end waits or connects, then steps: a byte that says what
 * happens, and its arguments. Numbers of segments are relative to what the end expects, so that mutations stay where it
 * matters; headers may be changed at any place.
 *
 * Every byte of data has six bits that follow from its place and two that the script chooses: what is read must be a
 * byte that stood at that place in some segment. What is sent must be what was written there. Memory stays below its
 * bounds, and with nobody answering the timers run out ever more seldom. */
#include "tests/unit/tcp_seg.h"
#include "tunnel/tcp.h"
#include "wire/cursor.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RING 65536u
#define DATA_MAX 4000u
#define OUTPUTS_MAX 8192u /* packets of 48 bytes fill a ring in 1400; a run's fill it several times */
#define EXPIRIES_MAX 300u /* of an hour in silence: probes of a closed window, a minute apart at last, are 70 */

enum {
    STEP_SEGMENT,
    STEP_CHANGED, /* a segment with bytes of its headers changed */
    STEP_WRITE,
    STEP_READ,
    STEP_TIME,
    STEP_EXPIRE, /* to the next timer */
    STEP_FINISH,
    STEP_ACCEPT, /* of an end that connects: a SYN-ACK */
    STEP_REFUSE, /* likewise: an ICMP error */
    STEP_ABORT,
    STEP_TOO_BIG,
    STEP_OUTPUT,
    STEP_COUNT
};

struct fuzz {
    struct tcp_end *e;
    struct tcp_end_options o;
    instant now;
    bool v6, active;
    uint32_t isn, iss, next, acked; /* of the wire: what the end expects, and what it may hear acknowledged */
    uint64_t written, read;
    unsigned outputs;
};

static uint8_t sent_byte(uint64_t i)
{
    return (uint8_t)(i * 2654435761u >> 11);
}

static uint8_t place_byte(uint32_t place)
{
    return (uint8_t)((place * 2654435761u >> 13) & 63);
}

static void look_at(struct fuzz *f, const struct merged *m)
{
    static uint8_t pkt[PACKET_MAX];
    size_t len = slices_gather(m->slices, m->count, pkt, sizeof(pkt)), mtu = f->o.mtu ? f->o.mtu : 1500;
    struct seg s;

    assert(len == m->len && len >= 40);
    assert(m->offload.gso_type != OFFLOAD_GSO_NONE || len <= mtu);
    if (pkt[f->v6 ? 6 : 9] != PROTO_TCP)
        return;
    s = seg_read(pkt, len);
    if (s.flags & SEG_SYN)
        f->iss = s.seq;
    if (s.flags & SEG_ACK && !(s.flags & SEG_RST))
        f->next = s.ack;
    for (size_t i = 0; i < s.len; i++) {
        uint32_t at = s.seq - f->iss - 1 + (uint32_t)i;

        assert(at < f->written && s.data[i] == sent_byte(at));
    }
    if (f->active && s.flags == SEG_SYN)
        f->acked = s.seq;
    if (!(s.flags & SEG_RST) && (int32_t)(s.seq + s.len - f->acked) > 0)
        f->acked = s.seq + (uint32_t)s.len;
}

static void output(struct fuzz *f)
{
    struct tcp_end_info info;
    struct merged m;

    while (tcp_end_output(f->e, &m, f->now)) {
        assert(++f->outputs < OUTPUTS_MAX);
        look_at(f, &m);
    }
    f->outputs = 0;
    tcp_end_info(f->e, &info);
    assert(info.buffered_rx <= RING && info.buffered_tx <= RING && info.holes <= 512);
    assert(info.in_flight <= RING + 1);
    assert(info.read <= info.received && info.acked <= info.written && info.written == f->written);
}

/* Gives it to the end, and learns from where the peer's bytes count. */
static void input(struct fuzz *f, const uint8_t *pkt, const struct packet_info *info, uint32_t seq)
{
    struct offload owed = { .flags = OFFLOAD_NEEDS_CSUM };
    enum tcp_end_state state = tcp_end_state(f->e);
    struct tcp_end_info before, after;
    enum tcp_end_outcome outcome;

    tcp_end_info(f->e, &before);
    outcome = tcp_end_input(f->e, pkt, info, &owed, f->now);
    assert(outcome == TCP_END_TAKEN || !f->active);
    tcp_end_info(f->e, &after);
    /* A client that begins anew before it was answered. */
    if (state == TCP_END_HELD && (info->tcp_flags & (SEG_SYN | SEG_ACK | SEG_RST | SEG_FIN)) == SEG_SYN &&
        after.dropped == before.dropped)
        f->isn = seq;
    if (state == TCP_END_SYN_SENT && tcp_end_state(f->e) == TCP_END_ESTABLISHED) {
        assert((info->tcp_flags & (SEG_SYN | SEG_ACK | SEG_RST)) == (SEG_SYN | SEG_ACK));
        assert(get_be32(pkt + info->l4_off + 8) == f->iss + 1);
        f->isn = seq;
    }
}

static void step_synack(struct fuzz *f, struct reader *r)
{
    static uint8_t pkt[SEG_HEADERS_MAX];
    uint8_t options = read_u8(r);
    struct seg s = { .v6 = f->v6, .flags = SEG_SYN | SEG_ACK };
    struct packet_info info;

    s.seq = read_u32(r);
    s.ack = f->iss + (options & 64 ? read_u16(r) : 1);
    s.window = read_u16(r);
    s.mss = options & 1 ? read_u16(r) : options & 2 ? 1400 : 0;
    s.scale = options & 4 ? 1 + read_u8(r) % 16 : 0;
    s.sack_permitted = options & 8;
    s.has_ts = options & 16;
    if (s.has_ts) {
        s.ts = read_u16(r);
        s.ts_echo = read_u32(r);
    }
    if (options & 32)
        s.flags ^= read_u8(r);
    if (packet_parse(pkt, seg_write(&s, pkt), &info) == 0)
        input(f, pkt, &info, s.seq);
}

static void step_segment(struct fuzz *f, struct reader *r, bool changed)
{
    static uint8_t pkt[SEG_HEADERS_MAX + DATA_MAX], data[DATA_MAX];
    uint8_t flags = read_u8(r), options = read_u8(r), bits = (uint8_t)(read_u8(r) & 0xc0);
    struct seg s = { .v6 = f->v6, .flags = flags, .data = data };
    struct packet_info info;
    size_t len;

    s.seq = f->next + (uint32_t)(int16_t)read_u16(r) * (options & 1 ? 1u : 65536u);
    s.ack = f->acked + (uint32_t)(int16_t)read_u16(r) * (options & 2 ? 1u : 65536u);
    s.window = read_u16(r);
    s.len = read_u16(r) % DATA_MAX;
    for (size_t i = 0; i < s.len; i++)
        data[i] = place_byte(s.seq - f->isn + (uint32_t)i) | bits;
    if (options & 4) {
        s.has_ts = true;
        s.ts = read_u16(r);
        s.ts_echo = read_u16(r);
    }
    if (options & 8) {
        s.blocks = 1 + (options >> 4 & 1) + (options >> 5 & 1);
        for (unsigned i = 0; i < s.blocks; i++) {
            s.block[i][0] = f->acked + (uint32_t)(int16_t)read_u16(r);
            s.block[i][1] = s.block[i][0] + read_u16(r);
        }
    }
    len = seg_write(&s, pkt);
    for (unsigned n = changed ? read_u8(r) % 8 : 0; n > 0; n--) {
        size_t at = read_u8(r) % (len - s.len);

        pkt[at] ^= read_u8(r);
    }
    if (packet_parse(pkt, len, &info) < 0 || !tcp_end_matches(f->e, &info) || info.payload_off != len - s.len ||
        get_be32(pkt + info.l4_off + 4) != s.seq)
        return;
    input(f, pkt, &info, s.seq);
}

static void step_unreachable(struct fuzz *f, struct reader *r)
{
    uint8_t why = read_u8(r);
    uint32_t seq = f->iss + (why & 128 ? read_u16(r) : 0);
    enum tcp_end_state state = tcp_end_state(f->e);

    tcp_end_on_unreachable(f->e, seq, why % TCP_REFUSAL_COUNT);
    assert(tcp_end_state(f->e) == state || (state == TCP_END_SYN_SENT && seq == f->iss));
}

static void step_write(struct fuzz *f, size_t len)
{
    static uint8_t buf[65536];
    int64_t n;

    for (size_t i = 0; i < len; i++)
        buf[i] = sent_byte(f->written + i);
    n = tcp_end_write(f->e, buf, len);
    if (n > 0)
        f->written += (uint64_t)n;
    assert(n <= (int64_t)len);
}

static void step_read(struct fuzz *f, size_t len)
{
    static uint8_t buf[65536];
    int64_t n = tcp_end_read(f->e, buf, len);

    for (int64_t i = 0; i < n; i++)
        assert((buf[i] & 63) == place_byte((uint32_t)(f->read + 1 + (uint64_t)i)));
    if (n > 0)
        f->read += (uint64_t)n;
    assert(n >= 0 || tcp_end_state(f->e) == TCP_END_CLOSED);
    assert(tcp_end_readable(f->e) || n > 0 || len == 0 || !tcp_end_error(f->e));
}

static void expire(struct fuzz *f)
{
    if (tcp_end_next_expiry(f->e) == INSTANT_NEVER)
        return;
    f->now = MAX(f->now, tcp_end_next_expiry(f->e));
    tcp_end_on_expiry(f->e, f->now);
    output(f);
    assert(tcp_end_next_expiry(f->e) > f->now);
}

static bool begin(struct fuzz *f, struct reader *r)
{
    uint8_t options = read_u8(r), pkt[SEG_HEADERS_MAX];
    struct seg syn = { .flags = SEG_SYN, .seq = f->isn, .window = 20000 };
    struct packet_info info;

    f->v6 = syn.v6 = options & 1;
    syn.mss = options & 2 ? 1400 : options & 4 ? 60 : 0;
    syn.scale = options & 8 ? 3 : 0;
    syn.sack_permitted = options & 16;
    syn.has_ts = options & 32;
    f->o = (struct tcp_end_options){
        .send_bytes = RING, .receive_bytes = RING, .offload = options & 64, .keepalive = options & 128 ? 20 * SEC : 0
    };
    if (packet_parse(pkt, seg_write(&syn, pkt), &info) < 0)
        return false;
    f->active = (options & 6) == 6;
    if (f->active) {
        struct endpoint local = { info.dst, info.dport }, peer = { info.src, info.sport };

        return tcp_end_connect(&f->o, &local, &peer, f->now, &f->e) == 0;
    }
    return tcp_end_new(&f->o, pkt, &info, f->now, &f->e) == 0;
}

static void step(struct fuzz *f, struct reader *r, uint8_t what)
{
    switch (what % STEP_COUNT) {
    case STEP_SEGMENT:
    case STEP_CHANGED:
        step_segment(f, r, what % STEP_COUNT == STEP_CHANGED);
        break;
    case STEP_WRITE:
        step_write(f, read_u16(r));
        break;
    case STEP_READ:
        step_read(f, read_u16(r));
        break;
    case STEP_TIME:
        f->now += read_u16(r);
        break;
    case STEP_EXPIRE:
        expire(f);
        break;
    case STEP_FINISH:
        tcp_end_finish(f->e);
        break;
    case STEP_ACCEPT:
        if (f->active)
            step_synack(f, r);
        else
            tcp_end_accept(f->e, f->now);
        break;
    case STEP_REFUSE:
        if (f->active)
            step_unreachable(f, r);
        else
            tcp_end_refuse(f->e, read_u8(r) % TCP_REFUSAL_COUNT, NULL);
        break;
    case STEP_ABORT:
        tcp_end_abort(f->e);
        break;
    case STEP_TOO_BIG:
        tcp_end_on_too_big(f->e, f->acked - read_u16(r), read_u16(r));
        break;
    default:
        output(f);
        break;
    }
    if (what & 0x80)
        output(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_init(data, size);
    struct fuzz f = { .now = 1000 * SEC, .isn = 0xfffff000u, .next = 0xfffff001u };
    instant end;

    if (!begin(&f, &r))
        return 0;
    while (!r.failed && reader_left(&r) > 0)
        step(&f, &r, read_u8(&r));
    output(&f);
    end = f.now + 3600 * SEC;
    for (unsigned n = 0; f.now < end && tcp_end_next_expiry(f.e) != INSTANT_NEVER; n++) {
        assert(n < EXPIRIES_MAX);
        expire(&f);
    }
    step_read(&f, 65535);
    tcp_end_free(f.e);
    return 0;
}
