/* lab/middlebox_tcp.c - what middleboxes of the Internet do to TCP.
 *
 * Theory of operation. A connection is known from its first SYN, by its addresses and ports; its client is who sent it.
 * Options are replaced in every segment, known or not. Sequence numbers are changed one way, client to server:
 *
 *   client's stream   x ......... at |from| .......... e
 *   server's stream   x ......... at |-- to --| ........ e + to_len - from_len        all of it plus `offset`
 *
 * and acknowledgements and SACK blocks back the other way. A number inside `from` or `to` is neither here nor there: an
 * acknowledgement is rounded down, so that the whole of `to` is sent again; a SACK block is rounded inwards, and an
 * option with a block that has become empty goes. An edit is made in one segment, as a NAT's helper for FTP does it,
 * and never before a byte that has passed already: where that has been, it would be twice or not at all. It is
 * remembered by its place, so that what is retransmitted, cut in any other way, is changed alike.
 *
 * What is longer than the limit then comes out in pieces, each with all options, as a network card cuts it: FIN and PSH
 * on the last, CWR on the first, the IP identification counts up.
 *
 * Not done, as many that do these things do not: fragments, ICMP errors that quote a segment, an urgent pointer across
 * an edit, the window, which stays what it was and so is exceeded once by what an edit inserts.
 *
 * Limits: MIDDLEBOX_CONNS_MAX connections; one more is passed with nothing but options and lengths changed, and so is
 * one whose SYN was not seen. An edit is looked for in the first 2 GiB. IPv4.
 * Sources: RFC 9293 3.1, 3.4; RFC 2018 3; RFC 1624; RFC 8684 (kind 30); M. Honda et al., Is it still possible to extend
 * TCP?, IMC 2011 (which of these habits there are). */
#include "lab/middlebox_tcp.h"

#include <errno.h>

enum { OPT_END = 0, OPT_NOP = 1, OPT_MSS = 2, OPT_SACK = 5, OPT_MPTCP = 30 };

#define TUPLE_LEN 12       /* two addresses and two ports */
#define SETTLED (1u << 30) /* bytes behind an edit; chosen: half of what a comparison of sequence numbers can tell */

struct conn {
    struct list by_use;
    uint64_t key;
    uint8_t tuple[TUPLE_LEN]; /* the lower end first */
    bool client_is_high;
    bool fin[2]; /* of the lower and the higher end */
    bool closed;
    instant used;
    /* The client's stream, in its own numbers. */
    uint32_t isn, next; /* next: behind the highest byte that passed */
    uint32_t offset;
    bool edited, settled; /* settled: all that is still sent is behind the edit */
    uint32_t edit_at;
};

/* How far a is behind b. */
static int32_t behind(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b);
}

/* Options. */

static void nops(uint8_t *at, size_t len)
{
    memset(at, OPT_NOP, len);
}

/* The next option of [*at, end) that is neither NOP nor the end: its length, and *at is it. 0: there is none; -EBADMSG:
 * it is cut short. */
static int option_next(uint8_t **at, const uint8_t *end)
{
    while (*at < end && **at == OPT_NOP)
        ++*at;
    if (*at >= end || **at == OPT_END)
        return 0;
    if (end - *at < 2 || (*at)[1] < 2 || (*at)[1] > end - *at)
        return -EBADMSG;
    return (*at)[1];
}

static void options_strip(struct middlebox *m, uint8_t *at, const uint8_t *end)
{
    int len;

    for (; (len = option_next(&at, end)) > 0; at += len) {
        if (*at != OPT_MPTCP && (!m->options.strip_options || *at == OPT_MSS))
            continue;
        nops(at, (size_t)len);
        m->counts.options_stripped++;
    }
    /* What is no option goes with the options. */
    if (len < 0 && m->options.strip_options) {
        nops(at, (size_t)(end - at));
        m->counts.options_stripped++;
    }
}

/* Sequence numbers. */

static uint32_t to_server(const struct middlebox *m, const struct conn *c, uint32_t seq)
{
    uint32_t from_len = m->options.from_len, to_len = m->options.to_len;
    int32_t d = behind(seq, c->edit_at);

    if (c->edited && (c->settled || (d > 0 && d >= (int32_t)from_len)))
        seq += to_len - from_len;
    else if (c->edited && d > 0)
        seq = c->edit_at + MIN((uint32_t)d, to_len);
    return seq + c->offset;
}

