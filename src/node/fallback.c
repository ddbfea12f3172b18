/* node/fallback.c - when a link's paths go over TCP, and when they come back.
 *
 * Theory of operation. Each link that is up is judged in windows of one second by what its UDP paths did: a window is
 * bad when none of them was active for half of it and at its end, when more than half of what they sent was lost, or
 * when they carry less than a quarter of what TCP carried there within the last minute. After three bad windows in a
 * row a path over TCP is opened beside, to the same address of the agent and its TCP port. It is a path like any other:
 * the handshake is raced over it too, and the UDP paths stay and are probed. Paths that work but lose too much, or are
 * too slow, carry no data as long as the TCP path is active. After three good windows in a row the TCP path goes, and
 * with it the connection. Each return that did not last doubles the number of good windows that the next one needs, up
 * to five minutes. That UDP did not pass where TCP did is told to the scoreboard, and where that is known TCP is opened
 * at once: if it is no longer so, TCP goes after the three good windows.
 *
 * Limits: of a tunnel, one TCP path a family and link, to the agent's first endpoint in it; applications have one to
 * every endpoint. UDP that is slowed down without loss is
 * found only after TCP was used for another reason: nothing else is there to compare it with. */
#include "node/internal.h"

#define WINDOW (1 * SEC)         /* chosen: seven probes of a busy path */
#define BAD_WINDOWS 3            /* chosen: longer than a handover or a radio stall */
#define GOOD_WINDOWS 3           /* chosen: as long as it took to believe the contrary */
#define GOOD_WINDOWS_MAX 300     /* chosen: five minutes */
#define LOSS_RECORDS 5           /* chosen: of fewer records in a window the share means nothing */
#define SLOW_SHARE 4             /* chosen: TCP costs delay and order: worth it for much more rate only */
#define TCP_MEMORY (60 * SEC)    /* chosen: what a radio carried a minute ago says little */
#define LASTING_AFTER (60 * SEC) /* chosen: a return that held for so long was right */

struct fallback {
    uint8_t why; /* enum node_fallback */
    instant window_at;
    unsigned ticks, active_ticks;  /* of this window */
    uint64_t sent_pkts, lost_pkts; /* of all UDP paths, at its beginning, of what is to be acknowledged */
    unsigned bad, good;            /* windows in a row */
    unsigned needed;               /* good ones to come back */
    instant left_at;               /* came back to UDP */
    uint64_t tcp_bps;              /* measured there then */
    bool asked;                    /* whether it is known that UDP does not pass, since the link is up */
};

const char *node_fallback_name(enum node_fallback f)
{
    static const char *const names[FALLBACK_COUNT] = {
        "", "UDP does not pass", "UDP loses more than half", "UDP is much slower", "Tcp = only",
    };
    return f < FALLBACK_COUNT ? names[f] : "?";
}

enum node_fallback node_fallback(const struct node *n, unsigned peer, uint32_t link)
{
    const struct fallback *f = peer < n->peers_count ? n->peers[peer]->fallback : NULL;

    return f && link >= 1 && link <= NODE_UPLINKS_MAX ? (enum node_fallback)f[link - 1].why : FALLBACK_NONE;
}

/* What the UDP and the TCP paths of a link are doing. */
struct survey {
    bool udp_active, tcp_active, slow;
    uint64_t sent_pkts, lost_pkts;
    uint64_t tcp_bps, udp_bps;
};

static void survey(const struct peer *p, const struct fallback *f, uint32_t link, instant now, struct survey *ret)
{
    struct session_path_info info;
    bool udp_known = true; /* all that it carries together */

    *ret = (struct survey){ 0 };
    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        const struct path_metrics *m = &info.metrics;
        bool active;

        session_path_info(p->session, i, now, &info);
        if (!info.used || info.at.link != link)
            continue;
        active = session_is_up(p->session) && !info.link_down && m->state == PATH_ACTIVE;
        if (info.at.transport == TRANSPORT_TCP) {
            ret->tcp_active |= active;
            ret->tcp_bps = m->rate_is_lower_bound ? ret->tcp_bps : MAX(ret->tcp_bps, m->rate_bps);
            continue;
        }
        if (info.at.transport != TRANSPORT_UDP)
            continue;
        ret->udp_active |= active;
        ret->sent_pkts += m->tx_eliciting_pkts;
        ret->lost_pkts += m->lost_pkts;
        if (!active)
            continue;
        ret->udp_bps += m->rate_bps;
        udp_known &= !m->rate_is_lower_bound;
    }
    ret->slow = ret->udp_active && udp_known && f->why == FALLBACK_NONE && now - f->left_at < TCP_MEMORY &&
                ret->udp_bps < f->tcp_bps / SLOW_SHARE;
}

