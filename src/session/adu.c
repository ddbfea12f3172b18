/* session/adu.c - see adu.h.
 *
 * Theory of operation. Units are numbered as they are sent; number modulo ADU_WINDOW finds them at both ends.
 *
 * Sending: a unit of which something is to be cut is in `ready`, by priority and then by number; one that is all in
 * flight is in `flying`. A path that asks gets a piece of the first ready unit that it serves: not one that would come
 * too late by it, nor, unless the scheduler would have it carry, anything but copies. A unit whose time is over is
 * dropped when it is seen, and the peer is told; what is all in flight then may have arrived in time, and its fate is
 * waited for. One that is still in flight when it is last of use to send it again goes once more by another path
 * ("deadline reinjection", after XLINK, SIGCOMM 2021), as long as such copies are within COPY_PERCENT of all that was
 * sent.
 *
 * Receiving: a unit has memory of its own from its first piece on. Whole ones go to `whole`, in which the reader finds
 * them, once all ordered units before are done with: received, dropped by their sender, or later than the lifetime of
 * one behind that is whole.
 *
 * Windows: the sender may begin units up to `limit_bytes` in total (its first unit may go beyond by ADU_LEN_MAX) and
 * below `limit_number`. The receiver counts what was begun by what it sees and is told, gives back what is done, and
 * refuses more.
 *
 * Limits: those of adu.h; RANGES_MAX holes in a unit, and in all together one for RANGE_BYTES of the window. */
#include "session/adu.h"

#include "base/list.h"
#include "base/ranges.h"

#include <errno.h>

#define BYTES_DEFAULT (8u << 20)
#define BYTES_MAX (64u << 20)
#define LOOK 32                  /* chosen: units that a path looks at before it goes away with nothing */
#define COPY_PERCENT 5           /* of bytes cut: XLINK published 2.1 % for its budget */
#define COPY_FREE 16384          /* bytes of copies beyond it: the first units of a session need them most */
#define COPY_MARGIN (5 * MSEC)   /* chosen: our timers and the peer's acknowledgement, both late */
#define KEEP_AFTER (1 * SEC)     /* chosen: what an incomplete unit may still be waited for; its sender knows better */
#define RANGE_BYTES 512          /* chosen: of the window, for each range of what came: a third of a record */
#define RELEASE_EARLY (1 * MSEC) /* chosen: so that what waited until its time is over is read within it */

struct out_unit {
    struct list link;
    uint64_t number;
    struct adu_spec spec;
    instant expires;
    uint32_t len, at;          /* all below `at` was cut */
    bool begun, hurried, gone; /* gone: dropped, and the peer is to be told */
    bool copied;
    uint32_t flying;   /* records of it whose fate is not known */
    uint8_t by, avoid; /* slots: of the piece cut last; by which a copy need not go, or NO_SLOT */
    instant answer_at; /* when that should have been acknowledged */
    struct ranges again, acked;
    uint8_t data[];
};

struct in_unit {
    struct list link;
    uint64_t number;
    instant expires;
    uint32_t len;
    bool unordered, whole;
    struct ranges have;
    uint8_t data[];
};

#define NO_SLOT UINT8_MAX

struct adus {
    int error;

    size_t send_bytes;
    struct out_unit *out[ADU_WINDOW];
    uint64_t out_next, out_floor; /* the next number; all below floor are done */
    struct list ready, flying, gone;
    struct ranges never; /* numbers of what was dropped before anything of it was sent: the peer is to be told */
    size_t queued_bytes;
    uint64_t waiting;       /* to be cut */
    uint64_t hurried_bytes; /* of what was to go by another path, too, whether it has or not: what is bounded */
    uint64_t begun_bytes, limit_bytes, limit_number;
    span other_way;     /* as the newest offer says */
    instant out_expiry; /* nothing is due before */

    size_t receive_bytes;
    struct in_unit *in[ADU_WINDOW];
    bool done[ADU_WINDOW];               /* finished with, while an earlier one is not */
    uint64_t in_floor, in_order, in_end; /* all below: done; given in order or passed; seen */
    struct list whole;                   /* for the reader */
    uint64_t whole_count;                /* in it */
    size_t kept_bytes, holes;            /* holes: ranges of all units that are not whole */
    uint64_t seen_bytes, done_bytes, said_bytes, said_number;
    instant in_expiry;

