/* bench/distribution.h - how values are distributed: each hundredth of them, and their curve in a picture. */
#pragma once

#include "bench/plot.h"

#define DISTRIBUTION_STEPS 100

/* Each hundredth of values from the least to the greatest; NAN: there were none. */
struct distribution {
    double at[DISTRIBUTION_STEPS + 1];
    unsigned long count;
};

/* The values are sorted. */
void distribution_of(double *values, size_t count, struct distribution *ret);
/* The cumulative curve; the points are its, and stay the caller's. */
struct plot_curve distribution_curve(const struct distribution *d, const char *name,
                                     struct plot_point points[DISTRIBUTION_STEPS + 1]);
