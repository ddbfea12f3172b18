/* dmux/mesh_routes.c - what other gateways have told of their routers, and which of those this one takes.
 *
 * Theory of operation. A route is a router by way of the gateway that has registered it. Of the routes of one provider
 * and protocol the MESH_NEAREST nearest, by the round trip to that gateway and on to the router, are adopted: the
 * provider's signature is looked at, under the very number of the gateway that told, so that nobody can tell of
 * another's routers; the registry gets them as claimed; and from then on this gateway asks the router itself (VOUCHED),
 * under a key that only who registered it can have given. What answers is proved, measured and used like any other;
 * what does not gets no packet, whoever told what.
 *
 * A gateway that falls silent takes its routes along, but for routers that go on answering. A router that says the same
 * here itself is registered here, and its routes rest. From RENEW_S before its provider's certificate ends, a newer one
 * is asked for; without one, it is used no longer.
 *
 * Limits: MESH_ROUTES_MAX routes of 330 bytes, MESH_ADOPTED_MAX of them adopted: those beyond are known and get no
 * packets. */
#include "dmux/mesh_internal.h"

#include "dmux/mac.h"
#include "ident/hash.h"
#include "ident/keys.h"

#define LOOK_EVERY (100 * MSEC) /* chosen: changes of a group are gathered this long */
#define AGAIN (5 * SEC)         /* a router that was refused, or did not answer, is tried again */
#define SIGN_TRIES 16           /* chosen: signatures that are looked at for one group at a time: 2 ms */
#define RENEW_S 120 /* chosen: as a federation's: so long before its certificate ends a newer one is wanted */
#define RENEW_AGAIN (15 * SEC) /* chosen: several times */
#define SWAP_PERCENT 90        /* chosen: a route that is nearer by less does not push one out that serves */

struct route_group {
    uint64_t key;
    struct list routes, dirty;
};

enum route_sign { SIGN_UNKNOWN, SIGN_GOOD, SIGN_BAD };

struct route {
    struct list in_group, by_peer, in_asked;
    struct route_group *group;
    struct peer *peer; /* NULL: its gateway is silent */
    uint32_t origin, generation;
    uint16_t protocol;
    uint32_t provider, addr;
    uint16_t port;
    uint16_t weight, load;
    uint32_t rtt_us;
    uint8_t sign; /* enum route_sign */
    bool adopted;
    bool unanswered; /* its last question */
    bool picked;     /* inside group_look */
    instant next;    /* of an adopted one: its question; of another: not before */
    instant renew_next;
    uint8_t vouch[DMUX_KEY_LEN];
    struct mesh_proof proof;
};

void routes_init(struct mesh *m)
{
    list_init(&m->dirty);
    list_init(&m->asked);
    map64_init(&m->routes, MESH_ROUTES_MAX, get_le64(m->seed));
    map64_init(&m->groups, MESH_ROUTES_MAX, get_le64(m->seed + 8));
    m->look_at = INSTANT_NEVER;
}

static void mark(struct mesh *m, struct route_group *g, instant at)
{
    if (list_empty(&g->dirty))
        list_append(&m->dirty, &g->dirty);
    m->look_at = instant_min(m->look_at, at);
}

static struct registration *taken(const struct mesh *m, const struct route *t)
{
    struct registration *r = registry_find(m->registry, t->protocol, t->provider, t->addr, t->port);

    return r && r->realm == 0 && r->origin == t->origin ? r : NULL;
}

static void unask(struct mesh *m, struct route *t)
{
    if (!t->adopted)
        return;
    t->adopted = false;
    list_remove(&t->in_asked);
    m->adopted_count--;
}

/* Packets go there no longer on this route's account. */
static void release(struct mesh *m, struct route *t, instant now)
{
    struct registration *r = t->adopted ? taken(m, t) : NULL;

    unask(m, t);
    if (!r)
        return;
    registry_drop(m->registry, r, now);
    m->stats.released++;
}

