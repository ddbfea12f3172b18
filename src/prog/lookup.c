/* prog/lookup.c - see lookup.h.
 *
 * Theory of operation. The resolver says whom to ask, the exchange brings it there: each manager is a peer of the
 * exchange, known by its realm's key and its address. After whatever comes from outside, pump() moves things between
 * the two, the owner and the sockets until nothing moves any more. A manager that was not asked for the longest gives
 * its place to a new one.
 *
 * What is told goes to one manager until that one does not answer, then to the next. Of many requests that fail with it
 * the first alone moves on: those that come after were sent by a turn that is over.
 *
 * The sockets are those of sys/exchange_io.h, one a family, polled by the loop; those of a host's links are the host's.
 *
 * Limits: PEERS managers, as many questions as the options say. */
#include "prog/lookup.h"

#include "prog/sights.h"

#include "base/list.h"
#include "ident/suite.h"
#include "sys/clock.h"
#include "sys/exchange_io.h"
#include "sys/store.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#define PEERS 128                 /* chosen: managers with whom there are keys; 200 KB */
#define TELLINGS_MAX 256          /* chosen: requests of lookup_tell under way */
#define JOINS 16                  /* answers in parts, at a time */
#define FAMILIES 2                /* sockets: IPv4, IPv6 */
#define OWN_LINK (SIGHTS_MAX + 1) /* the first of these; links below are the host's */
#define BATCHES 4                 /* chosen: of datagrams, between looks at the rest of the loop */
#define KEEP                                                                                                           \
    (20 * SEC) /* chosen: below the UDP timeouts of NATs, 30 s of the worst: a manager can ask whom it serves */

struct manager_peer {
    struct endpoint at;
    uint8_t ed25519[IDENT_KEY_LEN];
    uint64_t peer; /* 0: free */
    uint64_t used; /* the higher, the later */
};

struct waiting {
    struct list link;
    lookup_done_fn *done;
    lookup_step_fn *step;
    void *context;
};

struct telling {
    struct list link;
    uint64_t turn; /* lookup.turn, as it was sent */
    lookup_told_fn *told;
    void *context;
};

/* What the loop has of a socket. */
struct polled {
    struct lookup *l;
    uint32_t link; /* of exchange_io; 0: this machine lacks the family */
    uv_poll_t poll;
};

struct lookup {
    uv_loop_t *loop;
    uv_timer_t timer;
    struct exchange_io io;
    struct polled polled[FAMILIES];
    unsigned handles;
    bool closing, pumping;
    struct identity self;
    struct resolver *resolver; /* NULL: nothing is asked */
    struct exchange *exchange;
    instant now; /* of what comes out of the exchange */
    struct manager_peer peers[PEERS];
    uint64_t uses;
    struct held {
        struct holder *holder; /* NULL: free */
        uint64_t peer;
    } held[LOOKUP_HOLDERS_MAX];
    struct lookup_host host; /* send NULL: there is none */
    struct sights sights;
    struct list waiting, tellings;
    uint64_t turn; /* of the managers that are told, modulo how many there are */
    char root[NAME_SIZE];
};

static struct locator_pair way_to(const struct endpoint *at)
{
    return (struct locator_pair){ .link = OWN_LINK + (at->addr.family == ADDR_V6), .remote = *at };
}

/* --- between resolver and exchange --- */

/* The peer that is the manager with that key, there, called if it was not yet. 0 or -errno. */
static int peer_for(struct lookup *l, const uint8_t ed25519[IDENT_KEY_LEN], const struct endpoint *at, instant now,
                    uint64_t *ret)
{
    struct exchange_call c = { .ways = { way_to(at) }, .ways_count = 1 };
    struct manager_peer *p = &l->peers[0];
    int r;

    for (size_t i = 0; i < PEERS; i++) {
        struct manager_peer *m = &l->peers[i];

        if (m->peer && endpoint_equal(&m->at, at) && memcmp(m->ed25519, ed25519, sizeof(m->ed25519)) == 0) {
            m->used = ++l->uses;
            *ret = m->peer;
            return 0;
        }
        if (m->used < p->used)
            p = m;
    }
    if (p->peer)
        exchange_peer_hang_up(l->exchange, p->peer, now);
    *p = (struct manager_peer){ 0 };
    memcpy(c.key.ed25519, ed25519, sizeof(c.key.ed25519));
    r = exchange_peer_call(l->exchange, &c, now, &p->peer);
    if (r < 0)
        return r;
    p->at = *at;
    memcpy(p->ed25519, ed25519, sizeof(p->ed25519));
    p->used = ++l->uses;
    *ret = p->peer;
    return 0;
}

