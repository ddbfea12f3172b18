/* session/session.c - life of a session: time, events, figures. See session.h and internal.h for the map.
 *
 * Theory of operation. A session object lives as long as its owner wants to talk to the peer; what the two ends agree
 * on (sequence numbers, path ids, the control stream) begins anew whenever a handshake says so (session_restart), which
 * happens when either end has lost its state. The opener's paths survive that as specifications; the acceptor's go.
 *
 * Limits: 8 paths, 64 events, 512 packets delivered in place, 1,024 packets of each class to reinject; each with a
 * stated outcome when full. */
#include "session/session.h"

#include <assert.h>
#include <errno.h>

#include "session/internal.h"

#define TICK (50 * MSEC)
#define QUIET_TICK (1 * SEC)        /* chosen: a session that is idle costs as much as its probes */
#define QUIET_AFTER (5 * SEC)       /* chosen: when no summary of bottlenecks counts any more (path/sbd.c) */
#define NO_PATH_LIMIT (100 * MSEC)  /* chosen: a handover with a gap is not yet an outage */
#define STALE_AFTER (1 * SEC)       /* chosen: above the first retransmission timeouts of TCP and QUIC */
#define MISSED_PART 2               /* chosen: the others carry less than half of it */
#define CALL_LIMIT (30 * SEC)       /* chosen: six handshakes */
#define PROVE_LIMIT (2 * SEC)       /* chosen: below SESSION_TENTATIVE_LIFE, above the round trip of any path */
#define CODEL_INTERVAL (100 * MSEC) /* RFC 8289 4.2: of the usual round trip; a longer one is its own */
#define LEARNING_TARGET                                                                                                \
    (30 * MSEC) /* chosen: to drop what waits for a rate that is not known yet is to keep it from being known */

static void packets_free(struct packets *p)
{
    if (!p)
        return;
    flowq_free(p->flowq);
    reseq_free(p->reseq);
    free(p);
}

static struct packets *packets_new(const struct session_options *o)
{
    const struct flowq_options fq = {
        .bytes_max = o->queue_bytes,
        .pkts_max = o->queue_pkts,
        .target = 5 * MSEC,
        .interval = CODEL_INTERVAL,
        .quantum = 1514,
        .mark = o->mark,
    };
    struct packets *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->flowq = flowq_new(&fq);
    p->reseq = reseq_new(o->reseq_pkts);
    replay_seq_init(&p->seqs);
    if (!p->flowq || !p->reseq) {
        packets_free(p);
        return NULL;
    }
    if (o->held_pkts > 0)
        reseq_set_held_max(p->reseq, o->held_pkts);
    return p;
}

static void packets_restart(struct session *s)
{
    struct reseq *fresh = reseq_new(s->o.reseq_pkts);

    replay_seq_init(&s->packets->seqs);
    s->packets->deliver_count = 0;
    if (fresh) {
        reseq_free(s->packets->reseq);
        s->packets->reseq = fresh;
        if (s->o.held_pkts > 0)
            reseq_set_held_max(fresh, s->o.held_pkts);
    }
}

struct session *session_new(const struct session_options *o, instant now)
{
    struct session *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->o = *o;
    handshake_mask_init(&s->peer_mask, o->peer.x25519);
    s->stream = stream_new();
    if (o->delivery) {
        struct delivery_options d = *o->delivery;

        d.lingers = true;
        s->delivery = delivery_new(&d);
    } else {
        s->packets = packets_new(o);
    }
    s->id = rng_u64(o->rng);
    s->rekey_at = INSTANT_NEVER;
    s->tick = now;
    s->no_path_since = now;
    s->alive_until = now + o->wait;
    s->last_reset = now - 10 * SEC;
    if (o->delivery)
        s->adu_options =
            (struct adu_options){ .send_bytes = o->delivery->send_bytes, .receive_bytes = o->delivery->receive_bytes };
    s->o.delivery = NULL; /* the caller's */
    if (!s->stream || (!s->delivery && !s->packets)) {
        session_free(s);
        return NULL;
    }
    return s;
}

