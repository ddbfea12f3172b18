/* sim/earth.h - hosts on an Earth that is drawn: where each is, and the round trip between any two. */
#pragma once

#include "base/rng.h"

#include <stddef.h>
#include <stdint.h>

#define EARTH_HOSTS_MAX 100000
#define EARTH_ACCESS_MS 2. /* chosen: the mean of an access link, there and back */

struct earth_host {
    double at[3];     /* of length 1 */
    double access_ms; /* of its access link; the caller's to set */
};

double earth_exponential(struct prng *p, double mean);
/* Anywhere; crowd: 0, or the more, the nearer to one place. */
void earth_place(struct earth_host *h, double crowd, struct prng *p);
/* The round trip of the ways between two without their access links, ms: a great circle in a fibre, longer by a detour
 * that follows from seed and pair alone, so that triangles do not hold. i, j: their numbers, below EARTH_HOSTS_MAX. */
double earth_core_ms(const struct earth_host *hosts, uint64_t seed, size_t i, size_t j);
/* With them. */
double earth_way_ms(const struct earth_host *hosts, uint64_t seed, size_t i, size_t j);
