/* sim/gateways.c - see gateways.h.
 *
 * Theory of operation. One heap of what is to come: a request on its way to the manager, an answer on its way back, a
 * link that comes up, what is told over one, an end that has been silent for too long, and for each gateway the time at
 * which its directory or resolver wants to be looked at. A message carries what it needs, so nothing is looked up when
 * it arrives but who is alive.
 *
 * The realm is a root with a policy that lets its own know everything; all gateways are services of it, enrolled to
 * serve. Keys are drawn from the seed. */
#include "sim/gateways.h"

#include "base/heap.h"
#include "base/list.h"
#include "dmux/mesh.h"
#include "sim/earth.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>

#define PROTOCOL 6
#define PROVIDER(service) ((uint32_t)(service) + 2)
#define CLIENT(want) (0x0a000001u + ((uint32_t)(want) << 8)) /* each of a network of its own */
#define WALL_S 1750000000u
#define MANAGER 0 /* stands where that gateway does */

enum coming_type { TO_MANAGER, TO_GATEWAY, LINK_UP, NEWS, SILENT, LOOK };

struct coming {
    struct heap_item timer; /* first */
    enum coming_type type;
    size_t gateway, other; /* where it happens, and whose it is */
    bool is_tell, here;
    uint64_t id; /* ask of the resolver, or of the directory */
    size_t service, len;
    uint8_t bytes[];
};

struct link {
    size_t other;
    bool wanted; /* by this end */
};

struct gateway_at {
    struct coord coord;
    uint8_t seed[IDENT_KEY_LEN], key[IDENT_KEY_LEN];
    struct directory *directory;
    struct resolver *resolver;
    bool dead;
    struct link *links; /* owned */
    size_t links_count, links_size;
    uint32_t *here; /* owned: services of which it has a router */
    size_t here_count, here_size;
    long *wants; /* owned */
    size_t wants_count, wants_size;
    instant wants_at; /* when its clients send again */
    struct coming look;
};

struct gateways {
    struct gateways_options o;
    struct earth_host *hosts;
    struct gateway_at *gateways;
    struct manager *manager;
    bool cut;
    size_t parted[2]; /* equal: nobody is */
    uint8_t root_seed[IDENT_KEY_LEN], root_key[IDENT_KEY_LEN];
    uint8_t root[RECORD_BYTES_MAX];
    size_t root_len;
    struct tag realm;
    struct prng prng;
    struct rng rng;
    struct heap heap;
    instant now;
    struct gateways_counts counts;
    uint8_t out[MAPPING_BYTES_MAX];
};

/* Room for one more of `size` bytes each. */
static void *grow(void *items, size_t count, size_t *size, size_t each)
{
    if (count < *size)
        return items;
    *size = MAX(*size * 2, (size_t)4);
    items = realloc(items, *size * each);
    assert(items);
    return items;
}

double gateways_way_ms(const struct gateways *w, size_t i, size_t j)
{
    return i == j ? 0 : earth_way_ms(w->hosts, w->o.seed, i, j);
}

double gateways_estimate_ms(const struct gateways *w, size_t i, size_t j)
{
    return i == j ? 0 : coord_estimate_us(&w->gateways[i].coord, &w->gateways[j].coord) / 1e3;
}

static span half_way(const struct gateways *w, size_t i, size_t j)
{
    return (span)(gateways_way_ms(w, i, j) / 2 * MSEC) + 1;
}

static struct endpoint at_of(size_t gateway)
{
    return (struct endpoint){ .addr = addr_v4(0x0a000000u + (uint32_t)gateway + 1), .port = DMUX_PORT };
}

/* --- what is to come --- */

static void put(struct gateways *w, struct coming *c, instant at)
{
    int r = heap_reserve(&w->heap, w->heap.count + 1);

    assert(r == 0);
    (void)r;
    heap_set(&w->heap, &c->timer, at);
}

static struct coming *coming_new(enum coming_type type, size_t gateway, size_t other, const uint8_t *bytes, size_t len)
{
    struct coming *c = malloc(sizeof(*c) + len);

    assert(c);
    *c = (struct coming){ .type = type, .gateway = gateway, .other = other, .len = len };
    if (len > 0)
        memcpy(c->bytes, bytes, len);
    return c;
}

