/* node/host.c - hosts: ends that call each other by identifier, with no agent between them.
 *
 * Theory of operation. A host has one address inside, its identifier. A packet to another identifier goes by the
 * session with who has that; where there is none it waits, and the program is asked to find out who that is and where
 * (NODE_WANTED). The program calls it (node_call): the host opens a path over each uplink to each endpoint, as a node
 * does to its agent. Who is called learns the caller's keys by the handshake and its identifier by the introduction
 * behind it, which the program verifies before any packet passes (node_admit).
 *
 * Two hosts may call each other at once, and one that has lost its session calls where the other still has one. So what
 * we called and what called us are peers of their own, told apart by their instance (OURS, and 0), and sessions with
 * the same key do not disturb each other. Of two that are up, that which the lower key opened is used by both ends, and
 * who opened the other one ends it after DRAIN.
 *
 * Who is there. A handshake shows that somebody had the keys when it was made: of a session that we opened, that they
 * answered us; of one that we accepted, not even that there is a way back. Such a session is used when a path of it has
 * worked, and forgotten when none did for DEAD_AFTER: then whoever wants to be spoken to is called.
 *
 * Admission is of a key and an address, for a time that the program gives. It stays when the peer begins a session anew
 * with that key; it is asked for again when the time is over or the peer says something else of itself, and ends with
 * the peer.
 *
 * Strangers. Who calls and is not admitted yet has a place among HOST_CALLERS_MAX (of a small pool fewer), where the
 * newest takes that of the oldest, and may hold HOST_HELD_MAX packets of the pool and a share of the sixteenth of it
 * that all of them have for what they send early: less than a sixth of the pool in all.
 *
 * A move: who opened the session announces nothing, its paths come over its uplinks as they are. Who accepted it tells
 * its new endpoints while any path works (MESSAGE_ADDRESSES). When none works, who opened it asks its program where the
 * other one is by now (NODE_PEER_LOST, node_relocate), at once and then more and more seldom: so both may move at once.
 * The first answer is often of before the other one could say where it is.
 *
 * Who is called may turn the caller away, by node_peer_close: the caller takes that for nobody there, and does not call
 * again for a while.
 *
 * Limits: packets wait for 64 identifiers, 16 for each, for 10 s. A peer without packets for 5 minutes is forgotten. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "node/internal.h"

#define OURS UINT64_MAX /* instance of a peer that we called */
#define WAITS_MAX 64
#define WAITING_MAX 16       /* packets; chosen: the first window of a TCP that was quick */
#define WAIT_LIFE (10 * SEC) /* chosen: a handshake over a bad path, and three questions to managers before */
#define ASK_AGAIN (1 * SEC)
#define CALL_LIFE (10 * SEC)  /* until a peer that we call must have answered */
#define ADMIT_LIFE (3 * SEC)  /* until one that calls us must have been admitted */
#define ADMIT_AGAIN (2 * SEC) /* until one must be that was, for a time */
#define INTRODUCE_AGAIN                                                                                                \
    (1 * SEC) /* between two introductions of a peer that the program hears of: each costs it signatures */
#define DEAD_AFTER (5 * SEC)     /* chosen: who called us finds another way, or asks where we are, within less */
#define REFUSED_LIFE (5 * SEC)   /* chosen: who was turned away calls again after that at the soonest */
#define IDLE_LIFE (300 * SEC)    /* chosen: as many NATs forget an established UDP flow */
#define DRAIN (1 * SEC)          /* what is in flight in a session that is not used any more arrives */
#define FAREWELL (500 * MSEC)    /* CLOSE and its copies leave */
#define LOST_AGAIN (100 * MSEC)  /* between two questions where a peer is, twice; then each time twice as long */
#define LOST_TIMES 7             /* counted: up to 3.2 s */
#define RELAYED_AGAIN (60 * SEC) /* chosen: a lookup and a few knocks, for a way that may be there by now */

struct wait {
    struct addr to; /* family ADDR_NONE: free */
    instant since, asked;
    unsigned count;
    struct {
        struct pbuf *b;
        struct offload offload;
    } packets[WAITING_MAX];
};

