/* dmux/gateway.c - see gateway.h.
 *
 * Theory of operation. A client's packet: its cookie shows its address (else it is a stranger's: limits.h); the
 * registry says which router; out goes the same packet behind a shim that says whose it is (A) and has a ticket (K): a
 * mac over client, router and gateway. What a router sends back must have that ticket, so that nobody who writes a
 * router's address as his source reflects anything: the gateway needs no memory of flows, and an answer finds its way
 * through the gateway that the question came through, also when anycast has moved on.
 *
 * Control: a HELLO is answered by a cookie and costs no state. REGISTER needs that cookie, comes from the address that
 * it registers, and is signed by the provider for this gateway; the two ends' X25519 keys give the key of all that
 * follows. A KEEPALIVE is answered by a nonce, and only the nonce's return counts: it shows that the router is at its
 * address and how far away. An answer is never longer than what it answers (wire/dmux.h).
 *
 * Limits: registry.h, limits.h. Outer addresses are IPv4.
 * Sources: RFC 9000 section 8.1 (amplification), RFC 2439 (damping), RFC 7526 (why anycast must say who serves). */
#include "dmux/gateway_internal.h"
#include "dmux/link.h"
#include "dmux/mac.h"
#include "ident/hash.h"
#include "ident/keys.h"

#define PLACED_ERROR .5         /* chosen: from then on a coordinate is about right */
#define PLACED_AFTER (60 * SEC) /* chosen: or there is nobody to learn it from */
#define PLACED_EVERY (10 * SEC) /* chosen */
#define OTHERS_EVERY (5 * SEC)  /* chosen: below what a border waits before it tells of others again */

static struct mesh *mesh_begin(struct gateway *g, const struct gateway_options *o, instant now)
{
    struct mesh_options m = *o->mesh;
    struct mesh *mesh;

    m.id = o->id;
    m.unicast = o->unicast;
    m.directory = g->directory;
    memcpy(m.secret, o->secret, sizeof(m.secret));
    mesh = mesh_new(&m, &o->rng, g->registry, g->credentials, now);
    ident_wipe(m.secret, sizeof(m.secret));
    return mesh;
}

static struct directory *directory_begin(const struct gateway_options *o, instant now)
{
    struct directory_options d = *o->directory;
    struct directory *ret;

    d.self.gateway = o->id;
    d.self.at = o->unicast;
    memcpy(d.self.x25519, o->mesh->identity->x25519, IDENT_KEY_LEN);
    memcpy(d.ed25519_seed, o->mesh->identity->ed25519_seed, IDENT_KEY_LEN);
    d.rng = o->rng;
    ret = directory_new(&d, now);
    ident_wipe(d.ed25519_seed, sizeof(d.ed25519_seed));
    return ret;
}

static struct federation *federation_begin(struct gateway *g, const struct gateway_options *o, instant now)
{
    struct federation_options f = *o->federation;

    f.id = o->id;
    f.prefix = o->prefix;
    f.unicast = o->unicast;
    f.identity = o->mesh->identity;
    f.chain = o->mesh->chain;
    f.rng = o->rng;
    return federation_new(&f, g->registry, g->credentials, &g->jar, g->directory, now);
}

struct gateway *gateway_new(const struct gateway_options *o, uint32_t wall_s, instant now)
{
    struct gateway *g = calloc(1, sizeof(*g));
    uint8_t seed[32];

    if (!g)
        return NULL;
    rng_fill(&o->rng, seed, sizeof(seed));
    g->o = *o;
    g->service = get_be32(o->service.addr.bytes);
    g->unicast = get_be32(o->unicast.addr.bytes);
    jar_init(&g->jar, o->secret, wall_s);
    ident_wipe(g->o.secret, sizeof(g->o.secret));
    g->registry = registry_new(MIN(o->registrations_max, (size_t)REGISTRY_MAX), seed);
    g->limits = limits_new(o->network_pps, seed + 16);
    g->credentials = credentials_new(o->providers, o->providers_count, o->authorities, o->authorities_count, &o->rng);
    g->began = now;
    if (o->mesh && o->directory)
        g->directory = directory_begin(o, now);
    if (g->registry && g->credentials && o->mesh && (!o->directory || g->directory))
        g->mesh = mesh_begin(g, o, now);
    if (o->mesh && g->mesh && o->federation)
        g->federation = federation_begin(g, o, now);
    if (!g->registry || !g->limits || !g->credentials || (o->mesh && !g->mesh) || (o->federation && !g->federation)) {
        gateway_free(g);
        return NULL;
    }
    return g;
}

