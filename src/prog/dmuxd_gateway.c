/* prog/dmuxd_gateway.c - the role of a gateway: its core (dmux/gateway.h) with a device, a watchdog and a status.
 *
 * Theory of operation. No packet passes by the device: it holds the service address and the announced prefix, which
 * BIRD exports as long as it is there. It is opened last, when all else works, and the kernel removes it with this
 * process; for one that hangs the watchdog does, which is told each WATCHDOG_BEAT that it does not. To drain is to take
 * the prefix from the device: BIRD withdraws it, and what still comes is served, since the address stays.
 *
 * What the core sends has one of two sources, the service address or this gateway's own; so the socket is bound to
 * neither, and each train names its own. What it asks managers is dmuxd_managers.c's, and packets that pass in the
 * kernel are dmuxd_xdp.c's, whose tables follow the core's after each wake-up.
 *
 * Links to other gateways are looked at once a second, and what has changed of them is logged (dmuxd_links.h).
 *
 * Limits: a status has the first ROUTERS_SHOWN registrations. */
#include "prog/dmuxd.h"

#include "sys/clock.h"
#include "tunnel/ecn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <syslog.h>

#define ROUTERS_SHOWN 1000 /* chosen: some 200 KB of text, made between two packets */

/* The announced prefix as an address of the device: what BIRD exports. */
static struct tun_addr announced(const struct dmux_config *c)
{
    return (struct tun_addr){ .addr = c->service, .prefix_len = c->prefix.len };
}

static int gateway_start(struct dmuxd *d, instant now)
{
    const struct dmux_config *c = d->config;
    const struct tun_addr addrs[] = { { .addr = c->service, .prefix_len = 32 }, announced(c) };
    struct gateway_options o = {
        .id = c->id,
        .service = { .addr = c->service, .port = c->port },
        .prefix = c->prefix,
        .unicast = { .addr = c->address, .port = c->port },
        .providers = c->providers,
        .providers_count = c->providers_count,
        .authorities = c->authorities,
        .authorities_count = c->authorities_count,
        .registrations_max = c->registrations_max,
        .network_pps = c->network_pps,
        .rng = sys_rng(),
    };
    struct mesh_options mesh = { .identity = &c->identity,
                                 .chain = { c->chain, c->chain_len },
                                 .seeds_count = c->seeds_count };
    const struct federation_options federation = { .realms = c->federations,
                                                   .realms_count = c->federations_count,
                                                   .borders = c->borders,
                                                   .borders_count = c->borders_count };
    struct directory_options directory;
    int r = watchdog_start(&d->watchdog, c->device, false);

    if (r < 0)
        return r;
    memcpy(o.secret, c->secret, sizeof(o.secret));
    memcpy(mesh.root, c->mesh_root, sizeof(mesh.root));
    memcpy(mesh.realm, c->mesh_realm, sizeof(mesh.realm));
    memcpy(mesh.seeds, c->seeds, sizeof(mesh.seeds));
    o.mesh = c->has_mesh ? &mesh : NULL;
    o.federation = c->federations_count > 0 ? &federation : NULL;
    directory = dmuxd_managers_options(d);
    o.directory = c->managers_count > 0 ? &directory : NULL;
    d->gateway = gateway_new(&o, dmuxd_wall_s(), now);
    explicit_bzero(o.secret, sizeof(o.secret));
    if (!d->gateway)
        return -ENOMEM;
    if (c->managers_count > 0 && (r = dmuxd_managers_start(d)) < 0)
        return r;
    r = c->xdp ? dmuxd_xdp_start(d, dmuxd_wall_s()) : 0;
    if (r < 0)
        return r;
    /* Last: from now on packets come. */
    r = dmuxd_device_open(d, addrs, c->prefix.len == 32 ? 1 : 2);
    return r;
}

static void gateway_datagram(struct dmuxd *d, const uint8_t *data, size_t len, const struct udp_rx *rx, instant now)
{
    struct dmux_tx tx;
    uint8_t *out;

    if (len + GATEWAY_GROWS > TRAIN_ROOM) { /* longer than the clients' device lets anything be */
        d->train.refused++;
        return;
    }
    out = train_room(&d->train);
    if (gateway_on_datagram(d->gateway, data, len, &rx->from, &rx->local, now, out, &tx))
        train_add(&d->train, tx.len, &tx.to, tx.from_service ? &d->config->service : &d->config->address,
                  rx->tos & TOS_ECN_MASK);
}

