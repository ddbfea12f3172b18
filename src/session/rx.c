/* session/rx.c - sealed records in.
 *
 * Theory of operation. A record is looked up by connection id (the owner), checked against the path's replay window,
 * opened in place, and only then believed: the counter is marked, the path told, a new endpoint considered. Data
 * records that came over another path already are dropped by session sequence; the rest pass the resequencer, without a
 * copy when they are in order.
 *
 * An endpoint moves (NAT rebinding, roaming) when the newest record of a path comes from elsewhere: we follow at once,
 * send no more than three times what came from there, and go back if it does not answer a challenge within a second
 * (RFC 9000 9.3). */
#include <errno.h>

#include "session/internal.h"

#define MIGRATE_LIMIT (1 * SEC) /* chosen: well above a round trip, below what an application notices */

static void drop(struct session *s, enum session_drop d)
{
    s->info.drops[d]++;
}

static void challenge(struct session *s, struct spath *p, instant now)
{
    rng_fill(s->o.rng, p->challenge, sizeof(p->challenge));
    p->validated = false;
    p->want_challenge = true;
    p->challenge_again = now;
    p->unvalidated_rx = p->unvalidated_tx = 0;
}

static void follow(struct session *s, unsigned slot, const struct locator_pair *at, size_t len, instant now)
{
    struct spath *p = &s->paths[slot];

    if (!p->migrating) {
        p->old_at = p->spec.at;
        p->old_validated = p->validated;
        p->migrating = true;
        p->migrate_deadline = now + MIGRATE_LIMIT;
    }
    p->spec.at.remote = at->remote;
    p->spec.at.local = at->local;
    p->spec.at.transport = at->transport;
    p->spec.at.conn = at->conn;
    if (!s->o.opener)
        p->spec.at.link = at->link;
    challenge(s, p, now);
    p->unvalidated_rx = len;
    path_on_migrated(p->path, now);
}

/* It has answered from where it is now. Another port alone is a NAT's doing. */
static void on_moved(struct session *s, unsigned slot, instant now)
{
    struct spath *p = &s->paths[slot];

    if (!addr_equal(&p->old_at.remote.addr, &p->spec.at.remote.addr) || p->old_at.transport != p->spec.at.transport)
        park_moved(&p->park, now);
    session_event(s, SESSION_PATH_MOVED, slot, false, 0);
}

static void on_data(struct session *s, unsigned slot, uint8_t *plain, size_t len, uint8_t tos, instant now)
{
    struct data_header h;
    uint64_t seq, prev;
    struct pbuf *b;

    data_header_get(plain, &h);
    /* The 64-bit sequence nearest to the highest seen whose low half is on the wire. */
    seq = s->rx_seq_high + (uint64_t)(int64_t)(int32_t)(h.seq - (uint32_t)s->rx_seq_high);
    if (seq > s->rx_seq_high && seq - s->rx_seq_high > UINT64_C(1) << 62) {
        drop(s, DROP_MALFORMED); /* below zero */
        return;
    }
    reseq_on_path(s->packets->reseq, slot, seq);
    if (!replay_check_and_set(&s->packets->seqs.window, seq)) {
        drop(s, DROP_DUPLICATE);
        return;
    }
    s->rx_seq_high = MAX(s->rx_seq_high, seq);
    prev = h.back && seq >= h.back ? seq - h.back : UINT64_MAX;
    s->info.rx_bytes += len - DATA_HEADER_LEN;
    s->info.rx_pkts++;
    session_on_data(s, now);
    if (s->packets->deliver_count < DELIVER_MAX && reseq_pass(s->packets->reseq, h.flow, seq, prev, h.paths, now)) {
        s->packets->deliver[(s->packets->deliver_head + s->packets->deliver_count++) % DELIVER_MAX] =
            (struct session_packet){
                .data = plain + DATA_HEADER_LEN, .len = len - DATA_HEADER_LEN, .tos = tos, .csum_owed = h.csum_owed
            };
        return;
    }
    b = pbuf_take(s->o.pool);
    if (!b || len > PBUF_CAPACITY) {
        drop(s, DROP_NO_BUFFER);
        pbuf_unref(b);
        return;
    }
    memcpy(b->data, plain, len);
    b->len = (uint16_t)len;
    b->note = tos;
    reseq_push(s->packets->reseq, h.flow, seq, prev, h.paths, b, now);
}

