/* Whole nodes over simulated links in virtual time.
 *
 * Theory of operation. Ends (node_next_expiry) and link directions (link_next_expiry) are sources (world_time.c), as
 * are generators of traffic. A source fires, whatever it touched is driven until it has nothing more to say, and its
 * new time goes into the heap.
 *
 * Limits: 1,024 ends, 8 uplinks each, 8 trunks. Datagrams are copied once from node_output into a buffer of a free
 * list, and opened in place there. */
#include "sim/stream.h"
#include "sim/world_nat.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define SLAB_PACKETS 64
#define OUTPUT_CALLS_MAX 4096 /* for one event: 2,048 records of reinjection, a full pool, and room */
#define NODE_PORT 40000
#define AGENT_PORT 51820

void world_fail(struct world *w, const char *format, ...)
{
    va_list args;

    if (w->failed)
        return;
    w->failed = true;
    w->failed_at = w->now;
    va_start(args, format);
    vsnprintf(w->error, sizeof(w->error), format, args);
    va_end(args);
}

void world_watch_add(struct world *w, const struct world_watch *watch)
{
    assert(w->watches_count < WORLD_WATCHES_MAX);
    w->watches[w->watches_count++] = watch;
}

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

static void packet_give(struct world *w, struct world_packet *p)
{
    p->next = w->free;
    w->free = p;
}

static void trace(struct world *w, uint64_t a, const struct world_packet *p)
{
    uint64_t h = w->trace_hash ^ (uint64_t)w->now;

    h = hash_mix64(h + 0x9e3779b97f4a7c15u * (a + p->len));
    w->trace_hash = hash_mix64(h ^ get_le64(p->data) ^ (p->len >= 16 ? get_le64(p->data + 8) : 0));
}

static uint32_t wire_len(const struct world_packet *p)
{
    return p->len + (p->dst.addr.family == ADDR_V6 ? 48u : 28u);
}

/* --- addresses --- */

static uint64_t addr_key(const struct addr *a)
{
    return hash_mix64(get_be64(a->bytes)) + get_be64(a->bytes + 8) + a->family;
}

static void place_put(struct world *w, const struct endpoint *at, struct world_place *p)
{
    assert(!map64_get(&w->places, addr_key(&at->addr)));
    if (map64_put(&w->places, addr_key(&at->addr), p) < 0)
        abort();
}

static struct endpoint fresh_endpoint(struct world *w, enum addr_family family, uint16_t port)
{
    uint8_t v6[16] = { 0x20, 0x01, 0x0d, 0xb8 };
    uint32_t n = ++w->next_addr;

    put_be32(v6 + 12, n);
    return (struct endpoint){
        .addr = family == ADDR_V4 ? addr_v4(0xc6120000u + n) : addr_from_bytes(ADDR_V6, v6), /* 198.18.0.0/15 */
        .port = port,
    };
}

/* --- datagrams on their way --- */

static void end_drive(struct world_end *e);

static void link_reschedule(struct world *w, struct world_link *l)
{
    instant at = link_next_expiry(&l->dir);

    world_schedule(w, &l->source, at == INSTANT_NEVER ? at : MAX(at, w->now));
}

static void link_send(struct world *w, struct world_link *l, struct world_packet *p)
{
    if (link_push(&l->dir, p, wire_len(p), w->now) != LINK_QUEUED)
        packet_give(w, p);
    link_reschedule(w, l);
}

static void end_arrive(struct world_end *e, struct world_uplink *u, struct world_packet *p)
{
    struct world *w = e->world;
    struct world_stream *stream = u ? u->stream : world_stream_find(w, p->segment.conn);
    struct locator_pair at = {
        .link = u ? u->spec.link : NODE_LISTEN_LINK,
        .local = p->dst.addr,
        .remote = p->src,
        .transport = p->transport,
    };

    if (!e->node)
        return;
    if (p->segment.conn > 0) {
        if (stream)
            world_stream_arrive(stream, !u, p);
        return;
    }
    w->delivered++;
    trace(w, e->index * 16 + at.link, p);
    for (size_t i = 0; i < w->watches_count; i++)
        if (w->watches[i]->arriving)
            w->watches[i]->arriving(w->watches[i]->ctx, e, p);
    node_on_datagram(e->node, &at, p->data, p->len, 0, p->tos, w->now);
    for (size_t i = 0; i < w->watches_count; i++)
        if (w->watches[i]->arrived)
            w->watches[i]->arrived(w->watches[i]->ctx, e, p);
    end_drive(e);
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
    to = map64_get(&w->places, addr_key(&p->dst.addr));
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
        end_arrive(to->end, NULL, p);
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
    packet_give(w, p);
}

