/* api/engine.c - see engine.h.
 *
 * Theory of operation. The epoll descriptor holds the sockets, netlink and a timerfd that is armed for the node's next
 * expiry, so who polls it wakes for timers too. engine_process reads a bounded batch of each, then lets the node say
 * what is to be sent.
 *
 * What carries records is the transports' (transport.h): UDP sockets, connections. A client has them for each uplink
 * and family, bound to the interface, so that what it sends leaves there whatever the default route is. An uplink is an
 * interface with an address and a default route. Where there is none (a host alone, or addresses of this very host) one
 * that is bound to nothing serves as the only uplink.
 *
 * A helper thread, where one is asked for, does what the program would in engine_process; a lock is held by whichever
 * of the two is inside. Who waits then waits for the thread to have done something.
 *
 * Limits: 8 uplinks, as a session has 8 paths; 64 sessions that nobody has accepted: further ones are turned away. */
#include "api/engine.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "api/paths.h"
#include "api/transport.h"
#include "sys/clock.h"
#include "sys/netlink.h"
#include "sys/thread.h"
#include "sys/udp.h"

#define UPLINKS_MAX TRANSPORT_LINKS_MAX
#define ARRIVALS_MAX 64
#define EVENTS_MAX 64
#define READY_MAX 64      /* descriptors a call: the others are ready at the next */
#define POOL_PKTS 16384   /* chosen: 22 MB in flight; a header each, what is not used is not touched */
#define TICK MSEC         /* chosen: later acknowledgements look like a longer way */
#define WHOLE_HOST "host" /* the name of the uplink that is bound to nothing */

struct uplink {
    struct node_uplink node;
    int ifindex;
    bool open[2]; /* IPv4, IPv6 */
};

struct engine {
    unsigned refs;
    struct helper *helper; /* or NULL: no thread */
    struct identity self;
    struct delivery_options delivery;
    struct node *node;
    struct transports transports;
    struct engine_transports chosen;
    bool listens, listens_on, been_up;
    int epoll_fd, timer_fd;
    instant armed; /* the timer; INSTANT_NEVER: not armed */
    struct nlmon *netlink;
    struct uplink uplinks[UPLINKS_MAX]; /* by link - 1 */
    struct discovery *discovery;        /* or NULL */
    bool wanted[2];                     /* a client: families in which it was given endpoints */
    unsigned arrivals[ARRIVALS_MAX];
    unsigned arrivals_head, arrivals_count;
    uint8_t taken[NODE_PEERS_MAX / 8];  /* a bit each: somebody holds the peer's session, */
    uint8_t queued[NODE_PEERS_MAX / 8]; /* or it is among the arrivals */
    struct link_use {
        char name[LINK_NAME_MAX + 1];
        uint8_t tier;
    } uses[UPLINKS_MAX];
    unsigned uses_count;
    struct engine_event events[EVENTS_MAX]; /* the oldest first */
    unsigned events_count;
    instant processed_at, remembered_at;
};

static int watch(struct engine *e, int fd, void *what)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLPRI, .data.ptr = what };

    return epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

uint8_t engine_transports_allowed(const struct engine_transports *t)
{
    return t->required | t->used | t->spares | (t->tcp_instead ? 1u << TRANSPORT_TCP : 0);
}