static void forget_peer(struct lookup *l, uint64_t peer)
{
    for (size_t i = 0; i < PEERS; i++)
        if (l->peers[i].peer == peer)
            l->peers[i] = (struct manager_peer){ 0 };
}

/* 0 or -errno. */
static int request(struct lookup *l, const uint8_t ed25519[IDENT_KEY_LEN], const struct endpoint *at,
                   const uint8_t *bytes, size_t len, void *context, instant now)
{
    uint64_t peer = 0, number;
    int r = peer_for(l, ed25519, at, now, &peer);

    if (r == 0)
        r = exchange_request(l->exchange, peer, bytes, len, context, now, &number);
    if (r == -ENOENT)
        forget_peer(l, peer);
    return r;
}

static void ask_manager(struct lookup *l, const struct resolver_event *e, instant now)
{
    if (request(l, e->ed25519, &e->at, e->data, e->len, (void *)(uintptr_t)e->ask, now) < 0)
        resolver_on_failed(l->resolver, e->ask, now);
}

/* A manager asks: a host is told of calls. What is no request of these is answered all the same. */
static void on_request(struct lookup *l, const struct exchange_event *e, instant now)
{
    struct mapping_answer a = { .status = MAPPING_NONE, .fresh_s = 1 };
    uint8_t bytes[64];
    struct writer w = writer_init(bytes, sizeof(bytes));
    struct mapping_request r;

    if (e->owner && l->host.called && mapping_request_read(e->data, e->len, &r) == 0 && r.type == MAPPING_CALL) {
        a = (struct mapping_answer){ .status = MAPPING_DONE };
        l->host.called(l->host.ctx, &r.tag, r.places, r.places_count, &r.relay);
    }
    mapping_answer_write(&w, &a);
    (void)!exchange_io_answer(&l->io, &e->asked, bytes, writer_len(&w), now);
}

/* The request of lookup_tell that has this context; NULL: it is another's. */
static struct telling *telling_of(struct lookup *l, const void *context)
{
    LIST_FOREACH (t, &l->tellings, struct telling, link) {
        if (t == context)
            return t;
    }
    return NULL;
}

/* Unless that was done already. */
static void next_turn(struct lookup *l, uint64_t failed)
{
    l->turn += l->turn == failed;
}

static void on_told(struct lookup *l, struct telling *t, const struct exchange_event *e)
{
    list_remove(&t->link);
    if (e->type == EXCHANGE_FAILED)
        next_turn(l, t->turn);
    if (e->type == EXCHANGE_ANSWER)
        t->told(t->context, e->data, e->len);
    else
        t->told(t->context, NULL, 0);
    free(t);
}

/* There is nobody of that key there. */
static void hang_up(struct lookup *l, uint64_t peer)
{
    exchange_peer_hang_up(l->exchange, peer, l->now);
    forget_peer(l, peer);
}

