/* dmux/directory_want.c - what a gateway looks for (directory.h).
 *
 * Theory of operation. A search asks for the own cell, and for wider ones until somebody is found. Then it asks for
 * those of the 26 cells beside that one which begin nearer than the nearest that it has found, since one of them may
 * have a gateway behind the border, and last for the smallest cells of the nearest, if one stands for several there: as
 * far as CELLS_MAX allows. The nearest of all by estimate are linked; what they provide and what is dead the links
 * tell. While it is wanted the search is repeated, at SEARCH_EVERY, for what has come nearer; at once if one of those
 * linked is lost; and each NONE_EVERY while there is nobody.
 *
 * What managers have said a resolver keeps, also that there is none: a search that is repeated costs them nothing for
 * as long as they said, unless somebody was lost.
 *
 * What clients make up has a place of DIRECTORY_WANTS_MAX until another needs it, DIRECTORY_WANTS_NETWORK places for a
 * network, and all searches together ASKS_PER_SECOND. What is found has its place for as long as it is wanted. */
#include "dmux/directory_internal.h"

#include <errno.h>

#define WANTED_FOR (60 * SEC)    /* chosen: after the last packet */
#define SEARCH_EVERY (120 * SEC) /* chosen: somebody nearer is a matter of minutes */
#define NONE_EVERY (30 * SEC)    /* as MANAGER_NONE_S: so long it is known that there is none */
#define FAILED_AGAIN (5 * SEC)   /* chosen */
#define TOLD_AFTER (3 * SEC)     /* chosen: what a peer has to tell first it has told then */
#define LOST_AGAIN (200 * MSEC)  /* chosen: those who lose the same gateway do not ask all at once */

void want_init(struct want *w)
{
    *w = (struct want){ .w.is_want = true };
    list_init(&w->w.out);
    list_init(&w->nobody);
}

/* --- places --- */

static size_t of_network(const struct directory *d, uint32_t network)
{
    return (size_t)(uintptr_t)map64_get(&d->networks, network);
}

int want_admit(struct directory *d, uint32_t network)
{
    if (of_network(d, network) >= DIRECTORY_WANTS_NETWORK)
        return -EDQUOT;
    return d->wants < DIRECTORY_WANTS_MAX ? 0 : -ENOSPC;
}

/* It is counted for its network no longer. */
static void uncount(struct directory *d, struct want *w)
{
    size_t count = w->counted ? of_network(d, w->network) : 0;

    if (count > 1 && map64_put(&d->networks, w->network, (void *)(uintptr_t)(count - 1)) < 0)
        return; /* never: it is there */
    if (count == 1)
        map64_remove(&d->networks, w->network);
    w->counted = false;
}

void want_end(struct directory *d, struct want *w)
{
    if (!w->wanted)
        return;
    waiter_reset(d, &w->w);
    heap_set(&d->timers, &w->w.timer, INSTANT_NEVER);
    list_remove(&w->nobody);
    uncount(d, w);
    w->wanted = w->open = w->lost = false;
    w->near_count = 0;
    d->wants--;
}

void want_touch(struct want *w, instant now)
{
    w->until = now + WANTED_FOR;
}

/* --- searches --- */

static void ask_next(struct directory *d, struct want *w)
{
    waiter_send(d, &w->w, false, w->w.anew);
    heap_set(&d->timers, &w->w.timer, w->until);
}

static void search(struct directory *d, struct want *w)
{
    w->open = true;
    w->w.anew = w->lost;
    w->lost = false;
    w->found_count = 0;
    w->cells_at = 0;
    w->cells_count = 1;
    w->cells[0] = d->cells[0];
    w->phase = WANT_WIDER;
    ask_next(d, w);
}

int want_begin(struct directory *d, struct service *s, uint32_t network, instant now)
{
    struct want *w = &s->want;
    int r = map64_put(&d->networks, network, (void *)(uintptr_t)(of_network(d, network) + 1));

    if (r < 0)
        return r;
    w->wanted = w->counted = true;
    w->network = network;
    d->wants++;
    want_touch(w, now);
    want_on_time(d, s, now);
    return 0;
}

