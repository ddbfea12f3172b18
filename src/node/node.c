/* node/node.c - life of a node: peers, sessions, events, time, output. See node.h and internal.h for the map.
 *
 * Theory of operation. A node owns everything that its sessions share: the packet pool, the table of connection ids,
 * the randomness, the defence against floods. Sessions are made when a peer is called or calls. Nothing here knows a
 * socket. An agent has many sessions and few that are busy: those that were touched are in a list, which delivery,
 * output and events walk; of the others the heap knows who is due first.
 *
 * Limits: 16,384 peers, 32 uplinks, 512 events (the oldest is dropped when the program does not ask). */
#include "node/node.h"

#include <assert.h>
#include <errno.h>

#include "node/internal.h"

#define TICK (100 * MSEC)
#define KNOWN_BY_AGENT 4096 /* ways that are remembered; chosen: one a node, .6 KB each */
#define KNOWN_BY_NODE 64    /* chosen: eight uplinks to eight addresses */
#define PEERS_MIN 16

const char *node_drop_name(enum node_drop d)
{
    static const char *const names[NODE_DROP_COUNT] = {
        "short",         "version", "mac1",        "cookie",       "handshake",  "unknown-peer", "terms",
        "replayed-init", "load",    "unknown-cid", "inner-source", "inner-dest", "inner-ecn",    "inner-bad",
        "no-route",      "blocked", "no-buffer",   "no-session",   "message",    "hello",        "unwanted",
    };
    return d < NODE_DROP_COUNT ? names[d] : "?";
}

static int make_guard(struct node *n, instant now)
{
    uint8_t secret[32];
    int r;

    memcpy(secret, n->o.jar_secret, sizeof(secret));
    if (ident_is_zero(secret, sizeof(secret)))
        rng_fill(&n->o.rng, secret, sizeof(secret));
    r = guard_init(&n->guard, secret, n->hash_key, now);
    ident_wipe(secret, sizeof(secret));
    return r;
}

struct node *node_new(const struct node_options *o, instant now)
{
    struct node *n = calloc(1, sizeof(*n));

    if (!n)
        return NULL;
    n->o = *o;
    n->o.suites = o->suites ? o->suites : suite_supported();
    n->o.features = o->features ? o->features : FEATURES_KNOWN;
    n->o.mtu = MIN(o->mtu ? o->mtu : 1400, NODE_MTU_MAX);
    n->o.wait = o->wait ? o->wait : SESSION_WAIT_DEFAULT;
    n->o.queue_bytes = o->queue_bytes ? o->queue_bytes : 4 << 20;
    handshake_mask_init(&n->self_mask, o->self->x25519);
    rng_fill(&n->o.rng, n->hash_key, sizeof(n->hash_key));
    n->by_instance = o->strangers || o->role == ROLE_HOST;
    if (o->delivery && o->role != ROLE_AGENT)
        n->instance = o->instance ? o->instance : rng_u64(&n->o.rng);
    /* Derived, not drawn: an agent that restarted must give the tokens that it promised before. */
    blake2s(n->reset_secret, HASH_PARTS({ "hawser reset", 12 }, { o->self->x25519_priv, 32 }));
    map64_init(&n->cids, 1 << 20, rng_u64(&n->o.rng));
    map64_init(&n->by_static, NODE_PEERS_MAX, 0);
    map64_init(&n->by_addr, NODE_PEERS_MAX * CONFIG_ADDRESSES_MAX, 0);
    n->tick = now;
    n->icmp_at = now - 1 * SEC;
    list_init(&n->ready);
    list_init(&n->calls);
    list_init(&n->forgotten);
    list_init(&n->acquaintances);
    list_init(&n->callers);
    n->merge = malloc(sizeof(*n->merge));
    n->steer = malloc(sizeof(*n->steer));
    n->scratch = malloc(BLOCK_CAPACITY);
    if (!o->scoreboard)
        n->o.scoreboard = n->scoreboard =
            scoreboard_new(o->role == ROLE_AGENT ? KNOWN_BY_AGENT : KNOWN_BY_NODE, get_be64(n->hash_key));
    if (!n->merge || !n->steer || !n->scratch || !n->o.scoreboard ||
        pbuf_pool_init(&n->pool, o->pool_pkts ? o->pool_pkts : 8192) < 0 || make_guard(n, now) < 0 ||
        host_init(n) < 0) {
        guard_deinit(&n->guard);
        pbuf_pool_deinit(&n->pool);
        free(n->merge);
        free(n->steer);
        free(n->scratch);
        scoreboard_free(n->scoreboard);
        free(n);
        return NULL;
    }
    block_pool_init(&n->blocks, o->pool_blocks ? o->pool_blocks : 256);
    merge_init(n->merge, o->merge);
    steer_table_init(n->steer);
    steer_table_compile(n->steer);
    return n;
}