void session_free(struct session *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        session_path_clear(s, i);
    session_reinject_clear(s);
    size_clear(s);
    while (s->events_count > 0) {
        struct session_event ev;
        session_pop_event(s, &ev);
    }
    free(s->popped_message);
    free(s->events);
    free(s->unsaid.gone);
    free(s->groups);
    establish_stop(s);
    establish_drop_response(s);
    epoch_free(s, s->cur);
    epoch_free(s, s->prev);
    channels_free(s);
    packets_free(s->packets);
    stream_free(s->stream);
    delivery_free(s->delivery);
    adus_free(s->adus);
    ident_wipe(s, sizeof(*s));
    free(s);
}

const struct terms *session_peer_terms(const struct session *s)
{
    static const struct terms none;

    return s->cur ? &s->cur->peer_terms : &none;
}

void *session_owner(const struct session *s)
{
    return s->o.owner;
}

bool session_is_up(const struct session *s)
{
    return s->up;
}

void session_break(struct session *s)
{
    if (!s->up)
        return;
    s->up = false;
    carry_end(s, -ECONNRESET);
    session_event(s, SESSION_CLOSED, 0, false, 0);
}

void session_trust(struct session *s)
{
    s->o.held_pkts = 0;
    if (s->packets)
        reseq_set_held_max(s->packets->reseq, s->o.reseq_pkts);
}

void session_close(struct session *s)
{
    for (unsigned i = 0; i < SESSION_SLOTS && s->up; i++)
        s->paths[i].want_close = s->paths[i].path ? CLOSE_TIMES : 0;
}

/* --- events --- */

static struct session_event *event_at(const struct session *s, unsigned i)
{
    return &s->events[(s->events_head + i) % s->events_room];
}

/* Makes room by forgetting the newest event about a path: the owner can look that up. False when there is none. */
static bool forget_path_event(struct session *s)
{
    for (unsigned i = s->events_count; i-- > 0;) {
        enum session_event_type type = event_at(s, i)->type;

        if (type != SESSION_PATH_STATE && type != SESSION_PATH_OPENED && type != SESSION_PATH_MOVED)
            continue;
        for (unsigned j = i; j + 1 < s->events_count; j++)
            *event_at(s, j) = *event_at(s, j + 1);
        s->events_count--;
        return true;
    }
    return false;
}

static bool events_grow(struct session *s)
{
    unsigned room = MAX(2 * s->events_room, (unsigned)EVENTS_MIN);
    struct session_event *events = s->events_room < EVENTS_MAX ? malloc(room * sizeof(*events)) : NULL;

    if (!events)
        return false;
    for (unsigned i = 0; i < s->events_count; i++)
        events[i] = *event_at(s, i);
    free(s->events);
    s->events = events;
    s->events_room = room;
    s->events_head = 0;
    return true;
}

struct session_event *session_event(struct session *s, enum session_event_type type, unsigned slot, bool fresh,
                                    enum path_state old)
{
    struct session_event *ev;

    session_stir(s);
    if (s->events_count == s->events_room && !events_grow(s) && !forget_path_event(s))
        return NULL;
    ev = event_at(s, s->events_count++);
    *ev = (struct session_event){ .type = type, .slot = (uint8_t)slot, .fresh = fresh, .old_state = old };
    return ev;
}

bool session_pop_event(struct session *s, struct session_event *ret)
{
    free(s->popped_message);
    s->popped_message = NULL;
    if (s->events_count == 0)
        return false;
    *ret = *event_at(s, 0);
    s->popped_message = (uint8_t *)(uintptr_t)ret->message;
    s->events_head = (s->events_head + 1) % s->events_room;
    s->events_count--;
    return true;
}

/* --- inside --- */

