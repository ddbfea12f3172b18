/* bench/dmux-short.c - hawser-dmuxd whose client has less on its way than a demultiplexer has: what each part costs.
 *
 * usage: as hawser-dmuxd, with the file of a [Client]. Environment: DMUX_SHORT says what the way is, DMUX_SHORT_GATEWAY
 * names the file of a [Gateway], whose Address and Port are those of the [Client] too, and DMUX_SHORT_CLIENT is the
 * address, another one of this host's, at which that gateway sees the client.
 *
 *   router    the gateway's core stands in the client's own process: a packet is captured and goes to its router, with
 *             no other process between, and so does the answer
 *   capture   packets are captured and leave as they were; answers come as they would without us
 *
 * Theory of operation. The daemon's own objects; the linker (--wrap) puts a role in the place of its client's, and a
 * function in that of train_add. The role is the client's, and beside it a gateway's core. What the client would send
 * to the service is given to that core, and what the core makes of it leaves by the socket, or is the client's at once;
 * what comes by the socket is the core's. With `capture` the core is there only to tell the client its address, without
 * which nothing is captured; packets leave by a raw socket with a mark, for which the caller makes an exception in the
 * rules.
 *
 * Limits: as the daemon's. One client. */
#include "prog/dmuxd.h"
#include "sys/clock.h"
#include "tunnel/ecn.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define MARK 0x5821 /* of packets that were captured once; bench/dmux-lib.sh has it, too */

extern const struct role __real_role_client, __wrap_role_client;
void __real_train_add(struct train *t, size_t len, const struct endpoint *to, const struct addr *local, uint8_t tos);
void __wrap_train_add(struct train *t, size_t len, const struct endpoint *to, const struct addr *local, uint8_t tos);

static struct {
    struct dmuxd *d;
    struct dmux_config *config; /* the gateway's */
    struct gateway *gateway;
    struct endpoint service, client;
    int raw; /* where captured packets leave; -1: they go to a router */
} here = { .raw = -1 };

static uint32_t wall_s(void)
{
    return (uint32_t)time(NULL);
}

/* What the core made: for the client, which takes it where it stands, or for a router. tos: of the datagram. */
static void deliver(uint8_t *data, const struct dmux_tx *tx, uint8_t tos, instant now)
{
    struct train *t = &here.d->train;

    if (endpoint_equal(&tx->to, &here.client)) {
        const struct udp_rx rx = {
            .data = data, .len = tx->len, .from = here.service, .local = here.client.addr, .tos = tos
        };

        __real_role_client.on_datagram(here.d, data, tx->len, &rx, now);
        return;
    }
    memcpy(train_room(t), data, tx->len);
    __real_train_add(t, tx->len, &tx->to, &here.config->address, tos);
}

/* What the client has for the service. */
void __wrap_train_add(struct train *t, size_t len, const struct endpoint *to, const struct addr *local, uint8_t tos)
{
    uint8_t out[TRAIN_ROOM];
    struct dmux_tx tx;
    instant now = clock_now();

    if (len + GATEWAY_GROWS <= sizeof(out) &&
        gateway_on_datagram(here.gateway, train_room(t), len, &here.client, &here.service.addr, now, out, &tx))
        deliver(out, &tx, tos, now);
}

/* --- the role --- */

static int gateway_start(const char *path, instant now)
{
    static char lines[4096];
    struct text errors;
    struct gateway_options o = { .rng = sys_rng() };
    const struct dmux_config *c;

    text_init(&errors, lines, sizeof(lines));
    if (!path || dmux_config_load(path, &errors, &here.config) < 0 || here.config->role != DMUX_ROLE_GATEWAY) {
        dmuxd_say(LOG_ERR, "DMUX_SHORT_GATEWAY=%s: expected the file of a [Gateway]; %s", path ? path : "", lines);
        return -EINVAL;
    }
    c = here.config;
    o.id = c->id;
    o.service = here.service = (struct endpoint){ c->service, c->port };
    o.prefix = c->prefix;
    o.unicast = (struct endpoint){ c->address, c->port };
    o.providers = c->providers;
    o.providers_count = c->providers_count;
    o.registrations_max = c->registrations_max;
    memcpy(o.secret, c->secret, sizeof(o.secret));
    here.gateway = gateway_new(&o, wall_s(), now);
    explicit_bzero(o.secret, sizeof(o.secret));
    return here.gateway ? 0 : -ENOMEM;
}

