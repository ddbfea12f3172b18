/* prog/host.c - a host: who it is, whom it calls, and whom it lets in.
 *
 * Theory of operation. A host is its identifier: the tag at the end of its chain of records, or, without a chain, the
 * tag that its key has outside of realms. Packets to other tags are routed to the device; whom the core does not know
 * there (NODE_WANTED) is looked up among the peers of the file, and then asked of the realm managers ([Names]), who say
 * which key has that tag and where it is; when none of its paths works (NODE_PEER_LOST), they are asked anew. Who calls
 * says who he is and, if his realm enrolled him, proves it: he is let in when the root of the file proves it, or when
 * the file names his key and his tag. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "ident/chain.h"
#include "ident/hash.h"
#include "prog/daemon.h"

#define CHECK_AGAIN (3600 * SEC) /* chosen: what a caller has shown, by what was revoked since */
#define FACTS_MAX 4096           /* chosen: sequences and revocations; 350 KB when full */

/* A question to the managers about one identifier. */
struct search {
    struct daemon *d;
    struct addr identifier;
    struct search *next;
};

struct host {
    struct tag tag;
    struct trust *trust; /* NULL: no root is given */
    struct tag *peers;   /* of the file's, in its order */
    uint8_t said[NODE_INTRODUCTION_MAX];
    size_t said_len;
    struct endpoint at[NODE_ENDPOINTS_MAX]; /* as who called us is told */
    size_t at_count, near;                  /* near: of our own addresses, which come first */
    uint64_t routes;                        /* a bit each uplink and family that has a default route */
    struct search *searches;                /* under way */
};

static uint64_t wall_s(void)
{
    time_t t = time(NULL);

    return t > 0 ? (uint64_t)t : 0;
}

static struct addr addr_of(const struct tag *t)
{
    return addr_from_bytes(ADDR_V6, t->bytes);
}

/* Records in a row. Their number; 0: none, too many, or no records. */
static size_t split(const uint8_t *bytes, size_t len, struct slice out[CHAIN_LINKS_MAX])
{
    size_t count = CHAIN_LINKS_MAX;
    struct record_error e;

    return record_split(bytes, len, out, &count, &e) < 0 ? 0 : count;
}

/* --- who we are --- */

static int trust_make(struct host *h, const char *path)
{
    const struct rng rng = sys_rng();
    const struct trust_options o = { .cached_max = TRUST_CACHED_DEFAULT, .facts_max = FACTS_MAX, .rng = &rng };
    char err[256], why[RECORD_ERROR_STRLEN];
    struct record_bytes b;
    struct record_error e;
    struct record root;
    uint8_t *bytes;
    size_t len;
    int r = store_read(path, &bytes, &len, err, sizeof(err));

    if (r < 0) {
        say(LOG_ERR, "root: %s", err);
        return r;
    }
    r = record_decode(bytes, len, &root, &b, &e);
    if (r == 0 && root.type != RECORD_ROOT)
        r = -EBADMSG;
    if (r == 0)
        h->trust = trust_new(root.key, &o);
    if (r == -EBADMSG)
        say(LOG_ERR, "root file=%s: expected the record of a root: %s", path,
            root.type == RECORD_ROOT ? record_error_format(&e, why) : "found another");
    else if (!h->trust)
        r = -ENOMEM;
    free(bytes);
    return r;
}

/* The chain of the file must be ours. */
static int take_chain(struct host *h, const char *path, const struct identity *self)
{
    struct slice links[CHAIN_LINKS_MAX];
    char err[256], why[RECORD_ERROR_STRLEN];
    struct chain_end end;
    struct record_error e;
    uint8_t *bytes;
    size_t len, count;
    int r = store_read(path, &bytes, &len, err, sizeof(err));

    if (r < 0) {
        say(LOG_ERR, "chain: %s", err);
        return r;
    }
    count = len <= sizeof(h->said) - sizeof(h->tag) ? split(bytes, len, links) : 0;
    if (count == 0) {
        say(LOG_ERR, "chain file=%s: expected 2 to %d records in a row", path, CHAIN_LINKS_MAX);
        r = -EBADMSG;
    } else if ((r = trust_verify(h->trust, links, count, wall_s(), &end, &e)) < 0) {
        say(LOG_ERR, "chain file=%s record=%u: %s", path, e.link,
            r == -EBADMSG ? record_error_format(&e, why) : strerror(-r));
    } else if (end.is_realm || tag_tier(&end.tag) != TAG_TIER_HOST ||
               !ident_equal(end.key, self->ed25519, IDENT_KEY_LEN)) {
        say(LOG_ERR, "chain file=%s: found that of %s, expected this host's: its name has the letter h, its key is %s",
            path, end.name, "that of PrivateKey");
        r = -EBADMSG;
    } else {
        h->tag = end.tag;
        memcpy(h->said + sizeof(h->tag), bytes, len);
        h->said_len = sizeof(h->tag) + len;
        say(LOG_NOTICE, "host name=%s", end.name);
    }
    free(bytes);
    return r;
}