void session_restart(struct session *s, uint64_t id, bool kept, instant now)
{
    session_tell_known(s, now);
    s->id = id;
    epoch_free(s, s->cur);
    epoch_free(s, s->prev);
    s->cur = s->prev = NULL;
    s->next_path_id = s->highest_path_id = s->opened_path_id = 0;
    s->want_fresh = false;
    s->opened_ids = 0;
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        if (s->o.opener && s->paths[i].used)
            session_path_unstart(s, i);
        else
            session_path_clear(s, i);
    }
    session_reinject_clear(s);
    size_clear(s);
    carry_restart(s, kept);
    stream_reset(s->stream);
    s->tx_seq = 0;
    s->rx_seq_high = 0;
    if (s->packets)
        packets_restart(s);
    s->alive_until = now + s->o.wait;
}

void session_enqueue(struct session *s, struct pbuf *b, uint64_t flow_hash, enum flow_class c, uint16_t target,
                     instant now)
{
    struct flow *f;

    if (!s->packets) { /* nobody would take it out */
        s->info.drops[DROP_NO_PATH]++;
        pbuf_unref(b);
        return;
    }
    f = flowq_flow(s->packets->flowq, flow_hash);
    /* Who is away may keep the newest packet of each flow, but not the buffers of those who are here. */
    if (now - s->no_path_since > NO_PATH_LIMIT && s->o.pool->used > s->o.pool->total / 2) {
        s->info.drops[DROP_NO_PATH]++;
        pbuf_unref(b);
        return;
    }

    if (f->hash != flow_hash) { /* another flow: it may choose anew; the order on the wire is the bucket's */
        f->hash = flow_hash;
        f->pinned = 0;
        f->run_bytes = 0;
    }
    flowq_steer(s->packets->flowq, f, target < SESSION_TARGETS ? target : 0);
    flowq_push(s->packets->flowq, f, b, c, now);
}

int session_send_message(struct session *s, const uint8_t *msg, size_t len, instant now)
{
    return s->up ? stream_send(s->stream, msg, len) : -ENOTCONN;
}

void session_set_target(struct session *s, uint16_t index, const struct session_target *t)
{
    if (index < SESSION_TARGETS && s->packets)
        s->packets->targets[index] = *t;
}

const struct session_target *session_target(const struct session *s, unsigned index)
{
    static const struct session_target any; /* what applications write goes by every path */

    return s->packets ? &s->packets->targets[index < SESSION_TARGETS ? index : 0] : &any;
}

/* --- time --- */

static bool any_path_active(const struct session *s)
{
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (s->paths[i].path && !s->paths[i].link_down && path_state(s->paths[i].path) == PATH_ACTIVE)
            return true;
    return false;
}

static bool any_path(const struct session *s)
{
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (s->paths[i].path && !s->paths[i].link_down &&
            (path_state(s->paths[i].path) == PATH_ACTIVE || path_state(s->paths[i].path) == PATH_SUSPECTED))
            return true;
    return false;
}

/* Of the slots: how long a record may wait for one that took another path. From the fastest path's delay to the peaks
 * of the others; and a round trip, within which a path may have doubled its delay before its peak is known here. */
static span reordering_span(const struct path_metrics m[SESSION_SLOTS], uint8_t slots)
{
    unsigned fastest = (unsigned)__builtin_ctz(slots);
    span spread = 0, jitter = 0, round_trip = 0;

    for (unsigned left = slots; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);

        if (path_owd_difference(m[i].rx_owd, m[fastest].rx_owd) < 0)
            fastest = i;
    }
    for (unsigned left = slots; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);

        spread = MAX(spread, path_owd_difference(m[i].rx_owd_peak, m[fastest].rx_owd));
        jitter = MAX(jitter, m[i].rx_jitter);
        round_trip = MAX(round_trip, m[i].min_rtt);
    }
    return spread + 4 * jitter + round_trip;
}

/* Of the slots those of which what is lost comes again in time are marked in ret; how long the longest takes is
 * returned. */
