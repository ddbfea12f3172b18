/* The network of a world: packets, addresses, links and the core.
 *
 * Theory of operation. A link direction (sim/link.h) is a source: when it fires, what has come out of it goes onward,
 * to the next link, the core or an end. The core has no delay; it knows who has which address.
 *
 * Limits: datagrams are copied once from node_output into a buffer of a free list, and opened in place there. */
#include "sim/world_internal.h"

#include <assert.h>

#define SLAB_PACKETS 64

/* --- packets --- */

static struct world_packet *packet_take(struct world *w)
{
    struct world_packet *p;

    if (!w->free) {
        struct world_packet *slab = malloc(SLAB_PACKETS * sizeof(*slab));

        w->slabs = realloc(w->slabs, (w->slabs_count + 1) * sizeof(*w->slabs));
        assert(slab && w->slabs);
        w->slabs[w->slabs_count++] = slab;
        for (unsigned i = 0; i < SLAB_PACKETS; i++) {
            slab[i].next = w->free;
            w->free = &slab[i];
        }
    }
    p = w->free;
    w->free = p->next;
    p->uplink = NULL;
    p->crossing = NULL;
    p->segment.conn = 0;
    return p;
}

void world_packet_give(struct world *w, struct world_packet *p)
{
    p->next = w->free;
    w->free = p;
}

struct world_packet *world_packet_make(struct world *w, const struct endpoint *src, const struct locator_pair *to,
                                       uint8_t tos, const uint8_t *data, size_t len)
{
    struct world_packet *p = packet_take(w);

    assert(len > 0 && len <= WORLD_PACKET_MAX);
    p->src = *src;
    p->dst = to->remote;
    p->len = (uint16_t)len;
    p->tos = tos;
    p->transport = to->transport;
    memcpy(p->data, data, len);
    return p;
}

static uint32_t wire_len(const struct world_packet *p)
{
    return p->len + (p->dst.addr.family == ADDR_V6 ? 48u : 28u);
}

/* --- addresses --- */

uint64_t world_addr_key(const struct addr *a)
{
    return hash_mix64(get_be64(a->bytes)) + get_be64(a->bytes + 8) + a->family;
}

void world_place_put(struct world *w, const struct endpoint *at, struct world_place *p)
{
    assert(!map64_get(&w->places, world_addr_key(&at->addr)));
    if (map64_put(&w->places, world_addr_key(&at->addr), p) < 0)
        abort();
}

struct endpoint world_fresh_endpoint(struct world *w, enum addr_family family, uint16_t port)
{
    uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8 };
    uint32_t n = ++w->next_addr;

    put_be32(v6 + 12, n);
    return (struct endpoint){
        .addr = family == ADDR_V4 ? addr_v4(0xc6120000u + n) : addr_from_bytes(ADDR_V6, v6), /* 198.18.0.0/15 */
        .port = port,
    };
}

/* --- links --- */

static void link_reschedule(struct world *w, struct world_link *l)
{
    instant at = link_next_expiry(&l->dir);

    world_schedule(w, &l->source, at == INSTANT_NEVER ? at : MAX(at, w->now));
}

static void link_send(struct world *w, struct world_link *l, struct world_packet *p)
{
    if (link_push(&l->dir, p, wire_len(p), w->now) != LINK_QUEUED)
        world_packet_give(w, p);
    link_reschedule(w, l);
}

/* A network that does not like UDP. */
static bool udp_lost(struct world_uplink *u, const struct world_packet *p)
{
    if (p->transport == TRANSPORT_TCP) {
        u->tcp_datagrams++;
        return false;
    }
    return u->udp_lost_percent > 0 && prng_u64(&u->end->world->prng) % 100 < u->udp_lost_percent;
}