static void arm(struct gateways *w, size_t i)
{
    struct gateway_at *g = &w->gateways[i];
    instant at = instant_min(directory_next_expiry(g->directory), resolver_next_expiry(g->resolver));

    if (g->wants_count > 0)
        at = instant_min(at, g->wants_at);
    at = g->dead ? INSTANT_NEVER : MAX(at, w->now);
    if (g->look.timer.pos == 0 || g->look.timer.at != at)
        put(w, &g->look, at);
}

/* --- links --- */

static struct link *link_of(const struct gateways *w, size_t gateway, size_t other)
{
    struct gateway_at *g = &w->gateways[gateway];

    for (size_t i = 0; i < g->links_count; i++) {
        if (g->links[i].other == other)
            return &g->links[i];
    }
    return NULL;
}

static void tell_later(struct gateways *w, size_t from, size_t to, size_t service, bool here)
{
    struct coming *c = coming_new(NEWS, to, from, NULL, 0);

    c->service = service;
    c->here = here;
    put(w, c, w->now + half_way(w, from, to));
    w->counts.news += 2;
}

static void link_add(struct gateways *w, size_t gateway, size_t other, bool wanted)
{
    struct gateway_at *g = &w->gateways[gateway], *o = &w->gateways[other];
    struct directory_entry e = { .gateway = (uint32_t)other + 1, .at = at_of(other), .place = o->coord };

    g->links = grow(g->links, g->links_count, &g->links_size, sizeof(*g->links));
    g->links[g->links_count++] = (struct link){ .other = other, .wanted = wanted };
    directory_on_peer(g->directory, &e, w->now);
    for (size_t i = 0; i < g->here_count; i++)
        tell_later(w, gateway, other, g->here[i], true);
}

/* One end does not hear the other any more. */
static void link_remove(struct gateways *w, size_t gateway, size_t other)
{
    struct gateway_at *g = &w->gateways[gateway];
    struct link *l = link_of(w, gateway, other);

    if (!l)
        return;
    *l = g->links[--g->links_count];
    directory_on_peer_gone(g->directory, (uint32_t)other + 1, w->now);
}

static void silent_later(struct gateways *w, size_t gateway, size_t other)
{
    put(w, coming_new(SILENT, gateway, other, NULL, 0), w->now + MESH_SILENCE);
}

static bool is_parted(const struct gateways *w, size_t one, size_t other)
{
    return one != other && (w->parted[0] == one || w->parted[1] == one) &&
           (w->parted[0] == other || w->parted[1] == other);
}

static void link_up(struct gateways *w, size_t gateway, size_t other)
{
    struct gateway_at *g = &w->gateways[gateway], *o = &w->gateways[other];
    struct link *l = link_of(w, gateway, other);

    if (g->dead || o->dead || is_parted(w, gateway, other))
        return;
    if (l) {
        l->wanted = true;
        return;
    }
    if (g->links_count >= w->o.links_max || o->links_count >= w->o.links_max) {
        w->counts.refused++;
        return;
    }
    w->counts.handshakes++;
    link_add(w, gateway, other, true);
    link_add(w, other, gateway, false);
    arm(w, other);
}

static void unlink_from(struct gateways *w, size_t gateway, size_t other)
{
    struct link *mine = link_of(w, gateway, other), *its = link_of(w, other, gateway);

    if (!mine)
        return;
    mine->wanted = false;
    if (its && its->wanted)
        return;
    silent_later(w, gateway, other); /* nobody pings any more */
    silent_later(w, other, gateway);
}

static void on_silent(struct gateways *w, size_t gateway, size_t other)
{
    const struct link *mine = link_of(w, gateway, other), *its = link_of(w, other, gateway);

    if (!mine || (!w->gateways[other].dead && !is_parted(w, gateway, other) && (mine->wanted || (its && its->wanted))))
        return; /* somebody has wanted it again */
    link_remove(w, gateway, other);
}

/* --- the manager --- */

static void send(struct gateways *w, size_t gateway, bool is_tell, uint64_t id, const uint8_t *bytes, size_t len)
{
    struct coming *c = coming_new(TO_MANAGER, gateway, gateway, bytes, len);

    c->is_tell = is_tell;
    c->id = id;
    put(w, c, w->now + half_way(w, gateway, MANAGER) + MSEC / 10);
}