static void on_carried(struct session *s, const uint8_t *plain, size_t len, instant now)
{
    int r = carry_on_record(s, plain, len, now);

    if (r == 0)
        return;
    drop(s, DROP_MALFORMED);
    carry_end(s, r); /* the path has acknowledged it: the peer will not send it again */
    session_close(s);
}

static void on_path_status(struct session *s, unsigned slot, const struct path_open *o, instant now)
{
    struct spath *p = &s->paths[slot];
    bool was_down = p->link_down;

    if ((int16_t)(o->revision - p->revision) < 0)
        return;
    session_take_description(p, o);
    if (p->link_down != was_down) {
        path_on_link(p->path, !p->link_down, now);
        session_path_events(s, slot, now);
    }
    session_event(s, SESSION_PATH_OPENED, slot, false, 0);
}

/* A record on an id that has no path: an acceptor makes one if it says PATH_OPEN. Returns the slot or -1. */
static int accept_path(struct session *s, uint32_t id, const uint8_t *plain, size_t len, const struct locator_pair *at,
                       instant now)
{
    struct reader r = reader_init(plain + CONTROL_HEADER_LEN, len - CONTROL_HEADER_LEN);
    struct frame f;
    struct path_open o;
    bool found = false;
    struct spath *p;

    while (frame_next(&r, &f)) {
        struct reader body = reader_init(f.body, f.len);

        if (f.type != FRAME_PATH_OPEN)
            continue;
        path_open_read(&body, &o);
        found = !body.failed;
    }
    if (!found || s->o.opener || !session_may_open(s, id))
        return -1;
    p = &s->paths[o.slot];
    if (p->used && p->id > id)
        return -1; /* an older path that the peer has replaced meanwhile */
    if (p->used)
        session_path_retire(s, o.slot, now);
    p->used = true;
    p->spec.at = *at;
    memcpy(p->spec.link, o.link, sizeof(o.link));
    session_take_description(p, &o);
    if (session_path_start(s, o.slot, id, now) < 0) {
        session_path_clear(s, o.slot);
        return -1;
    }
    session_mark_open(s, id);
    epochs_sync_rx(s);
    challenge(s, p, now);
    p->want_token = s->o.reset_secret ? TOKEN_TIMES : 0;
    session_event(s, SESSION_PATH_OPENED, o.slot, false, 0);
    return o.slot;
}

static int on_ack(struct session *s, const struct frame *f, instant now)
{
    struct reader r = reader_init(f->body, f->len);
    struct path_ack_result result;
    struct ack a;
    int slot;

    ack_read(&r, &a);
    if (!reader_done(&r))
        return -EPROTO;
    slot = session_find_path(s, a.path_id);
    if (slot < 0)
        return 0; /* a path that has gone */
    fairness_refresh(s, (unsigned)slot);
    if (path_on_ack(s->paths[slot].path, &a, now, &result) < 0) {
        session_break(s); /* it says that it has what nobody sent: nothing that it says can be believed */
        return -EPROTO;
    }
    if (result.acked_pkts > 0) {
        s->paths[slot].open = true;
        s->opened_path_id = MAX(s->opened_path_id, a.path_id);
    }
    session_resend_lost(s, (unsigned)slot, now);
    session_path_events(s, (unsigned)slot, now);
    return 0;
}

static int on_summary(struct session *s, const struct frame *f, instant now)
{
    struct reader r = reader_init(f->body, f->len);
    struct path_summary summary;
    int slot;

    path_summary_read(&r, &summary);
    if (!reader_done(&r))
        return -EPROTO;
    slot = session_find_path(s, summary.path_id);
    if (slot >= 0 && !s->groups) {
        s->groups = malloc(sizeof(*s->groups));
        if (s->groups)
            sbd_groups_init(s->groups);
    }
    if (slot >= 0 && s->groups)
        sbd_groups_on_summary(s->groups, (unsigned)slot, &summary, now);
    return 0;
}

