/* bench/tail.h - whole numbers with a heavy tail.
 *
 * K = min(max, floor(U^(-1/a))) of a uniform U in (0, 1], so that P(K >= k) = k^-a for k up to max: a Pareto
 * distribution in whole numbers. Its mean is the sum of k^-a for k = 1 to max. No IO. */
#pragma once

#include "base/rng.h"

/* P(K >= k). */
double tail_above(double exponent, unsigned max, unsigned k);
double tail_mean(double exponent, unsigned max);
/* The exponent, to 1e-9, of a mean between 1 and tail_mean(.5, max). */
double tail_exponent(double mean, unsigned max);
unsigned tail_draw(struct prng *rng, double exponent, unsigned max);
