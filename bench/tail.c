/* See tail.h. The exponent of a mean is found by bisection: the mean falls as the exponent rises. */
#include "bench/tail.h"

#include <math.h>

#define EXPONENT_MIN .5
#define EXPONENT_MAX 64. /* of which 1 is drawn all but always */
#define PRECISION 1e-9

double tail_above(double exponent, unsigned max, unsigned k)
{
    return k > max ? 0 : pow(k, -exponent);
}

double tail_mean(double exponent, unsigned max)
{
    double sum = 0;

    for (unsigned k = max; k > 0; k--)
        sum += pow(k, -exponent);
    return sum;
}

double tail_exponent(double mean, unsigned max)
{
    double low = EXPONENT_MIN, high = EXPONENT_MAX;

    while (high - low > PRECISION) {
        double middle = (low + high) / 2;

        *(tail_mean(middle, max) > mean ? &low : &high) = middle;
    }
    return (low + high) / 2;
}

unsigned tail_draw(struct prng *rng, double exponent, unsigned max)
{
    double k = floor(pow(1 - prng_unit(rng), -1 / exponent));

    return k < max ? (unsigned)k : max;
}
