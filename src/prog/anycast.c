/* prog/anycast.c - the nearest agent, asked for at an anycast address: `Anycast` of [Peer].
 *
 * Theory of operation. While an agent is wanted, each uplink with IPv4 has a client of the protocol "hawser"
 * (dmux/locate.h) on a socket of its own, bound to it: whichever link works brings an answer. The first one that
 * leads from the root to an agent is told, and all are closed. A gateway learns within seconds that an agent is gone,
 * so who is told of the one that it has already asks again.
 *
 * Each half second is often enough for HELLOs and questions, which are repeated each second. */
#include <errno.h>
#include <stdio.h>
#include <syslog.h>

#include "dmux/client.h"
#include "dmux/locate.h"
#include "prog/daemon.h"

#define REST (1 * SEC)    /* chosen: between two rounds of asking */
#define REFUSED (3 * SEC) /* chosen: after an answer that is not believed: gateways know within it who is gone */

struct asker {
    struct udp *udp;
    struct watch *watch;
    struct client *client;
    int ifindex;
};

struct anycast {
    uint8_t *root; /* its record */
    size_t root_len;
    struct asker askers[UPLINKS_MAX + 1]; /* by link; client NULL: none */
    instant not_before;
};

static void asker_close(struct asker *a)
{
    watch_free(a->watch);
    udp_free(a->udp);
    client_free(a->client);
    *a = (struct asker){ 0 };
}

static void rest(struct anycast *c, instant until)
{
    for (size_t i = 0; i < ARRAY_LEN(c->askers); i++)
        asker_close(&c->askers[i]);
    c->not_before = until;
}

static void say_all(struct daemon *d, struct asker *a, instant now)
{
    uint8_t out[PROTOCOL_PACKET_MAX + CLIENT_GROWS];
    struct udp_tx tx = { .data = out, .to = d->config->peers[0].anycast.items[0].at };

    while ((tx.len = client_output(a->client, out, now)) > 0)
        (void)!udp_send(a->udp, &tx); /* what does not leave is said again */
}

/* Closes all askers. */
static void on_offer(struct daemon *d, const uint8_t *packet, size_t len, instant now)
{
    struct anycast *c = d->anycast;
    const struct rng rng = sys_rng();
    const char *why = "it is none";
    struct locate_offer o;
    struct chain_end agent;
    int r = locate_offer_read(packet, len, &o);

    if (r == 0)
        r = locate_judge(&o, (struct slice){ c->root, c->root_len }, clock_wall_s(), &rng, &agent, &why);
    if (r < 0)
        say(LOG_WARNING, "anycast refused=offer: %s", r == -EBADMSG ? why : strerror(-r));
    else
        agents_on_offer(d, &agent, o.at, o.at_count, now);
    rest(c, now + (r < 0 ? REFUSED : REST));
}

static void on_readable(struct worker *w, void *arg, instant now)
{
    struct asker *a = arg;
    struct udp_rx batch[UDP_BATCH_MAX];
    struct udp_error err;
    int n = udp_recv(a->udp, batch, UDP_BATCH_MAX);

    for (int i = 0; i < n; i++) {
        const uint8_t *packet;
        size_t len;

        if (client_on_datagram(a->client, batch[i].data, batch[i].len, &batch[i].from, now, &packet, &len) ==
            CLIENT_PACKET) {
            on_offer(w->d, packet, len, now);
            return;
        }
    }
    while (udp_pop_error(a->udp, &err) == 1) /* nobody there: it is asked again */
        ;
    if (n < 0)
        asker_close(a);
    else
        say_all(w->d, a, now);
}

static void asker_open(struct daemon *d, struct asker *a, const struct uplink *u, instant now)
{
    const struct client_options co = { .service = d->config->peers[0].anycast.items[0].at,
                                       .protocol = &locate_client,
                                       .provider = PROVIDER_ANY,
                                       .rng = sys_rng() };
    const struct udp_options uo = { .family = ADDR_V4,
                                    .interface = u->node.name,
                                    .mark = route_uplink_mark(u->node.link),
                                    .refuse_gso = true,
                                    .refuse_gro = true };
    int r;

    a->ifindex = u->ifindex;
    a->client = client_new(&co, now);
    r = a->client ? udp_open(&uo, &a->udp) : -ENOMEM;
    if (r == 0)
        r = watch_new(&d->workers[0], udp_fd(a->udp), on_readable, a, &a->watch);
    if (r < 0) {
        say(LOG_WARNING, "anycast link=%s error=%s", u->node.name, strerror(-r));
        asker_close(a);
        d->anycast->not_before = now + REFUSED;
    }
}

/* The record of the root, once. */
static bool has_root(struct daemon *d)
{
    char err[LOOKUP_ERR];

    if (!d->anycast->root &&
        store_read(d->config->names.root, &d->anycast->root, &d->anycast->root_len, err, sizeof(err)) < 0)
        say(LOG_ERR, "anycast error=%s", err);
    return d->anycast->root != NULL;
}

void anycast_ask(struct daemon *d, instant now)
{
    if (!d->anycast)
        d->anycast = calloc(1, sizeof(*d->anycast));
    if (!d->anycast || now < d->anycast->not_before)
        return;
    if (!has_root(d)) {
        d->anycast->not_before = now + REFUSED;
        return;
    }
    for (unsigned i = 1; i <= UPLINKS_MAX; i++) {
        const struct uplink *u = &d->uplinks[i];
        struct asker *a = &d->anycast->askers[i];
        bool usable = u->used && u->node.up && u->node.has_v4;

        if (a->client && (!usable || a->ifindex != u->ifindex))
            asker_close(a);
        if (!a->client && usable)
            asker_open(d, a, u, now);
        if (a->client)
            say_all(d, a, now);
    }
}

void anycast_rest(struct daemon *d)
{
    if (d->anycast)
        rest(d->anycast, 0);
}

void anycast_stop(struct daemon *d)
{
    if (!d->anycast)
        return;
    rest(d->anycast, 0);
    free(d->anycast->root);
    free(d->anycast);
    d->anycast = NULL;
}
