/* path/train.c - see train.h.
 *
 * Theory of operation. A bottleneck lets records of a train out one behind another, so that the time between the first
 * and the last on the receiver's clock, which acknowledgements carry, is what it took to send all but the first
 * (packet pairs; trains of more than two are less easily led astray). An acknowledgement is a point: how many records
 * of the train had arrived, and when the newest did. The first and the newest point are kept, of those before anything
 * is missing: behind a record that a link lost there is a hole in time, behind one that a short queue dropped none.
 *
 * A train that arrived within TRAIN_SPREAD was too short for its path: the next is twice as long. While results differ
 * by less than a fifth the time between trains doubles.
 *
 * It measures what the path would carry alone: others' traffic between the records makes them arrive later, and that is
 * what a flow of ours would meet in that moment.
 *
 * Limits: TRAIN_MINUTE bytes in a minute, 64 records an hour later on. A queue that holds
 * less than two records lets one of a train through: such a path is not measured. Sources: Dovrolis, Ramanathan, Moore:
 * Packet-dispersion techniques and a capacity-estimation methodology (IEEE/ACM ToN 2004). */
#include "path/train.h"

#include "base/base.h"

void train_init(struct train *t, instant now)
{
    *t = (struct train){ .due = now + TRAIN_IDLE, .ends = INSTANT_NEVER, .every = TRAIN_EVERY, .length = TRAIN_LEAST };
}

static void give_up(struct train *t)
{
    t->called = false;
    t->left = 0;
    t->ends = INSTANT_NEVER;
    t->count[0] = t->count[1] = 0;
}

void train_on_data(struct train *t, instant now)
{
    give_up(t);
    t->due = MAX(t->due, now + TRAIN_IDLE);
}

void train_on_rate(struct train *t, instant now)
{
    t->every = TRAIN_EVERY;
    t->due = now + t->every;
}

bool train_wants(const struct train *t)
{
    return t->left > 0 || t->called;
}

void train_on_sent(struct train *t, uint64_t counter, size_t wire_bytes, span wait, instant now)
{
    t->sent_bytes += wire_bytes;
    if (t->left == 0) {
        t->called = false;
        t->left = t->length;
        t->first = counter;
        t->record_bytes = wire_bytes;
        t->ends = now + wait;
    } else if (counter != t->first + (t->length - t->left) || wire_bytes != t->record_bytes) {
        give_up(t); /* something else was sent between */
        return;
    }
    t->left--;
}

static void take_result(struct train *t, uint64_t bps, bool at_least, instant now)
{
    bool same = bps <= t->bps + t->bps / 5 && bps >= t->bps - t->bps / 5 && at_least == t->at_least;

    t->every = same ? MIN(2 * t->every, TRAIN_EVERY_MAX) : TRAIN_EVERY;
    t->bps = bps;
    t->at_least = at_least;
    t->failed = 0;
    t->due = now + t->every;
    if (at_least && t->length < TRAIN_MOST) {
        t->length *= 2;
        t->due = now + TRAIN_LONGER;
    }
}

/* A record of it was lost too early: it is tried again soon, and if that is no chance, seldom. */
static void fail(struct train *t, instant now)
{
    bool again = t->failed++ < TRAIN_RETRIES;

    t->every = again ? t->every : MIN(2 * t->every, TRAIN_EVERY_MAX);
    t->due = now + (again ? TRAIN_LONGER : t->every);
}

static void conclude(struct train *t, instant now)
{
    unsigned between = t->count[1] - t->count[0];
    span spread = (span)(t->at_us[1] - t->at_us[0]) * USEC;

    /* Of a slow path with a short queue a pair is all that gets through, and tells. */
    if (t->count[0] > 0 && between >= (spread < TRAIN_SPREAD ? t->length / 2 : 1))
        take_result(t, (uint64_t)((double)(between * t->record_bytes * 8) * SEC / (double)MAX(spread, TRAIN_SPREAD)),
                    spread < TRAIN_SPREAD, now);
    else
        fail(t, now);
    give_up(t);
}

void train_on_ack(struct train *t, const struct ack *a, instant now)
{
    uint64_t last = t->first + t->length - 1;
    unsigned count = 0, point = t->count[0] > 0;

    if (t->ends == INSTANT_NEVER || t->left > 0)
        return;
    for (unsigned i = 0; i < a->ranges_count; i++) {
        uint64_t low = MAX(a->ranges[i].first, t->first), high = MIN(a->ranges[i].last, last);

        count += high >= low ? (unsigned)(high - low + 1) : 0;
    }
    if (a->largest < t->first || a->largest > last)
        return;
    if (count == a->largest - t->first + 1 && (!point || count > t->count[1])) {
        t->count[point] = t->count[1] = count;
        t->at_us[point] = t->at_us[1] = a->rx_time_us;
    }
    if (a->largest == last)
        conclude(t, now);
}

instant train_expiry(const struct train *t)
{
    return instant_min(t->ends, t->due);
}

void train_on_expiry(struct train *t, bool quiet, instant now)
{
    if (now >= t->ends)
        conclude(t, now);
    if (now < t->due)
        return;
    if (now - t->minute_at >= 60 * SEC) {
        t->minute_at = now;
        t->minute_bytes = 0;
    }
    t->called = quiet && t->ends == INSTANT_NEVER && t->minute_bytes + t->length * TRAIN_RECORD <= TRAIN_MINUTE;
    if (t->called)
        t->minute_bytes += t->length * TRAIN_RECORD;
    t->due = now + (t->called ? t->every : TRAIN_IDLE);
}
