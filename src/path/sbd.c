/* path/sbd.c - see sbd.h.
 *
 * Theory of operation. Summaries are those of RFC 8382 section 3, with the weights of 4.1 and without the noise
 * that 4.2 takes out: sums over a ring of intervals, made anew each time, so that no error adds up. An interval with
 * fewer than SBD_SAMPLES_MIN records does not count, and after a pause of SBD_M intervals all is forgotten.
 *
 * Groups are those of 3.3.1, in its order: paths through a bottleneck, split where sorted oscillation, variation,
 * skewness and loss have a gap. The RFC made them for media flows and a bottleneck that is now full, now empty. Ours
 * find their own rates, each with samples of its own, in queues that others hold half full for long. With the RFC's
 * gaps two paths through one queue are together four times in ten; with gaps that keep them together, two queues of one
 * size and load are taken for one (environments like those of tests/sim/sbd.c: precision and recall .93 and .38, or .62
 * and .99). So the gaps here are wide, and a last step decides:
 *
 *   agreement   2 sum(a b) / (sum(a^2) + sum(b^2))
 *
 * a and b are the changes of both paths' mean delays from one interval to the next, less their trend. This is Lin's
 * concordance: 1 if both went through one queue and nothing else, 0 if they have nothing to do with each other.
 *
 * A change has no offset, and without their trend changes are free of the drift of the clocks (RFC 8382 5.2), which
 * both paths have in common: up to 35 us an interval with 100 ppm. Drift may still make a path without a queue look
 * skewed.
 *
 * Limits: paths of about 270 kbit/s and more; a queue must vary by more than the mean of other delays does, which is
 * little, and by 64 us from interval to interval. Two queues that the same thing fills at the same time, like bursts
 * of one application, look like one if they are alike in size too. Counters that a sender leaves out count as lost:
 * half a per cent of them all. Memory: 2.5 KiB a path received, 5 KiB a session.
 *
 * Sources: RFC 8382; Lin, A Concordance Correlation Coefficient to Evaluate Reproducibility, Biometrics 45 (1989). */
#include "path/sbd.h"

#include <assert.h>

/* Chosen, over the RFC's value: see tests/sim/sbd.c for what they do there. */
#define SKEW_LOW .3   /* c_s, of .1 */
#define SKEW_HELD .7  /* c_h, of .3 */
#define FREQ_APART .2 /* p_f, of .1 */
#define VAR_APART .5  /* p_mad, of .1: nine in ten of one queue are within .18, one in a thousand is at .41 */
#define SKEW_APART .6 /* p_s, of .15 */
#define LOSS_APART .7 /* p_d, of .1 */
#define LOSS_HIGH .05 /* p_l, RFC 8382 2.2 */
#define CROSSING .7   /* p_v, RFC 8382 2.2 */

#define AGREE_JOIN .75            /* chosen: of one queue 98 of 100 are above .8; two came to .72 by chance */
#define AGREE_KEEP .6             /* chosen: between the two */
#define AGREE_MIN 12              /* chosen: changes; of ten, two queues agree by chance now and then */
#define AGREE_LEAST 64            /* us of a change; chosen: the grain of timestamps: below are the ends, no queue */
#define SUMMARY_LIFE (10 * SBD_T) /* chosen: an application's pause does not end a group */

/* --- the receiver's side --- */

void sbd_init(struct sbd *e)
{
    *e = (struct sbd){ .ends = 0 };
}

void sbd_deinit(struct sbd *e)
{
    free(e->ring);
    sbd_init(e);
}

/* An interval with enough records counts, if it can be kept. */
static bool counts(struct sbd *e)
{
    if (e->samples < SBD_SAMPLES_MIN)
        return false;
    if (!e->ring)
        e->ring = malloc(SBD_N * sizeof(*e->ring));
    return e->ring != NULL;
}

/* i: 0 is the newest. */
static struct sbd_interval *interval(struct sbd *e, unsigned i)
{
    return &e->ring[(e->next + SBD_N - 1 - i) % SBD_N];
}

/* RFC 8382 4.1: the newest SBD_F intervals count in full, older ones less and less. */
static unsigned weight(unsigned i)
{
    return i < SBD_F ? SBD_M - SBD_F + 1 : SBD_M - i;
}

