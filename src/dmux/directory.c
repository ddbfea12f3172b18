/* dmux/directory.c - see directory.h; bindings are in directory_publish.c, searches in directory_want.c.
 *
 * Theory of operation. What waits has a timer in one heap, and a place in one list when something is to be asked or
 * told; a number leads from an answer back to it. A peer is a gateway with which there is a link, whoever wanted it, or
 * is to be one: a link that nobody has asked for in WANTED_FOR is given up, and one that does not come about, or falls
 * silent, makes its gateway a suspect, whom for a while nobody takes an address of out of a binding. Each
 * DIRECTORY_LINK has its DIRECTORY_UNLINK, but where there was no room.
 *
 * What clients want is asked for at a rate, and bindings of one's own before it.
 *
 * Limits: directory.h. A service takes 1.8 KB, a binding that is owned 8 KB more. */
#include "dmux/directory_internal.h"

#include <errno.h>
#include <math.h>

#define SWEEP_EVERY (5 * SEC)
#define SERVICES_EVERY 16      /* sweeps */
#define LINK_TIME (8 * SEC)    /* chosen: a handshake, tried a few times */
#define WANTED_FOR (400 * SEC) /* chosen: beyond two looks or searches */
#define SUSPECT_FOR (60 * SEC) /* chosen: until owners have noticed, too */
#define SERVES_MAX 262144      /* of a peer: as REGISTRY_MAX, and as many protocols */
#define DRIFT_US 4000.         /* chosen: who moves by less is not written anew */

/* --- what waits --- */

void waiter_send(struct directory *d, struct waiter *w, bool tells, bool anew)
{
    struct list *to = &d->out;

    if (w->is_want) /* what nobody had the last time waits for all that is new */
        to = list_empty(&CONTAINER_OF(w, struct want, w)->nobody) ? &d->searches : &d->again;
    w->tells = tells;
    w->anew = anew;
    if (w->id == 0 && list_empty(&w->out))
        list_append(to, &w->out);
}

void waiter_reset(struct directory *d, struct waiter *w)
{
    list_remove(&w->out);
    if (w->id != 0)
        map64_remove(&d->by_id, w->id);
    w->id = 0;
}

span directory_jitter(const struct directory *d, span s)
{
    return s / 2 + (span)(rng_u64(&d->o.rng) % (uint64_t)(s / 2 + 1));
}

static struct publication *publication_of(struct waiter *w)
{
    return CONTAINER_OF(w, struct publication, w);
}

static struct service *service_of(struct waiter *w)
{
    return CONTAINER_OF(CONTAINER_OF(w, struct want, w), struct service, want);
}

/* --- services --- */

struct service *directory_service(const struct directory *d, uint16_t protocol, uint32_t provider)
{
    return map64_get(&d->by_key, service_key(protocol, provider));
}

static int service_get(struct directory *d, uint16_t protocol, uint32_t provider, struct service **ret)
{
    struct service *s = directory_service(d, protocol, provider);
    int r;

    *ret = s;
    if (s)
        return 0;
    /* one timer for each publication and want, and the sweep */
    r = heap_reserve(&d->timers, (d->by_key.count + 1) * (DIRECTORY_LEVELS + 1) + 1);
    s = r == 0 ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return -ENOMEM;
    r = map64_put(&d->by_key, service_key(protocol, provider), s);
    if (r < 0) {
        free(s);
        return r;
    }
    s->protocol = protocol;
    s->provider = provider;
    list_init(&s->all);
    list_append(&d->services, &s->all);
    for (unsigned i = 0; i < DIRECTORY_LEVELS; i++)
        publication_init(&s->publications[i], s, (uint8_t)i);
    want_init(&s->want);
    *ret = s;
    return 0;
}

static void service_free(struct directory *d, struct service *s)
{
    for (unsigned i = 0; i < DIRECTORY_LEVELS; i++)
        publication_deinit(d, &s->publications[i]);
    want_end(d, &s->want);
    map64_remove(&d->by_key, service_key(s->protocol, s->provider));
    list_remove(&s->all);
    free(s);
}

