/* tests/unit/path_world.c - see path_world.h. */
#include "tests/unit/path_world.h"

#include "tests/unit/test.h"

#define FIFO_MAX 16384u
#define AIR_MAX 16384u
#define SEEN_MAX (1u << 22)

static void link_init(struct one_way *l, uint64_t bps, span delay, size_t queue_max)
{
    *l = (struct one_way){ .bps = bps, .delay = delay, .queue_max = queue_max, .service_at = INSTANT_NEVER };
    l->fifo = calloc(FIFO_MAX, sizeof(*l->fifo));
    l->air = calloc(AIR_MAX, sizeof(*l->air));
    assert_non_null(l->fifo);
    assert_non_null(l->air);
}

void world_init(struct world *w, uint64_t bps, span one_way, size_t queue_max, uint64_t seed)
{
    struct path_options o = { .record_bytes = 1400, .first_counter = w->first_counter, .initial_rtt = 2 * one_way };

    w->now = 1000 * SEC;
    w->record = 1400;
    prng_init(&w->prng, seed);
    for (int i = 0; i < 2; i++) {
        o.congestion = i == 0 ? w->congestion : CC_BBR;
        o.known.srtt = o.known.min_rtt = i == 0 ? w->known.rtt : 0;
        o.known.rate_bps = i == 0 ? w->known.bps : 0;
        w->path[i] = path_new(&o, w->now);
        assert_non_null(w->path[i]);
        w->seen[i] = calloc(1, SEEN_MAX / 8);
        assert_non_null(w->seen[i]);
        link_init(&w->link[i], i == 0 ? bps : 1000000000, one_way, i == 0 ? queue_max : 1 << 22);
    }
}

void world_free(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        path_free(w->path[i]);
        free(w->seen[i]);
        free(w->link[i].fifo);
        free(w->link[i].air);
    }
}

static span service_time(const struct one_way *l, size_t bytes)
{
    return (span)((double)bytes * 8e6 / (double)l->bps + 0.5);
}

static void link_send(struct world *w, struct one_way *l, const struct pkt *p)
{
    if (l->dead)
        return;
    if (l->fifo_bytes + p->bytes > l->queue_max || l->fifo_count == FIFO_MAX) {
        l->dropped_pkts++;
        return;
    }
    l->fifo[(l->fifo_head + l->fifo_count++) % FIFO_MAX] = *p;
    l->fifo_bytes += p->bytes;
    if (l->service_at == INSTANT_NEVER)
        l->service_at = w->now + service_time(l, p->bytes);
}

