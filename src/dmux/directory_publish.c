/* dmux/directory_publish.c - the bindings that a gateway is in (directory.h).
 *
 * Theory of operation. Who has a router of a service looks who is in the binding of his cell. Nobody: he owns it, and
 * writes himself. Somebody: he makes a link to the owner, who hears by that of his routers and adds him. There is no
 * room: nothing more is to be done, since a cell with 16 gateways of a service needs no other to be found.
 *
 * The owner writes what its links show: those that are up, in the cell, and serve it; in a wider cell one of each cell
 * below. Changes are gathered for WRITE_AFTER. When it has no router any more it writes those that are left, and the
 * first of them, who hears of it by its link, takes over; when it dies, the first whose link to it is silent does, and
 * the next a second later, and so on. The lease is for when all of them die at once.
 *
 * Two who own the same one find out by sequences: who is told that there is a newer one looks anew. Who is told so of
 * what it has kept up was taken for dead while it lived, since the two do not hear each other: from then on it takes a
 * binding over only when its lease has ended. So two that cannot have a link do not take it from each other for ever:
 * of n gateways each is taken from once at most.
 *
 * Costs: a look each LOOK_EVERY and cell, a refresh each third of a lease and owned binding; what changes, one write a
 * level at most. Sources: doc/records.md (sequences). */
#include "dmux/directory_internal.h"

#define LOOK_EVERY (150 * SEC) /* chosen: half a lease: a member that became the first sees it before the end */
#define LOOK_AGAIN (10 * SEC)  /* chosen: when a link that was wanted should be there; after failures, doubles */
#define WRITE_AFTER (500 * MSEC)
#define TAKE_OVER (1 * SEC)  /* chosen: times the position in the binding */
#define LEAVE_MAX (60 * SEC) /* chosen: then the lease ends it */

void publication_init(struct publication *p, struct service *s, uint8_t level)
{
    *p = (struct publication){ .service = s, .level = level, .write_at = INSTANT_NEVER };
    list_init(&p->w.out);
}

static void row_free(struct publication *p)
{
    if (p->row)
        holder_deinit(&p->row->holder);
    free(p->row);
    p->row = NULL;
}

void publication_deinit(struct directory *d, struct publication *p)
{
    waiter_reset(d, &p->w);
    heap_set(&d->timers, &p->w.timer, INSTANT_NEVER);
    row_free(p);
}

static bool is_due(const struct directory *d, const struct publication *p)
{
    if (!d->placed || p->service->here == 0)
        return false;
    return p->level == 0 || p->service->publications[p->level - 1].state == PUBLICATION_OWNED;
}

static void review_above(struct directory *d, struct publication *p, instant now)
{
    if (p->level + 1 < DIRECTORY_LEVELS)
        publication_review(d, &p->service->publications[p->level + 1], now);
}

static void idle(struct directory *d, struct publication *p)
{
    waiter_reset(d, &p->w);
    heap_set(&d->timers, &p->w.timer, INSTANT_NEVER);
    row_free(p);
    p->state = PUBLICATION_IDLE;
    p->owner = 0;
    p->yields = false;
    p->write_at = INSTANT_NEVER;
}

static void look(struct directory *d, struct publication *p)
{
    waiter_reset(d, &p->w);
    heap_set(&d->timers, &p->w.timer, INSTANT_NEVER);
    waiter_send(d, &p->w, false, true);
}

static void begin(struct directory *d, struct publication *p, instant now)
{
    p->cell = d->cells[p->level];
    if (directory_tag(&d->o.tag, p->service->protocol, p->service->provider, &p->cell, &p->tag) < 0) {
        heap_set(&d->timers, &p->w.timer, now + LOOK_AGAIN); /* no memory */
        return;
    }
    p->floor = 0;
    p->wait = LOOK_AGAIN;
    p->state = PUBLICATION_LOOKING;
    look(d, p);
}

/* --- what is written --- */

/* Is there one of the same cell below already? */
static bool is_covered(const struct publication *p, const struct directory_entry *entries, size_t count,
                       const struct coord *place)
{
    struct directory_cell c, other;

    if (p->level == 0)
        return false;
    c = directory_cell_of(place, p->level - 1u);
    for (size_t i = 0; i < count; i++) {
        other = directory_cell_of(&entries[i].place, p->level - 1u);
        if (directory_cell_equal(&c, &other))
            return true;
    }
    return false;
}

static size_t gather(const struct directory *d, const struct publication *p, bool with_self,
                     struct directory_entry entries[DIRECTORY_ENTRIES_MAX])
{
    size_t count = 0;