static void route_free(struct mesh *m, struct route *t)
{
    struct route_group *g = t->group;

    unask(m, t);
    map64_remove(&m->routes, mesh_name_hash(m, t->origin, t->protocol, t->provider, t->addr, t->port));
    list_remove(&t->in_group);
    list_remove(&t->by_peer);
    if (t->peer)
        t->peer->routes_count--;
    ident_wipe(t->vouch, sizeof(t->vouch));
    free(t);
    if (list_empty(&g->routes)) {
        map64_remove(&m->groups, g->key);
        list_remove(&g->dirty);
        free(g);
    }
}

void routes_free(struct mesh *m)
{
    for (size_t i = 0; i < m->routes.capacity; i++) {
        while (m->routes.slots[i].value)
            route_free(m, m->routes.slots[i].value);
    }
    map64_deinit(&m->routes);
    map64_deinit(&m->groups);
}

static struct route_group *group_get(struct mesh *m, uint16_t protocol, uint32_t provider)
{
    uint64_t key = service_key(protocol, provider);
    struct route_group *g = map64_get(&m->groups, key);

    if (g)
        return g;
    g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->key = key;
    list_init(&g->routes);
    list_init(&g->dirty);
    if (map64_put(&m->groups, key, g) < 0) {
        free(g);
        return NULL;
    }
    return g;
}

static struct route *route_of(const struct mesh *m, const struct peer *p, const struct mesh_item *i)
{
    struct route *t = map64_get(&m->routes, mesh_name_hash(m, p->gateway, i->protocol, i->provider, i->addr, i->port));

    return t && t->origin == p->gateway && t->protocol == i->protocol && t->provider == i->provider &&
                   t->addr == i->addr && t->port == i->port
               ? t
               : NULL;
}

static struct route *route_new(struct mesh *m, struct peer *p, const struct mesh_item *i)
{
    uint64_t hash = mesh_name_hash(m, p->gateway, i->protocol, i->provider, i->addr, i->port);
    struct route *t = map64_get(&m->routes, hash) ? NULL : calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    *t = (struct route){
        .origin = p->gateway, .protocol = i->protocol, .provider = i->provider, .addr = i->addr, .port = i->port
    };
    list_init(&t->in_group);
    list_init(&t->by_peer);
    list_init(&t->in_asked);
    t->group = group_get(m, i->protocol, i->provider);
    if (!t->group || map64_put(&m->routes, hash, t) < 0) {
        if (t->group && list_empty(&t->group->routes)) {
            map64_remove(&m->groups, t->group->key);
            free(t->group);
        }
        free(t);
        return NULL;
    }
    list_append(&t->group->routes, &t->in_group);
    return t;
}

/* Whether a peer has any of a group. */
static bool has_any(const struct route_group *g, const struct peer *p)
{
    LIST_FOREACH (t, &g->routes, struct route, in_group) {
        if (t->peer == p)
            return true;
    }
    return false;
}

static void tell_serves(struct mesh *m, const struct peer *p, const struct route_group *g, instant now)
{
    if (m->o.directory && p->told)
        directory_on_serves(m->o.directory, p->gateway, service_protocol(g->key), service_provider(g->key),
                            has_any(g, p), now);
}

void routes_tell_directory(struct mesh *m, const struct peer *p, instant now)
{
    LIST_FOREACH (t, &p->routes, struct route, by_peer) {
        if (t->peer == p)
            directory_on_serves(m->o.directory, p->gateway, t->protocol, t->provider, true, now);
    }
}

/* Its gateway tells of it, in the link as it is now. */
static void belong(struct route *t, struct peer *p)
{
    if (!t->peer)
        p->routes_count++;
    t->peer = p;
    t->generation = p->generation;
    list_remove(&t->by_peer);
    list_append(&p->routes, &t->by_peer);
}

