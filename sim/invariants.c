/* What must hold in every world: see invariants.h.
 *
 * Theory of operation. Whether a record was held too long cannot be seen from outside, for its content is sealed; but
 * its length can. A steady flow of a checked world goes through INVARIANT_CLASSES lengths in turn, no length is another
 * flow's, so an accepted record (the session's count of packets grew) is known by its length until a packet of that
 * length comes out, and the time between is how long it was held. Lengths come back after 256 packets, half a second at
 * 5 Mbit/s, well above what may be held.
 *
 * Counters: 16 million connection ids are enough for any test; each is checked to grow, which is more than being used
 * once. */
#include "sim/invariants.h"

#include <assert.h>

#include "wire/header.h"

#define CIDS_MAX (1u << 24)
#define TICK (100 * MSEC)
#define LATE_SLACK (2 * MSEC) /* chosen: a timer's rounding, many times over */
#define FLOWS_CHECKED 4

struct invariants_cid {
    uint64_t cid, last;
    const struct world_end *end;
};

/* --- datagrams out --- */

static bool has_marker(const uint8_t *p, size_t len)
{
    static const uint64_t marker = TRAFFIC_MARKER;
    uint8_t first = (uint8_t)(marker & 0xff);
    const uint8_t *end = p + len;

    while ((size_t)(end - p) >= 8 && (p = memchr(p, first, (size_t)(end - p) - 7))) {
        if (get_le64(p) == marker)
            return true;
        p++;
    }
    return false;
}

static bool all_avoid_encryption(const struct world *w)
{
    for (size_t i = 0; i < w->ends_count; i++)
        if (!w->ends[i]->options.clear)
            return false;
    return true;
}

static void sent(void *ctx, struct world_end *e, struct world_uplink *u, const struct world_packet *p)
{
    struct invariants *v = ctx;
    struct invariants_cid *c;
    uint64_t cid, counter;

    v->scanned++;
    if (has_marker(p->data, p->len) && !all_avoid_encryption(v->world))
        world_fail(v->world, "%s sent plaintext", e->name);
    if (p->data[0] == PACKET_CLEAR && !all_avoid_encryption(v->world))
        world_fail(v->world, "%s sent a record in clear", e->name);
    if (p->data[0] != PACKET_SEALED && p->data[0] != PACKET_CLEAR)
        return;
    if (p->len < SEALED_MIN_LEN) {
        world_fail(v->world, "%s sent a sealed record of %u bytes", e->name, p->len);
        return;
    }
    cid = get_be64(p->data) & CID_MASK;
    counter = get_be64(p->data + 8);
    c = map64_get(&v->counters, cid);
    if (!c) {
        c = malloc(sizeof(*c));
        v->cids = realloc(v->cids, (v->cids_count + 1) * sizeof(*v->cids));
        assert(c && v->cids);
        v->cids[v->cids_count++] = c;
        *c = (struct invariants_cid){ .cid = cid, .last = counter, .end = e };
        if (map64_put(&v->counters, cid, c) < 0)
            abort();
    } else if (c->end != e) {
        world_fail(v->world, "%s and %s send under one connection id", e->name, c->end->name);
    } else if (counter <= c->last) {
        world_fail(v->world, "%s used counter %llu after %llu under one key", e->name, (unsigned long long)counter,
                   (unsigned long long)c->last);
    }
    c->last = counter;
}

/* --- records that wait --- */

static struct traffic_flow *flow_of(const struct invariants *v, const struct world_end *to, size_t inner,
                                    unsigned *ret_class)
{
    for (size_t i = 0; i < v->traffic->count; i++) {
        struct traffic_flow *f = v->traffic->flows[i];

        if (f->len_spread != INVARIANT_CLASSES || f->to != to || inner < f->len || inner >= f->len + f->len_spread)
            continue;
        *ret_class = (unsigned)(inner - f->len);
        return f;
    }
    return NULL;
}

static struct session *session_of(struct world_end *e, const struct world_packet *p)
{
    /* Checked flows run between a node and its agent, and such a world has one node. */
    return e->node ? node_peer_session(e->node, 0) : NULL;
}

