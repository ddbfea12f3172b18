/* mapping/manager.c - see manager.h.
 *
 * Theory of operation. A request is read, who asks is identified by his key, his rank under overload is found, and one
 * function a type answers: lookups in manager_lookup.c, what members say of themselves in manager_bind.c, subscriptions
 * in manager_changes.c. Here are the frame around them, the realm's log, and the store.
 *
 * Every change of a row has a number and an entry in a ring, which says which row; what it is now stands in the table.
 * The ring serves those who want to know: subscribers, who have a number to which they know all, and the store, which
 * has two, to which it was given all and to which all is durable. When the ring has gone round a subscriber, he takes a
 * snapshot. It never goes round the store: members are told LATER when that is half a ring behind, leases that end wait
 * when it is three quarters behind (they have ended by their time all the same), and for what nobody may put off, a
 * revocation, the ring grows. At most by as many as there are rows; and if there is no memory for that, subscribers
 * take a snapshot, and the store keeps a row of one who is not of the realm, which nobody loads.
 *
 * Overload is measured by what requests cost, in plain lookups, against the capacity that the owner states: a bucket
 * that leaks. A rank is served while less is in the bucket than its share.
 *
 * Limits: as the options say; pages of 60 KB and of PAGE_STEPS rows or changes looked at. No allocation for lookups,
 * refreshes and pages. */
#include "mapping/internal.h"

#include <errno.h>

struct manager *manager_new(const struct manager_options *o, instant now)
{
    struct manager *m;

    if (o->log_max < 2 || (o->log_max & (o->log_max - 1)) || o->epoch == 0 || o->guests_max == 0)
        return NULL;
    m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->o = *o;
    m->behind = o->follows ? INSTANT_NEVER : 0;
    m->head = m->taken = m->stored = 1;
    m->log_size = o->log_max;
    m->authority = authority_new(o->names_max, &o->rng);
    m->policies = policies_new(o->names_max, &o->rng);
    m->bindings = bindings_new(o->bindings_max, &o->rng, now);
    m->guests = guests_new(o->guests_max, &o->rng);
    m->subscribers = subscribers_new(o->subscriptions_max, &o->rng);
    m->log = malloc(o->log_max * sizeof(*m->log));
    m->page = malloc(PAGE_BYTES);
    if (!m->authority || !m->policies || !m->bindings || !m->guests || !m->subscribers || !m->log || !m->page) {
        manager_free(m);
        return NULL;
    }
    return m;
}

void manager_free(struct manager *m)
{
    if (!m)
        return;
    trust_free(m->trust);
    authority_free(m->authority);
    policies_free(m->policies);
    bindings_free(m->bindings);
    guests_free(m->guests);
    subscribers_free(m->subscribers);
    free(m->log);
    free(m->page);
    explicit_bzero(m->relay.key, sizeof(m->relay.key));
    free(m);
}

const struct authority *manager_authority(const struct manager *m)
{
    return m->authority;
}

/* --- what others know --- */

struct bindings *manager_bindings(struct manager *m)
{
    return m->bindings;
}

void manager_followed(struct manager *m, const struct follower_change *c, instant now)
{
    manager_heard_follows(m, &c->subject, c->kind, c->answer);
    manager_changed(m, &c->subject, c->kind, c->answer, c->seq, c->pace, now);
}

void manager_set_behind(struct manager *m, span behind)
{
    m->behind = behind;
}

void manager_set_gap(struct manager *m, bool gap)
{
    m->log_gap = gap;
}

bool manager_is_behind(const struct manager *m)
{
    return m->o.caches || (m->o.follows && m->behind > MANAGER_BEHIND_MAX);
}

int manager_load(struct manager *m, const struct tag *subject, uint8_t kind, uint8_t answer, uint64_t seq,
                 const uint8_t *bytes, size_t len, instant expires, instant now)
{
    return bindings_load(m->bindings, subject, kind, answer, seq, bytes, len, expires, now);
}

/* --- the realm's log --- */

