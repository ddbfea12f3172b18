/* session/carry.c - between the paths of a session and what its application writes: a stream (delivery.c) and
 * application data units (adu.c).
 *
 * Theory of operation. A path that may send asks for a piece of a unit, or a chunk of the stream, as large as it
 * carries. What then waits in the path's log is a buffer with the record's header alone, `tracked`, so that the path
 * tells what became of it; the bytes stay where the application's were copied to, and are fetched when the record is
 * sealed. What is lost, or in flight on a path that is in doubt, is cut again for whichever path asks next. Nothing
 * gives up but a unit whose time is over: a session without a path keeps everything until it ends.
 *
 * When the peer's window is used up, and what its reader waits for comes late by one path, another that is free brings
 * a copy ("opportunistic retransmission": Raiciu et al., NSDI 2012).
 *
 * Beside packets there are channels (channel.c), whose chunks are told apart by their number.
 *
 * Units go before the stream. They are made when the first one is sent or comes.
 *
 * Limits, and that a unit will not come, are said in the control stream, which does not lose them. */
#include <errno.h>

#include "session/internal.h"

struct delivery *session_delivery(struct session *s)
{
    return s->delivery;
}

struct adus *session_adus(const struct session *s)
{
    return s->adus;
}

static struct adus *make_adus(struct session *s)
{
    if (s->delivery && !s->adus) {
        s->adus = adus_new(&s->adu_options);
        if (s->adus && delivery_error(s->delivery))
            adus_break(s->adus, delivery_error(s->delivery));
    }
    return s->adus;
}

struct adus *session_adus_for_sending(struct session *s)
{
    return make_adus(s);
}

bool session_units_flushed(const struct session *s)
{
    return !s->adus || (adus_flushed(s->adus) && s->unsaid.gone_len == 0 && stream_idle(s->stream));
}

static void end_stream(struct session *s)
{
    if (!s->finishing || !session_units_flushed(s))
        return;
    s->finishing = false;
    delivery_finish(s->delivery);
}

void session_finish(struct session *s)
{
    if (!s->delivery)
        return;
    s->finishing = true;
    end_stream(s);
}

bool session_flushed(const struct session *s)
{
    return s->delivery && !s->finishing && delivery_flushed(s->delivery) && session_units_flushed(s);
}

bool carry_wants_send(const struct session *s)
{
    return channels_want_send(s) ||
           (s->delivery && (delivery_wants_send(s->delivery) || (s->adus && adus_wants_send(s->adus))));
}

bool carry_has_begun(const struct session *s)
{
    return s->delivery && (delivery_has_begun(s->delivery) || (s->adus && adus_has_begun(s->adus)));
}

static bool is_unit(const uint8_t *header)
{
    return (header[0] & CONTENT_TYPE_MASK) == CONTENT_UNIT;
}

/* len: of the record. False: what must be 0 is not. */
static bool chunk_get(const uint8_t *data, size_t len, struct chunk_header *h, struct chunk *ret)
{
    bool ok = chunk_header_get(data, h);

    *ret = (struct chunk){ .at = h->place, .len = (uint32_t)(len - DATA_HEADER_LEN), .last = h->last };
    return ok;
}

/* len: of the record. False: what must be 0 is not. */
static bool piece_get(const uint8_t *data, size_t len, struct piece *ret)
{
    struct unit_header h;
    bool ok = unit_header_get(data, &h);

    *ret = (struct piece){ .number = h.number,
                           .offset = h.offset,
                           .len = (uint32_t)(len - UNIT_HEADER_LEN),
                           .unit_len = h.unit_len,
                           .left_ms = h.left_ms,
                           .unordered = h.unordered };
    return ok;
}

static struct piece piece_of(const struct pbuf *b)
{
    struct piece p;

    (void)!piece_get(b->data, b->len, &p);
    return p;
}

/* --- out --- */

