/* prog/resolve.c - host names of agents.
 *
 * Names are resolved by the system's resolver in libuv's thread pool: at the start, and every 10 s while their agent's
 * session is not up. Every address that a name has ever had stays a candidate (8 an agent at most). While the tunnel
 * holds the default route and is down, the resolver itself may need it: addresses in the file are the safer choice,
 * names the convenient one. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <syslog.h>

#include "prog/daemon.h"

#define AGAIN (10 * SEC)

struct request {
    uv_getaddrinfo_t req;
    struct daemon *d;
    unsigned peer;
    uint16_t port;
    char name[256];
};

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
    struct request *r = CONTAINER_OF(req, struct request, req);
    struct daemon *d = r->d;
    instant now = clock_now();

    d->resolving--;
    if (status < 0 && status != UV_ECANCELED)
        say(LOG_WARNING, "resolve name=%s error=%s", r->name, uv_strerror(status));
    for (struct addrinfo *a = list; a && !d->stopping; a = a->ai_next) {
        struct endpoint e = { .port = r->port };

        if (a->ai_family == AF_INET)
            e.addr = addr_from_bytes(
                ADDR_V4, (const uint8_t *)&((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr);
        else if (a->ai_family == AF_INET6)
            e.addr = addr_from_bytes(
                ADDR_V6, (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)a->ai_addr)->sin6_addr);
        else
            continue;
        node_peer_add_endpoint(daemon_node(d), r->peer, &e, now);
    }
    uv_freeaddrinfo(list);
    free(r);
    if (!d->stopping)
        daemon_turn(&d->workers[0], now);
}

static void resolve_one(struct daemon *d, unsigned peer, const struct config_endpoint *e)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG };
    struct request *r = calloc(1, sizeof(*r));

    if (!r)
        return;
    r->d = d;
    r->peer = peer;
    r->port = e->at.port;
    snprintf(r->name, sizeof(r->name), "%s", e->name);
    if (uv_getaddrinfo(&d->workers[0].loop, &r->req, on_resolved, r->name, NULL, &hints) < 0)
        free(r);
    else
        d->resolving++;
}

static bool has_active_path(struct session *s)
{
    struct session_path_info info;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(s, i, clock_now(), &info);
        if (info.used && info.metrics.state == PATH_ACTIVE)
            return true;
    }
    return false;
}

void resolve_names(struct daemon *d)
{
    d->next_resolve = clock_now() + AGAIN;
    for (unsigned p = 0; p < node_peers_count(daemon_node(d)) && d->resolving == 0; p++) {
        struct session *s = node_peer_session(daemon_node(d), p);
        const struct config_peer *c = NULL;

        for (size_t i = 0; i < d->config->peers_count; i++)
            if (peer_key_equal(&d->config->peers[i].key, &node_peer_spec(daemon_node(d), p)->key))
                c = &d->config->peers[i];
        if (!c || (s && session_is_up(s) && has_active_path(s)))
            continue;
        for (size_t i = 0; i < c->endpoints.count; i++)
            if (c->endpoints.items[i].at.addr.family == ADDR_NONE)
                resolve_one(d, p, &c->endpoints.items[i]);
    }
}