static void on_event(void *ctx, const struct exchange_event *e)
{
    struct lookup *l = ctx;
    struct telling *t = telling_of(l, e->context);

    if (e->type == EXCHANGE_REQUEST) {
        on_request(l, e, l->now);
    } else if (e->owner && sights_on_event(&l->sights, e, l->now)) {
        return;
    } else if (e->owner) { /* a holder's manager */
        if (e->type == EXCHANGE_UP)
            holder_on_up(e->owner, l->now);
        else if (e->type == EXCHANGE_ANSWER)
            holder_on_answer(e->owner, e->data, e->len, l->now);
        else if (e->type == EXCHANGE_FAILED)
            holder_on_failed(e->owner, l->now);
    } else if (e->type == EXCHANGE_ANSWER || e->type == EXCHANGE_FAILED) {
        if (t)
            on_told(l, t, e);
        else if (e->type == EXCHANGE_ANSWER)
            resolver_on_answer(l->resolver, (uintptr_t)e->context, e->data, e->len, l->now);
        else
            resolver_on_failed(l->resolver, (uintptr_t)e->context, l->now);
        if (e->type == EXCHANGE_FAILED && (e->fault == EXCHANGE_FAULT_NO_PEER || e->fault == EXCHANGE_FAULT_KEY))
            hang_up(l, e->peer);
    }
}

/* True if something came of it. */
static bool pop_resolver(struct lookup *l, instant now)
{
    struct resolver_event e;
    struct waiting *w;

    if (!l->resolver || !resolver_pop_event(l->resolver, &e, now))
        return false;
    w = e.context;
    if (e.type == RESOLVER_ASK) {
        ask_manager(l, &e, now);
    } else if (e.type == RESOLVER_STEP) {
        if (w->step)
            w->step(w->context, &e.step);
    } else {
        list_remove(&w->link);
        w->done(w->context, &e.result);
        free(w);
    }
    return true;
}

/* True if something was asked. */
static bool ask_for_holders(struct lookup *l, instant now)
{
    uint8_t bytes[HOLDER_REQUEST_MAX];
    bool any = false;

    for (size_t i = 0; i < LOOKUP_HOLDERS_MAX; i++) {
        struct holder *h = l->held[i].holder;
        size_t len = h ? holder_output(h, now, bytes) : 0;
        uint64_t request;

        if (len > 0 && exchange_request(l->exchange, l->held[i].peer, bytes, len, NULL, now, &request) < 0)
            holder_on_failed(h, now);
        any |= len > 0;
    }
    return any;
}

/* --- the loop --- */

/* By a socket of the host's. */
static void send_beside(void *ctx, const struct exchange_tx *tx)
{
    const struct lookup *l = ctx;

    if (l->host.send)
        l->host.send(l->host.ctx, &tx->at, tx->data, tx->len);
}

static void on_timer(uv_timer_t *t);

static void pump(struct lookup *l, instant now)
{
    bool moved;
    instant next;

    if (l->pumping || l->closing) /* a callback asked: the loop below goes on */
        return;
    l->pumping = true;
    l->now = now;
    do {
        exchange_io_turn(&l->io, now);
        moved = false;
        while (!l->closing &&
               (pop_resolver(l, now) || ask_for_holders(l, now) || sights_ask(&l->sights, l->exchange, now)))
            moved = true;
    } while (moved && !l->closing);
    l->pumping = false;
    if (l->closing)
        return;
    next = instant_min(exchange_next_expiry(l->exchange), sights_next_expiry(&l->sights));
    if (l->resolver)
        next = instant_min(next, resolver_next_expiry(l->resolver));
    for (size_t i = 0; i < LOOKUP_HOLDERS_MAX; i++)
        if (l->held[i].holder)
            next = instant_min(next, holder_next_expiry(l->held[i].holder));
    if (next == INSTANT_NEVER)
        uv_timer_stop(&l->timer);
    else
        uv_timer_start(&l->timer, on_timer, next > now ? (uint64_t)(next - now + MSEC - 1) / MSEC : 0, 0);
}

static void on_timer(uv_timer_t *t)
{
    struct lookup *l = t->data;
    instant now = clock_now();

    if (l->resolver)
        resolver_on_expiry(l->resolver, now);
    exchange_on_expiry(l->exchange, now);
    pump(l, now);
}

static void on_readable(uv_poll_t *h, int status, int events)
{
    struct polled *p = h->data;
    struct lookup *l = p->l;
    instant now = l->now = clock_now();

    l->pumping = true; /* what a callback asks for goes out below */
    for (int i = 0; i < BATCHES; i++) {
        int n = exchange_io_read(&l->io, p->link, now);

        if (n < 0) /* what it would have brought is asked for by the other, or in vain */
            uv_poll_stop(h);
        if (n < UDP_MANY_MAX)
            break;
    }
    l->pumping = false;
    pump(l, now);
}

