/* path/sbd.h - shared bottleneck detection (RFC 8382): which paths wait in the same queue.
 *
 * The receiver of a path keeps a struct sbd: of the one-way delays and the losses of each interval of SBD_T it makes a
 * summary (struct path_summary, wire/frame.h), which says how skewed, how wide and how slow the delay varies, and what
 * it was. The sender has a struct sbd_groups, which sorts the newest summaries of all its paths into groups, one for
 * each bottleneck.
 *
 * Delays have an unknown offset and wrap (path/owd.h). All paths of a receiver have the same intervals. */
#pragma once

#include "base/base.h"
#include "base/instant.h"
#include "path/owd.h"
#include "wire/frame.h"

#define SBD_T (350 * MSEC) /* RFC 8382 2.2; so are the next three */
#define SBD_N 50
#define SBD_M 30
#define SBD_F 20
#define SBD_SAMPLES_MIN 8 /* chosen: the mean of fewer records is that of a moment; about 270 kbit/s */
#define SBD_PATHS_MAX 8

/* --- the receiver's side --- */

struct sbd_interval {
    uint32_t samples;
    int32_t skew; /* samples below the long mean, less those above */
    uint64_t deviation;
    int64_t mean_x256;
    uint64_t expected, received; /* records */
    int8_t crossing;             /* 1: of the long mean, 0: none, -1: no bottleneck, says nothing */
};

struct sbd {
    instant ends; /* of the interval that runs */
    /* Of its samples. They count from `base`, the mean of the interval before, rounded down; `above` and `below` are
     * what is higher and lower than the long mean, from there. */
    span base, above, below;
    uint32_t samples;
    int32_t skew;
    int64_t sum;
    uint64_t deviation;
    uint64_t expected, received; /* when it began */
    struct sbd_interval *ring;   /* SBD_N intervals with data, the newest at [next - 1]; owned; NULL: there was none */
    unsigned count, next;
    int64_t mean_x256; /* of the last SBD_M: the long mean */
    instant newest_at; /* when the newest ended */
    int8_t side;       /* of the long mean, on which the delay was significantly last; 0: not yet */
    bool bottleneck, news;
    struct path_summary summary; /* without path_id */
};

/* Nothing is known of a new path. */
void sbd_init(struct sbd *e);
/* Memory is taken by the first interval with data, and given back after a pause and by this; then nothing is known any
 * more: the path has gone, or goes another way. */
void sbd_deinit(struct sbd *e);
/* A record came after `ends`: the interval ends, and another begins. owd: its delay, any multiple of OWD_MODULUS off;
 * expected, received: records in the life of the path, without it. */
void sbd_turn(struct sbd *e, span owd, uint64_t expected, uint64_t received, instant now);
/* The same without a record. */
void sbd_on_expiry(struct sbd *e, uint64_t expected, uint64_t received, instant now);
/* True and a summary, all but path_id, if there is one that was not taken yet. */
bool sbd_take(struct sbd *e, struct path_summary *ret);

/* Each record, after sbd_turn if that was due. The comparisons are with whole numbers, so that nothing is rounded. */
static inline void sbd_on_sample(struct sbd *e, span owd)
{
    span d = owd_wrap(owd - e->base);

    e->samples++;
    e->sum += d;
    e->deviation += (uint64_t)(d < 0 ? -d : d);
    e->skew += (d < e->below) - (d > e->above);
}

/* --- the sender's side --- */

#define SBD_MEANS 64u /* at least SBD_N and one more; a power of two, since numbers wrap */
#define SBD_UNKNOWN UINT8_MAX

struct sbd_path {
    bool known, bottleneck;
    instant at; /* when the newest summary came */
    struct path_summary newest;
    struct {
        uint32_t tag; /* number of the interval, and 1; 0: none */
        uint32_t mean_us;
    } means[SBD_MEANS]; /* at number % SBD_MEANS */
};

struct sbd_groups {
    instant due; /* when to sort again */
    struct sbd_path paths[SBD_PATHS_MAX];
    uint8_t group[SBD_PATHS_MAX];          /* its lowest path, and 1; 0: no bottleneck, or nothing is known */
    uint8_t history[SBD_N][SBD_PATHS_MAX]; /* `group` after each sorting, or SBD_UNKNOWN */
    unsigned next;
};

void sbd_groups_init(struct sbd_groups *g);
/* path: below SBD_PATHS_MAX. A summary that is not newer than what is known has no effect. */
void sbd_groups_on_summary(struct sbd_groups *g, unsigned path, const struct path_summary *s, instant now);
/* The path has gone, or is another. */
void sbd_groups_forget(struct sbd_groups *g, unsigned path);
/* Ask it several times in SBD_T: sorts once in each. */
void sbd_groups_on_expiry(struct sbd_groups *g, instant now);
/* The fraction of link overlap: of the last SBD_N sortings in which both were known, the share in which both were in
 * one group; 0 if there was none. */
double sbd_groups_overlap(const struct sbd_groups *g, unsigned a, unsigned b);
