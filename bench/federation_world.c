/* bench/federation_world.c - see federation_world.h.
 *
 * Theory of operation. One heap has all that is due: datagrams, and gateways whose time has come. A gateway is made
 * when it is first sent something, so that only those exist that are asked. Cookies of addresses are left out, as the
 * gateway's own part (dmux/gateway.c): a HELLO is answered at once.
 *
 * Limits: what a border serves is one registration of each provider of its realm, the nearest router, without its
 * keepalives. Each tells of the OTHERS / 2 gateways of its realm that are nearest to it, and as many that are drawn. */
#include "bench/federation_world.h"

#include <errno.h>
#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "dmux/link.h"
#include "ident/record.h"
#include "ident/tag.h"
#include "wire/federation.h"

#define OTHERS 16
#define WALL_S 1000
#define PROVIDER_FIRST 1000u
#define FIRST_ROUTER 0x64000000u /* 100.0.0.0 and on */
#define CHAIN_MAX 700
#define SUMMARY_LEN (LINK_TEXT_AT + 17 + AEAD_TAG_LEN) /* without items */

enum kind { DATAGRAM, GATEWAY, CHANGE };

struct event {
    struct heap_item when;
    enum kind kind;
};

struct datagram {
    struct event e;
    size_t from, to, len;
    uint8_t data[];
};

struct change {
    struct event e;
    size_t gateway, provider;
    bool there;
};

struct node {
    struct event e;
    struct prng prng; /* its own: what one does changes nothing of another's luck */
    struct identity id;
    uint8_t chain[CHAIN_MAX];
    size_t chain_len;
    struct federation *federation; /* NULL: not made yet */
    struct registry *registry;
    struct federation_border *borders; /* that it begins with */
    uint32_t *nearest;                 /* as a border: router of each provider of its realm; UINT32_MAX: none */
    size_t bytes;                      /* as a border, when it was made */
    bool asks, dead;
};

struct party {
    struct identity root;
    struct authority authority;
    struct jar jar;
    struct credentials *credentials;
    struct federation_realm *others; /* all but itself, in order */
};

struct federation_world {
    struct federation_world_options o;
    struct prng prng;
    struct heap heap;
    instant now;
    struct earth_host *hosts;
    struct node *nodes;
    struct party *parties;
    uint32_t *routers; /* gateway that each is with: of the realm of its provider, router % providers */
    bool *gone;        /* likewise */
    struct federation_counts counts;
};

static size_t realm_of(const struct federation_world *w, size_t gateway)
{
    return gateway % w->o.realms;
}

static size_t per_realm(const struct federation_world *w)
{
    return w->o.providers / w->o.realms;
}

static size_t realm_of_provider(const struct federation_world *w, size_t provider)
{
    return provider / per_realm(w);
}

static struct endpoint address_of(size_t gateway)
{
    return (struct endpoint){ .addr = addr_v4(0x0a000000u + (uint32_t)gateway + 1), .port = DMUX_PORT };
}

static size_t gateway_at(uint32_t addr)
{
    return addr - 0x0a000001u;
}

static double way_ms(const struct federation_world *w, size_t a, size_t b)
{
    return earth_way_ms(w->hosts, w->o.seed, a, b);
}

instant federation_world_now(const struct federation_world *w)
{
    return w->now;
}

/* --- routers --- */

static double router_ms(const struct federation_world *w, size_t gateway, size_t router)
{
    return router == UINT32_MAX            ? INFINITY
           : w->routers[router] == gateway ? 2 * w->hosts[gateway].access_ms
                                           : way_ms(w, gateway, w->routers[router]);
}

/* The nearest router of a provider to a gateway. */
static uint32_t nearest_router(const struct federation_world *w, size_t gateway, size_t provider)
{
    uint32_t best = UINT32_MAX;
    double best_ms = INFINITY;

    for (size_t i = provider; i < w->o.routers; i += w->o.providers) {
        double ms = w->gone[i] ? INFINITY : router_ms(w, gateway, i);

        if (ms < best_ms)
            best = (uint32_t)i, best_ms = ms;
    }
    return best;
}