struct waits {
    struct wait of[WAITS_MAX];
    unsigned count;
};

int host_init(struct node *n)
{
    n->seek_at = INSTANT_NEVER;
    if (n->o.role != ROLE_HOST)
        return 0;
    n->waits = calloc(1, sizeof(*n->waits));
    return n->waits ? 0 : -ENOMEM;
}

static void wait_end(struct node *n, struct wait *w)
{
    for (unsigned i = 0; i < w->count; i++)
        pbuf_unref(w->packets[i].b);
    *w = (struct wait){ 0 };
    n->waits->count--;
}

void host_deinit(struct node *n)
{
    for (unsigned i = 0; n->waits && i < WAITS_MAX; i++)
        if (n->waits->of[i].to.family != ADDR_NONE)
            wait_end(n, &n->waits->of[i]);
    free(n->waits);
    n->waits = NULL;
}

/* --- who is there --- */

static bool is_ready(const struct peer *p)
{
    return p->admitted && !p->ending && p->session && session_is_up(p->session) && (p->opener || p->proven);
}

/* The peer of the same key that was opened the other way round, or NULL. */
static struct peer *twin_of(const struct peer *p)
{
    return node_peer_of(p->node, &p->spec.key, p->opener ? 0 : OURS);
}

static struct wait *wait_for(const struct node *n, const struct addr *to)
{
    for (unsigned i = 0; i < WAITS_MAX; i++)
        if (addr_equal(&n->waits->of[i].to, to))
            return &n->waits->of[i];
    return NULL;
}

/* What waits for the peer goes to it. */
static void release(struct peer *p, instant now)
{
    struct wait *found = wait_for(p->node, &p->spec.addresses[0].addr), w;

    if (!found)
        return;
    w = *found;
    *found = (struct wait){ 0 };
    p->node->waits->count--;
    for (unsigned i = 0; i < w.count; i++) {
        inner_on_packet(p->node, w.packets[i].b->data, w.packets[i].b->len, &w.packets[i].offload, false, now);
        pbuf_unref(w.packets[i].b);
    }
}

static void route(struct node *n, const struct addr *to, struct peer *p)
{
    uint64_t key = node_addr_hash(n, to);

    n->routed.valid = false;
    map64_remove(&n->by_addr, key);
    if (p && map64_put(&n->by_addr, key, p) < 0)
        n->drops[NODE_DROP_NO_BUFFER]++; /* no memory: its packets wait, and the next event of it tries again */
}

/* It has no address any more. */
static void withdraw(struct peer *p)
{
    struct addr at = p->spec.addresses[0].addr;

    if (p->admitted && map64_get(&p->node->by_addr, node_addr_hash(p->node, &at)) == p)
        route(p->node, &at, NULL);
    p->admitted = false;
    p->spec.addresses_count = 0;
}

/* Which of two sessions with the same host is used: both ends come to the same. */
static struct peer *chosen(struct peer *p, struct peer *twin)
{
    bool ours = memcmp(p->node->o.self->ed25519, p->spec.key.ed25519, IDENT_KEY_LEN) < 0;

    return p->opener == ours ? p : twin;
}

static void end(struct peer *p, instant at)
{
    if (!p->closed && (!p->ending || at < p->ending))
        p->ending = at;
}

/* The peer is there now, or no more: packets go by what is best. */
static void settle(struct peer *p, instant now)
{
    struct peer *twin = twin_of(p), *best;

    if (!p->admitted)
        return;
    if (twin && (!is_ready(twin) || !addr_equal(&twin->spec.addresses[0].addr, &p->spec.addresses[0].addr)))
        twin = NULL;
    best = !is_ready(p) ? twin : !twin ? p : chosen(p, twin);
    route(p->node, &p->spec.addresses[0].addr, best);
    if (!best)
        return;
    if (is_ready(p) && twin) {
        struct peer *other = best == p ? twin : p;

        if (other->opener)
            end(other, now + DRAIN);
    }
    release(best, now);
}