void node_free(struct node *n)
{
    if (!n)
        return;
    splits_free(n);
    host_deinit(n);
    for (size_t i = 0; i < n->peers_count; i++) {
        free(n->peers[i]->said);
        while (n->peers[i]->early_at < n->peers[i]->early_count)
            pbuf_unref(n->peers[i]->early[n->peers[i]->early_at++]);
        session_free(n->peers[i]->session);
        free(n->peers[i]->steer);
        free(n->peers[i]->table);
        free(n->peers[i]->fallback);
        ident_wipe(n->peers[i], sizeof(*n->peers[i]));
        free(n->peers[i]);
    }
    scoreboard_free(n->scoreboard);
    pbuf_unref(n->handed);
    for (; n->handovers_count > 0; n->handovers_count--) {
        pbuf_unref(n->handovers[n->handovers_head].owner);
        n->handovers_head = (n->handovers_head + 1) % HANDOVERS_MAX;
    }
    pbuf_unref(n->pending.owner);
    merge_deinit(n->merge);
    block_unref(n->block);
    free(n->scratch);
    guard_deinit(&n->guard);
    map64_deinit(&n->cids);
    map64_deinit(&n->by_static);
    map64_deinit(&n->by_addr);
    pbuf_pool_deinit(&n->pool);
    block_pool_deinit(&n->blocks);
    free(n->peers);
    free(n->wide);
    heap_deinit(&n->expiries);
    free(n->merge);
    free(n->steer);
    ident_wipe(n, sizeof(*n));
    free(n);
}

/* --- peers --- */

static uint64_t key_hash(const struct node *n, const struct peer_key *key, uint64_t instance)
{
    uint8_t in[2 * IDENT_KEY_LEN + 8];

    memcpy(in, key->x25519, IDENT_KEY_LEN);
    memcpy(in + IDENT_KEY_LEN, key->ed25519, IDENT_KEY_LEN);
    put_be64(in + 2 * IDENT_KEY_LEN, instance);
    return siphash13(n->hash_key, in, sizeof(in));
}

struct peer *node_peer_of(const struct node *n, const struct peer_key *key, uint64_t instance)
{
    struct peer *p = map64_get(&n->by_static, key_hash(n, key, instance));

    return p && p->spec.instance == instance && memcmp(p->spec.key.x25519, key->x25519, IDENT_KEY_LEN) == 0 &&
                   memcmp(p->spec.key.ed25519, key->ed25519, IDENT_KEY_LEN) == 0
               ? p
               : NULL;
}

uint64_t node_addr_hash(const struct node *n, const struct addr *a)
{
    return siphash13(n->hash_key, a, sizeof(*a));
}

static bool is_wide(const struct node_peer_spec *spec)
{
    for (size_t i = 0; i < spec->addresses_count; i++)
        if (spec->addresses[i].len < addr_bits(&spec->addresses[i].addr))
            return true;
    return spec->allowed_count > 0;
}

static void peer_init(struct peer *p, struct node *n, unsigned index)
{
    *p = (struct peer){ .node = n, .expiry = { .at = INSTANT_NEVER }, .index = index };
    list_init(&p->ready);
    list_init(&p->call);
    list_init(&p->acquaintance);
}

/* Memory for one peer more. */
static int grow_peers(struct node *n)
{
    size_t room = MAX(2 * n->peers_room, (size_t)PEERS_MIN);
    struct peer **peers, **wide;

    if (n->peers_count < n->peers_room)
        return 0;
    peers = realloc(n->peers, room * sizeof(struct peer *));
    if (!peers)
        return -ENOMEM;
    n->peers = peers;
    wide = realloc(n->wide, room * sizeof(struct peer *));
    if (!wide)
        return -ENOMEM;
    n->wide = wide;
    if (heap_reserve(&n->expiries, room) < 0)
        return -ENOMEM;
    n->peers_room = room;
    return 0;
}

