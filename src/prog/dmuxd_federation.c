/* prog/dmuxd_federation.c - what a gateway says of other providers of demultiplexing: for people, by their names. */
#include "prog/dmuxd.h"

static json_t *drops_json(const uint64_t drops[FEDERATION_DROP_COUNT])
{
    json_t *o = json_object();

    for (unsigned i = 0; i < FEDERATION_DROP_COUNT; i++) {
        if (drops[i] > 0)
            number_set(o, federation_drop_name(i), drops[i]);
    }
    return o;
}

static json_t *borders_json(const struct federation *f, size_t realm)
{
    json_t *a = json_array();
    struct federation_border_info b;

    for (size_t i = 0; federation_border_info(f, realm, i, &b); i++) {
        char at[ENDPOINT_STRLEN];
        json_t *o = json_object();

        number_set(o, "gateway", b.gateway);
        text_set(o, "at", endpoint_format(&b.at, at));
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
    json_object_set_new(o, "drops", drops_json(r->drops));
    return o;
}

void dmuxd_federation_status(struct dmuxd *d, json_t *doc)
{
    const struct federation *f = gateway_federation(d->gateway);
    const struct gateway_stats *g = gateway_stats_get(d->gateway);
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
    json_object_set_new(o, "drops", drops_json(s.drops));
    json_object_set_new(doc, "federation", o);
}
