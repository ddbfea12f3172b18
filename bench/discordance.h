/* bench/discordance.h - what `hawser bench discordance` found, and how it is told. */
#pragma once

#include "bench/args.h"
#include "bench/discord.h"
#include "bench/hosts.h"

/* The paper's claim: at most this ratio for more than this part of the hosts. */
#define CLAIM_RATIO .1
#define CLAIM_PART .9

enum objectives { LATENCY_LOSS, JITTER_LOSS, LATENCY_JITTER, OBJECTIVES_COUNT };

enum population { REAL, EMULATED, DROP_TAIL }; /* the last: emulated, of lines without random loss */

struct tolerance {
    double eps_ms;     /* of latency and jitter */
    unsigned eps_lost; /* of loss, in probes of an interval */
    bool drawn;        /* in the picture */
    /* Of the file that bench/matrix.h names, computed apart from this program; 0: not known. */
    double known_mean, known_within;
};

/* A distribution over hosts. */
struct spread {
    size_t hosts;
    double mean, within; /* NAN without hosts */
    struct discord_step *steps;
    size_t steps_count;
};

#define TABLE_ROWS_MAX 6

struct table {
    enum objectives objectives;
    enum population population;
    const struct tolerance *tolerances;
    size_t count;
    struct spread rows[TABLE_ROWS_MAX];
};

#define TABLES 6                 /* three in a row of the picture */
#define SENSITIVITY_OBJECTIVES 2 /* the first two */
#define SENSITIVITY_TOLERANCES 3

struct sensitivity {
    size_t hosts;
    const struct tolerance *tolerances; /* SENSITIVITY_TOLERANCES */
    struct {
        const char *name;
        double apart; /* part of the intervals in which the lines lost unequally: in others loss is content with both */
        struct spread cells[SENSITIVITY_OBJECTIVES][SENSITIVITY_TOLERANCES];
    } rows[HOST_CHANGES];
};

struct findings {
    unsigned long seed;
    struct table tables[TABLES];
    struct sensitivity sensitivity;
};

/* Of a struct findings. */
extern const struct bench_report findings_report;