/* Its address is not its own any more, as far as is proven. */
static void expel(struct peer *p, instant now)
{
    struct peer *twin = twin_of(p);

    withdraw(p);
    if (twin)
        settle(twin, now);
}

/* --- packets of the inside --- */

static void ask(struct node *n, struct wait *w, instant now)
{
    w->asked = now;
    if (node_peer_at(n, &w->to) < 0)
        node_event(n, NODE_WANTED, NULL, 0, true, 0)->address = w->to;
}

void host_hold(struct node *n, const uint8_t *pkt, size_t len, const struct offload *offload,
               const struct packet_info *info, instant now)
{
    struct wait *w = wait_for(n, &info->dst);
    struct pbuf *b;

    if (addr_equal(&info->dst, &n->o.identifier) || len > PBUF_CAPACITY || (!w && n->waits->count == WAITS_MAX) ||
        (w && w->count == WAITING_MAX) || !(b = pbuf_take(&n->pool))) {
        n->drops[NODE_DROP_UNWANTED]++;
        return;
    }
    memcpy(b->data, pkt, len);
    b->len = (uint16_t)len;
    if (!w) {
        struct addr none = { 0 };

        w = wait_for(n, &none);
        *w = (struct wait){ .to = info->dst, .since = now };
        n->waits->count++;
        ask(n, w, now);
    }
    w->packets[w->count].b = b;
    w->packets[w->count++].offload = offload ? *offload : (struct offload){ 0 };
}

/* Their senders are told that nobody is there: of one packet, as ICMP is limited. */
static void give_up(struct node *n, struct wait *w, instant now)
{
    struct packet_info info;

    n->drops[NODE_DROP_UNWANTED] += w->count;
    if (w->count > 0 && packet_parse(w->packets[0].b->data, w->packets[0].b->len, &info) == 0)
        inner_refuse(n, w->packets[0].b->data, &info, UNREACHABLE_HOST, now);
    wait_end(n, w);
}

void node_unwanted(struct node *n, const struct addr *address, instant now)
{
    struct wait *w = wait_for(n, address);

    if (w)
        give_up(n, w, now);
}

/* --- calls --- */

int node_peer_at(const struct node *n, const struct addr *address)
{
    struct peer *p = map64_get(&n->by_addr, node_addr_hash(n, address));

    if (p && p->admitted && addr_equal(&p->spec.addresses[0].addr, address))
        return (int)p->index;
    for (size_t i = 0; i < n->peers_count; i++) /* being called, or calls: few are */
        if (n->peers[i]->admitted && !n->peers[i]->ending && addr_equal(&n->peers[i]->spec.addresses[0].addr, address))
            return (int)i;
    return -1;
}

static void admit(struct peer *p, const struct addr *address, instant until)
{
    p->spec.addresses[0] = (struct prefix){ .addr = *address, .len = (uint8_t)addr_bits(address) };
    p->spec.addresses_count = 1;
    p->admitted = true;
    p->admitted_until = until;
}

int node_call(struct node *n, const struct node_peer_spec *spec, const struct addr *address, instant until, instant now)
{
    struct node_peer_spec ours = *spec;
    struct peer *p;
    int index;

    if (node_peer_at(n, address) >= 0)
        return -EALREADY;
    ours.instance = OURS;
    ours.addresses_count = ours.allowed_count = ours.reach_count = 0;
    index = node_peer_add(n, &ours, now);
    if (index < 0)
        return index == -EEXIST ? -EALREADY : index; /* the last call of it is about to end */
    p = n->peers[index];
    p->met = p->used = p->trouble_since = now;
    admit(p, address, until);
    node_connect(n, p->index, NULL, 0, now);
    if (!p->session) {
        node_peer_forget(n, p->index);
        return -ENOMEM;
    }
    return index;
}

