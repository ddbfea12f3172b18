/* session/channel.c - see channel.h.
 *
 * Theory of operation. A channel is a delivery with a number. What one is to send is cut when a path asks, as carry.c
 * does for the only stream of a session, and its records are tracked: what is lost, or in flight on a path in doubt,
 * is cut anew for whichever path asks next. Channels of one class take turns by deficit round robin, those that begin
 * first (as flowq.c, RFC 8290 section 4); packets and channels of one class share by the number of flows that wait on
 * either side: `owed` is what one side had more than that, of one turn at most: what either has on a path that the
 * other does not use is no debt.
 *
 * Which path may carry: of the rule's candidates the fastest, or one by which a chunk arrives earlier than what waits
 * before it would have left by the fastest (ECF's test). What is accepted from the writer and not sent is held down to
 * what shows that test the truth: the paths' rate over the spread of their delays, and 20 ms. More would only wait
 * here instead of with whoever writes. Of what the peer has no room for only BEYOND_LIMIT is taken, so that readers who
 * stand still leave room for others.
 *
 * Windows begin with 64 KiB, which needs no word, and double each time the reader has taken half of one and keeps up,
 * while the session has windows to give: who does not read is not given more.
 *
 * Numbers are given out in a circle, and none that was in use within the last CYCLE, so that a chunk of an old channel
 * that a slow path still brings never meets a new one. Chunks of channels that are not there are dropped: they were
 * broken off.
 *
 * The control stream has little room, and half of that is left to others: what it does not take now is due until it
 * does (`due`), and a channel that its owner freed stays until its last word is said.
 *
 * Limits: channel.h. Sources: RFC 4254 section 5, RFC 8290, Lim et al. (CoNEXT 2017). */
#include <assert.h>
#include <errno.h>

#include "session/channel_internal.h"

#define QUANTUM RECORD_MAX
#define IDS 65536u
#define STAMP_SHIFT 16        /* from us: 66 ms; what is 72 minutes old may look new, and is left out for a minute */
#define CYCLE (60 * SEC)      /* chosen: longer than any network keeps a datagram (RFC 9293 3.4.1: 2 minutes at most) */
#define UNSENT_MIN 65536u     /* chosen: one super-packet */
#define UNSENT_MAX (4u << 20) /* chosen: half of CHANNEL_BUFFER */
#define UNSENT_SPAN (20 * MSEC) /* chosen: beside the spread of the paths' delays */
/* Beyond the peer's limit: those whose peers do not read have half of all. */
#define BEYOND_LIMIT (CHANNELS_TX_MAX / CHANNELS_MAX / 2)
#define LIMITS_A_MESSAGE 32  /* chosen: a frame of the control stream */
#define BIRTH_MASK 0xffffffu /* below a note's TOS */

/* --- life --- */

bool session_has_channels(const struct session *s)
{
    return s->packets && s->up && s->cur && (s->cur->peer_features & s->o.features & FEATURE_CHANNELS);
}

struct channels *channels_make(struct session *s, instant now)
{
    struct channels *cs = s->channels;

    if (cs)
        return cs;
    cs = calloc(1, sizeof(*cs));
    if (!cs)
        return NULL;
    cs->s = s;
    cs->next_id = 1;
    cs->used = s->o.opener ? calloc(IDS, sizeof(*cs->used)) : NULL;
    cs->now = cs->none_before = now;
    if (s->o.opener && !cs->used) {
        free(cs);
        return NULL;
    }
    map64_init(&cs->by_id, CHANNELS_MAX, rng_u64(s->o.rng));
    for (int c = 0; c < FLOW_CLASS_COUNT; c++) {
        list_init(&cs->turns[c].new_ones);
        list_init(&cs->turns[c].old_ones);
    }
    list_init(&cs->touched);
    list_init(&cs->saying);
    list_init(&cs->starved);
    s->channels = cs;
    return cs;
}

static uint16_t stamp_of(instant t)
{
    return (uint16_t)MAX((uint16_t)(t >> STAMP_SHIFT), 1);
}