/* An unused place among the peers, or NULL. */
static struct peer *place_for_peer(struct node *n)
{
    struct peer *p;

    if (!list_empty(&n->forgotten)) {
        p = LIST_FIRST(&n->forgotten, struct peer, call);
        list_remove(&p->call);
        peer_init(p, n, p->index);
        return p;
    }
    if (n->peers_count == NODE_PEERS_MAX || grow_peers(n) < 0 || !(p = malloc(sizeof(*p))))
        return NULL;
    peer_init(p, n, (unsigned)n->peers_count);
    n->peers[n->peers_count++] = p;
    return p;
}

static void give_place_back(struct peer *p)
{
    p->forgotten = true;
    list_append(&p->node->forgotten, &p->call);
}

void peer_known(struct peer *p)
{
    if (list_empty(&p->acquaintance))
        return;
    list_remove(&p->acquaintance);
    if (p->calls)
        p->node->callers_count--;
    else
        p->node->acquaintances_count--;
    p->calls = false;
}

/* What was to be told of it: the index will be another's. */
static void drop_events(struct peer *p)
{
    struct node *n = p->node;
    unsigned kept = 0;

    for (unsigned i = 0; i < n->events_count; i++) {
        const struct node_event *ev = &n->events[(n->events_head + i) % NODE_EVENTS_MAX];

        if (ev->peer != p->index)
            n->events[(n->events_head + kept++) % NODE_EVENTS_MAX] = *ev;
    }
    n->events_count = kept;
}

void node_peer_forget(struct node *n, unsigned peer)
{
    struct peer *p = n->peers[peer];

    if (p->forgotten)
        return;
    assert(n->o.role == ROLE_HOST || (p->spec.addresses_count == 0 && p->spec.allowed_count == 0));
    drop_events(p);
    if (n->o.role == ROLE_HOST)
        host_forget(p);
    splits_forget(p);
    list_remove(&p->ready);
    list_remove(&p->call);
    peer_known(p);
    heap_set(&n->expiries, &p->expiry, INSTANT_NEVER);
    map64_remove(&n->by_static, key_hash(n, &p->spec.key, p->spec.instance));
    session_free(p->session);
    free(p->steer);
    free(p->table);
    free(p->fallback);
    ident_wipe(p, sizeof(*p));
    peer_init(p, n, peer);
    give_place_back(p);
}

int node_peer_add(struct node *n, const struct node_peer_spec *spec, instant now)
{
    uint64_t key = key_hash(n, &spec->key, spec->instance);
    struct peer *p;
    int r;

    if (map64_get(&n->by_static, key))
        return -EEXIST;
    p = place_for_peer(n);
    if (!p)
        return n->peers_count == NODE_PEERS_MAX ? -ENOSPC : -ENOMEM;
    p->spec = *spec;
    p->opener = n->o.role == ROLE_HOST ? spec->instance != 0 : n->o.role != ROLE_AGENT;
    handshake_mask_init(&p->mask, spec->key.x25519);
    r = map64_put(&n->by_static, key, p);
    for (size_t i = 0; i < spec->addresses_count && r == 0; i++)
        if (spec->addresses[i].len == addr_bits(&spec->addresses[i].addr))
            r = map64_put(&n->by_addr, node_addr_hash(n, &spec->addresses[i].addr), p);
    if (r < 0) {
        map64_remove(&n->by_static, key);
        for (size_t i = 0; i < spec->addresses_count; i++)
            if (map64_get(&n->by_addr, node_addr_hash(n, &spec->addresses[i].addr)) == p)
                map64_remove(&n->by_addr, node_addr_hash(n, &spec->addresses[i].addr));
        give_place_back(p);
        return r;
    }
    n->routed.valid = false;
    if (is_wide(spec))
        n->wide[n->wide_count++] = p;
    return (int)p->index;
}

size_t node_peers_count(const struct node *n)
{
    return n->peers_count;
}

bool node_peer_is_gone(const struct node *n, unsigned peer)
{
    return peer >= n->peers_count || n->peers[peer]->forgotten;
}