void node_admit(struct node *n, unsigned peer, const char *name, const struct addr *address, instant until, instant now)
{
    struct peer *p = n->peers[peer];

    if (p->forgotten || p->opener || p->ending)
        return;
    snprintf(p->spec.name, sizeof(p->spec.name), "%s", name);
    if (p->admitted && addr_equal(&p->spec.addresses[0].addr, address)) {
        p->admitted_until = until;
        return;
    }
    if (p->admitted) /* it is another by now */
        expel(p, now);
    peer_known(p);
    admit(p, address, until);
    session_trust(p->session);
    if (n->o.announce_count > 0) /* not before: where we are is not everybody's to know */
        roles_tell_addresses(p, now);
    p->used = now;
    peer_touch(p); /* what it sent before comes out now */
    settle(p, now);
}

/* The channel by which it is reached, if it is: a new one would have to be proven first. */
static bool relay_in_use(const struct peer *p, instant now, struct endpoint *ret)
{
    struct session_path_info info;

    for (unsigned i = 0; p->session && i < SESSION_SLOTS; i++) {
        session_path_info(p->session, i, now, &info);
        if (info.used && !info.link_down && info.metrics.state == PATH_ACTIVE && node_is_relayed(&info.at.remote)) {
            *ret = info.at.remote;
            return true;
        }
    }
    return false;
}

void node_relocate(struct node *n, unsigned peer, const struct endpoint *at, size_t count, instant now)
{
    struct peer *p = n->peers[peer];
    struct endpoint relay;

    if (p->forgotten || !p->opener || n->o.role != ROLE_HOST || count == 0)
        return;
    p->spec.endpoints_count = MIN(count, (size_t)NODE_ENDPOINTS_MAX);
    memcpy(p->spec.endpoints, at, p->spec.endpoints_count * sizeof(*at));
    p->config.endpoints_count = 0;
    if (relay_in_use(p, now, &relay)) {
        size_t last = p->spec.endpoints_count;

        if (!node_is_relayed(&p->spec.endpoints[last - 1]) && last < NODE_ENDPOINTS_MAX)
            p->spec.endpoints_count = ++last;
        p->spec.endpoints[last - 1] = relay;
    }
    roles_elsewhere(p, now);
}

/* --- what happens to peers --- */

/* Forgets it, and says so. */
static void leave(struct peer *p)
{
    struct node *n = p->node;
    const struct addr address = p->admitted ? p->spec.addresses[0].addr : (struct addr){ 0 };
    const unsigned index = p->index;
    struct node_event *ev;

    node_peer_forget(n, index);
    ev = node_event(n, NODE_PEER_GONE, NULL, 0, false, 0);
    ev->peer = index;
    ev->address = address;
}

/* Its time to be admitted begins now, and not again, however often it calls. The oldest gives its place to it. */
static void become_caller(struct peer *p, instant now)
{
    struct node *n = p->node;

    if (n->callers_count >= MAX(MIN(n->pool.total / 128, (size_t)HOST_CALLERS_MAX), 1))
        leave(LIST_FIRST(&n->callers, struct peer, acquaintance));
    p->met = now;
    p->calls = true;
    list_append(&n->callers, &p->acquaintance);
    n->callers_count++;
}

void host_on_up(struct peer *p, bool fresh, instant now)
{
    if (fresh && p->opener && p->node->o.introduction.len > 0) {
        uint8_t *msg = malloc(1 + p->node->o.introduction.len);

        if (msg) {
            msg[0] = MESSAGE_INTRODUCE;
            memcpy(msg + 1, p->node->o.introduction.data, p->node->o.introduction.len);
            (void)!session_send_message(p->session, msg, 1 + p->node->o.introduction.len, now);
        }
        free(msg);
    }
    p->alive_at = now;
    if (fresh) {
        p->proven = false;
        if (!p->opener && p->admitted) { /* what was about to end is over */
            p->ending = 0;
            p->closed = false;
        }
    }
    if (fresh && p->admitted) {
        p->met = now;
        if (p->node->o.announce_count > 0 && !p->opener)
            roles_tell_addresses(p, now);
    } else if (!p->admitted && !p->calls) {
        become_caller(p, now);
    }
    settle(p, now);
}

void host_on_down(struct peer *p, instant now)
{
    end(p, now);
    settle(p, now);
}

