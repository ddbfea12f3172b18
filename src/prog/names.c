/* prog/names.c - names of hosts, for the programs of this machine and for the daemon itself.
 *
 * With [Names] the daemon has a resolver; with [Dns] it answers programs from it, by the local view: an AAAA is a tag.
 * It asks as itself, so what its programs learn is what this machine may know, and the doors are addresses of this
 * machine. What cannot be opened is told and is no reason to stop: packets go on without names. */
#include <stdio.h>
#include <syslog.h>

#include "prog/daemon.h"
#include "prog/dns_server.h"

#define QUESTIONS 2048 /* chosen: twice what the DNS server has waiting */

struct names {
    struct lookup *lookup;
    struct dns_server *dns;
};

static void on_known(void *context, const struct resolver_result *res)
{
    static const enum dns_known_outcome outcomes[] = {
        [RESOLVER_FOUND] = DNS_KNOWN_FOUND, [RESOLVER_NONE] = DNS_KNOWN_NONE, [RESOLVER_FAILED] = DNS_KNOWN_FAILED
    };
    struct dns_known k = { .outcome = outcomes[res->outcome],
                           .subject = &res->subject,
                           .granted = res->granted,
                           .left_s = res->left_s,
                           .fresh_s = res->fresh_s,
                           .stale = res->stale };
    struct record_error err;
    struct record_bytes b;
    struct record rec;

    if (res->outcome == RESOLVER_FAILED && res->why == RESOLVER_WHY_FOREIGN)
        k.outcome = DNS_KNOWN_FOREIGN;
    if (res->outcome == RESOLVER_FOUND && record_decode(res->record.data, res->record.len, &rec, &b, &err) < 0)
        k.outcome = DNS_KNOWN_FAILED;
    k.binding = &rec;
    dns_server_tell(context, &k);
}

static void ask(void *owner, const struct name *name, struct dns_pending *p)
{
    struct daemon *d = owner;
    const struct resolver_question q = { .name = name, .kind = (uint8_t)resolver_kind_of(name->tier) };

    if (lookup_ask(d->names->lookup, &q, on_known, NULL, p) < 0)
        dns_server_tell(p, &(struct dns_known){ .outcome = DNS_KNOWN_FAILED });
}

static void start_dns(struct daemon *d)
{
    const struct config *c = d->config;
    char err[DNS_SERVER_ERR], at[ENDPOINT_STRLEN];
    struct dns_view v = { 0 };

    snprintf(v.zone, sizeof(v.zone), "%s", lookup_root(d->names->lookup));
    d->names->dns = dns_server_new(&d->workers[0].loop, &v, ask, d);
    for (size_t i = 0; d->names->dns && i < c->dns_listen.count; i++) {
        if (dns_server_listen(d->names->dns, &c->dns_listen.items[i].at, err) < 0)
            say(LOG_ERR, "dns error=%s", err);
        else
            say(LOG_NOTICE, "dns listen=%s zone=%s", endpoint_format(&c->dns_listen.items[i].at, at), v.zone);
    }
}

void names_start(struct daemon *d)
{
    const struct config *c = d->config;
    struct lookup_options o = { .root = c->names.root,
                                .chain = c->names.chain,
                                .self = &c->identity,
                                .class_max = CLASS_FULL,
                                .questions_max = QUESTIONS,
                                .mark = route_own_mark() };
    char err[LOOKUP_ERR];

    if (!c->names.root || c->names.managers.count == 0)
        return;
    for (; o.managers_count < c->names.managers.count && o.managers_count < RESOLVER_MANAGERS_MAX; o.managers_count++)
        o.managers[o.managers_count] = c->names.managers.items[o.managers_count].at;
    d->names = calloc(1, sizeof(*d->names));
    if (!d->names)
        return;
    if (lookup_new(&d->workers[0].loop, &o, &d->names->lookup, err) < 0) {
        say(LOG_ERR, "names error=%s", err);
        free(d->names);
        d->names = NULL;
        return;
    }
    if (c->dns_listen.count > 0)
        start_dns(d);
}

void names_stop(struct daemon *d)
{
    if (!d->names)
        return;
    dns_server_close(d->names->dns);
    lookup_close(d->names->lookup);
    free(d->names);
    d->names = NULL;
}

struct lookup *names_lookup(const struct daemon *d)
{
    return d->names ? d->names->lookup : NULL;
}
