/* dmux/registry.c - see registry.h.
 *
 * Theory of operation. Registrations are found by a hash of all four parts of their name. Each is a member of two
 * groups: its provider's and that of any provider. A group knows whom its clients go to: nobody, one router, or a table
 * of slots over those that are about as near as the nearest (NEAR_*, with a hysteresis so that a round trip that
 * wavers moves nobody). A loss rebuilds the table at once and moves only the lost router's clients (slots.h), if it had
 * any; what is less urgent, one more router too, marks the group, and marked groups are rebuilt once in
 * REGISTRY_REBUILD. So the cost of a group of many is bounded by time and not by what its members do. Those that fall
 * silent together are one loss.
 *
 * Every registration lives equally long without a proof, so a list by the last proof is sorted by expiry. When nobody
 * looked for REGISTRY_PAUSE, it was the gateway that was away (stopped, asleep), and all get that time again.
 *
 * Limits: REGISTRY_MAX registrations; groups likewise; a table (2 KiB) only for groups of two routers or more. */
#include "dmux/registry.h"

#include "dmux/provider.h"
#include "ident/hash.h"

#include <errno.h>
#include <math.h>

#define NEAR_IN_PERCENT 125 /* chosen: as near as the nearest, when not above this and NEAR_IN_US more */
#define NEAR_OUT_PERCENT 150
#define NEAR_IN_US 1000
#define NEAR_OUT_US 2000
#define LOAD_STEPS 8                   /* chosen: an eighth less of a share moves clients, a wavering load does not */
#define GONE_KEEP (5 * DAMP_HALF_LIFE) /* DAMP_MAX is half of REUSE by then, and is forgotten (RFC 2439 4.8.6) */

struct group {
    uint64_t key;
    uint64_t seed;
    struct list members; /* proved registrations, by in_group[which] */
    struct registration *only;
    struct registration **slots; /* SLOTS_COUNT, or NULL: only */
    uint8_t which;
    bool urgent;     /* in that list: a member has gone that its packets still go to */
    bool told_there; /* as the sums had it last */
    uint32_t told_rtt_us;
    struct list dirty, changed, summed;
};

struct registry {
    struct map64 by_name, groups;
    struct list alive, gone, dirty, changed, changed_routers, news, summed;
    struct list urgent; /* groups that lost members, until registry_settle */
    bool exports;       /* somebody pops changed tables */
    bool watched;       /* and somebody the news */
    bool sums;          /* and somebody the services */
    bool closing;       /* no table is made any more */
    uint8_t seed[16];
    size_t count, max_items;
    uint64_t silenced, rebuilds;
    instant rebuild_at;
    instant looked_at; /* the last look at expiries; 0: none yet */
};

static uint64_t name_hash(const struct registry *r, uint16_t protocol, uint32_t provider, uint32_t addr, uint16_t port)
{
    uint8_t name[12];

    put_be16(name, protocol);
    put_be32(name + 2, provider);
    put_be32(name + 6, addr);
    put_be16(name + 10, port);
    return siphash13(r->seed, name, sizeof(name));
}

struct registry *registry_new(size_t max_items, const uint8_t seed[16])
{
    struct registry *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    memcpy(r->seed, seed, sizeof(r->seed));
    r->max_items = max_items;
    map64_init(&r->by_name, max_items, get_le64(seed));
    map64_init(&r->groups, 2 * max_items, get_le64(seed + 8));
    list_init(&r->alive);
    list_init(&r->gone);
    list_init(&r->dirty);
    list_init(&r->changed);
    list_init(&r->changed_routers);
    list_init(&r->news);
    list_init(&r->summed);
    list_init(&r->urgent);
    r->rebuild_at = INSTANT_NEVER;
    return r;
}

/* --- groups --- */

static void group_free(struct registry *r, struct group *g)
{
    map64_remove(&r->groups, g->key);
    list_remove(&g->dirty);
    list_remove(&g->changed);
    list_remove(&g->summed);
    free(g->slots);
    free(g);
}

/* When its last member has gone, and nobody has yet to be told so. */
static void group_end(struct registry *r, struct group *g)
{
    if (list_empty(&g->members) && list_empty(&g->changed) && list_empty(&g->summed))
        group_free(r, g);
}

static struct group *group_get(struct registry *r, uint16_t protocol, uint32_t provider, uint8_t which)
{
    struct group *g = map64_get(&r->groups, service_key(protocol, provider));