/* --- life --- */

/* A handle is closed; with the last of them all ends. */
static void release(struct lookup *l)
{
    if (--l->handles > 0)
        return;
    LIST_FOREACH_SAFE (w, &l->waiting, struct waiting, link) {
        list_remove(&w->link);
        free(w);
    }
    LIST_FOREACH_SAFE (t, &l->tellings, struct telling, link) {
        list_remove(&t->link);
        free(t);
    }
    resolver_free(l->resolver);
    exchange_io_deinit(&l->io);
    exchange_free(l->exchange);
    identity_wipe(&l->self);
    free(l);
}

static void on_timer_closed(uv_handle_t *h)
{
    release(h->data);
}

static void on_poll_closed(uv_handle_t *h)
{
    struct polled *p = h->data;

    release(p->l);
}

void lookup_close(struct lookup *l)
{
    if (!l || l->closing)
        return;
    l->closing = true;
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
    for (size_t i = 0; i < FAMILIES; i++)
        if (l->polled[i].link)
            uv_close((uv_handle_t *)&l->polled[i].poll, on_poll_closed);
}

/* One socket a family; a machine may lack one. 0 or -errno. */
static int open_sockets(struct lookup *l, uint32_t mark)
{
    static const enum addr_family families[FAMILIES] = { ADDR_V4, ADDR_V6 };
    int r = 0;

    for (uint32_t i = 0; i < FAMILIES; i++) {
        const struct udp_options o = { .family = families[i], .mark = mark };
        struct polled *p = &l->polled[i];

        r = exchange_io_open(&l->io, OWN_LINK + i, &o);
        if (r == 0)
            r = uv_poll_init(l->loop, &p->poll, udp_fd(l->io.sockets[OWN_LINK + i - 1]));
        if (r < 0)
            continue;
        p->l = l;
        p->link = OWN_LINK + i;
        p->poll.data = p;
        l->handles++;
        /* An ICMP error would have libuv give up a handle that does not ask for UV_PRIORITIZED. */
        r = uv_poll_start(&p->poll, UV_READABLE | UV_PRIORITIZED, on_readable);
    }
    return l->handles > 1 ? 0 : r;
}

/* Records in a row, cut. 0, or -errno and err. */
static int cut_chain(const char *file, const uint8_t *bytes, size_t len, struct resolver_options *o,
                     char err[LOOKUP_ERR])
{
    struct record_error e;

    o->chain_count = CHAIN_LINKS_MAX;
    if (record_split(bytes, len, o->chain, &o->chain_count, &e) == 0)
        return 0;
    snprintf(err, LOOKUP_ERR, "%s: byte %zu: expected at most %d records of a chain", file, e.at, CHAIN_LINKS_MAX);
    return -EBADMSG;
}

static int make_resolver(struct lookup *l, const struct lookup_options *o, char err[LOOKUP_ERR])
{
    uint8_t *root CLEANUP(cleanup_free) = NULL, *chain CLEANUP(cleanup_free) = NULL;
    struct resolver_options ro = { .managers_count = o->managers_count,
                                   .class_max = o->class_max,
                                   .questions_max = o->questions_max,
                                   .rng = sys_rng() };
    struct record_error e = { 0 };
    struct record_bytes b;
    struct record r;
    size_t len;
    int got = o->root ? store_read(o->root, &root, &ro.root.len, err, LOOKUP_ERR) : 0;

    if (got == 0 && o->chain)
        got = store_read(o->chain, &chain, &len, err, LOOKUP_ERR);
    if (got == 0 && o->chain)
        got = cut_chain(o->chain, chain, len, &ro, err);
    else if (got == 0 && o->chain_records.len > 0)
        got = cut_chain("chain", o->chain_records.data, o->chain_records.len, &ro, err);
    if (got < 0)
        return got;
    ro.root.data = root;
    if (!o->root)
        ro.root = o->root_record;
    memcpy(ro.managers, o->managers, sizeof(ro.managers));
    got = resolver_new(&ro, clock_wall_s(), clock_now(), &l->resolver, &e);
    if (got == -EBADMSG)
        snprintf(err, LOOKUP_ERR, "%s: %s, expected the record of a root", o->root ? o->root : "chain",
                 record_fault_name(e.fault));
    else if (got < 0)
        snprintf(err, LOOKUP_ERR, "%s", strerror(-got));
    else if (record_decode(ro.root.data, ro.root.len, &r, &b, &e) == 0)
        memcpy(l->root, r.name, sizeof(l->root));
    return got;
}