void gateway_free(struct gateway *g)
{
    if (!g)
        return;
    federation_free(g->federation);
    mesh_free(g->mesh); /* which watches the registry, and tells the directory */
    directory_free(g->directory);
    registry_free(g->registry);
    limits_free(g->limits);
    credentials_free(g->credentials);
    ident_wipe(&g->jar, sizeof(g->jar));
    free(g);
}

void gateway_set_wall(struct gateway *g, uint32_t wall_s)
{
    jar_set_time(&g->jar, wall_s);
}

bool gateway_address_allowed(const struct gateway *g, const struct endpoint *e)
{
    uint32_t addr = get_be32(e->addr.bytes);

    return e->port != 0 && shim_is_host(addr) && addr != g->service && addr != g->unicast &&
           !prefix_contains(&g->o.prefix, &e->addr);
}

struct registration *gateway_router(const struct gateway *g, const struct arrival *a, uint16_t protocol,
                                    uint32_t provider)
{
    struct registration *r = registry_find(g->registry, protocol, provider, a->addr, a->from->port);

    return r && r->realm == 0 ? r : NULL;
}

static bool cookie_holds(const struct gateway *g, const struct arrival *a, const uint8_t *cookie)
{
    struct shim_claim c = { .kind = SHIM_COOKIE_CLIENT, .client = a->addr, .client_port = a->from->port };

    return jar_check(&g->jar, &c, cookie, GATEWAY_COOKIE_S);
}

/* --- what others have --- */

void gateway_look_for(struct gateway *g, const struct arrival *a, uint16_t protocol, uint32_t provider)
{
    if (g->directory && protocol != 0 && directory_want(g->directory, protocol, provider, a->addr, a->now) < 0)
        g->stats.unwanted++;
}

/* No own router has it: the directory is to look for it, and borders are told that it is wanted. r: the border that
 * serves now; NULL: none. */
static void look_everywhere(struct gateway *g, const struct arrival *a, uint16_t protocol, uint32_t provider,
                            const struct registration *r)
{
    gateway_look_for(g, a, protocol, provider);
    /* a client says each few seconds that it still wants it, whichever way its packets take */
    if (g->federation && (!r || a->shim.flags & SHIM_CONTROL))
        federation_want(g->federation, protocol, r ? r->provider : provider, a->addr, a->now);
}

static int by_distance(const void *a, const void *b)
{
    const struct mesh_peer_info *x = a, *y = b;
    uint32_t x_us = x->rtt_us > 0 ? x->rtt_us : UINT32_MAX, y_us = y->rtt_us > 0 ? y->rtt_us : UINT32_MAX;

    return (x_us > y_us) - (x_us < y_us);
}

/* Of whom others are told: peers whose link is up. Whether they have [Federation], who tries them finds out. */
static void tell_others(struct gateway *g)
{
    struct mesh_peer_info peers[MESH_PEERS_MAX];
    struct mesh_member others[FEDERATION_KNOWN_MAX];
    size_t count = 0;

    for (size_t i = 0; i < MESH_PEERS_MAX && mesh_peer_info(g->mesh, i, &peers[count]); i++)
        count += peers[count].up;
    qsort(peers, count, sizeof(*peers), by_distance);
    count = MIN(count, ARRAY_LEN(others));
    for (size_t i = 0; i < count; i++) {
        others[i] = (struct mesh_member){ .gateway = peers[i].gateway, .at = peers[i].at };
        memcpy(others[i].x25519, peers[i].x25519, sizeof(others[i].x25519));
    }
    federation_set_others(g->federation, others, count);
}