int engine_new(const struct engine_options *o, struct engine **ret)
{
    struct engine *e = calloc(1, sizeof(*e));
    struct node_options n = { .role = o->listens ? ROLE_AGENT : ROLE_NODE,
                              .strangers = o->listens,
                              .pool_pkts = POOL_PKTS,
                              .wait = o->wait,
                              .answers_hello = o->answers_hello,
                              .preferences = o->preferences,
                              .fairness = o->fairness,
                              .terms = o->terms,
                              .instance = o->instance,
                              .clear = o->clear };
    int r = -ENOMEM;

    if (!e)
        return -ENOMEM;
    e->refs = 1;
    e->self = *o->self;
    e->listens = e->listens_on = o->listens;
    e->delivery = o->delivery;
    e->armed = INSTANT_NEVER;
    e->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    e->timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (e->epoll_fd < 0 || e->timer_fd < 0) {
        r = -errno;
    } else {
        n.self = &e->self;
        n.rng = sys_rng();
        n.delivery = &e->delivery;
        e->node = node_new(&n, clock_now());
        e->chosen = o->transports;
        e->transports = (struct transports){ .node = e->node,
                                             .self = &e->self,
                                             .epoll_fd = e->epoll_fd,
                                             .listens = o->listens,
                                             .allowed = engine_transports_allowed(&o->transports),
                                             .out = malloc(SESSION_OUTPUT_MAX) };
        if (e->node && e->transports.out)
            r = transports_make(&e->transports);
        if (r == 0 && (o->transports.required & ~e->transports.allowed))
            r = -EPROTONOSUPPORT;
        if (r == 0)
            r = watch(e, e->timer_fd, &e->timer_fd);
    }
    if (r < 0) {
        engine_unref(e);
        return r;
    }
    *ret = e;
    return 0;
}

struct engine *engine_ref(struct engine *e)
{
    e->refs++;
    return e;
}

/* --- a helper thread --- */

struct helper {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* the thread has done something */
    int wake_fd, news_fd;   /* it is to look; it has done something */
    bool stops;
    int error;
};

/* All signals are the program's own threads'. */
static void *help(void *ctx)
{
    struct engine *e = ctx;
    struct helper *h = e->helper;
    struct pollfd fds[] = { { .fd = e->epoll_fd, .events = POLLIN }, { .fd = h->wake_fd, .events = POLLIN } };
    bool stops = false;

    while (!stops) {
        uint64_t one = 1;

        (void)!poll(fds, ARRAY_LEN(fds), -1);
        pthread_mutex_lock(&h->lock);
        stops = h->stops;
        if (!stops && h->error == 0)
            h->error = engine_process(e);
        stops |= h->error != 0;
        (void)!write(h->news_fd, &one, sizeof(one));
        pthread_cond_broadcast(&h->changed);
        pthread_mutex_unlock(&h->lock);
    }
    return NULL;
}

static void helper_free(struct helper *h)
{
    if (h->wake_fd >= 0)
        close(h->wake_fd);
    if (h->news_fd >= 0)
        close(h->news_fd);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

int engine_start_thread(struct engine *e)
{
    struct helper *h = calloc(1, sizeof(*h));
    pthread_condattr_t monotonic;
    int r;

    if (!h)
        return -ENOMEM;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&h->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&h->lock, NULL);
    h->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = h->wake_fd < 0 || h->news_fd < 0 ? -errno : 0;
    if (r == 0) {
        e->helper = h;
        r = thread_begin(&h->thread, help, e);
    }
    if (r != 0) {
        e->helper = NULL;
        helper_free(h);
    }
    return r;
}

void engine_lock(struct engine *e)
{
    if (e && e->helper)
        pthread_mutex_lock(&e->helper->lock);
}

void engine_unlock(struct engine *e)
{
    if (e && e->helper)
        pthread_mutex_unlock(&e->helper->lock);
}

bool engine_heed_thread(struct engine *e, int *ret_error)
{
    uint64_t count;

    if (!e->helper)
        return false;
    (void)!read(e->helper->news_fd, &count, sizeof(count));
    *ret_error = e->helper->error;
    return true;
}

static void stop_helper(struct engine *e)
{
    struct helper *h = e->helper;
    uint64_t one = 1;

    h->stops = true;
    (void)!write(h->wake_fd, &one, sizeof(one));
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    e->helper = NULL;
    helper_free(h);
}

