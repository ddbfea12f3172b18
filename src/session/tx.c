/* session/tx.c - datagrams out.
 *
 * Theory of operation. session_output is asked until it has nothing: first handshakes, then control records of each
 * path (acknowledgements, probes, challenges, the control stream), then data. Data is pulled, the fastest path first:
 * copies for redundancy, then interactive flows, then bulk ones, and of each class first what must be sent again
 * because its path is in doubt. A packet gets its session sequence when it is pulled and keeps it in every copy.
 * Records of one length and one TOS for one path leave in one buffer, for UDP_SEGMENT; of a path over a stream, of any
 * length, each behind it, so that one write takes them all. Control records have TOS 0.
 *
 * Limits: 64 records and 65,000 bytes a call, 131,072 of a stream; 1,200 bytes a control record, so that it fits every
 * path of 1,280. */
#include <errno.h>

#include "session/internal.h"
#include "wire/carrier.h"

#define PROBE_MAX (1500 - 28 - SEALED_HEADER_LEN - SEALED_TAG_LEN) /* outer IPv4, the largest that is measured */
#define CONTROL_MAX (1200 - SEALED_HEADER_LEN - SEALED_TAG_LEN)
/* The shortest probe (39 bytes) of a peer that has moved must pay for this: a challenge, and its acknowledgement too.
 */
#define CONTROL_MIN (SEALED_HEADER_LEN + SEALED_TAG_LEN + CONTROL_HEADER_LEN + FRAME_HEADER_LEN + 8)
#define ACK_ROOM (FRAME_HEADER_LEN + 4 + 8 + 4 * 4 + 1 + 4) /* of one range */
#define ACKNOWLEDGEMENT_MAX 112 /* chosen: IPv6, TCP, timestamps and three blocks of SACK are 100 */
#define PROTOCOL_TCP 6
#define TCP_FIN_SYN_RST 0x07
#define RUN_PAUSE (1 * SEC)      /* chosen: ends a run, of which packets are in order */
#define RECENT_SPAN (200 * MSEC) /* chosen: the longest resequencing wait */
/* Counters left out: so that a gap stands in few acknowledgements, and who acknowledges what it did not get lies in
 * vain. */
#define SKIP_MIN 128
#define SKIP_SPAN 512   /* chosen: a mean of 384 records, which nobody can guess */
#define SKIP_RUN 3      /* chosen: most losses are no longer, so that a gap of ours looks like one of the network */
#define TRIAL_ONE_IN 8  /* chosen: of a flow's packets: the copies that park.c wants in 4 s of 40 Mbit/s */
#define AMPLIFICATION 3 /* RFC 9000 section 8.1 */

/* Of a stream: the length before each record. */
size_t tx_outer_overhead(const struct spath *p)
{
    if (p->reliable)
        return CARRIER_PREFIX;
    return p->spec.at.remote.addr.family == ADDR_V6 ? 48 : 28;
}

/* Bytes that may go to an endpoint now. */
static size_t amplification_room(const struct spath *p)
{
    uint64_t most = AMPLIFICATION * p->unvalidated_rx;

    if (p->validated)
        return SIZE_MAX;
    return most > p->unvalidated_tx ? (size_t)(most - p->unvalidated_tx) : 0;
}

/* The key and the connection id of the path's next record. 0 or negative: none may leave. */
static int next_key(struct session *s, unsigned slot, struct aead **ret_aead, uint64_t *ret_cid, instant now)
{
    uint64_t limit = suite_seal_limit(s->cur->suite);

    *ret_aead = epoch_tx_key(s->cur, slot, s->paths[slot].id, ret_cid);
    if (!*ret_aead)
        return -ENOMEM;
    /* Keys are replaced an eighth before the limit of the cipher, and past it nothing leaves. */
    s->cur->tx[slot].records++;
    if (s->cur->tx[slot].records == limit - limit / 8) {
        if (s->o.opener)
            s->rekey_at = now;
        else
            s->ask_rekey = true;
    }
    return s->cur->tx[slot].records > limit ? -EKEYEXPIRED : 0;
}

