/* sim/transfer.c - see transfer.h. */
#include "sim/transfer.h"

#include "sim/pattern.h"

#include <assert.h>

#define EVERY MSEC
#define PIECE 16384

static void note_error(struct transfer *t, int64_t r)
{
    if (r < 0 && t->error == 0)
        t->error = (int)r;
}

static bool write_some(struct transfer *t)
{
    struct delivery *d = t->from->node ? node_peer_delivery(t->from->node, t->from_peer) : NULL;
    uint8_t buf[PIECE];
    bool any = false;
    int64_t r = 1;
    size_t room;

    if (d)
        note_error(t, delivery_error(d));
    while (d && r > 0 && !t->paused && t->written < t->total && (room = delivery_room(d)) > 0) {
        size_t len = (size_t)MIN(t->total - t->written, (uint64_t)MIN(room, sizeof(buf)));

        pattern_fill(buf, len, 0, t->written);
        r = delivery_write(d, buf, len);
        note_error(t, r);
        t->written += (uint64_t)MAX(r, 0);
        any |= r > 0;
    }
    if (d && t->written == t->total && !t->ended) {
        delivery_finish(d);
        t->ended = any = true;
    }
    return any;
}

static bool read_some(struct transfer *t, instant now)
{
    struct delivery *d = t->to->node ? node_peer_delivery(t->to->node, t->to_peer) : NULL;
    uint8_t buf[PIECE];
    uint64_t at;
    bool any = false;
    size_t right;
    int64_t r;

    while (d && (r = delivery_read(d, buf, sizeof(buf), &at)) != 0) {
        note_error(t, r);
        if (r < 0)
            break;
        right = pattern_check(buf, (size_t)r, 0, at);
        if (right < (size_t)r)
            world_fail(t->to->world, "byte %llu is wrong", (unsigned long long)at + right);
        if (!t->unordered && at != t->read)
            world_fail(t->to->world, "place %llu instead of %llu", (unsigned long long)at, (unsigned long long)t->read);
        t->read += (uint64_t)r;
        any = true;
    }
    if (any) {
        if (t->last_read > 0)
            t->stall_max = MAX(t->stall_max, now - t->last_read);
        t->last_read = now;
    }
    if (d && t->done_at == 0 && delivery_at_end(d))
        t->done_at = now;
    return any;
}

static void fire(struct world *w, struct world_source *s)
{
    struct transfer *t = CONTAINER_OF(s, struct transfer, source);
    bool wrote = write_some(t), read = read_some(t, w->now);

    if (wrote)
        world_peer_wake(t->from, t->from_peer);
    if (read)
        world_peer_wake(t->to, t->to_peer);
    world_schedule(w, s, t->stopped || t->done_at > 0 ? INSTANT_NEVER : w->now + EVERY);
}

struct transfer *transfer_new(struct world_end *from, unsigned from_peer, struct world_end *to, unsigned to_peer,
                              uint64_t total, bool unordered)
{
    struct transfer *t = calloc(1, sizeof(*t));

    assert(t);
    *t = (struct transfer){
        .from = from, .to = to, .from_peer = from_peer, .to_peer = to_peer, .total = total, .unordered = unordered
    };
    world_source_init(from->world, &t->source, fire);
    world_schedule(from->world, &t->source, from->world->now);
    return t;
}

void transfer_free(struct transfer *t)
{
    free(t);
}

void transfer_stop(struct transfer *t)
{
    t->stopped = true;
    world_schedule(t->from->world, &t->source, INSTANT_NEVER);
}

bool transfer_done(void *t)
{
    return ((struct transfer *)t)->done_at > 0;
}