/* inside: what a number inside `to` becomes. */
static uint32_t to_client(const struct middlebox *m, const struct conn *c, uint32_t ack, uint32_t inside)
{
    uint32_t from_len = m->options.from_len, to_len = m->options.to_len;
    int32_t d;

    ack -= c->offset;
    d = behind(ack, c->edit_at);
    if (c->edited && (c->settled || d >= (int32_t)to_len))
        return ack - to_len + from_len;
    return c->edited && d > 0 ? inside : ack;
}

static void sack_to_client(const struct middlebox *m, const struct conn *c, uint8_t *at, const uint8_t *end)
{
    int len;

    for (; (len = option_next(&at, end)) > 0; at += len) {
        bool good = true;

        if (*at != OPT_SACK)
            continue;
        for (uint8_t *block = at + 2; at + len - block >= 8; block += 8) {
            uint32_t left = to_client(m, c, get_be32(block), c->edit_at + m->options.from_len);
            uint32_t right = to_client(m, c, get_be32(block + 4), c->edit_at);

            good &= behind(right, left) > 0;
            put_be32(block, left);
            put_be32(block + 4, right);
        }
        if (!good)
            nops(at, (size_t)len);
    }
}

/* Edits. */

/* Is this segment the one to be edited? */
static void edit_seek(struct middlebox *m, struct conn *c, uint32_t seq, const uint8_t *data, size_t len)
{
    const struct middlebox_options *o = &m->options;
    uint32_t start = c->isn + 1 + o->after;
    const uint8_t *found;

    if (behind(c->next, start) > 0)
        start = c->next;
    if (behind(seq, start) > 0)
        start = seq;
    if (start - seq >= len)
        return;
    found = data + (start - seq);
    if (o->from_len > 0)
        found = memmem(found, len - (start - seq), o->from, o->from_len);
    if (!found)
        return;
    c->edited = true;
    c->edit_at = seq + (uint32_t)(found - data);
    m->counts.edits++;
    m->counts.bytes_inserted += o->to_len - o->from_len;
}

/* Makes of the payload, which stands at seq in the client's stream, what the server is to see of it. Its new length. */
static size_t edit_apply(const struct middlebox *m, const struct conn *c, uint32_t seq, uint8_t *data, size_t len)
{
    size_t from_len = m->options.from_len, to_len = m->options.to_len, before, text_begin, text_end, after;
    int32_t begin = behind(seq, c->edit_at), end = behind(seq + (uint32_t)len, c->edit_at);

    if (!c->edited || c->settled || end <= 0 || (begin > 0 && begin >= (int32_t)from_len))
        return len;
    before = begin < 0 ? (size_t)-begin : 0;
    text_begin = begin > 0 ? MIN((size_t)begin, to_len) : 0;
    text_end = (size_t)end < from_len ? MIN((size_t)end, to_len) : to_len;
    after = (size_t)end > from_len ? (size_t)end - from_len : 0;
    memmove(data + before + (text_end - text_begin), data + len - after, after);
    memcpy(data + before, m->options.to + text_begin, text_end - text_begin);
    return before + (text_end - text_begin) + after;
}

/* Connections. */

static void conn_free(struct middlebox *m, struct conn *c)
{
    map64_remove(&m->conns, c->key);
    list_remove(&c->by_use);
    free(c);
}

static void conns_expire(struct middlebox *m, struct list *list, instant used_before)
{
    while (!list_empty(list)) {
        struct conn *c = LIST_FIRST(list, struct conn, by_use);

        if (c->used > used_before)
            return;
        conn_free(m, c);
    }
}

static void conn_begin(struct middlebox *m, struct conn *c, bool from_high, uint32_t isn)
{
    c->client_is_high = from_high;
    c->fin[0] = c->fin[1] = c->closed = c->edited = c->settled = false;
    c->isn = isn;
    c->next = isn + 1;
    c->offset = m->options.rewrite_seq ? (uint32_t)rng_u64(&m->rng) : 0;
    m->counts.connections++;
}