static span resend_span(const struct path_metrics m[SESSION_SLOTS], uint8_t slots, uint8_t *ret)
{
    span longest = 0;

    *ret = 0;
    for (unsigned left = slots; left; left &= left - 1) {
        span t = session_resend_span(&m[__builtin_ctz(left)]);

        if (t > RESEQ_WAIT_MAX)
            continue;
        longest = MAX(longest, t);
        *ret |= (uint8_t)(left & -left);
    }
    return longest;
}

static bool any_flow(void *ctx, const struct flow *f)
{
    return true;
}

/* The session has ended: what waited in it is nobody's any more. */
static void drop_waiting(struct session *s, instant now)
{
    struct flow *f;
    struct pbuf *b;

    for (int c = 0; c < FLOW_CLASS_COUNT && s->packets; c++)
        while ((b = flowq_pop(s->packets->flowq, (enum flow_class)c, any_flow, NULL, now, &f)))
            pbuf_unref(b);
    session_reinject_clear(s);
}

/* What follows from what the paths are measured to be. m: of each slot that has a path. */
static void tune(struct session *s, const struct path_metrics m[SESSION_SLOTS], instant now)
{
    bool learning = now < s->learning_until;
    span rto = INSTANT_NEVER, jitter = 0, round_trip = 0;
    uint8_t slots = 0, resent;

    park_refresh(s, m, now);
    if (s->packets)
        twice_refresh(s, m, now);
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        if (!s->paths[i].path || m[i].state != PATH_ACTIVE || m[i].srtt == 0 || (s->parked & 1u << i))
            continue;
        slots |= (uint8_t)(1u << i);
        rto = MIN(rto, m[i].srtt + 4 * m[i].rttvar);
        jitter = MAX(jitter, m[i].rttvar);
        round_trip = MAX(round_trip, m[i].srtt);
        learning |= m[i].rate_is_sought;
    }
    if (slots)
        stream_set_rto(s->stream, rto);
    if (!s->packets)
        return;
    flowq_set_target(s->packets->flowq,
                     learning ? MAX(LEARNING_TARGET, round_trip / 2) : 5 * MSEC + sched_spread(s) * 5 / 4 + 2 * jitter,
                     MAX(CODEL_INTERVAL, round_trip + 2 * jitter));
    if (!slots)
        return;
    s->info.reseq_wait = MAX(reordering_span(m, slots), resend_span(m, slots, &resent));
    if (now < s->learning_until)
        s->info.reseq_wait = RESEQ_WAIT_MAX;
    reseq_set_resent(s->packets->reseq, resent);
    reseq_set_wait(s->packets->reseq, s->info.reseq_wait);
}

/* Nothing changes until something happens of which session_stir hears. m: of each slot that has a path. */
static bool is_quiet(const struct session *s, const struct path_metrics m[SESSION_SLOTS], instant now)
{
    bool active = false;

    if (!s->up || !s->cur || !s->cur->proven || s->conn || s->resp || now - s->last_data < QUIET_AFTER ||
        now < s->learning_until || session_has_data(s) || s->events_count > 0)
        return false;
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        const struct spath *p = &s->paths[i];

        if (!p->path)
            continue;
        if (p->stash || p->dup_count > 0 || m[i].srtt == 0 ||
            (m[i].state != PATH_ACTIVE && (m[i].state != PATH_DOWN || now - m[i].state_since < QUIET_AFTER)))
            return false;
        active |= m[i].state == PATH_ACTIVE && !p->link_down;
    }
    return active;
}

static void rest(struct session *s)
{
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (s->paths[i].path)
            path_rest(s->paths[i].path);
    if (s->delivery)
        delivery_rest(s->delivery);
}

/* Which paths are missed: while data moves, the active ones carry much less than that one did. */
static void tell_missed(struct session *s, const struct path_metrics m[SESSION_SLOTS], bool busy)
{
    uint64_t active_bps = 0;

    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (s->paths[i].path && m[i].state == PATH_ACTIVE)
            active_bps += s->paths[i].carried_bps = m[i].rate_bps;
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (s->paths[i].path)
            path_set_missed(s->paths[i].path,
                            busy && m[i].state != PATH_ACTIVE && active_bps < s->paths[i].carried_bps / MISSED_PART);
}

