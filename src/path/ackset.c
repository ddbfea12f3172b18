/* path/ackset.c - see ackset.h.
 *
 * An acknowledgement is due 10 ms after the first record that waits for one; at once after `threshold` records, which
 * is about 1 ms worth of them, 2 to 64; at once for the first record after a pause (which is what a probe is); and at
 * once when a gap opens, but for gaps no more than once a millisecond, since under reordering every record opens one.
 * What is due by number waits as long as the caller has patience: where acknowledgements would keep data waiting.
 * An acknowledgement has room for ACK_RANGES_MAX ranges; ACKSET_RANGES_MAX are kept, and each change is told of three
 * times, so that heavy reordering is not taken for loss. Of the rest only a few go along: a sender leaves out counters
 * at random, so that there are always as many ranges as one wants to tell.
 * Limits: ACKSET_RANGES_MAX ranges, fewer when memory is short; the lowest is forgotten first. Sources: RFC 9000 13.2.
 */
#include "path/ackset.h"

#include <errno.h>

#include "path/path.h"

#define THRESHOLD_MIN 2        /* RFC 9000 13.2.2 */
#define THRESHOLD_MAX 64       /* chosen: GRO brings up to 64 records at a time */
#define TOLD_TIMES 3           /* chosen: two acknowledgements in a row may be lost */
#define OLD_MAX 8              /* chosen: beyond three times: they repair what a burst of losses took */
#define PAUSE (20 * MSEC)      /* chosen: twice the longest delay: slower traffic is acknowledged record by record */
#define GAP_SPACING (1 * MSEC) /* chosen: reports of gaps at most 1000 a second */
#define SPEED_SPAN (10 * MSEC) /* chosen: the threshold follows the arrival rate this fast */

int ackset_init(struct ackset *s, instant now)
{
    *s = (struct ackset){
        .due = INSTANT_NEVER,
        .threshold = THRESHOLD_MIN,
        .speed_since = now,
        .newest_at = now - PAUSE - 1,
        .sent_at = now - PAUSE,
        .ranges = malloc(ACKSET_RANGES_MIN * sizeof(struct ackset_range)),
        .room = ACKSET_RANGES_MIN,
    };
    return s->ranges ? 0 : -ENOMEM;
}

void ackset_deinit(struct ackset *s)
{
    free(s->ranges);
    s->ranges = NULL;
}

static bool grow(struct ackset *s)
{
    unsigned room = MAX(2 * s->room, ACKSET_RANGES_MIN);
    struct ackset_range *ranges = room <= ACKSET_RANGES_MAX ? realloc(s->ranges, room * sizeof(*ranges)) : NULL;

    if (!ranges)
        return false;
    s->ranges = ranges;
    s->room = room;
    return true;
}

static void remove_range(struct ackset *s, unsigned i)
{
    memmove(&s->ranges[i], &s->ranges[i + 1], (s->count - i - 1) * sizeof(s->ranges[0]));
    s->count--;
}

/* False when it was there, or is below everything that can be kept. */
static bool insert(struct ackset *s, uint64_t c)
{
    struct ackset_range *r = s->ranges;
    unsigned i = 0;

    while (i < s->count && r[i].r.first > c)
        i++;
    /* r[i] is the first that begins at or below c; r[i - 1] is above */
    if (i < s->count && r[i].r.last >= c)
        return false;
    if (i > 0 && r[i - 1].r.first == c + 1) {
        r[i - 1].r.first = c;
        r[i - 1].news = TOLD_TIMES;
        if (i < s->count && r[i].r.last + 1 == c) {
            r[i - 1].r.first = r[i].r.first;
            remove_range(s, i);
        }
        return true;
    }
    if (i < s->count && r[i].r.last + 1 == c) {
        r[i].r.last = c;
        r[i].news = TOLD_TIMES;
        return true;
    }
    if (s->count == s->room && !grow(s)) {
        if (i == s->count)
            return false;
        s->count--;
    }
    r = s->ranges;
    memmove(&r[i + 1], &r[i], (s->count - i) * sizeof(*r));
    r[i] = (struct ackset_range){ { c, c }, TOLD_TIMES };
    s->count++;
    return true;
}

static void adapt_threshold(struct ackset *s, instant now)
{
    span elapsed = now - s->speed_since;

    s->speed_pkts++;
    if (elapsed < SPEED_SPAN)
        return;
    s->threshold = (unsigned)CLAMP((span)s->speed_pkts * MSEC / elapsed, THRESHOLD_MIN, THRESHOLD_MAX);
    s->speed_since = now;
    s->speed_pkts = 0;
}

bool ackset_add(struct ackset *s, uint64_t counter, size_t bytes, bool eliciting, span patience, instant now)
{
    bool first = s->count == 0, above = first || counter > s->ranges[0].r.last;
    bool gap = !first && above && counter != s->ranges[0].r.last + 1, paused = now - s->newest_at > PAUSE;

    s->rx_pkts++;
    s->rx_bytes += (uint32_t)bytes;
    if (!insert(s, counter))
        return false;
    if (above)
        s->largest_at = now;
    s->newest_at = now;
    if (!eliciting)
        return true;
    adapt_threshold(s, now);
    if (s->waiting++ == 0)
        s->due = now + PATH_ACK_DELAY_MAX;
    if (paused)
        s->due = now;
    if (s->waiting >= s->threshold)
        s->due = instant_min(s->due, now + patience);
    if (gap)
        s->due = instant_min(s->due, MAX(now, s->sent_at + GAP_SPACING));
    return true;
}

void ackset_announced(struct ackset *s, instant now)
{
    s->due = now + PATH_ACK_DELAY_MAX;
}

bool ackset_worth(const struct ackset *s)
{
    return s->waiting > 0 && s->waiting >= s->threshold / 2;
}

/* The highest range, what is news (the lowest of it first: it is the next to be taken for lost), and a few of the
 * highest of the rest while there is room. What is left out looks like a gap, which means nothing but silence. */
static void choose_ranges(struct ackset *s, struct ack *ret)
{
    unsigned news = 0, skip, old;

    for (unsigned i = 1; i < s->count; i++)
        news += s->ranges[i].news > 0;
    skip = news > ACK_RANGES_MAX - 1 ? news - (ACK_RANGES_MAX - 1) : 0;
    old = MIN(ACK_RANGES_MAX - 1 - (news - skip), (unsigned)OLD_MAX);
    ret->ranges_count = 0;
    for (unsigned i = 0; i < s->count && ret->ranges_count < ACK_RANGES_MAX; i++) {
        struct ackset_range *r = &s->ranges[i];

        if (i > 0 && r->news > 0 && skip > 0) {
            skip--;
            continue;
        }
        if (i > 0 && r->news == 0 && old-- == 0) {
            old = 0;
            continue;
        }
        if (r->news > 0)
            r->news--;
        ret->ranges[ret->ranges_count++] = r->r;
    }
}

bool ackset_make(struct ackset *s, instant now, struct ack *ret)
{
    if (s->count == 0)
        return false;
    ret->largest = s->ranges[0].r.last;
    ret->delay_us = (uint32_t)CLAMP(now - s->largest_at, 0, (span)UINT32_MAX);
    ret->rx_time_us = (uint32_t)s->largest_at;
    ret->rx_pkts = s->rx_pkts;
    ret->rx_bytes = s->rx_bytes;
    choose_ranges(s, ret);
    s->waiting = 0;
    s->due = INSTANT_NEVER;
    s->sent_at = now;
    return true;
}