/* Where this gateway is, once that is about right. */
static void tend(struct gateway *g, instant now)
{
    const struct coord *at = mesh_coord_get(g->mesh);

    if (now >= g->place_at) {
        bool good = at->error < PLACED_ERROR || now - g->began >= PLACED_AFTER ||
                    !mesh_peer_info(g->mesh, 0, &(struct mesh_peer_info){ 0 });

        if (good)
            directory_set_place(g->directory, at, now);
        g->place_at = now + (good ? PLACED_EVERY : SEC);
    }
    directory_on_expiry(g->directory, now);
}

static instant tend_next(const struct gateway *g)
{
    return instant_min(directory_next_expiry(g->directory), g->place_at);
}

struct directory *gateway_directory(struct gateway *g)
{
    return g->directory;
}

bool gateway_pop_question(struct gateway *g, struct directory_event *ret, uint8_t *out, instant now)
{
    while (g->directory && directory_pop_event(g->directory, ret, out, now)) {
        if (ret->type == DIRECTORY_ASK || ret->type == DIRECTORY_TELL)
            return true;
        if (ret->type == DIRECTORY_UNLINK)
            mesh_unlink(g->mesh, ret->peer.gateway);
        else if (!mesh_link(g->mesh, &ret->peer, now))
            directory_on_no_room(g->directory, ret->peer.gateway);
    }
    return false;
}

/* --- packets --- */

static bool forward_to_router(struct gateway *g, const struct arrival *a)
{
    const uint8_t *packet = a->data + a->shim.len;
    size_t packet_len = a->len - a->shim.len;
    uint8_t flags = SHIM_CLIENT | SHIM_COOKIE | (a->shim.flags & SHIM_WORD), *at = a->out + SHIM_LEN;
    struct shim_claim c = {
        .kind = SHIM_COOKIE_UNVERIFIED, .client = a->addr, .client_port = a->from->port, .gateway = g->o.id
    };
    struct registration *r;

    if (a->shim.flags & SHIM_VERIFIED)
        return gateway_drop(g, GATEWAY_DROP_CLIENT);
    if (packet_len == 0)
        return gateway_drop(g, GATEWAY_DROP_EMPTY);
    if (!gateway_address_allowed(g, a->from))
        return gateway_drop(g, GATEWAY_DROP_SOURCE);
    if (a->shim.cookie_at && cookie_holds(g, a, a->data + a->shim.cookie_at)) {
        c.kind = SHIM_COOKIE_VERIFIED;
        flags |= SHIM_VERIFIED;
        if (!limits_verified(g->limits, a->addr, a->now))
            return gateway_drop(g, GATEWAY_DROP_RATE);
    } else if (!limits_unverified(g->limits, a->addr, a->len, a->now)) {
        return gateway_drop(g, GATEWAY_DROP_UNVERIFIED);
    }
    r = registry_select(g->registry, a->shim.protocol, a->shim.provider, a->addr);
    if ((!r || r->realm != 0) && flags & SHIM_VERIFIED)
        look_everywhere(g, a, a->shim.protocol, a->shim.provider, r);
    if (!r)
        return gateway_drop(g, GATEWAY_DROP_NO_ROUTER);
    if (r->realm != 0 && !(flags & SHIM_VERIFIED)) /* who vouches for it to others must know */
        return gateway_drop(g, GATEWAY_DROP_UNVERIFIED);
    if (r->realm == 0 && !credentials_may(g->credentials, r->provider, a->now))
        return gateway_drop(g, GATEWAY_DROP_RATE);
    flags |= r->realm != 0 ? SHIM_HOME : 0;
    c.router = r->addr;
    c.router_port = r->port;
    a->tx->len = shim_put(a->out, flags, a->shim.protocol, r->provider) + packet_len;
    jar_mint(&g->jar, &c, at);
    put_be32(at + 12, a->addr);
    put_be16(at + 16, a->from->port);
    at[18] = 0;
    at[19] = GATEWAY_HOPS;
    at += SHIM_COOKIE_LEN + SHIM_CLIENT_LEN;
    if (r->realm != 0) {
        gateway_put_home(g, r, at);
        at += SHIM_HOME_LEN;
        g->stats.to_border_pkts++;
    }
    memcpy(at, packet, packet_len);
    a->tx->to = endpoint_of(r->addr, r->port);
    a->tx->from_service = false;
    r->pkts++;
    r->bytes += packet_len;
    g->stats.to_router_pkts++;
    g->stats.to_router_bytes += packet_len;
    return true;
}