static struct registration *registered(const struct federation_world *w, const struct node *n, size_t provider,
                                       uint32_t router)
{
    return router == UINT32_MAX
               ? NULL
               : registry_find(n->registry, DMUX_IPV6, PROVIDER_FIRST + (uint32_t)provider, FIRST_ROUTER + router, 1);
}

/* The border's nearest router of a provider is this one now. The new one comes before the old one goes. */
static void set_router(struct federation_world *w, size_t gateway, size_t provider, uint32_t router)
{
    struct node *n = &w->nodes[gateway];
    uint32_t *now_is = &n->nearest[provider % per_realm(w)];
    struct registration *old = registered(w, n, provider, *now_is), *m,
                        claim = { .protocol = DMUX_IPV6,
                                  .provider = PROVIDER_FIRST + (uint32_t)provider,
                                  .addr = FIRST_ROUTER + router,
                                  .port = 1,
                                  .weight = 1 };
    uint16_t wait_s;

    if (router == *now_is)
        return;
    if (router != UINT32_MAX && registry_claim(n->registry, &claim, w->now, &m, &wait_s) == 0)
        registry_prove(n->registry, m, (span)(router_ms(w, gateway, router) * MSEC), w->now);
    if (old)
        registry_drop(n->registry, old, w->now);
    *now_is = router;
}

/* --- gateways --- */

static void wake(struct federation_world *w, struct node *n, instant at)
{
    if (at != n->e.when.at || n->e.when.pos == 0)
        heap_set(&w->heap, &n->e.when, at);
}

/* 0, or a negative error. */
static int certify(const struct federation_world *w, size_t party, const char *leaf, const struct identity *id,
                   uint8_t out[CHAIN_MAX], size_t *ret_len)
{
    const struct party *p = &w->parties[party];
    struct record r = { .type = RECORD_ROOT, .seq = 1, .issued_s = 900, .suites = 3 };
    size_t first = 0, second = 0;
    int e = tag_make(p->root.ed25519, TAG_RAA(9), TAG_HDA(TAG_TIER_SERVICE, 0), &r.subject);

    r.issuer = r.subject;
    memcpy(r.key, p->root.ed25519, IDENT_KEY_LEN);
    memcpy(r.name, p->authority.realm, sizeof(r.name));
    if (e == 0)
        e = record_encode(&r, p->root.ed25519_seed, out, CHAIN_MAX, &first);
    r.type = RECORD_REGISTRATION;
    memcpy(r.key, id->ed25519, IDENT_KEY_LEN);
    memcpy(r.x25519, id->x25519, IDENT_KEY_LEN);
    if (snprintf(r.name, sizeof(r.name), "%s.s.%s", leaf, p->authority.realm) >= (int)sizeof(r.name))
        return -EINVAL;
    if (e == 0)
        e = tag_make(id->ed25519, TAG_RAA(9), TAG_HDA(TAG_TIER_SERVICE, 0), &r.subject);
    if (e == 0)
        e = record_encode(&r, p->root.ed25519_seed, out + first, CHAIN_MAX - first, &second);
    *ret_len = first + second;
    return e;
}

static int by_way(const void *a, const void *b)
{
    double x = ((const double *)a)[0], y = ((const double *)b)[0];

    return (x > y) - (x < y);
}

/* Whom it tells of. */
static void acquaint(struct federation_world *w, size_t gateway)
{
    size_t in_realm = (w->o.gateways - realm_of(w, gateway) + w->o.realms - 1) / w->o.realms, count = 0;
    CLEANUP(cleanup_free) double(*ways)[2] = calloc(in_realm, sizeof(*ways));
    struct mesh_member others[OTHERS];

    for (size_t i = realm_of(w, gateway); ways && i < w->o.gateways; i += w->o.realms) {
        if (i != gateway)
            ways[count][0] = way_ms(w, gateway, i), ways[count++][1] = (double)i;
    }
    if (!ways || count == 0)
        return;
    qsort(ways, count, sizeof(*ways), by_way);
    count = MIN(count, (size_t)OTHERS);
    for (size_t i = 0; i < count; i++) {
        size_t which = i < OTHERS / 2 || in_realm <= OTHERS
                           ? i
                           : OTHERS / 2 + prng_below(&w->nodes[gateway].prng, in_realm - 1 - OTHERS / 2);
        size_t other = (size_t)ways[which][1];

        others[i] = (struct mesh_member){ .gateway = (uint32_t)(other / w->o.realms) + 1, .at = address_of(other) };
        memcpy(others[i].x25519, w->nodes[other].id.x25519, IDENT_KEY_LEN);
    }
    federation_set_others(w->nodes[gateway].federation, others, count);
}

