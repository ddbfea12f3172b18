/* path/inflight.c - see inflight.h.
 *
 * Acknowledgements repeat ranges. An acknowledged record knows how long the run of acknowledged records is that ends at
 * it, so a repeated range is stepped over at once and the work of all acknowledgements together is linear in the
 * records sent. Records are sent in the order of their counters, so the search for lost ones stops at the first that is
 * not. Limits: PATH_INFLIGHT_MAX records. Sources: RFC 9002 6.1. */
#include "path/inflight.h"

#include "path/pmtu.h"

#include <errno.h>

#define ROOM_KEPT 256 /* chosen: acknowledgements and probes of one round trip while data has to wait */

static struct sent *sent_at(const struct inflight *f, uint64_t counter)
{
    return &f->ring[counter & (f->capacity - 1)];
}

int inflight_init(struct inflight *f, uint64_t first_counter)
{
    *f = (struct inflight){ .capacity = PATH_INFLIGHT_MIN };
    f->base = f->next = f->lowest_open = f->lowest_data = first_counter;
    list_init(&f->told_acked);
    list_init(&f->told_lost);
    f->ring = calloc(f->capacity, sizeof(*f->ring));
    return f->ring ? 0 : -ENOMEM;
}

void inflight_deinit(struct inflight *f)
{
    struct pbuf *b;
    bool acked;

    if (!f->ring)
        return;
    while ((b = inflight_take_lost(f)))
        pbuf_unref(b);
    while ((b = inflight_take_kept(f)))
        pbuf_unref(b);
    while ((b = inflight_take_told(f, &acked)))
        pbuf_unref(b);
    for (uint64_t c = f->base; c != f->next; c++)
        pbuf_unref(sent_at(f, c)->data);
    free(f->ring);
    f->ring = NULL;
}

/* All that the log holds must fit. */
static bool resize(struct inflight *f, size_t capacity)
{
    struct sent *old = f->ring, *ring = calloc(capacity, sizeof(*ring));

    if (!ring)
        return false;
    for (uint64_t c = f->base; c != f->next; c++)
        ring[c & (capacity - 1)] = old[c & (f->capacity - 1)];
    f->ring = ring;
    f->capacity = capacity;
    free(old);
    return true;
}

static bool grow(struct inflight *f)
{
    return 2 * f->capacity <= PATH_INFLIGHT_MAX && resize(f, 2 * f->capacity);
}

void inflight_shrink(struct inflight *f)
{
    if (f->open_pkts == 0 && f->capacity > PATH_INFLIGHT_MIN && f->next - f->base <= PATH_INFLIGHT_MIN / 2)
        (void)!resize(f, PATH_INFLIGHT_MIN);
}

static void settle(struct inflight *f, struct sent *s)
{
    f->open_bytes -= s->bytes;
    f->open_pkts--;
}

/* Nobody needs the data any more, but who tracks it must hear why. */
static void drop_data(struct sent *s, struct list *told)
{
    if (s->data && s->data->tracked)
        list_append(told, &s->data->link);
    else
        pbuf_unref(s->data);
    s->data = NULL;
}

static void lose(struct inflight *f, struct sent *s, struct inflight_lost *ret)
{
    settle(f, s);
    s->state = SENT_LOST;
    ret->pkts++;
    ret->bytes += s->bytes;
}

static void find_lowest_open(struct inflight *f)
{
    f->lowest_open = MAX(f->lowest_open, f->base);
    while (f->lowest_open != f->next && sent_at(f, f->lowest_open)->state != SENT_OPEN)
        f->lowest_open++;
}

static void forget_oldest(struct inflight *f, struct inflight_lost *ret)
{
    struct sent *s = sent_at(f, f->base);

    if (s->state == SENT_OPEN)
        lose(f, s, ret);
    drop_data(s, &f->told_lost);
    f->base++;
    find_lowest_open(f);
    f->lowest_data = MAX(f->lowest_data, f->base);
}

void inflight_push(struct inflight *f, uint32_t bytes, struct pbuf *data, bool eliciting, const struct rate_mark *m,
                   instant now, struct inflight_lost *ret)
{
    struct sent *s;

    if (f->next - f->base == f->capacity && !grow(f))
        forget_oldest(f, ret);
    s = sent_at(f, f->next);
    *s = (struct sent){ .at = now, .bytes = bytes, .mark = *m, .state = eliciting ? SENT_OPEN : SENT_SILENT };
    if (data)
        s->data = pbuf_ref(data);
    if (eliciting) {
        f->open_bytes += bytes;
        f->open_pkts++;
    } else if (f->lowest_open == f->next) {
        f->lowest_open++;
    }
    f->next++;
}

