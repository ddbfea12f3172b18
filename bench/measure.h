/* bench/measure.h - what small measurements share: a clock in seconds, and quantiles of what was measured. */
#pragma once

#include <stdlib.h>
#include <time.h>

/* CLOCK_PROCESS_CPUTIME_ID where only the work counts, CLOCK_MONOTONIC where waiting does, too. */
static inline double measure_now_s(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline int measure_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The value that so many percent are not above; sorts them. count > 0. */
static inline double measure_quantile(double *values, size_t count, unsigned percent)
{
    qsort(values, count, sizeof(*values), measure_compare);
    return values[(count * percent + 99) / 100 - 1];
}

/* Sorts them. count: at least 1; of an even number the upper one. */
static inline double measure_median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), measure_compare);
    return values[count / 2];
}
