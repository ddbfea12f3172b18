/* prog/dmuxd_client.c - the role of a client: its core (dmux/client.h) with a device, routes and a status.
 *
 * Theory of operation. What the routes lead into the device goes to the service address, and what comes from there to
 * the device. Its address is what the protocol says, and may change; the routes come with the first one, so that
 * nothing goes into a device without a way, and go when the local network speaks the protocol by itself
 * (dmuxd_native.c), or with the process. With Capture = queue no route leads into the device: dmuxd_capture.c brings
 * the packets, and takes them by the source address that is followed here.
 *
 * What has changed of credentials is logged once; the status says it as long as it is so. */
#include "prog/dmuxd.h"

#include "sys/clock.h"

#include <errno.h>
#include <stdio.h>
#include <syslog.h>

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
    r = dmuxd_device_open(d, NULL, 0);
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
    return json_object_set_new(doc, "drops", counts_json(i.drops, CLIENT_DROP_COUNT, client_drop_name));
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