/* Its word is refused by name from now on. */
static void note_former(struct manager *m, const struct tag *tag)
{
    memmove(m->former + 1, m->former, (FORMER_MAX - 1) * sizeof(m->former[0]));
    m->former[0] = *tag;
    m->former_count = MIN(m->former_count + 1, FORMER_MAX);
}

int manager_set_self(struct manager *m, const struct slice *links, size_t count, uint64_t wall_s,
                     struct record_error *ret_error)
{
    const struct trust_options options = { .cached_max = TRUST_CACHED_DEFAULT,
                                           .facts_max = m->o.names_max + TRUST_FACTS_DEFAULT,
                                           .facts_kept = m->o.names_max,
                                           .rng = &m->o.rng };
    struct trust *trust = NULL;
    struct record_bytes b;
    struct record root;
    const struct chain_end before = *authority_self(m->authority);
    struct chain_end self;
    int e;

    m->said++;
    *ret_error = (struct record_error){ 0 };
    if (count == 0 || count >= CHAIN_LINKS_MAX)
        return -EINVAL;
    e = record_decode(links[0].data, links[0].len, &root, &b, ret_error);
    if (e < 0)
        return e;
    /* A root that changed its key is a new beginning; all others know the root that they have. */
    trust = !m->trust || count == 1 ? trust_new(root.key, &options) : m->trust;
    e = trust ? trust_verify(trust, links, count, wall_s, &self, ret_error) : -ENOMEM;
    if (e == 0)
        e = authority_set_self(m->authority, links, count, &self);
    if (e < 0) {
        if (trust != m->trust)
            trust_free(trust);
        return e;
    }
    if (before.is_realm && !tag_equal(&before.tag, &self.tag))
        note_former(m, &before.tag);
    if (trust != m->trust) {
        trust_free(m->trust);
        m->trust = trust;
    }
    guests_forget_all(m->guests); /* of which realms below are no more is told when they are not known yet */
    return 0;
}

/* What ends something is believed by its signature, or by that of the entry in which it stands: an entity's own word
 * was verified when it was published, by a key that may be gone from here. */
static int take_end(struct manager *m, const struct record *r, const uint8_t *bytes, size_t len,
                    struct record_error *ret_error)
{
    const struct chain_end *self = authority_self(m->authority);

    if (tag_equal(&r->issuer, &self->tag))
        return trust_apply(m->trust, self, bytes, len, ret_error);
    return r->type == RECORD_REVOCATION ? trust_note_revoked(m->trust, &r->subject, r->seq) : 0;
}

static int refuse_record(struct record_error *ret, enum record_fault fault)
{
    *ret = (struct record_error){ .fault = fault };
    return -EBADMSG;
}

int manager_take(struct manager *m, const uint8_t *bytes, size_t len, instant now, struct record_error *ret_error)
{
    struct authority_ended ended;
    struct record_bytes b;
    struct record r;
    int e = record_decode(bytes, len, &r, &b, ret_error), not_noted = 0;

    m->said++;
    if (e < 0)
        return e;
    if (r.type == RECORD_POLICY) {
        e = policies_put(m->policies, &r);
        return e == POLICY_OLDER ? refuse_record(ret_error, RECORD_OLDER_SEQUENCE) : MIN(e, 0);
    }
    if (r.type == RECORD_REVOCATION || r.type == RECORD_SUCCESSOR) {
        not_noted = take_end(m, &r, bytes, len, ret_error);
        if (not_noted == -EBADMSG)
            return not_noted;
    } else if (trust_is_revoked(m->trust, &r.subject)) {
        return refuse_record(ret_error, RECORD_REVOKED);
    }
    /* Also when there was no room to note it: who is revoked is not used any more, whatever else goes wrong. */
    e = authority_take(m->authority, bytes, len, &ended);
    if (e == -ESTALE)
        return refuse_record(ret_error, RECORD_OLDER_SEQUENCE);
    for (size_t i = 0; i < ended.count; i++)
        manager_forget(m, &ended.tags[i], now);
    for (size_t i = 0; i < ended.realms_count; i++)
        guests_forget_below(m->guests, &r.subject, &ended.realms[i]);
    if (e == 0 && (r.type == RECORD_REGISTRATION || r.type == RECORD_DELEGATION))
        policies_begin(m->policies, &r.subject);
    if (r.type == RECORD_REVOCATION && e == 0 && ended.count == 0)
        manager_forget(m, &r.subject, now); /* of whom the authority was never told: the chain was given anew */
    return e < 0 ? e : not_noted;
}