static void take_item(struct mesh *m, struct peer *p, const struct mesh_item *i, instant now)
{
    struct route *t = route_of(m, p, i);
    bool fresh;

    if (i->what == MESH_GONE) {
        if (!t)
            return;
        release(m, t, now);
        mark(m, t->group, now);
        if (t->peer) /* else it was told before the link was made anew */
            p->routes_count--;
        t->peer = NULL;
        tell_serves(m, p, t->group, now);
        route_free(m, t);
        return;
    }
    if (!t && i->what == MESH_NEW)
        t = route_new(m, p, i);
    if (!t) {
        mesh_drop(m, MESH_DROP_FULL);
        return;
    }
    belong(t, p);
    tell_serves(m, p, t->group, now);
    t->weight = i->weight;
    t->load = i->load;
    t->rtt_us = i->rtt_us;
    fresh = i->what == MESH_NEW && (memcmp(t->vouch, i->vouch, sizeof(t->vouch)) != 0 ||
                                    memcmp(&t->proof.signature, &i->proof.signature, sizeof(t->proof.signature)) != 0);
    if (fresh) {
        struct registration *r = t->adopted ? taken(m, t) : NULL;

        memcpy(t->vouch, i->vouch, sizeof(t->vouch));
        t->proof = i->proof;
        t->sign = SIGN_UNKNOWN;
        t->next = 0;
        if (r) /* the router has registered there anew, and answers by that from now on */
            registry_vouch(r, t->origin, t->vouch);
    }
    mark(m, t->group, now + LOOK_EVERY);
}

void routes_take_news(struct mesh *m, struct peer *p, const struct mesh_message *news, instant now)
{
    struct reader r = reader_init(news->rest, news->rest_len);
    struct mesh_item i;

    while (mesh_next_item(&r, &i)) {
        m->stats.news_in++;
        take_item(m, p, &i, now);
    }
}

void routes_settle(struct mesh *m, struct peer *p, instant now)
{
    LIST_FOREACH_SAFE (t, &p->routes, struct route, by_peer) {
        if (t->generation == p->generation)
            break; /* those that were told again are behind those that were not */
        release(m, t, now);
        mark(m, t->group, now);
        t->peer = NULL;
        p->routes_count--;
        tell_serves(m, p, t->group, now);
        route_free(m, t);
    }
}

void routes_look(struct mesh *m, struct peer *p, instant now)
{
    LIST_FOREACH (t, &p->routes, struct route, by_peer)
        mark(m, t->group, now + LOOK_EVERY);
}

void routes_orphan(struct mesh *m, struct peer *p)
{
    LIST_FOREACH_SAFE (t, &p->routes, struct route, by_peer) {
        struct registration *r = t->adopted ? taken(m, t) : NULL;

        list_remove(&t->by_peer);
        t->peer = NULL;
        p->routes_count--;
        if (!r || r->state != REGISTRATION_PROVED)
            route_free(m, t);
    }
}

void routes_retry(struct mesh *m)
{
    for (size_t i = 0; i < m->routes.capacity; i++) {
        struct route *t = m->routes.slots[i].value;

        if (t && t->sign == SIGN_UNKNOWN && !t->adopted && t->next > 0) {
            t->next = 0;
            mark(m, t->group, 0);
        }
    }
}

/* --- who is taken --- */

static uint64_t distance(const struct route *t)
{
    uint64_t d = (t->peer ? mesh_rtt(t->peer) : 0) + (uint64_t)t->rtt_us;

    if (!t->peer || t->unanswered) /* any other comes first: by way of another gateway it may be the same router */
        return UINT64_MAX;
    return t->adopted ? d * SWAP_PERCENT / 100 : d;
}

/* Has the provider signed that this router is registered with that gateway? */
static bool signed_for(const struct route *t)
{
    struct dmux_message m = { .type = DMUX_REGISTER,
                              .protocol = t->protocol,
                              .provider = t->provider,
                              .nonce = t->proof.nonce,
                              .gateway = t->origin,
                              .you = { .addr = addr_v4(t->addr), .port = t->port },
                              .weight = t->proof.weight };
    uint8_t buf[DMUX_MESSAGE_MAX];
    size_t len;

    memcpy(m.cookie, t->proof.cookie, sizeof(m.cookie));
    memcpy(m.dh, t->proof.dh, sizeof(m.dh));
    memcpy(m.key, t->proof.key, sizeof(m.key));
    len = dmux_write(&m, buf, sizeof(buf));
    return ed25519_verify(t->proof.key, buf, dmux_signed_len(buf, len), t->proof.signature) == 0;
}

static bool is_known(const struct mesh *m, const struct route *t, uint64_t *ret_until_s)
{
    return credentials_check(m->credentials, t->provider, t->protocol, t->proof.key, m->wall_s, ret_until_s) == 0;
}

