/* mapping/follower.c - see follower.h.
 *
 * Theory of operation. Pages are asked for until one says that it is the last. A snapshot's rows are marked by the
 * lease that they get when they come; when it is whole, rows below the prefix whose lease began before it did are
 * ended. What changes while it is read comes after it, or with notices, which may be applied meanwhile: they speak of
 * what is now, as pages do, and sequences only rise.
 *
 * A notice is applied if nothing lies between it and what is known; else it is answered, and changes are asked for. So
 * a number is never passed without what stands before it.
 *
 * A follower that has just begun has seen nobody move. That a subject does is told with its record, by how long the
 * manager lets it be used, and counts here as there.
 *
 * Rows here have the longest lease, so a snapshot is taken at half of it at the latest.
 *
 * Limits: a sweep looks at all rows of the table, a second or so for ten million. */
#include "mapping/follower.h"

#include "mapping/manager.h" /* for how long answers may be used */

void follower_init(struct follower *f, struct bindings *b, const struct tag_prefix *prefix, enum follower_mode mode,
                   span pull, instant now)
{
    *f = (struct follower){
        .bindings = b, .prefix = *prefix, .mode = mode, .pull = pull, .next = now, .as_of = INSTANT_NEVER
    };
}

size_t follower_output(struct follower *f, instant now, uint8_t *out)
{
    struct writer w = writer_init(out, FOLLOWER_REQUEST_MAX);
    struct mapping_request r = {
        .type = MAPPING_CHANGES, .prefix = f->prefix, .epoch = f->epoch, .from = f->at, .position = f->position
    };

    if (f->asking || now < f->next)
        return 0;
    if (f->position > 0)
        r.from = f->snapshot_at;
    else if (now - f->snapshot_began > (instant)BINDINGS_LEASE_MAX_S * SEC / 2)
        r.epoch = r.from = 0;                           /* before what never changes has ended here */
    if (f->mode == FOLLOWER_PUSH && f->position == 0) { /* each time: a manager may have dropped it */
        r.type = MAPPING_SUBSCRIBE;
        r.lease_s = FOLLOWER_LEASE_S;
    }
    mapping_request_write(&w, &r);
    f->asking = true;
    f->asked = now;
    return writer_len(&w);
}

static void on_page(struct follower *f, const struct mapping_answer *a, instant now)
{
    bool snapshot = a->flags & MAPPING_SNAPSHOT;

    if (snapshot && (f->position == 0 || a->epoch != f->epoch || a->to != f->snapshot_at)) {
        f->snapshot_at = f->at = a->to;
        f->snapshot_began = f->asked;
        f->snapshots++;
    }
    if (!snapshot)
        f->at = MAX(f->at, a->to);
    f->epoch = a->epoch;
    f->position = a->position;
    f->items = a->items;
    if (snapshot && a->position == 0) {
        f->sweeping = true;
        f->sweep_at = 0;
    }
    if (!(a->flags & MAPPING_CAUGHT_UP)) {
        f->next = now;
        return;
    }
    f->as_of = f->asked;
    f->next = f->asked + (f->mode == FOLLOWER_PULL ? f->pull : FOLLOWER_CHECK);
}

void follower_on_answer(struct follower *f, const uint8_t *bytes, size_t len, instant now)
{
    struct mapping_answer a = { .status = MAPPING_UNKNOWN };

    if (!f->asking)
        return;
    f->asking = false;
    if (mapping_answer_read(bytes, len, &a) == 0 && a.status == MAPPING_PAGE)
        on_page(f, &a, now);
    else if (a.status == MAPPING_LATER)
        f->next = now + (span)a.wait_ms * MSEC;
    else
        f->next = now + FOLLOWER_CHECK;
    if (f->again)
        f->next = now;
    f->again = false;
}

void follower_on_failed(struct follower *f, instant now)
{
    f->asking = f->again = false;
    f->next = now + FOLLOWER_RETRY;
}

void follower_on_up(struct follower *f, instant now)
{
    f->again = f->asking; /* what is under way may have been asked of who had not forgotten */
    f->next = now;
}

size_t follower_on_notice(struct follower *f, const struct mapping_request *r, instant now, uint8_t *out)
{
    struct writer w = writer_init(out, FOLLOWER_REQUEST_MAX);
    struct mapping_answer a = { .status = MAPPING_DONE, .epoch = r->epoch };

    if (r->epoch == f->epoch && r->from <= f->at && !(r->flags & MAPPING_LOST)) {
        f->items = r->items;
        f->at = MAX(f->at, r->to);
    } else {
        f->again = f->asking; /* what lies between */
        f->next = now;
    }
    a.to = f->at;
    mapping_answer_write(&w, &a);
    return writer_len(&w);
}

/* One item: true if the table is another now. */
static bool take(struct follower *f, const struct mapping_change *c, instant now, struct follower_change *ret)
{
    struct record_error why;
    struct record_bytes b;
    struct binding now_there;
    struct record r;
    int got;

    if (c->record.len == 0) {
        *ret = (struct follower_change){ c->subject, c->kind, c->answer, c->seq, PACE_MOBILE };
        return tag_prefix_contains(&f->prefix, &c->subject) &&
               bindings_end(f->bindings, &c->subject, c->kind, c->answer, c->seq);
    }
    if (record_decode(c->record.data, c->record.len, &r, &b, &why) < 0 || r.type != RECORD_BINDING ||
        !tag_prefix_contains(&f->prefix, &r.subject))
        return false;
    got = bindings_follow(f->bindings, &r, c->record.data, c->record.len, now, NULL);
    bindings_set_pace(f->bindings, &r.subject, r.kind, r.answer, manager_pace_of(c->fresh_s), now);
    if (got == BINDING_OLDER)
        f->older++;
    if (got != BINDING_STORED || bindings_get(f->bindings, &r.subject, r.kind, r.answer, now, &now_there) < 0)
        return false;
    f->taken++;
    *ret = (struct follower_change){ r.subject, r.kind, r.answer, r.seq, now_there.pace };
    return true;
}

bool follower_pop(struct follower *f, instant now, struct follower_change *ret)
{
    struct mapping_change c;
    struct binding b;

    while (mapping_next_change(&f->items, &c))
        if (take(f, &c, now, ret))
            return true;
    while (f->sweeping) {
        uint32_t budget = UINT32_MAX;

        if (!bindings_next(f->bindings, &f->sweep_at, &budget, now, &b)) {
            f->sweeping = false;
            break;
        }
        if (tag_prefix_contains(&f->prefix, &b.subject) &&
            b.expires < f->snapshot_began + (instant)BINDINGS_LEASE_MAX_S * SEC) {
            *ret = (struct follower_change){ b.subject, b.kind, b.answer, b.seq, b.pace };
            return bindings_end(f->bindings, &b.subject, b.kind, b.answer, b.seq);
        }
    }
    return false;
}

span follower_behind(const struct follower *f, instant now)
{
    return f->as_of == INSTANT_NEVER ? INSTANT_NEVER : now - f->as_of;
}

instant follower_next_expiry(const struct follower *f)
{
    return f->asking ? INSTANT_NEVER : f->next;
}