static void onward_core(struct world *w, struct world_link *l, struct world_packet *p)
{
    core_route(w, p);
}

static void onward_up(struct world *w, struct world_link *l, struct world_packet *p)
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

static void onward_end(struct world *w, struct world_link *l, struct world_packet *p)
{
    l->uplink->rx_datagrams++;
    l->uplink->rx_bytes += wire_len(p);
    if (endpoint_equal(&p->dst, &l->uplink->inside[p->dst.addr.family == ADDR_V6]))
        end_arrive(l->uplink->end, l->uplink, p);
    packet_give(w, p);
}

static void packet_leave(struct world *w, struct world_link *l, struct world_packet *p)
{
    if (!p->crossing) {
        l->onward(w, l, p);
        return;
    }
    p->crossing->arrived(w, p->crossing, p->data);
    packet_give(w, p);
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
                packet_give(w, copy);
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
            packet_give(w, p);
    }
    link_reschedule(w, l);
}

/* --- ends --- */

static struct world_uplink *uplink_by_link(struct world_end *e, uint32_t link)
{
    for (size_t i = 0; i < e->uplinks_count; i++)
        if (e->uplinks[i]->spec.link == link)
            return e->uplinks[i];
    return NULL;
}

static bool source_endpoint(struct world_end *e, struct world_uplink *u, const struct session_tx *tx,
                            struct endpoint *ret)
{
    enum addr_family family = tx->at.remote.addr.family;

    if (u) {
        *ret = u->inside[family == ADDR_V6];
        return ret->addr.family == family &&
               (tx->at.local.family == ADDR_NONE || addr_equal(&tx->at.local, &ret->addr));
    }
    for (size_t i = 0; i < e->listen_count; i++) {
        if (e->listen[i].addr.family == family &&
            (tx->at.local.family == ADDR_NONE || addr_equal(&tx->at.local, &e->listen[i].addr))) {
            *ret = e->listen[i];
            return true;
        }
    }
    return false;
}

/* Takes the packet, which leaves that end: by the uplink, or (NULL) the agent's way. */
static void launch(struct world_end *e, struct world_uplink *u, struct world_packet *p)
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
        packet_give(w, p);
    else
        link_send(w, &u->up, p);
}

static void send_one(struct world_end *e, struct world_uplink *u, const struct endpoint *src,
                     const struct locator_pair *at, uint8_t tos, const uint8_t *data, size_t len)
{
    const struct endpoint *dst = &at->remote;
    struct world *w = e->world;
    struct world_packet *p;

    assert(len > 0 && len <= WORLD_PACKET_MAX);
    p = packet_take(w);
    p->src = *src;
    p->dst = *dst;
    p->len = (uint16_t)len;
    p->tos = tos;
    p->transport = at->transport;
    memcpy(p->data, data, len);
    for (size_t n = 0; n < w->watches_count; n++)
        if (w->watches[n]->sent)
            w->watches[n]->sent(w->watches[n]->ctx, e, u, p);
    launch(e, u, p);
}

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
    launch(agent ? agent : u->end, agent ? NULL : u, p);
}

struct world_end *world_agent_at(struct world *w, const struct endpoint *at)
{
    const struct world_place *to = map64_get(&w->places, addr_key(&at->addr));

    return to && !to->uplink ? to->end : NULL;
}