/* False: no memory. */
static bool make(struct federation_world *w, size_t gateway)
{
    struct node *n = &w->nodes[gateway];
    struct party *p = &w->parties[realm_of(w, gateway)];
    struct federation_options o = { .realms = p->others,
                                    .realms_count = w->o.realms - 1,
                                    .borders = n->borders,
                                    .borders_count = n->borders ? w->o.realms - 1 : 0,
                                    .id = (uint32_t)(gateway / w->o.realms) + 1,
                                    .unicast = address_of(gateway),
                                    .identity = &n->id,
                                    .rng = prng_rng(&n->prng) };
    size_t before = mallinfo2().uordblks;
    uint8_t seed[16] = { 1 };
    char leaf[32];

    snprintf(leaf, sizeof(leaf), "dmux-gateway-%u", o.id);
    if (certify(w, realm_of(w, gateway), leaf, &n->id, n->chain, &n->chain_len) < 0)
        return false;
    o.chain = (struct slice){ n->chain, n->chain_len };
    n->registry = registry_new(REGISTRY_MAX, seed);
    n->nearest = malloc(per_realm(w) * sizeof(*n->nearest));
    if (!n->registry || !n->nearest)
        return false;
    n->federation = federation_new(&o, n->registry, p->credentials, &p->jar, NULL, w->now);
    if (!n->federation)
        return false;
    for (size_t i = 0; i < per_realm(w); i++)
        n->nearest[i] = UINT32_MAX;
    for (size_t i = 0; i < per_realm(w) && !n->asks; i++) {
        size_t provider = realm_of(w, gateway) * per_realm(w) + i;

        set_router(w, gateway, provider, nearest_router(w, gateway, provider));
    }
    acquaint(w, gateway);
    n->bytes = mallinfo2().uordblks - before;
    wake(w, n, w->now);
    return true;
}

static void send(struct federation_world *w, size_t from, size_t to, const uint8_t *data, size_t len)
{
    struct datagram *d = malloc(sizeof(*d) + len);

    if (!d || heap_reserve(&w->heap, w->heap.count + 1 + w->o.gateways) < 0) {
        free(d);
        return;
    }
    *d = (struct datagram){ .e.kind = DATAGRAM, .from = from, .to = to, .len = len };
    memcpy(d->data, data, len);
    w->counts.sent += w->nodes[from].asks;
    w->counts.received += w->nodes[to].asks;
    /* by their length, which others do not have: wire/federation.h */
    w->counts.summaries += w->nodes[to].asks && data[SHIM_LEN] == DMUX_FEDERATION_RECORD &&
                           len >= SUMMARY_LEN + FEDERATION_ITEM_LEN && len <= SUMMARY_LEN + 20 * FEDERATION_ITEM_LEN &&
                           (len - SUMMARY_LEN) % FEDERATION_ITEM_LEN == 0;
    heap_set(&w->heap, &d->e.when, w->now + (instant)(way_ms(w, from, to) / 2 * MSEC));
}

static void pump(struct federation_world *w, size_t gateway)
{
    struct node *n = &w->nodes[gateway];
    uint8_t out[2048];
    struct dmux_tx tx;
    instant next;

    if (n->asks)
        registry_on_expiry(n->registry, w->now);
    federation_on_expiry(n->federation, WALL_S, w->now);
    while (federation_output(n->federation, out, &tx, w->now))
        send(w, gateway, gateway_at(get_be32(tx.to.addr.bytes)), out, tx.len);
    next = federation_next_expiry(n->federation);
    if (n->asks)
        next = instant_min(next, registry_next_expiry(n->registry));
    wake(w, n, MAX(next, w->now + MSEC));
}

