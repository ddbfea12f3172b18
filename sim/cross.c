/* sim/cross.c - see cross.h. A segment is its number and its timestamp; acknowledgements go back over a link that only
 * delays. Loss detection is RACK-TLP, as in Linux. */
#include "sim/cross.h"

#include <assert.h>

#define BLOCKS 4
#define OUTER 28 /* what the world counts for IP and UDP */

static void reschedule(struct cross *c)
{
    instant at = instant_min(tcp_sender_next_expiry(&c->tx), link_next_expiry(&c->back));

    at = instant_min(at, tcp_receiver_next_expiry(&c->rx));
    world_schedule(c->agent->world, &c->source,
                   c->stopped || at == INSTANT_NEVER ? INSTANT_NEVER : MAX(at, c->agent->world->now));
}

static void say(struct cross *c)
{
    instant now = c->agent->world->now;
    struct tcp_ack ack;

    while (tcp_receiver_output(&c->rx, BLOCKS, &ack, now)) {
        struct tcp_ack *copy = malloc(sizeof(*copy));

        assert(copy);
        *copy = ack;
        if (link_push(&c->back, copy, 60, now) != LINK_QUEUED)
            free(copy);
    }
}

static bool core(void *ctx, struct world_packet *p)
{
    struct cross *c = ctx;
    uint32_t ts = get_be32(p->data + 8);

    if (!endpoint_equal(&p->dst, &c->at))
        return true;
    tcp_receiver_on_segment(&c->rx, get_be64(p->data), &ts, c->agent->world->now);
    say(c);
    reschedule(c);
    return false;
}

static void fire(struct world *w, struct world_source *s)
{
    struct cross *c = CONTAINER_OF(s, struct cross, source);
    uint8_t data[CROSS_SEGMENT - OUTER] = { 0 };
    struct link_out out;
    uint64_t seg;

    while (link_pop(&c->back, w->now, &out) == 1) {
        tcp_sender_on_ack(&c->tx, out.pkt, w->now);
        free(out.pkt);
    }
    say(c);
    tcp_sender_on_expiry(&c->tx, w->now);
    while (tcp_sender_output(&c->tx, w->now, &seg)) {
        put_be64(data, seg);
        put_be32(data + 8, tcp_timestamp(w->now));
        world_agent_cross(c->agent, &c->at, &c->at, data, sizeof(data));
    }
    reschedule(c);
}

struct cross *cross_new(struct world_end *agent, const struct tcp_cc *cc, span rtt)
{
    const struct tcp_options options = { .cc = cc, .loss = TCP_LOSS_RACK };
    const struct link_params delay = { .delay = rtt };
    struct world *w = agent->world;
    struct cross *c = calloc(1, sizeof(*c));

    assert(c);
    if (tcp_sender_init(&c->tx, &options, 0, w->now) < 0 || tcp_receiver_init(&c->rx) < 0 ||
        link_init(&c->back, TCP_RING, 1) < 0)
        abort();
    link_configure(&c->back, &delay, w->now);
    c->agent = agent;
    c->at = world_endpoint(w);
    c->watch = (struct world_watch){ .ctx = c, .core = core };
    world_watch_add(w, &c->watch);
    world_source_init(w, &c->source, fire);
    world_schedule(w, &c->source, w->now);
    return c;
}

void cross_free(struct cross *c)
{
    void *p;

    while ((p = link_drain(&c->back)))
        free(p);
    link_deinit(&c->back);
    tcp_sender_deinit(&c->tx);
    tcp_receiver_deinit(&c->rx);
    free(c);
}

void cross_stop(struct cross *c)
{
    c->stopped = true;
    reschedule(c);
}
