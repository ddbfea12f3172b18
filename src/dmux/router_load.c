/* dmux/router_load.c - see router_load.h.
 *
 * Theory of operation. Told as measured, load swings: of two routers that are each busy for u of their time, one that
 * is busier by d tells so and loses d * u / (1 - u), which above a half is more than d; then the other is, and so on.
 * Steps do the same at their edges, and each swing moves clients.
 *
 * So what is told goes by one eighth at a time, and the next waits until the last has shown what it brings. It rises
 * when the mean has reached the next eighth. It falls only if it will not have to rise for that: telling an eighth
 * less, when f eighths are free, makes a share grow by (f + 1) / f at most, whatever others do less; so the mean times
 * that must stay half an eighth below what was told. A rise in turn takes no more than 1 / f of the share, which never
 * is enough for a fall. Others know of each other by the sum of what they leave free alone: who rises makes it smaller
 * and others rise, who falls makes it greater and others fall. So one direction does not bring about the other, and
 * steps end at a bound, all at the same load if need be; then shares are as the weights.
 *
 * Limits: 7/8 is the most that is told; from idle to there it takes 70 s, and back 7 min. */
#include "dmux/router_load.h"

#include "base/base.h"

#define FULL 65536u
#define MEAN_OF 4 /* chosen: measurements; the mean forgets nine tenths in 8 s */

void router_load_init(struct router_load *l, span used, instant now)
{
    *l = (struct router_load){ .used = used, .at = now, .changed = now, .high = now };
}

/* What the mean would be at most, if an eighth less was told. */
static uint32_t busy_with_more(const struct router_load *l)
{
    uint32_t free_steps = (FULL - l->told) / ROUTER_LOAD_STEP;

    return l->busy * (free_steps + 1) / free_steps;
}

uint16_t router_load_measure(struct router_load *l, span used, instant now)
{
    span elapsed = now - l->at;
    uint32_t share;

    if (elapsed < ROUTER_LOAD_EVERY)
        return l->told;
    share = (uint32_t)(CLAMP(used - l->used, 0, elapsed) * FULL / elapsed);
    l->busy = (l->busy * (MEAN_OF - 1) + share) / MEAN_OF;
    l->used = used;
    l->at = now;
    if (l->told == 0 || busy_with_more(l) + ROUTER_LOAD_STEP / 2 >= l->told)
        l->high = now;
    if (l->busy >= l->told + ROUTER_LOAD_STEP && l->told + ROUTER_LOAD_STEP < FULL &&
        now >= l->changed + ROUTER_LOAD_RISE) {
        l->told += ROUTER_LOAD_STEP;
        l->changed = l->high = now;
    } else if (now >= l->high + ROUTER_LOAD_FALL) {
        l->told -= ROUTER_LOAD_STEP;
        l->changed = l->high = now;
    }
    return l->told;
}
