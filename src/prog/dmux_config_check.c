/* prog/dmux_config_check.c - see dmux_config_check.h.
 *
 * Theory of operation. What is wrong is told where it stands: at the key if its section is there once, at the section
 * if that has a name. A check that relies on another comes after it, and not at all when that one has found something:
 * one fault is one line.
 *
 * Of other operators: a number belongs to one realm, so that none can take over another's. Ranges of
 * [Federation] are apart from each other and from what an [Authority] may give. A [Provider] that is listed may stand
 * in one: its key is then the one that the other realm must have certified too (dmux/federation_services.c). */
#include "prog/dmux_config_check.h"

#include "dmux/credentials.h"

#include <inttypes.h>
#include <stdio.h>

static struct dmux_config *config_of(struct ini *f)
{
    return dmux_parse_of(f)->c;
}

/* Where a key of a section that is there once stands; 0: it does not. */
static unsigned line_of(struct ini *f, enum dmux_section section, const char *key)
{
    struct ini_key k;

    for (size_t i = 0; f->schema->key(i, &k); i++) {
        if (k.section == section && strcmp(k.key, key) == 0)
            return dmux_parse_of(f)->lines[i];
    }
    return 0;
}

/* The i-th section of its kind, which is there. */
static const struct dmux_named *named_at(struct ini *f, enum dmux_section section, size_t i)
{
    const struct dmux_named *n = dmux_parse_of(f)->named;

    while (n->section != section || i-- > 0)
        n++;
    return n;
}

/* A key that is of no use without another one. */
static void check_use(struct ini *f, enum dmux_section section, const char *key, bool used, const char *expected)
{
    unsigned line = line_of(f, section, key);

    if (line > 0 && !used)
        ini_error(f, line, "found %s, expected %s with it", key, expected);
}

/* --- certificates --- */

/* The ends of a chain of certificates. */
struct chain {
    struct record root, end;
};

static bool read_chain(const uint8_t *data, size_t len, struct chain *ret)
{
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = CHAIN_LINKS_MAX;
    struct record_bytes b;
    struct record_error e;

    return record_split(data, len, links, &count, &e) == 0 && count > 0 &&
           record_decode(links[0].data, links[0].len, &ret->root, &b, &e) == 0 &&
           record_decode(links[count - 1].data, links[count - 1].len, &ret->end, &b, &e) == 0 &&
           ret->end.type == RECORD_REGISTRATION;
}

#define NO_CHAIN "found no chain of certificates in %s, expected one as `hawser realm enrol` writes it"

/* What is in the ChainFile at this line is a chain of the key in KeyFile, as far as that is seen without asking
 * anybody. False: it was told what is wrong. */
static bool chain_is_of(struct ini *f, unsigned line, const char *file, const struct identity *id, const uint8_t *data,
                        size_t len, struct chain *ret)
{
    if (!read_chain(data, len, ret)) {
        ini_error(f, line, NO_CHAIN, file);
        return false;
    }
    if (memcmp(ret->end.key, id->ed25519, IDENT_KEY_LEN) != 0 ||
        memcmp(ret->end.x25519, id->x25519, IDENT_KEY_LEN) != 0) {
        ini_error(f, line, "found the certificate of another key in %s, expected that of the key in KeyFile", file);
        return false;
    }
    return true;
}

/* --- sections --- */

static const enum dmux_section roles[] = {
    [DMUX_ROLE_GATEWAY] = GATEWAY, [DMUX_ROLE_ROUTER] = ROUTER, [DMUX_ROLE_CLIENT] = CLIENT
};

static enum dmux_role role_of(enum dmux_section section)
{
    if (section == ROUTER || section == ADMIT)
        return DMUX_ROLE_ROUTER;
    return section == CLIENT || section == CREDENTIAL ? DMUX_ROLE_CLIENT : DMUX_ROLE_GATEWAY;
}