static bool forward_to_client(struct gateway *g, const struct arrival *a)
{
    const uint8_t *packet = a->data + a->shim.len, *client = a->data + a->shim.client_at;
    size_t packet_len = a->len - a->shim.len;
    bool verified = a->shim.flags & SHIM_VERIFIED;
    struct shim_claim c = { .kind = verified ? SHIM_COOKIE_VERIFIED : SHIM_COOKIE_UNVERIFIED,
                            .client = get_be32(client),
                            .client_port = get_be16(client + 4),
                            .router = a->addr,
                            .router_port = a->from->port,
                            .gateway = g->o.id };
    const struct registration *r =
        registry_find(g->registry, a->shim.protocol, a->shim.provider, a->addr, a->from->port);
    uint8_t *at;

    if (!r || r->state != REGISTRATION_PROVED)
        return gateway_drop(g, GATEWAY_DROP_CLIENT);
    if (client[7] == 0)
        return gateway_drop(g, GATEWAY_DROP_HOPS);
    if (packet_len == 0)
        return gateway_drop(g, GATEWAY_DROP_EMPTY);
    if (!a->shim.cookie_at || !jar_check(&g->jar, &c, a->data + a->shim.cookie_at, GATEWAY_TICKET_S))
        return gateway_drop(g, GATEWAY_DROP_TICKET);
    a->tx->len = SHIM_LEN + packet_len;
    if (!verified && !limits_answer(g->limits, c.client, a->tx->len, a->now))
        return gateway_drop(g, GATEWAY_DROP_AMPLIFIED);
    at = a->out + SHIM_LEN;
    shim_put(a->out, a->shim.flags & SHIM_WORD, a->shim.protocol, a->shim.provider);
    memcpy(at, packet, packet_len);
    a->tx->to = endpoint_of(c.client, c.client_port);
    a->tx->from_service = true;
    g->stats.to_client_pkts++;
    g->stats.to_client_bytes += packet_len;
    return true;
}

/* --- control --- */

/* From where it was asked. */
static bool answer(struct gateway *g, const struct arrival *a, size_t len)
{
    a->tx->len = len;
    a->tx->to = *a->from;
    a->tx->from_service = a->at_service;
    g->stats.answered++;
    return true;
}

static bool on_hello(struct gateway *g, const struct arrival *a, const struct dmux_message *m)
{
    struct shim_claim c = { .kind = SHIM_COOKIE_CLIENT, .client = a->addr, .client_port = a->from->port };
    struct dmux_message reply = { .type = DMUX_CHALLENGE,
                                  .protocol = m->protocol,
                                  .provider = m->provider,
                                  .nonce = m->nonce,
                                  .gateway = g->o.id,
                                  .unicast = g->o.unicast,
                                  .you = *a->from };

    if (!gateway_address_allowed(g, a->from))
        return gateway_drop(g, GATEWAY_DROP_SOURCE);
    /* a router that is registered is asked for by name, and its own network's budget is all that others may spend */
    if (!(gateway_router(g, a, m->protocol, m->provider) ? limits_shown(g->limits, a->addr, a->now)
                                                         : limits_unverified(g->limits, a->addr, 0, a->now)))
        return gateway_drop(g, GATEWAY_DROP_UNVERIFIED);
    jar_mint(&g->jar, &c, reply.cookie);
    return answer(g, a, dmux_write(&reply, a->out, DMUX_MESSAGE_MAX));
}