    struct adu_info info;
};

/* --- life --- */

static size_t buffer_size(size_t wanted)
{
    return CLAMP(wanted ? wanted : BYTES_DEFAULT, (size_t)ADU_BYTES_MIN, (size_t)BYTES_MAX);
}

struct adus *adus_new(const struct adu_options *o)
{
    struct adus *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->send_bytes = buffer_size(o->send_bytes);
    a->receive_bytes = buffer_size(o->receive_bytes);
    list_init(&a->ready);
    list_init(&a->flying);
    list_init(&a->gone);
    list_init(&a->whole);
    a->limit_bytes = a->said_bytes = ADU_BYTES_MIN;
    a->limit_number = a->said_number = ADU_WINDOW;
    a->out_expiry = a->in_expiry = INSTANT_NEVER;
    return a;
}

static void free_out(struct out_unit *u)
{
    if (!u)
        return;
    ranges_deinit(&u->again);
    ranges_deinit(&u->acked);
    free(u);
}

static void free_in(struct in_unit *u)
{
    if (!u)
        return;
    ranges_deinit(&u->have);
    free(u);
}

void adus_free(struct adus *a)
{
    if (!a)
        return;
    for (unsigned i = 0; i < ADU_WINDOW; i++) {
        free_out(a->out[i]);
        free_in(a->in[i]);
    }
    LIST_FOREACH_SAFE (u, &a->whole, struct in_unit, link)
        free_in(u);
    ranges_deinit(&a->never);
    free(a);
}

void adus_break(struct adus *a, int error)
{
    if (a->error == 0)
        a->error = error;
}

int adus_error(const struct adus *a)
{
    return a->error;
}

bool adus_has_begun(const struct adus *a)
{
    return a->begun_bytes > 0 || a->in_end > 0 || a->out_floor > 0;
}

/* --- sending: the application --- */

bool adus_has_room(const struct adus *a, size_t len)
{
    return !a->error && a->out_next - a->out_floor < ADU_WINDOW &&
           (a->queued_bytes == 0 || a->queued_bytes + len <= a->send_bytes);
}

bool adus_flushed(const struct adus *a)
{
    return a->out_floor == a->out_next && a->never.count == 0;
}

static struct out_unit *find_out(const struct adus *a, uint64_t number)
{
    struct out_unit *u = number >= a->out_floor && number < a->out_next ? a->out[number % ADU_WINDOW] : NULL;

    return u && !u->gone ? u : NULL;
}

static uint64_t to_cut(const struct out_unit *u)
{
    return u->len - u->at + u->again.sum;
}

/* Into `ready`, at its place: what is new goes to the end at once, what is lost is near the beginning. */
static void make_ready(struct adus *a, struct out_unit *u)
{
    struct list *at = a->ready.prev;

    for (; at != &a->ready; at = at->prev) {
        const struct out_unit *before = CONTAINER_OF(at, struct out_unit, link);

        if (before->spec.priority < u->spec.priority ||
            (before->spec.priority == u->spec.priority && before->number < u->number))
            break;
    }
    list_remove(&u->link);
    list_prepend(at, &u->link);
}

int adus_send(struct adus *a, const uint8_t *data, size_t len, const struct adu_spec *spec, instant now)
{
    struct out_unit *u;

    if (a->error)
        return a->error;
    if (len > ADU_LEN_MAX)
        return -EMSGSIZE;
    if (spec->lifetime < 0 || spec->lifetime > ADU_LEFT_MAX)
        return -EINVAL;
    if (!adus_has_room(a, len))
        return -EAGAIN;
    u = malloc(sizeof(*u) + len);
    if (!u)
        return -ENOMEM;
    *u = (struct out_unit){
        .number = a->out_next,
        .spec = *spec,
        .expires = spec->lifetime ? now + spec->lifetime : INSTANT_NEVER,
        .len = (uint32_t)len,
        .avoid = NO_SLOT,
    };
    if (len > 0)
        memcpy(u->data, data, len);
    list_init(&u->link);
    a->out[a->out_next++ % ADU_WINDOW] = u;
    make_ready(a, u);
    a->queued_bytes += len;
    a->waiting += len;
    a->out_expiry = instant_min(a->out_expiry, u->expires);
    return 0;
}