const struct node_peer_spec *node_peer_spec(const struct node *n, unsigned peer)
{
    return &n->peers[peer]->spec;
}

struct session *node_peer_session(struct node *n, unsigned peer)
{
    return peer < n->peers_count ? n->peers[peer]->session : NULL;
}

struct delivery *node_peer_delivery(struct node *n, unsigned peer)
{
    struct session *s = node_peer_session(n, peer);

    return s ? session_delivery(s) : NULL;
}

void node_peer_wake(struct node *n, unsigned peer)
{
    peer_touch(n->peers[peer]);
}

int node_peer_probe(struct node *n, unsigned peer, instant now)
{
    struct session *s = node_peer_session(n, peer);

    if (!s)
        return -ENOTCONN;
    session_probe(s, now);
    peer_touch(n->peers[peer]);
    return 0;
}

void node_refuse_strangers(struct node *n)
{
    n->o.strangers = n->o.answers_hello = false;
    LIST_FOREACH_SAFE (p, &n->acquaintances, struct peer, acquaintance)
        node_peer_forget(n, p->index);
}

bool node_peer_config(const struct node *n, unsigned peer, struct config_message *ret)
{
    if (peer >= n->peers_count || !n->peers[peer]->has_config)
        return false;
    *ret = n->peers[peer]->config;
    return true;
}

void peer_touch(struct peer *p)
{
    if (list_empty(&p->ready))
        list_append(&p->node->ready, &p->ready);
}

int peer_session_make(struct peer *p, instant now)
{
    struct node *n = p->node;
    struct session_options o = {
        .owner = p,
        .self = n->o.self,
        .self_mask = &n->self_mask,
        .rng = &n->o.rng,
        .pool = &n->pool,
        .cids = &n->cids,
        .peer = p->spec.key,
        .opener = p->opener,
        .suites = n->o.suites,
        .features = n->o.features,
        .shard = n->o.shard,
        .instance = n->instance,
        .terms = n->o.terms,
        .clear = n->o.clear,
        .wait = n->o.wait,
        .queue_bytes = n->o.queue_bytes,
        .queue_pkts = n->pool.total / (n->o.role == ROLE_NODE ? 2 : 8), /* nobody may take what all need */
        .reseq_pkts = MIN(n->pool.total / 4, 4096u),
        .held_pkts = n->o.role == ROLE_HOST && !p->admitted && !p->opener ? HOST_HELD_MAX : 0,
        .reset_secret = p->opener ? NULL : n->reset_secret,
        .mark = inner_mark,
        .delivery = n->o.delivery,
        .preferences = n->o.preferences,
        .fairness = n->o.fairness,
        .scoreboard = n->o.scoreboard,
    };

    if (p->session)
        return 0;
    memcpy(o.psk, p->spec.psk, 32);
    p->session = session_new(&o, now);
    if (!p->session)
        return -ENOMEM;
    peer_touch(p);
    roles_retarget(p);
    if (p->opener)
        roles_paths(p, now);
    return 0;
}

void node_on_transport(struct node *n, unsigned peer, unsigned slot, const struct locator_pair *at,
                       const struct path_transport *t, instant now)
{
    struct session *s = node_peer_session(n, peer);

    if (!s)
        return;
    session_path_transport(s, slot, at, t, now);
    peer_touch(n->peers[peer]);
}

void node_on_transport_lost(struct node *n, unsigned peer, unsigned slot, const struct locator_pair *at, instant now)
{
    struct session *s = node_peer_session(n, peer);

    if (!s)
        return;
    session_path_transport_lost(s, slot, at, now);
    peer_touch(n->peers[peer]);
    peer_pump(n->peers[peer], now);
}

void node_on_abandoned(struct node *n, unsigned peer, unsigned slot, const struct locator_pair *at, uint64_t counter)
{
    struct session *s = node_peer_session(n, peer);

    if (!s)
        return;
    session_path_abandoned(s, slot, at, counter);
    peer_touch(n->peers[peer]);
}