/* Until the thread has done something. */
static int wait_for_helper(struct engine *e, instant limit)
{
    struct helper *h = e->helper;
    span left = MAX(limit - clock_now(), 0);
    struct timespec at;
    int r = 0;

    if (h->error)
        return h->error;
    clock_gettime(CLOCK_MONOTONIC, &at);
    if (limit == INSTANT_NEVER) {
        pthread_cond_wait(&h->changed, &h->lock);
        return h->error;
    }
    at.tv_sec += left / SEC + (at.tv_nsec + left % SEC * 1000) / 1000000000;
    at.tv_nsec = (at.tv_nsec + left % SEC * 1000) % 1000000000;
    r = pthread_cond_timedwait(&h->changed, &h->lock, &at);
    return r == ETIMEDOUT ? -ETIMEDOUT : h->error;
}

static void engine_free(struct engine *e)
{
    transports_destroy(&e->transports);
    node_free(e->node);
    nlmon_free(e->netlink);
    if (e->timer_fd >= 0)
        close(e->timer_fd);
    if (e->epoll_fd >= 0)
        close(e->epoll_fd);
    free(e->transports.out);
    free(e->discovery);
    identity_wipe(&e->self);
    free(e);
}

void engine_unref(struct engine *e)
{
    if (!e)
        return;
    if (--e->refs > 0) {
        engine_unlock(e);
        return;
    }
    if (e->helper)
        stop_helper(e);
    if (e->been_up) {
        node_tell_known(e->node, clock_now());
        paths_remember(node_scoreboard(e->node), true, clock_now());
    }
    engine_free(e);
}

void engine_unref_forked(struct engine *e)
{
    if (!e || --e->refs > 0)
        return;
    if (e->helper) { /* its lock may be held for ever, by a thread that is not here */
        close(e->helper->wake_fd);
        close(e->helper->news_fd);
        free(e->helper);
    }
    engine_free(e);
}

struct node *engine_node(struct engine *e)
{
    return e->node;
}

int engine_fd(const struct engine *e)
{
    return e->helper ? e->helper->news_fd : e->epoll_fd;
}

/* On every transport that is allowed. Who did not ask for one can do without it, but for the first. 0 or -errno. */
static int listen_family(struct engine *e, const struct endpoint *at)
{
    struct transports *all = &e->transports;
    int r = 0;

    for (unsigned i = 0; i < TRANSPORT_COUNT; i++) {
        int one = all->of[i] ? all->of[i]->ops->listen(all->of[i], at) : 0;

        if (one < 0 && (i == TRANSPORT_UDP || (e->chosen.asked & 1u << i)))
            r = r < 0 ? r : one;
    }
    return r;
}

int engine_listen(struct engine *e, const struct addr *local, uint16_t port)
{
    int r[2] = { -EAFNOSUPPORT, -EAFNOSUPPORT };

    for (unsigned v6 = 0; v6 < 2; v6++) {
        struct endpoint at = { .addr = *local, .port = port };

        at.addr.family = v6 ? ADDR_V6 : ADDR_V4;
        if (local->family == ADDR_NONE || local->family == at.addr.family)
            r[v6] = listen_family(e, &at);
    }
    /* A family that this host does not have is none to listen on; a port that somebody has is. */
    for (unsigned v6 = 0; v6 < 2; v6++)
        if (r[v6] < 0 && r[v6] != -EAFNOSUPPORT && r[v6] != -EADDRNOTAVAIL)
            return r[v6];
    return r[0] < 0 && r[1] < 0 ? (local->family == ADDR_V6 ? r[1] : r[0]) : 0;
}

/* --- uplinks --- */

static void tell(struct engine *e, struct uplink *u, const struct node_uplink *fresh, instant now)
{
    if (node_uplink_equal(fresh, &u->node))
        return;
    u->node = *fresh;
    node_uplink_set(e->node, fresh, now);
}

static void close_uplink(struct engine *e, struct uplink *u, instant now)
{
    uint32_t link = (uint32_t)(u - e->uplinks) + 1;

    for (unsigned i = 0; i < TRANSPORT_COUNT; i++)
        for (unsigned v6 = 0; v6 < 2; v6++)
            if (e->transports.of[i])
                e->transports.of[i]->ops->close(e->transports.of[i], link, v6, now);
    u->open[0] = u->open[1] = false;
}