static void gateway_packet(struct dmuxd *d, const uint8_t *packet, size_t len, instant now)
{
    /* For another address of the prefix: there is nobody. */
}

/* When the next beat is due. */
static instant beat(struct dmuxd *d, instant now)
{
    int r;

    if (watchdog_beat(&d->watchdog) == 0)
        return now + WATCHDOG_BEAT;
    watchdog_end(&d->watchdog);
    r = watchdog_start(&d->watchdog, d->config->device, true);
    dmuxd_say(r < 0 ? LOG_ERR : LOG_WARNING, "watchdog-died device=%s: %s", d->config->device,
              r < 0 ? strerror(-r) : "another watches");
    return now + (r < 0 ? SEC : WATCHDOG_BEAT);
}

/* name and what it says of strangers: of the mesh or a realm. asked: who is asked for links. */
static void links_say(struct links_watch *w, bool expected, size_t up, uint64_t strangers, const char *name,
                      const char *who, const char *asked, instant now)
{
    enum links_news news;

    while ((news = links_look(w, expected, up, strangers, now)) != LINKS_NOTHING) {
        if (news == LINKS_STRANGERS)
            dmuxd_say(LOG_WARNING, "%s strangers=%" PRIu64 ": %s, or is not where it says to be", name, strangers, who);
        else if (news == LINKS_NONE)
            dmuxd_say(LOG_WARNING, "%s links=0 asked=%s: nobody answers, or this gateway is a stranger there", name,
                      asked);
        else
            dmuxd_say(LOG_NOTICE, "%s links=%zu", name, up);
    }
}

/* The first few, apart by commas. */
static void asked_add(char *list, size_t size, const struct endpoint *at)
{
    char buf[ENDPOINT_STRLEN];
    size_t len = strlen(list);

    if (len < size - 2 * ENDPOINT_STRLEN)
        snprintf(list + len, size - len, "%s%s", len > 0 ? "," : "", endpoint_format(at, buf));
}

static void follow_mesh(struct dmuxd *d, const struct mesh *m, instant now)
{
    char asked[4 * ENDPOINT_STRLEN] = "";
    struct mesh_peer_info p;
    size_t i, up = 0;

    for (i = 0; mesh_peer_info(m, i, &p); i++) {
        up += p.up;
        if (!p.up)
            asked_add(asked, sizeof(asked), &p.at);
    }
    /* by managers links come and go as services are wanted */
    links_say(&d->mesh_links, i > 0 && !d->lookup, up, mesh_stats_get(m)->drops[MESH_DROP_STRANGER], "mesh",
              "somebody has no certificate of a gateway of this realm", asked, now);
}

static void follow_federation(struct dmuxd *d, const struct federation *f, instant now)
{
    struct federation_realm_info r;
    struct federation_border_info b;
    struct federation_stats s;

    federation_stats_get(f, &s);
    links_say(&d->asker_links, false, 0, s.drops[FEDERATION_DROP_STRANGER], "federation",
              "somebody asks who is no gateway of a [Federation]'s realm", "", now);
    for (size_t i = 0; federation_realm_info(f, i, &r); i++) {
        char asked[4 * ENDPOINT_STRLEN] = "", name[sizeof("federation=") + FEDERATION_NAME_MAX];
        size_t n, up = 0;

        for (n = 0; federation_border_info(f, i, n, &b); n++) {
            up += b.up;
            if (!b.up)
                asked_add(asked, sizeof(asked), &b.at);
        }
        snprintf(name, sizeof(name), "federation=%s", r.realm->name);
        links_say(&d->border_links[i], n > 0, up, r.drops[FEDERATION_DROP_STRANGER], name,
                  "a border has no certificate of a gateway of that realm", asked, now);
    }
}

/* When links are looked at next: what has changed of them is told once. */
static instant follow_links(struct dmuxd *d, instant now)
{
    if (gateway_mesh(d->gateway))
        follow_mesh(d, gateway_mesh(d->gateway), now);
    if (gateway_federation(d->gateway))
        follow_federation(d, gateway_federation(d->gateway), now);
    return now + SEC;
}