/* Takes the packet. */
static void core_route(struct world *w, struct world_packet *p)
{
    const struct world_place *to;

    for (size_t i = 0; i < w->watches_count; i++)
        if (w->watches[i]->core && !w->watches[i]->core(w->watches[i]->ctx, p))
            goto drop;
    to = map64_get(&w->places, world_addr_key(&p->dst.addr));
    if (!to || (to->port && to->port != p->dst.port)) {
        w->lost_at_core++;
        goto drop;
    }
    if (!to->uplink && w->driving > 0) {
        *w->deferred_end = p;
        p->next = NULL;
        w->deferred_end = &p->next;
        return;
    }
    if (!to->uplink) {
        world_end_arrive(to->end, NULL, p);
        goto drop;
    }
    if (to->uplink->nat && p->dst.addr.family == ADDR_V4 && !world_nat_in(to->uplink, p)) {
        to->uplink->nat_drops++;
        goto drop;
    }
    if (udp_lost(to->uplink, p))
        goto drop;
    p->uplink = to->uplink;
    link_send(w, to->uplink->trunk ? &to->uplink->trunk->down : &to->uplink->down, p);
    return;
drop:
    world_packet_give(w, p);
}

void world_onward_core(struct world *w, struct world_link *l, struct world_packet *p)
{
    core_route(w, p);
}

void world_onward_up(struct world *w, struct world_link *l, struct world_packet *p)
{
    if (l->uplink->trunk)
        link_send(w, &l->uplink->trunk->up, p);
    else
        core_route(w, p);
}

static void onward_down(struct world *w, struct world_link *l, struct world_packet *p)
{
    link_send(w, &p->uplink->down, p);
}

void world_onward_end(struct world *w, struct world_link *l, struct world_packet *p)
{
    l->uplink->rx_datagrams++;
    l->uplink->rx_bytes += wire_len(p);
    if (endpoint_equal(&p->dst, &l->uplink->inside[p->dst.addr.family == ADDR_V6]))
        world_end_arrive(l->uplink->end, l->uplink, p);
    world_packet_give(w, p);
}

static void packet_leave(struct world *w, struct world_link *l, struct world_packet *p)
{
    if (!p->crossing) {
        l->onward(w, l, p);
        return;
    }
    p->crossing->arrived(w, p->crossing, p->data);
    world_packet_give(w, p);
}

static void link_fire(struct world *w, struct world_source *s)
{
    struct world_link *l = CONTAINER_OF(s, struct world_link, source);
    struct link_out out;

    while (link_pop(&l->dir, w->now, &out)) {
        struct world_packet *p = out.pkt;

        /* The UDP checksum of the outer packet would mostly drop it; what passes is for the cipher to see. */
        if (out.flip_bit >= 0 && out.flip_bit / 8 < p->len)
            p->data[out.flip_bit / 8] ^= (uint8_t)(1u << (out.flip_bit % 8));
        for (unsigned i = 0; i < out.copies && !w->failed; i++) {
            struct world_packet *copy = packet_take(w);

            if (i + 1 == out.copies) {
                world_packet_give(w, copy);
                copy = p;
                p = NULL;
            } else {
                copy->src = p->src;
                copy->dst = p->dst;
                copy->uplink = p->uplink;
                copy->crossing = p->crossing;
                copy->len = p->len;
                copy->tos = p->tos;
                copy->transport = p->transport;
                copy->segment = p->segment;
                memcpy(copy->data, p->data, p->len);
            }
            packet_leave(w, l, copy);
        }
        if (p)
            world_packet_give(w, p);
    }
    link_reschedule(w, l);
}

void world_link_begin(struct world *w, struct world_link *l, size_t packets, world_onward_fn *onward)
{
    if (link_init(&l->dir, packets, prng_u64(&w->prng)) < 0)
        abort();
    l->onward = onward;
    world_source_init(w, &l->source, link_fire);
}

void world_link_end(struct world *w, struct world_link *l)
{
    void *p;

    while ((p = link_drain(&l->dir)))
        world_packet_give(w, p);
    link_deinit(&l->dir);
}

