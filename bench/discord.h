/* bench/discord.h - do two objectives choose the same path? The discordance ratio of a host and its distribution.
 *
 * In one interval, objective A is content with each path whose value is within a tolerance of the best one; so is B.
 * The interval is discordant when no path contents both. Habib, Christin and Chuang, Taking advantage of multihoming
 * with session layer striping, IEEE Global Internet Symposium 2006, figure 2. No IO, no allocation. */
#pragma once

#include "base/base.h"

#define DISCORD_PATHS_MAX 8

enum discord {
    DISCORD_NO = 0,
    DISCORD_YES,
    DISCORD_INVALID, /* fewer than two paths have both values: there is nothing to choose */
};

/* What two objectives make of one interval. a[i], b[i]: values of path i of `paths`, at most DISCORD_PATHS_MAX; less is
 * better; NAN: not known, and the path is left out. The tolerances are in the units of the values, >= 0. */
enum discord discord_interval(const double *a, const double *b, size_t paths, double eps_a, double eps_b);

/* Of one host. */
struct discord_count {
    unsigned valid, discordant;
};

void discord_add(struct discord_count *c, enum discord interval);
/* Discordant of valid intervals; NAN: none was valid. */
double discord_ratio(const struct discord_count *c);

/* Sorts the ratios of hosts; NANs are taken out. Returns how many are left. The functions below want them so. */
size_t discord_sort(double *ratios, size_t count);
/* NAN of none. */
double discord_mean(const double *ratios, size_t count);
/* The part of the hosts whose ratio is at most limit; NAN of none. */
double discord_within(const double *ratios, size_t count, double limit);

/* A step of the distribution: `part` of the hosts have at most this ratio. */
struct discord_step {
    double ratio, part;
};

/* A step for each ratio that occurs, from the smallest; ret has room for count. Returns how many. */
size_t discord_steps(const double *ratios, size_t count, struct discord_step *ret);