/* The first section of a role; line 0: there is none. */
static struct dmux_named first_of(struct ini *f, enum dmux_role role)
{
    const struct dmux_parse *p = dmux_parse_of(f);
    struct dmux_named first = { 0 };

    for (size_t i = 0; i < p->named_count && first.line == 0; i++) {
        if (role_of(p->named[i].section) == role)
            first = p->named[i];
    }
    for (enum dmux_section s = GATEWAY; s <= CREDENTIAL; s++) {
        if (role_of(s) == role && f->once[s] && (first.line == 0 || f->once[s] < first.line))
            first = (struct dmux_named){ .section = s, .line = f->once[s] };
    }
    return first;
}

/* Each section is of the file's role. */
static void check_roles(struct ini *f)
{
    const struct dmux_config *c = config_of(f);
    const char *const *words = f->schema->sections;

    for (enum dmux_role role = DMUX_ROLE_GATEWAY; role <= DMUX_ROLE_CLIENT; role++) {
        struct dmux_named first = first_of(f, role);
        const char *space = *first.name ? " " : "";

        if (role == c->role || first.line == 0)
            continue;
        if (c->role == DMUX_ROLE_NONE)
            ini_error(f, first.line, "found [%s%s%s], expected [%s] as well", words[first.section], space, first.name,
                      words[roles[role]]);
        else
            ini_error(f, first.line, "found [%s%s%s] with [%s], expected it with [%s] alone", words[first.section],
                      space, first.name, words[roles[c->role]], words[roles[role]]);
    }
    if (c->role == DMUX_ROLE_NONE && f->errors_count == 0)
        ini_error(f, 0, "found no role, expected one of [Gateway], [Router] and [Client]");
}

/* Sections that need another one, or do without it. */
static void check_sections(struct ini *f)
{
    const struct dmux_config *c = config_of(f);
    const struct {
        enum dmux_section section, needed;
        size_t count;
    } pairs[] = { { SEED, MESH, c->seeds_count },
                  { FEDERATION, MESH, c->federations_count },
                  { NEIGHBOR, BGP, c->neighbors_count } };

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        const struct dmux_named *n = pairs[i].count ? named_at(f, pairs[i].section, 0) : NULL;

        if (n && !f->once[pairs[i].needed])
            ini_error(f, n->line, "found [%s %s], expected [%s] as well", f->schema->sections[n->section], n->name,
                      f->schema->sections[pairs[i].needed]);
    }
    if (f->once[OSPF] && f->once[BGP])
        ini_error(f, f->once[OSPF], "found [Ospf] and [Bgp] (line %u), expected one of them", f->once[BGP]);
}

/* --- gateways --- */

/* Is this the name of that gateway? */
static bool is_gateway(const char *name, const char *realm, uint32_t id)
{
    struct name_error e;
    uint32_t number;
    struct name n;

    return name_parse(name, strlen(name), &n, &e) == 0 && strcmp(n.text + n.realm_at, realm) == 0 &&
           credentials_numbers(&n, "dmux-gateway", &number, 1) == 1 && number == id;
}

/* Whether other gateways will take this one for one, as far as that is seen without asking them. */
static void check_mesh(struct ini *f)
{
    const struct dmux_config *c = config_of(f);
    unsigned line = line_of(f, MESH, "ChainFile");
    struct chain chain;

    if (!f->once[MESH] || !chain_is_of(f, line, "ChainFile", &c->identity, c->chain, c->chain_len, &chain))
        return;
    if (memcmp(chain.root.key, c->mesh_root, IDENT_KEY_LEN) != 0)
        ini_error(f, line, "found the certificate of another root in ChainFile, expected one that begins at Root");
    else if (!is_gateway(chain.end.name, c->mesh_realm, c->id))
        ini_error(f, line, "found the certificate of %s in ChainFile, expected that of dmux-gateway-%" PRIu32 ".s.%s",
                  chain.end.name, c->id, c->mesh_realm);
}