/* The next way after the fastest one; 0: there is none. */
static span other_way(const struct session *s, uint8_t slots, unsigned fastest)
{
    int other = sched_fastest(s, (uint8_t)(slots & ~(1u << fastest)));

    return other >= 0 ? MAX(s->paths[other].delay, 1) : 0;
}

/* What a path offers units. */
static struct adu_offer offer_of(struct session *s, const struct sched_choice *c, unsigned slot, instant now)
{
    const struct spath *p = &s->paths[slot];
    unsigned fastest = (unsigned)sched_fastest(s, c->best), preferred = (unsigned)sched_fastest(s, c->preferred);
    struct adu_offer o = { .slot = slot,
                           .most = p->mtu - RECORD_OVERHEAD - (UNIT_HEADER_LEN - DATA_HEADER_LEN),
                           .way = p->delay,
                           .preferred = s->paths[preferred].delay,
                           .least = p->least_delay,
                           .other = other_way(s, c->best, fastest),
                           .answer = 2 * p->delay + 4 * p->rttvar + PATH_ACK_DELAY_MAX,
                           .only_timed = !(c->best & 1u << slot) };
    bool known = true;

    for (unsigned left = c->best | c->helpers; left; left &= left - 1) {
        const struct spath *by = &s->paths[__builtin_ctz(left)];

        known &= !by->rate_is_sought;
        o.least = MIN(o.least, by->least_delay);
        o.bps += by->rate_bps;
    }
    o.bps = known ? o.bps : 0;
    o.only_copies = !o.only_timed && !sched_may_carry(s, c, slot, adus_waiting(s->adus), UINT64_MAX, now);
    return o;
}

static bool cut_piece(struct session *s, const struct sched_choice *c, unsigned slot, struct pbuf *b, instant now)
{
    struct adu_offer o;
    struct piece p;

    if (!s->adus || !c->best || !adus_wants_send(s->adus) ||
        (!(c->best & 1u << slot) && !sched_may_help(s, c, slot, adus_waiting(s->adus))))
        return false;
    o = offer_of(s, c, slot, now);
    if (!adus_cut(s->adus, &o, &p, now))
        return false;
    unit_header_put(b->data, &(struct unit_header){ .unordered = p.unordered,
                                                    .number = p.number,
                                                    .left_ms = p.left_ms,
                                                    .offset = p.offset,
                                                    .unit_len = p.unit_len });
    b->len = (uint16_t)(UNIT_HEADER_LEN + p.len);
    s->info.tx_bytes += p.len;
    return true;
}

static bool cut_chunk(struct session *s, const struct sched_choice *c, unsigned slot, struct pbuf *b, instant now)
{
    uint64_t lost = delivery_lost(s->delivery); /* goes first, and nothing is read before it */
    uint64_t waiting = (lost > 0 ? lost : delivery_waiting(s->delivery)) + (s->adus ? adus_waiting(s->adus) : 0);
    struct chunk k;

    if (!delivery_wants_send(s->delivery) || !sched_may_carry(s, c, slot, waiting, delivery_window(s->delivery), now) ||
        !delivery_cut(s->delivery, s->paths[slot].mtu - RECORD_OVERHEAD, &k))
        return false;
    chunk_header_put(b->data, &(struct chunk_header){ .last = k.last, .place = k.at });
    b->len = (uint16_t)(DATA_HEADER_LEN + k.len);
    s->info.tx_bytes += k.len;
    return true;
}

static struct pbuf *take(struct session *s, instant now)
{
    struct pbuf *b = pbuf_take(s->o.pool);

    if (!b)
        return NULL; /* what is in flight gives some back */
    pbuf_use_head(b);
    b->tracked = true;
    b->stamp = now;
    return b;
}