static void at_manager(struct gateways *w, struct coming *c)
{
    const struct manager_who who = { .peer = c->gateway + 1, .ed25519 = w->gateways[c->gateway].key };
    struct mapping_request r;
    struct manager_reply reply;
    struct coming *back;

    if (c->is_tell)
        w->counts.tells++;
    else
        w->counts.asks++;
    if (c->is_tell && mapping_request_read(c->bytes, c->len, &r) == 0)
        w->counts.written += r.type == MAPPING_REGISTER;
    manager_on_request(w->manager, &who, c->bytes, c->len, w->now, WALL_S + (uint64_t)(w->now / SEC), w->out, &reply);
    back = coming_new(TO_GATEWAY, c->gateway, c->gateway, w->out, w->cut ? 0 : reply.len);
    back->is_tell = c->is_tell;
    back->id = c->id;
    put(w, back, w->now + half_way(w, c->gateway, MANAGER));
}

static void at_gateway(struct gateways *w, struct coming *c)
{
    struct gateway_at *g = &w->gateways[c->gateway];

    if (g->dead)
        return;
    if (c->is_tell)
        directory_on_told(g->directory, c->id, c->len > 0 ? c->bytes : NULL, c->len, w->now);
    else if (c->len > 0)
        resolver_on_answer(g->resolver, c->id, c->bytes, c->len, w->now);
    else
        resolver_on_failed(g->resolver, c->id, w->now);
}

/* --- a gateway --- */

static void send_packets(struct gateways *w, struct gateway_at *g)
{
    int r = 0;

    if (g->wants_count == 0 || g->wants_at > w->now)
        return;
    for (size_t i = 0; i < g->wants_count && r == 0; i++)
        r = directory_want(g->directory, PROTOCOL, g->wants[i] < 0 ? PROVIDER_ANY : PROVIDER(g->wants[i]), CLIENT(i),
                           w->now);
    assert(r == 0);
    (void)r;
    g->wants_at = w->now + 20 * SEC;
}

static void on_resolved(struct gateways *w, struct gateway_at *g, const struct resolver_event *ev)
{
    const struct resolver_result *r = &ev->result;

    w->counts.mistrusted += r->why == RESOLVER_WHY_RECORD;
    directory_on_found(g->directory, (uint64_t)(uintptr_t)ev->context, r->outcome, r->record, w->now);
}

static void ask(struct gateways *w, struct gateway_at *g, const struct directory_event *ev)
{
    const struct resolver_question q = { .tag = ev->tag, .kind = KIND_SERVICE_ROUTER, .anew = ev->anew };

    if (resolver_ask(g->resolver, &q, (void *)(uintptr_t)ev->id, w->now) < 0)
        directory_on_found(g->directory, ev->id, RESOLVER_FAILED, (struct slice){ 0 }, w->now);
}

static void pump(struct gateways *w, size_t i)
{
    static uint8_t request[HOLDER_REQUEST_MAX];
    struct gateway_at *g = &w->gateways[i];
    struct directory_event ev;
    struct resolver_event re;
    bool more = true;

    while (more) {
        more = false;
        while (directory_pop_event(g->directory, &ev, request, w->now)) {
            more = true;
            if (ev.type == DIRECTORY_ASK)
                ask(w, g, &ev);
            else if (ev.type == DIRECTORY_TELL)
                send(w, i, true, ev.id, request, ev.len);
            else if (ev.type == DIRECTORY_UNLINK)
                unlink_from(w, i, ev.peer.gateway - 1);
            else
                put(w, coming_new(LINK_UP, i, ev.peer.gateway - 1, NULL, 0),
                    w->now + 4 * half_way(w, i, ev.peer.gateway - 1));
        }
        while (resolver_pop_event(g->resolver, &re, w->now)) {
            more = true;
            if (re.type == RESOLVER_ASK)
                send(w, i, false, re.ask, re.data, re.len);
            else if (re.type == RESOLVER_DONE)
                on_resolved(w, g, &re);
        }
    }
}