static void arriving(void *ctx, struct world_end *e, const struct world_packet *p)
{
    struct invariants *v = ctx;
    struct invariants_end *end = &v->ends[e->index];
    struct session_info info;
    struct session *s;

    if (p->len < 256 || e->peers_count != 1 || !(s = session_of(e, p)))
        return;
    session_info(s, v->world->now, &info);
    end->accepted = info.rx_pkts;
}

static void arrived(void *ctx, struct world_end *e, const struct world_packet *p)
{
    struct invariants *v = ctx;
    struct session_info info;
    struct traffic_flow *f;
    struct session *s;
    unsigned class;

    if (p->len < 256 || e->peers_count != 1 || !(s = session_of(e, p)))
        return;
    session_info(s, v->world->now, &info);
    if (info.rx_pkts == v->ends[e->index].accepted)
        return;
    f = flow_of(v, e, p->len - RECORD_OVERHEAD, &class);
    if (f)
        v->flows[f->id].arrived[class] = v->world->now;
}

static void delivered(void *ctx, struct traffic_flow *f, uint64_t seq)
{
    struct invariants *v = ctx;
    instant *at = &v->flows[f->id].arrived[seq % INVARIANT_CLASSES];
    span wait;

    if (f->duplicates > 0 && !v->duplicates_allowed)
        world_fail(v->world, "flow %u: number %llu came out twice", f->id, (unsigned long long)seq);
    if (f->len_spread != INVARIANT_CLASSES || *at == 0)
        return;
    wait = v->world->now - *at;
    *at = 0;
    v->checked_waits++;
    v->wait_max = MAX(v->wait_max, wait);
    if (wait > RESEQ_WAIT_MAX + LATE_SLACK)
        world_fail(v->world, "flow %u: number %llu was held for %lld us", f->id, (unsigned long long)seq,
                   (long long)wait);
}

void invariants_flow_prepare(struct invariants *v, struct traffic_flow *f)
{
    unsigned taken = 0;

    for (size_t i = 0; i < v->traffic->count; i++)
        taken += v->traffic->flows[i]->len_spread != 0;
    assert(taken < FLOWS_CHECKED && f->next_seq == 0);
    f->interval_ns = f->interval_ns * (1400 - INVARIANT_CLASSES / 2 - (int)taken * INVARIANT_CLASSES) / f->len;
    f->len = (uint16_t)(1400 - INVARIANT_CLASSES * (taken + 1) + 1);
    f->len_spread = INVARIANT_CLASSES;
}

/* --- each 100 ms --- */

static bool grew(uint64_t *last, uint64_t now)
{
    bool ok = now >= *last;

    *last = now;
    return ok;
}

static void check_counters(struct invariants *v, struct world_end *e)
{
    struct invariants_end *end = &v->ends[e->index];
    uint64_t drops[NODE_DROP_COUNT];
    struct session_info info;
    /* A host's peers come and go, and another's session may stand where one stood. */
    struct session *s = e->options.role == ROLE_HOST ? NULL : node_peer_session(e->node, 0);
    bool ok = true;

    if (end->restarts != e->restarts) {
        memset(end->drops, 0, sizeof(end->drops));
        end->restarts = e->restarts;
        end->session = NULL;
    }
    node_drops(e->node, drops);
    for (unsigned i = 0; i < NODE_DROP_COUNT; i++)
        ok &= grew(&end->drops[i], drops[i]);
    if (s && s != end->session)
        memset(&end->last, 0, sizeof(end->last));
    end->session = s;
    if (s) {
        session_info(s, v->world->now, &info);
        for (unsigned i = 0; i < SESSION_DROP_COUNT; i++)
            ok &= info.drops[i] >= end->last.drops[i];
        ok &= info.rx_pkts >= end->last.rx_pkts && info.tx_pkts >= end->last.tx_pkts &&
              info.rx_bytes >= end->last.rx_bytes && info.tx_bytes >= end->last.tx_bytes &&
              info.reinjected >= end->last.reinjected && info.duplicated >= end->last.duplicated &&
              info.handshakes >= end->last.handshakes;
        end->last = info;
    }
    if (!ok)
        world_fail(v->world, "%s: a counter went back", e->name);
}