/* --- sending: the session --- */

/* It is done with; all below floor are. */
static void retire(struct adus *a, struct out_unit *u)
{
    a->waiting -= to_cut(u);
    a->queued_bytes -= u->len;
    list_remove(&u->link);
    a->out[u->number % ADU_WINDOW] = NULL;
    free_out(u);
    while (a->out_floor < a->out_next && !a->out[a->out_floor % ADU_WINDOW])
        a->out_floor++;
}

static void drop_out(struct adus *a, struct out_unit *u, uint64_t *counter)
{
    int r;

    (*counter)++;
    if (u->begun) {
        a->waiting -= to_cut(u);
        u->at = u->len;
        ranges_deinit(&u->again);
        u->gone = true;
        list_remove(&u->link);
        list_append(&a->gone, &u->link);
        return;
    }
    r = ranges_add(&a->never, u->number, u->number + 1);
    if (r < 0)
        adus_break(a, r);
    retire(a, u);
}

bool adus_pop_dropped(struct adus *a, uint64_t *ret_number, uint32_t *ret_count, uint32_t *ret_bytes)
{
    if (!list_empty(&a->gone)) {
        struct out_unit *u = LIST_FIRST(&a->gone, struct out_unit, link);

        *ret_number = u->number;
        *ret_count = 1;
        *ret_bytes = u->len;
        retire(a, u);
        return true;
    }
    if (a->never.count == 0 || a->never.items[0].from >= a->limit_number)
        return false;
    *ret_number = a->never.items[0].from;
    *ret_count = (uint32_t)MIN(MIN(a->never.items[0].to, a->limit_number) - *ret_number, (uint64_t)ADU_WINDOW);
    *ret_bytes = 0;
    ranges_remove_below(&a->never, *ret_number + *ret_count);
    return true;
}

/* In the windows. The first unit that is not done with may use ADU_LEN_MAX more, since all others may wait for it at
 * the receiver. Of the others one that must wait holds those behind it, or a large one would never go. */
static bool may_go(const struct adus *a, const struct out_unit *u, bool *held)
{
    uint64_t after = a->begun_bytes + u->len;

    if (u->begun)
        return true;
    if (u->number >= a->limit_number)
        return false;
    if (u->number == a->out_floor)
        return after <= a->limit_bytes + ADU_LEN_MAX;
    *held |= after > a->limit_bytes;
    return !*held;
}

/* The first unit that is not done with, if something is to be cut of it: it may stand far behind in `ready`. */
static struct out_unit *first_unit(const struct adus *a)
{
    struct out_unit *u = find_out(a, a->out_floor);

    return u && (!u->begun || to_cut(u) > 0) ? u : NULL;
}

bool adus_wants_send(const struct adus *a)
{
    const struct out_unit *first = first_unit(a);
    bool held = false;
    unsigned looks = 0;

    if (a->error)
        return false;
    LIST_FOREACH (u, &a->ready, struct out_unit, link) {
        if (may_go(a, u, &held))
            return true;
        looks += u->number < a->limit_number; /* the others are few, and wait for the peer */
        if (looks > LOOK)
            break;
    }
    return first && may_go(a, first, &held);
}

uint64_t adus_waiting(const struct adus *a)
{
    return a->waiting;
}

/* When what is still in flight should go by another path, too: it is last of use, and an answer is overdue. */
static instant copy_at(const struct adus *a, const struct out_unit *u)
{
    return MAX(u->expires - a->other_way - COPY_MARGIN, u->answer_at);
}

static bool may_copy(const struct adus *a, const struct out_unit *u)
{
    return a->other_way > 0 && u->answer_at + a->other_way < u->expires && !u->hurried && !u->spec.unreliable &&
           u->expires != INSTANT_NEVER &&
           a->hurried_bytes + u->len - u->acked.sum <= a->info.cut_bytes * COPY_PERCENT / 100 + COPY_FREE;
}