static void arrive(struct federation_world *w, const struct datagram *d)
{
    struct node *n = &w->nodes[d->to];
    struct endpoint from = address_of(d->from);
    struct dmux_message m;
    struct shim s;
    uint8_t out[DMUX_MESSAGE_MAX];

    if (n->dead || (!n->federation && !make(w, d->to)))
        return;
    if (d->data[SHIM_LEN] >= DMUX_FEDERATION_INIT) {
        federation_on_datagram(n->federation, d->data, d->len, &from, WALL_S, w->now);
    } else if (shim_parse(d->data, d->data + d->len, &s) == SHIM_OK && dmux_read(&s, d->data, d->len, &m) == 0) {
        if (m.type == DMUX_CHALLENGE) {
            federation_on_challenge(n->federation, &m, &from, w->now);
        } else {
            m.type = DMUX_CHALLENGE;
            m.gateway = 1;
            m.unicast = address_of(d->to);
            m.you = from;
            send(w, d->to, d->from, out, dmux_write(&m, out, sizeof(out)));
        }
    }
    pump(w, d->to);
}

void federation_world_run(struct federation_world *w, span time)
{
    instant end = w->now + time;
    struct heap_item *first;

    while ((first = heap_first(&w->heap)) && first->at <= end) {
        struct event *e = CONTAINER_OF(first, struct event, when);

        w->now = MAX(w->now, first->at);
        heap_set(&w->heap, first, INSTANT_NEVER);
        if (e->kind == GATEWAY) {
            size_t i = (size_t)(CONTAINER_OF(e, struct node, e) - w->nodes);

            if (!w->nodes[i].dead && (w->nodes[i].federation || make(w, i)))
                pump(w, i);
        } else if (e->kind == DATAGRAM) {
            arrive(w, CONTAINER_OF(e, struct datagram, e));
            free(e);
        } else {
            struct change *c = CONTAINER_OF(e, struct change, e);

            set_router(w, c->gateway, c->provider, c->there ? nearest_router(w, c->gateway, c->provider) : UINT32_MAX);
            pump(w, c->gateway);
            free(c);
        }
    }
    w->now = end;
}

/* --- the world --- */

static bool found_party(struct federation_world *w, size_t i)
{
    const struct rng rng = prng_rng(&w->prng);
    struct party *p = &w->parties[i];
    uint8_t secret[JAR_SECRET_LEN] = { (uint8_t)(i + 1) };

    if (identity_generate(&p->root, &rng) < 0)
        return false;
    p->authority = (struct authority){ .provider_first = PROVIDER_FIRST + (uint32_t)(i * per_realm(w)),
                                       .provider_last = PROVIDER_FIRST + (uint32_t)((i + 1) * per_realm(w)) - 1,
                                       .protocols = { DMUX_IPV6 },
                                       .protocols_count = 1 };
    memcpy(p->authority.root, p->root.ed25519, IDENT_KEY_LEN);
    snprintf(p->authority.realm, sizeof(p->authority.realm), "r%zu.example", i);
    jar_init(&p->jar, secret, WALL_S);
    p->credentials = credentials_new(NULL, 0, &p->authority, 1, &rng);
    p->others = calloc(w->o.realms, sizeof(*p->others));
    for (size_t k = 0; p->credentials && k < per_realm(w); k++) {
        uint8_t chain[CHAIN_MAX];
        struct identity id;
        size_t len;
        char leaf[32];

        snprintf(leaf, sizeof(leaf), "dmux-provider-%u", p->authority.provider_first + (uint32_t)k);
        if (identity_generate(&id, &rng) < 0 || certify(w, i, leaf, &id, chain, &len) < 0 ||
            credentials_learn(p->credentials, id.ed25519, chain, len, WALL_S) < 0)
            return false;
    }
    return p->credentials && p->others;
}

static void know_others(struct federation_world *w, size_t i)
{
    struct federation_realm *at = w->parties[i].others;

    for (size_t k = 0; k < w->o.realms; k++) {
        if (k == i)
            continue;
        *at = (struct federation_realm){ .authority = w->parties[k].authority };
        at++->prefix = (struct prefix){ .addr = addr_v4(0xc6120000u + (uint32_t)(k << 8)), .len = 24 };
    }
}