static void check_memory(struct invariants *v, struct world_end *e)
{
    size_t used = node_pool_used(e->node), total = e->options.pool_pkts ? e->options.pool_pkts : 8192;

    v->ends[e->index].pool_max = MAX(v->ends[e->index].pool_max, used);
    if (used > total)
        world_fail(v->world, "%s: %zu buffers of %zu in use", e->name, used, total);
}

static bool dir_healthy(const struct link_params *p)
{
    return !p->down && !p->blackhole && p->loss <= 0.05 && p->ge_p == 0 && p->corrupt <= 0.05 &&
           p->rate_bps >= 1000000 && p->delay <= 100 * MSEC && p->jitter <= 20 * MSEC;
}

/* The links carry packets well, both ways. */
static bool link_healthy(const struct world_uplink *u)
{
    return u->spec.up && !u->spec.leaving && !u->send_error && u->udp_lost_percent == 0 &&
           dir_healthy(&u->up.dir.params) && dir_healthy(&u->down.dir.params);
}

static instant healthy_since(struct invariants *v, struct world_end *e)
{
    instant first = e->uplinks_count > 0 ? INSTANT_NEVER : 0;

    for (size_t i = 0; i < e->uplinks_count; i++) {
        instant *since = &v->uplinks[e->index][i].healthy_since;

        if (!link_healthy(e->uplinks[i]))
            *since = 0;
        else if (*since == 0)
            *since = v->world->now;
        if (*since != 0)
            first = MIN(first, *since);
    }
    return first;
}

static void check_progress(struct invariants *v)
{
    instant now = v->world->now, since[2];

    for (size_t i = 0; i < v->traffic->count; i++) {
        struct traffic_flow *f = v->traffic->flows[i];
        struct invariants_flow *p = &v->flows[i];
        span silence;

        if (f->is_tcp || f->stopped)
            continue;
        if (f->received != p->progress_rx || p->progress_at == 0)
            p->progress_at = now;
        p->progress_rx = f->received;
        since[0] = MAX(healthy_since(v, f->from), v->ends[f->from->index].up_since);
        since[1] = MAX(healthy_since(v, f->to), v->ends[f->to->index].up_since);
        if (since[0] == INSTANT_NEVER || since[1] == INSTANT_NEVER)
            continue;
        since[0] = MAX(since[0], since[1]);
        if (now - since[0] < v->patience)
            continue;
        silence = now - MAX(p->progress_at, since[0] + v->patience);
        v->silence_max = MAX(v->silence_max, silence);
        if (silence > v->silence)
            world_fail(v->world, "flow %u from %s: silent for %lld ms, though a link has been whole for %lld ms", f->id,
                       f->from->name, (long long)(now - p->progress_at) / 1000, (long long)(now - since[0]) / 1000);
    }
}

static void tick(struct world *w, struct world_source *s)
{
    struct invariants *v = CONTAINER_OF(s, struct invariants, source);

    for (size_t i = 0; i < w->ends_count; i++) {
        struct world_end *e = w->ends[i];

        if (!e->node) {
            v->ends[i].up_since = INSTANT_NEVER;
            continue;
        }
        if (v->ends[i].restarts != e->restarts || v->ends[i].up_since == INSTANT_NEVER)
            v->ends[i].up_since = w->now;
        check_counters(v, e);
        check_memory(v, e);
    }
    check_progress(v);
    world_schedule(w, s, w->now + TICK);
}

struct invariants *invariants_new(struct world *w, struct traffic *t)
{
    struct invariants *v = calloc(1, sizeof(*v));

    assert(v);
    v->world = w;
    v->traffic = t;
    v->patience = 3 * SEC;
    v->silence = 1 * SEC;
    map64_init(&v->counters, CIDS_MAX, 0);
    v->watch = (struct world_watch){ .ctx = v, .sent = sent, .arriving = arriving, .arrived = arrived };
    world_watch_add(w, &v->watch);
    t->on_delivered = delivered;
    t->ctx = v;
    world_source_init(w, &v->source, tick);
    world_schedule(w, &v->source, w->now + TICK);
    return v;
}

void invariants_free(struct invariants *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->cids_count; i++)
        free(v->cids[i]);
    free(v->cids);
    map64_deinit(&v->counters);
    free(v);
}
