/* prog/agents.c - agents that are found by name or by anycast: a node whose [Peer] has no PublicKey.
 *
 * Theory of operation. Each Endpoint is a name: of a host, or of a service, which is at hosts. The chain of a host's
 * records has its keys, so that a name is enough to know whom to call, and its binding says where. All hosts that were
 * found are candidates, in the order in which they were. The node has one agent at a time:
 * the first, and the next one after DEAD without a path to it. They are asked for again every AGAIN while there is no
 * path, so that one that moved is found, too.
 *
 * With Anycast (anycast.c) the nearest one says by itself who and where it is, and is the next one; of those before it
 * only the current one is remembered.
 *
 * Limits: CANDIDATES hosts, NODE_ENDPOINTS_MAX addresses each. */
#include <stdio.h>
#include <syslog.h>

#include "prog/daemon.h"

#define CANDIDATES 8     /* chosen */
#define AGAIN (10 * SEC) /* as names of agents are, prog/resolve.c */
#define SOON (1 * SEC)   /* chosen: while nobody was found */
#define DEAD (5 * SEC)   /* chosen: a handshake is tried again four times in it */

struct candidate {
    struct peer_key key;
    char name[NAME_SIZE];
    struct config_endpoint at[NODE_ENDPOINTS_MAX];
    size_t at_count;
};

struct agents {
    struct candidate list[CANDIDATES];
    size_t count, current; /* current: CANDIDATES: none yet */
    instant alive;         /* when there was a path to it last, or it was begun */
    instant next_ask;
};

static bool has_key(const struct config *c)
{
    static const uint8_t none[IDENT_KEY_LEN];

    return memcmp(c->peers[0].key.ed25519, none, sizeof(none)) != 0;
}

static bool by_anycast(const struct daemon *d)
{
    return d->config->peers[0].anycast.count > 0;
}

static bool is_wanted(const struct daemon *d)
{
    return d->agents || (d->config->role == CONFIG_NODE && d->config->peers_count == 1 && !has_key(d->config) &&
                         (by_anycast(d) || names_lookup(d)));
}

static struct candidate *candidate_for(struct agents *a, const struct chain_end *host)
{
    for (size_t i = 0; i < a->count; i++)
        if (memcmp(a->list[i].key.ed25519, host->key, IDENT_KEY_LEN) == 0)
            return &a->list[i];
    return a->count < CANDIDATES ? &a->list[a->count++] : NULL;
}

/* Who and where one is. */
static void take_agent(struct daemon *d, const struct chain_end *who, const struct endpoint *at, size_t count,
                       instant now)
{
    struct candidate *c = candidate_for(d->agents, who);

    if (!c)
        return;
    memcpy(c->key.ed25519, who->key, IDENT_KEY_LEN);
    memcpy(c->key.x25519, who->x25519, IDENT_KEY_LEN);
    c->key.suites = who->suites;
    memcpy(c->name, who->name, sizeof(c->name));
    for (c->at_count = 0; c->at_count < MIN(count, (size_t)NODE_ENDPOINTS_MAX); c->at_count++)
        c->at[c->at_count].at = at[c->at_count];
    if (d->agents->current < CANDIDATES && c == &d->agents->list[d->agents->current])
        for (size_t i = 0; i < c->at_count; i++) /* it may have moved */
            (void)!node_peer_add_endpoint(daemon_node(d), 0, &c->at[i].at, now);
}

/* A host and its binding. */
static void take_host(struct daemon *d, const struct chain_end *host, const struct record *binding)
{
    struct endpoint at[NODE_ENDPOINTS_MAX];

    take_agent(d, host, at, record_locators(binding, at, ARRAY_LEN(at)), clock_now());
}

void agents_on_offer(struct daemon *d, const struct chain_end *agent, const struct endpoint *at, size_t count,
                     instant now)
{
    struct agents *a = d->agents;

    if (a->current < CANDIDATES) {
        a->list[0] = a->list[a->current];
        a->current = 0;
    }
    a->count = a->current < CANDIDATES ? 1 : 0;
    take_agent(d, agent, at, count, now);
}