static int make_exchange(struct lookup *l, const struct lookup_options *o, char err[LOOKUP_ERR])
{
    struct exchange_options x = { .self = &l->self,
                                  .rng = sys_rng(),
                                  .suites = suite_supported(),
                                  .peers_max = PEERS + LOOKUP_HOLDERS_MAX + SIGHTS_MAX,
                                  .requests_max =
                                      o->questions_max * RESOLVER_ASKS_MAX + LOOKUP_HOLDERS_MAX + TELLINGS_MAX,
                                  .joins_max = JOINS };

    if (o->self)
        l->self = *o->self;
    else if (identity_generate(&l->self, &x.rng) < 0)
        return -ENOMEM;
    l->exchange = exchange_new(&x, clock_now());
    if (!l->exchange)
        snprintf(err, LOOKUP_ERR, "out of memory");
    exchange_io_init(&l->io, l->exchange, on_event, l);
    l->io.send_beside = send_beside;
    return l->exchange ? 0 : -ENOMEM;
}

int lookup_new(uv_loop_t *loop, const struct lookup_options *o, struct lookup **ret, char err[LOOKUP_ERR])
{
    struct lookup *l = calloc(1, sizeof(*l));
    int r;

    if (!l) {
        snprintf(err, LOOKUP_ERR, "out of memory");
        return -ENOMEM;
    }
    l->loop = loop;
    list_init(&l->waiting);
    list_init(&l->tellings);
    uv_timer_init(loop, &l->timer);
    l->timer.data = l;
    l->handles = 1;
    r = o->root || o->root_record.len > 0 ? make_resolver(l, o, err) : 0;
    if (r == 0)
        r = make_exchange(l, o, err);
    if (r == 0 && (r = open_sockets(l, o->mark)) < 0)
        snprintf(err, LOOKUP_ERR, "a UDP socket: %s", uv_strerror(r));
    if (r < 0)
        lookup_close(l);
    else
        *ret = l;
    return r;
}

int lookup_ask(struct lookup *l, const struct resolver_question *q, lookup_done_fn *done, lookup_step_fn *step,
               void *context)
{
    struct waiting *w = calloc(1, sizeof(*w));
    instant now = clock_now();
    int r;

    assert(l->resolver);
    if (!w)
        return -ENOMEM;
    *w = (struct waiting){ .done = done, .step = step, .context = context };
    resolver_set_wall(l->resolver, clock_wall_s(), now);
    r = resolver_ask(l->resolver, q, w, now);
    if (r < 0) {
        free(w);
        return r;
    }
    list_append(&l->waiting, &w->link);
    pump(l, now);
    return 0;
}

int lookup_tell(struct lookup *l, const uint8_t ed25519[IDENT_KEY_LEN], const struct endpoint *managers, size_t count,
                const uint8_t *bytes, size_t len, lookup_told_fn *told, void *context)
{
    struct telling *t = calloc(1, sizeof(*t));
    instant now = clock_now();
    int r;

    if (!t)
        return -ENOMEM;
    *t = (struct telling){ .turn = l->turn, .told = told, .context = context };
    list_init(&t->link);
    r = request(l, ed25519, &managers[t->turn % count], bytes, len, t, now);
    if (r < 0) {
        if (r != -ENOSPC && r != -ENOMEM) /* which say nothing of that manager */
            next_turn(l, t->turn);
        free(t);
        return r;
    }
    list_append(&l->tellings, &t->link);
    pump(l, now);
    return 0;
}