/* One border of each other realm, which is drawn. */
static bool begin_with(struct federation_world *w, size_t gateway)
{
    struct node *n = &w->nodes[gateway];
    size_t realm = 0;

    n->asks = true;
    n->borders = calloc(w->o.realms, sizeof(*n->borders));
    for (size_t k = 0; n->borders && k < w->o.realms; k++) {
        size_t border = prng_below(&w->prng, w->o.gateways / w->o.realms) * w->o.realms + k;

        if (k == realm_of(w, gateway))
            continue;
        n->borders[realm].realm = realm;
        n->borders[realm].at = address_of(border);
        memcpy(n->borders[realm++].x25519, w->nodes[border].id.x25519, IDENT_KEY_LEN);
    }
    wake(w, n, SEC + (instant)prng_below(&w->prng, 5 * SEC));
    return n->borders != NULL;
}

static size_t asking(const struct federation_world *w, size_t k)
{
    return k * (w->o.gateways / w->o.asking);
}

struct federation_world *federation_world_new(const struct federation_world_options *o)
{
    struct federation_world *w = calloc(1, sizeof(*w));
    bool ok;

    if (!w)
        return NULL;
    w->o = *o;
    w->now = SEC;
    prng_init(&w->prng, o->seed);
    w->hosts = calloc(o->gateways, sizeof(*w->hosts));
    w->nodes = calloc(o->gateways, sizeof(*w->nodes));
    w->parties = calloc(o->realms, sizeof(*w->parties));
    w->routers = calloc(o->routers, sizeof(*w->routers));
    w->gone = calloc(o->routers, sizeof(*w->gone));
    ok = w->hosts && w->nodes && w->parties && w->routers && w->gone && heap_reserve(&w->heap, o->gateways) == 0;
    for (size_t i = 0; ok && i < o->gateways; i++) {
        const struct rng rng = prng_rng(&w->prng);

        earth_place(&w->hosts[i], 0, &w->prng);
        w->hosts[i].access_ms = earth_exponential(&w->prng, EARTH_ACCESS_MS);
        w->nodes[i].e.kind = GATEWAY;
        prng_init(&w->nodes[i].prng, prng_u64(&w->prng));
        ok = identity_generate(&w->nodes[i].id, &rng) == 0;
    }
    for (size_t i = 0; ok && i < o->routers; i++)
        w->routers[i] = (uint32_t)(prng_below(&w->prng, o->gateways / o->realms) * o->realms +
                                   realm_of_provider(w, i % o->providers));
    for (size_t i = 0; ok && i < o->realms; i++)
        ok = found_party(w, i);
    for (size_t i = 0; ok && i < o->realms; i++)
        know_others(w, i);
    for (size_t k = 0; ok && k < o->asking; k++)
        ok = begin_with(w, asking(w, k));
    if (!ok) {
        federation_world_free(w);
        return NULL;
    }
    return w;
}

static void node_end(struct node *n)
{
    federation_free(n->federation);
    registry_free(n->registry);
    free(n->nearest);
    free(n->borders);
    n->federation = NULL;
    n->registry = NULL;
    n->nearest = NULL;
    n->borders = NULL;
    n->dead = true;
}

void federation_world_free(struct federation_world *w)
{
    if (!w)
        return;
    for (struct heap_item *i; (i = heap_first(&w->heap));) {
        struct event *e = CONTAINER_OF(i, struct event, when);

        heap_set(&w->heap, i, INSTANT_NEVER);
        if (e->kind != GATEWAY)
            free(e);
    }
    for (size_t i = 0; w->nodes && i < w->o.gateways; i++)
        node_end(&w->nodes[i]);
    for (size_t i = 0; w->parties && i < w->o.realms; i++) {
        credentials_free(w->parties[i].credentials);
        free(w->parties[i].others);
    }
    heap_deinit(&w->heap);
    free(w->hosts);
    free(w->nodes);
    free(w->parties);
    free(w->routers);
    free(w->gone);
    free(w);
}

/* --- what happens --- */

static void schedule(struct federation_world *w, size_t gateway, size_t provider, bool there, instant at)
{
    struct change *c = malloc(sizeof(*c));

    if (!c || heap_reserve(&w->heap, w->heap.count + 1 + w->o.gateways) < 0) {
        free(c);
        return;
    }
    *c = (struct change){ .e.kind = CHANGE, .gateway = gateway, .provider = provider, .there = there };
    heap_set(&w->heap, &c->e.when, at);
}

