/* prog/dns_view.c - see dns_view.h.
 *
 * Theory of operation. Names of realms, and the label of a tier before one, exist without records of their own: there
 * is something below them, or may be, and who is told that they do not exist looks no further (RFC 8020). Other names
 * are asked for, if they are names at all.
 *
 * What a policy denies is answered as what does not exist, since the manager says the same of both. */
#include "prog/dns_view.h"

static bool is_below(const char *name, const char *zone)
{
    size_t len = strlen(name), zone_len = strlen(zone);

    if (zone_len == 0)
        return true;
    return len >= zone_len && strcmp(name + len - zone_len, zone) == 0 &&
           (len == zone_len || name[len - zone_len - 1] == '.');
}

/* A realm's name, or a tier of it. */
static bool is_realm(const char *name)
{
    struct name_error err;
    char realm[NAME_SIZE];
    enum tag_tier tier;

    if (name_tier_of(name[0], &tier) && name[1] == '.')
        name += 2;
    return name_parse_realm(name, strlen(name), realm, &err) == 0;
}

static void negative(const struct dns_view *v, struct dns_answer *a, enum dns_rcode rcode, uint32_t ttl_s)
{
    const struct dns_soa soa = { v->zone, v->server[0] ? v->server : v->zone, v->serial, ttl_s, ttl_s };

    a->rcode = rcode;
    dns_add_negative(a, &soa);
}

static bool wants(const struct dns_query *q, enum dns_type type)
{
    return q->type == type || q->type == DNS_TYPE_ANY;
}

/* An address that a record of that type has. */
static bool wants_address(const struct dns_query *q, const struct addr *a)
{
    return wants(q, a->family == ADDR_V4 ? DNS_TYPE_A : DNS_TYPE_AAAA);
}

/* The zone itself, and its server. True if the answer is complete. */
static bool of_zone(const struct dns_view *v, const struct dns_query *q, struct dns_answer *a)
{
    const struct dns_soa soa = { v->zone, v->server, v->serial, DNS_VIEW_NEGATIVE_S, DNS_VIEW_NEGATIVE_S };

    if (!v->public)
        return false;
    if (strcmp(q->name, v->zone) == 0) {
        if (wants(q, DNS_TYPE_SOA))
            dns_add_soa(a, &soa);
        if (wants(q, DNS_TYPE_NS))
            dns_add_ns(a, DNS_VIEW_TTL_MAX_S, v->server);
    }
    for (size_t i = 0; strcmp(q->name, v->server) == 0 && i < v->addresses_count; i++)
        if (wants_address(q, &v->addresses[i]))
            dns_add_address(a, DNS_VIEW_TTL_MAX_S, &v->addresses[i]);
    return a->count > 0;
}

int dns_view_ask(const struct dns_view *v, const struct dns_query *q, int read, struct name *ret_name,
                 struct dns_answer *ret_answer)
{
    struct name_error err;

    *ret_answer = (struct dns_answer){ .authoritative = v->public, .recursive = !v->public };
    if (read != 0) {
        ret_answer->rcode = (enum dns_rcode)read;
        ret_answer->authoritative = false;
        return 1;
    }
    /* Zones are not given away whole, and what is not ours somebody else may know. */
    if (!q->is_text || !is_below(q->name, v->zone) || q->type == DNS_TYPE_AXFR || q->type == DNS_TYPE_IXFR) {
        ret_answer->rcode = DNS_REFUSED;
        ret_answer->authoritative = false;
        return 1;
    }
    if (of_zone(v, q, ret_answer))
        return 1;
    if (name_parse(q->name, strlen(q->name), ret_name, &err) == 0)
        return 0;
    negative(v, ret_answer, is_realm(q->name) || strcmp(q->name, v->server) == 0 ? DNS_NOERROR : DNS_NXDOMAIN,
             DNS_VIEW_NEGATIVE_S);
    return 1;
}

static void tell_tags(const struct dns_query *q, const struct dns_known *k, uint32_t ttl_s, struct dns_answer *a)
{
    const struct record *b = k->binding;

    if (!wants(q, DNS_TYPE_AAAA))
        return;
    if (b->kind == KIND_HOST_LOCATOR && b->targets_count)
        dns_add_tag(a, ttl_s, k->subject->tag.bytes);
    for (size_t i = 0; b->kind != KIND_HOST_LOCATOR && i < b->targets_count; i++)
        if (!b->targets[i].is_locator && tag_tier(&b->targets[i].tag) == TAG_TIER_HOST)
            dns_add_tag(a, ttl_s, b->targets[i].tag.bytes);
}

/* True if a target before the i-th has the same address: several ports make one A. */
static bool is_repeated(const struct record *b, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (b->targets[k].is_locator && addr_equal(&b->targets[k].locator.addr, &b->targets[i].locator.addr))
            return true;
    return false;
}

static void tell_locators(const struct dns_query *q, const struct dns_known *k, uint32_t ttl_s, struct dns_answer *a)
{
    const struct record *b = k->binding;

    for (size_t i = 0; i < b->targets_count; i++) {
        const struct record_target *t = &b->targets[i];
        struct tag as_tag;

        memcpy(as_tag.bytes, t->locator.addr.bytes, sizeof(as_tag.bytes));
        if (!t->is_locator || (t->locator.addr.family == ADDR_V6 && tag_in_prefix(&as_tag)))
            continue;
        if (wants_address(q, &t->locator.addr) && !is_repeated(b, i))
            dns_add_address(a, ttl_s, &t->locator.addr);
        if (wants(q, DNS_TYPE_SVCB) && t->transport == 0 && t->priority < UINT16_MAX)
            dns_add_svcb(a, ttl_s, (uint16_t)(t->priority + 1), &t->locator); /* 0 is for aliases */
    }
}

void dns_view_tell(const struct dns_view *v, const struct dns_query *q, const struct dns_known *k,
                   struct dns_answer *ret_answer)
{
    uint32_t ttl_s = MIN(k->left_s, MIN(k->stale ? DNS_VIEW_NEGATIVE_S : k->fresh_s, DNS_VIEW_TTL_MAX_S));

    *ret_answer = (struct dns_answer){ .authoritative = v->public, .recursive = !v->public };
    if (k->outcome == DNS_KNOWN_FAILED || k->outcome == DNS_KNOWN_FOREIGN) {
        ret_answer->rcode = k->outcome == DNS_KNOWN_FOREIGN ? DNS_REFUSED : DNS_SERVFAIL;
        ret_answer->authoritative = false;
        return;
    }
    if (k->outcome == DNS_KNOWN_NONE || (v->public && k->granted > CLASS_AGENT)) {
        negative(v, ret_answer, DNS_NXDOMAIN, MIN(k->fresh_s ? k->fresh_s : 1, DNS_VIEW_TTL_MAX_S));
        return;
    }
    if (v->public)
        tell_locators(q, k, ttl_s, ret_answer);
    else
        tell_tags(q, k, ttl_s, ret_answer);
    if (wants(q, DNS_TYPE_HIP))
        dns_add_hip(ret_answer, ttl_s, k->subject->tag.bytes, k->subject->key);
    if (ret_answer->count == 0)
        negative(v, ret_answer, DNS_NOERROR, ttl_s);
}