void lookup_on_stale(struct lookup *l, const struct tag *subject)
{
    if (l->resolver)
        resolver_on_stale(l->resolver, subject, clock_now());
}

/* With a socket of ours where none is named. How many. */
static size_t hold_ways(const struct locator_pair *ways, size_t count, struct locator_pair ret[EXCHANGE_WAYS_MAX])
{
    size_t n = MIN(count, (size_t)EXCHANGE_WAYS_MAX);

    for (size_t i = 0; i < n; i++)
        ret[i] = ways[i].link ? ways[i] : way_to(&ways[i].remote);
    return n;
}

int lookup_hold(struct lookup *l, struct holder *h, const uint8_t ed25519[IDENT_KEY_LEN],
                const struct locator_pair *ways, size_t count)
{
    struct exchange_call c = { .keep = KEEP };
    instant now = clock_now();
    size_t i = 0;
    int r;

    while (i < LOOKUP_HOLDERS_MAX && l->held[i].holder)
        i++;
    if (i == LOOKUP_HOLDERS_MAX || count == 0)
        return count == 0 ? -EINVAL : -ENOSPC;
    memcpy(c.key.ed25519, ed25519, sizeof(c.key.ed25519));
    c.ways_count = hold_ways(ways, count, c.ways);
    r = exchange_peer_call(l->exchange, &c, now, &l->held[i].peer);
    if (r < 0)
        return r;
    r = exchange_peer_set_owner(l->exchange, l->held[i].peer, h);
    if (r == 0)
        l->held[i].holder = h;
    pump(l, now);
    return r;
}

int lookup_hold_by(struct lookup *l, const struct holder *h, const struct locator_pair *ways, size_t count)
{
    struct locator_pair by[EXCHANGE_WAYS_MAX];
    instant now = clock_now();
    size_t i = 0;
    int r;

    while (i < LOOKUP_HOLDERS_MAX && l->held[i].holder != h)
        i++;
    if (i == LOOKUP_HOLDERS_MAX)
        return -ENOENT;
    r = exchange_peer_set_ways(l->exchange, l->held[i].peer, by, hold_ways(ways, count, by), now);
    pump(l, now);
    return r;
}

void lookup_unhold(struct lookup *l, const struct holder *h)
{
    instant now = clock_now();

    for (size_t i = 0; i < LOOKUP_HOLDERS_MAX; i++)
        if (l->held[i].holder == h) {
            (void)!exchange_peer_set_owner(l->exchange, l->held[i].peer, NULL);
            exchange_peer_hang_up(l->exchange, l->held[i].peer, now);
            holder_on_failed(l->held[i].holder, now); /* what was under way is answered to nobody any more */
            l->held[i] = (struct held){ 0 };
        }
}

void lookup_wake(struct lookup *l)
{
    pump(l, clock_now());
}

void lookup_set_host(struct lookup *l, const struct lookup_host *h)
{
    l->host = *h;
    l->sights.seen = h->seen;
    l->sights.ctx = h->ctx;
}

int lookup_see(struct lookup *l, uint32_t link, const uint8_t ed25519[IDENT_KEY_LEN], const struct endpoint *at,
               size_t count)
{
    instant now = clock_now();
    int r = sights_set(&l->sights, l->exchange, link, ed25519, at, count, now);

    pump(l, now);
    return r;
}

void lookup_look(struct lookup *l)
{
    instant now = clock_now();

    sights_hurry(&l->sights, now);
    pump(l, now);
}

void lookup_input(struct lookup *l, const struct locator_pair *at, uint8_t *data, size_t len, size_t segment)
{
    instant now = clock_now();

    for (size_t off = 0, one; off < len; off += one) {
        one = segment ? MIN(segment, len - off) : len - off;
        exchange_input(l->exchange, at, data + off, one, now);
        pump(l, now);
    }
}

void lookup_on_network(struct lookup *l)
{
    instant now = clock_now();

    exchange_on_network(l->exchange, now);
    pump(l, now);
}

const char *lookup_root(const struct lookup *l)
{
    return l->root;
}