static void cut_from(struct adus *a, struct out_unit *u, const struct adu_offer *o, struct piece *ret)
{
    const uint32_t most = (uint32_t)o->most;

    *ret = (struct piece){ .number = u->number, .unit_len = u->len, .unordered = u->spec.unordered };
    if (u->again.count > 0) {
        ret->offset = (uint32_t)u->again.items[0].from;
        ret->len = (uint32_t)MIN(u->again.items[0].to - ret->offset, most);
        ranges_remove_below(&u->again, ret->offset + ret->len);
    } else {
        ret->offset = u->at;
        ret->len = (uint32_t)MIN(u->len - u->at, most);
        u->at += ret->len;
    }
    if (!u->begun)
        a->begun_bytes += u->len;
    u->begun = true;
    u->flying++;
    u->by = (uint8_t)o->slot;
    a->waiting -= ret->len;
    a->info.cut_bytes += ret->len;
    a->info.copied_bytes += u->avoid != NO_SLOT ? ret->len : 0;
    if (to_cut(u) > 0)
        return;
    u->avoid = NO_SLOT;
    list_remove(&u->link);
    list_append(&a->flying, &u->link);
    if (may_copy(a, u))
        a->out_expiry = instant_min(a->out_expiry, copy_at(a, u));
}

static uint16_t left_ms(const struct out_unit *u, span way, instant now)
{
    if (u->expires == INSTANT_NEVER)
        return ADU_LEFT_NEVER;
    return (uint16_t)CLAMP((u->expires - now - way) / MSEC, 0, ADU_LEFT_NEVER - 1);
}

/* How long all paths are busy with what is not cut of it. */
static span rest(const struct out_unit *u, uint64_t bps)
{
    return bps > 0 ? (span)(to_cut(u) * 8 * SEC / bps) : 0;
}

static bool is_in_time(const struct out_unit *u, span way, instant now)
{
    return u->expires == INSTANT_NEVER || now + way <= u->expires;
}

static bool cut_if(struct adus *a, struct out_unit *u, const struct adu_offer *o, bool *held, struct piece *ret,
                   instant now)
{
    if (!may_go(a, u, held) || (u->avoid == o->slot && o->other > 0) ||
        (o->only_copies && u->avoid == NO_SLOT && is_in_time(u, o->preferred, now)) ||
        (o->only_timed && u->expires == INSTANT_NEVER) || !is_in_time(u, o->way, now))
        return false;
    u->answer_at = now + o->answer;
    cut_from(a, u, o, ret);
    ret->left_ms = left_ms(u, o->way, now);
    return true;
}

bool adus_cut(struct adus *a, const struct adu_offer *o, struct piece *ret, instant now)
{
    struct out_unit *first;
    bool held = false;
    unsigned looks = 0;

    a->other_way = o->other;
    if (a->error || o->most == 0)
        return false;
    LIST_FOREACH_SAFE (u, &a->ready, struct out_unit, link) {
        if (!is_in_time(u, o->least + rest(u, o->bps), now)) {
            drop_out(a, u, &a->info.expired);
            continue;
        }
        if (cut_if(a, u, o, &held, ret, now))
            return true;
        looks += u->number < a->limit_number;
        if (looks > LOOK)
            break;
    }
    first = first_unit(a);
    return first && cut_if(a, first, o, &held, ret, now);
}

bool adus_copy(const struct adus *a, const struct piece *p, uint8_t *out)
{
    const struct out_unit *u = find_out(a, p->number);

    if (u && p->len > 0)
        memcpy(out, u->data + p->offset, p->len);
    return u != NULL;
}

struct adu_use adus_use_of(const struct adus *a, const struct piece *p)
{
    const struct out_unit *u = find_out(a, p->number);

    return (struct adu_use){ .until = u ? u->expires : INSTANT_NEVER, .once = u && u->spec.unreliable };
}

void adus_on_copied(struct adus *a, const struct piece *p)
{
    struct out_unit *u = find_out(a, p->number);

    if (!u)
        return;
    u->copied = true;
    u->flying++;
}

/* What is lost of an unreliable unit may come by a copy, as long as one is under way. */
static void drop_if_lost(struct adus *a, struct out_unit *u)
{
    if (u->spec.unreliable && (!u->copied || (u->flying == 0 && to_cut(u) == 0)))
        drop_out(a, u, &a->info.lost);
}

void adus_on_forgotten(struct adus *a, const struct piece *p)
{
    struct out_unit *u = find_out(a, p->number);

    if (!u)
        return;
    u->flying--;
    if (u->copied && u->flying == 0)
        drop_if_lost(a, u);
}