/* Of a piece: by another path it arrives at another time. */
static void note_copy(struct session *s, unsigned from, unsigned to, struct pbuf *c)
{
    const struct piece p = piece_of(c);
    span later = s->paths[to].delay - s->paths[from].delay;

    adus_on_copied(s->adus, &p);
    if (p.left_ms != ADU_LEFT_NEVER)
        put_be16(c->data + 8, (uint16_t)CLAMP(p.left_ms - later / MSEC, 0, ADU_LEFT_NEVER - 1));
}

/* One for each other candidate; each meets a fate of its own. */
static void copy(struct session *s, const struct sched_choice *choice, unsigned slot, const struct pbuf *b, instant now)
{
    for (unsigned left = size_fitting(s, choice->best, b->len) & ~(1u << slot); left; left &= left - 1) {
        struct pbuf *c = take(s, now);

        if (!c)
            return;
        memcpy(c->data, b->data, UNIT_HEADER_LEN);
        c->len = b->len;
        if (is_unit(c->data))
            note_copy(s, slot, (unsigned)__builtin_ctz(left), c);
        tx_copy(s, (unsigned)__builtin_ctz(left), c, now);
        pbuf_unref(c);
    }
}

struct pbuf *carry_pull(struct session *s, unsigned slot, instant now)
{
    struct pbuf *b = carry_wants_send(s) ? take(s, now) : NULL;
    struct sched_choice c;

    if (!b)
        return NULL;
    c = sched_choose(s);
    if (!cut_piece(s, &c, slot, b, now) && !cut_chunk(s, &c, slot, b, now)) {
        pbuf_unref(b);
        return NULL;
    }
    if (sched_of(s)->carried)
        sched_of(s)->carried(s, slot, b->len);
    if (sched_of(s)->copies)
        copy(s, &c, slot, b, now);
    s->info.tx_pkts++;
    session_on_data(s, now);
    return b;
}

struct pbuf *carry_pull_channel(struct session *s, enum flow_class class, unsigned slot, instant now)
{
    struct pbuf *b = channels_want_send(s) ? take(s, now) : NULL;

    if (!b)
        return NULL;
    if (!channels_cut(s, class, slot, b)) {
        pbuf_unref(b);
        return NULL;
    }
    s->info.tx_pkts++;
    session_on_data(s, now);
    return b;
}

bool carry_is_blocked(const struct session *s)
{
    return channels_are_blocked(s) || (s->delivery && delivery_is_blocked(s->delivery));
}

static bool wants_sooner(const struct session *s, const struct pbuf *b, unsigned slot)
{
    struct chunk_header h;
    struct chunk c;

    if (is_unit(b->data) || !size_fitting(s, (uint8_t)(1u << slot), b->len))
        return false;
    (void)!chunk_get(b->data, b->len, &h, &c);
    if (h.channel)
        return channels_want_sooner(s, &h, b->note, slot);
    return delivery_is_blocked(s->delivery) && (sched_best(s) & 1u << slot);
}

struct pbuf *carry_pull_late(struct session *s, unsigned slot, instant now)
{
    span within = path_arrival(s->paths[slot].path);

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        struct pbuf *late = i != slot && s->paths[i].path ? path_late(s->paths[i].path, within, now) : NULL, *b;

        if (!late || !wants_sooner(s, late, slot) || !(b = take(s, now)))
            continue;
        late->again = b->again = true;
        memcpy(b->data, late->data, DATA_HEADER_LEN);
        b->len = late->len;
        b->note = late->note;
        return b;
    }
    return NULL;
}

int carry_gather(const struct session *s, const struct pbuf *b, uint8_t *out)
{
    if (is_unit(b->data)) {
        const struct piece p = piece_of(b);

        memcpy(out, b->data, UNIT_HEADER_LEN);
        return adus_copy(s->adus, &p, out + UNIT_HEADER_LEN) ? 0 : -ECANCELED;
    }
    struct chunk_header h;
    struct chunk c;

    (void)!chunk_get(b->data, b->len, &h, &c);
    memcpy(out, b->data, DATA_HEADER_LEN);
    out += DATA_HEADER_LEN;
    return (h.channel ? channels_copy(s, &h, &c, b->note, out) : delivery_copy(s->delivery, &c, out)) ? 0 : -ECANCELED;
}