static int short_start(struct dmuxd *d, instant now)
{
    const char *way = getenv("DMUX_SHORT"), *client = getenv("DMUX_SHORT_CLIENT");
    const int mark = MARK, room = UDP_SOCKET_BUFFER_BYTES;
    int r;

    here.d = d;
    if (endpoint_parse(client ? client : "", DMUX_PORT, &here.client) < 0) {
        dmuxd_say(LOG_ERR, "DMUX_SHORT_CLIENT=%s: expected an address", client ? client : "");
        return -EINVAL;
    }
    if (!way || (strcmp(way, "router") != 0 && strcmp(way, "capture") != 0)) {
        dmuxd_say(LOG_ERR, "DMUX_SHORT=%s: expected router or capture", way ? way : "");
        return -EINVAL;
    }
    r = gateway_start(getenv("DMUX_SHORT_GATEWAY"), now);
    if (r < 0)
        return r;
    if (strcmp(way, "capture") == 0) {
        here.raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
        if (here.raw < 0 || setsockopt(here.raw, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
            setsockopt(here.raw, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
            return -errno;
    }
    return __real_role_client.start(d, now);
}

static void short_datagram(struct dmuxd *d, const uint8_t *data, size_t len, const struct udp_rx *rx, instant now)
{
    uint8_t out[TRAIN_ROOM], *in_place = rx->data + (data - rx->data);
    struct dmux_tx tx;

    /* Nothing that comes by the socket gets longer: a packet for the client loses what stands before it. */
    if (len + GATEWAY_GROWS > sizeof(out) ||
        !gateway_on_datagram(here.gateway, data, len, &rx->from, &rx->local, now, out, &tx) || tx.len > len)
        return;
    memcpy(in_place, out, tx.len); /* the device's packets stay until it is flushed */
    deliver(in_place, &tx, rx->tos & TOS_ECN_MASK, now);
}

static void short_packet(struct dmuxd *d, const uint8_t *packet, size_t len, instant now)
{
    struct sockaddr_in to = { .sin_family = AF_INET };

    if (here.raw < 0) {
        __real_role_client.on_packet(d, packet, len, now);
        return;
    }
    memcpy(&to.sin_addr, packet + 16, 4);
    /* A full socket: lost, as in a queue. */
    if (sendto(here.raw, packet, len, 0, (const struct sockaddr *)&to, sizeof(to)) < 0)
        d->train.refused++;
}

static void short_turn(struct dmuxd *d, instant now)
{
    uint8_t out[TRAIN_ROOM];
    struct dmux_tx tx;

    gateway_set_wall(here.gateway, wall_s());
    gateway_on_expiry(here.gateway, now);
    while (gateway_output(here.gateway, out, &tx, now))
        deliver(out, &tx, 0, now);
    __real_role_client.turn(d, now);
}

static instant short_next(const struct dmuxd *d)
{
    return instant_min(gateway_next_expiry(here.gateway), __real_role_client.next_expiry(d));
}

static int short_status(struct dmuxd *d, json_t *doc, instant now)
{
    return __real_role_client.status(d, doc, now);
}

const struct role __wrap_role_client = {
    .name = "client",
    .start = short_start,
    .on_datagram = short_datagram,
    .on_packet = short_packet,
    .turn = short_turn,
    .next_expiry = short_next,
    .status = short_status,
};