static bool refuse(struct gateway *g, const struct arrival *a, const struct dmux_message *m, unsigned refusal,
                   uint16_t wait_s)
{
    struct dmux_message reply = { .type = DMUX_NAK,
                                  .protocol = m->protocol,
                                  .provider = m->provider,
                                  .nonce = m->nonce,
                                  .gateway = g->o.id,
                                  .refusal = (uint8_t)refusal,
                                  .wait_s = wait_s };

    g->stats.refused[refusal]++;
    return answer(g, a, dmux_write(&reply, a->out, DMUX_MESSAGE_MAX));
}

/* Does the key speak for the provider? By what is known, or by the certificate that came along: it may be a newer one.
 */
static bool provider_speaks(struct gateway *g, const struct dmux_message *m, uint64_t *ret_until_s)
{
    int r;

    if (m->provider == PROVIDER_ANY || m->protocol == 0)
        return false;
    r = credentials_check(g->credentials, m->provider, m->protocol, m->key, g->jar.wall_s, ret_until_s);
    if (m->chain_len > 0 && (r < 0 || *ret_until_s != 0) &&
        credentials_learn(g->credentials, m->key, m->chain, m->chain_len, g->jar.wall_s) == 0)
        r = credentials_check(g->credentials, m->provider, m->protocol, m->key, g->jar.wall_s, ret_until_s);
    return r == 0;
}

/* The key of the registration, and this end's half of it. */
static int agree(struct gateway *g, const struct dmux_message *m, uint8_t ret_dh[DMUX_KEY_LEN],
                 uint8_t ret_key[DMUX_KEY_LEN])
{
    uint8_t priv[DMUX_KEY_LEN], shared[DMUX_KEY_LEN];
    int r;

    rng_fill(&g->o.rng, priv, sizeof(priv));
    r = x25519_public(priv, ret_dh);
    if (r == 0)
        r = x25519_shared(priv, ret_dh, m->dh, shared);
    if (r == 0)
        dmux_registration_key(shared, m, ret_dh, ret_key);
    ident_wipe(priv, sizeof(priv));
    ident_wipe(shared, sizeof(shared));
    return r;
}

static bool on_register(struct gateway *g, const struct arrival *a, const struct dmux_message *m)
{
    struct dmux_message reply = {
        .type = DMUX_ACK, .protocol = m->protocol, .provider = m->provider, .nonce = m->nonce, .gateway = g->o.id
    };
    struct registration claim = { .protocol = m->protocol,
                                  .provider = m->provider,
                                  .addr = a->addr,
                                  .port = a->from->port,
                                  .weight = m->weight },
                        *r;
    struct mesh_proof proof = { .nonce = m->nonce, .weight = m->weight };
    size_t signed_len = dmux_signed_len(a->data, a->len);
    uint16_t wait_s = 0;
    int refusal;

    if (m->gateway != g->o.id || !cookie_holds(g, a, m->cookie))
        return limits_unverified(g->limits, a->addr, 0, a->now) ? refuse(g, a, m, DMUX_REFUSED_COOKIE, 0)
                                                                : gateway_drop(g, GATEWAY_DROP_UNVERIFIED);
    if (!limits_shown(g->limits, a->addr, a->now)) /* signatures cost */
        return gateway_drop(g, GATEWAY_DROP_RATE);
    if (!endpoint_equal(&m->you, a->from) || !gateway_address_allowed(g, a->from) ||
        (g->mesh && mesh_is_member(g->mesh, a->addr)) ||
        (g->federation && federation_is_member(g->federation, a->addr)))
        return refuse(g, a, m, DMUX_REFUSED_ADDRESS, 0);
    if (!provider_speaks(g, m, &claim.until_s))
        return refuse(g, a, m, DMUX_REFUSED_PROVIDER, 0);
    if (ed25519_verify(m->key, a->data, signed_len, m->signature) < 0 || agree(g, m, reply.dh, claim.key) < 0)
        return refuse(g, a, m, DMUX_REFUSED_SIGNATURE, 0);
    memcpy(proof.cookie, m->cookie, sizeof(proof.cookie));
    memcpy(proof.dh, m->dh, sizeof(proof.dh));
    memcpy(proof.key, m->key, sizeof(proof.key));
    memcpy(proof.signature, m->signature, sizeof(proof.signature));
    refusal = registry_claim(g->registry, &claim, a->now, &r, &wait_s);
    if (refusal == 0 && registry_set_proof(g->registry, r, &proof) < 0)
        refusal = DMUX_REFUSED_FULL;
    if (refusal != 0) {
        refuse(g, a, m, (unsigned)refusal, wait_s);
    } else {
        g->stats.registered++;
        answer(g, a, dmux_write_sealed(&reply, claim.key, a->out, DMUX_MESSAGE_MAX));
    }
    ident_wipe(claim.key, sizeof(claim.key));
    return true;
}

