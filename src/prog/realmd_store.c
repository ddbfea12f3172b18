/* prog/realmd_store.c - the store behind the manager: changes go to it in batches, answers wait for them.
 *
 * Theory of operation. What the manager says has changed is submitted at the end of a wake-up, in batches, as long as
 * the store has room: a store that is full is not one that failed, and the manager says LATER by itself when it falls
 * behind. A wake-up that brings many signed changes takes .1 ms for each: of these GIVE_AFTER are submitted at a time,
 * so that the store's thread writes them while the next ones are verified, and answers leave meanwhile. The store is
 * done with batches in any order (a cluster has many nodes); durable is what all are done with that were given before,
 * and the answers that waited for a number up to that one are sent. Where the store knows better, who waits is told so.
 * A store that fails (a full disk) is given all again after a second, in batches of their own, so that what comes late
 * of those before counts for nothing.
 *
 * Refreshes are not stored: there are too many, and they say little. Instead the store has one row that says until when
 * the daemon was alive, of the tag of nobody. At the next start a binding is held to have been refreshed at that time,
 * if its lease had not ended before, which would have been stored: so a lease goes on for no longer than its holder
 * could have made it, and no holder has to register again because the daemon was restarted.
 *
 * A cluster that may have lost changes is given them again (realmd_forward.c). A store that has more rows than the
 * table does not keep the daemon from starting: those whose leases run are served first, what is left out is said, with
 * the setting that is too low, and its holders come by themselves.
 *
 * Limits: WAITING_MAX answers; GIVEN_MAX batches; ALIVE_EVERY. */
#include "prog/realmd.h"

#include "sys/clock.h"

#include <errno.h>
#include <syslog.h>

#define BATCH_MAX 4096  /* chosen: changes of a batch: some 2 MB */
#define GIVE_AFTER 16u  /* chosen: changes; verified in 2 ms, as long as a disk takes for a commit */
#define GIVE_BATCHES 4u /* chosen: what is under way then takes a disk as long as the rest of the wake-up */
#define AGAIN_AFTER (1 * SEC)
#define ALIVE_EVERY (15 * SEC) /* chosen: a twentieth of the common lease */
#define LATER_MS 1000
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
    uint64_t rows, live, strangers, left_out; /* left_out: leases that run */
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
    if (!authority_by_tag(a, &row->subject) && !tag_equal(&row->subject, &authority_self(a)->tag) &&
        !(tag_is_label(&row->subject) &&
          memcmp(row->subject.bytes, authority_self(a)->tag.bytes, TAG_REALM_BYTES) == 0)) {
        l->strangers++;
        return 0;
    }
    if (row->bytes && record_decode(row->bytes, row->len, &r, &b, &why) == 0) {
        held_ms = ((int64_t)l->alive_s + r.lease_s - (int64_t)l->wall_s) * 1000;
        left_ms = MIN(MAX(left_ms, held_ms), (int64_t)r.lease_s * 1000); /* the clock may be behind what it was */
        live = left_ms > 0;
    }
    e = manager_load(l->d->manager, &row->subject, row->kind, row->answer, row->seq, live ? row->bytes : NULL,
                     live ? row->len : 0, l->now + left_ms * 1000, l->now);
    l->rows++;
    l->live += live && e == 0;
    l->left_out += live && e == -ENOSPC;
    return e == -EEXIST || e == -ENOSPC ? 0 : e;
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
    if (l.left_out > 0)
        realmd_say(
            LOG_WARNING,
            "store left_out=%llu error=\"the table is full: set Bindings under [Realm], which is %u, to %llu or more\"",
            (unsigned long long)l.left_out, d->config.bindings, (unsigned long long)l.live + l.left_out);
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
    d->given = calloc(GIVEN_MAX, sizeof(*d->given));
    if (!d->waiting || !d->given)
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
    for (size_t i = 0; d->given && i < GIVEN_MAX; i++)
        free(d->given[i].numbers);
    free(d->given);
}

/* --- changes --- */