static void review(struct directory *d, struct service *s, instant now)
{
    for (unsigned i = 0; i < DIRECTORY_LEVELS; i++)
        publication_review(d, &s->publications[i], now);
}

static bool is_idle(const struct service *s)
{
    for (unsigned i = 0; i < DIRECTORY_LEVELS; i++) {
        if (s->publications[i].state != PUBLICATION_IDLE)
            return false;
    }
    return s->here == 0 && !s->want.wanted;
}

int directory_on_router(struct directory *d, uint16_t protocol, uint32_t provider, bool here, instant now)
{
    const uint32_t providers[2] = { provider, PROVIDER_ANY };
    struct service *s[2];
    int r = 0;

    for (size_t i = 0; i < 2 && r == 0; i++)
        r = service_get(d, protocol, providers[i], &s[i]);
    for (size_t i = 0; i < 2 && r == 0; i++) {
        if (here)
            s[i]->here++;
        else if (s[i]->here > 0)
            s[i]->here--;
        if (here)
            want_end(d, &s[i]->want);
        review(d, s[i], now);
    }
    return r;
}

/* One that nobody was found for, the longest ago, gives way. 0 or -ENOSPC. */
static int make_place(struct directory *d)
{
    struct want *w;
    struct service *s;

    if (list_empty(&d->nobody))
        return -ENOSPC;
    w = LIST_FIRST(&d->nobody, struct want, nobody);
    s = CONTAINER_OF(w, struct service, want);
    want_end(d, w);
    if (is_idle(s))
        service_free(d, s);
    return 0;
}

int directory_want(struct directory *d, uint16_t protocol, uint32_t provider, uint32_t client, instant now)
{
    struct service *s = directory_service(d, protocol, provider);
    const uint32_t network = client >> 8;
    int r;

    if (s && s->here > 0)
        return 0;
    if (s && s->want.wanted) {
        want_touch(&s->want, now);
        return 0;
    }
    r = want_admit(d, network);
    if (r == -ENOSPC)
        r = make_place(d);
    if (r == 0)
        r = service_get(d, protocol, provider, &s);
    return r < 0 ? r : want_begin(d, s, network, now);
}

void directory_keep(struct directory *d, uint16_t protocol, uint32_t provider, uint32_t gateway, instant now)
{
    struct service *s[2] = { directory_service(d, protocol, provider), directory_service(d, protocol, PROVIDER_ANY) };

    for (size_t i = 0; i < 2; i++) {
        if (s[i] && s[i]->want.wanted)
            want_touch(&s[i]->want, now);
    }
    directory_keep_link(d, gateway, now);
}

void directory_set_place(struct directory *d, const struct coord *place, instant now)
{
    const bool first = !d->placed;
    bool moved = first;

    d->o.self.place = *place;
    for (unsigned i = 0; i < DIRECTORY_LEVELS; i++) {
        if (d->placed && directory_cell_has(&d->cells[i], place))
            continue;
        d->cells[i] = directory_cell_of(place, i);
        moved = true;
    }
    d->placed = true;
    LIST_FOREACH (s, &d->services, struct service, all) {
        if (moved)
            review(d, s, now);
        for (unsigned i = 0; i < DIRECTORY_LEVELS; i++)
            publication_touch(d, &s->publications[i], now);
        if (first && s->want.wanted)
            want_on_time(d, s, now);
    }
}

/* --- peers --- */

struct peer_at *directory_peer(const struct directory *d, uint32_t gateway)
{
    return map64_get(&d->by_gateway, gateway);
}

bool directory_suspects(const struct directory *d, uint32_t gateway, instant now)
{
    const struct peer_at *p = directory_peer(d, gateway);

    return p && p->suspect_until > now;
}

bool peer_serves(const struct peer_at *p, uint16_t protocol, uint32_t provider)
{
    return map64_get(&p->serves, service_key(protocol, provider)) != NULL;
}