    if (g)
        return g;
    g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    g->key = service_key(protocol, provider);
    g->seed = hash_mix64(g->key);
    g->which = which;
    list_init(&g->members);
    list_init(&g->dirty);
    list_init(&g->changed);
    list_init(&g->summed);
    if (map64_put(&r->groups, g->key, g) < 0) {
        free(g);
        return NULL;
    }
    return g;
}

static struct registration *member_of(struct list *at, uint8_t which)
{
    return (struct registration *)(void *)((char *)(at - which) - offsetof(struct registration, in_group));
}

static uint32_t share_of(const struct registration *m, instant now)
{
    span age = now - m->since;
    uint32_t step =
        age >= REGISTRY_RAMP ? REGISTRY_RAMP_STEPS : (uint32_t)(age * REGISTRY_RAMP_STEPS / REGISTRY_RAMP) + 1;
    uint32_t free_steps = LOAD_STEPS - (uint32_t)m->load * LOAD_STEPS / 65536;

    return (uint32_t)m->weight * MIN(step, (uint32_t)REGISTRY_RAMP_STEPS) * free_steps;
}

static bool has_own(const struct group *g)
{
    for (struct list *at = g->members.next; at != &g->members; at = at->next) {
        if (member_of(at, g->which)->realm == 0)
            return true;
    }
    return false;
}

/* The nearest of the group that take clients; when all have weight 0, all count. Borders count where there is no
 * router of one's own. */
static size_t candidates(struct group *g, struct registration *out[SLOTS_MEMBERS_MAX], bool any_weight)
{
    bool own = has_own(g);
    uint32_t best = UINT32_MAX;
    size_t n = 0;

    for (struct list *at = g->members.next; at != &g->members; at = at->next) {
        struct registration *m = member_of(at, g->which);

        if ((any_weight || m->weight > 0) && (m->realm == 0) == own)
            best = MIN(best, m->rtt_us);
    }
    for (struct list *at = g->members.next; at != &g->members; at = at->next) {
        struct registration *m = member_of(at, g->which);
        uint64_t limit = m->near[g->which] ? (uint64_t)best * NEAR_OUT_PERCENT / 100 + NEAR_OUT_US
                                           : (uint64_t)best * NEAR_IN_PERCENT / 100 + NEAR_IN_US;

        m->near[g->which] = (any_weight || m->weight > 0) && (m->realm == 0) == own && m->rtt_us <= limit;
        if (m->near[g->which] && n < SLOTS_MEMBERS_MAX)
            out[n++] = m;
    }
    return n;
}

/* By as much as others would choose differently. */
static bool is_apart(uint32_t rtt_us, uint32_t told_us)
{
    uint32_t apart = rtt_us > told_us ? rtt_us - told_us : told_us - rtt_us;

    return apart > told_us / 4 + NEAR_IN_US;
}

/* For who tells other operators: what the n nearest are. */
static void sum_up(struct registry *r, struct group *g, struct registration *const *near, size_t n)
{
    bool there = n > 0 && near[0]->realm == 0;
    uint32_t rtt_us = UINT32_MAX;

    if (!r->sums || g->which != 0)
        return;
    for (size_t i = 0; i < n && there; i++)
        rtt_us = MIN(rtt_us, near[i]->rtt_us);
    if (there == g->told_there && (!there || !is_apart(rtt_us, g->told_rtt_us)))
        return;
    g->told_there = there;
    g->told_rtt_us = rtt_us;
    list_remove(&g->summed);
    list_append(&r->summed, &g->summed);
}

static void group_rebuild(struct registry *r, struct group *g, instant now)
{
    struct registration *near[SLOTS_MEMBERS_MAX];
    struct slot_member members[SLOTS_MEMBERS_MAX];
    uint8_t table[SLOTS_COUNT];
    size_t n = candidates(g, near, false);

    r->rebuilds++;
    g->urgent = false;
    list_remove(&g->dirty);
    if (r->exports) {
        list_remove(&g->changed);
        list_append(&r->changed, &g->changed);
    }
    if (n == 0)
        n = candidates(g, near, true);
    g->only = n > 0 ? near[0] : NULL;
    sum_up(r, g, near, n);
    if (n >= 2 && !g->slots)
        g->slots = malloc(SLOTS_COUNT * sizeof(*g->slots)); /* without memory the first serves all */
    if (n < 2 || !g->slots) {
        free(g->slots);
        g->slots = NULL;
        return;
    }
    for (size_t i = 0; i < n; i++)
        members[i] = (struct slot_member){ .id = near[i]->id, .weight = MAX(share_of(near[i], now), 1u) };
    slots_fill(g->seed, members, n, table);
    for (unsigned i = 0; i < SLOTS_COUNT; i++)
        g->slots[i] = near[table[i]];
}

