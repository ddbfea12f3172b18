/* sim/cross.c - see cross.h.
 *
 * Theory of operation. A segment is a crossing packet of SEGMENT bytes with its number and that of its flow; what comes
 * out of the link late, of a flow that has ended, is nobody's. Acknowledgements are parcels in a link of their own. A
 * flow has ended when all of it is acknowledged.
 *
 * Flows' sizes have a heavy tail, as those of the Internet: Pareto of shape 1.5, cut at 20 times its mean. */
#include "sim/cross.h"

#include <assert.h>
#include <math.h>

#define SEGMENT 1500      /* IP bytes */
#define SEGMENT_DATA 1448 /* less IPv4, TCP and a timestamp */
#define ACK 60
#define SHAPE 1.5    /* chosen: between what is reported for files of the Web, 1.1 and 2 */
#define LONGEST 20.0 /* chosen: of a run of minutes no flow takes all */
#define BACK_PACKETS 8192

struct crosser {
    uint32_t flow, ts;
    uint64_t seg;
};

struct parcel {
    uint32_t flow;
    struct tcp_ack ack;
};

static void pump(struct cross *c)
{
    instant now = c->world->now;
    struct crosser s = { .flow = c->flow, .ts = tcp_timestamp(now) };
    struct tcp_ack ack;

    if (!c->running)
        return;
    while (tcp_receiver_output(&c->rx, 4, &ack, now)) {
        struct parcel *p = malloc(sizeof(*p));

        assert(p);
        *p = (struct parcel){ .flow = c->flow, .ack = ack };
        if (link_push(&c->back, p, ACK, now) != LINK_QUEUED)
            free(p);
    }
    while (tcp_sender_output(&c->tx, now, &s.seg))
        world_cross(c->world, c->link, &c->crossing, &s, sizeof(s), SEGMENT);
}

static void flow_end(struct cross *c)
{
    if (!c->running)
        return;
    tcp_sender_deinit(&c->tx);
    tcp_receiver_deinit(&c->rx);
    c->running = false;
    c->next_at = c->world->now + (span)(-log(1 - prng_unit(&c->prng)) * (double)c->o.pause_mean);
}

static void flow_begin(struct cross *c)
{
    double least = (double)c->o.bytes_mean * (SHAPE - 1) / SHAPE,
           bytes = least / pow(1 - prng_unit(&c->prng), 1 / SHAPE);
    uint64_t segments = 1 + (uint64_t)(fmin(bytes, LONGEST * (double)c->o.bytes_mean) / SEGMENT_DATA);

    if (c->o.bytes_mean == 0)
        segments = 0; /* without end */
    if (tcp_sender_init(&c->tx, &c->o.tcp, segments, c->world->now) < 0 || tcp_receiver_init(&c->rx) < 0)
        abort();
    c->flow++;
    c->running = true;
}

static void reschedule(struct cross *c)
{
    instant at = link_next_expiry(&c->back);

    if (c->running)
        at = instant_min(at, instant_min(tcp_sender_next_expiry(&c->tx), tcp_receiver_next_expiry(&c->rx)));
    else
        at = instant_min(at, c->next_at);
    world_schedule(c->world, &c->source, at == INSTANT_NEVER ? at : MAX(at, c->world->now));
}

static void fire(struct world *w, struct world_source *s)
{
    struct cross *c = CONTAINER_OF(s, struct cross, source);
    struct link_out out;

    while (link_pop(&c->back, w->now, &out)) {
        const struct parcel *p = out.pkt;

        if (c->running && p->flow == c->flow)
            tcp_sender_on_ack(&c->tx, &p->ack, w->now);
        free(out.pkt);
    }
    if (c->running && tcp_sender_next_expiry(&c->tx) <= w->now)
        tcp_sender_on_expiry(&c->tx, w->now);
    if (c->running && c->o.bytes_mean > 0 && c->tx.una >= c->tx.limit)
        flow_end(c);
    if (!c->running && w->now >= c->next_at)
        flow_begin(c);
    pump(c);
    reschedule(c);
}

static void arrived(struct world *w, struct world_crossing *crossing, const uint8_t *data)
{
    struct cross *c = CONTAINER_OF(crossing, struct cross, crossing);
    struct crosser s;

    memcpy(&s, data, sizeof(s));
    if (!c->running || s.flow != c->flow)
        return;
    if (tcp_receiver_on_segment(&c->rx, s.seg, c->o.tcp.loss == TCP_LOSS_RACK ? &s.ts : NULL, w->now)) {
        c->received_bytes += SEGMENT_DATA;
        c->wire_bytes += SEGMENT;
    }
    pump(c);
    reschedule(c);
}

struct cross *cross_new(struct world *w, struct world_link *l, const struct cross_options *o, uint64_t seed)
{
    struct cross *c = calloc(1, sizeof(*c));
    struct link_params wire = { .delay = o->rest };

    assert(c);
    *c = (struct cross){ .crossing = { arrived }, .world = w, .link = l, .o = *o };
    prng_init(&c->prng, seed);
    if (link_init(&c->back, BACK_PACKETS, prng_u64(&c->prng)) < 0)
        abort();
    link_configure(&c->back, &wire, w->now);
    c->next_at = w->now + (span)(prng_unit(&c->prng) * (double)o->pause_mean);
    world_source_init(w, &c->source, fire);
    reschedule(c);
    return c;
}

void cross_free(struct cross *c)
{
    void *p;

    if (!c)
        return;
    while ((p = link_drain(&c->back)))
        free(p);
    link_deinit(&c->back);
    if (c->running) {
        tcp_sender_deinit(&c->tx);
        tcp_receiver_deinit(&c->rx);
    }
    free(c);
}
