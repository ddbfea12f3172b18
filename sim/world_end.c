/* The ends of a world: what comes to a node, and what it says until it has nothing more to say.
 *
 * Limits: OUTPUT_CALLS_MAX of one event. What comes to an agent while another end is driven waits: the buffer of their
 * output is one. */
#include "sim/stream.h"
#include "sim/world_internal.h"

#include <assert.h>

#define OUTPUT_CALLS_MAX 4096 /* for one event: 2,048 records of reinjection, a full pool, and room */

static void trace(struct world *w, uint64_t a, const struct world_packet *p)
{
    uint64_t h = w->trace_hash ^ (uint64_t)w->now;

    h = hash_mix64(h + 0x9e3779b97f4a7c15u * (a + p->len));
    w->trace_hash = hash_mix64(h ^ get_le64(p->data) ^ (p->len >= 16 ? get_le64(p->data + 8) : 0));
}

void world_end_arrive(struct world_end *e, struct world_uplink *u, struct world_packet *p)
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
    if (w->carrier && at.transport == w->carrier->transport)
        w->carrier->arrive(w->carrier->ctx, e, &at, p->data, p->len);
    else
        node_on_datagram(e->node, &at, p->data, p->len, 0, p->tos, w->now);
    for (size_t i = 0; i < w->watches_count; i++)
        if (w->watches[i]->arrived)
            w->watches[i]->arrived(w->watches[i]->ctx, e, p);
    world_end_drive(e);
}

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

static void send_one(struct world_end *e, struct world_uplink *u, const struct endpoint *src,
                     const struct locator_pair *at, uint8_t tos, const uint8_t *data, size_t len)
{
    struct world *w = e->world;
    struct world_packet *p = world_packet_make(w, src, at, tos, data, len);

    for (size_t n = 0; n < w->watches_count; n++)
        if (w->watches[n]->sent)
            w->watches[n]->sent(w->watches[n]->ctx, e, u, p);
    world_launch(e, u, p);
}

/* One super-datagram of an end. */
static void send_train(struct world_end *e, const struct session_tx *tx)
{
    struct world_uplink *u = tx->at.link == NODE_LISTEN_LINK ? NULL : uplink_by_link(e, tx->at.link);
    struct world_stream *stream;
    struct endpoint src;

    if (e->world->carrier && tx->at.transport == e->world->carrier->transport) {
        e->world->carrier->send(e->world->carrier->ctx, e, tx, e->world->buf);
        return;
    }
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

void world_carry(struct world_end *e, const struct locator_pair *at, const uint8_t *data, size_t len)
{
    struct world_uplink *u = at->link == NODE_LISTEN_LINK ? NULL : uplink_by_link(e, at->link);
    const struct session_tx tx = { .at = *at };
    struct endpoint src;

    if ((at->link == NODE_LISTEN_LINK || u) && source_endpoint(e, u, &tx, &src))
        send_one(e, u, &src, at, 0, data, len);
}

/* A path that is down needs another connection than it had. */
static void end_path(struct world_end *e, const struct node_event *ev)
{
    const struct world_carrier *carrier = e->world->carrier;
    const struct session *s = node_peer_session(e->node, ev->peer);
    struct session_path_info info;
    struct world_uplink *u;

    if (!s)
        return;
    session_path_info(s, ev->slot, e->world->now, &info);
    if (info.used && info.metrics.state == PATH_DOWN && carrier && info.at.transport == carrier->transport &&
        carrier->path_down)
        carrier->path_down(carrier->ctx, e, &info.at);
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

void world_end_reschedule(struct world_end *e)
{
    instant at = e->node ? node_next_expiry(e->node, e->world->now) : INSTANT_NEVER;

    world_schedule(e->world, &e->source, at == INSTANT_NEVER ? at : MAX(at, e->world->now));
}

/* What came to an agent while an end was being driven: the buffer of its output was in use. */
static void deferred_deliver(struct world *w)
{
    struct world_packet *p;

    while (w->driving == 0 && (p = w->deferred)) {
        const struct world_place *to = map64_get(&w->places, world_addr_key(&p->dst.addr));

        w->deferred = p->next;
        if (!w->deferred)
            w->deferred_end = &w->deferred;
        if (to && !to->uplink && to->port == p->dst.port)
            world_end_arrive(to->end, NULL, p);
        world_packet_give(w, p);
    }
}

/* Until the end has nothing to say. */
void world_end_drive(struct world_end *e)
{
    struct world *w = e->world;
    struct session_tx tx;
    struct node_event ev;
    unsigned calls = 0;

    w->driving++;
    e->driving = true;
    pop_inner(e);
    if (w->carrier && w->carrier->before_output)
        w->carrier->before_output(w->carrier->ctx, e);
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
    world_end_reschedule(e);
    deferred_deliver(w);
}

void world_end_fire(struct world *w, struct world_source *s)
{
    struct world_end *e = CONTAINER_OF(s, struct world_end, source);

    node_on_expiry(e->node, w->now);
    world_end_drive(e);
}

void world_packet_in(struct world_end *e, const uint8_t *pkt, size_t len)
{
    static const struct offload right = { .flags = OFFLOAD_DATA_VALID }; /* traffic's checksums are */

    if (!e->node)
        return;
    node_on_packet(e->node, pkt, len, &right, e->world->now);
    if (!e->driving)
        world_end_drive(e);
}

void world_touch(struct world_end *e)
{
    if (e->node && !e->driving)
        world_end_drive(e);
}

void world_peer_wake(struct world_end *e, unsigned peer)
{
    if (e->node)
        node_peer_wake(e->node, peer);
    world_touch(e);
}