static bool through_bottleneck(const struct path_summary *s, bool before)
{
    double skew = (double)s->skew / SUMMARY_ONE, loss = (double)s->loss / SUMMARY_ONE;

    return skew < SKEW_LOW || (skew < SKEW_HELD && before) || loss > LOSS_HIGH;
}

static uint16_t share(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : (uint16_t)(MIN(part, whole) * SUMMARY_ONE / whole);
}

/* Skewness, variation and loss, and the long mean. */
static void summarize(struct sbd *e)
{
    struct path_summary *s = &e->summary;
    int64_t skew = 0, samples = 0, sum = 0;
    uint64_t deviation = 0, expected = 0, received = 0;

    assert(e->count > 0);
    for (unsigned i = 0; i < e->count; i++) {
        const struct sbd_interval *v = interval(e, i);

        expected += v->expected;
        received += v->received;
        if (i >= SBD_M)
            continue;
        skew += (int64_t)weight(i) * v->skew;
        deviation += weight(i) * v->deviation;
        samples += (int64_t)weight(i) * v->samples;
        sum += v->mean_x256;
    }
    e->mean_x256 = sum / (int64_t)MIN(e->count, (unsigned)SBD_M);
    if (samples == 0)
        return;
    s->skew = (int16_t)(skew * SUMMARY_ONE / samples);
    s->var_us = (uint32_t)MIN(deviation / (uint64_t)samples, (uint64_t)SUMMARY_VAR_MAX);
    s->loss = share(expected > received ? expected - received : 0, expected);
    e->bottleneck = through_bottleneck(s, e->bottleneck);
}

/* RFC 8382 3.2.4: whether the delay has gone from one side of the long mean to the other, and by much. 4.2: where there
 * is no bottleneck it is noise that crosses. */
static void oscillate(struct sbd *e, struct sbd_interval *v, int64_t long_mean_x256)
{
    int64_t from = v->mean_x256 - long_mean_x256, much = (int64_t)(CROSSING * 256 * e->summary.var_us);
    int8_t side = from > much ? 1 : from < -much ? -1 : 0;
    unsigned crossings = 0, all = 0;

    v->crossing = side != 0 && e->side != 0 && side != e->side;
    if (side != 0)
        e->side = side;
    if (!e->bottleneck)
        v->crossing = -1;
    for (unsigned i = 0; i < e->count; i++) {
        crossings += interval(e, i)->crossing > 0;
        all += interval(e, i)->crossing >= 0;
    }
    e->summary.freq = share(crossings, all);
}

static void end(struct sbd *e, uint64_t expected, uint64_t received, instant now)
{
    int64_t long_mean_x256 = e->mean_x256;

    if (counts(e)) {
        struct sbd_interval *v = &e->ring[e->next];

        *v = (struct sbd_interval){
            /* The first has nothing to be held against. */
            .samples = e->count > 0 ? e->samples : 0,
            .skew = e->count > 0 ? e->skew : 0,
            .deviation = e->count > 0 ? e->deviation : 0,
            .mean_x256 = e->base * 256 + e->sum * 256 / (int64_t)e->samples,
            .expected = expected - e->expected,
            .received = received - e->received,
        };
        e->next = (e->next + 1) % SBD_N;
        e->count = MIN(e->count + 1, (unsigned)SBD_N);
        summarize(e);
        oscillate(e, v, e->count > 1 ? long_mean_x256 : v->mean_x256);
        e->summary.number = (uint16_t)(e->ends / SBD_T);
        e->summary.mean_us = (uint32_t)((v->mean_x256 >> 8) & (OWD_MODULUS - 1));
        e->news = e->count > 1;
        e->newest_at = now;
        e->base = v->mean_x256 >> 8;
        /* d is in whole microseconds and the mean is not: lower is d < ceil(mean), higher d > floor(mean) */
        e->above = (e->mean_x256 >> 8) - e->base;
        e->below = ((e->mean_x256 + 255) >> 8) - e->base;
    } else if (now - e->newest_at > SBD_M * SBD_T) {
        free(e->ring);
        e->ring = NULL;
        e->count = e->next = 0;
        e->side = 0;
    }
    e->samples = 0;
    e->skew = 0;
    e->sum = 0;
    e->deviation = 0;
    e->expected = expected;
    e->received = received;
    e->ends = (now / SBD_T + 1) * SBD_T;
}