static int take_peers(struct host *h, const struct config *c)
{
    static const struct tag none;
    int r = 0;

    h->peers = calloc(MAX(c->peers_count, (size_t)1), sizeof(*h->peers));
    if (!h->peers)
        return -ENOMEM;
    for (size_t i = 0; i < c->peers_count && r == 0; i++) {
        const struct config_peer *p = &c->peers[i];

        h->peers[i] = p->identifier;
        if (tag_equal(&p->identifier, &none))
            r = tag_make(p->key.ed25519, TAG_RAA_DEFAULT, TAG_HDA_DEFAULT, &h->peers[i]);
        else if ((r = tag_verify(&p->identifier, p->key.ed25519)) < 0)
            say(LOG_ERR, "peer=%s: its Identifier is not of its PublicKey", p->name);
    }
    return r;
}

int host_start(struct daemon *d)
{
    const struct config *c = d->config;
    char text[TAG_STRLEN];
    struct host *h;
    int r = 0;

    if (c->role != CONFIG_HOST)
        return 0;
    h = d->host = calloc(1, sizeof(*h));
    if (!h)
        return -ENOMEM;
    if (c->names.root)
        r = trust_make(h, c->names.root);
    if (r == 0 && c->names.chain)
        r = take_chain(h, c->names.chain, &c->identity);
    else if (r == 0)
        r = tag_make(c->identity.ed25519, TAG_RAA_DEFAULT, TAG_HDA_DEFAULT, &h->tag);
    if (r == 0)
        r = take_peers(h, c);
    if (r < 0)
        return r;
    memcpy(h->said, h->tag.bytes, sizeof(h->tag));
    h->said_len = MAX(h->said_len, sizeof(h->tag));
    say(LOG_NOTICE, "host identifier=%s", tag_format(&h->tag, text));
    return 0;
}

int host_attach(struct daemon *d)
{
    struct host *h = d->host;
    struct slice links[CHAIN_LINKS_MAX];
    int r;

    if (!h || h->said_len <= sizeof(h->tag))
        return 0;
    r = attach_start(d, links, split(h->said + sizeof(h->tag), h->said_len - sizeof(h->tag), links), &h->tag);
    if (r == 0)
        attach_where(d, h->at, h->at_count, h->near, clock_now());
    return r;
}

void host_stop(struct daemon *d)
{
    if (!d->host)
        return;
    for (struct search *s = d->host->searches, *next; s; s = next) { /* the loop has ended */
        next = s->next;
        free(s);
    }
    trust_free(d->host->trust);
    free(d->host->peers);
    free(d->host);
    d->host = NULL;
}

void host_options(const struct daemon *d, struct node_options *o)
{
    o->role = ROLE_HOST;
    o->strangers = true;
    o->identifier = addr_of(&d->host->tag);
    o->introduction = (struct slice){ d->host->said, d->host->said_len };
}

struct addr host_identifier(const struct daemon *d)
{
    return addr_of(&d->host->tag);
}

/* --- where we are --- */

static bool listed(const struct endpoint *list, size_t count, const struct endpoint *e)
{
    for (size_t i = 0; i < count; i++)
        if (endpoint_equal(&list[i], e))
            return true;
    return false;
}

/* Where uplinks are outside of their NATs and not among these: as their gateways say, or as managers see them. At most
 * half of what can be said; returns how many. */