void host_on_closed(struct peer *p, instant now)
{
    bool refused = p->opener && now - p->met < REFUSED_LIFE;

    end(p, refused ? p->met + REFUSED_LIFE : now);
    p->closed = true;
    settle(p, now);
    if (refused)
        node_unwanted(p->node, &p->spec.addresses[0].addr, now);
}

void host_on_refused(struct peer *p, instant now)
{
    if (!p->opener)
        expel(p, now);
    p->closed = true;
    p->ending = now + FAREWELL;
}

static void tell_introduction(struct peer *p, instant now)
{
    p->untold = false;
    p->told_at = now;
    node_event(p->node, NODE_INTRODUCED, p, 0, true, 0);
}

int host_on_introduction(struct peer *p, const uint8_t *said, size_t len, instant now)
{
    uint8_t *copy;

    if (p->opener || len == 0 || len > NODE_INTRODUCTION_MAX)
        return -EPROTO;
    if (p->said && p->said_len == len && memcmp(p->said, said, len) == 0) /* again, after it began anew */
        return 0;
    copy = malloc(len);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, said, len);
    free(p->said);
    p->said = copy;
    p->said_len = len;
    p->untold = true;
    if (p->told_at == 0 || now - p->told_at >= INTRODUCE_AGAIN)
        tell_introduction(p, now);
    return 0;
}

void host_on_relayed(struct peer *p, instant now)
{
    if (p->relayed_at == 0 || now - p->relayed_at > 2 * RELAYED_AGAIN) /* it has just begun */
        p->relayed_at = now;
    if (!is_ready(p) || now - p->relayed_at < RELAYED_AGAIN)
        return;
    p->relayed_at = now;
    node_event(p->node, NODE_PEER_LOST, p, 0, true, 0);
}

/* directly: not by a relay. */
static bool works(const struct peer *p, bool directly, instant now)
{
    struct session_path_info info;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(p->session, i, now, &info);
        if (info.used && !info.link_down && info.metrics.state == PATH_ACTIVE &&
            !(directly && node_is_relayed(&info.at.remote)))
            return true;
    }
    return false;
}

/* A call that nobody has answered: he may have been there once. */
static bool is_calling(const struct peer *p)
{
    return p->opener && p->admitted && !p->ending && p->session && !session_is_up(p->session);
}

static span lost_again(const struct peer *p)
{
    return LOST_AGAIN << (MAX(p->lost_times, 2u) - 2);
}

void host_on_lost(struct peer *p, instant now)
{
    instant next = now;

    if (!(is_ready(p) || is_calling(p)))
        return;
    if (p->lost_times > 0)
        next = p->lost_at + lost_again(p);
    if (now >= next) {
        p->lost_at = now;
        p->lost_times += p->lost_times < LOST_TIMES;
        next = now + lost_again(p);
        node_event(p->node, NODE_PEER_LOST, p, 0, false, 0);
    }
    p->node->seek_at = instant_min(p->node->seek_at, next);
}

instant host_next_expiry(const struct node *n)
{
    return n->seek_at;
}

void host_on_expiry(struct node *n, instant now)
{
    if (now < n->seek_at)
        return;
    n->seek_at = INSTANT_NEVER;
    for (size_t i = 0; i < n->peers_count; i++) {
        struct peer *p = n->peers[i];

        if (!p->forgotten && p->opener && p->lost_times > 0 && is_ready(p) && !works(p, false, now))
            host_on_lost(p, now);
    }
}

void node_seek(struct node *n, instant now)
{
    for (size_t i = 0; i < n->peers_count; i++) {
        struct peer *p = n->peers[i];

        if (p->forgotten || !p->opener || p->ending || !is_ready(p) || works(p, true, now))
            continue;
        p->lost_at = now;
        node_event(n, NODE_PEER_LOST, p, 0, works(p, false, now), 0);
    }
}