/* Its gateway has it, if there is one. */
static void want_certificate(struct route *t)
{
    if (!t->peer)
        return;
    t->peer->want_due = true;
    memcpy(t->peer->want_key, t->proof.key, sizeof(t->peer->want_key));
}

/* Looks at the signature once. */
static bool may_speak(struct mesh *m, struct route *t, uint64_t *ret_until_s)
{
    bool known = is_known(m, t, ret_until_s);

    if (!known)
        want_certificate(t);
    if (known && t->sign == SIGN_UNKNOWN) {
        t->sign = signed_for(t) ? SIGN_GOOD : SIGN_BAD;
        if (t->sign == SIGN_BAD) {
            mesh_drop(m, MESH_DROP_UNSIGNED);
            if (t->peer) /* it has checked itself what it tells: what else it tells is not even looked at */
                t->peer->liar = true;
        }
    }
    return known && t->sign == SIGN_GOOD;
}

static void adopt(struct mesh *m, struct route *t, uint64_t until_s, instant now)
{
    struct registration claim = { .protocol = t->protocol,
                                  .provider = t->provider,
                                  .addr = t->addr,
                                  .port = t->port,
                                  .weight = t->weight,
                                  .load = t->load,
                                  .origin = t->origin },
                        *r = registry_find(m->registry, t->protocol, t->provider, t->addr, t->port);
    uint16_t wait_s = 0;

    t->next = now + AGAIN;
    if ((r && (r->origin == 0 || r->realm != 0)) || m->adopted_count >= MESH_ADOPTED_MAX)
        return;
    memcpy(claim.key, t->vouch, sizeof(claim.key));
    if (r) /* by way of another gateway until now */
        registry_vouch(r, t->origin, t->vouch);
    else if (registry_claim(m->registry, &claim, now, &r, &wait_s) != 0)
        return;
    r->until_s = until_s;
    r->nonce = 0;
    t->adopted = true;
    t->unanswered = false;
    t->next = now;
    m->adopted_count++;
    m->stats.adopted++;
    list_prepend(&m->asked, &t->in_asked);
}

/* The nearest that is not excluded: of those whose signature was looked at, or of the others. */
static struct route *nearest(struct route_group *g, bool looked_at, instant now)
{
    struct route *best = NULL;

    LIST_FOREACH (t, &g->routes, struct route, in_group) {
        if ((t->sign == SIGN_GOOD) != looked_at || t->sign == SIGN_BAD || t->picked || (!t->adopted && t->next > now) ||
            (!looked_at && t->peer && t->peer->liar))
            continue;
        if (!best || distance(t) < distance(best))
            best = t;
    }
    return best;
}

/* Other routes to the same router: it is asked on account of this one from now on, and not of those. */
static void unask_same(struct mesh *m, struct route_group *g, const struct route *t)
{
    LIST_FOREACH (other, &g->routes, struct route, in_group) {
        if (other != t && other->adopted && other->addr == t->addr && other->port == t->port)
            unask(m, other);
    }
}

/* Routes that lead nowhere any more; false: with them the group has gone. */
static bool group_clean(struct mesh *m, struct route_group *g, instant now)
{
    LIST_FOREACH_SAFE (t, &g->routes, struct route, in_group) {
        bool last = g->routes.next == &t->in_group && g->routes.prev == &t->in_group;

        t->picked = false;
        if (t->adopted && !taken(m, t)) { /* it fell silent, or is registered here now */
            unask(m, t);
            t->next = now + AGAIN;
        }
        if (!t->adopted && !t->peer) {
            route_free(m, t);
            if (last)
                return false;
        }
    }
    return true;
}