/* Seals plain (len bytes, at out + SEALED_HEADER_LEN or elsewhere) as the path's next record. 0 or negative. */
static int seal(struct session *s, unsigned slot, const uint8_t *plain, size_t len, uint8_t *out, instant now)
{
    uint64_t cid, counter = path_next_counter(s->paths[slot].path);
    struct aead *aead;
    int r = next_key(s, slot, &aead, &cid, now);

    if (r < 0)
        return r;
    sealed_header_put(out, cid, counter);
    return aead_seal(aead, counter, out, SEALED_HEADER_LEN, plain, len, out + SEALED_HEADER_LEN);
}

/* The same of a data record whose payload is not encrypted: its header, put together where the record's will stand,
 * goes behind the payload, so that all that is only authenticated is one piece. */
static int authenticate_data(struct session *s, unsigned slot, struct pbuf *b, uint8_t *out, instant now)
{
    uint8_t *plain = out + SEALED_HEADER_LEN - DATA_HEADER_LEN, header[DATA_HEADER_LEN];
    size_t clear = SEALED_HEADER_LEN + b->len - DATA_HEADER_LEN;
    uint64_t cid, counter = path_next_counter(s->paths[slot].path);
    struct aead *aead;
    int r = b->tracked ? carry_gather(s, b, plain) : 0;

    if (r < 0)
        return r;
    if (!b->tracked && b->tail_len > 0)
        pbuf_gather(b, plain);
    else if (!b->tracked)
        memcpy(plain, b->data, b->len);
    memcpy(header, plain, sizeof(header));
    r = next_key(s, slot, &aead, &cid, now);
    if (r < 0)
        return r;
    clear_header_put(out, cid, counter);
    return aead_seal(aead, counter, out, clear, header, sizeof(header), out + clear);
}

/* The same of a data record. Its pieces are put together in the train, where the cipher works in place: what it has
 * just read from cold memory it then finds in the cache. */
static int seal_data(struct session *s, unsigned slot, struct pbuf *b, uint8_t *out, instant now)
{
    if (s->cur->clear)
        return authenticate_data(s, slot, b, out, now);

    int r = b->tracked ? carry_gather(s, b, out + SEALED_HEADER_LEN) : 0;

    if (r < 0)
        return r;
    if (b->tracked)
        return seal(s, slot, out + SEALED_HEADER_LEN, b->len, out, now);
    if (b->tail_len > 0)
        pbuf_gather(b, out + SEALED_HEADER_LEN);
    else
        return seal(s, slot, b->data, b->len, out, now);
    return seal(s, slot, out + SEALED_HEADER_LEN, b->len, out, now);
}

/* Now and then counters are left out, so that a peer cannot acknowledge what it has not received (RFC 9000 21.4). */
static void skip(struct session *s, struct spath *p, instant now)
{
    if (p->skip_in == 0)
        p->skip_in = SKIP_MIN + (unsigned)(rng_u64(s->o.rng) % SKIP_SPAN);
    if (--p->skip_in > 0)
        return;
    for (unsigned i = 1 + (unsigned)(rng_u64(s->o.rng) % SKIP_RUN); i > 0; i--)
        path_skip_counter(p->path, now);
}

static void sent(struct session *s, unsigned slot, size_t len, struct pbuf *data, bool eliciting, bool more,
                 instant now)
{
    struct spath *p = &s->paths[slot];

    if (!p->validated)
        p->unvalidated_tx += len;
    path_on_sent(p->path, len + tx_outer_overhead(p), data, eliciting, more, now);
    skip(s, p, now);
}

/* --- control --- */

static void add_bytes(struct writer *w, enum frame_type type, const uint8_t *body, size_t len)
{
    uint8_t *mark = frame_begin(w, type);
    write_bytes(w, body, len);
    frame_end(w, mark);
}

static void add_path_open(struct session *s, struct writer *w, unsigned slot)
{
    struct path_open o = session_describe_path(s, slot);
    uint8_t *mark = frame_begin(w, FRAME_PATH_OPEN);

    path_open_write(w, &o);
    frame_end(w, mark);
}

static void add_token(struct session *s, struct writer *w, unsigned slot)
{
    uint8_t body[8 + RESET_TOKEN_LEN];
    /* The id on which the peer sends to us is the one that we may not know after a restart. */
    uint64_t cid = epoch_rx_cid(s, s->cur, s->paths[slot].id);

    put_be64(body, cid);
    blake2s_mac16(body + 8, s->o.reset_secret, body, 8);
    add_bytes(w, FRAME_RESET_TOKEN, body, sizeof(body));
}