void node_connect(struct node *n, unsigned peer, const struct endpoint *at, size_t count, instant now)
{
    struct locator_pair pairs[NODE_ENDPOINTS_MAX] = { 0 };
    struct peer *p = n->peers[peer];

    if (peer_session_make(p, now) < 0)
        return;
    count = MIN(count, (size_t)NODE_ENDPOINTS_MAX);
    for (size_t i = 0; i < count; i++) {
        pairs[i].link = NODE_LISTEN_LINK;
        pairs[i].remote = at[i];
    }
    session_connect(p->session, pairs, count, now);
    if (list_empty(&p->call))
        list_append(&n->calls, &p->call);
    peer_touch(p);
}

size_t node_peer_endpoints(struct node *n, unsigned peer, struct endpoint *ret, size_t max)
{
    struct session_path_info info;
    size_t count = 0;

    for (unsigned i = 0; i < SESSION_SLOTS && n->peers[peer]->session && count < max; i++) {
        session_path_info(n->peers[peer]->session, i, 0, &info);
        if (info.used && info.validated && info.at.transport == TRANSPORT_UDP) /* others cannot be called */
            ret[count++] = info.at.remote;
    }
    return count;
}

/* --- events --- */

struct node_event *node_event(struct node *n, enum node_event_type type, struct peer *p, unsigned slot, bool fresh,
                              enum path_state old)
{
    struct node_event *ev;

    if (n->events_count == NODE_EVENTS_MAX) {
        const struct node_event *oldest = &n->events[n->events_head];

        if (oldest->type == NODE_INTRODUCED) {
            n->peers[oldest->peer]->untold = true;
            n->peers[oldest->peer]->told_at = 0;
        }
        n->events_head = (n->events_head + 1) % NODE_EVENTS_MAX;
        n->events_count--;
    }
    ev = &n->events[(n->events_head + n->events_count++) % NODE_EVENTS_MAX];
    *ev = (struct node_event){
        .type = type, .peer = NODE_NO_PEER, .slot = (uint8_t)slot, .fresh = fresh, .old_state = old
    };
    if (p) {
        ev->peer = p->index;
        ev->address = p->admitted ? p->spec.addresses[0].addr : (struct addr){ 0 };
    }
    return ev;
}

void node_event_fallback(struct node *n, struct peer *p, uint32_t link, bool over_tcp)
{
    node_event(n, NODE_FALLBACK, p, 0, over_tcp, 0)->link = link;
}

bool node_pop_event(struct node *n, struct node_event *ret)
{
    if (n->events_count == 0)
        return false;
    *ret = n->events[n->events_head];
    if (ret->type == NODE_INTRODUCED)
        ret->said = (struct slice){ n->peers[ret->peer]->said, n->peers[ret->peer]->said_len };
    n->events_head = (n->events_head + 1) % NODE_EVENTS_MAX;
    n->events_count--;
    return true;
}

void peer_pump(struct peer *p, instant now)
{
    struct node *n = p->node;
    struct session_event ev;

    while (p->session && session_pop_event(p->session, &ev)) {
        peer_touch(p);
        switch (ev.type) {
        case SESSION_UP:
        case SESSION_REKEYED:
            if (!p->calls) /* else only the program can say so */
                peer_known(p);
            roles_on_up(p, ev.fresh, now);
            node_event(n, ev.type == SESSION_UP ? NODE_PEER_UP : NODE_PEER_REKEYED, p, 0, ev.fresh, 0);
            break;
        case SESSION_DOWN:
            node_event(n, NODE_PEER_DOWN, p, 0, false, 0);
            if (n->o.role == ROLE_HOST)
                host_on_down(p, now);
            break;
        case SESSION_CLOSED:
            node_event(n, NODE_PEER_DOWN, p, 0, true, 0);
            if (n->o.role == ROLE_HOST)
                host_on_closed(p, now);
            else if (n->o.role != ROLE_AGENT && !n->o.delivery) /* a stream that broke does not go on */
                session_connect(p->session, NULL, 0, now);
            break;
        case SESSION_PATH_STATE:
            node_event(n, NODE_PATH_STATE, p, ev.slot, false, ev.old_state);
            if (n->o.role == ROLE_HOST)
                host_on_path(p, now);
            break;
        case SESSION_PATH_OPENED:
            roles_retarget(p);
            break;
        case SESSION_PATH_MOVED:
            node_event(n, NODE_PATH_MOVED, p, ev.slot, false, 0);
            break;
        case SESSION_MESSAGE:
            if (roles_on_message(p, ev.message, ev.message_len, now) < 0)
                n->drops[NODE_DROP_MESSAGE]++;
            break;
        }
    }
}