static size_t outside_of(const struct daemon *d, const struct endpoint *at, size_t count,
                         struct endpoint ret[NODE_ENDPOINTS_MAX / 2])
{
    size_t n = 0;

    for (unsigned i = 1; i <= UPLINKS_MAX; i++) {
        const struct endpoint both[] = { portmaps_place(d, i), attach_seen(d, i) };

        for (size_t j = 0; j < ARRAY_LEN(both) && n < NODE_ENDPOINTS_MAX / 2; j++)
            if (both[j].addr.family != ADDR_NONE && !listed(at, count, &both[j]) && !listed(ret, n, &both[j]))
                ret[n++] = both[j];
    }
    return n;
}

void host_refresh(struct daemon *d, instant now)
{
    struct endpoint at[NODE_ENDPOINTS_MAX] = { 0 }, outside[NODE_ENDPOINTS_MAX / 2];
    struct host *h = d->host;
    bool same, routed;
    uint64_t routes = 0;
    size_t count = 0, near, far;

    attach_uplinks(d);
    for (unsigned i = 1; i <= UPLINKS_MAX; i++) {
        const struct nlmon_link *l =
            d->uplinks[i].used && d->uplinks[i].node.up ? nlmon_link_find(d->netlink, d->uplinks[i].node.name) : NULL;

        for (unsigned v6 = 0; l && v6 < 2; v6++)
            routes |= (uint64_t)d->uplinks[i].has_route[v6] << (2 * (i - 1) + v6);
        for (size_t j = 0; l && j < l->addrs_count && count < NODE_ENDPOINTS_MAX; j++)
            if (!l->addrs[j].tentative && !addr_is_link_local(&l->addrs[j].addr))
                at[count++] = (struct endpoint){ l->addrs[j].addr, (uint16_t)d->config->listen_port };
    }
    far = outside_of(d, at, count, outside);
    near = MIN(count, NODE_ENDPOINTS_MAX - far);
    memset(&at[near], 0, sizeof(at) - near * sizeof(at[0]));
    memcpy(&at[near], outside, far * sizeof(outside[0]));
    count = near + far;
    /* What is new first: a peer that has lost the old place has the new one to go to. */
    for (size_t i = 0; i < count; i++)
        if (!listed(h->at, h->at_count, &at[i]))
            (void)!node_announce(daemon_node(d), &at[i], true, now);
    for (size_t i = 0; i < h->at_count; i++)
        if (!listed(at, count, &h->at[i]))
            (void)!node_announce(daemon_node(d), &h->at[i], false, now);
    same = count == h->at_count && memcmp(at, h->at, count * sizeof(at[0])) == 0;
    routed = (routes & ~h->routes) != 0;
    h->routes = routes;
    if (same && !routed)
        return;
    memcpy(h->at, at, sizeof(at));
    h->at_count = count;
    h->near = near;
    if (count == 0) /* between two networks, or for longer: then the lease tells */
        return;
    attach_where(d, at, count, near, now);
    node_seek(daemon_node(d), now);
    if (routed && names_lookup(d)) /* what was sent before found no way */
        lookup_on_network(names_lookup(d));
}

/* --- others --- */

static const struct config_peer *peer_at(const struct daemon *d, const struct addr *identifier)
{
    for (size_t i = 0; i < d->config->peers_count; i++)
        if (memcmp(d->host->peers[i].bytes, identifier->bytes, sizeof(d->host->peers[i].bytes)) == 0)
            return &d->config->peers[i];
    return NULL;
}

static void endpoints_of(const struct config_peer *p, struct node_peer_spec *ret)
{
    for (size_t i = 0; i < p->endpoints.count && ret->endpoints_count < NODE_ENDPOINTS_MAX; i++)
        if (p->endpoints.items[i].at.addr.family != ADDR_NONE)
            ret->endpoints[ret->endpoints_count++] = p->endpoints.items[i].at;
}

/* When a chain that ends then does, by this clock. */
static instant until_of(uint64_t not_after_s, instant now)
{
    uint64_t wall = wall_s();

    if (not_after_s == 0 || wall == 0)
        return INSTANT_NEVER;
    return not_after_s <= wall ? now : now + (span)MIN(not_after_s - wall, (uint64_t)INT32_MAX) * SEC;
}

