/* bench/coordinates.h - what `hawser sim coordinates` finds: how well gateways that measure a few others know the way
 * to all, and what it costs those who choose by it. */
#pragma once

#include "bench/args.h"
#include "bench/distribution.h"

#define COORDINATES_TIMES 8 /* when the error is looked at */

enum coordinates_choice {
    CHOICE_FOUR,     /* the nearest four by estimate are asked, and the nearest of them is taken */
    CHOICE_ESTIMATE, /* the nearest by estimate */
    CHOICE_ANY,      /* any: what no knowledge costs */
    CHOICE_COUNT,
};

struct coordinates_found {
    unsigned long seed, gateways, routers, providers, neighbours, liars;
    char source[64];
    double error_s[COORDINATES_TIMES];
    struct distribution error[COORDINATES_TIMES]; /* |estimate - round trip| / round trip */
    struct distribution stretch[CHOICE_COUNT];    /* of what was chosen, by what a full mesh would */
    struct distribution more_ms[CHOICE_COUNT];
    size_t link_bytes; /* of a link's state in a gateway */
};

/* Of a struct coordinates_found. */
extern const struct bench_report coordinates_report;