static void add_stream(struct session *s, struct writer *w, bool *eliciting, instant now)
{
    uint8_t body[STREAM_FRAME_HEADER + STREAM_FRAME_DATA_MAX];
    int n;

    if (stream_ack_pending(s->stream) && writer_left(w) >= FRAME_HEADER_LEN + STREAM_ACK_LEN) {
        n = stream_make_ack(s->stream, body, sizeof(body));
        if (n > 0)
            add_bytes(w, FRAME_STREAM_ACK, body, (size_t)n);
    }
    if (s->ask_rekey && now >= s->ask_rekey_again && writer_left(w) >= FRAME_HEADER_LEN) {
        add_bytes(w, FRAME_REKEY, NULL, 0);
        s->ask_rekey_again = now + 1 * SEC;
        *eliciting = true;
    }
    while (stream_wants_send(s->stream, now) && writer_left(w) > FRAME_HEADER_LEN + STREAM_FRAME_HEADER + 200) {
        n = stream_next_frame(s->stream, body, MIN(sizeof(body), writer_left(w) - FRAME_HEADER_LEN), now);
        if (n <= 0)
            break;
        add_bytes(w, FRAME_STREAM, body, (size_t)n);
        *eliciting = true;
    }
}

static void add_ack(struct session *s, struct writer *w, unsigned slot, instant now)
{
    struct ack a;
    uint8_t *mark;

    s->paths[slot].want_ack = false;
    if (!path_make_ack(s->paths[slot].path, now, &a))
        return;
    a.path_id = s->paths[slot].id;
    mark = frame_begin(w, FRAME_ACK);
    ack_write(w, &a);
    frame_end(w, mark);
}

static void add_summary(struct session *s, struct writer *w, unsigned slot)
{
    struct spath *p = &s->paths[slot];
    uint8_t *mark = frame_begin(w, FRAME_SUMMARY);

    p->want_summary = false;
    p->summary.path_id = p->id;
    path_summary_write(w, &p->summary);
    frame_end(w, mark);
}

/* The path on which stream frames leave: the fastest that is alive, any before one is. */
static int stream_slot(const struct session *s)
{
    uint8_t order[SESSION_SLOTS];
    unsigned n = sched_order(s, order);

    for (unsigned want = 0; want < 4; want++)
        for (unsigned i = 0; i < n; i++)
            if (s->paths[order[i]].rank == want)
                return order[i];
    return -1;
}

static bool wants_stream(const struct session *s, unsigned slot, instant now)
{
    bool wants = stream_ack_pending(s->stream) || stream_wants_send(s->stream, now) ||
                 (s->ask_rekey && now >= s->ask_rekey_again);

    return wants && stream_slot(s) == (int)slot;
}

static bool wants_control(const struct session *s, unsigned slot, instant now)
{
    const struct spath *p = &s->paths[slot];

    if (!p->used || !p->path || p->link_down)
        return false;
    return p->want_ack || p->want_probe > 0 || p->want_open || p->want_response ||
           (p->want_challenge && now >= p->challenge_again) || p->want_close > 0 || wants_stream(s, slot, now);
}

/* When a control record that waits for its time may leave: what no path can carry now waits for an event instead. */
instant tx_next_expiry(const struct session *s)
{
    int slot = stream_slot(s);
    instant next = INSTANT_NEVER;

    if (slot >= 0 && amplification_room(&s->paths[slot]) >= RECORD_MAX)
        next = stream_next_expiry(s->stream);
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        const struct spath *p = &s->paths[i];

        if (p->path && p->want_challenge && !p->link_down && amplification_room(p) >= CONTROL_MIN)
            next = instant_min(next, p->challenge_again);
    }
    return next;
}