void host_on_path(struct peer *p, instant now)
{
    struct session_path_info info;

    for (unsigned i = 0; i < SESSION_SLOTS && p->session; i++) {
        session_path_info(p->session, i, now, &info);
        if (info.used && !info.link_down && info.metrics.state == PATH_ACTIVE) {
            p->lost_times = 0;
            p->alive_at = now;
            if (!p->proven) {
                p->proven = true;
                settle(p, now);
            }
            return;
        }
    }
    if (p->opener)
        host_on_lost(p, now);
}

/* Nothing more is to be had of it, or for it. */
static bool is_over(const struct peer *p, bool up, instant now)
{
    if (p->opener)
        return (!up && now - p->met > CALL_LIFE) || now >= p->admitted_until || (up && now - p->used > IDLE_LIFE);
    if (!p->admitted)
        return now - p->met > ADMIT_LIFE;
    return now - p->admitted_until > ADMIT_AGAIN || (up && now - p->used > IDLE_LIFE + IDLE_LIFE / 2);
}

static void tick(struct peer *p, instant now)
{
    struct node *n = p->node;
    bool up = p->session && session_is_up(p->session);

    if (up && !p->opener && works(p, false, now))
        p->alive_at = now;
    if (!p->opener &&
        now - p->alive_at > DEAD_AFTER) { /* nobody would hear a farewell; one who comes back begins anew */
        host_on_down(p, now);
        leave(p);
        return;
    }
    if (is_over(p, up, now))
        host_on_down(p, now);
    if (!p->opener && p->admitted && now >= p->admitted_until && p->told_at < p->admitted_until)
        p->untold = true;
    if (p->untold && p->said && !p->ending && now - p->told_at >= INTRODUCE_AGAIN)
        tell_introduction(p, now);
    if (!p->ending || now < p->ending)
        return;
    if (up && !p->closed) {
        session_close(p->session);
        peer_touch(p);
        p->closed = true;
        p->ending = now + FAREWELL;
        return;
    }
    if (p->opener && !up && p->admitted && !(twin_of(p) && is_ready(twin_of(p))))
        node_unwanted(n, &p->spec.addresses[0].addr, now);
    leave(p);
}

void host_tick(struct node *n, instant now)
{
    for (size_t i = 0; i < n->peers_count; i++)
        if (!n->peers[i]->forgotten && (n->peers[i]->calls || list_empty(&n->peers[i]->acquaintance)))
            tick(n->peers[i], now);
    knock_tick(n, now);
    for (unsigned i = 0; i < WAITS_MAX && n->waits->count > 0; i++) {
        struct wait *w = &n->waits->of[i];

        if (w->to.family == ADDR_NONE)
            continue;
        if (now - w->since > WAIT_LIFE)
            give_up(n, w, now);
        else if (now - w->asked >= ASK_AGAIN)
            ask(n, w, now);
    }
}

void host_keep_early(struct peer *p, instant now)
{
    struct node *n = p->node;
    struct session_packet k;
    struct pbuf *b;

    while (p->session && session_pop_delivered(p->session, &k, now)) {
        b = p->early_count < HOST_EARLY_MAX && n->early_count < n->pool.total / 16 && k.len <= PBUF_CAPACITY
                ? pbuf_take(&n->pool)
                : NULL;
        if (b) {
            memcpy(b->data, k.data, k.len);
            b->len = (uint16_t)k.len;
            b->note = (uint32_t)k.tos << 1 | k.csum_owed;
            p->early[p->early_count++] = b;
            n->early_count++;
        } else {
            n->drops[NODE_DROP_NO_BUFFER]++;
        }
        pbuf_unref(k.owner);
    }
}

bool host_pop_early(struct peer *p, struct session_packet *ret)
{
    struct pbuf *b;

    if (p->early_at == p->early_count)
        return false;
    b = p->early[p->early_at++];
    p->node->early_count--;
    *ret = (struct session_packet){
        .data = b->data, .len = b->len, .owner = b, .tos = (uint8_t)(b->note >> 1), .csum_owed = b->note & 1
    };
    return true;
}

void host_forget(struct peer *p)
{
    struct session_packet k;

    while (host_pop_early(p, &k))
        pbuf_unref(k.owner);
    free(p->said);
    p->said = NULL;
    withdraw(p);
}