bool directory_entry_same(const struct directory_entry *a, const struct directory_entry *b)
{
    double moved = fabs(a->place.height_us - b->place.height_us);

    for (size_t i = 0; i < COORD_DIMENSIONS; i++)
        moved = MAX(moved, fabs(a->place.at_us[i] - b->place.at_us[i]));
    return a->gateway == b->gateway && endpoint_equal(&a->at, &b->at) && moved < DRIFT_US &&
           memcmp(a->x25519, b->x25519, IDENT_KEY_LEN) == 0;
}

/* NULL: no memory, or there are too many. */
static struct peer_at *peer_get(struct directory *d, const struct directory_entry *e)
{
    struct peer_at *p = directory_peer(d, e->gateway);

    if (!p) {
        p = calloc(1, sizeof(*p));
        if (!p || map64_put(&d->by_gateway, e->gateway, p) < 0) {
            free(p);
            return NULL;
        }
        list_init(&p->all);
        list_init(&p->out);
        map64_init(&p->serves, SERVES_MAX, rng_u64(&d->o.rng));
        list_append(&d->peers, &p->all);
    }
    if (!p->up)
        p->e = *e;
    return p;
}

static void peer_free(struct directory *d, struct peer_at *p)
{
    map64_remove(&d->by_gateway, p->e.gateway);
    list_remove(&p->all);
    list_remove(&p->out);
    map64_deinit(&p->serves);
    d->linked -= p->linked;
    free(p);
}

static void say(struct directory *d, struct peer_at *p, bool link)
{
    p->say = link ? SAY_LINK : SAY_UNLINK;
    d->linked += link;
    d->linked -= p->linked;
    p->linked = link;
    if (list_empty(&p->out))
        list_append(&d->links, &p->out);
}

void directory_link(struct directory *d, const struct directory_entry *e, size_t max, instant now)
{
    struct peer_at *p = directory_peer(d, e->gateway);

    if (p && p->linked) {
        p->wanted_until = now + WANTED_FOR;
        return;
    }
    p = d->linked < max ? peer_get(d, e) : NULL;
    if (!p)
        return;
    p->wanted_until = now + WANTED_FOR;
    p->linked_at = now;
    d->stats.links++;
    say(d, p, true);
}

void directory_keep_link(struct directory *d, uint32_t gateway, instant now)
{
    struct peer_at *p = gateway ? directory_peer(d, gateway) : NULL;

    if (p && p->linked)
        p->wanted_until = now + WANTED_FOR;
}

/* What that peer serves may be in bindings of ours. */
static void touch(struct directory *d, uint16_t protocol, uint32_t provider, instant now)
{
    struct service *s[2] = { directory_service(d, protocol, provider), directory_service(d, protocol, PROVIDER_ANY) };

    for (size_t k = 0; k < 2; k++) {
        for (unsigned i = 0; s[k] && i < DIRECTORY_LEVELS; i++)
            publication_touch(d, &s[k]->publications[i], now);
    }
}

static void touch_all(struct directory *d, const struct peer_at *p, instant now)
{
    for (size_t i = 0; i < p->serves.capacity; i++) {
        const struct map64_slot *slot = &p->serves.slots[i];

        if (slot->value && service_provider(slot->key) != PROVIDER_ANY)
            touch(d, service_protocol(slot->key), service_provider(slot->key), now);
    }
}

void directory_on_peer(struct directory *d, const struct directory_entry *e, instant now)
{
    struct peer_at *p = peer_get(d, e);

    if (!p)
        return;
    p->e = *e;
    p->suspect_until = 0;
    if (!p->up)
        p->up_at = now;
    p->up = true;
    if (directory_entry_same(e, &p->shown))
        return;
    p->shown = *e;
    touch_all(d, p, now);
}

/* Of this service, or of all. */
static void lost(struct directory *d, uint32_t gateway, struct service *s, instant now)
{
    for (unsigned i = 0; i < DIRECTORY_LEVELS; i++)
        publication_on_lost(d, &s->publications[i], gateway, now);
    want_on_lost(d, s, gateway, now);
}