static void gateway_turn(struct dmuxd *d, instant now)
{
    struct dmux_tx tx;

    gateway_set_wall(d->gateway, dmuxd_wall_s());
    gateway_on_expiry(d->gateway, now);
    if (d->lookup)
        dmuxd_managers_turn(d, now);
    for (int i = 0; i < TURN_BURST && gateway_output(d->gateway, train_room(&d->train), &tx, now); i++)
        train_add(&d->train, tx.len, &tx.to, &d->config->address, 0);
    if (d->xdp)
        dmuxd_xdp_turn(d, dmuxd_wall_s());
    if (now >= d->beat_at)
        d->beat_at = beat(d, now);
    if (now >= d->links_at)
        d->links_at = follow_links(d, now);
}

static instant gateway_next(const struct dmuxd *d)
{
    return instant_min(gateway_next_expiry(d->gateway), d->beat_at);
}

struct router_list {
    json_t *array;
    const struct federation *federation;
    instant now;
};

static bool add_router(void *ctx, const struct registration *g)
{
    struct router_list *l = ctx;
    struct endpoint e = { .addr = addr_v4(g->addr), .port = g->port };
    json_t *o = json_object();

    endpoint_set(o, "at", &e);
    number_set(o, "protocol", g->protocol);
    number_set(o, "provider", g->provider);
    text_set(o, "state", g->state == REGISTRATION_PROVED ? "proved" : "claimed");
    if (g->origin != 0)
        number_set(o, g->realm != 0 ? "border" : "registered_with", g->origin);
    if (g->realm != 0)
        text_set(o, "dmux", federation_realm_of(l->federation, g->realm)->name);
    number_set(o, "weight", g->weight);
    json_object_set_new(o, "load", json_real(g->load / 65536.));
    number_set(o, "rtt_us", g->rtt_us);
    number_set(o, "pkts", g->pkts);
    number_set(o, "bytes", g->bytes);
    json_object_set_new(o, "heard_s", json_real((double)(l->now - g->proved_at) / 1e6));
    return json_array_append_new(l->array, o) == 0 && json_array_size(l->array) < ROUTERS_SHOWN;
}

static json_t *mesh_json(const struct mesh *m)
{
    const struct mesh_stats *s = mesh_stats_get(m);
    json_t *o = json_object(), *peers = json_array();
    struct mesh_peer_info p;

    for (size_t i = 0; mesh_peer_info(m, i, &p); i++) {
        json_t *e = json_object();

        number_set(e, "gateway", p.gateway);
        endpoint_set(e, "at", &p.at);
        json_object_set_new(e, "up", json_boolean(p.up));
        number_set(e, "rtt_us", p.rtt_us);
        number_set(e, "estimate_us", p.estimate_us);
        number_set(e, "routers", p.routers);
        json_array_append_new(peers, e);
    }
    json_object_set_new(o, "peers", peers);
    number_set(o, "routers", mesh_routes(m));
    number_set(o, "adopted", s->adopted);
    number_set(o, "released", s->released);
    number_set(o, "nowhere", s->nowhere);
    json_object_set_new(o, "drops", counts_json(s->drops, MESH_DROP_COUNT, mesh_drop_name));
    return o;
}

/* Other operators, for people: by their names. */
static json_t *borders_json(const struct federation *f, size_t realm)
{
    json_t *a = json_array();
    struct federation_border_info b;

    for (size_t i = 0; federation_border_info(f, realm, i, &b); i++) {
        json_t *o = json_object();

        number_set(o, "gateway", b.gateway);
        endpoint_set(o, "at", &b.at);
        json_object_set_new(o, "up", json_boolean(b.up));
        number_set(o, "rtt_us", b.rtt_us);
        number_set(o, "services", b.services);
        json_array_append_new(a, o);
    }
    return a;
}

static json_t *realm_json(const struct federation *f, size_t i, const struct federation_realm_info *r)
{
    char prefix[PREFIX_STRLEN], numbers[32];
    json_t *o = json_object();

    snprintf(numbers, sizeof(numbers), "%u-%u", r->realm->authority.provider_first, r->realm->authority.provider_last);
    text_set(o, "name", r->realm->name);
    text_set(o, "realm", r->realm->authority.realm);
    text_set(o, "prefix", prefix_format(&r->realm->prefix, prefix));
    text_set(o, "providers", numbers);
    json_object_set_new(o, "borders", borders_json(f, i));
    number_set(o, "services", r->services);
    number_set(o, "registrations", r->adopted);
    if (r->refusal.gateway != 0)
        json_object_set_new(o, "refused",
                            json_pack("{s:I s:i s:I s:s}", "provider", (json_int_t)r->refusal.provider, "protocol",
                                      (int)r->refusal.protocol, "gateway", (json_int_t)r->refusal.gateway, "why",
                                      federation_drop_name(r->refusal.cause)));
    json_object_set_new(o, "drops", counts_json(r->drops, FEDERATION_DROP_COUNT, federation_drop_name));
    return o;
}