/* The registration that a sealed message belongs to; NULL after a count, or after *ret_answered. */
static struct registration *authentic(struct gateway *g, const struct arrival *a, const struct dmux_message *m)
{
    struct registration *r = gateway_router(g, a, m->protocol, m->provider);
    bool fresh;

    if (!r)
        return NULL;
    fresh = r->fresh_key && dmux_mac_holds(a->data, a->len, r->fresh_key);
    if (!fresh && !dmux_mac_holds(a->data, a->len, r->key)) {
        gateway_drop(g, GATEWAY_DROP_MAC);
        return NULL;
    }
    if (fresh)
        registry_take_key(g->registry, r);
    if (m->type != DMUX_PROOF) { /* which has the nonce */
        if (m->seq <= r->seq) {
            gateway_drop(g, GATEWAY_DROP_REPLAY);
            return NULL;
        }
        r->seq = m->seq;
    }
    return r;
}

static bool on_keepalive(struct gateway *g, const struct arrival *a, const struct dmux_message *m)
{
    struct dmux_message reply = {
        .type = DMUX_CHECK, .protocol = m->protocol, .provider = m->provider, .gateway = g->o.id, .seq = m->seq
    };
    struct registration *r = authentic(g, a, m);

    if (!r)
        return false;
    if (r->until_s != 0 && g->jar.wall_s > r->until_s) { /* its certificate has ended: it comes back with another */
        registry_withdraw(g->registry, r, a->now);
        return refuse(g, a, m, DMUX_REFUSED_UNKNOWN, 0);
    }
    registry_set_load(r, m->weight, m->load);
    r->nonce = rng_nonzero(&g->o.rng);
    r->nonce_at = a->now;
    reply.nonce = r->nonce;
    return answer(g, a, dmux_write_sealed(&reply, r->key, a->out, DMUX_MESSAGE_MAX));
}

static bool on_sealed(struct gateway *g, const struct arrival *a, const struct dmux_message *m)
{
    struct registration *r;

    if (m->gateway != g->o.id)
        return gateway_drop(g, GATEWAY_DROP_CONTROL);
    if (!gateway_router(g, a, m->protocol, m->provider)) {
        if (!limits_unverified(g->limits, a->addr, 0, a->now))
            return gateway_drop(g, GATEWAY_DROP_UNVERIFIED);
        return refuse(g, a, m, DMUX_REFUSED_UNKNOWN, 0);
    }
    if (m->type == DMUX_KEEPALIVE)
        return on_keepalive(g, a, m);
    r = authentic(g, a, m);
    if (!r)
        return false;
    if (m->type == DMUX_WITHDRAW) {
        registry_withdraw(g->registry, r, a->now);
        return refuse(g, a, m, DMUX_REFUSED_WITHDRAWN, 0);
    }
    if (r->nonce == 0 || m->nonce != r->nonce)
        return gateway_drop(g, GATEWAY_DROP_REPLAY);
    registry_prove(g->registry, r, a->now - r->nonce_at, a->now);
    return false;
}