static void on_found(void *context, const struct resolver_result *res)
{
    struct search *s = context, **at;
    struct daemon *d = s->d;
    struct worker *w = &d->workers[0];
    struct node_peer_spec spec = { .name = "" };
    instant now = clock_now();
    char text[ADDR_STRLEN];
    struct record_error e;
    struct record_bytes b;
    struct record record;
    int peer, r = 0;

    if (res->outcome == RESOLVER_FOUND && record_decode(res->record.data, res->record.len, &record, &b, &e) == 0)
        spec.endpoints_count = record_locators(&record, spec.endpoints, NODE_ENDPOINTS_MAX);
    if (spec.endpoints_count > 0 && res->relay.at.addr.family != ADDR_NONE) {
        spec.endpoints_count = MIN(spec.endpoints_count, (size_t)NODE_ENDPOINTS_MAX - 1);
        spec.endpoints[spec.endpoints_count++] = relayed_add(d, &res->relay, now);
    }
    peer = node_peer_at(w->node, &s->identifier);
    if (spec.endpoints_count == 0) {
        say(LOG_INFO, "wanted identifier=%s: %s", addr_format(&s->identifier, text),
            res->outcome == RESOLVER_FAILED ? resolver_why_name(res->why) : "not attached, or not for us to know");
        if (res->outcome != RESOLVER_FAILED) /* else it is asked again while packets wait */
            node_unwanted(w->node, &s->identifier, now);
    } else if (peer >= 0) {
        node_relocate(w->node, (unsigned)peer, spec.endpoints, spec.endpoints_count, now);
    } else {
        snprintf(spec.name, sizeof(spec.name), "%.*s", NODE_NAME_SIZE - 1, res->subject.name);
        memcpy(spec.key.ed25519, res->subject.key, sizeof(spec.key.ed25519));
        memcpy(spec.key.x25519, res->subject.x25519, sizeof(spec.key.x25519));
        spec.key.suites = res->subject.suites;
        r = node_call(w->node, &spec, &s->identifier, until_of(res->subject.not_after_s, now), now);
    }
    if (r < 0 && r != -EALREADY)
        say(LOG_ERR, "call name=%s: %s", spec.name, strerror(-r));
    for (at = &d->host->searches; *at != s; at = &(*at)->next)
        ;
    *at = s->next;
    free(s);
    daemon_turn(w, now);
}

/* True if the managers are asked, now or already. anew: not what is known. calls: who has it is told that we call. */
static bool search(struct daemon *d, const struct addr *identifier, bool anew, bool calls)
{
    struct resolver_question q = { .kind = KIND_HOST_LOCATOR, .anew = anew };
    const struct host *h = d->host;
    struct search *s;

    memcpy(q.tag.bytes, identifier->bytes, sizeof(q.tag.bytes));
    if (anew && names_lookup(d))
        lookup_on_stale(names_lookup(d), &q.tag); /* for the DNS, too */
    for (s = d->host->searches; s; s = s->next)
        if (addr_equal(&s->identifier, identifier))
            return true;
    if (!names_lookup(d) || identifier->family != ADDR_V6 || !(s = malloc(sizeof(*s))))
        return false;
    *s = (struct search){ .d = d, .identifier = *identifier, .next = d->host->searches };
    d->host->searches = s; /* before: the answer may be known */
    q.places_count = calls ? MIN(h->at_count, (size_t)MAPPING_PLACES_MAX) : 0;
    memcpy(q.places, h->at, q.places_count * sizeof(h->at[0]));
    if (lookup_ask(names_lookup(d), &q, on_found, NULL, s) == 0)
        return true;
    d->host->searches = s->next;
    free(s);
    return false;
}

static void call(struct worker *w, const struct addr *identifier, bool back, instant now)
{
    const struct config_peer *p = peer_at(w->d, identifier);
    struct node_peer_spec spec = { .name = "" };
    char text[ADDR_STRLEN];
    int r;

    if (p)
        endpoints_of(p, &spec);
    if (spec.endpoints_count == 0 && search(w->d, identifier, false, !back))
        return;
    if (spec.endpoints_count == 0) {
        say(LOG_INFO, "wanted identifier=%s: %s", addr_format(identifier, text), p ? "no endpoint" : "not known");
        node_unwanted(w->node, identifier, now);
        return;
    }
    snprintf(spec.name, sizeof(spec.name), "%s", p->name);
    spec.key = p->key;
    r = node_call(w->node, &spec, identifier, INSTANT_NEVER, now);
    if (r < 0 && r != -EALREADY)
        say(LOG_ERR, "call peer=%s: %s", p->name, strerror(-r));
}