    if (with_self)
        entries[count++] = d->o.self;
    LIST_FOREACH (q, &d->peers, struct peer_at, all) {
        if (count < DIRECTORY_ENTRIES_MAX && q->up && directory_cell_has(&p->cell, &q->e.place) &&
            peer_serves(q, p->service->protocol, p->service->provider) && !is_covered(p, entries, count, &q->e.place))
            entries[count++] = q->e;
    }
    return count;
}

static void arm(struct directory *d, struct publication *p)
{
    instant at = holder_next_expiry(&p->row->holder);

    if (p->state == PUBLICATION_OWNED)
        at = instant_min(at, p->write_at);
    else
        at = instant_min(at, p->leave_until);
    heap_set(&d->timers, &p->w.timer, at);
}

static void write_row(struct directory *d, struct publication *p, instant now)
{
    struct record_target targets[DIRECTORY_ENTRIES_MAX];
    struct directory_entry entries[DIRECTORY_ENTRIES_MAX];
    uint8_t details[RECORD_DETAILS_MAX];
    struct row *row = p->row;
    size_t count = gather(d, p, p->state == PUBLICATION_OWNED, entries), len;
    bool same = count == row->count && row->holder.state != HOLDER_IDLE;

    p->write_at = INSTANT_NEVER;
    for (size_t i = 0; i < count && same; i++)
        same = directory_entry_same(&entries[i], &row->entries[i]);
    if (!same) {
        len = directory_entries_write(entries, count, targets, details);
        if (holder_set_service(&row->holder, targets, count, (struct slice){ details, len }, now) == 0) {
            memcpy(row->entries, entries, count * sizeof(entries[0]));
            row->count = count;
        } else {
            p->write_at = now + LOOK_AGAIN; /* no memory */
        }
    }
    arm(d, p);
}

static void own(struct directory *d, struct publication *p, instant now)
{
    row_free(p);
    p->row = calloc(1, sizeof(*p->row));
    if (!p->row) {
        heap_set(&d->timers, &p->w.timer, now + LOOK_AGAIN);
        return;
    }
    holder_init(&p->row->holder, d->o.ed25519_seed, &d->o.tag, &p->tag, KIND_SERVICE_ROUTER, CLASS_FULL,
                DIRECTORY_LEASE_S, d->o.boot_epoch, (uint32_t)rng_u64(&d->o.rng));
    holder_set_floor(&p->row->holder, p->floor);
    p->state = PUBLICATION_OWNED;
    p->owner = 0;
    write_row(d, p, now);
    review_above(d, p, now);
}

static void leave(struct directory *d, struct publication *p, instant now)
{
    waiter_reset(d, &p->w);
    holder_on_failed(&p->row->holder, now); /* whatever was under way */
    p->state = PUBLICATION_LEAVING;
    p->leave_until = now + LEAVE_MAX;
    write_row(d, p, now);
    review_above(d, p, now);
}

/* --- what it finds --- */

/* Looks again, later each time. */
static void look_later(struct directory *d, struct publication *p, instant now)
{
    heap_set(&d->timers, &p->w.timer, now + directory_jitter(d, p->wait));
    p->wait = MIN(2 * p->wait, LOOK_EVERY);
}

static bool is_up(const struct directory *d, uint32_t gateway)
{
    const struct peer_at *p = directory_peer(d, gateway);

    return p && p->up;
}

static void member(struct directory *d, struct publication *p, const struct directory_entry *entries, size_t count,
                   instant now)
{
    const bool other = p->state != PUBLICATION_MEMBER || p->owner != entries[0].gateway;
    bool in = false;

    p->position = DIRECTORY_ENTRIES_MAX;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].gateway != d->o.self.gateway)
            continue;
        in = true;
        p->position = (unsigned)i;
    }
    row_free(p);
    p->state = PUBLICATION_MEMBER;
    p->owner = in || count < DIRECTORY_ENTRIES_MAX ? entries[0].gateway : 0;
    if (p->owner != 0)
        directory_link(d, &entries[0], LINKS_MAX, now);
    p->settled = p->owner == 0 || is_up(d, p->owner);
    if (other || p->settled)
        p->wait = LOOK_AGAIN;
    if (p->settled)
        heap_set(&d->timers, &p->w.timer, now + directory_jitter(d, LOOK_EVERY));
    else
        look_later(d, p, now);
    review_above(d, p, now);
}

void publication_on_found(struct directory *d, struct publication *p, enum resolver_outcome outcome,
                          struct slice record, instant now)
{
    struct directory_entry entries[DIRECTORY_ENTRIES_MAX] = { 0 };
    struct record_error why;
    struct record_bytes b;
    struct record r;
    int count = 0;