static struct channel *find(const struct session *s, uint16_t id)
{
    return s->channels && id != 0 ? map64_get(&s->channels->by_id, id) : NULL;
}

/* Whose chunk it was; NULL: one that is gone. */
static struct channel *find_born(const struct session *s, uint16_t id, uint32_t note)
{
    struct channel *c = find(s, id);

    return c && c->birth == (note & BIRTH_MASK) ? c : NULL;
}

void channel_touch(struct channel *c)
{
    if (list_empty(&c->touched) && !c->freed)
        list_append(&c->of->touched, &c->touched);
}

int channels_add(struct channels *cs, const struct channel_open *request, enum channel_state state,
                 struct channel **ret)
{
    const struct delivery_options o = { .send_bytes = CHANNEL_BUFFER, .receive_bytes = CHANNEL_BUFFER, .narrow = true };
    struct channel *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->d = delivery_new(&o);
    r = c->d ? map64_put(&cs->by_id, request->channel, c) : -ENOMEM;
    if (r < 0) {
        delivery_free(c->d);
        free(c);
        return r;
    }
    c->of = cs;
    c->request = *request;
    c->birth = cs->next_birth++ & BIRTH_MASK;
    c->state = state;
    c->class = FLOW_BULK;
    c->deficit = QUANTUM;
    list_init(&c->active);
    list_init(&c->touched);
    list_init(&c->saying);
    list_init(&c->starved);
    cs->windows += DELIVERY_WINDOW_INITIAL;
    *ret = c;
    return 0;
}

static void leave_turn(struct channel *c)
{
    if (list_empty(&c->active))
        return;
    list_remove(&c->active);
    c->of->turns[c->class].count--;
}

void channel_destroy(struct channel *c)
{
    struct channels *cs = c->of;
    struct delivery_info info;

    delivery_info(c->d, &info);
    cs->windows -= info.window;
    cs->waiting -= c->waiting;
    cs->unacked -= c->unacked;
    cs->blocked -= c->blocked;
    leave_turn(c);
    list_remove(&c->touched);
    list_remove(&c->saying);
    list_remove(&c->starved);
    map64_remove(&cs->by_id, c->request.channel);
    if (cs->used)
        cs->used[c->request.channel] = stamp_of(cs->now);
    delivery_free(c->d);
    free(c);
}

void channels_each(struct channels *cs, void (*fn)(struct channel *, int), int arg)
{
    struct channel *all[CHANNELS_MAX];
    size_t n = 0;

    for (size_t i = 0; i < cs->by_id.capacity; i++)
        if (cs->by_id.slots[i].value)
            all[n++] = cs->by_id.slots[i].value;
    for (size_t i = 0; i < n; i++)
        fn(all[i], arg);
}

static void recount(struct channel *c)
{
    uint64_t waiting = delivery_error(c->d) ? 0 : delivery_waiting(c->d);
    bool blocked = c->state == CHANNEL_OPEN && delivery_is_blocked(c->d);
    struct delivery_info info;

    delivery_info(c->d, &info);
    c->of->waiting += waiting - c->waiting;
    c->of->unacked += info.written - info.acked - c->unacked;
    c->of->blocked += blocked;
    c->of->blocked -= c->blocked;
    c->waiting = waiting;
    c->blocked = blocked;
    c->unacked = info.written - info.acked;
}

void channel_update(struct channel *c)
{
    struct turns *t = &c->of->turns[c->class];

    recount(c);
    if (c->state != CHANNEL_OPEN || !delivery_wants_send(c->d)) {
        leave_turn(c);
    } else if (list_empty(&c->active)) {
        list_append(c->deficit > 0 ? &t->new_ones : &t->old_ones, &c->active); /* or it had its turn just now */
        t->count++;
    }
}

void channel_say(struct channel *c, enum due what)
{
    c->due |= (uint8_t)what;
    if (list_empty(&c->saying))
        list_append(&c->of->saying, &c->saying);
}

void channel_say_nothing(struct channel *c)
{
    c->to_name = false;
    c->due = 0;
    list_remove(&c->saying);
}