/* What goes over that uplink in that family: interface NULL: not bound to one. True: something does. */
static bool open_uplink(struct engine *e, struct uplink *u, bool v6, const char *interface)
{
    uint32_t link = (uint32_t)(u - e->uplinks) + 1;
    bool any = false;

    for (unsigned i = 0; i < TRANSPORT_COUNT; i++)
        any |= e->transports.of[i] && e->transports.of[i]->ops->open(e->transports.of[i], link, v6, interface) == 0;
    u->open[v6] = any;
    return any;
}

/* Of the paths of an uplink: over which transports. */
static void choose(const struct engine *e, struct node_uplink *u)
{
    const struct engine_transports *t = &e->chosen;

    u->transports = t->used & e->transports.allowed;
    u->spares = t->spares & e->transports.allowed;
    u->tcp = t->tcp_instead && !((t->used | t->spares) & 1u << TRANSPORT_TCP) ? NODE_TCP_AUTO : NODE_TCP_NO;
}

static struct uplink *find_uplink(struct engine *e, const char *name)
{
    struct uplink *free_one = NULL;

    for (unsigned i = 0; i < UPLINKS_MAX; i++) {
        if (strcmp(e->uplinks[i].node.name, name) == 0)
            return &e->uplinks[i];
        if (!free_one && e->uplinks[i].node.link == 0)
            free_one = &e->uplinks[i];
    }
    return free_one;
}

static void drop_uplink(struct engine *e, struct uplink *u, instant now)
{
    node_uplink_remove(e->node, u->node.link, now);
    close_uplink(e, u, now);
    memset(u, 0, sizeof(*u));
}

static struct link_use *find_use(struct engine *e, const char *name)
{
    for (unsigned i = 0; i < e->uses_count; i++)
        if (strcmp(e->uses[i].name, name) == 0)
            return &e->uses[i];
    return NULL;
}

static uint8_t tier_of(struct engine *e, const char *name)
{
    const struct link_use *use = find_use(e, name);

    return use ? use->tier : TIER_PRIMARY;
}

int engine_set_tier(struct engine *e, const char *link, enum link_tier tier)
{
    struct link_use *use = find_use(e, link);
    instant now = clock_now();

    if (!use && e->uses_count == ARRAY_LEN(e->uses))
        return -ENOSPC;
    if (!use) {
        use = &e->uses[e->uses_count++];
        snprintf(use->name, sizeof(use->name), "%s", link);
    }
    use->tier = (uint8_t)tier;
    for (unsigned i = 0; i < UPLINKS_MAX; i++) {
        struct uplink *u = &e->uplinks[i];
        struct node_uplink fresh = u->node;

        fresh.tier = (uint8_t)tier;
        if (fresh.link > 0 && strcmp(fresh.name, link) == 0)
            tell(e, u, &fresh, now);
    }
    engine_flush(e);
    return 0;
}

struct refresh {
    struct engine *e;
    instant now;
    unsigned seen; /* by link - 1 */
};

static bool refresh_link(void *ctx, const struct nlmon_link *l)
{
    struct refresh *x = ctx;
    struct engine *e = x->e;
    struct node_uplink fresh;
    struct uplink *u;
    bool has[2];

    for (unsigned v6 = 0; v6 < 2; v6++) {
        uint8_t family = v6 ? ADDR_V6 : ADDR_V4;

        has[v6] = e->wanted[v6] && nlmon_link_default(l, family) && nlmon_link_has_address(l, family);
    }
    u = find_uplink(e, l->name);
    if (l->loopback || !u || (u->node.link == 0 && !(l->usable && (has[0] || has[1]))))
        return true;
    if (u->ifindex != l->ifindex) { /* new, or made anew under its name */
        close_uplink(e, u, x->now);
        u->ifindex = l->ifindex;
    }
    memset(&fresh, 0, sizeof(fresh));
    fresh.link = (uint32_t)(u - e->uplinks) + 1;
    memcpy(fresh.name, l->name, sizeof(fresh.name));
    fresh.weight = 100;
    choose(e, &fresh);
    fresh.tier = tier_of(e, l->name);
    fresh.trains = fresh.tier < TIER_BACKUP; /* one that is kept back may cost */
    fresh.address_hash = nlmon_link_address_hash(l);
    for (unsigned v6 = 0; v6 < 2; v6++) {
        if (has[v6] && l->usable && !open_uplink(e, u, v6, l->name))
            has[v6] = false;
    }
    fresh.has_v4 = has[0];
    fresh.has_v6 = has[1];
    fresh.up = l->usable && (has[0] || has[1]);
    if (!fresh.up) { /* which families it had is what it will have again */
        fresh.has_v4 = u->node.has_v4;
        fresh.has_v6 = u->node.has_v6;
    }
    x->seen |= 1u << (fresh.link - 1);
    tell(e, u, &fresh, x->now);
    return true;
}

