/* bench/hosts.h - emulated hosts of two access lines and a day of measuring them; what if they were different? */
#pragma once

#include "bench/matrix.h"
#include "sim/access.h"

#define HOST_LINES MATRIX_LINES
#define HOST_INTERVALS 24 /* one an hour of a day: chosen: ratios in steps of .04, and the load of every hour */

struct host {
    struct access_line lines[HOST_LINES];
    uint64_t seeds[HOST_INTERVALS][HOST_LINES];
};

struct host_day {
    struct access_report reports[HOST_INTERVALS][HOST_LINES];
};

/* What is not as it was drawn. */
struct host_change {
    const char *name;
    double buffers, loads, loss; /* times as large, as many, as often */
    uint32_t probe_bytes;
    bool same_depths; /* both lines' buffers hold as many milliseconds as the first one's */
    enum { BURSTS_DRAWN = 0, BURSTS_NONE, BURSTS_ALL } bursts;
};

enum { CHANGE_NONE, CHANGE_DROP_TAIL };

/* CHANGE_NONE and CHANGE_DROP_TAIL first. Each differs from how it was drawn in one thing. */
#define HOST_CHANGES 11
extern const struct host_change host_changes[HOST_CHANGES];

/* The first hosts of a seed are the same however many are drawn. Base round trips are those of random series of m.
 * 0, or -ENODATA: no series has round trips of both lines. */
MUST_CHECK int hosts_draw(struct host *hosts, size_t count, const struct matrix *m, uint64_t seed);
/* Each host's day. What is drawn does not depend on the change. 0 or -ENOMEM. */
MUST_CHECK int hosts_measure(const struct host *hosts, size_t count, const struct host_change *change,
                             struct host_day *days);