/* One super-datagram of an end. */
static void send_train(struct world_end *e, const struct session_tx *tx)
{
    struct world_uplink *u = tx->at.link == NODE_LISTEN_LINK ? NULL : uplink_by_link(e, tx->at.link);
    struct world_stream *stream;
    struct endpoint src;

    if (e->options.delivery && tx->at.transport == TRANSPORT_TCP) {
        stream = u ? world_stream_of(u) : world_stream_find(e->world, tx->at.conn);
        if (stream && source_endpoint(e, u, tx, &src))
            world_stream_send(stream, !u, tx, &src, e->world->buf);
        else if (tx->slot < SESSION_SLOTS)
            node_on_transport_lost(e->node, tx->peer, tx->slot, &tx->at, e->world->now);
        return;
    }
    if (tx->at.link != NODE_LISTEN_LINK && (!u || u->send_error || u->up.dir.params.down)) {
        node_on_unreachable(e->node, &tx->at, e->world->now);
        return;
    }
    if (!source_endpoint(e, u, tx, &src))
        return;
    for (size_t at = 0; at < tx->len;) {
        size_t n = tx->segment ? MIN(tx->segment, tx->len - at) : tx->len;

        send_one(e, u, &src, &tx->at, tx->tos, e->world->buf + at, n);
        at += n;
    }
}

/* A path that is down needs another connection than it had. */
static void end_path(struct world_end *e, const struct node_event *ev)
{
    const struct session *s = node_peer_session(e->node, ev->peer);
    struct session_path_info info;
    struct world_uplink *u;

    if (!s)
        return;
    session_path_info(s, ev->slot, e->world->now, &info);
    u = info.used && info.at.transport == TRANSPORT_TCP ? uplink_by_link(e, info.at.link) : NULL;
    if (u && u->stream && info.metrics.state == PATH_DOWN)
        world_stream_reset(u->stream);
}

static void told(struct world *w, struct world_end *e, const struct node_event *ev)
{
    for (size_t i = 0; i < w->watches_count; i++)
        if (w->watches[i]->event)
            w->watches[i]->event(w->watches[i]->ctx, e, ev);
}

static void end_event(struct world_end *e, const struct node_event *ev)
{
    struct world *w = e->world;
    struct world_peer_state *state;

    if (e->options.role == ROLE_HOST) { /* its peers come and go: its program is a watcher */
        told(w, e, ev);
        return;
    }
    if (ev->peer >= e->peers_count) {
        world_fail(w, "%s: event %d of peer %u of %zu", e->name, ev->type, ev->peer, e->peers_count);
        return;
    }
    state = &e->states[ev->peer];
    switch (ev->type) {
    case NODE_PEER_UP:
        state->up = true;
        state->ups++;
        state->up_at = w->now;
        break;
    case NODE_PEER_REKEYED:
        state->rekeys++;
        break;
    case NODE_PEER_DOWN:
        state->up = false;
        state->downs++;
        break;
    default:
        break;
    }
    if (e->options.role != ROLE_AGENT && ev->type == NODE_PATH_STATE)
        end_path(e, ev);
    if (e->options.role == ROLE_AGENT && (ev->type == NODE_PATH_MOVED || ev->type == NODE_PATH_STATE)) {
        struct endpoint at[NODE_ENDPOINTS_MAX];
        size_t n = node_peer_endpoints(e->node, ev->peer, at, ARRAY_LEN(at));

        if (n > 0) {
            memcpy(state->stored, at, n * sizeof(at[0]));
            state->stored_count = n;
        }
    }
    told(w, e, ev);
}

static void pop_inner(struct world_end *e)
{
    struct world *w = e->world;
    uint8_t pkt[PBUF_CAPACITY]; /* an end of ours merges nothing */
    struct merged in;

    while (node_pop_inner(e->node, &in, w->now) && !w->failed) {
        size_t len = slices_gather(in.slices, in.count, pkt, sizeof(pkt));

        for (size_t i = 0; i < w->watches_count; i++)
            if (w->watches[i]->inner && w->watches[i]->inner(w->watches[i]->ctx, e, pkt, len))
                break;
    }
}

static void end_reschedule(struct world_end *e)
{
    instant at = e->node ? node_next_expiry(e->node, e->world->now) : INSTANT_NEVER;

    world_schedule(e->world, &e->source, at == INSTANT_NEVER ? at : MAX(at, e->world->now));
}

/* What came to an agent while an end was being driven: the buffer of its output was in use. */
static void deferred_deliver(struct world *w)
{
    struct world_packet *p;

    while (w->driving == 0 && (p = w->deferred)) {
        const struct world_place *to = map64_get(&w->places, addr_key(&p->dst.addr));

        w->deferred = p->next;
        if (!w->deferred)
            w->deferred_end = &w->deferred;
        if (to && !to->uplink && to->port == p->dst.port)
            end_arrive(to->end, NULL, p);
        packet_give(w, p);
    }
}