static int on_message(struct session *s, const uint8_t *msg, size_t len, instant now)
{
    struct reader r = reader_init(msg + 1, len - 1);
    struct path_open o;
    uint32_t id;
    int slot;

    switch (msg[0]) {
    case MESSAGE_PATH_STATUS:
        slot = session_find_path(s, read_u32(&r));
        path_open_read(&r, &o);
        if (!reader_done(&r) || s->o.opener)
            return -EPROTO;
        if (slot >= 0)
            on_path_status(s, (unsigned)slot, &o, now);
        return 0;
    case MESSAGE_PATH_GONE:
        id = read_u32(&r);
        slot = session_find_path(s, id);
        if (!reader_done(&r) || s->o.opener || id == HANDSHAKE_PATH_ID)
            return -EPROTO;
        if (slot < 0 && (id > s->highest_path_id || session_may_open(s, id))) {
            session_mark_open(s, id); /* it never got here, and will not */
            epochs_sync_rx(s);
        }
        if (slot >= 0) {
            session_path_retire(s, (unsigned)slot, now);
            session_event(s, SESSION_PATH_OPENED, (unsigned)slot, false, 0);
        }
        return 0;
    case MESSAGE_LIMIT:
    case MESSAGE_UNIT_LIMIT:
    case MESSAGE_UNIT_GONE:
        return carry_on_message(s, msg[0], &r);
    case MESSAGE_FEEDBACK:
        return feedback_on_message(s, &r, now);
    case MESSAGE_CHANNEL_OPEN:
    case MESSAGE_CHANNEL_ANSWER:
    case MESSAGE_CHANNEL_RESET:
    case MESSAGE_CHANNEL_LIMIT:
    case MESSAGE_CHANNELS_NAMED:
        return channels_on_message(s, msg[0], &r, now);
    default:
        return session_event(s, SESSION_MESSAGE, 0, false, 0) ? 1 : -ENOMEM;
    }
}

/* Leaves messages in the stream while the owner has not taken its events. */
int session_pump_messages(struct session *s, instant now)
{
    const uint8_t *msg;
    size_t len;
    int r = 0;

    while (r == 0 && s->events_count < EVENTS_MAX && stream_pop_message(s->stream, &msg, &len)) {
        r = on_message(s, msg, len, now);
        if (r == 1) {
            struct session_event *ev = &s->events[(s->events_head + s->events_count - 1) % s->events_room];
            uint8_t *copy = malloc(len);

            if (!copy) { /* a message may not be lost: the session begins anew */
                s->events_count--;
                return -ENOMEM;
            }
            memcpy(copy, msg, len);
            ev->message = copy;
            ev->message_len = len;
            r = 0;
        }
    }
    return r;
}

static int on_frame(struct session *s, unsigned slot, const struct frame *f, instant now)
{
    struct spath *p = &s->paths[slot];
    struct reader r = reader_init(f->body, f->len);
    struct path_open o;
    int result;

    switch (f->type) {
    case FRAME_PADDING:
    case FRAME_PING:
    case FRAME_CONFIRM:
        return 0;
    case FRAME_ACK:
        return on_ack(s, f, now);
    case FRAME_PATH_OPEN:
        path_open_read(&r, &o);
        if (r.failed || s->o.opener || o.slot != slot)
            return -EPROTO;
        if (o.revision != p->revision)
            on_path_status(s, slot, &o, now);
        return 0;
    case FRAME_CHALLENGE:
        if (f->len != sizeof(p->response))
            return -EPROTO;
        memcpy(p->response, f->body, sizeof(p->response));
        p->want_response = true;
        return 0;
    case FRAME_RESPONSE:
        if (f->len != sizeof(p->challenge))
            return -EPROTO;
        if (!p->validated && memcmp(p->challenge, f->body, f->len) == 0) {
            p->validated = true;
            p->want_challenge = false;
            if (p->migrating)
                on_moved(s, slot, now);
            p->migrating = false;
        }
        return 0;
    case FRAME_STREAM:
        result = stream_on_frame(s->stream, f->body, f->len);
        break;
    case FRAME_STREAM_ACK:
        result = stream_on_ack(s->stream, f->body, f->len);
        break;
    case FRAME_CLOSE:
        session_break(s);
        return 0;
    case FRAME_REKEY:
        if (s->o.opener)
            s->rekey_at = MIN(s->rekey_at, now);
        return 0;
    case FRAME_RESET_TOKEN:
        if (f->len != 8 + RESET_TOKEN_LEN)
            return -EPROTO;
        memcpy(s->tokens[slot], f->body + 8, RESET_TOKEN_LEN);
        s->has_token[slot] = true;
        return 0;
    case FRAME_SUMMARY:
        return on_summary(s, f, now);
    default:
        return f->type >= FRAME_SKIPPABLE ? 0 : -EPROTO;
    }
    if (result < 0)
        session_break(s); /* a stream that lost its place never finds it again */
    return result;
}