void directory_on_peer_gone(struct directory *d, uint32_t gateway, instant now)
{
    struct peer_at *p = directory_peer(d, gateway);

    if (!p)
        return;
    touch_all(d, p, now);
    if (p->linked) { /* else it had no reason to answer */
        p->suspect_until = now + SUSPECT_FOR;
        say(d, p, false);
    }
    p->up = false;
    map64_deinit(&p->serves);
    map64_init(&p->serves, SERVES_MAX, rng_u64(&d->o.rng));
    LIST_FOREACH (s, &d->services, struct service, all)
        lost(d, gateway, s, now);
}

void directory_on_no_room(struct directory *d, uint32_t gateway)
{
    struct peer_at *p = directory_peer(d, gateway);

    if (!p || !p->linked)
        return;
    p->linked = false;
    d->linked--;
}

/* One more provider of the protocol, or one less. 0, -ENOSPC or -ENOMEM: that of more alone. */
static int serves_count(struct peer_at *p, uint16_t protocol, int more)
{
    const uint64_t key = service_key(protocol, PROVIDER_ANY);
    intptr_t count = (intptr_t)map64_get(&p->serves, key) + more;

    if (count > 0)
        return map64_put(&p->serves, key, (void *)count);
    map64_remove(&p->serves, key);
    return 0;
}

/* 0, -ENOSPC or -ENOMEM. */
static int serves_add(struct peer_at *p, uint16_t protocol, uint32_t provider)
{
    int r = serves_count(p, protocol, 1);

    if (r < 0)
        return r;
    r = map64_put(&p->serves, service_key(protocol, provider), p);
    if (r < 0)
        r = MIN(serves_count(p, protocol, -1), r);
    return r;
}

static void serves_remove(struct peer_at *p, uint16_t protocol, uint32_t provider)
{
    map64_remove(&p->serves, service_key(protocol, provider));
    (void)!serves_count(p, protocol, -1);
}

void directory_on_serves(struct directory *d, uint32_t gateway, uint16_t protocol, uint32_t provider, bool serves,
                         instant now)
{
    struct peer_at *p = directory_peer(d, gateway);
    struct service *s = directory_service(d, protocol, provider), *any = directory_service(d, protocol, PROVIDER_ANY);

    if (!p || provider == PROVIDER_ANY || peer_serves(p, protocol, provider) == serves)
        return;
    if (serves && serves_add(p, protocol, provider) < 0)
        return;
    if (!serves)
        serves_remove(p, protocol, provider);
    touch(d, protocol, provider, now);
    if (!serves && s)
        lost(d, gateway, s, now);
    if (!serves && any && !peer_serves(p, protocol, PROVIDER_ANY))
        lost(d, gateway, any, now);
}

/* --- what is to be done --- */

static bool pop_link(struct directory *d, struct directory_event *ret)
{
    struct peer_at *p;

    if (list_empty(&d->links))
        return false;
    p = LIST_FIRST(&d->links, struct peer_at, out);
    list_remove(&p->out);
    *ret = (struct directory_event){ .type = p->say == SAY_LINK ? DIRECTORY_LINK : DIRECTORY_UNLINK, .peer = p->e };
    p->say = SAY_NOTHING;
    return true;
}

static int begin(struct directory *d, struct waiter *w)
{
    int r = map64_put(&d->by_id, d->ids + 1, w);

    if (r == 0)
        w->id = ++d->ids;
    return r;
}

static bool pop_ask(struct directory *d, struct waiter *w, struct directory_event *ret)
{
    struct want *of = w->is_want ? CONTAINER_OF(w, struct want, w) : NULL;
    struct directory_event ev = { .type = DIRECTORY_ASK, .anew = w->anew };

    if (!of) {
        ev.tag = publication_of(w)->tag;
    } else if (directory_tag(&d->o.tag, service_of(w)->protocol, service_of(w)->provider, &of->cells[of->cells_at],
                             &ev.tag) < 0) {
        return false;
    }
    if (begin(d, w) < 0)
        return false;
    ev.id = w->id;
    d->stats.asks++;
    *ret = ev;
    return true;
}