/* Who a gateway is to managers, as far as that is seen without asking them. */
static void check_managers(struct ini *f)
{
    struct dmux_config *c = config_of(f);
    struct slice links[CHAIN_LINKS_MAX];
    size_t count = CHAIN_LINKS_MAX;
    struct record self, realm;
    struct record_bytes b;
    struct record_error e;

    if (c->managers_count == 0 && c->root_managers_count > 0)
        ini_error(f, line_of(f, MESH, "RootManagers"), "found RootManagers, expected Managers with it");
    if (c->managers_count == 0)
        return;
    if (record_split(c->chain, c->chain_len, links, &count, &e) < 0 || count < 2 ||
        record_decode(links[count - 1].data, links[count - 1].len, &self, &b, &e) < 0 ||
        record_decode(links[count - 2].data, links[count - 2].len, &realm, &b, &e) < 0 ||
        !(self.flags & RECORD_FLAG_SERVES)) {
        ini_error(f, line_of(f, MESH, "ChainFile"),
                  "found a certificate without leave to serve in ChainFile, expected with Managers one of "
                  "`hawser realm enrol --serves`");
        return;
    }
    if (count > 2 && c->root_managers_count == 0)
        ini_error(f, line_of(f, MESH, "Managers"),
                  "found Managers with a Realm that is not the root's own, expected RootManagers too");
    c->tag = self.subject;
    memcpy(c->realm_key, realm.key, sizeof(c->realm_key));
}

/* A number is one provider's. */
static void check_providers(struct ini *f)
{
    const struct dmux_config *c = config_of(f);

    for (size_t i = 0; i < c->providers_count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (c->providers[i].id == c->providers[j].id) {
                const struct dmux_named *a = named_at(f, PROVIDER, i), *b = named_at(f, PROVIDER, j);

                ini_error(f, a->line,
                          "found Id = %" PRIu32 " in [Provider %s], expected another than [Provider %s] "
                          "has (line %u)",
                          c->providers[i].id, a->name, b->name, b->line);
                break;
            }
        }
    }
}

static void check_gateway(struct ini *f)
{
    const struct dmux_config *c = config_of(f);

    if (!prefix_contains(&c->prefix, &c->service))
        ini_error(f, line_of(f, GATEWAY, "Service"), "found a Service outside of Prefix, expected it inside");
    if (prefix_contains(&c->prefix, &c->address))
        ini_error(f, line_of(f, GATEWAY, "Address"),
                  "found the gateway's Address inside of Prefix, expected one that other gateways do not have");
    if (c->xdp && c->interface[0] == '\0')
        ini_error(f, line_of(f, GATEWAY, "DataPath"), "found DataPath = xdp without Interface, expected both");
    if (c->xdp && c->network_pps > 0)
        ini_error(f, line_of(f, GATEWAY, "NetworkRate"),
                  "found NetworkRate with DataPath = xdp, expected no limit, or DataPath = user");
    check_use(f, GATEWAY, "Interface", c->xdp, "DataPath = xdp");
    for (size_t i = 0; i < c->seeds_count; i++) {
        if (prefix_contains(&c->prefix, &c->seeds[i].at.addr))
            ini_error(f, named_at(f, SEED, i)->line,
                      "found [Seed %s] at an address inside of Prefix, expected a gateway's own",
                      named_at(f, SEED, i)->name);
    }
    check_providers(f);
    check_mesh(f);
    if (f->errors_count == 0)
        check_managers(f);
}