void want_on_time(struct directory *d, struct service *s, instant now)
{
    struct want *w = &s->want;

    if (w->until <= now)
        want_end(d, w);
    else if (!d->placed || w->w.id != 0 || !list_empty(&w->w.out)) /* what it waits for comes, or its end */
        heap_set(&d->timers, &w->w.timer, w->until);
    else if (w->open)
        ask_next(d, w);
    else
        search(d, w);
}

/* Among the nearest that were found, by estimate. */
static void take(const struct directory *d, struct want *w, const struct directory_entry *e)
{
    uint32_t us = coord_estimate_us(&d->o.self.place, &e->place);
    size_t at;

    for (size_t i = 0; i < w->found_count; i++) {
        if (w->found[i].gateway == e->gateway)
            return;
    }
    at = w->found_count < NEAR_MAX ? w->found_count++ : NEAR_MAX;
    for (; at > 0 && coord_estimate_us(&d->o.self.place, &w->found[at - 1].place) > us; at--) {
        if (at < NEAR_MAX)
            w->found[at] = w->found[at - 1];
    }
    if (at < NEAR_MAX)
        w->found[at] = *e;
}

/* A cell to be asked, unless it was or there are too many; max: in all. */
static void add_cell(struct want *w, const struct directory_cell *c, size_t max)
{
    for (size_t i = 0; i < w->cells_count; i++) {
        if (directory_cell_equal(&w->cells[i], c))
            return;
    }
    if (w->cells_count < max)
        w->cells[w->cells_count++] = *c;
}

/* Those beside the cell where somebody was found that may have one which is nearer, the nearest cells first. */
static void add_beside(const struct directory *d, struct want *w)
{
    /* beside the world there is nothing: then those beside the widest cell but it */
    const struct directory_cell *own = &d->cells[MIN(w->cells[w->cells_count - 1].level, DIRECTORY_LEVELS - 2)];
    double limit = coord_estimate_us(&d->o.self.place, &w->found[0].place), distances[26] = { 0 };
    struct directory_cell cells[26];
    size_t count = 0;

    for (int n = 0; n < 27; n++) {
        const int steps[COORD_DIMENSIONS] = { n % 3 - 1, n / 3 % 3 - 1, n / 9 - 1 };
        struct directory_cell c = *own;
        double distance;
        size_t at = count;

        for (size_t i = 0; i < COORD_DIMENSIONS; i++)
            c.at[i] = (int8_t)(c.at[i] + steps[i]);
        distance = directory_cell_distance_us(&c, &d->o.self.place) + d->o.self.place.height_us;
        if (n == 13 || distance >= limit) /* 13: the own */
            continue;
        for (count++; at > 0 && distances[at - 1] > distance; at--) {
            distances[at] = distances[at - 1];
            cells[at] = cells[at - 1];
        }
        distances[at] = distance;
        cells[at] = c;
    }
    for (size_t i = 0; i < count; i++)
        add_cell(w, &cells[i], CELLS_MAX - (DIRECTORY_LEVELS - 1) * BELOW_MAX);
}

/* In a wider cell one stands for all of a smaller one: beside the nearest there may be others. */
static void add_below(struct want *w, unsigned level)
{
    for (size_t i = 0; i < MIN(w->found_count, (size_t)BELOW_MAX); i++) {
        const struct directory_cell c = directory_cell_of(&w->found[i].place, level);

        add_cell(w, &c, CELLS_MAX);
    }
}

static void link_nearest(struct directory *d, const struct want *w, instant now)
{
    for (size_t i = 0; i < MIN(w->near_count, (size_t)DIRECTORY_NEAREST); i++)
        directory_link(d, &w->near[i], LINKS_WANT_MAX, now);
}