static bool control_output(struct session *s, unsigned slot, uint8_t *buf, struct session_tx *ret, instant now)
{
    struct spath *p = &s->paths[slot];
    uint8_t plain[CONTROL_MAX];
    size_t len, room = amplification_room(p);
    bool eliciting = p->want_probe > 0 || p->want_open;
    struct writer w;

    if (!wants_control(s, slot, now) || room < CONTROL_MIN)
        return false;
    w = writer_init(plain, MIN(sizeof(plain), room - SEALED_HEADER_LEN - SEALED_TAG_LEN));
    write_u8(&w, CONTENT_CONTROL);
    write_u8(&w, 0);
    write_u16(&w, time64_from(now));
    if (p->want_challenge && now >= p->challenge_again) {
        add_bytes(&w, FRAME_CHALLENGE, p->challenge, sizeof(p->challenge));
        p->challenge_again = now + 200 * MSEC;
        eliciting = true;
    }
    if (p->want_response && writer_left(&w) >= FRAME_HEADER_LEN + sizeof(p->response))
        add_bytes(&w, FRAME_RESPONSE, p->response, sizeof(p->response));
    if ((p->want_ack || path_ack_pending(p->path)) && writer_left(&w) >= ACK_ROOM)
        add_ack(s, &w, slot, now);
    if (p->want_summary && writer_left(&w) >= FRAME_HEADER_LEN + SUMMARY_LEN)
        add_summary(s, &w, slot);
    if (s->o.opener && (p->want_open || !p->open))
        add_path_open(s, &w, slot);
    if (p->want_probe > 0 && writer_left(&w) >= FRAME_HEADER_LEN)
        add_bytes(&w, FRAME_PING, NULL, 0);
    if (p->want_token > 0 && p->validated) {
        add_token(s, &w, slot);
        p->want_token--;
        eliciting = true;
    }
    if (room >= RECORD_MAX && wants_stream(s, slot, now))
        add_stream(s, &w, &eliciting, now);
    if (p->want_close > 0) {
        /* The last word: what has come by any path is acknowledged in it. */
        for (unsigned i = 0; i < SESSION_SLOTS; i++)
            if (s->paths[i].path && writer_left(&w) >= ACK_ROOM + FRAME_HEADER_LEN + 1)
                add_ack(s, &w, i, now);
        if (writer_left(&w) > FRAME_HEADER_LEN)
            add_bytes(&w, FRAME_CLOSE, (const uint8_t[]){ 0 }, 1);
        p->want_close--;
    }
    if (writer_len(&w) == CONTROL_HEADER_LEN)
        return false; /* what waits does not fit into what may go there */
    p->want_open = p->want_response = false;
    p->want_probe -= p->want_probe > 0;
    plain[1] = eliciting ? CONTROL_FLAG_ELICITING : 0;
    len = writer_len(&w);
    if (w.failed || seal(s, slot, plain, len, buf, now) < 0)
        return false;
    len += SEALED_HEADER_LEN + SEALED_TAG_LEN;
    *ret = (struct session_tx){ .at = p->spec.at, .len = len, .slot = (uint8_t)slot };
    sent(s, slot, len, NULL, eliciting, false, now);
    return true;
}

/* A probe of the path's size, or of its rate: an empty record that is padded. */
static bool probe_output(struct session *s, unsigned slot, uint8_t *buf, struct session_tx *ret, instant now)
{
    struct spath *p = &s->paths[slot];
    uint8_t plain[PROBE_MAX];
    struct writer w = writer_init(plain, sizeof(plain));
    size_t wire_bytes, len;
    uint8_t *mark;
    bool train;

    if (!p->used || !p->path || p->link_down || !p->validated || p->spec.at.transport != TRANSPORT_UDP)
        return false;
    wire_bytes = path_size_probe(p->path, now);
    train = wire_bytes == 0;
    if (train)
        wire_bytes = path_train_record(p->path, now);
    if (wire_bytes == 0)
        return false;
    len = wire_bytes - tx_outer_overhead(p) - SEALED_HEADER_LEN - SEALED_TAG_LEN;
    write_u8(&w, CONTENT_CONTROL);
    write_u8(&w, CONTROL_FLAG_ELICITING);
    write_u16(&w, time64_from(now));
    add_bytes(&w, FRAME_PING, NULL, 0);
    mark = frame_begin(&w, FRAME_PADDING);
    while (!w.failed && writer_len(&w) < len)
        write_u8(&w, 0);
    frame_end(&w, mark);
    if (w.failed || seal(s, slot, plain, len, buf, now) < 0)
        return false;
    len += SEALED_HEADER_LEN + SEALED_TAG_LEN;
    *ret = (struct session_tx){ .at = p->spec.at, .len = len, .slot = (uint8_t)slot };
    if (train)
        path_on_train_record(p->path, wire_bytes, now);
    else
        path_on_size_probe(p->path, wire_bytes, now);
    return true;
}

