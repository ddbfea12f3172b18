/* mapping/wheel.h - a timer wheel of leases: starting, stopping and ending one costs the same whatever their number.
 *
 * Timers are known by a number below 2^32 - 1, and their links are the owner's (struct wheel_link in each of its rows).
 * The wheel turns in seconds; what is due in second n is given out when the owner's clock has passed its end. */
#pragma once

#include "base/instant.h"

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_LEVELS 4
#define WHEEL_SLOTS 256
#define WHEEL_NONE UINT32_MAX

struct wheel_link {
    uint32_t next, before; /* WHEEL_NONE at the ends */
    uint32_t due;          /* in seconds of the wheel */
    uint16_t slot;         /* level * WHEEL_SLOTS + slot; UINT16_MAX: in none */
};

/* The link of a timer; must not change the wheel. */
typedef struct wheel_link *wheel_link_fn(void *owner, uint32_t timer);

struct wheel {
    instant start;
    uint32_t turned; /* all seconds up to this one are done */
    uint32_t counts[WHEEL_LEVELS];
    uint32_t heads[WHEEL_LEVELS * WHEEL_SLOTS];
    wheel_link_fn *link;
    void *owner;
};

/* Runs for 136 years from `now`. */
void wheel_init(struct wheel *w, instant now, wheel_link_fn *link, void *owner);
void wheel_link_init(struct wheel_link *l);
/* Starts a timer, or starts it anew. `at` in the past is due at once. */
void wheel_start(struct wheel *w, uint32_t timer, instant at);
/* Does nothing when it is not started. */
void wheel_stop(struct wheel *w, uint32_t timer);
/* The next timer that is due by now, which is stopped; WHEEL_NONE when there is none or *budget steps were made, of
 * which each is taken off. */
uint32_t wheel_pop(struct wheel *w, instant now, uint32_t *budget);
/* When to look again: not after the next timer is due; INSTANT_NEVER when none runs. */
instant wheel_next(const struct wheel *w);
