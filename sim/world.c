/* Whole nodes over simulated links in virtual time: worlds, their ends and uplinks.
 *
 * Theory of operation. Ends (node_next_expiry) and link directions (link_next_expiry) are sources (world_time.c), as
 * are generators of traffic. A source fires, whatever it touched is driven until it has nothing more to say
 * (world_end.c), and its new time goes into the heap. Between ends is world_net.c.
 *
 * Limits: 1,024 ends, 8 uplinks each, 8 trunks. */
#include "sim/stream.h"
#include "sim/world_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

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
    if (!w)
        return;
    for (size_t i = 0; i < w->ends_count; i++) {
        struct world_end *e = w->ends[i];

        node_free(e->node);
        for (size_t j = 0; j < e->uplinks_count; j++) {
            struct world_uplink *u = e->uplinks[j];

            world_link_end(w, &u->up);
            world_link_end(w, &u->down);
            free(u);
        }
        if (e->access)
            world_link_end(w, e->access);
        free(e->access);
        free(e->peers);
        free(e->states);
        free(e->steer);
        free(e);
    }
    for (size_t i = 0; i < w->trunks_count; i++) {
        struct world_trunk *t = w->trunks[i];

        world_link_end(w, &t->up);
        world_link_end(w, &t->down);
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
    world_source_init(w, &e->source, world_end_fire);
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
        e->listen[i] = world_fresh_endpoint(w, i == 0 ? ADDR_V4 : ADDR_V6, AGENT_PORT);
        e->listen_place[i] = (struct world_place){ .end = e, .port = AGENT_PORT };
        world_place_put(w, &e->listen[i], &e->listen_place[i]);
        e->listen_count++;
    }
    end_start(e);
    return e;
}

void world_agent_access(struct world_end *e, const char *params, size_t packets)
{
    e->access = calloc(1, sizeof(*e->access));
    assert(e->access);
    world_link_begin(e->world, e->access, packets, world_onward_core);
    world_link_set(e->world, e->access, params);
}

void world_agent_move(struct world_end *e, unsigned i)
{
    map64_remove(&e->world->places, world_addr_key(&e->listen[i].addr));
    e->listen[i] = world_fresh_endpoint(e->world, e->listen[i].addr.family, AGENT_PORT);
    world_place_put(e->world, &e->listen[i], &e->listen_place[i]);
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
        u->inside[f] = u->public_at[f] = world_fresh_endpoint(w, f == 0 ? ADDR_V4 : ADDR_V6, NODE_PORT);
        u->place[f] = (struct world_place){ .end = e, .uplink = u, .port = NODE_PORT };
        world_place_put(w, &u->public_at[f], &u->place[f]);
    }
    u->spec.address_hash = (uint32_t)world_addr_key(&u->inside[0].addr);
    u->up.uplink = u->down.uplink = u;
    world_link_begin(w, &u->up, packets, world_onward_up);
    world_link_begin(w, &u->down, packets, world_onward_end);
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
    world_end_reschedule(e);
    world_end_reschedule(agent);
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
    world_end_reschedule(e);
    return e;
}

void world_connect(struct world_end *e)
{
    node_connect(e->node, 0, NULL, 0, e->world->now);
    world_end_drive(e);
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

/* state: of the object before, or NULL. Returns what node_restore says of it. */
static int begin_again(struct world_end *e, const uint8_t *state, size_t len)
{
    struct world *w = e->world;
    int r = 0;

    if (e->node)
        world_stop(e);
    e->restarts++;
    end_start(e);
    for (size_t i = 0; i < e->peers_count; i++)
        if (node_peer_add(e->node, &e->peers[i], w->now) != (int)i)
            world_fail(w, "%s: node_peer_add at a restart", e->name);
    if (e->steer)
        node_set_steer(e->node, e->steer, w->now);
    if (state)
        r = node_restore(e->node, state, len, w->now);
    if (e->options.role == ROLE_AGENT) {
        for (unsigned i = 0; i < e->peers_count; i++)
            if (e->states[i].stored_count > 0)
                node_connect(e->node, i, e->states[i].stored, e->states[i].stored_count, w->now);
    } else {
        node_begin(e);
        if (e->options.role != ROLE_HOST)
            node_connect(e->node, 0, NULL, 0, w->now);
    }
    world_end_drive(e);
    return r;
}

void world_restart(struct world_end *e)
{
    (void)begin_again(e, NULL, 0);
}

int world_restart_planned(struct world_end *e, void (*change)(uint8_t *state, size_t *len))
{
    const struct node *node = e->node;
    size_t size = node_save_bound(node), len, connections;
    uint8_t *state = malloc(size);
    int r;

    assert(state);
    node_before_restart(e->node);
    world_end_drive(e);
    len = node_save(&node, 1, state, size, &connections);
    if (len == 0)
        world_fail(e->world, "%s: the state does not fit", e->name);
    if (change)
        change(state, &len);
    r = begin_again(e, state, len);
    free(state);
    return r;
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
    world_end_drive(e);
}

/* --- uplinks --- */

struct world_uplink *world_uplink(struct world_end *e, unsigned i)
{
    assert(i < e->uplinks_count);
    return e->uplinks[i];
}

void world_uplink_tell(struct world_uplink *u)
{
    if (!u->end->node)
        return;
    node_uplink_set(u->end->node, &u->spec, u->end->world->now);
    world_end_drive(u->end);
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
        map64_remove(&w->places, world_addr_key(&u->public_at[f].addr));
        u->inside[f] = u->public_at[f] = world_fresh_endpoint(w, f == 0 ? ADDR_V4 : ADDR_V6, NODE_PORT);
        world_place_put(w, &u->public_at[f], &u->place[f]);
    }
    world_nat_rebind(u);
    u->spec.address_hash = (uint32_t)world_addr_key(&u->inside[0].addr);
    world_uplink_tell(u);
}
