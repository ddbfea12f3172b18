/* prog/attach.c - where this host is, said at the managers of its realm.
 *
 * Theory of operation. The link before the last of a host's chain says which key the managers of its realm have. Those
 * of the root stand in the file; those of another realm are found as any name is, by the binding of the realm. An
 * association with them is kept up (prog/lookup.h), and says again what they have forgotten. It goes by the sockets
 * that sessions have, over any uplink: where one leads nowhere, the next is tried, and what the managers tell of who is
 * about to call comes through the mapping of a NAT that peers come through. What is said follows the addresses of the
 * uplinks, and what NATs make of them: the managers are asked over each uplink where they see it (prog/sights.h). At
 * the end of the daemon the host is attached nowhere. */
#include <syslog.h>

#include "ident/chain.h"
#include "prog/daemon.h"

#define LOOK_AGAIN (60 * SEC) /* chosen: for managers that moved, while we are not registered */

struct attach {
    struct daemon *d;
    struct holder holder;
    struct tag realm;
    uint8_t realm_key[IDENT_KEY_LEN];
    bool of_root, held, looking;
    struct endpoint at[RESOLVER_MANAGERS_MAX]; /* the managers */
    size_t at_count;
    struct locator_pair ways[EXCHANGE_WAYS_MAX]; /* to them */
    size_t ways_count;
    uint32_t asked_from[UPLINKS_MAX + 1]; /* address_hash of the uplink, 0: not asked */
    struct endpoint seen[UPLINKS_MAX + 1];
    enum holder_state told;
    instant look_at; /* when to look for the managers again */
};

/* To each address of a manager over uplinks in the order of their tiers, then to the next address: what is not answered
 * goes by another uplink first. Each address has its share of the ways, so that the last has one, too. How many. */
static size_t find_ways(const struct attach *a, struct locator_pair ret[EXCHANGE_WAYS_MAX])
{
    const size_t share = MAX(EXCHANGE_WAYS_MAX / MAX(a->at_count, 1u), 1u);
    size_t n = 0;

    for (size_t j = 0; j < a->at_count; j++) {
        const size_t most = MIN(n + share, EXCHANGE_WAYS_MAX);

        for (unsigned tier = TIER_PRIMARY; tier < TIER_NEVER; tier++)
            for (unsigned i = 1; i <= UPLINKS_MAX && n < most; i++) {
                const struct node_uplink *u = &a->d->uplinks[i].node;
                bool has = a->at[j].addr.family == ADDR_V6 ? u->has_v6 : u->has_v4;

                if (a->d->uplinks[i].used && u->up && u->tier == tier && has)
                    ret[n++] = (struct locator_pair){ .link = i, .remote = a->at[j] };
            }
    }
    return n;
}

static void follow_ways(struct attach *a)
{
    struct locator_pair ways[EXCHANGE_WAYS_MAX];
    size_t count = find_ways(a, ways), same = 0;

    while (same < MIN(count, a->ways_count) && locator_pair_same(&ways[same], &a->ways[same]))
        same++;
    if (count == 0 || (a->held && same == count && count == a->ways_count))
        return;
    a->ways_count = count;
    memcpy(a->ways, ways, count * sizeof(ways[0]));
    if (a->held) {
        (void)!lookup_hold_by(names_lookup(a->d), &a->holder, ways, count); /* fails for what is not held */
        return;
    }
    a->held = true; /* before: what this tells may lead here again */
    if (lookup_hold(names_lookup(a->d), &a->holder, a->realm_key, ways, count) < 0)
        a->held = false;
}

static void hold(struct attach *a, const struct endpoint *at, size_t count)
{
    lookup_unhold(names_lookup(a->d), &a->holder);
    a->held = false;
    memcpy(a->at, at, count * sizeof(at[0]));
    a->at_count = count;
    memset(a->asked_from, 0, sizeof(a->asked_from));
    attach_uplinks(a->d);
}

static void on_managers(void *context, const struct resolver_result *res)
{
    struct endpoint at[RESOLVER_MANAGERS_MAX] = { 0 };
    struct attach *a = context;
    struct record_error e;
    struct record_bytes b;
    struct record r;

    a->looking = false;
    if (res->outcome != RESOLVER_FOUND || record_decode(res->record.data, res->record.len, &r, &b, &e) < 0) {
        say(LOG_WARNING, "attach: the managers of our realm are not found: %s", resolver_why_name(res->why));
        return;
    }
    hold(a, at, record_locators(&r, at, ARRAY_LEN(at)));
}

static void look(struct attach *a, instant now)
{
    const struct resolver_question q = { .tag = a->realm, .kind = KIND_REALM_REALM, .anew = a->held };
    const struct config *c = a->d->config;
    struct endpoint at[RESOLVER_MANAGERS_MAX];
    size_t count = 0;

    a->look_at = now + LOOK_AGAIN;
    if (a->looking)
        return;
    if (!a->of_root) {
        a->looking = true;
        if (lookup_ask(names_lookup(a->d), &q, on_managers, NULL, a) < 0)
            a->looking = false;
        return;
    }
    if (a->held)
        return;
    for (; count < c->names.managers.count && count < RESOLVER_MANAGERS_MAX; count++)
        at[count] = c->names.managers.items[count].at;
    hold(a, at, count);
}