static void end(struct channel *c, int error)
{
    if (c->state == CHANNEL_ENDED)
        return;
    c->state = CHANNEL_ENDED;
    delivery_break(c->d, error);
    channel_update(c);
    channel_touch(c);
}

void channel_end_and_forget(struct channel *c, int error)
{
    channel_say_nothing(c);
    end(c, error);
    if (c->freed)
        channel_destroy(c);
}

void channels_end(struct session *s, int error)
{
    if (!s->channels)
        return;
    channels_each(s->channels, channel_end_and_forget, error);
    s->channels->busy_count = 0;
}

static void destroy_one(struct channel *c, int unused)
{
    channel_destroy(c);
}

void channels_free(struct session *s)
{
    if (!s->channels)
        return;
    channels_each(s->channels, destroy_one, 0);
    map64_deinit(&s->channels->by_id);
    free(s->channels->used);
    free(s->channels);
    s->channels = NULL;
}

/* --- the owner --- */

size_t session_channels_count(const struct session *s)
{
    return s->channels ? s->channels->by_id.count : 0;
}

/* 0: none. */
static uint16_t free_id(struct channels *cs, instant now)
{
    for (unsigned tries = 1; tries < IDS && now >= cs->none_before; tries++) {
        uint16_t id = cs->next_id++, age = (uint16_t)(stamp_of(now) - cs->used[id]);

        cs->next_id += cs->next_id == 0;
        if ((cs->used[id] == 0 || age > CYCLE >> STAMP_SHIFT) && !map64_get(&cs->by_id, id))
            return id;
    }
    cs->none_before = MAX(cs->none_before, now + (1 << STAMP_SHIFT));
    return 0;
}

int session_channel_open(struct session *s, const struct endpoint *from, const struct endpoint *to, instant now,
                         struct channel **ret)
{
    struct channel_open request = { .from = *from, .to = *to };
    int r;

    assert(from->port != 0 && to->port != 0 && from->addr.family == to->addr.family);
    if (!session_has_channels(s))
        return -ENOTCONN;
    if (!channels_make(s, now))
        return -ENOMEM;
    s->channels->now = now;
    if (s->channels->by_id.count == CHANNELS_MAX)
        return -ENOSPC;
    request.channel = free_id(s->channels, now);
    if (request.channel == 0)
        return -ENOSPC;
    r = channels_add(s->channels, &request, CHANNEL_ASKED, ret);
    if (r == 0)
        channel_say(*ret, DUE_OPEN);
    return r;
}

struct channel *session_channel_pop(struct session *s)
{
    struct channels *cs = s->channels;
    struct channel *c = NULL;

    if (cs && !list_empty(&cs->touched)) {
        c = LIST_FIRST(&cs->touched, struct channel, touched);
        list_remove(&c->touched);
    } else if (cs && !list_empty(&cs->starved) && cs->unacked < CHANNELS_TX_MAX) {
        /* One that takes what there is; if it does not, the next. */
        c = LIST_FIRST(&cs->starved, struct channel, starved);
        list_remove(&c->starved);
    }
    return c;
}

void channel_set_owner(struct channel *c, void *owner)
{
    c->owner = owner;
}

void *channel_owner(const struct channel *c)
{
    return c->owner;
}

void channel_steer(struct channel *c, uint16_t target, enum flow_class class)
{
    c->target = target < SESSION_TARGETS ? target : 0;
    if (c->class == class)
        return;
    leave_turn(c);
    c->class = (uint8_t) class;
    channel_update(c);
}

void channel_set_tos(struct channel *c, uint8_t tos)
{
    c->tos = tos;
}

enum channel_state channel_state(const struct channel *c)
{
    return c->state;
}

const struct channel_open *channel_request(const struct channel *c)
{
    return &c->request;
}

enum channel_refusal channel_refused(const struct channel *c)
{
    return c->refusal;
}

void channel_accept(struct channel *c)
{
    if (c->state != CHANNEL_OFFERED)
        return;
    c->state = CHANNEL_OPEN;
    channel_say(c, DUE_ANSWER);
    channel_update(c);
    if (c->wants_room)
        channel_touch(c);
}

