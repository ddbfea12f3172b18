/* session/paths.c - the paths of a session: opened, changed, in doubt, gone, and what is in flight on them then.
 *
 * What was in flight on a path that fails goes again by another, ahead of what waits: one queue a class, REINJECT_MAX
 * packets long; a full one lets the packet go. Limits: SESSION_SLOTS paths. */
#include <assert.h>
#include <errno.h>

#include "session/internal.h"

/* chosen: while a path is measured its delay is not known, and its first queue is its longest */
#define LEARNING (2 * SEC)

void session_reinject_clear(struct session *s)
{
    for (int c = 0; c < FLOW_CLASS_COUNT && s->packets; c++) {
        struct reinjection *r = &s->packets->reinject[c];

        for (; r->count > 0; r->count--) {
            pbuf_unref(r->items[r->head].b);
            r->head = (r->head + 1) % REINJECT_MAX;
        }
    }
}

/* Takes the reference; a full queue lets the packet go: whoever sent it will send it again. */
static void reinject_push(struct session *s, struct pbuf *b, unsigned from)
{
    assert(s->packets != NULL);

    struct reinjection *r = &s->packets->reinject[note_class(b)];
    unsigned at = (r->head + r->count) % REINJECT_MAX;

    if (r->count == REINJECT_MAX) {
        pbuf_unref(b);
        return;
    }
    r->items[at].b = b;
    r->items[at].from = (uint8_t)from;
    r->count++;
}

int session_find_path(const struct session *s, uint32_t path_id)
{
    for (unsigned i = 0; i < SESSION_SLOTS && path_id != HANDSHAKE_PATH_ID; i++)
        if (s->paths[i].used && s->paths[i].path && s->paths[i].id == path_id)
            return (int)i;
    return -1;
}

int session_slot_at(const struct session *s, const struct locator_pair *at)
{
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (s->paths[i].used && locator_pair_same(&s->paths[i].spec.at, at))
            return (int)i;
    return -1;
}

bool session_may_open(const struct session *s, uint32_t path_id)
{
    uint32_t below = s->highest_path_id - path_id;

    if (path_id > s->highest_path_id)
        return path_id - s->highest_path_id <= LOOKAHEAD;
    return path_id != HANDSHAKE_PATH_ID && below > 0 && below <= LOOKAHEAD && !(s->opened_ids & 1u << (below - 1));
}

void session_mark_open(struct session *s, uint32_t path_id)
{
    if (path_id > s->highest_path_id) {
        uint32_t up = path_id - s->highest_path_id;

        s->opened_ids = up > 31 ? 0 : (s->opened_ids << up) | 1u << (up - 1);
        s->highest_path_id = path_id;
    } else {
        s->opened_ids |= 1u << (s->highest_path_id - path_id - 1);
    }
}

void session_give_up(struct session *s, struct pbuf *b)
{
    if (b->tracked)
        carry_lost(s, b);
    else
        pbuf_unref(b);
}

/* Copies that wait for it: what they are copies of goes by another path. */
static void drop_copies(struct session *s, struct spath *p)
{
    for (; p->dup_count > 0; p->dup_count--) {
        carry_forget(s, p->dup[p->dup_head].b);
        p->dup_head = (p->dup_head + 1) % DUP_MAX;
    }
}

/* Nobody took over what was in flight on a path that has been dead for long, or that goes: whoever sent it has sent it
 * again since. */
void session_drop_inflight(struct session *s, struct spath *p)
{
    struct pbuf *b;

    while ((b = path_take_inflight(p->path)))
        session_give_up(s, b);
    if (p->stash)
        session_give_up(s, p->stash);
    p->stash = NULL;
}

/* Everything of a path that belongs to this session, not its specification. */
void session_path_unstart(struct session *s, unsigned slot)
{
    struct spath *p = &s->paths[slot];

    if (p->path) {
        carry_told(s, slot);
        session_drop_inflight(s, p);
    }
    path_free(p->path);
    p->path = NULL;
    memset(&p->told, 0, sizeof(p->told));
    free(p->replay);
    p->replay = NULL;
    p->group = 0;
    p->id = 0;
    drop_copies(s, p);
    p->open = p->want_summary = false;
    if (s->groups)
        sbd_groups_forget(s->groups, slot);
    s->has_token[slot] = false;
    p->rank = 4;
}

void session_path_clear(struct session *s, unsigned slot)
{
    session_path_unstart(s, slot);
    free(s->paths[slot].dup);
    memset(&s->paths[slot], 0, sizeof(s->paths[slot]));
    s->paths[slot].rank = 4;
    if (s->packets)
        reseq_path_gone(s->packets->reseq, slot);
}