/* --- data --- */

void tx_copy(struct session *s, unsigned slot, struct pbuf *b, instant now)
{
    struct spath *p = &s->paths[slot];

    if (!p->dup)
        p->dup = calloc(DUP_MAX, sizeof(*p->dup));
    if (!p->dup) {
        carry_forget(s, pbuf_ref(b));
        return;
    }
    if (p->dup_count == DUP_MAX) {
        carry_forget(s, p->dup[p->dup_head].b);
        p->dup_head = (p->dup_head + 1) % DUP_MAX;
        p->dup_count--;
    }
    p->dup[(p->dup_head + p->dup_count++) % DUP_MAX] = (struct dup){ .b = pbuf_ref(b), .since = now };
}

/* A packet of TCP that carries no data, and neither begins nor ends a connection. A flow of these gains nothing by a
 * second path, and needs no order: what one of them says, the next says too (RFC 9293 section 3.10.7.4), and those that
 * came need not wait for one that did not. */
static bool is_acknowledgement(const struct pbuf *b)
{
    const uint8_t *ip = b->data + DATA_HEADER_LEN, *tcp;
    size_t len = b->len - DATA_HEADER_LEN, ip_len;
    bool v6;

    if (len < 20 + 20 || len > ACKNOWLEDGEMENT_MAX || b->tail_len > 0 || b->note & (SESSION_PIECE | SESSION_PIECE_MORE))
        return false;
    v6 = ip[0] >> 4 == 6;
    ip_len = v6 ? 40 : (size_t)(ip[0] & 15) * 4;
    tcp = ip + ip_len;
    return ip[v6 ? 6 : 9] == PROTOCOL_TCP && ip_len + 20 <= len && ip_len + (size_t)(tcp[12] >> 4) * 4 == len &&
           !(tcp[13] & TCP_FIN_SYN_RST);
}

/* Does a stripe send its packets by two paths (twice.c)? */
static bool goes_twice(const struct session *s, const struct session_target *t)
{
    return s->twice.is && t->mode == MODE_STRIPE && !(sched_candidates(s, t) & ~s->twice.slots);
}

/* The slots, as bits, by which what leaves by this one goes, too. */
static uint8_t others_of(const struct session *s, const struct session_target *t, unsigned slot)
{
    uint8_t others;
    int second;

    if (t->mode != MODE_REDUNDANT && !goes_twice(s, t))
        return 0;
    others = sched_candidates(s, t) & (uint8_t) ~(1u << slot);
    if (t->mode == MODE_REDUNDANT)
        return others;
    second = sched_fastest(s, others);
    return second >= 0 ? (uint8_t)(1u << second) : 0;
}

/* A sequence for a packet that leaves for the first time, and copies for the paths that are to carry it too. */
static void number(struct session *s, struct flow *f, struct pbuf *b, unsigned slot, instant now)
{
    const struct session_target *t = session_target(s, f->steer);
    uint64_t seq = s->tx_seq++;
    struct data_header h = { .csum_owed = b->note & SESSION_CSUM_OWED,
                             .piece = b->note & SESSION_PIECE,
                             .flow = f->index,
                             .seq = (uint32_t)seq };
    uint8_t copies = others_of(s, t, slot);

    if (now - f->paths_since > RECENT_SPAN) {
        f->older_paths = now - f->paths_since > 2 * RECENT_SPAN ? 0 : f->recent_paths;
        f->recent_paths = 0;
        f->paths_since = now;
    }
    if (now - f->run_until > RUN_PAUSE) {
        f->run_bytes = 0;
        f->has_seq = false;
    }
    if (!is_acknowledgement(b)) {
        f->run_until = now;
        f->run_bytes += b->len;
    }
    f->recent_paths |= (uint8_t)(1u << slot) | copies;
    h.paths = f->recent_paths | f->older_paths;
    if (f->has_seq && (f->class != FLOW_INTERACTIVE || (b->note & SESSION_PIECE_MORE)) &&
        (uint32_t)seq - f->last_seq <= UINT16_MAX)
        h.back = (uint16_t)((uint32_t)seq - f->last_seq);
    f->last_seq = (uint32_t)seq;
    f->has_seq = f->run_bytes > 0;
    f->pinned = (uint8_t)(slot + 1);
    b->note = note_make(note_tos(b), f->steer, f->class);
    b->stamp = now;
    data_header_put(b->data, &h);
    s->info.tx_bytes += b->len - DATA_HEADER_LEN;
    s->info.tx_pkts++;
    session_on_data(s, now);

    if (s->on_trial && t->mode == MODE_STRIPE && seq % TRIAL_ONE_IN == 0)
        copies |= s->on_trial & sched_usable(s, t);
    /* A path in doubt, and the paths beside it: new data goes both ways until the doubt is resolved. */
    for (unsigned others = h.paths & ~(1u << slot); others && s->paths[slot].rank != 1; others &= others - 1)
        if (s->paths[__builtin_ctz(others)].rank == 1)
            copies |= (uint8_t)(others & -others);
    for (unsigned left = size_fitting(s, copies, b->len) & ~(1u << slot); left; left &= left - 1)
        tx_copy(s, (unsigned)__builtin_ctz(left), b, now);
}