static void happen(struct gateways *w, struct coming *c)
{
    struct gateway_at *g = &w->gateways[c->gateway];

    switch (c->type) {
    case TO_MANAGER:
        at_manager(w, c);
        return;
    case TO_GATEWAY:
        at_gateway(w, c);
        break;
    case LINK_UP:
        link_up(w, c->gateway, c->other);
        break;
    case NEWS:
        if (!g->dead && link_of(w, c->gateway, c->other))
            directory_on_serves(g->directory, (uint32_t)c->other + 1, PROTOCOL, PROVIDER(c->service), c->here, w->now);
        break;
    case SILENT:
        on_silent(w, c->gateway, c->other);
        break;
    case LOOK:
        break;
    }
    if (g->dead)
        return;
    directory_on_expiry(g->directory, w->now);
    resolver_on_expiry(g->resolver, w->now);
    send_packets(w, g);
    pump(w, c->gateway);
    arm(w, c->gateway);
}

void gateways_run(struct gateways *w, instant until)
{
    struct heap_item *first;

    while ((first = heap_first(&w->heap)) && first->at <= until) {
        struct coming *c = CONTAINER_OF(first, struct coming, timer);

        w->now = MAX(w->now, first->at);
        heap_set(&w->heap, first, INSTANT_NEVER);
        if (manager_next_expiry(w->manager) <= w->now)
            manager_on_expiry(w->manager, w->now);
        happen(w, c);
        if (c->type != LOOK)
            free(c);
    }
    w->now = until;
}

/* --- what is done to them --- */

bool gateways_serves(const struct gateways *w, size_t gateway, size_t service)
{
    const struct gateway_at *g = &w->gateways[gateway];

    for (size_t i = 0; i < g->here_count; i++) {
        if (g->here[i] == service)
            return true;
    }
    return false;
}

void gateways_router(struct gateways *w, size_t gateway, size_t service, bool here)
{
    struct gateway_at *g = &w->gateways[gateway];
    int r;

    if (gateways_serves(w, gateway, service) == here)
        return;
    if (here) {
        g->here = grow(g->here, g->here_count, &g->here_size, sizeof(*g->here));
        g->here[g->here_count++] = (uint32_t)service;
    } else {
        for (size_t i = 0; i < g->here_count; i++) {
            if (g->here[i] == service)
                g->here[i] = g->here[--g->here_count];
        }
    }
    r = directory_on_router(g->directory, PROTOCOL, PROVIDER(service), here, w->now);
    assert(r == 0);
    (void)r;
    for (size_t i = 0; i < g->links_count; i++)
        tell_later(w, gateway, g->links[i].other, service, here);
    arm(w, gateway);
}

void gateways_want(struct gateways *w, size_t gateway, long service)
{
    struct gateway_at *g = &w->gateways[gateway];

    g->wants = grow(g->wants, g->wants_count, &g->wants_size, sizeof(*g->wants));
    g->wants[g->wants_count++] = service;
    g->wants_at = w->now;
    arm(w, gateway);
}

void gateways_kill(struct gateways *w, size_t gateway)
{
    struct gateway_at *g = &w->gateways[gateway];

    g->dead = true;
    for (size_t i = 0; i < g->links_count; i++)
        silent_later(w, g->links[i].other, gateway);
    put(w, &g->look, INSTANT_NEVER);
}

bool gateways_is_dead(const struct gateways *w, size_t gateway)
{
    return w->gateways[gateway].dead;
}

void gateways_part(struct gateways *w, size_t one, size_t other)
{
    w->parted[0] = one;
    w->parted[1] = other;
    silent_later(w, one, other);
    silent_later(w, other, one);
}

void gateways_cut_manager(struct gateways *w, bool cut)
{
    w->cut = cut;
}

/* --- what is seen --- */

instant gateways_now(const struct gateways *w)
{
    return w->now;
}

size_t gateways_chosen(const struct gateways *w, size_t gateway, size_t service)
{
    const struct gateway_at *g = &w->gateways[gateway];
    struct directory_entry e;
    size_t best = SIZE_MAX;

    for (size_t i = 0; i < DIRECTORY_NEAREST && directory_nearest(g->directory, PROTOCOL, PROVIDER(service), i, &e);
         i++) {
        size_t other = e.gateway - 1;

        if (link_of(w, gateway, other) && gateways_serves(w, other, service) &&
            (best == SIZE_MAX || gateways_way_ms(w, gateway, other) < gateways_way_ms(w, gateway, best)))
            best = other;
    }
    return best;
}

size_t gateways_links(const struct gateways *w, size_t gateway)
{
    return w->gateways[gateway].links_count;
}

