/* base/instant.h - time as an argument.
 *
 * The cores never read a clock: whoever drives them passes `now`. An instant is microseconds of a monotonic clock with
 * an arbitrary zero that is well below any `now`; a span is the difference of two. */
#pragma once

#include <stdint.h>

typedef int64_t instant; /* us, monotonic */
typedef int64_t span;    /* us */

#define INSTANT_NEVER INT64_MAX
#define USEC ((span)1)
#define MSEC ((span)1000)
#define SEC ((span)1000000)

static inline instant instant_min(instant a, instant b)
{
    return a < b ? a : b;
}
