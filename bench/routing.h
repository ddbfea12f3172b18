/* bench/routing.h - what `hawser sim routing` found, and how it is told. */
#pragma once

#include "bench/args.h"
#include "bench/realm_tree.h"
#include "bench/route_table.h"

#define ROUTING_A_YEAR 4 /* points: growth is seen between the steps of adoption */
#define ROUTING_YEARS 6
#define ROUTING_POINTS (ROUTING_YEARS * ROUTING_A_YEAR + 1)
#define ROUTING_SERIES_MAX 32
#define ROUTING_DRAWS 20    /* sets of ASes; chosen: the largest ASes differ most from set to set */
#define ROUTING_HALF_MAX 20 /* years, in which a table is looked for that is half as large */

enum routing_group { GROUP_FIGURE, GROUP_GROWTH, GROUP_PACE, GROUP_KEPT, GROUP_PROXIES, GROUPS };

struct routing_series {
    enum routing_group group;
    char name[48];
    struct route_params params;
    struct route_point points[ROUTING_POINTS];
    double half_years; /* the first half-year with at most half of P0; NAN: none in ROUTING_HALF_MAX years */
};

/* ASes one by one: of ROUTING_DRAWS sets. */
struct routing_ases {
    double mean[ROUTING_POINTS], low[ROUTING_POINTS], high[ROUTING_POINTS];
};

struct routing_load {
    double hosts, bindings, refresh_s; /* of an AS, of a host, s */
};

/* Of the managers of one level. */
struct routing_level {
    size_t managers;
    uint64_t own[2], by_prefix[2], flat[2]; /* median, largest */
};

struct routing {
    unsigned long seed;
    struct route_params base;
    struct routing_load load;
    struct routing_series series[ROUTING_SERIES_MAX];
    size_t series_count;
    double tail_exponent;
    unsigned tail_max;
    double tail_mean; /* asked; what was drawn, of ROUTING_DRAWS sets, at the beginning: */
    double drawn_mean, drawn_low, drawn_high;
    struct routing_ases ases[AS_ORDERS];
    struct realm_tree tree;
    struct routing_level levels[REALM_LEVELS];
    uint64_t entities, by_prefix, flat; /* all managers' entries beyond their own, together */
    double joins_flat;                  /* tables that a new entity changes, on the average; by prefix it is 1 */
};

extern const char *const routing_orders[AS_ORDERS];

double routing_years(size_t point);
/* Of a struct routing. */
extern const struct bench_report routing_report;