/* Who was found before, and is linked, is there, whatever managers say. */
static void finish(struct directory *d, struct want *w, instant now)
{
    w->open = false;
    if (w->found_count > 0) {
        memcpy(w->near, w->found, w->found_count * sizeof(w->found[0]));
        w->near_count = w->found_count;
    }
    if (w->near_count > 0) {
        list_remove(&w->nobody);
        uncount(d, w);
    } else if (list_empty(&w->nobody)) {
        list_append(&d->nobody, &w->nobody);
    }
    link_nearest(d, w, now);
    heap_set(&d->timers, &w->w.timer, now + directory_jitter(d, w->near_count > 0 ? SEARCH_EVERY : NONE_EVERY));
}

static void go_on(struct directory *d, struct want *w, instant now)
{
    unsigned level = w->cells[w->cells_count - 1].level;

    if (++w->cells_at == w->cells_count && w->phase == WANT_WIDER) {
        if (w->found_count > 0) {
            w->phase = WANT_BESIDE;
            add_beside(d, w);
        } else if (level + 1 < DIRECTORY_LEVELS) {
            w->cells[w->cells_count++] = d->cells[level + 1];
        }
    }
    while (w->cells_at == w->cells_count && (w->phase == WANT_BESIDE || w->phase == WANT_BELOW)) {
        add_below(w, w->phase == WANT_BESIDE ? DIRECTORY_LEVELS - 2 : 0);
        w->phase = w->phase == WANT_BESIDE ? WANT_BELOW : WANT_LAST;
    }
    if (w->cells_at < w->cells_count)
        ask_next(d, w);
    else
        finish(d, w, now);
}

/* By its own word, or because it is silent. */
static bool is_known_not_to(const struct directory *d, const struct service *s, uint32_t gateway, instant now)
{
    const struct peer_at *p = directory_peer(d, gateway);

    if (p && p->up)
        return now - p->up_at > TOLD_AFTER && !peer_serves(p, s->protocol, s->provider);
    return p && p->suspect_until > now;
}

void want_on_found(struct directory *d, struct service *s, enum resolver_outcome outcome, struct slice record,
                   instant now)
{
    struct directory_entry entries[DIRECTORY_ENTRIES_MAX];
    struct want *w = &s->want;
    struct record_error why;
    struct record_bytes b;
    struct record r;
    bool wrong = false;
    int count = 0;

    if (w->until <= now) {
        want_end(d, w);
        return;
    }
    if (outcome == RESOLVER_FAILED) { /* the same again; what is linked serves on */
        link_nearest(d, w, now);
        heap_set(&d->timers, &w->w.timer, now + directory_jitter(d, FAILED_AGAIN));
        return;
    }
    if (outcome == RESOLVER_FOUND && record_decode(record.data, record.len, &r, &b, &why) == 0) {
        count = directory_entries_read(&r, entries);
        if (count < 0)
            d->stats.malformed++;
    }
    for (int i = 0; i < count; i++) {
        if (is_known_not_to(d, s, entries[i].gateway, now))
            wrong = true;
        else if (entries[i].gateway != d->o.self.gateway)
            take(d, w, &entries[i]);
    }
    if (wrong && !w->w.anew) { /* what was kept is old: this and all others are asked for anew */
        w->w.anew = true;
        ask_next(d, w);
        return;
    }
    go_on(d, w, now);
}

void want_on_lost(struct directory *d, struct service *s, uint32_t gateway, instant now)
{
    struct want *w = &s->want;
    size_t kept = 0;
    bool linked = false;

    for (size_t i = 0; i < w->near_count; i++) {
        linked |= i < DIRECTORY_NEAREST && w->near[i].gateway == gateway;
        if (w->near[i].gateway != gateway)
            w->near[kept++] = w->near[i];
    }
    if (kept == w->near_count)
        return;
    w->near_count = kept;
    if (!linked)
        return;
    w->lost = true;
    if (w->open)
        return;
    link_nearest(d, w, now); /* what is known serves until more is */
    heap_set(&d->timers, &w->w.timer, now + directory_jitter(d, LOST_AGAIN));
}