    if (outcome == RESOLVER_FAILED) {
        directory_keep_link(d, p->owner, now);
        look_later(d, p, now);
        return;
    }
    if (outcome == RESOLVER_FOUND && record_decode(record.data, record.len, &r, &b, &why) == 0) {
        p->floor = MAX(p->floor, r.seq);
        count = directory_entries_read(&r, entries);
        if (count < 0)
            d->stats.malformed++;
    }
    if (count <= 0 || entries[0].gateway == d->o.self.gateway) {
        own(d, p, now);
    } else if (directory_suspects(d, entries[0].gateway, now) && !p->yields) {
        d->stats.takeovers++;
        own(d, p, now);
    } else {
        member(d, p, entries, (size_t)count, now);
    }
}

/* Somebody else has written: *ret_seq; what we have said is not what is there. */
static bool is_conflict(struct slice answer, uint64_t *ret_seq)
{
    struct mapping_failure f = { 0 };
    struct mapping_answer a;

    if (!answer.data || mapping_answer_read(answer.data, answer.len, &a) < 0)
        return false;
    *ret_seq = a.seq;
    if (a.status == MAPPING_OLDER)
        return true;
    if (a.status != MAPPING_DONE || !mapping_next_failure(&a.items, &f))
        return false;
    *ret_seq = f.seq;
    return f.seq > 0;
}

size_t publication_output(struct directory *d, struct publication *p, uint8_t *out, instant now)
{
    size_t len = holder_output(&p->row->holder, now, out);

    arm(d, p);
    return len;
}

void publication_on_unsent(struct directory *d, struct publication *p, instant now)
{
    holder_on_failed(&p->row->holder, now);
    arm(d, p);
}

void publication_on_told(struct directory *d, struct publication *p, const uint8_t *answer, size_t len, instant now)
{
    struct holder *h = &p->row->holder;
    uint64_t newest = 0;

    if (is_conflict((struct slice){ answer, len }, &newest)) {
        d->stats.conflicts++;
        p->floor = MAX(p->floor, newest);
        if (p->state == PUBLICATION_LEAVING) {
            idle(d, p);
            publication_review(d, p, now);
            return;
        }
        p->yields |= h->state == HOLDER_REGISTERED;
        row_free(p);
        p->state = PUBLICATION_LOOKING;
        look(d, p);
        review_above(d, p, now);
        return;
    }
    if (answer)
        holder_on_answer(h, answer, len, now);
    else
        holder_on_failed(h, now);
    if (p->state == PUBLICATION_LEAVING && h->state == HOLDER_REGISTERED && h->has_told) {
        idle(d, p);
        publication_review(d, p, now);
    } else {
        arm(d, p);
    }
}

/* --- when --- */

void publication_review(struct directory *d, struct publication *p, instant now)
{
    bool due = is_due(d, p), moved = due && !directory_cell_equal(&p->cell, &d->cells[p->level]);

    switch (p->state) {
    case PUBLICATION_IDLE:
        if (due)
            begin(d, p, now);
        break;
    case PUBLICATION_OWNED:
        if (!due || moved)
            leave(d, p, now);
        break;
    case PUBLICATION_LEAVING: /* it begins again when that is over */
        break;
    default:
        if (due && !moved)
            break;
        idle(d, p);
        if (due)
            begin(d, p, now);
        break;
    }
}

void publication_on_time(struct directory *d, struct publication *p, instant now)
{
    switch (p->state) {
    case PUBLICATION_IDLE:
        publication_review(d, p, now);
        break;
    case PUBLICATION_LOOKING:
        look(d, p);
        break;
    case PUBLICATION_MEMBER:
        if (!p->settled && is_up(d, p->owner)) {
            p->settled = true;
            heap_set(&d->timers, &p->w.timer, now + directory_jitter(d, LOOK_EVERY));
        } else {
            look(d, p);
        }
        break;
    default:
        if (p->state == PUBLICATION_LEAVING && now >= p->leave_until) {
            idle(d, p);
            publication_review(d, p, now);
            break;
        }
        if (now >= p->write_at)
            write_row(d, p, now);
        if (holder_next_expiry(&p->row->holder) > now) {
            arm(d, p);
        } else { /* armed when it is popped */
            heap_set(&d->timers, &p->w.timer, INSTANT_NEVER);
            waiter_send(d, &p->w, true, false);
        }
        break;
    }
}

void publication_touch(struct directory *d, struct publication *p, instant now)
{
    if (p->state != PUBLICATION_OWNED || p->write_at != INSTANT_NEVER)
        return;
    p->write_at = now + WRITE_AFTER;
    arm(d, p);
}

void publication_on_lost(struct directory *d, struct publication *p, uint32_t gateway, instant now)
{
    publication_touch(d, p, now);
    if (p->state == PUBLICATION_MEMBER && p->owner == gateway)
        heap_set(&d->timers, &p->w.timer,
                 now + TAKE_OVER * MAX((span)p->position - 1, 0) + directory_jitter(d, TAKE_OVER));
}