static void refresh(struct engine *e, instant now)
{
    struct refresh x = { .e = e, .now = now };

    nlmon_foreach_link(e->netlink, refresh_link, &x);
    for (unsigned i = 0; i < UPLINKS_MAX; i++)
        if (e->uplinks[i].ifindex > 0 && !(x.seen & 1u << i))
            drop_uplink(e, &e->uplinks[i], now);
}

/* No interface leads there, or the addresses are this host's: the kernel knows the way. */
static int use_whole_host(struct engine *e, instant now)
{
    struct uplink *u = &e->uplinks[0];
    struct node_uplink fresh;
    int r = -ENETUNREACH;

    memset(&fresh, 0, sizeof(fresh));
    fresh.link = 1;
    snprintf(fresh.name, sizeof(fresh.name), WHOLE_HOST);
    fresh.tier = tier_of(e, WHOLE_HOST);
    fresh.weight = 100;
    choose(e, &fresh);
    for (unsigned v6 = 0; v6 < 2; v6++) {
        bool opened = e->wanted[v6] && open_uplink(e, u, v6, NULL);

        *(v6 ? &fresh.has_v6 : &fresh.has_v4) = opened;
        r = opened ? 0 : r;
    }
    fresh.up = r == 0;
    if (r == 0)
        tell(e, u, &fresh, now);
    return r;
}

static bool is_loopback(const struct addr *a)
{
    static const uint8_t v6[16] = { [15] = 1 };

    return a->family == ADDR_V4 ? a->bytes[0] == 127 : memcmp(a->bytes, v6, 16) == 0;
}

int engine_open(struct engine *e, const struct endpoint *at, size_t count)
{
    instant now = clock_now();
    bool local = false, any = false;
    int r;

    for (size_t i = 0; i < count; i++) {
        e->wanted[at[i].addr.family == ADDR_V6] = true;
        local |= is_loopback(&at[i].addr);
    }
    if (!local) {
        r = nlmon_open(&e->netlink);
        if (r == 0)
            r = watch(e, nlmon_fd(e->netlink), e->netlink);
        if (r < 0)
            return r;
        refresh(e, now);
        for (unsigned i = 0; i < UPLINKS_MAX; i++)
            any |= e->uplinks[i].node.up;
    }
    if (!any) {
        if (e->netlink) {
            nlmon_free(e->netlink);
            e->netlink = NULL;
        }
        r = use_whole_host(e, now);
        if (r < 0)
            return r;
    }
    return 0;
}

int engine_call(struct engine *e, const struct peer_key *peer, const struct endpoint *at, size_t count)
{
    struct node_peer_spec spec = { .name = "peer", .key = *peer, .endpoints_count = count, .tcp_beside = true };
    struct addr remotes[NODE_ENDPOINTS_MAX];
    instant now = clock_now();
    int r;

    for (size_t i = 0; i < count; i++)
        remotes[i] = at[i].addr;
    paths_recall(node_scoreboard(e->node), remotes, count, now);
    memcpy(spec.endpoints, at, count * sizeof(*at));
    if (node_peers_count(e->node) > 0)
        node_peer_forget(e->node, 0); /* its place is the next one's */
    r = node_peer_add(e->node, &spec, now);
    if (r < 0)
        return r;
    node_connect(e->node, (unsigned)r, NULL, 0, now);
    engine_flush(e);
    return 0;
}