/* --- who asks --- */

/* What is at least the time. */
static uint64_t time_s(const struct manager *m, uint64_t wall_s)
{
    return MAX(wall_s, m->trust ? trust_time_floor(m->trust) : 0);
}

bool manager_is_over(const struct manager *m, const struct entity *e, uint64_t wall_s)
{
    return e->not_after_s && e->not_after_s < time_s(m, wall_s);
}

bool manager_knows(const struct manager *m, const struct manager_who *who, uint64_t wall_s, struct who *ret)
{
    const struct chain_end *self = authority_self(m->authority);
    struct guest g;

    *ret = (struct who){ .peer = who->peer, .key = who->ed25519 };
    if (self->is_realm && memcmp(self->key, who->ed25519, IDENT_KEY_LEN) == 0) {
        ret->type = WHO_SELF;
        ret->tag = self->tag;
        return true;
    }
    ret->member = authority_by_key(m->authority, who->ed25519);
    while (ret->member && manager_is_over(m, ret->member, wall_s))
        ret->member = entity_of_same_key(ret->member);
    if (ret->member) {
        ret->type = WHO_MEMBER;
        ret->tag = ret->member->tag;
        return true;
    }
    if (guests_find(m->guests, who->ed25519, &g) < 0 || trust_is_revoked(m->trust, &g.tag) ||
        (g.not_after_s != 0 && g.not_after_s < time_s(m, wall_s)))
        return false;
    ret->type = WHO_GUEST;
    ret->tag = g.tag;
    return true;
}

struct who manager_identify(const struct manager *m, const struct manager_who *who, uint64_t wall_s)
{
    struct who w;

    if (!manager_knows(m, who, wall_s, &w) && tag_make(who->ed25519, TAG_RAA_DEFAULT, TAG_HDA_DEFAULT, &w.tag) < 0)
        w.tag = (struct tag){ { 0 } }; /* out of memory: nobody's, whom no rule matches */
    if (w.type == WHO_GUEST)
        guests_heard(m->guests, who->ed25519);
    return w;
}

/* Who asks, as one who may say where services are that are labels; NULL: he may not. */
static const struct entity *who_serves(const struct who *w, const struct tag *label)
{
    for (const struct entity *e = w->member; e; e = entity_of_same_key(e)) {
        if (entity_serves(e, label))
            return e;
    }
    return NULL;
}

const struct entity *manager_own_subject(const struct manager *m, const struct who *w, const struct tag *subject)
{
    const struct entity *e;

    if (tag_is_label(subject))
        return who_serves(w, subject);
    e = authority_by_tag(m->authority, subject);
    if (!e || e->type == ENTITY_ALIAS)
        return NULL;
    return w->type == WHO_SELF || memcmp(e->key, w->key, IDENT_KEY_LEN) == 0 ? e : NULL;
}

bool manager_is_succeeded(const struct manager *m, const struct who *w, const struct tag *subject)
{
    const struct entity *e = authority_by_tag(m->authority, subject);

    return e && e->type == ENTITY_ALIAS && memcmp(e->key, w->key, IDENT_KEY_LEN) == 0;
}