static struct conn *conn_new(struct middlebox *m, uint64_t key, const uint8_t tuple[TUPLE_LEN])
{
    struct conn *c = calloc(1, sizeof(*c));

    if (!c || map64_put(&m->conns, key, c) < 0) {
        free(c);
        m->counts.no_place++;
        return NULL;
    }
    c->key = key;
    memcpy(c->tuple, tuple, TUPLE_LEN);
    list_init(&c->by_use);
    return c;
}

/* The segment's connection, told of it; NULL: it has none. */
static struct conn *conn_of(struct middlebox *m, instant now, bool *ret_from_client)
{
    const uint8_t *ip = m->packet, *tcp = ip + m->info.l4_off;
    uint8_t ends[2][6], tuple[TUPLE_LEN], flags = m->info.tcp_flags;
    uint32_t seq = get_be32(tcp + 4);
    struct conn *c;
    bool from_high;
    uint64_t key;

    for (size_t i = 0; i < 2; i++) {
        memcpy(ends[i], ip + 12 + 4 * i, 4);
        memcpy(ends[i] + 4, tcp + 2 * i, 2);
    }
    from_high = memcmp(ends[0], ends[1], 6) > 0;
    memcpy(tuple, ends[from_high], 6);
    memcpy(tuple + 6, ends[!from_high], 6);
    key = siphash13(m->key, tuple, sizeof(tuple));
    c = map64_get(&m->conns, key);
    if (c && memcmp(c->tuple, tuple, TUPLE_LEN) != 0)
        return NULL;
    if ((flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN &&
        (!c || c->closed || (c->client_is_high == from_high && seq != c->isn))) {
        if (!c && !(c = conn_new(m, key, tuple)))
            return NULL;
        conn_begin(m, c, from_high, seq);
    }
    if (!c)
        return NULL;
    c->fin[from_high] |= (flags & TCP_FIN) != 0;
    c->closed |= (flags & TCP_RST) != 0 || (c->fin[0] && c->fin[1]);
    c->used = now;
    list_remove(&c->by_use);
    list_append(c->closed ? &m->closed : &m->open, &c->by_use);
    *ret_from_client = c->client_is_high == from_high;
    return c;
}

/* Segments. */

static void from_client(struct middlebox *m, struct conn *c)
{
    uint8_t *tcp = m->packet + m->info.l4_off, *data = m->packet + m->info.payload_off;
    uint32_t seq = get_be32(tcp + 4), end;
    size_t len = m->len - m->info.payload_off, grown = len;

    /* What a SYN carries stands behind the SYN. */
    if (!(m->info.tcp_flags & TCP_SYN)) {
        if (m->options.grow && !c->edited)
            edit_seek(m, c, seq, data, len);
        grown = edit_apply(m, c, seq, data, len);
    }
    put_be32(tcp + 4, to_server(m, c, seq));
    m->counts.numbers_moved += get_be32(tcp + 4) != seq;
    end = seq + (uint32_t)len + ((m->info.tcp_flags & TCP_SYN) != 0);
    if (behind(end, c->next) > 0)
        c->next = end;
    if (c->edited && behind(c->next, c->edit_at) > (int32_t)SETTLED)
        c->settled = true;
    m->len += grown - len;
    if (grown > len && m->len > m->options.mtu)
        m->limit = MIN(m->limit, (size_t)m->options.mtu - m->info.payload_off);
}

static void from_server(struct middlebox *m, const struct conn *c)
{
    uint8_t *tcp = m->packet + m->info.l4_off;
    uint32_t ack = get_be32(tcp + 8);

    if (!(m->info.tcp_flags & TCP_ACK))
        return;
    put_be32(tcp + 8, to_client(m, c, ack, c->edit_at));
    m->counts.numbers_moved += get_be32(tcp + 8) != ack;
    sack_to_client(m, c, tcp + 20, m->packet + m->info.payload_off);
}

static bool is_ours(const struct middlebox *m)
{
    const struct packet_info *i = &m->info;
    uint32_t l4_len = (uint32_t)i->total_len - i->l4_off;

    return i->family == ADDR_V4 && i->proto == PROTO_TCP && !i->fragment &&
           /* One that is wrong must not be made right: its receiver is to drop it. */
           csum_finish(csum_add(csum_pseudo(m->packet, PROTO_TCP, l4_len), m->packet + i->l4_off, l4_len)) == 0;
}

void middlebox_init(struct middlebox *m, const struct middlebox_options *o, const struct rng *rng)
{
    memset(m, 0, sizeof(*m));
    m->options = *o;
    m->rng = *rng;
    rng_fill(rng, m->key, sizeof(m->key));
    map64_init(&m->conns, MIDDLEBOX_CONNS_MAX, rng_u64(rng));
    list_init(&m->open);
    list_init(&m->closed);
}

void middlebox_deinit(struct middlebox *m)
{
    conns_expire(m, &m->open, INSTANT_NEVER);
    conns_expire(m, &m->closed, INSTANT_NEVER);
    map64_deinit(&m->conns);
}

void middlebox_push(struct middlebox *m, const uint8_t *packet, size_t len, instant now)
{
    struct conn *c;
    bool is_client = false;

    m->counts.packets++;
    conns_expire(m, &m->open, now - MIDDLEBOX_IDLE_AFTER);
    conns_expire(m, &m->closed, now - MIDDLEBOX_CLOSED_AFTER);
    memcpy(m->packet, packet, len);
    m->len = len;
    m->at = m->limit = m->pieces = 0;
    m->waiting = true;
    if (packet_parse(m->packet, len, &m->info) < 0 || !is_ours(m))
        return;
    m->len = m->info.total_len;
    m->limit = m->options.recut && !(m->info.tcp_flags & (TCP_SYN | TCP_RST)) ? m->options.recut : PACKET_MAX;
    c = conn_of(m, now, &is_client);
    if (!c)
        m->counts.untracked++;
    else if (is_client)
        from_client(m, c);
    else
        from_server(m, c);
    if (m->options.strip_options || m->options.strip_mptcp)
        options_strip(m, m->packet + m->info.l4_off + 20, m->packet + m->info.payload_off);
    if (m->len - m->info.payload_off > m->limit)
        m->counts.segments_recut++;
}

/* The header of the piece [m->at, m->at + len) of the payload, which out begins with. */
static void piece_header(const struct middlebox *m, uint8_t *out, size_t len, bool last)
{
    uint8_t *tcp = out + m->info.l4_off, gone = 0;
    size_t hdr = m->info.payload_off, total = hdr + len;
    uint16_t urgent = get_be16(tcp + 18);

    if (m->pieces > 0)
        gone |= TCP_CWR;
    if (!last)
        gone |= TCP_FIN | TCP_PSH;
    if ((m->info.tcp_flags & TCP_URG) && m->at > 0) {
        if (urgent <= m->at)
            gone |= TCP_URG;
        urgent = urgent > m->at ? (uint16_t)(urgent - m->at) : 0;
    }
    put_be16(out + 2, (uint16_t)total);
    put_be16(out + 4, (uint16_t)(get_be16(out + 4) + m->pieces));
    put_be32(tcp + 4, get_be32(tcp + 4) + (uint32_t)m->at);
    tcp[13] &= (uint8_t)~gone;
    put_be16(tcp + 18, urgent);
    packet_fix_v4_header(out);
    put_be16(tcp + 16, 0);
    put_be16(tcp + 16, csum_finish(csum_add(csum_pseudo(out, PROTO_TCP, (uint32_t)(total - m->info.l4_off)), tcp,
                                            total - m->info.l4_off)));
}

size_t middlebox_pop(struct middlebox *m, uint8_t *out)
{
    size_t hdr, left, len;

    if (!m->waiting)
        return 0;
    if (m->limit == 0) {
        m->waiting = false;
        memcpy(out, m->packet, m->len);
        return m->len;
    }
    hdr = m->info.payload_off;
    left = m->len - hdr - m->at;
    len = MIN(left, m->limit);
    memcpy(out, m->packet, hdr);
    memcpy(out + hdr, m->packet + hdr + m->at, len);
    piece_header(m, out, len, len == left);
    m->at += len;
    m->pieces++;
    m->waiting = len < left;
    return hdr + len;
}
