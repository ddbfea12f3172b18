/* prog/realmd_forward.c - a store that may have lost what it had told as done is given all again.
 *
 * Theory of operation. A cluster whose master died goes on with a replica that may lack the newest changes, and says
 * which shards may (BINDSTORE_BEHIND). Every row of these is put again, from the table, which has them all: the store
 * keeps what is newer. Also rows whose lease is over, for their sequence: an older record of theirs would live again
 * where the store was rolled back behind their end.
 *
 * The table is walked once for all shards that are behind then; one that falls behind meanwhile waits for the next
 * walk. One batch is under way at a time, so members' changes are not kept by it. A batch that fails is one of shards
 * that are behind.
 *
 * Limits: FORWARD_ROWS a batch, FORWARD_STEPS rows looked at a turn; a million rows take half a minute or so. */
#include "prog/realmd.h"

#include "sys/clock.h"

#include <syslog.h>

#define FORWARD_ROWS 512u          /* chosen: some 200 KB */
#define FORWARD_STEPS 4096u        /* chosen: well under a millisecond */
#define FORWARD_AGAIN (100 * MSEC) /* chosen: while the store's queue is full */

_Static_assert(BINDSTORE_SHARDS_MAX <= 64, "a bit each");

void forward_on_behind(struct realmd *d, unsigned shard, instant now)
{
    struct forward *f = &d->forward;

    f->behind |= 1ull << shard;
    f->next = instant_min(f->next, now);
    d->alive_next = now; /* that row, too */
}

static bool is_walked(const struct realmd *d, const struct binding *b)
{
    return d->forward.walked >> bindstore_shard_of(d->store, &b->subject) & 1;
}

static void begin(struct realmd *d)
{
    struct forward *f = &d->forward;

    f->walked = f->behind;
    f->behind = 0;
    f->at = 0;
    f->rows = 0;
}

static void end(struct realmd *d)
{
    struct forward *f = &d->forward;

    f->walked = 0;
    f->next = f->behind ? f->next : INSTANT_NEVER;
    realmd_say(LOG_NOTICE, "store forward rows=%llu", (unsigned long long)f->rows);
}

void forward_turn(struct realmd *d, instant now)
{
    static struct bindstore_change batch[FORWARD_ROWS];
    struct forward *f = &d->forward;
    uint32_t budget = FORWARD_STEPS, from;
    struct binding b;
    size_t n = 0;
    bool more = true;

    if (f->under_way || now < f->next || (!f->walked && !f->behind))
        return;
    if (!f->walked)
        begin(d);
    from = f->at;
    while (n < FORWARD_ROWS && (more = bindings_next_kept(manager_bindings(d->manager), &f->at, &budget, now, &b)))
        if (is_walked(d, &b))
            batch[n++] = store_put_of(&b, now);
    if (n == 0 && !more && budget > 0) {
        end(d);
        return;
    }
    f->next = now;
    if (n == 0)
        return;
    if (bindstore_submit(d->store, batch, n, FORWARD_TOKEN) < 0) {
        f->at = from;
        f->next = now + FORWARD_AGAIN;
        return;
    }
    f->under_way = true;
    f->rows += n;
}

void forward_on_done(struct realmd *d, const struct bindstore_event *e, instant now)
{
    struct forward *f = &d->forward;
    bool failed = false;

    f->under_way = false;
    for (size_t i = 0; i < e->count; i++)
        failed = failed || e->results[i].outcome < 0;
    if (!failed)
        return;
    f->behind |= f->walked;
    f->walked = 0;
    f->next = now + SEC;
}

instant forward_next_expiry(const struct realmd *d)
{
    const struct forward *f = &d->forward;

    return f->under_way || (!f->walked && !f->behind) ? INSTANT_NEVER : f->next;
}
