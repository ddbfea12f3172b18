/* bench/quantile.h - of measured values. No IO. */
#pragma once

#include <stddef.h>

/* The value that so many percent are not above; sorts them. count > 0. */
double quantile_of(double *values, size_t count, unsigned percent);