void world_link_set(struct world *w, struct world_link *l, const char *text)
{
    struct link_params p = l->dir.params;
    char error[LINK_ERROR_MAX];

    if (link_params_parse(text, &p, error) < 0) {
        world_fail(w, "link: %s", error);
        return;
    }
    link_configure(&l->dir, &p, w->now);
    link_reschedule(w, l);
}

/* Takes the packet, which leaves that end: by the uplink, or (NULL) the agent's way. */
void world_launch(struct world_end *e, struct world_uplink *u, struct world_packet *p)
{
    struct world *w = e->world;

    if (!u && e->access) {
        link_send(w, e->access, p);
        return;
    }
    if (!u) {
        core_route(w, p);
        return;
    }
    u->tx_datagrams++;
    u->tx_bytes += wire_len(p);
    if (u->nat && p->dst.addr.family == ADDR_V4) {
        p->src.addr = u->public_at[0].addr;
        p->src.port = world_nat_out(u, &p->dst)->port;
    }
    if (udp_lost(u, p))
        world_packet_give(w, p);
    else
        link_send(w, &u->up, p);
}

/* --- from outside --- */

void world_stream_packet(struct world_uplink *u, struct world_end *agent, const struct endpoint *src,
                         const struct endpoint *dst, const struct world_segment *segment, const uint8_t *data,
                         uint16_t len)
{
    struct world_packet *p = packet_take(u->end->world);

    p->src = *src;
    p->dst = *dst;
    p->len = len;
    p->tos = 0;
    p->transport = TRANSPORT_TCP;
    p->segment = *segment;
    if (data)
        memcpy(p->data, data, len);
    world_launch(agent ? agent : u->end, agent ? NULL : u, p);
}

struct world_end *world_agent_at(struct world *w, const struct endpoint *at)
{
    const struct world_place *to = map64_get(&w->places, world_addr_key(&at->addr));

    return to && !to->uplink ? to->end : NULL;
}

struct world_trunk *world_trunk(struct world *w, const char *params, size_t packets)
{
    struct world_trunk *t = calloc(1, sizeof(*t));

    assert(t && w->trunks_count < WORLD_TRUNKS_MAX);
    world_link_begin(w, &t->up, packets, world_onward_core);
    world_link_begin(w, &t->down, packets, onward_down);
    world_link_set(w, &t->up, params);
    world_link_set(w, &t->down, params);
    w->trunks[w->trunks_count++] = t;
    return t;
}

void world_uplink_behind(struct world_uplink *u, struct world_trunk *t)
{
    u->trunk = t;
}

void world_cross(struct world *w, struct world_link *l, struct world_crossing *c, const void *data, size_t size,
                 uint16_t len)
{
    struct world_packet *p = packet_take(w);

    assert(size <= sizeof(p->data) && len > 28);
    p->crossing = c;
    p->dst = (struct endpoint){ .addr = { .family = ADDR_V4 } };
    p->len = (uint16_t)(len - 28);
    memcpy(p->data, data, size);
    link_send(w, l, p);
}

void world_link_dir(struct world_link *l, const char *text)
{
    world_link_set(l->uplink->end->world, l, text);
}

void world_link_trace(struct world_link *l, const struct link_trace *t)
{
    struct link_params p = l->dir.params;

    p.trace = t;
    link_configure(&l->dir, &p, l->uplink->end->world->now);
    link_reschedule(l->uplink->end->world, l);
}

void world_link(struct world_uplink *u, const char *text)
{
    world_link_dir(&u->up, text);
    world_link_dir(&u->down, text);
}

void world_inject(struct world *w, const struct endpoint *src, const struct endpoint *dst, const uint8_t *data,
                  size_t len)
{
    const struct locator_pair at = { .remote = *dst };

    core_route(w, world_packet_make(w, src, &at, 0, data, len));
}