double gateways_pings(const struct gateways *w, size_t gateway)
{
    const struct gateway_at *g = &w->gateways[gateway];
    size_t pings = 0;

    for (size_t i = 0; i < g->links_count; i++) {
        const struct link *its = link_of(w, g->links[i].other, gateway);

        pings += g->links[i].wanted + (its && its->wanted);
    }
    return (double)pings;
}

const struct directory *gateways_directory(const struct gateways *w, size_t gateway)
{
    return w->gateways[gateway].directory;
}

size_t gateways_state(const struct gateways *w, size_t gateway)
{
    return directory_memory(w->gateways[gateway].directory);
}

const struct manager *gateways_manager(const struct gateways *w)
{
    return w->manager;
}

const struct gateways_counts *gateways_counts(const struct gateways *w)
{
    return &w->counts;
}

/* --- how it begins --- */

static size_t sign(const struct gateways *w, const struct record *r, uint8_t *out)
{
    size_t len = 0;
    int e = record_encode(r, w->root_seed, out, RECORD_BYTES_MAX, &len);

    assert(e == 0);
    (void)e;
    return len;
}

static void take(struct gateways *w, const uint8_t *bytes, size_t len)
{
    struct record_error why;
    int e = manager_take(w->manager, bytes, len, w->now, &why);

    assert(e == 0);
    (void)e;
}

static bool make_realm(struct gateways *w)
{
    const struct manager_options o = { .rng = w->rng,
                                       .bindings_max = 1u << 20,
                                       .names_max = (uint32_t)w->o.gateways + 16,
                                       .guests_max = 16,
                                       .subscriptions_max = 16,
                                       .log_max = 1u << 16,
                                       .epoch = 1 };
    struct record r = { .type = RECORD_ROOT, .issued_s = WALL_S, .suites = 1, .seq = 1, .name = "dmux.example" };
    struct slice links[1];
    struct record_error why;
    uint8_t policy[RECORD_BYTES_MAX];

    rng_fill(&w->rng, w->root_seed, sizeof(w->root_seed));
    if (ed25519_public(w->root_seed, w->root_key) < 0 ||
        tag_make(w->root_key, TAG_RAA(7), TAG_HDA(TAG_TIER_SERVICE, 0), &w->realm) < 0)
        return false;
    r.issuer = r.subject = w->realm;
    memcpy(r.key, w->root_key, sizeof(r.key));
    w->root_len = sign(w, &r, w->root);
    w->manager = manager_new(&o, w->now);
    links[0] = (struct slice){ w->root, w->root_len };
    if (!w->manager || manager_set_self(w->manager, links, 1, WALL_S, &why) < 0)
        return false;
    r = (struct record){ .type = RECORD_POLICY,
                         .issuer = w->realm,
                         .subject = w->realm,
                         .issued_s = WALL_S,
                         .seq = 2,
                         .rules_count = 1,
                         .rules = { { tag_prefix_of(&w->realm, 56), CLASS_FULL } } };
    take(w, policy, sign(w, &r, policy));
    return true;
}

static bool make_gateway(struct gateways *w, size_t i)
{
    struct resolver_options ro = { .root = { w->root, w->root_len },
                                   .managers = { { addr_v4(0x7f000001), 1 } },
                                   .managers_count = 1,
                                   .class_max = CLASS_FULL,
                                   .questions_max = w->o.questions_max,
                                   .signatures_max = 64,
                                   .rng = w->rng };
    struct directory_options d = { .self = { .gateway = (uint32_t)i + 1, .at = at_of(i) },
                                   .boot_epoch = WALL_S,
                                   .rng = w->rng };
    struct record r = { .type = RECORD_REGISTRATION,
                        .issuer = w->realm,
                        .issued_s = WALL_S,
                        .suites = 1,
                        .flags = RECORD_FLAG_SERVES,
                        .seq = 3 + i };
    struct gateway_at *g = &w->gateways[i];
    struct record_error why;
    uint8_t bytes[RECORD_BYTES_MAX];

    rng_fill(&w->rng, g->seed, sizeof(g->seed));
    if (ed25519_public(g->seed, g->key) < 0 ||
        tag_make(g->key, TAG_RAA(7), TAG_HDA(TAG_TIER_SERVICE, 0), &r.subject) < 0)
        return false;
    memcpy(r.key, g->key, sizeof(r.key));
    snprintf(r.name, sizeof(r.name), "dmux-gateway-%zu.s.dmux.example", i + 1);
    take(w, bytes, sign(w, &r, bytes));
    d.tag = r.subject;
    memcpy(d.ed25519_seed, g->seed, sizeof(d.ed25519_seed));
    g->directory = directory_new(&d, w->now);
    g->look = (struct coming){ .type = LOOK, .gateway = i };
    if (!g->directory || resolver_new(&ro, WALL_S, w->now, &g->resolver, &why) < 0)
        return false;
    directory_set_place(g->directory, &g->coord, w->now);
    arm(w, i);
    return true;
}

