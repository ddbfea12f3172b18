/* Time and randomness.
 *
 * CLOCK_BOOTTIME rather than CLOCK_MONOTONIC: after a suspend, keys that are too old must not be used and leases that
 * have run out must not be believed, and only this clock counts the time asleep. It is as cheap: the vDSO serves it
 * without a system call since Linux 5.3. libuv's own timers stop while asleep; whoever sets one computes it from
 * clock_now, so after a resume it is late by no more than it was set for.
 *
 * getrandom without flags blocks only until the kernel's pool is first seeded.
 * Sources: clock_gettime(2), vdso(7), getrandom(2). */
#include "sys/clock.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

instant clock_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return (instant)ts.tv_sec * SEC + ts.tv_nsec / 1000;
}

uint64_t clock_wall_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME_COARSE, &t);              /* of the last tick, without a look at a counter */
    return t.tv_sec < 1577836800 ? 0 : (uint64_t)t.tv_sec; /* 2020-01-01: machines without a clock begin in 1970 */
}

static void fill_random(void *ctx, void *buf, size_t len)
{
    uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            abort(); /* a program without randomness must not make keys */
        p += n;
        len -= (size_t)n;
    }
}

struct rng sys_rng(void)
{
    return (struct rng){ .fill = fill_random };
}