void channel_refuse(struct channel *c, enum channel_refusal why)
{
    assert(why != CHANNEL_ACCEPTED && why < CHANNEL_REFUSAL_COUNT);
    if (c->state != CHANNEL_OFFERED)
        return;
    c->refusal = why;
    channel_say(c, DUE_ANSWER);
    end(c, -ECONNREFUSED);
}

/* Bytes that may wait here and be unsent. */
static size_t unsent_most(const struct session *s)
{
    uint64_t bytes_per_sec = 0;
    span least = INSTANT_NEVER, most = 0;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        const struct spath *p = &s->paths[i];

        if (p->rank > 1 || p->spec.tier == TIER_NEVER)
            continue;
        bytes_per_sec += p->rate_bps / 8;
        least = MIN(least, p->delay);
        most = MAX(most, p->delay);
    }
    most = UNSENT_SPAN + (most > least ? most - least : 0);
    return (size_t)CLAMP(bytes_per_sec * (uint64_t)most / SEC, UNSENT_MIN, UNSENT_MAX);
}

static size_t room(const struct channel *c)
{
    struct channels *cs = c->of;
    size_t most = unsent_most(cs->s);
    struct delivery_info info;
    uint64_t unsent, beyond;

    delivery_info(c->d, &info);
    unsent = info.written > info.sent ? info.written - info.sent : 0;
    beyond = info.send_limit + BEYOND_LIMIT;
    if (unsent >= most || info.written >= beyond || cs->unacked >= CHANNELS_TX_MAX || c->state != CHANNEL_OPEN)
        return 0;
    most = MIN(most - (size_t)unsent, (size_t)MIN(beyond - info.written, CHANNELS_TX_MAX - cs->unacked));
    return MIN(most, delivery_room(c->d));
}

int64_t channel_write(struct channel *c, const uint8_t *data, size_t len)
{
    int64_t r = delivery_write(c->d, data, MIN(len, room(c)));

    c->wants_room = r >= 0 && (size_t)r < len;
    channel_update(c);
    list_remove(&c->starved);
    if (c->wants_room && c->of->unacked >= CHANNELS_TX_MAX)
        list_append(&c->of->starved, &c->starved);
    return r;
}

void channel_finish(struct channel *c)
{
    delivery_finish(c->d);
    channel_update(c);
}

bool channel_flushed(const struct channel *c)
{
    return delivery_flushed(c->d);
}

struct slice channel_peek(const struct channel *c)
{
    return delivery_peek(c->d);
}

/* The reader keeps up: a wider window costs nothing. */
static void widen(struct channel *c)
{
    struct delivery_info info;

    delivery_info(c->d, &info);
    if (info.read - c->widened_at < info.window / 2 || info.received - info.read > info.window / 4 ||
        c->of->windows + info.window > CHANNELS_RX_MAX)
        return;
    c->widened_at = info.read;
    if (delivery_widen(c->d))
        c->of->windows += info.window;
}

static void say_limit(struct channel *c)
{
    if (c->state == CHANNEL_OPEN && delivery_pop_limit(c->d, &c->limit))
        channel_say(c, DUE_LIMIT);
}

void channel_consume(struct channel *c, size_t len)
{
    delivery_consume(c->d, len);
    widen(c);
    say_limit(c);
}

bool channel_at_end(const struct channel *c)
{
    return delivery_at_end(c->d);
}

int channel_error(const struct channel *c)
{
    return delivery_error(c->d);
}

void channel_reset(struct channel *c)
{
    if (c->state == CHANNEL_ENDED)
        return;
    if (c->due & DUE_OPEN)
        channel_say_nothing(c); /* the peer has not heard of it */
    else
        channel_say(c, DUE_RESET);
    end(c, -ECONNRESET);
}

void channel_free(struct channel *c)
{
    struct delivery_info info;

    delivery_info(c->d, &info);
    if (!info.finished || !channel_flushed(c) || !channel_at_end(c))
        channel_reset(c);
    c->freed = true;
    c->owner = NULL;
    list_remove(&c->touched);
    list_remove(&c->starved);
    c->due &= (uint8_t)~DUE_LIMIT;
    if (c->due == 0)
        channel_destroy(c);
}