/* What one train takes from what waits. */
struct turn {
    struct session *s;
    unsigned slot;
    instant now;
    const struct flow *allowed; /* it may use the slot, and may so for the next packet */
    bool once;                  /* only what goes by one path */
    bool held;                  /* something waits that might go by the slot, but better goes by another */
    bool copy;                  /* what was pulled last has another path, too */
};

static bool may(void *ctx, const struct flow *f)
{
    struct turn *t = ctx;
    const struct session_target *target;
    bool lasts, yes;

    if (f == t->allowed && !t->once)
        return true;
    target = session_target(t->s, f->steer);
    if (t->once && (target->mode == MODE_REDUNDANT || goes_twice(t->s, target)))
        return false;
    yes = sched_may(t->s, target, f, t->slot, &lasts);
    t->allowed = yes && lasts ? f : NULL;
    t->held |= !yes && sched_candidates(t->s, target) & 1u << t->slot;
    return yes;
}

static struct pbuf *drop_too_big(struct session *s, struct pbuf *b)
{
    if (b->tracked) {
        carry_lost(s, b); /* cut anew it will fit */
        return NULL;
    }
    s->info.drops[DROP_TOO_BIG]++;
    pbuf_unref(b);
    return NULL;
}

static struct pbuf *fitting(struct session *s, struct pbuf *b, unsigned slot)
{
    return size_fitting(s, (uint8_t)(1u << slot), b->len) ? b : drop_too_big(s, b);
}

static struct pbuf *dup_pop(struct turn *t)
{
    struct spath *p = &t->s->paths[t->slot];

    while (p->dup_count > 0) {
        struct dup d = p->dup[p->dup_head];

        p->dup_head = (p->dup_head + 1) % DUP_MAX;
        p->dup_count--;
        if (t->now - d.since <= DUP_LIFE) {
            struct pbuf *b = fitting(t->s, d.b, t->slot);

            t->copy = b != NULL;
            return b;
        }
        carry_forget(t->s, d.b);
    }
    return NULL;
}

/* What was lost once goes by a second path, too, if that is not just being filled to find its rate, and its bytes are
 * free: if it is lost again there is no time for a third. */
static void copy_again(struct session *s, struct pbuf *b, uint8_t others, instant now)
{
    int second = sched_fastest(s, others);

    if (second < 0 || s->paths[second].rate_is_sought || s->paths[second].spec.metered || b->tracked ||
        session_target(s, note_steer(b))->mode != MODE_STRIPE)
        return;
    tx_copy(s, (unsigned)second, b, now);
}

static struct pbuf *reinject_pop(struct session *s, enum flow_class c, unsigned slot, instant now)
{
    struct reinjection *r = &s->packets->reinject[c];
    struct pbuf *b;
    uint8_t candidates, fit;

