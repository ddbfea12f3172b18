/* prog/realmd_store.c - the store behind the manager: changes go to it in batches, answers wait for them.
 *
 * Theory of operation. What the manager says has changed is submitted at the end of a wake-up, as one batch; its number
 * is the token. When the store is done with it, the answers that waited for a number up to this one are sent. A store
 * that fails (a full disk) is given all again after a second, in a round of its own, so that what comes late of the
 * round before counts for nothing.
 *
 * Refreshes are not stored: there are too many, and they say little. Instead the store has one row that says until when
 * the daemon was alive, of the tag of nobody. At the next start a binding is held to have been refreshed at that time,
 * if its lease had not ended before, which would have been stored: so a lease goes on for no longer than its holder
 * could have made it, and no holder has to register again because the daemon was restarted.
 *
 * A cluster that may have lost changes is given them again (realmd_forward.c).
 *
 * Limits: WAITING_MAX answers; ALIVE_EVERY. */
#include "prog/realmd.h"

#include "sys/clock.h"

#include <errno.h>
#include <syslog.h>

#define BATCH_MAX 4096 /* chosen: changes of a batch: some 2 MB */
#define AGAIN_AFTER (1 * SEC)
#define ALIVE_EVERY (15 * SEC) /* chosen: a twentieth of the common lease */
#define LATER_MS 1000
#define ROUND_SHIFT 48 /* of tokens: numbers of changes stay below, at a million a second for 8 years */
#define ALIVE_TOKEN UINT64_MAX

static int64_t ms_of(instant at, instant now, uint64_t wall_s)
{
    int64_t ms = (int64_t)wall_s * 1000 + (at - now) / 1000;

    return CLAMP(ms, 0, BINDSTORE_EXPIRES_MAX);
}

/* --- at the start --- */

struct load {
    struct realmd *d;
    instant now;
    uint64_t wall_s, alive_s;
    uint64_t rows, live, strangers;
    int failed;
};

static int load_row(void *ctx, const struct bindstore_row *row)
{
    struct load *l = ctx;
    const struct authority *a = manager_authority(l->d->manager);
    int64_t left_ms = row->expires_ms - (int64_t)l->wall_s * 1000, held_ms;
    struct record_error why;
    struct record_bytes b;
    struct record r;
    bool live = false;
    int e;

    if (tag_equal(&row->subject, &(struct tag){ { 0 } }))
        return 0;
    if (!authority_by_tag(a, &row->subject) && !tag_equal(&row->subject, &authority_self(a)->tag)) {
        l->strangers++;
        return 0;
    }
    if (row->bytes && record_decode(row->bytes, row->len, &r, &b, &why) == 0) {
        held_ms = ((int64_t)l->alive_s + r.lease_s - (int64_t)l->wall_s) * 1000;
        left_ms = MAX(left_ms, held_ms);
        live = left_ms > 0;
    }
    e = manager_load(l->d->manager, &row->subject, row->kind, row->answer, row->seq, live ? row->bytes : NULL,
                     live ? row->len : 0, l->now + left_ms * 1000, l->now);
    l->rows++;
    l->live += live;
    return e == -EEXIST ? 0 : e;
}

static int load_all(struct realmd *d, instant now)
{
    struct load l = { .d = d, .now = now, .wall_s = clock_wall_s() };
    struct bindstore_reader *r = NULL;
    struct bindstore_row alive;
    int e = bindstore_reader_new(d->store, &r);

    if (e == 0) {
        if (bindstore_get(r, &(struct tag){ { 0 } }, 0, CLASS_AGENT, &alive) == 0)
            l.alive_s = MIN(alive.seq, l.wall_s);
        e = bindstore_load(r, load_row, &l);
    }
    if (e < 0)
        realmd_say(LOG_ERR, "store error=\"%s\"", r ? bindstore_reader_error(r) : strerror(-e));
    else
        realmd_say(LOG_NOTICE, "store rows=%llu live=%llu not_enrolled=%llu", (unsigned long long)l.rows,
                   (unsigned long long)l.live, (unsigned long long)l.strangers);
    bindstore_reader_free(r);
    return e;
}

static void on_store(uv_poll_t *h, int status, int events)
{
    struct realmd *d = h->data;
    instant now = clock_now();

    store_on_done(d, now);
    realmd_turn(d, now);
}

int store_start(struct realmd *d, instant now)
{
    char err[512];
    int r;

    d->store_next = d->alive_next = INSTANT_NEVER;
    if (d->config.store[0] == '\0')
        return 0;
    d->waiting = calloc(WAITING_MAX, sizeof(*d->waiting));
    if (!d->waiting)
        return -ENOMEM;
    r = bindstore_open(d->config.store, NULL, &d->store, err, sizeof(err));
    if (r < 0) {
        realmd_say(LOG_ERR, "store error=\"%s\"", err);
        return r;
    }
    r = load_all(d, now);
    if (r < 0)
        return r;
    d->alive_next = now;
    r = uv_poll_init(&d->loop, &d->store_poll, bindstore_fd(d->store));
    d->store_poll.data = d;
    return r == 0 ? uv_poll_start(&d->store_poll, UV_READABLE, on_store) : r;
}

