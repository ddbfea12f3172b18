/* session/delivery.c - see delivery.h.
 *
 * Theory of operation. Each direction is a ring of bytes, indexed by their place in the stream, that doubles when more
 * must be kept and goes when nothing is.
 *
 * Sending: `acked` <= what was cut <= `written`. Places that were acknowledged above `acked` are in acked_above, places
 * to be cut again in `lost`. A chunk that was taken for lost and arrives after all has its fate told once, as lost, and
 * its bytes are cut again: that costs bytes, no more. A place is acknowledged by whichever of its chunks is.
 *
 * Receiving: `read` <= `received` without a hole. `unread` are the ranges that are there and were not given to the
 * reader. An unordered reader takes the lowest of them; what he took above `read` is in taken_above, and `read` follows
 * when the hole below is filled and read.
 *
 * Limits: places of 48 bits; RANGES_MAX holes. Sources: as delivery.h; the window is RFC 9000 section 4.1's. */
#include "session/delivery.h"

#include "base/bytes.h"
#include "base/ranges.h"
#include "wire/places.h"

#include <errno.h>

struct delivery {
    bool unordered, lingers;
    bool in_used, out_used; /* since delivery_trim */
    int error;

    struct bytes out;
    uint64_t written, cut, acked, limit;
    bool finished, last_due, last_acked; /* last_due: the end is to be said, again perhaps */
    struct ranges acked_above, lost;
    uint64_t resent;

    struct bytes in;
    size_t window;
    uint64_t read, limit_said;
    bool has_end;
    uint64_t end;
    struct ranges unread, taken_above;
};

/* --- rings --- */

/* Small ones stay: they come and go with every message. */
static void let_go(struct bytes *b)
{
    if (b->capacity > BYTES_MIN)
        bytes_let_go(b);
}

/* Everything below `to` is done: with it what of `above` goes on from there. How far that is. */
static uint64_t follow(struct ranges *above, uint64_t to)
{
    ranges_remove_below(above, to);
    if (above->count > 0 && above->items[0].from == to)
        to = above->items[0].to;
    ranges_remove_below(above, to);
    return to;
}

/* --- life --- */

static size_t buffer_size(size_t wanted)
{
    return bytes_round_down(
        CLAMP(wanted ? wanted : DELIVERY_BUFFER_DEFAULT, (size_t)DELIVERY_WINDOW_INITIAL, (size_t)DELIVERY_BUFFER_MAX));
}

struct delivery *delivery_new(const struct delivery_options *o)
{
    struct delivery *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->unordered = o->unordered;
    d->lingers = o->lingers;
    d->out.capacity_max = buffer_size(o->send_bytes);
    d->in.capacity_max = buffer_size(o->receive_bytes);
    d->window = o->narrow ? DELIVERY_WINDOW_INITIAL : d->in.capacity_max;
    d->limit = DELIVERY_WINDOW_INITIAL;
    d->limit_said = DELIVERY_WINDOW_INITIAL;
    return d;
}

void delivery_free(struct delivery *d)
{
    if (!d)
        return;
    bytes_let_go(&d->out);
    bytes_let_go(&d->in);
    ranges_deinit(&d->acked_above);
    ranges_deinit(&d->lost);
    ranges_deinit(&d->unread);
    ranges_deinit(&d->taken_above);
    free(d);
}

void delivery_rest(struct delivery *d)
{
    if (d->acked == d->written)
        bytes_let_go(&d->out);
    if (d->unread.count == 0 && d->taken_above.count == 0)
        bytes_let_go(&d->in);
}

void delivery_trim(struct delivery *d)
{
    if (!d->in_used && d->unread.count == 0 && d->taken_above.count == 0)
        let_go(&d->in);
    if (!d->out_used && d->acked == d->written)
        let_go(&d->out);
    d->in_used = d->out_used = false;
}

bool delivery_has_begun(const struct delivery *d)
{
    return d->cut > 0 || d->last_acked || d->limit_said != DELIVERY_WINDOW_INITIAL || d->read > 0 || d->has_end ||
           d->limit != DELIVERY_WINDOW_INITIAL || d->unread.count > 0;
}

void delivery_break(struct delivery *d, int error)
{
    if (d->error == 0)
        d->error = error;
}

int delivery_error(const struct delivery *d)
{
    return d->error;
}

/* --- the application --- */

size_t delivery_room(const struct delivery *d)
{
    uint64_t room = d->out.capacity_max - (d->written - d->acked);

    return d->finished || d->error ? 0 : (size_t)MIN(room, DELIVERY_END_MAX - d->written);
}