/* --- out --- */

bool channels_want_send(const struct session *s)
{
    return s->channels && (s->channels->turns[FLOW_INTERACTIVE].count > 0 || s->channels->turns[FLOW_BULK].count > 0);
}

bool channels_come_first(const struct session *s, enum flow_class class)
{
    const struct turns *t = s->channels ? &s->channels->turns[class] : NULL;

    return t && t->count > 0 && (t->owed >= 0 || flowq_empty(s->packets->flowq, class));
}

void channels_on_packet(struct session *s, enum flow_class class, size_t bytes)
{
    struct turns *t = s->channels ? &s->channels->turns[class] : NULL;

    if (t && t->count > 0)
        t->owed = MIN(t->owed + (int64_t)(bytes * t->count), (int64_t)(QUANTUM * t->count));
}

/* What a rule's paths are, for those who have the same. */
struct ways {
    int target; /* -1: none yet */
    uint8_t candidates;
    int fastest;
};

static bool may(const struct channel *c, unsigned slot, struct ways *ways)
{
    const struct session *s = c->of->s;
    const struct turns *t = &c->of->turns[c->class];

    if (ways->target != c->target) {
        ways->target = c->target;
        ways->candidates =
            sched_usable(s, session_target(s, c->target)); /* what is lost is sent again: none is parked */
        ways->fastest = sched_fastest(s, ways->candidates);
    }
    if (!(ways->candidates & 1u << slot))
        return false;
    if (ways->fastest == (int)slot)
        return true;
    if (c->class == FLOW_INTERACTIVE)
        return false;
    return sched_is_earlier(s, slot, (unsigned)ways->fastest,
                            MIN(c->waiting * t->count, c->of->waiting) + flowq_bytes_of(s->packets->flowq, c->target));
}

static bool cut(struct channel *c, unsigned slot, struct chunk *ret)
{
    const struct session *s = c->of->s;
    size_t most = s->paths[slot].mtu - RECORD_OVERHEAD;

    return (sched_leaves_lost(s, slot, sched_usable(s, session_target(s, c->target)), delivery_lost(c->d)) &&
            delivery_cut_fresh(c->d, most, ret)) ||
           delivery_cut(c->d, most, ret);
}

/* The channel whose turn it is of those that may use this path. */
static struct channel *choose(struct turns *t, unsigned slot)
{
    struct ways ways = { .target = -1 };

    for (struct list *round = &t->new_ones; round; round = round == &t->new_ones ? &t->old_ones : NULL)
        LIST_FOREACH_SAFE (c, round, struct channel, active) {
            if (c->deficit > 0 && may(c, slot, &ways))
                return c;
            if (c->deficit > 0)
                continue;
            c->deficit += QUANTUM; /* no record is longer: above 0 again, and asked when the walk gets there */
            list_remove(&c->active);
            list_append(&t->old_ones, &c->active);
            if (!c_next && round == &t->old_ones)
                c_next = c;
        }
    return NULL;
}

bool channels_cut(struct session *s, enum flow_class class, unsigned slot, struct pbuf *b)
{
    struct turns *t = &s->channels->turns[class];
    struct channel *c = t->count > 0 ? choose(t, slot) : NULL;
    struct chunk k;
    size_t flows;

    if (!c || !cut(c, slot, &k))
        return false;
    chunk_header_put(b->data, &(struct chunk_header){ .last = k.last, .place = k.at, .channel = c->request.channel });
    b->len = (uint16_t)(DATA_HEADER_LEN + k.len);
    b->note = c->birth | (uint32_t)c->tos << SESSION_TOS_SHIFT;
    c->deficit -= (int32_t)b->len;
    flows = flowq_flows(s->packets->flowq, class);
    t->owed = flows > 0 ? MAX(t->owed - (int64_t)(b->len * flows), -(int64_t)(QUANTUM * flows)) : 0;
    s->info.tx_bytes += k.len;
    channel_update(c);
    if (c->wants_room && room(c) >= UNSENT_MIN / 2)
        channel_touch(c);
    return true;
}

bool channels_are_blocked(const struct session *s)
{
    return s->channels && s->channels->blocked > 0;
}

