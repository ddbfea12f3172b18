/* See quantile.h. */
#include "bench/quantile.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double quantile_of(double *values, size_t count, unsigned percent)
{
    qsort(values, count, sizeof(*values), compare);
    return values[(count * percent + 99) / 100 - 1];
}
