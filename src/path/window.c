/* path/window.c - see window.h.
 *
 * Windows are in records and fractions. Slow start grows by what is acknowledged and ends at ssthresh, or by HyStart++
 * before the queue is full: a round trip that is an eighth (4 to 16 ms) longer than the one before ends it, after five
 * rounds at a quarter of the speed in which that may turn out to have been jitter. A loss of what was sent since the
 * latest cut is the next cut. When all that was lost since a cut has come after all, it is taken back (RFC 9438 4.9):
 * paths reorder, and loss detection (path.c) needs one such error to learn of it. What the path carries is measured all
 * the same, for schedulers and for a control that comes after this one. Where others have measured the path, it begins
 * with half of the window that they would have, paced, unless that is not tried within a minute.
 *
 * Limits: windows from 2 records to PATH_INFLIGHT_MAX; pacing from a record a second to 100 Gbit/s. Sources: RFC 9002
 * sections 7.2 to 7.8; RFC 9406. */
#include "path/window.h"

#include <math.h>

#include "path/inflight.h"

#define RECORDS_MIN 2.0       /* RFC 9002 7.2 */
#define INITIAL_RECORDS 10.0  /* RFC 9002 7.2 */
#define INITIAL_BYTES 14720.0 /* RFC 9002 7.2 */
#define PACING_PERCENT 125    /* RFC 9002 7.7 */
#define PACING_MAX_BPS 1e11   /* path.c */
#define KNOWN_PART 2          /* Careful Resume: half of a window that was measured before */
#define SLOW_START_USED .5    /* what is sent in a round is what the round before allowed */

/* RFC 9406 4.3 */
#define RTT_THRESH_MIN (4 * MSEC)
#define RTT_THRESH_MAX (16 * MSEC)
#define RTT_DIVISOR 8
#define RTT_SAMPLES 8
#define GROWTH_DIVISOR 4
#define SLOW_ROUNDS 5

static double bounded(double records)
{
    return CLAMP(records, RECORDS_MIN, (double)PATH_INFLIGHT_MAX);
}

/* Half of what others found to fit into the path. */
static double known_records(const struct cc_start *start)
{
    return bounded((double)start->known_bps / 8 * (double)start->initial_rtt / SEC / KNOWN_PART /
                   (double)start->record_bytes);
}

void window_init(void *state, const struct cc_start *start, instant now)
{
    struct window *w = state;
    double record = (double)start->record_bytes;

    *w = (struct window){ .record_bytes = start->record_bytes,
                          .initial_rtt = start->initial_rtt,
                          .records = bounded(MIN(INITIAL_BYTES / record, INITIAL_RECORDS)),
                          .ssthresh = INFINITY,
                          .hystart = { .last_min = INSTANT_NEVER, .min = INSTANT_NEVER } };
    rate_max_set(&w->max, start->rate_bps);
    if (start->window_bytes == 0) {
        w->first_records = w->records;
        w->records = MAX(w->records, known_records(start));
        w->known_until = w->records > w->first_records ? now + CC_KNOWN_LIFE : 0;
        return;
    }
    w->records = bounded((double)start->window_bytes / record);
    w->recovery_at = now; /* what was sent under the control before is not answered for */
    if (start->sought)
        return;
    w->ssthresh = w->records;
    w->hystart.done = true;
}

void window_grow(struct window *w, const struct cc_ack *a, double records)
{
    double most = window_acked(w, a);

    w->records = bounded(w->records + CLAMP(records, -most, most));
}

enum cc_verdict window_on_ack_halving(struct window *w, const struct cc_ack *a, double records, instant now)
{
    if (window_on_ack(w, a, .5, now) == WINDOW_GROWS)
        window_grow(w, a, records);
    return CC_NOTHING;
}

static void hystart_round(struct hystart *h)
{
    h->last_min = h->min;
    h->min = INSTANT_NEVER;
    h->samples = 0;
    h->slow_rounds += h->slow;
}

static void slow_start(struct window *w, const struct cc_ack *a)
{
    struct hystart *h = &w->hystart;
    double acked = window_acked(w, a);

    if (h->slow)
        acked /= GROWTH_DIVISOR;
    w->records = bounded(MIN(w->records + acked, w->ssthresh));
    if (h->done)
        return;
    if (a->rtt > 0) {
        h->min = MIN(h->min, a->rtt);
        h->samples++;
    }
    if (h->samples >= RTT_SAMPLES && h->last_min != INSTANT_NEVER) {
        span longer = CLAMP(h->last_min / RTT_DIVISOR, RTT_THRESH_MIN, RTT_THRESH_MAX);

        if (!h->slow && h->min >= h->last_min + longer) {
            h->slow = true;
            h->baseline = h->min;
            h->slow_rounds = 0;
        } else if (h->slow && h->min < h->baseline) {
            h->slow = false;
        }
    }
    if (a->round_ended)
        hystart_round(h);
    if (h->slow && h->slow_rounds >= SLOW_ROUNDS) {
        h->done = true;
        w->ssthresh = w->records;
    }
}