bool channels_want_sooner(const struct session *s, const struct chunk_header *h, uint32_t note, unsigned slot)
{
    const struct channel *c = find_born(s, h->channel, note);

    return c && c->blocked && (sched_usable(s, session_target(s, c->target)) & 1u << slot);
}

bool channels_copy(const struct session *s, const struct chunk_header *h, const struct chunk *k, uint32_t note,
                   uint8_t *out)
{
    const struct channel *c = find_born(s, h->channel, note);

    return c && c->state != CHANNEL_ENDED && delivery_copy(c->d, k, out);
}

void channels_met_fate(struct session *s, const struct chunk_header *h, const struct chunk *k, uint32_t note,
                       bool acked)
{
    struct channel *c = find_born(s, h->channel, note);

    if (!c)
        return;
    (acked ? delivery_on_acked : delivery_on_lost)(c->d, k);
    channel_update(c);
    if (c->state != CHANNEL_ENDED && delivery_error(c->d)) { /* what was lost could not be remembered */
        channel_say(c, DUE_RESET);
        end(c, delivery_error(c->d));
        return;
    }
    if (acked && (c->wants_room || channel_flushed(c)))
        channel_touch(c);
}

/* --- in --- */

void channels_on_chunk(struct session *s, const struct chunk_header *h, const struct chunk *k, const uint8_t *bytes)
{
    struct channel *c = find(s, h->channel);
    int r;

    if (!c || c->freed || c->state == CHANNEL_ENDED)
        return; /* broken off meanwhile */
    r = c->state == CHANNEL_OFFERED ? -EPROTO : delivery_on_chunk(c->d, k, bytes);
    if (r < 0) { /* the path has acknowledged it: the peer will not send it again */
        channel_say(c, DUE_RESET);
        end(c, r);
        return;
    }
    channel_touch(c);
}

/* A peer that keeps to CHANNELS_MAX waits for no more answers: of others the oldest are not answered. */
static void refuse_busy(struct channels *cs, uint16_t id)
{
    cs->busy[(cs->busy_head + cs->busy_count) % CHANNELS_MAX] = id;
    if (cs->busy_count < CHANNELS_MAX)
        cs->busy_count++;
    else
        cs->busy_head = (cs->busy_head + 1) % CHANNELS_MAX;
}

static int on_open(struct session *s, struct reader *r, instant now)
{
    struct channel_open request;
    struct channel *c;

    channel_open_read(r, &request);
    if (r->failed || s->o.opener || !(s->o.features & FEATURE_CHANNELS) || !s->packets)
        return -EPROTO;
    if (!channels_make(s, now))
        return -ENOMEM;
    if (find(s, request.channel)) { /* the peer has done with the old one, and so must we be */
        channel_end_and_forget(find(s, request.channel), -ECONNRESET);
        refuse_busy(s->channels, request.channel);
    } else if (channels_add(s->channels, &request, CHANNEL_OFFERED, &c) < 0) {
        refuse_busy(s->channels, request.channel);
    } else {
        channel_touch(c);
    }
    return 0;
}

static int on_answer(struct session *s, struct reader *r)
{
    struct channel *c = find(s, read_u16(r));
    uint8_t why = read_u8(r);

    if (!reader_done(r) || !s->o.opener)
        return -EPROTO;
    if (!c || c->state != CHANNEL_ASKED)
        return 0;
    if (why == CHANNEL_ACCEPTED) {
        c->state = CHANNEL_OPEN;
        say_limit(c); /* bytes may have come before, and were read */
        channel_update(c);
        channel_touch(c);
        return 0;
    }
    c->refusal = why < CHANNEL_REFUSAL_COUNT ? why : CHANNEL_REFUSED;
    channel_end_and_forget(c, -ECONNREFUSED);
    return 0;
}

static int on_reset(struct session *s, struct reader *r)
{
    struct channel *c = find(s, read_u16(r));

    if (!reader_done(r))
        return -EPROTO;
    if (c)
        channel_end_and_forget(c, -ECONNRESET);
    return 0;
}

