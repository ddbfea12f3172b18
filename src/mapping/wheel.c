/* mapping/wheel.c - see wheel.h.
 *
 * Theory of operation. A hierarchical timing wheel: level 0 has a slot for each of the next seconds, level 1 one for
 * each 256 of them, and so on. A timer stands in the level of the highest byte in which its second differs from the
 * present one. When the present second's lower bytes come round to zero, the slot of the next level that it has reached
 * is emptied into lower ones; so a timer moves at most three times in its life. Levels that are empty are passed over
 * at a stride.
 *
 * Limits: 4 levels of 256 slots, 2^32 seconds. Source: Varghese and Lauck, "Hashed and hierarchical timing wheels"
 * (SOSP 1987), scheme 7. */
#include "mapping/wheel.h"

#define IN_NONE UINT16_MAX

void wheel_init(struct wheel *w, instant now, wheel_link_fn *link, void *owner)
{
    *w = (struct wheel){ .start = now, .link = link, .owner = owner };
    for (uint32_t i = 0; i < WHEEL_LEVELS * WHEEL_SLOTS; i++)
        w->heads[i] = WHEEL_NONE;
}

void wheel_link_init(struct wheel_link *l)
{
    *l = (struct wheel_link){ .next = WHEEL_NONE, .before = WHEEL_NONE, .slot = IN_NONE };
}

/* The first second whose end is at or after `at`. */
static uint32_t second_of(const struct wheel *w, instant at)
{
    int64_t s = at <= w->start ? 0 : (at - w->start + SEC - 1) / SEC;

    return s > UINT32_MAX ? UINT32_MAX : (uint32_t)s;
}

static void put(struct wheel *w, uint32_t timer)
{
    struct wheel_link *l = w->link(w->owner, timer);
    uint32_t differs = l->due ^ w->turned, level = differs >> 24 ? 3 : differs >> 16 ? 2 : differs >> 8 ? 1 : 0;

    l->slot = (uint16_t)(level * WHEEL_SLOTS + (l->due >> 8 * level & (WHEEL_SLOTS - 1)));
    l->before = WHEEL_NONE;
    l->next = w->heads[l->slot];
    if (l->next != WHEEL_NONE)
        w->link(w->owner, l->next)->before = timer;
    w->heads[l->slot] = timer;
    w->counts[level]++;
}

void wheel_stop(struct wheel *w, uint32_t timer)
{
    struct wheel_link *l = w->link(w->owner, timer);

    if (l->slot == IN_NONE)
        return;
    if (l->before == WHEEL_NONE)
        w->heads[l->slot] = l->next;
    else
        w->link(w->owner, l->before)->next = l->next;
    if (l->next != WHEEL_NONE)
        w->link(w->owner, l->next)->before = l->before;
    w->counts[l->slot / WHEEL_SLOTS]--;
    l->slot = IN_NONE;
}

void wheel_start(struct wheel *w, uint32_t timer, instant at)
{
    uint32_t due = second_of(w, at);

    wheel_stop(w, timer);
    w->link(w->owner, timer)->due =
        due > w->turned ? due : w->turned; /* the present second's slot is looked at again */
    put(w, timer);
}

/* The first timer in the slot of a level that the present second is in. */
static uint32_t head_of(const struct wheel *w, uint32_t level)
{
    return w->heads[level * WHEEL_SLOTS + (w->turned >> 8 * level & (WHEEL_SLOTS - 1))];
}

/* How far one may go from a second without passing anything: the first second at which a slot that is not empty may be
 * reached, given which levels are empty. */
static uint32_t next_second(const struct wheel *w)
{
    uint32_t level = 0;
    uint64_t stride;

    while (level < WHEEL_LEVELS - 1 && w->counts[level] == 0)
        level++;
    stride = 1ull << 8 * level;
    stride = (w->turned / stride + 1) * stride;
    return stride > UINT32_MAX ? UINT32_MAX : (uint32_t)stride;
}

uint32_t wheel_pop(struct wheel *w, instant now, uint32_t *budget)
{
    int64_t passed = (now - w->start) / SEC;
    uint32_t until = passed < 0 ? 0 : passed > UINT32_MAX ? UINT32_MAX : (uint32_t)passed;

    for (; *budget > 0; --*budget) {
        uint32_t level = WHEEL_LEVELS, timer, next;

        /* What stands in a higher level's slot of the present second belongs lower by now. */
        while (level > 1 && head_of(w, level - 1) == WHEEL_NONE)
            level--;
        timer = head_of(w, level - 1);
        if (timer != WHEEL_NONE) {
            wheel_stop(w, timer);
            if (level == 1) {
                --*budget;
                return timer;
            }
            put(w, timer);
            continue;
        }
        if (w->turned >= until)
            return WHEEL_NONE;
        next = next_second(w);
        w->turned = next < until ? next : until;
    }
    return WHEEL_NONE;
}

instant wheel_next(const struct wheel *w)
{
    uint32_t second = w->turned;

    if (!(w->counts[0] | w->counts[1] | w->counts[2] | w->counts[3]))
        return INSTANT_NEVER;
    for (uint32_t level = 0; level < WHEEL_LEVELS; level++)
        if (head_of(w, level) != WHEEL_NONE) /* due, or to be moved, in a second that has come already */
            return w->start + (instant)second * SEC;
    if (w->counts[0] > 0) {
        /* The first slot that is not empty, of those up to the next turn of level 1. */
        while (w->heads[second & (WHEEL_SLOTS - 1)] == WHEEL_NONE)
            if ((++second & (WHEEL_SLOTS - 1)) == 0)
                break;
    } else {
        second = next_second(w);
    }
    return w->start + (instant)second * SEC;
}
