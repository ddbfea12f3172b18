/* prog/dmuxd_roles.c - the three roles: each is its core of src/dmux with a device and a socket. */
#include "prog/dmuxd.h"

#include "prog/offload.h"
#include "sys/clock.h"
#include "tunnel/ecn.h"

#include <errno.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>

#define TURN_BURST 64 /* datagrams of our own a turn */

/* Seconds that all gateways count alike: the only use of the wall's clock (dmux/jar.h). */
static uint32_t wall_s(void)
{
    return (uint32_t)time(NULL);
}

static void endpoint_set(json_t *o, const char *key, const struct endpoint *e)
{
    char buf[ENDPOINT_STRLEN];

    if (e->addr.family != ADDR_NONE)
        text_set(o, key, endpoint_format(e, buf));
}

/* Those that are not 0, by name. */
static json_t *counts(const uint64_t *values, size_t n, const char *(*name)(unsigned))
{
    json_t *o = json_object();

    for (size_t i = 0; i < n; i++) {
        if (values[i] > 0)
            number_set(o, name((unsigned)i), values[i]);
    }
    return o;
}

static int open_device(struct dmuxd *d, const struct tun_addr *addrs, size_t count)
{
    struct tun_options o = {
        .name = d->config->device, .mtu_bytes = PROTOCOL_PACKET_MAX, .addrs = addrs, .addrs_count = count
    };
    int r = tun_open(&o, &d->tun);

    if (r < 0)
        dmuxd_say(LOG_ERR, "device=%s error=%s", d->config->device, strerror(-r));
    else
        merge_init(d->merge, offload_merge_options(d->tun));
    return r;
}

/* --- gateway --- */

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
        .site = (uint8_t)c->site,
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
    d->gateway = gateway_new(&o, wall_s(), now);
    explicit_bzero(o.secret, sizeof(o.secret));
    if (!d->gateway)
        return -ENOMEM;
    if (c->managers_count > 0 && (r = dmuxd_managers_start(d)) < 0)
        return r;
    r = c->xdp ? dmuxd_xdp_start(d, wall_s()) : 0;
    if (r < 0)
        return r;
    /* Last: from now on packets come. */
    r = open_device(d, addrs, c->prefix.len == 32 ? 1 : 2);
    return r;
}

