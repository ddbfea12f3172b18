/* prog/dmux_config_federation.c - whether what a file says of other providers of demultiplexing is possible.
 *
 * A number belongs to one realm, so that none can take over another's: ranges of [Federation] are apart from each other
 * and from what an [Authority] may give. A [Provider] that is listed may stand in one: its key is then the one that the
 * other realm must have certified too (dmux/federation_services.c). */
#include "prog/dmux_config.h"
#include "prog/ini_file.h"

#include <inttypes.h>

static bool overlap(const struct authority *a, const struct authority *b)
{
    return a->provider_first <= b->provider_last && b->provider_first <= a->provider_last;
}

static bool prefixes_overlap(const struct prefix *a, const struct prefix *b)
{
    return prefix_contains(a, &b->addr) || prefix_contains(b, &a->addr);
}

/* Two realms have nothing in common. */
static void check_apart(struct ini *f, const struct dmux_config *c, size_t i, size_t j)
{
    const struct federation_realm *a = &c->federations[i], *b = &c->federations[j];
    unsigned line = c->federation_lines[i];

    if (strcmp(a->authority.realm, b->authority.realm) == 0)
        ini_error(f, line, "found the Realm of [Federation %s] in [Federation %s] as well, expected another", b->name,
                  a->name);
    if (overlap(&a->authority, &b->authority))
        ini_error(f, line,
                  "found Providers = %" PRIu32 "-%" PRIu32 " in [Federation %s], expected numbers that [Federation %s] "
                  "does not have (%" PRIu32 "-%" PRIu32 ")",
                  a->authority.provider_first, a->authority.provider_last, a->name, b->name,
                  b->authority.provider_first, b->authority.provider_last);
    if (prefixes_overlap(&a->prefix, &b->prefix))
        ini_error(f, line, "found a Prefix in [Federation %s] that is in that of [Federation %s], expected another",
                  a->name, b->name);
}

static void check_realm(struct ini *f, const struct dmux_config *c, size_t i)
{
    const struct federation_realm *a = &c->federations[i];
    unsigned line = c->federation_lines[i];

    if (strcmp(a->authority.realm, c->mesh_realm) == 0)
        ini_error(f, line, "found the Realm of [Mesh] in [Federation %s], expected another provider's", a->name);
    if (prefixes_overlap(&a->prefix, &c->prefix))
        ini_error(f, line, "found a Prefix in [Federation %s] that is in that of [Gateway], expected another", a->name);
    for (size_t k = 0; k < c->authorities_count; k++) {
        if (overlap(&a->authority, &c->authorities[k]))
            ini_error(f, line,
                      "found Providers = %" PRIu32 "-%" PRIu32 " in [Federation %s], expected numbers that the "
                      "[Authority] of line %u does not have (%" PRIu32 "-%" PRIu32 ")",
                      a->authority.provider_first, a->authority.provider_last, a->name, c->authority_lines[k],
                      c->authorities[k].provider_first, c->authorities[k].provider_last);
    }
    for (size_t j = 0; j < i; j++)
        check_apart(f, c, i, j);
}

/* Which federation it is of. */
static void place_border(struct ini *f, struct dmux_config *c, size_t i, size_t counts[FEDERATION_REALMS_MAX])
{
    const struct dmux_border *e = &c->border_entries[i];
    struct federation_border *b = &c->borders[i];

    for (b->realm = 0; b->realm < c->federations_count; b->realm++) {
        if (strcmp(c->federations[b->realm].authority.realm, e->realm) == 0)
            break;
    }
    if (b->realm == c->federations_count) {
        ini_error(f, e->line, "found a [Border] of the realm %s, expected one of a [Federation]", e->realm);
        return;
    }
    if (++counts[b->realm] > FEDERATION_LINKS_MAX)
        ini_error(f, e->line, "found more than %d sections [Border ...] of the realm %s", FEDERATION_LINKS_MAX,
                  e->realm);
    if (prefix_contains(&c->prefix, &e->at.addr) || prefix_contains(&c->federations[b->realm].prefix, &e->at.addr) ||
        addr_equal(&e->at.addr, &c->address))
        ini_error(f, e->line, "found a [Border] at an address of a Prefix or of this gateway, expected one of its own");
    b->at = e->at;
    memcpy(b->x25519, e->x25519, sizeof(b->x25519));
}

void dmux_config_check_federations(struct ini *f, struct dmux_config *c)
{
    size_t counts[FEDERATION_REALMS_MAX] = { 0 };

    if (c->federations_count > 0 && !c->has_mesh)
        ini_error(f, c->federation_lines[0], "found [Federation], expected [Mesh] as well");
    for (size_t i = 0; i < c->federations_count; i++)
        check_realm(f, c, i);
    for (size_t i = 0; i < c->borders_count; i++)
        place_border(f, c, i, counts);
}