/* --- other operators --- */

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
    unsigned line = named_at(f, FEDERATION, i)->line;

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
    unsigned line = named_at(f, FEDERATION, i)->line;

    if (strcmp(a->authority.realm, c->mesh_realm) == 0)
        ini_error(f, line, "found the Realm of [Mesh] in [Federation %s], expected another operator's", a->name);
    if (prefixes_overlap(&a->prefix, &c->prefix))
        ini_error(f, line, "found a Prefix in [Federation %s] that is in that of [Gateway], expected another", a->name);
    for (size_t k = 0; k < c->authorities_count; k++) {
        if (overlap(&a->authority, &c->authorities[k]))
            ini_error(f, line,
                      "found Providers = %" PRIu32 "-%" PRIu32 " in [Federation %s], expected numbers that "
                      "[Authority %s] does not have (%" PRIu32 "-%" PRIu32 ")",
                      a->authority.provider_first, a->authority.provider_last, a->name, named_at(f, AUTHORITY, k)->name,
                      c->authorities[k].provider_first, c->authorities[k].provider_last);
    }
    for (size_t j = 0; j < i; j++)
        check_apart(f, c, i, j);
}

/* Which federation it is of. */
static void place_border(struct ini *f, struct dmux_config *c, size_t i, size_t counts[FEDERATION_REALMS_MAX])
{
    const struct dmux_border *e = &c->border_entries[i];
    const struct dmux_named *n = named_at(f, BORDER, i);
    struct federation_border *b = &c->borders[i];

    for (b->realm = 0; b->realm < c->federations_count; b->realm++) {
        if (strcmp(c->federations[b->realm].authority.realm, e->realm) == 0)
            break;
    }
    if (b->realm == c->federations_count) {
        ini_error(f, n->line, "found Realm = %s in [Border %s], expected one of a [Federation]", e->realm, n->name);
        return;
    }
    if (++counts[b->realm] > FEDERATION_LINKS_MAX)
        ini_error(f, n->line, "found more than %d sections [Border ...] of the realm %s, expected fewer",
                  FEDERATION_LINKS_MAX, e->realm);
    if (prefix_contains(&c->prefix, &e->at.addr) || prefix_contains(&c->federations[b->realm].prefix, &e->at.addr))
        ini_error(f, n->line, "found [Border %s] at an address inside of a Prefix, expected a gateway's own", n->name);
    if (addr_equal(&e->at.addr, &c->address))
        ini_error(f, n->line, "found [Border %s] at this gateway's Address, expected another gateway's", n->name);
    b->at = e->at;
    memcpy(b->x25519, e->x25519, sizeof(b->x25519));
}

static void check_federations(struct ini *f)
{
    struct dmux_config *c = config_of(f);
    size_t counts[FEDERATION_REALMS_MAX] = { 0 };

    for (size_t i = 0; i < c->federations_count; i++)
        check_realm(f, c, i);
    for (size_t i = 0; i < c->borders_count; i++)
        place_border(f, c, i, counts);
}

/* --- routers --- */

/* Keys and realms apart. */
static void sort_admits(struct ini *f)
{
    struct dmux_config *c = config_of(f);

    for (size_t i = 0; i < c->admits_count; i++) {
        const struct dmux_named *n = named_at(f, ADMIT, i);
        const struct dmux_admit *a = &c->admits[i];
        const char *wrong = a->has_key && (a->has_root || a->has_realm) ? "a key and a realm"
                            : a->has_root && !a->has_realm              ? "Root without Realm"
                            : a->has_realm && !a->has_root              ? "Realm without Root"
                            : !a->has_key && !a->has_root               ? "nothing"
                                                                        : NULL;

        if (wrong)
            ini_error(f, n->line, "found %s in [Admit %s], expected PublicKey, or Root and Realm", wrong, n->name);
        else if (a->has_key)
            c->members[c->members_count++] = a->key;
        else if (c->realms_count < ADMISSION_REALMS_MAX)
            c->realms[c->realms_count++] = a->realm;
        else
            ini_error(f, n->line, "found more than %d realms in sections [Admit ...], expected fewer",
                      ADMISSION_REALMS_MAX);
    }
}