static void cut(struct window *w, const struct cc_ack *a, double beta, instant now)
{
    w->before.records = w->records;
    w->before.ssthresh = w->ssthresh;
    w->before.lost_bytes = a->lost_bytes;
    if (w->known_until > 0) { /* what was known is wrong: what has arrived tells what the path holds */
        double held = (double)w->unharmed[1] / (double)w->record_bytes;

        w->records = bounded(MIN(w->records * beta, MAX(held / 2, w->first_records)));
        w->ssthresh = MAX(w->records, bounded(held));
        w->known_until = 0;
    } else {
        w->records = w->ssthresh = bounded(w->records * beta);
    }
    w->recovery_at = now;
    w->hystart.done = true;
    w->unharmed[0] = w->unharmed[1];
    w->unharmed[1] = 0;
}

static enum window_news on_lost(struct window *w, const struct cc_ack *a, double beta, instant now)
{
    bool again = a->lost_at > w->recovery_at;

    if (again)
        cut(w, a, beta, now);
    else if (w->before.lost_bytes > 0)
        w->before.lost_bytes += a->lost_bytes;
    if (!a->persistent)
        return again ? WINDOW_CUT : WINDOW_STAYS;
    w->records = RECORDS_MIN;
    w->recovery_at = now;
    w->before.lost_bytes = 0;
    return WINDOW_COLLAPSED;
}

/* True if nothing is left of what the latest cut was for. */
static bool cut_was_wrong(struct window *w, const struct cc_ack *a)
{
    if (a->spurious_bytes == 0 || w->before.lost_bytes == 0)
        return false;
    w->before.lost_bytes -= MIN(a->spurious_bytes, w->before.lost_bytes);
    if (w->before.lost_bytes > 0 || a->lost_pkts > 0)
        return false;
    w->records = MAX(w->records, w->before.records);
    w->ssthresh = w->before.ssthresh;
    w->unharmed[1] += w->unharmed[0];
    return true;
}

/* A whole window of what others knew has arrived, or it was never tried. */
static void settle_known(struct window *w, instant now)
{
    if (now > w->known_until)
        w->records = MIN(w->records, w->first_records);
    if (now > w->known_until || (double)w->unharmed[1] > w->records * (double)w->record_bytes)
        w->known_until = 0;
}

enum window_news window_on_ack(struct window *w, const struct cc_ack *a, double beta, instant now)
{
    /* Before it, and one record more. */
    double flight = (double)(a->inflight_bytes + a->acked_bytes + a->lost_bytes + w->record_bytes),
           window = w->records * (double)w->record_bytes;
    bool starts = w->records < w->ssthresh;

    rate_max_add(&w->max, a->sample.bps, a->sample.app_limited);
    if (a->round_ended)
        rate_max_next_round(&w->max);
    w->unharmed[1] += a->acked_bytes;
    if (w->known_until > 0)
        settle_known(w, now);
    if (cut_was_wrong(w, a))
        return WINDOW_RESTORED;
    if (a->lost_pkts > 0) {
        enum window_news news = on_lost(w, a, beta, now);

        if (news != WINDOW_STAYS)
            return news;
    }
    if (a->acked_bytes == 0 || a->sent_at <= w->recovery_at)
        return WINDOW_STAYS;
    if (flight <= window * (starts ? SLOW_START_USED : 1))
        return WINDOW_UNUSED;
    if (!starts)
        return WINDOW_GROWS;
    if (w->known_until == 0) /* else what others knew is not proven yet */
        slow_start(w, a);
    return WINDOW_STAYS;
}

struct cc_speed window_speed(const void *state, span srtt, span min_rtt)
{
    const struct window *w = state;
    double bytes = w->records * (double)w->record_bytes,
           bps = bytes * 8 * PACING_PERCENT / 100 * (double)SEC / (double)MAX(srtt > 0 ? srtt : w->initial_rtt, USEC);

    return (struct cc_speed){ .pacing_bps = (uint64_t)CLAMP(bps, (double)w->record_bytes * 8, PACING_MAX_BPS),
                              .window_bytes = (uint64_t)bytes };
}

struct cc_info window_info(const void *state)
{
    const struct window *w = state;

    return (struct cc_info){ .rate_bps = w->max.bps,
                             .sought = w->records < w->ssthresh,
                             .unharmed_bytes = MAX(w->unharmed[0], w->unharmed[1]) };
}