void adus_on_acked(struct adus *a, const struct piece *p)
{
    struct out_unit *u = find_out(a, p->number);
    uint64_t before;

    if (!u)
        return;
    u->flying--;
    before = to_cut(u);
    (void)!ranges_remove(&u->again, p->offset, p->offset + p->len); /* what stays goes once more than it had to */
    a->waiting -= before - to_cut(u);
    if (ranges_add(&u->acked, p->offset, p->offset + p->len) < 0) {
        u->flying++; /* its one fate is that */
        adus_on_lost(a, p);
        return;
    }
    if (u->acked.sum == u->len) {
        a->info.arrived++;
        retire(a, u);
    } else if (to_cut(u) == 0) {
        list_remove(&u->link);
        list_append(&a->flying, &u->link);
        if (u->copied && u->flying == 0)
            drop_if_lost(a, u);
    }
}

/* What of from..to was not acknowledged is to be cut again. 0 or negative. */
static int cut_again(struct adus *a, struct out_unit *u, uint64_t from, uint64_t to)
{
    uint64_t before = u->again.sum;
    int r = 0;

    for (size_t i = ranges_find(&u->acked, from); r == 0 && from < to; i++) {
        bool last = i == u->acked.count;
        uint64_t end = last ? to : MIN(to, MAX(from, u->acked.items[i].from));

        r = ranges_add(&u->again, from, end);
        from = last ? to : MAX(from, u->acked.items[i].to);
    }
    a->waiting += u->again.sum - before;
    return r;
}

void adus_on_lost(struct adus *a, const struct piece *p)
{
    struct out_unit *u = find_out(a, p->number);
    int r;

    if (!u)
        return;
    u->flying--;
    if (u->spec.unreliable) {
        drop_if_lost(a, u);
        return;
    }
    r = cut_again(a, u, p->offset, (uint64_t)p->offset + p->len);
    if (r < 0) {
        adus_break(a, r);
        return;
    }
    u->avoid = NO_SLOT;
    u->begun = u->len > 0; /* an empty one begins anew */
    if (to_cut(u) > 0 || !u->begun)
        make_ready(a, u);
    a->out_expiry = instant_min(a->out_expiry, u->expires);
}

void adus_on_limit(struct adus *a, uint64_t bytes, uint64_t number)
{
    a->limit_bytes = MAX(a->limit_bytes, bytes);
    a->limit_number = MAX(a->limit_number, number);
}

/* --- receiving --- */

/* number is done with: given to the reader or given up. bytes: of the window, that it gives back. */
static void finish(struct adus *a, uint64_t number, uint32_t bytes)
{
    a->done_bytes += bytes;
    a->in[number % ADU_WINDOW] = NULL;
    a->done[number % ADU_WINDOW] = true;
    while (a->done[a->in_floor % ADU_WINDOW])
        a->done[a->in_floor++ % ADU_WINDOW] = false;
    a->in_order = MAX(a->in_order, a->in_floor);
}

/* Whole and in order: the reader finds it. Its bytes are given back when he has taken it. */
static void give(struct adus *a, struct in_unit *u)
{
    list_append(&a->whole, &u->link);
    a->whole_count++;
    a->holes -= u->have.count;
    ranges_deinit(&u->have);
    finish(a, u->number, 0);
}

static void give_up(struct adus *a, struct in_unit *u)
{
    uint64_t number = u->number;
    uint32_t len = u->len;

    a->kept_bytes -= len;
    a->holes -= u->have.count;
    a->info.missed++;
    free_in(u);
    finish(a, number, len);
}

/* Gives ordered units as far as nothing is missing before them. */
static void advance(struct adus *a)
{
    while (a->in_order < a->in_end) {
        struct in_unit *u = a->in[a->in_order % ADU_WINDOW];

        if (u ? !u->unordered && !u->whole : !a->done[a->in_order % ADU_WINDOW])
            return;
        a->in_order++;
        if (u && u->whole)
            give(a, u);
    }
}

/* Everything ordered below `to` is given or given up: nothing before `to` is waited for any more. */
static void pass(struct adus *a, uint64_t to)
{
    while (a->in_order < to) {
        struct in_unit *u = a->in[a->in_order++ % ADU_WINDOW];

        if (!u || u->unordered) /* one that was never seen is refused by its number, should it come */
            continue;
        if (u->whole)
            give(a, u);
        else
            give_up(a, u);
    }
    advance(a);
}