/* What the protocol needs is there, and nothing else. */
static void check_needs(struct ini *f, const struct protocol_router *protocol)
{
    static const struct {
        enum protocol_needs need;
        const char *key;
    } keys[] = { { PROTOCOL_CLIENTS, "Clients" }, { PROTOCOL_OFFERS, "Offer" }, { PROTOCOL_OFFERS, "OfferChain" } };

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        unsigned line = line_of(f, ROUTER, keys[i].key);
        bool needed = protocol->needs & keys[i].need;

        if (needed && line == 0)
            ini_error(f, line_of(f, ROUTER, "Protocol"), "found Protocol = %s without %s, expected both",
                      protocol->name, keys[i].key);
        if (!needed && line > 0)
            ini_error(f, line, "found %s with Protocol = %s, expected none: it has no effect there", keys[i].key,
                      protocol->name);
    }
}

/* The protocol is asked whether it could begin. */
static void check_setup(struct ini *f, const struct protocol_router *protocol)
{
    const struct dmux_config *c = config_of(f);
    const struct protocol_setup setup = { .clients = c->clients,
                                          .offers = c->offers,
                                          .offers_count = c->offers_count,
                                          .offered = { c->offer_chain, c->offer_chain_len } };
    const char *key = protocol->needs & PROTOCOL_CLIENTS ? "Clients" : "Offer", *expected;
    CLEANUP(cleanup_free) void *state = calloc(1, protocol->state_bytes + 1);

    if (!state) {
        f->out_of_memory = true;
        return;
    }
    expected = protocol->init ? protocol->init(state, &setup) : NULL;
    if (expected)
        ini_error(f, line_of(f, ROUTER, key), "found %s that Protocol = %s does not take, expected %s", key,
                  protocol->name, expected);
}

/* The agent that nodes are told of is one. */
static void check_offer(struct ini *f)
{
    const struct dmux_config *c = config_of(f);
    unsigned line = line_of(f, ROUTER, "OfferChain");
    struct chain chain;

    if (!read_chain(c->offer_chain, c->offer_chain_len, &chain))
        ini_error(f, line, NO_CHAIN, "OfferChain");
    else if (!locate_is_agent(chain.end.name, chain.root.name))
        ini_error(f, line, "found the certificate of %s in OfferChain, expected that of agent.s.%s or agent-ANY.s.%s",
                  chain.end.name, chain.root.name, chain.root.name);
}

/* May who has this name provide it? */
static bool is_provider(const char *name, uint32_t provider, uint16_t protocol)
{
    uint32_t numbers[1 + PROVIDER_PROTOCOLS_MAX];
    struct name_error e;
    struct name n;
    size_t count;

    if (name_parse(name, strlen(name), &n, &e) < 0)
        return false;
    count = credentials_numbers(&n, "dmux-provider", numbers, ARRAY_LEN(numbers));
    if (count == 0 || numbers[0] != provider)
        return false;
    for (size_t i = 1; i < count; i++) {
        if (numbers[i] == protocol)
            return true;
    }
    return count == 1; /* no protocol is named: all */
}

/* Whether gateways with an authority will know the key, as far as that is seen without asking them. */
static void check_certificate(struct ini *f)
{
    const struct dmux_config *c = config_of(f);
    unsigned line = line_of(f, ROUTER, "ChainFile");
    struct chain chain;

    if (line == 0 || !chain_is_of(f, line, "ChainFile", &c->identity, c->chain, c->chain_len, &chain))
        return;
    if (!is_provider(chain.end.name, c->provider, c->protocol))
        ini_error(f, line,
                  "found the certificate of %s in ChainFile, expected that of dmux-provider-%" PRIu32
                  ".s or dmux-provider-%" PRIu32 "-%u.s",
                  chain.end.name, c->provider, c->provider, c->protocol);
}

static void check_router(struct ini *f)
{
    const struct dmux_config *c = config_of(f);
    const struct protocol_router *protocol = protocol_router_find(c->protocol);

    check_needs(f, protocol);
    if (f->errors_count == 0)
        check_setup(f, protocol);
    if (f->errors_count == 0 && protocol->needs & PROTOCOL_OFFERS)
        check_offer(f);
    check_certificate(f);
    check_use(f, ROUTER, "Admission", c->admits_count > 0, "[Admit NAME]");
    check_use(f, ROUTER, "Admissions", c->admits_count > 0, "[Admit NAME]");
    if (c->protocol == LOCATE_ID && c->admits_count > 0)
        ini_error(f, named_at(f, ADMIT, 0)->line,
                  "found [Admit %s] with Protocol = hawser, expected none: nodes show nothing",
                  named_at(f, ADMIT, 0)->name);
    sort_admits(f);
}