struct adu_use carry_use_of(const struct session *s, const struct pbuf *b)
{
    struct piece p;

    if (!b->tracked || !is_unit(b->data))
        return (struct adu_use){ .until = INSTANT_NEVER };
    p = piece_of(b);
    return adus_use_of(s->adus, &p);
}

static void met_fate(struct session *s, struct pbuf *b, bool acked)
{
    if (is_unit(b->data)) {
        const struct piece p = piece_of(b);

        (acked ? adus_on_acked : adus_on_lost)(s->adus, &p);
    } else {
        struct chunk_header h;
        struct chunk c;

        (void)!chunk_get(b->data, b->len, &h, &c);
        if (h.channel)
            channels_met_fate(s, &h, &c, b->note, acked);
        else
            (acked ? delivery_on_acked : delivery_on_lost)(s->delivery, &c);
    }
    pbuf_unref(b);
}

void carry_lost(struct session *s, struct pbuf *b)
{
    met_fate(s, b, false);
}

void carry_forget(struct session *s, struct pbuf *b)
{
    if (b->tracked && is_unit(b->data)) {
        const struct piece p = piece_of(b);

        adus_on_forgotten(s->adus, &p);
    }
    pbuf_unref(b);
}

void carry_told(struct session *s, unsigned slot)
{
    struct pbuf *b;
    bool acked;

    while ((b = path_take_told(s->paths[slot].path, &acked)))
        met_fate(s, b, acked);
    if (s->delivery)
        end_stream(s);
}

/* --- in --- */

int carry_on_record(struct session *s, const uint8_t *plain, size_t len, instant now)
{
    struct chunk_header h;
    struct chunk c;
    struct piece p;
    size_t bytes;
    int r = -EPROTO;

    if (is_unit(plain)) {
        bytes = len - UNIT_HEADER_LEN;
        if (piece_get(plain, len, &p))
            r = make_adus(s) ? adus_on_piece(s->adus, &p, plain + UNIT_HEADER_LEN, now) : -ENOMEM;
    } else {
        bytes = len - DATA_HEADER_LEN;
        if (chunk_get(plain, len, &h, &c) && (h.channel == 0) == (s->delivery != NULL)) {
            if (h.channel)
                channels_on_chunk(s, &h, &c, plain + DATA_HEADER_LEN);
            r = h.channel ? 0 : delivery_on_chunk(s->delivery, &c, plain + DATA_HEADER_LEN);
        }
    }
    s->info.rx_bytes += bytes;
    s->info.rx_pkts++;
    session_on_data(s, now);
    return r;
}

static int on_limit(struct session *s, struct reader *r)
{
    uint64_t limit = read_u64(r);

    if (!reader_done(r) || limit > DELIVERY_END_MAX)
        return -EPROTO;
    delivery_on_limit(s->delivery, limit);
    return 0;
}

static int on_unit_limit(struct session *s, struct reader *r)
{
    uint64_t bytes = read_u64(r), number = read_u64(r);

    if (!reader_done(r) || bytes > DELIVERY_END_MAX || number > DELIVERY_END_MAX)
        return -EPROTO;
    if (!make_adus(s))
        return -ENOMEM;
    adus_on_limit(s->adus, bytes, number);
    return 0;
}

static int on_unit_gone(struct session *s, struct reader *r)
{
    int result = make_adus(s) ? 0 : -ENOMEM;

    do {
        uint64_t number = read_u64(r);
        uint32_t count = read_u32(r), bytes = read_u32(r);

        if (r->failed)
            return -EPROTO;
        if (result == 0)
            result = adus_on_dropped(s->adus, number, count, bytes);
    } while (result == 0 && reader_left(r) > 0);
    return result;
}