/* Until the end has nothing to say. */
static void end_drive(struct world_end *e)
{
    struct world *w = e->world;
    struct session_tx tx;
    struct node_event ev;
    unsigned calls = 0;

    w->driving++;
    e->driving = true;
    pop_inner(e);
    while (!w->failed && e->node && node_output(e->node, w->buf, &tx, w->now)) {
        if (tx.len == 0 || tx.len > SESSION_OUTPUT_MAX)
            world_fail(w, "%s: output of %zu bytes", e->name, tx.len);
        else
            send_train(e, &tx);
        if (++calls == OUTPUT_CALLS_MAX)
            world_fail(w, "%s: node_output goes on and on", e->name);
    }
    w->outputs_max = MAX(w->outputs_max, calls);
    while (node_pop_event(e->node, &ev))
        end_event(e, &ev);
    w->driving--;
    e->driving = false;
    end_reschedule(e);
    deferred_deliver(w);
}

static void end_fire(struct world *w, struct world_source *s)
{
    struct world_end *e = CONTAINER_OF(s, struct world_end, source);

    node_on_expiry(e->node, w->now);
    end_drive(e);
}

void world_packet_in(struct world_end *e, const uint8_t *pkt, size_t len)
{
    static const struct offload right = { .flags = OFFLOAD_DATA_VALID }; /* traffic's checksums are */

    if (!e->node)
        return;
    node_on_packet(e->node, pkt, len, &right, e->world->now);
    if (!e->driving)
        end_drive(e);
}

void world_touch(struct world_end *e)
{
    if (e->node && !e->driving)
        end_drive(e);
}

void world_peer_wake(struct world_end *e, unsigned peer)
{
    if (e->node)
        node_peer_wake(e->node, peer);
    world_touch(e);
}

/* --- life --- */

struct world *world_new(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    w->seed = seed;
    w->now = WORLD_START;
    w->deferred_end = &w->deferred;
    prng_init(&w->prng, seed);
    map64_init(&w->places, 65536, prng_u64(&w->prng));
    return w;
}

void world_free(struct world *w)
{
    void *p;

    if (!w)
        return;
    for (size_t i = 0; i < w->ends_count; i++) {
        struct world_end *e = w->ends[i];

        node_free(e->node);
        for (size_t j = 0; j < e->uplinks_count; j++) {
            struct world_uplink *u = e->uplinks[j];

            while ((p = link_drain(&u->up.dir)) || (p = link_drain(&u->down.dir)))
                packet_give(w, p);
            link_deinit(&u->up.dir);
            link_deinit(&u->down.dir);
            free(u);
        }
        if (e->access) {
            while ((p = link_drain(&e->access->dir)))
                packet_give(w, p);
            link_deinit(&e->access->dir);
            free(e->access);
        }
        free(e->peers);
        free(e->states);
        free(e->steer);
        free(e);
    }
    for (size_t i = 0; i < w->trunks_count; i++) {
        struct world_trunk *t = w->trunks[i];

        while ((p = link_drain(&t->up.dir)) || (p = link_drain(&t->down.dir)))
            packet_give(w, p);
        link_deinit(&t->up.dir);
        link_deinit(&t->down.dir);
        free(t);
    }
    for (size_t i = 0; i < w->streams_count; i++)
        world_stream_free(w->streams[i]);
    for (size_t i = 0; i < w->slabs_count; i++)
        free(w->slabs[i]);
    free(w->slabs);
    free(w->heap);
    map64_deinit(&w->places);
    free(w);
}

static struct world_end *end_new(struct world *w, const char *name, const struct node_options *options)
{
    struct world_end *e = calloc(1, sizeof(*e));
    struct rng rng;