static void on_found(void *context, const struct resolver_result *res)
{
    struct daemon *d = context;
    struct record_error err;
    struct record_bytes b;
    struct record rec;

    if (res->outcome == RESOLVER_FOUND && record_decode(res->record.data, res->record.len, &rec, &b, &err) == 0) {
        if (rec.kind == KIND_HOST_LOCATOR)
            take_host(d, &res->subject, &rec);
        for (size_t i = 0; rec.kind == KIND_SERVICE_ROUTER && i < rec.targets_count; i++) {
            const struct resolver_question q = { .tag = rec.targets[i].tag, .kind = KIND_HOST_LOCATOR };

            if (!rec.targets[i].is_locator && tag_tier(&q.tag) == TAG_TIER_HOST)
                (void)!lookup_ask(names_lookup(d), &q, on_found, NULL, d);
        }
    }
}

static void ask_all(struct daemon *d)
{
    const struct config_endpoints *e = &d->config->peers[0].endpoints;
    struct name_error err;
    struct name n;

    for (size_t i = 0; i < e->count; i++) {
        if (name_parse(e->items[i].name, strlen(e->items[i].name), &n, &err) < 0)
            say(LOG_WARNING, "agent name=%s: %s", e->items[i].name, err.why);
        else
            (void)!lookup_ask(names_lookup(d),
                              &(struct resolver_question){ .name = &n, .kind = (uint8_t)resolver_kind_of(n.tier) },
                              on_found, NULL, d);
    }
}

/* The node's agent from now on. */
static void use(struct daemon *d, size_t which, instant now)
{
    struct agents *a = d->agents;
    struct candidate *c = &a->list[which];
    struct config_peer peer = d->config->peers[0];
    int r;

    if (a->current < CANDIDATES)
        node_peer_forget(daemon_node(d), 0);
    peer.key = d->config->peers[0].key = c->key;
    peer.endpoints = (struct config_endpoints){ c->at, c->at_count };
    a->current = which;
    a->alive = now;
    r = memory_add_peer(d, &peer);
    if (r < 0) {
        say(LOG_ERR, "agent name=%s: %s", c->name, strerror(-r));
        return;
    }
    say(LOG_NOTICE, "agent name=%s", c->name);
    node_connect(daemon_node(d), (unsigned)r, NULL, 0, now);
}

/* The next after the current one that is somewhere. CANDIDATES: there is none. */
static size_t next_of(const struct agents *a)
{
    size_t from = a->current < CANDIDATES ? a->current + 1 : 0;

    for (size_t i = 0; i < a->count; i++) {
        size_t n = (from + i) % a->count;

        if (n != a->current && a->list[n].at_count > 0)
            return n;
    }
    return CANDIDATES;
}

static bool has_path(struct daemon *d, instant now)
{
    struct session *s = d->agents->current < CANDIDATES ? node_peer_session(daemon_node(d), 0) : NULL;
    struct session_path_info info;

    for (unsigned i = 0; s && i < SESSION_SLOTS; i++) {
        session_path_info(s, i, now, &info);
        if (info.used && info.metrics.state == PATH_ACTIVE)
            return true;
    }
    return false;
}

void agents_slow(struct daemon *d, instant now)
{
    struct agents *a;
    size_t next;

    if (!is_wanted(d))
        return;
    if (!d->agents) {
        d->agents = calloc(1, sizeof(*d->agents));
        if (!d->agents)
            return;
        d->agents->current = CANDIDATES;
    }
    a = d->agents;
    if (has_path(d, now)) {
        a->alive = now;
        anycast_rest(d);
        return;
    }
    if (by_anycast(d)) {
        anycast_ask(d, now);
    } else if (now >= a->next_ask) {
        ask_all(d);
        a->next_ask = now + (a->count ? AGAIN : SOON);
    }
    next = next_of(a);
    if (next < CANDIDATES && (a->current == CANDIDATES || now >= a->alive + DEAD))
        use(d, next, now);
}

void agents_keep(const struct daemon *d, struct config *fresh)
{
    if (d->agents && fresh->peers_count == 1 && !has_key(fresh))
        fresh->peers[0].key = d->config->peers[0].key;
}

void agents_stop(struct daemon *d)
{
    free(d->agents);
    d->agents = NULL;
}