/* --- output and time --- */

bool node_output(struct node *n, uint8_t *buf, struct session_tx *ret, instant now)
{
    if (n->small_count > 0) {
        struct small_out *o = &n->small[n->small_head];

        memcpy(buf, o->data, o->len);
        *ret = (struct session_tx){ .at = o->at, .len = o->len, .slot = SESSION_SLOTS, .peer = UINT16_MAX };
        n->small_head = (n->small_head + 1) % SMALL_OUT_MAX;
        n->small_count--;
        return true;
    }
    while (!list_empty(&n->ready)) {
        struct peer *p = LIST_FIRST(&n->ready, struct peer, ready);

        list_remove(&p->ready);
        splits_pump(p, now);
        list_remove(&p->ready);
        if (p->session && session_output(p->session, buf, ret, now)) {
            ret->peer = (uint16_t)p->index;
            list_append(&n->ready, &p->ready); /* goes last: one busy session does not keep the others waiting */
            return true;
        }
        heap_set(&n->expiries, &p->expiry, p->session ? session_next_expiry(p->session, now) : INSTANT_NEVER);
    }
    return false;
}

instant node_next_expiry(const struct node *n, instant now)
{
    instant next = instant_min(list_empty(&n->ready) ? n->tick : now, splits_next_expiry(n));
    const struct heap_item *first = heap_first(&n->expiries);

    next = instant_min(next, instant_min(knock_next_expiry(n), host_next_expiry(n)));
    return first ? instant_min(next, first->at) : next;
}

static void expire(struct peer *p, instant now)
{
    if (!p->session)
        return;
    session_on_expiry(p->session, now);
    peer_touch(p);
    peer_pump(p, now);
}

static void on_tick(struct node *n, instant now)
{
    for (size_t i = 0; i < n->peers_count && n->o.role != ROLE_AGENT; i++)
        roles_tick(n->peers[i], now);
    if (n->o.role == ROLE_HOST)
        host_tick(n, now);
    LIST_FOREACH_SAFE (p, &n->acquaintances, struct peer, acquaintance)
        if (now - p->met > PENDING_LIFE)
            node_peer_forget(n, p->index);
    n->tick = now + TICK;
}

void node_on_expiry(struct node *n, instant now)
{
    struct heap_item *first;

    splits_on_expiry(n, now);
    knock_on_expiry(n, now);
    host_on_expiry(n, now);
    LIST_FOREACH (p, &n->ready, struct peer, ready)
        expire(p, now);
    while ((first = heap_first(&n->expiries)) && first->at <= now) {
        struct peer *p = CONTAINER_OF(first, struct peer, expiry);

        heap_set(&n->expiries, first, INSTANT_NEVER); /* node_output says when it is due again */
        if (list_empty(&p->ready))
            expire(p, now);
    }
    if (now >= n->tick)
        on_tick(n, now);
}

void node_drops(const struct node *n, uint64_t ret[NODE_DROP_COUNT])
{
    memcpy(ret, n->drops, sizeof(n->drops));
}

void node_close(struct node *n)
{
    splits_close(n);
    for (size_t i = 0; i < n->peers_count && n->o.role != ROLE_AGENT; i++)
        if (n->peers[i]->session) {
            session_close(n->peers[i]->session);
            peer_touch(n->peers[i]);
        }
}

void node_peer_close(struct node *n, unsigned peer, instant now)
{
    if (!n->peers[peer]->session)
        return;
    if (n->o.role == ROLE_HOST)
        host_on_refused(n->peers[peer], now);
    session_close(n->peers[peer]->session);
    peer_touch(n->peers[peer]);
}

size_t node_pool_used(const struct node *n)
{
    return n->pool.used;
}

struct scoreboard *node_scoreboard(struct node *n)
{
    return n->o.scoreboard;
}

void node_tell_known(struct node *n, instant now)
{
    for (size_t i = 0; i < n->peers_count; i++)
        if (n->peers[i]->session)
            session_tell_known(n->peers[i]->session, now);
}