int64_t delivery_write(struct delivery *d, const uint8_t *data, size_t len)
{
    size_t n = MIN(len, delivery_room(d));
    int r;

    if (d->error || d->finished)
        return d->error ? d->error : -EPIPE;
    if (n == 0)
        return 0;
    d->out_used = true;
    r = bytes_hold(&d->out, d->acked, d->written, d->written + n);
    if (r < 0)
        return r;
    bytes_put(&d->out, d->written, data, n);
    d->written += n;
    return (int64_t)n;
}

void delivery_finish(struct delivery *d)
{
    d->last_due |= !d->finished;
    d->finished = true;
}

bool delivery_flushed(const struct delivery *d)
{
    return d->acked == d->written && (!d->finished || d->last_acked);
}

bool delivery_at_end(const struct delivery *d)
{
    return d->has_end && d->read == d->end;
}

static bool has_bytes(const struct delivery *d)
{
    return d->unread.count > 0 && (d->unordered || d->unread.items[0].from == d->read);
}

bool delivery_readable(const struct delivery *d)
{
    return has_bytes(d) || delivery_at_end(d) || d->error;
}

/* The reader has taken from..to. */
static void take(struct delivery *d, uint64_t from, uint64_t to)
{
    /* Neither can fail but when an unordered reader leaves thousands of holes: then the bytes are given again, with
     * their place. */
    if (from > d->read && ranges_add(&d->taken_above, from, to) < 0)
        return;
    (void)!ranges_remove(&d->unread, from, to); /* from the start of a range: never in two */
    if (from > d->read)
        return;
    d->read = follow(&d->taken_above, to);
    if (!d->lingers && d->unread.count == 0 && d->taken_above.count == 0)
        let_go(&d->in);
}

int64_t delivery_read(struct delivery *d, uint8_t *buf, size_t max, uint64_t *ret_at)
{
    struct range r;
    size_t n;

    if (!has_bytes(d))
        return delivery_at_end(d) ? 0 : d->error;
    r = d->unread.items[0];
    n = (size_t)MIN((uint64_t)max, r.to - r.from);
    bytes_get(&d->in, r.from, buf, n);
    if (ret_at)
        *ret_at = r.from;
    take(d, r.from, r.from + n);
    return (int64_t)n;
}

struct slice delivery_peek(const struct delivery *d)
{
    struct slice s[2];
    size_t n = 0;

    if (has_bytes(d))
        n = bytes_slices(&d->in, d->read, (size_t)(d->unread.items[0].to - d->read), s);
    return n > 0 ? s[0] : (struct slice){ 0 };
}

void delivery_consume(struct delivery *d, size_t len)
{
    if (len > 0)
        take(d, d->read, d->read + len);
}

/* --- out --- */

static uint64_t sendable(const struct delivery *d)
{
    uint64_t most = MIN(d->written, d->limit);

    return most > d->cut ? most - d->cut : 0;
}

bool delivery_wants_send(const struct delivery *d)
{
    return !d->error && (d->lost.count > 0 || sendable(d) > 0 || (d->last_due && d->cut == d->written));
}

bool delivery_is_blocked(const struct delivery *d)
{
    return !d->error && d->lost.count == 0 && d->written > d->limit && d->cut == d->limit && d->acked < d->cut;
}

uint64_t delivery_window(const struct delivery *d)
{
    return d->limit > d->acked ? d->limit - d->acked : 0;
}

uint64_t delivery_waiting(const struct delivery *d)
{
    return d->lost.sum + sendable(d);
}

uint64_t delivery_lost(const struct delivery *d)
{
    return d->lost.sum;
}

static bool is_last(const struct delivery *d, uint64_t to)
{
    return d->finished && to == d->written;
}

static void cut_fresh(struct delivery *d, size_t max, struct chunk *ret)
{
    uint64_t n = MIN(sendable(d), (uint64_t)max);

    *ret = (struct chunk){ .at = d->cut, .len = (uint32_t)n, .last = is_last(d, d->cut + n) };
    d->cut += n;
}

bool delivery_cut(struct delivery *d, size_t max, struct chunk *ret)
{
    uint64_t n;

    if (!delivery_wants_send(d) || max == 0)
        return false;
    if (d->lost.count > 0) {
        struct range r = d->lost.items[0];

        n = MIN(r.to - r.from, (uint64_t)max);
        ranges_remove_below(&d->lost, r.from + n);
        d->resent += n;
        *ret = (struct chunk){ .at = r.from, .len = (uint32_t)n, .last = is_last(d, r.from + n) };
    } else {
        cut_fresh(d, max, ret);
    }
    d->last_due &= !ret->last;
    return true;
}