/* A member has gone; near: packets went to it. */
static void settle(struct registry *r, struct group *g, bool near, instant now)
{
    if (!r->closing && (near || list_empty(&g->members)))
        group_rebuild(r, g, now);
    group_end(r, g);
}

/* later: several go at once, and registry_settle follows. */
static void leave_groups(struct registry *r, struct registration *m, bool later, instant now)
{
    for (unsigned i = 0; i < 2; i++) {
        struct group *g = m->groups[i];
        bool near = m->near[i];

        list_remove(&m->in_group[i]);
        m->groups[i] = NULL;
        m->near[i] = false;
        if (!g)
            continue;
        if (!later) {
            settle(r, g, near, now);
        } else if (near || list_empty(&g->members)) {
            g->urgent = true;
            list_remove(&g->dirty);
            list_append(&r->urgent, &g->dirty);
        }
    }
}

void registry_settle(struct registry *r, instant now)
{
    while (!list_empty(&r->urgent)) {
        struct group *g = LIST_FIRST(&r->urgent, struct group, dirty);

        g->urgent = false;
        list_remove(&g->dirty);
        settle(r, g, true, now);
    }
}

static void mark_group(struct registry *r, struct group *g, instant now)
{
    if (g->urgent)
        return;
    list_remove(&g->dirty);
    list_append(&r->dirty, &g->dirty);
    r->rebuild_at = instant_min(r->rebuild_at, now + REGISTRY_REBUILD);
}

/* Who comes first serves at once; others, with the next rebuild. */
static bool join_groups(struct registry *r, struct registration *m, instant now)
{
    const uint32_t providers[2] = { m->provider, PROVIDER_ANY };

    for (uint8_t i = 0; i < 2; i++) {
        m->groups[i] = group_get(r, m->protocol, providers[i], i);
        if (!m->groups[i]) {
            leave_groups(r, m, false, now);
            return false;
        }
        list_append(&m->groups[i]->members, &m->in_group[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (m->groups[i]->only)
            mark_group(r, m->groups[i], now);
        else
            group_rebuild(r, m->groups[i], now);
    }
    return true;
}

/* --- registrations --- */

/* Its round trip, load or share has changed, which matters where it has company, and to who sums up. */
static void mark(struct registry *r, struct registration *m, instant now)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct group *g = m->groups[i];
        bool apart = r->sums && i == 0 && m->realm == 0 && is_apart(m->rtt_us, g->told_rtt_us);

        if (apart || g->members.next != g->members.prev)
            mark_group(r, m->groups[i], now);
    }
}

/* For who exports: it is proved now, or was. */
static void tell(struct registry *r, struct registration *m)
{
    if (!r->exports)
        return;
    list_remove(&m->changed);
    list_append(&r->changed_routers, &m->changed);
}

/* For who tells others: of one that is, or was, registered here. */
static void announce(struct registry *r, struct registration *m)
{
    if (!r->watched || m->origin != 0)
        return;
    m->told_weight = m->weight;
    m->told_load = m->load;
    m->told_rtt_us = m->rtt_us;
    list_remove(&m->news);
    list_append(&r->news, &m->news);
}

/* By as much as others would choose differently. */
static bool changed_much(const struct registration *m)
{
    return is_apart(m->rtt_us, m->told_rtt_us) || m->weight != m->told_weight ||
           m->load * LOAD_STEPS / 65536 != m->told_load * LOAD_STEPS / 65536;
}

static uint64_t endpoint_key(uint32_t addr, uint16_t port)
{
    return (uint64_t)addr << 16 | port;
}

static double penalty_now(const struct registration *m, instant now)
{
    return m->penalty * exp2(-(double)(now - m->penalty_at) / (double)DAMP_HALF_LIFE);
}

static void drop_fresh_key(struct registration *m)
{
    if (m->fresh_key)
        ident_wipe(m->fresh_key, sizeof(m->key));
    free(m->fresh_key);
    m->fresh_key = NULL;
}