static void gateway_datagram(struct dmuxd *d, const uint8_t *data, size_t len, const struct udp_rx *rx, instant now)
{
    struct gateway_tx tx;
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

static void gateway_turn(struct dmuxd *d, instant now)
{
    struct gateway_tx tx;

    gateway_set_wall(d->gateway, wall_s());
    gateway_on_expiry(d->gateway, now);
    if (d->lookup)
        dmuxd_managers_turn(d, now);
    for (int i = 0; i < TURN_BURST && gateway_output(d->gateway, train_room(&d->train), &tx, now); i++)
        train_add(&d->train, tx.len, &tx.to, &d->config->address, 0);
    if (d->xdp)
        dmuxd_xdp_turn(d, wall_s());
    if (now >= d->beat_at)
        d->beat_at = beat(d, now);
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
    number_set(o, "rtt_us", g->rtt_us);
    number_set(o, "pkts", g->pkts);
    number_set(o, "bytes", g->bytes);
    json_object_set_new(o, "heard_s", json_real((double)(l->now - g->proved_at) / 1e6));
    return json_array_append_new(l->array, o) == 0 && json_array_size(l->array) < 1000;
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
    json_object_set_new(o, "drops", counts(s->drops, MESH_DROP_COUNT, mesh_drop_name));
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
        dmuxd_federation_status(d, doc);
    if (d->lookup)
        dmuxd_managers_status(d, doc);
    number_set(doc, "registrations", registry_count(gateway_registry(d->gateway)));
    number_set(doc, "silenced", registry_silenced(gateway_registry(d->gateway)));
    json_object_set_new(doc, "refused_control", counts(s->refused, DMUX_REFUSAL_COUNT, dmux_refusal_name));
    json_object_set_new(doc, "drops", counts(s->drops, GATEWAY_DROP_COUNT, gateway_drop_name));
    return json_object_set_new(doc, "routers", l.array);
}

/* Drain: the prefix goes from the device, and BIRD withdraws it; the address stays, and what comes is served. */
static const char *gateway_ask(struct dmuxd *d, const char *verb)
{
    bool drain = strcmp(verb, "drain") == 0;
    const struct tun_addr a = announced(d->config);

    if (!drain && strcmp(verb, "undrain") != 0)
        return "a gateway knows status, drain, undrain and stop";
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

/* --- router --- */

static int router_start(struct dmuxd *d, instant now)
{
    const struct dmux_config *c = d->config;
    struct router_options o = { .protocol = protocol_router_find(c->protocol),
                                .setup = { .clients = c->clients,
                                           .offers = c->offers,
                                           .offers_count = c->offers_count,
                                           .offered = { c->offer_chain, c->offer_chain_len } },
                                .provider = c->provider,
                                .ed25519_seed = c->identity.ed25519_seed,
                                .ed25519 = c->identity.ed25519,
                                .chain = { c->chain, c->chain_len },
                                .homes_count = c->gateways_count,
                                .weight = (uint16_t)c->weight,
                                .rng = sys_rng() };
    const struct admission_options admission = { .identity = &c->identity,
                                                 .members = c->members,
                                                 .members_count = c->members_count,
                                                 .realms = c->realms,
                                                 .realms_count = c->realms_count,
                                                 .lifetime_s = c->admission_s,
                                                 .clients_max = c->admissions_max };
    struct tun_addr addr = { .addr = c->clients.addr, .prefix_len = c->clients.len };

    memcpy(o.homes, c->gateways, sizeof(o.homes));
    o.admission = c->admits_count > 0 ? &admission : NULL;
    d->router = router_new(&o, now);
    if (!d->router) {
        dmuxd_say(LOG_ERR, "protocol=%s refuses Clients, or there is no memory", o.protocol->name);
        return -EINVAL;
    }
    if (addr.addr.family != ADDR_NONE)
        addr.addr.bytes[addr_bytes_len(&addr.addr) - 1] |= 1; /* the router's own, of no client */
    return open_device(d, &addr, addr.addr.family != ADDR_NONE);
}

static void router_datagram(struct dmuxd *d, const uint8_t *data, size_t len, const struct udp_rx *rx, instant now)
{
    struct router_tx tx;
    const uint8_t *packet;
    size_t packet_len;
    uint8_t *out = train_room(&d->train);

    switch (router_on_datagram(d->router, data, len, &rx->from, now, &packet, &packet_len, out, &tx)) {
    case ROUTER_PACKET:
        dmuxd_to_device(d, rx->data + (packet - rx->data), packet_len, rx->tos);
        break;
    case ROUTER_REPLY:
        train_add(&d->train, tx.len, &tx.to, &d->config->address, 0);
        break;
    case ROUTER_NOTHING:
        break;
    }
}

static void router_packet(struct dmuxd *d, const uint8_t *packet, size_t len, instant now)
{
    struct router_tx tx;
    uint8_t *out = train_room(&d->train);

    if (router_on_packet(d->router, packet, len, now, out, &tx))
        train_add(&d->train, tx.len, &tx.to, &d->config->address, dmuxd_outer_tos(packet, len));
}

static void router_turn(struct dmuxd *d, instant now)
{
    struct router_tx tx;

    router_set_wall(d->router, wall_s());
    for (int i = 0; i < TURN_BURST && router_output(d->router, train_room(&d->train), &tx, now); i++)
        train_add(&d->train, tx.len, &tx.to, &d->config->address, 0);
}

static instant router_next(const struct dmuxd *d)
{
    return router_next_expiry(d->router);
}

/* Of those that refuse. */
static const char *refusal_by_offset(unsigned i)
{
    return word_refusal_name(i + WORD_REFUSED_UNKNOWN);
}

static json_t *admission_json(const struct admission *a)
{
    struct admission_stats s;
    json_t *o = json_object();

    admission_stats_get(a, &s);
    number_set(o, "clients", s.clients);
    number_set(o, "demands", s.demands);
    number_set(o, "admitted", s.verdicts[WORD_ADMITTED]);
    json_object_set_new(
        o, "refused",
        counts(s.verdicts + WORD_REFUSED_UNKNOWN, WORD_REFUSAL_COUNT - WORD_REFUSED_UNKNOWN, refusal_by_offset));
    number_set(o, "stale", s.stale);
    number_set(o, "unreadable", s.unreadable);
    number_set(o, "rate", s.rate);
    number_set(o, "malformed", s.malformed);
    return o;
}

static int router_status(struct dmuxd *d, json_t *doc, instant now)
{
    const struct router_stats *s = router_stats_get(d->router);
    struct router_home_info homes[ROUTER_HOMES_MAX];
    size_t n = router_home_info(d->router, homes);
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *o = json_object();

        endpoint_set(o, "home", &homes[i].at);
        text_set(o, "state", router_home_state_name(homes[i].state));
        number_set(o, "gateway", homes[i].gateway);
        endpoint_set(o, "unicast", &homes[i].unicast);
        endpoint_set(o, "seen_as", &homes[i].you);
        if (homes[i].refusal)
            text_set(o, "refused", dmux_refusal_name(homes[i].refusal));
        json_array_append_new(array, o);
    }
    text_set(doc, "protocol", protocol_router_find(d->config->protocol)->name);
    number_set(doc, "provider", d->config->provider);
    number_set(doc, "rx_pkts", s->rx_pkts);
    number_set(doc, "tx_pkts", s->tx_pkts);
    number_set(doc, "answered", s->answered);
    number_set(doc, "moves", s->moves);
    if (router_admission(d->router))
        json_object_set_new(doc, "admission", admission_json(router_admission(d->router)));
    json_object_set_new(doc, "drops", counts(s->drops, ROUTER_DROP_COUNT, router_drop_name));
    return json_object_set_new(doc, "homes", array);
}

static bool router_goodbye(struct dmuxd *d)
{
    router_leave(d->router);
    return router_has_left(d->router);
}

const struct role role_router = {
    .name = "router",
    .start = router_start,
    .on_datagram = router_datagram,
    .on_packet = router_packet,
    .turn = router_turn,
    .next_expiry = router_next,
    .status = router_status,
    .leave = router_goodbye,
};

/* --- client --- */

static int client_start(struct dmuxd *d, instant now)
{
    const struct dmux_config *c = d->config;
    struct client_options o = { .service = c->gateways[0],
                                .protocol = protocol_client_find(c->protocol),
                                .provider = c->provider,
                                .credentials = c->credentials,
                                .credentials_count = c->credentials_count,
                                .rng = sys_rng() };
    int r;

    d->client = client_new(&o, now);
    if (!d->client)
        return -ENOMEM;
    r = open_device(d, NULL, 0);
    return r == 0 && c->queued ? dmuxd_capture_start(d) : r;
}

static void routes_add(struct dmuxd *d)
{
    int r;

    for (size_t i = 0; !d->capture && i < d->config->routes_count; i++) {
        if ((r = tun_add_route(d->tun, &d->config->routes[i], NULL)) < 0)
            dmuxd_say(LOG_ERR, "device=%s route error=%s", tun_name(d->tun), strerror(-r));
    }
}

static void routes_del(struct dmuxd *d)
{
    for (size_t i = 0; !d->capture && i < d->config->routes_count; i++)
        tun_del_route(d->tun, &d->config->routes[i], NULL);
}

/* Nothing is to go into the device. */
static void stand_aside(struct dmuxd *d)
{
    const struct tun_addr a = { .addr = d->client_address, .prefix_len = (uint8_t)addr_bits(&d->client_address) };

    if (a.addr.family == ADDR_NONE)
        return;
    routes_del(d);
    tun_del_addr(d->tun, &a);
    d->client_address = (struct addr){ .family = ADDR_NONE };
}

/* The device's address is what the protocol says. Routes come with the first, so that nothing goes into a device
 * without a way; they go with the device. */
static void follow_address(struct dmuxd *d, instant now)
{
    struct client_info info;
    struct tun_addr was = { .addr = d->client_address }, is;
    char buf[ADDR_STRLEN];
    int r;

    client_info_get(d->client, &info);
    if (addr_equal(&info.address, &d->client_address))
        return;
    /* Before the device has the address, which makes it this host's. */
    if (d->capture && !dmuxd_capture_follow(d, &info.address, now)) {
        stand_aside(d); /* else an address that comes back would be taken for one that is followed */
        return;
    }
    is.addr = info.address;
    is.prefix_len = (uint8_t)addr_bits(&is.addr);
    was.prefix_len = (uint8_t)addr_bits(&was.addr);
    if (is.addr.family != ADDR_NONE && (r = tun_add_addr(d->tun, &is)) < 0) {
        dmuxd_say(LOG_ERR, "device=%s address=%s error=%s", tun_name(d->tun), addr_format(&is.addr, buf), strerror(-r));
        return;
    }
    if (was.addr.family == ADDR_NONE)
        routes_add(d);
    else if (is.addr.family != ADDR_NONE)
        tun_del_addr(d->tun, &was);
    if (is.addr.family != ADDR_NONE)
        dmuxd_say(LOG_NOTICE, "address=%s", addr_format(&is.addr, buf));
    d->client_address = is.addr.family != ADDR_NONE ? is.addr : d->client_address;
}

static void client_datagram(struct dmuxd *d, const uint8_t *data, size_t len, const struct udp_rx *rx, instant now)
{
    const uint8_t *packet;
    size_t packet_len;

    if (client_on_datagram(d->client, data, len, &rx->from, now, &packet, &packet_len) == CLIENT_PACKET)
        dmuxd_to_device(d, rx->data + (packet - rx->data), packet_len, rx->tos);
}

static void client_packet(struct dmuxd *d, const uint8_t *packet, size_t len, instant now)
{
    size_t n = client_on_packet(d->client, packet, len, train_room(&d->train));

    if (n > 0)
        train_add(&d->train, n, &d->config->gateways[0], &d->config->address, dmuxd_outer_tos(packet, len));
}

/* What is to be told of credentials; in buf. NULL: nothing. */
static const char *admission_trouble(const struct applicant_info *i, char *buf, size_t size)
{
    if (i->state == APPLICANT_WITHOUT)
        snprintf(buf, size, "provider %u asks for credentials, and there is no [Credential] for it", i->provider);
    else if (i->state != APPLICANT_REFUSED)
        return NULL;
    else if (i->refusal == APPLICANT_UNREADABLE)
        snprintf(buf, size, "provider %u cannot read the credentials: its key is not ProviderKey", i->provider);
    else if (i->refusal == APPLICANT_UNANSWERED)
        snprintf(buf, size, "provider %u does not answer what is shown to it", i->provider);
    else
        snprintf(buf, size, "provider %u has refused the credentials: %s", i->provider,
                 applicant_refusal_name(i->refusal));
    return buf;
}

/* What has changed of credentials is told once. */
static void follow_admission(struct dmuxd *d)
{
    struct client_info i;
    char why[128];

    client_info_get(d->client, &i);
    if (i.admission.state == APPLICANT_ASKING || i.admission.state == APPLICANT_APPLYING ||
        (i.admission.state == d->admission_told.state && i.admission.refusal == d->admission_told.refusal &&
         i.admission.provider == d->admission_told.provider))
        return;
    d->admission_told = i.admission;
    if (admission_trouble(&i.admission, why, sizeof(why)))
        dmuxd_say(LOG_WARNING, "admission state=%s: %s", applicant_state_name(i.admission.state), why);
    else if (i.admission.state == APPLICANT_ADMITTED)
        dmuxd_say(LOG_NOTICE, "admission state=admitted provider=%u", i.admission.provider);
}

static void client_turn(struct dmuxd *d, instant now)
{
    size_t n;

    dmuxd_native_look(d, protocol_client_find(d->config->protocol)->family, now);
    if (d->native && !d->keeping) {
        stand_aside(d);
        return;
    }
    for (int i = 0; i < TURN_BURST && (n = client_output(d->client, train_room(&d->train), now)) > 0; i++)
        train_add(&d->train, n, &d->config->gateways[0], &d->config->address, 0);
    follow_admission(d);
    if (!d->keeping)
        follow_address(d, now);
}

static instant client_next(const struct dmuxd *d)
{
    return d->native && !d->keeping ? d->native_next : client_next_expiry(d->client);
}

static const char *client_state(const struct dmuxd *d, const struct client_info *i)
{
    bool outside = i->admission.state == APPLICANT_REFUSED || i->admission.state == APPLICANT_WITHOUT;

    if (d->native)
        return "native";
    return !i->up ? "no-gateway" : i->provider == 0 ? "no-router" : outside ? "not-admitted" : "up";
}

static json_t *applicant_json(const struct applicant_info *i, instant now)
{
    json_t *o = json_object();
    char why[128];

    text_set(o, "state", applicant_state_name(i->state));
    if (i->provider != 0)
        number_set(o, "provider", i->provider);
    if (i->state == APPLICANT_REFUSED)
        text_set(o, "refused", applicant_refusal_name(i->refusal));
    if (admission_trouble(i, why, sizeof(why)))
        text_set(o, "why", why);
    if (i->state == APPLICANT_ADMITTED)
        json_object_set_new(o, "left_s", json_real((double)(i->until - now) / 1e6));
    number_set(o, "demands", i->demands);
    number_set(o, "shown", i->shown);
    number_set(o, "admitted", i->admitted);
    number_set(o, "held_pkts", i->held);
    number_set(o, "lost_pkts", i->lost);
    number_set(o, "ignored", i->ignored);
    return o;
}

static int client_status(struct dmuxd *d, json_t *doc, instant now)
{
    struct client_info i;
    char buf[ADDR_STRLEN], prefix[PREFIX_STRLEN];

    client_info_get(d->client, &i);
    text_set(doc, "protocol", protocol_client_find(d->config->protocol)->name);
    text_set(doc, "state", client_state(d, &i));
    endpoint_set(doc, "service", &d->config->gateways[0]);
    if (i.gateway != 0) {
        number_set(doc, "gateway", i.gateway);
        endpoint_set(doc, "unicast", &i.unicast);
        endpoint_set(doc, "seen_as", &i.you);
        json_object_set_new(doc, "rtt_ms", json_real((double)i.rtt / 1e3));
    }
    if (i.provider != 0) {
        number_set(doc, "provider", i.provider);
        text_set(doc, "dmux", prefix_format(&i.dmux, prefix));
        json_object_set_new(doc, "elsewhere", json_boolean(!prefix_contains(&i.dmux, &d->config->gateways[0].addr)));
        endpoint_set(doc, "router", &i.router);
        json_object_set_new(doc, "router_rtt_ms", json_real(i.router_rtt_us / 1e3));
    }
    if (i.address.family != ADDR_NONE)
        text_set(doc, "address", addr_format(&i.address, buf));
    if (d->config->credentials_count > 0 || i.admission.demands > 0)
        json_object_set_new(doc, "admission", applicant_json(&i.admission, now));
    if (d->native)
        number_set(doc, "kept", d->kept);
    if (d->capture)
        dmuxd_capture_status(d, doc);
    number_set(doc, "tx_pkts", i.tx_pkts);
    number_set(doc, "rx_pkts", i.rx_pkts);
    number_set(doc, "gateway_changes", i.gateway_changes);
    number_set(doc, "router_changes", i.router_changes);
    return json_object_set_new(doc, "drops", counts(i.drops, CLIENT_DROP_COUNT, client_drop_name));
}

const struct role role_client = {
    .name = "client",
    .start = client_start,
    .on_datagram = client_datagram,
    .on_packet = client_packet,
    .turn = client_turn,
    .next_expiry = client_next,
    .status = client_status,
};