bool delivery_cut_fresh(struct delivery *d, size_t max, struct chunk *ret)
{
    if (d->error || sendable(d) == 0 || max == 0)
        return false;
    cut_fresh(d, max, ret);
    d->last_due &= !ret->last;
    return true;
}

bool delivery_copy(const struct delivery *d, const struct chunk *c, uint8_t *out)
{
    if (c->len > 0 && c->at < d->acked)
        return false; /* its place may hold other bytes by now */
    if (c->len > 0)
        bytes_get(&d->out, c->at, out, c->len);
    return true;
}

void delivery_on_acked(struct delivery *d, const struct chunk *c)
{
    uint64_t to = c->at + c->len;

    d->last_acked |= c->last;
    d->last_due &= !d->last_acked;
    if (to <= d->acked)
        return;
    (void)!ranges_remove(&d->lost, c->at, to); /* what stays goes once more than it had to */
    if (c->at > d->acked) {
        /* If it cannot be remembered, it is as if it had been lost. */
        if (ranges_add(&d->acked_above, c->at, to) < 0)
            delivery_on_lost(d, c);
        return;
    }
    d->acked = follow(&d->acked_above, to);
    ranges_remove_below(&d->lost, d->acked);
    if (!d->lingers && d->acked == d->written)
        let_go(&d->out);
}

void delivery_on_lost(struct delivery *d, const struct chunk *c)
{
    uint64_t from = MAX(c->at, d->acked), to = c->at + c->len;

    d->last_due |= c->last && !d->last_acked;
    /* What is in between may have come by other chunks. */
    for (size_t i = ranges_find(&d->acked_above, from); from < to; i++) {
        uint64_t end = i < d->acked_above.count ? MIN(to, MAX(from, d->acked_above.items[i].from)) : to;

        if (ranges_add(&d->lost, from, end) < 0) {
            delivery_break(d, -ENOMEM);
            return;
        }
        if (i == d->acked_above.count)
            break;
        from = MAX(from, d->acked_above.items[i].to);
    }
}

void delivery_on_limit(struct delivery *d, uint64_t limit)
{
    d->limit = MAX(d->limit, limit);
}

/* --- in --- */

int delivery_on_chunk(struct delivery *d, const struct chunk *c, const uint8_t *bytes)
{
    uint64_t from = c->at, to = c->at + c->len;
    uint64_t used = d->unread.count > 0 ? d->unread.items[d->unread.count - 1].to : d->read;
    int r;

    if (to > d->limit_said || (d->has_end && (to > d->end || (c->last && to != d->end))))
        return -EPROTO;
    if (c->last && !d->has_end) {
        if (used > to || d->read > to ||
            (d->taken_above.count > 0 && d->taken_above.items[d->taken_above.count - 1].to > to))
            return -EPROTO;
        d->has_end = true;
        d->end = to;
    }
    from = MAX(from, d->read);
    if (from >= to || d->error)
        return 0;
    d->in_used = true;
    r = bytes_hold(&d->in, d->read, used, to);
    if (r == 0)
        r = ranges_add(&d->unread, from, to);
    /* An unordered reader has some of it already. */
    for (size_t i = ranges_find(&d->taken_above, from);
         r == 0 && i < d->taken_above.count && d->taken_above.items[i].from < to; i++)
        r = ranges_remove(&d->unread, d->taken_above.items[i].from, d->taken_above.items[i].to);
    if (r == 0)
        bytes_put(&d->in, from, bytes + (from - c->at), (size_t)(to - from));
    return r;
}

bool delivery_widen(struct delivery *d)
{
    bool wider = d->window < d->in.capacity_max;

    d->window = MIN(2 * d->window, d->in.capacity_max);
    return wider;
}

bool delivery_pop_limit(struct delivery *d, uint64_t *ret)
{
    uint64_t limit = MIN(d->read + d->window, DELIVERY_END_MAX);

    /* Each quarter of the window: the peer hears of it a round trip before it has to stop. */
    if (d->has_end || limit - d->limit_said < (d->limit_said < d->window ? 1 : d->window / 4))
        return false;
    d->limit_said = limit;
    *ret = limit;
    return true;
}

void delivery_info(const struct delivery *d, struct delivery_info *ret)
{
    *ret = (struct delivery_info){
        .written = d->written,
        .sent = d->cut,
        .acked = d->acked,
        .read = d->read,
        .received = d->unread.count > 0 && d->unread.items[0].from == d->read ? d->unread.items[0].to : d->read,
        .resent = d->resent,
        .finished = d->finished,
        .send_max = d->out.capacity_max,
        .holes = d->unread.count,
        .send_limit = d->limit,
        .window = d->window,
        .buffered_tx = d->out.capacity,
        .buffered_rx = d->in.capacity,
    };
}