void sbd_on_expiry(struct sbd *e, uint64_t expected, uint64_t received, instant now)
{
    if (now >= e->ends)
        end(e, expected, received, now);
}

void sbd_turn(struct sbd *e, span owd, uint64_t expected, uint64_t received, instant now)
{
    sbd_on_expiry(e, expected, received, now);
    if (e->count == 0 && e->samples == 0) { /* all before the first interval ends counts from its first sample */
        e->base = owd;
        e->above = INT64_MAX;
        e->below = INT64_MIN;
    }
}

bool sbd_take(struct sbd *e, struct path_summary *ret)
{
    bool news = e->news;

    if (news)
        *ret = e->summary;
    e->news = false;
    return news;
}

/* --- the sender's side --- */

void sbd_groups_init(struct sbd_groups *g)
{
    *g = (struct sbd_groups){ .due = 0 };
    memset(g->history, SBD_UNKNOWN, sizeof(g->history));
}

void sbd_groups_on_summary(struct sbd_groups *g, unsigned path, const struct path_summary *s, instant now)
{
    struct sbd_path *p = &g->paths[path];

    if (p->known && (int16_t)(s->number - p->newest.number) <= 0)
        return;
    if (now - p->at > SBD_N * SBD_T) /* numbers may have wrapped */
        memset(p->means, 0, sizeof(p->means));
    p->bottleneck = through_bottleneck(s, p->known && p->bottleneck);
    p->known = true;
    p->at = now;
    p->newest = *s;
    p->means[s->number % SBD_MEANS].tag = s->number + 1u;
    p->means[s->number % SBD_MEANS].mean_us = s->mean_us;
}

void sbd_groups_forget(struct sbd_groups *g, unsigned path)
{
    g->paths[path] = (struct sbd_path){ .known = false };
    g->group[path] = 0;
    for (unsigned i = 0; i < SBD_N; i++)
        g->history[i][path] = SBD_UNKNOWN;
}

static const uint32_t *mean_find(const struct sbd_path *p, uint16_t number)
{
    return p->means[number % SBD_MEANS].tag == number + 1u ? &p->means[number % SBD_MEANS].mean_us : NULL;
}

struct change {
    double a, b; /* us */
    double intervals;
};

/* Of the mean delays of two paths, from one interval in which both had data to the next. The newest first. */
static unsigned find_changes(const struct sbd_path *a, const struct sbd_path *b, struct change ret[SBD_M])
{
    const uint32_t *later_a = NULL, *later_b = NULL;
    unsigned count = 0, at = 0;

    for (unsigned i = 0; i < SBD_N && count < SBD_M; i++) {
        const uint32_t *mean_a = mean_find(a, (uint16_t)(a->newest.number - i)),
                       *mean_b = mean_find(b, (uint16_t)(a->newest.number - i));

        if (!mean_a || !mean_b)
            continue;
        if (later_a)
            ret[count++] = (struct change){ .a = (double)owd_wrap((span)*later_a - *mean_a),
                                            .b = (double)owd_wrap((span)*later_b - *mean_b),
                                            .intervals = i - at };
        later_a = mean_a;
        later_b = mean_b;
        at = i;
    }
    return count;
}

/* Whether the delays of two paths go up and down together. */
static bool agree(const struct sbd_path *a, const struct sbd_path *b, bool before)
{
    struct change c[SBD_M];
    unsigned count = find_changes(a, b, c);
    double drift_a = 0, drift_b = 0, intervals = 0, both = 0, each = 0;

    if (count < AGREE_MIN)
        return false;
    for (unsigned i = 0; i < count; i++) {
        drift_a += c[i].a;
        drift_b += c[i].b;
        intervals += c[i].intervals;
    }
    for (unsigned i = 0; i < count; i++) {
        double of_a = c[i].a - drift_a / intervals * c[i].intervals,
               of_b = c[i].b - drift_b / intervals * c[i].intervals;

        both += 2 * of_a * of_b;
        each += of_a * of_a + of_b * of_b;
    }
    return each >= 2. * count * AGREE_LEAST * AGREE_LEAST && both > (before ? AGREE_KEEP : AGREE_JOIN) * each;
}

