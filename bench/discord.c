/* The discordance ratio and its distribution over hosts.
 *
 * A tie is no choice: both paths are in the set. Values are compared as they are, so that whoever computed them by
 * subtraction may find two equal decimals unequal by a binary fraction; a tolerance below their resolution ends that.
 */
#include "bench/discord.h"

#include <assert.h>
#include <math.h>

/* Which of the known paths are within eps of the best one, a bit each. */
static unsigned content(const double *values, unsigned known, size_t paths, double eps)
{
    double best = INFINITY;
    unsigned set = 0;

    for (size_t i = 0; i < paths; i++) {
        if (known >> i & 1)
            best = fmin(best, values[i]);
    }
    for (size_t i = 0; i < paths; i++) {
        if ((known >> i & 1) && values[i] <= best + eps)
            set |= 1u << i;
    }
    return set;
}

enum discord discord_interval(const double *a, const double *b, size_t paths, double eps_a, double eps_b)
{
    unsigned known = 0, count = 0;

    assert(paths <= DISCORD_PATHS_MAX && eps_a >= 0 && eps_b >= 0);
    for (size_t i = 0; i < paths; i++) {
        if (!isnan(a[i]) && !isnan(b[i])) {
            known |= 1u << i;
            count++;
        }
    }
    if (count < 2)
        return DISCORD_INVALID;
    return content(a, known, paths, eps_a) & content(b, known, paths, eps_b) ? DISCORD_NO : DISCORD_YES;
}

void discord_add(struct discord_count *c, enum discord interval)
{
    c->valid += interval != DISCORD_INVALID;
    c->discordant += interval == DISCORD_YES;
}

double discord_ratio(const struct discord_count *c)
{
    return c->valid > 0 ? (double)c->discordant / c->valid : NAN;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

size_t discord_sort(double *ratios, size_t count)
{
    size_t left = 0;

    for (size_t i = 0; i < count; i++) {
        if (!isnan(ratios[i]))
            ratios[left++] = ratios[i];
    }
    if (left > 0)
        qsort(ratios, left, sizeof(*ratios), by_size);
    return left;
}

double discord_mean(const double *ratios, size_t count)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += ratios[i];
    return count > 0 ? sum / (double)count : NAN;
}

double discord_within(const double *ratios, size_t count, double limit)
{
    size_t n = 0;

    while (n < count && ratios[n] <= limit)
        n++;
    return count > 0 ? (double)n / (double)count : NAN;
}

size_t discord_steps(const double *ratios, size_t count, struct discord_step *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        /* The last of equal ones tells. */
        if (i + 1 < count && ratios[i + 1] == ratios[i])
            continue;
        ret[n++] = (struct discord_step){ .ratio = ratios[i], .part = (double)(i + 1) / (double)count };
    }
    return n;
}