/* --- clients --- */

static void check_credential(struct ini *f, size_t i)
{
    const struct dmux_config *c = config_of(f);
    const struct credential *x = &c->credentials[i];
    const struct dmux_named *n = named_at(f, CREDENTIAL, i);
    char file[32 + DMUX_NAME_MAX];
    struct chain chain;

    snprintf(file, sizeof(file), "ChainFile of [Credential %s]", n->name);
    if (x->chain_len > 0)
        chain_is_of(f, n->line, file, &x->identity, x->chain, x->chain_len, &chain);
    if (c->provider != PROVIDER_ANY && x->provider != c->provider)
        ini_error(f, n->line, "found Provider = %" PRIu32 " in [Credential %s], expected the client's, %" PRIu32,
                  x->provider, n->name, c->provider);
    for (size_t j = 0; j < i; j++) {
        if (c->credentials[j].provider == x->provider) {
            ini_error(f, n->line,
                      "found Provider = %" PRIu32 " in [Credential %s] as in [Credential %s] (line %u), "
                      "expected one section for it",
                      x->provider, n->name, named_at(f, CREDENTIAL, j)->name, named_at(f, CREDENTIAL, j)->line);
            break;
        }
    }
}

/* What goes into the device can come out of it. */
static void check_routes(struct ini *f)
{
    const struct dmux_config *c = config_of(f);
    const struct protocol_client *protocol = protocol_client_find(c->protocol);
    size_t others = 0;

    for (size_t i = 0; i < c->routes_count; i++)
        others += protocol->routes != ADDR_NONE && c->routes[i].addr.family != protocol->routes;
    /* A queue takes nothing else; beside others, one that the device does not carry is of no effect. */
    if (others > 0 && (c->queued || others == c->routes_count))
        ini_error(f, line_of(f, CLIENT, "Routes"), "found Routes of IPv%c with Protocol = %s, expected IPv%u",
                  protocol->routes == ADDR_V4 ? '6' : '4', protocol->name, protocol->routes);
}

static void check_capture(struct ini *f)
{
    const struct dmux_config *c = config_of(f);
    unsigned line = line_of(f, CLIENT, "Capture");

    check_use(f, CLIENT, "Queue", c->queued, "Capture = queue");
    check_use(f, CLIENT, "IpProtocol", c->queued, "Capture = queue");
    if (c->queued && c->protocol != DMUX_IPV4)
        ini_error(f, line, "found Capture = queue with Protocol = %s, expected Protocol = ipv4",
                  protocol_client_find(c->protocol)->name);
    else if (c->queued && c->routes_count == 0)
        ini_error(f, line, "found Capture = queue without Routes, expected both");
    else
        check_routes(f);
}

static void check_client(struct ini *f)
{
    const struct dmux_config *c = config_of(f);

    check_capture(f);
    for (size_t i = 0; i < c->credentials_count; i++)
        check_credential(f, i);
}

/* --- the whole --- */

void dmux_config_check(struct dmux_parse *p)
{
    static void (*const by_role[])(struct ini *) = {
        [DMUX_ROLE_GATEWAY] = check_gateway, [DMUX_ROLE_ROUTER] = check_router, [DMUX_ROLE_CLIENT] = check_client
    };
    struct ini *f = &p->ini;

    if (f->errors_count == 0)
        check_roles(f);
    if (f->errors_count == 0)
        check_sections(f);
    if (f->errors_count == 0)
        by_role[p->c->role](f);
    if (f->errors_count == 0)
        check_federations(f);
}