int engine_address(struct engine *e, unsigned peer, const struct endpoint *at, bool there)
{
    instant now = clock_now();
    int r = 0;

    if (!e->listens && there && !e->wanted[at->addr.family == ADDR_V6]) { /* sockets of a family that had none */
        e->wanted[at->addr.family == ADDR_V6] = true;
        if (e->netlink)
            refresh(e, now);
        else
            r = use_whole_host(e, now);
    }
    if (r == 0 && e->listens)
        r = node_announce(e->node, at, there, now);
    else if (r == 0)
        r = there ? node_peer_add_endpoint(e->node, peer, at, now) : node_peer_remove_endpoint(e->node, peer, at, now);
    engine_flush(e);
    return r;
}

int engine_ask(struct engine *e, const struct endpoint *at, size_t count)
{
    struct rng rng = sys_rng();

    e->discovery = e->transports.discovery = malloc(sizeof(*e->discovery));
    if (!e->discovery)
        return -ENOMEM;
    discovery_init(e->discovery, clock_now());
    for (size_t i = 0; i < count; i++)
        for (unsigned u = 0; u < UPLINKS_MAX; u++) {
            struct locator_pair way = { .link = u + 1, .remote = at[i] };

            if (e->transports.of[TRANSPORT_UDP] && e->uplinks[u].open[at[i].addr.family == ADDR_V6])
                discovery_add(e->discovery, &way, &rng);
        }
    engine_flush(e);
    return 0;
}

const struct discovery *engine_discovery(const struct engine *e)
{
    return e->discovery;
}

int engine_watch(struct engine *e, int fd)
{
    return watch(e, fd, &e->epoll_fd);
}

/* --- work --- */

static bool bit(const uint8_t *bits, unsigned i)
{
    return bits[i / 8] >> i % 8 & 1;
}

static void set_bit(uint8_t *bits, unsigned i, bool on)
{
    bits[i / 8] = (uint8_t)((bits[i / 8] & ~(1u << i % 8)) | (unsigned)on << i % 8);
}

static void send_questions(struct engine *e, instant now)
{
    struct transport_use *udp = e->transports.of[TRANSPORT_UDP];
    struct discovery *d = e->discovery;
    uint8_t buf[HELLO_LEN];
    struct locator_pair at;

    while (discovery_output(d, buf, &at, now)) {
        struct udp_tx t = { .data = buf, .len = sizeof(buf), .to = at.remote };
        int r = udp ? transport_udp_send(udp, at.link, &t) : -ENETDOWN;

        if (r < 0 && r != -EAGAIN)
            discovery_on_refused(d, at.link, &at.remote);
    }
}

static void drop_event(struct engine *e, unsigned i)
{
    e->events_count--;
    memmove(&e->events[i], &e->events[i + 1], (e->events_count - i) * sizeof(e->events[0]));
}

static void keep_event(struct engine *e, const struct node_event *ev, instant now)
{
    const struct session *s = node_peer_session(e->node, ev->peer);
    struct engine_event *kept;

    if (!s || (ev->type != NODE_PATH_STATE && ev->type != NODE_PATH_MOVED && ev->type != NODE_PEER_REKEYED &&
               ev->type != NODE_PEER_DOWN && ev->type != NODE_FALLBACK))
        return;
    if (e->events_count == EVENTS_MAX)
        drop_event(e, 0);
    kept = &e->events[e->events_count++];
    *kept = (struct engine_event){ .node = *ev };
    if (ev->type == NODE_PATH_STATE || ev->type == NODE_PATH_MOVED)
        session_path_info(s, ev->slot, now, &kept->path);
    if (ev->type == NODE_FALLBACK && ev->link >= 1 && ev->link <= UPLINKS_MAX)
        memcpy(kept->path.link, e->uplinks[ev->link - 1].node.name, sizeof(kept->path.link));
}