int carry_on_message(struct session *s, uint8_t type, struct reader *r)
{
    if (!s->delivery)
        return -EPROTO;
    switch (type) {
    case MESSAGE_UNIT_LIMIT:
        return on_unit_limit(s, r);
    case MESSAGE_UNIT_GONE:
        return on_unit_gone(s, r);
    default:
        return on_limit(s, r);
    }
}

/* --- what the other end must know --- */

static void say_limit(struct session *s, instant now)
{
    uint8_t msg[9] = { MESSAGE_LIMIT };

    (void)delivery_pop_limit(s->delivery, &s->unsaid.limit);
    put_be64(msg + 1, s->unsaid.limit);
    if (s->unsaid.limit > 0 && session_send_message(s, msg, sizeof(msg), now) == 0)
        s->unsaid.limit = 0; /* else the queue is full: later */
}

static void say_unit_limit(struct session *s, instant now)
{
    uint8_t msg[17] = { MESSAGE_UNIT_LIMIT };

    (void)adus_pop_limit(s->adus, &s->unsaid.unit_bytes, &s->unsaid.unit_number);
    put_be64(msg + 1, s->unsaid.unit_bytes);
    put_be64(msg + 9, s->unsaid.unit_number);
    if (s->unsaid.unit_bytes > 0 && session_send_message(s, msg, sizeof(msg), now) == 0)
        s->unsaid.unit_bytes = 0;
}

/* As many in a message as there are: each is told once, and the window waits for that. */
static void say_gone(struct session *s, instant now)
{
    struct unsaid *u = &s->unsaid;
    uint32_t count, bytes;
    uint64_t number;

    if (!u->gone && !(u->gone = malloc(GONE_MAX)))
        return; /* later */
    for (;;) {
        if (u->gone_len == 0)
            u->gone[u->gone_len++] = MESSAGE_UNIT_GONE;
        while (u->gone_len < GONE_MAX && adus_pop_dropped(s->adus, &number, &count, &bytes)) {
            put_be64(u->gone + u->gone_len, number);
            put_be32(u->gone + u->gone_len + 8, count);
            put_be32(u->gone + u->gone_len + 12, bytes);
            u->gone_len += UNIT_GONE_LEN;
        }
        if (u->gone_len == 1)
            break;
        if (session_send_message(s, u->gone, u->gone_len, now) < 0)
            return; /* the queue is full: later */
        u->gone_len = 0;
    }
    u->gone_len = 0;
    end_stream(s);
}

void carry_say(struct session *s, instant now)
{
    channels_say(s, now);
    if (!s->delivery || !s->up)
        return;
    say_limit(s, now);
    if (!s->adus)
        return;
    say_unit_limit(s, now);
    say_gone(s, now);
}

/* --- time, and the end --- */

instant carry_next_expiry(const struct session *s)
{
    return s->adus ? adus_next_expiry(s->adus) : INSTANT_NEVER;
}

void carry_on_expiry(struct session *s, instant now)
{
    if (!s->adus)
        return;
    adus_on_expiry(s->adus, now);
    if (adus_error(s->adus) && !delivery_error(s->delivery)) { /* memory is short: neither goes on alone */
        carry_end(s, adus_error(s->adus));
        session_close(s);
    }
}

static void stop(struct session *s, int error)
{
    delivery_break(s->delivery, error);
    if (s->adus)
        adus_break(s->adus, error);
}

void carry_restart(struct session *s, bool kept)
{
    s->unsaid = (struct unsaid){ .gone = s->unsaid.gone };
    if (kept)
        channels_resume(s);
    else
        channels_end(s, -ECONNRESET);
    s->kept.is = false;
    if (carry_has_begun(s))
        stop(s, -ECONNRESET); /* the peer has lost what it had of it */
}

void carry_end(struct session *s, int error)
{
    channels_end(s, error);
    if (!s->delivery)
        return;
    stop(s, error);
    s->rekey_at = INSTANT_NEVER;
    establish_stop(s);
}
