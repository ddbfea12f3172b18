/* mapping/manager_bind.c - REGISTER, REFRESH, PUBLISH: what members say of themselves.
 *
 * Theory of operation. A change is signed, and verified once; a lease is kept up inside the association, whose seals
 * say who speaks. Who speaks for a subject is the subject itself, by its key, or the realm by its own. To everybody
 * else a subject that is there and one that is not are the same: "none", or in a list of refreshes "send the record".
 *
 * For a label whoever serves in the realm speaks, and what one has said last no other gets past but by a higher
 * sequence. So the upper half of that is a time, and none is taken that is more than LABEL_AHEAD_S to come: whoever
 * would take the numbers away has no more than a second's start, and nothing once he is no member any more.
 *
 * A hard record goes into the realm's log before it is answered, and comes back from there by manager_take. So a
 * manager that dies in between has said nothing. */
#include "mapping/internal.h"

#include <errno.h>

#define LATER_FULL_MS 30000u /* chosen: a table that is full empties by leases, in minutes */
#define LABEL_AHEAD_S 86400u /* chosen: a day: what clocks are wrong by, and who has jumped past another's numbers */

static struct mapping_answer registered(const struct binding *b, uint32_t lease_s)
{
    return (struct mapping_answer){
        .status = MAPPING_DONE, .tag = b->subject, .seq = b->seq, .left_s = lease_s, .fresh_s = MAX(lease_s / 3, 1)
    };
}

/* Whose word counts for an entity, of those that may have signed it. */
static void issuer_of(const struct manager *m, const struct record *r, const struct chain_end *subject,
                      struct chain_end *ret)
{
    const struct chain_end *self = authority_self(m->authority);

    *ret = tag_equal(&r->issuer, &self->tag) ? *self : *subject;
}

/* 0: the record is sound, of that type, and signed by who may; else a fault. */
static int verify(struct manager *m, const struct entity *e, const struct record *r, struct slice bytes,
                  enum record_fault *ret_fault)
{
    const struct chain_end *self = authority_self(m->authority);
    struct chain_end subject, issuer;
    struct record_error why = { 0 };
    struct record again;
    int got;

    for (size_t i = 0; i < m->former_count; i++) {
        if (tag_equal(&r->issuer, &m->former[i])) {
            *ret_fault = RECORD_SUPERSEDED;
            return -EBADMSG;
        }
    }
    if (e)
        entity_end(m->authority, e, &subject);
    else
        subject = *self;
    issuer_of(m, r, &subject, &issuer);
    if (tag_is_label(&r->subject))
        subject.tag = r->subject;
    got = trust_accept(m->trust, &issuer, &subject, bytes.data, bytes.len, &again, &why);
    *ret_fault = why.fault;
    return got;
}

const struct entity *manager_issuer(const struct manager *m, const struct binding *b, uint64_t wall_s)
{
    const struct entity *e;
    struct record_error why;
    struct record_bytes rb;
    struct record r;

    if (!b->bytes || record_decode(b->bytes, b->len, &r, &rb, &why) < 0)
        return NULL;
    e = authority_by_tag(m->authority, &r.issuer);
    return e && e->type == ENTITY_REGISTERED && !manager_is_over(m, e, wall_s) &&
                   (!tag_is_label(&b->subject) || entity_serves(e, &b->subject))
               ? e
               : NULL;
}

/* Of a label: beyond what others could go on from. */
static bool is_ahead(const struct manager *m, const struct record *r, uint64_t wall_s)
{
    return tag_is_label(&r->subject) && r->seq >> 32 > MAX(wall_s, trust_time_floor(m->trust)) + LABEL_AHEAD_S;
}

/* Of a label several may speak: each keeps up what he has said himself. Whether that is so a manager that follows, from
 * which it comes as from the realm itself, has looked at: then it is to be somebody's word still. */
static bool is_his_word(const struct manager *m, const struct who *w, const struct mapping_refresh *i, instant now,
                        uint64_t wall_s)
{
    const struct entity *e;
    struct binding b;

    if (!tag_is_label(&i->subject) || bindings_get(m->bindings, &i->subject, i->kind, i->answer, now, &b) < 0 ||
        b.seq != i->seq)
        return true;
    e = manager_issuer(m, &b, wall_s);
    return e && (w->type == WHO_SELF || memcmp(e->key, w->key, IDENT_KEY_LEN) == 0);
}

/* To who may not speak for a subject: nothing, but that his key is an old one, which he can prove he has. */
static struct mapping_answer not_his(struct manager *m, const struct who *w, const struct tag *subject)
{
    return manager_is_succeeded(m, w, subject) ? manager_refuse(m, RECORD_SUPERSEDED) : manager_none(w);
}