void store_forget_waiting(struct realmd *d)
{
    for (; d->waiting_count > 0; d->waiting_count--) {
        free(d->waiting[d->waiting_head].bytes);
        d->waiting_head = (d->waiting_head + 1) % WAITING_MAX;
    }
}

void store_end(struct realmd *d)
{
    bindstore_close(d->store);
    store_forget_waiting(d);
    free(d->waiting);
}

/* --- changes --- */

static void say_alive(struct realmd *d, instant now)
{
    struct bindstore_change alive = { .op = BINDSTORE_PUT, .row = { .answer = CLASS_AGENT, .seq = clock_wall_s() } };

    d->alive_next = now + ALIVE_EVERY;
    if (alive.row.seq > 0 && bindstore_submit(d->store, &alive, 1, ALIVE_TOKEN) < 0)
        d->alive_next = now + AGAIN_AFTER;
}

/* All is given again, after a while. */
static void fall_back(struct realmd *d, const char *what, instant now)
{
    if (!d->store_failed)
        realmd_say(LOG_ERR, "store error=\"%s\"", what);
    d->store_failed = true;
    d->store_round++;
    d->store_next = now + AGAIN_AFTER;
    manager_store_again(d->manager);
}

struct bindstore_change store_put_of(const struct binding *b, instant now)
{
    struct bindstore_change c = {
        .op = BINDSTORE_PUT, .row = { .subject = b->subject, .kind = b->kind, .answer = b->answer, .seq = b->seq }
    };

    if (b->bytes) {
        c.row.bytes = b->bytes;
        c.row.len = b->len;
        c.row.expires_ms = ms_of(b->expires, now, clock_wall_s());
    }
    return c;
}

static void submit(struct realmd *d, instant now)
{
    static struct bindstore_change batch[BATCH_MAX];
    struct manager_change c;
    size_t n;
    int r;

    do {
        for (n = 0; n < BATCH_MAX && manager_pop_change(d->manager, now, &c); n++) {
            batch[n] = store_put_of(&c.row, now);
            if (c.forgotten)
                batch[n].op = BINDSTORE_FORGET;
        }
        r = n > 0 ? bindstore_submit(d->store, batch, n, d->store_round << ROUND_SHIFT | c.number) : 0;
        if (r < 0)
            fall_back(d, strerror(-r), now);
    } while (r == 0 && n == BATCH_MAX);
}

void store_turn(struct realmd *d, instant now)
{
    if (!d->store)
        return;
    if (now >= d->store_next)
        d->store_next = INSTANT_NEVER;
    if (d->store_next == INSTANT_NEVER)
        submit(d, now);
    forward_turn(d, now);
    if (now >= d->alive_next)
        say_alive(d, now);
}

static void send_waiting(struct realmd *d, uint64_t number, instant now)
{
    while (d->waiting_count > 0 && d->waiting[d->waiting_head].number <= number) {
        struct waiting *w = &d->waiting[d->waiting_head];

        realmd_answer(d, &w->asked, w->bytes, w->len, now);
        free(w->bytes);
        w->bytes = NULL;
        d->waiting_head = (d->waiting_head + 1) % WAITING_MAX;
        d->waiting_count--;
    }
}

void store_on_done(struct realmd *d, instant now)
{
    struct bindstore_event e;

    while (bindstore_pop(d->store, &e)) {
        int failed = 0;

        if (e.type == BINDSTORE_BEHIND)
            forward_on_behind(d, e.shard, now);
        else if (e.token == FORWARD_TOKEN)
            forward_on_done(d, &e, now);
        if (e.type != BINDSTORE_DONE || e.token == FORWARD_TOKEN || e.token == ALIVE_TOKEN ||
            e.token >> ROUND_SHIFT != d->store_round)
            continue;
        for (size_t i = 0; i < e.count; i++)
            failed = MIN(failed, e.results[i].outcome);
        if (failed < 0) {
            fall_back(d, strerror(-failed), now);
            continue;
        }
        if (d->store_failed)
            realmd_say(LOG_NOTICE, "store recovered");
        d->store_failed = false;
        manager_stored(d->manager, e.token & ((1ull << ROUND_SHIFT) - 1));
        send_waiting(d, e.token & ((1ull << ROUND_SHIFT) - 1), now);
    }
}

void store_wait(struct realmd *d, const struct exchange_asked *asked, uint64_t number, const uint8_t *bytes, size_t len)
{
    struct waiting *w = &d->waiting[(d->waiting_head + d->waiting_count) % WAITING_MAX];
    uint8_t *copy = d->waiting_count < WAITING_MAX ? malloc(len) : NULL;

    if (!copy) { /* it asks again */
        d->waited_in_vain++;
        return;
    }
    memcpy(copy, bytes, len);
    *w = (struct waiting){ .asked = *asked, .number = number, .bytes = copy, .len = len };
    d->waiting_count++;
}

instant store_next_expiry(const struct realmd *d)
{
    return instant_min(forward_next_expiry(d), instant_min(d->store_next, d->alive_next));
}
