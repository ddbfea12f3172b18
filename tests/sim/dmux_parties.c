/* tests/sim/dmux_parties.c - see dmux_parties.h. */
#include "tests/sim/dmux_parties.h"

#include <stdio.h>

struct party parties[PARTIES];
uint64_t next_until;
unsigned next_borders;
static struct mesh_options mesh;
static struct federation_options federation;
static struct federation_realm realms[PARTIES][PARTIES];
static struct federation_border borders[PARTIES][PARTIES * EACH];

void parties_begin(void)
{
    const struct rng rng = prng_rng(&prng);
    const uint32_t services[PARTIES] = { SERVICE, 0xc6120001, 0xc6130001 };

    world_begin();
    next_borders = 1;
    next_until = 0;
    for (unsigned i = 0; i < PARTIES; i++) {
        struct party *p = &parties[i];
        char leaf[32];

        memset(p, 0, sizeof(*p));
        p->name[0] = (char)('a' + i);
        snprintf(p->realm, sizeof(p->realm), "%c.example", 'a' + i);
        assert_int_equal(identity_generate(&p->root, &rng), 0);
        assert_int_equal(identity_generate(&p->provider, &rng), 0);
        for (unsigned k = 1; k <= EACH; k++)
            assert_int_equal(identity_generate(&p->ids[k], &rng), 0);
        p->service = services[i];
        p->authority = (struct authority){ .provider_first = 200 + 100 * i,
                                           .provider_last = 299 + 100 * i,
                                           .protocols = { DMUX_IPV6 },
                                           .protocols_count = 1 };
        memcpy(p->authority.root, p->root.ed25519, 32);
        snprintf(p->authority.realm, sizeof(p->authority.realm), "%s", p->realm);
        snprintf(leaf, sizeof(leaf), "dmux-provider-%u", p->authority.provider_first);
        p->chain = chain_kept(&p->root, p->realm, &p->provider, leaf, 0);
    }
}

unsigned gateway_of(unsigned party, uint32_t id, unsigned with)
{
    struct party *p = &parties[party];
    char leaf[32];

    snprintf(leaf, sizeof(leaf), "dmux-gateway-%u", id);
    memset(&mesh, 0, sizeof(mesh));
    mesh.identity = &p->ids[id];
    mesh.chain = chain_kept(&p->root, p->realm, &p->ids[id], leaf, next_until);
    memcpy(mesh.root, p->root.ed25519, 32);
    snprintf(mesh.realm, sizeof(mesh.realm), "%s", p->realm);
    memset(&federation, 0, sizeof(federation));
    federation.realms = realms[party];
    federation.borders = borders[party];
    for (unsigned i = 0; i < PARTIES; i++) {
        if (!(with >> i & 1))
            continue;
        next_service = parties[i].service;
        realms[party][federation.realms_count] =
            (struct federation_realm){ .authority = parties[i].authority,
                                       .prefix = { .addr = addr_v4(next_service & 0xffffff00), .len = 24 } };
        memcpy(realms[party][federation.realms_count].name, parties[i].name, 2);
        for (unsigned k = 1; k <= next_borders; k++) {
            struct federation_border *e = &borders[party][federation.borders_count++];

            *e = (struct federation_border){ .realm = federation.realms_count, .at = at(gateway_addr(k), DMUX_PORT) };
            memcpy(e->x25519, parties[i].ids[k].x25519, 32);
        }
        federation.realms_count++;
    }
    next_service = p->service;
    if (id != 1) {
        mesh.seeds_count = 1;
        mesh.seeds[0].at = at(gateway_addr(1), DMUX_PORT);
        memcpy(mesh.seeds[0].x25519, p->ids[1].x25519, 32);
    }
    next_mesh = &mesh;
    next_federation = with ? &federation : NULL;
    next_authority = &p->authority;
    return gateway_at(id);
}

unsigned router_of(unsigned party, uint32_t addr, unsigned gateway)
{
    struct party *p = &parties[party];
    uint32_t registrar = hosts[gateway].addr;

    next_chain = p->chain;
    return router_with(addr, &registrar, 1, p->authority.provider_first, &p->provider, gateway);
}

unsigned client_of(unsigned party, uint32_t addr, unsigned gateway, uint32_t provider)
{
    next_service = parties[party].service;
    next_wanted = provider;
    return client_at(addr, gateway);
}

const struct federation *federation_at(unsigned gateway)
{
    return gateway_federation(hosts[gateway].gateway);
}

struct federation_realm_info realm_at(unsigned gateway, size_t i)
{
    struct federation_realm_info ret;

    assert_true(federation_realm_info(federation_at(gateway), i, &ret));
    return ret;
}

const struct gateway_stats *stats(unsigned gateway)
{
    return gateway_stats_get(hosts[gateway].gateway);
}

uint32_t serves(unsigned gateway, uint32_t provider)
{
    const struct registration *r =
        registry_select(gateway_registry(hosts[gateway].gateway), DMUX_IPV6, provider, 0xc6336407);

    return r ? r->addr : 0;
}

size_t askers_of(unsigned gateway)
{
    struct federation_stats s;

    federation_stats_get(federation_at(gateway), &s);
    return s.askers;
}

void there_and_back(unsigned client, unsigned router)
{
    uint8_t packet[48], out[200];
    struct dmux_tx tx;
    struct endpoint self = at(hosts[router].addr, 1);
    struct client_info info = info_of(client);
    unsigned by = 0;

    assert_true(client_sends(client, &by));
    assert_int_equal(by, router);
    packet_make(packet, &server, &info.address);
    assert_true(router_on_packet(hosts[router].router, packet, 48, now, out, &tx));
    post(router, &self, &tx.to, out, tx.len);
    hosts[client].last_len = 0;
    world_run(4 * DELAY);
    assert_int_equal(hosts[client].last_len, 48);
    assert_memory_equal(hosts[client].last, packet, 48);
}

void tells_of(unsigned gateway, const struct mesh_member *others, size_t count)
{
    federation_set_others((struct federation *)(uintptr_t)federation_at(gateway), others, count);
}