/* When something must be done about it. */
static instant due_at(const struct in_unit *u)
{
    if (u->expires == INSTANT_NEVER)
        return INSTANT_NEVER;
    return u->whole ? u->expires - RELEASE_EARLY : u->expires + KEEP_AFTER;
}

static void expire_in(struct adus *a, instant now)
{
    uint64_t to = 0;

    for (uint64_t n = a->in_floor; n < a->in_end; n++) {
        struct in_unit *u = a->in[n % ADU_WINDOW];

        if (!u || now < due_at(u))
            continue;
        if (u->whole)
            to = n + 1;
        else if (now >= u->expires + KEEP_AFTER)
            give_up(a, u);
    }
    if (to > a->in_order)
        pass(a, to);
    advance(a);
    a->in_expiry = INSTANT_NEVER;
    for (uint64_t n = a->in_floor; n < a->in_end; n++) {
        const struct in_unit *u = a->in[n % ADU_WINDOW];

        if (u)
            a->in_expiry = instant_min(a->in_expiry, due_at(u));
    }
}

static struct in_unit *begin(struct adus *a, const struct piece *p, instant now)
{
    struct in_unit *u = malloc(sizeof(*u) + p->unit_len);

    if (!u)
        return NULL;
    *u = (struct in_unit){ .number = p->number, .len = p->unit_len, .unordered = p->unordered };
    u->expires = p->left_ms == ADU_LEFT_NEVER ? INSTANT_NEVER : now + p->left_ms * MSEC;
    list_init(&u->link);
    a->in[p->number % ADU_WINDOW] = u;
    a->in_end = MAX(a->in_end, p->number + 1);
    a->seen_bytes += p->unit_len;
    a->kept_bytes += p->unit_len;
    a->in_expiry = instant_min(a->in_expiry, due_at(u));
    return u;
}

int adus_on_piece(struct adus *a, const struct piece *p, const uint8_t *bytes, instant now)
{
    struct in_unit *u;
    int r;

    if (a->error)
        return 0;
    if (p->number >= a->said_number || p->unit_len > ADU_LEN_MAX || p->offset > p->unit_len ||
        p->len > p->unit_len - p->offset || (p->len == 0 && p->unit_len > 0))
        return -EPROTO;
    if (p->number < a->in_floor)
        return 0;
    u = a->in[p->number % ADU_WINDOW];
    if (a->done[p->number % ADU_WINDOW])
        return 0;
    if (!u && a->seen_bytes + p->unit_len > a->said_bytes + ADU_LEN_MAX)
        return -EPROTO;
    if (!u && !p->unordered && p->number < a->in_order) { /* those behind it were given already */
        a->seen_bytes += p->unit_len;
        a->info.missed++;
        finish(a, p->number, p->unit_len);
        return 0;
    }
    if (!u)
        u = begin(a, p, now);
    if (!u)
        return -ENOMEM;
    if (u->len != p->unit_len || u->unordered != p->unordered)
        return -EPROTO;
    if (u->whole)
        return 0;
    if (p->left_ms != ADU_LEFT_NEVER) /* the piece that was fastest knows best */
        u->expires = instant_min(u->expires, now + p->left_ms * MSEC);
    a->holes -= u->have.count;
    r = ranges_add(&u->have, p->offset, (uint64_t)p->offset + p->len);
    a->holes += u->have.count;
    if (r < 0 || a->holes > ADU_WINDOW + a->receive_bytes / RANGE_BYTES)
        return r < 0 ? r : -ENOSPC;
    if (p->len > 0)
        memcpy(u->data + p->offset, bytes, p->len);
    u->whole = u->have.sum == u->len;
    if (!u->whole)
        return 0;
    a->in_expiry = instant_min(a->in_expiry, due_at(u));
    if (u->unordered)
        give(a, u);
    advance(a);
    return 0;
}