static bool on_echo(struct gateway *g, const struct arrival *a, const struct dmux_message *m)
{
    struct dmux_message reply = { .type = DMUX_ECHO_REPLY,
                                  .protocol = m->protocol,
                                  .provider = m->provider,
                                  .nonce = m->nonce,
                                  .gateway = g->o.id,
                                  .unicast = g->o.unicast };
    const struct registration *r;

    if (!cookie_holds(g, a, m->cookie))
        return gateway_drop(g, GATEWAY_DROP_COOKIE);
    if (!limits_verified(g->limits, a->addr, a->now))
        return gateway_drop(g, GATEWAY_DROP_RATE);
    r = registry_select(g->registry, m->protocol, m->provider, a->addr);
    if (r) {
        reply.provider = r->provider;
        reply.router = endpoint_of(r->addr, r->port);
        reply.rtt_us = r->rtt_us;
        reply.prefix = r->realm == 0 ? g->o.prefix : federation_realm_of(g->federation, r->realm)->prefix;
        if (g->directory && r->realm == 0 && r->origin != 0) /* whichever way its packets take (DataPath) */
            directory_keep(g->directory, r->protocol, r->provider, r->origin, a->now);
    } else {
        reply.refusal = DMUX_REFUSED_NO_ROUTER;
    }
    if (!r || r->realm != 0)
        look_everywhere(g, a, m->protocol, m->provider, r);
    return answer(g, a, dmux_write(&reply, a->out, DMUX_MESSAGE_MAX));
}

/* What gateways say to each other. */
static bool on_link(struct gateway *g, const struct arrival *a)
{
    uint8_t type = a->data[SHIM_LEN];
    bool federated = type >= DMUX_FEDERATION_INIT;

    if (federated ? !g->federation : !g->mesh)
        return gateway_drop(g, GATEWAY_DROP_CONTROL);
    if (type == DMUX_MESH_INIT || type == DMUX_FEDERATION_INIT) {
        const uint8_t *cookie = link_cookie_of(a->data, a->len);

        if (!cookie || !cookie_holds(g, a, cookie))
            return gateway_drop(g, GATEWAY_DROP_COOKIE);
        if (!limits_shown(g->limits, a->addr, a->now)) /* keys and signatures cost */
            return gateway_drop(g, GATEWAY_DROP_RATE);
    }
    if (federated)
        federation_on_datagram(g->federation, a->data, a->len, a->from, g->jar.wall_s, a->now);
    else
        mesh_on_datagram(g->mesh, a->data, a->len, a->from, g->jar.wall_s, a->now);
    return false;
}

static bool on_control(struct gateway *g, const struct arrival *a)
{
    struct dmux_message m;

    if (a->len > DMUX_HEADER_LEN && a->data[SHIM_LEN] >= DMUX_MESH_INIT)
        return on_link(g, a);
    if (dmux_read(&a->shim, a->data, a->len, &m) < 0)
        return gateway_drop(g, GATEWAY_DROP_CONTROL);
    switch (m.type) {
    case DMUX_HELLO:
        return on_hello(g, a, &m);
    case DMUX_REGISTER:
        return on_register(g, a, &m);
    case DMUX_KEEPALIVE:
    case DMUX_PROOF:
    case DMUX_WITHDRAW:
        return on_sealed(g, a, &m);
    case DMUX_ECHO:
        return on_echo(g, a, &m);
    case DMUX_CHALLENGE:
        if (!g->mesh)
            return gateway_drop(g, GATEWAY_DROP_CONTROL);
        mesh_on_challenge(g->mesh, &m, a->from, a->now);
        if (g->federation)
            federation_on_challenge(g->federation, &m, a->from, a->now);
        return false;
    default:
        return gateway_drop(g, GATEWAY_DROP_CONTROL);
    }
}

bool gateway_on_datagram(struct gateway *g, const uint8_t *data, size_t len, const struct endpoint *from,
                         const struct addr *local, instant now, uint8_t *out, struct dmux_tx *tx)
{
    struct arrival a = { .data = data,
                         .len = len,
                         .from = from,
                         .now = now,
                         .out = out,
                         .tx = tx,
                         .at_service = addr_equal(local, &g->o.service.addr) };
    enum shim_fault fault = shim_parse(data, data + len, &a.shim);

    if (fault != SHIM_OK)
        return gateway_drop(g, GATEWAY_DROP_SHIM + (unsigned)fault);
    if (from->addr.family != ADDR_V4)
        return gateway_drop(g, GATEWAY_DROP_FAMILY);
    a.addr = get_be32(from->addr.bytes);
    if (a.shim.flags & SHIM_CONTROL)
        return on_control(g, &a);
    if (a.shim.home_at)
        return gateway_on_home(g, &a);
    if (a.shim.client_at)
        return forward_to_client(g, &a);
    return forward_to_router(g, &a);
}