static void forget(struct registry *r, struct registration *m, instant now)
{
    leave_groups(r, m, false, now);
    list_remove(&m->by_time);
    list_remove(&m->changed);
    list_remove(&m->news);
    free(m->proof);
    map64_remove(&r->by_name, name_hash(r, m->protocol, m->provider, m->addr, m->port));
    r->count -= m->state != REGISTRATION_GONE;
    ident_wipe(m->key, sizeof(m->key));
    drop_fresh_key(m);
    free(m);
}

void registry_free(struct registry *r)
{
    if (!r)
        return;
    r->closing = true;
    registry_settle(r, 0);
    LIST_FOREACH_SAFE (m, &r->alive, struct registration, by_time)
        forget(r, m, 0);
    LIST_FOREACH_SAFE (m, &r->gone, struct registration, by_time)
        forget(r, m, 0);
    LIST_FOREACH_SAFE (g, &r->changed, struct group, changed) /* the last that nobody popped */
        group_free(r, g);
    LIST_FOREACH_SAFE (g, &r->summed, struct group, summed)
        group_free(r, g);
    map64_deinit(&r->by_name);
    map64_deinit(&r->groups);
    free(r);
}

static struct registration *lookup(const struct registry *r, uint16_t protocol, uint32_t provider, uint32_t addr,
                                   uint16_t port)
{
    struct registration *m = map64_get(&r->by_name, name_hash(r, protocol, provider, addr, port));

    if (m && (m->protocol != protocol || m->provider != provider || m->addr != addr || m->port != port))
        return NULL; /* a collision of 64 bits */
    return m;
}

struct registration *registry_find(const struct registry *r, uint16_t protocol, uint32_t provider, uint32_t addr,
                                   uint16_t port)
{
    struct registration *m = lookup(r, protocol, provider, addr, port);

    return m && m->state != REGISTRATION_GONE ? m : NULL;
}

static struct registration *registration_new(struct registry *r, const struct registration *claim, instant now)
{
    struct registration *m = calloc(1, sizeof(*m));
    uint64_t name = name_hash(r, claim->protocol, claim->provider, claim->addr, claim->port);

    if (!m)
        return NULL;
    m->protocol = claim->protocol;
    m->provider = claim->provider;
    m->addr = claim->addr;
    m->port = claim->port;
    m->state = REGISTRATION_GONE;
    m->penalty_at = now;
    /* the same in every gateway, so that they fill the same tables */
    m->id =
        hash_mix64(hash_mix64(service_key(claim->protocol, claim->provider)) ^ endpoint_key(claim->addr, claim->port));
    list_init(&m->in_group[0]);
    list_init(&m->in_group[1]);
    list_init(&m->by_time);
    list_init(&m->changed);
    list_init(&m->news);
    if (map64_get(&r->by_name, name) || map64_put(&r->by_name, name, m) < 0) {
        free(m);
        return NULL;
    }
    return m;
}

/* Makes room: of who went longest ago, but for those whose end somebody has yet to be told of. */
static void forget_one(struct registry *r, instant now)
{
    registry_settle(r, now); /* then no table has one that is gone */
    LIST_FOREACH (m, &r->gone, struct registration, by_time) {
        if (list_empty(&m->changed) && list_empty(&m->news)) {
            forget(r, m, now);
            return;
        }
    }
}

int registry_claim(struct registry *r, const struct registration *claim, instant now, struct registration **ret,
                   uint16_t *ret_wait_s)
{
    struct registration *m = lookup(r, claim->protocol, claim->provider, claim->addr, claim->port);

    if (m && m->state == REGISTRATION_GONE && m->penalty >= DAMP_SUPPRESS && penalty_now(m, now) > DAMP_REUSE) {
        /* it was suppressed when it went, and is until its penalty is down to REUSE */
        *ret_wait_s = (uint16_t)(log2(penalty_now(m, now) / DAMP_REUSE) * (double)DAMP_HALF_LIFE / (double)SEC + 1);
        return DMUX_REFUSED_DAMPED;
    }
    if (!m && r->count < r->max_items) {
        if (r->by_name.count >= r->max_items) /* then some are gone */
            forget_one(r, now);
        if (r->by_name.count < r->max_items)
            m = registration_new(r, claim, now);
    }
    if (!m || (m->state != REGISTRATION_GONE && m->realm != claim->realm))
        return DMUX_REFUSED_FULL;
    m->until_s = claim->until_s;
    if (m->state == REGISTRATION_PROVED) {
        /* Who says so may be somebody who repeats the router's words: it serves under the old key until its next
         * message under the new one. */
        if (!m->fresh_key)
            m->fresh_key = malloc(sizeof(m->key));
        if (!m->fresh_key)
            return DMUX_REFUSED_FULL;
        memcpy(m->fresh_key, claim->key, sizeof(m->key));
        *ret = m;
        return 0;
    }
    if (m->state == REGISTRATION_GONE) {
        m->state = REGISTRATION_CLAIMED;
        m->rtt_us = 0;
        r->count++;
    }
    m->origin = claim->origin;
    m->realm = claim->realm;
    m->weight = claim->weight;
    m->load = claim->load;
    m->seq = 0;
    m->nonce = 0;
    memcpy(m->key, claim->key, sizeof(m->key));
    m->proved_at = now; /* its time to prove itself begins */
    list_remove(&m->by_time);
    list_append(&r->alive, &m->by_time);
    *ret = m;
    return 0;
}