    assert(e && w->ends_count < WORLD_ENDS_MAX);
    e->world = w;
    e->index = (unsigned)w->ends_count;
    w->ends[w->ends_count++] = e;
    snprintf(e->name, sizeof(e->name), "%s", name);
    prng_init(&e->prng, prng_u64(&w->prng));
    rng = prng_rng(&e->prng);
    if (identity_generate(&e->identity, &rng) < 0)
        abort();
    if (options)
        e->options = *options;
    e->options.self = &e->identity;
    e->options.rng = rng;
    world_source_init(w, &e->source, end_fire);
    return e;
}

static void end_start(struct world_end *e)
{
    e->node = node_new(&e->options, e->world->now);
    assert(e->node);
}

static void peer_add(struct world_end *e, const struct node_peer_spec *spec)
{
    int r;

    e->peers = realloc(e->peers, (e->peers_count + 1) * sizeof(*e->peers));
    e->states = realloc(e->states, (e->peers_count + 1) * sizeof(*e->states));
    assert(e->peers && e->states);
    memset(&e->states[e->peers_count], 0, sizeof(*e->states));
    e->peers[e->peers_count] = *spec;
    r = node_peer_add(e->node, spec, e->world->now);
    if (r != (int)e->peers_count)
        world_fail(e->world, "%s: node_peer_add of peer %zu gave %d", e->name, e->peers_count, r);
    e->peers_count++;
}

struct world_end *world_agent(struct world *w, const char *name, const struct node_options *options, bool v6)
{
    uint8_t inner6[16] = { 0xfd, 0x08 };
    struct world_end *e = end_new(w, name, options);

    e->options.role = ROLE_AGENT;
    inner6[15] = (uint8_t)e->index + 1;
    e->inner[0] = addr_v4(0x0a080000u + e->index + 1);
    e->inner[1] = addr_from_bytes(ADDR_V6, inner6);
    for (unsigned i = 0; i < (v6 ? 2u : 1u); i++) {
        e->listen[i] = fresh_endpoint(w, i == 0 ? ADDR_V4 : ADDR_V6, AGENT_PORT);
        e->listen_place[i] = (struct world_place){ .end = e, .port = AGENT_PORT };
        place_put(w, &e->listen[i], &e->listen_place[i]);
        e->listen_count++;
    }
    end_start(e);
    return e;
}

void world_agent_access(struct world_end *e, const char *params, size_t packets)
{
    struct world_link *l = calloc(1, sizeof(*l));
    struct link_params p = { 0 };
    char error[LINK_ERROR_MAX];

    if (!l || link_init(&l->dir, packets, prng_u64(&e->world->prng)) < 0)
        abort();
    if (link_params_parse(params, &p, error) < 0)
        world_fail(e->world, "link: %s", error);
    link_configure(&l->dir, &p, e->world->now);
    l->onward = onward_core;
    world_source_init(e->world, &l->source, link_fire);
    e->access = l;
}

void world_agent_move(struct world_end *e, unsigned i)
{
    map64_remove(&e->world->places, addr_key(&e->listen[i].addr));
    e->listen[i] = fresh_endpoint(e->world, e->listen[i].addr.family, AGENT_PORT);
    place_put(e->world, &e->listen[i], &e->listen_place[i]);
}

static void uplink_add(struct world_end *e, unsigned i, const struct world_node_spec *spec)
{
    struct world *w = e->world;
    struct world_uplink *u = calloc(1, sizeof(*u));
    size_t packets = spec->link_packets ? spec->link_packets : WORLD_LINK_PACKETS;

    assert(u && i < WORLD_UPLINKS_MAX);
    u->end = e;
    u->spec = (struct node_uplink){ .link = i + 1, .tier = spec->tiers[i], .weight = 1, .up = true, .has_v4 = true };
    u->spec.has_v6 = spec->v6;
    snprintf(u->spec.name, sizeof(u->spec.name), "up%u", i + 1);
    for (unsigned f = 0; f < (spec->v6 ? 2u : 1u); f++) {
        u->inside[f] = u->public_at[f] = fresh_endpoint(w, f == 0 ? ADDR_V4 : ADDR_V6, NODE_PORT);
        u->place[f] = (struct world_place){ .end = e, .uplink = u, .port = NODE_PORT };
        place_put(w, &u->public_at[f], &u->place[f]);
    }
    u->spec.address_hash = (uint32_t)addr_key(&u->inside[0].addr);
    if (link_init(&u->up.dir, packets, prng_u64(&w->prng)) < 0 ||
        link_init(&u->down.dir, packets, prng_u64(&w->prng)) < 0)
        abort();
    u->up.uplink = u->down.uplink = u;
    u->up.onward = onward_up;
    u->down.onward = onward_end;
    world_source_init(w, &u->up.source, link_fire);
    world_source_init(w, &u->down.source, link_fire);
    e->uplinks[e->uplinks_count++] = u;
    if (spec->params[i])
        world_link(u, spec->params[i]);
}