static void slow_work(struct session *s, instant now)
{
    bool busy = now - s->last_data < 1 * SEC, others = any_path_active(s);
    struct path_metrics m[SESSION_SLOTS];

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        struct spath *p = &s->paths[i];

        if (!p->path)
            continue;
        path_set_busy(p->path, busy, now);
        if (!others && !p->link_down)
            path_hurry(p->path, now);
        session_path_events(s, i, now);
        path_get_metrics(p->path, now, &m[i]);
        known_tell(s, i, &m[i], now);
        p->want_summary |= path_take_summary(p->path, now, &p->summary);
        if (m[i].state == PATH_DOWN && now - m[i].state_since > STALE_AFTER)
            session_drop_inflight(s, p);
        carry_told(s, i);
    }
    tell_missed(s, m, busy);
    tune(s, m, now);
    channels_on_expiry(s, now);
    if (s->delivery) {
        delivery_trim(s->delivery);
        if (s->groups)
            sbd_groups_on_expiry(s->groups, now);
        fairness_regroup(s, now);
    }
    if (any_path(s)) {
        s->no_path_since = now;
    } else if (now - s->no_path_since > NO_PATH_LIMIT) {
        if (s->packets)
            flowq_keep_newest(s->packets->flowq);
        if (now - s->no_path_since > STALE_AFTER)
            session_reinject_clear(s);
        /* All is lost: perhaps the other end is too. Asking again is what finds out. */
        if (s->o.opener && s->up && !s->conn && now - s->no_path_since > 1 * SEC &&
            s->rekey_at > now + SESSION_RETRY_AFTER)
            s->rekey_at = now;
    }
    /* Keys that the peer never used: its tentative slot may have run out before our first record reached it. */
    if (s->o.opener && s->cur && s->cur->initiator && !s->cur->proven && now - s->cur->born > PROVE_LIMIT && !s->conn)
        s->rekey_at = MIN(s->rekey_at, now);
    if (s->delivery && !s->cur && s->conn && now - s->conn->begun > CALL_LIMIT)
        carry_end(s, -ETIMEDOUT);
    /* A tunnel's session is kept while its keys are good, a stream for as long as its owner said. */
    if (s->cur && s->up && now > s->alive_until && (s->delivery || now - s->cur->born > SESSION_REJECT_AFTER)) {
        s->up = false;
        carry_end(s, -ETIMEDOUT);
        session_event(s, SESSION_DOWN, 0, false, 0);
    }
    if (s->prev && now - s->prev->born > SESSION_REJECT_AFTER) { /* it opens nothing any more */
        epoch_free(s, s->prev);
        s->prev = NULL;
    }
    if (!s->up)
        drop_waiting(s, now);
    size_tick(s, now);
    (void)!session_pump_messages(s, now);
    s->quiet = is_quiet(s, m, now);
    if (s->quiet)
        rest(s);
    s->tick = now + (s->quiet ? QUIET_TICK : TICK);
}

bool session_has_data(const struct session *s)
{
    const struct packets *p = s->packets;

    if (!p)
        return carry_wants_send(s);
    return p->reinject[FLOW_INTERACTIVE].count > 0 || p->reinject[FLOW_BULK].count > 0 ||
           !flowq_empty(p->flowq, FLOW_INTERACTIVE) || !flowq_empty(p->flowq, FLOW_BULK) || channels_want_send(s);
}

instant session_next_expiry(const struct session *s, instant now)
{
    instant next = establish_next_expiry(s);
    bool data = session_has_data(s);

    next = instant_min(next, s->tick);
    if (!s->up)
        return next;
    /* Past this age the keys send nothing: what is due then must not be waited for, or the owner never sleeps. */
    if (s->cur && now - s->cur->born <= SESSION_REJECT_AFTER)
        next = instant_min(next, tx_next_expiry(s));
    if (s->packets)
        next = instant_min(next, reseq_next_expiry(s->packets->reseq));
    next = instant_min(next, carry_next_expiry(s));
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        const struct spath *p = &s->paths[i];

        if (!p->path)
            continue;
        next = instant_min(next, path_next_expiry(p->path));
        if (p->migrating)
            next = instant_min(next, p->migrate_deadline);
        if (p->rank < 4 && (data || p->stash || p->dup_count > 0)) {
            instant at = path_next_send(p->path);
            /* A path that may send now and was offered nothing is not waited for: another's turn decides. */
            if (at > now)
                next = instant_min(next, at);
        }
    }
    return next;
}