static void on_control(struct session *s, unsigned slot, const uint8_t *plain, size_t len, instant now)
{
    struct reader r = reader_init(plain + CONTROL_HEADER_LEN, len - CONTROL_HEADER_LEN);
    uint32_t id = s->paths[slot].id;
    struct frame f;
    int result = 0;

    while (result == 0 && s->paths[slot].id == id && frame_next(&r, &f))
        result = on_frame(s, slot, &f, now);
    if (result == 0 && !r.failed)
        result = session_pump_messages(s, now);
    if (r.failed || result < 0)
        drop(s, DROP_MALFORMED);
}

/* The record's path, following the peer to a new endpoint; -1 when the record is used up or refused. */
static int record_path(struct session *s, uint32_t id, uint64_t counter, const uint8_t *plain, size_t plain_len,
                       size_t len, const struct locator_pair *at, instant now)
{
    int slot = session_find_path(s, id);
    struct spath *p;

    if (slot < 0 && plain[0] == CONTENT_CONTROL && id != HANDSHAKE_PATH_ID)
        slot = accept_path(s, id, plain, plain_len, at, now);
    if (slot < 0) {
        if (id != HANDSHAKE_PATH_ID)
            drop(s, DROP_UNKNOWN_PATH);
        return -1;
    }
    p = &s->paths[slot];
    if (!replay_check_and_set(&p->replay->window, counter)) {
        drop(s, DROP_REPLAY);
        return -1;
    }
    if (!p->validated)
        p->unvalidated_rx += len;
    if (counter >= p->rx_highest) {
        bool other = p->spec.at.transport != at->transport; /* what loses nothing and what does are not one path */
        bool moved = other || !endpoint_equal(&p->spec.at.remote, &at->remote) || p->spec.at.conn != at->conn;

        p->rx_highest = counter;
        if (other && s->delivery)
            return slot;
        if (moved)
            follow(s, (unsigned)slot, at, len, now);
        else if (!s->o.opener)
            p->spec.at = *at;
    }
    return slot;
}

/* Bytes of the shortest data record of this content. */
static size_t least_data(uint8_t content)
{
    switch (content & CONTENT_TYPE_MASK) {
    case CONTENT_CHUNK:
        return DATA_HEADER_LEN;
    case CONTENT_UNIT:
        return UNIT_HEADER_LEN;
    case CONTENT_DATA:
        return DATA_HEADER_LEN + 20;
    case CONTENT_PIECE:
        return DATA_HEADER_LEN + PIECE_HEADER_LEN + 1;
    default:
        return SIZE_MAX;
    }
}

/* Is there somebody who takes such a data record out? */
static bool takes(const struct session *s, uint8_t content)
{
    switch (content & CONTENT_TYPE_MASK) {
    case CONTENT_CHUNK:
        return s->delivery || (s->o.features & FEATURE_CHANNELS);
    case CONTENT_UNIT:
        return s->delivery != NULL;
    default:
        return s->packets != NULL;
    }
}

/* In place: what was sealed stands behind the record's header, or, of one in clear, before the payload, where the
 * record's header was. */
static bool open_record(struct cid_entry *e, uint8_t *pkt, size_t len, uint64_t counter)
{
    uint8_t *plain = pkt + SEALED_HEADER_LEN, header[DATA_HEADER_LEN];
    size_t clear = len - CLEAR_TAIL_LEN;

    if (pkt[0] != PACKET_CLEAR)
        return aead_open(e->aead, counter, pkt, SEALED_HEADER_LEN, plain, len - SEALED_HEADER_LEN, plain) == 0;
    if (!e->epoch->clear || aead_open(e->aead, counter, pkt, clear, pkt + clear, CLEAR_TAIL_LEN, header) < 0)
        return false;
    memcpy(plain - DATA_HEADER_LEN, header, sizeof(header));
    return true;
}

