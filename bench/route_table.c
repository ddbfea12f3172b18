/* See route_table.h.
 *
 * Theory of operation. An AS has one turn for each order. At random, it is a number drawn. Largest first, it is the
 * part of the distribution that has more prefixes, and a share, drawn, of those that have as many: so turns are uniform
 * over ASes, whenever they come to be, and an AS that has adopted never goes back. Smallest first is the reverse. */
#include "bench/route_table.h"

#include <errno.h>
#include <math.h>

#include "base/rng.h"
#include "bench/tail.h"

#define HALF_YEARS_SLACK 1e-9 /* so that floor(2t) of a t that was summed up is not one less */

struct route_point route_at(const struct route_params *p, double years)
{
    double grown = pow(1 + p->growth, years);
    struct route_point at = { .ases = p->ases * grown,
                              .prefixes = p->prefixes * grown,
                              .adopted = MIN(1, p->pace * floor(2 * years + HALF_YEARS_SLACK)) };

    at.table = (1 - at.adopted) * at.prefixes + at.adopted * p->kept * at.ases + (at.adopted > 0 ? p->proxies : 0);
    return at;
}

double route_registrations(const struct route_params *p, double years, double hosts, double bindings, double refresh_s)
{
    struct route_point at = route_at(p, years);

    return at.adopted * at.ases * hosts * bindings / refresh_s;
}

double route_growth(double times, double years)
{
    return pow(times, 1 / years) - 1;
}

int as_set_init(struct as_set *set, size_t count, double exponent, unsigned max, uint64_t seed)
{
    struct prng rng;

    *set = (struct as_set){ .prefixes = calloc(count, sizeof(*set->prefixes)), .count = count };
    for (size_t o = 0; o < AS_ORDERS; o++)
        set->turns[o] = calloc(count, sizeof(*set->turns[o]));
    if (!set->prefixes || !set->turns[AS_RANDOM] || !set->turns[AS_LARGEST] || !set->turns[AS_SMALLEST]) {
        as_set_deinit(set);
        return -ENOMEM;
    }
    prng_init(&rng, seed);
    for (size_t i = 0; i < count; i++) {
        unsigned k = set->prefixes[i] = tail_draw(&rng, exponent, max);
        double more = tail_above(exponent, max, k + 1), as_many = tail_above(exponent, max, k) - more;

        set->turns[AS_RANDOM][i] = prng_unit(&rng);
        set->turns[AS_LARGEST][i] = more + as_many * prng_unit(&rng);
        set->turns[AS_SMALLEST][i] = 1 - set->turns[AS_LARGEST][i];
    }
    return 0;
}

void as_set_deinit(struct as_set *set)
{
    free(set->prefixes);
    for (size_t o = 0; o < AS_ORDERS; o++)
        free(set->turns[o]);
    *set = (struct as_set){ 0 };
}

struct route_point as_set_at(const struct as_set *set, const struct route_params *p, enum as_order order, double years)
{
    struct route_point at = route_at(p, years);
    size_t count = MIN((size_t)llround(at.ases), set->count), adopted = 0;
    double stay = 0;

    at.ases = (double)count;
    at.prefixes = 0;
    for (size_t i = 0; i < count; i++) {
        at.prefixes += set->prefixes[i];
        if (set->turns[order][i] < at.adopted)
            adopted++;
        else
            stay += set->prefixes[i];
    }
    at.table = stay + p->kept * (double)adopted + (at.adopted > 0 ? p->proxies : 0);
    return at;
}