static void say_alive(struct realmd *d, instant now)
{
    struct bindstore_change alive = { .op = BINDSTORE_PUT, .row = { .answer = CLASS_AGENT, .seq = clock_wall_s() } };

    d->alive_next = now + ALIVE_EVERY;
    if (alive.row.seq > 0 && bindstore_submit(d->store, &alive, 1, ALIVE_TOKEN) < 0)
        d->alive_next = now + AGAIN_AFTER;
}

/* The clock was ahead, of which the row would tell until it has come there again: the row goes, and comes back. */
static void say_alive_again(struct realmd *d, uint64_t ahead_s)
{
    const struct bindstore_row row = { .answer = CLASS_AGENT, .seq = ahead_s };
    struct bindstore_change alive[] = { { .op = BINDSTORE_FORGET, .row = row }, { .op = BINDSTORE_PUT, .row = row } };

    alive[1].row.seq = clock_wall_s();
    if (alive[1].row.seq > 0)
        (void)!bindstore_submit(d->store, alive, ARRAY_LEN(alive), ALIVE_TOKEN); /* else in its time */
}

/* All is given again, after a while. */
static void fall_back(struct realmd *d, const char *what, instant now)
{
    if (!d->store_failed)
        realmd_say(LOG_ERR, "store error=\"%s\"", what);
    d->store_failed = true;
    d->given_void = d->given_next;
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

static struct given *given_at(const struct realmd *d, uint64_t batch)
{
    return &d->given[batch % GIVEN_MAX];
}

static struct bindstore_change change_of(const struct manager_change *c, instant now)
{
    struct bindstore_change s = store_put_of(&c->row, now);

    if (c->forgotten)
        s = (struct bindstore_change){ .op = BINDSTORE_FORGET, .row = s.row };
    return s;
}

/* One batch, of what there is room for. 1: there may be more; 0: not now; -errno. */
static int submit_one(struct realmd *d, instant now)
{
    static struct bindstore_change batch[BATCH_MAX];
    const size_t max = MIN(bindstore_room(d->store), BATCH_MAX);
    struct given *g = given_at(d, d->given_next);
    struct manager_change c;
    size_t n = 0;
    int r;

    if (max == 0 || d->given_next - d->given_first == GIVEN_MAX)
        return 0; /* what is done makes room, and wakes us */
    if (!g->numbers && !(g->numbers = malloc(BATCH_MAX * sizeof(*g->numbers))))
        return -ENOMEM;
    while (n < max && manager_pop_change(d->manager, now, &c)) {
        batch[n] = change_of(&c, now);
        g->numbers[n++] = c.number;
    }
    if (n == 0)
        return 0;
    g->count = n;
    g->done = false;
    r = bindstore_submit(d->store, batch, n, d->given_next);
    if (r < 0)
        return r;
    d->given_next++;
    return n == max;
}

static void send_waiting(struct realmd *d, instant now)
{
    const uint64_t number = manager_durable(d->manager);

    while (d->waiting_count > 0 && d->waiting[d->waiting_head].number <= number) {
        struct waiting *w = &d->waiting[d->waiting_head];

        realmd_answer(d, &w->asked, w->bytes, w->len, now);
        free(w->bytes);
        w->bytes = NULL;
        d->waiting_head = (d->waiting_head + 1) % WAITING_MAX;
        d->waiting_count--;
    }
}

/* All that there is room for. */
static void give(struct realmd *d, instant now)
{
    int r = 0;

    d->not_given = 0;
    while (d->store_next == INSTANT_NEVER && (r = submit_one(d, now)) > 0)
        ;
    if (r < 0)
        fall_back(d, strerror(-r), now);
}

void store_turn(struct realmd *d, instant now)
{
    if (!d->store)
        return;
    if (now >= d->store_next)
        d->store_next = INSTANT_NEVER;
    give(d, now);
    forward_turn(d, now);
    if (now >= d->alive_next)
        say_alive(d, now);
    send_waiting(d, now); /* what the store knows itself was durable before */
}

static bool same_row(const struct manager_row *a, const struct manager_row *b)
{
    return tag_equal(&a->subject, &b->subject) && a->kind == b->kind && a->answer == b->answer;
}

/* The store has a newer record: who waits to be told that his is durable is told the newest instead. */
static void on_older(struct realmd *d, uint64_t number, uint64_t newest, instant now)
{
    struct manager_row row;
    uint8_t bytes[64];
    size_t len;

    if (!manager_store_has_newer(d->manager, number, newest, now, &row))
        return;
    len = manager_say_older(newest, bytes, sizeof(bytes));
    for (size_t i = 0; i < d->waiting_count; i++) {
        struct waiting *w = &d->waiting[(d->waiting_head + i) % WAITING_MAX];

        if (!same_row(&w->row, &row) || len > w->len)
            continue;
        memcpy(w->bytes, bytes, len);
        w->len = len;
    }
}

/* A batch is done: 0, or what it failed by. */
static int on_batch(struct realmd *d, const struct bindstore_event *e, instant now)
{
    struct given *g = given_at(d, e->token);
    int failed = 0;

    for (size_t i = 0; i < e->count; i++)
        failed = MIN(failed, e->results[i].outcome);
    g->done = true;
    if (failed < 0)
        return failed;
    for (size_t i = 0; i < e->count; i++)
        if (e->results[i].outcome == BINDSTORE_OLDER)
            on_older(d, g->numbers[i], e->results[i].seq, now);
    return 0;
}

/* Those that are done, up to the first that is not: what they had is durable, unless a failure made it void. */
static void take_done(struct realmd *d)
{
    for (; d->given_first < d->given_next && given_at(d, d->given_first)->done; d->given_first++) {
        const struct given *g = given_at(d, d->given_first);

        if (d->given_first >= d->given_void)
            manager_stored(d->manager, g->numbers[g->count - 1]);
    }
}

void store_on_done(struct realmd *d, instant now)
{
    struct bindstore_event e;

    while (bindstore_pop(d->store, &e)) {
        int r;

        if (e.type == BINDSTORE_BEHIND)
            forward_on_behind(d, e.shard, now);
        else if (e.token == FORWARD_TOKEN)
            forward_on_done(d, &e, now);
        else if (e.token == ALIVE_TOKEN && e.results[0].outcome == BINDSTORE_OLDER)
            say_alive_again(d, e.results[0].seq);
        if (e.type != BINDSTORE_DONE || e.token == FORWARD_TOKEN || e.token == ALIVE_TOKEN)
            continue;
        if (e.token < d->given_void) {
            given_at(d, e.token)->done = true;
            continue;
        }
        r = on_batch(d, &e, now);
        if (r < 0) {
            fall_back(d, strerror(-r), now);
        } else if (d->store_failed) {
            realmd_say(LOG_NOTICE, "store recovered");
            d->store_failed = false;
        }
    }
    take_done(d);
    send_waiting(d, now);
}

void store_wait(struct realmd *d, const struct exchange_asked *asked, const struct manager_reply *reply,
                const uint8_t *bytes, instant now)
{
    struct waiting *w = &d->waiting[(d->waiting_head + d->waiting_count) % WAITING_MAX];
    uint8_t *copy = d->waiting_count < WAITING_MAX ? malloc(reply->len) : NULL;

    if (!copy) { /* it asks again */
        d->waited_in_vain++;
        return;
    }
    memcpy(copy, bytes, reply->len);
    *w = (struct waiting){
        .asked = *asked, .number = reply->stored, .row = reply->row, .bytes = copy, .len = reply->len
    };
    d->waiting_count++;
    if (++d->not_given < GIVE_AFTER || d->given_next - d->given_first >= GIVE_BATCHES)
        return;
    give(d, now);
    store_on_done(d, now);
    exchange_io_flush(&d->io, now);
}

instant store_next_expiry(const struct realmd *d)
{
    return instant_min(forward_next_expiry(d), instant_min(d->store_next, d->alive_next));
}