static json_t *federation_json(const struct federation *f, const struct gateway_stats *g)
{
    json_t *o = json_object(), *realms = json_array();
    struct federation_realm_info r;
    struct federation_stats s;

    federation_stats_get(f, &s);
    for (size_t i = 0; federation_realm_info(f, i, &r); i++)
        json_array_append_new(realms, realm_json(f, i, &r));
    json_object_set_new(o, "realms", realms);
    number_set(o, "asked_by", s.askers);
    number_set(o, "told", s.told);
    number_set(o, "unproven", s.unproven);
    number_set(o, "to_border_pkts", g->to_border_pkts);
    number_set(o, "from_home_pkts", g->from_home_pkts);
    number_set(o, "to_home_pkts", g->to_home_pkts);
    json_object_set_new(o, "drops", counts_json(s.drops, FEDERATION_DROP_COUNT, federation_drop_name));
    return o;
}

static int gateway_status(struct dmuxd *d, json_t *doc, instant now)
{
    const struct gateway_stats *s = gateway_stats_get(d->gateway);
    struct router_list l = { .array = json_array(), .federation = gateway_federation(d->gateway), .now = now };
    char buf[PREFIX_STRLEN];

    registry_foreach(gateway_registry(d->gateway), add_router, &l);
    number_set(doc, "gateway", d->config->id);
    text_set(doc, "service", addr_format(&d->config->service, buf));
    text_set(doc, "prefix", prefix_format(&d->config->prefix, buf));
    json_object_set_new(doc, "drained", json_boolean(d->drained));
    number_set(doc, "to_router_pkts", s->to_router_pkts);
    number_set(doc, "to_router_bytes", s->to_router_bytes);
    number_set(doc, "to_client_pkts", s->to_client_pkts);
    number_set(doc, "to_client_bytes", s->to_client_bytes);
    if (d->xdp)
        dmuxd_xdp_status(d, doc);
    if (gateway_mesh(d->gateway))
        json_object_set_new(doc, "mesh", mesh_json(gateway_mesh(d->gateway)));
    if (gateway_federation(d->gateway))
        json_object_set_new(doc, "federation", federation_json(gateway_federation(d->gateway), s));
    if (d->lookup)
        dmuxd_managers_status(d, doc);
    number_set(doc, "registrations", registry_count(gateway_registry(d->gateway)));
    number_set(doc, "silenced", registry_silenced(gateway_registry(d->gateway)));
    json_object_set_new(doc, "refused_control", counts_json(s->refused, DMUX_REFUSAL_COUNT, dmux_refusal_name));
    json_object_set_new(doc, "drops", counts_json(s->drops, GATEWAY_DROP_COUNT, gateway_drop_name));
    return json_object_set_new(doc, "routers", l.array);
}

/* Drain: the prefix goes from the device, and BIRD withdraws it; the address stays, and what comes is served. */
static const char *gateway_ask(struct dmuxd *d, const char *verb)
{
    bool drain = strcmp(verb, "drain") == 0;
    const struct tun_addr a = announced(d->config);

    if (!drain && strcmp(verb, "undrain") != 0)
        return "expected status, drain, undrain or stop";
    if (d->config->prefix.len == 32)
        return "the Prefix is the service address alone: it cannot be drained";
    if (drain == d->drained)
        return NULL;
    if ((drain ? tun_del_addr(d->tun, &a) : tun_add_addr(d->tun, &a)) < 0)
        return "the device refused it";
    d->drained = drain;
    dmuxd_say(LOG_NOTICE, "%s", drain ? "drained" : "announced");
    return NULL;
}

const struct role role_gateway = {
    .name = "gateway",
    .start = gateway_start,
    .on_datagram = gateway_datagram,
    .on_packet = gateway_packet,
    .turn = gateway_turn,
    .next_expiry = gateway_next,
    .status = gateway_status,
    .ask = gateway_ask,
};