enum record_class manager_class(const struct manager *m, const struct who *w, const struct tag *subject,
                                uint64_t wall_s)
{
    const struct tag *realm = &authority_self(m->authority)->tag;
    const uint64_t now_s = time_s(m, wall_s);
    enum record_class best = policies_class(m->policies, subject, realm, &w->tag, now_s);

    /* One key may be a host's and a user's. */
    for (const struct entity *e = w->member; e && (e = entity_of_same_key(e));)
        if (!manager_is_over(m, e, wall_s))
            best = MAX(best, policies_class(m->policies, subject, realm, &e->tag, now_s));
    return w->type == WHO_SELF ? CLASS_FULL : best;
}

/* --- answers --- */

uint32_t manager_fresh_s(uint8_t pace, uint32_t left_s)
{
    static const uint32_t fresh_s[PACE_COUNT] = { MANAGER_FRESH_MOBILE_S, MANAGER_FRESH_ROAMING_S,
                                                  MANAGER_FRESH_SETTLED_S };

    return MIN(fresh_s[pace], left_s);
}

uint32_t manager_left_s(const struct manager *m, const struct binding *b, instant now)
{
    uint32_t left_s = (uint32_t)MAX((b->expires - now) / SEC, 1);

    /* Who follows does not know of refreshes: it gives no more than it may be believed for. */
    return m->o.follows ? MIN(left_s, MANAGER_FRESH_SETTLED_S) : left_s;
}

struct mapping_answer manager_none(const struct who *w)
{
    return (struct mapping_answer){ .status = MAPPING_NONE,
                                    .flags = w->type == WHO_STRANGER ? MAPPING_STRANGER : 0,
                                    .fresh_s = MANAGER_NONE_S };
}

struct mapping_answer manager_refuse(struct manager *m, enum record_fault fault)
{
    m->stats.refused[fault]++;
    return (struct mapping_answer){ .status = MAPPING_REFUSED, .fault = (uint8_t)fault };
}

struct mapping_answer manager_later(uint32_t wait_ms)
{
    return (struct mapping_answer){ .status = MAPPING_LATER, .wait_ms = wait_ms };
}

static size_t say(const struct mapping_answer *a, uint8_t *out, size_t size)
{
    struct writer w = writer_init(out, size);

    mapping_answer_write(&w, a);
    return w.failed ? 0 : writer_len(&w);
}

size_t manager_say_later(uint32_t wait_ms, uint8_t *out, size_t size)
{
    const struct mapping_answer a = manager_later(wait_ms);

    return say(&a, out, size);
}

size_t manager_say_older(uint64_t newest, uint8_t *out, size_t size)
{
    const struct mapping_answer a = { .status = MAPPING_OLDER, .seq = newest };

    return say(&a, out, size);
}

/* --- overload --- */

/* What a request costs, in lookups of 10 us. A signature is 12 of them. */
static unsigned cost_of(const struct mapping_request *r)
{
    switch (r->type) {
    case MAPPING_INTRODUCE:
        return 12 * (unsigned)r->chain_count;
    case MAPPING_REGISTER:
    case MAPPING_PUBLISH:
        return 13;
    case MAPPING_REFRESH:
        return 1 + (unsigned)r->items.count / 8;
    case MAPPING_SUBSCRIBE:
    case MAPPING_CHANGES:
    case MAPPING_LOG:
        return 20;
    default:
        return 1;
    }
}

/* Whether any of what the member is attached by moves often. */
static bool is_mover(const struct manager *m, const struct who *w, instant now)
{
    struct binding b;

    return bindings_find(m->bindings, &w->tag, KIND_HOST_LOCATOR, CLASS_FULL, now, &b) == 0 && b.pace == PACE_MOBILE;
}

static unsigned rank_of(const struct manager *m, const struct who *w, const struct mapping_request *r, instant now)
{
    bool says = r->type == MAPPING_REGISTER || r->type == MAPPING_REFRESH || r->type == MAPPING_PUBLISH;

    if (w->type == WHO_STRANGER)
        return 3;
    if (w->type == WHO_GUEST || !says)
        return w->type == WHO_SELF ? 1 : 2;
    return is_mover(m, w, now) ? 0 : 1;
}

