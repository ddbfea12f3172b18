/* prog/realmd_dns.c - the realm's names for everybody: its zone in the DNS.
 *
 * Theory of operation. Each question is one to our own manager, by somebody whom nobody knows: what a policy gives
 * strangers is what the DNS gives, and never above class 1. So there is no second way past the policies, and what is
 * denied is answered as what does not exist.
 *
 * Names of sub-realms are not answered: their managers have them. */
#include <errno.h>
#include <syslog.h>

#include "mapping/resolver.h"
#include "prog/realmd.h"
#include "sys/clock.h"

#define REQUEST_MAX 512 /* bytes: a name and a few numbers */

/* What the manager says of a name. */
static void know(struct realmd *d, const struct name *name, struct mapping_answer *ret)
{
    const struct manager_who who = { .ed25519 = d->stranger };
    const struct mapping_request q = { .type = MAPPING_RESOLVE,
                                       .flags = MAPPING_WITH_CHAIN | MAPPING_RECURSE,
                                       .kind = (uint8_t)resolver_kind_of(name->tier),
                                       .name = name->text,
                                       .name_len = name->len };
    struct manager_reply reply = { 0 };
    uint8_t request[REQUEST_MAX];
    struct writer w = writer_init(request, sizeof(request));

    mapping_request_write(&w, &q);
    if (!w.failed)
        manager_on_request(d->manager, &who, request, writer_len(&w), clock_now(), clock_wall_s(), d->answer, &reply);
    if (mapping_answer_read(d->answer, reply.len, ret) < 0)
        *ret = (struct mapping_answer){ .status = MAPPING_UNKNOWN };
}

static void ask(void *owner, const struct name *name, struct dns_pending *p)
{
    struct dns_known k = { .outcome = DNS_KNOWN_FAILED };
    struct record subject = { 0 }, binding = { 0 };
    struct chain_end end = { 0 };
    struct record_error err;
    struct record_bytes b;
    struct mapping_answer a;

    know(owner, name, &a);
    if (a.status == MAPPING_NONE) {
        k.outcome = DNS_KNOWN_NONE;
    } else if (a.status == MAPPING_FOUND && a.chain_count > 0 &&
               record_decode(a.chain[a.chain_count - 1].data, a.chain[a.chain_count - 1].len, &subject, &b, &err) ==
                   0 &&
               record_decode(a.record.data, a.record.len, &binding, &b, &err) == 0) {
        k.outcome = DNS_KNOWN_FOUND;
        k.granted = a.granted;
        k.left_s = a.left_s;
    }
    k.fresh_s = a.fresh_s;
    end.tag = subject.subject;
    memcpy(end.key, subject.key, sizeof(end.key));
    k.subject = &end;
    k.binding = &binding;
    dns_server_tell(p, &k);
}

/* The name of the realm: of the last record of its chain. */
static void realm_name(const struct realmd *d, char out[NAME_SIZE])
{
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = CHAIN_LINKS_MAX;
    struct record_error err;
    struct record_bytes b;
    struct record r;

    if (record_split(d->chain, d->chain_len, links, &count, &err) == 0 && count > 0 &&
        record_decode(links[count - 1].data, links[count - 1].len, &r, &b, &err) == 0)
        memcpy(out, r.name, NAME_SIZE);
}

int dns_start(struct realmd *d)
{
    const struct realmd_config *c = &d->config;
    struct dns_view v = { .public = true, .serial = (uint32_t)clock_wall_s() };
    const struct rng rng = sys_rng();
    char err[DNS_SERVER_ERR], at[ENDPOINT_STRLEN];
    int r = 0;

    if (c->dns_listen_count == 0)
        return 0;
    rng_fill(&rng, d->stranger, sizeof(d->stranger));
    realm_name(d, v.zone);
    memcpy(v.server, c->dns_server, sizeof(v.server));
    memcpy(v.addresses, c->dns_addresses, sizeof(v.addresses));
    v.addresses_count = c->dns_addresses_count;
    d->dns = dns_server_new(&d->loop, &v, ask, d);
    if (!d->dns)
        return -ENOMEM;
    for (size_t i = 0; i < c->dns_listen_count && r == 0; i++) {
        r = dns_server_listen(d->dns, &c->dns_listen[i], err);
        if (r < 0)
            realmd_say(LOG_ERR, "dns error=\"%s\"", err);
        else
            realmd_say(LOG_NOTICE, "dns listen=%s zone=%s", endpoint_format(&c->dns_listen[i], at), v.zone);
    }
    return r;
}