void registry_prove(struct registry *r, struct registration *m, span rtt, instant now)
{
    uint32_t us = (uint32_t)CLAMP(rtt, 1, (span)UINT32_MAX);

    m->rtt_us = m->rtt_us == 0 ? us : (uint32_t)(((uint64_t)m->rtt_us * 9 + us) / 10);
    m->proved_at = now;
    m->nonce = 0;
    list_remove(&m->by_time);
    list_append(&r->alive, &m->by_time);
    if (m->state != REGISTRATION_PROVED) {
        m->since = now;
        if (!join_groups(r, m, now))
            return;
        m->state = REGISTRATION_PROVED;
        tell(r, m);
        announce(r, m);
    } else {
        mark(r, m, now);
        if (changed_much(m))
            announce(r, m);
    }
}

void registry_take_key(struct registry *r, struct registration *m)
{
    memcpy(m->key, m->fresh_key, sizeof(m->key));
    drop_fresh_key(m);
    m->seq = 0;
    m->origin = 0;
    announce(r, m);
}

void registry_vouch(struct registration *m, uint32_t origin, const uint8_t key[32])
{
    m->origin = origin;
    memcpy(m->key, key, sizeof(m->key));
}

void registry_set_pass(struct registry *r, struct registration *m, const uint8_t pass[SHIM_COOKIE_LEN])
{
    memcpy(m->pass, pass, sizeof(m->pass));
    tell(r, m);
}

void registry_set_load(struct registration *m, uint16_t weight, uint16_t load)
{
    m->weight = weight;
    m->load = load;
}

/* penalty: of going (DAMP_FLAP), or none. */
static void depart(struct registry *r, struct registration *m, bool later, double penalty, instant now)
{
    bool served = m->state == REGISTRATION_PROVED;

    leave_groups(r, m, later, now);
    if (m->state != REGISTRATION_GONE)
        r->count--;
    m->state = REGISTRATION_GONE;
    drop_fresh_key(m);
    if (served) {
        tell(r, m);
        announce(r, m);
    }
    if (served)
        m->penalty = MIN(penalty_now(m, now) + penalty, (double)DAMP_MAX);
    else
        m->penalty = penalty_now(m, now);
    m->penalty_at = now;
    list_remove(&m->by_time);
    list_append(&r->gone, &m->by_time);
}

void registry_withdraw(struct registry *r, struct registration *m, instant now)
{
    depart(r, m, false, DAMP_FLAP, now);
}

void registry_drop(struct registry *r, struct registration *m, instant now)
{
    depart(r, m, false, 0, now);
}

void registry_leave(struct registry *r, struct registration *m, bool gone, instant now)
{
    depart(r, m, true, gone ? DAMP_FLAP : 0, now);
}

struct registration *registry_select(const struct registry *r, uint16_t protocol, uint32_t provider, uint32_t client)
{
    const struct group *g = map64_get(&r->groups, service_key(protocol, provider));

    if (!g)
        return NULL;
    return g->slots ? g->slots[shim_slot_of(client)] : g->only;
}

void registry_export(struct registry *r)
{
    r->exports = true;
}