/* chosen: what may wait before one of that rank; the first is what a host is without its peers at most */
static const span shares[MANAGER_RANKS] = { 100 * MSEC, 50 * MSEC, 20 * MSEC, 5 * MSEC };

bool manager_is_pressed(const struct manager *m, instant now)
{
    return m->o.capacity && m->busy_until - now > shares[MANAGER_RANKS - 1];
}

/* 0: go on. Else after how many ms it is worth asking again. */
static uint32_t admit(struct manager *m, unsigned rank, unsigned cost, instant now)
{
    const span cost_us = m->o.capacity ? (span)cost * SEC / m->o.capacity : 0;

    if (m->o.capacity == 0)
        return 0;
    m->busy_until = MAX(m->busy_until, now);
    if (m->busy_until - now > shares[rank]) {
        m->stats.later[rank]++;
        return (uint32_t)(250 * rank + 250);
    }
    m->busy_until += cost_us;
    return 0;
}

/* --- requests --- */

/* Whether a chain that was verified is still what this realm says, if it leads through it: a record that was replaced
 * or revoked is sound by itself for as long as its not-after says, and whoever has it may show it again. Of what was
 * said later than all that was read here nothing is known. */
static enum record_fault still_said(const struct manager *m, const struct mapping_request *r)
{
    const struct chain_end *self = authority_self(m->authority);
    const struct entity *e;
    struct record above, below;
    struct record_error why;
    struct record_bytes b;

    if (r->chain_count <= self->links ||
        record_decode(r->chain[self->links - 1].data, r->chain[self->links - 1].len, &above, &b, &why) < 0 ||
        record_decode(r->chain[self->links].data, r->chain[self->links].len, &below, &b, &why) < 0 ||
        strcmp(above.name, self->name) != 0)
        return RECORD_SOUND;
    if (!tag_equal(&above.subject, &self->tag)) /* of another key of ours */
        return above.seq < self->seq ? RECORD_SUPERSEDED : RECORD_SOUND;
    if (below.seq > authority_newest(m->authority))
        return RECORD_SOUND;
    e = authority_by_tag(m->authority, &below.subject);
    /* An alias counts until its time is up, which trust_verify has looked at. */
    if (e && (e->type == ENTITY_ALIAS || below.seq >= e->seq))
        return RECORD_SOUND;
    return !e && trust_is_revoked(m->trust, &below.subject) ? RECORD_REVOKED : RECORD_OLDER_SEQUENCE;
}

static struct mapping_answer introduce(struct manager *m, const struct who *w, const struct mapping_request *r,
                                       uint64_t wall_s)
{
    struct record_error why;
    enum record_fault fault;
    struct chain_end end;
    struct guest g;
    int e;

    if (w->type == WHO_MEMBER || w->type == WHO_SELF)
        return (struct mapping_answer){ .status = MAPPING_DONE, .tag = w->tag };
    m->said++;
    e = m->trust ? trust_verify(m->trust, r->chain, r->chain_count, wall_s, &end, &why) : -ENOMEM;
    if (e == -EBADMSG)
        return manager_refuse(m, why.fault);
    if (e == 0 && memcmp(end.key, w->key, IDENT_KEY_LEN) != 0)
        return manager_refuse(m, RECORD_NOT_AUTHORISED);
    if (e == 0 && (fault = still_said(m, r)) != RECORD_SOUND)
        return manager_refuse(m, fault);
    g = (struct guest){ .tag = end.tag, .not_after_s = end.not_after_s };
    if (e == 0)
        e = guests_put(m->guests, w->key, &g);
    return e < 0 ? manager_later(1000) : (struct mapping_answer){ .status = MAPPING_DONE, .tag = end.tag };
}