bool engine_pop_event(struct engine *e, unsigned peer, struct engine_event *ret)
{
    for (unsigned i = 0; i < e->events_count; i++) {
        if (e->events[i].node.peer != peer)
            continue;
        *ret = e->events[i];
        drop_event(e, i);
        return true;
    }
    return false;
}

/* Of a session that is over, so that the next one in its place has none of them. */
static void drop_events(struct engine *e, unsigned peer)
{
    struct engine_event ev;

    while (engine_pop_event(e, peer, &ev))
        ;
}

/* A path that is down needs another connection than it had. */
static void hear_of_path(struct engine *e, const struct node_event *ev, instant now)
{
    const struct session *s = node_peer_session(e->node, ev->peer);
    struct session_path_info info;
    struct transport_use *t;

    if (!s)
        return;
    session_path_info(s, ev->slot, now, &info);
    t = info.used ? e->transports.of[info.at.transport] : NULL;
    if (t && t->ops->path_down && info.metrics.state == PATH_DOWN)
        t->ops->path_down(t, &info.at, now);
}

static void take_events(struct engine *e, instant now)
{
    struct node_event ev;

    while (node_pop_event(e->node, &ev)) {
        if (ev.type == NODE_PATH_STATE)
            hear_of_path(e, &ev, now);
        keep_event(e, &ev, now);
        if (ev.type != NODE_PEER_UP || !ev.fresh)
            continue;
        e->been_up = true;
        if (!e->listens)
            continue;
        if (bit(e->taken, ev.peer)) {
            node_peer_close(e->node, ev.peer, now); /* it has begun anew while its former session is still held */
        } else if (bit(e->queued, ev.peer)) {
            continue; /* begun anew before anybody looked */
        } else if (!e->listens_on || e->arrivals_count == ARRIVALS_MAX) {
            node_peer_close(e->node, ev.peer, now);
            transports_output(&e->transports, now);
            node_peer_forget(e->node, ev.peer);
            drop_events(e, ev.peer);
        } else {
            e->arrivals[(e->arrivals_head + e->arrivals_count++) % ARRIVALS_MAX] = ev.peer;
            set_bit(e->queued, ev.peer, true);
        }
    }
}

static instant next_expiry(const struct engine *e, instant now)
{
    instant at = instant_min(node_next_expiry(e->node, now), transports_next_expiry(&e->transports));

    return e->discovery ? instant_min(at, discovery_next_expiry(e->discovery)) : at;
}