static bool pop_tell(struct directory *d, struct waiter *w, struct directory_event *ret, uint8_t *out, instant now)
{
    struct publication *p = publication_of(w);
    size_t len = publication_output(d, p, out, now);

    if (len == 0)
        return false;
    if (begin(d, w) < 0) {
        publication_on_unsent(d, p, now);
        return false;
    }
    *ret = (struct directory_event){ .type = DIRECTORY_TELL, .id = w->id, .len = len };
    d->stats.tells++;
    return true;
}

/* When what clients want may be asked for again. */
static instant ask_next(const struct directory *d)
{
    return d->ask_at - ASKS_BURST * (SEC / ASKS_PER_SECOND);
}

/* Who is next to ask or tell; NULL: nobody now. */
static struct waiter *next_out(struct directory *d, instant now)
{
    struct list *from = &d->out;
    struct waiter *w;

    if (list_empty(from)) {
        from = !list_empty(&d->searches) ? &d->searches : &d->again;
        if (list_empty(from) || now < ask_next(d))
            return NULL;
    }
    w = LIST_FIRST(from, struct waiter, out);
    list_remove(&w->out);
    return w;
}

bool directory_pop_event(struct directory *d, struct directory_event *ret, uint8_t *out, instant now)
{
    struct waiter *w;

    if (pop_link(d, ret))
        return true;
    while ((w = next_out(d, now))) {
        if (w->tells ? pop_tell(d, w, ret, out, now) : pop_ask(d, w, ret)) {
            if (w->is_want)
                d->ask_at = MAX(d->ask_at, now) + SEC / ASKS_PER_SECOND;
            return true;
        }
        if (!w->tells)
            heap_set(&d->timers, &w->timer, now + SEC); /* no memory: it asks again */
    }
    return false;
}

/* NULL: nothing of that number, or kind, is under way. */
static struct waiter *answered(struct directory *d, uint64_t id, bool tells)
{
    struct waiter *w = map64_get(&d->by_id, id);

    if (!w || w->tells != tells)
        return NULL;
    waiter_reset(d, w);
    return w;
}

void directory_on_found(struct directory *d, uint64_t id, enum resolver_outcome outcome, struct slice record,
                        instant now)
{
    struct waiter *w = answered(d, id, false);

    if (w && w->is_want)
        want_on_found(d, service_of(w), outcome, record, now);
    else if (w)
        publication_on_found(d, publication_of(w), outcome, record, now);
}

void directory_on_told(struct directory *d, uint64_t id, const uint8_t *answer, size_t len, instant now)
{
    struct waiter *w = answered(d, id, true);

    if (w)
        publication_on_told(d, publication_of(w), answer, len, now);
}

/* --- time --- */

static void sweep(struct directory *d, instant now)
{
    LIST_FOREACH_SAFE (p, &d->peers, struct peer_at, all) {
        if (p->linked && !p->up && now - p->linked_at >= LINK_TIME) {
            directory_on_peer_gone(d, p->e.gateway, now);
        } else if (p->linked && p->wanted_until <= now) {
            say(d, p, false);
        } else if (!p->up && !p->linked && p->suspect_until <= now && list_empty(&p->out)) {
            peer_free(d, p);
        }
    }
    if (++d->sweeps % SERVICES_EVERY == 0) {
        LIST_FOREACH_SAFE (s, &d->services, struct service, all) {
            if (is_idle(s))
                service_free(d, s);
        }
    }
    heap_set(&d->timers, &d->sweep, now + SWEEP_EVERY);
}

instant directory_next_expiry(const struct directory *d)
{
    const struct heap_item *first = heap_first(&d->timers);
    instant next = first ? first->at : INSTANT_NEVER;

    if (!list_empty(&d->out) || !list_empty(&d->links))
        return 0;
    return list_empty(&d->searches) && list_empty(&d->again) ? next : instant_min(next, ask_next(d));
}