/* Of the realm itself, an entity of it, or nobody's business of who asks: false. */
static bool speaks_for(const struct manager *m, const struct who *w, const struct tag *subject, uint64_t wall_s,
                       const struct entity **ret)
{
    *ret = manager_own_subject(m, w, subject);
    if (*ret)
        return !manager_is_over(m, *ret, wall_s);
    return w->type == WHO_SELF && tag_equal(subject, &authority_self(m->authority)->tag);
}

/* The same of a record, and of a row. What somebody who serves has said of a label comes from a manager that follows as
 * from the realm itself: then it is the issuer who speaks. */
static bool speaks_in(const struct manager *m, const struct who *w, const struct record *r, uint64_t wall_s,
                      const struct entity **ret)
{
    if (w->type != WHO_SELF || !tag_is_label(&r->subject))
        return speaks_for(m, w, &r->subject, wall_s, ret);
    *ret = authority_by_tag(m->authority, &r->issuer);
    return *ret && entity_serves(*ret, &r->subject) && !manager_is_over(m, *ret, wall_s);
}

static bool speaks_of(const struct manager *m, const struct who *w, const struct tag *subject, uint64_t wall_s)
{
    const struct entity *e;

    return (w->type == WHO_SELF && tag_is_label(subject)) || speaks_for(m, w, subject, wall_s, &e);
}

/* Each is his. */
static bool speaks_for_all(const struct manager *m, const struct who *w, struct mapping_list items, instant now,
                           uint64_t wall_s)
{
    struct mapping_refresh i;

    while (mapping_next_refresh(&items, &i))
        if (!speaks_of(m, w, &i.subject, wall_s) || !is_his_word(m, w, &i, now, wall_s))
            return false;
    return true;
}

struct mapping_answer manager_register(struct manager *m, const struct who *w, const struct mapping_request *r,
                                       instant now, uint64_t wall_s, struct manager_reply *reply)
{
    const struct entity *e;
    struct record_error why;
    struct record_bytes rb;
    enum record_fault fault;
    struct record rec;
    struct binding b = { 0 };
    uint64_t newest = 0;
    int got = record_decode(r->record.data, r->record.len, &rec, &rb, &why);

    if (got == -EBADMSG)
        return manager_refuse(m, why.fault);
    if (got == 0 && rec.type != RECORD_BINDING)
        return manager_refuse(m, RECORD_TYPE_UNKNOWN);
    if (got == 0 && !speaks_in(m, w, &rec, wall_s, &e))
        return not_his(m, w, &rec.subject);
    if (m->o.follows) /* members speak to the one that is followed */
        return manager_later(LATER_FULL_MS);
    if (m->o.stores && m->head - m->stored > m->log_size / 2)
        return manager_later(LATER_FULL_MS / 30);
    if (got == 0)
        got = verify(m, e, &rec, r->record, &fault);
    if (got == -EBADMSG)
        return manager_refuse(m, fault);
    if (got == 0 && is_ahead(m, &rec, wall_s))
        return manager_refuse(m, RECORD_AHEAD);
    if (got == 0)
        got = bindings_put(m->bindings, &rec, r->record.data, r->record.len, now, &newest);
    if (got < 0)
        return manager_later(LATER_FULL_MS);
    if (got == BINDING_OLDER)
        return (struct mapping_answer){ .status = MAPPING_OLDER, .seq = newest };
    if (bindings_get(m->bindings, &rec.subject, rec.kind, rec.answer, now, &b) < 0)
        return manager_later(LATER_FULL_MS); /* never: it was put */
    (void)bindings_set_peer(m->bindings, &rec.subject, rec.kind, rec.answer, w->peer);
    if (got == BINDING_STORED)
        manager_changed(m, &rec.subject, rec.kind, rec.answer, rec.seq, b.pace, now);
    /* Also of what was stored before: the answer of then may have waited in vain. */
    reply->stored = m->o.stores && m->stored < m->head ? m->head : 0;
    reply->row = (struct manager_row){ rec.subject, rec.kind, rec.answer };
    return registered(&b, manager_left_s(m, &b, now));
}

