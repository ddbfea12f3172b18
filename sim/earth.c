/* sim/earth.c - see earth.h. */
#include "sim/earth.h"

#include "base/base.h"

#include <math.h>

#define EARTH_KM 6371.
#define KM_A_MS 200. /* light in a fibre */
#define DETOUR .4    /* chosen: how much longer than the great circle a way is, in the mean */

double earth_exponential(struct prng *p, double mean)
{
    return -mean * log(1 - prng_unit(p));
}

void earth_place(struct earth_host *h, double crowd, struct prng *p)
{
    double length = 0;

    for (size_t d = 0; d < 3; d++) {
        h->at[d] = prng_normal(p) + (d == 0 ? crowd : 0);
        length += h->at[d] * h->at[d];
    }
    for (size_t d = 0; d < 3; d++)
        h->at[d] /= sqrt(length);
}

double earth_core_ms(const struct earth_host *hosts, uint64_t seed, size_t i, size_t j)
{
    const struct earth_host *x = &hosts[MIN(i, j)], *y = &hosts[MAX(i, j)];
    struct prng of_pair;
    double cosine = 0;

    for (size_t d = 0; d < 3; d++)
        cosine += x->at[d] * y->at[d];
    prng_init(&of_pair, seed + (uint64_t)MIN(i, j) * EARTH_HOSTS_MAX + MAX(i, j));
    return 2 * EARTH_KM * acos(CLAMP(cosine, -1., 1.)) / KM_A_MS * (1 + earth_exponential(&of_pair, DETOUR));
}

double earth_way_ms(const struct earth_host *hosts, uint64_t seed, size_t i, size_t j)
{
    return earth_core_ms(hosts, seed, i, j) + hosts[i].access_ms + hosts[j].access_ms;
}