/* Each border of the realm that exists hears of it, one way after. */
static void tell(struct federation_world *w, size_t provider, size_t where, bool there)
{
    for (size_t i = realm_of_provider(w, provider); i < w->o.gateways; i += w->o.realms) {
        const struct node *n = &w->nodes[i];

        if (n->federation && !n->asks && !n->dead)
            schedule(w, i, provider, there, w->now + (i == where ? 0 : (instant)(way_ms(w, i, where) / 2 * MSEC)));
    }
}

void federation_world_service(struct federation_world *w, size_t provider, bool there)
{
    for (size_t i = provider; i < w->o.routers; i += w->o.providers)
        w->gone[i] = !there;
    tell(w, provider, w->routers[provider], there);
}

void federation_world_lose_router(struct federation_world *w, size_t router)
{
    size_t provider = router % w->o.providers;

    w->gone[router] = true;
    tell(w, provider, w->routers[router], nearest_router(w, w->routers[router], provider) != UINT32_MAX);
}

void federation_world_kill(struct federation_world *w, size_t gateway)
{
    w->nodes[gateway].dead = true;
    heap_set(&w->heap, &w->nodes[gateway].e.when, INSTANT_NEVER);
}

/* --- what is there --- */

size_t federation_world_realm_of(const struct federation_world *w, size_t k)
{
    return realm_of(w, asking(w, k));
}

size_t federation_world_border(const struct federation_world *w, size_t k, size_t provider)
{
    const struct registration *r =
        registry_select(w->nodes[asking(w, k)].registry, DMUX_IPV6, PROVIDER_FIRST + (uint32_t)provider, (uint32_t)k);

    return r ? gateway_at(r->addr) : SIZE_MAX;
}

struct federation_way federation_world_way(const struct federation_world *w, size_t k, size_t provider)
{
    size_t home = asking(w, k);
    uint32_t nearest = nearest_router(w, home, provider);
    struct federation_way ret = { .border = federation_world_border(w, k, provider),
                                  .nearest_ms = router_ms(w, home, nearest) };

    if (ret.border != SIZE_MAX)
        ret.ms = way_ms(w, home, ret.border) +
                 (w->routers[w->nodes[ret.border].nearest[provider % per_realm(w)]] == ret.border
                      ? 0
                      : router_ms(w, ret.border, w->nodes[ret.border].nearest[provider % per_realm(w)]));
    return ret;
}

void federation_world_entries(const struct federation_world *w, size_t k, size_t *ret_links, size_t *ret_services,
                              size_t *ret_registrations)
{
    const struct federation *f = w->nodes[asking(w, k)].federation;
    struct federation_realm_info r;
    struct federation_border_info b;

    *ret_links = *ret_services = *ret_registrations = 0;
    for (size_t i = 0; federation_realm_info(f, i, &r); i++) {
        *ret_services += r.services;
        *ret_registrations += r.adopted;
        for (size_t j = 0; federation_border_info(f, i, j, &b); j++)
            *ret_links += b.up;
    }
}

const struct federation_counts *federation_world_counts(const struct federation_world *w)
{
    return &w->counts;
}

static size_t end_and_weigh(struct federation_world *w, struct node *n)
{
    size_t before = mallinfo2().uordblks;

    heap_set(&w->heap, &n->e.when, INSTANT_NEVER);
    node_end(n);
    return before - mallinfo2().uordblks;
}

size_t federation_world_weigh(struct federation_world *w, size_t k)
{
    return end_and_weigh(w, &w->nodes[asking(w, k)]);
}

void federation_world_weigh_borders(struct federation_world *w, double *ret_base, double *ret_each)
{
    double base = 0, more = 0, count = 0, asked = 0;

    for (size_t i = 0; i < w->o.gateways; i++) {
        struct node *n = &w->nodes[i];
        struct federation_stats s;
        size_t made = n->bytes;

        if (!n->federation || n->asks)
            continue;
        federation_stats_get(n->federation, &s);
        if (s.askers == 0)
            continue;
        base += (double)made;
        more += (double)end_and_weigh(w, n) - (double)made;
        asked += (double)s.askers;
        count++;
    }
    *ret_base = base / count;
    *ret_each = more / asked;
}