bool inflight_has_room(const struct inflight *f)
{
    return f->next - f->base < PATH_INFLIGHT_MAX - ROOM_KEPT;
}

static void ack_one(struct inflight *f, uint64_t c, struct inflight_acked *ret)
{
    struct sent *s = sent_at(f, c);

    if (s->bytes > ret->largest_bytes || (s->bytes == ret->largest_bytes && c > ret->largest_counter)) {
        ret->largest_bytes = s->bytes;
        ret->largest_counter = c;
    }
    if (!ret->any || c > ret->newest) {
        ret->any = true;
        ret->newest = c;
        ret->newest_at = s->at;
    }
    ret->probe |= s->state == SENT_SILENT && s->bytes >= PMTU_MIN;
    if (s->state != SENT_SILENT) {
        if (s->state == SENT_OPEN) {
            settle(f, s);
        } else {
            ret->spurious_pkts++;
            ret->spurious_bytes += s->bytes;
        }
        ret->pkts++;
        ret->bytes += s->bytes;
        if (!ret->marked || c > ret->mark_counter) {
            ret->marked = true;
            ret->mark_counter = c;
            ret->mark_at = s->at;
            ret->mark = s->mark;
        }
    }
    drop_data(s, &f->told_acked);
    s->state = SENT_ACKED;
    s->run = 1;
}

void inflight_ack(struct inflight *f, uint64_t first, uint64_t last, struct inflight_acked *ret)
{
    uint64_t c, low, run;

    if (f->base == f->next || last < f->base || first >= f->next || first > last)
        return;
    low = MAX(first, f->base);
    last = MIN(last, f->next - 1);
    for (c = last + 1; c > low;) {
        struct sent *s = sent_at(f, c - 1);

        if (s->state == SENT_ACKED) {
            if (s->run >= c - f->base) { /* the run reaches or passes the log's low end */
                c = f->base;
                break;
            }
            c -= s->run;
            continue;
        }
        ack_one(f, c - 1, ret);
        c--;
    }
    run = last + 1 - c;
    if (c > f->base && sent_at(f, c - 1)->state == SENT_ACKED)
        run += sent_at(f, c - 1)->run;
    sent_at(f, last)->run = (uint32_t)MIN(run, last + 1 - f->base);
    if (!f->any_acked || last > f->largest_acked) {
        f->any_acked = true;
        f->largest_acked = last;
    }
    find_lowest_open(f);
}

static void keep_lost(struct inflight *f, struct sent *s)
{
    if (!s->data || s->data->tracked) {
        drop_data(s, &f->told_lost);
        return;
    }
    if (f->lost_count == INFLIGHT_LOST)
        pbuf_unref(inflight_take_lost(f));
    f->lost[(f->lost_head + f->lost_count++) % INFLIGHT_LOST] = s->data;
    s->data = NULL;
}

/* Has any of these records, all below the lowest open one, been acknowledged? */
static bool any_acked(const struct inflight *f, uint64_t first, uint64_t end)
{
    for (uint64_t c = first; c < end; c++)
        if (sent_at(f, c)->state == SENT_ACKED)
            return true;
    return false;
}

void inflight_detect(struct inflight *f, uint64_t threshold_pkts, span threshold_time, instant now,
                     struct inflight_lost *ret)
{
    uint64_t before = 0; /* the counter after the latest lost one */
    instant run_at = 0;

    while (f->any_acked && f->lowest_open != f->next && f->lowest_open < f->largest_acked) {
        struct sent *s = sent_at(f, f->lowest_open);
        bool by_count = threshold_pkts > 0 && f->largest_acked - f->lowest_open >= threshold_pkts;

        if (!by_count && now - s->at < threshold_time)
            break;
        if (s->bytes > f->big_least && s->bytes <= f->big_most) {
            if (s->data && !s->data->tracked) {
                struct pbuf **keep = &f->kept[f->kept_next++ % INFLIGHT_KEPT];

                pbuf_unref(*keep);
                *keep = pbuf_ref(s->data);
            }
            ret->big_pkts++;
            ret->big_max = MAX(ret->big_max, s->bytes);
            ret->big_newest = f->lowest_open;
        }
        if (before == 0 || any_acked(f, before, f->lowest_open))
            run_at = s->at;
        ret->newest_at = s->at;
        ret->run = MAX(ret->run, s->at - run_at);
        before = f->lowest_open + 1;
        lose(f, s, ret);
        keep_lost(f, s);
        find_lowest_open(f);
    }
}

