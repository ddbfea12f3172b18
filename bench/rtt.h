/* bench/rtt.h - measured round trips between any two of many nodes, from a file. No IO.
 *
 * Two forms: a square of numbers, a line for each node, tabs or blanks between them, ms; or lines
 * `i,j,min,avg,max,stddev` in microseconds, of which min is taken, behind lines that begin with #. 0 or less off the
 * diagonal is missing. */
#pragma once

#include "base/base.h"

#define RTT_NODES_MAX 1024
#define RTT_ERROR_MAX 320

struct rtt {
    size_t count;
    float *ms; /* count x count; INFINITY: missing; 0 on the diagonal */
};

/* 0; -EINVAL and err: name, line, what was found and what was expected; -ENOMEM. */
MUST_CHECK int rtt_parse(struct rtt *ret, const char *text, size_t len, const char *name, char err[RTT_ERROR_MAX]);
void rtt_deinit(struct rtt *r);