int session_path_start(struct session *s, unsigned slot, uint32_t id, instant now)
{
    struct spath *p = &s->paths[slot];
    struct path_options o = {
        .rate_cap_bps = p->spec.rate_cap_bps,
        .trains = p->spec.trains,
        .record_bytes = RECORD_MAX + 48,
        .congestion = fairness_control(s, slot),
        .reliable = s->delivery && p->spec.at.transport != TRANSPORT_UDP,
        .summaries = s->delivery, /* a tunnel couples nothing, and its data path is measured by the instruction */
    };

    o.initial_rtt = p->handshake_rtt;
    p->handshake_rtt = 0;
    known_ask(s, slot, &o, now);
    p->replay = malloc(sizeof(*p->replay));
    p->path = path_new(&o, now);
    if (!p->path || !p->replay) {
        path_free(p->path);
        free(p->replay);
        p->path = NULL;
        p->replay = NULL;
        return -ENOMEM;
    }
    p->told.at = now;
    p->id = id;
    p->reliable = o.reliable;
    p->partial = false;
    p->rx_highest = 0;
    replay_record_init(p->replay);
    p->validated = s->o.opener; /* it chose the endpoint itself */
    p->migrating = false;
    p->open = false;
    p->want_open = s->o.opener;
    p->want_ack = p->want_challenge = p->want_response = false;
    p->want_close = 0;
    p->want_token = 0;
    p->want_probe = 0;
    p->rank = 4;
    s->sched_at = 0;
    if (p->link_down)
        path_on_link(p->path, false, now);
    session_path_events(s, slot, now);
    return 0;
}

void session_paths_start(struct session *s, instant now)
{
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (s->paths[i].used && !s->paths[i].path)
            session_path_start(s, i, ++s->next_path_id, now);
    if (s->next_path_id >= s->opened_path_id + LOOKAHEAD) {
        s->want_fresh = true; /* the peer no longer expects ids as high as ours */
        s->rekey_at = MIN(s->rekey_at, now + SESSION_RETRY_AFTER);
    }
    epochs_sync_rx(s);
}

int session_path_add(struct session *s, const struct session_path_spec *spec, instant now)
{
    assert(s->o.opener);
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        if (s->paths[i].used)
            continue;
        memset(&s->paths[i], 0, sizeof(s->paths[i]));
        s->paths[i].used = true;
        s->paths[i].rank = 4;
        s->paths[i].spec = *spec;
        if (s->up)
            session_paths_start(s, now);
        else if (s->conn)
            s->conn->next_send = now; /* it joins the race at once */
        return (int)i;
    }
    return -ENOSPC;
}

struct path_open session_describe_path(const struct session *s, unsigned slot)
{
    const struct spath *p = &s->paths[slot];
    struct path_open o = {
        .slot = (uint8_t)slot,
        .tier = p->spec.tier,
        .weight = p->spec.weight,
        .revision = p->revision,
        .flags = (uint8_t)((p->leaving ? PATH_FLAG_LEAVING : 0) | (p->link_down ? PATH_FLAG_DOWN : 0) |
                           (p->spec.metered ? PATH_FLAG_METERED : 0)),
    };

    memcpy(o.link, p->spec.link, sizeof(o.link));
    return o;
}

void session_take_description(struct spath *p, const struct path_open *o)
{
    p->revision = o->revision;
    p->spec.tier = o->tier;
    p->spec.weight = o->weight;
    p->spec.metered = (o->flags & PATH_FLAG_METERED) != 0;
    p->leaving = (o->flags & PATH_FLAG_LEAVING) != 0;
    p->link_down = (o->flags & PATH_FLAG_DOWN) != 0;
}

static void send_path_message(struct session *s, unsigned slot, enum message_type type, instant now)
{
    struct spath *p = &s->paths[slot];
    uint8_t buf[64];
    struct writer w = writer_init(buf, sizeof(buf));
    struct path_open o = session_describe_path(s, slot);

    if (!s->up || !p->id)
        return;
    write_u8(&w, (uint8_t)type);
    write_u32(&w, p->id);
    if (type == MESSAGE_PATH_STATUS)
        path_open_write(&w, &o);
    /* A full queue means that nothing gets through: the peer finds out by itself. */
    (void)!session_send_message(s, buf, writer_len(&w), now);
}

void session_path_remove(struct session *s, unsigned slot, instant now)
{
    if (slot >= SESSION_SLOTS || !s->paths[slot].used)
        return;
    send_path_message(s, slot, MESSAGE_PATH_GONE, now);
    session_path_retire(s, slot, now);
    epochs_sync_rx(s);
}

void session_path_set(struct session *s, unsigned slot, const struct session_path_use *use, instant now)
{
    struct spath *p = &s->paths[slot];

    if (slot >= SESSION_SLOTS || !p->used ||
        (p->spec.tier == use->tier && p->spec.weight == use->weight && p->spec.metered == use->metered &&
         p->leaving == use->leaving))
        return;
    p->spec.tier = use->tier;
    p->spec.weight = use->weight;
    p->spec.metered = use->metered;
    p->leaving = use->leaving;
    p->revision++;
    send_path_message(s, slot, MESSAGE_PATH_STATUS, now);
}

