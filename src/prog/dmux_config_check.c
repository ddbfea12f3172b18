/* prog/dmux_config_check.c - see dmux_config_check.h.
 *
 * Of other providers of demultiplexing: a number belongs to one realm, so that none can take over another's. Ranges of
 * [Federation] are apart from each other and from what an [Authority] may give. A [Provider] that is listed may stand
 * in one: its key is then the one that the other realm must have certified too (dmux/federation_services.c). */
#include "prog/dmux_config_check.h"

#include <inttypes.h>

static struct dmux_config *config_of(struct ini *f)
{
    return dmux_parse_of(f)->c;
}

/* --- credentials and certificates --- */

/* Keys and realms apart. */
static void sort_admits(struct ini *f)
{
    struct dmux_config *c = config_of(f);

    for (size_t i = 0; i < c->admits_count; i++) {
        const struct dmux_admit *a = &c->admits[i];
        const char *wrong = a->has_key && (a->has_root || a->has_realm) ? "a key and a realm"
                            : a->has_root != a->has_realm               ? "half of Root and Realm"
                            : !a->has_key && !a->has_root               ? "nothing"
                                                                        : NULL;

        if (wrong)
            ini_error(f, a->line, "found %s in [Admit], expected PublicKey, or Root and Realm", wrong);
        else if (a->has_key)
            c->members[c->members_count++] = a->key;
        else if (c->realms_count < ADMISSION_REALMS_MAX)
            c->realms[c->realms_count++] = a->realm;
        else
            ini_error(f, a->line, "found more than %d realms in [Admit], expected fewer", ADMISSION_REALMS_MAX);
    }
}

/* What is in a ChainFile is of that key, as far as that is seen without the provider's roots. */
static bool is_chain_of(const struct credential *x)
{
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = CHAIN_LINKS_MAX;
    struct record_bytes b;
    struct record_error e;
    struct record r;

    return record_split(x->chain, x->chain_len, links, &count, &e) == 0 && count > 0 &&
           record_decode(links[count - 1].data, links[count - 1].len, &r, &b, &e) == 0 &&
           r.type == RECORD_REGISTRATION && memcmp(r.x25519, x->identity.x25519, IDENT_KEY_LEN) == 0;
}

static void check_admission(struct ini *f)
{
    const struct dmux_config *c = config_of(f);

    if (c->role != DMUX_ROLE_ROUTER && c->admits_count > 0)
        ini_error(f, c->admits[0].line, "found [Admit], expected [Router] as well");
    if (c->role == DMUX_ROLE_ROUTER && c->protocol == LOCATE_ID && c->admits_count > 0)
        ini_error(f, c->admits[0].line, "found [Admit] with Protocol = hawser, expected none: nodes show nothing");
    sort_admits(f);
    for (size_t i = 0; i < c->credentials_count; i++) {
        uint32_t provider = c->credentials[i].provider;
        unsigned line = c->credential_lines[i];

        if (c->credentials[i].chain_len > 0 && !is_chain_of(&c->credentials[i]))
            ini_error(f, line, "found a [Credential] whose ChainFile is not of the key in KeyFile, expected its chain");
        if (c->role != DMUX_ROLE_CLIENT)
            ini_error(f, line, "found [Credential], expected [Client] as well");
        else if (c->provider != PROVIDER_ANY && provider != c->provider)
            ini_error(f, line, "found a [Credential] for provider %" PRIu32 ", expected the client's, %" PRIu32,
                      provider, c->provider);
        for (size_t j = 0; j < i; j++) {
            if (c->credentials[j].provider == provider)
                ini_error(f, line,
                          "found a second [Credential] for provider %" PRIu32 ", expected one (first in line %u)",
                          provider, c->credential_lines[j]);
        }
    }
}

/* Who a gateway is to managers, as far as that is seen without asking them. */
static void check_managers(struct ini *f)
{
    const struct dmux_parse *p = dmux_parse_of(f);
    struct dmux_config *c = p->c;
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = CHAIN_LINKS_MAX;
    struct record self, realm;
    struct record_bytes b;
    struct record_error e;

    if (c->managers_count == 0 && c->root_managers_count > 0)
        ini_error(f, p->root_managers_line, "found RootManagers, expected Managers with it");
    if (c->managers_count == 0)
        return;
    if (record_split(c->chain, c->chain_len, links, &count, &e) < 0 || count < 2 ||
        record_decode(links[count - 1].data, links[count - 1].len, &self, &b, &e) < 0 ||
        record_decode(links[count - 2].data, links[count - 2].len, &realm, &b, &e) < 0 ||
        self.type != RECORD_REGISTRATION || memcmp(self.key, c->identity.ed25519, IDENT_KEY_LEN) != 0 ||
        !(self.flags & RECORD_FLAG_SERVES)) {
        ini_error(f, p->chain_line,
                  "found a ChainFile by which nobody with the key in KeyFile serves, expected with Managers one of "
                  "`hawser realm enrol --serves`");
        return;
    }
    if (count > 2 && c->root_managers_count == 0)
        ini_error(f, p->managers_line,
                  "found Managers with a Realm that is not the root's own, expected RootManagers too");
    c->tag = self.subject;
    memcpy(c->realm_key, realm.key, sizeof(c->realm_key));
}

