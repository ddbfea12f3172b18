/* bench/route_table.h - how large the routing table of the default-free zone is while its networks become stub realms.
 *
 * The evaluation of the multi-granularity multihoming framework (its section V.A), in years from the beginning:
 *
 *     N(t) = N0 (1 + g)^t                 autonomous systems (ASes)
 *     P(t) = P0 (1 + g)^t                 prefixes without adoption
 *     d(t) = min(1, s floor(2t))          the part of the ASes that has adopted: steps of half a year
 *     T(t) = (1 - d) P + d f N + X        prefixes in the table; X only once anybody has adopted
 *
 * and the same over ASes one by one, whose numbers of prefixes have a heavy tail. The paper has f = 1 and no X. No IO.
 */
#pragma once

#include "base/base.h"

struct route_params {
    double ases;     /* N0 */
    double prefixes; /* P0 */
    double growth;   /* g, a year */
    double pace;     /* s, of all ASes in half a year */
    double kept;     /* f, 0 to 1: prefixes that stay in the table of an AS that has adopted */
    double proxies;  /* X: aggregates that proxies announce, so that adopters can be reached from the old Internet */
};

struct route_point {
    double ases, prefixes, adopted, table; /* N, P, d, T */
};

struct route_point route_at(const struct route_params *p, double years);
/* What registering costs all realm managers together, a second: d N hosts bindings / refresh. */
double route_registrations(const struct route_params *p, double years, double hosts, double bindings, double refresh_s);
/* The growth a year with which something has become so many times as much. */
double route_growth(double times, double years);

/* --- ASes one by one --- */

/* Who adopts first. */
enum as_order { AS_RANDOM, AS_LARGEST, AS_SMALLEST, AS_ORDERS };

struct as_set {
    unsigned *prefixes;       /* in the order in which ASes come to be */
    double *turns[AS_ORDERS]; /* in [0, 1): an AS has adopted once d(t) is above its turn */
    size_t count;
};

/* ASes whose numbers of prefixes are by bench/tail.h. 0 or -ENOMEM. */
MUST_CHECK int as_set_init(struct as_set *set, size_t count, double exponent, unsigned max, uint64_t seed);
void as_set_deinit(struct as_set *set);
/* As route_at, counted over the first N(t) ASes of the set, of which there must be as many: P0 is what they have. */
struct route_point as_set_at(const struct as_set *set, const struct route_params *p, enum as_order order, double years);