struct mapping_answer manager_refresh(struct manager *m, const struct who *w, const struct mapping_request *r,
                                      instant now, uint64_t wall_s)
{
    struct mapping_list items = r->items;
    struct writer failures = writer_init(m->page, PAGE_BYTES);
    struct mapping_answer a = { .status = MAPPING_DONE };
    struct mapping_refresh i;
    uint32_t lease_s = BINDINGS_LEASE_MAX_S, n = 0;

    if (m->o.follows && speaks_for_all(m, w, items, now, wall_s)) /* the one that is followed could not be asked */
        return manager_later(LATER_FULL_MS / 30);
    for (; mapping_next_refresh(&items, &i); n++) {
        struct mapping_failure f = { .index = n };
        struct binding b;
        int got = -ENOENT;

        if (!m->o.follows && speaks_of(m, w, &i.subject, wall_s))
            got = is_his_word(m, w, &i, now, wall_s)
                      ? bindings_refresh(m->bindings, &i.subject, i.kind, i.answer, i.seq, i.lease_s, now)
                      : -ESTALE;
        lease_s = MIN(lease_s, i.lease_s);
        if (tag_is_label(&i.subject))
            lease_s = MIN(lease_s, BINDINGS_LABEL_LEASE_MAX_S);
        if (got == 0) {
            (void)bindings_set_peer(m->bindings, &i.subject, i.kind, i.answer, w->peer);
            continue;
        }
        if (got == -ESTALE && bindings_get(m->bindings, &i.subject, i.kind, i.answer, now, &b) == 0)
            f.seq = b.seq;
        mapping_write_failure(&failures, &f);
        a.items.count++;
    }
    a.items.items = m->page;
    a.items.len = writer_len(&failures);
    a.left_s = lease_s;
    a.fresh_s = MAX(lease_s / 3, 1);
    return a;
}

struct mapping_answer manager_publish(struct manager *m, const struct who *w, const struct mapping_request *r,
                                      uint64_t wall_s, struct manager_reply *reply)
{
    const struct chain_end *self = authority_self(m->authority);
    struct chain_end subject, issuer;
    struct record_error why = { 0 };
    enum record_fault fault;
    const struct entity *e;
    struct record_bytes rb;
    struct record rec;
    int got = record_decode(r->record.data, r->record.len, &rec, &rb, &why);

    if (got == -EBADMSG)
        return manager_refuse(m, why.fault);
    if (got == 0 && rec.type != RECORD_POLICY && rec.type != RECORD_REVOCATION)
        return manager_refuse(m, RECORD_TYPE_UNKNOWN);
    if (got == 0 && !speaks_in(m, w, &rec, wall_s, &e))
        return not_his(m, w, &rec.subject);
    if (m->o.follows) /* the log is written where the one that is followed is */
        return manager_later(LATER_FULL_MS);
    if (got == 0 && rec.type == RECORD_POLICY) {
        got = verify(m, e, &rec, r->record, &fault);
        if (got == -EBADMSG)
            return manager_refuse(m, fault);
    } else if (got == 0) {
        if (!e) /* a realm is not revoked by itself, but by the one above it */
            return manager_refuse(m, RECORD_NOT_AUTHORISED);
        entity_end(m->authority, e, &subject);
        issuer = tag_equal(&rec.issuer, &self->tag) ? *self : subject;
        got = trust_check_revocation(m->trust, &issuer, r->record.data, r->record.len, &why);
        if (got == -EBADMSG)
            return manager_refuse(m, why.fault);
    }
    if (got < 0)
        return manager_later(LATER_FULL_MS);
    if (rec.type == RECORD_POLICY) {
        uint64_t newest = policies_seq(m->policies, &rec.subject);

        if (policies_has(m->policies, &rec)) /* asked again: it is in the log */
            return (struct mapping_answer){ .status = MAPPING_DONE, .seq = rec.seq };
        if (rec.seq <= newest)
            return (struct mapping_answer){ .status = MAPPING_OLDER, .seq = newest };
    }
    reply->publish = r->record;
    return (struct mapping_answer){ .status = MAPPING_DONE, .seq = rec.seq };
}

bool manager_passes_on(struct manager *m, const struct manager_who *who, const uint8_t *bytes, size_t len, instant now,
                       uint64_t wall_s)
{
    const struct entity *e;
    struct mapping_refresh i;
    struct mapping_request r;
    struct record_error why;
    struct record_bytes rb;
    struct record rec;
    struct who w;

    if (!m->o.follows || !m->trust || m->log_gap || mapping_request_read(bytes, len, &r) < 0)
        return false;
    w = manager_identify(m, who, wall_s);
    switch (r.type) {
    case MAPPING_REFRESH:
        if (!speaks_for_all(m, &w, r.items, now, wall_s))
            return false;
        while (mapping_next_refresh(&r.items, &i))
            manager_heard(m, &i.subject, i.kind, i.answer, w.peer);
        return true;
    case MAPPING_REGISTER:
    case MAPPING_PUBLISH:
        if (record_decode(r.record.data, r.record.len, &rec, &rb, &why) < 0 || !speaks_in(m, &w, &rec, wall_s, &e))
            return false;
        if (r.type == MAPPING_REGISTER && rec.type == RECORD_BINDING)
            manager_heard(m, &rec.subject, rec.kind, rec.answer, w.peer);
        return true;
    default:
        return false;
    }
}
