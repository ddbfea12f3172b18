/* sim/world_nat.c - the NAT of an uplink: see world_internal.h, and world_nat in world.h. */
#include "sim/world_internal.h"

static bool is_of(const struct world_uplink *u, const struct world_mapping *m, const struct endpoint *remote)
{
    return u->nat_kind == WORLD_NAT_CONE || endpoint_equal(&m->remote, remote);
}

struct world_mapping *world_nat_out(struct world_uplink *u, const struct endpoint *remote)
{
    struct world *w = u->end->world;
    struct world_mapping *oldest = &u->mappings[0];
    uint16_t port = 0;

    for (unsigned i = 0; i < WORLD_NAT_MAPPINGS; i++) {
        struct world_mapping *m = &u->mappings[i];

        if (m->used && w->now - m->last > u->nat_timeout)
            m->used = false;
        if (m->used && is_of(u, m, remote)) {
            m->last = w->now;
            return m;
        }
        if (m->used && u->nat_kind == WORLD_NAT_RESTRICTED)
            port = m->port;
        if (!m->used || (oldest->used && m->last < oldest->last))
            oldest = m->used || oldest->used ? m : oldest;
    }
    if (port == 0)
        port = u->next_port++;
    *oldest = (struct world_mapping){ .used = true, .remote = *remote, .port = port, .last = w->now };
    return oldest;
}

bool world_nat_in(struct world_uplink *u, struct world_packet *p)
{
    struct world *w = u->end->world;

    for (unsigned i = 0; i < WORLD_NAT_MAPPINGS; i++) {
        struct world_mapping *m = &u->mappings[i];

        if (!m->used || m->port != p->dst.port || w->now - m->last > u->nat_timeout || !is_of(u, m, &p->src))
            continue;
        m->last = w->now;
        p->dst = u->inside[0];
        return true;
    }
    return false;
}

void world_nat(struct world_uplink *u, enum world_nat_kind kind, span timeout)
{
    u->nat = true;
    u->nat_kind = kind;
    u->nat_timeout = timeout;
    u->place[0].port = 0;
    if (u->next_port == 0)
        u->next_port = 1024;
}

struct endpoint world_seen_at(struct world_uplink *u, const struct endpoint *remote)
{
    struct endpoint e = u->public_at[0];

    if (u->nat)
        e.port = world_nat_out(u, remote)->port;
    return e;
}

void world_nat_rebind(struct world_uplink *u)
{
    memset(u->mappings, 0, sizeof(u->mappings));
}