    for (;; r->count--) {
        if (r->count == 0)
            return NULL;
        b = r->items[r->head].b;
        candidates = sched_candidates(s, session_target(s, note_steer(b)));
        fit = s->narrow ? size_fitting(s, candidates, b->len) : candidates;
        if (fit || !candidates)
            break;
        drop_too_big(s, b);
        r->head = (r->head + 1) % REINJECT_MAX;
    }
    candidates = fit;
    if (!(candidates & 1u << slot) || (r->items[r->head].from == slot && (candidates & ~(1u << slot)) != 0))
        return NULL;
    if (r->items[r->head].from == SESSION_SLOTS)
        copy_again(s, b, fit & (uint8_t) ~(1u << slot), now);
    r->head = (r->head + 1) % REINJECT_MAX;
    r->count--;
    s->info.reinjected++;
    return b;
}

/* b, or its first piece; NULL: another path is to carry it, or none does. */
static struct pbuf *sized(struct session *s, struct flow *f, struct pbuf *b, unsigned slot)
{
    uint8_t candidates = sched_candidates(s, session_target(s, f->steer));

    if (size_fitting(s, (uint8_t)(1u << slot), b->len))
        return b;
    if (!size_fitting(s, candidates, b->len))
        return size_split(s, f, b, candidates);
    flowq_unpop(s->packets->flowq, f, b); /* the head that `may` saw was dropped by CoDel */
    return NULL;
}

/* The next packet that waits, numbered. */
static struct pbuf *pull_packet(struct turn *t, enum flow_class c)
{
    struct session *s = t->s;
    struct flow *f;
    struct pbuf *b = flowq_pop(s->packets->flowq, c, may, t, t->now, &f);

    if (b && s->narrow)
        b = sized(s, f, b, t->slot);
    if (b) {
        number(s, f, b, t->slot, t->now);
        channels_on_packet(s, c, b->len);
    }
    return b;
}

static struct pbuf *pull_class(struct turn *t, enum flow_class c)
{
    struct session *s = t->s;
    struct pbuf *b;
    bool channels;

    if (!s->channels && s->packets->reinject[c].count == 0 && flowq_empty(s->packets->flowq, c))
        return NULL;
    channels = channels_come_first(s, c);
    b = t->once ? NULL : reinject_pop(s, c, t->slot, t->now);
    if (!b && channels)
        b = carry_pull_channel(s, c, t->slot, t->now);
    if (!b)
        b = pull_packet(t, c);
    if (!b && !channels && s->channels)
        b = carry_pull_channel(s, c, t->slot, t->now);
    return b;
}

/* A copy can be done without; so interactive flows come before it, and those that go by one path alone take turns with
 * it: a path that carries less than what is copied to it still brings what only it may. */
static struct pbuf *pull_any(struct turn *t)
{
    struct session *s = t->s;
    struct spath *p = &s->paths[t->slot];
    bool turn = p->copied_last;
    struct pbuf *b;

    if (!s->packets) {
        b = dup_pop(t);
        return b ? b : carry_pull(s, t->slot, t->now);
    }
    p->copied_last = false;
    b = pull_class(t, FLOW_INTERACTIVE);
    if (!b && turn) {
        t->once = true;
        b = pull_class(t, FLOW_BULK);
        t->once = false;
    }
    if (b)
        return b;
    b = dup_pop(t);
    p->copied_last = b != NULL;
    return b ? b : pull_class(t, FLOW_BULK);
}

/* The next record for this path, with a reference; NULL when there is none. */
static struct pbuf *pull(struct turn *t)
{
    struct session *s = t->s;
    unsigned slot = t->slot;
    instant now = t->now;
    struct spath *p = &s->paths[slot];
    struct pbuf *b = p->stash;

    p->stash = NULL;
    t->copy = p->stash_is_copy;
    if (b)
        b = fitting(s, b, slot);
    if (!b) {
        t->copy = false;
        b = pull_any(t);
    }
    if (!b && carry_is_blocked(s)) {
        b = carry_pull_late(s, slot, now);
        t->copy = b != NULL;
    }
    return b;
}

static bool has_more(const struct session *s, unsigned slot)
{
    return s->paths[slot].stash || s->paths[slot].dup_count > 0 || session_has_data(s);
}

/* SCTP is told what it need not bring (RFC 3758): not once the time is over in which it would arrive soon enough. */
static void set_use(struct session *s, const struct spath *p, const struct adu_use *use, unsigned count,
                    struct session_tx *ret, instant now)
{
    bool lossy = use->once || use->until != INSTANT_NEVER;