void session_on_expiry(struct session *s, instant now)
{
    establish_on_expiry(s, now);
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        struct spath *p = &s->paths[i];

        if (!p->path)
            continue;
        if (path_next_expiry(p->path) <= now) {
            path_on_expiry(p->path, now);
            session_resend_lost(s, i, now);
            session_path_events(s, i, now);
        }
        if (p->migrating && now >= p->migrate_deadline) {
            p->migrating = false;
            p->spec.at = p->old_at;
            p->validated = p->old_validated;
            p->want_challenge = !p->validated;
        }
    }
    carry_on_expiry(s, now);
    if (s->tick == 0) /* until now there was a path */
        s->no_path_since = now;
    if (now >= s->tick)
        slow_work(s, now);
}

/* --- figures --- */

const char *session_drop_name(enum session_drop d)
{
    static const char *const names[SESSION_DROP_COUNT] = {
        "replay",  "auth",  "malformed", "duplicate",     "unknown-path", "no-buffer",
        "no-path", "queue", "too-big",   "amplification", "piece",
    };
    return d < SESSION_DROP_COUNT ? names[d] : "?";
}

void session_path_info(const struct session *s, unsigned slot, instant now, struct session_path_info *ret)
{
    const struct spath *p = &s->paths[slot];
    struct path_metrics m;

    *ret = (struct session_path_info){ .used = p->used };
    if (!p->used)
        return;
    ret->id = p->id;
    ret->at = p->spec.at;
    memcpy(ret->link, p->spec.link, sizeof(ret->link));
    ret->tier = p->spec.tier;
    ret->weight = p->spec.weight;
    ret->leaving = p->leaving;
    ret->parked = p->park.verdict;
    ret->twice = s->twice.is && p->park.verdict == PARK_NOT;
    ret->link_down = p->link_down;
    ret->validated = p->validated;
    ret->open = p->open;
    ret->metrics.state = PATH_PROBING;
    if (!p->path)
        return;
    path_get_metrics(p->path, now, &ret->metrics);
    ret->mtu = p->reliable ? p->mtu : path_mtu(p->path);
    ret->congestion = path_congestion(p->path);
    ret->group = session_group(s, slot);
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        if (!s->paths[i].path)
            continue;
        path_get_metrics(s->paths[i].path, now, &m);
        if (m.srtt > 0)
            ret->owd_diff = MAX(ret->owd_diff, path_owd_difference(ret->metrics.rx_owd, m.rx_owd));
    }
}

double session_path_overlap(const struct session *s, unsigned slot_a, unsigned slot_b)
{
    return s->groups && slot_a < SESSION_SLOTS && slot_b < SESSION_SLOTS ? sbd_groups_overlap(s->groups, slot_a, slot_b)
                                                                         : 0;
}

void session_info(const struct session *s, instant now, struct session_info *ret)
{
    *ret = s->info;
    ret->up = s->up;
    ret->connecting = s->conn != NULL;
    ret->session_id = s->id;
    if (s->cur) {
        ret->suite = s->cur->suite;
        ret->clear = s->cur->clear;
        ret->handshake_age = now - s->cur->born;
    }
    if (!s->packets)
        return;
    ret->queued_bytes = flowq_bytes(s->packets->flowq);
    ret->flowq = flowq_stats(s->packets->flowq);
    ret->reseq = reseq_stats(s->packets->reseq);
    ret->drops[DROP_QUEUE] = ret->flowq.dropped_codel + ret->flowq.dropped_full;
}