bool registry_pop_table(struct registry *r, struct registry_table *ret)
{
    struct group *g;

    if (list_empty(&r->changed))
        return false;
    g = LIST_FIRST(&r->changed, struct group, changed);
    list_remove(&g->changed);
    ret->protocol = service_protocol(g->key);
    ret->provider = service_provider(g->key);
    ret->empty = !g->only;
    for (unsigned i = 0; i < SLOTS_COUNT; i++)
        ret->slots[i] = g->slots ? g->slots[i] : g->only;
    group_end(r, g);
    return true;
}

void registry_sum_up(struct registry *r)
{
    r->sums = true;
}

void registry_sum_up_again(struct registry *r)
{
    LIST_FOREACH (m, &r->alive, struct registration, by_time) {
        struct group *g = m->realm == 0 ? map64_get(&r->groups, service_key(m->protocol, m->provider)) : NULL;

        if (g && g->told_there && list_empty(&g->summed))
            list_append(&r->summed, &g->summed);
    }
}

bool registry_pop_service(struct registry *r, struct registry_service *ret)
{
    struct group *g;

    if (list_empty(&r->summed))
        return false;
    g = LIST_FIRST(&r->summed, struct group, summed);
    list_remove(&g->summed);
    *ret = (struct registry_service){ .protocol = service_protocol(g->key),
                                      .provider = service_provider(g->key),
                                      .there = g->told_there,
                                      .rtt_us = g->told_rtt_us };
    group_end(r, g);
    return true;
}

const struct registration *registry_pop_router(struct registry *r)
{
    struct registration *m;

    if (list_empty(&r->changed_routers))
        return NULL;
    m = LIST_FIRST(&r->changed_routers, struct registration, changed);
    list_remove(&m->changed);
    return m;
}

void registry_watch(struct registry *r)
{
    r->watched = true;
}

const struct registration *registry_pop_news(struct registry *r)
{
    struct registration *m;

    if (list_empty(&r->news))
        return NULL;
    m = LIST_FIRST(&r->news, struct registration, news);
    list_remove(&m->news);
    return m;
}

int registry_set_proof(struct registry *r, struct registration *m, const struct mesh_proof *proof)
{
    if (!r->watched)
        return 0;
    if (!m->proof)
        m->proof = malloc(sizeof(*m->proof));
    if (!m->proof)
        return -ENOMEM;
    *m->proof = *proof;
    return 0;
}

instant registry_next_expiry(const struct registry *r)
{
    instant next = r->rebuild_at;

    if (!list_empty(&r->alive)) {
        next = instant_min(next, LIST_FIRST(&r->alive, struct registration, by_time)->proved_at + REGISTRY_SILENCE);
        next = instant_min(next, r->looked_at + REGISTRY_PAUSE / 2);
    }
    if (!list_empty(&r->gone))
        next = instant_min(next, LIST_FIRST(&r->gone, struct registration, by_time)->penalty_at + GONE_KEEP);
    return next;
}

void registry_on_expiry(struct registry *r, instant now)
{
    span away = now - r->looked_at;

    if (r->looked_at != 0 && away > REGISTRY_PAUSE) {
        LIST_FOREACH (m, &r->alive, struct registration, by_time)
            m->proved_at = MIN(m->proved_at + away, now);
    }
    r->looked_at = now;
    LIST_FOREACH_SAFE (m, &r->alive, struct registration, by_time) {
        if (m->proved_at + REGISTRY_SILENCE > now)
            break;
        r->silenced++;
        depart(r, m, true, DAMP_FLAP, now);
    }
    registry_settle(r, now);
    LIST_FOREACH_SAFE (m, &r->gone, struct registration, by_time) {
        if (m->penalty_at + GONE_KEEP > now)
            break;
        forget(r, m, now);
    }
    if (now < r->rebuild_at)
        return;
    r->rebuild_at = INSTANT_NEVER;
    while (!list_empty(&r->dirty))
        group_rebuild(r, LIST_FIRST(&r->dirty, struct group, dirty), now);
}

uint64_t registry_rebuilds(const struct registry *r)
{
    return r->rebuilds;
}

uint64_t registry_silenced(const struct registry *r)
{
    return r->silenced;
}

size_t registry_count(const struct registry *r)
{
    return r->count;
}

size_t registry_capacity(const struct registry *r)
{
    return r->max_items;
}

void registry_foreach(const struct registry *r, bool (*fn)(void *ctx, const struct registration *g), void *ctx)
{
    LIST_FOREACH (m, &r->alive, struct registration, by_time) {
        if (!fn(ctx, m))
            return;
    }
}