bool session_on_sealed(struct cid_entry *e, uint8_t *pkt, size_t len, uint8_t tos, const struct locator_pair *at,
                       instant now)
{
    struct session *s = e->session;
    struct epoch *ep = e->epoch;
    bool clear = pkt[0] == PACKET_CLEAR;
    uint8_t *plain = pkt + SEALED_HEADER_LEN - (clear ? DATA_HEADER_LEN : 0);
    size_t plain_len = len - SEALED_HEADER_LEN - SEALED_TAG_LEN;
    uint64_t counter;
    uint32_t id = e->path_id;
    bool data, carried;
    int slot;

    if (len < (clear ? SEALED_HEADER_LEN + CLEAR_TAIL_LEN : SEALED_MIN_LEN)) {
        drop(s, DROP_MALFORMED);
        return false;
    }
    counter = record_counter_get(pkt);
    slot = ep->fresh && ep == s->next ? -1 : session_find_path(s, id);
    if (slot >= 0 && !replay_check(&s->paths[slot].replay->window, counter)) {
        drop(s, DROP_REPLAY);
        return false;
    }
    if (now - ep->born > SESSION_REJECT_AFTER || ep->failed >= suite_forgery_limit(ep->suite) || !epoch_rx_key(e) ||
        !open_record(e, pkt, len, counter)) {
        ep->failed++;
        drop(s, DROP_AUTH);
        return false;
    }
    ep->proven = true;
    if (ep == s->next)
        establish_confirmed(s, now);
    data = (plain[0] & CONTENT_TYPE_MASK) != CONTENT_CONTROL;
    if (clear && !data) {
        drop(s, DROP_MALFORMED);
        return false;
    }
    if (data ? plain_len < least_data(plain[0]) || (plain[0] & ~(CONTENT_TYPE_MASK | DATA_CSUM_OWED))
             : plain[0] != CONTENT_CONTROL) {
        drop(s, DROP_MALFORMED);
        return false;
    }
    carried = (plain[0] & CONTENT_TYPE_MASK) >= CONTENT_CHUNK;
    if (data && !takes(s, plain[0])) {
        drop(s, DROP_MALFORMED);
        return false;
    }
    if (carried && s->delivery && delivery_error(s->delivery)) { /* what is acknowledged must be kept */
        session_close(s);
        return false;
    }
    slot = record_path(s, id, counter, plain, plain_len, len, at, now);
    if (slot < 0)
        return false;
    s->alive_until = now + s->o.wait;
    path_on_received(s->paths[slot].path, counter, len + 28, data || (plain[1] & CONTROL_FLAG_ELICITING),
                     get_be16(plain + (data ? 10 : 2)), now);
    session_path_events(s, (unsigned)slot, now);
    if (carried)
        on_carried(s, plain, plain_len, now);
    else if (data)
        on_data(s, (unsigned)slot, plain, plain_len, tos, now);
    else
        on_control(s, (unsigned)slot, plain, plain_len, now);
    return true;
}

static bool pop_record(struct session *s, struct session_packet *ret, instant now)
{
    struct packets *p = s->packets;
    struct pbuf *b;

    if (!p)
        return false;
    if (p->deliver_count > 0) {
        *ret = p->deliver[p->deliver_head];
        p->deliver_head = (p->deliver_head + 1) % DELIVER_MAX;
        p->deliver_count--;
        return true;
    }
    b = reseq_pop(p->reseq, now);
    if (!b)
        return false;
    *ret = (struct session_packet){ .data = b->data + DATA_HEADER_LEN,
                                    .len = b->len - DATA_HEADER_LEN,
                                    .tos = (uint8_t)b->note,
                                    .csum_owed = (b->data[0] & DATA_CSUM_OWED) != 0,
                                    .owner = b };
    return true;
}

bool session_pop_delivered(struct session *s, struct session_packet *ret, instant now)
{
    struct session_packet pkt;

    while (pop_record(s, &pkt, now)) {
        /* The record's header stands before what it carries. */
        if ((pkt.data[-DATA_HEADER_LEN] & CONTENT_TYPE_MASK) == CONTENT_PIECE && !size_join(s, &pkt, now))
            continue;
        *ret = pkt;
        return true;
    }
    return false;
}