/* --- to a successor --- */

enum saved_flag { SAVED_FINISHED = 1, SAVED_LAST_ACKED = 2, SAVED_HAS_END = 4 };

void delivery_save(const struct delivery *d, struct writer *w)
{
    write_u8(w, (uint8_t)((d->finished ? SAVED_FINISHED : 0) | (d->last_acked ? SAVED_LAST_ACKED : 0) |
                          (d->has_end ? SAVED_HAS_END : 0)));
    write_u64(w, d->acked);
    write_u64(w, d->written);
    write_u64(w, d->limit);
    write_u64(w, d->read);
    write_u64(w, d->limit_said);
    write_u64(w, d->end);
    write_u64(w, d->window);
    write_u32(w, (uint32_t)d->unread.count);
    places_write(w, &d->out, d->acked, d->written);
    for (size_t i = 0; i < d->unread.count; i++) {
        write_u64(w, d->unread.items[i].from);
        write_u64(w, d->unread.items[i].to);
        places_write(w, &d->in, d->unread.items[i].from, d->unread.items[i].to);
    }
}

static bool saved_is_possible(const struct delivery *d, uint8_t flags, uint64_t window)
{
    return flags <= (SAVED_FINISHED | SAVED_LAST_ACKED | SAVED_HAS_END) && (d->finished || !d->last_acked) &&
           d->acked <= d->written && d->written <= DELIVERY_END_MAX && d->written - d->acked <= d->out.capacity_max &&
           d->limit <= DELIVERY_END_MAX && d->limit >= DELIVERY_WINDOW_INITIAL && d->read <= d->limit_said &&
           d->limit_said <= DELIVERY_END_MAX && d->limit_said - d->read <= d->in.capacity_max &&
           window >= DELIVERY_WINDOW_INITIAL && window <= d->in.capacity_max && (window & (window - 1)) == 0 &&
           (d->has_end ? d->end >= d->read && d->end <= d->limit_said : d->end == 0);
}

static int restore_unread(struct delivery *d, size_t count, struct reader *r)
{
    uint64_t used = d->read;
    int rc = count <= RANGES_MAX ? 0 : -EPROTO;

    for (size_t i = 0; i < count && rc == 0; i++) {
        uint64_t from = read_u64(r), to = read_u64(r);

        /* In order, and none touches the one before. */
        if (r->failed || from >= to || (i == 0 ? from < used : from <= used) ||
            to > (d->has_end ? d->end : d->limit_said))
            return -EPROTO;
        rc = places_read(r, &d->in, d->read, used, from, to);
        if (rc == 0)
            rc = ranges_add(&d->unread, from, to);
        used = to;
    }
    return rc;
}

int delivery_restore(struct delivery *d, struct reader *r)
{
    uint8_t flags = read_u8(r);
    uint64_t window;
    size_t count;
    int rc;

    d->finished = flags & SAVED_FINISHED;
    d->last_acked = flags & SAVED_LAST_ACKED;
    d->has_end = flags & SAVED_HAS_END;
    d->acked = d->cut = read_u64(r);
    d->written = read_u64(r);
    d->limit = read_u64(r);
    d->read = read_u64(r);
    d->limit_said = read_u64(r);
    d->end = read_u64(r);
    window = read_u64(r);
    count = read_u32(r);
    if (r->failed || !saved_is_possible(d, flags, window))
        return -EPROTO;
    d->window = (size_t)window;
    d->last_due = d->finished && !d->last_acked;
    rc = places_read(r, &d->out, d->acked, d->acked, d->acked, d->written);
    return rc < 0 ? rc : restore_unread(d, count, r);
}

uint64_t delivery_resume(struct delivery *d)
{
    const struct chunk all = { .at = d->acked, .len = (uint32_t)(d->cut - d->acked), .last = d->finished };

    delivery_on_lost(d, &all);
    return d->limit_said;
}

bool delivery_conclude(struct delivery *d)
{
    bool complete = d->has_end && (d->read == d->end || (d->unread.count == 1 && d->unread.items[0].from == d->read &&
                                                         d->unread.items[0].to == d->end));

    if (!d->finished || !complete)
        return false;
    d->acked = d->cut = d->written;
    d->last_acked = true;
    d->last_due = false;
    ranges_remove_below(&d->lost, UINT64_MAX);
    ranges_remove_below(&d->acked_above, UINT64_MAX);
    return true;
}