static void arm(struct engine *e, instant now)
{
    instant at = next_expiry(e, now);
    struct itimerspec t = { 0 };

    if (at == e->armed && at > now)
        return;
    e->armed = at;
    if (at != INSTANT_NEVER) {
        at = MAX(at, 1); /* 0 disarms */
        t.it_value.tv_sec = at / SEC;
        t.it_value.tv_nsec = at % SEC * 1000;
    }
    timerfd_settime(e->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

static void turn(struct engine *e, instant now)
{
    take_events(e, now); /* a connection that is of no more use is closed before another is opened */
    transports_output(&e->transports, now);
    if (e->discovery)
        send_questions(e, now);
    take_events(e, now);
    arm(e, now);
}

void engine_flush(struct engine *e)
{
    turn(e, clock_now());
}

static int read_netlink(struct engine *e, instant now)
{
    struct nlmon_event ev;
    int r = nlmon_process(e->netlink);

    while (nlmon_pop_event(e->netlink, &ev))
        ;
    refresh(e, now);
    return r;
}

/* A socket is dead: netlink's next word, or nobody, opens another. */
static int reopen(struct engine *e, instant now)
{
    if (!e->netlink)
        return -EIO;
    for (unsigned i = 0; i < UPLINKS_MAX; i++)
        if (e->uplinks[i].ifindex > 0)
            close_uplink(e, &e->uplinks[i], now);
    refresh(e, now);
    return 0;
}

int engine_process(struct engine *e)
{
    struct epoll_event ready[READY_MAX];
    uint64_t count;
    instant now = clock_now();
    int r = 0, n = epoll_wait(e->epoll_fd, ready, (int)ARRAY_LEN(ready), 0);

    e->processed_at = now;
    if (e->been_up && now - e->remembered_at >= PATHS_REMEMBER_SPAN) {
        e->remembered_at = now;
        paths_remember(node_scoreboard(e->node), false, now);
    }
    for (int i = 0; i < n && r == 0; i++) {
        if (ready[i].data.ptr == &e->timer_fd) {
            (void)!read(e->timer_fd, &count, sizeof(count));
            e->armed = INSTANT_NEVER;
        } else if (ready[i].data.ptr == &e->epoll_fd) {
            continue; /* engine_watch: whose it is takes it */
        } else if (ready[i].data.ptr == e->netlink) {
            r = read_netlink(e, now);
        } else {
            struct transport_watch *w = ready[i].data.ptr;

            r = w->transport->ops->ready(w->transport, w, ready[i].events, now);
            if (r == 0 && w->dead)
                r = reopen(e, now);
        }
    }
    transports_on_expiry(&e->transports, now);
    if (node_next_expiry(e->node, now) <= now)
        node_on_expiry(e->node, now);
    if (e->discovery)
        discovery_on_expiry(e->discovery, now);
    turn(e, now);
    return r;
}

instant engine_next_expiry(const struct engine *e)
{
    return next_expiry(e, clock_now());
}

int engine_wait(struct engine *e, instant limit)
{
    struct pollfd p = { .fd = e->epoll_fd, .events = POLLIN };
    instant now = clock_now();
    int ms = limit == INSTANT_NEVER ? -1 : (int)MIN((MAX(limit - now, 0) + MSEC - 1) / MSEC, 3600000);

    if (limit <= now)
        return -ETIMEDOUT;
    if (e->helper)
        return wait_for_helper(e, limit);
    if (poll(&p, 1, ms) < 0 && errno != EINTR)
        return -errno;
    return engine_process(e);
}

int engine_pop_arrival(struct engine *e)
{
    unsigned peer;

    if (e->arrivals_count == 0)
        return -1;
    peer = e->arrivals[e->arrivals_head];
    e->arrivals_head = (e->arrivals_head + 1) % ARRIVALS_MAX;
    e->arrivals_count--;
    set_bit(e->queued, peer, false);
    set_bit(e->taken, peer, true);
    return (int)peer;
}

void engine_stop_listening(struct engine *e)
{
    e->listens_on = false;
    node_refuse_strangers(e->node);
    for (unsigned i = 0; i < e->arrivals_count; i++)
        node_peer_close(e->node, e->arrivals[(e->arrivals_head + i) % ARRIVALS_MAX], clock_now());
    engine_flush(e);
    for (int peer; (peer = engine_pop_arrival(e)) >= 0;)
        engine_give_back(e, (unsigned)peer);
}

void engine_give_back(struct engine *e, unsigned peer)
{
    engine_flush(e); /* what it has still to say */
    set_bit(e->taken, peer, false);
    if (node_peer_session(e->node, peer))
        session_tell_known(node_peer_session(e->node, peer), clock_now());
    node_peer_forget(e->node, peer);
    drop_events(e, peer);
}

int engine_tick(struct engine *e)
{
    return clock_now() - e->processed_at >= TICK ? engine_process(e) : 0;
}

bool engine_has_arrival(const struct engine *e)
{
    return e->arrivals_count > 0;
}

bool engine_has_been_up(const struct engine *e)
{
    return e->been_up;
}

bool engine_works_with(const struct engine *e, const struct addr *remote)
{
    const struct session *s = node_peer_session(e->node, 0);
    struct session_path_info info;

    for (unsigned i = 0; s && i < SESSION_SLOTS; i++) {
        session_path_info(s, i, e->processed_at, &info);
        if (info.used && info.metrics.state == PATH_ACTIVE && addr_equal(&info.at.remote.addr, remote))
            return true;
    }
    return false;
}