static void air_push(struct one_way *l, const struct pkt *p)
{
    size_t i = l->air_count++;

    assert_true(l->air_count < AIR_MAX);
    while (i > 0 && l->air[(i - 1) / 2].at > p->at) {
        l->air[i] = l->air[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    l->air[i] = *p;
}

static struct pkt air_pop(struct one_way *l)
{
    struct pkt top = l->air[0], last = l->air[--l->air_count];
    size_t i = 0;

    for (;;) {
        size_t c = 2 * i + 1;

        if (c >= l->air_count)
            break;
        if (c + 1 < l->air_count && l->air[c + 1].at < l->air[c].at)
            c++;
        if (l->air[c].at >= last.at)
            break;
        l->air[i] = l->air[c];
        i = c;
    }
    l->air[i] = last;
    return top;
}

static void link_serve(struct world *w, struct one_way *l)
{
    struct pkt p = l->fifo[l->fifo_head];
    span waited = w->now - p.at - service_time(l, p.bytes);

    l->fifo_head = (l->fifo_head + 1) % FIFO_MAX;
    l->fifo_count--;
    l->fifo_bytes -= p.bytes;
    l->service_at = l->fifo_count > 0 ? w->now + service_time(l, l->fifo[l->fifo_head].bytes) : INSTANT_NEVER;
    l->carried_bytes += p.bytes;
    l->carried_pkts++;
    l->queue_sum += (double)MAX(waited, 0);
    l->queue_peak = MAX(l->queue_peak, waited);
    for (int copies = prng_unit(&w->prng) < l->duplicate ? 2 : 1; copies > 0; copies--) {
        if (prng_unit(&w->prng) < l->loss)
            continue;
        p.at = w->now + l->delay + (l->jitter > 0 ? (span)prng_below(&w->prng, (uint64_t)l->jitter) : 0);
        air_push(l, &p);
    }
}

static void send(struct world *w, int side, size_t bytes, bool eliciting, bool with_ack, struct pbuf *data, bool more)
{
    struct path *p = w->path[side];
    instant clock = w->now + (side ? w->skew : 0);
    struct pkt k = { .at = w->now, .counter = path_next_counter(p), .bytes = bytes, .eliciting = eliciting };

    k.ts64 = (uint16_t)(clock >> 6);
    if (with_ack)
        k.has_ack = path_make_ack(p, clock, &k.ack);
    path_on_sent(p, bytes, data, eliciting, more, clock);
    w->eliciting_sent += side == 0 && eliciting;
    link_send(w, &w->link[side], &k);
}

static void send_data(struct world *w, bool more)
{
    struct pbuf *b = w->pool ? pbuf_take(w->pool) : NULL;

    send(w, 0, w->record, true, path_ack_pending(w->path[0]), b, more);
    pbuf_unref(b);
}

static void drive(struct world *w, int side)
{
    struct path *p = w->path[side];
    struct path_event e;
    instant clock = w->now + (side ? w->skew : 0);

    if (path_next_expiry(p) <= clock)
        path_on_expiry(p, clock);
    if (side == 0 && w->hurry)
        path_hurry(p, clock);
    while (path_pop_event(p, &e)) {
        switch (e.type) {
        case PATH_EVENT_PROBE:
            assert_true(e.train >= 1);
            for (unsigned i = 0; i < e.train; i++)
                send(w, side, 80, true, false, NULL, false);
            break;
        case PATH_EVENT_ACK:
            w->acks_sent += side == 1;
            send(w, side, 100, false, true, NULL, false);
            break;
        default:
            if (side == 0) {
                w->states[path_state(p)]++;
                w->state_at[path_state(p)] = w->now;
            }
            break;
        }
    }
    if (side != 0 || path_state(p) == PATH_DOWN)
        return;
    for (uint64_t burst = w->record; w->backlog && path_may_send(p, w->record, w->now); burst += w->record) {
        w->max_may_send_burst = MAX(w->max_may_send_burst, burst);
        send_data(w, true);
    }
    for (; w->interval > 0 && w->next_app <= w->now; w->next_app += w->interval)
        if (path_may_send(p, w->record, w->now))
            send_data(w, false);
}

static void arrive(struct world *w, int from, const struct pkt *k)
{
    struct path *p = w->path[!from];
    instant clock = w->now + (from ? 0 : w->skew);
    uint64_t bit = k->counter - w->first_counter;
    struct path_ack_result r;

    assert_true(bit < SEEN_MAX);
    if (w->seen[!from][bit / 8] & (1u << bit % 8))
        return;
    w->seen[!from][bit / 8] |= (uint8_t)(1u << bit % 8);
    path_on_received(p, k->counter, k->bytes, k->eliciting, k->ts64, clock);
    if (!k->has_ack)
        return;
    assert_int_equal(path_on_ack(p, &k->ack, clock, &r), 0);
    if (from == 1) {
        w->acked += r.acked_pkts;
        w->lost += r.lost_pkts;
    }
}

static instant to_tick(const struct world *w, instant t)
{
    return w->tick > 0 && t < INSTANT_NEVER - w->tick ? (t + w->tick - 1) / w->tick * w->tick : t;
}

void world_run(struct world *w, span t)
{
    instant end = w->now + t;
    unsigned still = 0;

    while (w->now <= end) {
        instant next = end + 1;

        for (int i = 0; i < 2; i++) {
            struct one_way *l = &w->link[i];

            while (l->service_at <= w->now)
                link_serve(w, l);
            while (l->air_count > 0 && to_tick(w, l->air[0].at) <= w->now) {
                struct pkt k = air_pop(l);

                arrive(w, i, &k);
            }
        }
        for (int i = 0; i < 2 && to_tick(w, w->now) == w->now; i++)
            drive(w, i);
        for (int i = 0; i < 2; i++) {
            next = instant_min(next, to_tick(w, path_next_expiry(w->path[i]) - (i ? w->skew : 0)));
        }
        for (int i = 0; i < 2; i++) {
            next = instant_min(next, w->link[i].service_at);
            if (w->link[i].air_count > 0)
                next = instant_min(next, to_tick(w, w->link[i].air[0].at));
        }
        if (w->backlog && path_state(w->path[0]) != PATH_DOWN)
            next = instant_min(next, to_tick(w, path_next_send(w->path[0])));
        if (w->interval > 0)
            next = instant_min(next, w->next_app);
        still = next <= w->now ? still + 1 : 0;
        assert_true(still < 1000); /* time must move */
        w->now = MAX(next, w->now);
    }
    w->now = end;
}

void world_reset_stats(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        struct one_way *l = &w->link[i];

        l->carried_bytes = l->carried_pkts = l->dropped_pkts = 0;
        l->queue_sum = 0;
        l->queue_peak = 0;
    }
}

double world_utilisation(const struct world *w, span t)
{
    return (double)w->link[0].carried_bytes * 8e6 / ((double)w->link[0].bps * (double)t);
}