static void open_tcp(struct peer *p, const struct node_uplink *u, instant now)
{
    bool done[2] = { false, false }, any = false;

    for (size_t i = 0; i < p->spec.endpoints_count; i++) {
        struct endpoint to = p->spec.endpoints[i];
        bool v6 = to.addr.family == ADDR_V6;

        if (p->spec.tcp_port > 0)
            to.port = p->spec.tcp_port;
        if (!done[v6] || p->node->o.delivery)
            any |= roles_open_path(p, u, &to, TRANSPORT_TCP, 0, now);
        done[v6] = true;
    }
    for (unsigned i = 0; i < p->config.endpoints_count && p->node->o.delivery; i++)
        any |= roles_open_path(p, u, &p->config.endpoints[i], TRANSPORT_TCP, 0, now);
    if (!any)
        return;
    roles_retarget(p);
    peer_touch(p);
}

static void close_paths(struct peer *p, uint32_t link, enum transport transport, instant now)
{
    struct session_path_info info;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        session_path_info(p->session, i, now, &info);
        if (!info.used || info.at.link != link || info.at.transport != transport)
            continue;
        session_path_remove(p->session, i, now);
        roles_retarget(p);
        peer_touch(p);
    }
}

/* UDP paths that work badly carry nothing while TCP is there. */
static void rank_udp(struct peer *p, const struct node_uplink *u, bool rest, instant now)
{
    struct session_path_info info;

    for (unsigned i = 0; i < SESSION_SLOTS; i++) {
        struct session_path_use use = roles_use(u, rest ? (uint8_t)TIER_NEVER : u->tier);

        session_path_info(p->session, i, now, &info);
        if (!info.used || info.at.link != u->link || info.at.transport != TRANSPORT_UDP || info.tier == use.tier)
            continue;
        session_path_set(p->session, i, &use, now);
        peer_touch(p);
    }
}

static void set_why(struct peer *p, const struct node_uplink *u, struct fallback *f, enum node_fallback why)
{
    bool was = f->why != FALLBACK_NONE;

    f->why = (uint8_t)why;
    if (was != (why != FALLBACK_NONE))
        node_event_fallback(p->node, p, u->link, why != FALLBACK_NONE);
}

static void come_back(struct peer *p, const struct node_uplink *u, struct fallback *f, const struct survey *s,
                      instant now)
{
    f->tcp_bps = s->tcp_bps;
    f->left_at = now;
    set_why(p, u, f, FALLBACK_NONE);
    rank_udp(p, u, false, now);
    close_paths(p, u->link, TRANSPORT_TCP, now);
}

static void go_over(struct peer *p, const struct node_uplink *u, struct fallback *f, enum node_fallback why,
                    instant now)
{
    bool lasted = f->needed == 0 || now - f->left_at > LASTING_AFTER;

    f->needed = lasted ? GOOD_WINDOWS : MIN(f->needed * 2, (unsigned)GOOD_WINDOWS_MAX);
    set_why(p, u, f, why);
    open_tcp(p, u, now);
}

/* What the scoreboard calls the way of the link's UDP path to the first endpoint of that family; false: there is none.
 */
static bool udp_key(const struct peer *p, const struct node_uplink *u, enum addr_family family,
                    struct scoreboard_key *ret)
{
    *ret = (struct scoreboard_key){ .network = u->address_hash, .transport = TRANSPORT_UDP };
    memcpy(ret->link, u->name, sizeof(ret->link));
    for (size_t i = 0; i < p->spec.endpoints_count && ret->remote.family == ADDR_NONE; i++)
        if (p->spec.endpoints[i].addr.family == family && (family == ADDR_V4 ? u->has_v4 : u->has_v6))
            ret->remote = p->spec.endpoints[i].addr;
    return ret->remote.family != ADDR_NONE;
}

static const enum addr_family families[] = { ADDR_V4, ADDR_V6 };

static bool is_known_to_be_blocked(const struct peer *p, const struct node_uplink *u, instant now)
{
    struct scoreboard_key key;
    struct scoreboard_row row;

    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (udp_key(p, u, families[i], &key) && scoreboard_get(p->node->o.scoreboard, &key, now, &row) &&
            row.trouble == TROUBLE_BLOCKED)
            return true;
    return false;
}