void session_path_link(struct session *s, unsigned slot, bool up, instant now)
{
    struct spath *p = &s->paths[slot];

    if (slot >= SESSION_SLOTS || !p->used || p->link_down == !up)
        return;
    p->link_down = !up;
    p->revision++;
    /* Said on the path itself too: when no other path is left, the message has no way, and the peer answers nothing on
     * a path that it believes to be down. */
    p->open = false;
    p->want_open = s->o.opener && up;
    if (p->path)
        path_on_link(p->path, up, now);
    send_path_message(s, slot, MESSAGE_PATH_STATUS, now);
    if (p->path)
        session_path_events(s, slot, now);
    if (up && s->conn)
        s->conn->next_send = now;
}

void session_path_error(struct session *s, unsigned slot, instant now)
{
    if (slot < SESSION_SLOTS && s->paths[slot].path) {
        path_on_send_error(s->paths[slot].path, now);
        session_path_events(s, slot, now);
    }
}

static bool is_over(const struct session *s, unsigned slot, const struct locator_pair *at)
{
    return slot < SESSION_SLOTS && s->paths[slot].path && locator_pair_same(&s->paths[slot].spec.at, at) &&
           s->paths[slot].spec.at.conn == at->conn;
}

void session_path_transport(struct session *s, unsigned slot, const struct locator_pair *at,
                            const struct path_transport *t, instant now)
{
    if (!is_over(s, slot, at))
        return;
    s->paths[slot].partial = t->partial;
    path_on_transport(s->paths[slot].path, t, now);
}

void session_path_abandoned(struct session *s, unsigned slot, const struct locator_pair *at, uint64_t counter)
{
    if (!is_over(s, slot, at))
        return;
    s->info.abandoned += path_on_abandoned(s->paths[slot].path, counter);
    carry_told(s, slot);
}

void session_path_transport_lost(struct session *s, unsigned slot, const struct locator_pair *at, instant now)
{
    if (!is_over(s, slot, at))
        return;
    path_on_transport_lost(s->paths[slot].path, now);
    session_path_events(s, slot, now);
}

static bool other_path_active(const struct session *s, unsigned slot)
{
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (i != slot && s->paths[i].path && !s->paths[i].link_down && path_state(s->paths[i].path) == PATH_ACTIVE)
            return true;
    return false;
}

static void go_again(struct session *s, struct pbuf *b, unsigned from)
{
    if (b->tracked)
        carry_lost(s, b);
    else
        reinject_push(s, b, from);
}

static void take_back(struct session *s, unsigned slot)
{
    struct spath *p = &s->paths[slot];
    struct pbuf *b;

    if (p->stash)
        go_again(s, p->stash, slot);
    p->stash = NULL;
    while ((b = path_take_inflight(p->path)))
        go_again(s, b, slot);
}

/* What is in flight on a path that is in doubt goes again over the others. */
void session_reinject_path(struct session *s, unsigned slot, instant now)
{
    if (s->paths[slot].path && other_path_active(s, slot))
        take_back(s, slot);
}

void session_path_retire(struct session *s, unsigned slot, instant now)
{
    if (s->paths[slot].path)
        take_back(s, slot);
    known_tell_last(s, slot, now);
    session_path_clear(s, slot);
}

/* A record that a working path has lost goes again over whatever path is offered it first, while its flow can still
 * wait for it: so the loss of a radio is not seen inside. */
void session_resend_lost(struct session *s, unsigned slot, instant now)
{
    struct pbuf *b;

    carry_told(s, slot);
    while ((b = path_take_lost(s->paths[slot].path))) {
        if (now - b->stamp < RESEND_LIFE)
            reinject_push(s, b, SESSION_SLOTS);
        else
            pbuf_unref(b);
    }
}

void session_path_events(struct session *s, unsigned slot, instant now)
{
    struct spath *p = &s->paths[slot];
    struct path_event ev;

    while (p->path && path_pop_event(p->path, &ev)) {
        switch (ev.type) {
        case PATH_EVENT_PROBE:
            p->want_probe = MAX(p->want_probe, MAX(ev.train, 1u));
            break;
        case PATH_EVENT_ACK:
            p->want_ack = true;
            break;
        case PATH_EVENT_STATE:
            s->sched_at = 0;
            if (path_state(p->path) == PATH_SUSPECTED || path_state(p->path) == PATH_DOWN)
                session_reinject_path(s, slot, now);
            if (path_state(p->path) == PATH_DOWN)
                drop_copies(s, p);
            if (path_state(p->path) == PATH_DOWN && s->packets) { /* a suspicion may be an error: losses make some */
                flowq_on_fall(s->packets->flowq, now);
                reseq_path_gone(s->packets->reseq, slot);
            }
            if (path_state(p->path) == PATH_ACTIVE) {
                s->learning_until = now + LEARNING;
                for (unsigned i = 0; i < SESSION_SLOTS; i++) /* there was no other path when they fell */
                    if (s->paths[i].path && path_state(s->paths[i].path) != PATH_ACTIVE)
                        session_reinject_path(s, i, now);
            }
            session_event(s, SESSION_PATH_STATE, slot, false, ev.old_state);
            break;
        }
    }
}

void session_probe(struct session *s, instant now)
{
    for (unsigned i = 0; i < SESSION_SLOTS; i++)
        if (s->paths[i].path) {
            path_probe(s->paths[i].path);
            session_path_events(s, i, now);
        }
}