void directory_on_expiry(struct directory *d, instant now)
{
    struct heap_item *first;

    while ((first = heap_first(&d->timers)) && first->at <= now) {
        struct waiter *w = CONTAINER_OF(first, struct waiter, timer);

        if (first == &d->sweep) {
            sweep(d, now);
            continue;
        }
        heap_set(&d->timers, first, INSTANT_NEVER);
        if (w->is_want)
            want_on_time(d, service_of(w), now);
        else
            publication_on_time(d, publication_of(w), now);
    }
}

/* --- the whole --- */

struct directory *directory_new(const struct directory_options *o, instant now)
{
    struct directory *d = calloc(1, sizeof(*d));

    if (!d || heap_reserve(&d->timers, 1) < 0) {
        free(d);
        return NULL;
    }
    d->o = *o;
    list_init(&d->services);
    list_init(&d->peers);
    list_init(&d->out);
    list_init(&d->searches);
    list_init(&d->again);
    list_init(&d->nobody);
    list_init(&d->links);
    map64_init(&d->by_key, DIRECTORY_SERVICES_MAX, rng_u64(&o->rng));
    map64_init(&d->by_id, (size_t)DIRECTORY_SERVICES_MAX * (DIRECTORY_LEVELS + 1), rng_u64(&o->rng));
    map64_init(&d->by_gateway, DIRECTORY_PEERS_MAX, rng_u64(&o->rng));
    map64_init(&d->networks, DIRECTORY_WANTS_MAX, rng_u64(&o->rng));
    heap_set(&d->timers, &d->sweep, now + SWEEP_EVERY);
    return d;
}

void directory_free(struct directory *d)
{
    if (!d)
        return;
    LIST_FOREACH_SAFE (s, &d->services, struct service, all)
        service_free(d, s);
    LIST_FOREACH_SAFE (p, &d->peers, struct peer_at, all)
        peer_free(d, p);
    heap_deinit(&d->timers);
    map64_deinit(&d->by_key);
    map64_deinit(&d->by_id);
    map64_deinit(&d->by_gateway);
    map64_deinit(&d->networks);
    explicit_bzero(d->o.ed25519_seed, sizeof(d->o.ed25519_seed));
    free(d);
}

void directory_stats_get(const struct directory *d, struct directory_stats *ret)
{
    *ret = d->stats;
    ret->services = (uint32_t)d->by_key.count;
    ret->peers = (uint32_t)d->by_gateway.count;
    LIST_FOREACH (s, &d->services, struct service, all) {
        for (unsigned i = 0; i < DIRECTORY_LEVELS; i++)
            ret->owned += s->publications[i].state == PUBLICATION_OWNED;
        ret->wanted += s->want.wanted;
        ret->none += !list_empty(&s->want.nobody);
    }
}

size_t directory_memory(const struct directory *d)
{
    size_t bytes = sizeof(*d) + d->timers.capacity * sizeof(struct heap_item *) +
                   (d->by_key.capacity + d->by_id.capacity + d->by_gateway.capacity + d->networks.capacity) *
                       sizeof(struct map64_slot);

    LIST_FOREACH (s, &d->services, struct service, all) {
        bytes += sizeof(*s);
        for (unsigned i = 0; i < DIRECTORY_LEVELS; i++)
            bytes += s->publications[i].row ? sizeof(struct row) : 0;
    }
    LIST_FOREACH (p, &d->peers, struct peer_at, all)
        bytes += sizeof(*p) + p->serves.capacity * sizeof(struct map64_slot);
    return bytes;
}

bool directory_nearest(const struct directory *d, uint16_t protocol, uint32_t provider, size_t i,
                       struct directory_entry *ret)
{
    const struct service *s = directory_service(d, protocol, provider);

    if (!s || i >= s->want.near_count)
        return false;
    *ret = s->want.near[i];
    return true;
}