/* --- other providers of demultiplexing --- */

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

static void check_federations(struct ini *f)
{
    struct dmux_config *c = config_of(f);
    size_t counts[FEDERATION_REALMS_MAX] = { 0 };

    if (c->federations_count > 0 && !c->has_mesh)
        ini_error(f, c->federation_lines[0], "found [Federation], expected [Mesh] as well");
    for (size_t i = 0; i < c->federations_count; i++)
        check_realm(f, c, i);
    for (size_t i = 0; i < c->borders_count; i++)
        place_border(f, c, i, counts);
}

/* --- the whole --- */

static void check_whole(struct ini *f)
{
    const struct dmux_config *c = config_of(f);

    if (c->role == DMUX_ROLE_NONE)
        ini_error(f, 0, "found no role, expected one of [Gateway], [Router] and [Client]");
    if (c->role != DMUX_ROLE_GATEWAY &&
        (c->providers_count > 0 || c->authorities_count > 0 || c->has_mesh || c->federations_count > 0 ||
         c->borders_count > 0 || f->once[BGP] || f->once[OSPF] || c->neighbors_count > 0))
        ini_error(f, 0, "found a section of gateways, expected [Gateway] as well");
    if (c->role == DMUX_ROLE_GATEWAY && !prefix_contains(&c->prefix, &c->service))
        ini_error(f, f->once[GATEWAY], "found a Service outside of Prefix, expected it inside");
    if (c->role == DMUX_ROLE_GATEWAY && prefix_contains(&c->prefix, &c->address))
        ini_error(f, f->once[GATEWAY],
                  "found the gateway's Address inside of Prefix, expected one that other gateways do not have");
    if (c->xdp && (c->interface[0] == '\0' || c->network_pps > 0))
        ini_error(f, f->once[GATEWAY], "found DataPath = xdp, expected an Interface with it and no NetworkRate");
    if (c->role == DMUX_ROLE_ROUTER && (c->protocol == LOCATE_ID) != (c->offers_count > 0 && c->offer_chain_len > 0))
        ini_error(f, f->once[ROUTER], "found Protocol = %s, expected Offer and OfferChain with hawser, and only there",
                  protocol_router_find(c->protocol)->name);
    if (c->queued && (c->protocol != DMUX_IPV4 || c->routes_count == 0))
        ini_error(f, f->once[CLIENT], "found Capture = queue, expected Protocol = ipv4 and Routes with it");
    if (!c->queued && c->ip_protocol != 0)
        ini_error(f, f->once[CLIENT], "found IpProtocol, expected Capture = queue with it");
    for (size_t i = 0; c->queued && i < c->routes_count; i++) {
        if (c->routes[i].addr.family != ADDR_V4)
            ini_error(f, f->once[CLIENT], "found Routes of IPv6 with Capture = queue, expected IPv4 alone");
    }
    check_managers(f);
    if (c->seeds_count > 0 && !c->has_mesh)
        ini_error(f, 0, "found [Seed], expected [Mesh] as well");
    if (c->neighbors_count > 0 && !f->once[BGP])
        ini_error(f, c->neighbors[0].line, "found [Neighbor], expected [Bgp] as well");
    if (f->once[OSPF] && f->once[BGP])
        ini_error(f, f->once[OSPF], "found [Ospf] and [Bgp], expected one of them");
    for (size_t i = 0; i < c->providers_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (c->providers[i].id == c->providers[j].id)
                ini_error(f, 0, "found the Id of [Provider %s] in [Provider %s] as well", c->provider_names[j],
                          c->provider_names[i]);
        }
    }
}

void dmux_config_check(struct dmux_parse *p)
{
    static void (*const checks[])(struct ini *) = { check_whole, check_admission, check_federations };

    for (size_t i = 0; i < ARRAY_LEN(checks) && p->ini.errors_count == 0; i++)
        checks[i](&p->ini);
}
