/* prog/realmd_refused.h - see realmd_refused.c. */
#pragma once

#include "base/instant.h"
#include "ident/record.h"

#define REFUSALS_LINE 1024
#define REFUSALS_EACH (60 * SEC)

struct refusals { /* zeros: nothing was told */
    uint64_t told[RECORD_FAULT_COUNT];
    instant next;
};

/* Whether it is time to look. */
bool refusals_due(const struct refusals *r, instant now);
/* The counters as they are now: true and a line without its head if there is something to tell. */
bool refusals_tell(struct refusals *r, const uint64_t refused[RECORD_FAULT_COUNT], instant now,
                   char out[REFUSALS_LINE]);
