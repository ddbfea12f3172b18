/* sim/world_time.c - the time of a world: what happens next.
 *
 * Theory of operation. Everything that can happen is a source with a time, in a binary heap that knows each source's
 * place. Equal times are taken in order of the sources' making, so that a run depends on nothing but its seed.
 *
 * Limits: INSTANT_EVENTS_MAX events at one instant are taken for a loop. */
#include "sim/world.h"

#include <assert.h>

#define INSTANT_EVENTS_MAX 20000

/* --- the heap --- */

static bool source_before(const struct world_source *a, const struct world_source *b)
{
    return a->at != b->at ? a->at < b->at : a->id < b->id;
}

static void heap_place(struct world *w, size_t i, struct world_source *s)
{
    w->heap[i] = s;
    s->pos = (uint32_t)i + 1;
}

static void heap_up(struct world *w, size_t i, struct world_source *s)
{
    while (i > 0 && source_before(s, w->heap[(i - 1) / 2])) {
        heap_place(w, i, w->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_place(w, i, s);
}

static void heap_down(struct world *w, size_t i, struct world_source *s)
{
    for (size_t down; (down = 2 * i + 1) < w->heap_count; i = down) {
        if (down + 1 < w->heap_count && source_before(w->heap[down + 1], w->heap[down]))
            down++;
        if (!source_before(w->heap[down], s))
            break;
        heap_place(w, i, w->heap[down]);
    }
    heap_place(w, i, s);
}

void world_source_init(struct world *w, struct world_source *s, void (*fire)(struct world *, struct world_source *))
{
    *s = (struct world_source){ .at = INSTANT_NEVER, .id = ++w->next_source, .fire = fire };
}

void world_schedule(struct world *w, struct world_source *s, instant at)
{
    instant was = s->at;

    s->at = at;
    if (s->pos == 0) {
        if (at == INSTANT_NEVER)
            return;
        if (w->heap_count == w->heap_max) {
            w->heap_max = MAX(64u, w->heap_max * 2);
            w->heap = realloc(w->heap, w->heap_max * sizeof(*w->heap));
            assert(w->heap);
        }
        heap_up(w, w->heap_count++, s);
    } else if (at == INSTANT_NEVER) {
        size_t i = s->pos - 1;
        struct world_source *last = w->heap[--w->heap_count];

        s->pos = 0;
        if (last != s) {
            heap_place(w, i, last);
            heap_down(w, i, last);
            heap_up(w, last->pos - 1, last);
        }
    } else if (at < was) {
        heap_up(w, s->pos - 1, s);
    } else {
        heap_down(w, s->pos - 1, s);
    }
}

/* --- time --- */

void world_run(struct world *w, instant until)
{
    while (!w->failed && w->heap_count > 0 && w->heap[0]->at <= until) {
        struct world_source *s = w->heap[0];

        if (s->at > w->now) {
            w->now = s->at;
            w->at_instant = 0;
        } else if (++w->at_instant > INSTANT_EVENTS_MAX) {
            world_fail(w, "time stands still: source %u fires again and again", s->id);
            return;
        }
        s->fire(w, s);
    }
    if (!w->failed && until != INSTANT_NEVER)
        w->now = MAX(w->now, until);
}

bool world_run_until(struct world *w, bool (*done)(void *ctx), void *ctx, span limit)
{
    instant end = w->now + limit;

    while (!done(ctx)) {
        if (w->failed || w->heap_count == 0 || w->heap[0]->at > end)
            return false;
        world_run(w, w->heap[0]->at);
    }
    return true;
}