static int on_one_dropped(struct adus *a, uint64_t number, uint32_t bytes)
{
    struct in_unit *u = a->in[number % ADU_WINDOW];

    if (number < a->in_floor || a->done[number % ADU_WINDOW] || (u && u->whole))
        return 0;
    if (u) {
        give_up(a, u);
        return 0;
    }
    if (a->seen_bytes + bytes > a->said_bytes + ADU_LEN_MAX)
        return -EPROTO;
    a->seen_bytes += bytes;
    a->in_end = MAX(a->in_end, number + 1);
    a->info.missed++;
    finish(a, number, bytes);
    return 0;
}

int adus_on_dropped(struct adus *a, uint64_t number, uint32_t count, uint32_t bytes)
{
    int r = 0;

    if (number >= a->said_number || count == 0 || count > a->said_number - number || bytes > ADU_LEN_MAX ||
        (count > 1 && bytes > 0))
        return -EPROTO;
    for (uint64_t n = MAX(number, a->in_floor); r == 0 && n < number + count && !a->error; n++)
        r = on_one_dropped(a, n, bytes);
    advance(a);
    return r;
}

bool adus_is_waiting(const struct adus *a)
{
    return a->in_floor < a->in_end;
}

bool adus_receivable(const struct adus *a)
{
    return !list_empty(&a->whole) || a->error;
}

int64_t adus_receive(struct adus *a, uint8_t *buf, size_t max, struct adu_received *ret, instant now)
{
    struct in_unit *u;
    int64_t len;

    if (list_empty(&a->whole))
        return a->error ? a->error : -EAGAIN;
    u = LIST_FIRST(&a->whole, struct in_unit, link);
    *ret = (struct adu_received){ .number = u->number, .len = u->len, .unordered = u->unordered };
    ret->left = u->expires == INSTANT_NEVER ? INSTANT_NEVER : u->expires - now;
    if (u->len > max)
        return -EMSGSIZE;
    len = u->len;
    if (len > 0)
        memcpy(buf, u->data, u->len);
    list_remove(&u->link);
    a->whole_count--;
    a->kept_bytes -= u->len;
    a->done_bytes += u->len;
    a->info.received++;
    free_in(u);
    return len;
}

bool adus_pop_limit(struct adus *a, uint64_t *ret_bytes, uint64_t *ret_number)
{
    uint64_t bytes = a->done_bytes + a->receive_bytes,
             number = MAX(a->in_floor + ADU_WINDOW - a->whole_count, a->said_number);

    /* Each quarter of a window, as delivery.c. */
    if (bytes - a->said_bytes < a->receive_bytes / 4 && number - a->said_number < ADU_WINDOW / 4)
        return false;
    a->said_bytes = MAX(a->said_bytes, bytes);
    a->said_number = number;
    *ret_bytes = a->said_bytes;
    *ret_number = number;
    return true;
}

/* --- time --- */

instant adus_next_expiry(const struct adus *a)
{
    return a->error ? INSTANT_NEVER : instant_min(a->out_expiry, a->in_expiry);
}

static void hurry(struct adus *a, struct out_unit *u)
{
    u->hurried = true;
    u->avoid = u->by;
    a->hurried_bytes += u->len - u->acked.sum;
    if (cut_again(a, u, 0, u->len) == 0 && to_cut(u) > 0)
        make_ready(a, u);
}

static void expire_out(struct adus *a, instant now)
{
    a->out_expiry = INSTANT_NEVER;
    LIST_FOREACH_SAFE (u, &a->flying, struct out_unit, link) {
        if (now >= u->expires || !may_copy(a, u))
            continue;
        if (now >= copy_at(a, u))
            hurry(a, u);
        else
            a->out_expiry = instant_min(a->out_expiry, copy_at(a, u));
    }
    LIST_FOREACH_SAFE (u, &a->ready, struct out_unit, link) {
        if (u->expires <= now)
            drop_out(a, u, &a->info.expired);
        else
            a->out_expiry = instant_min(a->out_expiry, u->expires);
    }
}

void adus_on_expiry(struct adus *a, instant now)
{
    if (a->error)
        return;
    if (now >= a->out_expiry)
        expire_out(a, now);
    if (now >= a->in_expiry)
        expire_in(a, now);
}

void adus_info(const struct adus *a, struct adu_info *ret)
{
    *ret = a->info;
    ret->sent = a->out_next;
    ret->queued_bytes = a->queued_bytes;
    ret->kept_bytes = a->kept_bytes;
}