static struct mapping_answer answer(struct manager *m, const struct who *w, const struct endpoint *at,
                                    const struct mapping_request *r, const struct asked *foreseen, instant now,
                                    uint64_t wall_s, struct manager_reply *reply)
{
    struct mapping_answer a = { .status = MAPPING_DONE };

    if (m->log_gap && r->type != MAPPING_WHERE)
        return manager_later(LATER_BEHIND_MS);
    switch (r->type) {
    case MAPPING_INTRODUCE:
        return introduce(m, w, r, wall_s);
    case MAPPING_RESOLVE:
        return manager_resolve(m, w, r, foreseen, now, wall_s);
    case MAPPING_REGISTER:
        return manager_register(m, w, r, now, wall_s, reply);
    case MAPPING_REFRESH:
        return manager_refresh(m, w, r, now, wall_s);
    case MAPPING_PUBLISH:
        return manager_publish(m, w, r, wall_s, reply);
    case MAPPING_SUBSCRIBE:
        return manager_subscribe(m, w, r, now, wall_s, reply);
    case MAPPING_CHANGES:
        if (w->type == WHO_STRANGER)
            return manager_none(w);
        if (manager_is_behind(m))
            return manager_later(LATER_BEHIND_MS);
        return manager_page(m, w, &r->prefix, r->epoch, r->from, r->position, now, wall_s);
    case MAPPING_CALL: /* of one that follows this one */
        if (w->type != WHO_SELF)
            return manager_none(w);
        manager_called(m, r, false, now);
        return a;
    case MAPPING_WHERE:
        a.place = at ? *at : a.place;
        return a;
    default: /* LOG, which the log's owner answers; NOTIFY and GROWN, which tell a manager nothing */
        return manager_none(w);
    }
}

struct manager_state manager_state(const struct manager *m, uint64_t wall_s)
{
    return (struct manager_state){ m->said, wall_s, trust_time_floor(m->trust) };
}

/* One that was understood. */
static struct mapping_answer on_request(struct manager *m, const struct manager_who *who, const struct ahead *foreseen,
                                        const struct mapping_request *r, instant now, uint64_t wall_s,
                                        struct manager_reply *reply)
{
    struct who asks;
    uint32_t wait_ms;

    if (foreseen) {
        asks = foreseen->who;
        asks.peer = who->peer;
        if (asks.type == WHO_GUEST)
            guests_heard(m->guests, asks.key);
    } else {
        asks = manager_identify(m, who, wall_s);
    }
    wait_ms = admit(m, rank_of(m, &asks, r, now), cost_of(r), now);
    m->stats.requests[r->type]++;
    if (wait_ms > 0)
        return manager_later(wait_ms);
    return answer(m, &asks, who->at, r, foreseen ? &foreseen->asked : NULL, now, wall_s, reply);
}

void manager_on_request(struct manager *m, const struct manager_who *who, const uint8_t *bytes, size_t len, instant now,
                        uint64_t wall_s, uint8_t *out, struct manager_reply *ret)
{
    const struct ahead *foreseen = m->trust ? manager_foreseen(m, who, bytes, len, wall_s) : NULL;
    struct writer w = writer_init(out, MAPPING_BYTES_MAX);
    struct mapping_answer a = { .status = MAPPING_UNKNOWN };
    struct mapping_request r;

    *ret = (struct manager_reply){ 0 };
    m->wall_s = wall_s;
    if (foreseen)
        a = on_request(m, who, foreseen, &foreseen->request, now, wall_s, ret);
    else if (mapping_request_read(bytes, len, &r) < 0)
        m->stats.unknown++;
    else if (!m->trust)
        a = manager_later(1000);
    else
        a = on_request(m, who, NULL, &r, now, wall_s, ret);
    m->stats.answers[a.status]++;
    mapping_answer_write(&w, &a);
    ret->len = writer_len(&w);
}

void manager_get_stats(const struct manager *m, struct manager_stats *ret)
{
    *ret = m->stats;
    ret->changes = m->head;
    ret->stored = m->stored;
    ret->names = authority_count(m->authority);
    ret->bindings = bindings_count(m->bindings);
    ret->bindings_live = bindings_live(m->bindings);
    ret->guests = guests_count(m->guests);
    ret->subscriptions = subscribers_count(m->subscribers);
    ret->bindings_bytes = bindings_memory(m->bindings);
}