static void node_begin(struct world_end *e)
{
    for (size_t i = 0; i < e->uplinks_count; i++)
        node_uplink_set(e->node, &e->uplinks[i]->spec, e->world->now);
    if (e->steer)
        node_set_steer(e->node, e->steer, e->world->now);
}

struct world_end *world_node(struct world *w, const char *name, struct world_end *agent,
                             const struct world_node_spec *spec)
{
    struct world_end *e = end_new(w, name, &spec->options);
    struct node_peer_spec to_agent = { .name = "agent" }, to_node = { .addresses_count = 2 };
    uint8_t inner6[16] = { 0xfd, 0x09 };

    put_be32(inner6 + 12, e->index + 1);
    e->inner[0] = addr_v4(0x0a090000u + e->index + 1);
    e->inner[1] = addr_from_bytes(ADDR_V6, inner6);
    snprintf(to_node.name, sizeof(to_node.name), "%s", name);
    identity_peer_key(&agent->identity, suite_supported(), &to_agent.key);
    identity_peer_key(&e->identity, suite_supported(), &to_node.key);
    for (unsigned i = 0; i < 32; i += 8)
        put_le64(to_agent.psk + i, prng_u64(&w->prng));
    memcpy(to_node.psk, to_agent.psk, 32);
    for (size_t i = 0; i < agent->listen_count; i++)
        to_agent.endpoints[to_agent.endpoints_count++] = agent->listen[i];
    if (spec->tcp)
        to_agent.tcp_port = AGENT_PORT;
    to_node.addresses[0] = (struct prefix){ .addr = e->inner[0], .len = 32 };
    to_node.addresses[1] = (struct prefix){ .addr = e->inner[1], .len = 128 };
    end_start(e);
    peer_add(e, &to_agent);
    peer_add(agent, &to_node);
    for (unsigned i = 0; i < spec->uplinks; i++)
        uplink_add(e, i, spec);
    node_begin(e);
    end_reschedule(e);
    end_reschedule(agent);
    return e;
}

struct world_end *world_host(struct world *w, const char *name, const struct world_node_spec *spec)
{
    struct world_end *e = end_new(w, name, &spec->options);
    uint8_t identifier[16] = { 0x20, 0x01, 0x00, 0x3f };

    put_be32(identifier + 12, e->index + 1);
    e->inner[1] = addr_from_bytes(ADDR_V6, identifier);
    e->options.role = ROLE_HOST;
    e->options.strangers = true;
    e->options.identifier = e->inner[1];
    e->options.introduction = (struct slice){ e->inner[1].bytes, 16 };
    end_start(e);
    for (unsigned i = 0; i < spec->uplinks; i++)
        uplink_add(e, i, spec);
    node_begin(e);
    end_reschedule(e);
    return e;
}

void world_connect(struct world_end *e)
{
    node_connect(e->node, 0, NULL, 0, e->world->now);
    end_drive(e);
}

bool world_is_up(const struct world_end *e, unsigned peer)
{
    struct session *s = e->node ? node_peer_session(e->node, peer) : NULL;

    return s && session_is_up(s);
}

void world_stop(struct world_end *e)
{
    node_free(e->node);
    e->node = NULL;
    world_schedule(e->world, &e->source, INSTANT_NEVER);
    for (size_t i = 0; i < e->peers_count; i++)
        e->states[i].up = false;
}