static size_t another(struct gateways *w, size_t than)
{
    size_t i = prng_below(&w->prng, w->o.gateways - 1);

    return i < than ? i : i + 1;
}

/* Those that a gateway has links to: half of them drawn, half the nearest that it comes across. */
static void come_across(struct gateways *w, size_t gateway, uint32_t *neighbours)
{
    size_t other = another(w, gateway), place = SIZE_MAX;
    double far = gateways_estimate_ms(w, gateway, other);

    for (size_t n = w->o.neighbours / 2; n < w->o.neighbours; n++) {
        double ms = gateways_estimate_ms(w, gateway, neighbours[n]);

        if (neighbours[n] == other)
            return;
        if (ms > far) {
            far = ms;
            place = n;
        }
    }
    if (place != SIZE_MAX)
        neighbours[place] = (uint32_t)other;
}

/* The coordinates, as bench/coordinates.c has them. 0 or -ENOMEM. */
static int settle(struct gateways *w)
{
    const size_t each = w->o.neighbours;
    uint32_t *neighbours = calloc(w->o.gateways * each, sizeof(*neighbours));

    assert(each > 0);
    if (!neighbours)
        return -ENOMEM;
    for (size_t i = 0; i < w->o.gateways; i++) {
        coord_init(&w->gateways[i].coord);
        for (size_t n = 0; n < each; n++)
            neighbours[i * each + n] = (uint32_t)another(w, i);
    }
    for (size_t n = 0, turn = 0; n < w->o.samples; n++, turn = turn + 1 < each ? turn + 1 : 0) {
        for (size_t i = 0; i < w->o.gateways; i++) {
            uint32_t *mine = neighbours + i * each;
            size_t other = mine[turn];
            int r = coord_on_sample(&w->gateways[i].coord, &w->gateways[other].coord,
                                    (uint32_t)MAX(gateways_way_ms(w, i, other) * 1e3, 1.), &w->rng);

            assert(r == 0);
            (void)r;
            come_across(w, i, mine);
        }
    }
    free(neighbours);
    return 0;
}

struct gateways *gateways_new(const struct gateways_options *o)
{
    struct gateways *w = calloc(1, sizeof(*w));
    bool ok;

    if (!w)
        return NULL;
    w->o = *o;
    w->now = SEC;
    prng_init(&w->prng, o->seed);
    w->rng = prng_rng(&w->prng);
    w->hosts = calloc(o->gateways, sizeof(*w->hosts));
    w->gateways = calloc(o->gateways, sizeof(*w->gateways));
    ok = w->hosts && w->gateways;
    for (size_t i = 0; i < o->gateways && ok; i++) {
        earth_place(&w->hosts[i], o->crowd, &w->prng);
        w->hosts[i].access_ms = earth_exponential(&w->prng, EARTH_ACCESS_MS);
    }
    ok = ok && settle(w) == 0 && make_realm(w);
    for (size_t i = 0; i < o->gateways && ok; i++)
        ok = make_gateway(w, i);
    if (ok)
        return w;
    gateways_free(w);
    return NULL;
}

void gateways_free(struct gateways *w)
{
    struct heap_item *first;

    if (!w)
        return;
    while ((first = heap_first(&w->heap))) {
        struct coming *c = CONTAINER_OF(first, struct coming, timer);

        heap_set(&w->heap, first, INSTANT_NEVER);
        if (c->type != LOOK)
            free(c);
    }
    for (size_t i = 0; w->gateways && i < w->o.gateways; i++) {
        struct gateway_at *g = &w->gateways[i];

        directory_free(g->directory);
        resolver_free(g->resolver);
        free(g->links);
        free(g->here);
        free(g->wants);
    }
    manager_free(w->manager);
    heap_deinit(&w->heap);
    free(w->gateways);
    free(w->hosts);
    free(w);
}