    if (!lossy || p->spec.at.transport != TRANSPORT_SCTP)
        return;
    if (!p->partial) {
        s->info.insisted += count;
        return;
    }
    ret->once = use->once;
    if (use->until != INSTANT_NEVER)
        ret->lifetime_ms = (uint32_t)CLAMP((use->until - p->least_delay - now) / MSEC, 1, ADU_LEFT_MAX / MSEC);
}

/* Does it go into one train with those before? */
static bool goes_with(const struct pbuf *b, size_t len, size_t segment, uint8_t tos, const struct adu_use *mine,
                      const struct adu_use *theirs)
{
    return len <= segment && note_tos(b) == tos && /* the kernel gives a train one TOS */
           mine->until == theirs->until && mine->once == theirs->once;
}

static bool data_output(struct session *s, unsigned slot, uint8_t *buf, struct session_tx *ret, instant now)
{
    struct spath *p = &s->paths[slot];
    bool sctp = p->spec.at.transport == TRANSPORT_SCTP;
    struct adu_use use = { .until = INSTANT_NEVER }, next = use;
    bool framed = p->reliable && transport_is_stream(p->spec.at.transport);
    size_t used = 0, segment = 0, prefix = framed ? CARRIER_PREFIX : 0;
    size_t most = framed ? SESSION_OUTPUT_MAX : SESSION_TRAIN_MAX;
    struct turn t = { .s = s, .slot = slot, .now = now };
    unsigned count = 0;
    uint8_t tos = 0;

    if (p->rank == 4 || (!has_more(s, slot) && !carry_is_blocked(s)))
        return false;
    while (count < SESSION_GSO_MAX && used + prefix + MAX(p->mtu, RECORD_MAX) <= most) {
        struct pbuf *b;
        size_t len;
        int r;

        if (!path_may_send(p->path, segment ? segment : RECORD_MAX, now) || amplification_room(p) < RECORD_MAX)
            break;
        b = pull(&t);
        if (!b) {
            if (carry_wants_send(s) || (session_has_data(s) && !t.held)) /* and what waits is to go by another */
                path_on_app_limited(p->path);
            break;
        }
        len = SEALED_HEADER_LEN + b->len + SEALED_TAG_LEN;
        if (sctp)
            next = carry_use_of(s, b);
        if (!framed && segment > 0 && !goes_with(b, len, segment, tos, &next, &use)) {
            p->stash = b;
            p->stash_is_copy = t.copy;
            break;
        }
        tos = note_tos(b);
        use = next;
        put_be16(b->data + 10, time64_from(now));
        r = seal_data(s, slot, b, buf + used + prefix, now);
        if (r < 0) {
            session_give_up(s, b);
            if (r == -ECANCELED) /* nobody wants it any more: what is behind it may go */
                continue;
            break;
        }
        sent(s, slot, len, b, true, has_more(s, slot) && (!(s->on_trial & 1u << slot) || p->dup_count > 0), now);
        s->info.duplicated += t.copy;
        pbuf_unref(b);
        if (framed)
            put_be16(buf + used, (uint16_t)len);
        used += prefix + len;
        count++;
        if (segment == 0)
            segment = len;
        else if (!framed && len < segment)
            break;
    }
    if (count == 0)
        return false;
    *ret = (struct session_tx){ .at = p->spec.at,
                                .len = used,
                                .segment = count > 1 && !framed ? segment : 0,
                                .tos = tos,
                                .framed = framed,
                                .slot = (uint8_t)slot };
    set_use(s, p, &use, count, ret, now);
    return true;
}

bool session_output(struct session *s, uint8_t *buf, struct session_tx *ret, instant now)
{
    uint8_t order[SESSION_SLOTS];
    unsigned n;

    if (establish_output(s, buf, ret, now))
        return true;
    if (!s->up || !s->cur || now - s->cur->born > SESSION_REJECT_AFTER)
        return false;
    carry_say(s, now);
    sched_refresh(s, now);
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (control_output(s, i, buf, ret, now))
            return true;
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (probe_output(s, i, buf, ret, now))
            return true;
    n = sched_order(s, order);
    for (unsigned i = 0; i < n; i++)
        if (data_output(s, order[i], buf, ret, now))
            return true;
    return false;
}
