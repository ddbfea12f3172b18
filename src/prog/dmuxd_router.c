/* prog/dmuxd_router.c - the role of a router: its core (dmux/router.h) with a device and a status.
 *
 * Theory of operation. What comes out of the tunnel goes to the device, and so into this host's network; what that
 * sends to clients comes back by the device, whose addresses are the clients' prefix, where the protocol has one. The
 * first address of it is the router's own. A protocol that answers by itself needs no device, and has one all the same:
 * the status names it.
 *
 * Load is the share of a processor that this process uses, which has one thread: at 1 it loses packets. What is told of
 * it is router_load.c's.
 *
 * What gateways say of this router is logged when it changes: that it is registered, or what it is refused for, in
 * words for people, as far as a NAK tells that apart, or that they say nothing. The status says it as long as it is so.
 *
 * Before it ends it says so to each gateway: the loop waits for their answers, LEAVE_TIME at most (dmuxd.c). */
#include "prog/dmuxd.h"

#include "sys/clock.h"

#include <errno.h>
#include <sys/resource.h>
#include <syslog.h>

/* By this process, us. */
static span processor_used(void)
{
    struct rusage u;

    if (getrusage(RUSAGE_SELF, &u) < 0)
        return 0;
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * SEC + u.ru_utime.tv_usec + u.ru_stime.tv_usec;
}

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
                                .registrars_count = c->gateways_count,
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

    memcpy(o.registrars, c->gateways, sizeof(o.registrars));
    o.admission = c->admits_count > 0 ? &admission : NULL;
    d->router = router_new(&o, now);
    if (!d->router) {
        dmuxd_say(LOG_ERR, "protocol=%s refuses Clients, or there is no memory", o.protocol->name);
        return -EINVAL;
    }
    router_load_init(&d->load, processor_used(), now);
    if (addr.addr.family != ADDR_NONE)
        addr.addr.bytes[addr_bytes_len(&addr.addr) - 1] |= 1; /* the router's own, of no client */
    return dmuxd_device_open(d, &addr, addr.addr.family != ADDR_NONE);
}

static void router_datagram(struct dmuxd *d, const uint8_t *data, size_t len, const struct udp_rx *rx, instant now)
{
    struct dmux_tx tx;
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
    struct dmux_tx tx;
    uint8_t *out = train_room(&d->train);

    if (router_on_packet(d->router, packet, len, now, out, &tx))
        train_add(&d->train, tx.len, &tx.to, &d->config->address, dmuxd_outer_tos(packet, len));
}

/* For people; NULL: what only a gateway without sense says. */
static const char *refusal_why(unsigned refusal)
{
    static const char *const why[DMUX_REFUSAL_COUNT] = {
        [DMUX_REFUSED_COOKIE] = "it sees this router at another address each time, or the way leads to another gateway",
        [DMUX_REFUSED_ADDRESS] = "no router may be at this address: behind a NAT, of the announced prefix, a gateway's",
        [DMUX_REFUSED_PROVIDER] = "it does not know this Provider, or not with this key, or not for this Protocol",
        [DMUX_REFUSED_SIGNATURE] = "the signature is not by the key that stands beside it",
        [DMUX_REFUSED_DAMPED] = "this router came and went too often",
        [DMUX_REFUSED_FULL] = "it has no room for another router",
    };

    return refusal < DMUX_REFUSAL_COUNT ? why[refusal] : NULL;
}

/* What has changed of what gateways say is told once. */
static void follow_verdicts(struct dmuxd *d)
{
    struct router_verdict v;
    char at[ENDPOINT_STRLEN];

    while (router_pop_verdict(d->router, &v)) {
        const char *why = refusal_why(v.refusal);

        endpoint_format(&v.at, at);
        if (v.silent)
            dmuxd_say(LOG_WARNING, "registrar=%s gateway=%u silent: nobody answers, or what is long is lost on the way",
                      at, v.gateway);
        else if (v.refusal == DMUX_REFUSED_NONE)
            dmuxd_say(LOG_NOTICE, "registrar=%s gateway=%u registered", at, v.gateway);
        else
            dmuxd_say(LOG_WARNING, "registrar=%s gateway=%u refused=%s wait_s=%u%s%s", at, v.gateway,
                      dmux_refusal_name(v.refusal), v.wait_s, why ? ": " : "", why ? why : "");
    }
}

static void router_turn(struct dmuxd *d, instant now)
{
    struct dmux_tx tx;

    if (now >= d->load.at + ROUTER_LOAD_EVERY)
        router_set_load(d->router, router_load_measure(&d->load, processor_used(), now));
    router_set_wall(d->router, dmuxd_wall_s());
    for (int i = 0; i < TURN_BURST && router_output(d->router, train_room(&d->train), &tx, now); i++)
        train_add(&d->train, tx.len, &tx.to, &d->config->address, 0);
    follow_verdicts(d);
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
        counts_json(s.verdicts + WORD_REFUSED_UNKNOWN, WORD_REFUSAL_COUNT - WORD_REFUSED_UNKNOWN, refusal_by_offset));
    number_set(o, "stale", s.stale);
    number_set(o, "unreadable", s.unreadable);
    number_set(o, "rate", s.rate);
    number_set(o, "malformed", s.malformed);
    return o;
}

static int router_status(struct dmuxd *d, json_t *doc, instant now)
{
    const struct router_stats *s = router_stats_get(d->router);
    struct router_registrar_info registrars[ROUTER_REGISTRARS_MAX];
    size_t n = router_registrar_info(d->router, registrars);
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++) {
        json_t *o = json_object();

        endpoint_set(o, "at", &registrars[i].at);
        text_set(o, "state", router_registrar_state_name(registrars[i].state));
        number_set(o, "gateway", registrars[i].gateway);
        endpoint_set(o, "unicast", &registrars[i].unicast);
        endpoint_set(o, "seen_as", &registrars[i].you);
        if (registrars[i].refusal)
            text_set(o, "refused", dmux_refusal_name(registrars[i].refusal));
        if (refusal_why(registrars[i].refusal))
            text_set(o, "why", refusal_why(registrars[i].refusal));
        json_array_append_new(array, o);
    }
    text_set(doc, "protocol", protocol_router_find(d->config->protocol)->name);
    number_set(doc, "provider", d->config->provider);
    number_set(doc, "rx_pkts", s->rx_pkts);
    number_set(doc, "tx_pkts", s->tx_pkts);
    number_set(doc, "answered", s->answered);
    number_set(doc, "moves", s->moves);
    json_object_set_new(doc, "busy", json_real(d->load.busy / 65536.));
    json_object_set_new(doc, "load", json_real(d->load.told / 65536.));
    if (router_admission(d->router))
        json_object_set_new(doc, "admission", admission_json(router_admission(d->router)));
    json_object_set_new(doc, "drops", counts_json(s->drops, ROUTER_DROP_COUNT, router_drop_name));
    return json_object_set_new(doc, "registrars", array);
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
