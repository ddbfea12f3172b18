/* prog/progress.h - how far a copy is, as one line for a terminal. Pure: time and counters are arguments. */
#pragma once

#include "base/base.h"
#include "base/instant.h"
#include "hawser/session.h"

#define PROGRESS_LINKS 8
#define PROGRESS_SPAN (200 * MSEC) /* between two lines: often enough to be looked at */

struct progress {
    instant began, at; /* of the first sample and the newest; INSTANT_NEVER: none */
    uint64_t bytes;
    double bps; /* smoothed */
    struct progress_link {
        char name[16];
        uint64_t bytes;
        double bps; /* smoothed */
    } links[PROGRESS_LINKS];
    size_t links_count;
    bool down; /* no path works */
};

void progress_init(struct progress *p);
/* bytes: all that the receiver has got in this session, which does not go back. */
void progress_sample(struct progress *p, uint64_t bytes, const struct hws_path *paths, size_t count, instant now);
/* Writes the line into buf: at most so many columns, and NUL; without a new line. */
void progress_line(const struct progress *p, const char *name, uint64_t done, uint64_t total, size_t columns, char *buf,
                   size_t size);
/* "l1 12.3 + l2 4.1 Mbit/s"; empty without links. bps: of each of p->links. */
void progress_links(const struct progress *p, const double *bps, char *buf, size_t size);
