#include "bench/distribution.h"

#include <math.h>
#include <stdlib.h>

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

void distribution_of(double *values, size_t count, struct distribution *ret)
{
    qsort(values, count, sizeof(*values), by_size);
    ret->count = count;
    for (size_t i = 0; i <= DISTRIBUTION_STEPS; i++)
        ret->at[i] = count > 0 ? values[(count - 1) * i / DISTRIBUTION_STEPS] : NAN;
}

struct plot_curve distribution_curve(const struct distribution *d, const char *name,
                                     struct plot_point points[DISTRIBUTION_STEPS + 1])
{
    struct plot_curve c = { .points = points, .count = DISTRIBUTION_STEPS + 1, .stepped = true };

    snprintf(c.name, sizeof(c.name), "%s", name);
    for (size_t i = 0; i <= DISTRIBUTION_STEPS; i++)
        points[i] = (struct plot_point){ d->at[i], (double)i / DISTRIBUTION_STEPS };
    return c;
}
