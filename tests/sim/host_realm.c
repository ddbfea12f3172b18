/* See host_realm.h. */
#include "tests/sim/host_realm.h"

static struct world_end *who(struct realm *r, const struct addr *identifier)
{
    for (size_t i = 0; i < r->count; i++)
        if (addr_equal(&r->programs[i].end->options.identifier, identifier))
            return r->programs[i].end;
    return NULL;
}

static const struct endpoint manager_at = { { .family = ADDR_V4, .bytes = { 192, 0, 2, 1 } }, 51823 };

/* The manager tells one end where the other one calls from. */
static void expect(struct world_end *callee, struct world_end *caller)
{
    struct endpoint at[WORLD_UPLINKS_MAX];

    for (size_t i = 0; i < caller->uplinks_count; i++)
        at[i] = world_seen_at(caller->uplinks[i], &manager_at);
    node_expect(callee->node, &caller->options.identifier, at, caller->uplinks_count, callee->world->now);
    world_touch(callee);
}

static void on_answer(struct world *w, struct world_source *s)
{
    struct program *p = CONTAINER_OF(s, struct program, answer);
    struct node_peer_spec spec = { .name = "peer" };
    struct world_end *to = who(p->realm, &p->asked);
    int peer = node_peer_at(p->end->node, &p->asked);

    world_schedule(w, s, INSTANT_NEVER);
    for (size_t i = 0; to && i < to->uplinks_count; i++)
        if (to->uplinks[i]->spec.up)
            spec.endpoints[spec.endpoints_count++] = world_seen_at(to->uplinks[i], &manager_at);
    if (to && p->realm->stale.addr.family != ADDR_NONE && (!p->anew || w->now < p->realm->said_at)) {
        spec.endpoints[0] = p->realm->stale;
        spec.endpoints_count = 1;
    }
    if (to && p->realm->relays)
        spec.endpoints[spec.endpoints_count++] = node_relay_place(1);
    if (to && p->realm->tells && !p->back)
        expect(to, p->end);
    if (!to) {
        node_unwanted(p->end->node, &p->asked, w->now);
    } else if (peer >= 0) {
        node_relocate(p->end->node, (unsigned)peer, spec.endpoints, spec.endpoints_count, w->now);
    } else {
        identity_peer_key(&to->identity, suite_supported(), &spec.key);
        if (p->realm->forger && to == p->realm->forger->end)
            memcpy(spec.key.x25519, p->realm->victim->end->identity.x25519, sizeof(spec.key.x25519));
        (void)!node_call(p->end->node, &spec, &p->asked, INSTANT_NEVER, w->now);
    }
    world_touch(p->end);
}

static void ask(struct program *p, const struct addr *identifier)
{
    p->asked = *identifier;
    world_schedule(p->realm->w, &p->answer, p->realm->w->now + MANAGER);
}

static void on_event(void *ctx, struct world_end *e, const struct node_event *ev)
{
    struct realm *r = ctx;
    struct program *p = NULL;

    for (size_t i = 0; i < r->count; i++)
        if (r->programs[i].end == e)
            p = &r->programs[i];
    if (!p)
        return;
    if (ev->type != NODE_WANTED && ev->type != NODE_PEER_GONE)
        assert_false(node_peer_is_gone(e->node, ev->peer));
    switch (ev->type) {
    case NODE_PEER_UP:
        p->up_at = ev->fresh ? r->w->now : p->up_at;
        break;
    case NODE_WANTED:
        p->wanted++;
        p->back = !ev->fresh;
        p->anew = false;
        ask(p, &ev->address);
        break;
    case NODE_PEER_LOST:
        p->lost++;
        p->back = false;
        p->anew = true;
        ask(p, &ev->address);
        break;
    case NODE_INTRODUCED: {
        struct addr a = addr_from_bytes(ADDR_V6, ev->said.data);
        struct world_end *caller = who(r, &a);

        p->introduced++;
        assert_int_equal(ev->said.len, 16);
        /* In place of a chain of records: it has the key that this identifier belongs to. */
        if (!p->refuses && caller &&
            memcmp(caller->identity.ed25519, node_peer_spec(e->node, ev->peer)->key.ed25519, 32) == 0)
            node_admit(e->node, ev->peer, caller->name, &a, r->w->now + (p->admits_for ? p->admits_for : 3600 * SEC),
                       r->w->now);
        else
            node_peer_close(e->node, ev->peer, r->w->now);
        break;
    }
    case NODE_PEER_GONE:
        p->gone++;
        p->gone_soon += p->up_at != 0 && r->w->now - p->up_at < 1 * SEC;
        break;
    default:
        break;
    }
}

struct realm *realm_make(uint64_t seed)
{
    struct realm *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    r->w = world_new(seed);
    r->t = traffic_new(r->w);
    r->v = invariants_new(r->w, r->t);
    r->watch = (struct world_watch){ .ctx = r, .event = on_event };
    world_watch_add(r->w, &r->watch);
    return r;
}

struct program *host_make(struct realm *r, const char *name, const char *const params[])
{
    struct world_node_spec spec = { .v6 = r->v6 };
    struct program *p = &r->programs[r->count++];

    while (params[spec.uplinks]) {
        spec.params[spec.uplinks] = params[spec.uplinks];
        spec.uplinks++;
    }
    p->realm = r;
    p->end = world_host(r->w, name, &spec);
    world_source_init(r->w, &p->answer, on_answer);
    return p;
}

void realm_done(struct realm *r)
{
    char error[320];
    bool failed = r->w->failed;

    snprintf(error, sizeof(error), "at %.6f s: %s", (double)(r->w->failed_at - WORLD_START) / SEC, r->w->error);
    world_free(r->w);
    traffic_free(r->t);
    invariants_free(r->v);
    free(r);
    if (failed)
        fail_msg("%s", error);
}

const char *const two[] = { "rate=20mbit delay=10ms", "rate=20mbit delay=10ms", NULL };
const char *const one[] = { "rate=20mbit delay=10ms", NULL };

unsigned paths_active(struct program *p, struct program *to)
{
    int peer = node_peer_at(p->end->node, &to->end->options.identifier);
    struct session *s = peer < 0 ? NULL : node_peer_session(p->end->node, (unsigned)peer);
    struct session_path_info info;
    unsigned active = 0;

    for (unsigned i = 0; s && i < SESSION_SLOTS; i++) {
        session_path_info(s, i, p->realm->w->now, &info);
        active += info.used && info.metrics.state == PATH_ACTIVE;
    }
    return active;
}