struct pbuf *inflight_take_lost(struct inflight *f)
{
    struct pbuf *b;

    if (f->lost_count == 0)
        return NULL;
    b = f->lost[f->lost_head];
    f->lost_head = (f->lost_head + 1) % INFLIGHT_LOST;
    f->lost_count--;
    return b;
}

instant inflight_loss_at(const struct inflight *f, span threshold_time)
{
    if (!f->any_acked || f->lowest_open == f->next || f->lowest_open > f->largest_acked)
        return INSTANT_NEVER;
    return sent_at(f, f->lowest_open)->at + threshold_time;
}

bool inflight_give_up(struct inflight *f, uint64_t counter, struct inflight_lost *ret)
{
    struct sent *s;

    if (counter < f->lowest_open || counter >= f->next || sent_at(f, counter)->state != SENT_OPEN)
        return false;
    s = sent_at(f, counter);
    ret->newest_at = MAX(ret->newest_at, s->at);
    lose(f, s, ret);
    drop_data(s, &f->told_lost);
    find_lowest_open(f);
    return true;
}

void inflight_abandon(struct inflight *f, struct inflight_lost *ret)
{
    while (f->lowest_open != f->next) {
        lose(f, sent_at(f, f->lowest_open), ret);
        find_lowest_open(f);
    }
}

void inflight_drop_lost_data(struct inflight *f)
{
    /* What was taken for another path may stand above: then there is nothing to give back. */
    for (uint64_t c = MAX(f->base, f->lowest_data); c < f->lowest_open; c++)
        drop_data(sent_at(f, c), &f->told_lost);
    f->lowest_data = MAX(f->lowest_data, f->lowest_open);
}

void inflight_trim(struct inflight *f, instant lost_before)
{
    while (f->base != f->next) {
        struct sent *s = sent_at(f, f->base);

        if (s->state == SENT_OPEN || (s->state == SENT_LOST && (s->data || s->at >= lost_before)))
            break;
        drop_data(s, &f->told_lost);
        f->base++;
    }
    f->lowest_open = MAX(f->lowest_open, f->base);
    f->lowest_data = MAX(f->lowest_data, f->base);
}

struct pbuf *inflight_take(struct inflight *f)
{
    for (; f->lowest_data != f->next; f->lowest_data++) {
        struct sent *s = sent_at(f, f->lowest_data);
        struct pbuf *b = s->data;

        if (b) {
            s->data = NULL;
            return b;
        }
    }
    return NULL;
}

struct pbuf *inflight_take_kept(struct inflight *f)
{
    for (unsigned i = 0; i < INFLIGHT_KEPT; i++) {
        struct pbuf *b = f->kept[i];

        f->kept[i] = NULL;
        if (b)
            return b;
    }
    f->kept_next = 0;
    return NULL;
}

struct pbuf *inflight_take_told(struct inflight *f, bool *ret_acked)
{
    struct list *from = list_empty(&f->told_acked) ? &f->told_lost : &f->told_acked;
    struct pbuf *b;

    if (list_empty(from))
        return NULL;
    *ret_acked = from == &f->told_acked;
    b = LIST_FIRST(from, struct pbuf, link);
    list_remove(&b->link);
    return b;
}

struct pbuf *inflight_late(const struct inflight *f, instant sent_before, uint64_t ahead)
{
    uint64_t end = MIN(f->next, f->lowest_open + INFLIGHT_LOOK), bytes = 0;

    for (uint64_t c = f->lowest_open; c < end; c++) {
        const struct sent *s = sent_at(f, c);

        if (s->state != SENT_OPEN)
            continue;
        bytes += s->bytes;
        if ((s->at < sent_before || bytes >= ahead) && s->data && s->data->tracked && !s->data->again)
            return s->data;
    }
    return NULL;
}

instant inflight_oldest(const struct inflight *f)
{
    return f->lowest_open == f->next ? INSTANT_NEVER : sent_at(f, f->lowest_open)->at;
}