static int on_limits(struct session *s, struct reader *r)
{
    do {
        struct channel *c = find(s, read_u16(r));
        uint64_t limit = read_u64(r);

        if (r->failed || limit > DELIVERY_END_MAX)
            return -EPROTO;
        if (!c)
            continue;
        c->awaited = false;
        delivery_on_limit(c->d, limit);
        channel_update(c);
        if (c->wants_room && room(c) > 0)
            channel_touch(c);
    } while (reader_left(r) > 0);
    return 0;
}

int channels_on_message(struct session *s, uint8_t type, struct reader *r, instant now)
{
    switch (type) {
    case MESSAGE_CHANNEL_OPEN:
        return on_open(s, r, now);
    case MESSAGE_CHANNEL_ANSWER:
        return on_answer(s, r);
    case MESSAGE_CHANNEL_RESET:
        return on_reset(s, r);
    case MESSAGE_CHANNELS_NAMED:
        return channels_on_named(s, r);
    default:
        return on_limits(s, r);
    }
}

/* --- words --- */

/* Of the first ones of whom that is due, and nothing before it. */
static int say_limits(struct session *s, instant now)
{
    uint8_t buf[1 + 10 * LIMITS_A_MESSAGE];
    struct writer w = writer_init(buf, sizeof(buf));
    struct channel *said[LIMITS_A_MESSAGE];
    unsigned n = 0;

    write_u8(&w, MESSAGE_CHANNEL_LIMIT);
    LIST_FOREACH_SAFE (c, &s->channels->saying, struct channel, saying) {
        if (n == LIMITS_A_MESSAGE)
            break;
        if (c->due != DUE_LIMIT)
            continue;
        write_u16(&w, c->request.channel);
        write_u64(&w, c->limit);
        said[n++] = c;
    }
    if (session_send_message(s, buf, writer_len(&w), now) < 0)
        return -ENOBUFS;
    while (n > 0)
        said[--n]->due = 0;
    return 0;
}

static int say_one(struct session *s, struct channel *c, instant now)
{
    uint8_t buf[64];
    struct writer w = writer_init(buf, sizeof(buf));
    enum due what = c->due & -c->due;

    if (stream_is_busy(s->stream))
        return -ENOBUFS;
    switch (what) {
    case DUE_OPEN:
        channel_open_write(&w, &c->request);
        break;
    case DUE_ANSWER:
        write_u8(&w, MESSAGE_CHANNEL_ANSWER);
        write_u16(&w, c->request.channel);
        write_u8(&w, c->refusal);
        break;
    case DUE_RESET:
        write_u8(&w, MESSAGE_CHANNEL_RESET);
        write_u16(&w, c->request.channel);
        break;
    default:
        return say_limits(s, now);
    }
    if (session_send_message(s, buf, writer_len(&w), now) < 0)
        return -ENOBUFS;
    c->due &= (uint8_t)~what;
    return 0;
}

static bool say_busy(struct session *s, instant now)
{
    struct channels *cs = s->channels;
    uint8_t msg[4] = { MESSAGE_CHANNEL_ANSWER, 0, 0, CHANNEL_REFUSED_BUSY };

    for (; cs->busy_count > 0; cs->busy_count--) {
        put_be16(msg + 1, cs->busy[cs->busy_head]);
        if (stream_is_busy(s->stream) || session_send_message(s, msg, sizeof(msg), now) < 0)
            return false;
        cs->busy_head = (cs->busy_head + 1) % CHANNELS_MAX;
    }
    return true;
}

void channels_say(struct session *s, instant now)
{
    if (s->channels)
        s->channels->now = now;
    if (!s->channels || !s->up || !say_busy(s, now))
        return;
    LIST_FOREACH_SAFE (c, &s->channels->saying, struct channel, saying) {
        /* Those that are to be named stand first. */
        if (!c->to_name && channels_say_named(s, now) < 0)
            return;
        while (c->due)
            if (say_one(s, c, now) < 0)
                return; /* the queue is full: later */
        c->to_name = false;
        list_remove(&c->saying);
        if (c->freed)
            channel_destroy(c);
    }
    (void)!channels_say_named(s, now);
}