/* True: something is to be tried again. */
static bool group_look(struct mesh *m, struct route_group *g, instant now)
{
    const struct route *picked[MESH_NEAREST];
    bool all_proved = true, again = false;
    struct route *t;
    uint64_t until_s;
    size_t n = 0;

    if (!group_clean(m, g, now))
        return false;
    for (unsigned i = 0; i < SIGN_TRIES && (t = nearest(g, false, now)); i++) {
        again = true;
        if (!may_speak(m, t, &until_s))
            t->next = now + SEC; /* unless its certificate comes before */
    }
    while (n < MESH_NEAREST && (t = nearest(g, true, now))) {
        bool there = false;

        t->picked = true;
        for (size_t i = 0; i < n; i++)
            there |= picked[i]->addr == t->addr && picked[i]->port == t->port;
        if (there || (!t->adopted && !may_speak(m, t, &until_s)))
            continue;
        picked[n++] = t;
        if (!t->adopted) {
            unask_same(m, g, t);
            adopt(m, t, until_s, now);
            again |= !t->adopted;
        }
    }
    for (size_t i = 0; i < n; i++) {
        const struct registration *r = taken(m, picked[i]);

        all_proved &= r && r->state == REGISTRATION_PROVED;
    }
    LIST_FOREACH (each, &g->routes, struct route, in_group) {
        struct registration *r = each->adopted ? taken(m, each) : NULL;
        bool wanted = false;

        for (size_t i = 0; i < n; i++)
            wanted |= picked[i] == each;
        if (r && !wanted && all_proved) /* who serves goes once those that are nearer do */
            release(m, each, now);
        else if (r && each->peer)
            registry_set_load(r, each->weight, each->load);
        again |= r && !wanted && !all_proved;
    }
    return again;
}

/* --- questions --- */

/* Has the certificate ended that lets its provider speak? Where it ends soon a newer one is asked for. */
static bool has_ended(const struct mesh *m, struct route *t, struct registration *r, instant now)
{
    uint64_t until_s;

    if (r->until_s == 0 || r->until_s > m->wall_s + RENEW_S)
        return false;
    if (is_known(m, t, &until_s))
        r->until_s = until_s;
    if (r->until_s != 0 && r->until_s <= m->wall_s + RENEW_S && now >= t->renew_next) {
        t->renew_next = now + RENEW_AGAIN;
        want_certificate(t);
    }
    return r->until_s != 0 && r->until_s < m->wall_s;
}

size_t routes_output(struct mesh *m, uint8_t *out, struct endpoint *to, instant now)
{
    while (!list_empty(&m->asked)) {
        struct route *t = LIST_FIRST(&m->asked, struct route, in_asked);
        struct dmux_message q = { .type = DMUX_VOUCHED,
                                  .protocol = t->protocol,
                                  .provider = t->provider,
                                  .gateway = m->o.id,
                                  .voucher = t->origin,
                                  .unicast = m->o.unicast };
        struct registration *r = taken(m, t);

        if (t->next > now)
            return 0;
        if (r && has_ended(m, t, r, now)) {
            registry_drop(m->registry, r, now);
            r = NULL;
        }
        if (!r) {
            mark(m, t->group, now);
            unask(m, t);
            t->next = now + AGAIN;
            if (!t->peer)
                route_free(m, t);
            continue;
        }
        if (r->nonce != 0 && !t->unanswered)
            mark(m, t->group, now);
        t->unanswered = r->nonce != 0;
        t->next = now + MESH_PING_EVERY;
        list_remove(&t->in_asked);
        list_append(&m->asked, &t->in_asked);
        r->nonce = q.nonce = rng_nonzero(&m->rng);
        r->nonce_at = now;
        *to = (struct endpoint){ .addr = addr_v4(t->addr), .port = t->port };
        return dmux_write_sealed(&q, t->vouch, out, DMUX_MESSAGE_MAX);
    }
    return 0;
}

instant routes_next_expiry(const struct mesh *m)
{
    return list_empty(&m->asked) ? m->look_at
                                 : instant_min(m->look_at, LIST_FIRST(&m->asked, struct route, in_asked)->next);
}

void routes_on_expiry(struct mesh *m, instant now)
{
    struct list todo;
    bool left = false;

    if (now < m->look_at)
        return;
    list_init(&todo);
    while (!list_empty(&m->dirty)) {
        struct list *at = m->dirty.next;

        list_remove(at);
        list_append(&todo, at);
    }
    while (!list_empty(&todo)) {
        struct route_group *g = LIST_FIRST(&todo, struct route_group, dirty);

        list_remove(&g->dirty);
        if (group_look(m, g, now)) {
            list_append(&m->dirty, &g->dirty);
            left = true;
        }
    }
    m->look_at = left ? now + SEC : INSTANT_NEVER;
}