/* Is it true what a caller with this key says of himself, and until when? */
static bool proven(const struct daemon *d, const struct slice *said, const struct peer_key *key, struct tag *ret,
                   char name[NAME_SIZE], instant *ret_until, instant now)
{
    const struct host *h = d->host;
    struct slice links[CHAIN_LINKS_MAX];
    struct chain_end end;
    struct record_error e;
    size_t count;

    if (said->len < sizeof(ret->bytes))
        return false;
    memcpy(ret->bytes, said->data, sizeof(ret->bytes));
    for (size_t i = 0; i < d->config->peers_count; i++)
        if (tag_equal(&h->peers[i], ret) && peer_key_equal(&d->config->peers[i].key, key)) {
            snprintf(name, NAME_SIZE, "%s", d->config->peers[i].name);
            *ret_until = INSTANT_NEVER;
            return true;
        }
    count = h->trust ? split(said->data + sizeof(ret->bytes), said->len - sizeof(ret->bytes), links) : 0;
    if (count == 0 || trust_verify(h->trust, links, count, wall_s(), &end, &e) < 0 || end.is_realm ||
        tag_tier(&end.tag) != TAG_TIER_HOST || !tag_equal(&end.tag, ret) ||
        !ident_equal(end.key, key->ed25519, IDENT_KEY_LEN))
        return false;
    snprintf(name, NAME_SIZE, "%s", end.name);
    *ret_until = instant_min(until_of(end.not_after_s, now), now + CHECK_AGAIN);
    return true;
}

static void introduced(struct worker *w, const struct node_event *ev, instant now)
{
    char name[NAME_SIZE], text[ADDR_STRLEN];
    struct addr identifier;
    struct tag tag;
    instant until;

    if (!proven(w->d, &ev->said, &node_peer_spec(w->node, ev->peer)->key, &tag, name, &until, now)) {
        say(LOG_WARNING, "caller-refused peer=%u: not proven by the root, and not in the file", ev->peer);
        node_peer_close(w->node, ev->peer, now);
        return;
    }
    identifier = addr_of(&tag);
    say(LOG_NOTICE, "caller name=%s identifier=%s", name, addr_format(&identifier, text));
    node_admit(w->node, ev->peer, name, &identifier, until, now);
}

/* It may be a NAT that began anew: then managers see us elsewhere, and the relay drops what comes from there. */
void host_on_trouble(struct daemon *d, instant now)
{
    if (names_lookup(d) && d->attach)
        lookup_look(names_lookup(d));
    relayed_hurry(d, now);
}

void host_on_called(struct daemon *d, const struct tag *caller, const struct endpoint *places, size_t count,
                    const struct mapping_relay *relay)
{
    const struct addr who = addr_of(caller);
    instant now = clock_now();
    char text[TAG_STRLEN];

    say(LOG_INFO, "called identifier=%s places=%zu", tag_format(caller, text), count);
    if (relay->at.addr.family != ADDR_NONE)
        (void)relayed_add(d, relay, now);
    node_expect(daemon_node(d), &who, places, count, now);
    daemon_turn(&d->workers[0], now);
}

void host_on_event(struct worker *w, const struct node_event *ev, instant now)
{
    struct node_peer_spec spec = { .name = "" };
    const struct config_peer *p;

    switch (ev->type) {
    case NODE_WANTED:
        call(w, &ev->address, !ev->fresh, now);
        break;
    case NODE_INTRODUCED:
        introduced(w, ev, now);
        break;
    case NODE_PEER_LOST:
        p = peer_at(w->d, &ev->address);
        if (p)
            endpoints_of(p, &spec);
        if (spec.endpoints_count > 0)
            node_relocate(w->node, ev->peer, spec.endpoints, spec.endpoints_count, now);
        else
            (void)search(w->d, &ev->address, true, true);
        break;
    default:
        break;
    }
}