static void tell_blocked(const struct peer *p, const struct node_uplink *u, instant now)
{
    const struct scoreboard_report blocked = { .trouble = TROUBLE_BLOCKED };
    struct scoreboard_key key;

    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (udp_key(p, u, families[i], &key))
            scoreboard_tell(p->node->o.scoreboard, &key, &blocked, now);
}

/* The end of a window: was it good? */
static void judge(struct peer *p, const struct node_uplink *u, struct fallback *f, const struct survey *s, instant now)
{
    uint64_t sent = s->sent_pkts >= f->sent_pkts ? s->sent_pkts - f->sent_pkts : 0;
    uint64_t lost = s->lost_pkts >= f->lost_pkts ? s->lost_pkts - f->lost_pkts : 0;
    enum node_fallback why = FALLBACK_NONE;

    if (!s->udp_active && f->active_ticks * 2 < f->ticks)
        why = FALLBACK_BLOCKED;
    else if (sent >= LOSS_RECORDS && lost * 2 > sent)
        why = FALLBACK_LOSSY;
    else if (s->slow)
        why = FALLBACK_THROTTLED;
    f->bad = why != FALLBACK_NONE ? f->bad + 1 : 0;
    f->good = why == FALLBACK_NONE ? f->good + 1 : 0;
    f->window_at = now;
    f->ticks = f->active_ticks = 0;
    f->sent_pkts = s->sent_pkts;
    f->lost_pkts = s->lost_pkts;
    if (why == FALLBACK_BLOCKED && s->tcp_active)
        tell_blocked(p, u, now);
    if (f->why == FALLBACK_NONE && f->bad >= BAD_WINDOWS)
        go_over(p, u, f, why, now);
    else if (f->why != FALLBACK_NONE && f->good >= f->needed)
        come_back(p, u, f, s, now);
    else if (f->why != FALLBACK_NONE && why != FALLBACK_NONE)
        f->why = (uint8_t)why;
}

static void tick_link(struct peer *p, const struct node_uplink *u, struct fallback *f, instant now)
{
    struct survey s;

    if (u->tcp == NODE_TCP_ONLY) {
        set_why(p, u, f, FALLBACK_WANTED);
        close_paths(p, u->link, TRANSPORT_UDP, now);
        open_tcp(p, u, now);
        return;
    }
    survey(p, f, u->link, now, &s);
    if (f->why == FALLBACK_WANTED || (u->tcp == NODE_TCP_NO && f->why != FALLBACK_NONE)) { /* the file was read again */
        come_back(p, u, f, &s, now);
        roles_paths(p, now);
    }
    if (u->tcp == NODE_TCP_NO)
        return;
    if (!u->up || f->window_at == 0) {
        f->window_at = now;
        f->ticks = f->active_ticks = f->bad = f->good = 0;
        f->asked = false;
        if (!u->up)
            return;
    }
    if (!f->asked && f->why == FALLBACK_NONE && is_known_to_be_blocked(p, u, now))
        go_over(p, u, f, FALLBACK_BLOCKED, now);
    f->asked = true;
    f->ticks++;
    f->active_ticks += s.udp_active;
    if (now - f->window_at >= WINDOW)
        judge(p, u, f, &s, now);
    rank_udp(p, u, s.tcp_active && (f->why == FALLBACK_LOSSY || f->why == FALLBACK_THROTTLED), now);
    if (f->why != FALLBACK_NONE)
        open_tcp(p, u, now); /* if there was no room before, or the link has another family now */
}

void fallback_tick(struct peer *p, instant now)
{
    if (p->spec.tcp_port == 0 && !p->spec.tcp_beside)
        return;
    if (!p->fallback && !(p->fallback = calloc(NODE_UPLINKS_MAX, sizeof(*p->fallback))))
        return; /* without memory there are more urgent things */
    for (size_t i = 0; i < p->node->uplinks_count; i++) {
        const struct node_uplink *u = &p->node->uplinks[i];

        if (u->link >= 1 && u->link <= NODE_UPLINKS_MAX)
            tick_link(p, u, &p->fallback[u->link - 1], now);
    }
}

void fallback_forget(struct peer *p, uint32_t link)
{
    if (p->fallback && link >= 1 && link <= NODE_UPLINKS_MAX)
        p->fallback[link - 1] = (struct fallback){ 0 };
}