void world_restart(struct world_end *e)
{
    struct world *w = e->world;

    if (e->node)
        world_stop(e);
    e->restarts++;
    end_start(e);
    for (size_t i = 0; i < e->peers_count; i++)
        if (node_peer_add(e->node, &e->peers[i], w->now) != (int)i)
            world_fail(w, "%s: node_peer_add at a restart", e->name);
    if (e->options.role == ROLE_AGENT) {
        for (unsigned i = 0; i < e->peers_count; i++)
            if (e->states[i].stored_count > 0)
                node_connect(e->node, i, e->states[i].stored, e->states[i].stored_count, w->now);
    } else {
        node_begin(e);
        if (e->options.role != ROLE_HOST)
            node_connect(e->node, 0, NULL, 0, w->now);
    }
    end_drive(e);
}

void world_steer(struct world_end *e, const char *text)
{
    char error[STEER_ERROR_MAX];
    uint32_t version = 0;

    if (!e->steer) {
        e->steer = malloc(sizeof(*e->steer));
        assert(e->steer);
    } else {
        version = e->steer->version;
    }
    steer_table_init(e->steer);
    e->steer->version = version + 1;
    if (steer_table_add_text(e->steer, text, error, sizeof(error)) < 0)
        world_fail(e->world, "steering: %s", error);
    steer_table_compile(e->steer);
    node_set_steer(e->node, e->steer, e->world->now);
    end_drive(e);
}

/* --- uplinks --- */

struct world_uplink *world_uplink(struct world_end *e, unsigned i)
{
    assert(i < e->uplinks_count);
    return e->uplinks[i];
}

struct world_trunk *world_trunk(struct world *w, const char *params, size_t packets)
{
    struct world_trunk *t = calloc(1, sizeof(*t));
    struct link_params p = { 0 };
    char error[LINK_ERROR_MAX];

    assert(t && w->trunks_count < WORLD_TRUNKS_MAX);
    if (link_init(&t->up.dir, packets, prng_u64(&w->prng)) < 0 ||
        link_init(&t->down.dir, packets, prng_u64(&w->prng)) < 0)
        abort();
    if (link_params_parse(params, &p, error) < 0)
        world_fail(w, "link: %s", error);
    link_configure(&t->up.dir, &p, w->now);
    link_configure(&t->down.dir, &p, w->now);
    t->up.onward = onward_core;
    t->down.onward = onward_down;
    world_source_init(w, &t->up.source, link_fire);
    world_source_init(w, &t->down.source, link_fire);
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
    struct world *w = l->uplink->end->world;
    struct link_params p = l->dir.params;
    char error[LINK_ERROR_MAX];

    if (link_params_parse(text, &p, error) < 0) {
        world_fail(w, "link: %s", error);
        return;
    }
    link_configure(&l->dir, &p, w->now);
    link_reschedule(w, l);
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

void world_uplink_tell(struct world_uplink *u)
{
    if (!u->end->node)
        return;
    node_uplink_set(u->end->node, &u->spec, u->end->world->now);
    end_drive(u->end);
}

void world_carrier(struct world_uplink *u, bool up)
{
    u->spec.up = up;
    world_link(u, up ? "down=0" : "down=1");
    world_uplink_tell(u);
}

void world_uplink_move(struct world_uplink *u)
{
    struct world *w = u->end->world;

    for (unsigned f = 0; f < 2; f++) {
        if (u->public_at[f].addr.family == ADDR_NONE)
            continue;
        map64_remove(&w->places, addr_key(&u->public_at[f].addr));
        u->inside[f] = u->public_at[f] = fresh_endpoint(w, f == 0 ? ADDR_V4 : ADDR_V6, NODE_PORT);
        place_put(w, &u->public_at[f], &u->place[f]);
    }
    world_nat_rebind(u);
    u->spec.address_hash = (uint32_t)addr_key(&u->inside[0].addr);
    world_uplink_tell(u);
}

static struct world_packet *packet_make(struct world *w, const struct endpoint *src, const struct endpoint *dst,
                                        const uint8_t *data, size_t len)
{
    struct world_packet *p = packet_take(w);

    assert(len > 0 && len <= WORLD_PACKET_MAX);
    p->src = *src;
    p->dst = *dst;
    p->len = (uint16_t)len;
    p->tos = 0;
    p->transport = TRANSPORT_UDP;
    memcpy(p->data, data, len);
    return p;
}

void world_inject(struct world *w, const struct endpoint *src, const struct endpoint *dst, const uint8_t *data,
                  size_t len)
{
    core_route(w, packet_make(w, src, dst, data, len));
}