instant gateway_next_expiry(const struct gateway *g)
{
    instant next = instant_min(registry_next_expiry(g->registry), g->mesh ? mesh_next_expiry(g->mesh) : INSTANT_NEVER);

    if (g->federation)
        next = instant_min(next, instant_min(g->others_at, federation_next_expiry(g->federation)));
    return g->directory ? instant_min(next, tend_next(g)) : next;
}

bool gateway_output(struct gateway *g, uint8_t *out, struct dmux_tx *tx, instant now)
{
    tx->from_service = false;
    return (g->mesh && mesh_output(g->mesh, out, tx, now)) ||
           (g->federation && federation_output(g->federation, out, tx, now));
}

const struct mesh *gateway_mesh(const struct gateway *g)
{
    return g->mesh;
}

const struct federation *gateway_federation(const struct gateway *g)
{
    return g->federation;
}

void gateway_on_expiry(struct gateway *g, instant now)
{
    registry_on_expiry(g->registry, now);
    if (g->mesh)
        mesh_on_expiry(g->mesh, g->jar.wall_s, now);
    if (g->federation && now >= g->others_at) {
        g->others_at = now + OTHERS_EVERY;
        tell_others(g);
    }
    if (g->federation)
        federation_on_expiry(g->federation, g->jar.wall_s, now);
    if (g->directory)
        tend(g, now);
}

const struct gateway_stats *gateway_stats_get(const struct gateway *g)
{
    return &g->stats;
}

const struct registry *gateway_registry(const struct gateway *g)
{
    return g->registry;
}

struct registry *gateway_export(struct gateway *g)
{
    registry_export(g->registry);
    return g->registry;
}

const struct shim_keys *gateway_keys(const struct gateway *g)
{
    return &g->jar.keys;
}

uint32_t gateway_rate(const struct gateway *g, uint32_t provider)
{
    return credentials_rate(g->credentials, provider);
}

const char *gateway_drop_name(unsigned drop)
{
    static const char *const names[GATEWAY_DROP_COUNT] = {
        [SHIM_OK] = "none",
        [SHIM_SHORT] = "short",
        [SHIM_NOT_VERSION_1] = "version",
        [SHIM_BAD_LENGTH] = "length",
        [SHIM_BAD_FLAGS] = "flags",
        [SHIM_BAD_PROTOCOL] = "protocol",
        [SHIM_BAD_PROVIDER] = "provider",
        [GATEWAY_DROP_FAMILY] = "family",
        [GATEWAY_DROP_SOURCE] = "source",
        [GATEWAY_DROP_CLIENT] = "client-field",
        [GATEWAY_DROP_EMPTY] = "empty",
        [GATEWAY_DROP_UNVERIFIED] = "unverified",
        [GATEWAY_DROP_RATE] = "rate",
        [GATEWAY_DROP_NO_ROUTER] = "no-router",
        [GATEWAY_DROP_TICKET] = "ticket",
        [GATEWAY_DROP_HOPS] = "hops",
        [GATEWAY_DROP_AMPLIFIED] = "amplified",
        [GATEWAY_DROP_CONTROL] = "control",
        [GATEWAY_DROP_COOKIE] = "cookie",
        [GATEWAY_DROP_MAC] = "mac",
        [GATEWAY_DROP_REPLAY] = "replay",
        [GATEWAY_DROP_PASS] = "pass",
        [GATEWAY_DROP_TRANSIT] = "transit",
    };

    return drop < GATEWAY_DROP_COUNT ? names[drop] : "?";
}
