/* Draws of clients, servers, gateways and routers, and the legs of their paths. Ties go to who was drawn first. */
#include <math.h>

#include "bench/stretch.h"

static double ratio(double path, double direct)
{
    return direct > 0 ? path / direct : NAN;
}

static double whole(const struct stretch_legs *l, enum stretch_metric metric)
{
    double to_router = l->client_gateway + l->gateway_router;

    switch (metric) {
    case STRETCH_DMUX_PLAIN:
        return to_router + l->router_server;
    case STRETCH_DMUX_NATIVE:
        return to_router + l->router_last + l->last_server;
    case STRETCH_DIRECT_PLAIN:
        return l->client_nearest + l->nearest_server;
    case STRETCH_DIRECT_NATIVE:
        return l->client_nearest + l->nearest_last + l->last_server;
    default:
        return NAN;
    }
}

double stretch_metric(const struct stretch_legs *l, enum stretch_metric metric)
{
    if (metric == STRETCH_DMUX_FAR && l->client_router < STRETCH_FAR_MS)
        return NAN;
    if (metric == STRETCH_DMUX || metric == STRETCH_DMUX_FAR)
        return ratio(l->client_gateway + l->gateway_router, l->client_router);
    if (metric == STRETCH_IPVN)
        return ratio(l->router_last + l->last_server, l->router_server);
    return ratio(whole(l, metric), l->client_server);
}

double stretch_difference(const struct stretch_legs *l, enum stretch_metric metric)
{
    return whole(l, metric) - l->client_server;
}

void stretch_choose(uint16_t *permutation, size_t size, size_t count, struct prng *rng)
{
    for (size_t i = 0; i < count; i++) {
        size_t k = i + prng_below(rng, size - i);
        uint16_t there = permutation[k];

        permutation[k] = permutation[i];
        permutation[i] = there;
    }
}

/* Of the POPs in `at` the one that is nearest to `pop`, or that pop is nearest to. */
static size_t nearest(const float *ms, size_t size, const uint16_t *at, size_t count, size_t pop, bool towards)
{
    float best_ms = INFINITY;
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < count; i++) {
        float there = towards ? ms[at[i] * size + pop] : ms[pop * size + at[i]];

        if (there < best_ms) {
            best = at[i];
            best_ms = there;
        }
    }
    return best;
}

/* gateway SIZE_MAX: none. */
static bool legs_of(const float *ms, size_t size, size_t gateway, const uint16_t *routers, size_t count, size_t client,
                    size_t server, struct stretch_legs *ret)
{
    size_t near_client = nearest(ms, size, routers, count, client, false),
           last = nearest(ms, size, routers, count, server, true), first;

    if (near_client == SIZE_MAX || last == SIZE_MAX)
        return false;
    first = gateway == SIZE_MAX ? near_client : nearest(ms, size, routers, count, gateway, false);
    if (first == SIZE_MAX)
        return false;
#define MS(from, to) ((double)ms[(from)*size + (to)])
    *ret = (struct stretch_legs){
        .client_gateway = gateway == SIZE_MAX ? NAN : MS(client, gateway),
        .gateway_router = gateway == SIZE_MAX ? NAN : MS(gateway, first),
        .client_router = MS(client, first),
        .router_server = MS(first, server),
        .router_last = MS(first, last),
        .last_server = MS(last, server),
        .client_nearest = MS(client, near_client),
        .nearest_server = MS(near_client, server),
        .nearest_last = MS(near_client, last),
        .client_server = MS(client, server),
    };
#undef MS
    return isfinite(ret->client_router) && isfinite(ret->router_server) && isfinite(ret->router_last) &&
           isfinite(ret->nearest_server) && isfinite(ret->nearest_last) && isfinite(ret->client_server) &&
           !isinf(ret->client_gateway) && !isinf(ret->gateway_router);
}

bool stretch_draw(const struct topology *t, uint16_t *scratch, size_t gateways, size_t routers, struct prng *rng,
                  struct stretch_legs *ret)
{
    size_t client, server, gateway = SIZE_MAX;

    stretch_choose(scratch, t->pops, 2, rng);
    client = scratch[0];
    server = scratch[1];
    if (gateways > 0) {
        stretch_choose(scratch, t->pops, gateways, rng);
        gateway = topology_anycast(t, client, scratch, gateways);
        if (gateway == SIZE_MAX)
            return false;
    }
    stretch_choose(scratch, t->pops, routers, rng);
    return legs_of(t->ms, t->pops, gateway, scratch, routers, client, server, ret);
}

bool stretch_measured(const struct rtt *m, const uint16_t *gateways, size_t gateways_count, const uint16_t *routers,
                      size_t routers_count, size_t client, size_t server, struct stretch_legs *ret)
{
    size_t gateway = nearest(m->ms, m->count, gateways, gateways_count, client, false);

    return gateway != SIZE_MAX && legs_of(m->ms, m->count, gateway, routers, routers_count, client, server, ret);
}