void attach_uplinks(struct daemon *d)
{
    struct endpoint v4[RESOLVER_MANAGERS_MAX];
    struct attach *a = d->attach;
    size_t v4_count = 0;

    if (!a)
        return;
    follow_ways(a);
    for (size_t i = 0; i < a->at_count; i++)
        if (a->at[i].addr.family == ADDR_V4) /* IPv6 has no NATs that matter */
            v4[v4_count++] = a->at[i];
    for (unsigned i = 1; i <= UPLINKS_MAX; i++) {
        const struct uplink *u = &d->uplinks[i];
        bool there = u->used && u->node.up && u->node.has_v4 && a->held && v4_count > 0;
        uint32_t from = there ? MAX(u->node.address_hash, 1u) : 0;

        if (from == a->asked_from[i])
            continue;
        a->asked_from[i] = from;
        if (lookup_see(names_lookup(d), i, a->realm_key, v4, there ? v4_count : 0) < 0)
            say(LOG_WARNING, "attach link=%s: no manager can be asked where it sees it", u->node.name);
    }
}

static void on_seen(void *ctx, uint32_t link, const struct endpoint *place)
{
    struct daemon *d = ctx;
    char text[ENDPOINT_STRLEN];

    if (!d->attach)
        return;
    d->attach->seen[link] = *place;
    if (place->addr.family != ADDR_NONE)
        say(LOG_INFO, "seen link=%s at=%s", d->uplinks[link].node.name, endpoint_format(place, text));
    host_refresh(d, clock_now());
    daemon_turn(&d->workers[0], clock_now());
}

struct endpoint attach_seen(const struct daemon *d, unsigned link)
{
    return d->attach ? d->attach->seen[link] : (struct endpoint){ .port = 0 };
}

bool attach_is_manager(const struct daemon *d, const struct endpoint *from)
{
    for (size_t i = 0; d->attach && i < d->attach->at_count; i++)
        if (endpoint_equal(&d->attach->at[i], from))
            return true;
    return false;
}

static void send_beside(void *ctx, const struct locator_pair *at, const uint8_t *data, size_t len)
{
    outside_send_beside(ctx, at, data, len);
}

static void on_called(void *ctx, const struct tag *caller, const struct endpoint *places, size_t count,
                      const struct mapping_relay *relay)
{
    host_on_called(ctx, caller, places, count, relay);
}

int attach_start(struct daemon *d, const struct slice *links, size_t count, const struct tag *self)
{
    const struct rng rng = sys_rng();
    struct record_error e;
    struct record_bytes b;
    struct record realm;
    struct attach *a;

    if (count < 2 || !names_lookup(d))
        return 0;
    if (record_decode(links[count - 2].data, links[count - 2].len, &realm, &b, &e) < 0)
        return 0; /* it was verified: cannot be */
    a = d->attach = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->d = d;
    a->realm = realm.subject;
    a->of_root = count == 2;
    memcpy(a->realm_key, realm.key, sizeof(a->realm_key));
    holder_init(&a->holder, d->config->identity.ed25519_seed, self, self, KIND_HOST_LOCATOR,
                (uint8_t)(CLASS_AGENT + d->config->names.answer), HOLDER_LEASE_S, (uint32_t)MAX(clock_wall_s(), 1),
                (uint32_t)rng_u64(&rng));
    lookup_set_host(names_lookup(d), &(struct lookup_host){ d, send_beside, on_seen, on_called });
    look(a, clock_now());
    return 0;
}

void attach_where(struct daemon *d, const struct endpoint *at, size_t count, size_t near, instant now)
{
    struct record_target targets[NODE_ENDPOINTS_MAX] = { 0 };

    if (!d->attach)
        return;
    for (size_t i = 0; i < count; i++)
        targets[i] = (struct record_target){ .is_locator = true, .locator = at[i], .priority = i >= near };
    if (holder_set_targets(&d->attach->holder, targets, count, now) < 0)
        say(LOG_ERR, "attach: this host's addresses make no binding");
    lookup_wake(names_lookup(d));
}

void attach_slow(struct daemon *d, instant now)
{
    struct attach *a = d->attach;

    if (!a)
        return;
    if (a->holder.state != a->told) {
        a->told = a->holder.state;
        say(a->told == HOLDER_REGISTERED ? LOG_NOTICE : LOG_WARNING, "attach state=%s", holder_state_name(a->told));
    }
    if (now >= a->look_at && a->holder.state != HOLDER_REGISTERED)
        look(a, now);
}

void attach_stop(struct daemon *d)
{
    if (!d->attach)
        return;
    /* Said once; who does not hear it hears no refreshes any more. */
    if (holder_set_targets(&d->attach->holder, NULL, 0, clock_now()) == 0)
        lookup_wake(names_lookup(d));
    lookup_unhold(names_lookup(d), &d->attach->holder);
    holder_deinit(&d->attach->holder);
    free(d->attach);
    d->attach = NULL;
}