/* What is being split: paths of one label are together. */
struct split {
    uint8_t label[SBD_PATHS_MAX]; /* 0: not among them */
    uint8_t last;                 /* label that was given out */
};

/* The highest first; a gap begins a new label. gap: of the higher value it is this share, or this if that is less. */
static void split_by(struct split *s, const double value[SBD_PATHS_MAX], double gap, bool relative, double least)
{
    for (unsigned label = 1, labels = s->last; label <= labels; label++) {
        uint8_t order[SBD_PATHS_MAX] = { 0 }, given = (uint8_t)label;
        unsigned count = 0;

        for (unsigned i = 0; i < SBD_PATHS_MAX; i++) {
            unsigned at = count;

            if (s->label[i] != label)
                continue;
            for (; at > 0 && value[order[at - 1]] < value[i]; at--)
                order[at] = order[at - 1];
            order[at] = (uint8_t)i;
            count++;
        }
        for (unsigned i = 1; i < count; i++) {
            double higher = value[order[i - 1]];

            if (higher > least && higher - value[order[i]] >= (relative ? gap * higher : gap))
                given = ++s->last;
            s->label[order[i]] = given;
        }
    }
}

/* The last step; fills in the groups. Who agrees with one of a group is of it. */
static void join(struct sbd_groups *g, const struct split *s)
{
    uint8_t before[SBD_PATHS_MAX];

    memcpy(before, g->group, sizeof(before));
    for (unsigned i = 0; i < SBD_PATHS_MAX; i++)
        g->group[i] = s->label[i] ? (uint8_t)(i + 1) : 0;
    for (unsigned i = 1; i < SBD_PATHS_MAX; i++)
        for (unsigned j = 0; j < i; j++) {
            uint8_t low = MIN(g->group[i], g->group[j]), high = MAX(g->group[i], g->group[j]);

            if (!s->label[i] || s->label[i] != s->label[j] || low == high ||
                !agree(&g->paths[i], &g->paths[j], before[i] > 0 && before[i] == before[j]))
                continue;
            for (unsigned k = 0; k < SBD_PATHS_MAX; k++)
                if (g->group[k] == high)
                    g->group[k] = low;
        }
}

void sbd_groups_on_expiry(struct sbd_groups *g, instant now)
{
    double freq[SBD_PATHS_MAX], var[SBD_PATHS_MAX], skew[SBD_PATHS_MAX], loss[SBD_PATHS_MAX];
    struct split s = { .last = 1 };

    if (now < g->due)
        return;
    g->due = (now / SBD_T + 1) * SBD_T;
    for (unsigned i = 0; i < SBD_PATHS_MAX; i++) {
        struct sbd_path *p = &g->paths[i];

        if (p->known && now - p->at > SUMMARY_LIFE)
            p->known = p->bottleneck = false;
        s.label[i] = p->known && p->bottleneck;
        freq[i] = (double)p->newest.freq / SUMMARY_ONE;
        var[i] = (double)p->newest.var_us;
        skew[i] = (double)p->newest.skew / SUMMARY_ONE;
        loss[i] = (double)p->newest.loss / SUMMARY_ONE;
    }
    split_by(&s, freq, FREQ_APART, false, -1);
    split_by(&s, var, VAR_APART, true, -1);
    split_by(&s, skew, SKEW_APART, false, -1);
    split_by(&s, loss, LOSS_APART, true, LOSS_HIGH);
    join(g, &s);
    for (unsigned i = 0; i < SBD_PATHS_MAX; i++)
        g->history[g->next][i] = g->paths[i].known ? g->group[i] : SBD_UNKNOWN;
    g->next = (g->next + 1) % SBD_N;
}

double sbd_groups_overlap(const struct sbd_groups *g, unsigned a, unsigned b)
{
    unsigned known = 0, together = 0;

    for (unsigned i = 0; i < SBD_N; i++) {
        uint8_t of_a = g->history[i][a], of_b = g->history[i][b];

        if (of_a == SBD_UNKNOWN || of_b == SBD_UNKNOWN)
            continue;
        known++;
        together += of_a > 0 && of_a == of_b;
    }
    return known > 0 ? (double)together / known : 0;
}
