/* path/ackset.c - see ackset.h.
 *
 * An acknowledgement is due 10 ms after the first record that waits for one; at once after `threshold` records, which
 * is about 1 ms worth of them, 2 to 64; at once for the first record after a pause (which is what a probe is); and at
 * once when a gap opens, but for gaps no more than once a millisecond, since under reordering every record opens one.
 * Limits: ACK_RANGES_MAX ranges; the lowest is forgotten first. Sources: RFC 9000 13.2. */
#include "path/ackset.h"

#include "path/path.h"

#define THRESHOLD_MIN 2        /* RFC 9000 13.2.2 */
#define THRESHOLD_MAX 64       /* chosen: GRO brings up to 64 records at a time */
#define PAUSE (20 * MSEC)      /* chosen: twice the longest delay: slower traffic is acknowledged record by record */
#define GAP_SPACING (1 * MSEC) /* chosen: reports of gaps at most 1000 a second */
#define SPEED_SPAN (10 * MSEC) /* chosen: the threshold follows the arrival rate this fast */

void ackset_init(struct ackset *s, instant now)
{
    *s = (struct ackset){
        .due = INSTANT_NEVER,
        .threshold = THRESHOLD_MIN,
        .speed_since = now,
        .newest_at = now - PAUSE - 1,
        .sent_at = now - PAUSE,
    };
}

static void remove_range(struct ackset *s, unsigned i)
{
    memmove(&s->ranges[i], &s->ranges[i + 1], (s->count - i - 1) * sizeof(s->ranges[0]));
    s->count--;
}

/* False when it was there, or is below everything that can be kept. */
static bool insert(struct ackset *s, uint64_t c)
{
    unsigned i = 0;

    while (i < s->count && s->ranges[i].first > c)
        i++;
    /* ranges[i] is the first that begins at or below c; ranges[i - 1] is above */
    if (i < s->count && s->ranges[i].last >= c)
        return false;
    if (i > 0 && s->ranges[i - 1].first == c + 1) {
        s->ranges[i - 1].first = c;
        if (i < s->count && s->ranges[i].last + 1 == c) {
            s->ranges[i - 1].first = s->ranges[i].first;
            remove_range(s, i);
        }
        return true;
    }
    if (i < s->count && s->ranges[i].last + 1 == c) {
        s->ranges[i].last = c;
        return true;
    }
    if (i == ACK_RANGES_MAX)
        return false;
    if (s->count == ACK_RANGES_MAX)
        s->count--;
    memmove(&s->ranges[i + 1], &s->ranges[i], (s->count - i) * sizeof(s->ranges[0]));
    s->ranges[i] = (struct ack_range){ c, c };
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

bool ackset_add(struct ackset *s, uint64_t counter, size_t bytes, bool eliciting, instant now)
{
    bool first = s->count == 0, above = first || counter > s->ranges[0].last;
    bool gap = !first && above && counter != s->ranges[0].last + 1, paused = now - s->newest_at > PAUSE;

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
    if (paused || s->waiting >= s->threshold)
        s->due = now;
    else if (gap)
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

bool ackset_make(struct ackset *s, instant now, struct ack *ret)
{
    if (s->count == 0)
        return false;
    ret->largest = s->ranges[0].last;
    ret->delay_us = (uint32_t)CLAMP(now - s->largest_at, 0, (span)UINT32_MAX);
    ret->rx_time_us = (uint32_t)s->largest_at;
    ret->rx_pkts = s->rx_pkts;
    ret->rx_bytes = s->rx_bytes;
    ret->ranges_count = s->count;
    memcpy(ret->ranges, s->ranges, s->count * sizeof(s->ranges[0]));
    s->waiting = 0;
    s->due = INSTANT_NEVER;
    s->sent_at = now;
    return true;
}
